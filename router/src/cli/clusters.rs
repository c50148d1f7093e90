//! `weir clusters`: the shards as configured, which of their replicas answer now, and what is routed.

use clap::{Args, Subcommand};
use config::{Cluster, Config, Replica, Shard, TableName};
use futures_util::future;
use serde_json::{Value, json};

use super::admin_socket::AdminSocket;
use super::output::{Output, say};
use super::reach::{self, PATIENCE};
use super::table::{Align, Table, one_line};
use super::{CommandError, ConfigArgs, block_on};
use crate::app::spool_options;
use crate::dry_run::slots_in_words;
use crate::{discovery, identity, layouts};

const EXAMPLE: &str = "\
Example:
  weir clusters --config weir.toml
  weir clusters --config weir.toml --output json | jq '.[] | select(.up | not) | .replica'
  weir clusters --config weir.toml --tables

Every replica is asked for its version as the cluster's own user, all at once, for 2 seconds at most. SLOTS are the \
remainders of sharding value / sum of weights that belong to the shard. With --tables: what is routed, the \
discovered tables as the router last kept them in the spool's meta/.";

const ACCEPT_EXAMPLE: &str = "\
Examples:
  weir clusters accept --config weir.toml logs.events
  weir clusters accept --config weir.toml s02
  weir clusters accept --config weir.toml s02@ch-02-b:8123

A table: rows of one key that came before lie where the old key put them, new ones go where the new key says. What waits in the \
spool goes where it was routed.

A shard, or one of its replicas: who stood at its addresses before is forgotten, and who answers there next is written to. Look \
first whether the addresses are right: rows that went to another shard are not brought back.";

/// Characters of an error in the table; JSON has it whole.
const ERROR_CHARS: usize = 80;

/// List clusters, shards and replicas, and which replicas answer.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE, args_conflicts_with_subcommands = true)]
pub struct ClustersArgs {
    #[command(subcommand)]
    change: Option<Change>,
    #[command(flatten)]
    config: ConfigArgs,
    /// List the routed tables instead: where they came from, their keys, and whether they take INSERTs.
    #[arg(long)]
    tables: bool,
    /// The form of the listing.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum Change {
    /// Take the new sharding key of a discovered table, which stopped its INSERTs, or a shard's replicas for who they are now.
    Accept(AcceptArgs),
}

#[derive(Debug, Args)]
#[command(after_help = ACCEPT_EXAMPLE)]
struct AcceptArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The distributed table, `database.table`, or the shard, with `@host:port` one of its replicas.
    #[arg(value_name = "TABLE|SHARD[@REPLICA]")]
    what: String,
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
    if let Some(Change::Accept(args)) = &args.change {
        return accept(args);
    }
    let config = args.config.load()?;
    if args.tables {
        return list_tables(&config, args.output);
    }
    let asked = config.clusters.iter().flat_map(lines);
    let lines = block_on(future::join_all(asked))?;
    let json = lines.iter().map(Line::json).collect();
    args.output.show(&table(&lines), &Value::Array(json))
}

/// The routed tables, as a router that starts now would route them.
fn list_tables(config: &Config, output: Output) -> Result<(), CommandError> {
    let (config, remarks) = discovery::of_disk(config).map_err(|error| CommandError(error.to_string()))?;
    let mut listing = Table::new(&[
        ("CLUSTER", Align::Left),
        ("TABLE", Align::Left),
        ("TARGET", Align::Left),
        ("KEY", Align::Left),
        ("FROM", Align::Left),
        ("INSERTS", Align::Left),
    ]);
    for table in &config.tables {
        listing.row(vec![
            table.cluster.clone(),
            table.name.to_string(),
            table.target.to_string(),
            table.sharding_key.clone().unwrap_or_else(|| "none".to_owned()),
            discovery::origin_word(table).to_owned(),
            if table.stopped.is_some() { "stopped" } else { "yes" }.to_owned(),
        ]);
    }
    let json = config.tables.iter().map(discovery::table_json);
    output.show(&listing, &Value::Array(json.collect()))?;
    remarks.iter().for_each(|remark| eprintln!("{remark}"));
    Ok(())
}

