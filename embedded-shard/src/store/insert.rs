//! INSERT: one transaction for all rows and the token. A row that cannot be read leaves nothing.

use rusqlite::{Connection, OptionalExtension, Statement, Transaction};
use types::ColumnDef;

use super::catalog::Table;
use super::cells::to_cell;
use super::{Store, Summary};
use crate::error::{Outcome, code};
use crate::query::{Bound, Session, bind_row_expression, cast, evaluate};
use crate::read::{Cell, InputFormat, Rows};
use crate::settings::Settings;
use crate::statement::{Insert, parse_expression};
use crate::value::{Value, default_of};

impl Store {
    /// Writes the data's rows. A token the table remembers makes it a success without rows; the data are read
    /// to their end all the same, so that a broken body is never answered with success.
    pub(super) fn insert(
        &mut self,
        insert: &Insert,
        data: &[u8],
        settings: &Settings,
        session: &Session,
    ) -> Outcome<Summary> {
        let table = self.catalog.table(&insert.table, session)?;
        let format = InputFormat::named(&insert.format)?;
        let given = given_columns(&table, insert.columns.as_deref())?;
        let columns: Vec<ColumnDef> = given.iter().map(|at| table.columns[*at].clone()).collect();
        let filler = Filler {
            table: &table,
            given: &given,
            defaults: Defaults::bind(&table, session),
        };

        let transaction = self.connection.transaction()?;
        let token = settings
            .deduplication_token
            .as_deref()
            .filter(|_| settings.deduplicate && table.window > 0);
        let duplicate = match token {
            Some(token) => is_known(&transaction, &table, token)?,
            None => false,
        };
        let mut writer = RowWriter::new(&transaction, &table, duplicate)?;
        let mut rows = Rows::new(format, &columns, data, settings.reading);
        let mut cells = Vec::new();
        while rows.next(&mut cells)? {
            writer.write(&filler.fill(&mut cells)?)?;
        }
        let written_rows = writer.rows;
        drop(writer);
        if let Some(token) = token.filter(|_| written_rows > 0) {
            remember(&transaction, &table, token)?;
        }
        transaction.commit()?;
        let written_bytes = if written_rows > 0 { data.len() as u64 } else { 0 };
        Ok(Summary {
            written_rows,
            written_bytes,
            ..Summary::default()
        })
    }
}

/// The numbers of the columns the data have, in the data's order.
fn given_columns(table: &Table, named: Option<&[String]>) -> Outcome<Vec<usize>> {
    let Some(named) = named else {
        return Ok(table.visible());
    };
    let mut given = Vec::with_capacity(named.len());
    for name in named {
        let Some(at) = table.position(name) else {
            let table = table.full_name();
            return code::NO_SUCH_COLUMN_IN_TABLE
                .refuse(format_args!("no such column {name} in table {table}"));
        };
        if table.is_materialized(at) {
            return code::ILLEGAL_COLUMN.refuse(format_args!(
                "cannot insert column {name}, because it is MATERIALIZED column"
            ));
        }
        if given.contains(&at) {
            return code::DUPLICATE_COLUMN.refuse(format_args!("column {name} is specified more than once"));
        }
        given.push(at);
    }
    Ok(given)
}

/// Each column's default, bound once an INSERT, so that `now()` is the same in all its rows. One that we
/// cannot compute is an error only when a row needs it.
struct Defaults(Vec<Option<Outcome<Bound>>>);

impl Defaults {
    fn bind(table: &Table, session: &Session) -> Self {
        let bind =
            |expression: &str| bind_row_expression(&parse_expression(expression)?, &table.columns, session);
        let clauses = table.defaults.iter();
        Self(
            clauses
                .map(|clause| clause.as_ref().map(|clause| bind(&clause.expression)))
                .collect(),
        )
    }
}

/// Makes whole rows of the table from the cells the data have.
struct Filler<'a> {
    table: &'a Table,
    given: &'a [usize],
    defaults: Defaults,
}

impl Filler<'_> {
    /// A value for every column of the table, in its order.
    fn fill(&self, cells: &mut Vec<Cell>) -> Outcome<Vec<Value>> {
        let mut row = vec![Value::Null; self.table.columns.len()];
        let mut known = vec![false; row.len()];
        for (at, cell) in self.given.iter().zip(cells.drain(..)) {
            if let Some(value) = cell {
                row[*at] = value;
                known[*at] = true;
            }
        }
        for at in 0..row.len() {
            if !known[at] {
                row[at] = self.default(at, &row, &known)?;
                known[at] = true;
            }
        }
        Ok(row)
    }

    fn default(&self, at: usize, row: &[Value], known: &[bool]) -> Outcome<Value> {
        let column = &self.table.columns[at];
        let of_column = |error: crate::error::Exception| {
            error.at(format_args!("in the DEFAULT of column {}", column.name))
        };
        let Some(default) = &self.defaults.0[at] else {
            return default_of(&column.data_type);
        };
        let default = default.as_ref().map_err(|error| of_column(error.clone()))?;
        let mut needed = Vec::new();
        default.columns(&mut needed);
        if let Some(late) = needed.iter().find(|needed| !known[**needed]) {
            let late = &self.table.columns[*late].name;
            return code::NOT_IMPLEMENTED.refuse(format_args!(
                "the embedded shard computes DEFAULT in the table's order: that of {} needs {late}, which comes later and was left out",
                column.name
            ));
        }
        let value = evaluate(default, row).map_err(of_column)?.into_owned();
        cast(&default.data_type, value, &column.data_type).map_err(of_column)
    }
}

/// Writes rows, or only counts none when they are a duplicate's.
struct RowWriter<'a> {
    table: &'a Table,
    /// `None`: the rows are known already.
    statement: Option<Statement<'a>>,
    /// Rows written.
    rows: u64,
}

impl<'a> RowWriter<'a> {
    fn new(connection: &'a Connection, table: &'a Table, duplicate: bool) -> Outcome<Self> {
        let places = vec!["?"; table.columns.len()].join(", ");
        let sql = format!("INSERT INTO {} VALUES ({places})", table.rows());
        let statement = if duplicate {
            None
        } else {
            Some(connection.prepare(&sql)?)
        };
        Ok(Self {
            table,
            statement,
            rows: 0,
        })
    }

    fn write(&mut self, row: &[Value]) -> Outcome<()> {
        let Some(statement) = &mut self.statement else {
            return Ok(());
        };
        for (at, (column, value)) in self.table.columns.iter().zip(row).enumerate() {
            statement.raw_bind_parameter(at + 1, to_cell(&column.data_type, value)?)?;
        }
        statement.raw_execute()?;
        self.rows += 1;
        Ok(())
    }
}

fn is_known(transaction: &Transaction<'_>, table: &Table, token: &str) -> Outcome<bool> {
    let sql = "SELECT 1 FROM tokens WHERE table_id = ?1 AND token = ?2";
    let found = transaction
        .query_row(sql, (table.id, token), |_| Ok(()))
        .optional()?;
    Ok(found.is_some())
}

/// Adds a token and forgets those beyond the window, the oldest first.
fn remember(transaction: &Transaction<'_>, table: &Table, token: &str) -> Outcome<()> {
    transaction.execute(
        "INSERT INTO tokens (table_id, token) VALUES (?1, ?2)",
        (table.id, token),
    )?;
    transaction.execute(
        "DELETE FROM tokens WHERE table_id = ?1 AND id <= \
         (SELECT id FROM tokens WHERE table_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
        (table.id, table.window as i64),
    )?;
    Ok(())
}
