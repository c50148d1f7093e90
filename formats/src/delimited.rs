//! Rows of fields with a delimiter between them and a line end behind them: what TabSeparated and CSV share.
//!
//! A [`Dialect`] knows how one field ends and what its text is; this file counts fields, reads headers and
//! finds a header that nobody announced.

use std::ops::Range;

use types::{ColumnDef, DataType};

use crate::error::{FormatError, code};
use crate::framing::{Framing, KeyFields, Step, Stop, Token, ValueError, Window, skip_mark};
use crate::header::{self, Header};
use crate::stream::Input;

/// What ends a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Delimiter,
    Line,
}

/// One field in the window.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FieldAt {
    /// The field with its quotes, without the space around it.
    pub content: Range<usize>,
    pub ending: Ending,
    /// The first byte behind the delimiter or the line end.
    pub next: usize,
}

/// Whether a field's text is bare for the format, which decides about quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nature {
    /// String, FixedString, Enum, and a header's names.
    Word,
    /// The same inside Nullable.
    NullableWord,
    /// Any other type.
    Other,
}

/// How one format writes its fields.
pub(crate) trait Dialect: Send {
    /// The delimiter's name in errors.
    const DELIMITER: &'static str;
    /// The code of a line with too many fields.
    const SURPLUS: i32;

    /// Finds the field at `at`. The body's end ends a line too.
    fn field(&self, window: &Window<'_>, at: usize, nature: Nature) -> Result<FieldAt, Stop>;

    /// Reads a field's text.
    fn token<'a>(
        &self,
        field: &'a [u8],
        nature: Nature,
        scratch: &'a mut Vec<u8>,
    ) -> Result<Token<'a>, ValueError>;

    /// Where the row really ends if a delimiter behind its last field is allowed; `next` is the byte behind
    /// it.
    fn end_behind_delimiter(&self, window: &Window<'_>, next: usize) -> Result<Option<usize>, Stop>;

    /// What belongs to no row although it stands where one would begin: the half of a line end, say.
    fn between_rows(&self, window: &Window<'_>, at: usize) -> Option<usize>;
}

/// What a body may begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Head {
    /// A byte order mark, then what follows.
    Mark(Announced),
    /// A line of names, or perhaps one.
    Names(Announced),
    /// A header was found although not announced: types may follow it.
    Types { names: usize },
    /// No header is left.
    Rows,
}

/// Whether the format's name promises a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Announced {
    Header,
    Perhaps,
    Nothing,
}

/// A body of delimited fields.
pub(crate) struct Delimited<D> {
    dialect: D,
    head: Head,
    header: Header,
    /// Whether the line before ended in LF alone, so that the other half of LF CR may follow.
    behind_lf: bool,
    columns: Vec<ColumnDef>,
    fields: Vec<Field>,
    /// The nature of each key column.
    key_natures: Vec<Nature>,
    key: Vec<ColumnDef>,
    tuples_as_fields: bool,
}

/// One field of a row.
struct Field {
    nature: Nature,
    key: Option<usize>,
    /// The column it belongs to, for errors.
    column: usize,
}

impl<D: Dialect> Delimited<D> {
    pub(crate) fn new(dialect: D, input: &Input<'_>, announced: Announced, tuples_as_fields: bool) -> Self {
        let mut this = Self {
            dialect,
            head: first_head(input, announced),
            header: Header::new(input, tuples_as_fields),
            behind_lf: false,
            columns: Vec::new(),
            fields: Vec::new(),
            key_natures: input.key.iter().map(|column| nature(&column.data_type)).collect(),
            key: input.key.to_vec(),
            tuples_as_fields,
        };
        this.set_columns(input.columns.clone());
        this
    }

    fn set_columns(&mut self, columns: Vec<ColumnDef>) {
        self.fields.clear();
        for (index, column) in columns.iter().enumerate() {
            let key = self.key.iter().position(|key| key.name == column.name);
            let count = if self.tuples_as_fields {
                header::leaves(&column.data_type)
            } else {
                1
            };
            let field = || Field {
                nature: nature(&column.data_type),
                key,
                column: index,
            };
            self.fields.extend(std::iter::repeat_with(field).take(count));
        }
        self.columns = columns;
    }

