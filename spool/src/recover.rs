//! What the last process left, rolled forward.
//!
//! In this order, each step resting on the ones before:
//!
//! 1. the checkpoint: numbers, lanes, what waits, what is pending;
//! 2. the windows of retries that closed segments left (windows.rs);
//! 3. the journal: of segments before the checkpoint only the rows that still wait, of later ones every
//!    event;
//! 4. settled files that still lie in their place go where they belong;
//! 5. every batch that waits must have its file: its size is read, and one without is held and reported;
//! 6. what else lies around: a batch file whose rows all wait in the journal was never recorded, and is
//!    removed;
//!    any other is held, since its record is lost; temporary files that no share needs are removed; the rest
//!    is left.
//!
//! Every step can be repeated: a crash in the middle of recovery is followed by the same recovery.

pub mod sweep;

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::error::FileError;
use crate::event::{Checkpoint, Record};
use crate::files::Files;
use crate::journal::{self, CheckpointError, Item, Position, SegmentError, SegmentReader};
use crate::own::read_small;
use crate::state::checkpoint::Awaited;
use crate::state::window::Window;
use crate::state::{Applied, State};
use crate::status::RecoveryReport;
use crate::windows::WindowFiles;

/// What recovery gives to the running spool.
#[derive(Debug)]
pub struct Recovered {
    /// Everything the queue knows.
    pub state: State,
    /// What was found and done.
    pub report: RecoveryReport,
    /// Journal segments that are there, and their bytes.
    pub segments: VecDeque<(u64, u64)>,
    /// Number of the next segment.
    pub next_segment: u64,
    /// What closed segments left for retries.
    pub windows: WindowFiles,
}

/// Whether files may be touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// The spool is ours: what a crash left is put in order.
    Repair,
    /// Somebody else may have it open.
    Look,
}

/// Reads checkpoint, journal and directories; moves and removes what the journal says. `window` takes what is remembered.
pub fn recover(files: &Files, window: Window) -> Result<Recovered, FileError> {
    let began = Instant::now();
    let mut recovered = read(files, Mode::Repair, window)?;
    sweep::sweep(files, &mut recovered.state, &mut recovered.report)?;
    summarise(&recovered.state, &mut recovered.report);
    recovered.report.took = began.elapsed();
    Ok(recovered)
}

/// What is there, without touching any of it: for a spool that a router may have open.
///
/// A file that leaves its place was acknowledged in the journal before. So one that the first look misses and
/// the second still expects there is really missing, and one that was only on its way is not.
pub fn look(files: &Files) -> Result<Recovered, FileError> {
    let first = look_once(files, &BTreeSet::new())?;
    if first.report.damaged.is_empty() {
        return Ok(first);
    }
    let suspects = first.report.damaged.into_iter().collect();
    let mut second = look_once(files, &suspects)?;
    second.report.damaged.retain(|path| suspects.contains(path));
    Ok(second)
}

fn look_once(files: &Files, suspects: &BTreeSet<PathBuf>) -> Result<Recovered, FileError> {
    // Nobody retries anything here.
    let mut recovered = read(files, Mode::Look, Window::default())?;
    sweep::look(files, &mut recovered.state, &mut recovered.report, suspects)?;
    summarise(&recovered.state, &mut recovered.report);
    Ok(recovered)
}

fn read(files: &Files, mode: Mode, window: Window) -> Result<Recovered, FileError> {
    let mut recovery = Recovery::begin(files, mode, window)?;
    let numbers = journal::segments(files.disk.as_ref(), &files.layout.journal())
        .map_err(FileError::at("listing", files.layout.journal()))?;
    for segment in &numbers {
        recovery.read_segment(*segment)?;
    }
    let next_segment = numbers
        .last()
        .map_or(1, |last| last + 1)
        .max(recovery.from_segment);
    recovery.report.lost_shares = recovery.awaited.lost() as u64;
    let Recovery {
        state,
        report,
        segments,
        windows,
        ..
    } = recovery;
    Ok(Recovered {
        state,
        report,
        segments,
        next_segment,
        windows,
    })
}

struct Recovery<'a> {
    files: &'a Files,
    mode: Mode,
    state: State,
    awaited: Awaited,
    /// Events of earlier segments are in the checkpoint.
    from_segment: u64,
    report: RecoveryReport,
    segments: VecDeque<(u64, u64)>,
    windows: WindowFiles,
}

