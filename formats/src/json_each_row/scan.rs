//! Finds where a JSON value ends, without recursion and without building anything.

use std::ops::Range;

use crate::error::code;
use crate::framing::{Stop, Window, behind_space, byte};

/// Deeper nesting is refused; ClickHouse's own limit (`input_format_json_max_depth`).
pub(crate) const DEPTH_MAX: usize = 1000;

const VALUE: &str = "a value";
const CLOSING_QUOTE: &str = "the closing quote";

/// What may come next inside brackets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// In a new bracket: its first member or its end.
    MemberOrEnd,
    /// Behind a comma.
    Member,
    /// Behind a member.
    CommaOrEnd,
}

/// The end of the value at `at`. `nesting` is memory for the brackets that are open.
pub(crate) fn value(window: &Window<'_>, at: usize, nesting: &mut Vec<u8>) -> Result<usize, Stop> {
    match byte(window, at, VALUE)? {
        b'"' => string(window, at),
        b'{' | b'[' => nested(window, at, nesting),
        _ => bare(window, at),
    }
}

/// The text between the quotes of the name at `at`.
pub(crate) fn name(window: &Window<'_>, at: usize) -> Result<Range<usize>, Stop> {
    if byte(window, at, "a field's name")? != b'"' {
        let message = "expected a field's name in double quotes";
        return Err(Stop::fault(code::CANNOT_PARSE_QUOTED_STRING, at, message));
    }
    Ok(at + 1..string(window, at)? - 1)
}

/// The end of the string whose opening quote stands at `at`.
fn string(window: &Window<'_>, at: usize) -> Result<usize, Stop> {
    let bytes = window.bytes;
    let mut from = at + 1;
    while let Some(found) = memchr::memchr2(b'"', b'\\', bytes.get(from..).unwrap_or_default()) {
        let end = from + found;
        if bytes[end] == b'"' {
            return Ok(end + 1);
        }
        from = end + 2;
    }
    Err(Stop::More {
        expected: CLOSING_QUOTE,
    })
}

/// The end of a number or of a literal.
fn bare(window: &Window<'_>, at: usize) -> Result<usize, Stop> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'_');
    let rest = &window.bytes[at..];
    let len = match rest.iter().position(|byte| !is_part(byte)) {
        Some(len) => len,
        // A row ends in a brace, so the word cannot be the last of the body.
        None => {
            return Err(Stop::More {
                expected: "the rest of the row",
            });
        }
    };
    if is_bare_value(&rest[..len]) {
        Ok(at + len)
    } else {
        Err(Stop::fault(code::INCORRECT_DATA, at, "expected a JSON value"))
    }
}

/// Numbers, true, false, null, and the words ClickHouse reads as floating point numbers.
fn is_bare_value(word: &[u8]) -> bool {
    let unsigned = word
        .strip_prefix(b"-")
        .or(word.strip_prefix(b"+"))
        .unwrap_or(word);
    match unsigned {
        b"true" | b"false" | b"null" => unsigned.len() == word.len(),
        [b'0'..=b'9' | b'.', rest @ ..] => rest
            .iter()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-')),
        _ => [&b"nan"[..], b"inf", b"infinity"]
            .iter()
            .any(|known| known.eq_ignore_ascii_case(unsigned)),
    }
}

/// The end of the object or array that begins at `at`.
fn nested(window: &Window<'_>, start: usize, nesting: &mut Vec<u8>) -> Result<usize, Stop> {
    nesting.clear();
    let mut at = open(window, start, nesting)?;
    let mut next = Next::MemberOrEnd;
    while let Some(&bracket) = nesting.last() {
        at = behind_space(window.bytes, at);
        let found = byte(window, at, "the end of an object or array")?;
        let ends = (bracket == b'{' && found == b'}') || (bracket == b'[' && found == b']');
        (at, next) = match next {
            Next::MemberOrEnd | Next::CommaOrEnd if ends => {
                nesting.pop();
                (at + 1, Next::CommaOrEnd)
            }
            Next::CommaOrEnd if found == b',' => (at + 1, Next::Member),
            Next::CommaOrEnd => {
                return Err(Stop::fault(
                    code::INCORRECT_DATA,
                    at,
                    "expected a comma or the closing bracket",
                ));
            }
            Next::MemberOrEnd | Next::Member => member(window, at, nesting)?,
        };
    }
    Ok(at)
}

/// Passes a member, or the opening bracket of one.
fn member(window: &Window<'_>, at: usize, nesting: &mut Vec<u8>) -> Result<(usize, Next), Stop> {
    let at = if nesting.last() == Some(&b'{') {
        behind_colon(window, at)?
    } else {
        at
    };
    match byte(window, at, VALUE)? {
        b'{' | b'[' => Ok((open(window, at, nesting)?, Next::MemberOrEnd)),
        b'"' => Ok((string(window, at)?, Next::CommaOrEnd)),
        _ => Ok((bare(window, at)?, Next::CommaOrEnd)),
    }
}

fn behind_colon(window: &Window<'_>, at: usize) -> Result<usize, Stop> {
    let colon = behind_space(window.bytes, name(window, at)?.end + 1);
    if byte(window, colon, "a colon")? != b':' {
        return Err(Stop::fault(
            code::INCORRECT_DATA,
            colon,
            "expected a colon behind the name",
        ));
    }
    Ok(behind_space(window.bytes, colon + 1))
}

fn open(window: &Window<'_>, at: usize, nesting: &mut Vec<u8>) -> Result<usize, Stop> {
    if nesting.len() == DEPTH_MAX {
        let message = format!("objects and arrays are nested deeper than {DEPTH_MAX}");
        return Err(Stop::fault(code::INCORRECT_DATA, at, message));
    }
    nesting.push(window.bytes[at]);
    Ok(at + 1)
}
