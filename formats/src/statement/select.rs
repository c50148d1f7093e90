//! The SELECT of an `INSERT … SELECT`, as a text that a server can run on its own.

use std::ops::Range;

use super::StatementError;
use super::lexer::{Lexer, Token};

/// The SELECT of an INSERT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Select {
    /// Its text: a WITH that stood before the INSERT, the SELECT, its SETTINGS; no FORMAT, no `;`.
    pub text: Vec<u8>,
    /// It reads the table function `input`, that is, rows from the request's body.
    pub reads_input: bool,
}

/// The SELECT that begins at `at` of a whole statement, with the clause in `with` in front of it. Nothing but a `;` may
/// follow it: several statements are refused, as ClickHouse does.
pub fn select(text: &[u8], with: Range<usize>, at: usize) -> Result<Select, StatementError> {
    let mut lexer = Lexer::new(text);
    lexer.rewind(at);
    let mut select = Select {
        text: text[with].to_vec(),
        reads_input: false,
    };
    let mut kept_to = at;
    let mut depth = 0_usize;
    loop {
        let start = lexer.next_start();
        match lexer.next()? {
            Token::End => break,
            Token::Punctuation(b';') if depth == 0 => {
                select.text.extend_from_slice(&text[kept_to..start]);
                kept_to = text.len();
                expect_end(&mut lexer)?;
                break;
            }
            Token::Punctuation(b'(' | b'[' | b'{') => depth += 1,
            Token::Punctuation(b')' | b']' | b'}') => depth = depth.saturating_sub(1),
            Token::Word(word) if word.eq_ignore_ascii_case("input") => {
                select.reads_input |= lexer.peek()? == Token::Punctuation(b'(');
            }
            Token::Word(word) if depth == 0 && word.eq_ignore_ascii_case("FORMAT") => {
                if let Some(behind) = behind_format(&mut lexer)? {
                    select.text.extend_from_slice(&text[kept_to..start]);
                    kept_to = behind;
                }
            }
            _ => {}
        }
    }
    select.text.extend_from_slice(&text[kept_to..]);
    Ok(select)
}

/// Behind the format's name, where FORMAT is the clause at the end and not the name of something.
fn behind_format(lexer: &mut Lexer<'_>) -> Result<Option<usize>, StatementError> {
    let before = lexer.position();
    if !matches!(lexer.next()?, Token::Word(_) | Token::QuotedName(..)) {
        lexer.rewind(before);
        return Ok(None);
    }
    let behind = lexer.position();
    let is_clause = match lexer.peek()? {
        Token::End | Token::Punctuation(b';') => true,
        Token::Word(word) => word.eq_ignore_ascii_case("SETTINGS"),
        _ => false,
    };
    if !is_clause {
        lexer.rewind(before);
    }
    Ok(is_clause.then_some(behind))
}

fn expect_end(lexer: &mut Lexer<'_>) -> Result<(), StatementError> {
    loop {
        match lexer.peek()? {
            Token::End => return Ok(()),
            Token::Punctuation(b';') => drop(lexer.next()?),
            _ => return Err(lexer.error("the end of the statement: one is run at a time")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Insert, Recognised, Source, Statement, recognise};
    use super::*;

    fn selected(text: &str) -> Result<Select, StatementError> {
        let source = match recognise(text.as_bytes(), true) {
            Ok(Recognised::Statement(Statement::Insert(Insert { source, .. }))) => source,
            other => panic!("{text}: {other:?}"),
        };
        let Source::Select { with, at } = source else {
            panic!("{text}: {source:?}")
        };
        select(text.as_bytes(), with, at)
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let select = selected(text).unwrap();
        assert_eq!(String::from_utf8(select.text).unwrap().trim(), expected);
        assert!(!select.reads_input);
    }

    #[test]
    fn the_select_is_found_in_every_form_of_the_insert() {
        check("INSERT INTO t SELECT a FROM s", "SELECT a FROM s");
        check("INSERT INTO t (a, b) SELECT 1, ';'", "SELECT 1, ';'");
        check("insert into t (a) (select 1)", "(select 1)");
        check(
            "INSERT INTO t (SELECT 1) UNION ALL (SELECT 2)",
            "(SELECT 1) UNION ALL (SELECT 2)",
        );
        check("INSERT INTO t WITH 1 AS x SELECT x", "WITH 1 AS x SELECT x");
        check("WITH 1 AS x INSERT INTO t SELECT x", "WITH 1 AS x SELECT x");
        check(
            "INSERT INTO t SETTINGS max_threads = 1 SELECT 1 -- all\n",
            "SELECT 1 -- all",
        );
    }

    #[test]
    fn a_format_a_semicolon_and_comments_behind_it_go_and_its_settings_stay() {
        check("INSERT INTO t SELECT 1 FORMAT CSV", "SELECT 1");
        check("INSERT INTO t SELECT 1 FORMAT Native;\n", "SELECT 1");
        check("INSERT INTO t SELECT 1; -- done", "SELECT 1");
        check(
            "INSERT INTO t SELECT 1 FORMAT CSV SETTINGS max_threads = 2",
            "SELECT 1  SETTINGS max_threads = 2",
        );
        check("INSERT INTO t SELECT format FROM s", "SELECT format FROM s");
        check(
            "INSERT INTO t SELECT format('{}', a) FROM s",
            "SELECT format('{}', a) FROM s",
        );
        check(
            "INSERT INTO t SELECT a AS format FROM s",
            "SELECT a AS format FROM s",
        );
    }

    #[test]
    fn a_second_statement_is_refused_and_input_is_noticed() {
        assert!(selected("INSERT INTO t SELECT 1; DROP TABLE t").is_err());
        let input = selected("INSERT INTO t SELECT a FROM input('a UInt8') FORMAT CSV").unwrap();
        assert!(input.reads_input);
        assert!(!selected("INSERT INTO t SELECT input FROM s").unwrap().reads_input);
    }
}
