//! Values: SQL tuples. Brackets, quotes and comments are followed; only the key's columns are read, and only
//! as literals. A query parameter is written as a literal ([`parameters`]).

mod parameters;

use std::ops::Range;

use types::ColumnDef;

use crate::backslash;
use crate::error::{FormatError, code};
use crate::framing::{Fault, Framing, KeyFields, Step, Stop, Token, ValueError, Window, behind_space};
use crate::nested;
use crate::settings::Family;
use crate::stream::{Input, too_long};
use parameters::Parameters;

/// Brackets may be open this deep in a row; ClickHouse's own `max_parser_depth`.
const DEPTH_MAX: usize = 1000;

/// The value is no literal.
pub(crate) const LITERAL: ValueError = ValueError {
    code: code::NOT_IMPLEMENTED,
    expected: "a literal, because the sharding key reads this column and expressions in VALUES are not computed here",
};

pub(crate) fn open(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    input.settings.allow(Family::Any)?;
    let key_of = |column: &ColumnDef| input.key.iter().position(|key| key.name == column.name);
    Ok(Box::new(Values {
        place: Place::First,
        keys: input.columns.iter().map(key_of).collect(),
        columns: input.columns.clone(),
        nesting: Nesting(Vec::new()),
        nested: input
            .key
            .iter()
            .map(|column| nested::is_nested(&column.data_type))
            .collect(),
        parameters: Parameters::new(&input.settings.parameters),
    }))
}

struct Values {
    place: Place,
    /// The key column that each field is.
    keys: Vec<Option<usize>>,
    columns: Vec<ColumnDef>,
    /// The brackets that are open; memory that is used again.
    nesting: Nesting,
    /// For each noted column whether its values are made of others.
    nested: Vec<bool>,
    parameters: Parameters,
}

/// Brackets that are open.
struct Nesting(Vec<u8>);

/// What may come next between rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    First,
    BehindRow,
    BehindComma,
    /// Behind the `;` that ends the statement.
    BehindAll,
}

impl Framing for Values {
    fn step(&mut self, window: &Window<'_>, at: usize, key: &mut KeyFields) -> Result<Step, Stop> {
        let next = match comment(window, at)? {
            Some(end) => end,
            None => behind_space(window.bytes, at),
        };
        if next > at {
            return Ok(Step::Skipped { next });
        }
        match (window.bytes.get(at), self.place) {
            (None, _) => Ok(Step::End),
            (Some(b'('), Place::First | Place::BehindRow | Place::BehindComma) => {
                let end = self.row(window, at, key)?;
                self.place = Place::BehindRow;
                Ok(Step::Row {
                    row: at..end,
                    next: end,
                })
            }
            (Some(b','), Place::BehindRow) => Ok(self.pass(at, Place::BehindComma)),
            (Some(b';'), Place::First | Place::BehindRow | Place::BehindComma) => {
                Ok(self.pass(at, Place::BehindAll))
            }
            (Some(_), Place::BehindAll) => Err(Stop::fault(
                code::CANNOT_PARSE_INPUT,
                at,
                "expected the end of the data behind ';'",
            )),
            (Some(_), _) => Err(Stop::fault(
                code::CANNOT_PARSE_INPUT,
                at,
                "expected a row, which begins with '('",
            )),
        }
    }

    fn token<'a>(
        &self,
        index: usize,
        field: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Result<Token<'a>, ValueError> {
        if let Some(literal) = self.parameter(index, field) {
            return parameters::token(literal, scratch);
        }
        token_of(field, self.nested[index], scratch)
    }

    fn columns(&self) -> &[ColumnDef] {
        &self.columns
    }

    fn rewrites(&self) -> bool {
        self.parameters.are_given()
    }

    fn write(
        &self,
        bytes: &[u8],
        row: Range<usize>,
        key: &mut KeyFields,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        self.parameters.write(bytes, row, key, out);
        Ok(())
    }
}

impl Values {
    /// The literal of a noted field that is one parameter.
    fn parameter(&self, index: usize, field: &[u8]) -> Option<&[u8]> {
        let column = self.keys.iter().position(|key| *key == Some(index))?;
        self.parameters.literal_at(column, field)
    }

    fn pass(&mut self, at: usize, place: Place) -> Step {
        self.place = place;
        Step::Skipped { next: at + 1 }
    }

    /// Passes the row whose bracket opens at `start` and returns its end.
    fn row(&mut self, window: &Window<'_>, start: usize, key: &mut KeyFields) -> Result<usize, Stop> {
        self.nesting.0.clear();
        self.parameters.begin_row();
        let mut field = 0;
        let mut field_start = start + 1;
        let mut at = start + 1;
        loop {
            at = self.border(window, at)?;
            self.note(window.bytes, field, field_start..at, key)?;
            if window.bytes[at] == b')' {
                break;
            }
            field += 1;
            at += 1;
            field_start = at;
        }
        if field + 1 < self.keys.len() {
            let behind = &self.columns[field].name;
            let message = format!(
                "expected {} values in a row, found ')' behind that of column {behind}",
                self.keys.len()
            );
            return Err(Stop::fault(code::SYNTAX_ERROR, at, message));
        }
        if self.parameters.written_bytes(at + 1 - start) > window.row_bytes_max {
            return Err(Stop::Fault(too_long(start, window.row_bytes_max)));
        }
        Ok(at + 1)
    }

