//! What commands write: listings as a table or as JSON, and texts that end quietly when nobody reads them any
//! more.

use std::io::{self, BufWriter, Write};

use clap::ValueEnum;
use serde_json::Value;

use super::CommandError;
use super::table::Table;

/// The form of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Output {
    // Aligned columns, for people.
    #[default]
    Table,
    // For programs.
    Json,
}

impl Output {
    /// Shows a listing in the form asked for: the table, or JSON of the same.
    pub fn show(self, table: &Table, json: &Value) -> Result<(), CommandError> {
        print(|out| match self {
            Self::Table => Ok(write!(out, "{table}")?),
            Self::Json => Ok(writeln!(out, "{json:#}")?),
        })
    }
}

/// What ends the writing of an output before its end.
#[derive(Debug)]
pub enum Interrupted {
    /// Standard output takes no more.
    Output(io::Error),
    /// What was to be written could not be had.
    Source(CommandError),
}

impl From<io::Error> for Interrupted {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<CommandError> for Interrupted {
    fn from(error: CommandError) -> Self {
        Self::Source(error)
    }
}

/// Writes to standard output, buffered. A reader that has had enough (`| head`) ends the writing, and that is
/// no failure.
pub fn print(write: impl FnOnce(&mut dyn Write) -> Result<(), Interrupted>) -> Result<(), CommandError> {
    let mut out = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    let written = write(&mut out);
    let flushed = out.flush().map_err(Interrupted::Output);
    match written.and(flushed) {
        Ok(()) => Ok(()),
        Err(Interrupted::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(Interrupted::Output(error)) => {
            Err(CommandError(format!("cannot write to standard output: {error}")))
        }
        Err(Interrupted::Source(error)) => Err(error),
    }
}

/// One text and a line's end on standard output.
pub fn say(text: impl std::fmt::Display) -> Result<(), CommandError> {
    print(|out| Ok(writeln!(out, "{text}")?))
}
