//! The directories against the state: what is missing, what is out of place, what is nobody's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::bin_file::BinInfo;
use crate::error::FileError;
use crate::event::{BatchInfo, Seq, Verdict};
use crate::files::Files;
use crate::model::{Destination, InsertId};
use crate::names::{is_own, is_temporary, seq_of, staged_insert};
use crate::state::State;
use crate::state::destination::{Entry, Queue};
use crate::status::{RecoveryReport, Tally};
use crate::work::{move_file, sync_places};

/// Brings files and state together.
pub fn sweep(files: &Files, state: &mut State, report: &mut RecoveryReport) -> Result<(), FileError> {
    move_settled(files, state, report);
    for directory in destination_directories(files, report)? {
        sweep_destination(files, state, report, &directory)?;
    }
    measure_waiting(files, state, report, |_| true);
    sweep_journal(files, state, report)?;
    report_missing_sources(files, state, report);
    Ok(())
}

/// Sizes of what waits, and what is kept, without touching anything. A waiting batch without its file is
/// reported; it counts as held only if it was a suspect before: a router at work moves files between two
/// looks.
pub fn look(
    files: &Files,
    state: &mut State,
    report: &mut RecoveryReport,
    suspects: &BTreeSet<PathBuf>,
) -> Result<(), FileError> {
    for destination in destination_directories(files, report)? {
        count_kept(files, state, &destination)?;
    }
    measure_waiting(files, state, report, |path| suspects.contains(path));
    Ok(())
}

/// Files of batches that were settled before the crash. Their verdicts are forgotten only when the moves are
/// durable:
/// the next checkpoint will not have them.
fn move_settled(files: &Files, state: &mut State, report: &mut RecoveryReport) {
    let leaving = |queue: &Queue| -> Vec<_> {
        queue
            .leaving
            .iter()
            .map(|(seq, verdict)| (*seq, verdict.clone()))
            .collect()
    };
    let all: Vec<_> = state
        .queues()
        .map(|(destination, queue)| (destination.clone(), leaving(queue)))
        .collect();
    for (destination, settled) in all.into_iter().filter(|(_, settled)| !settled.is_empty()) {
        match move_all(files, &destination, &settled, &mut report.moved) {
            Ok(()) => {
                let queue = state.queue(&destination);
                queue.leaving.clear();
                queue.departing_bytes = 0;
            }
            Err(error) => {
                tracing::warn!(%error, %destination, "files of settled batches stay in their place");
            }
        }
    }
}

fn move_all(
    files: &Files,
    destination: &Destination,
    settled: &[(Seq, Verdict)],
    moved: &mut u64,
) -> Result<(), FileError> {
    for (seq, verdict) in settled {
        *moved += u64::from(move_file(files, destination, *seq, verdict)? > 0);
    }
    sync_places(files, destination)
}

/// Directories two levels below the root whose names are a destination's.
pub fn destination_directories(
    files: &Files,
    report: &mut RecoveryReport,
) -> Result<Vec<Destination>, FileError> {
    let mut found = Vec::new();
    let root = files.layout.root();
    for table in files
        .list(root)?
        .iter()
        .filter(|entry| !is_own(&entry.name) && !is_temporary(&entry.name))
    {
        let path = root.join(&table.name);
        if !table.is_dir {
            report.unknown.push(path);
            continue;
        }
        for shard in files.list(&path)? {
            match files
                .layout
                .destination_of(&table.name, &shard.name)
                .filter(|_| shard.is_dir)
            {
                Some(destination) => found.push(destination),
                None => report.unknown.push(path.join(&shard.name)),
            }
        }
    }
    Ok(found)
}

fn sweep_destination(
    files: &Files,
    state: &mut State,
    report: &mut RecoveryReport,
    destination: &Destination,
) -> Result<(), FileError> {
    let directory = files.layout.destination(destination);
    for entry in files.list(&directory)? {
        let path = directory.join(&entry.name);
        match seq_of(&entry.name) {
            Some(seq) if !entry.is_dir => sweep_batch(files, state, report, destination, seq, &path),
            _ if entry.is_dir && (entry.name == "sent" || entry.name == "broken") => {}
            _ if is_temporary(&entry.name) => sweep_temporary(files, state, report, destination, &path),
            _ => report.unknown.push(path),
        }
    }
    count_kept(files, state, destination)
}

fn count_kept(files: &Files, state: &mut State, destination: &Destination) -> Result<(), FileError> {
    let sent = count(files, &files.layout.sent(destination))?;
    let broken = count(files, &files.layout.broken(destination))?;
    if sent.files + broken.files > 0 {
        let queue = state.queue(destination);
        (queue.sent, queue.broken) = (sent, broken);
    }
    Ok(())
}

fn count(files: &Files, directory: &Path) -> Result<Tally, FileError> {
    let mut tally = Tally::default();
    for file in files
        .list(directory)?
        .iter()
        .filter(|file| seq_of(&file.name).is_some())
    {
        tally.add(Tally {
            files: 1,
            file_bytes: file.bytes,
            ..Tally::default()
        });
    }
    Ok(tally)
}

