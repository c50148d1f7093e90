//! Looking into a spool that a router may have open, or that nobody has: without a lock, without changing a
//! byte.
//!
//! What is read is what a start would find at this moment. A router at work may move a file between two looks
//! at it;
//! then it is listed where it was, or not at all, and never makes a listing fail.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bin_file::{BinError, BinInfo, BinReader};
use crate::disk::RealDisk;
use crate::error::{FileError, OpenError};
use crate::event::Seq;
use crate::files::Files;
use crate::model::Destination;
use crate::names::{Layout, error_name, seq_of};
use crate::own::known_id;
use crate::recover::{directories, look};
use crate::state::State;
use crate::state::destination::{Phase, Queue};
use crate::status::{DestinationStatus, RecoveryReport};

/// Every destination, and what a start would report.
#[derive(Debug, Clone)]
pub struct Listing {
    /// What lies at each, in order of name; those without anything are left out.
    pub destinations: Vec<DestinationStatus>,
    /// What a start would find amiss.
    pub report: RecoveryReport,
}

/// Why a batch file lies where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileState {
    /// It waits for its first attempt.
    Waiting,
    /// It waits for the next attempt.
    Retry,
    /// An attempt began, how it ended is not known.
    InDoubt,
    /// It is set aside.
    Held,
    /// A shard cannot take its rows.
    Broken,
    /// It is on the shard, and kept.
    Sent,
    /// The journal does not name it: cut a moment ago, or left by a crash, or put there.
    Unrecorded,
}

/// One batch file.
#[derive(Debug, Clone)]
pub struct FileListing {
    /// Whose it is.
    pub destination: Destination,
    /// Its number.
    pub seq: u64,
    /// Where it lies.
    pub path: PathBuf,
    /// Why.
    pub state: FileState,
    /// Attempts so far, of those that wait.
    pub attempts: u32,
    /// The last error, if any.
    pub error: Option<String>,
    /// What it says of itself, or why it cannot be read.
    pub info: Result<BinInfo, String>,
}

/// Which files are wanted; everything that is not said is not asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this distributed table.
    pub table: Option<String>,
    /// For this shard.
    pub shard: Option<String>,
    /// In one of these states; empty: in any.
    pub states: Vec<FileState>,
}

/// What [`verify`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Files that were read whole.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Rows in the sound ones.
    pub rows: u64,
    /// Those that are damaged, and how.
    pub damaged: Vec<(PathBuf, String)>,
    /// What a start would find amiss, in journal and checkpoint too.
    pub recovery: RecoveryReport,
}

impl VerifyReport {
    /// Everything that is damaged or lost, a line each; what only a crash left behind is no damage.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints: Vec<String> = self
            .damaged
            .iter()
            .map(|(path, why)| format!("{}: {why}", path.display()))
            .collect();
        let told: BTreeSet<&PathBuf> = self.damaged.iter().map(|(path, _)| path).collect();
        let recovery = &self.recovery;
        let by_kind = [
            (
                "a waiting batch, or rows of an accepted INSERT, cannot be read",
                &recovery.damaged,
            ),
            (
                "a damaged checkpoint or journal segment, to be kept under this name",
                &recovery.corrupt,
            ),
            ("not ours, or of a later version", &recovery.unknown),
            ("a directory that cannot be read", &recovery.unreadable),
        ];
        for (what, paths) in by_kind {
            let new = paths.iter().filter(|path| !told.contains(path));
            complaints.extend(new.map(|path| format!("{}: {what}", path.display())));
        }
        if recovery.lost_records {
            complaints
                .push("records of the journal are lost: a start holds what may have been sent".to_owned());
        }
        if recovery.lost_shares > 0 {
            complaints.push(format!(
                "rows of {} shares lay in lost records",
                recovery.lost_shares
            ));
        }
        complaints
    }
}

/// What lies at each destination of the spool at `path`.
pub fn list(path: &Path) -> Result<Listing, OpenError> {
    let (_, state, report) = look_at(path)?;
    let destinations = state
        .statuses()
        .into_iter()
        .filter(|status| !status.is_empty())
        .collect();
    Ok(Listing { destinations, report })
}

/// The batch files that the filter wants, by destination and number.
pub fn files(path: &Path, filter: &Filter) -> Result<Vec<FileListing>, OpenError> {
    let (files, state, mut report) = look_at(path)?;
    list_files(&files, &state, filter, &mut report)
}

fn list_files(
    files: &Files,
    state: &State,
    filter: &Filter,
    report: &mut RecoveryReport,
) -> Result<Vec<FileListing>, OpenError> {
    let mut found = Vec::new();
    for destination in directories::on_disk(files, report) {
        if filter.wants_destination(&destination) {
            list_destination(files, state, &destination, filter, &mut found)?;
        }
    }
    Ok(found)
}

/// What a batch file says of itself.
pub fn show(file: &Path) -> Result<BinInfo, BinError> {
    BinInfo::read(file)
}

