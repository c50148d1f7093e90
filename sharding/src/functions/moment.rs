//! What is the same in all rows of an INSERT and another in the next one: its moment, its user, its server.

use jiff::tz::TimeZone;
use types::{Bytes, Data, DataType};

use super::time::{DAY, offset_at, ticks_of, zone_named, zone_of_server};
use super::{Bound, Call, Function, Inputs, Nulls, Volatile};
use crate::error::{EvalReason, Failure, Refusal};

pub(super) const FUNCTIONS: &[Function] = &[
    any_case("now", bind_now),
    any_case("current_timestamp", bind_now),
    any_case("localtimestamp", bind_now),
    of_insert("now64", bind_now_64).with_arguments(0, 2),
    of_insert("nowInBlock", bind_now),
    of_insert("nowInBlock64", bind_now_64).with_arguments(0, 2),
    any_case("today", |call| bind_day(call, 0)).with_arguments(0, 0),
    any_case("current_date", |call| bind_day(call, 0)).with_arguments(0, 0),
    any_case("curdate", |call| bind_day(call, 0)).with_arguments(0, 0),
    of_insert("yesterday", |call| bind_day(call, -1)).with_arguments(0, 0),
    any_case("UTCTimestamp", |_| Ok(moment(Some("UTC".to_owned())))).with_arguments(0, 0),
    any_case("utc_timestamp", |_| Ok(moment(Some("UTC".to_owned())))).with_arguments(0, 0),
    any_case("hostName", |_| Ok(text(|inputs| &inputs.context.host_name))).with_arguments(0, 0),
    any_case("hostname", |_| Ok(text(|inputs| &inputs.context.host_name))).with_arguments(0, 0),
    // Weir knows one name of its host, that of uname.
    any_case("FQDN", |_| Ok(text(|inputs| &inputs.context.host_name))).with_arguments(0, 0),
    any_case("fullHostName", |_| Ok(text(|inputs| &inputs.context.host_name))).with_arguments(0, 0),
    any_case("currentUser", |_| Ok(text(|inputs| &inputs.context.user))).with_arguments(0, 0),
    any_case("user", |_| Ok(text(|inputs| &inputs.context.user))).with_arguments(0, 0),
    any_case("current_user", |_| Ok(text(|inputs| &inputs.context.user))).with_arguments(0, 0),
    any_case("currentDatabase", |_| Ok(text(|inputs| &inputs.context.database))).with_arguments(0, 0),
    any_case("current_database", |_| {
        Ok(text(|inputs| &inputs.context.database))
    })
    .with_arguments(0, 0),
    any_case("database", |_| Ok(text(|inputs| &inputs.context.database))).with_arguments(0, 0),
    any_case("schema", |_| Ok(text(|inputs| &inputs.context.database))).with_arguments(0, 0),
    any_case("queryID", |_| Ok(text(|inputs| &inputs.context.query_id))).with_arguments(0, 0),
    any_case("query_id", |_| Ok(text(|inputs| &inputs.context.query_id))).with_arguments(0, 0),
    any_case("initialQueryID", |_| Ok(text(|inputs| &inputs.context.query_id))).with_arguments(0, 0),
    any_case("initial_query_id", |_| {
        Ok(text(|inputs| &inputs.context.query_id))
    })
    .with_arguments(0, 0),
    of_zone("timezone"),
    of_zone("timeZone"),
    of_zone("serverTimezone"),
    of_zone("serverTimeZone"),
];

/// The functions that ClickHouse takes without brackets, in any case.
const BARE_NAMES: [&str; 13] = [
    "now",
    "current_timestamp",
    "localtimestamp",
    "today",
    "current_date",
    "curdate",
    "currentUser",
    "current_user",
    "user",
    "currentDatabase",
    "current_database",
    "database",
    "schema",
];

