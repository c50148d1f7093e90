//! The parts of a day and of a time, and what a time is rounded to.

use jiff::tz::TimeZone;
use types::{Data, DataType};

use super::date::{Moment, midnight};
use super::time::{DAY, Day, map_first, offset_at, zone_of};
use super::{Bound, Call, Function, Inputs};
use crate::error::{EvalReason, Failure, Refusal};
use crate::integers::Integer;

/// 2299-12-31, the calendar's last day.
const LAST_DAY: i64 = 120_529;

/// A number that a day has.
type OfDay = fn(Day, i64) -> i64;

pub(super) const FUNCTIONS: &[Function] = &[
    of_day("toYear", |call| bind_day(call, 2, |day, _| day.year)),
    of_day("toMonth", |call| bind_day(call, 1, |day, _| day.month)),
    of_day("toDayOfMonth", |call| bind_day(call, 1, |day, _| day.day)),
    of_day("toQuarter", |call| {
        bind_day(call, 1, |day, _| (day.month + 2) / 3)
    }),
    // A second argument would say how days are counted.
    of_day("toDayOfWeek", |call| {
        bind_day(call, 1, |_, days| (days + 3).rem_euclid(7) + 1)
    })
    .with_arguments(1, 1),
    of_day("toDayOfYear", |call| {
        bind_day(call, 2, |day, days| days - days_of(day.year, 1) + 1)
    }),
    of_day("toYYYYMMDD", |call| {
        bind_day(call, 4, |day, _| day.year * 10_000 + day.month * 100 + day.day)
    }),
    of_day("toRelativeDayNum", bind_relative_day),
    of_day("toRelativeMonthNum", |call| {
        bind_day(call, 4, |day, _| day.year * 12 + day.month)
    }),
    of_day("toRelativeYearNum", |call| bind_day(call, 2, |day, _| day.year)),
    of_day("toStartOfYear", |call| {
        bind_start(call, |day, _| days_of(day.year, 1))
    }),
    of_day("toStartOfQuarter", |call| {
        bind_start(call, |day, _| days_of(day.year, (day.month - 1) / 3 * 3 + 1))
    }),
    of_day("toStartOfMonth", |call| {
        bind_start(call, |day, days| days - day.day + 1)
    }),
    of_day("toMonday", |call| {
        bind_start(call, |_, days| days - (days + 3).rem_euclid(7))
    }),
    of_time("toHour", |call| bind_clock(call, 1, |of_day| of_day / 3_600)),
    of_time("toMinute", |call| bind_clock(call, 1, |of_day| of_day / 60 % 60)),
    of_time("toSecond", |call| bind_clock(call, 1, |of_day| of_day % 60)),
    of_time("toStartOfDay", |call| bind_floor(call, DAY)),
    of_time("toStartOfHour", |call| bind_floor(call, 3_600)),
    of_time("toStartOfFifteenMinutes", |call| bind_floor(call, 900)),
    of_time("toStartOfTenMinutes", |call| bind_floor(call, 600)),
    of_time("toStartOfFiveMinutes", |call| bind_floor(call, 300)),
    of_time("toStartOfFiveMinute", |call| bind_floor(call, 300)),
    of_time("toStartOfMinute", |call| bind_floor(call, 60)),
];

const fn of_day(name: &'static str, bind: fn(&Call<'_>) -> Result<Bound, Refusal>) -> Function {
    Function::new(name, bind).with_arguments(1, 2)
}

const fn of_time(name: &'static str, bind: fn(&Call<'_>) -> Result<Bound, Refusal>) -> Function {
    Function::new(name, bind).with_arguments(1, 2)
}

/// Days from 1970 to the first of a month, within the calendar.
pub(super) fn days_of(year: i64, month: i64) -> i64 {
    // Years begin in March here, so that the leap day is the last of a year.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * month + 2) / 5;
    era * 146_097 + day_of_era - 719_468
}

/// The local seconds of a call's first argument: of a date its midnight.
fn local(kind: Moment, zone: &TimeZone, moment: i64) -> Result<i64, EvalReason> {
    let seconds = match kind {
        Moment::Days => return moment.checked_mul(DAY).ok_or(EvalReason::TimeRange),
        Moment::Seconds => moment,
        Moment::Ticks(ticks) => ticks.floored(moment),
    };
    Ok(seconds + offset_at(zone, seconds)?)
}

