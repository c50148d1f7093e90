//! toDate, toYYYYMM and toUnixTimestamp of dates and times.

use jiff::civil;
use jiff::tz::TimeZone;
use types::DataType;

use super::cast;
use super::number::whole_seconds;
use super::time::{DAY, Day, Ticks, map_first, offset_at, ticks_of, zone_of};
use super::{Bound, Call, Function};
use crate::error::{EvalReason, Refusal};
use crate::integers::{Integer, Words};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("toDate", to_date).with_arguments(1, 2),
    Function::new("toYYYYMM", to_year_month).with_arguments(1, 2),
    Function::new("toUnixTimestamp", to_unix_timestamp).with_arguments(1, 2),
];

const UINT16: Integer = Integer {
    bytes: 2,
    signed: false,
};
const UINT32: Integer = Integer {
    bytes: 4,
    signed: false,
};

/// The Date of a date, a time, or a text. Days beyond Date's 65,536 wrap around, as in ClickHouse.
pub(super) fn to_date(call: &Call<'_>) -> Result<Bound, Refusal> {
    if *call.arguments[0].data_type == DataType::String && call.arguments.len() == 1 {
        return cast::of_type(call, &DataType::Date);
    }
    let kind = Moment::of(call)?;
    let zone = kind.zone(call)?;
    Ok(Bound::new(DataType::Date, move |inputs| {
        let days = match kind {
            Moment::Days => Words::of(&inputs.values[0])?.map(inputs.rows, |days| days),
            // West of Greenwich a DateTime of 1970-01-01 lies in 1969, which ClickHouse makes 1970-01-01.
            Moment::Seconds => map_first(inputs, |moment| Ok(day_of(&zone, moment)?.max(0)))?,
            // Here ClickHouse drops the fraction, in toYYYYMM it takes the second that the moment lies in.
            Moment::Ticks(ticks) => map_first(inputs, |moment| day_of(&zone, ticks.truncated(moment)))?,
        };
        Ok(UINT16.narrow(days))
    }))
}

/// year * 100 + month.
fn to_year_month(call: &Call<'_>) -> Result<Bound, Refusal> {
    let kind = Moment::of(call)?;
    let zone = kind.zone(call)?;
    Ok(Bound::new(DataType::UInt32, move |inputs| {
        let months = map_first(inputs, |moment| {
            let days = match kind {
                Moment::Days => moment,
                Moment::Seconds => day_of(&zone, moment)?,
                Moment::Ticks(ticks) => day_of(&zone, ticks.floored(moment))?,
            };
            Day::of(days).map(|day| day.year * 100 + day.month)
        })?;
        Ok(UINT32.narrow(months))
    }))
}

/// Seconds since 1970; of a date, of its first moment in the zone. Beyond UInt32 a date wraps around and a
/// DateTime64 is an error, as in ClickHouse.
fn to_unix_timestamp(call: &Call<'_>) -> Result<Bound, Refusal> {
    match Moment::of(call)? {
        Moment::Ticks(ticks) => Ok(Bound::new(DataType::UInt32, move |inputs| {
            Ok(UINT32.narrow(whole_seconds(inputs, UINT32, ticks)?))
        })),
        Moment::Seconds => Ok(Bound::new(DataType::UInt32, |inputs| {
            Ok(UINT32.narrow(Words::of(&inputs.values[0])?.map(inputs.rows, |seconds| seconds)))
        })),
        Moment::Days => {
            let zone = zone_of(call)?;
            Ok(Bound::new(DataType::UInt32, move |inputs| {
                Ok(UINT32.narrow(map_first(inputs, |days| midnight(&zone, days))?))
            }))
        }
    }
}

/// How a date or time is counted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Moment {
    /// Days since 1970: Date and Date32.
    Days,
    /// Seconds since 1970: DateTime.
    Seconds,
    /// So many ticks a second since 1970: DateTime64.
    Ticks(Ticks),
}

impl Moment {
    pub(super) fn of(call: &Call<'_>) -> Result<Self, Refusal> {
        match call.arguments[0].data_type {
            DataType::Date | DataType::Date32 => Ok(Self::Days),
            DataType::DateTime(_) => Ok(Self::Seconds),
            DataType::DateTime64(precision, _) => ticks_of(*precision)
                .map(Self::Ticks)
                .ok_or_else(|| call.illegal(0)),
            _ => Err(call.illegal(0)),
        }
    }

    /// The zone that decides on which day a moment lies; for days none does.
    pub(super) fn zone(self, call: &Call<'_>) -> Result<TimeZone, Refusal> {
        match self {
            Self::Days => Ok(TimeZone::UTC),
            Self::Seconds | Self::Ticks(_) => zone_of(call),
        }
    }
}

/// The day of a moment in a zone.
fn day_of(zone: &TimeZone, seconds: i64) -> Result<i64, EvalReason> {
    Ok((seconds + offset_at(zone, seconds)?).div_euclid(DAY))
}

/// The first second of a day in a zone.
pub(super) fn midnight(zone: &TimeZone, days: i64) -> Result<i64, EvalReason> {
    let day = Day::of(days)?;
    let part = |number: i64| i8::try_from(number).map_err(|_| EvalReason::TimeRange);
    let year = i16::try_from(day.year).map_err(|_| EvalReason::TimeRange)?;
    let date = civil::Date::new(year, part(day.month)?, part(day.day)?).map_err(|_| EvalReason::TimeRange)?;
    let moment = date.to_zoned(zone.clone()).map_err(|_| EvalReason::TimeRange)?;
    Ok(moment.timestamp().as_second())
}