/// Whether a name that is no column is a call without brackets.
pub(crate) fn is_bare_name(name: &str) -> bool {
    BARE_NAMES.iter().any(|bare| bare.eq_ignore_ascii_case(name))
}

const fn of_insert(name: &'static str, bind: fn(&Call<'_>) -> Result<Bound, Refusal>) -> Function {
    Function {
        volatile: Volatile::Insert,
        nulls: Nulls::Own,
        keeps_low_cardinality: false,
        ..Function::new(name, bind).with_arguments(0, 1)
    }
}

const fn any_case(name: &'static str, bind: fn(&Call<'_>) -> Result<Bound, Refusal>) -> Function {
    Function {
        any_case: true,
        ..of_insert(name, bind)
    }
}

/// The servers' time zone, which is a constant of the configuration.
const fn of_zone(name: &'static str) -> Function {
    Function {
        volatile: Volatile::No,
        ..of_insert(name, |call| {
            let zone = zone_of_server(call)?.to_owned();
            Ok(Bound::new(DataType::String, move |inputs| {
                Ok(repeated(zone.as_bytes(), inputs.rows))
            }))
        })
        .with_arguments(0, 0)
    }
}

/// The zone that a call names.
fn named_zone(call: &Call<'_>, place: usize) -> Result<Option<String>, Refusal> {
    if call.arguments.len() <= place {
        return Ok(None);
    }
    let name = call.constant_text(place)?;
    zone_named(call, &name)?;
    Ok(Some(name))
}

fn bind_now(call: &Call<'_>) -> Result<Bound, Refusal> {
    named_zone(call, 0).map(moment)
}

fn moment(zone: Option<String>) -> Bound {
    Bound::new(DataType::DateTime(zone), |inputs| {
        // Until 2106 it fits.
        Ok(Data::UInt32(vec![
            inputs.context.now.as_secs() as u32;
            inputs.rows
        ]))
    })
}

fn bind_now_64(call: &Call<'_>) -> Result<Bound, Refusal> {
    let precision = match call.arguments.len() {
        0 => 3,
        _ => u8::try_from(call.constant_number(0)?).map_err(|_| call.illegal(0))?,
    };
    let ticks = ticks_of(precision).ok_or_else(|| call.illegal(0))?;
    let data_type = DataType::DateTime64(precision, named_zone(call, 1)?);
    Ok(Bound::new(data_type, move |inputs| {
        let moment = inputs.context.now.as_nanos() * ticks.per_second as u128 / 1_000_000_000;
        let moment = i64::try_from(moment).map_err(|_| Failure::at(0, EvalReason::TimeOverflow))?;
        Ok(Data::Int64(vec![moment; inputs.rows]))
    }))
}

/// The day of the moment in the servers' zone, and so many days further.
fn bind_day(call: &Call<'_>, further: i64) -> Result<Bound, Refusal> {
    let zone = zone_named(call, zone_of_server(call)?)?;
    Ok(Bound::new(DataType::Date, move |inputs| {
        let day = day_at(&zone, inputs).map_err(|reason| Failure::at(0, reason))?;
        Ok(Data::UInt16(vec![(day + further) as u16; inputs.rows]))
    }))
}

fn day_at(zone: &TimeZone, inputs: &Inputs<'_>) -> Result<i64, EvalReason> {
    let seconds = i64::try_from(inputs.context.now.as_secs()).map_err(|_| EvalReason::TimeRange)?;
    Ok((seconds + offset_at(zone, seconds)?).div_euclid(DAY))
}

fn text(of: for<'a> fn(&'a Inputs<'_>) -> &'a String) -> Bound {
    Bound::new(DataType::String, move |inputs| {
        Ok(repeated(of(inputs).as_bytes(), inputs.rows))
    })
}

fn repeated(text: &[u8], rows: usize) -> Data {
    let mut texts = Bytes::default();
    (0..rows).for_each(|_| texts.push(text));
    Data::Bytes(texts)
}
