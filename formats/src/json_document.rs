//! JSON and JSONCompact: one object whose member `data` holds the rows, as ClickHouse itself answers.
//!
//! Read as a stream: members in front of `data` are passed over but for `meta`, whose names say what stands where in
//! JSONCompact's rows and whose types are held against the table's.

use std::ops::Range;

use types::ColumnDef;

use crate::error::{FormatError, code};
use crate::framing::{
    Fault, Framing, KeyFields, Step, Stop, Token, ValueError, Window, behind_space, byte, skip_mark,
};
use crate::header::Announced;
use crate::json_compact::Arrays;
use crate::json_each_row::{Objects, name_text, scan};
use crate::json_rows::{JsonRow, Values};
use crate::stream::Input;

pub(crate) fn open(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    Ok(Box::new(Document::new(Objects::new(input, Values::Json)?)))
}

pub(crate) fn open_compact(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    Ok(Box::new(Document::new(Arrays::new(
        input,
        Values::Json,
        Announced::Nothing,
    )?)))
}

struct Document<R> {
    rows: R,
    place: Place,
    has_data: bool,
    nesting: Vec<u8>,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    /// The document's bracket.
    Open,
    /// A member, or the document's end.
    MemberOrEnd,
    /// A member.
    Member,
    /// A comma or the document's end.
    CommaOrEnd,
    /// A row, or the end of `data`.
    RowOrEnd,
    /// A row.
    Row,
    /// A comma or the end of `data`.
    CommaOrEndOfData,
    /// One `;`, then nothing.
    BehindAll {
        semicolon: bool,
    },
}

impl Place {
    fn expected(self) -> &'static str {
        match self {
            Self::Start | Self::Open => "'{', which begins the document",
            Self::MemberOrEnd => "a member's name or '}'",
            Self::Member => "a member's name",
            Self::CommaOrEnd => "a comma or '}' behind a member",
            Self::RowOrEnd => "a row or ']'",
            Self::Row => "a row",
            Self::CommaOrEndOfData => "a comma or ']' behind a row",
            Self::BehindAll { .. } => "the end of the data",
        }
    }
}

impl<R> Document<R> {
    fn new(rows: R) -> Self {
        Self {
            rows,
            place: Place::Start,
            has_data: false,
            nesting: Vec::new(),
        }
    }
}

impl<R: JsonRow> Framing for Document<R> {
    fn step(&mut self, window: &Window<'_>, at: usize, key: &mut KeyFields) -> Result<Step, Stop> {
        let next = behind_space(window.bytes, at);
        if next > at {
            return Ok(Step::Skipped { next });
        }
        let Some(&found) = window.bytes.get(at) else {
            return self.end();
        };
        let (next, place) = match (self.place, found) {
            (Place::Start, _) => {
                let step = skip_mark(window, at)?;
                self.place = Place::Open;
                return Ok(step.unwrap_or(Step::Skipped { next: at }));
            }
            (Place::Open, b'{') => (at + 1, Place::MemberOrEnd),
            (Place::MemberOrEnd | Place::Member, b'"') => self.member(window, at)?,
            (Place::CommaOrEnd, b',') => (at + 1, Place::Member),
            (Place::MemberOrEnd | Place::CommaOrEnd, b'}') => self.close(at)?,
            (Place::RowOrEnd | Place::Row, open) if open == R::OPEN => {
                let end = self.rows.row(window, at, key)?;
                self.place = Place::CommaOrEndOfData;
                return Ok(Step::Row {
                    row: at..end,
                    next: end,
                });
            }
            (Place::CommaOrEndOfData, b',') => (at + 1, Place::Row),
            (Place::RowOrEnd | Place::CommaOrEndOfData, b']') => (at + 1, Place::CommaOrEnd),
            (Place::BehindAll { semicolon: false }, b';') => (at + 1, Place::BehindAll { semicolon: true }),
            (place, _) => {
                let message = format!("expected {}", place.expected());
                return Err(Stop::fault(code::CANNOT_PARSE_INPUT, at, message));
            }
        };
        self.place = place;
        Ok(Step::Skipped { next })
    }

    fn token<'a>(
        &self,
        index: usize,
        field: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Result<Token<'a>, ValueError> {
        self.rows.token(index, field, scratch)
    }

    fn columns(&self) -> &[ColumnDef] {
        self.rows.columns()
    }

    fn rewrites(&self) -> bool {
        self.rows.rewrites()
    }

    fn write(
        &self,
        bytes: &[u8],
        row: Range<usize>,
        key: &mut KeyFields,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        if self.rows.rewrites() {
            return self.rows.write(bytes, row, key, out);
        }
        Ok(())
    }
}

impl<R: JsonRow> Document<R> {
    /// An empty body is no rows; a document must be whole.
    fn end(&self) -> Result<Step, Stop> {
        match self.place {
            Place::Start | Place::Open | Place::BehindAll { .. } => Ok(Step::End),
            place => Err(Stop::More {
                expected: place.expected(),
            }),
        }
    }

