//! `weir spool ls`: one line a destination, the one that waits longest first; `--files` one line a file.

use std::path::Path;

use clap::Args;
use serde_json::{Value, json};
use spool::inspect::{self, FileListing, FileState, Filter};
use spool::{DestinationStatus, RecoveryReport, Tally};

use super::{PlaceArgs, told};
use crate::cli::CommandError;
use crate::cli::output::Output;
use crate::cli::table::{Align, Table, age, count, one_line, size};
use crate::time::now_ms;

const EXAMPLE: &str = "\
Examples:
  weir spool ls --config weir.toml
  weir spool ls --path /var/lib/weir --files --table default.hits

UNCUT rows lie in the journal and are cut into files within max_batch_delay; WAITING files, with ROWS in them, go out in order; \
HELD ones are set aside until `weir spool retry` or `drop`, BROKEN ones lie in broken/ until `retry` or `drop`; SENT ones are kept for `weir spool replay`. \
AGE is that of the oldest row that is not delivered. Needs no running router.";

/// Characters of an error in the table; JSON has it whole.
const ERROR_CHARS: usize = 80;

/// List destinations, the one that waits longest first, and what to do about each.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct LsArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// List files instead of destinations, and the rows that still lie in the journal.
    #[arg(long)]
    files: bool,
    /// Only of this distributed table.
    #[arg(long, value_name = "TABLE")]
    table: Option<String>,
    /// Only for this shard.
    #[arg(long, value_name = "SHARD")]
    shard: Option<String>,
    /// The form of the listing.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Lists what the spool holds.
pub fn run(args: &LsArgs) -> Result<(), CommandError> {
    let directory = args.place.directory()?;
    let listed = inspect::list(&directory).map_err(told)?;
    report_damage(&listed.report);
    let mut statuses = listed.destinations;
    statuses.retain(|status| {
        let is =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        is(&args.table, &status.destination.table) && is(&args.shard, &status.destination.shard)
    });
    let (table, json) = match args.files {
        false => listing(statuses, now_ms()),
        true => file_listing(&files(&directory, args)?, &statuses, now_ms()),
    };
    args.output.show(&table, &json)
}

fn files(directory: &Path, args: &LsArgs) -> Result<Vec<FileListing>, CommandError> {
    let filter = Filter {
        table: args.table.clone(),
        shard: args.shard.clone(),
        states: Vec::new(),
    };
    inspect::files(directory, &filter).map_err(told)
}

/// What a start would find amiss is no part of the listing, and too important to be left out.
fn report_damage(report: &RecoveryReport) {
    let damaged = report.damaged.iter().map(|path| ("is damaged or missing", path));
    let corrupt = report
        .corrupt
        .iter()
        .map(|path| ("is a damaged part of the journal", path));
    let unknown = report
        .unknown
        .iter()
        .map(|path| ("is not ours, or of a later version", path));
    let unreadable = report.unreadable.iter().map(|path| ("cannot be read", path));
    for (what, path) in damaged.chain(corrupt).chain(unknown).chain(unreadable) {
        eprintln!("weir: {} {what}", path.display());
    }
    if report.lost_records {
        eprintln!("weir: records of the journal are lost; the next start holds what may have been sent");
    }
}

/// Destinations as table and JSON: what waits longest on top, then by name.
pub fn listing(mut statuses: Vec<DestinationStatus>, now_ms: u64) -> (Table, Value) {
    statuses.sort_by(|a, b| {
        let oldest = |status: &DestinationStatus| status.oldest_ms.unwrap_or(u64::MAX);
        oldest(a)
            .cmp(&oldest(b))
            .then_with(|| a.destination.cmp(&b.destination))
    });
    let mut table = Table::new(&[
        ("TABLE", Align::Left),
        ("SHARD", Align::Left),
        ("UNCUT ROWS", Align::Right),
        ("WAITING", Align::Right),
        ("ROWS", Align::Right),
        ("SIZE", Align::Right),
        ("HELD", Align::Right),
        ("BROKEN", Align::Right),
        ("SENT", Align::Right),
        ("AGE", Align::Right),
        ("STATE", Align::Left),
        ("LAST ERROR", Align::Left),
        ("NEXT STEP", Align::Left),
    ]);
    statuses
        .iter()
        .for_each(|status| table.row(texts(status, now_ms)));
    let json = statuses.iter().map(|status| json(status, now_ms)).collect();
    (table, Value::Array(json))
}

