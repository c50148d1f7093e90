//! JSONEachRow: objects one behind the other, separated by white space, commas or nothing, perhaps inside one
//! array.
//!
//! Values of columns that the key does not read are only followed to their end: strings, brackets and bare
//! words must be well formed, what they mean is the shard's business.

mod scan;
mod text;

use std::collections::HashMap;
use std::ops::Range;

use types::ColumnDef;

use crate::error::{FormatError, code};
use crate::framing::{
    Framing, KeyFields, Step, Stop, Token, ValueError, Window, behind_space, byte, skip_mark,
};
use crate::settings::Family;
use crate::stream::Input;

pub(crate) fn open(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    input.settings.allow(Family::Json)?;
    Ok(Box::new(JsonEachRow {
        place: Place::Start,
        fields: Fields::new(input),
        columns: input.columns.clone(),
        nesting: Vec::new(),
    }))
}

struct JsonEachRow {
    place: Place,
    fields: Fields,
    columns: Vec<ColumnDef>,
    /// The brackets around the value being passed; memory that is used again.
    nesting: Vec<u8>,
}

/// What may come next between rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    /// In front of the first row.
    First {
        array: bool,
    },
    /// Behind a row: a comma, another row, or the end.
    BehindRow {
        array: bool,
    },
    /// Behind a comma: a row, or without an array the end.
    BehindComma {
        array: bool,
    },
    /// Behind the array: one `;`, white space.
    BehindArray,
    /// Behind a `;`: white space.
    BehindAll,
}

const ROW: &str = "a row, which begins with '{'";

impl Framing for JsonEachRow {
    fn step(&mut self, window: &Window<'_>, at: usize, key: &mut KeyFields) -> Result<Step, Stop> {
        let next = behind_space(window.bytes, at);
        if next > at {
            return Ok(Step::Skipped { next });
        }
        if at == window.bytes.len() {
            return self.end();
        }
        if self.place == Place::Start {
            let step = skip_mark(window, at)?;
            self.place = Place::First { array: false };
            return Ok(step.unwrap_or(Step::Skipped { next: at }));
        }
        match (window.bytes[at], self.place) {
            (b'{', Place::First { array } | Place::BehindRow { array } | Place::BehindComma { array }) => {
                let end = self.row(window, at, key)?;
                self.place = Place::BehindRow { array };
                Ok(Step::Row {
                    row: at..end,
                    next: end,
                })
            }
            (separator, place) => {
                self.place = place.behind(separator).map_err(|expected| {
                    Stop::fault(code::CANNOT_PARSE_INPUT, at, format!("expected {expected}"))
                })?;
                Ok(Step::Skipped { next: at + 1 })
            }
        }
    }

    fn token<'a>(
        &self,
        _: usize,
        field: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Result<Token<'a>, ValueError> {
        match field {
            b"null" => Ok(Token::Null),
            [b'"', inner @ .., b'"'] => text::unescape(inner, scratch).map(Token::Text),
            bare => Ok(Token::Json(bare)),
        }
    }

    fn columns(&self) -> &[ColumnDef] {
        &self.columns
    }
}

impl Place {
    /// Where a byte that is no row leads; else what was expected.
    fn behind(self, byte: u8) -> Result<Self, &'static str> {
        match (byte, self) {
            (b'[', Self::First { array: false }) => Ok(Self::First { array: true }),
            (b']', Self::First { array: true } | Self::BehindRow { array: true }) => Ok(Self::BehindArray),
            (b',', Self::BehindRow { array }) => Ok(Self::BehindComma { array }),
            (b';', Self::First { array: false } | Self::BehindRow { array: false } | Self::BehindArray) => {
                Ok(Self::BehindAll)
            }
            (_, Self::BehindArray | Self::BehindAll) => Err("the end of the data"),
            (_, Self::BehindRow { array: true }) => Err("a comma, a row or ']'"),
            _ => Err(ROW),
        }
    }
}

impl JsonEachRow {
    fn end(&self) -> Result<Step, Stop> {
        match self.place {
            Place::First { array: true }
            | Place::BehindRow { array: true }
            | Place::BehindComma { array: true } => Err(Stop::More {
                expected: "']' at the end of the array",
            }),
            _ => Ok(Step::End),
        }
    }

