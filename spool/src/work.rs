//! The file threads, `weir-cut-N`: they cut what is due, move settled files to their places, and cut refused
//! batches again. All of them do all of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::batch::BatchFile;
use crate::cut;
use crate::error::{FileError, QueueError};
use crate::event::{Joined, Recut, Seq, Verdict};
use crate::files::Files;
use crate::join;
use crate::model::{BatchLimits, Destination};
use crate::names::{batch_name, error_name};
use crate::recut::{self, Divide, NotDivided};
use crate::retain;
use crate::shared::{Shared, lock};
use crate::state::decide::{Answer, Request};
use crate::state::lane::CutPlan;
use crate::status::Tally;

/// Threads that cut: enough to keep a disk's queue filled with syncs, few enough to leave the cores to the
/// router.
pub const CUT_THREADS: usize = 4;
/// After a failed cut (no space, say) its lane is tried again this much later.
const CUT_RETRY_MS: u64 = 1000;
/// How long a thread sleeps when nothing is due.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// Moved files are synced to their directories, and forgotten, when there are this many, or at a checkpoint.
const MOVED_MAX: usize = 4096;

/// What there is to do beside cutting.
#[derive(Debug)]
pub enum Work {
    /// A settled batch's file belongs elsewhere.
    Depart {
        /// Its destination.
        destination: Destination,
        /// Its number.
        seq: Seq,
    },
    /// Nobody needs that file any more.
    Remove(PathBuf),
    /// A refused batch is to be cut again by INSERT.
    Recut {
        /// Its destination.
        destination: Destination,
        /// Its file.
        file: BatchFile,
        /// Who waits for the new files.
        reply: oneshot::Sender<Result<Vec<Recut>, FileError>>,
    },
    /// Small batches that were never tried are to become one.
    Join {
        /// Their destination.
        destination: Destination,
        /// Which may be in it, in order.
        candidates: Vec<Seq>,
        /// What it may hold.
        limits: BatchLimits,
        /// Who waits for the new file, if there is to be one.
        reply: oneshot::Sender<Result<Option<Joined>, FileError>>,
    },
    /// One INSERT's batch is to be cut by rows.
    Divide {
        /// Its destination.
        destination: Destination,
        /// Its file.
        file: BatchFile,
        /// Into how many.
        parts: usize,
        /// Who knows the rows.
        divider: Box<dyn Divide>,
        /// Who waits for the new files.
        reply: oneshot::Sender<Result<Vec<Recut>, NotDivided>>,
    },
    /// Room is wanted: sent/ is to shrink by so many bytes.
    Evict {
        /// How much.
        bytes: u64,
        /// Who waits.
        reply: oneshot::Sender<()>,
    },
}

/// One file thread; runs until the work is closed and done.
pub fn run(shared: &Arc<Shared>) {
    loop {
        let rings = shared.work.rings();
        if let Some(work) = shared.work.pop() {
            perform(shared, work);
        } else if shared.work.is_done() {
            return;
        } else if let Some(plan) = claim(shared) {
            // Another may be due as well: the next thread looks.
            shared.work.ring();
            if let Some(AskedCut { plan, answer }) = begin_cut(shared, plan) {
                let answer = answer
                    .blocking_recv()
                    .unwrap_or_else(|_| Err(shared.queue_error()));
                end_cut(shared, &plan, answer);
            }
        } else {
            shared.work.sleep(rings, sleep_time(shared));
        }
    }
}

/// A lane whose rows are due; nobody else is given it until it is cut.
pub fn claim(shared: &Shared) -> Option<CutPlan> {
    if shared.poison_cause().is_some() {
        return None;
    }
    let mut state = shared.state();
    let pressed = shared.is_pressed(&state);
    state.claim_cut(shared.now(), pressed)
}

/// How long nothing is due.
pub fn sleep_time(shared: &Shared) -> Duration {
    if shared.poison_cause().is_some() {
        return SLEEP_MAX;
    }
    let due = shared.state().next_due();
    // A millisecond more than needed, lest the clock's fraction make it spin.
    due.map_or(SLEEP_MAX, |due| {
        shared.until(due).min(SLEEP_MAX) + Duration::from_millis(1)
    })
}

/// A cut whose files are written, and whose record is asked for.
#[derive(Debug)]
pub struct AskedCut {
    /// What is cut.
    pub plan: CutPlan,
    /// What the journal's thread says.
    pub answer: oneshot::Receiver<Result<Answer, QueueError>>,
}

/// Files first, then their record; without the record the files were never there.
pub fn begin_cut(shared: &Shared, plan: CutPlan) -> Option<AskedCut> {
    match cut::write(&shared.files, &plan) {
        Ok(batch) => {
            let answer = shared.ask(Request::Cut(plan.clone(), batch));
            Some(AskedCut { plan, answer })
        }
        Err(error) => {
            tracing::warn!(%error, table = plan.key.table, shard = plan.key.shard, "a batch was not cut, its rows wait");
            if error.is_want_of_room() {
                retain::evict(shared, plan.total.raw_bytes);
            }
            shared.state().cut_failed(plan.lane, shared.now() + CUT_RETRY_MS);
            None
        }
    }
}

/// Ends a cut as its record did.
pub fn end_cut(shared: &Shared, plan: &CutPlan, answer: Result<Answer, QueueError>) {
    let lane = plan.lane;
    match answer {
        Ok(Answer::Stale) => {
            cut::remove(&shared.files, plan);
            shared.state().cut_failed(lane, shared.now());
        }
        Ok(_) => {}
        Err(QueueError::NotWritten(error)) => {
            tracing::warn!(%error, "a cut was not recorded, its rows wait");
            cut::remove(&shared.files, plan);
            shared.state().cut_failed(lane, shared.now() + CUT_RETRY_MS);
        }
        // The record may be on disk: the next start knows.
        Err(error) => tracing::warn!(%error, "a cut was not recorded"),
    }
}

