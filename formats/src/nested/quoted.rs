//! The notation of SQL: `[1, NULL]`, `('a', 2)`, `{'k': 1}`.

use types::{Column, DataType};

use super::{ELEMENTS, Element, Kind, ValueReader, push_list, push_pair, push_tuple};
use crate::error::code;
use crate::framing::{Token, ValueError, behind_space};
use crate::values;

const END: ValueError = ValueError {
    code: code::CANNOT_READ_ARRAY_FROM_TEXT,
    expected: "elements with commas between them and a closing bracket",
};
const ARRAY: ValueError = ValueError {
    code: code::CANNOT_READ_ARRAY_FROM_TEXT,
    expected: "an array, which begins with '['",
};
const MAP: ValueError = ValueError {
    code: code::CANNOT_PARSE_INPUT,
    expected: "a map, which begins with '{'",
};
const TUPLE: ValueError = ValueError {
    code: code::CANNOT_PARSE_INPUT,
    expected: "a tuple, which begins with '('",
};
const COLON: ValueError = ValueError {
    code: code::CANNOT_PARSE_INPUT,
    expected: "a colon between a map's key and its value",
};

/// Appends the value that all of the text is. [`values::LITERAL`] says that it may be one, but not for this notation.
pub(super) fn push(reader: &ValueReader, column: &mut Column, text: &[u8]) -> Result<(), ValueError> {
    let end = value(reader, column, text, 0)?;
    if end == text.len() { Ok(()) } else { Err(END) }
}

/// Reads the value at `at` and returns its end.
fn value(reader: &ValueReader, column: &mut Column, text: &[u8], at: usize) -> Result<usize, ValueError> {
    if is_null(&text[at..]) {
        reader.push_null(column)?;
        return Ok(at + 4);
    }
    match &reader.kind {
        Kind::Scalar(_) | Kind::Unread => scalar(reader, column, text, at),
        Kind::Array(inner) => push_list(column, |list| {
            elements(text, at, b"[]", ARRAY, |_, at| value(inner, list, text, at))
        }),
        Kind::Map(pair) => push_list(column, |pairs| {
            elements(text, at, b"{}", MAP, |_, at| {
                push_pair(pairs, |keys, values| {
                    let colon = behind_space(text, value(&pair.0, keys, text, at)?);
                    if text.get(colon) != Some(&b':') {
                        return Err(COLON);
                    }
                    value(&pair.1, values, text, behind_space(text, colon + 1))
                })
            })
        }),
        Kind::Tuple(elements) => push_tuple(column, |columns| tuple(elements, columns, text, at)),
    }
}

fn tuple(readers: &[Element], columns: &mut [Column], text: &[u8], at: usize) -> Result<usize, ValueError> {
    let mut count = 0;
    let end = elements(text, at, b"()", TUPLE, |place, at| {
        count = place + 1;
        match (readers.get(place), columns.get_mut(place)) {
            (Some(element), Some(column)) => value(&element.reader, column, text, at),
            _ => Err(ELEMENTS),
        }
    })?;
    if count == readers.len() {
        Ok(end)
    } else {
        Err(ELEMENTS)
    }
}

fn scalar(reader: &ValueReader, column: &mut Column, text: &[u8], at: usize) -> Result<usize, ValueError> {
    let end = literal_end(text, at)?;
    let mut scratch = Vec::new();
    let token = match reader.kind {
        // Whatever it is.
        Kind::Unread => Token::Null,
        _ => values::token(text[at..end].trim_ascii(), &mut scratch)?,
    };
    if !matches!(reader.kind, Kind::Unread) && !is_notation_of(&reader.data_type, &token) {
        return Err(values::LITERAL);
    }
    reader.push(column, &token)?;
    Ok(end)
}

/// Whether values of the type are written so inside of others: with quotes or without. What else VALUES takes it computes.
fn is_notation_of(data_type: &DataType, token: &Token<'_>) -> bool {
    use DataType as T;
    match (data_type.without_nullable(), token) {
        (T::Bool | T::DateTime(_) | T::DateTime64(..), Token::Text(_)) => true,
        (T::Bool, Token::Sql(_)) => true,
        (_, Token::Sql(b"true" | b"false")) => false,
        (
            T::String | T::FixedString(_) | T::Enum8(_) | T::Enum16(_) | T::Date | T::Date32 | T::Uuid,
            token,
        ) => matches!(token, Token::Text(_)),
        (T::IPv4 | T::IPv6, token) => matches!(token, Token::Text(_)),
        (_, token) => matches!(token, Token::Sql(_)),
    }
}

/// Whether the text begins with the word NULL.
fn is_null(text: &[u8]) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    text.get(..4)
        .is_some_and(|word| word.eq_ignore_ascii_case(b"NULL"))
        && !text.get(4).is_some_and(is_word)
}

/// Walks over the elements between two brackets; `read` takes an element's number and place and returns its end.
fn elements(
    text: &[u8],
    at: usize,
    [open, close]: &[u8; 2],
    begin: ValueError,
    mut read: impl FnMut(usize, usize) -> Result<usize, ValueError>,
) -> Result<usize, ValueError> {
    if text.get(at) != Some(open) {
        return Err(begin);
    }
    let mut at = behind_space(text, at + 1);
    if text.get(at) == Some(close) {
        return Ok(at + 1);
    }
    for number in 0.. {
        at = behind_space(text, read(number, at)?);
        match text.get(at) {
            Some(b',') => at = behind_space(text, at + 1),
            Some(found) if found == close => return Ok(at + 1),
            _ => return Err(END),
        }
        if text.get(at) == Some(close) {
            // A comma may stand in front of the end, of a tuple's only behind its single element.
            return if *close == b')' && number > 0 {
                Err(values::LITERAL)
            } else {
                Ok(at + 1)
            };
        }
    }
    Err(END)
}

/// Where a value of which nothing is known ends: in front of a comma, a colon or a bracket that closes.
fn literal_end(text: &[u8], start: usize) -> Result<usize, ValueError> {
    let mut depth = 0_usize;
    let mut at = start;
    while let Some(byte) = text.get(at) {
        match byte {
            b'\'' => at = string_end(text, at)?,
            b'[' | b'(' | b'{' => (depth, at) = (depth + 1, at + 1),
            b',' | b':' | b']' | b')' | b'}' if depth == 0 => break,
            b']' | b')' | b'}' => (depth, at) = (depth - 1, at + 1),
            _ => at += 1,
        }
    }
    Ok(at)
}

/// The first byte behind the quotes that open at `at`; a doubled one reads as two strings.
fn string_end(text: &[u8], at: usize) -> Result<usize, ValueError> {
    let mut from = at + 1;
    while let Some(found) = memchr::memchr2(b'\'', b'\\', text.get(from..).unwrap_or_default()) {
        let end = from + found;
        if text[end] == b'\'' {
            return Ok(end + 1);
        }
        from = end + 2;
    }
    Err(ValueError {
        code: code::CANNOT_PARSE_QUOTED_STRING,
        expected: "a closing quote",
    })
}
