//! What tables there are, in SQLite and in memory. Memory changes after SQLite has committed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rusqlite::{Connection, params};
use types::{ColumnDef, DataType};

use crate::error::{Outcome, code};
use crate::query::Session;
use crate::statement::{CreateTable, DefaultClause, TableName};

/// How many tokens a table remembers unless its engine's settings say otherwise (ClickHouse 18.16's window of
/// blocks).
const DEDUPLICATION_WINDOW: u64 = 100;
/// SQLite's own limit is 2000 columns a table.
const COLUMNS_MAX: usize = 1_000;

/// One table.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// Names its rows' table in SQLite, see [`Table::rows`].
    pub id: i64,
    pub database: String,
    pub name: String,
    /// In the table's order; numbers of columns are places in here.
    pub columns: Vec<ColumnDef>,
    /// A clause for each column that has one.
    pub defaults: Vec<Option<DefaultClause>>,
    pub comments: Vec<String>,
    pub engine: String,
    /// Tokens remembered; 0 switches deduplication off.
    pub window: u64,
}

impl Table {
    /// The SQLite table of its rows. Its columns are c0, c1, …: SQLite's names know no case, ClickHouse's do.
    pub fn rows(&self) -> String {
        format!("rows_{}", self.id)
    }

    /// The columns of `*` and of an INSERT without a column list: all but MATERIALIZED ones.
    pub fn visible(&self) -> Vec<usize> {
        (0..self.columns.len())
            .filter(|at| !self.is_materialized(*at))
            .collect()
    }

    pub fn is_materialized(&self, column: usize) -> bool {
        self.defaults[column]
            .as_ref()
            .is_some_and(|default| default.materialized)
    }

    pub fn position(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|known| known.name == column)
    }

    pub fn full_name(&self) -> String {
        format!("{}.{}", self.database, self.name)
    }
}

/// All databases and tables.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    databases: BTreeSet<String>,
    /// By database and name.
    tables: BTreeMap<(String, String), Arc<Table>>,
}

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS databases (name TEXT PRIMARY KEY) STRICT;
    INSERT OR IGNORE INTO databases VALUES ('default');
    CREATE TABLE IF NOT EXISTS tables (
        id INTEGER PRIMARY KEY AUTOINCREMENT, database TEXT NOT NULL, name TEXT NOT NULL, engine TEXT NOT NULL,
        token_window INTEGER NOT NULL, UNIQUE (database, name)) STRICT;
    CREATE TABLE IF NOT EXISTS columns (
        table_id INTEGER NOT NULL, position INTEGER NOT NULL, name TEXT NOT NULL, type TEXT NOT NULL,
        default_kind TEXT, default_expression TEXT, comment TEXT NOT NULL, PRIMARY KEY (table_id, position)) STRICT;
    CREATE TABLE IF NOT EXISTS tokens (
        id INTEGER PRIMARY KEY AUTOINCREMENT, table_id INTEGER NOT NULL, token TEXT NOT NULL,
        UNIQUE (table_id, token)) STRICT;
    CREATE TABLE IF NOT EXISTS server (uuid TEXT NOT NULL) STRICT;
";

impl Catalog {
    /// Reads what the store has, making its tables where it is new.
    pub fn load(connection: &Connection) -> Outcome<Self> {
        connection.execute_batch(SCHEMA)?;
        let mut catalog = Self::default();
        let mut databases = connection.prepare("SELECT name FROM databases")?;
        for name in databases.query_map([], |row| row.get(0))? {
            catalog.databases.insert(name?);
        }
        let mut tables = connection.prepare("SELECT id, database, name, engine, token_window FROM tables")?;
        let rows = tables.query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        })?;
        for row in rows {
            let (id, database, name, engine, window): (_, _, _, _, i64) = row?;
            let window = window.unsigned_abs();
            let mut table = Table {
                id,
                database,
                name,
                engine,
                window,
                columns: Vec::new(),
                defaults: Vec::new(),
                comments: Vec::new(),
            };
            load_columns(connection, &mut table)?;
            catalog.insert(table);
        }
        Ok(catalog)
    }

    /// Finds a table, or says what is missing: the database (81) or the table (60).
    pub fn table(&self, name: &TableName, session: &Session) -> Outcome<Arc<Table>> {
        let (database, table) = self.resolve(name, session)?;
        let found = self.tables.get(&(database.clone(), table.clone()));
        found
            .cloned()
            .ok_or_else(|| code::UNKNOWN_TABLE.error(format_args!("table {database}.{table} does not exist")))
    }

    pub fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.tables.values()
    }

    pub fn databases(&self) -> impl Iterator<Item = &str> {
        self.databases.iter().map(String::as_str)
    }

    pub fn has_database(&self, name: &str) -> bool {
        self.databases.contains(name)
    }

    pub fn create_database(
        &mut self,
        connection: &Connection,
        name: &str,
        if_not_exists: bool,
    ) -> Outcome<()> {
        if self.databases.contains(name) || name == "system" {
            return match if_not_exists {
                true => Ok(()),
                false => code::DATABASE_ALREADY_EXISTS.refuse(format_args!("database {name} already exists")),
            };
        }
        connection.execute("INSERT INTO databases VALUES (?1)", [name])?;
        self.databases.insert(name.to_owned());
        Ok(())
    }

    pub fn create_table(
        &mut self,
        connection: &mut Connection,
        create: CreateTable,
        session: &Session,
    ) -> Outcome<()> {
        let key = self.resolve(&create.table, session)?;
        if self.tables.contains_key(&key) {
            return match create.if_not_exists {
                true => Ok(()),
                false => code::TABLE_ALREADY_EXISTS
                    .refuse(format_args!("table {}.{} already exists", key.0, key.1)),
            };
        }
        check_columns(&create)?;
        let transaction = connection.transaction()?;
        let table = store_table(&transaction, key, create)?;
        transaction.commit()?;
        self.insert(table);
        Ok(())
    }

    pub fn drop_table(&mut self, connection: &mut Connection, table: &Table) -> Outcome<()> {
        let transaction = connection.transaction()?;
        transaction.execute_batch(&format!("DROP TABLE {}", table.rows()))?;
        for sql in [
            "DELETE FROM tokens WHERE table_id = ?1",
            "DELETE FROM columns WHERE table_id = ?1",
            "DELETE FROM tables WHERE id = ?1",
        ] {
            transaction.execute(sql, [table.id])?;
        }
        transaction.commit()?;
        self.tables.remove(&(table.database.clone(), table.name.clone()));
        Ok(())
    }

    fn insert(&mut self, table: Table) {
        self.tables
            .insert((table.database.clone(), table.name.clone()), Arc::new(table));
    }

    fn resolve(&self, name: &TableName, session: &Session) -> Outcome<(String, String)> {
        let database = name.database.as_ref().unwrap_or(&session.database);
        if !self.has_database(database) && database != "system" {
            return code::UNKNOWN_DATABASE.refuse(format_args!("database {database} does not exist"));
        }
        Ok((database.clone(), name.table.clone()))
    }
}

