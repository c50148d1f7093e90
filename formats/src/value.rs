//! A key's text to its value, by type, for every text format.
//!
//! Agrees with ClickHouse 18.16 and 26.9 in what it takes, also where that looks odd: an integer that
//! overflows wraps around, an empty TabSeparated field is 0, 30 February is 1 March. Where the two give
//! different values it takes nothing.

mod binary;
mod date;
mod date_time;
mod network;
mod number;

use types::{Bytes, Data, DataType};

use crate::error::code;
use crate::framing::{Token, ValueError};
use crate::key::Reading;

pub(crate) use binary::push as push_binary;

/// Whether values of this type (outside Nullable and LowCardinality) can be read, down to the last element.
pub(crate) fn can_read(data_type: &DataType) -> bool {
    use DataType as T;
    match data_type {
        T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64 | T::UInt128 => true,
        T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::Int128 => true,
        T::Float32 | T::Float64 | T::Bool | T::String | T::FixedString(_) => true,
        T::Date | T::Date32 | T::DateTime(_) | T::Uuid | T::IPv4 | T::IPv6 => true,
        T::DateTime64(precision, _) => *precision <= date_time::PRECISION_MAX,
        T::Enum8(_) | T::Enum16(_) => true,
        T::UInt256 | T::Int256 | T::BFloat16 | T::Decimal { .. } => true,
        T::Nothing | T::Other(_) => false,
        T::Array(inner) => can_read(inner.without_nullable()),
        T::Map(key, value) => can_read(key.without_nullable()) && can_read(value.without_nullable()),
        T::Tuple(elements) => {
            let mut types = elements.iter().map(|(_, element)| element.without_nullable());
            !elements.is_empty() && types.all(can_read)
        }
        T::Nullable(_) | T::LowCardinality(_) => false,
    }
}

/// Appends the token's value to a column of this type, which has no others inside (outside Nullable and LowCardinality).
///
/// NULL and absent values are the caller's: here they are an error.
pub(crate) fn push(
    data: &mut Data,
    data_type: &DataType,
    reading: &Reading,
    token: &Token<'_>,
) -> Result<(), ValueError> {
    use DataType as T;
    if let Token::Binary(bytes) = token {
        return binary::push(data, data_type, bytes);
    }
    match (data, data_type) {
        (Data::UInt8(values), T::Bool) => values.push(u8::from(boolean(token)?)),
        (Data::Bytes(values), T::String) => values.push(text_or_json(token)?),
        (Data::Bytes(values), T::FixedString(len)) => {
            push_fixed(values, text(token, "a quoted string")?, *len)?;
        }
        (Data::UInt16(values), T::Date) => values.push(date::date(token)?),
        (Data::Int32(values), T::Date32) => values.push(date::date32(token)?),
        (Data::UInt32(values), T::DateTime(_)) => values.push(date_time::seconds(token, reading)?),
        (Data::Int64(values), T::DateTime64(precision, _)) => {
            values.push(date_time::ticks(token, *precision, reading)?);
        }
        (Data::UInt128(values), T::Uuid) => values.push(uuid(text(token, "a UUID")?)?),
        (Data::UInt32(values), T::IPv4) => values.push(network::ipv4(text(token, "an IPv4 address")?)?),
        (Data::Bytes(values), T::IPv6) => values.push(&network::ipv6(text(token, "an IPv6 address")?)?),
        // The value is one of the elements', which fit a byte.
        (Data::Int8(values), T::Enum8(elements)) => values.push(element(token, elements)? as i8),
        (Data::Int16(values), T::Enum16(elements)) => values.push(element(token, elements)?),
        (data, T::Decimal { precision, scale }) => number::push_decimal(data, *precision, *scale, token)?,
        (Data::UInt16(values), T::BFloat16) => values.push(number::brain_float(token)?),
        (data, _) => number::push(data, token)?,
    }
    Ok(())
}

/// A column of another physical kind than its type's: nothing a body can cause.
pub(crate) const MISFIT: ValueError = ValueError {
    code: code::NOT_IMPLEMENTED,
    expected: "a column of the type's own physical kind",
};

/// A FixedString's text, filled up with zero bytes.
fn push_fixed(values: &mut Bytes, text: &[u8], len: usize) -> Result<(), ValueError> {
    const EXPECTED: &str = "at most as many bytes as the type has";
    if text.len() > len {
        return Err(ValueError {
            code: code::TOO_LARGE_STRING_SIZE,
            expected: EXPECTED,
        });
    }
    values.bytes.extend_from_slice(text);
    values.bytes.resize(values.bytes.len() + len - text.len(), 0);
    values.ends.push(values.bytes.len());
    Ok(())
}

/// The text of a value that must be a string.
fn text<'a>(token: &Token<'a>, expected: &'static str) -> Result<&'a [u8], ValueError> {
    match token {
        Token::Text(text) => Ok(text),
        _ => Err(ValueError {
            code: code::CANNOT_PARSE_QUOTED_STRING,
            expected,
        }),
    }
}

/// A String takes any JSON value as its text; SQL's numbers would first be computed, so they are not taken.
fn text_or_json<'a>(token: &Token<'a>) -> Result<&'a [u8], ValueError> {
    match token {
        Token::Json(text) => Ok(text),
        token => text(token, "a quoted string"),
    }
}

fn boolean(token: &Token<'_>) -> Result<bool, ValueError> {
    const TRUE: [&str; 8] = ["1", "true", "t", "yes", "y", "on", "enable", "enabled"];
    const FALSE: [&str; 8] = ["0", "false", "f", "no", "n", "off", "disable", "disabled"];
    let (Token::Text(text) | Token::Json(text) | Token::Sql(text)) = token else {
        return Err(MISFIT);
    };
    let is_one_of = |words: [&str; 8]| {
        words
            .iter()
            .any(|word| word.as_bytes().eq_ignore_ascii_case(text))
    };
    match (is_one_of(TRUE), is_one_of(FALSE)) {
        (true, _) => Ok(true),
        (_, true) => Ok(false),
        _ => Err(ValueError {
            code: code::CANNOT_PARSE_BOOL,
            expected: "true, false, 1 or 0",
        }),
    }
}

/// 32 hexadecimal digits, with or without the four dashes.
fn uuid(text: &[u8]) -> Result<u128, ValueError> {
    let error = ValueError {
        code: code::CANNOT_PARSE_UUID,
        expected: "a UUID of 32 digits, with or without dashes",
    };
    // The uuid crate also takes braces and URNs, which ClickHouse does not.
    if !matches!(text.len(), 32 | 36) {
        return Err(error);
    }
    uuid::Uuid::try_parse_ascii(text)
        .map(|uuid| uuid.as_u128())
        .map_err(|_| error)
}

/// An element's name, or its value where no element has that name.
fn element(token: &Token<'_>, elements: &[(String, i16)]) -> Result<i16, ValueError> {
    let error = ValueError {
        code: code::UNKNOWN_ELEMENT_OF_ENUM,
        expected: "an element's name or value",
    };
    let (Token::Text(text) | Token::Json(text) | Token::Sql(text)) = token else {
        return Err(error);
    };
    let by_name = elements.iter().find(|(name, _)| name.as_bytes() == *text);
    if let (Token::Text(_), Some((_, value))) = (token, by_name) {
        return Ok(*value);
    }
    let number: i16 = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(error)?;
    elements
        .iter()
        .any(|(_, value)| *value == number)
        .then_some(number)
        .ok_or(error)
}

#[cfg(test)]
pub(crate) mod tests;
