//! `weir route`: the shard of each row, as an INSERT would split it, without sending anything.
//!
//! The rows stream through the same parser, key and slots as an INSERT's; memory does not grow with the file.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use clap::Args;
use config::TableName;
use formats::{Format, RowStream, Rows, Spec};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use shard_client::DescribedColumn;
use sharding::Slots;

use super::output::{Interrupted, Output, print};
use super::{CommandError, ConfigArgs, block_on, columns, reach};
use crate::exception::Exception;
use crate::insert::plan::KeyDefaults;
use crate::insert::split::Placement;
use crate::routing;
use crate::schema::{Description, TableSchema};

const EXAMPLE: &str = "\
Examples:
  weir route --config weir.toml --table default.hits --format CSV hits.csv
  weir route --config weir.toml --table default.hits --key user_id=42
  seq 5 | weir route --columns 'k UInt64' --sharding-key 'cityHash64(k)' --weights 9,10 --format TSV

VALUE is the sharding value, SLOT the remainder of VALUE / sum of weights; rows and slots count from 0, shards from 1. With \
--output json each row is one line, the value a string: {\"row\":0,\"value\":\"1397498628045648351\",\"slot\":1,\"shard\":2}";

/// Bytes of the file read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// Longer rows are refused, as by the router's default.
const ROW_BYTES_MAX: usize = 64 << 20;

/// Tell the shard of each row of a file, without sending anything.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct RouteArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The distributed table, `database.table`, of the configuration.
    #[arg(
        long,
        value_name = "TABLE",
        required_unless_present = "columns",
        conflicts_with = "columns"
    )]
    table: Option<String>,
    /// Instead of a table: its columns as CREATE TABLE would name them.
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
            Router::of_described(columns, args.sharding_key.as_deref(), &args.weights)?
        }
        None => block_on(Router::of_table(args))??,
    };
    let (format, listed, body): (_, _, Box<dyn Read>) = match (&args.format, args.key.as_slice()) {
        (Some(format), _) => (Format::parse(format).map_err(told)?, None, body(args)?),
        (None, given) => {
            let (names, row) = row_of(given)?;
            (Format::TabSeparated, Some(names), Box::new(io::Cursor::new(row)))
        }
    };
    let stream = router.stream(format, listed.as_deref())?;
    print(|out| router.route(stream, body, args.output, out))
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

/// What decides the shards.
pub(super) struct Router {
    schema: TableSchema,
    placement: Placement,
    defaults: KeyDefaults,
    shards: Vec<String>,
}

/// One row and where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Routed {
    /// Counted from 0.
    pub row: u64,
    /// None where no key is evaluated.
    pub value: Option<u64>,
    /// Counted from 0; none on a ring.
    pub slot: Option<u64>,
    /// Counted from 0.
    pub shard: usize,
}

