//! Which statement is this, and where does its data start?
//!
//! A query reaches Weir in the URL, in the body, or half in each (ClickHouse joins the halves with a line
//! feed).
//! [`recognise`] reads the head of that text, no further than it must, and never looks at an INSERT's data.
//! It says enough to decide what to do with the statement; it does not parse SELECTs or DDL, which a server
//! will read itself.
//!
//! Limits: a statement's head (everything before an INSERT's data) may have [`STATEMENT_BYTES_MAX`] bytes,
//! what ClickHouse's max_query_size allows; a longer one is refused with code 62.

mod insert;
mod lexer;
mod select;
mod tokens;

pub use insert::{Insert, InsertColumns, Source};
pub use select::{Select, select};
pub use tokens::{Token as StatementToken, tokens};

use std::ops::Range;

use lexer::{Lexer, Token};

/// ClickHouse's default max_query_size (262,144 bytes): the longest statement head that is read.
pub const STATEMENT_BYTES_MAX: usize = 262_144;

/// What a statement is, as far as Weir needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// Rows for a table.
    Insert(Insert),
    /// Reads or sets something for its own session, changes nothing: passed through to a replica.
    Read,
    /// DESCRIBE or EXISTS of a table by its name: a read whose table may exist only in Weir.
    Describe {
        /// The table.
        table: TableRef,
        /// Where its name stands in the text, in bytes.
        name: Range<usize>,
    },
    /// Changes tables, databases or rights; with the statement's first word in upper case and the table it
    /// names, if it is plain.
    Ddl {
        /// `CREATE`, `ALTER`, …
        verb: String,
        /// The named table, for the few statements whose table matters to the spool (DROP, TRUNCATE, RENAME).
        table: Option<TableRef>,
    },
    /// `SYSTEM FLUSH|STOP|START DISTRIBUTED …` and every other SYSTEM statement.
    System(System),
    /// KILL QUERY and KILL MUTATION.
    Kill,
    /// BEGIN, COMMIT, ROLLBACK and START TRANSACTION; the first word in upper case.
    Transaction(String),
    /// A temporary table is made, changed or dropped; the first word in upper case.
    TemporaryTable(String),
    /// Only comments and white space.
    Empty,
}

/// A table as a statement names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRef {
    /// The database, where the statement names one.
    pub database: Option<String>,
    /// The table.
    pub table: String,
}

/// A SYSTEM statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum System {
    /// `SYSTEM FLUSH DISTRIBUTED t`
    FlushDistributed(TableRef),
    /// `SYSTEM STOP DISTRIBUTED SENDS [t]`
    StopDistributedSends(Option<TableRef>),
    /// `SYSTEM START DISTRIBUTED SENDS [t]`
    StartDistributedSends(Option<TableRef>),
    /// Any other: its second word in upper case.
    Other(String),
}

/// What became of reading a statement's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recognised {
    /// The statement is known.
    Statement(Statement),
    /// The text ends inside the head: more is needed. Never said of a text that is complete.
    NeedMore,
}

/// A statement that cannot be read; ClickHouse's code 62 (SYNTAX_ERROR), or 456 for a parameter that is not set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub struct StatementError {
    /// Byte offset in the text.
    pub offset: usize,
    /// What stands there, in brackets as ClickHouse shows it, or nothing at the end.
    pub found: String,
    /// What would have been understood.
    pub expected: &'static str,
    /// The query parameter that the statement names and nobody has set.
    pub unset: Option<String>,
}

impl StatementError {
    /// ClickHouse's code: SYNTAX_ERROR, or UNKNOWN_QUERY_PARAMETER.
    pub fn code(&self) -> i32 {
        if self.unset.is_some() { 456 } else { 62 }
    }

    fn text(&self) -> String {
        let Self {
            offset,
            found,
            expected,
            unset,
        } = self;
        match unset {
            Some(name) => {
                format!("Substitution `{name}` is not set: send its value as the parameter param_{name}")
            }
            None => format!(
                "Syntax error: failed at position {}{found}: expected {expected}",
                offset + 1
            ),
        }
    }
}

/// Statements that read, or set something for their own session only.
const READS: &[&str] = &[
    "SELECT", "SHOW", "DESCRIBE", "DESC", "EXISTS", "USE", "SET", "EXPLAIN", "CHECK", "FROM",
];

