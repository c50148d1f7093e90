//! Expressions: columns, literals and calls; operators are calls of ClickHouse's functions of the same
//! meaning.

use std::fmt;

use super::lexer::Token;
use super::parser::Parser;
use crate::error::{Outcome, code};
use crate::escape::write_escaped;

/// An expression as written; what it means over a table is settled when it is bound.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expression {
    /// A column or an alias; a qualified name holds its dots.
    Column(String),
    Literal(Literal),
    /// A function or operator by ClickHouse's name for it.
    Call {
        function: String,
        arguments: Vec<Expression>,
    },
}

/// A constant as written. Numbers stay text until a type is known, so none is rounded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Number(String),
    Text(Vec<u8>),
}

/// Expressions nested deeper than this are refused: reading and computing them recurses.
const DEPTH_MAX: usize = 100;

/// Reads a text that is one expression, such as a column's DEFAULT.
pub(crate) fn parse_expression(text: &str) -> Outcome<Expression> {
    let mut parser = Parser::new(text.as_bytes())?;
    let expression = parse(&mut parser)?;
    parser.end()?;
    Ok(expression)
}

/// Reads an expression from a statement.
pub(super) fn parse(parser: &mut Parser<'_>) -> Outcome<Expression> {
    disjunction(parser, 0)
}

impl Expression {
    pub fn call(function: &str, arguments: Vec<Expression>) -> Self {
        Self::Call {
            function: function.to_owned(),
            arguments,
        }
    }
}

impl fmt::Display for Expression {
    /// The name ClickHouse gives a result column without an alias.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column(name) => f.write_str(name),
            Self::Literal(Literal::Null) => f.write_str("NULL"),
            Self::Literal(Literal::Bool(value)) => write!(f, "{value}"),
            Self::Literal(Literal::Number(digits)) => f.write_str(digits),
            Self::Literal(Literal::Text(text)) => {
                let mut escaped = Vec::new();
                write_escaped(text, &mut escaped);
                write!(f, "'{}'", String::from_utf8_lossy(&escaped))
            }
            Self::Call { function, arguments } => {
                let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
                write!(f, "{function}({})", arguments.join(", "))
            }
        }
    }
}

