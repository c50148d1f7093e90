//! Arrow's record batches as windows.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use types::{ColumnDef, DataType};

use super::arrow::{ConvertError, convert};
use super::key::ColumnKey;
use super::{Window, WindowColumn};
use crate::error::{FormatError, code};
use crate::stream::{Input, Rows, RowsBody, Spec};

/// How many rows a window has at most.
const WINDOW_ROWS: usize = 65_536;

/// How many bytes a window aims at; one may have twice as many.
const WINDOW_BYTES: usize = 4 << 20;

/// Hands a batch over in windows.
pub(crate) struct Batches {
    table: Vec<ColumnDef>,
    key: ColumnKey,
    /// The table's columns that the body has, and the place of each among the body's.
    columns: Vec<ColumnDef>,
    places: Vec<usize>,
    has_schema: bool,
    /// The batch at hand, without the rows that were handed over.
    batch: Option<RecordBatch>,
    window: Window,
    window_rows: usize,
    row_bytes_max: usize,
    rows: u64,
}

impl Batches {
    pub(crate) fn new(input: &Input<'_>, spec: &Spec<'_>) -> Result<Self, FormatError> {
        Ok(Self {
            table: input.columns.clone(),
            key: ColumnKey::new(spec)?,
            columns: Vec::new(),
            places: Vec::new(),
            has_schema: false,
            batch: None,
            window: Window::default(),
            window_rows: WINDOW_ROWS,
            row_bytes_max: spec.max_row_bytes,
            rows: 0,
        })
    }

    pub(crate) fn has_schema(&self) -> bool {
        self.has_schema
    }

    /// Learns which columns the body has. Those that the table does not have are left out, as ClickHouse does; answers
    /// the places of the others.
    pub(crate) fn take_schema(&mut self, schema: &Schema) -> Result<&[usize], FormatError> {
        self.has_schema = true;
        for (place, field) in schema.fields().iter().enumerate() {
            let name = field.name();
            if let Some(column) = self.table.iter().find(|column| column.name == *name) {
                if self.columns.contains(column) {
                    let message = format!("column {name} stands in the schema twice");
                    return Err(self.error(code::DUPLICATE_COLUMN, message));
                }
                self.columns.push(column.clone());
                self.places.push(place);
            } else if self
                .table
                .iter()
                .any(|column| column.name.starts_with(&format!("{name}.")))
            {
                let message = format!(
                    "column {name} would be taken apart into the table's columns {name}.…, which this router does not do"
                );
                return Err(self.error(code::NOT_IMPLEMENTED, message));
            }
        }
        if self.columns.is_empty() {
            let message = "the schema names no column of the table";
            return Err(self.error(code::INCORRECT_DATA, message.to_owned()));
        }
        Ok(&self.places)
    }

    /// Takes a batch whose columns are `places`' in the schema, or, with `projected`, are only those.
    pub(crate) fn put(&mut self, batch: RecordBatch, projected: bool) -> Result<(), FormatError> {
        let batch = if projected {
            batch
        } else {
            let picked = batch.project(&self.places);
            picked.map_err(|error| self.error(code::INCORRECT_DATA, error.to_string()))?
        };
        let row_bytes = batch.get_array_memory_size() / batch.num_rows().max(1);
        self.window_rows = (WINDOW_BYTES / row_bytes.max(1)).clamp(1, WINDOW_ROWS);
        self.batch = Some(batch);
        Ok(())
    }

    /// Makes the next window, unless the batch is at its end.
    pub(crate) fn next_window(&mut self) -> Result<bool, FormatError> {
        let Some(batch) = self.batch.take().filter(|batch| batch.num_rows() > 0) else {
            return Ok(false);
        };
        loop {
            let rows = batch.num_rows().min(self.window_rows);
            let mut allowance = if rows == 1 {
                self.row_bytes_max
            } else {
                2 * WINDOW_BYTES
            };
            let part = batch.slice(0, rows);
            // Arrow's code is sound for what it has validated; a panic that is left is a body it could not read.
            let loaded = catch_unwind(AssertUnwindSafe(|| self.load(&part, &mut allowance)));
            let loaded = loaded.map_err(|_| self.error(code::INCORRECT_DATA, PANICKED.to_owned()))?;
            match loaded {
                Ok(columns) => {
                    self.window = Window { rows, columns };
                    self.batch = Some(batch.slice(rows, batch.num_rows() - rows));
                    self.read_key()?;
                    self.rows += rows as u64;
                    return Ok(true);
                }
                Err((_, ConvertError::TooMuch)) if rows > 1 => self.window_rows = rows.div_ceil(2),
                Err((_, ConvertError::TooMuch)) => {
                    let message = format!("the row is longer than max_row_bytes = {}", self.row_bytes_max);
                    return Err(self.error(code::TOO_MANY_BYTES, message));
                }
                Err((name, ConvertError::Unknown(what))) => {
                    let message = format!("column {name}: {what} is not read by this router");
                    return Err(self.error(code::NOT_IMPLEMENTED, message));
                }
            }
        }
    }

    fn load(
        &self,
        part: &RecordBatch,
        allowance: &mut usize,
    ) -> Result<Vec<WindowColumn>, (String, ConvertError)> {
        let columns = self.columns.iter().zip(part.columns());
        let columns = columns.map(|(def, array)| {
            let converted = convert(array.as_ref(), Some(&def.data_type), allowance);
            let converted = converted.map_err(|error| (def.name.clone(), error))?;
            Ok(WindowColumn {
                name: def.name.clone(),
                type_name: converted.type_name,
                prefix: converted.prefix,
                values: converted.values,
            })
        });
        columns.collect()
    }

    fn read_key(&mut self) -> Result<(), FormatError> {
        let data_type = |column: &WindowColumn| {
            let parsed = DataType::parse(&column.type_name);
            parsed.unwrap_or_else(|_| DataType::Other(column.type_name.clone()))
        };
        let types = self
            .window
            .columns
            .iter()
            .map(|column| (column.name.clone(), data_type(column)));
        let types: Vec<_> = types.collect();
        self.key
            .prepare(&types)
            .map_err(|message| self.error(code::NOT_IMPLEMENTED, message))?;
        if let Err(fault) = self.key.read(&mut self.window) {
            self.rows += fault.row as u64;
            return Err(self.error(fault.code, fault.message));
        }
        Ok(())
    }

    pub(crate) fn rows(&self) -> Rows<'_> {
        Rows {
            count: self.window.rows,
            body: RowsBody::Block(&self.window),
            columns: &self.columns,
            key: self.key.columns(),
            absent: self.key.absent(),
        }
    }

    pub(crate) fn columns(&self) -> &[ColumnDef] {
        if self.has_schema {
            &self.columns
        } else {
            &self.table
        }
    }

    /// An error in the row behind those handed over.
    pub(crate) fn error(&self, code: i32, message: String) -> FormatError {
        FormatError {
            code,
            row: Some(self.rows + 1),
            offset: None,
            message,
            near: String::new(),
        }
    }
}

/// What is said when a crate that reads the file gave up without an error.
pub(crate) const PANICKED: &str = "the file cannot be read: its parts contradict each other";
