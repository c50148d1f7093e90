//! The TOML file as written: its tables walked key by key, every value with the place it stands at.
//!
//! A [`Section`] is one table of the file. Asking it for a key tells it that the key exists; when the section
//! is dropped, each key that nobody asked for is a mistake that names the nearest one that was. A value of
//! the wrong shape is noted and reads as absent, so that one pass finds every mistake. What is noted never
//! contains a value that may be a secret.

mod list;
mod value;

use std::cell::RefCell;
use std::ops::Deref;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::env::{self, Env};
use crate::mistakes::Remark;
use crate::unbuilt;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct At<T> {
    pub value: T,
    /// In bytes from the start of the file.
    pub offset: usize,
}

impl<T> At<T> {
    fn map<U>(self, change: impl FnOnce(T) -> U) -> At<U> {
        At {
            value: change(self.value),
            offset: self.offset,
        }
    }
}

impl<T> Deref for At<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// No key is longer. Comparing takes memory that grows with the product of both lengths.
const KEY_BYTES_MAX: usize = 64;

/// The file being read and what was found wrong with it so far.
pub(crate) struct Source<'s> {
    /// Where each line starts, in bytes.
    line_starts: Vec<usize>,
    pub env: &'s Env,
    /// What a section reads from when the file does not have it.
    nothing: DeTable<'static>,
    mistakes: RefCell<Vec<(usize, String)>>,
    warnings: RefCell<Vec<(usize, String)>>,
}

/// One table of the file.
pub(crate) struct Section<'s> {
    pub source: &'s Source<'s>,
    table: &'s DeTable<'s>,
    /// As it is headed in the file: `[[cluster.main.shard]]`.
    heading: String,
    /// What it describes whatever its name: `shard`.
    kind: &'static str,
    /// Where it starts; where its parent starts when the file does not have it.
    pub offset: usize,
    asked: RefCell<Vec<&'static str>>,
}

/// An element of a list that takes short and long forms.
pub(crate) enum Item<'s> {
    Text(At<String>),
    Table(Section<'s>),
}

// === impl Source ===

