//! What must hold of the state after every step. Tests call it; each line names what would be lost without
//! it.

use super::State;
use super::share::SHARE_OVERHEAD_BYTES;
use crate::status::Tally;

impl State {
    /// Panics when the state contradicts itself.
    #[track_caller]
    pub fn check_invariants(&self) {
        self.check_counts();
        self.check_lanes();
        self.check_queues();
        self.check_pending();
    }

    /// A share that is counted for nobody would free its journal segment or its staged file too early.
    fn check_counts(&self) {
        let parked = self
            .pending
            .iter()
            .flat_map(|(_, pending)| &pending.parked)
            .map(|parked| &parked.share);
        let shares: Vec<_> = self
            .lanes
            .iter()
            .flat_map(|lane| lane.shares())
            .chain(parked)
            .collect();
        assert_eq!(self.uncut_shares(), shares.len() as u64, "shares by segment");
        let memory: u64 = shares
            .iter()
            .map(|share| share.content.memory_bytes() + SHARE_OVERHEAD_BYTES)
            .sum();
        assert_eq!(self.uncut_memory_bytes, memory, "memory of uncut shares");
        let staged = shares.iter().filter(|share| share.content.is_staged()).count() as u64;
        assert_eq!(
            self.staged_users.values().sum::<u64>(),
            staged,
            "users of staged files"
        );
        let files: u64 = shares.iter().map(|share| share.files_left()).sum();
        assert_eq!(
            self.file_users.values().sum::<u64>(),
            files,
            "users of files written while staging"
        );
    }

    /// A lane that is not listed when it is due would never be cut.
    fn check_lanes(&self) {
        for (lane, id) in self.lanes.iter().zip((0..).map(super::LaneId)) {
            let listed = self.listed.get(&id).copied();
            assert_eq!(listed, lane.due_at(self.is_idle(id)), "when lane {id:?} is due");
            assert_eq!(
                listed.is_some_and(|due| self.due.contains(&(due, id))),
                listed.is_some()
            );
            for queue in &lane.queues {
                assert!(!queue.shares.is_empty(), "an empty queue stays");
                assert!(
                    queue.shares.iter().all(|share| !share.is_empty()),
                    "an empty share stays"
                );
                assert_eq!(
                    queue.rows,
                    queue.shares.iter().map(|share| share.rows).sum::<u64>()
                );
                assert_eq!(
                    queue.raw_bytes,
                    queue.shares.iter().map(|share| share.raw_bytes).sum::<u64>()
                );
                assert!(
                    queue.shares.iter().is_sorted_by_key(|share| share.insert),
                    "not in commit order"
                );
            }
        }
        assert_eq!(self.due.len(), self.listed.len());
    }

    /// A batch in two places would be sent twice.
    fn check_queues(&self) {
        for (destination, queue) in self.queues() {
            let mut waiting = Tally::default();
            queue.line.values().for_each(|entry| waiting.add(entry.tally()));
            assert_eq!(queue.waiting, waiting, "what waits at {destination}");
            let mut aside = Tally::default();
            queue.aside.values().for_each(|entry| aside.add(entry.tally()));
            assert_eq!(queue.held_batches, aside, "what is held at {destination}");
            assert!(
                queue.line.keys().all(|seq| !queue.aside.contains_key(seq)),
                "in line and aside"
            );
            assert!(
                queue.leaving.keys().all(|seq| !queue.holds(*seq)),
                "waits and leaves"
            );
            assert!(
                queue
                    .line
                    .keys()
                    .chain(queue.leaving.keys())
                    .all(|seq| *seq < queue.next_seq)
            );
            assert!(
                queue.places.values().all(|seq| queue.line.contains_key(seq)),
                "a place for nothing"
            );
            assert_eq!(
                queue.in_order().count(),
                queue.line.len(),
                "in order at {destination}"
            );
            assert!(
                queue.notes.keys().all(|seq| queue.holds(*seq)),
                "a note on nothing"
            );
        }
    }

    /// A pending INSERT that its batch does not know would be waited for without end.
    fn check_pending(&self) {
        for (number, pending) in self.pending.iter() {
            for (destination, seq) in &pending.batches {
                let queue = self
                    .get_queue(destination)
                    .expect("a pending batch's destination");
                assert!(
                    queue.holds(*seq),
                    "INSERT {number} waits for batch {seq}, which is gone"
                );
                assert!(queue.pending[seq].inserts.contains(&number));
            }
            for (destination, seq) in &pending.withheld {
                let queue = self
                    .get_queue(destination)
                    .expect("a withheld batch's destination");
                assert!(queue.withheld.contains(seq), "batch {seq} may be sent before go");
                let entry = queue
                    .line
                    .get(seq)
                    .or(queue.aside.get(seq))
                    .expect("a withheld batch");
                assert!(entry.is_untried(), "batch {seq} was sent before go");
            }
            assert!(!pending.gone || pending.withheld.is_empty(), "withheld after go");
            assert!(!pending.gone || pending.parked.is_empty(), "parked after go");
            assert!(pending.gone || !pending.written, "written without go");
        }
    }
}
