//! The journal thread: the only one that changes the queue. It gathers what waits, writes one record, syncs
//! once, applies it, answers all.

use std::collections::{BTreeSet, VecDeque};
use std::mem;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;

use crate::batch::PendingOutcome;
use crate::error::{CommitError, FileError, QueueError};
use crate::event::Record;
use crate::files::{Files, now_ms};
use crate::group::{Committed, First, Group, Wait};
use crate::journal::{self, JournalError, Writer};
use crate::model::{InsertId, ProbeTarget};
use crate::names::temporary_name;
use crate::receipt::Watching;
use crate::recover::sweep::Swept;
use crate::retain;
use crate::retry::{RetryWindows, Signature};
use crate::shared::{Shared, lock};
use crate::stage::Staged;
use crate::state::decide::{Answer, Request};
use crate::state::{Applied, Effect};
use crate::windows::WindowFiles;
use crate::work::sync_places;

/// Bytes at which a group is closed, so that its record's memory is bounded.
const GROUP_BYTES_MAX: usize = 16 << 20;

/// What a commit record says of an INSERT beside its rows and what its stage knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitHead {
    /// Who sent it.
    pub user: String,
    /// Its client's query id; empty where it gave none.
    pub query_id: String,
    /// 128-bit hash of the decoded body and of what decides how it is read, where a retry may be recognised by it.
    pub body_hash: Option<u128>,
    /// How long ago the INSERT may have been accepted that this one is taken for a retry of; zero: it never is.
    pub retry_windows: RetryWindows,
    /// Rows of a shape that no shard has read yet: the first of these destinations where nothing waits gets a batch of them
    /// alone and at once, and the INSERT is pending until that is settled. Empty for a shape that is known to be good; not
    /// looked at when the INSERT waits for a local replica anyway.
    pub probe: Vec<ProbeTarget>,
    /// Its client waits until all shards have its rows: they are cut at once, and [`Accepted::watching`] follows them.
    pub watch: bool,
}

/// A durable INSERT.
#[derive(Debug)]
pub struct Accepted {
    /// The receipt; of a retry, the first INSERT's.
    pub insert: InsertId,
    /// Rows of all shares; of a retry, the first INSERT's.
    pub rows: u64,
    /// Their raw bytes.
    pub raw_bytes: u64,
    /// It is a retry of an INSERT that was accepted before: nothing was added.
    pub is_duplicate: bool,
    /// There when rows go to a local lane, or one destination is to take some first: the client's answer waits for it.
    pub pending: Option<PendingWait>,
    /// There when [`CommitHead::watch`] asked for it; not of a retry, for which [`Spool::watch`](crate::Spool::watch) is to be
    /// asked.
    pub watching: Option<Watching>,
}

/// The wait for an INSERT's local rows, or for its probe. Dropping it changes nothing.
#[derive(Debug)]
pub struct PendingWait {
    outcome: oneshot::Receiver<PendingOutcome>,
    is_probe: bool,
}

impl PendingWait {
    pub(crate) fn new(outcome: oneshot::Receiver<PendingOutcome>, is_probe: bool) -> PendingWait {
        PendingWait { outcome, is_probe }
    }

    /// Waits for the end. There is no bound: the caller sets the timeout, and then asks
    /// [`Spool::go`](crate::Spool::go).
    /// May be called again after a timeout that dropped the future, not after it gave an outcome.
    pub async fn outcome(&mut self) -> PendingOutcome {
        let closed = || PendingOutcome::Waiting("the spool is closed".to_owned());
        (&mut self.outcome).await.unwrap_or_else(|_| closed())
    }

    /// Whether a destination of [`CommitHead::probe`] is waited for, not a local replica.
    pub fn is_probe(&self) -> bool {
        self.is_probe
    }
}

/// What waits for the journal thread.
#[derive(Debug)]
pub enum Job {
    /// An INSERT.
    Commit {
        /// Its rows.
        staged: Staged,
        /// What else is to be said of it.
        head: CommitHead,
        /// Who waits for the answer.
        reply: oneshot::Sender<Result<Accepted, CommitError>>,
    },
    /// The directories of an earlier process are read; or why they cannot be put in order.
    Swept(Result<Swept, FileError>),
    /// Anything else.
    Request {
        /// What.
        request: Request,
        /// Who waits for the answer.
        reply: oneshot::Sender<Result<Answer, QueueError>>,
    },
}

