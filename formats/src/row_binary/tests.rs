use crate::tests::{Body, Reader, check_every_cut};
use crate::{Format, FormatError, code};

/// Reads a body of rows `x, t` where `t`, an UInt8, must come out right if `x` is passed over right.
fn read(data_type: &str, body: &[u8]) -> Result<Body, FormatError> {
    let reader = Reader::new(Format::RowBinary, &format!("x {data_type}, t UInt8"), &["t"]);
    let read = reader.read_all(body);
    check_every_cut(&reader, body);
    read
}

/// That a value of this type takes exactly these bytes.
#[track_caller]
fn check_skipped(data_type: &str, value: &[u8]) {
    let body = [value, b"\x07", value, b"\x09"].concat();
    let read = read(data_type, &body).unwrap_or_else(|error| panic!("{data_type}: {error}"));
    assert_eq!(read.key, [["7"], ["9"]], "{data_type}");
    assert_eq!(read.rows[0].len(), value.len() + 1, "{data_type}");
}

#[test]
fn values_of_fixed_length_are_passed_by_their_length() {
    let lengths = [
        ("Bool", 1),
        ("Enum8('a' = 1)", 1),
        ("Enum16('a' = 1)", 2),
        ("Date", 2),
        ("BFloat16", 2),
        ("Date32", 4),
        ("DateTime('UTC')", 4),
        ("IPv4", 4),
        ("DateTime64(3)", 8),
        ("UUID", 16),
        ("IPv6", 16),
        ("UInt256", 32),
        ("FixedString(5)", 5),
        ("Decimal(9, 2)", 4),
        ("Decimal(18, 2)", 8),
        ("Decimal(38, 2)", 16),
        ("Decimal(76, 2)", 32),
        ("Point", 16),
        ("IntervalDay", 8),
        ("Tuple(UInt8, UInt64)", 9),
        ("SimpleAggregateFunction(sum, UInt64)", 8),
        ("LowCardinality(UInt16)", 2),
    ];
    for (data_type, len) in lengths {
        check_skipped(data_type, &vec![0xff; len]);
    }
}

#[test]
fn values_of_their_own_length_are_followed() {
    check_skipped("String", b"\x03abc");
    check_skipped("String", &[&b"\x80\x01"[..], &[b'x'; 128]].concat());
    check_skipped("Nullable(UInt32)", b"\x01");
    check_skipped("Nullable(UInt32)", b"\x00abcd");
    check_skipped("LowCardinality(Nullable(String))", b"\x00\x01a");
    check_skipped("Array(UInt16)", b"\x02abcd");
    check_skipped("Array(Array(String))", b"\x02\x00\x02\x01a\x00");
    check_skipped("Array(Nullable(UInt8))", b"\x02\x01\x00a");
    check_skipped("Map(String, UInt8)", b"\x02\x01a\x05\x00\x06");
    check_skipped("Tuple(a String, b Array(UInt8))", b"\x01a\x01b");
    check_skipped("Ring", &[&b"\x01"[..], &[0; 16]].concat());
    check_skipped("SimpleAggregateFunction(anyLast, Nullable(String))", b"\x01");
}

#[test]
fn key_values_are_read_as_they_are_stored() {
    let table =
        "u UInt32, s String, n Nullable(Int16), f FixedString(2), q UUID, l LowCardinality(Nullable(String))";
    let reader = Reader::new(Format::RowBinary, table, &["l", "q", "f", "n", "s", "u"]);
    let uuid: Vec<u8> = [0x4e74_67fd_u64, 0xfb]
        .iter()
        .flat_map(|half| half.to_le_bytes())
        .collect();
    let body = [&b"\x01\x02\0\0\x01s\0\xfe\xffab"[..], &uuid, b"\0\x02lc"].concat();
    let read = reader.read_all(&body).unwrap();
    let number = (0x4e74_67fd_u128 << 64 | 0xfb).to_string();
    assert_eq!(read.key, [["lc", &number, "ab", "-2", "s", "513"]]);
    check_every_cut(&reader, &body);
}

