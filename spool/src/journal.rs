//! The journal: group commits in order, each whole or not there.
//!
//! ```text
//! journal/<20 digits>.log     a segment: head (64 bytes), then records end to end, each at a multiple of 8,
//! then zeros
//! journal/staged-<insert>     rows that commit records point to (stage.rs)
//! ```
//!
//! # What a reader may conclude
//!
//! A segment is written by one thread from front to back, over space that reads as zeros. So, where the next
//! record should begin:
//!
//! | What is there | What it means |
//! |---|---|
//! | a record whose head and body have their checksums | it was written whole |
//! | the end of the file, or nothing but zeros | that is all there is |
//! | anything else, nothing valid behind it | a write was cut by a crash: **torn**. It was never answered; it is cut off |
//! | anything else, a valid record behind it | **damaged**. If that record says that the place had been synced before, the disk lost what was acknowledged; if not, a power loss took records that nobody had waited for. The records behind are read |
//! | too few records, as the next segment tells | **damaged**: a closed segment was whole and synced before the next was begun |
//!
//! A record head's checksum begins with a random salt from its segment's head, so that rows of a client can
//! never pass for records, nor records of one segment for another's. The first segment after a start is
//! always a new one: nothing is appended behind a crash.

mod checkpoint;
mod read;
mod record;
mod segment;
mod write;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::Disk;
use crate::entry::CodecError;

pub use checkpoint::{CheckpointError, decode_checkpoint, encode_checkpoint};
pub use read::{Item, SegmentReader};
pub use write::{Writer, WriterOptions};

/// The version that is written; older ones are read. 2 added [`Awaits::One`](crate::event::Awaits::One), 3
/// [`Event::Disproved`](crate::event::Event::Disproved) and what checkpoints say of waiting batches, 4 the time of attempts, 5
/// [`Event::Joined`](crate::event::Event::Joined).
pub const VERSION: u32 = 5;

/// Bytes of a record's body before compression: its facts, and the rows that are inline. The writer's caller
/// gathers far less (some MiB); this only keeps a damaged length from taking memory.
pub const RECORD_RAW_BYTES_MAX: usize = 256 << 20;

/// Where a record begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Number of its segment.
    pub segment: u64,
    /// Offset in the segment.
    pub offset: u64,
}

/// Why something was not written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JournalError {
    /// A write or sync failed, now or earlier. What is on disk is not known, so nothing more is written by
    /// this process;
    /// the next start reads what is there. Never tried again.
    #[error("the journal takes nothing more: {operation} of segment {segment} failed: {cause}")]
    Poisoned {
        /// What failed first.
        operation: &'static str,
        /// Which segment.
        segment: u64,
        /// The operating system's words.
        cause: Arc<io::Error>,
    },
    /// Space for the record, or the file of the next segment, could not be had. Nothing was written and
    /// nothing is lost:
    /// the same call may succeed later.
    #[error("no space for journal segment {segment}: {cause}")]
    NoSpace {
        /// Which segment.
        segment: u64,
        /// The operating system's words.
        cause: Arc<io::Error>,
    },
    /// The record cannot be stored. Nothing was written; the same record will never fit.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The record's rows are too many bytes. Nothing was written; the same record will never fit.
    #[error("a journal record of {bytes} bytes, at most {RECORD_RAW_BYTES_MAX} can be stored")]
    TooLarge {
        /// Its bytes.
        bytes: usize,
    },
}

/// Why a segment cannot be read at all. The file is left as it is.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The operating system refuses.
    #[error("reading journal segment {segment}: {source}")]
    Io {
        /// Its number.
        segment: u64,
        /// The cause.
        source: io::Error,
    },
    /// A later release of Weir wrote it.
    #[error("journal segment {segment} is of version {found}, this release reads up to {VERSION}")]
    Newer {
        /// Its number.
        segment: u64,
        /// Its version.
        found: u32,
    },
    /// The head is damaged, or it is no segment, or another's. Records cannot be told from rows without the
    /// head.
    #[error("the head of journal segment {segment} is damaged: {why}")]
    Head {
        /// Its number.
        segment: u64,
        /// What is wrong.
        why: &'static str,
    },
    /// It has nothing but zeros, and no later segment tells of records in it: a crash while it was made.
    /// Nothing is lost.
    #[error("journal segment {segment} was never begun")]
    Unbegun {
        /// Its number.
        segment: u64,
    },
}

/// Numbers of the segments in a directory, in order. Names of another form are not ours.
pub fn segments(disk: &dyn Disk, directory: &Path) -> io::Result<Vec<u64>> {
    let mut numbers: Vec<u64> = disk
        .read_dir(directory)?
        .iter()
        .filter_map(|file| number_of(&file.name))
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The file of a segment.
pub fn segment_path(directory: &Path, segment: u64) -> PathBuf {
    directory.join(format!("{segment:020}.log"))
}

/// Removes what a crash left at the end of a segment, and syncs.
pub fn cut_torn_tail(disk: &dyn Disk, directory: &Path, at: Position) -> io::Result<()> {
    let file = disk.open(&segment_path(directory, at.segment))?;
    file.set_len(at.offset)?;
    file.sync()
}

fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    let all_digits = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if all_digits { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests;
