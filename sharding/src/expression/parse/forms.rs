//! Expressions that are made of words: predicates, CASE, INTERVAL.

use super::{Kind, Literal, PREDICATE, Parser, Refusal, TokenKind, Tree, call, leaf, syntax};

impl Parser<'_> {
    pub(super) fn at_predicate(&self) -> bool {
        let next_is = |word: &str| {
            let next = self.tokens.get(self.at + 1).map(|token| &token.kind);
            matches!(next, Some(TokenKind::Word(found)) if found.eq_ignore_ascii_case(word))
        };
        ["IS", "IN", "BETWEEN"].iter().any(|word| self.at_word(word))
            || (self.at_word("NOT") && (next_is("IN") || next_is("BETWEEN")))
    }

    /// `IS [NOT] NULL`, `[NOT] IN (…)`, `[NOT] BETWEEN … AND …` behind their left side.
    pub(super) fn predicate(&mut self, left: Tree, offset: usize) -> Result<Tree, Refusal> {
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
    pub(super) fn case(&mut self, offset: usize) -> Result<Tree, Refusal> {
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

    /// Whether a number or something in brackets follows, and the name of a unit behind it.
    pub(super) fn begins_interval(&self) -> bool {
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
    pub(super) fn interval(&mut self, offset: usize) -> Result<Tree, Refusal> {
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
}
