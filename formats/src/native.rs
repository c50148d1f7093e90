//! Native: blocks of columns, each column's values end to end.
//!
//! A block may be the whole body. Its bytes are looked at twice: while they arrive, to find where each column's
//! streams begin (`walk`); once the block is whole, to read the columns side by side in windows of rows (`load`). In
//! between they lie in memory or, when they are many, in a file without a name (`store`).
//!
//! Every value is carried as it came. Only the key's are read, and those of a type that is not the table's are cast.

mod load;
mod node;
mod store;
mod walk;

use std::io;
use std::ops::Range;
use std::sync::Arc;

use types::{ColumnDef, DataType};

use self::load::{Allowance, LoadError, Reader};
use self::node::{Node, Prefixes};
use self::walk::{Mark, Walk};
use crate::columnar::{ColumnKey, Taken, Window, WindowColumn, Windows};
use crate::cursor::Cursor;
use crate::error::{FormatError, code, near};
use crate::framing::{Stop, Window as Bytes};
use crate::settings::Family;
use crate::stream::{Input, Rows, RowsBody, Spec};

pub(crate) use self::node::fixed_width;
pub(crate) use self::store::Store;

/// How many rows a window has at most: with 50 shards there are still more than a thousand for each.
const WINDOW_ROWS: u64 = 65_536;

/// How many bytes a window aims at; one may have twice as many.
const WINDOW_BYTES: u64 = 4 << 20;

/// What a block or a column begins with may be so long: names, types, structures.
const HEAD_BYTES_MAX: usize = 4 << 20;

/// Blocks begin with information about them in any revision but 0.
const REVISION_WITH_INFO: u64 = 1;

/// A column says whether it is serialized in a way of its own.
const REVISION_WITH_CUSTOM: u64 = 54_454;

pub(crate) fn open(input: &Input<'_>, spec: &Spec<'_>) -> Result<Box<dyn Windows>, FormatError> {
    input.settings.allow(Family::Any)?;
    input.settings.allow(Family::Native)?;
    let store = Store::new(spec.scratch.map_or_else(std::env::temp_dir, Into::into));
    Ok(Box::new(Native {
        table: input.columns.clone(),
        skip_unknown: input.settings.skip_unknown_fields,
        revision: input.settings.client_protocol_version,
        row_bytes_max: spec.max_row_bytes,
        key: ColumnKey::new(spec)?,
        columns: Vec::new(),
        head: Vec::new(),
        head_wanted: 0,
        carry: Vec::new(),
        state: State::Block,
        block: Block::default(),
        store,
        window: Window::default(),
        offset: 0,
        rows: 0,
    }))
}

struct Native {
    table: Vec<ColumnDef>,
    skip_unknown: bool,
    /// The client's revision of the native protocol; 0 for ordinary HTTP.
    revision: u64,
    row_bytes_max: usize,
    key: ColumnKey,
    /// Those of the first block with rows; every later one has the same.
    columns: Vec<ColumnDef>,
    /// Bytes of a block's or a column's beginning that was not whole.
    head: Vec<u8>,
    head_wanted: usize,
    /// Bytes that were collected behind a beginning.
    carry: Vec<u8>,
    state: State,
    block: Block,
    store: Store,
    window: Window,
    /// Offset in the body of the next byte.
    offset: u64,
    /// Rows handed over.
    rows: u64,
}

/// What comes next.
enum State {
    /// A block.
    Block,
    /// A column of the block.
    Column,
    /// The column's values; those of a column that the table does not have are dropped.
    Values { walk: Walk, known: bool },
    /// The block is whole and its windows are handed over.
    Windows { left: u64, window_rows: u64 },
}

/// The block that is read.
#[derive(Default)]
struct Block {
    rows: u64,
    /// Whether information stood in front of it: then its columns have what the revision adds.
    has_info: bool,
    columns_left: u64,
    columns: Vec<BlockColumn>,
    readers: Vec<Reader>,
    /// Layouts of its columns, in all.
    nodes: usize,
}

struct BlockColumn {
    name: String,
    data_type: DataType,
    type_name: String,
    prefix: Vec<u8>,
    node: Arc<Node>,
    /// Where its values begin in the store, and its streams among them.
    base: u64,
    marks: Vec<Mark>,
}

/// A block's or a column's beginning.
enum Head {
    Block { columns: u64, rows: u64, has_info: bool },
    Column(Box<ColumnHead>),
}