/// What is accepted: a shard's replicas, if the configuration has a shard of that name, else a table's key.
enum Accepted {
    Key(TableName),
    Replicas { shard: String, replica: Option<String> },
}

impl Accepted {
    fn of(what: &str, config: &Config) -> Result<Accepted, CommandError> {
        let (shard, replica) = match what.split_once('@') {
            Some((shard, replica)) => (shard, Some(replica)),
            None => (what, None),
        };
        let mut shards = config.clusters.iter().flat_map(|cluster| &cluster.shards);
        let Some(found) = shards.find(|known| known.name == shard) else {
            return TableName::parse(what).map(Accepted::Key).map_err(|error| {
                CommandError(format!(
                    "{what:?} is neither a shard of the configuration nor a table: {error}"
                ))
            });
        };
        if let Some(replica) = replica
            && !found.replicas.iter().any(|known| known.address() == replica)
        {
            let known: Vec<_> = found.replicas.iter().map(config::Replica::address).collect();
            return Err(CommandError(format!(
                "shard {shard} has no replica {replica:?}; it has {}",
                known.join(", ")
            )));
        }
        Ok(Accepted::Replicas {
            shard: shard.to_owned(),
            replica: replica.map(str::to_owned),
        })
    }

    fn parameters(&self) -> Vec<(&'static str, String)> {
        match self {
            Accepted::Key(table) => vec![("table", table.to_string())],
            Accepted::Replicas { shard, replica } => {
                let replica = replica.clone().map(|replica| ("replica", replica));
                [("shard", shard.clone())].into_iter().chain(replica).collect()
            }
        }
    }

    fn told(&self) -> String {
        match self {
            Accepted::Key(table) => format!("{table}: its new sharding key holds from now on"),
            Accepted::Replicas {
                shard,
                replica: Some(replica),
            } => format!("{shard}: who answers at {replica} next is its replica"),
            Accepted::Replicas { shard, replica: None } => {
                format!("{shard}: who answers at its addresses next are its replicas")
            }
        }
    }
}

/// Through the router that runs on the spool, or, when none does, in its meta/ under its lock.
fn accept(args: &AcceptArgs) -> Result<(), CommandError> {
    let config = args.config.load()?;
    let accepted = Accepted::of(&args.what, &config)?;
    block_on(async {
        match AdminSocket::of_spool(&config.spool.path).await? {
            Some(router) => {
                let parameters = accepted.parameters();
                let parameters: Vec<_> = parameters
                    .iter()
                    .map(|(name, value)| (*name, value.as_str()))
                    .collect();
                let answer = router.post("/clusters/accept", &parameters).await?;
                if !answer.status.is_success() {
                    return Err(CommandError(answer.text));
                }
            }
            None => accept_offline(&config, &accepted).await?,
        }
        say(format_args!("{}", accepted.told()))
    })?
}

async fn accept_offline(config: &Config, accepted: &Accepted) -> Result<(), CommandError> {
    let told = |error: &dyn std::fmt::Display| CommandError(error.to_string());
    // Held until the change is on disk: no router starts meanwhile.
    let spool = spool::Spool::open(spool_options(config)).map_err(|error| told(&error))?;
    let done = match accepted {
        Accepted::Key(table) => discovery::of_disk(config)
            .map_err(|error| told(&error))
            .and_then(|(config, _)| layouts::accept_key(&config, table).map_err(CommandError)),
        Accepted::Replicas { shard, replica } => {
            let forgotten = identity::forget_offline(&config.spool.path, shard, replica.as_deref());
            forgotten.map(drop).map_err(CommandError)
        }
    };
    spool.shutdown().await;
    done
}

fn lines(cluster: &Cluster) -> impl Iterator<Item = impl Future<Output = Line<'_>>> {
    let mut first_slot = 0;
    let slots: Vec<_> = cluster
        .shards
        .iter()
        .map(|shard| {
            let slots = slots_in_words(first_slot, shard.weight);
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
