//! The TOML file as written: its tables walked key by key, every value with the place it stands at.
//!
//! A [`Section`] is one table of the file. Asking it for a key tells it that the key exists; when the section
//! is dropped, each key that nobody asked for is a mistake that names the nearest one that was. A value of
//! the wrong shape is noted and reads as absent, so that one pass finds every mistake. What is noted never
//! contains a value that may be a secret.

use std::cell::RefCell;
use std::ops::{Deref, RangeInclusive};
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::env::{self, Env};
use crate::mistakes::Remark;
use crate::unbuilt;
use crate::units;

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

/// The file being read and what was found wrong with it so far.
pub(crate) struct Source<'s> {
    text: &'s str,
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
    pub fn new(text: &'s str, env: &'s Env) -> Source<'s> {
        Source {
            text,
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
        let before = self.text.as_bytes().get(..offset).unwrap_or(self.text.as_bytes());
        before.iter().filter(|byte| **byte == b'\n').count() + 1
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

// === impl Section: single values ===

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

    /// A string, its `${…}` replaced.
    pub fn text(&self, key: &'static str) -> Option<At<String>> {
        let value = self.value(key)?;
        self.text_of(key, value)
    }

    /// A string where another kind of value may stand as well; that one is left to who asks next.
    pub fn text_if_text(&self, key: &'static str) -> Option<At<String>> {
        let value = self.value(key)?;
        value
            .get_ref()
            .is_str()
            .then(|| self.text_of(key, value))
            .flatten()
    }

    /// A string that `parse` understands.
    pub fn parsed<T>(&self, key: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<At<T>> {
        let text = self.text(key)?;
        let named = parse(&text).map_err(|error| format!("{key}: {error}"));
        self.source.accept(text.offset, named)
    }

    /// One of the words that `key` can be.
    pub fn choice<T: Copy>(&self, key: &'static str, words: &[(&str, T)]) -> Option<At<T>> {
        let written = self.text(key)?;
        match words.iter().find(|(word, _)| *word == written.value) {
            Some((word, value)) => {
                self.refuse_unbuilt(key, Some(word), written.offset);
                Some(At {
                    value: *value,
                    offset: written.offset,
                })
            }
            None => {
                let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                let hint =
                    nearest(&written, &words).map_or_else(String::new, |word| format!(", not '{word}'?"));
                let all = words.join("', '");
                let text = format!("{key} is '{}'{hint}: it is one of '{all}'", written.value);
                self.source.mistake(written.offset, text);
                None
            }
        }
    }

    /// A boolean.
    pub fn flag(&self, key: &'static str) -> Option<At<bool>> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Boolean(flag) => Some(At {
                value: *flag,
                offset: value.span().start,
            }),
            _ => self.wrong_shape(key, "true or false", value),
        }
    }

    /// A whole number within `range`.
    pub fn count(&self, key: &'static str, range: RangeInclusive<u64>) -> Option<At<u64>> {
        let value = self.value(key)?;
        let offset = value.span().start;
        let DeValue::Integer(integer) = value.get_ref() else {
            return self.wrong_shape(key, "a whole number", value);
        };
        match u64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) if range.contains(&number) => Some(At {
                value: number,
                offset,
            }),
            _ => self.out_of_range(key, offset, &integer.to_string(), &range, u64::to_string),
        }
    }

    /// A number of bytes within `range`: a string with a unit, or a plain number of bytes.
    pub fn bytes(&self, key: &'static str, range: RangeInclusive<u64>) -> Option<At<u64>> {
        if let Some(DeValue::Integer(_)) = self.value(key).map(Spanned::get_ref) {
            return self.count(key, range);
        }
        let bytes = self.parsed(key, units::parse_bytes)?;
        if range.contains(&bytes) {
            return Some(bytes);
        }
        let written = units::show_bytes(*bytes);
        self.out_of_range(key, bytes.offset, &written, &range, |bytes| {
            units::show_bytes(*bytes)
        })
    }

    /// A duration within `range`.
    pub fn duration(&self, key: &'static str, range: RangeInclusive<Duration>) -> Option<At<Duration>> {
        let duration = self.parsed(key, units::parse_duration)?;
        if range.contains(&duration) {
            return Some(duration);
        }
        let written = units::show_duration(*duration);
        self.out_of_range(key, duration.offset, &written, &range, |bound| {
            units::show_duration(*bound)
        })
    }

    /// A file that Weir can read; whether it holds what it should is seen by whoever uses it.
    pub fn readable_file(&self, key: &'static str) -> Option<PathBuf> {
        let written = self.text(key)?;
        let path = self.source.env.path(&written);
        let opened = std::fs::File::open(&path);
        let unreadable = |error| format!("{key}: cannot read {}: {error}", path.display());
        self.source.accept(written.offset, opened.map_err(unreadable))?;
        Some(path)
    }

    /// A value that is there, or a mistake that says it has to be. A value that is there and wrong has been
    /// noted already.
    pub fn required<T>(&self, key: &'static str, read: Option<T>) -> Option<T> {
        if !self.has(key) {
            self.mistake(format!("missing key '{key}' in {}", self.heading));
        }
        read
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
}

