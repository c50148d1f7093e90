//! What the last process left, rolled forward.
//!
//! In this order, each step resting on the ones before:
//!
//! 1. the checkpoint: numbers, lanes, what waits, what is pending. Where it cannot be read, the one before it, whose segments
//!    are kept as well;
//! 2. the windows of retries that closed segments left (windows.rs);
//! 3. the journal: of segments before the checkpoint only the rows that still wait, of later ones every
//!    event;
//!
//! Then INSERTs are accepted, and behind that, in parallel, the directories are read (`sweep.rs`); until they are, nothing is
//! cut or sent:
//!
//! 4. settled files that still lie in their place go where they belong;
//! 5. batch files that no record names (`stray.rs`): mostly a cut that was about to be recorded. Then it is recorded now: the
//!    same file, the same token. Where records are missing, what may have been in them is held (`suspect.rs`);
//! 6. every batch that waits must have its file: one without is held and reported;
//! 7. temporary files that no share needs are removed (`leftovers.rs`); the rest is left.
//!
//! What is decided here are records like any other: they are in the journal before anything is cut or sent. A journal that
//! shows by itself that records are missing is the exception: then all of it is done before the first INSERT is accepted.
//!
//! Every step can be repeated: a crash in the middle of recovery is followed by the same recovery.
//!
//! # What is damaged, and what comes of it
//!
//! Nothing that lies in the spool stops the start, but a journal of a later release: it may say what this one cannot know. A
//! directory that cannot be read is reported, and its destinations are held.
//!
//! Records that had been on disk are missing if the journal shows a hole (a damaged record or segment, a gap in the
//! numbers of the segments), or if files show what only a record can have led to (a number in sent/ that no record gave
//! away). Then the state is put in doubt at that place: see `state/lost.rs`. A last segment that lost its end shows
//! nothing else than a crash would: its rows and records are lost unseen; a batch that was cut in them is sent under its
//! own token as long as its file lies in its place.

pub use self::directories::THREADS;

pub mod directories;
mod leftovers;
mod stray;
mod suspect;
pub mod sweep;

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::commit::Needed;
use crate::error::{FileError, OpenError};
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
    /// The segments that the checkpoint was read with.
    pub needed: Needed,
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

/// Reads checkpoint and journal; the directories come behind ([`sweep`]). `window` takes what is remembered.
pub fn recover(files: &Files, window: Window) -> Result<Recovered, OpenError> {
    let began = Instant::now();
    let mut recovered = read(files, Mode::Repair, window)?;
    recovered.report.took = began.elapsed();
    Ok(recovered)
}

/// What is there, without touching any of it: for a spool that a router may have open.
///
/// A file that leaves its place was acknowledged in the journal before. So one that the first look misses and
/// the second still expects there is really missing, and one that was only on its way is not.
pub fn look(files: &Files) -> Result<Recovered, OpenError> {
    let first = look_once(files, &BTreeSet::new())?;
    if first.report.damaged.is_empty() {
        return Ok(first);
    }
    let suspects = first.report.damaged.into_iter().collect();
    let mut second = look_once(files, &suspects)?;
    second.report.damaged.retain(|path| suspects.contains(path));
    Ok(second)
}

fn look_once(files: &Files, suspects: &BTreeSet<PathBuf>) -> Result<Recovered, OpenError> {
    // Nobody retries anything here.
    let mut recovered = read(files, Mode::Look, Window::default())?;
    recovered.state = sweep::look(files, recovered.state, &mut recovered.report, suspects);
    summarise(&recovered.state, &mut recovered.report);
    Ok(recovered)
}

fn read(files: &Files, mode: Mode, window: Window) -> Result<Recovered, OpenError> {
    let mut recovery = Recovery::begin(files, mode, window)?;
    let numbers = journal::segments(files.disk.as_ref(), &files.layout.journal())
        .map_err(FileError::at("listing", files.layout.journal()))?;
    for segment in &numbers {
        recovery.expect(*segment);
        recovery.read_segment(*segment)?;
    }
    recovery.expect_end();
    recovery.report.lost_shares = recovery.awaited.lost() as u64;
    Ok(Recovered {
        state: recovery.state,
        report: recovery.report,
        segments: recovery.segments,
        next_segment: recovery.next_segment,
        needed: Needed {
            from: recovery.from_segment,
            rows_in: recovery.rows_in,
        },
        windows: recovery.windows,
    })
}

