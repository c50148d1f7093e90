//! formatDateTime: a date or time by a pattern, which must be a constant.

use std::io::Write;

use jiff::tz::TimeZone;
use types::{Bytes, Data, DataType};

use super::calendar::days_of;
use super::date::Moment;
use super::time::{DAY, Day, Ticks, offset_at, zone_named, zone_of_server};
use super::{Bound, Call, Function};
use crate::error::{EvalReason, Failure, KeyReason, Refusal};
use crate::integers::Words;

pub(super) const FUNCTIONS: &[Function] = &[Function::new("formatDateTime", bind).with_arguments(2, 3)];

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const DAYS_OF_WEEK: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// What `%` may stand before. ISO weeks (`%V`, `%G`, `%g`) are refused.
const LETTERS: &[u8] = b"YmdHiSsyjeFTDRIhpabWMwuQzfckClnt%";

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    /// What stands for this letter.
    Letter(u8),
}

fn bind(call: &Call<'_>) -> Result<Bound, Refusal> {
    let kind = Moment::of(call)?;
    let zone = zone(call)?;
    let pieces = pieces(call.constant_text(1)?.as_bytes())
        .map_err(|reason| call.refuse(KeyReason::Constant(reason)))?;
    if matches!(kind, Moment::Days) && pieces.contains(&Piece::Letter(b'z')) {
        return Err(call.illegal(0));
    }
    Ok(Bound::new(DataType::String, move |inputs| {
        let moments = Words::of(&inputs.values[0])?;
        let mut texts = Bytes::default();
        let mut text = Vec::new();
        for row in 0..inputs.rows {
            text.clear();
            if !inputs.is_null(row) {
                let moment = moments.word(row).unwrap_or(0).cast_signed();
                let shown = Shown::of(kind, &zone, moment).map_err(|reason| Failure::at(row, reason))?;
                pieces.iter().for_each(|piece| shown.put(piece, &mut text));
            }
            texts.push(&text);
        }
        Ok(Data::Bytes(texts))
    }))
}

fn zone(call: &Call<'_>) -> Result<TimeZone, Refusal> {
    if call.arguments.len() > 2 {
        return zone_named(call, &call.constant_text(2)?);
    }
    match call.arguments[0].data_type {
        DataType::Date | DataType::Date32 => Ok(TimeZone::UTC),
        DataType::DateTime(Some(zone)) | DataType::DateTime64(_, Some(zone)) => zone_named(call, zone),
        _ => zone_named(call, zone_of_server(call)?),
    }
}

fn pieces(pattern: &[u8]) -> Result<Vec<Piece>, EvalReason> {
    let mut pieces = Vec::new();
    let mut rest = pattern;
    while let Some(place) = rest.iter().position(|byte| *byte == b'%') {
        pieces.push(Piece::Text(rest[..place].to_vec()));
        let letter = rest.get(place + 1).filter(|letter| LETTERS.contains(letter));
        pieces.push(Piece::Letter(*letter.ok_or(EvalReason::Unsure)?));
        rest = &rest[place + 2..];
    }
    pieces.push(Piece::Text(rest.to_vec()));
    Ok(pieces)
}

/// A moment as a zone's clock and calendar show it.
struct Shown {
    date: Day,
    /// Days since 1970.
    days: i64,
    of_day: i64,
    micros: i64,
    offset: i64,
}

impl Shown {
    fn of(kind: Moment, zone: &TimeZone, moment: i64) -> Result<Self, EvalReason> {
        let (seconds, micros) = match kind {
            Moment::Days => (moment.checked_mul(DAY).ok_or(EvalReason::TimeRange)?, 0),
            Moment::Seconds => (moment, 0),
            // Before 1970 ClickHouse shows another fraction.
            Moment::Ticks(_) if moment < 0 => return Err(EvalReason::Unsure),
            Moment::Ticks(ticks) => (ticks.floored(moment), micros(ticks, moment)),
        };
        let offset = match kind {
            Moment::Days => 0,
            Moment::Seconds | Moment::Ticks(_) => offset_at(zone, seconds)?,
        };
        let local = seconds + offset;
        let days = local.div_euclid(DAY);
        Ok(Self {
            date: Day::of(days)?,
            days,
            of_day: local.rem_euclid(DAY),
            micros,
            offset,
        })
    }

    fn put(&self, piece: &Piece, out: &mut Vec<u8>) {
        match piece {
            Piece::Text(text) => out.extend_from_slice(text),
            Piece::Letter(letter) => self.put_letter(*letter, out),
        }
    }

    fn put_letter(&self, letter: u8, out: &mut Vec<u8>) {
        let Day { year, month, day } = self.date;
        let (hour, minute, second) = (self.of_day / 3_600, self.of_day / 60 % 60, self.of_day % 60);
        let hour_of_12 = (hour + 11) % 12 + 1;
        let of_week = (self.days + 3).rem_euclid(7);
        let name = |names: &[&'static str], place: i64| names.get(place as usize).copied().unwrap_or("");
        // Writing into memory cannot fail.
        let _ = match letter {
            b'Y' => write!(out, "{year:04}"),
            b'm' | b'c' => write!(out, "{month:02}"),
            b'd' => write!(out, "{day:02}"),
            b'H' | b'k' => write!(out, "{hour:02}"),
            b'i' => write!(out, "{minute:02}"),
            b'S' | b's' => write!(out, "{second:02}"),
            b'y' => write!(out, "{:02}", year % 100),
            b'C' => write!(out, "{:02}", year / 100),
            b'j' => write!(out, "{:03}", self.days - days_of(year, 1) + 1),
            b'e' => write!(out, "{day}"),
            b'F' => write!(out, "{year:04}-{month:02}-{day:02}"),
            b'T' => write!(out, "{hour:02}:{minute:02}:{second:02}"),
            b'D' => write!(out, "{month:02}/{day:02}/{:02}", year % 100),
            b'R' => write!(out, "{hour:02}:{minute:02}"),
            b'I' | b'h' | b'l' => write!(out, "{hour_of_12:02}"),
            b'p' => write!(out, "{}", if hour < 12 { "AM" } else { "PM" }),
            b'a' => write!(out, "{:.3}", name(&DAYS_OF_WEEK, of_week)),
            b'b' => write!(out, "{:.3}", name(&MONTHS, month - 1)),
            b'W' => write!(out, "{}", name(&DAYS_OF_WEEK, of_week)),
            b'M' => write!(out, "{}", name(&MONTHS, month - 1)),
            b'w' => write!(out, "{}", (of_week + 1) % 7),
            b'u' => write!(out, "{}", of_week + 1),
            b'Q' => write!(out, "{}", (month + 2) / 3),
            b'z' => {
                let (sign, ahead) = if self.offset < 0 {
                    ('-', -self.offset)
                } else {
                    ('+', self.offset)
                };
                write!(out, "{sign}{:02}{:02}", ahead / 3_600, ahead / 60 % 60)
            }
            b'f' => write!(out, "{:06}", self.micros),
            b'n' => writeln!(out),
            b't' => write!(out, "\t"),
            _ => write!(out, "%"),
        };
    }
}

fn micros(ticks: Ticks, moment: i64) -> i64 {
    let fraction = moment.rem_euclid(ticks.per_second);
    if ticks.per_second > 1_000_000 {
        fraction / (ticks.per_second / 1_000_000)
    } else {
        fraction * (1_000_000 / ticks.per_second)
    }
}
