//! What the queue knows, and what each event does to it. Pure: no file, no clock, no thread.
//!
//! [`State::apply`] is the one definition of what a record means; it runs after the record is on disk, and
//! again at recovery. [`decide`] says which events a request leads to. Both leave [`Effect`]s to be carried
//! out by others.
//!
//! Beside the events only three things change it, none of which needs to survive a restart: which lanes are
//! being cut ([`State::claim_cut`]), which destinations have a sender at work, and which settled files have
//! reached their place.

mod apply;
pub mod checkpoint;
mod cutting;
pub mod decide;
pub mod destination;
pub mod lane;
pub mod lost;
mod pacing;
pub mod pending;
pub mod receipts;
pub mod share;
mod status;
pub mod watch;
pub mod window;

#[cfg(test)]
mod check;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use self::destination::Queue;
use self::lane::Lane;
use self::pending::PendingInserts;
use self::watch::Watches;
use self::window::Window;
use crate::batch::PendingOutcome;
use crate::event::{InsertNo, Seq, StagedFile};
use crate::group::First;
use crate::model::{BatchLimits, Destination, InsertId, LaneId, LaneKey, LaneSpec, ProbeTarget, Shape};
use crate::retry::{RetryWindows, Signature};
use crate::window_file::WindowFile;

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
    /// Records are missing: see `lost.rs`. Only until the directories are read.
    is_doubted: bool,
    /// The directories are not read yet (`recover/sweep.rs`): nothing may be cut, sent or changed. INSERTs from this number on are
    /// this process's.
    unswept: Option<InsertNo>,
    /// What is remembered of accepted INSERTs.
    pub window: Window,
    /// INSERTs whose way is followed.
    pub watches: Watches,
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
    /// A watched INSERT has come further.
    Moved(InsertId),
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

// === what is known of lanes and destinations ===

impl State {
    /// A spool that never held anything.
    pub fn new() -> State {
        State {
            next_insert: 1,
            ..State::default()
        }
    }

    /// From now until [`State::end_sweep`] nothing but INSERTs is taken.
    pub fn begin_sweep(&mut self) {
        self.unswept = Some(self.next_insert);
    }

    /// The directories are read, and what came of it is in the journal.
    pub fn end_sweep(&mut self) {
        self.unswept = None;
        self.is_doubted = false;
    }

    /// Whether the directories are read.
    pub fn is_swept(&self) -> bool {
        self.unswept.is_none()
    }

    /// The lane of that spec; its limits become the spec's.
    pub fn lane(&mut self, spec: &LaneSpec) -> LaneId {
        let id = self.lane_of(LaneKey::from(spec));
        self.lanes[id.index()].usual = spec.limits;
        self.set_limits(id);
        id
    }

    /// The lane of that key; one found in the journal has the default limits until the configuration names
    /// it.
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

    /// The numbers before that one are used.
    pub fn skip_inserts_before(&mut self, number: InsertNo) {
        self.next_insert = self.next_insert.max(number);
    }

    /// Takes what a window's file remembers.
    pub fn recall(&mut self, file: &WindowFile<'_>) {
        for (kind, known) in file.entries() {
            let undoable = self.pending.is_open(known.number);
            self.window.recall(kind, known, undoable);
        }
        file.freed().for_each(|freed| self.window.recall_freed(freed));
        let receipts = &mut self.window.receipts;
        file.receipts().for_each(|known| receipts.recall(known));
        file.freed_receipts()
            .for_each(|number| receipts.recall_freed(number));
    }

    /// The accepted INSERT that one with this signature is a retry of.
    pub fn first_of(&self, signature: &Signature<'_>, windows: &RetryWindows, now_ms: u64) -> Option<First> {
        let mut keys = self.window.keys(signature, windows);
        let known = keys.find_map(|(kind, key)| self.window.find(kind, key, windows.of(kind), now_ms))?;
        let pending = self.pending.get(known.number).filter(|pending| !pending.gone);
        Some(First {
            insert: known.insert,
            rows: known.rows,
            raw_bytes: known.raw_bytes,
            awaits_probe: pending.map(|pending| pending.awaited.is_one()),
        })
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

    /// What a probe there would meet.
    pub fn prospect_at(&self, target: ProbeTarget) -> Prospect {
        let Some(destination) = self
            .get_lane(target.lane)
            .and_then(|lane| lane.key.destinations.get(target.destination))
        else {
            return Prospect::Hopeless("no such destination".to_owned());
        };
        let queue = self.get_queue(destination);
        match (queue.and_then(Queue::refuses_all), queue.and_then(Queue::stalled)) {
            (Some(why), _) => Prospect::Hopeless(why),
            (None, Some(_)) => Prospect::Slow,
            (None, None) => Prospect::Good,
        }
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

    /// Journal segments with shares that wait for their cut.
    pub fn segments_with_uncut(&self) -> BTreeSet<u64> {
        self.uncut_in_segment.keys().copied().collect()
    }

    /// Whether a share in that journal segment waits for its cut.
    pub fn segment_has_uncut(&self, segment: u64) -> bool {
        self.uncut_in_segment.contains_key(&segment)
    }
}

/// What a probe would meet at a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prospect {
    /// Nothing is in its way.
    Good,
    /// Some batch waits for its next attempt there, which may well be soon.
    Slow,
    /// Nothing goes there, for this reason.
    Hopeless(String),
}

/// Pending INSERTs with rows in a batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PendingBatch {
    /// Which ones.
    pub inserts: BTreeSet<InsertNo>,
    /// Rows of other INSERTs are in it too: it cannot be undone for one of them.
    pub has_others: bool,
}
