//! Times from numbers and texts, as numbers, and in another zone: fromUnixTimestamp, toUnixTimestamp64Milli, toTimeZone,
//! parseDateTimeBestEffort …

use types::{Data, DataType};

use super::cast::of_type;
use super::time::{map_first, ticks_of, zone_named};
use super::{Bound, Call, Function};
use crate::error::{EvalReason, Refusal};
use crate::integers::Integer;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("toUnixTimestamp64Second", |call| bind_ticks(call, 0)),
    Function::new("toUnixTimestamp64Milli", |call| bind_ticks(call, 3)),
    Function::new("toUnixTimestamp64Micro", |call| bind_ticks(call, 6)),
    Function::new("toUnixTimestamp64Nano", |call| bind_ticks(call, 9)),
    // A second argument would be a pattern.
    Function {
        any_case: true,
        ..Function::new("fromUnixTimestamp", bind_seconds)
    },
    of_ticks("fromUnixTimestamp64Second", |call| bind_moment(call, 0)),
    of_ticks("fromUnixTimestamp64Milli", |call| bind_moment(call, 3)),
    of_ticks("fromUnixTimestamp64Micro", |call| bind_moment(call, 6)),
    of_ticks("fromUnixTimestamp64Nano", |call| bind_moment(call, 9)),
    Function::new("toTimeZone", bind_zone).with_arguments(2, 2),
    Function::new("toTimezone", bind_zone).with_arguments(2, 2),
    Function {
        any_case: true,
        ..Function::new("parseDateTimeBestEffort", bind_text).with_arguments(1, 2)
    },
];

const fn of_ticks(name: &'static str, bind: fn(&Call<'_>) -> Result<Bound, Refusal>) -> Function {
    Function::new(name, bind).with_arguments(1, 2)
}

fn bind_ticks(call: &Call<'_>, precision: u8) -> Result<Bound, Refusal> {
    let DataType::DateTime64(own, _) = call.arguments[0].data_type else {
        return Err(call.illegal(0));
    };
    let own = ticks_of(*own).ok_or_else(|| call.illegal(0))?.per_second;
    let wanted = ticks_of(precision).ok_or_else(|| call.illegal(0))?.per_second;
    Ok(Bound::new(DataType::Int64, move |inputs| {
        let numbers = map_first(inputs, |moment| {
            if wanted >= own {
                let number = moment.checked_mul(wanted / own);
                number.ok_or(EvalReason::TimeOverflow)
            } else {
                Ok(moment / (own / wanted))
            }
        })?;
        Ok(Data::Int64(numbers.into_iter().map(u64::cast_signed).collect()))
    }))
}

fn bind_seconds(call: &Call<'_>) -> Result<Bound, Refusal> {
    Integer::of(call.arguments[0].data_type).ok_or_else(|| call.illegal(0))?;
    of_type(call, &DataType::DateTime(None))
}

fn bind_moment(call: &Call<'_>, precision: u8) -> Result<Bound, Refusal> {
    // Of a UInt64 the highest bit would be a sign.
    let integer = Integer::of(call.arguments[0].data_type);
    integer
        .filter(|integer| integer.signed || integer.bytes < 8)
        .ok_or_else(|| call.illegal(0))?;
    let zone = named_zone(call)?;
    Ok(Bound::new(DataType::DateTime64(precision, zone), |inputs| {
        let moments = map_first(inputs, Ok)?;
        Ok(Data::Int64(moments.into_iter().map(u64::cast_signed).collect()))
    }))
}

/// The same moment, shown in another zone.
fn bind_zone(call: &Call<'_>) -> Result<Bound, Refusal> {
    let zone = named_zone(call)?;
    let data_type = match call.arguments[0].data_type {
        DataType::DateTime(_) => DataType::DateTime(zone),
        DataType::DateTime64(precision, _) => DataType::DateTime64(*precision, zone),
        _ => return Err(call.illegal(0)),
    };
    Ok(Bound::new(data_type, |inputs| {
        Ok(super::tuple::whole(inputs, 0)?.data)
    }))
}

/// Of a text in the one form that casts read: every other writing is refused at the row.
fn bind_text(call: &Call<'_>) -> Result<Bound, Refusal> {
    if *call.arguments[0].data_type != DataType::String {
        return Err(call.illegal(0));
    }
    let zone = named_zone(call)?;
    of_type(call, &DataType::DateTime(zone))
}

/// The zone that the second argument names, if there is one.
fn named_zone(call: &Call<'_>) -> Result<Option<String>, Refusal> {
    if call.arguments.len() < 2 {
        return Ok(None);
    }
    let name = call.constant_text(1)?;
    zone_named(call, &name)?;
    Ok(Some(name))
}
