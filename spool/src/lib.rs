//! The durable queue between an accepted INSERT and its shards.
//!
//! ```text
//!   Stage ──rows──► Staged ──commit──► journal ──► lanes of uncut shares ──cut──► <seq>.bin ──next──► a
//!   sender
//!                                         ▲                                          │
//!                                         └────── attempting, settled ◄──────────────┘──► sent/ · broken/
//! ```
//!
//! It knows bytes, rows and destinations; nothing of HTTP, formats or sharding.
//!
//! # What it guarantees
//!
//! 1. [`Spool::commit`] answers after one journal record with all shares of the INSERT is on disk (`fsync`).
//!    A crash
//!    before that: nothing happened. After it: every row is cut, sent and settled, whatever dies and when.
//! 2. A row is in exactly one place: uncut in the journal, in one batch of each destination of its lane, or
//!    settled.
//!    The `cut` record moves it; a `.bin` without one was never sent, and is recorded at recovery, or removed.
//! 3. A batch's bytes, token and settings are fixed on disk before its first attempt and never change.
//!    `attempting` is
//!    on disk before the first byte is sent, `acknowledged` before the file leaves its place.
//! 4. Of a pending INSERT exactly one of `go` and `abort` is recorded; before `go` nothing of it is sent but what is awaited:
//!    its rows for local replicas, or, to learn whether a shard can read rows of its shape at all, one batch for one
//!    destination, cut at once and alone.
//! 5. State is written down, never inferred from which files exist. What files and journal disagree on is
//!    reported in
//!    the [`RecoveryReport`], left in place, and stops nothing. Where records are lost that had been on disk, what may have
//!    been in them is held, and nothing is sent a second time for it (`recover.rs`).
//! 6. Batches of a destination are given out by number. One that waits for a retry holds the next back; a
//!    held or
//!    broken one does not.
//!    An INSERT in pieces is cut where its stage says, each piece alone and under a token that follows from its client's (`token.rs`).
//!    Small ones that were never tried may become one before they are given out, in the place of the first; from its first
//!    attempt on a batch is fixed.
//! 7. An INSERT is remembered, and its retry answered as it was, from its record on until its window has passed, unless it is
//!    undone. A restart changes nothing of that.
//! 8. A failed write or sync of the journal is final: the spool is poisoned, every waiter and later caller is
//!    told. Those that were in the failed group learn that nobody knows, all others that nothing of theirs was written.
//!
//! # How
//!
//! One thread, `weir-journal`, is the only one that changes the queue. It gathers the waiting requests,
//! decides each against the state (`state/`, pure), writes one record, syncs once, applies the record to the
//! state, then answers. After a restart the same `apply` reads the same records. So there is one definition
//! of what an event means, and the memory never knows what the disk does not.
//!
//! `weir-cut-N` threads write batch files and move them; `weir-retain` keeps sent/ within its limits. Reads
//! (metrics, listings) look at the state under a short lock, or, without a running router, at the files
//! ([`inspect`]).
//!
//! # Where rows are
//!
//! | When | Small INSERT (raw bytes ≤ `inline_bytes_max`) | Large INSERT |
//! |---|---|---|
//! | staged | memory | `tmp_insert_*.bin` a share of ≥ 4 MiB compressed, else extents of one `journal/staged-<id>` |
//! | committed | the record's arena, and memory until the cut | the same files, named by the record |
//! | cut | frames of ≤ 64 KiB raw in `<seq>.bin` | the own file linked as it is; extents copied |
//!
//! Several destinations of a lane (internal_replication off) share one file by hard links, each with its own
//! number, state and end.
//!
//! # Limits
//!
//! | What | Limit | Beyond it |
//! |---|---|---|
//! | a batch | `BatchLimits`, at most 1,000,000 rows | the next batch begins |
//! | rows staged at once | [`Stage::run_rows_max`], [`Stage::RUN_BYTES_MAX`] | [`StageError::RunTooLarge`] |
//! | memory of one INSERT | `stage_memory_bytes` | its shares go to disk |
//! | memory of uncut shares | `uncut_memory_bytes` | they are cut at once |
//! | memory of waiting files | 64 bytes a file | |
//! | INSERTs remembered for their retries | `retry_entries_max`, 80 bytes each | the oldest is forgotten |
//! | receipts | a quarter of that number, 48 bytes each, and a day | the oldest is forgotten |
//! | INSERTs that are followed though nobody waits | 16,384 places and batches | found again in the files |
//! | the whole spool | `max_bytes` | sent/ is evicted, then [`CommitError::Full`] |
//! | sent/ | `sent_retention_time`, `sent_retention_bytes`, 10,000 files a destination | oldest first |
//! | broken/ | `broken_bytes_max` a destination | the batch is held in its place |
//!
//! The bytes of every file are in docs/spool-format.md.

mod batch;
pub mod bin_file;
mod commit;
mod cut;
pub mod disk;
mod doubt;
mod entry;
mod error;
mod event;
mod files;
pub mod frames;
#[cfg(test)]
mod golden;
mod group;
mod host;
pub mod inspect;
mod join;
mod journal;
mod lease;
mod model;
mod names;
mod own;
mod pace;
mod queue;
mod receipt;
mod recover;
mod recut;
mod retain;
mod retry;
mod shared;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
mod stage;
mod state;
mod status;
mod token;
mod window_file;
mod windows;
mod work;

pub use batch::{Batch, BatchFile, Outcome, PendingOutcome, Segment, Settled, ShardRefusal};
pub use commit::{Accepted, CommitHead, PendingWait};
pub use doubt::MayHave;
pub use error::{Closed, CommitError, FileError, LaneError, OpenError, QueueError, StageError};
pub use model::{
    BatchLimits, Destination, InsertId, LaneId, LaneKey, LaneSpec, Options, ProbeTarget, Shape, ShareLanes,
};
pub use pace::{Pace, Strain};
pub use queue::Spool;
pub use queue::accept::check_lane;
pub use receipt::{Receipt, ReceiptShare, ReceiptState, Watching};
pub use recut::{Divide, Give, NotDivided};
pub use retry::{RetryStatus, RetryWindows, Signature};
pub use stage::{Stage, Staged};
pub use state::destination::Turn;
pub use state::window::ENTRY_BYTES as RETRY_ENTRY_BYTES;
pub use status::{DestinationStatus, RecoveryReport, Tally};
