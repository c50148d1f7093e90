//! Backslash escapes as ClickHouse reads and writes them in TabSeparated, Values and nested text.

use crate::cursor::Cursor;
use crate::error::{Outcome, code};

/// Reads what follows a backslash (already read) and appends what it stands for.
pub(crate) fn unescape(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Outcome<()> {
    let Some(escaped) = cursor.next() else {
        return code::CANNOT_PARSE_ESCAPE_SEQUENCE.refuse("a backslash ends the data");
    };
    match escaped {
        b'x' => out.push(hex_byte(cursor)?),
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
        b'\\' | b'\'' | b'"' | b'`' | b'/' | b'=' => out.push(escaped),
        control if control.is_ascii_control() => out.push(control),
        // An escape ClickHouse does not know keeps its backslash, so that `\d` of a pattern survives.
        other => out.extend([b'\\', other]),
    }
    Ok(())
}

fn hex_byte(cursor: &mut Cursor<'_>) -> Outcome<u8> {
    let digits = cursor
        .bytes(2)
        .and_then(|digits| std::str::from_utf8(digits).ok());
    let byte = digits
        .filter(|digits| !digits.starts_with('+'))
        .and_then(|digits| u8::from_str_radix(digits, 16).ok());
    byte.ok_or_else(|| code::CANNOT_PARSE_ESCAPE_SEQUENCE.error("expected two hexadecimal digits behind \\x"))
}

/// Appends bytes with the escapes of TabSeparated and of quoted strings.
pub(crate) fn write_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        match byte {
            0x08 => out.extend(b"\\b"),
            0x0c => out.extend(b"\\f"),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            0 => out.extend(b"\\0"),
            b'\\' => out.extend(b"\\\\"),
            b'\'' => out.extend(b"\\'"),
            plain => out.push(*plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unescaped(text: &[u8]) -> Outcome<Vec<u8>> {
        let mut cursor = Cursor::new(text);
        let mut out = Vec::new();
        while let Some(byte) = cursor.next() {
            match byte {
                b'\\' => unescape(&mut cursor, &mut out)?,
                plain => out.push(plain),
            }
        }
        Ok(out)
    }

    #[test]
    fn escapes_stand_for_what_clickhouse_says() {
        assert_eq!(unescaped(br"a\tb\n\\\'\x41\0\d").unwrap(), b"a\tb\n\\'A\0\\d");
        for cut in [&br"\"[..], br"\x", br"\x4", br"\xzz", br"\x+1"] {
            assert_eq!(
                unescaped(cut).unwrap_err().code,
                code::CANNOT_PARSE_ESCAPE_SEQUENCE
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_back(bytes: Vec<u8>) {
            let mut escaped = Vec::new();
            write_escaped(&bytes, &mut escaped);
            proptest::prop_assert!(!escaped.contains(&b'\t') && !escaped.contains(&b'\n'));
            proptest::prop_assert_eq!(unescaped(&escaped).unwrap(), bytes);
        }
    }
}
