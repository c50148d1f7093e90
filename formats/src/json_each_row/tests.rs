use crate::tests::{Reader, check_key, check_refused, check_rows};
use crate::{Format, Payload, code};

fn reader() -> Reader {
    Reader::new(Format::JsonEachRow, "k UInt8, s String", &["k"])
}

fn strings() -> Reader {
    Reader::new(Format::JsonEachRow, "k UInt8, s String", &["s"])
}

fn skipping() -> Reader {
    reader().with("input_format_skip_unknown_fields", "1")
}

const TWO: [&str; 2] = [r#"{"k":1}"#, r#"{"k":2}"#];

#[test]
fn rows_are_separated_by_newlines_commas_nothing_or_stand_in_one_array() {
    for body in [
        r#"{"k":1}{"k":2}"#,
        "{\"k\":1}\n{\"k\":2}\n",
        r#" {"k":1} , {"k":2} ,"#,
        r#"{"k":1},{"k":2};"#,
        r#"[{"k":1},{"k":2}]"#,
        "[\n{\"k\":1} {\"k\":2}\n] ;\n",
        "\u{feff}{\"k\":1}{\"k\":2}",
    ] {
        check_rows(&reader(), body, &TWO);
    }
    for body in ["", " \n", "[]", "[ ];", ";"] {
        check_rows(&reader(), body, &[]);
    }
}

#[test]
fn what_stands_between_rows_or_behind_them_must_be_right() {
    check_refused(&reader(), r#"{"k":1},,{"k":2}"#, code::CANNOT_PARSE_INPUT, 2, 8);
    check_refused(&reader(), r#"[{"k":1},]"#, code::CANNOT_PARSE_INPUT, 2, 9);
    check_refused(&reader(), r#"{"k":1}x"#, code::CANNOT_PARSE_INPUT, 2, 7);
    check_refused(&reader(), r#"{"k":1};{"k":2}"#, code::CANNOT_PARSE_INPUT, 2, 8);
    check_refused(&reader(), r#"[{"k":1}]{"k":2}"#, code::CANNOT_PARSE_INPUT, 2, 9);
    check_refused(&reader(), r#"{"k":1},;"#, code::CANNOT_PARSE_INPUT, 2, 8);
    check_refused(&reader(), r#",{"k":1}"#, code::CANNOT_PARSE_INPUT, 1, 0);
    check_refused(&reader(), r#"[{"k":1}"#, code::CANNOT_READ_ALL_DATA, 2, 8);
    check_refused(&reader(), r#"{"k":1"#, code::CANNOT_READ_ALL_DATA, 1, 6);
}

#[test]
fn fields_may_come_in_any_order_and_be_missing() {
    check_key(
        &reader(),
        r#"{"k":1,"s":"a"}{"s":"b","k":2}{"s":"c"}{}{"k":5}"#,
        &["1", "2", "-0", "-0", "5"],
    );
}

#[test]
fn names_and_strings_may_be_escaped() {
    check_key(&reader(), r#"{"\u006b":7}{ "k" : 8 }"#, &["7", "8"]);
    check_key(
        &strings(),
        r#"{"s":"\u0041\ud83e\udd80\n\/\0"}{"s":"a\"b}"}"#,
        &["A\\xf0\\x9f\\xa6\\x80\\n/0", "a\\\"b}"],
    );
    check_refused(
        &strings(),
        r#"{"s":"\ud83e"}"#,
        code::CANNOT_PARSE_ESCAPE_SEQUENCE,
        1,
        5,
    );
}

#[test]
fn numbers_may_be_quoted_and_strings_may_be_any_value() {
    check_key(
        &reader(),
        r#"{"k":"1"}{"k":300}{"k":true}{"k":null}"#,
        &["1", "44", "1", "-0"],
    );
    check_key(
        &strings(),
        r#"{"s":1.50}{"s":{"a":[1]}}{"s":null}"#,
        &["1.50", "{\\\"a\\\":[1]}", "-"],
    );
    check_refused(&reader(), r#"{"k":1.0}"#, code::CANNOT_PARSE_NUMBER, 1, 5);
    check_refused(&reader(), r#"{"k":-1}"#, code::CANNOT_PARSE_NUMBER, 1, 5);
}

#[test]
fn unknown_fields_are_refused_or_skipped_as_the_setting_says() {
    check_refused(&reader(), r#"{"k":1,"z":2}"#, code::INCORRECT_DATA, 1, 8);
    check_key(
        &skipping(),
        r#"{"z":[1,{"a":"]"}],"k":1}{"k":2,"z":null}"#,
        &["1", "2"],
    );
    // 26.9 would read this as k; where it is no part of the key the shard may do so.
    check_refused(&skipping(), r#"{"K":1}"#, code::INCORRECT_DATA, 1, 2);
    check_rows(&skipping(), r#"{"S":1}"#, &[r#"{"S":1}"#]);
}

#[test]
fn a_field_must_not_come_twice() {
    check_refused(&reader(), r#"{"k":1,"k":2}"#, code::INCORRECT_DATA, 1, 7);
    check_refused(&reader(), r#"{"s":1,"\u0073":2}"#, code::INCORRECT_DATA, 1, 7);
}

#[test]
fn values_that_the_key_does_not_read_must_still_be_values() {
    check_rows(
        &reader(),
        r#"{"s":[{"a":[],"b":{}},-1.5e+3,"x\"]",true,-inf,nan]}"#,
        &[r#"{"s":[{"a":[],"b":{}},-1.5e+3,"x\"]",true,-inf,nan]}"#],
    );
    for value in [
        "abc",
        "nul",
        "",
        "'a'",
        "[1,]",
        "[1 2]",
        "{1:2}",
        "{\"a\" 1}",
        "[1}",
        "{\"a\":1,}",
        "-",
        "+-1",
        "1a",
    ] {
        let body = format!("{{\"s\":{value}}}");
        assert!(reader().read_all(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn an_object_must_be_well_formed() {
    check_refused(&reader(), r#"{"k":1,}"#, code::CANNOT_PARSE_QUOTED_STRING, 1, 7);
    check_refused(&reader(), r#"{k:1}"#, code::CANNOT_PARSE_QUOTED_STRING, 1, 1);
    check_refused(&reader(), r#"{"k":1 "s":2}"#, code::CANNOT_PARSE_INPUT, 1, 7);
    check_refused(&reader(), r#"{"k" 1}"#, code::CANNOT_PARSE_INPUT, 1, 5);
}

#[test]
fn nesting_is_followed_to_its_limit_and_no_further() {
    let nested = |depth: usize| format!("{{\"s\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert!(
        reader()
            .read_all(nested(super::scan::DEPTH_MAX).as_bytes())
            .is_ok()
    );
    let error = reader()
        .read_all(nested(super::scan::DEPTH_MAX + 1).as_bytes())
        .unwrap_err();
    assert_eq!(error.code, code::INCORRECT_DATA);
}

#[test]
fn a_row_may_be_printed_over_several_lines() {
    let reader = Reader::new(Format::JsonEachRow, "k UInt8, s String", &["k"]);
    check_rows(
        &reader,
        "{\n  \"k\": 1,\n  \"s\": {\n}\n}\n",
        &["{\n  \"k\": 1,\n  \"s\": {\n}\n}"],
    );
}

#[test]
fn strings_hold_the_texts_of_values() {
    let reader = Reader::new(
        Format::JsonStringsEachRow,
        "k Int32, s Nullable(String)",
        &["k", "s"],
    );
    check_key(&reader, "{\"k\":\"1\",\"s\":\"NULL\"}", &["1 NULL"]);
    check_key(&reader, "[{\"s\":\"a\"}]", &["-0 a"]);
    check_refused(&reader, "{\"k\":1}", code::CANNOT_PARSE_QUOTED_STRING, 1, 5);
    check_refused(&reader, "{\"k\":\"\"}", code::ATTEMPT_TO_READ_AFTER_EOF, 1, 5);
    check_refused(&reader, "{\"k\":\"1\",\"k\":\"1\"}", code::INCORRECT_DATA, 1, 9);
}

/// What ClickHouse 26.9 says of each of these rows was asked of chdb.
#[test]
fn a_nested_group_s_columns_may_come_in_one_object_when_the_setting_says_so() {
    let types = "k UInt8, n.a Array(UInt8), n.b UInt8";
    let nesting = || {
        Reader::new(Format::JsonEachRow, types, &["k", "n.b"]).with("input_format_import_nested_json", "1")
    };
    let rows = [
        r#"{"k":1,"n":{"a":[1],"b":2}}"#,
        r#"{"n" : { "b" : 3 }, "k":2}"#,
        r#"{"k":3,"n":{}}"#,
        r#"{"k":4,"n.b":5,"n":{"a":[]}}"#,
        r#"{"k":5,"n":{"a":[]},"n":{"b":6}}"#,
    ];
    check_rows(&nesting(), &rows.concat(), &rows);
    let of_group =
        Reader::new(Format::JsonEachRow, types, &["n.b"]).with("input_format_import_nested_json", "1");
    check_key(&of_group, &rows.concat(), &["2", "3", "-0", "5", "6"]);
    check_refused(&nesting(), r#"{"n":null}"#, code::CANNOT_PARSE_INPUT, 1, 5);
    check_refused(&nesting(), r#"{"n":[{"a":1}]}"#, code::CANNOT_PARSE_INPUT, 1, 5);
    check_refused(&nesting(), r#"{"n":{"k":1}}"#, code::INCORRECT_DATA, 1, 7);
    check_refused(
        &nesting(),
        r#"{"n.b":1,"n":{"b":1}}"#,
        code::INCORRECT_DATA,
        1,
        14,
    );
    let skipping = nesting().with("input_format_skip_unknown_fields", "1");
    let unknown = r#"{"k":1,"n":{"n":{"b":1},"k":7}}"#;
    check_rows(&skipping, unknown, &[unknown]);
    let flat = Reader::new(Format::JsonEachRow, types, &["k"]);
    check_refused(&flat, rows[0], code::INCORRECT_DATA, 1, 8);
}

#[test]
fn the_setting_for_nested_groups_changes_nothing_for_a_table_that_has_none() {
    let nesting = reader().with("input_format_import_nested_json", "1");
    check_key(&nesting, r#"{"k":1,"s":"a"}{"s":"b","k":2}"#, &["1", "2"]);
    check_refused(&nesting, r#"{"k":1,"n":{}}"#, code::INCORRECT_DATA, 1, 8);
}

#[test]
fn strings_for_a_shard_that_does_not_know_the_format_become_lines_of_names_and_texts() {
    let mut reader = Reader::new(
        Format::JsonStringsEachRow,
        "k Nullable(Int32), `a=b` String, c Array(String)",
        &["k"],
    );
    reader.payload = Some(Payload::Tskv);
    check_rows(
        &reader,
        "{\"a=b\":\"x\\ty\\\\\",\"k\":\"1\",\"c\":\"['\\\\'a',\\n'b']\"}{\"k\":\"NULL\"},{}",
        &["a\\=b=x\\ty\\\\\tk=1\tc=['\\'a', 'b']", "k=\\N", ""],
    );
    let body = reader.read_all(b"{\"k\":\"5\"}").unwrap();
    assert_eq!(body.key, [["5"]]);
    check_refused(&reader, "{\"a=b\":\"NULL\"}", code::NOT_IMPLEMENTED, 1, 7);
}