/// A job that is in the group, with what to answer.
enum Answerable {
    Commit {
        staged: Staged,
        wait: Wait,
        watch: bool,
        reply: oneshot::Sender<Result<Accepted, CommitError>>,
    },
    /// An INSERT that is in the queue already, or in this very group.
    Retry {
        first: First,
        is_in_group: bool,
        /// Dropped, files included, once the state is no longer locked.
        staged: Staged,
        reply: oneshot::Sender<Result<Accepted, CommitError>>,
    },
    Request {
        request: Request,
        answer: Answer,
        reply: oneshot::Sender<Result<Answer, QueueError>>,
    },
}

/// The thread's own.
#[derive(Debug)]
pub struct JournalThread {
    shared: Arc<Shared>,
    writer: Writer,
    /// Segments that are still there, the one being written last, and their bytes.
    segments: VecDeque<(u64, u64)>,
    /// What the last checkpoint rests on. It is kept when the next one is written, and so are these.
    needed: Needed,
    windows: WindowFiles,
    /// What waits until the directories are read.
    parked: VecDeque<Job>,
    /// The next group is one without INSERTs: there was no room for them, and is for the rest.
    commits_wait: bool,
}

/// The segments that a checkpoint is read with.
#[derive(Debug, Default)]
pub struct Needed {
    /// The first whose events are not in it.
    pub from: u64,
    /// Earlier ones, with rows that waited.
    pub rows_in: BTreeSet<u64>,
}

impl Needed {
    fn has(&self, segment: u64) -> bool {
        segment >= self.from || self.rows_in.contains(&segment)
    }
}

impl JournalThread {
    /// Writes to `writer`; `segments` are the older ones and their bytes, `needed` those of the last checkpoint, `windows` what
    /// they left for retries.
    pub fn new(
        shared: Arc<Shared>,
        writer: Writer,
        segments: VecDeque<(u64, u64)>,
        needed: Needed,
        windows: WindowFiles,
    ) -> JournalThread {
        let mut thread = JournalThread {
            shared,
            writer,
            segments,
            needed,
            windows,
            parked: VecDeque::new(),
            commits_wait: false,
        };
        thread.segments.push_back((thread.writer.segment(), 0));
        thread
    }

    /// Runs until the inbox is closed and empty, or the journal fails.
    pub fn run(mut self) {
        let mut waiting = VecDeque::new();
        loop {
            if waiting.is_empty() {
                match self.shared.inbox.take_all() {
                    Some(jobs) => waiting = jobs,
                    None => break,
                }
            } else {
                while let Some(job) = self.shared.inbox.pop() {
                    waiting.push_back(job);
                }
            }
            match self.turn(waiting) {
                ControlFlow::Continue(deferred) => waiting = deferred,
                ControlFlow::Break(()) => return,
            }
        }
        self.close();
    }

    /// Writes one group of the jobs that wait. Gives back those that must wait for the next, or breaks when the journal has
    /// failed and everybody was told.
    pub fn turn(&mut self, waiting: VecDeque<Job>) -> ControlFlow<(), VecDeque<Job>> {
        let deferred = self.commit_group(waiting);
        if self.shared.poison_cause().is_some() {
            self.refuse_all(deferred);
            return ControlFlow::Break(());
        }
        // What is decided of the directories is in the state before it is in the journal, and no checkpoint comes in between.
        if self.writer.is_full() && self.shared.state().is_swept() {
            self.roll();
        }
        ControlFlow::Continue(deferred)
    }

    /// Makes a group of the first jobs, writes and answers it. Returns the jobs that must wait for the next.
    fn commit_group(&mut self, mut jobs: VecDeque<Job>) -> VecDeque<Job> {
        let mut deferred = VecDeque::new();
        let mut answerable = Vec::new();
        self.take_in_sweep(&mut jobs);
        let mut group = self.gather(&mut jobs, &mut deferred, &mut answerable);
        self.commits_wait = false;
        deferred.append(&mut jobs);
        let record_is_written = match group.is_empty() {
            true => Ok(()),
            false => self.write(&group),
        };
        match record_is_written {
            Ok(()) => self.apply_and_answer(&mut group, answerable),
            Err(error) => {
                let mut again = self.fail(&error, answerable);
                again.append(&mut deferred);
                deferred = again;
            }
        }
        deferred
    }

