//! Intervals: `toIntervalDay(n)` and its like, and what a date or time becomes by one: `+`, `-`, addDays … subtractYears.
//!
//! DESCRIBE TABLE writes `now() + INTERVAL 1 DAY` and `dateAdd(day, 1, now())` as `now() + toIntervalDay(1)`.
//! The type of an interval is known by its name alone ([`Unit::data_type`]) and its numbers are Int64, so it lives only
//! between two functions here: no column holds one.

use jiff::tz::TimeZone;
use types::{Data, DataType};

use super::calendar::days_of;
use super::date::midnight;
use super::time::{DAY, Day, at_clock, offset_at, ticks_of, zone_named, zone_of_server};
use super::{Bound, Call, Function};
use crate::error::{EvalReason, Failure, Refusal};
use crate::integers::{Integer, Words};

/// The units by the names that types and functions have.
const UNITS: [(&str, Unit); 11] = [
    ("Nanosecond", Unit::Ticks(9)),
    ("Microsecond", Unit::Ticks(6)),
    ("Millisecond", Unit::Ticks(3)),
    ("Second", Unit::Seconds(1)),
    ("Minute", Unit::Seconds(60)),
    ("Hour", Unit::Seconds(3_600)),
    ("Day", Unit::Days(1)),
    ("Week", Unit::Days(7)),
    ("Month", Unit::Months(1)),
    ("Quarter", Unit::Months(3)),
    ("Year", Unit::Months(12)),
];

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("toIntervalNanosecond", bind_interval),
    Function::new("toIntervalMicrosecond", bind_interval),
    Function::new("toIntervalMillisecond", bind_interval),
    Function::new("toIntervalSecond", bind_interval),
    Function::new("toIntervalMinute", bind_interval),
    Function::new("toIntervalHour", bind_interval),
    Function::new("toIntervalDay", bind_interval),
    Function::new("toIntervalWeek", bind_interval),
    Function::new("toIntervalMonth", bind_interval),
    Function::new("toIntervalQuarter", bind_interval),
    Function::new("toIntervalYear", bind_interval),
    shift("addNanoseconds"),
    shift("addMicroseconds"),
    shift("addMilliseconds"),
    shift("addSeconds"),
    shift("addMinutes"),
    shift("addHours"),
    shift("addDays"),
    shift("addWeeks"),
    shift("addMonths"),
    shift("addQuarters"),
    shift("addYears"),
    shift("subtractNanoseconds"),
    shift("subtractMicroseconds"),
    shift("subtractMilliseconds"),
    shift("subtractSeconds"),
    shift("subtractMinutes"),
    shift("subtractHours"),
    shift("subtractDays"),
    shift("subtractWeeks"),
    shift("subtractMonths"),
    shift("subtractQuarters"),
    shift("subtractYears"),
];

const fn shift(name: &'static str) -> Function {
    Function::new(name, bind_shift).with_arguments(2, 2)
}

/// What an interval counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Ticks of a DateTime64 of this precision.
    Ticks(u8),
    /// So many seconds.
    Seconds(i64),
    /// So many days of the calendar.
    Days(i64),
    /// So many months.
    Months(i64),
}

impl Unit {
    /// The unit of a name in any case: `day`, `Day`.
    pub(super) fn named(name: &str) -> Option<Self> {
        let known = UNITS.iter().find(|(unit, _)| unit.eq_ignore_ascii_case(name));
        known.map(|(_, unit)| *unit)
    }

    /// The unit of an interval's type.
    pub(super) fn of(data_type: &DataType) -> Option<Self> {
        match data_type {
            DataType::Other(name) => Self::named(name.strip_prefix("Interval")?),
            _ => None,
        }
    }

    fn data_type(self) -> DataType {
        let name = UNITS
            .iter()
            .find(|(_, unit)| *unit == self)
            .map_or("", |(name, _)| *name);
        DataType::Other(format!("Interval{name}"))
    }
}

/// Whether a type is an interval.
pub(crate) fn is_interval(data_type: &DataType) -> bool {
    Unit::of(data_type.without_nullable()).is_some()
}

fn bind_interval(call: &Call<'_>) -> Result<Bound, Refusal> {
    let unit = call.function.name.strip_prefix("toInterval");
    let unit = unit.and_then(Unit::named).ok_or_else(|| call.illegal(0))?;
    Integer::of(call.arguments[0].data_type).ok_or_else(|| call.illegal(0))?;
    Ok(Bound::new(unit.data_type(), |inputs| {
        let counts = Words::of(&inputs.values[0])?.map(inputs.rows, |count| count);
        Ok(Data::Int64(counts.into_iter().map(u64::cast_signed).collect()))
    }))
}

