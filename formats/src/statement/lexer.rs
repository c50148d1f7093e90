//! Tokens of ClickHouse's SQL, as far as a statement's head needs them.

use super::{StatementError, TableRef};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A bare word: keyword, plain identifier.
    Word(&'a str),
    /// `name` or "name": the text between the quotes, escapes untouched.
    QuotedName(&'a [u8], u8),
    /// 'text': between the quotes, escapes untouched.
    Text(&'a [u8]),
    /// A number, as written.
    Number(&'a str),
    /// Any other single byte.
    Punctuation(u8),
    End,
}

/// Reads tokens from the front of a text; comments and white space are skipped.
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    /// What `{name:Identifier}` stands for.
    parameters: &'a [(String, String)],
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self::with(text, &[])
    }

    /// Reads a text whose identifiers may be parameters.
    pub(super) fn with(text: &'a [u8], parameters: &'a [(String, String)]) -> Self {
        let text = &text[..text.len().min(super::STATEMENT_BYTES_MAX)];
        Self {
            text,
            at: 0,
            parameters,
        }
    }

    /// Another reader at the same place.
    fn ahead(&self) -> Self {
        Self { ..*self }
    }

    /// Bytes that can be seen: the text's, up to the limit of a head.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// Where the next unread byte is.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Where the next token starts, or the end.
    pub(super) fn next_start(&self) -> usize {
        let mut ahead = self.ahead();
        // A comment that does not end is an error for whoever reads the token.
        let _ = ahead.skip_space();
        ahead.at
    }

    /// Goes back to an earlier position.
    pub(super) fn rewind(&mut self, position: usize) {
        self.at = position;
    }

    pub(super) fn byte_at(&self, at: usize) -> Option<u8> {
        self.text.get(at).copied()
    }

    /// Whether everything was read, so that an error may only mean that the text is not all there.
    pub(super) fn at_end(&self) -> bool {
        let mut ahead = self.ahead();
        // A word or a quote that touches the end may go on; so may what follows it.
        matches!(ahead.next(), Err(_) | Ok(Token::End)) || ahead.at >= self.text.len()
    }

    pub(super) fn peek(&self) -> Result<Token<'a>, StatementError> {
        self.ahead().next()
    }

    pub(super) fn next(&mut self) -> Result<Token<'a>, StatementError> {
        self.skip_space()?;
        let Some(&first) = self.text.get(self.at) else {
            return Ok(Token::End);
        };
        match first {
            b'\'' => self.quoted(first).map(Token::Text),
            b'`' | b'"' => self.quoted(first).map(|name| Token::QuotedName(name, first)),
            b'0'..=b'9' => Ok(Token::Number(
                self.run(|b| b.is_ascii_alphanumeric() || b == b'.'),
            )),
            byte if is_word_byte(byte) => Ok(Token::Word(self.run(is_word_byte))),
            byte => {
                self.at += 1;
                Ok(Token::Punctuation(byte))
            }
        }
    }

    fn run(&mut self, belongs: impl Fn(u8) -> bool) -> &'a str {
        let start = self.at;
        let len = self.text[start..].iter().take_while(|b| belongs(**b)).count();
        self.at += len;
        // Word bytes are ASCII or parts of UTF-8; a broken sequence is no word anybody knows.
        std::str::from_utf8(&self.text[start..self.at]).unwrap_or("\u{fffd}")
    }

    fn quoted(&mut self, quote: u8) -> Result<&'a [u8], StatementError> {
        let start = self.at + 1;
        let mut at = start;
        while let Some(&byte) = self.text.get(at) {
            if byte == b'\\' || (byte == quote && self.text.get(at + 1) == Some(&quote)) {
                at += 2;
            } else if byte == quote {
                self.at = at + 1;
                return Ok(&self.text[start..at]);
            } else {
                at += 1;
            }
        }
        Err(self.error("the closing quote"))
    }

    fn skip_space(&mut self) -> Result<(), StatementError> {
        loop {
            let rest = &self.text[self.at..];
            let white = rest
                .iter()
                .take_while(|b| b.is_ascii_whitespace() || **b == 0x0b)
                .count();
            self.at += white;
            let rest = &self.text[self.at..];
            if rest.starts_with(b"--") || rest.starts_with(b"#") {
                self.at += rest
                    .iter()
                    .position(|b| *b == b'\n')
                    .map_or(rest.len(), |end| end + 1);
            } else if rest.starts_with(b"/*") {
                self.skip_block_comment()?;
            } else if white == 0 {
                return Ok(());
            }
        }
    }

    fn skip_block_comment(&mut self) -> Result<(), StatementError> {
        let mut depth = 0_usize;
        let mut at = self.at;
        loop {
            match self.text.get(at..at + 2) {
                Some(b"/*") => (depth, at) = (depth + 1, at + 2),
                Some(b"*/") => (depth, at) = (depth - 1, at + 2),
                Some(_) => at += 1,
                None => return Err(self.error("the end of the comment")),
            }
            if depth == 0 {
                self.at = at;
                return Ok(());
            }
        }
    }

    pub(super) fn take_word(&mut self, word: &str) -> Result<bool, StatementError> {
        let found = matches!(self.peek()?, Token::Word(next) if next.eq_ignore_ascii_case(word));
        if found {
            self.next()?;
        }
        Ok(found)
    }

    pub(super) fn expect_word(&mut self, word: &str, expected: &'static str) -> Result<(), StatementError> {
        if self.take_word(word)? {
            Ok(())
        } else {
            Err(self.error(expected))
        }
    }

    pub(super) fn take(&mut self, byte: u8) -> Result<bool, StatementError> {
        let found = self.peek()? == Token::Punctuation(byte);
        if found {
            self.next()?;
        }
        Ok(found)
    }

    pub(super) fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), StatementError> {
        if self.take(byte)? {
            Ok(())
        } else {
            Err(self.error(expected))
        }
    }

    /// An identifier, bare or quoted, unescaped.
    pub(super) fn name(&mut self, expected: &'static str) -> Result<String, StatementError> {
        match self.peek()? {
            Token::Word(word) => {
                self.next()?;
                Ok(word.to_owned())
            }
            Token::QuotedName(raw, quote) => {
                let name =
                    String::from_utf8(unescape(raw, quote)).map_err(|_| self.error("a name in UTF-8"))?;
                self.next()?;
                Ok(name)
            }
            Token::Punctuation(b'{') => self.parameter(),
            _ => Err(self.error(expected)),
        }
    }

    /// `{name:Identifier}`: the value of the parameter `name`, one identifier whatever it holds (a dot too, as in ClickHouse).
    fn parameter(&mut self) -> Result<String, StatementError> {
        self.next()?;
        let Token::Word(name) = self.peek()? else {
            return Err(self.error("the name of a query parameter"));
        };
        self.next()?;
        self.expect(b':', "':' and the parameter's type")?;
        if self.peek()? != Token::Word("Identifier") {
            return Err(self.error("the substitution type Identifier"));
        }
        self.next()?;
        self.expect(b'}', "the closing brace of the parameter")?;
        let found = self.parameters.iter().rev().find(|(known, _)| known == name);
        match found {
            Some((_, value)) => Ok(value.clone()),
            None => Err(StatementError {
                unset: Some(name.to_owned()),
                ..self.error("a parameter")
            }),
        }
    }

    /// `[database.]table`
    pub(super) fn table(&mut self) -> Result<TableRef, StatementError> {
        let first = self.name("the name of a table")?;
        if self.take(b'.')? {
            let table = self.name("the name of a table behind its database")?;
            return Ok(TableRef {
                database: Some(first),
                table,
            });
        }
        Ok(TableRef {
            database: None,
            table: first,
        })
    }

    /// The error at the next token.
    pub(super) fn error(&self, expected: &'static str) -> StatementError {
        let white = self.text[self.at..]
            .iter()
            .take_while(|b| b.is_ascii_whitespace())
            .count();
        let at = self.at + white;
        let shown: Vec<u8> = self.text[at..]
            .iter()
            .copied()
            .take_while(|b| !b.is_ascii_whitespace())
            .take(40)
            .collect();
        let found = if shown.is_empty() {
            String::new()
        } else {
            format!(" ('{}')", String::from_utf8_lossy(&shown))
        };
        StatementError {
            offset: at,
            found,
            expected,
            unset: None,
        }
    }
}

/// Letters, digits, `_`, `$` and everything beyond ASCII.
fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// Takes the escapes out of quoted text: backslash escapes and the doubled quote.
pub(super) fn unescape(raw: &[u8], quote: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => match bytes.next() {
                Some(b'n') => out.push(b'\n'),
                Some(b't') => out.push(b'\t'),
                Some(b'r') => out.push(b'\r'),
                Some(b'0') => out.push(0),
                Some(b'b') => out.push(8),
                Some(b'f') => out.push(12),
                Some(escaped) => out.push(escaped),
                None => out.push(b'\\'),
            },
            byte if byte == quote => {
                bytes.next();
                out.push(quote);
            }
            byte => out.push(byte),
        }
    }
    out
}
