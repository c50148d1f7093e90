//! Replicas reached by a command, without a running router: clients, what they say of a table, and the
//! columns that were kept of it.

use std::time::Duration;

use config::{Cluster, Config, Table};
use futures_util::future;
use shard_client::Replica;

use super::CommandError;
use crate::routing;
use crate::schema::{self, Description, SchemaFiles};

/// Nobody wants to wait longer for a listing because a replica is gone.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Connections of a command to one replica: its requests come one after another.
const CONNECTIONS: usize = 2;

/// Where a table's columns were learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// This replica described the target just now.
    Replica(String),
    /// A router kept them in the spool's meta/ for its next start.
    Kept,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Replica(address) => write!(f, "as {address} describes it"),
            Self::Kept => write!(f, "as kept in the spool's meta/, since no replica answers"),
        }
    }
}

/// A client of one replica, as its cluster is configured; `patience` bounds both timeouts where it is given.
pub fn client(replica: &config::Replica, patience: Option<Duration>) -> Result<Replica, CommandError> {
    let mut endpoint = routing::endpoint(replica);
    if let Some(patience) = patience {
        endpoint.connect_timeout = endpoint.connect_timeout.min(patience);
        endpoint.receive_timeout = endpoint.receive_timeout.min(patience);
    }
    Replica::new(endpoint, CONNECTIONS)
        .map_err(|error| CommandError(format!("replica {}: {error}", replica.address())))
}

/// What is known of a table's target: a replica's word, else what was kept; the last trouble if neither is
/// there.
pub async fn described(
    config: &Config,
    cluster: &Cluster,
    table: &Table,
) -> Result<(Origin, Description), String> {
    let trouble = match first_description(cluster, table).await {
        Ok(described) => return Ok(described),
        Err(trouble) => trouble,
    };
    let files = SchemaFiles::below(&config.spool.path);
    let kept = files.read(&cluster.name, &table.target.to_string());
    kept.map(|description| (Origin::Kept, description)).ok_or(trouble)
}

/// What is known of a table's target, or why nothing is.
pub async fn description(
    config: &Config,
    cluster: &Cluster,
    table: &Table,
) -> Result<Description, CommandError> {
    let (_, description) = described(config, cluster, table).await.map_err(|trouble| {
        CommandError(format!(
            "the columns of {}, which {} stands for, are not known: no replica of cluster {} tells them and none \
             were kept; {trouble}",
            table.target, table.name, cluster.name
        ))
    })?;
    Ok(description)
}

/// The first replica's answer: all are asked at once.
async fn first_description(cluster: &Cluster, table: &Table) -> Result<(Origin, Description), String> {
    let replicas = cluster.shards.iter().flat_map(|shard| &shard.replicas);
    let asked: Vec<_> = replicas
        .map(|replica| Box::pin(describe_by(replica, table)))
        .collect();
    if asked.is_empty() {
        return Err(format!("cluster {} has no replica", cluster.name));
    }
    future::select_ok(asked).await.map(|(answer, _)| answer)
}

async fn describe_by(replica: &config::Replica, table: &Table) -> Result<(Origin, Description), String> {
    let client = client(replica, Some(PATIENCE)).map_err(|error| error.0)?;
    let database = replica.database.as_deref().unwrap_or(&table.target.database);
    let facts = client.facts(&[]).await.map_err(|error| error.to_string())?;
    let description = schema::describe(&client, &facts, database, &table.target.table).await;
    let description = description.map_err(|error| error.to_string())?;
    Ok((Origin::Replica(replica.address()), description))
}