/// Statements that change what a cluster holds.
const DDLS: &[&str] = &[
    "CREATE", "ALTER", "DROP", "RENAME", "EXCHANGE", "TRUNCATE", "ATTACH", "DETACH", "OPTIMIZE", "GRANT",
    "REVOKE", "UNDROP", "DELETE", "UPDATE", "MOVE", "BACKUP", "RESTORE", "REPLACE", "EXECUTE",
];

/// Statements that join several into one.
const TRANSACTIONS: &[&str] = &["BEGIN", "COMMIT", "ROLLBACK", "START"];

/// Says which statement `text` starts with. `complete` tells that nothing will follow `text`.
///
/// With `complete` false the answer may be [`Recognised::NeedMore`]: call again with a longer text.
pub fn recognise(text: &[u8], complete: bool) -> Result<Recognised, StatementError> {
    recognised(Lexer::new(text), text.len(), complete)
}

/// The same with the request's query parameters: where a name is asked for, `{x:Identifier}` stands for the value of `x`.
pub fn recognise_with(
    text: &[u8],
    complete: bool,
    parameters: &[(String, String)],
) -> Result<Recognised, StatementError> {
    recognised(Lexer::with(text, parameters), text.len(), complete)
}

fn recognised(mut lexer: Lexer<'_>, text_bytes: usize, complete: bool) -> Result<Recognised, StatementError> {
    match statement(&mut lexer) {
        Ok(statement) => Ok(settle(statement, &lexer, complete)),
        Err(_) if !complete && lexer.at_end() && text_bytes < STATEMENT_BYTES_MAX => Ok(Recognised::NeedMore),
        Err(error) => Err(error),
    }
}

/// A statement whose last token touches the end of an incomplete text may go on (`SEL` + `ECT`, `FORMAT CSV`
/// + `WithNames`).
fn settle(statement: Statement, lexer: &Lexer<'_>, complete: bool) -> Recognised {
    let could_go_on = match &statement {
        Statement::Insert(insert) => match &insert.source {
            // A line end behind the format's name is the border itself: what follows is data, whatever it is.
            Source::Data { format, data_at } => {
                let ends_in_line_end =
                    lexer.len().checked_sub(1).and_then(|last| lexer.byte_at(last)) == Some(b'\n');
                *data_at >= lexer.len() && !(format.is_some() && ends_in_line_end)
            }
            Source::Select { .. } | Source::Function(_) | Source::Infile => false,
        },
        Statement::Empty => true,
        Statement::Read
        | Statement::Describe { .. }
        | Statement::Ddl { .. }
        | Statement::System(_)
        | Statement::Transaction(_)
        | Statement::TemporaryTable(_)
        | Statement::Kill => lexer.at_end(),
    };
    if could_go_on && !complete && lexer.len() < STATEMENT_BYTES_MAX {
        Recognised::NeedMore
    } else {
        Recognised::Statement(statement)
    }
}

fn statement(lexer: &mut Lexer<'_>) -> Result<Statement, StatementError> {
    let word = match lexer.peek()? {
        Token::End => return Ok(Statement::Empty),
        Token::Punctuation(b'(') => return Ok(Statement::Read),
        Token::Word(word) => word.to_ascii_uppercase(),
        _ => return Err(lexer.error("a statement")),
    };
    match word.as_str() {
        "INSERT" => Ok(Statement::Insert(insert::insert(lexer)?)),
        "WITH" => with(lexer),
        "SYSTEM" => system(lexer).map(Statement::System),
        "KILL" => Ok(Statement::Kill),
        "DESCRIBE" | "DESC" | "EXISTS" => Ok(describe(lexer).unwrap_or(Statement::Read)),
        transaction if TRANSACTIONS.contains(&transaction) => Ok(Statement::Transaction(word)),
        read if READS.contains(&read) => Ok(Statement::Read),
        ddl if DDLS.contains(&ddl) => ddl_statement(lexer, word),
        _ => Err(lexer.error("a statement that ClickHouse knows (INSERT, SELECT, SHOW, DESCRIBE, …)")),
    }
}

