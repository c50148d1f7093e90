//! A key column that came in another type than the table's, cast as the shard will cast it.
//!
//! Only what every version of ClickHouse casts alike; the rest is refused, because a wrong guess would put the row
//! on a wrong shard.

use types::{Bytes, Column, Data, DataType, Lists, Tuples};

use crate::error::code;
use crate::framing::{Token, ValueError};
use crate::key::Reading;
use crate::nested::{Kind, ValueReader};
use crate::value;

/// How values of one type become those of another, both without Nullable and LowCardinality.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cast {
    /// They are the same bits.
    Nothing,
    /// Integers, which wrap around.
    Integers,
    /// From integers or floats to floats.
    ToFloat,
    /// Floats lose what is behind the point.
    Truncate,
    /// Numbers to true or false.
    ToBool,
    /// Integers as text.
    Print,
    /// Text to what it stands for.
    Parse,
    /// Each element of lists.
    Elements(Box<Cast>),
    /// Each element of tuples, or of a Map's pairs, by its own.
    Each(Vec<Cast>),
}

impl Cast {
    /// The cast, where it is known exactly.
    pub(super) fn of(from: &DataType, to: &DataType) -> Option<Self> {
        use DataType as T;
        match (from, to) {
            _ if same_bits(from, to) => Some(Self::Nothing),
            (T::Array(from), T::Array(to)) => {
                Self::inner(from, to).map(|inner| Self::Elements(Box::new(inner)))
            }
            (T::Map(from_key, from), T::Map(to_key, to)) => {
                let pair = vec![Self::inner(from_key, to_key)?, Self::inner(from, to)?];
                Some(Self::Elements(Box::new(Self::Each(pair))))
            }
            (T::Tuple(from), T::Tuple(to)) if are_same_names(from, to) => {
                let pairs = from.iter().zip(to);
                let casts = pairs.map(|((_, from), (_, to))| Self::inner(from, to));
                casts.collect::<Option<_>>().map(Self::Each)
            }
            (from, T::Bool) if is_integer(from) || is_float(from) => Some(Self::ToBool),
            (T::Bool, to) if is_integer(to) => Some(Self::Integers),
            (from, to) if is_integer(from) && is_integer(to) => Some(Self::Integers),
            (T::Date, T::Date32) => Some(Self::Integers),
            (from, to) if (is_small_integer(from) || is_float(from)) && is_float(to) => Some(Self::ToFloat),
            (from, to) if is_float(from) && is_small_integer(to) => Some(Self::Truncate),
            (from, T::String) if is_integer(from) => Some(Self::Print),
            (T::String, to) if is_integer(to) => Some(Self::Parse),
            (T::String, T::FixedString(_) | T::Uuid | T::IPv4 | T::IPv6 | T::Date) => Some(Self::Parse),
            (T::String, T::Enum8(_) | T::Enum16(_)) => Some(Self::Parse),
            _ => None,
        }
    }

    fn inner(from: &DataType, to: &DataType) -> Option<Self> {
        Self::of(from.without_nullable(), to.without_nullable())
    }

    /// Whether the values stay as they are, apart from NULL being allowed or not.
    pub(super) fn is_nothing(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Elements(inner) => inner.is_nothing(),
            Self::Each(casts) => casts.iter().all(Self::is_nothing),
            _ => false,
        }
    }

    /// The column in the type of `to`, but with NULL where it had NULL. An error names the row.
    pub(super) fn apply(&self, column: Column, to: &ValueReader) -> Result<Column, (usize, ValueError)> {
        let Column { data, nulls } = column;
        let reading = match &to.kind {
            Kind::Scalar(reading) => reading,
            _ => {
                return Ok(Column {
                    data: self.apply_inside(data, to)?,
                    nulls,
                });
            }
        };
        let to = to.data_type.without_nullable();
        let data = match self {
            Self::Nothing | Self::Elements(_) | Self::Each(_) => data,
            Self::Integers => from_integers(&integers(&data), to),
            Self::ToBool => Data::UInt8(
                floats(&data)
                    .iter()
                    .map(|value| u8::from(*value != 0.0))
                    .collect(),
            ),
            Self::ToFloat => from_floats(&data, to),
            Self::Truncate => from_integers(&truncated(&floats(&data), to)?, to),
            Self::Print => printed(&integers(&data)),
            Self::Parse => parsed(&data, nulls.as_deref(), to, reading)?,
        };
        Ok(Column { data, nulls })
    }

    /// The same for values with others inside.
    fn apply_inside(&self, data: Data, to: &ValueReader) -> Result<Data, (usize, ValueError)> {
        match (data, &to.kind) {
            (Data::Array(lists), Kind::Array(inner)) => {
                let cast = match self {
                    Self::Elements(cast) => cast.as_ref(),
                    _ => &Self::Nothing,
                };
                let values = cast.apply_element(*lists.values, inner);
                lists_of(values, lists.ends)
            }
            (Data::Array(lists), Kind::Map(pair)) => {
                let cast = match self {
                    Self::Elements(cast) => cast.as_ref(),
                    _ => &Self::Nothing,
                };
                let pairs = match lists.values.data {
                    Data::Tuple(pairs) => cast.apply_each(pairs, &[&pair.0, &pair.1]),
                    other => Ok(other),
                };
                lists_of(pairs.map(Column::new), lists.ends)
            }
            (Data::Tuple(tuples), Kind::Tuple(elements)) => {
                let readers: Vec<&ValueReader> = elements.iter().map(|element| &element.reader).collect();
                self.apply_each(tuples, &readers)
            }
            (data, _) => Ok(data),
        }
    }

    fn apply_each(&self, tuples: Tuples, to: &[&ValueReader]) -> Result<Data, (usize, ValueError)> {
        let cast_of = |place: usize| match self {
            Self::Each(casts) => casts.get(place).unwrap_or(&Self::Nothing),
            _ => &Self::Nothing,
        };
        let columns = tuples.columns.into_iter().zip(to).enumerate();
        let columns = columns.map(|(place, (column, to))| cast_of(place).apply_element(column, to));
        Ok(Data::Tuple(Tuples {
            columns: columns.collect::<Result<_, _>>()?,
            rows: tuples.rows,
        }))
    }

    /// What lies inside another value takes NULL exactly where the table's type does: no version casts it alike.
    fn apply_element(&self, column: Column, to: &ValueReader) -> Result<Column, (usize, ValueError)> {
        let mut cast = self.apply(column, to)?;
        let null = cast.nulls.iter().flatten().position(|is_null| *is_null);
        match (to.data_type.is_nullable(), null) {
            (true, _) if cast.nulls.is_none() => cast.nulls = Some(vec![false; cast.len()]),
            (false, Some(place)) => return Err((place, NULL_INSIDE)),
            (false, None) => cast.nulls = None,
            (true, _) => {}
        }
        Ok(cast)
    }
}

