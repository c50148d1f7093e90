//! toString: numbers, dates, times, UUIDs and Enums as ClickHouse writes them in a text format.

use std::io::Write;

use jiff::tz::TimeZone;
use types::{Bytes, Column, Data, DataType};

use super::number::without_padding;
use super::time::{DAY, Day, offset_at, ticks_of, zone_of};
use super::{Argument, Bound, Call, Function};
use crate::error::{EvalReason, Failure, KeyReason, Refusal};
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
pub(super) enum Writer {
    Plain,
    Wide,
    Float,
    BFloat16,
    Decimal(u8),
    IPv4,
    IPv6,
    Padded,
    Bool,
    Uuid,
    Enum(Vec<(String, i16)>),
    Days,
    Seconds {
        zone: TimeZone,
        precision: u8,
    },
    /// `[…]`.
    Array(Box<Element>),
    /// `(…)`.
    Tuple(Vec<Element>),
    /// `{key:value,…}`.
    Map(Box<(Element, Element)>),
}

/// How values are written inside of others: texts, times and addresses in quotes, NULL by its name.
pub(super) struct Element {
    writer: Writer,
    is_quoted: bool,
}

impl Writer {
    /// The writer of one of several arguments.
    pub(super) fn of_argument(call: &Call<'_>, place: usize) -> Result<Self, Refusal> {
        let Argument {
            data_type, constant, ..
        } = call.arguments[place];
        let only = [Argument {
            data_type: data_type.without_nullable(),
            nullable: false,
            constant,
        }];
        let alone = Call {
            arguments: &only,
            ..*call
        };
        Self::of(&alone).map_err(|refusal| match refusal.reason {
            KeyReason::ArgumentType { .. } => call.illegal(place),
            _ => refusal,
        })
    }

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
            DataType::UInt128 | DataType::Int128 | DataType::UInt256 | DataType::Int256 => Ok(Self::Wide),
            DataType::Float32 | DataType::Float64 => Ok(Self::Float),
            DataType::BFloat16 => Ok(Self::BFloat16),
            DataType::Decimal { scale, .. } => Ok(Self::Decimal(*scale)),
            DataType::IPv4 => Ok(Self::IPv4),
            DataType::IPv6 => Ok(Self::IPv6),
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
            DataType::Array(element) => Ok(Self::Array(Box::new(Element::of(call, element)?))),
            DataType::Tuple(elements) => {
                let elements = elements.iter().map(|(_, element)| Element::of(call, element));
                Ok(Self::Tuple(elements.collect::<Result<_, _>>()?))
            }
            DataType::Map(key, value) => {
                let pair = (Element::of(call, key)?, Element::of(call, value)?);
                Ok(Self::Map(Box::new(pair)))
            }
            _ => Err(call.illegal(0)),
        }
    }

    pub(super) fn write(&self, column: &Column, place: usize, out: &mut Vec<u8>) -> Result<(), EvalReason> {
        match (self, &column.data) {
            (Self::Float, Data::Float32(numbers)) => put_float(out, &format!("{:e}", numbers[place])),
            (Self::Float, Data::Float64(numbers)) => put_float(out, &format!("{:e}", numbers[place])),
            (Self::BFloat16, Data::UInt16(bits)) => {
                put_float(
                    out,
                    &format!("{:e}", f32::from_bits(u32::from(bits[place]) << 16)),
                );
            }
            (Self::Wide, Data::UInt128(numbers)) => put(out, format_args!("{}", numbers[place])),
            (Self::Wide, Data::Int128(numbers)) => put(out, format_args!("{}", numbers[place])),
            (Self::Wide, Data::UInt256(numbers)) => put(out, format_args!("{}", numbers[place])),
            (Self::Wide, Data::Int256(numbers)) => put(out, format_args!("{}", numbers[place])),
            (Self::Decimal(scale), Data::Int128(numbers)) => {
                put_decimal(out, &numbers[place].to_string(), *scale);
            }
            (Self::Decimal(scale), Data::Int256(numbers)) => {
                put_decimal(out, &numbers[place].to_string(), *scale);
            }
            (Self::IPv4, Data::UInt32(numbers)) => {
                put(out, format_args!("{}", std::net::Ipv4Addr::from(numbers[place])));
            }
            (Self::IPv6, Data::Bytes(addresses)) => {
                let octets: [u8; 16] = addresses
                    .get(place)
                    .try_into()
                    .map_err(|_| EvalReason::WrongColumns)?;
                put_ipv6(out, octets);
            }
            (Self::Plain, Data::Bytes(bytes)) => out.extend_from_slice(bytes.get(place)),
            (Self::Padded, Data::Bytes(bytes)) => out.extend_from_slice(without_padding(bytes.get(place))),
            (Self::Plain, Data::UInt64(numbers)) => put(out, format_args!("{}", numbers[place])),
            (Self::Uuid, Data::UInt128(uuids)) => put_uuid(out, uuids[place]),
            (Self::Array(element), Data::Array(lists)) => {
                out.push(b'[');
                let range = lists.range(place);
                for inner in range.clone() {
                    separate(inner != range.start, out);
                    element.write(&lists.values, inner, out)?;
                }
                out.push(b']');
            }
            (Self::Tuple(elements), Data::Tuple(tuples)) => {
                out.push(b'(');
                for (index, (element, column)) in elements.iter().zip(&tuples.columns).enumerate() {
                    separate(index > 0, out);
                    element.write(column, place, out)?;
                }
                // A tuple of one is told from brackets by its comma.
                separate(elements.len() == 1, out);
                out.push(b')');
            }
            (Self::Map(pair), Data::Array(lists)) => {
                let Data::Tuple(tuples) = &lists.values.data else {
                    return Err(EvalReason::WrongColumns);
                };
                let [keys, values] = tuples.columns.as_slice() else {
                    return Err(EvalReason::WrongColumns);
                };
                out.push(b'{');
                let range = lists.range(place);
                for inner in range.clone() {
                    separate(inner != range.start, out);
                    pair.0.write(keys, inner, out)?;
                    out.push(b':');
                    pair.1.write(values, inner, out)?;
                }
                out.push(b'}');
            }
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
            Self::Decimal(scale) => put_decimal(out, &number.to_string(), *scale),
            _ => return Err(EvalReason::WrongColumns),
        }
        Ok(())
    }
}

