//! The rows of one share while they wait, and how much of them fits into a batch.
//!
//! A share is a row of *units*: chunks (raw rows in memory), frames (compressed, in the INSERT's staged file)
//! and whole files. A cut takes units from the front and never divides one.
//!
//! A share whose INSERT's token goes on to the shards is *in pieces*: what lies between two [`LivePart::PieceEnd`]s is one batch,
//! whatever limits and time say.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::event::{Chunk, Frame, InsertNo, Part, Share, StagedFile};
use crate::model::{BatchLimits, InsertId, Shape};
use crate::token::{self, ClientPiece};

/// What an uncut share costs in memory beside its rows: its entry in the queue and four small allocations. It
/// keeps a flood of one-row INSERTs within the budget.
pub const SHARE_OVERHEAD_BYTES: u64 = 448;

/// The rows of a share. Both lanes of a share look at the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Its parts, in order.
    pub parts: Vec<LivePart>,
}

/// A part of a share, with its raw rows where they are in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LivePart {
    /// Raw rows.
    Inline {
        /// All chunks, end to end.
        rows: Bytes,
        /// Their borders.
        chunks: Vec<Chunk>,
    },
    /// Compressed frames in the INSERT's staged file.
    Staged {
        /// Where the first one lies.
        offset: u64,
        /// Their borders.
        frames: Vec<Frame>,
    },
    /// A whole batch, written while the INSERT was read. Boxed, so that the many small shares stay small.
    File(Box<StagedFile>),
    /// What lies before it is a piece. The last part of every share in pieces.
    PieceEnd,
}

/// What one unit holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// Rows in it.
    pub rows: u64,
    /// Their raw bytes.
    pub raw_bytes: u64,
    /// It is a batch file already and is never joined with others.
    pub is_file: bool,
}

/// Bytes of a share that go into a batch together.
#[derive(Debug, PartialEq, Eq)]
pub enum Run<'a> {
    /// A chunk of raw rows.
    Raw {
        /// The rows.
        bytes: &'a [u8],
        /// How many.
        rows: u64,
    },
    /// Frames end to end in the INSERT's staged file.
    Frames {
        /// Where.
        range: Range<u64>,
        /// Rows in them.
        rows: u64,
    },
    /// A whole batch file.
    File(&'a StagedFile),
}

impl LivePart {
    /// The bytes of some of its units.
    fn runs(&self, units: Range<usize>) -> Vec<Run<'_>> {
        match self {
            _ if units.is_empty() => Vec::new(),
            LivePart::Inline { rows, chunks } => raw_runs(rows, chunks, units),
            LivePart::Staged { offset, frames } => {
                let bytes = |frames: &[Frame]| frames.iter().map(|frame| u64::from(frame.bytes)).sum::<u64>();
                let start = offset + bytes(&frames[..units.start]);
                let range = start..start + bytes(&frames[units.clone()]);
                let rows = frames[units].iter().map(|frame| u64::from(frame.rows)).sum();
                vec![Run::Frames { range, rows }]
            }
            LivePart::File(file) => vec![Run::File(file)],
            LivePart::PieceEnd => Vec::new(),
        }
    }

    /// Number of units.
    pub fn len(&self) -> usize {
        match self {
            LivePart::Inline { chunks, .. } => chunks.len(),
            LivePart::Staged { frames, .. } => frames.len(),
            LivePart::File(_) => 1,
            LivePart::PieceEnd => 0,
        }
    }

    fn as_file(&self) -> Option<&StagedFile> {
        match self {
            LivePart::File(file) => Some(file),
            LivePart::Inline { .. } | LivePart::Staged { .. } | LivePart::PieceEnd => None,
        }
    }

    fn unit(&self, index: usize) -> Unit {
        match self {
            LivePart::Inline { chunks, .. } => Unit::of(chunks[index].rows, chunks[index].raw_bytes),
            LivePart::Staged { frames, .. } => Unit::of(frames[index].rows, frames[index].raw_bytes),
            LivePart::File(file) => Unit {
                rows: file.batch.rows,
                raw_bytes: file.batch.raw_bytes,
                is_file: true,
            },
            LivePart::PieceEnd => Unit::of(0, 0),
        }
    }
}

impl Unit {
    fn of(rows: u32, raw_bytes: u32) -> Unit {
        Unit {
            rows: rows.into(),
            raw_bytes: raw_bytes.into(),
            is_file: false,
        }
    }
}

impl Content {
    /// The rows of a share read back from a record's arena; `None` when the share names bytes that the arena
    /// lacks.
    pub fn from_record(share: &Share, arena: &[u8]) -> Option<Content> {
        let part = |part: &Part| match part {
            Part::Inline { chunks, .. } if chunks.is_empty() => Some(LivePart::PieceEnd),
            Part::Inline { arena: range, chunks } => {
                let range = usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?;
                let rows = Bytes::copy_from_slice(arena.get(range)?);
                let chunk_bytes: u64 = chunks.iter().map(|chunk| u64::from(chunk.raw_bytes)).sum();
                (chunk_bytes == rows.len() as u64).then(|| LivePart::Inline {
                    rows,
                    chunks: chunks.clone(),
                })
            }
            Part::Staged { offset, frames } => Some(LivePart::Staged {
                offset: *offset,
                frames: frames.clone(),
            }),
            Part::File(file) => Some(LivePart::File(Box::new(file.clone()))),
        };
        Some(Content {
            parts: share.parts.iter().map(part).collect::<Option<Vec<_>>>()?,
        })
    }