    /// Before the directories are read INSERTs alone are looked at; what came of reading them comes first.
    fn take_in_sweep(&mut self, jobs: &mut VecDeque<Job>) {
        if self.shared.state().is_swept() {
            return;
        }
        let (mut commits, mut swept) = (VecDeque::new(), None);
        for job in jobs.drain(..) {
            match job {
                Job::Swept(end) => swept = Some(end),
                Job::Commit { .. } => commits.push_back(job),
                Job::Request { .. } => self.parked.push_back(job),
            }
        }
        if let Some(end) = swept {
            self.end_sweep(end);
            jobs.append(&mut self.parked);
        }
        jobs.append(&mut commits);
    }

    /// Writes what was decided of the directories, which is in the state already.
    fn end_sweep(&mut self, end: Result<Swept, FileError>) {
        let written = end.map_err(|error| error.to_string()).and_then(|swept| {
            let written = write_all(&mut self.writer, &swept.records);
            written.map(|()| swept).map_err(|error| error.to_string())
        });
        match written {
            Ok(swept) => {
                self.shared.end_sweep(swept.report);
                // What is in no record, a doubt, is in the checkpoint.
                if !swept.records.is_empty() {
                    self.roll();
                }
            }
            Err(cause) => self.shared.poison(format!(
                "what lies in the spool's directories could not be put in order: {cause}"
            )),
        }
    }

    fn gather(
        &self,
        jobs: &mut VecDeque<Job>,
        deferred: &mut VecDeque<Job>,
        answerable: &mut Vec<Answerable>,
    ) -> Group {
        let state = self.shared.state();
        let mut group = Group::new(&state);
        while let Some(job) = jobs.pop_front() {
            match job {
                job @ Job::Commit { .. } if self.commits_wait => deferred.push_back(job),
                Job::Commit { staged, head, reply } => {
                    let committed = group.commit(&state, &staged, &head, now_ms());
                    answerable.push(Answerable::of(committed, staged, head.watch, reply));
                }
                // There is one, and it was taken before.
                Job::Swept(_) => {}
                Job::Request { request, reply } if group.defers(&state, &request) => {
                    deferred.push_back(Job::Request { request, reply });
                }
                Job::Request { request, reply } => match group.request(&state, &request) {
                    Ok(answer) => answerable.push(Answerable::Request {
                        request,
                        answer,
                        reply,
                    }),
                    Err(error) => drop(reply.send(Err(error))),
                },
            }
            if group.bytes() >= GROUP_BYTES_MAX {
                break;
            }
        }
        group
    }

    /// Where there is no room, what sent/ holds goes first.
    fn write(&mut self, group: &Group) -> Result<(), JournalError> {
        match self.writer.append(&group.record) {
            Err(JournalError::NoSpace { .. }) if self.make_room() => self.writer.append(&group.record)?,
            other => other?,
        };
        if self.shared.options.fsync && group.needs_sync() {
            self.writer.sync()?;
        }
        Ok(())
    }

    /// Evicts some of sent/; whether there was something.
    fn make_room(&self) -> bool {
        let shared = &self.shared;
        // What lies in sent/ may be evidence until the directories are read.
        let has_sent = || shared.state().queues().any(|(_, queue)| queue.sent.files > 0);
        let can_evict = shared.state().is_swept() && has_sent();
        if can_evict {
            retain::evict(shared, shared.options.segment_bytes);
        }
        can_evict
    }

    /// The record is on disk: now it is true.
    fn apply_and_answer(&mut self, group: &mut Group, answerable: Vec<Answerable>) {
        let replies: Vec<_> = answerable.into_iter().map(|job| self.prepare(job)).collect();
        if !group.is_empty() {
            let effects = self.apply(group);
            self.shared.carry_out(effects);
            self.count_bytes();
        }
        replies.into_iter().for_each(Reply::send);
        self.shared.progress.notify_waiters();
    }

