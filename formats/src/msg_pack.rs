//! MsgPack: one MessagePack value a column, rows end to end without a sign between them.
//!
//! What a value becomes in a column of each type is ClickHouse's own choice: integers of any size are cut to the
//! column's width, enums and dates are numbers, strings are only strings.

use types::{Column, ColumnDef, DataType};

use crate::cursor::Cursor;
use crate::error::{FormatError, code};
use crate::framing::{Framing, KeyFields, Step, Stop, Token, ValueError, Window};
use crate::nested::{self, Kind, ValueReader, push_list, push_pair, push_tuple};
use crate::settings::Family;
use crate::stream::Input;
use crate::value;

/// The number under which ClickHouse writes a UUID as an extension.
const UUID_EXTENSION: u8 = 2;

pub(crate) fn open(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    input.settings.allow(Family::Any)?;
    let key_of = |column: &ColumnDef| input.key.iter().position(|key| key.name == column.name);
    Ok(Box::new(MsgPack {
        keys: input.columns.iter().map(key_of).collect(),
        key_types: input
            .key
            .iter()
            .map(|key| key.data_type.without_nullable().clone())
            .collect(),
        columns: input.columns.clone(),
    }))
}

struct MsgPack {
    columns: Vec<ColumnDef>,
    /// The key column that each column is.
    keys: Vec<Option<usize>>,
    key_types: Vec<DataType>,
}

impl Framing for MsgPack {
    fn step(&mut self, window: &Window<'_>, at: usize, key: &mut KeyFields) -> Result<Step, Stop> {
        if at == window.bytes.len() || self.keys.is_empty() {
            return Ok(Step::End);
        }
        let mut cursor = Cursor::new(window, at);
        for field in &self.keys {
            let start = cursor.at;
            pass(&mut cursor)?;
            if let Some(index) = field {
                key[*index] = Some(start..cursor.at);
            }
        }
        Ok(Step::Row {
            row: at..cursor.at,
            next: cursor.at,
        })
    }

    fn token<'a>(
        &self,
        index: usize,
        field: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Result<Token<'a>, ValueError> {
        let window = Window {
            bytes: field,
            last: true,
            row_bytes_max: field.len(),
        };
        let data_type = &self.key_types[index];
        match head(&mut Cursor::new(&window, 0)).map_err(cut)? {
            Value::Nil => Ok(Token::Null),
            _ if !is_scalar(data_type) => Ok(Token::MsgPack(field)),
            value => token(value, field, data_type, scratch),
        }
    }

    fn columns(&self) -> &[ColumnDef] {
        &self.columns
    }
}

/// The head of a MessagePack value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    Nil,
    /// Sign-extended, as ClickHouse casts it to whatever the column is; true and false are 1 and 0.
    Integer(u64),
    Float32([u8; 4]),
    Float64([u8; 8]),
    /// So many bytes follow.
    Text(u64),
    Binary(u64),
    /// An extension of this number, and so many bytes.
    Extension(u8, u64),
    /// So many values follow.
    Values(u64),
    /// So many keys follow, each with its value behind it.
    Pairs(u64),
}

/// Passes one value with all that lies in it.
fn pass(cursor: &mut Cursor<'_, '_>) -> Result<(), Stop> {
    let mut pending = 1_u64;
    while pending > 0 {
        pending -= 1;
        match head(cursor)? {
            Value::Text(len) | Value::Binary(len) | Value::Extension(_, len) => {
                cursor.skip(len)?;
            }
            Value::Values(count) => pending = pending.saturating_add(count),
            Value::Pairs(count) => pending = pending.saturating_add(2 * count),
            Value::Nil | Value::Integer(_) | Value::Float32(_) | Value::Float64(_) => {}
        }
    }
    Ok(())
}

