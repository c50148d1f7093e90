use crate::tests::{Reader, check_key, check_refused, check_rows};
use crate::{Format, code};

fn reader() -> Reader {
    Reader::new(Format::TabSeparated, "k UInt8, s String", &["k"])
}

fn strings() -> Reader {
    Reader::new(Format::TabSeparated, "s String, k UInt8", &["s"])
}

fn with_names() -> Reader {
    Reader::new(Format::TabSeparatedWithNames, "k UInt8, s String", &["k"])
}

#[test]
fn a_row_ends_at_a_newline_and_the_last_one_may_end_with_the_body() {
    check_rows(&reader(), "1\ta\n2\tb\n", &["1\ta", "2\tb"]);
    check_rows(&reader(), "1\ta\n2\tb", &["1\ta", "2\tb"]);
    check_rows(&reader(), "", &[]);
    check_rows(
        &Reader::new(Format::TabSeparated, "s String", &["s"]),
        "\n\n",
        &["", ""],
    );
}

#[test]
fn an_escaped_tab_or_newline_ends_nothing() {
    check_rows(&reader(), "1\ta\\\tb\\\nc\n2\t\n", &["1\ta\\\tb\\\nc", "2\t"]);
    check_rows(&reader(), "1\ta\\\\\n2\tb\n", &["1\ta\\\\", "2\tb"]);
}

#[test]
fn key_values_lose_their_escapes() {
    check_key(
        &strings(),
        "a\\tb\\n\\x41\t1\n\\N\t1\nx\\Ny\t1\n",
        &[r"a\tb\nA", "-", "xy"],
    );
    let nullable = Reader::new(Format::TabSeparated, "s Nullable(String)", &["s"]);
    check_key(&nullable, "\\N\nNULL\n\n", &["NULL", "NULL", ""]);
}

#[test]
fn null_in_a_column_without_null_is_its_default_and_counts_as_absent() {
    check_key(&reader(), "\\N\ta\n\tb\n", &["-0", "0"]);
}

#[test]
fn the_number_of_fields_must_be_right() {
    check_refused(&reader(), "1\ta\n2\n", code::CANNOT_PARSE_INPUT, 2, 5);
    check_refused(&reader(), "1\ta\t\n", code::CANNOT_PARSE_INPUT, 1, 3);
    check_refused(&reader(), "1\ta\n\n", code::CANNOT_PARSE_INPUT, 2, 4);
    check_refused(&reader(), "1\ta\n2", code::CANNOT_PARSE_INPUT, 2, 5);
}

#[test]
fn a_wrong_key_value_is_refused_at_its_place() {
    check_refused(&reader(), "1\ta\nx\tb\n", code::CANNOT_PARSE_NUMBER, 2, 4);
    check_refused(
        &strings(),
        "a\t1\nb\\xZ\t2\n",
        code::CANNOT_PARSE_ESCAPE_SEQUENCE,
        2,
        4,
    );
    check_refused(&strings(), "a\t1\nb\\", code::CANNOT_READ_ALL_DATA, 2, 6);
}

#[test]
fn a_carriage_return_at_a_line_s_end_is_refused_unless_the_setting_allows_it() {
    check_refused(&reader(), "1\ta\r\n", code::INCORRECT_DATA, 1, 3);
    check_refused(&reader(), "1\ta\n2\tb\r\n", code::INCORRECT_DATA, 2, 7);
    check_rows(&reader(), "1\ta\rb\n", &["1\ta\rb"]);
    let crlf = reader().with("input_format_tsv_crlf_end_of_line", "1");
    check_rows(&crlf, "1\ta\r\n2\tb\n", &["1\ta", "2\tb"]);
    // What stands in front of CR LF is data, which only an escape can say where lines end in LF.
    check_rows(
        &crlf,
        "1\ta\r\r\n2\tb\rc\r\r\r\n3\td\\\r\r\n4\te\\\\\r\r\n",
        &["1\ta\\r", "2\tb\rc\\r\\r", "3\td\\r", "4\te\\\\\\r"],
    );
}

#[test]
fn a_byte_order_mark_is_skipped_unless_it_may_be_data() {
    check_rows(&reader(), "\u{feff}1\ta\n", &["1\ta"]);
    check_rows(&strings(), "\u{feff}a\t1\n", &["\u{feff}a\t1"]);
    check_rows(&with_names(), "\u{feff}k\ts\n1\ta\n", &["1\ta"]);
}

#[track_caller]
fn check_columns(reader: &Reader, body: &str, columns: &[&str], rows: &[&str]) {
    check_rows(reader, body, rows);
    assert_eq!(reader.read_all(body.as_bytes()).unwrap().columns, columns);
}

#[test]
fn a_header_names_the_columns() {
    check_columns(&with_names(), "s\tk\na\t1\n", &["s", "k"], &["a\t1"]);
    check_columns(&with_names(), "k\n1\n2\n", &["k"], &["1", "2"]);
    check_columns(&with_names(), "k\ts", &["k", "s"], &[]);
    check_key(&with_names(), "s\na\n", &["-0"]);
    let by_place = with_names().with("input_format_with_names_use_header", "0");
    check_columns(&by_place, "x\ty\n1\ta\n", &["k", "s"], &["1\ta"]);
}

