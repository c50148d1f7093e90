//! Values with others inside them: [`ValueReader`] reads a value of any type into a column, in the notation of whatever
//! format it stands in. The sharding key and the checks of values read by it.
//!
//! Recursion is as deep as the type, never as deep as a value, and no length that a value announces reserves memory.

mod binary;
mod fields;
mod json;
mod quoted;

use types::{Column, Data, DataType};

use crate::bson_each_row;
use crate::error::{FormatError, code};
use crate::framing::{Token, ValueError};
use crate::key::{Reading, reading_of};
use crate::msg_pack;
use crate::stream::Spec;
use crate::value::{self, MISFIT};
use crate::values;

/// What values of one type are read by.
pub(crate) struct ValueReader {
    pub data_type: DataType,
    pub kind: Kind,
    /// Whether NULL stands for the default where the type takes none.
    null_as_default: bool,
}

/// What a value is made of.
pub(crate) enum Kind {
    Scalar(Reading),
    Array(Box<ValueReader>),
    /// The keys' reader and the values'.
    Map(Box<(ValueReader, ValueReader)>),
    Tuple(Vec<Element>),
    /// A type whose values are not read here: anything goes. No key has such a type.
    Unread,
}

/// An element of a Tuple.
pub(crate) struct Element {
    pub name: Option<String>,
    pub reader: ValueReader,
}

/// NULL where `input_format_null_as_default = 0`.
pub(crate) const NULL: ValueError = ValueError {
    code: code::INCORRECT_DATA,
    expected: "a value, because input_format_null_as_default is off",
};

/// ClickHouse puts the number 0 there, whatever the elements' are.
const NULL_OF_ENUM: ValueError = ValueError {
    code: code::INCORRECT_DATA,
    expected: "a value for each Enum inside, because none of its elements stands for NULL",
};

pub(crate) use fields::leaves;

pub(crate) const ELEMENTS: ValueError = ValueError {
    code: code::CANNOT_PARSE_INPUT,
    expected: "as many elements as the tuple has",
};

/// Whether values of this type are made of others.
pub(crate) fn is_nested(data_type: &DataType) -> bool {
    matches!(
        data_type.without_nullable(),
        DataType::Array(_) | DataType::Map(..) | DataType::Tuple(_)
    )
}

impl ValueReader {
    pub(crate) fn new(data_type: &DataType, spec: &Spec<'_>) -> Result<Self, FormatError> {
        Ok(Self {
            data_type: data_type.clone(),
            kind: Kind::of(data_type.without_nullable(), spec)?,
            null_as_default: spec.settings.null_as_default,
        })
    }

    /// Appends the token's value. After an error the column may hold part of it.
    pub(crate) fn push(&self, column: &mut Column, token: &Token<'_>) -> Result<(), ValueError> {
        match (&self.kind, token) {
            (Kind::Unread, _) => {
                column.push_default(&self.data_type);
                Ok(())
            }
            (_, Token::Null) => self.push_null(column),
            (Kind::Scalar(reading), token) => {
                value::push(
                    &mut column.data,
                    self.data_type.without_nullable(),
                    reading,
                    token,
                )?;
                note_value(column);
                Ok(())
            }
            (_, Token::Text(text)) => quoted::push(self, column, text).map_err(no_literal),
            (_, Token::Sql(text)) => quoted::push(self, column, text.trim_ascii()),
            (_, Token::Json(text)) => json::push(self, column, text),
            (_, Token::Fields(fields)) => fields::push(self, column, fields),
            (_, Token::Binary(bytes)) => binary::push(self, column, bytes),
            (_, Token::MsgPack(bytes)) => msg_pack::push(self, column, bytes),
            (_, Token::Bson(kind, bytes)) => bson_each_row::push(self, column, *kind, bytes),
            (_, Token::Absent) => Err(MISFIT),
        }
    }

    /// Appends NULL, or the default that stands for it.
    pub(crate) fn push_null(&self, column: &mut Column) -> Result<(), ValueError> {
        if column.nulls.is_none() && !self.null_as_default {
            return Err(NULL);
        }
        self.push_missing(column)
    }