struct ColumnHead {
    name: String,
    type_name: String,
    data_type: DataType,
    prefix: Vec<u8>,
    /// The layout of its values; none for a block without rows.
    node: Option<Arc<Node>>,
    /// How many layouts the block has with it.
    nodes: usize,
}

impl Windows for Native {
    fn step(&mut self, bytes: &[u8], last: bool) -> Result<Taken, FormatError> {
        let mut taken = 0;
        loop {
            match &self.state {
                State::Windows { left: 0, .. } => {
                    self.end_block();
                    continue;
                }
                State::Windows { .. } => {
                    self.next_window()?;
                    return Ok(Taken {
                        bytes: taken,
                        window: true,
                    });
                }
                State::Block | State::Column | State::Values { .. } => {}
            }
            if self.carry.is_empty() {
                taken += self.advance(&bytes[taken..], last)?;
            } else {
                let mut carry = std::mem::take(&mut self.carry);
                let passed = self.advance(&carry, false)?;
                carry.drain(..passed);
                self.carry.append(&mut carry);
            }
            if self.wants_bytes() && taken == bytes.len() && self.carry.is_empty() {
                break;
            }
        }
        if last && !(matches!(self.state, State::Block) && self.head.is_empty()) {
            let expected = match &self.state {
                State::Values { .. } => "the rest of a column's values",
                _ => "the rest of a block's columns",
            };
            let message = format!("the data ends too early: expected {expected}");
            return Err(self.error(code::CANNOT_READ_ALL_DATA, self.offset, message, &[]));
        }
        Ok(Taken {
            bytes: taken,
            window: false,
        })
    }

    fn rows(&self) -> Rows<'_> {
        Rows {
            count: self.window.rows,
            body: RowsBody::Block(&self.window),
            columns: &self.columns,
            key: self.key.columns(),
            absent: self.key.absent(),
        }
    }

    fn columns(&self) -> &[ColumnDef] {
        if self.columns.is_empty() {
            &self.table
        } else {
            &self.columns
        }
    }
}

impl Native {
    /// Goes on over bytes and says how many it is done with.
    fn advance(&mut self, bytes: &[u8], last: bool) -> Result<usize, FormatError> {
        let passed = match &self.state {
            State::Values { .. } => self.values(bytes)?,
            State::Block if bytes.is_empty() && self.head.is_empty() => 0,
            _ => self.head(bytes, last)?,
        };
        self.offset += passed as u64;
        Ok(passed)
    }

    /// Whether nothing can be done without another byte.
    fn wants_bytes(&self) -> bool {
        match &self.state {
            State::Windows { .. } => false,
            State::Values { walk, .. } => !walk.is_done(),
            State::Column => self.block.columns_left > 0,
            State::Block => true,
        }
    }

    /// Collects the bytes of a beginning until it is whole. What was tried in vain is tried again only with twice as
    /// many, so that a beginning costs linear time however it is cut.
    fn head(&mut self, bytes: &[u8], last: bool) -> Result<usize, FormatError> {
        if matches!(self.state, State::Column) && self.block.columns_left == 0 {
            self.block_is_whole()?;
            return Ok(0);
        }
        let had = self.head.len();
        let added = bytes.len().min(HEAD_BYTES_MAX.saturating_sub(had) + 1);
        self.head.extend_from_slice(&bytes[..added]);
        if self.head.len() < self.head_wanted && !last {
            return Ok(added);
        }
        let head = std::mem::take(&mut self.head);
        let start = self.offset - had as u64;
        match self.parse(&head) {
            Ok((len, parsed)) => {
                self.head_wanted = 0;
                self.take_head(parsed, start)?;
                if len < had {
                    // It was whole before it was tried again: what is behind it comes first.
                    self.carry.extend_from_slice(&head[len..had]);
                    self.offset -= (had - len) as u64;
                }
                Ok(len.saturating_sub(had))
            }
            Err(Stop::Fault(fault)) if fault.code == code::TOO_MANY_BYTES => Err(self.head_too_long(start)),
            Err(Stop::Fault(fault)) => {
                let here = &head[fault.at.min(head.len())..];
                Err(self.error(fault.code, start + fault.at as u64, fault.message, here))
            }
            Err(Stop::More { .. }) if head.len() > HEAD_BYTES_MAX => Err(self.head_too_long(start)),
            Err(Stop::More { .. }) => {
                self.head_wanted = 2 * head.len();
                self.head = head;
                Ok(added)
            }
        }
    }

