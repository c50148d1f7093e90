//! `weir spool verify`: the journal as a start reads it, and every byte of every batch file against its checksums.

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

Reads the journal, sent/ and broken/ too, beside a running router or without one. Exit code 1 if something is damaged or not \
Weir's; each is named with what is wrong.";

/// Read the journal, and every batch file whole, and check every checksum.
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
    let recovery = &report.recovery;
    let journal = format!(
        "{} of the journal, {}",
        counted(recovery.segments, "segment"),
        counted(recovery.records, "record")
    );
    let complaints = report.complaints();
    if complaints.is_empty() {
        return say(format_args!(
            "{files}, {}, {}; {journal}: all sound",
            counted(report.rows, "row"),
            size(report.bytes)
        ));
    }
    let number = report.damaged.len();
    let complaints = complaints.iter().map(|complaint| format!("\n{complaint}"));
    Err(CommandError(format!(
        "{number} of {files} are damaged; {journal}:{}",
        complaints.collect::<String>()
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
