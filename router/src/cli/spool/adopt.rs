//! `weir spool adopt DIR`: the spool of a router that is gone is delivered to its end, with another's configuration.
//!
//! DIR is opened as its own router would open it, under its own lock, and delivered where it lies: nothing is copied into another
//! spool. So a batch keeps its token and its place in line, an attempt whose outcome is not known stays in doubt, a pending INSERT
//! is decided, and DIR's journal says what happened to each: whatever dies in the middle, adopting goes on when it is started again.
//! Moving batches between two spools would need records in both that agree.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use config::Config;
use spool::{Destination, DestinationStatus};
use tokio::signal::unix::{SignalKind, signal};

use super::verify::progress_bar;
use super::{is_spool, told};
use crate::app::App;
use crate::cli::output::say;
use crate::cli::serve::tell_recovery;
use crate::cli::table::counted;
use crate::cli::{CommandError, ConfigArgs, block_on};
use crate::logs;

/// How often it is looked at what still waits.
const LOOK_EVERY: Duration = Duration::from_millis(200);

const EXAMPLE: &str = "\
Example:
  weir spool adopt --config weir.toml /mnt/router-2/spool

DIR is the spool of a router that does not run any more, on its own disk or a copy of it; of two copies adopt only one. It is locked \
and delivered where it lies: what waits goes out in order, under the tokens that the batches have; a held destination is tried once \
more. Stop it at any time, and start it again to go on. At the end DIR holds sent/, broken/ and what is held; \
`weir spool ls --path DIR` shows it.";

/// Deliver what waits in the spool of a router that is gone.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct AdoptArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The spool's directory.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Adopts.
pub fn run(args: &AdoptArgs) -> Result<(), CommandError> {
    let mut config = args.config.load()?;
    check_directory(args, &config)?;
    config.spool.path.clone_from(&args.directory);
    logs::start(&config.logs);
    block_on(adopt(&config, args))?
}

fn check_directory(args: &AdoptArgs, config: &Config) -> Result<(), CommandError> {
    let directory = &args.directory;
    if !is_spool(directory) {
        return Err(CommandError(format!(
            "there is no spool in {}: nothing to adopt",
            directory.display()
        )));
    }
    let real = |path: &PathBuf| path.canonicalize().ok();
    match real(directory).is_some_and(|adopted| real(&config.spool.path) == Some(adopted)) {
        true => Err(CommandError(format!(
            "{} is the configuration's own spool: `weir serve` delivers it",
            directory.display()
        ))),
        false => Ok(()),
    }
}

async fn adopt(config: &Config, args: &AdoptArgs) -> Result<(), CommandError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(told)?;
    let app = App::open(config, &args.config.config).map_err(told)?;
    app.start();
    let end = tokio::select! {
        end = delivered(&app) => end,
        _ = terminate.recv() => End::Stopped,
        _ = tokio::signal::ctrl_c() => End::Stopped,
        cause = app.poisoned() => {
            return Err(CommandError(format!("the spool's journal failed, adopt it again when the disk is mended: {cause}")));
        }
    };
    let left = left(&app);
    app.stop().await;
    tell(args, end, &left)
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nothing that can be sent waits.
    Delivered,
    /// Somebody ended it before.
    Stopped,
}

/// Returns when nothing waits any more that has somewhere to go.
async fn delivered(app: &App) -> End {
    if let Some(report) = app.spool.recovered().await {
        tell_recovery(&report);
    }
    let bar = progress_bar("{pos} of {len} rows delivered, {eta} left");
    let waiting = || -> u64 { going(app).iter().map(rows_waiting).sum() };
    let all = waiting();
    bar.set_length(all);
    resume_held(app).await;
    app.spool.flush(None).await;
    while is_going(app) {
        bar.set_position(all.saturating_sub(waiting()));
        tokio::time::sleep(LOOK_EVERY).await;
    }
    bar.finish_and_clear();
    End::Delivered
}

