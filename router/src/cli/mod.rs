//! The command line: `run` is one match that tells everything the program can do; one file a command.

mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// A write router for ClickHouse shards.
///
/// Clients send INSERTs to Weir over ClickHouse's HTTP interface; each row goes to the shard that a Distributed table would choose, exactly once.
#[derive(Debug, Parser)]
#[command(name = "weir", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the router.
    Serve(ConfigArgs),
}

/// Where the configuration is.
#[derive(Debug, Clone, Args)]
pub struct ConfigArgs {
    /// The configuration file.
    #[arg(long, short, value_name = "FILE", default_value = "/etc/weir/weir.toml")]
    pub config: PathBuf,
}

/// How a command ended badly: told on standard error, exit code 1 (2 for mistakes in its use).
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CommandError(pub String);

/// Runs the command that the arguments name.
pub fn run() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(args) => serve::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(CommandError(text)) => {
            eprintln!("weir: {text}");
            ExitCode::FAILURE
        }
    }
}
