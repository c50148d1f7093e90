//! Each encoding in pieces of any size, cut anywhere, followed by garbage, and as a bomb.

use std::io::Write as _;

use super::*;

/// The text of every sample: 20,000 rows of two numbers.
fn text() -> Vec<u8> {
    (0..20_000_u64)
        .flat_map(|n| format!("{}\t{}\n", n / 8, n * 7919 % 97).into_bytes())
        .collect()
}

/// How many bytes are fed at once.
#[derive(Clone, Copy)]
struct Piece(usize);

fn decode_with(mut decoder: Decoder, body: &[u8], piece: Piece) -> Result<Vec<u8>, Exception> {
    let mut out = Vec::new();
    let mut pieces = body.chunks(piece.0);
    let mut input_ended = false;
    loop {
        let room = out.len() + 10_000;
        match decoder.step(&mut out, room)? {
            Need::Output => {}
            Need::Memory(more) => {
                assert!(more <= MEMBER_BYTES_MAX);
                decoder.grant();
            }
            Need::Input if input_ended => return decoder.end().map(|()| out),
            Need::Input => match pieces.next() {
                Some(bytes) => decoder.feed(bytes),
                None => {
                    input_ended = true;
                    decoder.end_input();
                }
            },
        }
    }
}

fn decode(encoding: Option<Encoding>, blocks: bool, body: &[u8], piece: Piece) -> Result<Vec<u8>, Exception> {
    decode_with(Decoder::new(encoding, blocks)?.unwrap(), body, piece)
}

const WHOLE: Piece = Piece(usize::MAX);

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One block by method.
fn block(method: u8, raw: &[u8]) -> Vec<u8> {
    let data = match method {
        0x82 => lz4_flex::block::compress(raw),
        0x90 => {
            let mut out = vec![0; zstd_safe::compress_bound(raw.len())];
            let len = zstd_safe::compress(&mut out[..], raw, 1).unwrap();
            out.truncate(len);
            out
        }
        _ => raw.to_vec(),
    };
    let mut rest = vec![method];
    rest.extend((data.len() as u32 + 9).to_le_bytes());
    rest.extend((raw.len() as u32).to_le_bytes());
    rest.extend(data);
    let (low, high) = types::city_hash_128(&rest);
    [low.to_le_bytes().to_vec(), high.to_le_bytes().to_vec(), rest].concat()
}

fn blocks(text: &[u8]) -> Vec<u8> {
    let methods = [0x82, 0x90, 0x02].into_iter().cycle();
    text.chunks(70_000)
        .zip(methods)
        .flat_map(|(raw, method)| block(method, raw))
        .collect()
}

/// Hadoop blocks of 100,000 raw bytes in chunks of 30,000.
fn hadoop(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for raw in text.chunks(100_000) {
        out.extend((raw.len() as u32).to_be_bytes());
        for chunk in raw.chunks(30_000) {
            let data = snap::raw::Encoder::new().compress_vec(chunk).unwrap();
            out.extend((data.len() as u32).to_be_bytes());
            out.extend(data);
        }
    }
    out
}

/// Each encoding with a body of the text.
fn bodies() -> Vec<(&'static str, Encoding, Vec<u8>)> {
    macro_rules! sample {
        ($encoding:ident, $name:literal) => {
            (
                $name,
                Encoding::$encoding,
                include_bytes!(concat!("samples/", $name)).to_vec(),
            )
        };
    }
    vec![
        sample!(Gzip, "text.gz"),
        sample!(Deflate, "text.deflate"),
        sample!(Brotli, "text.br"),
        sample!(Zstd, "text.zst"),
        sample!(Zstd, "checked.zst"),
        sample!(Lz4, "text.lz4"),
        sample!(Lz4, "linked.lz4"),
        sample!(Lz4, "checked.lz4"),
        sample!(Xz, "text.xz"),
        sample!(Xz, "small-dictionary.xz"),
        sample!(Bzip2, "text.bz2"),
        ("hadoop", Encoding::Snappy, hadoop(&text())),
    ]
}

#[test]
fn every_encoding_is_decoded_in_pieces_of_any_size() {
    let text = text();
    for (name, encoding, body) in bodies() {
        for piece in [Piece(1), Piece(7), Piece(4_096), WHOLE] {
            let decoded = decode(Some(encoding), false, &body, piece).unwrap();
            assert!(decoded == text, "{name} in pieces of {}", piece.0);
        }
    }
}

#[test]
fn concatenated_members_are_one_body_in_every_encoding() {
    let twice = [text(), text()].concat();
    for (name, encoding, body) in bodies() {
        let body = [body.clone(), body].concat();
        for piece in [Piece(1), Piece(1_000), WHOLE] {
            let decoded = decode(Some(encoding), false, &body, piece)
                .unwrap_or_else(|error| panic!("{name} in pieces of {}: {error}", piece.0));
            assert!(decoded == twice, "{name} in pieces of {}", piece.0);
        }
    }
}

