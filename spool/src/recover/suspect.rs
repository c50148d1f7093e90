//! Where records are missing: what may have been in them is looked for in the files, and held where it is not found.
//!
//! Nothing is removed, and no row gets a new token that may have been sent under another. What is held says why; one who can
//! ask the shard decides.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::leftovers::keep;
use super::stray::{Stray, held, hold, is_same};
use super::sweep::{Sweep, read_info};
use crate::bin_file::{BinInfo, Segment};
use crate::cut;
use crate::error::FileError;
use crate::event::{BatchInfo, Cut, Event, Seq, Taken};
use crate::files::Files;
use crate::model::{Destination, InsertId};
use crate::names::seq_of;
use crate::state::lane::{CutPlan, Piece};
use crate::state::lost::Suspect;
use crate::state::share::Run;

const LOST: &str = "records of the journal are lost";
const NEXT_STEP: &str =
    "look at the shard: `weir spool retry` sends the rows, `weir spool drop` gives them up";

/// Holds what may have been sent, and forgets what certainly was cut.
pub fn resolve(sweep: &mut Sweep<'_>, strays: &[Stray]) -> Result<(), FileError> {
    decide_pending(sweep);
    let evidence = Evidence::gather(sweep, strays);
    forget_cut_ones(sweep, &evidence);
    for stray in strays {
        let why = format!("{LOST}, and with them whether this batch was sent: {NEXT_STEP}");
        hold(sweep, stray, &why);
    }
    hold_recut_ones(sweep, &evidence);
    hold_suspects(sweep)
}

/// Batch files that no record accounts for, by whose rows are in them.
#[derive(Debug, Default)]
struct Evidence {
    of: HashMap<(Destination, InsertId), Vec<(Seq, Segment)>>,
}

impl Evidence {
    /// Strays, sent/ and broken/.
    fn gather(sweep: &Sweep<'_>, strays: &[Stray]) -> Evidence {
        let mut evidence = Evidence::default();
        for stray in strays {
            evidence.add(&stray.destination, stray.seq, &stray.info);
        }
        let files = sweep.files;
        let known: Vec<Destination> = (sweep.state().queues()).map(|(to, _)| to.clone()).collect();
        for destination in &known {
            for directory in [files.layout.sent(destination), files.layout.broken(destination)] {
                evidence.add_kept(files, destination, &directory);
            }
        }
        evidence
    }

    fn add_kept(&mut self, files: &Files, destination: &Destination, directory: &Path) {
        let listed = files.list(directory).unwrap_or_default();
        for seq in listed.iter().filter_map(|entry| seq_of(&entry.name)) {
            let path = directory.join(crate::names::batch_name(seq));
            if let Ok(info) = read_info(files, &path)
                && info.head.spool == files.spool
            {
                self.add(destination, seq, &info);
            }
        }
    }

    fn add(&mut self, destination: &Destination, seq: Seq, info: &BinInfo) {
        for segment in &info.trailer.segments {
            let key = (destination.clone(), segment.insert);
            self.of.entry(key).or_default().push((seq, segment.clone()));
        }
    }

    fn about(&self, destination: &Destination, insert: InsertId) -> &[(Seq, Segment)] {
        let found = self.of.get(&(destination.clone(), insert));
        found.map_or(&[], Vec::as_slice)
    }

    /// Whether a batch of each of the lane's destinations has all rows of the share.
    fn shows_cut_of(&self, suspect: &Suspect) -> bool {
        let all = Segment {
            insert: suspect.insert,
            client_token: None,
            raw: 0..suspect.raw_bytes,
            rows: 0..suspect.rows,
        };
        suspect.lane.destinations.iter().all(|destination| {
            let mut found = self.about(destination, suspect.insert).iter();
            found.any(|(_, segment)| is_same(segment, &all))
        })
    }

    /// Whether rows of the batch lie in a later one as well.
    fn shows_recut_of(&self, destination: &Destination, seq: Seq, info: &BinInfo) -> bool {
        info.trailer.segments.iter().any(|segment| {
            let mut found = self.about(destination, segment.insert).iter();
            // As many rows, or some of them, where it was cut by rows; or they and others', where it was joined.
            found.any(|(later, _)| *later > seq)
        })
    }
}

