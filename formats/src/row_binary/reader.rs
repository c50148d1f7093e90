//! Walks over RowBinary's values without looking into them.

use std::ops::Range;

use super::shape::{Reading, Shape};
use super::type_code;
use crate::cursor::Cursor;
use crate::error::code;
use crate::framing::{Stop, Window};

/// How deep values may lie inside each other: a type's own depth is limited, but a Dynamic's value brings its type
/// along.
const DEPTH_MAX: usize = 100;

/// The position in one row, or in the header.
pub(super) struct Reader<'a, 'w> {
    pub cursor: Cursor<'a, 'w>,
    depth: usize,
}

impl<'a, 'w> Reader<'a, 'w> {
    pub(super) fn new(window: &'a Window<'w>, at: usize) -> Self {
        Self {
            cursor: Cursor::new(window, at),
            depth: 0,
        }
    }

    /// Passes one value and says where it lies.
    pub(super) fn value(&mut self, shape: &Shape) -> Result<Range<usize>, Stop> {
        let start = self.cursor.at;
        match shape {
            Shape::Fixed(len) => self.cursor.skip(*len as u64).map(|_| ())?,
            Shape::Text => self.text().map(|_| ())?,
            Shape::Nullable(inner) => self.nullable(inner)?,
            Shape::Array(inner) => self.array(inner)?,
            Shape::Tuple(elements) => {
                for element in elements {
                    self.value(element)?;
                }
            }
            Shape::Variant(types) => self.variant(types)?,
            Shape::Dynamic => self.deeper(Self::dynamic)?,
            Shape::Json(typed) => self.deeper(|reader| reader.json(typed))?,
        }
        Ok(start..self.cursor.at)
    }

    /// Passes a length and its bytes, and says where these lie.
    pub(super) fn text(&mut self) -> Result<Range<usize>, Stop> {
        self.cursor.text()
    }

    pub(super) fn varint(&mut self) -> Result<u64, Stop> {
        self.cursor.varint()
    }

    fn nullable(&mut self, inner: &Shape) -> Result<(), Stop> {
        match self.cursor.byte()? {
            0 => self.value(inner).map(drop),
            1 => Ok(()),
            _ => Err(Stop::fault(
                code::INCORRECT_DATA,
                self.cursor.at - 1,
                "a Nullable value begins with byte 0 or 1",
            )),
        }
    }

    fn array(&mut self, inner: &Shape) -> Result<(), Stop> {
        let count = self.varint()?;
        if let Shape::Fixed(len) = inner {
            return self.cursor.skip(count.saturating_mul(*len as u64)).map(drop);
        }
        for _ in 0..count {
            // Every value has a byte at least, so the window's end comes before any count's.
            self.value(inner)?;
        }
        Ok(())
    }

    fn variant(&mut self, types: &[Shape]) -> Result<(), Stop> {
        const NULL: u8 = 255;
        let number = self.cursor.byte()?;
        match types.get(usize::from(number)) {
            Some(shape) => self.value(shape).map(drop),
            None if number == NULL => Ok(()),
            None => Err(Stop::fault(
                code::INCORRECT_DATA,
                self.cursor.at - 1,
                "expected the number of one of the Variant's types, or 255",
            )),
        }
    }

    fn dynamic(&mut self) -> Result<(), Stop> {
        // What a JSON inside a Dynamic is written as, the setting does not say.
        match type_code::shape(self, Reading::default())? {
            Some(shape) => self.value(&shape).map(drop),
            None => Ok(()),
        }
    }

    fn json(&mut self, typed: &[(String, Shape)]) -> Result<(), Stop> {
        let paths = self.varint()?;
        for _ in 0..paths {
            let path = self.text()?;
            let path = &self.cursor.window.bytes[path];
            let shape = typed.iter().find(|(name, _)| name.as_bytes() == path);
            match shape {
                Some((_, shape)) => self.value(shape).map(|_| ())?,
                None => self.dynamic()?,
            }
        }
        Ok(())
    }

    /// Goes one level down where the data, not the type, decide how deep it goes.
    pub(super) fn deeper<T>(&mut self, pass: impl FnOnce(&mut Self) -> Result<T, Stop>) -> Result<T, Stop> {
        if self.depth == DEPTH_MAX {
            return Err(Stop::fault(
                code::INCORRECT_DATA,
                self.cursor.at,
                format!("values lie more than {DEPTH_MAX} deep inside each other"),
            ));
        }
        self.depth += 1;
        let passed = pass(self);
        self.depth -= 1;
        passed
    }
}
