//! One value of a plain type as one of another: wide numbers, floats, Decimals, dates and times, addresses, Enums.

use jiff::civil;
use jiff::tz::{Disambiguation, TimeZone};
use types::{Column, Data, DataType, I256, read};

use super::date::midnight;
use super::number::without_padding;
use super::time::{DAY, Ticks, ticks_of, zone_named, zone_of_server};
use super::{Bound, Call};
use crate::error::{EvalReason, Failure, Refusal};
use crate::integers::Integer;

/// Adds one value, given the column and its place, to data of the target's kind.
type Step = Box<dyn Fn(&Data, usize, &mut Data) -> Result<(), EvalReason> + Send + Sync>;

/// The conversion of a call's only argument.
pub(super) fn bind(call: &Call<'_>, target: &DataType) -> Result<Bound, Refusal> {
    let step = step(call, call.arguments[0].data_type, target)?;
    let data_type = target.clone();
    Ok(Bound::new(target.clone(), move |inputs| {
        let value = &inputs.values[0];
        let mut out = Column::empty(&data_type);
        for row in 0..inputs.rows {
            if inputs.is_null(row) {
                out.push_default(&data_type);
            } else {
                step(&value.column.data, value.place(row), &mut out.data)
                    .map_err(|reason| Failure::at(row, reason))?;
            }
        }
        Ok(out.data)
    }))
}

fn step(call: &Call<'_>, from: &DataType, to: &DataType) -> Result<Step, Refusal> {
    use DataType as T;
    let unknown = || call.illegal(0);
    if matches!(from, T::String | T::FixedString(_)) {
        let padded = matches!(from, T::FixedString(_));
        let read = of_text(call, to)?;
        return Ok(Box::new(move |data, place, out| {
            let Data::Bytes(texts) = data else {
                return Err(EvalReason::WrongColumns);
            };
            let text = texts.get(place);
            read(if padded { without_padding(text) } else { text }, out)
        }));
    }
    match (from, to) {
        (_, T::Decimal { scale, .. }) => to_decimal(from, *scale).ok_or_else(unknown),
        (T::Decimal { scale, .. }, to) => of_decimal(*scale, to).ok_or_else(unknown),
        (_, T::Bool) if is_whole(from) => Ok(Box::new(|data, place, out| {
            let number = whole(data, place)?;
            push_whole(out, I256::from(u8::from(number != I256::ZERO)))
        })),
        (_, T::Enum8(elements) | T::Enum16(elements)) if is_whole(from) => {
            let elements = elements.clone();
            Ok(Box::new(move |data, place, out| {
                let number = whole(data, place)?;
                let is_one = elements.iter().any(|(_, element)| I256::from(*element) == number);
                if is_one {
                    push_whole(out, number)
                } else {
                    Err(EvalReason::NotAValue)
                }
            }))
        }
        (T::Enum8(_), T::Enum8(elements) | T::Enum16(elements)) | (T::Enum16(_), T::Enum16(elements)) => {
            let (T::Enum8(names) | T::Enum16(names)) = from else {
                return Err(unknown());
            };
            let (names, elements) = (names.clone(), elements.clone());
            Ok(Box::new(move |data, place, out| {
                let number = whole(data, place)?;
                let name = names.iter().find(|(_, value)| I256::from(*value) == number);
                let name = &name.ok_or(EvalReason::EnumValue)?.0;
                let element = elements.iter().find(|(other, _)| other == name);
                push_whole(out, I256::from(element.ok_or(EvalReason::NotAValue)?.1))
            }))
        }
        (_, T::Float32 | T::Float64 | T::BFloat16) if is_number(from) => {
            let from = from.clone();
            Ok(Box::new(move |data, place, out| {
                push_float(out, float(&from, data, place)?)
            }))
        }
        (T::Float32 | T::Float64, T::Bool) => {
            let from = from.clone();
            Ok(Box::new(move |data, place, out| {
                push_whole(out, I256::from(u8::from(float(&from, data, place)? != 0.0)))
            }))
        }
        (_, to) if is_whole(to) && is_float(from) => {
            let (from, to) = (from.clone(), to.clone());
            Ok(Box::new(move |data, place, out| {
                let number = float(&from, data, place)?.trunc();
                push_checked(out, &to, exactly(number)?)
            }))
        }
        (T::IPv4, T::UInt32 | T::UInt64) => {
            Ok(Box::new(|data, place, out| push_whole(out, whole(data, place)?)))
        }
        (_, to) if is_whole(to) && is_whole(from) => {
            Ok(Box::new(|data, place, out| push_whole(out, whole(data, place)?)))
        }
        (T::UInt8 | T::UInt16, T::Date) | (T::UInt8 | T::UInt16 | T::UInt32, T::IPv4 | T::DateTime(_)) => {
            Ok(Box::new(|data, place, out| push_whole(out, whole(data, place)?)))
        }
        (T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::UInt64, T::DateTime(_)) => {
            Ok(Box::new(|data, place, out| {
                let number = whole(data, place)?;
                push_whole(out, number.clamp(I256::ZERO, I256::from(u32::MAX)))
            }))
        }
        (T::IPv4, T::IPv6) => Ok(Box::new(|data, place, out| {
            let (Data::UInt32(from), Data::Bytes(out)) = (data, out) else {
                return Err(EvalReason::WrongColumns);
            };
            out.push(&std::net::Ipv4Addr::from(from[place]).to_ipv6_mapped().octets());
            Ok(())
        })),
        _ => of_time(call, from, to),
    }
}

