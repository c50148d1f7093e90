//! `weir clusters`: the shards as configured, and which of their replicas answer now.

use clap::Args;
use config::{Cluster, Replica, Shard};
use futures_util::future;
use serde_json::{Value, json};

use super::check::slots;
use super::output::Output;
use super::reach::{self, PATIENCE};
use super::table::{Align, Table, one_line};
use super::{CommandError, ConfigArgs, block_on};

const EXAMPLE: &str = "\
Example:
  weir clusters --config weir.toml
  weir clusters --config weir.toml --output json | jq '.[] | select(.up | not) | .replica'

Every replica is asked for its version as the cluster's own user, all at once, for 2 seconds at most. SLOTS are the \
remainders of sharding value / sum of weights that belong to the shard.";

/// Characters of an error in the table; JSON has it whole.
const ERROR_CHARS: usize = 80;

/// List clusters, shards and replicas, and which replicas answer.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct ClustersArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The form of the listing.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// One replica and what it answered.
struct Line<'a> {
    cluster: &'a Cluster,
    shard: &'a Shard,
    replica: &'a Replica,
    slots: String,
    version: Result<String, String>,
}

/// Asks all replicas and lists them.
pub fn run(args: &ClustersArgs) -> Result<(), CommandError> {
    let config = args.config.load()?;
    let asked = config.clusters.iter().flat_map(lines);
    let lines = block_on(future::join_all(asked))?;
    let json = lines.iter().map(Line::json).collect();
    args.output.show(&table(&lines), &Value::Array(json))
}

fn lines(cluster: &Cluster) -> impl Iterator<Item = impl Future<Output = Line<'_>>> {
    let mut first_slot = 0;
    let slots: Vec<_> = cluster
        .shards
        .iter()
        .map(|shard| {
            let slots = slots(first_slot, shard.weight);
            first_slot += u64::from(shard.weight);
            slots
        })
        .collect();
    cluster.shards.iter().zip(slots).flat_map(move |(shard, slots)| {
        shard.replicas.iter().map(move |replica| {
            let slots = slots.clone();
            async move {
                let version = version(replica).await;
                Line {
                    cluster,
                    shard,
                    replica,
                    slots,
                    version,
                }
            }
        })
    })
}

async fn version(replica: &Replica) -> Result<String, String> {
    let client = reach::client(replica, Some(PATIENCE)).map_err(|error| error.0)?;
    let facts = client.facts(&[]).await;
    facts
        .map(|facts| facts.version.to_string())
        .map_err(|error| error.summary())
}

fn table(lines: &[Line<'_>]) -> Table {
    let mut table = Table::new(&[
        ("CLUSTER", Align::Left),
        ("EPOCH", Align::Right),
        ("SHARD", Align::Left),
        ("WEIGHT", Align::Right),
        ("SLOTS", Align::Left),
        ("REPLICA", Align::Left),
        ("LOCAL", Align::Left),
        ("UP", Align::Left),
        ("VERSION", Align::Left),
    ]);
    lines.iter().for_each(|line| table.row(line.texts()));
    table
}

impl Line<'_> {
    fn texts(&self) -> Vec<String> {
        let word = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
        let told = match &self.version {
            Ok(version) => version.clone(),
            Err(error) => one_line(error, ERROR_CHARS),
        };
        vec![
            self.cluster.name.clone(),
            self.cluster.epoch.to_string(),
            self.shard.name.clone(),
            self.shard.weight.to_string(),
            self.slots.clone(),
            self.replica.address(),
            word(self.replica.local),
            word(self.version.is_ok()),
            told,
        ]
    }

    fn json(&self) -> Value {
        json!({
            "cluster": self.cluster.name,
            "epoch": self.cluster.epoch,
            "shard": self.shard.name,
            "weight": self.shard.weight,
            "slots": self.slots,
            "internal_replication": self.shard.internal_replication,
            "replica": self.replica.address(),
            "local": self.replica.local,
            "up": self.version.is_ok(),
            "version": self.version.as_ref().ok(),
            "error": self.version.as_ref().err(),
        })
    }
}
