//! base64Encode, replaceAll and its like, and defaultValueOfTypeName, which DESCRIBE TABLE shows for EPHEMERAL columns.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use types::{Bytes, Column, Data, DataType};

use super::{Bound, Call, Function, Nulls, strings};
use crate::error::{Failure, KeyReason, Refusal};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("base64Encode", |call| {
        bind_encode(call, |text| STANDARD.encode(text))
    }),
    Function::new("base64URLEncode", |call| {
        bind_encode(call, |text| URL_SAFE_NO_PAD.encode(text))
    }),
    Function::new("replaceAll", |call| bind_replace(call, usize::MAX)).with_arguments(3, 3),
    Function {
        any_case: true,
        ..Function::new("replace", |call| bind_replace(call, usize::MAX)).with_arguments(3, 3)
    },
    Function::new("replaceOne", |call| bind_replace(call, 1)).with_arguments(3, 3),
    Function {
        nulls: Nulls::Own,
        keeps_low_cardinality: false,
        ..Function::new("defaultValueOfTypeName", bind_default)
    },
];

fn bind_encode(call: &Call<'_>, encode: fn(&[u8]) -> String) -> Result<Bound, Refusal> {
    if !is_text(call.arguments[0].data_type) {
        return Err(call.illegal(0));
    }
    Ok(Bound::new(DataType::String, move |inputs| {
        let value = &inputs.values[0];
        let texts = strings(value)?;
        let mut out = Bytes::default();
        (0..inputs.rows).for_each(|row| out.push(encode(texts.get(value.place(row))).as_bytes()));
        Ok(Data::Bytes(out))
    }))
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::String | DataType::FixedString(_))
}

/// A constant text by another, at most so often; an empty one is found nowhere.
fn bind_replace(call: &Call<'_>, most: usize) -> Result<Bound, Refusal> {
    if *call.arguments[0].data_type != DataType::String {
        return Err(call.illegal(0));
    }
    let (found, by) = (call.constant_text(1)?, call.constant_text(2)?);
    Ok(Bound::new(DataType::String, move |inputs| {
        let value = &inputs.values[0];
        let texts = strings(value)?;
        let mut out = Bytes::default();
        for row in 0..inputs.rows {
            let text = texts.get(value.place(row));
            out.push(&replaced(text, found.as_bytes(), by.as_bytes(), most));
        }
        Ok(Data::Bytes(out))
    }))
}

fn replaced(text: &[u8], found: &[u8], by: &[u8], most: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    let mut times = 0;
    while !rest.is_empty() {
        if times < most && !found.is_empty() && rest.starts_with(found) {
            out.extend_from_slice(by);
            rest = &rest[found.len()..];
            times += 1;
        } else {
            out.push(rest[0]);
            rest = &rest[1..];
        }
    }
    out
}

/// The default value of a type that a constant names.
fn bind_default(call: &Call<'_>) -> Result<Bound, Refusal> {
    let name = call.constant_text(0)?;
    let data_type = DataType::parse(&name)
        .ok()
        .filter(|data_type| !super::cast::holds_unknown(data_type));
    let data_type = data_type.ok_or_else(|| call.refuse(KeyReason::CastType { name }))?;
    Ok(Bound::with_nulls(data_type.clone(), move |inputs| {
        let mut column = Column::empty(&data_type);
        (0..inputs.rows).for_each(|_| column.push_default(&data_type));
        Ok::<_, Failure>(column)
    }))
}
