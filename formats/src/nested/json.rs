//! JSON: `[1, null]`, tuples as arrays or objects, maps as objects. The framing has followed the value already.

use types::{Column, DataType};

use super::{ELEMENTS, Element, Kind, ValueReader, push_list, push_pair, push_tuple};
use crate::error::code;
use crate::framing::{Stop, Token, ValueError, Window, behind_space};
use crate::json_each_row::{scan, text};

const ARRAY: ValueError = ValueError {
    code: code::CANNOT_READ_ARRAY_FROM_TEXT,
    expected: "an array, which begins with '['",
};
const MAP: ValueError = ValueError {
    code: code::CANNOT_PARSE_INPUT,
    expected: "a map as an object, which begins with '{'",
};
const TUPLE: ValueError = ValueError {
    code: code::CANNOT_PARSE_INPUT,
    expected: "a tuple as an array, or where its elements have names as an object",
};
const TWICE: ValueError = ValueError {
    code: code::INCORRECT_DATA,
    expected: "each element of a tuple once",
};
const PLAIN_NAME: ValueError = ValueError {
    code: code::NOT_IMPLEMENTED,
    expected: "the names of a tuple's elements without escapes, which ClickHouse does not decode there",
};
const BOOL_KEY: ValueError = ValueError {
    code: code::CANNOT_PARSE_BOOL,
    expected: "no map with keys of type Bool, which ClickHouse does not read from an object's names",
};

/// Appends a JSON value.
pub(super) fn push(reader: &ValueReader, column: &mut Column, value: &[u8]) -> Result<(), ValueError> {
    match (&reader.kind, value) {
        (_, b"null") => reader.push(column, &Token::Null),
        (Kind::Unread, _) => reader.push(column, &Token::Json(value)),
        (Kind::Scalar(_), [b'"', inner @ .., b'"']) => {
            let mut scratch = Vec::new();
            reader.push(column, &Token::Text(text::unescape(inner, &mut scratch)?))
        }
        (Kind::Scalar(_), bare) => reader.push(column, &Token::Json(bare)),
        (Kind::Array(inner), [b'[', ..]) => push_list(column, |list| {
            elements(value, |_, element| push(inner, list, element))
        }),
        (Kind::Map(pair), [b'{', ..]) => push_list(column, |pairs| map(pair, pairs, value)),
        (Kind::Tuple(readers), [b'[', ..]) => push_tuple(column, |columns| tuple(readers, columns, value)),
        (Kind::Tuple(readers), [b'{', ..]) if readers.iter().all(|element| element.name.is_some()) => {
            push_tuple(column, |columns| named_tuple(readers, columns, value))
        }
        (Kind::Array(_), _) => Err(ARRAY),
        (Kind::Map(_), _) => Err(MAP),
        (Kind::Tuple(_), _) => Err(TUPLE),
    }
}

fn map(
    (key, inner): &(ValueReader, ValueReader),
    pairs: &mut Column,
    value: &[u8],
) -> Result<(), ValueError> {
    if *key.data_type.without_nullable() == DataType::Bool {
        return Err(BOOL_KEY);
    }
    members(value, |name, member| {
        let mut scratch = Vec::new();
        push_pair(pairs, |keys, values| {
            key.push(keys, &Token::Text(text::unescape(name, &mut scratch)?))?;
            push(inner, values, member)
        })
    })
}

fn tuple(readers: &[Element], columns: &mut [Column], value: &[u8]) -> Result<(), ValueError> {
    let mut count = 0;
    elements(value, |place, element| {
        count = place + 1;
        match (readers.get(place), columns.get_mut(place)) {
            (Some(known), Some(column)) => push(&known.reader, column, element),
            _ => Err(ELEMENTS),
        }
    })?;
    if count == readers.len() {
        Ok(())
    } else {
        Err(ELEMENTS)
    }
}

/// Names that the tuple does not have are passed over; elements that are not named have their type's default.
fn named_tuple(readers: &[Element], columns: &mut [Column], value: &[u8]) -> Result<(), ValueError> {
    let mut seen = vec![false; readers.len()];
    members(value, |name, member| {
        if memchr::memchr(b'\\', name).is_some() {
            return Err(PLAIN_NAME);
        }
        let is_named = |known: &Element| known.name.as_ref().is_some_and(|known| known.as_bytes() == name);
        let Some(place) = readers.iter().position(is_named) else {
            return Ok(());
        };
        if std::mem::replace(&mut seen[place], true) {
            return Err(TWICE);
        }
        push(&readers[place].reader, &mut columns[place], member)
    })?;
    for place in (0..readers.len()).filter(|place| !seen[*place]) {
        readers[place].reader.push_missing(&mut columns[place])?;
    }
    Ok(())
}

fn elements(
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

/// Walks over an object's members, their names as they are written.
fn members(
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
        read(&value[name], &value[start..end])?;
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
    ValueError {
        code: code::INCORRECT_DATA,
        expected: "a sound JSON value",
    }
}
