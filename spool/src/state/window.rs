//! What is remembered of accepted INSERTs, so that a client's retry is answered as the first was. Pure.
//!
//! The commit record is the entry: an INSERT is remembered when its record is applied, and forgotten when `abort` is, so
//! there is no moment at which it is accepted and not remembered, or remembered and not accepted.
//!
//! An entry goes when its window has passed, or, the oldest of all first, when there are too many. Ages are by the wall clock
//! of the commits. A clock that is set back makes old entries stay longer; one that is set forward makes them go earlier, as
//! if that time had passed.
//!
//! Entries do not lie in the checkpoint, which is written again at every segment's end: each closed segment leaves its own in
//! `meta/window-<segment>` (window_file.rs), once. What is `unsaved` here is still only in the journal.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use hashbrown::HashTable;

use super::receipts::{KnownReceipt, Receipts};
use crate::event::{Commit, InsertNo};
use crate::model::InsertId;
use crate::retry::{Kind, RetryStatus, RetryWindows, Signature};

/// Bytes of memory that one entry takes: itself, its place in the index, and what both keep in reserve.
pub const ENTRY_BYTES: usize = 80;

/// Entries below which nothing is gained by giving memory back.
const SMALL: usize = 1024;

/// One accepted INSERT by one of its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Of [`Signature::keys`].
    pub key: u128,
    /// Its receipt.
    pub insert: InsertId,
    /// Its place in commit order.
    pub number: InsertNo,
    /// When it was committed, milliseconds since 1970.
    pub at_ms: u64,
    /// Rows of all its shares.
    pub rows: u64,
    /// Their raw bytes.
    pub raw_bytes: u64,
}

const _: () = assert!(size_of::<Known>() == 64, "ENTRY_BYTES counts on it");

/// A key that was taken back by an abort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freed {
    /// Of which kind.
    pub kind: Kind,
    /// The key.
    pub key: u128,
    /// Whose it was.
    pub number: InsertNo,
}

/// All that is remembered. The default remembers nothing.
#[derive(Debug, Default)]
pub struct Window {
    seed: u64,
    lengths: RetryWindows,
    entries_max: usize,
    kinds: [Remembered; Kind::ALL.len()],
    /// Keys of INSERTs that may still be undone.
    undoable: HashMap<InsertNo, Vec<(Kind, u128)>>,
    /// INSERTs before this one are in a file.
    unsaved_from: InsertNo,
    /// Keys that a file has and that are free again.
    freed: Vec<Freed>,
    /// Every INSERT by its receipt, as long as there is room.
    pub receipts: Receipts,
}

/// Entries of one kind.
#[derive(Debug, Default)]
struct Remembered {
    /// In the order in which they came. One that another replaced, or that is free again, stays until its time has come.
    order: VecDeque<Known>,
    /// Places in `order` of those that count, each as its serial number, by key.
    index: HashTable<u32>,
    /// Serial number of the first in `order`; it may wrap.
    first: u32,
    /// The youngest that had to go before its time was committed at this moment.
    forced_out_ms: Option<u64>,
}

// === recognising ===

impl Window {
    /// A window of that length that holds so many entries. The seed must be the same as long as its files are.
    pub fn new(seed: u64, lengths: RetryWindows, entries_max: usize) -> Window {
        Window {
            seed,
            lengths,
            entries_max,
            receipts: Receipts::beside(entries_max),
            ..Window::default()
        }
    }

