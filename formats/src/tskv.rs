//! TSKV: lines of `name=value` between tabs, escaped as in TabSeparated.

use types::ColumnDef;

use crate::backslash::unescape;
use crate::delimited::{Dialect, Nature, nature};
use crate::error::{FormatError, code};
use crate::escape;
use crate::framing::{Framing, KeyFields, Step, Stop, Token, ValueError, Window, byte, skip_mark};
use crate::names::Names;
use crate::settings::Family;
use crate::stream::Input;
use crate::tab_separated::TabSeparated;

/// A field of this name alone, without a value, is allowed and is nothing: some programs begin every line with it.
const MARK: &[u8] = b"tskv";

pub(crate) fn open(input: &Input<'_>) -> Result<Box<dyn Framing>, FormatError> {
    input.settings.allow(Family::Tsv)?;
    Ok(Box::new(Tskv {
        is_begun: false,
        names: Names::new(input, escape::tskv_name),
        values: TabSeparated::new(input.settings, false),
        columns: input.columns.clone(),
        natures: input.key.iter().map(|column| nature(&column.data_type)).collect(),
    }))
}

struct Tskv {
    /// Whether a byte order mark was looked for.
    is_begun: bool,
    names: Names,
    values: TabSeparated,
    columns: Vec<ColumnDef>,
    /// Of the noted columns.
    natures: Vec<Nature>,
}

impl Framing for Tskv {
    fn step(&mut self, window: &Window<'_>, at: usize, key: &mut KeyFields) -> Result<Step, Stop> {
        if at == window.bytes.len() {
            return Ok(Step::End);
        }
        if !self.is_begun {
            let step = skip_mark(window, at)?;
            self.is_begun = true;
            return Ok(step.unwrap_or(Step::Skipped { next: at }));
        }
        self.names.begin_row();
        let end = self.row(window, at, key)?;
        Ok(Step::Row {
            row: at..end,
            next: end + 1,
        })
    }

    fn token<'a>(
        &self,
        index: usize,
        field: &'a [u8],
        scratch: &'a mut Vec<u8>,
    ) -> Result<Token<'a>, ValueError> {
        self.values.token(field, self.natures[index], scratch)
    }

    fn columns(&self) -> &[ColumnDef] {
        &self.columns
    }
}

impl Tskv {
    /// The end of the row at `start`, where its newline stands.
    fn row(&mut self, window: &Window<'_>, start: usize, key: &mut KeyFields) -> Result<usize, Stop> {
        let mut at = start;
        if byte(window, at, "a field's name or the end of the line")? == b'\n' {
            return Ok(at);
        }
        for place in 0.. {
            let end = self.field(window, at, place, key)?;
            match byte(window, end, "a tab or the end of the line")? {
                b'\n' => return Ok(end),
                _ => at = end + 1,
            }
        }
        Ok(at)
    }

    /// Passes one field and returns its end, where a tab or a newline stands.
    fn field(
        &mut self,
        window: &Window<'_>,
        at: usize,
        place: usize,
        key: &mut KeyFields,
    ) -> Result<usize, Stop> {
        let (column, start) = match self.names.predicted(&window.bytes[at..], place) {
            Some((column, len)) => (Some(column), at + len),
            None => {
                let name_end = name_end(window, at)?;
                let name = &window.bytes[at..name_end];
                if window.bytes[name_end] != b'=' {
                    return if name == MARK {
                        Ok(name_end)
                    } else {
                        Err(valueless(at))
                    };
                }
                let mut text = Vec::new();
                unescape(name, &mut text).map_err(|error| {
                    Stop::fault(
                        error.code,
                        at,
                        format!("expected {} in a field's name", error.expected),
                    )
                })?;
                (self.names.look_up(&text, place, at)?, name_end + 1)
            }
        };
        let (end, _) = self.values.content_end(window, start)?;
        if let Some(column) = column {
            self.names.see(column, at)?;
            if let Some(index) = self.names.keys[column] {
                key[index] = Some(start..end);
            }
        }
        Ok(end)
    }
}

/// Where a name ends: at `=`, a tab or a newline.
fn name_end(window: &Window<'_>, at: usize) -> Result<usize, Stop> {
    let mut end = at;
    loop {
        match byte(window, end, "'=' behind a field's name")? {
            b'=' | b'\t' | b'\n' => return Ok(end),
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
}

fn valueless(at: usize) -> Stop {
    Stop::fault(
        code::INCORRECT_DATA,
        at,
        "expected '=' and a value behind the field's name",
    )
}

#[cfg(test)]
mod tests;
