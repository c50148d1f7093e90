//! The second look at a block's columns: the next rows of each, read from where its streams lie.

use std::io;
use std::sync::Arc;

use super::node::Node;
use super::store::Store;
use super::walk::{Mark, index_width, is_null_number};
use crate::columnar::{Texts, Values};

/// The position in each stream of a column.
#[derive(Debug, Clone)]
pub(super) enum Reader {
    Fixed {
        at: u64,
        width: usize,
    },
    Text {
        at: u64,
    },
    Nullable {
        at: u64,
        inner: Box<Reader>,
    },
    /// `passed` elements belong to the rows before.
    Array {
        at: u64,
        passed: u64,
        inner: Box<Reader>,
    },
    Tuple(Vec<Reader>),
    LowCardinality {
        at: u64,
        width: usize,
        keys: Arc<Values>,
        nullable: bool,
    },
    Variant {
        at: u64,
        types: Vec<Reader>,
    },
}

/// Why the next rows cannot be loaded.
#[derive(Debug)]
pub(super) enum LoadError {
    /// They have more bytes than allowed: fewer rows may do.
    TooMuch,
    /// A number that is not the dictionary's.
    Index,
    /// The scratch file.
    Io(io::Error),
}

impl From<io::Error> for LoadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What may still be loaded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance(pub usize);

/// What a row of strings or arrays costs besides its bytes: its end.
const END_BYTES: usize = size_of::<usize>();

/// Strings are looked at in pieces of this size.
const PIECE_BYTES: usize = 64 << 10;

/// More bytes than a string's length can have.
const LENGTH_BYTES_MAX: usize = 10;

impl Allowance {
    fn take(&mut self, bytes: u64) -> Result<usize, LoadError> {
        let bytes = usize::try_from(bytes).map_err(|_| LoadError::TooMuch)?;
        self.0 = self.0.checked_sub(bytes).ok_or(LoadError::TooMuch)?;
        Ok(bytes)
    }
}

impl Reader {
    /// A reader of the column that was walked over; `marks` are consumed in their order. Dictionaries are loaded as a
    /// whole, because every row may use any of their entries.
    pub(super) fn new(
        node: &Node,
        base: u64,
        marks: &mut impl Iterator<Item = Mark>,
        store: &Store,
        allowance: &mut Allowance,
    ) -> Result<Self, LoadError> {
        if let Node::Tuple(elements) = node {
            let readers = elements
                .iter()
                .map(|element| Self::new(element, base, marks, store, allowance));
            return Ok(Self::Tuple(readers.collect::<Result<_, _>>()?));
        }
        let missing = || LoadError::Io(io::ErrorKind::UnexpectedEof.into());
        let mark = marks.next().ok_or_else(missing)?;
        let at = base + mark.at;
        Ok(match node {
            Node::Fixed(width) => Self::Fixed { at, width: *width },
            Node::Text => Self::Text { at },
            Node::Nullable(inner) => Self::Nullable {
                at,
                inner: Box::new(Self::new(inner, base, marks, store, allowance)?),
            },
            Node::Array(inner) => Self::Array {
                at,
                passed: 0,
                inner: Box::new(Self::new(inner, base, marks, store, allowance)?),
            },
            Node::LowCardinality { key, nullable } if mark.count == 0 => Self::LowCardinality {
                at,
                width: 1,
                keys: Arc::new(empty(key)),
                nullable: *nullable,
            },
            Node::LowCardinality { key, nullable } => {
                let width = index_width(store.number(at)?, 0).map_err(|_| LoadError::Index)?;
                let count = store.number(at + 8)?;
                let mut reader = Self::new(key, base, marks, store, allowance)?;
                let keys = Arc::new(reader.load(count, store, allowance)?);
                let indexes = marks.next().ok_or_else(missing)?;
                Self::LowCardinality {
                    at: base + indexes.at,
                    width: width as usize,
                    keys,
                    nullable: *nullable,
                }
            }
            Node::Variant(types) => {
                let types = types
                    .iter()
                    .map(|node| Self::new(node, base, marks, store, allowance));
                Self::Variant {
                    at,
                    types: types.collect::<Result<_, _>>()?,
                }
            }
            Node::Tuple(_) => Self::Tuple(Vec::new()),
        })
    }

