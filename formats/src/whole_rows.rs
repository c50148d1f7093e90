//! Formats of a table with one column, whose rows are that column's values: LineAsString, JSONAsString, JSONAsObject.

use std::ops::Range;

use types::{ColumnDef, DataType};

use crate::error::{FormatError, code};
use crate::escape;
use crate::framing::{Fault, Framing, KeyFields, Step, Stop, Token, ValueError, Window};
use crate::json_each_row::scan;
use crate::json_rows::{JsonRow, Sequence};
use crate::settings::Family;
use crate::stream::Input;

/// LineAsString: lines become lines of TabSeparated.
pub(crate) fn open_lines(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    input.settings.allow(Family::Any)?;
    input.settings.texts_as_tab_separated()?;
    let takes = |data_type: &DataType| *data_type == DataType::String;
    Ok(Box::new(Lines(Whole::new(
        input,
        takes,
        "String",
        code::INCORRECT_QUERY,
    )?)))
}

/// JSONAsString: the texts of objects become lines of TabSeparated.
pub(crate) fn open_json_strings(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    input.settings.texts_as_tab_separated()?;
    let takes = |data_type: &DataType| *data_type.without_nullable() == DataType::String;
    Objects::boxed(input, takes, "String", false)
}

/// JSONAsObject: objects become the only member of objects of JSONEachRow.
pub(crate) fn open_json_objects(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    let takes = |data_type: &DataType| matches!(data_type, DataType::Other(name) if name.starts_with("JSON") || name.starts_with("Object("));
    Objects::boxed(input, takes, "JSON", true)
}

/// The only column.
struct Whole {
    columns: Vec<ColumnDef>,
    /// Which of the noted columns it is.
    key: Option<usize>,
}

impl Whole {
    fn new(
        input: &Input<'_>,
        takes: fn(&DataType) -> bool,
        wanted: &str,
        code: i32,
    ) -> Result<Self, FormatError> {
        let refused = match input.columns.as_slice() {
            [column] if takes(&column.data_type) => None,
            [column] => Some(format!(
                "this format fills a column of type {wanted}, but column {} has type {}",
                column.name, column.data_type
            )),
            columns => Some(format!(
                "this format fills a single column of type {wanted}, but the INSERT has {} columns",
                columns.len()
            )),
        };
        if let Some(message) = refused {
            return Err(FormatError::plain(code, message));
        }
        Ok(Self {
            key: input
                .key
                .iter()
                .position(|key| input.columns.iter().any(|column| column.name == key.name)),
            columns: input.columns.clone(),
        })
    }

    fn note(&self, field: Range<usize>, key: &mut KeyFields) {
        if let Some(index) = self.key {
            key[index] = Some(field);
        }
    }

    fn write_text(&self, value: &[u8], key: &mut KeyFields, out: &mut Vec<u8>) {
        let start = out.len();
        escape::tab_separated(value, out);
        self.note(start..out.len(), key);
    }
}

struct Lines(Whole);

impl Framing for Lines {
    fn step(&mut self, window: &Window<'_>, at: usize, key: &mut KeyFields) -> Result<Step, Stop> {
        let rest = &window.bytes[at..];
        if rest.is_empty() {
            return Ok(Step::End);
        }
        let (end, next) = match memchr::memchr(b'\n', rest) {
            Some(len) => (at + len, at + len + 1),
            None if window.last => (window.bytes.len(), window.bytes.len()),
            None => {
                return Err(Stop::More {
                    expected: "the end of the line",
                });
            }
        };
        self.0.note(at..end, key);
        Ok(Step::Row { row: at..end, next })
    }

    fn token<'a>(&self, _: usize, field: &'a [u8], _: &'a mut Vec<u8>) -> Result<Token<'a>, ValueError> {
        Ok(Token::Text(field))
    }

    fn columns(&self) -> &[ColumnDef] {
        &self.0.columns
    }

    fn rewrites(&self) -> bool {
        true
    }

    fn write(
        &self,
        bytes: &[u8],
        row: Range<usize>,
        key: &mut KeyFields,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        self.0.write_text(&bytes[row], key, out);
        Ok(())
    }
}

struct Objects {
    whole: Whole,
    /// The column's name as it stands in a JSON row, where rows become such.
    name: Option<Vec<u8>>,
    nesting: Vec<u8>,
}

impl Objects {
    fn boxed(
        input: &Input<'_>,
        takes: fn(&DataType) -> bool,
        wanted: &str,
        as_member: bool,
    ) -> Result<Box<dyn Framing>, FormatError> {
        input.settings.allow(Family::Json)?;
        let whole = Whole::new(input, takes, wanted, code::BAD_ARGUMENTS)?;
        let name = input.columns.first().filter(|_| as_member);
        Ok(Box::new(Sequence::new(Self {
            name: name.map(|column| escape::json_name(&column.name)),
            whole,
            nesting: Vec::new(),
        })))
    }
}

impl JsonRow for Objects {
    const OPEN: u8 = b'{';
    const ROW: &'static str = "an object, which begins with '{'";
    const ARRAY: bool = true;

    fn row(&mut self, window: &Window<'_>, start: usize, key: &mut KeyFields) -> Result<usize, Stop> {
        let end = scan::value(window, start, &mut self.nesting)?;
        self.whole.note(start..end, key);
        Ok(end)
    }

    fn meta(&mut self, _: &[Vec<u8>], _: &[Vec<u8>]) -> Result<(), String> {
        Ok(())
    }

    fn token<'a>(&self, _: usize, field: &'a [u8], _: &'a mut Vec<u8>) -> Result<Token<'a>, ValueError> {
        Ok(Token::Text(field))
    }

    fn columns(&self) -> &[ColumnDef] {
        &self.whole.columns
    }

    fn rewrites(&self) -> bool {
        true
    }

    fn write(
        &self,
        bytes: &[u8],
        row: Range<usize>,
        key: &mut KeyFields,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let Some(name) = &self.name else {
            self.whole.write_text(&bytes[row], key, out);
            return Ok(());
        };
        out.push(b'{');
        out.extend_from_slice(name);
        out.push(b':');
        let start = out.len();
        out.extend_from_slice(&bytes[row]);
        self.whole.note(start..out.len(), key);
        out.push(b'}');
        Ok(())
    }
}

#[cfg(test)]
mod tests;