    /// Checks that a field is expected and not empty, and notes it if the key reads it.
    fn note(
        &mut self,
        bytes: &[u8],
        field: usize,
        range: Range<usize>,
        key: &mut KeyFields,
    ) -> Result<(), Stop> {
        let Some(index) = self.keys.get(field) else {
            let message = format!("expected ')' behind {} values", self.keys.len());
            return Err(Stop::fault(code::SYNTAX_ERROR, range.start, message));
        };
        let value = trimmed(bytes, range);
        if value.is_empty() {
            let message = format!("expected a value for column {}", self.columns[field].name);
            return Err(Stop::fault(code::SYNTAX_ERROR, value.start, message));
        }
        let column = (field, &self.columns[field]);
        self.parameters.end_field(bytes, &value, column)?;
        if let Some(index) = index {
            key[*index] = Some(value);
        }
        Ok(())
    }

    /// The comma or bracket that ends the field at `at`.
    fn border(&mut self, window: &Window<'_>, mut at: usize) -> Result<usize, Stop> {
        let bytes = window.bytes;
        loop {
            let found = bytes[at..].iter().position(|byte| is_special(*byte));
            at += found.ok_or(Stop::More {
                expected: "the rest of the row",
            })?;
            at = match bytes[at] {
                b',' | b')' if self.nesting.0.is_empty() => return Ok(at),
                b',' => at + 1,
                quote @ (b'\'' | b'"' | b'`') => behind_quotes(bytes, at, quote)?,
                open @ (b'(' | b'[') => self.nesting.open(at, open)?,
                b'{' => match self.parameters.pass(window, at)? {
                    Some(end) => end,
                    None => self.nesting.open(at, b'{')?,
                },
                close @ (b')' | b']' | b'}') => self.nesting.close(at, close)?,
                b'$' => return Err(heredoc(at)),
                _ => comment(window, at)?.unwrap_or(at + 1),
            };
        }
    }
}

impl Nesting {
    fn open(&mut self, at: usize, bracket: u8) -> Result<usize, Stop> {
        if self.0.len() == DEPTH_MAX {
            let message = format!("brackets are nested deeper than {DEPTH_MAX}");
            return Err(Stop::fault(code::SYNTAX_ERROR, at, message));
        }
        self.0.push(bracket);
        Ok(at + 1)
    }

    fn close(&mut self, at: usize, bracket: u8) -> Result<usize, Stop> {
        match (self.0.pop(), bracket) {
            (Some(b'('), b')') | (Some(b'['), b']') | (Some(b'{'), b'}') => Ok(at + 1),
            _ => Err(Stop::fault(
                code::SYNTAX_ERROR,
                at,
                "this bracket closes none that is open",
            )),
        }
    }
}

/// A value of a type that has others inside, or has not.
pub(crate) fn token_of<'a>(
    field: &'a [u8],
    is_nested: bool,
    scratch: &'a mut Vec<u8>,
) -> Result<Token<'a>, ValueError> {
    match field {
        [b'[' | b'(' | b'{', ..] if is_nested => Ok(Token::Sql(field)),
        _ => match token(field, scratch)? {
            // A text that would be read as the value is an expression too.
            Token::Text(_) | Token::Sql(_) if is_nested => Err(LITERAL),
            token => Ok(token),
        },
    }
}

/// A value that is a literal.
pub(crate) fn token<'a>(field: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<Token<'a>, ValueError> {
    match field {
        [b'\'', ..] => string(field, scratch),
        word if word.eq_ignore_ascii_case(b"NULL") => Ok(Token::Null),
        word if word.eq_ignore_ascii_case(b"DEFAULT") => Ok(Token::Absent),
        word if word.eq_ignore_ascii_case(b"true") => Ok(Token::Sql(b"true")),
        word if word.eq_ignore_ascii_case(b"false") => Ok(Token::Sql(b"false")),
        number if is_number(number) => Ok(Token::Sql(number)),
        _ => Err(LITERAL),
    }
}

