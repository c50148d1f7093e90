//! `weir spool verify`: every byte of every batch file against its checksums.

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use spool::inspect;

use super::{PlaceArgs, told};
use crate::cli::CommandError;
use crate::cli::output::say;
use crate::cli::table::{counted, size};

const EXAMPLE: &str = "\
Example:
  weir spool verify --config weir.toml

Reads sent/ and broken/ too, beside a running router or without one. Exit code 1 if a file is damaged; each is named with \
what is wrong.";

/// Read every batch file whole and check every checksum.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct VerifyArgs {
    #[command(flatten)]
    place: PlaceArgs,
}

/// Reads all, tells what is damaged.
pub fn run(args: &VerifyArgs) -> Result<(), CommandError> {
    let directory = args.place.directory()?;
    let bar = progress_bar("{bytes} of {total_bytes}, {bytes_per_sec}, {eta} left");
    let report = inspect::verify(&directory, |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let report = report.map_err(told)?;
    let files = counted(report.files, "file");
    if report.damaged.is_empty() {
        return say(format_args!(
            "{files}, {}, {}: all sound",
            counted(report.rows, "row"),
            size(report.bytes)
        ));
    }
    let damaged = report
        .damaged
        .iter()
        .map(|(path, why)| format!("\n{}: {why}", path.display()));
    let number = report.damaged.len();
    Err(CommandError(format!(
        "{number} of {files} are damaged:{}",
        damaged.collect::<String>()
    )))
}

/// A bar on standard error, which shows nothing when that is no terminal.
pub fn progress_bar(told: &str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    // The template is ours: one that cannot be read would only look plain.
    if let Ok(style) = ProgressStyle::with_template(&format!("{{wide_bar}} {told}")) {
        bar.set_style(style);
    }
    bar
}
