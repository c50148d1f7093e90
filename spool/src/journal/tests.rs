use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use uuid::Uuid;

use super::record::ALIGNMENT;
use super::*;
use crate::disk::sim::SimDisk;
use crate::entry::tests as sample;
use crate::event::{Event, Record};

const SPOOL: Uuid = Uuid::from_u128(0x5eed);
const SEGMENT_BYTES: u64 = 4096;

// === Helpers ===

fn directory() -> &'static Path {
    Path::new("/spool/journal")
}

fn path(segment: u64) -> PathBuf {
    segment_path(directory(), segment)
}

fn empty_disk() -> SimDisk {
    SimDisk::with_directory(directory())
}

fn writer_from(disk: &SimDisk, first_segment: u64) -> Result<Writer, JournalError> {
    let options = WriterOptions {
        spool: SPOOL,
        segment_bytes: SEGMENT_BYTES,
        first_segment,
    };
    Writer::create(Arc::new(disk.clone()), directory(), options)
}

fn writer(disk: &SimDisk) -> Writer {
    writer_from(disk, 1).unwrap()
}

/// A record that is told from others by its number.
fn record(number: u64) -> Record {
    Record {
        events: vec![Event::Go { insert: number }],
        arena: b"rows\n".to_vec(),
        ..Record::default()
    }
}

fn append_synced(writer: &mut Writer, numbers: std::ops::Range<u64>) {
    for number in numbers {
        writer.append(&record(number)).unwrap();
        writer.sync().unwrap();
    }
}

fn items(disk: &SimDisk, segment: u64) -> Vec<Item> {
    let mut reader = SegmentReader::open(disk, directory(), segment).unwrap();
    std::iter::from_fn(|| reader.next_item().unwrap()).collect()
}

/// The records of a segment by number, with `!` for a loss of synced bytes, `?` for one of unsynced, `~` for
/// a torn end.
fn story(disk: &SimDisk, segment: u64) -> String {
    items(disk, segment)
        .iter()
        .map(tell)
        .collect::<Vec<_>>()
        .join(" ")
}

fn tell(item: &Item) -> String {
    match item {
        Item::Record { record, .. } => match record.events[..] {
            [Event::Go { insert }] => insert.to_string(),
            _ => "record".into(),
        },
        Item::Damaged { synced: true, .. } => "!".into(),
        Item::Damaged { synced: false, .. } => "?".into(),
        Item::Torn { .. } => "~".into(),
    }
}

/// Offsets of the records of a segment, and of its end.
fn borders(disk: &SimDisk, segment: u64) -> Vec<usize> {
    let offset = |item| {
        if let Item::Record { offset, .. } = item {
            offset as usize
        } else {
            0
        }
    };
    items(disk, segment).into_iter().map(offset).collect()
}

/// A disk with one segment of four synced records, never closed, and the borders between them.
fn crashed_after_four() -> (SimDisk, Vec<usize>) {
    let disk = empty_disk();
    let mut writer = writer(&disk);
    append_synced(&mut writer, 0..4);
    let mut borders = borders(&disk, 1);
    borders.push(writer.used_bytes() as usize);
    (disk, borders)
}

// === Writing ===

#[test]
fn a_journal_on_a_real_disk_is_read_over_its_segments() {
    let directory = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(crate::disk::RealDisk);
    let options = WriterOptions {
        spool: SPOOL,
        segment_bytes: SEGMENT_BYTES,
        first_segment: 1,
    };
    let mut writer = Writer::create(Arc::clone(&disk), directory.path(), options).unwrap();
    for number in 0..100 {
        writer.append(&record(number)).unwrap();
        if writer.is_full() {
            writer.roll().unwrap();
        }
    }
    writer.close().unwrap();
    let mut read = Vec::new();
    for segment in segments(disk.as_ref(), directory.path()).unwrap() {
        let mut reader = SegmentReader::open(disk.as_ref(), directory.path(), segment).unwrap();
        read.extend(std::iter::from_fn(|| reader.next_item().unwrap()).map(|item| tell(&item)));
    }
    assert_eq!(
        read,
        (0..100).map(|number| number.to_string()).collect::<Vec<_>>()
    );
}

