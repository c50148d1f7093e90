//! JSON rows: objects or arrays, with line ends, commas or nothing between them, or all in one outer array.

mod syntax;

use types::{ColumnDef, DataType};

use self::syntax::{elements, members, skip_value, string};
use super::{Cell, Reader};
use crate::cursor::Cursor;
use crate::error::{Outcome, code};
use crate::quoted::expected;
use crate::settings::Reading;
use crate::text::from_text;
use crate::value::{Value, default_of};

/// How values stand in the JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Values {
    /// As JSON values of fitting type.
    Typed,
    /// Each as a string that holds its text (the `Strings` formats).
    Strings,
}

/// The text of NULL in the `Strings` formats.
const NULL_TEXT: &str = "ᴺᵁᴸᴸ";

/// Reads an object whose names are columns, in any order; columns it lacks are left out.
pub(super) fn read_object(
    reader: &mut Reader<'_>,
    values: Values,
    first: bool,
    cells: &mut Vec<Cell>,
) -> Outcome<bool> {
    if !next_row(reader, first, b'{')? {
        return Ok(false);
    }
    cells.resize(reader.columns.len(), None);
    let mut seen = vec![false; reader.columns.len()];
    let mut cursor = reader.cursor.clone();
    let read = members(&mut cursor, |cursor, name| {
        let Some(at) = position(reader.columns, name) else {
            return unknown_field(cursor, name, reader.reading);
        };
        if std::mem::replace(&mut seen[at], true) {
            return code::INCORRECT_DATA.refuse(format_args!(
                "the field {} stands twice in one object",
                reader.columns[at].name
            ));
        }
        cells[at] = read_cell(reader, cursor, &reader.columns[at], values)?;
        Ok(())
    });
    reader.cursor = cursor;
    read.map(|()| true)
}

/// Reads an array with a value for each column.
pub(super) fn read_array(
    reader: &mut Reader<'_>,
    values: Values,
    first: bool,
    cells: &mut Vec<Cell>,
) -> Outcome<bool> {
    if !next_row(reader, first, b'[')? {
        return Ok(false);
    }
    let mut cursor = reader.cursor.clone();
    let read = elements(&mut cursor, |cursor, at| match reader.columns.get(at) {
        Some(column) => {
            cells.push(read_cell(reader, cursor, column, values)?);
            Ok(())
        }
        None => expected(cursor, "the end of the row's array"),
    });
    reader.cursor = cursor;
    read?;
    match reader.columns.get(cells.len()) {
        None => Ok(true),
        Some(column) => expected(&reader.cursor, &format!("a value for column {}", column.name)),
    }
}

/// Steps to the next row's opening bracket and says whether there is one. Between rows stand space and at
/// most one comma;
/// one outer array may enclose objects (not arrays: `[[1]]` is a row whose first value is an array); a `;`
/// may end them.
fn next_row(reader: &mut Reader<'_>, first: bool, open: u8) -> Outcome<bool> {
    let cursor = &mut reader.cursor;
    cursor.skip_space();
    if first {
        reader.in_array = open == b'{' && cursor.take(b"[");
    } else if cursor.take(b",") {
        cursor.skip_space();
        return at_open(cursor, open);
    }
    cursor.skip_space();
    if reader.in_array && cursor.is_at_end() {
        return code::CANNOT_READ_ALL_DATA.refuse("the data end inside the array of rows");
    }
    let ended = match reader.in_array {
        true => cursor.rest().strip_prefix(b"]").is_some_and(is_end_of_statement),
        false => is_end_of_statement(cursor.rest()),
    };
    if ended { Ok(false) } else { at_open(cursor, open) }
}

fn at_open(cursor: &Cursor<'_>, open: u8) -> Outcome<bool> {
    if cursor.peek() == Some(open) {
        Ok(true)
    } else {
        expected(cursor, &format!("'{}'", char::from(open)))
    }
}

fn is_end_of_statement(rest: &[u8]) -> bool {
    matches!(rest.trim_ascii(), b"" | b";")
}

fn position(columns: &[ColumnDef], name: &[u8]) -> Option<usize> {
    columns.iter().position(|column| column.name.as_bytes() == name)
}

fn unknown_field(cursor: &mut Cursor<'_>, name: &[u8], reading: Reading) -> Outcome<()> {
    if !reading.skip_unknown_fields {
        let name = String::from_utf8_lossy(name);
        return code::INCORRECT_DATA.refuse(format_args!("unknown field found while parsing JSON: {name}"));
    }
    skip_value(cursor)
}

fn read_cell(
    reader: &Reader<'_>,
    cursor: &mut Cursor<'_>,
    column: &ColumnDef,
    values: Values,
) -> Outcome<Cell> {
    cursor.skip_space();
    if cursor.take(b"null") {
        return reader.null(column);
    }
    if values == Values::Typed {
        return read_value(&column.data_type, cursor, reader.reading).map(Some);
    }
    let text = string(cursor)?;
    match text == NULL_TEXT.as_bytes() && column.data_type.is_nullable() {
        true => Ok(Some(Value::Null)),
        false => from_text(&column.data_type, &text, reader.reading).map(Some),
    }
}

