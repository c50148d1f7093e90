//! The directories against the state: what is missing, what is out of place, what is nobody's.
//!
//! It runs behind the start (`weir-recover`), while INSERTs are accepted. What makes that sound: until it is done nothing is
//! cut, sent, settled, moved or changed by hand, so of what was known at the start nothing changes under its eyes; and what this
//! process accepts is told apart, by its INSERTs' numbers and by the names of its files ([`Files::is_fresh`]). No checkpoint is
//! written meanwhile: whatever dies in the middle, the next start finds the same and decides the same.
//!
//! Where the journal itself shows that records are missing it runs in front of the start: what is in doubt must be
//! decided before a checkpoint forgets that it was.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

use super::directories::{self, Hands, Look, Seen, THREADS};
use super::leftovers::{self, Temporary};
use super::{stray, suspect};
use crate::batch::Outcome;
use crate::bin_file::BinInfo;
use crate::error::FileError;
use crate::event::{BatchInfo, Event, Record, Seq};
use crate::files::Files;
use crate::model::{Destination, InsertId, LaneKey};
use crate::names::batch_name;
use crate::shared::lock;
use crate::state::decide::{Request, decide};
use crate::state::{Applied, State};
use crate::status::RecoveryReport;

/// What a sweep leads to.
#[derive(Debug)]
pub struct Swept {
    /// What was found and done, what was found in the journal included.
    pub report: RecoveryReport,
    /// What it decided, in the state already: to be written before anything else is cut, sent or changed.
    pub records: Vec<Record>,
}

/// A sweep at work. The state is locked for moments, never while a file is touched.
pub struct Sweep<'a> {
    /// The spool's files.
    pub files: &'a Files,
    state: &'a Mutex<State>,
    /// What it found.
    pub report: RecoveryReport,
    records: Vec<Record>,
    /// The segment that the records will lie in.
    segment: u64,
}

/// Brings files and state together; `None` when it was told to stop half way, which leaves all to the next start.
pub fn sweep(
    files: &Files,
    state: &Mutex<State>,
    report: RecoveryReport,
    segment: u64,
    hands: Hands<'_>,
) -> Result<Option<Swept>, FileError> {
    let mut sweep = Sweep {
        files,
        state,
        report,
        records: Vec::new(),
        segment,
    };
    let seen = sweep.read_directories(Look::ToRepair, hands);
    if (hands.is_stopped)() {
        return Ok(None);
    }
    sweep.conclude(seen)?;
    Ok(Some(Swept {
        report: sweep.report,
        records: sweep.records,
    }))
}

/// Sizes of what waits, and what is kept, without touching anything. A waiting batch without its file is
/// reported; it counts as held only if it was a suspect before: a router at work moves files between two
/// looks.
pub fn look(files: &Files, state: State, report: &mut RecoveryReport, suspects: &BTreeSet<PathBuf>) -> State {
    let state = Mutex::new(state);
    let mut sweep = Sweep {
        files,
        state: &state,
        report: std::mem::take(report),
        records: Vec::new(),
        segment: 0,
    };
    let hands = Hands {
        threads: THREADS,
        is_stopped: &|| false,
    };
    for seen in sweep.read_directories(Look::Only, hands) {
        for (seq, error) in seen.missing {
            let path = files.batch(&seen.destination, seq);
            if suspects.contains(&path) {
                let why = why_unusable(files, &seen.destination, seq, &error);
                sweep.state().queue(&seen.destination).set_aside(seq, &why);
            }
            sweep.report.damaged.push(path);
        }
    }
    *report = sweep.report;
    state
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

// === for all who decide ===

impl Sweep<'_> {
    /// The state, for a moment.
    pub fn state(&self) -> MutexGuard<'_, State> {
        lock(self.state)
    }

    /// Makes a record: it is in the state as soon as it is made.
    pub fn make(&mut self, lane: Option<&LaneKey>, events: Vec<Event>) {
        let record = Record {
            lanes: lane.cloned().into_iter().collect(),
            events,
            ..Record::default()
        };
        let at = Applied {
            segment: self.segment,
            now: 0,
        };
        // Files that nobody needs any more are found by looking.
        drop(self.state().apply(&record, Vec::new(), at));
        self.records.push(record);
    }

    /// Sets a batch aside, as when a sender does: INSERTs that are pending in it are so no more.
    pub fn hold(&mut self, to: &Destination, seq: Seq, why: &str) {
        let request = Request::Settle {
            to: to.clone(),
            seq,
            outcome: Outcome::HoldBatch {
                error: why.to_owned(),
            },
            disproved: false,
            inserts: 1,
            rows: 1,
            broken_room: 0,
        };
        // It is refused only of a batch that does not wait, of which there is nothing to hold.
        let decided = decide(&self.state(), &request);
        if let Ok(decision) = decided {
            self.make(None, decision.events);
        }
    }

    /// Removes a file, and counts it.
    pub fn remove(&mut self, path: &std::path::Path, counter: impl Fn(&mut RecoveryReport) -> &mut u64) {
        match self.files.remove(path) {
            Ok(()) => *counter(&mut self.report) += 1,
            Err(error) => tracing::warn!(%error, "a leftover stays behind"),
        }
    }
}

