//! TabSeparated: fields end at a tab or a newline, a backslash takes the byte behind it along.

use crate::backslash::unescape;
use crate::delimited::{Announced, Delimited, Dialect, Ending, FieldAt, Nature, need_columns};
use crate::error::{FormatError, code};
use crate::framing::{Framing, Stop, Token, ValueError, Window};
use crate::settings::Family;
use crate::stream::Input;

pub(crate) fn open(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    let announced = if input.settings.tsv_detect_header {
        Announced::Perhaps
    } else {
        Announced::Nothing
    };
    open_as(input, announced)
}

pub(crate) fn open_with_names(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    open_as(input, Announced::Header)
}

fn open_as(input: &Input<'_>, announced: Announced) -> Result<Box<dyn Framing>, FormatError> {
    need_columns(input)?;
    input.settings.allow(Family::Tsv)?;
    let dialect = TabSeparated {
        crlf: input.settings.tsv_crlf,
    };
    Ok(Box::new(Delimited::new(dialect, input, announced, false)))
}

struct TabSeparated {
    /// Whether a line may end in CR LF.
    crlf: bool,
}

impl Dialect for TabSeparated {
    const DELIMITER: &'static str = "a tab";
    const SURPLUS: i32 = code::CANNOT_PARSE_INPUT;

    fn field(&self, window: &Window<'_>, at: usize, _: Nature) -> Result<FieldAt, Stop> {
        let bytes = window.bytes;
        let mut from = at;
        while let Some(found) = memchr::memchr3(b'\t', b'\n', b'\\', &bytes[from..]) {
            let end = from + found;
            match bytes[end] {
                b'\t' => {
                    return Ok(FieldAt {
                        content: at..end,
                        ending: Ending::Delimiter,
                        next: end + 1,
                    });
                }
                b'\n' => return self.line_end(bytes, at, from, end),
                _ if end + 1 < bytes.len() => from = end + 2,
                _ => {
                    return Err(Stop::More {
                        expected: "a character behind the backslash",
                    });
                }
            }
        }
        if window.last {
            self.line_end(bytes, at, from, bytes.len())
        } else {
            Err(Stop::More {
                expected: "a tab or the end of the line",
            })
        }
    }

    fn token<'a>(
        &self,
        field: &'a [u8],
        _: Nature,
        scratch: &'a mut Vec<u8>,
    ) -> Result<Token<'a>, ValueError> {
        if field == b"\\N" {
            return Ok(Token::Null);
        }
        if memchr::memchr(b'\\', field).is_none() {
            return Ok(Token::Text(field));
        }
        scratch.clear();
        unescape(field, scratch)?;
        Ok(Token::Text(scratch))
    }

    fn end_behind_delimiter(&self, _: &Window<'_>, _: usize) -> Result<Option<usize>, Stop> {
        Ok(None)
    }

    fn between_rows(&self, _: &Window<'_>, _: usize) -> Option<usize> {
        None
    }
}

impl TabSeparated {
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
