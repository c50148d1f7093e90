//! reinterpretAsUInt64 and its like: the first bytes of a string, or the bytes of a number, as a number.

use types::DataType;

use super::{Bound, Call, Function, strings};
use crate::error::Refusal;
use crate::integers::{Integer, Words};

macro_rules! functions {
    ($($name:literal $bytes:literal $signed:literal),* $(,)?) => {
        pub(super) const FUNCTIONS: &[Function] = &[
            $(Function::new($name, |call| bind(call, Integer { bytes: $bytes, signed: $signed })),)*
        ];
    };
}

functions! {
    "reinterpretAsUInt8" 1 false, "reinterpretAsUInt16" 2 false, "reinterpretAsUInt32" 4 false,
    "reinterpretAsUInt64" 8 false, "reinterpretAsInt8" 1 true, "reinterpretAsInt16" 2 true,
    "reinterpretAsInt32" 4 true, "reinterpretAsInt64" 8 true,
}

fn bind(call: &Call<'_>, target: Integer) -> Result<Bound, Refusal> {
    let data_type = call.arguments[0].data_type;
    let is_text = matches!(data_type, DataType::String | DataType::FixedString(_));
    let number = Integer::of(data_type);
    if !is_text && number.is_none() {
        return Err(call.illegal(0));
    }
    Ok(Bound::new(target.data_type(), move |inputs| {
        let value = &inputs.values[0];
        if let Some(number) = number {
            // A wider result is filled up with zeros, also above a negative number.
            let mask = u64::MAX >> (64 - 8 * u32::from(number.bytes));
            return Ok(target.narrow(Words::of(value)?.map(inputs.rows, |word| word & mask)));
        }
        let texts = strings(value)?;
        let of_row = |row| {
            let text = texts.get(value.place(row));
            let len = text.len().min(usize::from(target.bytes));
            text[..len]
                .iter()
                .rev()
                .fold(0, |word, byte| word << 8 | u64::from(*byte))
        };
        Ok(target.narrow((0..inputs.rows).map(of_row).collect()))
    }))
}
