use crate::tests::{Reader, check_key, check_refused, check_rows};
use crate::{Format, code};

fn reader() -> Reader {
    Reader::new(Format::Values, "k UInt8, s String", &["k"])
}

fn strings() -> Reader {
    Reader::new(Format::Values, "k UInt8, s String", &["s"])
}

#[test]
fn rows_are_separated_by_a_comma_or_nothing_and_end_at_a_semicolon() {
    for body in [
        "(1,'a'),(2,'b')",
        " (1,'a')\n(2,'b'),\n",
        "(1,'a'),(2,'b');\n",
        "-- c\n(1,'a') /* , */ , # x\n(2,'b') -- end",
    ] {
        check_rows(&reader(), body, &["(1,'a')", "(2,'b')"]);
    }
    for body in ["", " ", ";"] {
        check_rows(&reader(), body, &[]);
    }
}

#[test]
fn quotes_brackets_and_comments_are_followed() {
    let row = r#"(1, concat('),(', "x)", `y)`, f(g[1], {'a': (2)}), 'it''s \' )' /* ) */) -- )
        )"#;
    check_rows(&reader(), row, &[row]);
}

#[test]
fn key_values_are_literals() {
    check_key(
        &reader(),
        "(1,'a'),('2',x),(300,''),(true,''),(NULL,''),(default,''),( +7 ,'')",
        &["1", "2", "44", "1", "-0", "-0", "7"],
    );
    check_key(
        &strings(),
        r"(1,'a''b\'c\n\x41\N'),(1, '' ),(1,NULL)",
        &["a\\'b\\'c\\nA", "", "-"],
    );
    let nullable = Reader::new(Format::Values, "k Nullable(Int8)", &["k"]);
    check_key(&nullable, "(null),(-5)", &["NULL", "-5"]);
}

#[test]
fn an_expression_where_the_key_reads_is_refused_by_the_column_s_name() {
    for value in [
        "1+1",
        "toUInt8(1)",
        "(1)",
        "-(1)",
        "1 /* c */",
        "[1]",
        "k",
        "0x10",
        "'a' 'b'",
        "'a'||'b'",
    ] {
        let error = reader()
            .read_all(format!("({value},'a')").as_bytes())
            .unwrap_err();
        assert_eq!(
            (error.code, error.row),
            (code::NOT_IMPLEMENTED, Some(1)),
            "{value}: {error}"
        );
        assert!(error.message.contains("column k"), "{error}");
    }
    // ClickHouse would compute these numbers first.
    check_refused(&strings(), "(1,1.50)", code::CANNOT_PARSE_QUOTED_STRING, 1, 3);
    check_refused(&reader(), "(1.5,'a')", code::CANNOT_PARSE_NUMBER, 1, 1);
}

#[test]
fn the_number_of_values_must_be_right() {
    check_refused(&reader(), "(1)", code::SYNTAX_ERROR, 1, 2);
    check_refused(&reader(), "(1,'a',3)", code::SYNTAX_ERROR, 1, 7);
    check_refused(&reader(), "(1,)", code::SYNTAX_ERROR, 1, 3);
    check_refused(&reader(), "(,'a')", code::SYNTAX_ERROR, 1, 1);
    check_refused(&reader(), "()", code::SYNTAX_ERROR, 1, 1);
}

#[test]
fn what_stands_between_rows_or_behind_them_must_be_right() {
    check_refused(&reader(), "(1,'a'),,(2,'b')", code::CANNOT_PARSE_INPUT, 2, 8);
    check_refused(&reader(), "(1,'a') x", code::CANNOT_PARSE_INPUT, 2, 8);
    check_refused(&reader(), "(1,'a'))", code::CANNOT_PARSE_INPUT, 2, 7);
    // ClickHouse drops what stands behind the semicolon without a word.
    check_refused(&reader(), "(1,'a');(2,'b')", code::CANNOT_PARSE_INPUT, 2, 8);
}

#[test]
fn a_row_that_is_not_closed_is_refused() {
    check_refused(&reader(), "(1,'a'),(2", code::CANNOT_READ_ALL_DATA, 2, 10);
    check_refused(&reader(), "(1,'a", code::CANNOT_READ_ALL_DATA, 1, 5);
    check_refused(&reader(), "(1,'a' /* ", code::CANNOT_READ_ALL_DATA, 1, 10);
    check_refused(&reader(), "(1,[2))", code::SYNTAX_ERROR, 1, 5);
    check_refused(&reader(), "(1,$a$ ) $a$)", code::NOT_IMPLEMENTED, 1, 3);
}

fn given(table: &str, key: &[&str], parameters: &[(&str, &str)]) -> Reader {
    let mut reader = Reader::new(Format::Values, table, key);
    let named = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    reader.settings.parameters = parameters.iter().map(named).collect();
    reader
}

/// The row that VALUES with the one parameter `v` becomes, for a table of `k UInt8, s` of this type.
#[track_caller]
fn check_parameter(column: &str, row: &str, value: &str, expected: &str) {
    let reader = given(&format!("k UInt8, s {column}"), &["k"], &[("v", value)]);
    check_rows(&reader, row, &[expected]);
}

