//! `Values`: the values of one column, laid out as Native does, of which any rows can be written.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::picks::Picks;

/// The values of some rows.
#[derive(Debug, Clone)]
pub(crate) enum Values {
    /// So many bytes each.
    Fixed { width: usize, bytes: Vec<u8> },
    /// Strings.
    Text(Texts),
    /// One byte a row, 1 for NULL, and a value for every row.
    Nullable { map: Vec<u8>, inner: Box<Values> },
    /// Where each row's elements end, and the elements.
    Array { ends: Vec<usize>, inner: Box<Values> },
    /// One column an element.
    Tuple(Vec<Values>),
    /// Numbers of entries in a dictionary; with `nullable`, entry 0 is NULL.
    LowCardinality {
        indexes: Vec<u32>,
        keys: Arc<Values>,
        nullable: bool,
    },
    /// For each row the number of a type (one behind the last, or 255, is NULL), and its position among the values
    /// of that type.
    Variant {
        numbers: Vec<u8>,
        places: Vec<usize>,
        variants: Vec<Values>,
    },
}

/// Strings end to end, each with its length in front, as Native writes them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Texts {
    pub raw: Vec<u8>,
    /// Where each string ends in `raw`.
    pub ends: Vec<usize>,
}

impl Texts {
    pub(crate) fn push(&mut self, text: &[u8]) {
        put_varint(text.len() as u64, &mut self.raw);
        self.raw.extend_from_slice(text);
        self.ends.push(self.raw.len());
    }

    /// One string, without its length.
    pub(crate) fn get(&self, row: usize) -> &[u8] {
        let raw = &self.raw[begin(&self.ends, row)..self.ends[row]];
        let head = raw
            .iter()
            .position(|byte| byte & 0x80 == 0)
            .map_or(0, |at| at + 1);
        &raw[head..]
    }
}

/// Flags of a LowCardinality column: the keys stand in the block itself.
pub(crate) const KEYS_IN_BLOCK: u64 = 1 << 9;
/// The keys of the block are to be taken into the dictionary.
const KEYS_ARE_NEW: u64 = 1 << 10;

/// Dictionaries of this size are always re-numbered by a table; larger ones, of which few entries are used, by a
/// hash map.
const DENSE_KEYS: usize = 1 << 12;

impl Values {
    /// No value of a number or the like.
    pub(crate) fn fixed(width: usize, bytes: Vec<u8>) -> Self {
        Self::Fixed { width, bytes }
    }

    /// Appends the values of the picked rows, without the column's prefix.
    pub(crate) fn write(&self, picks: &Picks, out: &mut Vec<u8>) {
        match self {
            Self::Fixed { width, bytes } => write_fixed(*width, bytes, picks, out),
            Self::Text(texts) => {
                for range in picks.ranges() {
                    out.extend_from_slice(
                        &texts.raw[begin(&texts.ends, range.start)..texts.ends[range.end - 1]],
                    );
                }
            }
            Self::Nullable { map, inner } => {
                write_fixed(1, map, picks, out);
                inner.write(picks, out);
            }
            Self::Array { ends, inner } => write_array(ends, inner, picks, out),
            Self::Tuple(elements) => elements.iter().for_each(|element| element.write(picks, out)),
            Self::LowCardinality { indexes, keys, .. } => write_low_cardinality(indexes, keys, picks, out),
            Self::Variant {
                numbers,
                places,
                variants,
            } => {
                write_fixed(1, numbers, picks, out);
                for (number, variant) in variants.iter().enumerate() {
                    let of_it = picks.rows().filter(|row| usize::from(numbers[*row]) == number);
                    let mut inner = Picks::default();
                    of_it.for_each(|row| inner.push(places[row]..places[row] + 1));
                    variant.write(&inner, out);
                }
            }
        }
    }

    /// The bytes of one value that is a number, a string or the like; none for anything else, and for NULL.
    pub(crate) fn value(&self, row: usize) -> Option<&[u8]> {
        match self {
            Self::Fixed { width, bytes } => bytes.get(row * width..(row + 1) * width),
            Self::Text(texts) => Some(texts.get(row)),
            Self::Nullable { map, inner } => inner.value(row).filter(|_| map[row] == 0),
            Self::LowCardinality {
                indexes,
                keys,
                nullable,
            } => {
                let key = indexes[row] as usize;
                keys.value(key).filter(|_| !(*nullable && key == 0))
            }
            Self::Array { .. } | Self::Tuple(_) | Self::Variant { .. } => None,
        }
    }
}

/// The places of one row's elements.
pub(super) fn elements(ends: &[usize], row: usize) -> Range<usize> {
    begin(ends, row)..ends[row]
}

/// Where row `row` begins.
fn begin(ends: &[usize], row: usize) -> usize {
    if row == 0 { 0 } else { ends[row - 1] }
}

