//! Each case was asked of ClickHouse 26.9; where ClickHouse takes more, the comment says so.

use types::Column;

use super::*;
use crate::settings::DateTimeText;
use crate::tests::show;

fn read(data_type: &str, zone: &str, mode: DateTimeText, token: &Token<'_>) -> Result<String, i32> {
    let data_type = DataType::parse(data_type).unwrap();
    assert!(can_read(&data_type));
    let mut column = Column::empty(&data_type);
    let reading = Reading {
        zone: jiff::tz::TimeZone::get(zone).unwrap(),
        date_time: mode,
    };
    push(&mut column.data, &data_type, &reading, token).map_err(|error| error.code)?;
    Ok(show(&column, 0))
}

#[track_caller]
fn check(data_type: &str, text: &str, expected: &str) {
    let read = read(
        data_type,
        "UTC",
        DateTimeText::Unsaid,
        &Token::Text(text.as_bytes()),
    );
    assert_eq!(read.as_deref(), Ok(expected), "{data_type} {text:?}");
}

#[track_caller]
fn check_json(data_type: &str, text: &str, expected: &str) {
    let read = read(
        data_type,
        "UTC",
        DateTimeText::Unsaid,
        &Token::Json(text.as_bytes()),
    );
    assert_eq!(read.as_deref(), Ok(expected), "{data_type} {text:?}");
}

#[track_caller]
fn refuses(data_type: &str, text: &str, code: i32) {
    let read = read(
        data_type,
        "UTC",
        DateTimeText::Unsaid,
        &Token::Text(text.as_bytes()),
    );
    assert_eq!(read, Err(code), "{data_type} {text:?}");
}

#[test]
fn decimals_are_numbers_with_a_point_and_their_further_digits_are_cut_off() {
    check("Decimal(9, 2)", "1.239", "123"); // 18.16 refuses the third digit
    check("Decimal(9, 2)", "-1.5e-1", "-15");
    check("Decimal(9, 2)", ".5", "50");
    check("Decimal(9, 2)", "5.", "500");
    check("Decimal(9, 2)", "1e2", "10000");
    check("Decimal(9, 2)", "", "0");
    check("Decimal(18, 4)", "+1", "10000");
    check("Decimal(38, 6)", "-0.000001", "-1");
    check(
        "Decimal(76, 0)",
        "9999999999999999999999999999999999999999",
        "9999999999999999999999999999999999999999",
    );
    check_json("Decimal(9, 2)", "7.25", "725");
    refuses("Decimal(9, 2)", "12345678.1", 69);
    refuses("Decimal(9, 2)", "1.2.3", 72); // 26.9 reads it as 1.23
    refuses("Decimal(9, 2)", "-", 72); // ClickHouse reads it as 0
}

#[test]
fn numbers_of_256_bits_wrap_around_too() {
    check("Int256", "-1", "-1");
    check("UInt256", "", "0");
    check("UInt256", "+1", "1");
    check(
        "Int256",
        "115792089237316195423570985008687907853269984665640564039457584007913129639936",
        "0",
    );
    check_json("UInt256", "18446744073709551616", "18446744073709551616");
    refuses("UInt256", "-1", 72);
    refuses("Int256", "1.5", 72);
    refuses("Int256", "--1", 72);
    check("BFloat16", "1.0078124", "16256");
}

#[test]
fn integers_wrap_around_as_in_clickhouse() {
    check("UInt8", "300", "44");
    check("UInt8", "256", "0");
    check("UInt8", "99999999999999999999", "255");
    check("UInt64", "99999999999999999999", "7766279631452241919");
    check("UInt64", "18446744073709551615", "18446744073709551615");
    check("UInt128", "340282366920938463463374607431768211456", "0");
    check("Int8", "128", "-128");
    check("Int8", "-129", "127");
    check("Int16", "-32768", "-32768");
    check("Int64", "9223372036854775808", "-9223372036854775808");
    check("Int64", "-9223372036854775809", "9223372036854775807");
    check("Int128", "-1", "-1");
}

#[test]
fn integers_take_a_plus_leading_zeros_and_nothing_at_all() {
    check("UInt8", "+1", "1");
    check("UInt32", "007", "7");
    check("Int64", "-0", "0");
    check("UInt16", "", "0");
    check_json("UInt8", "true", "1");
    check_json("Int32", "false", "0");
}

#[test]
fn what_is_no_integer_is_refused() {
    for text in ["1.5", " 1", "1 ", "0x10", "1e2", "a", "--1", "1-", "+"] {
        refuses("Int64", text, code::CANNOT_PARSE_NUMBER);
        refuses("UInt8", text, code::CANNOT_PARSE_NUMBER);
    }
    refuses("UInt64", "-1", code::CANNOT_PARSE_NUMBER);
    // ClickHouse reads a lone minus as 0.
    refuses("Int8", "-", code::CANNOT_PARSE_NUMBER);
}

