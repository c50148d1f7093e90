//! Files that the crate's own writer makes, and what they may ask for.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::file::properties::WriterProperties;

use super::row_groups::Groups;

const MAX: usize = 1 << 20;

/// A file with a column of numbers and one of texts, in row groups of so many rows.
fn file(texts: Vec<String>, group_rows: usize) -> Bytes {
    let numbers: ArrayRef = Arc::new(UInt64Array::from_iter_values(0..texts.len() as u64));
    let texts: ArrayRef = Arc::new(StringArray::from(texts));
    let batch = RecordBatch::try_from_iter([("n", numbers), ("s", texts)]).unwrap();
    let properties = WriterProperties::builder()
        .set_dictionary_page_size_limit(8 * MAX)
        .set_data_page_size_limit(8 * MAX)
        .set_max_row_group_row_count(Some(group_rows))
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes.into()
}

fn groups(file: &Bytes) -> Groups<Bytes> {
    let head = ArrowReaderMetadata::load(file, ArrowReaderOptions::new()).unwrap();
    Groups::new(
        file.clone(),
        Arc::clone(head.metadata()),
        ProjectionMask::all(),
        MAX,
    )
    .unwrap()
}

fn rows(file: &Bytes) -> Vec<usize> {
    groups(file).map(|batch| batch.unwrap().num_rows()).collect()
}

#[test]
fn every_row_group_s_rows_are_read() {
    let texts = (0..1000).map(|row| format!("text {}", row % 7)).collect();
    assert_eq!(rows(&file(texts, 300)), [300, 300, 300, 100]);
}

#[test]
fn a_long_value_that_a_dictionary_repeats_is_not_written_out_for_every_row_at_once() {
    let texts = vec!["x".repeat(MAX / 4); 1000];
    let rows = rows(&file(texts, 1000));
    assert_eq!(rows.iter().sum::<usize>(), 1000);
    assert!(rows.iter().all(|rows| *rows <= 4), "{rows:?}");
}

#[test]
fn a_page_that_is_longer_than_a_row_may_be_is_refused_before_it_is_read() {
    let texts = (0..MAX / 256).map(|row| format!("{row:0512}")).collect();
    let refused = groups(&file(texts, 1 << 20)).find_map(Result::err).unwrap();
    let text = refused.to_string();
    assert!(
        text.contains("which is more than max_row_bytes = 1048576"),
        "{text}"
    );
}