#[test]
fn a_header_with_an_unknown_or_repeated_name_is_refused() {
    check_refused(&with_names(), "k\tz\n1\ta\n", code::INCORRECT_DATA, 1, 0);
    check_refused(&with_names(), "k\tk\n1\ta\n", code::INCORRECT_DATA, 1, 0);
    check_refused(&with_names(), "z\ts\n1\ta\n", code::INCORRECT_DATA, 1, 0);
    let skipping = with_names().with("input_format_skip_unknown_fields", "1");
    check_refused(&skipping, "y\tz\n1\ta\n", code::INCORRECT_DATA, 1, 0);
}

#[test]
fn a_header_that_nobody_announced_is_found_as_26_9_finds_it() {
    check_columns(&reader(), "k\ts\n1\ta\n", &["k", "s"], &["1\ta"]);
    check_columns(&reader(), "s\tk\na\t1\n", &["s", "k"], &["a\t1"]);
    check_columns(&reader(), "k\ts\nUInt8\tString\n1\ta\n", &["k", "s"], &["1\ta"]);
    check_columns(&reader(), "k\n1\n", &["k"], &["1"]);
    check_refused(&reader(), "k\tz\n1\ta\n", code::CANNOT_PARSE_NUMBER, 1, 0);
    check_refused(&reader(), "k\ts\nUInt8\n", code::INCORRECT_DATA, 1, 4);
    let off = reader().with("input_format_tsv_detect_header", "0");
    check_refused(&off, "k\ts\n1\ta\n", code::CANNOT_PARSE_NUMBER, 1, 0);
}

#[test]
fn a_header_is_read_in_any_case_and_its_unknown_columns_may_be_skipped() {
    let reader = Reader::new(Format::TabSeparatedWithNames, "k UInt8, s String", &["k"]);
    check_key(&reader, "S\tK\na\t1\n", &["1"]);
    let reader = reader.with("input_format_skip_unknown_fields", "1");
    check_rows(&reader, "s\tz\tk\na\\t\tq\t1\n", &["a\\t\t1"]);
    check_refused(&reader, "s\tz\tk\na\tq\n", code::CANNOT_PARSE_INPUT, 1, 9);
}

#[test]
fn a_headers_types_must_be_the_columns() {
    let reader = Reader::new(Format::TabSeparatedWithNamesAndTypes, "k Int32, s String", &["k"]);
    check_key(&reader, "s\tk\nString\tInt32\na\t1\n", &["1"]);
    check_refused(&reader, "s\tk\nString\tInt8\na\t1\n", code::INCORRECT_DATA, 1, 4);
    check_refused(&reader, "s\tk\nString\na\t1\n", code::INCORRECT_DATA, 1, 4);
}

#[test]
fn raw_lines_are_escaped() {
    let reader = Reader::new(
        Format::TabSeparatedRaw,
        "k Nullable(Int32), s String",
        &["k", "s"],
    );
    let body = "1\ta\\tb\n\\N\t\"\\\n";
    check_rows(&reader, body, &["1\ta\\\\tb", "\\N\t\"\\\\"]);
    check_key(&reader, body, &["1 a\\\\tb", "NULL \\\"\\\\"]);
    let reader = Reader::new(Format::TabSeparatedRawWithNames, "k Int32, s String", &["k"]);
    check_key(&reader, "s\tk\n\\\t1\n", &["1"]);
}

#[test]
fn lines_that_are_nothing_are_passed_over() {
    let reader = Reader::new(Format::TabSeparated, "k UInt8, s String", &["k"]);
    let first = reader.clone().with("input_format_tsv_skip_first_lines", "2");
    check_rows(&first, "x\n\n1\ta\n", &["1\ta"]);
    let trailing = reader
        .clone()
        .with("input_format_tsv_skip_trailing_empty_lines", "1");
    check_rows(&trailing, "1\ta\n\n\n", &["1\ta"]);
    check_refused(&trailing, "1\ta\n\n2\tb\n", code::CANNOT_PARSE_INPUT, 2, 4);
    let variable = reader.with("input_format_tsv_allow_variable_number_of_columns", "1");
    check_rows(&variable, "1\n2\tb\tc\td\n3\td", &["1", "2\tb", "3\td"]);
}

#[test]
fn another_sign_may_be_null() {
    let reader = Reader::new(Format::TabSeparated, "k Nullable(UInt8), s String", &["k"])
        .with("format_tsv_null_representation", "NULL");
    check_key(&reader, "NULL\tNULL\n1\t\n", &["NULL", "1"]);
    check_refused(&reader, "\\N\ta\n", code::INCORRECT_DATA, 1, 0);
    let reader = Reader::new(Format::TabSeparated, "k UInt8, s String", &["k"])
        .with("input_format_tsv_empty_as_default", "1");
    check_key(&reader, "\ta\n", &["-0"]);
}
