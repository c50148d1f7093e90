//! Tokens → tree: operators by precedence, calls, tuples and casts, with ClickHouse's names for each.
//!
//! Why not a SQL crate: a key is a small language, and ClickHouse's corners of it decide where rows go. `- 1`
//! is the
//! Int8 literal -1 while `-(1)` is an Int16; SHOW CREATE writes casts as `CAST(x, 'T')`; `'\q'` keeps its
//! backslash.

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

    fn at_predicate(&self) -> bool {
        let next_is = |word: &str| {
            let next = self.tokens.get(self.at + 1).map(|token| &token.kind);
            matches!(next, Some(TokenKind::Word(found)) if found.eq_ignore_ascii_case(word))
        };
        ["IS", "IN", "BETWEEN"].iter().any(|word| self.at_word(word))
            || (self.at_word("NOT") && (next_is("IN") || next_is("BETWEEN")))
    }

    /// `IS [NOT] NULL`, `[NOT] IN (…)`, `[NOT] BETWEEN … AND …` behind their left side.
    fn predicate(&mut self, left: Tree, offset: usize) -> Result<Tree, Refusal> {
        if self.take_word("IS") {
            let name = if self.take_word("NOT") {
                "isNotNull"
            } else {
                "isNull"
            };
            if !self.take_word("NULL") {
                return Err(self.unexpected("NULL behind IS"));
            }
            return call(offset, name, vec![left]);
        }
        let negated = self.take_word("NOT");
        let found = if self.take_word("BETWEEN") {
            self.between(left, offset)?
        } else {
            self.advance();
            self.among(&left, offset)?
        };
        if negated {
            call(offset, "not", vec![found])
        } else {
            Ok(found)
        }
    }

    fn between(&mut self, left: Tree, offset: usize) -> Result<Tree, Refusal> {
        let low = self.expression(PREDICATE + 1)?;
        if !self.take_word("AND") {
            return Err(self.unexpected("AND of BETWEEN"));
        }
        let high = self.expression(PREDICATE + 1)?;
        let above = call(offset, "greaterOrEquals", vec![left.clone(), low])?;
        let below = call(offset, "lessOrEquals", vec![left, high])?;
        call(offset, "and", vec![above, below])
    }

    /// A list of values as comparisons with each, which is what ClickHouse's set of literals answers.
    fn among(&mut self, left: &Tree, offset: usize) -> Result<Tree, Refusal> {
        self.expect("(", "a list in brackets behind IN")?;
        let mut found = Vec::new();
        for value in self.list(")", "',' or ')'")? {
            found.push(call(offset, "equals", vec![left.clone(), value])?);
        }
        match found.len() {
            0 => Err(syntax(offset, "a value behind IN", "none")),
            1 => Ok(found.swap_remove(0)),
            _ => call(offset, "or", found),
        }
    }

    /// `CASE [x] WHEN … THEN … [ELSE …] END`, the CASE being read.
    fn case(&mut self, offset: usize) -> Result<Tree, Refusal> {
        let subject = if self.at_word("WHEN") {
            None
        } else {
            Some(self.expression(0)?)
        };
        let mut arguments = Vec::new();
        while self.take_word("WHEN") {
            let condition = self.expression(0)?;
            arguments.push(match &subject {
                Some(subject) => call(offset, "equals", vec![subject.clone(), condition])?,
                None => condition,
            });
            if !self.take_word("THEN") {
                return Err(self.unexpected("THEN"));
            }
            arguments.push(self.expression(0)?);
        }
        let null = || Ok(leaf(offset, Kind::Literal(Literal::Null)));
        arguments.push(if self.take_word("ELSE") {
            self.expression(0)?
        } else {
            null()?
        });
        if arguments.len() < 3 || !self.take_word("END") {
            return Err(self.unexpected("WHEN or END of CASE"));
        }
        call(offset, "multiIf", arguments)
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

    /// Whether a number or something in brackets follows, and the name of a unit behind it.
    fn begins_interval(&self) -> bool {
        match self.peek() {
            TokenKind::Number(_) => true,
            TokenKind::Symbol("-") => {
                let next = self.tokens.get(self.at + 1).map(|token| &token.kind);
                let unit = self.tokens.get(self.at + 2).map(|token| &token.kind);
                matches!(
                    (next, unit),
                    (Some(TokenKind::Number(_)), Some(TokenKind::Word(_)))
                )
            }
            _ => false,
        }
    }

    /// `INTERVAL 1 DAY` as toIntervalDay(1), which is what DESCRIBE TABLE shows for it.
    fn interval(&mut self, offset: usize) -> Result<Tree, Refusal> {
        const UNITS: [&str; 11] = [
            "Nanosecond",
            "Microsecond",
            "Millisecond",
            "Second",
            "Minute",
            "Hour",
            "Day",
            "Week",
            "Month",
            "Quarter",
            "Year",
        ];
        let count = self.deeper(Self::unary)?;
        let TokenKind::Word(word) = self.peek().clone() else {
            return Err(self.unexpected("a unit of INTERVAL"));
        };
        let singular = word.strip_suffix(['s', 'S']).unwrap_or(&word);
        let unit = UNITS.iter().find(|unit| unit.eq_ignore_ascii_case(singular));
        let Some(unit) = unit else {
            return Err(self.unexpected("a unit of INTERVAL"));
        };
        self.advance();
        call(offset, &format!("toInterval{unit}"), vec![count])
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
mod tests {
    use super::*;

    /// The tree as nested calls, for comparison.
    fn shown(expression: &Tree) -> String {
        match &expression.kind {
            Kind::Column(name) => name.clone(),
            Kind::Literal(Literal::String(text)) => format!("'{}'", String::from_utf8_lossy(text)),
            Kind::Literal(Literal::Unsigned(value)) => value.to_string(),
            Kind::Literal(Literal::Negative(value)) => value.to_string(),
            Kind::Literal(other) => format!("{other:?}"),
            Kind::Call { name, arguments } => {
                format!(
                    "{name}({})",
                    arguments.iter().map(shown).collect::<Vec<_>>().join(",")
                )
            }
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(shown(&parse(text).unwrap()), expected, "{text}");
    }

    #[test]
    fn operators_bind_as_in_clickhouse() {
        check("a + b * c", "plus(a,multiply(b,c))");
        check("a - b - c", "minus(minus(a,b),c)");
        check("(a + b) % 7", "modulo(plus(a,b),7)");
        check("-a * 2", "multiply(negate(a),2)");
        check("a -1", "minus(a,1)");
        check(
            "a % 2 > 1 or not b = c",
            "or(greater(modulo(a,2),1),not(equals(b,c)))",
        );
        check("a MOD 3 div 2", "intDiv(modulo(a,3),2)");
        check("s || 'x' || t", "concat(concat(s,'x'),t)");
    }

    #[test]
    fn a_minus_before_digits_belongs_to_the_literal() {
        check("-1", "-1");
        check("- 1 + k", "plus(-1,k)");
        check("-(1)", "negate(1)");
        check("-9223372036854775808", "-9223372036854775808");
        check("-0", "0");
    }

    #[test]
    fn calls_tuples_casts_and_names_are_read() {
        check("cityHash64(a, `b c`)", "cityHash64(a,b c)");
        check("f((a, b), (c,), ())", "f(tuple(a,b),tuple(c),tuple())");
        check("cast(a AS UInt8)", "CAST(a,'UInt8')");
        check("CAST(a, 'UInt8')", "CAST(a,'UInt8')");
        check("a::DateTime('UTC') + 1", "plus(CAST(a,'DateTime('UTC')'),1)");
        check(
            "CAST(a + 1 AS Nullable(FixedString(3)))",
            "CAST(plus(a,1),'Nullable(FixedString(3))')",
        );
        check("-1::UInt8", "CAST('-1','UInt8')");
        check("n.a", "n.a");
        check("x[1][2]", "arrayElement(arrayElement(x,1),2)");
        check("[a, a]", "array(a,a)");
        check("rand()", "rand()");
        check("`true` + TRUE", "plus(true,Bool(true))");
    }

    #[test]
    fn predicates_cases_and_choices_are_calls() {
        check("a is null or b IS NOT NULL", "or(isNull(a),isNotNull(b))");
        check("a in (1, 2)", "or(equals(a,1),equals(a,2))");
        check("a NOT IN (1)", "not(equals(a,1))");
        check(
            "a between 1 and 2 and b",
            "and(and(greaterOrEquals(a,1),lessOrEquals(a,2)),b)",
        );
        check("a > 1 ? b : c", "if(greater(a,1),b,c)");
        check("case when a then 1 else 2 end + 1", "plus(multiIf(a,1,2),1)");
        check("CASE a WHEN 1 THEN 'x' END", "multiIf(equals(a,1),'x',Null)");
        check("case % 2", "modulo(case,2)");
        check(
            "f(a).1 + (a, b).2",
            "plus(tupleElement(f(a),1),tupleElement(tuple(a,b),2))",
        );
    }

    #[track_caller]
    fn refuses(text: &str, offset: usize, expected: &str) {
        let refusal = parse(text).unwrap_err();
        assert_eq!(
            (refusal.offset, refusal.reason.to_string()),
            (Some(offset), expected.to_owned()),
            "{text}"
        );
    }

    #[test]
    fn broken_text_is_refused_with_its_place() {
        refuses("", 0, "expected a column, a function or a literal, found the end");
        refuses(
            "k +",
            3,
            "expected a column, a function or a literal, found the end",
        );
        refuses(
            "cityHash64(",
            11,
            "expected a column, a function or a literal, found the end",
        );
        refuses("cityHash64(k", 12, "expected ',' or ')', found the end");
        refuses("k k", 2, "expected an operator or the end, found 'k'");
        refuses("k)", 1, "expected an operator or the end, found ')'");
        refuses("CAST(k)", 6, "expected AS or ',', found ')'");
        refuses(
            "CAST(k AS UInt8(",
            16,
            "expected ')' behind the type, found the end",
        );
        refuses("k::3", 3, "expected a type, found a number");
        refuses("n.", 2, "expected a name behind '.', found the end");
        refuses("-9223372036854775809", 0, "the number does not fit into 64 bits");
    }

    #[test]
    fn depth_and_length_have_limits() {
        let deep = |text: String| matches!(parse(&text).unwrap_err().reason, KeyReason::TooDeep { .. });
        assert!(deep("(".repeat(2000)));
        assert!(deep("- ".repeat(2000)));
        assert!(deep("f(".repeat(2000)));
        assert!(deep(format!("k{}", "+k".repeat(2000))));
        assert!(deep(format!("k{}", "::T".repeat(2000))));
        assert!(deep(format!("k{}", "[1]".repeat(2000))));
        let long = parse(&" ".repeat(TEXT_BYTES_MAX + 1)).unwrap_err();
        assert_eq!(
            long.reason,
            KeyReason::TooLong {
                limit: TEXT_BYTES_MAX
            }
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[a-z0-9(),' `\"\\\\é:.\\[\\]%*+-]{0,40}") {
            let _ = parse(&text);
        }
    }
}
