//! Times rounded down to an interval: toStartOfInterval, dateTrunc, toStartOfSecond, toStartOfWeek.
//!
//! ClickHouse rounds seconds and minutes on the line of time, hours from the day's midnight, days and weeks from 1970,
//! months and years in the calendar. Before 1970 its roundings differ from each other; such a row is refused.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use types::{Data, DataType};

use super::calendar::days_of;
use super::date::{Moment, midnight};
use super::interval::{Unit, packed, zone_of_type};
use super::time::{DAY, Day, map_first, offset_at, ticks_of, zone_named};
use super::{Bound, Call, Function};
use crate::error::{EvalReason, KeyReason, Refusal};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("toStartOfInterval", bind_interval)
        .with_arguments(2, 3)
        .with_intervals(),
    trunc("dateTrunc"),
    trunc("date_trunc"),
    Function::new("toStartOfSecond", bind_second).with_arguments(1, 2),
    // A second argument would say on which day weeks begin.
    Function::new("toStartOfWeek", bind_week),
];

const fn trunc(name: &'static str) -> Function {
    Function {
        any_case: true,
        ..Function::new(name, bind_trunc).with_arguments(2, 3)
    }
}

/// What a time is rounded down to: so many of a unit.
#[derive(Debug, Clone, Copy)]
struct Step {
    unit: Unit,
    count: i64,
}

/// toStartOfInterval(t, interval): a Date from weeks on, a DateTime below.
fn bind_interval(call: &Call<'_>) -> Result<Bound, Refusal> {
    let unit = Unit::of(call.arguments[1].data_type).ok_or_else(|| call.illegal(1))?;
    let count = match call.arguments[1].constant.map(|column| &column.data) {
        Some(Data::Int64(counts)) => counts.first().copied(),
        _ => None,
    };
    let count = count.filter(|count| (1..=1_000_000).contains(count));
    let step = Step {
        unit,
        count: count.ok_or_else(|| call.illegal(1))?,
    };
    bound(call, 0, step, false)
}

/// dateTrunc('unit', t): of Date32 and DateTime64 types as wide as theirs.
fn bind_trunc(call: &Call<'_>) -> Result<Bound, Refusal> {
    let unit = Unit::named(&call.constant_text(0)?);
    let unit = unit.ok_or_else(|| call.refuse(KeyReason::Constant(EvalReason::NotAValue)))?;
    let is_wide = matches!(
        call.arguments[1].data_type,
        DataType::Date32 | DataType::DateTime64(..)
    );
    bound(call, 1, Step { unit, count: 1 }, is_wide)
}

fn bind_second(call: &Call<'_>) -> Result<Bound, Refusal> {
    let DataType::DateTime64(precision, own) = call.arguments[0].data_type else {
        return Err(call.illegal(0));
    };
    let ticks = ticks_of(*precision).ok_or_else(|| call.illegal(0))?;
    let zone = match call.arguments.len() {
        1 => own.clone(),
        _ => Some(call.constant_text(1)?),
    };
    zone.as_deref().map(|name| zone_named(call, name)).transpose()?;
    let data_type = DataType::DateTime64(*precision, zone);
    let result = data_type.clone();
    Ok(Bound::new(data_type, move |inputs| {
        let starts = map_first(inputs, |moment| {
            (ticks.floored(moment))
                .checked_mul(ticks.per_second)
                .ok_or(EvalReason::TimeOverflow)
        })?;
        packed(&result, starts)
    }))
}

/// The Sunday before.
fn bind_week(call: &Call<'_>) -> Result<Bound, Refusal> {
    let kind = Moment::of(call)?;
    let zone = kind.zone(call)?;
    Ok(Bound::new(DataType::Date, move |inputs| {
        let starts = map_first(inputs, |moment| {
            let day = match kind {
                Moment::Days => moment,
                Moment::Seconds => day_at(&zone, moment)?,
                Moment::Ticks(ticks) => day_at(&zone, ticks.floored(moment))?,
            };
            after_1970(Day::of(day).map(|_| day - (day + 4).rem_euclid(7))?)
        })?;
        packed(&DataType::Date, starts)
    }))
}

