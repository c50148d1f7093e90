//! Listings as people read them: aligned columns, numbers to the right, sizes and times in words. Pure.

use std::fmt;

/// How a column's texts stand in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A listing with a heading; columns are as wide as their widest text.
#[derive(Debug)]
pub struct Table {
    titles: Vec<&'static str>,
    aligns: Vec<Align>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty listing with these columns.
    pub fn new(columns: &[(&'static str, Align)]) -> Self {
        Self {
            titles: columns.iter().map(|(title, _)| *title).collect(),
            aligns: columns.iter().map(|(_, align)| *align).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a line: one text a column, missing ones are empty.
    pub fn row(&mut self, mut texts: Vec<String>) {
        debug_assert!(texts.len() <= self.titles.len(), "a column has no title");
        texts.resize(self.titles.len(), String::new());
        self.rows.push(texts);
    }

    fn widths(&self) -> Vec<usize> {
        let width = |at: usize| {
            let texts = self.rows.iter().map(|row| row[at].chars().count());
            texts.chain([self.titles[at].chars().count()]).max().unwrap_or(0)
        };
        (0..self.titles.len()).map(width).collect()
    }

    fn line<'a>(&self, widths: &[usize], texts: impl Iterator<Item = &'a str>) -> String {
        let mut line = String::new();
        for ((text, width), align) in texts.zip(widths).zip(&self.aligns) {
            if !line.is_empty() {
                line.push_str("  ");
            }
            line.push_str(&match align {
                Align::Left => format!("{text:<width$}"),
                Align::Right => format!("{text:>width$}"),
            });
        }
        line.trim_end().to_owned()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        writeln!(f, "{}", self.line(&widths, self.titles.iter().copied()))?;
        for row in &self.rows {
            writeln!(f, "{}", self.line(&widths, row.iter().map(String::as_str)))?;
        }
        Ok(())
    }
}

/// `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with its noun: `1 row`, `2 rows`, `3 batches`.
pub fn counted(number: u64, singular: &str) -> String {
    let ending = match (number, singular.ends_with("ch")) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{} {singular}{ending}", count(number))
}

/// Bytes in the largest unit that leaves a whole part: `0 B`, `1.5 KiB`, `640 MiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let unit = (bytes.ilog2() / 10) as usize;
    // Precise enough for three digits.
    #[allow(clippy::cast_precision_loss)]
    let value = bytes as f64 / (1_u64 << (10 * unit)) as f64;
    let decimals = usize::from(value < 99.95);
    format!("{value:.decimals$} {}", UNITS[unit - 1])
}

/// How long ago, in its two largest units: `0s`, `59s`, `2m 5s`, `1h 1m`, `3d 4h`.
pub fn age(then_ms: u64, now_ms: u64) -> String {
    let seconds = now_ms.saturating_sub(then_ms) / 1000;
    let (larger, smaller) = match seconds {
        0..60 => return format!("{seconds}s"),
        60..3600 => ((seconds / 60, 'm'), (seconds % 60, 's')),
        3600..86_400 => ((seconds / 3600, 'h'), (seconds / 60 % 60, 'm')),
        _ => ((seconds / 86_400, 'd'), (seconds / 3600 % 24, 'h')),
    };
    match smaller.0 {
        0 => format!("{}{}", larger.0, larger.1),
        rest => format!("{}{} {rest}{}", larger.0, larger.1, smaller.1),
    }
}

/// At most `chars_max` characters on one line: what a cell of a table has room for.
pub fn one_line(text: &str, chars_max: usize) -> String {
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if flat.chars().count() <= chars_max {
        return flat;
    }
    let kept: String = flat.chars().take(chars_max.saturating_sub(1)).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_characters_and_lines_have_no_blanks_at_their_end() {
        let mut table = Table::new(&[
            ("NAME", Align::Left),
            ("ROWS", Align::Right),
            ("ERROR", Align::Left),
        ]);
        table.row(vec!["é".into(), "12,000".into(), "none".into()]);
        table.row(vec!["longer".into(), "1".into()]);
        let expected = "NAME      ROWS  ERROR\né       12,000  none\nlonger       1\n";
        assert_eq!(table.to_string(), expected);
    }

    #[track_caller]
    fn check_size(bytes: u64, expected: &str) {
        assert_eq!(size(bytes), expected);
    }

    #[test]
    fn sizes_are_in_the_largest_unit_that_leaves_a_whole_part() {
        check_size(0, "0 B");
        check_size(1023, "1023 B");
        check_size(1024, "1.0 KiB");
        check_size(1536, "1.5 KiB");
        check_size(640 << 20, "640 MiB");
        check_size(u64::MAX, "16.0 EiB");
    }

    #[track_caller]
    fn check_age(seconds: u64, expected: &str) {
        assert_eq!(age(5_000, 5_000 + seconds * 1000), expected);
    }

    #[test]
    fn ages_have_their_two_largest_units() {
        check_age(0, "0s");
        check_age(59, "59s");
        check_age(60, "1m");
        check_age(125, "2m 5s");
        check_age(3600, "1h");
        check_age(3661, "1h 1m");
        check_age(3 * 86_400 + 4 * 3600, "3d 4h");
    }

    #[test]
    fn a_time_that_lies_ahead_is_now() {
        assert_eq!(age(9_000, 1_000), "0s");
    }

    #[test]
    fn numbers_have_commas_and_nouns_their_endings() {
        assert_eq!(
            [count(0), count(999), count(1000), count(1_234_567)],
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [counted(1, "row"), counted(0, "row"), counted(2, "batch")],
            ["1 row", "0 rows", "2 batches"]
        );
    }

    #[test]
    fn a_long_text_is_cut_where_a_cell_ends() {
        assert_eq!(one_line("Code: 60.\n\tTable", 80), "Code: 60. Table");
        assert_eq!(one_line("abcdef", 4), "abc…");
    }
}
