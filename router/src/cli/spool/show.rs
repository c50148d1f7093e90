//! `weir spool show` and `weir spool cat`: one batch file, what it says of itself and its rows.

use std::io::ErrorKind;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use spool::bin_file::{BinFault, BinInfo, Segment, Trailer};
use spool::inspect;

use super::told;
use crate::cli::CommandError;
use crate::cli::output::{Interrupted, Output, print};
use crate::cli::table::{age, count, counted, size};
use crate::time::now_ms;

const SHOW_EXAMPLE: &str = "\
Example:
  weir spool show /var/lib/weir/default.hits/s02/00000000000000000017.bin";

const CAT_EXAMPLE: &str = "\
Example:
  weir spool cat /var/lib/weir/default.hits/s02/broken/00000000000000000017.bin | head

The rows are in the payload format that `weir spool show` names. Every checksum is checked on the way.";

/// Tell what a batch file says of itself: table, shard, columns, settings, token, whose rows.
#[derive(Debug, Args)]
#[command(after_help = SHOW_EXAMPLE)]
pub struct ShowArgs {
    /// A .bin file of any spool.
    file: PathBuf,
    /// The form of the answer.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Write a batch file's rows to standard output, in their payload format.
#[derive(Debug, Args)]
#[command(after_help = CAT_EXAMPLE)]
pub struct CatArgs {
    /// A .bin file of any spool.
    file: PathBuf,
}

/// INSERTs that the text form names; JSON has all.
const SEGMENTS_SHOWN: usize = 20;

/// Tells head and trailer.
pub fn run(args: &ShowArgs) -> Result<(), CommandError> {
    let info = inspect::show(&args.file).map_err(told)?;
    print(|out| match args.output {
        Output::Table => Ok(out.write_all(text(&info, now_ms()).as_bytes())?),
        Output::Json => Ok(writeln!(out, "{:#}", json(&info))?),
    })
}

/// Writes the rows.
pub fn cat(args: &CatArgs) -> Result<(), CommandError> {
    print(|out| {
        inspect::cat(&args.file, out).map_err(|error| match error.fault {
            BinFault::Io(error) if error.kind() == ErrorKind::BrokenPipe => Interrupted::Output(error),
            _ => Interrupted::Source(told(error)),
        })
    })
}

fn text(info: &BinInfo, now_ms: u64) -> String {
    let Trailer {
        shape, shard, token, ..
    } = &info.trailer;
    let trailer = &info.trailer;
    let pairs = |pairs: &[(String, String)], between: &str| {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| format!("{name}{between}{value}"))
            .collect();
        pairs.join("\n          ")
    };
    let lines = [
        ("table", shape.table.clone()),
        (
            "shard",
            format!("{shard}, cluster {}, epoch {}", shape.cluster, shape.epoch),
        ),
        ("rows", format!("{} in {}", count(trailer.rows), shape.format)),
        (
            "size",
            format!("{}, {} raw", size(info.file_bytes), size(trailer.raw_bytes)),
        ),
        (
            "cut",
            format!(
                "{} ago, by spool {}",
                age(trailer.created_at_ms, now_ms),
                info.head.spool
            ),
        ),
        ("token", token.clone()),
        ("columns", pairs(&shape.columns, " ")),
        ("settings", pairs(&shape.settings, " = ")),
        ("inserts", segments(&trailer.segments)),
    ];
    lines
        .iter()
        .map(|(name, value)| format!("{name:<9} {value}\n"))
        .collect()
}

fn segments(segments: &[Segment]) -> String {
    let mut lines: Vec<_> = segments.iter().take(SEGMENTS_SHOWN).map(segment_text).collect();
    let more = segments.len().saturating_sub(SEGMENTS_SHOWN);
    if more > 0 {
        lines.push(format!(
            "and {} more; --output json names all",
            count(more as u64)
        ));
    }
    lines.join("\n          ")
}

fn segment_text(segment: &Segment) -> String {
    let rows = counted(segment.rows.end - segment.rows.start, "row");
    match &segment.client_token {
        None => format!("{}: {rows}", segment.insert),
        Some(token) => format!("{}: {rows}, client's token {token}", segment.insert),
    }
}

fn json(info: &BinInfo) -> Value {
    let trailer = &info.trailer;
    let shape = &trailer.shape;
    let columns = shape
        .columns
        .iter()
        .map(|(name, kind)| json!({"name": name, "type": kind}));
    let settings = shape
        .settings
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)));
    let segments = trailer.segments.iter().map(|segment| {
        json!({
            "insert": segment.insert.to_string(),
            "client_token": segment.client_token,
            "rows": [segment.rows.start, segment.rows.end],
            "raw_bytes": [segment.raw.start, segment.raw.end],
        })
    });
    json!({
        "version": info.head.version,
        "spool": info.head.spool.to_string(),
        "cluster": shape.cluster,
        "epoch": shape.epoch,
        "table": shape.table,
        "shard": trailer.shard,
        "columns": columns.collect::<Vec<_>>(),
        "format": shape.format,
        "settings": settings.collect::<serde_json::Map<_, _>>(),
        "token": trailer.token,
        "rows": trailer.rows,
        "raw_bytes": trailer.raw_bytes,
        "file_bytes": info.file_bytes,
        "created_at_ms": trailer.created_at_ms,
        "segments": segments.collect::<Vec<_>>(),
    })
}
