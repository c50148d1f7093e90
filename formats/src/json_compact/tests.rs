use crate::tests::{Reader, check_key, check_refused, check_rows};
use crate::{Format, Payload, code};

fn reader() -> Reader {
    Reader::new(Format::JsonCompactEachRow, "k Int32, s String", &["k"])
}

fn with_format(format: Format) -> Reader {
    Reader { format, ..reader() }
}

#[test]
fn arrays_are_rows_whatever_separates_them() {
    let rows = ["[1,\"a\"]", "[2, \"b\"]"];
    check_rows(&reader(), "[1,\"a\"]\n[2, \"b\"]\n", &rows);
    check_rows(&reader(), "[1,\"a\"],[2, \"b\"]", &rows);
    check_rows(&reader(), " [1,\"a\"][2, \"b\"] ; ", &rows);
    check_rows(&reader(), "\u{feff}[1,\"a\"]\n,\n[2, \"b\"],", &rows);
    check_rows(&reader(), "", &[]);
}

#[test]
fn a_row_may_be_printed_over_several_lines() {
    check_rows(
        &reader(),
        "[\n 1,\n {\"x\": [1,\n2]}\n]\n",
        &["[\n 1,\n {\"x\": [1,\n2]}\n]"],
    );
}

#[test]
fn values_are_read_by_their_places() {
    check_key(
        &reader(),
        "[7,\"a\"]\n[\"8\",null]\n[null,\"c\"]",
        &["7", "8", "-0"],
    );
}

#[test]
fn a_row_of_another_number_of_values_is_refused() {
    check_refused(&reader(), "[1,\"a\"]\n[1]", code::CANNOT_PARSE_INPUT, 2, 10);
    check_refused(&reader(), "[1,\"a\",2]", code::CANNOT_PARSE_INPUT, 1, 7);
    check_refused(&reader(), "[]", code::CANNOT_PARSE_INPUT, 1, 1);
    check_refused(&reader(), "[1,]", code::INCORRECT_DATA, 1, 3);
    check_refused(&reader(), "[1 \"a\"]", code::CANNOT_PARSE_INPUT, 1, 3);
    check_refused(&reader(), "[[1,\"a\"]]", code::CANNOT_PARSE_INPUT, 1, 8);
    check_refused(&reader(), "{\"k\":1}", code::CANNOT_PARSE_INPUT, 1, 0);
    check_refused(&reader(), "[1,\"a\"", code::CANNOT_READ_ALL_DATA, 1, 6);
}

#[test]
fn a_variable_number_of_values_is_taken_where_a_setting_says_so() {
    let reader = reader().with("input_format_json_compact_allow_variable_number_of_columns", "1");
    check_key(&reader, "[1]\n[]\n[2,\"b\",[3]]", &["1", "-0", "2"]);
}

#[test]
fn a_header_says_which_column_is_where() {
    let reader = with_format(Format::JsonCompactEachRowWithNames);
    check_key(&reader, "[\"s\",\"k\"]\n[\"a\",5]", &["5"]);
    check_key(&reader, " [ \"S\" , \"K\" ],[\"a\",5]", &["5"]);
    check_key(&reader, "[\"s\"]\n[\"a\"]", &["-0"]);
    check_rows(&reader, "[\"s\",\"k\"]", &[]);
    let read = reader.read_all(b"[\"s\",\"k\"]\n[\"a\",5]").unwrap();
    assert_eq!(read.columns, ["s", "k"]);
    check_refused(&reader, "[\"k\",\"k\"]\n[1,2]", code::INCORRECT_DATA, 1, 0);
    check_refused(&reader, "[\"k\",\"z\"]\n[1,2]", code::INCORRECT_DATA, 1, 0);
    check_refused(&reader, "[1,2]\n[1,2]", code::CANNOT_PARSE_QUOTED_STRING, 1, 1);
    check_refused(&reader, "[]\n[1]", code::CANNOT_PARSE_QUOTED_STRING, 1, 1);
}

