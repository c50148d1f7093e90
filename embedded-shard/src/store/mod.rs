//! The store: one SQLite connection that belongs to one thread, and what each statement does to it.

mod catalog;
mod cells;
mod insert;
mod select;
mod system;
mod worker;

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use types::{ColumnDef, DataType};

pub(crate) use worker::Worker;

use self::catalog::Catalog;
use crate::error::{Outcome, code};
use crate::query::Session;
use crate::settings::Settings;
use crate::statement::{Parsed, Statement, TableName};
use crate::value::Value;
use crate::write::{OutputFormat, write_rows};

/// The file in the data folder.
const FILE: &str = "shard.sqlite";
/// Counts changes of what the store's tables mean; a store of another number is refused.
const FORMAT_VERSION: i64 = 1;

/// The tables and their rows.
pub(crate) struct Store {
    connection: Connection,
    catalog: Catalog,
    server_uuid: String,
}

/// A statement with everything it needs.
pub(crate) struct Request {
    /// The whole text: the query, and an INSERT's data behind it.
    pub text: Vec<u8>,
    /// Who asks; `server_uuid` is filled in by the store.
    pub session: Session,
    /// Settings of the URL; those of the statement are added.
    pub settings: Settings,
    /// The answer's format unless the statement names one.
    pub default_format: Option<String>,
    /// A GET, which may only read.
    pub read_only: bool,
}

/// A statement's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub body: Vec<u8>,
    pub format: OutputFormat,
    pub summary: Summary,
}

/// The figures of `X-ClickHouse-Summary`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub read_rows: u64,
    pub written_rows: u64,
    /// Bytes of the data as they came, decompressed.
    pub written_bytes: u64,
    pub result_rows: u64,
}

/// A result before it is written as text.
struct Table {
    columns: Vec<ColumnDef>,
    rows: Vec<Vec<Value>>,
    read_rows: u64,
}

impl Store {
    /// Opens the store in a folder, which is made; without a folder, in memory.
    pub fn open(folder: Option<&Path>) -> Outcome<Self> {
        let connection = match folder {
            None => Connection::open_in_memory()?,
            Some(folder) => {
                std::fs::create_dir_all(folder).map_err(|error| {
                    code::CANNOT_WRITE.error(format_args!(
                        "cannot make the folder {}: {error}",
                        folder.display()
                    ))
                })?;
                Connection::open(folder.join(FILE))?
            }
        };
        // Another process that holds the store holds it for its life: waiting would not help.
        connection.busy_timeout(Duration::ZERO)?;
        // One process a store. A commit survives the process, `synchronous = NORMAL` does not promise power
        // loss.
        connection.execute_batch(
            "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;",
        )?;
        check_version(&connection)?;
        let catalog = Catalog::load(&connection)?;
        let server_uuid = server_uuid(&connection)?;
        Ok(Self {
            connection,
            catalog,
            server_uuid,
        })
    }

    /// Does one statement, wholly or not at all.
    pub fn execute(&mut self, mut request: Request) -> Outcome<Answer> {
        let parsed = crate::statement::parse(&request.text)?;
        request.session.server_uuid.clone_from(&self.server_uuid);
        for (name, value) in &parsed.settings {
            request.settings.set(name, value)?;
        }
        if request.read_only && !reads_only(&parsed.statement) {
            return code::READONLY
                .refuse("cannot execute this query in readonly mode, which GET implies: use POST");
        }
        let format = parsed.format.as_ref().or(request.default_format.as_ref());
        let format = format.map_or(Ok(OutputFormat::TabSeparated), |format| {
            OutputFormat::named(format)
        })?;
        match self.result(parsed, &request)? {
            Result::Written(summary) => Ok(Answer {
                body: Vec::new(),
                format,
                summary,
            }),
            Result::Rows(table) => {
                let body = write_rows(
                    format,
                    &table.columns,
                    &table.rows,
                    request.settings.quote_wide_integers,
                )?;
                let result_rows = table.rows.len() as u64;
                Ok(Answer {
                    body,
                    format,
                    summary: Summary {
                        read_rows: table.read_rows,
                        result_rows,
                        ..Summary::default()
                    },
                })
            }
        }
    }

    fn result(&mut self, parsed: Parsed, request: &Request) -> Outcome<Result> {
        let session = &request.session;
        match parsed.statement {
            Statement::Select(select) => self.select(&select, session).map(Result::Rows),
            Statement::Insert(insert) => {
                let data = &request.text[insert.data_at..];
                self.insert(&insert, data, &request.settings, session)
                    .map(Result::Written)
            }
            Statement::CreateDatabase { name, if_not_exists } => self
                .catalog
                .create_database(&self.connection, &name, if_not_exists)
                .map(Result::done),
            Statement::CreateTable(create) => self
                .catalog
                .create_table(&mut self.connection, create, session)
                .map(Result::done),
            Statement::DropTable { table, if_exists } => {
                self.drop_table(&table, if_exists, session).map(Result::done)
            }
            Statement::TruncateTable { table, if_exists } => {
                self.truncate(&table, if_exists, session).map(Result::done)
            }
            Statement::DescribeTable { table } => self.describe(&table, session).map(Result::Rows),
            Statement::ExistsTable { table } => self.exists(&table, session).map(Result::Rows),
            Statement::ShowTables { database } => {
                self.show_tables(database.as_ref(), session).map(Result::Rows)
            }
        }
    }