struct Recovery<'a> {
    files: &'a Files,
    mode: Mode,
    state: State,
    awaited: Awaited,
    /// Events of earlier segments are in the checkpoint.
    from_segment: u64,
    /// Earlier segments with rows that waited then.
    rows_in: BTreeSet<u64>,
    /// The number behind the last segment that was found; from the checkpoint on there is no gap.
    next_segment: u64,
    report: RecoveryReport,
    segments: VecDeque<(u64, u64)>,
    windows: WindowFiles,
}

impl<'a> Recovery<'a> {
    fn begin(files: &'a Files, mode: Mode, window: Window) -> Result<Recovery<'a>, OpenError> {
        let mut report = RecoveryReport::default();
        let checkpoint = read_checkpoint(files, mode, &mut report)?;
        let (mut state, awaited) = State::restore(&checkpoint);
        state.window = window;
        let windows = match mode {
            Mode::Repair => WindowFiles::read(files, &mut state, &mut report)?,
            Mode::Look => WindowFiles::default(),
        };
        report.failed = read_failure(files);
        Ok(Recovery {
            files,
            mode,
            state,
            awaited,
            from_segment: checkpoint.segment,
            rows_in: BTreeSet::new(),
            next_segment: checkpoint.segment.max(1),
            report,
            segments: VecDeque::new(),
            windows,
        })
    }

    /// Segments are numbered without a gap, and those behind a checkpoint are kept.
    fn expect(&mut self, segment: u64) {
        if segment > self.next_segment {
            let (first, last) = (self.next_segment, segment - 1);
            self.lost(format_args!(
                "segments {first} to {last} of the journal are missing"
            ));
        }
    }

    /// A checkpoint is written when its segment is there.
    fn expect_end(&mut self) {
        if self.from_segment > 0 && self.next_segment == self.from_segment {
            let segment = self.from_segment;
            self.lost(format_args!(
                "segment {segment} of the journal is missing, and all behind it"
            ));
        }
    }

    /// Records are missing here that had been on disk.
    fn lost(&mut self, what: std::fmt::Arguments<'_>) {
        tracing::error!("{what}: what was known before is in doubt");
        self.report.lost_records = true;
        self.state.doubt_all();
    }

    fn read_segment(&mut self, segment: u64) -> Result<(), OpenError> {
        let directory = self.files.layout.journal();
        let path = journal::segment_path(&directory, segment);
        let reader = match SegmentReader::open(self.files.disk.as_ref(), &directory, segment) {
            Ok(reader) => reader,
            Err(SegmentError::Unbegun { .. }) => {
                self.remove_unbegun(segment, &path);
                return Ok(());
            }
            Err(error @ SegmentError::Newer { .. }) => return Err(newer(self.files, &error)),
            Err(error) => {
                self.set_aside(segment, path, &error.to_string());
                return Ok(());
            }
        };
        if reader.spool() != self.files.spool {
            self.set_aside(segment, path, "it is another spool's");
            return Ok(());
        }
        self.pass(segment);
        self.report.segments += 1;
        // Of older segments only rows that wait are wanted.
        if segment >= self.from_segment || self.awaited.lost() > 0 {
            self.read_records(segment, reader);
        }
        let bytes = crate::work::file_bytes(self.files, &path).unwrap_or(0);
        self.segments.push_back((segment, bytes));
        Ok(())
    }

    fn pass(&mut self, segment: u64) {
        self.next_segment = self.next_segment.max(segment + 1);
    }

    fn read_records(&mut self, segment: u64, mut reader: SegmentReader) {
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
                    self.lost_in(segment);
                }
                Err(error) => {
                    tracing::error!(%error, "the rest of a journal segment cannot be read");
                    is_damaged = true;
                    self.lost_in(segment);
                    break;
                }
            }
        }
        if is_damaged && self.mode == Mode::Repair {
            self.keep_copy(segment);
        }
    }

    /// Of older segments only rows are wanted, and those that are lost are counted.
    fn lost_in(&mut self, segment: u64) {
        if segment >= self.from_segment {
            self.lost(format_args!("records of segment {segment} are missing"));
        }
    }

    /// A segment that tells nothing; it stays as it is.
    fn set_aside(&mut self, segment: u64, path: PathBuf, why: &str) {
        tracing::error!(
            segment,
            why,
            "a journal segment cannot be read and is left in place"
        );
        self.report.unknown.push(path);
        self.lost_in(segment);
        self.pass(segment);
    }

    /// A crash while a segment was made; nothing was ever in it. Not so where a checkpoint names it.
    fn remove_unbegun(&mut self, segment: u64, path: &Path) {
        if segment == self.from_segment {
            self.lost(format_args!("segment {segment} of the journal is blank"));
        }
        if self.mode == Mode::Look {
            return;
        }
        if let Err(error) = self.files.remove(path) {
            tracing::warn!(%error, "a journal segment that was never begun stays behind");
            self.pass(segment);
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
            let awaited = self.awaited.lost();
            self.state.revive(record, contents, at, &mut self.awaited);
            if self.awaited.lost() < awaited {
                self.rows_in.insert(segment);
            }
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

/// The checkpoint; the one before when it cannot be read; an empty one when there is none: then all segments that are there are
/// read.
fn read_checkpoint(files: &Files, mode: Mode, report: &mut RecoveryReport) -> Result<Checkpoint, OpenError> {
    for path in [files.layout.checkpoint(), files.layout.previous_checkpoint()] {
        match read_small(files, &path) {
            Ok(bytes) => match journal::decode_checkpoint(&bytes) {
                Ok(checkpoint) => return Ok(checkpoint),
                Err(error @ CheckpointError::Newer { .. }) => return Err(newer(files, &error)),
                Err(error) => set_checkpoint_aside(files, mode, report, &path, &error.to_string()),
            },
            Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => set_checkpoint_aside(files, mode, report, &path, &error.to_string()),
        }
    }
    Ok(Checkpoint::default())
}

fn set_checkpoint_aside(files: &Files, mode: Mode, report: &mut RecoveryReport, path: &Path, why: &str) {
    tracing::error!(path = %path.display(), why, "a checkpoint is not used");
    let mut copy = path.as_os_str().to_owned();
    copy.push(".corrupt");
    let copy = PathBuf::from(copy);
    if mode == Mode::Repair
        && let Err(error) = files.rename(path, &copy)
    {
        tracing::warn!(%error, "a checkpoint that cannot be used stays in its place");
    }
    report.corrupt.push(copy);
}

/// What this release would do without knowing what a later one wrote is to go on as if it were not there.
fn newer(files: &Files, error: &dyn std::error::Error) -> OpenError {
    OpenError::Foreign {
        path: files.layout.root().to_owned(),
        reason: format!("{error}; start a release of Weir that reads that version, this one changed nothing"),
    }
}

/// The note of a journal that failed, of a sensible length.
fn read_failure(files: &Files) -> Option<String> {
    let note = read_small(files, &files.layout.failure()).ok()?;
    let text = String::from_utf8_lossy(&note[..note.len().min(FAILURE_BYTES_MAX)]);
    Some(text.trim_end().to_owned())
}

/// More than a cause and a place needs.
const FAILURE_BYTES_MAX: usize = 4096;

/// Counts what waits.
pub fn summarise(state: &State, report: &mut RecoveryReport) {
    report.uncut_shares = state.uncut_shares();
    report.pending = state.open_pending().len() as u64;
    for (_, queue) in state.queues() {
        report.waiting += queue.waiting.files + queue.held_batches.files;
        report.in_doubt += queue.in_doubt();
    }
}
