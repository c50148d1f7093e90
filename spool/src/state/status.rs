//! What metrics and listings ask of the state.

use super::State;
use super::destination::Queue;
use crate::model::Destination;
use crate::status::{DestinationStatus, Tally};

impl State {
    /// Every destination that was ever named, in order.
    pub fn statuses(&self) -> Vec<DestinationStatus> {
        self.queues()
            .map(|(destination, queue)| self.status_of(destination, queue))
            .collect()
    }

    /// One of them.
    pub fn status(&self, destination: &Destination) -> Option<DestinationStatus> {
        self.get_queue(destination)
            .map(|queue| self.status_of(destination, queue))
    }

    /// Sizes of all files that batches have, by destination: a file of several destinations counts for each.
    pub fn file_bytes(&self) -> u64 {
        let of = |queue: &Queue| {
            let tallies = [queue.waiting, queue.held_batches, queue.sent, queue.broken];
            tallies.iter().map(|tally| tally.file_bytes).sum::<u64>() + queue.departing_bytes
        };
        self.queues.iter().map(of).sum()
    }

    /// Shares that wait for their cut, those of pending INSERTs included.
    pub fn uncut_shares(&self) -> u64 {
        self.uncut_in_segment.values().sum()
    }

    fn status_of(&self, destination: &Destination, queue: &Queue) -> DestinationStatus {
        let first = queue.in_order().next();
        DestinationStatus {
            destination: destination.clone(),
            uncut: self.uncut_of(queue),
            waiting: queue.waiting,
            held: queue.held_batches,
            broken: queue.broken,
            sent: queue.sent,
            in_doubt: queue.in_doubt(),
            oldest_ms: self.oldest_of(queue),
            destination_held: queue.held.clone(),
            last_error: first.and_then(|(seq, _)| queue.notes.get(&seq)?.error.clone()),
            sending: !queue.leased.is_empty(),
            pace: queue.pace,
            acknowledged_rows: queue.acknowledged_rows,
        }
    }

    fn uncut_of(&self, queue: &Queue) -> Tally {
        let lanes = queue.lanes.iter().filter_map(|id| self.get_lane(*id));
        lanes.fold(Tally::default(), |sum, lane| Tally {
            rows: sum.rows + lane.rows(),
            raw_bytes: sum.raw_bytes + lane.raw_bytes(),
            ..sum
        })
    }

    fn oldest_of(&self, queue: &Queue) -> Option<u64> {
        let lanes = queue
            .lanes
            .iter()
            .filter_map(|id| self.get_lane(*id)?.oldest_ms());
        let in_line = queue.in_order().next().map(|(_, entry)| entry.created_at_ms);
        let aside = queue
            .aside
            .first_key_value()
            .map(|(_, entry)| entry.created_at_ms);
        lanes.chain(in_line).chain(aside).min()
    }
}