/// What held them may have been mended, or be no trouble from here.
async fn resume_held(app: &App) {
    let mut held = going(app);
    held.retain(|status| status.destination_held.is_some());
    for status in held {
        let destination = &status.destination;
        if let Err(error) = app.spool.resume_destination(destination).await {
            tracing::warn!(%destination, %error, "a held destination could not be resumed");
        }
    }
}

/// Whether there is something to wait for. A destination that is held again after it was tried waits for somebody.
fn is_going(app: &App) -> bool {
    let waits = |status: &DestinationStatus| status.destination_held.is_none() && rows_waiting(status) > 0;
    going(app).iter().any(waits) || !app.spool.pending().is_empty()
}

/// Destinations that the configuration has.
fn going(app: &App) -> Vec<DestinationStatus> {
    let known = app.routing().destinations();
    let mut all = app.spool.destinations();
    all.retain(|status| known.contains(&status.destination));
    all
}

fn rows_waiting(status: &DestinationStatus) -> u64 {
    status.waiting.rows + status.uncut.rows
}

/// What stays where, and why.
fn left(app: &App) -> Vec<String> {
    let known = app.routing().destinations();
    let all = app.spool.destinations();
    all.iter().filter_map(|status| why_left(status, &known)).collect()
}

fn why_left(status: &DestinationStatus, known: &[Destination]) -> Option<String> {
    let (waiting, held) = (rows_waiting(status), status.held.rows);
    let destination = &status.destination;
    if waiting + held == 0 {
        return None;
    }
    let is_known = known.contains(destination);
    let why = match (&status.destination_held, is_known) {
        (_, false) => "the configuration has no such table and shard".to_owned(),
        (Some(why), true) => format!("held: {why}"),
        (None, true) if waiting == 0 => "held".to_owned(),
        (None, true) => status
            .last_error
            .clone()
            .unwrap_or_else(|| "not sent yet".to_owned()),
    };
    let rows = counted(waiting + held, "row");
    Some(format!("{destination}: {rows} left: {why}"))
}

fn tell(args: &AdoptArgs, end: End, left: &[String]) -> Result<(), CommandError> {
    let directory = args.directory.display();
    if left.is_empty() {
        return say(format_args!(
            "{directory}: everything that was accepted is delivered"
        ));
    }
    let lines: String = left.iter().map(|line| format!("\n{line}")).collect();
    let next = match end {
        End::Stopped => "adopt it again to go on",
        End::Delivered => {
            "`weir spool ls --path DIR --files` says more; when what is in the way is mended, adopt it again (held batches want `weir spool retry --path DIR --seq …` before)"
        }
    };
    Err(CommandError(format!(
        "{directory}: not everything is delivered; {next}{lines}"
    )))
}

#[cfg(test)]
mod tests {
    use spool::Tally;

    use super::*;

    fn status(waiting: u64, held: u64) -> DestinationStatus {
        let rows = |rows| Tally {
            rows,
            ..Tally::default()
        };
        DestinationStatus {
            destination: Destination {
                table: "d.t".to_owned(),
                shard: "s1".to_owned(),
                replica: None,
            },
            uncut: Tally::default(),
            waiting: rows(waiting),
            held: rows(held),
            broken: Tally::default(),
            sent: Tally::default(),
            in_doubt: 0,
            oldest_ms: None,
            destination_held: None,
            last_error: Some("connection refused".to_owned()),
            sending: false,
            pace: spool::Pace::default(),
            acknowledged_rows: 0,
        }
    }

    #[test]
    fn what_is_left_is_told_with_the_reason() {
        let known = [status(0, 0).destination];
        assert_eq!(why_left(&status(0, 0), &known), None);
        let told = |status, known: &[Destination]| why_left(&status, known).unwrap();
        assert!(told(status(0, 2), &known).ends_with("2 rows left: held"));
        assert!(told(status(1, 0), &known).ends_with("1 row left: connection refused"));
        assert!(told(status(1, 0), &[]).contains("no such table and shard"));
    }
}
