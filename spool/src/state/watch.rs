//! INSERTs whose way to their shards is followed: by a client that waits until all have its rows, or by whoever asks what became
//! of a receipt. Pure.
//!
//! A watch is fed by the same events as the queue itself. One that begins with its commit knows every place of its INSERT. One
//! that begins later (after a restart, or when it had been forgotten) finds in the state what waits for its cut, and is told by
//! `receipt.rs`, which reads the files, in which batches the rest is; until then it is not whole.
//!
//! A watch that nobody attends is kept while its rows are under way, for the client that comes back. All of those together
//! have at most [`KEPT_WEIGHT_MAX`] places and batches; the one left first is forgotten first.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use super::State;
use super::destination::Queue;
use super::receipts::KnownReceipt;
use crate::event::{Commit, Cut, InsertNo, Recut, Seq, Taken, Verdict};
use crate::model::{Destination, InsertId, LaneId};
use crate::receipt::{Receipt, ReceiptShare, ReceiptState};

/// Places and batches of watches that nobody attends: some 3 MiB.
const KEPT_WEIGHT_MAX: usize = 16_384;

/// A share in a lane: the lane, and the shard's index in its INSERT.
type Uncut = (LaneId, u32);

/// All of them.
#[derive(Debug, Default)]
pub struct Watches {
    by_id: HashMap<InsertId, Watch>,
    ids: HashMap<InsertNo, InsertId>,
    /// INSERTs whose commit is about to be applied, and that somebody attends.
    announced: HashSet<InsertId>,
    /// Which of them have rows in a batch.
    in_batch: HashMap<Destination, BTreeMap<Seq, BTreeSet<InsertId>>>,
    /// Those that nobody attends, the one left first in front. May name some that are attended again, or gone.
    left: VecDeque<InsertId>,
}

/// One of them.
#[derive(Debug)]
struct Watch {
    number: InsertNo,
    accepted_at_ms: u64,
    rows: u64,
    raw_bytes: u64,
    places: BTreeMap<Destination, Place>,
    /// Every batch with rows of it is known.
    is_whole: bool,
    /// Who waits, or is about to.
    attended: usize,
}

/// The INSERT's rows at one destination.
#[derive(Debug, Default)]
struct Place {
    /// Shares in lanes that lead there.
    uncut: BTreeSet<Uncut>,
    /// Batches that wait there, in line or aside.
    batches: BTreeSet<Seq>,
    /// Batches that ended elsewhere than on the shard, and why.
    ended: BTreeMap<Seq, String>,
}

impl Place {
    fn is_delivered(&self) -> bool {
        self.uncut.is_empty() && self.batches.is_empty() && self.ended.is_empty()
    }
}

impl Watch {
    fn is_delivered(&self) -> bool {
        self.is_whole && self.places.values().all(Place::is_delivered)
    }

    fn weight(&self) -> usize {
        let batches = self.places.values().map(|place| place.batches.len());
        1 + self.places.len() + batches.sum::<usize>()
    }

    fn place(&mut self, to: &Destination) -> &mut Place {
        self.places.entry(to.clone()).or_default()
    }
}

// === who attends ===

impl Watches {
    /// The INSERT's commit is about to be applied: it is watched from its first moment on, and attended once.
    pub fn announce(&mut self, insert: InsertId) {
        self.announced.insert(insert);
    }

    /// Attends a watch, if there is one; whether it is whole.
    pub fn attend(&mut self, insert: InsertId) -> Option<bool> {
        let watch = self.by_id.get_mut(&insert)?;
        watch.attended += 1;
        Some(watch.is_whole)
    }

    /// Somebody waits no longer; whether nobody else does.
    pub fn leave(&mut self, insert: InsertId) -> bool {
        let Some(watch) = self.by_id.get_mut(&insert) else {
            return true;
        };
        watch.attended = watch.attended.saturating_sub(1);
        if watch.attended > 0 {
            return false;
        }
        if watch.is_whole && !watch.is_delivered() {
            self.left.push_back(insert);
            self.forget_excess();
        } else {
            self.forget(insert);
        }
        true
    }

