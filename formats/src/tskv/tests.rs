use crate::tests::{Reader, check_key, check_refused, check_rows};
use crate::{Format, code};

fn reader() -> Reader {
    Reader::new(Format::Tskv, "k Int32, s String, `a=b` String", &["k", "s"])
}

#[test]
fn fields_are_found_by_their_names() {
    let body = "k=1\ts=a\\tb=c\ns=\tk=2\ntskv\tk=3\n\n";
    check_rows(&reader(), body, &["k=1\ts=a\\tb=c", "s=\tk=2", "tskv\tk=3", ""]);
    check_key(&reader(), body, &["1 a\\tb=c", "2 ", "3 -", "-0 -"]);
    check_key(&reader(), "a\\=b=1\tk=\\N\n", &["-0 -"]);
    check_key(&reader(), "\u{feff}k=1\n", &["1 -"]);
    check_rows(&reader(), "", &[]);
}

#[test]
fn a_line_that_is_no_row_is_refused() {
    check_refused(&reader(), "k=1", code::CANNOT_READ_ALL_DATA, 1, 3);
    check_refused(&reader(), "k=1\ts\n", code::INCORRECT_DATA, 1, 4);
    check_refused(&reader(), "k=1\t\n", code::INCORRECT_DATA, 1, 4);
    check_refused(&reader(), "k=1\tk=2\n", code::INCORRECT_DATA, 1, 4);
    check_refused(&reader(), "k=1\nz=3\n", code::INCORRECT_DATA, 2, 4);
    check_refused(&reader(), "k=1\r\n", code::CANNOT_PARSE_NUMBER, 1, 2);
}

#[test]
fn unknown_fields_may_be_skipped() {
    let reader = reader().with("input_format_skip_unknown_fields", "1");
    check_key(&reader, "z=a\\\tb\tk=1\n=5\tk=2\n", &["1 -", "2 -"]);
    check_refused(&reader, "K=1\n", code::INCORRECT_DATA, 1, 0);
}