    /// All rows and their raw bytes.
    pub fn totals(&self) -> (u64, u64) {
        self.units().fold((0, 0), |(rows, bytes), unit| {
            (rows + unit.rows, bytes + unit.raw_bytes)
        })
    }

    /// Bytes of rows held in memory.
    pub fn memory_bytes(&self) -> u64 {
        let inline = |part: &LivePart| match part {
            LivePart::Inline { rows, .. } => rows.len() as u64,
            LivePart::Staged { .. } | LivePart::File(_) | LivePart::PieceEnd => 0,
        };
        self.parts.iter().map(inline).sum()
    }

    /// Whether its batches are cut where its parts say.
    pub fn is_in_pieces(&self) -> bool {
        matches!(self.parts.last(), Some(LivePart::PieceEnd))
    }

    /// Whether some of it lies in the INSERT's staged file.
    pub fn is_staged(&self) -> bool {
        self.parts
            .iter()
            .any(|part| matches!(part, LivePart::Staged { .. }))
    }

    /// The batch files between two places.
    pub fn files_between(&self, from: Cursor, to: Cursor) -> impl Iterator<Item = &StagedFile> {
        let mut units = 0;
        self.parts.iter().filter_map(move |part| {
            let first = units;
            units += part.len() as u32;
            (first >= from.units && first < to.units)
                .then(|| part.as_file())
                .flatten()
        })
    }

    /// The bytes of some units, as few runs as possible of frames, and chunk by chunk of raw rows.
    pub fn runs(&self, start: Cursor, units: u32) -> impl Iterator<Item = Run<'_>> {
        let mut left = units as usize;
        let from_part = self.parts.iter().enumerate().skip(start.part);
        from_part.flat_map(move |(at, part)| {
            let first = if at == start.part {
                start.index.min(part.len())
            } else {
                0
            };
            let end = part.len().min(first + left);
            left -= end - first;
            part.runs(first..end)
        })
    }

    /// How many pieces it is in.
    fn pieces(&self) -> u64 {
        let ends = self.parts.iter().filter(|part| **part == LivePart::PieceEnd);
        ends.count() as u64
    }

    /// Which piece the rows are that begin there.
    pub fn client_piece(&self, start: Cursor, rows: u64) -> Option<ClientPiece> {
        let number = start.piece(self).filter(|_| self.is_in_pieces())?;
        Some(ClientPiece {
            number,
            first_row: start.rows,
            rows,
        })
    }

    fn units(&self) -> impl Iterator<Item = Unit> {
        self.parts
            .iter()
            .flat_map(|part| (0..part.len()).map(|index| part.unit(index)))
    }
}

/// A place between two units of a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor {
    /// Units before it.
    pub units: u32,
    /// The part that holds the next unit.
    pub part: usize,
    /// The next unit's index in that part.
    pub index: usize,
    /// Rows before it.
    pub rows: u64,
    /// Pieces whose end was passed on the way to the unit before it.
    pub pieces: u64,
}

impl Cursor {
    /// The unit behind this place; `None` at the end.
    fn unit(mut self, content: &Content) -> Option<(Unit, Cursor)> {
        while self.index >= content.parts.get(self.part)?.len() {
            self.pieces += u64::from(content.parts[self.part] == LivePart::PieceEnd);
            self.part += 1;
            self.index = 0;
        }
        let unit = content.parts[self.part].unit(self.index);
        Some((
            unit,
            Cursor {
                units: self.units + 1,
                part: self.part,
                index: self.index + 1,
                rows: self.rows + unit.rows,
                pieces: self.pieces,
            },
        ))
    }

    /// The number of the piece that the next unit is of.
    fn piece(self, content: &Content) -> Option<u64> {
        self.unit(content).map(|(_, next)| next.pieces)
    }
}

/// A share, or what earlier cuts left of it, in one lane's queue.
#[derive(Debug, Clone)]
pub struct Uncut {
    /// Its INSERT.
    pub insert: InsertNo,
    /// Its INSERT's receipt.
    pub id: InsertId,
    /// Its INSERT's client token.
    pub token: Option<Arc<str>>,
    /// Its shard's index in the INSERT.
    pub shard: u32,
    /// The journal segment its commit record lies in.
    pub segment: u64,
    /// When it was committed, milliseconds since 1970.
    pub committed_at_ms: u64,
    /// When it joined the queue, milliseconds of the spool's own clock, which nobody sets.
    pub queued_at: u64,
    /// The rows.
    pub content: Arc<Content>,
    /// What is left begins here.
    pub start: Cursor,
    /// Rows left.
    pub rows: u64,
    /// Raw bytes left.
    pub raw_bytes: u64,
    /// It is never joined with others: its INSERT awaits what a shard says of it.
    pub alone: bool,
    /// It may have been cut in a record that is lost.
    pub suspect: bool,
}

