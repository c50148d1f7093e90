//! `RowStream`: chunks in, rows out, whatever the format.

use std::ops::Range;
use std::path::Path;

use types::ColumnDef;

use crate::check::Check;
use crate::columnar::Windows;
use crate::error::{FormatError, code, near};
use crate::fill::Fill;
use crate::format::{Format, Opened, Payload};
use crate::framing::{Fault, Framing, Step, Stop, Window};
use crate::key::Key;
use crate::settings::Settings;

/// How many rows are handed over at once at most; keeps positions and key values in the processor's cache.
pub const ROWS_PER_CALL: usize = 8192;

/// Rewritten rows are handed over once they have so many bytes.
const WRITTEN_BYTES: usize = 256 * 1024;

/// What an INSERT's body is read by.
#[derive(Debug, Clone, Copy)]
pub struct Spec<'a> {
    /// The columns of the target that take INSERTs (no MATERIALIZED, no ALIAS), in DESCRIBE's order.
    pub columns: &'a [ColumnDef],
    /// The INSERT's own column list, where it has one.
    pub listed: Option<&'a [String]>,
    /// The columns that the sharding key reads.
    pub key: &'a [ColumnDef],
    /// Columns of which only is told which rows have no value for them.
    pub watched: &'a [ColumnDef],
    /// The client's settings that change how a body is read.
    pub settings: &'a Settings,
    /// The server's time zone, for DateTime columns that name none.
    pub time_zone: &'a str,
    /// A longer row is refused with code 307 as soon as this is known.
    pub max_row_bytes: usize,
    /// The format in which rows are handed over, one of [`Format::payloads`]; none for the first of them.
    pub payload: Option<Payload>,
    /// Whether the values of all columns are read, not only the key's (`validate = "values"`).
    pub check_values: bool,
    /// Where a scratch file may lie while a body is read that cannot be read row by row; the system's place for such
    /// files where none is named.
    pub scratch: Option<&'a Path>,
}

/// What a format is opened with: the spec, its column list resolved.
pub(crate) struct Input<'a> {
    /// The columns of a row in the order of the INSERT's list, or of the table.
    pub columns: Vec<ColumnDef>,
    /// The columns whose fields are noted: the key's, then the watched ones.
    pub key: &'a [ColumnDef],
    pub settings: &'a Settings,
    /// The format in which rows are handed over, if it is not the body's own choice.
    pub payload: Option<Payload>,
}

/// Some rows of a body.
#[derive(Debug, Clone)]
pub struct Rows<'a> {
    /// How many they are.
    pub count: usize,
    /// The rows in their payload format.
    pub body: RowsBody<'a>,
    /// The columns that an INSERT of the rows must name, in this order.
    pub columns: &'a [ColumnDef],
    /// The sharding key's columns in [`Spec::key`]'s order, one value a row. Where a row has none, the type's
    /// default.
    pub key: &'a [types::Column],
    /// For each key column, then for each watched one, the rows, ascending, that gave no value of their own: the field is missing, is NULL
    /// for a type without NULL, is empty in CSV. The shard will take the column's DEFAULT there.
    pub absent: &'a [Vec<Absent>],
}

/// Where the bytes of some rows are.
#[derive(Debug, Clone, Copy)]
pub enum RowsBody<'a> {
    /// Rows one behind the other.
    Ranges {
        /// The bytes in which the rows lie.
        bytes: &'a [u8],
        /// Each row in `bytes` without its terminator, in the body's order.
        ranges: &'a [Range<usize>],
    },
    /// Columns, of which any rows can be written as a Native block.
    Block(&'a dyn Block),
}

