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
