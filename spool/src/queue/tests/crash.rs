//! The disk fails at every single operation of a history in turn, then the power goes: every accepted row
//! arrives once all the same, and of an INSERT that was never answered all rows or none.
//!
//! The shard is a set of tokens and the rows that came under them, as a table with deduplication is.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::support::*;
use crate::disk::sim::SimDisk;
use crate::*;

/// Time for what the spool does on its own, all in memory; longer means that it has met the fault. Many histories run at
/// once, and a machine may be busy with more than this test.
const PATIENCE: Duration = Duration::from_secs(1);

/// Histories that run at once: each has threads of its own.
const AT_ONCE: usize = 200;

/// What the shards have, and what the client knows.
#[derive(Default)]
struct Ledger {
    /// By destination: token of each batch, and its rows.
    delivered: BTreeMap<Destination, BTreeMap<String, Vec<u8>>>,
    /// Batches whose acknowledgement is recorded.
    settled: HashSet<(Destination, String)>,
    /// Rows of answered INSERTs by destination.
    accepted: Vec<Rows>,
    /// Rows of INSERTs without an answer.
    unknown: Vec<Rows>,
    /// Rows of INSERTs that were undone.
    aborted: Vec<Rows>,
    /// Receipts of answered INSERTs, by their numbers.
    receipts: BTreeMap<usize, InsertId>,
    /// Numbers of INSERTs that were undone.
    undone: Vec<usize>,
    /// INSERTs without an answer: their numbers, and how many rows of each lane they have.
    unanswered: Vec<(usize, Vec<(usize, usize)>)>,
}

/// A recovery of this history changes the disk about so often.
const RECOVERY_OPERATIONS: u64 = 36;

const WINDOWS: RetryWindows = RetryWindows {
    token: Duration::from_secs(3600),
    query_id: Duration::ZERO,
    identical: Duration::ZERO,
};

type Rows = BTreeMap<Destination, Vec<Vec<u8>>>;

struct Cluster {
    here: LaneId,
    there: LaneId,
    pair: LaneId,
}

fn options() -> Options {
    Options {
        segment_bytes: 4 << 10,
        inline_bytes_max: 256,
        stage_memory_bytes: 1 << 10,
        ..Options::at("/spool")
    }
}

fn destinations() -> [Destination; 4] {
    [
        destination("here"),
        destination("there"),
        replica("pair", "a:1"),
        replica("pair", "b:1"),
    ]
}

impl Cluster {
    fn of(spool: &Spool) -> Cluster {
        let [_, _, a, b] = destinations();
        let mut pair = patient(remote("pair"));
        pair.destinations = vec![a, b];
        pair.limits.max_rows = 20;
        Cluster {
            here: spool.lane(&local("here")).unwrap(),
            there: spool.lane(&remote("there")).unwrap(),
            pair: spool.lane(&pair).unwrap(),
        }
    }

    fn lanes(&self) -> [LaneId; 3] {
        [self.here, self.there, self.pair]
    }

    /// Shares by the places of their lanes, which are the same after a restart.
    fn places(&self, shares: &[(LaneId, usize)]) -> Vec<(usize, usize)> {
        let place = |lane: LaneId| self.lanes().iter().position(|known| *known == lane).unwrap();
        shares
            .iter()
            .map(|(lane, count)| (place(*lane), *count))
            .collect()
    }

    fn destinations_of(&self, lane: LaneId) -> Vec<Destination> {
        let [here, there, a, b] = destinations();
        match lane {
            lane if lane == self.here => vec![here],
            lane if lane == self.there => vec![there],
            _ => vec![a, b],
        }
    }
}

/// Rows of eight bytes, told apart by INSERT, shard and number.
fn rows_of_insert(insert: usize, shard: usize, count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|row| format!("{insert:02}{shard:01}{row:04}\n").into_bytes())
        .collect()
}

async fn insert(spool: &Spool, ledger: &mut Ledger, number: usize, shares: &[(LaneId, usize)], likes: bool) {
    insert_probed(spool, ledger, number, shares, None, likes).await;
}

