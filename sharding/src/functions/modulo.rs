//! `%`: the remainder with the dividend's sign, as wide as the divisor, one step wider when it can be
//! negative.

use super::arithmetic::operands;
use super::{Bound, Call, Function, Inputs};
use crate::error::{EvalReason, Failure, Refusal};
use crate::integers::{Integer, Words};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("modulo", bind).with_arguments(2, 2),
    Function {
        any_case: true,
        ..Function::new("mod", bind).with_arguments(2, 2)
    },
];

fn bind(call: &Call<'_>) -> Result<Bound, Refusal> {
    let (dividend, divisor) = operands(call)?;
    let bytes = if dividend.signed {
        divisor.wider()
    } else {
        divisor.bytes
    };
    let result = Integer {
        bytes,
        signed: dividend.signed,
    };
    let remainder = Remainder::of_types(call, dividend, divisor);
    Ok(Bound::new(result.data_type(), move |inputs| {
        Ok(result.narrow(remainder.of(inputs)?))
    }))
}

/// Whether ClickHouse prepares a division by a constant for these types. That way differs in two corners
/// (tried on 26.9):
/// it divides the lowest number by -1, and refuses the lowest number of a divisor's type that is not wider.
fn is_prepared(dividend: Integer, divisor: Integer) -> bool {
    dividend.signed && divisor.signed && dividend.bytes >= 4
}

/// The operation for one pair of types.
#[derive(Debug, Clone, Copy)]
pub(super) struct Remainder {
    dividend: Integer,
    divisor: Integer,
    prepared: bool,
}

impl Remainder {
    pub(super) fn of_types(call: &Call<'_>, dividend: Integer, divisor: Integer) -> Self {
        Self {
            dividend,
            divisor,
            prepared: call.arguments[1].constant.is_some() && is_prepared(dividend, divisor),
        }
    }

    /// The remainders as words of 64 bits.
    pub(super) fn of(self, inputs: &Inputs<'_>) -> Result<Vec<u64>, Failure> {
        let (dividends, divisors) = (Words::of(&inputs.values[0])?, Words::of(&inputs.values[1])?);
        if inputs.rows == 0 {
            return Ok(Vec::new());
        }
        match divisors.constant() {
            Some(divisor) if self.never_fails(divisor) => {
                Ok(dividends.map(inputs.rows, |dividend| self.remainder(dividend, divisor)))
            }
            _ => dividends.try_zip(&divisors, inputs.rows, |row, dividend, divisor| {
                if inputs.is_null(row) {
                    return Ok(0);
                }
                self.checked(dividend, divisor)
                    .map_err(|reason| Failure::at(row, reason))
            }),
        }
    }

    fn checked(self, dividend: u64, divisor: u64) -> Result<u64, EvalReason> {
        self.check_divisor(divisor)?;
        let lowest = self.dividend.signed && dividend == self.dividend.lowest();
        if lowest && self.is_minus_one(divisor) && !self.prepared {
            return Err(EvalReason::DivisionOverflow);
        }
        Ok(self.remainder(dividend, divisor))
    }

    /// Refuses the divisors by which no number can be divided.
    fn check_divisor(self, divisor: u64) -> Result<(), EvalReason> {
        if divisor == 0 {
            return Err(EvalReason::DivisionByZero);
        }
        let refuses_lowest = self.prepared && self.divisor.bytes <= self.dividend.bytes;
        if refuses_lowest && divisor == self.divisor.lowest() {
            return Err(EvalReason::DivisionByLowest);
        }
        Ok(())
    }

    /// Whether every number can be divided by this one.
    fn never_fails(self, divisor: u64) -> bool {
        self.check_divisor(divisor).is_ok() && (self.prepared || !self.is_minus_one(divisor))
    }

    fn is_minus_one(self, divisor: u64) -> bool {
        self.divisor.signed && divisor == u64::MAX
    }

    /// The remainder of two words, the divisor not zero: that of their magnitudes, with the dividend's sign.
    fn remainder(self, dividend: u64, divisor: u64) -> u64 {
        let remainder = magnitude(dividend, self.dividend.signed) % magnitude(divisor, self.divisor.signed);
        let negative = self.dividend.signed && dividend.cast_signed() < 0;
        if negative {
            remainder.wrapping_neg()
        } else {
            remainder
        }
    }
}

fn magnitude(word: u64, signed: bool) -> u64 {
    if signed {
        word.cast_signed().unsigned_abs()
    } else {
        word
    }
}
