//! The bytes of one record: a head of 48, then the body.
//!
//! ```text
//!  0  4  magic "WREC"
//!  4  4  how the body is stored: 0 as it is, 1 as an LZ4 block
//!  8  8  number of the record in its segment, from 0
//! 16  8  bytes of the segment that had been synced when this was written
//! 24  4  bytes of the body as stored
//! 28  4  bytes of the body as decoded
//! 32  8  XXH3 of the body as stored
//! 40  8  XXH3, seeded with the segment's salt, of the 40 bytes before
//! 48  …  the body (entry.rs), then zeros up to a multiple of 8
//! ```
//!
//! Head and body have checksums of their own: the head's tells that a record was begun here, and how far it
//! goes.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::segment::{u32_at, u64_at};
use super::{JournalError, RECORD_RAW_BYTES_MAX};

pub(super) const HEAD_BYTES: usize = 48;
/// Records begin at multiples of this, so that a search for the next one behind a damage need not try every
/// byte.
pub(super) const ALIGNMENT: usize = 8;
pub(super) const MAGIC: [u8; 4] = *b"WREC";
const CHECKED_BYTES: usize = HEAD_BYTES - 8;
const STORED_PLAIN: u32 = 0;
const STORED_LZ4: u32 = 1;

/// What a record's head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordHead {
    lz4: bool,
    /// Its number in the segment.
    pub number: u64,
    /// Bytes of the segment that were synced before it was written.
    pub synced_bytes: u64,
    /// Bytes of the body as stored.
    pub stored_bytes: usize,
    raw_bytes: usize,
    body_checksum: u64,
}

impl RecordHead {
    /// Reads a head; none if these bytes are not one of this segment.
    pub fn parse(bytes: &[u8; HEAD_BYTES], salt: u64) -> Option<RecordHead> {
        let checksum_holds = bytes[..4] == MAGIC
            && u64_at(bytes, CHECKED_BYTES) == xxh3_64_with_seed(&bytes[..CHECKED_BYTES], salt);
        let stored = u32_at(bytes, 4);
        let head = RecordHead {
            lz4: stored == STORED_LZ4,
            number: u64_at(bytes, 8),
            synced_bytes: u64_at(bytes, 16),
            stored_bytes: u32_at(bytes, 24) as usize,
            raw_bytes: u32_at(bytes, 28) as usize,
            body_checksum: u64_at(bytes, 32),
        };
        let possible = stored <= STORED_LZ4
            && head.raw_bytes <= RECORD_RAW_BYTES_MAX
            && head.stored_bytes <= head.raw_bytes;
        (checksum_holds && possible).then_some(head)
    }

    fn to_bytes(self, salt: u64) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&if self.lz4 { STORED_LZ4 } else { STORED_PLAIN }.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.synced_bytes.to_le_bytes());
        bytes[24..28].copy_from_slice(&length_bytes(self.stored_bytes));
        bytes[28..32].copy_from_slice(&length_bytes(self.raw_bytes));
        bytes[32..40].copy_from_slice(&self.body_checksum.to_le_bytes());
        let checksum = xxh3_64_with_seed(&bytes[..CHECKED_BYTES], salt);
        bytes[CHECKED_BYTES..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Bytes from this record's head to where the next one begins.
    pub fn span(&self) -> u64 {
        (HEAD_BYTES + self.stored_bytes).next_multiple_of(ALIGNMENT) as u64
    }

    /// The body as it was encoded, if the stored one is whole.
    pub fn open(&self, stored: Vec<u8>) -> Result<Vec<u8>, String> {
        if stored.len() != self.stored_bytes || xxh3_64(&stored) != self.body_checksum {
            return Err("the checksum of the body does not hold".into());
        }
        if !self.lz4 {
            return Ok(stored);
        }
        let mut raw = vec![0; self.raw_bytes];
        match lz4_flex::block::decompress_into(&stored, &mut raw) {
            Ok(bytes) if bytes == self.raw_bytes => Ok(raw),
            Ok(bytes) => Err(format!(
                "{bytes} bytes came out of the body, its head says {}",
                self.raw_bytes
            )),
            Err(error) => Err(format!("the body does not decompress: {error}")),
        }
    }
}

/// Replaces `out` with the whole record, up to where the next begins.
pub(super) fn write(
    body: &[u8],
    number: u64,
    synced_bytes: u64,
    salt: u64,
    out: &mut Vec<u8>,
) -> Result<(), JournalError> {
    if body.len() > RECORD_RAW_BYTES_MAX {
        return Err(JournalError::TooLarge { bytes: body.len() });
    }
    out.clear();
    out.resize(
        HEAD_BYTES + lz4_flex::block::get_maximum_output_size(body.len()),
        0,
    );
    let lz4 = store(body, out);
    let stored = &out[HEAD_BYTES..];
    let head = RecordHead {
        lz4,
        number,
        synced_bytes,
        stored_bytes: stored.len(),
        raw_bytes: body.len(),
        body_checksum: xxh3_64(stored),
    };
    out[..HEAD_BYTES].copy_from_slice(&head.to_bytes(salt));
    out.resize(head.span() as usize, 0);
    Ok(())
}

/// Puts the body behind the head, compressed if that makes it smaller; whether it did.
fn store(body: &[u8], out: &mut Vec<u8>) -> bool {
    match lz4_flex::block::compress_into(body, &mut out[HEAD_BYTES..]) {
        Ok(bytes) if bytes < body.len() => {
            out.truncate(HEAD_BYTES + bytes);
            true
        }
        _ => {
            out.truncate(HEAD_BYTES);
            out.extend_from_slice(body);
            false
        }
    }
}

/// Lengths here are at most [`RECORD_RAW_BYTES_MAX`].
fn length_bytes(length: usize) -> [u8; 4] {
    const { assert!(RECORD_RAW_BYTES_MAX <= u32::MAX as usize) };
    (length as u32).to_le_bytes()
}
