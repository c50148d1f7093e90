//! Where rows would go: the shard of each row of a body, as an INSERT would split it, without sending
//! anything. `weir route`, the demo and the admin page `/route` ask here.
//!
//! The rows stream through the same parser, key and slots as an INSERT's; memory does not grow with the body.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::sync::Arc;

use formats::{Format, RowStream, Rows, Spec};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use serde_json::{Value, json};
use shard_client::DescribedColumn;
use sharding::Slots;

use crate::exception::{Exception, code};
use crate::insert::defaults::{Filled, Filling, context_of};
use crate::insert::split::Placement;
use crate::routing;
use crate::schema::{Description, TableSchema};

/// Bytes of the body read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// Longer rows are refused, as by the router's default.
const ROW_BYTES_MAX: usize = 64 << 20;

/// Whose INSERT a dry run is: what currentUser() and currentDatabase() of a default answer.
const DRY_RUN_USER: &str = "default";
const DRY_RUN_DATABASE: &str = "default";

/// What decides the shards.
#[derive(Debug)]
pub struct Router {
    schema: Arc<TableSchema>,
    placement: Placement,
    shards: Vec<Shard>,
    /// The key's text, where there is one.
    key: Option<String>,
}

/// A shard as answers name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Its name; empty where nobody gave one.
    pub name: String,
    /// The slots it owns, in words.
    pub slots: String,
}

/// One row and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routed {
    /// Counted from 0.
    pub row: u64,
    /// None where no key is evaluated.
    pub value: Option<u64>,
    /// Counted from 0; none on a ring.
    pub slot: Option<u64>,
    /// Counted from 0.
    pub shard: usize,
    /// The key's columns for which the row has no value, by their places in [`Router::key_columns`].
    pub defaulted: Vec<usize>,
}

/// Finds the rows of one body and what they lack.
pub struct Stream {
    rows: RowStream,
    filling: Filling,
}

/// What ends a dry run before the body's end.
#[derive(Debug)]
pub enum Failed {
    /// The places cannot be written.
    Output(io::Error),
    /// The body cannot be read.
    Reading(io::Error),
    /// The body is not what the format says.
    Body(Exception),
}

/// Whether a row has no value of its own for a field.
fn is_absent(rows: &Rows<'_>, field: usize, row: usize) -> bool {
    let absent = &rows.absent[field];
    absent.binary_search_by_key(&row, |absent| absent.row).is_ok()
}

impl Router {
    /// Of a table as configured, with what is known of its target. Its key is evaluated even where one shard
    /// makes it idle.
    pub fn of_table(
        table: &config::Table,
        cluster: &config::Cluster,
        description: Description,
    ) -> Result<Self, Exception> {
        let name = table.name.to_string();
        let schema = TableSchema::new(&name, description, table.sharding_key.as_deref())?;
        let (slots, ring) = routing::assignment(table, cluster)
            .map_err(|error| Exception::bad_input(code::BAD_ARGUMENTS, error.to_string()))?;
        let on_a_ring = ring.is_some();
        let placement = match (schema.key.clone(), ring) {
            (Some(key), Some(ring)) => Placement::Ring(key, ring),
            (Some(key), None) => Placement::Slots(key, slots),
            (None, _) if cluster.shards.len() == 1 => Placement::Whole(0),
            (None, _) => {
                return Err(Exception::bad_input(
                    code::STORAGE_REQUIRES_PARAMETER,
                    format!(
                        "table {name} has no sharding key: an INSERT must name its shard (insert_shard_id) or take one at random"
                    ),
                ));
            }
        };
        let weights = cluster.shards.iter().map(|shard| shard.weight);
        let names = cluster.shards.iter().map(|shard| shard.name.clone());
        let shards = shards(names, weights, on_a_ring);
        Ok(Self::new(schema, placement, shards, table.sharding_key.clone()))
    }

