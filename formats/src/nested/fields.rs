//! CSV's fields, of which a Tuple takes one for each element, and for each element of a Tuple inside it.

use types::{Column, DataType};

use super::{ELEMENTS, Kind, ValueReader, push_tuple};
use crate::error::code;
use crate::framing::{Leaf, Token, ValueError};

/// ClickHouse takes nothing in the first place for the default of the whole tuple, in later ones for an error or an empty
/// text.
const NOTHING: ValueError = ValueError {
    code: code::ATTEMPT_TO_READ_AFTER_EOF,
    expected: "a value in each of the tuple's fields",
};

/// ClickHouse takes it for the whole inner tuple, and the next field for what stands behind that.
const NULL_FIRST: ValueError = ValueError {
    code: code::INCORRECT_DATA,
    expected: "no NULL where a tuple inside of another begins",
};

/// The types whose values stand in the fields of a column: those of a Tuple's elements, or its own.
pub(crate) fn leaves(data_type: &DataType) -> Vec<&DataType> {
    match data_type {
        DataType::Tuple(elements) if !elements.is_empty() => {
            elements.iter().flat_map(|(_, element)| leaves(element)).collect()
        }
        data_type => vec![data_type],
    }
}

/// Appends the tuple whose elements are in these fields.
pub(super) fn push(reader: &ValueReader, column: &mut Column, fields: &[Leaf]) -> Result<(), ValueError> {
    if matches!(fields.first(), Some(Leaf::Absent)) {
        return Err(NOTHING);
    }
    let mut rest = fields;
    element(reader, column, &mut rest)?;
    if rest.is_empty() { Ok(()) } else { Err(ELEMENTS) }
}

fn element(reader: &ValueReader, column: &mut Column, rest: &mut &[Leaf]) -> Result<(), ValueError> {
    if let (Kind::Tuple(elements), DataType::Tuple(_)) = (&reader.kind, &reader.data_type) {
        return push_tuple(column, |columns| {
            for (inner, column) in elements.iter().zip(columns) {
                let is_tuple = matches!(inner.reader.data_type, DataType::Tuple(_));
                if is_tuple && matches!(rest.first(), Some(Leaf::Null)) {
                    return Err(NULL_FIRST);
                }
                element(&inner.reader, column, rest)?;
            }
            Ok(())
        });
    }
    let (field, behind) = rest.split_first().ok_or(ELEMENTS)?;
    *rest = behind;
    let is_text = matches!(
        reader.data_type.without_nullable(),
        DataType::String | DataType::FixedString(_)
    );
    match field {
        Leaf::Null => reader.push(column, &Token::Null),
        Leaf::Absent if is_text => reader.push(column, &Token::Text(b"")),
        Leaf::Absent => Err(NOTHING),
        Leaf::Text(text) => reader.push(column, &Token::Text(text)),
    }
}
