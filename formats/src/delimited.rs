//! Rows of fields with a delimiter between them and a line end behind them: what TabSeparated, CSV and CustomSeparated
//! share.
//!
//! A [`Dialect`] knows how one field ends and what its text is; this file counts fields, reads headers, finds a header
//! that nobody announced, and puts rows together again that must be written anew.

use std::ops::Range;

use types::{ColumnDef, DataType};

use crate::error::{FormatError, code};
use crate::framing::{Fault, Framing, KeyFields, Leaf, Step, Stop, Token, ValueError, Window, skip_mark};
use crate::header::{Announced, Header};
use crate::nested;
use crate::stream::Input;

/// What ends a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Delimiter,
    Line,
}

/// One field in the window.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FieldAt {
    /// The field with its quotes, without the space around it.
    pub content: Range<usize>,
    pub ending: Ending,
    /// The first byte behind the delimiter or the line end.
    pub next: usize,
}

/// Whether a field's text is bare for the format, which decides about quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nature {
    /// String, FixedString, Enum, and a header's names.
    Word,
    /// The same inside Nullable.
    NullableWord,
    /// An array, a tuple or a map in one field: the strings in it are quoted.
    Nested,
    /// Bool, which CSV takes without quotes only.
    Flag,
    /// Any other type.
    Other,
}

impl Nature {
    /// Whether either kind of quotes may stand around a value in CSV.
    pub(crate) fn takes_any_quotes(self) -> bool {
        matches!(self, Self::Other)
    }
}

/// A field as its row expects it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    pub nature: Nature,
    /// Whether it is the last of its row; a header's line has no last one.
    pub is_last: bool,
}

/// What was read in front of the place where a row may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Behind {
    /// A row or a line of the header.
    pub any: bool,
    /// A line that ended in LF alone, so that the other half of LF CR may follow.
    pub lone_lf: bool,
}

/// What stands where a row may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A row, whose first field begins here.
    Row(usize),
    /// Bytes that belong to no row, up to here.
    Skip(usize),
    /// The body's end.
    End,
}

/// What stands around and between the fields of a row that is written anew.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Punctuation {
    pub open: &'static str,
    pub separator: u8,
    pub close: &'static str,
}

/// How one format writes its fields.
pub(crate) trait Dialect: Send {
    /// The delimiter's name in errors.
    const DELIMITER: &'static str;
    /// The code of a line with too many fields.
    const SURPLUS: i32;

    /// Finds the field at `at`. The body's end ends a line too.
    fn field(&self, window: &Window<'_>, at: usize, expected: Expected) -> Result<FieldAt, Stop>;

    /// Reads a field's text.
    fn token<'a>(
        &self,
        field: &'a [u8],
        nature: Nature,
        scratch: &'a mut Vec<u8>,
    ) -> Result<Token<'a>, ValueError>;

    /// Where the row really ends if a delimiter behind its last field is allowed; `next` is the byte behind
    /// it.
    fn end_behind_delimiter(&self, _: &Window<'_>, _next: usize) -> Result<Option<usize>, Stop> {
        Ok(None)
    }

    /// What stands in front of all rows and header lines; the first byte behind it.
    fn opening(&self, _: &Window<'_>, at: usize) -> Result<usize, Stop> {
        Ok(at)
    }

    /// Whether the body may end where a row might begin.
    fn may_end(&self) -> Result<(), Stop> {
        Ok(())
    }

    /// What stands at `at`, where a row may begin.
    fn place(&self, _: &Window<'_>, at: usize, _: Behind) -> Result<Place, Stop> {
        Ok(Place::Row(at))
    }

    fn punctuation(&self) -> Punctuation;

    /// Whether fields are written otherwise in the payload format.
    fn rewrites(&self) -> bool {
        false
    }

    /// Writes a field as the payload format has it.
    fn write(&self, field: &[u8], _: &DataType, out: &mut Vec<u8>) -> Result<(), ValueError> {
        out.extend_from_slice(field);
        Ok(())
    }
}

