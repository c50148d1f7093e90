use std::path::{Path, PathBuf};

use super::*;
use crate::tests::{Body, Reader, check_every_cut, show};
use crate::{Format, FormatError, Rows, Settings};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/native")
}

/// The bodies that ClickHouse wrote, each with a reader of its table.
fn golden() -> Vec<(String, Reader, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "Native") {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let types = std::fs::read_to_string(path.with_extension("types")).unwrap();
            let reader = Reader::new(Format::Native, types.trim(), &["k"]);
            found.push((name, reader, std::fs::read(path).unwrap()));
        }
    }
    assert!(found.len() > 10);
    found
}

fn text(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    crate::columnar::put_varint(text.len() as u64, &mut out);
    out.extend_from_slice(text.as_bytes());
    out
}

/// A column of a block: name, type, data.
fn column(name: &str, data_type: &str, data: &[u8]) -> Vec<u8> {
    [text(name), text(data_type), data.to_vec()].concat()
}

fn block(rows: u8, columns: &[Vec<u8>]) -> Vec<u8> {
    [vec![columns.len() as u8, rows], columns.concat()].concat()
}

#[track_caller]
fn refused(reader: &Reader, body: &[u8], code: i32, words: &str) {
    check_every_cut(reader, body);
    let error = reader.read_all(body).unwrap_err();
    assert_eq!(error.code, code, "{error}");
    assert!(error.message.contains(words), "{error}");
}

/// Splits a body by `k % shards` into bodies, window by window.
fn split(reader: &Reader, body: &[u8], shards: usize, chunk: usize) -> Vec<Vec<u8>> {
    let mut shares = vec![Vec::new(); shards];
    let mut stream = reader.stream().unwrap();
    let mut take = |rows: &Rows<'_>| {
        let RowsBody::Block(block) = rows.body else {
            panic!("no block")
        };
        for (shard, share) in shares.iter_mut().enumerate() {
            let of_it = |row: &usize| show(&rows.key[0], *row).parse::<usize>().unwrap() % shards == shard;
            let picked: Vec<usize> = (0..rows.count).filter(of_it).collect();
            if !picked.is_empty() {
                block.write(&picked, &[], share);
            }
        }
        Ok::<(), FormatError>(())
    };
    for chunk in body.chunks(chunk) {
        stream.push(chunk, &mut take).unwrap();
    }
    stream.finish(&mut take).unwrap();
    shares
}

#[test]
fn every_type_that_clickhouse_writes_is_split_and_each_row_is_found_again() {
    for (name, reader, body) in golden() {
        let whole = reader
            .read_all(&body)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(whole.rows.len(), 100, "{name}");
        for shards in [1, 2, 7] {
            let mut again = Body {
                columns: whole.columns.clone(),
                ..Body::default()
            };
            for share in split(&reader, &body, shards, 1000) {
                let part = reader
                    .read_all(&share)
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
                again.rows.extend(part.rows);
                again.key.extend(part.key);
            }
            let sorted = |body: &Body| {
                let mut rows: Vec<_> = body.key.iter().cloned().zip(body.rows.iter().cloned()).collect();
                rows.sort();
                rows
            };
            assert_eq!(sorted(&again), sorted(&whole), "{name} over {shards} shards");
        }
    }
}

/// Writes the shares of every golden body into the directory that WEIR_NATIVE_OUT names, where golden/native/check.py
/// has ClickHouse compare them with the originals.
#[test]
#[ignore = "for golden/native/check.py"]
fn shares_for_clickhouse_to_read() {
    let out = PathBuf::from(std::env::var("WEIR_NATIVE_OUT").unwrap());
    let files = [
        Format::Native,
        Format::Arrow,
        Format::ArrowStream,
        Format::Parquet,
    ]
    .map(|format| {
        let mut reader = crate::tests::golden_reader(format);
        reader.key.truncate(1);
        let name = format!("all_types.{}", format.name());
        let body = std::fs::read(directory().join("..").join(&name)).unwrap();
        (name, reader, body)
    });
    for (name, reader, body) in golden().into_iter().chain(files) {
        for (shard, share) in split(&reader, &body, 3, 777).iter().enumerate() {
            std::fs::write(out.join(format!("{name}.{shard}.Native")), share).unwrap();
        }
    }
}

