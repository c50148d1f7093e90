use crate::tests::{Body, Reader, check_every_cut};
use crate::{Format, FormatError, code};

/// A document of these elements.
fn document(elements: &[&[u8]]) -> Vec<u8> {
    let body = elements.concat();
    let len = u32::try_from(body.len() + 5).unwrap();
    [&len.to_le_bytes()[..], &body, b"\0"].concat()
}

fn read(reader: &Reader, body: &[u8]) -> Result<Body, FormatError> {
    check_every_cut(reader, body);
    reader.read_all(body)
}

/// The value of a key column `k` of this type.
fn key_of(data_type: &str, kind: u8, value: &[u8]) -> Result<String, i32> {
    let reader = Reader::new(Format::BsonEachRow, &format!("k {data_type}, t UInt8"), &["k"]);
    let row = document(&[b"\x08t\0\x01", &[kind], b"k\0", value]);
    let read = read(&reader, &row.repeat(2)).map_err(|error| error.code)?;
    assert_eq!(read.rows, [row.clone(), row]);
    Ok(read.key[1][0].clone())
}

#[track_caller]
fn check(data_type: &str, kind: u8, value: &[u8], expected: &str) {
    assert_eq!(
        key_of(data_type, kind, value).as_deref(),
        Ok(expected),
        "{data_type}"
    );
}

#[test]
fn integers_are_cut_to_the_columns_width_and_never_sign_extended() {
    check("UInt8", 0x10, b"\x05\x01\0\0", "5");
    check("Int32", 0x10, b"\xff\xff\xff\xff", "-1");
    check("Int64", 0x10, b"\xff\xff\xff\xff", "4294967295");
    check(
        "UInt64",
        0x12,
        b"\xff\xff\xff\xff\xff\xff\xff\xff",
        "18446744073709551615",
    );
    check("Bool", 0x08, b"\x01", "1");
    check("DateTime64(3)", 0x09, b"\x05\0\0\0\0\0\0\0", "5");
    check("Nullable(UInt16)", 0x0a, b"", "NULL");
    check("UInt16", 0x0a, b"", "-0");
}

#[test]
fn strings_and_binary_data_are_strings() {
    check("String", 0x02, b"\x03\0\0\0ab\0", "ab");
    check("String", 0x05, b"\x02\0\0\0\0ab", "ab");
    check("FixedString(3)", 0x0e, b"\x02\0\0\0a\0", "a\\x00\\x00");
    assert_eq!(key_of("UInt8", 0x02, b"\x01\0\0\0\0"), Err(code::ILLEGAL_COLUMN));
    assert_eq!(key_of("String", 0x02, b"\0\0\0\0"), Err(code::INCORRECT_DATA));
    assert_eq!(
        key_of("String", 0x02, b"\xff\xff\xff\x7f"),
        Err(code::INCORRECT_DATA)
    );
}

#[test]
fn unknown_fields_are_refused_or_passed_over() {
    let reader = Reader::new(Format::BsonEachRow, "k UInt8", &["k"]);
    let inner = document(&[b"\x10x\0\0\0\0\0"]);
    let row = document(&[
        &[&b"\x03z\0"[..], &inner].concat(),
        b"\x0bre\0a\0i\0",
        b"\x10k\0\x07\0\0\0",
    ]);
    assert_eq!(read(&reader, &row).unwrap_err().code, code::INCORRECT_DATA);
    let reader = reader.with("input_format_skip_unknown_fields", "1");
    assert_eq!(read(&reader, &row).unwrap().key, [["7"]]);
}

#[test]
fn a_field_that_is_missing_has_no_value_and_one_that_repeats_is_refused() {
    let reader = Reader::new(Format::BsonEachRow, "k UInt8, s String", &["k"]);
    assert_eq!(read(&reader, &document(&[])).unwrap().key, [["-0"]]);
    let element = b"\x10k\0\x07\0\0\0";
    assert_eq!(
        read(&reader, &document(&[element, element])).unwrap_err().code,
        code::INCORRECT_DATA
    );
}

