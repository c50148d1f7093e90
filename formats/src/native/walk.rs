//! The first look at a column's values: where each of its streams begins, found as the bytes arrive.

use std::sync::Arc;

use super::node::Node;
use crate::columnar::KEYS_IN_BLOCK;
use crate::error::code;
use crate::framing::Stop;

/// Where a stream begins, and how many values it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// Offset among the column's bytes.
    pub at: u64,
    pub count: u64,
}

/// A walk over one column. Its marks stand in the order in which the streams do.
#[derive(Debug)]
pub(super) struct Walk {
    tasks: Vec<Task>,
    marks: Vec<Mark>,
    /// Bytes passed.
    at: u64,
    /// A number of which not all bytes have come.
    partial: [u8; 8],
    partial_len: usize,
}

#[derive(Debug)]
enum Task {
    /// A column of a layout.
    Values(Arc<Node>, u64),
    /// Bytes in which nothing is to be found.
    Skip(u64),
    /// So many strings are left; the length of the next has come as far as the two numbers say.
    Texts {
        left: u64,
        len: u64,
        shift: u32,
    },
    /// So many ends of arrays are left.
    Ends {
        left: u64,
        last: u64,
        inner: Arc<Node>,
    },
    /// So many numbers of types are left.
    Numbers {
        left: u64,
        counts: Vec<u64>,
        types: Vec<Arc<Node>>,
    },
    /// A dictionary's flags, its size, the number of rows behind it.
    Flags {
        count: u64,
        key: Arc<Node>,
    },
    KeyCount {
        count: u64,
        width: u64,
        key: Arc<Node>,
    },
    RowCount {
        count: u64,
        width: u64,
    },
}

impl Walk {
    pub(super) fn new(node: Arc<Node>, rows: u64) -> Self {
        Self {
            tasks: vec![Task::Values(node, rows)],
            marks: Vec::new(),
            at: 0,
            partial: [0; 8],
            partial_len: 0,
        }
    }

    /// Whether the column is at its end.
    pub(super) fn is_done(&self) -> bool {
        self.tasks.is_empty()
    }

    pub(super) fn into_marks(self) -> Vec<Mark> {
        self.marks
    }

