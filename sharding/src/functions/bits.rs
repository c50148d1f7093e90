//! bitAnd, bitOr, bitXor, bitNot, shifts and bitCount: as wide as the wider side, signed if one side is.

use types::{Data, DataType};

use super::arithmetic::operands;
use super::{Bound, Call, Function};
use crate::error::{EvalReason, Failure, Refusal};
use crate::integers::{Integer, Words};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("bitAnd", |call| bind(call, |left, right| left & right)).with_arguments(2, 2),
    Function::new("bitOr", |call| bind(call, |left, right| left | right)).with_arguments(2, 2),
    Function::new("bitXor", |call| bind(call, |left, right| left ^ right)).with_arguments(2, 2),
    Function::new("bitNot", bind_not),
    Function::new("bitShiftLeft", |call| bind_shift(call, |word, by| word << by)).with_arguments(2, 2),
    Function::new("bitShiftRight", bind_shift_right).with_arguments(2, 2),
    Function::new("bitCount", bind_count),
    Function::new("bitTest", bind_test).with_arguments(2, 2),
];

fn result_of(left: Integer, right: Integer) -> Integer {
    Integer {
        bytes: left.bytes.max(right.bytes),
        signed: left.signed || right.signed,
    }
}

fn bind(call: &Call<'_>, operation: fn(u64, u64) -> u64) -> Result<Bound, Refusal> {
    let (left, right) = operands(call)?;
    let result = result_of(left, right);
    Ok(Bound::new(result.data_type(), move |inputs| {
        let (left, right) = (Words::of(&inputs.values[0])?, Words::of(&inputs.values[1])?);
        Ok(result.narrow(left.zip(&right, inputs.rows, operation)))
    }))
}

fn bind_not(call: &Call<'_>) -> Result<Bound, Refusal> {
    let operand = Integer::of(call.arguments[0].data_type).ok_or_else(|| call.illegal(0))?;
    Ok(Bound::new(operand.data_type(), move |inputs| {
        Ok(operand.narrow(Words::of(&inputs.values[0])?.map(inputs.rows, |word| !word)))
    }))
}

fn bind_shift_right(call: &Call<'_>) -> Result<Bound, Refusal> {
    let (left, right) = operands(call)?;
    if result_of(left, right).signed {
        bind_shift(call, |word, by| (word.cast_signed() >> by).cast_unsigned())
    } else {
        bind_shift(call, |word, by| word >> by)
    }
}

/// Shifting by the width of the left side or more gives zero; by less than nothing is refused.
fn bind_shift(call: &Call<'_>, operation: fn(u64, u32) -> u64) -> Result<Bound, Refusal> {
    let (left, right) = operands(call)?;
    let result = result_of(left, right);
    let bits = 8 * u64::from(left.bytes);
    Ok(Bound::new(result.data_type(), move |inputs| {
        let (words, counts) = (Words::of(&inputs.values[0])?, Words::of(&inputs.values[1])?);
        let shifted = words.try_zip(&counts, inputs.rows, |row, word, by| match by {
            _ if inputs.is_null(row) => Ok(0),
            by if by < bits => Ok(operation(extended(result, word), by as u32)),
            by if right.signed && by.cast_signed() < 0 => Err(Failure::at(row, EvalReason::Shift)),
            _ => Ok(0),
        })?;
        Ok(result.narrow(shifted))
    }))
}

/// A word as the result's type holds it: cut to its width, then extended by its sign.
fn extended(result: Integer, word: u64) -> u64 {
    let unused = 64 - 8 * u32::from(result.bytes);
    let high = word << unused;
    if result.signed {
        (high.cast_signed() >> unused).cast_unsigned()
    } else {
        high >> unused
    }
}

fn bind_count(call: &Call<'_>) -> Result<Bound, Refusal> {
    let operand = Integer::of(call.arguments[0].data_type).ok_or_else(|| call.illegal(0))?;
    let mask = u64::MAX >> (64 - 8 * u32::from(operand.bytes));
    Ok(Bound::new(DataType::UInt8, move |inputs| {
        let counts =
            Words::of(&inputs.values[0])?.map(inputs.rows, |word| u64::from((word & mask).count_ones()));
        Ok(Data::UInt8(counts.into_iter().map(|count| count as u8).collect()))
    }))
}

fn bind_test(call: &Call<'_>) -> Result<Bound, Refusal> {
    let (left, right) = operands(call)?;
    let bits = 8 * u64::from(result_of(left, right).bytes);
    Ok(Bound::new(DataType::UInt8, move |inputs| {
        let (words, places) = (Words::of(&inputs.values[0])?, Words::of(&inputs.values[1])?);
        let tested = words.try_zip(&places, inputs.rows, |row, word, place| match place {
            _ if inputs.is_null(row) => Ok(0),
            place if place < bits => Ok((word >> place) & 1),
            _ => Err(Failure::at(row, EvalReason::Shift)),
        })?;
        Ok(Data::UInt8(tested.into_iter().map(|bit| bit as u8).collect()))
    }))
}
