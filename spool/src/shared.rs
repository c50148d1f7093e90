//! What the spool's handle and its threads share, and how they wake each other.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::task::JoinError;
use tokio::time::Instant;

use crate::batch::PendingOutcome;
use crate::commit::{Accepted, Job, PendingWait};
use crate::error::{CommitError, QueueError};
use crate::files::Files;
use crate::group::First;
use crate::model::{Destination, InsertId, Options};
use crate::state::decide::{Answer, Request};
use crate::state::{Effect, State};
use crate::status::RecoveryReport;
use crate::work::Work;

/// One open spool.
#[derive(Debug)]
pub struct Shared {
    /// How it is to be kept.
    pub options: Options,
    /// Its disk.
    pub files: Files,
    /// Everything the queue knows. Locked for moments, never while a file is touched.
    state: Mutex<State>,
    /// Requests for the journal thread.
    pub inbox: Inbox<Job>,
    /// What the file threads do beside cutting.
    pub work: Inbox<Work>,
    /// Where the retention thread sleeps.
    pub retain: Inbox<()>,
    /// Clients that wait for their local rows.
    waiters: Mutex<HashMap<InsertId, Vec<oneshot::Sender<PendingOutcome>>>>,
    /// Rung when a watched INSERT has come further.
    watchers: Mutex<HashMap<InsertId, Arc<Notify>>>,
    /// One search of files for a watched INSERT at a time.
    pub searching: tokio::sync::Mutex<()>,
    /// Senders that wait for a batch.
    senders: Mutex<BTreeMap<Destination, Arc<Notify>>>,
    /// Rung after each record: somebody waits for cuts to be done.
    pub progress: Notify,
    /// Settled files that are moved, but whose directories are not synced since.
    pub moved: Mutex<Vec<(Destination, u64)>>,
    /// Bytes of all journal segments.
    pub journal_bytes: AtomicU64,
    /// What a start found, once the directories are read.
    recovery: OnceLock<RecoveryReport>,
    /// In a simulation somebody steps what threads do otherwise.
    #[cfg(any(test, feature = "sim"))]
    pub is_stepped: AtomicBool,
    clock: Instant,
    poison: OnceLock<String>,
    closed: AtomicBool,
}

impl Shared {
    /// Around what recovery found.
    pub fn new(options: Options, files: Files, state: State) -> Shared {
        Shared {
            options,
            files,
            state: Mutex::new(state),
            inbox: Inbox::default(),
            work: Inbox::default(),
            retain: Inbox::default(),
            waiters: Mutex::default(),
            watchers: Mutex::default(),
            searching: tokio::sync::Mutex::default(),
            senders: Mutex::default(),
            progress: Notify::new(),
            moved: Mutex::default(),
            journal_bytes: AtomicU64::new(0),
            recovery: OnceLock::new(),
            #[cfg(any(test, feature = "sim"))]
            is_stepped: AtomicBool::new(false),
            clock: Instant::now(),
            poison: OnceLock::new(),
            closed: AtomicBool::new(false),
        }
    }

    /// The state, for a moment.
    pub fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The state, for who locks it himself.
    pub fn state_cell(&self) -> &Mutex<State> {
        &self.state
    }

    /// Milliseconds of the spool's own clock.
    pub fn now(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// How long until that moment of the spool's own clock.
    pub fn until(&self, moment: u64) -> Duration {
        Duration::from_millis(moment.saturating_sub(self.now()))
    }

    /// Whether uncut shares take more memory than they may.
    pub fn is_pressed(&self, state: &State) -> bool {
        state.uncut_memory_bytes() > self.options.uncut_memory_bytes as u64
    }

    // === the directories of an earlier process ===

    /// They are read, and what came of it is in the journal: from now on there is cutting and sending.
    pub fn end_sweep(&self, report: RecoveryReport) {
        self.state().end_sweep();
        self.files.end_fresh();
        // There is one sweep.
        let _ = self.recovery.set(report);
        self.work.ring();
        self.retain.ring();
        self.progress.notify_waiters();
        for notify in lock(&self.senders).values() {
            notify.notify_waiters();
        }
    }

    /// What the start found; none as long as the directories are read.
    pub fn recovery(&self) -> Option<&RecoveryReport> {
        self.recovery.get()
    }

    /// Waits until the directories are read, or never will be; whether they are.
    pub async fn swept(&self) -> bool {
        self.progress_until(|| self.recovery().is_some() || self.is_closed())
            .await;
        self.recovery().is_some()
    }

    // === the end ===

    /// The journal failed: nothing is written any more, and everybody is told.
    pub fn poison(&self, cause: String) {
        tracing::error!(%cause, "the spool's journal failed; it takes nothing more until a restart");
        // The first failure is the one to tell.
        let _ = self.poison.set(cause);
        self.close();
    }

    /// What made the journal fail.
    pub fn poison_cause(&self) -> Option<&str> {
        self.poison.get().map(String::as_str)
    }

    /// No more batches, no more commits.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.work.ring();
        self.retain.ring();
        self.progress.notify_waiters();
        for notify in lock(&self.senders).values().chain(lock(&self.watchers).values()) {
            notify.notify_waiters();
        }
    }

