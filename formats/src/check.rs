//! `validate = "values"`: reads the values of columns that the sharding key does not read, and forgets them.
//!
//! Arrays, tuples and maps are walked through in the notation that the format has for them. Values of a type that is not
//! read here, and expressions in VALUES, are left to the shard.

use types::{Column, ColumnDef, DataType};

use crate::error::{FormatError, code};
use crate::framing::{Framing, Stop, Token, ValueError, Window, behind_space};
use crate::json_each_row::{scan, text};
use crate::key::{Reading, reading_of};
use crate::stream::Spec;
use crate::value;
use crate::values;

/// What the values of one column are held against.
pub(crate) struct Check {
    pub column: ColumnDef,
    takes_null: bool,
    kind: Kind,
    scratch: Vec<u8>,
}

enum Kind {
    Scalar {
        data_type: DataType,
        reading: Reading,
        /// Takes a value and forgets it.
        values: Column,
    },
    Array(Box<Kind>),
    Map(Box<Kind>, Box<Kind>),
    /// Elements with their names, where the type gives them.
    Tuple(Vec<(Option<String>, Kind)>),
    /// Anything goes.
    Unread,
}

impl Check {
    pub(crate) fn new(column: &ColumnDef, spec: &Spec<'_>) -> Result<Self, FormatError> {
        Ok(Self {
            column: column.clone(),
            takes_null: column.data_type.is_nullable() || spec.settings.null_as_default,
            kind: Kind::of(&column.data_type, spec)?,
            scratch: Vec::new(),
        })
    }

    /// Reads the field of the noted column `index`.
    pub(crate) fn read(
        &mut self,
        framing: &dyn Framing,
        index: usize,
        field: &[u8],
    ) -> Result<(), ValueError> {
        let token = match framing.token(index, field, &mut self.scratch) {
            Err(error) if error == values::LITERAL => return Ok(()),
            token => token?,
        };
        match token {
            Token::Null if !self.takes_null => {
                Err(wrong("a value, because input_format_null_as_default is off"))
            }
            Token::Sql(_) => self.kind.read(&token).or_else(|error| {
                if error == values::LITERAL {
                    Ok(())
                } else {
                    Err(error)
                }
            }),
            _ => self.kind.read(&token),
        }
    }
}

/// Whether values of this type are made of others.
pub(crate) fn is_nested(data_type: &DataType) -> bool {
    matches!(
        data_type.without_nullable(),
        DataType::Array(_) | DataType::Map(..) | DataType::Tuple(_)
    )
}

const fn wrong(expected: &'static str) -> ValueError {
    ValueError {
        code: code::INCORRECT_DATA,
        expected,
    }
}

const END: ValueError = ValueError {
    code: code::CANNOT_READ_ARRAY_FROM_TEXT,
    expected: "elements with commas between them and a closing bracket",
};

impl Kind {
    /// Recurses as deep as the type goes, never as deep as a value.
    fn of(data_type: &DataType, spec: &Spec<'_>) -> Result<Self, FormatError> {
        let boxed = |inner: &DataType| Self::of(inner, spec).map(Box::new);
        Ok(match data_type.without_nullable() {
            DataType::Array(inner) => Self::Array(boxed(inner)?),
            DataType::Map(key, value) => Self::Map(boxed(key)?, boxed(value)?),
            DataType::Tuple(elements) => Self::Tuple(
                elements
                    .iter()
                    .map(|(name, element)| Ok((name.clone(), Self::of(element, spec)?)))
                    .collect::<Result<_, FormatError>>()?,
            ),
            data_type if value::can_read(data_type) => Self::Scalar {
                reading: reading_of(data_type, spec)?,
                values: Column::empty(data_type),
                data_type: data_type.clone(),
            },
            _ => Self::Unread,
        })
    }

    fn read(&mut self, token: &Token<'_>) -> Result<(), ValueError> {
        match (self, token) {
            (Self::Unread, _) | (_, Token::Null | Token::Absent) => Ok(()),
            (
                Self::Scalar {
                    data_type,
                    reading,
                    values,
                },
                token,
            ) => {
                values.clear();
                value::push(&mut values.data, data_type, reading, token)
            }
            // Its framing has followed the value by its type.
            (_, Token::Binary(_)) => Ok(()),
            (nested, Token::Text(text) | Token::Sql(text)) => {
                let end = nested.quoted(text, behind_space(text, 0))?;
                if behind_space(text, end) == text.len() {
                    Ok(())
                } else {
                    Err(END)
                }
            }
            (nested, Token::Json(text)) => nested.json(text),
        }
    }

    /// Reads the value at `at` in the notation of SQL and returns its end.
    fn quoted(&mut self, text: &[u8], at: usize) -> Result<usize, ValueError> {
        match self {
            Self::Scalar { .. } | Self::Unread => {
                let end = literal_end(text, at)?;
                if !matches!(self, Self::Unread) {
                    let mut scratch = Vec::new();
                    self.read(&values::token(text[at..end].trim_ascii(), &mut scratch)?)?;
                }
                Ok(end)
            }
            _ if text[at..]
                .get(..4)
                .is_some_and(|word| word.eq_ignore_ascii_case(b"NULL")) =>
            {
                Ok(at + 4)
            }
            Self::Array(inner) => elements(text, at, (b'[', b']'), |_, at| inner.quoted(text, at)),
            Self::Map(key, value) => elements(text, at, (b'{', b'}'), |_, at| {
                let colon = behind_space(text, key.quoted(text, at)?);
                if text.get(colon) != Some(&b':') {
                    return Err(wrong("a colon between a map's key and its value"));
                }
                value.quoted(text, behind_space(text, colon + 1))
            }),
            Self::Tuple(inner) => {
                let mut count = 0;
                let wanted = inner.len();
                let end = elements(text, at, (b'(', b')'), |place, at| {
                    count = place + 1;
                    match inner.get_mut(place) {
                        Some((_, element)) => element.quoted(text, at),
                        None => Err(wrong("as many elements as the tuple has")),
                    }
                })?;
                if count == wanted {
                    Ok(end)
                } else {
                    Err(wrong("as many elements as the tuple has"))
                }
            }
        }
    }