const NULL_INSIDE: ValueError = ValueError {
    code: code::INCORRECT_DATA,
    expected: "no NULL inside, because the table's type takes none there",
};

/// Lists whose elements are known, or the row of the element that could not be cast.
fn lists_of(
    values: Result<Column, (usize, ValueError)>,
    ends: Vec<usize>,
) -> Result<Data, (usize, ValueError)> {
    match values {
        Ok(values) => Ok(Data::Array(Lists {
            values: Box::new(values),
            ends,
        })),
        Err((element, error)) => Err((ends.partition_point(|end| *end <= element), error)),
    }
}

/// Whether elements that stand in the same place have the same name, or one type has none: ClickHouse casts by names where
/// both have them.
fn are_same_names(from: &[(Option<String>, DataType)], to: &[(Option<String>, DataType)]) -> bool {
    let mut pairs = from.iter().zip(to);
    from.len() == to.len() && pairs.all(|((from, _), (to, _))| from == to || from.is_none() || to.is_none())
}

fn same_bits(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    let holds = |of: &[(String, i16)], all: &[(String, i16)]| of.iter().all(|element| all.contains(element));
    match (from, to) {
        (T::DateTime(_), T::DateTime(_) | T::UInt32) | (T::UInt32, T::DateTime(_)) => true,
        (T::DateTime64(from, _), T::DateTime64(to, _)) => from == to,
        (T::UInt16, T::Date) | (T::Date, T::UInt16) => true,
        (T::UInt32, T::IPv4) | (T::IPv4, T::UInt32) => true,
        (T::Enum8(from), T::Enum8(to)) | (T::Enum16(from), T::Enum16(to)) => holds(from, to),
        (T::Enum8(_), T::Int8) | (T::Enum16(_), T::Int16) => true,
        (from, to) => from == to,
    }
}

fn is_integer(data_type: &DataType) -> bool {
    matches!(data_type, DataType::UInt128 | DataType::Int128) || is_small_integer(data_type)
}

fn is_small_integer(data_type: &DataType) -> bool {
    use DataType as T;
    matches!(
        data_type,
        T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64 | T::Int8 | T::Int16 | T::Int32 | T::Int64
    )
}

fn is_float(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float32 | DataType::Float64)
}

/// The values as 128-bit integers; those of UInt128 with the same bits.
fn integers(data: &Data) -> Vec<i128> {
    macro_rules! all {
        ($values:expr) => {
            $values.iter().map(|value| i128::from(*value)).collect()
        };
    }
    match data {
        Data::UInt8(values) => all!(values),
        Data::UInt16(values) => all!(values),
        Data::UInt32(values) => all!(values),
        Data::UInt64(values) => all!(values),
        Data::UInt128(values) => values.iter().map(|value| value.cast_signed()).collect(),
        Data::Int8(values) => all!(values),
        Data::Int16(values) => all!(values),
        Data::Int32(values) => all!(values),
        Data::Int64(values) => all!(values),
        Data::Int128(values) => values.clone(),
        _ => Vec::new(),
    }
}