    fn apply(&self, group: &mut Group) -> Vec<Effect> {
        let contents = mem::take(&mut group.contents);
        let at = Applied {
            segment: self.writer.segment(),
            now: self.shared.now(),
        };
        let mut state = self.shared.state();
        let due_before = state.next_due();
        let effects = state.apply(&group.record, contents, at);
        let due = state.next_due();
        let earlier = due.is_some_and(|due| due_before.is_none_or(|before| due < before));
        let pressed = self.shared.is_pressed(&state);
        drop(state);
        if earlier || pressed {
            self.shared.work.ring();
        }
        effects
    }

    /// Whoever waits for local rows must be known before the record is applied.
    fn prepare(&self, job: Answerable) -> Reply {
        match job {
            Answerable::Request { answer, reply, .. } => Reply::Request(answer, reply),
            Answerable::Commit {
                mut staged,
                wait,
                watch,
                reply,
            } => {
                staged.keep_files();
                let pending = self.waiter(staged.insert, wait);
                let watching = watch.then(|| Watching::begin(&self.shared, staged.insert));
                let accepted = Accepted {
                    insert: staged.insert,
                    rows: staged.rows(),
                    raw_bytes: staged.raw_bytes(),
                    is_duplicate: false,
                    pending,
                    watching,
                };
                Reply::Commit(accepted, reply)
            }
            Answerable::Retry {
                first, staged, reply, ..
            } => {
                drop(staged);
                Reply::Commit(self.shared.accepted_before(first), reply)
            }
        }
    }

    fn waiter(&self, insert: InsertId, wait: Wait) -> Option<PendingWait> {
        match wait {
            Wait::None => None,
            Wait::Stalled { why, is_probe } => {
                let (sender, outcome) = oneshot::channel();
                // The receiver is in the same hands, so this always arrives.
                drop(sender.send(PendingOutcome::Waiting(why)));
                Some(PendingWait::new(outcome, is_probe))
            }
            Wait::Local => Some(self.shared.wait_for(insert, false)),
            Wait::Probe(_) => Some(self.shared.wait_for(insert, true)),
        }
    }

    /// The record was not written, or nobody knows whether it was. Gives back what is to be tried without the INSERTs, for which
    /// there was no room: there is some that is kept for all else.
    fn fail(&mut self, error: &JournalError, answerable: Vec<Answerable>) -> VecDeque<Job> {
        let is_final = matches!(error, JournalError::Poisoned { .. });
        let has_commits = answerable
            .iter()
            .any(|job| matches!(job, Answerable::Commit { .. }));
        let may_fit = has_commits && matches!(error, JournalError::NoSpace { .. });
        let mut again = VecDeque::new();
        if is_final {
            self.shared.poison(error.to_string());
        } else {
            tracing::warn!(%error, "a group of {} requests was not written", answerable.len());
        }
        for job in answerable {
            match job {
                Answerable::Commit {
                    mut staged, reply, ..
                } => {
                    if is_final {
                        // Its record may be on disk all the same, and then names these files.
                        staged.keep_files();
                    }
                    drop(reply.send(Err(CommitError::from(error))));
                }
                Answerable::Retry {
                    is_in_group: true,
                    reply,
                    ..
                } => drop(reply.send(Err(CommitError::from(error)))),
                // What was accepted before does not hang on this record.
                Answerable::Retry { first, reply, .. } => {
                    drop(reply.send(Ok(self.shared.accepted_before(first))));
                }
                Answerable::Request { request, reply, .. } if may_fit => {
                    again.push_back(Job::Request { request, reply });
                }
                Answerable::Request { reply, .. } => drop(reply.send(Err(QueueError::from(error)))),
            }
        }
        self.commits_wait = !again.is_empty();
        again
    }