    fn row(&self, window: &Window<'_>, start: usize, key: &mut KeyFields) -> Result<Step, Stop> {
        let mut at = start;
        let last = self.fields.len() - 1;
        for (index, field) in self.fields.iter().enumerate() {
            let found = self.dialect.field(window, at, field.nature)?;
            at = found.next;
            let end = found.content.end;
            if let Some(index) = field.key {
                key[index] = Some(found.content);
            }
            match (found.ending, index == last) {
                (Ending::Delimiter, false) => {}
                (Ending::Delimiter, true) => return self.surplus(window, start..end, at),
                (Ending::Line, false) => return Err(self.lack(field, index, end)),
                (Ending::Line, true) => {
                    return Ok(Step::Row {
                        row: start..end,
                        next: at,
                    });
                }
            }
        }
        // Only a row without fields comes here; `need_columns` has refused it.
        Ok(Step::End)
    }

    fn surplus(&self, window: &Window<'_>, row: Range<usize>, at: usize) -> Result<Step, Stop> {
        if let Some(next) = self.dialect.end_behind_delimiter(window, at)? {
            return Ok(Step::Row { row, next });
        }
        let count = self.fields.len();
        let message = format!(
            "expected the end of the line behind {count} fields, found {}",
            D::DELIMITER
        );
        Err(Stop::fault(D::SURPLUS, row.end, message))
    }

    fn lack(&self, field: &Field, index: usize, at: usize) -> Stop {
        let message = format!(
            "expected {} and {} more fields behind column {}, found the end of the line",
            D::DELIMITER,
            self.fields.len() - 1 - index,
            self.columns[field.column].name
        );
        Stop::fault(code::CANNOT_PARSE_INPUT, at, message)
    }

    /// The texts of one line, however many.
    fn line(&self, window: &Window<'_>, start: usize) -> Result<(Vec<Vec<u8>>, usize), Stop> {
        let mut texts = Vec::new();
        let mut at = start;
        loop {
            let found = self.dialect.field(window, at, Nature::Word)?;
            let mut scratch = Vec::new();
            let token = self
                .dialect
                .token(&window.bytes[found.content.clone()], Nature::Word, &mut scratch);
            texts.push(
                match token.map_err(|error| fault_in_header(error, found.content.start))? {
                    Token::Text(text) => text.to_vec(),
                    _ => Vec::new(),
                },
            );
            at = found.next;
            if found.ending == Ending::Line {
                return Ok((texts, at));
            }
        }
    }

    fn announced_header(&mut self, window: &Window<'_>, at: usize) -> Result<Step, Stop> {
        let (names, next) = self.line(window, at)?;
        let columns = self.header.columns(&names).map_err(|error| error.at(at))?;
        if let Some(columns) = columns {
            self.set_columns(columns);
        }
        self.head = Head::Rows;
        self.behind_lf = ends_in_lf(window, next);
        Ok(Step::Skipped { next })
    }

    /// A first line that is a header by its words; what cannot even be read as a line is left to the row's
    /// reading.
    fn perhaps_header(&mut self, window: &Window<'_>, at: usize) -> Result<Step, Stop> {
        match self.line(window, at) {
            Ok((names, next)) if self.header.is_header(&names) => {
                let columns = self.header.columns(&names).map_err(|error| error.at(at))?;
                if let Some(columns) = columns {
                    self.set_columns(columns);
                }
                self.head = Head::Types { names: names.len() };
                self.behind_lf = ends_in_lf(window, next);
                Ok(Step::Skipped { next })
            }
            Err(stop @ Stop::More { .. }) if !window.last => Err(stop),
            Ok(_) | Err(_) => {
                self.head = Head::Rows;
                Ok(Step::Skipped { next: at })
            }
        }
    }

