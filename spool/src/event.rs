//! What the journal says. One [`Record`] is one group commit: it is on disk whole, or it never was.
//!
//! Records name lanes and shapes in tables of their own, so that each can be read without any other.
//! Everything the queue knows after a restart follows from a [`Checkpoint`] and the events after it; the
//! bytes are in
//! `entry.rs`.

use std::ops::Range;

use crate::doubt::Doubt;
use crate::model::{Destination, InsertId, LaneKey, Shape};

/// Number of a committed INSERT in commit order, from 1; never used again in the same spool.
pub type InsertNo = u64;

/// Number of a batch at its destination, from 1; the name of its file.
pub type Seq = u64;

/// One group commit: facts in order, and the raw rows of the small shares among them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// Lanes that the events name by index.
    pub lanes: Vec<LaneKey>,
    /// Shapes that the events name by index.
    pub shapes: Vec<Shape>,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// The rows of inline parts, end to end.
    pub arena: Vec<u8>,
}

/// One fact. A batch is named by its destination and sequence number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An INSERT is accepted, with all its shares.
    Commit(Commit),
    /// A pending INSERT will be delivered whatever comes: its remote shares may be cut.
    Go {
        /// The INSERT.
        insert: InsertNo,
    },
    /// A pending INSERT is undone: nothing of it was written anywhere.
    Abort {
        /// The INSERT.
        insert: InsertNo,
        /// The shard's error code.
        code: Option<i32>,
        /// The shard's words.
        text: String,
    },
    /// Waiting shares of a lane became one batch file.
    Cut(Cut),
    /// The batch is about to be sent; written before its first byte is.
    Attempting {
        /// Where it goes.
        destination: Destination,
        /// Which batch.
        seq: Seq,
        /// Counts from 1.
        attempt: u32,
        /// The replica that is tried.
        replica: String,
        /// When, in milliseconds since 1970; 0 where an older journal does not say.
        at_ms: u64,
    },
    /// The batch's last attempt wrote nothing: an answer proves it.
    Disproved {
        /// Where it goes.
        destination: Destination,
        /// Which batch.
        seq: Seq,
    },
    /// A batch's last attempt, or an operator, decided what becomes of it.
    Settled {
        /// Where it goes.
        destination: Destination,
        /// Which batch.
        seq: Seq,
        /// What was decided.
        verdict: Verdict,
    },
    /// A refused batch was cut again into batches of fewer INSERTs; the old file is no more.
    Recut {
        /// Where it goes.
        destination: Destination,
        /// The batch that was refused.
        seq: Seq,
        /// Its INSERTs, each with the batch that has its rows now.
        into: Vec<Recut>,
    },
    /// Batches that were never tried became one, in the place of the first of them; their files are no more.
    Joined(Joined),
    /// Nothing goes to the destination until it is resumed.
    DestinationHeld {
        /// Which one.
        destination: Destination,
        /// Why.
        error: String,
    },
    /// Batches go to the destination again.
    DestinationResumed {
        /// Which one.
        destination: Destination,
    },
}

/// What was decided about a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The shard has it; the file belongs into sent/.
    Acknowledged,
    /// It waits and is tried again unchanged.
    Retry {
        /// The last error.
        error: String,
    },
    /// It is set aside, later ones go.
    Held {
        /// Why.
        error: String,
    },
    /// The shard cannot take its rows; the file belongs into broken/.
    Broken {
        /// The shard's words.
        error: String,
    },
    /// An operator put a held or broken batch back into the queue.
    Requeued,
    /// An operator dropped it; the file is removed.
    Dropped,
}

/// An accepted INSERT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its place in commit order.
    pub number: InsertNo,
    /// Its receipt.
    pub insert: InsertId,
    /// Who sent it.
    pub user: String,
    /// The client's query id; empty where it gave none (older records have Weir's own there).
    pub query_id: String,
    /// The client's insert_deduplication_token.
    pub token: Option<String>,
    /// 128-bit hash of the decoded body and of what decides how it is read, where a retry may be recognised by it.
    pub body_hash: Option<u128>,
    /// Milliseconds since 1970.
    pub committed_at_ms: u64,
    /// What must happen before its client is answered; while it awaits anything, it awaits `Go` or `Abort`.
    pub awaits: Awaits,
    /// Its rows, shard by shard; shards without rows are not here.
    pub shares: Vec<Share>,
}

/// What an INSERT's client waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaits {
    /// Nothing: it is answered once it is committed.
    Nothing,
    /// The delivery of its rows in local lanes.
    Local,
    /// That one destination took a batch of its rows, cut at once and alone: nobody knows yet whether any shard can read
    /// rows of this shape.
    One {
        /// Index into the record's `lanes`.
        lane: u32,
        /// Which of the lane's destinations.
        destination: u32,
    },
}

/// One INSERT's rows for one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Index of the shard in the INSERT's stage; with the INSERT's number it names the share.
    pub shard: u32,
    /// Index into the record's `shapes`.
    pub shape: u32,
    /// Indices into the record's `lanes`: each gets these rows.
    pub lanes: Vec<u32>,
    /// Where the rows are, in order.
    pub parts: Vec<Part>,
}

