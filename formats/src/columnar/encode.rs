//! A column of values as it stands in a Native block: for key columns that were cast, and for columns that are
//! filled in.

use types::{Column, Data, DataType};

use super::values::{Texts, Values};

/// The values of `column` in the layout of `data_type` (without LowCardinality).
pub(crate) fn values_of(column: &Column, data_type: &DataType) -> Values {
    let inner = plain(&column.data, data_type.without_nullable());
    match &column.nulls {
        None => inner,
        Some(nulls) => Values::Nullable {
            map: nulls.iter().map(|is_null| u8::from(*is_null)).collect(),
            inner: Box::new(inner),
        },
    }
}

/// The type that [`values_of`] writes values of this type as: the same without dictionaries.
pub(crate) fn written_type(data_type: &DataType) -> DataType {
    let boxed = |inner: &DataType| Box::new(written_type(inner));
    match data_type {
        DataType::LowCardinality(inner) => written_type(inner),
        DataType::Nullable(inner) => DataType::Nullable(boxed(inner)),
        DataType::Array(inner) => DataType::Array(boxed(inner)),
        DataType::Map(key, value) => DataType::Map(boxed(key), boxed(value)),
        DataType::Tuple(elements) => {
            let element = |(name, inner): &(Option<String>, DataType)| (name.clone(), written_type(inner));
            DataType::Tuple(elements.iter().map(element).collect())
        }
        plain => plain.clone(),
    }
}

macro_rules! numbers {
    ($values:expr, $width:expr) => {
        Values::fixed(
            $width,
            $values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        )
    };
}

fn plain(data: &Data, data_type: &DataType) -> Values {
    match data {
        // Two little-endian halves, the high one first.
        Data::UInt128(values) if *data_type == DataType::Uuid => {
            let halves = values
                .iter()
                .flat_map(|value| value.rotate_left(64).to_le_bytes());
            Values::fixed(16, halves.collect())
        }
        Data::UInt8(values) => Values::fixed(1, values.clone()),
        Data::UInt16(values) => numbers!(values, 2),
        Data::UInt32(values) => numbers!(values, 4),
        Data::UInt64(values) => numbers!(values, 8),
        Data::UInt128(values) => numbers!(values, 16),
        Data::Int8(values) => numbers!(values, 1),
        Data::Int16(values) => numbers!(values, 2),
        Data::Int32(values) => numbers!(values, 4),
        Data::Int64(values) => numbers!(values, 8),
        Data::Int128(values) => numbers!(values, 16),
        Data::Float32(values) => numbers!(values, 4),
        Data::Float64(values) => numbers!(values, 8),
        Data::UInt256(values) => numbers!(values, 32),
        Data::Int256(values) => numbers!(values, 32),
        Data::Array(lists) => {
            let inner = match data_type {
                DataType::Array(inner) => inner.as_ref().clone(),
                DataType::Map(key, value) => {
                    DataType::Tuple(vec![(None, key.as_ref().clone()), (None, value.as_ref().clone())])
                }
                _ => DataType::Nothing,
            };
            Values::Array {
                ends: lists.ends.clone(),
                inner: Box::new(values_of(&lists.values, &inner)),
            }
        }
        Data::Tuple(tuples) => {
            let types = match data_type {
                DataType::Tuple(elements) => elements.as_slice(),
                _ => &[],
            };
            let elements = tuples.columns.iter().zip(types);
            Values::Tuple(
                elements
                    .map(|(column, (_, data_type))| values_of(column, data_type))
                    .collect(),
            )
        }
        Data::Bytes(values) => match data_type {
            DataType::FixedString(width) => Values::fixed(*width, values.bytes.clone()),
            DataType::IPv6 => Values::fixed(16, values.bytes.clone()),
            _ => {
                let mut texts = Texts::default();
                values.iter().for_each(|value| texts.push(value));
                Values::Text(texts)
            }
        },
    }
}
