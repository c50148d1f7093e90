//! What the queue knows, and what each event does to it. Pure: no file, no clock, no thread.
//!
//! [`State::apply`] is the one definition of what a record means; it runs after the record is on disk, and again at
//! recovery. [`decide`] says which events a request leads to. Both leave [`Effect`]s to be carried out by others.
//!
//! Beside the events only three things change it, none of which needs to survive a restart: which lanes are being cut
//! ([`State::claim_cut`]), which destinations have a sender at work, and which settled files have reached their place.

pub mod checkpoint;
pub mod decide;
pub mod destination;
pub mod lane;
pub mod pending;
pub mod share;
mod status;

#[cfg(test)]
mod check;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use self::destination::{Entry, Queue};
use self::lane::{CutPlan, Lane, NEVER};
use self::pending::{Parked, Pending, PendingInserts};
use self::share::{Content, Cursor, SHARE_OVERHEAD_BYTES, Uncut};
use crate::batch::{PendingOutcome, ShardRefusal};
use crate::event::{Commit, Cut, Event, InsertNo, Record, Recut, Seq, StagedFile, Verdict};
use crate::model::{BatchLimits, Destination, InsertId, LaneId, LaneKey, LaneSpec, Shape};

/// Shapes that are kept before those that no share has any more are looked for.
const SHAPES_BEFORE_PRUNING: usize = 1024;

/// Everything the queue knows.
#[derive(Debug, Default)]
pub struct State {
    lanes: Vec<Lane>,
    lane_ids: HashMap<LaneKey, LaneId>,
    queues: Vec<Queue>,
    queue_ids: BTreeMap<Destination, usize>,
    /// Each shape once: lanes tell shapes apart by content, which is quick where it is the same allocation.
    shapes: HashSet<Arc<Shape>>,
    pending: PendingInserts,
    next_insert: InsertNo,
    /// Lanes by the moment their next cut is due, and the moment each is listed under.
    due: BTreeSet<(u64, LaneId)>,
    listed: HashMap<LaneId, u64>,
    /// Uncut shares that lie in each journal segment: one with none can go.
    uncut_in_segment: BTreeMap<u64, u64>,
    /// Shares that still need their INSERT's staged file.
    staged_users: HashMap<InsertId, u64>,
    /// Shares that still need a batch file which was written while its INSERT was read.
    file_users: HashMap<(Destination, String), u64>,
    /// Bytes of memory that uncut shares take.
    uncut_memory_bytes: u64,
}

/// What is left to be done after an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// The destination may have something for its sender.
    Wake(Destination),
    /// The client of a pending INSERT can be answered.
    Answer {
        /// The INSERT.
        insert: InsertId,
        /// How its wait ended.
        outcome: PendingOutcome,
    },
    /// The file of a settled batch belongs elsewhere.
    Depart {
        /// Its destination.
        destination: Destination,
        /// Its number.
        seq: Seq,
    },
    /// Nobody needs this INSERT's staged file any more.
    RemoveStaged(InsertId),
    /// Nobody needs this file any more.
    RemoveTemporary(StagedFile),
}

/// Where and when a record is applied.
#[derive(Debug, Clone, Copy)]
pub struct Applied {
    /// The journal segment it lies in.
    pub segment: u64,
    /// Milliseconds of the spool's own clock.
    pub now: u64,
}

/// A record's tables in this state's terms.
struct Tables {
    lanes: Vec<LaneId>,
    shapes: Vec<Arc<Shape>>,
}

// === what is known of lanes and destinations ===

impl State {
    /// A spool that never held anything.
    pub fn new() -> State {
        State {
            next_insert: 1,
            ..State::default()
        }
    }

    /// The lane of that spec; its limits become the spec's.
    pub fn lane(&mut self, spec: &LaneSpec) -> LaneId {
        let id = self.lane_of(LaneKey::from(spec));
        self.lanes[id.index()].limits = spec.limits;
        self.reschedule(id);
        id
    }

    /// The lane of that key; one found in the journal has the default limits until the configuration names it.
    fn lane_of(&mut self, key: LaneKey) -> LaneId {
        if let Some(id) = self.lane_ids.get(&key) {
            return *id;
        }
        let id = LaneId(self.lanes.len() as u32);
        for destination in &key.destinations {
            let queue = self.queue(destination);
            queue.lanes.push(id);
            if key.local {
                queue.local_lanes.push(id);
            }
        }
        self.lane_ids.insert(key.clone(), id);
        self.lanes.push(Lane::new(key, BatchLimits::default()));
        id
    }

