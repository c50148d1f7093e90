//! Random histories of the whole spool, its files, threads and journal on a simulated disk, beside a plain model: which rows
//! were accepted, what the shards took, what an operator dropped.
//!
//! After each restart, also one behind a power loss or a fault of the disk: every row of an accepted INSERT is in one place of
//! each of its destinations, of an INSERT without an answer all are or none is, and of one that was undone or refused none.
//! What is sent under one token is one thing, however often; two tokens never have the same row.
//!
//! `WEIR_MODEL_CASES` is the number of histories.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::support::*;
use crate::bin_file::BinReader;
use crate::disk::Disk;
use crate::disk::sim::{Op, SimDisk};
use crate::sim::assert_undamaged;
use crate::*;

const ROW_BYTES: usize = 12;
/// What takes longer will not come: the journal has failed.
const PATIENCE: Duration = Duration::from_secs(5);
/// Histories, unless the environment says otherwise.
const CASES: u32 = 48;

/// What may happen. Numbers choose among what there is.
#[derive(Debug, Clone)]
enum Step {
    /// An INSERT with so many rows for each of these lanes.
    Commit { lanes: u8, rows: u16, probe: Option<u8> },
    /// Everything that waits is cut.
    Cut,
    /// A destination's sender does its work.
    Send { to: usize, ending: Ending },
    /// A pending INSERT's time is up.
    Go,
    /// An operator puts the first held or broken batch back.
    Requeue(usize),
    /// An operator drops the first batch, held or in line.
    Drop(usize),
    /// A destination is resumed.
    Resume(usize),
    /// Some operation fails, once.
    Fault(Op, u8),
    /// A sync fails, and the next one passes without its bytes.
    LoseSync(u8),
    /// Only a few more bytes fit; or any number again.
    Capacity(Option<u16>),
    /// The router stops in order, and starts.
    Reopen,
    /// It is killed.
    Kill,
    /// The power goes.
    PowerLoss(u64),
}

#[derive(Debug, Clone, Copy)]
enum Ending {
    Acknowledged,
    Retry,
    Refused,
    Unfit,
    /// Too much for one INSERT: one that is alone is cut by rows.
    TooMuch,
    HoldBatch,
    HoldDestination,
    /// The shard took it, and nobody knows.
    Unknown,
    /// It never arrived, and nobody knows.
    Lost,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ending = prop_oneof![
        6 => Just(Ending::Acknowledged),
        2 => Just(Ending::Retry),
        4 => Just(Ending::Refused),
        1 => Just(Ending::Unfit),
        2 => Just(Ending::TooMuch),
        2 => Just(Ending::HoldBatch),
        1 => Just(Ending::HoldDestination),
        2 => Just(Ending::Unknown),
        1 => Just(Ending::Lost),
    ];
    let op = prop::sample::select(vec![
        Op::CreateNew,
        Op::Rename,
        Op::Link,
        Op::Remove,
        Op::CreateDir,
        Op::SyncDir,
        Op::Write,
        Op::Sync,
        Op::Allocate,
        Op::SetLen,
    ]);
    let rows = prop_oneof![3 => 1..4_u16, 1 => 100..400_u16];
    let step = prop_oneof![
        10 => (1..8_u8, rows, prop::option::weighted(0.2, 0..3_u8))
            .prop_map(|(lanes, rows, probe)| Step::Commit { lanes, rows, probe }),
        5 => Just(Step::Cut),
        14 => (0..4_usize, ending).prop_map(|(to, ending)| Step::Send { to, ending }),
        2 => Just(Step::Go),
        2 => (0..4_usize).prop_map(Step::Requeue),
        1 => (0..4_usize).prop_map(Step::Drop),
        1 => (0..4_usize).prop_map(Step::Resume),
        2 => (op, 0..6_u8).prop_map(|(op, left)| Step::Fault(op, left)),
        1 => (0..4_u8).prop_map(Step::LoseSync),
        1 => prop::option::of(0..6000_u16).prop_map(Step::Capacity),
        2 => Just(Step::Reopen),
        2 => Just(Step::Kill),
        2 => any::<u64>().prop_map(Step::PowerLoss),
    ];
    prop::collection::vec(step, 1..40)
}

type Row = (Destination, Vec<u8>);

/// What a client knows of its INSERT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It has a receipt.
    Accepted,
    /// It has no answer: all or nothing.
    Unknown,
    /// It was told that nothing of it will be delivered.
    Refused,
}

#[derive(Debug)]
struct Insert {
    id: InsertId,
    rows: BTreeSet<Row>,
    fate: Fate,
}