    fn head_too_long(&self, start: u64) -> FormatError {
        let message = format!("a column's name, type and structure are longer than {HEAD_BYTES_MAX} bytes");
        self.error(code::TOO_MANY_BYTES, start, message, &[])
    }

    fn parse(&self, bytes: &[u8]) -> Result<(usize, Head), Stop> {
        let window = Bytes {
            bytes,
            last: false,
            row_bytes_max: HEAD_BYTES_MAX + 1,
        };
        let mut cursor = Cursor::new(&window, 0);
        let head = match self.state {
            State::Block => self.parse_block(&mut cursor)?,
            _ => Head::Column(Box::new(self.parse_column(&mut cursor)?)),
        };
        Ok((cursor.at, head))
    }

    fn parse_block(&self, cursor: &mut Cursor<'_, '_>) -> Result<Head, Stop> {
        let has_info = self.revision >= REVISION_WITH_INFO && begins_with_info(cursor)?;
        if has_info {
            pass_block_info(cursor)?;
        }
        let columns = cursor.varint()?;
        let rows = cursor.varint()?;
        if columns == 0 && rows > 0 {
            return Err(Stop::fault(
                code::INCORRECT_DATA,
                0,
                "a block has rows but no columns",
            ));
        }
        Ok(Head::Block {
            columns,
            rows,
            has_info,
        })
    }

    fn parse_column(&self, cursor: &mut Cursor<'_, '_>) -> Result<ColumnHead, Stop> {
        let name = cursor.text()?;
        let type_at = cursor.at;
        let type_name = cursor.text()?;
        let text = |range: Range<usize>| String::from_utf8_lossy(&cursor.window.bytes[range]).into_owned();
        let (name, type_name) = (text(name), text(type_name));
        let data_type = DataType::parse(&type_name)
            .map_err(|error| Stop::fault(code::UNKNOWN_TYPE, type_at, format!("column {name}: {error}")))?;
        if self.block.has_info && self.revision >= REVISION_WITH_CUSTOM && cursor.byte()? != 0 {
            let message =
                format!("column {name} is serialized sparsely, which this router does not read in Native");
            return Err(Stop::fault(code::NOT_IMPLEMENTED, cursor.at - 1, message));
        }
        let start = cursor.at;
        let mut nodes = self.block.nodes;
        let node = if self.block.rows == 0 {
            None
        } else {
            let mut prefixes = Prefixes {
                cursor,
                depth: 0,
                nodes,
            };
            let node = prefixes.node(&data_type).map_err(|stop| named(&name, stop))?;
            nodes = prefixes.nodes;
            Some(node)
        };
        let prefix = cursor.window.bytes[start..cursor.at].to_vec();
        Ok(ColumnHead {
            name,
            type_name,
            data_type,
            prefix,
            node,
            nodes,
        })
    }

    fn take_head(&mut self, head: Head, start: u64) -> Result<(), FormatError> {
        let column = match head {
            Head::Block {
                columns,
                rows,
                has_info,
            } => {
                self.block = Block {
                    rows,
                    columns_left: columns,
                    has_info,
                    ..Block::default()
                };
                self.store.clear();
                self.state = State::Column;
                return Ok(());
            }
            Head::Column(column) => *column,
        };
        self.block.columns_left -= 1;
        self.block.nodes = column.nodes;
        if self.block.columns.iter().any(|other| other.name == column.name) {
            let message = format!("column {} stands in the block twice", column.name);
            return Err(self.error(code::DUPLICATE_COLUMN, start, message, &[]));
        }
        let known = self.table.iter().any(|of_table| of_table.name == column.name);
        if !known && !self.skip_unknown {
            let name: String = column.name.chars().take(64).collect();
            let message = format!(
                "unknown column '{name}' in the block; set input_format_skip_unknown_fields = 1 to have it skipped"
            );
            return Err(self.error(code::INCORRECT_DATA, start, message, &[]));
        }
        let Some(node) = column.node else {
            return Ok(());
        };
        self.state = State::Values {
            walk: Walk::new(node.clone(), self.block.rows),
            known,
        };
        if known {
            self.block.columns.push(BlockColumn {
                name: column.name,
                data_type: column.data_type,
                type_name: column.type_name,
                prefix: column.prefix,
                node,
                base: self.store.len(),
                marks: Vec::new(),
            });
        }
        Ok(())
    }