    /// A lane, unless it is another spool's.
    pub fn get_lane(&self, id: LaneId) -> Option<&Lane> {
        self.lanes.get(id.index())
    }

    /// A destination's queue, made when it is new.
    pub fn queue(&mut self, destination: &Destination) -> &mut Queue {
        let id = match self.queue_ids.get(destination) {
            Some(id) => *id,
            None => {
                self.queue_ids.insert(destination.clone(), self.queues.len());
                self.queues.push(Queue::new());
                self.queues.len() - 1
            }
        };
        &mut self.queues[id]
    }

    /// A destination's queue, if it was ever named.
    pub fn get_queue(&self, destination: &Destination) -> Option<&Queue> {
        self.queue_ids.get(destination).map(|id| &self.queues[*id])
    }

    /// Every destination and its queue.
    pub fn queues(&self) -> impl Iterator<Item = (&Destination, &Queue)> {
        self.queue_ids
            .iter()
            .map(|(destination, id)| (destination, &self.queues[*id]))
    }

    /// The number that the next INSERT gets.
    pub fn next_insert(&self) -> InsertNo {
        self.next_insert
    }

    /// INSERTs that await `go` or `abort`, in commit order.
    pub fn open_pending(&self) -> Vec<InsertId> {
        let open = self.pending.iter().filter(|(_, pending)| !pending.gone);
        let by_number: BTreeMap<InsertNo, InsertId> = open.map(|(no, pending)| (no, pending.id)).collect();
        by_number.into_values().collect()
    }

    /// Why an INSERT with rows for that local lane is not to be waited for; `None` when it is.
    pub fn stalled(&self, lane: LaneId) -> Option<String> {
        let key = &self.get_lane(lane)?.key;
        key.destinations
            .iter()
            .find_map(|destination| self.get_queue(destination)?.stalled())
    }

    /// Whether some uncut share needs the INSERT's staged file.
    pub fn needs_staged(&self, insert: InsertId) -> bool {
        self.staged_users.contains_key(&insert)
    }

    /// Whether some uncut share needs that file.
    pub fn needs_file(&self, directory: &Destination, name: &str) -> bool {
        self.file_users
            .contains_key(&(directory.clone(), name.to_owned()))
    }

    /// Bytes of memory that uncut shares take.
    pub fn uncut_memory_bytes(&self) -> u64 {
        self.uncut_memory_bytes
    }

    /// Whether a share in that journal segment waits for its cut.
    pub fn segment_has_uncut(&self, segment: u64) -> bool {
        self.uncut_in_segment.contains_key(&segment)
    }
}

// === cutting ===

impl State {
    /// When the next cut is due; `None` when nothing waits for time.
    pub fn next_due(&self) -> Option<u64> {
        self.due.first().map(|(due, _)| *due).filter(|due| *due != NEVER)
    }

    /// The next batch to cut, if one is due at `now`, or at once under memory pressure. Its lane is cut by nobody else
    /// until the record is applied or [`State::cut_failed`] is called.
    pub fn claim_cut(&mut self, now: u64, pressed: bool) -> Option<CutPlan> {
        let (due, id) = *self.due.first()?;
        let blocked = self.lanes[id.index()].not_before > now;
        if blocked || (due > now && !pressed) {
            return None;
        }
        let idle = self.is_idle(id);
        let lane = &mut self.lanes[id.index()];
        let (shape, pieces, total) = lane.plan(idle)?;
        lane.cutting = true;
        let key = lane.key.clone();
        let seqs = key
            .destinations
            .iter()
            .map(|destination| self.queue(destination).reserve())
            .collect();
        self.reschedule(id);
        Some(CutPlan {
            lane: id,
            key,
            shape,
            pieces,
            seqs,
            total,
        })
    }

    /// A claimed cut was not made: its shares wait again, until `retry_at` at least.
    pub fn cut_failed(&mut self, id: LaneId, retry_at: u64) {
        if let Some(lane) = self.lanes.get_mut(id.index()) {
            lane.cutting = false;
            lane.not_before = retry_at;
            self.reschedule(id);
        }
    }

