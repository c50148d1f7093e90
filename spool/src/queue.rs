//! The spool's handle: what the router calls.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::batch::{Batch, BatchFile, Outcome, PendingOutcome, Segment, Settled};
use crate::bin_file::BinInfo;
use crate::commit::{Accepted, CommitHead, Job, JournalThread, write_checkpoint};
use crate::disk::{Disk, RealDisk};
use crate::error::{Closed, CommitError, FileError, LaneError, OpenError, QueueError};
use crate::event::{Recut, Seq};
use crate::files::{Files, bin_error};
use crate::journal::{Writer, WriterOptions};
use crate::lease::Lease;
use crate::model::{
    BATCH_BYTES_MAX, BatchLimits, Destination, InsertId, LaneId, LaneSpec, Options, Shape, ShareLanes,
};
use crate::names::{self, Layout, batch_name, error_name};
use crate::own::{Lock, spool_id};
use crate::recover::{Recovered, recover};
use crate::recut;
use crate::retain;
use crate::shared::{Shared, lock};
use crate::stage::{ShareTarget, Stage, StageMemory, Staged};
use crate::state::decide::{Answer, Request};
use crate::status::{DestinationStatus, RecoveryReport, Tally};
use crate::work::{self, CUT_THREADS, Work};

/// How long a shutdown waits for uncut shares to be cut; what is left is in the journal and cut at the next start.
const SHUTDOWN_FLUSH_TIME: Duration = Duration::from_secs(10);

/// INSERTs wait for cuts when uncut shares take so many times the memory at which they are cut at once.
const UNCUT_MEMORY_FACTOR: u64 = 2;
/// And for so long, before they are refused.
const MEMORY_WAIT_TIME: Duration = Duration::from_secs(10);

/// The open spool. A handle: clones share one queue. When the last one is dropped without [`Spool::shutdown`], the
/// threads end as after a crash: nothing that was acknowledged is lost.
#[derive(Debug, Clone)]
pub struct Spool {
    running: Arc<Running>,
}

/// The threads, and what ends them.
#[derive(Debug)]
struct Running {
    shared: Arc<Shared>,
    journal: Mutex<Option<JoinHandle<()>>>,
    files: Mutex<Vec<JoinHandle<()>>>,
    _lock: Option<Lock>,
}

// === opening and closing ===

impl Spool {
    /// Opens the spool and rolls forward what the last process left. Takes as long as reading the journal's last
    /// segments and two ends of each waiting file.
    pub fn open(options: Options) -> Result<(Spool, RecoveryReport), OpenError> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let layout = Layout::at(&options.path);
        disk.create_dir_all(layout.root())
            .map_err(FileError::at("making", layout.root()))?;
        let lock = Lock::take(&layout)?;
        Spool::open_on(disk, options, Some(lock))
    }

    /// As [`Spool::open`], on any disk, and with the lock in hand.
    pub(crate) fn open_on(
        disk: Arc<dyn Disk>,
        options: Options,
        lock: Option<Lock>,
    ) -> Result<(Spool, RecoveryReport), OpenError> {
        let mut files = Files {
            disk,
            layout: Layout::at(&options.path),
            spool: uuid::Uuid::nil(),
            fsync: options.fsync,
        };
        for directory in [files.layout.journal(), files.layout.meta()] {
            files.create_dir(&directory)?;
        }
        files.spool = spool_id(&files)?;
        let Recovered {
            state,
            report,
            segments,
            next_segment,
        } = recover(&files)?;
        let writer = create_writer(&files, &options, next_segment)?;
        let shared = Arc::new(Shared::new(options, files, state));
        write_checkpoint(&shared, next_segment)?;
        let journal = JournalThread::new(Arc::clone(&shared), writer, segments);
        let running = Running::start(shared, journal, lock)?;
        Ok((
            Spool {
                running: Arc::new(running),
            },
            report,
        ))
    }

    /// Commits what is queued, cuts what waits, syncs, stops the threads. Other handles get `Closed` from then on.
    pub async fn shutdown(self) {
        let shared = self.shared();
        shared.close();
        let flush = tokio::time::timeout(SHUTDOWN_FLUSH_TIME, self.flush(None));
        if flush.await.is_err() {
            tracing::warn!("not every share could be cut before the end, the rest stays in the journal");
        }
        let running = Arc::clone(&self.running);
        let stopped = tokio::task::spawn_blocking(move || running.stop());
        if let Err(error) = stopped.await {
            tracing::error!(%error, "the spool's threads did not end in order");
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.running.shared
    }
}