    /// Behind a header that was found, a line of types is one too.
    fn perhaps_types(&mut self, window: &Window<'_>, at: usize, names: usize) -> Result<Step, Stop> {
        let next = match self.line(window, at) {
            Ok((types, next)) if types.iter().all(|text| is_type(text)) => {
                if types.len() != names {
                    let message = format!("the header has {names} names but {} types", types.len());
                    return Err(Stop::fault(code::INCORRECT_DATA, at, message));
                }
                next
            }
            Err(stop @ Stop::More { .. }) if !window.last => return Err(stop),
            Ok(_) | Err(_) => at,
        };
        self.head = Head::Rows;
        Ok(Step::Skipped { next })
    }
}

impl<D: Dialect> Framing for Delimited<D> {
    fn step(&mut self, window: &Window<'_>, at: usize, key: &mut KeyFields) -> Result<Step, Stop> {
        if at == window.bytes.len() {
            return Ok(Step::End);
        }
        match self.head {
            Head::Rows => match self.dialect.between_rows(window, at).filter(|_| self.behind_lf) {
                Some(next) => {
                    self.behind_lf = false;
                    Ok(Step::Skipped { next })
                }
                None => {
                    let step = self.row(window, at, key)?;
                    if let Step::Row { next, .. } = step {
                        self.behind_lf = ends_in_lf(window, next);
                    }
                    Ok(step)
                }
            },
            Head::Mark(announced) => {
                let step = skip_mark(window, at)?;
                self.head = Head::Names(announced);
                Ok(step.unwrap_or(Step::Skipped { next: at }))
            }
            Head::Names(Announced::Header) => self.announced_header(window, at),
            Head::Names(Announced::Perhaps) => self.perhaps_header(window, at),
            Head::Names(Announced::Nothing) => {
                self.head = Head::Rows;
                Ok(Step::Skipped { next: at })
            }
            Head::Types { names } => self.perhaps_types(window, at, names),
        }
    }

    fn token<'a>(
        &self,
        index: usize,
        field: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Result<Token<'a>, ValueError> {
        self.dialect.token(field, self.key_natures[index], scratch)
    }

    fn columns(&self) -> &[ColumnDef] {
        &self.columns
    }
}

/// ClickHouse takes a byte order mark for data only where the first column's text may hold any bytes.
fn first_head(input: &Input<'_>, announced: Announced) -> Head {
    let first = input
        .columns
        .first()
        .map(|column| column.data_type.without_nullable());
    let any_bytes = matches!(
        first,
        Some(
            DataType::String
                | DataType::FixedString(_)
                | DataType::Array(_)
                | DataType::Tuple(_)
                | DataType::Map(..)
        )
    );
    if any_bytes && announced != Announced::Header {
        Head::Names(announced)
    } else {
        Head::Mark(announced)
    }
}

fn ends_in_lf(window: &Window<'_>, end: usize) -> bool {
    matches!(window.bytes[..end], [.., before, b'\n'] if before != b'\r') || window.bytes[..end] == *b"\n"
}

fn nature(data_type: &DataType) -> Nature {
    match data_type.without_nullable() {
        DataType::String | DataType::FixedString(_) | DataType::Enum8(_) | DataType::Enum16(_) => {
            if data_type.is_nullable() {
                Nature::NullableWord
            } else {
                Nature::Word
            }
        }
        _ => Nature::Other,
    }
}

fn is_type(text: &[u8]) -> bool {
    let parsed = std::str::from_utf8(text)
        .ok()
        .and_then(|text| DataType::parse(text).ok());
    matches!(parsed, Some(data_type) if !matches!(data_type, DataType::Other(_)))
}

fn fault_in_header(error: ValueError, at: usize) -> Stop {
    Stop::fault(
        error.code,
        at,
        format!("cannot read the header: expected {}", error.expected),
    )
}

/// Fails when a body of lines has no column to fill.
pub(crate) fn need_columns(input: &Input<'_>) -> Result<(), FormatError> {
    if input.columns.is_empty() {
        return Err(FormatError::plain(
            code::NO_SUCH_COLUMN,
            "there is no column that takes INSERTs",
        ));
    }
    Ok(())
}
