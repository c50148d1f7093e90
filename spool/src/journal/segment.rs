//! The bytes of a segment's head.
//!
//! ```text
//!  0  8  magic "WEIR.LOG"
//!  8  4  version, see [`VERSION`]
//! 12  4  bytes of the head, 64: the records begin here
//! 16 16  the spool's id
//! 32  8  the segment's number
//! 40  8  salt of the records' head checksums, random
//! 48  8  records of the segment before this one, if that was closed in order; all ones if it was not
//! 56  8  XXH3 of the 56 bytes before
//! ```

use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use super::{SegmentError, VERSION};

pub(super) const HEAD_BYTES: usize = 64;
const CHECKED_BYTES: usize = HEAD_BYTES - 8;
const MAGIC: [u8; 8] = *b"WEIR.LOG";
/// In place of a number of records: the segment before was not closed by the process that wrote this one.
const NOT_CLOSED: u64 = u64::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHead {
    pub spool: Uuid,
    pub segment: u64,
    pub salt: u64,
    /// Records of the segment before, if that was closed in order.
    pub records_before: Option<u64>,
}

impl SegmentHead {
    pub fn to_bytes(self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&(HEAD_BYTES as u32).to_le_bytes());
        bytes[16..32].copy_from_slice(self.spool.as_bytes());
        bytes[32..40].copy_from_slice(&self.segment.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.salt.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.records_before.unwrap_or(NOT_CLOSED).to_le_bytes());
        let checksum = xxh3_64(&bytes[..CHECKED_BYTES]);
        bytes[CHECKED_BYTES..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads the head of the segment that its file's name calls `segment`.
    pub fn parse(bytes: &[u8; HEAD_BYTES], segment: u64) -> Result<SegmentHead, SegmentError> {
        let damaged = |why| SegmentError::Head { segment, why };
        if bytes[..8] != MAGIC {
            return Err(damaged("it does not begin with WEIR.LOG"));
        }
        match u32_at(bytes, 8) {
            0 => return Err(damaged("its version is 0")),
            1..=VERSION => {}
            found => return Err(SegmentError::Newer { segment, found }),
        }
        if u64_at(bytes, CHECKED_BYTES) != xxh3_64(&bytes[..CHECKED_BYTES]) {
            return Err(damaged("its checksum does not hold"));
        }
        if u64_at(bytes, 32) != segment {
            return Err(damaged("it has another segment's number"));
        }
        let mut spool = [0; 16];
        spool.copy_from_slice(&bytes[16..32]);
        Ok(SegmentHead {
            spool: Uuid::from_bytes(spool),
            segment,
            salt: u64_at(bytes, 40),
            records_before: Some(u64_at(bytes, 48)).filter(|&records| records != NOT_CLOSED),
        })
    }
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