#[test]
fn a_length_that_lies_is_refused() {
    let reader = Reader::new(Format::BsonEachRow, "k UInt8, s String", &["k"]);
    let refuses =
        |body: &[u8], code: i32| assert_eq!(read(&reader, body).unwrap_err().code, code, "{body:?}");
    refuses(b"\x04\0\0\0", code::INCORRECT_DATA);
    refuses(b"\xff\xff\xff\xff", code::TOO_MANY_BYTES);
    refuses(b"\x05\0\0\0\x01", code::INCORRECT_DATA);
    refuses(b"\x06\0\0\0\0\0", code::INCORRECT_DATA);
    refuses(b"\x08\0\0\0\x10k\0\0", code::INCORRECT_DATA);
    refuses(b"\x20\0\0\0\x10k", code::CANNOT_READ_ALL_DATA);
}

/// An element: kind, name, value.
fn element(kind: u8, name: &str, value: &[u8]) -> Vec<u8> {
    [&[kind], name.as_bytes(), b"\0", value].concat()
}

/// A document or an array of numbers with these names.
fn numbers(names: &[&str]) -> Vec<u8> {
    let elements = names
        .iter()
        .zip(1..)
        .map(|(name, number)| element(0x10, name, &[number, 0, 0, 0]));
    let elements: Vec<Vec<u8>> = elements.collect();
    document(&elements.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

#[test]
fn arrays_tuples_and_maps_are_read_with_all_that_lies_in_them() {
    check("Array(UInt8)", 0x04, &numbers(&["0", "1"]), "[1,2]");
    check("Array(UInt8)", 0x04, &numbers(&["1", "0"]), "[1,2]");
    check("Array(UInt8)", 0x04, &document(&[b"\x0a0\0"]), "[0]");
    check("Array(Nullable(UInt8))", 0x04, &document(&[b"\x0a0\0"]), "[NULL]");
    check("Array(UInt8)", 0x0a, b"", "-[]");
    check("Tuple(x UInt8, y UInt8)", 0x04, &numbers(&["0", "1"]), "(1,2)");
    check("Tuple(x UInt8, y UInt8)", 0x03, &numbers(&["y", "x"]), "(2,1)");
    check("Tuple(UInt8, UInt8)", 0x03, &numbers(&["1", "2"]), "(1,2)");
    check("Map(String, UInt8)", 0x03, &numbers(&["a", "a"]), "[(a,1),(a,2)]");
    check("Map(UInt32, UInt8)", 0x03, &numbers(&["7"]), "[(7,1)]");
    check("Map(Date, UInt8)", 0x03, &numbers(&["1970-01-02"]), "[(1,1)]");
    let inner = element(0x04, "a", &numbers(&["0", "1"]));
    check(
        "Map(String, Array(UInt8))",
        0x03,
        &document(&[&inner]),
        "[(a,[1,2])]",
    );
}

#[test]
fn a_value_of_another_shape_than_its_type_is_refused() {
    let refuses = |data_type: &str, kind: u8, value: &[u8], code: i32| {
        assert_eq!(key_of(data_type, kind, value), Err(code), "{data_type}");
    };
    refuses("Array(UInt8)", 0x03, &numbers(&["0"]), code::ILLEGAL_COLUMN);
    refuses("Map(String, UInt8)", 0x04, &numbers(&["0"]), code::ILLEGAL_COLUMN);
    refuses("Array(String)", 0x04, &numbers(&["0"]), code::ILLEGAL_COLUMN);
    refuses(
        "Tuple(UInt8, UInt8)",
        0x04,
        &numbers(&["0"]),
        code::INCORRECT_DATA,
    );
    refuses(
        "Tuple(UInt8, UInt8)",
        0x04,
        &numbers(&["0", "1", "2"]),
        code::INCORRECT_DATA,
    );
    for names in [&["x"][..], &["x", "z"], &["x", "x"], &["x", "y", "z"]] {
        refuses(
            "Tuple(x UInt8, y UInt8)",
            0x03,
            &numbers(names),
            code::INCORRECT_DATA,
        );
    }
    refuses(
        "Map(UInt32, UInt8)",
        0x03,
        &numbers(&["x"]),
        code::CANNOT_PARSE_NUMBER,
    );
    refuses(
        "Map(UInt32, UInt8)",
        0x03,
        &numbers(&[""]),
        code::ATTEMPT_TO_READ_AFTER_EOF,
    );
    // What its length says is there, but it is no document.
    for broken in [
        &b"\x06\0\0\0\x10\0"[..],
        b"\x05\0\0\0\x01",
        b"\x0a\0\0\0\x100\0\x01\0\0",
    ] {
        refuses("Array(UInt8)", 0x04, broken, code::INCORRECT_DATA);
    }
}
