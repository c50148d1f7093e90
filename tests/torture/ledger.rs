//! Which INSERT was sent, what its client was told, and what became of its rows.
//!
//! A row's key is its INSERT's number and its place in it, so every row of a run is unlike every other (18.16 takes two equal
//! blocks for one), and what a shard holds can be counted INSERT by INSERT without keeping what was sent.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard};

use crate::bed::{Bed, FIRST_SHARD_SLOTS, SLOTS, TABLES, Table};
use crate::clients::LARGE_ROWS;

/// Bits of a key below the INSERT's number.
const ROW_BITS: u32 = 20;

/// The most INSERTs a failure names; all are counted.
const NAMED_MAX: usize = 20;

/// What a client knows of its INSERT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// No answer yet.
    Open,
    /// 200, or an error with a receipt: it must be there.
    Accepted,
    /// An error without a receipt: it must not be there.
    Refused,
    /// There was no connection.
    Unsent,
    /// The answer was lost: it must be there wholly or not at all.
    Unknown,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Its place in [`TABLES`].
    table: usize,
    client: u16,
    rows: u64,
    fate: Fate,
}

/// All INSERTs of a run, by number.
#[derive(Debug, Default)]
pub struct Ledger {
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    entries: Vec<Entry>,
    /// Entries before this one were checked and must not change any more.
    checked: usize,
    /// Rows of each table that the checked entries have.
    settled_rows: [u64; TABLES.len()],
    unknown_whole: u64,
}

/// An INSERT's rows as one set of replicas holds them.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    /// Different rows.
    different: u64,
    /// All, counting one that is there twice twice.
    all: u64,
    misplaced: u64,
}

/// The key of an INSERT's row.
pub fn key(insert: usize, row: u64) -> u64 {
    ((insert as u64) << ROW_BITS) | row
}

impl Ledger {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("no holder panics")
    }

    /// Gives an INSERT its number before it is sent.
    pub fn begin(&self, table: usize, client: u16, rows: u64) -> usize {
        assert!(rows < 1 << ROW_BITS, "{rows} rows do not fit an INSERT's keys");
        let mut book = self.book();
        book.entries.push(Entry {
            table,
            client,
            rows,
            fate: Fate::Open,
        });
        book.entries.len() - 1
    }

    /// Writes down what the client was told.
    pub fn end(&self, insert: usize, fate: Fate) {
        self.book().entries[insert].fate = fate;
    }

    /// Numbers of the run so far.
    pub fn summary(&self) -> String {
        let book = self.book();
        let count = |fate| book.entries.iter().filter(|entry| entry.fate == fate).count();
        let large = |entry: &&Entry| entry.rows == LARGE_ROWS && entry.fate != Fate::Unsent;
        let rows: u64 = book.settled_rows.iter().sum();
        format!(
            "{} INSERTs sent, {} of them of 50 MB: {} accepted, {} refused, {} unanswered ({} of them delivered whole), \
             {} times no connection; {rows} rows checked",
            book.entries.len() - count(Fate::Unsent),
            book.entries.iter().filter(large).count(),
            count(Fate::Accepted),
            count(Fate::Refused),
            count(Fate::Unknown),
            book.unknown_whole,
            count(Fate::Unsent),
        )
    }

    /// Compares everything since the last check with what the shards hold; of what was there before, that it has not changed.
    pub fn check(&self, bed: &Bed) -> Result<(), String> {
        let mut book = self.book();
        let mut trouble = Trouble::default();
        let mut rows = book.settled_rows;
        let mut unknown_whole = 0;
        for (number, table) in TABLES.iter().enumerate() {
            for replica in 0..table.shards[0].len() {
                let held = held(bed, table, replica, book.checked);
                unknown_whole += book.compare(number, replica, &held, &mut trouble);
                let new_rows: u64 = held.values().map(|held| held.all).sum();
                rows[number] = book.settled_rows[number] + new_rows;
                trouble.weigh_total(table, replica, rows[number], count(bed, table, replica));
            }
        }
        trouble.into_result()?;
        book.settled_rows = rows;
        book.unknown_whole += unknown_whole;
        book.checked = book.entries.len();
        Ok(())
    }
}

impl Book {
    /// Weighs a table's new entries against one set of replicas; returns how many unanswered INSERTs are there, counted at the
    /// first set.
    fn compare(
        &self,
        table: usize,
        replica: usize,
        held: &BTreeMap<usize, Held>,
        trouble: &mut Trouble,
    ) -> u64 {
        let mut unknown_whole = 0;
        let new = self.entries.iter().enumerate().skip(self.checked);
        for (insert, entry) in new.filter(|(_, entry)| entry.table == table) {
            let held = held.get(&insert).copied().unwrap_or_default();
            trouble.weigh(insert, entry, replica, held);
            unknown_whole += u64::from(replica == 0 && entry.fate == Fate::Unknown && held.all > 0);
        }
        for insert in held.keys() {
            let is_its_own = |entry: &Entry| entry.table == table;
            if !self.entries.get(*insert).is_some_and(is_its_own) {
                let table = TABLES[table].name;
                trouble.totals += &format!("{table} holds rows of INSERT {insert}, which are not its own\n");
            }
        }
        unknown_whole
    }
}

/// What is wrong, counted, and the first of it named.
#[derive(Debug, Default)]
struct Trouble {
    lost_rows: u64,
    rows_twice: u64,
    misplaced_rows: u64,
    inserts_in_part: u64,
    refused_inserts: u64,
    named: Vec<String>,
    totals: String,
}