/// The days since 1970, none before; behind Date's last day types differ in what they answer.
fn bind_relative_day(call: &Call<'_>) -> Result<Bound, Refusal> {
    let kind = Moment::of(call)?;
    let zone = kind.zone(call)?;
    Ok(Bound::new(DataType::UInt32, move |inputs| {
        let days = map_first(inputs, |moment| {
            match local(kind, &zone, moment)?.div_euclid(DAY) {
                65_536.. => Err(EvalReason::Unsure),
                days => Ok(days.max(0)),
            }
        })?;
        Ok(Data::UInt32(days.into_iter().map(|days| days as u32).collect()))
    }))
}

fn bind_day(call: &Call<'_>, bytes: u8, of_day: OfDay) -> Result<Bound, Refusal> {
    let kind = Moment::of(call)?;
    let zone = kind.zone(call)?;
    let result = Integer { bytes, signed: false };
    Ok(Bound::new(result.data_type(), move |inputs| {
        let numbers = map_first(inputs, |moment| {
            let days = local(kind, &zone, moment)?.div_euclid(DAY);
            // On the calendar's last day ClickHouse's tables are off by one in places.
            if days == LAST_DAY {
                return Err(EvalReason::Unsure);
            }
            Ok(of_day(Day::of(days)?, days))
        })?;
        Ok(result.narrow(numbers))
    }))
}

/// The first day of a month, year or week, as a Date.
fn bind_start(call: &Call<'_>, of_day: OfDay) -> Result<Bound, Refusal> {
    let kind = Moment::of(call)?;
    let zone = kind.zone(call)?;
    Ok(Bound::new(DataType::Date, move |inputs| {
        let days = map_first(inputs, |moment| {
            let days = local(kind, &zone, moment)?.div_euclid(DAY);
            let start = of_day(Day::of(days)?, days);
            // Before 1970 there is no Date; behind 2149 a day would wrap around.
            u16::try_from(start.max(0))
                .map(i64::from)
                .map_err(|_| EvalReason::TimeRange)
        })?;
        Ok(Data::UInt16(days.into_iter().map(|days| days as u16).collect()))
    }))
}

fn bind_clock(call: &Call<'_>, bytes: u8, part: fn(i64) -> i64) -> Result<Bound, Refusal> {
    let kind = Moment::of(call)?;
    if matches!(kind, Moment::Days) {
        return Err(call.illegal(0));
    }
    let zone = kind.zone(call)?;
    let result = Integer { bytes, signed: false };
    Ok(Bound::new(result.data_type(), move |inputs| {
        let numbers = map_first(inputs, |moment| {
            Ok(part(local(kind, &zone, moment)?.rem_euclid(DAY)))
        })?;
        Ok(result.narrow(numbers))
    }))
}

/// A time rounded down to so many seconds of the local clock, as a DateTime; of a date its midnight.
fn bind_floor(call: &Call<'_>, unit: i64) -> Result<Bound, Refusal> {
    let kind = Moment::of(call)?;
    if matches!(kind, Moment::Days) && (unit != DAY || call.arguments.len() > 1) {
        return Err(call.illegal(0));
    }
    let zone = zone_of(call)?;
    let own = match (call.arguments.len(), call.arguments[0].data_type) {
        (1, DataType::DateTime(own) | DataType::DateTime64(_, own)) => own.clone(),
        (1, _) => None,
        _ => Some(call.constant_text(1)?),
    };
    Ok(Bound::new(
        DataType::DateTime(own),
        move |inputs: &mut Inputs<'_>| {
            let starts = map_first(inputs, |moment| {
                let seconds = match kind {
                    Moment::Days => return midnight(&zone, moment),
                    Moment::Seconds => moment,
                    Moment::Ticks(ticks) => ticks.floored(moment),
                };
                if unit == DAY {
                    let day = local(Moment::Seconds, &zone, seconds)?.div_euclid(DAY);
                    return midnight(&zone, day);
                }
                let offset = offset_at(&zone, seconds)?;
                let start = (seconds + offset).div_euclid(unit) * unit - offset;
                // A change of the clock in between would be a question of its own, and so are hours that it moved by half.
                let today = midnight(&zone, (seconds + offset).div_euclid(DAY))?;
                let is_odd = unit == 3_600 && (offset_at(&zone, today)? - offset) % unit != 0;
                if offset_at(&zone, start)? == offset && start >= 0 && !is_odd {
                    Ok(start)
                } else {
                    Err(EvalReason::Unsure)
                }
            })?;
            let seconds = starts.into_iter().map(u32::try_from).collect::<Result<_, _>>();
            seconds
                .map(Data::UInt32)
                .map_err(|_| Failure::at(0, EvalReason::TimeOverflow))
        },
    ))
}