fn read_value(data_type: &DataType, cursor: &mut Cursor<'_>, reading: Reading) -> Outcome<Value> {
    cursor.skip_space();
    if (data_type.is_nullable() || reading.null_as_default) && cursor.take(b"null") {
        return default_of(data_type);
    }
    match (data_type.without_nullable(), cursor.peek()) {
        (DataType::Array(element), _) => {
            let mut values = Vec::new();
            elements(cursor, |cursor, _| {
                values.push(read_value(element, cursor, reading)?);
                Ok(())
            })?;
            Ok(Value::List(values))
        }
        (DataType::Map(key, value), _) => {
            let mut entries = Vec::new();
            members(cursor, |cursor, name| {
                let key = from_text(key, name, reading)?;
                entries.push(Value::List(vec![key, read_value(value, cursor, reading)?]));
                Ok(())
            })?;
            Ok(Value::List(entries))
        }
        (DataType::Tuple(types), Some(b'{')) => named_tuple(types, cursor, reading),
        (DataType::Tuple(types), _) => plain_tuple(types, cursor, reading),
        (scalar, Some(b'"')) => from_text(scalar, &string(cursor)?, reading),
        (scalar, _) => from_text(scalar, bare_text(scalar, cursor)?, reading),
    }
}

/// The text of a value without quotes. A String column keeps whatever JSON stands there, as ClickHouse does.
fn bare_text<'a>(data_type: &DataType, cursor: &mut Cursor<'a>) -> Outcome<&'a [u8]> {
    let start = cursor.at;
    skip_value(cursor)?;
    Ok(match (data_type, cursor.since(start)) {
        (DataType::String | DataType::Bool, text) => text,
        (_, b"true") => b"1",
        (_, b"false") => b"0",
        (_, text) => text,
    })
}

fn named_tuple(
    types: &[(Option<String>, DataType)],
    cursor: &mut Cursor<'_>,
    reading: Reading,
) -> Outcome<Value> {
    let mut values: Vec<Cell> = vec![None; types.len()];
    members(cursor, |cursor, name| {
        let named = |(known, _): &(Option<String>, DataType)| {
            known.as_ref().is_some_and(|known| known.as_bytes() == name)
        };
        match types.iter().position(named) {
            Some(at) => values[at] = Some(read_value(&types[at].1, cursor, reading)?),
            None => unknown_field(cursor, name, reading)?,
        }
        Ok(())
    })?;
    let with_defaults = values
        .into_iter()
        .zip(types)
        .map(|(value, (_, data_type))| match value {
            Some(value) => Ok(value),
            None => default_of(data_type),
        });
    with_defaults.collect::<Outcome<_>>().map(Value::List)
}

