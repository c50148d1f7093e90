//! CustomSeparated: fields of one escaping rule between delimiters of the client's choice.
//!
//! Rows are carried in the format whose fields have that rule: Escaped and Raw in TabSeparated, CSV in CSV, Quoted in
//! Values, JSON in JSONCompactEachRow.

use types::DataType;

use crate::csv::{self, Csv};
use crate::delimited::{
    Behind, Delimited, Dialect, Ending, Expected, FieldAt, Habits, Nature, Place, Punctuation, nature,
    need_columns,
};
use crate::error::{FormatError, code};
use crate::format::Payload;
use crate::framing::{Framing, Stop, Token, ValueError, Window, behind_space};
use crate::header::Announced;
use crate::json_each_row::scan;
use crate::json_rows::json_token;
use crate::settings::{Custom, EscapingRule, Family, Settings};
use crate::stream::Input;
use crate::tab_separated::TabSeparated;
use crate::values;

pub(crate) fn open(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    open_as(input, perhaps(input.settings), false)
}

pub(crate) fn open_with_names(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    open_as(input, Announced::Names, false)
}

pub(crate) fn open_with_names_and_types(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    open_as(input, Announced::NamesAndTypes, false)
}

pub(crate) fn open_ignoring_spaces(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    open_as(input, perhaps(input.settings), true)
}

pub(crate) fn open_ignoring_spaces_with_names(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    open_as(input, Announced::Names, true)
}

pub(crate) fn open_ignoring_spaces_with_names_and_types(
    input: &Input<'_>,
) -> Result<Box<dyn Framing>, FormatError> {
    open_as(input, Announced::NamesAndTypes, true)
}

/// The format in which rows of these settings are carried.
pub(crate) fn payload(settings: &Settings) -> Payload {
    match settings.custom.rule {
        EscapingRule::Escaped | EscapingRule::Raw => Payload::TabSeparated,
        EscapingRule::Csv => Payload::Csv,
        EscapingRule::Quoted => Payload::Values,
        EscapingRule::Json => Payload::JsonCompactEachRow,
    }
}

fn perhaps(settings: &Settings) -> Announced {
    if settings.custom.detect_header {
        Announced::Perhaps
    } else {
        Announced::Nothing
    }
}

fn open_as(
    input: &Input<'_>,
    announced: Announced,
    ignore_spaces: bool,
) -> Result<Box<dyn Framing>, FormatError> {
    need_columns(input)?;
    let settings = input.settings;
    let rule = settings.custom.rule;
    settings.allow(Family::Custom)?;
    settings.allow(match rule {
        EscapingRule::Escaped | EscapingRule::Raw => Family::Tsv,
        EscapingRule::Csv => Family::Csv,
        EscapingRule::Json => Family::Json,
        EscapingRule::Quoted => Family::Any,
    })?;
    check(input)?;
    let dialect = CustomSeparated {
        custom: settings.custom.clone(),
        ignore_spaces,
        csv: Csv::new(settings),
        tsv: TabSeparated::new(settings, rule == EscapingRule::Raw),
    };
    let habits = Habits {
        announced,
        tuples_as_fields: false,
        lines_skipped: 0,
        variable: false,
    };
    Ok(Box::new(Delimited::new(dialect, input, habits)))
}

/// Refuses delimiters by which no field would ever end.
fn check(input: &Input<'_>) -> Result<(), FormatError> {
    let custom = &input.settings.custom;
    let (field, row) = (custom.field.as_bytes(), custom.row_after.as_bytes());
    let has_many = input.columns.len() > 1;
    let is_tab_or_line = |delimiter: &[u8]| matches!(delimiter.first(), Some(b'\t' | b'\n'));
    let refused = |message: &str| Err(FormatError::plain(code::BAD_ARGUMENTS, message));
    match custom.rule {
        EscapingRule::Escaped | EscapingRule::Raw
            if (has_many && !is_tab_or_line(field)) || !is_tab_or_line(row) =>
        {
            refused(
                "with format_custom_escaping_rule = 'Escaped' or 'Raw' a field ends at a tab or a line end: \
             format_custom_field_delimiter and format_custom_row_after_delimiter must begin with one; use the rule CSV for other delimiters",
            )
        }
        EscapingRule::Csv if (has_many && field.is_empty()) || row.is_empty() => refused(
            "with format_custom_escaping_rule = 'CSV' neither format_custom_field_delimiter nor \
             format_custom_row_after_delimiter may be empty",
        ),
        EscapingRule::Csv
            if input.settings.csv_tuples_as_fields
                && input
                    .columns
                    .iter()
                    .any(|column| matches!(column.data_type, DataType::Tuple(_))) =>
        {
            let message = "a Tuple in CustomSeparated with the rule CSV is read only with \
                 input_format_csv_deserialize_separate_columns_into_tuple = 0";
            Err(FormatError::plain(code::NOT_IMPLEMENTED, message))
        }
        _ => Ok(()),
    }
}

