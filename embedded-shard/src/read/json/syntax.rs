//! JSON's syntax: brackets, names, strings.

use crate::cursor::Cursor;
use crate::error::{Outcome, code};
use crate::quoted::expected;

/// JSON nested deeper than this is refused: reading recurses. ClickHouse's own limit is 1000.
const DEPTH_MAX: usize = 256;

/// Reads `{"name": value, …}`, giving each name to the reader of its value.
pub(super) fn members(
    cursor: &mut Cursor<'_>,
    mut read: impl FnMut(&mut Cursor<'_>, &[u8]) -> Outcome<()>,
) -> Outcome<()> {
    delimited(cursor, (b'{', b'}'), |cursor, _| {
        let name = string(cursor)?;
        cursor.skip_space();
        if !cursor.take(b":") {
            return expected(cursor, "':' behind a name");
        }
        cursor.skip_space();
        read(cursor, &name)
    })
}

/// Reads `[value, …]`, giving each value's number, from 0, to its reader.
pub(super) fn elements(
    cursor: &mut Cursor<'_>,
    read: impl FnMut(&mut Cursor<'_>, usize) -> Outcome<()>,
) -> Outcome<()> {
    delimited(cursor, (b'[', b']'), read)
}

fn delimited(
    cursor: &mut Cursor<'_>,
    (open, close): (u8, u8),
    mut read: impl FnMut(&mut Cursor<'_>, usize) -> Outcome<()>,
) -> Outcome<()> {
    if !cursor.take(&[open]) {
        return expected(cursor, &format!("'{}'", char::from(open)));
    }
    let mut count = 0;
    loop {
        cursor.skip_space();
        if cursor.take(&[close]) {
            return Ok(());
        }
        if count > 0 && !cursor.take(b",") {
            return unfinished(cursor, close);
        }
        cursor.skip_space();
        read(cursor, count)?;
        count += 1;
    }
}

fn unfinished(cursor: &Cursor<'_>, close: u8) -> Outcome<()> {
    match cursor.is_at_end() {
        true => code::CANNOT_READ_ALL_DATA.refuse("the data end inside a row"),
        false => expected(cursor, &format!("',' or '{}'", char::from(close))),
    }
}

/// Reads a string in double quotes.
pub(super) fn string(cursor: &mut Cursor<'_>) -> Outcome<Vec<u8>> {
    if !cursor.take(b"\"") {
        return expected(cursor, "a string in double quotes");
    }
    let mut out = Vec::new();
    loop {
        out.extend_from_slice(cursor.take_while(|byte| byte != b'"' && byte != b'\\'));
        match cursor.next() {
            Some(b'"') => return Ok(out),
            Some(_) => unescape(cursor, &mut out)?,
            None => return code::CANNOT_READ_ALL_DATA.refuse("the data end inside a string"),
        }
    }
}

fn unescape(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Outcome<()> {
    match cursor.next() {
        Some(b'b') => out.push(0x08),
        Some(b'f') => out.push(0x0c),
        Some(b'n') => out.push(b'\n'),
        Some(b'r') => out.push(b'\r'),
        Some(b't') => out.push(b'\t'),
        Some(b'u') => {
            let mut utf8 = [0; 4];
            out.extend_from_slice(unicode(cursor)?.encode_utf8(&mut utf8).as_bytes());
        }
        Some(plain @ (b'"' | b'\\' | b'/')) => out.push(plain),
        _ => return code::CANNOT_PARSE_ESCAPE_SEQUENCE.refuse("unknown escape in a JSON string"),
    }
    Ok(())
}

/// The character of `\uXXXX`, or of two of them where the first is half of a pair.
fn unicode(cursor: &mut Cursor<'_>) -> Outcome<char> {
    let first = four_digits(cursor)?;
    let units = match first {
        0xd800..0xdc00 if cursor.take(b"\\u") => vec![first, four_digits(cursor)?],
        _ => vec![first],
    };
    let mut characters = char::decode_utf16(units);
    match (characters.next(), characters.next()) {
        (Some(Ok(character)), None) => Ok(character),
        _ => code::CANNOT_PARSE_ESCAPE_SEQUENCE.refuse("half a surrogate pair in a JSON string"),
    }
}

fn four_digits(cursor: &mut Cursor<'_>) -> Outcome<u16> {
    let digits = cursor
        .bytes(4)
        .and_then(|digits| std::str::from_utf8(digits).ok());
    let unit = digits
        .filter(|digits| !digits.starts_with('+'))
        .and_then(|digits| u16::from_str_radix(digits, 16).ok());
    unit.ok_or_else(|| {
        code::CANNOT_PARSE_ESCAPE_SEQUENCE.error("expected four hexadecimal digits behind \\u")
    })
}

/// Steps over one value of any kind.
pub(super) fn skip_value(cursor: &mut Cursor<'_>) -> Outcome<()> {
    skip_nested(cursor, 0)
}

fn skip_nested(cursor: &mut Cursor<'_>, depth: usize) -> Outcome<()> {
    if depth > DEPTH_MAX {
        return code::INCORRECT_DATA.refuse(format_args!("JSON is nested deeper than {DEPTH_MAX}"));
    }
    match cursor.peek() {
        Some(b'{') => members(cursor, |cursor, _| skip_nested(cursor, depth + 1)),
        Some(b'[') => elements(cursor, |cursor, _| skip_nested(cursor, depth + 1)),
        Some(b'"') => string(cursor).map(drop),
        _ => {
            let is_token = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
            match cursor.take_while(is_token).is_empty() {
                true if cursor.is_at_end() => code::CANNOT_READ_ALL_DATA.refuse("the data end inside a row"),
                true => expected(cursor, "a JSON value"),
                false => Ok(()),
            }
        }
    }
}