    /// Passes the object at `start` and returns its end.
    fn row(&mut self, window: &Window<'_>, start: usize, key: &mut KeyFields) -> Result<usize, Stop> {
        self.fields.begin_row();
        let mut at = behind_space(window.bytes, start + 1);
        if byte(window, at, "a field's name or '}'")? == b'}' {
            return Ok(at + 1);
        }
        for place in 0.. {
            at = self.field(window, at, place, key)?;
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

    /// Passes one `"name": value`, the object's field number `place`.
    fn field(
        &mut self,
        window: &Window<'_>,
        at: usize,
        place: usize,
        key: &mut KeyFields,
    ) -> Result<usize, Stop> {
        let (column, behind_name) = self.fields.find(window, at, place)?;
        let colon = behind_space(window.bytes, behind_name);
        if byte(window, colon, "a colon")? != b':' {
            return Err(Stop::fault(
                code::CANNOT_PARSE_INPUT,
                colon,
                "expected a colon behind the field's name",
            ));
        }
        let start = behind_space(window.bytes, colon + 1);
        let end = scan::value(window, start, &mut self.nesting)?;
        if let Some(index) = column.and_then(|column| self.fields.keys[column]) {
            key[index] = Some(start..end);
        }
        Ok(end)
    }
}

/// The columns by their names.
struct Fields {
    by_name: HashMap<Vec<u8>, usize>,
    /// Each column's name as it usually stands in a row, with its quotes.
    quoted: Vec<Vec<u8>>,
    key_names: Vec<Vec<u8>>,
    /// The key column that a column is.
    keys: Vec<Option<usize>>,
    /// The column at each place of the row before: most bodies keep their order, so a name costs one
    /// comparison.
    order: Vec<Option<usize>>,
    /// The row in which each column was last seen, to notice a second time.
    seen: Vec<u64>,
    row: u64,
    skip_unknown: bool,
}

impl Fields {
    fn new(input: &Input<'_>) -> Self {
        let columns = &input.columns;
        let names = columns.iter().enumerate();
        Self {
            by_name: names
                .map(|(index, column)| (column.name.clone().into_bytes(), index))
                .collect(),
            quoted: columns
                .iter()
                .map(|column| format!("\"{}\"", column.name).into_bytes())
                .collect(),
            key_names: input
                .key
                .iter()
                .map(|key| key.name.clone().into_bytes())
                .collect(),
            keys: columns
                .iter()
                .map(|column| input.key.iter().position(|key| key.name == column.name))
                .collect(),
            order: Vec::new(),
            seen: vec![0; columns.len()],
            row: 0,
            skip_unknown: input.settings.skip_unknown_fields,
        }
    }

    /// A row that is read a second time, after more bytes came, counts as another one.
    fn begin_row(&mut self) {
        self.row += 1;
    }

    /// The column whose name stands at `at` and the first byte behind the name; no column for a field to be
    /// skipped.
    fn find(&mut self, window: &Window<'_>, at: usize, place: usize) -> Result<(Option<usize>, usize), Stop> {
        let (column, end) = match self.predicted(&window.bytes[at..], place) {
            Some((column, len)) => (Some(column), at + len),
            None => {
                let name = scan::name(window, at)?;
                let end = name.end + 1;
                (self.look_up(window, name, place)?, end)
            }
        };
        if let Some(column) = column {
            if self.seen[column] == self.row {
                return Err(Stop::fault(
                    code::INCORRECT_DATA,
                    at,
                    "this field stands in the row a second time",
                ));
            }
            self.seen[column] = self.row;
        }
        Ok((column, end))
    }

    fn predicted(&self, rest: &[u8], place: usize) -> Option<(usize, usize)> {
        let column = (*self.order.get(place)?)?;
        let quoted = &self.quoted[column];
        rest.starts_with(quoted).then_some((column, quoted.len()))
    }

    fn look_up(
        &mut self,
        window: &Window<'_>,
        name: Range<usize>,
        place: usize,
    ) -> Result<Option<usize>, Stop> {
        let mut scratch = Vec::new();
        let text = text::unescape(&window.bytes[name.clone()], &mut scratch).map_err(|error| {
            Stop::fault(
                error.code,
                name.start,
                format!("expected {} in a field's name", error.expected),
            )
        })?;
        let column = self.by_name.get(text).copied();
        if column.is_none() {
            self.may_skip(text)
                .map_err(|message| Stop::fault(code::INCORRECT_DATA, name.start, message))?;
        }
        self.remember(place, column);
        Ok(column)
    }

    fn remember(&mut self, place: usize, column: Option<usize>) {
        // A row of many unknown fields must not make this grow.
        if place < self.quoted.len() {
            self.order.resize(self.order.len().max(place + 1), None);
            self.order[place] = column;
        }
    }

    /// Newer servers match names regardless of case when no other way fits: such a field of the key is not
    /// skipped.
    fn may_skip(&self, name: &[u8]) -> Result<(), &'static str> {
        let is_key_but_for_case = self
            .key_names
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name));
        if !self.skip_unknown {
            Err("unknown field; set input_format_skip_unknown_fields = 1 to have such fields skipped")
        } else if is_key_but_for_case {
            Err("this field differs from a column of the sharding key in case only")
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