type Level = fn(&mut Parser<'_>, usize) -> Outcome<Expression>;

fn disjunction(parser: &mut Parser<'_>, depth: usize) -> Outcome<Expression> {
    if depth > DEPTH_MAX {
        return code::SYNTAX_ERROR.refuse(format_args!("an expression is nested deeper than {DEPTH_MAX}"));
    }
    joined_by_word(parser, depth, ("OR", "or"), conjunction)
}

fn conjunction(parser: &mut Parser<'_>, depth: usize) -> Outcome<Expression> {
    joined_by_word(parser, depth, ("AND", "and"), negation)
}

fn joined_by_word(
    parser: &mut Parser<'_>,
    depth: usize,
    (word, function): (&str, &str),
    level: Level,
) -> Outcome<Expression> {
    let first = level(parser, depth)?;
    if !parser.is_word(word) {
        return Ok(first);
    }
    let mut arguments = vec![first];
    while parser.take_word(word)? {
        arguments.push(level(parser, depth)?);
    }
    Ok(Expression::call(function, arguments))
}

fn negation(parser: &mut Parser<'_>, depth: usize) -> Outcome<Expression> {
    let mut count = 0;
    while parser.take_word("NOT")? {
        parser.chain()?;
        count += 1;
    }
    let negate = |expression, _| Expression::call("not", vec![expression]);
    Ok((0..count).fold(comparison(parser, depth)?, negate))
}

const COMPARISONS: &[(&str, &str)] = &[
    ("=", "equals"),
    ("==", "equals"),
    ("!=", "notEquals"),
    ("<>", "notEquals"),
    ("<=", "lessOrEquals"),
    (">=", "greaterOrEquals"),
    ("<", "less"),
    (">", "greater"),
];

fn comparison(parser: &mut Parser<'_>, depth: usize) -> Outcome<Expression> {
    let left = sum(parser, depth)?;
    if let Some(function) = take_operator(parser, COMPARISONS)? {
        return Ok(Expression::call(function, vec![left, sum(parser, depth)?]));
    }
    if parser.take_word("IS")? {
        let function = if parser.take_word("NOT")? {
            "isNotNull"
        } else {
            "isNull"
        };
        parser.expect_word("NULL")?;
        return Ok(Expression::call(function, vec![left]));
    }
    let function = if parser.take_word("NOT")? { "notIn" } else { "in" };
    if parser.take_word("IN")? {
        return membership(parser, depth, function, left);
    }
    if function == "in" && parser.take_word("BETWEEN")? {
        return between(parser, depth, left);
    }
    match parser.peek() {
        Token::Word(word)
            if ["LIKE", "ILIKE", "BETWEEN"]
                .iter()
                .any(|other| word.eq_ignore_ascii_case(other)) =>
        {
            parser.not_here(&format!("the operator {word} here"))
        }
        _ if function == "notIn" => parser.expected("IN"),
        _ => Ok(left),
    }
}

fn membership(
    parser: &mut Parser<'_>,
    depth: usize,
    function: &str,
    left: Expression,
) -> Outcome<Expression> {
    parser.expect("(")?;
    if parser.is_word("SELECT") {
        return parser.not_here("subqueries");
    }
    let mut arguments = vec![left];
    arguments.extend(parser.list(|parser| disjunction(parser, depth + 1))?);
    parser.expect(")")?;
    Ok(Expression::call(function, arguments))
}

/// One call, not two comparisons of copies: nested, those would double at every level.
fn between(parser: &mut Parser<'_>, depth: usize, left: Expression) -> Outcome<Expression> {
    let low = sum(parser, depth)?;
    parser.expect_word("AND")?;
    Ok(Expression::call("between", vec![left, low, sum(parser, depth)?]))
}

fn sum(parser: &mut Parser<'_>, depth: usize) -> Outcome<Expression> {
    joined_by_operator(parser, depth, &[("+", "plus"), ("-", "minus")], product)
}

fn product(parser: &mut Parser<'_>, depth: usize) -> Outcome<Expression> {
    joined_by_operator(
        parser,
        depth,
        &[("*", "multiply"), ("%", "modulo"), ("/", "divide")],
        unary,
    )
}

fn joined_by_operator(
    parser: &mut Parser<'_>,
    depth: usize,
    operators: &[(&str, &'static str)],
    level: Level,
) -> Outcome<Expression> {
    let mut left = level(parser, depth)?;
    while let Some(function) = take_operator(parser, operators)? {
        parser.chain()?;
        left = Expression::call(function, vec![left, level(parser, depth)?]);
    }
    Ok(left)
}

fn take_operator(
    parser: &mut Parser<'_>,
    operators: &[(&str, &'static str)],
) -> Outcome<Option<&'static str>> {
    for (symbol, function) in operators {
        if parser.take(symbol)? {
            return Ok(Some(function));
        }
    }
    Ok(None)
}

/// A minus belongs to the number behind it; before anything else it is a function.
fn unary(parser: &mut Parser<'_>, depth: usize) -> Outcome<Expression> {
    if !parser.take("-")? {
        return primary(parser, depth);
    }
    Ok(match unary_operand(parser, depth)? {
        Expression::Literal(Literal::Number(digits)) => {
            Expression::Literal(Literal::Number(format!("-{digits}")))
        }
        other => Expression::call("negate", vec![other]),
    })
}

fn unary_operand(parser: &mut Parser<'_>, depth: usize) -> Outcome<Expression> {
    match parser.peek() {
        Token::Symbol("-") => parser.expected("a value behind the minus"),
        _ => primary(parser, depth),
    }
}

fn primary(parser: &mut Parser<'_>, depth: usize) -> Outcome<Expression> {
    if parser.take("(")? {
        return bracketed(parser, depth);
    }
    if parser.take_word("NULL")? {
        return Ok(Expression::Literal(Literal::Null));
    }
    match parser.peek() {
        Token::Number(_) | Token::Text(_) => match parser.advance()? {
            Token::Number(digits) => Ok(Expression::Literal(Literal::Number(digits))),
            Token::Text(text) => Ok(Expression::Literal(Literal::Text(text))),
            _ => parser.expected("a literal"),
        },
        Token::Word(word) => match word.to_ascii_lowercase().as_str() {
            "true" | "false" => boolean(parser),
            "case" | "interval" | "exists" | "distinct" => parser.not_here(&format!("{word} in expressions")),
            _ => column_or_call(parser, depth),
        },
        Token::Quoted(_) => column_or_call(parser, depth),
        Token::Symbol("[") => parser.not_here("array literals in expressions"),
        Token::Symbol(_) | Token::End => parser.expected("an expression"),
    }
}

fn boolean(parser: &mut Parser<'_>) -> Outcome<Expression> {
    let value = parser.take_word("true")?;
    if !value {
        parser.expect_word("false")?;
    }
    Ok(Expression::Literal(Literal::Bool(value)))
}

fn bracketed(parser: &mut Parser<'_>, depth: usize) -> Outcome<Expression> {
    if parser.is_word("SELECT") {
        return parser.not_here("subqueries");
    }
    let inner = disjunction(parser, depth + 1)?;
    if *parser.peek() == Token::Symbol(",") {
        return parser.not_here("tuples in expressions");
    }
    parser.expect(")")?;
    Ok(inner)
}

fn column_or_call(parser: &mut Parser<'_>, depth: usize) -> Outcome<Expression> {
    let name = parser.column_name()?;
    if !parser.take("(")? {
        return Ok(Expression::Column(name));
    }
    let function = canonical(&name);
    if function == "count" && parser.take("*")? {
        parser.expect(")")?;
        return Ok(Expression::call("count", Vec::new()));
    }
    if parser.take(")")? {
        return Ok(Expression::call(&function, Vec::new()));
    }
    let distinct = parser.take_word("DISTINCT")?;
    let arguments = parser.list(|parser| disjunction(parser, depth + 1))?;
    parser.expect(")")?;
    match (distinct, function.as_str()) {
        (false, function) => Ok(Expression::call(function, arguments)),
        (true, "count") => Ok(Expression::call("uniqExact", arguments)),
        (true, other) => parser.not_here(&format!("DISTINCT in {other}")),
    }
}

/// ClickHouse takes the names SQL knows in any case, and its own only as they are.
fn canonical(name: &str) -> String {
    const ANY_CASE: &[&str] = &[
        "count", "sum", "min", "max", "now", "version", "timezone", "concat", "length",
    ];
    let lower = name.to_ascii_lowercase();
    match lower.as_str() {
        known if ANY_CASE.contains(&known) => lower,
        "mod" => "modulo".to_owned(),
        "user" | "current_user" | "currentuser" => "currentUser".to_owned(),
        "hostname" => "hostName".to_owned(),
        "database" => "currentDatabase".to_owned(),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(parse_expression(text).unwrap().to_string(), expected);
    }

    #[test]
    fn operators_bind_as_in_sql() {
        check(
            "a % 3 = 0 AND NOT b OR c",
            "or(and(equals(modulo(a, 3), 0), not(b)), c)",
        );
        check("1 + 2 * -3 - x", "minus(plus(1, multiply(2, -3)), x)");
        check("-a", "negate(a)");
        check("(a OR b) and c and d", "and(or(a, b), c, d)");
        check("a IN (1, 'x') or a not in (2)", "or(in(a, 1, 'x'), notIn(a, 2))");
        check("a BETWEEN 1 AND 2 AND b", "and(between(a, 1, 2), b)");
        check("a IS NOT NULL or b is null", "or(isNotNull(a), isNull(b))");
        check(
            "a <> 1 AND b == 2 AND c <= 3",
            "and(notEquals(a, 1), equals(b, 2), lessOrEquals(c, 3))",
        );
    }

    #[test]
    fn names_and_calls_are_written_as_clickhouse_names_its_results() {
        check("COUNT(*)", "count()");
        check("count(DISTINCT a, b)", "uniqExact(a, b)");
        check("hostname()", "hostName()");
        check("`a b` = 'it\\'s'", "equals(a b, 'it\\'s')");
        check("t.a", "t.a");
        check("TRUE", "true");
    }

    #[track_caller]
    fn refuses(text: &str, code: crate::error::Code) {
        let error = parse_expression(text).unwrap_err();
        assert_eq!(error.code, code, "{error}");
    }

    #[test]
    fn what_is_not_known_is_refused() {
        refuses("a LIKE 'x'", code::NOT_IMPLEMENTED);
        refuses("a IN (SELECT 1)", code::NOT_IMPLEMENTED);
        refuses("(1, 2)", code::NOT_IMPLEMENTED);
        refuses("[1]", code::NOT_IMPLEMENTED);
        refuses("CASE WHEN 1", code::NOT_IMPLEMENTED);
        refuses("1 +", code::SYNTAX_ERROR);
        refuses("a b", code::SYNTAX_ERROR);
        refuses("a NOT b", code::SYNTAX_ERROR);
        refuses(&"(".repeat(1000), code::SYNTAX_ERROR);
        refuses("- - 1", code::SYNTAX_ERROR);
        refuses(&"1 + ".repeat(100_000), code::SYNTAX_ERROR);
        refuses(&"NOT ".repeat(100_000), code::SYNTAX_ERROR);
    }
}