/// Rows that lie column by column.
pub trait Block: std::fmt::Debug {
    /// Appends the rows of these numbers (ascending, from 0 among the rows at hand) to `out` as one Native block, the
    /// columns of `fills` in the place of its own, or behind them.
    fn write(&self, rows: &[usize], fills: &[Fill<'_>], out: &mut Vec<u8>);

    /// Name and type of each column as [`Block::write`] writes it: a client's own types, which the shard casts to the table's.
    fn types(&self, fills: &[Fill<'_>]) -> Vec<(String, String)>;
}

/// A row that gives no value of its own for a key or watched column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// The row's position among the rows at hand.
    pub row: usize,
    /// Where the row says so (`null`, nothing between two commas), in the bytes of [`RowsBody::Ranges`]; none when the
    /// column does not stand in the row at all.
    pub field: Option<Range<usize>>,
}

/// One INSERT's body on its way from chunks to rows.
pub struct RowStream {
    payload: Payload,
    engine: Engine,
    rows: u64,
    bytes: u64,
    /// The error that ended the stream.
    failed: Option<FormatError>,
}

/// How rows are found, by the way they lie in the body.
enum Engine {
    Rows(Box<Scan>),
    Windows(Box<dyn Windows>),
    /// Lines that are written once the body is whole, and read as those of another format.
    Lines(Box<dyn Lines>, Box<Scan>),
}

/// A body whose rows do not lie one behind the other, but can be written so.
pub(crate) trait Lines: Send {
    /// Takes the next bytes of the body.
    fn take(&mut self, bytes: &[u8]) -> Result<(), FormatError>;

    /// Once the body is whole, appends some rows; says whether there may be more.
    fn next_lines(&mut self, out: &mut Vec<u8>) -> Result<bool, FormatError>;
}

impl RowStream {
    /// A stream for one body.
    ///
    /// Fails on a column list the table does not have (codes 15, 16), key types whose text is not read here
    /// and settings that this crate would not obey (48), an unknown time zone (36).
    pub fn new(format: Format, spec: &Spec<'_>) -> Result<Self, FormatError> {
        let columns = listed_columns(spec)?;
        let mut noted = [spec.key, spec.watched].concat();
        let payload = payload_of(format, spec)?;
        let checks = checks(spec, &columns, &mut noted)?;
        let input = Input {
            columns,
            key: &noted,
            settings: spec.settings,
            payload: spec.payload,
        };
        let engine = match format.open(&input, spec)? {
            Opened::Rows(framing) => Engine::Rows(Box::new(Scan::new(framing, spec, checks)?)),
            Opened::Windows(windows) => Engine::Windows(windows),
            Opened::Lines(lines, framing) => {
                Engine::Lines(lines, Box::new(Scan::new(framing, spec, checks)?))
            }
        };
        Ok(Self {
            payload,
            engine,
            rows: 0,
            bytes: 0,
            failed: None,
        })
    }

    /// Takes the body's next bytes and hands over the rows that they complete.
    ///
    /// After an error, also one of `out`, the stream is at its end: further calls repeat it.
    pub fn push<E: From<FormatError>>(
        &mut self,
        chunk: &[u8],
        out: &mut dyn FnMut(&Rows<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.bytes += chunk.len() as u64;
        self.go_on(chunk, false, out)
    }

    /// The body is over: hands over what is left and checks that nothing is missing.
    pub fn finish<E: From<FormatError>>(
        &mut self,
        out: &mut dyn FnMut(&Rows<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.go_on(&[], true, out)
    }

    /// The columns that an INSERT of the rows must name, in this order. With a header they are known from the
    /// first row on.
    pub fn columns(&self) -> &[ColumnDef] {
        match &self.engine {
            Engine::Rows(scan) | Engine::Lines(_, scan) => scan.framing.columns(),
            Engine::Windows(windows) => windows.columns(),
        }
    }

    /// The format in which rows are handed over.
    pub fn payload(&self) -> Payload {
        self.payload
    }

    /// How many rows were handed over.
    pub fn rows_seen(&self) -> u64 {
        self.rows
    }

    /// How many bytes were pushed.
    pub fn bytes_seen(&self) -> u64 {
        self.bytes
    }

    fn go_on<E: From<FormatError>>(
        &mut self,
        chunk: &[u8],
        last: bool,
        out: &mut dyn FnMut(&Rows<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if let Some(error) = self.failed.clone() {
            return Err(error.into());
        }
        // Poisoned until the end is reached in good order, whichever way the function is left.
        self.failed = Some(FormatError::plain(
            code::CANNOT_READ_ALL_DATA,
            "the body was given up before its end",
        ));
        let seen = &mut self.rows;
        let mut counted = |rows: &Rows<'_>| {
            *seen += rows.count as u64;
            out(rows)
        };
        let gone = match &mut self.engine {
            Engine::Rows(scan) if last => scan.finish(&mut counted),
            Engine::Rows(scan) => scan.push(chunk, &mut counted),
            Engine::Lines(lines, _) if !last => lines.take(chunk).map_err(Failure::Body),
            Engine::Lines(lines, scan) => lines_of(lines.as_mut(), scan, &mut counted),
            Engine::Windows(windows) => windows_of(windows.as_mut(), chunk, last, &mut counted),
        };
        match gone {
            Ok(()) => {
                self.failed = None;
                Ok(())
            }
            Err(Failure::Body(error)) => {
                self.failed = Some(error.clone());
                Err(error.into())
            }
            Err(Failure::Receiver(error)) => Err(error),
        }
    }
}

/// What ended a stream.
enum Failure<E> {
    Body(FormatError),
    Receiver(E),
}

impl<E> From<FormatError> for Failure<E> {
    fn from(error: FormatError) -> Self {
        Self::Body(error)
    }
}

/// Hands over the windows that the next bytes complete.
fn windows_of<E>(
    windows: &mut dyn Windows,
    chunk: &[u8],
    last: bool,
    out: &mut dyn FnMut(&Rows<'_>) -> Result<(), E>,
) -> Result<(), Failure<E>> {
    let mut rest = chunk;
    loop {
        let taken = windows.step(rest, last)?;
        rest = &rest[taken.bytes..];
        if taken.window {
            out(&windows.rows()).map_err(Failure::Receiver)?;
        } else if rest.is_empty() {
            return Ok(());
        }
    }
}

/// Hands over all rows of a body that is whole.
fn lines_of<E>(
    lines: &mut dyn Lines,
    scan: &mut Scan,
    out: &mut dyn FnMut(&Rows<'_>) -> Result<(), E>,
) -> Result<(), Failure<E>> {
    let mut written = Vec::new();
    loop {
        written.clear();
        let more = lines.next_lines(&mut written)?;
        scan.push(&written, out)?;
        if !more {
            return scan.finish(out);
        }
    }
}

/// Rows that lie one behind the other, found by their framing.
struct Scan {
    framing: Box<dyn Framing>,
    key: Key,
    ranges: Vec<Range<usize>>,
    /// The rows at hand in their payload format, when that is not what stands in the body.
    written: Vec<u8>,
    /// Bytes that begin a row which was not complete.
    carry: Vec<u8>,
    /// Below this many carried bytes it is not worth looking again.
    carry_wanted: usize,
    /// Offset in the body of the first byte that is not handed over yet.
    offset: u64,
    rows: u64,
    max_row_bytes: usize,
}

impl Scan {
    fn new(
        framing: Box<dyn Framing>,
        spec: &Spec<'_>,
        checks: Vec<(usize, Check)>,
    ) -> Result<Self, FormatError> {
        let mut key = Key::new(spec)?;
        key.check(checks);
        Ok(Self {
            framing,
            key,
            ranges: Vec::new(),
            written: Vec::new(),
            carry: Vec::new(),
            carry_wanted: 0,
            offset: 0,
            rows: 0,
            max_row_bytes: spec.max_row_bytes,
        })
    }

    fn push<E>(
        &mut self,
        chunk: &[u8],
        out: &mut dyn FnMut(&Rows<'_>) -> Result<(), E>,
    ) -> Result<(), Failure<E>> {
        if self.carry.is_empty() {
            let taken = self.scan(chunk, false, out)?;
            self.carry.extend_from_slice(&chunk[taken..]);
            return Ok(());
        }
        self.carry.extend_from_slice(chunk);
        if self.carry.len() < self.carry_wanted {
            return Ok(());
        }
        self.scan_carry(false, out)
    }

    fn finish<E>(&mut self, out: &mut dyn FnMut(&Rows<'_>) -> Result<(), E>) -> Result<(), Failure<E>> {
        self.scan_carry(true, out)
    }

    fn scan_carry<E>(
        &mut self,
        last: bool,
        out: &mut dyn FnMut(&Rows<'_>) -> Result<(), E>,
    ) -> Result<(), Failure<E>> {
        let mut carry = std::mem::take(&mut self.carry);
        let taken = self.scan(&carry, last, out)?;
        carry.drain(..taken);
        self.carry = carry;
        Ok(())
    }

    /// Walks over `bytes`, hands over whole rows and says how many bytes are done with.
    fn scan<E>(
        &mut self,
        bytes: &[u8],
        last: bool,
        out: &mut dyn FnMut(&Rows<'_>) -> Result<(), E>,
    ) -> Result<usize, Failure<E>> {
        let taken = self.walk(bytes, last, out)?;
        self.offset += taken as u64;
        Ok(taken)
    }

    fn walk<E>(
        &mut self,
        bytes: &[u8],
        last: bool,
        out: &mut dyn FnMut(&Rows<'_>) -> Result<(), E>,
    ) -> Result<usize, Failure<E>> {
        let window = Window {
            bytes,
            last,
            row_bytes_max: self.max_row_bytes,
        };
        let mut at = 0;
        while last || at < bytes.len() {
            self.key.forget_fields();
            match self.framing.step(&window, at, &mut self.key.fields) {
                Ok(Step::Skipped { next }) => at = next,
                Ok(Step::Row { row, next }) => {
                    self.take_row(bytes, row)?;
                    at = next;
                    if self.ranges.len() == ROWS_PER_CALL || self.written.len() >= WRITTEN_BYTES {
                        self.hand_over(bytes, out)?;
                    }
                }
                Ok(Step::End) => break,
                Err(stop) => {
                    self.stop(stop, &window, at)?;
                    break;
                }
            }
        }
        self.hand_over(bytes, out)?;
        Ok(at)
    }

    /// A step that could not be taken: an error, or the wish for more bytes than a row may have.
    fn stop(&mut self, stop: Stop, window: &Window<'_>, at: usize) -> Result<(), FormatError> {
        let here = window.bytes.len() - at;
        let fault = match stop {
            Stop::Fault(fault) => fault,
            Stop::More { expected } if window.last => Fault {
                code: code::CANNOT_READ_ALL_DATA,
                at: window.bytes.len(),
                message: format!("the data ends too early: expected {expected}"),
            },
            Stop::More { .. } if here > self.max_row_bytes => too_long(at, self.max_row_bytes),
            Stop::More { .. } => {
                // Doubling keeps the whole linear; one byte above the limit is enough to refuse.
                self.carry_wanted = here.saturating_mul(2).min(self.max_row_bytes.saturating_add(1));
                return Ok(());
            }
        };
        Err(self.fail(window.bytes, fault))
    }

    fn take_row(&mut self, bytes: &[u8], row: Range<usize>) -> Result<(), FormatError> {
        if row.len() > self.max_row_bytes {
            return Err(self.fail(bytes, too_long(row.start, self.max_row_bytes)));
        }
        if let Err(fault) = self.key.take(self.framing.as_ref(), bytes, row.start) {
            return Err(self.fail(bytes, fault));
        }
        if !self.framing.rewrites() {
            self.ranges.push(row);
            return Ok(());
        }
        let start = self.written.len();
        let written = self
            .framing
            .write(bytes, row, &mut self.key.fields, &mut self.written);
        if let Err(fault) = written {
            return Err(self.fail(bytes, fault));
        }
        self.key.fields_moved();
        self.ranges.push(start..self.written.len());
        Ok(())
    }

    fn hand_over<E>(
        &mut self,
        bytes: &[u8],
        out: &mut dyn FnMut(&Rows<'_>) -> Result<(), E>,
    ) -> Result<(), Failure<E>> {
        if self.ranges.is_empty() {
            return Ok(());
        }
        self.rows += self.ranges.len() as u64;
        let bytes = if self.framing.rewrites() {
            &self.written
        } else {
            bytes
        };
        let rows = Rows {
            count: self.ranges.len(),
            body: RowsBody::Ranges {
                bytes,
                ranges: &self.ranges,
            },
            columns: self.framing.columns(),
            key: &self.key.columns,
            absent: &self.key.absent,
        };
        out(&rows).map_err(Failure::Receiver)?;
        self.ranges.clear();
        self.written.clear();
        self.written.shrink_to(WRITTEN_BYTES);
        self.key.forget_rows();
        Ok(())
    }

    /// Turns a window's fault into the body's error.
    fn fail(&self, bytes: &[u8], fault: Fault) -> FormatError {
        FormatError {
            code: fault.code,
            row: Some(self.rows + self.ranges.len() as u64 + 1),
            offset: Some(self.offset + fault.at as u64),
            message: fault.message,
            near: near(&bytes[fault.at.min(bytes.len())..]),
        }
    }
}

/// A row above the limit, at its first byte.
pub(crate) fn too_long(at: usize, row_bytes_max: usize) -> Fault {
    let message = format!("the row is longer than max_row_bytes = {row_bytes_max}");
    Fault {
        code: code::TOO_MANY_BYTES,
        at,
        message,
    }
}

/// What the values of columns are held against that the key does not read, where all are to be read. Their fields are
/// noted behind those of `noted`.
fn checks(
    spec: &Spec<'_>,
    columns: &[ColumnDef],
    noted: &mut Vec<ColumnDef>,
) -> Result<Vec<(usize, Check)>, FormatError> {
    if !spec.check_values {
        return Ok(Vec::new());
    }
    let mut checks = Vec::new();
    for column in columns {
        let index = noted.iter().position(|known| known.name == column.name);
        if index.is_some_and(|index| index < spec.key.len()) {
            continue;
        }
        let index = index.unwrap_or_else(|| {
            noted.push(column.clone());
            noted.len() - 1
        });
        checks.push((index, Check::new(column, spec)?));
    }
    Ok(checks)
}

/// The format in which rows are handed over: the one asked for, if the body's rows can be carried in it.
fn payload_of(format: Format, spec: &Spec<'_>) -> Result<Payload, FormatError> {
    let possible = format.payloads(spec.settings);
    match spec.payload {
        None => Ok(possible.first().copied().unwrap_or(format.payload())),
        Some(wanted) if possible.contains(&wanted) => Ok(wanted),
        Some(wanted) => Err(FormatError::plain(
            code::UNKNOWN_FORMAT,
            format!("rows of {} cannot be carried in {}", format.name(), wanted.name()),
        )),
    }
}

/// The columns of a row: the table's, or those the INSERT lists.
fn listed_columns(spec: &Spec<'_>) -> Result<Vec<ColumnDef>, FormatError> {
    let Some(listed) = spec.listed else {
        return Ok(spec.columns.to_vec());
    };
    let mut columns: Vec<ColumnDef> = Vec::with_capacity(listed.len());
    for name in listed {
        if columns.iter().any(|column| column.name == *name) {
            let message = format!("column {name} is listed twice");
            return Err(FormatError::plain(code::DUPLICATE_COLUMN, message));
        }
        let Some(column) = spec.columns.iter().find(|column| column.name == *name) else {
            let message = format!("there is no column {name} that takes INSERTs");
            return Err(FormatError::plain(code::NO_SUCH_COLUMN, message));
        };
        columns.push(column.clone());
    }
    Ok(columns)
}
