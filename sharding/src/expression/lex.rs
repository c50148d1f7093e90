//! Text → tokens, by ClickHouse's lexical rules.

use crate::error::{KeyReason, Refusal};

/// A token and the offset at which it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub offset: usize,
    pub kind: TokenKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A bare word: a name or a keyword.
    Word(String),
    /// A name in back quotes or double quotes.
    Quoted(String),
    /// A whole number of up to 64 bits.
    Number(u64),
    /// The bits of a number with a fraction or an exponent.
    Float(u64),
    String(Vec<u8>),
    /// An operator, bracket or comma.
    Symbol(&'static str),
    End,
}

/// Longer ones first, for the first that fits is taken.
const SYMBOLS: [&str; 25] = [
    "::", "||", "==", "!=", "<>", "<=", ">=", "->", "(", ")", "[", "]", ",", ".", "+", "-", "*", "/", "%",
    "=", "<", ">", "?", ":", ";",
];

/// All tokens of the text, `End` last.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Refusal> {
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_space();
        let offset = lexer.at;
        let kind = lexer.token()?;
        let last = kind == TokenKind::End;
        tokens.push(Token { offset, kind });
        if last {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn token(&mut self) -> Result<TokenKind, Refusal> {
        match self.rest().chars().next() {
            None => Ok(TokenKind::End),
            Some(c) if c.is_ascii_alphabetic() || c == '_' => Ok(TokenKind::Word(self.word())),
            Some(c) if c.is_ascii_digit() => self.number(),
            Some('\'') => Ok(TokenKind::String(self.quoted('\'')?)),
            Some(quote @ ('`' | '"')) => self.quoted_name(quote),
            Some(_) => self.symbol(),
        }
    }

    fn word(&mut self) -> String {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let word: String = self.rest().chars().take_while(|c| is_word(*c)).collect();
        self.at += word.len();
        word
    }

    /// Digits with a fraction or an exponent or without, or `0x` and hexadecimal digits.
    fn number(&mut self) -> Result<TokenKind, Refusal> {
        let offset = self.at;
        let len = number_length(self.rest().as_bytes());
        let text = &self.rest()[..len];
        let value = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(digits) => u64::from_str_radix(digits, 16).map(TokenKind::Number).ok(),
            None if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().map(TokenKind::Number).ok()
            }
            None => float(text),
        };
        self.at += len;
        let is_whole_word = !self
            .rest()
            .starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        value
            .filter(|_| is_whole_word)
            .ok_or_else(|| Refusal::at(offset, KeyReason::Number))
    }

    fn quoted_name(&mut self, quote: char) -> Result<TokenKind, Refusal> {
        let offset = self.at;
        let bytes = self.quoted(quote)?;
        match String::from_utf8(bytes) {
            Ok(name) if !name.is_empty() => Ok(TokenKind::Quoted(name)),
            _ => Err(syntax(offset, "a name in UTF-8 between the quotes", "another")),
        }
    }

    /// What stands between two quotes; a doubled quote or one behind a backslash belongs to it.
    fn quoted(&mut self, quote: char) -> Result<Vec<u8>, Refusal> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let quote = quote as u8;
        let mut out = Vec::new();
        let mut at = start + 1;
        while at < bytes.len() {
            match bytes[at] {
                b'\\' => at = unescape(bytes, at + 1, &mut out),
                byte if byte == quote && bytes.get(at + 1) == Some(&quote) => {
                    out.push(quote);
                    at += 2;
                }
                byte if byte == quote => {
                    self.at = at + 1;
                    return Ok(out);
                }
                byte => {
                    out.push(byte);
                    at += 1;
                }
            }
        }
        Err(syntax(start, "a closing quote", "the end"))
    }

    fn symbol(&mut self) -> Result<TokenKind, Refusal> {
        match SYMBOLS.iter().find(|symbol| self.rest().starts_with(**symbol)) {
            Some(symbol) => {
                self.at += symbol.len();
                Ok(TokenKind::Symbol(symbol))
            }
            None => {
                let found: String = self.rest().chars().take(1).collect();
                Err(syntax(self.at, "an expression", &format!("'{found}'")))
            }
        }
    }
}