fn write_fixed(width: usize, bytes: &[u8], picks: &Picks, out: &mut Vec<u8>) {
    match width {
        1 => gather::<1>(bytes, picks, out),
        2 => gather::<2>(bytes, picks, out),
        4 => gather::<4>(bytes, picks, out),
        8 => gather::<8>(bytes, picks, out),
        16 => gather::<16>(bytes, picks, out),
        32 => gather::<32>(bytes, picks, out),
        width => {
            for range in picks.ranges() {
                out.extend_from_slice(&bytes[range.start * width..range.end * width]);
            }
        }
    }
}

/// A loop of its own for each width: most ranges are of one value, whose copy is then one store.
fn gather<const WIDTH: usize>(bytes: &[u8], picks: &Picks, out: &mut Vec<u8>) {
    let (values, _) = bytes.as_chunks::<WIDTH>();
    out.reserve(picks.len() * WIDTH);
    for range in picks.ranges() {
        match &values[range.clone()] {
            [value] => out.extend_from_slice(value),
            values => out.extend_from_slice(values.as_flattened()),
        }
    }
}

fn write_array(ends: &[usize], inner: &Values, picks: &Picks, out: &mut Vec<u8>) {
    let mut elements = Picks::default();
    for range in picks.ranges() {
        let (before, start) = (elements.len(), begin(ends, range.start));
        for end in &ends[range.clone()] {
            out.extend_from_slice(&((before + end - start) as u64).to_le_bytes());
        }
        elements.push(start..ends[range.end - 1]);
    }
    inner.write(&elements, out);
}

/// Only the entries that the rows use are written, numbered anew; entry 0 always, because it is NULL or the default.
fn write_low_cardinality(indexes: &[u32], keys: &Values, picks: &Picks, out: &mut Vec<u8>) {
    if picks.len() == 0 {
        return;
    }
    let mut numbering = Numbering::new(indexes, picks);
    numbering.number(0);
    let numbers: Vec<u32> = picks.rows().map(|row| numbering.number(indexes[row])).collect();
    let used = numbering.used;
    let (flag, width) = match used.len() {
        0..=0x100 => (0, 1),
        0x101..=0x1_0000 => (1, 2),
        _ => (2, 4),
    };
    out.extend_from_slice(&(KEYS_IN_BLOCK | KEYS_ARE_NEW | flag).to_le_bytes());
    out.extend_from_slice(&(used.len() as u64).to_le_bytes());
    keys.write_in_order(&used, out);
    out.extend_from_slice(&(numbers.len() as u64).to_le_bytes());
    out.reserve(numbers.len() * width);
    match width {
        1 => out.extend(numbers.iter().map(|number| *number as u8)),
        2 => out.extend(numbers.iter().flat_map(|number| (*number as u16).to_le_bytes())),
        _ => out.extend(numbers.iter().flat_map(|number| number.to_le_bytes())),
    }
}

impl Values {
    /// The entries of a dictionary, which are no containers, in any order.
    fn write_in_order(&self, rows: &[u32], out: &mut Vec<u8>) {
        for row in rows {
            let mut one = Picks::default();
            let row = *row as usize;
            match self {
                Self::Fixed { width, bytes } => out.extend_from_slice(&bytes[row * width..(row + 1) * width]),
                Self::Text(texts) => {
                    out.extend_from_slice(&texts.raw[begin(&texts.ends, row)..texts.ends[row]]);
                }
                other => {
                    one.push(row..row + 1);
                    other.write(&one, out);
                }
            }
        }
    }
}

/// New numbers for a dictionary's entries, in the order of their first use.
struct Numbering {
    numbers: Numbers,
    used: Vec<u32>,
}

enum Numbers {
    /// The new number of each entry, or `UNUSED`.
    Dense(Vec<u32>),
    Sparse(HashMap<u32, u32>),
}

const UNUSED: u32 = u32::MAX;

impl Numbering {
    fn new(indexes: &[u32], picks: &Picks) -> Self {
        let picked = |range: &Range<usize>| indexes[range.clone()].iter().copied().max();
        let highest = picks.ranges().iter().filter_map(picked).max().unwrap_or(0) as usize;
        let numbers = if highest < DENSE_KEYS.max(4 * picks.len()) {
            Numbers::Dense(vec![UNUSED; highest + 1])
        } else {
            Numbers::Sparse(HashMap::new())
        };
        Self {
            numbers,
            used: Vec::new(),
        }
    }

    fn number(&mut self, entry: u32) -> u32 {
        let next = self.used.len() as u32;
        let number = match &mut self.numbers {
            Numbers::Dense(numbers) => &mut numbers[entry as usize],
            Numbers::Sparse(numbers) => numbers.entry(entry).or_insert(UNUSED),
        };
        if *number == UNUSED {
            *number = next;
            self.used.push(entry);
        }
        *number
    }
}

/// A number as ClickHouse writes lengths.
pub(crate) fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
