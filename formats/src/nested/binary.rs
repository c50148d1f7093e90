//! RowBinary: a count in front of a list, a flag in front of what may be NULL, everything else by its type alone.

use types::{Column, DataType};

use super::{Kind, ValueReader, note_value, push_list, push_pair, push_tuple};
use crate::cursor::Cursor;
use crate::error::code;
use crate::framing::{Stop, ValueError, Window};
use crate::native;
use crate::value;

/// Appends the value that the bytes are. One with parts that are not read here was followed by the framing.
pub(super) fn push(reader: &ValueReader, column: &mut Column, bytes: &[u8]) -> Result<(), ValueError> {
    if !reader.is_wholly_read() {
        column.push_default(&reader.data_type);
        return Ok(());
    }
    let window = Window {
        bytes,
        last: true,
        row_bytes_max: bytes.len(),
    };
    // The flag of the value itself is not among its bytes.
    plain(reader, column, &mut Cursor::new(&window, 0))
}

fn value(reader: &ValueReader, column: &mut Column, cursor: &mut Cursor<'_, '_>) -> Result<(), ValueError> {
    if reader.data_type.is_nullable() && cursor.byte().map_err(cut)? != 0 {
        return reader.push_null(column);
    }
    plain(reader, column, cursor)
}

fn plain(reader: &ValueReader, column: &mut Column, cursor: &mut Cursor<'_, '_>) -> Result<(), ValueError> {
    match &reader.kind {
        Kind::Scalar(_) | Kind::Unread => scalar(reader, column, cursor),
        Kind::Array(inner) => push_list(column, |list| {
            for _ in 0..cursor.varint().map_err(cut)? {
                value(inner, list, cursor)?;
            }
            Ok(())
        }),
        Kind::Map(pair) => push_list(column, |pairs| {
            for _ in 0..cursor.varint().map_err(cut)? {
                push_pair(pairs, |keys, values| {
                    value(&pair.0, keys, cursor)?;
                    value(&pair.1, values, cursor)
                })?;
            }
            Ok(())
        }),
        Kind::Tuple(elements) => push_tuple(column, |columns| {
            for (element, column) in elements.iter().zip(columns) {
                value(&element.reader, column, cursor)?;
            }
            Ok(())
        }),
    }
}

fn scalar(reader: &ValueReader, column: &mut Column, cursor: &mut Cursor<'_, '_>) -> Result<(), ValueError> {
    let data_type = reader.data_type.without_nullable();
    let range = match data_type {
        DataType::String => cursor.text(),
        DataType::FixedString(width) => cursor.skip(*width as u64),
        data_type => cursor.skip(native::fixed_width(data_type).ok_or(value::MISFIT)? as u64),
    };
    let bytes = &cursor.window.bytes[range.map_err(cut)?];
    value::push_binary(&mut column.data, data_type, bytes)?;
    note_value(column);
    Ok(())
}

fn cut(_: Stop) -> ValueError {
    ValueError {
        code: code::CANNOT_READ_ALL_DATA,
        expected: "as many bytes as the value's counts and lengths say",
    }
}
