//! Records of the journal that had been synced are missing: what is known from before may have changed in them.
//!
//! | What is known | What may have happened | What becomes of it |
//! |---|---|---|
//! | a share that waits for its cut | it was cut, sent, settled | a *suspect*, until a later record cuts it: recovery looks for its rows in the files, and holds what it does not find (`recover/suspect.rs`) |
//! | a batch in line | it was tried, settled, cut again | in doubt: repeated as it is, under its token |
//! | a pending INSERT | `go`, `abort` | its rows are held, unless a later record tells |
//!
//! What is committed behind the damage cannot have been in it, and goes on as ever.

use super::destination::{Phase, Queue};
use super::lane::CutPlan;
use super::pending::Pending;
use super::share::Uncut;
use super::{Lane, State};
use crate::bin_file::Trailer;
use crate::event::{InsertNo, Seq, Taken};
use crate::model::{Destination, InsertId, LaneId, LaneKey};

/// A share that may have been cut in records that are lost; as far as is known, nothing of it was.
#[derive(Debug, Clone)]
pub struct Suspect {
    /// The lane it waits in.
    pub lane: LaneKey,
    /// How a cut would name all of it.
    pub taken: Taken,
    /// Its INSERT.
    pub insert: InsertId,
    /// All its rows.
    pub rows: u64,
    /// Their raw bytes.
    pub raw_bytes: u64,
}

/// A pending INSERT whose `go` or `abort` may be lost.
#[derive(Debug, Clone)]
pub struct Undecided {
    /// Which one.
    pub insert: InsertNo,
    /// Its batches that wait.
    pub batches: Vec<(Destination, Seq)>,
}

impl State {
    /// Records are missing at this place of the journal. What this process accepted since is in no doubt; none of it is pending
    /// before the directories are read.
    pub fn doubt_all(&mut self) {
        self.is_doubted = true;
        let before = self.unswept.unwrap_or(InsertNo::MAX);
        let shares = self.lanes.iter_mut().flat_map(Lane::shares_mut);
        for share in shares.filter(|share| share.insert < before) {
            share.suspect = true;
        }
        let mut withheld = Vec::new();
        for pending in self.pending.iter_mut().filter(|pending| !pending.gone) {
            pending.is_doubted = true;
            for parked in &mut pending.parked {
                parked.share.suspect = true;
            }
            // After a lost `go` they may have been sent.
            let of_insert = std::mem::take(&mut pending.withheld);
            withheld.extend(of_insert.iter().cloned());
            pending.batches.extend(of_insert);
        }
        for (destination, seq) in withheld {
            self.queue(&destination).withheld.remove(&seq);
        }
        self.queues.iter_mut().for_each(Queue::doubt_all);
    }

    /// Whether records are missing.
    pub fn is_doubted(&self) -> bool {
        self.is_doubted
    }

    /// Pending INSERTs that no record behind the damage decided.
    pub fn undecided(&self) -> Vec<Undecided> {
        let open = self.pending.iter().filter(|(_, pending)| pending.is_undecided());
        let mut undecided: Vec<Undecided> = open
            .map(|(insert, pending)| Undecided {
                insert,
                batches: pending.all_batches().cloned().collect(),
            })
            .collect();
        undecided.sort_unstable_by_key(|undecided| undecided.insert);
        undecided
    }

    /// Pending INSERTs of which nothing is left, since their record is lost.
    pub fn hollow_inserts(&self) -> Vec<InsertNo> {
        let is_hollow = |pending: &Pending| {
            let has_rows = pending.uncut > 0 || !pending.parked.is_empty();
            !pending.gone && !has_rows && pending.all_batches().next().is_none()
        };
        let open = self.pending.iter().filter(|(_, pending)| is_hollow(pending));
        open.map(|(insert, _)| insert).collect()
    }

    /// The batch's pending INSERTs, where `go` may be lost: a verdict says that it was recorded.
    pub(super) fn undecided_in(&self, to: &Destination, seq: Seq) -> Vec<InsertNo> {
        let batch = self.get_queue(to).and_then(|queue| queue.pending.get(&seq));
        let inserts = batch.into_iter().flat_map(|batch| &batch.inserts).copied();
        inserts
            .filter(|insert| {
                self.pending
                    .get(*insert)
                    .is_some_and(|pending| pending.is_undecided())
            })
            .collect()
    }

    /// Shares that may have been cut whole.
    pub fn suspects(&self) -> Vec<Suspect> {
        let of = |lane: &Lane| -> Vec<Suspect> {
            let untouched = lane.shares().filter(|share| share.suspect && !share.is_rest());
            untouched.map(|share| share.as_suspect(&lane.key)).collect()
        };
        self.lanes.iter().flat_map(of).collect()
    }

    /// The next batch of suspects.
    pub fn claim_suspects(&mut self) -> Option<CutPlan> {
        let planned = |(lane, id): (&Lane, u32)| Some((LaneId(id), lane.plan_suspects()?));
        let (id, (shape, pieces, total)) = self.lanes.iter().zip(0..).find_map(planned)?;
        Some(self.plan_of(id, shape, pieces, total))
    }

    /// What a cut would have taken for a batch of these rows, all of them at the front of what waits; `None` when some wait
    /// otherwise, or not at all.
    pub fn matching_cut(
        &self,
        destination: &Destination,
        trailer: &Trailer,
    ) -> Option<(LaneKey, Vec<Taken>)> {
        let Trailer {
            shape,
            segments,
            token,
            ..
        } = trailer;
        let lanes = &self.get_queue(destination)?.lanes;
        lanes.iter().find_map(|id| {
            let lane = &self.lanes[id.index()];
            let queue = lane.queues.iter().find(|queue| *queue.shape == *shape)?;
            let mut shares = queue.shares.iter();
            // In commit order on both sides.
            let taken = segments.iter().map(|segment| {
                let share = shares.find(|share| share.id == segment.insert)?;
                let units = share.units_of(span(&segment.rows), span(&segment.raw))?;
                // A piece of the same size is another one.
                let own = share.client_token(shape, &lane.key.shard, span(&segment.rows));
                own.is_none_or(|own| own == *token).then(|| share.taken(units))
            });
            Some((lane.key.clone(), taken.collect::<Option<Vec<Taken>>>()?))
        })
    }

    /// Whether the INSERT has rows for that destination which may not be cut before its `go`.
    pub fn parks(&self, destination: &Destination, insert: InsertId) -> bool {
        let pending = self
            .pending
            .number(insert)
            .and_then(|number| self.pending.get(number));
        let mut parked = pending.into_iter().flat_map(|pending| &pending.parked);
        parked.any(|parked| {
            self.lanes[parked.lane.index()]
                .key
                .destinations
                .contains(destination)
        })
    }
}

fn span(range: &std::ops::Range<u64>) -> u64 {
    range.end.saturating_sub(range.start)
}

impl Uncut {
    fn as_suspect(&self, lane: &LaneKey) -> Suspect {
        Suspect {
            lane: lane.clone(),
            taken: self.taken(self.end().units),
            insert: self.id,
            rows: self.rows,
            raw_bytes: self.raw_bytes,
        }
    }

    fn taken(&self, units: u32) -> Taken {
        Taken {
            insert: self.insert,
            shard: self.shard,
            units,
        }
    }
}

impl Queue {
    /// Any batch in line may have been tried.
    fn doubt_all(&mut self) {
        for (seq, entry) in &mut self.line {
            entry.phase = Phase::InDoubt;
            let note = self.notes.entry(*seq).or_default();
            note.attempts = note.attempts.max(1);
            note.doubt.began_somewhere();
        }
    }
}
