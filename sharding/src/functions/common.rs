//! The common type of several: the narrowest that holds every value of each.

use types::DataType;

use crate::integers::Integer;

/// ClickHouse's least common type; none where it has none (it would make a Variant) or where we are not sure.
pub(super) fn common_type(types: &[&DataType]) -> Option<DataType> {
    let nullable = types.iter().any(|data_type| data_type.is_nullable());
    let plain: Vec<&DataType> = types
        .iter()
        .map(|data_type| data_type.without_nullable())
        .filter(|data_type| **data_type != DataType::Nothing)
        .collect();
    let Some(first) = plain.first() else {
        return types.first().map(|data_type| (*data_type).clone());
    };
    let common = if plain.iter().all(|data_type| data_type == first) {
        (*first).clone()
    } else {
        common_number(&plain).or_else(|| common_other(&plain))?
    };
    let is_compound = matches!(
        common,
        DataType::Array(_) | DataType::Tuple(_) | DataType::Map(..)
    );
    match (nullable, is_compound) {
        (true, true) => None,
        (true, false) => Some(DataType::Nullable(Box::new(common))),
        (false, _) => Some(common),
    }
}

fn common_number(types: &[&DataType]) -> Option<DataType> {
    if types.contains(&&DataType::Bool) {
        // Bool and numbers make Bool or a number by rules of their own.
        return None;
    }
    let (mut unsigned, mut signed, mut float) = (0, 0, 0);
    for data_type in types {
        match (Integer::of(data_type), data_type) {
            (Some(integer), _) if integer.signed => signed = signed.max(integer.bytes),
            (Some(integer), _) => unsigned = unsigned.max(integer.bytes),
            (None, DataType::Float32) => float = float.max(4),
            (None, DataType::Float64) => float = float.max(8),
            _ => return None,
        }
    }
    let whole = unsigned.max(signed);
    if float > 0 {
        // The mantissa must have room for the number.
        return match (float.max(2 * whole), whole) {
            (_, 8) => None,
            (0..=4, _) => Some(DataType::Float32),
            _ => Some(DataType::Float64),
        };
    }
    if signed == 0 {
        return Some(
            Integer {
                bytes: unsigned,
                signed: false,
            }
            .data_type(),
        );
    }
    let bytes = signed.max(2 * unsigned);
    (bytes <= 8).then(|| Integer { bytes, signed: true }.data_type())
}

fn common_other(types: &[&DataType]) -> Option<DataType> {
    use DataType as T;
    let all = |wanted: fn(&T) -> bool| types.iter().all(|data_type| wanted(data_type));
    if all(|data_type| matches!(data_type, T::String | T::FixedString(_))) {
        return Some(T::String);
    }
    if all(|data_type| matches!(data_type, T::Date | T::Date32)) {
        return Some(T::Date32);
    }
    None
}
