//! Values in the binary formats.

use types::{Data, DataType};

use super::Fill;

/// A value's bytes as ClickHouse stores them, a number's in little-endian order.
fn stored(fill: &Fill<'_>, row: usize, out: &mut Vec<u8>) {
    match &fill.values.data {
        // Two little-endian halves, the high one first.
        Data::UInt128(values) if *fill.column.data_type.without_nullable() == DataType::Uuid => {
            out.extend_from_slice(&values[row].rotate_left(64).to_le_bytes());
        }
        Data::UInt8(values) => out.push(values[row]),
        Data::UInt16(values) => out.extend_from_slice(&values[row].to_le_bytes()),
        Data::UInt32(values) => out.extend_from_slice(&values[row].to_le_bytes()),
        Data::UInt64(values) => out.extend_from_slice(&values[row].to_le_bytes()),
        Data::UInt128(values) => out.extend_from_slice(&values[row].to_le_bytes()),
        Data::Int8(values) => out.extend_from_slice(&values[row].to_le_bytes()),
        Data::Int16(values) => out.extend_from_slice(&values[row].to_le_bytes()),
        Data::Int32(values) => out.extend_from_slice(&values[row].to_le_bytes()),
        Data::Int64(values) => out.extend_from_slice(&values[row].to_le_bytes()),
        Data::Int128(values) => out.extend_from_slice(&values[row].to_le_bytes()),
        Data::Float32(values) => out.extend_from_slice(&values[row].to_le_bytes()),
        Data::Float64(values) => out.extend_from_slice(&values[row].to_le_bytes()),
        Data::Bytes(values) => out.extend_from_slice(values.get(row)),
    }
}

fn is_null(fill: &Fill<'_>, row: usize) -> bool {
    fill.values.nulls.as_ref().is_some_and(|nulls| nulls[row])
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
    if fill.column.data_type.is_nullable() {
        out.push(u8::from(is_null(fill, row)));
        if is_null(fill, row) {
            return;
        }
    }
    if let (Data::Bytes(values), DataType::String) =
        (&fill.values.data, fill.column.data_type.without_nullable())
    {
        varint(values.get(row).len() as u64, out);
    }
    stored(fill, row, out);
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        // The low seven bits.
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// The number that a value of up to 64 bits is, sign-extended.
fn integer(fill: &Fill<'_>, row: usize) -> Option<u64> {
    Some(match &fill.values.data {
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

/// The value as ClickHouse's MsgPack has it: numbers of any width as 64 bits, which it cuts, wide ones as binary.
pub(super) fn msg_pack(fill: &Fill<'_>, row: usize, out: &mut Vec<u8>) {
    if is_null(fill, row) {
        out.push(0xc0);
        return;
    }
    if let Some(number) = integer(fill, row) {
        out.push(0xcf);
        out.extend_from_slice(&number.to_be_bytes());
        return;
    }
    match &fill.values.data {
        Data::Float32(values) => {
            out.push(0xca);
            out.extend_from_slice(&values[row].to_be_bytes());
        }
        Data::Float64(values) => {
            out.push(0xcb);
            out.extend_from_slice(&values[row].to_be_bytes());
        }
        _ => {
            let head = out.len();
            out.extend_from_slice(&[0xc6, 0, 0, 0, 0]);
            stored(fill, row, out);
            // A value is shorter than max_row_bytes.
            let len = u32::try_from(out.len() - head - 5).unwrap_or(u32::MAX);
            out[head + 1..head + 5].copy_from_slice(&len.to_be_bytes());
        }
    }
}

/// The value with its kind and name in front, as an element of a BSON document.
pub(super) fn bson_element(fill: &Fill<'_>, row: usize, out: &mut Vec<u8>) {
    const DOUBLE: u8 = 0x01;
    const BINARY: u8 = 0x05;
    const NULL: u8 = 0x0a;
    const INT32: u8 = 0x10;
    const INT64: u8 = 0x12;
    const SUBTYPE_GENERIC: u8 = 0;
    const SUBTYPE_UUID: u8 = 4;
    let mut head = |kind: u8| {
        out.push(kind);
        out.extend_from_slice(fill.column.name.as_bytes());
        out.push(0);
    };
    let data_type = fill.column.data_type.without_nullable();
    if is_null(fill, row) {
        return head(NULL);
    }
    if matches!(
        data_type,
        DataType::IPv4 | DataType::Decimal { precision: 1..=9, .. }
    ) {
        head(INT32);
        return stored(fill, row, out);
    }
    if let Some(number) = integer(fill, row) {
        head(INT64);
        return out.extend_from_slice(&number.to_le_bytes());
    }
    match &fill.values.data {
        Data::Float32(values) => {
            head(DOUBLE);
            out.extend_from_slice(&f64::from(values[row]).to_le_bytes());
        }
        Data::Float64(values) => {
            head(DOUBLE);
            out.extend_from_slice(&values[row].to_le_bytes());
        }
        _ => {
            head(BINARY);
            let at = out.len();
            let is_uuid = *data_type == DataType::Uuid;
            out.extend_from_slice(&[0, 0, 0, 0, if is_uuid { SUBTYPE_UUID } else { SUBTYPE_GENERIC }]);
            stored(fill, row, out);
            // A value is shorter than max_row_bytes.
            let len = u32::try_from(out.len() - at - 5).unwrap_or(u32::MAX);
            out[at..at + 4].copy_from_slice(&len.to_le_bytes());
        }
    }
}
