//! How a text is written in each text format: the one place that knows what must be escaped where.

use types::DataType;

use crate::error::code;
use crate::framing::ValueError;
use crate::nested::is_nested;

/// A field of TabSeparated.
pub(crate) fn tab_separated(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0 => out.extend_from_slice(b"\\0"),
            byte => out.push(*byte),
        }
    }
}

/// A column's text as a field of TabSeparated: arrays, tuples and maps are not escaped as a whole, because the strings
/// in them already are.
pub(crate) fn tab_separated_value(
    text: &[u8],
    data_type: &DataType,
    out: &mut Vec<u8>,
) -> Result<(), ValueError> {
    if !is_nested(data_type) {
        tab_separated(text, out);
        return Ok(());
    }
    // The delimiter behind it would belong to the value.
    let backslashes = text.iter().rev().take_while(|byte| **byte == b'\\').count();
    if backslashes % 2 == 1 {
        return Err(OPEN_ESCAPE);
    }
    nested_tab_separated(text, out);
    Ok(())
}

const OPEN_ESCAPE: ValueError = ValueError {
    code: code::CANNOT_PARSE_ESCAPE_SEQUENCE,
    expected: "no backslash at the end of an array, a tuple or a map",
};

/// The text of an array, a tuple or a map: line ends and tabs between elements become spaces, those inside quotes escapes.
pub(crate) fn nested_tab_separated(text: &[u8], out: &mut Vec<u8>) {
    let mut is_quoted = false;
    let mut is_escaped = false;
    for byte in text {
        let written: &[u8] = match (byte, is_quoted) {
            (b'\t', true) => b"t",
            (b'\n', true) => b"n",
            (b'\r', true) => b"r",
            (b'\t' | b'\n' | b'\r', false) => b" ",
            _ => std::slice::from_ref(byte),
        };
        // The backslash of an escaped control character is there already.
        if is_quoted && !is_escaped && matches!(byte, b'\t' | b'\n' | b'\r') {
            out.push(b'\\');
        }
        out.extend_from_slice(written);
        is_quoted ^= *byte == b'\'' && !is_escaped;
        is_escaped = is_quoted && *byte == b'\\' && !is_escaped;
    }
}

/// A quoted field of CSV.
pub(crate) fn csv(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text {
        if *byte == b'"' {
            out.push(b'"');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

/// A string of SQL.
pub(crate) fn sql(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'\'');
    for byte in text {
        match byte {
            b'\'' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            0 => out.extend_from_slice(b"\\0"),
            byte => out.push(*byte),
        }
    }
    out.push(b'\'');
}

/// A JSON string. Bytes that are no UTF-8 stay as they are, as ClickHouse writes and reads them.
pub(crate) fn json(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control @ 0..=0x1f => out.extend_from_slice(format!("\\u{control:04x}").as_bytes()),
            byte => out.push(*byte),
        }
    }
    out.push(b'"');
}

/// A column's name as it stands in front of its value in JSON, without the colon.
pub(crate) fn json_name(name: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len() + 2);
    json(name.as_bytes(), &mut out);
    out
}

/// A column's name as it stands in front of its value in TSKV, with the `=`.
pub(crate) fn tskv_name(name: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len() + 1);
    let mut rest = name.as_bytes();
    while let Some(at) = memchr::memchr(b'=', rest) {
        tab_separated(&rest[..at], &mut out);
        out.extend_from_slice(b"\\=");
        rest = &rest[at + 1..];
    }
    tab_separated(rest, &mut out);
    out.push(b'=');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(data_type: &str, text: &str, expected: &str) {
        let mut out = Vec::new();
        tab_separated_value(text.as_bytes(), &DataType::parse(data_type).unwrap(), &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn texts_are_escaped_for_tab_separated_and_nested_values_only_in_their_quotes() {
        check("String", "a\\b\tc", "a\\\\b\\tc");
        check("Array(String)", "['a\\'b\tc',\n'd']", "['a\\'b\\tc', 'd']");
        check("Array(String)", "['a\\\n']", "['a\\n']");
    }

    #[test]
    fn names_are_written_as_each_format_reads_them() {
        assert_eq!(json_name("a\"b"), br#""a\"b""#);
        assert_eq!(tskv_name("a=b\t"), br"a\=b\t=");
    }
}
