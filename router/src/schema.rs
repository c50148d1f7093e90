//! What a routed table's target looks like on the shards: columns, defaults, time zone, and the sharding key
//! compiled against them.
//!
//! Asked of a replica once, kept in memory and in `meta/schema/`, so that Weir starts and accepts INSERTs
//! while every shard is down.
//! Asked again every [`REVALIDATE_EVERY`], and at once when a shard's answer says that the table changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use shard_client::{DefaultKind, DescribedColumn, Facts, Replica, ShardError};
use sharding::Key;
use types::{ColumnDef, DataType};

use crate::app::App;
use crate::exception::{Exception, code};
use crate::insert::defaults::Defaults;
use crate::replica::ReplicaRuntime;
use crate::routing::RoutedTable;
use crate::tasks::Stop;

/// How often a table in use is described anew: a changed column is known soon after, at the price of one
/// small query.
pub const REVALIDATE_EVERY: Duration = Duration::from_secs(5);

/// A replica that hangs is given up after this long: the next one, or what was kept on the disk, is as good.
const ASK_TIMEOUT: Duration = Duration::from_secs(3);

/// Replicas asked for a table's columns before it counts as unknown for now: with every shard down each costs
/// a timeout.
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
    /// The server's own values of settings that decide how a client's rows are read ([`SERVER_DEFAULTS`]).
    pub reading_defaults: Vec<(String, String)>,
    /// What rows without a value for a column get.
    pub defaults: Defaults,
    /// The table's sharding key, compiled; none where the table has none.
    pub key: Option<Key>,
    /// What works, but not as one would think: defaults that Weir cannot compute. Each names its column.
    pub warnings: Vec<String>,
    /// A hash of everything above that a replica told: another one after every change of the target.
    pub fingerprint: u128,
}

/// What a replica says of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// DESCRIBE TABLE.
    pub columns: Vec<DescribedColumn>,
    /// The server's time zone.
    pub time_zone: String,
    /// Names and values of [`SERVER_DEFAULTS`], as far as the server knows them.
    pub reading_defaults: Vec<(String, String)>,
}

/// Settings whose default differs between ClickHouse's versions and that decide whether rows are taken:
/// unknown JSON fields are skipped by 26.x and refused by 18.16. A client that says nothing gets what its
/// server would do.
pub const SERVER_DEFAULTS: &[&str] = &["input_format_skip_unknown_fields"];

impl TableSchema {
    /// Makes a schema of what a replica said; the key must compile against it.
    pub fn new(table: &str, description: Description, key: Option<&str>) -> Result<Self, Exception> {
        let Description {
            columns: described,
            time_zone,
            reading_defaults,
        } = description;
        let columns = described
            .iter()
            .map(|c| column(table, c))
            .collect::<Result<Vec<_>, _>>()?;
        let key = key
            .map(|text| compile(table, text, &columns, &time_zone))
            .transpose()?;
        let defaults = Defaults::new(table, &described, &columns, &time_zone);
        let mut warnings = match &key {
            Some(key) => defaults.check_key(key.columns())?,
            None => Vec::new(),
        };
        warnings.extend(defaults.left_to_shards());
        let insertable = described
            .iter()
            .zip(&columns)
            .filter(|(d, _)| d.default_kind.is_insertable())
            .map(|(_, c)| c.clone())
            .collect();
        let mut schema = Self {
            described,
            insertable,
            time_zone,
            reading_defaults,
            defaults,
            key,
            warnings,
            fingerprint: 0,
        };
        let (low, high) = types::city_hash_128(schema.to_json().as_bytes());
        schema.fingerprint = u128::from(high) << 64 | u128::from(low);
        Ok(schema)
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
    pub fn is_described_by(&self, description: &Description) -> bool {
        self.described == description.columns
            && self.time_zone == description.time_zone
            && self.reading_defaults == description.reading_defaults
    }

    /// As it is kept in `meta/schema/`.
    pub fn to_json(&self) -> String {
        let column =
            |c: &DescribedColumn| json!([c.name, c.type_name, c.default_kind.word(), c.default_expression]);
        let columns: Vec<_> = self.described.iter().map(column).collect();
        let defaults: Vec<_> = self
            .reading_defaults
            .iter()
            .map(|(name, value)| json!([name, value]))
            .collect();
        json!({"time_zone": self.time_zone, "columns": columns, "reading_defaults": defaults}).to_string()
    }
}

impl Description {
    /// Columns that no server told: in UTC, read strictly.
    pub fn of_columns(columns: Vec<DescribedColumn>) -> Self {
        Self {
            columns,
            time_zone: "UTC".to_owned(),
            reading_defaults: Vec::new(),
        }
    }

