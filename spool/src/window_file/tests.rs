use std::time::Duration;

use super::*;
use crate::event::Commit;
use crate::retry::RetryWindows;
use crate::state::receipts::Receipts;
use crate::state::window::tests as sample;

const HEAD: WindowHead = WindowHead {
    spool: Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
    segment: 7,
    before: 12,
    written_at_ms: 1_700_000_000_000,
};

fn commit(number: InsertNo, token: Option<&str>) -> Commit {
    sample::commit(number, token, HEAD.written_at_ms + number)
}

fn empty() -> Window {
    let hour = Duration::from_secs(3600);
    let lengths = RetryWindows {
        token: hour,
        query_id: hour,
        identical: hour,
    };
    Window::new(1, lengths, 100)
}

/// One INSERT that an earlier file has and that is undone since, one with a token, one without.
fn window() -> Window {
    fill(empty())
}

/// The same without receipts, as files were before there were any.
fn window_without_receipts() -> Window {
    let mut window = empty();
    window.receipts = Receipts::default();
    fill(window)
}

fn fill(mut window: Window) -> Window {
    window.committed(&commit(9, Some("undone")), "d.t", 3, 30, true);
    window.saved(10);
    window.aborted(9);
    window.committed(&commit(10, Some("t")), "d.t", 3, 30, false);
    window.committed(&commit(11, None), "d.t", 4, 40, false);
    window
}

#[test]
fn a_file_gives_back_what_was_in_none_before() {
    let window = window();
    let bytes = encode(&HEAD, &window);
    let file = decode(&bytes).unwrap();
    assert_eq!(file.head, HEAD);
    let entries: Vec<_> = file.entries().collect();
    let expected: Vec<_> = Kind::ALL
        .into_iter()
        .flat_map(|kind| window.unsaved(kind).map(move |known| (kind, *known)))
        .collect();
    assert_eq!(entries, expected);
    assert_eq!(entries.len(), 3);
    assert_eq!(file.freed().collect::<Vec<_>>(), window.freed());
    assert_eq!(window.freed().len(), 1);
    let receipts: Vec<_> = file.receipts().collect();
    assert_eq!(receipts, window.receipts.unsaved().copied().collect::<Vec<_>>());
    assert_eq!(receipts.len(), 2);
    assert_eq!(file.freed_receipts().collect::<Vec<_>>(), [9]);
}

#[test]
fn a_file_that_is_cut_or_has_a_flipped_bit_anywhere_is_damaged_and_never_misread() {
    let bytes = encode(&HEAD, &window());
    for length in 0..bytes.len() {
        assert!(decode(&bytes[..length]).is_err(), "cut at {length}");
    }
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&flipped).is_err(), "bit {bit}");
    }
}

#[test]
fn a_file_of_a_later_version_is_told_from_a_damaged_one() {
    let mut bytes = encode(&HEAD, &window());
    bytes[8] = 2;
    assert_eq!(decode(&bytes).unwrap_err(), WindowFileError::Newer { found: 2 });
}

#[test]
fn counts_that_no_file_can_have_are_damage_though_the_checksum_holds() {
    for at in [12, 56, 64, 72, 80] {
        let mut bytes = encode(&HEAD, &window());
        bytes[at..at + 4].fill(u8::MAX);
        let sum = checksum(&bytes);
        put(&mut bytes, CHECKED_BYTES, sum);
        assert!(decode(&bytes).is_err(), "count at {at}");
    }
}

/// What lies on disks stays readable: spool/golden/README.md tells how the file was made.
#[test]
fn a_file_of_version_1_is_read() {
    let bytes = std::fs::read(golden()).unwrap();
    assert_eq!(bytes, encode(&HEAD, &window_without_receipts()));
    assert_eq!(decode(&bytes).unwrap().receipts().count(), 0);
}

fn golden() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/v1/window")
}

#[test]
#[ignore = "run once for each version of the format, by hand: golden/README.md"]
fn write_the_file() {
    assert!(!golden().exists(), "it is there and must stay as it is");
    std::fs::write(golden(), encode(&HEAD, &window_without_receipts())).unwrap();
}
