//! Date and Date32.

use jiff::civil;

use crate::error::code;
use crate::framing::{Token, ValueError};

const EXPECTED: ValueError = ValueError {
    code: code::CANNOT_PARSE_DATE,
    expected: "a date as YYYY-MM-DD up to 2149-06-06",
};
const EXPECTED_DATE32: ValueError = ValueError {
    code: code::CANNOT_PARSE_DATE,
    expected: "a date as YYYY-MM-DD from 1900 to 2299",
};

/// A date's fields as written, in any range.
#[derive(Clone, Copy)]
struct Written {
    year: i16,
    month: i8,
    day: i8,
}

/// Days since 1970; a day that no month has and one before 1970 are 0.
///
/// A day behind 2149-06-06 is that one on 26.x and 0 on 18.16, so it is refused.
pub(super) fn date(token: &Token<'_>) -> Result<u16, ValueError> {
    match token {
        Token::Text(text) => {
            let days = written(text)?.days().unwrap_or(0).max(0);
            u16::try_from(days).map_err(|_| EXPECTED)
        }
        other => day_number(other),
    }
}

/// Days since 1970, also negative. A day no month has is refused: versions read it differently.
pub(super) fn date32(token: &Token<'_>) -> Result<i32, ValueError> {
    match token {
        Token::Text(text) => {
            let written = written(text)?;
            let is_in_range = (1900..=2299).contains(&written.year);
            written.days().filter(|_| is_in_range).ok_or(EXPECTED_DATE32)
        }
        other => day_number(other).map(i32::from),
    }
}

/// JSON's and SQL's numbers are days.
fn day_number(token: &Token<'_>) -> Result<u16, ValueError> {
    let (Token::Json(text) | Token::Sql(text)) = token else {
        return Err(EXPECTED);
    };
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(EXPECTED)
}

impl Written {
    /// Days since 1970; a 31st or 30th that its month lacks runs over into the next month, as in ClickHouse's
    /// tables.
    fn days(self) -> Option<i32> {
        if !(1..=12).contains(&self.month) || !(1..=31).contains(&self.day) {
            return None;
        }
        let first = civil::Date::new(self.year, self.month, 1).ok()?;
        let days = first.since(civil::Date::constant(1970, 1, 1)).ok()?.get_days();
        Some(days + i32::from(self.day) - 1)
    }
}

/// `YYYYMMDD`, or `YYYY-M-D` with one or two digits and any one character between.
fn written(text: &[u8]) -> Result<Written, ValueError> {
    let (year, rest) = text.split_at_checked(4).ok_or(EXPECTED)?;
    let (month, day) = match rest {
        [month @ .., _, _] if rest.len() == 4 && rest[0].is_ascii_digit() && rest[1].is_ascii_digit() => {
            (month, &rest[2..])
        }
        [separator, rest @ ..] if !separator.is_ascii_digit() => month_and_day(rest)?,
        _ => return Err(EXPECTED),
    };
    let year = i16::try_from(number(year, 4)?).map_err(|_| EXPECTED)?;
    // Two digits fit a byte.
    Ok(Written {
        year,
        month: number(month, 2)? as i8,
        day: number(day, 2)? as i8,
    })
}

fn month_and_day(text: &[u8]) -> Result<(&[u8], &[u8]), ValueError> {
    let border = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .ok_or(EXPECTED)?;
    Ok((&text[..border], &text[border + 1..]))
}

fn number(digits: &[u8], len_max: usize) -> Result<u16, ValueError> {
    if digits.is_empty() || digits.len() > len_max || !digits.iter().all(u8::is_ascii_digit) {
        return Err(EXPECTED);
    }
    Ok(digits
        .iter()
        .fold(0, |value, digit| value * 10 + u16::from(digit - b'0')))
}
