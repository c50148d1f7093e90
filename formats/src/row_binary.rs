//! RowBinary and its kin: values end to end, no separators; rows are found by the types alone.
//!
//! RowBinaryWithNames and -WithNamesAndTypes begin with the columns' count, names, and types; RowBinaryWithDefaults
//! puts a byte in front of each value that says whether there is one.

mod reader;
mod shape;
mod type_code;

use std::ops::Range;

use types::{ColumnDef, DataType};

use self::reader::Reader;
use self::shape::{Reading, Shape};
use crate::cursor::REST;
use crate::error::{FormatError, code};
use crate::framing::{Fault, Framing, KeyFields, Step, Stop, Token, ValueError, Window};
use crate::header;
use crate::settings::Family;
use crate::stream::Input;

pub(crate) fn open(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    RowBinary::boxed(input, Head::Rows, false)
}

pub(crate) fn open_with_names(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    RowBinary::boxed(input, Head::Names, false)
}

pub(crate) fn open_with_names_and_types(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    RowBinary::boxed(input, Head::NamesAndTypes, false)
}

pub(crate) fn open_with_defaults(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    RowBinary::boxed(input, Head::Rows, true)
}

struct RowBinary {
    head: Head,
    fields: Vec<Field>,
    /// Whether a byte in front of each value says whether there is one.
    flagged: bool,
    columns: Vec<ColumnDef>,
    key: Vec<ColumnDef>,
    reading: Reading,
    names_count: bool,
    types_count: bool,
    skip_unknown: bool,
}

/// What the body begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    Names,
    NamesAndTypes,
    Rows,
}

/// A column, or several of fixed length that the key does not read.
struct Field {
    shape: Shape,
    key: Option<usize>,
    /// A column that the table does not have: its values are left out of the rows.
    unknown: bool,
}

impl Framing for RowBinary {
    fn step(&mut self, window: &Window<'_>, at: usize, key: &mut KeyFields) -> Result<Step, Stop> {
        if self.head != Head::Rows {
            return self.header(window, at);
        }
        if at == window.bytes.len() {
            return Ok(Step::End);
        }
        let mut reader = Reader::new(window, at);
        for field in &self.fields {
            let value = self.field(&mut reader, field)?;
            if let Some(index) = field.key {
                key[index] = Some(value);
            }
        }
        Ok(Step::Row {
            row: at..reader.cursor.at,
            next: reader.cursor.at,
        })
    }

    fn token<'a>(&self, index: usize, field: &'a [u8], _: &'a mut Vec<u8>) -> Result<Token<'a>, ValueError> {
        let broken = ValueError {
            code: code::INCORRECT_DATA,
            expected: "a value",
        };
        let shape = self
            .fields
            .iter()
            .find(|of| of.key == Some(index))
            .map(|of| &of.shape)
            .ok_or(broken)?;
        let value = match field {
            [1] if self.flagged => return Ok(Token::Absent),
            [_, value @ ..] if self.flagged => value,
            value => value,
        };
        match (shape, value) {
            (Shape::Nullable(_), [1]) => Ok(Token::Null),
            (Shape::Nullable(inner), [_, value @ ..]) => Ok(plain(inner, value)),
            (shape, value) => Ok(plain(shape, value)),
        }
    }

    fn columns(&self) -> &[ColumnDef] {
        &self.columns
    }

    fn rewrites(&self) -> bool {
        self.fields.iter().any(|field| field.unknown)
    }

    fn write(
        &self,
        bytes: &[u8],
        row: Range<usize>,
        key: &mut KeyFields,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let window = Window {
            bytes,
            last: true,
            row_bytes_max: row.len(),
        };
        let mut reader = Reader::new(&window, row.start);
        for field in &self.fields {
            // It was passed over once, so it can be again.
            let Ok(value) = self.field(&mut reader, field) else {
                break;
            };
            if field.unknown {
                continue;
            }
            let start = out.len();
            out.extend_from_slice(&bytes[value]);
            if let Some(index) = field.key {
                key[index] = Some(start..out.len());
            }
        }
        Ok(())
    }
}

