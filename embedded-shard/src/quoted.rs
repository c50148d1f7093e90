//! Values as they stand in a VALUES row and inside nested text: `'it\'s'`, `[1,NULL]`, `(1,'x')`, `{'k':1}`.

use types::DataType;

use crate::cursor::Cursor;
use crate::error::{Outcome, code};
use crate::escape::{unescape, write_escaped};
use crate::settings::Reading;
use crate::text::{from_text, write_text};
use crate::value::{Shape, Value, default_of};

/// Reads one value at the cursor. A NULL where the type has none becomes the type's default if the settings
/// say so.
pub(crate) fn read(data_type: &DataType, cursor: &mut Cursor<'_>, reading: Reading) -> Outcome<Value> {
    cursor.skip_space();
    if (data_type.is_nullable() || reading.null_as_default) && take_null(cursor) {
        return default_of(data_type);
    }
    match data_type.without_nullable() {
        DataType::Array(element) => {
            let read_element = |cursor: &mut Cursor<'_>| read(element, cursor, reading);
            Ok(Value::List(list(cursor, (b'[', b']'), read_element)?))
        }
        DataType::Map(key, value) => {
            let read_entry = |cursor: &mut Cursor<'_>| entry(cursor, key, value, reading);
            Ok(Value::List(list(cursor, (b'{', b'}'), read_entry)?))
        }
        DataType::Tuple(elements) => tuple(cursor, elements, reading),
        scalar if cursor.peek() == Some(b'\'') => from_text(scalar, &string(cursor)?, reading),
        scalar => bare(scalar, cursor, reading),
    }
}

/// Reads a text that is one nested value and nothing else.
pub(crate) fn whole(data_type: &DataType, text: &[u8], reading: Reading) -> Outcome<Value> {
    let mut cursor = Cursor::new(text);
    let value = read(data_type, &mut cursor, reading)?;
    cursor.skip_space();
    if cursor.is_at_end() {
        Ok(value)
    } else {
        expected(&cursor, "the end of the value")
    }
}