#[derive(Debug, Default)]
struct Model {
    inserts: Vec<Insert>,
    /// What the shards have, by destination and token.
    shards: BTreeMap<(Destination, String), Vec<u8>>,
    /// Batches whose acknowledgement is on disk.
    settled: HashSet<(Destination, String)>,
    /// Rows that an operator may have dropped.
    dropped: BTreeSet<Row>,
}

struct World {
    disk: SimDisk,
    spool: Spool,
    model: Model,
}

fn destinations() -> [Destination; 4] {
    [
        destination("here"),
        destination("there"),
        replica("pair", "a:1"),
        replica("pair", "b:1"),
    ]
}

/// A local lane, a remote one, and one of two destinations.
fn lanes(spool: &Spool) -> [LaneId; 3] {
    let [_, _, a, b] = destinations();
    let mut pair = patient(remote("pair"));
    pair.destinations = vec![a, b];
    pair.limits.max_rows = 150;
    [local("here"), patient(remote("there")), pair].map(|spec| spool.lane(&spec).unwrap())
}

fn open(disk: &SimDisk) -> (Spool, RecoveryReport) {
    let options = Options {
        segment_bytes: 2 << 10,
        inline_bytes_max: 256,
        stage_memory_bytes: 1 << 10,
        broken_bytes_max: 1 << 10,
        ..Options::at("/spool")
    };
    let (spool, report) = Spool::open_on(Arc::new(disk.clone()), options, None).unwrap();
    assert_undamaged(&report);
    lanes(&spool);
    (spool, report)
}

async fn soon<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(PATIENCE, future).await.ok()
}

