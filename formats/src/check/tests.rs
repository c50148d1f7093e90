use crate::tests::Reader;
use crate::{Format, code};

const TABLE: &str = "k UInt8, n Nullable(Int32), d Date, a Array(UInt8), s Array(Nullable(String)), \
                     m Map(String, UInt64), t Tuple(x UInt8, y String), v Array(Array(DateTime))";

fn reader(format: Format) -> Reader {
    let mut reader = Reader::new(format, TABLE, &["k"]);
    reader.check_values = true;
    reader.settings.csv_tuples_as_fields = false;
    reader
}

#[track_caller]
fn takes(format: Format, body: &str) {
    let read = reader(format).read_all(body.as_bytes());
    assert_eq!(
        read.unwrap_or_else(|error| panic!("{body}: {error}")).rows.len(),
        1,
        "{body}"
    );
}

/// That a value in the place of `n` and the others are looked at: code and what stands at the offset.
#[track_caller]
fn refuses(format: Format, body: &str, code: i32, at: &str) {
    let mut reader = reader(format);
    let error = reader.read_all(body.as_bytes()).expect_err(body);
    let offset = usize::try_from(error.offset.unwrap()).unwrap();
    assert_eq!((error.code, error.row), (code, Some(1)), "{body}: {error}");
    assert!(body[offset..].starts_with(at), "{body}: {error}");
    reader.check_values = false;
    assert!(reader.read_all(body.as_bytes()).is_ok(), "{body} is well framed");
}

#[test]
fn sound_values_are_taken_in_every_notation() {
    let values = "['a\\'b',NULL,'\\n']\t{'p':1, 'q':2}\t(1,'y')\t[['2020-01-01 00:00:00'],[]]";
    takes(
        Format::TabSeparated,
        &format!("1\t-2\t2020-01-01\t[1, 2]\t{values}\n"),
    );
    takes(Format::TabSeparated, "1\t\\N\t\\N\t[]\t[]\t{}\t(1,'')\t[]\n");
    takes(Format::Tskv, "k=1\ts=['a\\tb',]\tm={'x':1,}\tt=(1,'y')\n");
    takes(
        Format::Csv,
        "1,,2020-01-01,\"[1,2]\",\"['a\"\"b']\",\"{'p':1}\",\"(1,'y')\",\"[]\"\n",
    );
    takes(
        Format::Values,
        "(1, NULL, '2020-01-01', [1,2], ['a'], {'p':1}, (1,'y'), [['2020-01-01 00:00:00']])",
    );
    takes(
        Format::JsonCompactEachRow,
        r#"[1, "-2", "2020-01-01", [1, 2], ["a\"b", null], {"p": 1}, {"x": 1, "z": []}, [["2020-01-01 00:00:00"], []]]"#,
    );
    takes(Format::JsonEachRow, r#"{"k":1,"t":[1,"y"],"n":null}"#);
    takes(
        Format::JsonStringsEachRow,
        r#"{"k":"1","n":"NULL","s":"['a\\'b']","t":"(1,'y')"}"#,
    );
}

#[test]
fn a_value_of_the_wrong_type_is_refused_in_every_notation() {
    let tsv = |n: &str, a: &str, m: &str, t: &str| format!("1\t{n}\t2020-01-01\t{a}\t[]\t{m}\t{t}\t[]\n");
    let tab = Format::TabSeparated;
    refuses(
        tab,
        &tsv("x", "[]", "{}", "(1,'')"),
        code::CANNOT_PARSE_NUMBER,
        "x",
    );
    refuses(
        tab,
        &tsv("1", "[1,'x']", "{}", "(1,'')"),
        code::CANNOT_READ_ARRAY_FROM_TEXT,
        "[1",
    );
    refuses(
        tab,
        &tsv("1", "[1", "{}", "(1,'')"),
        code::CANNOT_READ_ARRAY_FROM_TEXT,
        "[1",
    );
    refuses(
        tab,
        &tsv("1", "1", "{}", "(1,'')"),
        code::CANNOT_READ_ARRAY_FROM_TEXT,
        "1",
    );
    refuses(
        tab,
        &tsv("1", "[] x", "{}", "(1,'')"),
        code::CANNOT_READ_ARRAY_FROM_TEXT,
        "[] x",
    );
    refuses(
        tab,
        &tsv("1", "[]", "{'a'}", "(1,'')"),
        code::CANNOT_PARSE_INPUT,
        "{'a'}",
    );
    refuses(tab, &tsv("1", "[]", "{}", "(1)"), code::CANNOT_PARSE_INPUT, "(1)");
    refuses(
        tab,
        &tsv("1", "[]", "{}", "(1,'',2)"),
        code::CANNOT_PARSE_INPUT,
        "(1",
    );
    refuses(
        Format::JsonEachRow,
        r#"{"k":1,"n":"x"}"#,
        code::CANNOT_PARSE_NUMBER,
        "\"x",
    );
    refuses(
        Format::JsonEachRow,
        r#"{"k":1,"a":[1,"x"]}"#,
        code::CANNOT_PARSE_NUMBER,
        "[1",
    );
    refuses(
        Format::JsonEachRow,
        r#"{"k":1,"a":{}}"#,
        code::CANNOT_READ_ARRAY_FROM_TEXT,
        "{}",
    );
    refuses(
        Format::JsonEachRow,
        r#"{"k":1,"m":{"a":{"b":1}}}"#,
        code::CANNOT_PARSE_NUMBER,
        "{\"a",
    );
    refuses(
        Format::JsonEachRow,
        r#"{"k":1,"t":{"x":"y"}}"#,
        code::CANNOT_PARSE_NUMBER,
        "{\"x",
    );
}

#[test]
fn expressions_in_values_are_left_to_the_shard() {
    takes(
        Format::Values,
        "(1, 1+1, today(), [1+1], array('a'), map('p', 1), (1,'y'), [])",
    );
}

#[test]
fn nesting_in_a_value_is_not_followed_by_recursion() {
    let deep = format!("k=1\ta=[{}\n", "[".repeat(100_000));
    assert!(reader(Format::Tskv).read_all(deep.as_bytes()).is_err());
}

#[test]
fn every_golden_value_is_sound() {
    crate::tests::golden::check_values_of_all();
}