    fn drop_table(&mut self, name: &TableName, if_exists: bool, session: &Session) -> Outcome<()> {
        match self.catalog.table(name, session) {
            Err(error) if if_exists && is_missing(error.code) => Ok(()),
            table => self.catalog.drop_table(&mut self.connection, &*table?),
        }
    }

    /// Empties a table. Its tokens go too, as ClickHouse's do: a batch sent again restores its rows.
    fn truncate(&mut self, name: &TableName, if_exists: bool, session: &Session) -> Outcome<()> {
        let table = match self.catalog.table(name, session) {
            Err(error) if if_exists && is_missing(error.code) => return Ok(()),
            table => table?,
        };
        let transaction = self.connection.transaction()?;
        transaction.execute(&format!("DELETE FROM {}", table.rows()), [])?;
        transaction.execute("DELETE FROM tokens WHERE table_id = ?1", [table.id])?;
        Ok(transaction.commit()?)
    }

    /// The seven columns that ClickHouse answers since 20.x.
    fn describe(&self, name: &TableName, session: &Session) -> Outcome<Table> {
        let table = self.catalog.table(name, session)?;
        let names = [
            "name",
            "type",
            "default_type",
            "default_expression",
            "comment",
            "codec_expression",
            "ttl_expression",
        ];
        let row = |at: usize| {
            let default = table.defaults[at].as_ref();
            let kind = default.map_or("", |default| {
                if default.materialized {
                    "MATERIALIZED"
                } else {
                    "DEFAULT"
                }
            });
            let expression = default.map_or("", |default| default.expression.as_str());
            let data_type = table.columns[at].data_type.to_string();
            [
                table.columns[at].name.as_str(),
                &data_type,
                kind,
                expression,
                &table.comments[at],
                "",
                "",
            ]
            .map(text)
            .to_vec()
        };
        Ok(Table::of(&names, (0..table.columns.len()).map(row).collect()))
    }

    fn exists(&self, name: &TableName, session: &Session) -> Outcome<Table> {
        let exists = match self.catalog.table(name, session) {
            Ok(_) => true,
            Err(error) if is_missing(error.code) => system::table(name, session, self).is_some(),
            Err(error) => return Err(error),
        };
        let columns = vec![ColumnDef {
            name: "result".to_owned(),
            data_type: DataType::UInt8,
        }];
        Ok(Table {
            columns,
            rows: vec![vec![Value::Int(exists.into())]],
            read_rows: 1,
        })
    }

    fn show_tables(&self, database: Option<&String>, session: &Session) -> Outcome<Table> {
        let database = database.unwrap_or(&session.database);
        if !self.catalog.has_database(database) {
            return code::UNKNOWN_DATABASE.refuse(format_args!("database {database} does not exist"));
        }
        let tables = self.catalog.tables().filter(|table| table.database == *database);
        Ok(Table::of(
            &["name"],
            tables.map(|table| vec![text(&table.name)]).collect(),
        ))
    }
}

/// What a statement comes to.
enum Result {
    Rows(Table),
    Written(Summary),
}

impl Result {
    fn done((): ()) -> Self {
        Self::Written(Summary::default())
    }
}

impl Table {
    /// A result of strings.
    fn of(names: &[&str], rows: Vec<Vec<Value>>) -> Self {
        let column = |name: &&str| ColumnDef {
            name: (*name).to_owned(),
            data_type: DataType::String,
        };
        Self {
            columns: names.iter().map(column).collect(),
            read_rows: rows.len() as u64,
            rows,
        }
    }
}

fn text(text: &str) -> Value {
    Value::Bytes(text.as_bytes().to_vec())
}

fn reads_only(statement: &Statement) -> bool {
    match statement {
        Statement::Select(_)
        | Statement::DescribeTable { .. }
        | Statement::ExistsTable { .. }
        | Statement::ShowTables { .. } => true,
        Statement::Insert(_)
        | Statement::CreateDatabase { .. }
        | Statement::CreateTable(_)
        | Statement::DropTable { .. }
        | Statement::TruncateTable { .. } => false,
    }
}

fn is_missing(code: crate::error::Code) -> bool {
    code == code::UNKNOWN_TABLE || code == code::UNKNOWN_DATABASE
}

fn check_version(connection: &Connection) -> Outcome<()> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    match version {
        0 => Ok(connection.execute_batch(&format!("PRAGMA user_version = {FORMAT_VERSION}"))?),
        FORMAT_VERSION => Ok(()),
        other => code::INCORRECT_DATA.refuse(format_args!(
            "the store is of format {other}, this embedded shard reads format {FORMAT_VERSION}: use another data folder"
        )),
    }
}

/// Drawn when the store is new, so that a shard is known again after a restart.
fn server_uuid(connection: &Connection) -> Outcome<String> {
    let drawn = uuid::Uuid::new_v4().to_string();
    connection.execute(
        "INSERT INTO server SELECT ?1 WHERE NOT EXISTS (SELECT 1 FROM server)",
        [drawn],
    )?;
    Ok(connection.query_row("SELECT uuid FROM server", [], |row| row.get(0))?)
}
