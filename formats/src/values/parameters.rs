//! `{name:Type}` in a row of VALUES: the request's parameter `param_name`, written into the row as a literal.
//!
//! Rows wait and are sent in another request than that which brought them, so nothing of that request may be left in
//! them. Strings, numbers and booleans, and values of the column's own type, become plain literals, which the sharding
//! key reads like any other; everything else becomes `CAST('text', 'Type')`.

use std::ops::Range;

use jiff::tz::TimeZone;
use types::{Column, ColumnDef, Data, DataType};

use super::{behind_quotes, string};
use crate::backslash;
use crate::error::code;
use crate::escape;
use crate::framing::{Stop, Token, ValueError, Window, behind_space};
use crate::key::Reading;
use crate::settings::DateTimeText;
use crate::value;

/// A parameter's text may be so long: ClickHouse's default `http_max_field_value_size`. A row may name it many times.
const TEXT_BYTES_MAX: usize = 131_072;

/// Different parameters that are kept resolved; a row that names more is none that a client writes.
const KNOWN_MAX: usize = 1024;

/// The request's parameters, and those that the rows have named so far.
#[derive(Default)]
pub(super) struct Parameters {
    given: Vec<(String, String)>,
    known: Vec<Known>,
    /// The parameters of the row at hand: where each stands, and which of `known` it is.
    in_row: Vec<(Range<usize>, usize)>,
    /// Those of the field at hand.
    in_field: Vec<Range<usize>>,
}

/// A parameter as a row names it.
struct Known {
    /// `{name:Type}`
    written: Vec<u8>,
    /// The column whose whole field it is; none inside an expression.
    column: Option<usize>,
    literal: Vec<u8>,
}

impl Parameters {
    pub(super) fn new(given: &[(String, String)]) -> Self {
        Self {
            given: given.to_vec(),
            ..Self::default()
        }
    }

    /// Whether rows may have to be written anew.
    pub(super) fn are_given(&self) -> bool {
        !self.given.is_empty()
    }

    pub(super) fn begin_row(&mut self) {
        self.in_row.clear();
        self.in_field.clear();
        if self.known.len() > KNOWN_MAX / 2 {
            self.known.clear();
        }
    }

    /// The first byte behind the parameter at `at`, if the brace there opens one and not a map.
    pub(super) fn pass(&mut self, window: &Window<'_>, at: usize) -> Result<Option<usize>, Stop> {
        let end = end_of(window, at)?;
        if let Some(end) = end {
            self.in_field.push(at..end);
        }
        Ok(end)
    }

    /// Resolves the parameters of a column's field, which is all of `field`.
    pub(super) fn end_field(
        &mut self,
        bytes: &[u8],
        field: &Range<usize>,
        column: (usize, &ColumnDef),
    ) -> Result<(), Stop> {
        for place in std::mem::take(&mut self.in_field) {
            let whole = (place == *field).then_some(column);
            let known = self.resolved(&bytes[place.clone()], place.start, whole)?;
            self.in_row.push((place, known));
        }
        Ok(())
    }

    fn resolved(
        &mut self,
        written: &[u8],
        at: usize,
        column: Option<(usize, &ColumnDef)>,
    ) -> Result<usize, Stop> {
        let index = column.map(|(index, _)| index);
        let is_same = |known: &Known| known.column == index && known.written == written;
        if let Some(found) = self.known.iter().position(is_same) {
            return Ok(found);
        }
        if self.known.len() == KNOWN_MAX {
            let message = format!("a row names more than {KNOWN_MAX} different parameters");
            return Err(Stop::fault(code::NOT_IMPLEMENTED, at, message));
        }
        let literal = self.literal(written, column.map(|(_, column)| &column.data_type));
        let literal = literal.map_err(|(code, message)| Stop::fault(code, at, message))?;
        self.known.push(Known {
            written: written.to_vec(),
            column: index,
            literal,
        });
        Ok(self.known.len() - 1)
    }