/// How many bytes at the beginning of a text look like a number.
fn number_length(text: &[u8]) -> usize {
    let digits = |from: usize| {
        text[from..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count()
    };
    if matches!(text, [b'0', b'x' | b'X', ..]) {
        return 2 + text[2..]
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit())
            .count();
    }
    let mut len = digits(0);
    if text.get(len) == Some(&b'.') {
        len += 1 + digits(len + 1);
    }
    if matches!(text.get(len), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(len + 1), Some(b'+' | b'-')));
        match digits((len + 1 + sign).min(text.len())) {
            0 => {}
            count => len += 1 + sign + count,
        }
    }
    len
}

fn float(text: &str) -> Option<TokenKind> {
    let number: f64 = text.parse().ok()?;
    number.is_finite().then(|| TokenKind::Float(number.to_bits()))
}

/// Reads the escape whose letter stands at `at` into `out`; answers where reading goes on.
fn unescape(bytes: &[u8], at: usize, out: &mut Vec<u8>) -> usize {
    let Some(&letter) = bytes.get(at) else { return at };
    let hex = |place: usize| {
        bytes
            .get(place)
            .and_then(|b| (*b as char).to_digit(16))
            .map(|digit| digit as u8)
    };
    match letter {
        b'x' => {
            if let (Some(high), Some(low)) = (hex(at + 1), hex(at + 2)) {
                out.push(high * 16 + low);
                return at + 3;
            }
            out.extend_from_slice(b"\\x");
        }
        b'a' => out.push(7),
        b'b' => out.push(8),
        b'e' => out.push(27),
        b'f' => out.push(12),
        b'n' => out.push(b'\n'),
        b'r' => out.push(b'\r'),
        b't' => out.push(b'\t'),
        b'v' => out.push(11),
        b'0' => out.push(0),
        b'\\' | b'\'' | b'"' | b'`' | b'/' | b'=' => out.push(letter),
        // ClickHouse keeps the backslash of an escape that it does not know.
        _ => out.extend_from_slice(&[b'\\', letter]),
    }
    at + 1
}

/// A refusal for what the grammar does not allow.
pub(super) fn syntax(offset: usize, expected: &'static str, found: &str) -> Refusal {
    Refusal::at(
        offset,
        KeyReason::Syntax {
            expected,
            found: found.to_owned(),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[TokenKind]) {
        let kinds: Vec<TokenKind> = tokens(text)
            .unwrap()
            .into_iter()
            .map(|token| token.kind)
            .collect();
        assert_eq!(kinds[..kinds.len() - 1], *expected, "{text}");
    }

    #[test]
    fn names_numbers_strings_and_symbols_are_told_apart() {
        use TokenKind::{Number, Quoted, String, Symbol, Word};
        check("a_1 % 0xFf", &[Word("a_1".into()), Symbol("%"), Number(255)]);
        check(
            "`a``b` \"c\\\"d\"",
            &[Quoted("a`b".into()), Quoted("c\"d".into())],
        );
        check(
            r"'it''s' '\x41\n\q\\'",
            &[String(b"it's".into()), String(b"A\n\\q\\".into())],
        );
        check("k::T", &[Word("k".into()), Symbol("::"), Word("T".into())]);
        check("18446744073709551615", &[Number(u64::MAX)]);
        check(
            "1.5 2. 1e3",
            &[1.5, 2.0, 1_000.0].map(|number: f64| TokenKind::Float(number.to_bits())),
        );
    }

    #[track_caller]
    fn refuses(text: &str, offset: usize) {
        assert_eq!(tokens(text).unwrap_err().offset, Some(offset), "{text}");
    }

    #[test]
    fn what_is_no_token_is_refused_with_its_place() {
        refuses("k + 'abc", 4);
        refuses("k + 1.5x", 4);
        refuses("k + 1e999", 4);
        refuses("k + 12a", 4);
        refuses("18446744073709551616", 0);
        refuses("k # 1", 2);
        refuses("k + ``", 4);
        refuses("é", 0);
    }
}
