use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::disk::sim::SimDisk;
use crate::disk::{Disk, DiskFile};
use crate::entry;
use crate::entry::tests::{insert_id, shape};
use crate::frames::{self, FrameReader, HEADER_BYTES, RAW_BYTES_TARGET};

const SPOOL: Uuid = Uuid::from_u128(0x5eed);

fn writer() -> BinWriter<Vec<u8>> {
    BinWriter::new(Vec::new(), SPOOL).unwrap()
}

fn finish(writer: BinWriter<Vec<u8>>) -> (Vec<u8>, BinInfo) {
    let shape = shape();
    let batch = BatchHead {
        shape: &shape,
        shard: "s01",
        created_at_ms: 1_700_000_000_000,
    };
    writer.finish(batch, |content| format!("{content:032x}")).unwrap()
}

/// Three rows of two INSERTs.
fn small_file() -> Vec<u8> {
    let mut writer = writer();
    writer
        .append_rows(insert_id(1), Some("mine"), b"1\tone\n", 1)
        .unwrap();
    writer
        .append_rows(insert_id(2), None, b"2\ttwo\n3\tthree\n", 2)
        .unwrap();
    finish(writer).0
}

fn file(bytes: &[u8]) -> Arc<dyn DiskFile> {
    let disk = SimDisk::default();
    let path = PathBuf::from("/batch.bin");
    disk.put(&path, bytes.to_vec());
    disk.open_read(&path).unwrap()
}

fn rows_of(bytes: &[u8]) -> Result<Vec<u8>, BinFault> {
    let mut rows = Vec::new();
    BinReader::new(file(bytes))?.write_rows(&mut rows)?;
    Ok(rows)
}

fn info_of(bytes: &[u8]) -> Result<BinInfo, BinFault> {
    BinInfo::of(file(bytes).as_ref())
}

#[track_caller]
fn check_fault(bytes: &[u8], expected: &str) {
    let fault = rows_of(bytes).unwrap_err().to_string();
    assert!(fault.contains(expected), "{fault}");
}

#[track_caller]
fn check_segment(segment: &Segment, insert: u8, token: Option<&str>, raw: Range<u64>, rows: Range<u64>) {
    let client_token = token.map(str::to_owned);
    assert_eq!(
        *segment,
        Segment {
            insert: insert_id(insert),
            client_token,
            raw,
            rows
        }
    );
}

/// The file with another trailer in place of its own, checksum and all.
fn with_trailer(bytes: &[u8], change: impl FnOnce(&mut Trailer)) -> Vec<u8> {
    let mut trailer = info_of(bytes).unwrap().trailer;
    let frames_end = trailer.frames().end as usize;
    change(&mut trailer);
    let body = entry::encode_trailer(&trailer).unwrap();
    let foot = Foot {
        trailer_bytes: body.len() as u32,
        trailer_crc32: crc32fast::hash(&body),
    };
    [&bytes[..frames_end], &body, &foot.to_bytes()].concat()
}

// === What a whole file says ===

#[test]
fn a_file_gives_back_its_rows_and_says_whose_they_are() {
    let bytes = small_file();
    assert_eq!(rows_of(&bytes).unwrap(), b"1\tone\n2\ttwo\n3\tthree\n");
    let info = info_of(&bytes).unwrap();
    assert_eq!(
        info.head,
        Head {
            version: 1,
            spool: SPOOL
        }
    );
    assert_eq!(info.file_bytes, bytes.len() as u64);
    let trailer = info.trailer;
    assert_eq!(
        (trailer.rows, trailer.raw_bytes, trailer.shard.as_str()),
        (3, 20, "s01")
    );
    assert_eq!(trailer.shape, shape());
    assert_eq!(trailer.segments.len(), 2);
    check_segment(&trailer.segments[0], 1, Some("mine"), 0..6, 0..1);
    check_segment(&trailer.segments[1], 2, None, 6..20, 1..3);
}

#[test]
fn the_writer_says_what_a_reader_will_find() {
    let mut writer = writer();
    writer.append_rows(insert_id(1), None, b"row\n", 1).unwrap();
    let (bytes, info) = finish(writer);
    assert_eq!(info_of(&bytes).unwrap(), info);
}

#[test]
fn a_batch_without_rows_is_a_whole_file_too() {
    let (bytes, info) = finish(writer());
    assert_eq!(info.trailer.frames(), 64..64);
    assert_eq!(rows_of(&bytes).unwrap(), b"");
}

