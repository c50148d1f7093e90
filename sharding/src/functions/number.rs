//! toUInt8 … toInt64: a number in another width, wrapping around as a C++ cast does; of a string, its digits.

use types::{Column, Data, DataType};

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

/// toUInt32OrZero and its like: what a string that is no number gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Otherwise {
    Zero,
    Null,
}

macro_rules! of_string {
    ($($name:literal $bytes:literal $signed:literal $otherwise:ident),* $(,)?) => {
        pub(super) const OF_STRING: &[Function] = &[
            $(Function::new($name, |call| {
                bind_or(call, Integer { bytes: $bytes, signed: $signed }, Otherwise::$otherwise)
            }),)*
        ];
    };
}

of_string! {
    "toUInt8OrZero" 1 false Zero, "toUInt16OrZero" 2 false Zero, "toUInt32OrZero" 4 false Zero,
    "toUInt64OrZero" 8 false Zero, "toInt8OrZero" 1 true Zero, "toInt16OrZero" 2 true Zero,
    "toInt32OrZero" 4 true Zero, "toInt64OrZero" 8 true Zero,
    "toUInt8OrNull" 1 false Null, "toUInt16OrNull" 2 false Null, "toUInt32OrNull" 4 false Null,
    "toUInt64OrNull" 8 false Null, "toInt8OrNull" 1 true Null, "toInt16OrNull" 2 true Null,
    "toInt32OrNull" 4 true Null, "toInt64OrNull" 8 true Null,
}

/// The conversion of strings to an integer, or to NULL where they are none.
pub(super) fn or_null(call: &Call<'_>, target: Integer) -> Result<Bound, Refusal> {
    bind_or(call, target, Otherwise::Null)
}

fn bind_or(call: &Call<'_>, target: Integer, otherwise: Otherwise) -> Result<Bound, Refusal> {
    if *call.arguments[0].data_type != DataType::String || call.arguments[0].nullable {
        return Err(call.illegal(0));
    }
    let plain = target.data_type();
    let data_type = match otherwise {
        Otherwise::Zero => plain,
        Otherwise::Null => DataType::Nullable(Box::new(plain)),
    };
    Ok(Bound::with_nulls(data_type, move |inputs| {
        let value = &inputs.values[0];
        let texts = strings(value)?;
        let parsed = (0..inputs.rows).map(|row| fitting(texts.get(value.place(row)), target));
        let parsed: Vec<Option<u64>> = parsed.collect();
        let nulls = parsed.iter().map(Option::is_none).collect();
        Ok(Column {
            data: target.narrow(parsed.into_iter().map(Option::unwrap_or_default).collect()),
            nulls: (otherwise == Otherwise::Null).then_some(nulls),
        })
    }))
}

/// A string's number that fits the type: unlike toUInt8 and its like these functions look for overflow.
fn fitting(text: &[u8], target: Integer) -> Option<u64> {
    let word = parse(text, target.signed).ok()?;
    let digits = text.iter().filter(|byte| byte.is_ascii_digit()).count();
    let number = if digits > 20 {
        std::str::from_utf8(text)
            .ok()?
            .trim_start_matches('+')
            .parse::<i128>()
            .ok()?
    } else {
        let digits = text.iter().filter(|byte| byte.is_ascii_digit());
        let magnitude = digits.fold(0_i128, |number, digit| number * 10 + i128::from(digit - b'0'));
        if text.first() == Some(&b'-') {
            -magnitude
        } else {
            magnitude
        }
    };
    target.holds(number).then_some(word)
}

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
        _ => super::scalar::bind(call, &target.data_type()),
    }
}

/// A number of up to 64 bits as Float64.
pub(super) fn real(data: &Data, place: usize) -> Result<f64, Failure> {
    let number = match data {
        Data::UInt8(numbers) => numbers.get(place).copied().map(f64::from),
        Data::UInt16(numbers) => numbers.get(place).copied().map(f64::from),
        Data::UInt32(numbers) => numbers.get(place).copied().map(f64::from),
        Data::UInt64(numbers) => numbers.get(place).map(|number| *number as f64),
        Data::Int8(numbers) => numbers.get(place).copied().map(f64::from),
        Data::Int16(numbers) => numbers.get(place).copied().map(f64::from),
        Data::Int32(numbers) => numbers.get(place).copied().map(f64::from),
        Data::Int64(numbers) => numbers.get(place).map(|number| *number as f64),
        Data::Float32(numbers) => numbers.get(place).copied().map(f64::from),
        Data::Float64(numbers) => numbers.get(place).copied(),
        _ => None,
    };
    number.ok_or_else(Failure::wrong_columns)
}

/// Whether a cast of this type to an integer is the business of this file.
pub(super) fn is_simple(data_type: &DataType) -> bool {
    is_number(data_type)
        || matches!(
            data_type,
            DataType::String | DataType::FixedString(_) | DataType::DateTime64(..)
        )
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
