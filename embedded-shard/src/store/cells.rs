//! How values rest in SQLite's columns: INTEGER where the number fits 64 bits signed, REAL for floats but NaN
//! (which
//! SQLite would make NULL), strings as BLOB, and all else as the BLOB of its RowBinary bytes. Nothing is
//! rounded.

use rusqlite::types::{Value as Cell, ValueRef};
use types::DataType;

use crate::binary;
use crate::cursor::Cursor;
use crate::error::{Outcome, code};
use crate::value::{Shape, Value};

/// The SQLite value of a cell.
pub(super) fn to_cell(data_type: &DataType, value: &Value) -> Outcome<Cell> {
    let plain = data_type.without_nullable();
    Ok(match value {
        Value::Null => Cell::Null,
        Value::Int(number) => match i64::try_from(*number) {
            Ok(number) => Cell::Integer(number),
            Err(_) => blob(plain, value)?,
        },
        Value::Float(number) if !number.is_nan() => Cell::Real(*number),
        Value::Bytes(bytes) if is_raw(plain)? => Cell::Blob(bytes.clone()),
        Value::Float(_) | Value::Bytes(_) | Value::Wide(_) | Value::List(_) => blob(plain, value)?,
    })
}

/// The value of a SQLite cell; a cell that cannot be one is a damaged store.
pub(super) fn from_cell(data_type: &DataType, cell: ValueRef<'_>) -> Outcome<Value> {
    let plain = data_type.without_nullable();
    match cell {
        ValueRef::Null => Ok(Value::Null),
        ValueRef::Integer(number) => Ok(Value::Int(number.into())),
        ValueRef::Real(number) => Ok(Value::Float(number)),
        ValueRef::Blob(bytes) if is_raw(plain)? => Ok(Value::Bytes(bytes.to_vec())),
        ValueRef::Blob(bytes) => binary::read(plain, &mut Cursor::new(bytes)),
        ValueRef::Text(_) => {
            code::INCORRECT_DATA.refuse("the embedded shard's store is damaged: TEXT in a table of rows")
        }
    }
}

fn blob(data_type: &DataType, value: &Value) -> Outcome<Cell> {
    let mut bytes = Vec::new();
    binary::write(data_type, value, &mut bytes)?;
    Ok(Cell::Blob(bytes))
}

fn is_raw(data_type: &DataType) -> Outcome<bool> {
    Ok(matches!(Shape::of(data_type)?, Shape::Text | Shape::Fixed(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Reading;
    use crate::text::from_text;

    #[track_caller]
    fn check(data_type: &str, text: &str) {
        let data_type = DataType::parse(data_type).unwrap();
        let value = from_text(&data_type, text.as_bytes(), Reading::default()).unwrap();
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        connection.execute("CREATE TABLE t (c)", []).unwrap();
        connection
            .execute(
                "INSERT INTO t VALUES (?1)",
                [to_cell(&data_type, &value).unwrap()],
            )
            .unwrap();
        let read: Outcome<Value> = connection
            .query_row("SELECT c FROM t", [], |row| {
                Ok(from_cell(&data_type, row.get_ref(0)?))
            })
            .unwrap();
        // Through text, because NaN is not equal to itself and 0 is equal to -0.
        let show = |value: &Value| format!("{value:?}");
        assert_eq!(show(&read.unwrap()), show(&value));
    }

    #[test]
    fn every_value_comes_back_from_sqlite_as_it_went_in() {
        check("UInt64", "18446744073709551615");
        check("UInt64", "9223372036854775807");
        check("Int64", "-9223372036854775808");
        check("UInt128", "5");
        check(
            "Int256",
            "-57896044618658097711785492504343953926634992332820282019728792003956564819968",
        );
        check("Decimal(38, 10)", "-1234567890123456789012345678.0123456789");
        check("Float64", "nan");
        check("Float64", "-inf");
        check("Float64", "-0");
        check("Float64", "3");
        check("String", "a\0b");
        check("String", "");
        check("UUID", "048ad00d-67fd-4e74-e7c7-c9b5caedd3fb");
        check("IPv6", "::1");
        check("Array(Nullable(String))", "[NULL,'x']");
        check("Map(String, UInt64)", "{'k':18446744073709551615}");
        check("LowCardinality(Nullable(String))", "x");
    }
}
