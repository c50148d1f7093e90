//! What servers are: the rows they have, the blocks they remember, the mood they are in, and the address they stand at.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use super::dice::Dice;
use super::plan::{Plan, TABLES};
use super::trace::Trace;

/// What a server has answered is on the router's disk after so long.
const RECORDED_AFTER: Duration = Duration::from_secs(1);

/// Bytes of a row: its number.
pub const ROW_BYTES: usize = 8;

/// A row's number says where it belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row(pub u64);

impl Row {
    /// The `number`-th row of all, for that table and shard; a bad one no server can read.
    pub fn new(number: u64, table: usize, shard: usize, is_bad: bool) -> Row {
        Row(number * 1000 + table as u64 * 100 + shard as u64 * 10 + u64::from(is_bad))
    }

    pub fn table(self) -> usize {
        (self.0 / 100 % 10) as usize
    }

    pub fn shard(self) -> usize {
        (self.0 / 10 % 10) as usize
    }

    pub fn is_bad(self) -> bool {
        self.0 % 10 == 1
    }

    /// The rows of a batch's bytes.
    pub fn read_all(bytes: &[u8]) -> Vec<Row> {
        let (rows, rest) = bytes.as_chunks::<ROW_BYTES>();
        assert!(rest.is_empty(), "half a row");
        rows.iter().map(|row| Row(u64::from_le_bytes(*row))).collect()
    }
}

/// What a server is like for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// It refuses every login.
    NoLogin,
    /// It has no table.
    NoTable,
    /// It has lost its ZooKeeper.
    ReadOnly,
}

#[derive(Debug)]
pub struct Server {
    pub shard: usize,
    pub is_up: bool,
    pub mood: Mood,
    /// Counts its deaths: what it was doing then does not go on.
    pub lives: u32,
    /// Of each table.
    stores: [usize; 2],
}

/// A target's rows; replicas may share one.
#[derive(Debug)]
pub struct Store {
    pub zookeeper_path: Option<String>,
    window: Option<usize>,
    blocks: VecDeque<String>,
    /// When it took blocks.
    pub taken: Vec<Instant>,
    pub rows: Vec<(Row, String)>,
}

