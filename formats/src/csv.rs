//! CSV: fields end at the delimiter or the line's end, quotes guard both; a Tuple is a field for each
//! element.

use types::DataType;

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
    let announced = if input.settings.csv_detect_header {
        Announced::Perhaps
    } else {
        Announced::Nothing
    };
    open_as(input, announced)
}

pub(crate) fn open_with_names(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    open_as(input, Announced::Names)
}

pub(crate) fn open_with_names_and_types(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    open_as(input, Announced::NamesAndTypes)
}

fn open_as(input: &Input<'_>, announced: Announced) -> Result<Box<dyn Framing>, FormatError> {
    need_columns(input)?;
    input.settings.allow(Family::Csv)?;
    let habits = Habits {
        announced,
        tuples_as_fields: input.settings.csv_tuples_as_fields,
        lines_skipped: input.settings.csv_skip_first_lines,
        variable: input.settings.csv_variable,
    };
    Ok(Box::new(Delimited::new(Csv::new(input.settings), input, habits)))
}

/// 18.16 takes an unquoted `\N` in a String for two characters, 26.x for the default.
const NULL_IN_WORD: ValueError = ValueError {
    code: code::INCORRECT_DATA,
    expected: "no \\N, which versions read differently where NULL is not allowed; leave the field empty or quote it",
};

/// CSV's own rules.
pub(crate) struct Csv {
    pub delimiter: u8,
    single_quotes: bool,
    double_quotes: bool,
    /// The field that is NULL.
    pub null: Vec<u8>,
    lone_cr_ends_lines: bool,
    skip_trailing_empty_lines: bool,
}

impl Dialect for Csv {
    const DELIMITER: &'static str = "a delimiter";
    const SURPLUS: i32 = code::INCORRECT_DATA;

    fn field(&self, window: &Window<'_>, at: usize, expected: Expected) -> Result<FieldAt, Stop> {
        let start = self.behind_blanks(window.bytes, at);
        match window.bytes.get(start) {
            Some(quote) if self.is_quote(*quote, expected.nature) => self.quoted(window, start, *quote),
            None if !window.last => Err(Stop::More { expected: "a field" }),
            _ => self.unquoted(window, start),
        }
    }

    fn token<'a>(
        &self,
        field: &'a [u8],
        nature: Nature,
        scratch: &'a mut Vec<u8>,
    ) -> Result<Token<'a>, ValueError> {
        match field {
            [] => Ok(Token::Absent),
            b"\\N" if nature == Nature::Word && self.null == b"\\N" => Err(NULL_IN_WORD),
            null if *null == *self.null => Ok(Token::Null),
            [quote, inner @ .., _] if self.is_quote(*quote, nature) => {
                Ok(Token::Text(without_doubled(inner, *quote, scratch)))
            }
            _ => Ok(Token::Text(field)),
        }
    }

    /// One delimiter too many is allowed, if the line ends there.
    fn end_behind_delimiter(&self, window: &Window<'_>, next: usize) -> Result<Option<usize>, Stop> {
        let at = self.behind_blanks(window.bytes, next);
        self.line_end(window, at)
    }

    /// The CR of a line end LF CR, which ClickHouse takes too, is nothing. An empty line's CR LF is none.
    fn place(&self, window: &Window<'_>, at: usize, behind: Behind) -> Result<Place, Stop> {
        let is_lone_cr = match window.bytes[at..] {
            [b'\r'] => window.last,
            [b'\r', next, ..] => next != b'\n',
            _ => false,
        };
        if is_lone_cr && behind.lone_lf {
            return Ok(Place::Skip(at + 1));
        }
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
            separator: self.delimiter,
            close: "",
        }
    }
}

