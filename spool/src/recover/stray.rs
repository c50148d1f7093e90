//! Batch files in their place that no record names.
//!
//! | What it is | How it is known | What becomes of it |
//! |---|---|---|
//! | a cut that was about to be recorded | its rows wait in the journal, just so | it is recorded now |
//! | a cut that failed half way | its rows wait, otherwise; or one of its destinations has no such file | removed |
//! | a piece of a batch that was being cut again | a batch in line, or one aside that was tried, has its rows | removed |
//! | a batch that others were being joined into | batches in line that were never tried are together just that | removed |
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

/// Batches at the front of a line that are looked at for the rows of a stray, beside those that were tried: only one that was
/// is ever cut again.
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
    let matching = sweep
        .state()
        .matching_cut(&first.destination, &first.info.trailer);
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
        || is_piece_of_one_that_waits(sweep, stray)
        || is_join_of_some_in_line(sweep, stray)
        || is_in_broken(sweep.files, stray)
}

fn is_piece_of_one_that_waits(sweep: &Sweep<'_>, stray: &Stray) -> bool {
    let looked_at: Vec<Seq> = {
        let state = sweep.state();
        let Some(queue) = state.get_queue(&stray.destination) else {
            return false;
        };
        let first = queue.in_order().take(LINE_LOOKED_AT).map(|(seq, _)| seq);
        let noted = queue.notes.keys().copied();
        // Without an attempt a batch aside may be another stray, of other rows of the same INSERT.
        let may_be_recut =
            |seq: &Seq| queue.line.contains_key(seq) || (queue.holds(*seq) && queue.attempts(*seq) > 0);
        first.chain(noted.filter(may_be_recut)).collect()
    };
    looked_at.into_iter().any(|seq| {
        let info = read_info(sweep.files, &sweep.files.batch(&stray.destination, seq));
        info.is_ok_and(|info| has_rows_of(&info, stray))
    })
}

fn has_rows_of(whole: &BinInfo, stray: &Stray) -> bool {
    let mut segments = stray.info.trailer.segments.iter();
    let has_all = segments.all(|segment| {
        let mut whole = whole.trailer.segments.iter();
        whole.any(|other| is_same(other, segment))
    });
    has_all || is_part_of(&whole.trailer.segments, &stray.info.trailer.segments)
}

/// Whether it is some of the rows of a batch of one INSERT, which was being cut by rows.
fn is_part_of(whole: &[Segment], part: &[Segment]) -> bool {
    let ([whole], [part]) = (whole, part) else {
        return false;
    };
    whole.insert == part.insert && sizes(part).0 < sizes(whole).0
}

/// Whether its INSERTs are, one by one, those of untried batches that follow each other in line.
fn is_join_of_some_in_line(sweep: &Sweep<'_>, stray: &Stray) -> bool {
    let untried: Vec<Seq> = {
        let state = sweep.state();
        let Some(queue) = state.get_queue(&stray.destination) else {
            return false;
        };
        let in_order = queue.in_order().map(|(seq, _)| seq);
        in_order.filter(|seq| queue.may_be_joined(*seq)).collect()
    };
    let wanted = &stray.info.trailer.segments;
    let mut found: Vec<Segment> = Vec::new();
    for seq in untried {
        let info = read_info(sweep.files, &sweep.files.batch(&stray.destination, seq));
        let Ok(info) = info else { continue };
        if info.trailer.shape != stray.info.trailer.shape {
            continue;
        }
        extend(&mut found, &info.trailer.segments);
        if !begins(wanted, &found) {
            // It may begin with this one.
            found.clear();
            extend(&mut found, &info.trailer.segments);
            if !begins(wanted, &found) {
                found.clear();
            }
        }
        if is_same_list(wanted, &found) {
            return true;
        }
    }
    false
}

/// As a writer does that copies them: rows of the INSERT that was last are its segment grown.
fn extend(found: &mut Vec<Segment>, more: &[Segment]) {
    for segment in more {
        let (rows, raw) = sizes(segment);
        match found.last_mut().filter(|last| last.insert == segment.insert) {
            Some(last) => {
                last.raw.end += raw;
                last.rows.end += rows;
            }
            None => found.push(Segment {
                insert: segment.insert,
                client_token: segment.client_token.clone(),
                raw: 0..raw,
                rows: 0..rows,
            }),
        }
    }
}

/// Whether the list may become that one: its last INSERT may still grow.
fn begins(wanted: &[Segment], found: &[Segment]) -> bool {
    let Some((last, whole)) = found.split_last() else {
        return true;
    };
    found.len() <= wanted.len()
        && is_same_list(&wanted[..whole.len()], whole)
        && wanted[whole.len()].insert == last.insert
}

fn is_same_list(one: &[Segment], other: &[Segment]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
}

/// Whether they are as many rows of one INSERT.
pub fn is_same(one: &Segment, other: &Segment) -> bool {
    one.insert == other.insert && sizes(one) == sizes(other)
}

/// Rows and raw bytes.
fn sizes(segment: &Segment) -> (u64, u64) {
    let Segment { rows, raw, .. } = segment;
    (
        rows.end.saturating_sub(rows.start),
        raw.end.saturating_sub(raw.start),
    )
}

fn is_in_broken(files: &Files, stray: &Stray) -> bool {
    let broken = files.layout.broken(&stray.destination);
    let listed = files.list(&broken).unwrap_or_default();
    let batches = listed.iter().filter(|entry| seq_of(&entry.name).is_some());
    batches.into_iter().any(|entry| {
        let info = read_info(files, &broken.join(&entry.name));
        let wanted = &stray.info.trailer;
        // One INSERT that was accepted twice may have a token that both its batches follow from.
        info.is_ok_and(|info| {
            info.trailer.token == wanted.token && is_same_list(&info.trailer.segments, &wanted.segments)
        })
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
