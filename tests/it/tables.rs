//! The tables of the suites, and the checks on them that several suites make.

use support::{COLUMNS, Endpoint, Fingerprint, Row};

/// The engine of a target that recognises a repeat by its token.
pub const WINDOW: &str = "MergeTree ORDER BY user_id SETTINGS non_replicated_deduplication_window = 100";

/// A table of the suites' columns.
pub fn create_as(server: &Endpoint, table: &str, engine: &str) {
    server.query(&format!("CREATE TABLE {table} ({COLUMNS}) ENGINE = {engine}"));
}

/// A MergeTree of the suites' columns, ordered by the sharding key.
pub fn create_merge_tree(server: &Endpoint, table: &str) {
    let engine = "MergeTree ORDER BY user_id SETTINGS index_granularity = 8192";
    create_as(server, table, engine);
}

/// A ReplicatedMergeTree of the suites' columns; the servers' macros name shard and replica.
pub fn create_replicated(server: &Endpoint, table: &str) {
    let engine = format!("ReplicatedMergeTree('/weir/{{shard}}/{table}', '{{replica}}') ORDER BY user_id");
    create_as(server, table, &engine);
}

/// How many rows a table has.
#[track_caller]
pub fn count(server: &Endpoint, table: &str) -> u64 {
    server
        .query(&format!("SELECT count() FROM {table} FORMAT TabSeparated"))
        .trim()
        .parse()
        .expect("a number")
}

/// Panics at the caller's line unless the table holds exactly these rows.
#[track_caller]
pub fn check_holds(server: &Endpoint, table: &str, rows: impl IntoIterator<Item = Row>) {
    assert_eq!(
        Fingerprint::in_table(server, table),
        Fingerprint::of(rows),
        "rows of {table}"
    );
}