/// What is left of a body's beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    /// A byte order mark, then what follows.
    Mark,
    /// What the dialect has in front of everything.
    Opening,
    /// So many lines that are nothing.
    Lines(u64),
    Header,
    /// No header is left.
    Rows,
}

/// How a body is read besides its dialect.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Habits {
    /// What header the format's name promises.
    pub announced: Announced,
    pub tuples_as_fields: bool,
    /// Lines in front of everything that are nothing.
    pub lines_skipped: u64,
    /// Whether a line may have fewer or more fields.
    pub variable: bool,
}

/// A body of delimited fields.
pub(crate) struct Delimited<D> {
    dialect: D,
    habits: Habits,
    head: Head,
    due: Announced,
    header: Header,
    behind: Behind,
    columns: Vec<ColumnDef>,
    fields: Vec<Field>,
    /// The natures of each key column's fields.
    key_natures: Vec<Vec<Nature>>,
    key: Vec<ColumnDef>,
    rewrites: bool,
    /// Where the fields of the row at hand lie, if rows are rewritten.
    found: Vec<Range<usize>>,
}

/// One field of a row.
struct Field {
    nature: Nature,
    key: Option<usize>,
    /// The column it belongs to; none for one to be left out.
    column: Option<usize>,
}

impl<D: Dialect> Delimited<D> {
    pub(crate) fn new(dialect: D, input: &Input<'_>, habits: Habits) -> Self {
        let mut this = Self {
            dialect,
            habits,
            head: if may_be_data(input, habits.announced) {
                Head::Opening
            } else {
                Head::Mark
            },
            due: habits.announced,
            header: Header::new(input, habits.tuples_as_fields),
            behind: Behind {
                any: false,
                lone_lf: false,
            },
            columns: Vec::new(),
            fields: Vec::new(),
            key_natures: input
                .key
                .iter()
                .map(|column| natures(&column.data_type, habits.tuples_as_fields))
                .collect(),
            key: input.key.to_vec(),
            rewrites: false,
            found: Vec::new(),
        };
        this.set_columns(input.columns.iter().cloned().map(Some).collect());
        this
    }

    fn set_columns(&mut self, columns: Vec<Option<ColumnDef>>) {
        self.fields.clear();
        self.columns.clear();
        self.rewrites = self.dialect.rewrites() || columns.iter().any(Option::is_none);
        for column in columns {
            let Some(column) = column else {
                self.fields.push(Field {
                    nature: Nature::Word,
                    key: None,
                    column: None,
                });
                continue;
            };
            let key = self.key.iter().position(|key| key.name == column.name);
            let natures = natures(&column.data_type, self.habits.tuples_as_fields);
            self.fields.extend(natures.into_iter().map(|nature| Field {
                nature,
                key,
                column: Some(self.columns.len()),
            }));
            self.columns.push(column);
        }
    }

    fn row(
        &mut self,
        window: &Window<'_>,
        start: usize,
        key: &mut KeyFields,
    ) -> Result<(Range<usize>, usize), Stop> {
        self.found.clear();
        let mut at = start;
        let last = self.fields.len() - 1;
        for (index, field) in self.fields.iter().enumerate() {
            let expected = Expected {
                nature: field.nature,
                is_last: index == last,
            };
            let found = self.dialect.field(window, at, expected)?;
            at = found.next;
            let end = found.content.end;
            if self.rewrites {
                self.found.push(found.content.clone());
            }
            self.note(index, found.content, key);
            match (found.ending, index == last) {
                (Ending::Delimiter, false) => {}
                (Ending::Delimiter, true) => return self.surplus(window, start..end, at),
                (Ending::Line, false) if !self.habits.variable => return Err(self.lack(index, end)),
                (Ending::Line, _) => return Ok((start..end, at)),
            }
        }
        // Only a row without fields comes here; `need_columns` has refused it.
        Ok((start..at, at))
    }

    /// Notes where the field is, together with the fields in front of it that belong to the same column.
    fn note(&self, field: usize, place: Range<usize>, key: &mut KeyFields) {
        let Some(index) = self.fields[field].key else {
            return;
        };
        let is_first = field == 0 || self.fields[field - 1].key != Some(index);
        let start = key[index]
            .as_ref()
            .filter(|_| !is_first)
            .map_or(place.start, |before| before.start);
        key[index] = Some(start..place.end);
    }

