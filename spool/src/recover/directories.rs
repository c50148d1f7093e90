//! What lies in the destinations' directories, read by several threads.
//!
//! Of a batch that waits only its name is looked at: its size is in the checkpoint, or in the record of its cut, and the rest is
//! read when its turn comes. A file is opened only where no record names it, and where a checkpoint of before version 3 knew no
//! sizes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::leftovers::{Of, Temporary};
use super::stray::Stray;
use super::sweep::read_info;
use crate::disk::DirEntry;
use crate::error::FileError;
use crate::event::{Seq, Verdict};
use crate::files::Files;
use crate::model::Destination;
use crate::names::{is_own, is_temporary, seq_of};
use crate::shared::lock;
use crate::state::State;
use crate::status::{RecoveryReport, Tally};
use crate::work::{move_file, sync_places};

/// Threads that read: enough to keep a disk's queue filled.
pub const THREADS: usize = 4;

/// Who reads, and until when.
#[derive(Clone, Copy)]
pub struct Hands<'a> {
    /// So many threads.
    pub threads: usize,
    /// Whether they are to stop.
    pub is_stopped: &'a (dyn Fn() -> bool + Sync),
}

/// Whether files may be touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Settled files are moved to where they belong, and files without a record are looked into.
    ToRepair,
    /// Somebody else may be at work.
    Only,
}

/// What is found in one destination's directories.
#[derive(Debug)]
pub struct Seen {
    /// Whose they are.
    pub destination: Destination,
    /// Batch files that no record names.
    pub strays: Vec<Stray>,
    /// Files that were being written, or that shares may need.
    pub temporaries: Vec<Temporary>,
    /// Batches that wait and whose file cannot be used, with the reason.
    pub missing: Vec<(Seq, String)>,
    /// Something lies where only a record that is not there can have brought it.
    pub has_lost_records: bool,
}

/// What is to be said in the report of one destination's directories.
#[derive(Debug, Default)]
pub struct Part {
    /// Settled files moved to their places.
    pub moved: u64,
    /// Files that are not ours.
    pub unknown: Vec<PathBuf>,
    /// Directories that cannot be read.
    pub unreadable: Vec<PathBuf>,
}

/// Destinations that have a directory, or of which the state knows; without those whose directory is below one that cannot be
/// read.
pub fn destinations(files: &Files, state: &Mutex<State>, report: &mut RecoveryReport) -> Vec<Destination> {
    let mut all: BTreeSet<Destination> = on_disk(files, report).into_iter().collect();
    all.extend(lock(state).queues().map(|(destination, _)| destination.clone()));
    let is_readable = |destination: &Destination| {
        let own = files.layout.destination(destination);
        !report.unreadable.iter().any(|bad| own.starts_with(bad))
    };
    all.into_iter().filter(is_readable).collect()
}