impl<'s> Source<'s> {
    pub fn new(text: &str, env: &'s Env) -> Source<'s> {
        let after_line_ends = text.match_indices('\n').map(|(at, _)| at + 1);
        Source {
            line_starts: std::iter::once(0).chain(after_line_ends).collect(),
            env,
            nothing: DeTable::new(),
            mistakes: RefCell::default(),
            warnings: RefCell::default(),
        }
    }

    /// The table of the whole file.
    pub fn root(&'s self, table: &'s DeTable<'s>) -> Section<'s> {
        Section::new(self, table, "the file".to_owned(), "file", 0)
    }

    /// Notes what keeps the file from being used.
    pub fn mistake(&self, offset: usize, text: impl Into<String>) {
        self.mistakes.borrow_mut().push((offset, text.into()));
    }

    /// Notes what can be used and is probably not meant.
    pub fn warning(&self, offset: usize, text: impl Into<String>) {
        self.warnings.borrow_mut().push((offset, text.into()));
    }

    /// The value, or nothing and a mistake.
    pub fn accept<T>(&self, offset: usize, result: Result<T, String>) -> Option<At<T>> {
        match result {
            Ok(value) => Some(At { value, offset }),
            Err(text) => {
                self.mistake(offset, text);
                None
            }
        }
    }

    /// The line of a place, counted from 1.
    pub fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    /// All mistakes and all warnings, each in the order of the lines.
    pub fn remarks(self, file: &str) -> (Vec<Remark>, Vec<Remark>) {
        let in_order = |noted: &RefCell<Vec<(usize, String)>>| {
            let mut noted = noted.borrow().clone();
            noted.sort_by_key(|(offset, _)| *offset);
            let remark = |(offset, text)| {
                let line = Some(self.line(offset));
                Remark {
                    file: file.to_owned(),
                    line,
                    text,
                }
            };
            noted.into_iter().map(remark).collect()
        };
        (in_order(&self.mistakes), in_order(&self.warnings))
    }
}

// === impl Section ===

impl<'s> Section<'s> {
    fn new(
        source: &'s Source<'s>,
        table: &'s DeTable<'s>,
        heading: String,
        kind: &'static str,
        offset: usize,
    ) -> Self {
        Section {
            source,
            table,
            heading,
            kind,
            offset,
            asked: RefCell::default(),
        }
    }

    /// Whether the file has this key.
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Whether the file has this key with a list of nothing.
    pub fn is_empty_list(&self, key: &str) -> bool {
        let list = self.table.get(key).and_then(|value| value.get_ref().as_array());
        list.is_some_and(|list| list.is_empty())
    }

    /// The string under this key as written, for a look ahead: nothing is noted, and the key stays to be
    /// read.
    pub fn raw_text(&self, key: &str) -> Option<&str> {
        self.table.get(key).and_then(|value| value.get_ref().as_str())
    }

    /// Where the value of `key` stands, or else where the section starts.
    pub fn offset_of(&self, key: &str) -> usize {
        self.table
            .get(key)
            .map_or(self.offset, |value| value.span().start)
    }

    /// Notes a mistake about the section as a whole.
    pub fn mistake(&self, text: impl Into<String>) {
        self.source.mistake(self.offset, text);
    }

    /// The value of a key, which is thereby known.
    fn value(&self, key: &'static str) -> Option<&'s Spanned<DeValue<'s>>> {
        let known = self.asked.borrow().contains(&key);
        if !known {
            self.asked.borrow_mut().push(key);
        }
        let value = self.table.get(key)?;
        if !known {
            self.refuse_unbuilt(key, None, value.span().start);
        }
        Some(value)
    }

    fn refuse_unbuilt(&self, key: &str, word: Option<&str>, offset: usize) {
        if unbuilt::is_unbuilt(self.kind, key, word) {
            let setting = word.map_or_else(|| key.to_owned(), |word| format!("{key} = '{word}'"));
            self.source
                .mistake(offset, format!("{setting} is not supported yet by this version"));
        }
    }

    fn text_of(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<At<String>> {
        let offset = value.span().start;
        match value.get_ref() {
            DeValue::String(text) => {
                let expanded = env::expand(text, self.source.env).map_err(|error| format!("{key}: {error}"));
                self.source.accept(offset, expanded)
            }
            _ => self.wrong_shape(key, "a string", value),
        }
    }

    fn wrong_shape<T>(&self, key: &str, expected: &str, value: &Spanned<DeValue<'_>>) -> Option<T> {
        let found = match value.get_ref() {
            DeValue::Integer(_) => "an integer",
            DeValue::Array(_) => "a list",
            DeValue::String(_) => "a string",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a datetime",
            DeValue::Table(_) => "a table",
        };
        self.source.mistake(
            value.span().start,
            format!("{key}: expected {expected}, found {found}"),
        );
        None
    }
}

/// Keys that nobody asked for are unknown. Done here so that no reader can forget it.
impl Drop for Section<'_> {
    fn drop(&mut self) {
        let asked = self.asked.borrow();
        let unknown = |key: &&Spanned<DeString<'_>>| !asked.contains(&key.get_ref().as_ref());
        for key in self.table.keys().filter(unknown) {
            let written = key.get_ref().as_ref();
            let hint =
                nearest(written, &asked).map_or_else(String::new, |near| format!(": did you mean '{near}'?"));
            let text = format!("unknown key '{written}' in {}{hint}", self.heading);
            self.source.mistake(key.span().start, text);
        }
    }
}

/// The word that was probably meant: at most a third of its letters mistyped, or one; else the shortest that goes on
/// where the other ends (`password`, `password_sha256_hex`).
fn nearest<'w>(written: &str, words: &[&'w str]) -> Option<&'w str> {
    /// Fewer letters begin too many words.
    const BEGINNING_MIN: usize = 3;
    if written.len() > KEY_BYTES_MAX {
        return None;
    }
    let distance = |word: &&str| strsim::damerau_levenshtein(written, word);
    let near = words.iter().copied().min_by_key(|word| distance(word))?;
    let mistyped_max = (near.chars().count() / 3).max(1);
    if distance(&near) <= mistyped_max {
        return Some(near);
    }
    let begins = |whole: &str, beginning: &str| {
        let rest = whole.strip_prefix(beginning);
        beginning.len() >= BEGINNING_MIN && rest.is_some_and(|rest| rest.starts_with('_'))
    };
    let same_beginning = words
        .iter()
        .copied()
        .filter(|word| begins(word, written) || begins(written, word));
    same_beginning.min_by_key(|word| word.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_told_the_nearest_by_its_letters_or_its_beginning() {
        let words = ["name", "password_sha256_hex", "networks", "as_user"];
        for (written, near) in [
            ("nmae", Some("name")),
            ("password", Some("password_sha256_hex")),
            ("name_of_user", Some("name")),
            ("as", None),
            ("color", None),
        ] {
            assert_eq!(nearest(written, &words), near, "{written}");
        }
    }
}
