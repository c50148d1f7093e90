//! Values in the binary formats.

use types::{Column, Data, DataType};

use super::Fill;

/// One value and its type.
#[derive(Clone, Copy)]
pub(super) struct Value<'a> {
    pub data_type: &'a DataType,
    pub column: &'a Column,
    pub row: usize,
}

impl<'a> Value<'a> {
    pub(super) fn of(fill: &'a Fill<'_>, row: usize) -> Self {
        Self {
            data_type: &fill.column.data_type,
            column: fill.values,
            row,
        }
    }

    pub(super) fn plain_type(self) -> &'a DataType {
        self.data_type.without_nullable()
    }

    pub(super) fn is_null(self) -> bool {
        self.column.is_null(self.row)
    }

    /// The values that lie in this one, with their types.
    pub(super) fn elements(self) -> Vec<Value<'a>> {
        let element = |data_type, column, row| Value {
            data_type,
            column,
            row,
        };
        match (&self.column.data, self.plain_type()) {
            (Data::Array(lists), DataType::Array(inner)) => {
                let rows = lists.range(self.row);
                rows.map(|row| element(inner.as_ref(), lists.values.as_ref(), row))
                    .collect()
            }
            (Data::Tuple(tuples), DataType::Tuple(types)) => {
                let columns = types.iter().zip(&tuples.columns);
                columns
                    .map(|((_, data_type), column)| element(data_type, column, self.row))
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    /// The keys and values of a Map.
    pub(super) fn pairs(self) -> Option<Vec<(Value<'a>, Value<'a>)>> {
        let (Data::Array(lists), DataType::Map(key_type, value_type)) =
            (&self.column.data, self.plain_type())
        else {
            return None;
        };
        let Data::Tuple(pairs) = &lists.values.data else {
            return None;
        };
        let [keys, values] = pairs.columns.as_slice() else {
            return None;
        };
        let pair = |row| {
            let key = Value {
                data_type: key_type.as_ref(),
                column: keys,
                row,
            };
            let value = Value {
                data_type: value_type.as_ref(),
                column: values,
                row,
            };
            (key, value)
        };
        Some(lists.range(self.row).map(pair).collect())
    }

    /// The number that a value of up to 64 bits is, sign-extended.
    fn integer(self) -> Option<u64> {
        let row = self.row;
        Some(match &self.column.data {
            Data::UInt8(values) => u64::from(values[row]),
            Data::UInt16(values) => u64::from(values[row]),
            Data::UInt32(values) => u64::from(values[row]),
            Data::UInt64(values) => values[row],
            Data::Int8(values) => i64::from(values[row]) as u64,
            Data::Int16(values) => i64::from(values[row]) as u64,
            Data::Int32(values) => i64::from(values[row]) as u64,
            Data::Int64(values) => values[row] as u64,
            _ => return None,
        })
    }

    /// Its bytes as ClickHouse stores them, a number's in little-endian order; those of a value with others inside are
    /// RowBinary's.
    fn stored(self, out: &mut Vec<u8>) {
        let row = self.row;
        match &self.column.data {
            // Two little-endian halves, the high one first.
            Data::UInt128(values) if *self.plain_type() == DataType::Uuid => {
                out.extend_from_slice(&values[row].rotate_left(64).to_le_bytes());
            }
            Data::UInt8(values) => out.push(values[row]),
            Data::UInt16(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Data::UInt32(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Data::UInt64(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Data::UInt128(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Data::UInt256(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Data::Int8(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Data::Int16(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Data::Int32(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Data::Int64(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Data::Int128(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Data::Int256(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Data::Float32(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Data::Float64(values) => out.extend_from_slice(&values[row].to_le_bytes()),
            Data::Bytes(values) => out.extend_from_slice(values.get(row)),
            Data::Array(lists) => {
                varint(lists.range(row).len() as u64, out);
                match self.pairs() {
                    Some(pairs) => pairs.iter().for_each(|(key, value)| {
                        key.row_binary(out);
                        value.row_binary(out);
                    }),
                    None => self.elements().iter().for_each(|element| element.row_binary(out)),
                }
            }
            Data::Tuple(_) => self.elements().iter().for_each(|element| element.row_binary(out)),
        }
    }

    fn row_binary(self, out: &mut Vec<u8>) {
        if self.data_type.is_nullable() {
            out.push(u8::from(self.is_null()));
            if self.is_null() {
                return;
            }
        }
        if let (Data::Bytes(values), DataType::String) = (&self.column.data, self.plain_type()) {
            varint(values.get(self.row).len() as u64, out);
        }
        self.stored(out);
    }

    fn msg_pack(self, out: &mut Vec<u8>) {
        if self.is_null() {
            out.push(0xc0);
            return;
        }
        if let Some(number) = self.integer() {
            out.push(0xcf);
            out.extend_from_slice(&number.to_be_bytes());
            return;
        }
        let row = self.row;
        match &self.column.data {
            Data::Float32(values) => {
                out.push(0xca);
                out.extend_from_slice(&values[row].to_be_bytes());
            }
            Data::Float64(values) => {
                out.push(0xcb);
                out.extend_from_slice(&values[row].to_be_bytes());
            }
            Data::Array(_) | Data::Tuple(_) => self.msg_pack_elements(out),
            _ => {
                let head = out.len();
                out.extend_from_slice(&[0xc6, 0, 0, 0, 0]);
                self.stored(out);
                let len = length(out.len() - head - 5);
                out[head + 1..head + 5].copy_from_slice(&len.to_be_bytes());
            }
        }
    }

    fn msg_pack_elements(self, out: &mut Vec<u8>) {
        if let Some(pairs) = self.pairs() {
            msg_pack_count(0x80, 0xdf, pairs.len(), out);
            for (key, value) in pairs {
                key.msg_pack(out);
                value.msg_pack(out);
            }
            return;
        }
        let elements = self.elements();
        msg_pack_count(0x90, 0xdd, elements.len(), out);
        for element in elements {
            element.msg_pack(out);
        }
    }

    /// Appends the value as an element of a document, its kind and `name` in front.
    fn bson(self, name: &[u8], out: &mut Vec<u8>) {
        let kind = self.bson_kind();
        out.push(kind);
        out.extend_from_slice(name);
        out.push(0);
        match (kind, &self.column.data) {
            (bson::NULL, _) => {}
            (bson::INT64, _) => out.extend_from_slice(&self.integer().unwrap_or(0).to_le_bytes()),
            (bson::DOUBLE, Data::Float32(values)) => {
                out.extend_from_slice(&f64::from(values[self.row]).to_le_bytes());
            }
            (bson::BINARY, _) => {
                let at = out.len();
                let is_uuid = *self.plain_type() == DataType::Uuid;
                let subtype = if is_uuid {
                    bson::SUBTYPE_UUID
                } else {
                    bson::SUBTYPE_GENERIC
                };
                out.extend_from_slice(&[0, 0, 0, 0, subtype]);
                self.stored(out);
                let len = length(out.len() - at - 5);
                out[at..at + 4].copy_from_slice(&len.to_le_bytes());
            }
            (bson::ARRAY | bson::DOCUMENT, _) => self.bson_elements(out),
            _ => self.stored(out),
        }
    }

    fn bson_kind(self) -> u8 {
        match (&self.column.data, self.plain_type()) {
            _ if self.is_null() => bson::NULL,
            (_, DataType::IPv4 | DataType::Decimal { precision: 1..=9, .. }) => bson::INT32,
            (Data::Float32(_) | Data::Float64(_), _) => bson::DOUBLE,
            (Data::Array(_), DataType::Map(..)) => bson::DOCUMENT,
            (Data::Array(_) | Data::Tuple(_), _) => bson::ARRAY,
            _ if self.integer().is_some() => bson::INT64,
            _ => bson::BINARY,
        }
    }

    fn bson_elements(self, out: &mut Vec<u8>) {
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        if let Some(pairs) = self.pairs() {
            for (key, value) in pairs {
                value.bson(&key.bson_name(), out);
            }
        } else {
            for (place, element) in self.elements().into_iter().enumerate() {
                element.bson(place.to_string().as_bytes(), out);
            }
        }
        out.push(0);
        let len = length(out.len() - at);
        out[at..at + 4].copy_from_slice(&len.to_le_bytes());
    }

    /// A Map's key as the name of an element.
    fn bson_name(self) -> Vec<u8> {
        self.bare_text()
    }
}

/// The kinds of BSON values that are written.
mod bson {
    pub(super) const DOUBLE: u8 = 0x01;
    pub(super) const DOCUMENT: u8 = 0x03;
    pub(super) const ARRAY: u8 = 0x04;
    pub(super) const BINARY: u8 = 0x05;
    pub(super) const NULL: u8 = 0x0a;
    pub(super) const INT32: u8 = 0x10;
    pub(super) const INT64: u8 = 0x12;
    pub(super) const SUBTYPE_GENERIC: u8 = 0;
    pub(super) const SUBTYPE_UUID: u8 = 4;
}

/// How many values an array or a map has. A few are said in the first byte: 26.9 reads no empty one in the longer form.
fn msg_pack_count(short: u8, long: u8, count: usize, out: &mut Vec<u8>) {
    const SHORT_MAX: usize = 15;
    if count <= SHORT_MAX {
        // It fits the lower half.
        out.push(short | count as u8);
    } else {
        out.push(long);
        out.extend_from_slice(&length(count).to_be_bytes());
    }
}

/// Values are shorter than max_row_bytes, which fits.
fn length(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        // The low seven bits.
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// A time as the timestamp that it is, where every version reads the number as one: its text would have two meanings
/// in the hour when a clock is set back.
pub(super) fn unix_time(fill: &Fill<'_>, row: usize) -> Option<String> {
    /// Ten digits.
    const SECONDS: std::ops::Range<i64> = 1_000_000_000..10_000_000_000;
    match (&fill.values.data, fill.column.data_type.without_nullable()) {
        (Data::UInt32(values), DataType::DateTime(_)) => {
            let seconds = values[row];
            SECONDS.contains(&i64::from(seconds)).then(|| seconds.to_string())
        }
        (Data::Int64(values), DataType::DateTime64(precision @ 1..=9, _)) => {
            let scale = 10_i64.pow(u32::from(*precision));
            let (seconds, ticks) = (values[row].div_euclid(scale), values[row].rem_euclid(scale));
            let width = usize::from(*precision);
            SECONDS
                .contains(&seconds)
                .then(|| format!("{seconds}.{ticks:0width$}"))
        }
        _ => None,
    }
}

/// The value as RowBinary writes it.
pub(super) fn row_binary(fill: &Fill<'_>, row: usize, out: &mut Vec<u8>) {
    Value::of(fill, row).row_binary(out);
}

/// The value as ClickHouse's MsgPack has it: numbers of any width as 64 bits, which it cuts, wide ones as binary.
pub(super) fn msg_pack(fill: &Fill<'_>, row: usize, out: &mut Vec<u8>) {
    Value::of(fill, row).msg_pack(out);
}

/// The value with its kind and name in front, as an element of a BSON document.
pub(super) fn bson_element(fill: &Fill<'_>, row: usize, out: &mut Vec<u8>) {
    Value::of(fill, row).bson(fill.column.name.as_bytes(), out);
}
