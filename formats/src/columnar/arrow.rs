//! Arrow's arrays as columns of ClickHouse: Arrow, ArrowStream and Parquet.
//!
//! Each array becomes the type that ClickHouse reads it as, and the shard casts that to the column's. Where the same
//! array stands for several types (sixteen bytes are a UUID, an IPv6 or a number), the column's type decides.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowDictionaryKeyType, ArrowPrimitiveType, Date32Type, Date64Type, Decimal32Type, Decimal64Type,
    Decimal128Type, Decimal256Type, Float16Type,
};
use arrow_array::{Array, ArrayRef, downcast_dictionary_array, downcast_primitive_array};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType as Arrow, TimeUnit};
use types::DataType;

use super::values::{Texts, Values};

/// A column that was made of an array.
#[derive(Debug)]
pub(crate) struct Converted {
    pub type_name: String,
    pub prefix: Vec<u8>,
    pub values: Values,
}

/// Why an array does not become a column.
#[derive(Debug)]
pub(crate) enum ConvertError {
    /// It has more bytes than allowed: fewer rows may do.
    TooMuch,
    /// Its type is none that ClickHouse reads.
    Unknown(String),
}

/// Makes a column of an array, for a column of type `hint`. `allowance` is how many bytes it may take.
pub(crate) fn convert(
    array: &dyn Array,
    hint: Option<&DataType>,
    allowance: &mut usize,
) -> Result<Converted, ConvertError> {
    let mut converter = Converter {
        prefix: Vec::new(),
        allowance,
    };
    let (type_name, values) = converter.column(array, hint, true)?;
    Ok(Converted {
        type_name,
        prefix: converter.prefix,
        values,
    })
}

struct Converter<'a> {
    prefix: Vec<u8>,
    allowance: &'a mut usize,
}

type Typed = (String, Values);

/// The version of a LowCardinality column's serialization.
const DICTIONARY_VERSION: u64 = 1;

