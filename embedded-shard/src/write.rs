//! Answers: a result's rows as text.

use types::{ColumnDef, DataType};

use crate::error::{Outcome, code};
use crate::escape::write_escaped;
use crate::text::write_text;
use crate::value::{Shape, Value};

/// The formats an answer may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputFormat {
    TabSeparated,
    TabSeparatedWithNames,
    JsonEachRow,
    JsonCompactEachRow,
}

impl OutputFormat {
    /// Finds a format by ClickHouse's name for it.
    pub fn named(name: &str) -> Outcome<Self> {
        Ok(match name {
            "TabSeparated" | "TSV" => Self::TabSeparated,
            "TabSeparatedWithNames" | "TSVWithNames" => Self::TabSeparatedWithNames,
            "JSONEachRow" | "JSONLines" | "NDJSON" => Self::JsonEachRow,
            "JSONCompactEachRow" => Self::JsonCompactEachRow,
            other => {
                return code::UNKNOWN_FORMAT.refuse(format_args!(
                    "unknown format {other}, or one the embedded shard does not write"
                ));
            }
        })
    }

    /// ClickHouse's name, for `X-ClickHouse-Format`.
    pub fn name(self) -> &'static str {
        match self {
            Self::TabSeparated => "TabSeparated",
            Self::TabSeparatedWithNames => "TabSeparatedWithNames",
            Self::JsonEachRow => "JSONEachRow",
            Self::JsonCompactEachRow => "JSONCompactEachRow",
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::TabSeparated | Self::TabSeparatedWithNames => "text/tab-separated-values; charset=UTF-8",
            Self::JsonEachRow | Self::JsonCompactEachRow => "application/json; charset=UTF-8",
        }
    }
}

/// Writes a whole result. `quote_wide_integers`: 64 bits and more as strings in JSON.
pub(crate) fn write_rows(
    format: OutputFormat,
    columns: &[ColumnDef],
    rows: &[Vec<Value>],
    quote_wide_integers: bool,
) -> Outcome<Vec<u8>> {
    let mut out = Vec::new();
    if format == OutputFormat::TabSeparatedWithNames {
        separated(&mut out, columns, b"\t", |column, out| {
            write_escaped(column.name.as_bytes(), out);
            Ok(())
        })?;
        out.push(b'\n');
    }
    let json = Json { quote_wide_integers };
    for row in rows {
        let cells = columns.iter().zip(row);
        match format {
            OutputFormat::TabSeparated | OutputFormat::TabSeparatedWithNames => {
                separated(&mut out, cells, b"\t", |(column, value), out| {
                    write_field(&column.data_type, value, out)
                })?;
            }
            OutputFormat::JsonEachRow => {
                out.push(b'{');
                separated(&mut out, cells, b",", |(column, value), out| {
                    write_json_string(column.name.as_bytes(), out);
                    out.push(b':');
                    json.write(&column.data_type, value, out)
                })?;
                out.push(b'}');
            }
            OutputFormat::JsonCompactEachRow => {
                out.push(b'[');
                separated(&mut out, cells, b", ", |(column, value), out| {
                    json.write(&column.data_type, value, out)
                })?;
                out.push(b']');
            }
        }
        out.push(b'\n');
    }
    Ok(out)
}

fn separated<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    separator: &[u8],
    mut write: impl FnMut(T, &mut Vec<u8>) -> Outcome<()>,
) -> Outcome<()> {
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.extend_from_slice(separator);
        }
        write(item, out)?;
    }
    Ok(())
}

fn write_field(data_type: &DataType, value: &Value, out: &mut Vec<u8>) -> Outcome<()> {
    match value {
        Value::Null => out.extend(b"\\N"),
        Value::Bytes(_) | Value::Int(_) => {
            let mut text = Vec::new();
            write_text(data_type, value, &mut text)?;
            write_escaped(&text, out);
        }
        // Nested text has escapes of its own, and numbers need none.
        Value::List(_) | Value::Wide(_) | Value::Float(_) => write_text(data_type, value, out)?,
    }
    Ok(())
}

struct Json {
    quote_wide_integers: bool,
}

impl Json {
    fn write(&self, data_type: &DataType, value: &Value, out: &mut Vec<u8>) -> Outcome<()> {
        match (data_type.without_nullable(), value) {
            (_, Value::Null) => out.extend(b"null"),
            (_, Value::Float(number)) if !number.is_finite() => out.extend(b"null"),
            (DataType::Array(element), Value::List(values)) => {
                self.list(out, values, |_, value, out| self.write(element, value, out))?;
            }
            (DataType::Tuple(elements), Value::List(values)) => self.tuple(elements, values, out)?,
            (DataType::Map(key, value), Value::List(entries)) => self.map(key, value, entries, out)?,
            (plain, value) if self.is_bare(plain)? => write_text(plain, value, out)?,
            (plain, value) => {
                let mut text = Vec::new();
                write_text(plain, value, &mut text)?;
                write_json_string(&text, out);
            }
        }
        Ok(())
    }