    /// The fields of a Tuple, which lie one behind the other.
    fn fields_of_tuple(&self, natures: &[Nature], fields: &[u8]) -> Result<Vec<Leaf>, ValueError> {
        let window = Window {
            bytes: fields,
            last: true,
            row_bytes_max: fields.len(),
        };
        let mut leaves = Vec::new();
        let mut at = 0;
        for (place, nature) in natures.iter().enumerate() {
            let expected = Expected {
                nature: *nature,
                is_last: place + 1 == natures.len(),
            };
            let found = self
                .dialect
                .field(&window, at, expected)
                .map_err(|_| TUPLE_FIELDS)?;
            let mut scratch = Vec::new();
            leaves.push(
                match self
                    .dialect
                    .token(&fields[found.content], *nature, &mut scratch)?
                {
                    Token::Null => Leaf::Null,
                    Token::Absent => Leaf::Absent,
                    Token::Text(text) => Leaf::Text(text.to_vec()),
                    _ => return Err(TUPLE_FIELDS),
                },
            );
            at = found.next;
            if found.ending == Ending::Line {
                break;
            }
        }
        Ok(leaves)
    }

    fn surplus(
        &self,
        window: &Window<'_>,
        row: Range<usize>,
        mut at: usize,
    ) -> Result<(Range<usize>, usize), Stop> {
        if let Some(next) = self.dialect.end_behind_delimiter(window, at)? {
            return Ok((row, next));
        }
        if !self.habits.variable {
            let count = self.fields.len();
            let message = format!(
                "expected the end of the line behind {count} fields, found {}",
                D::DELIMITER
            );
            return Err(Stop::fault(D::SURPLUS, row.end, message));
        }
        loop {
            let found = self.dialect.field(window, at, HEADER_FIELD)?;
            at = found.next;
            if found.ending == Ending::Line {
                // What is too much is left out of the row.
                return Ok((row, at));
            }
        }
    }

    fn lack(&self, index: usize, at: usize) -> Stop {
        let behind = self.fields[index].column.map(|column| &self.columns[column].name);
        let message = format!(
            "expected {} and {} more fields behind {}, found the end of the line",
            D::DELIMITER,
            self.fields.len() - 1 - index,
            behind.map_or("one to be skipped".to_owned(), |name| format!("column {name}")),
        );
        Stop::fault(code::CANNOT_PARSE_INPUT, at, message)
    }

    /// The texts of one line, however many.
    fn line(&self, window: &Window<'_>, start: usize) -> Result<(Vec<Vec<u8>>, usize), Stop> {
        let Place::Row(mut at) = self.dialect.place(window, start, self.behind)? else {
            return Err(Stop::fault(code::INCORRECT_DATA, start, "expected the header"));
        };
        let mut texts = Vec::new();
        loop {
            let found = self.dialect.field(window, at, HEADER_FIELD)?;
            let mut scratch = Vec::new();
            let token = self
                .dialect
                .token(&window.bytes[found.content.clone()], Nature::Word, &mut scratch);
            texts.push(
                match token.map_err(|error| fault_in_header(error, found.content.start))? {
                    Token::Text(text) => text.to_vec(),
                    _ => Vec::new(),
                },
            );
            at = found.next;
            if found.ending == Ending::Line {
                return Ok((texts, at));
            }
        }
    }

    /// The step over a line of the header, or over none.
    fn header(&mut self, window: &Window<'_>, at: usize) -> Result<Step, Stop> {
        let next = match self.due {
            Announced::Nothing => {
                self.head = Head::Rows;
                return Ok(Step::Skipped { next: at });
            }
            Announced::Names | Announced::NamesAndTypes => {
                let (names, next) = self.line(window, at)?;
                self.take_names(&names, at)?;
                Some(next)
            }
            Announced::Types { .. } => {
                let (types, next) = self.line(window, at)?;
                self.header.check_types(&types).map_err(|error| error.at(at))?;
                self.due = Announced::Nothing;
                Some(next)
            }
            Announced::Perhaps => self.perhaps_names(window, at)?,
            Announced::PerhapsTypes { names } => self.perhaps_types(window, at, names)?,
        };
        if let Some(next) = next {
            self.note_line(window, next);
        }
        Ok(Step::Skipped {
            next: next.unwrap_or(at),
        })
    }

