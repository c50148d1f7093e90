//! The body of an INSERT, row by row: what the shard itself makes of the bytes.
//!
//! Written apart from the router's `formats` on purpose: a double that shared its reader would share its
//! mistakes.

mod csv;
mod json;
mod tab_separated;
mod values;

use types::ColumnDef;

use crate::binary;
use crate::cursor::Cursor;
use crate::error::{Outcome, code};
use crate::settings::Reading;
use crate::value::Value;

/// One cell as the data has it; `None` asks for the column's default.
pub(crate) type Cell = Option<Value>;

/// The formats an INSERT may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InputFormat {
    Csv,
    JsonEachRow(json::Values),
    JsonCompactEachRow(json::Values),
    RowBinary,
    RowBinaryWithDefaults,
    TabSeparated,
    Tskv,
    Values,
}

impl InputFormat {
    /// Finds a format by ClickHouse's name for it, which is case-sensitive.
    pub fn named(name: &str) -> Outcome<Self> {
        Ok(match name {
            "CSV" => Self::Csv,
            "JSONEachRow" | "JSONLines" | "NDJSON" => Self::JsonEachRow(json::Values::Typed),
            "JSONStringsEachRow" => Self::JsonEachRow(json::Values::Strings),
            "JSONCompactEachRow" => Self::JsonCompactEachRow(json::Values::Typed),
            "JSONCompactStringsEachRow" => Self::JsonCompactEachRow(json::Values::Strings),
            "RowBinary" => Self::RowBinary,
            "RowBinaryWithDefaults" => Self::RowBinaryWithDefaults,
            "TabSeparated" | "TSV" => Self::TabSeparated,
            "TSKV" => Self::Tskv,
            "Values" => Self::Values,
            other => {
                return code::UNKNOWN_FORMAT.refuse(format_args!(
                    "unknown format {other}, or one the embedded shard does not read"
                ));
            }
        })
    }
}

/// The rows of one INSERT's data.
pub(crate) struct Rows<'a> {
    format: InputFormat,
    reader: Reader<'a>,
    /// Rows read so far.
    rows: u64,
}

/// What every format's reader is given.
pub(crate) struct Reader<'a> {
    pub cursor: Cursor<'a>,
    /// The columns in the order the data has them.
    pub columns: &'a [ColumnDef],
    pub reading: Reading,
    /// JSON only: all rows stand in one array, which must be closed.
    pub in_array: bool,
}

impl<'a> Rows<'a> {
    /// Starts to read rows of these columns, in the data's order.
    pub fn new(format: InputFormat, columns: &'a [ColumnDef], data: &'a [u8], reading: Reading) -> Self {
        Self {
            format,
            reader: Reader {
                cursor: Cursor::new(data),
                columns,
                reading,
                in_array: false,
            },
            rows: 0,
        }
    }

    /// Reads the next row into `cells` (one a column) and says whether there was one. An error names row and
    /// offset.
    pub fn next(&mut self, cells: &mut Vec<Cell>) -> Outcome<bool> {
        cells.clear();
        let start = self.reader.cursor.at;
        let found = self.read_row(cells).map_err(|error| {
            let offset = self.reader.cursor.at;
            error.at(format_args!(
                "at row {}, which begins at byte {start} of the data, near byte {offset}",
                self.rows + 1
            ))
        })?;
        self.rows += u64::from(found);
        Ok(found)
    }

    fn read_row(&mut self, cells: &mut Vec<Cell>) -> Outcome<bool> {
        let first = self.rows == 0;
        match self.format {
            InputFormat::Csv => csv::read_row(&mut self.reader, cells),
            InputFormat::JsonEachRow(values) => json::read_object(&mut self.reader, values, first, cells),
            InputFormat::JsonCompactEachRow(values) => {
                json::read_array(&mut self.reader, values, first, cells)
            }
            InputFormat::RowBinary => read_binary(&mut self.reader, false, cells),
            InputFormat::RowBinaryWithDefaults => read_binary(&mut self.reader, true, cells),
            InputFormat::TabSeparated => tab_separated::read_row(&mut self.reader, cells),
            InputFormat::Tskv => tab_separated::read_pairs(&mut self.reader, cells),
            InputFormat::Values => values::read_row(&mut self.reader, cells),
        }
    }
}

