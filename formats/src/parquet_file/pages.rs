//! The pages of a Parquet file, which may not ask for more memory than a row may have.
//!
//! What a page's head says of its length and its number of values is the client's word, and the crate that reads pages
//! makes room by it. So it is looked at first:
//!
//! | what | limit | beyond it |
//! |---|---|---|
//! | a page's head | [`HEAD_BYTES_MAX`], and what [`thrift`] says | the body is refused before the head is read |
//! | a page, without its compression | `max_row_bytes` | the body is refused before the page is decompressed |
//! | the values of a dictionary | those that its bytes hold | the body is refused |
//! | the levels of a nested column's pages that one batch opens | a quarter of `max_row_bytes` | the body is refused |
//!
//! Not limited by this: values whose long beginnings DELTA_BYTE_ARRAY leaves out. There Arrow's own limit of 2 GiB a column of
//! a batch holds.

use std::io::{self, Chain, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parquet::basic::Type;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;

use super::thrift::{self, Fault};
use crate::cursor::Cursor;

/// A page's head has some ten numbers, and the smallest and the greatest value, which writers shorten.
const HEAD_BYTES_MAX: usize = 1 << 20;

/// What is read of a page's head at first: all of most.
const HEAD_BYTES: usize = 256;

/// The head of a field in Thrift's compact encoding: the next field's number, and the type i32.
const NEXT_I32: u8 = 0x15;

/// A file whose pages are not longer than allowed.
pub(super) struct LimitedFile<T> {
    file: T,
    page_bytes_max: usize,
}

impl<T: ChunkReader> LimitedFile<T> {
    pub(super) fn new(file: T, page_bytes_max: usize) -> Self {
        Self { file, page_bytes_max }
    }

    pub(super) fn page_bytes_max(&self) -> usize {
        self.page_bytes_max
    }
}

impl<T: ChunkReader> Length for LimitedFile<T> {
    fn len(&self) -> u64 {
        self.file.len()
    }
}

impl<T: ChunkReader> ChunkReader for LimitedFile<T> {
    type T = Chain<io::Cursor<Vec<u8>>, T::T>;

    /// Pages are read from their heads on, and nothing else is read by this.
    fn get_read(&self, start: u64) -> Result<Self::T> {
        let mut rest = self.file.get_read(start)?;
        let head = whole_head(&mut rest)?;
        let bytes = page_bytes(&head).ok_or_else(|| {
            ParquetError::General("a page does not begin with its type and length".to_owned())
        })?;
        if bytes > self.page_bytes_max as u64 {
            return Err(ParquetError::General(format!(
                "a page has {bytes} bytes, which is more than max_row_bytes = {}; write smaller pages (data_page_size)",
                self.page_bytes_max
            )));
        }
        Ok(io::Cursor::new(head).chain(rest))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        self.file.get_bytes(start, length)
    }
}

/// Bytes from a page's head on, at least to its end.
fn whole_head(from: &mut impl Read) -> Result<Vec<u8>> {
    let (mut head, mut wanted) = (Vec::new(), HEAD_BYTES);
    loop {
        let missing = wanted - head.len();
        let read = from.take(missing as u64).read_to_end(&mut head)?;
        match thrift::after_struct(&head) {
            Ok(_) => return Ok(head),
            Err(Fault::Short) if read == missing && wanted < HEAD_BYTES_MAX => wanted *= 2,
            Err(Fault::Short | Fault::Bad) => {
                return Err(ParquetError::General("a page's head cannot be read".to_owned()));
            }
        }
    }
}

/// The second field of a page's head: the page's length without compression. None where the head does not begin as every
/// writer begins it; a negative length is too much.
fn page_bytes(head: &[u8]) -> Option<u64> {
    let window = thrift::window(head);
    let mut cursor = Cursor::new(&window, 0);
    let mut next_i32 = || (cursor.byte().ok()? == NEXT_I32).then(|| cursor.varint().ok())?;
    let (_type, zigzag) = (next_i32()?, next_i32()?);
    Some(if zigzag % 2 == 0 { zigzag / 2 } else { u64::MAX })
}

/// A column's pages in one row group.
///
/// The crate's reader is never asked what comes next: it would then read on from behind a page's head, where no length is to
/// be checked. The page itself is read instead, and kept.
pub(super) struct Pages<T: ChunkReader> {
    pages: SerializedPageReader<LimitedFile<T>>,
    ahead: Option<Page>,
    value_bytes_max: usize,
    /// For a nested column: the levels that the batch at hand has opened so far, and how many it may.
    levels: Option<(Arc<AtomicU64>, u64)>,
}

impl<T: ChunkReader> Pages<T> {
    /// Opens a column of a row group of so many rows, and reads its dictionary. `levels` counts those of nested columns.
    pub(super) fn open(
        file: &Arc<LimitedFile<T>>,
        column: &ColumnChunkMetaData,
        rows: usize,
        levels: &Arc<AtomicU64>,
    ) -> Result<Self> {
        let mut pages = SerializedPageReader::new(Arc::clone(file), column, rows, None)?;
        let first = pages.get_next_page()?;
        let dictionary = first.as_ref().filter(|page| page.is_dictionary_page());
        let value_bytes_max = dictionary.map_or(Ok(0), |page| longest_value(page, column))?;
        let is_nested = column.column_descr().max_rep_level() > 0;
        Ok(Self {
            pages,
            ahead: first,
            value_bytes_max,
            levels: is_nested.then(|| (Arc::clone(levels), file.page_bytes_max() as u64 / 4)),
        })
    }

    /// The longest value of the dictionary, in bytes; nothing without one.
    pub(super) fn value_bytes_max(&self) -> usize {
        self.value_bytes_max
    }

    /// The levels of a nested column are counted as its pages are given out.
    fn counted(&self, page: Page) -> Result<Page> {
        if let Some((levels, max)) = &self.levels
            && page.is_data_page()
        {
            let added = u64::from(page.num_values());
            if levels.fetch_add(added, Ordering::Relaxed) + added > *max {
                return Err(ParquetError::General(format!(
                    "one batch of rows has more than {max} nested values, a quarter of max_row_bytes; write smaller pages"
                )));
            }
        }
        Ok(page)
    }
}

impl<T: ChunkReader> Iterator for Pages<T> {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl<T: ChunkReader> PageReader for Pages<T> {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        match self.ahead.take() {
            Some(page) => self.counted(page).map(Some),
            None => match self.pages.get_next_page()? {
                Some(page) => self.counted(behind_the_first(page)?).map(Some),
                None => Ok(None),
            },
        }
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        if self.ahead.is_none() {
            self.ahead = self.pages.get_next_page()?.map(behind_the_first).transpose()?;
        }
        Ok(self.ahead.as_ref().map(about))
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.get_next_page().map(drop)
    }
}

/// A dictionary stands first, where it was looked into.
fn behind_the_first(page: Page) -> Result<Page> {
    if page.is_dictionary_page() {
        return Err(ParquetError::General(
            "a dictionary stands behind other pages".to_owned(),
        ));
    }
    Ok(page)
}

fn about(page: &Page) -> PageMetadata {
    let num_rows = match page {
        Page::DataPageV2 { num_rows, .. } => Some(*num_rows as usize),
        Page::DataPage { .. } | Page::DictionaryPage { .. } => None,
    };
    PageMetadata {
        num_rows,
        num_levels: page.is_data_page().then_some(page.num_values() as usize),
        is_dict: page.is_dictionary_page(),
    }
}

/// The bytes of a dictionary's longest value; an error when it has more values than bytes for them.
fn longest_value(page: &Page, column: &ColumnChunkMetaData) -> Result<usize> {
    let (values, bytes) = (page.num_values() as usize, page.buffer());
    let width = match column.column_type() {
        Type::BYTE_ARRAY => return longest_text(values, bytes).ok_or_else(cut_dictionary),
        Type::FIXED_LEN_BYTE_ARRAY => usize::try_from(column.column_descr().type_length()).unwrap_or(0),
        Type::BOOLEAN => 1,
        Type::INT32 | Type::FLOAT => 4,
        Type::INT64 | Type::DOUBLE => 8,
        Type::INT96 => 12,
    };
    let width = width.max(1);
    match values
        .checked_mul(width)
        .is_some_and(|needed| needed <= bytes.len())
    {
        true => Ok(width),
        false => Err(cut_dictionary()),
    }
}

/// Texts stand each behind its length, four bytes.
fn longest_text(values: usize, mut bytes: &[u8]) -> Option<usize> {
    let mut longest = 0;
    for _ in 0..values {
        let (len, rest) = bytes.split_first_chunk()?;
        let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
        bytes = rest.get(len..)?;
        longest = longest.max(len);
    }
    Some(longest)
}

fn cut_dictionary() -> ParquetError {
    ParquetError::General("a dictionary has fewer bytes than its number of values needs".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_s_length_is_read_before_the_page() {
        let head = |bytes: &[u8]| [&[NEXT_I32, 0x04, NEXT_I32], bytes].concat();
        assert_eq!(page_bytes(&head(&[0x80, 0x01])), Some(64));
        assert_eq!(
            page_bytes(&head(&[0xfe, 0xff, 0xff, 0xff, 0x0f])),
            Some(i32::MAX as u64)
        );
        assert_eq!(page_bytes(&head(&[0x01])), Some(u64::MAX), "negative");
        assert_eq!(page_bytes(&head(&[0x80])), None, "cut");
        assert_eq!(
            page_bytes(&[0x25, 0x04, NEXT_I32, 0x02]),
            None,
            "another field first"
        );
    }

    #[test]
    fn a_dictionary_has_the_bytes_of_its_values() {
        let texts = b"\x01\0\0\0a\x03\0\0\0bcd";
        assert_eq!(longest_text(2, texts), Some(3));
        assert_eq!(longest_text(3, texts), None);
        assert_eq!(longest_text(2, &texts[..texts.len() - 1]), None);
    }
}