    /// The next `rows` rows.
    pub(super) fn load(
        &mut self,
        rows: u64,
        store: &Store,
        allowance: &mut Allowance,
    ) -> Result<Values, LoadError> {
        Ok(match self {
            Self::Fixed { at, width } => Values::fixed(*width, bytes(at, rows, *width, store, allowance)?),
            Self::Text { at } => Values::Text(texts(at, rows, store, allowance)?),
            Self::Nullable { at, inner } => Values::Nullable {
                map: bytes(at, rows, 1, store, allowance)?,
                inner: Box::new(inner.load(rows, store, allowance)?),
            },
            Self::Array { at, passed, inner } => {
                let raw = bytes(at, rows, 8, store, allowance)?;
                let (numbers, _) = raw.as_chunks();
                let before = *passed;
                let ends = numbers
                    .iter()
                    .map(|number| u64::from_le_bytes(*number).saturating_sub(before) as usize);
                let ends: Vec<usize> = ends.collect();
                let elements = ends.last().copied().unwrap_or(0) as u64;
                *passed += elements;
                Values::Array {
                    ends,
                    inner: Box::new(inner.load(elements, store, allowance)?),
                }
            }
            Self::Tuple(elements) => {
                let elements = elements
                    .iter_mut()
                    .map(|element| element.load(rows, store, allowance));
                Values::Tuple(elements.collect::<Result<_, _>>()?)
            }
            Self::LowCardinality {
                at,
                width,
                keys,
                nullable,
            } => Values::LowCardinality {
                indexes: indexes(&bytes(at, rows, *width, store, allowance)?, *width, len(keys))?,
                keys: keys.clone(),
                nullable: *nullable,
            },
            Self::Variant { at, types } => {
                allowance.take(rows.saturating_mul(END_BYTES as u64))?;
                let numbers = bytes(at, rows, 1, store, allowance)?;
                let mut counts = vec![0_usize; types.len()];
                let mut places = Vec::with_capacity(numbers.len());
                for number in &numbers {
                    match counts.get_mut(usize::from(*number)) {
                        Some(count) if !is_null_number(*number, types.len()) => {
                            places.push(*count);
                            *count += 1;
                        }
                        _ => places.push(0),
                    }
                }
                let variants = types.iter_mut().zip(counts);
                let variants = variants.map(|(of, count)| of.load(count as u64, store, allowance));
                Values::Variant {
                    numbers,
                    places,
                    variants: variants.collect::<Result<_, _>>()?,
                }
            }
        })
    }
}

fn empty(key: &Node) -> Values {
    match key {
        Node::Fixed(width) => Values::fixed(*width, Vec::new()),
        _ => Values::Text(Texts::default()),
    }
}

/// How many entries a dictionary has.
fn len(keys: &Values) -> usize {
    match keys {
        Values::Fixed { width, bytes } => bytes.len() / width,
        Values::Text(texts) => texts.ends.len(),
        _ => 0,
    }
}

fn bytes(
    at: &mut u64,
    rows: u64,
    width: usize,
    store: &Store,
    allowance: &mut Allowance,
) -> Result<Vec<u8>, LoadError> {
    let len = allowance.take(rows.saturating_mul(width as u64))?;
    let mut bytes = Vec::with_capacity(len);
    store.read(*at, len, &mut bytes)?;
    *at += len as u64;
    Ok(bytes)
}

fn indexes(raw: &[u8], width: usize, keys: usize) -> Result<Vec<u32>, LoadError> {
    let in_range = |index: u64| match u32::try_from(index) {
        Ok(narrow) if (narrow as usize) < keys => Ok(narrow),
        _ => Err(LoadError::Index),
    };
    let wide = |value: &[u8]| {
        let mut bytes = [0; 8];
        bytes[..width].copy_from_slice(value);
        u64::from_le_bytes(bytes)
    };
    raw.chunks_exact(width)
        .map(|value| in_range(wide(value)))
        .collect()
}

/// The next strings, as they lie there.
fn texts(at: &mut u64, rows: u64, store: &Store, allowance: &mut Allowance) -> Result<Texts, LoadError> {
    let mut texts = Texts::default();
    let mut buffer = Vec::new();
    let count = allowance.take(rows.saturating_mul(END_BYTES as u64))? / END_BYTES;
    texts.ends.reserve_exact(count);
    // How many bytes of a string that has begun are in the next pieces.
    let mut missing = None;
    while texts.ends.len() < count {
        let piece = store.piece(*at, PIECE_BYTES, &mut buffer)?;
        let is_last = *at + piece.len() as u64 >= store.len();
        let passed = scan(piece, is_last, count, &mut missing, &mut texts);
        if passed == 0 {
            return Err(LoadError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        allowance.take(passed as u64)?;
        texts.raw.extend_from_slice(&piece[..passed]);
        *at += passed as u64;
        // A long string is refused before it is read.
        if missing.is_some_and(|missing| missing > allowance.0 as u64) {
            return Err(LoadError::TooMuch);
        }
    }
    Ok(texts)
}

/// Notes where strings end in the next piece, and says how many of its bytes are done with.
fn scan(piece: &[u8], is_last: bool, count: usize, missing: &mut Option<u64>, texts: &mut Texts) -> usize {
    let before = texts.raw.len();
    let mut passed = 0;
    while texts.ends.len() < count {
        let rest = &piece[passed..];
        let (head, len) = match *missing {
            Some(len) => (0, len),
            // A length may be cut in two by the piece's end: it is looked at again at the next one's beginning.
            None if rest.len() < LENGTH_BYTES_MAX && !is_last => break,
            None => match length(rest) {
                Some(found) => found,
                None => break,
            },
        };
        let here = len.min((rest.len() - head) as u64);
        passed += head + here as usize;
        if here < len {
            *missing = Some(len - here);
            break;
        }
        *missing = None;
        texts.ends.push(before + passed);
    }
    passed
}

/// A length, and how many bytes it has itself.
fn length(bytes: &[u8]) -> Option<(usize, u64)> {
    let mut len = 0_u64;
    for (index, byte) in bytes.iter().take(LENGTH_BYTES_MAX).enumerate() {
        len |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((index + 1, len));
        }
    }
    None
}
