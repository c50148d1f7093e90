//! toUInt8 … toInt64: a number in another width, wrapping around as a C++ cast does; of a string, its digits.

use types::DataType;

use super::time::{Ticks, ticks_of};
use super::{Bound, Call, Function, Inputs, strings};
use crate::error::{EvalReason, Failure, Refusal};
use crate::integers::{Integer, Words};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("toUInt8", |call| {
        bind(
            call,
            Integer {
                bytes: 1,
                signed: false,
            },
        )
    }),
    Function::new("toUInt16", |call| {
        bind(
            call,
            Integer {
                bytes: 2,
                signed: false,
            },
        )
    }),
    Function::new("toUInt32", |call| {
        bind(
            call,
            Integer {
                bytes: 4,
                signed: false,
            },
        )
    }),
    Function::new("toUInt64", |call| {
        bind(
            call,
            Integer {
                bytes: 8,
                signed: false,
            },
        )
    }),
    Function::new("toInt8", |call| {
        bind(
            call,
            Integer {
                bytes: 1,
                signed: true,
            },
        )
    }),
    Function::new("toInt16", |call| {
        bind(
            call,
            Integer {
                bytes: 2,
                signed: true,
            },
        )
    }),
    Function::new("toInt32", |call| {
        bind(
            call,
            Integer {
                bytes: 4,
                signed: true,
            },
        )
    }),
    Function::new("toInt64", |call| {
        bind(
            call,
            Integer {
                bytes: 8,
                signed: true,
            },
        )
    }),
];

/// The conversion of a call's first argument to an integer.
pub(super) fn bind(call: &Call<'_>, target: Integer) -> Result<Bound, Refusal> {
    let data_type = call.arguments[0].data_type;
    match data_type {
        // Of a Nullable string ClickHouse makes NULL where it is no number; NULL is no key, so there is no
        // use in it.
        DataType::String | DataType::FixedString(_) if call.arguments[0].nullable => Err(call.illegal(0)),
        DataType::String | DataType::FixedString(_) => {
            let fixed = matches!(data_type, DataType::FixedString(_));
            Ok(Bound::new(target.data_type(), move |inputs| {
                Ok(target.narrow(parsed(inputs, target, fixed)?))
            }))
        }
        DataType::DateTime64(precision, _) => {
            let ticks = ticks_of(*precision).ok_or_else(|| call.illegal(0))?;
            Ok(Bound::new(target.data_type(), move |inputs| {
                Ok(target.narrow(whole_seconds(inputs, target, ticks)?))
            }))
        }
        _ if is_number(data_type) => Ok(Bound::new(target.data_type(), move |inputs| {
            Ok(target.narrow(Words::of(&inputs.values[0])?.map(inputs.rows, |word| word)))
        })),
        _ => Err(call.illegal(0)),
    }
}

/// Whether a value is a whole number underneath: days of dates, seconds of times, the numbers of Enums.
fn is_number(data_type: &DataType) -> bool {
    use DataType as T;
    Integer::of(data_type).is_some()
        || matches!(
            data_type,
            T::Date | T::Date32 | T::DateTime(_) | T::Enum8(_) | T::Enum16(_)
        )
}

/// The numbers of strings; where the result is NULL anyway nothing is read.
fn parsed(inputs: &Inputs<'_>, target: Integer, fixed: bool) -> Result<Vec<u64>, Failure> {
    let value = &inputs.values[0];
    let bytes = strings(value)?;
    let parse_row = |row| {
        if inputs.is_null(row) {
            return Ok(0);
        }
        let text = bytes.get(value.place(row));
        let text = match without_padding(text) {
            _ if !fixed => text,
            b"" => b"0", // a FixedString of zero bytes only is 0, an empty String is an error
            text => text,
        };
        parse(text, target.signed).map_err(|reason| Failure::at(row, reason))
    };
    (0..inputs.rows).map(parse_row).collect()
}

/// A FixedString without the zero bytes that fill it up.
pub(super) fn without_padding(text: &[u8]) -> &[u8] {
    let len = text
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    &text[..len]
}

/// A string's number: an optional sign and digits, nothing else. Too many digits wrap around, as in
/// ClickHouse.
fn parse(text: &[u8], signed: bool) -> Result<u64, EvalReason> {
    let (negative, digits) = match text {
        [] => return Err(EvalReason::EmptyNumber),
        [b'-', ..] if !signed => return Err(EvalReason::BadSign),
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let had_sign = digits.len() < text.len();
    if had_sign && !digits.first().is_some_and(u8::is_ascii_digit) {
        return Err(EvalReason::BadSign);
    }
    let mut number = 0_u64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return Err(EvalReason::NotANumber);
        }
        number = number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
    }
    Ok(if negative { number.wrapping_neg() } else { number })
}

/// The seconds of DateTime64, without their fraction; unlike other casts one that does not fit is an error.
pub(super) fn whole_seconds(inputs: &Inputs<'_>, target: Integer, ticks: Ticks) -> Result<Vec<u64>, Failure> {
    let words = Words::of(&inputs.values[0])?.map(inputs.rows, |word| {
        ticks.truncated(word.cast_signed()).cast_unsigned()
    });
    let misfit = |word: &u64| !target.holds(i128::from(word.cast_signed()));
    match words
        .iter()
        .enumerate()
        .position(|(row, word)| misfit(word) && !inputs.is_null(row))
    {
        Some(row) => Err(Failure::at(row, EvalReason::TimeOverflow)),
        None => Ok(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, signed: bool, expected: Result<i64, EvalReason>) {
        assert_eq!(
            parse(text.as_bytes(), signed).map(u64::cast_signed),
            expected,
            "{text}"
        );
    }

    #[test]
    fn strings_are_numbers_only_when_wholly_digits() {
        check("007", false, Ok(7));
        check("+5", false, Ok(5));
        check("-5", true, Ok(-5));
        check("18446744073709551616", false, Ok(0));
        check("-5", false, Err(EvalReason::BadSign));
        check("-", true, Err(EvalReason::BadSign));
        check("+-1", true, Err(EvalReason::BadSign));
        check("", true, Err(EvalReason::EmptyNumber));
        check("1 ", true, Err(EvalReason::NotANumber));
        check("abc", true, Err(EvalReason::NotANumber));
    }

    #[test]
    fn padding_is_cut_and_inner_zeros_stay() {
        assert_eq!(without_padding(b"ab\0c\0\0"), b"ab\0c");
        assert_eq!(without_padding(b"\0\0"), b"");
    }
}
