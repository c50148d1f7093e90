//! Sending: the next batch, its attempt, its end.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::Spool;
use crate::batch::{Batch, BatchFile, Outcome, Segment, Settled};
use crate::bin_file::BinInfo;
use crate::error::{Closed, FileError, QueueError};
use crate::event::{Recut, Seq};
use crate::files::{Files, bin_error, now_ms};
use crate::join;
use crate::lease::Lease;
use crate::model::{BatchLimits, Destination};
use crate::pace::Strain;
use crate::recut::{self, Divide, NotDivided};
use crate::state::State;
use crate::state::decide::{Answer, Request};
use crate::state::destination::{Note, Turn};
use crate::work::Work;

impl Spool {
    /// The first batch of the destination that may be sent; waits for one. One is out at a time: while a
    /// caller holds it, others wait here. A batch whose file cannot be read is held, and the next one given.
    pub async fn next(&self, destination: &Destination) -> Result<Batch, Closed> {
        self.next_in(destination, Turn::InOrder).await
    }

    /// As [`Spool::next`], for one of several senders of the destination. Small batches that wait for their first attempt are
    /// joined on this occasion, and not before: so many are waiting as the outage lasted.
    pub async fn next_in(&self, destination: &Destination, turn: Turn) -> Result<Batch, Closed> {
        let mut may_join = true;
        let shared = self.shared();
        let bell = shared.sender_bell(destination);
        loop {
            // Listening begins before looking, so that what comes in between is heard.
            let ring = bell.notified();
            tokio::pin!(ring);
            ring.as_mut().enable();
            if shared.is_closed() {
                return Err(Closed);
            }
            if may_join && let Some((candidates, limits, lease)) = self.lease_joinable(destination, turn) {
                may_join = self.join(destination, candidates, limits).await;
                drop(lease);
                continue;
            }
            match self.lease(destination, turn) {
                None => {
                    may_join = true;
                    ring.await;
                }
                Some((seq, tried, lease)) => {
                    if let Some(file) = self.read_batch(destination, seq).await? {
                        return Ok(Batch {
                            destination: destination.clone(),
                            seq,
                            attempts: tried.attempts,
                            doubt: tried.doubt,
                            disproved: false,
                            file,
                            _lease: lease,
                        });
                    }
                }
            }
        }
    }

    fn lease(&self, destination: &Destination, turn: Turn) -> Option<(Seq, Note, Lease)> {
        let mut state = self.shared().state();
        if !state.is_swept() {
            return None;
        }
        let queue = state.queue(destination);
        let seq = queue.next(turn)?;
        let note = queue.notes.get(&seq).cloned().unwrap_or_default();
        let lease = self.take_lease(&mut state, destination, vec![seq]);
        Some((seq, note, lease))
    }

    /// Batches that may become one, where the sender's next is the first of them.
    fn lease_joinable(
        &self,
        destination: &Destination,
        turn: Turn,
    ) -> Option<(Vec<Seq>, BatchLimits, Lease)> {
        let mut state = self.shared().state();
        if !state.is_swept() {
            return None;
        }
        let next = state.get_queue(destination)?.next(turn)?;
        let files_max = self.shared().options.join_files_max;
        let (seqs, limits) = state.joinable(destination, files_max)?;
        if seqs.first() != Some(&next) {
            return None;
        }
        let lease = self.take_lease(&mut state, destination, seqs.clone());
        Some((seqs, limits, lease))
    }

    fn take_lease(&self, state: &mut State, destination: &Destination, seqs: Vec<Seq>) -> Lease {
        state.queue(destination).leased.extend(seqs.iter().copied());
        let (shared, of_destination) = (Arc::clone(self.shared()), destination.clone());
        Lease::new(move || {
            let mut state = shared.state();
            let queue = state.queue(&of_destination);
            queue.leased.retain(|seq| !seqs.contains(seq));
            drop(state);
            shared.wake(&of_destination);
        })
    }