#[test]
fn a_null_in_the_key_is_null() {
    let reader = Reader::new(Format::RowBinary, "n Nullable(String), t UInt8", &["n"]);
    assert_eq!(
        reader.read_all(b"\x01\x05\0\x01a\x06").unwrap().key,
        [["NULL"], ["a"]]
    );
}

#[test]
fn types_whose_values_cannot_be_passed_over_are_refused_by_the_column_s_name() {
    for data_type in [
        "JSON(a Nothing)",
        "Variant(UInt8, AggregateFunction(sum, UInt8))",
        "AggregateFunction(sum, UInt8)",
        "Array(Tuple())",
        "Nothing",
    ] {
        let error = read(data_type, b"").unwrap_err();
        assert_eq!(error.code, code::NOT_IMPLEMENTED, "{data_type}");
        assert!(error.message.contains("column x"), "{error}");
    }
}

#[test]
fn a_row_that_is_cut_or_garbled_is_refused() {
    let error = read("UInt32", b"abcd\x01ab").unwrap_err();
    assert_eq!(
        (error.code, error.row, error.offset),
        (code::CANNOT_READ_ALL_DATA, Some(2), Some(7))
    );
    let error = read("Nullable(UInt8)", b"\x02a\x01").unwrap_err();
    assert_eq!(
        (error.code, error.row, error.offset),
        (code::INCORRECT_DATA, Some(1), Some(0))
    );
    let error = read("String", &[0xff; 11]).unwrap_err();
    assert_eq!(
        (error.code, error.row, error.offset),
        (code::INCORRECT_DATA, Some(1), Some(0))
    );
}

/// A header of names, and of types where they are given.
fn header(names: &[&str], types: &[&str]) -> Vec<u8> {
    let mut header = vec![names.len() as u8];
    for text in names.iter().chain(types) {
        header.push(text.len() as u8);
        header.extend_from_slice(text.as_bytes());
    }
    header
}

fn with_types(
    names: &[&str],
    types: &[&str],
    rows: &[u8],
    settings: &[(&str, &str)],
) -> Result<Body, FormatError> {
    let mut reader = Reader::new(Format::RowBinaryWithNamesAndTypes, "k UInt16, s String", &["k"]);
    reader.settings = crate::Settings::read(settings.iter().copied()).unwrap();
    let body = [header(names, types), rows.to_vec()].concat();
    check_every_cut(&reader, &body);
    reader.read_all(&body)
}

#[test]
fn a_header_says_which_columns_come_and_in_which_order() {
    let read = with_types(&["s", "k"], &["String", "UInt16"], b"\x01x\x05\0", &[]).unwrap();
    assert_eq!(
        (read.columns, read.key),
        (vec!["s".to_owned(), "k".to_owned()], vec![vec!["5".to_owned()]])
    );
    let read = with_types(&["s"], &["String"], b"\x01x", &[]).unwrap();
    assert_eq!(
        (read.columns, read.key),
        (vec!["s".to_owned()], vec![vec!["-0".to_owned()]])
    );
    let read = with_types(&["S", "K"], &["String", "UInt16"], b"\x01x\x05\0", &[]).unwrap();
    assert_eq!(read.columns, ["s", "k"]);
}

#[test]
fn a_header_type_that_is_not_the_columns_is_refused() {
    let error = with_types(&["k"], &["UInt8"], b"\x05", &[]).unwrap_err();
    assert_eq!(error.code, code::INCORRECT_DATA);
    assert!(
        error.message.contains("type of 'k' must be UInt16, not UInt8"),
        "{error}"
    );
    let lax = [("input_format_with_types_use_header", "0")];
    assert_eq!(
        with_types(&["k"], &["UInt8"], b"\x05\0", &lax).unwrap().key,
        [["5"]]
    );
}

