//! Statements: what the embedded shard understands of ClickHouse's SQL, and where it says no.

mod create;
mod expression;
mod lexer;
mod parser;
mod select;

use std::fmt;

pub(crate) use create::{CreateTable, DefaultClause};
pub(crate) use expression::{Expression, Literal, parse_expression};
pub(crate) use select::{Item, Order, Select};

use self::lexer::Token;
use self::parser::Parser;
use crate::error::{Outcome, code};

/// A table as a statement names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct TableName {
    /// The session's database when absent.
    pub database: Option<String>,
    pub table: String,
}

/// One statement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Statement {
    CreateDatabase { name: String, if_not_exists: bool },
    CreateTable(CreateTable),
    DropTable { table: TableName, if_exists: bool },
    TruncateTable { table: TableName, if_exists: bool },
    DescribeTable { table: TableName },
    ExistsTable { table: TableName },
    ShowTables { database: Option<String> },
    Insert(Insert),
    Select(Select),
}

/// An INSERT's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Insert {
    pub table: TableName,
    /// `None`: all columns that can be inserted, in the table's order.
    pub columns: Option<Vec<String>>,
    pub format: String,
    /// Byte offset at which the data begin.
    pub data_at: usize,
}

/// A statement with what may stand around any: settings, and the format of its answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parsed {
    pub statement: Statement,
    pub settings: Vec<(String, String)>,
    /// The answer's format; for an INSERT see there.
    pub format: Option<String>,
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.database {
            Some(database) => write!(f, "{database}.{}", self.table),
            None => f.write_str(&self.table),
        }
    }
}

/// Reads one statement; behind an INSERT's head the bytes are data and are left alone.
pub(crate) fn parse(statement: &[u8]) -> Outcome<Parsed> {
    let mut parser = Parser::new(statement)?;
    if parser.take_word("INSERT")? {
        return parse_insert(&mut parser, statement);
    }
    let statement = parse_plain(&mut parser)?;
    let (mut settings, mut format) = (Vec::new(), None);
    loop {
        if parser.take_word("SETTINGS")? {
            settings.extend(parser.settings()?);
        } else if parser.take_word("FORMAT")? {
            format = Some(parser.name()?);
        } else {
            break;
        }
    }
    parser.end()?;
    Ok(Parsed {
        statement,
        settings,
        format,
    })
}

fn parse_plain(parser: &mut Parser<'_>) -> Outcome<Statement> {
    if parser.take_word("SELECT")? {
        return select::parse(parser).map(Statement::Select);
    }
    if parser.take_word("CREATE")? {
        return create::parse(parser);
    }
    if parser.take_word("DROP")? {
        let (table, if_exists) = table_if_exists(parser)?;
        parser.take_word("SYNC")?;
        return Ok(Statement::DropTable { table, if_exists });
    }
    if parser.take_word("TRUNCATE")? {
        let (table, if_exists) = table_if_exists(parser)?;
        return Ok(Statement::TruncateTable { table, if_exists });
    }
    if parser.take_word("DESCRIBE")? || parser.take_word("DESC")? {
        parser.take_word("TABLE")?;
        return Ok(Statement::DescribeTable {
            table: parser.table_name()?,
        });
    }
    if parser.take_word("EXISTS")? {
        parser.take_word("TABLE")?;
        return Ok(Statement::ExistsTable {
            table: parser.table_name()?,
        });
    }
    if parser.take_word("SHOW")? {
        return parse_show(parser);
    }
    refuse_statement(parser)
}

/// A statement ClickHouse has is code 48, anything else a syntax error.
fn refuse_statement<T>(parser: &Parser<'_>) -> Outcome<T> {
    const OTHERS: &[&str] = &[
        "ALTER", "ATTACH", "BACKUP", "CHECK", "DELETE", "DETACH", "EXCHANGE", "EXPLAIN", "GRANT", "KILL",
        "OPTIMIZE", "RENAME", "RESTORE", "REVOKE", "SET", "SYSTEM", "UNDROP", "UPDATE", "USE", "WATCH",
        "WITH",
    ];
    match OTHERS.iter().find(|other| parser.is_word(other)) {
        Some(other) => parser.not_here(&format!("{other} statements")),
        None => parser.expected("SELECT, INSERT, CREATE, DROP, TRUNCATE, DESCRIBE, EXISTS or SHOW TABLES"),
    }
}