fn plain_tuple(
    types: &[(Option<String>, DataType)],
    cursor: &mut Cursor<'_>,
    reading: Reading,
) -> Outcome<Value> {
    let mut values = Vec::new();
    elements(cursor, |cursor, at| match types.get(at) {
        Some((_, data_type)) => {
            values.push(read_value(data_type, cursor, reading)?);
            Ok(())
        }
        None => expected(cursor, "the end of the tuple"),
    })?;
    if values.len() == types.len() {
        Ok(Value::List(values))
    } else {
        expected(cursor, "more tuple elements")
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, refuses, rows};
    use crate::error::code;

    #[test]
    fn objects_may_be_parted_by_lines_commas_nothing_or_stand_in_one_array() {
        let expected = ["1|x", "2|NULL"];
        check(
            "JSONEachRow",
            b"{\"a\":1,\"b\":\"x\"}\n{\"b\":null,\"a\":2}\n",
            &expected,
        );
        check(
            "JSONEachRow",
            b"{\"a\":1,\"b\":\"x\"}, {\"b\":null,\"a\":2};",
            &expected,
        );
        check(
            "JSONEachRow",
            b"{\"a\":1,\"b\":\"x\"}{\"b\":null,\"a\":\"2\"}",
            &expected,
        );
        check(
            "JSONEachRow",
            b" [ {\"a\":1,\"b\":\"x\"} ,\n{\"b\":null,\"a\":2} ]\n",
            &expected,
        );
        check("JSONEachRow", b"", &[]);
        check("JSONEachRow", b"[]", &[]);
    }

    #[test]
    fn missing_unknown_and_null_fields_follow_clickhouses_defaults() {
        check(
            "JSONEachRow",
            b"{}{\"zz\":[1,{\"q\":\"]\"}],\"a\":null}",
            &["-|-", "-|-"],
        );
        check(
            "JSONEachRow",
            b"{\"a\":true,\"b\":17}{\"b\":{\"x\" :[1, 2]}}",
            &["1|17", "-|{\"x\" :[1, 2]}"],
        );
    }

    #[test]
    fn strings_are_unescaped() {
        check(
            "JSONEachRow",
            br#"{"b":"\u00e9\ud83e\udd80\/\"\n"}"#,
            &["-|é🦀/\"\n"],
        );
        refuses(
            "JSONEachRow",
            br#"{"b":"\ud83e"}"#,
            code::CANNOT_PARSE_ESCAPE_SEQUENCE,
            "surrogate",
        );
        refuses(
            "JSONEachRow",
            br#"{"b":"\q"}"#,
            code::CANNOT_PARSE_ESCAPE_SEQUENCE,
            "unknown escape",
        );
    }

    #[test]
    fn compact_rows_are_arrays_in_the_columns_order() {
        check(
            "JSONCompactEachRow",
            b"[1,\"x\"]\n[2, null],[3,\"\"]",
            &["1|x", "2|NULL", "3|"],
        );
        refuses(
            "JSONCompactEachRow",
            b"[[1,\"x\"]]",
            code::CANNOT_PARSE_INPUT_ASSERTION_FAILED,
            "as UInt8",
        );
        refuses(
            "JSONCompactEachRow",
            b"[1]",
            code::CANNOT_PARSE_INPUT_ASSERTION_FAILED,
            "a value for column b",
        );
        refuses(
            "JSONCompactEachRow",
            b"[1,\"x\",3]",
            code::CANNOT_PARSE_INPUT_ASSERTION_FAILED,
            "the end of the row",
        );
    }

    #[test]
    fn the_strings_formats_hold_every_value_as_its_text() {
        check(
            "JSONStringsEachRow",
            "{\"a\":\"1\",\"b\":\"ᴺᵁᴸᴸ\"}".as_bytes(),
            &["1|NULL"],
        );
        check("JSONCompactStringsEachRow", b"[\"1\",\"x\"]", &["1|x"]);
        refuses(
            "JSONStringsEachRow",
            b"{\"a\":1}",
            code::CANNOT_PARSE_INPUT_ASSERTION_FAILED,
            "double quotes",
        );
    }

    #[test]
    fn nested_values_are_read_by_their_type() {
        let columns = [
            ("t", "Tuple(x UInt8, y Array(Nullable(String)))"),
            ("m", "Map(String, UInt64)"),
        ];
        let data = br#"{"t":{"y":["a",null],"x":7},"m":{"p":18446744073709551615}}{"t":[1,[]]}"#;
        let read = rows("JSONEachRow", &columns, data).unwrap();
        assert_eq!(read, ["(7,['a',NULL])|{'p':18446744073709551615}", "(1,[])|-"]);
    }

    #[test]
    fn broken_json_is_refused_at_its_row() {
        refuses(
            "JSONEachRow",
            b"{\"a\":1}\n{\"a\":2",
            code::CANNOT_READ_ALL_DATA,
            "at row 2, which begins at byte 7",
        );
        refuses(
            "JSONEachRow",
            b"{\"a\":1,}",
            code::CANNOT_PARSE_INPUT_ASSERTION_FAILED,
            "a string in double quotes",
        );
        refuses(
            "JSONEachRow",
            b"{\"a\" 1}",
            code::CANNOT_PARSE_INPUT_ASSERTION_FAILED,
            "':'",
        );
        refuses(
            "JSONEachRow",
            b"{\"a\":1.5}",
            code::CANNOT_PARSE_INPUT_ASSERTION_FAILED,
            "'1.5' as UInt8",
        );
        refuses(
            "JSONEachRow",
            b"{\"a\":1,\"a\":2}",
            code::INCORRECT_DATA,
            "stands twice",
        );
        refuses(
            "JSONEachRow",
            b"{\"a\":1} x",
            code::CANNOT_PARSE_INPUT_ASSERTION_FAILED,
            "expected '{'",
        );
        refuses(
            "JSONEachRow",
            b"{\"a\":1}]",
            code::CANNOT_PARSE_INPUT_ASSERTION_FAILED,
            "expected '{'",
        );
        refuses(
            "JSONEachRow",
            b"[{\"a\":1}",
            code::CANNOT_READ_ALL_DATA,
            "inside the array",
        );
        refuses(
            "JSONEachRow",
            b"{\"a\":1},",
            code::CANNOT_PARSE_INPUT_ASSERTION_FAILED,
            "expected '{'",
        );
        refuses(
            "JSONEachRow",
            &b"[".repeat(300),
            code::CANNOT_PARSE_INPUT_ASSERTION_FAILED,
            "expected '{'",
        );
        let deep = [b"{\"zz\":".to_vec(), b"[".repeat(300)].concat();
        refuses("JSONEachRow", &deep, code::INCORRECT_DATA, "nested deeper");
    }
}