fn is_whole(data_type: &DataType) -> bool {
    use DataType as T;
    Integer::of(data_type).is_some() || matches!(data_type, T::UInt128 | T::Int128 | T::UInt256 | T::Int256)
}

fn is_float(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Float32 | DataType::Float64 | DataType::BFloat16
    )
}

fn is_number(data_type: &DataType) -> bool {
    is_whole(data_type) || is_float(data_type)
}

/// A whole number of any width; of a UInt256 its bits.
fn whole(data: &Data, place: usize) -> Result<I256, EvalReason> {
    let number = match data {
        Data::UInt64(numbers) => numbers.get(place).copied().map(I256::from),
        Data::UInt128(numbers) => numbers.get(place).copied().map(I256::from),
        Data::Int128(numbers) => numbers.get(place).copied().map(I256::from),
        Data::UInt256(numbers) => numbers.get(place).map(|number| number.as_i256()),
        Data::Int256(numbers) => numbers.get(place).copied(),
        data => crate::integers::word(data, place).map(|word| I256::from(word.cast_signed())),
    };
    number.ok_or(EvalReason::WrongColumns)
}

/// Adds a number cut to the width of the data.
fn push_whole(out: &mut Data, number: I256) -> Result<(), EvalReason> {
    match out {
        Data::UInt8(out) => out.push(number.as_u8()),
        Data::UInt16(out) => out.push(number.as_u16()),
        Data::UInt32(out) => out.push(number.as_u32()),
        Data::UInt64(out) => out.push(number.as_u64()),
        Data::UInt128(out) => out.push(number.as_u128()),
        Data::UInt256(out) => out.push(number.as_u256()),
        Data::Int8(out) => out.push(number.as_i8()),
        Data::Int16(out) => out.push(number.as_i16()),
        Data::Int32(out) => out.push(number.as_i32()),
        Data::Int64(out) => out.push(number.as_i64()),
        Data::Int128(out) => out.push(number.as_i128()),
        Data::Int256(out) => out.push(number),
        _ => return Err(EvalReason::WrongColumns),
    }
    Ok(())
}

/// Adds a number that must fit the type.
fn push_checked(out: &mut Data, to: &DataType, number: I256) -> Result<(), EvalReason> {
    let fits = match Integer::of(to) {
        Some(integer) => i128::try_from(number).is_ok_and(|number| integer.holds(number)),
        None => match to {
            DataType::UInt128 => u128::try_from(number).is_ok(),
            DataType::Int128 => i128::try_from(number).is_ok(),
            DataType::UInt256 => !number.is_negative(),
            _ => true,
        },
    };
    if fits {
        push_whole(out, number)
    } else {
        Err(EvalReason::NumberOverflow)
    }
}

fn float(from: &DataType, data: &Data, place: usize) -> Result<f64, EvalReason> {
    match data {
        Data::UInt16(bits) if *from == DataType::BFloat16 => {
            Ok(f64::from(f32::from_bits(u32::from(bits[place]) << 16)))
        }
        Data::UInt128(numbers) => Ok(numbers[place] as f64),
        Data::Int128(numbers) => Ok(numbers[place] as f64),
        Data::UInt256(_) | Data::Int256(_) => Err(EvalReason::Unsure),
        data => super::number::real(data, place).map_err(|failure| failure.reason),
    }
}

