//! RowBinary: values end to end, no separators; rows are found by the types alone.

use std::ops::Range;

use types::{ColumnDef, DataType};

use crate::error::{FormatError, code};
use crate::framing::{Framing, KeyFields, Step, Stop, Token, ValueError, Window, byte};
use crate::settings::Family;
use crate::stream::{Input, too_long};

const REST: &str = "the rest of the row";
/// A LEB128 number of 64 bits has at most ten bytes.
const VARINT_BYTES_MAX: usize = 10;

pub(crate) fn open(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    input.settings.allow(Family::Any)?;
    let fields = input
        .columns
        .iter()
        .map(|column| Field::new(column, input.key))
        .collect::<Result<_, _>>()?;
    Ok(Box::new(RowBinary {
        fields: joined(fields),
        columns: input.columns.clone(),
    }))
}

struct RowBinary {
    fields: Vec<Field>,
    columns: Vec<ColumnDef>,
}

/// A column, or several of fixed length that the key does not read.
struct Field {
    shape: Shape,
    key: Option<usize>,
}

/// How far a value reaches. None is empty, so that a count can never be walked without bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Shape {
    Fixed(usize),
    /// A length and that many bytes.
    Text,
    /// A byte 1 for NULL, or 0 and the value.
    Nullable(Box<Shape>),
    /// A count and that many values.
    Array(Box<Shape>),
    Tuple(Vec<Shape>),
}

impl Framing for RowBinary {
    fn step(&mut self, window: &Window<'_>, at: usize, key: &mut KeyFields) -> Result<Step, Stop> {
        if at == window.bytes.len() {
            return Ok(Step::End);
        }
        let mut reader = Reader { window, row: at, at };
        for field in &self.fields {
            let value = reader.value(&field.shape)?;
            if let Some(index) = field.key {
                key[index] = Some(value);
            }
        }
        Ok(Step::Row {
            row: at..reader.at,
            next: reader.at,
        })
    }

    fn token<'a>(&self, index: usize, field: &'a [u8], _: &'a mut Vec<u8>) -> Result<Token<'a>, ValueError> {
        let broken = ValueError {
            code: code::INCORRECT_DATA,
            expected: "a value",
        };
        let shape = self
            .fields
            .iter()
            .find(|of| of.key == Some(index))
            .map(|of| &of.shape)
            .ok_or(broken)?;
        match (shape, field) {
            (Shape::Nullable(_), [1]) => Ok(Token::Null),
            (Shape::Nullable(inner), [_, value @ ..]) => Ok(plain(inner, value)),
            (shape, value) => Ok(plain(shape, value)),
        }
    }

    fn columns(&self) -> &[ColumnDef] {
        &self.columns
    }
}

/// A value that is there, a string without its length.
fn plain<'a>(shape: &Shape, value: &'a [u8]) -> Token<'a> {
    let text = match shape {
        Shape::Text => value
            .iter()
            .position(|byte| byte & 0x80 == 0)
            .map_or(value, |end| &value[end + 1..]),
        _ => value,
    };
    Token::Binary(text)
}

/// Walks over one row's values.
struct Reader<'a, 'w> {
    window: &'a Window<'w>,
    row: usize,
    at: usize,
}

impl Reader<'_, '_> {
    /// Passes one value and says where it lies.
    fn value(&mut self, shape: &Shape) -> Result<Range<usize>, Stop> {
        let start = self.at;
        match shape {
            Shape::Fixed(len) => self.skip(*len as u64)?,
            Shape::Text => {
                let len = self.varint()?;
                self.skip(len)?;
            }
            Shape::Nullable(inner) => self.nullable(inner)?,
            Shape::Array(inner) => self.array(inner)?,
            Shape::Tuple(elements) => {
                for element in elements {
                    self.value(element)?;
                }
            }
        }
        Ok(start..self.at)
    }

    fn nullable(&mut self, inner: &Shape) -> Result<(), Stop> {
        let flag = byte(self.window, self.at, REST)?;
        self.at += 1;
        match flag {
            0 => self.value(inner).map(drop),
            1 => Ok(()),
            _ => Err(Stop::fault(
                code::INCORRECT_DATA,
                self.at - 1,
                "a Nullable value begins with byte 0 or 1",
            )),
        }
    }

    fn array(&mut self, inner: &Shape) -> Result<(), Stop> {
        let count = self.varint()?;
        if let Shape::Fixed(len) = inner {
            return self.skip(count.saturating_mul(*len as u64));
        }
        for _ in 0..count {
            // Every value has a byte at least, so the window's end comes before any count's.
            self.value(inner)?;
        }
        Ok(())
    }

    /// Passes `len` bytes, which may be a lie: a row above the limit is refused before its bytes are there.
    fn skip(&mut self, len: u64) -> Result<(), Stop> {
        let before = (self.at - self.row) as u64;
        if before.saturating_add(len) > self.window.row_bytes_max as u64 {
            return Err(Stop::Fault(too_long(self.row, self.window.row_bytes_max)));
        }
        // At most row_bytes_max, so it fits.
        let end = self.at + len as usize;
        if end > self.window.bytes.len() {
            return Err(Stop::More { expected: REST });
        }
        self.at = end;
        Ok(())
    }