    /// Makes everything that waits now due at once, of one table or of all. Returns the lanes and the last INSERT
    /// concerned, for [`State::is_cut_through`].
    pub fn flush(&mut self, table: Option<&str>) -> (Vec<LaneId>, InsertNo) {
        let through = self.next_insert.saturating_sub(1);
        let ids = (0..self.lanes.len() as u32).map(LaneId);
        let concerned: Vec<LaneId> = ids
            .filter(|id| table.is_none_or(|table| self.lanes[id.index()].key.table == table))
            .collect();
        for id in &concerned {
            self.lanes[id.index()].flush_through = through;
            self.reschedule(*id);
        }
        (concerned, through)
    }

    /// Whether none of these lanes holds a share of an INSERT up to that one.
    pub fn is_cut_through(&self, lanes: &[LaneId], through: InsertNo) -> bool {
        let waits = |id: &LaneId| {
            self.lanes[id.index()]
                .shares()
                .any(|share| share.insert <= through)
        };
        !lanes.iter().any(waits)
    }

    fn is_idle(&self, id: LaneId) -> bool {
        let lane = &self.lanes[id.index()];
        let is_idle = |to| self.get_queue(to).is_none_or(Queue::is_idle);
        !lane.key.local || lane.key.destinations.iter().all(is_idle)
    }

    /// Lists the lane under the moment its next cut is due.
    fn reschedule(&mut self, id: LaneId) {
        let due = self.lanes[id.index()].due_at(self.is_idle(id));
        if let Some(listed) = self.listed.remove(&id) {
            self.due.remove(&(listed, id));
        }
        if let Some(due) = due {
            self.listed.insert(id, due);
            self.due.insert((due, id));
        }
    }

    /// A batch came to the destination or left it: its local lanes may be due now.
    fn reschedule_local(&mut self, destination: &Destination) {
        for id in self.queue(destination).local_lanes.clone() {
            self.reschedule(id);
        }
    }
}

// === apply ===

impl State {
    /// What the record's commits hold, one a share, in order; `None` when a share names bytes that the record lacks.
    pub fn contents_of(record: &Record) -> Option<Vec<Arc<Content>>> {
        let shares = record.events.iter().filter_map(|event| match event {
            Event::Commit(commit) => Some(&commit.shares),
            _ => None,
        });
        shares
            .flatten()
            .map(|share| Content::from_record(share, &record.arena).map(Arc::new))
            .collect()
    }

    /// What the record says happened. `contents` are the rows of its commits' shares, as [`State::contents_of`] gives.
    pub fn apply(&mut self, record: &Record, contents: Vec<Arc<Content>>, at: Applied) -> Vec<Effect> {
        let tables = self.tables(record);
        let mut contents = contents.into_iter();
        let mut effects = Vec::new();
        for event in &record.events {
            match event {
                Event::Commit(commit) => self.committed(commit, &tables, &mut contents, at),
                other => self.happened(other, &tables, at, &mut effects),
            }
        }
        effects
    }

    fn tables(&mut self, record: &Record) -> Tables {
        Tables {
            lanes: record.lanes.iter().map(|key| self.lane_of(key.clone())).collect(),
            shapes: record.shapes.iter().map(|shape| self.shape_of(shape)).collect(),
        }
    }

    fn shape_of(&mut self, shape: &Shape) -> Arc<Shape> {
        if let Some(known) = self.shapes.get(shape) {
            return Arc::clone(known);
        }
        if self.shapes.len() >= SHAPES_BEFORE_PRUNING {
            self.shapes.retain(|known| Arc::strong_count(known) > 1);
        }
        let shape = Arc::new(shape.clone());
        self.shapes.insert(Arc::clone(&shape));
        shape
    }