fn check_columns(create: &CreateTable) -> Outcome<()> {
    if create.columns.len() > COLUMNS_MAX {
        return code::NOT_IMPLEMENTED.refuse(format_args!(
            "the embedded shard keeps at most {COLUMNS_MAX} columns a table"
        ));
    }
    if create.table.database.as_deref() == Some("system") {
        return code::ACCESS_DENIED.refuse("the database system cannot be changed");
    }
    let mut names = BTreeSet::new();
    match create.columns.iter().find(|column| !names.insert(&column.name)) {
        Some(column) => {
            code::DUPLICATE_COLUMN.refuse(format_args!("column {} is declared twice", column.name))
        }
        None => Ok(()),
    }
}

fn store_table(
    connection: &Connection,
    (database, name): (String, String),
    create: CreateTable,
) -> Outcome<Table> {
    let window = create
        .deduplication_window
        .unwrap_or(DEDUPLICATION_WINDOW)
        .min(i64::MAX as u64);
    connection.execute(
        "INSERT INTO tables (database, name, engine, token_window) VALUES (?1, ?2, ?3, ?4)",
        params![database, name, create.engine, window as i64],
    )?;
    let id = connection.last_insert_rowid();
    for (position, column) in create.columns.iter().enumerate() {
        let kind = column.default.as_ref().map(|default| {
            if default.materialized {
                "MATERIALIZED"
            } else {
                "DEFAULT"
            }
        });
        let expression = column.default.as_ref().map(|default| &default.expression);
        connection.execute(
            "INSERT INTO columns VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                id,
                position as i64,
                column.name,
                column.data_type.to_string(),
                kind,
                expression,
                column.comment
            ],
        )?;
    }
    let (defaults, comments) = create
        .columns
        .iter()
        .map(|c| (c.default.clone(), c.comment.clone()))
        .unzip();
    let columns = create.columns.into_iter().map(|c| ColumnDef {
        name: c.name,
        data_type: c.data_type,
    });
    let table = Table {
        id,
        database,
        name,
        columns: columns.collect(),
        defaults,
        comments,
        engine: create.engine,
        window,
    };
    connection.execute_batch(&format!(
        "CREATE TABLE {} ({})",
        table.rows(),
        cells(table.columns.len())
    ))?;
    Ok(table)
}

/// `c0, c1, …`
fn cells(count: usize) -> String {
    (0..count)
        .map(|at| format!("c{at}"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn load_columns(connection: &Connection, table: &mut Table) -> Outcome<()> {
    let mut columns = connection.prepare_cached(
        "SELECT name, type, default_kind, default_expression, comment FROM columns WHERE table_id = ?1 ORDER BY position",
    )?;
    let rows = columns.query_map([table.id], |row| {
        Ok((
            row.get(0)?,
            row.get::<_, String>(1)?,
            row.get::<_, Option<String>>(2)?,
            row.get::<_, Option<String>>(3)?,
            row.get(4)?,
        ))
    })?;
    for row in rows {
        let (name, data_type, kind, expression, comment) = row?;
        let data_type = DataType::parse(&data_type).map_err(|error| {
            code::INCORRECT_DATA.error(format_args!("the embedded shard's store is damaged: {error}"))
        })?;
        table.columns.push(ColumnDef { name, data_type });
        let materialized = kind.as_deref() == Some("MATERIALIZED");
        table.defaults.push(expression.map(|expression| DefaultClause {
            materialized,
            expression,
        }));
        table.comments.push(comment);
    }
    Ok(())
}
