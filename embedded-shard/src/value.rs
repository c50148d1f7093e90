//! `Value`: one cell, exact for every type the embedded shard keeps, and how two cells of a type compare.

use std::cmp::Ordering;

use types::DataType;

use crate::error::{Outcome, code};
use crate::wide::Wide;

/// One value. Which variant a type uses is fixed (see [`Shape`]), so two cells of a column always compare.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    /// Integers of up to 128 bits except UInt128, Bool, dates (days), times (ticks), enums (their number),
    /// IPv4, decimals of up to 38 digits (unscaled).
    Int(i128),
    /// UInt128, (U)Int256 and decimals above 38 digits (unscaled).
    Wide(Wide),
    /// Float32 and Float64.
    Float(f64),
    /// String and FixedString; UUID and IPv6 as the 16 bytes of their text.
    Bytes(Vec<u8>),
    /// Array and Tuple by element; Map as two-element lists.
    List(Vec<Value>),
}

/// How a type is held in memory and in RowBinary, without its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A little-endian number of that many bits; `Value::Int`, or `Value::Wide` where [`Shape::is_wide`] says
    /// so.
    Number {
        bits: u32,
        signed: bool,
    },
    /// IEEE of 32 or 64 bits.
    Float {
        bits: u32,
    },
    /// A length and bytes.
    Text,
    /// Exactly that many bytes.
    Fixed(usize),
    /// 16 bytes whose order on the wire is ClickHouse's: each half reversed.
    Uuid,
    Nullable,
    Array,
    Tuple,
    Map,
}

impl Shape {
    /// The shape of a type; a type the embedded shard does not keep is refused by its name.
    pub fn of(data_type: &DataType) -> Outcome<Self> {
        use DataType as T;
        let number = |bits, signed| Ok(Self::Number { bits, signed });
        match data_type {
            T::UInt8 | T::Bool => number(8, false),
            T::UInt16 | T::Date => number(16, false),
            T::UInt32 | T::DateTime(_) | T::IPv4 => number(32, false),
            T::UInt64 => number(64, false),
            T::UInt128 => number(128, false),
            T::UInt256 => number(256, false),
            T::Int8 | T::Enum8(_) => number(8, true),
            T::Int16 | T::Enum16(_) => number(16, true),
            T::Int32 | T::Date32 => number(32, true),
            T::Int64 | T::DateTime64(..) => number(64, true),
            T::Int128 => number(128, true),
            T::Int256 => number(256, true),
            T::Decimal { precision, .. } => number(decimal_bits(*precision), true),
            T::Float32 => Ok(Self::Float { bits: 32 }),
            T::Float64 => Ok(Self::Float { bits: 64 }),
            T::String => Ok(Self::Text),
            T::FixedString(bytes) => Ok(Self::Fixed(*bytes)),
            T::Uuid => Ok(Self::Uuid),
            T::IPv6 => Ok(Self::Fixed(16)),
            T::Nullable(_) => Ok(Self::Nullable),
            T::LowCardinality(inner) => Self::of(inner),
            T::Array(_) => Ok(Self::Array),
            T::Tuple(_) => Ok(Self::Tuple),
            T::Map(..) => Ok(Self::Map),
            T::BFloat16 | T::Nothing | T::Other(_) => code::UNKNOWN_TYPE.refuse(format_args!(
                "the embedded shard does not keep the type {data_type}"
            )),
        }
    }

    /// Whether numbers of this shape are held as [`Wide`].
    pub fn is_wide(self) -> bool {
        matches!(
            self,
            Self::Number { bits: 256, .. }
                | Self::Number {
                    bits: 128,
                    signed: false
                }
        )
    }
}

/// The integer that holds a decimal of that many digits, by ClickHouse's table.
fn decimal_bits(precision: u8) -> u32 {
    match precision {
        0..=9 => 32,
        10..=18 => 64,
        19..=38 => 128,
        _ => 256,
    }
}