#[test]
fn a_body_reads_the_same_however_it_is_cut() {
    for (name, reader, body) in golden() {
        let whole = reader.read_all(&body).unwrap();
        for size in [1, 3, 64, 1021] {
            assert_eq!(
                reader.read(body.chunks(size)).unwrap(),
                whole,
                "{name} in chunks of {size}"
            );
        }
    }
}

#[test]
fn a_body_that_ends_too_early_is_an_error_wherever_it_ends() {
    for (name, reader, body) in golden() {
        let first_block = reader.read_all(&body).unwrap().rows.len();
        for cut in (0..body.len()).step_by(11) {
            match reader.read_all(&body[..cut]) {
                // Behind a whole block a body may end.
                Ok(read) => assert!(read.rows.len() < first_block, "{name} {cut}"),
                Err(error) => assert_eq!(error.code, code::CANNOT_READ_ALL_DATA, "{name} {cut}: {error}"),
            }
        }
    }
}

#[test]
fn columns_are_found_by_name_and_a_missing_one_is_absent() {
    let reader = Reader::new(Format::Native, "a UInt8, k UInt16, s String", &["k", "a"]);
    let body = block(
        2,
        &[
            column("k", "UInt16", &[1, 0, 2, 1]),
            column("s", "String", b"\x01x\x00"),
        ],
    );
    let read = reader.read_all(&body).unwrap();
    assert_eq!(read.columns, ["k", "s"]);
    assert_eq!(read.key, [["1", "-0"], ["258", "-0"]]);
    check_every_cut(&reader, &body);
}

#[test]
fn blocks_without_rows_and_an_empty_body_are_no_rows() {
    let reader = Reader::new(Format::Native, "k UInt8", &["k"]);
    assert!(reader.read_all(b"").unwrap().rows.is_empty());
    assert!(reader.read_all(&[0, 0]).unwrap().rows.is_empty());
    let body = [
        block(0, &[column("k", "UInt8", b"")]),
        block(1, &[column("k", "UInt8", b"\x05")]),
        vec![0, 0],
    ];
    assert_eq!(reader.read_all(&body.concat()).unwrap().key, [["5"]]);
}

#[test]
fn a_column_of_the_key_is_cast_to_the_tables_type() {
    let check = |table: &str, data_type: &str, data: &[u8], expected: &[&str], written: &str| {
        let reader = Reader::new(Format::Native, &format!("k {table}"), &["k"]);
        let body = block(expected.len() as u8, &[column("k", data_type, data)]);
        let read = reader
            .read_all(&body)
            .unwrap_or_else(|error| panic!("{data_type}: {error}"));
        assert_eq!(read.key.concat(), expected, "{data_type} to {table}");
        let head = [vec![1, 1], text("k"), text(written)].concat();
        assert!(
            read.rows[0].starts_with(&head),
            "{:?}",
            read.rows[0].escape_ascii().to_string()
        );
        check_every_cut(&reader, &body);
    };
    check("UInt8", "UInt16", &[44, 1, 7, 0], &["44", "7"], "UInt8");
    check("UInt64", "Int8", &[255], &["18446744073709551615"], "UInt64");
    check("Int32", "String", b"\x02-7\x0242", &["-7", "42"], "Int32");
    check("String", "UInt16", &[1, 1], &["257"], "String");
    check("Date", "UInt16", &[5, 0], &["5"], "UInt16");
    check(
        "UInt8",
        "Nullable(UInt16)",
        &[1, 0, 9, 9, 4, 0],
        &["-0", "4"],
        "Nullable(UInt8)",
    );
    check(
        "UInt8",
        "Nullable(UInt8)",
        &[1, 0, 9, 4],
        &["-0", "4"],
        "Nullable(UInt8)",
    );
    check("Nullable(UInt8)", "UInt8", &[9], &["9"], "UInt8");
    check(
        "Enum8('a' = 1)",
        "String",
        b"\x01a",
        &["1"],
        "Enum8(\\'a\\' = 1)".replace('\\', "").as_str(),
    );
    check("Float64", "Float32", &1.5_f32.to_le_bytes(), &["1.5"], "Float64");
    check("UInt8", "Float64", &1.9_f64.to_le_bytes(), &["1"], "UInt8");
}

