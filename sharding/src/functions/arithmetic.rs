//! `+`, `-`, `*` and the unary minus, in ClickHouse's widths: the result has room for one operation, up to 64
//! bits, and wraps around beyond.

use types::DataType;

use super::{Bound, Call, Function};
use crate::error::Refusal;
use crate::integers::{Integer, Words};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("plus", |call| bind(call, false, u64::wrapping_add)).with_arguments(2, 2),
    Function::new("minus", |call| bind(call, true, u64::wrapping_sub)).with_arguments(2, 2),
    Function::new("multiply", |call| bind(call, false, u64::wrapping_mul)).with_arguments(2, 2),
    Function::new("negate", bind_negate),
];

/// The two integers that an arithmetic function works on.
pub(super) fn operands(call: &Call<'_>) -> Result<(Integer, Integer), Refusal> {
    let operand = |place: usize| {
        let data_type: &DataType = call.arguments[place].data_type;
        Integer::of(data_type).ok_or_else(|| call.illegal(place))
    };
    Ok((operand(0)?, operand(1)?))
}

fn bind(
    call: &Call<'_>,
    always_signed: bool,
    operation: impl Fn(u64, u64) -> u64 + Copy + Send + Sync + 'static,
) -> Result<Bound, Refusal> {
    let (left, right) = operands(call)?;
    let signed = always_signed || left.signed || right.signed;
    let result = Integer {
        bytes: left.wider().max(right.wider()),
        signed,
    };
    Ok(Bound::new(result.data_type(), move |inputs| {
        let (left, right) = (Words::of(&inputs.values[0])?, Words::of(&inputs.values[1])?);
        Ok(result.narrow(left.zip(&right, inputs.rows, operation)))
    }))
}

/// An unsigned number needs more room for its negative, a signed one keeps its width.
fn bind_negate(call: &Call<'_>) -> Result<Bound, Refusal> {
    let operand = Integer::of(call.arguments[0].data_type).ok_or_else(|| call.illegal(0))?;
    let bytes = if operand.signed {
        operand.bytes
    } else {
        operand.wider()
    };
    let result = Integer { bytes, signed: true };
    Ok(Bound::new(result.data_type(), move |inputs| {
        let words = Words::of(&inputs.values[0])?;
        Ok(result.narrow(words.map(inputs.rows, u64::wrapping_neg)))
    }))
}