    /// After the end: everybody gets its reason, and the next start a note of what happened.
    fn refuse_all(&mut self, waiting: VecDeque<Job>) {
        self.shared.inbox.close();
        let parked = mem::take(&mut self.parked);
        let late = self.shared.inbox.take_all().unwrap_or_default();
        for job in waiting.into_iter().chain(parked).chain(late) {
            match job {
                Job::Swept(_) => {}
                Job::Commit { reply, .. } => drop(reply.send(Err(self.shared.commit_error()))),
                Job::Request { reply, .. } => drop(reply.send(Err(self.shared.queue_error()))),
            }
        }
        self.shared.progress.notify_waiters();
        self.note_failure();
    }

    /// The disk that failed may well not take this either.
    fn note_failure(&self) {
        let note = format!(
            "journal segment {}: nothing is known of what was written from byte {} on: {}\n",
            self.writer.segment(),
            self.writer.synced_bytes(),
            self.shared.poison_cause().unwrap_or_default(),
        );
        let files = &self.shared.files;
        if let Err(error) = files.replace(&files.layout.failure(), note.as_bytes()) {
            tracing::warn!(%error, "no note of the journal's failure is left for the next start");
        }
    }
}

// === segments and checkpoints ===

impl JournalThread {
    /// Begins the next segment, and lets go of those that nothing needs.
    fn roll(&mut self) {
        let bytes = self.writer.used_bytes();
        let rolled = match self.writer.roll() {
            Err(JournalError::NoSpace { .. }) if self.make_room() => self.writer.roll(),
            other => other,
        };
        match rolled {
            Ok(segment) => {
                if let Some(last) = self.segments.back_mut() {
                    last.1 = bytes;
                }
                self.segments.push_back((segment, 0));
                self.checkpoint(segment);
            }
            Err(error @ JournalError::Poisoned { .. }) => self.shared.poison(error.to_string()),
            Err(error) => tracing::warn!(%error, "the journal goes on in its full segment"),
        }
    }

    /// Writes down everything that the segments before `segment` say, and removes those that neither this checkpoint nor the
    /// one before rests on.
    fn checkpoint(&mut self, segment: u64) {
        // The window comes first: once the checkpoint is there, nobody reads in the closed segment whose retries come.
        let written = self.windows.write(&self.shared, segment - 1);
        match written.and_then(|()| write_checkpoint(&self.shared, segment)) {
            Ok(needed) => {
                let of_previous = mem::replace(&mut self.needed, needed);
                self.remove_segments(&of_previous);
                self.windows.remove_old(&self.shared);
            }
            // The older segments stay and are read again.
            Err(error) => tracing::warn!(%error, "no checkpoint was written, the journal keeps its segments"),
        }
    }

    /// Lets go of the segments that neither the previous checkpoint nor a row that waits needs.
    pub fn remove_segments(&mut self, of_previous: &Needed) {
        let needed =
            |segment: u64| of_previous.has(segment) || self.shared.state().segment_has_uncut(segment);
        let mut kept = VecDeque::new();
        for (segment, bytes) in mem::take(&mut self.segments) {
            let path = journal::segment_path(&self.shared.files.layout.journal(), segment);
            if needed(segment) {
                kept.push_back((segment, bytes));
            } else if let Err(error) = self.shared.files.remove(&path) {
                tracing::warn!(%error, "a journal segment stays behind");
            }
        }
        self.segments = kept;
        self.count_bytes();
    }

    fn count_bytes(&self) {
        let closed: u64 = self.segments.iter().map(|(_, bytes)| bytes).sum();
        self.shared
            .journal_bytes
            .store(closed + self.writer.used_bytes(), Ordering::Relaxed);
    }

    /// Ends the journal in order.
    pub fn close(mut self) {
        for job in mem::take(&mut self.parked) {
            if let Job::Request { reply, .. } = job {
                drop(reply.send(Err(self.shared.queue_error())));
            }
        }
        // A sweep that was stopped half way is begun anew by the next start, from the checkpoint that it began with here.
        if self.shared.state().is_swept() {
            self.roll();
        }
        if let Err(error) = self.writer.close() {
            tracing::error!(%error, "the journal was not closed in order; the next start reads what is there");
        }
    }
}

/// Appends all records and syncs.
pub fn write_all(writer: &mut Writer, records: &[Record]) -> Result<(), JournalError> {
    if records.is_empty() {
        return Ok(());
    }
    records
        .iter()
        .try_for_each(|record| writer.append(record).map(drop))?;
    writer.sync()
}