impl Router {
    /// The table of a configuration, with the columns that a replica tells or that were kept.
    async fn of_table(args: &RouteArgs) -> Result<Self, CommandError> {
        let config = args.config.load()?;
        let name = TableName::parse(args.table.as_deref().unwrap_or_default()).map_err(CommandError)?;
        let known = || {
            config
                .tables
                .iter()
                .map(|table| table.name.to_string())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let table = config.table(&name).ok_or_else(|| {
            CommandError(format!(
                "{name} is no table of {}; its tables are {}",
                args.config.config.display(),
                known()
            ))
        })?;
        Self::of_config(&config, table).await
    }

    pub(super) async fn of_config(
        config: &config::Config,
        table: &config::Table,
    ) -> Result<Self, CommandError> {
        let cluster = config
            .cluster_of(table)
            .ok_or_else(|| CommandError(format!("there is no cluster {}", table.cluster)))?;
        let schema = reach::schema(config, cluster, table).await?;
        let (slots, ring) = routing::assignment(table, cluster).map_err(told)?;
        let placement = match (schema.key.clone(), ring) {
            (Some(key), Some(ring)) => Placement::Ring(key, ring),
            (Some(key), None) => Placement::Slots(key, slots),
            (None, _) if cluster.shards.len() == 1 => Placement::Whole(0),
            (None, _) => {
                return Err(CommandError(format!(
                    "table {} has no sharding key: an INSERT must name its shard (insert_shard_id) or take one at random",
                    table.name
                )));
            }
        };
        let shards = cluster.shards.iter().map(|shard| shard.name.clone()).collect();
        Ok(Self::new(&table.name.to_string(), schema, placement, shards))
    }

    /// A table that stands on the command line.
    fn of_described(
        columns: Vec<DescribedColumn>,
        sharding_key: Option<&str>,
        weights: &[u32],
    ) -> Result<Self, CommandError> {
        let description = Description {
            columns,
            time_zone: "UTC".to_owned(),
            reading_defaults: Vec::new(),
        };
        let schema = TableSchema::new("--columns", description, sharding_key);
        let schema = schema.map_err(|error| CommandError(error.message))?;
        let slots = Slots::new(weights).map_err(told)?;
        let placement = match schema.key.clone() {
            Some(key) => Placement::Slots(key, slots),
            None => Placement::Whole(0),
        };
        Ok(Self::new("--columns", schema, placement, Vec::new()))
    }

    fn new(table: &str, schema: TableSchema, placement: Placement, shards: Vec<String>) -> Self {
        let defaults = KeyDefaults::of(table, placement.key_columns(), &schema);
        Self {
            schema,
            placement,
            defaults,
            shards,
        }
    }

    /// The places of a small body's rows.
    pub(super) fn places_of(&self, format: Format, body: &str) -> Result<Vec<Routed>, CommandError> {
        let stream = self.stream(format, None)?;
        let mut places = Vec::new();
        let body = Box::new(io::Cursor::new(body.to_owned()));
        let routed = self.each_row(stream, body, &mut |routed| {
            places.push(routed);
            Ok(())
        });
        routed.map(|()| places).map_err(|failed| match failed.into() {
            Interrupted::Source(error) => error,
            Interrupted::Output(error) => told(error),
        })
    }

    /// Finds the rows of one body.
    fn stream(&self, format: Format, listed: Option<&[String]>) -> Result<RowStream, CommandError> {
        let defaults = self.schema.reading_defaults.iter();
        let settings = formats::Settings::read(defaults.map(|(name, value)| (name.as_str(), value.as_str())));
        let settings = settings.map_err(told)?;
        self.defaults
            .refuse_left_out(listed)
            .map_err(|error| CommandError(error.message))?;
        let spec = Spec {
            columns: &self.schema.insertable,
            listed,
            key: self.placement.key_columns(),
            watched: &[],
            settings: &settings,
            time_zone: &self.schema.time_zone,
            max_row_bytes: ROW_BYTES_MAX,
        };
        RowStream::new(format, &spec).map_err(told)
    }

    /// Writes each row's place as soon as it is known.
    fn route(
        &self,
        stream: RowStream,
        body: Box<dyn Read>,
        output: Output,
        out: &mut dyn Write,
    ) -> Result<(), Interrupted> {
        if output == Output::Table {
            out.write_all(self.heading().as_bytes())?;
        }
        self.each_row(stream, body, &mut |routed| {
            match output {
                Output::Table => writeln!(out, "{}", self.line(routed)),
                Output::Json => writeln!(out, "{}", json(routed)),
            }
            .map_err(Failed::Output)
        })
        .map_err(Interrupted::from)
    }

    /// Calls `take` with the place of each row of a body.
    fn each_row(
        &self,
        mut stream: RowStream,
        mut body: Box<dyn Read>,
        take: &mut dyn FnMut(Routed) -> Result<(), Failed>,
    ) -> Result<(), Failed> {
        let mut rng = SmallRng::from_rng(&mut rand::rng());
        let mut rows_before = 0;
        let mut on_rows = |rows: &Rows<'_>| {
            self.places(rows, rows_before, &mut rng)?
                .try_for_each(&mut *take)?;
            rows_before += rows.count as u64;
            Ok(())
        };
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match body.read(&mut chunk).map_err(Failed::Reading)? {
                0 => return stream.finish(&mut on_rows),
                bytes => stream.push(&chunk[..bytes], &mut on_rows)?,
            }
        }
    }

    fn places(
        &self,
        rows: &Rows<'_>,
        rows_before: u64,
        rng: &mut SmallRng,
    ) -> Result<impl Iterator<Item = Routed>, Exception> {
        self.defaults.refuse_absent(rows.absent, rows_before + 1)?;
        let values = self.placement.values(rows, rows_before + 1, rng)?;
        Ok((0..rows.count).map(move |at| {
            let value = values.get(at).copied();
            Routed {
                row: rows_before + at as u64,
                value,
                slot: value.and_then(|value| self.placement.slot_of(value)),
                shard: self.placement.shard_of(value.unwrap_or(0)),
            }
        }))
    }

    fn heading(&self) -> String {
        let name = if self.shards.is_empty() { "" } else { "  NAME" };
        format!(
            "{:>10}  {:>20}  {:>8}  {:>5}{name}\n",
            "ROW", "VALUE", "SLOT", "SHARD"
        )
    }

    fn line(&self, routed: Routed) -> String {
        let or_none =
            |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let Routed {
            row,
            value,
            slot,
            shard,
        } = routed;
        let name = self
            .shards
            .get(shard)
            .map(|name| format!("  {name}"))
            .unwrap_or_default();
        format!(
            "{row:>10}  {:>20}  {:>8}  {:>5}{name}",
            or_none(value),
            or_none(slot),
            shard + 1
        )
    }
}

