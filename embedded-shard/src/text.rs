//! One value as text: what stands in a TabSeparated field after unescaping, in a CSV field, in a JSON string.
//!
//! Nested types and the strings in them have quotes of their own: see `quoted`. Where ClickHouse wraps a
//! number that is too large for its column, or takes a date that is none, this reader refuses: a test that
//! meets that wants to know.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::num::FpCategory;
use std::str::FromStr;

use types::DataType;

use crate::cursor::shown;
use crate::error::{Code, Exception, Outcome, code};
use crate::quoted;
use crate::settings::Reading;
use crate::time;
use crate::value::{Shape, Value, number_of_shape};
use crate::wide::Wide;

/// Reads a whole text as one value of the type. NULL is not a text: how it is written is the format's affair.
pub(crate) fn from_text(data_type: &DataType, text: &[u8], reading: Reading) -> Outcome<Value> {
    use DataType as T;
    let refused = |code: Code| bad_text(code, data_type, text);
    let utf8 = || std::str::from_utf8(text).map_err(|_| refused(code::CANNOT_PARSE_TEXT));
    match data_type {
        T::Nullable(inner) | T::LowCardinality(inner) => from_text(inner, text, reading),
        T::String => Ok(Value::Bytes(text.to_vec())),
        T::FixedString(bytes) => {
            fixed_string(text, *bytes).ok_or_else(|| refused(code::TOO_LARGE_STRING_SIZE))
        }
        T::Bool => boolean(text).ok_or_else(|| refused(code::CANNOT_PARSE_BOOL)),
        T::Enum8(values) | T::Enum16(values) => {
            enum_number(values, utf8()?).ok_or_else(|| refused(code::UNKNOWN_ELEMENT_OF_ENUM))
        }
        T::Float32 => number::<f32>(utf8()?)
            .map(|v| Value::Float(v.into()))
            .ok_or_else(|| refused(code::CANNOT_PARSE_NUMBER)),
        T::Float64 => number::<f64>(utf8()?)
            .map(Value::Float)
            .ok_or_else(|| refused(code::CANNOT_PARSE_NUMBER)),
        T::Decimal { precision, scale } => decimal(data_type, utf8()?, *precision, *scale),
        T::Date | T::Date32 => date(data_type, utf8()?).ok_or_else(|| refused(code::CANNOT_PARSE_DATE)),
        T::DateTime(zone) => date_time(data_type, utf8()?, zone.as_deref(), 0, reading),
        T::DateTime64(digits, zone) => date_time(data_type, utf8()?, zone.as_deref(), *digits, reading),
        T::Uuid => uuid(utf8()?).ok_or_else(|| refused(code::CANNOT_PARSE_UUID)),
        T::IPv4 => ipv4(utf8()?).ok_or_else(|| refused(code::CANNOT_PARSE_IPV4)),
        T::IPv6 => ipv6(utf8()?).ok_or_else(|| refused(code::CANNOT_PARSE_IPV6)),
        T::Array(_) | T::Tuple(_) | T::Map(..) => quoted::whole(data_type, text, reading),
        _ => integer(data_type, utf8()?),
    }
}