/// A batch file that waits is as it should be. One that the state does not know was cut, and its record never
/// written;
/// then its rows still wait in the journal. If they do not, the record was lost, and the file is all there
/// is.
fn sweep_batch(
    files: &Files,
    state: &mut State,
    report: &mut RecoveryReport,
    destination: &Destination,
    seq: Seq,
    path: &Path,
) {
    if state.get_queue(destination).is_some_and(|queue| queue.holds(seq)) {
        return;
    }
    match read_info(files, path) {
        Ok(info) if info.head.spool != files.spool => report.unknown.push(path.to_owned()),
        Ok(info)
            if state.all_wait(
                destination,
                info.trailer.segments.iter().map(|segment| segment.insert),
            ) =>
        {
            remove(files, path, &mut report.uncut_files_removed);
        }
        Ok(info) => {
            tracing::error!(path = %path.display(), "a batch file without a record: it is held");
            report.damaged.push(path.to_owned());
            let queue = state.queue(destination);
            queue.insert(seq, Entry::of(&info.batch()));
            queue.set_aside(
                seq,
                "the journal has no record of this batch, and its rows do not wait either",
            );
        }
        // Its rows wait in the journal, since it was never whole; or it is not ours to judge.
        Err(error) => {
            tracing::warn!(%error, "a file is left in place");
            report.unknown.push(path.to_owned());
        }
    }
    // Whatever it is, its number is taken.
    let queue = state.queue(destination);
    queue.next_seq = queue.next_seq.max(seq + 1);
}

fn sweep_temporary(
    files: &Files,
    state: &State,
    report: &mut RecoveryReport,
    destination: &Destination,
    path: &Path,
) {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    if !state.needs_file(destination, name) {
        remove(files, path, &mut report.leftovers_removed);
    }
}

/// Every batch that waits must have its file; one without is reported, and held if `is_believed` says so of
/// the path.
fn measure_waiting(
    files: &Files,
    state: &mut State,
    report: &mut RecoveryReport,
    is_believed: impl Fn(&Path) -> bool,
) {
    for (destination, seq) in state.waiting_batches() {
        let path = files.batch(&destination, seq);
        let is_measured = state.is_measured(&destination, seq);
        let read = if is_measured {
            exists(files, &path).map(|()| None)
        } else {
            read_info(files, &path).map(Some)
        };
        match read {
            Ok(None) => {}
            Ok(Some(info)) => state.measure(&destination, seq, &info.batch()),
            Err(error) if is_believed(&path) => {
                tracing::error!(%error, %destination, seq, "a waiting batch's file cannot be used: it is held");
                report.damaged.push(path);
                let queue = state.queue(&destination);
                queue.set_aside(seq, &format!("its file cannot be used: {error}"));
            }
            Err(_) => report.damaged.push(path),
        }
    }
}

fn exists(files: &Files, path: &Path) -> Result<(), String> {
    match files.exists(path) {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("{}: no such file", path.display())),
        Err(error) => Err(error.to_string()),
    }
}

fn sweep_journal(files: &Files, state: &State, report: &mut RecoveryReport) -> Result<(), FileError> {
    let journal = files.layout.journal();
    for entry in files.list(&journal)? {
        let path = journal.join(&entry.name);
        match staged_insert(&entry.name) {
            Some(insert) if !state.needs_staged(insert) => {
                remove(files, &path, &mut report.leftovers_removed);
            }
            None if is_temporary(&entry.name) => remove(files, &path, &mut report.leftovers_removed),
            _ => {}
        }
    }
    Ok(())
}

/// Files of accepted INSERTs that waiting shares need, and that are not there: only damage from outside does
/// that.
fn report_missing_sources(files: &Files, state: &State, report: &mut RecoveryReport) {
    let staged = state
        .staged_inserts()
        .map(|insert: InsertId| files.layout.staged(insert.0));
    let own = state
        .needed_files()
        .map(|(directory, name)| files.layout.destination(directory).join(name));
    let needed: BTreeSet<PathBuf> = staged.chain(own).collect();
    let missing = needed.into_iter().filter(|path| exists(files, path).is_err());
    report.damaged.extend(missing);
}

fn remove(files: &Files, path: &Path, counter: &mut u64) {
    match files.remove(path) {
        Ok(()) => *counter += 1,
        Err(error) => tracing::warn!(%error, "a leftover stays behind"),
    }
}

fn read_info(files: &Files, path: &Path) -> Result<BinInfo, String> {
    let file = files
        .disk
        .open_read(path)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    BinInfo::of(file.as_ref()).map_err(|fault| format!("{}: {fault}", path.display()))
}

impl BinInfo {
    /// What the queue knows of it.
    pub(crate) fn batch(&self) -> BatchInfo {
        BatchInfo {
            rows: self.trailer.rows,
            raw_bytes: self.trailer.raw_bytes,
            file_bytes: self.file_bytes,
            created_at_ms: self.trailer.created_at_ms,
        }
    }
}

impl State {
    /// Whether every one of these INSERTs has rows that wait in a lane to that destination.
    fn all_wait(&self, destination: &Destination, mut inserts: impl Iterator<Item = InsertId>) -> bool {
        let waiting = self.inserts_waiting_for(destination);
        inserts.all(|insert| waiting.contains(&insert))
    }
}
