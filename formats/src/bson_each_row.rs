//! BSONEachRow: one BSON document a row, columns by their names.
//!
//! What a value becomes in a column of each type is ClickHouse's own choice: integers of 32 and 64 bits are cut to the
//! column's width, enums and dates are numbers, wide numbers are binary.

use types::{Column, ColumnDef, DataType};

use crate::cursor::Cursor;
use crate::error::{FormatError, code};
use crate::framing::{Framing, KeyFields, Step, Stop, Token, ValueError, Window};
use crate::nested::{self, Element, Kind, ValueReader, push_list, push_pair, push_tuple};
use crate::settings::Family;
use crate::stream::Input;
use crate::value;

/// A document's length, which counts itself, and the byte 0 at its end.
const DOCUMENT_BYTES_MIN: u32 = 5;

pub(crate) fn open(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    input.settings.allow(Family::Any)?;
    Ok(Box::new(BsonEachRow {
        seen: vec![0; input.columns.len()],
        row: 0,
        keys: input
            .columns
            .iter()
            .map(|column| input.key.iter().position(|key| key.name == column.name))
            .collect(),
        key_types: input
            .key
            .iter()
            .map(|key| key.data_type.without_nullable().clone())
            .collect(),
        columns: input.columns.clone(),
        skip_unknown: input.settings.skip_unknown_fields,
    }))
}

struct BsonEachRow {
    columns: Vec<ColumnDef>,
    /// The key column that each column is.
    keys: Vec<Option<usize>>,
    key_types: Vec<DataType>,
    /// The row in which each column was last seen, to notice a second time.
    seen: Vec<u64>,
    row: u64,
    skip_unknown: bool,
}

/// The kinds of BSON values, by ClickHouse's names for them.
mod kind {
    pub(super) const DOUBLE: u8 = 0x01;
    pub(super) const STRING: u8 = 0x02;
    pub(super) const DOCUMENT: u8 = 0x03;
    pub(super) const ARRAY: u8 = 0x04;
    pub(super) const BINARY: u8 = 0x05;
    pub(super) const UNDEFINED: u8 = 0x06;
    pub(super) const OBJECT_ID: u8 = 0x07;
    pub(super) const BOOL: u8 = 0x08;
    pub(super) const DATETIME: u8 = 0x09;
    pub(super) const NULL: u8 = 0x0a;
    pub(super) const REGEXP: u8 = 0x0b;
    pub(super) const DB_POINTER: u8 = 0x0c;
    pub(super) const JAVA_SCRIPT_CODE: u8 = 0x0d;
    pub(super) const SYMBOL: u8 = 0x0e;
    pub(super) const JAVA_SCRIPT_CODE_WITH_SCOPE: u8 = 0x0f;
    pub(super) const INT32: u8 = 0x10;
    pub(super) const TIMESTAMP: u8 = 0x11;
    pub(super) const INT64: u8 = 0x12;
    pub(super) const DECIMAL128: u8 = 0x13;
    pub(super) const MIN_KEY: u8 = 0xff;
    pub(super) const MAX_KEY: u8 = 0x7f;
}

impl Framing for BsonEachRow {
    fn step(&mut self, window: &Window<'_>, at: usize, key: &mut KeyFields) -> Result<Step, Stop> {
        if at == window.bytes.len() {
            return Ok(Step::End);
        }
        self.row += 1;
        let mut cursor = Cursor::new(window, at);
        let end = document_end(&mut cursor)?;
        while cursor.at < end - 1 {
            self.element(&mut cursor, end, key)?;
        }
        if cursor.at != end - 1 || window.bytes[end - 1] != 0 {
            let message = "the document does not end where its length says";
            return Err(Stop::fault(code::INCORRECT_DATA, cursor.at.min(end - 1), message));
        }
        Ok(Step::Row {
            row: at..end,
            next: end,
        })
    }

    fn token<'a>(
        &self,
        index: usize,
        field: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Result<Token<'a>, ValueError> {
        match field {
            [kind, ..] => {
                // A name stands between the kind and the value; the field was passed over once, so both are whole.
                let behind_name = field[1..].iter().position(|byte| *byte == 0).map(|len| len + 2);
                let value = behind_name.and_then(|at| field.get(at..)).unwrap_or_default();
                match &self.key_types[index] {
                    _ if *kind == kind::NULL => Ok(Token::Null),
                    data_type if is_scalar(data_type) => token(*kind, value, data_type, scratch),
                    _ => Ok(Token::Bson(*kind, value)),
                }
            }
            [] => Err(illegal("a value")),
        }
    }

    fn columns(&self) -> &[ColumnDef] {
        &self.columns
    }
}

