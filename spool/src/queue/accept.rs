//! Accepting INSERTs: lanes, staging, the commit, and the wait for a local replica.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::Spool;
use crate::batch::PendingOutcome;
use crate::commit::{Accepted, CommitHead, Job};
use crate::error::{CommitError, LaneError, QueueError};
use crate::files::now_ms;
use crate::model::{BATCH_BYTES_MAX, BatchLimits, InsertId, LaneId, LaneSpec, Shape, ShareLanes};
use crate::names;
use crate::retry::{RetryStatus, RetryWindows, Signature};
use crate::stage::{ShareTarget, Stage, StageMemory, Staged};
use crate::state::decide::Request;
use crate::work::Work;

/// INSERTs wait for cuts when uncut shares take so many times the memory at which they are cut at once.
const UNCUT_MEMORY_FACTOR: u64 = 2;
/// And for so long, before they are refused.
const MEMORY_WAIT_TIME: Duration = Duration::from_secs(10);

impl Spool {
    /// The lane of that spec; made when there is none, its limits updated when there is.
    pub fn lane(&self, spec: &LaneSpec) -> Result<LaneId, LaneError> {
        check_lane(spec)?;
        Ok(self.shared().state().lane(spec))
    }

    /// Begins an INSERT whose shard `i` has its rows go to `lanes[i]`. `token` is the client's
    /// insert_deduplication_token; it is kept with the rows.
    pub fn stage(
        &self,
        insert: InsertId,
        token: Option<String>,
        shape: Arc<Shape>,
        lanes: &[ShareLanes],
    ) -> Stage {
        let shared = self.shared();
        let memory = StageMemory {
            inline_bytes_max: shared.options.inline_bytes_max,
            stage_memory_bytes: shared.options.stage_memory_bytes,
            reserve_bytes: shared.options.reserve_bytes,
        };
        let targets = lanes.iter().map(|lanes| self.target(*lanes)).collect();
        Stage::new(shared.files.clone(), memory, insert, token, shape, targets)
    }

    fn target(&self, lanes: ShareLanes) -> ShareTarget {
        let state = self.shared().state();
        let known = || lanes.iter().filter_map(|id| state.get_lane(id));
        let limits = known()
            .map(|lane| lane.limits)
            .reduce(BatchLimits::least)
            .unwrap_or_default();
        let place =
            known().find_map(|lane| Some((lane.key.shard.clone(), lane.key.destinations.first()?.clone())));
        ShareTarget { lanes, limits, place }
    }

    /// Makes the INSERT durable: all of it, or none; or recognises it as one that is. Dropping the future does not take it back.
    pub async fn commit(&self, staged: Staged, head: CommitHead) -> Result<Accepted, CommitError> {
        let shared = self.shared();
        if shared.is_closed() {
            return Err(shared.commit_error());
        }
        // What it has on disk is counted already.
        self.make_room(staged.raw_bytes()).await?;
        self.wait_for_memory().await?;
        let (reply, accepted) = oneshot::channel();
        if shared.inbox.push(Job::Commit { staged, head, reply }).is_err() {
            return Err(shared.commit_error());
        }
        accepted.await.unwrap_or_else(|_| {
            // Its thread panicked, and nobody knows what it had written.
            let cause = "its thread ended in the middle of a group".to_owned();
            shared.poison(cause.clone());
            Err(CommitError::Poisoned(cause))
        })
    }

    /// The INSERT of which one with this signature is a retry, if one was accepted within these windows: before anything is
    /// staged, or waited for. Without an answer from here the INSERT may still be a retry of one that is on its way;
    /// [`Spool::commit`] has the last word.
    pub fn recognise(&self, signature: &Signature<'_>, windows: &RetryWindows) -> Option<Accepted> {
        let state = self.shared().state();
        let first = state.first_of(signature, windows, now_ms())?;
        Some(self.shared().accepted_before(first))
    }

    /// From now on INSERTs are remembered for so long: of each the longest that any table wants.
    pub fn set_retry_windows(&self, windows: RetryWindows) {
        self.shared().state().window.set_lengths(windows, now_ms());
    }

    /// What is remembered for retries.
    pub fn retry_status(&self) -> RetryStatus {
        self.shared().state().window.status(now_ms())
    }

    /// Evicts sent/ when the spool would hold more than it may; an error when that is not enough.
    async fn make_room(&self, bytes: u64) -> Result<(), CommitError> {
        let shared = self.shared();
        let max_bytes = shared.options.max_bytes;
        if self.bytes() + bytes <= max_bytes {
            return Ok(());
        }
        // What can be evicted is known when the directories are read.
        shared.swept().await;
        let excess = (self.bytes() + bytes).saturating_sub(max_bytes);
        self.evict(excess).await;
        match self.bytes() + bytes {
            bytes if bytes > max_bytes => Err(CommitError::Full { bytes, max_bytes }),
            _ => Ok(()),
        }
    }

    /// Makes sent/ smaller by so many bytes, or empty.
    pub async fn evict(&self, bytes: u64) {
        let (reply, evicted) = oneshot::channel();
        if self.shared().work.push(Work::Evict { bytes, reply }).is_ok() {
            // No answer means that the threads have ended.
            let _ = evicted.await;
        }
    }

    /// Shares above `uncut_memory_bytes` are cut at once; where INSERTs come faster than a disk can cut, they
    /// wait here.
    async fn wait_for_memory(&self) -> Result<(), CommitError> {
        let shared = self.shared();
        let fits = || {
            let bytes = shared.state().uncut_memory_bytes();
            bytes <= UNCUT_MEMORY_FACTOR * shared.options.uncut_memory_bytes as u64 || shared.is_closed()
        };
        let waited = tokio::time::timeout(MEMORY_WAIT_TIME, shared.progress_until(fits));
        waited.await.map_err(|_| CommitError::Overloaded {
            seconds: MEMORY_WAIT_TIME.as_secs(),
        })
    }

    /// Ends the wait of a pending INSERT for the reason given (a timeout, say): its rows wait like any other
    /// from now on.
    ///
    /// Loses with [`QueueError::NotPending`] against an earlier delivery or abort: then its [`PendingWait`]
    /// has the outcome.
    ///
    /// [`PendingWait`]: crate::PendingWait
    pub async fn go(&self, insert: InsertId, why: &str) -> Result<PendingOutcome, QueueError> {
        self.shared().asked(Request::Go(insert)).await?;
        let outcome = PendingOutcome::Waiting(why.to_owned());
        self.shared().answer(insert, &outcome);
        Ok(outcome)
    }

    /// INSERTs that await their local rows' delivery in commit order, those found at recovery included.
    pub fn pending(&self) -> Vec<InsertId> {
        self.shared().state().open_pending()
    }
}

/// Whether [`Spool::lane`] takes this spec. Changes nothing.
pub fn check_lane(spec: &LaneSpec) -> Result<(), LaneError> {
    if spec.destinations.is_empty() {
        return Err(LaneError::NoDestination {
            table: spec.table.clone(),
            shard: spec.shard.clone(),
        });
    }
    let BatchLimits {
        max_rows, max_bytes, ..
    } = spec.limits;
    if !(1..=BatchLimits::ROWS_MAX).contains(&max_rows) || !(1..=BATCH_BYTES_MAX).contains(&max_bytes) {
        return Err(LaneError::Limits {
            rows: max_rows,
            bytes: max_bytes,
        });
    }
    spec.destinations.iter().try_for_each(names::check)
}
