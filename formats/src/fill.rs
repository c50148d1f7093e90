//! Writes values into rows that have none of their own, so that a shard computes nothing that was computed here.

mod binary;
mod syntax;
mod text;

use std::ops::Range;

use types::{Bytes, Column, ColumnDef};

use self::syntax::Syntax;
use crate::error::{FormatError, code};
use crate::format::Payload;
use crate::settings::Settings;
use crate::stream::{Rows, RowsBody};

/// The values of one column for those of some rows that have none.
#[derive(Debug, Clone, Copy)]
pub struct Fill<'a> {
    /// Which list of [`Rows::absent`] says where they are missing.
    pub field: usize,
    /// The column.
    pub column: &'a ColumnDef,
    /// A value for each row at hand; those of other rows are not looked at.
    pub values: &'a Column,
    /// The same values as ClickHouse's `toString` writes them; anything at a NULL, and for a type with others inside.
    pub texts: &'a Bytes,
}

/// Fills rows; keeps the memory they are written to.
#[derive(Debug)]
pub struct Filler {
    syntax: Syntax,
    /// The columns of the rows as filled.
    columns: Vec<ColumnDef>,
    bytes: Vec<u8>,
    ranges: Vec<Range<usize>>,
    absent: Vec<Vec<crate::stream::Absent>>,
    edits: Vec<Edit>,
}

/// One value to be written into a row.
#[derive(Debug)]
struct Edit {
    row: usize,
    /// Which of the fills.
    fill: usize,
    /// What it replaces, in the rows' bytes; none for a field that is added.
    field: Option<Range<usize>>,
}

impl Filler {
    /// A filler for rows of this payload format, read by these settings.
    pub fn new(payload: Payload, settings: &Settings) -> Self {
        Self {
            syntax: Syntax::new(payload, settings),
            columns: Vec::new(),
            bytes: Vec::new(),
            ranges: Vec::new(),
            absent: Vec::new(),
            edits: Vec::new(),
        }
    }

    /// Refuses a column whose values cannot be written so that a shard reads them by the client's settings.
    pub fn check(&self, column: &ColumnDef) -> Result<(), FormatError> {
        if self.syntax.can_write(&column.data_type) {
            return Ok(());
        }
        Err(FormatError::plain(
            code::NOT_IMPLEMENTED,
            format!(
                "the value that column {} has by default needs quotes, which format_csv_allow_double_quotes = 0 forbids: send the \
                 column, or leave the setting out",
                column.name
            ),
        ))
    }

    /// The rows with the values of `fills`, but for a block, which is written with them ([`crate::Block::write`]); their columns are more than before where a row had no field at all.
    ///
    /// In a format without names a column is added to all rows or to none: a list of [`Rows::absent`] whose column is not
    /// among [`Rows::columns`] names every row.
    pub fn fill<'f>(&'f mut self, rows: &Rows<'f>, fills: &[Fill<'_>]) -> Rows<'f> {
        self.note_columns(rows.columns, fills);
        let RowsBody::Ranges { bytes, ranges } = rows.body else {
            return Rows {
                columns: &self.columns,
                ..*rows
            };
        };
        self.note_edits(rows, fills);
        self.write(bytes, ranges, fills);
        self.absent.clone_from(&rows.absent.to_vec());
        for fill in fills {
            self.absent[fill.field].clear();
        }
        Rows {
            body: RowsBody::Ranges {
                bytes: &self.bytes,
                ranges: &self.ranges,
            },
            columns: &self.columns,
            absent: &self.absent,
            ..*rows
        }
    }

    fn note_columns(&mut self, columns: &[ColumnDef], fills: &[Fill<'_>]) {
        self.columns.clear();
        self.columns.extend_from_slice(columns);
        for fill in fills {
            if !columns.iter().any(|column| column.name == fill.column.name) {
                self.columns.push(fill.column.clone());
            }
        }
    }

    /// All edits, row by row; in a row first those that replace, in their order, then those that add.
    fn note_edits(&mut self, rows: &Rows<'_>, fills: &[Fill<'_>]) {
        self.edits.clear();
        for (index, fill) in fills.iter().enumerate() {
            self.edits
                .extend(rows.absent[fill.field].iter().map(|absent| Edit {
                    row: absent.row,
                    fill: index,
                    field: absent.field.clone(),
                }));
        }
        let order = |edit: &Edit| {
            let place = edit.field.as_ref().map_or(usize::MAX, |field| field.start);
            (edit.row, place, edit.fill)
        };
        self.edits.sort_by_key(order);
    }

    fn write(&mut self, bytes: &[u8], ranges: &[Range<usize>], fills: &[Fill<'_>]) {
        self.bytes.clear();
        self.ranges.clear();
        let mut edits = self.edits.as_slice();
        for (row, range) in ranges.iter().enumerate() {
            let count = edits.iter().take_while(|edit| edit.row == row).count();
            let (of_row, rest) = edits.split_at(count);
            edits = rest;
            let start = self.bytes.len();
            let syntax = &self.syntax;
            let mut from = range.start;
            for edit in of_row {
                let fill = &fills[edit.fill];
                match &edit.field {
                    Some(field) => {
                        self.bytes.extend_from_slice(&bytes[from..field.start]);
                        syntax.value(fill, row, &mut self.bytes);
                        from = field.end;
                    }
                    None => {
                        self.bytes.extend_from_slice(&bytes[from..range.end]);
                        from = range.end;
                        syntax.add(fill, row, start, &mut self.bytes);
                    }
                }
            }
            self.bytes.extend_from_slice(&bytes[from..range.end]);
            syntax.close(start, &mut self.bytes);
            self.ranges.push(start..self.bytes.len());
        }
    }
}

#[cfg(test)]
mod tests;