#[test]
fn a_cast_of_the_key_that_is_not_known_exactly_is_refused_by_name() {
    let refuse = |table: &str, data_type: &str, data: &[u8], code: i32, words: &str| {
        let reader = Reader::new(Format::Native, &format!("k {table}"), &["k"]);
        refused(&reader, &block(1, &[column("k", data_type, data)]), code, words);
    };
    refuse(
        "Date",
        "DateTime",
        &[0; 4],
        code::NOT_IMPLEMENTED,
        "column k of the sharding key is DateTime",
    );
    refuse(
        "UInt8",
        "Float64",
        &300.0_f64.to_le_bytes(),
        code::CANNOT_PARSE_NUMBER,
        "in the range",
    );
    refuse(
        "UInt8",
        "String",
        b"\x00",
        code::CANNOT_PARSE_NUMBER,
        "an integer",
    );
    refuse(
        "Enum8('a' = 1)",
        "String",
        b"\x01b",
        code::CANNOT_PARSE_NUMBER,
        "an element's name",
    );
}

#[test]
fn what_is_no_block_is_refused_with_its_place() {
    let reader = Reader::new(Format::Native, "k UInt8, s String, a Array(UInt8)", &["k"]);
    let k = column("k", "UInt8", b"\x01");
    refused(
        &reader,
        &block(1, &[k.clone(), column("z", "UInt8", b"\x01")]),
        code::INCORRECT_DATA,
        "unknown column 'z'",
    );
    refused(
        &reader,
        &block(1, &[k.clone(), k.clone()]),
        code::DUPLICATE_COLUMN,
        "column k stands in the block twice",
    );
    refused(&reader, &[0, 1], code::INCORRECT_DATA, "no columns");
    refused(
        &reader,
        &block(1, &[column("k", "Strange(", b"\x01")]),
        code::UNKNOWN_TYPE,
        "column k",
    );
    refused(
        &reader,
        &block(1, &[column("k", "Unknown", b"\x01")]),
        code::NOT_IMPLEMENTED,
        "column k: values of type",
    );
    let state = column("s", "AggregateFunction(sum, UInt64)", b"\x01");
    refused(
        &reader,
        &block(1, &[k.clone(), state]),
        code::NOT_IMPLEMENTED,
        "AggregateFunction(sum, UInt64)",
    );
    let falling = [9_u64.to_le_bytes(), 3_u64.to_le_bytes()].concat();
    refused(
        &reader,
        &block(2, &[column("a", "Array(UInt8)", &falling)]),
        code::INCORRECT_DATA,
        "never fall",
    );
    refused(
        &reader,
        &[&[255; 11][..], b"\x01"].concat(),
        code::INCORRECT_DATA,
        "at most ten bytes",
    );
    let two = [block(1, &[k]), block(1, &[column("s", "String", b"\x00")])].concat();
    refused(&reader, &two, code::NOT_IMPLEMENTED, "the same columns");
}

#[test]
fn an_unknown_column_is_skipped_where_the_client_asks_for_it() {
    let reader = Reader::new(Format::Native, "k UInt8", &["k"]).with("input_format_skip_unknown_fields", "1");
    let z = column(
        "z",
        "Array(String)",
        &[&2_u64.to_le_bytes()[..], b"\x01a\x00"].concat(),
    );
    let body = block(1, &[z, column("k", "UInt8", b"\x07")]);
    let read = reader.read_all(&body).unwrap();
    assert_eq!(read.rows, [block(1, &[column("k", "UInt8", b"\x07")])]);
    check_every_cut(&reader, &body);
}

#[test]
fn lengths_that_are_lies_reserve_nothing_and_end_as_missing_bytes() {
    let reader = Reader::new(Format::Native, "k UInt8, s String, a Array(String)", &["k"]);
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    let rows = [&[1][..], &huge, &column("k", "UInt8", b"\x01")].concat();
    let string = block(1, &[column("s", "String", &huge)]);
    let array = block(1, &[column("a", "Array(String)", &[0xff; 8])]);
    let name = [&[1, 1][..], &huge].concat();
    for body in [rows, string, array] {
        refused(&reader, &body, code::CANNOT_READ_ALL_DATA, "ends too early");
    }
    refused(&reader, &name, code::TOO_MANY_BYTES, "name");
}

