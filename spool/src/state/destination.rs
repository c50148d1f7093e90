//! A destination: its batches by number, which of them is first in line, and what is known of their attempts.

use std::collections::{BTreeMap, BTreeSet};

use super::PendingBatch;
use crate::doubt::Doubt;
use crate::event::{BatchInfo, InsertNo, Seq, Verdict};
use crate::model::{BatchLimits, LaneId};
use crate::pace::Pace;
use crate::status::Tally;

/// Numbers that may be missing in front of a file of ours.
const LEAP_MAX: Seq = 1 << 32;

/// What is known of one waiting batch without opening its file. With its key it is 32 bytes, at the half
/// filled nodes of a growing B-tree 64: the spool's memory for a backlog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// When it was cut, milliseconds since 1970.
    pub created_at_ms: u64,
    /// Rows in it.
    pub rows: u32,
    /// Their raw bytes.
    pub raw_bytes: u32,
    /// Size of its file.
    pub file_bytes: u32,
    /// Why it waits.
    pub phase: Phase,
}

const _: () = assert!(size_of::<(Seq, Entry)>() == 32);

/// Why a batch waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// For its first attempt; until then it may be joined with its neighbours.
    Cut,
    /// For its first attempt, as a piece of a refused batch: joined with the others it would be what was refused.
    Piece,
    /// An attempt began; how it ended is not known.
    InDoubt,
    /// For the next attempt.
    Retry,
}

/// What is said of a batch that was tried, or is on its way out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Note {
    /// Attempts so far.
    pub attempts: u32,
    /// Which replicas may have it.
    pub doubt: Doubt,
    /// The last error.
    pub error: Option<String>,
}

/// One destination's queue.
#[derive(Debug, Default)]
pub struct Queue {
    /// The number the next batch gets.
    pub next_seq: Seq,
    /// Why nothing goes there.
    pub held: Option<String>,
    /// Batches in line.
    pub line: BTreeMap<Seq, Entry>,
    /// Batches set aside.
    pub aside: BTreeMap<Seq, Entry>,
    /// What is to be said of some of both.
    pub notes: BTreeMap<Seq, Note>,
    /// Batches that are settled for good, until their file is where it belongs.
    pub leaving: BTreeMap<Seq, Verdict>,
    /// Pending INSERTs with rows in a batch.
    pub pending: BTreeMap<Seq, PendingBatch>,
    /// Batches of a pending INSERT that is probed at another destination: not to be sent before its `go`.
    pub withheld: BTreeSet<Seq>,
    /// Joined batches, by the place in line that the first had whose rows they have.
    pub places: BTreeMap<Seq, Seq>,
    /// Batches that senders have in hand, or that are just being joined.
    pub leased: BTreeSet<Seq>,
    /// How far its batches are from the configuration's limits.
    pub pace: Pace,
    /// Lanes of local replicas that lead here.
    pub local_lanes: Vec<LaneId>,
    /// All lanes that lead here.
    pub lanes: Vec<LaneId>,
    /// Sum of `line`.
    pub waiting: Tally,
    /// Sum of `aside`.
    pub held_batches: Tally,
    /// Bytes of settled files that are not where they belong yet.
    pub departing_bytes: u64,
    /// Files in sent/.
    pub sent: Tally,
    /// Files in broken/.
    pub broken: Tally,
    /// Rows acknowledged since the spool was opened.
    pub acknowledged_rows: u64,
}

/// Whose turn it is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// One at a time, in order.
    InOrder,
    /// The first that nobody has in hand.
    Eldest,
    /// The first that was never tried, as long as fewer than so many others are being tried, or were, and none of those is in
    /// doubt.
    Untried {
        /// How many.
        tried_max: usize,
    },
}

impl Entry {
    /// Whether no attempt of it began.
    pub fn is_untried(&self) -> bool {
        match self.phase {
            Phase::Cut | Phase::Piece => true,
            Phase::InDoubt | Phase::Retry => false,
        }
    }

    /// Whether it is at most half of what a batch may hold: a larger one is copied for little.
    pub fn is_small(&self, limits: &BatchLimits) -> bool {
        u64::from(self.rows) <= limits.max_rows / 2 && u64::from(self.raw_bytes) <= limits.max_bytes / 2
    }