/// All servers, and what the world knows of what was sent to them. A clone is the same.
#[derive(Debug, Clone)]
pub struct Shards {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
pub struct Inner {
    pub plan: Plan,
    pub dice: Dice,
    pub trace: Trace,
    pub servers: Vec<Server>,
    pub stores: Vec<Store>,
    /// Which server stands at an address.
    standing: BTreeMap<String, usize>,
    /// What each token stands for.
    contents: BTreeMap<String, Vec<u8>>,
    /// Attempts whose outcome the router does not know: server and token.
    pub open: BTreeSet<(usize, String)>,
    /// Attempts that were answered, and when: the answer may not be on the router's disk yet.
    fresh: Vec<(Instant, (usize, String))>,
    /// Tokens that some server has refused, for which reason ever.
    pub refused: BTreeSet<String>,
    /// Addresses whose servers have shown who they are.
    pub met: BTreeSet<String>,
    /// Everything is well from now on.
    pub is_healed: bool,
}

impl Shards {
    pub fn new(plan: &Plan, dice: Dice, trace: Trace) -> Shards {
        let (mut servers, mut stores, mut standing) = (Vec::new(), Vec::new(), BTreeMap::new());
        for shard in 0..plan.shards {
            let mut shared = [None, None];
            for replica in 0..plan.replicas {
                let of_table = |table: usize| {
                    let engine = plan.engines[table];
                    if let Some(store) = shared[table] {
                        return store;
                    }
                    stores.push(Store {
                        zookeeper_path: engine
                            .is_replicated
                            .then(|| format!("/{}/s{shard}", TABLES[table])),
                        window: engine.window,
                        blocks: VecDeque::new(),
                        taken: Vec::new(),
                        rows: Vec::new(),
                    });
                    if engine.is_replicated {
                        shared[table] = Some(stores.len() - 1);
                    }
                    stores.len() - 1
                };
                standing.insert(Plan::address(shard, replica), servers.len());
                servers.push(Server {
                    shard,
                    is_up: true,
                    mood: Mood::Well,
                    lives: 0,
                    stores: [0, 1].map(of_table),
                });
            }
        }
        let inner = Inner {
            plan: plan.clone(),
            dice,
            trace,
            servers,
            stores,
            standing,
            contents: BTreeMap::new(),
            open: BTreeSet::new(),
            fresh: Vec::new(),
            refused: BTreeSet::new(),
            met: BTreeSet::new(),
            is_healed: false,
        };
        Shards {
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// One more line of the history.
    pub fn say(&self, what: impl Into<String>) {
        self.lock().trace.say(what);
    }
}

impl Inner {
    /// Who stands at an address.
    pub fn at(&self, address: &str) -> usize {
        self.standing[address]
    }

    /// Two servers change places.
    pub fn swap(&mut self, one: &str, other: &str) {
        let (at_one, at_other) = (self.at(one), self.at(other));
        self.standing.insert(one.to_owned(), at_other);
        self.standing.insert(other.to_owned(), at_one);
    }

    pub fn store_of(&self, server: usize, table: usize) -> &Store {
        &self.stores[self.servers[server].stores[table]]
    }

    /// Where a shard's rows may be: each place is the stores that count as one, and the destination's replica where it has one.
    pub fn places(&self, table: usize, shard: usize) -> Vec<(Option<String>, BTreeSet<usize>)> {
        let servers = (0..self.servers.len()).filter(|server| self.servers[*server].shard == shard);
        let stores: Vec<_> = servers.map(|server| self.servers[server].stores[table]).collect();
        if self.plan.internal_replication {
            return vec![(None, stores.into_iter().collect())];
        }
        let place = |(replica, store)| (Some(Plan::address(shard, replica)), [store].into());
        stores.into_iter().enumerate().map(place).collect()
    }

    /// The attempt's outcome is told.
    pub fn close(&mut self, attempt: (usize, String)) {
        // A failing disk may not take the record of it, however late.
        if !self.plan.bad_disk {
            self.open.remove(&attempt);
        }
        self.fresh.push((Instant::now(), attempt));
    }

    /// The router is killed: it may have forgotten what it was told last.
    pub fn forget_answers(&mut self) {
        let fresh = std::mem::take(&mut self.fresh).into_iter();
        let lost = fresh.filter(|(at, _)| at.elapsed() < RECORDED_AFTER);
        self.open.extend(lost.map(|(_, attempt)| attempt));
    }

    /// Whether some attempt with that token has no outcome.
    pub fn is_open(&self, token: &str) -> bool {
        self.open.iter().any(|(_, open)| open == token)
    }

    /// A server takes a batch, or knows it already.
    pub fn execute(&mut self, server: usize, table: usize, token: &str, bytes: &[u8]) {
        let content = self
            .contents
            .entry(token.to_owned())
            .or_insert_with(|| bytes.to_vec());
        assert!(content == bytes, "token {token} has met two contents");
        let known_by = match self.plan.is_old {
            true => format!("{:x?}", bytes),
            false => token.to_owned(),
        };
        let (name, of_shard) = (server, self.servers[server].shard);
        let store = &mut self.stores[self.servers[server].stores[table]];
        let is_known = store.blocks.contains(&known_by);
        if !is_known {
            store.taken.push(Instant::now());
        }
        if let Some(window) = store.window {
            if !is_known {
                store.blocks.push_back(known_by);
            }
            if store.blocks.len() > window {
                store.blocks.pop_front();
            }
        }
        let rows = Row::read_all(bytes);
        let word = if is_known { "knows" } else { "takes" };
        self.trace.say(format!(
            "server {name} {word} {} rows under {}",
            rows.len(),
            short(token)
        ));
        if is_known {
            return;
        }
        for row in rows {
            assert!(
                (row.shard(), row.table()) == (of_shard, table),
                "{row:?} is written to server {name} of shard {of_shard}, table {table}"
            );
            self.stores[self.servers[server].stores[table]]
                .rows
                .push((row, token.to_owned()));
        }
    }
}

/// The first letters of a token.
pub fn short(token: &str) -> &str {
    token.get(..8).unwrap_or(token)
}