// === impl Section: lists and tables ===

impl<'s> Section<'s> {
    /// Strings: one, or a list of them.
    pub fn texts(&self, key: &'static str) -> Option<At<Vec<At<String>>>> {
        let value = self.value(key)?;
        let offset = value.span().start;
        let texts = match value.get_ref() {
            DeValue::Array(items) => items.iter().filter_map(|item| self.text_of(key, item)).collect(),
            _ => vec![self.text_of(key, value)?],
        };
        Some(At { value: texts, offset })
    }

    /// Strings, one or a list, that `parse` understands each.
    pub fn all_parsed<T>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<At<Vec<At<T>>>> {
        let read = |text: At<String>| {
            let named = parse(&text).map_err(|error| format!("{key}: {error}"));
            self.source.accept(text.offset, named)
        };
        Some(
            self.texts(key)?
                .map(|texts| texts.into_iter().filter_map(read).collect()),
        )
    }

    /// Strings or tables: one, or a list of them.
    pub fn items(&self, key: &'static str) -> Vec<Item<'s>> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        match value.get_ref() {
            DeValue::Array(items) => items.iter().filter_map(|item| self.item(key, item)).collect(),
            _ => self.item(key, value).into_iter().collect(),
        }
    }

    /// The table under `key`; an empty one when the file has none.
    pub fn child(&self, key: &'static str) -> Section<'s> {
        let heading = self.heading_of(key, "[", "]");
        let empty = || {
            Section::new(
                self.source,
                &self.source.nothing,
                heading.clone(),
                key,
                self.offset,
            )
        };
        let Some(value) = self.value(key) else {
            return empty();
        };
        let table = value.get_ref().as_table();
        let section = table.map(|table| self.section(table, heading.clone(), key, value));
        section
            .or_else(|| self.wrong_shape(key, &format!("a table, {heading}"), value))
            .unwrap_or_else(empty)
    }

    /// The tables of `[[key]]`, in the order of the file.
    pub fn children(&self, key: &'static str) -> Vec<Section<'s>> {
        let heading = self.heading_of(key, "[[", "]]");
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let Some(items) = value.get_ref().as_array() else {
            self.wrong_shape::<()>(key, &format!("tables headed {heading}"), value);
            return Vec::new();
        };
        let section = |item: &'s Spanned<DeValue<'s>>| match item.get_ref().as_table() {
            Some(table) => Some(self.section(table, heading.clone(), key, item)),
            None => self.wrong_shape(key, &format!("tables headed {heading}"), item),
        };
        items.iter().filter_map(section).collect()
    }

    /// The tables `[key.<name>]` with their names, in the order of the file.
    pub fn named_children(&self, key: &'static str) -> Vec<(At<String>, Section<'s>)> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_shape::<()>(key, &format!("tables headed [{key}.<name>]"), value);
            return Vec::new();
        };
        let named = |(name, value): (&'s Spanned<DeString<'s>>, &'s Spanned<DeValue<'s>>)| {
            let name = name_of(name);
            let heading = format!("[{key}.{}]", name.value);
            match value.get_ref().as_table() {
                Some(table) => Some((name, self.section(table, heading, key, value))),
                None => self.wrong_shape(key, &heading, value),
            }
        };
        let mut sections: Vec<_> = table.iter().filter_map(named).collect();
        sections.sort_by_key(|(name, _)| name.offset);
        sections
    }

