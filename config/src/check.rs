//! The whole file: read section by section, then checked across them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;

use toml::de::DeTable;

use crate::cluster::Cluster;
use crate::env::Env;
use crate::file::{At, Section, Source};
use crate::listen::{Limits, Listen, Logs};
use crate::mistakes::{Mistakes, Remark};
use crate::names::TableName;
use crate::send::SendSettings;
use crate::spool::Spool;
use crate::table::{Table, TableDraft, TableOverride, TableSection};
use crate::user::{Auth, User, read_user};

/// A configuration without mistakes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `[listen]`.
    pub listen: Listen,
    /// `[limits]`.
    pub limits: Limits,
    /// `[logs]`.
    pub logs: Logs,
    /// `[spool]`.
    pub spool: Spool,
    /// `[send]`, what holds for a table that says nothing else.
    pub send: SendSettings,
    /// At least one, in the order of the file.
    pub clusters: Vec<Cluster>,
    /// In the order of the file, then those that were discovered; each names one of `clusters`.
    pub tables: Vec<Table>,
    /// What the file says of discovered tables, in its order.
    pub overrides: Vec<TableOverride>,
    /// At least one, in the order of the file.
    pub users: Vec<User>,
    /// What can be used and is probably not meant.
    pub warnings: Vec<Remark>,
}

/// A file is larger only by accident: 1,000 tables over 200 shards make 300 KiB.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// A file that is no TOML at all gives an error a line; nobody reads more of them.
const SYNTAX_ERRORS_MAX: usize = 20;
/// How [`parse`] calls a text that came from nowhere.
const FILE_NAME: &str = "weir.toml";

/// Reads the configuration at `path` in the environment of this process. Relative paths in it start from
/// its own directory.
pub fn load(path: &Path) -> Result<Config, Mistakes> {
    let name = path.display().to_string();
    let text = read_text(path).map_err(|error| Mistakes::of_file(&name, error))?;
    // The parent of a bare file name is empty, and no directory can be made or synced by that name.
    let named = path
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty());
    let directory = named.unwrap_or(Path::new("."));
    read(&name, &text, &Env::of_process().with_directory(directory))
}

/// Reads a configuration's text. It opens no file but those that the text names: passwords, tokens and
/// certificates, to tell now if they are not there.
pub fn parse(text: &str, env: &Env) -> Result<Config, Mistakes> {
    read(FILE_NAME, text, env)
}

impl Config {
    /// The cluster of this name.
    pub fn cluster(&self, name: &str) -> Option<&Cluster> {
        self.clusters.iter().find(|cluster| cluster.name == name)
    }

    /// The cluster of a table of this configuration.
    pub fn cluster_of(&self, table: &Table) -> Option<&Cluster> {
        self.cluster(&table.cluster)
    }

    /// The distributed table of this name.
    pub fn table(&self, name: &TableName) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == *name)
    }

    /// The distributed table that stands for this target, for whoever names a target directly.
    pub fn table_of_target(&self, target: &TableName) -> Option<&Table> {
        self.tables.iter().find(|table| table.target == *target)
    }

    /// The user of this name.
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }
}

// === reading ===

fn read_text(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path)
        .map_err(|error| format!("cannot read it: {error}"))?
        .len();
    if size > FILE_BYTES_MAX {
        return Err(format!(
            "it has {size} bytes; a configuration has at most {FILE_BYTES_MAX}"
        ));
    }
    std::fs::read_to_string(path).map_err(|error| format!("cannot read it: {error}"))
}

fn read(file: &str, text: &str, env: &Env) -> Result<Config, Mistakes> {
    let source = Source::new(text, env);
    let (tree, errors) = DeTable::parse_recoverable(text);
    // What the parser made of a file it did not understand would only give rise to further mistakes.
    let config = if errors.is_empty() {
        Some(read_sections(&source.root(tree.get_ref())))
    } else {
        errors
            .iter()
            .take(SYNTAX_ERRORS_MAX)
            .for_each(|error| note_syntax_error(&source, error));
        None
    };
    let (mistakes, warnings) = source.remarks(file);
    match config {
        Some(config) if mistakes.is_empty() => Ok(Config { warnings, ..config }),
        _ => Err(Mistakes { list: mistakes }),
    }
}

fn note_syntax_error(source: &Source<'_>, error: &toml::de::Error) {
    let offset = error.span().map_or(0, |span| span.start);
    source.mistake(offset, format!("not TOML: {}", error.message()));
}

fn read_sections(file: &Section<'_>) -> Config {
    let listen_section = file.child("listen");
    let listen = Listen::read(&listen_section);
    let send = SendSettings::of_file(&file.child("send"));
    let clusters = read_clusters(file);
    let names: Vec<&str> = clusters.iter().map(|cluster| cluster.name.as_str()).collect();
    let (tables, overrides) = read_tables(file, &send, &clusters);
    check_tables(file.source, &tables, &clusters);
    let users = read_users(file, &names);
    let config = Config {
        limits: Limits::read(&file.child("limits")),
        logs: Logs::read(&file.child("logs")),
        spool: Spool::read(&file.child("spool")),
        users: users.into_iter().map(|user| user.value).collect(),
        tables: tables.into_iter().map(|draft| draft.table).collect(),
        overrides,
        listen,
        send,
        clusters,
        warnings: Vec::new(),
    };
    warn_of_open_users(file, &listen_section, &config);
    config
}

