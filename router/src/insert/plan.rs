//! From a recognised INSERT to everything that splitting it needs. What can be refused without the body is
//! refused here.

use std::collections::BTreeMap;
use std::sync::Arc;

use formats::statement::{Insert, InsertColumns, Source};
use formats::{Absent, Format, RowStream, Spec};
use types::ColumnDef;

use super::settings::{InsertSettings, OwnSettings};
use super::split::{Placement, random_shard};
use super::versions;
use crate::exception::{Exception, code};
use crate::routing::RoutedTable;
use crate::schema::TableSchema;

/// A format's rows are larger than this only in attacks: the configuration's `max_row_bytes`.
pub type RowBytesMax = usize;

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
    /// What the key's columns would become in rows that have no value for them.
    pub defaults: KeyDefaults,
    /// How the body is read; the shard has to read it the same way.
    pub reading: formats::Settings,
    /// The client's payload settings, sorted.
    pub payload_settings: Vec<(String, String)>,
    /// The client's insert_deduplication_token.
    pub token: Option<String>,
    /// Which target the rows were planned for: [`TableSchema::fingerprint`].
    pub schema: u128,
}

impl Plan {
    /// Plans an INSERT with inline data into a routed table.
    pub fn new(
        table: Arc<RoutedTable>,
        schema: &TableSchema,
        insert: &Insert,
        default_format: Option<&str>,
        settings: InsertSettings,
        row_bytes_max: RowBytesMax,
    ) -> Result<Self, Exception> {
        let format = format_of(insert, default_format)?;
        let listed = listed_columns(&insert.columns, schema)?;
        let placement = placement(&table, schema, &settings.own)?;
        let key_columns = placement.key_columns();
        let defaults = KeyDefaults::of(&table.name, key_columns, schema);
        defaults.refuse_left_out(listed.as_deref())?;
        // What the client says comes behind what its server would do, and so wins.
        let said = schema.reading_defaults.iter().chain(&settings.payload);
        let reading = formats::Settings::read(said.map(|(name, value)| (name.as_str(), value.as_str())))?;
        let spec = Spec {
            columns: &schema.insertable,
            listed: listed.as_deref(),
            key: key_columns,
            watched: &[],
            settings: &reading,
            time_zone: &schema.time_zone,
            max_row_bytes: row_bytes_max,
            scratch: None,
        };
        let stream = RowStream::new(format, &spec)?;
        let client = settings.payload.iter().map(|(name, _)| name.as_str());
        versions::check(&table, format.payload().name(), client)?;
        let token = settings.own.deduplication_token;
        Ok(Self {
            table,
            format,
            stream,
            placement,
            defaults,
            reading,
            payload_settings: settings.payload,
            token,
            schema: schema.fingerprint,
        })
    }

    /// The settings that are fixed in the batch, each once: the client's, the table's, what makes the shard
    /// read the rows as Weir read them, and what makes a batch one block. The later wins.
    pub fn shape_settings(&self) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let reading = self.reading.pinned(self.format.payload());
        let all = (self.payload_settings.iter().cloned())
            .chain(
                self.table
                    .config
                    .settings
                    .iter()
                    .map(|(name, value)| (name.clone(), value.clone())),
            )
            .chain(reading.into_iter().map(|(name, value)| (name.to_owned(), value)))
            .chain(shard_client::PINNED_SETTINGS.iter().map(owned));
        all.collect::<BTreeMap<_, _>>().into_iter().collect()
    }
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
        (Some(key), None) => Ok(Placement::Slots(key.clone(), table.slots.clone())),
        (None, _) if own.one_random_shard => Ok(Placement::Whole(random_shard(&table.slots))),
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

fn chosen_shard(id: u64, shards: usize) -> Result<Placement, Exception> {
    match usize::try_from(id) {
        Ok(number) if (1..=shards).contains(&number) => Ok(Placement::Whole(number - 1)),
        _ => Err(Exception::bad_input(
            code::INVALID_SHARD_ID,
            format!("insert_shard_id is {id}, the cluster has shards 1 to {shards}."),
        )),
    }
}

/// The DEFAULT expressions of the sharding key's columns.
///
/// Where a row has no value for such a column, the shard would compute the default: to route the row, Weir
/// would have to compute the same.
/// This version does not, and refuses the row; a column without an expression is its type's default on both
/// sides.
#[derive(Debug, Clone)]
pub struct KeyDefaults {
    table: String,
    columns: Vec<(String, Option<String>)>,
}

impl KeyDefaults {
    /// Of a table's key.
    pub fn of(table: &str, key: &[ColumnDef], schema: &TableSchema) -> Self {
        let default = |column: &ColumnDef| {
            let expression = schema.default_expression(&column.name).map(str::to_owned);
            (column.name.clone(), expression)
        };
        Self {
            table: table.to_owned(),
            columns: key.iter().map(default).collect(),
        }
    }

    /// No key column has a default.
    #[cfg(test)]
    pub fn none() -> Self {
        Self {
            table: String::new(),
            columns: Vec::new(),
        }
    }

    /// Refuses an INSERT whose column list leaves such a column out.
    pub fn refuse_left_out(&self, listed: Option<&[String]>) -> Result<(), Exception> {
        let Some(listed) = listed else { return Ok(()) };
        match self
            .columns
            .iter()
            .find(|(name, default)| default.is_some() && !listed.contains(name))
        {
            Some((name, default)) => Err(self.refusal(name, default.as_deref(), "The INSERT leaves out")),
            None => Ok(()),
        }
    }

    /// Refuses rows without a value for such a column; `absent` has their positions for each of the key's
    /// columns, `first_row` is the number of the first of them, from 1.
    pub fn refuse_absent(&self, absent: &[Vec<Absent>], first_row: u64) -> Result<(), Exception> {
        for ((name, default), rows) in self.columns.iter().zip(absent) {
            if let (Some(_), Some(row)) = (default, rows.first()) {
                let what = format!("Row {} has no value for", first_row + row.row as u64);
                return Err(self.refusal(name, default.as_deref(), &what));
            }
        }
        Ok(())
    }

    fn refusal(&self, column: &str, default: Option<&str>, what: &str) -> Exception {
        Exception::not_implemented(format!(
            "{what} column {column} of {}'s sharding key, whose default is {}: this version of Weir does not compute it, so \
             name the column and send its values.",
            self.table,
            default.unwrap_or("an expression"),
        ))
    }
}
