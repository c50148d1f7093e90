//! JSONCompactEachRow and JSONCompactStringsEachRow: arrays, columns by their places; perhaps behind a header.

use std::ops::Range;

use types::ColumnDef;

use crate::error::{FormatError, code};
use crate::escape;
use crate::format::Payload;
use crate::framing::{Fault, Framing, KeyFields, Stop, Token, ValueError, Window, behind_space, byte};
use crate::header::{Announced, Header};
use crate::json_each_row::{name_text, scan};
use crate::json_rows::{self, JsonRow, Sequence, Tokens, Values};
use crate::settings::Family;
use crate::stream::Input;

pub(crate) fn open(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    open_as(input, Values::Json, Announced::Nothing)
}

pub(crate) fn open_with_names(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    open_as(input, Values::Json, Announced::Names)
}

pub(crate) fn open_with_names_and_types(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    open_as(input, Values::Json, Announced::NamesAndTypes)
}

pub(crate) fn open_strings(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    open_as(input, Values::Strings, Announced::Nothing)
}

pub(crate) fn open_strings_with_names(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    open_as(input, Values::Strings, Announced::Names)
}

pub(crate) fn open_strings_with_names_and_types(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    open_as(input, Values::Strings, Announced::NamesAndTypes)
}

fn open_as(input: &Input<'_>, values: Values, header: Announced) -> Result<Box<dyn Framing>, FormatError> {
    Ok(Box::new(Sequence::new(Arrays::new(input, values, header)?)))
}

/// Rows that are arrays.
pub(crate) struct Arrays {
    header: Header,
    /// What of the header is still to come.
    due: Announced,
    fields: Vec<Field>,
    columns: Vec<ColumnDef>,
    key: Vec<ColumnDef>,
    tokens: Tokens,
    target: Target,
    /// Whether a row may have fewer or more values than there are columns.
    variable: bool,
    rewrites: bool,
    /// Whether a `meta` told the columns.
    has_meta: bool,
    /// Where the values of the row at hand lie, if rows are rewritten.
    found: Vec<Range<usize>>,
    nesting: Vec<u8>,
}

/// One value of a row.
struct Field {
    /// The column it belongs to; none for one to be left out.
    column: Option<usize>,
    key: Option<usize>,
}

/// What rows become.
enum Target {
    Arrays,
    /// Objects, with the columns' names in front of their values.
    Objects(Vec<Vec<u8>>),
    /// Lines, the strings' texts in them.
    TabSeparated,
}

impl JsonRow for Arrays {
    const OPEN: u8 = b'[';
    const ROW: &'static str = "a row, which begins with '['";
    const ARRAY: bool = false;

    fn row(&mut self, window: &Window<'_>, start: usize, key: &mut KeyFields) -> Result<usize, Stop> {
        self.found.clear();
        let mut at = behind_space(window.bytes, start + 1);
        if byte(window, at, "a value or ']'")? == b']' {
            return self.closed(0, at);
        }
        for place in 0.. {
            at = self.value(window, at, place, key)?;
            match byte(window, at, "a comma or ']'")? {
                b',' => at = behind_space(window.bytes, at + 1),
                b']' => return self.closed(place + 1, at),
                _ => {
                    return Err(Stop::fault(
                        code::CANNOT_PARSE_INPUT,
                        at,
                        "expected a comma or ']'",
                    ));
                }
            }
        }
        Ok(at)
    }

    fn header_is_due(&self) -> bool {
        self.due != Announced::Nothing
    }

    fn header(&mut self, window: &Window<'_>, start: usize) -> Result<usize, Stop> {
        let (texts, end) = strings(window, start)?;
        match self.due {
            Announced::Types { .. } => {
                self.header.check_types(&texts).map_err(|error| error.at(start))?;
                self.due = Announced::Nothing;
            }
            due => {
                let columns = self.header.columns(&texts).map_err(|error| error.at(start))?;
                self.set_fields(columns);
                self.due = due.behind_names(texts.len());
            }
        }
        Ok(end)
    }

    fn meta(&mut self, names: &[Vec<u8>], types: &[Vec<u8>]) -> Result<(), String> {
        let columns = self.header.columns(names).map_err(|error| error.0)?;
        self.set_fields(columns);
        self.has_meta = true;
        self.header.check_types(types).map_err(|error| error.0)
    }

    fn needs_meta(&self) -> bool {
        !self.has_meta
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
        self.rewrites
    }

    fn write(
        &self,
        bytes: &[u8],
        _: Range<usize>,
        key: &mut KeyFields,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let (open, separator, close): (&[u8], u8, &[u8]) = match self.target {
            Target::Arrays => (b"[", b',', b"]"),
            Target::Objects(_) => (b"{", b',', b"}"),
            Target::TabSeparated => (b"", b'\t', b""),
        };
        out.extend_from_slice(open);
        let mut is_first = true;
        for (field, found) in self.fields.iter().zip(&self.found) {
            let Some(column) = field.column else { continue };
            if !is_first {
                out.push(separator);
            }
            is_first = false;
            if let Target::Objects(names) = &self.target {
                out.extend_from_slice(&names[column]);
                out.push(b':');
            }
            let start = out.len();
            self.write_value(column, bytes, found, out)?;
            if let Some(index) = field.key {
                key[index] = Some(start..out.len());
            }
        }
        out.extend_from_slice(close);
        Ok(())
    }
}

impl Arrays {
    pub(crate) fn new(input: &Input<'_>, values: Values, due: Announced) -> Result<Self, FormatError> {
        input.settings.allow(Family::Json)?;
        let target = match input.payload {
            Some(Payload::JsonEachRow) => Target::Objects(Vec::new()),
            Some(Payload::TabSeparated) => Target::TabSeparated,
            _ => Target::Arrays,
        };
        if matches!(target, Target::TabSeparated) {
            input.settings.texts_as_tab_separated()?;
        }
        let variable = input.settings.json_compact_variable;
        if variable && matches!(target, Target::TabSeparated) {
            return Err(FormatError::plain(
                code::NOT_IMPLEMENTED,
                "rows of a variable number of values cannot be written as TabSeparated, which an old shard needs here",
            ));
        }
        let mut arrays = Self {
            header: Header::new(input, false),
            due,
            fields: Vec::new(),
            columns: Vec::new(),
            key: input.key.to_vec(),
            tokens: Tokens::new(input, values),
            target,
            variable,
            rewrites: false,
            has_meta: false,
            found: Vec::new(),
            nesting: Vec::new(),
        };
        arrays.set_fields(input.columns.iter().cloned().map(Some).collect());
        Ok(arrays)
    }

