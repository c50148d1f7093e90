//! What a record means. The same for the running queue, after the record is on disk, and for recovery.

use std::collections::HashMap;
use std::sync::Arc;

use super::destination::Entry;
use super::pending::{Awaited, Parked, Pending};
use super::share::{Content, Cursor, SHARE_OVERHEAD_BYTES, Uncut};
use super::{Applied, Effect, PendingBatch, SHAPES_BEFORE_PRUNING, State};
use crate::batch::{PendingOutcome, ShardRefusal};
use crate::event::{Commit, Cut, Event, InsertNo, Joined, Record, Recut, Seq, Share, Verdict};
use crate::model::{Destination, LaneId, Shape};

/// A record's tables in this state's terms.
pub(super) struct Tables {
    pub(super) lanes: Vec<LaneId>,
    pub(super) shapes: Vec<Arc<Shape>>,
}

impl State {
    /// What the record's commits hold, one a share, in order; `None` when a share names bytes that the record
    /// lacks.
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

    /// What the record says happened. `contents` are the rows of its commits' shares, as
    /// [`State::contents_of`] gives.
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
        #[cfg(test)]
        self.check_invariants();
        effects
    }

    pub(super) fn tables(&mut self, record: &Record) -> Tables {
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
            Event::Go { insert } => {
                self.window.gone(*insert);
                self.gone(*insert, at.now, effects);
            }
            Event::Abort { insert, code, text } => {
                self.window.aborted(*insert);
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
                at_ms,
            } => {
                let queue = self.queue(destination);
                queue.attempting(*seq, *attempt, replica, *at_ms);
                // Also where its cut is lost.
                queue.next_seq = queue.next_seq.max(*seq + 1);
            }
            Event::Disproved { destination, seq } => self.queue(destination).disproved(*seq),
            Event::Settled {
                destination,
                seq,
                verdict,
            } => {
                let undecided = self.undecided_in(destination, *seq);
                self.settled(destination, *seq, verdict, effects);
                for insert in undecided {
                    self.gone(insert, at.now, effects);
                }
            }
            Event::Recut {
                destination,
                seq,
                into,
            } => self.recut(destination, *seq, into, effects),
            Event::Joined(joined) => self.joined(joined, effects),
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
        if let Some(awaited) = Awaited::of(commit.awaits, &tables.lanes) {
            self.pending
                .insert(commit.number, Pending::new(commit.insert, awaited));
        }
        let is_watched = self.watches.committed(commit);
        let token: Option<Arc<str>> = commit.token.as_deref().map(Arc::from);
        let (mut rows, mut raw_bytes) = (0, 0);
        for (share, content) in commit.shares.iter().zip(contents) {
            let Some(shape) = tables.shapes.get(share.shape as usize) else {
                continue;
            };
            let uncut = Uncut::whole(commit, share.shard, token.clone(), content, at);
            (rows, raw_bytes) = (rows + uncut.rows, raw_bytes + uncut.raw_bytes);
            for lane in share
                .lanes
                .iter()
                .filter_map(|lane| tables.lanes.get(*lane as usize))
            {
                if is_watched {
                    self.watch_uncut(commit.number, *lane, share.shard);
                }
                self.enqueue(*lane, shape, uncut.clone());
            }
        }
        self.watch_sizes(commit.number, rows, raw_bytes);
        self.remember(commit, tables, rows, raw_bytes);
    }

    /// From here on a retry of the INSERT is recognised.
    fn remember(&mut self, commit: &Commit, tables: &Tables, rows: u64, raw_bytes: u64) {
        let shape = |share: &Share| tables.shapes.get(share.shape as usize);
        if let Some(shape) = commit.shares.first().and_then(shape) {
            let undoable = self.pending.is_open(commit.number);
            self.window
                .committed(commit, &shape.table, rows, raw_bytes, undoable);
        }
    }

    /// Puts a share into its lane, or aside while its INSERT is pending and the share is not what it awaits.
    pub(super) fn enqueue(&mut self, lane: LaneId, shape: &Arc<Shape>, mut share: Uncut) {
        self.hold_on_to(&share);
        let is_local = self.lanes[lane.index()].key.local;
        match self.pending.get_mut(share.insert).filter(|pending| !pending.gone) {
            Some(pending) if !pending.awaited.covers(lane, is_local) => {
                pending.parked.push(Parked {
                    lane,
                    shape: Arc::clone(shape),
                    share,
                });
                return;
            }
            Some(pending) => {
                pending.uncut += 1;
                if pending.awaited.is_one() {
                    share.alone = true;
                    // At once, and whatever is in front of it.
                    let lane = &mut self.lanes[lane.index()];
                    lane.flush_through = lane.flush_through.max(share.insert);
                }
            }
            None => {}
        }
        self.lanes[lane.index()].push(shape, share);
        self.reschedule(lane);
    }

    /// A pending INSERT's other shares join their queues. It stays known only while a client may yet be told
    /// that its local rows, of which some are written, all are.
    fn gone(&mut self, insert: InsertNo, now: u64, effects: &mut Vec<Effect>) {
        let Some(pending) = self.pending.get_mut(insert) else {
            return;
        };
        pending.gone = true;
        let withheld = std::mem::take(&mut pending.withheld);
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
        for (destination, seq) in withheld {
            let queue = self.queue(&destination);
            queue.withheld.remove(&seq);
            queue.no_longer_pending(seq, insert);
            effects.push(Effect::Wake(destination));
        }
        if !stays {
            self.forget_pending(insert);
        }
    }

    fn forget_pending(&mut self, insert: InsertNo) -> Option<Pending> {
        let pending = self.pending.remove(insert)?;
        for (destination, seq) in pending.all_batches() {
            self.queue(destination).no_longer_pending(*seq, insert);
        }
        Some(pending)
    }

    fn aborted(&mut self, insert: InsertNo, refusal: ShardRefusal, effects: &mut Vec<Effect>) {
        let Some(pending) = self.forget_pending(insert) else {
            return;
        };
        for parked in &pending.parked {
            self.let_go_of(&parked.share, parked.share.start, true, effects);
        }
        for index in 0..self.lanes.len() {
            let is_local = self.lanes[index].key.local;
            if pending.awaited.covers(LaneId(index as u32), is_local) {
                for mut share in self.lanes[index].remove(insert) {
                    let from = share.start;
                    share.start = share.end();
                    self.let_go_of(&share, from, true, effects);
                }
                self.reschedule(LaneId(index as u32));
            }
        }
        for (destination, seq) in pending.all_batches() {
            self.departs(destination, *seq, Verdict::Dropped, effects);
            // What stood behind a withheld one may go.
            effects.push(Effect::Wake(destination.clone()));
        }
        effects.extend(self.watches.aborted(insert).map(Effect::Moved));
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
        for (at, (destination, seq)) in destinations.iter().zip(&cut.seqs).enumerate() {
            let mut is_withheld = false;
            for insert in &batch.inserts {
                let Some(pending) = self.pending.get_mut(*insert) else {
                    continue;
                };
                let named = (destination.clone(), *seq);
                if pending.gone || pending.awaited.is_sent_to(at) {
                    pending.batches.insert(named);
                } else {
                    pending.withheld.insert(named);
                    is_withheld = true;
                }
            }
            let queue = self.queue(destination);
            if is_withheld {
                queue.withheld.insert(*seq);
            }
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
            if self
                .pending
                .get(taken.insert)
                .is_some_and(|pending| pending.parks(id))
            {
                // Its `go` is lost: nothing is cut of a parked share before that.
                self.gone(taken.insert, 0, effects);
            }
            let Some(taking) = self.lanes[id.index()].take(taken) else {
                continue;
            };
            self.let_go_of(&taking.share, taking.from, taking.emptied, effects);
            self.watch_cut(id, taken, taking.emptied, cut);
            let pending = self.pending.get_mut(taken.insert);
            match pending.filter(|pending| pending.awaited.covers(id, is_local)) {
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
        if self.is_doubted {
            self.queue(to).settle_unknown(seq, verdict);
        }
        match verdict {
            Verdict::Acknowledged => {
                let rows = self
                    .queue(to)
                    .line
                    .get(&seq)
                    .map_or(0, |entry| u64::from(entry.rows));
                self.queue(to).acknowledged_rows += rows;
                self.eased(to);
                self.delivered(to, seq, effects);
                self.departs(to, seq, verdict.clone(), effects);
            }
            Verdict::Retry { error } => {
                self.queue(to).retry(seq, error);
                self.answer_waiters(to, seq, &PendingOutcome::Waiting(error.clone()), effects);
            }
            Verdict::Held { error } => {
                self.queue(to).set_aside(seq, error);
                self.answer_waiters(to, seq, &PendingOutcome::SetAside(error.clone()), effects);
                self.reschedule_local(to);
            }
            Verdict::Broken { error } => {
                self.answer_waiters(to, seq, &PendingOutcome::SetAside(error.clone()), effects);
                self.departs(to, seq, verdict.clone(), effects);
            }
            Verdict::Requeued => {
                self.queue(to).requeue(seq);
                self.reschedule_local(to);
            }
            Verdict::Dropped => {
                let dropped = PendingOutcome::Waiting("an operator dropped the batch".to_owned());
                self.answer_waiters(to, seq, &dropped, effects);
                self.departs(to, seq, Verdict::Dropped, effects);
            }
        }
        let moved = self.watches.settled(to, seq, verdict);
        effects.extend(moved.into_iter().map(Effect::Moved));
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

    /// The clients of the batch's pending INSERTs wait no longer. Where `go` is not recorded yet, it is the
    /// next event.
    fn answer_waiters(
        &mut self,
        to: &Destination,
        seq: Seq,
        outcome: &PendingOutcome,
        effects: &mut Vec<Effect>,
    ) {
        let Some(batch) = self.queue(to).pending.get(&seq).cloned() else {
            return;
        };
        for insert in batch.inserts {
            let Some(pending) = self.pending.get(insert) else {
                continue;
            };
            effects.push(Effect::Answer {
                insert: pending.id,
                outcome: outcome.clone(),
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
            self.queue(to).insert(piece.seq, Entry::of(&piece.batch).piece());
            let number = self
                .pending
                .number(piece.insert)
                .filter(|number| before.inserts.contains(number));
            self.recut_pending(to, seq, piece.seq, number);
        }
        let moved = self.watches.recut(to, seq, into);
        effects.extend(moved.into_iter().map(Effect::Moved));
        self.departs(to, seq, Verdict::Dropped, effects);
        effects.push(Effect::Wake(to.clone()));
    }

    /// Their rows are in another file now, in the same place in line.
    fn joined(&mut self, joined: &Joined, effects: &mut Vec<Effect>) {
        let Joined {
            destination,
            seqs,
            into,
            batch,
        } = joined;
        self.watches.joined(destination, seqs, *into);
        let is_doubted = self.is_doubted;
        let queue = self.queue(destination);
        queue.join(seqs, *into, Entry::of(batch));
        for seq in seqs {
            if is_doubted {
                // Their cuts may be lost.
                self.queue(destination).settle_unknown(*seq, &Verdict::Dropped);
            }
            self.departs(destination, *seq, Verdict::Dropped, effects);
        }
        effects.push(Effect::Wake(destination.clone()));
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

    /// Gives up the share's claims on what lies between `from` and its present start, and when it is
    /// `emptied` on the
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

impl Uncut {
    pub(super) fn whole(
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
            alone: false,
            suspect: false,
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
