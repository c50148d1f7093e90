//! `Picks`: which rows are to be written.

use std::ops::Range;

/// Rows in order, as ranges of neighbours.
#[derive(Debug, Default)]
pub(crate) struct Picks {
    ranges: Vec<Range<usize>>,
    rows: usize,
}

impl Picks {
    /// These rows, ascending.
    pub(crate) fn of_rows(rows: &[usize]) -> Self {
        let mut picks = Self::default();
        for row in rows {
            picks.push(*row..*row + 1);
        }
        picks
    }

    /// Adds rows behind those picked already.
    pub(crate) fn push(&mut self, rows: Range<usize>) {
        self.rows += rows.len();
        match self.ranges.last_mut() {
            _ if rows.is_empty() => {}
            Some(last) if last.end == rows.start => last.end = rows.end,
            _ => self.ranges.push(rows),
        }
    }

    pub(crate) fn ranges(&self) -> &[Range<usize>] {
        &self.ranges
    }

    /// How many rows are picked.
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = usize> {
        self.ranges.iter().cloned().flatten()
    }
}
