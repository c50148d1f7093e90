//! The sharding expression, in three steps: text → tree ([`parse`]), tree → typed calls ([`check`]), calls →
//! columns ([`evaluate`]).

pub(crate) mod check;
pub(crate) mod evaluate;
mod lex;
pub(crate) mod parse;

/// An expression as written, without types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tree {
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
        arguments: Vec<Tree>,
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
    /// The bits of a Float64.
    Float(u64),
    String(Vec<u8>),
}

impl Tree {
    /// Whether both say the same, wherever they stand.
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (
                Kind::Call { name, arguments },
                Kind::Call {
                    name: other,
                    arguments: others,
                },
            ) => {
                name == other
                    && arguments.len() == others.len()
                    && arguments
                        .iter()
                        .zip(others)
                        .all(|(left, right)| left.is_same(right))
            }
            (left, right) => left == right,
        }
    }
}
