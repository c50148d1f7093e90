//! A value's clothes in each payload format.

use types::DataType;

use super::Fill;
use super::binary::{self, Value};
use super::text::Notation;
use crate::delimited::{Nature, nature};
use crate::escape;
use crate::format::Payload;
use crate::nested::is_nested;
use crate::settings::Settings;

/// How a payload format writes a value.
#[derive(Debug)]
pub(super) struct Syntax {
    pub payload: Payload,
    /// Between CSV's fields.
    delimiter: u8,
    /// Whether a Tuple takes a field of CSV for each element.
    tuples_as_fields: bool,
    /// Whether CSV's texts may stand in double quotes.
    double_quotes: bool,
    /// NULL by itself.
    null: Vec<u8>,
}

impl Syntax {
    /// Values of this payload format, as shards read it by these settings.
    pub(super) fn new(payload: Payload, settings: &Settings) -> Self {
        let null: &[u8] = match payload {
            Payload::JsonEachRow | Payload::JsonCompactEachRow => b"null",
            Payload::JsonStringsEachRow | Payload::JsonCompactStringsEachRow => b"\"NULL\"",
            Payload::Values => b"NULL",
            Payload::Csv => settings.csv_null.as_bytes(),
            _ => settings.tsv_null.as_bytes(),
        };
        Self {
            payload,
            delimiter: settings.csv_delimiter,
            tuples_as_fields: settings.csv_tuples_as_fields,
            double_quotes: settings.csv_double_quotes,
            null: null.to_vec(),
        }
    }

    /// Whether values of the type can be written: CSV's texts need their quotes.
    pub(super) fn can_write(&self, data_type: &DataType) -> bool {
        let needs_no_quotes = || matches!(nature(data_type), Nature::Flag | Nature::Other);
        self.payload != Payload::Csv || self.double_quotes || needs_no_quotes()
    }

    /// Appends the value of a row, in the place of another.
    pub(super) fn value(&self, fill: &Fill<'_>, row: usize, out: &mut Vec<u8>) {
        match self.payload {
            Payload::RowBinary => binary::row_binary(fill, row, out),
            Payload::RowBinaryWithDefaults => {
                out.push(0);
                binary::row_binary(fill, row, out);
            }
            Payload::MsgPack => binary::msg_pack(fill, row, out),
            Payload::BsonEachRow => binary::bson_element(fill, row, out),
            Payload::JsonEachRow
            | Payload::JsonStringsEachRow
            | Payload::JsonCompactEachRow
            | Payload::JsonCompactStringsEachRow
            | Payload::TabSeparated
            | Payload::Tskv
            | Payload::Csv
            | Payload::Values => self.text(fill, row, out),
            // Its rows lie in blocks, which are written with the fills.
            Payload::Native | Payload::Whole(_) => {}
        }
    }

    /// Adds a field to the row that begins at `start` and ends where `out` ends.
    pub(super) fn add(&self, fill: &Fill<'_>, row: usize, start: usize, out: &mut Vec<u8>) {
        match self.payload {
            Payload::TabSeparated => out.push(b'\t'),
            Payload::Csv => out.push(self.delimiter),
            Payload::JsonEachRow | Payload::JsonStringsEachRow => {
                open_behind_last(out, start, b'{');
                out.extend_from_slice(&escape::json_name(&fill.column.name));
                out.push(b':');
            }
            Payload::JsonCompactEachRow | Payload::JsonCompactStringsEachRow => {
                open_behind_last(out, start, b'[');
            }
            Payload::Tskv => {
                if out.len() > start {
                    out.push(b'\t');
                }
                out.extend_from_slice(&escape::tskv_name(&fill.column.name));
            }
            Payload::Values => open_behind_last(out, start, b'('),
            Payload::BsonEachRow => drop(out.pop()),
            Payload::RowBinary
            | Payload::RowBinaryWithDefaults
            | Payload::MsgPack
            | Payload::Native
            | Payload::Whole(_) => {}
        }
        self.value(fill, row, out);
        match self.payload {
            Payload::JsonEachRow | Payload::JsonStringsEachRow => out.push(b'}'),
            Payload::JsonCompactEachRow | Payload::JsonCompactStringsEachRow => out.push(b']'),
            Payload::Values => out.push(b')'),
            Payload::BsonEachRow => out.push(0),
            _ => {}
        }
    }

