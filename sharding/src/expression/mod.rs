//! The sharding expression, in three steps: text → tree ([`parse`]), tree → typed calls ([`check`]), calls →
//! columns ([`evaluate`]).

pub(crate) mod check;
pub(crate) mod evaluate;
mod lex;
pub(crate) mod parse;

/// An expression as written, without types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expression {
    pub kind: Kind,
    /// Where it starts in the text, in bytes; for an operator, where the operator stands.
    pub offset: usize,
    /// How many calls lie inside each other here, at most [`crate::DEPTH_MAX`]: everything behind the parser
    /// recurses.
    pub depth: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A column's name, unquoted; the parts of a compound name joined by dots.
    Column(String),
    Literal(Literal),
    /// A function; operators and casts are calls of the functions that ClickHouse makes of them.
    Call {
        name: String,
        arguments: Vec<Expression>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    /// Zero or above.
    Unsigned(u64),
    /// Below zero.
    Negative(i64),
    String(Vec<u8>),
}
