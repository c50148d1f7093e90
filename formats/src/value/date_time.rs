//! DateTime and DateTime64.
//!
//! 18.16 reads `basic` texts by default and 26.x `best_effort` ones. What both read alike is taken always;
//! what only one reads is taken too, because the other refuses it on the shard; what they read differently (a
//! number that is a timestamp for one and a date for the other) is taken only when the INSERT's
//! `date_time_input_format` decides.

use jiff::civil;
use jiff::tz::Disambiguation;

use crate::error::code;
use crate::framing::{Token, ValueError};
use crate::key::Reading;
use crate::settings::DateTimeText;

/// DateTime64 counts at most nanoseconds.
pub(super) const PRECISION_MAX: u8 = 9;

const EXPECTED: ValueError = ValueError {
    code: code::CANNOT_PARSE_DATETIME,
    expected: "a time as YYYY-MM-DD hh:mm:ss or a unix timestamp of 9 or 10 digits",
};
const BEHIND_2106: ValueError = ValueError {
    code: code::CANNOT_PARSE_DATETIME,
    expected: "a time up to 2106-02-07 06:28:15",
};
const OUT_OF_RANGE: ValueError = ValueError {
    code: code::CANNOT_PARSE_DATETIME,
    expected: "a time from 1900 to 2299",
};

/// A moment: seconds since 1970 and nanoseconds above them.
#[derive(Clone, Copy)]
struct Moment {
    seconds: i64,
    nanos: u32,
}

/// Seconds since 1970; an earlier time is 0.
///
/// A time behind 2106-02-07 is that one on 26.x and 0 on 18.16, so it is refused.
pub(super) fn seconds(token: &Token<'_>, reading: &Reading) -> Result<u32, ValueError> {
    let moment = moment(token, reading)?;
    u32::try_from(moment.seconds.max(0)).map_err(|_| BEHIND_2106)
}

/// Ticks of 10^-`precision` seconds; finer digits are cut off.
pub(super) fn ticks(token: &Token<'_>, precision: u8, reading: &Reading) -> Result<i64, ValueError> {
    let moment = moment(token, reading)?;
    let scale = 10_i64.pow(u32::from(precision));
    let fraction = i64::from(moment.nanos) / (1_000_000_000 / scale);
    moment
        .seconds
        .checked_mul(scale)
        .and_then(|ticks| ticks.checked_add(fraction))
        .ok_or(OUT_OF_RANGE)
}

fn moment(token: &Token<'_>, reading: &Reading) -> Result<Moment, ValueError> {
    match token {
        Token::Text(text) => match whole_and_fraction(text) {
            Some((digits, nanos)) => from_digits(digits, nanos, reading),
            None => from_calendar(text, reading),
        },
        Token::Json(text) | Token::Sql(text) => {
            let (digits, nanos) = whole_and_fraction(text).ok_or(EXPECTED)?;
            // Ten digits reach to 2286; more are milliseconds for some versions.
            if digits.len() > 10 {
                Err(EXPECTED)
            } else {
                timestamp(digits, nanos)
            }
        }
        _ => Err(EXPECTED),
    }
}

/// Splits `digits[.digits]` into the whole digits and the nanoseconds.
fn whole_and_fraction(text: &[u8]) -> Option<(&[u8], u32)> {
    let border = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let (whole, rest) = text.split_at(border);
    let nanos = match rest {
        [] => 0,
        [b'.', fraction @ ..] => nanoseconds(fraction)?,
        _ => return None,
    };
    (!whole.is_empty()).then_some((whole, nanos))
}

/// The first nine digits of a fraction; all of it must be digits.
fn nanoseconds(fraction: &[u8]) -> Option<u32> {
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = fraction
        .iter()
        .map(|digit| u32::from(digit - b'0'))
        .chain(std::iter::repeat(0));
    Some(digits.take(9).fold(0, |value, digit| value * 10 + digit))
}

/// Text that is only digits: a timestamp, a date or both run together, by length and mode.
fn from_digits(digits: &[u8], nanos: u32, reading: &Reading) -> Result<Moment, ValueError> {
    match (digits.len(), reading.date_time) {
        (9 | 10, _) | (5..=8, DateTimeText::Basic) => timestamp(digits, nanos),
        (13, DateTimeText::BestEffort) if nanos == 0 => {
            let millis = timestamp(digits, 0)?.seconds;
            Ok(Moment {
                seconds: millis / 1000,
                nanos: (millis % 1000) as u32 * 1_000_000,
            })
        }
        (8 | 14, DateTimeText::BestEffort) => {
            let (date, time) = digits.split_at(8);
            let written = Written {
                date: [&date[..4], &date[4..6], &date[6..]],
                time: run_together(time),
                nanos,
            };
            written.moment(None, reading)
        }
        _ => Err(EXPECTED),
    }
}

fn run_together(time: &[u8]) -> [&[u8]; 3] {
    match time.len() {
        6 => [&time[..2], &time[2..4], &time[4..]],
        _ => [b"0"; 3],
    }
}

fn timestamp(digits: &[u8], nanos: u32) -> Result<Moment, ValueError> {
    let seconds = std::str::from_utf8(digits)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(EXPECTED)?;
    Ok(Moment { seconds, nanos })
}

