//! Dates and times: text ↔ days and ticks. Stricter than ClickHouse, which takes month 13 for something.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use crate::error::{Outcome, code};

/// 1900-01-01, the smallest Date32 and its default, in days since 1970-01-01.
pub(crate) const DATE32_MIN_DAYS: i128 = -25_567;
/// 2299-12-31, the largest Date32.
const DATE32_MAX_DAYS: i128 = 120_529;
/// From the year 1 to the last second that `jiff` can place in every zone, late in 9999.
const WRITABLE_SECONDS: std::ops::RangeInclusive<i128> = -62_135_596_800..=253_402_207_199;
const EPOCH: Date = Date::constant(1970, 1, 1);
const SECONDS_A_DAY: i64 = 86_400;

/// The zone of a DateTime; without a name the shard's own, which is UTC.
pub(crate) fn time_zone(name: Option<&str>) -> Outcome<TimeZone> {
    match name {
        None | Some("UTC") => Ok(TimeZone::UTC),
        Some(name) => TimeZone::get(name)
            .map_err(|_| code::BAD_ARGUMENTS.error(format_args!("unknown time zone {name}"))),
    }
}

/// `YYYY-MM-DD` or `YYYYMMDD` as days since 1970-01-01.
pub(crate) fn parse_date(text: &str) -> Option<i128> {
    civil_date(text).map(days)
}

/// Whether a Date32 can be that many days.
pub(crate) fn is_date32(days: i128) -> bool {
    (DATE32_MIN_DAYS..=DATE32_MAX_DAYS).contains(&days)
}

/// Days since 1970-01-01 as `YYYY-MM-DD`; `None` outside the calendar.
pub(crate) fn date_text(days: i128) -> Option<String> {
    let hours = i64::try_from(days).ok()?.checked_mul(24)?;
    EPOCH
        .checked_add(SignedDuration::from_hours(hours))
        .ok()
        .map(|date| date.to_string())
}

/// A time as ticks of 10^-`digits` seconds since 1970.
///
/// Read are `YYYY-MM-DD[ hh:mm[:ss[.fraction]]][Z]` (a `T` may part date and time), and seconds since 1970
/// from five digits on; `offsets` (date_time_input_format = best_effort) also reads `±hh:mm` behind the time.
/// Digits of the fraction that the type has no room for are dropped, as ClickHouse drops them.
pub(crate) fn parse_date_time(text: &str, zone: &TimeZone, digits: u8, offsets: bool) -> Option<i128> {
    if !text.is_ascii() {
        return None; // and below, offsets into the text may be counted
    }
    let (whole, fraction) = split_fraction(text);
    let (fraction, behind) = fraction.split_at(fraction.bytes().take_while(u8::is_ascii_digit).count());
    let seconds = match whole.parse::<i64>() {
        Ok(seconds) if whole.trim_start_matches('-').len() >= 5 && behind.is_empty() => seconds,
        _ => {
            let (whole, zone) = match behind {
                "" => split_zone(whole, zone, offsets)?,
                _ => (
                    whole,
                    split_zone(behind, zone, offsets)
                        .filter(|(rest, _)| rest.is_empty())?
                        .1,
                ),
            };
            zone.to_timestamp(civil_date_time(whole)?).ok()?.as_second()
        }
    };
    if digits == 0 && !fraction.is_empty() {
        return None;
    }
    let ticks = fraction_ticks(fraction, digits);
    Some(
        i128::from(seconds) * 10_i128.pow(digits.into()) + if text.starts_with('-') { -ticks } else { ticks },
    )
}

/// Ticks since 1970 as `YYYY-MM-DD hh:mm:ss[.fraction]` in the zone; `None` outside the calendar.
pub(crate) fn date_time_text(ticks: i128, zone: &TimeZone, digits: u8) -> Option<String> {
    let a_second = 10_i128.pow(digits.into());
    let seconds = i64::try_from(ticks.div_euclid(a_second)).ok()?;
    let civil = zone.to_datetime(Timestamp::from_second(seconds).ok()?);
    let text = format!("{} {}", civil.date(), civil.time());
    Some(match digits {
        0 => text,
        _ => format!(
            "{text}.{:0width$}",
            ticks.rem_euclid(a_second),
            width = digits.into()
        ),
    })
}

/// Whether a DateTime64 of that many ticks can be written.
pub(crate) fn is_in_calendar(ticks: i128, digits: u8) -> bool {
    WRITABLE_SECONDS.contains(&ticks.div_euclid(10_i128.pow(digits.into())))
}

/// Days since 1970-01-01 of a moment in UTC, for `today()`.
pub(crate) fn utc_day(seconds: i64) -> i64 {
    seconds.div_euclid(SECONDS_A_DAY)
}

fn days(date: Date) -> i128 {
    i128::from(date.duration_since(EPOCH).as_secs() / SECONDS_A_DAY)
}

fn civil_date(text: &str) -> Option<Date> {
    let (year, month, day) = match text.len() {
        10 if text.is_ascii() && &text[4..5] == "-" && &text[7..8] == "-" => {
            (&text[..4], &text[5..7], &text[8..])
        }
        8 if text.is_ascii() => (&text[..4], &text[4..6], &text[6..]),
        _ => return None,
    };
    Date::new(number(year)?, number(month)? as i8, number(day)? as i8).ok()
}