impl Converter<'_> {
    fn take(&mut self, bytes: usize) -> Result<(), ConvertError> {
        *self.allowance = self.allowance.checked_sub(bytes).ok_or(ConvertError::TooMuch)?;
        Ok(())
    }

    /// A column with its NULLs. Inside a container whose type takes no NULL they become the default, as ClickHouse reads
    /// them; a whole column keeps them, so that the shard takes the column's DEFAULT.
    fn column(
        &mut self,
        array: &dyn Array,
        hint: Option<&DataType>,
        whole: bool,
    ) -> Result<Typed, ConvertError> {
        let may_be_null = whole || hint.is_none_or(DataType::is_nullable);
        let inner = hint.map(DataType::without_nullable);
        match array.data_type() {
            Arrow::Null => {
                self.take(2 * array.len())?;
                let inner = Box::new(Values::fixed(1, vec![b'0'; array.len()]));
                return Ok((
                    "Nullable(Nothing)".to_owned(),
                    Values::Nullable {
                        map: vec![1; array.len()],
                        inner,
                    },
                ));
            }
            Arrow::Dictionary(..) => return self.dictionary(array, inner, may_be_null),
            _ => {}
        }
        let (name, values) = self.values(array, inner)?;
        let takes_null = !matches!(values, Values::Array { .. } | Values::Tuple(_));
        match array.nulls().filter(|nulls| nulls.null_count() > 0) {
            Some(nulls) if may_be_null && takes_null => {
                self.take(array.len())?;
                let map = nulls.iter().map(|is_valid| u8::from(!is_valid)).collect();
                Ok((
                    format!("Nullable({name})"),
                    Values::Nullable {
                        map,
                        inner: Box::new(values),
                    },
                ))
            }
            _ => Ok((name, values)),
        }
    }

    /// The values; at a NULL the type's default.
    fn values(&mut self, array: &dyn Array, hint: Option<&DataType>) -> Result<Typed, ConvertError> {
        match array.data_type() {
            Arrow::Boolean => {
                self.take(array.len())?;
                let values = array.as_boolean();
                let byte = |row| u8::from(values.is_valid(row) && values.value(row));
                // Older servers have no Bool: their column is a number.
                let name = match hint {
                    Some(DataType::UInt8) => "UInt8",
                    _ => "Bool",
                };
                Ok((
                    name.to_owned(),
                    Values::fixed(1, (0..array.len()).map(byte).collect()),
                ))
            }
            Arrow::Utf8 => {
                let values = array.as_string::<i32>();
                self.texts(array, |row| values.value(row).as_bytes())
            }
            Arrow::LargeUtf8 => {
                let values = array.as_string::<i64>();
                self.texts(array, |row| values.value(row).as_bytes())
            }
            Arrow::Utf8View => {
                let values = array.as_string_view();
                self.texts(array, |row| values.value(row).as_bytes())
            }
            Arrow::Binary => {
                let values = array.as_binary::<i32>();
                self.binary(array, hint, |row| values.value(row))
            }
            Arrow::LargeBinary => {
                let values = array.as_binary::<i64>();
                self.binary(array, hint, |row| values.value(row))
            }
            Arrow::BinaryView => {
                let values = array.as_binary_view();
                self.binary(array, hint, |row| values.value(row))
            }
            Arrow::FixedSizeBinary(width) => {
                let values = array.as_fixed_size_binary();
                let width = usize::try_from(*width)
                    .ok()
                    .filter(|width| *width > 0)
                    .ok_or_else(|| unknown(array))?;
                self.fixed(array, width, hint, |row| values.value(row))
            }
            Arrow::List(_) => {
                let list = array.as_list::<i32>();
                let ends: Vec<i64> = list.value_offsets().iter().map(|end| i64::from(*end)).collect();
                self.list(list.values(), &ends, array.nulls(), element_of(hint))
            }
            Arrow::LargeList(_) => {
                let list = array.as_list::<i64>();
                self.list(
                    list.values(),
                    list.value_offsets(),
                    array.nulls(),
                    element_of(hint),
                )
            }
            Arrow::FixedSizeList(_, len) => {
                let list = array.as_fixed_size_list();
                let len = i64::from(*len);
                let first = i64::try_from(list.value_offset_at(0)).unwrap_or(0);
                let ends: Vec<i64> = (0..=array.len() as i64).map(|row| first + row * len).collect();
                self.list(list.values(), &ends, array.nulls(), element_of(hint))
            }
            Arrow::Map(..) => self.map(array, hint),
            Arrow::Struct(_) => self.tuple(array, hint),
            _ => self.numbers(array, hint),
        }
    }

    fn texts<'v>(
        &mut self,
        array: &dyn Array,
        value: impl Fn(usize) -> &'v [u8],
    ) -> Result<Typed, ConvertError> {
        let mut texts = Texts::default();
        for row in 0..array.len() {
            let text = if array.is_valid(row) { value(row) } else { b"" };
            self.take(text.len() + size_of::<usize>() + 1)?;
            texts.push(text);
        }
        Ok(("String".to_owned(), Values::Text(texts)))
    }

    /// Strings of bytes, or addresses where the column holds those.
    fn binary<'v>(
        &mut self,
        array: &dyn Array,
        hint: Option<&DataType>,
        value: impl Fn(usize) -> &'v [u8],
    ) -> Result<Typed, ConvertError> {
        let wide = matches!(hint, Some(DataType::IPv6 | DataType::Uuid));
        if wide && (0..array.len()).all(|row| !array.is_valid(row) || value(row).len() == 16) {
            return self.fixed(array, 16, hint, value);
        }
        self.texts(array, value)
    }

    fn fixed<'v>(
        &mut self,
        array: &dyn Array,
        width: usize,
        hint: Option<&DataType>,
        value: impl Fn(usize) -> &'v [u8],
    ) -> Result<Typed, ConvertError> {
        self.take(width.saturating_mul(array.len()))?;
        let mut bytes = Vec::with_capacity(width * array.len());
        for row in 0..array.len() {
            match array.is_valid(row) {
                true => bytes.extend_from_slice(value(row)),
                false => bytes.resize(bytes.len() + width, 0),
            }
        }
        let name = match (hint, width) {
            (Some(DataType::Uuid), 16) => {
                // A UUID's bytes are those of its text; in memory each half is turned around.
                bytes.chunks_exact_mut(8).for_each(<[u8]>::reverse);
                "UUID".to_owned()
            }
            (Some(wide @ (DataType::IPv6 | DataType::Int128 | DataType::UInt128)), 16) => wide.to_string(),
            (Some(wide @ (DataType::Int256 | DataType::UInt256)), 32) => wide.to_string(),
            _ => format!("FixedString({width})"),
        };
        Ok((name, Values::fixed(width, bytes)))
    }

    /// A list's rows: `ends` has one entry more than there are rows, the first one is where the first row begins.
    fn list(
        &mut self,
        elements: &ArrayRef,
        ends: &[i64],
        nulls: Option<&NullBuffer>,
        hint: Option<&DataType>,
    ) -> Result<Typed, ConvertError> {
        let (elements, ends) = self.elements(elements, ends, nulls)?;
        let (name, inner) = self.column(&elements, hint, false)?;
        Ok((
            format!("Array({name})"),
            Values::Array {
                ends,
                inner: Box::new(inner),
            },
        ))
    }

    /// The elements that belong to the rows, and where each row's end among them. A NULL row has none, whatever lies
    /// behind it; arrays with such remains are rare and refused.
    fn elements(
        &mut self,
        elements: &ArrayRef,
        ends: &[i64],
        nulls: Option<&NullBuffer>,
    ) -> Result<(ArrayRef, Vec<usize>), ConvertError> {
        self.take(ends.len().saturating_mul(size_of::<usize>()))?;
        let first = ends.first().copied().unwrap_or(0);
        let last = ends.last().copied().unwrap_or(first);
        let has_remains = |(row, pair): (usize, &[i64])| {
            nulls.is_some_and(|nulls| nulls.is_null(row)) && pair[0] != pair[1]
        };
        if ends.windows(2).enumerate().any(has_remains) {
            return Err(ConvertError::Unknown(
                "a list that is NULL and has elements".to_owned(),
            ));
        }
        let elements = elements.slice(first as usize, (last - first) as usize);
        Ok((
            elements,
            ends.iter().skip(1).map(|end| (end - first) as usize).collect(),
        ))
    }

    fn map(&mut self, array: &dyn Array, hint: Option<&DataType>) -> Result<Typed, ConvertError> {
        let map = array.as_map();
        let (key_hint, value_hint) = match hint {
            Some(DataType::Map(key, value)) => (Some(key.as_ref()), Some(value.as_ref())),
            _ => (None, None),
        };
        let ends: Vec<i64> = map.value_offsets().iter().map(|end| i64::from(*end)).collect();
        let (keys, _) = self.elements(map.keys(), &ends, array.nulls())?;
        let (values, ends) = self.elements(map.values(), &ends, array.nulls())?;
        let (key_name, keys) = self.column(&keys, key_hint, false)?;
        let (value_name, values) = self.column(&values, value_hint, false)?;
        let inner = Box::new(Values::Tuple(vec![keys, values]));
        Ok((
            format!("Map({key_name}, {value_name})"),
            Values::Array { ends, inner },
        ))
    }

    fn tuple(&mut self, array: &dyn Array, hint: Option<&DataType>) -> Result<Typed, ConvertError> {
        let fields = array.as_struct();
        let hints = match hint {
            Some(DataType::Tuple(elements)) => elements.as_slice(),
            _ => &[],
        };
        let (mut names, mut columns) = (Vec::new(), Vec::new());
        for (place, (field, column)) in fields.fields().iter().zip(fields.columns()).enumerate() {
            let named = hints.iter().find(|(name, _)| name.as_ref() == Some(field.name()));
            let hint = named.or_else(|| hints.get(place).filter(|(name, _)| name.is_none()));
            let (type_name, values) = self.column(column, hint.map(|(_, data_type)| data_type), false)?;
            let name = field.name().replace('\\', "\\\\").replace('`', "\\`");
            names.push(match hints.first() {
                Some((None, _)) => type_name,
                _ => format!("`{name}` {type_name}"),
            });
            columns.push(values);
        }
        if columns.is_empty() {
            return Err(unknown(array));
        }
        Ok((format!("Tuple({})", names.join(", ")), Values::Tuple(columns)))
    }

    /// A dictionary stays one. Entry 0 is added in front: the default, and NULL.
    fn dictionary(
        &mut self,
        array: &dyn Array,
        hint: Option<&DataType>,
        may_be_null: bool,
    ) -> Result<Typed, ConvertError> {
        self.prefix.extend_from_slice(&DICTIONARY_VERSION.to_le_bytes());
        self.take(array.len().saturating_mul(size_of::<u32>()))?;
        let (entries, indexes) = entries_of(array)?;
        let (name, keys) = self.values(entries.as_ref(), hint)?;
        let keys = match keys {
            Values::Fixed { width, bytes } => Values::fixed(width, [vec![0; width], bytes].concat()),
            Values::Text(texts) => {
                let ends = std::iter::once(1)
                    .chain(texts.ends.iter().map(|end| end + 1))
                    .collect();
                Values::Text(Texts {
                    raw: [&[0][..], &texts.raw].concat(),
                    ends,
                })
            }
            _ => return Err(unknown(array)),
        };
        let nullable = may_be_null && indexes.contains(&0);
        let name = if nullable {
            format!("Nullable({name})")
        } else {
            name
        };
        let values = Values::LowCardinality {
            indexes,
            keys: Arc::new(keys),
            nullable,
        };
        Ok((format!("LowCardinality({name})"), values))
    }

    fn numbers(&mut self, array: &dyn Array, hint: Option<&DataType>) -> Result<Typed, ConvertError> {
        let (name, width) = number_type(array, hint)?;
        self.take(width.saturating_mul(array.len()))?;
        let mut bytes = match array.data_type() {
            Arrow::Float16 => all(array.as_primitive::<Float16Type>(), |value| {
                value.to_f32().to_le_bytes()
            }),
            Arrow::Date64 => all(array.as_primitive::<Date64Type>(), |value| {
                u32::try_from(value.div_euclid(1000)).unwrap_or(0).to_le_bytes()
            }),
            Arrow::Decimal32(..) => narrowed(array.as_primitive::<Decimal32Type>(), width, |value| {
                value.to_le_bytes()
            }),
            Arrow::Decimal64(..) => narrowed(array.as_primitive::<Decimal64Type>(), width, |value| {
                value.to_le_bytes()
            }),
            Arrow::Decimal128(..) => narrowed(array.as_primitive::<Decimal128Type>(), width, |value| {
                value.to_le_bytes()
            }),
            Arrow::Decimal256(..) => narrowed(array.as_primitive::<Decimal256Type>(), width, |value| {
                value.to_le_bytes()
            }),
            Arrow::Time32(_) => widened(array),
            Arrow::Date32 if width == 2 => days(array).unwrap_or_default(),
            _ => raw(array),
        };
        for row in nulls_of(array) {
            bytes[row * width..(row + 1) * width].fill(0);
        }
        if let (Arrow::Timestamp(unit, _), true) = (
            array.data_type(),
            name.starts_with("DateTime(") || name == "DateTime",
        ) {
            bytes =
                seconds(&bytes, *unit).ok_or_else(|| ConvertError::Unknown(OUT_OF_DATE_TIME.to_owned()))?;
            return Ok((name, Values::fixed(4, bytes)));
        }
        Ok((name, Values::fixed(width, bytes)))
    }
}

