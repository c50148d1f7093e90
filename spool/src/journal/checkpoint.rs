//! The bytes of the checkpoint file: a head of 32, then the body (entry.rs).
//!
//! ```text
//!  0  8  magic "WEIR.CHK"
//!  8  4  version, 1 or 2
//! 12  4  zeros
//! 16  8  bytes of the body
//! 24  8  XXH3 of the 24 bytes before and the body
//! ```
//!
//! The file is replaced as a whole (written beside, synced, renamed, directory synced), so it is the old one
//! or the new one.

use xxhash_rust::xxh3::Xxh3;

use super::VERSION;
use super::segment::{u32_at, u64_at};
use crate::entry::{self, CodecError};
use crate::event::Checkpoint;

const HEAD_BYTES: usize = 32;
const CHECKED_BYTES: usize = HEAD_BYTES - 8;
const MAGIC: [u8; 8] = *b"WEIR.CHK";

/// Why a checkpoint cannot be read. Recovery then reads every segment there is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// A later release of Weir wrote it.
    #[error("the checkpoint is of version {found}, this release reads up to {VERSION}")]
    Newer {
        /// Its version.
        found: u32,
    },
    /// It is not what was written.
    #[error("the checkpoint is damaged: {why}")]
    Damaged {
        /// What is wrong.
        why: &'static str,
    },
    /// Its checksum holds, its body is none.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// The whole file.
pub fn encode_checkpoint(checkpoint: &Checkpoint) -> Result<Vec<u8>, CodecError> {
    let body = entry::encode_checkpoint(checkpoint)?;
    let mut file = vec![0; HEAD_BYTES];
    file[..8].copy_from_slice(&MAGIC);
    file[8..12].copy_from_slice(&VERSION.to_le_bytes());
    file[16..24].copy_from_slice(&(body.len() as u64).to_le_bytes());
    let checksum = checksum(&file[..CHECKED_BYTES], &body);
    file[CHECKED_BYTES..].copy_from_slice(&checksum.to_le_bytes());
    file.extend_from_slice(&body);
    Ok(file)
}

/// Reads the whole file.
pub fn decode_checkpoint(file: &[u8]) -> Result<Checkpoint, CheckpointError> {
    let damaged = |why| CheckpointError::Damaged { why };
    let (head, body) = file
        .split_at_checked(HEAD_BYTES)
        .ok_or_else(|| damaged("it is cut short"))?;
    if head[..8] != MAGIC {
        return Err(damaged("it does not begin with WEIR.CHK"));
    }
    if u32_at(head, 8) > VERSION {
        return Err(CheckpointError::Newer {
            found: u32_at(head, 8),
        });
    }
    if u64_at(head, 16) != body.len() as u64 {
        return Err(damaged("it does not have the length that it says"));
    }
    if u64_at(head, CHECKED_BYTES) != checksum(&head[..CHECKED_BYTES], body) {
        return Err(damaged("its checksum does not hold"));
    }
    Ok(match u32_at(head, 8) {
        ..=2 => entry::v2::decode_checkpoint(body)?,
        3 => entry::v3::decode_checkpoint(body)?,
        _ => entry::decode_checkpoint(body)?,
    })
}

fn checksum(head: &[u8], body: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(head);
    hash.update(body);
    hash.digest()
}
