use std::path::Path;

use crate::tests::{Reader, golden_reader};
use crate::{Format, code};

fn file(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)).unwrap()
}

const FORMATS: [Format; 3] = [Format::Arrow, Format::ArrowStream, Format::Parquet];

fn golden(format: Format) -> (Reader, Vec<u8>) {
    (
        golden_reader(format),
        file(&format!("all_types.{}", format.name())),
    )
}

#[test]
fn a_file_that_ends_too_early_is_an_error_wherever_it_ends() {
    for format in FORMATS {
        let (reader, body) = golden(format);
        let step = if format == Format::Parquet { 997 } else { 251 };
        for cut in (1..body.len()).step_by(step).chain([body.len() - 1]) {
            match reader.read_all(&body[..cut]) {
                // A stream may end without saying so, or before it has a batch.
                Ok(read) => assert!(
                    format == Format::ArrowStream && [0, 200].contains(&read.rows.len()),
                    "{cut}"
                ),
                Err(error) => assert!(error.row.is_some() && error.offset.is_some(), "{error}"),
            }
        }
    }
}

#[test]
fn no_broken_file_panics() {
    for format in FORMATS {
        let (reader, body) = golden(format);
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..300 {
            let mut broken = body.clone();
            for _ in 0..3 {
                seed = seed
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let at = (seed >> 33) as usize % broken.len();
                broken[at] = (seed >> 17) as u8;
            }
            // Either rows or an error: most flips are in values.
            let _ = reader.read_all(&broken);
        }
    }
}

#[test]
fn columns_are_found_by_name_and_others_are_left_out() {
    for format in FORMATS {
        let (_, body) = golden(format);
        let reader = Reader::new(format, "zz UInt8, s String, k UInt64", &["k", "zz"]);
        let read = reader.read_all(&body).unwrap();
        assert_eq!(read.columns, ["s", "k"], "{}", format.name());
        assert_eq!(read.rows.len(), 200);
        assert!(read.key.iter().all(|key| key[1] == "-0"));
    }
}

#[test]
fn what_is_no_such_file_is_refused() {
    for format in FORMATS {
        let reader = Reader::new(format, "k UInt8", &["k"]);
        let error = reader.read_all(b"1,2,3\n4,5,6\nand so on").unwrap_err();
        assert!(
            [code::INCORRECT_DATA, code::CANNOT_READ_ALL_DATA].contains(&error.code),
            "{error}"
        );
    }
}

#[test]
fn a_stream_is_followed_by_nothing_and_a_file_by_its_footer() {
    let (reader, body) = golden(Format::ArrowStream);
    let error = reader
        .read_all(&[body.as_slice(), body.as_slice()].concat())
        .unwrap_err();
    assert_eq!(error.code, code::INCORRECT_DATA, "{error}");
    let (reader, body) = golden(Format::Arrow);
    let error = reader.read_all(&body[..body.len() - 6]).unwrap_err();
    assert_eq!(error.code, code::CANNOT_READ_ALL_DATA, "{error}");
}

#[test]
fn a_batch_above_the_limit_is_refused_before_it_is_there() {
    let (mut reader, body) = golden(Format::ArrowStream);
    reader.max_row_bytes = 1000;
    let error = reader.read_all(&body).unwrap_err();
    assert_eq!(error.code, code::TOO_MANY_BYTES, "{error}");
}

#[test]
fn a_description_that_is_shorter_than_its_own_head_is_refused() {
    for length in [1_u8, 3, 7] {
        let body = [&[length, 0, 0, 0][..], &[0; 400]].concat();
        let error = golden_reader(Format::ArrowStream).read_all(&body).unwrap_err();
        assert_eq!(error.code, code::INCORRECT_DATA, "{error}");
    }
}