/// An INSERT of which `probe` gets some rows first.
async fn insert_probed(
    spool: &Spool,
    ledger: &mut Ledger,
    number: usize,
    shares: &[(LaneId, usize)],
    probe: Option<ProbeTarget>,
    likes: bool,
) {
    let cluster = Cluster::of(spool);
    let lanes: Vec<ShareLanes> = shares
        .iter()
        .map(|(lane, _)| match *lane == cluster.here {
            true => ShareLanes {
                local: Some(*lane),
                remote: None,
            },
            false => ShareLanes {
                local: None,
                remote: Some(*lane),
            },
        })
        .collect();
    let mut rows = Rows::new();
    let mut stage = spool.stage(InsertId::random(), Some(token(number)), shape(), &lanes);
    for (shard, (lane, count)) in shares.iter().enumerate() {
        let of_share = rows_of_insert(number, shard, *count);
        for row in &of_share {
            if stage.append(shard, row, 1).is_err() {
                return;
            }
        }
        for to in cluster.destinations_of(*lane) {
            rows.entry(to).or_default().extend(of_share.clone());
        }
    }
    let Ok(staged) = stage.finish() else { return };
    let asked = match probe {
        Some(probe) => cluster.destinations_of(probe.lane)[probe.destination].clone(),
        None => destination("here"),
    };
    let head = CommitHead {
        probe: probe.into_iter().collect(),
        retry_windows: WINDOWS,
        ..CommitHead::default()
    };
    let before = ledger.outcomes();
    match tokio::time::timeout(PATIENCE, spool.commit(staged, head)).await {
        Ok(Ok(accepted)) => {
            let receipt = accepted.insert;
            finish_insert(spool, ledger, accepted, &asked, rows, likes).await;
            let after = ledger.outcomes();
            match (after.0 > before.0, after.1 > before.1) {
                (true, _) => drop(ledger.receipts.insert(number, receipt)),
                (_, true) => ledger.undone.push(number),
                _ => ledger.unanswered.push((number, cluster.places(shares))),
            }
        }
        Ok(Err(CommitError::Poisoned(_))) | Err(_) => {
            ledger.unknown.push(rows);
            ledger.unanswered.push((number, cluster.places(shares)));
        }
        Ok(Err(_)) => {}
    }
}

fn token(number: usize) -> String {
    format!("t{number}")
}

impl Ledger {
    /// How many INSERTs were accepted, and how many undone.
    fn outcomes(&self) -> (usize, usize) {
        (self.accepted.len(), self.aborted.len())
    }
}

/// Every client that has an answer is told the same again, and those that have none send their INSERTs again.
async fn retry(spool: &Spool, ledger: &mut Ledger, context: &str) {
    let recognised = |number: usize| {
        let token = token(number);
        let signature = Signature {
            user: "",
            table: "d.t",
            token: Some(&token),
            query_id: "",
            body_hash: None,
        };
        spool.recognise(&signature, &WINDOWS).map(|first| first.insert)
    };
    for (number, receipt) in &ledger.receipts {
        assert_eq!(
            recognised(*number),
            Some(*receipt),
            "{context}: INSERT {number} is not recognised"
        );
    }
    for number in &ledger.undone {
        assert_eq!(
            recognised(*number),
            None,
            "{context}: the token of INSERT {number} is not free"
        );
    }
    ledger.unknown.clear();
    let lanes = Cluster::of(spool).lanes();
    for (number, places) in std::mem::take(&mut ledger.unanswered) {
        let shares: Vec<_> = places
            .iter()
            .map(|(place, count)| (lanes[*place], *count))
            .collect();
        insert(spool, ledger, number, &shares, true).await;
        assert!(
            ledger.receipts.contains_key(&number),
            "{context}: INSERT {number} is not accepted"
        );
    }
}

/// Who is asked answers at once, for better or worse.
async fn finish_insert(
    spool: &Spool,
    ledger: &mut Ledger,
    mut accepted: Accepted,
    asked: &Destination,
    rows: Rows,
    likes: bool,
) {
    let Some(pending) = &mut accepted.pending else {
        return ledger.accepted.push(rows);
    };
    if likes {
        deliver_one(spool, ledger, asked).await;
    } else {
        refuse_one(spool, ledger, asked, &rows).await;
    }
    match tokio::time::timeout(PATIENCE, pending.outcome()).await {
        Ok(PendingOutcome::Aborted(_)) => ledger.aborted.push(rows),
        Ok(PendingOutcome::Delivered) => ledger.accepted.push(rows),
        // The refusal may have been recorded or not, and this client was told nothing.
        Ok(PendingOutcome::Waiting(_) | PendingOutcome::SetAside(_)) | Err(_) if likes => {
            ledger.accepted.push(rows);
        }
        Ok(PendingOutcome::Waiting(_) | PendingOutcome::SetAside(_)) | Err(_) => ledger.unknown.push(rows),
    }
}

