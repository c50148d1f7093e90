//! INSERTs whose client waits for a replica, and those that await `go` or `abort`.

use std::collections::{BTreeSet, HashMap};

use super::share::Uncut;
use crate::event::{Awaits, InsertNo, Seq};
use crate::model::{Destination, InsertId, LaneId, Shape};
use std::sync::Arc;

/// An INSERT with rows for a local replica, or whose shape is probed, from its commit until it is answered and `go` or
/// `abort` is recorded.
#[derive(Debug)]
pub struct Pending {
    /// Its receipt.
    pub id: InsertId,
    /// Which of its rows are awaited.
    pub awaited: Awaited,
    /// `go` is recorded; it stays known until its local rows are delivered, for the client that waits.
    pub gone: bool,
    /// Its shares for other lanes; they join their queues at `go`.
    pub parked: Vec<Parked>,
    /// Its awaited shares that are not cut yet.
    pub uncut: usize,
    /// Its awaited batches that are not settled.
    pub batches: BTreeSet<(Destination, Seq)>,
    /// The same batches at the probed lane's other destinations: they are sent after `go`.
    pub withheld: BTreeSet<(Destination, Seq)>,
    /// Rows of it are on a shard: nothing undoes it any more.
    pub written: bool,
    /// Its `go` or `abort` may be among records that are lost.
    pub is_doubted: bool,
}

/// Which rows of a pending INSERT its client waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// Those in local lanes, all of them.
    Local,
    /// The first batch of those in one lane, at one of its destinations.
    One {
        /// The lane.
        lane: LaneId,
        /// Which of its destinations.
        destination: usize,
    },
}

impl Awaited {
    /// What a commit says, its lanes in this state's terms; none for an INSERT that awaits nothing.
    pub fn of(awaits: Awaits, lanes: &[LaneId]) -> Option<Awaited> {
        match awaits {
            Awaits::Nothing => None,
            Awaits::Local => Some(Awaited::Local),
            Awaits::One { lane, destination } => lanes.get(lane as usize).map(|lane| Awaited::One {
                lane: *lane,
                destination: destination as usize,
            }),
        }
    }

    /// Whether rows in that lane are awaited.
    pub fn covers(self, lane: LaneId, is_local: bool) -> bool {
        match self {
            Awaited::Local => is_local,
            Awaited::One { lane: probed, .. } => probed == lane,
        }
    }

    /// Whether a batch of an awaited lane goes to that of its destinations before `go`.
    pub fn is_sent_to(self, at: usize) -> bool {
        match self {
            Awaited::Local => true,
            Awaited::One { destination, .. } => destination == at,
        }
    }

    /// Whether one batch is enough.
    pub fn is_one(self) -> bool {
        matches!(self, Awaited::One { .. })
    }
}

/// A share that may not be cut yet.
#[derive(Debug)]
pub struct Parked {
    /// The lane it belongs to.
    pub lane: LaneId,
    /// What its rows have in common.
    pub shape: Arc<Shape>,
    /// The rows.
    pub share: Uncut,
}

/// All of them.
#[derive(Debug, Default)]
pub struct PendingInserts {
    by_number: HashMap<InsertNo, Pending>,
    numbers: HashMap<InsertId, InsertNo>,
}

impl Pending {
    /// An INSERT that was just committed.
    pub fn new(id: InsertId, awaited: Awaited) -> Pending {
        Pending {
            id,
            awaited,
            gone: false,
            parked: Vec::new(),
            uncut: 0,
            batches: BTreeSet::new(),
            withheld: BTreeSet::new(),
            written: false,
            is_doubted: false,
        }
    }

    /// Whether all that is awaited has happened, once a batch of it was written.
    pub fn is_delivered(&self) -> bool {
        self.awaited.is_one() || (self.uncut == 0 && self.batches.is_empty())
    }

    /// Whether `go` or `abort` may be lost, and nothing tells since.
    pub fn is_undecided(&self) -> bool {
        self.is_doubted && !self.gone
    }

    /// Whether a share for that lane waits for `go`.
    pub fn parks(&self, lane: LaneId) -> bool {
        self.parked.iter().any(|parked| parked.lane == lane)
    }

    /// Every batch that an abort takes back.
    pub fn all_batches(&self) -> impl Iterator<Item = &(Destination, Seq)> {
        self.batches.iter().chain(&self.withheld)
    }
}

impl PendingInserts {
    /// Adds one.
    pub fn insert(&mut self, number: InsertNo, pending: Pending) {
        self.numbers.insert(pending.id, number);
        self.by_number.insert(number, pending);
    }

    /// Forgets one.
    pub fn remove(&mut self, number: InsertNo) -> Option<Pending> {
        let pending = self.by_number.remove(&number)?;
        self.numbers.remove(&pending.id);
        Some(pending)
    }

    /// One by its number.
    pub fn get(&self, number: InsertNo) -> Option<&Pending> {
        self.by_number.get(&number)
    }

    /// One by its number, to change it.
    pub fn get_mut(&mut self, number: InsertNo) -> Option<&mut Pending> {
        self.by_number.get_mut(&number)
    }

    /// All, to change them, in no order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Pending> {
        self.by_number.values_mut()
    }

    /// The number of a receipt.
    pub fn number(&self, id: InsertId) -> Option<InsertNo> {
        self.numbers.get(&id).copied()
    }

    /// All, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (InsertNo, &Pending)> {
        self.by_number.iter().map(|(number, pending)| (*number, pending))
    }

    /// Whether `go` or `abort` is still to be recorded.
    pub fn is_open(&self, number: InsertNo) -> bool {
        self.get(number).is_some_and(|pending| !pending.gone)
    }
}
