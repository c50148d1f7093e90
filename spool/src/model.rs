//! The nouns of the queue: INSERTs, destinations, lanes, shapes, limits. Plain values, no behaviour but their
//! names.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use uuid::Uuid;

use crate::host;
use crate::retry::RetryWindows;

/// How the spool is to be kept. Every size is in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The directory that the spool owns; made when it is missing.
    pub path: PathBuf,
    /// Sync the journal before a commit is answered (ClickHouse's `fsync_after_insert`). Off: a power loss
    /// may cost the last seconds, a killed process still nothing.
    pub fsync: bool,
    /// A journal segment is closed, and a checkpoint written, when it has grown to this.
    pub segment_bytes: u64,
    /// Compressed frames that one large INSERT may keep in memory before its largest share goes to disk.
    pub stage_memory_bytes: usize,
    /// Raw bytes of an INSERT up to which its rows go inline into its commit record.
    pub inline_bytes_max: usize,
    /// Raw bytes of all shares that wait in memory for their cut; above it they are cut at once.
    pub uncut_memory_bytes: usize,
    /// All files of the spool together. Above it sent/ is evicted, then commits are refused with
    /// [`CommitError::Full`](crate::CommitError::Full).
    pub max_bytes: u64,
    /// Bytes of the disk that INSERTs which go to disk while they are read leave free.
    pub reserve_bytes: u64,
    /// How long an acknowledged batch is kept in sent/.
    pub sent_retention_time: Duration,
    /// Bytes that sent/ of all destinations together may hold; the oldest go first.
    pub sent_retention_bytes: u64,
    /// Bytes that broken/ of one destination may hold; a batch refused beyond it is held instead of moved
    /// there.
    pub broken_bytes_max: u64,
    /// Batches that were never tried, and may become one at a time; 1 joins none.
    pub join_files_max: usize,
    /// How long INSERTs are remembered for their retries: of each the longest that any table wants.
    pub retry_windows: RetryWindows,
    /// Entries that are remembered, [`RETRY_ENTRY_BYTES`](crate::RETRY_ENTRY_BYTES) of memory each; the oldest go first.
    pub retry_entries_max: usize,
}

/// An hour of one-second batches, and then some: the files' ends are read in well below a second.
const JOIN_FILES_MAX: usize = 4096;

impl Options {
    /// The defaults of the configuration file for a spool at `path`.
    pub fn at(path: impl Into<PathBuf>) -> Options {
        Options {
            path: path.into(),
            fsync: true,
            segment_bytes: 64 << 20,
            stage_memory_bytes: 16 << 20,
            inline_bytes_max: 1 << 20,
            uncut_memory_bytes: 64 << 20,
            max_bytes: 100 << 30,
            reserve_bytes: 0,
            sent_retention_time: Duration::from_secs(3600),
            sent_retention_bytes: 10 << 30,
            broken_bytes_max: 1 << 30,
            join_files_max: JOIN_FILES_MAX,
            retry_windows: RetryWindows {
                token: Duration::from_secs(3600),
                query_id: Duration::from_secs(120),
                identical: Duration::from_secs(600),
            },
            retry_entries_max: 1_000_000,
        }
    }
}

/// What one batch may hold, and how long its first row may wait for company.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Rows of a batch, at most 1,000,000: more would be several blocks on the shard, and one token over
    /// several blocks loses rows.
    pub max_rows: u64,
    /// Raw (uncompressed) bytes of a batch. A single larger row is a batch of its own.
    pub max_bytes: u64,
    /// A batch is cut when its oldest row is this old.
    pub max_delay: Duration,
}

impl BatchLimits {
    /// Rows that ClickHouse forms into one block under the settings that are pinned with each batch.
    pub const ROWS_MAX: u64 = 1_000_000;
}

/// The most that `max_bytes` of a batch may be: a batch is one block in a shard's memory, and its sizes are
/// kept in 32 bits.
pub(crate) const BATCH_BYTES_MAX: u64 = 1 << 30;