    /// Of columns, key and weights that stand on a command line.
    pub fn of_described(
        columns: Vec<DescribedColumn>,
        sharding_key: Option<&str>,
        weights: &[u32],
    ) -> Result<Self, Exception> {
        let schema = TableSchema::new("--columns", Description::of_columns(columns), sharding_key)?;
        let slots = Slots::new(weights)
            .map_err(|error| Exception::bad_input(code::BAD_ARGUMENTS, error.to_string()))?;
        let placement = match schema.key.clone() {
            Some(key) => Placement::Slots(key, slots),
            None => Placement::Whole(0),
        };
        let names = weights.iter().map(|_| String::new());
        let shards = shards(names, weights.iter().copied(), false);
        let key = sharding_key.map(str::to_owned);
        Ok(Self::new(schema, placement, shards, key))
    }

    fn new(schema: TableSchema, placement: Placement, shards: Vec<Shard>, key: Option<String>) -> Self {
        Self {
            schema: Arc::new(schema),
            placement,
            shards,
            key,
        }
    }

    /// The shards, in their order.
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// The names of the key's columns.
    pub fn key_columns(&self) -> Vec<&str> {
        let columns = self.placement.key_columns().iter();
        columns.map(|column| column.name.as_str()).collect()
    }

    /// Refuses values of a key that lack one of its columns: a row has a value for it, and to take 0 would be
    /// to guess. A column with a DEFAULT may be left out.
    pub fn refuse_incomplete(&self, given: &[String]) -> Result<(), Exception> {
        let needed = |name: &&str| {
            !given.iter().any(|given| given == name) && self.schema.default_expression(name).is_none()
        };
        let missing: Vec<_> = self.key_columns().into_iter().filter(needed).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Exception::bad_input(
            code::BAD_ARGUMENTS,
            format!(
                "the sharding key {} also needs a value for {}, which has no DEFAULT",
                self.key.as_deref().unwrap_or_default(),
                missing.join(", ")
            ),
        ))
    }

    /// The places of a small body's rows.
    pub fn places_of(&self, format: Format, body: &str) -> Result<Vec<Routed>, Failed> {
        let stream = self.stream(format, None)?;
        let mut places = Vec::new();
        self.each_row(stream, None, &mut body.as_bytes(), &mut |routed| {
            places.push(routed);
            Ok(())
        })?;
        Ok(places)
    }

    /// Finds the rows of one body.
    pub fn stream(&self, format: Format, listed: Option<&[String]>) -> Result<Stream, Exception> {
        let defaults = self.schema.reading_defaults.iter();
        let settings = formats::Settings::read(defaults.map(|(name, value)| (name.as_str(), value.as_str())));
        let settings = settings?;
        let context = context_of(DRY_RUN_USER, DRY_RUN_DATABASE, "");
        let key = self.placement.key_columns();
        let possible = format.payloads(&settings);
        let payload = possible.first().copied().unwrap_or(format.payload());
        let filling = (self.schema.defaults).filling(key, payload, &settings, context)?;
        filling.refuse_left_out(listed)?;
        let spec = Spec {
            columns: &self.schema.insertable,
            listed,
            key: filling.read(),
            watched: filling.watched(),
            settings: &settings,
            time_zone: &self.schema.time_zone,
            max_row_bytes: ROW_BYTES_MAX,
            payload: Some(payload),
            check_values: false,
            scratch: None,
        };
        Ok(Stream {
            rows: RowStream::new(format, &spec)?,
            filling,
        })
    }

    /// Calls `take` with the place of each row of a body whose INSERT would list these columns.
    pub fn each_row(
        &self,
        stream: Stream,
        listed: Option<&[String]>,
        body: &mut dyn Read,
        take: &mut dyn FnMut(Routed) -> Result<(), Failed>,
    ) -> Result<(), Failed> {
        let Stream {
            rows: mut stream,
            mut filling,
        } = stream;
        let mut rng = SmallRng::from_rng(&mut rand::rng());
        let mut rows_before = 0;
        let left_out = self.left_out(listed);
        let fields = self.placement.key_columns().iter();
        let fields: Vec<Option<usize>> = fields
            .map(|column| filling.read().iter().position(|read| read.name == column.name))
            .collect();
        let mut on_rows = |rows: &Rows<'_>| {
            let filled = filling.fill(rows, rows_before + 1, &mut rng)?;
            self.places(
                rows,
                &filled,
                rows_before,
                &|column, at| {
                    left_out.contains(&column)
                        || fields[column].is_some_and(|field| is_absent(rows, field, at))
                },
                &mut rng,
            )?
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

    /// The key's columns that no row has a value for.
    fn left_out(&self, listed: Option<&[String]>) -> Vec<usize> {
        let columns = self.placement.key_columns().iter().enumerate();
        let is_left_out = |name: &String| listed.is_some_and(|listed| !listed.contains(name));
        columns
            .filter(|(_, column)| is_left_out(&column.name))
            .map(|(at, _)| at)
            .collect()
    }

    fn places<'r>(
        &'r self,
        rows: &'r Rows<'_>,
        filled: &Filled<'_>,
        rows_before: u64,
        is_defaulted: &'r dyn Fn(usize, usize) -> bool,
        rng: &mut SmallRng,
    ) -> Result<impl Iterator<Item = Routed> + 'r, Exception> {
        let values = self.placement.values(filled, rows_before + 1, rng)?;
        Ok((0..rows.count).map(move |at| {
            let value = values.get(at).copied();
            Routed {
                row: rows_before + at as u64,
                value,
                slot: value.and_then(|value| self.placement.slot_of(value)),
                shard: self.placement.shard_of(value.unwrap_or(0)),
                defaulted: (0..self.placement.key_columns().len())
                    .filter(|column| is_defaulted(*column, at))
                    .collect(),
            }
        }))
    }

    /// What decides, in a few lines: the key, the slots of each shard, the defaults of the key's columns but for those that
    /// every row gives.
    pub fn explanation(&self, given: &[String]) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        if let (Some(key), Some(compiled)) = (&self.key, &self.schema.key) {
            let _ = writeln!(text, "key      {key}: {}", compiled.result_type());
        }
        for (shard, number) in self.shards.iter().zip(1..) {
            let _ = writeln!(text, "shard {number:<2} {} slots {}", shard.name, shard.slots);
        }
        let may_lack = |column: &&str| !given.iter().any(|given| given == column);
        for column in self.key_columns().into_iter().filter(may_lack) {
            let _ = writeln!(text, "default  {column}: {}", self.default_of(column));
        }
        text
    }

    /// What a row without a value for the column is routed by.
    pub fn default_of(&self, column: &str) -> String {
        let expression = self.schema.default_expression(column);
        expression.map_or_else(|| "the type's default".to_owned(), str::to_owned)
    }

    /// The row's place as one line of JSON, its fields in the order that design.md gives: programs compare it
    /// as text too. `explain` adds what decided.
    pub fn json(&self, routed: &Routed, explain: bool) -> String {
        let value = routed
            .value
            .map_or_else(|| "null".to_owned(), |value| format!("\"{value}\""));
        let slot = routed
            .slot
            .map_or_else(|| "null".to_owned(), |slot| slot.to_string());
        let mut line = format!(
            "{{\"row\":{},\"value\":{value},\"slot\":{slot},\"shard\":{}",
            routed.row,
            routed.shard + 1
        );
        if explain {
            let shard = self.shards.get(routed.shard);
            let names = self.key_columns();
            let defaulted = routed.defaulted.iter().filter_map(|at| names.get(*at));
            let defaults: serde_json::Map<_, _> = defaulted
                .map(|name| ((*name).to_owned(), Value::String(self.default_of(name))))
                .collect();
            let more = [
                ("key", json!(self.key)),
                ("shard_name", json!(shard.map(|shard| &shard.name))),
                ("slots", json!(shard.map(|shard| &shard.slots))),
                ("defaults", Value::Object(defaults)),
            ];
            for (name, value) in more {
                let _ = write!(line, ",\"{name}\":{value}");
            }
        }
        line.push('}');
        line
    }

    /// Writes the places of a body's rows, one line of JSON each.
    pub fn write_json(
        &self,
        stream: Stream,
        body: &mut dyn Read,
        explain: bool,
        out: &mut dyn Write,
    ) -> Result<(), Failed> {
        self.each_row(stream, None, body, &mut |routed| {
            writeln!(out, "{}", self.json(&routed, explain)).map_err(Failed::Output)
        })
    }
}