/// Writes a batch file's rows in their payload format; an error may come after some were written.
pub fn cat(file: &Path, out: &mut dyn Write) -> Result<(), BinError> {
    let reader = BinReader::open(file)?;
    reader.write_rows(out).map_err(|fault| fault.at(file))
}

/// Reads journal and checkpoint as a start does, and every byte of every batch file. `progress` is told the bytes that are done
/// and those of all.
pub fn verify(path: &Path, mut progress: impl FnMut(u64, u64)) -> Result<VerifyReport, OpenError> {
    let (spool, state, recovery) = look_at(path)?;
    let all = list_files(&spool, &state, &Filter::default(), &mut RecoveryReport::default())?;
    let size = |file: &FileListing| file.info.as_ref().map_or(0, |info| info.file_bytes);
    let total = all.iter().map(size).sum();
    let mut report = VerifyReport {
        recovery,
        ..VerifyReport::default()
    };
    for file in &all {
        progress(report.bytes, total);
        report.bytes += size(file);
        report.files += 1;
        match verify_file(file) {
            Ok(rows) => report.rows += rows,
            // A router may have moved it since: then it is no longer there to be damaged.
            Err(_) if !file.path.exists() => report.files -= 1,
            Err(why) => report.damaged.push((file.path.clone(), why)),
        }
    }
    progress(total, total);
    Ok(report)
}

fn verify_file(file: &FileListing) -> Result<u64, String> {
    let info = file.info.as_ref().map_err(String::clone)?;
    let reader = BinReader::open(&file.path).map_err(|error| error.to_string())?;
    reader.verify().map_err(|fault| fault.to_string())?;
    Ok(info.trailer.rows)
}

fn look_at(path: &Path) -> Result<(Files, State, RecoveryReport), OpenError> {
    let layout = Layout::at(path);
    let disk = Arc::new(RealDisk);
    let mut files = Files {
        disk,
        layout,
        spool: uuid::Uuid::nil(),
        fsync: false,
        durable: Arc::default(),
        fresh: Arc::default(),
        underway: Arc::default(),
    };
    files.spool = known_id(&files)?;
    let found = look(&files)?;
    Ok((files, found.state, found.report))
}

fn list_destination(
    files: &Files,
    state: &State,
    destination: &Destination,
    filter: &Filter,
    found: &mut Vec<FileListing>,
) -> Result<(), FileError> {
    let places = [
        (files.layout.destination(destination), None),
        (files.layout.broken(destination), Some(FileState::Broken)),
        (files.layout.sent(destination), Some(FileState::Sent)),
    ];
    let queue = state.get_queue(destination);
    for (directory, kept_as) in places {
        for entry in files.list(&directory)?.iter().filter(|entry| !entry.is_dir) {
            let Some(seq) = seq_of(&entry.name) else { continue };
            let file_state =
                kept_as.unwrap_or_else(|| queue.map_or(FileState::Unrecorded, |queue| queue.state_of(seq)));
            if filter.wants_state(file_state) {
                let path = directory.join(&entry.name);
                found.push(list_file(destination, seq, path, file_state, queue));
            }
        }
    }
    Ok(())
}

fn list_file(
    destination: &Destination,
    seq: Seq,
    path: PathBuf,
    state: FileState,
    queue: Option<&Queue>,
) -> FileListing {
    let note = queue
        .and_then(|queue| queue.notes.get(&seq))
        .filter(|_| state < FileState::Broken);
    let error = match state {
        FileState::Broken => std::fs::read_to_string(path.with_file_name(error_name(seq))).ok(),
        _ => note.and_then(|note| note.error.clone()),
    };
    FileListing {
        destination: destination.clone(),
        seq,
        state,
        attempts: note.map_or(0, |note| note.attempts),
        error: error.map(|error| error.trim_end().to_owned()),
        info: BinInfo::read(&path).map_err(|error| error.fault.to_string()),
        path,
    }
}

impl Queue {
    fn state_of(&self, seq: Seq) -> FileState {
        match self.line.get(&seq).map(|entry| entry.phase) {
            Some(Phase::Cut | Phase::Piece) => FileState::Waiting,
            Some(Phase::Retry) => FileState::Retry,
            Some(Phase::InDoubt) => FileState::InDoubt,
            None if self.aside.contains_key(&seq) => FileState::Held,
            None => FileState::Unrecorded,
        }
    }
}

impl Filter {
    fn wants_destination(&self, destination: &Destination) -> bool {
        let table = self
            .table
            .as_ref()
            .is_none_or(|table| *table == destination.table);
        let shard = self
            .shard
            .as_ref()
            .is_none_or(|shard| *shard == destination.shard);
        table && shard
    }

    fn wants_state(&self, state: FileState) -> bool {
        self.states.is_empty() || self.states.contains(&state)
    }
}

impl DestinationStatus {
    fn is_empty(&self) -> bool {
        let files = self.waiting.files + self.held.files + self.broken.files + self.sent.files;
        files + self.uncut.rows == 0 && self.destination_held.is_none()
    }
}

#[cfg(test)]
mod tests;
