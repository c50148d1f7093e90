//! The bytes of `meta/window-<segment>`: what INSERTs that were accepted in one journal segment are recognised by.
//!
//! ```text
//!   0  8  magic "WEIR.WIN"
//!   8  4  version, 1
//!  12  4  receipts (older files have zeros there)
//!  16 16  the spool's id
//!  32  8  number of the segment
//!  40  8  INSERTs below this number are in this file and those before it
//!  48  8  when it was written, milliseconds since 1970
//!  56  8  entries by token
//!  64  8  entries by query id
//!  72  8  entries by body
//!  80  8  keys that are free again
//!  88  8  XXH3 of the 88 bytes before and everything behind
//!  96  …  entries of 64 bytes: key 16, INSERT id 16, its number 8, committed at 8, rows 8, raw bytes 8
//!   …  …  free keys of 32 bytes: kind 8 (0, 1, 2), key 16, the number of the INSERT that had it 8; or kind 3, zeros, and the
//!         number of an INSERT whose receipt is no more
//!   …  …  receipts of 48 bytes: INSERT id 16, its number 8, committed at 8, rows 8, raw bytes 8
//! ```
//!
//! Numbers are little endian. The file is written once, beside and renamed, and never changed.

use uuid::Uuid;
use xxhash_rust::xxh3::Xxh3;

use crate::event::InsertNo;
use crate::model::InsertId;
use crate::retry::Kind;
use crate::state::receipts::KnownReceipt;
use crate::state::window::{Freed, Known, Window};

/// The version that is written.
pub const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"WEIR.WIN";
const HEAD_BYTES: usize = 96;
const CHECKED_BYTES: usize = HEAD_BYTES - 8;
const KNOWN_BYTES: usize = 64;
const FREED_BYTES: usize = 32;
const RECEIPT_BYTES: usize = 48;

/// In the place of a kind of key: a receipt is no more.
const FREED_RECEIPT: u64 = Kind::ALL.len() as u64;

/// Why a window file is not read. What it knew is forgotten; nothing else is lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowFileError {
    /// A later release of Weir wrote it.
    #[error("it is of version {found}, this release reads up to {VERSION}")]
    Newer {
        /// Its version.
        found: u32,
    },
    /// It is not what was written.
    #[error("it is damaged: {why}")]
    Damaged {
        /// What is wrong.
        why: &'static str,
    },
}

/// What a file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowHead {
    /// Whose it is.
    pub spool: Uuid,
    /// The journal segment.
    pub segment: u64,
    /// INSERTs below this number are in this file and those before it.
    pub before: InsertNo,
    /// Milliseconds since 1970.
    pub written_at_ms: u64,
}

/// A sound file.
#[derive(Debug)]
pub struct WindowFile<'a> {
    /// What it says of itself.
    pub head: WindowHead,
    counts: [usize; Kind::ALL.len()],
    entries: &'a [u8],
    freed: &'a [u8],
    receipts: &'a [u8],
}

/// The whole file: what of `window` is in none yet.
pub fn encode(head: &WindowHead, window: &Window) -> Vec<u8> {
    let mut file = vec![0; HEAD_BYTES];
    file[..8].copy_from_slice(&MAGIC);
    file[8..12].copy_from_slice(&VERSION.to_le_bytes());
    file[16..32].copy_from_slice(head.spool.as_bytes());
    put(&mut file, 32, head.segment);
    put(&mut file, 40, head.before);
    put(&mut file, 48, head.written_at_ms);
    for (kind, at) in Kind::ALL.into_iter().zip([56, 64, 72]) {
        let start = file.len();
        window.unsaved(kind).for_each(|known| put_known(&mut file, known));
        let count = (file.len() - start) / KNOWN_BYTES;
        put(&mut file, at, count as u64);
    }
    let receipts = &window.receipts;
    put(
        &mut file,
        80,
        (window.freed().len() + receipts.freed().len()) as u64,
    );
    let freed = window.freed().iter();
    let keys = freed.map(|freed| (freed.kind as u64, freed.key, freed.number));
    let no_more = receipts.freed().iter().map(|number| (FREED_RECEIPT, 0, *number));
    keys.chain(no_more)
        .for_each(|(kind, key, number)| put_freed(&mut file, kind, key, number));
    let start = file.len();
    receipts.unsaved().for_each(|known| put_receipt(&mut file, known));
    // There are never more than the windows' million entries, and fewer of these.
    let count = ((file.len() - start) / RECEIPT_BYTES) as u32;
    file[12..16].copy_from_slice(&count.to_le_bytes());
    let checksum = checksum(&file);
    put(&mut file, CHECKED_BYTES, checksum);
    file
}

