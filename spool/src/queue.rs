//! Signatures first; the bodies follow.

use std::sync::Arc;

use crate::batch::{Batch, Outcome, PendingOutcome, Settled};
use crate::error::{Closed, CommitError, LaneError, OpenError, QueueError};
use crate::model::{Destination, InsertId, LaneId, LaneSpec, Options, Shape, ShareLanes};
use crate::stage::{Stage, Staged};
use crate::status::{DestinationStatus, RecoveryReport};

/// The open spool. A handle: clones share one queue.
#[derive(Debug, Clone)]
pub struct Spool {
    _private: (),
}

/// What a commit record says of an INSERT beside its rows.
#[derive(Debug, Clone)]
pub struct CommitHead {
    /// The receipt.
    pub insert: InsertId,
    /// Who sent it.
    pub user: String,
    /// Its query id.
    pub query_id: String,
    /// The client's insert_deduplication_token.
    pub token: Option<String>,
    /// 128-bit hash of the decoded body, where it was computed.
    pub body_hash: Option<u128>,
}

/// A durable INSERT.
#[derive(Debug)]
pub struct Accepted {
    /// The receipt.
    pub insert: InsertId,
    /// Rows of all shares.
    pub rows: u64,
    /// There when rows go to a local lane: the client's answer waits for it.
    pub pending: Option<PendingWait>,
}

/// The wait for an INSERT's local rows. Dropping it changes nothing.
#[derive(Debug)]
pub struct PendingWait {
    _private: (),
}

impl PendingWait {
    /// Waits for the end; without bound, so the caller sets the timeout and then asks [`Spool::go`].
    pub async fn outcome(&mut self) -> PendingOutcome {
        PendingOutcome::Waiting("the spool is closed".to_owned())
    }
}

impl Spool {
    /// Opens the spool and rolls forward what the last process left.
    pub fn open(options: Options) -> Result<(Spool, RecoveryReport), OpenError> {
        let _ = options;
        Ok((Spool { _private: () }, RecoveryReport::default()))
    }

    /// The lane of that spec; made when there is none, its limits updated when there is.
    pub fn lane(&self, spec: LaneSpec) -> Result<LaneId, LaneError> {
        let _ = spec;
        Ok(LaneId(0))
    }

    /// Begins an INSERT whose shard `i` has its rows go to `lanes[i]`.
    pub fn stage(&self, shape: Arc<Shape>, lanes: Vec<ShareLanes>) -> Stage {
        let _ = (shape, lanes);
        unreachable!("not yet")
    }

    /// Makes the INSERT durable: all of it, or none.
    pub async fn commit(&self, staged: Staged, head: CommitHead) -> Result<Accepted, CommitError> {
        let _ = (staged, head);
        Err(CommitError::Closed)
    }

    /// Ends the wait of a pending INSERT for the reason given (a timeout, say): its rows wait like any other from now on.
    /// Loses against an earlier delivery or abort, and then says how it ended.
    pub async fn go(&self, insert: InsertId, why: &str) -> Result<PendingOutcome, QueueError> {
        let _ = why;
        Err(QueueError::NotPending(insert))
    }

    /// INSERTs that await their local rows' delivery, those found at recovery included.
    pub fn pending(&self) -> Vec<InsertId> {
        Vec::new()
    }

    /// The first batch of the destination that may be sent; waits for one. One is out at a time: until it is dropped
    /// or settled, others wait here.
    pub async fn next(&self, destination: &Destination) -> Result<Batch, Closed> {
        let _ = destination;
        Err(Closed)
    }

    /// Records that the batch is about to be sent to `replica` (`host:port`), before its first byte is. Gives the
    /// attempt's number, from 1.
    pub async fn attempt(&self, batch: &Batch, replica: &str) -> Result<u32, QueueError> {
        let _ = (batch, replica);
        Err(QueueError::Closed)
    }

    /// Records how the attempt ended.
    pub async fn settle(&self, batch: &Batch, outcome: Outcome) -> Result<Settled, QueueError> {
        let _ = (batch, outcome);
        Err(QueueError::Closed)
    }

    /// Cuts everything that waits now, of one table or of all, and returns when it is cut.
    pub async fn flush(&self, table: Option<&str>) {
        let _ = table;
    }

    /// Every destination that has something to show, in order.
    pub fn destinations(&self) -> Vec<DestinationStatus> {
        Vec::new()
    }

    /// One destination, if it was ever used.
    pub fn destination(&self, destination: &Destination) -> Option<DestinationStatus> {
        let _ = destination;
        None
    }

    /// All files of the spool together, sent/ and broken/ included, and rows that wait in memory.
    pub fn bytes(&self) -> u64 {
        0
    }

    /// Stops giving out batches of the destination until it is resumed.
    pub async fn hold_destination(&self, destination: &Destination, why: &str) -> Result<(), QueueError> {
        let _ = (destination, why);
        Err(QueueError::Closed)
    }

    /// Gives out batches of a held destination again.
    pub async fn resume_destination(&self, destination: &Destination) -> Result<(), QueueError> {
        let _ = destination;
        Err(QueueError::Closed)
    }

    /// Puts a held batch, or one from broken/, back into the queue, unchanged. Gives its number: a held batch keeps
    /// its own, one from broken/ gets a new one.
    pub async fn requeue(&self, destination: &Destination, seq: u64) -> Result<u64, QueueError> {
        let _ = (destination, seq);
        Err(QueueError::Closed)
    }

    /// Drops a batch that waits or is held: its rows are lost by an operator's word.
    pub async fn drop_batch(&self, destination: &Destination, seq: u64) -> Result<(), QueueError> {
        let _ = (destination, seq);
        Err(QueueError::Closed)
    }

    /// Commits what is queued, cuts what waits, syncs, stops the threads. Other handles get `Closed` from then on.
    pub async fn shutdown(self) {}
}
