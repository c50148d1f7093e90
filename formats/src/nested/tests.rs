use crate::tests::{Reader, check_every_cut, check_key};
use crate::{Format, code};

fn reader(format: Format, data_type: &str) -> Reader {
    let mut reader = Reader::new(format, &format!("k {data_type}"), &["k"]);
    reader.settings.csv_detect_header = false;
    reader.settings.tsv_detect_header = false;
    reader
}

/// A row that holds only this value.
fn row(format: Format, value: &str) -> String {
    match format {
        Format::JsonEachRow => format!("{{\"k\":{value}}}\n"),
        Format::Values => format!("({value})"),
        Format::Csv => format!("\"{}\"\n", value.replace('"', "\"\"")),
        _ => format!("{value}\n"),
    }
}

/// The value, shown without quotes.
#[track_caller]
fn reads(format: Format, data_type: &str, value: &str, expected: &str) {
    check_key(&reader(format, data_type), &row(format, value), &[expected]);
}

#[track_caller]
fn refuses(format: Format, data_type: &str, value: &str, code: i32) {
    let body = row(format, value);
    let error = reader(format, data_type)
        .read_all(body.as_bytes())
        .expect_err(&body);
    assert_eq!((error.code, error.row), (code, Some(1)), "{body}: {error}");
    check_every_cut(&reader(format, data_type), body.as_bytes());
}

/// A notation that TabSeparated, CSV and Values share.
#[track_caller]
fn reads_quoted(data_type: &str, value: &str, expected: &str) {
    for format in [Format::TabSeparated, Format::Csv, Format::Values] {
        reads(format, data_type, value, expected);
    }
}

// Each expectation of this file is what ClickHouse 26.9 reads, or refuses.

#[test]
fn arrays_are_read_in_the_notation_of_sql() {
    reads_quoted("Array(UInt8)", "[1, 256 ,+3]", "[1,0,3]");
    reads_quoted("Array(UInt8)", "[]", "[]");
    reads_quoted("Array(UInt8)", "[1,]", "[1]");
    reads_quoted("Array(Int8)", "[-1,200]", "[-1,-56]");
    reads_quoted("Array(String)", "['a','b\\'\\n', 'c''d']", "[a,b\\'\\n,c\\'d]");
    reads_quoted("Array(Array(UInt8))", "[[1],[]]", "[[1],[]]");
    reads_quoted("Array(Float64)", "[1,nan,-inf,1e3,.5]", "[1,NaN,-inf,1000,0.5]");
    reads_quoted("Array(Bool)", "[true,FALSE,1,0]", "[1,0,1,0]");
    reads_quoted("Array(Date)", "['1970-01-02']", "[1]");
    reads_quoted(
        "Array(DateTime('Asia/Tokyo'))",
        "['1970-01-02 00:00:00',5]",
        "[54000,5]",
    );
    reads_quoted("Array(DateTime64(1, 'UTC'))", "[1577836800.5]", "[15778368005]");
    reads_quoted("Array(Decimal(9, 2))", "[1.555]", "[155]");
    reads_quoted("Array(Enum8('a' = 3))", "['a','3']", "[3,3]");
    reads_quoted("Array(IPv4)", "['0.0.1.2']", "[258]");
}

#[test]
fn null_inside_a_value_is_null_or_the_default() {
    reads_quoted("Array(Nullable(UInt8))", "[1,NULL,null]", "[1,NULL,NULL]");
    reads_quoted("Array(UInt8)", "[1,NULL]", "[1,0]");
    reads_quoted("Array(LowCardinality(String))", "['a',NULL]", "[a,]");
    reads_quoted("Array(Array(UInt8))", "[NULL]", "[[]]");
    reads_quoted("Map(String, UInt8)", "{'a':NULL}", "[(a,0)]");
    reads(
        Format::JsonEachRow,
        "Array(Nullable(String))",
        "[null,\"null\"]",
        "[NULL,null]",
    );
    reads(Format::JsonEachRow, "Array(UInt8)", "[1,null]", "[1,0]");
    reads(
        Format::JsonEachRow,
        "Array(Tuple(UInt8, String))",
        "[null]",
        "[(0,)]",
    );
    // ClickHouse writes the number 0, which is no element.
    refuses(
        Format::JsonEachRow,
        "Array(Enum8('a' = 1))",
        "[null]",
        code::INCORRECT_DATA,
    );
    refuses(
        Format::TabSeparated,
        "Array(Tuple(Enum8('a' = 1), UInt8))",
        "[NULL]",
        code::INCORRECT_DATA,
    );
    reads(
        Format::JsonEachRow,
        "Array(Enum8('z' = 0, 'a' = 1))",
        "[null]",
        "[0]",
    );
    let mut strict = reader(Format::TabSeparated, "Array(UInt8)");
    strict.settings.null_as_default = false;
    assert_eq!(
        strict.read_all(b"[NULL]\n").unwrap_err().code,
        code::INCORRECT_DATA
    );
}

