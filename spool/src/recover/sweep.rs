//! The directories against the state: what is missing, what is out of place, what is nobody's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::stray::{self, Stray};
use super::{Recovered, Repairs, suspect};
use crate::bin_file::BinInfo;
use crate::disk::DirEntry;
use crate::error::FileError;
use crate::event::{BatchInfo, Event, Seq, Verdict};
use crate::files::Files;
use crate::model::{Destination, InsertId};
use crate::names::{batch_name, is_own, is_temporary, seq_of, staged_insert};
use crate::state::State;
use crate::state::destination::Queue;
use crate::status::{RecoveryReport, Tally};
use crate::work::{move_file, sync_places};

/// Brings files and state together.
pub fn sweep(files: &Files, recovered: &mut Recovered) -> Result<(), FileError> {
    let Recovered { state, report, .. } = recovered;
    move_settled(files, state, report);
    let mut found = Found::default();
    for directory in destination_directories(files, report) {
        sweep_destination(files, state, report, &directory, &mut found);
    }
    hold_unreadable(files, state, report);
    let mut repairs = Repairs {
        records: Vec::new(),
        segment: recovered.next_segment,
    };
    if found.has_lost_records {
        tracing::error!(
            "files show that the end of the journal is missing: what was known before is in doubt"
        );
        report.lost_records = true;
        state.doubt_all();
    }
    if state.is_doubted() {
        // What no share needs now, a share may have needed whose record is lost.
        set_leftovers_aside(files, state, report, &found.temporaries);
        suspect::resolve(files, state, report, &mut repairs, &found.strays)?;
    } else {
        stray::settle(files, state, report, &mut repairs, found.strays);
    }
    end_hollow_inserts(state, &mut repairs);
    remove_leftovers(files, state, report, &found.temporaries);
    measure_waiting(files, state, report, |state, to, seq, why| {
        repairs.hold(state, to, seq, why);
    });
    report_missing_sources(files, state, report);
    recovered.repairs = repairs.records;
    Ok(())
}

/// INSERTs whose rows are lost await nothing.
fn end_hollow_inserts(state: &mut State, repairs: &mut Repairs) {
    for insert in state.hollow_inserts() {
        repairs.make(state, None, vec![Event::Go { insert }]);
    }
}

/// What lies in the directories beside batches that wait.
#[derive(Debug, Default)]
struct Found {
    strays: Vec<Stray>,
    temporaries: Vec<Temporary>,
    /// Something lies where only a record that is not there can have brought it.
    has_lost_records: bool,
}

/// A file that a share may need.
#[derive(Debug)]
struct Temporary {
    path: PathBuf,
    /// Whose directory it lies in; none for the journal's.
    directory: Option<Destination>,
}

impl Temporary {
    fn name(&self) -> &str {
        self.path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
    }

    fn is_needed(&self, state: &State) -> bool {
        match &self.directory {
            Some(directory) => state.needs_file(directory, self.name()),
            None => staged_insert(self.name()).is_some_and(|insert| state.needs_staged(insert)),
        }
    }
}

/// Sizes of what waits, and what is kept, without touching anything. A waiting batch without its file is
/// reported; it counts as held only if it was a suspect before: a router at work moves files between two
/// looks.
pub fn look(files: &Files, state: &mut State, report: &mut RecoveryReport, suspects: &BTreeSet<PathBuf>) {
    for destination in destination_directories(files, report) {
        Kept::list(files, &destination, report).count(state, &destination);
    }
    measure_waiting(files, state, report, |state, to, seq, why| {
        if suspects.contains(&files.batch(to, seq)) {
            state.queue(to).set_aside(seq, why);
        }
    });
}

/// What lies in a directory; one that cannot be read is reported.
fn list(files: &Files, path: &Path, report: &mut RecoveryReport) -> Vec<DirEntry> {
    files.list(path).unwrap_or_else(|error| {
        tracing::error!(%error, "a directory of the spool cannot be read: its destinations are held");
        report.unreadable.push(path.to_owned());
        Vec::new()
    })
}