/// Appends the value as text, without the escapes of any format.
pub(crate) fn write_text(data_type: &DataType, value: &Value, out: &mut Vec<u8>) -> Outcome<()> {
    use DataType as T;
    let text = match (data_type, value) {
        (T::Nullable(inner) | T::LowCardinality(inner), value) => return write_text(inner, value, out),
        (T::Array(_) | T::Tuple(_) | T::Map(..), value) => return quoted::write(data_type, value, out),
        (T::Bool, Value::Int(flag)) => (*flag != 0).to_string(),
        (T::Enum8(values) | T::Enum16(values), Value::Int(number)) => enum_name(values, *number)?.to_owned(),
        (T::Decimal { scale, .. }, Value::Int(number)) => decimal_text(&number.to_string(), *scale),
        (T::Decimal { scale, .. }, Value::Wide(number)) => decimal_text(&number.to_string(), *scale),
        (T::Date | T::Date32, Value::Int(days)) => date_text(*days)?,
        (T::DateTime(zone), Value::Int(ticks)) => date_time_text(*ticks, zone.as_deref(), 0)?,
        (T::DateTime64(digits, zone), Value::Int(ticks)) => date_time_text(*ticks, zone.as_deref(), *digits)?,
        (T::IPv4, Value::Int(number)) => Ipv4Addr::from(*number as u32).to_string(),
        (T::IPv6, Value::Bytes(bytes)) => Ipv6Addr::from(sixteen(bytes)).to_string(),
        (T::Uuid, Value::Bytes(bytes)) => uuid::Uuid::from_bytes(sixteen(bytes)).to_string(),
        (T::Float32, Value::Float(number)) => float_text(&(*number as f32), number.classify()),
        (_, Value::Float(number)) => float_text(number, number.classify()),
        (_, Value::Int(number)) => number.to_string(),
        (_, Value::Wide(number)) => number.to_string(),
        (_, Value::Bytes(bytes)) => {
            out.extend_from_slice(bytes);
            return Ok(());
        }
        (_, Value::List(_) | Value::Null) => String::new(),
    };
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn bad_text(code: Code, data_type: &DataType, text: &[u8]) -> Exception {
    code.error(format_args!("cannot parse {} as {data_type}", shown(text)))
}

fn integer(data_type: &DataType, text: &str) -> Outcome<Value> {
    // ClickHouse takes `true` and `false` for integers in JSON only; being lenient here would hide a wrong
    // column.
    let Some(number) = small_integer(text).or_else(|| Wide::parse(text)) else {
        return Err(bad_text(
            code::CANNOT_PARSE_INPUT_ASSERTION_FAILED,
            data_type,
            text.as_bytes(),
        ));
    };
    number_of_shape(Shape::of(data_type)?, number).ok_or_else(|| {
        code::CANNOT_PARSE_NUMBER.error(format_args!("{number} is out of the range of {data_type}"))
    })
}

/// The quick way for all that fits `i128`.
fn small_integer(text: &str) -> Option<Wide> {
    text.parse::<i128>().ok().map(Wide::from)
}

fn number<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn fixed_string(text: &[u8], bytes: usize) -> Option<Value> {
    let mut value = text.to_vec();
    (text.len() <= bytes).then(|| {
        value.resize(bytes, 0);
        Value::Bytes(value)
    })
}

fn boolean(text: &[u8]) -> Option<Value> {
    match text.to_ascii_lowercase().as_slice() {
        b"true" | b"1" | b"t" | b"yes" | b"y" | b"on" => Some(Value::Int(1)),
        b"false" | b"0" | b"f" | b"no" | b"n" | b"off" => Some(Value::Int(0)),
        _ => None,
    }
}

/// An enum's name, or its number in digits.
fn enum_number(values: &[(String, i16)], text: &str) -> Option<Value> {
    let named = values.iter().find(|(name, _)| name == text);
    let numbered = || values.iter().find(|(_, number)| text.parse() == Ok(*number));
    named
        .or_else(numbered)
        .map(|(_, number)| Value::Int((*number).into()))
}

fn enum_name(values: &[(String, i16)], number: i128) -> Outcome<&str> {
    let named = values.iter().find(|(_, known)| i128::from(*known) == number);
    named.map(|(name, _)| name.as_str()).ok_or_else(|| {
        code::UNKNOWN_ELEMENT_OF_ENUM.error(format_args!("the enum has no element of number {number}"))
    })
}

/// Digits with an optional fraction and exponent, as a whole number of 10^-scale; digits beyond the scale are
/// dropped, as ClickHouse drops them.
fn decimal(data_type: &DataType, text: &str, precision: u8, scale: u8) -> Outcome<Value> {
    let digits = scaled_digits(text, scale)
        .ok_or_else(|| bad_text(code::CANNOT_PARSE_NUMBER, data_type, text.as_bytes()))?;
    let too_big = || bad_text(code::ARGUMENT_OUT_OF_BOUND, data_type, text.as_bytes());
    if digits.trim_start_matches(['-', '+', '0']).len() > precision.into() {
        return Err(too_big());
    }
    let number = Wide::parse(&digits).ok_or_else(too_big)?;
    number_of_shape(Shape::of(data_type)?, number).ok_or_else(too_big)
}

/// An exponent above this is refused: no decimal has more digits, and zeros are written out to shift.
const DECIMAL_EXPONENT_MAX: i32 = 200;

fn scaled_digits(text: &str, scale: u8) -> Option<String> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let (sign, whole) = whole.split_at(usize::from(whole.starts_with(['-', '+'])));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty()
        || !digits.bytes().all(|byte| byte.is_ascii_digit())
        || exponent.abs() > DECIMAL_EXPONENT_MAX
    {
        return None;
    }
    let keep = whole.len() as i64 + i64::from(exponent) + i64::from(scale);
    let kept = usize::try_from(keep).unwrap_or(0);
    let taken = &digits[..kept.min(digits.len())];
    Some(format!(
        "{sign}{taken:0<kept$}{}",
        if kept == 0 { "0" } else { "" }
    ))
}

/// Places the point and drops the fraction's trailing zeros, as ClickHouse writes decimals by default.
fn decimal_text(unscaled: &str, scale: u8) -> String {
    let (sign, digits) = unscaled.split_at(usize::from(unscaled.starts_with('-')));
    let padded = format!("{digits:0>width$}", width = usize::from(scale) + 1);
    let (whole, fraction) = padded.split_at(padded.len() - usize::from(scale));
    match fraction.trim_end_matches('0') {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    }
}