    /// The same as a piece of a refused batch.
    pub fn piece(self) -> Entry {
        Entry {
            phase: Phase::Piece,
            ..self
        }
    }

    /// Sizes are below 4 GiB: a batch's raw bytes are limited to [`crate::model::BATCH_BYTES_MAX`].
    pub fn of(batch: &BatchInfo) -> Entry {
        let narrow = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        Entry {
            created_at_ms: batch.created_at_ms,
            rows: narrow(batch.rows),
            raw_bytes: narrow(batch.raw_bytes),
            file_bytes: narrow(batch.file_bytes),
            phase: Phase::Cut,
        }
    }

    /// What it holds.
    pub fn batch(&self) -> BatchInfo {
        BatchInfo {
            rows: self.rows.into(),
            raw_bytes: self.raw_bytes.into(),
            file_bytes: self.file_bytes.into(),
            created_at_ms: self.created_at_ms,
        }
    }

    /// The batch as one file.
    pub fn tally(&self) -> Tally {
        Tally {
            files: 1,
            rows: self.rows.into(),
            raw_bytes: self.raw_bytes.into(),
            file_bytes: self.file_bytes.into(),
        }
    }
}

impl Queue {
    /// A destination that never had a batch.
    pub fn new() -> Queue {
        Queue {
            next_seq: 1,
            ..Queue::default()
        }
    }

    /// Gives the next number away; it is never given again, used or not.
    pub fn reserve(&mut self) -> Seq {
        self.next_seq += 1;
        self.next_seq - 1
    }

    /// That number is taken by whatever lies there. One far beyond is not of our giving, and is left alone when its turn
    /// comes.
    pub fn pass(&mut self, seq: Seq) {
        if seq.saturating_sub(self.next_seq) < LEAP_MAX {
            self.next_seq = self.next_seq.max(seq + 1);
        }
    }

    /// Adds a batch at its place in line.
    pub fn insert(&mut self, seq: Seq, entry: Entry) {
        self.next_seq = self.next_seq.max(seq + 1);
        self.waiting.add(entry.tally());
        if let Some(replaced) = self.line.insert(seq, entry) {
            self.waiting.subtract(replaced.tally());
        }
    }

    /// Batches in line in the order in which they are first tried.
    pub fn in_order(&self) -> impl Iterator<Item = (Seq, &Entry)> {
        let mut placed = self.places.iter().peekable();
        // Few are joined at a time: each is tried at once.
        let is_placed = |seq: &Seq| self.places.values().any(|placed| placed == seq);
        let by_number = self.line.iter().filter(move |(seq, _)| !is_placed(seq));
        let mut by_number = by_number.peekable();
        std::iter::from_fn(move || {
            let number = by_number.peek().map(|(seq, _)| **seq);
            let is_before = |(place, _): &(&Seq, &Seq)| number.is_none_or(|number| **place < number);
            match placed.next_if(is_before) {
                Some((_, seq)) => self.line.get(seq).map(|entry| (*seq, entry)),
                None => by_number.next().map(|(seq, entry)| (*seq, entry)),
            }
        })
    }

    /// The batch that a sender gets when it is its turn, unless the destination is held.
    pub fn next(&self, turn: Turn) -> Option<Seq> {
        if self.held.is_some() {
            return None;
        }
        let mut free = self.in_order().filter(|(seq, _)| !self.leased.contains(seq));
        let next = match turn {
            // One that is withheld holds the others back, for the order's sake; not for longer than a client waits.
            Turn::InOrder => free
                .next()
                .filter(|(seq, _)| self.leased.is_empty() && self.may_go(*seq)),
            Turn::Eldest => free.find(|(seq, _)| self.may_go(*seq)),
            Turn::Untried { tried_max } if self.tries() >= tried_max || self.is_in_doubt() => None,
            Turn::Untried { .. } => free.find(|(seq, entry)| entry.is_untried() && self.may_go(*seq)),
        };
        next.map(|(seq, _)| seq)
    }

    /// Whether a batch may be there of which nobody knows: the shard remembers only so many blocks, and others would push its own
    /// out. A first attempt that is under way is not one.
    fn is_in_doubt(&self) -> bool {
        let waits = |(seq, note): (&Seq, &Note)| {
            let has_failed = note.error.is_some() || !self.leased.contains(seq);
            self.line.contains_key(seq) && has_failed && note.doubt.may_have().is_some()
        };
        self.notes.iter().any(waits)
    }