impl World {
    fn new() -> World {
        let disk = SimDisk::default();
        let (spool, _) = open(&disk);
        World {
            disk,
            spool,
            model: Model::default(),
        }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Commit { lanes, rows, probe } => self.commit(lanes, rows, probe).await,
            Step::Cut => drop(soon(self.spool.flush(None)).await),
            Step::Send { to, ending } => self.send(&destinations()[to], ending).await,
            Step::Go => {
                if let Some(insert) = self.spool.pending().first().copied() {
                    let _ = soon(self.spool.go(insert, "time")).await;
                }
            }
            Step::Requeue(to) => self.requeue(&destinations()[to]).await,
            Step::Drop(to) => self.drop_first(&destinations()[to]).await,
            Step::Resume(to) => drop(soon(self.spool.resume_destination(&destinations()[to])).await),
            Step::Fault(op, left) => self.disk.fail_once(op, left.into(), io::ErrorKind::Other),
            Step::LoseSync(left) => self.disk.lose_sync(left.into()),
            Step::Capacity(room) => {
                let bytes = room.map(|room| self.disk.bytes() + usize::from(room));
                self.disk.set_capacity(bytes);
            }
            Step::Reopen => self.reopen().await,
            Step::Kill => self.go_on_with(self.disk.copy()).await,
            Step::PowerLoss(seed) => self.go_on_with(self.disk.after_power_loss(seed)).await,
        }
    }

    async fn commit(&mut self, mask: u8, count: u16, probe: Option<u8>) {
        let number = self.model.inserts.len();
        let chosen: Vec<LaneId> = lanes(&self.spool)
            .into_iter()
            .enumerate()
            .filter_map(|(at, lane)| (mask & (1 << at) != 0).then_some(lane))
            .collect();
        let [here, _, pair] = lanes(&self.spool);
        let id = InsertId::random();
        let by_shard: Vec<ShareLanes> = chosen
            .iter()
            .map(|lane| ShareLanes {
                local: Some(*lane).filter(|lane| *lane == here),
                remote: Some(*lane).filter(|lane| *lane != here),
            })
            .collect();
        let mut stage = self.spool.stage(id, None, shape(), &by_shard);
        let mut rows = BTreeSet::new();
        let mut is_staged = true;
        for (shard, lane) in chosen.iter().enumerate() {
            let key = self.spool.shared().state().get_lane(*lane).unwrap().key.clone();
            for row in 0..count {
                let bytes = format!("{number:05}{shard}{row:05}\n").into_bytes();
                is_staged = is_staged && stage.append(shard, &bytes, 1).is_ok();
                rows.extend(key.destinations.iter().map(|to| (to.clone(), bytes.clone())));
            }
        }
        let targets = probe.into_iter().map(|probe| match probe {
            2 => ProbeTarget {
                lane: chosen[0],
                destination: 0,
            },
            destination => ProbeTarget {
                lane: pair,
                destination: destination.into(),
            },
        });
        let head = CommitHead {
            probe: targets.collect(),
            ..CommitHead::default()
        };
        // Whoever cannot stage a run gives the INSERT up.
        let staged = is_staged.then(|| stage.finish().ok()).flatten();
        let fate = match staged {
            Some(staged) => match soon(self.spool.commit(staged, head)).await {
                Some(Ok(_)) => Fate::Accepted,
                Some(Err(CommitError::Poisoned(_))) | None => Fate::Unknown,
                Some(Err(_)) => Fate::Refused,
            },
            None => Fate::Refused,
        };
        self.model.inserts.push(Insert { id, rows, fate });
    }

    /// What is to be sent there, if anything is; cuts for local lanes and probes are on their way.
    async fn first_of(&self, to: &Destination) -> Option<Batch> {
        let began = Instant::now();
        let is_coming = || {
            let mut state = self.spool.shared().state();
            let may_come = state.queue(to).held.is_none() && !state.open_pending().is_empty();
            let is_there = state.queue(to).next(Turn::InOrder).is_some();
            (is_there, may_come)
        };
        loop {
            match is_coming() {
                (true, _) => return soon(self.spool.next(to)).await?.ok(),
                (false, true) if began.elapsed() < Duration::from_millis(30) => {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                (false, _) => return None,
            }
        }
    }

    async fn send(&mut self, to: &Destination, ending: Ending) {
        let Some(mut batch) = self.first_of(to).await else {
            return;
        };
        if self.spool.attempt(&mut batch, "h:1").await.is_err() {
            return;
        }
        let key = (to.clone(), batch.token().to_owned());
        assert!(
            !self.model.settled.contains(&key),
            "a settled batch is given out again"
        );
        let has_it = self.model.shards.contains_key(&key);
        let error = || "words".to_owned();
        let refused = Outcome::Refused {
            code: Some(27),
            text: error(),
        };
        let outcome = match ending {
            Ending::Lost => return,
            // A shard that has it says so, whatever it was to say.
            _ if has_it => Some(Outcome::Acknowledged),
            Ending::Acknowledged => Some(Outcome::Acknowledged),
            Ending::Unknown => None,
            Ending::Retry => Some(Outcome::Retry { error: error() }),
            Ending::Refused => Some(refused),
            Ending::Unfit => Some(Outcome::Unfit {
                code: Some(16),
                text: error(),
                error: error(),
            }),
            Ending::TooMuch => Some(Outcome::TooMuch {
                code: Some(252),
                error: error(),
            }),
            Ending::HoldBatch => Some(Outcome::HoldBatch { error: error() }),
            Ending::HoldDestination => Some(Outcome::HoldDestination { error: error() }),
        };
        if matches!(outcome, None | Some(Outcome::Acknowledged)) {
            self.model.take(&key, &rows_in(&self.spool, &batch));
        }
        if let Some(outcome) = outcome {
            self.settle(&batch, key, outcome).await;
        }
    }

    async fn settle(&mut self, batch: &Batch, key: (Destination, String), outcome: Outcome) {
        let pending = self.spool.pending();
        let is_acknowledged = outcome == Outcome::Acknowledged;
        match soon(self.spool.settle(batch, outcome)).await {
            Some(Ok(Settled::Aborted { insert })) => self.model.set_fate(insert, Fate::Refused),
            Some(Ok(Settled::ToBeDivided)) => drop(soon(divide(&self.spool, batch)).await),
            Some(Ok(_)) if is_acknowledged => drop(self.model.settled.insert(key)),
            Some(Ok(_)) => {}
            // Of what was pending nobody knows whether it was undone.
            Some(Err(_)) | None => {
                for segment in batch
                    .segments()
                    .iter()
                    .filter(|segment| pending.contains(&segment.insert))
                {
                    self.model.set_fate(segment.insert, Fate::Unknown);
                }
            }
        }
    }

    async fn requeue(&mut self, to: &Destination) {
        let aside = self.spool.shared().state().queue(to).aside.keys().next().copied();
        let broken = || {
            let listed = self
                .spool
                .shared()
                .files
                .list(&self.spool.shared().files.layout.broken(to))
                .unwrap();
            listed.iter().find_map(|entry| crate::names::seq_of(&entry.name))
        };
        if let Some(seq) = aside.or_else(broken) {
            let _ = soon(self.spool.requeue(to, seq)).await;
        }
    }

    async fn drop_first(&mut self, to: &Destination) {
        let seq = {
            let mut state = self.spool.shared().state();
            let queue = state.queue(to);
            queue.aside.keys().chain(queue.line.keys()).next().copied()
        };
        let Some(seq) = seq else { return };
        let rows = rows_at(&self.spool, &self.spool.shared().files.batch(to, seq));
        let rows = rows.chunks(ROW_BYTES).map(|row| (to.clone(), row.to_vec()));
        self.model.dropped.extend(rows);
        let _ = soon(self.spool.drop_batch(to, seq)).await;
    }

    /// The old process ends on its own disk first.
    async fn reopen(&mut self) {
        self.disk.heal();
        let spare = open(&SimDisk::default()).0;
        drop(std::mem::replace(&mut self.spool, spare));
        let disk = self.disk.copy();
        self.go_on_with(disk).await;
    }

    async fn go_on_with(&mut self, disk: SimDisk) {
        self.disk = disk;
        self.spool = open(&self.disk).0;
        self.model.check(&self.disk.copy()).await;
    }
}

