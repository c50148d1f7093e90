use crate::tests::{Reader, check_every_cut};
use crate::{Format, code};

/// The value of a key column `k` of this type, as the test module shows it.
fn key_of(data_type: &str, value: &[u8]) -> Result<String, i32> {
    let reader = Reader::new(Format::MsgPack, &format!("k {data_type}, t String"), &["k"]);
    let body = [value, b"\xa1t", value, b"\xa0"].concat();
    check_every_cut(&reader, &body);
    let read = reader.read_all(&body).map_err(|error| error.code)?;
    assert_eq!(read.rows.len(), 2);
    assert_eq!(read.key[0], read.key[1]);
    Ok(read.key[0][0].clone())
}

#[track_caller]
fn check(data_type: &str, value: &[u8], expected: &str) {
    assert_eq!(key_of(data_type, value).as_deref(), Ok(expected), "{data_type}");
}

#[track_caller]
fn refuses(data_type: &str, value: &[u8], code: i32) {
    assert_eq!(key_of(data_type, value), Err(code), "{data_type}");
}

// Expected values are ClickHouse 26.9's.
#[test]
fn integers_of_any_size_are_cut_to_the_columns_width() {
    check("UInt8", b"\x05", "5");
    check("UInt8", b"\xcd\x01\x05", "5");
    check("Int16", b"\xe0", "-32");
    check("Int64", b"\xd0\x80", "-128");
    check(
        "UInt64",
        b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
        "18446744073709551615",
    );
    check("Int64", b"\xd3\x80\0\0\0\0\0\0\0", "-9223372036854775808");
    check("UInt8", b"\xc3", "1");
    check("Bool", b"\x05", "1");
    check("DateTime64(3)", b"\x05", "5");
    check("Nullable(UInt32)", b"\xce\0\x01\0\0", "65536");
}

#[test]
fn strings_are_only_strings_and_fill_a_fixed_string() {
    check("String", b"\xa1x", "x");
    check("String", b"\xd9\x01x", "x");
    check("String", b"\xc5\0\x01x", "x");
    check("FixedString(3)", b"\xa1x", "x\\x00\\x00");
    check("LowCardinality(Nullable(String))", b"\xc0", "NULL");
    refuses("FixedString(2)", b"\xa3xyz", code::TOO_LARGE_STRING_SIZE);
    refuses("UInt8", b"\xa1x", code::ILLEGAL_COLUMN);
    refuses("UInt128", b"\x05", code::ILLEGAL_COLUMN);
    refuses("Float64", b"\xca\0\0\0\0", code::ILLEGAL_COLUMN);
}

#[test]
fn nothing_where_no_null_fits_is_the_columns_default() {
    check("UInt8", b"\xc0", "-0");
    check("Nullable(UInt8)", b"\xc0", "NULL");
}

#[test]
fn a_uuid_comes_as_an_extension_as_text_or_as_its_bytes() {
    let number = 0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f_u128.to_string();
    let bytes: Vec<u8> = (0..16).collect();
    check("UUID", &[b"\xd8\x02", bytes.as_slice()].concat(), &number);
    check("UUID", b"\xd9\x2400010203-0405-0607-0809-0a0b0c0d0e0f", &number);
    let swapped = 0x0706_0504_0302_0100_0f0e_0d0c_0b0a_0908_u128.to_string();
    check("UUID", &[b"\xc4\x10", bytes.as_slice()].concat(), &swapped);
}

#[test]
fn values_inside_others_are_passed_over() {
    let reader = Reader::new(Format::MsgPack, "a Array(Map(String, UInt8)), k UInt8", &["k"]);
    let body = b"\x92\x81\xa1x\x01\x80\x07\xdc\0\x01\x80\x08";
    assert_eq!(reader.read_all(body).unwrap().key, [["7"], ["8"]]);
    check_every_cut(&reader, body);
}