fn head(cursor: &mut Cursor<'_, '_>) -> Result<Value, Stop> {
    let at = cursor.at;
    // The casts sign-extend, which is what they are for.
    Ok(match cursor.byte()? {
        byte @ 0x00..=0x7f => Value::Integer(u64::from(byte)),
        byte @ 0x80..=0x8f => Value::Pairs(u64::from(byte & 0x0f)),
        byte @ 0x90..=0x9f => Value::Values(u64::from(byte & 0x0f)),
        byte @ 0xa0..=0xbf => Value::Text(u64::from(byte & 0x1f)),
        0xc0 => Value::Nil,
        0xc1 => {
            let message = "byte 0xc1 begins no MessagePack value";
            return Err(Stop::fault(code::INCORRECT_DATA, at, message));
        }
        byte @ 0xc2..=0xc3 => Value::Integer(u64::from(byte & 1)),
        byte @ 0xc4..=0xc6 => Value::Binary(length(cursor, byte - 0xc4)?),
        byte @ 0xc7..=0xc9 => {
            let len = length(cursor, byte - 0xc7)?;
            Value::Extension(cursor.byte()?, len)
        }
        0xca => Value::Float32(cursor.array()?),
        0xcb => Value::Float64(cursor.array()?),
        0xcc => Value::Integer(u64::from(u8::from_be_bytes(cursor.array()?))),
        0xcd => Value::Integer(u64::from(u16::from_be_bytes(cursor.array()?))),
        0xce => Value::Integer(u64::from(u32::from_be_bytes(cursor.array()?))),
        0xcf => Value::Integer(u64::from_be_bytes(cursor.array()?)),
        0xd0 => Value::Integer(i64::from(i8::from_be_bytes(cursor.array()?)) as u64),
        0xd1 => Value::Integer(i64::from(i16::from_be_bytes(cursor.array()?)) as u64),
        0xd2 => Value::Integer(i64::from(i32::from_be_bytes(cursor.array()?)) as u64),
        0xd3 => Value::Integer(i64::from_be_bytes(cursor.array()?) as u64),
        byte @ 0xd4..=0xd8 => Value::Extension(cursor.byte()?, 1 << (byte - 0xd4)),
        byte @ 0xd9..=0xdb => Value::Text(length(cursor, byte - 0xd9)?),
        byte @ 0xdc..=0xdd => Value::Values(count(cursor, at, byte - 0xdc + 1)?),
        byte @ 0xde..=0xdf => Value::Pairs(count(cursor, at, byte - 0xde + 1)?),
        byte @ 0xe0..=0xff => Value::Integer(i64::from(byte as i8) as u64),
    })
}

/// How many values follow, said in 2 or 4 bytes. 26.9 takes a 0 there for the first of its bytes only, and the others for
/// what follows.
fn count(cursor: &mut Cursor<'_, '_>, at: usize, exponent: u8) -> Result<u64, Stop> {
    match length(cursor, exponent)? {
        0 => {
            let message =
                "an empty array or map must be byte 0x90 or 0x80: ClickHouse does not read the longer forms";
            Err(Stop::fault(code::NOT_IMPLEMENTED, at, message))
        }
        count => Ok(count),
    }
}

/// A length of 1, 2 or 4 bytes.
fn length(cursor: &mut Cursor<'_, '_>, exponent: u8) -> Result<u64, Stop> {
    Ok(match exponent {
        0 => u64::from(cursor.byte()?),
        1 => u64::from(u16::from_be_bytes(cursor.array()?)),
        _ => u64::from(u32::from_be_bytes(cursor.array()?)),
    })
}

/// Whether the type's values are read here, and have no others inside.
fn is_scalar(data_type: &DataType) -> bool {
    value::can_read(data_type) && !nested::is_nested(data_type)
}

/// Appends a value with others inside: arrays and tuples are arrays, maps are maps.
pub(crate) fn push(reader: &ValueReader, column: &mut Column, bytes: &[u8]) -> Result<(), ValueError> {
    let window = Window {
        bytes,
        last: true,
        row_bytes_max: bytes.len(),
    };
    push_value(reader, column, &mut Cursor::new(&window, 0))
}

