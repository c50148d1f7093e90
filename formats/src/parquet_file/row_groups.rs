//! A Parquet file's rows, row group by row group, in batches whose memory is bounded.
//!
//! A batch has as many rows as make [`BATCH_BYTES`] on the average of their row group. A few bytes may stand for long values,
//! by a dictionary or by repeated levels; so it has also no more rows than `max_row_bytes` would hold if each had the longest
//! values of the dictionaries.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, RowGroups};
use parquet::arrow::{FieldLevels, ProjectionMask, parquet_to_arrow_field_levels};
use parquet::column::page::{PageIterator, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::ChunkReader;

use super::pages::{LimitedFile, Pages};

/// What a batch of rows aims at.
const BATCH_BYTES: usize = 4 << 20;

/// How many rows a batch has at most.
const BATCH_ROWS: usize = 65_536;

/// What a nested value takes beside its bytes: two levels of two bytes.
const LEVEL_BYTES: usize = 4;

/// The chosen columns of a file's rows.
pub(super) struct Groups<T: ChunkReader> {
    file: Arc<LimitedFile<T>>,
    metadata: Arc<ParquetMetaData>,
    mask: ProjectionMask,
    fields: FieldLevels,
    levels: Arc<AtomicU64>,
    /// The next row group.
    next: usize,
    /// The batches that are left of the one before.
    batches: Option<ParquetRecordBatchReader>,
}

impl<T: ChunkReader + 'static> Groups<T> {
    /// `value_bytes_max` limits pages and what a batch's rows may come to.
    pub(super) fn new(
        file: T,
        metadata: Arc<ParquetMetaData>,
        mask: ProjectionMask,
        value_bytes_max: usize,
    ) -> Result<Self> {
        let schema = metadata.file_metadata().schema_descr();
        let fields = parquet_to_arrow_field_levels(schema, mask.clone(), None)?;
        Ok(Self {
            file: Arc::new(LimitedFile::new(file, value_bytes_max)),
            metadata,
            mask,
            fields,
            levels: Arc::default(),
            next: 0,
            batches: None,
        })
    }

    /// Opens the next row group, unless there is none.
    fn open_next(&mut self) -> Result<bool> {
        let Some(group) = self.metadata.row_groups().get(self.next) else {
            return Ok(false);
        };
        let rows = usize::try_from(group.num_rows()).unwrap_or(0).max(1);
        let mut columns = HashMap::new();
        let (mut bytes, mut row_bytes_max) = (0_usize, 0_usize);
        for (place, column) in group.columns().iter().enumerate() {
            if !self.mask.leaf_included(place) {
                continue;
            }
            let pages = Pages::open(&self.file, column, rows, &self.levels)?;
            bytes = bytes.saturating_add(usize::try_from(column.uncompressed_size()).unwrap_or(0));
            let values = values_in_row(column, rows);
            let value_bytes = pages.value_bytes_max() + LEVEL_BYTES;
            row_bytes_max = row_bytes_max.saturating_add(value_bytes.saturating_mul(values));
            columns.insert(place, pages);
        }
        let most =
            (BATCH_BYTES / (bytes / rows).max(1)).min(self.file.page_bytes_max() / row_bytes_max.max(1));
        let group = Group {
            metadata: Arc::clone(&self.metadata),
            index: self.next,
            columns: Mutex::new(columns),
        };
        let most = most.clamp(1, BATCH_ROWS);
        self.batches = Some(ParquetRecordBatchReader::try_new_with_row_groups(
            &self.fields,
            &group,
            most,
            None,
        )?);
        self.next += 1;
        Ok(true)
    }
}

/// How many values of the column a row has, on the average and rounded up.
fn values_in_row(column: &ColumnChunkMetaData, rows: usize) -> usize {
    usize::try_from(column.num_values())
        .unwrap_or(0)
        .div_ceil(rows)
        .max(1)
}

impl<T: ChunkReader + 'static> Iterator for Groups<T> {
    type Item = std::result::Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.levels.store(0, Ordering::Relaxed);
            if let Some(batch) = self.batches.as_mut().and_then(Iterator::next) {
                return Some(batch);
            }
            match self.open_next() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error.into())),
            }
        }
    }
}

/// One row group, its columns opened.
struct Group<T: ChunkReader> {
    metadata: Arc<ParquetMetaData>,
    index: usize,
    columns: Mutex<HashMap<usize, Pages<T>>>,
}

impl<T: ChunkReader + 'static> RowGroups for Group<T> {
    fn num_rows(&self) -> usize {
        let rows = self.metadata.row_group(self.index).num_rows();
        usize::try_from(rows).unwrap_or(0)
    }

    fn column_chunks(&self, place: usize) -> Result<Box<dyn PageIterator>> {
        let mut columns = self.columns.lock().unwrap_or_else(PoisonError::into_inner);
        let pages = columns.remove(&place);
        let pages =
            pages.ok_or_else(|| ParquetError::General(format!("column {place} is not to be read")))?;
        Ok(Box::new(OneChunk(Some(pages))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::once(self.metadata.row_group(self.index)))
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }
}

/// A column's only chunk in its row group.
struct OneChunk<T: ChunkReader>(Option<Pages<T>>);

impl<T: ChunkReader + 'static> Iterator for OneChunk<T> {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0
            .take()
            .map(|pages| Ok(Box::new(pages) as Box<dyn PageReader>))
    }
}

impl<T: ChunkReader + 'static> PageIterator for OneChunk<T> {}