    fn take_names(&mut self, names: &[Vec<u8>], at: usize) -> Result<(), Stop> {
        let columns = self.header.columns(names).map_err(|error| error.at(at))?;
        self.set_columns(columns);
        self.due = self.due.behind_names(names.len());
        Ok(())
    }

    /// A first line that is a header by its words; what cannot even be read as a line is left to the row's
    /// reading.
    fn perhaps_names(&mut self, window: &Window<'_>, at: usize) -> Result<Option<usize>, Stop> {
        match self.line(window, at) {
            Ok((names, next)) if self.header.is_header(&names) => {
                self.take_names(&names, at)?;
                Ok(Some(next))
            }
            Err(stop @ Stop::More { .. }) if !window.last => Err(stop),
            Ok(_) | Err(_) => {
                self.due = Announced::Nothing;
                Ok(None)
            }
        }
    }

    /// Behind a header that was found, a line of types is one too.
    fn perhaps_types(&mut self, window: &Window<'_>, at: usize, names: usize) -> Result<Option<usize>, Stop> {
        let next = match self.line(window, at) {
            Ok((types, next)) if types.iter().all(|text| is_type(text)) => {
                if types.len() != names {
                    let message = format!("the header has {names} names but {} types", types.len());
                    return Err(Stop::fault(code::INCORRECT_DATA, at, message));
                }
                Some(next)
            }
            Err(stop @ Stop::More { .. }) if !window.last => return Err(stop),
            Ok(_) | Err(_) => None,
        };
        self.due = Announced::Nothing;
        Ok(next)
    }

    /// Notes that a line ended in front of `next`.
    fn note_line(&mut self, window: &Window<'_>, next: usize) {
        self.behind = Behind {
            any: true,
            lone_lf: ends_in_lf(window, next),
        };
    }

    fn rows(&mut self, window: &Window<'_>, at: usize, key: &mut KeyFields) -> Result<Step, Stop> {
        match self.dialect.place(window, at, self.behind)? {
            Place::End => Ok(Step::End),
            Place::Skip(next) => {
                self.behind.lone_lf = false;
                Ok(Step::Skipped { next })
            }
            Place::Row(start) => {
                let (row, next) = self.row(window, start, key)?;
                self.note_line(window, next);
                Ok(Step::Row { row, next })
            }
        }
    }
}

impl<D: Dialect> Framing for Delimited<D> {
    fn step(&mut self, window: &Window<'_>, at: usize, key: &mut KeyFields) -> Result<Step, Stop> {
        if at == window.bytes.len() {
            self.dialect.may_end()?;
            return Ok(Step::End);
        }
        match self.head {
            Head::Rows => self.rows(window, at, key),
            Head::Mark => {
                let step = skip_mark(window, at)?;
                self.head = Head::Opening;
                Ok(step.unwrap_or(Step::Skipped { next: at }))
            }
            Head::Opening => {
                let next = self.dialect.opening(window, at)?;
                self.head = Head::Lines(self.habits.lines_skipped);
                Ok(Step::Skipped { next })
            }
            Head::Lines(0) => {
                self.head = Head::Header;
                Ok(Step::Skipped { next: at })
            }
            Head::Lines(count) => {
                let mut next = at;
                while self.dialect.field(window, next, HEADER_FIELD).map(|found| {
                    next = found.next;
                    found.ending == Ending::Delimiter
                })? {}
                self.head = Head::Lines(count - 1);
                self.behind.lone_lf = ends_in_lf(window, next);
                Ok(Step::Skipped { next })
            }
            Head::Header => self.header(window, at),
        }
    }

