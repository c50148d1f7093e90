//! RowBinary: one value as ClickHouse's bytes. Also how values rest in the store, and how grouping keys are
//! compared.

use types::DataType;

use crate::cursor::Cursor;
use crate::error::{Outcome, code};
use crate::value::{Shape, Value};
use crate::wide::Wide;

/// Reads one value of the type.
pub(crate) fn read(data_type: &DataType, cursor: &mut Cursor<'_>) -> Outcome<Value> {
    Ok(match Shape::of(data_type)? {
        Shape::Number { bits, signed } => read_number(data_type, cursor, bits, signed)?,
        Shape::Float { bits: 32 } => Value::Float(f32::from_le_bytes(array(cursor)?).into()),
        Shape::Float { .. } => Value::Float(f64::from_le_bytes(array(cursor)?)),
        Shape::Text => {
            let len = length(cursor)?;
            Value::Bytes(take(cursor, len)?.to_vec())
        }
        Shape::Fixed(len) => Value::Bytes(take(cursor, len)?.to_vec()),
        Shape::Uuid => Value::Bytes(reverse_halves(array(cursor)?).to_vec()),
        Shape::Nullable => match array(cursor)? {
            [0] => read(data_type.without_nullable(), cursor)?,
            _ => Value::Null,
        },
        Shape::Array | Shape::Tuple | Shape::Map => read_nested(data_type.without_low_cardinality(), cursor)?,
    })
}

/// Appends one value of the type.
pub(crate) fn write(data_type: &DataType, value: &Value, out: &mut Vec<u8>) -> Outcome<()> {
    match (Shape::of(data_type)?, value) {
        (Shape::Nullable, Value::Null) => out.push(1),
        (Shape::Nullable, value) => {
            out.push(0);
            write(data_type.without_nullable(), value, out)?;
        }
        (Shape::Number { bits, .. }, Value::Int(number)) => {
            out.extend_from_slice(&Wide::from(*number).to_le_bytes()[..bits as usize / 8]);
        }
        (Shape::Number { bits, .. }, Value::Wide(number)) => {
            out.extend_from_slice(&number.to_le_bytes()[..bits as usize / 8]);
        }
        (Shape::Float { bits: 32 }, Value::Float(number)) => out.extend((*number as f32).to_le_bytes()),
        (_, Value::Float(number)) => out.extend(number.to_le_bytes()),
        (Shape::Uuid, Value::Bytes(bytes)) => {
            out.extend(reverse_halves(bytes.as_slice().try_into().unwrap_or_default()));
        }
        (Shape::Fixed(_), Value::Bytes(bytes)) => out.extend_from_slice(bytes),
        (_, Value::Bytes(bytes)) => {
            write_length(bytes.len(), out);
            out.extend_from_slice(bytes);
        }
        (shape, Value::List(values)) => {
            write_nested(data_type.without_low_cardinality(), shape, values, out)?;
        }
        (_, Value::Null | Value::Int(_) | Value::Wide(_)) => {
            return code::TYPE_MISMATCH.refuse(format_args!(
                "a value of another type stands where {data_type} belongs"
            ));
        }
    }
    Ok(())
}

fn read_number(data_type: &DataType, cursor: &mut Cursor<'_>, bits: u32, signed: bool) -> Outcome<Value> {
    let bytes = take(cursor, bits as usize / 8)?;
    let negative = signed && bytes.last().is_some_and(|byte| *byte >= 0x80);
    let mut filled = [if negative { 0xff } else { 0 }; 32];
    filled[..bytes.len()].copy_from_slice(bytes);
    if (Shape::Number { bits, signed }).is_wide() {
        return Ok(Value::Wide(Wide::from_le_bytes(filled, signed)));
    }
    let mut low = [0; 16];
    low.copy_from_slice(&filled[..16]);
    let number = i128::from_le_bytes(low);
    check_meaning(data_type.without_low_cardinality(), number)?;
    Ok(Value::Int(number))
}

/// Bytes can hold numbers that mean nothing in their type and that no text could show.
fn check_meaning(data_type: &DataType, number: i128) -> Outcome<()> {
    let known = match data_type {
        DataType::Enum8(values) | DataType::Enum16(values) => {
            values.iter().any(|(_, value)| i128::from(*value) == number)
        }
        DataType::Date32 => crate::time::is_date32(number),
        DataType::DateTime64(digits, _) => crate::time::is_in_calendar(number, *digits),
        _ => true,
    };
    if known {
        Ok(())
    } else {
        code::INCORRECT_DATA.refuse(format_args!("{number} is no value of {data_type}"))
    }
}

fn read_nested(data_type: &DataType, cursor: &mut Cursor<'_>) -> Outcome<Value> {
    let values = match data_type {
        DataType::Tuple(elements) => elements
            .iter()
            .map(|(_, element)| read(element, cursor))
            .collect(),
        DataType::Array(element) => (0..length(cursor)?).map(|_| read(element, cursor)).collect(),
        DataType::Map(key, value) => (0..length(cursor)?)
            .map(|_| Ok(Value::List(vec![read(key, cursor)?, read(value, cursor)?])))
            .collect(),
        other => code::UNKNOWN_TYPE.refuse(format_args!("{other} is not nested")),
    };
    values.map(Value::List)
}