    /// The row that begins at `start` has all its values: what counts its bytes is set right.
    pub(super) fn close(&self, start: usize, out: &mut [u8]) {
        if self.payload == Payload::BsonEachRow {
            // A document is shorter than max_row_bytes and what was added to it.
            let len = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
            out[start..start + 4].copy_from_slice(&len.to_le_bytes());
        }
    }

    fn text(&self, fill: &Fill<'_>, row: usize, out: &mut Vec<u8>) {
        let is_null = fill.values.nulls.as_ref().is_some_and(|nulls| nulls[row]);
        if is_null {
            out.extend_from_slice(&self.null);
            return;
        }
        if is_nested(&fill.column.data_type) {
            self.nested(Value::of(fill, row), out);
            return;
        }
        let stamp = binary::unix_time(fill, row);
        let text = stamp.as_ref().map_or(fill.texts.get(row), String::as_bytes);
        let is_bare = is_bare(fill.column.data_type.without_nullable(), text);
        match self.payload {
            Payload::TabSeparated | Payload::Tskv => escape::tab_separated(text, out),
            Payload::Csv => csv(&fill.column.data_type, text, out),
            Payload::JsonStringsEachRow | Payload::JsonCompactStringsEachRow => escape::json(text, out),
            Payload::JsonEachRow | Payload::JsonCompactEachRow if !is_bare => escape::json(text, out),
            Payload::Values if !is_bare => escape::sql(text, out),
            _ => out.extend_from_slice(text),
        }
    }

    /// A value with others inside.
    fn nested(&self, value: Value<'_>, out: &mut Vec<u8>) {
        let mut text = Vec::new();
        match self.payload {
            Payload::JsonEachRow | Payload::JsonCompactEachRow => return value.write(Notation::Json, out),
            Payload::Csv if self.tuples_as_fields => {
                return value.write_csv(self.delimiter, &self.null, out);
            }
            _ => value.write(Notation::Sql, &mut text),
        }
        match self.payload {
            Payload::TabSeparated | Payload::Tskv => escape::nested_tab_separated(&text, out),
            Payload::Csv => escape::csv(&text, out),
            Payload::JsonStringsEachRow | Payload::JsonCompactStringsEachRow => escape::json(&text, out),
            _ => out.extend_from_slice(&text),
        }
    }
}

/// Makes room for another element behind the last one of a row in brackets.
fn open_behind_last(out: &mut Vec<u8>, start: usize, bracket: u8) {
    out.pop();
    let is_space = |byte: &u8| byte.is_ascii_whitespace();
    let last = out[start..].iter().rev().find(|byte| !is_space(byte));
    if last != Some(&bracket) {
        out.push(b',');
    }
}

/// A value of CSV: in quotes, which ClickHouse takes around every type but Bool (code 467).
pub(super) fn csv(data_type: &DataType, text: &[u8], out: &mut Vec<u8>) {
    match data_type.without_nullable() {
        DataType::Bool => out.extend_from_slice(text),
        _ => escape::csv(text, out),
    }
}

/// Numbers stand without quotes; what JSON and SQL have no number for does not.
fn is_bare(data_type: &DataType, text: &[u8]) -> bool {
    use DataType as T;
    match data_type {
        T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64 | T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::Bool => {
            true
        }
        T::Float32 | T::Float64 => text.last().is_some_and(u8::is_ascii_digit),
        _ => false,
    }
}
