//! The state as a checkpoint, and back.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::destination::{Entry, Note, Phase, Queue};
use super::pending::{Awaited as AwaitedRows, Pending};
use super::share::{Content, Uncut};
use super::{Applied, PendingBatch, State};
use crate::doubt::Doubt;
use crate::event::{
    BatchInfo, BatchMark, Checkpoint, Commit, DestinationMark, InsertNo, PendingMark, Record, Seq, UncutMark,
    Verdict, WaitingMark,
};
use crate::model::{Destination, InsertId, LaneId};
use crate::recover::directories::Waiting;

/// Shares that a checkpoint says wait, and whose commits are still to be read from older segments: how many
/// units of each earlier cuts took.
#[derive(Debug, Default)]
pub struct Awaited(HashMap<(LaneId, InsertNo, u32), u32>);

impl Awaited {
    /// Shares that no older segment had: their commit record is lost.
    pub fn lost(&self) -> usize {
        self.0.len()
    }
}

// === writing ===

impl State {
    /// Everything but the rows. `segment` is the first journal segment whose events will not be in it.
    pub fn checkpoint(&self, segment: u64) -> Checkpoint {
        let index: BTreeMap<&Destination, u32> = self.queue_ids.keys().zip(0..).collect();
        Checkpoint {
            segment,
            next_insert: self.next_insert,
            lanes: self.lanes.iter().map(|lane| lane.key.clone()).collect(),
            uncut: self.uncut_marks(),
            pending: self.pending_marks(&index),
            destinations: self
                .queues()
                .map(|(destination, queue)| queue.mark(destination))
                .collect(),
        }
    }

    fn uncut_marks(&self) -> Vec<UncutMark> {
        let queued = self
            .lanes
            .iter()
            .zip(0..)
            .flat_map(|(lane, id)| lane.shares().map(move |share| (id, share)));
        let parked = self.pending.iter().flat_map(|(_, pending)| &pending.parked);
        let all = queued.chain(parked.map(|parked| (parked.lane.0, &parked.share)));
        all.map(|(lane, share)| UncutMark {
            lane,
            insert: share.insert,
            shard: share.shard,
            units_cut: share.start.units,
        })
        .collect()
    }

    fn pending_marks(&self, index: &BTreeMap<&Destination, u32>) -> Vec<PendingMark> {
        let open = self.pending.iter().filter(|(_, pending)| !pending.gone);
        let batch = |(destination, seq): &(Destination, Seq)| index.get(destination).map(|at| (*at, *seq));
        open.map(|(insert, pending)| PendingMark {
            insert,
            id: pending.id,
            // The withheld ones too: an abort behind the checkpoint must take them back.
            batches: pending.all_batches().filter_map(batch).collect(),
        })
        .collect()
    }
}

impl Queue {
    fn mark(&self, destination: &Destination) -> DestinationMark {
        DestinationMark {
            destination: destination.clone(),
            next_seq: self.next_seq,
            held: self.held.clone(),
            waiting: self.waiting_marks(),
            batches: self.batch_marks(),
        }
    }

    /// In order; those that were set aside where their numbers say.
    fn waiting_marks(&self) -> Vec<WaitingMark> {
        let place_of: BTreeMap<&Seq, &Seq> = self.places.iter().map(|(place, seq)| (seq, place)).collect();
        let mut waiting: Vec<_> = self.line.iter().chain(&self.aside).map(waiting_mark).collect();
        waiting.sort_by_key(|mark| place_of.get(&mark.seq).map_or(mark.seq, |place| **place));
        waiting
    }

    fn batch_marks(&self) -> Vec<BatchMark> {
        let noted = self.notes.iter().map(|(seq, note)| BatchMark {
            seq: *seq,
            attempts: note.attempts,
            doubt: note.doubt.clone(),
            verdict: self.standing(*seq, note),
        });
        let leaving = self.leaving.iter().map(|(seq, verdict)| BatchMark {
            seq: *seq,
            attempts: 0,
            doubt: Doubt::default(),
            verdict: Some(verdict.clone()),
        });
        noted.chain(leaving).collect()
    }

