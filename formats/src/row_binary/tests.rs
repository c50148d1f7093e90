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
        "JSON",
        "Dynamic",
        "Variant(UInt8, String)",
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