/// Whether a pending INSERT was undone is not known: it is not, and what may have been sent of it waits for a decision.
fn decide_pending(sweep: &mut Sweep<'_>) {
    let why = format!("{LOST}, and with them whether its INSERT was undone: {NEXT_STEP}");
    let undecided = sweep.state().undecided();
    for undecided in undecided {
        let mut events: Vec<Event> = {
            let state = sweep.state();
            let waits =
                |(to, seq): &&(Destination, Seq)| state.get_queue(to).is_some_and(|queue| queue.holds(*seq));
            let batches = undecided.batches.iter().filter(waits);
            batches.map(|(to, seq)| held(to, *seq, &why)).collect()
        };
        events.push(Event::Go {
            insert: undecided.insert,
        });
        sweep.make(None, events);
    }
}

/// Their files are there: only the records of their cuts are not.
fn forget_cut_ones(sweep: &mut Sweep<'_>, evidence: &Evidence) {
    let suspects = sweep.state().suspects();
    for suspect in suspects {
        if evidence.shows_cut_of(&suspect) {
            let cut = taken(vec![suspect.taken], Vec::new(), None);
            sweep.make(Some(&suspect.lane), vec![cut]);
        }
    }
}

fn taken(taken: Vec<Taken>, seqs: Vec<Seq>, batch: Option<BatchInfo>) -> Event {
    Event::Cut(Cut {
        lane: 0,
        taken,
        seqs,
        batch: batch.unwrap_or_default(),
    })
}

/// A batch in line may have been refused and cut again: then its pieces have its rows, and may have been sent.
fn hold_recut_ones(sweep: &mut Sweep<'_>, evidence: &Evidence) {
    let why = format!("{LOST}, and later batches have rows of this one: {NEXT_STEP}");
    let in_line: Vec<(Destination, Seq)> = {
        let state = sweep.state();
        let of_all = state.queues();
        of_all
            .flat_map(|(to, queue)| queue.line.keys().map(|seq| (to.clone(), *seq)))
            .collect()
    };
    for (to, seq) in in_line {
        let info = read_info(sweep.files, &sweep.files.batch(&to, seq));
        if info.is_ok_and(|info| evidence.shows_recut_of(&to, seq, &info)) {
            sweep.hold(&to, seq, &why);
        }
    }
}

/// The rest is cut into batches that nobody sends by himself.
fn hold_suspects(sweep: &mut Sweep<'_>) -> Result<(), FileError> {
    let why = format!("{LOST}, and with them whether these rows were sent in another batch: {NEXT_STEP}");
    loop {
        let Some(plan) = sweep.state().claim_suspects() else {
            return Ok(());
        };
        match cut::write(sweep.files, &plan) {
            Ok(batch) => {
                sweep.report.suspect_shares += plan.pieces.len() as u64;
                tracing::error!(
                    table = plan.key.table,
                    shard = plan.key.shard,
                    rows = batch.rows,
                    "rows that may have been sent are held"
                );
                let pieces = plan.pieces.iter().map(Piece::taken).collect();
                let mut events = vec![taken(pieces, plan.seqs.clone(), Some(batch))];
                let named = plan.key.destinations.iter().zip(&plan.seqs);
                events.extend(named.map(|(to, seq)| held(to, *seq, &why)));
                sweep.make(Some(&plan.key), events);
            }
            Err(error) => give_up_unreadable(sweep, &plan, error)?,
        }
    }
}

/// Rows whose file is damaged too cannot be cut; the file is kept. Any other error is the disk's.
fn give_up_unreadable(sweep: &mut Sweep<'_>, plan: &CutPlan, error: FileError) -> Result<(), FileError> {
    let lost: Vec<Taken> = plan
        .pieces
        .iter()
        .filter(|piece| sources_of(sweep.files, piece).contains(&error.path))
        .map(Piece::taken)
        .collect();
    if lost.is_empty() {
        return Err(error);
    }
    tracing::error!(%error, "rows whose records are lost cannot be read either");
    sweep.report.damaged.push(error.path.clone());
    sweep.report.lost_shares += lost.len() as u64;
    if let Ok(kept) = keep(sweep.files, &error.path) {
        sweep.report.kept.push(kept);
    }
    sweep.make(Some(&plan.key), vec![taken(lost, Vec::new(), None)]);
    Ok(())
}

/// The files that a piece's rows lie in.
fn sources_of(files: &Files, piece: &Piece) -> HashSet<PathBuf> {
    let runs = piece.content.runs(piece.start, piece.take.units);
    let sources = runs.filter_map(|run| match run {
        Run::Raw { .. } => None,
        Run::Frames { .. } => Some(files.layout.staged(piece.id.0)),
        Run::File(file) => Some(files.layout.destination(&file.directory).join(&file.name)),
    });
    sources.collect()
}
