//! TabSeparated: fields end at a tab or a newline, a backslash takes the byte behind it along. TabSeparatedRaw is the
//! same without escapes, and is carried as TabSeparated.

use types::DataType;

use crate::backslash::unescape;
use crate::delimited::{
    Behind, Delimited, Dialect, Ending, Expected, FieldAt, Habits, Nature, Place, Punctuation,
    empty_lines_to_the_end, need_columns,
};
use crate::error::{FormatError, code};
use crate::escape;
use crate::framing::{Framing, Stop, Token, ValueError, Window};
use crate::header::Announced;
use crate::settings::{Family, Settings};
use crate::stream::Input;

pub(crate) fn open(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    open_as(input, perhaps(input.settings), false)
}

pub(crate) fn open_with_names(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    open_as(input, Announced::Names, false)
}

pub(crate) fn open_with_names_and_types(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    open_as(input, Announced::NamesAndTypes, false)
}

pub(crate) fn open_raw(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    open_as(input, perhaps(input.settings), true)
}

pub(crate) fn open_raw_with_names(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    open_as(input, Announced::Names, true)
}

pub(crate) fn open_raw_with_names_and_types(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    open_as(input, Announced::NamesAndTypes, true)
}

fn perhaps(settings: &Settings) -> Announced {
    if settings.tsv_detect_header {
        Announced::Perhaps
    } else {
        Announced::Nothing
    }
}

fn open_as(input: &Input<'_>, announced: Announced, raw: bool) -> Result<Box<dyn Framing>, FormatError> {
    need_columns(input)?;
    input.settings.allow(Family::Tsv)?;
    let dialect = TabSeparated::new(input.settings, raw);
    let habits = Habits {
        announced,
        tuples_as_fields: false,
        lines_skipped: input.settings.tsv_skip_first_lines,
        variable: input.settings.tsv_variable,
    };
    Ok(Box::new(Delimited::new(dialect, input, habits)))
}

/// TabSeparated's own rules.
pub(crate) struct TabSeparated {
    /// Whether a backslash is a character like any other.
    raw: bool,
    /// Whether a line may end in CR LF.
    crlf: bool,
    /// The field that is NULL.
    null: Vec<u8>,
    empty_is_absent: bool,
    skip_trailing_empty_lines: bool,
}

impl Dialect for TabSeparated {
    const DELIMITER: &'static str = "a tab";
    const SURPLUS: i32 = code::CANNOT_PARSE_INPUT;

    fn field(&self, window: &Window<'_>, at: usize, _: Expected) -> Result<FieldAt, Stop> {
        let (end, from) = self.content_end(window, at)?;
        match window.bytes.get(end) {
            Some(b'\t') => Ok(FieldAt {
                content: at..end,
                ending: Ending::Delimiter,
                next: end + 1,
            }),
            _ => self.line_end(window.bytes, at, from, end),
        }
    }

    fn token<'a>(
        &self,
        field: &'a [u8],
        nature: Nature,
        scratch: &'a mut Vec<u8>,
    ) -> Result<Token<'a>, ValueError> {
        if field == self.null.as_slice() {
            return Ok(Token::Null);
        }
        if field.is_empty() && self.empty_is_absent {
            return Ok(Token::Absent);
        }
        if self.raw || nature == Nature::Nested || memchr::memchr(b'\\', field).is_none() {
            return Ok(Token::Text(field));
        }
        if field == b"\\N" {
            return Err(FOREIGN_NULL);
        }
        scratch.clear();
        unescape(field, scratch)?;
        Ok(Token::Text(scratch))
    }

    fn place(&self, window: &Window<'_>, at: usize, _: Behind) -> Result<Place, Stop> {
        let skipped = if self.skip_trailing_empty_lines {
            empty_lines_to_the_end(window, at)?
        } else {
            None
        };
        Ok(skipped.unwrap_or(Place::Row(at)))
    }

    fn punctuation(&self) -> Punctuation {
        Punctuation {
            open: "",
            separator: b'\t',
            close: "",
        }
    }

    fn rewrites(&self) -> bool {
        self.raw || self.crlf
    }

    fn write(&self, field: &[u8], data_type: &DataType, out: &mut Vec<u8>) -> Result<(), ValueError> {
        if self.raw && field != self.null.as_slice() {
            return escape::tab_separated_value(field, data_type, out);
        }
        put_with_last_returns_escaped(field, out);
        Ok(())
    }
}

/// Appends a field whose last carriage returns are data: a shard, which reads lines that end in LF, would refuse them bare.
fn put_with_last_returns_escaped(field: &[u8], out: &mut Vec<u8>) {
    let is_return = |byte: &&u8| **byte == b'\r';
    let returns = field.iter().rev().take_while(is_return).count();
    let mut text = &field[..field.len() - returns];
    let backslashes = text.iter().rev().take_while(|byte| **byte == b'\\').count();
    if returns > 0 && backslashes % 2 == 1 {
        // The first of them was escaped already.
        text = &text[..text.len() - 1];
    }
    out.extend_from_slice(text);
    (0..returns).for_each(|_| out.extend_from_slice(b"\\r"));
}

const FOREIGN_NULL: ValueError = ValueError {
    code: code::INCORRECT_DATA,
    expected: "no \\N, because format_tsv_null_representation says another sign for NULL",
};

impl TabSeparated {
    pub(crate) fn new(settings: &Settings, raw: bool) -> Self {
        Self {
            raw,
            crlf: settings.tsv_crlf,
            null: settings.tsv_null.clone().into_bytes(),
            empty_is_absent: settings.tsv_empty_as_default,
            skip_trailing_empty_lines: settings.tsv_skip_trailing_empty_lines,
        }
    }

    /// Where the field at `at` ends (a tab, a newline or the body's end), and the first byte behind its last escape.
    pub(crate) fn content_end(&self, window: &Window<'_>, at: usize) -> Result<(usize, usize), Stop> {
        let bytes = window.bytes;
        let mut from = at;
        // Without escapes there is nothing but tabs and newlines to look for.
        let escape = if self.raw { b'\n' } else { b'\\' };
        while let Some(found) = memchr::memchr3(b'\t', b'\n', escape, &bytes[from..]) {
            let end = from + found;
            match bytes[end] {
                b'\t' | b'\n' => return Ok((end, from)),
                _ if end + 1 < bytes.len() => from = end + 2,
                _ => {
                    return Err(Stop::More {
                        expected: "a character behind the backslash",
                    });
                }
            }
        }
        if window.last {
            Ok((bytes.len(), from))
        } else {
            Err(Stop::More {
                expected: "a tab or the end of the line",
            })
        }
    }

    /// The end of a line whose last escape ended before `from`.
    ///
    /// ClickHouse refuses a CR there in the first line and takes it for data in later ones; here every line
    /// may become a batch's first.
    fn line_end(&self, bytes: &[u8], at: usize, from: usize, end: usize) -> Result<FieldAt, Stop> {
        let next = (end + 1).min(bytes.len());
        if end == at || bytes[end - 1] != b'\r' {
            return Ok(FieldAt {
                content: at..end,
                ending: Ending::Line,
                next,
            });
        }
        if self.crlf && end > from {
            return Ok(FieldAt {
                content: at..end - 1,
                ending: Ending::Line,
                next,
            });
        }
        Err(Stop::fault(
            code::INCORRECT_DATA,
            end - 1,
            "carriage return at the end of a line: lines of TabSeparated end in LF alone; write a CR that is data as \\r, or \
             set input_format_tsv_crlf_end_of_line = 1",
        ))
    }
}

#[cfg(test)]
mod tests;
