//! CREATE DATABASE and CREATE TABLE. The engine clause is kept as text; only the deduplication window is read
//! from it.

use types::DataType;

use super::lexer::Token;
use super::parser::Parser;
use super::{Statement, TableName, refuse_on_cluster};
use crate::error::{Outcome, code};
use crate::value::check_type;

/// A CREATE TABLE statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CreateTable {
    pub table: TableName,
    pub if_not_exists: bool,
    pub columns: Vec<ColumnDeclaration>,
    /// Everything from behind `ENGINE =` on, as written.
    pub engine: String,
    /// How many deduplication tokens the table remembers, where the engine's settings say so.
    pub deduplication_window: Option<u64>,
}

/// One column of a CREATE TABLE statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ColumnDeclaration {
    pub name: String,
    pub data_type: DataType,
    pub default: Option<DefaultClause>,
    pub comment: String,
}

/// A column's DEFAULT or MATERIALIZED clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DefaultClause {
    /// A MATERIALIZED column is always computed and never inserted.
    pub materialized: bool,
    /// As written; read when it is first needed.
    pub expression: String,
}

/// Words that end a column's type or its default.
const CLAUSES: &[&str] = &[
    "DEFAULT",
    "MATERIALIZED",
    "ALIAS",
    "EPHEMERAL",
    "CODEC",
    "COMMENT",
    "TTL",
    "NULL",
    "NOT",
    "PRIMARY",
];
/// What can stand in a column list without being a column.
const NOT_COLUMNS: &[&str] = &["INDEX", "CONSTRAINT", "PROJECTION", "PRIMARY"];

pub(super) fn parse(parser: &mut Parser<'_>) -> Outcome<Statement> {
    if parser.take_word("DATABASE")? {
        let if_not_exists = parser.take_words(&["IF", "NOT", "EXISTS"])?;
        let name = parser.name()?;
        refuse_on_cluster(parser)?;
        parser.skip_until(at_end)?;
        return Ok(Statement::CreateDatabase { name, if_not_exists });
    }
    if !parser.take_word("TABLE")? {
        return parser.not_here("CREATE of anything but TABLE and DATABASE");
    }
    let if_not_exists = parser.take_words(&["IF", "NOT", "EXISTS"])?;
    let table = parser.table_name()?;
    refuse_on_cluster(parser)?;
    if parser.is_word("AS") || parser.is_word("CLONE") {
        return parser.not_here("CREATE TABLE … AS");
    }
    parser.expect("(")?;
    let columns = parser.list(parse_column)?;
    parser.expect(")")?;
    let (engine, deduplication_window) = parse_engine(parser)?;
    Ok(Statement::CreateTable(CreateTable {
        table,
        if_not_exists,
        columns,
        engine,
        deduplication_window,
    }))
}

fn at_end(parser: &Parser<'_>) -> bool {
    matches!(parser.peek(), Token::End | Token::Symbol(";"))
}

fn at_clause(parser: &Parser<'_>) -> bool {
    matches!(parser.peek(), Token::Symbol("," | ")") | Token::End)
        || CLAUSES.iter().any(|word| parser.is_word(word))
}

fn parse_column(parser: &mut Parser<'_>) -> Outcome<ColumnDeclaration> {
    if let Some(other) = NOT_COLUMNS.iter().find(|word| parser.is_word(word)) {
        return parser.not_here(&format!("{other} in a table's columns"));
    }
    let name = parser.column_name()?;
    let data_type = parse_type(parser, &name)?;
    let default = parse_default(parser, &name)?;
    let mut comment = String::new();
    while !matches!(parser.peek(), Token::Symbol("," | ")") | Token::End) {
        if parser.take_word("COMMENT")? {
            let Token::Text(text) = parser.advance()? else {
                return parser.expected("the comment as a string");
            };
            comment = String::from_utf8_lossy(&text).into_owned();
        } else if parser.take_word("CODEC")? {
            parser.skip_until(|parser| !matches!(parser.peek(), Token::Symbol("(")) && at_clause(parser))?;
        } else {
            return parser.not_here(&format!("this clause of column {name}"));
        }
    }
    Ok(ColumnDeclaration {
        name,
        data_type,
        default,
        comment,
    })
}

fn parse_type(parser: &mut Parser<'_>, column: &str) -> Outcome<DataType> {
    let start = parser.position();
    parser.skip_until(at_clause)?;
    let text = parser.text_since(start);
    let unknown = |reason: &dyn std::fmt::Display| {
        code::UNKNOWN_TYPE.error(format_args!(
            "unknown data type '{text}' of column {column}: {reason}"
        ))
    };
    let data_type = DataType::parse(&text).map_err(|error| unknown(&error.reason))?;
    check_type(&data_type).map_err(|error| unknown(&error.text))?;
    Ok(data_type)
}