/// Reads a document's length; its bytes are all there.
fn document_end(cursor: &mut Cursor<'_, '_>) -> Result<usize, Stop> {
    let at = cursor.at;
    let len = u32::from_le_bytes(cursor.array()?);
    if len < DOCUMENT_BYTES_MIN {
        let message = format!("a document has {DOCUMENT_BYTES_MIN} bytes at least, this one says {len}");
        return Err(Stop::fault(code::INCORRECT_DATA, at, message));
    }
    let end = cursor.skip(u64::from(len) - 4)?.end;
    cursor.at = at + 4;
    Ok(end)
}

impl BsonEachRow {
    /// Passes one kind, name and value. A key column's field begins with its kind.
    fn element(&mut self, cursor: &mut Cursor<'_, '_>, end: usize, key: &mut KeyFields) -> Result<(), Stop> {
        let start = cursor.at;
        let kind = cursor.byte()?;
        let name_at = cursor.at;
        pass_name(cursor, end)?;
        let name = &cursor.window.bytes[name_at..cursor.at - 1];
        let column = self
            .columns
            .iter()
            .position(|column| column.name.as_bytes() == name);
        pass_value(cursor, kind, end)?;
        let Some(column) = column else {
            return self.may_skip(name, name_at);
        };
        if self.seen[column] == self.row {
            let message = "this field stands in the row a second time";
            return Err(Stop::fault(code::INCORRECT_DATA, name_at, message));
        }
        self.seen[column] = self.row;
        if let Some(index) = self.keys[column] {
            key[index] = Some(start..cursor.at);
        }
        Ok(())
    }

    fn may_skip(&self, name: &[u8], at: usize) -> Result<(), Stop> {
        if self.skip_unknown {
            return Ok(());
        }
        let name: String = String::from_utf8_lossy(name).chars().take(64).collect();
        let message = format!(
            "unknown field '{name}'; set input_format_skip_unknown_fields = 1 to have such fields skipped"
        );
        Err(Stop::fault(code::INCORRECT_DATA, at, message))
    }
}

/// Passes the bytes up to a zero, and that.
fn pass_name(cursor: &mut Cursor<'_, '_>, end: usize) -> Result<(), Stop> {
    let rest = &cursor.window.bytes[cursor.at..end];
    let len = memchr::memchr(0, rest).ok_or_else(|| beyond(cursor.at))?;
    cursor.at += len + 1;
    Ok(())
}

/// Passes a value, which must end in front of the document's last byte. Documents inside are passed by their length.
fn pass_value(cursor: &mut Cursor<'_, '_>, kind: u8, end: usize) -> Result<(), Stop> {
    let at = cursor.at;
    match kind {
        kind::DOUBLE | kind::INT64 | kind::DATETIME | kind::TIMESTAMP => pass_bytes(cursor, 8, end),
        kind::BOOL => pass_bytes(cursor, 1, end),
        kind::INT32 => pass_bytes(cursor, 4, end),
        kind::DECIMAL128 => pass_bytes(cursor, 16, end),
        kind::OBJECT_ID => pass_bytes(cursor, 12, end),
        kind::STRING | kind::SYMBOL | kind::JAVA_SCRIPT_CODE => pass_string(cursor, end),
        kind::BINARY => {
            let len = length(cursor, end)?;
            pass_bytes(cursor, u64::from(len) + 1, end)
        }
        kind::DOCUMENT | kind::ARRAY | kind::JAVA_SCRIPT_CODE_WITH_SCOPE => {
            let len = length(cursor, end)?;
            let rest = len.checked_sub(4).ok_or_else(|| beyond(at))?;
            pass_bytes(cursor, u64::from(rest), end)
        }
        kind::REGEXP => {
            pass_name(cursor, end)?;
            pass_name(cursor, end)
        }
        kind::DB_POINTER => {
            pass_string(cursor, end)?;
            pass_bytes(cursor, 12, end)
        }
        kind::NULL | kind::UNDEFINED | kind::MIN_KEY | kind::MAX_KEY => Ok(()),
        _ => Err(Stop::fault(
            code::INCORRECT_DATA,
            at,
            format!("0x{kind:02x} is no kind of BSON value"),
        )),
    }
}

fn pass_string(cursor: &mut Cursor<'_, '_>, end: usize) -> Result<(), Stop> {
    let at = cursor.at;
    let len = length(cursor, end)?;
    pass_bytes(cursor, u64::from(len), end)?;
    if len == 0 || cursor.window.bytes[cursor.at - 1] != 0 {
        let message = "a string ends in a zero byte, which its length counts";
        return Err(Stop::fault(code::INCORRECT_DATA, at, message));
    }
    Ok(())
}

