//! The spool's handle: what the router calls.

pub(crate) mod accept;
mod admin;
pub(crate) mod send;
#[cfg(any(test, feature = "sim"))]
mod stepped;

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
#[cfg(any(test, feature = "sim"))]
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::commit::{Job, JournalThread, write_all, write_checkpoint};
use crate::disk::{Disk, RealDisk};
use crate::error::{FileError, OpenError};
use crate::event::Record;
use crate::files::Files;
use crate::journal::{JournalError, Writer, WriterOptions};
use crate::model::Options;
use crate::names::Layout;
use crate::own::{Lock, SpoolId, spool_id};
use crate::recover::directories::Hands;
use crate::recover::sweep::Swept;
use crate::recover::{self, Recovered, recover};
use crate::retain;
use crate::shared::{Shared, lock};
use crate::state::window::Window;
use crate::status::RecoveryReport;
use crate::work::{self, CUT_THREADS};

#[cfg(any(test, feature = "sim"))]
pub use stepped::Stepper;

/// How long a shutdown waits for uncut shares to be cut; what is left is in the journal and cut at the next
/// start.
const SHUTDOWN_FLUSH_TIME: Duration = Duration::from_secs(10);

/// The open spool. A handle: clones share one queue. When the last one is dropped without
/// [`Spool::shutdown`], the
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

impl Spool {
    /// Opens the spool and rolls forward what the last process left. INSERTs are accepted when this returns, which takes as
    /// long as reading the journal's last segments; the directories are read behind that ([`Spool::recovered`]), and then
    /// batches are cut and given out.
    pub fn open(options: Options) -> Result<Spool, OpenError> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let layout = Layout::at(&options.path);
        disk.create_dir_all(layout.root())
            .map_err(FileError::at("making", layout.root()))?;
        let lock = Lock::take(&layout)?;
        Spool::open_behind(disk, options, Some(lock))
    }

    /// As [`Spool::open`], on any disk, and with the lock in hand.
    pub(crate) fn open_behind(
        disk: Arc<dyn Disk>,
        options: Options,
        lock: Option<Lock>,
    ) -> Result<Spool, OpenError> {
        let opened = Opened::roll_forward(disk, options, Sweeping::Behind)?;
        let running = Running::start(opened, lock)?;
        Ok(Spool {
            running: Arc::new(running),
        })
    }

    /// What the start found and did, once the directories are read; `None` if the spool is closed before.
    pub async fn recovered(&self) -> Option<RecoveryReport> {
        self.shared().swept().await;
        self.shared().recovery().cloned()
    }

    /// Whether the directories are read: before, nothing is cut or sent, and what sent/ and broken/ hold is not counted.
    pub fn is_recovered(&self) -> bool {
        self.shared().recovery().is_some()
    }

    /// Commits what is queued, cuts what waits, syncs, stops the threads. Other handles get `Closed` from
    /// then on.
    pub async fn shutdown(self) {
        let shared = self.shared();
        shared.close();
        let flush = tokio::time::timeout(SHUTDOWN_FLUSH_TIME, self.flush(None));
        if flush.await.is_err() {
            tracing::warn!("not every share could be cut before the end, the rest stays in the journal");
        }
        let running = Arc::clone(&self.running);
        let stopped = shared.off_the_runtime(move || running.stop());
        if let Err(error) = stopped.await {
            tracing::error!(%error, "the spool's threads did not end in order");
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.running.shared
    }
}

/// A spool whose journal is read, before its threads run.
struct Opened {
    shared: Arc<Shared>,
    journal: JournalThread,
    /// What is known so far, and the segment in which the sweep's records come; none when that is done.
    unswept: Option<(RecoveryReport, u64)>,
}

/// When the directories are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sweeping {
    /// Behind the start, unless the journal is damaged.
    Behind,
    /// Before the first INSERT, by one thread: for a spool without threads.
    #[cfg(any(test, feature = "sim"))]
    Alone,
}

impl Opened {
    /// Takes over what the last process left: checkpoint and journal. The directories only where the journal is damaged.
    fn roll_forward(disk: Arc<dyn Disk>, options: Options, sweeping: Sweeping) -> Result<Opened, OpenError> {
        let mut files = Files {
            disk,
            layout: Layout::at(&options.path),
            spool: uuid::Uuid::nil(),
            fsync: options.fsync,
            durable: Arc::default(),
            fresh: Arc::default(),
            underway: Arc::default(),
        };
        for directory in [files.layout.journal(), files.layout.meta()] {
            files.create_dir(&directory)?;
        }
        let SpoolId { id, set_aside } = spool_id(&files)?;
        files.spool = id;
        let Recovered {
            mut state,
            mut report,
            mut segments,
            next_segment,
            needed: of_previous,
            mut windows,
        } = recover(&files, window(&files, &options))?;
        report.corrupt.extend(set_aside);
        let threads_in_front = match sweeping {
            Sweeping::Behind => state.is_doubted().then_some(recover::THREADS),
            #[cfg(any(test, feature = "sim"))]
            Sweeping::Alone => Some(1),
        };
        state.begin_sweep();
        let shared = Arc::new(Shared::new(options, files, state));
        let swept = match threads_in_front {
            Some(threads) => sweep(&shared, report.clone(), next_segment, threads)?,
            None => None,
        };
        let mut writer = create_writer(&shared.files, &shared.options, next_segment)?;
        if let Some(swept) = swept.as_ref().filter(|swept| !swept.records.is_empty()) {
            write_repairs(&shared.files, &mut writer, &swept.records)?;
            segments.push_back((next_segment, 0));
        }
        shared.files.begin_fresh();
        windows.write(&shared, next_segment - 1)?;
        let needed = write_checkpoint(&shared, writer.segment())?;
        shared.files.remove(&shared.files.layout.failure())?;
        windows.remove_old(&shared);
        let segment = writer.segment();
        let mut journal = JournalThread::new(Arc::clone(&shared), writer, segments, needed, windows);
        // Here and not only when the segment is full: a router that is killed again and again would keep one of each life.
        journal.remove_segments(&of_previous);
        let unswept = match swept {
            Some(swept) => {
                shared.end_sweep(swept.report);
                None
            }
            None => Some((report, segment)),
        };
        Ok(Opened {
            shared,
            journal,
            unswept,
        })
    }
}

