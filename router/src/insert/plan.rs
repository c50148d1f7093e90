//! From a recognised INSERT to everything that splitting it needs. What can be refused without the body is
//! refused here.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use config::WhenShardDown;
use formats::statement::{Insert, InsertColumns, Source};
use formats::{Format, RowStream, Spec};
use sharding::{Context, Key, Slots};

use super::client_tokens::{self, PieceLimits};
use super::defaults::Filling;
use super::foreground;
use super::retries::BodyHash;
use super::settings::{InsertSettings, OwnSettings};
use super::split::{Placement, random_shard};
use super::versions::{self, OwnTypes};
use crate::exception::{Exception, code};
use crate::routing::RoutedTable;
use crate::schema::TableSchema;

/// What an INSERT is planned by beside itself.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// A format's rows are larger than this only in attacks: the configuration's `max_row_bytes`.
    pub row_bytes_max: usize,
    /// Where a scratch file may lie while a body is read that cannot be read row by row.
    pub scratch: &'a Path,
    /// What defaults that are no functions of the row are computed by.
    pub context: Context,
}

/// How one INSERT is split and stored.
pub struct Plan {
    /// The distributed table.
    pub table: Arc<RoutedTable>,
    /// The format of the body.
    pub format: Format,
    /// Finds the rows.
    pub stream: RowStream,
    /// Finds their shards.
    pub placement: Placement,
    /// What the rows' columns become where they have no value for them.
    pub filling: Filling,
    /// How the body is read; the shard has to read it the same way.
    pub reading: formats::Settings,
    /// The client's payload settings, sorted.
    pub payload_settings: Vec<(String, String)>,
    /// What servers are told that see to the client's quorum themselves.
    pub quorum_settings: Vec<(String, String)>,
    /// The client's insert_deduplication_token.
    pub token: Option<String>,
    /// How the shares are divided where the token goes on to the shards.
    pub pieces: Option<PieceLimits>,
    /// Which target the rows were planned for: [`TableSchema::fingerprint`].
    pub schema: u128,
    /// What the body's columns must be, if a shard casts none.
    pub own_types: Option<OwnTypes>,
    /// By which a retry may be recognised, without the body; none where nothing is recognised by it.
    pub body_hash: Option<BodyHash>,
}

impl Plan {
    /// Plans an INSERT with inline data into a routed table.
    pub fn new(
        table: Arc<RoutedTable>,
        schema: &TableSchema,
        insert: &Insert,
        default_format: Option<&str>,
        settings: InsertSettings,
        surroundings: Surroundings<'_>,
    ) -> Result<Self, Exception> {
        let format = format_of(insert, default_format)?;
        let listed = listed_columns(&insert.columns, schema)?;
        let placement = placement(&table, schema, &settings.own)?;
        let pieces = client_tokens::pieces_of(&table, &settings.own);
        if pieces.is_some() {
            check_placed_again(&table, schema, &settings.own)?;
        }
        // What the client says comes behind what its server would do, and so wins.
        let said = schema
            .reading_defaults
            .iter()
            .chain(&settings.payload)
            .chain(&settings.own.parameters);
        let said = said.map(|(name, value)| (name.as_str(), value.as_str()));
        let revision = settings.own.client_protocol_version.as_deref();
        let revision = revision.map(|revision| ("client_protocol_version", revision));
        let reading = formats::Settings::read(said.chain(revision))?;
        let payload = versions::payload(&table, &format.payloads(&reading))?;
        let placement = match payload.is_whole() {
            true => of_whole(placement, format)?,
            false => placement,
        };
        let mut filling =
            schema
                .defaults
                .filling(placement.key_columns(), payload, &reading, surroundings.context)?;
        filling.refuse_left_out(listed.as_deref())?;
        if pieces.is_some() {
            filling.refuse_drawn_keys();
        }
        let spec = Spec {
            columns: &schema.insertable,
            listed: listed.as_deref(),
            key: filling.read(),
            watched: filling.watched(),
            settings: &reading,
            time_zone: &schema.time_zone,
            max_row_bytes: surroundings.row_bytes_max,
            payload: Some(payload),
            check_values: table.config.send.validate == config::Validate::Values,
            scratch: Some(surroundings.scratch),
        };
        let stream = RowStream::new(format, &spec)?;
        // What Weir obeyed itself, no shard has to know.
        let passed_on = settings.payload.iter().map(|(name, _)| name.as_str());
        let passed_on = passed_on.filter(|name| !formats::Settings::is_obeyed(name));
        versions::check_settings(&table, &passed_on)?;
        let is_foreground = foreground::is_asked(&table.config.send, &settings.own);
        let body_hash = Some(BodyHash::of_rows(insert, format, &settings, is_foreground));
        let quorum_settings = quorum_settings(&table, &settings.own)?;
        let token = settings.own.deduplication_token;
        let own_types = versions::own_types(&table, payload, &schema.insertable);
        Ok(Self {
            table,
            format,
            stream,
            placement,
            filling,
            reading,
            payload_settings: settings.payload,
            quorum_settings,
            token,
            pieces,
            schema: schema.fingerprint,
            own_types,
            body_hash,
        })
    }