fn texts(status: &DestinationStatus, now_ms: u64) -> Vec<String> {
    let oldest = status.oldest_ms.map(|then| age(then, now_ms));
    let state = State::of(status);
    vec![
        status.destination.table.clone(),
        place(&status.destination),
        count(status.uncut.rows),
        count(status.waiting.files),
        count(status.waiting.rows),
        size(status.waiting.file_bytes),
        count(status.held.files),
        count(status.broken.files),
        count(status.sent.files),
        oldest.unwrap_or_else(|| "-".to_owned()),
        state.word().to_owned(),
        one_line(state.why(status).unwrap_or_default(), ERROR_CHARS),
        state.next_step().unwrap_or_default().to_owned(),
    ]
}

/// `shard` or `shard@host:port`, as the directory is named.
fn place(destination: &spool::Destination) -> String {
    match &destination.replica {
        None => destination.shard.clone(),
        Some(replica) => format!("{}@{replica}", destination.shard),
    }
}

/// What a destination is about, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing goes there until it is mended.
    Held,
    /// Some batches wait for a person.
    NeedsYou,
    /// The first batch waits for its next attempt.
    Retrying,
    /// Rows wait for their turn.
    Waiting,
    /// Everything is delivered.
    Idle,
}

impl State {
    fn of(status: &DestinationStatus) -> Self {
        if status.destination_held.is_some() {
            Self::Held
        } else if status.held.files + status.broken.files > 0 {
            Self::NeedsYou
        } else if status.last_error.is_some() && status.waiting.files > 0 {
            Self::Retrying
        } else if status.waiting.files > 0 || status.uncut.rows > 0 {
            Self::Waiting
        } else {
            Self::Idle
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::NeedsYou => "needs you",
            Self::Retrying => "retrying",
            Self::Waiting => "waiting",
            Self::Idle => "idle",
        }
    }

    fn next_step(self) -> Option<&'static str> {
        match self {
            Self::Held => Some("mend the cause; it is probed, or: weir spool retry"),
            Self::NeedsYou => Some("weir spool ls --files, then retry (or drop)"),
            Self::Retrying | Self::Waiting | Self::Idle => None,
        }
    }

    /// The words of whoever keeps it in this state.
    fn why(self, status: &DestinationStatus) -> Option<&str> {
        let why = status
            .destination_held
            .as_deref()
            .or(status.last_error.as_deref());
        why.filter(|_| self != Self::Idle)
    }
}

fn json(status: &DestinationStatus, now_ms: u64) -> Value {
    let tally = |tally: &Tally| {
        json!({
            "files": tally.files, "rows": tally.rows, "raw_bytes": tally.raw_bytes, "file_bytes": tally.file_bytes,
        })
    };
    let state = State::of(status);
    json!({
        "table": status.destination.table,
        "shard": status.destination.shard,
        "replica": status.destination.replica,
        "state": state.word(),
        "next_step": state.next_step(),
        "uncut": {"rows": status.uncut.rows, "raw_bytes": status.uncut.raw_bytes},
        "waiting": tally(&status.waiting),
        "held": tally(&status.held),
        "broken": tally(&status.broken),
        "sent": tally(&status.sent),
        "in_doubt": status.in_doubt,
        "oldest_age_seconds": status.oldest_ms.map(|then| now_ms.saturating_sub(then) / 1000),
        "destination_held": status.destination_held,
        "last_error": status.last_error,
    })
}

// === files ===

fn file_listing(files: &[FileListing], statuses: &[DestinationStatus], now_ms: u64) -> (Table, Value) {
    let mut table = Table::new(&[
        ("TABLE", Align::Left),
        ("SHARD", Align::Left),
        ("SEQ", Align::Right),
        ("STATE", Align::Left),
        ("ROWS", Align::Right),
        ("SIZE", Align::Right),
        ("AGE", Align::Right),
        ("ATTEMPTS", Align::Right),
        ("FILE", Align::Left),
        ("ERROR", Align::Left),
    ]);
    files.iter().for_each(|file| table.row(file_texts(file, now_ms)));
    let uncut: Vec<_> = statuses.iter().filter(|status| status.uncut.rows > 0).collect();
    uncut.iter().for_each(|status| table.row(uncut_texts(status)));
    let files = files.iter().map(|file| file_json(file, now_ms));
    let uncut = uncut.iter().map(|status| uncut_json(status));
    (table, Value::Array(files.chain(uncut).collect()))
}

fn file_texts(file: &FileListing, now_ms: u64) -> Vec<String> {
    let trailer = file
        .info
        .as_ref()
        .ok()
        .map(|info| (&info.trailer, info.file_bytes));
    let unread = file.info.as_ref().err();
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    vec![
        file.destination.table.clone(),
        place(&file.destination),
        file.seq.to_string(),
        word(file.state).to_owned(),
        or_none(trailer.map(|(trailer, _)| count(trailer.rows))),
        or_none(trailer.map(|(_, bytes)| size(bytes))),
        or_none(trailer.map(|(trailer, _)| age(trailer.created_at_ms, now_ms))),
        file.attempts.to_string(),
        file.path.display().to_string(),
        one_line(
            unread.or(file.error.as_ref()).map_or("", String::as_str),
            ERROR_CHARS,
        ),
    ]
}