/// Reads the directories; `None` when the spool is closed meanwhile.
fn sweep(
    shared: &Shared,
    report: RecoveryReport,
    segment: u64,
    threads: usize,
) -> Result<Option<Swept>, FileError> {
    let began = Instant::now();
    let is_stopped = || shared.is_closed();
    let hands = Hands {
        threads,
        is_stopped: &is_stopped,
    };
    let swept = recover::sweep::sweep(&shared.files, shared.state_cell(), report, segment, hands)?;
    Ok(swept.map(|mut swept| {
        recover::summarise(&shared.state(), &mut swept.report);
        swept.report.took += began.elapsed();
        swept
    }))
}

/// Reads the directories behind the start, and hands what came of it to the journal's thread.
fn sweep_behind(shared: &Shared, report: RecoveryReport, segment: u64) {
    let swept = panic::catch_unwind(AssertUnwindSafe(|| {
        sweep(shared, report, segment, recover::THREADS)
    }));
    let swept = swept.unwrap_or_else(|_| {
        let cause = io::Error::other("its thread ended in the middle");
        Err(FileError::at("reading", shared.files.layout.root())(cause))
    });
    if let Some(end) = swept.transpose() {
        // Refused only at the end: the next start does it again.
        drop(shared.inbox.push(Job::Swept(end)));
    }
}

/// Its seed is the spool's own, and stays.
fn window(files: &Files, options: &Options) -> Window {
    let (high, low) = files.spool.as_u64_pair();
    Window::new(high ^ low, options.retry_windows, options.retry_entries_max)
}

fn create_writer(files: &Files, options: &Options, segment: u64) -> Result<Writer, OpenError> {
    let directory = files.layout.journal();
    let writer = WriterOptions {
        spool: files.spool,
        segment_bytes: options.segment_bytes,
        first_segment: segment,
    };
    let created = Writer::create(Arc::clone(&files.disk), &directory, writer);
    created.map_err(cannot_write("making a segment in", directory))
}

/// What recovery decided, in a segment of its own: the checkpoint that follows has it.
fn write_repairs(files: &Files, writer: &mut Writer, repairs: &[Record]) -> Result<(), OpenError> {
    let written = write_all(writer, repairs).and_then(|()| writer.roll());
    written
        .map(drop)
        .map_err(cannot_write("writing to", files.layout.journal()))
}

fn cannot_write(action: &'static str, journal: PathBuf) -> impl FnOnce(JournalError) -> OpenError {
    move |error| FileError::at(action, journal)(io::Error::other(error.to_string())).into()
}

impl Running {
    fn start(opened: Opened, lock: Option<Lock>) -> Result<Running, FileError> {
        let Opened {
            shared,
            journal,
            unswept,
        } = opened;
        let journal = spawn("weir-journal".to_owned(), move || journal.run())?;
        let mut files = Vec::new();
        for number in 1..=CUT_THREADS {
            let of_thread = Arc::clone(&shared);
            files.push(spawn(format!("weir-cut-{number}"), move || {
                work::run(&of_thread);
            })?);
        }
        if let Some((report, segment)) = unswept {
            let of_thread = Arc::clone(&shared);
            files.push(spawn("weir-recover".to_owned(), move || {
                sweep_behind(&of_thread, report, segment);
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
        #[cfg(any(test, feature = "sim"))]
        if self.shared.is_stepped.load(Ordering::Relaxed) {
            return;
        }
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

#[cfg(test)]
impl Spool {
    /// As [`Spool::open_behind`], with the directories read when it returns.
    pub(crate) fn open_on(
        disk: Arc<dyn Disk>,
        options: Options,
        lock: Option<Lock>,
    ) -> Result<(Spool, RecoveryReport), OpenError> {
        let spool = Spool::open_behind(disk, options, lock)?;
        let report = spool.wait_recovered();
        Ok((spool, report))
    }

    /// As [`Spool::recovered`], for who may block; nothing, where the journal has failed.
    pub(crate) fn wait_recovered(&self) -> RecoveryReport {
        let shared = self.shared();
        while shared.recovery().is_none() && !shared.is_closed() {
            // Rung at the end of the sweep as well.
            shared
                .retain
                .sleep(shared.retain.rings(), Duration::from_millis(1));
        }
        shared.recovery().cloned().unwrap_or_default()
    }
}

#[cfg(test)]
pub(crate) mod tests;