fn push_float(out: &mut Data, number: f64) -> Result<(), EvalReason> {
    match out {
        Data::Float32(out) => out.push(number as f32),
        Data::Float64(out) => out.push(number),
        // BFloat16 is cut off, not rounded.
        Data::UInt16(out) => out.push(((number as f32).to_bits() >> 16) as u16),
        _ => return Err(EvalReason::WrongColumns),
    }
    Ok(())
}

/// A whole float as a number; beyond 2^127 none is worth the doubt.
fn exactly(number: f64) -> Result<I256, EvalReason> {
    if number.abs() < 1.7e38 {
        Ok(I256::from(number as i128))
    } else {
        Err(EvalReason::NumberOverflow)
    }
}

fn power_of_ten(scale: u8) -> I256 {
    // A scale is at most 76, and 10^76 fits.
    (0..scale.min(76)).fold(I256::ONE, |power, _| power * 10)
}

fn to_decimal(from: &DataType, scale: u8) -> Option<Step> {
    let power = power_of_ten(scale);
    if let DataType::Decimal {
        scale: from_scale, ..
    } = from
    {
        let down = power_of_ten(from_scale.saturating_sub(scale));
        let up = power_of_ten(scale.saturating_sub(*from_scale));
        return Some(Box::new(move |data, place, out| {
            let number = whole(data, place)? / down;
            push_decimal(out, number.checked_mul(up))
        }));
    }
    if Integer::of(from).is_some() {
        return Some(Box::new(move |data, place, out| {
            push_decimal(out, whole(data, place)?.checked_mul(power))
        }));
    }
    if matches!(from, DataType::Float32 | DataType::Float64) {
        let from = from.clone();
        let power = 10_f64.powi(i32::from(scale));
        return Some(Box::new(move |data, place, out| {
            let number = float(&from, data, place)?;
            push_decimal(out, Some(exactly((number * power).trunc())?))
        }));
    }
    None
}

/// Adds a Decimal's number, which the width of the data limits, not the precision.
fn push_decimal(out: &mut Data, number: Option<I256>) -> Result<(), EvalReason> {
    let number = number.ok_or(EvalReason::NumberOverflow)?;
    let fits = match out {
        Data::Int32(_) => i32::try_from(number).is_ok(),
        Data::Int64(_) => i64::try_from(number).is_ok(),
        Data::Int128(_) => i128::try_from(number).is_ok(),
        _ => true,
    };
    if fits {
        push_whole(out, number)
    } else {
        Err(EvalReason::NumberOverflow)
    }
}

fn of_decimal(scale: u8, to: &DataType) -> Option<Step> {
    let power = power_of_ten(scale);
    match to {
        DataType::Float32 | DataType::Float64 => {
            let power = 10_f64.powi(i32::from(scale));
            Some(Box::new(move |data, place, out| {
                let number = i128::try_from(whole(data, place)?).map_err(|_| EvalReason::Unsure)?;
                push_float(out, number as f64 / power)
            }))
        }
        to if is_whole(to) && *to != DataType::Bool => {
            let to = to.clone();
            Some(Box::new(move |data, place, out| {
                push_checked(out, &to, whole(data, place)? / power)
            }))
        }
        _ => None,
    }
}

/// The zone of a type, the servers' where it names none.
fn zone_of_type(call: &Call<'_>, zone: Option<&str>) -> Result<TimeZone, Refusal> {
    match zone {
        Some(zone) => zone_named(call, zone),
        None => zone_named(call, zone_of_server(call)?),
    }
}

fn ticks_of_type(call: &Call<'_>, precision: u8) -> Result<Ticks, Refusal> {
    ticks_of(precision).ok_or_else(|| call.illegal(0))
}