    fn close(&self, at: usize) -> Result<(usize, Place), Stop> {
        if !self.has_data {
            let message = "the document has no member \"data\", which holds the rows";
            return Err(Stop::fault(code::INCORRECT_DATA, at, message));
        }
        Ok((at + 1, Place::BehindAll { semicolon: false }))
    }

    /// Passes a member; of `data` only the bracket.
    fn member(&mut self, window: &Window<'_>, at: usize) -> Result<(usize, Place), Stop> {
        let name = scan::name(window, at)?;
        let start = behind_colon(window, name.end + 1)?;
        match &window.bytes[name] {
            b"data" => self.data(window, at, start),
            b"meta" if !self.has_data => {
                let (names, types, end) = meta(window, start, &mut self.nesting)?;
                self.rows
                    .meta(&names, &types)
                    .map_err(|message| Stop::fault(code::INCORRECT_DATA, start, message))?;
                Ok((end, Place::CommaOrEnd))
            }
            _ => Ok((scan::value(window, start, &mut self.nesting)?, Place::CommaOrEnd)),
        }
    }

    fn data(&mut self, window: &Window<'_>, at: usize, start: usize) -> Result<(usize, Place), Stop> {
        let refused = if self.has_data {
            Some("the member \"data\" stands in the document a second time")
        } else if self.rows.needs_meta() {
            Some("expected the member \"meta\" in front of \"data\": it says which column is where")
        } else if byte(window, start, "the rows")? != b'[' {
            Some("the member \"data\" must be an array of rows")
        } else {
            None
        };
        if let Some(message) = refused {
            return Err(Stop::fault(code::INCORRECT_DATA, at, message));
        }
        self.has_data = true;
        Ok((start + 1, Place::RowOrEnd))
    }
}

/// The value behind a name and its colon.
fn behind_colon(window: &Window<'_>, at: usize) -> Result<usize, Stop> {
    let colon = behind_space(window.bytes, at);
    if byte(window, colon, "a colon")? != b':' {
        let message = "expected a colon behind the name";
        return Err(Stop::fault(code::CANNOT_PARSE_INPUT, colon, message));
    }
    let start = behind_space(window.bytes, colon + 1);
    byte(window, start, "a value")?;
    Ok(start)
}

type Meta = (Vec<Vec<u8>>, Vec<Vec<u8>>, usize);

/// Reads `[{"name":…,"type":…},…]`: names, types, and the end.
fn meta(window: &Window<'_>, start: usize, nesting: &mut Vec<u8>) -> Result<Meta, Stop> {
    const SHAPE: &str =
        "the member \"meta\" must be an array of objects with the strings \"name\" and \"type\"";
    let wrong = |at: usize| Stop::fault(code::INCORRECT_DATA, at, SHAPE);
    let (mut names, mut types) = (Vec::new(), Vec::new());
    // Only a value that is whole and sound is looked into.
    let end = scan::value(window, start, nesting)?;
    let mut at = start;
    while window.bytes[at] != b']' {
        if !matches!((at == start, window.bytes[at]), (true, b'[') | (false, b',')) {
            return Err(wrong(at));
        }
        at = behind_space(window.bytes, at + 1);
        match window.bytes[at] {
            b'{' => {}
            b']' if names.is_empty() => break,
            _ => return Err(wrong(at)),
        }
        let (name, data_type, behind) = meta_column(window, at, nesting)?;
        names.push(name.ok_or_else(|| wrong(at))?);
        types.push(data_type.ok_or_else(|| wrong(at))?);
        at = behind_space(window.bytes, behind);
    }
    Ok((names, types, end))
}

type MetaColumn = (Option<Vec<u8>>, Option<Vec<u8>>, usize);

/// One object of `meta`, which is known to be sound: its name, its type and its end.
fn meta_column(window: &Window<'_>, start: usize, nesting: &mut Vec<u8>) -> Result<MetaColumn, Stop> {
    let (mut name, mut data_type) = (None, None);
    let mut at = behind_space(window.bytes, start + 1);
    while byte(window, at, "the end of \"meta\"")? != b'}' {
        let member = scan::name(window, at)?;
        let value = behind_colon(window, member.end + 1)?;
        let end = scan::value(window, value, nesting)?;
        let text = || -> Result<Option<Vec<u8>>, Stop> {
            let Some(inner) = window.bytes[value..end].strip_prefix(b"\"") else {
                return Ok(None);
            };
            let inner = &inner[..inner.len() - 1];
            let mut scratch = Vec::new();
            Ok(Some(name_text(inner, value, &mut scratch)?.to_vec()))
        };
        match &window.bytes[member] {
            b"name" => name = text()?,
            b"type" => data_type = text()?,
            _ => {}
        }
        at = behind_space(window.bytes, end);
        if window.bytes.get(at) == Some(&b',') {
            at = behind_space(window.bytes, at + 1);
        }
    }
    Ok((name, data_type, at + 1))
}

#[cfg(test)]
mod tests;