    /// Numbers, decimals and booleans stand without quotes.
    fn is_bare(&self, data_type: &DataType) -> Outcome<bool> {
        use DataType as T;
        Ok(match data_type {
            T::Date
            | T::Date32
            | T::DateTime(_)
            | T::DateTime64(..)
            | T::IPv4
            | T::Enum8(_)
            | T::Enum16(_) => false,
            T::Decimal { .. } => true,
            other => match Shape::of(other)? {
                Shape::Number { bits, .. } => bits < 64 || !self.quote_wide_integers,
                shape => matches!(shape, Shape::Float { .. }),
            },
        })
    }

    fn list(
        &self,
        out: &mut Vec<u8>,
        values: &[Value],
        write: impl Fn(usize, &Value, &mut Vec<u8>) -> Outcome<()>,
    ) -> Outcome<()> {
        out.push(b'[');
        separated(out, values.iter().enumerate(), b",", |(at, value), out| {
            write(at, value, out)
        })?;
        out.push(b']');
        Ok(())
    }

    /// An object where every element has a name, else an array.
    fn tuple(
        &self,
        elements: &[(Option<String>, DataType)],
        values: &[Value],
        out: &mut Vec<u8>,
    ) -> Outcome<()> {
        let named: Option<Vec<_>> = elements.iter().map(|(name, _)| name.as_ref()).collect();
        let Some(names) = named else {
            return self.list(out, values, |at, value, out| {
                self.write(&elements[at].1, value, out)
            });
        };
        out.push(b'{');
        separated(
            out,
            names.iter().zip(elements).zip(values),
            b",",
            |((name, (_, data_type)), value), out| {
                write_json_string(name.as_bytes(), out);
                out.push(b':');
                self.write(data_type, value, out)
            },
        )?;
        out.push(b'}');
        Ok(())
    }

    /// An object; keys are strings whatever their type.
    fn map(
        &self,
        key_type: &DataType,
        value_type: &DataType,
        entries: &[Value],
        out: &mut Vec<u8>,
    ) -> Outcome<()> {
        out.push(b'{');
        separated(out, entries, b",", |entry, out| {
            let Value::List(pair) = entry else { return Ok(()) };
            let mut key = Vec::new();
            write_text(key_type, &pair[0], &mut key)?;
            write_json_string(&key, out);
            out.push(b':');
            self.write(value_type, &pair[1], out)
        })?;
        out.push(b'}');
        Ok(())
    }
}

/// ClickHouse's escapes, which are JSON's and the slash. Bytes that are not UTF-8 pass as they are, as in
/// ClickHouse.
fn write_json_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text {
        match byte {
            b'"' => out.extend(b"\\\""),
            b'\\' => out.extend(b"\\\\"),
            b'/' => out.extend(b"\\/"),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            0x08 => out.extend(b"\\b"),
            0x0c => out.extend(b"\\f"),
            control if *control < 0x20 => out.extend(format!("\\u{control:04x}").bytes()),
            plain => out.push(*plain),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Reading;
    use crate::text::from_text;

    #[track_caller]
    fn check(format: &str, cells: &[(&str, &str, &str)], expected: &str) {
        let column = |(name, data_type, _): &(&str, &str, &str)| ColumnDef {
            name: (*name).to_owned(),
            data_type: DataType::parse(data_type).unwrap(),
        };
        let columns: Vec<_> = cells.iter().map(column).collect();
        let values = cells
            .iter()
            .zip(&columns)
            .map(|((_, _, text), column)| match *text {
                "NULL" => Value::Null,
                text => from_text(&column.data_type, text.as_bytes(), Reading::default()).unwrap(),
            });
        let written = write_rows(
            OutputFormat::named(format).unwrap(),
            &columns,
            &[values.collect()],
            false,
        )
        .unwrap();
        assert_eq!(String::from_utf8_lossy(&written), expected);
    }

    const CELLS: &[(&str, &str, &str)] = &[
        ("k", "UInt64", "18446744073709551615"),
        ("s", "String", "a/b'\n\u{1}é\\"),
        ("n", "Nullable(Int32)", "NULL"),
        ("f", "Float64", "inf"),
        ("dec", "Decimal(10, 2)", "1.50"),
        ("d", "Date", "2020-01-02"),
        ("t", "Tuple(x UInt8, y Array(String))", "(1,['q'])"),
        ("m", "Map(UInt8, Bool)", "{1:true}"),
    ];

    #[test]
    fn rows_are_written_as_clickhouse_writes_them() {
        check(
            "TabSeparatedWithNames",
            CELLS,
            "k\ts\tn\tf\tdec\td\tt\tm\n18446744073709551615\ta/b\\'\\n\u{1}é\\\\\t\\N\tinf\t1.5\t2020-01-02\t(1,['q'])\t{1:true}\n",
        );
        check(
            "JSONEachRow",
            CELLS,
            "{\"k\":18446744073709551615,\"s\":\"a\\/b'\\n\\u0001é\\\\\",\"n\":null,\"f\":null,\"dec\":1.5,\"d\":\"2020-01-02\",\
             \"t\":{\"x\":1,\"y\":[\"q\"]},\"m\":{\"1\":true}}\n",
        );
        check(
            "JSONCompactEachRow",
            &CELLS[..2],
            "[18446744073709551615, \"a\\/b'\\n\\u0001é\\\\\"]\n",
        );
    }

    #[test]
    fn an_unknown_format_is_refused_by_its_name() {
        assert!(OutputFormat::named("Native").unwrap_err().text.contains("Native"));
    }
}