fn table_if_exists(parser: &mut Parser<'_>) -> Outcome<(TableName, bool)> {
    for other in [
        "DATABASE",
        "VIEW",
        "DICTIONARY",
        "TEMPORARY",
        "ALL",
        "TABLES",
        "FUNCTION",
    ] {
        if parser.is_word(other) {
            return parser.not_here(&format!("DROP or TRUNCATE {other}"));
        }
    }
    parser.take_word("TABLE")?;
    let if_exists = parser.take_words(&["IF", "EXISTS"])?;
    let table = parser.table_name()?;
    refuse_on_cluster(parser)?;
    Ok((table, if_exists))
}

fn refuse_on_cluster(parser: &Parser<'_>) -> Outcome<()> {
    if parser.is_word("ON") {
        parser.not_here("ON CLUSTER")
    } else {
        Ok(())
    }
}

fn parse_show(parser: &mut Parser<'_>) -> Outcome<Statement> {
    if !parser.take_word("TABLES")? {
        return parser.not_here("SHOW of anything but TABLES");
    }
    let from = parser.take_word("FROM")? || parser.take_word("IN")?;
    let database = if from { Some(parser.name()?) } else { None };
    Ok(Statement::ShowTables { database })
}

/// `[INTO] [TABLE] table [(columns)] [SETTINGS …] (FORMAT f | VALUES)`, then the data.
fn parse_insert(parser: &mut Parser<'_>, statement: &[u8]) -> Outcome<Parsed> {
    parser.take_word("INTO")?;
    parser.take_word("TABLE")?;
    if parser.is_word("FUNCTION") {
        return parser.not_here("INSERT INTO FUNCTION");
    }
    let table = parser.table_name()?;
    let columns = if parser.take("(")? {
        Some(parse_columns(parser)?)
    } else {
        None
    };
    let mut settings = Vec::new();
    while parser.take_word("SETTINGS")? {
        settings.extend(parser.settings()?);
    }
    let (format, behind) = parse_format(parser)?;
    let data_at = data_start(statement, behind)?;
    let statement = Statement::Insert(Insert {
        table,
        columns,
        format,
        data_at,
    });
    Ok(Parsed {
        statement,
        settings,
        format: None,
    })
}

fn parse_columns(parser: &mut Parser<'_>) -> Outcome<Vec<String>> {
    if *parser.peek() == Token::Symbol("*") {
        return parser.not_here("(* EXCEPT …) as an INSERT's columns");
    }
    let columns = parser.list(Parser::column_name)?;
    parser.expect(")")?;
    Ok(columns)
}

/// The format and the offset behind its name. The word behind is not looked at: it may be data.
fn parse_format(parser: &mut Parser<'_>) -> Outcome<(String, usize)> {
    if parser.is_word("VALUES") {
        return Ok(("Values".to_owned(), parser.behind()));
    }
    if parser.is_word("SELECT") || parser.is_word("WITH") {
        return parser.not_here("INSERT … SELECT");
    }
    parser.expect_word("FORMAT")?;
    match parser.peek() {
        Token::Word(format) | Token::Quoted(format) => Ok((format.clone(), parser.behind())),
        _ => parser.expected("the name of a format"),
    }
}

