//! `weir dev-shard`: the embedded shard as a process of its own.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use embedded_shard::Options;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::{CommandError, block_on};

const EXAMPLE: &str = "\
Example:
  weir dev-shard --listen 127.0.0.1:9123 --data /tmp/shard1 &
  curl 127.0.0.1:9123 --data-binary 'CREATE TABLE t (k UInt64, s String) ENGINE = Memory'
  curl 127.0.0.1:9123 --data-binary 'INSERT INTO t VALUES (1, '\\''a'\\'')'
  curl 127.0.0.1:9123 --data-binary 'SELECT * FROM t'

It speaks ClickHouse's HTTP well enough for Weir to insert into it. It is for trying and testing: keep your data on ClickHouse servers.";

/// Run a small ClickHouse-like shard on SQLite, for trying and testing.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct DevShardArgs {
    /// The address to listen on; port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9123")]
    listen: SocketAddr,
    /// The directory of its data, made if it is missing; without it the rows live in memory and end with the
    /// process.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The only user it admits; without it everybody is.
    #[arg(long)]
    user: Option<String>,
    /// The file of that user's password.
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
}

/// Serves until SIGTERM or SIGINT.
pub fn run(args: DevShardArgs) -> Result<(), CommandError> {
    block_on(serve(args))?
}

async fn serve(args: DevShardArgs) -> Result<(), CommandError> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: std::io::Error| CommandError(format!("{what}: {error}"))
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(failed("listening for signals"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed("listening for signals"))?;
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(failed(&format!("listening on {}", args.listen)))?;
    let address = listener.local_addr().map_err(failed("listening"))?;
    let options = Options {
        password: password(&args)?,
        data: args.data,
        user: args.user,
        name: format!("dev-shard {address}"),
        ..Options::default()
    };
    eprintln!("weir: the shard listens on http://{address}");
    let asked_to_stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    embedded_shard::serve(listener, options, asked_to_stop)
        .await
        .map_err(failed("the shard ended"))
}

/// The file's text without the line end that editors leave.
fn password(args: &DevShardArgs) -> Result<Option<String>, CommandError> {
    let Some(path) = &args.password_file else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(path)
        .map_err(|error| CommandError(format!("reading {}: {error}", path.display())))?;
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}
