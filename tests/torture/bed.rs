//! The servers, the tables on them, and the router in front.

use std::fmt::Write;
use std::time::{Duration, Instant};

use support::{ClickHouse18, Endpoint, Modern, Options, Proxy, Weir, WeirConfig, ZooKeeper, wait_for};

/// The first shard owns 9 slots of 19.
pub const FIRST_SHARD_SLOTS: u64 = 9;
/// The slots of two shards.
pub const SLOTS: u64 = 19;

/// Everything has to be on its shard this long after the faults have ended.
const DRAIN_LIMIT: Duration = Duration::from_secs(180);
/// Replicas of a shard fetch each other's parts in the background.
const REPLICATION_LIMIT: Duration = Duration::from_secs(60);

const COLUMNS: &str = "k UInt64, client UInt16, pad String";

/// A server's place in [`Bed::old`] or [`Bed::modern`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    Old(usize),
    Modern(usize),
}

use Server::{Modern as M, Old as O};

/// A distributed table, and where it is.
#[derive(Debug)]
pub struct Table {
    /// Its name, its cluster's, and with `_local` its target's.
    pub name: &'static str,
    internal_replication: bool,
    /// The first replica of the first shard is the local one.
    local: bool,
    /// The replicas of each shard.
    pub shards: &'static [&'static [Server]],
}

/// 18.16: replicas of a shard by ReplicatedMergeTree. 26.x: a window of tokens.
pub const TABLES: [Table; 5] = [
    Table {
        name: "pairs",
        internal_replication: true,
        local: false,
        shards: &[&[O(0), O(1)], &[O(2), O(3)]],
    },
    Table {
        name: "near",
        internal_replication: true,
        local: true,
        shards: &[&[O(0), O(1)], &[O(2), O(3)]],
    },
    Table {
        name: "modern",
        internal_replication: true,
        local: false,
        shards: &[&[M(0)], &[M(1)]],
    },
    Table {
        name: "modern_near",
        internal_replication: true,
        local: true,
        shards: &[&[M(0)], &[M(1)]],
    },
    Table {
        name: "copies",
        internal_replication: false,
        local: false,
        shards: &[&[M(0), M(1)]],
    },
];

/// All of it. Each server stands behind a proxy, through which only the router goes.
pub struct Bed {
    pub weir: Weir,
    pub old: Vec<(ClickHouse18, Proxy)>,
    pub modern: Vec<(Modern, Proxy)>,
    _zookeeper: ZooKeeper,
}

impl Bed {
    pub fn start() -> Self {
        let zookeeper = ZooKeeper::start();
        let old: Vec<_> = [("s1", "r1"), ("s1", "r2"), ("s2", "r1"), ("s2", "r2")]
            .into_iter()
            .map(|(shard, replica)| ClickHouse18::start(&Options::replicated(&zookeeper, shard, replica)))
            .map(|server| (Proxy::start(server.http.address), server))
            .map(|(proxy, server)| (server, proxy))
            .collect();
        let modern: Vec<_> = (0..2)
            .map(|_| Modern::start())
            .map(|server| (Proxy::start(server.http.address), server))
            .map(|(proxy, server)| (server, proxy))
            .collect();
        create_tables(&old, &modern);
        let weir = Weir::start(&configuration(&old, &modern));
        Self {
            weir,
            old,
            modern,
            _zookeeper: zookeeper,
        }
    }

    /// Where a server answers, past its proxy.
    pub fn endpoint(&self, server: Server) -> &Endpoint {
        match server {
            O(number) => &self.old[number].0.http,
            M(number) => &self.modern[number].0.http,
        }
    }

