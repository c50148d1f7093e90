use crate::tests::{Reader, check_every_cut, check_rows};
use crate::{Format, code};

fn reader() -> Reader {
    Reader::new(Format::JsonColumns, "k UInt16, s String, a Array(String)", &["k"])
}

#[test]
fn columns_become_lines_and_values_keep_their_text() {
    let body = "{\"k\": [1, 2 ,3],\n \"s\" : [\"a\\\"],\", \"\\u0041\", null], \"a\": [[],[\"x\",\n\"]\"],[\"{\"]]}\n";
    check_rows(
        &reader(),
        body,
        &[
            r#"{"k":1,"s":"a\"],","a":[]}"#,
            "{\"k\":2,\"s\":\"\\u0041\",\"a\":[\"x\",\n\"]\"]}",
            r#"{"k":3,"s":null,"a":["{"]}"#,
        ],
    );
    check_rows(&reader(), "", &[]);
    check_rows(&reader(), "{}", &[]);
    check_rows(&reader(), "{\"k\":[]}", &[]);
}

#[test]
fn the_other_kinds_say_their_columns_elsewhere() {
    let compact = Reader::new(Format::JsonCompactColumns, "k UInt16, s String", &["k"]);
    check_rows(
        &compact,
        "[[1,2],[\"a\",\"b\"]]",
        &[r#"{"k":1,"s":"a"}"#, r#"{"k":2,"s":"b"}"#],
    );
    let with = Reader::new(Format::JsonColumnsWithMetadata, "k UInt16, s String", &["k"]);
    let body = "{\"meta\": [{\"name\": \"k\"}], \"data\": {\"k\": [7]}, \"rows\": 1, \"statistics\": {\"elapsed\": 0.1}}";
    check_rows(&with, body, &[r#"{"k":7}"#]);
}

#[track_caller]
fn refused(body: &str, code: i32, words: &str) {
    let error = reader().read_all(body.as_bytes()).expect_err(body);
    assert_eq!(error.code, code, "{body}: {error}");
    assert!(error.message.contains(words), "{error}");
    check_every_cut(&reader(), body.as_bytes());
}

#[test]
fn what_is_no_columns_is_refused_with_its_place() {
    refused(
        "{\"k\":[1,2],\"s\":[\"a\"]}",
        code::INCORRECT_DATA,
        "different numbers of values",
    );
    refused(
        "{\"k\":[1,2]",
        code::CANNOT_READ_ALL_DATA,
        "a comma or the object's end",
    );
    refused(
        "{\"k\":[1,2],\"k\":[1,2]}",
        code::INCORRECT_DATA,
        "each column once",
    );
    refused("{\"k\":5}", code::INCORRECT_DATA, "an array of values");
    refused("{\"k\":[1]} x", code::INCORRECT_DATA, "nothing behind");
    refused(
        "{\"k\":[1 2]}",
        code::INCORRECT_DATA,
        "a comma or the array's end",
    );
    refused("{\"k\":[1,\"a]}", code::CANNOT_READ_ALL_DATA, "the closing quote");
    refused("{\"k\":[x]}", code::INCORRECT_DATA, "expected a JSON value");
    refused("[1]", code::INCORRECT_DATA, "an object");
}

#[test]
fn nesting_is_bounded_and_a_large_body_goes_through_a_file() {
    let deep = format!("{{\"k\":[{}1{}]}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(
        reader().read_all(deep.as_bytes()).unwrap_err().code,
        code::INCORRECT_DATA
    );
    let numbers: Vec<String> = (0..400_000).map(|row| (row % 60_000).to_string()).collect();
    let texts: Vec<String> = (0..400_000).map(|row| format!("\"value {row}\"")).collect();
    let body = format!("{{\"k\":[{}],\"s\":[{}]}}", numbers.join(","), texts.join(", "));
    let read = reader().read(body.as_bytes().chunks(70_001)).unwrap();
    assert_eq!(read.rows.len(), 400_000);
    assert_eq!(read.rows[399_999], b"{\"k\":39999,\"s\":\"value 399999\"}");
    assert_eq!(read.key[399_999], ["39999"]);
}
