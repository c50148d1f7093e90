//! Values with others inside in the text formats. Each part is written so that every version reads it as that value: times
//! as the timestamps that they are.

use std::net::{Ipv4Addr, Ipv6Addr};

use jiff::civil;
use types::{Bytes, Data, DataType};

use super::binary::Value;
use super::syntax::csv;
use crate::escape;

/// How parts are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notation {
    Json,
    Sql,
}

/// The text of a value that has no others inside.
enum Scalar {
    /// A number, true or false.
    Bare(String),
    Text(Vec<u8>),
}

impl Value<'_> {
    /// Appends the value in the notation of values inside of others.
    pub(super) fn write(self, notation: Notation, out: &mut Vec<u8>) {
        if self.is_null() {
            out.extend_from_slice(match notation {
                Notation::Json => b"null",
                Notation::Sql => b"NULL",
            });
            return;
        }
        if let Some(pairs) = self.pairs() {
            joined(b"{}", &pairs, out, |(key, value), out| {
                match notation {
                    Notation::Json => escape::json(&key.bare_text(), out),
                    Notation::Sql => key.write(notation, out),
                }
                out.push(b':');
                value.write(notation, out);
            });
            return;
        }
        match (self.plain_type(), notation) {
            (DataType::Array(_), _) => {
                joined(b"[]", &self.elements(), out, |element, out| {
                    element.write(notation, out);
                });
            }
            (DataType::Tuple(types), Notation::Json) => self.write_json_tuple(types, out),
            (DataType::Tuple(_), Notation::Sql) => {
                joined(b"()", &self.elements(), out, |element, out| {
                    element.write(notation, out);
                });
            }
            _ => match (self.scalar(), notation) {
                // JSON has no words for what is no number.
                (Scalar::Bare(text), Notation::Json) if matches!(text.as_str(), "nan" | "inf" | "-inf") => {
                    escape::json(text.as_bytes(), out);
                }
                (Scalar::Bare(text), _) => out.extend_from_slice(text.as_bytes()),
                (Scalar::Text(text), Notation::Json) => escape::json(&text, out),
                (Scalar::Text(text), Notation::Sql) => escape::sql(&text, out),
            },
        }
    }

    /// An object where the elements have names, as ClickHouse reads them then.
    fn write_json_tuple(self, types: &[(Option<String>, DataType)], out: &mut Vec<u8>) {
        let elements: Vec<_> = types.iter().map(|(name, _)| name).zip(self.elements()).collect();
        let is_named = types.iter().all(|(name, _)| name.is_some());
        let brackets = if is_named { b"{}" } else { b"[]" };
        joined(brackets, &elements, out, |(name, element), out| {
            if let Some(name) = name.as_ref().filter(|_| is_named) {
                escape::json(name.as_bytes(), out);
                out.push(b':');
            }
            element.write(Notation::Json, out);
        });
    }

    /// The fields of CSV that a value takes: a Tuple one for each element.
    pub(super) fn write_csv(self, delimiter: u8, null: &[u8], out: &mut Vec<u8>) {
        match self.data_type {
            DataType::Tuple(_) => {
                for (place, element) in self.elements().into_iter().enumerate() {
                    if place > 0 {
                        out.push(delimiter);
                    }
                    element.write_csv(delimiter, null, out);
                }
            }
            _ if self.is_null() => out.extend_from_slice(null),
            data_type if crate::nested::is_nested(data_type) => {
                let mut text = Vec::new();
                self.write(Notation::Sql, &mut text);
                escape::csv(&text, out);
            }
            data_type => csv(data_type, &self.bare_text(), out),
        }
    }

    /// The text without quotes; a time's with as many digits as make it a timestamp to every version.
    pub(super) fn bare_text(self) -> Vec<u8> {
        match (self.scalar(), self.plain_type()) {
            (Scalar::Bare(text), DataType::DateTime(_) | DataType::DateTime64(..)) => {
                let whole = text.find('.').unwrap_or(text.len());
                let zeros = "0".repeat(10_usize.saturating_sub(whole));
                [zeros, text].concat().into_bytes()
            }
            (Scalar::Bare(text), _) => text.into_bytes(),
            (Scalar::Text(text), _) => text,
        }
    }

    fn scalar(self) -> Scalar {
        let row = self.row;
        match (&self.column.data, self.plain_type()) {
            (Data::UInt8(values), DataType::Bool) => Scalar::Bare((values[row] != 0).to_string()),
            (Data::UInt16(values), DataType::Date) => date(i32::from(values[row])),
            (Data::Int32(values), DataType::Date32) => date(values[row]),
            (Data::UInt16(values), DataType::BFloat16) => {
                float(f32::from_bits(u32::from(values[row]) << 16).into(), |value| {
                    format!("{:?}", value as f32)
                })
            }
            (Data::UInt32(values), DataType::IPv4) => text(Ipv4Addr::from(values[row]).to_string()),
            (Data::UInt128(values), DataType::Uuid) => text(uuid::Uuid::from_u128(values[row]).to_string()),
            (Data::Bytes(values), DataType::IPv6) => address(values, row),
            (Data::Bytes(values), _) => Scalar::Text(values.get(row).to_vec()),
            (Data::Float32(values), _) => float(values[row].into(), |value| format!("{:?}", value as f32)),
            (Data::Float64(values), _) => float(values[row], |value| format!("{value:?}")),
            (data, DataType::Enum8(elements) | DataType::Enum16(elements)) => element(data, row, elements),
            (Data::Int64(values), DataType::DateTime64(precision, _)) => {
                Scalar::Bare(with_point(&values[row].to_string(), *precision))
            }
            (data, DataType::Decimal { scale, .. }) => Scalar::Bare(with_point(&number(data, row), *scale)),
            (data, _) => Scalar::Bare(number(data, row)),
        }
    }
}

