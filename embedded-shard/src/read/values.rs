//! VALUES: rows in round brackets, commas between them optional, a `;` may end them. Literals only: what
//! ClickHouse would compute here (`1 + 1`, `now()`) is refused.

use super::{Cell, Reader};
use crate::error::{Outcome, code};
use crate::quoted::{self, expected};

pub(super) fn read_row(reader: &mut Reader<'_>, cells: &mut Vec<Cell>) -> Outcome<bool> {
    reader
        .cursor
        .take_while(|byte| byte.is_ascii_whitespace() || byte == b',');
    if reader.cursor.is_at_end() || at_end_of_statement(reader) {
        return Ok(false);
    }
    if !reader.cursor.take(b"(") {
        return expected(&reader.cursor, "'('");
    }
    for (at, column) in reader.columns.iter().enumerate() {
        if at > 0 {
            delimiter(reader, b",", &reader.columns[at - 1].name)?;
        }
        reader.cursor.skip_space();
        let cell = match quoted::take_null(&mut reader.cursor) {
            true => reader.null(column)?,
            false if take_default(reader) => None,
            false => Some(quoted::read(
                &column.data_type,
                &mut reader.cursor,
                reader.reading,
            )?),
        };
        cells.push(cell);
    }
    delimiter(
        reader,
        b")",
        reader.columns.last().map_or("", |column| &column.name),
    )?;
    Ok(true)
}

/// A `;` with nothing but space behind it.
fn at_end_of_statement(reader: &mut Reader<'_>) -> bool {
    let rest = reader.cursor.rest();
    rest.strip_prefix(b";")
        .is_some_and(|rest| rest.trim_ascii().is_empty())
}

fn take_default(reader: &mut Reader<'_>) -> bool {
    let rest = reader.cursor.rest();
    let found = rest
        .get(..7)
        .is_some_and(|word| word.eq_ignore_ascii_case(b"DEFAULT"))
        && matches!(rest.get(7), Some(b',' | b')' | b' '));
    if found {
        reader.cursor.at += 7;
    }
    found
}

fn delimiter(reader: &mut Reader<'_>, delimiter: &[u8], behind: &str) -> Outcome<()> {
    reader.cursor.skip_space();
    if reader.cursor.take(delimiter) {
        return Ok(());
    }
    let (delimiter, found) = (String::from_utf8_lossy(delimiter), reader.cursor.shown());
    code::SYNTAX_ERROR.refuse(format_args!(
        "expected '{delimiter}' after the value of column {behind} before {found}; the embedded shard reads literals, not expressions"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check, refuses};
    use crate::error::code;

    #[test]
    fn rows_stand_in_brackets_with_or_without_commas_between() {
        check(
            "Values",
            b"(1,'it\\'s'), (2 , NULL)(3,'')\n(4,'(')",
            &["1|it's", "2|NULL", "3|", "4|("],
        );
        check("Values", b" (1,'x'); \n", &["1|x"]);
        check("Values", b"(NULL,'x'),(DEFAULT, null),", &["-|x", "-|NULL"]);
        check("Values", b"", &[]);
    }

    #[test]
    fn broken_rows_are_refused_at_their_number() {
        refuses("Values", b"(1,'x'),(2)", code::SYNTAX_ERROR, "at row 2");
        refuses(
            "Values",
            b"(1,'x'",
            code::SYNTAX_ERROR,
            "after the value of column b",
        );
        refuses("Values", b"(1,'x','y')", code::SYNTAX_ERROR, "expected ')'");
        refuses("Values", b"(1 + 1,'x')", code::SYNTAX_ERROR, "not expressions");
        refuses(
            "Values",
            b"(1,'x') x",
            code::CANNOT_PARSE_INPUT_ASSERTION_FAILED,
            "expected '('",
        );
        refuses(
            "Values",
            b"(1,'x'); (2,'y')",
            code::CANNOT_PARSE_INPUT_ASSERTION_FAILED,
            "expected '('",
        );
        refuses(
            "Values",
            b"(1,now())",
            code::CANNOT_PARSE_INPUT_ASSERTION_FAILED,
            "literal of type",
        );
    }
}