fn separate(is_due: bool, out: &mut Vec<u8>) {
    if is_due {
        out.push(b',');
    }
}

impl Element {
    fn of(call: &Call<'_>, data_type: &DataType) -> Result<Self, Refusal> {
        let only = [Argument {
            data_type: data_type.without_nullable(),
            nullable: false,
            constant: None,
        }];
        let writer = Writer::of(&Call {
            arguments: &only,
            ..*call
        })?;
        let is_quoted = match &writer {
            Writer::Plain => *only[0].data_type == DataType::String,
            Writer::IPv4
            | Writer::IPv6
            | Writer::Padded
            | Writer::Uuid
            | Writer::Enum(_)
            | Writer::Days
            | Writer::Seconds { .. } => true,
            _ => false,
        };
        Ok(Self { writer, is_quoted })
    }

    fn write(&self, column: &Column, place: usize, out: &mut Vec<u8>) -> Result<(), EvalReason> {
        if column.is_null(place) {
            out.extend_from_slice(b"NULL");
            return Ok(());
        }
        if !self.is_quoted {
            return self.writer.write(column, place, out);
        }
        let mut text = Vec::new();
        match (&self.writer, &column.data) {
            // Inside of others a FixedString keeps its zero bytes.
            (Writer::Padded, Data::Bytes(bytes)) => text.extend_from_slice(bytes.get(place)),
            _ => self.writer.write(column, place, &mut text)?,
        }
        put_quoted(out, &text);
        Ok(())
    }
}

fn put_quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'\'');
    for byte in text {
        match byte {
            b'\'' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0 => out.extend_from_slice(b"\\0"),
            8 => out.extend_from_slice(b"\\b"),
            12 => out.extend_from_slice(b"\\f"),
            byte => out.push(*byte),
        }
    }
    out.push(b'\'');
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

/// A float from its digits in the form 1.5e-7, the shortest that read back as the same number: with an exponent
/// below 1e-6 and from 1e21 on, as ClickHouse writes it.
fn put_float(out: &mut Vec<u8>, scientific: &str) {
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return put(out, format_args!("{}", scientific.to_lowercase()));
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, digits) = digits
        .strip_prefix('-')
        .map_or(("", digits), |digits| ("-", digits));
    let digits = digits.replace('.', "");
    if !(-6..21).contains(&exponent) {
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        return put(out, format_args!("{sign}{first}{point}{rest}e{exponent}"));
    }
    if exponent < 0 {
        let zeros = "0".repeat(exponent.unsigned_abs() as usize - 1);
        return put(out, format_args!("{sign}0.{zeros}{digits}"));
    }
    let whole = exponent.unsigned_abs() as usize + 1;
    if digits.len() <= whole {
        put(out, format_args!("{sign}{digits:0<whole$}"));
    } else {
        put(
            out,
            format_args!("{sign}{}.{}", &digits[..whole], &digits[whole..]),
        );
    }
}

/// A Decimal from the digits of its number: without the zeros at the end of the fraction.
fn put_decimal(out: &mut Vec<u8>, number: &str, scale: u8) {
    let (sign, digits) = number
        .strip_prefix('-')
        .map_or(("", number), |digits| ("-", digits));
    let scale = usize::from(scale);
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    put(out, format_args!("{sign}{whole}{point}{fraction}"));
}

fn put_ipv6(out: &mut Vec<u8>, octets: [u8; 16]) {
    put(out, format_args!("{}", std::net::Ipv6Addr::from(octets)));
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