    /// Why a batch waits, as the verdict that made it wait; none while an attempt's outcome is not known.
    fn standing(&self, seq: Seq, note: &Note) -> Option<Verdict> {
        let error = note.error.clone().unwrap_or_default();
        match self.line.get(&seq) {
            None => Some(Verdict::Held { error }),
            Some(entry) if entry.phase == Phase::InDoubt => None,
            Some(_) => Some(Verdict::Retry { error }),
        }
    }
}

fn waiting_mark((seq, entry): (&Seq, &Entry)) -> WaitingMark {
    WaitingMark {
        seq: *seq,
        batch: entry.batch(),
    }
}

// === reading ===

impl State {
    /// The state at a checkpoint, without the shares that are awaited from older segments, and without the
    /// sizes of batches, which [`State::measure`] takes from their files.
    pub fn restore(checkpoint: &Checkpoint) -> (State, Awaited) {
        let mut state = State::new();
        state.next_insert = checkpoint.next_insert.max(1);
        let lanes: Vec<LaneId> = checkpoint
            .lanes
            .iter()
            .map(|key| state.lane_of(key.clone()))
            .collect();
        for mark in &checkpoint.destinations {
            state.queue(&mark.destination).restore(mark);
        }
        for mark in &checkpoint.pending {
            state.restore_pending(mark, &checkpoint.destinations);
        }
        let awaited = checkpoint.uncut.iter().filter_map(|mark| {
            lanes
                .get(mark.lane as usize)
                .map(|lane| ((*lane, mark.insert, mark.shard), mark.units_cut))
        });
        (state, Awaited(awaited.collect()))
    }

    fn restore_pending(&mut self, mark: &PendingMark, destinations: &[DestinationMark]) {
        // What it awaits is in its commit record, as long as a share of it is uncut; behind that it makes no difference.
        let mut pending = Pending::new(mark.id, AwaitedRows::Local);
        for (at, seq) in &mark.batches {
            let Some(destination) = destinations.get(*at as usize).map(|mark| &mark.destination) else {
                continue;
            };
            pending.batches.insert((destination.clone(), *seq));
            // What else is in the batch is not in the checkpoint: as if it were, so that nothing is undone by
            // mistake.
            let unknown = PendingBatch {
                has_others: true,
                ..PendingBatch::default()
            };
            let batch = self.queue(destination).pending.entry(*seq).or_insert(unknown);
            batch.inserts.insert(mark.insert);
        }
        self.pending.insert(mark.insert, pending);
    }

    /// Takes the awaited shares from a record of a segment that is older than the checkpoint.
    pub fn revive(
        &mut self,
        record: &Record,
        contents: Vec<Arc<Content>>,
        at: Applied,
        awaited: &mut Awaited,
    ) {
        let tables = self.tables(record);
        let mut contents = contents.into_iter();
        let commits = record.events.iter().filter_map(Commit::of);
        for commit in commits {
            let awaited_rows = AwaitedRows::of(commit.awaits, &tables.lanes);
            if let (Some(pending), Some(rows)) = (self.pending.get_mut(commit.number), awaited_rows) {
                pending.awaited = rows;
            }
            let token: Option<Arc<str>> = commit.token.as_deref().map(Arc::from);
            for (share, content) in commit.shares.iter().zip(contents.by_ref()) {
                let Some(shape) = tables.shapes.get(share.shape as usize) else {
                    continue;
                };
                let whole = Uncut::whole(commit, share.shard, token.clone(), content, at);
                for lane in share
                    .lanes
                    .iter()
                    .filter_map(|lane| tables.lanes.get(*lane as usize))
                {
                    if let Some(units_cut) = awaited.0.remove(&(*lane, commit.number, share.shard)) {
                        let mut rest = whole.clone();
                        rest.advance(units_cut);
                        self.enqueue(*lane, shape, rest);
                    }
                }
            }
        }
    }

    /// Every batch that waits there, set aside or not, by number.
    pub fn waiting_at(&self, destination: &Destination) -> Vec<Waiting> {
        let Some(queue) = self.get_queue(destination) else {
            return Vec::new();
        };
        let of = |(seq, entry): (&Seq, &Entry)| Waiting {
            seq: *seq,
            is_measured: entry.file_bytes > 0,
        };
        let mut waiting: Vec<Waiting> = queue.line.iter().chain(&queue.aside).map(of).collect();
        waiting.sort_unstable_by_key(|waiting| waiting.seq);
        waiting
    }