    /// Reads what [`TableSchema::to_json`] wrote; none if it is something else.
    pub fn of_json(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let array = |key: &str| value.get(key)?.as_array();
        let pair = |value: &Value| Some((text_at(value, 0)?, text_at(value, 1)?));
        Some(Self {
            time_zone: value.get("time_zone")?.as_str()?.to_owned(),
            columns: array("columns")?
                .iter()
                .map(column_of_json)
                .collect::<Option<_>>()?,
            reading_defaults: array("reading_defaults")?
                .iter()
                .map(pair)
                .collect::<Option<_>>()?,
        })
    }
}

fn text_at(value: &Value, at: usize) -> Option<String> {
    Some(value.get(at)?.as_str()?.to_owned())
}

fn column_of_json(value: &Value) -> Option<DescribedColumn> {
    let field = |at: usize| text_at(value, at);
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

fn compile(table: &str, text: &str, columns: &[ColumnDef], zone: &str) -> Result<Key, Exception> {
    Key::compile_in_zone(text, columns, zone).map_err(|error| {
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
    pub fn read(&self, cluster: &str, target: &str) -> Option<Description> {
        let text = std::fs::read_to_string(self.file(cluster, target)).ok()?;
        Description::of_json(&text)
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

/// A file of JSON below `meta/` is larger only by damage: 50,000 discovered tables make 10 MB, a replica's facts 10 kB.
const JSON_BYTES_MAX: u64 = 64 << 20;

/// Reads a file of JSON; an error says what is wrong with it.
pub fn read_json(path: &Path) -> Result<Value, String> {
    let bytes = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if bytes > JSON_BYTES_MAX {
        return Err(format!("it has {bytes} bytes"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    serde_json::from_str(&text).map_err(|error| error.to_string())
}

/// The same of a file that need not be there.
pub fn read_json_if_there(path: &Path) -> Result<Option<Value>, String> {
    match path.try_exists() {
        Ok(true) => read_json(path).map(Some),
        Ok(false) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

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
    let description = match ask(table).await {
        Ok(asked) => asked,
        Err(error) => {
            let (cluster, target) = (&table.cluster.name, table.config.target.to_string());
            app.schema_files.read(cluster, &target).ok_or(error)?
        }
    };
    accept(app, table, description).await
}

/// Asks again and takes what is new. Trouble changes nothing: the schema in use stays in use.
pub async fn refresh(app: &App, table: &RoutedTable) {
    let Ok(description) = ask(table).await else {
        return;
    };
    if table
        .known_schema()
        .is_some_and(|known| known.is_described_by(&description))
    {
        return;
    }
    match accept(app, table, description).await {
        Ok(_) => {
            app.answers.table_changed(&table.config.name);
            tracing::info!(table = table.name, target = %table.config.target, "the table's columns are known");
        }
        Err(error) => {
            if table.is_new_trouble(&error.message) {
                tracing::error!(table = table.name, %error, "the table takes no INSERTs as it stands: correct its sharding_key and reload");
            }
        }
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

async fn accept(app: &App, table: &RoutedTable, description: Description) -> Result<SharedSchema, Exception> {
    let needs_key = table.lanes.len() > 1;
    let key = table.config.sharding_key.as_deref().filter(|_| needs_key);
    let schema = Arc::new(TableSchema::new(&table.name, description, key)?);
    tell_warnings(table, &schema);
    table.set_schema(schema.clone());
    let (files, kept) = (app.schema_files.clone(), schema.clone());
    let (cluster, target) = (table.cluster.name.clone(), table.config.target.to_string());
    let written = tokio::task::spawn_blocking(move || files.write(&cluster, &target, &kept)).await;
    if let Err(error) = written.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
        tracing::warn!(table = table.name, %error, "the table's columns could not be kept for the next start");
    }
    Ok(schema)
}

/// Once for each change of a table.
fn tell_warnings(table: &RoutedTable, schema: &TableSchema) {
    let known = table.known_schema();
    if known.is_some_and(|known| known.warnings == schema.warnings) {
        return;
    }
    for warning in &schema.warnings {
        tracing::warn!(table = table.name, "{warning}");
    }
}

/// DESCRIBE TABLE on the cluster's replicas, those that are up first, until one knows the target.
async fn ask(table: &RoutedTable) -> Result<Description, Exception> {
    let target = &table.config.target;
    let mut last_error = "it has no replica".to_owned();
    for replica in table.cluster.read_order().into_iter().take(REPLICAS_ASKED_MAX) {
        match tokio::time::timeout(ASK_TIMEOUT, ask_replica(&replica, target)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => last_error = error.to_string(),
            Err(_) => last_error = format!("{} did not answer in {ASK_TIMEOUT:?}", replica.address()),
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
) -> Result<Description, ShardError> {
    let facts = replica.facts().await;
    replica.observed(&facts);
    let described = describe(
        replica.client(),
        &*facts?,
        replica.database(&target.database),
        &target.table,
    )
    .await;
    replica.observed(&described);
    described
}

/// Asks one replica for a target.
pub async fn describe(
    client: &Replica,
    facts: &Facts,
    database: &str,
    table: &str,
) -> Result<Description, ShardError> {
    Ok(Description {
        columns: client.describe(database, table).await?,
        time_zone: facts.timezone.clone(),
        reading_defaults: server_defaults(client).await,
    })
}

/// A server that does not tell them is taken to read strictly, as Weir does.
async fn server_defaults(client: &Replica) -> Vec<(String, String)> {
    let names: Vec<_> = SERVER_DEFAULTS.iter().map(|name| format!("'{name}'")).collect();
    let sql = format!(
        "SELECT name, value FROM system.settings WHERE name IN ({}) ORDER BY name FORMAT TabSeparated",
        names.join(", ")
    );
    let Ok(answer) = client.query(&sql, &[]).await else {
        return Vec::new();
    };
    let lines = String::from_utf8_lossy(&answer).into_owned();
    lines
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(n, v)| (n.to_owned(), v.to_owned()))
        .collect()
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
        TableSchema::new("default.t", description(columns), Some("cityHash64(k)")).unwrap()
    }

    fn description(columns: Vec<DescribedColumn>) -> Description {
        let reading_defaults = vec![("input_format_skip_unknown_fields".into(), "1".into())];
        Description {
            columns,
            time_zone: "UTC".into(),
            reading_defaults,
        }
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
        let description = files.read("main", "db.t/../x").unwrap();
        assert!(schema().is_described_by(&description));
    }

    #[test]
    fn a_key_that_does_not_fit_the_table_names_both() {
        let columns = vec![described("s", "String", "", "")];
        let error = TableSchema::new("default.t", description(columns), Some("s")).unwrap_err();
        assert!(
            error.message.contains("default.t") && error.message.contains("String"),
            "{error}"
        );
    }
}