/// Writes the checkpoint file; the one before is kept under another name. Files that were moved are where they belong for good
/// before it stops naming them. Says which segments it is to be read with.
pub fn write_checkpoint(shared: &Shared, segment: u64) -> Result<Needed, FileError> {
    sync_moved(shared)?;
    let state = shared.state();
    let checkpoint = state.checkpoint(segment);
    let rows_in = state.segments_with_uncut();
    drop(state);
    let path = shared.files.layout.checkpoint();
    let bytes = journal::encode_checkpoint(&checkpoint)
        .map_err(|error| FileError::at("encoding", &path)(std::io::Error::other(error.to_string())))?;
    keep_previous(&shared.files, &path)?;
    shared.files.replace(&path, &bytes)?;
    Ok(Needed {
        from: segment,
        rows_in,
    })
}

/// There is a whole checkpoint under its name at every moment.
fn keep_previous(files: &Files, checkpoint: &Path) -> Result<(), FileError> {
    if !files.exists(checkpoint)? {
        return Ok(());
    }
    let second_name = files.layout.meta().join(temporary_name());
    files.link(checkpoint, &second_name)?;
    files.rename(&second_name, &files.layout.previous_checkpoint())
}

/// Makes the moves of settled files durable, and forgets their verdicts.
pub fn sync_moved(shared: &Shared) -> Result<(), FileError> {
    let moved = mem::take(&mut *lock(&shared.moved));
    let mut destinations: Vec<_> = moved.iter().map(|(destination, _)| destination).collect();
    destinations.sort_unstable();
    destinations.dedup();
    destinations
        .into_iter()
        .try_for_each(|destination| sync_places(&shared.files, destination))?;
    let mut state = shared.state();
    for (destination, seq) in moved {
        state.queue(&destination).leaving.remove(&seq);
    }
    Ok(())
}

impl Answerable {
    fn of(
        committed: Committed,
        staged: Staged,
        watch: bool,
        reply: oneshot::Sender<Result<Accepted, CommitError>>,
    ) -> Answerable {
        match committed {
            Committed::New(wait) => Answerable::Commit {
                staged,
                wait,
                watch,
                reply,
            },
            Committed::Retry { first, is_in_group } => Answerable::Retry {
                first,
                is_in_group,
                staged,
                reply,
            },
        }
    }
}

impl CommitHead {
    /// By what the INSERT is recognised.
    pub(crate) fn signature<'a>(&'a self, staged: &'a Staged) -> Signature<'a> {
        Signature {
            user: &self.user,
            table: &staged.shape.table,
            token: staged.token.as_deref(),
            query_id: &self.query_id,
            body_hash: self.body_hash,
        }
    }
}

/// What one caller is told.
enum Reply {
    Commit(Accepted, oneshot::Sender<Result<Accepted, CommitError>>),
    Request(Answer, oneshot::Sender<Result<Answer, QueueError>>),
}

impl Reply {
    /// A caller that has gone needs no answer: what it asked for is done all the same.
    fn send(self) {
        match self {
            Reply::Commit(accepted, reply) => drop(reply.send(Ok(accepted))),
            Reply::Request(answer, reply) => drop(reply.send(Ok(answer))),
        }
    }
}

impl From<&JournalError> for CommitError {
    fn from(error: &JournalError) -> CommitError {
        match error {
            JournalError::Poisoned { .. } => CommitError::Poisoned(error.to_string()),
            JournalError::NoSpace { .. } => CommitError::NoSpace(error.to_string()),
            JournalError::Codec(_) | JournalError::TooLarge { .. } => {
                CommitError::TooLarge(error.to_string())
            }
        }
    }
}

impl From<&JournalError> for QueueError {
    fn from(error: &JournalError) -> QueueError {
        match error {
            JournalError::Poisoned { .. } => QueueError::Poisoned(error.to_string()),
            JournalError::NoSpace { .. } | JournalError::Codec(_) | JournalError::TooLarge { .. } => {
                QueueError::NotWritten(error.to_string())
            }
        }
    }
}