fn read_clusters(file: &Section<'_>) -> Vec<Cluster> {
    let sections = file.named_children("cluster");
    if sections.is_empty() && !file.has("cluster") {
        file.mistake("no [cluster.<name>]: there is nowhere to send rows to");
    }
    sections
        .iter()
        .map(|(name, section)| Cluster::read(name, section))
        .collect()
}

fn read_tables(
    file: &Section<'_>,
    send: &SendSettings,
    clusters: &[Cluster],
) -> (Vec<TableDraft>, Vec<TableOverride>) {
    let sections = file.children("table");
    let discovers = clusters.iter().any(|cluster| cluster.discovery.is_some());
    if sections.is_empty() && !file.has("table") && !discovers {
        file.source
            .warning(file.offset, "no [[table]]: every INSERT will be refused");
    }
    let (mut tables, mut overrides) = (Vec::new(), Vec::new());
    for section in &sections {
        match TableSection::read(section, send, clusters) {
            Some(TableSection::Listed(draft)) => tables.push(draft),
            Some(TableSection::Override(over, offset)) => overrides.push((over, offset)),
            None => {}
        }
    }
    check_overrides_differ(file.source, &overrides);
    (tables, overrides.into_iter().map(|(over, _)| over).collect())
}

fn read_users(file: &Section<'_>, clusters: &[&str]) -> Vec<At<User>> {
    let sections = file.children("user");
    if !file.has("user") {
        let default = User::default_on_loopback(clusters.first().copied().unwrap_or_default());
        return vec![At {
            value: default,
            offset: file.offset,
        }];
    }
    let at = |section: &Section<'_>| {
        Some(At {
            value: read_user(section, clusters)?,
            offset: section.offset,
        })
    };
    let users: Vec<_> = sections.iter().filter_map(at).collect();
    check_user_names(file.source, &users);
    users
}

// === checking across sections ===

fn check_user_names(source: &Source<'_>, users: &[At<User>]) {
    let mut first_of: HashMap<&str, usize> = HashMap::new();
    for user in users {
        if let Some(first) = first_of.insert(&user.name, user.offset) {
            let line = source.line(first);
            source.mistake(
                user.offset,
                format!("user '{}' stands twice, first on line {line}", user.name),
            );
        }
    }
}

/// The second of two would never count.
fn check_overrides_differ(source: &Source<'_>, overrides: &[(TableOverride, usize)]) {
    for (at, (over, offset)) in overrides.iter().enumerate() {
        let same = |(other, _): &&(TableOverride, usize)| {
            (&other.tables, &other.cluster) == (&over.tables, &over.cluster)
        };
        if let Some((_, first)) = overrides[..at].iter().find(same) {
            let line = source.line(*first);
            let text = format!(
                "what [[table]] {} says of discovered tables stands twice, first on line {line}",
                over.tables
            );
            source.mistake(*offset, text);
        }
    }
}

fn check_tables(source: &Source<'_>, tables: &[TableDraft], clusters: &[Cluster]) {
    let mut first_of: HashMap<&TableName, &TableDraft> = HashMap::new();
    for draft in tables {
        if let Some(first) = first_of.insert(&draft.table.name, draft) {
            let line = source.line(first.name_offset);
            let text = format!("table {} stands twice, first on line {line}", draft.table.name);
            source.mistake(draft.name_offset, text);
        }
    }
    for draft in tables {
        check_cluster_of(source, draft, clusters);
        check_target(source, draft, &first_of);
    }
}

fn check_cluster_of(source: &Source<'_>, draft: &TableDraft, clusters: &[Cluster]) {
    let table = &draft.table;
    match clusters.iter().find(|cluster| cluster.name == table.cluster) {
        None => source.mistake(
            draft.cluster_offset,
            format!("there is no [cluster.{}]", table.cluster),
        ),
        Some(cluster) if cluster.shards.len() > 1 && table.sharding_key.is_none() => {
            let text = format!(
                "table {} has no sharding_key and {} shards: it takes INSERTs only under insert_shard_id or \
                 insert_distributed_one_random_shard",
                table.name,
                cluster.shards.len()
            );
            source.warning(draft.offset, text);
        }
        Some(_) => {}
    }
}

/// Rows are split once. A target that Weir splits itself is a slip, and its name could not be told from a
/// target that a client names directly.
fn check_target(source: &Source<'_>, draft: &TableDraft, tables: &HashMap<&TableName, &TableDraft>) {
    let TableDraft { table, .. } = draft;
    let Some(other) = tables
        .get(&table.target)
        .filter(|other| other.table.name != table.name)
    else {
        return;
    };
    let line = source.line(other.name_offset);
    let text = format!(
        "target {} is itself a distributed table, on line {line}",
        table.target
    );
    source.mistake(draft.target_offset, text);
}

/// Says who can, or cannot, come in from other machines.
fn warn_of_open_users(file: &Section<'_>, listen: &Section<'_>, config: &Config) {
    let open = |address: &&SocketAddr| !address.ip().is_loopback();
    let Some(address) = config.listen.http.iter().find(open) else {
        return;
    };
    let offset = listen.offset_of("http");
    if !file.has("user") {
        let text = format!("http listens on {address}, but without [[user]] only this machine may connect");
        file.source.warning(offset, text);
    }
    let unguarded =
        |user: &&User| user.auth == Auth::Weir && user.password_hashes.is_empty() && user.networks.is_empty();
    for user in config.users.iter().filter(unguarded) {
        let text = format!(
            "user '{}' has neither password nor networks: anyone may insert as it",
            user.name
        );
        file.source.warning(offset, text);
    }
}