fn write_nested(data_type: &DataType, shape: Shape, values: &[Value], out: &mut Vec<u8>) -> Outcome<()> {
    if shape != Shape::Tuple {
        write_length(values.len(), out);
    }
    for (at, value) in values.iter().enumerate() {
        match (data_type, value) {
            (DataType::Array(element), value) => write(element, value, out)?,
            (DataType::Tuple(elements), value) => write(&elements[at].1, value, out)?,
            (DataType::Map(key, value), Value::List(entry)) => {
                write(key, &entry[0], out)?;
                write(value, &entry[1], out)?;
            }
            (other, _) => {
                return code::TYPE_MISMATCH.refuse(format_args!("a list stands where {other} belongs"));
            }
        }
    }
    Ok(())
}

/// A variable-length number of at most 64 bits: how many bytes or elements follow. Every element takes a byte
/// at least (types of no width are refused at CREATE), so a length beyond the data is refused before anything
/// is allocated.
fn length(cursor: &mut Cursor<'_>) -> Outcome<usize> {
    let mut length = 0_u64;
    for shift in (0..64).step_by(7) {
        let [byte] = array(cursor)?;
        length |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return usize::try_from(length)
                .ok()
                .filter(|length| *length <= cursor.rest().len())
                .ok_or_else(|| {
                    let left = cursor.rest().len();
                    code::CANNOT_READ_ALL_DATA.error(format_args!(
                        "cannot read all data: {length} announced, {left} bytes left"
                    ))
                });
        }
    }
    code::INCORRECT_DATA.refuse("a length has more than 64 bits")
}

fn write_length(length: usize, out: &mut Vec<u8>) {
    let mut rest = length;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn take<'a>(cursor: &mut Cursor<'a>, len: usize) -> Outcome<&'a [u8]> {
    let left = cursor.rest().len();
    cursor.bytes(len).ok_or_else(|| {
        code::CANNOT_READ_ALL_DATA.error(format_args!(
            "cannot read all data: {left} bytes left, {len} expected"
        ))
    })
}

fn array<const N: usize>(cursor: &mut Cursor<'_>) -> Outcome<[u8; N]> {
    let mut array = [0; N];
    array.copy_from_slice(take(cursor, N)?);
    Ok(array)
}

/// A UUID travels as two little-endian 64-bit numbers.
fn reverse_halves(mut uuid: [u8; 16]) -> [u8; 16] {
    uuid[..8].reverse();
    uuid[8..].reverse();
    uuid
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Reading;
    use crate::text::from_text;

    #[track_caller]
    fn check(data_type: &str, text: &str, bytes: &[u8]) {
        let data_type = DataType::parse(data_type).unwrap();
        let value = from_text(&data_type, text.as_bytes(), Reading::default()).unwrap();
        let mut out = Vec::new();
        write(&data_type, &value, &mut out).unwrap();
        assert_eq!(out, bytes);
        let mut cursor = Cursor::new(bytes);
        assert_eq!(read(&data_type, &mut cursor).unwrap(), value);
        assert!(cursor.is_at_end());
    }

    #[test]
    fn values_have_clickhouses_bytes() {
        check("UInt32", "1", &[1, 0, 0, 0]);
        check("Int16", "-2", &[0xfe, 0xff]);
        check("Int256", "-1", &[0xff; 32]);
        check("Decimal(9, 2)", "-1.5", &(-150_i32).to_le_bytes());
        check("Float32", "1.5", &1.5_f32.to_le_bytes());
        check("String", "abc", b"\x03abc");
        check("FixedString(4)", "ab", b"ab\0\0");
        check("Nullable(UInt8)", "7", &[0, 7]);
        check(
            "UUID",
            "00010203-0405-0607-0809-0a0b0c0d0e0f",
            &[7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8],
        );
        check("IPv4", "1.2.3.4", &[4, 3, 2, 1]);
        check("Array(UInt8)", "[1,2]", &[2, 1, 2]);
        check("Tuple(UInt8, String)", "(1,'x')", &[1, 1, b'x']);
        check("Map(String, UInt8)", "{'k':1}", &[1, 1, b'k', 1]);
        check("LowCardinality(Nullable(String))", "x", &[0, 1, b'x']);
    }

    #[track_caller]
    fn refuses(data_type: &str, bytes: &[u8], says: &str) {
        let error = read(&DataType::parse(data_type).unwrap(), &mut Cursor::new(bytes)).unwrap_err();
        assert!(error.text.contains(says), "{error}");
    }

    #[test]
    fn cut_and_meaningless_bytes_are_refused() {
        refuses("UInt32", &[1, 2], "2 bytes left, 4 expected");
        refuses("String", b"\x05ab", "5 announced, 2 bytes left");
        refuses("String", &[0xff; 11], "more than 64 bits");
        refuses("Array(UInt64)", &[0xff, 0xff, 0xff, 0xff, 0x0f], "announced");
        refuses("Enum8('a' = 1)", &[2], "2 is no value of Enum8");
        refuses(
            "DateTime64(3)",
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
            "no value of DateTime64",
        );
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            let data_type = DataType::parse("Tuple(Array(Nullable(String)), Map(String, UInt256), UUID, Int8)").unwrap();
            let mut cursor = Cursor::new(&bytes);
            if let Ok(value) = read(&data_type, &mut cursor) {
                let mut out = Vec::new();
                write(&data_type, &value, &mut out).unwrap();
                let again = read(&data_type, &mut Cursor::new(&out)).unwrap();
                proptest::prop_assert_eq!(again, value);
            }
        }
    }
}