#[test]
fn fields_of_unknown_columns_in_the_header_are_left_out_of_the_rows() {
    let reader =
        with_format(Format::JsonCompactEachRowWithNames).with("input_format_skip_unknown_fields", "1");
    let body = "[\"s\",\"z\",\"k\"]\n[\"a\", {\"x\":1} ,5]\n[\"b\",0,6]";
    check_rows(&reader, body, &["[\"a\",5]", "[\"b\",6]"]);
    check_key(&reader, body, &["5", "6"]);
    check_refused(&reader, "[\"z\"]\n[1]", code::INCORRECT_DATA, 1, 0);
}

#[test]
fn a_header_that_does_not_count_is_passed_over() {
    let reader =
        with_format(Format::JsonCompactEachRowWithNames).with("input_format_with_names_use_header", "0");
    check_key(&reader, "[\"x\",\"y\",\"z\"]\n[5,\"a\"]", &["5"]);
}

#[test]
fn a_headers_types_must_be_the_columns() {
    let reader = with_format(Format::JsonCompactEachRowWithNamesAndTypes);
    check_key(
        &reader,
        "[\"s\",\"k\"]\n[\"String\",\"Int32\"]\n[\"a\",5]",
        &["5"],
    );
    check_refused(
        &reader,
        "[\"s\",\"k\"]\n[\"String\",\"UInt8\"]\n[\"a\",5]",
        code::INCORRECT_DATA,
        1,
        10,
    );
    check_refused(
        &reader,
        "[\"s\",\"k\"]\n[\"String\"]",
        code::INCORRECT_DATA,
        1,
        10,
    );
    check_refused(&reader, "[\"s\",\"k\"]\n", code::CANNOT_READ_ALL_DATA, 1, 10);
    let reader = reader.with("input_format_with_types_use_header", "0");
    check_key(&reader, "[\"s\",\"k\"]\n[\"String\"]\n[\"a\",5]", &["5"]);
}

#[test]
fn strings_hold_texts_and_the_word_null() {
    let reader = Reader::new(
        Format::JsonCompactStringsEachRow,
        "k Nullable(Int32), s String",
        &["k", "s"],
    );
    check_key(
        &reader,
        "[\"1\",\"a\\u0041\"]\n[\"NULL\",\"\"]\n[\"ᴺᵁᴸᴸ\",\"null\"]",
        &["1 aA", "NULL ", "NULL -"],
    );
    check_refused(&reader, "[1,\"a\"]", code::CANNOT_PARSE_QUOTED_STRING, 1, 1);
    check_refused(&reader, "[\"1\",null]", code::CANNOT_PARSE_QUOTED_STRING, 1, 5);
    check_refused(&reader, "[\"\",\"a\"]", code::ATTEMPT_TO_READ_AFTER_EOF, 1, 1);
}

#[test]
fn rows_for_a_shard_that_does_not_know_the_format_become_objects_or_lines() {
    let mut reader = Reader::new(Format::JsonCompactEachRow, "k Int32, `a\"b` String", &["k"]);
    reader.payload = Some(Payload::JsonEachRow);
    check_rows(&reader, "[1, \"x\"]", &["{\"k\":1,\"a\\\"b\":\"x\"}"]);
    let mut reader = Reader::new(
        Format::JsonCompactStringsEachRow,
        "k Nullable(Int32), s String, a Array(String)",
        &["k"],
    );
    reader.payload = Some(Payload::TabSeparated);
    check_rows(
        &reader,
        "[\"1\",\"x\\ty\\\\\",\"['\\\\'a',\\n'b']\"]\n[\"NULL\",\"\",\"[]\"]",
        &["1\tx\\ty\\\\\t['\\'a', 'b']", "\\N\t\t[]"],
    );
    check_refused(&reader, "[\"1\",\"NULL\",\"[]\"]", code::NOT_IMPLEMENTED, 1, 5);
}

#[test]
fn a_payload_that_cannot_carry_the_rows_is_refused() {
    let reader = Reader {
        payload: Some(Payload::Csv),
        ..reader()
    };
    assert_eq!(reader.stream().err().unwrap().code, code::UNKNOWN_FORMAT);
}
