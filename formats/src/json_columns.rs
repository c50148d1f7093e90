//! JSONColumns, JSONCompactColumns and JSONColumnsWithMetadata: an array of values for each column.
//!
//! The body is kept until it is whole, in memory or in a scratch file; then a cursor in each column's array goes from
//! value to value, and the rows are written as lines of JSONEachRow. A value's text is carried as it stands, so that
//! nothing of it is lost, and everything that JSONEachRow knows of rows and keys holds here too.

use types::ColumnDef;

use crate::error::{FormatError, code, near};
use crate::escape;
use crate::framing::{Framing, Stop, Window, behind_space};
use crate::json_each_row::{self, scan};
use crate::native::Store;
use crate::stream::{Input, Lines, Spec};

/// A body, and how its lines are read.
pub(crate) type Opened = (Box<dyn Lines>, Box<dyn Framing>);

pub(crate) fn open(input: &Input<'_>, spec: &Spec<'_>) -> Result<Opened, FormatError> {
    opened(input, spec, Kind::Named)
}

pub(crate) fn open_compact(input: &Input<'_>, spec: &Spec<'_>) -> Result<Opened, FormatError> {
    opened(input, spec, Kind::Compact)
}

pub(crate) fn open_with_metadata(input: &Input<'_>, spec: &Spec<'_>) -> Result<Opened, FormatError> {
    opened(input, spec, Kind::WithMetadata)
}

fn opened(input: &Input<'_>, spec: &Spec<'_>, kind: Kind) -> Result<Opened, FormatError> {
    let lines = JsonColumns {
        kind,
        table: input.columns.clone(),
        store: Store::new(spec.scratch.map_or_else(std::env::temp_dir, Into::into)),
        columns: None,
        value_bytes_max: spec.max_row_bytes,
        rows: 0,
    };
    Ok((Box::new(lines), json_each_row::open(input)?))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Named,
    Compact,
    WithMetadata,
}

/// Lines are handed over once they have so many bytes.
const LINES_BYTES: usize = 256 << 10;

/// A cursor reads pieces of this size, smaller ones where there are many columns.
const PIECE_BYTES: usize = 64 << 10;

/// All cursors' pieces together.
const PIECES_BYTES: usize = 4 << 20;

/// More columns than a table has.
const COLUMNS_MAX: usize = 10_000;

struct JsonColumns {
    kind: Kind,
    table: Vec<ColumnDef>,
    store: Store,
    /// The columns, once the body is whole.
    columns: Option<Vec<Column>>,
    value_bytes_max: usize,
    rows: u64,
}

struct Column {
    /// The name with its quotes, and the colon.
    name: Vec<u8>,
    values: Cursor,
}

/// A position in the body, and the bytes from there on that were read already.
struct Cursor {
    at: u64,
    piece: Vec<u8>,
    /// How much of the piece is done with.
    passed: usize,
    piece_bytes: usize,
}

impl Lines for JsonColumns {
    fn take(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        self.store
            .append(bytes)
            .map_err(|error| self.scratch_error(&error))
    }

    fn next_lines(&mut self, out: &mut Vec<u8>) -> Result<bool, FormatError> {
        let mut columns = match self.columns.take() {
            Some(columns) => columns,
            None => {
                self.store.seal().map_err(|error| self.scratch_error(&error))?;
                self.find_columns()?
            }
        };
        let more = self.write_lines(&mut columns, out)?;
        self.columns = Some(columns);
        Ok(more)
    }
}

impl JsonColumns {
    /// Writes the next rows; says whether there may be more.
    fn write_lines(&mut self, columns: &mut [Column], out: &mut Vec<u8>) -> Result<bool, FormatError> {
        while out.len() < LINES_BYTES {
            let mut ended = 0;
            let start = out.len();
            for column in columns.iter_mut() {
                out.push(if out.len() == start { b'{' } else { b',' });
                out.extend_from_slice(&column.name);
                if !self.next_value(&mut column.values, out)? {
                    ended += 1;
                }
            }
            if ended == columns.len() {
                out.truncate(start);
                return Ok(false);
            }
            if ended > 0 {
                let message = "the columns have different numbers of values";
                return Err(self.error(code::INCORRECT_DATA, self.store.len(), message, &[]));
            }
            out.extend_from_slice(b"}\n");
            self.rows += 1;
        }
        Ok(true)
    }