    /// Walks over a column's values and keeps them.
    fn values(&mut self, bytes: &[u8]) -> Result<usize, FormatError> {
        let State::Values { walk, known } = &mut self.state else {
            return Ok(0);
        };
        let known = *known;
        let fed = walk.feed(bytes);
        let passed = match fed {
            Ok(passed) => passed,
            Err(stop) => return Err(self.stopped(stop, bytes)),
        };
        if known && let Err(error) = self.store.append(&bytes[..passed]) {
            return Err(self.scratch_error(&error));
        }
        let State::Values { walk, .. } = &mut self.state else {
            return Ok(passed);
        };
        if walk.is_done() {
            let done = std::mem::replace(walk, Walk::new(Arc::new(Node::Text), 0));
            if known && let Some(column) = self.block.columns.last_mut() {
                column.marks = done.into_marks();
            }
            self.state = State::Column;
        }
        Ok(passed)
    }

    fn stopped(&self, stop: Stop, bytes: &[u8]) -> FormatError {
        let name = self
            .block
            .columns
            .last()
            .map_or("", |column| column.name.as_str());
        match stop {
            Stop::Fault(fault) => {
                let here = &bytes[fault.at.min(bytes.len())..];
                let message = format!("column {name}: {}", fault.message);
                self.error(fault.code, self.offset + fault.at as u64, message, here)
            }
            Stop::More { expected } => self.error(
                code::CANNOT_READ_ALL_DATA,
                self.offset,
                format!("expected {expected}"),
                &[],
            ),
        }
    }

    /// All columns are there: their windows can be handed over.
    fn block_is_whole(&mut self) -> Result<(), FormatError> {
        if self.block.rows == 0 {
            self.end_block();
            return Ok(());
        }
        self.agree_on_columns()?;
        if let Err(error) = self.store.seal() {
            return Err(self.scratch_error(&error));
        }
        let mut allowance = Allowance(self.row_bytes_max);
        let columns = &mut self.block.columns;
        let readers: Result<Vec<Reader>, LoadError> = columns
            .iter_mut()
            .map(|column| {
                let mut marks = std::mem::take(&mut column.marks).into_iter();
                Reader::new(&column.node, column.base, &mut marks, &self.store, &mut allowance)
            })
            .collect();
        self.block.readers = readers.map_err(|error| match error {
            LoadError::TooMuch => {
                let message = format!(
                    "the dictionaries of the block's LowCardinality columns are longer than max_row_bytes = {}; send \
                     smaller blocks",
                    self.row_bytes_max
                );
                self.error(code::TOO_MANY_BYTES, self.offset, message, &[])
            }
            error => self.load_error(&error),
        })?;
        let rows = self.block.rows;
        let row_bytes = self.store.len().div_ceil(rows).max(1);
        let window_rows = (WINDOW_BYTES / row_bytes).clamp(1, WINDOW_ROWS);
        self.state = State::Windows {
            left: rows,
            window_rows,
        };
        Ok(())
    }

    /// The first block's columns are those of the INSERT; the same ones, in any order, make every other block.
    fn agree_on_columns(&mut self) -> Result<(), FormatError> {
        if self.columns.is_empty() {
            let find = |column: &BlockColumn| self.table.iter().find(|def| def.name == column.name).cloned();
            self.columns = self.block.columns.iter().filter_map(find).collect();
        }
        if self.columns.is_empty() {
            let message = "the block names no column of the table";
            return Err(self.error(code::INCORRECT_DATA, self.offset, message.to_owned(), &[]));
        }
        let place = |column: &BlockColumn| self.columns.iter().position(|def| def.name == column.name);
        self.block.columns.sort_by_cached_key(place);
        let same = self.columns.len() == self.block.columns.len()
            && self
                .columns
                .iter()
                .zip(&self.block.columns)
                .all(|(def, column)| def.name == column.name);
        if !same {
            let message = "the blocks of one INSERT must all have the same columns";
            return Err(self.error(code::NOT_IMPLEMENTED, self.offset, message.to_owned(), &[]));
        }
        let types = self
            .block
            .columns
            .iter()
            .map(|column| (column.name.clone(), column.data_type.clone()));
        let types: Vec<_> = types.collect();
        self.key
            .prepare(&types)
            .map_err(|message| self.error(code::NOT_IMPLEMENTED, self.offset, message, &[]))
    }