/// A run of a share's rows, and where its bytes lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Raw rows in the record's arena. Without any it ends a piece: what lies before it is a batch of its own.
    Inline {
        /// Their bytes in the arena.
        arena: Range<u64>,
        /// Runs of whole rows that make up the part, in order.
        chunks: Vec<Chunk>,
    },
    /// Compressed frames in the INSERT's staged file, `journal/staged-<insert id>`.
    Staged {
        /// Offset of the first frame in that file.
        offset: u64,
        /// The frames, end to end from there.
        frames: Vec<Frame>,
    },
    /// A whole batch in a `tmp_insert_*` file of its own, trailer and all.
    File(StagedFile),
}

/// A run of whole rows, raw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Rows in it.
    pub rows: u32,
    /// Their raw bytes.
    pub raw_bytes: u32,
}

/// One of ClickHouse's compressed frames, a run of whole rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Rows in it.
    pub rows: u32,
    /// Their raw bytes.
    pub raw_bytes: u32,
    /// The frame's bytes in the file, checksum and header included.
    pub bytes: u32,
}

/// A batch file that was written while its INSERT was still being read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedFile {
    /// In whose directory it lies.
    pub directory: Destination,
    /// Its name there, `tmp_insert_*.bin`.
    pub name: String,
    /// What it holds.
    pub batch: BatchInfo,
}

/// What the queue knows of a batch without opening its file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BatchInfo {
    /// Rows in it.
    pub rows: u64,
    /// Their raw bytes.
    pub raw_bytes: u64,
    /// Size of the file.
    pub file_bytes: u64,
    /// Milliseconds since 1970.
    pub created_at_ms: u64,
}

/// Waiting shares became one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Index into the record's `lanes`.
    pub lane: u32,
    /// The rows that are in it, in order.
    pub taken: Vec<Taken>,
    /// The batch's number at each of the lane's destinations, in the lane's order.
    pub seqs: Vec<Seq>,
    /// What the file holds.
    pub batch: BatchInfo,
}

/// How much of a share a cut took from its front. A share's units are its chunks, frames and files, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// The INSERT.
    pub insert: InsertNo,
    /// The share's shard index in it.
    pub shard: u32,
    /// Units taken, counted from the first that no earlier cut of the lane took.
    pub units: u32,
}

/// An INSERT of a refused batch, and the batch that has its rows now; INSERTs that stay together name the
/// same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recut {
    /// The batch's number.
    pub seq: Seq,
    /// The INSERT.
    pub insert: InsertId,
    /// What the batch holds.
    pub batch: BatchInfo,
}

/// Batches of one destination and shape that were never tried became one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Where they go.
    pub destination: Destination,
    /// The batches, in order.
    pub seqs: Vec<Seq>,
    /// The number of the one that has all their rows now.
    pub into: Seq,
    /// What it holds.
    pub batch: BatchInfo,
}

/// Everything that the queue knew when a journal segment was closed, but the rows. With the commits of older
/// segments that are still waiting, and every event of newer ones, it gives the state after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checkpoint {
    /// Number of the first journal segment whose events are *not* in here.
    pub segment: u64,
    /// The number the next INSERT gets.
    pub next_insert: InsertNo,
    /// Lanes that the marks name by index.
    pub lanes: Vec<LaneKey>,
    /// Shares, or rests of shares, that wait for their cut; in commit order by lane.
    pub uncut: Vec<UncutMark>,
    /// INSERTs that await `Go` or `Abort`.
    pub pending: Vec<PendingMark>,
    /// Every destination that has ever had a batch.
    pub destinations: Vec<DestinationMark>,
}

/// A share that still waits in a lane, at the time of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UncutMark {
    /// Index into the checkpoint's `lanes`.
    pub lane: u32,
    /// The INSERT.
    pub insert: InsertNo,
    /// The share's shard index in it.
    pub shard: u32,
    /// Units that earlier cuts of the lane took.
    pub units_cut: u32,
}

/// An INSERT that awaits `Go` or `Abort`, at the time of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingMark {
    /// The INSERT.
    pub insert: InsertNo,
    /// Its receipt.
    pub id: InsertId,
    /// Batches that hold rows of it, by index into the checkpoint's `destinations` and number.
    pub batches: Vec<(u32, Seq)>,
}

/// A destination's numbers and states at the time of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationMark {
    /// Which one.
    pub destination: Destination,
    /// The number its next batch gets; every lower one was used or given up.
    pub next_seq: Seq,
    /// Why nothing goes there, if nothing does.
    pub held: Option<String>,
    /// Batches that wait, in order: by number, but that a joined batch stands where the first stood whose rows it has.
    pub waiting: Vec<WaitingMark>,
    /// What is to be said of some of them: attempts, errors; and settled ones whose file is not yet moved.
    pub batches: Vec<BatchMark>,
}

/// A batch that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingMark {
    /// Its number.
    pub seq: Seq,
    /// What it holds.
    pub batch: BatchInfo,
}

impl WaitingMark {
    /// One whose size is yet to be read from its file.
    pub fn unmeasured(seq: Seq) -> WaitingMark {
        let batch = BatchInfo::default();
        WaitingMark { seq, batch }
    }
}

/// A batch of which there is more to say than that it waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchMark {
    /// Its number.
    pub seq: Seq,
    /// Attempts so far.
    pub attempts: u32,
    /// Which replicas may have it.
    pub doubt: Doubt,
    /// The last verdict; none while it waits for its first, or an attempt's outcome is not known.
    pub verdict: Option<Verdict>,
}