    fn may_go(&self, seq: Seq) -> bool {
        !self.withheld.contains(&seq)
    }

    /// Batches in line that are being tried, or were.
    fn tries(&self) -> usize {
        let tried = self.notes.keys().filter(|seq| self.line.contains_key(seq));
        let first_tries = self.leased.iter().filter(|seq| !self.notes.contains_key(seq));
        tried.count() + first_tries.count()
    }

    /// Whether the batch was never tried, nobody has it in hand, and no client waits for it.
    pub fn may_be_joined(&self, seq: Seq) -> bool {
        let is_awaited = |batch: &PendingBatch| !batch.inserts.is_empty();
        self.line.get(&seq).is_some_and(|entry| entry.phase == Phase::Cut)
            && !self.notes.contains_key(&seq)
            && !self.withheld.contains(&seq)
            && !self.pending.get(&seq).is_some_and(is_awaited)
    }

    /// Puts a batch in the place of those whose rows it has, which are no longer in line.
    pub fn join(&mut self, seqs: &[Seq], into: Seq, entry: Entry) {
        let place_of = |seq: &Seq| {
            let placed = self.places.iter().find(|(_, placed)| *placed == seq);
            placed.map_or(*seq, |(place, _)| *place)
        };
        let place = seqs.iter().map(place_of).min();
        seqs.iter().for_each(|seq| self.lose_place(*seq));
        self.insert(into, entry);
        self.places.extend(place.map(|place| (place, into)));
    }

    /// It is no longer in line, or stands where its number says.
    fn lose_place(&mut self, seq: Seq) {
        self.places.retain(|_, placed| *placed != seq);
    }

    /// Whether a batch waits, in line or aside.
    pub fn holds(&self, seq: Seq) -> bool {
        self.line.contains_key(&seq) || self.aside.contains_key(&seq)
    }

    /// Records that an attempt begins.
    pub fn attempting(&mut self, seq: Seq, attempt: u32, replica: &str, at_ms: u64) {
        let mut doubt = self.doubt(seq);
        doubt.began(replica, at_ms);
        self.tried(seq, attempt, doubt);
    }

    /// Enters what is known of a batch's attempts; how the last one ended is not.
    pub fn tried(&mut self, seq: Seq, attempts: u32, doubt: Doubt) {
        if let Some(entry) = self.line.get_mut(&seq) {
            entry.phase = Phase::InDoubt;
            let note = self.notes.entry(seq).or_default();
            (note.attempts, note.doubt) = (attempts, doubt);
        }
    }

    /// Records that a batch's last attempt wrote nothing.
    pub fn disproved(&mut self, seq: Seq) {
        if let Some(note) = self.notes.get_mut(&seq) {
            note.doubt.disproved();
        }
    }

    /// Records that a batch waits for its next attempt.
    pub fn retry(&mut self, seq: Seq, error: &str) {
        if let Some(entry) = self.line.get_mut(&seq) {
            entry.phase = Phase::Retry;
            self.notes.entry(seq).or_default().error = Some(error.to_owned());
        }
    }

    /// Sets a batch aside.
    pub fn set_aside(&mut self, seq: Seq, error: &str) {
        if let Some(entry) = self.line.remove(&seq) {
            self.lose_place(seq);
            self.waiting.subtract(entry.tally());
            self.held_batches.add(entry.tally());
            self.aside.insert(seq, entry);
        }
        if self.aside.contains_key(&seq) {
            self.notes.entry(seq).or_default().error = Some(error.to_owned());
        }
    }

    /// Puts a batch that was set aside back into line.
    pub fn requeue(&mut self, seq: Seq) {
        if let Some(mut entry) = self.aside.remove(&seq) {
            self.held_batches.subtract(entry.tally());
            entry.phase = Phase::Retry;
            if let Some(note) = self.notes.get_mut(&seq) {
                note.doubt.vouched_for();
            }
            self.insert(seq, entry);
        }
    }