struct CustomSeparated {
    custom: Custom,
    ignore_spaces: bool,
    csv: Csv,
    tsv: TabSeparated,
}

impl Dialect for CustomSeparated {
    const DELIMITER: &'static str = "a field's delimiter";
    const SURPLUS: i32 = code::CANNOT_PARSE_INPUT;

    fn field(&self, window: &Window<'_>, at: usize, expected: Expected) -> Result<FieldAt, Stop> {
        let start = self.behind_ignored(window, at);
        let end = self.content_end(window, start, expected)?;
        let content = start..self.trimmed(window.bytes, start, end);
        let at = self.behind_ignored(window, end);
        let field = self.custom.field.as_bytes();
        let row = self.custom.row_after.as_bytes();
        // Of two that begin alike the one that is expected comes first, else the longer one.
        let row_first = expected.is_last || row.len() > field.len();
        let order = if row_first {
            [(row, Ending::Line), (field, Ending::Delimiter)]
        } else {
            [(field, Ending::Delimiter), (row, Ending::Line)]
        };
        for (delimiter, ending) in order {
            let is_end = ending == Ending::Line || !delimiter.is_empty();
            if is_end && stands_at(window, at, delimiter)? {
                return Ok(FieldAt {
                    content,
                    ending,
                    next: at + delimiter.len(),
                });
            }
        }
        if window.last && at == window.bytes.len() {
            return Err(Stop::More {
                expected: "the delimiter behind a row",
            });
        }
        let wanted = if expected.is_last {
            "format_custom_row_after_delimiter behind the last field"
        } else {
            "format_custom_field_delimiter behind a field"
        };
        Err(Stop::fault(
            code::CANNOT_PARSE_INPUT,
            at,
            format!("expected {wanted}"),
        ))
    }

    fn token<'a>(
        &self,
        field: &'a [u8],
        nature: Nature,
        scratch: &'a mut Vec<u8>,
    ) -> Result<Token<'a>, ValueError> {
        match self.custom.rule {
            EscapingRule::Escaped | EscapingRule::Raw => self.tsv.token(field, nature, scratch),
            EscapingRule::Csv if field == self.csv.null.as_slice() => Ok(Token::Null),
            EscapingRule::Csv => self.csv.token(field, nature, scratch),
            EscapingRule::Quoted => values::token_of(field, nature == Nature::Nested, scratch),
            EscapingRule::Json => json_token(field, nature == Nature::Nested, scratch),
        }
    }

    fn opening(&self, window: &Window<'_>, at: usize) -> Result<usize, Stop> {
        let before = self.custom.result_before.as_bytes();
        if stands_at(window, at, before)? {
            Ok(at + before.len())
        } else {
            Err(Stop::fault(
                code::CANNOT_PARSE_INPUT,
                at,
                "expected format_custom_result_before_delimiter at the beginning",
            ))
        }
    }

    fn may_end(&self) -> Result<(), Stop> {
        if self.custom.result_after.is_empty() {
            Ok(())
        } else {
            Err(Stop::More {
                expected: "format_custom_result_after_delimiter at the end",
            })
        }
    }

    fn place(&self, window: &Window<'_>, at: usize, behind: Behind) -> Result<Place, Stop> {
        if self.is_end(window, at)? {
            return Ok(Place::End);
        }
        let between = self.custom.row_between.as_bytes();
        let mut at = self.behind_ignored(window, at);
        let mut delimiters = vec![(
            self.custom.row_before.as_bytes(),
            "format_custom_row_before_delimiter",
        )];
        if behind.any {
            delimiters.insert(0, (between, "format_custom_row_between_delimiter"));
        }
        for (delimiter, name) in delimiters {
            if !stands_at(window, at, delimiter)? {
                return Err(Stop::fault(
                    code::CANNOT_PARSE_INPUT,
                    at,
                    format!("expected {name} in front of a row"),
                ));
            }
            at = self.behind_ignored(window, at + delimiter.len());
        }
        Ok(Place::Row(at))
    }

    fn punctuation(&self) -> Punctuation {
        let (open, separator, close) = match self.custom.rule {
            EscapingRule::Escaped | EscapingRule::Raw => ("", b'\t', ""),
            EscapingRule::Csv => ("", self.csv.delimiter, ""),
            EscapingRule::Quoted => ("(", b',', ")"),
            EscapingRule::Json => ("[", b',', "]"),
        };
        Punctuation {
            open,
            separator,
            close,
        }
    }

    fn rewrites(&self) -> bool {
        true
    }

    fn write(&self, field: &[u8], data_type: &DataType, out: &mut Vec<u8>) -> Result<(), ValueError> {
        match self.custom.rule {
            EscapingRule::Escaped if field.ends_with(b"\r") => return Err(CR),
            EscapingRule::Escaped | EscapingRule::Raw => self.tsv.write(field, data_type, out)?,
            EscapingRule::Csv => self.csv.write_foreign(field, data_type, nature(data_type), out),
            EscapingRule::Quoted | EscapingRule::Json => out.extend_from_slice(field),
        }
        Ok(())
    }
}

