//! Tokens → tree: operators by precedence, calls, tuples and casts, with ClickHouse's names for each.
//!
//! Why not a SQL crate: a key is a small language, and ClickHouse's corners of it decide where rows go. `- 1` is the Int8 literal -1
//! while `-(1)` is an Int16; SHOW CREATE writes casts as `CAST(x, 'T')`; `'\q'` keeps its backslash.

mod forms;

use super::lex::{Token, TokenKind, syntax, tokens};
use super::{Kind, Literal, Tree};
use crate::error::{KeyReason, Refusal};
use crate::{DEPTH_MAX, TEXT_BYTES_MAX};

/// Reads a whole sharding expression.
pub(crate) fn parse(text: &str) -> Result<Tree, Refusal> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Refusal::of_whole(KeyReason::TooLong {
            limit: TEXT_BYTES_MAX,
        }));
    }
    let mut parser = Parser {
        text,
        tokens: tokens(text)?,
        at: 0,
        depth: 0,
    };
    let expression = parser.expression(0)?;
    match parser.peek() {
        TokenKind::End => Ok(expression),
        _ => Err(parser.unexpected("an operator or the end")),
    }
}

/// Binary operators with their binding strength (higher binds first) and the function ClickHouse calls for
/// each.
const OPERATORS: [(&str, u8, &str); 18] = [
    ("OR", 1, "or"),
    ("AND", 2, "and"),
    ("=", 4, "equals"),
    ("==", 4, "equals"),
    ("!=", 4, "notEquals"),
    ("<>", 4, "notEquals"),
    ("<=", 4, "lessOrEquals"),
    (">=", 4, "greaterOrEquals"),
    ("<", 4, "less"),
    (">", 4, "greater"),
    ("||", 5, "concat"),
    ("+", 6, "plus"),
    ("-", 6, "minus"),
    ("*", 7, "multiply"),
    ("/", 7, "divide"),
    ("%", 7, "modulo"),
    ("MOD", 7, "modulo"),
    ("DIV", 7, "intDiv"),
];

