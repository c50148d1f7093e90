//! The few system tables that clients and Weir ask: settings, tables, columns, databases, macros, one.

use types::{ColumnDef, DataType};

use super::{Store, Table, text};
use crate::query::Session;
use crate::settings;
use crate::statement::TableName;
use crate::value::Value;

/// A system table by its name, with all its rows; `None` when there is none of that name.
pub(super) fn table(name: &TableName, session: &Session, store: &Store) -> Option<Table> {
    let database = name.database.as_deref().unwrap_or(&session.database);
    if database != "system" {
        return None;
    }
    Some(match name.table.as_str() {
        "one" => Table {
            columns: vec![ColumnDef {
                name: "dummy".to_owned(),
                data_type: DataType::UInt8,
            }],
            rows: vec![vec![Value::Int(0)]],
            read_rows: 1,
        },
        "settings" => {
            let row = |(name, default): &(&str, &str)| vec![text(name), text(default), text(default)];
            Table::of(
                &["name", "value", "default"],
                settings::known().map(row).collect(),
            )
        }
        "databases" => {
            let names = store.catalog.databases().chain(["system"]);
            Table::of(&["name"], names.map(|name| vec![text(name)]).collect())
        }
        "tables" => tables(store),
        "columns" => columns(store),
        "macros" => Table::of(&["macro", "substitution"], Vec::new()),
        _ => return None,
    })
}

fn tables(store: &Store) -> Table {
    let rows = store.catalog.tables().map(|table| {
        let engine: String = table
            .engine
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric())
            .collect();
        vec![
            text(&table.database),
            text(&table.name),
            text(&engine),
            text(&table.engine),
        ]
    });
    Table::of(&["database", "name", "engine", "engine_full"], rows.collect())
}

fn columns(store: &Store) -> Table {
    let mut rows = Vec::new();
    for table in store.catalog.tables() {
        for (at, column) in table.columns.iter().enumerate() {
            let default = table.defaults[at].as_ref();
            let kind = default.map_or("", |default| {
                if default.materialized {
                    "MATERIALIZED"
                } else {
                    "DEFAULT"
                }
            });
            rows.push(vec![
                text(&table.database),
                text(&table.name),
                text(&column.name),
                text(&column.data_type.to_string()),
                Value::Int(at as i128 + 1),
                text(kind),
                text(default.map_or("", |default| &default.expression)),
                text(&table.comments[at]),
            ]);
        }
    }
    let names = [
        "database",
        "table",
        "name",
        "type",
        "position",
        "default_kind",
        "default_expression",
        "comment",
    ];
    let mut table = Table::of(&names, rows);
    table.columns[4].data_type = DataType::UInt64;
    table
}