/// What ClickHouse 26.9 makes of each of these was asked of chdb.
#[test]
fn a_query_parameter_becomes_a_literal_so_that_its_row_needs_no_request() {
    check_parameter("String", "(1, {v:String})", "abc", "(1, 'abc')");
    check_parameter("String", "(1,{ v : String })", r"a'b\tc\\", r"(1,'a\'b	c\\')");
    check_parameter("String", "(1, {v:String})", "", "(1, '')");
    check_parameter("String", "(1, {v:String})", r"\N", "(1, '')");
    check_parameter("String", "(1, {v:Nullable(String)})", r"\N", "(1, NULL)");
    check_parameter("String", "(1, {v:LowCardinality(String)})", "x", "(1, 'x')");
    check_parameter("UInt64", "({v:UInt8}, {v:Int64})", "300", "(44, 300)");
    check_parameter("Int8", "(1, {v:Int8})", "-5", "(1, -5)");
    check_parameter("Float64", "(1, {v:Float64})", "1.5", "(1, 1.5)");
    check_parameter("Bool", "(1, {v:Bool})", "1", "(1, true)");
    check_parameter("Date", "(1, {v:Date})", "2020-01-01", "(1, '2020-01-01')");
    check_parameter(
        "String",
        "(1, {v:Date})",
        "2020-01-01",
        "(1, CAST('2020-01-01', 'Date'))",
    );
    check_parameter(
        "Array(UInt8)",
        "(1, {v:Array(UInt8)})",
        "[1,2]",
        "(1, CAST('[1,2]', 'Array(UInt8)'))",
    );
    check_parameter("Enum8('}' = 1)", "(1, {v:Enum8('}' = 1)})", "}", "(1, '}')");
}

#[test]
fn parameters_inside_expressions_quotes_and_maps_are_told_apart() {
    check_parameter(
        "String",
        "(1, concat({v:String},'x'))",
        "a",
        "(1, concat('a','x'))",
    );
    check_parameter("String", "(1, {v:String} || {v:String})", "a", "(1, 'a' || 'a')");
    check_parameter(
        "String",
        "(1, f({v:Date}))",
        "2020-01-01",
        "(1, f(CAST('2020-01-01', 'Date')))",
    );
    check_parameter("String", "(1, '{v:String}')", "a", "(1, '{v:String}')");
    check_parameter("Map(String, UInt8)", "(1, {'v':{v:UInt8}})", "7", "(1, {'v':7})");
}

#[test]
fn the_key_reads_a_parameter_as_the_value_it_is() {
    let both = [("k", "42"), ("s", r"it\'s"), ("n", r"\N")];
    let numbers = given("k UInt64, s String", &["k"], &both);
    check_key(
        &numbers,
        "({k:UInt64},{s:String}),(5,''),({k:String},'')",
        &["42", "5", "42"],
    );
    let texts = given("k UInt64, s String", &["s"], &both);
    check_key(&texts, "(1,{s:String}),({k:UInt64},'b')", &["it\\'s", "b"]);
    check_key(
        &given("k UInt64", &["k"], &both),
        "({n:Nullable(UInt64)})",
        &["-0"],
    );
    let times = given("k DateTime('UTC')", &["k"], &[("t", "2020-01-01 00:00:00")]);
    check_key(&times, "({t:DateTime('UTC')})", &["1577836800"]);
    let refused = given("k UInt64", &["k"], &[("a", "[1]")]);
    check_refused(&refused, "({a:Array(UInt8)})", code::NOT_IMPLEMENTED, 1, 1);
}

#[test]
fn a_parameter_that_is_not_set_or_no_value_of_its_type_is_refused_at_its_row() {
    let reader = || {
        given(
            "k UInt8, s String",
            &["k"],
            &[("v", "5x"), ("t", "a\tb"), ("e", "")],
        )
    };
    let unset = code::UNKNOWN_QUERY_PARAMETER;
    check_refused(&reader(), "(1,''),(2,{w:String})", unset, 2, 10);
    check_refused(&self::reader(), "(1,{w:String})", unset, 1, 3);
    for wrong in ["{v:UInt8}", "{t:String}", "{e:UInt8}", "{v:Date}"] {
        check_refused(
            &reader(),
            &format!("(1,{wrong})"),
            code::BAD_QUERY_PARAMETER,
            1,
            3,
        );
    }
    check_refused(&reader(), "(1,{v:Identifier})", code::NOT_IMPLEMENTED, 1, 3);
    check_refused(&reader(), "(1,{v:Array(})", code::UNKNOWN_TYPE, 1, 3);
    check_refused(&reader(), "(1,{v:String)", code::CANNOT_READ_ALL_DATA, 1, 13);
}

#[test]
fn a_row_is_not_made_longer_by_its_parameters_than_a_row_may_be() {
    let mut reader = given("k UInt8, s String", &["k"], &[("v", &"x".repeat(600))]);
    reader.max_row_bytes = 1000;
    check_refused(
        &reader,
        "(1,{v:String}),(2,concat({v:String},{v:String}))",
        code::TOO_MANY_BYTES,
        2,
        15,
    );
}