/// Refuses the batch of an INSERT. What is in front of it is another client's, and was only too slow to be delivered before.
async fn refuse_one(spool: &Spool, ledger: &mut Ledger, asked: &Destination, rows: &Rows) {
    let is_ours = |row: &[u8]| {
        rows.iter()
            .any(|(to, rows)| to == asked && rows.iter().any(|ours| ours == row))
    };
    while let Ok(Ok(mut batch)) = tokio::time::timeout(PATIENCE, spool.next(asked)).await {
        if rows_in(spool, &batch).chunks(8).all(is_ours) {
            let refused = Outcome::Refused {
                code: Some(27),
                text: "bad".into(),
            };
            let _ = spool.attempt(&mut batch, "h:1").await;
            let _ = tokio::time::timeout(PATIENCE, spool.settle(&batch, refused)).await;
            return;
        }
        if !deliver_one(spool, ledger, asked).await {
            return;
        }
    }
}

/// Sends the next batch, if one comes. Whether it was settled.
async fn deliver_one(spool: &Spool, ledger: &mut Ledger, to: &Destination) -> bool {
    let Ok(Ok(mut batch)) = tokio::time::timeout(PATIENCE, spool.next(to)).await else {
        return false;
    };
    if spool.attempt(&mut batch, "h:1").await.is_err() {
        return false;
    }
    let key = (to.clone(), batch.token().to_owned());
    assert!(
        !ledger.settled.contains(&key),
        "a settled batch is given out again"
    );
    let rows = rows_in(spool, &batch);
    let tokens = ledger.delivered.entry(to.clone()).or_default();
    let before = tokens.insert(key.1.clone(), rows.clone());
    assert!(
        before.is_none_or(|before| before == rows),
        "a token met two contents"
    );
    let settled = tokio::time::timeout(PATIENCE, spool.settle(&batch, Outcome::Acknowledged)).await;
    let is_settled = matches!(settled, Ok(Ok(_)));
    if is_settled {
        ledger.settled.insert(key);
    }
    is_settled
}

/// A history with every kind of share and every kind of end.
async fn history(spool: &Spool, ledger: &mut Ledger) {
    let Cluster { here, there, pair } = Cluster::of(spool);
    let [_, to_there, to_a, to_b] = destinations();
    insert(spool, ledger, 1, &[(there, 2), (pair, 1)], true).await;
    deliver_one(spool, ledger, &to_there).await;
    // From here on there is something in each directory: an empty one is none on this disk, and cannot be synced.
    let _ = tokio::time::timeout(PATIENCE, spool.flush(None)).await;
    deliver_one(spool, ledger, &to_a).await;
    deliver_one(spool, ledger, &to_b).await;
    let at = |destination| ProbeTarget {
        lane: pair,
        destination,
    };
    insert_probed(spool, ledger, 6, &[(there, 1), (pair, 3)], Some(at(1)), false).await;
    insert_probed(spool, ledger, 7, &[(there, 1), (pair, 2)], Some(at(0)), true).await;
    insert(spool, ledger, 2, &[(here, 1), (there, 1)], true).await;
    insert(spool, ledger, 3, &[(there, 400), (pair, 30)], true).await;
    let _ = tokio::time::timeout(PATIENCE, spool.flush(None)).await;
    deliver_one(spool, ledger, &to_a).await;
    insert(spool, ledger, 4, &[(here, 2), (pair, 2)], false).await;
    if let Ok(Ok(batch)) = tokio::time::timeout(PATIENCE, spool.next(&to_there)).await {
        let _ = spool
            .settle(&batch, Outcome::Retry { error: "down".into() })
            .await;
    }
    insert(spool, ledger, 5, &[(here, 300), (there, 1), (pair, 50)], true).await;
    too_much(spool, ledger, &to_a).await;
    insert(spool, ledger, 8, &[(there, 2)], true).await;
    deliver_one(spool, ledger, &to_there).await;
}

/// The next batch is too much for the shard.
async fn too_much(spool: &Spool, ledger: &mut Ledger, to: &Destination) {
    let Ok(Ok(mut batch)) = tokio::time::timeout(PATIENCE, spool.next(to)).await else {
        return;
    };
    let outcome = Outcome::TooMuch {
        code: Some(252),
        error: "too many partitions".into(),
    };
    let _ = spool.attempt(&mut batch, "h:1").await;
    let settled = tokio::time::timeout(PATIENCE, spool.settle(&batch, outcome)).await;
    if let Ok(Ok(Settled::ToBeDivided)) = settled {
        let _ = tokio::time::timeout(PATIENCE, divide(spool, &batch)).await;
    }
    drop(batch);
    deliver_one(spool, ledger, to).await;
}