/// A value that is there, a string without its length.
fn plain<'a>(shape: &Shape, value: &'a [u8]) -> Token<'a> {
    let text = match shape {
        Shape::Text => value
            .iter()
            .position(|byte| byte & 0x80 == 0)
            .map_or(value, |end| &value[end + 1..]),
        _ => value,
    };
    Token::Binary(text)
}

impl RowBinary {
    fn boxed(input: &Input<'_>, head: Head, flagged: bool) -> Result<Box<dyn Framing>, FormatError> {
        input.settings.allow(Family::Any)?;
        input.settings.allow(Family::Binary)?;
        let mut this = Self {
            head,
            fields: Vec::new(),
            flagged,
            columns: input.columns.clone(),
            key: input.key.to_vec(),
            reading: Reading {
                json_as_text: input.settings.binary_json_as_text,
            },
            names_count: input.settings.names_use_header,
            types_count: input.settings.types_use_header,
            skip_unknown: input.settings.skip_unknown_fields,
        };
        if head == Head::Rows {
            let fields = this.columns.iter().map(|column| this.known(column));
            this.fields = fields
                .collect::<Result<_, _>>()
                .map_err(|message| FormatError::plain(code::NOT_IMPLEMENTED, message))?;
            if !flagged {
                this.fields = joined(std::mem::take(&mut this.fields));
            }
        }
        Ok(Box::new(this))
    }

    /// Passes a field: its value, and the byte in front of it where there is one.
    fn field(&self, reader: &mut Reader<'_, '_>, field: &Field) -> Result<Range<usize>, Stop> {
        let start = reader.cursor.at;
        // ClickHouse takes any byte but 0 for "no value"; only 1 is ever written.
        match self.flagged.then(|| reader.cursor.byte()).transpose()? {
            None | Some(0) => reader.value(&field.shape).map(|_| ())?,
            Some(1) => {}
            Some(_) => {
                return Err(Stop::fault(
                    code::INCORRECT_DATA,
                    start,
                    "a value begins with byte 0, or is byte 1 alone for the column's default",
                ));
            }
        }
        Ok(start..reader.cursor.at)
    }

