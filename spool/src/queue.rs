//! The spool's handle: what the router calls.

pub(crate) mod accept;
mod admin;
pub(crate) mod send;
#[cfg(any(test, feature = "sim"))]
mod stepped;

use std::io;
use std::path::PathBuf;
#[cfg(any(test, feature = "sim"))]
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::commit::{JournalThread, write_checkpoint};
use crate::disk::{Disk, RealDisk};
use crate::error::{FileError, OpenError};
use crate::event::Record;
use crate::files::Files;
use crate::journal::{JournalError, Writer, WriterOptions};
use crate::model::Options;
use crate::names::Layout;
use crate::own::{Lock, spool_id};
use crate::recover::{Recovered, recover};
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
    /// Opens the spool and rolls forward what the last process left. Takes as long as reading the journal's
    /// last segments and two ends of each waiting file.
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
        let (shared, journal, report) = Spool::roll_forward(disk, options)?;
        let running = Running::start(shared, journal, lock)?;
        let running = Arc::new(running);
        Ok((Spool { running }, report))
    }

    /// Takes over what the last process left; nothing runs yet.
    fn roll_forward(
        disk: Arc<dyn Disk>,
        options: Options,
    ) -> Result<(Arc<Shared>, JournalThread, RecoveryReport), OpenError> {
        let mut files = Files {
            disk,
            layout: Layout::at(&options.path),
            spool: uuid::Uuid::nil(),
            fsync: options.fsync,
            durable: Arc::default(),
        };
        for directory in [files.layout.journal(), files.layout.meta()] {
            files.create_dir(&directory)?;
        }
        files.spool = spool_id(&files)?;
        let Recovered {
            state,
            report,
            mut segments,
            next_segment,
            needed: of_previous,
            repairs,
            mut windows,
        } = recover(&files, window(&files, &options))?;
        let mut writer = create_writer(&files, &options, next_segment)?;
        if !repairs.is_empty() {
            write_repairs(&files, &mut writer, &repairs)?;
            segments.push_back((next_segment, 0));
        }
        let shared = Arc::new(Shared::new(options, files, state));
        windows.write(&shared, next_segment - 1)?;
        let needed = write_checkpoint(&shared, writer.segment())?;
        shared.files.remove(&shared.files.layout.failure())?;
        windows.remove_old(&shared);
        let mut journal = JournalThread::new(Arc::clone(&shared), writer, segments, needed, windows);
        // Here and not only when the segment is full: a router that is killed again and again would keep one of each life.
        journal.remove_segments(&of_previous);
        Ok((shared, journal, report))
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
    let written = repairs
        .iter()
        .try_for_each(|record| writer.append(record).map(drop));
    let rolled = written.and_then(|()| writer.roll());
    rolled
        .map(drop)
        .map_err(cannot_write("writing to", files.layout.journal()))
}

fn cannot_write(action: &'static str, journal: PathBuf) -> impl FnOnce(JournalError) -> OpenError {
    move |error| FileError::at(action, journal)(io::Error::other(error.to_string())).into()
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
pub(crate) mod tests;