impl Csv {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            delimiter: settings.csv_delimiter,
            single_quotes: settings.csv_single_quotes,
            double_quotes: settings.csv_double_quotes,
            null: settings.csv_null.clone().into_bytes(),
            lone_cr_ends_lines: settings.csv_cr_ends_lines,
            skip_trailing_empty_lines: settings.csv_skip_trailing_empty_lines,
        }
    }

    /// Writes a field that ended at another delimiter than CSV's own.
    pub(crate) fn write_foreign(
        &self,
        field: &[u8],
        data_type: &DataType,
        nature: Nature,
        out: &mut Vec<u8>,
    ) {
        let is_special = |byte: &u8| *byte == self.delimiter || matches!(byte, b'"' | b'\'' | b'\n' | b'\r');
        let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
        if field == self.null.as_slice() {
            // A type without NULL takes its DEFAULT, which is nothing between two delimiters.
            let written: &[u8] = if data_type.is_nullable() { field } else { b"" };
            out.extend_from_slice(written);
        } else if field.first().is_some_and(|byte| self.is_quote(*byte, nature)) {
            out.extend_from_slice(field);
        } else if field.iter().any(is_special)
            || is_blank(field.first())
            || is_blank(field.last())
            || field == b"\\N"
        {
            escape::csv(field, out);
        } else {
            out.extend_from_slice(field);
        }
    }

    /// Strings open with `"`, with `'` only where a setting says so; numbers, dates and the like with either.
    pub(crate) fn is_quote(&self, byte: u8, nature: Nature) -> bool {
        match byte {
            _ if nature == Nature::Flag => false,
            b'"' => self.double_quotes || nature.takes_any_quotes(),
            b'\'' => self.single_quotes || nature.takes_any_quotes(),
            _ => false,
        }
    }

    fn behind_blanks(&self, bytes: &[u8], at: usize) -> usize {
        let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t') && *byte != self.delimiter;
        bytes[at..]
            .iter()
            .position(|byte| !is_blank(byte))
            .map_or(bytes.len(), |found| at + found)
    }

    fn quoted(&self, window: &Window<'_>, start: usize, quote: u8) -> Result<FieldAt, Stop> {
        let end = behind_quotes(window, start, quote)?;
        self.ending(window, start..end)
    }

    /// What ends a field that is over at `content.end`: blanks, then a delimiter or the line's end.
    fn ending(&self, window: &Window<'_>, content: std::ops::Range<usize>) -> Result<FieldAt, Stop> {
        let at = self.behind_blanks(window.bytes, content.end);
        if window.bytes.get(at) == Some(&self.delimiter) {
            return Ok(FieldAt {
                content,
                ending: Ending::Delimiter,
                next: at + 1,
            });
        }
        match self.line_end(window, at)? {
            Some(next) => Ok(FieldAt {
                content,
                ending: Ending::Line,
                next,
            }),
            None => Err(Stop::fault(
                code::INCORRECT_DATA,
                at,
                "expected a delimiter or the end of the line behind the closing quote",
            )),
        }
    }

    fn unquoted(&self, window: &Window<'_>, start: usize) -> Result<FieldAt, Stop> {
        const MORE: Stop = Stop::More {
            expected: "a delimiter or the end of the line",
        };
        let bytes = window.bytes;
        let end = match memchr::memchr3(self.delimiter, b'\n', b'\r', &bytes[start..]) {
            Some(found) => start + found,
            None if window.last => bytes.len(),
            None => return Err(MORE),
        };
        let blanks = bytes[start..end]
            .iter()
            .rev()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        let content = start..end - blanks;
        if blanks > 0 && bytes[content.clone()] == *self.null {
            // Text for a string, an error for all else, depending on the version.
            return Err(Stop::fault(
                code::INCORRECT_DATA,
                start,
                "expected no space behind NULL's sign",
            ));
        }
        if bytes.get(end) == Some(&self.delimiter) {
            return Ok(FieldAt {
                content,
                ending: Ending::Delimiter,
                next: end + 1,
            });
        }
        match self.line_end(window, end)? {
            Some(next) => Ok(FieldAt {
                content,
                ending: Ending::Line,
                next,
            }),
            None => Err(Stop::fault(
                code::INCORRECT_DATA,
                end,
                "found a CR that no LF follows in a field without quotes",
            )),
        }
    }

    /// The first byte behind the line end at `at`, if one is there: LF, CR LF or the body's end.
    fn line_end(&self, window: &Window<'_>, at: usize) -> Result<Option<usize>, Stop> {
        match &window.bytes[at..] {
            [b'\n', ..] => Ok(Some(at + 1)),
            [b'\r', b'\n', ..] => Ok(Some(at + 2)),
            [b'\r', _, ..] if self.lone_cr_ends_lines => Ok(Some(at + 1)),
            [b'\r'] if self.lone_cr_ends_lines && window.last => Ok(Some(at + 1)),
            [] if window.last => Ok(Some(at)),
            [] | [b'\r'] if !window.last => Err(Stop::More {
                expected: "the end of the line",
            }),
            _ => Ok(None),
        }
    }
}

/// The first byte behind the quotes that open at `start`; doubled quotes stand for one.
pub(crate) fn behind_quotes(window: &Window<'_>, start: usize, quote: u8) -> Result<usize, Stop> {
    const CLOSING: Stop = Stop::More {
        expected: "the closing quote",
    };
    let bytes = window.bytes;
    let mut from = start + 1;
    loop {
        let found = memchr::memchr(quote, &bytes[from.min(bytes.len())..]).ok_or(CLOSING)?;
        let behind = from + found + 1;
        match bytes.get(behind) {
            Some(next) if *next == quote => from = behind + 1,
            None if !window.last => return Err(CLOSING),
            _ => return Ok(behind),
        }
    }
}

/// The text between two quotes, its doubled quotes single.
fn without_doubled<'a>(text: &'a [u8], quote: u8, scratch: &'a mut Vec<u8>) -> &'a [u8] {
    if memchr::memchr(quote, text).is_none() {
        return text;
    }
    scratch.clear();
    let mut rest = text;
    while let Some(found) = memchr::memchr(quote, rest) {
        scratch.extend_from_slice(&rest[..=found]);
        // The framing has seen that quotes come in pairs.
        rest = &rest[(found + 2).min(rest.len())..];
    }
    scratch.extend_from_slice(rest);
    scratch
}

#[cfg(test)]
mod tests;