    fn happened(&mut self, event: &Event, tables: &Tables, at: Applied, effects: &mut Vec<Effect>) {
        match event {
            Event::Commit(_) => {}
            Event::Go { insert } => self.gone(*insert, at.now),
            Event::Abort { insert, code, text } => {
                let refusal = ShardRefusal {
                    code: *code,
                    text: text.clone(),
                };
                self.aborted(*insert, refusal, effects);
            }
            Event::Cut(cut) => self.cut(cut, tables, effects),
            Event::Attempting {
                destination,
                seq,
                attempt,
                replica,
            } => {
                self.queue(destination).attempting(*seq, *attempt, replica);
            }
            Event::Settled {
                destination,
                seq,
                verdict,
            } => {
                self.settled(destination, *seq, verdict, effects);
            }
            Event::Recut {
                destination,
                seq,
                into,
            } => self.recut(destination, *seq, into, effects),
            Event::DestinationHeld { destination, error } => {
                self.queue(destination).held = Some(error.clone());
            }
            Event::DestinationResumed { destination } => {
                self.queue(destination).held = None;
                effects.push(Effect::Wake(destination.clone()));
            }
        }
    }

    fn committed(
        &mut self,
        commit: &Commit,
        tables: &Tables,
        contents: &mut impl Iterator<Item = Arc<Content>>,
        at: Applied,
    ) {
        self.next_insert = self.next_insert.max(commit.number + 1);
        if commit.pending {
            self.pending.insert(commit.number, Pending::new(commit.insert));
        }
        let token: Option<Arc<str>> = commit.token.as_deref().map(Arc::from);
        for (share, content) in commit.shares.iter().zip(contents) {
            let Some(shape) = tables.shapes.get(share.shape as usize) else {
                continue;
            };
            let uncut = Uncut::whole(commit, share.shard, token.clone(), content, at);
            for lane in share
                .lanes
                .iter()
                .filter_map(|lane| tables.lanes.get(*lane as usize))
            {
                self.enqueue(*lane, shape, uncut.clone());
            }
        }
    }

    /// Puts a share into its lane, or aside while its INSERT is pending and the lane is not local.
    fn enqueue(&mut self, lane: LaneId, shape: &Arc<Shape>, share: Uncut) {
        self.hold_on_to(&share);
        let is_local = self.lanes[lane.index()].key.local;
        match self.pending.get_mut(share.insert).filter(|pending| !pending.gone) {
            Some(pending) if !is_local => {
                pending.parked.push(Parked {
                    lane,
                    shape: Arc::clone(shape),
                    share,
                });
                return;
            }
            Some(pending) => pending.uncut += 1,
            None => {}
        }
        self.lanes[lane.index()].push(shape, share);
        self.reschedule(lane);
    }

    /// A pending INSERT's other shares join their queues. It stays known only while a client may yet be told that its
    /// local rows, of which some are written, all are.
    fn gone(&mut self, insert: InsertNo, now: u64) {
        let Some(pending) = self.pending.get_mut(insert) else {
            return;
        };
        pending.gone = true;
        let stays = pending.written && !pending.is_delivered();
        for Parked {
            lane,
            shape,
            mut share,
        } in std::mem::take(&mut pending.parked)
        {
            share.queued_at = now;
            self.lanes[lane.index()].push(&shape, share);
            self.reschedule(lane);
        }
        if !stays {
            self.forget_pending(insert);
        }
    }

    fn forget_pending(&mut self, insert: InsertNo) -> Option<Pending> {
        let pending = self.pending.remove(insert)?;
        for (destination, seq) in &pending.batches {
            let batches = &mut self.queue(destination).pending;
            if let Some(batch) = batches.get_mut(seq) {
                batch.inserts.remove(&insert);
                batch.has_others = true;
            }
        }
        Some(pending)
    }

    fn aborted(&mut self, insert: InsertNo, refusal: ShardRefusal, effects: &mut Vec<Effect>) {
        let Some(pending) = self.forget_pending(insert) else {
            return;
        };
        for parked in pending.parked {
            self.let_go_of(&parked.share, parked.share.start, true, effects);
        }
        for index in 0..self.lanes.len() {
            if self.lanes[index].key.local {
                for mut share in self.lanes[index].remove(insert) {
                    let from = share.start;
                    share.start = share.end();
                    self.let_go_of(&share, from, true, effects);
                }
                self.reschedule(LaneId(index as u32));
            }
        }
        for (destination, seq) in pending.batches {
            self.departs(&destination, seq, Verdict::Dropped, effects);
        }
        effects.push(Effect::Answer {
            insert: pending.id,
            outcome: PendingOutcome::Aborted(refusal),
        });
    }