    fn set_fields(&mut self, fields: Vec<Option<ColumnDef>>) {
        self.fields.clear();
        self.columns.clear();
        self.rewrites = !matches!(self.target, Target::Arrays) || fields.iter().any(Option::is_none);
        for column in fields {
            let key = column
                .as_ref()
                .and_then(|column| self.key.iter().position(|key| key.name == column.name));
            self.fields.push(Field {
                column: column.as_ref().map(|_| self.columns.len()),
                key,
            });
            self.columns.extend(column);
        }
        if let Target::Objects(names) = &mut self.target {
            *names = self
                .columns
                .iter()
                .map(|column| escape::json_name(&column.name))
                .collect();
        }
    }

    /// Passes the value number `place` and the white space behind it.
    fn value(
        &mut self,
        window: &Window<'_>,
        at: usize,
        place: usize,
        key: &mut KeyFields,
    ) -> Result<usize, Stop> {
        // White space may go on where the window ends, and errors are told behind it.
        byte(window, at, "a value")?;
        let Some(field) = self.fields.get(place) else {
            if !self.variable {
                let message = format!("expected ']' behind {} values", self.fields.len());
                return Err(Stop::fault(code::CANNOT_PARSE_INPUT, at, message));
            }
            let end = scan::value(window, at, &mut self.nesting)?;
            return Ok(behind_space(window.bytes, end));
        };
        let end = scan::value(window, at, &mut self.nesting)?;
        self.tokens.check(window, at)?;
        if let Some(index) = field.key {
            key[index] = Some(at..end);
        }
        if self.rewrites {
            self.found.push(at..end);
        }
        Ok(behind_space(window.bytes, end))
    }

    /// The end of a row of `count` values whose bracket closes at `at`.
    fn closed(&self, count: usize, at: usize) -> Result<usize, Stop> {
        if count < self.fields.len() && !self.variable {
            let message = format!("expected {} values in a row, found {count}", self.fields.len());
            return Err(Stop::fault(code::CANNOT_PARSE_INPUT, at, message));
        }
        Ok(at + 1)
    }

    fn write_value(
        &self,
        column: usize,
        bytes: &[u8],
        found: &Range<usize>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        if let Target::TabSeparated = self.target {
            return json_rows::write_escaped(&self.columns[column], bytes, found, out);
        }
        out.extend_from_slice(&bytes[found.clone()]);
        Ok(())
    }
}

/// The texts of an array of strings, and its end.
fn strings(window: &Window<'_>, start: usize) -> Result<(Vec<Vec<u8>>, usize), Stop> {
    let mut texts = Vec::new();
    let mut at = start;
    loop {
        at = behind_space(window.bytes, at + 1);
        let name = scan::name(window, at)?;
        let mut scratch = Vec::new();
        texts.push(name_text(&window.bytes[name.clone()], name.start, &mut scratch)?.to_vec());
        at = behind_space(window.bytes, name.end + 1);
        match byte(window, at, "a comma or ']' in the header")? {
            b',' => {}
            b']' => return Ok((texts, at + 1)),
            _ => {
                return Err(Stop::fault(
                    code::CANNOT_PARSE_INPUT,
                    at,
                    "expected a comma or ']' in the header",
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests;