/// The end of a literal at `start` that anything but a comma or bracket may end: `is_end` says where.
pub(crate) fn value_end(
    window: &Window<'_>,
    start: usize,
    is_end: impl Fn(usize) -> Result<bool, Stop>,
) -> Result<usize, Stop> {
    let mut nesting = Nesting(Vec::new());
    let mut at = start;
    loop {
        if nesting.0.is_empty() && is_end(at)? {
            break;
        }
        at = match window.bytes.get(at) {
            Some(quote @ (b'\'' | b'"' | b'`')) => behind_quotes(window.bytes, at, *quote)?,
            // A query parameter, which only VALUES has: carried as VALUES, it would ask for one.
            Some(b'{') if parameters::end_of(window, at)?.is_some() => {
                return Err(Stop::fault(code::CANNOT_PARSE_INPUT, at, "expected a literal"));
            }
            Some(open @ (b'(' | b'[' | b'{')) => nesting.open(at, *open)?,
            Some(close @ (b')' | b']' | b'}')) => nesting.close(at, *close)?,
            // Carried between commas and brackets, it would be two values or none.
            Some(b',' | b';' | b'#' | b'$') if nesting.0.is_empty() => {
                return Err(Stop::fault(
                    code::CANNOT_PARSE_INPUT,
                    at,
                    "expected the delimiter behind a value",
                ));
            }
            Some(b'-' | b'/') if window.bytes.get(at + 1) == window.bytes.get(at) => {
                return Err(Stop::fault(code::CANNOT_PARSE_INPUT, at, "expected a literal"));
            }
            Some(b'/' | b'#' | b'$') => {
                return Err(Stop::fault(code::CANNOT_PARSE_INPUT, at, "expected a literal"));
            }
            Some(_) => at + 1,
            None => {
                return Err(Stop::More {
                    expected: "the delimiter behind a value",
                });
            }
        };
    }
    if window.bytes[start..at].trim_ascii().is_empty() {
        return Err(Stop::fault(code::CANNOT_PARSE_INPUT, start, "expected a value"));
    }
    Ok(at)
}

fn is_special(byte: u8) -> bool {
    matches!(
        byte,
        b',' | b'\'' | b'"' | b'`' | b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'-' | b'/' | b'#' | b'$'
    )
}

fn heredoc(at: usize) -> Stop {
    Stop::fault(
        code::NOT_IMPLEMENTED,
        at,
        "$ outside of quotes is not read in VALUES; write strings in single quotes",
    )
}

/// The end of the comment at `at`, if one begins there: `-- …`, `# …`, `#! …` to the line's end, `/* … */`.
fn comment(window: &Window<'_>, at: usize) -> Result<Option<usize>, Stop> {
    let rest = &window.bytes[at..];
    let line_end = || memchr::memchr(b'\n', rest).map(|found| at + found + 1);
    match rest {
        [b'-' | b'/' | b'#'] if !window.last => Err(Stop::More {
            expected: "the rest of the row",
        }),
        [b'-', b'-', ..] | [b'#', b' ' | b'!', ..] => match line_end() {
            Some(end) => Ok(Some(end)),
            None if window.last => Ok(Some(window.bytes.len())),
            None => Err(Stop::More {
                expected: "the end of the comment",
            }),
        },
        [b'/', b'*', inner @ ..] => match memchr::memmem::find(inner, b"*/") {
            Some(found) => Ok(Some(at + 2 + found + 2)),
            None => Err(Stop::More {
                expected: "the end of the comment",
            }),
        },
        _ => Ok(None),
    }
}

/// The first byte behind the quotes that open at `at`; a doubled quote reads as two strings, which is as
/// long.
fn behind_quotes(bytes: &[u8], at: usize, quote: u8) -> Result<usize, Stop> {
    let mut from = at + 1;
    while let Some(found) = memchr::memchr2(quote, b'\\', bytes.get(from..).unwrap_or_default()) {
        let end = from + found;
        if bytes[end] == quote {
            return Ok(end + 1);
        }
        from = end + 2;
    }
    Err(Stop::More {
        expected: "the closing quote",
    })
}

fn trimmed(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let field = &bytes[range.clone()];
    let start = range.end - field.trim_ascii_start().len();
    start..start + field.trim_ascii().len()
}

/// The text of `'…'`, if the field is one string and nothing else.
fn string<'a>(field: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<Token<'a>, ValueError> {
    let inner = field[1..].strip_suffix(b"'").ok_or(LITERAL)?;
    if memchr::memchr2(b'\'', b'\\', inner).is_none() {
        return Ok(Token::Text(inner));
    }
    scratch.clear();
    let mut rest = inner;
    while let Some(found) = memchr::memchr2(b'\'', b'\\', rest) {
        let (plain, special) = rest.split_at(found);
        scratch.extend_from_slice(plain);
        rest = match special {
            [b'\'', b'\'', behind @ ..] => {
                scratch.push(b'\'');
                behind
            }
            [b'\\', ..] => {
                let len = escape_len(special).min(special.len());
                backslash::unescape(&special[..len], scratch)?;
                &special[len..]
            }
            // The string ended before the field did.
            _ => return Err(LITERAL),
        };
    }
    scratch.extend_from_slice(rest);
    Ok(Token::Text(scratch))
}

fn escape_len(escape: &[u8]) -> usize {
    if escape.get(1) == Some(&b'x') { 4 } else { 2 }
}

/// A decimal number with or without sign, fraction and exponent, or a word for a floating point one.
fn is_number(field: &[u8]) -> bool {
    std::str::from_utf8(field).is_ok_and(|text| text.parse::<f64>().is_ok())
}

#[cfg(test)]
mod tests;