impl Default for BatchLimits {
    fn default() -> BatchLimits {
        BatchLimits {
            max_rows: BatchLimits::ROWS_MAX,
            max_bytes: 64 << 20,
            max_delay: Duration::from_secs(1),
        }
    }
}

/// One INSERT's name, drawn at random: the receipt that its client is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InsertId(pub Uuid);

impl InsertId {
    /// A new, random name.
    pub fn random() -> InsertId {
        InsertId(host::new_uuid())
    }
}

impl fmt::Display for InsertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for InsertId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<InsertId, uuid::Error> {
        Uuid::parse_str(text).map(InsertId)
    }
}

/// Where batches wait and go: a distributed table and a shard, with internal_replication off also a replica.
/// It has one directory, one row of sequence numbers, and at most one sender at a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Destination {
    /// The distributed table, `database.table`.
    pub table: String,
    /// The shard's name.
    pub shard: String,
    /// `host:port`, only when every replica has its own queue (internal_replication off).
    pub replica: Option<String>,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.replica {
            None => write!(f, "{}/{}", self.table, self.shard),
            Some(replica) => write!(f, "{}/{}@{}", self.table, self.shard, replica),
        }
    }
}

/// One queue of shares that wait for their cut. Each of its batches goes to every destination of the lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneSpec {
    /// The distributed table, `database.table`.
    pub table: String,
    /// The shard's name.
    pub shard: String,
    /// Who gets each batch: one, or with internal_replication off each replica. Never empty.
    pub destinations: Vec<Destination>,
    /// Rows of this lane make their INSERT *pending*: it is answered when they are delivered, or `go` ends
    /// the wait. (Rows of any other lane do so for an INSERT with a [`ProbeTarget`].)
    pub local: bool,
    /// What one batch may hold.
    pub limits: BatchLimits,
}

/// What tells a lane from another: everything of its spec but the limits. It is what the journal holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LaneKey {
    /// The distributed table.
    pub table: String,
    /// The shard's name.
    pub shard: String,
    /// Who gets each batch.
    pub destinations: Vec<Destination>,
    /// Whether its rows make an INSERT pending.
    pub local: bool,
}

impl From<&LaneSpec> for LaneKey {
    fn from(spec: &LaneSpec) -> LaneKey {
        LaneKey {
            table: spec.table.clone(),
            shard: spec.shard.clone(),
            destinations: spec.destinations.clone(),
            local: spec.local,
        }
    }
}

/// A lane of this open spool. Not stable across restarts: ask [`Spool::lane`](crate::Spool::lane) again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneId(pub(crate) u32);

impl LaneId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Which lanes get the rows of one shard of an INSERT. A shard with a local replica has `local`; with
/// internal_replication off it has `remote` as well, for the other replicas. The rows are stored once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShareLanes {
    /// The lane of replicas that may be served later.
    pub remote: Option<LaneId>,
    /// The lane of the local replica.
    pub local: Option<LaneId>,
}

impl ShareLanes {
    /// The lanes in the order in which the journal names them: local first.
    pub fn iter(self) -> impl Iterator<Item = LaneId> {
        self.local.into_iter().chain(self.remote)
    }
}

/// A destination that may be the first to get rows of an INSERT: one of a lane's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeTarget {
    /// The lane, in which the INSERT has rows.
    pub lane: LaneId,
    /// Which of the lane's destinations, counted from 0.
    pub destination: usize,
}

/// What rows must have in common to be joined into one batch: everything that decides how a shard reads their
/// bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shape {
    /// The cluster, as configured.
    pub cluster: String,
    /// The epoch of the slot layout by which the rows were routed.
    pub epoch: u64,
    /// The distributed table, `database.table`.
    pub table: String,
    /// Columns in the order of the rows' bytes: name and ClickHouse type.
    pub columns: Vec<(String, String)>,
    /// The payload format's ClickHouse name, say `RowBinary`.
    pub format: String,
    /// Settings that go with the rows: the client's payload settings and the pinned ones.
    pub settings: Vec<(String, String)>,
}
