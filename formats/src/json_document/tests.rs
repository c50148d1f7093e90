use crate::tests::{Reader, check_key, check_refused, check_rows};
use crate::{Format, code};

const META: &str = r#""meta":[{"name":"k","type":"Int32"},{"name":"s","type":"String"}]"#;

fn json() -> Reader {
    Reader::new(Format::Json, "k Int32, s String", &["k"])
}

fn compact() -> Reader {
    Reader {
        format: Format::JsonCompact,
        ..json()
    }
}

#[test]
fn the_rows_are_those_of_data_wherever_meta_stands() {
    let rows = [r#"{"k":1,"s":"a"}"#, r#"{"s":"b"}"#];
    let data = r#""data":[{"k":1,"s":"a"}, {"s":"b"}]"#;
    for body in [
        format!("{{{META},{data}}}"),
        format!("{{{data},{META}}}"),
        format!("{{ {data} , \"rows\" : 2, \"statistics\":{{\"data\":[1]}} }} ;\n"),
        format!("\u{feff}\n{{\"x\":[{{}}],{data}}}"),
    ] {
        check_rows(&json(), &body, &rows);
        check_key(&json(), &body, &["1", "-0"]);
    }
    check_rows(&json(), "{\"data\":[]}", &[]);
    check_rows(&json(), "", &[]);
}

#[test]
fn a_compact_documents_meta_says_which_column_is_where() {
    let body =
        r#"{"meta":[{"name":"s","type":"String"},{"type":"Int32","name":"k"}],"data":[["a",7],["b",8]]}"#;
    check_key(&compact(), body, &["7", "8"]);
    assert_eq!(compact().read_all(body.as_bytes()).unwrap().columns, ["s", "k"]);
    let reader = compact().with("input_format_skip_unknown_fields", "1");
    let body = r#"{"meta":[{"name":"z","type":"X"},{"type":"Int32","name":"k"}],"data":[["a",7]]}"#;
    check_rows(&reader, body, &["[7]"]);
    check_refused(&compact(), r#"{"data":[[1,"a"]]}"#, code::INCORRECT_DATA, 1, 1);
}

#[test]
fn a_metas_types_must_be_the_columns_unless_a_setting_says_otherwise() {
    let body = r#"{"meta":[{"name":"k","type":"String"}],"data":[{"k":1}]}"#;
    check_refused(&json(), body, code::INCORRECT_DATA, 1, 8);
    let reader = json().with("input_format_json_validate_types_from_metadata", "0");
    check_key(&reader, body, &["1"]);
}

#[test]
fn a_document_that_is_not_whole_or_has_no_data_is_refused() {
    check_refused(
        &json(),
        "{\"data\":[{\"k\":1}]",
        code::CANNOT_READ_ALL_DATA,
        2,
        17,
    );
    check_refused(&json(), "{\"data\":[{\"k\":1}", code::CANNOT_READ_ALL_DATA, 2, 16);
    check_refused(&json(), "{}", code::INCORRECT_DATA, 1, 1);
    check_refused(&json(), "{\"data\":{}}", code::INCORRECT_DATA, 1, 1);
    check_refused(&json(), "{\"data\":[],\"data\":[]}", code::INCORRECT_DATA, 1, 11);
    check_refused(
        &json(),
        "{\"data\":[{\"k\":1},]}",
        code::CANNOT_PARSE_INPUT,
        2,
        17,
    );
    check_refused(
        &json(),
        "{\"data\":[{\"k\":1}{\"k\":2}]}",
        code::CANNOT_PARSE_INPUT,
        2,
        16,
    );
    check_refused(&json(), "{\"data\":[]} x", code::CANNOT_PARSE_INPUT, 1, 12);
    check_refused(&json(), "[{\"k\":1}]", code::CANNOT_PARSE_INPUT, 1, 0);
    check_refused(&json(), "{\"meta\":5,\"data\":[]}", code::INCORRECT_DATA, 1, 8);
    check_refused(
        &json(),
        "{\"meta\":[{\"name\":\"k\"}],\"data\":[]}",
        code::INCORRECT_DATA,
        1,
        9,
    );
}