/// Reads the whole file.
pub fn decode(file: &[u8]) -> Result<WindowFile<'_>, WindowFileError> {
    let damaged = |why| WindowFileError::Damaged { why };
    if file.len() < HEAD_BYTES {
        return Err(damaged("it is cut short"));
    }
    if file[..8] != MAGIC {
        return Err(damaged("it does not begin with WEIR.WIN"));
    }
    let found = u32::from_le_bytes(bytes_at(file, 8));
    if found > VERSION {
        return Err(WindowFileError::Newer { found });
    }
    if number_at(file, CHECKED_BYTES) != checksum(file) {
        return Err(damaged("its checksum does not hold"));
    }
    let counts = [56, 64, 72].map(|at| count_at(file, at));
    let entries_bytes = counts
        .iter()
        .fold(0_usize, |sum, count| sum.saturating_add(*count))
        .saturating_mul(KNOWN_BYTES);
    let (entries, rest) = file[HEAD_BYTES..]
        .split_at_checked(entries_bytes)
        .ok_or_else(|| damaged("it has fewer entries than it says"))?;
    let (freed, receipts) = rest
        .split_at_checked(count_at(file, 80).saturating_mul(FREED_BYTES))
        .ok_or_else(|| damaged("it has fewer free keys than it says"))?;
    let receipts_count = u32::from_le_bytes(bytes_at(file, 12)) as usize;
    if receipts.len() != receipts_count.saturating_mul(RECEIPT_BYTES) {
        return Err(damaged("it does not have the length that it says"));
    }
    Ok(WindowFile {
        head: WindowHead {
            spool: Uuid::from_bytes(bytes_at(file, 16)),
            segment: number_at(file, 32),
            before: number_at(file, 40),
            written_at_ms: number_at(file, 48),
        },
        counts,
        entries,
        freed,
        receipts,
    })
}

impl WindowFile<'_> {
    /// Its entries, kind by kind in the order of their commits.
    pub fn entries(&self) -> impl Iterator<Item = (Kind, Known)> {
        let kinds = Kind::ALL.into_iter().zip(self.counts);
        let kinds = kinds.flat_map(|(kind, count)| std::iter::repeat_n(kind, count));
        kinds.zip(self.entries.chunks_exact(KNOWN_BYTES).map(known))
    }

    /// Keys of earlier files that are free again.
    pub fn freed(&self) -> impl Iterator<Item = Freed> {
        self.freed.chunks_exact(FREED_BYTES).filter_map(freed)
    }

    /// Its receipts, in the order of their commits.
    pub fn receipts(&self) -> impl Iterator<Item = KnownReceipt> {
        self.receipts.chunks_exact(RECEIPT_BYTES).map(receipt)
    }

    /// INSERTs of earlier files whose receipts are no more.
    pub fn freed_receipts(&self) -> impl Iterator<Item = InsertNo> {
        let freed = self.freed.chunks_exact(FREED_BYTES);
        let of_receipts = freed.filter(|bytes| number_at(bytes, 0) == FREED_RECEIPT);
        of_receipts.map(|bytes| number_at(bytes, 24))
    }
}

fn put(file: &mut [u8], at: usize, number: u64) {
    file[at..at + 8].copy_from_slice(&number.to_le_bytes());
}

fn put_known(file: &mut Vec<u8>, known: &Known) {
    file.extend_from_slice(&known.key.to_le_bytes());
    file.extend_from_slice(known.insert.0.as_bytes());
    for number in [known.number, known.at_ms, known.rows, known.raw_bytes] {
        file.extend_from_slice(&number.to_le_bytes());
    }
}

fn put_freed(file: &mut Vec<u8>, kind: u64, key: u128, number: InsertNo) {
    file.extend_from_slice(&kind.to_le_bytes());
    file.extend_from_slice(&key.to_le_bytes());
    file.extend_from_slice(&number.to_le_bytes());
}

fn put_receipt(file: &mut Vec<u8>, known: &KnownReceipt) {
    file.extend_from_slice(known.insert.0.as_bytes());
    for number in [known.number, known.at_ms, known.rows, known.raw_bytes] {
        file.extend_from_slice(&number.to_le_bytes());
    }
}

fn receipt(bytes: &[u8]) -> KnownReceipt {
    KnownReceipt {
        insert: InsertId(Uuid::from_bytes(bytes_at(bytes, 0))),
        number: number_at(bytes, 16),
        at_ms: number_at(bytes, 24),
        rows: number_at(bytes, 32),
        raw_bytes: number_at(bytes, 40),
    }
}

fn known(bytes: &[u8]) -> Known {
    Known {
        key: u128::from_le_bytes(bytes_at(bytes, 0)),
        insert: InsertId(Uuid::from_bytes(bytes_at(bytes, 16))),
        number: number_at(bytes, 32),
        at_ms: number_at(bytes, 40),
        rows: number_at(bytes, 48),
        raw_bytes: number_at(bytes, 56),
    }
}

/// None for what is no key.
fn freed(bytes: &[u8]) -> Option<Freed> {
    let kind = *Kind::ALL.get(count_at(bytes, 0))?;
    Some(Freed {
        kind,
        key: u128::from_le_bytes(bytes_at(bytes, 8)),
        number: number_at(bytes, 24),
    })
}

/// So many bytes from there; the callers have looked at the length.
fn bytes_at<const BYTES: usize>(bytes: &[u8], at: usize) -> [u8; BYTES] {
    let mut found = [0; BYTES];
    found.copy_from_slice(&bytes[at..at + BYTES]);
    found
}

fn number_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes_at(bytes, at))
}

fn count_at(bytes: &[u8], at: usize) -> usize {
    usize::try_from(number_at(bytes, at)).unwrap_or(usize::MAX)
}

fn checksum(file: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&file[..CHECKED_BYTES]);
    hash.update(&file[HEAD_BYTES..]);
    hash.digest()
}

#[cfg(test)]
mod tests;