/// One line, its fields in the order that design.md gives: programs compare it as text too.
fn json(routed: Routed) -> String {
    let Routed {
        row,
        value,
        slot,
        shard,
    } = routed;
    let value = value.map_or_else(|| "null".to_owned(), |value| format!("\"{value}\""));
    let slot = slot.map_or_else(|| "null".to_owned(), |slot| slot.to_string());
    format!(
        "{{\"row\":{row},\"value\":{value},\"slot\":{slot},\"shard\":{}}}",
        shard + 1
    )
}

enum Failed {
    Output(io::Error),
    Reading(io::Error),
    Body(Exception),
}

impl From<Exception> for Failed {
    fn from(error: Exception) -> Self {
        Self::Body(error)
    }
}

impl From<formats::FormatError> for Failed {
    fn from(error: formats::FormatError) -> Self {
        Self::Body(error.into())
    }
}

impl From<Failed> for Interrupted {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Output(error) => Self::Output(error),
            Failed::Body(error) => Self::Source(CommandError(error.message)),
            Failed::Reading(error) => Self::Source(CommandError(format!("reading the rows: {error}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(columns: &str, key: &str, weights: &[u32]) -> Router {
        let described = columns::parse(columns).unwrap();
        Router::of_described(described, Some(key), weights).unwrap()
    }

    #[track_caller]
    fn check(key: &str, weights: &[u32], rows: &str, expected: &[&str]) {
        let router = router("k UInt64, s String", key, weights);
        let places = router.places_of(Format::TabSeparated, rows).unwrap();
        let lines: Vec<_> = places.into_iter().map(json).collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_row_is_told_as_one_json_object() {
        check(
            "k",
            &[9, 10],
            "18446744073709551615\ta\n9\tb\n",
            &[
                r#"{"row":0,"value":"18446744073709551615","slot":16,"shard":2}"#,
                r#"{"row":1,"value":"9","slot":9,"shard":2}"#,
            ],
        );
    }

    #[test]
    fn a_shard_of_weight_0_keeps_its_number_and_gets_no_row() {
        let line = r#"{"row":0,"value":"0","slot":0,"shard":2}"#;
        check("k", &[0, 1], "0\ta\n", &[line]);
    }

    #[test]
    fn rows_of_all_chunks_are_counted_on() {
        let router = router("k UInt64, s String", "k", &[1, 1]);
        let rows: String = (0..50_000).map(|k| format!("{k}\tsome text\n")).collect();
        let places = router.places_of(Format::TabSeparated, &rows).unwrap();
        assert_eq!(places.len(), 50_000);
        for (at, place) in (0..).zip(places) {
            assert_eq!(
                (place.row, place.value, place.shard),
                (at, Some(at), (at % 2) as usize)
            );
        }
    }

    #[test]
    fn a_key_on_the_command_line_is_one_row_of_its_columns() {
        let given = ["k=42".to_owned(), "s=a b".to_owned()];
        let (names, row) = row_of(&given).unwrap();
        assert_eq!((names.join(","), row.as_str()), ("k,s".to_owned(), "42\ta b\n"));
        assert!(row_of(&["k".to_owned()]).unwrap_err().0.contains("NAME=VALUE"));
    }

    #[test]
    fn a_row_that_cannot_be_read_is_named() {
        let router = router("k UInt64, s String", "k", &[1]);
        let error = router
            .places_of(Format::TabSeparated, "1\ta\nx\tb\n")
            .unwrap_err();
        assert!(error.0.contains("ow 2"), "{error}");
    }
}