    fn forget_excess(&mut self) {
        let Watches { left, by_id, .. } = self;
        let is_left = |insert: &InsertId| by_id.get(insert).is_some_and(|watch| watch.attended == 0);
        left.retain(is_left);
        let mut weight: usize = left.iter().map(|insert| by_id[insert].weight()).sum();
        while weight > KEPT_WEIGHT_MAX {
            let Some(insert) = self.left.pop_front() else {
                return;
            };
            weight -= self.by_id.get(&insert).map_or(0, Watch::weight);
            self.forget(insert);
        }
    }

    fn forget(&mut self, insert: InsertId) {
        let Some(watch) = self.by_id.remove(&insert) else {
            return;
        };
        self.ids.remove(&watch.number);
        for (to, place) in &watch.places {
            for seq in &place.batches {
                self.not_in(insert, to, *seq);
            }
        }
    }
}

// === what happens ===

impl Watches {
    /// Whether the INSERT's commit is announced: then it is watched from now on.
    pub fn committed(&mut self, commit: &Commit) -> bool {
        if !self.announced.remove(&commit.insert) {
            return false;
        }
        self.ids.insert(commit.number, commit.insert);
        let watch = Watch {
            number: commit.number,
            accepted_at_ms: commit.committed_at_ms,
            rows: 0,
            raw_bytes: 0,
            places: BTreeMap::new(),
            is_whole: true,
            attended: 1,
        };
        self.by_id.insert(commit.insert, watch);
        true
    }

    fn of(&mut self, number: InsertNo) -> Option<(InsertId, &mut Watch)> {
        let insert = *self.ids.get(&number)?;
        Some((insert, self.by_id.get_mut(&insert)?))
    }

    /// Whether it is followed.
    pub fn is_watched(&self, number: InsertNo) -> bool {
        self.ids.contains_key(&number)
    }

    /// A share of it waits in a lane that leads there.
    fn uncut(&mut self, number: InsertNo, destinations: &[Destination], share: Uncut) {
        if let Some((_, watch)) = self.of(number) {
            for to in destinations {
                watch.place(to).uncut.insert(share);
            }
        }
    }

    /// Rows of a share are in a batch now; `is_all`: nothing of it waits in the lane any more.
    fn cut(&mut self, number: InsertNo, share: Uncut, is_all: bool, batches: &[(Destination, Seq)]) {
        let Some((insert, watch)) = self.of(number) else {
            return;
        };
        for (to, seq) in batches {
            let place = watch.place(to);
            place.batches.insert(*seq);
            if is_all {
                place.uncut.remove(&share);
            }
        }
        for (to, seq) in batches {
            self.now_in(insert, to, *seq);
        }
    }

    fn now_in(&mut self, insert: InsertId, to: &Destination, seq: Seq) {
        let batches = self.in_batch.entry(to.clone()).or_default();
        batches.entry(seq).or_default().insert(insert);
    }

    fn not_in(&mut self, insert: InsertId, to: &Destination, seq: Seq) {
        let Some(batches) = self.in_batch.get_mut(to) else {
            return;
        };
        if let Some(inserts) = batches.get_mut(&seq) {
            inserts.remove(&insert);
            if inserts.is_empty() {
                batches.remove(&seq);
            }
        }
        if batches.is_empty() {
            self.in_batch.remove(to);
        }
    }

    /// The watched INSERTs with rows in a batch.
    fn inserts_in(&self, to: &Destination, seq: Seq) -> Vec<InsertId> {
        let inserts = self.in_batch.get(to).and_then(|batches| batches.get(&seq));
        inserts.into_iter().flatten().copied().collect()
    }

    /// Something was decided about a batch: the INSERTs for which that is news.
    pub fn settled(&mut self, to: &Destination, seq: Seq, verdict: &Verdict) -> Vec<InsertId> {
        let moved = self.inserts_in(to, seq);
        let end = match verdict {
            Verdict::Acknowledged => None,
            Verdict::Broken { error } => Some(error.clone()),
            Verdict::Dropped => Some("an operator dropped the batch".to_owned()),
            Verdict::Retry { .. } => return Vec::new(),
            Verdict::Held { .. } | Verdict::Requeued => return moved,
        };
        for insert in &moved {
            self.ended(*insert, to, seq, end.clone());
        }
        moved
    }