    /// The file first, then the record that puts it in their place. Whether it is there now: without it they are sent as they
    /// are.
    async fn join(&self, destination: &Destination, candidates: Vec<Seq>, limits: BatchLimits) -> bool {
        let shared = self.shared();
        let (reply, written) = oneshot::channel();
        let job = Work::Join {
            destination: destination.clone(),
            candidates,
            limits,
            reply,
        };
        if shared.work.push(job).is_err() {
            return false;
        }
        let joined = match written.await {
            Ok(Ok(Some(joined))) => joined,
            Ok(Ok(None)) | Err(_) => return false,
            Ok(Err(error)) => {
                tracing::warn!(%error, %destination, "small batches are not joined, they are sent one by one");
                return false;
            }
        };
        match shared.asked(Request::Join(joined.clone())).await {
            Ok(Answer::Done) => {
                let (batches, batch) = (joined.seqs.len(), joined.into);
                tracing::debug!(%destination, batches, batch, rows = joined.batch.rows, "small batches are one now");
                true
            }
            Ok(_) | Err(QueueError::NotWritten(_)) => {
                join::remove(&shared.files, &joined);
                false
            }
            // The record may be on disk: the next start knows.
            Err(_) => false,
        }
    }

    /// Cuts a batch of one INSERT by rows into so many, each of which is tried alone: after [`Settled::ToBeDivided`], and nothing
    /// else.
    pub async fn divide(
        &self,
        batch: &Batch,
        parts: usize,
        divider: Box<dyn Divide>,
    ) -> Result<Settled, NotDivided> {
        let shared = self.shared();
        let (reply, written) = oneshot::channel();
        let job = Work::Divide {
            destination: batch.destination.clone(),
            file: batch.file.clone(),
            parts,
            divider,
            reply,
        };
        if shared.work.push(job).is_err() {
            return Err(shared.queue_error().into());
        }
        let into = written.await.map_err(|_| shared.queue_error())??;
        let answer = self.record_recut(&batch.destination, batch.seq, into).await?;
        let settled = answer.clone().settled();
        Ok(settled.ok_or_else(|| unexpected(batch, &answer))?)
    }

    /// An answer of a shard says that it has too much to do: later batches are cut larger and more rarely, or smaller.
    pub fn strained(&self, destination: &Destination, strain: Strain) {
        self.shared().state().strained(destination, strain);
        self.shared().work.ring();
    }