#[test]
fn records_come_back_in_order_with_everything_they_say() {
    let disk = empty_disk();
    let mut writer = writer(&disk);
    let first = writer.append(&sample::record()).unwrap();
    let second = writer.append(&record(2)).unwrap();
    writer.sync().unwrap();
    assert_eq!(
        first,
        Position {
            segment: 1,
            offset: 64
        }
    );
    assert_eq!(second.offset % ALIGNMENT as u64, 0);
    let expected = [
        Item::Record {
            offset: first.offset,
            record: sample::record(),
        },
        Item::Record {
            offset: second.offset,
            record: record(2),
        },
    ];
    assert_eq!(items(&disk, 1), expected);
}

#[test]
fn rows_that_do_not_compress_are_stored_as_they_are() {
    let disk = empty_disk();
    let mut writer = writer(&disk);
    let mut noise = 1u64;
    let arena: Vec<u8> = std::iter::repeat_with(|| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (noise >> 56) as u8
    })
    .take(2000)
    .collect();
    writer
        .append(&Record {
            arena: arena.clone(),
            ..Record::default()
        })
        .unwrap();
    let stored = disk.read(&path(1));
    assert!(stored.windows(arena.len()).any(|bytes| bytes == arena));
    assert!(writer.used_bytes() < 64 + 48 + 2000 + 32);
}

#[test]
fn a_segment_has_its_space_before_its_first_record() {
    let disk = empty_disk();
    let _writer = writer(&disk);
    assert_eq!(
        disk.read(&path(1)).len() as u64,
        SEGMENT_BYTES + SEGMENT_BYTES / 32
    );
}

#[test]
fn a_record_larger_than_the_segment_makes_it_longer() {
    let disk = empty_disk();
    let mut writer = writer(&disk);
    let large: Vec<u8> = (0..100_000u32)
        .flat_map(|n| (n.wrapping_mul(2_654_435_761)).to_le_bytes())
        .collect();
    let large = Record {
        arena: large,
        ..Record::default()
    };
    writer.append(&large).unwrap();
    assert!(writer.is_full());
    assert!(matches!(&items(&disk, 1)[..], [Item::Record { record, .. }] if *record == large));
}

#[test]
fn a_record_beyond_the_limit_is_refused_and_poisons_nothing() {
    let disk = empty_disk();
    let mut writer = writer(&disk);
    let huge = Record {
        arena: vec![0; RECORD_RAW_BYTES_MAX],
        ..Record::default()
    };
    assert!(matches!(writer.append(&huge), Err(JournalError::TooLarge { .. })));
    append_synced(&mut writer, 1..2);
    assert_eq!(story(&disk, 1), "1");
}

#[test]
fn nothing_is_synced_twice() {
    let disk = empty_disk();
    let mut writer = writer(&disk);
    let before = disk.syncs();
    writer.append(&record(1)).unwrap();
    writer.append(&record(2)).unwrap();
    writer.sync().unwrap();
    writer.sync().unwrap();
    assert_eq!(disk.syncs() - before, 1);
}

#[test]
fn a_rolled_segment_ends_with_its_records_and_the_next_goes_on() {
    let disk = empty_disk();
    let mut writer = writer(&disk);
    append_synced(&mut writer, 0..2);
    let used = writer.used_bytes();
    assert_eq!(writer.roll().unwrap(), 2);
    append_synced(&mut writer, 2..3);
    writer.close().unwrap();
    assert_eq!(disk.read(&path(1)).len() as u64, used);
    assert_eq!(segments(&disk, directory()).unwrap(), [1, 2]);
    assert_eq!((story(&disk, 1), story(&disk, 2)), ("0 1".into(), "2".into()));
}

#[test]
fn a_segment_is_durable_by_name_before_its_first_record() {
    let disk = empty_disk();
    append_synced(&mut writer(&disk), 0..1);
    assert_eq!(story(&disk.after_power_loss(1), 1), "0");
}