    /// A batch waits no longer; without a reason its shard has it.
    fn ended(&mut self, insert: InsertId, to: &Destination, seq: Seq, why: Option<String>) {
        self.not_in(insert, to, seq);
        let Some(watch) = self.by_id.get_mut(&insert) else {
            return;
        };
        let place = watch.place(to);
        place.batches.remove(&seq);
        place.ended.extend(why.map(|why| (seq, why)));
        if watch.attended == 0 && watch.is_delivered() {
            self.forget(insert);
        }
    }

    /// Rows of a batch, or of a file in broken/, are in other batches now.
    pub fn recut(&mut self, to: &Destination, seq: Seq, into: &[Recut]) -> Vec<InsertId> {
        let watched = into.iter().filter(|piece| self.by_id.contains_key(&piece.insert));
        let moved: Vec<(InsertId, Seq)> = watched.map(|piece| (piece.insert, piece.seq)).collect();
        for (insert, new) in &moved {
            if let Some(watch) = self.by_id.get_mut(insert) {
                let place = watch.place(to);
                place.batches.remove(&seq);
                place.ended.remove(&seq);
                place.batches.insert(*new);
            }
            self.not_in(*insert, to, seq);
            self.now_in(*insert, to, *new);
        }
        moved.into_iter().map(|(insert, _)| insert).collect()
    }

    /// Rows of batches that nobody tried are in one batch now, which says nothing new of them.
    pub fn joined(&mut self, to: &Destination, seqs: &[Seq], into: Seq) {
        for seq in seqs {
            for insert in self.inserts_in(to, *seq) {
                self.not_in(insert, to, *seq);
                self.now_in(insert, to, into);
                if let Some(watch) = self.by_id.get_mut(&insert) {
                    let place = watch.place(to);
                    place.batches.remove(seq);
                    place.batches.insert(into);
                }
            }
        }
    }

    /// It is undone.
    pub fn aborted(&mut self, number: InsertNo) -> Option<InsertId> {
        let insert = self.ids.get(&number).copied()?;
        self.forget(insert);
        Some(insert)
    }
}

// === watches of INSERTs that were committed before ===

impl Watches {
    fn again(&mut self, known: &KnownReceipt) {
        self.ids.insert(known.number, known.insert);
        let watch = Watch {
            number: known.number,
            accepted_at_ms: known.at_ms,
            rows: known.rows,
            raw_bytes: known.raw_bytes,
            places: BTreeMap::new(),
            is_whole: false,
            attended: 1,
        };
        self.by_id.insert(known.insert, watch);
    }

    /// A file says that a batch which is not on its shard, and does not wait, has rows of it.
    pub fn found_ended(&mut self, insert: InsertId, to: &Destination, seq: Seq, why: String) {
        self.ended(insert, to, seq, Some(why));
    }

    /// Whether all is known of it; also when it is watched no more.
    pub fn is_whole(&self, insert: InsertId) -> bool {
        self.by_id.get(&insert).is_none_or(|watch| watch.is_whole)
    }

    /// Every file was looked at.
    pub fn whole(&mut self, insert: InsertId) {
        if let Some(watch) = self.by_id.get_mut(&insert) {
            watch.is_whole = true;
        }
    }
}

impl State {
    /// A share of a watched INSERT joins a lane. Its client waits for all of its shards: so it is cut at once, but for a local
    /// replica's, which is cut as soon as that has nothing else to do.
    pub(super) fn watch_uncut(&mut self, number: InsertNo, id: LaneId, shard: u32) {
        let lane = &mut self.lanes[id.index()];
        if !lane.key.local {
            lane.flush_through = lane.flush_through.max(number);
        }
        self.watches.uncut(number, &lane.key.destinations, (id, shard));
        self.reschedule(id);
    }

    /// A cut took of a lane's share.
    pub(super) fn watch_cut(&mut self, id: LaneId, taken: &Taken, is_all: bool, cut: &Cut) {
        if !self.watches.is_watched(taken.insert) {
            return;
        }
        let destinations = self.lanes[id.index()].key.destinations.iter().cloned();
        let batches: Vec<_> = destinations.zip(cut.seqs.iter().copied()).collect();
        let share = (id, taken.shard);
        self.watches.cut(taken.insert, share, is_all, &batches);
    }

    /// What a committed INSERT holds.
    pub(super) fn watch_sizes(&mut self, number: InsertNo, rows: u64, raw_bytes: u64) {
        if let Some((_, watch)) = self.watches.of(number) {
            (watch.rows, watch.raw_bytes) = (rows, raw_bytes);
        }
    }

