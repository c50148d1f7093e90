//! What a routed table's target looks like on the shards: columns, defaults, time zone, and the sharding key compiled against them.
//!
//! Asked of a replica once, kept in memory and in `meta/schema/`, so that Weir starts and accepts INSERTs while every shard is down.
//! Asked again every [`REVALIDATE_EVERY`], and at once when a shard's answer says that the table changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use shard_client::{DefaultKind, DescribedColumn, ShardError};
use sharding::Key;
use types::{ColumnDef, DataType};

use crate::app::App;
use crate::exception::{Exception, code};
use crate::replica::ReplicaRuntime;
use crate::routing::RoutedTable;
use crate::tasks::Stop;

/// How often a table in use is described anew: a changed column is known soon after, at the price of one small query.
pub const REVALIDATE_EVERY: Duration = Duration::from_secs(5);

/// Replicas asked for a table's columns before it counts as unknown for now: with every shard down each costs a timeout.
const REPLICAS_ASKED_MAX: usize = 4;

/// A target table as Weir needs to know it.
#[derive(Debug)]
pub struct TableSchema {
    /// Every column as DESCRIBE TABLE told it.
    pub described: Vec<DescribedColumn>,
    /// The columns that an INSERT may name, in order: no MATERIALIZED, ALIAS.
    pub insertable: Vec<ColumnDef>,
    /// The server's time zone, in which dates without one are read.
    pub time_zone: String,
    /// The table's sharding key, compiled; none where the table has none.
    pub key: Option<Key>,
}

impl TableSchema {
    /// Makes a schema of what a replica said; the key must compile against it.
    pub fn new(
        table: &str,
        described: Vec<DescribedColumn>,
        time_zone: String,
        key: Option<&str>,
    ) -> Result<Self, Exception> {
        let columns = described
            .iter()
            .map(|c| column(table, c))
            .collect::<Result<Vec<_>, _>>()?;
        let key = key.map(|text| compile(table, text, &columns)).transpose()?;
        let insertable = described
            .iter()
            .zip(&columns)
            .filter(|(d, _)| d.default_kind.is_insertable())
            .map(|(_, c)| c.clone())
            .collect();
        Ok(Self {
            described,
            insertable,
            time_zone,
            key,
        })
    }

    /// Refuses a column that the table lacks or that cannot be inserted, with code 16 or 44.
    pub fn check_insertable(&self, name: &str) -> Result<(), Exception> {
        if self.insertable.iter().any(|column| column.name == name) {
            return Ok(());
        }
        match self.described.iter().find(|column| column.name == name) {
            Some(column) => Err(Exception::bad_input(
                44, // ILLEGAL_COLUMN, as ClickHouse says it
                format!(
                    "Cannot insert column {name}, because it is {} column.",
                    column.default_kind.word()
                ),
            )),
            None => {
                let known: Vec<_> = self
                    .insertable
                    .iter()
                    .map(|column| column.name.as_str())
                    .collect();
                Err(Exception::bad_input(
                    code::NO_SUCH_COLUMN_IN_TABLE,
                    format!(
                        "No such column {name} in the table; its columns are {}.",
                        known.join(", ")
                    ),
                ))
            }
        }
    }

    /// The DEFAULT expression of a column, if it has one.
    pub fn default_expression(&self, name: &str) -> Option<&str> {
        let column = self.described.iter().find(|column| column.name == name)?;
        (!column.default_expression.is_empty()).then_some(column.default_expression.as_str())
    }

    /// Whether a replica's new description is the same.
    pub fn is_described_by(&self, described: &[DescribedColumn], time_zone: &str) -> bool {
        self.described == described && self.time_zone == time_zone
    }

    /// As it is kept in `meta/schema/`.
    pub fn to_json(&self) -> String {
        let columns: Vec<_> = self
            .described
            .iter()
            .map(|c| json!([c.name, c.type_name, c.default_kind.word(), c.default_expression]))
            .collect();
        json!({"time_zone": self.time_zone, "columns": columns}).to_string()
    }