/// Data begin behind the first line end after the format, or else behind the spaces (ClickHouse's rule).
fn data_start(statement: &[u8], behind: usize) -> Outcome<usize> {
    let rest = &statement[behind..];
    let spaces = rest
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t' | 0x0c))
        .count();
    let line_end = match &rest[spaces..] {
        [b';', ..] => {
            return code::SYNTAX_ERROR.refuse("excessive ';' between an INSERT's format and its data");
        }
        [b'\r', b'\n', ..] => 2,
        [b'\n', ..] => 1,
        _ => 0,
    };
    Ok(behind + spaces + line_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn insert(sql: &str, table: &str, columns: Option<&[&str]>, format: &str, data: &str) {
        let Statement::Insert(insert) = parse(sql.as_bytes()).unwrap().statement else {
            panic!("no INSERT: {sql}")
        };
        assert_eq!(insert.table.to_string(), table);
        let columns = columns.map(|columns| columns.iter().map(|column| (*column).to_owned()).collect());
        assert_eq!((insert.columns, insert.format.as_str()), (columns, format));
        assert_eq!(&sql[insert.data_at..], data);
    }

    #[test]
    fn an_inserts_head_ends_where_clickhouse_lets_the_data_begin() {
        insert("INSERT INTO t FORMAT TSV\n\ta", "t", None, "TSV", "\ta");
        insert(
            "insert into table `d b`.\"t\"(a, `b c`) format CSV \t\r\n 1",
            "d b.t",
            Some(&["a", "b c"]),
            "CSV",
            " 1",
        );
        insert(
            "INSERT INTO t (n.a) VALUES (1)",
            "t",
            Some(&["n.a"]),
            "Values",
            "(1)",
        );
        insert("INSERT INTO t VALUES(1)", "t", None, "Values", "(1)");
        insert("INSERT INTO t FORMAT RowBinary", "t", None, "RowBinary", "");
        insert(
            "INSERT INTO t SETTINGS a=1, b='x' FORMAT JSONEachRow {\"a\":1}",
            "t",
            None,
            "JSONEachRow",
            "{\"a\":1}",
        );
    }

    #[test]
    fn data_behind_the_head_are_not_read_as_sql() {
        insert("INSERT INTO t FORMAT TSV 'a", "t", None, "TSV", "'a");
        insert("INSERT INTO t VALUES ~/*", "t", None, "Values", "~/*");
        let mut binary = b"INSERT INTO t FORMAT RowBinary\n".to_vec();
        binary.extend([0xff, 0, b'`']);
        assert!(parse(&binary).is_ok());
    }

    #[test]
    fn settings_are_collected_wherever_they_stand() {
        let parsed = parse(b"SELECT 1 SETTINGS a = 1 FORMAT JSONEachRow SETTINGS b = -2;").unwrap();
        let settings = [
            ("a".to_owned(), "1".to_owned()),
            ("b".to_owned(), "-2".to_owned()),
        ];
        assert_eq!(parsed.settings, settings);
        assert_eq!(parsed.format.as_deref(), Some("JSONEachRow"));
    }

    #[track_caller]
    fn refuses(sql: &str, code: crate::error::Code, says: &str) {
        let error = parse(sql.as_bytes()).unwrap_err();
        assert_eq!(error.code, code, "{error}");
        assert!(error.text.contains(says), "{error}");
    }

    #[test]
    fn what_is_not_known_is_refused_by_its_name() {
        refuses("SELEC 1", code::SYNTAX_ERROR, "position 1 ('SELEC 1')");
        refuses("", code::SYNTAX_ERROR, "the end of the data");
        refuses(
            "SELECT 1; SELECT 2",
            code::SYNTAX_ERROR,
            "the end of the statement",
        );
        refuses("ALTER TABLE t DELETE WHERE 1", code::NOT_IMPLEMENTED, "ALTER");
        refuses("INSERT INTO t SELECT 1", code::NOT_IMPLEMENTED, "INSERT … SELECT");
        refuses("INSERT INTO FUNCTION remote()", code::NOT_IMPLEMENTED, "FUNCTION");
        refuses(
            "INSERT INTO t FORMAT TSV;\n1",
            code::SYNTAX_ERROR,
            "excessive ';'",
        );
        refuses("DROP DATABASE d", code::NOT_IMPLEMENTED, "DATABASE");
        refuses("DROP TABLE t ON CLUSTER c", code::NOT_IMPLEMENTED, "ON CLUSTER");
        refuses("SHOW CREATE TABLE t", code::NOT_IMPLEMENTED, "SHOW");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(tail in "[ -~]{0,40}", head in 0_usize..6) {
            let heads = ["", "SELECT ", "CREATE TABLE t (", "INSERT INTO ", "DROP TABLE ", "SELECT a FROM t WHERE "];
            let _ = parse(format!("{}{tail}", heads[head]).as_bytes());
        }
    }
}
