//! `[[table]]`: a distributed table, which clients insert into, and what it stands for.

use std::collections::BTreeMap;

use crate::check::Config;
use crate::cluster::Cluster;
use crate::file::{At, Section};
use crate::names::{TableName, TablePattern, fits_a_directory};
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
    /// Who says that it is routed.
    pub origin: Origin,
    /// Why it takes no INSERTs for now; only a discovered table is ever stopped.
    pub stopped: Option<String>,
    /// The line of the file that says its key, or where it begins; none for a discovered table.
    pub line: Option<usize>,
}

/// Who says that a table is routed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A `[[table]]` with a target.
    File,
    /// A Distributed table on the seeds of its cluster.
    Discovered,
}

/// A `[[table]]` without a target: what it says of discovered tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableOverride {
    /// The one table, or the tables, that it is about.
    pub tables: Named,
    /// The cluster whose tables it is about; all that discover if it says none.
    pub cluster: Option<String>,
    /// What becomes of rows whose shard is down.
    pub when_shard_down: WhenShardDown,
    /// As in [`Table`].
    pub forward_settings: Vec<String>,
    /// As in [`Table`].
    pub settings: BTreeMap<String, String>,
    /// `[send]` with what it says over it.
    pub send: SendSettings,
}

/// Discovered tables by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// One.
    Exactly(TableName),
    /// All of a pattern.
    Like(TablePattern),
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Named::Exactly(name) => name.fmt(f),
            Named::Like(pattern) => pattern.fmt(f),
        }
    }
}

impl Named {
    /// Whether the table is meant.
    pub fn matches(&self, name: &TableName) -> bool {
        match self {
            Named::Exactly(exact) => exact == name,
            Named::Like(pattern) => pattern.matches(name),
        }
    }
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

/// A `[[table]]` as read.
pub(crate) enum TableSection {
    Listed(TableDraft),
    /// With the place of its name.
    Override(TableOverride, usize),
}

/// A table as read, with the places that checks against the rest of the file tell.
pub(crate) struct TableDraft {
    pub table: Table,
    pub name_offset: usize,
    pub target_offset: usize,
    pub cluster_offset: usize,
    pub offset: usize,
}

impl TableSection {
    /// Reads one `[[table]]`; `clusters` are those of the file. `None` with a mistake noted.
    pub fn read(section: &Section<'_>, send: &SendSettings, clusters: &[Cluster]) -> Option<TableSection> {
        let discovers = discovering(section, clusters);
        let is_pattern = section.raw_text("name").is_some_and(|name| name.contains('*'));
        if is_pattern || (discovers && !section.has("target")) {
            let over = TableOverride::read(section, send, discovers)?;
            return Some(TableSection::Override(over, section.offset_of("name")));
        }
        let names: Vec<&str> = clusters.iter().map(|cluster| cluster.name.as_str()).collect();
        TableDraft::read(section, send, &names).map(TableSection::Listed)
    }
}

/// Whether the cluster that the section names, or any if it names none, discovers its tables.
fn discovering(section: &Section<'_>, clusters: &[Cluster]) -> bool {
    let said = section.raw_text("cluster");
    let meant = |cluster: &&Cluster| said.is_none_or(|said| cluster.name == said);
    clusters
        .iter()
        .filter(meant)
        .any(|cluster| cluster.discovery.is_some())
}

impl TableOverride {
    fn read(section: &Section<'_>, send: &SendSettings, discovers: bool) -> Option<TableOverride> {
        let tables = section.required("name", section.parsed("name", parse_named));
        if !discovers {
            let text = "a pattern of tables is about discovered ones, and no cluster that is meant has discover = [ … ]";
            section.source.mistake(section.offset_of("name"), text);
        }
        for key in ["target", "sharding_key", "assignment"] {
            if section.text(key).is_some() {
                let text = format!("{key} of a discovered table is what its Distributed engine says");
                section.source.mistake(section.offset_of(key), text);
            }
        }
        let over = TableOverride {
            tables: tables.map(|tables| tables.value)?,
            cluster: section.text("cluster").map(|cluster| cluster.value),
            when_shard_down: read_when_shard_down(section),
            forward_settings: read_forward_settings(section),
            settings: read_settings(section),
            send: send.of_table(section),
        };
        Some(over)
    }

    /// What holds for a discovered table of which the file says nothing.
    fn nothing(send: &SendSettings) -> TableOverride {
        TableOverride {
            tables: Named::Like(TablePattern::every_table()),
            cluster: None,
            when_shard_down: WhenShardDown::Spool,
            forward_settings: Vec::new(),
            settings: BTreeMap::new(),
            send: send.clone(),
        }
    }
}

fn parse_named(text: &str) -> Result<Named, String> {
    match text.contains('*') {
        true => TablePattern::parse(text).map(Named::Like),
        false => parse_name(text).map(Named::Exactly),
    }
}

impl Config {
    /// What the file says of a discovered table: by its own name, else by the first pattern that matches.
    pub(crate) fn override_of(&self, name: &TableName, cluster: &str) -> TableOverride {
        let about = |over: &&TableOverride| {
            over.tables.matches(name) && over.cluster.as_deref().is_none_or(|said| said == cluster)
        };
        let all = || self.overrides.iter().filter(about);
        let exact = all().find(|over| matches!(over.tables, Named::Exactly(_)));
        let over = exact.or_else(|| all().next());
        over.cloned()
            .unwrap_or_else(|| TableOverride::nothing(&self.send))
    }
}

impl TableDraft {
    /// Reads one with a target; `clusters` are the names of those in the file.
    fn read(section: &Section<'_>, send: &SendSettings, clusters: &[&str]) -> Option<TableDraft> {
        let name = section.required("name", section.parsed("name", parse_name));
        let target = section.required("target", section.parsed("target", TableName::parse));
        let cluster = read_cluster(section, clusters);
        // Read all before giving up on a missing one: each has its own mistakes.
        let sharding_key = section.parsed("sharding_key", parse_key).map(|key| key.value);
        let assignment = read_assignment(section);
        let when_shard_down = read_when_shard_down(section);
        let forward_settings = read_forward_settings(section);
        let settings = read_settings(section);
        let send = send.of_table(section);
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
                origin: Origin::File,
                stopped: None,
                line: Some(section.source.line(section.offset_of("sharding_key"))),
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
