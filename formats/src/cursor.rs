//! `Cursor`: the position in a row of a binary format.

use std::ops::Range;

use crate::error::code;
use crate::framing::{Stop, Window, byte};
use crate::stream::too_long;

pub(crate) const REST: &str = "the rest of the row";

/// A LEB128 number of 64 bits has at most ten bytes.
const VARINT_BYTES_MAX: usize = 10;

/// Walks over the bytes of one row, or of a header.
pub(crate) struct Cursor<'a, 'w> {
    pub window: &'a Window<'w>,
    /// Where the row began.
    pub row: usize,
    pub at: usize,
}

impl<'a, 'w> Cursor<'a, 'w> {
    /// A cursor at the beginning of a row.
    pub(crate) fn new(window: &'a Window<'w>, at: usize) -> Self {
        Self { window, row: at, at }
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Stop> {
        let found = byte(self.window, self.at, REST)?;
        self.at += 1;
        Ok(found)
    }

    /// The next bytes, as many as the array has.
    pub(crate) fn array<const LEN: usize>(&mut self) -> Result<[u8; LEN], Stop> {
        let range = self.skip(LEN as u64)?;
        let mut array = [0; LEN];
        array.copy_from_slice(&self.window.bytes[range]);
        Ok(array)
    }

    /// A number as ClickHouse writes lengths: seven bits a byte, the low ones first.
    pub(crate) fn varint(&mut self) -> Result<u64, Stop> {
        let start = self.at;
        let mut value = 0_u64;
        for index in 0..VARINT_BYTES_MAX {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Stop::fault(
            code::INCORRECT_DATA,
            start,
            "expected a length of at most ten bytes",
        ))
    }

    /// Passes a length and its bytes, and says where these lie.
    pub(crate) fn text(&mut self) -> Result<Range<usize>, Stop> {
        let len = self.varint()?;
        self.skip(len)
    }

    /// Passes `len` bytes and says where they lie. Their number may be a lie: a row above the limit is refused before
    /// its bytes are there.
    pub(crate) fn skip(&mut self, len: u64) -> Result<Range<usize>, Stop> {
        let start = self.at;
        let before = (start - self.row) as u64;
        if before.saturating_add(len) > self.window.row_bytes_max as u64 {
            return Err(Stop::Fault(too_long(self.row, self.window.row_bytes_max)));
        }
        // At most row_bytes_max, so it fits.
        let end = start + len as usize;
        if end > self.window.bytes.len() {
            return Err(Stop::More { expected: REST });
        }
        self.at = end;
        Ok(start..end)
    }
}
