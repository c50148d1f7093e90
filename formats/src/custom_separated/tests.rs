use crate::tests::{Reader, check_key, check_refused, check_rows};
use crate::{Format, FormatError, Payload, Settings, code};

/// A reader of two columns by these settings of CustomSeparated.
fn reader(settings: &[(&str, &str)]) -> Reader {
    let mut reader = Reader::new(Format::CustomSeparated, "k Int32, s String", &["k", "s"]);
    let named: Vec<(String, &str)> = settings
        .iter()
        .map(|(name, value)| (format!("format_custom_{name}"), *value))
        .collect();
    reader.settings = Settings::read(named.iter().map(|(name, value)| (name.as_str(), *value))).unwrap();
    reader
}

fn refused(settings: &[(&str, &str)]) -> FormatError {
    reader(settings).stream().err().unwrap()
}

const PIPE: (&str, &str) = ("field_delimiter", "|");
const CSV: (&str, &str) = ("escaping_rule", "CSV");

#[test]
fn by_default_it_is_tab_separated() {
    let reader = reader(&[]);
    assert_eq!(reader.payload(), Payload::TabSeparated);
    check_rows(&reader, "1\ta\\tb\n2\t\n", &["1\ta\\tb", "2\t"]);
    check_key(&reader, "1\ta\\tb\n\\N\tc\n\n", &["1 a\\tb", "-0 c"]);
    check_refused(&reader, "1\ta", code::CANNOT_READ_ALL_DATA, 1, 3);
    check_refused(&reader, "1\ta\r\n", code::INCORRECT_DATA, 1, 2);
}

#[test]
fn csv_fields_are_quoted_where_csv_needs_it() {
    let reader = reader(&[PIPE, CSV]);
    assert_eq!(reader.payload(), Payload::Csv);
    check_rows(
        &reader,
        "1|a,b\n2|\"x|\"\"y\"\n3| c\n4|\n5|a|c\n6|\\N\n",
        &["1,\"a,b\"", "2,\"x|\"\"y\"", "3,\" c\"", "4,", "5,a|c", "6,"],
    );
    check_key(&reader, "1|a,b\n|\"x\"\n3|\n", &["1 a,b", "-0 x", "3 -"]);
    check_refused(&reader, "1|\"a\" \n", code::CANNOT_PARSE_INPUT, 1, 5);
    check_refused(&reader, "1|\"a\"|\n", code::CANNOT_PARSE_INPUT, 1, 5);
    check_refused(&reader, "1\n", code::CANNOT_PARSE_INPUT, 1, 1);
    check_refused(&reader, "1|a", code::CANNOT_READ_ALL_DATA, 1, 3);
}

#[test]
fn every_delimiter_is_the_clients_choice() {
    let between = [
        ("field_delimiter", "||"),
        CSV,
        ("row_before_delimiter", "<"),
        ("row_after_delimiter", ">"),
        ("row_between_delimiter", ";"),
    ];
    check_key(&reader(&between), "<1||a|b>;<2||c>", &["1 a|b", "2 c"]);
    check_key(&reader(&between), "<1||a|b>;<2||c>\n", &["1 a|b", "2 c"]);
    check_refused(&reader(&between), "<1||a>,<2||b>", code::CANNOT_PARSE_INPUT, 2, 6);
    let around = [
        between.as_slice(),
        &[("result_before_delimiter", "B"), ("result_after_delimiter", "E")],
    ]
    .concat();
    check_key(&reader(&around), "B<1||a>;<2||c>E\n", &["1 a", "2 c"]);
    check_refused(&reader(&around), "B<1||a>", code::CANNOT_READ_ALL_DATA, 2, 7);
    check_refused(&reader(&around), "<1||a>", code::CANNOT_PARSE_INPUT, 1, 0);
}

#[test]
fn quoted_and_json_fields_become_values_and_arrays() {
    let quoted = reader(&[PIPE, ("escaping_rule", "Quoted")]);
    check_rows(
        &quoted,
        "1|'a|''b\\''\n-2|NULL\n",
        &["(1,'a|''b\\'')", "(-2,NULL)"],
    );
    check_key(&quoted, "1|'a|''b\\''\n-2|NULL\n", &["1 a|\\'b\\'", "-2 -"]);
    check_refused(&quoted, "1|\n", code::CANNOT_PARSE_INPUT, 1, 2);
    check_refused(&quoted, "1,2|'a'\n", code::CANNOT_PARSE_INPUT, 1, 1);
    check_refused(&quoted, "1|{v:String}\n", code::CANNOT_PARSE_INPUT, 1, 2);
    let json = reader(&[PIPE, ("escaping_rule", "JSON")]);
    check_rows(
        &json,
        "1|{\"a|\": [1]}\n2|null\n",
        &["[1,{\"a|\": [1]}]", "[2,null]"],
    );
    check_key(&json, "1|\"a\\u0041\"\n", &["1 aA"]);
    check_refused(&json, "1|x\n", code::INCORRECT_DATA, 1, 2);
}

#[test]
fn raw_fields_are_escaped() {
    let reader = reader(&[("escaping_rule", "Raw")]);
    check_rows(&reader, "1\t\"a\"\\tb\n", &["1\t\"a\"\\\\tb"]);
    check_key(&reader, "1\t\"a\"\\tb\n", &["1 \\\"a\\\"\\\\tb"]);
}

#[test]
fn headers_are_read_by_the_same_rule() {
    let mut reader = reader(&[PIPE, CSV]);
    check_key(&reader, "s|k\na|1\n", &["1 a"]);
    reader.format = Format::CustomSeparatedWithNames;
    check_key(&reader, "\"s\"|k\na|1\n", &["1 a"]);
    check_refused(&reader, "s|z|k\na|q|1\n", code::INCORRECT_DATA, 1, 0);
    reader.settings.skip_unknown_fields = true;
    check_rows(&reader, "s|z|k\na|q|1\n", &["a,1"]);
    reader.format = Format::CustomSeparatedWithNamesAndTypes;
    check_key(&reader, "s|k\nString|Int32\na|1\n", &["1 a"]);
    check_refused(&reader, "s|k\nString|Int8\na|1\n", code::INCORRECT_DATA, 1, 4);
}

#[test]
fn spaces_around_fields_may_be_ignored() {
    let mut reader = reader(&[PIPE, CSV]);
    reader.format = Format::CustomSeparatedIgnoreSpaces;
    check_rows(&reader, " 1 | \"a\" \n2|b  \n", &["1,\"a\"", "2,b"]);
}

#[test]
fn delimiters_by_which_no_field_would_end_are_refused() {
    assert_eq!(refused(&[PIPE]).code, code::BAD_ARGUMENTS);
    assert_eq!(
        refused(&[PIPE, ("escaping_rule", "Raw")]).code,
        code::BAD_ARGUMENTS
    );
    assert_eq!(
        refused(&[CSV, ("row_after_delimiter", "")]).code,
        code::BAD_ARGUMENTS
    );
    assert_eq!(refused(&[CSV, ("field_delimiter", "")]).code, code::BAD_ARGUMENTS);
    assert!(Settings::read([("format_custom_escaping_rule", "XML")]).is_err());
}