    fn cut(&mut self, cut: &Cut, tables: &Tables, effects: &mut Vec<Effect>) {
        let Some(id) = tables.lanes.get(cut.lane as usize).copied() else {
            return;
        };
        let destinations = self.lanes[id.index()].key.destinations.clone();
        let batch = self.take_shares(id, cut, effects);
        for (destination, seq) in destinations.iter().zip(&cut.seqs) {
            for insert in &batch.inserts {
                if let Some(pending) = self.pending.get_mut(*insert) {
                    pending.batches.insert((destination.clone(), *seq));
                }
            }
            let queue = self.queue(destination);
            queue.insert(*seq, Entry::of(&cut.batch));
            if !batch.inserts.is_empty() {
                queue.pending.insert(*seq, batch.clone());
            }
            effects.push(Effect::Wake(destination.clone()));
            self.reschedule_local(destination);
        }
        self.lanes[id.index()].cutting = false;
        self.reschedule(id);
    }

    /// Takes what the cut took from its lane. Returns which pending INSERTs are in it.
    fn take_shares(&mut self, id: LaneId, cut: &Cut, effects: &mut Vec<Effect>) -> PendingBatch {
        let is_local = self.lanes[id.index()].key.local;
        let mut batch = PendingBatch::default();
        for taken in &cut.taken {
            let Some(taking) = self.lanes[id.index()].take(taken) else {
                continue;
            };
            self.let_go_of(&taking.share, taking.from, taking.emptied, effects);
            match self.pending.get_mut(taken.insert).filter(|_| is_local) {
                Some(pending) => {
                    pending.uncut -= usize::from(taking.emptied);
                    batch.inserts.insert(taken.insert);
                }
                None => batch.has_others = true,
            }
        }
        batch
    }

    fn settled(&mut self, to: &Destination, seq: Seq, verdict: &Verdict, effects: &mut Vec<Effect>) {
        match verdict {
            Verdict::Acknowledged => {
                let rows = self
                    .queue(to)
                    .line
                    .get(&seq)
                    .map_or(0, |entry| u64::from(entry.rows));
                self.queue(to).acknowledged_rows += rows;
                self.delivered(to, seq, effects);
                self.departs(to, seq, verdict.clone(), effects);
            }
            Verdict::Retry { error } => {
                self.queue(to).retry(seq, error);
                self.waits(to, seq, error, effects);
            }
            Verdict::Held { error } => {
                self.queue(to).set_aside(seq, error);
                self.waits(to, seq, error, effects);
                self.reschedule_local(to);
            }
            Verdict::Broken { error } => {
                self.waits(to, seq, error, effects);
                self.departs(to, seq, verdict.clone(), effects);
            }
            Verdict::Requeued => self.queue(to).requeue(seq),
            Verdict::Dropped => {
                self.waits(to, seq, "an operator dropped the batch", effects);
                self.departs(to, seq, Verdict::Dropped, effects);
            }
        }
        effects.push(Effect::Wake(to.clone()));
    }

    /// The batch's pending INSERTs have these rows on their shard.
    fn delivered(&mut self, to: &Destination, seq: Seq, effects: &mut Vec<Effect>) {
        let Some(batch) = self.queue(to).pending.remove(&seq) else {
            return;
        };
        for insert in batch.inserts {
            let Some(pending) = self.pending.get_mut(insert) else {
                continue;
            };
            pending.written = true;
            pending.batches.remove(&(to.clone(), seq));
            if !pending.is_delivered() {
                continue;
            }
            effects.push(Effect::Answer {
                insert: pending.id,
                outcome: PendingOutcome::Delivered,
            });
            if pending.gone {
                self.pending.remove(insert);
            }
        }
    }

    /// The clients of the batch's pending INSERTs wait no longer. Where `go` is not recorded yet, it is the next event.
    fn waits(&mut self, to: &Destination, seq: Seq, why: &str, effects: &mut Vec<Effect>) {
        let Some(batch) = self.queue(to).pending.get(&seq).cloned() else {
            return;
        };
        for insert in batch.inserts {
            let Some(pending) = self.pending.get(insert) else {
                continue;
            };
            effects.push(Effect::Answer {
                insert: pending.id,
                outcome: PendingOutcome::Waiting(why.to_owned()),
            });
            if pending.gone {
                self.forget_pending(insert);
            }
        }
    }

