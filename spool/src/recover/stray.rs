//! Batch files in their place that no record names.
//!
//! | What it is | How it is known | What becomes of it |
//! |---|---|---|
//! | a cut that was about to be recorded | its rows wait in the journal, just so | it is recorded now |
//! | a cut that failed half way | its rows wait, otherwise; or one of its destinations has no such file | removed |
//! | a piece of a batch that was being cut again | a batch in line has its rows | removed |
//! | a batch that was being put back from broken/ | broken/ has its token | removed |
//! | a batch whose record is lost | none of these | held |
//!
//! The first could be removed and cut anew as well. But where the end of the journal is lost without a trace, its record was
//! lost, not missing, and it may have been sent: under its token, which it keeps so.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::sweep::{Sweep, read_info};
use crate::bin_file::{BinInfo, BinReader, Segment};
use crate::event::{Cut, Event, Recut, Seq, Verdict};
use crate::files::Files;
use crate::model::{Destination, LaneKey};
use crate::names::seq_of;
use crate::state::State;

/// Batches at the front of a line that are looked at for the rows of a stray: only the first is ever cut again.
const LINE_LOOKED_AT: usize = 4;

/// A sound batch file of ours that no record names.
#[derive(Debug)]
pub struct Stray {
    /// In whose directory it lies.
    pub destination: Destination,
    /// Its number.
    pub seq: Seq,
    /// Where it lies.
    pub path: PathBuf,
    /// What it says of itself.
    pub info: BinInfo,
}

impl Stray {
    /// Whether it has rows that are cut only after a `go`, of which nothing is known.
    pub fn was_sent_after_go(&self, state: &State) -> bool {
        let mut segments = self.info.trailer.segments.iter();
        segments.any(|segment| state.parks(&self.destination, segment.insert))
    }

    fn is_file_of(&self, destination: &Destination) -> bool {
        self.destination == *destination
    }
}

/// Settles strays of a journal of which nothing is missing.
pub fn settle(sweep: &mut Sweep<'_>, strays: &[Stray]) {
    // The files of one cut have one token.
    let mut cuts: BTreeMap<&str, Vec<&Stray>> = BTreeMap::new();
    for stray in strays {
        cuts.entry(&stray.info.trailer.token).or_default().push(stray);
    }
    for cut in cuts.into_values() {
        if record_cut(sweep, &cut) {
            sweep.report.cuts_recorded += 1;
            continue;
        }
        for stray in cut {
            if is_superfluous(sweep, stray) {
                sweep.remove(&stray.path, |report| &mut report.uncut_files_removed);
            } else {
                let why = "the journal has no record of this batch, and its rows do not wait either";
                hold(sweep, stray, why);
            }
        }
    }
}

/// Records the cut that these are the files of; whether they are.
fn record_cut(sweep: &mut Sweep<'_>, cut: &[&Stray]) -> bool {
    let Some(first) = cut.first() else { return false };
    let trailer = &first.info.trailer;
    let matching = sweep
        .state()
        .matching_cut(&first.destination, &trailer.shape, &trailer.segments);
    let Some((lane, taken)) = matching else {
        return false;
    };
    let Some(seqs) = seqs_of(&lane, cut).filter(|_| is_whole(sweep.files, first)) else {
        return false;
    };
    let event = Cut {
        lane: 0,
        taken,
        seqs,
        batch: first.info.batch(),
    };
    sweep.make(Some(&lane), vec![Event::Cut(event)]);
    true
}

/// The numbers of the files at each of the lane's destinations, if there is one at each and no other.
fn seqs_of(lane: &LaneKey, cut: &[&Stray]) -> Option<Vec<Seq>> {
    let seq_at = |to: &Destination| {
        cut.iter()
            .find(|stray| stray.is_file_of(to))
            .map(|stray| stray.seq)
    };
    let seqs = lane
        .destinations
        .iter()
        .map(seq_at)
        .collect::<Option<Vec<Seq>>>()?;
    (seqs.len() == cut.len()).then_some(seqs)
}

fn is_whole(files: &Files, stray: &Stray) -> bool {
    let opened = files.disk.open_read(&stray.path).ok();
    let reader = opened.and_then(|file| BinReader::new(file).ok());
    reader.is_some_and(|reader| reader.verify().is_ok())
}

/// Whether its rows are elsewhere, so that it was never recorded.
fn is_superfluous(sweep: &Sweep<'_>, stray: &Stray) -> bool {
    let waiting = sweep.state().inserts_waiting_for(&stray.destination);
    let segments = &stray.info.trailer.segments;
    segments.iter().all(|segment| waiting.contains(&segment.insert))
        || is_piece_of_one_in_line(sweep, stray)
        || is_in_broken(sweep.files, stray)
}

fn is_piece_of_one_in_line(sweep: &Sweep<'_>, stray: &Stray) -> bool {
    let first: Vec<Seq> = {
        let state = sweep.state();
        let line = state.get_queue(&stray.destination).map(|queue| &queue.line);
        let in_line = line.into_iter().flat_map(|line| line.keys());
        in_line.take(LINE_LOOKED_AT).copied().collect()
    };
    first.into_iter().any(|seq| {
        let info = read_info(sweep.files, &sweep.files.batch(&stray.destination, seq));
        info.is_ok_and(|info| has_rows_of(&info, stray))
    })
}

fn has_rows_of(whole: &BinInfo, stray: &Stray) -> bool {
    let mut segments = stray.info.trailer.segments.iter();
    segments.all(|segment| {
        let mut whole = whole.trailer.segments.iter();
        whole.any(|other| is_same(other, segment))
    })
}

/// Whether they are as many rows of one INSERT.
pub fn is_same(one: &Segment, other: &Segment) -> bool {
    let sizes = |segment: &Segment| {
        (
            segment.rows.end.saturating_sub(segment.rows.start),
            segment.raw.end.saturating_sub(segment.raw.start),
        )
    };
    one.insert == other.insert && sizes(one) == sizes(other)
}

fn is_in_broken(files: &Files, stray: &Stray) -> bool {
    let broken = files.layout.broken(&stray.destination);
    let listed = files.list(&broken).unwrap_or_default();
    let batches = listed.iter().filter(|entry| seq_of(&entry.name).is_some());
    batches.into_iter().any(|entry| {
        let info = read_info(files, &broken.join(&entry.name));
        info.is_ok_and(|info| info.trailer.token == stray.info.trailer.token)
    })
}

/// Enters the file as a batch that is set aside.
pub fn hold(sweep: &mut Sweep<'_>, stray: &Stray, why: &str) {
    tracing::error!(path = %stray.path.display(), "a batch file without a record: it is held");
    sweep.report.damaged.push(stray.path.clone());
    let batch = stray.info.batch();
    let pieces = stray.info.trailer.segments.iter().map(|segment| Recut {
        seq: stray.seq,
        insert: segment.insert,
        batch: batch.clone(),
    });
    // Numbers begin with 1: it takes the place of no batch.
    let entered = Event::Recut {
        destination: stray.destination.clone(),
        seq: 0,
        into: pieces.collect(),
    };
    let held = held(&stray.destination, stray.seq, why);
    sweep.make(None, vec![entered, held]);
}

/// That a batch is set aside.
pub fn held(destination: &Destination, seq: Seq, why: &str) -> Event {
    Event::Settled {
        destination: destination.clone(),
        seq,
        verdict: Verdict::Held {
            error: why.to_owned(),
        },
    }
}