#[test]
fn floats_are_read_to_the_nearest_value() {
    check("Float64", "1.5", "1.5");
    check("Float64", "-1e5", "-100000");
    check("Float32", "0.1", "0.1");
    check("Float64", ".5", "0.5");
    check("Float64", "inf", "inf");
    refuses("Float64", "abc", code::CANNOT_PARSE_NUMBER);
    refuses("Float64", "", code::CANNOT_PARSE_NUMBER);
    refuses("Float64", "1_0", code::CANNOT_PARSE_NUMBER);
}

#[test]
fn booleans_have_many_words() {
    for word in [
        "1", "true", "TRUE", "tRue", "t", "y", "yes", "on", "enable", "enabled",
    ] {
        check("Bool", word, "1");
    }
    for word in ["0", "false", "F", "n", "no", "off", "disable", "disabled"] {
        check("Bool", word, "0");
    }
    refuses("Bool", "2", code::CANNOT_PARSE_BOOL);
    refuses("Bool", "", code::CANNOT_PARSE_BOOL);
}

#[test]
fn strings_are_bytes_and_fixed_ones_are_filled_up() {
    check("String", "é", r"\xc3\xa9");
    check_json("String", "1.50", "1.50");
    check_json("String", "[1, 2]", "[1, 2]");
    check("FixedString(3)", "a", r"a\x00\x00");
    check("FixedString(3)", "abc", "abc");
    refuses("FixedString(3)", "abcd", code::TOO_LARGE_STRING_SIZE);
}

#[test]
fn dates_are_read_loosely() {
    for text in ["2020-01-02", "2020-1-2", "20200102", "2020/01/02"] {
        check("Date", text, "18263");
    }
    check("Date", "2020-02-30", "18322");
    check("Date", "2020-13-01", "0");
    check("Date", "0000-00-00", "0");
    check("Date", "1969-12-31", "0");
    check("Date", "2149-06-06", "65535");
    check_json("Date", "18000", "18000");
    for text in [
        "",
        "18000",
        "2020-01",
        "2020-01-02 ",
        "2020-01-02 03:04:05",
        "1577934245",
        "abcd",
        "2149-06-07",
        "9999-12-31",
        "2020-001-01",
    ] {
        refuses("Date", text, code::CANNOT_PARSE_DATE);
    }
}

#[test]
fn date32_reaches_back_to_1900() {
    check("Date32", "1900-01-01", "-25567");
    check("Date32", "2299-12-31", "120529");
    // 26.9 takes these, other versions clamp.
    refuses("Date32", "1899-12-31", code::CANNOT_PARSE_DATE);
    refuses("Date32", "2020-13-01", code::CANNOT_PARSE_DATE);
}

#[test]
fn times_are_read_where_both_of_clickhouse_s_parsers_agree() {
    for text in [
        "2020-01-02 03:04:05",
        "2020-01-02T03:04:05",
        "2020-01-02T03:04:05Z",
        "2020/01/02 03:04:05",
        "2020-1-2 3:4:5",
        "2020-01-02 03:04:05.678",
        "2020-01-02 04:04:05+01:00",
        "2020-01-02 02:04:05-0100",
        "1577934245",
    ] {
        check("DateTime", text, "1577934245");
    }
    check("DateTime", "2020-01-02", "1577923200");
    check("DateTime", "2020-01-02 03:04", "1577934240");
    check("DateTime", "1960-01-01 00:00:00", "0");
    check("DateTime", "2106-02-07 06:28:15", "4294967295");
    refuses("DateTime", "2106-02-07 06:28:16", code::CANNOT_PARSE_DATETIME);
    check_json("DateTime", "123", "123");
    check_json("DateTime", "1577934245.5", "1577934245");
}

#[test]
fn times_on_which_the_parsers_disagree_are_refused() {
    let ambiguous = [
        "123",
        "12345",
        "20200102",
        "20200102030405",
        "1577934245123",
        "2020-02-30 03:04:05",
    ];
    let wrong = [
        "",
        "-1",
        "2020-13-02 03:04:05",
        "2020-01-02 25:00:00",
        "0000-00-00 00:00:00",
        "2020-01-02 03:04:05 ",
        "2020",
    ];
    for text in ambiguous.into_iter().chain(wrong) {
        refuses("DateTime", text, code::CANNOT_PARSE_DATETIME);
    }
}

#[track_caller]
fn check_mode(mode: DateTimeText, text: &str, expected: Result<&str, i32>) {
    let read = read("DateTime", "UTC", mode, &Token::Text(text.as_bytes()));
    assert_eq!(read.as_deref(), expected.as_ref().map(|text| *text), "{text:?}");
}

#[test]
fn the_setting_decides_what_only_digits_mean() {
    check_mode(DateTimeText::Basic, "20200102", Ok("20200102"));
    check_mode(DateTimeText::BestEffort, "20200102", Ok("1577923200"));
    check_mode(DateTimeText::BestEffort, "20200102030405", Ok("1577934245"));
    check_mode(DateTimeText::BestEffort, "1577934245123", Ok("1577934245"));
    check_mode(DateTimeText::Basic, "12345", Ok("12345"));
    check_mode(
        DateTimeText::Basic,
        "20200102030405",
        Err(code::CANNOT_PARSE_DATETIME),
    );
}

