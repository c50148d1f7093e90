//! toString: numbers, dates, times, UUIDs and Enums as ClickHouse writes them in a text format.

use std::io::Write;

use jiff::tz::TimeZone;
use types::{Bytes, Column, Data, DataType};

use super::number::without_padding;
use super::time::{DAY, Day, offset_at, ticks_of, zone_of};
use super::{Bound, Call, Function};
use crate::error::{EvalReason, Failure, Refusal};
use crate::integers::Integer;

pub(super) const FUNCTIONS: &[Function] = &[Function::new("toString", bind).with_arguments(1, 2)];

/// The conversion of a call's first argument to String.
pub(super) fn bind(call: &Call<'_>) -> Result<Bound, Refusal> {
    let writer = Writer::of(call)?;
    Ok(Bound::new(DataType::String, move |inputs| {
        let value = &inputs.values[0];
        let mut out = Bytes::default();
        let mut text = Vec::new();
        for row in 0..inputs.rows {
            text.clear();
            if !inputs.is_null(row) {
                let written = writer.write(&value.column, value.place(row), &mut text);
                written.map_err(|reason| Failure::at(row, reason))?;
            }
            out.push(&text);
        }
        Ok(Data::Bytes(out))
    }))
}

/// How the values of a type are written.
enum Writer {
    Plain,
    Padded,
    Bool,
    Uuid,
    Enum(Vec<(String, i16)>),
    Days,
    Seconds { zone: TimeZone, precision: u8 },
}

impl Writer {
    fn of(call: &Call<'_>) -> Result<Self, Refusal> {
        let data_type = call.arguments[0].data_type;
        let is_time = matches!(data_type, DataType::DateTime(_) | DataType::DateTime64(..));
        if call.arguments.len() > 1 && !is_time {
            return Err(call.illegal(1));
        }
        match data_type {
            DataType::Bool => Ok(Self::Bool),
            DataType::String => Ok(Self::Plain),
            _ if Integer::of(data_type).is_some() => Ok(Self::Plain),
            DataType::FixedString(_) => Ok(Self::Padded),
            DataType::Uuid => Ok(Self::Uuid),
            DataType::Enum8(values) | DataType::Enum16(values) => Ok(Self::Enum(values.clone())),
            DataType::Date | DataType::Date32 => Ok(Self::Days),
            DataType::DateTime(_) => Ok(Self::Seconds {
                zone: zone_of(call)?,
                precision: 0,
            }),
            DataType::DateTime64(precision, _) => {
                ticks_of(*precision).ok_or_else(|| call.illegal(0))?;
                Ok(Self::Seconds {
                    zone: zone_of(call)?,
                    precision: *precision,
                })
            }
            _ => Err(call.illegal(0)),
        }
    }

    fn write(&self, column: &Column, place: usize, out: &mut Vec<u8>) -> Result<(), EvalReason> {
        match (self, &column.data) {
            (Self::Plain, Data::Bytes(bytes)) => out.extend_from_slice(bytes.get(place)),
            (Self::Padded, Data::Bytes(bytes)) => out.extend_from_slice(without_padding(bytes.get(place))),
            (Self::Plain, Data::UInt64(numbers)) => put(out, format_args!("{}", numbers[place])),
            (Self::Uuid, Data::UInt128(uuids)) => put_uuid(out, uuids[place]),
            (_, data) => self.write_number(number(data, place)?, out)?,
        }
        Ok(())
    }

    fn write_number(&self, number: i64, out: &mut Vec<u8>) -> Result<(), EvalReason> {
        match self {
            Self::Plain => put(out, format_args!("{number}")),
            Self::Bool => put(out, format_args!("{}", number != 0)),
            Self::Enum(values) => {
                let name = values.iter().find(|(_, value)| i64::from(*value) == number);
                out.extend_from_slice(name.ok_or(EvalReason::EnumValue)?.0.as_bytes());
            }
            Self::Days => put_day(out, Day::of(number)?),
            Self::Seconds { zone, precision } => put_time(out, zone, *precision, number)?,
            Self::Padded | Self::Uuid => return Err(EvalReason::WrongColumns),
        }
        Ok(())
    }
}

/// A whole number of up to 64 bits but UInt64.
fn number(data: &Data, place: usize) -> Result<i64, EvalReason> {
    match data {
        Data::UInt8(numbers) => Ok(i64::from(numbers[place])),
        Data::UInt16(numbers) => Ok(i64::from(numbers[place])),
        Data::UInt32(numbers) => Ok(i64::from(numbers[place])),
        Data::Int8(numbers) => Ok(i64::from(numbers[place])),
        Data::Int16(numbers) => Ok(i64::from(numbers[place])),
        Data::Int32(numbers) => Ok(i64::from(numbers[place])),
        Data::Int64(numbers) => Ok(numbers[place]),
        _ => Err(EvalReason::WrongColumns),
    }
}

/// Writing into memory cannot fail.
fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

fn put_uuid(out: &mut Vec<u8>, uuid: u128) {
    let hex = format!("{uuid:032x}");
    let [a, b, c, d, e] = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    put(out, format_args!("{a}-{b}-{c}-{d}-{e}"));
}

fn put_day(out: &mut Vec<u8>, Day { year, month, day }: Day) {
    put(out, format_args!("{year:04}-{month:02}-{day:02}"));
}

/// `2024-12-31 23:59:59.123`, the fraction with as many digits as the precision.
fn put_time(out: &mut Vec<u8>, zone: &TimeZone, precision: u8, ticks: i64) -> Result<(), EvalReason> {
    let Some(scale) = ticks_of(precision) else {
        return Err(EvalReason::WrongColumns);
    };
    let seconds = scale.floored(ticks);
    let local = seconds + offset_at(zone, seconds)?;
    put_day(out, Day::of(local.div_euclid(DAY))?);
    let of_day = local.rem_euclid(DAY);
    put(
        out,
        format_args!(
            " {:02}:{:02}:{:02}",
            of_day / 3_600,
            of_day / 60 % 60,
            of_day % 60
        ),
    );
    if precision > 0 {
        let fraction = ticks.rem_euclid(scale.per_second);
        put(
            out,
            format_args!(".{fraction:0width$}", width = usize::from(precision)),
        );
    }
    Ok(())
}