#[test]
fn tuples_and_maps_are_read_in_the_notation_of_sql() {
    for data_type in ["Tuple(UInt8, String)", "Tuple(a UInt8, b String)"] {
        for format in [Format::TabSeparated, Format::Values] {
            reads(format, data_type, "( 1 , 'a' )", "(1,a)");
        }
        refuses(
            Format::TabSeparated,
            data_type,
            "(1,'a',)",
            code::CANNOT_READ_ARRAY_FROM_TEXT,
        );
        refuses(
            Format::TabSeparated,
            data_type,
            "(1,'a',2)",
            code::CANNOT_PARSE_INPUT,
        );
        refuses(Format::TabSeparated, data_type, "(1)", code::CANNOT_PARSE_INPUT);
    }
    reads(Format::TabSeparated, "Tuple(UInt8)", "(1,)", "(1)");
    reads_quoted(
        "Array(Tuple(UInt8, String))",
        "[(1,'a'),(2,'b')]",
        "[(1,a),(2,b)]",
    );
    reads_quoted("Map(String, UInt64)", "{'a' : 1 ,'a':2}", "[(a,1),(a,2)]");
    reads_quoted("Map(UInt32, Array(String))", "{1:['x'],}", "[(1,[x])]");
    refuses(
        Format::TabSeparated,
        "Map(String, UInt64)",
        "{'a'}",
        code::CANNOT_PARSE_INPUT,
    );
}

#[test]
fn a_value_in_other_clothes_than_its_types_is_refused_in_lines_and_left_to_nobody_in_values() {
    let number = code::CANNOT_READ_ARRAY_FROM_TEXT;
    for value in [
        "['1']", "[true]", "[a]", "[1 2]", "[1]x", " [1]", "[1] ", "1", "[1", "[[1]]", "[,1]",
    ] {
        refuses(Format::TabSeparated, "Array(UInt8)", value, number);
    }
    refuses(Format::TabSeparated, "Array(String)", "[1]", number);
    refuses(Format::TabSeparated, "Array(Date)", "[18262]", number);
    refuses(Format::TabSeparated, "Array(Enum8('a' = 1))", "[1]", number);
    for value in ["['1']", "[true]", "[1+1]", "array(1)", "'[1]'", "[1, /*x*/ 2]"] {
        refuses(Format::Values, "Array(UInt8)", value, code::NOT_IMPLEMENTED);
    }
    refuses(
        Format::Values,
        "Tuple(UInt8, String)",
        "(1,'a',)",
        code::NOT_IMPLEMENTED,
    );
}

#[test]
fn json_values_are_read_with_all_that_lies_in_them() {
    let reads = |data_type: &str, value: &str, expected: &str| {
        reads(Format::JsonEachRow, data_type, value, expected);
    };
    reads("Array(UInt8)", "[ 1 , \"2\", true]", "[1,2,1]");
    reads(
        "Array(String)",
        "[1,\"a\\u0041\",[1, 2],{\"a\":1}]",
        "[1,aA,[1, 2],{\\\"a\\\":1}]",
    );
    reads(
        "Array(DateTime('UTC'))",
        "[\"2020-01-01 00:00:00\",5]",
        "[1577836800,5]",
    );
    reads("Tuple(UInt8, String)", "[1,\"a\"]", "(1,a)");
    reads(
        "Tuple(a UInt8, b String)",
        "{\"b\":\"x\",\"c\":[],\"a\":1}",
        "(1,x)",
    );
    reads("Tuple(a UInt8, b Nullable(UInt8))", "{\"a\":1}", "(1,NULL)");
    reads("Tuple(a UInt8, b String)", "{}", "(0,)");
    reads(
        "Map(String, UInt64)",
        "{\"a\\n\":1,\"a\":\"2\"}",
        "[(a\\n,1),(a,2)]",
    );
    reads("Map(UInt32, Array(UInt8))", "{\"7\":[1]}", "[(7,[1])]");
    reads("Map(Date, UInt8)", "{\"1970-01-02\":1}", "[(1,1)]");
}