#[test]
fn a_type_nested_very_deep_is_refused() {
    let reader = Reader::new(Format::Native, "k UInt8", &["k"]);
    let deep = format!("{}UInt8{}", "Array(".repeat(100_000), ")".repeat(100_000));
    let error = reader
        .read_all(&block(1, &[column("k", &deep, b"")]))
        .unwrap_err();
    assert_eq!(error.code, code::UNKNOWN_TYPE);
    // Each level is a prefix of its own, which brings the next one's type along.
    let level = [
        &1_u64.to_le_bytes()[..],
        &[1, 1],
        &text("Dynamic"),
        &0_u64.to_le_bytes(),
    ]
    .concat();
    let error = reader
        .read_all(&block(1, &[column("k", "Dynamic", &level.repeat(10_000))]))
        .unwrap_err();
    assert_eq!(error.code, code::INCORRECT_DATA, "{error}");
}

#[test]
fn a_dictionary_must_be_in_the_block_and_hold_what_the_indexes_say() {
    let reader = Reader::new(Format::Native, "k LowCardinality(String)", &["k"]);
    let body = |flags: u64, index: u8| {
        let numbers = |number: u64| number.to_le_bytes();
        let data = [
            &numbers(1)[..],
            &numbers(flags),
            &numbers(2),
            b"\x00\x01x",
            &numbers(1),
            &[index],
        ]
        .concat();
        block(1, &[column("k", "LowCardinality(String)", &data)])
    };
    assert_eq!(reader.read_all(&body(0x600, 1)).unwrap().key, [["x"]]);
    refused(
        &reader,
        &body(0x600, 2),
        code::INCORRECT_DATA,
        "beyond its dictionary",
    );
    refused(
        &reader,
        &body(0x100, 1),
        code::INCORRECT_DATA,
        "dictionary in the block",
    );
}

#[test]
fn blocks_of_a_client_that_says_its_revision_have_information_in_front() {
    let reader = Reader::new(Format::Native, "k UInt8", &["k"]).with("client_protocol_version", "54460");
    let info = [1, 0, 2, 255, 255, 255, 255, 0];
    let data = [text("k"), text("UInt8"), vec![0, 7]].concat();
    let body = [&info[..], &[1, 1], &data].concat();
    let read = reader.read_all(&body).unwrap();
    // What is written is revision 0.
    assert_eq!(read.rows, [block(1, &[column("k", "UInt8", b"\x07")])]);
    check_every_cut(&reader, &body);
    let sparse = [&info[..], &[1, 1], &text("k"), &text("UInt8"), &[1, 1]].concat();
    refused(&reader, &sparse, code::NOT_IMPLEMENTED, "sparsely");
}

#[test]
fn a_block_larger_than_memory_goes_through_a_file_in_windows() {
    const ROWS: u64 = 1_200_000;
    let reader = Reader::new(Format::Native, "k UInt64, s String, a Array(UInt8)", &["k"]);
    let mut body = vec![3];
    crate::columnar::put_varint(ROWS, &mut body);
    let numbers: Vec<u8> = (0..ROWS).flat_map(u64::to_le_bytes).collect();
    let texts: Vec<u8> = (0..ROWS).flat_map(|row| text(&row.to_string())).collect();
    let ends: Vec<u8> = (1..=ROWS).flat_map(|row| (2 * row).to_le_bytes()).collect();
    let elements: Vec<u8> = (0..ROWS).flat_map(|row| [row as u8, 1]).collect();
    body.extend(column("k", "UInt64", &numbers));
    body.extend(column("s", "String", &texts));
    body.extend(column("a", "Array(UInt8)", &[ends, elements].concat()));
    let mut stream = reader.stream().unwrap();
    let mut next = 0;
    let mut check = |rows: &Rows<'_>| {
        assert!(rows.count as u64 <= WINDOW_ROWS);
        let RowsBody::Block(block) = rows.body else {
            panic!("no block")
        };
        for row in [0, rows.count / 2, rows.count - 1] {
            let number = next + row as u64;
            assert_eq!(show(&rows.key[0], row), number.to_string());
            let mut out = Vec::new();
            block.write(&[row], &[], &mut out);
            let expected = [
                column("k", "UInt64", &number.to_le_bytes()),
                column("s", "String", &text(&number.to_string())),
                column("a", "Array(UInt8)", &[2, 0, 0, 0, 0, 0, 0, 0, number as u8, 1]),
            ];
            assert_eq!(out, super::tests::block(1, &expected));
        }
        next += rows.count as u64;
        Ok::<(), FormatError>(())
    };
    for chunk in body.chunks(100_003) {
        stream.push(chunk, &mut check).unwrap();
    }
    stream.finish(&mut check).unwrap();
    assert_eq!(next, ROWS);
}

