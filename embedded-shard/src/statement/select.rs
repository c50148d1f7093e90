//! SELECT over one table, or over none.

use super::TableName;
use super::expression::{self, Expression};
use super::lexer::Token;
use super::parser::Parser;
use crate::error::Outcome;

/// A SELECT statement. Clauses that are not here are refused when read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Select {
    pub items: Vec<Item>,
    /// `None`: one row without columns, as from `system.one`.
    pub from: Option<TableName>,
    pub filter: Option<Expression>,
    pub group_by: Vec<Expression>,
    pub having: Option<Expression>,
    pub order_by: Vec<Order>,
    pub limit: Option<u64>,
    pub offset: u64,
}

/// One thing selected.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Item {
    /// `*`: every column that is not MATERIALIZED.
    All,
    Expression {
        expression: Expression,
        alias: Option<String>,
    },
}

/// One key of ORDER BY. NULL and NaN come last either way.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Order {
    pub expression: Expression,
    pub descending: bool,
}

/// Words that end an item, so none of them is an alias.
const CLAUSES: &[&str] = &[
    "FROM",
    "WHERE",
    "GROUP",
    "HAVING",
    "ORDER",
    "LIMIT",
    "OFFSET",
    "FORMAT",
    "SETTINGS",
    "PREWHERE",
    "UNION",
    "EXCEPT",
    "INTERSECT",
    "WITH",
    "INTO",
    "WINDOW",
    "QUALIFY",
];
/// Clauses ClickHouse has and we do not.
const NOT_HERE: &[&str] = &[
    "AS",
    "FINAL",
    "SAMPLE",
    "ARRAY",
    "JOIN",
    "INNER",
    "LEFT",
    "RIGHT",
    "FULL",
    "CROSS",
    "GLOBAL",
    "ANY",
    "ALL",
    "ASOF",
    "PREWHERE",
    "UNION",
    "EXCEPT",
    "INTERSECT",
    "WITH",
    "BY",
    "INTO",
    "WINDOW",
    "QUALIFY",
    "NULLS",
    "COLLATE",
];

/// Reads what follows SELECT, up to FORMAT, SETTINGS or the end.
pub(super) fn parse(parser: &mut Parser<'_>) -> Outcome<Select> {
    if parser.is_word("DISTINCT") {
        return parser.not_here("SELECT DISTINCT");
    }
    let items = parser.list(parse_item)?;
    let from = if parser.take_word("FROM")? {
        Some(parse_table(parser)?)
    } else {
        None
    };
    refuse_other_clauses(parser)?;
    let filter = optional(parser, "WHERE")?;
    let group_by = if parser.take_words(&["GROUP", "BY"])? {
        parser.list(expression::parse)?
    } else {
        Vec::new()
    };
    refuse_other_clauses(parser)?;
    let having = optional(parser, "HAVING")?;
    let order_by = if parser.take_words(&["ORDER", "BY"])? {
        parser.list(parse_order)?
    } else {
        Vec::new()
    };
    refuse_other_clauses(parser)?;
    let (limit, offset) = parse_limit(parser)?;
    refuse_other_clauses(parser)?;
    Ok(Select {
        items,
        from,
        filter,
        group_by,
        having,
        order_by,
        limit,
        offset,
    })
}

fn optional(parser: &mut Parser<'_>, keyword: &str) -> Outcome<Option<Expression>> {
    if parser.take_word(keyword)? {
        expression::parse(parser).map(Some)
    } else {
        Ok(None)
    }
}

fn refuse_other_clauses(parser: &Parser<'_>) -> Outcome<()> {
    match NOT_HERE.iter().find(|word| parser.is_word(word)) {
        Some(word) => parser.not_here(&format!("the clause {word} here")),
        None => Ok(()),
    }
}

fn parse_item(parser: &mut Parser<'_>) -> Outcome<Item> {
    if parser.take("*")? {
        return Ok(Item::All);
    }
    let expression = expression::parse(parser)?;
    let named = parser.take_word("AS")? || at_alias(parser);
    let alias = if named { Some(parser.name()?) } else { None };
    Ok(Item::Expression { expression, alias })
}

fn at_alias(parser: &Parser<'_>) -> bool {
    match parser.peek() {
        Token::Quoted(_) => true,
        Token::Word(_) => !CLAUSES.iter().any(|clause| parser.is_word(clause)),
        _ => false,
    }
}

