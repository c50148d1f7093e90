//! `weir spool …`: what waits, what was sent, what a shard cannot take.
//!
//! Reading commands (`ls`, `show`, `cat`, `verify`) look at the files: they need no router, no lock, and
//! change nothing. `retry` and `drop` ask the router that runs on the spool, or take its lock when none does.
//! `replay` reads files and sends them anew; the queue knows nothing of it. `adopt` delivers another router's spool.

mod adopt;
mod change;
mod choose;
mod ls;
mod progress;
mod replay;
mod show;
mod verify;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::{CommandError, ConfigArgs};

pub(super) use ls::listing;

/// The file that every spool has from its first start on.
const SPOOL_ID: &str = "id";
/// The directory that is there as long as a spool is, whatever becomes of the file.
const JOURNAL: &str = "journal";

/// Whether a router has ever run with that directory.
fn is_spool(directory: &Path) -> bool {
    [SPOOL_ID, JOURNAL]
        .iter()
        .any(|name| directory.join(name).exists())
}

/// See and change what waits in the spool.
#[derive(Debug, Args)]
pub struct SpoolArgs {
    #[command(subcommand)]
    command: SpoolCommand,
}

#[derive(Debug, Subcommand)]
enum SpoolCommand {
    /// List destinations, the one that waits longest first, and what to do about each.
    Ls(ls::LsArgs),
    /// Tell what a batch file says of itself: table, shard, columns, settings, token, whose rows.
    Show(show::ShowArgs),
    /// Write a batch file's rows to standard output, in their payload format.
    Cat(show::CatArgs),
    /// Read every batch file whole and check every checksum.
    Verify(verify::VerifyArgs),
    /// Send batches again, from sent/, broken/ or any directory, to their own or another shard.
    Replay(replay::ReplayArgs),
    /// Deliver what waits in the spool of a router that is gone.
    Adopt(adopt::AdoptArgs),
    /// Put a held or broken batch back into the queue, or resume a held destination.
    Retry(change::RetryArgs),
    /// Give up a waiting or held batch: its rows are lost.
    Drop(change::DropArgs),
}

/// Where the spool is.
#[derive(Debug, Clone, Args)]
pub struct PlaceArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The spool's directory, instead of the configuration's.
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

impl PlaceArgs {
    /// The spool's directory, if there is a spool in it.
    fn directory(&self) -> Result<PathBuf, CommandError> {
        let directory = match &self.path {
            Some(path) => path.clone(),
            None => self.config.load()?.spool.path,
        };
        match is_spool(&directory) {
            true => Ok(directory),
            false => Err(CommandError(format!(
                "there is no spool in {}: no router has run with it yet, or it is another directory",
                directory.display()
            ))),
        }
    }
}

/// Runs the command that the arguments name.
pub fn run(args: SpoolArgs) -> Result<(), CommandError> {
    match args.command {
        SpoolCommand::Ls(args) => ls::run(&args),
        SpoolCommand::Show(args) => show::run(&args),
        SpoolCommand::Cat(args) => show::cat(&args),
        SpoolCommand::Verify(args) => verify::run(&args),
        SpoolCommand::Replay(args) => replay::run(&args),
        SpoolCommand::Adopt(args) => adopt::run(&args),
        SpoolCommand::Retry(args) => change::retry(&args),
        SpoolCommand::Drop(args) => change::drop_batch(&args),
    }
}

fn told(error: impl std::fmt::Display) -> CommandError {
    CommandError(error.to_string())
}
