use crate::tests::{Reader, check_key, check_refused, check_rows};
use crate::{Format, code};

fn reader() -> Reader {
    Reader::new(Format::Csv, "k UInt8, s String", &["k"])
}

fn strings() -> Reader {
    Reader::new(Format::Csv, "s String, k UInt8", &["s"])
}

#[test]
fn a_row_ends_at_a_line_s_end_of_any_kind_or_with_the_body() {
    check_rows(&reader(), "1,a\n2,b\r\n3,c", &["1,a", "2,b", "3,c"]);
    check_rows(&reader(), "1,a\n\r2,b\n\r", &["1,a", "2,b"]);
    check_rows(&reader(), "", &[]);
    check_rows(&reader(), "1,", &["1,"]);
    check_refused(&reader(), "1,a\n\r\r2,b\n", code::INCORRECT_DATA, 2, 5);
    check_refused(&reader(), "1,a\rb\n", code::INCORRECT_DATA, 1, 3);
    check_refused(&reader(), "1,a\r", code::INCORRECT_DATA, 1, 3);
}

#[test]
fn quotes_guard_delimiters_newlines_and_doubled_quotes() {
    check_rows(&reader(), "1,\"a,\n\"\"b\"\n2,x\n", &["1,\"a,\n\"\"b\"", "2,x"]);
    check_key(
        &strings(),
        "\"a,\n\"\"b\",1\na\"b,2\n'c',3\n",
        &["a,\\n\\\"b", "a\\\"b", "\\'c\\'"],
    );
}

#[test]
fn single_quotes_guard_numbers_always_and_strings_where_a_setting_says_so() {
    check_key(&reader(), "'1',a\n\"2\",'b'\n", &["1", "2"]);
    let single = strings().with("format_csv_allow_single_quotes", "1");
    check_key(&single, "'a,b',1\n", &["a,b"]);
}

#[test]
fn space_around_fields_does_not_count() {
    check_key(&strings(), " a ,1\n\t\"b\" , 2 \n", &["a", "b"]);
    check_rows(&reader(), "1,a \n", &["1,a"]);
}

#[test]
fn an_empty_field_is_absent_and_a_quoted_one_is_not() {
    check_key(&strings(), ",1\n\"\",1\n\"\\N\",1\n", &["-", "", "\\\\N"]);
    check_key(&reader(), "\\N,a\n", &["-0"]);
    check_refused(&reader(), "1,\\N \n", code::INCORRECT_DATA, 1, 2);
    check_refused(&strings(), "a,1\n\\N,1\n", code::INCORRECT_DATA, 2, 4);
    check_key(
        &Reader::new(Format::Csv, "k Nullable(String)", &["k"]),
        "\\N\na\n",
        &["NULL", "a"],
    );
    check_key(
        &Reader::new(Format::Csv, "k Nullable(Int64)", &["k"]),
        "\\N\n1\n",
        &["NULL", "1"],
    );
}

#[test]
fn one_delimiter_behind_the_last_field_is_dropped() {
    check_rows(&reader(), "1,a,\n2,b , \r\n3,c,", &["1,a", "2,b", "3,c"]);
    check_refused(&reader(), "1,a,2\n", code::INCORRECT_DATA, 1, 3);
}

#[test]
fn the_delimiter_may_be_another() {
    let semicolons = reader().with("format_csv_delimiter", ";");
    check_rows(&semicolons, "1;a,b\n2;\"x;y\"\n", &["1;a,b", "2;\"x;y\""]);
    let tabs = reader().with("format_csv_delimiter", "\t");
    check_rows(&tabs, "1\t a\n", &["1\t a"]);
}

#[test]
fn a_tuple_takes_a_field_for_each_element() {
    let table = "k UInt8, t Tuple(a UInt8, b Tuple(c String, d Array(UInt8))), s String";
    let reader = Reader::new(Format::Csv, table, &["s"]);
    check_key(&reader, "1,2,x,\"[1,2]\",end\n", &["end"]);
    let whole = reader.with("input_format_csv_deserialize_separate_columns_into_tuple", "0");
    check_key(&whole, "1,\"(2,('x',[]))\",end\n", &["end"]);
}

#[test]
fn a_header_names_a_tuple_that_takes_several_fields() {
    let reader = Reader::new(
        Format::CsvWithNames,
        "k UInt8, t Tuple(a UInt8, b String)",
        &["k"],
    );
    let body = "t,k\r\n1,x,7\r\n";
    check_key(&reader, body, &["7"]);
    assert_eq!(reader.read_all(body.as_bytes()).unwrap().columns, ["t", "k"]);
}

#[test]
fn a_header_that_nobody_announced_is_found() {
    check_rows(&reader(), "\"k\",\"s\"\n1,a\n", &["1,a"]);
    check_rows(&reader(), "\u{feff}k,s\n1,a\n", &["1,a"]);
    let off = reader().with("input_format_csv_detect_header", "0");
    check_refused(&off, "k,s\n1,a\n", code::CANNOT_PARSE_NUMBER, 1, 0);
}

