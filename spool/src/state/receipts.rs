//! The receipts of accepted INSERTs, so that one that was never given is told from one whose rows have all arrived. Pure.
//!
//! A receipt is entered when its commit record is applied and taken back by `abort`, as retries are (window.rs), and lies in
//! the same files. Beside them it has memory of its own: a flood of INSERTs without a token must not shorten the windows of
//! those with one.

use std::collections::VecDeque;
use std::time::Duration;

use super::window::is_within;
use crate::event::InsertNo;
use crate::model::InsertId;

/// How long a receipt is known, if there is room: whoever asks later than a day has another way to look.
const KEPT_FOR: Duration = Duration::from_secs(86_400);

/// One receipt for so many entries of the windows: a quarter of their number, and somewhat less of their memory.
const WINDOW_SHARE: usize = 4;

/// Entries below which nothing is gained by reserving little by little.
const SMALL: usize = 1024;

/// An accepted INSERT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownReceipt {
    /// Its name.
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

const _: () = assert!(size_of::<KnownReceipt>() == 48, "docs/operations.md counts on it");

/// Those that are known. The default knows none.
#[derive(Debug, Default)]
pub struct Receipts {
    entries_max: usize,
    /// In commit order.
    order: VecDeque<KnownReceipt>,
    /// INSERTs before this one are in a file.
    unsaved_from: InsertNo,
    /// INSERTs that a file has and that are undone.
    freed: Vec<InsertNo>,
}

impl Receipts {
    /// Beside windows of so many entries.
    pub fn beside(window_entries_max: usize) -> Receipts {
        Receipts {
            entries_max: window_entries_max / WINDOW_SHARE,
            ..Receipts::default()
        }
    }

    /// A receipt's INSERT. Looks at each: that is a millisecond at the most there can be, and is asked by people.
    pub fn find(&self, insert: InsertId) -> Option<&KnownReceipt> {
        self.order.iter().rev().find(|known| known.insert == insert)
    }

    /// When the oldest INSERT that is known was accepted, milliseconds since 1970.
    pub fn since_ms(&self) -> Option<u64> {
        self.order.front().map(|known| known.at_ms)
    }

    /// An INSERT is accepted; one that is read again from the journal may be in a file already.
    pub fn committed(&mut self, known: KnownReceipt) {
        if known.number >= self.unsaved_from {
            self.push(known);
        }
    }

    /// It is undone, and its receipt was given to nobody.
    pub fn aborted(&mut self, number: InsertNo) {
        if self.remove(number) && number < self.unsaved_from {
            self.freed.push(number);
        }
    }

    fn push(&mut self, known: KnownReceipt) {
        let is_latest = self.order.back().is_none_or(|last| last.number < known.number);
        if self.entries_max == 0 || !is_latest {
            return;
        }
        let is_old = |first: &KnownReceipt| !is_within(KEPT_FOR, first.at_ms, known.at_ms);
        while self.order.len() >= self.entries_max || self.order.front().is_some_and(is_old) {
            self.order.pop_front();
        }
        if self.order.len() == self.order.capacity() {
            // By a quarter and not by half, as in window.rs.
            self.order.reserve_exact(SMALL.max(self.order.len() / 4));
        }
        self.order.push_back(known);
    }

    fn remove(&mut self, number: InsertNo) -> bool {
        let place = self.order.binary_search_by_key(&number, |known| known.number);
        place.is_ok_and(|at| self.order.remove(at).is_some())
    }
}

// === files ===

impl Receipts {
    /// Whether something is in no file yet.
    pub fn has_unsaved(&self) -> bool {
        !self.freed.is_empty() || self.unsaved().next().is_some()
    }

    /// Those that are in no file.
    pub fn unsaved(&self) -> impl Iterator<Item = &KnownReceipt> {
        let from = self
            .order
            .partition_point(|known| known.number < self.unsaved_from);
        self.order.range(from..)
    }

    /// INSERTs that files have and that are undone.
    pub fn freed(&self) -> &[InsertNo] {
        &self.freed
    }

    /// All INSERTs before that one are in files.
    pub fn saved(&mut self, before: InsertNo) {
        self.unsaved_from = before;
        self.freed.clear();
    }

    /// Takes one from a file; files come in their order.
    pub fn recall(&mut self, known: KnownReceipt) {
        self.push(known);
    }

    /// Takes from a file that an INSERT is undone.
    pub fn recall_freed(&mut self, number: InsertNo) {
        self.remove(number);
    }

    /// Whether something of a file with the INSERTs before that one, written at that moment, is still known.
    pub fn needs(&self, before: InsertNo, written_at_ms: u64, now_ms: u64) -> bool {
        let oldest = self.order.front().map(|known| known.number);
        oldest.is_some_and(|oldest| oldest < before) && is_within(KEPT_FOR, written_at_ms, now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(number: InsertNo, at_ms: u64) -> KnownReceipt {
        KnownReceipt {
            insert: InsertId(uuid::Uuid::from_u128(number.into())),
            number,
            at_ms,
            rows: 3,
            raw_bytes: 30,
        }
    }

    fn id(number: InsertNo) -> InsertId {
        known(number, 0).insert
    }

    #[test]
    fn a_receipt_is_known_until_there_is_no_room_or_a_day_has_passed() {
        let mut receipts = Receipts::beside(3 * WINDOW_SHARE);
        (1..=4).for_each(|number| receipts.committed(known(number, number)));
        assert_eq!(receipts.find(id(1)), None, "three have room");
        assert_eq!(receipts.find(id(2)), Some(&known(2, 2)));
        assert_eq!(receipts.since_ms(), Some(2));
        let day = KEPT_FOR.as_millis() as u64;
        receipts.committed(known(5, day + 3));
        assert_eq!((receipts.find(id(3)), receipts.since_ms()), (None, Some(4)));
    }

    #[test]
    fn an_undone_insert_has_no_receipt_and_a_file_that_has_it_is_told() {
        let mut receipts = Receipts::beside(100);
        (1..=3).for_each(|number| receipts.committed(known(number, number)));
        receipts.aborted(3);
        assert!(receipts.freed().is_empty(), "no file has it");
        receipts.saved(4);
        receipts.aborted(2);
        receipts.aborted(9);
        assert_eq!((receipts.find(id(2)), receipts.freed()), (None, [2].as_slice()));
        assert!(receipts.has_unsaved());
        let mut next = Receipts::beside(100);
        [1, 2]
            .into_iter()
            .for_each(|number| next.recall(known(number, number)));
        next.recall_freed(2);
        assert_eq!((next.find(id(1)), next.find(id(2))), (Some(&known(1, 1)), None));
    }

    #[test]
    fn what_is_read_again_from_the_journal_is_known_once() {
        let mut receipts = Receipts::beside(100);
        (1..=2).for_each(|number| receipts.recall(known(number, number)));
        receipts.saved(3);
        (1..=3).for_each(|number| receipts.committed(known(number, number)));
        assert_eq!(receipts.unsaved().copied().collect::<Vec<_>>(), [known(3, 3)]);
        assert_eq!(receipts.order.len(), 3);
    }
}