#[test]
fn foreign_names_in_the_directory_are_not_segments() {
    let disk = empty_disk();
    drop(writer(&disk));
    for name in [
        "1.log",
        "00000000000000000002.log.corrupt",
        "staged-1",
        "+0000000000000000003.log",
    ] {
        disk.put(&directory().join(name), vec![]);
    }
    assert_eq!(segments(&disk, directory()).unwrap(), [1]);
}

// === Failures while writing ===

#[test]
fn a_failed_write_or_sync_poisons_the_writer_for_good() {
    // The sync of a record, then the write of one.
    for operations in [1, 0] {
        let disk = empty_disk();
        let mut writer = writer(&disk);
        disk.fail_after(operations, io::ErrorKind::Other);
        let failed = writer.append(&record(1)).and_then(|_| writer.sync()).unwrap_err();
        assert!(matches!(failed, JournalError::Poisoned { .. }), "{failed}");
        disk.heal();
        for later in [
            writer.append(&record(2)).map(|_| ()),
            writer.sync(),
            writer.roll().map(|_| ()),
        ] {
            assert_eq!(later.unwrap_err().to_string(), failed.to_string());
        }
    }
}

#[test]
fn want_of_space_for_the_next_segment_leaves_the_old_one_in_use() {
    // Making the file, then reserving its space.
    for operations in [0, 1] {
        let disk = empty_disk();
        let mut writer = writer(&disk);
        append_synced(&mut writer, 0..1);
        disk.fail_after(operations, io::ErrorKind::StorageFull);
        let error = writer.roll().unwrap_err();
        assert!(
            matches!(error, JournalError::NoSpace { segment: 2, .. }),
            "{error}"
        );
        disk.heal();
        append_synced(&mut writer, 1..2);
        assert_eq!(story(&disk, 1), "0 1");
    }
}

#[test]
fn after_want_of_space_the_same_segment_can_be_made() {
    let disk = empty_disk();
    let mut writer = writer(&disk);
    disk.fail_after(0, io::ErrorKind::StorageFull);
    assert!(writer.roll().is_err());
    disk.heal();
    assert_eq!(writer.roll().unwrap(), 2);
}

#[test]
fn want_of_space_for_a_large_record_writes_nothing_and_poisons_nothing() {
    let disk = empty_disk();
    let mut writer = writer(&disk);
    let large: Vec<u8> = (0..10_000u32)
        .flat_map(|n| (n.wrapping_mul(2_654_435_761)).to_le_bytes())
        .collect();
    disk.fail_after(0, io::ErrorKind::StorageFull);
    let error = writer
        .append(&Record {
            arena: large,
            ..Record::default()
        })
        .unwrap_err();
    assert!(matches!(error, JournalError::NoSpace { .. }), "{error}");
    disk.heal();
    append_synced(&mut writer, 1..2);
    assert_eq!(story(&disk, 1), "1");
}

#[test]
fn a_next_segment_whose_head_may_not_be_on_disk_poisons_the_writer() {
    // Its write, its sync, its directory's sync.
    for operations in 2..5 {
        let disk = empty_disk();
        let mut writer = writer(&disk);
        append_synced(&mut writer, 0..1);
        disk.fail_after(operations, io::ErrorKind::Other);
        assert!(
            matches!(writer.roll(), Err(JournalError::Poisoned { segment: 2, .. })),
            "{operations}"
        );
        disk.heal();
        assert!(writer.append(&record(1)).is_err());
    }
}

// === Reading after a crash ===

#[test]
fn a_segment_that_was_never_closed_ends_at_its_zeros() {
    let (disk, _) = crashed_after_four();
    assert_eq!(story(&disk, 1), "0 1 2 3");
}

#[test]
fn a_segment_cut_at_any_byte_keeps_every_record_before_it() {
    let (disk, borders) = crashed_after_four();
    let whole = disk.read(&path(1));
    for cut in 64..borders[4] {
        disk.put(&path(1), whole[..cut].to_vec());
        let records = borders
            .iter()
            .filter(|&&border| border > 64 && last_byte(&whole, border) < cut)
            .count();
        let mut expected: Vec<_> = (0..records).map(|number| number.to_string()).collect();
        let starts_next =
            cut > borders[records] && whole[borders[records]..cut].iter().any(|&byte| byte != 0);
        expected.extend(starts_next.then(|| "~".into()));
        assert_eq!(story(&disk, 1), expected.join(" "), "cut at {cut}");
    }
}

