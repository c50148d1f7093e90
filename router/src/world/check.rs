//! What clients were told against what servers have and the spool still holds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use spool::bin_file::BinReader;
use spool::disk::Disk as _;
use spool::sim::SimDisk;

use super::client::{Fate, Insert};
use super::plan::TABLES;
use super::shards::{Inner, Row, Shards, short};

/// A batch that the spool has set aside.
#[derive(Debug)]
struct Aside {
    table: usize,
    shard: usize,
    replica: Option<String>,
    is_broken: bool,
    token: String,
    rows: Vec<Row>,
}

/// Everything, once nothing moves any more.
pub fn all(shards: &Shards, inserts: &[Arc<Insert>], disk: &SimDisk) {
    let shards = shards.lock();
    let aside = set_aside(disk);
    let bad: BTreeSet<_> = (inserts.iter())
        .filter(|insert| insert.rows.iter().any(|row| row.is_bad()))
        .flat_map(|insert| insert.rows.iter().copied())
        .collect();
    for batch in &aside {
        check_reason(&shards, batch, &bad);
    }
    let known: BTreeSet<_> = inserts.iter().flat_map(|insert| &insert.rows).copied().collect();
    for (row, token) in shards.stores.iter().flat_map(|store| &store.rows) {
        assert!(
            known.contains(row),
            "{row:?}, under {}, is nobody's",
            short(token)
        );
        assert!(!row.is_bad(), "a server has read a bad row");
    }
    inserts
        .iter()
        .for_each(|insert| check_insert(&shards, &aside, insert));
}

/// Rows are set aside only for what the world did.
fn check_reason(shards: &Inner, batch: &Aside, bad: &BTreeSet<Row>) {
    if batch.is_broken {
        let good = batch.rows.iter().find(|row| !bad.contains(row));
        assert_eq!(good, None, "a row of a sound INSERT is in broken/");
        return;
    }
    let is_given = shards.refused.contains(&batch.token) || shards.is_open(&batch.token);
    assert!(is_given, "a batch is held for no reason: {batch:?}");
}

fn check_insert(shards: &Inner, aside: &[Aside], insert: &Insert) {
    let mut states = BTreeMap::new();
    for row in &insert.rows {
        for (replica, stores) in shards.places(row.table(), row.shard()) {
            let here = |batch: &&Aside| {
                (batch.table, batch.shard, &batch.replica) == (row.table(), row.shard(), &replica)
                    && batch.rows.contains(row)
            };
            let kept = aside.iter().filter(here).count();
            let found: Vec<_> = stores
                .iter()
                .flat_map(|store| &shards.stores[*store].rows)
                .filter(|(there, _)| there == row)
                .map(|(_, token)| token.as_str())
                .collect();
            check_count(shards, insert, *row, &found, kept);
            states.insert((*row, replica), found.len() + kept > 0);
        }
    }
    let number = insert.number;
    let there = states.values().filter(|is_there| **is_there).count();
    match insert.fate() {
        Fate::Accepted => {
            let lost: Vec<_> = states.iter().filter(|(_, is_there)| !**is_there).collect();
            assert!(
                lost.is_empty(),
                "rows of accepted INSERT {number} are lost: {lost:?}"
            );
        }
        Fate::Refused => {
            let kept: Vec<_> = states.iter().filter(|(_, is_there)| **is_there).collect();
            assert!(
                kept.is_empty(),
                "rows of refused INSERT {number} are there: {kept:?}"
            );
        }
        Fate::Unknown => assert!(
            there == 0 || there == states.len(),
            "INSERT {number}, without an answer, is there in part: {states:?}"
        ),
    }
}

/// Once; more often only where nobody could have known better.
fn check_count(shards: &Inner, insert: &Insert, row: Row, found: &[&str], kept: usize) {
    let number = insert.number;
    let tokens: BTreeSet<_> = found.iter().collect();
    assert!(
        tokens.len() <= 1,
        "{row:?} of INSERT {number} was written under {tokens:?}"
    );
    assert!(kept <= 1, "{row:?} of INSERT {number} is set aside {kept} times");
    let is_open = found.iter().all(|token| shards.is_open(token));
    if found.len() > 1 {
        let recognises = shards.plan.engines[row.table()].window.is_some();
        assert!(
            !recognises && is_open,
            "{row:?} of INSERT {number} is there {} times: {found:?}",
            found.len()
        );
    }
    if kept > 0 && !found.is_empty() {
        assert!(is_open, "{row:?} of INSERT {number} is written and set aside");
    }
}

/// The batches below every destination that are not in sent/; nothing waits any more.
fn set_aside(disk: &SimDisk) -> Vec<Aside> {
    let files = disk.files();
    files.iter().filter_map(|path| aside_at(disk, path)).collect()
}

fn aside_at(disk: &SimDisk, path: &Path) -> Option<Aside> {
    let parts: Vec<_> = path
        .strip_prefix("/spool")
        .ok()?
        .iter()
        .map(|part| part.to_str().unwrap())
        .collect();
    let (table, destination, is_broken) = match parts[..] {
        [table, destination, _] => (table, destination, false),
        [table, destination, "broken", _] => (table, destination, true),
        _ => return None,
    };
    let table = TABLES.iter().position(|known| *known == table)?;
    let is_batch = path.extension().is_some_and(|extension| extension == "bin");
    if !is_batch {
        return None;
    }
    let reader = BinReader::new(disk.open_read(path).unwrap()).unwrap();
    let mut bytes = Vec::new();
    reader.write_rows(&mut bytes).unwrap();
    let (shard, replica) = match destination.split_once('@') {
        Some((shard, replica)) => (shard, Some(replica.to_owned())),
        None => (destination, None),
    };
    Some(Aside {
        table,
        shard: shard.trim_start_matches('s').parse().unwrap(),
        replica,
        is_broken,
        token: reader.info().trailer.token.clone(),
        rows: Row::read_all(&bytes),
    })
}