#[test]
fn a_row_above_the_limit_is_refused_and_long_rows_make_short_windows() {
    let mut reader = Reader::new(Format::Native, "k UInt8, s String", &["k"]);
    reader.max_row_bytes = 5 << 20;
    let long = |len: usize| {
        let mut out = Vec::new();
        crate::columnar::put_varint(len as u64, &mut out);
        out.resize(out.len() + len, b'x');
        out
    };
    let body = |len: usize| {
        let texts = [long(1), long(len), long(4 << 20), long(4 << 20)].concat();
        block(
            4,
            &[column("k", "UInt8", &[1, 2, 3, 4]), column("s", "String", &texts)],
        )
    };
    assert_eq!(reader.read_all(&body(4 << 20)).unwrap().rows.len(), 4);
    let error = reader.read_all(&body(6 << 20)).unwrap_err();
    assert_eq!((error.code, error.row), (code::TOO_MANY_BYTES, Some(2)));
}

#[test]
fn settings_that_change_the_blocks_bytes_are_refused() {
    let mut reader = Reader::new(Format::Native, "k UInt8", &["k"]);
    reader.settings = Settings::read([("input_format_native_decode_types_in_binary_format", "1")]).unwrap();
    assert_eq!(reader.stream().err().unwrap().code, code::NOT_IMPLEMENTED);
}

/// Where lists end.
fn ends(ends: &[u64]) -> Vec<u8> {
    ends.iter().flat_map(|end| end.to_le_bytes()).collect()
}

#[test]
fn values_with_others_inside_are_read_and_cast_part_by_part() {
    let reads = |table: &str, body_type: &str, data: &[u8], expected: [&str; 2]| {
        let reader = Reader::new(Format::Native, &format!("k {table}"), &["k"]);
        let body = block(2, &[column("k", body_type, data)]);
        let read = reader
            .read_all(&body)
            .unwrap_or_else(|error| panic!("{table}: {error}"));
        assert_eq!(read.key, expected.map(|key| vec![key.to_owned()]), "{table}");
        let again = reader.read_all(&read.joined(Format::Native)).unwrap();
        assert_eq!(again.key, read.key, "{table}");
        check_every_cut(&reader, &body);
    };
    let bytes = [ends(&[1, 3]), vec![1, 2, 255]].concat();
    reads("Array(UInt8)", "Array(UInt8)", &bytes, ["[1]", "[2,255]"]);
    reads("Array(Int16)", "Array(UInt8)", &bytes, ["[1]", "[2,255]"]);
    reads("Array(Nullable(Int8))", "Array(UInt8)", &bytes, ["[1]", "[2,-1]"]);
    reads(
        "Array(LowCardinality(String))",
        "Array(UInt8)",
        &bytes,
        ["[1]", "[2,255]"],
    );
    let nullable = [ends(&[1, 3]), vec![0, 0, 1], vec![1, 2, 77]].concat();
    reads(
        "Array(Nullable(UInt16))",
        "Array(Nullable(UInt8))",
        &nullable,
        ["[1]", "[2,NULL]"],
    );
    let no_null = [ends(&[1, 3]), vec![0, 0, 0], vec![1, 2, 3]].concat();
    reads(
        "Array(UInt8)",
        "Array(Nullable(UInt8))",
        &no_null,
        ["[1]", "[2,3]"],
    );
    let map = [ends(&[1, 1]), text("a"), vec![5]].concat();
    reads(
        "Map(String, UInt8)",
        "Map(String, UInt8)",
        &map,
        ["[(a,5)]", "[]"],
    );
    reads(
        "Map(String, Array(UInt8))",
        "Map(String, Array(UInt8))",
        &[ends(&[1, 1]), text("a"), ends(&[2]), vec![5, 6]].concat(),
        ["[(a,[5,6])]", "[]"],
    );
    reads(
        "Map(String, Float64)",
        "Map(String, UInt8)",
        &map,
        ["[(a,5)]", "[]"],
    );
    let tuple = [vec![1, 2], text("x"), text("y")].concat();
    reads(
        "Tuple(a UInt8, b String)",
        "Tuple(a UInt8, b String)",
        &tuple,
        ["(1,x)", "(2,y)"],
    );
    reads(
        "Tuple(a UInt64, b FixedString(1))",
        "Tuple(UInt8, String)",
        &tuple,
        ["(1,x)", "(2,y)"],
    );
    let dictionary = [
        1_u64.to_le_bytes().to_vec(),
        ends(&[2, 3]),
        0x600_u64.to_le_bytes().to_vec(),
        2_u64.to_le_bytes().to_vec(),
        text(""),
        text("a"),
        3_u64.to_le_bytes().to_vec(),
        vec![1, 0, 1],
    ]
    .concat();
    reads(
        "Array(String)",
        "Array(LowCardinality(String))",
        &dictionary,
        ["[a,]", "[a]"],
    );
}

