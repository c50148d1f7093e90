//! `weir spool retry` and `weir spool drop`: through the router that runs on the spool, or with its lock when
//! none does.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use spool::{Destination, QueueError, Spool};

use super::{PlaceArgs, told};
use crate::app::spool_options;
use crate::cli::admin_socket::AdminSocket;
use crate::cli::output::say;
use crate::cli::{CommandError, block_on};

const RETRY_EXAMPLE: &str = "\
Examples:
  weir spool retry --config weir.toml --table default.hits --shard s02 --seq 17
  weir spool retry --config weir.toml --table default.hits --shard s02

With --seq the held or broken batch goes back into the queue, unchanged: its bytes and its token are the same. Without it the \
held destination is resumed. `weir spool ls --files` shows numbers and errors.";

const DROP_EXAMPLE: &str = "\
Example:
  weir spool cat /var/lib/weir/default.hits/s02/00000000000000000017.bin > kept.rows
  weir spool drop --config weir.toml --table default.hits --shard s02 --seq 17

The batch's rows are lost; what remains is a line in the journal. A broken batch is not in the queue: `retry` it, or leave it in \
broken/, which has a limit of its own.";

/// Whose batch it is.
#[derive(Debug, Clone, Args)]
struct Whose {
    /// The distributed table, `database.table`.
    #[arg(long, value_name = "TABLE")]
    table: String,
    /// The shard's name.
    #[arg(long, value_name = "SHARD")]
    shard: String,
    /// The replica, `host:port`; only with internal_replication off, where each has its own queue.
    #[arg(long, value_name = "HOST:PORT")]
    replica: Option<String>,
}

/// Put a held or broken batch back into the queue, or resume a held destination.
#[derive(Debug, Args)]
#[command(after_help = RETRY_EXAMPLE)]
pub struct RetryArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    whose: Whose,
    /// The batch's number; without it the destination is resumed.
    #[arg(long)]
    seq: Option<u64>,
}

/// Give up a waiting, held or broken batch: its rows are lost.
#[derive(Debug, Args)]
#[command(after_help = DROP_EXAMPLE)]
pub struct DropArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    whose: Whose,
    /// The batch's number.
    #[arg(long)]
    seq: u64,
}

/// What is to be done with a destination or one of its batches.
#[derive(Debug, Clone, Copy)]
enum Change {
    Resume,
    Requeue(u64),
    Drop(u64),
}

/// Retries.
pub fn retry(args: &RetryArgs) -> Result<(), CommandError> {
    let change = args.seq.map_or(Change::Resume, Change::Requeue);
    make(&args.place, &args.whose.destination(), change)
}

/// Drops.
pub fn drop_batch(args: &DropArgs) -> Result<(), CommandError> {
    make(&args.place, &args.whose.destination(), Change::Drop(args.seq))
}

fn make(place: &PlaceArgs, destination: &Destination, change: Change) -> Result<(), CommandError> {
    let directory = place.directory()?;
    block_on(async {
        match AdminSocket::of_spool(&directory).await? {
            Some(router) => ask(&router, destination, change).await?,
            None => make_offline(options(place, &directory)?, destination, change).await?,
        }
        say(format_args!("{destination}: {}", change.done()))
    })?
}

impl Whose {
    fn destination(&self) -> Destination {
        Destination {
            table: self.table.clone(),
            shard: self.shard.clone(),
            replica: self.replica.clone(),
        }
    }
}

impl Change {
    fn page(self) -> &'static str {
        match self {
            Self::Resume | Self::Requeue(_) => "/spool/retry",
            Self::Drop(_) => "/spool/drop",
        }
    }

    fn seq(self) -> Option<u64> {
        match self {
            Self::Resume => None,
            Self::Requeue(seq) | Self::Drop(seq) => Some(seq),
        }
    }

    fn done(self) -> String {
        match self {
            Self::Resume => "resumed".to_owned(),
            Self::Requeue(seq) => {
                format!("batch {seq} is back in the queue (from broken/ under a new number)")
            }
            Self::Drop(seq) => format!("batch {seq} is dropped"),
        }
    }
}

async fn ask(router: &AdminSocket, destination: &Destination, change: Change) -> Result<(), CommandError> {
    let seq = change.seq().map(|seq| seq.to_string());
    let mut parameters = vec![
        ("table", destination.table.as_str()),
        ("shard", &destination.shard),
    ];
    parameters.extend(destination.replica.as_deref().map(|replica| ("replica", replica)));
    parameters.extend(seq.as_deref().map(|seq| ("seq", seq)));
    let answer = router.post(change.page(), &parameters).await?;
    match answer.status.is_success() {
        true => Ok(()),
        false => Err(CommandError(answer.text)),
    }
}

/// The configuration's own options, else such that opening the spool evicts nothing from sent/ and forgets no INSERT.
fn options(place: &PlaceArgs, directory: &Path) -> Result<spool::Options, CommandError> {
    match place.path {
        None => Ok(spool_options(&place.config.load()?)),
        Some(_) => Ok(spool::Options {
            max_bytes: u64::MAX,
            sent_retention_time: Duration::MAX,
            sent_retention_bytes: u64::MAX,
            retry_windows: spool::RetryWindows::FOR_EVER,
            ..spool::Options::at(directory)
        }),
    }
}

async fn make_offline(
    options: spool::Options,
    destination: &Destination,
    change: Change,
) -> Result<(), CommandError> {
    let spool = Spool::open(options).map_err(told)?;
    let made = make_in(&spool, destination, change).await;
    spool.shutdown().await;
    made.map_err(told)
}

async fn make_in(spool: &Spool, destination: &Destination, change: Change) -> Result<(), QueueError> {
    match change {
        Change::Resume => spool.resume_destination(destination).await,
        Change::Requeue(seq) => spool.requeue(destination, seq).await.map(drop),
        Change::Drop(seq) => spool.drop_batch(destination, seq).await,
    }
}