    /// Whether it is closing, or its journal failed.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Why a commit that is in no group is not possible any more.
    pub fn commit_error(&self) -> CommitError {
        match self.poison_cause() {
            Some(cause) => CommitError::Failed(cause.to_owned()),
            None => CommitError::Closed,
        }
    }

    /// Why nothing can be changed any more.
    pub fn queue_error(&self) -> QueueError {
        match self.poison_cause() {
            Some(cause) => QueueError::Poisoned(cause.to_owned()),
            None => QueueError::Closed,
        }
    }

    /// Runs what waits for the disk on a thread of its own.
    pub async fn off_the_runtime<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        #[cfg(any(test, feature = "sim"))]
        if self.is_stepped.load(Ordering::Relaxed) {
            return Ok(work());
        }
        tokio::task::spawn_blocking(work).await
    }

    // === requests and effects ===

    /// Hands a request to the journal thread; the answer comes when its events are on disk.
    pub fn ask(&self, request: Request) -> oneshot::Receiver<Result<Answer, QueueError>> {
        let (reply, answer) = oneshot::channel();
        if let Err(Job::Request { reply, .. }) = self.inbox.push(Job::Request { request, reply }) {
            // The asker may have gone; then nobody wants to know.
            let _ = reply.send(Err(self.queue_error()));
        }
        answer
    }

    /// As [`Shared::ask`], for tasks.
    pub async fn asked(&self, request: Request) -> Result<Answer, QueueError> {
        self.ask(request)
            .await
            .unwrap_or_else(|_| Err(self.queue_error()))
    }

    /// Does what is left to do after a record, or hands it on.
    pub fn carry_out(&self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Wake(destination) => self.wake(&destination),
                Effect::Answer { insert, outcome } => self.answer(insert, &outcome),
                Effect::Moved(insert) => self.moved(insert),
                Effect::Depart { destination, seq } => self.hand_over(Work::Depart { destination, seq }),
                Effect::RemoveStaged(insert) => {
                    self.hand_over(Work::Remove(self.files.layout.staged(insert.0)));
                }
                Effect::RemoveTemporary(file) => {
                    let directory = self.files.layout.destination(&file.directory);
                    self.hand_over(Work::Remove(directory.join(file.name)));
                }
            }
        }
    }

    fn hand_over(&self, work: Work) {
        // Refused only at the end; the next start finds and does it.
        let _ = self.work.push(work);
    }

    /// Registers a client that waits for an INSERT's local rows, or its probe; before the record is applied. Its retries
    /// wait with it.
    pub fn wait_for(&self, insert: InsertId, is_probe: bool) -> PendingWait {
        let (waiter, outcome) = oneshot::channel();
        lock(&self.waiters).entry(insert).or_default().push(waiter);
        PendingWait::new(outcome, is_probe)
    }

    /// What the retry of an accepted INSERT is answered. To be called where the INSERT's end cannot come in between: with the
    /// state locked, or by the journal's thread.
    pub fn accepted_before(&self, first: First) -> Accepted {
        Accepted {
            insert: first.insert,
            rows: first.rows,
            raw_bytes: first.raw_bytes,
            is_duplicate: true,
            pending: first
                .awaits_probe
                .map(|is_probe| self.wait_for(first.insert, is_probe)),
            watching: None,
        }
    }

    /// Answers the clients of an INSERT that still wait.
    pub fn answer(&self, insert: InsertId, outcome: &PendingOutcome) {
        for waiter in lock(&self.waiters).remove(&insert).unwrap_or_default() {
            // The client may have gone.
            let _ = waiter.send(outcome.clone());
        }
    }

    /// What is rung when a watched INSERT has come further.
    pub fn watch_bell(&self, insert: InsertId) -> Arc<Notify> {
        Arc::clone(lock(&self.watchers).entry(insert).or_default())
    }

    /// Somebody follows an INSERT no longer. Nobody else does when its bell goes: both are seen under the state's lock.
    pub fn leave_watch(&self, insert: InsertId) {
        let mut state = self.state();
        if state.watches.leave(insert) {
            lock(&self.watchers).remove(&insert);
        }
    }

    /// A watched INSERT has come further.
    pub fn moved(&self, insert: InsertId) {
        if let Some(bell) = lock(&self.watchers).get(&insert) {
            bell.notify_waiters();
        }
    }

    /// Waits until that holds; looked at after each record.
    pub async fn progress_until(&self, mut holds: impl FnMut() -> bool) {
        loop {
            // Listening begins before looking, so that what comes in between is heard.
            let progress = self.progress.notified();
            tokio::pin!(progress);
            progress.as_mut().enable();
            if holds() {
                return;
            }
            progress.await;
        }
    }

    /// Rung when the destination may have something to send.
    pub fn sender_bell(&self, destination: &Destination) -> Arc<Notify> {
        let mut senders = lock(&self.senders);
        if let Some(bell) = senders.get(destination) {
            return Arc::clone(bell);
        }
        let bell = Arc::new(Notify::new());
        senders.insert(destination.clone(), Arc::clone(&bell));
        bell
    }

    /// Rings for the destination's sender.
    pub fn wake(&self, destination: &Destination) {
        if let Some(bell) = lock(&self.senders).get(destination) {
            bell.notify_waiters();
        }
    }
}