impl Model {
    fn take(&mut self, key: &(Destination, String), rows: &[u8]) {
        let before = self.shards.insert(key.clone(), rows.to_vec());
        assert!(
            before.is_none_or(|before| before == rows),
            "a token met two contents"
        );
    }

    fn set_fate(&mut self, insert: InsertId, fate: Fate) {
        if let Some(known) = self.inserts.iter_mut().find(|known| known.id == insert) {
            known.fate = fate;
        }
    }

    /// Opens a copy, cuts everything, and looks where every row is.
    async fn check(&self, disk: &SimDisk) {
        let (spool, _) = open(disk);
        for insert in spool.pending() {
            spool.go(insert, "check").await.unwrap();
        }
        soon(spool.flush(None)).await.expect("a cut never ends");
        let mut present: BTreeMap<Row, BTreeSet<String>> = BTreeMap::new();
        for ((to, token), rows) in self
            .shards
            .iter()
            .map(|(key, rows)| (key.clone(), rows.clone()))
            .chain(files(disk))
        {
            for row in rows.chunks(ROW_BYTES) {
                present
                    .entry((to.clone(), row.to_vec()))
                    .or_default()
                    .insert(token.clone());
            }
        }
        for (row, tokens) in &present {
            assert_eq!(tokens.len(), 1, "{} is under two tokens", show(row));
        }
        for insert in &self.inserts {
            let is_there = |row: &&Row| present.contains_key(*row) || self.dropped.contains(*row);
            let there = insert.rows.iter().filter(is_there).count();
            match insert.fate {
                Fate::Accepted => {
                    let lost = insert.rows.iter().find(|row| !is_there(row)).map(show);
                    assert_eq!(lost, None, "a row of an accepted INSERT is lost");
                }
                Fate::Unknown => assert!(
                    there == 0 || there == insert.rows.len(),
                    "an INSERT without an answer is there in part"
                ),
                Fate::Refused => {
                    let found = insert
                        .rows
                        .iter()
                        .find(|row| present.contains_key(*row))
                        .map(show);
                    assert_eq!(found, None, "a row of an INSERT that was refused is there");
                }
            }
        }
    }
}

/// What waits, is held or broken: destination and token, and the rows.
fn files(disk: &SimDisk) -> Vec<((Destination, String), Vec<u8>)> {
    let layout = crate::names::Layout::at("/spool");
    let mut found = Vec::new();
    for to in destinations() {
        for directory in [layout.destination(&to), layout.broken(&to)] {
            for entry in disk.read_dir(&directory).unwrap_or_default() {
                if crate::names::seq_of(&entry.name).is_none() {
                    continue;
                }
                // Settled files move at any moment.
                let Ok(file) = disk.open_read(&directory.join(&entry.name)) else {
                    continue;
                };
                let reader = BinReader::new(file).unwrap();
                let mut rows = Vec::new();
                reader.write_rows(&mut rows).unwrap();
                found.push(((to.clone(), reader.info().trailer.token.clone()), rows));
            }
        }
    }
    found
}

fn show((to, row): &Row) -> String {
    format!("row {} at {to}", String::from_utf8_lossy(row).trim_end())
}

fn cases() -> u32 {
    let asked = std::env::var("WEIR_MODEL_CASES").ok();
    asked.and_then(|cases| cases.parse().ok()).unwrap_or(CASES)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_history_of_the_spool_loses_doubles_or_halves_anything(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new();
            for step in steps {
                world.step(step).await;
            }
            world.step(Step::Kill).await;
        });
    }
}
