//! `[[table]]`: a distributed table, which clients insert into, and what it stands for.

use std::collections::BTreeMap;

use crate::file::{At, Section};
use crate::names::{TableName, fits_a_directory};
use crate::send::SendSettings;

/// A distributed table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// What clients insert into.
    pub name: TableName,
    /// The name of the cluster whose shards have its rows.
    pub cluster: String,
    /// What exists on every shard; a replica's `database` takes the place of its own.
    pub target: TableName,
    /// An expression over the target's columns, not parsed here; without one a cluster of several shards
    /// takes INSERTs only under `insert_shard_id` or `insert_distributed_one_random_shard`.
    pub sharding_key: Option<String>,
    /// How sharding values become shards.
    pub assignment: Assignment,
    /// What becomes of rows whose shard is down.
    pub when_shard_down: WhenShardDown,
    /// Settings of clients that travel to the shards though they are not about the payload.
    pub forward_settings: Vec<String>,
    /// Settings that every INSERT into the target gets.
    pub settings: BTreeMap<String, String>,
    /// `[send]` with what the table says over it.
    pub send: SendSettings,
}

/// How sharding values become shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Assignment {
    /// By slot, as ClickHouse's own Distributed tables do.
    Slots,
    /// By a hash ring whose virtual nodes follow the weights: few keys move when a shard is added.
    Consistent,
}

/// What becomes of rows whose shard is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenShardDown {
    /// They wait for it.
    Spool,
    /// They go to another shard; only for keys that mean no particular one.
    Reroute,
}

impl Assignment {
    /// The word of the file.
    pub fn word(self) -> &'static str {
        match self {
            Assignment::Slots => "slots",
            Assignment::Consistent => "consistent",
        }
    }
}

/// What Weir itself says with every batch: another value would break exactly-once, see design.md.
const WEIRS_OWN_SETTINGS: &[&str] = &[
    "async_insert",
    "deduplicate_blocks_in_dependent_materialized_views",
    "deduplicate_insert",
    "input_format_parallel_parsing",
    "insert_deduplicate",
    "insert_deduplication_token",
    "max_insert_block_size",
    "max_insert_block_size_bytes",
    "max_insert_threads",
    "min_insert_block_size_bytes",
    "min_insert_block_size_rows",
    "query_id",
];

/// A table as read, with the places that checks against the rest of the file tell.
pub(crate) struct TableDraft {
    pub table: Table,
    pub name_offset: usize,
    pub target_offset: usize,
    pub cluster_offset: usize,
    pub offset: usize,
}

impl TableDraft {
    /// Reads one `[[table]]`; `clusters` are the names of those in the file. `None` with a mistake noted.
    pub fn read(section: &Section<'_>, send: &SendSettings, clusters: &[&str]) -> Option<TableDraft> {
        let name = section.required("name", section.parsed("name", parse_name));
        let target = section.required("target", section.parsed("target", TableName::parse));
        let cluster = read_cluster(section, clusters);
        // Read all before giving up on a missing one: each has its own mistakes.
        let sharding_key = section.parsed("sharding_key", parse_key).map(|key| key.value);
        let assignment = read_assignment(section);
        let when_shard_down = read_when_shard_down(section);
        let forward_settings = read_forward_settings(section);
        let settings = read_settings(section);
        let send = send.overridden_by(section);
        let (name, target) = (name?, target?);
        Some(TableDraft {
            name_offset: name.offset,
            target_offset: target.offset,
            cluster_offset: section.offset_of("cluster"),
            offset: section.offset,
            table: Table {
                name: name.value,
                cluster: cluster?,
                target: target.value,
                sharding_key,
                assignment,
                when_shard_down,
                forward_settings,
                settings,
                send,
            },
        })
    }
}

/// The name of a distributed table, which is also that of its directory in the spool.
fn parse_name(text: &str) -> Result<TableName, String> {
    let name = TableName::parse(text)?;
    match fits_a_directory(&format!("{}.{}", name.database, name.table)) {
        true => Ok(name),
        false => Err(format!("'{text}' is too long for a directory of the spool")),
    }
}

/// The cluster's name, which goes without saying when there is only one.
fn read_cluster(section: &Section<'_>, clusters: &[&str]) -> Option<String> {
    let said = section.text("cluster").map(|cluster| cluster.value);
    match clusters {
        [only] if !section.has("cluster") => Some((*only).to_owned()),
        _ => section.required("cluster", said),
    }
}

fn parse_key(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("an empty expression; leave the key out if there is none".to_owned()),
        key => Ok(key.to_owned()),
    }
}

fn read_assignment(section: &Section<'_>) -> Assignment {
    let words = [Assignment::Slots, Assignment::Consistent].map(|assignment| (assignment.word(), assignment));
    section
        .choice("assignment", &words)
        .map_or(Assignment::Slots, |word| word.value)
}

fn read_when_shard_down(section: &Section<'_>) -> WhenShardDown {
    let words = [
        ("spool", WhenShardDown::Spool),
        ("reroute", WhenShardDown::Reroute),
    ];
    section
        .choice("when_shard_down", &words)
        .map_or(WhenShardDown::Spool, |word| word.value)
}

fn read_forward_settings(section: &Section<'_>) -> Vec<String> {
    let names = section.all_parsed("forward_settings", parse_setting_name);
    names.map_or_else(Vec::new, |names| {
        names.value.into_iter().map(|name| name.value).collect()
    })
}

fn read_settings(section: &Section<'_>) -> BTreeMap<String, String> {
    let checked = |(name, value): (At<String>, String)| {
        let parsed = parse_setting_name(&name).map_err(|error| format!("settings: {error}"));
        Some((section.source.accept(name.offset, parsed)?.value, value))
    };
    section
        .pairs("settings")
        .into_iter()
        .filter_map(checked)
        .collect()
}

fn parse_setting_name(name: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if name.is_empty() || !name.bytes().all(plain) {
        return Err(format!("'{}' is not the name of a setting", name.escape_debug()));
    }
    match WEIRS_OWN_SETTINGS.contains(&name) {
        true => Err(format!(
            "{name} is set by Weir with every batch: another value could lose or double rows"
        )),
        false => Ok(name.to_owned()),
    }
}