    /// Walks on over the next bytes and says how many are the column's. A fault is at an offset of `bytes`.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<usize, Stop> {
        let mut taken = 0;
        while let Some(task) = self.tasks.pop() {
            let passed = self.step(task, &bytes[taken..], taken)?;
            taken += passed;
            self.at += passed as u64;
            // A task that is not done lies on top again and wants more bytes.
            if taken == bytes.len() && self.wants_bytes() {
                break;
            }
        }
        Ok(taken)
    }

    /// Whether the next task can do nothing without a byte.
    fn wants_bytes(&self) -> bool {
        match self.tasks.last() {
            None => false,
            Some(Task::Values(..) | Task::Skip(0)) => false,
            Some(
                Task::Texts { left: 0, .. } | Task::Ends { left: 0, .. } | Task::Numbers { left: 0, .. },
            ) => false,
            Some(_) => true,
        }
    }

    /// Does of a task what the bytes allow, and puts back what is left of it. `at` is where `bytes` begin in those fed.
    fn step(&mut self, task: Task, bytes: &[u8], at: usize) -> Result<usize, Stop> {
        match task {
            Task::Values(node, count) => {
                self.open(&node, count);
                Ok(0)
            }
            Task::Skip(len) => {
                let passed = len.min(bytes.len() as u64);
                if passed < len {
                    self.tasks.push(Task::Skip(len - passed));
                }
                Ok(passed as usize)
            }
            Task::Texts { left, len, shift } => self.texts(left, len, shift, bytes, at),
            Task::Ends { left, last, inner } => self.ends(left, last, inner, bytes, at),
            Task::Numbers { left, counts, types } => self.numbers(left, counts, types, bytes, at),
            Task::Flags { count, key } => {
                let (passed, flags) = self.number(bytes);
                match flags {
                    Some(flags) => self.tasks.push(Task::KeyCount {
                        count,
                        width: index_width(flags, at + passed)?,
                        key,
                    }),
                    None => self.tasks.push(Task::Flags { count, key }),
                }
                Ok(passed)
            }
            Task::KeyCount { count, width, key } => {
                let (passed, keys) = self.number(bytes);
                match keys {
                    Some(keys) => {
                        self.tasks.push(Task::RowCount { count, width });
                        self.tasks.push(Task::Values(key, keys));
                    }
                    None => self.tasks.push(Task::KeyCount { count, width, key }),
                }
                Ok(passed)
            }
            Task::RowCount { count, width } => {
                let (passed, rows) = self.number(bytes);
                match rows {
                    Some(rows) if rows == count => {
                        self.marks.push(Mark {
                            at: self.at + passed as u64,
                            count,
                        });
                        self.tasks.push(Task::Skip(rows.saturating_mul(width)));
                    }
                    Some(_) => {
                        let message = "a LowCardinality column has as many indexes as the block has rows";
                        return Err(Stop::fault(code::INCORRECT_DATA, at + passed, message));
                    }
                    None => self.tasks.push(Task::RowCount { count, width }),
                }
                Ok(passed)
            }
        }
    }

    /// Marks where a layout's first stream begins and lays out its tasks, the last one first.
    fn open(&mut self, node: &Arc<Node>, count: u64) {
        if !matches!(**node, Node::Tuple(_)) {
            self.marks.push(Mark { at: self.at, count });
        }
        match &**node {
            Node::Fixed(width) => self.tasks.push(Task::Skip(count.saturating_mul(*width as u64))),
            Node::Text => self.tasks.push(Task::Texts {
                left: count,
                len: 0,
                shift: 0,
            }),
            Node::Nullable(inner) => {
                self.tasks.push(Task::Values(inner.clone(), count));
                self.tasks.push(Task::Skip(count));
            }
            Node::Array(inner) => self.tasks.push(Task::Ends {
                left: count,
                last: 0,
                inner: inner.clone(),
            }),
            Node::Tuple(elements) => {
                let tasks = elements
                    .iter()
                    .rev()
                    .map(|element| Task::Values(element.clone(), count));
                self.tasks.extend(tasks);
            }
            // Nothing at all is written for no rows.
            Node::LowCardinality { .. } if count == 0 => {}
            Node::LowCardinality { key, .. } => self.tasks.push(Task::Flags {
                count,
                key: key.clone(),
            }),
            Node::Variant(types) => self.tasks.push(Task::Numbers {
                left: count,
                counts: vec![0; types.len()],
                types: types.clone(),
            }),
        }
    }

    fn texts(
        &mut self,
        mut left: u64,
        mut len: u64,
        mut shift: u32,
        bytes: &[u8],
        at: usize,
    ) -> Result<usize, Stop> {
        let mut passed = 0;
        while left > 0 {
            let Some(byte) = bytes.get(passed) else {
                self.tasks.push(Task::Texts { left, len, shift });
                return Ok(passed);
            };
            if shift > 63 {
                let message = "expected a length of at most ten bytes";
                return Err(Stop::fault(code::INCORRECT_DATA, at + passed, message));
            }
            passed += 1;
            len |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 != 0 {
                shift += 7;
                continue;
            }
            left -= 1;
            let rest = (bytes.len() - passed) as u64;
            if len > rest {
                self.tasks.push(Task::Texts {
                    left,
                    len: 0,
                    shift: 0,
                });
                self.tasks.push(Task::Skip(len - rest));
                return Ok(bytes.len());
            }
            passed += len as usize;
            (len, shift) = (0, 0);
        }
        Ok(passed)
    }

    fn ends(
        &mut self,
        mut left: u64,
        mut last: u64,
        inner: Arc<Node>,
        bytes: &[u8],
        at: usize,
    ) -> Result<usize, Stop> {
        let mut passed = 0;
        while left > 0 {
            let (read, end) = self.number(&bytes[passed..]);
            passed += read;
            let Some(end) = end else {
                self.tasks.push(Task::Ends { left, last, inner });
                return Ok(passed);
            };
            if end < last {
                let message = "the ends of arrays never fall";
                return Err(Stop::fault(code::INCORRECT_DATA, at + passed, message));
            }
            (left, last) = (left - 1, end);
        }
        self.tasks.push(Task::Values(inner, last));
        Ok(passed)
    }

    fn numbers(
        &mut self,
        left: u64,
        mut counts: Vec<u64>,
        types: Vec<Arc<Node>>,
        bytes: &[u8],
        at: usize,
    ) -> Result<usize, Stop> {
        let passed = left.min(bytes.len() as u64) as usize;
        for (offset, number) in bytes[..passed].iter().enumerate() {
            match counts.get_mut(usize::from(*number)) {
                Some(count) => *count += 1,
                None if is_null_number(*number, types.len()) => {}
                None => {
                    let message = "expected the number of one of the column's types, or that of NULL";
                    return Err(Stop::fault(code::INCORRECT_DATA, at + offset, message));
                }
            }
        }
        let left = left - passed as u64;
        if left > 0 {
            self.tasks.push(Task::Numbers { left, counts, types });
        } else {
            let columns = types.into_iter().zip(counts).rev();
            self.tasks
                .extend(columns.map(|(node, count)| Task::Values(node, count)));
        }
        Ok(passed)
    }

    /// Eight bytes as a number, once they are all there; says how many bytes it took.
    fn number(&mut self, bytes: &[u8]) -> (usize, Option<u64>) {
        if self.partial_len == 0
            && let Some(number) = bytes.first_chunk()
        {
            return (8, Some(u64::from_le_bytes(*number)));
        }
        let taken = bytes.len().min(8 - self.partial_len);
        self.partial[self.partial_len..self.partial_len + taken].copy_from_slice(&bytes[..taken]);
        self.partial_len += taken;
        if self.partial_len < 8 {
            return (taken, None);
        }
        self.partial_len = 0;
        (taken, Some(u64::from_le_bytes(self.partial)))
    }
}

/// NULL in a Variant is 255; in a flattened Dynamic it is one behind the last type.
pub(super) fn is_null_number(number: u8, types: usize) -> bool {
    number == u8::MAX || usize::from(number) == types
}

/// How wide a dictionary's indexes are, by the flags in front of it.
pub(super) fn index_width(flags: u64, at: usize) -> Result<u64, Stop> {
    const GLOBAL_DICTIONARY: u64 = 1 << 8;
    let message = if flags & GLOBAL_DICTIONARY != 0 || flags & KEYS_IN_BLOCK == 0 {
        "a LowCardinality column in Native has its dictionary in the block"
    } else if flags & 0xff > 3 {
        "the indexes of a LowCardinality column have 1, 2, 4 or 8 bytes"
    } else {
        return Ok(1 << (flags & 0xff));
    };
    Err(Stop::fault(code::INCORRECT_DATA, at, message))
}
