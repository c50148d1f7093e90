//! A look over what stands in Thrift's compact encoding, before the crate that reads Parquet does.
//!
//! That crate skips what it does not know element by element, and takes a list's number of elements at its word: two billion
//! booleans, which have no bytes of their own there, are twelve seconds of work for a file of 1,078 bytes (found by fuzzing).
//! So a head is walked through first, in time linear to its bytes; Parquet itself has no list of booleans and no map in a page's
//! head or a file's footer, and these are refused.

/// Structures inside of structures; Parquet's own are a handful.
const DEPTH_MAX: u32 = 32;

/// Why a head cannot be walked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Bytes are missing.
    Short,
    /// No reader takes it.
    Bad,
}

/// Walks through a struct, and answers what stands behind it.
pub(super) fn after_struct(bytes: &[u8]) -> Result<&[u8], Fault> {
    structure(bytes, DEPTH_MAX)
}

/// A number in seven bits a byte, the low ones first, and what stands behind it.
pub(super) fn varint(bytes: &[u8]) -> Result<(u64, &[u8]), Fault> {
    let mut value = 0;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok((value, &bytes[at + 1..]));
        }
    }
    Err(if bytes.len() < 10 {
        Fault::Short
    } else {
        Fault::Bad
    })
}

fn structure(mut bytes: &[u8], depth: u32) -> Result<&[u8], Fault> {
    let depth = depth.checked_sub(1).ok_or(Fault::Bad)?;
    loop {
        let (head, rest) = bytes.split_first().ok_or(Fault::Short)?;
        if *head == 0 {
            return Ok(rest);
        }
        // The field's number is a step from the one before, or stands behind as a number of its own.
        bytes = match head >> 4 {
            0 => varint(rest)?.1,
            _ => rest,
        };
        bytes = match head & 0x0f {
            BOOLEAN_TRUE | BOOLEAN_FALSE => bytes,
            kind => value(kind, bytes, depth)?,
        };
    }
}

const BOOLEAN_TRUE: u8 = 1;
const BOOLEAN_FALSE: u8 = 2;

/// A value that has bytes.
fn value(kind: u8, bytes: &[u8], depth: u32) -> Result<&[u8], Fault> {
    match kind {
        3 => behind(bytes, 1),
        4..=6 => varint(bytes).map(|(_, rest)| rest),
        7 => behind(bytes, 8),
        8 => {
            let (length, rest) = varint(bytes)?;
            behind(rest, usize::try_from(length).map_err(|_| Fault::Bad)?)
        }
        9 | 10 => list(bytes, depth),
        12 => structure(bytes, depth),
        13 => behind(bytes, 16),
        _ => Err(Fault::Bad),
    }
}

/// Elements of one kind, each of a byte at least.
fn list(bytes: &[u8], depth: u32) -> Result<&[u8], Fault> {
    let depth = depth.checked_sub(1).ok_or(Fault::Bad)?;
    let (head, mut rest) = bytes.split_first().ok_or(Fault::Short)?;
    let size = match head >> 4 {
        15 => {
            let (size, behind) = varint(rest)?;
            rest = behind;
            size
        }
        size => size.into(),
    };
    for _ in 0..size {
        rest = value(head & 0x0f, rest, depth)?;
    }
    Ok(rest)
}

fn behind(bytes: &[u8], length: usize) -> Result<&[u8], Fault> {
    bytes.get(length..).ok_or(Fault::Short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: Result<&[u8], Fault>) {
        assert_eq!(after_struct(bytes), expected);
    }

    #[test]
    fn a_struct_is_walked_through_to_its_end() {
        check(b"\0rest", Ok(b"rest"));
        check(b"\x15\x80\x01\x11\x18\x02ab\x1c\x15\x02\0\0rest", Ok(b"rest"));
        check(b"\x05\x08\x02\x19\x25\x02\x04\0rest", Ok(b"rest"));
        check(b"\x19\xf5\x02\x02\x04\0rest", Ok(b"rest"));
    }

    #[test]
    fn what_is_cut_off_is_told_from_what_no_reader_takes() {
        let whole = b"\x15\x80\x01\x11\x18\x02ab\x1c\x15\x02\0\x19\x25\x02\x04\0";
        assert_eq!(after_struct(whole), Ok(&b""[..]));
        for cut in 0..whole.len() {
            check(&whole[..cut], Err(Fault::Short));
        }
        check(b"\x1e\0", Err(Fault::Bad));
        check(&[0x1c; 100], Err(Fault::Bad));
    }

    #[test]
    fn lists_of_what_has_no_bytes_and_maps_are_refused_at_once() {
        check(b"\x19\xf1\xff\xff\xff\xff\x07\0", Err(Fault::Bad));
        check(b"\x1b\xff\xff\xff\xff\x07\x11\0", Err(Fault::Bad));
        check(b"\x19\xf3\xff\xff\xff\xff\x07\0", Err(Fault::Short));
    }
}