    fn varint(&mut self) -> Result<u64, Stop> {
        let start = self.at;
        let mut value = 0_u64;
        for index in 0..VARINT_BYTES_MAX {
            let byte = byte(self.window, self.at, REST)?;
            self.at += 1;
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Stop::fault(
            code::INCORRECT_DATA,
            start,
            "expected a length of at most ten bytes",
        ))
    }
}

impl Field {
    fn new(column: &ColumnDef, key: &[ColumnDef]) -> Result<Self, FormatError> {
        let shape = Shape::of(&column.data_type).ok_or_else(|| {
            let message = format!(
                "column {} of type {} cannot be passed over in RowBinary; leave it out or use another format",
                column.name, column.data_type
            );
            FormatError::plain(code::NOT_IMPLEMENTED, message)
        })?;
        Ok(Self {
            shape,
            key: key.iter().position(|key| key.name == column.name),
        })
    }
}

/// Joins neighbours of fixed length that the key does not read.
fn joined(fields: Vec<Field>) -> Vec<Field> {
    let mut joined: Vec<Field> = Vec::with_capacity(fields.len());
    for field in fields {
        match (joined.last_mut(), &field) {
            (
                Some(Field {
                    shape: Shape::Fixed(sum),
                    key: None,
                }),
                Field {
                    shape: Shape::Fixed(len),
                    key: None,
                },
            ) => {
                *sum += len;
            }
            _ => joined.push(field),
        }
    }
    joined
}

impl Shape {
    /// The shape of a type's values; none where it does not follow from the type, or a value is empty.
    fn of(data_type: &DataType) -> Option<Self> {
        use DataType as T;
        Some(match data_type {
            T::UInt8 | T::Int8 | T::Bool | T::Enum8(_) => Self::Fixed(1),
            T::UInt16 | T::Int16 | T::Date | T::Enum16(_) | T::BFloat16 => Self::Fixed(2),
            T::UInt32 | T::Int32 | T::Float32 | T::Date32 | T::DateTime(_) | T::IPv4 => Self::Fixed(4),
            T::UInt64 | T::Int64 | T::Float64 | T::DateTime64(..) => Self::Fixed(8),
            T::UInt128 | T::Int128 | T::Uuid | T::IPv6 => Self::Fixed(16),
            T::UInt256 | T::Int256 => Self::Fixed(32),
            T::Decimal { precision: 1..=9, .. } => Self::Fixed(4),
            T::Decimal {
                precision: 10..=18, ..
            } => Self::Fixed(8),
            T::Decimal {
                precision: 19..=38, ..
            } => Self::Fixed(16),
            T::Decimal { .. } => Self::Fixed(32),
            T::FixedString(0) | T::Nothing => return None,
            T::FixedString(len) => Self::Fixed(*len),
            T::String => Self::Text,
            T::Nullable(inner) => Self::Nullable(Box::new(Self::of(inner)?)),
            T::LowCardinality(inner) => Self::of(inner)?,
            T::Array(inner) => Self::Array(Box::new(Self::of(inner)?)),
            T::Map(key, value) => Self::Array(Box::new(Self::tuple([key.as_ref(), value.as_ref()])?)),
            T::Tuple(elements) => Self::tuple(elements.iter().map(|(_, element)| element))?,
            T::Other(name) => Self::of_name(name)?,
        })
    }

    fn tuple<'t>(elements: impl IntoIterator<Item = &'t DataType>) -> Option<Self> {
        let elements: Vec<Self> = elements.into_iter().map(Self::of).collect::<Option<_>>()?;
        if elements.is_empty() {
            return None;
        }
        let fixed = elements.iter().try_fold(0_usize, |sum, element| match element {
            Self::Fixed(len) => sum.checked_add(*len),
            _ => None,
        });
        Some(fixed.map_or(Self::Tuple(elements), Self::Fixed))
    }

    /// Types that `types` knows only by text but whose values are those of another type.
    fn of_name(name: &str) -> Option<Self> {
        let array = |inner: &str| Some(Self::Array(Box::new(Self::of_name(inner)?)));
        match name {
            "Point" => Some(Self::Fixed(16)),
            "Ring" | "LineString" => array("Point"),
            "Polygon" | "MultiLineString" => array("Ring"),
            "MultiPolygon" => array("Polygon"),
            interval if interval.starts_with("Interval") => Some(Self::Fixed(8)),
            name => {
                let inner = name.strip_prefix("SimpleAggregateFunction(")?.strip_suffix(')')?;
                let (_, inner) = inner.split_once(',')?;
                Self::of(&DataType::parse(inner).ok()?)
            }
        }
    }
}

#[cfg(test)]
mod tests;
