//! TabSeparated and TSKV.

use types::{ColumnDef, DataType};

use super::{Cell, Reader};
use crate::cursor::shown;
use crate::error::{Outcome, code};
use crate::escape::unescape;
use crate::quoted::{self, expected};
use crate::text::from_text;

/// Fields between tabs, a line a row; the last line may lack its end.
pub(super) fn read_row(reader: &mut Reader<'_>, cells: &mut Vec<Cell>) -> Outcome<bool> {
    if reader.cursor.is_at_end() {
        return Ok(false);
    }
    for (at, column) in reader.columns.iter().enumerate() {
        if at > 0 && !reader.cursor.take(b"\t") {
            return expected(&reader.cursor, &format!("a tab and column {}", column.name));
        }
        cells.push(read_field(reader, column)?);
    }
    end_of_row(reader)
}

/// `name=value` between tabs, in any order; a line without any is a row of defaults.
pub(super) fn read_pairs(reader: &mut Reader<'_>, cells: &mut Vec<Cell>) -> Outcome<bool> {
    if reader.cursor.is_at_end() {
        return Ok(false);
    }
    cells.resize(reader.columns.len(), None);
    while reader.cursor.peek().is_some_and(|byte| byte != b'\n') {
        let name = reader
            .cursor
            .take_while(|byte| !matches!(byte, b'=' | b'\t' | b'\n'));
        if !reader.cursor.take(b"=") {
            return expected(&reader.cursor, "'=' behind a name");
        }
        match reader
            .columns
            .iter()
            .position(|column| column.name.as_bytes() == name)
        {
            Some(at) => cells[at] = read_field(reader, &reader.columns[at])?,
            None if reader.reading.skip_unknown_fields => drop(raw_field(reader)?),
            None => return code::INCORRECT_DATA.refuse(format_args!("unknown field {}", shown(name))),
        }
        if !reader.cursor.take(b"\t") {
            break;
        }
    }
    end_of_row(reader)
}

fn end_of_row(reader: &mut Reader<'_>) -> Outcome<bool> {
    if reader.cursor.take(b"\n") || reader.cursor.is_at_end() {
        return Ok(true);
    }
    expected(&reader.cursor, "the end of the line")
}

fn read_field(reader: &mut Reader<'_>, column: &ColumnDef) -> Outcome<Cell> {
    if is_null(reader.cursor.rest()) {
        reader.cursor.at += 2;
        return reader.null(column);
    }
    // Nested values stand in their own quotes, not in the field's escapes.
    if matches!(
        column.data_type.without_nullable(),
        DataType::Array(_) | DataType::Tuple(_) | DataType::Map(..)
    ) {
        return quoted::read(&column.data_type, &mut reader.cursor, reader.reading).map(Some);
    }
    let field = raw_field(reader)?;
    from_text(&column.data_type, &field, reader.reading).map(Some)
}

/// Whether the field is `\N` and nothing else.
fn is_null(rest: &[u8]) -> bool {
    rest.starts_with(b"\\N") && matches!(rest.get(2), None | Some(b'\t' | b'\n'))
}

fn raw_field(reader: &mut Reader<'_>) -> Outcome<Vec<u8>> {
    let mut field = Vec::new();
    loop {
        field.extend_from_slice(
            reader
                .cursor
                .take_while(|byte| !matches!(byte, b'\t' | b'\n' | b'\\')),
        );
        if !reader.cursor.take(b"\\") {
            return Ok(field);
        }
        unescape(&mut reader.cursor, &mut field)?;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, refuses, rows};
    use crate::error::code;

    #[test]
    fn tab_separated_fields_are_unescaped_and_nulls_told_apart() {
        check(
            "TabSeparated",
            b"1\tx\\ty\n2\t\\N\n3\t\\\\N\n4\t",
            &["1|x\ty", "2|NULL", "3|\\N", "4|"],
        );
        check("TSV", b"\\N\tx\n", &["-|x"]);
        check("TabSeparated", b"", &[]);
    }

    #[test]
    fn a_nested_value_stands_in_its_own_quotes() {
        let columns = [("a", "Array(String)"), ("t", "Tuple(UInt8, String)")];
        let read = rows("TabSeparated", &columns, b"['a\\tb','c\td']\t(1,'x')\n").unwrap();
        assert_eq!(read, ["['a\\tb','c\\td']|(1,'x')"]);
    }

    #[test]
    fn too_few_too_many_and_wrong_fields_are_refused_at_their_row() {
        refuses(
            "TabSeparated",
            b"1\tx\n2\n",
            code::CANNOT_PARSE_INPUT_ASSERTION_FAILED,
            "at row 2",
        );
        refuses(
            "TabSeparated",
            b"1\tx\ty\n",
            code::CANNOT_PARSE_INPUT_ASSERTION_FAILED,
            "the end of the line",
        );
        refuses(
            "TabSeparated",
            b"x\ty\n",
            code::CANNOT_PARSE_INPUT_ASSERTION_FAILED,
            "cannot parse 'x' as UInt8",
        );
        refuses(
            "TabSeparated",
            b"1\tx\\",
            code::CANNOT_PARSE_ESCAPE_SEQUENCE,
            "backslash",
        );
    }

    #[test]
    fn tskv_pairs_come_in_any_order_and_may_be_missing() {
        check("TSKV", b"b=x\ta=1\nzz=9\tb=\\N\n\n", &["1|x", "-|NULL", "-|-"]);
        refuses(
            "TSKV",
            b"a\tb=1\n",
            code::CANNOT_PARSE_INPUT_ASSERTION_FAILED,
            "'='",
        );
    }
}