/// Steps over `NULL`, in any case, if it is the whole next word.
pub(crate) fn take_null(cursor: &mut Cursor<'_>) -> bool {
    let word = cursor
        .rest()
        .get(..4)
        .is_some_and(|word| word.eq_ignore_ascii_case(b"NULL"));
    let ends = cursor
        .rest()
        .get(4)
        .is_none_or(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_');
    if word && ends {
        cursor.at += 4;
    }
    word && ends
}

/// Reads a string in single quotes; a doubled quote stands for one.
pub(crate) fn string(cursor: &mut Cursor<'_>) -> Outcome<Vec<u8>> {
    if !cursor.take(b"'") {
        return expected(cursor, "a quote");
    }
    let mut out = Vec::new();
    loop {
        out.extend_from_slice(cursor.take_while(|byte| byte != b'\'' && byte != b'\\'));
        match cursor.next() {
            Some(b'\\') => unescape(cursor, &mut out)?,
            Some(_) if cursor.take(b"'") => out.push(b'\''),
            Some(_) => return Ok(out),
            None => return code::CANNOT_PARSE_QUOTED_STRING.refuse("a string's closing quote is missing"),
        }
    }
}

/// Appends the value quoted.
pub(crate) fn write(data_type: &DataType, value: &Value, out: &mut Vec<u8>) -> Outcome<()> {
    match (data_type.without_nullable(), value) {
        (_, Value::Null) => out.extend(b"NULL"),
        (DataType::Array(element), Value::List(values)) => {
            write_list(out, b"[]", values, |_, value, out| write(element, value, out))?;
        }
        (DataType::Tuple(elements), Value::List(values)) => {
            write_list(out, b"()", values, |at, value, out| {
                write(&elements[at].1, value, out)
            })?;
        }
        (DataType::Map(key_type, value_type), Value::List(entries)) => {
            write_list(out, b"{}", entries, |_, entry, out| {
                write_entry(key_type, value_type, entry, out)
            })?;
        }
        (scalar, value) if is_bare(scalar)? => write_text(scalar, value, out)?,
        (scalar, value) => {
            let mut text = Vec::new();
            write_text(scalar, value, &mut text)?;
            out.push(b'\'');
            write_escaped(&text, out);
            out.push(b'\'');
        }
    }
    Ok(())
}

/// Whether values of the type stand without quotes.
fn is_bare(data_type: &DataType) -> Outcome<bool> {
    use DataType as T;
    let named = matches!(
        data_type,
        T::Enum8(_) | T::Enum16(_) | T::Date | T::Date32 | T::DateTime(_) | T::DateTime64(..) | T::IPv4
    );
    Ok(!named && matches!(Shape::of(data_type)?, Shape::Number { .. } | Shape::Float { .. }))
}

/// A value without quotes: a number or a boolean, or an enum's number. Expressions are not computed here.
fn bare(data_type: &DataType, cursor: &mut Cursor<'_>, reading: Reading) -> Outcome<Value> {
    let is_enum = matches!(data_type, DataType::Enum8(_) | DataType::Enum16(_));
    let is_delimiter =
        |byte: u8| matches!(byte, b',' | b')' | b']' | b'}' | b':') || byte.is_ascii_whitespace();
    let start = cursor.clone();
    let token = cursor.take_while(|byte| !is_delimiter(byte));
    if token.is_empty() || !(is_enum || is_bare(data_type)?) {
        return expected(&start, &format!("a literal of type {data_type}"));
    }
    from_text(data_type, token, reading)
}

fn list<T>(
    cursor: &mut Cursor<'_>,
    (open, close): (u8, u8),
    mut read_element: impl FnMut(&mut Cursor<'_>) -> Outcome<T>,
) -> Outcome<Vec<T>> {
    if !cursor.take(&[open]) {
        return expected(cursor, &format!("'{}'", char::from(open)));
    }
    let mut elements = Vec::new();
    loop {
        cursor.skip_space();
        if cursor.take(&[close]) {
            return Ok(elements);
        }
        if !elements.is_empty() && !cursor.take(b",") {
            return expected(cursor, &format!("',' or '{}'", char::from(close)));
        }
        elements.push(read_element(cursor)?);
    }
}

fn entry(cursor: &mut Cursor<'_>, key: &DataType, value: &DataType, reading: Reading) -> Outcome<Value> {
    let key = read(key, cursor, reading)?;
    cursor.skip_space();
    if !cursor.take(b":") {
        return expected(cursor, "':' behind a map's key");
    }
    Ok(Value::List(vec![key, read(value, cursor, reading)?]))
}

fn tuple(
    cursor: &mut Cursor<'_>,
    elements: &[(Option<String>, DataType)],
    reading: Reading,
) -> Outcome<Value> {
    let mut types = elements.iter();
    let values = list(cursor, (b'(', b')'), |cursor| match types.next() {
        Some((_, data_type)) => read(data_type, cursor, reading),
        None => expected(cursor, "the end of the tuple"),
    })?;
    if values.len() == elements.len() {
        Ok(Value::List(values))
    } else {
        expected(cursor, "more tuple elements")
    }
}

fn write_list(
    out: &mut Vec<u8>,
    brackets: &[u8; 2],
    values: &[Value],
    write_element: impl Fn(usize, &Value, &mut Vec<u8>) -> Outcome<()>,
) -> Outcome<()> {
    out.push(brackets[0]);
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_element(at, value, out)?;
    }
    out.push(brackets[1]);
    Ok(())
}

fn write_entry(key_type: &DataType, value_type: &DataType, entry: &Value, out: &mut Vec<u8>) -> Outcome<()> {
    if let Value::List(pair) = entry
        && let [key, value] = pair.as_slice()
    {
        write(key_type, key, out)?;
        out.push(b':');
        write(value_type, value, out)?;
    }
    Ok(())
}

/// A refusal that says what should have come at the cursor.
pub(crate) fn expected<T>(cursor: &Cursor<'_>, what: &str) -> Outcome<T> {
    let found = cursor.shown();
    code::CANNOT_PARSE_INPUT_ASSERTION_FAILED
        .refuse(format_args!("cannot parse input: expected {what} before {found}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(data_type: &str, text: &str, written: &str) {
        let data_type = DataType::parse(data_type).unwrap();
        let value = whole(&data_type, text.as_bytes(), Reading::default()).unwrap();
        let mut out = Vec::new();
        write(&data_type, &value, &mut out).unwrap();
        assert_eq!(String::from_utf8_lossy(&out), written);
    }

    #[test]
    fn nested_values_are_read_and_written_as_clickhouse_writes_them() {
        check(
            "Array(Nullable(String))",
            "[NULL, 'it''s', 'a\\nb']",
            "[NULL,'it\\'s','a\\nb']",
        );
        check("Array(Array(Int32))", " [[], [-1 , 2]] ", "[[],[-1,2]]");
        check("Tuple(x UInt8, y String)", "(155, '07')", "(155,'07')");
        check(
            "Map(String, UInt64)",
            "{'p':1, 'q' : 18446744073709551615}",
            "{'p':1,'q':18446744073709551615}",
        );
        check("Array(Date)", "['2020-01-01']", "['2020-01-01']");
        check("Array(Enum8('a' = 1))", "[1,'a']", "['a','a']");
        check("Array(Float64)", "[1.5,nan]", "[1.5,nan]");
        check("Array(Bool)", "[true,0]", "[true,false]");
    }

    #[track_caller]
    fn refuses(data_type: &str, text: &str, says: &str) {
        let data_type = DataType::parse(data_type).unwrap();
        let error = whole(&data_type, text.as_bytes(), Reading::default()).unwrap_err();
        assert!(error.text.contains(says), "{error}");
    }

    #[test]
    fn a_broken_value_is_refused_saying_what_was_expected() {
        refuses("Array(UInt8)", "[1", "',' or ']'");
        refuses("Array(UInt8)", "[1 2]", "',' or ']'");
        refuses("Array(UInt8)", "[,1]", "a literal of type UInt8");
        refuses("Array(UInt8)", "[1] x", "the end of the value");
        refuses("Tuple(UInt8, UInt8)", "(1)", "more tuple elements");
        refuses("Tuple(UInt8)", "(1,2)", "the end of the tuple");
        refuses("Map(String, UInt8)", "{'a' 1}", "':'");
        refuses("Array(String)", "['a", "closing quote");
        refuses("Array(String)", "[a]", "a literal of type String");
        refuses("Array(Date)", "[2020-01-01]", "a literal of type Date");
    }
}