/// Refuses a type that a table cannot have here, however deep it is nested.
pub(crate) fn check_type(data_type: &DataType) -> Outcome<()> {
    Shape::of(data_type)?;
    match data_type {
        DataType::Nullable(inner) | DataType::LowCardinality(inner) | DataType::Array(inner) => {
            check_type(inner)
        }
        DataType::Map(key, value) => check_type(key).and_then(|()| check_type(value)),
        DataType::Tuple(elements) if elements.is_empty() => {
            code::UNKNOWN_TYPE.refuse("the embedded shard does not keep empty tuples")
        }
        DataType::Tuple(elements) => elements.iter().try_for_each(|(_, element)| check_type(element)),
        DataType::FixedString(0) => code::ARGUMENT_OUT_OF_BOUND.refuse("a FixedString has at least one byte"),
        DataType::DateTime64(10.., _) => {
            code::ARGUMENT_OUT_OF_BOUND.refuse("a DateTime64 has at most 9 digits")
        }
        DataType::DateTime(Some(zone)) | DataType::DateTime64(_, Some(zone)) => {
            crate::time::time_zone(Some(zone)).map(drop)
        }
        _ => Ok(()),
    }
}

/// What a column holds where nothing was said: zero, the empty string, NULL; an enum's smallest number.
pub(crate) fn default_of(data_type: &DataType) -> Outcome<Value> {
    Ok(
        match (Shape::of(data_type)?, data_type.without_low_cardinality()) {
            (Shape::Nullable, _) => Value::Null,
            (_, DataType::Enum8(values) | DataType::Enum16(values)) => Value::Int(
                values
                    .iter()
                    .map(|(_, number)| i128::from(*number))
                    .min()
                    .unwrap_or(0),
            ),
            (_, DataType::Date32) => Value::Int(crate::time::DATE32_MIN_DAYS),
            (_, DataType::Tuple(elements)) => Value::List(
                elements
                    .iter()
                    .map(|(_, element)| default_of(element))
                    .collect::<Outcome<_>>()?,
            ),
            (shape @ Shape::Number { .. }, _) if shape.is_wide() => Value::Wide(Wide::from(0)),
            (Shape::Number { .. }, _) => Value::Int(0),
            (Shape::Float { .. }, _) => Value::Float(0.0),
            (Shape::Fixed(bytes), _) => Value::Bytes(vec![0; bytes]),
            (Shape::Uuid, _) => Value::Bytes(vec![0; 16]),
            (Shape::Text, _) => Value::Bytes(Vec::new()),
            (Shape::Array | Shape::Map | Shape::Tuple, _) => Value::List(Vec::new()),
        },
    )
}

/// Checks an integer against its shape and gives it the variant that shape uses; `None` when it does not fit.
pub(crate) fn number_of_shape(shape: Shape, number: Wide) -> Option<Value> {
    let Shape::Number { bits, signed } = shape else {
        return None;
    };
    if !number.fits(bits, signed) {
        return None;
    }
    if shape.is_wide() {
        return Some(Value::Wide(number));
    }
    let bytes = number.to_le_bytes();
    let mut low = [0; 16];
    low.copy_from_slice(&bytes[..16]);
    Some(Value::Int(i128::from_le_bytes(low)))
}

/// Orders two cells of one type as ClickHouse's ORDER BY ascending does: NaN behind every number, NULL behind
/// all.
pub(crate) fn compare(data_type: &DataType, a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Greater,
        (_, Value::Null) => Ordering::Less,
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Wide(a), Value::Wide(b)) => a.cmp(b),
        (Value::Int(a), Value::Wide(b)) => Wide::from(*a).cmp(b),
        (Value::Wide(a), Value::Int(b)) => a.cmp(&Wide::from(*b)),
        (Value::Float(a), Value::Float(b)) => compare_floats(*a, *b),
        (Value::Float(a), Value::Int(b)) => compare_int_to_float(*b, *a).reverse(),
        (Value::Int(a), Value::Float(b)) => compare_int_to_float(*a, *b),
        (Value::Bytes(a), Value::Bytes(b)) if is_uuid(data_type) => uuid_order(a).cmp(&uuid_order(b)),
        (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
        (Value::List(a), Value::List(b)) => compare_lists(data_type, a, b),
        // A column has one variant and NULL, and comparisons are checked when they are bound: nothing else
        // meets here.
        (Value::Wide(_) | Value::Float(_) | Value::Bytes(_) | Value::List(_) | Value::Int(_), _) => {
            Ordering::Equal
        }
    }
}

fn is_uuid(data_type: &DataType) -> bool {
    matches!(data_type.without_nullable(), DataType::Uuid)
}

/// ClickHouse orders UUIDs by their second half first (tried on 26.9).
fn uuid_order(uuid: &[u8]) -> (&[u8], &[u8]) {
    let (high, low) = uuid.split_at(uuid.len() / 2);
    (low, high)
}