    /// What an INSERT is remembered by, as far as that kind is recognised in `windows`.
    pub fn keys<'w>(
        &self,
        signature: &Signature<'_>,
        windows: &'w RetryWindows,
    ) -> impl Iterator<Item = (Kind, u128)> + use<'w> {
        let keys = signature.keys(self.seed);
        keys.filter(|(kind, _)| !windows.of(*kind).is_zero())
    }

    /// What an INSERT is remembered by.
    pub fn keys_kept(&self, signature: &Signature<'_>) -> impl Iterator<Item = (Kind, u128)> + use<'_> {
        self.keys(signature, &self.lengths)
    }

    /// The INSERT that has this key, if it was committed within the last `length`.
    pub fn find(&self, kind: Kind, key: u128, length: Duration, now_ms: u64) -> Option<&Known> {
        let known = self.kinds[kind as usize].get(key)?;
        is_within(length, known.at_ms, now_ms).then_some(known)
    }

    /// How much is remembered, and how far back.
    pub fn status(&self, now_ms: u64) -> RetryStatus {
        let mut windows = self.lengths;
        for kind in Kind::ALL {
            let forced_out = self.kinds[kind as usize].forced_out_ms;
            let since = forced_out.map_or(u64::MAX, |moment| now_ms.saturating_sub(moment));
            let length = windows.of_mut(kind);
            *length = (*length).min(Duration::from_millis(since));
        }
        let entries = self.kinds.iter().map(|kind| kind.index.len() as u64).sum();
        RetryStatus { entries, windows }
    }

    /// From now on INSERTs are remembered for so long. Of a window that becomes longer the older part is not there.
    pub fn set_lengths(&mut self, lengths: RetryWindows, now_ms: u64) {
        for kind in Kind::ALL {
            let (before, after) = (self.lengths.of(kind), lengths.of(kind));
            let remembered = &mut self.kinds[kind as usize];
            if after > before {
                let reaches_to = now_ms.saturating_sub(millis(before));
                remembered.forced_out_ms = remembered.forced_out_ms.max(Some(reaches_to));
            }
        }
        self.lengths = lengths;
        self.forget_old(now_ms);
    }
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

/// A moment in the future is one before the clock was set back.
pub fn is_within(length: Duration, moment_ms: u64, now_ms: u64) -> bool {
    now_ms.saturating_sub(moment_ms) < millis(length)
}

// === remembering ===

impl Window {
    /// An INSERT is accepted. `undoable`: `go` or `abort` is still to come.
    pub fn committed(&mut self, commit: &Commit, table: &str, rows: u64, raw_bytes: u64, undoable: bool) {
        self.receipts.committed(KnownReceipt {
            insert: commit.insert,
            number: commit.number,
            at_ms: commit.committed_at_ms,
            rows,
            raw_bytes,
        });
        let keys: Vec<_> = self.keys_kept(&commit.signature(table)).collect();
        // What is read again from the journal may be in a file already.
        if commit.number >= self.unsaved_from {
            for (kind, key) in &keys {
                let known = Known {
                    key: *key,
                    insert: commit.insert,
                    number: commit.number,
                    at_ms: commit.committed_at_ms,
                    rows,
                    raw_bytes,
                };
                self.insert(*kind, known);
            }
        }
        if undoable && !keys.is_empty() {
            self.undoable.insert(commit.number, keys);
        }
    }

    /// Nothing undoes it any more.
    pub fn gone(&mut self, insert: InsertNo) {
        self.undoable.remove(&insert);
    }

    /// It is undone: its keys are free.
    pub fn aborted(&mut self, insert: InsertNo) {
        self.receipts.aborted(insert);
        for (kind, key) in self.undoable.remove(&insert).unwrap_or_default() {
            let freed = Freed {
                kind,
                key,
                number: insert,
            };
            if self.free(freed) && insert < self.unsaved_from {
                self.freed.push(freed);
            }
        }
    }

    fn free(&mut self, freed: Freed) -> bool {
        self.kinds[freed.kind as usize].remove(freed.key, freed.number)
    }

    fn insert(&mut self, kind: Kind, known: Known) {
        if self.entries_max == 0 {
            return;
        }
        self.forget_old(known.at_ms);
        // A later INSERT with the same key is one that came when this one's window had passed, or was shorter.
        let is_latest = self.kinds[kind as usize]
            .get(known.key)
            .is_none_or(|there| there.number < known.number);
        if is_latest {
            self.make_room();
            self.kinds[kind as usize].push(known);
        }
    }

    fn forget_old(&mut self, now_ms: u64) {
        for kind in Kind::ALL {
            let length = self.lengths.of(kind);
            let remembered = &mut self.kinds[kind as usize];
            let is_old = |known: &Known| !is_within(length, known.at_ms, now_ms);
            while remembered.order.front().is_some_and(is_old) {
                remembered.pop();
            }
            remembered.give_back();
        }
    }

    /// The oldest of all kinds goes first.
    fn make_room(&mut self) {
        while self.kinds.iter().map(|kind| kind.order.len()).sum::<usize>() >= self.entries_max {
            let oldest =
                |kind: &&mut Remembered| kind.order.front().map_or(InsertNo::MAX, |known| known.number);
            let Some(kind) = self.kinds.iter_mut().min_by_key(oldest) else {
                return;
            };
            if let Some(at_ms) = kind.pop() {
                kind.forced_out_ms = kind.forced_out_ms.max(Some(at_ms));
            }
        }
    }
}

impl Commit {
    /// By what it is recognised.
    fn signature<'a>(&'a self, table: &'a str) -> Signature<'a> {
        Signature {
            user: &self.user,
            table,
            token: self.token.as_deref(),
            query_id: &self.query_id,
            body_hash: self.body_hash,
        }
    }
}

// === files ===

impl Window {
    /// Whether something is in no file yet.
    pub fn has_unsaved(&self) -> bool {
        let has = |kind: &Kind| self.unsaved(*kind).next().is_some();
        !self.freed.is_empty() || Kind::ALL.iter().any(has) || self.receipts.has_unsaved()
    }

    /// Entries of a kind that are in no file.
    pub fn unsaved(&self, kind: Kind) -> impl Iterator<Item = &Known> {
        self.kinds[kind as usize].counted_since(self.unsaved_from)
    }

    /// Keys that files have and that are free again.
    pub fn freed(&self) -> &[Freed] {
        &self.freed
    }

    /// All INSERTs before that one are in files.
    pub fn saved(&mut self, before: InsertNo) {
        self.unsaved_from = before;
        self.freed.clear();
        self.receipts.saved(before);
    }

    /// Takes an entry from a file; files come in their order.
    pub fn recall(&mut self, kind: Kind, known: Known, undoable: bool) {
        // A kind that is switched off is not looked at, and would only take room.
        if self.lengths.of(kind).is_zero() {
            return;
        }
        self.insert(kind, known);
        if undoable {
            self.undoable
                .entry(known.number)
                .or_default()
                .push((kind, known.key));
        }
    }

    /// Takes from a file that a key is free again.
    pub fn recall_freed(&mut self, freed: Freed) {
        self.free(freed);
    }

    /// Whether something of a file with the INSERTs before that one, written at that moment, may still be remembered.
    pub fn needs(&self, before: InsertNo, written_at_ms: u64, now_ms: u64) -> bool {
        let fronts = self.kinds.iter().filter_map(|kind| kind.order.front());
        let oldest = fronts.map(|known| known.number).min();
        let is_young = |kind: &Kind| is_within(self.lengths.of(*kind), written_at_ms, now_ms);
        let by_keys = oldest.is_some_and(|oldest| oldest < before) && Kind::ALL.iter().any(is_young);
        by_keys || self.receipts.needs(before, written_at_ms, now_ms)
    }
}

// === impl Remembered ===

impl Remembered {
    fn get(&self, key: u128) -> Option<&Known> {
        let at = |serial: &u32| self.order.get(serial.wrapping_sub(self.first) as usize);
        let serial = self.index.find(hash(key), |serial| {
            at(serial).is_some_and(|known| known.key == key)
        })?;
        at(serial)
    }

    /// Its key is this INSERT's from now on.
    fn push(&mut self, known: Known) {
        if let Some(number) = self.get(known.key).map(|there| there.number) {
            self.remove(known.key, number);
        }
        self.grow();
        self.order.push_back(known);
        let Remembered {
            order, index, first, ..
        } = self;
        let serial = first.wrapping_add(order.len() as u32 - 1);
        let hash_at = |serial: &u32| hash_at(order, *first, *serial);
        index.insert_unique(hash(known.key), serial, hash_at);
    }

    /// Takes the key from that INSERT; whether it had it.
    fn remove(&mut self, key: u128, number: InsertNo) -> bool {
        let Remembered {
            order, index, first, ..
        } = self;
        let is_it = |serial: &u32| {
            let known = order.get(serial.wrapping_sub(*first) as usize);
            known.is_some_and(|known| known.key == key && known.number == number)
        };
        index
            .find_entry(hash(key), is_it)
            .map(|entry| entry.remove())
            .is_ok()
    }

    /// Lets the oldest go. When it was committed, if it still counted.
    fn pop(&mut self) -> Option<u64> {
        let serial = self.first;
        let known = self.order.front()?;
        let (hash, at_ms) = (hash(known.key), known.at_ms);
        let counted = self.index.find_entry(hash, |there| *there == serial);
        let counted = counted.map(|entry| entry.remove()).is_ok();
        self.order.pop_front();
        self.first = serial.wrapping_add(1);
        counted.then_some(at_ms)
    }

    /// By a quarter and not by half: there may be a million.
    fn grow(&mut self) {
        if self.order.len() == self.order.capacity() {
            self.order.reserve_exact(SMALL.max(self.order.len() / 4));
        }
    }

    fn give_back(&mut self) {
        let few = self.order.len();
        if self.order.capacity() > SMALL && few < self.order.capacity() / 4 {
            self.order.shrink_to(2 * few);
            let Remembered {
                order, index, first, ..
            } = self;
            index.shrink_to(2 * few, |serial| hash_at(order, *first, *serial));
        }
    }

    fn counted_since(&self, number: InsertNo) -> impl Iterator<Item = &Known> {
        let later = self
            .order
            .iter()
            .rev()
            .take_while(|known| known.number >= number)
            .count();
        let from = self.order.len() - later;
        let is_counted = move |(at, known): &(usize, &Known)| {
            let serial = self.first.wrapping_add((from + at) as u32);
            self.index
                .find(hash(known.key), |there| *there == serial)
                .is_some()
        };
        self.order
            .range(from..)
            .enumerate()
            .filter(is_counted)
            .map(|(_, known)| known)
    }
}

/// Keys are hashes already.
fn hash(key: u128) -> u64 {
    key as u64
}

fn hash_at(order: &VecDeque<Known>, first: u32, serial: u32) -> u64 {
    order
        .get(serial.wrapping_sub(first) as usize)
        .map_or(0, |known| hash(known.key))
}

#[cfg(test)]
pub(crate) mod tests;