    /// What `{name:Type}` stands for, in a field of this type if it is the whole field.
    fn literal(&self, written: &[u8], column: Option<&DataType>) -> Result<Vec<u8>, (i32, String)> {
        let (name, type_name) = name_and_type(written);
        let given = self.given.iter().rev().find(|(known, _)| *known == name);
        let Some((_, text)) = given else {
            let message =
                format!("Substitution `{name}` is not set: send its value as the parameter param_{name}");
            return Err((code::UNKNOWN_QUERY_PARAMETER, message));
        };
        if type_name == "Identifier" {
            let message =
                format!("{{{name}:Identifier}} names no value: in VALUES a parameter has a data type");
            return Err((code::NOT_IMPLEMENTED, message));
        }
        if text.len() > TEXT_BYTES_MAX {
            let message = format!("the value of parameter {name} is longer than {TEXT_BYTES_MAX} bytes");
            return Err((code::BAD_QUERY_PARAMETER, message));
        }
        let data_type = DataType::parse(&type_name)
            .map_err(|error| (code::UNKNOWN_TYPE, format!("parameter {name}: {error}")))?;
        literal_of(text.as_bytes(), &data_type, &type_name, column).map_err(|error| {
            let message = format!(
                "the value of parameter {name} cannot be parsed as {type_name}: expected {}",
                error.expected
            );
            (code::BAD_QUERY_PARAMETER, message)
        })
    }

    /// The literal of a column's field that is one parameter.
    pub(super) fn literal_at(&self, column: usize, written: &[u8]) -> Option<&[u8]> {
        let is_it = |known: &&Known| known.column == Some(column) && known.written == written;
        self.known
            .iter()
            .find(is_it)
            .map(|known| known.literal.as_slice())
    }

    /// Bytes of the row at hand once it is written.
    pub(super) fn written_bytes(&self, row_bytes: usize) -> usize {
        let literals = self
            .in_row
            .iter()
            .map(|(_, known)| self.known[*known].literal.len());
        literals.fold(row_bytes, usize::saturating_add)
    }

    /// Appends the row with its literals; `fields` lie in `bytes` and will lie in `out`.
    pub(super) fn write(
        &self,
        bytes: &[u8],
        row: Range<usize>,
        fields: &mut [Option<Range<usize>>],
        out: &mut Vec<u8>,
    ) {
        let mut from = row.start;
        // A parameter lies inside of a field or is all of it, so only where parameters end do places move.
        let mut moves = vec![(row.start, out.len())];
        for (place, known) in &self.in_row {
            out.extend_from_slice(&bytes[from..place.start]);
            out.extend_from_slice(&self.known[*known].literal);
            from = place.end;
            moves.push((from, out.len()));
        }
        out.extend_from_slice(&bytes[from..row.end]);
        let moved = |at: usize| {
            let last = moves.partition_point(|(old, _)| *old <= at).saturating_sub(1);
            let (old, new) = moves[last];
            at - old + new
        };
        for field in fields.iter_mut().flatten() {
            *field = moved(field.start)..moved(field.end);
        }
    }
}

/// The first byte behind `{name:Type}` at `at`; none for another brace.
pub(super) fn end_of(window: &Window<'_>, at: usize) -> Result<Option<usize>, Stop> {
    const MORE: Stop = Stop::More {
        expected: "the closing brace of the parameter",
    };
    let bytes = window.bytes;
    let name = behind_space(bytes, at + 1);
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let name_bytes = bytes[name..].iter().take_while(|byte| is_word(byte)).count();
    let colon = behind_space(bytes, name + name_bytes);
    match bytes.get(colon) {
        None => return Err(MORE),
        Some(b':') if name_bytes > 0 && !bytes[name].is_ascii_digit() => {}
        Some(_) => return Ok(None),
    }
    let mut from = colon + 1;
    loop {
        match bytes.get(from) {
            None => return Err(MORE),
            Some(b'}') => return Ok(Some(from + 1)),
            Some(quote @ (b'\'' | b'`' | b'"')) => from = behind_quotes(bytes, from, *quote)?,
            Some(_) => from += 1,
        }
    }
}

/// The two halves of `{name:Type}`.
fn name_and_type(written: &[u8]) -> (String, String) {
    let inner = written.get(1..written.len() - 1).unwrap_or_default();
    let inner = String::from_utf8_lossy(inner);
    let (name, type_name) = inner.split_once(':').unwrap_or((&inner, ""));
    (name.trim().to_owned(), type_name.trim().to_owned())
}