const OUT_OF_DATE_TIME: &str = "a timestamp before 1970 or behind 2106 for a column of type DateTime";

/// What numbers are read as, and how wide they are then.
fn number_type(array: &dyn Array, hint: Option<&DataType>) -> Result<(String, usize), ConvertError> {
    use DataType as T;
    let hinted = |name: &str| match (hint, name) {
        (Some(of @ T::Enum8(_)), "Int8") | (Some(of @ T::Enum16(_)), "Int16") => of.to_string(),
        (Some(of @ T::Date), "UInt16") | (Some(of @ (T::DateTime(_) | T::IPv4)), "UInt32") => of.to_string(),
        (Some(T::Date32), "Int32") => "Date32".to_owned(),
        _ => name.to_owned(),
    };
    let scale = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    };
    Ok(match array.data_type() {
        Arrow::Int8 => (hinted("Int8"), 1),
        Arrow::UInt8 => (hinted("UInt8"), 1),
        Arrow::Int16 => (hinted("Int16"), 2),
        Arrow::UInt16 => (hinted("UInt16"), 2),
        Arrow::Int32 => (hinted("Int32"), 4),
        Arrow::UInt32 => (hinted("UInt32"), 4),
        Arrow::Int64 => ("Int64".to_owned(), 8),
        Arrow::UInt64 => ("UInt64".to_owned(), 8),
        Arrow::Float16 | Arrow::Float32 => ("Float32".to_owned(), 4),
        Arrow::Float64 => ("Float64".to_owned(), 8),
        // Older servers have no Date32.
        Arrow::Date32 if hint == Some(&T::Date) && days(array).is_some() => ("Date".to_owned(), 2),
        Arrow::Date32 => ("Date32".to_owned(), 4),
        Arrow::Date64 => ("DateTime('UTC')".to_owned(), 4),
        Arrow::Time32(unit) | Arrow::Time64(unit) => (format!("DateTime64({}, 'UTC')", scale(unit)), 8),
        Arrow::Timestamp(unit, zone) => match (hint, zone) {
            // Older servers have no DateTime64; the instant is the same in any zone.
            (Some(of @ T::DateTime(_)), _) => (of.to_string(), 8),
            (Some(T::DateTime64(precision, Some(zone))), _) if *precision == scale(unit) => {
                (format!("DateTime64({precision}, '{zone}')"), 8)
            }
            (_, Some(zone))
                if zone
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte)) =>
            {
                (format!("DateTime64({}, '{zone}')", scale(unit)), 8)
            }
            _ => (format!("DateTime64({}, 'UTC')", scale(unit)), 8),
        },
        Arrow::Decimal32(precision, scale)
        | Arrow::Decimal64(precision, scale)
        | Arrow::Decimal128(precision, scale)
        | Arrow::Decimal256(precision, scale)
            if (0..=*precision as i8).contains(scale) && (1..=76).contains(precision) =>
        {
            let width = match precision {
                1..=9 => 4,
                10..=18 => 8,
                19..=38 => 16,
                _ => 32,
            };
            (format!("Decimal({precision}, {scale})"), width)
        }
        _ => return Err(unknown(array)),
    })
}