#[test]
fn an_unknown_column_is_left_out_of_the_rows_where_its_type_is_known() {
    let names = ["s", "z", "k"];
    let types = ["String", "Array(String)", "UInt16"];
    let rows = b"\x01x\x01\x01y\x05\0\x01x\0\x06\0";
    assert_eq!(
        with_types(&names, &types, rows, &[]).unwrap_err().code,
        code::INCORRECT_DATA
    );
    let skip = [("input_format_skip_unknown_fields", "1")];
    let read = with_types(&names, &types, rows, &skip).unwrap();
    assert_eq!(read.rows, [b"\x01x\x05\0", b"\x01x\x06\0"]);
    assert_eq!(read.columns, ["s", "k"]);
    let bad = ["String", "Bad", "UInt16"];
    assert_eq!(
        with_types(&names, &bad, rows, &skip).unwrap_err().code,
        code::UNKNOWN_TYPE
    );
    let mut reader = Reader::new(Format::RowBinaryWithNames, "k UInt16, s String", &["k"]);
    reader.settings = crate::Settings::read(skip).unwrap();
    let body = [header(&names, &[]), rows.to_vec()].concat();
    assert_eq!(
        reader.read_all(&body).unwrap_err().code,
        code::CANNOT_SKIP_UNKNOWN_FIELD
    );
}

#[test]
fn a_header_whose_names_do_not_count_is_read_by_place() {
    let settings = [("input_format_with_names_use_header", "0")];
    let read = with_types(&["q", "r"], &["UInt16", "String"], b"\x05\0\x01x", &settings).unwrap();
    assert_eq!(
        (read.columns, read.key),
        (vec!["k".to_owned(), "s".to_owned()], vec![vec!["5".to_owned()]])
    );
    assert!(with_types(&["q"], &["UInt16"], b"\x05\0", &settings).is_err());
}

#[test]
fn a_header_that_is_cut_short_or_repeats_a_column_is_refused() {
    assert_eq!(
        with_types(&["k", "k"], &["UInt16", "UInt16"], b"", &[])
            .unwrap_err()
            .code,
        code::INCORRECT_DATA
    );
    let reader = Reader::new(Format::RowBinaryWithNamesAndTypes, "k UInt16, s String", &["k"]);
    assert_eq!(reader.read_all(b"").unwrap_err().code, code::CANNOT_READ_ALL_DATA);
    assert_eq!(
        reader.read_all(b"\xff\xff\xff\xff\x0f\x01a").unwrap_err().code,
        code::CANNOT_READ_ALL_DATA
    );
}

#[test]
fn a_byte_in_front_of_a_value_says_that_the_default_is_meant() {
    let reader = Reader::new(
        Format::RowBinaryWithDefaults,
        "k Nullable(UInt16), s String",
        &["k"],
    );
    let read = reader.read_all(b"\x01\0\x01x\0\x01\x01\0\0\x05\0\x01").unwrap();
    assert_eq!(read.key, [["-NULL"], ["NULL"], ["5"]]);
    assert_eq!(read.rows, [&b"\x01\0\x01x"[..], b"\0\x01\x01", b"\0\0\x05\0\x01"]);
    assert_eq!(reader.read_all(b"\x02").unwrap_err().code, code::INCORRECT_DATA);
}

#[test]
fn values_that_bring_their_type_along_are_followed() {
    // Each as ClickHouse 26.9 wrote it: SELECT … FORMAT RowBinary.
    check_skipped("Variant(String, UInt8)", b"\0\x01a");
    check_skipped("Variant(UInt8, String)", b"\x01\x05");
    check_skipped("Variant(String, UInt8)", b"\xff");
    check_skipped("Dynamic", b"\x15\x01a");
    check_skipped("Dynamic", b"\0");
    check_skipped("Dynamic(max_types=3)", b"\x1e\x02\x02\x01\0\x02\0");
    check_skipped("Dynamic", b"\x14\x03\x03UTC\0\xe8f^o\x01\0\0");
    check_skipped("Dynamic", b"'\x15\x01\x01\x01a\x01");
    check_skipped("Dynamic", &[&b",\x04Ring\x01"[..], &[7; 16]].concat());
    check_skipped("Dynamic", b"0\0\x80\x08 \0\0\0\x01\x01a\n\x01\0\0\0\0\0\0\0");
    let json = b"\x03\x01a\x01\0\0\0\x01d\x1e#\n\x02\0\x01\0\0\0\0\0\0\0\x01\x03b.c\x15\x01x";
    check_skipped("JSON(a UInt32)", json);
    check_skipped(
        "JSON(max_dynamic_paths=8, a UInt32, SKIP q, SKIP REGEXP 'x,y')",
        json,
    );
}

