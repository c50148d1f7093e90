//! JSONEachRow and JSONStringsEachRow: objects, columns by their names.
//!
//! Values of columns that the key does not read are only followed to their end: strings, brackets and bare
//! words must be well formed, what they mean is the shard's business.
//!
//! For a shard that does not know JSONStringsEachRow its rows become lines of TSKV: texts under names, both.

pub(crate) mod scan;
pub(crate) mod text;

use std::ops::Range;

use types::ColumnDef;

use crate::error::{FormatError, code};
use crate::escape;
use crate::format::Payload;
use crate::framing::{Fault, Framing, KeyFields, Stop, Token, ValueError, Window, behind_space, byte};
use crate::header;
use crate::json_rows::{self, JsonRow, Sequence, Tokens, Values};
use crate::names::Names;
use crate::settings::Family;
use crate::stream::Input;

pub(crate) fn open(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    Ok(Box::new(Sequence::new(Objects::new(input, Values::Json)?)))
}

pub(crate) fn open_strings(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    Ok(Box::new(Sequence::new(Objects::new(input, Values::Strings)?)))
}

/// Rows that are objects.
pub(crate) struct Objects {
    names: Names,
    tokens: Tokens,
    columns: Vec<ColumnDef>,
    /// Whether a `meta`'s types must be the columns'.
    types_count: bool,
    /// Rows that become lines of TSKV: what stands in front of each column's value.
    lines: Option<Vec<Vec<u8>>>,
    /// Columns and values of the row at hand, if rows become lines.
    found: Vec<(usize, Range<usize>)>,
    /// The brackets around the value being passed; memory that is used again.
    nesting: Vec<u8>,
}

impl JsonRow for Objects {
    const OPEN: u8 = b'{';
    const ROW: &'static str = "a row, which begins with '{'";
    const ARRAY: bool = true;

    fn row(&mut self, window: &Window<'_>, start: usize, key: &mut KeyFields) -> Result<usize, Stop> {
        self.names.begin_row();
        self.found.clear();
        self.members(window, start, None, key)
    }

    fn meta(&mut self, names: &[Vec<u8>], types: &[Vec<u8>]) -> Result<(), String> {
        if !self.types_count {
            return Ok(());
        }
        for (name, written) in names.iter().zip(types) {
            let column = header::column_named(&self.columns, name);
            let written = String::from_utf8_lossy(written);
            if let Some(message) = column.and_then(|column| header::wrong_type(column, &written)) {
                return Err(message);
            }
        }
        Ok(())
    }

    fn token<'a>(
        &self,
        index: usize,
        field: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Result<Token<'a>, ValueError> {
        self.tokens.token(index, field, scratch)
    }

    fn columns(&self) -> &[ColumnDef] {
        &self.columns
    }

    fn rewrites(&self) -> bool {
        self.lines.is_some()
    }

    fn write(
        &self,
        bytes: &[u8],
        _: Range<usize>,
        key: &mut KeyFields,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let names = self.lines.as_deref().unwrap_or_default();
        for (place, (column, value)) in self.found.iter().enumerate() {
            if place > 0 {
                out.push(b'\t');
            }
            out.extend_from_slice(&names[*column]);
            let start = out.len();
            json_rows::write_escaped(&self.columns[*column], bytes, value, out)?;
            if let Some(index) = self.names.keys[*column] {
                key[index] = Some(start..out.len());
            }
        }
        Ok(())
    }
}

impl Objects {
    pub(crate) fn new(input: &Input<'_>, values: Values) -> Result<Self, FormatError> {
        input.settings.allow(Family::Json)?;
        let mut names = Names::new(input, escape::json_name);
        if input.settings.json_nested {
            names.group(&input.columns)?;
        }
        let lines = (input.payload == Some(Payload::Tskv)).then(|| {
            let columns = input.columns.iter();
            columns.map(|column| escape::tskv_name(&column.name)).collect()
        });
        if lines.is_some() {
            input.settings.texts_as_tab_separated()?;
        }
        Ok(Self {
            names,
            tokens: Tokens::new(input, values),
            columns: input.columns.clone(),
            types_count: input.settings.json_validate_types,
            lines,
            found: Vec::new(),
            nesting: Vec::new(),
        })
    }

    /// A row to which a field of `column` was added in front: its own bytes must not have that field.
    pub(crate) fn row_without(
        &mut self,
        window: &Window<'_>,
        start: usize,
        column: Option<usize>,
        key: &mut KeyFields,
    ) -> Result<usize, Stop> {
        self.names.begin_row();
        if let Some(column) = column {
            self.names.see(column, start)?;
        }
        self.members(window, start, None, key)
    }