    /// What the batch's file says; `None` after it was held because the file cannot be read.
    async fn read_batch(&self, destination: &Destination, seq: Seq) -> Result<Option<BatchFile>, Closed> {
        let path = self.shared().files.batch(destination, seq);
        let files = self.shared().files.clone();
        let read = self
            .shared()
            .off_the_runtime(move || read_batch_file(&files, &path));
        let error = match read.await {
            Ok(Ok(file)) => return Ok(Some(file)),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::error!(%error, %destination, seq, "a waiting batch's file cannot be used: it is held");
        let outcome = Outcome::HoldBatch { error };
        let request = Request::Settle {
            to: destination.clone(),
            seq,
            outcome,
            disproved: false,
            inserts: 1,
            rows: 1,
            broken_room: 0,
        };
        self.shared()
            .asked(request)
            .await
            .map(|_| None)
            .map_err(|_| Closed)
    }

    /// Records that the batch is about to be sent to `replica` (`host:port`), before its first byte is. Gives
    /// the attempt's number, from 1.
    pub async fn attempt(&self, batch: &mut Batch, replica: &str) -> Result<u32, QueueError> {
        let at_ms = now_ms();
        let request = Request::Attempt {
            to: batch.destination.clone(),
            seq: batch.seq,
            replica: replica.to_owned(),
            at_ms,
            disproved: batch.disproved,
        };
        match self.shared().asked(request).await? {
            Answer::Attempt(attempt) => {
                batch.doubt.began(replica, at_ms);
                batch.disproved = false;
                Ok(attempt)
            }
            other => Err(unexpected(batch, &other)),
        }
    }

    /// Records how the attempt ended.
    pub async fn settle(&self, batch: &Batch, outcome: Outcome) -> Result<Settled, QueueError> {
        let broken = self.shared().state().queue(&batch.destination).broken.file_bytes;
        let word = outcome.name();
        let request = Request::Settle {
            to: batch.destination.clone(),
            seq: batch.seq,
            outcome,
            disproved: batch.disproved,
            inserts: batch.file.segments.len(),
            rows: batch.file.rows,
            broken_room: self.shared().options.broken_bytes_max.saturating_sub(broken),
        };
        tracing::debug!(destination = %batch.destination, seq = batch.seq, outcome = word, "settling a batch");
        match self.shared().asked(request).await? {
            Answer::Settled(settled) => Ok(settled),
            Answer::MustRecut => self.recut(batch).await,
            other => Err(unexpected(batch, &other)),
        }
    }

    /// Files first, then the record that puts them in the batch's place.
    async fn recut(&self, batch: &Batch) -> Result<Settled, QueueError> {
        let shared = self.shared();
        let (reply, written) = oneshot::channel();
        let job = Work::Recut {
            destination: batch.destination.clone(),
            file: batch.file.clone(),
            reply,
        };
        if shared.work.push(job).is_err() {
            return Err(shared.queue_error());
        }
        let into = written.await.map_err(|_| shared.queue_error())??;
        let answer = self.record_recut(&batch.destination, batch.seq, into).await?;
        answer.clone().settled().ok_or_else(|| unexpected(batch, &answer))
    }

    pub(super) async fn record_recut(
        &self,
        destination: &Destination,
        seq: Seq,
        into: Vec<Recut>,
    ) -> Result<Answer, QueueError> {
        let shared = self.shared();
        let request = Request::Recut {
            to: destination.clone(),
            seq,
            into: into.clone(),
        };
        let answer = shared.asked(request).await;
        if let Err(QueueError::NotWritten(_)) = &answer {
            recut::remove(&shared.files, destination, &into);
        }
        answer
    }

    /// Cuts everything that waits now, of one table or of all, and returns when it is cut.
    pub async fn flush(&self, table: Option<&str>) {
        let shared = self.shared();
        let (lanes, through) = shared.state().flush(table);
        shared.work.ring();
        // Nothing is cut where the end comes before the directories are read.
        let is_over =
            || shared.poison_cause().is_some() || (shared.is_closed() && !shared.state().is_swept());
        let is_done = || is_over() || shared.state().is_cut_through(&lanes, through);
        shared.progress_until(is_done).await;
    }
}

fn unexpected(batch: &Batch, answer: &Answer) -> QueueError {
    QueueError::WrongState {
        destination: batch.destination.clone(),
        seq: batch.seq,
        reason: format!("was answered {answer:?}"),
    }
}

pub(crate) fn read_batch_file(files: &Files, path: &Path) -> Result<BatchFile, FileError> {
    let file = files
        .disk
        .open_read(path)
        .map_err(FileError::at("opening", path))?;
    let info = BinInfo::of(file.as_ref()).map_err(bin_error("reading", path))?;
    let frames = info.trailer.frames();
    let trailer = info.trailer;
    Ok(BatchFile {
        path: path.to_owned(),
        token: trailer.token,
        rows: trailer.rows,
        raw_bytes: trailer.raw_bytes,
        frames,
        frames_crc32: trailer.frames_crc32,
        created_at_ms: trailer.created_at_ms,
        shape: Arc::new(trailer.shape),
        segments: trailer.segments.into_iter().map(Segment::from).collect(),
    })
}

impl From<crate::bin_file::Segment> for Segment {
    fn from(segment: crate::bin_file::Segment) -> Segment {
        let crate::bin_file::Segment {
            insert,
            client_token,
            raw,
            rows,
        } = segment;
        Segment {
            insert,
            client_token,
            raw,
            rows,
        }
    }
}