    /// Appends the next value of a column; false behind the last one.
    fn next_value(&self, cursor: &mut Cursor, out: &mut Vec<u8>) -> Result<bool, FormatError> {
        let mut nesting = Vec::new();
        loop {
            let window = Window {
                bytes: &cursor.piece[cursor.passed..],
                last: cursor.at + cursor.piece.len() as u64 >= self.store.len(),
                row_bytes_max: self.value_bytes_max,
            };
            match value_at(&window, &mut nesting) {
                Ok(Some((value, next))) => {
                    out.extend_from_slice(&window.bytes[value]);
                    cursor.passed += next;
                    return Ok(true);
                }
                Ok(None) => return Ok(false),
                Err(Stop::More { .. }) if !window.last => self.read_on(cursor)?,
                Err(Stop::More { expected }) => {
                    let message = format!("the data ends too early: expected {expected}");
                    return Err(self.error(code::CANNOT_READ_ALL_DATA, self.store.len(), &message, &[]));
                }
                Err(Stop::Fault(fault)) => {
                    let at = cursor.at + (cursor.passed + fault.at) as u64;
                    let here = &window.bytes[fault.at.min(window.bytes.len())..];
                    return Err(self.error(fault.code, at, &fault.message, here));
                }
            }
        }
    }

    /// Gets more bytes in front of a cursor, twice as many where a piece holds no whole value.
    fn read_on(&self, cursor: &mut Cursor) -> Result<(), FormatError> {
        let here = cursor.piece.len() - cursor.passed;
        if here > self.value_bytes_max {
            let message = format!("a value is longer than max_row_bytes = {}", self.value_bytes_max);
            return Err(self.error(code::TOO_MANY_BYTES, cursor.at, &message, &[]));
        }
        cursor.at += cursor.passed as u64;
        cursor.passed = 0;
        let wanted = (2 * here).max(cursor.piece_bytes);
        let mut buffer = Vec::new();
        let piece = self.store.piece(cursor.at, wanted, &mut buffer);
        let piece = piece.map_err(|error| self.scratch_error(&error))?;
        cursor.piece.clear();
        cursor.piece.extend_from_slice(piece);
        cursor.piece.shrink_to(wanted);
        Ok(())
    }

    /// Goes over the whole body and finds where each column's values begin.
    fn find_columns(&mut self) -> Result<Vec<Column>, FormatError> {
        let mut walk = Walk {
            body: self,
            at: 0,
            piece: Vec::new(),
            passed: 0,
        };
        let mut found = Vec::new();
        if walk.peek()?.is_some() {
            match walk.body.kind {
                Kind::Named => walk.object(&mut |walk, name| walk.column(name, &mut found))?,
                Kind::Compact => walk.compact(&mut found)?,
                Kind::WithMetadata => walk.object(&mut |walk, name| match name.as_slice() {
                    b"\"data\"" => walk.object(&mut |walk, name| walk.column(name, &mut found)),
                    _ => walk.skip(),
                })?,
            }
            if walk.peek()?.is_some() {
                return Err(walk.expected("nothing behind the columns"));
            }
        }
        let piece_bytes = (PIECES_BYTES / found.len().max(1)).clamp(4096, PIECE_BYTES);
        let column = |(name, at)| Column {
            name,
            values: Cursor {
                at,
                piece: Vec::new(),
                passed: 0,
                piece_bytes,
            },
        };
        Ok(found.into_iter().map(column).collect())
    }

    fn scratch_error(&self, error: &std::io::Error) -> FormatError {
        let message = format!("the scratch file of the body failed: {}", error.kind());
        self.error(code::CANNOT_WRITE_SCRATCH, self.store.len(), &message, &[])
    }

    fn error(&self, code: i32, offset: u64, message: &str, here: &[u8]) -> FormatError {
        FormatError {
            code,
            row: Some(self.rows + 1),
            offset: Some(offset),
            message: message.to_owned(),
            near: near(here),
        }
    }
}

/// The next value of an array and where the bytes behind it and its comma begin; none at the array's end.
fn value_at(
    window: &Window<'_>,
    nesting: &mut Vec<u8>,
) -> Result<Option<(std::ops::Range<usize>, usize)>, Stop> {
    const MORE: Stop = Stop::More {
        expected: "the rest of a column's values",
    };
    let start = behind_space(window.bytes, 0);
    match window.bytes.get(start) {
        None => return Err(MORE),
        Some(b']') => return Ok(None),
        Some(_) => {}
    }
    let end = scan::value(window, start, nesting)?;
    let behind = behind_space(window.bytes, end);
    match window.bytes.get(behind) {
        None => Err(MORE),
        Some(b',') => Ok(Some((start..end, behind + 1))),
        Some(b']') => Ok(Some((start..end, behind))),
        Some(_) => Err(Stop::fault(
            code::INCORRECT_DATA,
            behind,
            "expected a comma or the array's end",
        )),
    }
}

/// What is called for each member of an object: with its name, in front of its value.
type Member<'m, 'b> = dyn FnMut(&mut Walk<'b>, Vec<u8>) -> Result<(), FormatError> + 'm;

/// The first look at the body, byte by byte.
struct Walk<'b> {
    body: &'b JsonColumns,
    at: u64,
    piece: Vec<u8>,
    passed: usize,
}