#[test]
fn json_values_of_another_shape_are_refused() {
    let refuses = |data_type: &str, value: &str, code: i32| {
        refuses(Format::JsonEachRow, data_type, value, code);
    };
    for value in ["{}", "1", "\"[1]\"", "\"\""] {
        refuses("Array(UInt8)", value, code::CANNOT_READ_ARRAY_FROM_TEXT);
    }
    for value in ["[1]", "[1,\"a\",2]", "{\"1\":1,\"2\":\"x\"}", "\"(1,'a')\""] {
        refuses("Tuple(UInt8, String)", value, code::CANNOT_PARSE_INPUT);
    }
    for value in ["[[\"a\",1]]", "[]", "\"{'a':1}\""] {
        refuses("Map(String, UInt8)", value, code::CANNOT_PARSE_INPUT);
    }
    refuses(
        "Tuple(a UInt8, b UInt8)",
        "{\"a\":1,\"a\":2}",
        code::INCORRECT_DATA,
    );
    // 26.9 does not find the element by such a name.
    refuses(
        "Tuple(a UInt8, b UInt8)",
        "{\"\\u0061\":1}",
        code::NOT_IMPLEMENTED,
    );
    refuses(
        "Tuple(a Enum8('x' = 1), b UInt8)",
        "{\"b\":1}",
        code::INCORRECT_DATA,
    );
    refuses("Map(Bool, UInt8)", "{\"true\":1}", code::CANNOT_PARSE_BOOL);
    refuses("Map(UInt8, UInt8)", "{\"x\":1}", code::CANNOT_PARSE_NUMBER);
    refuses("Array(UInt8)", "[[1]]", code::CANNOT_PARSE_NUMBER);
}

#[test]
fn a_tuple_takes_a_field_of_csv_for_each_element() {
    let csv = |data_type: &str| {
        let mut reader = Reader::new(Format::Csv, &format!("k {data_type}, x UInt8"), &["k", "x"]);
        reader.settings.csv_detect_header = false;
        reader
    };
    let pair = csv("Tuple(UInt8, String)");
    check_key(
        &pair,
        "1,x,5\n\"2\" , \"y,\"\"z\",6\n3,'a',7\n4,,8\n",
        &["(1,x) 5", "(2,y,\\\"z) 6", "(3,\\'a\\') 7", "(4,) 8"],
    );
    let deep = csv("Tuple(UInt8, Tuple(String, Nullable(UInt8)), Array(UInt8))");
    check_key(&deep, "1,x,\\N,\"[3,4]\",5\n", &["(1,(x,NULL),[3,4]) 5"]);
    for body in [",x,5\n", "x,y,5\n"] {
        assert!(pair.read_all(body.as_bytes()).is_err(), "{body}");
    }
    assert_eq!(
        deep.read_all(b"1,x,,[],5\n").unwrap_err().code,
        code::ATTEMPT_TO_READ_AFTER_EOF
    );
    // 26.9 takes the NULL for the whole inner tuple, and reads the next field as what stands behind it.
    let inner = csv("Tuple(UInt8, Tuple(Nullable(UInt8), UInt8))");
    assert_eq!(
        inner.read_all(b"1,\\N,2,5\n").unwrap_err().code,
        code::INCORRECT_DATA
    );
    let mut whole = pair;
    whole.settings.csv_tuples_as_fields = false;
    check_key(&whole, "\"(1,'x')\",5\n", &["(1,x) 5"]);
}

#[test]
fn a_quote_opens_an_array_of_csv_only_where_it_opens_a_string() {
    let mut reader = reader(Format::Csv, "Array(UInt8)");
    assert!(reader.read_all(b"'[1]'\n").is_err());
    reader.settings.csv_single_quotes = true;
    check_key(&reader, "'[1,2]'\n[3]\n\n", &["[1,2]", "[3]", "-[]"]);
}
