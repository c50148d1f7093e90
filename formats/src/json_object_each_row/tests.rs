use crate::tests::{Reader, check_key, check_refused, check_rows};
use crate::{Format, code};

fn reader() -> Reader {
    Reader::new(Format::JsonObjectEachRow, "k Int32, s String", &["k", "s"])
}

#[test]
fn the_members_are_the_rows() {
    let body = "{\"r1\":{\"k\":1,\"s\":\"a\"}, \"r2\" : {\"k\":2}}\n";
    check_rows(&reader(), body, &["{\"k\":1,\"s\":\"a\"}", "{\"k\":2}"]);
    check_key(&reader(), body, &["1 a", "2 -"]);
    check_rows(&reader(), "{}", &[]);
    check_rows(&reader(), "", &[]);
}

#[test]
fn a_column_may_take_the_rows_names() {
    let reader = reader().with("format_json_object_each_row_column_for_object_name", "s");
    let body = "{\"r\\n1\":{\"k\":1}, \"r2\":{ }}";
    check_rows(&reader, body, &["{\"s\":\"r\\n1\",\"k\":1}", "{\"s\":\"r2\" }"]);
    check_key(&reader, body, &["1 r\\n1", "-0 r2"]);
    check_refused(&reader, "{\"r\":{\"s\":\"a\"}}", code::INCORRECT_DATA, 1, 6);
    let reader = reader.with("format_json_object_each_row_column_for_object_name", "z");
    assert_eq!(reader.stream().err().unwrap().code, code::NO_SUCH_COLUMN);
}

#[test]
fn what_is_no_object_of_objects_is_refused() {
    check_refused(&reader(), "{\"r\":{\"k\":1}", code::CANNOT_READ_ALL_DATA, 2, 12);
    check_refused(&reader(), "{\"r\":{\"k\":1},}", code::CANNOT_PARSE_INPUT, 2, 13);
    check_refused(&reader(), "{\"r\":[1]}", code::CANNOT_PARSE_INPUT, 1, 5);
    check_refused(&reader(), "{\"r\":{\"k\":1}} x", code::CANNOT_PARSE_INPUT, 2, 14);
}