impl<'b> Walk<'b> {
    fn byte(&mut self) -> Result<Option<u8>, FormatError> {
        if self.passed == self.piece.len() {
            self.at += self.passed as u64;
            self.passed = 0;
            let mut buffer = Vec::new();
            let piece = self.body.store.piece(self.at, PIECE_BYTES, &mut buffer);
            let piece = piece.map_err(|error| self.body.scratch_error(&error))?;
            self.piece.clear();
            self.piece.extend_from_slice(piece);
        }
        Ok(self.piece.get(self.passed).copied())
    }

    /// The next byte that is no space, which is not passed.
    fn peek(&mut self) -> Result<Option<u8>, FormatError> {
        while let Some(byte) = self.byte()? {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Ok(Some(byte));
            }
            self.passed += 1;
        }
        Ok(None)
    }

    fn offset(&self) -> u64 {
        self.at + self.passed as u64
    }

    fn take(&mut self, byte: u8, expected: &str) -> Result<(), FormatError> {
        if self.peek()? != Some(byte) {
            return Err(self.expected(expected));
        }
        self.passed += 1;
        Ok(())
    }

    fn object(&mut self, member: &mut Member<'_, 'b>) -> Result<(), FormatError> {
        self.take(b'{', "an object")?;
        if self.peek()? == Some(b'}') {
            self.passed += 1;
            return Ok(());
        }
        loop {
            if self.peek()? != Some(b'"') {
                return Err(self.expected("a name in double quotes"));
            }
            let mut name = Vec::new();
            self.string(&mut |byte| name.push(byte))?;
            self.take(b':', "a colon behind the name")?;
            member(self, name)?;
            match self.peek()? {
                Some(b',') => self.passed += 1,
                Some(b'}') => {
                    self.passed += 1;
                    return Ok(());
                }
                _ => return Err(self.expected("a comma or the object's end")),
            }
        }
    }

    fn compact(&mut self, found: &mut Vec<(Vec<u8>, u64)>) -> Result<(), FormatError> {
        self.take(b'[', "an array of columns")?;
        for place in 0.. {
            let mut name = Vec::new();
            let Some(column) = self.body.table.get(place) else {
                return Err(self.expected("as many columns as the INSERT has"));
            };
            escape::json(column.name.as_bytes(), &mut name);
            self.column(name, found)?;
            match self.peek()? {
                Some(b',') => self.passed += 1,
                _ => break,
            }
        }
        if found.len() < self.body.table.len() {
            return Err(self.expected("as many columns as the INSERT has"));
        }
        self.take(b']', "the end of the columns")
    }

    /// Notes where a column's values begin, and passes them.
    fn column(&mut self, mut name: Vec<u8>, found: &mut Vec<(Vec<u8>, u64)>) -> Result<(), FormatError> {
        name.push(b':');
        if found.iter().any(|(other, _)| *other == name) {
            return Err(self.expected("each column once"));
        }
        if found.len() == COLUMNS_MAX {
            return Err(self.expected("at most 10000 columns"));
        }
        if self.peek()? != Some(b'[') {
            return Err(self.expected("an array of values"));
        }
        found.push((name, self.offset() + 1));
        self.skip()
    }

    /// Passes a value by its brackets and quotes; what stands between them is looked at later.
    fn skip(&mut self) -> Result<(), FormatError> {
        let mut depth = 0_u64;
        loop {
            match self.peek()? {
                None => return Err(self.expected("the rest of the value")),
                Some(b'"') => self.string(&mut |_| {})?,
                Some(b'[' | b'{') => {
                    depth += 1;
                    self.passed += 1;
                    continue;
                }
                Some(b']' | b'}') if depth > 0 => {
                    depth -= 1;
                    self.passed += 1;
                }
                Some(b',' | b']' | b'}') if depth == 0 => return Ok(()),
                Some(_) => {
                    self.passed += 1;
                    continue;
                }
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// Passes a string and shows its bytes with the quotes.
    fn string(&mut self, show: &mut dyn FnMut(u8)) -> Result<(), FormatError> {
        let (mut escaped, mut quotes) = (false, 0);
        while quotes < 2 {
            let Some(byte) = self.byte()? else {
                return Err(self.expected("the closing quote"));
            };
            self.passed += 1;
            show(byte);
            quotes += usize::from(byte == b'"' && !escaped);
            escaped = byte == b'\\' && !escaped;
        }
        Ok(())
    }

    fn expected(&self, what: &str) -> FormatError {
        let is_end = self.passed == self.piece.len();
        let here = &self.piece[self.passed..];
        if is_end {
            let message = format!("the data ends too early: expected {what}");
            return self
                .body
                .error(code::CANNOT_READ_ALL_DATA, self.offset(), &message, here);
        }
        self.body.error(
            code::INCORRECT_DATA,
            self.offset(),
            &format!("expected {what}"),
            here,
        )
    }
}

#[cfg(test)]
mod tests;
