//! JSONObjectEachRow: one object whose members are the rows; their names may fill a column.

use std::ops::Range;

use types::ColumnDef;

use crate::error::{FormatError, code};
use crate::escape;
use crate::framing::{
    Fault, Framing, KeyFields, Step, Stop, Token, ValueError, Window, behind_space, byte, skip_mark,
};
use crate::json_each_row::{Objects, scan};
use crate::json_rows::{JsonRow, Values};
use crate::stream::Input;

pub(crate) fn open(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    let wanted = &input.settings.json_object_name_column;
    let name_column = input.columns.iter().position(|column| column.name == *wanted);
    if name_column.is_none() && !wanted.is_empty() {
        let message = format!(
            "there is no column {wanted}, which format_json_object_each_row_column_for_object_name says, among those of the INSERT"
        );
        return Err(FormatError::plain(code::NO_SUCH_COLUMN, message));
    }
    Ok(Box::new(ObjectEachRow {
        rows: Objects::new(input, Values::Json)?,
        place: Place::Start,
        prefix: escape::json_name(wanted),
        name_key: name_column.and_then(|column| {
            let name = &input.columns[column].name;
            input.key.iter().position(|key| key.name == *name)
        }),
        name_column,
        name: 0..0,
    }))
}

struct ObjectEachRow {
    rows: Objects,
    place: Place,
    /// The column that takes the rows' names.
    name_column: Option<usize>,
    name_key: Option<usize>,
    /// That column's name as it stands in a row.
    prefix: Vec<u8>,
    /// Where the name of the row at hand stands, with its quotes.
    name: Range<usize>,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    Open,
    /// A row with its name, or the end.
    RowOrEnd,
    /// A row with its name.
    Row,
    /// A comma or the end.
    CommaOrEnd,
    BehindAll,
}

impl Place {
    fn expected(self) -> &'static str {
        match self {
            Self::Start | Self::Open => "'{', which begins the object of all rows",
            Self::RowOrEnd => "a row's name or '}'",
            Self::Row => "a row's name",
            Self::CommaOrEnd => "a comma or '}' behind a row",
            Self::BehindAll => "the end of the data",
        }
    }
}

impl Framing for ObjectEachRow {
    fn step(&mut self, window: &Window<'_>, at: usize, key: &mut KeyFields) -> Result<Step, Stop> {
        let next = behind_space(window.bytes, at);
        if next > at {
            return Ok(Step::Skipped { next });
        }
        let Some(&found) = window.bytes.get(at) else {
            return match self.place {
                Place::Start | Place::Open | Place::BehindAll => Ok(Step::End),
                place => Err(Stop::More {
                    expected: place.expected(),
                }),
            };
        };
        let place = match (self.place, found) {
            (Place::Start, _) => {
                let step = skip_mark(window, at)?;
                self.place = Place::Open;
                return Ok(step.unwrap_or(Step::Skipped { next: at }));
            }
            (Place::RowOrEnd | Place::Row, b'"') => return self.row(window, at, key),
            (Place::Open, b'{') => Place::RowOrEnd,
            (Place::CommaOrEnd, b',') => Place::Row,
            (Place::RowOrEnd | Place::CommaOrEnd, b'}') => Place::BehindAll,
            (place, _) => {
                let message = format!("expected {}", place.expected());
                return Err(Stop::fault(code::CANNOT_PARSE_INPUT, at, message));
            }
        };
        self.place = place;
        Ok(Step::Skipped { next: at + 1 })
    }

    fn token<'a>(
        &self,
        index: usize,
        field: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Result<Token<'a>, ValueError> {
        self.rows.token(index, field, scratch)
    }

    fn columns(&self) -> &[ColumnDef] {
        self.rows.columns()
    }

    fn rewrites(&self) -> bool {
        self.name_column.is_some()
    }

    fn write(
        &self,
        bytes: &[u8],
        row: Range<usize>,
        key: &mut KeyFields,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        out.push(b'{');
        out.extend_from_slice(&self.prefix);
        out.push(b':');
        let name_at = out.len();
        out.extend_from_slice(&bytes[self.name.clone()]);
        let name_end = out.len();
        let inner = row.start + 1;
        if bytes[behind_space(bytes, inner)] != b'}' {
            out.push(b',');
        }
        let to = out.len();
        out.extend_from_slice(&bytes[inner..row.end]);
        for (index, field) in key.iter_mut().enumerate() {
            if Some(index) == self.name_key {
                *field = Some(name_at..name_end);
            } else if let Some(field) = field {
                *field = field.start - inner + to..field.end - inner + to;
            }
        }
        Ok(())
    }
}

impl ObjectEachRow {
    fn row(&mut self, window: &Window<'_>, at: usize, key: &mut KeyFields) -> Result<Step, Stop> {
        let name = scan::name(window, at)?;
        let colon = behind_space(window.bytes, name.end + 1);
        if byte(window, colon, "a colon")? != b':' {
            let message = "expected a colon behind the row's name";
            return Err(Stop::fault(code::CANNOT_PARSE_INPUT, colon, message));
        }
        let start = behind_space(window.bytes, colon + 1);
        if byte(window, start, "a row")? != b'{' {
            let message = "expected a row, which begins with '{'";
            return Err(Stop::fault(code::CANNOT_PARSE_INPUT, start, message));
        }
        self.name = at..name.end + 1;
        let end = self.rows.row_without(window, start, self.name_column, key)?;
        if let Some(index) = self.name_key {
            key[index] = Some(self.name.clone());
        }
        self.place = Place::CommaOrEnd;
        Ok(Step::Row {
            row: start..end,
            next: end,
        })
    }
}

#[cfg(test)]
mod tests;