    /// Nothing waits, nothing was set aside, and replicas have what their siblings have.
    pub fn wait_until_drained(&self) -> Result<(), String> {
        let began = Instant::now();
        while self.weir.metric("weir_spool_rows") > 0.0 {
            if began.elapsed() > DRAIN_LIMIT {
                let listing = self.weir.command(&["spool", "ls"]);
                return Err(format!("rows still wait after {DRAIN_LIMIT:?}:\n{listing}"));
            }
            crate::pause(50);
        }
        for metric in ["weir_held_batches", "weir_broken_files"] {
            let count = self.weir.metric(metric);
            if count > 0.0 {
                let listing = self.weir.command(&["spool", "ls", "--files"]);
                return Err(format!("{metric} is {count}:\n{listing}"));
            }
        }
        TABLES.iter().for_each(|table| self.wait_for_replication(table));
        Ok(())
    }

    fn wait_for_replication(&self, table: &Table) {
        let sql = format!("SELECT count() FROM {}_local", table.name);
        for shard in table.shards {
            let counts = || shard.iter().map(|&server| self.endpoint(server).query(&sql));
            let same = || counts().collect::<std::collections::HashSet<_>>().len() == 1;
            if table.internal_replication {
                wait_for("replicas to hold the same", REPLICATION_LIMIT, || {
                    same().then_some(())
                });
            }
        }
    }
}

/// Tables remember enough blocks for what a lost answer may take to be repeated in: of the 100 that 18.16 remembers by default the
/// half that is relied upon is over in seconds here, and a batch in doubt is then held for an operator, as it should be.
const WINDOW_BLOCKS: u32 = 1000;

fn create_tables(old: &[(ClickHouse18, Proxy)], modern: &[(Modern, Proxy)]) {
    for table in TABLES.map(|table| format!("{}_local", table.name)) {
        for (server, _) in old {
            let engine = format!("ReplicatedMergeTree('/weir/{{shard}}/{table}', '{{replica}}')");
            server.http.query(&format!(
                "CREATE TABLE {table} ({COLUMNS}) ENGINE = {engine} ORDER BY k \
                 SETTINGS replicated_deduplication_window = {WINDOW_BLOCKS}"
            ));
        }
        for (server, _) in modern {
            server.http.query(&format!(
                "CREATE TABLE {table} ({COLUMNS}) ENGINE = MergeTree ORDER BY k \
                 SETTINGS non_replicated_deduplication_window = {WINDOW_BLOCKS}"
            ));
        }
    }
}

fn configuration(old: &[(ClickHouse18, Proxy)], modern: &[(Modern, Proxy)]) -> WeirConfig {
    let address = |server: Server| match server {
        O(number) => old[number].1.address(),
        M(number) => modern[number].1.address(),
    };
    let mut sections = String::new();
    for table in &TABLES {
        let name = table.name;
        let _ = writeln!(
            sections,
            "[cluster.{name}]\ninternal_replication = {}\nuser = \"default\"\nreceive_timeout = \"5s\"",
            table.internal_replication
        );
        for ((number, shard), weight) in table.shards.iter().enumerate().zip([FIRST_SHARD_SLOTS, 10]) {
            let replica = |(place, &server): (usize, &Server)| {
                let local = table.local && number == 0 && place == 0;
                format!("{{ url = \"http://{}\", local = {local} }}", address(server))
            };
            let replicas: Vec<_> = shard.iter().enumerate().map(replica).collect();
            let _ = writeln!(
                sections,
                "[[cluster.{name}.shard]]\nname = \"s{}\"\nweight = {weight}\nreplica = [ {} ]",
                number + 1,
                replicas.join(", ")
            );
        }
        let _ = writeln!(
            sections,
            "[[table]]\nname = \"default.{name}\"\ncluster = \"{name}\"\ntarget = \"default.{name}_local\"\n\
             sharding_key = \"cityHash64(k)\""
        );
    }
    WeirConfig {
        send: "max_batch_delay = \"200ms\"\nlocal_insert_timeout = \"500ms\"\nmax_sleep_time = \"300ms\""
            .into(),
        spool: "sent_retention_bytes = \"200MiB\"".into(),
        sections,
        ..WeirConfig::default()
    }
}