/// Only the kind of a type with others inside is named: their list may have any length.
fn unknown(array: &dyn Array) -> ConvertError {
    let name = array.data_type().to_string();
    let kind = name.split(['(', '<']).next().unwrap_or_default();
    let of_clickhouse = if kind == "Union" {
        " (a Variant or Dynamic of ClickHouse)"
    } else {
        ""
    };
    ConvertError::Unknown(format!("Arrow type {kind}{of_clickhouse}"))
}

fn element_of(hint: Option<&DataType>) -> Option<&DataType> {
    match hint {
        Some(DataType::Array(element)) => Some(element),
        _ => None,
    }
}

fn nulls_of(array: &dyn Array) -> impl Iterator<Item = usize> + '_ {
    let any = array.null_count() > 0;
    (0..array.len()).filter(move |row| any && array.is_null(*row))
}

/// The numbers as they lie there.
fn raw(array: &dyn Array) -> Vec<u8> {
    downcast_primitive_array!(
        array => array.values().inner().as_slice().to_vec(),
        _ => Vec::new()
    )
}

fn all<T: ArrowPrimitiveType, const WIDTH: usize>(
    array: &arrow_array::PrimitiveArray<T>,
    bytes: impl Fn(T::Native) -> [u8; WIDTH],
) -> Vec<u8> {
    array.values().iter().flat_map(|value| bytes(*value)).collect()
}