fn of_time(call: &Call<'_>, from: &DataType, to: &DataType) -> Result<Step, Refusal> {
    use DataType as T;
    let seconds = |number: I256| i64::try_from(number).map_err(|_| EvalReason::TimeOverflow);
    match (from, to) {
        (T::DateTime(_), T::DateTime(_)) | (T::Date, T::Date32) => {
            Ok(Box::new(|data, place, out| push_whole(out, whole(data, place)?)))
        }
        (T::Date | T::Date32, T::DateTime(zone)) => {
            // What lies outside of DateTime ClickHouse wraps around; here such a row is refused.
            let zone = zone_of_type(call, zone.as_deref())?;
            Ok(Box::new(move |data, place, out| {
                let start = midnight(&zone, seconds(whole(data, place)?)?)?;
                push_checked(out, &T::UInt32, I256::from(start))
            }))
        }
        (T::Date | T::Date32, T::DateTime64(precision, zone)) => {
            let (zone, ticks) = (
                zone_of_type(call, zone.as_deref())?,
                ticks_of_type(call, *precision)?,
            );
            Ok(Box::new(move |data, place, out| {
                let start = midnight(&zone, seconds(whole(data, place)?)?)?;
                push_checked(out, &T::Int64, I256::from(start) * I256::from(ticks.per_second))
            }))
        }
        (T::DateTime(_), T::DateTime64(precision, _)) => {
            let ticks = ticks_of_type(call, *precision)?;
            Ok(Box::new(move |data, place, out| {
                push_checked(out, &T::Int64, whole(data, place)? * I256::from(ticks.per_second))
            }))
        }
        (T::DateTime64(precision, _), T::DateTime(_)) => {
            let ticks = ticks_of_type(call, *precision)?;
            Ok(Box::new(move |data, place, out| {
                push_checked(
                    out,
                    &T::UInt32,
                    whole(data, place)? / I256::from(ticks.per_second),
                )
            }))
        }
        (T::DateTime64(precision, _), T::DateTime64(to_precision, _)) => {
            let (ticks, to_ticks) = (
                ticks_of_type(call, *precision)?,
                ticks_of_type(call, *to_precision)?,
            );
            Ok(Box::new(move |data, place, out| {
                let number = whole(data, place)? * I256::from(to_ticks.per_second);
                push_checked(out, &T::Int64, number / I256::from(ticks.per_second))
            }))
        }
        (T::DateTime(zone) | T::DateTime64(_, zone), T::Date32) => {
            let zone = zone_of_type(call, zone.as_deref())?;
            let per_second = match from {
                T::DateTime64(precision, _) => ticks_of_type(call, *precision)?.per_second,
                _ => 1,
            };
            Ok(Box::new(move |data, place, out| {
                let seconds = seconds(whole(data, place)?)?.div_euclid(per_second);
                let local = seconds + super::time::offset_at(&zone, seconds)?;
                push_whole(out, I256::from(local.div_euclid(DAY)))
            }))
        }
        _ => Err(call.illegal(0)),
    }
}

type ReadText = Box<dyn Fn(&[u8], &mut Data) -> Result<(), EvalReason> + Send + Sync>;