#[test]
fn a_body_cut_anywhere_is_refused_in_every_encoding() {
    for (name, encoding, body) in bodies() {
        let cuts = (1..body.len())
            .step_by(body.len() / 60)
            .chain(body.len() - 12..body.len());
        for cut in cuts {
            // A Hadoop block's own border is the only place where a shorter body is whole.
            if name == "hadoop" && cut == hadoop(&text()[..100_000]).len() {
                continue;
            }
            let error = decode(Some(encoding), false, &body[..cut], WHOLE)
                .err()
                .unwrap_or_else(|| panic!("{name} cut at {cut} of {} was taken", body.len()));
            assert_eq!(error.status.as_u16(), 400, "{name}: {error}");
        }
    }
}

#[test]
fn garbage_behind_the_last_member_is_refused() {
    for (name, encoding, mut body) in bodies() {
        body.extend(b"garbage behind the end");
        let error = decode(Some(encoding), false, &body, WHOLE);
        assert!(error.is_err(), "{name}");
    }
    let plain = b"a body that is not compressed at all\n";
    for (name, encoding, _) in bodies() {
        assert!(decode(Some(encoding), false, plain, WHOLE).is_err(), "{name}");
    }
}

#[test]
fn an_altered_byte_is_found_where_the_encoding_has_a_checksum() {
    // Brotli and Snappy have none: what they decode to is the formats' to check.
    for (name, encoding, body) in bodies() {
        if matches!(encoding, Encoding::Brotli | Encoding::Snappy) || name == "text.zst" || name == "text.lz4"
        {
            continue;
        }
        for at in (20..body.len() - 20).step_by(body.len() / 20) {
            let mut altered = body.clone();
            altered[at] ^= 0x10;
            // The linked sample has a checksum of its content alone, as most frames.
            let decoded = decode(Some(encoding), false, &altered, WHOLE);
            assert!(decoded.is_err(), "{name} altered at {at}");
        }
    }
}

#[test]
fn an_empty_body_is_empty_whatever_its_encoding() {
    for (name, encoding, _) in bodies() {
        assert_eq!(decode(Some(encoding), false, b"", WHOLE).unwrap(), b"", "{name}");
    }
    assert_eq!(decode(None, true, b"", WHOLE).unwrap(), b"");
    assert_eq!(
        decode(Some(Encoding::Brotli), false, b"\x06", WHOLE).unwrap(),
        b""
    );
}

#[test]
fn windows_beyond_the_limit_are_refused_with_what_to_do() {
    let long = decode(
        Some(Encoding::Zstd),
        false,
        include_bytes!("samples/long.zst"),
        WHOLE,
    )
    .unwrap_err();
    assert_eq!(long.code, code::ZSTD_DECODER_FAILED);
    assert!(long.message.contains("--ultra"), "{long}");
    let level9 = decode(
        Some(Encoding::Xz),
        false,
        include_bytes!("samples/level9.xz"),
        WHOLE,
    )
    .unwrap_err();
    assert_eq!(level9.code, code::LZMA_STREAM_DECODER_FAILED);
    assert!(level9.message.contains("xz -6"), "{level9}");
}

#[test]
fn blocks_of_every_method_are_decoded_alone_and_inside_an_encoding() {
    let (text, framed) = (text(), blocks(&text()));
    for piece in [Piece(1), Piece(1_000), WHOLE] {
        assert!(decode(None, true, &framed, piece).unwrap() == text);
        assert!(decode(Some(Encoding::Gzip), true, &gzip(&framed), piece).unwrap() == text);
    }
    assert_eq!(decode(None, true, &block(0x82, b""), WHOLE).unwrap(), b"");
}

#[test]
fn blocks_cut_inside_are_refused() {
    let framed = blocks(&text()[..1_000]);
    for cut in 1..framed.len() {
        let error = decode(None, true, &framed[..cut], WHOLE).unwrap_err();
        assert_eq!(error.code, code::CANNOT_READ_ALL_DATA, "cut at {cut}");
    }
}

#[track_caller]
fn check_block(body: &[u8], expected: i32, words: &str) {
    let error = decode(None, true, body, WHOLE).unwrap_err();
    assert_eq!((error.code, error.status.as_u16()), (expected, 400), "{error}");
    assert!(error.message.contains(words), "{error}");
}