    /// Loads the next rows, fewer where they are long.
    fn next_window(&mut self) -> Result<(), FormatError> {
        let State::Windows {
            left,
            mut window_rows,
        } = self.state
        else {
            return Ok(());
        };
        let (rows, values) = loop {
            let rows = left.min(window_rows);
            let allowed = if rows == 1 {
                self.row_bytes_max
            } else {
                2 * WINDOW_BYTES as usize
            };
            let mut readers = self.block.readers.clone();
            let mut allowance = Allowance(allowed);
            let loaded = readers
                .iter_mut()
                .map(|reader| reader.load(rows, &self.store, &mut allowance));
            match loaded.collect::<Result<Vec<_>, _>>() {
                Ok(values) => {
                    self.block.readers = readers;
                    break (rows, values);
                }
                Err(LoadError::TooMuch) if rows > 1 => window_rows = rows.div_ceil(2),
                Err(LoadError::TooMuch) => {
                    let message = format!("the row is longer than max_row_bytes = {}", self.row_bytes_max);
                    return Err(self.error(code::TOO_MANY_BYTES, self.offset, message, &[]));
                }
                Err(error) => return Err(self.load_error(&error)),
            }
        };
        let columns = self.block.columns.iter().zip(values);
        let columns = columns.map(|(column, values)| WindowColumn {
            name: column.name.clone(),
            type_name: column.type_name.clone(),
            prefix: column.prefix.clone(),
            values,
        });
        self.window = Window {
            rows: rows as usize,
            columns: columns.collect(),
        };
        if let Err(fault) = self.key.read(&mut self.window) {
            self.rows += fault.row as u64;
            return Err(self.error(fault.code, self.offset, fault.message, &[]));
        }
        self.rows += rows;
        self.state = State::Windows {
            left: left - rows,
            window_rows,
        };
        Ok(())
    }

    fn end_block(&mut self) {
        self.block = Block::default();
        self.store.clear();
        self.state = State::Block;
    }

    fn load_error(&self, error: &LoadError) -> FormatError {
        match error {
            LoadError::Io(error) => self.scratch_error(error),
            _ => {
                let message = "a LowCardinality column's index is beyond its dictionary";
                self.error(code::INCORRECT_DATA, self.offset, message.to_owned(), &[])
            }
        }
    }

    fn scratch_error(&self, error: &io::Error) -> FormatError {
        let message = format!("the scratch file of a large block failed: {}", error.kind());
        self.error(code::CANNOT_WRITE_SCRATCH, self.offset, message, &[])
    }

    /// An error in the row behind those handed over.
    fn error(&self, code: i32, offset: u64, message: String, here: &[u8]) -> FormatError {
        FormatError {
            code,
            row: Some(self.rows + 1),
            offset: Some(offset),
            message,
            near: near(here),
        }
    }
}

/// Whether information stands in front of a block. A client that says a revision may still write blocks of revision 0, as servers
/// read them over HTTP whatever `client_protocol_version` says: clickhouse-go does.
///
/// Information is field 1 and a flag, field 2 and four bytes, then the number of the next field or 0. Where a block of one column
/// and one row at most begins with the same three bytes, two of its column's name and the first two of its type follow them: the
/// eighth byte is a letter there.
fn begins_with_info(cursor: &mut Cursor<'_, '_>) -> Result<bool, Stop> {
    let start = cursor.at;
    let begins = cursor.byte()? == 1 && cursor.byte()? <= 1 && cursor.byte()? == 2;
    let has_info = begins && {
        cursor.skip(4)?;
        !cursor.byte()?.is_ascii_alphabetic()
    };
    cursor.at = start;
    Ok(has_info)
}

/// Numbered fields up to number 0: whether there are overflows, a bucket's number, buckets out of order.
fn pass_block_info(cursor: &mut Cursor<'_, '_>) -> Result<(), Stop> {
    loop {
        let at = cursor.at;
        match cursor.varint()? {
            0 => return Ok(()),
            1 => cursor.skip(1).map(drop)?,
            2 => cursor.skip(4).map(drop)?,
            3 => {
                let buckets = cursor.varint()?;
                cursor.skip(buckets.saturating_mul(4)).map(drop)?;
            }
            _ => {
                let message = "expected the number of a field of the block's information";
                return Err(Stop::fault(code::INCORRECT_DATA, at, message));
            }
        }
    }
}

/// The fault with the column's name in front.
fn named(name: &str, stop: Stop) -> Stop {
    match stop {
        Stop::Fault(mut fault) => {
            fault.message = format!("column {name}: {}", fault.message);
            Stop::Fault(fault)
        }
        more => more,
    }
}

#[cfg(test)]
mod tests;
