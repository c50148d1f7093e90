//! INSERTs whose client waits for the local replica, and those that await `go` or `abort`.

use std::collections::{BTreeSet, HashMap};

use super::share::Uncut;
use crate::event::{InsertNo, Seq};
use crate::model::{Destination, InsertId, LaneId, Shape};
use std::sync::Arc;

/// An INSERT with rows for a local replica, from its commit until it is answered and `go` or `abort` is
/// recorded.
#[derive(Debug)]
pub struct Pending {
    /// Its receipt.
    pub id: InsertId,
    /// `go` is recorded; it stays known until its local rows are delivered, for the client that waits.
    pub gone: bool,
    /// Its shares for other lanes; they join their queues at `go`.
    pub parked: Vec<Parked>,
    /// Its shares that wait uncut in local lanes.
    pub uncut: usize,
    /// Its local batches that are not settled.
    pub batches: BTreeSet<(Destination, Seq)>,
    /// Rows of it are on a shard: nothing undoes it any more.
    pub written: bool,
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
    pub fn new(id: InsertId) -> Pending {
        Pending {
            id,
            gone: false,
            parked: Vec::new(),
            uncut: 0,
            batches: BTreeSet::new(),
            written: false,
        }
    }

    /// Whether the local replica has all its rows.
    pub fn is_delivered(&self) -> bool {
        self.uncut == 0 && self.batches.is_empty()
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