fn day_at(zone: &TimeZone, seconds: i64) -> Result<i64, EvalReason> {
    Ok((seconds + offset_at(zone, seconds)?).div_euclid(DAY))
}

fn after_1970(number: i64) -> Result<i64, EvalReason> {
    if number >= 0 {
        Ok(number)
    } else {
        Err(EvalReason::Unsure)
    }
}

/// The time at a place among the arguments, rounded; a zone may stand behind all others.
fn bound(call: &Call<'_>, place: usize, step: Step, is_wide: bool) -> Result<Bound, Refusal> {
    let from = call.arguments[place].data_type;
    let named = match call.arguments.len() {
        3 => Some(call.constant_text(2)?),
        _ => None,
    };
    let is_time = matches!(from, DataType::DateTime(_) | DataType::DateTime64(..));
    if named.is_some() && !is_time {
        return Err(call.illegal(2));
    }
    let to = type_of_start(from, step.unit, named.as_deref(), is_wide).ok_or_else(|| call.illegal(place))?;
    let is_by_days = matches!(to, DataType::Date | DataType::Date32) && !is_time;
    let zone = match &named {
        Some(name) => zone_named(call, name)?,
        None if is_by_days => TimeZone::UTC,
        None => zone_of_type(call, from)?,
    };
    let per_second = match from {
        DataType::DateTime64(precision, _) => {
            ticks_of(*precision)
                .ok_or_else(|| call.illegal(place))?
                .per_second
        }
        _ => 1,
    };
    let result = to.clone();
    let is_by_clock = step.is_odd_seconds() && !is_whole_hours(&zone);
    Ok(Bound::new(to, move |inputs| {
        let times = [super::Value {
            column: std::borrow::Cow::Borrowed(inputs.values[place].column.as_ref()),
            constant: inputs.values[place].constant,
        }];
        let only = super::Inputs {
            values: &times,
            nulls: inputs.nulls,
            rows: inputs.rows,
            random: &mut *inputs.random,
            context: inputs.context,
        };
        let starts = map_first(&only, |moment| {
            let moment = after_1970(moment)?;
            match step.unit {
                Unit::Ticks(precision) => step.start_of_ticks(moment, per_second, precision),
                Unit::Seconds(unit) if is_by_clock => {
                    start_of_hours(&zone, moment / per_second, unit * step.count)
                }
                _ if is_time => step.start(&zone, moment / per_second),
                _ => step.start_of_day(&zone, moment),
            }
        })?;
        packed(&result, starts)
    }))
}

fn type_of_start(from: &DataType, unit: Unit, named: Option<&str>, is_wide: bool) -> Option<DataType> {
    use DataType as T;
    let zone = match from {
        T::DateTime(zone) | T::DateTime64(_, zone) => named.map(str::to_owned).or_else(|| zone.clone()),
        T::Date | T::Date32 => None,
        _ => return None,
    };
    let is_time = matches!(from, T::DateTime(_) | T::DateTime64(..));
    match unit {
        Unit::Ticks(precision) => matches!(from, T::DateTime64(..)).then_some(T::DateTime64(precision, zone)),
        Unit::Seconds(_) if !is_time => None,
        Unit::Seconds(_) | Unit::Days(1) if is_wide => Some(T::DateTime64(0, zone)),
        Unit::Seconds(_) | Unit::Days(1) => Some(T::DateTime(zone)),
        Unit::Days(_) | Unit::Months(_) if is_wide => Some(T::Date32),
        Unit::Days(_) | Unit::Months(_) => Some(T::Date),
    }
}

/// Whether a zone was ever since 1970 ahead of UTC by a part of an hour: ClickHouse then rounds odd seconds by the clock.
fn is_whole_hours(zone: &TimeZone) -> bool {
    const HALF_A_YEAR: i64 = 183 * DAY;
    let mut moments = (0..136).map(|half| half * HALF_A_YEAR);
    moments.all(|moment| offset_at(zone, moment).is_ok_and(|offset| offset % 3_600 == 0))
}

impl Step {
    /// Whether it is a number of seconds that is no number of minutes.
    fn is_odd_seconds(self) -> bool {
        matches!(self.unit, Unit::Seconds(unit) if unit * self.count % 60 != 0)
    }