#[test]
fn a_json_value_may_be_a_string_when_the_client_says_so() {
    let reader = Reader::new(Format::RowBinary, "x JSON, t UInt8", &["t"])
        .with("input_format_binary_read_json_as_string", "1");
    assert_eq!(reader.read_all(b"\x02{}\x07").unwrap().key, [["7"]]);
}

#[test]
fn types_nested_in_the_data_without_end_are_refused() {
    let reader = Reader::new(Format::RowBinary, "x Dynamic, t UInt8", &["t"]);
    let error = reader.read_all(&vec![0x1e; 100_000]).unwrap_err();
    assert_eq!(error.code, code::INCORRECT_DATA, "{error}");
    // An array of a Dynamic that is an array of a Dynamic …
    let error = reader
        .read_all(&[0x1e, 0x2b, 0x00, 0x01].repeat(25_000))
        .unwrap_err();
    assert_eq!(error.code, code::INCORRECT_DATA, "{error}");
}

#[test]
fn values_with_others_inside_are_read_by_their_type() {
    let read = |format: Format, data_type: &str, value: &[u8]| {
        let reader = Reader::new(format, &format!("k {data_type}, t UInt8"), &["k", "t"]);
        check_every_cut(&reader, value);
        reader.read_all(value).map(|read| read.key[0].join(" "))
    };
    let reads = |data_type: &str, value: &[u8], expected: &str| {
        let plain = [value, b"\x07"].concat();
        assert_eq!(
            read(Format::RowBinary, data_type, &plain).unwrap(),
            format!("{expected} 7")
        );
        let flagged = [b"\0", value, b"\0\x07"].concat();
        let flagged = read(Format::RowBinaryWithDefaults, data_type, &flagged).unwrap();
        assert_eq!(flagged, format!("{expected} 7"));
    };
    reads("Array(UInt16)", b"\x02\x01\0\x02\0", "[1,2]");
    reads("Array(Nullable(UInt8))", b"\x02\x01\0\x05", "[NULL,5]");
    reads(
        "Array(LowCardinality(Nullable(String)))",
        b"\x02\x01\0\x01a",
        "[NULL,a]",
    );
    reads("Array(Array(FixedString(2)))", b"\x02\x01ab\0", "[[ab],[]]");
    reads(
        "Tuple(UInt8, String, UUID)",
        &[b"\x01\x01x", &[0; 16][..]].concat(),
        "(1,x,0)",
    );
    reads("Tuple(UInt8, UInt8)", b"\x01\x02", "(1,2)");
    reads(
        "Map(String, Array(Bool))",
        b"\x01\x01a\x02\x01\x02",
        "[(a,[1,1])]",
    );
    let lie = b"\xff\xff\xff\xff\xff\xff\xff\xff\x10";
    for data_type in ["Array(UInt8)", "Map(UInt8, UInt64)"] {
        let error = read(Format::RowBinary, data_type, lie).unwrap_err();
        assert_eq!(error.code, code::TOO_MANY_BYTES, "{data_type}");
    }
    for data_type in ["Array(String)", "Array(Array(UInt8))"] {
        let error = read(Format::RowBinary, data_type, lie).unwrap_err();
        assert_eq!(error.code, code::CANNOT_READ_ALL_DATA, "{data_type}");
    }
    let absent = read(Format::RowBinaryWithDefaults, "Array(UInt8)", b"\x01\0\x07").unwrap();
    assert_eq!(absent, "-[] 7");
}
