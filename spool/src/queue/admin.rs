//! What the queue holds, and an operator's changes to it.

use std::sync::atomic::Ordering;

use super::Spool;
use super::send::read_batch_file;
use crate::batch::{BatchFile, Segment};
use crate::error::QueueError;
use crate::event::{BatchInfo, Recut, Seq};
use crate::model::Destination;
use crate::names::{batch_name, error_name};
use crate::state::decide::Request;
use crate::status::{DestinationStatus, Tally};
use crate::work::file_bytes;

impl Spool {
    /// Every destination that was ever used, in order.
    pub fn destinations(&self) -> Vec<DestinationStatus> {
        self.shared().state().statuses()
    }

    /// One destination, if it was ever used.
    pub fn destination(&self, destination: &Destination) -> Option<DestinationStatus> {
        self.shared().state().status(destination)
    }

    /// Bytes of the spool: journal, files of INSERTs on their way, batch files (a file of several destinations counts for each),
    /// sent/, broken/.
    pub fn bytes(&self) -> u64 {
        let shared = self.shared();
        let counted = [&shared.journal_bytes, &*shared.files.underway];
        let counted: u64 = counted.iter().map(|bytes| bytes.load(Ordering::Relaxed)).sum();
        counted + shared.state().file_bytes()
    }

    /// Why the journal failed, if it did: the router is to stop, and says this.
    pub fn poison_cause(&self) -> Option<String> {
        self.shared().poison_cause().map(str::to_owned)
    }

    /// Stops giving out batches of the destination until it is resumed.
    pub async fn hold_destination(&self, destination: &Destination, why: &str) -> Result<(), QueueError> {
        self.shared()
            .asked(Request::HoldDestination(destination.clone(), why.to_owned()))
            .await
            .map(drop)
    }

    /// Gives out batches of a held destination again.
    pub async fn resume_destination(&self, destination: &Destination) -> Result<(), QueueError> {
        self.shared()
            .asked(Request::ResumeDestination(destination.clone()))
            .await
            .map(drop)
    }

    /// Puts a held batch, or one from broken/, back into the queue, its bytes and token unchanged. Gives its
    /// number: a held batch keeps its own, one from broken/ gets a new one.
    pub async fn requeue(&self, destination: &Destination, seq: u64) -> Result<u64, QueueError> {
        self.check_swept().await?;
        let waits = self.shared().state().queue(destination).holds(seq);
        if waits {
            self.shared()
                .asked(Request::Requeue(destination.clone(), seq))
                .await?;
            return Ok(seq);
        }
        self.requeue_broken(destination, seq).await
    }

    /// Drops a batch that waits, is held, or lies in broken/: its rows are lost, by an operator's word.
    pub async fn drop_batch(&self, destination: &Destination, seq: u64) -> Result<(), QueueError> {
        self.check_swept().await?;
        if !self.shared().state().queue(destination).holds(seq) {
            return self.drop_broken(destination, seq);
        }
        self.shared()
            .asked(Request::Drop(destination.clone(), seq))
            .await
            .map(drop)
    }

    /// Waits until all files are known; an error when the spool is closed before.
    pub(crate) async fn check_swept(&self) -> Result<(), QueueError> {
        match self.shared().swept().await {
            true => Ok(()),
            false => Err(self.shared().queue_error()),
        }
    }

    /// What lies in broken/ is settled: there is nothing to record, only files to remove.
    fn drop_broken(&self, destination: &Destination, seq: Seq) -> Result<(), QueueError> {
        let files = &self.shared().files;
        let file = files.layout.broken(destination).join(batch_name(seq));
        if !files.exists(&file)? {
            return Err(QueueError::NoBatch {
                destination: destination.clone(),
                seq,
            });
        }
        let file_bytes = file_bytes(files, &file)?;
        self.remove_broken(destination, seq, file_bytes)
    }

    fn remove_broken(&self, destination: &Destination, seq: Seq, file_bytes: u64) -> Result<(), QueueError> {
        let shared = self.shared();
        let broken = shared.files.layout.broken(destination);
        shared.files.remove(&broken.join(error_name(seq)))?;
        shared.files.remove(&broken.join(batch_name(seq)))?;
        let gone = Tally {
            files: 1,
            file_bytes,
            ..Tally::default()
        };
        shared.state().queue(destination).broken.subtract(gone);
        Ok(())
    }

    /// The file gets a second name first, then the record, then loses the first: whatever dies, it has one.
    async fn requeue_broken(&self, destination: &Destination, seq: Seq) -> Result<Seq, QueueError> {
        let shared = self.shared();
        let files = &shared.files;
        let broken = files.layout.broken(destination);
        let file = broken.join(batch_name(seq));
        if !files.exists(&file)? {
            return Err(QueueError::NoBatch {
                destination: destination.clone(),
                seq,
            });
        }
        let batch = read_batch_file(files, &file)?;
        let file_bytes = file_bytes(files, &file)?;
        let new_seq = shared.state().queue(destination).reserve();
        files.link(&file, &files.batch(destination, new_seq))?;
        files.sync_dir(&files.layout.destination(destination))?;
        let into = pieces_of(&batch, new_seq, file_bytes);
        self.record_recut(destination, seq, into).await?;
        self.remove_broken(destination, seq, file_bytes)?;
        Ok(new_seq)
    }
}

fn pieces_of(batch: &BatchFile, seq: Seq, file_bytes: u64) -> Vec<Recut> {
    let info = BatchInfo {
        rows: batch.rows,
        raw_bytes: batch.raw_bytes,
        file_bytes,
        created_at_ms: batch.created_at_ms,
    };
    let piece = |segment: &Segment| Recut {
        seq,
        insert: segment.insert,
        batch: info.clone(),
    };
    batch.segments.iter().map(piece).collect()
}