fn parse_default(parser: &mut Parser<'_>, column: &str) -> Outcome<Option<DefaultClause>> {
    for kind in ["ALIAS", "EPHEMERAL", "NULL", "NOT", "TTL", "PRIMARY"] {
        if parser.is_word(kind) {
            return parser.not_here(&format!("{kind} of column {column}"));
        }
    }
    let materialized = parser.take_word("MATERIALIZED")?;
    if !materialized && !parser.take_word("DEFAULT")? {
        return Ok(None);
    }
    let start = parser.position();
    let at_end = |parser: &Parser<'_>| {
        matches!(parser.peek(), Token::Symbol("," | ")") | Token::End)
            || ["CODEC", "COMMENT", "TTL"]
                .iter()
                .any(|word| parser.is_word(word))
    };
    parser.skip_until(at_end)?;
    Ok(Some(DefaultClause {
        materialized,
        expression: parser.text_since(start),
    }))
}

/// The engine clause as text, and the window its SETTINGS name.
fn parse_engine(parser: &mut Parser<'_>) -> Outcome<(String, Option<u64>)> {
    if parser.take_word("ENGINE")? {
        parser.take("=")?;
    }
    let start = parser.position();
    let mut window = None;
    while !at_end(parser) {
        if parser.is_word("AS") {
            return parser.not_here("CREATE TABLE … AS");
        }
        let names_window = parser.is_word("non_replicated_deduplication_window")
            || parser.is_word("replicated_deduplication_window");
        parser.advance()?;
        if names_window && parser.take("=")? {
            window = Some(parser.count()?);
        }
    }
    Ok((parser.text_since(start), window))
}

#[cfg(test)]
mod tests {
    use super::super::parse as parse_statement;
    use super::*;

    fn create(sql: &str) -> Outcome<CreateTable> {
        match parse_statement(sql.as_bytes())?.statement {
            Statement::CreateTable(create) => Ok(create),
            other => panic!("no CREATE TABLE: {other:?}"),
        }
    }

    #[test]
    fn columns_keep_their_types_defaults_and_comments() {
        let sql = "CREATE TABLE IF NOT EXISTS db.t (a UInt8 CODEC(ZSTD(1)), `b c` LowCardinality(String) DEFAULT concat('x,', 'y') \
                   COMMENT 'it', m UInt64 MATERIALIZED a + 1, e Enum8('DEFAULT' = 1)) \
                   ENGINE = ReplicatedMergeTree('/p', 'r') ORDER BY (a, m) SETTINGS non_replicated_deduplication_window = 7;";
        let create = create(sql).unwrap();
        assert!(create.if_not_exists);
        assert_eq!(create.table.to_string(), "db.t");
        let names: Vec<_> = create
            .columns
            .iter()
            .map(|c| format!("{} {}", c.name, c.data_type))
            .collect();
        assert_eq!(
            names,
            [
                "a UInt8",
                "b c LowCardinality(String)",
                "m UInt64",
                "e Enum8('DEFAULT' = 1)"
            ]
        );
        let default = create.columns[1].default.clone().unwrap();
        assert_eq!(
            default,
            DefaultClause {
                materialized: false,
                expression: "concat('x,', 'y')".to_owned()
            }
        );
        assert!(create.columns[2].default.clone().unwrap().materialized);
        assert_eq!(create.columns[1].comment, "it");
        assert!(
            create
                .engine
                .starts_with("ReplicatedMergeTree('/p', 'r') ORDER BY"),
            "{}",
            create.engine
        );
        assert_eq!(create.deduplication_window, Some(7));
    }

    #[test]
    fn an_engine_is_optional_and_kept_as_it_is() {
        assert_eq!(create("CREATE TABLE t (a UInt8)").unwrap().engine, "");
        assert_eq!(
            create("CREATE TABLE t (a UInt8) ENGINE Memory").unwrap().engine,
            "Memory"
        );
    }

    #[track_caller]
    fn refuses(sql: &str, code: crate::error::Code, says: &str) {
        let error = create(sql).unwrap_err();
        assert_eq!(error.code, code, "{error}");
        assert!(error.text.contains(says), "{error}");
    }

    #[test]
    fn what_a_table_cannot_have_here_is_refused_by_its_name() {
        refuses(
            "CREATE TABLE t (a Foo) ENGINE = Memory",
            code::UNKNOWN_TYPE,
            "'Foo' of column a",
        );
        refuses(
            "CREATE TABLE t (a Array(AggregateFunction(uniq, String)))",
            code::UNKNOWN_TYPE,
            "column a",
        );
        refuses(
            "CREATE TABLE t (a UInt8 ALIAS 1)",
            code::NOT_IMPLEMENTED,
            "ALIAS of column a",
        );
        refuses(
            "CREATE TABLE t (a UInt8, INDEX i a TYPE minmax)",
            code::NOT_IMPLEMENTED,
            "INDEX",
        );
        refuses(
            "CREATE TABLE t ON CLUSTER c (a UInt8)",
            code::NOT_IMPLEMENTED,
            "ON CLUSTER",
        );
        refuses("CREATE TABLE t AS u", code::NOT_IMPLEMENTED, "AS");
        refuses(
            "CREATE VIEW v AS SELECT 1",
            code::NOT_IMPLEMENTED,
            "TABLE and DATABASE",
        );
        refuses("CREATE TABLE t (a UInt8", code::SYNTAX_ERROR, "')'");
        refuses("CREATE TABLE t ()", code::SYNTAX_ERROR, "a name");
    }
}
