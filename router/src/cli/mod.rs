//! The command line: `run` is one match that tells everything the program can do; one file a command.
//!
//! | | |
//! |---|---|
//! | `serve` | the router |
//! | `check`, `route`, `clusters` | what a configuration means; they change nothing and need no running router |
//! | `import` | a configuration from a config.xml or a live node |
//! | `spool …` | what the spool holds: reading commands look at its files, changing ones ask the running router or take the lock |
//! | `demo`, `dev-shard` | for trying: nothing to install |
//!
//! Results go to standard output, reports and progress to standard error. Exit code 0: done; 1: it failed, or
//! (`check`, `spool verify`, `demo`)
//! something is not as it should be; 2: the command line itself is wrong.

mod admin_socket;
mod check;
mod clusters;
pub(crate) mod columns;
mod demo;
mod dev_shard;
mod import;
mod output;
mod reach;
mod route;
mod serve;
mod spool;
mod table;

use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// A write router for ClickHouse shards.
///
/// Clients send INSERTs to Weir over ClickHouse's HTTP interface; each row goes to the shard that a
/// Distributed table would choose, exactly once.
/// What was accepted is on disk, and what waits can be seen and replayed.
#[derive(Debug, Parser)]
#[command(name = "weir", version, arg_required_else_help = true)]
#[command(after_help = "New here? `weir demo` needs nothing and shows where each row of an INSERT goes.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show where the rows of an INSERT go: three small shards and a router in this process.
    Demo(demo::DemoArgs),
    /// Run the router.
    Serve(serve::ServeArgs),
    /// Validate a configuration: every mistake with its line, or what it means.
    Check(check::CheckArgs),
    /// Tell the shard of each row of a file, without sending anything.
    Route(route::RouteArgs),
    /// List clusters, shards and replicas, and which replicas answer.
    Clusters(clusters::ClustersArgs),
    /// Write a configuration from a ClickHouse config.xml or a live node.
    Import(import::ImportArgs),
    /// See and change what waits in the spool.
    Spool(spool::SpoolArgs),
    /// Run a small ClickHouse-like shard on SQLite, for trying and testing.
    DevShard(dev_shard::DevShardArgs),
}

/// Where the configuration is.
#[derive(Debug, Clone, Args)]
pub struct ConfigArgs {
    /// The configuration file.
    #[arg(long, short, value_name = "FILE", default_value = "/etc/weir/weir.toml")]
    pub config: PathBuf,
}

/// How a command ended badly: told on standard error, exit code 1.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CommandError(pub String);

/// Runs the command that the arguments name.
pub fn run() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Demo(args) => demo::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Route(args) => route::run(&args),
        Command::Clusters(args) => clusters::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Spool(args) => spool::run(args),
        Command::DevShard(args) => dev_shard::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(CommandError(text)) => {
            eprintln!("weir: {text}");
            ExitCode::FAILURE
        }
    }
}

impl ConfigArgs {
    /// The configuration, or all its mistakes.
    fn load(&self) -> Result<config::Config, CommandError> {
        config::load(&self.config).map_err(|mistakes| CommandError(mistakes.to_string()))
    }
}

/// Runs a future to its end on a runtime of its own.
fn block_on<F: Future>(future: F) -> Result<F::Output, CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError(format!("cannot start the runtime: {error}")))?;
    Ok(runtime.block_on(future))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_explains_itself_with_an_example() {
        check_examples(&Cli::command(), "weir");
    }

    /// Commands without commands of their own end their help with an example of themselves.
    fn check_examples(command: &clap::Command, path: &str) {
        for command in command
            .get_subcommands()
            .filter(|command| command.get_name() != "help")
        {
            let path = format!("{path} {}", command.get_name());
            assert!(command.get_about().is_some(), "{path} says nothing");
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(
                command.has_subcommands() || help.contains(&path),
                "{path} has no example"
            );
            check_examples(command, &path);
        }
    }
}