fn compare_floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// Exact: an integer above 2^53 is not rounded to a float first.
fn compare_int_to_float(int: i128, float: f64) -> Ordering {
    const TWO_TO_127: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0;
    if float.is_nan() || float >= TWO_TO_127 {
        return Ordering::Less;
    }
    if float < -TWO_TO_127 {
        return Ordering::Greater;
    }
    let whole = float.trunc();
    int.cmp(&(whole as i128))
        .then_with(|| compare_floats(whole, float))
}

fn compare_lists(data_type: &DataType, a: &[Value], b: &[Value]) -> Ordering {
    let elements = a.iter().zip(b).enumerate();
    let mut orders = elements.map(|(at, (a, b))| compare(element_type(data_type, at), a, b));
    orders
        .find(|order| order.is_ne())
        .unwrap_or_else(|| a.len().cmp(&b.len()))
}

/// The type of the n-th element of a list. A Map's entries compare as untyped pairs: its keys are never UUIDs
/// here.
fn element_type(data_type: &DataType, at: usize) -> &DataType {
    match data_type.without_nullable() {
        DataType::Array(element) => element,
        DataType::Tuple(elements) => elements
            .get(at)
            .map_or(&DataType::Nothing, |(_, element)| element),
        _ => &DataType::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(number: i128) -> Value {
        Value::Int(number)
    }

    #[track_caller]
    fn ascends(data_type: &str, values: &[Value]) {
        let data_type = DataType::parse(data_type).unwrap();
        for pair in values.windows(2) {
            assert_eq!(
                compare(&data_type, &pair[0], &pair[1]),
                Ordering::Less,
                "{pair:?}"
            );
            assert_eq!(
                compare(&data_type, &pair[1], &pair[0]),
                Ordering::Greater,
                "{pair:?}"
            );
        }
    }

    #[test]
    fn values_order_as_clickhouse_orders_them() {
        ascends(
            "UInt64",
            &[int(0), int(i128::from(i64::MAX) + 1), int(i128::from(u64::MAX))],
        );
        let floats = [f64::NEG_INFINITY, 0.0, f64::INFINITY, f64::NAN].map(Value::Float);
        ascends("Nullable(Float64)", &[floats.as_slice(), &[Value::Null]].concat());
        let late_half_small = [[9; 8], [1; 8]].concat();
        let late_half_large = [[1; 8], [9; 8]].concat();
        ascends("UUID", &[late_half_small, late_half_large].map(Value::Bytes));
        ascends(
            "Array(UInt8)",
            &[vec![], vec![int(1)], vec![int(1), int(0)], vec![int(2)]].map(Value::List),
        );
    }

    #[test]
    fn an_integer_above_2_to_53_is_not_rounded_to_meet_a_float() {
        assert_eq!(
            compare_int_to_float(9_007_199_254_740_993, 9_007_199_254_740_992.0),
            Ordering::Greater
        );
        assert_eq!(compare_int_to_float(-1, -0.5), Ordering::Less);
        assert_eq!(compare_int_to_float(i128::MAX, 1e300), Ordering::Less);
        assert_eq!(compare_int_to_float(i128::MIN, -1e300), Ordering::Greater);
    }

    #[track_caller]
    fn default_is(data_type: &str, expected: &Value) {
        assert_eq!(
            &default_of(&DataType::parse(data_type).unwrap()).unwrap(),
            expected
        );
    }

    #[test]
    fn defaults_are_clickhouses() {
        default_is("UInt256", &Value::Wide(Wide::from(0)));
        default_is("LowCardinality(Nullable(String))", &Value::Null);
        default_is("Enum8('a' = 2, 'b' = 1)", &int(1));
        default_is("Date32", &int(-25567));
        default_is("FixedString(2)", &Value::Bytes(vec![0, 0]));
        default_is(
            "Tuple(UInt8, String)",
            &Value::List(vec![int(0), Value::Bytes(vec![])]),
        );
    }

    #[test]
    fn a_type_that_cannot_be_kept_is_refused_by_its_name_however_deep() {
        let nested = DataType::parse("Array(Tuple(UInt8, AggregateFunction(uniq, String)))").unwrap();
        let error = check_type(&nested).unwrap_err();
        assert_eq!(error.code, code::UNKNOWN_TYPE);
        assert!(error.text.contains("AggregateFunction(uniq, String)"), "{error}");
    }
}