    /// Takes the header in one step: what the columns are, and so where rows end.
    fn header(&mut self, window: &Window<'_>, at: usize) -> Result<Step, Stop> {
        let mut reader = Reader::new(window, at);
        let count = reader.varint().map_err(in_header)?;
        let names = texts(&mut reader, count)?;
        let types = match self.head {
            Head::NamesAndTypes => Some(texts(&mut reader, count)?),
            Head::Names | Head::Rows => None,
        };
        let text = |range: &Range<usize>| String::from_utf8_lossy(&window.bytes[range.clone()]).into_owned();
        let mut columns = Vec::new();
        let mut fields = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let written_type = types.as_ref().map(|types| text(&types[index]));
            match self.column(&text(name), index) {
                Some(column) if columns.contains(&column) => {
                    let message = format!("column {} stands in the header twice", column.name);
                    return Err(Stop::fault(code::INCORRECT_DATA, name.start, message));
                }
                Some(column) => {
                    self.check_type(&column, written_type.as_deref(), name.start)?;
                    let field = self.known(&column);
                    fields.push(field.map_err(|m| Stop::fault(code::NOT_IMPLEMENTED, name.start, m))?);
                    columns.push(column);
                }
                None => fields.push(self.unknown(&text(name), written_type.as_deref(), name.start)?),
            }
        }
        if !self.names_count && names.len() != self.columns.len() {
            let message = format!(
                "expected {} columns, one for each of the INSERT",
                self.columns.len()
            );
            return Err(Stop::fault(code::INCORRECT_DATA, at, message));
        }
        if columns.is_empty() {
            let message = "the header names no column of the table";
            return Err(Stop::fault(code::INCORRECT_DATA, at, message));
        }
        self.columns = columns;
        self.fields = joined(fields);
        self.head = Head::Rows;
        Ok(Step::Skipped {
            next: reader.cursor.at,
        })
    }

    /// The column of a name in the header, or of its place where names do not count.
    fn column(&self, name: &str, place: usize) -> Option<ColumnDef> {
        if !self.names_count {
            return self.columns.get(place).cloned();
        }
        header::column_named(&self.columns, name.as_bytes()).cloned()
    }

    /// A header's type must be the column's own: values of another would be other bytes.
    fn check_type(&self, column: &ColumnDef, written: Option<&str>, at: usize) -> Result<(), Stop> {
        let Some(written) = written.filter(|_| self.types_count) else {
            return Ok(());
        };
        header::wrong_type(column, written).map_or(Ok(()), |message| {
            Err(Stop::fault(code::INCORRECT_DATA, at, message))
        })
    }

    fn known(&self, column: &ColumnDef) -> Result<Field, String> {
        let shape = Shape::of(&column.data_type, self.reading).ok_or_else(|| {
            format!(
                "column {} of type {} cannot be passed over in RowBinary; leave it out or use another format",
                column.name, column.data_type
            )
        })?;
        Ok(Field {
            shape,
            key: self.key.iter().position(|key| key.name == column.name),
            unknown: false,
        })
    }

    /// A column that the table does not have is left out where its type says how far its values reach.
    fn unknown(&self, name: &str, written_type: Option<&str>, at: usize) -> Result<Field, Stop> {
        let name: String = name.chars().take(64).collect();
        if !self.skip_unknown {
            let message = format!(
                "unknown column '{name}' in the header; set input_format_skip_unknown_fields = 1 to have it skipped"
            );
            return Err(Stop::fault(code::INCORRECT_DATA, at, message));
        }
        let Some(written_type) = written_type else {
            let message = format!(
                "unknown column '{name}' in the header cannot be skipped, because its type is unknown"
            );
            return Err(Stop::fault(code::CANNOT_SKIP_UNKNOWN_FIELD, at, message));
        };
        let data_type = DataType::parse(written_type).ok();
        let shape = data_type.and_then(|data_type| Shape::of(&data_type, self.reading));
        let shape = shape.ok_or_else(|| {
            let message = format!("unknown column '{name}' in the header has a type that cannot be skipped");
            Stop::fault(code::UNKNOWN_TYPE, at, message)
        })?;
        Ok(Field {
            shape,
            key: None,
            unknown: true,
        })
    }
}

/// So many texts of the header. Their count may be a lie: each has a byte at least.
fn texts(reader: &mut Reader<'_, '_>, count: u64) -> Result<Vec<Range<usize>>, Stop> {
    let mut texts = Vec::new();
    for _ in 0..count {
        texts.push(reader.text().map_err(in_header)?);
    }
    Ok(texts)
}

fn in_header(stop: Stop) -> Stop {
    match stop {
        Stop::More { expected: REST } => Stop::More {
            expected: "the rest of the header",
        },
        stop => stop,
    }
}

/// Joins neighbours of fixed length that the key does not read.
fn joined(fields: Vec<Field>) -> Vec<Field> {
    let mut joined: Vec<Field> = Vec::with_capacity(fields.len());
    for field in fields {
        match (joined.last_mut(), &field) {
            (
                Some(Field {
                    shape: Shape::Fixed(sum),
                    key: None,
                    unknown: before,
                }),
                Field {
                    shape: Shape::Fixed(len),
                    key: None,
                    unknown,
                },
            ) if before == unknown => {
                *sum = sum.saturating_add(*len);
            }
            _ => joined.push(field),
        }
    }
    joined
}

#[cfg(test)]
mod tests;
