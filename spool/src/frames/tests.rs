use proptest::prelude::*;

use super::*;

fn frame_of(raw: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let bytes = compress(raw, &mut frame).unwrap();
    assert_eq!(bytes as usize, frame.len());
    frame
}

fn rows_of(frames: &[u8]) -> Result<Vec<u8>, FrameError> {
    let mut reader = FrameReader::new(frames, 0);
    let (mut rows, mut raw) = (Vec::new(), Vec::new());
    while reader.next_frame(&mut raw)?.is_some() {
        rows.extend_from_slice(&raw);
    }
    Ok(rows)
}

#[track_caller]
fn check_refused(frames: &[u8], expected: &str) {
    let error = rows_of(frames).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn a_frame_is_checksum_method_sizes_and_block_in_clickhouses_order() {
    let frame = frame_of(b"1\tWeir\n");
    assert_eq!(frame[16], 0x82);
    assert_eq!(u32_at(&frame, 17) as usize, frame.len() - 16);
    assert_eq!(u32_at(&frame, 21), 7);
    let (low, high) = city_hash_128(&frame[16..]);
    assert_eq!(frame[..8], low.to_le_bytes());
    assert_eq!(frame[8..16], high.to_le_bytes());
    // The literal run of 7 bytes is the whole LZ4 block.
    assert_eq!(frame[25..], *b"\x701\tWeir\n");
}

#[test]
fn frames_stand_end_to_end_and_are_read_in_order() {
    let frames = [frame_of(b"one\n"), frame_of(b"two\n")].concat();
    assert_eq!(rows_of(&frames).unwrap(), b"one\ntwo\n");
    assert_eq!(rows_of(&[]).unwrap(), b"");
}

#[test]
fn a_frame_cut_at_any_byte_is_refused() {
    let frames = [frame_of(b"one\n"), frame_of(b"two\n")].concat();
    let border = frame_of(b"one\n").len();
    for bytes in (1..frames.len()).filter(|&bytes| bytes != border) {
        check_refused(&frames[..bytes], "cut short");
    }
}

#[test]
fn a_frame_with_any_bit_flipped_is_refused() {
    let frame = frame_of(b"a row of some length, a row of some length\n");
    for bit in 0..frame.len() * 8 {
        let mut flipped = frame.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(rows_of(&flipped).is_err(), "bit {bit}");
    }
}

#[test]
fn an_error_names_the_offset_of_its_frame() {
    let mut frames = [frame_of(b"one\n"), frame_of(b"two\n")].concat();
    let border = frame_of(b"one\n").len();
    *frames.last_mut().unwrap() ^= 1;
    check_refused(&frames, &format!("frame at offset {border} has checksum"));
}

#[test]
fn sizes_beyond_the_limits_are_refused_before_memory_is_taken() {
    for (at, claim) in [(17, u32::MAX), (17, 0), (17, 9), (21, u32::MAX), (21, 0)] {
        let mut frame = frame_of(b"one\n");
        frame[at..at + 4].copy_from_slice(&claim.to_le_bytes());
        check_refused(&frame, "claims");
    }
}

#[test]
fn a_size_within_the_limits_takes_memory_only_for_bytes_that_are_there() {
    let mut frame = frame_of(b"one\n");
    frame[17..21].copy_from_slice(&(60u32 << 20).to_le_bytes());
    let mut reader = FrameReader::new(frame.as_slice(), 0);
    assert!(reader.next_frame(&mut Vec::new()).is_err());
    assert!(reader.frame.capacity() < 1 << 20);
}

#[test]
fn another_method_is_named() {
    let mut frame = frame_of(b"one\n");
    frame[16] = 0x90;
    check_refused(&frame, "compression method 0x90");
}

#[test]
fn a_block_that_lies_about_its_raw_size_is_refused() {
    let mut frame = frame_of(b"one\n");
    frame[21..25].copy_from_slice(&5u32.to_le_bytes());
    let checksum = checksum(&frame[16..]);
    frame[..16].copy_from_slice(&checksum.to_le_bytes());
    check_refused(&frame, "4 bytes came out, its header says 5");
}

#[test]
fn nothing_and_too_much_do_not_become_a_frame() {
    assert!(matches!(
        compress(b"", &mut Vec::new()),
        Err(FrameError::RawSize { bytes: 0 })
    ));
    let row = vec![0; RAW_BYTES_MAX + 1];
    assert!(matches!(
        compress(&row, &mut Vec::new()),
        Err(FrameError::RawSize { .. })
    ));
}

#[test]
fn a_row_of_the_largest_size_has_a_frame_of_its_own() {
    let row = vec![b'x'; RAW_BYTES_MAX];
    assert!(rows_of(&frame_of(&row)).unwrap() == row);
}

#[test]
fn a_whole_frame_is_decompressed_and_nothing_else_is() {
    let frame = frame_of(b"one\n");
    let mut raw = b"zero\n".to_vec();
    decompress(&frame, &mut raw).unwrap();
    assert_eq!(raw, b"zero\none\n");
    assert!(decompress(&[frame.as_slice(), b"x"].concat(), &mut raw).is_err());
    assert_eq!(raw, b"zero\none\n", "a failure leaves what was there");
}

#[test]
fn an_unopened_frame_is_checked_as_well() {
    let mut frame = frame_of(b"one\n");
    let len = frame.len();
    let mut reader = FrameReader::new(frame.as_slice(), 0);
    let (header, bytes) = reader.next_unopened().unwrap().unwrap();
    assert_eq!((header.raw_bytes, header.frame_bytes, bytes.len()), (4, len, len));
    assert!(reader.next_unopened().unwrap().is_none());
    *frame.last_mut().unwrap() ^= 1;
    assert!(FrameReader::new(frame.as_slice(), 0).next_unopened().is_err());
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

proptest! {
    #[test]
    fn any_rows_come_back(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..5000), 0..8)) {
        let frames: Vec<u8> = chunks.iter().flat_map(|chunk| frame_of(chunk)).collect();
        prop_assert_eq!(rows_of(&frames).unwrap(), chunks.concat());
    }

    #[test]
    fn any_bytes_give_rows_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = rows_of(&bytes);
    }
}