/// `WITH …` is a read unless an INSERT stands outside all brackets: `WITH x AS (…) INSERT INTO t SELECT …`.
fn with(lexer: &mut Lexer<'_>) -> Result<Statement, StatementError> {
    let mut depth = 0_usize;
    let start = lexer.next_start();
    loop {
        match lexer.peek()? {
            Token::End => return Ok(Statement::Read),
            Token::Word(word) if depth == 0 && word.eq_ignore_ascii_case("SELECT") => {
                return Ok(Statement::Read);
            }
            Token::Word(word) if depth == 0 && word.eq_ignore_ascii_case("INSERT") => {
                let clause = start..lexer.next_start();
                let mut insert = insert::insert(lexer)?;
                if let Source::Select { with, .. } = &mut insert.source {
                    *with = clause;
                }
                return Ok(Statement::Insert(insert));
            }
            Token::Punctuation(b'(' | b'[') => depth += 1,
            Token::Punctuation(b')' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
        lexer.next()?;
    }
}

/// `DESCRIBE [TABLE] t`, `EXISTS [TABLE] t`; anything less plain (a SELECT, a table function) is a read like others.
fn describe(lexer: &mut Lexer<'_>) -> Option<Statement> {
    lexer.next().ok()?;
    lexer.take_word("TABLE").ok()?;
    let start = lexer.next_start();
    let table = lexer.table().ok()?;
    let name = start..lexer.position();
    // `t(…)` is a function, and of `EXISTS DATABASE d`, `EXISTS VIEW v` the second word was taken for a table.
    let is_whole = match lexer.peek().ok()? {
        Token::End | Token::Punctuation(b';') => true,
        Token::Word(word) => ["FORMAT", "SETTINGS", "INTO"]
            .iter()
            .any(|clause| word.eq_ignore_ascii_case(clause)),
        _ => false,
    };
    is_whole.then_some(Statement::Describe { table, name })
}

/// A statement that changes something, by its first word.
fn ddl_statement(lexer: &mut Lexer<'_>, verb: String) -> Result<Statement, StatementError> {
    let start = lexer.position();
    lexer.next()?;
    if verb == "REPLACE" && lexer.take_word("INTO")? {
        return Err(
            lexer.error("TABLE or DICTIONARY: ClickHouse has no REPLACE INTO, rows come by INSERT INTO")
        );
    }
    if lexer.take_word("OR")? {
        lexer.take_word("REPLACE")?;
    }
    if lexer.take_word("TEMPORARY")? {
        return Ok(Statement::TemporaryTable(verb));
    }
    lexer.rewind(start);
    let table = ddl_table(lexer, &verb);
    Ok(Statement::Ddl { verb, table })
}

fn system(lexer: &mut Lexer<'_>) -> Result<System, StatementError> {
    lexer.next()?;
    let Token::Word(word) = lexer.next()? else {
        return Err(lexer.error("what SYSTEM should do"));
    };
    let verb = word.to_ascii_uppercase();
    if !lexer.take_word("DISTRIBUTED")? {
        return Ok(System::Other(verb));
    }
    match verb.as_str() {
        "FLUSH" => Ok(System::FlushDistributed(lexer.table()?)),
        "STOP" => Ok(System::StopDistributedSends(sends_table(lexer)?)),
        "START" => Ok(System::StartDistributedSends(sends_table(lexer)?)),
        _ => Ok(System::Other(verb)),
    }
}

fn sends_table(lexer: &mut Lexer<'_>) -> Result<Option<TableRef>, StatementError> {
    lexer.expect_word("SENDS", "SENDS")?;
    match lexer.peek()? {
        Token::End | Token::Punctuation(b';') => Ok(None),
        _ => lexer.table().map(Some),
    }
}

/// The table of `DROP|TRUNCATE|RENAME [TABLE] [IF EXISTS] t`; anything less plain names none.
fn ddl_table(lexer: &mut Lexer<'_>, verb: &str) -> Option<TableRef> {
    lexer.next().ok()?;
    if !["DROP", "TRUNCATE", "RENAME"].contains(&verb) {
        return None;
    }
    let said_table = lexer.take_word("TABLE").ok()?;
    if !said_table && verb != "TRUNCATE" {
        return None;
    }
    if lexer.take_word("IF").ok()? {
        lexer.take_word("EXISTS").ok()?;
    }
    lexer.table().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn recognised(text: &str) -> Statement {
        match recognise(text.as_bytes(), true) {
            Ok(Recognised::Statement(statement)) => statement,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn table(database: Option<&str>, table: &str) -> TableRef {
        TableRef {
            database: database.map(str::to_owned),
            table: table.to_owned(),
        }
    }

    #[test]
    fn reads_are_known_in_any_case_and_behind_comments() {
        for text in [
            "SELECT 1",
            "select version(), timezone()",
            "  -- hello\n# there\n/* a /* nested */ comment */ Show Tables",
            "(SELECT 1) UNION ALL (SELECT 2)",
            "WITH 1 AS x SELECT x",
            "WITH t AS (SELECT 1 AS insert) SELECT * FROM t",
            "DESCRIBE TABLE (SELECT 1)",
            "DESCRIBE remote('h', t)",
            "EXISTS DATABASE d",
            "EXISTS VIEW v",
            "EXISTS TEMPORARY TABLE t",
            "USE db",
            "SET max_threads = 1",
        ] {
            assert_eq!(recognised(text), Statement::Read, "{text}");
        }
    }

    #[test]
    fn a_described_table_is_found_with_the_place_of_its_name() {
        let text = "describe /* x */ TABLE `db`.`t` FORMAT Native";
        let Statement::Describe {
            table: described,
            name,
        } = recognised(text)
        else {
            panic!("no DESCRIBE")
        };
        assert_eq!((described, &text[name]), (table(Some("db"), "t"), "`db`.`t`"));
        for text in [
            "DESC t",
            "EXISTS t",
            "exists table d.t",
            "EXISTS TABLE t FORMAT JSON",
            "DESCRIBE t SETTINGS x = 1",
        ] {
            assert!(matches!(recognised(text), Statement::Describe { .. }), "{text}");
        }
    }

    #[test]
    fn transactions_and_temporary_tables_are_no_ddl_for_every_shard() {
        for text in ["BEGIN TRANSACTION", "commit", "ROLLBACK", "START TRANSACTION"] {
            assert!(matches!(recognised(text), Statement::Transaction(_)), "{text}");
        }
        for text in [
            "CREATE TEMPORARY TABLE t (a UInt8)",
            "CREATE OR REPLACE TEMPORARY TABLE t (a UInt8)",
            "DROP TEMPORARY TABLE t",
        ] {
            assert!(matches!(recognised(text), Statement::TemporaryTable(_)), "{text}");
        }
        let error = recognise(b"REPLACE INTO t VALUES (1)", true).unwrap_err();
        assert!(error.to_string().contains("no REPLACE INTO"), "{error}");
        assert!(matches!(
            recognised("REPLACE TABLE t (a UInt8)"),
            Statement::Ddl { .. }
        ));
    }

    #[test]
    fn an_insert_behind_with_is_not_taken_for_a_read() {
        let Statement::Insert(insert) = recognised("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x")
        else {
            panic!("not an INSERT");
        };
        assert!(matches!(insert.source, Source::Select { .. }));
    }

    #[test]
    fn ddl_names_the_table_that_could_have_waiting_rows() {
        let ddl = |verb: &str, table| Statement::Ddl {
            verb: verb.to_owned(),
            table,
        };
        assert_eq!(
            recognised("create table t (a UInt8) engine = Log"),
            ddl("CREATE", None)
        );
        assert_eq!(
            recognised("DROP TABLE IF EXISTS db.t"),
            ddl("DROP", Some(table(Some("db"), "t")))
        );
        assert_eq!(
            recognised("TRUNCATE `t`"),
            ddl("TRUNCATE", Some(table(None, "t")))
        );
        assert_eq!(recognised("DROP DATABASE db"), ddl("DROP", None));
    }

    #[test]
    fn system_statements_about_distributed_queues_are_told_apart() {
        let sends = |t| Statement::System(System::StopDistributedSends(t));
        assert_eq!(
            recognised("SYSTEM FLUSH DISTRIBUTED db.t"),
            Statement::System(System::FlushDistributed(table(Some("db"), "t")))
        );
        assert_eq!(recognised("system stop distributed sends"), sends(None));
        assert_eq!(
            recognised("SYSTEM STOP DISTRIBUTED SENDS t"),
            sends(Some(table(None, "t")))
        );
        assert_eq!(
            recognised("SYSTEM RELOAD CONFIG"),
            Statement::System(System::Other("RELOAD".into()))
        );
    }

    #[test]
    fn an_empty_text_is_empty_and_an_unknown_word_is_an_error_with_its_place() {
        assert_eq!(recognised(" -- nothing\n"), Statement::Empty);
        let error = recognise(b"  SELEKT 1", true).unwrap_err();
        assert_eq!(error.offset, 2);
        assert!(
            error
                .to_string()
                .starts_with("Syntax error: failed at position 3 ('SELEKT')"),
            "{error}"
        );
    }

    #[test]
    fn a_head_that_may_go_on_asks_for_more_and_a_complete_one_does_not() {
        for text in [
            "",
            "SEL",
            "INS",
            "INSERT INTO",
            "INSERT INTO t (a",
            "INSERT INTO t FORMAT CSV",
            "/* open",
        ] {
            assert_eq!(
                recognise(text.as_bytes(), false),
                Ok(Recognised::NeedMore),
                "{text}"
            );
        }
        assert!(matches!(
            recognise(b"INSERT INTO t FORMAT CSV\n1", false),
            Ok(Recognised::Statement(Statement::Insert(_)))
        ));
        assert!(recognise(b"INSERT INTO t (a", true).is_err());
        let settled = recognise(b"INSERT INTO t FORMAT CSV\n", false);
        assert!(
            matches!(settled, Ok(Recognised::Statement(_))),
            "the query in the URL, joined by a line feed: {settled:?}"
        );
        assert_eq!(
            recognise(b"INSERT INTO t\n", false),
            Ok(Recognised::NeedMore),
            "FORMAT may come in the body"
        );
    }

    #[track_caller]
    fn table_with(text: &str, parameters: &[(&str, &str)]) -> Result<TableRef, StatementError> {
        let parameters: Vec<_> = parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        match recognise_with(text.as_bytes(), true, &parameters)? {
            Recognised::Statement(Statement::Insert(insert)) => Ok(insert.table),
            Recognised::Statement(Statement::Describe { table, name }) => {
                assert!(text[name].starts_with('{'));
                Ok(table)
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn an_identifier_parameter_stands_for_its_value_as_one_name() {
        let both = [("database", "db"), ("table", "t t")];
        let expected = Ok(table(Some("db"), "t t"));
        assert_eq!(
            table_with(
                "INSERT INTO {database:Identifier}.{table:Identifier} FORMAT JSONEachRow",
                &both
            ),
            expected
        );
        assert_eq!(
            table_with(
                "insert into { database : Identifier } . {table:Identifier} VALUES",
                &both
            ),
            expected
        );
        assert_eq!(
            table_with("DESCRIBE TABLE {database:Identifier}.{table:Identifier}", &both),
            expected
        );
        assert_eq!(
            table_with("INSERT INTO {t:Identifier} VALUES", &[("t", "a.b")]),
            Ok(table(None, "a.b"))
        );
        assert_eq!(
            table_with("INSERT INTO TABLE {t:Identifier} (a) VALUES", &[("t", "x")]),
            Ok(table(None, "x"))
        );
    }

    #[test]
    fn a_parameter_that_is_not_set_or_no_identifier_is_refused_with_clickhouse_s_code() {
        let unset = table_with("INSERT INTO {nope:Identifier} VALUES (1)", &[("t", "x")]).unwrap_err();
        assert_eq!(unset.code(), 456);
        assert!(
            unset.to_string().starts_with("Substitution `nope` is not set"),
            "{unset}"
        );
        let string = table_with("INSERT INTO {t:String} VALUES (1)", &[("t", "x")]).unwrap_err();
        assert_eq!(
            (string.code(), string.expected),
            (62, "the substitution type Identifier")
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_recogniser_panic(text in proptest::collection::vec(proptest::num::u8::ANY, 0..60)) {
            let _ = recognise(&text, false);
            let mut insert = b"INSERT INTO ".to_vec();
            insert.extend(&text);
            let _ = recognise(&insert, true);
        }

        #[test]
        fn a_longer_head_never_changes_what_a_shorter_one_settled(cut in 0usize..70) {
            let text = b"insert /* c */ into `a b`.\"t\" (x, `y`) settings async_insert = 1 format CSV\n1,2\n";
            let whole = recognise(text, true).unwrap();
            match recognise(&text[..cut.min(text.len())], false).unwrap() {
                Recognised::NeedMore => {}
                settled => proptest::prop_assert_eq!(settled, whole),
            }
        }
    }
}