    /// Batches that were settled there, and whose files may still lie in their place.
    pub fn leaving_from(&self, destination: &Destination) -> Vec<(Seq, Verdict)> {
        let leaving = self.get_queue(destination).map(|queue| &queue.leaving);
        let leaving = leaving.into_iter().flatten();
        leaving.map(|(seq, verdict)| (*seq, verdict.clone())).collect()
    }

    /// INSERTs with rows that wait in a lane to the destination, parked ones included.
    pub fn inserts_waiting_for(&self, destination: &Destination) -> HashSet<InsertId> {
        let leads_there = |lane: &LaneId| self.lanes[lane.index()].key.destinations.contains(destination);
        let parked = self.pending.iter().flat_map(|(_, pending)| &pending.parked);
        let parked = parked
            .filter(|parked| leads_there(&parked.lane))
            .map(|parked| parked.share.id);
        let lanes = self
            .get_queue(destination)
            .into_iter()
            .flat_map(|queue| &queue.lanes);
        let queued = lanes
            .flat_map(|lane| self.lanes[lane.index()].shares())
            .map(|share| share.id);
        queued.chain(parked).collect()
    }

    /// INSERTs whose staged file is needed.
    pub fn staged_inserts(&self) -> impl Iterator<Item = InsertId> {
        self.staged_users.keys().copied()
    }

    /// Batch files, written while their INSERTs were read, that are needed: directory and name.
    pub fn needed_files(&self) -> impl Iterator<Item = (&Destination, &str)> {
        self.file_users
            .keys()
            .map(|(directory, name)| (directory, name.as_str()))
    }

    /// Enters what the batch's file says.
    pub fn measure(&mut self, destination: &Destination, seq: Seq, batch: &BatchInfo) {
        self.queue(destination).measure(seq, batch);
    }
}

impl Commit {
    fn of(event: &crate::event::Event) -> Option<&Commit> {
        match event {
            crate::event::Event::Commit(commit) => Some(commit),
            _ => None,
        }
    }
}

impl Queue {
    fn restore(&mut self, mark: &DestinationMark) {
        for waiting in &mark.waiting {
            self.insert(waiting.seq, Entry::of(&waiting.batch));
        }
        self.restore_places(&mark.waiting);
        self.next_seq = self.next_seq.max(mark.next_seq);
        self.held.clone_from(&mark.held);
        for batch in &mark.batches {
            self.restore_batch(batch);
        }
    }

    /// One before a lower number is a joined batch. It took the numbers of at least two that stood between its neighbours, so there
    /// is a free one right before the next.
    fn restore_places(&mut self, in_order: &[WaitingMark]) {
        let mut next = Seq::MAX;
        for mark in in_order.iter().rev() {
            if mark.seq < next {
                next = mark.seq;
            } else {
                next -= 1;
                self.places.insert(next, mark.seq);
            }
        }
    }

    fn restore_batch(&mut self, mark: &BatchMark) {
        if mark.attempts > 0 {
            self.tried(mark.seq, mark.attempts, mark.doubt.clone());
        }
        match &mark.verdict {
            None | Some(Verdict::Requeued) => {}
            Some(Verdict::Retry { error }) => self.retry(mark.seq, error),
            Some(Verdict::Held { error }) => self.set_aside(mark.seq, error),
            Some(gone @ (Verdict::Acknowledged | Verdict::Broken { .. } | Verdict::Dropped)) => {
                self.leaving.insert(mark.seq, gone.clone());
            }
        }
    }

    /// Enters the sizes of a batch that was restored without.
    fn measure(&mut self, seq: Seq, batch: &BatchInfo) {
        if let Some(mut entry) = self.line.remove(&seq) {
            self.waiting.files -= 1;
            entry = Entry {
                phase: entry.phase,
                ..Entry::of(batch)
            };
            self.insert(seq, entry);
        } else if let Some(entry) = self.aside.get_mut(&seq) {
            *entry = Entry {
                phase: entry.phase,
                ..Entry::of(batch)
            };
            self.held_batches.add(crate::status::Tally {
                files: 0,
                ..entry.tally()
            });
        }
    }
}