/// Directories two levels below the root whose names are a destination's.
pub fn on_disk(files: &Files, report: &mut RecoveryReport) -> Vec<Destination> {
    let mut found = Vec::new();
    let root = files.layout.root();
    for table in list(files, root, &mut report.unreadable)
        .iter()
        .filter(|entry| !is_own(&entry.name) && !is_temporary(&entry.name))
    {
        let path = root.join(&table.name);
        if !table.is_dir {
            report.unknown.push(path);
            continue;
        }
        for shard in list(files, &path, &mut report.unreadable) {
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

/// What lies in a directory; one that cannot be read is reported.
pub fn list(files: &Files, path: &Path, unreadable: &mut Vec<PathBuf>) -> Vec<DirEntry> {
    files.list(path).unwrap_or_else(|error| {
        tracing::error!(%error, "a directory of the spool cannot be read: its destinations are held");
        unreadable.push(path.to_owned());
        Vec::new()
    })
}

/// Reads all of them, in parallel; in order of destination. What is kept in sent/ and broken/ is entered in the state as it is
/// found.
pub fn read(
    files: &Files,
    state: &Mutex<State>,
    destinations: &[Destination],
    look: Look,
    hands: Hands<'_>,
) -> (Vec<Seen>, Part) {
    let next = AtomicUsize::new(0);
    let found = Mutex::new((Vec::new(), Part::default()));
    let read_some = || {
        while !(hands.is_stopped)()
            && let Some(destination) = destinations.get(next.fetch_add(1, Ordering::Relaxed))
        {
            let reader = Reader {
                files,
                state,
                look,
                destination,
                part: Part::default(),
            };
            let (seen, part) = reader.read();
            let mut found = lock(&found);
            found.0.push(seen);
            found.1.add(part);
        }
    };
    std::thread::scope(|scope| {
        for number in 1..hands.threads.min(destinations.len()) {
            let thread = std::thread::Builder::new().name(format!("weir-recover-{number}"));
            if let Err(error) = thread.spawn_scoped(scope, read_some) {
                tracing::warn!(%error, "the spool's directories are read by fewer threads");
            }
        }
        read_some();
    });
    let (mut seen, mut part) = found
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    seen.sort_by(|a: &Seen, b| a.destination.cmp(&b.destination));
    part.unknown.sort_unstable();
    part.unreadable.sort_unstable();
    (seen, part)
}

impl Part {
    fn add(&mut self, other: Part) {
        self.moved += other.moved;
        self.unknown.extend(other.unknown);
        self.unreadable.extend(other.unreadable);
    }
}

/// One destination's directories as they are read.
struct Reader<'a> {
    files: &'a Files,
    state: &'a Mutex<State>,
    look: Look,
    destination: &'a Destination,
    part: Part,
}

impl Reader<'_> {
    fn read(mut self) -> (Seen, Part) {
        if self.look == Look::ToRepair {
            self.move_settled();
        }
        let kept = Kept::list(self.files, self.destination, &mut self.part.unreadable);
        let mut seen = Seen {
            destination: self.destination.clone(),
            strays: Vec::new(),
            temporaries: kept.temporaries().collect(),
            missing: Vec::new(),
            has_lost_records: self.look == Look::ToRepair && self.has_unknown_end(&kept),
        };
        let waiting = lock(self.state).waiting_at(self.destination);
        let directory = self.files.layout.destination(self.destination);
        match self.names_in(&directory, &waiting) {
            Ok(names) => {
                self.check_waiting(&waiting, &names, &mut seen);
                if self.look == Look::ToRepair {
                    self.look_at(names.others, &directory, &mut seen);
                }
            }
            Err(error) => {
                tracing::error!(%error, "a directory of the spool cannot be read: its destination is held");
                self.part.unreadable.push(directory);
            }
        }
        kept.enter(&mut lock(self.state), self.destination);
        (seen, self.part)
    }

    /// Files of batches that were settled before the crash. Their verdicts are forgotten only when the moves are
    /// durable:
    /// the next checkpoint will not have them.
    fn move_settled(&mut self) {
        let settled = lock(self.state).leaving_from(self.destination);
        if settled.is_empty() {
            return;
        }
        match self.move_all(&settled) {
            Ok(()) => {
                let mut state = lock(self.state);
                let queue = state.queue(self.destination);
                queue.leaving.clear();
                queue.departing_bytes = 0;
            }
            Err(error) => {
                tracing::warn!(%error, destination = %self.destination, "files of settled batches stay in their place");
            }
        }
    }

    fn move_all(&mut self, settled: &[(Seq, Verdict)]) -> Result<(), FileError> {
        for (seq, verdict) in settled {
            self.part.moved += u64::from(move_file(self.files, self.destination, *seq, verdict)? > 0);
        }
        sync_places(self.files, self.destination)
    }

    /// The names in a directory, those of batches that wait only ticked off.
    fn names_in(&self, directory: &Path, waiting: &[Waiting]) -> Result<Names, FileError> {
        let mut names = Names {
            is_there: vec![false; waiting.len()],
            others: Vec::new(),
        };
        self.files.visit(directory, &mut |name, is_dir| {
            let seq = seq_of(name).filter(|_| !is_dir);
            match seq.and_then(|seq| waiting.binary_search_by_key(&seq, |waiting| waiting.seq).ok()) {
                Some(at) => names.is_there[at] = true,
                None => names.others.push((name.to_owned(), is_dir)),
            }
        })?;
        names.others.sort_unstable();
        Ok(names)
    }

    /// Every batch that waits must have its file; those whose size nobody knows are measured.
    fn check_waiting(&self, waiting: &[Waiting], names: &Names, seen: &mut Seen) {
        for (waiting, is_there) in waiting.iter().zip(&names.is_there) {
            let path = || self.files.batch(self.destination, waiting.seq);
            if !is_there {
                let why = format!("{}: no such file", path().display());
                seen.missing.push((waiting.seq, why));
            } else if !waiting.is_measured {
                match read_info(self.files, &path()) {
                    Ok(info) => lock(self.state).measure(self.destination, waiting.seq, &info.batch()),
                    Err(error) => seen.missing.push((waiting.seq, error)),
                }
            }
        }
    }

    /// Whether a file was settled under a number that no record gave away. A file comes to sent/ or broken/ after its record was
    /// on disk.
    fn has_unknown_end(&self, kept: &Kept) -> bool {
        let next_seq = {
            let state = lock(self.state);
            state
                .get_queue(self.destination)
                .map_or(1, |queue| queue.next_seq)
        };
        let is_ours =
            |path: &Path| read_info(self.files, path).is_ok_and(|info| info.head.spool == self.files.spool);
        let mut beyond = (kept.both().into_iter()).flat_map(|kept| {
            let beyond = kept.batches().filter(|(seq, _)| *seq >= next_seq);
            beyond.map(|(_, entry)| kept.directory.join(&entry.name))
        });
        beyond.any(|path| is_ours(&path))
    }

    /// What is not a batch that waits.
    fn look_at(&mut self, others: Vec<(String, bool)>, directory: &Path, seen: &mut Seen) {
        for (name, is_dir) in others {
            let path = directory.join(&name);
            match seq_of(&name) {
                Some(seq) if !is_dir => {
                    let stray = self.look_at_batch(seq, path);
                    let was_sent = |stray: &Stray| stray.was_sent_after_go(&lock(self.state));
                    seen.has_lost_records |= stray.as_ref().is_some_and(was_sent);
                    seen.strays.extend(stray);
                }
                _ if is_dir && (name == "sent" || name == "broken") => {}
                _ if is_temporary(&name) => seen.temporaries.push(Temporary {
                    path,
                    of: Of::Destination(self.destination.clone()),
                }),
                _ => self.part.unknown.push(path),
            }
        }
    }

    /// A batch file that no record names, and that is ours, is a stray.
    fn look_at_batch(&mut self, seq: Seq, path: PathBuf) -> Option<Stray> {
        {
            let mut state = lock(self.state);
            let queue = state.queue(self.destination);
            // One that is settled, and could not be moved a moment ago, is moved by the next start.
            if queue.leaving.contains_key(&seq) {
                return None;
            }
            // Whatever it is, its number is taken.
            queue.pass(seq);
        }
        match read_info(self.files, &path) {
            Ok(info) if info.head.spool == self.files.spool => Some(Stray {
                destination: self.destination.clone(),
                seq,
                path,
                info,
            }),
            Ok(_) => {
                self.part.unknown.push(path);
                None
            }
            // Its rows wait in the journal, since it was never whole; or it is not ours to judge.
            Err(error) => {
                tracing::warn!(%error, "a file is left in place");
                self.part.unknown.push(path);
                None
            }
        }
    }
}

/// A batch that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Its number.
    pub seq: Seq,
    /// Its size is known.
    pub is_measured: bool,
}