    /// Takes a batch out; its file follows, and the verdict is remembered until it has.
    pub fn leave(&mut self, seq: Seq, verdict: Verdict) -> Option<Entry> {
        let entry = self.remove(seq)?;
        self.departing_bytes += u64::from(entry.file_bytes);
        self.leaving.insert(seq, verdict);
        Some(entry)
    }

    /// The end of a batch whose cut is lost: its file belongs where the verdict says.
    pub fn settle_unknown(&mut self, seq: Seq, verdict: &Verdict) {
        self.next_seq = self.next_seq.max(seq + 1);
        let is_end = matches!(
            verdict,
            Verdict::Acknowledged | Verdict::Broken { .. } | Verdict::Dropped
        );
        if is_end && !self.holds(seq) {
            self.leaving.insert(seq, verdict.clone());
        }
    }

    /// Rows of that INSERT in the batch are rows like any other from now on.
    pub fn no_longer_pending(&mut self, seq: Seq, insert: InsertNo) {
        if let Some(batch) = self.pending.get_mut(&seq) {
            batch.inserts.remove(&insert);
            batch.has_others = true;
        }
    }

    /// Forgets a batch.
    pub fn remove(&mut self, seq: Seq) -> Option<Entry> {
        self.notes.remove(&seq);
        self.withheld.remove(&seq);
        if let Some(entry) = self.line.remove(&seq) {
            self.lose_place(seq);
            self.waiting.subtract(entry.tally());
            return Some(entry);
        }
        let entry = self.aside.remove(&seq)?;
        self.held_batches.subtract(entry.tally());
        Some(entry)
    }

    /// Why an INSERT need not wait for this destination: rows already do, and not because a sender is slow.
    pub fn stalled(&self) -> Option<String> {
        if let Some(why) = self.refuses_all() {
            return Some(why);
        }
        // Batches that were set aside are in nobody's way.
        let (seq, first) = self.in_order().next()?;
        match first.phase {
            Phase::Cut | Phase::Piece => None,
            Phase::Retry => Some(format!("batch {seq} waits for a retry: {}", self.error_of(seq))),
            Phase::InDoubt if self.leased.contains(&seq) => None,
            Phase::InDoubt => Some(format!(
                "batch {seq} waits: the outcome of its last attempt is not known"
            )),
        }
    }

    /// Why nothing at all goes there now; `None` where a batch may yet be answered within a client's patience, whatever is
    /// in front of it.
    pub fn refuses_all(&self) -> Option<String> {
        self.held
            .as_ref()
            .map(|why| format!("the destination is held: {why}"))
    }

    /// Whether nothing in line waits to be sent.
    pub fn is_idle(&self) -> bool {
        self.line.is_empty()
    }

    /// Attempts recorded of a batch.
    pub fn attempts(&self, seq: Seq) -> u32 {
        self.notes.get(&seq).map_or(0, |note| note.attempts)
    }

    /// Which replicas may have a batch.
    pub fn doubt(&self, seq: Seq) -> Doubt {
        self.notes
            .get(&seq)
            .map(|note| note.doubt.clone())
            .unwrap_or_default()
    }

    /// The last error of a batch.
    pub fn error_of(&self, seq: Seq) -> &str {
        self.notes
            .get(&seq)
            .and_then(|note| note.error.as_deref())
            .unwrap_or("no error is recorded")
    }

    /// Waiting batches with an attempt whose outcome is not known.
    pub fn in_doubt(&self) -> u64 {
        // Only tried ones have a note, and they are few: as many as there are senders, and those that were set aside.
        let tried = self.notes.keys().filter_map(|seq| self.line.get(seq));
        tried.filter(|entry| entry.phase == Phase::InDoubt).count() as u64
    }
}

impl Tally {
    /// Counts one more.
    pub(crate) fn add(&mut self, other: Tally) {
        self.files += other.files;
        self.rows += other.rows;
        self.raw_bytes += other.raw_bytes;
        self.file_bytes += other.file_bytes;
    }

    /// Counts one less.
    pub(crate) fn subtract(&mut self, other: Tally) {
        self.files = self.files.saturating_sub(other.files);
        self.rows = self.rows.saturating_sub(other.rows);
        self.raw_bytes = self.raw_bytes.saturating_sub(other.raw_bytes);
        self.file_bytes = self.file_bytes.saturating_sub(other.file_bytes);
    }
}