impl Reader<'_> {
    /// What a NULL in the data becomes: NULL, the default, or an error.
    pub fn null(&self, column: &ColumnDef) -> Outcome<Cell> {
        if column.data_type.is_nullable() {
            return Ok(Some(Value::Null));
        }
        match self.reading.null_as_default {
            true => Ok(None),
            false => code::TYPE_MISMATCH.refuse(format_args!(
                "NULL for column {} of type {}",
                column.name, column.data_type
            )),
        }
    }
}

fn read_binary(reader: &mut Reader<'_>, with_defaults: bool, cells: &mut Vec<Cell>) -> Outcome<bool> {
    if reader.cursor.is_at_end() {
        return Ok(false);
    }
    for column in reader.columns {
        let left_out =
            with_defaults && binary::read(&types::DataType::UInt8, &mut reader.cursor)? == Value::Int(1);
        cells.push(match left_out {
            true => None,
            false => Some(binary::read(&column.data_type, &mut reader.cursor)?),
        });
    }
    Ok(true)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use types::DataType;

    /// Columns from `a UInt8, b String`-like pairs.
    pub fn columns(definitions: &[(&str, &str)]) -> Vec<ColumnDef> {
        let column = |(name, data_type): &(&str, &str)| ColumnDef {
            name: (*name).to_owned(),
            data_type: DataType::parse(data_type).unwrap(),
        };
        definitions.iter().map(column).collect()
    }

    /// The rows of some data, each as the text `a|b`, a left-out cell as `-`, NULL as `NULL`.
    pub fn rows(format: &str, definitions: &[(&str, &str)], data: &[u8]) -> Outcome<Vec<String>> {
        let columns = columns(definitions);
        let mut rows = Rows::new(InputFormat::named(format)?, &columns, data, Reading::default());
        let (mut cells, mut out) = (Vec::new(), Vec::new());
        while rows.next(&mut cells)? {
            let shown = cells.iter().zip(&columns).map(|(cell, column)| match cell {
                None => "-".to_owned(),
                Some(Value::Null) => "NULL".to_owned(),
                Some(value) => {
                    let mut text = Vec::new();
                    crate::text::write_text(&column.data_type, value, &mut text).unwrap();
                    String::from_utf8_lossy(&text).into_owned()
                }
            });
            out.push(shown.collect::<Vec<_>>().join("|"));
        }
        Ok(out)
    }

    pub const TWO: &[(&str, &str)] = &[("a", "UInt8"), ("b", "Nullable(String)")];

    #[track_caller]
    pub fn check(format: &str, data: &[u8], expected: &[&str]) {
        assert_eq!(rows(format, TWO, data).unwrap(), expected);
    }

    #[track_caller]
    pub fn refuses(format: &str, data: &[u8], code: crate::error::Code, says: &str) {
        let error = rows(format, TWO, data).unwrap_err();
        assert_eq!(error.code, code, "{error}");
        assert!(error.text.contains(says), "{error}");
    }

    #[test]
    fn row_binary_is_read_to_its_last_byte_or_not_at_all() {
        check("RowBinary", b"\x01\0\x01x\x02\x01", &["1|x", "2|NULL"]);
        check("RowBinary", b"", &[]);
        check(
            "RowBinaryWithDefaults",
            b"\x01\0\0\x01x\0\x02\0\x01",
            &["-|x", "2|NULL"],
        );
        refuses(
            "RowBinary",
            b"\x01\0\x01x\x02",
            code::CANNOT_READ_ALL_DATA,
            "at row 2, which begins at byte 4",
        );
    }

    #[test]
    fn an_unknown_format_is_refused_by_its_name() {
        refuses("Parquet", b"", code::UNKNOWN_FORMAT, "Parquet");
        refuses("csv", b"", code::UNKNOWN_FORMAT, "csv");
    }
}