fn length(cursor: &mut Cursor<'_, '_>, end: usize) -> Result<u32, Stop> {
    let at = cursor.at;
    pass_bytes(cursor, 4, end)?;
    cursor.at = at;
    Ok(u32::from_le_bytes(cursor.array()?))
}

fn pass_bytes(cursor: &mut Cursor<'_, '_>, len: u64, end: usize) -> Result<(), Stop> {
    // The last byte is the document's own.
    if len > (end - 1).saturating_sub(cursor.at) as u64 {
        return Err(beyond(cursor.at));
    }
    cursor.at += len as usize;
    Ok(())
}

fn beyond(at: usize) -> Stop {
    Stop::fault(code::INCORRECT_DATA, at, "a value reaches beyond its document")
}

fn illegal(expected: &'static str) -> ValueError {
    ValueError {
        code: code::ILLEGAL_COLUMN,
        expected,
    }
}

/// Whether the type's values are read here, and have no others inside.
fn is_scalar(data_type: &DataType) -> bool {
    value::can_read(data_type) && !nested::is_nested(data_type)
}

/// Appends a value with others inside: an Array is an array, a Map a document, a Tuple an array, or a document with the
/// elements' names (their numbers, from 1, where they have none).
pub(crate) fn push(
    reader: &ValueReader,
    column: &mut Column,
    kind: u8,
    bytes: &[u8],
) -> Result<(), ValueError> {
    match (&reader.kind, kind) {
        (_, kind::NULL) => reader.push(column, &Token::Null),
        (Kind::Unread, _) => reader.push(column, &Token::Bson(kind, bytes)),
        (Kind::Scalar(_), _) => {
            let mut scratch = Vec::new();
            let token = token(kind, bytes, reader.data_type.without_nullable(), &mut scratch)?;
            reader.push(column, &token)
        }
        (Kind::Array(inner), kind::ARRAY) => push_list(column, |list| {
            members(bytes, |_, kind, member| push(inner, list, kind, member))
        }),
        (Kind::Map(pair), kind::DOCUMENT) => push_list(column, |pairs| {
            members(bytes, |name, kind, member| {
                push_pair(pairs, |keys, values| {
                    push_name(&pair.0, keys, name)?;
                    push(&pair.1, values, kind, member)
                })
            })
        }),
        (Kind::Tuple(elements), kind::ARRAY | kind::DOCUMENT) => push_tuple(column, |columns| {
            push_elements(elements, columns, kind == kind::DOCUMENT, bytes)
        }),
        (Kind::Array(_), _) => Err(illegal("an array")),
        (Kind::Map(_), _) => Err(illegal("a document")),
        (Kind::Tuple(_), _) => Err(illegal("an array or a document")),
    }
}

/// A Map's key.
fn push_name(reader: &ValueReader, keys: &mut Column, name: &[u8]) -> Result<(), ValueError> {
    let is_text = matches!(
        reader.data_type.without_nullable(),
        DataType::String | DataType::FixedString(_)
    );
    if name.is_empty() && !is_text {
        return Err(ValueError {
            code: code::ATTEMPT_TO_READ_AFTER_EOF,
            expected: "a map's key as the name",
        });
    }
    reader.push(keys, &Token::Text(name))
}

fn push_elements(
    elements: &[Element],
    columns: &mut [Column],
    has_names: bool,
    bytes: &[u8],
) -> Result<(), ValueError> {
    const ELEMENTS: ValueError = ValueError {
        code: code::INCORRECT_DATA,
        expected: "each of the tuple's elements once",
    };
    let mut seen = vec![false; elements.len()];
    let mut next = 0;
    members(bytes, |name, kind, member| {
        let is_named = |element: &Element| {
            element
                .name
                .as_ref()
                .is_some_and(|known| known.as_bytes() == name)
        };
        let is_next = name == (next + 1).to_string().as_bytes();
        let place = match elements.iter().position(is_named) {
            place @ Some(_) if has_names => place,
            None if has_names && !(is_next && elements.iter().all(|element| element.name.is_none())) => None,
            _ => Some(next),
        };
        next += 1;
        let place = place
            .filter(|place| seen.get(*place) == Some(&false))
            .ok_or(ELEMENTS)?;
        seen[place] = true;
        push(&elements[place].reader, &mut columns[place], kind, member)
    })?;
    if seen.contains(&false) {
        return Err(ELEMENTS);
    }
    Ok(())
}

