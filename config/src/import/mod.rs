//! `weir import`: from what a team already has, a ClickHouse config.xml or what a live node says, to a
//! weir.toml that says what could not be known.
//!
//! [`config_xml`] reads the files as a server does; a live node is asked by the router's command, which fills
//! the same [`Import`]; [`Import::to_toml`] writes it. No password is ever held here, only where it may come
//! from.

mod config_xml;
mod write;
mod xml;

pub use config_xml::{ReadFiles, config_xml};

use crate::names::TableName;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Import {
    /// Where, in words.
    pub source: String,
    /// In the order of the source.
    pub clusters: Vec<ImportedCluster>,
    /// The Distributed tables of these clusters.
    pub tables: Vec<ImportedTable>,
    /// Whether the source could tell them.
    pub tables_are_known: bool,
    /// What else an operator should know.
    pub notes: Vec<String>,
}

/// A cluster of `remote_servers`.
///
/// Texts are as weir.toml writes them: `${NAME}` is a variable of the environment, a literal `${` is `$${`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportedCluster {
    /// Its name.
    pub name: String,
    /// In the order of the slots.
    pub shards: Vec<ImportedShard>,
    /// Nodes on which Weir shall discover the tables, as `discover` takes them.
    pub seeds: Vec<String>,
    /// What else an operator should know.
    pub notes: Vec<String>,
}

/// A shard of such a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedShard {
    /// Its name, where it has one.
    pub name: Option<String>,
    /// Its weight, or why it is not known.
    pub weight: Result<u32, String>,
    /// `None` where the source does not tell.
    pub internal_replication: Option<bool>,
    /// In the order of the source.
    pub replicas: Vec<ImportedReplica>,
}

/// A replica of such a shard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportedReplica {
    /// Its host, `None` where that is not known.
    pub host: Option<String>,
    /// The port of its native protocol, which Weir does not speak.
    pub native_port: Option<u16>,
    /// The port of its HTTP interface.
    pub http_port: HttpPort,
    /// Whether it is spoken to over TLS.
    pub secure: bool,
    /// The servers' user for each other.
    pub user: Option<String>,
    /// Where that user's password is.
    pub password: ImportedPassword,
    /// The database that a Distributed table without one means here.
    pub default_database: Option<String>,
}

/// The port of a replica's HTTP interface, which `remote_servers` does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HttpPort {
    /// An operator has to fill it in.
    #[default]
    Unknown,
    /// It serves this native port as a server does whose HTTP port is known.
    Assumed(u16),
    /// It was said, or the import just went through it.
    Known(u16),
}

/// Where a password may come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ImportedPassword {
    /// The user has none.
    #[default]
    None,
    /// It stands in the source, and is not repeated.
    InSource,
    /// This variable of the environment holds it.
    Variable(String),
    /// This file holds it.
    File(String),
    /// The source does not tell whether there is one.
    Unknown,
}

/// A Distributed table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedTable {
    /// Its cluster.
    pub cluster: String,
    /// What clients insert into.
    pub name: TableName,
    /// What exists on the shards.
    pub target: TableName,
    /// The key's text.
    pub sharding_key: Option<String>,
}

/// A text as it stands, in the notation of weir.toml's strings.
pub fn literal(text: &str) -> String {
    text.replace("${", "$${")
}

impl Import {
    /// Leaves out all clusters but these; an error names one that is not there.
    pub fn keep(&mut self, names: &[String]) -> Result<(), String> {
        let known: Vec<_> = self.clusters.iter().map(|cluster| cluster.name.clone()).collect();
        if let Some(missing) = names.iter().find(|name| !known.contains(name)) {
            return Err(format!(
                "there is no cluster {missing} in {}; there are: {}",
                self.source,
                known.join(", ")
            ));
        }
        self.clusters.retain(|cluster| names.contains(&cluster.name));
        self.tables.retain(|table| names.contains(&table.cluster));
        Ok(())
    }

    /// Takes this HTTP port wherever none is known.
    pub fn set_http_port(&mut self, port: u16) {
        let replicas = self.clusters.iter_mut().flat_map(|cluster| &mut cluster.shards);
        for replica in replicas.flat_map(|shard| &mut shard.replicas) {
            if matches!(replica.http_port, HttpPort::Unknown | HttpPort::Assumed(_)) {
                replica.http_port = HttpPort::Known(port);
            }
        }
    }
}