/// The literal of a value that comes as an escaped field of TabSeparated.
fn literal_of(
    text: &[u8],
    data_type: &DataType,
    type_name: &str,
    column: Option<&DataType>,
) -> Result<Vec<u8>, ValueError> {
    if text == b"\\N" && data_type.is_nullable() {
        return Ok(b"NULL".to_vec());
    }
    if text.iter().any(|byte| matches!(byte, b'\t' | b'\n')) {
        return Err(ONE_FIELD);
    }
    let mut plain = Vec::new();
    match is_made_of_others(data_type) {
        true => plain.extend_from_slice(text),
        false => backslash::unescape(text, &mut plain)?,
    }
    let inner = data_type.without_nullable();
    let value = read(&plain, inner)?;
    if let Some(bare) = value.as_ref().and_then(|value| bare(&value.data, inner)) {
        return Ok(bare.into_bytes());
    }
    if value.is_some() && matches!(inner, DataType::Float32 | DataType::Float64) && super::is_number(&plain) {
        return Ok(plain);
    }
    let is_column_s = value.is_some() && column.map(DataType::without_nullable) == Some(inner);
    let mut literal = Vec::new();
    match is_column_s || *inner == DataType::String {
        true => escape::sql(&plain, &mut literal),
        false => cast(&plain, type_name, &mut literal),
    }
    Ok(literal)
}

const ONE_FIELD: ValueError = ValueError {
    code: code::BAD_QUERY_PARAMETER,
    expected: "a field of TabSeparated, tabs and line feeds in it escaped",
};

const NOTHING: ValueError = ValueError {
    code: code::BAD_QUERY_PARAMETER,
    expected: "a value, not an empty text",
};

/// The text's value, where texts of the type are read here; it says whether the text is one of the type.
fn read(text: &[u8], data_type: &DataType) -> Result<Option<Column>, ValueError> {
    if is_made_of_others(data_type) || !value::can_read(data_type) {
        return Ok(None);
    }
    if text.is_empty() && !matches!(data_type, DataType::String | DataType::FixedString(_)) {
        return Err(NOTHING);
    }
    // A time without zone is checked as text only: which moment it means is decided where it is stored.
    let reading = Reading {
        zone: TimeZone::UTC,
        date_time: DateTimeText::Basic,
    };
    let mut column = Column::empty(data_type);
    value::push(&mut column.data, data_type, &reading, &Token::Text(text))?;
    Ok(Some(column))
}

fn is_made_of_others(data_type: &DataType) -> bool {
    matches!(
        data_type.without_nullable(),
        DataType::Array(_) | DataType::Tuple(_) | DataType::Map(..) | DataType::Nothing | DataType::Other(_)
    )
}

/// The one value of an integer or boolean column, as SQL writes it; what wrapped around is written as it was read.
fn bare(data: &Data, data_type: &DataType) -> Option<String> {
    use DataType as T;
    match (data, data_type) {
        (Data::UInt8(values), T::Bool) => values.first().map(|value| (*value != 0).to_string()),
        (Data::UInt8(values), T::UInt8) => values.first().map(u8::to_string),
        (Data::UInt16(values), T::UInt16) => values.first().map(u16::to_string),
        (Data::UInt32(values), T::UInt32) => values.first().map(u32::to_string),
        (Data::UInt64(values), T::UInt64) => values.first().map(u64::to_string),
        (Data::Int8(values), T::Int8) => values.first().map(i8::to_string),
        (Data::Int16(values), T::Int16) => values.first().map(i16::to_string),
        (Data::Int32(values), T::Int32) => values.first().map(i32::to_string),
        (Data::Int64(values), T::Int64) => values.first().map(i64::to_string),
        _ => None,
    }
}

/// CAST as a function: every version has it, and takes the type as text.
fn cast(text: &[u8], type_name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"CAST(");
    escape::sql(text, out);
    out.extend_from_slice(b", ");
    escape::sql(type_name.as_bytes(), out);
    out.push(b')');
}

/// A literal as a token, in `scratch` because the literal itself is kept here.
pub(super) fn token<'a>(literal: &[u8], scratch: &'a mut Vec<u8>) -> Result<Token<'a>, ValueError> {
    match literal {
        [b'\'', ..] => {
            let mut text = Vec::new();
            let Token::Text(plain) = string(literal, &mut text)? else {
                return Err(super::LITERAL);
            };
            scratch.clear();
            scratch.extend_from_slice(plain);
            Ok(Token::Text(scratch))
        }
        b"NULL" => Ok(Token::Null),
        [b'C', ..] => Err(super::LITERAL),
        number_or_flag => {
            scratch.clear();
            scratch.extend_from_slice(number_or_flag);
            Ok(Token::Sql(scratch))
        }
    }
}