fn push_value(
    reader: &ValueReader,
    column: &mut Column,
    cursor: &mut Cursor<'_, '_>,
) -> Result<(), ValueError> {
    let start = cursor.at;
    let value = head(cursor).map_err(cut)?;
    match (&reader.kind, value) {
        (_, Value::Nil) => reader.push(column, &Token::Null),
        (Kind::Scalar(_) | Kind::Unread, value) => {
            cursor.at = start;
            pass(cursor).map_err(cut)?;
            push_scalar(reader, column, value, &cursor.window.bytes[start..cursor.at])
        }
        (Kind::Array(inner), Value::Values(count)) => push_list(column, |list| {
            (0..count).try_for_each(|_| push_value(inner, list, cursor))
        }),
        (Kind::Map(pair), Value::Pairs(count)) => push_list(column, |pairs| {
            (0..count).try_for_each(|_| {
                push_pair(pairs, |keys, values| {
                    push_value(&pair.0, keys, cursor)?;
                    push_value(&pair.1, values, cursor)
                })
            })
        }),
        (Kind::Tuple(elements), Value::Values(count)) if count == elements.len() as u64 => {
            push_tuple(column, |columns| {
                let mut pairs = elements.iter().zip(columns);
                pairs.try_for_each(|(element, column)| push_value(&element.reader, column, cursor))
            })
        }
        (Kind::Array(_), _) => Err(illegal("an array")),
        (Kind::Map(_), _) => Err(illegal("a map")),
        (Kind::Tuple(_), _) => Err(illegal("an array of as many values as the tuple has elements")),
    }
}

fn push_scalar(
    reader: &ValueReader,
    column: &mut Column,
    value: Value,
    field: &[u8],
) -> Result<(), ValueError> {
    if matches!(reader.kind, Kind::Unread) {
        return reader.push(column, &Token::MsgPack(field));
    }
    let mut scratch = Vec::new();
    let token = token(value, field, reader.data_type.without_nullable(), &mut scratch)?;
    reader.push(column, &token)
}

fn cut(_: Stop) -> ValueError {
    illegal("a whole value")
}

fn illegal(expected: &'static str) -> ValueError {
    ValueError {
        code: code::ILLEGAL_COLUMN,
        expected,
    }
}

/// The value of `field` for a column of this type, as RowBinary writes it.
fn token<'a>(
    value: Value,
    field: &'a [u8],
    data_type: &DataType,
    scratch: &'a mut Vec<u8>,
) -> Result<Token<'a>, ValueError> {
    use DataType as T;
    scratch.clear();
    let payload = |len: u64| &field[field.len().saturating_sub(len as usize)..];
    match (value, data_type) {
        (Value::Integer(number), data_type) => {
            let width =
                integer_width(data_type).ok_or_else(|| illegal("no integer, but what the type takes"))?;
            scratch.extend_from_slice(&number.to_le_bytes()[..width]);
        }
        (Value::Float32(bytes), T::Float32) => scratch.extend(bytes.iter().rev()),
        (Value::Float64(bytes), T::Float64) => scratch.extend(bytes.iter().rev()),
        (Value::Text(len), T::Uuid) => return Ok(Token::Text(payload(len))),
        (Value::Binary(16), T::Uuid) => return Ok(Token::Binary(payload(16))),
        (Value::Extension(UUID_EXTENSION, 16), T::Uuid) => {
            let (high, low) = payload(16).split_at(8);
            scratch.extend(high.iter().rev());
            scratch.extend(low.iter().rev());
        }
        (Value::Text(len) | Value::Binary(len), T::String | T::FixedString(_)) => {
            return Ok(Token::Text(payload(len)));
        }
        (Value::Binary(len), data_type) if binary_width(data_type) == Some(len) => {
            return Ok(Token::Binary(payload(len)));
        }
        _ => return Err(illegal("a MessagePack value of a kind that the type takes")),
    }
    Ok(Token::Binary(scratch))
}

/// How many bytes of an integer a column of this type keeps.
fn integer_width(data_type: &DataType) -> Option<usize> {
    use DataType as T;
    Some(match data_type {
        T::UInt8 | T::Int8 | T::Bool | T::Enum8(_) => 1,
        T::UInt16 | T::Int16 | T::Date | T::Enum16(_) => 2,
        T::UInt32 | T::Int32 | T::Date32 | T::DateTime(_) | T::IPv4 => 4,
        T::UInt64 | T::Int64 | T::DateTime64(..) => 8,
        T::Decimal { precision: 1..=9, .. } => 4,
        T::Decimal {
            precision: 10..=18, ..
        } => 8,
        _ => return None,
    })
}

/// How many bytes a value has of a type that is too wide for an integer.
fn binary_width(data_type: &DataType) -> Option<u64> {
    use DataType as T;
    Some(match data_type {
        T::UInt128 | T::Int128 | T::IPv6 => 16,
        T::UInt256 | T::Int256 => 32,
        T::Decimal {
            precision: 19..=38, ..
        } => 16,
        T::Decimal {
            precision: 39..=76, ..
        } => 32,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