    /// Appends what stands for a value that is not there.
    pub(crate) fn push_missing(&self, column: &mut Column) -> Result<(), ValueError> {
        if !self.has_zero_default() {
            return Err(NULL_OF_ENUM);
        }
        column.push_default(&self.data_type);
        Ok(())
    }

    /// Whether all numbers in the type's default are 0. What ClickHouse puts in the place of a NULL inside a value is so.
    fn has_zero_default(&self) -> bool {
        match (&self.kind, self.data_type.without_nullable()) {
            _ if self.data_type.is_nullable() => true,
            (_, DataType::Enum8(elements) | DataType::Enum16(elements)) => {
                elements.iter().map(|(_, number)| *number).min() == Some(0)
            }
            (Kind::Tuple(elements), _) => elements.iter().all(|element| element.reader.has_zero_default()),
            _ => true,
        }
    }

    /// Whether each value of the type is read, down to the last element.
    fn is_wholly_read(&self) -> bool {
        match &self.kind {
            Kind::Scalar(_) => true,
            Kind::Array(inner) => inner.is_wholly_read(),
            Kind::Map(pair) => pair.0.is_wholly_read() && pair.1.is_wholly_read(),
            Kind::Tuple(elements) => elements.iter().all(|element| element.reader.is_wholly_read()),
            Kind::Unread => false,
        }
    }
}

impl Kind {
    fn of(data_type: &DataType, spec: &Spec<'_>) -> Result<Self, FormatError> {
        let reader = |inner: &DataType| ValueReader::new(inner, spec);
        Ok(match data_type {
            DataType::Array(inner) => Self::Array(Box::new(reader(inner)?)),
            DataType::Map(key, value) => Self::Map(Box::new((reader(key)?, reader(value)?))),
            DataType::Tuple(elements) if !elements.is_empty() => Self::Tuple(
                elements
                    .iter()
                    .map(|(name, element)| {
                        Ok(Element {
                            name: name.clone(),
                            reader: reader(element)?,
                        })
                    })
                    .collect::<Result<_, FormatError>>()?,
            ),
            data_type if value::can_read(data_type) => Self::Scalar(reading_of(data_type, spec)?),
            _ => Self::Unread,
        })
    }
}

/// Appends a list, whose elements `fill` appends to the column it is given.
pub(crate) fn push_list<R>(
    column: &mut Column,
    fill: impl FnOnce(&mut Column) -> Result<R, ValueError>,
) -> Result<R, ValueError> {
    let Data::Array(lists) = &mut column.data else {
        return Err(MISFIT);
    };
    let filled = fill(&mut lists.values)?;
    lists.ends.push(lists.values.len());
    note_value(column);
    Ok(filled)
}

/// Appends a tuple; `fill` appends an element to each of the columns it is given.
pub(crate) fn push_tuple<R>(
    column: &mut Column,
    fill: impl FnOnce(&mut [Column]) -> Result<R, ValueError>,
) -> Result<R, ValueError> {
    let Data::Tuple(tuples) = &mut column.data else {
        return Err(MISFIT);
    };
    let filled = fill(&mut tuples.columns)?;
    tuples.rows += 1;
    note_value(column);
    Ok(filled)
}

/// Appends a key and its value to the pairs of a Map.
pub(crate) fn push_pair<R>(
    pairs: &mut Column,
    fill: impl FnOnce(&mut Column, &mut Column) -> Result<R, ValueError>,
) -> Result<R, ValueError> {
    push_tuple(pairs, |columns| match columns {
        [keys, values] => fill(keys, values),
        _ => Err(MISFIT),
    })
}

/// Notes that the value just appended is not NULL.
pub(crate) fn note_value(column: &mut Column) {
    if let Some(nulls) = &mut column.nulls {
        nulls.push(false);
    }
}

/// Where no expression can stand.
fn no_literal(error: ValueError) -> ValueError {
    if error != values::LITERAL {
        return error;
    }
    ValueError {
        code: code::CANNOT_READ_ARRAY_FROM_TEXT,
        expected: "values in the notation of their types: numbers bare, texts in single quotes",
    }
}

#[cfg(test)]
mod tests;
