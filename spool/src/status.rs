//! What is counted: a destination's waiting, held and kept batches, and what recovery found.

use std::path::PathBuf;
use std::time::Duration;

use crate::model::Destination;
use crate::pace::Pace;

/// A number of files and what they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Batch files.
    pub files: u64,
    /// Rows in them; 0 where only the files are counted (sent/, broken/).
    pub rows: u64,
    /// Raw bytes of those rows; 0 where only the files are counted.
    pub raw_bytes: u64,
    /// Size of the files.
    pub file_bytes: u64,
}

/// What lies at one destination now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationStatus {
    /// Which one.
    pub destination: Destination,
    /// Rows committed and not yet cut, as one file of raw bytes (`files` is 0).
    pub uncut: Tally,
    /// Batches that wait for their turn, a retry or the end of a doubt.
    pub waiting: Tally,
    /// Batches set aside.
    pub held: Tally,
    /// Batches in broken/.
    pub broken: Tally,
    /// Acknowledged batches kept in sent/.
    pub sent: Tally,
    /// Waiting batches with an attempt whose outcome is not known.
    pub in_doubt: u64,
    /// Commit time of the oldest row that is not delivered, milliseconds since 1970; of a batch, when it was
    /// cut.
    pub oldest_ms: Option<u64>,
    /// Why nothing goes there, if nothing does.
    pub destination_held: Option<String>,
    /// The error for which the first batch in line waits.
    pub last_error: Option<String>,
    /// A sender has a batch of it in hand.
    pub sending: bool,
    /// How far its batches are from the configuration's limits, since it has too much to do.
    pub pace: Pace,
    /// Rows acknowledged since the spool was opened.
    pub acknowledged_rows: u64,
}

impl DestinationStatus {
    /// Bytes that count against the destination's quota: everything not delivered, broken/ apart.
    pub fn backlog_bytes(&self) -> u64 {
        self.uncut.raw_bytes + self.waiting.file_bytes + self.held.file_bytes
    }
}

/// What a start found and did: [`Spool::recovered`](crate::Spool::recovered).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecoveryReport {
    /// Journal records read.
    pub records: u64,
    /// Journal segments read.
    pub segments: u64,
    /// Shares that wait for their cut.
    pub uncut_shares: u64,
    /// INSERTs that await `go` or `abort`.
    pub pending: u64,
    /// Batches that wait, held ones included.
    pub waiting: u64,
    /// Of those, batches with an attempt whose outcome is not known.
    pub in_doubt: u64,
    /// Shares that waited at the last checkpoint, and whose commit records are lost to damage.
    pub lost_shares: u64,
    /// Records of the journal that had been on disk are missing. What they may have said is not known: see `suspect_shares`,
    /// `kept`, and the held batches.
    pub lost_records: bool,
    /// Shares that may have been cut and sent in records that are lost: they are cut into held batches.
    pub suspect_shares: u64,
    /// Files that may hold rows of INSERTs whose records are lost, under names that nothing removes.
    pub kept: Vec<PathBuf>,
    /// What the last process wrote down when its journal failed: which group it does not know the fate of.
    pub failed: Option<String>,
    /// A record at the end of the journal that was not written whole, and is cut off: nobody was answered.
    pub torn_bytes: u64,
    /// Journal segments with damage before their end, or a checkpoint or file `id` that cannot be read; kept under these
    /// names.
    pub corrupt: Vec<PathBuf>,
    /// Cuts whose files were there, and whose record was not yet.
    pub cuts_recorded: u64,
    /// Other batch files that never had a record, removed; their rows are elsewhere.
    pub uncut_files_removed: u64,
    /// Files of INSERTs that never were committed, removed.
    pub leftovers_removed: u64,
    /// Acknowledged or broken files moved to where they belong.
    pub moved: u64,
    /// Batches whose file is not there or cannot be read, or whose record is lost: they are held. And files
    /// that hold rows of an accepted INSERT and are not there.
    pub damaged: Vec<PathBuf>,
    /// Files that are not ours or of a later version, left in place.
    pub unknown: Vec<PathBuf>,
    /// Directories that cannot be read; their destinations are held.
    pub unreadable: Vec<PathBuf>,
    /// How long it took, reading the directories behind the start included.
    pub took: Duration,
}