    /// Reads what [`TableSchema::to_json`] wrote; none if it is something else.
    pub fn parts_of_json(text: &str) -> Option<(Vec<DescribedColumn>, String)> {
        let value: Value = serde_json::from_str(text).ok()?;
        let time_zone = value.get("time_zone")?.as_str()?.to_owned();
        let columns = value
            .get("columns")?
            .as_array()?
            .iter()
            .map(column_of_json)
            .collect::<Option<Vec<_>>>()?;
        Some((columns, time_zone))
    }
}

fn column_of_json(value: &Value) -> Option<DescribedColumn> {
    let field = |at: usize| Some(value.get(at)?.as_str()?.to_owned());
    Some(DescribedColumn {
        name: field(0)?,
        type_name: field(1)?,
        default_kind: DefaultKind::read(&field(2)?).ok()?,
        default_expression: field(3)?,
    })
}

fn column(table: &str, described: &DescribedColumn) -> Result<ColumnDef, Exception> {
    let data_type = DataType::parse(&described.type_name)
        .map_err(|error| Exception::internal(format!("Column {} of {table}: {error}", described.name)))?;
    Ok(ColumnDef {
        name: described.name.clone(),
        data_type,
    })
}

fn compile(table: &str, text: &str, columns: &[ColumnDef]) -> Result<Key, Exception> {
    Key::compile(text, columns).map_err(|error| {
        let message = format!("The sharding key of {table}, {text}, cannot be used: {error}");
        Exception {
            code: i32::from(error.code()),
            ..Exception::try_again(code::BAD_ARGUMENTS, 30, message)
        }
    })
}

/// Where schemas outlive a restart.
#[derive(Debug, Clone)]
pub struct SchemaFiles {
    directory: PathBuf,
}

impl SchemaFiles {
    /// Schemas below a spool's `meta/`.
    pub fn below(spool: &Path) -> Self {
        Self {
            directory: spool.join("meta").join("schema"),
        }
    }

    /// What was last kept of a target on a cluster.
    pub fn read(&self, cluster: &str, target: &str) -> Option<(Vec<DescribedColumn>, String)> {
        let text = std::fs::read_to_string(self.file(cluster, target)).ok()?;
        TableSchema::parts_of_json(&text)
    }

    /// Keeps a schema: whole or not at all.
    pub fn write(&self, cluster: &str, target: &str, schema: &TableSchema) -> std::io::Result<()> {
        write_whole(&self.file(cluster, target), schema.to_json().as_bytes())
    }

    fn file(&self, cluster: &str, target: &str) -> PathBuf {
        let name = format!("{cluster}.{target}");
        let encoded = percent_encoding::utf8_percent_encode(&name, percent_encoding::NON_ALPHANUMERIC);
        self.directory.join(format!("{encoded}.json"))
    }
}

/// A schema in use: an INSERT under way goes on with the one it began with.
pub type SharedSchema = Arc<TableSchema>;

/// Writes a file whole or not at all: a temporary one beside it is synced and renamed.
pub fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)?;
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    std::fs::File::open(directory)?.sync_all()
}

// === asking replicas ===

/// Learns a table's schema: from the first replica that answers, else from what was kept on the disk.
pub async fn learn(app: &App, table: &RoutedTable) -> Result<SharedSchema, Exception> {
    let (described, time_zone) = match ask(table).await {
        Ok(asked) => asked,
        Err(error) => {
            let (cluster, target) = (&table.cluster.name, table.config.target.to_string());
            app.schema_files.read(cluster, &target).ok_or(error)?
        }
    };
    accept(app, table, described, time_zone)
}

/// Asks again and takes what is new. Trouble changes nothing: the schema in use stays in use.
pub async fn refresh(app: &App, table: &RoutedTable) {
    let Ok((described, time_zone)) = ask(table).await else {
        return;
    };
    if table
        .known_schema()
        .is_some_and(|known| known.is_described_by(&described, &time_zone))
    {
        return;
    }
    match accept(app, table, described, time_zone) {
        Ok(_) => {
            tracing::info!(table = table.name, target = %table.config.target, "the table's columns are known")
        }
        Err(error) => tracing::error!(table = table.name, %error, "the table's new columns cannot be used"),
    }
}