/// Walks over the members of a document or an array: name, kind, value.
fn members(
    bytes: &[u8],
    mut read: impl FnMut(&[u8], u8, &[u8]) -> Result<(), ValueError>,
) -> Result<(), ValueError> {
    let unsound = |_: Stop| ValueError {
        code: code::INCORRECT_DATA,
        expected: "a sound document",
    };
    let window = Window {
        bytes,
        last: true,
        row_bytes_max: bytes.len(),
    };
    let mut cursor = Cursor::new(&window, 0);
    let end = document_end(&mut cursor).map_err(unsound)?;
    while cursor.at < end - 1 {
        let kind = cursor.byte().map_err(unsound)?;
        let name_at = cursor.at;
        pass_name(&mut cursor, end).map_err(unsound)?;
        let (name, start) = (name_at..cursor.at - 1, cursor.at);
        pass_value(&mut cursor, kind, end).map_err(unsound)?;
        read(&bytes[name], kind, &bytes[start..cursor.at])?;
    }
    if cursor.at == end - 1 && end == bytes.len() && bytes[end - 1] == 0 {
        Ok(())
    } else {
        Err(unsound(Stop::More { expected: "" }))
    }
}

/// The value of a column of this type, as RowBinary writes it.
fn token<'a>(
    kind: u8,
    value: &'a [u8],
    data_type: &DataType,
    scratch: &'a mut Vec<u8>,
) -> Result<Token<'a>, ValueError> {
    use DataType as T;
    scratch.clear();
    match (kind, data_type) {
        (kind::STRING | kind::SYMBOL | kind::JAVA_SCRIPT_CODE, T::String | T::FixedString(_)) => {
            // Without its length and the zero byte.
            Ok(Token::Text(value.get(4..value.len() - 1).unwrap_or_default()))
        }
        (kind::OBJECT_ID, T::String | T::FixedString(_)) => Ok(Token::Text(value)),
        (kind::BINARY, data_type) => binary(value, data_type),
        (kind::DOUBLE, T::Float64) => Ok(Token::Binary(value)),
        (kind::DOUBLE, T::Float32) => {
            let double = f64::from_le_bytes(value.try_into().map_err(|_| illegal("a number"))?);
            scratch.extend_from_slice(&(double as f32).to_le_bytes());
            Ok(Token::Binary(scratch))
        }
        (kind::INT32, T::IPv4 | T::Decimal { precision: 1..=9, .. }) => Ok(Token::Binary(value)),
        (
            kind::INT64,
            T::Decimal {
                precision: 10..=18, ..
            },
        )
        | (kind::INT64 | kind::DATETIME, T::DateTime64(..)) => Ok(Token::Binary(value)),
        (kind::INT32 | kind::INT64 | kind::BOOL, data_type) => {
            let width =
                integer_width(data_type).ok_or_else(|| illegal("no integer, but what the type takes"))?;
            // ClickHouse reads both as unsigned: an Int32 is not sign-extended.
            scratch.extend_from_slice(value);
            scratch.resize(8, 0);
            scratch.truncate(width);
            Ok(Token::Binary(scratch))
        }
        _ => Err(illegal("a BSON value of a kind that the type takes")),
    }
}

/// Binary has a length, a subtype, and its bytes.
fn binary<'a>(value: &'a [u8], data_type: &DataType) -> Result<Token<'a>, ValueError> {
    use DataType as T;
    const GENERIC: u8 = 0;
    const OLD: u8 = 2;
    const UUID_OLD: u8 = 3;
    const UUID: u8 = 4;
    let (subtype, bytes) = (value.get(4).copied(), value.get(5..).unwrap_or_default());
    let wide = match data_type {
        T::UInt128 | T::Int128 | T::IPv6 => 16,
        T::UInt256 | T::Int256 => 32,
        T::Decimal {
            precision: 19..=38, ..
        } => 16,
        T::Decimal {
            precision: 39..=76, ..
        } => 32,
        _ => usize::MAX,
    };
    match (subtype, data_type) {
        (Some(GENERIC | OLD), T::String | T::FixedString(_)) => Ok(Token::Text(bytes)),
        (Some(UUID | UUID_OLD), T::Uuid) if bytes.len() == 16 => Ok(Token::Binary(bytes)),
        (Some(GENERIC), _) if bytes.len() == wide => Ok(Token::Binary(bytes)),
        _ => Err(illegal("binary data of the type's own subtype and length")),
    }
}

/// How many bytes of an integer a column of this type keeps.
fn integer_width(data_type: &DataType) -> Option<usize> {
    use DataType as T;
    Some(match data_type {
        T::UInt8 | T::Int8 | T::Bool | T::Enum8(_) => 1,
        T::UInt16 | T::Int16 | T::Date | T::Enum16(_) => 2,
        T::UInt32 | T::Int32 | T::Date32 | T::DateTime(_) => 4,
        T::UInt64 | T::Int64 => 8,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