/// The last byte before a border that is not the padding of the record before it.
fn last_byte(whole: &[u8], border: usize) -> usize {
    (0..border).rev().find(|&at| whole[at] != 0).unwrap()
}

#[test]
fn a_torn_last_record_is_cut_off_and_the_segment_is_then_whole() {
    let (disk, borders) = crashed_after_four();
    disk.edit(&path(1), |bytes| bytes[borders[3] + 50] ^= 0x10);
    let Some(Item::Torn { offset, bytes }) = items(&disk, 1).pop() else {
        panic!("not torn")
    };
    assert_eq!(offset as usize, borders[3]);
    assert!(offset + bytes <= borders[4] as u64);
    cut_torn_tail(&disk, directory(), Position { segment: 1, offset }).unwrap();
    let disk = disk.after_power_loss(1);
    assert_eq!(story(&disk, 1), "0 1 2");
}

#[test]
fn a_flipped_bit_in_any_synced_record_is_damage_and_the_records_behind_are_read() {
    let (disk, borders) = crashed_after_four();
    let whole = disk.read(&path(1));
    let last = last_byte(&whole, borders[2]);
    for bit in borders[1] * 8..(last + 1) * 8 {
        disk.put(&path(1), whole.clone());
        disk.edit(&path(1), |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        assert_eq!(story(&disk, 1), "0 ! 2 3", "bit {bit}");
    }
}

#[test]
fn damage_names_its_bytes() {
    let (disk, borders) = crashed_after_four();
    disk.edit(&path(1), |bytes| bytes[borders[1]..borders[3]].fill(0));
    let expected = (borders[1] as u64, (borders[3] - borders[1]) as u64);
    let damage = items(&disk, 1).into_iter().find_map(|item| match item {
        Item::Damaged { offset, bytes, .. } => Some((offset, bytes)),
        _ => None,
    });
    assert_eq!(damage, Some(expected));
    assert_eq!(story(&disk, 1), "0 ! 3");
}

#[test]
fn a_first_record_that_is_lost_is_damage_too() {
    let (disk, borders) = crashed_after_four();
    disk.edit(&path(1), |bytes| bytes[borders[0]..borders[1]].fill(0xff));
    assert_eq!(story(&disk, 1), "! 1 2 3");
}

#[test]
fn a_hole_that_nobody_had_waited_for_is_told_from_damage() {
    let disk = empty_disk();
    let mut writer = writer(&disk);
    append_synced(&mut writer, 0..1);
    // A retry's record is not synced; the power goes while the next one is.
    let hole = writer.append(&record(1)).unwrap();
    let end = writer.append(&record(2)).unwrap();
    disk.edit(&path(1), |bytes| {
        bytes[hole.offset as usize..end.offset as usize].fill(0);
    });
    assert_eq!(story(&disk, 1), "0 ? 2");
}

#[test]
fn a_closed_segment_that_lacks_records_is_damaged_and_not_torn() {
    let disk = empty_disk();
    let mut writer = writer(&disk);
    append_synced(&mut writer, 0..3);
    let last = borders(&disk, 1)[2];
    writer.roll().unwrap();
    let whole = disk.read(&path(1));
    for damage in [0u8, 0xff] {
        disk.put(&path(1), whole.clone());
        disk.edit(&path(1), |bytes| bytes[last..].fill(damage));
        assert_eq!(story(&disk, 1), "0 1 !", "filled with {damage}");
    }
    disk.put(&path(1), whole[..last].to_vec());
    assert_eq!(story(&disk, 1), "0 1 !");
    disk.put(&path(1), whole);
    assert_eq!(story(&disk, 1), "0 1 2");
}

#[test]
fn a_torn_segment_stays_torn_when_a_later_start_wrote_the_next() {
    let (disk, borders) = crashed_after_four();
    disk.edit(&path(1), |bytes| bytes[borders[3] + 50] ^= 0x10);
    append_synced(&mut writer_from(&disk, 2).unwrap(), 4..5);
    assert_eq!((story(&disk, 1), story(&disk, 2)), ("0 1 2 ~".into(), "4".into()));
}

#[test]
fn rows_that_look_like_records_are_not_taken_for_records() {
    let (other, borders) = crashed_after_four();
    let forged = other.read(&path(1))[borders[1]..borders[3]].to_vec();
    let mut aligned = false;
    // A client inserts another spool's records as its rows, in every alignment; then its own record is
    // damaged.
    for shift in 0..ALIGNMENT {
        let disk = empty_disk();
        let mut writer = writer(&disk);
        let rows = [vec![b'-'; shift], forged.clone()].concat();
        let at = writer
            .append(&Record {
                arena: rows,
                ..Record::default()
            })
            .unwrap()
            .offset as usize;
        writer.sync().unwrap();
        append_synced(&mut writer, 7..8);
        disk.edit(&path(1), |bytes| bytes[at + 40] ^= 1);
        aligned |= disk.read(&path(1))[at + 48..]
            .chunks(ALIGNMENT)
            .any(|bytes| bytes.starts_with(b"WREC"));
        assert_eq!(story(&disk, 1), "! 7", "shifted by {shift}");
    }
    assert!(aligned, "no forged record lay where one could begin");
}

#[test]
fn facts_of_a_sound_record_that_are_not_understood_are_never_cut_off_as_torn() {
    let disk = empty_disk();
    let mut writer = writer(&disk);
    let mut bytes = Vec::new();
    let head = segment::SegmentHead::parse(disk.read(&path(1))[..64].try_into().unwrap(), 1).unwrap();
    record::write(b"\x04\0\0\0\x00\x00\x01\x63", 0, 64, head.salt, &mut bytes).unwrap();
    disk.edit(&path(1), |file| {
        file[64..64 + bytes.len()].copy_from_slice(&bytes);
    });
    writer.sync().unwrap();
    assert_eq!(story(&disk, 1), "!");
}

// === Heads ===

#[test]
fn a_segment_that_was_never_begun_is_no_loss() {
    let disk = empty_disk();
    drop(writer(&disk));
    let check = |bytes: Vec<u8>| {
        disk.put(&path(2), bytes);
        let error = SegmentReader::open(&disk, directory(), 2).unwrap_err();
        assert!(matches!(error, SegmentError::Unbegun { segment: 2 }), "{error}");
    };
    [vec![], vec![0; 10], vec![0; 4096]].into_iter().for_each(check);
    // The next start took the next number.
    drop(writer_from(&disk, 3).unwrap());
    [vec![], vec![0; 10], vec![0; 4096]].into_iter().for_each(check);
}

#[test]
fn a_segment_that_was_begun_is_never_taken_for_one_that_was_not() {
    let (disk, _) = crashed_after_four();
    disk.edit(&path(1), |bytes| bytes[..64].fill(0));
    let error = SegmentReader::open(&disk, directory(), 1).unwrap_err();
    assert!(matches!(error, SegmentError::Head { .. }), "{error}");

    let disk = empty_disk();
    writer(&disk).roll().unwrap();
    disk.edit(&path(1), |bytes| bytes.fill(0));
    let error = SegmentReader::open(&disk, directory(), 1).unwrap_err();
    assert!(matches!(error, SegmentError::Head { .. }), "{error}");
}

#[test]
fn a_segment_with_any_bit_of_its_head_flipped_is_refused_or_says_that_it_is_newer() {
    let (disk, _) = crashed_after_four();
    let whole = disk.read(&path(1));
    for bit in 0..64 * 8 {
        disk.put(&path(1), whole.clone());
        disk.edit(&path(1), |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        let error = SegmentReader::open(&disk, directory(), 1).unwrap_err();
        assert!(
            matches!(error, SegmentError::Head { .. } | SegmentError::Newer { .. }),
            "{error}"
        );
    }
}

/// The lowest byte of the version after this one.
const NEWER: u8 = VERSION as u8 + 1;

#[test]
fn a_newer_segment_is_told_from_damage() {
    let (disk, _) = crashed_after_four();
    disk.edit(&path(1), |bytes| bytes[8] = NEWER);
    let error = SegmentReader::open(&disk, directory(), 1).err().unwrap();
    assert!(
        matches!(error, SegmentError::Newer { segment: 1, found } if found == u32::from(NEWER)),
        "{error}"
    );
}

#[test]
fn a_segment_under_another_segments_name_is_refused() {
    let (disk, _) = crashed_after_four();
    disk.put(&path(2), disk.read(&path(1)));
    let error = SegmentReader::open(&disk, directory(), 2)
        .unwrap_err()
        .to_string();
    assert!(error.contains("another segment's number"), "{error}");
}

// === Power losses ===

/// Appends records, syncs after some, loses power, and reads: synced records are there, in order, and nothing
/// is made up.
#[track_caller]
fn check_power_loss(syncs: &[bool], seed: u64) {
    let disk = empty_disk();
    let mut writer = writer(&disk);
    let mut synced = 0;
    for (number, &sync) in syncs.iter().enumerate() {
        writer.append(&record(number as u64)).unwrap();
        if sync {
            writer.sync().unwrap();
            synced = number as u64 + 1;
        }
    }
    let survived = items(&disk.after_power_loss(seed), 1);
    assert!(
        survived
            .iter()
            .all(|item| !matches!(item, Item::Damaged { synced: true, .. }))
    );
    let numbers: Vec<u64> = survived
        .iter()
        .filter_map(|item| tell(item).parse().ok())
        .collect();
    assert!(numbers.is_sorted() && numbers.iter().collect::<HashSet<_>>().len() == numbers.len());
    assert!(
        (0..synced).all(|number| numbers.contains(&number)),
        "{synced} synced, {numbers:?} read"
    );
    assert!(numbers.iter().all(|&number| number < syncs.len() as u64));
}

proptest! {
    #[test]
    fn a_power_loss_takes_no_synced_record_and_is_never_taken_for_damage(
        syncs in prop::collection::vec(any::<bool>(), 1..40),
        seed: u64,
    ) {
        check_power_loss(&syncs, seed);
    }

    #[test]
    fn any_damage_is_survived_and_costs_only_the_records_it_touches(at in 64usize..500, bytes in prop::collection::vec(any::<u8>(), 1..100)) {
        let (disk, borders) = crashed_after_four();
        disk.edit(&path(1), |file| file[at..at + bytes.len()].copy_from_slice(&bytes));
        let read = story(&disk, 1);
        for record in 0..4 {
            let touched = at < borders[record + 1] && at + bytes.len() > borders[record];
            prop_assert!(touched || read.contains(&record.to_string()), "record {} of {}", record, read);
        }
    }
}

// === Checkpoints ===

#[test]
fn a_checkpoint_file_comes_back_as_it_was() {
    let file = encode_checkpoint(&sample::checkpoint()).unwrap();
    assert_eq!(decode_checkpoint(&file).unwrap(), sample::checkpoint());
}

#[test]
fn a_checkpoint_cut_at_any_byte_is_refused() {
    let file = encode_checkpoint(&sample::checkpoint()).unwrap();
    for cut in 0..file.len() {
        assert!(decode_checkpoint(&file[..cut]).is_err(), "{cut}");
    }
}

#[test]
fn a_checkpoint_with_any_bit_flipped_is_refused() {
    let file = encode_checkpoint(&sample::checkpoint()).unwrap();
    for bit in 0..file.len() * 8 {
        let mut flipped = file.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(decode_checkpoint(&flipped).is_err(), "bit {bit}");
    }
}

#[test]
fn a_newer_checkpoint_is_told_from_damage() {
    let mut file = encode_checkpoint(&sample::checkpoint()).unwrap();
    file[8] = NEWER;
    let found = NEWER.into();
    assert_eq!(decode_checkpoint(&file), Err(CheckpointError::Newer { found }));
}