/// Decimals with as many bytes as their precision needs.
fn narrowed<T: ArrowPrimitiveType, const WIDTH: usize>(
    array: &arrow_array::PrimitiveArray<T>,
    width: usize,
    bytes: impl Fn(T::Native) -> [u8; WIDTH],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(array.len() * width);
    for value in array.values() {
        let bytes = bytes(*value);
        let sign = if bytes[WIDTH - 1] & 0x80 == 0 { 0 } else { 0xff };
        out.extend((0..width).map(|at| bytes.get(at).copied().unwrap_or(sign)));
    }
    out
}

/// Times of 32 bits with 64.
fn widened(array: &dyn Array) -> Vec<u8> {
    let bytes = raw(array);
    let (values, _) = bytes.as_chunks();
    values
        .iter()
        .flat_map(|value| i64::from(i32::from_le_bytes(*value)).to_le_bytes())
        .collect()
}

/// Days with 16 bits; none where one does not fit.
fn days(array: &dyn Array) -> Option<Vec<u8>> {
    let days = array.as_primitive::<Date32Type>();
    let mut out = Vec::with_capacity(2 * array.len());
    for row in 0..array.len() {
        let day = if days.is_valid(row) { days.value(row) } else { 0 };
        out.extend_from_slice(&u16::try_from(day).ok()?.to_le_bytes());
    }
    Some(out)
}

/// Ticks as seconds of 32 bits; none where one does not fit.
fn seconds(bytes: &[u8], unit: TimeUnit) -> Option<Vec<u8>> {
    let ticks = match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    };
    let (values, _) = bytes.as_chunks();
    let mut out = Vec::with_capacity(values.len() * 4);
    for value in values {
        let seconds = u32::try_from(i64::from_le_bytes(*value).div_euclid(ticks)).ok()?;
        out.extend_from_slice(&seconds.to_le_bytes());
    }
    Some(out)
}

/// A dictionary's entries, and for each row one more than the number of its entry, or 0 for NULL.
fn entries_of(array: &dyn Array) -> Result<(ArrayRef, Vec<u32>), ConvertError> {
    downcast_dictionary_array!(
        array => Ok((array.values().clone(), indexes_of(array)?)),
        _ => Err(unknown(array))
    )
}

fn indexes_of<K: ArrowDictionaryKeyType>(
    array: &arrow_array::DictionaryArray<K>,
) -> Result<Vec<u32>, ConvertError> {
    let entries = array.values();
    let index = |row| match array.key(row) {
        Some(key) if entries.is_valid(key) => u32::try_from(key + 1).map_err(|_| ConvertError::TooMuch),
        _ => Ok(0),
    };
    (0..array.len()).map(index).collect()
}