impl Trouble {
    fn weigh(&mut self, insert: usize, entry: &Entry, replica: usize, held: Held) {
        let missing = entry.rows - held.different.min(entry.rows);
        let lost = if entry.fate == Fate::Accepted { missing } else { 0 };
        let twice = held.all - held.different;
        let in_part = entry.fate == Fate::Unknown && held.different > 0 && missing > 0;
        let refused = matches!(entry.fate, Fate::Refused | Fate::Unsent) && held.all > 0;
        assert!(entry.fate != Fate::Open, "INSERT {insert} is still open");
        self.lost_rows += lost;
        self.rows_twice += twice;
        self.misplaced_rows += held.misplaced;
        self.inserts_in_part += u64::from(in_part);
        self.refused_inserts += u64::from(refused);
        if lost + twice + held.misplaced > 0 || in_part || refused {
            let (table, client) = (TABLES[entry.table].name, entry.client);
            self.named.push(format!(
                "INSERT {insert} of client {client} into {table} (replicas {replica}): {:?}, {} rows, {held:?}",
                entry.fate, entry.rows
            ));
        }
    }

    fn weigh_total(&mut self, table: &Table, replica: usize, accounted: u64, held: u64) {
        if held != accounted {
            let table = table.name;
            self.totals +=
                &format!("{table} (replicas {replica}) holds {held} rows, {accounted} are accounted for\n");
        }
    }

    fn into_result(self) -> Result<(), String> {
        if self.named.is_empty() && self.totals.is_empty() {
            return Ok(());
        }
        let mut text = format!(
            "{} acknowledged rows lost, {} rows twice, {} rows on a wrong shard, {} INSERTs in part, {} refused INSERTs delivered\n{}",
            self.lost_rows,
            self.rows_twice,
            self.misplaced_rows,
            self.inserts_in_part,
            self.refused_inserts,
            self.totals
        );
        for named in self.named.iter().take(NAMED_MAX) {
            let _ = writeln!(text, "{named}");
        }
        Err(text)
    }
}

/// What the `replica`-th replicas of all shards hold of the INSERTs from `first` on.
fn held(bed: &Bed, table: &Table, replica: usize, first: usize) -> BTreeMap<usize, Held> {
    let mut held = BTreeMap::<usize, Held>::new();
    for (number, shard) in table.shards.iter().enumerate() {
        let misplaced = match table.shards.len() {
            1 => "0".to_owned(),
            _ => format!(
                "(cityHash64(k) % {SLOTS} < {FIRST_SHARD_SLOTS}) != {}",
                u8::from(number == 0)
            ),
        };
        let sql = format!(
            "SELECT intDiv(k, {}) AS i, uniqExact(k), count(), countIf({misplaced}) FROM {}_local WHERE k >= {} \
             GROUP BY i FORMAT TabSeparated",
            1 << ROW_BITS,
            table.name,
            key(first, 0)
        );
        for line in bed.endpoint(shard[replica]).query(&sql).lines() {
            let numbers: Vec<u64> = line
                .split('\t')
                .map(|field| field.parse().expect("a number"))
                .collect();
            let insert = held.entry(numbers[0] as usize).or_default();
            insert.different += numbers[1];
            insert.all += numbers[2];
            insert.misplaced += numbers[3];
        }
    }
    held
}

fn count(bed: &Bed, table: &Table, replica: usize) -> u64 {
    let sql = format!("SELECT count() FROM {}_local FORMAT TabSeparated", table.name);
    let counts = table
        .shards
        .iter()
        .map(|shard| bed.endpoint(shard[replica]).query(&sql));
    counts
        .map(|count| count.trim().parse::<u64>().expect("a number"))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a check says of one INSERT of 20 rows into `pairs`.
    #[track_caller]
    fn check(fate: Fate, different: u64, all: u64, misplaced: u64, expected: &str) {
        let entry = Entry {
            table: 0,
            client: 7,
            rows: 20,
            fate,
        };
        let held = Held {
            different,
            all,
            misplaced,
        };
        let mut trouble = Trouble::default();
        trouble.weigh(0, &entry, 0, held);
        let told = trouble.into_result().err().unwrap_or_default();
        let told = told.lines().next().unwrap_or_default();
        assert!(told.contains(expected), "{fate:?}, {held:?}: {told}");
        assert_eq!(told.is_empty(), expected.is_empty(), "{fate:?}, {held:?}: {told}");
    }

    #[test]
    fn each_kind_of_trouble_is_counted_and_nothing_else_is() {
        check(Fate::Accepted, 20, 20, 0, "");
        check(Fate::Unknown, 20, 20, 0, "");
        check(Fate::Unknown, 0, 0, 0, "");
        check(Fate::Refused, 0, 0, 0, "");
        check(Fate::Accepted, 19, 19, 0, "1 acknowledged rows lost");
        check(Fate::Accepted, 0, 0, 0, "20 acknowledged rows lost");
        check(Fate::Accepted, 20, 21, 0, " 1 rows twice");
        check(Fate::Unknown, 20, 40, 0, " 20 rows twice");
        check(Fate::Accepted, 20, 20, 3, " 3 rows on a wrong shard");
        check(Fate::Unknown, 11, 11, 0, " 1 INSERTs in part");
        check(Fate::Refused, 20, 20, 0, " 1 refused INSERTs delivered");
        check(Fate::Unsent, 5, 5, 0, " 1 refused INSERTs delivered");
    }
}
