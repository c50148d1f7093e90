//! Single values of a section, each with its range or its words.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::{At, Section};
use crate::units;

impl<'s> Section<'s> {
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
                let all = words.join("', '");
                let text = format!("{key} is '{}': it is one of '{all}'", written.value);
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