    fn token<'a>(
        &self,
        index: usize,
        field: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Result<Token<'a>, ValueError> {
        match self.key_natures[index].as_slice() {
            [nature] => self.dialect.token(field, *nature, scratch),
            natures => self.fields_of_tuple(natures, field).map(Token::Fields),
        }
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
        let Punctuation {
            open,
            separator,
            close,
        } = self.dialect.punctuation();
        out.extend_from_slice(open.as_bytes());
        let mut is_first = true;
        for (place, (field, found)) in self.fields.iter().zip(&self.found).enumerate() {
            let Some(column) = field.column else { continue };
            if !is_first {
                out.push(separator);
            }
            is_first = false;
            let start = out.len();
            let column = &self.columns[column];
            self.dialect
                .write(&bytes[found.clone()], &column.data_type, out)
                .map_err(|error| Fault {
                    code: error.code,
                    at: found.start,
                    message: format!("cannot carry column {}: expected {}", column.name, error.expected),
                })?;
            self.note(place, start..out.len(), key);
        }
        out.extend_from_slice(close.as_bytes());
        Ok(())
    }
}

const HEADER_FIELD: Expected = Expected {
    nature: Nature::Word,
    is_last: false,
};

/// ClickHouse takes a byte order mark for data only where the first column's text may hold any bytes.
fn may_be_data(input: &Input<'_>, announced: Announced) -> bool {
    let first = input
        .columns
        .first()
        .map(|column| column.data_type.without_nullable());
    let any_bytes = matches!(
        first,
        Some(
            DataType::String
                | DataType::FixedString(_)
                | DataType::Array(_)
                | DataType::Tuple(_)
                | DataType::Map(..)
        )
    );
    any_bytes && !matches!(announced, Announced::Names | Announced::NamesAndTypes)
}

fn ends_in_lf(window: &Window<'_>, end: usize) -> bool {
    matches!(window.bytes[..end], [.., before, b'\n'] if before != b'\r') || window.bytes[..end] == *b"\n"
}

/// Of the fields that a column takes.
fn natures(data_type: &DataType, tuples_as_fields: bool) -> Vec<Nature> {
    if !tuples_as_fields {
        return vec![nature(data_type)];
    }
    nested::leaves(data_type).into_iter().map(nature).collect()
}

const TUPLE_FIELDS: ValueError = ValueError {
    code: code::INCORRECT_DATA,
    expected: "the fields of a tuple",
};

pub(crate) fn nature(data_type: &DataType) -> Nature {
    match data_type.without_nullable() {
        DataType::String | DataType::FixedString(_) | DataType::Enum8(_) | DataType::Enum16(_) => {
            if data_type.is_nullable() {
                Nature::NullableWord
            } else {
                Nature::Word
            }
        }
        data_type if nested::is_nested(data_type) => Nature::Nested,
        DataType::Bool => Nature::Flag,
        _ => Nature::Other,
    }
}

fn is_type(text: &[u8]) -> bool {
    let parsed = std::str::from_utf8(text)
        .ok()
        .and_then(|text| DataType::parse(text).ok());
    matches!(parsed, Some(data_type) if !matches!(data_type, DataType::Other(_)))
}

fn fault_in_header(error: ValueError, at: usize) -> Stop {
    Stop::fault(
        error.code,
        at,
        format!("cannot read the header: expected {}", error.expected),
    )
}

/// Fails when a body of lines has no column to fill.
pub(crate) fn need_columns(input: &Input<'_>) -> Result<(), FormatError> {
    if input.columns.is_empty() {
        return Err(FormatError::plain(
            code::NO_SUCH_COLUMN,
            "there is no column that takes INSERTs",
        ));
    }
    Ok(())
}

/// The step over line ends at the body's end, where no line follows them; `None` where one does.
pub(crate) fn empty_lines_to_the_end(window: &Window<'_>, at: usize) -> Result<Option<Place>, Stop> {
    let rest = &window.bytes[at..];
    if !matches!(rest.first(), Some(b'\n' | b'\r')) {
        return Ok(None);
    }
    let is_line_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
    match (rest.iter().all(is_line_end), window.last) {
        (true, true) => Ok(Some(Place::Skip(window.bytes.len()))),
        (true, false) => Err(Stop::More {
            expected: "the rest of the body",
        }),
        (false, _) => Ok(None),
    }
}