// === what is decided ===

impl Sweep<'_> {
    fn read_directories(&mut self, look: Look, hands: Hands<'_>) -> Vec<Seen> {
        let found = directories::destinations(self.files, self.state, &mut self.report);
        let (seen, part) = directories::read(self.files, self.state, &found, look, hands);
        self.report.moved += part.moved;
        self.report.unknown.extend(part.unknown);
        self.report.unreadable.extend(part.unreadable);
        seen
    }

    fn conclude(&mut self, seen: Vec<Seen>) -> Result<(), FileError> {
        let (mut strays, mut temporaries, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        let mut has_lost_records = false;
        for of_one in seen {
            let Seen { destination, .. } = of_one;
            has_lost_records |= of_one.has_lost_records;
            strays.extend(of_one.strays);
            temporaries.extend(of_one.temporaries);
            missing.extend(
                of_one
                    .missing
                    .into_iter()
                    .map(|(seq, why)| (destination.clone(), seq, why)),
            );
        }
        self.hold_unreadable();
        temporaries.extend(leftovers::of_journal(self.files, &mut self.report));
        if has_lost_records {
            tracing::error!(
                "files show that the end of the journal is missing: what was known before is in doubt"
            );
            self.report.lost_records = true;
            self.state().doubt_all();
        }
        self.settle_strays(&strays, &temporaries)?;
        let hollow = self.state().hollow_inserts();
        for insert in hollow {
            self.make(None, vec![Event::Go { insert }]);
        }
        leftovers::remove(self, &temporaries);
        self.hold_missing(missing);
        self.report_missing_sources();
        Ok(())
    }

    fn settle_strays(&mut self, strays: &[stray::Stray], temporaries: &[Temporary]) -> Result<(), FileError> {
        let is_doubted = self.state().is_doubted();
        if is_doubted {
            // What no share needs now, a share may have needed whose record is lost.
            leftovers::set_aside(self, temporaries);
            suspect::resolve(self, strays)
        } else {
            stray::settle(self, strays);
            Ok(())
        }
    }

    /// What waits in a directory that cannot be read waits until it can be.
    fn hold_unreadable(&mut self) {
        let mut state = self.state();
        let known: Vec<Destination> = state
            .queues()
            .map(|(destination, _)| destination.clone())
            .collect();
        for destination in known {
            let own = self.files.layout.destination(&destination);
            let kept = [
                self.files.layout.sent(&destination),
                self.files.layout.broken(&destination),
            ];
            let mut unreadable = self.report.unreadable.iter();
            if let Some(bad) = unreadable.find(|bad| own.starts_with(bad) || kept.contains(bad)) {
                let why = format!(
                    "{} cannot be read: mend it, then `weir spool retry`",
                    bad.display()
                );
                state.queue(&destination).held.get_or_insert(why);
            }
        }
    }

    /// A batch whose file is not there is held, and told.
    fn hold_missing(&mut self, missing: Vec<(Destination, Seq, String)>) {
        for (destination, seq, error) in missing {
            tracing::error!(%error, %destination, seq, "a waiting batch's file cannot be used");
            let why = why_unusable(self.files, &destination, seq, &error);
            self.hold(&destination, seq, &why);
            self.report.damaged.push(self.files.batch(&destination, seq));
        }
    }

    /// Files of accepted INSERTs that waiting shares need, and that are not there: only damage from outside does
    /// that.
    fn report_missing_sources(&mut self) {
        let needed: BTreeSet<PathBuf> = {
            let state = self.state();
            let staged = state
                .staged_inserts()
                .map(|insert: InsertId| self.files.layout.staged(insert.0));
            let own = state
                .needed_files()
                .map(|(directory, name)| self.files.layout.destination(directory).join(name));
            staged.chain(own).collect()
        };
        let missing = needed.into_iter().filter(|path| !is_there(self.files, path));
        self.report.damaged.extend(missing);
    }
}

fn why_unusable(files: &Files, destination: &Destination, seq: Seq, error: &str) -> String {
    let name = batch_name(seq);
    let kept =
        [files.layout.sent(destination), files.layout.broken(destination)].map(|kept| kept.join(&name));
    match kept.iter().find(|path| is_there(files, path)) {
        Some(path) => format!(
            "it lies in {}, and the record that brought it there is lost: `weir spool drop` forgets it here",
            path.display()
        ),
        None => format!("its file cannot be used: {error}"),
    }
}

fn is_there(files: &Files, path: &std::path::Path) -> bool {
    files.exists(path).unwrap_or(false)
}

/// Head and trailer of a batch file.
pub fn read_info(files: &Files, path: &std::path::Path) -> Result<BinInfo, String> {
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
