//! Files of version 1, and frames of ClickHouse's own, are read as they always were. How they came to be:
//! golden/README.md.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use crate::bin_file::BinReader;
use crate::disk::RealDisk;
use crate::disk::sim::SimDisk;
use crate::entry::tests as sample;
use crate::event::{Awaits, Event, Record};
use crate::frames::FrameReader;
use crate::journal::{
    Item, SegmentReader, Writer, WriterOptions, decode_checkpoint, encode_checkpoint, segment_path,
};

const SPOOL: Uuid = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
const SEGMENT: u64 = 7;
const ROWS: &[u8] = b"1\tone\n2\ttwo\n3\tthree\n";

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

/// Rows that LZ4 shortens, and rows that it does not.
fn records() -> [Record; 3] {
    let rows = |arena: Vec<u8>| Record {
        arena,
        ..Record::default()
    };
    [
        sample::record_of_version_2(),
        rows(b"the same row\n".repeat(50)),
        rows(b"one row\n".to_vec()),
    ]
}

/// Reads a golden segment, which holds these records and nothing else.
#[track_caller]
fn check_segment(name: &str, records: &[Record]) {
    let disk = SimDisk::default();
    let directory = Path::new("/journal");
    disk.put(&segment_path(directory, SEGMENT), fs::read(golden(name)).unwrap());
    let mut reader = SegmentReader::open(&disk, directory, SEGMENT).unwrap();
    assert_eq!(reader.spool(), SPOOL);
    for expected in records {
        let item = reader.next_item().unwrap();
        assert!(
            matches!(&item, Some(Item::Record { record, .. }) if record == expected),
            "{item:?}"
        );
    }
    assert_eq!(reader.next_item().unwrap(), None);
}

#[test]
fn a_journal_segment_of_version_1_is_read() {
    check_segment("v1/journal.log", &records());
}

/// What version 2 added.
fn records_of_version_2() -> [Record; 2] {
    let mut commit = sample::commit();
    commit.awaits = Awaits::One {
        lane: 0,
        destination: 1,
    };
    let mut record = sample::record();
    record.events = vec![Event::Commit(commit)];
    [record, sample::record_of_version_2()]
}

#[test]
fn a_journal_segment_of_version_2_is_read() {
    check_segment("v2/journal.log", &records_of_version_2());
}

#[test]
fn a_journal_segment_of_version_3_is_read() {
    check_segment("v3/journal.log", &[sample::record_of_version_3()]);
}

#[test]
fn a_journal_segment_of_version_4_is_read() {
    check_segment("v4/journal.log", &[sample::record_of_version_4()]);
}

#[test]
fn a_journal_segment_of_version_5_is_read() {
    check_segment("v5/journal.log", &[sample::record()]);
}

#[test]
fn a_checkpoint_of_version_5_is_read() {
    let file = fs::read(golden("v5/checkpoint")).unwrap();
    assert_eq!(decode_checkpoint(&file).unwrap(), sample::checkpoint());
}

#[test]
fn a_checkpoint_of_version_4_is_read() {
    let file = fs::read(golden("v4/checkpoint")).unwrap();
    assert_eq!(
        decode_checkpoint(&file).unwrap(),
        sample::checkpoint_of_version_4()
    );
}

#[test]
fn a_checkpoint_of_version_3_is_read() {
    let file = fs::read(golden("v3/checkpoint")).unwrap();
    assert_eq!(
        decode_checkpoint(&file).unwrap(),
        sample::checkpoint_of_version_3()
    );
}

#[test]
fn a_checkpoint_of_version_1_is_read() {
    let file = fs::read(golden("v1/checkpoint")).unwrap();
    assert_eq!(
        decode_checkpoint(&file).unwrap(),
        sample::checkpoint_of_version_2()
    );
}

#[test]
fn a_batch_file_of_version_1_is_read() {
    let reader = BinReader::open(&golden("v1/batch.bin")).unwrap();
    let (head, trailer) = (reader.info().head, &reader.info().trailer);
    assert_eq!((head.version, head.spool), (1, SPOOL));
    assert_eq!(
        (trailer.rows, trailer.raw_bytes, trailer.shard.as_str()),
        (3, 20, "s01")
    );
    assert_eq!(trailer.token, "0f".repeat(32));
    assert_eq!(trailer.shape, sample::shape());
    assert_eq!(trailer.segments[0].client_token.as_deref(), Some("mine"));
    assert_eq!(
        (trailer.segments[1].raw.clone(), trailer.segments[1].rows.clone()),
        (6..20, 1..3)
    );
    let mut rows = Vec::new();
    reader.write_rows(&mut rows).unwrap();
    assert_eq!(rows, ROWS);
}

#[test]
fn frames_that_clickhouse_wrote_are_read() {
    let file = fs::File::open(golden("clickhouse-18.16.1/strings.frames")).unwrap();
    let (mut frames, mut raw, mut rows) = (FrameReader::new(file, 0), Vec::new(), Vec::new());
    while frames.next_frame(&mut raw).unwrap().is_some() {
        rows.extend_from_slice(&raw);
    }
    let strings = (0..500).map(|number| format!("row {number}"));
    let expected: Vec<u8> = strings
        .flat_map(|row| [&[row.len() as u8], row.as_bytes()].concat())
        .collect();
    assert_eq!(rows, expected);
}

/// A line of a hexdump: offset, then up to 16 bytes in two groups of eight, then what a person reads.
fn dumped(line: &str) -> Option<(usize, Vec<u8>)> {
    let (offset, behind) = line.trim_start().split_once("  ")?;
    let offset = usize::from_str_radix(offset, 16)
        .ok()
        .filter(|_| offset.len() == 8)?;
    let bytes = behind.get(..49).unwrap_or(behind).split_whitespace();
    Some((
        offset,
        bytes
            .map_while(|byte| u8::from_str_radix(byte, 16).ok())
            .collect(),
    ))
}

#[test]
fn the_hexdumps_of_the_format_page_are_these_files() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/spool-format.md");
    let page = fs::read_to_string(page).unwrap();
    for (name, bytes_shown) in [("v1/batch.bin", 338), ("v1/journal.log", 144)] {
        let file = fs::read(golden(name)).unwrap();
        let (_, section) = page.split_once(&format!("`golden/{name}`")).unwrap();
        let (section, _) = section.split_once("\n#").unwrap();
        let lines: Vec<_> = section.lines().filter_map(dumped).collect();
        assert_eq!(
            lines.iter().map(|(_, bytes)| bytes.len()).sum::<usize>(),
            bytes_shown,
            "{name}"
        );
        for (offset, bytes) in lines {
            assert_eq!(file[offset..offset + bytes.len()], bytes, "{name} at {offset:#x}");
        }
    }
}

#[test]
#[ignore = "run once for each version of the format, by hand: golden/README.md"]
fn write_the_files() {
    assert!(
        !golden("v5/journal.log").exists(),
        "it is there and must stay as it is"
    );
    let directory = golden("v5");
    fs::create_dir_all(&directory).unwrap();
    let options = WriterOptions {
        spool: SPOOL,
        segment_bytes: 4096,
        first_segment: SEGMENT,
    };
    let mut writer = Writer::create(Arc::new(RealDisk), &directory, options).unwrap();
    writer.append(&sample::record()).unwrap();
    writer.close().unwrap();
    fs::write(
        directory.join("checkpoint"),
        encode_checkpoint(&sample::checkpoint()).unwrap(),
    )
    .unwrap();
    fs::rename(segment_path(&directory, SEGMENT), directory.join("journal.log")).unwrap();
}
