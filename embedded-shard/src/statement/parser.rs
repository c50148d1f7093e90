//! The parser's hands: look at the next word, take it, or refuse.

use super::TableName;
use super::lexer::{self, Token, syntax_error};
use crate::cursor::Cursor;
use crate::error::{Outcome, code};

/// A statement being read, one word ahead of it looked at.
pub(crate) struct Parser<'a> {
    /// Behind the word looked at.
    cursor: Cursor<'a>,
    /// Byte offset at which the word looked at begins (after space and comments before it have not been
    /// skipped).
    start: usize,
    token: Token,
    /// Operators in rows so far, see [`Parser::chain`].
    chained: usize,
}

/// Operators in rows (`1 + 1 + …`) nest as brackets do; more in one statement are refused, because computing
/// recurses.
const CHAINED_MAX: usize = 1_000;

impl<'a> Parser<'a> {
    pub fn new(statement: &'a [u8]) -> Outcome<Self> {
        let mut cursor = Cursor::new(statement);
        let token = lexer::next(&mut cursor)?;
        Ok(Self {
            cursor,
            start: 0,
            token,
            chained: 0,
        })
    }

    /// The next word.
    pub fn peek(&self) -> &Token {
        &self.token
    }

    /// Takes the next word.
    pub fn advance(&mut self) -> Outcome<Token> {
        self.start = self.cursor.at;
        let next = lexer::next(&mut self.cursor)?;
        Ok(std::mem::replace(&mut self.token, next))
    }

    /// Byte offset of the place before the next word.
    pub fn position(&self) -> usize {
        self.start
    }

    /// Byte offset behind the next word.
    pub fn behind(&self) -> usize {
        self.cursor.at
    }

    /// The text between a place and the next word, without the space around it.
    pub fn text_since(&self, start: usize) -> String {
        let mut cursor = self.cursor.clone();
        cursor.at = self.start;
        String::from_utf8_lossy(cursor.since(start)).trim().to_owned()
    }

    /// Whether the next word is this keyword, in any case.
    pub fn is_word(&self, keyword: &str) -> bool {
        matches!(&self.token, Token::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    /// Takes the keyword if it comes next.
    pub fn take_word(&mut self, keyword: &str) -> Outcome<bool> {
        let found = self.is_word(keyword);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    /// Takes a row of keywords, all or none wanted: once the first is there, the others must be.
    pub fn take_words(&mut self, keywords: &[&str]) -> Outcome<bool> {
        let (first, rest) = (keywords[0], &keywords[1..]);
        if !self.take_word(first)? {
            return Ok(false);
        }
        rest.iter().try_for_each(|keyword| self.expect_word(keyword))?;
        Ok(true)
    }

    pub fn expect_word(&mut self, keyword: &str) -> Outcome<()> {
        if self.take_word(keyword)? {
            Ok(())
        } else {
            self.expected(keyword)
        }
    }

    /// Takes the symbol if it comes next.
    pub fn take(&mut self, symbol: &str) -> Outcome<bool> {
        let found = matches!(self.token, Token::Symbol(next) if next == symbol);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    pub fn expect(&mut self, symbol: &str) -> Outcome<()> {
        if self.take(symbol)? {
            Ok(())
        } else {
            self.expected(&format!("'{symbol}'"))
        }
    }

    /// A name, quoted or not.
    pub fn name(&mut self) -> Outcome<String> {
        match self.token {
            Token::Word(_) | Token::Quoted(_) => match self.advance()? {
                Token::Word(name) | Token::Quoted(name) => Ok(name),
                _ => self.expected("a name"),
            },
            _ => self.expected("a name"),
        }
    }

    /// A column's name; `n.a` of a nested column is one name.
    pub fn column_name(&mut self) -> Outcome<String> {
        let mut name = self.name()?;
        while self.take(".")? {
            name = format!("{name}.{}", self.name()?);
        }
        Ok(name)
    }

    /// `[database.]table`.
    pub fn table_name(&mut self) -> Outcome<TableName> {
        let first = self.name()?;
        if self.take(".")? {
            return Ok(TableName {
                database: Some(first),
                table: self.name()?,
            });
        }
        Ok(TableName {
            database: None,
            table: first,
        })
    }

    /// A whole number.
    pub fn count(&mut self) -> Outcome<u64> {
        match &self.token {
            Token::Number(digits) => match digits.parse() {
                Ok(count) => self.advance().map(|_| count),
                Err(_) => self.expected("a whole number of at most 64 bits"),
            },
            _ => self.expected("a whole number"),
        }
    }

    /// Items between commas, at least one.
    pub fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Outcome<T>) -> Outcome<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.take(",")? {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// `name = value, …` of a SETTINGS clause.
    pub fn settings(&mut self) -> Outcome<Vec<(String, String)>> {
        self.list(|parser| {
            let name = parser.name()?;
            parser.expect("=")?;
            Ok((name, parser.setting_value()?))
        })
    }

    fn setting_value(&mut self) -> Outcome<String> {
        let sign = if self.take("-")? { "-" } else { "" };
        match self.advance()? {
            Token::Text(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
            Token::Number(text) | Token::Word(text) => Ok(format!("{sign}{text}")),
            _ => self.expected("a setting's value"),
        }
    }

    /// Steps over words until one at bracket depth 0 that `ends` says so of.
    pub fn skip_until(&mut self, ends: impl Fn(&Self) -> bool) -> Outcome<()> {
        let mut depth = 0_usize;
        while depth > 0 || !ends(self) {
            match self.peek() {
                Token::Symbol("(" | "[") => depth += 1,
                Token::Symbol(")" | "]") => depth = depth.saturating_sub(1),
                Token::End => return self.expected("a closing bracket"),
                _ => {}
            }
            self.advance()?;
        }
        Ok(())
    }

    /// The end of the statement; one `;` may stand before it.
    pub fn end(&mut self) -> Outcome<()> {
        self.take(";")?;
        if self.token == Token::End {
            Ok(())
        } else {
            self.expected("the end of the statement")
        }
    }

    /// Counts an operator that nests without brackets.
    pub fn chain(&mut self) -> Outcome<()> {
        self.chained += 1;
        if self.chained <= CHAINED_MAX {
            return Ok(());
        }
        code::SYNTAX_ERROR.refuse(format_args!(
            "a statement has more than {CHAINED_MAX} of + - * / % and NOT"
        ))
    }

    pub fn expected<T>(&self, what: &str) -> Outcome<T> {
        let mut cursor = self.cursor.clone();
        cursor.at = self.start;
        cursor.skip_space();
        syntax_error(&cursor, what)
    }

    /// A refusal of something that ClickHouse has and the embedded shard has not.
    pub fn not_here<T>(&self, what: &str) -> Outcome<T> {
        code::NOT_IMPLEMENTED.refuse(format_args!("the embedded shard does not know {what}"))
    }
}
