//! `weir route`: the shard of each row, as an INSERT would split it, without sending anything.
//!
//! The rows stream through the same parser, key and slots as an INSERT's; memory does not grow with the file.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use clap::Args;
use config::{Config, TableName};
use formats::Format;

use super::output::{Interrupted, Output, print};
use super::{CommandError, ConfigArgs, block_on, columns, reach};
use crate::discovery;
use crate::dry_run::{Failed, Routed, Router, Stream};

const EXAMPLE: &str = "\
Examples:
  weir route --config weir.toml --table default.hits --format CSV hits.csv
  weir route --config weir.toml --table default.hits --key user_id=42
  weir route --config weir.toml --table default.hits --key user_id=42 --explain
  seq 5 | weir route --columns 'k UInt64' --sharding-key 'cityHash64(k)' --weights 9,10 --format TSV

VALUE is the sharding value, SLOT the remainder of VALUE / sum of weights; rows and slots count from 0, shards from 1. With \
--output json each row is one line, the value a string (--explain adds key, shard_name, slots and the defaults that applied): {\"row\":0,\"value\":\"1397498628045648351\",\"slot\":1,\"shard\":2}";

/// Tell the shard of each row of a file, without sending anything.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct RouteArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The distributed table, `database.table`, of the configuration or discovered.
    #[arg(
        long,
        value_name = "TABLE",
        required_unless_present = "columns",
        conflicts_with = "columns"
    )]
    table: Option<String>,
    /// Instead of a table: its columns as CREATE TABLE would name them, with their DEFAULTs.
    #[arg(long, value_name = "COLUMNS", requires_all = ["sharding_key", "weights"])]
    columns: Option<String>,
    /// With --columns: the sharding key.
    #[arg(long, value_name = "EXPRESSION", requires = "columns")]
    sharding_key: Option<String>,
    /// With --columns: the shards' weights.
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', requires = "columns")]
    weights: Vec<u32>,
    /// The rows' format, any that an INSERT may name.
    #[arg(long, required_unless_present = "key", conflicts_with = "key")]
    format: Option<String>,
    /// One row given by its key: NAME=VALUE, the value as in TabSeparated; once for each column of the key.
    #[arg(long, value_name = "NAME=VALUE")]
    key: Vec<String>,
    /// Also tell what decides: the key, the slots of the shards, and which default a row was routed by.
    #[arg(long)]
    explain: bool,
    /// The form of the listing.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    /// The rows; standard input without it.
    #[arg(conflicts_with = "key")]
    file: Option<PathBuf>,
}

/// Lists the rows with their shards.
pub fn run(args: &RouteArgs) -> Result<(), CommandError> {
    let router = match &args.columns {
        Some(columns) => {
            let columns = columns::parse(columns).map_err(CommandError)?;
            Router::of_described(columns, args.sharding_key.as_deref(), &args.weights)
                .map_err(|error| CommandError(error.message))?
        }
        None => block_on(of_table(args))??,
    };
    let (format, listed, body): (_, _, Box<dyn Read>) = match (&args.format, args.key.as_slice()) {
        (Some(format), _) => (Format::parse(format).map_err(told)?, None, body(args)?),
        (None, given) => {
            let (names, row) = row_of(given)?;
            let complete = router.refuse_incomplete(&names);
            complete.map_err(|error| CommandError(format!("--key: {}", error.message)))?;
            (Format::TabSeparated, Some(names), Box::new(io::Cursor::new(row)))
        }
    };
    let stream = router.stream(format, listed.as_deref());
    let stream = stream.map_err(|error| CommandError(error.message))?;
    let listing = Listing { router, listed, args };
    print(|out| listing.write(stream, body, out))
}

fn body(args: &RouteArgs) -> Result<Box<dyn Read>, CommandError> {
    let Some(path) = &args.file else {
        return Ok(Box::new(io::stdin().lock()));
    };
    match File::open(path) {
        Ok(file) => Ok(Box::new(file)),
        Err(error) => Err(CommandError(format!("reading {}: {error}", path.display()))),
    }
}

/// Values of the key as a row of TabSeparated: their names, and the line.
fn row_of(given: &[String]) -> Result<(Vec<String>, String), CommandError> {
    let pair = |text: &String| {
        let pair = text
            .split_once('=')
            .map(|(name, value)| (name.trim().to_owned(), value.to_owned()));
        pair.ok_or_else(|| CommandError(format!("--key {text}: write it as NAME=VALUE")))
    };
    let (names, values): (Vec<_>, Vec<_>) = given
        .iter()
        .map(pair)
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .unzip();
    Ok((names, values.join("\t") + "\n"))
}

