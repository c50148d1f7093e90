//! Which cut is due when, and who makes it.

use std::sync::Arc;

use super::State;
use super::destination::Queue;
use super::lane::{CutPlan, NEVER, Piece};
use super::share::Take;
use crate::event::InsertNo;
use crate::model::{Destination, LaneId, Shape};

impl State {
    /// When the next cut is due; `None` when nothing waits for time.
    pub fn next_due(&self) -> Option<u64> {
        let first = self.due.first().filter(|_| self.is_swept());
        first.map(|(due, _)| *due).filter(|due| *due != NEVER)
    }

    /// The next batch to cut, if one is due at `now`, or at once under memory pressure. Its lane is cut by
    /// nobody else until the record is applied or [`State::cut_failed`] is called.
    pub fn claim_cut(&mut self, now: u64, pressed: bool) -> Option<CutPlan> {
        if !self.is_swept() {
            return None;
        }
        let (due, id) = *self.due.first()?;
        let blocked = self.lanes[id.index()].not_before > now;
        if blocked || (due > now && !pressed) {
            return None;
        }
        let idle = self.is_idle(id);
        let lane = &mut self.lanes[id.index()];
        let (shape, pieces, total) = lane.plan(idle)?;
        lane.cutting = true;
        self.reschedule(id);
        Some(self.plan_of(id, shape, pieces, total))
    }

    /// The plan, with numbers of its own.
    pub(super) fn plan_of(
        &mut self,
        id: LaneId,
        shape: Arc<Shape>,
        pieces: Vec<Piece>,
        total: Take,
    ) -> CutPlan {
        let key = self.lanes[id.index()].key.clone();
        let seqs = key
            .destinations
            .iter()
            .map(|destination| self.queue(destination).reserve())
            .collect();
        CutPlan {
            lane: id,
            key,
            shape,
            pieces,
            seqs,
            total,
        }
    }

    /// A claimed cut was not made: its shares wait again, until `retry_at` at least.
    pub fn cut_failed(&mut self, id: LaneId, retry_at: u64) {
        if let Some(lane) = self.lanes.get_mut(id.index()) {
            lane.cutting = false;
            lane.not_before = retry_at;
            self.reschedule(id);
        }
    }

    /// Makes everything that waits now due at once, of one table or of all. Returns the lanes and the last
    /// INSERT concerned, for [`State::is_cut_through`].
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

    pub(super) fn is_idle(&self, id: LaneId) -> bool {
        let lane = &self.lanes[id.index()];
        let is_idle = |to| self.get_queue(to).is_none_or(Queue::is_idle);
        !lane.key.local || lane.key.destinations.iter().all(is_idle)
    }

    /// Lists the lane under the moment its next cut is due.
    pub(super) fn reschedule(&mut self, id: LaneId) {
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
    pub(super) fn reschedule_local(&mut self, destination: &Destination) {
        for id in self.queue(destination).local_lanes.clone() {
            self.reschedule(id);
        }
    }
}