/// Appends all elements with commas between them, and brackets around.
fn joined<T>(
    [open, close]: &[u8; 2],
    elements: &[T],
    out: &mut Vec<u8>,
    mut write: impl FnMut(&T, &mut Vec<u8>),
) {
    out.push(*open);
    for (place, element) in elements.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write(element, out);
    }
    out.push(*close);
}

fn text(text: String) -> Scalar {
    Scalar::Text(text.into_bytes())
}

fn float(value: f64, written: impl Fn(f64) -> String) -> Scalar {
    Scalar::Bare(if value.is_nan() {
        "nan".to_owned()
    } else {
        written(value)
    })
}

fn date(days: i32) -> Scalar {
    let date = civil::Date::constant(1970, 1, 1).checked_add(jiff::Span::new().days(days));
    text(date.map_or_else(|_| days.to_string(), |date| date.to_string()))
}

fn address(values: &Bytes, row: usize) -> Scalar {
    let bytes: Result<[u8; 16], _> = values.get(row).try_into();
    text(Ipv6Addr::from(bytes.unwrap_or_default()).to_string())
}

fn element(data: &Data, row: usize, elements: &[(String, i16)]) -> Scalar {
    let number = number(data, row);
    let name = elements.iter().find(|(_, value)| value.to_string() == number);
    text(name.map_or(number, |(name, _)| name.clone()))
}

/// An integer's digits.
fn number(data: &Data, row: usize) -> String {
    match data {
        Data::UInt8(values) => values[row].to_string(),
        Data::UInt16(values) => values[row].to_string(),
        Data::UInt32(values) => values[row].to_string(),
        Data::UInt64(values) => values[row].to_string(),
        Data::UInt128(values) => values[row].to_string(),
        Data::UInt256(values) => values[row].to_string(),
        Data::Int8(values) => values[row].to_string(),
        Data::Int16(values) => values[row].to_string(),
        Data::Int32(values) => values[row].to_string(),
        Data::Int64(values) => values[row].to_string(),
        Data::Int128(values) => values[row].to_string(),
        Data::Int256(values) => values[row].to_string(),
        Data::Float32(_) | Data::Float64(_) | Data::Bytes(_) | Data::Array(_) | Data::Tuple(_) => {
            String::new()
        }
    }
}

/// The number with so many digits behind the point.
fn with_point(digits: &str, scale: u8) -> String {
    let (sign, digits) = digits
        .strip_prefix('-')
        .map_or(("", digits), |digits| ("-", digits));
    let scale = usize::from(scale);
    if scale == 0 {
        return format!("{sign}{digits}");
    }
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    format!("{sign}{whole}.{fraction}")
}