    /// Names of the file's own choosing with plain values, as `settings = { … }` has them; booleans are
    /// ClickHouse's 1 and 0.
    pub fn pairs(&self, key: &'static str) -> Vec<(At<String>, String)> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_shape::<()>(key, "a table of names and values", value);
            return Vec::new();
        };
        let pair = |(name, value): (&'s Spanned<DeString<'s>>, &'s Spanned<DeValue<'s>>)| {
            let name = name_of(name);
            Some((name, self.plain_value(key, value)?))
        };
        let mut pairs: Vec<_> = table.iter().filter_map(pair).collect();
        pairs.sort_by_key(|(name, _)| name.offset);
        pairs
    }

    fn plain_value(&self, key: &'static str, value: &Spanned<DeValue<'_>>) -> Option<String> {
        match value.get_ref() {
            DeValue::String(_) => self.text_of(key, value).map(|text| text.value),
            DeValue::Integer(number) => Some(number.to_string()),
            DeValue::Float(number) => Some(number.to_string()),
            DeValue::Boolean(flag) => Some(u8::from(*flag).to_string()),
            DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                self.wrong_shape(key, "plain values only", value)
            }
        }
    }

    fn item(&self, key: &'static str, value: &'s Spanned<DeValue<'s>>) -> Option<Item<'s>> {
        let heading = || format!("a {key} of {}", self.heading);
        match value.get_ref() {
            DeValue::Table(table) => Some(Item::Table(self.section(table, heading(), key, value))),
            DeValue::String(_) => self.text_of(key, value).map(Item::Text),
            _ => self.wrong_shape(key, "a string or a table", value),
        }
    }

    fn section(
        &self,
        table: &'s DeTable<'s>,
        heading: String,
        kind: &'static str,
        value: &Spanned<DeValue<'_>>,
    ) -> Section<'s> {
        Section::new(self.source, table, heading, kind, value.span().start)
    }

    /// `[listen]` under the file, `[[cluster.main.shard]]` under `[cluster.main]`.
    fn heading_of(&self, key: &str, open: &str, close: &str) -> String {
        match self.heading.trim_matches(['[', ']']) {
            "the file" => format!("{open}{key}{close}"),
            parent => format!("{open}{parent}.{key}{close}"),
        }
    }
}

// === impl Section: what all of them stand on ===

impl<'s> Section<'s> {
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

    fn out_of_range<T, V>(
        &self,
        key: &str,
        offset: usize,
        written: &str,
        range: &RangeInclusive<V>,
        show: impl Fn(&V) -> String,
    ) -> Option<T> {
        let (least, most) = (show(range.start()), show(range.end()));
        self.source.mistake(
            offset,
            format!("{key} is {written}: it goes from {least} to {most}"),
        );
        None
    }
}

/// Keys that nobody asked for are unknown. Done here so that no reader can forget it.
impl Drop for Section<'_> {
    fn drop(&mut self) {
        let asked = self.asked.borrow();
        for (key, _) in self
            .table
            .iter()
            .filter(|(key, _)| !asked.contains(&key.get_ref().as_ref()))
        {
            let written = key.get_ref().as_ref();
            let hint =
                nearest(written, &asked).map_or_else(String::new, |near| format!(": did you mean '{near}'?"));
            let text = format!("unknown key '{written}' in {}{hint}", self.heading);
            self.source.mistake(key.span().start, text);
        }
    }
}

fn name_of(key: &Spanned<DeString<'_>>) -> At<String> {
    At {
        value: key.get_ref().to_string(),
        offset: key.span().start,
    }
}

/// The word that was probably meant: at most a third of it, and two letters in any case, mistyped.
fn nearest<'w>(written: &str, words: &[&'w str]) -> Option<&'w str> {
    let distance = |word: &&str| strsim::damerau_levenshtein(written, word);
    let near = words.iter().copied().min_by_key(|word| distance(word))?;
    let mistyped_max = (near.chars().count() / 3).max(2);
    (distance(&near) <= mistyped_max).then_some(near)
}