fn from_integers(values: &[i128], to: &DataType) -> Data {
    macro_rules! wrapped {
        () => {
            values.iter().map(|value| *value as _).collect()
        };
    }
    match Data::empty(to) {
        Data::UInt8(_) => Data::UInt8(wrapped!()),
        Data::UInt16(_) => Data::UInt16(wrapped!()),
        Data::UInt32(_) => Data::UInt32(wrapped!()),
        Data::UInt64(_) => Data::UInt64(wrapped!()),
        Data::UInt128(_) => Data::UInt128(wrapped!()),
        Data::Int8(_) => Data::Int8(wrapped!()),
        Data::Int16(_) => Data::Int16(wrapped!()),
        Data::Int32(_) => Data::Int32(wrapped!()),
        Data::Int64(_) => Data::Int64(wrapped!()),
        _ => Data::Int128(values.to_vec()),
    }
}

fn floats(data: &Data) -> Vec<f64> {
    match data {
        Data::Float32(values) => values.iter().map(|value| f64::from(*value)).collect(),
        Data::Float64(values) => values.clone(),
        data => integers(data).iter().map(|value| *value as f64).collect(),
    }
}

fn from_floats(data: &Data, to: &DataType) -> Data {
    match (to, data) {
        (DataType::Float64, data) => Data::Float64(floats(data)),
        (_, Data::Float64(values)) => Data::Float32(values.iter().map(|value| *value as f32).collect()),
        // Not by way of Float64, which would round twice.
        (_, data) => Data::Float32(integers(data).iter().map(|value| *value as f32).collect()),
    }
}

/// What is in the range of the type; what is not, compilers cast as they like.
fn truncated(values: &[f64], to: &DataType) -> Result<Vec<i128>, (usize, ValueError)> {
    use DataType as T;
    let (lowest, highest): (i128, i128) = match to {
        T::UInt8 => (0, u8::MAX.into()),
        T::UInt16 => (0, u16::MAX.into()),
        T::UInt32 => (0, u32::MAX.into()),
        T::UInt64 => (0, u64::MAX.into()),
        T::Int8 => (i8::MIN.into(), i8::MAX.into()),
        T::Int16 => (i16::MIN.into(), i16::MAX.into()),
        T::Int32 => (i32::MIN.into(), i32::MAX.into()),
        _ => (i64::MIN.into(), i64::MAX.into()),
    };
    let in_range = |(row, value): (usize, &f64)| {
        let whole = value.trunc() as i128;
        if value.is_finite() && (lowest..=highest).contains(&whole) {
            Ok(whole)
        } else {
            let expected = "a number in the range of the table's type";
            Err((
                row,
                ValueError {
                    code: code::CANNOT_PARSE_NUMBER,
                    expected,
                },
            ))
        }
    };
    values.iter().enumerate().map(in_range).collect()
}

fn printed(values: &[i128]) -> Data {
    let mut texts = Bytes::default();
    values
        .iter()
        .for_each(|value| texts.push(value.to_string().as_bytes()));
    Data::Bytes(texts)
}

fn parsed(
    data: &Data,
    nulls: Option<&[bool]>,
    to: &DataType,
    reading: &Reading,
) -> Result<Data, (usize, ValueError)> {
    let Data::Bytes(texts) = data else {
        return Ok(data.clone());
    };
    let mut parsed = Column::new(Data::empty(to));
    for (row, text) in texts.iter().enumerate() {
        if nulls.is_some_and(|nulls| nulls[row]) {
            parsed.push_default(to);
            continue;
        }
        is_plain(text, to).map_err(|error| (row, error))?;
        value::push(&mut parsed.data, to, reading, &Token::Text(text)).map_err(|error| (row, error))?;
    }
    Ok(parsed.data)
}

/// Whether a cast reads the text as a field of TabSeparated is read.
fn is_plain(text: &[u8], to: &DataType) -> Result<(), ValueError> {
    use DataType as T;
    let digits = |text: &[u8]| !text.is_empty() && text.len() <= 18 && text.iter().all(u8::is_ascii_digit);
    let (plain, expected) = match to {
        T::Enum8(elements) | T::Enum16(elements) => (
            elements.iter().any(|(name, _)| name.as_bytes() == text),
            "an element's name",
        ),
        T::Date => (
            text.len() == 10 && text[4] == b'-' && text[7] == b'-',
            "a date as YYYY-MM-DD",
        ),
        T::Uuid => (text.len() == 36, "a UUID with dashes"),
        T::FixedString(_) | T::IPv4 | T::IPv6 => (!text.is_empty(), "a text that is not empty"),
        to if is_integer(to) => (
            digits(text)
                || text
                    .strip_prefix(b"-")
                    .is_some_and(|rest| is_signed(to) && digits(rest)),
            "an integer of at most 18 digits",
        ),
        _ => (false, "a value of the table's type"),
    };
    plain.then_some(()).ok_or(ValueError {
        code: code::CANNOT_PARSE_NUMBER,
        expected,
    })
}

fn is_signed(data_type: &DataType) -> bool {
    use DataType as T;
    matches!(data_type, T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::Int128)
}
