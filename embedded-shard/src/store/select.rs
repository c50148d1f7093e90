//! SELECT: the rows come from SQLite or from a system table, all else is computed by `query`.

use types::ColumnDef;

use super::catalog::Table as StoredTable;
use super::cells::from_cell;
use super::{Store, Table, system};
use crate::error::Outcome;
use crate::query::{Plan, Run, Session};
use crate::statement::Select;
use crate::value::Value;

impl Store {
    pub(super) fn select(&self, select: &Select, session: &Session) -> Outcome<Table> {
        let Some(name) = &select.from else {
            return run(select, &[], &[], session, |push| push(&[]).map(|_| 1));
        };
        if let Some(table) = system::table(name, session, self) {
            let visible: Vec<_> = (0..table.columns.len()).collect();
            return run(select, &table.columns, &visible, session, |push| {
                push_all(&table.rows, push)
            });
        }
        let table = self.catalog.table(name, session)?;
        let plan = Plan::new(select, &table.columns, &table.visible(), session)?;
        let read = plan.columns_read();
        finish(&plan, |push| self.scan(&table, &read, push))
    }

    /// Pushes the table's rows in the order they were inserted; columns that are not read are NULL in them.
    fn scan(&self, table: &StoredTable, read: &[usize], push: &mut Push<'_>) -> Outcome<u64> {
        let cells = read
            .iter()
            .map(|at| format!("c{at}"))
            .chain(["1".to_owned()])
            .collect::<Vec<_>>()
            .join(", ");
        let mut statement = self
            .connection
            .prepare(&format!("SELECT {cells} FROM {} ORDER BY rowid", table.rows()))?;
        let mut rows = statement.query([])?;
        let mut row = vec![Value::Null; table.columns.len()];
        let mut count = 0;
        while let Some(stored) = rows.next()? {
            for (cell, at) in read.iter().enumerate() {
                row[*at] = from_cell(&table.columns[*at].data_type, stored.get_ref(cell)?)?;
            }
            count += 1;
            if !push(&row)? {
                break;
            }
        }
        Ok(count)
    }
}

/// Takes a row and says whether more are needed.
type Push<'p> = dyn FnMut(&[Value]) -> Outcome<bool> + 'p;

fn run(
    select: &Select,
    columns: &[ColumnDef],
    visible: &[usize],
    session: &Session,
    source: impl FnOnce(&mut Push<'_>) -> Outcome<u64>,
) -> Outcome<Table> {
    finish(&Plan::new(select, columns, visible, session)?, source)
}

/// Runs a plan over the rows a source pushes; the source says how many those were.
fn finish(plan: &Plan, source: impl FnOnce(&mut Push<'_>) -> Outcome<u64>) -> Outcome<Table> {
    let mut run = Run::new(plan);
    let read_rows = source(&mut |row| run.push(row))?;
    Ok(Table {
        columns: plan.columns.clone(),
        rows: run.finish()?,
        read_rows,
    })
}

fn push_all(rows: &[Vec<Value>], push: &mut Push<'_>) -> Outcome<u64> {
    for row in rows {
        if !push(row)? {
            break;
        }
    }
    Ok(rows.len() as u64)
}