fn create_writer(files: &Files, options: &Options, segment: u64) -> Result<Writer, OpenError> {
    let directory = files.layout.journal();
    let writer = WriterOptions {
        spool: files.spool,
        segment_bytes: options.segment_bytes,
        first_segment: segment,
    };
    let created = Writer::create(Arc::clone(&files.disk), &directory, writer);
    created.map_err(|error| {
        let source = io::Error::other(error.to_string());
        FileError::at("making a segment in", directory)(source).into()
    })
}

impl Running {
    fn start(shared: Arc<Shared>, journal: JournalThread, lock: Option<Lock>) -> Result<Running, FileError> {
        let journal = spawn("weir-journal".to_owned(), move || journal.run())?;
        let mut files = Vec::new();
        for number in 1..=CUT_THREADS {
            let of_thread = Arc::clone(&shared);
            files.push(spawn(format!("weir-cut-{number}"), move || {
                work::run(&of_thread);
            })?);
        }
        let of_thread = Arc::clone(&shared);
        files.push(spawn("weir-retain".to_owned(), move || retain::run(&of_thread))?);
        Ok(Running {
            shared,
            journal: Mutex::new(Some(journal)),
            files: Mutex::new(files),
            _lock: lock,
        })
    }

    /// In data order: files are cut and moved as long as there is somebody to record it.
    fn stop(&self) {
        self.shared.close();
        self.shared.work.close();
        join_all(lock(&self.files).drain(..));
        self.shared.inbox.close();
        join_all(lock(&self.journal).take());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

fn join_all(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    for thread in threads {
        let name = thread.thread().name().unwrap_or_default().to_owned();
        if thread.join().is_err() {
            tracing::error!(name, "a thread of the spool had panicked");
        }
    }
}

fn spawn(name: String, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, FileError> {
    let spawned = std::thread::Builder::new().name(name.clone()).spawn(run);
    spawned.map_err(FileError::at("starting the thread", name))
}

// === accepting INSERTs ===

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

    /// Makes the INSERT durable: all of it, or none. Dropping the future does not take it back.
    pub async fn commit(&self, staged: Staged, head: CommitHead) -> Result<Accepted, CommitError> {
        let shared = self.shared();
        if shared.is_closed() {
            return Err(shared.commit_error());
        }
        self.make_room(staged.disk_bytes() + staged.raw_bytes()).await?;
        self.wait_for_memory().await?;
        let (reply, accepted) = oneshot::channel();
        if shared.inbox.push(Job::Commit { staged, head, reply }).is_err() {
            return Err(shared.commit_error());
        }
        accepted.await.unwrap_or_else(|_| Err(shared.commit_error()))
    }

    /// Evicts sent/ when the spool would hold more than it may; an error when that is not enough.
    async fn make_room(&self, bytes: u64) -> Result<(), CommitError> {
        let shared = self.shared();
        let max_bytes = shared.options.max_bytes;
        let excess = (self.bytes() + bytes).saturating_sub(max_bytes);
        if excess == 0 {
            return Ok(());
        }
        let (reply, evicted) = oneshot::channel();
        if shared.work.push(Work::Evict { bytes: excess, reply }).is_ok() {
            // No answer means that the threads have ended; the next line tells.
            let _ = evicted.await;
        }
        match self.bytes() + bytes {
            bytes if bytes > max_bytes => Err(CommitError::Full { bytes, max_bytes }),
            _ => Ok(()),
        }
    }

    /// Shares above `uncut_memory_bytes` are cut at once; where INSERTs come faster than a disk can cut, they wait here.
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

    /// Ends the wait of a pending INSERT for the reason given (a timeout, say): its rows wait like any other from now on.
    ///
    /// Loses with [`QueueError::NotPending`] against an earlier delivery or abort: then its [`PendingWait`] has the outcome.
    ///
    /// [`PendingWait`]: crate::PendingWait
    pub async fn go(&self, insert: InsertId, why: &str) -> Result<PendingOutcome, QueueError> {
        self.shared().asked(Request::Go(insert)).await?;
        let outcome = PendingOutcome::Waiting(why.to_owned());
        self.shared().answer(insert, outcome.clone());
        Ok(outcome)
    }

    /// INSERTs that await their local rows' delivery in commit order, those found at recovery included.
    pub fn pending(&self) -> Vec<InsertId> {
        self.shared().state().open_pending()
    }
}

fn check_lane(spec: &LaneSpec) -> Result<(), LaneError> {
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

// === sending ===

impl Spool {
    /// The first batch of the destination that may be sent; waits for one. One is out at a time: while a caller holds
    /// it, others wait here. A batch whose file cannot be read is held, and the next one given.
    pub async fn next(&self, destination: &Destination) -> Result<Batch, Closed> {
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
            match self.lease(destination) {
                None => ring.await,
                Some((seq, attempts, lease)) => {
                    if let Some(file) = self.read_batch(destination, seq).await? {
                        return Ok(Batch {
                            destination: destination.clone(),
                            seq,
                            attempts,
                            file,
                            _lease: lease,
                        });
                    }
                }
            }
        }
    }

    fn lease(&self, destination: &Destination) -> Option<(Seq, u32, Lease)> {
        let mut state = self.shared().state();
        let queue = state.queue(destination);
        let (seq, _) = queue.first()?;
        queue.leased = Some(seq);
        let attempts = queue.attempts(seq);
        drop(state);
        let (shared, of_destination) = (Arc::clone(self.shared()), destination.clone());
        let lease = Lease::new(move || {
            shared.state().queue(&of_destination).leased = None;
            shared.wake(&of_destination);
        });
        Some((seq, attempts, lease))
    }

    /// What the batch's file says; `None` after it was held because the file cannot be read.
    async fn read_batch(&self, destination: &Destination, seq: Seq) -> Result<Option<BatchFile>, Closed> {
        let path = self.shared().files.batch(destination, seq);
        let files = self.shared().files.clone();
        let read = tokio::task::spawn_blocking(move || read_batch_file(&files, &path));
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
            inserts: 1,
            broken_room: 0,
        };
        self.shared()
            .asked(request)
            .await
            .map(|_| None)
            .map_err(|_| Closed)
    }

    /// Records that the batch is about to be sent to `replica` (`host:port`), before its first byte is. Gives the
    /// attempt's number, from 1.
    pub async fn attempt(&self, batch: &Batch, replica: &str) -> Result<u32, QueueError> {
        let request = Request::Attempt {
            to: batch.destination.clone(),
            seq: batch.seq,
            replica: replica.to_owned(),
        };
        match self.shared().asked(request).await? {
            Answer::Attempt(attempt) => Ok(attempt),
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
            inserts: batch.file.segments.len(),
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

    async fn record_recut(
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
        let is_done = || shared.poison_cause().is_some() || shared.state().is_cut_through(&lanes, through);
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

fn read_batch_file(files: &Files, path: &Path) -> Result<BatchFile, FileError> {
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

// === looking, and an operator's changes ===

impl Spool {
    /// Every destination that was ever used, in order.
    pub fn destinations(&self) -> Vec<DestinationStatus> {
        self.shared().state().statuses()
    }

    /// One destination, if it was ever used.
    pub fn destination(&self, destination: &Destination) -> Option<DestinationStatus> {
        self.shared().state().status(destination)
    }

    /// Bytes of the spool: journal, batch files (a file of several destinations counts for each), sent/, broken/.
    pub fn bytes(&self) -> u64 {
        self.shared().journal_bytes.load(Ordering::Relaxed) + self.shared().state().file_bytes()
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

    /// Puts a held batch, or one from broken/, back into the queue, its bytes and token unchanged. Gives its number: a
    /// held batch keeps its own, one from broken/ gets a new one.
    pub async fn requeue(&self, destination: &Destination, seq: u64) -> Result<u64, QueueError> {
        let waits = self.shared().state().queue(destination).holds(seq);
        if waits {
            self.shared()
                .asked(Request::Requeue(destination.clone(), seq))
                .await?;
            return Ok(seq);
        }
        self.requeue_broken(destination, seq).await
    }

    /// Drops a batch that waits or is held: its rows are lost, by an operator's word.
    pub async fn drop_batch(&self, destination: &Destination, seq: u64) -> Result<(), QueueError> {
        self.shared()
            .asked(Request::Drop(destination.clone(), seq))
            .await
            .map(drop)
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
        let file_bytes = work::file_bytes(files, &file)?;
        let new_seq = shared.state().queue(destination).reserve();
        files.link(&file, &files.batch(destination, new_seq))?;
        files.sync_dir(&files.layout.destination(destination))?;
        let into = pieces_of(&batch, new_seq, file_bytes);
        self.record_recut(destination, seq, into).await?;
        files.remove(&broken.join(error_name(seq)))?;
        files.remove(&file)?;
        let gone = Tally {
            files: 1,
            file_bytes,
            ..Tally::default()
        };
        shared.state().queue(destination).broken.subtract(gone);
        Ok(new_seq)
    }
}

fn pieces_of(batch: &BatchFile, seq: Seq, file_bytes: u64) -> Vec<Recut> {
    let info = crate::event::BatchInfo {
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

#[cfg(test)]
pub(crate) mod tests;
