//! Parquet: a file that is read from its end, so it is read once it is whole.

mod pages;
mod row_groups;
#[cfg(test)]
mod tests;
mod thrift;

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::errors::ParquetError;
use parquet::file::reader::ChunkReader;
use types::ColumnDef;

use crate::columnar::{Batches, PANICKED, Taken, Windows};
use crate::error::{FormatError, code};
use crate::native::Store;
use crate::settings::Family;
use crate::stream::{Input, Rows, Spec};
use row_groups::Groups;

pub(crate) fn open(input: &Input<'_>, spec: &Spec<'_>) -> Result<Box<dyn Windows>, FormatError> {
    input.settings.allow(Family::Any)?;
    input.settings.allow(Family::Parquet)?;
    Ok(Box::new(Parquet {
        batches: Batches::new(input, spec)?,
        body: Body::Coming(Store::new(
            spec.scratch.map_or_else(std::env::temp_dir, Into::into),
        )),
        row_bytes_max: spec.max_row_bytes,
        len: 0,
    }))
}

struct Parquet {
    batches: Batches,
    body: Body,
    row_bytes_max: usize,
    len: u64,
}

enum Body {
    /// Its bytes so far.
    Coming(Store),
    /// The batches that are left of it.
    Whole(Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>),
    End,
}

impl Windows for Parquet {
    fn step(&mut self, bytes: &[u8], last: bool) -> Result<Taken, FormatError> {
        if let Body::Coming(store) = &mut self.body {
            let appended = store.append(bytes);
            self.len += bytes.len() as u64;
            appended.map_err(|error| self.scratch_error(&error))?;
            if !last {
                return Ok(Taken {
                    bytes: bytes.len(),
                    window: false,
                });
            }
            self.open_body()?;
        }
        loop {
            let window = self.batches.next_window();
            let window = window.map_err(|error| FormatError {
                offset: Some(self.len),
                ..error
            })?;
            if window || !self.next_batch()? {
                return Ok(Taken {
                    bytes: bytes.len(),
                    window,
                });
            }
        }
    }

    fn rows(&self) -> Rows<'_> {
        self.batches.rows()
    }

    fn columns(&self) -> &[ColumnDef] {
        self.batches.columns()
    }
}

/// The file's description: what stands before its own length and the file's last four bytes. Where those are not as they
/// should be, it is empty.
fn footer<T: ChunkReader>(file: &T) -> Result<Bytes, ParquetError> {
    const TAIL_BYTES: u64 = 8;
    let tail_at = file.len().saturating_sub(TAIL_BYTES);
    let tail = file.get_bytes(tail_at, (file.len() - tail_at) as usize)?;
    let length = tail.first_chunk().map_or(0, |length| u32::from_le_bytes(*length));
    match tail_at.checked_sub(length.into()) {
        Some(start) => file.get_bytes(start, length as usize),
        None => Ok(Bytes::new()),
    }
}

impl Parquet {
    fn open_body(&mut self) -> Result<(), FormatError> {
        let Body::Coming(store) = std::mem::replace(&mut self.body, Body::End) else {
            return Ok(());
        };
        if store.len() == 0 {
            return Ok(());
        }
        let parts = store.into_parts().map_err(|error| self.scratch_error(&error))?;
        let opened = catch_unwind(AssertUnwindSafe(|| match parts {
            Ok(file) => self.open_reader::<File>(file),
            Err(memory) => self.open_reader(Bytes::from(memory)),
        }));
        opened.map_err(|_| self.error(code::INCORRECT_DATA, PANICKED.to_owned()))?
    }

    fn open_reader<T: ChunkReader + 'static>(&mut self, reader: T) -> Result<(), FormatError> {
        let footer = footer(&reader).map_err(|error| self.unreadable(&error))?;
        if thrift::after_struct(&footer).is_err() {
            let message = "the Parquet file's footer cannot be read";
            return Err(self.error(code::INCORRECT_DATA, message.to_owned()));
        }
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let head = ArrowReaderMetadata::load(&reader, options).map_err(|error| self.unreadable(&error))?;
        let places = self.batches.take_schema(head.schema())?.to_vec();
        let mask = ProjectionMask::roots(head.parquet_schema(), places);
        let groups = Groups::new(reader, Arc::clone(head.metadata()), mask, self.row_bytes_max);
        let groups = groups.map_err(|error| self.unreadable(&error))?;
        self.body = Body::Whole(Box::new(groups));
        Ok(())
    }

    /// Gets the next batch, unless there is none.
    fn next_batch(&mut self) -> Result<bool, FormatError> {
        let Body::Whole(reader) = &mut self.body else {
            return Ok(false);
        };
        let next = catch_unwind(AssertUnwindSafe(|| reader.next()));
        let next = next.map_err(|_| self.error(code::INCORRECT_DATA, PANICKED.to_owned()))?;
        match next {
            None => {
                self.body = Body::End;
                Ok(false)
            }
            Some(Ok(batch)) => self.batches.put(batch, true).map(|()| true),
            Some(Err(error)) => Err(self.error(
                code::INCORRECT_DATA,
                format!("the Parquet file cannot be read: {error}"),
            )),
        }
    }

    fn unreadable(&self, error: &ParquetError) -> FormatError {
        self.error(
            code::INCORRECT_DATA,
            format!("the Parquet file cannot be read: {error}"),
        )
    }

    fn scratch_error(&self, error: &std::io::Error) -> FormatError {
        let message = format!("the scratch file of a Parquet body failed: {}", error.kind());
        self.error(code::CANNOT_WRITE_SCRATCH, message)
    }

    fn error(&self, code: i32, message: String) -> FormatError {
        let mut error = self.batches.error(code, message);
        error.offset = Some(self.len);
        error
    }
}