fn raw_runs<'a>(rows: &'a Bytes, chunks: &[Chunk], units: Range<usize>) -> Vec<Run<'a>> {
    let mut at: usize = chunks[..units.start]
        .iter()
        .map(|chunk| chunk.raw_bytes as usize)
        .sum();
    let run = |chunk: &Chunk| {
        let end = at + chunk.raw_bytes as usize;
        let run = Run::Raw {
            bytes: &rows[at..end],
            rows: chunk.rows.into(),
        };
        at = end;
        run
    };
    chunks[units].iter().map(run).collect()
}

/// What a cut takes of one share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Take {
    /// Units from the front.
    pub units: u32,
    /// Their rows.
    pub rows: u64,
    /// Their raw bytes.
    pub raw_bytes: u64,
    /// They are one whole batch file.
    pub is_file: bool,
}

impl Uncut {
    /// The place behind its last unit.
    pub fn end(&self) -> Cursor {
        let units = self.content.parts.iter().map(|part| part.len() as u32).sum();
        Cursor {
            units,
            part: self.content.parts.len(),
            index: 0,
            rows: self.start.rows + self.rows,
            pieces: self.content.pieces(),
        }
    }

    /// Moves the front behind `units` more units. Returns what was passed.
    pub fn advance(&mut self, units: u32) -> Take {
        let mut passed = Take::default();
        for _ in 0..units {
            let Some((unit, next)) = self.start.unit(&self.content) else {
                break;
            };
            passed = passed.with(unit);
            self.start = next;
        }
        self.rows -= passed.rows;
        self.raw_bytes -= passed.raw_bytes;
        passed
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.start.unit(&self.content).is_none()
    }

    /// Whether earlier cuts took some of it.
    pub fn is_rest(&self) -> bool {
        self.start.units > 0
    }

    /// The token of so many rows of its front, which are a piece; none where its batches' tokens are drawn.
    pub fn client_token(&self, shape: &Shape, shard: &str, rows: u64) -> Option<String> {
        let piece = self.content.client_piece(self.start, rows)?;
        let token = self.token.as_deref()?;
        Some(token::of_piece(shape, token, shard, piece))
    }

    /// Its next piece whole; a share that is in none is one.
    fn next_piece(&self) -> Take {
        let mut take = Take::default();
        let mut cursor = self.start;
        let number = cursor.piece(&self.content);
        while let Some((unit, next)) = cursor.unit(&self.content) {
            if Some(next.pieces) != number {
                break;
            }
            take = take.with(unit);
            cursor = next;
        }
        take
    }

    /// What of it fits into a batch that already holds `have`. The first unit of a batch always fits, and so does a piece.
    pub fn fitting(&self, have: Take, limits: &BatchLimits) -> Take {
        if self.content.is_in_pieces() {
            return if have.units == 0 {
                self.next_piece()
            } else {
                Take::default()
            };
        }
        let mut take = Take::default();
        let mut cursor = self.start;
        while let Some((unit, next)) = cursor.unit(&self.content) {
            let is_first = have.units + take.units == 0;
            if unit.is_file {
                return if is_first { take.with(unit) } else { take };
            }
            let rows = have.rows + take.rows + unit.rows;
            let raw_bytes = have.raw_bytes + take.raw_bytes + unit.raw_bytes;
            if !is_first && (rows > limits.max_rows || raw_bytes > limits.max_bytes) {
                break;
            }
            take = take.with(unit);
            cursor = next;
        }
        take
    }

    /// How many of the units that are left have exactly so many rows and raw bytes.
    pub fn units_of(&self, rows: u64, raw_bytes: u64) -> Option<u32> {
        let mut take = Take::default();
        let mut cursor = self.start;
        while take.rows < rows || take.raw_bytes < raw_bytes {
            let (unit, next) = cursor.unit(&self.content)?;
            take = take.with(unit);
            cursor = next;
        }
        ((take.rows, take.raw_bytes) == (rows, raw_bytes)).then_some(take.units)
    }

    /// Whole batch files among the units that are left.
    pub fn files_left(&self) -> u64 {
        let mut cursor = self.start;
        let mut files = 0;
        while let Some((unit, next)) = cursor.unit(&self.content) {
            files += u64::from(unit.is_file);
            cursor = next;
        }
        files
    }
}

impl Take {
    fn with(self, unit: Unit) -> Take {
        Take {
            units: self.units + 1,
            rows: self.rows + unit.rows,
            raw_bytes: self.raw_bytes + unit.raw_bytes,
            is_file: unit.is_file,
        }
    }

    /// Both together.
    pub fn plus(self, other: Take) -> Take {
        Take {
            units: self.units + other.units,
            rows: self.rows + other.rows,
            raw_bytes: self.raw_bytes + other.raw_bytes,
            is_file: self.is_file || other.is_file,
        }
    }
}