/// `YYYY-MM-DD[(T| )hh:mm[:ss[.fraction]][Z|(+|-)hh[[:]mm]]]`, `/` for `-`, single digits.
fn from_calendar(text: &[u8], reading: &Reading) -> Result<Moment, ValueError> {
    let border = text
        .iter()
        .position(|byte| matches!(byte, b'T' | b' '))
        .unwrap_or(text.len());
    let (date, time) = text.split_at(border);
    let date = three(date, |byte| matches!(byte, b'-' | b'/'))
        .filter(|parts| parts[0].len() == 4)
        .ok_or(EXPECTED)?;
    if time.is_empty() {
        return Written {
            date,
            time: [b"0"; 3],
            nanos: 0,
        }
        .moment(None, reading);
    }
    let (time, zone) = without_zone(&time[1..])?;
    let (time, nanos) = match time.iter().position(|byte| *byte == b'.') {
        Some(dot) => (&time[..dot], nanoseconds(&time[dot + 1..]).ok_or(EXPECTED)?),
        None => (time, 0),
    };
    let time = clock(time).ok_or(EXPECTED)?;
    Written { date, time, nanos }.moment(zone, reading)
}

/// `hh:mm:ss` or `hh:mm`.
fn clock(text: &[u8]) -> Option<[&[u8]; 3]> {
    let colons = text.iter().filter(|byte| **byte == b':').count();
    if colons == 1 {
        let colon = text.iter().position(|byte| *byte == b':')?;
        return Some([&text[..colon], &text[colon + 1..], b"0"]);
    }
    three(text, |byte| byte == b':')
}

/// Exactly three parts.
fn three(text: &[u8], is_separator: impl Fn(u8) -> bool) -> Option<[&[u8]; 3]> {
    let mut parts = text.split(|byte| is_separator(*byte));
    let three = [parts.next()?, parts.next()?, parts.next()?];
    parts.next().is_none().then_some(three)
}

/// Cuts `Z` or an offset from the end; the offset in seconds.
fn without_zone(text: &[u8]) -> Result<(&[u8], Option<i64>), ValueError> {
    if let Some(text) = text.strip_suffix(b"Z") {
        return Ok((text, Some(0)));
    }
    let Some(sign) = text.iter().position(|byte| matches!(byte, b'+' | b'-')) else {
        return Ok((text, None));
    };
    let (hours, minutes): (&[u8], &[u8]) = match &text[sign + 1..] {
        [h1, h2, b':', m1, m2] | [h1, h2, m1, m2] => (&[*h1, *h2], &[*m1, *m2]),
        [h1, h2] => (&[*h1, *h2], b"0"),
        _ => return Err(EXPECTED),
    };
    let seconds = i64::from(part(hours, 0, 15)?) * 3600 + i64::from(part(minutes, 0, 59)?) * 60;
    Ok((
        &text[..sign],
        Some(if text[sign] == b'-' { -seconds } else { seconds }),
    ))
}

/// The parts of a calendar time as written.
struct Written<'a> {
    date: [&'a [u8]; 3],
    time: [&'a [u8]; 3],
    nanos: u32,
}

impl Written<'_> {
    /// Modes read 30 February or 25 o'clock differently, so only times that exist are taken.
    fn moment(&self, zone_offset: Option<i64>, reading: &Reading) -> Result<Moment, ValueError> {
        let [year, month, day] = self.date;
        let [hour, minute, second] = self.time;
        let date = civil::Date::new(
            part(year, 1900, 2299)?,
            part(month, 1, 12)? as i8,
            part(day, 1, 31)? as i8,
        );
        let time = civil::Time::new(
            part(hour, 0, 23)? as i8,
            part(minute, 0, 59)? as i8,
            part(second, 0, 59)? as i8,
            0,
        );
        let (Ok(date), Ok(time)) = (date, time) else {
            return Err(EXPECTED);
        };
        Ok(Moment {
            seconds: in_zone(date.to_datetime(time), zone_offset, reading)?,
            nanos: self.nanos,
        })
    }
}

/// Seconds since 1970 of a civil time. In a clock change the offset of the summer side counts, as in
/// ClickHouse.
fn in_zone(time: civil::DateTime, zone_offset: Option<i64>, reading: &Reading) -> Result<i64, ValueError> {
    let zone = match zone_offset {
        None => &reading.zone,
        Some(_) => &jiff::tz::TimeZone::UTC,
    };
    let instant = zone
        .to_ambiguous_timestamp(time)
        .disambiguate(Disambiguation::Earlier)
        .map_err(|_| OUT_OF_RANGE)?;
    Ok(instant.as_second() - zone_offset.unwrap_or(0))
}

/// A part of one to four digits within its bounds.
fn part(digits: &[u8], min: i16, max: i16) -> Result<i16, ValueError> {
    if digits.is_empty() || digits.len() > 4 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(EXPECTED);
    }
    let value = digits
        .iter()
        .fold(0, |value, digit| value * 10 + i16::from(digit - b'0'));
    if (min..=max).contains(&value) {
        Ok(value)
    } else {
        Err(EXPECTED)
    }
}
