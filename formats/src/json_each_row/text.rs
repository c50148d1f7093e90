//! The text of a JSON string.

use crate::error::code;
use crate::framing::ValueError;

const BROKEN: ValueError = ValueError {
    code: code::CANNOT_PARSE_ESCAPE_SEQUENCE,
    expected: "a whole escape sequence behind the backslash",
};
const LONE_SURROGATE: ValueError = ValueError {
    code: code::CANNOT_PARSE_ESCAPE_SEQUENCE,
    expected: "both halves of a surrogate pair as \\uXXXX\\uXXXX",
};

/// What stands between a string's quotes, without escapes; `scratch` is used if there are any.
///
/// Bytes that are no UTF-8 stay as they are. A letter that escapes nothing stands for itself, as in
/// ClickHouse.
pub(crate) fn unescape<'a>(inner: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<&'a [u8], ValueError> {
    let Some(first) = memchr::memchr(b'\\', inner) else {
        return Ok(inner);
    };
    scratch.clear();
    scratch.extend_from_slice(&inner[..first]);
    let mut rest = &inner[first..];
    while let Some(plain) = memchr::memchr(b'\\', rest) {
        scratch.extend_from_slice(&rest[..plain]);
        rest = one_escape(&rest[plain + 1..], scratch)?;
    }
    scratch.extend_from_slice(rest);
    Ok(scratch)
}

/// Decodes what stands behind a backslash and returns the text behind that.
fn one_escape<'a>(text: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], ValueError> {
    let (escaped, rest) = text.split_first().ok_or(BROKEN)?;
    match escaped {
        b'u' => return unicode(rest, out),
        b'b' => out.push(0x08),
        b'f' => out.push(0x0c),
        b'n' => out.push(b'\n'),
        b'r' => out.push(b'\r'),
        b't' => out.push(b'\t'),
        other => out.push(*other),
    }
    Ok(rest)
}

/// `XXXX`, or `XXXX\uXXXX` for a character outside the basic plane.
fn unicode<'a>(text: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], ValueError> {
    let (high, rest) = unit(text)?;
    let (character, rest) = match char::from_u32(high) {
        Some(character) => (character, rest),
        None => {
            let (low, rest) = unit(rest.strip_prefix(b"\\u").ok_or(LONE_SURROGATE)?)?;
            (pair(high, low).ok_or(LONE_SURROGATE)?, rest)
        }
    };
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    Ok(rest)
}

fn unit(text: &[u8]) -> Result<(u32, &[u8]), ValueError> {
    let (digits, rest) = text.split_at_checked(4).ok_or(BROKEN)?;
    let digits = std::str::from_utf8(digits).map_err(|_| BROKEN)?;
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(BROKEN);
    }
    u32::from_str_radix(digits, 16)
        .map(|unit| (unit, rest))
        .map_err(|_| BROKEN)
}

fn pair(high: u32, low: u32) -> Option<char> {
    if !(0xd800..0xdc00).contains(&high) || !(0xdc00..0xe000).contains(&low) {
        return None;
    }
    char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))
}
