//! Backslash escapes as TabSeparated and SQL strings have them.

use crate::error::code;
use crate::framing::ValueError;

const BROKEN: ValueError = ValueError {
    code: code::CANNOT_PARSE_ESCAPE_SEQUENCE,
    expected: "a whole escape sequence behind the backslash",
};

const UNKNOWN: ValueError = ValueError {
    code: code::CANNOT_PARSE_ESCAPE_SEQUENCE,
    expected: "an escape that every version reads alike; write a backslash that is data as \\\\",
};

/// Appends `text` without its escapes.
///
/// C's letters and `\xHH` are decoded, `\N` is nothing, quotes, slashes and control characters lose their
/// backslash. Any other character keeps it on 26.x and loses it on 18.16, so there the value is not known.
pub(crate) fn unescape(text: &[u8], out: &mut Vec<u8>) -> Result<(), ValueError> {
    let mut rest = text;
    while let Some(plain) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..plain]);
        rest = one_escape(&rest[plain + 1..], out)?;
    }
    out.extend_from_slice(rest);
    Ok(())
}

/// Decodes what stands behind a backslash and returns the text behind that.
fn one_escape<'a>(text: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], ValueError> {
    let (escaped, rest) = text.split_first().ok_or(BROKEN)?;
    match escaped {
        b'x' => {
            let (digits, rest) = rest.split_at_checked(2).ok_or(BROKEN)?;
            out.push(hex(digits).ok_or(BROKEN)?);
            return Ok(rest);
        }
        b'N' => {}
        b'a' => out.push(0x07),
        b'b' => out.push(0x08),
        b'e' => out.push(0x1b),
        b'f' => out.push(0x0c),
        b'n' => out.push(b'\n'),
        b'r' => out.push(b'\r'),
        b't' => out.push(b'\t'),
        b'v' => out.push(0x0b),
        b'0' => out.push(0),
        b'\\' | b'`' | b'"' | b'\'' | b'/' | b'=' => out.push(*escaped),
        control if control.is_ascii_control() => out.push(*control),
        _ => return Err(UNKNOWN),
    }
    Ok(rest)
}

/// The byte of two hexadecimal digits.
fn hex(digits: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(digits)
        .ok()
        .filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u8::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[u8]) {
        let mut out = Vec::new();
        unescape(text.as_bytes(), &mut out).unwrap();
        assert_eq!(out, expected);
    }

    #[test]
    fn escapes_mean_what_clickhouse_reads() {
        check(r"a\nb\tc\\d", b"a\nb\tc\\d");
        check(r"a\x41\0", b"aA\0");
        check(r"\b\f\r\a\e\v", b"\x08\x0c\r\x07\x1b\x0b");
        check(r"a\'b\/", b"a'b/");
        check(r"\NN", b"N");
        check("a\\\n", b"a\n");
    }

    #[test]
    fn an_escape_that_versions_read_differently_is_refused() {
        assert_eq!(unescape(br"a\qb", &mut Vec::new()), Err(UNKNOWN));
    }

    #[test]
    fn a_cut_or_wrong_escape_is_refused() {
        for text in [r"\", r"\x4", r"\xZZ", r"\x+1"] {
            assert_eq!(unescape(text.as_bytes(), &mut Vec::new()), Err(BROKEN), "{text}");
        }
    }
}