#[track_caller]
fn check_zone(text: &str, expected: &str) {
    let read = read(
        "DateTime",
        "Europe/Berlin",
        DateTimeText::Unsaid,
        &Token::Text(text.as_bytes()),
    );
    assert_eq!(read.as_deref(), Ok(expected), "{text:?}");
}

#[test]
fn a_zone_counts_and_clock_changes_are_read_as_clickhouse_does() {
    check_zone("2020-01-02 04:04:05", "1577934245");
    check_zone("2020-01-02T03:04:05Z", "1577934245");
    check_zone("1577934245", "1577934245");
    check_zone("2020-10-25 02:30:00", "1603585800");
    check_zone("2020-03-29 02:30:00", "1585441800");
}

#[test]
fn datetime64_counts_ticks_and_cuts_finer_digits_off() {
    check("DateTime64(3)", "2020-01-02 03:04:05.6789", "1577934245678");
    check("DateTime64(3)", "2020-01-02 03:04:05", "1577934245000");
    check("DateTime64(3)", "2020-01-02 03:04:05.", "1577934245000");
    check("DateTime64(3)", "1577934245.123", "1577934245123");
    check("DateTime64(0)", "2020-01-02 03:04:05.9", "1577934245");
    check("DateTime64(3)", "1960-01-01 00:00:00.5", "-315619199500");
    check_json("DateTime64(3)", "1577934245.5", "1577934245500");
    // Nine digits of fraction leave too few bits for the year 2299.
    refuses(
        "DateTime64(9)",
        "2299-01-01 00:00:00",
        code::CANNOT_PARSE_DATETIME,
    );
}

#[test]
fn uuids_are_32_digits_with_or_without_dashes() {
    for text in [
        "048ad00d-67fd-4e74-e7c7-c9b5caedd3fb",
        "048AD00D67FD4E74E7C7C9B5CAEDD3FB",
    ] {
        check(
            "UUID",
            text,
            &u128::from_str_radix("048ad00d67fd4e74e7c7c9b5caedd3fb", 16)
                .unwrap()
                .to_string(),
        );
    }
    for text in [
        "",
        "048ad00d-67fd",
        "{048ad00d-67fd-4e74-e7c7-c9b5caedd3fb}",
        "g48ad00d67fd4e74e7c7c9b5caedd3fb",
    ] {
        refuses("UUID", text, code::CANNOT_PARSE_UUID);
    }
}

#[test]
fn enums_are_read_by_name_and_else_by_value() {
    let data_type = "Enum8('a' = 1, '7' = 3, 'x y' = -4)";
    check(data_type, "a", "1");
    check(data_type, "7", "3");
    check(data_type, "x y", "-4");
    check(data_type, "-4", "-4");
    check_json(data_type, "1", "1");
    refuses(data_type, "9", code::UNKNOWN_ELEMENT_OF_ENUM);
    refuses(data_type, "", code::UNKNOWN_ELEMENT_OF_ENUM);
    check("Enum16('big' = 1000)", "big", "1000");
}

#[test]
fn addresses_are_read_in_decimal_and_mapped() {
    check("IPv4", "1.2.3.4", "16909060");
    check("IPv4", "01.2.3.4", "16909060");
    for text in [
        "",
        "1.2.3",
        "1.2.3.4.5",
        "256.1.1.1",
        "1.2.3.a",
        "16909060",
        "0001.2.3.4",
    ] {
        refuses("IPv4", text, code::CANNOT_PARSE_IPV4);
    }
    check("IPv6", "::1", &format!("{}\\x01", "\\x00".repeat(15)));
    check(
        "IPv6",
        "1.2.3.4",
        &format!("{}\\xff\\xff\\x01\\x02\\x03\\x04", "\\x00".repeat(10)),
    );
    refuses("IPv6", "x", code::CANNOT_PARSE_IPV6);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_any_type_panic(text in "[-+0-9:./ TZaefinx]{0,24}") {
        let types = ["UInt8", "Int128", "Float64", "Bool", "Date", "Date32", "DateTime", "DateTime64(9)", "UUID", "IPv4", "IPv6"];
        for data_type in types {
            for mode in [DateTimeText::Unsaid, DateTimeText::Basic, DateTimeText::BestEffort] {
                let _ = read(data_type, "Europe/Berlin", mode, &Token::Text(text.as_bytes()));
                let _ = read(data_type, "UTC", mode, &Token::Json(text.as_bytes()));
            }
        }
    }

    #[test]
    fn every_second_of_datetime_is_read_back_from_its_text(seconds: u32) {
        let time = jiff::Timestamp::from_second(i64::from(seconds)).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
        let text = time.strftime("%Y-%m-%d %H:%M:%S").to_string();
        check("DateTime", &text, &seconds.to_string());
    }
}