    /// The settings that are fixed in the batch, each once: the client's, the table's, what makes the shard
    /// read the rows as Weir read them, and what makes a batch one block. The later wins.
    pub fn shape_settings(&self) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let reading = self.reading.pinned(self.stream.payload());
        let is_left = |(name, _): &&(String, String)| !formats::Settings::is_obeyed(name);
        let all = (self.payload_settings.iter().filter(is_left).cloned())
            .chain(self.quorum_settings.iter().cloned())
            .chain(
                self.table
                    .config
                    .settings
                    .iter()
                    .map(|(name, value)| (name.clone(), value.clone())),
            )
            .chain(reading.into_iter().map(|(name, value)| (name.to_owned(), value)))
            .chain(shard_client::PINNED_SETTINGS.iter().map(owned))
            .chain(self.alone());
        all.collect::<BTreeMap<_, _>>().into_iter().collect()
    }
}

impl Plan {
    /// What keeps a body that cannot be joined by itself: a block size of its own is a shape of its own. It is larger than any
    /// number of rows that `max_row_bytes` can hold, so that the batch is one block.
    fn alone(&self) -> Vec<(String, String)> {
        const ROWS: u64 = 1_000_000_000;
        if !self.stream.payload().is_whole() {
            return Vec::new();
        }
        let size = (ROWS + rand::random_range(0..ROWS)).to_string();
        let names = ["max_insert_block_size", "min_insert_block_size_rows"];
        names.map(|name| (name.to_owned(), size.clone())).to_vec()
    }
}

/// A quorum makes a shape of its own, so that nobody else's rows wait for it.
fn quorum_settings(table: &RoutedTable, own: &OwnSettings) -> Result<Vec<(String, String)>, Exception> {
    let Some(quorum) = own.quorum else {
        return Ok(Vec::new());
    };
    foreground::check_quorum(table, quorum)?;
    Ok(match foreground::is_forwarded(table) {
        true => own.quorum_settings.clone(),
        false => Vec::new(),
    })
}

fn format_of(insert: &Insert, default_format: Option<&str>) -> Result<Format, Exception> {
    match &insert.source {
        Source::Data { format, .. } => Ok(Format::parse(
            format.as_deref().or(default_format).unwrap_or("Values"),
        )?),
        // The result of the SELECT comes here as data: `insert::select`.
        Source::Select { .. } => Err(Exception::internal("a SELECT was planned before it was run")),
        Source::Function(function) => Err(Exception::not_implemented(format!(
            "INSERT INTO FUNCTION {function} names no table that Weir could route: run it on a server."
        ))),
        Source::Infile => Err(Exception::not_implemented(
            "FROM INFILE is read by clickhouse-client, not by a server: send the file as the request's body.",
        )),
    }
}

