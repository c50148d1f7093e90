//! Calendar and time zones: what dates, times and their text need.

use jiff::tz::{Disambiguation, TimeZone};
use jiff::{Timestamp, civil};
use types::DataType;

use super::{Call, Inputs};
use crate::error::{EvalReason, Failure, KeyReason, Refusal};
use crate::integers::Words;

/// Seconds of a day.
pub(super) const DAY: i64 = 86_400;

/// ClickHouse's calendar: 1900-01-01 to 2299-12-31, in days since 1970. Beyond, it answers by the nearest
/// day; here such a row is an error, for no sound clock writes it.
const CALENDAR_DAYS: std::ops::RangeInclusive<i64> = -25_567..=120_529;

/// A DateTime64 has 10^precision ticks a second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticks {
    pub per_second: i64,
}

/// The ticks of a precision, which ClickHouse allows up to 9.
pub(super) fn ticks_of(precision: u8) -> Option<Ticks> {
    (precision <= 9).then(|| Ticks {
        per_second: 10_i64.pow(u32::from(precision)),
    })
}

impl Ticks {
    /// Seconds without their fraction, towards 1970.
    pub fn truncated(self, ticks: i64) -> i64 {
        ticks / self.per_second
    }

    /// The second that the ticks lie in.
    pub fn floored(self, ticks: i64) -> i64 {
        ticks.div_euclid(self.per_second)
    }
}

/// A day of the proleptic Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Day {
    pub year: i64,
    pub month: i64,
    pub day: i64,
}

impl Day {
    /// The day so many days after 1970-01-01, within ClickHouse's calendar.
    pub fn of(days: i64) -> Result<Self, EvalReason> {
        if !CALENDAR_DAYS.contains(&days) {
            return Err(EvalReason::TimeRange);
        }
        // Years from March on, so that the leap day is the last of a year; 719,468 days lie before 1970 from
        // 0000-03-01.
        let days = days + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        Ok(Self { year, month, day })
    }
}

/// The time zone in which a call shows its first argument: that of its second argument, of the column, of the
/// servers.
pub(super) fn zone_of(call: &Call<'_>) -> Result<TimeZone, Refusal> {
    let own = match call.arguments[0].data_type {
        DataType::DateTime(zone) | DataType::DateTime64(_, zone) => zone.as_deref(),
        _ => None,
    };
    let given = if call.arguments.len() > 1 {
        Some(call.constant_text(1)?)
    } else {
        None
    };
    match given.as_deref().or(own) {
        Some(name) => zone_named(call, name),
        None => zone_named(call, zone_of_server(call)?),
    }
}

/// The servers' time zone, where it is known.
pub(super) fn zone_of_server<'a>(call: &Call<'a>) -> Result<&'a str, Refusal> {
    call.zone.ok_or_else(|| {
        call.refuse(KeyReason::ZoneNeeded {
            function: call.function.name,
        })
    })
}

pub(super) fn zone_named(call: &Call<'_>, name: &str) -> Result<TimeZone, Refusal> {
    TimeZone::get(name).map_err(|_| {
        call.refuse(KeyReason::UnknownZone {
            name: name.to_owned(),
        })
    })
}

/// How many seconds a zone is ahead of UTC at a moment.
pub(super) fn offset_at(zone: &TimeZone, seconds: i64) -> Result<i64, EvalReason> {
    let moment = Timestamp::from_second(seconds).map_err(|_| EvalReason::TimeRange)?;
    Ok(i64::from(zone.to_offset(moment).seconds()))
}

/// The moment at which a zone's clock shows so many seconds of a day. Where it shows them twice, or skips them, the
/// earlier moment that one can mean, as in ClickHouse.
pub(super) fn at_clock(zone: &TimeZone, days: i64, seconds: i64) -> Result<i64, EvalReason> {
    let part = |number: i64| i8::try_from(number).map_err(|_| EvalReason::TimeRange);
    let Day { year, month, day } = Day::of(days)?;
    let year = i16::try_from(year).map_err(|_| EvalReason::TimeRange)?;
    let date = civil::Date::new(year, part(month)?, part(day)?);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let time = civil::Time::new(part(hour)?, part(minute)?, part(second)?, 0);
    let (Ok(date), Ok(time)) = (date, time) else {
        return Err(EvalReason::TimeRange);
    };
    let moment = zone.to_ambiguous_timestamp(date.to_datetime(time));
    let moment = moment.disambiguate(Disambiguation::Earlier);
    moment
        .map(Timestamp::as_second)
        .map_err(|_| EvalReason::TimeRange)
}

/// Applies a fallible operation to the numbers of the first argument, but where the result is NULL anyway.
pub(super) fn map_first(
    inputs: &Inputs<'_>,
    operation: impl Fn(i64) -> Result<i64, EvalReason>,
) -> Result<Vec<u64>, Failure> {
    let words = Words::of(&inputs.values[0])?;
    words.try_zip(&words, inputs.rows, |row, word, _| {
        if inputs.is_null(row) {
            return Ok(0);
        }
        operation(word.cast_signed())
            .map(i64::cast_unsigned)
            .map_err(|reason| Failure::at(row, reason))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(days: i64, year: i64, month: i64, day: i64) {
        assert_eq!(Day::of(days), Ok(Day { year, month, day }));
    }

    #[test]
    fn days_have_dates() {
        check(0, 1970, 1, 1);
        check(-1, 1969, 12, 31);
        check(11_016, 2000, 2, 29);
        check(-25_567, 1900, 1, 1);
        check(120_529, 2299, 12, 31);
        assert_eq!(Day::of(-25_568), Err(EvalReason::TimeRange));
        assert_eq!(Day::of(i64::MAX), Err(EvalReason::TimeRange));
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut before = Day::of(-25_567).unwrap();
        for days in -25_566..=120_529 {
            let day = Day::of(days).unwrap();
            let next_day = day.day == before.day + 1 && (day.month, day.year) == (before.month, before.year);
            let next_month = day.day == 1 && before.day >= 28;
            assert!(next_day || next_month, "{before:?} {day:?}");
            before = day;
        }
    }
}