fn told(error: impl std::fmt::Display) -> CommandError {
    CommandError(error.to_string())
}

/// The table of a configuration, or of what was discovered: as kept by a router, else as the seeds show it.
async fn of_table(args: &RouteArgs) -> Result<Router, CommandError> {
    let config = args.config.load()?;
    let name = TableName::parse(args.table.as_deref().unwrap_or_default()).map_err(CommandError)?;
    let (kept, _) = discovery::of_disk(&config).map_err(told)?;
    if let Some(table) = kept.table(&name) {
        return of_config(&kept, table).await;
    }
    let (shown, remarks) = discovery::of_seeds(&config).await.map_err(told)?;
    let Some(table) = shown.table(&name) else {
        return Err(unknown(&name, &shown, &remarks, args));
    };
    of_config(&shown, table).await
}

fn unknown(name: &TableName, config: &Config, remarks: &[String], args: &RouteArgs) -> CommandError {
    let known: Vec<_> = config.tables.iter().map(|table| table.name.to_string()).collect();
    let remarks: String = remarks.iter().map(|remark| format!("\n{remark}")).collect();
    CommandError(format!(
        "{name} is no table of {}; its tables are {}{remarks}",
        args.config.config.display(),
        known.join(", ")
    ))
}

/// A configured table, with the columns that a replica tells or that were kept.
pub(super) async fn of_config(config: &Config, table: &config::Table) -> Result<Router, CommandError> {
    let cluster = config
        .cluster_of(table)
        .ok_or_else(|| CommandError(format!("there is no cluster {}", table.cluster)))?;
    let description = reach::description(config, cluster, table).await?;
    Router::of_table(table, cluster, description).map_err(|error| CommandError(error.message))
}

/// How places are shown.
struct Listing<'a> {
    router: Router,
    listed: Option<Vec<String>>,
    args: &'a RouteArgs,
}

impl Listing<'_> {
    /// Writes each row's place as soon as it is known.
    fn write(&self, stream: Stream, mut body: Box<dyn Read>, out: &mut dyn Write) -> Result<(), Interrupted> {
        let is_table = self.args.output == Output::Table;
        if is_table && self.args.explain {
            let given = self.listed.as_deref().unwrap_or_default();
            writeln!(out, "{}", self.router.explanation(given))?;
        }
        if is_table {
            out.write_all(self.heading().as_bytes())?;
        }
        let listed = self.listed.as_deref();
        let written = self.router.each_row(stream, listed, &mut body, &mut |routed| {
            let line = match is_table {
                true => self.line(&routed),
                false => self.router.json(&routed, self.args.explain),
            };
            writeln!(out, "{line}").map_err(Failed::Output)
        });
        written.map_err(Interrupted::from)
    }

    fn has_names(&self) -> bool {
        self.router.shards().iter().any(|shard| !shard.name.is_empty())
    }

    fn heading(&self) -> String {
        let name = if self.has_names() { "  NAME" } else { "" };
        let explained = if self.args.explain { "  DEFAULTS" } else { "" };
        format!(
            "{:>10}  {:>20}  {:>8}  {:>5}{name}{explained}\n",
            "ROW", "VALUE", "SLOT", "SHARD"
        )
    }

    fn line(&self, routed: &Routed) -> String {
        let name = match self.router.shards().get(routed.shard) {
            Some(shard) if self.has_names() => format!("  {}", shard.name),
            _ => String::new(),
        };
        let names = self.router.key_columns();
        let defaulted = routed.defaulted.iter().filter_map(|at| names.get(*at));
        let defaults: Vec<_> = defaulted
            .filter(|_| self.args.explain)
            .map(|name| format!("{name} = {}", self.router.default_of(name)))
            .collect();
        let line = format!(
            "{:>10}  {:>20}  {:>8}  {:>5}{name}  {}",
            routed.row,
            or_none(routed.value),
            or_none(routed.slot),
            routed.shard + 1,
            defaults.join(", ")
        );
        line.trim_end().to_owned()
    }
}

fn or_none(number: Option<u64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

impl From<Failed> for Interrupted {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Output(error) => Self::Output(error),
            failed => Self::Source(CommandError(failed.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_on_the_command_line_is_one_row_of_its_columns() {
        let given = ["k=42".to_owned(), "s=a b".to_owned()];
        let (names, row) = row_of(&given).unwrap();
        assert_eq!((names.join(","), row.as_str()), ("k,s".to_owned(), "42\ta b\n"));
        assert!(row_of(&["k".to_owned()]).unwrap_err().0.contains("NAME=VALUE"));
    }
}
