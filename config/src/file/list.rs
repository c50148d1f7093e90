//! Lists and tables of a section.

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::{At, Item, Section};

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

fn name_of(key: &Spanned<DeString<'_>>) -> At<String> {
    At {
        value: key.get_ref().to_string(),
        offset: key.span().start,
    }
}