/// After the restart everything is delivered.
async fn drain(spool: &Spool, ledger: &mut Ledger) {
    Cluster::of(spool);
    for _ in 0..200 {
        tokio::time::timeout(Duration::from_secs(5), spool.flush(None))
            .await
            .expect("a cut never ends");
        let open = |to: &Destination| {
            let status = spool.destination(to);
            status.is_some_and(|status| status.waiting.files > 0 || status.uncut.rows > 0)
        };
        let waiting: Vec<_> = destinations().into_iter().filter(open).collect();
        if waiting.is_empty() && spool.pending().is_empty() {
            return;
        }
        for to in waiting {
            deliver_one(spool, ledger, &to).await;
        }
    }
    panic!(
        "rows wait for ever: {:#?}, pending {:?}",
        spool.destinations(),
        spool.pending()
    );
}

fn check(ledger: &Ledger, context: &str) {
    let mut arrived: BTreeMap<&Destination, Vec<&[u8]>> = BTreeMap::new();
    for (to, batches) in &ledger.delivered {
        arrived
            .entry(to)
            .or_default()
            .extend(batches.values().flat_map(|rows| rows.chunks(8)));
    }
    for (to, rows) in &arrived {
        let distinct: BTreeSet<_> = rows.iter().collect();
        assert_eq!(distinct.len(), rows.len(), "{context}: rows twice at {to}");
    }
    let has = |to: &Destination, row: &[u8]| arrived.get(to).is_some_and(|rows| rows.contains(&row));
    for (to, row) in ledger
        .accepted
        .iter()
        .flatten()
        .flat_map(|(to, rows)| rows.iter().map(move |row| (to, row)))
    {
        assert!(
            has(to, row),
            "{context}: {:?} of an accepted INSERT is lost at {to}",
            String::from_utf8_lossy(row)
        );
    }
    for rows in &ledger.unknown {
        let there = rows
            .iter()
            .flat_map(|(to, rows)| rows.iter().map(|row| has(to, row)))
            .collect::<BTreeSet<_>>();
        assert!(
            there.len() <= 1,
            "{context}: an INSERT without an answer arrived in part"
        );
    }
    for (to, row) in ledger
        .aborted
        .iter()
        .flatten()
        .flat_map(|(to, rows)| rows.iter().map(move |row| (to, row)))
    {
        assert!(!has(to, row), "{context}: a row of an undone INSERT arrived");
    }
}

/// Which names that were not synced are there after the power loss.
#[derive(Debug, Clone, Copy)]
enum Names {
    All,
    Some,
    None,
}

async fn crash_at(operation: u64, names: Names) -> u64 {
    let disk = SimDisk::default();
    let context = format!("crash at operation {operation}, names kept: {names:?}");
    let mut ledger = Ledger::default();
    disk.fail_after(operation, io::ErrorKind::Other);
    if let Ok((spool, _)) = Spool::open_on(Arc::new(disk.clone()), options(), None) {
        history(&spool, &mut ledger).await;
        disk.heal();
        let operations = disk.operations();
        if operations < operation {
            drain(&spool, &mut ledger).await;
            check(&ledger, &context);
            assert_eq!(
                (ledger.accepted.len(), ledger.aborted.len(), ledger.unknown.len()),
                (6, 2, 0)
            );
            return operations;
        }
    }
    let after = match names {
        Names::All => disk.after_power_loss_with_names(operation),
        Names::Some => disk.after_power_loss(operation),
        Names::None => disk.after_power_loss_without_names(operation),
    };
    let after = crash_in_recovery(&after, operation);
    let (spool, report) =
        Spool::open_on(Arc::new(after), options(), None).unwrap_or_else(|error| panic!("{context}: {error}"));
    assert_eq!(
        (&report.corrupt, &report.damaged, report.lost_shares),
        (&vec![], &vec![], 0),
        "{context}"
    );
    retry(&spool, &mut ledger, &context).await;
    drain(&spool, &mut ledger).await;
    check(&ledger, &context);
    disk.operations()
}

/// Recovery itself is cut off after some operations.
fn crash_in_recovery(disk: &SimDisk, operation: u64) -> SimDisk {
    disk.fail_after(operation % RECOVERY_OPERATIONS, io::ErrorKind::Other);
    drop(Spool::open_on(Arc::new(disk.clone()), options(), None));
    disk.after_power_loss(operation)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_write_fails_before_a_power_loss_every_accepted_row_arrives_once() {
    let whole = crash_at(u64::MAX, Names::None).await;
    assert!(whole > 100, "the history is of {whole} operations");
    let points = (0..whole)
        .flat_map(|operation| [Names::All, Names::Some, Names::None].map(|names| (operation, names)));
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    let history = |(operation, names)| {
        let at_once = Arc::clone(&at_once);
        tokio::spawn(async move {
            let _turn = at_once.acquire().await;
            crash_at(operation, names).await
        })
    };
    let tasks: Vec<_> = points.map(history).collect();
    for task in tasks {
        task.await.unwrap();
    }
}