    fn recut(&mut self, to: &Destination, seq: Seq, into: &[Recut], effects: &mut Vec<Effect>) {
        let before = self.queue(to).pending.remove(&seq).unwrap_or_default();
        for piece in into {
            // INSERTs that stay together name the same batch; it is one entry.
            self.queue(to).insert(piece.seq, Entry::of(&piece.batch));
            let number = self
                .pending
                .number(piece.insert)
                .filter(|number| before.inserts.contains(number));
            self.recut_pending(to, seq, piece.seq, number);
        }
        self.departs(to, seq, Verdict::Dropped, effects);
        effects.push(Effect::Wake(to.clone()));
    }

    /// A pending INSERT's rows are in another batch now; or rows of one that is not pending.
    fn recut_pending(&mut self, to: &Destination, old: Seq, new: Seq, insert: Option<InsertNo>) {
        let batch = self.queue(to).pending.entry(new).or_default();
        let Some(insert) = insert else {
            batch.has_others = true;
            return;
        };
        batch.inserts.insert(insert);
        if let Some(pending) = self.pending.get_mut(insert) {
            pending.batches.remove(&(to.clone(), old));
            pending.batches.insert((to.clone(), new));
        }
    }

    fn departs(&mut self, to: &Destination, seq: Seq, verdict: Verdict, effects: &mut Vec<Effect>) {
        let queue = self.queue(to);
        queue.pending.remove(&seq);
        if queue.leave(seq, verdict).is_some() {
            effects.push(Effect::Depart {
                destination: to.clone(),
                seq,
            });
        }
        self.reschedule_local(to);
    }

    /// Counts a share's claims on memory, its journal segment and its files.
    fn hold_on_to(&mut self, share: &Uncut) {
        self.uncut_memory_bytes += share.content.memory_bytes() + SHARE_OVERHEAD_BYTES;
        *self.uncut_in_segment.entry(share.segment).or_default() += 1;
        if share.content.is_staged() {
            *self.staged_users.entry(share.id).or_default() += 1;
        }
        for file in share.content.files_between(share.start, share.end()) {
            *self
                .file_users
                .entry((file.directory.clone(), file.name.clone()))
                .or_default() += 1;
        }
    }

    /// Gives up the share's claims on what lies between `from` and its present start, and when it is `emptied` on the
    /// rest.
    fn let_go_of(&mut self, share: &Uncut, from: Cursor, emptied: bool, effects: &mut Vec<Effect>) {
        let to = if emptied { share.end() } else { share.start };
        for file in share.content.files_between(from, to) {
            if count_down(&mut self.file_users, &(file.directory.clone(), file.name.clone())) {
                effects.push(Effect::RemoveTemporary(file.clone()));
            }
        }
        if !emptied {
            return;
        }
        self.uncut_memory_bytes -= share.content.memory_bytes() + SHARE_OVERHEAD_BYTES;
        if let Some(shares) = self.uncut_in_segment.get_mut(&share.segment) {
            *shares -= 1;
            if *shares == 0 {
                self.uncut_in_segment.remove(&share.segment);
            }
        }
        if share.content.is_staged() && count_down(&mut self.staged_users, &share.id) {
            effects.push(Effect::RemoveStaged(share.id));
        }
    }
}

/// Pending INSERTs with rows in a batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PendingBatch {
    /// Which ones.
    pub inserts: BTreeSet<InsertNo>,
    /// Rows of other INSERTs are in it too: it cannot be undone for one of them.
    pub has_others: bool,
}

impl Uncut {
    fn whole(
        commit: &Commit,
        shard: u32,
        token: Option<Arc<str>>,
        content: Arc<Content>,
        at: Applied,
    ) -> Uncut {
        let (rows, raw_bytes) = content.totals();
        Uncut {
            insert: commit.number,
            id: commit.insert,
            token,
            shard,
            segment: at.segment,
            committed_at_ms: commit.committed_at_ms,
            queued_at: at.now,
            content,
            start: Cursor::default(),
            rows,
            raw_bytes,
        }
    }
}

/// Counts one user less; whether that was the last.
fn count_down<K: std::hash::Hash + Eq>(users: &mut HashMap<K, u64>, key: &K) -> bool {
    let Some(count) = users.get_mut(key) else {
        return false;
    };
    *count -= 1;
    let was_last = *count == 0;
    if was_last {
        users.remove(key);
    }
    was_last
}
