//! Rows above the limit, announced lengths that lie, and linear time.

use super::*;

#[track_caller]
fn refuses_long(format: Format, body: &[u8], row: u64) {
    let mut reader = Reader::new(format, "k UInt8, s String", &["k"]);
    reader.max_row_bytes = 100;
    for size in [1, 64, body.len()] {
        let error = reader.read(body.chunks(size)).expect_err("the row is too long");
        assert_eq!(
            (error.code, error.row),
            (code::TOO_MANY_BYTES, Some(row)),
            "{format:?} {size}: {error}"
        );
    }
}

#[test]
fn a_row_above_the_limit_is_refused_in_every_format() {
    let long = "x".repeat(200);
    refuses_long(
        Format::JsonEachRow,
        format!("{{\"k\":1}}\n{{\"k\":1,\"s\":\"{long}\"}}").as_bytes(),
        2,
    );
    refuses_long(Format::TabSeparated, format!("1\ta\n1\t{long}\n").as_bytes(), 2);
    refuses_long(Format::Csv, format!("1,a\n1,\"{long}\"\n").as_bytes(), 2);
    refuses_long(Format::Values, format!("(1,'a'),(1,'{long}')").as_bytes(), 2);
    refuses_long(
        Format::RowBinary,
        format!("\x01\x01a\x01\x64{long}").as_bytes(),
        2,
    );
}

#[test]
fn a_row_of_exactly_the_limit_is_taken() {
    let mut reader = Reader::new(Format::TabSeparated, "k UInt8, s String", &["k"]);
    reader.max_row_bytes = 10;
    assert_eq!(reader.read_all(b"1\txxxxxxxx\n").unwrap().rows.len(), 1);
    assert_eq!(reader.read(b"1\txxxxxxxx\n".chunks(1)).unwrap().rows.len(), 1);
}

#[test]
fn an_announced_length_is_refused_at_once_and_reserves_nothing() {
    let mut reader = Reader::new(
        Format::RowBinary,
        "s String, a Array(UInt64), b Array(String)",
        &[],
    );
    reader.max_row_bytes = 1000;
    let huge = b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f";
    let bodies = [
        huge.to_vec(),
        [&b"\0"[..], huge].concat(),
        b"\0\0\xff\xff\xff\x7f\xff\x7f".to_vec(),
    ];
    for body in bodies {
        let mut stream = reader.stream().unwrap();
        let error = stream
            .push(&body, &mut |_: &Rows<'_>| Ok::<(), FormatError>(()))
            .unwrap_err();
        assert_eq!(error.code, code::TOO_MANY_BYTES);
    }
}

/// Byte by byte, a row of 1 MiB is looked at some twenty times, not a million times; the test would not end
/// otherwise.
#[test]
fn a_long_row_in_tiny_chunks_takes_linear_time() {
    for format in [Format::JsonEachRow, Format::Csv, Format::Values] {
        let text = "x".repeat(1 << 20);
        let body = match format {
            Format::JsonEachRow => format!("{{\"s\":\"{text}\"}}"),
            Format::Csv => format!("1,\"{text}\"\n"),
            _ => format!("(1,'{text}')"),
        };
        let mut reader = Reader::new(format, "k UInt8, s String", &["k"]);
        reader.max_row_bytes = 2 << 20;
        assert_eq!(reader.read(body.as_bytes().chunks(1)).unwrap().rows.len(), 1);
    }
}

#[test]
fn deep_nesting_is_refused_without_recursion() {
    let deep = "[".repeat(100_000);
    let mut reader = Reader::new(Format::JsonEachRow, "k UInt8, s String", &["k"]);
    assert_eq!(
        reader
            .read_all(format!("{{\"s\":{deep}").as_bytes())
            .unwrap_err()
            .code,
        code::INCORRECT_DATA
    );
    reader.format = Format::Values;
    assert_eq!(
        reader.read_all(format!("(1,{deep}").as_bytes()).unwrap_err().code,
        code::SYNTAX_ERROR
    );
}