#[test]
fn broken_blocks_have_clickhouse_s_codes() {
    let mut altered = block(0x82, b"hello hello hello hello");
    *altered.last_mut().unwrap() ^= 1;
    check_block(&altered, code::CHECKSUM_DOESNT_MATCH, "checksum doesn't match");
    check_block(&block(0x92, b"x"), code::UNKNOWN_CODEC, "Delta");
    check_block(&block(0x07, b"x"), code::UNKNOWN_CODEC, "codec family code 7");
    check_block(
        b"1,2,3\n4,5,6\n7,8,9\n10,11,12\n",
        code::UNKNOWN_CODEC,
        "decompress=1",
    );
    let mut short = block(0x82, b"x");
    short[17..21].copy_from_slice(&3_u32.to_le_bytes());
    check_block(&short, code::CANNOT_DECOMPRESS, "fewer than its own head");
}

#[test]
fn a_block_that_announces_an_absurd_size_is_refused_before_it_came() {
    for at in [17, 21] {
        let mut absurd = block(0x82, b"x");
        absurd[at..at + 4].copy_from_slice(&(1_u32 << 30).to_le_bytes());
        check_block(&absurd[..25], code::TOO_LARGE_SIZE_COMPRESSED, "the limit");
    }
}

#[test]
fn a_bomb_ends_in_an_error_that_names_the_limit() {
    let bomb = gzip(&vec![0; 4 << 20]);
    assert!(bomb.len() < 10_000);
    let mut decoder = Decoder::new(Some(Encoding::Gzip), false).unwrap().unwrap();
    decoder.free_bytes = 1 << 20;
    let error = decode_with(decoder, &bomb, WHOLE).err().unwrap();
    assert_eq!(error.code, code::TOO_MANY_BYTES);
    assert!(error.message.contains("EXPANSION_MAX"), "{error}");
    assert_eq!(
        decode(Some(Encoding::Gzip), false, &bomb, WHOLE).unwrap().len(),
        4 << 20
    );
}

#[test]
fn one_bare_snappy_block_is_taken_as_fluent_bit_sends_it() {
    let body = snap::raw::Encoder::new().compress_vec(&text()).unwrap();
    for piece in [Piece(1_000), WHOLE] {
        assert!(decode(Some(Encoding::Snappy), false, &body, piece).unwrap() == text());
    }
    let error = decode(Some(Encoding::Snappy), false, &body[..body.len() - 1], WHOLE).unwrap_err();
    assert_eq!(error.code, code::SNAPPY_UNCOMPRESS_FAILED);
}

#[test]
fn zstd_and_lz4_frames_for_others_are_passed_over() {
    let skipped = b"\x50\x2a\x4d\x18\x05\0\0\0other";
    for (name, encoding, body) in bodies() {
        if matches!(encoding, Encoding::Zstd | Encoding::Lz4) {
            let body = [&skipped[..], &body, skipped].concat();
            assert!(
                decode(Some(encoding), false, &body, Piece(3)).unwrap() == text(),
                "{name}"
            );
        }
    }
}

#[test]
fn padding_between_xz_streams_is_passed_over() {
    let body = include_bytes!("samples/text.xz");
    let padded = [&body[..], &[0; 8], body, &[0; 4]].concat();
    for piece in [Piece(1), Piece(3), WHOLE] {
        assert_eq!(
            decode(Some(Encoding::Xz), false, &padded, piece).unwrap().len(),
            2 * text().len()
        );
    }
}

#[track_caller]
fn check_named(name: &str, expected: Option<Encoding>) {
    assert_eq!(Encoding::named(name).unwrap(), expected, "{name}");
}

#[test]
fn encodings_have_clickhouse_s_names_and_others_its_code() {
    check_named("gzip", Some(Encoding::Gzip));
    check_named("X-GZIP", Some(Encoding::Gzip));
    check_named("gz", Some(Encoding::Gzip));
    check_named("br", Some(Encoding::Brotli));
    check_named("brotli", Some(Encoding::Brotli));
    check_named("zst", Some(Encoding::Zstd));
    check_named("lzma", Some(Encoding::Xz));
    check_named("identity", None);
    check_named("", None);
    for unknown in ["compress", "gzip, br", "bzip2"] {
        let error = Encoding::named(unknown).unwrap_err();
        assert_eq!(error.code, code::NOT_IMPLEMENTED);
        assert!(error.message.contains(unknown), "{error}");
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300),
        which in 0_usize..12,
        at in 0_usize..2_000,
        piece in 1_usize..50,
    ) {
        let (_, encoding, mut body) = bodies().swap_remove(which);
        body.truncate(at + bytes.len() + 50);
        for (byte, altered) in bytes.iter().zip(body.iter_mut().skip(at)) {
            *altered ^= byte & 0x11;
        }
        let _ = decode(Some(encoding), false, &body, Piece(piece));
        let _ = decode(Some(encoding), true, &bytes, Piece(piece));
        let mut framed = blocks(&text()[..300]);
        for (byte, altered) in bytes.iter().zip(framed.iter_mut().skip(16)) {
            *altered ^= byte;
        }
        let _ = decode(None, true, &framed, Piece(piece));
    }
}