    /// Watches an INSERT that was committed before, and attends it: from now on nothing of it happens unseen. Which of the
    /// waiting batches have rows of it is to be told.
    pub fn watch_again(&mut self, known: &KnownReceipt) {
        self.watches.again(known);
        let parked = self.pending.get(known.number).into_iter();
        let parked = parked.flat_map(|pending| &pending.parked);
        let mut uncut: Vec<Uncut> = parked.map(|parked| (parked.lane, parked.share.shard)).collect();
        for (id, lane) in (0..).map(LaneId).zip(&self.lanes) {
            let of_insert = lane.shares().filter(|share| share.insert == known.number);
            uncut.extend(of_insert.map(|share| (id, share.shard)));
        }
        for (id, shard) in uncut {
            let destinations = &self.lanes[id.index()].key.destinations;
            self.watches.uncut(known.number, destinations, (id, shard));
        }
    }

    /// Somebody waits for it: what is not cut is cut at once.
    pub fn hurry(&mut self, insert: InsertId) {
        let Some(watch) = self.watches.by_id.get(&insert) else {
            return;
        };
        let number = watch.number;
        let uncut: BTreeSet<Uncut> = watch
            .places
            .values()
            .flat_map(|place| &place.uncut)
            .copied()
            .collect();
        for (id, shard) in uncut {
            self.watch_uncut(number, id, shard);
        }
    }

    /// A file says that a batch has rows of a watched INSERT. Whether it still waits: one that does not says nothing any more.
    pub fn watch_found(&mut self, insert: InsertId, to: &Destination, seq: Seq) -> bool {
        let waits = self.get_queue(to).is_some_and(|queue| queue.holds(seq));
        if let Some(watch) = self.watches.by_id.get_mut(&insert).filter(|_| waits) {
            watch.place(to).batches.insert(seq);
            self.watches.now_in(insert, to, seq);
        }
        waits
    }

    /// How far a watched INSERT has come; none while not all is known.
    pub fn receipt(&self, insert: InsertId) -> Option<Receipt> {
        let watch = self.watches.by_id.get(&insert).filter(|watch| watch.is_whole)?;
        let shares = watch.places.iter();
        Some(Receipt {
            insert,
            accepted_at_ms: watch.accepted_at_ms,
            rows: watch.rows,
            raw_bytes: watch.raw_bytes,
            shares: shares.map(|(to, place)| self.share_at(to, place)).collect(),
        })
    }

    fn share_at(&self, to: &Destination, place: &Place) -> ReceiptShare {
        let (state, reason) = match self.get_queue(to) {
            Some(queue) => fate(queue, place),
            None => (ReceiptState::Accepted, None),
        };
        let in_line = |seq: &Seq| {
            self.get_queue(to)
                .is_some_and(|queue| queue.line.contains_key(seq))
        };
        ReceiptShare {
            destination: to.clone(),
            state,
            reason,
            goes_on: !place.uncut.is_empty() || place.batches.iter().any(in_line),
        }
    }
}

/// The worst that is to be said of rows at a destination, and why.
fn fate(queue: &Queue, place: &Place) -> (ReceiptState, Option<String>) {
    if let Some((_, why)) = place.ended.first_key_value() {
        return (ReceiptState::Broken, Some(why.clone()));
    }
    if place.is_delivered() {
        return (ReceiptState::Delivered, None);
    }
    if let Some(seq) = place.batches.iter().find(|seq| queue.aside.contains_key(seq)) {
        let why = format!("batch {seq} is set aside: {}", queue.error_of(*seq));
        return (ReceiptState::Held, Some(why));
    }
    if let Some(why) = queue.refuses_all() {
        return (ReceiptState::Held, Some(why));
    }
    let is_tried = |seq: &&Seq| {
        let entry = queue.line.get(seq);
        queue.leased.contains(seq) || entry.is_some_and(|entry| !entry.is_untried())
    };
    match place.batches.iter().find(is_tried) {
        Some(_) => (ReceiptState::Sending, queue.stalled()),
        None => (ReceiptState::Accepted, queue.stalled()),
    }
}

#[cfg(test)]
mod tests;