    /// Passes the object at `start`, a row or the columns of a Nested group in it, and returns its end.
    fn members(
        &mut self,
        window: &Window<'_>,
        start: usize,
        group: Option<usize>,
        key: &mut KeyFields,
    ) -> Result<usize, Stop> {
        let mut at = behind_space(window.bytes, start + 1);
        if byte(window, at, "a field's name or '}'")? == b'}' {
            return Ok(at + 1);
        }
        for place in 0.. {
            at = match group {
                None => self.field(window, at, place, key)?,
                Some(group) => self.field_of_group(window, at, group, key)?,
            };
            at = behind_space(window.bytes, at);
            match byte(window, at, "a comma or '}'")? {
                b',' => at = behind_space(window.bytes, at + 1),
                b'}' => return Ok(at + 1),
                _ => {
                    return Err(Stop::fault(
                        code::CANNOT_PARSE_INPUT,
                        at,
                        "expected a comma or '}'",
                    ));
                }
            }
        }
        Ok(at)
    }

    /// Passes one `"name": value`, the row's field number `place`.
    fn field(
        &mut self,
        window: &Window<'_>,
        at: usize,
        place: usize,
        key: &mut KeyFields,
    ) -> Result<usize, Stop> {
        match self.find(window, at, place)? {
            (Field::Column(column), behind_name) => self.value(window, behind_name, column, key),
            (Field::Group(group), behind_name) => {
                let start = behind_colon(window, behind_name)?;
                if byte(window, start, "a Nested group's columns")? != b'{' {
                    let message = "expected '{', because the field has the name of a Nested group";
                    return Err(Stop::fault(code::CANNOT_PARSE_INPUT, start, message));
                }
                self.members(window, start, Some(group), key)
            }
        }
    }

    /// Passes one `"name": value` inside a Nested group.
    fn field_of_group(
        &mut self,
        window: &Window<'_>,
        at: usize,
        group: usize,
        key: &mut KeyFields,
    ) -> Result<usize, Stop> {
        let name = scan::name(window, at)?;
        let mut scratch = Vec::new();
        let text = name_text(&window.bytes[name.clone()], name.start, &mut scratch)?;
        let column = self.names.look_up_in(group, text, name.start)?;
        if let Some(column) = column {
            self.names.see(column, at)?;
        }
        self.value(window, name.end + 1, column, key)
    }

    /// Passes the colon and the value behind a field's name; no column for a field to be skipped.
    fn value(
        &mut self,
        window: &Window<'_>,
        behind_name: usize,
        column: Option<usize>,
        key: &mut KeyFields,
    ) -> Result<usize, Stop> {
        let start = behind_colon(window, behind_name)?;
        let end = scan::value(window, start, &mut self.nesting)?;
        if let Some(column) = column {
            self.tokens.check(window, start)?;
            if let Some(index) = self.names.keys[column] {
                key[index] = Some(start..end);
            }
            if self.lines.is_some() {
                self.found.push((column, start..end));
            }
        }
        Ok(end)
    }

    /// What the name at `at` is that of, and the first byte behind the name.
    fn find(&mut self, window: &Window<'_>, at: usize, place: usize) -> Result<(Field, usize), Stop> {
        let (column, end) = match self.names.predicted(&window.bytes[at..], place) {
            Some((column, len)) => (Some(column), at + len),
            None => {
                let name = scan::name(window, at)?;
                let mut scratch = Vec::new();
                let text = name_text(&window.bytes[name.clone()], name.start, &mut scratch)?;
                if let Some(group) = self.names.group_of(text) {
                    return Ok((Field::Group(group), name.end + 1));
                }
                (self.names.look_up(text, place, name.start)?, name.end + 1)
            }
        };
        if let Some(column) = column {
            self.names.see(column, at)?;
        }
        Ok((Field::Column(column), end))
    }
}

/// What a field of a row is.
enum Field {
    /// A column's value; none for a field to be skipped.
    Column(Option<usize>),
    /// An object of a Nested group's columns.
    Group(usize),
}

/// The first byte of the value behind a field's name.
fn behind_colon(window: &Window<'_>, behind_name: usize) -> Result<usize, Stop> {
    let colon = behind_space(window.bytes, behind_name);
    if byte(window, colon, "a colon")? != b':' {
        return Err(Stop::fault(
            code::CANNOT_PARSE_INPUT,
            colon,
            "expected a colon behind the field's name",
        ));
    }
    Ok(behind_space(window.bytes, colon + 1))
}

/// A name freed from its escapes.
pub(crate) fn name_text<'a>(
    written: &'a [u8],
    at: usize,
    scratch: &'a mut Vec<u8>,
) -> Result<&'a [u8], Stop> {
    text::unescape(written, scratch).map_err(|error| {
        Stop::fault(
            error.code,
            at,
            format!("expected {} in a field's name", error.expected),
        )
    })
}

#[cfg(test)]
mod tests;