    /// Reads a JSON value, which is known to be sound.
    fn json(&mut self, value: &[u8]) -> Result<(), ValueError> {
        let mut scratch = Vec::new();
        match (self, value) {
            (Self::Unread, _) | (_, b"null") => Ok(()),
            (scalar @ Self::Scalar { .. }, [b'"', inner @ .., b'"']) => {
                scalar.read(&Token::Text(text::unescape(inner, &mut scratch)?))
            }
            (scalar @ Self::Scalar { .. }, bare) => scalar.read(&Token::Json(bare)),
            // Text of an array in a string: the shard decides.
            (_, [b'"', ..]) => Ok(()),
            (Self::Array(inner), [b'[', ..]) => json_elements(value, |_, element| inner.json(element)),
            (Self::Tuple(inner), [b'[', ..]) => {
                json_elements(value, |place, element| match inner.get_mut(place) {
                    Some((_, kind)) => kind.json(element),
                    None => Err(wrong("as many elements as the tuple has")),
                })
            }
            (Self::Map(key, inner), [b'{', ..]) => json_members(value, |name, member| {
                key.read(&Token::Text(name))?;
                inner.json(member)
            }),
            (Self::Tuple(inner), [b'{', ..]) => json_members(value, |name, member| {
                let is_named = |(known, _): &&mut (Option<String>, Kind)| {
                    known.as_ref().is_some_and(|known| known.as_bytes() == name)
                };
                inner
                    .iter_mut()
                    .find(is_named)
                    .map_or(Ok(()), |(_, kind)| kind.json(member))
            }),
            // A map may be written as an array of pairs.
            (Self::Map(..), [b'[', ..]) => Ok(()),
            (Self::Array(_), _) => Err(wrong("an array")),
            (Self::Map(..), _) => Err(wrong("an object")),
            (Self::Tuple(_), _) => Err(wrong("an array or an object")),
        }
    }
}

/// Walks over the elements between two brackets; `read` takes an element's number and place and returns its end.
fn elements(
    text: &[u8],
    at: usize,
    (open, close): (u8, u8),
    mut read: impl FnMut(usize, usize) -> Result<usize, ValueError>,
) -> Result<usize, ValueError> {
    if text.get(at) != Some(&open) {
        return Err(wrong("an opening bracket"));
    }
    let mut at = behind_space(text, at + 1);
    if text.get(at) == Some(&close) {
        return Ok(at + 1);
    }
    for number in 0.. {
        at = behind_space(text, read(number, at)?);
        match text.get(at) {
            Some(b',') => at = behind_space(text, at + 1),
            Some(found) if *found == close => return Ok(at + 1),
            _ => return Err(END),
        }
        // A comma may stand in front of a tuple's end.
        if close == b')' && text.get(at) == Some(&close) {
            return Ok(at + 1);
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

fn json_elements(
    value: &[u8],
    mut read: impl FnMut(usize, &[u8]) -> Result<(), ValueError>,
) -> Result<(), ValueError> {
    let window = whole(value);
    let mut nesting = Vec::new();
    let mut at = behind_space(value, 1);
    for number in 0.. {
        if matches!(value.get(at), None | Some(b']')) {
            break;
        }
        let end = scan::value(&window, at, &mut nesting).map_err(unsound)?;
        read(number, &value[at..end])?;
        at = behind_space(value, end);
        if value.get(at) == Some(&b',') {
            at = behind_space(value, at + 1);
        }
    }
    Ok(())
}

fn json_members(
    value: &[u8],
    mut read: impl FnMut(&[u8], &[u8]) -> Result<(), ValueError>,
) -> Result<(), ValueError> {
    let window = whole(value);
    let mut nesting = Vec::new();
    let mut at = behind_space(value, 1);
    while value.get(at) == Some(&b'"') {
        let name = scan::name(&window, at).map_err(unsound)?;
        let colon = behind_space(value, name.end + 1);
        let start = behind_space(value, colon + 1);
        let end = scan::value(&window, start, &mut nesting).map_err(unsound)?;
        let mut scratch = Vec::new();
        read(text::unescape(&value[name], &mut scratch)?, &value[start..end])?;
        at = behind_space(value, end);
        if value.get(at) == Some(&b',') {
            at = behind_space(value, at + 1);
        }
    }
    Ok(())
}

fn whole(bytes: &[u8]) -> Window<'_> {
    Window {
        bytes,
        last: true,
        row_bytes_max: bytes.len(),
    }
}

/// The framing has followed the value already, so this is never seen.
fn unsound(_: Stop) -> ValueError {
    wrong("a sound JSON value")
}

#[cfg(test)]
mod tests;