#[test]
fn the_trailer_has_the_crc_of_the_frames_as_they_stand() {
    let bytes = small_file();
    let trailer = info_of(&bytes).unwrap().trailer;
    let frames = &bytes[trailer.frames().start as usize..trailer.frames().end as usize];
    assert_eq!(crc32fast::hash(frames), trailer.frames_crc32);
}

#[test]
fn equal_rows_give_an_equal_content_hash_and_a_token_that_is_never_equal() {
    assert_eq!(small_file(), small_file());
    let (one, other) = (random_token(7), random_token(7));
    assert_eq!((one.len(), &one[32..]), (64, "00000000000000000000000000000007"));
    assert_ne!(one, other);
}

// === Frames ===

#[test]
fn small_runs_share_a_frame_and_a_run_is_never_split() {
    let run = vec![b'x'; RAW_BYTES_TARGET / 4 + 1];
    let mut writer = writer();
    for insert in 0..7 {
        writer.append_rows(insert_id(insert), None, &run, 1).unwrap();
    }
    writer
        .append_rows(insert_id(9), None, &vec![b'y'; 3 * RAW_BYTES_TARGET], 1)
        .unwrap();
    writer.append_rows(insert_id(9), None, b"z", 1).unwrap();
    let (bytes, _) = finish(writer);
    let reader = BinReader::new(file(&bytes)).unwrap();
    let (mut frames, mut raw, mut sizes) = (reader.rows(), Vec::new(), Vec::new());
    while frames.next_frame(&mut raw).unwrap().is_some() {
        sizes.push(raw.len());
    }
    assert_eq!(
        sizes,
        [3 * run.len(), 3 * run.len(), run.len(), 3 * RAW_BYTES_TARGET, 1]
    );
}

#[test]
fn frames_that_exist_are_copied_as_they_are_and_counted() {
    let mut frames = Vec::new();
    frames::compress(b"a\nb\n", &mut frames).unwrap();
    frames::compress(b"c\n", &mut frames).unwrap();
    let mut writer = writer();
    writer.append_rows(insert_id(1), None, b"0\n", 1).unwrap();
    writer
        .append_frames(insert_id(2), None, frames.as_slice(), 3)
        .unwrap();
    assert_eq!((writer.rows(), writer.raw_bytes(), writer.segments()), (4, 8, 2));
    let (bytes, info) = finish(writer);
    assert_eq!(rows_of(&bytes).unwrap(), b"0\na\nb\nc\n");
    assert!(bytes[..info.trailer.frames().end as usize].ends_with(&frames));
}

#[test]
fn a_damaged_frame_is_not_copied() {
    let mut frames = Vec::new();
    frames::compress(b"a\nb\n", &mut frames).unwrap();
    *frames.last_mut().unwrap() ^= 1;
    let fault = writer()
        .append_frames(insert_id(2), None, frames.as_slice(), 2)
        .unwrap_err();
    assert!(
        matches!(fault, BinFault::Frame(FrameError::Checksum { .. })),
        "{fault}"
    );
}

#[test]
fn a_run_without_bytes_is_refused() {
    assert!(writer().append_rows(insert_id(1), None, b"", 1).is_err());
}

#[test]
fn a_batch_is_full_at_its_limit_of_inserts() {
    let mut writer = writer();
    let id = |n: usize| InsertId(Uuid::from_u128(n as u128));
    for insert in 0..SEGMENTS_MAX {
        writer.append_rows(id(insert), None, b"r\n", 1).unwrap();
    }
    writer.append_rows(id(SEGMENTS_MAX - 1), None, b"r\n", 1).unwrap();
    let fault = writer.append_rows(id(SEGMENTS_MAX), None, b"r\n", 1).unwrap_err();
    assert!(matches!(fault, BinFault::TooManySegments), "{fault}");
}

// === What a damaged file says ===

#[test]
fn a_file_cut_at_any_byte_is_refused() {
    let bytes = small_file();
    for cut in 0..bytes.len() {
        assert!(matches!(rows_of(&bytes[..cut]), Err(BinFault::CutShort)), "{cut}");
    }
}

#[test]
fn a_file_with_any_bit_flipped_is_refused_or_says_that_it_is_newer() {
    let bytes = small_file();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(rows_of(&flipped).is_err(), "bit {bit}");
    }
}

#[test]
fn a_flipped_bit_in_the_frames_leaves_head_and_trailer_readable() {
    let mut bytes = small_file();
    bytes[HEAD_BYTES + HEADER_BYTES] ^= 1;
    assert!(info_of(&bytes).is_ok());
    check_fault(&bytes, "frame at offset 64 has checksum");
}

