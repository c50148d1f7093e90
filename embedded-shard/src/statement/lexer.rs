//! Words of a statement. Read one at a time, because behind an INSERT's head come data that are no SQL.

use crate::cursor::{Cursor, shown};
use crate::error::{Outcome, code};
use crate::{escape, quoted};

/// One word of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// A keyword or an unquoted name.
    Word(String),
    /// A name in back quotes or double quotes.
    Quoted(String),
    /// A string in single quotes.
    Text(Vec<u8>),
    /// A number without sign.
    Number(String),
    /// An operator or bracket.
    Symbol(&'static str),
    End,
}

/// Longest first, so that `<=` is not read as `<`.
const SYMBOLS: &[&str] = &[
    "<=", ">=", "!=", "<>", "==", "||", "::", "->", "(", ")", "[", "]", "{", "}", ",", ".", ";", "=", "<",
    ">", "+", "-", "*", "/", "%", "?", ":", "@",
];

/// Reads the next word, past space and comments.
pub(crate) fn next(cursor: &mut Cursor<'_>) -> Outcome<Token> {
    skip_space_and_comments(cursor)?;
    match cursor.peek() {
        None => Ok(Token::End),
        Some(quote @ (b'`' | b'"')) => name(cursor, quote).map(Token::Quoted),
        Some(b'\'') => quoted::string(cursor).map(Token::Text),
        Some(byte) if byte.is_ascii_digit() => Ok(Token::Number(number(cursor))),
        Some(b'.') if cursor.rest().get(1).is_some_and(u8::is_ascii_digit) => {
            Ok(Token::Number(number(cursor)))
        }
        Some(byte) if is_word(byte) => Ok(Token::Word(lossy(cursor.take_while(is_word)))),
        Some(_) => match SYMBOLS.iter().find(|symbol| cursor.take(symbol.as_bytes())) {
            Some(symbol) => Ok(Token::Symbol(symbol)),
            None => syntax_error(cursor, "a word"),
        },
    }
}

/// A refusal that says what should have come.
pub(crate) fn syntax_error<T>(cursor: &Cursor<'_>, expected: &str) -> Outcome<T> {
    let (position, found) = (cursor.at + 1, shown(cursor.rest()));
    code::SYNTAX_ERROR.refuse(format_args!(
        "syntax error: failed at position {position} ({found}): expected {expected}"
    ))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn skip_space_and_comments(cursor: &mut Cursor<'_>) -> Outcome<()> {
    loop {
        cursor.skip_space();
        if cursor.take(b"--") {
            cursor.take_while(|byte| byte != b'\n');
        } else if cursor.take(b"/*") {
            while !cursor.take(b"*/") {
                if cursor.next().is_none() {
                    return syntax_error(cursor, "the end of the comment");
                }
            }
        } else {
            return Ok(());
        }
    }
}

fn name(cursor: &mut Cursor<'_>, quote: u8) -> Outcome<String> {
    cursor.next();
    let mut name = Vec::new();
    loop {
        name.extend_from_slice(cursor.take_while(|byte| byte != quote && byte != b'\\'));
        match cursor.next() {
            Some(b'\\') => escape::unescape(cursor, &mut name)?,
            Some(_) if cursor.take(&[quote]) => name.push(quote),
            Some(_) => break,
            None => return syntax_error(cursor, "the end of the quoted name"),
        }
    }
    String::from_utf8(name).map_err(|_| code::SYNTAX_ERROR.error("a quoted name is not UTF-8"))
}

fn number(cursor: &mut Cursor<'_>) -> String {
    let start = cursor.at;
    let digits = |cursor: &mut Cursor<'_>| {
        cursor.take_while(|byte| byte.is_ascii_digit());
    };
    digits(cursor);
    if cursor.take(b".") {
        digits(cursor);
    }
    let exponent = cursor.clone();
    if cursor.take(b"e") || cursor.take(b"E") {
        if !cursor.take(b"-") {
            cursor.take(b"+");
        }
        if !cursor.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            *cursor = exponent;
        }
        digits(cursor);
    }
    lossy(cursor.since(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(sql: &str) -> Outcome<Vec<Token>> {
        let mut cursor = Cursor::new(sql.as_bytes());
        let mut tokens = Vec::new();
        loop {
            match next(&mut cursor)? {
                Token::End => return Ok(tokens),
                token => tokens.push(token),
            }
        }
    }

    #[test]
    fn a_statement_is_cut_into_its_words() {
        let read = tokens("SELECT /* a */ `x``y`.\"z\" -- b\n<= 1.5e-3, 'it''s'").unwrap();
        let expected = [
            Token::Word("SELECT".to_owned()),
            Token::Quoted("x`y".to_owned()),
            Token::Symbol("."),
            Token::Quoted("z".to_owned()),
            Token::Symbol("<="),
            Token::Number("1.5e-3".to_owned()),
            Token::Symbol(","),
            Token::Text(b"it's".to_vec()),
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn what_is_not_closed_is_refused() {
        for sql in ["`a", "'a", "/* a", "\"a"] {
            assert!(tokens(sql).is_err(), "{sql}");
        }
        assert_eq!(tokens("a ~ b").unwrap_err().code, code::SYNTAX_ERROR);
    }
}