impl<'a> Recovery<'a> {
    fn begin(files: &'a Files, mode: Mode, window: Window) -> Result<Recovery<'a>, FileError> {
        let mut report = RecoveryReport::default();
        let checkpoint = read_checkpoint(files, mode, &mut report)?;
        let (mut state, awaited) = State::restore(&checkpoint);
        state.window = window;
        let windows = match mode {
            Mode::Repair => WindowFiles::read(files, &mut state, &mut report)?,
            Mode::Look => WindowFiles::default(),
        };
        Ok(Recovery {
            files,
            mode,
            state,
            awaited,
            from_segment: checkpoint.segment,
            report,
            segments: VecDeque::new(),
            windows,
        })
    }

    fn read_segment(&mut self, segment: u64) -> Result<(), FileError> {
        let directory = self.files.layout.journal();
        let path = journal::segment_path(&directory, segment);
        let mut reader = match SegmentReader::open(self.files.disk.as_ref(), &directory, segment) {
            Ok(reader) => reader,
            Err(SegmentError::Unbegun { .. }) => return self.remove_unbegun(&path),
            Err(error) => {
                tracing::error!(%error, "a journal segment cannot be read and is left in place");
                self.report.unknown.push(path);
                return Ok(());
            }
        };
        if reader.spool() != self.files.spool {
            tracing::error!(segment, "a journal segment of another spool is left in place");
            self.report.unknown.push(path);
            return Ok(());
        }
        self.report.segments += 1;
        let mut is_damaged = false;
        loop {
            match reader.next_item() {
                Ok(None) => break,
                Ok(Some(Item::Record { record, .. })) => self.replay(segment, &record),
                Ok(Some(Item::Torn { offset, bytes })) => self.cut_tail(Position { segment, offset }, bytes),
                // Records that were written and not yet synced: nobody was answered, as with a torn one.
                Ok(Some(Item::Damaged {
                    bytes, synced: false, ..
                })) => self.report.torn_bytes += bytes,
                Ok(Some(Item::Damaged {
                    offset, bytes, why, ..
                })) => {
                    tracing::error!(segment, offset, bytes, why, "the journal is damaged");
                    is_damaged = true;
                }
                Err(error) => {
                    tracing::error!(%error, "the rest of a journal segment cannot be read");
                    is_damaged = true;
                    break;
                }
            }
        }
        if is_damaged && self.mode == Mode::Repair {
            self.keep_copy(segment);
        }
        let bytes = crate::work::file_bytes(self.files, &path)?;
        self.segments.push_back((segment, bytes));
        Ok(())
    }

    /// A crash while a segment was made; nothing was ever in it.
    fn remove_unbegun(&self, path: &Path) -> Result<(), FileError> {
        match self.mode {
            Mode::Repair => self.files.remove(path),
            Mode::Look => Ok(()),
        }
    }

    fn replay(&mut self, segment: u64, record: &Record) {
        self.report.records += 1;
        let Some(contents) = State::contents_of(record) else {
            // The checksum held, so it was written so: a bug of ours, told and survived.
            tracing::error!(segment, "a journal record contradicts itself and is not applied");
            return;
        };
        let at = Applied { segment, now: 0 };
        if segment < self.from_segment {
            self.state.revive(record, contents, at, &mut self.awaited);
        } else {
            // Its effects are carried out below by looking at what is to be done, not at what was done.
            drop(self.state.apply(record, contents, at));
        }
    }

    /// A crash tore the last record: nobody was answered.
    fn cut_tail(&mut self, at: Position, bytes: u64) {
        self.report.torn_bytes += bytes;
        if self.mode == Mode::Look {
            return;
        }
        let directory = self.files.layout.journal();
        if let Err(error) = journal::cut_torn_tail(self.files.disk.as_ref(), &directory, at) {
            tracing::warn!(%error, segment = at.segment, "a torn record stays at the end of its segment");
        }
    }

    /// What is damaged is kept under another name, for whoever wants to look at it; the segment itself is
    /// read on, and goes when nothing in it waits any more.
    fn keep_copy(&mut self, segment: u64) {
        let path = journal::segment_path(&self.files.layout.journal(), segment);
        let copy = path.with_extension("log.corrupt");
        self.report.corrupt.push(copy.clone());
        let kept = self.files.exists(&copy).and_then(|there| {
            if there {
                Ok(())
            } else {
                self.files.link(&path, &copy)
            }
        });
        if let Err(error) = kept {
            tracing::warn!(%error, "no copy of a damaged journal segment is kept");
        }
    }
}

/// The checkpoint; an empty one when there is none, or it cannot be read: then all segments that are there
/// are read.
fn read_checkpoint(files: &Files, mode: Mode, report: &mut RecoveryReport) -> Result<Checkpoint, FileError> {
    let path = files.layout.checkpoint();
    if !files.exists(&path)? {
        return Ok(Checkpoint::default());
    }
    match journal::decode_checkpoint(&read_small(files, &path)?) {
        Ok(checkpoint) => Ok(checkpoint),
        Err(error) => {
            tracing::error!(%error, "the checkpoint is not used");
            let kept_as = match error {
                CheckpointError::Newer { .. } => "newer",
                CheckpointError::Damaged { .. } | CheckpointError::Codec(_) => "corrupt",
            };
            let copy = path.with_extension(kept_as);
            if mode == Mode::Repair {
                files.rename(&path, &copy)?;
            }
            report.corrupt.push(copy);
            Ok(Checkpoint::default())
        }
    }
}

fn summarise(state: &State, report: &mut RecoveryReport) {
    report.uncut_shares = state.uncut_shares();
    report.pending = state.open_pending().len() as u64;
    for (_, queue) in state.queues() {
        report.waiting += queue.waiting.files + queue.held_batches.files;
        report.in_doubt += queue.in_doubt();
    }
}
