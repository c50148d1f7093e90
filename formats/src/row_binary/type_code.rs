//! Types in ClickHouse's binary encoding, as they stand in front of a Dynamic's values.
//!
//! The numbers are those of ClickHouse's "Data types binary encoding specification".

use types::DataType;

use super::reader::Reader;
use super::shape::{Reading, Shape};
use crate::error::code;
use crate::framing::Stop;

/// Reads a type and answers the shape of its values; none for Nothing, whose value has no bytes.
pub(super) fn shape(reader: &mut Reader<'_, '_>, reading: Reading) -> Result<Option<Shape>, Stop> {
    let at = reader.cursor.at;
    Ok(Some(match reader.cursor.byte()? {
        0x00 => return Ok(None),
        0x01 | 0x07 | 0x2d => Shape::Fixed(1),
        0x02 | 0x08 | 0x0f | 0x31 => Shape::Fixed(2),
        0x03 | 0x09 | 0x0d | 0x10 | 0x11 | 0x28 | 0x32 => Shape::Fixed(4),
        0x04 | 0x0a | 0x0e => Shape::Fixed(8),
        0x05 | 0x0b | 0x1d | 0x29 => Shape::Fixed(16),
        0x06 | 0x0c => Shape::Fixed(32),
        0x12 => with_text(reader, Shape::Fixed(4))?,
        0x13 | 0x22 | 0x34 => with_bytes(reader, 1, Shape::Fixed(8))?,
        0x14 => {
            reader.cursor.skip(1)?;
            with_text(reader, Shape::Fixed(8))?
        }
        0x15 => Shape::Text,
        0x16 => fixed_string(reader, at)?,
        0x17 => enumeration(reader, 1)?,
        0x18 => enumeration(reader, 2)?,
        0x19 => with_bytes(reader, 2, Shape::Fixed(4))?,
        0x1a => with_bytes(reader, 2, Shape::Fixed(8))?,
        0x1b => with_bytes(reader, 2, Shape::Fixed(16))?,
        0x1c => with_bytes(reader, 2, Shape::Fixed(32))?,
        0x1e => Shape::Array(Box::new(nested(reader, reading, at)?)),
        0x1f => tuple(reader, reading, at, false)?,
        0x20 => tuple(reader, reading, at, true)?,
        0x23 => Shape::Nullable(Box::new(nested(reader, reading, at)?)),
        0x26 => nested(reader, reading, at)?,
        0x27 => {
            let key = nested(reader, reading, at)?;
            let value = nested(reader, reading, at)?;
            Shape::Array(Box::new(Shape::tuple([key, value]).ok_or_else(|| unknown(at))?))
        }
        0x2a => variant(reader, reading, at)?,
        0x2b => with_bytes(reader, 1, Shape::Dynamic)?,
        0x2c => named(reader, reading, at)?,
        0x30 => json(reader, reading, at)?,
        _ => return Err(unknown(at)),
    }))
}

fn unknown(at: usize) -> Stop {
    Stop::fault(
        code::NOT_IMPLEMENTED,
        at,
        "a Dynamic holds a type whose values this router cannot pass over in RowBinary",
    )
}

fn with_bytes(reader: &mut Reader<'_, '_>, len: u64, shape: Shape) -> Result<Shape, Stop> {
    reader.cursor.skip(len)?;
    Ok(shape)
}

fn with_text(reader: &mut Reader<'_, '_>, shape: Shape) -> Result<Shape, Stop> {
    reader.text()?;
    Ok(shape)
}

/// A type inside another; one whose values have no bytes cannot be counted.
fn nested(reader: &mut Reader<'_, '_>, reading: Reading, at: usize) -> Result<Shape, Stop> {
    let inner = reader.deeper(|reader| shape(reader, reading))?;
    inner.ok_or_else(|| unknown(at))
}

fn fixed_string(reader: &mut Reader<'_, '_>, at: usize) -> Result<Shape, Stop> {
    let len = reader.varint()?;
    match usize::try_from(len) {
        Ok(len) if len > 0 => Ok(Shape::Fixed(len)),
        _ => Err(unknown(at)),
    }
}

fn enumeration(reader: &mut Reader<'_, '_>, value_bytes: usize) -> Result<Shape, Stop> {
    for _ in 0..reader.varint()? {
        reader.text()?;
        reader.cursor.skip(value_bytes as u64)?;
    }
    Ok(Shape::Fixed(value_bytes))
}

fn tuple(reader: &mut Reader<'_, '_>, reading: Reading, at: usize, named: bool) -> Result<Shape, Stop> {
    let mut elements = Vec::new();
    for _ in 0..reader.varint()? {
        if named {
            reader.text()?;
        }
        elements.push(nested(reader, reading, at)?);
    }
    Shape::tuple(elements).ok_or_else(|| unknown(at))
}

fn variant(reader: &mut Reader<'_, '_>, reading: Reading, at: usize) -> Result<Shape, Stop> {
    let mut types = Vec::new();
    for _ in 0..reader.varint()? {
        types.push(nested(reader, reading, at)?);
    }
    Ok(Shape::Variant(types))
}

/// A type known by its name alone: Point, Ring …
fn named(reader: &mut Reader<'_, '_>, reading: Reading, at: usize) -> Result<Shape, Stop> {
    let name = reader.text()?;
    let name = std::str::from_utf8(&reader.cursor.window.bytes[name]).ok();
    let data_type = name.and_then(|name| DataType::parse(name).ok());
    data_type
        .and_then(|data_type| Shape::of(&data_type, reading))
        .ok_or_else(|| unknown(at))
}

/// JSON: a version, two limits, the typed paths, the paths and the patterns that are skipped.
fn json(reader: &mut Reader<'_, '_>, reading: Reading, at: usize) -> Result<Shape, Stop> {
    reader.cursor.skip(1)?;
    reader.varint()?;
    reader.cursor.skip(1)?;
    let mut typed = Vec::new();
    for _ in 0..reader.varint()? {
        let path = reader.text()?;
        let path = String::from_utf8_lossy(&reader.cursor.window.bytes[path]).into_owned();
        typed.push((path, nested(reader, reading, at)?));
    }
    for _ in 0..2 {
        for _ in 0..reader.varint()? {
            reader.text()?;
        }
    }
    Ok(Shape::Json(typed))
}