fn parse_table(parser: &mut Parser<'_>) -> Outcome<TableName> {
    if *parser.peek() == Token::Symbol("(") {
        return parser.not_here("subqueries");
    }
    let table = parser.table_name()?;
    match parser.peek() {
        Token::Symbol("(") => parser.not_here("table functions"),
        Token::Symbol(",") => parser.not_here("joins"),
        _ => Ok(table),
    }
}

fn parse_order(parser: &mut Parser<'_>) -> Outcome<Order> {
    let expression = expression::parse(parser)?;
    let descending = parser.take_word("DESC")? || parser.take_word("DESCENDING")?;
    if !descending && !parser.take_word("ASC")? {
        parser.take_word("ASCENDING")?;
    }
    Ok(Order {
        expression,
        descending,
    })
}

/// `LIMIT n [OFFSET m]` or `LIMIT m, n`.
fn parse_limit(parser: &mut Parser<'_>) -> Outcome<(Option<u64>, u64)> {
    let mut limit = if parser.take_word("LIMIT")? {
        Some(parser.count()?)
    } else {
        None
    };
    let mut offset = 0;
    if limit.is_some() && parser.take(",")? {
        offset = limit.unwrap_or(0);
        limit = Some(parser.count()?);
    } else if parser.take_word("OFFSET")? {
        offset = parser.count()?;
    }
    Ok((limit, offset))
}

#[cfg(test)]
mod tests {
    use super::super::{Statement, parse as parse_statement};
    use super::*;
    use crate::error::code;

    fn select(sql: &str) -> Outcome<Select> {
        match parse_statement(sql.as_bytes())?.statement {
            Statement::Select(select) => Ok(select),
            other => panic!("no SELECT: {other:?}"),
        }
    }

    #[test]
    fn every_clause_is_read() {
        let sql = "SELECT *, a AS x, count() c FROM db.t WHERE a > 1 GROUP BY a, 2 HAVING c > 1 ORDER BY c DESC, a LIMIT 3 OFFSET 4 FORMAT TSV";
        let select = select(sql).unwrap();
        assert_eq!(select.items.len(), 3);
        assert_eq!(select.items[0], Item::All);
        let aliases: Vec<_> = select.items[1..]
            .iter()
            .map(|item| match item {
                Item::Expression { alias, .. } => alias.as_deref(),
                Item::All => None,
            })
            .collect();
        assert_eq!(aliases, [Some("x"), Some("c")]);
        assert_eq!(select.from.unwrap().to_string(), "db.t");
        assert_eq!(select.filter.unwrap().to_string(), "greater(a, 1)");
        assert_eq!(select.group_by.len(), 2);
        assert_eq!(select.having.unwrap().to_string(), "greater(c, 1)");
        assert!(select.order_by[0].descending && !select.order_by[1].descending);
        assert_eq!((select.limit, select.offset), (Some(3), 4));
    }

    #[test]
    fn a_limit_may_name_its_offset_first() {
        let select = select("SELECT 1 LIMIT 4, 3").unwrap();
        assert_eq!((select.limit, select.offset), (Some(3), 4));
    }

    #[track_caller]
    fn refuses(sql: &str, says: &str) {
        let error = select(sql).unwrap_err();
        assert_eq!(error.code, code::NOT_IMPLEMENTED, "{error}");
        assert!(error.text.contains(says), "{error}");
    }

    #[test]
    fn clauses_that_are_not_here_are_refused_by_name() {
        refuses("SELECT DISTINCT a FROM t", "DISTINCT");
        refuses("SELECT a FROM (SELECT 1)", "subqueries");
        refuses("SELECT a FROM t FINAL", "FINAL");
        refuses("SELECT a FROM t LEFT JOIN u USING a", "LEFT");
        refuses("SELECT a FROM t, u", "joins");
        refuses("SELECT number FROM numbers(10)", "table functions");
        refuses("SELECT a FROM t LIMIT 1 BY a", "BY");
        refuses("SELECT a FROM t GROUP BY a WITH TOTALS", "WITH");
        refuses("SELECT 1 UNION ALL SELECT 2", "UNION");
        refuses("SELECT a FROM t ORDER BY a NULLS FIRST", "NULLS");
    }
}
