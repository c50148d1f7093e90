//! What can go wrong, an enum an operation. Each says whose trouble it is and whether asking again may help.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::frames::FrameError;
use crate::model::{Destination, InsertId};

/// A file operation that failed, with the file it was about.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{action} {}: {source}", path.display())]
pub struct FileError {
    /// What was tried, as a verb: `writing`, `syncing`.
    pub action: &'static str,
    /// On which file or directory.
    pub path: PathBuf,
    /// What the operating system said.
    pub source: Arc<io::Error>,
}

impl FileError {
    /// Whether it is for want of room on the disk.
    pub fn is_want_of_room(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        matches!(self.source.kind(), StorageFull | QuotaExceeded | FileTooLarge)
    }

    /// For `map_err`: names what was tried on which path.
    pub(crate) fn at(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> FileError {
        let path = path.into();
        move |source| FileError {
            action,
            path,
            source: Arc::new(source),
        }
    }
}

/// Why a spool could not be opened. Never because of what its data files hold, unless a later release wrote them: those are
/// reported and left.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open; one router a directory.
    #[error("the spool {} is in use by {holder}", path.display())]
    Locked {
        /// The spool's directory.
        path: PathBuf,
        /// `process 4711`, or `another process` where its id is not known.
        holder: String,
    },
    /// The directory belongs to a later version of Weir; or, for a command that only looks, nothing in it says whose it is.
    #[error("the spool {} cannot be used: {reason}", path.display())]
    Foreign {
        /// The spool's directory.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The operating system refused; the operator's trouble.
    #[error("opening the spool: {0}")]
    File(#[from] FileError),
}

/// Why a lane cannot be made; the configuration's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LaneError {
    /// A lane must lead somewhere.
    #[error("the lane of {table}, shard {shard}, names no destination")]
    NoDestination {
        /// The distributed table.
        table: String,
        /// The shard.
        shard: String,
    },
    /// The name of a directory would be longer than file systems take.
    #[error("the name {name:?} is {bytes} bytes long as a file name, the limit is {limit}")]
    NameTooLong {
        /// A table, or a shard with its replica.
        name: String,
        /// Its length when percent-encoded.
        bytes: usize,
        /// What file systems take.
        limit: usize,
    },
    /// `max_rows` is 0 or above [`BatchLimits::ROWS_MAX`](crate::BatchLimits::ROWS_MAX), or `max_bytes` is 0
    /// or above
    /// 1 GiB.
    #[error(
        "a batch limit of {rows} rows and {bytes} bytes cannot be kept: 1 to 1000000 rows, 1 byte to 1 GiB"
    )]
    Limits {
        /// The rows asked for.
        rows: u64,
        /// The bytes asked for.
        bytes: u64,
    },
}

/// Why rows could not be staged. Nothing of the INSERT remains.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// A run of rows larger than a batch may be; the caller's fault, who hands over smaller runs.
    #[error(
        "a run of {rows} rows and {bytes} bytes was staged at once, a run takes {rows_max} rows and {bytes_max} bytes"
    )]
    RunTooLarge {
        /// Rows of the run.
        rows: u64,
        /// Its raw bytes.
        bytes: u64,
        /// [`Stage::run_rows_max`](crate::Stage::run_rows_max).
        rows_max: u64,
        /// [`Stage::RUN_BYTES_MAX`](crate::Stage::RUN_BYTES_MAX).
        bytes_max: u64,
    },
    /// More in one piece than a batch holds; the caller's fault, who ends no piece, or writes into rows more than they are.
    #[error(
        "{rows} rows and {bytes} bytes of an INSERT whose token goes on to the shards would be one batch, which is too much"
    )]
    PieceTooLarge {
        /// Rows of the piece so far.
        rows: u64,
        /// Their raw bytes.
        bytes: u64,
    },
    /// Rows for a shard that the stage was not made for; the caller's fault.
    #[error("rows were staged for shard index {shard}, which has no lane (of {shards} shards)")]
    NoShard {
        /// The index.
        shard: usize,
        /// How many the stage was made for.
        shards: usize,
    },
    /// Rows could not be compressed; sizes are checked before, so this is a fault of ours.
    #[error("staging an INSERT: {0}")]
    Frame(#[from] FrameError),
    /// The rows would take what is left of the disk below [`Options::reserve_bytes`](crate::Options::reserve_bytes); again
    /// later.
    #[error(
        "staging an INSERT: the disk has {free_bytes} bytes free, and {reserve_bytes} are kept for what was accepted"
    )]
    NoRoom {
        /// What is left.
        free_bytes: u64,
        /// What must stay.
        reserve_bytes: u64,
    },
    /// The disk refused; our trouble, the client may try again.
    #[error("staging an INSERT: {0}")]
    File(#[from] FileError),
}

