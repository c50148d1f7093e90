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

macro_rules! numbers {
    ($values:expr, $width:expr) => {
        Values::fixed($width, $values.iter().flat_map(|value| value.to_le_bytes()).collect())
    };
}

fn plain(data: &Data, data_type: &DataType) -> Values {
    match data {
        // Two little-endian halves, the high one first.
        Data::UInt128(values) if *data_type == DataType::Uuid => {
            let halves = values.iter().flat_map(|value| value.rotate_left(64).to_le_bytes());
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