fn shards(
    names: impl Iterator<Item = String>,
    weights: impl Iterator<Item = u32>,
    on_a_ring: bool,
) -> Vec<Shard> {
    let mut first = 0;
    names
        .zip(weights)
        .map(|(name, weight)| {
            let slots = match on_a_ring {
                true => "on a ring".to_owned(),
                false => slots_in_words(first, weight),
            };
            first += u64::from(weight);
            Shard { name, slots }
        })
        .collect()
}

/// The slots of a shard in words: `0..8`, both ends included; `none` for a weight of 0.
pub fn slots_in_words(first: u64, weight: u32) -> String {
    match u64::from(weight) {
        0 => "none".to_owned(),
        1 => first.to_string(),
        weight => format!("{first}..{}", first + weight - 1),
    }
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

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Output(error) => write!(f, "writing the places: {error}"),
            Self::Reading(error) => write!(f, "reading the rows: {error}"),
            Self::Body(error) => f.write_str(&error.message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(columns: &str, key: &str, weights: &[u32]) -> Router {
        let described = crate::cli::columns::parse(columns).unwrap();
        Router::of_described(described, Some(key), weights).unwrap()
    }

    #[track_caller]
    fn check(key: &str, weights: &[u32], rows: &str, expected: &[&str]) {
        let router = router("k UInt64, s String", key, weights);
        let places = router.places_of(Format::TabSeparated, rows).unwrap();
        let lines: Vec<_> = places.iter().map(|place| router.json(place, false)).collect();
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
    fn a_row_that_cannot_be_read_is_named() {
        let router = router("k UInt64, s String", "k", &[1]);
        let error = router
            .places_of(Format::TabSeparated, "1\ta\nx\tb\n")
            .unwrap_err();
        assert!(error.to_string().contains("ow 2"), "{error}");
    }

    #[test]
    fn an_explained_row_names_slots_and_the_default_that_applied() {
        let router = router("k UInt64, s String", "k", &[9, 10]);
        let places = router
            .places_of(Format::JsonEachRow, "{\"s\":\"a\"}\n{\"k\":9}\n")
            .unwrap();
        let lines: Vec<_> = places.iter().map(|place| router.json(place, true)).collect();
        let first = r#"{"row":0,"value":"0","slot":0,"shard":1,"key":"k","shard_name":"","slots":"0..8","defaults":{"k":"the type's default"}}"#;
        let second = r#"{"row":1,"value":"9","slot":9,"shard":2,"key":"k","shard_name":"","slots":"9..18","defaults":{}}"#;
        assert_eq!(lines, [first, second]);
        let explanation = router.explanation(&[]);
        for words in [
            "key      k: UInt64",
            "slots 9..18",
            "default  k: the type's default",
        ] {
            assert!(explanation.contains(words), "{explanation}");
        }
        let explanation = router.explanation(&["k".to_owned()]);
        assert!(!explanation.contains("default"), "k is given: {explanation}");
    }

    #[test]
    fn a_key_that_lacks_a_column_is_refused_rather_than_taken_for_0() {
        let router = router("k UInt64, s String", "sipHash64(k, s)", &[1, 1]);
        let given = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let error = router.refuse_incomplete(&given(&["k"])).unwrap_err();
        assert!(error.message.contains("a value for s"), "{}", error.message);
        assert!(router.refuse_incomplete(&given(&["s", "k"])).is_ok());
    }

    #[track_caller]
    fn check_slots(first: u64, weight: u32, expected: &str) {
        assert_eq!(slots_in_words(first, weight), expected);
    }

    #[test]
    fn slots_are_told_with_both_ends() {
        check_slots(0, 9, "0..8");
        check_slots(9, 10, "9..18");
        check_slots(3, 1, "3");
        check_slots(3, 0, "none");
    }
}