/// The reading of a text as a value of a type.
fn of_text(call: &Call<'_>, to: &DataType) -> Result<ReadText, Refusal> {
    use DataType as T;
    match to {
        T::FixedString(len) => {
            let len = *len;
            Ok(Box::new(move |text, out| {
                let Data::Bytes(out) = out else {
                    return Err(EvalReason::WrongColumns);
                };
                if text.len() > len {
                    return Err(EvalReason::TooLong);
                }
                out.bytes.extend_from_slice(text);
                out.bytes.resize(out.bytes.len() + len - text.len(), 0);
                out.ends.push(out.bytes.len());
                Ok(())
            }))
        }
        T::Decimal { precision, scale } => {
            let (precision, scale) = (*precision, *scale);
            Ok(Box::new(move |text, out| {
                push_decimal(
                    out,
                    Some(read::decimal(text, precision, scale).map_err(|_| EvalReason::NotAValue)?),
                )
            }))
        }
        T::Float32 | T::Float64 => Ok(Box::new(|text, out| {
            // "inf" and "nan" are read in many spellings, of which the versions differ.
            let plain = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
            let text = std::str::from_utf8(text)
                .ok()
                .filter(|text| text.bytes().all(|byte| plain(&byte)));
            let text = text.ok_or(EvalReason::NotAValue)?;
            match out {
                Data::Float32(out) => out.push(text.parse().map_err(|_| EvalReason::NotAValue)?),
                Data::Float64(out) => out.push(text.parse().map_err(|_| EvalReason::NotAValue)?),
                _ => return Err(EvalReason::WrongColumns),
            }
            Ok(())
        })),
        T::UInt128 | T::UInt256 => Ok(Box::new(|text, out| {
            let number = read::whole(text).filter(|_| !text.starts_with(b"-"));
            push_whole(out, number.ok_or(EvalReason::NotAValue)?)
        })),
        T::Int128 | T::Int256 => Ok(Box::new(|text, out| {
            push_whole(out, read::whole(text).ok_or(EvalReason::NotAValue)?)
        })),
        T::Bool => Ok(Box::new(|text, out| match text {
            b"true" | b"1" => push_whole(out, I256::ONE),
            b"false" | b"0" => push_whole(out, I256::ZERO),
            _ => Err(EvalReason::NotAValue),
        })),
        T::Uuid => Ok(Box::new(|text, out| {
            let uuid = uuid::Uuid::try_parse_ascii(text)
                .ok()
                .filter(|_| text.len() == 36);
            let Data::UInt128(out) = out else {
                return Err(EvalReason::WrongColumns);
            };
            out.push(uuid.ok_or(EvalReason::NotAValue)?.as_u128());
            Ok(())
        })),
        T::IPv4 => Ok(Box::new(|text, out| {
            push_whole(out, I256::from(read::ipv4(text).ok_or(EvalReason::NotAValue)?))
        })),
        T::IPv6 => Ok(Box::new(|text, out| {
            let Data::Bytes(out) = out else {
                return Err(EvalReason::WrongColumns);
            };
            out.push(&read::ipv6(text).ok_or(EvalReason::NotAValue)?);
            Ok(())
        })),
        T::Enum8(elements) | T::Enum16(elements) => {
            let elements = elements.clone();
            Ok(Box::new(move |text, out| {
                let element = elements.iter().find(|(name, _)| name.as_bytes() == text);
                push_whole(out, I256::from(element.ok_or(EvalReason::NotAValue)?.1))
            }))
        }
        T::Date | T::Date32 => {
            let to = to.clone();
            Ok(Box::new(move |text, out| {
                let (date, _, _) = moment(text).ok_or(EvalReason::NotAValue)?;
                let days = date.to_zoned(TimeZone::UTC).map_err(|_| EvalReason::TimeRange)?;
                let days = days.timestamp().as_second() / DAY;
                push_checked(
                    out,
                    if to == T::Date { &T::UInt16 } else { &T::Int32 },
                    I256::from(days),
                )
            }))
        }
        T::DateTime(zone) => {
            let zone = zone_of_type(call, zone.as_deref())?;
            Ok(Box::new(move |text, out| {
                let (seconds, _) = instant(text, &zone)?;
                push_checked(out, &T::UInt32, I256::from(seconds))
            }))
        }
        T::DateTime64(precision, zone) => {
            let (zone, ticks) = (
                zone_of_type(call, zone.as_deref())?,
                ticks_of_type(call, *precision)?,
            );
            Ok(Box::new(move |text, out| {
                let (seconds, nanos) = instant(text, &zone)?;
                let fraction = nanos / (1_000_000_000 / ticks.per_second);
                push_checked(
                    out,
                    &T::Int64,
                    I256::from(seconds) * I256::from(ticks.per_second) + I256::from(fraction),
                )
            }))
        }
        _ => Err(call.illegal(0)),
    }
}

/// `YYYY-MM-DD[ hh:mm:ss[.fraction]]` as day, time and nanoseconds; every other writing is refused, not guessed.
fn moment(text: &[u8]) -> Option<(civil::Date, civil::Time, i64)> {
    let number = |range: std::ops::Range<usize>| -> Option<i16> {
        let digits = text.get(range)?;
        let all = digits.iter().all(u8::is_ascii_digit);
        all.then(|| {
            digits
                .iter()
                .fold(0, |number, digit| number * 10 + i16::from(digit - b'0'))
        })
    };
    let is = |place: usize, byte: u8| text.get(place) == Some(&byte);
    let part = |range| number(range).map(|number| number as i8);
    if !(is(4, b'-') && is(7, b'-')) {
        return None;
    }
    let date = civil::Date::new(number(0..4)?, part(5..7)?, part(8..10)?).ok()?;
    if text.len() == 10 {
        return Some((date, civil::Time::midnight(), 0));
    }
    if !(is(10, b' ') && is(13, b':') && is(16, b':')) {
        return None;
    }
    let time = civil::Time::new(part(11..13)?, part(14..16)?, part(17..19)?, 0).ok()?;
    let fraction = match &text[19..] {
        [] => 0,
        [b'.', digits @ ..] if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {
            let digits = digits.iter().chain(std::iter::repeat(&b'0')).take(9);
            digits.fold(0, |number, digit| number * 10 + i64::from(digit - b'0'))
        }
        _ => return None,
    };
    Some((date, time, fraction))
}

/// The seconds since 1970 and the nanoseconds of a text in a zone.
fn instant(text: &[u8], zone: &TimeZone) -> Result<(i64, i64), EvalReason> {
    let (date, time, nanos) = moment(text).ok_or(EvalReason::NotAValue)?;
    let instant = zone
        .to_ambiguous_timestamp(date.to_datetime(time))
        .disambiguate(Disambiguation::Earlier)
        .map_err(|_| EvalReason::TimeRange)?;
    Ok((instant.as_second(), nanos))
}