struct Names {
    /// Of each batch that waits, whether it has its name.
    is_there: Vec<bool>,
    /// All other names, and whether they are directories'.
    others: Vec<(String, bool)>,
}

/// What lies in sent/ and broken/.
struct Kept {
    sent: KeptIn,
    broken: KeptIn,
}

/// What lies in one of the two.
struct KeptIn {
    directory: PathBuf,
    listed: Vec<DirEntry>,
}

impl KeptIn {
    fn list(files: &Files, directory: PathBuf, unreadable: &mut Vec<PathBuf>) -> KeptIn {
        let listed = list(files, &directory, unreadable);
        KeptIn { directory, listed }
    }

    /// The batch files, with their numbers.
    fn batches(&self) -> impl Iterator<Item = (Seq, &DirEntry)> {
        let entries = self.listed.iter();
        entries.filter_map(|entry| Some((seq_of(&entry.name)?, entry)))
    }

    fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for (_, file) in self.batches() {
            tally.add(Tally {
                files: 1,
                file_bytes: file.bytes,
                ..Tally::default()
            });
        }
        tally
    }
}

impl Kept {
    fn list(files: &Files, destination: &Destination, unreadable: &mut Vec<PathBuf>) -> Kept {
        Kept {
            sent: KeptIn::list(files, files.layout.sent(destination), unreadable),
            broken: KeptIn::list(files, files.layout.broken(destination), unreadable),
        }
    }

    fn both(&self) -> [&KeptIn; 2] {
        [&self.sent, &self.broken]
    }

    /// Notes that were being written when a process ended.
    fn temporaries(&self) -> impl Iterator<Item = Temporary> {
        self.both().into_iter().flat_map(|kept| {
            let entries = kept.listed.iter().filter(|entry| is_temporary(&entry.name));
            entries.map(|entry| Temporary {
                path: kept.directory.join(&entry.name),
                of: Of::Kept,
            })
        })
    }

    /// Enters what lies there; its numbers are taken.
    fn enter(&self, state: &mut State, destination: &Destination) {
        let batches = self.both().into_iter().flat_map(KeptIn::batches);
        let seqs: Vec<Seq> = batches.map(|(seq, _)| seq).collect();
        if seqs.is_empty() {
            return;
        }
        let queue = state.queue(destination);
        (queue.sent, queue.broken) = (self.sent.tally(), self.broken.tally());
        seqs.into_iter().for_each(|seq| queue.pass(seq));
    }
}