const CR: ValueError = ValueError {
    code: code::INCORRECT_DATA,
    expected: "no carriage return at the end of a field; write it as \\r",
};

impl CustomSeparated {
    fn behind_ignored(&self, window: &Window<'_>, at: usize) -> usize {
        if !self.ignore_spaces {
            return at;
        }
        // A line end that is a delimiter is none of the spaces.
        let delimiters = [
            &self.custom.field,
            &self.custom.row_after,
            &self.custom.row_between,
        ];
        let is_ignored = |byte: &u8| {
            byte.is_ascii_whitespace()
                && !delimiters
                    .iter()
                    .any(|delimiter| delimiter.as_bytes().first() == Some(byte))
        };
        let rest = &window.bytes[at..];
        at + rest.iter().take_while(|byte| is_ignored(byte)).count()
    }

    /// The end of a field without the spaces behind it, where those are ignored and the field ended at a delimiter.
    fn trimmed(&self, bytes: &[u8], start: usize, end: usize) -> usize {
        if !self.ignore_spaces || self.custom.rule != EscapingRule::Csv {
            return end;
        }
        start + bytes[start..end].trim_ascii_end().len()
    }

    fn content_end(&self, window: &Window<'_>, at: usize, expected: Expected) -> Result<usize, Stop> {
        match self.custom.rule {
            EscapingRule::Escaped | EscapingRule::Raw => Ok(self.tsv.content_end(window, at)?.0),
            EscapingRule::Csv => match window.bytes.get(at) {
                Some(quote) if self.csv.is_quote(*quote, expected.nature) => {
                    csv::behind_quotes(window, at, *quote)
                }
                _ => self.next_delimiter(window, at, expected.is_last),
            },
            EscapingRule::Quoted => values::value_end(window, at, |at| self.is_delimiter(window, at)),
            EscapingRule::Json => scan::value(window, at, &mut Vec::new()),
        }
    }

    fn is_delimiter(&self, window: &Window<'_>, at: usize) -> Result<bool, Stop> {
        let field = self.custom.field.as_bytes();
        let row = self.custom.row_after.as_bytes();
        Ok((!field.is_empty() && stands_at(window, at, field)?)
            || (!row.is_empty() && stands_at(window, at, row)?))
    }

    /// Where a field without quotes ends: at a row's delimiter, and unless it is the last one at a field's.
    fn next_delimiter(&self, window: &Window<'_>, at: usize, is_last: bool) -> Result<usize, Stop> {
        let rest = &window.bytes[at..];
        let row = memchr::memmem::find(rest, self.custom.row_after.as_bytes());
        let field = memchr::memmem::find(rest, self.custom.field.as_bytes())
            .filter(|_| !is_last && !self.custom.field.is_empty());
        let end = match (field, row) {
            // A delimiter that begins the one found may still be cut off in front of it: only the row's end is safe.
            (Some(field), Some(row)) => field.min(row),
            (Some(field), None) if window.last || self.custom.row_after.len() <= self.custom.field.len() => {
                field
            }
            (None, Some(row)) if is_last || window.last || row + self.custom.field.len() <= rest.len() => row,
            _ => {
                return Err(Stop::More {
                    expected: "a delimiter behind a field",
                });
            }
        };
        Ok(at + end)
    }

    /// Whether nothing follows but what ends the body.
    fn is_end(&self, window: &Window<'_>, at: usize) -> Result<bool, Stop> {
        let after = self.custom.result_after.as_bytes();
        let at = if after.is_empty() {
            at
        } else {
            behind_space(window.bytes, at)
        };
        if !stands_at(window, at, after)? {
            return Ok(false);
        }
        let is_end = behind_space(window.bytes, at + after.len()) == window.bytes.len();
        if is_end && !window.last {
            return Err(Stop::More {
                expected: "the rest of the body",
            });
        }
        Ok(is_end)
    }
}

/// Whether these bytes stand at `at`; where the window ends among them, more bytes are needed to say.
fn stands_at(window: &Window<'_>, at: usize, bytes: &[u8]) -> Result<bool, Stop> {
    let rest = &window.bytes[at.min(window.bytes.len())..];
    if rest.starts_with(bytes) {
        return Ok(true);
    }
    if !window.last && bytes.starts_with(rest) {
        return Err(Stop::More {
            expected: "the rest of a delimiter",
        });
    }
    Ok(false)
}

#[cfg(test)]
mod tests;