fn file_json(file: &FileListing, now_ms: u64) -> Value {
    let info = file.info.as_ref().ok();
    json!({
        "table": file.destination.table,
        "shard": file.destination.shard,
        "replica": file.destination.replica,
        "seq": file.seq,
        "state": word(file.state),
        "rows": info.map(|info| info.trailer.rows),
        "raw_bytes": info.map(|info| info.trailer.raw_bytes),
        "file_bytes": info.map(|info| info.file_bytes),
        "age_seconds": info.map(|info| now_ms.saturating_sub(info.trailer.created_at_ms) / 1000),
        "token": info.map(|info| &info.trailer.token),
        "attempts": file.attempts,
        "file": file.path.display().to_string(),
        "error": file.info.as_ref().err().or(file.error.as_ref()),
    })
}

fn uncut_texts(status: &DestinationStatus) -> Vec<String> {
    let raw = format!("{} raw", size(status.uncut.raw_bytes));
    let empty = || "-".to_owned();
    vec![
        status.destination.table.clone(),
        place(&status.destination),
        empty(),
        "uncut".to_owned(),
        count(status.uncut.rows),
        raw,
        empty(),
        empty(),
        "in the journal".to_owned(),
    ]
}

fn uncut_json(status: &DestinationStatus) -> Value {
    json!({
        "table": status.destination.table,
        "shard": status.destination.shard,
        "replica": status.destination.replica,
        "state": "uncut",
        "rows": status.uncut.rows,
        "raw_bytes": status.uncut.raw_bytes,
    })
}

/// A file's state in one word.
pub fn word(state: FileState) -> &'static str {
    match state {
        FileState::Waiting => "waiting",
        FileState::Retry => "retrying",
        FileState::InDoubt => "in doubt",
        FileState::Held => "held",
        FileState::Broken => "broken",
        FileState::Sent => "sent",
        FileState::Unrecorded => "unrecorded",
    }
}

#[cfg(test)]
mod tests {
    use spool::Destination;

    use super::*;

    fn status(shard: &str, oldest_ms: Option<u64>) -> DestinationStatus {
        DestinationStatus {
            destination: Destination {
                table: "default.hits".into(),
                shard: shard.into(),
                replica: None,
            },
            uncut: Tally::default(),
            waiting: Tally {
                files: u64::from(oldest_ms.is_some()),
                rows: 7,
                raw_bytes: 70,
                file_bytes: 300,
            },
            held: Tally::default(),
            broken: Tally::default(),
            sent: Tally::default(),
            in_doubt: 0,
            oldest_ms,
            destination_held: None,
            last_error: None,
            pace: spool::Pace::default(),
            sending: false,
            acknowledged_rows: 0,
        }
    }

    #[test]
    fn what_waits_longest_is_on_top_and_what_does_not_wait_below() {
        let statuses = vec![
            status("s01", None),
            status("s02", Some(9_000)),
            status("s03", Some(2_000)),
        ];
        let (table, json) = listing(statuses, 10_000);
        let shards: Vec<_> = json
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line["shard"].clone())
            .collect();
        assert_eq!(shards, ["s03", "s02", "s01"]);
        assert_eq!(json[0]["oldest_age_seconds"], 8);
        assert!(
            table.to_string().lines().nth(1).unwrap().contains("s03"),
            "{table}"
        );
    }

    #[track_caller]
    fn check_state(
        change: impl FnOnce(&mut DestinationStatus),
        expected: (&str, Option<&str>, Option<&str>),
    ) {
        let mut status = status("s01", Some(1));
        change(&mut status);
        let state = State::of(&status);
        assert_eq!((state.word(), state.why(&status), state.next_step()), expected);
    }

    #[test]
    fn the_state_names_the_worst_trouble_and_the_next_step() {
        check_state(|_| {}, ("waiting", None, None));
        check_state(
            |s| s.last_error = Some("refused".into()),
            ("retrying", Some("refused"), None),
        );
        let look = "weir spool ls --files, then retry (or drop)";
        check_state(|s| s.broken.files = 1, ("needs you", None, Some(look)));
        let mend = "mend the cause; it is probed, or: weir spool retry";
        let hold = |s: &mut DestinationStatus| s.destination_held = Some("wrong password".into());
        check_state(hold, ("held", Some("wrong password"), Some(mend)));
    }
}
