//! Integers and floating point numbers.

use types::read::{self, DecimalError};
use types::{Data, I256};

use super::MISFIT;
use crate::error::code;
use crate::framing::{Token, ValueError};

const EXPECTED_WHOLE: ValueError = ValueError {
    code: code::CANNOT_PARSE_NUMBER,
    expected: "a whole number",
};
const EXPECTED_UNSIGNED: ValueError = ValueError {
    code: code::CANNOT_PARSE_NUMBER,
    expected: "a whole number without '-'",
};
const EXPECTED_FLOAT: ValueError = ValueError {
    code: code::CANNOT_PARSE_NUMBER,
    expected: "a number",
};

/// Appends a number to a column of numbers.
///
/// ClickHouse computes modulo 2^n, so an `as` that truncates is the wrapping it does.
pub(super) fn push(data: &mut Data, token: &Token<'_>) -> Result<(), ValueError> {
    match data {
        Data::UInt8(values) => values.push(unsigned(token)? as u8),
        Data::UInt16(values) => values.push(unsigned(token)? as u16),
        Data::UInt32(values) => values.push(unsigned(token)? as u32),
        Data::UInt64(values) => values.push(unsigned(token)?),
        Data::UInt128(values) => values.push(wide(digits_of(token, Sign::Refused)?)?),
        Data::Int8(values) => values.push(signed(token)? as i8),
        Data::Int16(values) => values.push(signed(token)? as i16),
        Data::Int32(values) => values.push(signed(token)? as i32),
        Data::Int64(values) => values.push(signed(token)?),
        Data::Int128(values) => values.push(signed_wide(token)?),
        Data::Float32(values) => values.push(float(token)?),
        Data::Float64(values) => values.push(float(token)?),
        Data::UInt256(values) => values.push(widest(digits_of(token, Sign::Refused)?)?.as_u256()),
        Data::Int256(values) => values.push(widest(digits_of(token, Sign::Allowed)?)?),
        Data::Bytes(_) | Data::Array(_) | Data::Tuple(_) => return Err(MISFIT),
    }
    Ok(())
}

/// Appends a Decimal's number; an empty field or string is 0, digits behind the scale are cut off.
pub(super) fn push_decimal(
    data: &mut Data,
    precision: u8,
    scale: u8,
    token: &Token<'_>,
) -> Result<(), ValueError> {
    let text: &[u8] = match token {
        Token::Text(b"") => b"0",
        Token::Text(text) | Token::Json(text) | Token::Sql(text) => text,
        _ => return Err(MISFIT),
    };
    let number = read::decimal(text, precision, scale).map_err(|error| match error {
        DecimalError::Syntax => EXPECTED_FLOAT,
        DecimalError::TooBig => ValueError {
            code: code::ARGUMENT_OUT_OF_BOUND,
            expected: "a number with no more digits than the type has",
        },
    })?;
    match data {
        // The precision has been checked, so it fits.
        Data::Int32(values) => values.push(number.as_i32()),
        Data::Int64(values) => values.push(number.as_i64()),
        Data::Int128(values) => values.push(number.as_i128()),
        Data::Int256(values) => values.push(number),
        _ => return Err(MISFIT),
    }
    Ok(())
}

/// The bits of a BFloat16: the upper half of the Float32's.
pub(super) fn brain_float(token: &Token<'_>) -> Result<u16, ValueError> {
    float::<f32>(token).map(|number| (number.to_bits() >> 16) as u16)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    Allowed,
    Refused,
}

/// A number's digits apart from its sign.
#[derive(Clone, Copy)]
struct Digits<'a> {
    negative: bool,
    digits: &'a [u8],
}

fn digits_of<'a>(token: &Token<'a>, sign: Sign) -> Result<Digits<'a>, ValueError> {
    let text: &[u8] = match token {
        // An empty field or string is 0.
        Token::Text(b"") => b"0",
        Token::Text(text) => text,
        // JSON's and SQL's booleans are numbers too.
        Token::Json(b"true") | Token::Sql(b"true") => b"1",
        Token::Json(b"false") | Token::Sql(b"false") => b"0",
        Token::Json(text) | Token::Sql(text) => text,
        _ => return Err(MISFIT),
    };
    let (negative, digits) = match text.split_first() {
        Some((b'-', _)) if sign == Sign::Refused => return Err(EXPECTED_UNSIGNED),
        Some((b'-', digits)) => (true, digits),
        Some((b'+', digits)) => (false, digits),
        _ => (false, text),
    };
    if digits.is_empty() {
        Err(EXPECTED_WHOLE)
    } else {
        Ok(Digits { negative, digits })
    }
}

fn unsigned(token: &Token<'_>) -> Result<u64, ValueError> {
    narrow(digits_of(token, Sign::Refused)?)
}

/// Two's complement of the unsigned reading, which is how ClickHouse's overflow comes out too.
fn signed(token: &Token<'_>) -> Result<i64, ValueError> {
    let digits = digits_of(token, Sign::Allowed)?;
    let value = narrow(digits)?.cast_signed();
    Ok(if digits.negative {
        value.wrapping_neg()
    } else {
        value
    })
}

fn signed_wide(token: &Token<'_>) -> Result<i128, ValueError> {
    let digits = digits_of(token, Sign::Allowed)?;
    let value = wide(digits)?.cast_signed();
    Ok(if digits.negative {
        value.wrapping_neg()
    } else {
        value
    })
}

fn narrow(digits: Digits<'_>) -> Result<u64, ValueError> {
    digits.digits.iter().try_fold(0_u64, |value, byte| match byte {
        b'0'..=b'9' => Ok(value.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'))),
        _ => Err(EXPECTED_WHOLE),
    })
}

fn wide(digits: Digits<'_>) -> Result<u128, ValueError> {
    digits.digits.iter().try_fold(0_u128, |value, byte| match byte {
        b'0'..=b'9' => Ok(value.wrapping_mul(10).wrapping_add(u128::from(byte - b'0'))),
        _ => Err(EXPECTED_WHOLE),
    })
}

fn widest(digits: Digits<'_>) -> Result<I256, ValueError> {
    let value = read::whole(digits.digits).filter(|_| digits.digits[0].is_ascii_digit());
    let value = value.ok_or(EXPECTED_WHOLE)?;
    Ok(if digits.negative {
        value.wrapping_neg()
    } else {
        value
    })
}

fn float<T: std::str::FromStr + From<u8>>(token: &Token<'_>) -> Result<T, ValueError> {
    let text = match token {
        Token::Json(b"true") | Token::Sql(b"true") => return Ok(T::from(1)),
        Token::Json(b"false") | Token::Sql(b"false") => return Ok(T::from(0)),
        Token::Text(text) | Token::Json(text) | Token::Sql(text) => text,
        _ => return Err(MISFIT),
    };
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(EXPECTED_FLOAT)
}