    fn start_of_ticks(self, moment: i64, per_second: i64, precision: u8) -> Result<i64, EvalReason> {
        let of_unit = ticks_of(precision).map_or(1, |ticks| ticks.per_second);
        let moment = i128::from(moment) * i128::from(of_unit) / i128::from(per_second);
        let start = moment - moment.rem_euclid(i128::from(self.count));
        i64::try_from(start).map_err(|_| EvalReason::TimeOverflow)
    }

    fn start(self, zone: &TimeZone, seconds: i64) -> Result<i64, EvalReason> {
        match self.unit {
            Unit::Seconds(unit) if unit < 3_600 => start_on_the_line(zone, seconds, unit * self.count),
            Unit::Seconds(unit) => start_of_hours(zone, seconds, unit * self.count),
            _ => self.start_of_day(zone, after_1970(day_at(zone, seconds)?)?),
        }
    }

    /// Of days from 1970.
    fn start_of_day(self, zone: &TimeZone, day: i64) -> Result<i64, EvalReason> {
        match self.unit {
            Unit::Days(1) => midnight(zone, day - day % self.count),
            // 1970-01-05 was a Monday.
            Unit::Days(days) if self.count == 1 => after_1970(day - (day - 4).rem_euclid(days)),
            Unit::Days(days) => {
                let days = days * self.count;
                Ok(4 + after_1970(day - 4)? / days * days)
            }
            Unit::Months(months) => {
                let Day { year, month, .. } = Day::of(day)?;
                let months = months * self.count;
                // Years are counted from 0, months from 1900.
                let start = if self.unit == Unit::Months(12) {
                    year / self.count * self.count * 12
                } else {
                    let since_1900 = (year - 1900) * 12 + month - 1;
                    1900 * 12 + since_1900 / months * months
                };
                after_1970(days_of(start / 12, start % 12 + 1))
            }
            Unit::Ticks(_) | Unit::Seconds(_) => Err(EvalReason::Unsure),
        }
    }
}

/// Rounded on the line of time, where the zone is whole minutes ahead.
fn start_on_the_line(zone: &TimeZone, seconds: i64, unit: i64) -> Result<i64, EvalReason> {
    if unit % 60 == 0 && offset_at(zone, seconds)? % 60 != 0 {
        return Err(EvalReason::Unsure);
    }
    Ok(seconds - seconds % unit)
}

/// Rounded from the midnight of the day, by the clock: behind a change of the clock by what it shows then, but not to
/// before the change.
fn start_of_hours(zone: &TimeZone, seconds: i64, unit: i64) -> Result<i64, EvalReason> {
    let midnight = midnight(zone, day_at(zone, seconds)?)?;
    let changed_by = offset_at(zone, seconds)? - offset_at(zone, midnight)?;
    if changed_by == 0 {
        let elapsed = seconds - midnight;
        return Ok(midnight + elapsed / unit * unit);
    }
    if changed_by % 3_600 != 0 {
        return Err(EvalReason::Unsure);
    }
    if unit == 3_600 {
        return Ok(seconds - (seconds + offset_at(zone, seconds)?) % unit);
    }
    let moment = Timestamp::from_second(seconds + 1).map_err(|_| EvalReason::TimeRange)?;
    let change = zone.preceding(moment).next().ok_or(EvalReason::Unsure)?;
    let change = change.timestamp().as_second() - midnight;
    let shown = (seconds - midnight + changed_by) / unit * unit;
    if shown < change {
        return Ok(midnight + shown);
    }
    Ok(midnight + (shown - changed_by).max(change))
}

#[cfg(test)]
mod tests {
    use super::super::time::at_clock;
    use super::*;

    #[test]
    fn hours_are_rounded_by_the_clock_that_changed() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        // 2024-03-31 05:30 is 4.5 hours behind midnight.
        let midnight = at_clock(&zone, 19_813, 0).unwrap();
        let start = start_of_hours(&zone, midnight + 16_200, 7_200).unwrap();
        assert_eq!(start, at_clock(&zone, 19_813, 4 * 3_600).unwrap());
    }
}