/// What waits in a directory that cannot be read waits until it can be.
fn hold_unreadable(files: &Files, state: &mut State, report: &RecoveryReport) {
    let is_in = |destination: &Destination, bad: &PathBuf| {
        let own = files.layout.destination(destination);
        own.starts_with(bad)
            || files.layout.sent(destination) == *bad
            || files.layout.broken(destination) == *bad
    };
    let known: Vec<Destination> = state
        .queues()
        .map(|(destination, _)| destination.clone())
        .collect();
    for destination in known {
        if let Some(bad) = report.unreadable.iter().find(|bad| is_in(&destination, bad)) {
            let why = format!(
                "{} cannot be read: mend it, then `weir spool retry`",
                bad.display()
            );
            state.queue(&destination).held.get_or_insert(why);
        }
    }
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
pub fn destination_directories(files: &Files, report: &mut RecoveryReport) -> Vec<Destination> {
    let mut found = Vec::new();
    let root = files.layout.root();
    for table in list(files, root, report)
        .iter()
        .filter(|entry| !is_own(&entry.name) && !is_temporary(&entry.name))
    {
        let path = root.join(&table.name);
        if !table.is_dir {
            report.unknown.push(path);
            continue;
        }
        for shard in list(files, &path, report) {
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
    found
}

fn sweep_destination(
    files: &Files,
    state: &mut State,
    report: &mut RecoveryReport,
    destination: &Destination,
    found: &mut Found,
) {
    let directory = files.layout.destination(destination);
    let kept = Kept::list(files, destination, report);
    found.has_lost_records |= kept.has_unknown_end(files, state, destination);
    for entry in list(files, &directory, report) {
        let path = directory.join(&entry.name);
        match seq_of(&entry.name) {
            Some(seq) if !entry.is_dir => {
                let stray = look_at_batch(files, state, report, destination, seq, path);
                found.has_lost_records |= stray.as_ref().is_some_and(|stray| stray.was_sent_after_go(state));
                found.strays.extend(stray);
            }
            _ if entry.is_dir && (entry.name == "sent" || entry.name == "broken") => {}
            _ if is_temporary(&entry.name) => found.temporaries.push(Temporary {
                path,
                directory: Some(destination.clone()),
            }),
            _ => report.unknown.push(path),
        }
    }
    kept.count(state, destination);
}

/// What lies in sent/ and broken/.
struct Kept {
    sent: Vec<DirEntry>,
    broken: Vec<DirEntry>,
}

impl Kept {
    fn list(files: &Files, destination: &Destination, report: &mut RecoveryReport) -> Kept {
        Kept {
            sent: list(files, &files.layout.sent(destination), report),
            broken: list(files, &files.layout.broken(destination), report),
        }
    }

    /// Whether a file was settled under a number that no record gave away. A file comes to sent/ or broken/ after its record was
    /// on disk.
    fn has_unknown_end(&self, files: &Files, state: &State, destination: &Destination) -> bool {
        let next_seq = state.get_queue(destination).map_or(1, |queue| queue.next_seq);
        let is_ours = |path: &Path| read_info(files, path).is_ok_and(|info| info.head.spool == files.spool);
        let has_one = |listed: &[DirEntry], directory: &Path| {
            let is_beyond = |name: &str| seq_of(name).is_some_and(|seq| seq >= next_seq);
            let mut beyond = listed.iter().filter(|entry| is_beyond(&entry.name));
            beyond.any(|entry| is_ours(&directory.join(&entry.name)))
        };
        has_one(&self.sent, &files.layout.sent(destination))
            || has_one(&self.broken, &files.layout.broken(destination))
    }

    /// Enters what lies there; its numbers are taken.
    fn count(&self, state: &mut State, destination: &Destination) {
        let all = self.sent.iter().chain(&self.broken);
        let seqs: Vec<Seq> = all.filter_map(|file| seq_of(&file.name)).collect();
        if seqs.is_empty() {
            return;
        }
        let queue = state.queue(destination);
        (queue.sent, queue.broken) = (count(&self.sent), count(&self.broken));
        seqs.into_iter().for_each(|seq| queue.pass(seq));
    }
}

fn count(listed: &[DirEntry]) -> Tally {
    let mut tally = Tally::default();
    for file in listed.iter().filter(|file| seq_of(&file.name).is_some()) {
        tally.add(Tally {
            files: 1,
            file_bytes: file.bytes,
            ..Tally::default()
        });
    }
    tally
}

/// A batch file that waits is as it should be; one that no record names, and that is ours, is a stray.
fn look_at_batch(
    files: &Files,
    state: &mut State,
    report: &mut RecoveryReport,
    destination: &Destination,
    seq: Seq,
    path: PathBuf,
) -> Option<Stray> {
    // One that is settled, and could not be moved a moment ago, is moved by the next start.
    let is_known = |queue: &Queue| queue.holds(seq) || queue.leaving.contains_key(&seq);
    if state.get_queue(destination).is_some_and(is_known) {
        return None;
    }
    // Whatever it is, its number is taken.
    state.queue(destination).pass(seq);
    match read_info(files, &path) {
        Ok(info) if info.head.spool == files.spool => Some(Stray {
            destination: destination.clone(),
            seq,
            path,
            info,
        }),
        Ok(_) => {
            report.unknown.push(path);
            None
        }
        // Its rows wait in the journal, since it was never whole; or it is not ours to judge.
        Err(error) => {
            tracing::warn!(%error, "a file is left in place");
            report.unknown.push(path);
            None
        }
    }
}

/// Staged files that lie about, and what was being written beside them.
fn journal_temporaries(files: &Files, report: &mut RecoveryReport) -> Vec<Temporary> {
    let mut found = Vec::new();
    for directory in [files.layout.journal(), files.layout.meta()] {
        let listed = list(files, &directory, report).into_iter();
        let names = listed.map(|entry| entry.name);
        let temporary = names.filter(|name| is_temporary(name) || staged_insert(name).is_some());
        found.extend(temporary.map(|name| Temporary {
            path: directory.join(name),
            directory: None,
        }));
    }
    found
}

fn remove_leftovers(files: &Files, state: &State, report: &mut RecoveryReport, temporaries: &[Temporary]) {
    let in_journal = journal_temporaries(files, report);
    for leftover in temporaries
        .iter()
        .chain(&in_journal)
        .filter(|file| !file.is_needed(state))
    {
        if !report
            .kept
            .iter()
            .any(|kept| kept.with_extension("") == leftover.path)
        {
            remove(files, &leftover.path, &mut report.leftovers_removed);
        }
    }
}

/// Rows of an INSERT whose record is lost may lie in them, so they get another name, under which nothing removes them.
fn set_leftovers_aside(files: &Files, state: &State, report: &mut RecoveryReport, temporaries: &[Temporary]) {
    let in_journal = journal_temporaries(files, report);
    let may_hold_rows = |file: &&Temporary| file.directory.is_some() || staged_insert(file.name()).is_some();
    let unneeded = temporaries.iter().chain(&in_journal).filter(may_hold_rows);
    for file in unneeded.filter(|file| !file.is_needed(state)) {
        match keep(files, &file.path) {
            Ok(kept) => report.kept.push(kept),
            Err(error) => tracing::warn!(%error, "rows of an INSERT whose record is lost are not kept"),
        }
    }
}

/// Gives a file a name under which nothing removes it.
pub fn keep(files: &Files, path: &Path) -> Result<PathBuf, FileError> {
    let mut kept = path.as_os_str().to_owned();
    kept.push(".kept");
    let kept = PathBuf::from(kept);
    files.rename(path, &kept)?;
    Ok(kept)
}

/// Every batch that waits must have its file; one without is reported, and set aside by `hold`.
fn measure_waiting(
    files: &Files,
    state: &mut State,
    report: &mut RecoveryReport,
    mut hold: impl FnMut(&mut State, &Destination, Seq, &str),
) {
    let unreadable = report.unreadable.clone();
    for (destination, seq) in state.waiting_batches() {
        let path = files.batch(&destination, seq);
        if unreadable.iter().any(|bad| path.starts_with(bad)) {
            continue;
        }
        let read = if state.is_measured(&destination, seq) {
            exists(files, &path).map(|()| None)
        } else {
            read_info(files, &path).map(Some)
        };
        match read {
            Ok(None) => {}
            Ok(Some(info)) => state.measure(&destination, seq, &info.batch()),
            Err(error) => {
                tracing::error!(%error, %destination, seq, "a waiting batch's file cannot be used");
                let why = why_unusable(files, &destination, seq, &error);
                hold(state, &destination, seq, &why);
                report.damaged.push(path);
            }
        }
    }
}

fn why_unusable(files: &Files, destination: &Destination, seq: Seq, error: &str) -> String {
    let name = batch_name(seq);
    let kept =
        [files.layout.sent(destination), files.layout.broken(destination)].map(|kept| kept.join(&name));
    match kept.iter().find(|path| exists(files, path).is_ok()) {
        Some(path) => format!(
            "it lies in {}, and the record that brought it there is lost: `weir spool drop` forgets it here",
            path.display()
        ),
        None => format!("its file cannot be used: {error}"),
    }
}

fn exists(files: &Files, path: &Path) -> Result<(), String> {
    match files.exists(path) {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("{}: no such file", path.display())),
        Err(error) => Err(error.to_string()),
    }
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

pub fn remove(files: &Files, path: &Path, counter: &mut u64) {
    match files.remove(path) {
        Ok(()) => *counter += 1,
        Err(error) => tracing::warn!(%error, "a leftover stays behind"),
    }
}

/// Head and trailer of a batch file.
pub fn read_info(files: &Files, path: &Path) -> Result<BinInfo, String> {
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