#[test]
fn a_row_cut_short_a_bad_byte_and_deep_nesting_are_refused() {
    let reader = Reader::new(Format::MsgPack, "k UInt8, s String", &["k"]);
    assert_eq!(
        reader.read_all(b"\x01").unwrap_err().code,
        code::CANNOT_READ_ALL_DATA
    );
    assert_eq!(
        reader.read_all(b"\xc1\xa1x").unwrap_err().code,
        code::INCORRECT_DATA
    );
    assert_eq!(
        reader.read_all(b"\x01\xdb\xff\xff\xff\xff").unwrap_err().code,
        code::TOO_MANY_BYTES
    );
    assert_eq!(
        reader.read_all(&[0x91; 100_000]).unwrap_err().code,
        code::CANNOT_READ_ALL_DATA
    );
    assert_eq!(
        reader.read_all(b"\xdd\xff\xff\xff\xff").unwrap_err().code,
        code::CANNOT_READ_ALL_DATA
    );
}

#[test]
fn arrays_tuples_and_maps_are_read_with_all_that_lies_in_them() {
    check("Array(UInt8)", b"\x92\x01\xcd\x01\x00", "[1,0]");
    check("Array(Nullable(UInt8))", b"\x92\xc0\x02", "[NULL,2]");
    check("Array(String)", b"\x92\xa1a\xc4\x02bc", "[a,bc]");
    check("Array(Array(UInt8))", b"\x92\xc0\x91\x01", "[[],[1]]");
    check("Tuple(x UInt8, y String)", b"\x92\x01\xa1a", "(1,a)");
    check("Map(String, UInt8)", b"\x82\xa1a\x01\xa1a\xc0", "[(a,1),(a,0)]");
    check(
        "Map(UInt32, Array(Tuple(Bool, Date)))",
        b"\x81\x07\x91\x92\xc3\x01",
        "[(7,[(1,1)])]",
    );
    let uuid = b"\x91\xd9\x2400000000-0000-0000-0000-000000000009";
    check("Array(UUID)", uuid, "[9]");
    check("Array(UInt8)", b"\xc0", "-[]");
}

#[test]
fn a_value_of_another_shape_than_its_type_is_refused() {
    let refuses = |data_type: &str, value: &[u8], expected: i32| {
        let reader = Reader::new(Format::MsgPack, &format!("k {data_type}"), &["k"]);
        assert_eq!(reader.read_all(value).unwrap_err().code, expected, "{data_type}");
        check_every_cut(&reader, value);
    };
    refuses("Array(UInt8)", b"\x81\x01\x02", code::ILLEGAL_COLUMN);
    refuses("Array(UInt8)", b"\x01", code::ILLEGAL_COLUMN);
    refuses("Array(UInt8)", b"\x91\xa11", code::ILLEGAL_COLUMN);
    refuses("Tuple(UInt8, String)", b"\x91\x01", code::ILLEGAL_COLUMN);
    refuses("Tuple(UInt8, String)", b"\x93\x01\xa1a\x02", code::ILLEGAL_COLUMN);
    refuses("Map(String, UInt8)", b"\x91\xa1a", code::ILLEGAL_COLUMN);
    refuses("Map(UInt32, UInt8)", b"\x81\xa11\x01", code::ILLEGAL_COLUMN);
    refuses("Array(Enum8('a' = 1))", b"\x91\xc0", code::INCORRECT_DATA);
    // 26.9 takes only the first of these bytes for the array.
    refuses("Array(UInt8)", b"\xdc\0\0", code::NOT_IMPLEMENTED);
    refuses(
        "Array(UInt8)",
        b"\xdd\xff\xff\xff\xff",
        code::CANNOT_READ_ALL_DATA,
    );
    refuses("Array(UInt8)", &[0x91; 100], code::CANNOT_READ_ALL_DATA);
    refuses(
        "Array(UInt8)",
        &[&[0x91; 100][..], b"\x01"].concat(),
        code::ILLEGAL_COLUMN,
    );
}