/// Does what was asked for.
pub fn perform(shared: &Shared, work: Work) {
    match work {
        Work::Depart { destination, seq } => depart(shared, &destination, seq),
        Work::Remove(path) => {
            if let Err(error) = shared.files.remove(&path) {
                tracing::warn!(%error, "a file that nobody needs stays behind");
            }
        }
        Work::Recut {
            destination,
            file,
            reply,
        } => drop(reply.send(recut::write(shared, &destination, &file))),
        Work::Join {
            destination,
            candidates,
            limits,
            reply,
        } => {
            let joined = join::write(shared, &destination, &candidates, &limits);
            if let Err(Ok(Some(joined))) = reply.send(joined) {
                join::remove(&shared.files, &joined);
            }
        }
        Work::Divide {
            destination,
            file,
            parts,
            mut divider,
            reply,
        } => {
            let divided = recut::divide(shared, &destination, &file, parts, divider.as_mut());
            if let Err(Ok(written)) = reply.send(divided) {
                recut::remove(&shared.files, &destination, &written);
            }
        }
        Work::Evict { bytes, reply } => {
            retain::evict(shared, bytes);
            // Who asked may have gone.
            let _ = reply.send(());
        }
    }
}

/// Moves a settled batch's file to where it belongs. What fails is done at the next start, which knows the
/// verdict.
fn depart(shared: &Shared, destination: &Destination, seq: Seq) {
    let verdict = shared.state().queue(destination).leaving.get(&seq).cloned();
    let Some(verdict) = verdict else { return };
    match move_file(&shared.files, destination, seq, &verdict) {
        Ok(bytes) => count_departed(shared, destination, seq, &verdict, bytes),
        Err(error) => tracing::warn!(%error, %destination, seq, "a settled batch's file stays in its place"),
    }
}

/// Moves the file; its size. A file that has gone already was moved by an earlier process.
pub fn move_file(
    files: &Files,
    destination: &Destination,
    seq: Seq,
    verdict: &Verdict,
) -> Result<u64, FileError> {
    let from = files.batch(destination, seq);
    if !files.exists(&from)? {
        return Ok(0);
    }
    let bytes = file_bytes(files, &from)?;
    match verdict {
        Verdict::Acknowledged => {
            let sent = files.layout.sent(destination);
            files.create_dir(&sent)?;
            files.rename(&from, &sent.join(batch_name(seq)))?;
        }
        Verdict::Broken { error } => {
            let broken = files.layout.broken(destination);
            files.create_dir(&broken)?;
            files.replace(&broken.join(error_name(seq)), format!("{error}\n").as_bytes())?;
            take_over(files, &from, &broken, &batch_name(seq))?;
        }
        Verdict::Dropped => files.remove(&from)?,
        Verdict::Retry { .. } | Verdict::Held { .. } | Verdict::Requeued => {}
    }
    Ok(bytes)
}

/// Its rows are nowhere else. A rename into another directory may be on disk half, when a cut syncs the one it leaves: so the new
/// name is durable before the old one goes.
fn take_over(files: &Files, from: &Path, directory: &Path, name: &str) -> Result<(), FileError> {
    let to = directory.join(name);
    match files.link(from, &to) {
        // The last process had come so far; were it another file, this one is what the journal means.
        Err(error) if error.source.kind() == std::io::ErrorKind::AlreadyExists => files.rename(from, &to)?,
        other => other?,
    }
    files.sync_dir(directory)?;
    files.remove(from)
}

/// Makes moves between a destination's directories durable.
pub fn sync_places(files: &Files, destination: &Destination) -> Result<(), FileError> {
    let layout = &files.layout;
    // Where files come to, before where they went from: between the two a file may have two names, never
    // none.
    for directory in [
        layout.sent(destination),
        layout.broken(destination),
        layout.destination(destination),
    ] {
        if files.exists(&directory)? {
            files.sync_dir(&directory)?;
        }
    }
    Ok(())
}

/// The size of a file.
pub fn file_bytes(files: &Files, path: &Path) -> Result<u64, FileError> {
    let file = files
        .disk
        .open_read(path)
        .map_err(FileError::at("opening", path))?;
    file.len().map_err(FileError::at("reading the size of", path))
}

fn count_departed(shared: &Shared, destination: &Destination, seq: Seq, verdict: &Verdict, bytes: u64) {
    if bytes > 0 {
        let tally = Tally {
            files: 1,
            file_bytes: bytes,
            ..Tally::default()
        };
        let mut state = shared.state();
        let queue = state.queue(destination);
        queue.departing_bytes = queue.departing_bytes.saturating_sub(bytes);
        match verdict {
            Verdict::Acknowledged => queue.sent.add(tally),
            Verdict::Broken { .. } => queue.broken.add(tally),
            Verdict::Dropped | Verdict::Retry { .. } | Verdict::Held { .. } | Verdict::Requeued => {}
        }
    }
    let mut moved = lock(&shared.moved);
    moved.push((destination.clone(), seq));
    let many = moved.len() >= MOVED_MAX;
    drop(moved);
    if many && let Err(error) = crate::commit::sync_moved(shared) {
        tracing::warn!(%error, "moved files are not synced to their directories");
    }
}
