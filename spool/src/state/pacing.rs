//! What an overloaded destination changes about its cuts, and which of its untried batches may become one.

use super::State;
use super::destination::Queue;
use crate::model::{BatchLimits, Destination, LaneId};
use crate::pace::{Pace, Strain};

impl State {
    /// A shard says that it has too much to do.
    pub fn strained(&mut self, to: &Destination, strain: Strain) {
        let pace = self.queue(to).pace.strained(strain);
        self.set_pace(to, pace);
    }

    /// A shard took a batch.
    pub(super) fn eased(&mut self, to: &Destination) {
        let pace = self.queue(to).pace.eased();
        self.set_pace(to, pace);
    }

    fn set_pace(&mut self, to: &Destination, pace: Pace) {
        let queue = self.queue(to);
        let before = std::mem::replace(&mut queue.pace, pace);
        let figures = |pace: Pace| (pace.delay_factor(), pace.size_divisor());
        if figures(before) != figures(pace) {
            for id in self.queue(to).lanes.clone() {
                self.set_limits(id);
            }
        }
    }

    /// The lane's limits as its destinations bear them now.
    pub(super) fn set_limits(&mut self, id: LaneId) {
        let lane = &self.lanes[id.index()];
        let paces = lane.key.destinations.iter().filter_map(|to| self.get_queue(to));
        let pace = paces.fold(Pace::default(), |pace, queue| pace.with(queue.pace));
        let lane = &mut self.lanes[id.index()];
        lane.limits = pace.limits(lane.usual);
        self.reschedule(id);
    }

    /// Small untried batches at the front of that line, which may become one of at most these limits: as many as are neighbours,
    /// up to `files_max`. None where there is nothing to be joined.
    ///
    /// A replica's own line is left alone: its siblings have the same files under the same tokens, and where they replicate to
    /// each other all the same, only equal tokens keep the rows from being there twice.
    pub fn joinable(&self, to: &Destination, files_max: usize) -> Option<(Vec<u64>, BatchLimits)> {
        let queue = self.get_queue(to).filter(|_| to.replica.is_none())?;
        let limits = self.join_limits(queue)?;
        let mut free = queue.in_order().filter(|(seq, _)| !queue.leased.contains(seq));
        let is_joinable = |(seq, entry): &(u64, &super::destination::Entry)| {
            queue.may_be_joined(*seq) && entry.is_small(&limits)
        };
        let first = free.next().filter(is_joinable)?;
        let run = std::iter::once(first).chain(free.take_while(is_joinable));
        let seqs: Vec<u64> = run.take(files_max).map(|(seq, _)| seq).collect();
        (seqs.len() > 1).then_some((seqs, limits))
    }

    /// The strictest of the lanes that lead there.
    fn join_limits(&self, queue: &Queue) -> Option<BatchLimits> {
        let limits = queue.lanes.iter().map(|id| self.lanes[id.index()].limits);
        limits.reduce(|a, b| BatchLimits {
            max_rows: a.max_rows.min(b.max_rows),
            max_bytes: a.max_bytes.min(b.max_bytes),
            max_delay: a.max_delay,
        })
    }
}