fn date(data_type: &DataType, text: &str) -> Option<Value> {
    let days = time::parse_date(text)?;
    let fits = match data_type {
        DataType::Date32 => time::is_date32(days),
        _ => u16::try_from(days).is_ok(),
    };
    fits.then_some(Value::Int(days))
}

fn date_time(
    data_type: &DataType,
    text: &str,
    zone: Option<&str>,
    digits: u8,
    reading: Reading,
) -> Outcome<Value> {
    let ticks = time::parse_date_time(text, &time::time_zone(zone)?, digits, reading.best_effort_times);
    ticks
        .and_then(|ticks| number_of_shape(Shape::of(data_type).ok()?, ticks.into()))
        .ok_or_else(|| bad_text(code::CANNOT_PARSE_DATETIME, data_type, text.as_bytes()))
}

fn date_text(days: i128) -> Outcome<String> {
    let no_date = || code::INCORRECT_DATA.error(format_args!("day {days} is outside the calendar"));
    time::date_text(days).ok_or_else(no_date)
}

fn date_time_text(ticks: i128, zone: Option<&str>, digits: u8) -> Outcome<String> {
    let no_time = || code::INCORRECT_DATA.error(format_args!("tick {ticks} is outside the calendar"));
    time::date_time_text(ticks, &time::time_zone(zone)?, digits).ok_or_else(no_time)
}

fn uuid(text: &str) -> Option<Value> {
    let plain = matches!(text.len(), 32 | 36);
    uuid::Uuid::try_parse(text)
        .ok()
        .filter(|_| plain)
        .map(|uuid| Value::Bytes(uuid.into_bytes().to_vec()))
}

fn ipv4(text: &str) -> Option<Value> {
    text.parse::<Ipv4Addr>()
        .ok()
        .map(|address| Value::Int(u32::from(address).into()))
}

fn ipv6(text: &str) -> Option<Value> {
    let mapped = || {
        text.parse::<Ipv4Addr>()
            .ok()
            .map(|address| address.to_ipv6_mapped())
    };
    let address = text.parse::<Ipv6Addr>().ok().or_else(mapped)?;
    Some(Value::Bytes(address.octets().to_vec()))
}

fn sixteen(bytes: &[u8]) -> [u8; 16] {
    bytes.try_into().unwrap_or_default()
}

/// Shortest digits that read back, with an exponent outside [1e-6, 1e21): ClickHouse's (and JavaScript's)
/// way.
fn float_text<F: fmt::LowerExp + FromStr + PartialEq>(number: &F, class: FpCategory) -> String {
    let scientific = shortest(number);
    match class {
        FpCategory::Nan => "nan".to_owned(),
        FpCategory::Infinite => scientific,
        FpCategory::Zero | FpCategory::Subnormal | FpCategory::Normal => place_point(&scientific),
    }
}

/// The shortest digits in scientific notation. Where two are equally short and near, Rust takes the larger
/// and
/// ClickHouse the even one, which is also what rounding to so many digits gives.
fn shortest<F: fmt::LowerExp + FromStr + PartialEq>(number: &F) -> String {
    let shortest = format!("{number:e}");
    let mantissa = shortest.split('e').next().unwrap_or_default();
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    let rounded = format!("{number:.*e}", digits.saturating_sub(1));
    if rounded.parse().is_ok_and(|read: F| read == *number) {
        rounded
    } else {
        shortest
    }
}

