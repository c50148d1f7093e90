//! A look over what stands in Thrift's compact encoding, before the crate that reads Parquet does.
//!
//! That crate skips what it does not know element by element, and takes a list's number of elements at its word: two billion
//! booleans, which have no bytes of their own there, are twelve seconds of work for a file of 1,078 bytes (found by fuzzing).
//! So a head is walked through first, in time linear to its bytes; Parquet itself has no list of booleans and no map in a page's
//! head or a file's footer, and these are refused.

use crate::cursor::Cursor;
use crate::framing::{Stop, Window};

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

impl From<Stop> for Fault {
    fn from(stop: Stop) -> Fault {
        match stop {
            Stop::More { .. } => Fault::Short,
            Stop::Fault(_) => Fault::Bad,
        }
    }
}

/// The bytes of a head, which are all that is looked at.
pub(super) fn window(bytes: &[u8]) -> Window<'_> {
    Window {
        bytes,
        last: false,
        // What is longer than the bytes is missing, not too long; half of what there can be, so that no sum overflows.
        row_bytes_max: usize::MAX / 2,
    }
}

/// Walks through a struct, and answers what stands behind it.
pub(super) fn after_struct(bytes: &[u8]) -> Result<&[u8], Fault> {
    let window = window(bytes);
    let mut cursor = Cursor::new(&window, 0);
    structure(&mut cursor, DEPTH_MAX)?;
    Ok(&bytes[cursor.at..])
}

fn structure(cursor: &mut Cursor<'_, '_>, depth: u32) -> Result<(), Fault> {
    let depth = depth.checked_sub(1).ok_or(Fault::Bad)?;
    loop {
        let head = cursor.byte()?;
        if head == 0 {
            return Ok(());
        }
        // The field's number is a step from the one before, or stands behind as a number of its own.
        if head >> 4 == 0 {
            cursor.varint()?;
        }
        match head & 0x0f {
            BOOLEAN_TRUE | BOOLEAN_FALSE => {}
            kind => value(kind, cursor, depth)?,
        }
    }
}

const BOOLEAN_TRUE: u8 = 1;
const BOOLEAN_FALSE: u8 = 2;

/// A value that has bytes.
fn value(kind: u8, cursor: &mut Cursor<'_, '_>, depth: u32) -> Result<(), Fault> {
    match kind {
        3 => cursor.byte().map(drop)?,
        4..=6 => cursor.varint().map(drop)?,
        7 => cursor.skip(8).map(|_| ())?,
        8 => cursor.text().map(|_| ())?,
        9 | 10 => list(cursor, depth)?,
        12 => structure(cursor, depth)?,
        13 => cursor.skip(16).map(|_| ())?,
        _ => return Err(Fault::Bad),
    }
    Ok(())
}

/// Elements of one kind, each of a byte at least.
fn list(cursor: &mut Cursor<'_, '_>, depth: u32) -> Result<(), Fault> {
    let depth = depth.checked_sub(1).ok_or(Fault::Bad)?;
    let head = cursor.byte()?;
    let size = match head >> 4 {
        15 => cursor.varint()?,
        size => size.into(),
    };
    for _ in 0..size {
        value(head & 0x0f, cursor, depth)?;
    }
    Ok(())
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