#[test]
fn what_is_malformed_is_refused_at_its_place() {
    check_refused(&reader(), "1,a\n2\n", code::CANNOT_PARSE_INPUT, 2, 5);
    check_refused(&reader(), "1,a\nx,b\n", code::CANNOT_PARSE_NUMBER, 2, 4);
    check_refused(&reader(), "1,\"a\"b\n", code::INCORRECT_DATA, 1, 5);
    check_refused(&reader(), "1,a\n\n", code::CANNOT_PARSE_INPUT, 2, 4);
    // ClickHouse takes the rest of the body for the string here; a body cut short looks the same.
    check_refused(&reader(), "1,a\n2,\"b", code::CANNOT_READ_ALL_DATA, 2, 8);
}

#[test]
fn a_header_is_read_in_any_case_and_its_unknown_columns_may_be_skipped() {
    let reader = Reader::new(Format::CsvWithNames, "k UInt8, s String", &["k"]);
    check_key(&reader, "S,K\na,1\n", &["1"]);
    let reader = reader.with("input_format_skip_unknown_fields", "1");
    check_rows(&reader, "s,z,k\na, \"q,r\" ,1\n\"\",,2\n", &["a,1", "\"\",2"]);
    check_refused(&reader, "x,z\n1,2\n", code::INCORRECT_DATA, 1, 0);
}

#[test]
fn a_headers_types_must_be_the_columns() {
    let reader = Reader::new(
        Format::CsvWithNamesAndTypes,
        "k Int32, t Tuple(x UInt8, y String)",
        &["k"],
    );
    check_key(
        &reader,
        "t,k\n\"Tuple(x UInt8, y String)\",Int32\n1,a,2\n",
        &["2"],
    );
    check_refused(&reader, "t,k\nUInt8,Int32\n1,a,2\n", code::INCORRECT_DATA, 1, 4);
}

#[test]
fn the_names_that_clickhouse_writes_for_a_tuple_are_unknown_as_they_are_to_itself() {
    let reader = Reader::new(
        Format::CsvWithNames,
        "k Int32, t Tuple(x UInt8, y String)",
        &["k"],
    );
    check_refused(&reader, "t.x,t.y,k\n1,a,2\n", code::INCORRECT_DATA, 1, 0);
    let reader = reader.with("input_format_skip_unknown_fields", "1");
    check_rows(&reader, "t.x,t.y,k\n1,a,2\n", &["2"]);
}

#[test]
fn lines_that_are_nothing_are_passed_over() {
    let reader = Reader::new(Format::Csv, "k UInt8, s String", &["k"]);
    let first = reader.clone().with("input_format_csv_skip_first_lines", "1");
    check_rows(&first, "\"x\ny\"\n1,a\n", &["1,a"]);
    check_rows(&first, "\n1,a\n", &["1,a"]);
    let trailing = reader
        .clone()
        .with("input_format_csv_skip_trailing_empty_lines", "1");
    check_rows(&trailing, "1,a\n\r\n\n", &["1,a"]);
    check_refused(&trailing, "1,a\n\n2,b\n", code::CANNOT_PARSE_INPUT, 2, 4);
    let variable = reader.with("input_format_csv_allow_variable_number_of_columns", "1");
    check_rows(&variable, "1\n2,b,\"c\n\"\n3,d", &["1", "2,b", "3,d"]);
    check_key(&variable, "1\n2,b,c,d\n", &["1", "2"]);
}

#[test]
fn quotes_line_ends_and_null_follow_the_settings() {
    let reader = Reader::new(Format::Csv, "k Nullable(UInt8), s String", &["k", "s"]);
    let bare = reader.clone().with("format_csv_allow_double_quotes", "0");
    check_key(&bare, "1,\"a\"b\"\n", &["1 \\\"a\\\"b\\\""]);
    let cr = reader.clone().with("input_format_csv_allow_cr_end_of_line", "1");
    check_rows(
        &cr,
        "1,a\r2,\"b\"\r\n3,c\n4,d\r",
        &["1,a", "2,\"b\"", "3,c", "4,d"],
    );
    let null = reader.with("format_csv_null_representation", "NULL");
    check_key(&null, "NULL,NULL\n1,\"NULL\"\n", &["NULL -", "1 NULL"]);
    let strict =
        Reader::new(Format::Csv, "k UInt8, s String", &["k"]).with("input_format_null_as_default", "0");
    check_refused(&strict, "\\N,a\n", code::INCORRECT_DATA, 1, 0);
}

#[test]
fn a_bool_has_no_quotes() {
    let reader = Reader::new(Format::Csv, "k Bool, s String", &["k"]);
    check_key(&reader, "true,a\n0,b\n", &["1", "0"]);
    check_refused(&reader, "\"true\",a\n", code::CANNOT_PARSE_BOOL, 1, 0);
}
