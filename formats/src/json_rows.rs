//! JSON rows one behind the other, separated by white space, commas or nothing, perhaps inside one array.
//!
//! A [`JsonRow`] knows one row: an object or an array. [`Sequence`] knows what may stand between rows.

use std::ops::Range;

use types::{ColumnDef, DataType};

use crate::error::code;
use crate::escape;
use crate::framing::{
    Fault, Framing, KeyFields, Step, Stop, Token, ValueError, Window, behind_space, skip_mark,
};
use crate::json_each_row::text;
use crate::nested::is_nested;
use crate::stream::Input;

/// One row of a JSON format.
pub(crate) trait JsonRow: Send {
    /// The bracket that a row begins with.
    const OPEN: u8;
    /// The same in words.
    const ROW: &'static str;
    /// Whether all rows may stand in one array.
    const ARRAY: bool;

    /// Passes the row whose bracket stands at `start` and returns its end.
    fn row(&mut self, window: &Window<'_>, start: usize, key: &mut KeyFields) -> Result<usize, Stop>;

    /// Whether the next bracket opens a line of the header.
    fn header_is_due(&self) -> bool {
        false
    }

    /// Reads a line of the header and returns its end.
    fn header(&mut self, _: &Window<'_>, start: usize) -> Result<usize, Stop> {
        Ok(start)
    }

    /// Takes the names and types of a document's `meta`; an error says what is wrong with them.
    fn meta(&mut self, names: &[Vec<u8>], types: &[Vec<u8>]) -> Result<(), String>;

    /// Whether rows can be read without a `meta` in front.
    fn needs_meta(&self) -> bool {
        false
    }

    fn token<'a>(
        &self,
        index: usize,
        field: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Result<Token<'a>, ValueError>;

    fn columns(&self) -> &[ColumnDef];

    fn rewrites(&self) -> bool {
        false
    }

    /// As [`Framing::write`]; called only where rows are rewritten.
    fn write(&self, _: &[u8], _: Range<usize>, _: &mut KeyFields, _: &mut Vec<u8>) -> Result<(), Fault> {
        Ok(())
    }
}

/// Rows one behind the other.
pub(crate) struct Sequence<R> {
    rows: R,
    place: Place,
}

impl<R> Sequence<R> {
    pub(crate) fn new(rows: R) -> Self {
        Self {
            rows,
            place: Place::Start,
        }
    }
}

/// What may come next between rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    /// In front of the first row.
    First {
        array: bool,
    },
    /// Behind a row: a comma, another row, or the end.
    BehindRow {
        array: bool,
    },
    /// Behind a comma: a row, or without an array the end.
    BehindComma {
        array: bool,
    },
    /// Behind the array: one `;`, white space.
    BehindArray,
    /// Behind a `;`: white space.
    BehindAll,
}

impl<R: JsonRow> Framing for Sequence<R> {
    fn step(&mut self, window: &Window<'_>, at: usize, key: &mut KeyFields) -> Result<Step, Stop> {
        let next = behind_space(window.bytes, at);
        if next > at {
            return Ok(Step::Skipped { next });
        }
        if at == window.bytes.len() {
            return self.end();
        }
        if self.place == Place::Start {
            let step = skip_mark(window, at)?;
            self.place = Place::First { array: false };
            return Ok(step.unwrap_or(Step::Skipped { next: at }));
        }
        match (window.bytes[at], self.place) {
            (open, Place::First { array } | Place::BehindRow { array } | Place::BehindComma { array })
                if open == R::OPEN =>
            {
                let is_header = self.rows.header_is_due();
                let end = if is_header {
                    self.rows.header(window, at)?
                } else {
                    self.rows.row(window, at, key)?
                };
                self.place = Place::BehindRow { array };
                Ok(if is_header {
                    Step::Skipped { next: end }
                } else {
                    Step::Row {
                        row: at..end,
                        next: end,
                    }
                })
            }
            (separator, place) => {
                self.place = place.behind::<R>(separator).map_err(|expected| {
                    Stop::fault(code::CANNOT_PARSE_INPUT, at, format!("expected {expected}"))
                })?;
                Ok(Step::Skipped { next: at + 1 })
            }
        }
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
        self.rows.write(bytes, row, key, out)
    }
}

impl<R: JsonRow> Sequence<R> {
    fn end(&self) -> Result<Step, Stop> {
        match self.place {
            Place::First { array: true }
            | Place::BehindRow { array: true }
            | Place::BehindComma { array: true } => Err(Stop::More {
                expected: "']' at the end of the array",
            }),
            Place::BehindRow { .. } | Place::BehindComma { .. } if self.rows.header_is_due() => {
                Err(Stop::More {
                    expected: "the header's types",
                })
            }
            _ => Ok(Step::End),
        }
    }
}