/// Learns every table's schema at the start and keeps those in use fresh.
pub async fn keep_fresh(app: Arc<App>, mut stop: Stop) {
    loop {
        for table in app.routing().tables() {
            refresh(&app, table).await;
        }
        tokio::select! {
            () = stop.requested() => return,
            () = tokio::time::sleep(REVALIDATE_EVERY) => {}
        }
    }
}

fn accept(
    app: &App,
    table: &RoutedTable,
    described: Vec<DescribedColumn>,
    time_zone: String,
) -> Result<SharedSchema, Exception> {
    let needs_key = table.lanes.len() > 1;
    let key = table.config.sharding_key.as_deref().filter(|_| needs_key);
    let schema = Arc::new(TableSchema::new(&table.name, described, time_zone, key)?);
    let target = table.config.target.to_string();
    if let Err(error) = app.schema_files.write(&table.cluster.name, &target, &schema) {
        tracing::warn!(table = table.name, %error, "the table's columns could not be kept for the next start");
    }
    table.set_schema(schema.clone());
    Ok(schema)
}

/// DESCRIBE TABLE on the cluster's replicas, those that are up first, until one knows the target.
async fn ask(table: &RoutedTable) -> Result<(Vec<DescribedColumn>, String), Exception> {
    let target = &table.config.target;
    let mut last_error = "it has no replica".to_owned();
    for replica in table.cluster.read_order().into_iter().take(REPLICAS_ASKED_MAX) {
        match ask_replica(&replica, target).await {
            Ok(answer) => return Ok(answer),
            Err(error) => last_error = error.to_string(),
        }
    }
    Err(Exception::try_again(
        code::ALL_CONNECTION_TRIES_FAILED,
        5,
        format!(
            "The columns of {target}, which {} stands for, are not known yet and no replica of cluster {} tells them: {last_error}",
            table.name, table.cluster.name
        ),
    ))
}

async fn ask_replica(
    replica: &ReplicaRuntime,
    target: &config::TableName,
) -> Result<(Vec<DescribedColumn>, String), ShardError> {
    let facts = replica.facts().await;
    replica.observed(&facts);
    let time_zone = facts?.timezone;
    let described = replica
        .client()
        .describe(replica.database(&target.database), &target.table)
        .await;
    replica.observed(&described);
    Ok((described?, time_zone))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(name: &str, type_name: &str, kind: &str, expression: &str) -> DescribedColumn {
        DescribedColumn {
            name: name.into(),
            type_name: type_name.into(),
            default_kind: DefaultKind::read(kind).unwrap(),
            default_expression: expression.into(),
        }
    }

    fn schema() -> TableSchema {
        let columns = vec![
            described("k", "UInt64", "", ""),
            described("d", "Date", "DEFAULT", "today()"),
            described("m", "UInt64", "MATERIALIZED", "k + 1"),
        ];
        TableSchema::new("default.t", columns, "UTC".into(), Some("cityHash64(k)")).unwrap()
    }

    #[test]
    fn columns_that_are_computed_cannot_be_inserted_and_unknown_ones_are_named() {
        let schema = schema();
        assert!(schema.check_insertable("d").is_ok());
        assert_eq!(schema.check_insertable("m").unwrap_err().code, 44);
        let unknown = schema.check_insertable("x").unwrap_err();
        assert_eq!(unknown.code, code::NO_SUCH_COLUMN_IN_TABLE);
        assert!(unknown.message.contains("k, d"), "{unknown}");
    }

    #[test]
    fn a_schema_outlives_a_restart_in_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let files = SchemaFiles::below(directory.path());
        assert!(files.read("main", "db.t/../x").is_none());
        files.write("main", "db.t/../x", &schema()).unwrap();
        let (columns, time_zone) = files.read("main", "db.t/../x").unwrap();
        assert!(schema().is_described_by(&columns, &time_zone));
    }

    #[test]
    fn a_key_that_does_not_fit_the_table_names_both() {
        let columns = vec![described("s", "String", "", "")];
        let error = TableSchema::new("default.t", columns, "UTC".into(), Some("s")).unwrap_err();
        assert!(
            error.message.contains("default.t") && error.message.contains("String"),
            "{error}"
        );
    }
}