/// addDays(t, n) and its like.
fn bind_shift(call: &Call<'_>) -> Result<Bound, Refusal> {
    let name = call.function.name.strip_suffix('s').unwrap_or_default();
    let (name, sign) = match name.strip_prefix("add") {
        Some(name) => (name, 1),
        None => (name.strip_prefix("subtract").unwrap_or_default(), -1),
    };
    let unit = Unit::named(name).ok_or_else(|| call.illegal(0))?;
    Integer::of(call.arguments[1].data_type).ok_or_else(|| call.illegal(1))?;
    shifted(call, 0, unit, sign)
}

/// `t + interval`, `interval + t`, `t - interval`; none where neither is an interval.
pub(super) fn bind_sum(call: &Call<'_>, sign: i64) -> Option<Result<Bound, Refusal>> {
    let unit = |place: usize| Unit::of(call.arguments[place].data_type);
    match (unit(0), unit(1)) {
        (None, None) => None,
        (None, Some(unit)) => Some(shifted(call, 0, unit, sign)),
        (Some(unit), None) if sign > 0 => Some(shifted(call, 1, unit, sign)),
        (Some(_), _) => Some(Err(call.illegal(0))),
    }
}

/// The negative of an interval; none of anything else.
pub(super) fn bind_negative(call: &Call<'_>) -> Option<Bound> {
    let unit = Unit::of(call.arguments[0].data_type)?;
    Some(Bound::new(unit.data_type(), |inputs| {
        let counts = Words::of(&inputs.values[0])?.map(inputs.rows, u64::wrapping_neg);
        Ok(Data::Int64(counts.into_iter().map(u64::cast_signed).collect()))
    }))
}

/// The time at a place of the call's two arguments, moved by so many units as the other one says.
fn shifted(call: &Call<'_>, place: usize, unit: Unit, sign: i64) -> Result<Bound, Refusal> {
    let from = call.arguments[place].data_type;
    let to = type_of_sum(from, unit).ok_or_else(|| call.illegal(place))?;
    let needs_zone = !matches!(
        (from, unit),
        (DataType::Date | DataType::Date32, Unit::Days(_) | Unit::Months(_))
            | (
                DataType::DateTime(_) | DataType::DateTime64(..),
                Unit::Ticks(_) | Unit::Seconds(_)
            )
    );
    let zone = if needs_zone {
        zone_of_type(call, from)?
    } else {
        TimeZone::UTC
    };
    let (scale, to_scale) = (Scale::of(from), Scale::of(&to));
    let result = to.clone();
    Ok(Bound::new(to, move |inputs| {
        let (times, counts) = (&inputs.values[place], &inputs.values[1 - place]);
        let (times, counts) = (Words::of(times)?, Words::of(counts)?);
        let moved = times.try_zip(&counts, inputs.rows, |row, time, count| {
            if inputs.is_null(row) {
                return Ok(0);
            }
            let count = count.cast_signed().checked_mul(sign);
            let count = count.ok_or(EvalReason::TimeOverflow);
            count
                .and_then(|count| scale.moved(time.cast_signed(), unit, count, &zone, to_scale))
                .map(i64::cast_unsigned)
                .map_err(|reason| Failure::at(row, reason))
        })?;
        packed(&result, moved)
    }))
}

/// Numbers as data of a date's or time's type; what does not fit is refused, not wrapped around.
pub(super) fn packed(data_type: &DataType, numbers: Vec<u64>) -> Result<Data, Failure> {
    let overflow = |row| Failure::at(row, EvalReason::TimeOverflow);
    let signed = numbers.into_iter().map(u64::cast_signed);
    if !matches!(
        data_type,
        DataType::Date | DataType::Date32 | DataType::DateTime(_)
    ) {
        return Ok(Data::Int64(signed.collect()));
    }
    let signed = signed.enumerate();
    Ok(match data_type {
        DataType::Date => Data::UInt16(
            signed
                .map(|(row, number)| u16::try_from(number).map_err(|_| overflow(row)))
                .collect::<Result<_, _>>()?,
        ),
        DataType::Date32 => Data::Int32(
            signed
                .map(|(row, number)| i32::try_from(number).map_err(|_| overflow(row)))
                .collect::<Result<_, _>>()?,
        ),
        _ => Data::UInt32(
            signed
                .map(|(row, number)| u32::try_from(number).map_err(|_| overflow(row)))
                .collect::<Result<_, _>>()?,
        ),
    })
}

