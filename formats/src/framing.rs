//! The contract between a format and the row stream: bytes in a window, one step at a time.

use std::ops::Range;

use types::ColumnDef;

/// The bytes at hand: the first of them starts a row or stands between rows.
#[derive(Clone, Copy)]
pub(crate) struct Window<'a> {
    pub bytes: &'a [u8],
    /// Whether the body ends where the window ends.
    pub last: bool,
    /// No row may be longer; announced lengths are held against it before their bytes are there.
    pub row_bytes_max: usize,
}

/// What a format made of the bytes at its position.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Everything up to `next` belongs to no row: a header, a separator, a byte order mark.
    Skipped { next: usize },
    /// A whole row; `row` leaves out the terminator and the separators, `next` stands behind them.
    Row { row: Range<usize>, next: usize },
    /// The body ends here, and may.
    End,
}

/// Why a format could not take a step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The window ends first; at the end of the body this is the error that `expected` is missing.
    More { expected: &'static str },
    /// The bytes can never become a row.
    Fault(Fault),
}

/// Trouble at a byte of the window.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub code: i32,
    pub at: usize,
    pub message: String,
}

impl Stop {
    pub(crate) fn fault(code: i32, at: usize, message: impl Into<String>) -> Self {
        Self::Fault(Fault {
            code,
            at,
            message: message.into(),
        })
    }
}

/// Where the key's values of one row lie, one entry a key column; `None` where the row has none.
pub(crate) type KeyFields = [Option<Range<usize>>];

/// One value of a key column, freed from its format's clothes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// NULL by the format's own sign.
    Null,
    /// The column's DEFAULT is asked for, or nothing is given.
    Absent,
    /// Text: a quoted string, or a field of a format without quotes.
    Text(&'a [u8]),
    /// A JSON value that is no string, as it stands in the body.
    Json(&'a [u8]),
    /// A number, `true` or `false` of SQL.
    Sql(&'a [u8]),
    /// The value as RowBinary writes it, a string without its length.
    Binary(&'a [u8]),
    /// A value with others inside, as MessagePack has it.
    MsgPack(&'a [u8]),
    /// A value with others inside: its kind in BSON, and its bytes.
    Bson(u8, &'a [u8]),
    /// The fields of CSV in which a Tuple's elements are.
    Fields(Vec<Leaf>),
}

/// The field of one element of a Tuple.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Leaf {
    Null,
    Absent,
    Text(Vec<u8>),
}

/// What one format knows. Only complete steps change its state: a step that stops for more bytes is taken
/// again.
pub(crate) trait Framing: Send {
    /// Takes the step at `at`; for a row, notes where the key's values are.
    ///
    /// Called with `at` at the window's end only when that is the body's end.
    fn step(&mut self, window: &Window<'_>, at: usize, key: &mut KeyFields) -> Result<Step, Stop>;

    /// Reads the field of key column `index`; `scratch` is memory for what must be unescaped.
    fn token<'a>(
        &self,
        index: usize,
        field: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Result<Token<'a>, ValueError>;

    /// The columns a row holds, in its order; with a header, known once that was read.
    fn columns(&self) -> &[ColumnDef];

    /// Whether the rows of the payload format are other bytes than those of the body: then [`Framing::write`] is
    /// called for each row. Does not change after the first row.
    fn rewrites(&self) -> bool {
        false
    }

    /// Appends the row of the last step, which lies at `row` of `bytes`, to `out` in its payload format, without the
    /// terminator. What it has to know of the row beside its bytes it has kept from that step.
    ///
    /// `key` says where the key's values lie in `bytes`, and has to say afterwards where they lie in `out`.
    fn write(
        &self,
        bytes: &[u8],
        row: Range<usize>,
        key: &mut KeyFields,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let (from, to) = (row.start, out.len());
        out.extend_from_slice(&bytes[row]);
        for field in key.iter_mut().flatten() {
            *field = field.start - from + to..field.end - from + to;
        }
        Ok(())
    }
}

/// Why a key column's field is no value of its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ValueError {
    pub code: i32,
    pub expected: &'static str,
}

/// The byte at `at`, or the wish for more of them.
pub(crate) fn byte(window: &Window<'_>, at: usize, expected: &'static str) -> Result<u8, Stop> {
    window.bytes.get(at).copied().ok_or(Stop::More { expected })
}

/// The first position from `at` on that holds no whitespace.
pub(crate) fn behind_space(bytes: &[u8], at: usize) -> usize {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c);
    bytes[at..]
        .iter()
        .position(|byte| !is_space(byte))
        .map_or(bytes.len(), |found| at + found)
}

/// UTF-8's byte order mark, which ClickHouse skips in front of text.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The step over a byte order mark at `at`, if one stands there.
pub(crate) fn skip_mark(window: &Window<'_>, at: usize) -> Result<Option<Step>, Stop> {
    let rest = &window.bytes[at..];
    if rest.starts_with(BYTE_ORDER_MARK) {
        Ok(Some(Step::Skipped {
            next: at + BYTE_ORDER_MARK.len(),
        }))
    } else if !window.last && BYTE_ORDER_MARK.starts_with(rest) {
        Err(Stop::More {
            expected: "the first row",
        })
    } else {
        Ok(None)
    }
}