#[test]
fn a_newer_version_is_told_from_damage() {
    let mut bytes = small_file();
    bytes[8] = 2;
    let fault = info_of(&bytes).unwrap_err();
    assert!(matches!(fault, BinFault::Newer { found: 2 }), "{fault}");
}

#[test]
fn something_else_is_told_from_damage() {
    check_fault(b"#!/bin/sh\n", "does not begin with WEIR.BIN");
    check_fault(&[0; 4096], "does not begin with WEIR.BIN");
    check_fault(b"", "its end is missing");
}

#[test]
fn frames_of_another_batch_are_noticed() {
    let (mut bytes, other) = (small_file(), {
        let mut writer = writer();
        writer
            .append_rows(insert_id(1), None, b"9\tone\n9\ttwo\n9\tthree\n", 3)
            .unwrap();
        finish(writer).0
    });
    let frames = info_of(&bytes).unwrap().trailer.frames();
    assert_eq!(
        info_of(&other).unwrap().trailer.frames(),
        frames,
        "the swap must keep the lengths"
    );
    let frames = frames.start as usize..frames.end as usize;
    bytes[frames.clone()].copy_from_slice(&other[frames]);
    check_fault(&bytes, "its frames have CRC32");
}

#[test]
fn a_trailer_that_contradicts_itself_or_the_file_is_refused() {
    let bytes = small_file();
    check_fault(&with_trailer(&bytes, |trailer| trailer.rows = 4), "its segments");
    check_fault(
        &with_trailer(&bytes, |trailer| trailer.segments[1].raw.start = 5),
        "its segments",
    );
    check_fault(
        &with_trailer(&bytes, |trailer| trailer.segments[0].rows.end = 0),
        "its segments",
    );
    check_fault(
        &with_trailer(&bytes, |trailer| trailer.frames_bytes -= 1),
        "the length of the file",
    );
    check_fault(
        &with_trailer(&bytes, |trailer| trailer.frames_bytes = u64::MAX),
        "the length of the file",
    );
    let fewer = |trailer: &mut Trailer| {
        (trailer.raw_bytes, trailer.segments[1].raw.end) = (19, 19);
    };
    check_fault(&with_trailer(&bytes, fewer), "the raw bytes of its frames");
}

#[test]
fn a_foot_that_claims_a_trailer_larger_than_the_file_is_refused() {
    let mut bytes = small_file();
    let foot = bytes.len() - FOOT_BYTES;
    bytes[foot..foot + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    check_fault(&bytes, "its trailer of 4294967295 bytes is damaged");
}

#[test]
fn an_error_names_its_file() {
    let error = BinInfo::read(std::path::Path::new("/nowhere/1.bin"))
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("/nowhere/1.bin: "), "{error}");
}

// === Any rows ===

/// A step of the writer: which INSERT, its rows, and whether they come compressed.
fn step() -> impl Strategy<Value = (u8, Vec<u8>, bool)> {
    let run = prop_oneof![4 => 1usize..200, 1 => 40_000usize..90_000];
    (
        0u8..4,
        run.prop_flat_map(|bytes| prop::collection::vec(any::<u8>(), bytes)),
        any::<bool>(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_rows_come_back_in_order_and_each_segment_has_its_own(steps in prop::collection::vec(step(), 0..12)) {
        let (mut writer, mut rows) = (writer(), Vec::new());
        let mut by_insert: Vec<(InsertId, Vec<u8>)> = Vec::new();
        for (insert, run, compressed) in &steps {
            let insert = insert_id(*insert);
            if *compressed {
                let mut frame = Vec::new();
                frames::compress(run, &mut frame).unwrap();
                writer.append_frames(insert, None, frame.as_slice(), 1).unwrap();
            } else {
                writer.append_rows(insert, None, run, 1).unwrap();
            }
            rows.extend_from_slice(run);
            match by_insert.last_mut().filter(|(last, _)| *last == insert) {
                Some((_, bytes)) => bytes.extend_from_slice(run),
                None => by_insert.push((insert, run.clone())),
            }
        }
        let (bytes, info) = finish(writer);
        prop_assert_eq!(rows_of(&bytes).unwrap(), rows.clone());
        prop_assert_eq!(info.trailer.rows, steps.len() as u64);
        let segments: Vec<_> = info.trailer.segments.iter().map(|segment| {
            (segment.insert, rows[segment.raw.start as usize..segment.raw.end as usize].to_vec())
        }).collect();
        prop_assert_eq!(segments, by_insert);
        prop_assert!(FrameReader::new(&bytes[64..info.trailer.frames().end as usize], 64).next_unopened().is_ok());
    }
}