/// How strongly IS, IN and BETWEEN bind: as the comparisons do.
const PREDICATE: u8 = 4;

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> &TokenKind {
        &self.tokens[self.at].kind
    }

    fn offset(&self) -> usize {
        self.tokens[self.at].offset
    }

    /// Steps over one token; `End` is never left.
    fn advance(&mut self) {
        self.at = (self.at + 1).min(self.tokens.len() - 1);
    }

    fn take(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), TokenKind::Symbol(s) if *s == symbol);
        if found {
            self.advance();
        }
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), TokenKind::Word(w) if w.eq_ignore_ascii_case(word));
        if found {
            self.advance();
        }
        found
    }

    fn expect(&mut self, symbol: &str, expected: &'static str) -> Result<(), Refusal> {
        if self.take(symbol) {
            Ok(())
        } else {
            Err(self.unexpected(expected))
        }
    }

    fn unexpected(&self, expected: &'static str) -> Refusal {
        let found = match self.peek() {
            TokenKind::End => "the end".to_owned(),
            TokenKind::Word(word) | TokenKind::Quoted(word) => format!("'{word}'"),
            TokenKind::Number(_) | TokenKind::Float(_) => "a number".to_owned(),
            TokenKind::String(_) => "a string".to_owned(),
            TokenKind::Symbol(symbol) => format!("'{symbol}'"),
        };
        syntax(self.offset(), expected, &found)
    }

    /// An expression of operators that bind at least as strongly as `strength`.
    fn expression(&mut self, strength: u8) -> Result<Tree, Refusal> {
        self.deeper(|parser| {
            let mut left = parser.unary()?;
            loop {
                let offset = parser.offset();
                if let Some((operator_strength, name)) = parser.operator(strength) {
                    parser.advance();
                    let right = parser.expression(operator_strength + 1)?;
                    left = call(offset, name, vec![left, right])?;
                } else if strength <= PREDICATE && parser.at_predicate() {
                    left = parser.predicate(left, offset)?;
                } else if strength == 0 && parser.take("?") {
                    let then = parser.expression(0)?;
                    parser.expect(":", "':' of '?'")?;
                    let otherwise = parser.expression(0)?;
                    left = call(offset, "if", vec![left, then, otherwise])?;
                } else {
                    return Ok(left);
                }
            }
        })
    }

    fn at_word(&self, word: &str) -> bool {
        matches!(self.peek(), TokenKind::Word(found) if found.eq_ignore_ascii_case(word))
    }

    /// The operator that comes next, if it binds at least as strongly as `strength`.
    fn operator(&self, strength: u8) -> Option<(u8, &'static str)> {
        let written = match self.peek() {
            TokenKind::Symbol(symbol) => *symbol,
            TokenKind::Word(word) => word.as_str(),
            _ => return None,
        };
        let (_, binds, name) = OPERATORS
            .iter()
            .find(|(operator, ..)| operator.eq_ignore_ascii_case(written))?;
        (*binds >= strength).then_some((*binds, *name))
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Refusal>) -> Result<T, Refusal> {
        if self.depth >= DEPTH_MAX {
            return Err(Refusal::at(
                self.offset(),
                KeyReason::TooDeep { limit: DEPTH_MAX },
            ));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn unary(&mut self) -> Result<Tree, Refusal> {
        let offset = self.offset();
        if self.take_word("NOT") {
            let operand = self.expression(3)?;
            return call(offset, "not", vec![operand]);
        }
        if !self.take("-") {
            return self.postfix();
        }
        if let TokenKind::Float(bits) = *self.peek() {
            self.advance();
            let negated = Literal::Float((-f64::from_bits(bits)).to_bits());
            return self.postfix_of(leaf(offset, Kind::Literal(negated)));
        }
        if let TokenKind::Number(magnitude) = *self.peek() {
            let literal = negative(magnitude).ok_or_else(|| Refusal::at(offset, KeyReason::Number))?;
            self.advance();
            return self.postfix_of(leaf(offset, Kind::Literal(literal)));
        }
        let operand = self.deeper(Self::unary)?;
        call(offset, "negate", vec![operand])
    }

    fn postfix(&mut self) -> Result<Tree, Refusal> {
        let primary = self.primary()?;
        self.postfix_of(primary)
    }

    /// `x::Type` and `x[i]`, any number of them.
    fn postfix_of(&mut self, mut operand: Tree) -> Result<Tree, Refusal> {
        loop {
            let offset = self.offset();
            if self.take("::") {
                let data_type = self.type_name()?;
                operand = call(offset, "CAST", vec![as_written(operand), data_type])?;
            } else if self.take("[") {
                let index = self.expression(0)?;
                self.expect("]", "']'")?;
                operand = call(offset, "arrayElement", vec![operand, index])?;
            } else if self.at_element() {
                self.advance();
                let index = self.element()?;
                operand = call(offset, "tupleElement", vec![operand, index])?;
            } else {
                return Ok(operand);
            }
        }
    }

    /// Whether `.1` or `.name` follows, of a tuple that a call or a bracket made.
    fn at_element(&self) -> bool {
        matches!(self.peek(), TokenKind::Symbol("."))
    }

    fn element(&mut self) -> Result<Tree, Refusal> {
        let offset = self.offset();
        let literal = match self.peek().clone() {
            TokenKind::Number(number) => Literal::Unsigned(number),
            TokenKind::Word(name) | TokenKind::Quoted(name) => Literal::String(name.into_bytes()),
            _ => return Err(self.unexpected("a name or a number behind '.'")),
        };
        self.advance();
        Ok(leaf(offset, Kind::Literal(literal)))
    }

    fn primary(&mut self) -> Result<Tree, Refusal> {
        let offset = self.offset();
        let literal = |literal| Ok(leaf(offset, Kind::Literal(literal)));
        match self.peek().clone() {
            TokenKind::Number(value) => {
                self.advance();
                literal(Literal::Unsigned(value))
            }
            TokenKind::Float(bits) => {
                self.advance();
                literal(Literal::Float(bits))
            }
            TokenKind::String(value) => {
                self.advance();
                literal(Literal::String(value))
            }
            TokenKind::Word(word) => {
                self.advance();
                match word.to_ascii_lowercase().as_str() {
                    "case" if !self.ends_name() => self.case(offset),
                    "interval" if self.begins_interval() => self.interval(offset),
                    "null" => literal(Literal::Null),
                    "true" => literal(Literal::Bool(true)),
                    "false" => literal(Literal::Bool(false)),
                    _ => self.name(offset, word),
                }
            }
            TokenKind::Quoted(name) => {
                self.advance();
                self.name(offset, name)
            }
            TokenKind::Symbol("(") => self.brackets(),
            TokenKind::Symbol("[") => {
                self.advance();
                call(offset, "array", self.list("]", "',' or ']'")?)
            }
            _ => Err(self.unexpected("a column, a function or a literal")),
        }
    }

    /// Whether what follows shows that a word was a column's name.
    fn ends_name(&self) -> bool {
        matches!(self.peek(), TokenKind::Symbol(_) | TokenKind::End)
            && !matches!(self.peek(), TokenKind::Symbol("(" | "[" | "-"))
    }

    /// What begins with a name: a call, or a column of one or several parts.
    fn name(&mut self, offset: usize, mut name: String) -> Result<Tree, Refusal> {
        if self.take("(") {
            return self.call(offset, &name);
        }
        while self.take(".") {
            let (TokenKind::Word(part) | TokenKind::Quoted(part)) = self.peek().clone() else {
                return Err(self.unexpected("a name behind '.'"));
            };
            self.advance();
            name = format!("{name}.{part}");
        }
        Ok(leaf(offset, Kind::Column(name)))
    }

    /// The arguments of a call, the opening bracket being read; CAST alone may have `AS Type` in it.
    fn call(&mut self, offset: usize, name: &str) -> Result<Tree, Refusal> {
        if !name.eq_ignore_ascii_case("CAST") {
            return call(offset, name, self.list(")", "',' or ')'")?);
        }
        let operand = self.expression(0)?;
        let data_type = if self.take_word("AS") {
            self.type_name()?
        } else {
            self.expect(",", "AS or ','")?;
            self.expression(0)?
        };
        self.expect(")", "')'")?;
        call(offset, "CAST", vec![operand, data_type])
    }

    /// `(x)` is x; `(x, y)` and `(x,)` are tuples.
    fn brackets(&mut self) -> Result<Tree, Refusal> {
        let offset = self.offset();
        self.advance();
        let start = self.at;
        let mut elements = self.list(")", "',' or ')'")?;
        let comma_last =
            self.at >= start + 2 && matches!(self.tokens[self.at - 2].kind, TokenKind::Symbol(","));
        match elements.pop() {
            Some(only) if elements.is_empty() && !comma_last => Ok(only),
            last => {
                elements.extend(last);
                call(offset, "tuple", elements)
            }
        }
    }

    /// Expressions between commas up to the closing bracket, which is read too; a last comma is allowed.
    fn list(&mut self, close: &str, expected: &'static str) -> Result<Vec<Tree>, Refusal> {
        let mut elements = Vec::new();
        while !self.take(close) {
            elements.push(self.expression(0)?);
            if !self.take(",") {
                self.expect(close, expected)?;
                break;
            }
        }
        Ok(elements)
    }

    /// A type's name with its bracket, as the string literal that CAST takes.
    fn type_name(&mut self) -> Result<Tree, Refusal> {
        let offset = self.offset();
        let TokenKind::Word(_) = self.peek() else {
            return Err(self.unexpected("a type"));
        };
        self.advance();
        let mut open = 0;
        loop {
            match self.peek() {
                TokenKind::Symbol("(") => open += 1,
                TokenKind::Symbol(")") if open > 0 => {
                    open -= 1;
                    if open == 0 {
                        self.advance();
                        break;
                    }
                }
                TokenKind::End if open > 0 => return Err(self.unexpected("')' behind the type")),
                _ if open == 0 => break,
                _ => {}
            }
            self.advance();
        }
        let name = self.text[offset..self.offset()].trim_end();
        Ok(leaf(
            offset,
            Kind::Literal(Literal::String(name.as_bytes().to_vec())),
        ))
    }
}

fn leaf(offset: usize, kind: Kind) -> Tree {
    Tree {
        kind,
        offset,
        depth: 0,
    }
}

/// A call around its arguments. `k + k + k …` nests as deep as it has operators, so depth is counted here.
fn call(offset: usize, name: &str, arguments: Vec<Tree>) -> Result<Tree, Refusal> {
    let depth = 1 + arguments.iter().map(|argument| argument.depth).max().unwrap_or(0);
    if depth > DEPTH_MAX {
        return Err(Refusal::at(offset, KeyReason::TooDeep { limit: DEPTH_MAX }));
    }
    Ok(Tree {
        kind: Kind::Call {
            name: name.to_owned(),
            arguments,
        },
        offset,
        depth,
    })
}

/// What `::` casts: of a number's literal its text, so that `-1::UInt8` is refused as '-1' is.
fn as_written(operand: Tree) -> Tree {
    let text = match operand.kind {
        Kind::Literal(Literal::Unsigned(value)) => value.to_string(),
        Kind::Literal(Literal::Negative(value)) => value.to_string(),
        _ => return operand,
    };
    Tree {
        kind: Kind::Literal(Literal::String(text.into_bytes())),
        ..operand
    }
}

/// The literal of a minus and digits; `-0` is 0.
fn negative(magnitude: u64) -> Option<Literal> {
    match magnitude {
        0 => Some(Literal::Unsigned(0)),
        _ => 0_i64.checked_sub_unsigned(magnitude).map(Literal::Negative),
    }
}

#[cfg(test)]
mod tests;
