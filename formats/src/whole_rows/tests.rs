use crate::tests::{Reader, check_key, check_refused, check_rows};
use crate::{Format, Payload, code};

#[test]
fn lines_become_lines_of_tab_separated() {
    let reader = Reader::new(Format::LineAsString, "s String", &["s"]);
    assert_eq!(reader.payload(), Payload::TabSeparated);
    let body = "a\\tb\r\n\n\\N;\tc";
    check_rows(&reader, body, &["a\\\\tb\\r", "", "\\\\N;\\tc"]);
    check_key(&reader, body, &["a\\\\tb\\r", "", "\\\\N;\\tc"]);
    check_rows(&reader, "", &[]);
    check_rows(&reader, "\n", &[""]);
}

#[test]
fn objects_become_texts_or_members() {
    let reader = Reader::new(Format::JsonAsString, "s String", &["s"]);
    for body in [
        "{\"a\":1}\n{\"b\": [1,\n\"\\\\\"]}",
        "{\"a\":1},{\"b\": [1,\n\"\\\\\"]};",
        "[{\"a\":1},{\"b\": [1,\n\"\\\\\"]}]",
    ] {
        check_rows(&reader, body, &["{\"a\":1}", "{\"b\": [1,\\n\"\\\\\\\\\"]}"]);
    }
    check_refused(&reader, "[1,2]", code::CANNOT_PARSE_INPUT, 1, 1);
    check_refused(&reader, "{\"a\":1", code::CANNOT_READ_ALL_DATA, 1, 6);
    let reader = Reader::new(Format::JsonAsObject, "o JSON", &[]);
    check_rows(&reader, "{\"a\":1} {}", &["{\"o\":{\"a\":1}}", "{\"o\":{}}"]);
}

#[test]
fn the_table_must_have_one_column_of_the_right_type() {
    let refuses = |format: Format, table: &str, code: i32| {
        assert_eq!(
            Reader::new(format, table, &[]).stream().err().unwrap().code,
            code,
            "{table}"
        );
    };
    refuses(Format::LineAsString, "s Nullable(String)", code::INCORRECT_QUERY);
    refuses(Format::LineAsString, "s String, t String", code::INCORRECT_QUERY);
    refuses(Format::JsonAsString, "s Int32", code::BAD_ARGUMENTS);
    refuses(Format::JsonAsObject, "s String", code::BAD_ARGUMENTS);
    assert!(
        Reader::new(Format::JsonAsString, "s Nullable(String)", &[])
            .stream()
            .is_ok()
    );
}

#[test]
fn a_column_that_the_insert_lists_alone_takes_the_lines() {
    let mut reader = Reader::new(Format::LineAsString, "k Int32, s String", &["k"]);
    reader.listed = Some(vec!["s".to_owned()]);
    check_key(&reader, "a\nb\n", &["-0", "-0"]);
}