fn civil_date_time(text: &str) -> Option<DateTime> {
    let Some((date, time)) = text.split_once([' ', 'T']) else {
        return Some(civil_date(text)?.to_datetime(Time::midnight()));
    };
    let mut parts = time
        .split(':')
        .map(|part| number(part).filter(|_| part.len() == 2));
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next().unwrap_or(Some(0))?;
    if parts.next().is_some() {
        return None;
    }
    Some(civil_date(date)?.to_datetime(Time::new(hour as i8, minute as i8, second as i8, 0).ok()?))
}

/// A number of up to four digits and nothing else.
fn number(text: &str) -> Option<i16> {
    let digits = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

fn split_fraction(text: &str) -> (&str, &str) {
    text.split_once('.').unwrap_or((text, ""))
}

/// Parts a `Z` or an offset from the end of a time.
fn split_zone<'a>(text: &'a str, zone: &TimeZone, offsets: bool) -> Option<(&'a str, TimeZone)> {
    if let Some(rest) = text.strip_suffix('Z') {
        return Some((rest, TimeZone::UTC));
    }
    let sign = text
        .rfind(['+', '-'])
        .filter(|at| text.len() - at == 6 && &text[at + 3..at + 4] == ":");
    let Some(at) = sign else {
        return Some((text, zone.clone()));
    };
    if !offsets {
        return None;
    }
    let minutes = i32::from(number(&text[at + 1..at + 3])?) * 60 + i32::from(number(&text[at + 4..])?);
    let seconds = if text[at..].starts_with('-') {
        -60 * minutes
    } else {
        60 * minutes
    };
    Some((&text[..at], TimeZone::fixed(Offset::from_seconds(seconds).ok()?)))
}

fn fraction_ticks(fraction: &str, digits: u8) -> i128 {
    let padded = fraction
        .bytes()
        .chain(std::iter::repeat(b'0'))
        .take(digits.into());
    padded.fold(0, |ticks, digit| ticks * 10 + i128::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reads(text: &str, zone: &str, digits: u8, written: &str) {
        let zone = time_zone(Some(zone)).unwrap();
        let ticks = parse_date_time(text, &zone, digits, true).unwrap();
        assert_eq!(date_time_text(ticks, &zone, digits).unwrap(), written);
    }

    #[test]
    fn a_time_is_read_in_every_accepted_form_and_written_in_one() {
        reads("2020-01-02 03:04:05", "UTC", 0, "2020-01-02 03:04:05");
        reads("2020-01-02T03:04:05Z", "UTC", 0, "2020-01-02 03:04:05");
        reads("2020-01-02 03:04", "UTC", 0, "2020-01-02 03:04:00");
        reads("2020-01-02", "UTC", 0, "2020-01-02 00:00:00");
        reads("1577934245", "UTC", 0, "2020-01-02 03:04:05");
        reads("2020-01-02T03:04:05+02:00", "UTC", 0, "2020-01-02 01:04:05");
        reads("2020-01-02T03:04:05Z", "Asia/Shanghai", 0, "2020-01-02 11:04:05");
        reads(
            "2020-01-02 03:04:05",
            "Asia/Shanghai",
            3,
            "2020-01-02 03:04:05.000",
        );
        reads("2020-01-02 03:04:05.123456", "UTC", 3, "2020-01-02 03:04:05.123");
        reads("2020-01-02T03:04:05.1-01:30", "UTC", 3, "2020-01-02 04:34:05.100");
        reads("1900-01-01 00:00:00.25", "UTC", 2, "1900-01-01 00:00:00.25");
        reads("1577934245.5", "UTC", 1, "2020-01-02 03:04:05.5");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "x",
            "2020-13-01",
            "2020-01-02 25:00:00",
            "2020-01-02 03:04:05:06",
            "2020-01-02 3:4",
            "12é4-01-02",
        ] {
            assert_eq!(parse_date_time(text, &TimeZone::UTC, 0, true), None, "{text}");
        }
        assert_eq!(
            parse_date_time("2020-01-02 03:04:05.5", &TimeZone::UTC, 0, true),
            None
        );
        assert_eq!(
            parse_date_time("2020-01-02T03:04:05+02:00", &TimeZone::UTC, 0, false),
            None
        );
        assert!(time_zone(Some("Mars/Olympus")).is_err());
    }

    #[test]
    fn days_follow_the_calendar() {
        assert_eq!(parse_date("1970-01-01"), Some(0));
        assert_eq!(parse_date("20200229"), Some(18_321));
        assert_eq!(parse_date("1900-01-01"), Some(DATE32_MIN_DAYS));
        assert_eq!(parse_date("2299-12-31"), Some(DATE32_MAX_DAYS));
        assert_eq!(parse_date("2021-02-29"), None);
        assert_eq!(date_text(18_321).as_deref(), Some("2020-02-29"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "[0-9TZ:.+é -]{0,28}") {
            let _ = parse_date_time(&text, &TimeZone::UTC, 3, true);
        }
    }
}