fn type_of_sum(from: &DataType, unit: Unit) -> Option<DataType> {
    use DataType as T;
    match (from, unit) {
        (T::Date, Unit::Seconds(_)) => Some(T::DateTime(None)),
        (T::Date32, Unit::Seconds(_)) => Some(T::DateTime64(3, None)),
        (T::Date | T::Date32, Unit::Days(_) | Unit::Months(_)) => Some(from.clone()),
        (T::DateTime(zone), Unit::Ticks(precision)) => Some(T::DateTime64(precision, zone.clone())),
        (T::DateTime64(own, zone), Unit::Ticks(precision)) => {
            Some(T::DateTime64(precision.max(*own), zone.clone()))
        }
        (T::DateTime(_) | T::DateTime64(..), _) => Some(from.clone()),
        _ => None,
    }
}

/// The zone of a type, the servers' where it names none.
pub(super) fn zone_of_type(call: &Call<'_>, data_type: &DataType) -> Result<TimeZone, Refusal> {
    match data_type {
        DataType::DateTime(Some(zone)) | DataType::DateTime64(_, Some(zone)) => zone_named(call, zone),
        _ => zone_named(call, zone_of_server(call)?),
    }
}

/// What the numbers of a date's or time's type count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    Days,
    /// So many a second.
    Ticks(i64),
}

impl Scale {
    fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Date | DataType::Date32 => Self::Days,
            DataType::DateTime64(precision, _) => {
                Self::Ticks(ticks_of(*precision).map_or(1, |ticks| ticks.per_second))
            }
            _ => Self::Ticks(1),
        }
    }

    /// A number of this scale, moved, as a number of another scale.
    fn moved(self, time: i64, unit: Unit, count: i64, zone: &TimeZone, to: Self) -> Result<i64, EvalReason> {
        let times = |number: i64, factor: i64| number.checked_mul(factor).ok_or(EvalReason::TimeOverflow);
        let sum = |number: i64, other: i64| number.checked_add(other).ok_or(EvalReason::TimeOverflow);
        match (self, unit, to) {
            (Self::Days, Unit::Seconds(seconds), Self::Ticks(per_second)) => {
                let moment = sum(midnight(zone, time)?, times(count, seconds)?)?;
                times(moment, per_second)
            }
            (Self::Days, _, _) => day_moved(time, unit, count),
            (Self::Ticks(own), Unit::Ticks(precision), Self::Ticks(per_second)) => {
                let of_unit = ticks_of(precision).map_or(1, |ticks| ticks.per_second);
                let moment = times(time, per_second / own)?;
                sum(moment, times(count, per_second / of_unit)?)
            }
            (Self::Ticks(own), Unit::Seconds(seconds), _) => sum(time, times(times(count, seconds)?, own)?),
            (Self::Ticks(own), _, _) => {
                // ClickHouse cuts the fraction off, moves the second, and adds the fraction again.
                let (seconds, fraction) = (time / own, time % own);
                let local = seconds + offset_at(zone, seconds)?;
                let day = day_moved(local.div_euclid(DAY), unit, count)?;
                let moment = at_clock(zone, day, local.rem_euclid(DAY))?;
                sum(times(moment, own)?, fraction)
            }
        }
    }
}

/// A day so many days or months further; the last of a month that is too short.
fn day_moved(day: i64, unit: Unit, count: i64) -> Result<i64, EvalReason> {
    let overflow = EvalReason::TimeRange;
    let moved = match unit {
        Unit::Days(days) => {
            let days = count.checked_mul(days).ok_or(overflow)?;
            day.checked_add(days).ok_or(overflow)?
        }
        Unit::Months(months) => {
            let date = Day::of(day)?;
            let months = count.checked_mul(months).ok_or(overflow)?;
            let month = (date.year * 12 + date.month - 1)
                .checked_add(months)
                .ok_or(overflow)?;
            // Far beyond the calendar the arithmetic of days would overflow.
            if !(0..120_000).contains(&month) {
                return Err(overflow);
            }
            let first = days_of(month.div_euclid(12), month.rem_euclid(12) + 1);
            let next = month + 1;
            let days_of_month = days_of(next.div_euclid(12), next.rem_euclid(12) + 1) - first;
            first + date.day.min(days_of_month) - 1
        }
        Unit::Ticks(_) | Unit::Seconds(_) => return Err(EvalReason::Unsure),
    };
    Day::of(moved).map(|_| moved)
}