#[test]
fn a_cast_inside_a_value_that_is_not_known_exactly_is_refused() {
    let refuses = |table: &str, body_type: &str, data: &[u8], words: &str| {
        let reader = Reader::new(Format::Native, &format!("k {table}"), &["k"]);
        let body = block(2, &[column("k", body_type, data)]);
        let error = reader.read_all(&body).unwrap_err();
        assert!(error.message.contains(words), "{table}: {error}");
        error.row
    };
    let nullable = [ends(&[1, 3]), vec![0, 0, 1], vec![1, 2, 77]].concat();
    let row = refuses(
        "Array(UInt8)",
        "Array(Nullable(UInt8))",
        &nullable,
        "no NULL inside",
    );
    assert_eq!(row, Some(2));
    let texts = [ends(&[1, 2]), text("1"), text("x")].concat();
    let row = refuses("Array(UInt8)", "Array(String)", &texts, "expected");
    assert_eq!(row, Some(2));
    let cast = "does not know how";
    let tuple = [vec![1, 2], text("x"), text("y")].concat();
    refuses(
        "Tuple(b UInt8, a String)",
        "Tuple(a UInt8, b String)",
        &tuple,
        cast,
    );
    refuses("Tuple(UInt8)", "Tuple(UInt8, String)", &tuple, cast);
    refuses("Array(Date)", "Array(Float64)", &ends(&[0, 0]), cast);
    refuses(
        "Map(String, UInt8)",
        "Array(Tuple(String, UInt8))",
        &ends(&[0, 0]),
        cast,
    );
    refuses(
        "Array(UInt8)",
        "String",
        &[text("[1]"), text("[2]")].concat(),
        cast,
    );
}

#[test]
fn a_client_that_says_a_revision_may_write_blocks_without_information() {
    let plain = Reader::new(Format::Native, "k UInt8", &["k"]);
    let body = b"\x01\x02\x01k\x05UInt8\x07\x08";
    let expected = plain.read_all(body).unwrap().key;
    let reader = plain.with("client_protocol_version", "54460");
    assert_eq!(reader.read_all(body).unwrap().key, expected);
    assert_eq!(expected, [["7"], ["8"]]);
    // Its first three bytes are those of information.
    let alike = b"\x01\x01\x02id\x05UInt8\x07";
    let reader = Reader::new(Format::Native, "id UInt8", &["id"]).with("client_protocol_version", "54460");
    assert_eq!(reader.read_all(alike).unwrap().key, [["7"]]);
    check_every_cut(&reader, alike);
}
