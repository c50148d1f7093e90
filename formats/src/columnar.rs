//! Rows that lie column by column, whatever format they came in: the values of a window, the key's columns out
//! of them, and any of the rows as a Native block.

mod arrow;
mod batches;
mod cast;
mod encode;
mod key;
mod picks;
mod values;

use types::ColumnDef;

use crate::error::FormatError;
use crate::fill::Fill;
use crate::stream::{Block, Rows};

pub(crate) use batches::{Batches, PANICKED};
pub(crate) use key::ColumnKey;
pub(crate) use picks::Picks;
pub(crate) use values::{KEYS_IN_BLOCK, Texts, Values, put_varint};

/// What a format does that hands over windows of columns instead of single rows. It keeps what it needs of the
/// body itself, bounded.
pub(crate) trait Windows: Send {
    /// Takes bytes of the body, or makes the next window of those it has. `last` says that the body ends with
    /// `bytes`.
    ///
    /// Takes no byte and has no window only when it wants more bytes, or is done.
    fn step(&mut self, bytes: &[u8], last: bool) -> Result<Taken, FormatError>;

    /// The window of the last step.
    fn rows(&self) -> Rows<'_>;

    /// The columns that an INSERT of the rows must name; known from the first window on.
    fn columns(&self) -> &[ColumnDef];
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    /// How many bytes it is done with.
    pub bytes: usize,
    /// Whether there is a window to hand over.
    pub window: bool,
}

/// Some rows of all columns.
#[derive(Debug, Default)]
pub(crate) struct Window {
    pub rows: usize,
    pub columns: Vec<WindowColumn>,
}

/// A column as it is to be written.
#[derive(Debug)]
pub(crate) struct WindowColumn {
    pub name: String,
    /// The type's name, of the values as they are here; the shard casts them.
    pub type_name: String,
    /// What stands in front of the values: versions and structures, the same in every block.
    pub prefix: Vec<u8>,
    pub values: Values,
}

impl WindowColumn {
    fn of_fill(fill: &Fill<'_>) -> Self {
        let data_type = encode::written_type(&fill.column.data_type);
        Self {
            name: fill.column.name.clone(),
            type_name: data_type.to_string(),
            prefix: Vec::new(),
            values: encode::values_of(fill.values, &data_type),
        }
    }
}

impl Window {
    /// The columns without those that `fills` have.
    fn unfilled<'a>(&'a self, fills: &'a [Fill<'_>]) -> impl Iterator<Item = &'a WindowColumn> {
        let is_filled = |column: &WindowColumn| fills.iter().any(|fill| fill.column.name == column.name);
        self.columns.iter().filter(move |column| !is_filled(column))
    }
}

impl Block for Window {
    fn types(&self, fills: &[Fill<'_>]) -> Vec<(String, String)> {
        let own = self.unfilled(fills);
        let own = own.map(|column| (column.name.clone(), column.type_name.clone()));
        let filled = fills.iter().map(|fill| {
            let data_type = encode::written_type(&fill.column.data_type);
            (fill.column.name.clone(), data_type.to_string())
        });
        own.chain(filled).collect()
    }

    fn write(&self, rows: &[usize], fills: &[Fill<'_>], out: &mut Vec<u8>) {
        let filled: Vec<WindowColumn> = fills.iter().map(WindowColumn::of_fill).collect();
        let columns: Vec<&WindowColumn> = self.unfilled(fills).chain(&filled).collect();
        let picks = Picks::of_rows(rows);
        put_varint(columns.len() as u64, out);
        put_varint(rows.len() as u64, out);
        for column in columns {
            put_text(column.name.as_bytes(), out);
            put_text(column.type_name.as_bytes(), out);
            if !rows.is_empty() {
                out.extend_from_slice(&column.prefix);
                column.values.write(&picks, out);
            }
        }
    }
}

fn put_text(text: &[u8], out: &mut Vec<u8>) {
    put_varint(text.len() as u64, out);
    out.extend_from_slice(text);
}