/// Writes `-1.25e2` as `-125` where the exponent is one of those written out.
fn place_point(scientific: &str) -> String {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let (sign, mantissa) = mantissa.split_at(usize::from(mantissa.starts_with('-')));
    let digits = mantissa.replace('.', "");
    match exponent.parse::<i32>() {
        Ok(exponent @ ..0) if exponent >= -6 => format!(
            "{sign}0.{:0>width$}{digits}",
            "",
            width = exponent.unsigned_abs() as usize - 1
        ),
        Ok(exponent @ 0..21) => {
            let whole = exponent as usize + 1;
            let padded = format!("{digits:0<whole$}");
            let (whole, fraction) = padded.split_at(whole);
            let point = if fraction.is_empty() { "" } else { "." };
            format!("{sign}{whole}{point}{fraction}")
        }
        _ => scientific.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(data_type: &str, text: &str) -> Outcome<Value> {
        from_text(
            &DataType::parse(data_type).unwrap(),
            text.as_bytes(),
            Reading::default(),
        )
    }

    #[track_caller]
    fn check(data_type: &str, text: &str, written: &str) {
        let value = read(data_type, text).unwrap();
        let mut out = Vec::new();
        write_text(&DataType::parse(data_type).unwrap(), &value, &mut out).unwrap();
        assert_eq!(String::from_utf8_lossy(&out), written);
    }

    #[test]
    fn every_type_reads_its_text_and_writes_it_as_clickhouse_does() {
        check("UInt64", "18446744073709551615", "18446744073709551615");
        check("Int8", "-128", "-128");
        check("Int256", "-1", "-1");
        check(
            "UInt128",
            "340282366920938463463374607431768211455",
            "340282366920938463463374607431768211455",
        );
        check("Bool", "1", "true");
        check("Enum8('a' = 1, 'b' = -2)", "b", "b");
        check("Enum8('a' = 1, 'b' = -2)", "-2", "b");
        check("Decimal(18, 4)", "-0.5", "-0.5");
        check("Decimal(10, 2)", "1.239", "1.23");
        check("Decimal(76, 3)", "-1.23", "-1.23");
        check("Decimal(9, 3)", "12e2", "1200");
        check("Decimal(9, 3)", "12e-3", "0.012");
        check("Decimal(9, 0)", "1e-9", "0");
        check("Date", "2020-02-29", "2020-02-29");
        check(
            "DateTime('Asia/Shanghai')",
            "2020-01-01 00:00:00",
            "2020-01-01 00:00:00",
        );
        check(
            "UUID",
            "048ad00d67fd4e74e7c7c9b5caedd3fb",
            "048ad00d-67fd-4e74-e7c7-c9b5caedd3fb",
        );
        check("IPv4", "169.72.115.103", "169.72.115.103");
        check("IPv6", "1.2.3.4", "::ffff:1.2.3.4");
        check("FixedString(3)", "ab", "ab\0");
        check("Array(UInt8)", "[1, 2]", "[1,2]");
    }

    #[test]
    fn floats_are_written_with_the_shortest_digits() {
        check("Float64", "0.30000000000000004", "0.30000000000000004");
        check("Float64", "1e100", "1e100");
        check("Float64", "1e20", "100000000000000000000");
        check("Float64", "1e21", "1e21");
        check("Float64", "1e-6", "0.000001");
        check("Float64", "0.0000001", "1e-7");
        check("Float64", "-0", "-0");
        check("Float64", "-2207175532133511.25", "-2207175532133511.2");
        check("Float64", "123456789012345678", "123456789012345680");
        check("Float64", "1.7976931348623157e308", "1.7976931348623157e308");
        check("Float64", "5e-324", "5e-324");
        check("Float64", "0.000001234", "0.000001234");
        check("Float64", "1.5e-7", "1.5e-7");
        check("Float32", "1e-6", "0.000001");
        check("Float32", "16777216", "16777216");
        check("Float32", "1e20", "100000000000000000000");
        check("Float32", "0.1", "0.1");
        check("Float64", "NaN", "nan");
        check("Float64", "-inf", "-inf");
    }

    #[track_caller]
    fn refuses(data_type: &str, text: &str, code: Code) {
        assert_eq!(
            read(data_type, text).unwrap_err().code,
            code,
            "{data_type} {text}"
        );
    }

    #[test]
    fn what_does_not_fit_its_type_is_refused_with_clickhouses_code() {
        refuses("UInt8", "256", code::CANNOT_PARSE_NUMBER);
        refuses("UInt8", "-1", code::CANNOT_PARSE_NUMBER);
        refuses("UInt8", "x", code::CANNOT_PARSE_INPUT_ASSERTION_FAILED);
        refuses("UInt8", "", code::CANNOT_PARSE_INPUT_ASSERTION_FAILED);
        refuses("Float32", "1,5", code::CANNOT_PARSE_NUMBER);
        refuses("Decimal(10, 2)", "123456789.2", code::ARGUMENT_OUT_OF_BOUND);
        refuses("Decimal(10, 2)", "1e99999", code::CANNOT_PARSE_NUMBER);
        refuses("Decimal(10, 2)", ".", code::CANNOT_PARSE_NUMBER);
        refuses("Date", "2020-13-01", code::CANNOT_PARSE_DATE);
        refuses("Date", "1969-12-31", code::CANNOT_PARSE_DATE);
        refuses("DateTime", "2200-01-01 00:00:00", code::CANNOT_PARSE_DATETIME);
        refuses("UUID", "zz", code::CANNOT_PARSE_UUID);
        refuses("IPv4", "1.2.3", code::CANNOT_PARSE_IPV4);
        refuses("IPv6", ":", code::CANNOT_PARSE_IPV6);
        refuses("FixedString(3)", "abcd", code::TOO_LARGE_STRING_SIZE);
        refuses("Enum8('a' = 1)", "c", code::UNKNOWN_ELEMENT_OF_ENUM);
        refuses("Bool", "maybe", code::CANNOT_PARSE_BOOL);
    }
}
