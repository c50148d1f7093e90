//! A whole short statement as tokens, for whoever compares statements by what they say and not by how they
//! are laid out.

use super::StatementError;
use super::lexer::{Lexer, Token as Raw, unescape};

/// One token, quotes and escapes taken off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A bare word: keyword, plain identifier.
    Word(String),
    /// An identifier in back-quotes or double quotes.
    Name(String),
    /// A string literal.
    Text(String),
    /// A number, as written.
    Number(String),
    /// Any other single byte.
    Punctuation(char),
}

/// Reads a statement that is all there; comments and white space are left out.
pub fn tokens(text: &[u8]) -> Result<Vec<Token>, StatementError> {
    let mut lexer = Lexer::new(text);
    let mut tokens = Vec::new();
    loop {
        let utf8 =
            |lexer: &Lexer<'_>, bytes| String::from_utf8(bytes).map_err(|_| lexer.error("text in UTF-8"));
        tokens.push(match lexer.next()? {
            Raw::End => return Ok(tokens),
            Raw::Word(word) => Token::Word(word.to_owned()),
            Raw::QuotedName(raw, quote) => Token::Name(utf8(&lexer, unescape(raw, quote))?),
            Raw::Text(raw) => Token::Text(utf8(&lexer, unescape(raw, b'\''))?),
            Raw::Number(number) => Token::Number(number.to_owned()),
            Raw::Punctuation(byte) => Token::Punctuation(char::from(byte)),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_and_comments_do_not_count() {
        let spread = tokens(b"SELECT /* x */ 1,\n'it''s' AS `a b` -- end").unwrap();
        assert_eq!(spread, tokens(b"SELECT 1 , 'it\\'s' AS \"a b\"").unwrap());
        assert_eq!(spread.len(), 6);
        assert_eq!(spread[3], Token::Text("it's".into()));
    }

    #[test]
    fn an_open_quote_is_an_error() {
        assert!(tokens(b"SELECT 'a").is_err());
    }
}