impl Place {
    /// Where a byte that is no row leads; else what was expected.
    fn behind<R: JsonRow>(self, byte: u8) -> Result<Self, &'static str> {
        match (byte, self) {
            (b'[', Self::First { array: false }) if R::ARRAY => Ok(Self::First { array: true }),
            (b']', Self::First { array: true } | Self::BehindRow { array: true }) => Ok(Self::BehindArray),
            (b',', Self::BehindRow { array }) => Ok(Self::BehindComma { array }),
            (b';', Self::First { array: false } | Self::BehindRow { array: false } | Self::BehindArray) => {
                Ok(Self::BehindAll)
            }
            (_, Self::BehindArray | Self::BehindAll) => Err("the end of the data"),
            (_, Self::BehindRow { array: true }) => Err("a comma, a row or ']'"),
            _ => Err(R::ROW),
        }
    }
}

/// How values stand in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Values {
    /// Any JSON.
    Json,
    /// Strings that hold the value's text (the formats with `Strings` in their name).
    Strings,
}

/// What reading the noted columns' values takes.
pub(crate) struct Tokens {
    pub values: Values,
    /// For each noted column whether any text is a value of it.
    takes_any_text: Vec<bool>,
    /// For each noted column whether its values are made of others.
    nested: Vec<bool>,
}

impl Tokens {
    pub(crate) fn new(input: &Input<'_>, values: Values) -> Self {
        let takes_any_text = |column: &ColumnDef| {
            matches!(
                column.data_type.without_nullable(),
                DataType::String | DataType::FixedString(_)
            )
        };
        Self {
            values,
            takes_any_text: input.key.iter().map(takes_any_text).collect(),
            nested: input
                .key
                .iter()
                .map(|column| is_nested(&column.data_type))
                .collect(),
        }
    }

    pub(crate) fn token<'a>(
        &self,
        index: usize,
        field: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Result<Token<'a>, ValueError> {
        const NOTHING: ValueError = ValueError {
            code: code::ATTEMPT_TO_READ_AFTER_EOF,
            expected: "a value in the quotes",
        };
        match (field, self.values) {
            (field, Values::Json) => {
                json_token(field, self.nested.get(index).copied().unwrap_or(false), scratch)
            }
            ([b'"', inner @ .., b'"'], Values::Strings) => match text::unescape(inner, scratch)? {
                b"" if !self.takes_any_text.get(index).copied().unwrap_or(true) => Err(NOTHING),
                text if is_null(text) => Ok(Token::Null),
                text => Ok(Token::Text(text)),
            },
            (bare, _) => Ok(Token::Json(bare)),
        }
    }

    /// Checks a value of any column, of which only the first byte is looked at.
    pub(crate) fn check(&self, window: &Window<'_>, at: usize) -> Result<(), Stop> {
        match (self.values, window.bytes.get(at)) {
            (Values::Strings, Some(byte)) if *byte != b'"' => Err(Stop::fault(
                code::CANNOT_PARSE_QUOTED_STRING,
                at,
                "expected a value in double quotes",
            )),
            _ => Ok(()),
        }
    }
}

/// A JSON value; the text in a string is the value of a type only that has no others inside.
pub(crate) fn json_token<'a>(
    field: &'a [u8],
    is_nested: bool,
    scratch: &'a mut Vec<u8>,
) -> Result<Token<'a>, ValueError> {
    match field {
        b"null" => Ok(Token::Null),
        [b'"', inner @ .., b'"'] if !is_nested => text::unescape(inner, scratch).map(Token::Text),
        value => Ok(Token::Json(value)),
    }
}

/// Writes the text in a string as a value of TabSeparated or TSKV: for shards that know no formats with `Strings` in their name.
pub(crate) fn write_escaped(
    column: &ColumnDef,
    bytes: &[u8],
    found: &Range<usize>,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let fault = |code: i32, message: String| Fault {
        code,
        at: found.start,
        message,
    };
    let unread = |error: ValueError| fault(error.code, format!("expected {}", error.expected));
    let value = &bytes[found.clone()];
    let inner = value.get(1..value.len() - 1).unwrap_or_default();
    let mut scratch = Vec::new();
    let text = text::unescape(inner, &mut scratch).map_err(unread)?;
    match (is_null(text), column.data_type.is_nullable()) {
        (false, _) => escape::tab_separated_value(text, &column.data_type, out).map_err(unread),
        (true, true) => {
            out.extend_from_slice(b"\\N");
            Ok(())
        }
        (true, false) => {
            let message = format!(
                "NULL for column {}, whose type takes none, cannot be written for an old shard",
                column.name
            );
            Err(fault(code::NOT_IMPLEMENTED, message))
        }
    }
}

/// Whether a string is NULL for the formats with `Strings` in their name.
pub(crate) fn is_null(text: &[u8]) -> bool {
    text.eq_ignore_ascii_case(b"NULL") || text == "ᴺᵁᴸᴸ".as_bytes()
}