/// A queue of jobs for threads.
#[derive(Debug)]
pub struct Inbox<T> {
    inner: Mutex<Queued<T>>,
    bell: Condvar,
    /// Rung with the bell, for a simulation's stepper.
    #[cfg(any(test, feature = "sim"))]
    pub heard: Notify,
}

#[derive(Debug)]
struct Queued<T> {
    jobs: VecDeque<T>,
    closed: bool,
    /// Counts rings, so that one between a look and a sleep is not missed.
    rings: u64,
}

impl<T> Default for Inbox<T> {
    fn default() -> Inbox<T> {
        Inbox {
            inner: Mutex::new(Queued {
                jobs: VecDeque::new(),
                closed: false,
                rings: 0,
            }),
            bell: Condvar::new(),
            #[cfg(any(test, feature = "sim"))]
            heard: Notify::new(),
        }
    }
}

impl<T> Inbox<T> {
    /// Adds a job, unless the inbox is closed.
    pub fn push(&self, job: T) -> Result<(), T> {
        let mut inner = lock(&self.inner);
        if inner.closed {
            return Err(job);
        }
        inner.jobs.push_back(job);
        self.bell.notify_one();
        #[cfg(any(test, feature = "sim"))]
        self.heard.notify_one();
        Ok(())
    }

    /// The next job.
    pub fn pop(&self) -> Option<T> {
        lock(&self.inner).jobs.pop_front()
    }

    /// All jobs that wait, as soon as there is one; `None` when it is closed and empty.
    pub fn take_all(&self) -> Option<VecDeque<T>> {
        let mut inner = lock(&self.inner);
        while inner.jobs.is_empty() {
            if inner.closed {
                return None;
            }
            inner = self.bell.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        Some(std::mem::take(&mut inner.jobs))
    }

    /// Takes no more jobs; those that wait are still given out.
    pub fn close(&self) {
        lock(&self.inner).closed = true;
        self.ring();
    }

    /// Whether it is closed and empty.
    pub fn is_done(&self) -> bool {
        let inner = lock(&self.inner);
        inner.closed && inner.jobs.is_empty()
    }

    /// Wakes whoever sleeps here, for something else than a job.
    pub fn ring(&self) {
        lock(&self.inner).rings += 1;
        self.bell.notify_all();
        #[cfg(any(test, feature = "sim"))]
        self.heard.notify_one();
    }

    /// For [`Inbox::sleep`]: rings so far.
    pub fn rings(&self) -> u64 {
        lock(&self.inner).rings
    }

    /// Sleeps until there is a job, a ring since `rings`, the end, or the time is over.
    pub fn sleep(&self, rings: u64, at_most: Duration) {
        let inner = lock(&self.inner);
        let idle = |inner: &mut Queued<T>| inner.jobs.is_empty() && !inner.closed && inner.rings == rings;
        let woken = self.bell.wait_timeout_while(inner, at_most, idle);
        drop(woken.unwrap_or_else(PoisonError::into_inner));
    }
}

/// A lock whose holder panicked is taken all the same: each section leaves its data sound at every step.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