impl StageError {
    /// Whether it is for want of room on the disk.
    pub fn is_want_of_room(&self) -> bool {
        match self {
            StageError::NoRoom { .. } => true,
            StageError::File(error) => error.is_want_of_room(),
            StageError::RunTooLarge { .. }
            | StageError::PieceTooLarge { .. }
            | StageError::NoShard { .. }
            | StageError::Frame(_) => false,
        }
    }
}

/// Why an INSERT was not committed: nothing of it will be delivered.
///
/// The one exception is [`CommitError::Poisoned`]: the record may or may not have reached the disk, so the
/// INSERT has no answer, as if the process had died.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// The spool holds `max_bytes`, sent/ evicted; again later.
    #[error("the spool is full: {bytes} of {max_bytes} bytes")]
    Full {
        /// Bytes held.
        bytes: u64,
        /// [`Options::max_bytes`](crate::Options::max_bytes).
        max_bytes: u64,
    },
    /// INSERTs come faster than the disk takes them, and waiting did not help; nothing was written, again
    /// later.
    #[error("the INSERT was not accepted: the disk could not keep up for {seconds} s")]
    Overloaded {
        /// How long it waited.
        seconds: u64,
    },
    /// The disk has no room for the record; nothing was written, again later.
    #[error("the INSERT was not accepted: {0}")]
    NoSpace(String),
    /// What is to be noted of the INSERT does not fit a record, by hundreds of GB of rows; split it.
    #[error("the INSERT was not accepted: {0}")]
    TooLarge(String),
    /// A write or sync of the journal failed, with this INSERT in the group. Final: only a restart helps, which reads what
    /// really is on disk.
    #[error("the spool's journal failed and is closed until a restart: {0}")]
    Poisoned(String),
    /// The journal failed before this INSERT's turn came: nothing of it was written.
    #[error("the spool's journal failed before, and is closed until a restart: {0}")]
    Failed(String),
    /// The spool is shutting down.
    #[error("the spool is closed")]
    Closed,
}

/// Why a batch, an INSERT or a destination could not be changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueueError {
    /// The batch does not wait at the destination: it was settled, dropped, or never was.
    #[error("no batch {seq} waits at {destination}")]
    NoBatch {
        /// The destination.
        destination: Destination,
        /// The number asked for.
        seq: u64,
    },
    /// The INSERT is not pending: it was never accepted, or `go` or `abort` is recorded already.
    #[error("INSERT {0} is not pending")]
    NotPending(InsertId),
    /// What is asked for does not fit the batch's state.
    #[error("batch {seq} of {destination} {reason}")]
    WrongState {
        /// The destination.
        destination: Destination,
        /// The batch.
        seq: u64,
        /// Why not.
        reason: String,
    },
    /// A file could not be read or written; again later.
    #[error(transparent)]
    File(#[from] FileError),
    /// The record could not be written, for want of space, say; nothing changed, again later.
    #[error("the queue was not changed: {0}")]
    NotWritten(String),
    /// As [`CommitError::Poisoned`].
    #[error("the spool's journal failed and is closed until a restart: {0}")]
    Poisoned(String),
    /// The spool is shutting down.
    #[error("the spool is closed")]
    Closed,
}

/// The spool gives out no more batches: it is shutting down, or its journal failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the spool is closed")]
pub struct Closed;
