//! CSV with ClickHouse's rules: an empty field without quotes is the column's default, `\N` is NULL, and a
//! Tuple takes as many fields as it has elements.

use types::{ColumnDef, DataType};

use super::{Cell, Reader};
use crate::error::{Outcome, code};
use crate::quoted::expected;
use crate::text::from_text;
use crate::value::{Value, default_of};

/// A field's text and whether it stood in quotes.
struct Field {
    text: Vec<u8>,
    quoted: bool,
}

pub(super) fn read_row(reader: &mut Reader<'_>, cells: &mut Vec<Cell>) -> Outcome<bool> {
    if reader.cursor.is_at_end() {
        return Ok(false);
    }
    for (at, column) in reader.columns.iter().enumerate() {
        if at > 0 {
            comma(reader, &column.name)?;
        }
        cells.push(read_cell(reader, column)?);
    }
    if end_of_line(reader) {
        Ok(true)
    } else {
        code::INCORRECT_DATA.refuse("expected end of line")
    }
}

fn comma(reader: &mut Reader<'_>, before: &str) -> Outcome<()> {
    match reader.cursor.take(b",") {
        true => Ok(()),
        false => expected(&reader.cursor, &format!("a comma and column {before}")),
    }
}

fn end_of_line(reader: &mut Reader<'_>) -> bool {
    reader.cursor.is_at_end() || reader.cursor.take(b"\n") || reader.cursor.take(b"\r\n")
}

fn read_cell(reader: &mut Reader<'_>, column: &ColumnDef) -> Outcome<Cell> {
    if let DataType::Tuple(elements) = &column.data_type {
        return read_tuple(reader, elements, &column.name).map(Some);
    }
    let field = read_field(reader)?;
    match (field.quoted, field.text.as_slice()) {
        (false, b"\\N") => reader.null(column),
        (false, b"") => Ok(None),
        (_, text) => from_text(&column.data_type, text, reader.reading).map(Some),
    }
}

fn read_tuple(
    reader: &mut Reader<'_>,
    elements: &[(Option<String>, DataType)],
    name: &str,
) -> Outcome<Value> {
    let mut values = Vec::with_capacity(elements.len());
    for (at, (_, data_type)) in elements.iter().enumerate() {
        if at > 0 {
            comma(reader, name)?;
        }
        let element = ColumnDef {
            name: name.to_owned(),
            data_type: data_type.clone(),
        };
        let cell = read_cell(reader, &element)?;
        values.push(cell.map_or_else(|| default_of(data_type), Ok)?);
    }
    Ok(Value::List(values))
}

fn read_field(reader: &mut Reader<'_>) -> Outcome<Field> {
    reader.cursor.take_while(|byte| matches!(byte, b' ' | b'\t'));
    if !reader.cursor.take(b"\"") {
        let text = reader
            .cursor
            .take_while(|byte| !matches!(byte, b',' | b'\n' | b'\r'));
        return Ok(Field {
            text: text.trim_ascii_end().to_vec(),
            quoted: false,
        });
    }
    let mut text = Vec::new();
    loop {
        text.extend_from_slice(reader.cursor.take_while(|byte| byte != b'"'));
        if !reader.cursor.take(b"\"") {
            return code::CANNOT_PARSE_QUOTED_STRING.refuse("a field's closing quote is missing");
        }
        if !reader.cursor.take(b"\"") {
            break;
        }
        text.push(b'"');
    }
    reader.cursor.take_while(|byte| matches!(byte, b' ' | b'\t'));
    Ok(Field { text, quoted: true })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, refuses, rows};
    use crate::error::code;

    #[test]
    fn csv_fields_may_be_quoted_hold_lines_or_be_empty() {
        check("CSV", b"1,x\r\n\"2\",\"a\"\"b\nc\"\n", &["1|x", "2|a\"b\nc"]);
        check(
            "CSV",
            b" 1 , x y \n,\\N\n3,\n4,\"\"\n5,\"\\N\"",
            &["1|x y", "-|NULL", "3|-", "4|", "5|\\N"],
        );
        check("CSV", b"1,'x'\n", &["1|'x'"]);
        check("CSV", b"", &[]);
    }

    #[test]
    fn a_tuple_takes_a_field_for_each_element() {
        let columns = [("t", "Tuple(UInt8, String)"), ("a", "Array(Nullable(String))")];
        let read = rows("CSV", &columns, b"155,\"x\",\"[NULL,'q\"\"']\"\n").unwrap();
        assert_eq!(read, ["(155,'x')|[NULL,'q\"']"]);
    }

    #[test]
    fn broken_lines_are_refused_at_their_row() {
        refuses(
            "CSV",
            b"1,x\n2\n",
            code::CANNOT_PARSE_INPUT_ASSERTION_FAILED,
            "at row 2",
        );
        refuses("CSV", b"1,x,y\n", code::INCORRECT_DATA, "expected end of line");
        refuses(
            "CSV",
            b"1,\"x\n",
            code::CANNOT_PARSE_QUOTED_STRING,
            "closing quote",
        );
        refuses("CSV", b"1,\"x\"y\n", code::INCORRECT_DATA, "expected end of line");
    }
}
