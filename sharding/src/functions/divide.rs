//! intDiv, divide, positiveModulo and abs.

use types::{Data, DataType};

use super::arithmetic::{bind_floats, operands};
use super::modulo::Remainder;
use super::{Bound, Call, Function, Inputs};
use crate::error::{EvalReason, Failure, Refusal};
use crate::integers::{Integer, Words};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("intDiv", |call| bind_quotient(call, false)).with_arguments(2, 2),
    Function::new("intDivOrZero", |call| bind_quotient(call, true)).with_arguments(2, 2),
    Function::new("divide", |call| bind_floats(call, |left, right| left / right)).with_arguments(2, 2),
    Function::new("positiveModulo", bind_positive).with_arguments(2, 2),
    Function::new("positive_modulo", bind_positive).with_arguments(2, 2),
    Function::new("pmod", bind_positive).with_arguments(2, 2),
    Function {
        any_case: true,
        ..Function::new("abs", bind_abs)
    },
];

/// As wide as the dividend, signed if one of both is.
fn bind_quotient(call: &Call<'_>, or_zero: bool) -> Result<Bound, Refusal> {
    let (dividend, divisor) = operands(call)?;
    let result = Integer {
        bytes: dividend.bytes,
        signed: dividend.signed || divisor.signed,
    };
    Ok(Bound::new(result.data_type(), move |inputs| {
        let (left, right) = (Words::of(&inputs.values[0])?, Words::of(&inputs.values[1])?);
        let quotients = left.try_zip(&right, inputs.rows, |row, left, right| {
            let quotient = if inputs.is_null(row) {
                Ok(0)
            } else if result.signed {
                signed_quotient((dividend, left), (divisor, right))
            } else {
                left.checked_div(right).ok_or(EvalReason::DivisionByZero)
            };
            match quotient {
                Ok(quotient) => Ok(quotient),
                Err(_) if or_zero => Ok(0),
                Err(reason) => Err(Failure::at(row, reason)),
            }
        })?;
        Ok(result.narrow(quotients))
    }))
}

/// ClickHouse takes both sides as signed numbers of their own widths first, so an unsigned one may turn negative;
/// a divisor that is narrower than the dividend keeps its value.
fn signed_quotient(
    (dividend, left): (Integer, u64),
    (divisor, right): (Integer, u64),
) -> Result<u64, EvalReason> {
    let left = signed_of(dividend.bytes, left);
    let right = signed_of(divisor.bytes.max(dividend.bytes), right);
    if right == 0 {
        return Err(EvalReason::DivisionByZero);
    }
    let overflows =
        right == -1 && left == signed_of(dividend.bytes, 1 << (8 * u32::from(dividend.bytes) - 1));
    if overflows {
        return Err(EvalReason::DivisionOverflow);
    }
    Ok(left.wrapping_div(right).cast_unsigned())
}

/// The low bytes of a word as a signed number.
fn signed_of(bytes: u8, word: u64) -> i64 {
    let unused = 64 - 8 * u32::from(bytes);
    (word << unused).cast_signed() >> unused
}

/// The remainder made positive, unsigned and as wide as the divisor.
fn bind_positive(call: &Call<'_>) -> Result<Bound, Refusal> {
    let (dividend, divisor) = operands(call)?;
    let result = Integer {
        bytes: divisor.bytes,
        signed: false,
    };
    let remainder = Remainder::of_types(call, dividend, divisor);
    Ok(Bound::new(result.data_type(), move |inputs: &mut Inputs<'_>| {
        let remainders = remainder.of(inputs)?;
        let divisors = Words::of(&inputs.values[1])?;
        let lift = |(row, remainder): (usize, u64)| {
            let word = divisors.word(row).ok_or_else(Failure::wrong_columns)?;
            if divisor.signed && word == divisor.lowest() && !inputs.is_null(row) {
                return Err(Failure::at(row, EvalReason::DivisionByLowest));
            }
            let is_negative = |signed: bool, word: u64| signed && word.cast_signed() < 0;
            Ok(
                match (
                    is_negative(dividend.signed, remainder),
                    is_negative(divisor.signed, word),
                ) {
                    (false, _) => remainder,
                    (true, true) => remainder.wrapping_sub(word),
                    (true, false) => remainder.wrapping_add(word),
                },
            )
        };
        let words = remainders
            .into_iter()
            .enumerate()
            .map(lift)
            .collect::<Result<_, Failure>>()?;
        Ok(result.narrow(words))
    }))
}

fn bind_abs(call: &Call<'_>) -> Result<Bound, Refusal> {
    match call.arguments[0].data_type {
        DataType::Float64 => {
            return Ok(Bound::new(DataType::Float64, |inputs| {
                match &inputs.values[0].column.data {
                    Data::Float64(numbers) => {
                        let value = &inputs.values[0];
                        Ok(Data::Float64(
                            (0..inputs.rows)
                                .map(|row| numbers[value.place(row)].abs())
                                .collect(),
                        ))
                    }
                    _ => Err(Failure::wrong_columns()),
                }
            }));
        }
        DataType::Decimal { .. } => return Err(call.illegal(0)),
        _ => {}
    }
    let operand = Integer::of(call.arguments[0].data_type).ok_or_else(|| call.illegal(0))?;
    let result = Integer {
        bytes: operand.bytes,
        signed: false,
    };
    Ok(Bound::new(result.data_type(), move |inputs| {
        let words = Words::of(&inputs.values[0])?;
        Ok(result.narrow(words.map(inputs.rows, |word| {
            if operand.signed {
                word.cast_signed().unsigned_abs()
            } else {
                word
            }
        })))
    }))
}
