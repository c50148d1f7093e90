//! Configurations and clusters that the suites share.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use support::{
    ClickHouse18, Endpoint, Fingerprint, Format, Options, Row, Weir, WeirConfig, ZooKeeper, body_of,
};

use crate::tables::{create_merge_tree, create_replicated};

/// Long enough for what a suite sends, on two busy cores.
pub const DELIVERY_LIMIT: Duration = Duration::from_secs(120);

/// The distributed table of most suites, and what it writes to on every shard.
pub const TABLE: &str = "default.hits";
/// Its target.
pub const TARGET: &str = "default.hits_local";

/// Rows a test sends where the issue says a million: `WEIR_TEST_ROWS`, 100,000 if it is not set.
pub fn row_count() -> u64 {
    std::env::var("WEIR_TEST_ROWS").map_or(100_000, |value| {
        value.parse().expect("WEIR_TEST_ROWS is a number")
    })
}

/// A shard as the configuration says it.
#[derive(Debug, Clone)]
pub struct Shard {
    /// Its weight.
    pub weight: u32,
    /// Where each replica is, and whether it is the local one.
    pub replicas: Vec<(SocketAddr, bool)>,
}

/// One replica a shard, the first shard's the local one.
pub fn first_is_local(servers: &[ClickHouse18], weights: &[u32]) -> Vec<Shard> {
    let shards = servers.iter().zip(weights).enumerate();
    shards
        .map(|(number, (server, &weight))| Shard {
            weight,
            replicas: vec![(server.http.address, number == 0)],
        })
        .collect()
}

/// One replica a shard, none of them local: everything goes through the spool.
pub fn all_remote(addresses: &[SocketAddr]) -> Vec<Shard> {
    addresses
        .iter()
        .map(|&address| Shard {
            weight: 1,
            replicas: vec![(address, false)],
        })
        .collect()
}

/// The cluster `main` with shards `s1`, `s2`, ….
pub fn cluster(internal_replication: bool, shards: &[Shard]) -> String {
    let mut text =
        format!("[cluster.main]\ninternal_replication = {internal_replication}\nuser = \"default\"\n");
    for (shard, number) in shards.iter().zip(1..) {
        let replica = |(address, local): &(SocketAddr, bool)| {
            format!("{{ url = \"http://{address}\", local = {local} }}")
        };
        let replicas: Vec<_> = shard.replicas.iter().map(replica).collect();
        let _ = writeln!(
            text,
            "[[cluster.main.shard]]\nname = \"s{number}\"\nweight = {}",
            shard.weight
        );
        let _ = writeln!(text, "replica = [ {} ]", replicas.join(", "));
    }
    text
}

/// A distributed table keyed by cityHash64(user_id).
pub fn table(name: &str, target: &str) -> String {
    format!(
        "[[table]]\nname = \"{name}\"\ncluster = \"main\"\ntarget = \"{target}\"\n\
         sharding_key = \"cityHash64(user_id)\"\n"
    )
}

/// Quick batches, and a local share that is waited for however busy the machine is.
pub fn patient() -> WeirConfig {
    let send =
        "max_batch_delay = \"100ms\"\nlocal_insert_timeout = \"60s\"\nmax_sleep_time = \"500ms\"".into();
    WeirConfig {
        send,
        ..WeirConfig::default()
    }
}

/// A router over these shards with the one table [`TABLE`].
#[track_caller]
pub fn weir(internal_replication: bool, shards: &[Shard]) -> Weir {
    let sections = cluster(internal_replication, shards) + &table(TABLE, TARGET);
    Weir::start(&WeirConfig {
        sections,
        ..patient()
    })
}

/// Plain servers, each with the target table.
#[track_caller]
pub fn plain_servers(count: usize) -> Vec<ClickHouse18> {
    let servers: Vec<_> = (0..count)
        .map(|_| ClickHouse18::start(&Options::default()))
        .collect();
    servers
        .iter()
        .for_each(|server| create_merge_tree(&server.http, TARGET));
    servers
}

/// Servers whose target table is Replicated, each a shard of its own.
#[track_caller]
pub fn replicated_servers(zookeeper: &ZooKeeper, count: usize) -> Vec<ClickHouse18> {
    let options = |number| Options::replicated(zookeeper, &format!("s{number}"), "r1");
    let servers: Vec<_> = (1..=count)
        .map(|number| ClickHouse18::start(&options(number)))
        .collect();
    servers
        .iter()
        .for_each(|server| create_replicated(&server.http, "hits_local"));
    servers
}

/// Servers whose target table is Replicated, two replicas a shard.
#[track_caller]
pub fn replicated_pairs(zookeeper: &ZooKeeper, shards: usize) -> Vec<[ClickHouse18; 2]> {
    let server = |shard: usize, replica: &str| {
        let server = ClickHouse18::start(&Options::replicated(zookeeper, &format!("s{shard}"), replica));
        create_replicated(&server.http, "hits_local");
        server
    };
    (1..=shards)
        .map(|shard| ["r1", "r2"].map(|replica| server(shard, replica)))
        .collect()
}

/// An INSERT of these rows into [`TABLE`].
pub fn send(to: &Endpoint, format: Format, rows: impl IntoIterator<Item = Row>) -> support::Answer {
    to.insert(&insert(TABLE, format), body_of(format, rows))
}

/// The statement.
pub fn insert(table: &str, format: Format) -> String {
    format!("INSERT INTO {table} FORMAT {}", format.name())
}

/// What all shards hold together.
#[track_caller]
pub fn on_all(servers: &[ClickHouse18], table: &str) -> Fingerprint {
    servers
        .iter()
        .map(|server| Fingerprint::in_table(&server.http, table))
        .sum()
}