/// The INSERT's column list as names, or none for all insertable columns.
pub fn listed_columns(
    columns: &InsertColumns,
    schema: &TableSchema,
) -> Result<Option<Vec<String>>, Exception> {
    match columns {
        InsertColumns::All => Ok(None),
        InsertColumns::Listed(names) => {
            names.iter().try_for_each(|name| schema.check_insertable(name))?;
            Ok(Some(names.clone()))
        }
        InsertColumns::Except(names) => {
            names.iter().try_for_each(|name| schema.check_insertable(name))?;
            let kept = schema
                .insertable
                .iter()
                .map(|c| &c.name)
                .filter(|name| !names.contains(name));
            Ok(Some(kept.cloned().collect()))
        }
    }
}

/// Which shards the rows go to, by the client's settings, the number of shards, and the table's key.
fn placement(table: &RoutedTable, schema: &TableSchema, own: &OwnSettings) -> Result<Placement, Exception> {
    let shards = table.lanes.len();
    if let Some(id) = own.shard_id {
        return chosen_shard(id, shards);
    }
    if shards == 1 {
        return Ok(Placement::Whole(0));
    }
    match (&schema.key, &table.ring) {
        (Some(key), Some(ring)) => Ok(Placement::Ring(key.clone(), ring.clone())),
        (Some(key), None) => Ok(Placement::Slots(key.clone(), slots(table, Some(key)))),
        (None, _) if own.one_random_shard => Ok(Placement::Whole(random_shard(&slots(table, None)))),
        (None, _) => Err(Exception::bad_input(
            code::STORAGE_REQUIRES_PARAMETER,
            format!(
                "Table {} has no sharding key and {shards} shards: give it a sharding_key in weir.toml, or send \
                 insert_shard_id or insert_distributed_one_random_shard=1.",
                table.name
            ),
        )),
    }
}

/// Refuses an INSERT whose rows would find other shards if it came again, through another router.
fn check_placed_again(table: &RoutedTable, schema: &TableSchema, own: &OwnSettings) -> Result<(), Exception> {
    if own.shard_id.is_some() || table.lanes.len() == 1 {
        return Ok(());
    }
    let why = match &schema.key {
        Some(key) if key.is_random() => format!("the sharding key is {}", key.text()),
        Some(_) => return Ok(()),
        None => "insert_distributed_one_random_shard draws one".to_owned(),
    };
    Err(client_tokens::refuse_random_shards(&table.name, &why))
}

/// The table's slots; without those of shards that are down, where it says so and no row belongs to a certain shard.
fn slots(table: &RoutedTable, key: Option<&Key>) -> Slots {
    let reroutes = table.config.when_shard_down == WhenShardDown::Reroute && key.is_none_or(Key::is_random);
    let of_up = reroutes.then(|| table.slots_of_up()).flatten();
    of_up.unwrap_or_else(|| table.slots.clone())
}

/// A body whose rows cannot be told apart goes whole to one shard, where that is all the same.
fn of_whole(placement: Placement, format: Format) -> Result<Placement, Exception> {
    match placement {
        Placement::Slots(key, slots) if key.is_random() && key.columns().is_empty() => {
            Ok(Placement::Whole(random_shard(&slots)))
        }
        Placement::Whole(shard) => Ok(Placement::Whole(shard)),
        Placement::Slots(..) | Placement::Ring(..) => Err(Exception::bad_input(
            code::UNKNOWN_FORMAT,
            format!(
                "Format {} is not split: its rows have no borders that Weir knows, and the table's key decides row by row. Send \
                 the rows as Native, Parquet, Arrow, RowBinary, JSONEachRow or CSV, or all of them to one shard with \
                 insert_shard_id or insert_distributed_one_random_shard=1.",
                format.name()
            ),
        )),
    }
}

fn chosen_shard(id: u64, shards: usize) -> Result<Placement, Exception> {
    match usize::try_from(id) {
        Ok(number) if (1..=shards).contains(&number) => Ok(Placement::Whole(number - 1)),
        _ => Err(Exception::bad_input(
            code::INVALID_SHARD_ID,
            format!("insert_shard_id is {id}, the cluster has shards 1 to {shards}."),
        )),
    }
}
