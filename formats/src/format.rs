//! `Format` and `Payload`: the names, and the one table that says what each format needs.

use crate::columnar::Windows;
use crate::error::{FormatError, code};
use crate::framing::Framing;
use crate::stream::{Input, Spec};
use crate::{bson_each_row, csv, json_each_row, msg_pack, native, row_binary, tab_separated, values};

/// A format that a client's INSERT may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the variants are ClickHouse's own names
pub enum Format {
    JsonEachRow,
    TabSeparated,
    TabSeparatedWithNames,
    Csv,
    CsvWithNames,
    Values,
    RowBinary,
    RowBinaryWithNames,
    RowBinaryWithNamesAndTypes,
    RowBinaryWithDefaults,
    MsgPack,
    BsonEachRow,
    Native,
}

/// A format whose bodies can be joined by concatenation: what a batch may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the variants are ClickHouse's own names
pub enum Payload {
    JsonEachRow,
    TabSeparated,
    Csv,
    Values,
    RowBinary,
    RowBinaryWithDefaults,
    MsgPack,
    BsonEachRow,
    Native,
}

impl Payload {
    /// Every payload format.
    pub const ALL: [Payload; 9] = [
        Payload::JsonEachRow,
        Payload::TabSeparated,
        Payload::Csv,
        Payload::Values,
        Payload::RowBinary,
        Payload::RowBinaryWithDefaults,
        Payload::MsgPack,
        Payload::BsonEachRow,
        Payload::Native,
    ];
}

/// How a body of a format is opened.
#[derive(Clone, Copy)]
enum Open {
    /// Its rows lie one behind the other.
    Rows(fn(&Input<'_>) -> Result<Box<dyn Framing>, FormatError>),
    /// Its rows lie column by column.
    Windows(fn(&Input<'_>, &Spec<'_>) -> Result<Box<dyn Windows>, FormatError>),
}

/// A body that was opened.
pub(crate) enum Opened {
    Rows(Box<dyn Framing>),
    Windows(Box<dyn Windows>),
}

/// What there is to know of a format outside its own file.
struct Entry {
    format: Format,
    /// The name, then its aliases.
    names: &'static [&'static str],
    payload: Payload,
    open: Open,
}

const FORMATS: &[Entry] = &[
    Entry {
        format: Format::JsonEachRow,
        names: &["JSONEachRow", "JSONLines", "NDJSON"],
        payload: Payload::JsonEachRow,
        open: Open::Rows(json_each_row::open),
    },
    Entry {
        format: Format::TabSeparated,
        names: &["TabSeparated", "TSV"],
        payload: Payload::TabSeparated,
        open: Open::Rows(tab_separated::open),
    },
    Entry {
        format: Format::TabSeparatedWithNames,
        names: &["TabSeparatedWithNames", "TSVWithNames"],
        payload: Payload::TabSeparated,
        open: Open::Rows(tab_separated::open_with_names),
    },
    Entry {
        format: Format::Csv,
        names: &["CSV"],
        payload: Payload::Csv,
        open: Open::Rows(csv::open),
    },
    Entry {
        format: Format::CsvWithNames,
        names: &["CSVWithNames"],
        payload: Payload::Csv,
        open: Open::Rows(csv::open_with_names),
    },
    Entry {
        format: Format::Values,
        names: &["Values"],
        payload: Payload::Values,
        open: Open::Rows(values::open),
    },
    Entry {
        format: Format::RowBinary,
        names: &["RowBinary"],
        payload: Payload::RowBinary,
        open: Open::Rows(row_binary::open),
    },
    Entry {
        format: Format::RowBinaryWithNames,
        names: &["RowBinaryWithNames"],
        payload: Payload::RowBinary,
        open: Open::Rows(row_binary::open_with_names),
    },
    Entry {
        format: Format::RowBinaryWithNamesAndTypes,
        names: &["RowBinaryWithNamesAndTypes"],
        payload: Payload::RowBinary,
        open: Open::Rows(row_binary::open_with_names_and_types),
    },
    Entry {
        format: Format::RowBinaryWithDefaults,
        names: &["RowBinaryWithDefaults"],
        payload: Payload::RowBinaryWithDefaults,
        open: Open::Rows(row_binary::open_with_defaults),
    },
    Entry {
        format: Format::MsgPack,
        names: &["MsgPack"],
        payload: Payload::MsgPack,
        open: Open::Rows(msg_pack::open),
    },
    Entry {
        format: Format::BsonEachRow,
        names: &["BSONEachRow"],
        payload: Payload::BsonEachRow,
        open: Open::Rows(bson_each_row::open),
    },
    Entry {
        format: Format::Native,
        names: &["Native"],
        payload: Payload::Native,
        open: Open::Windows(native::open),
    },
];

impl Format {
    /// The format of this name, in any case, as ClickHouse reads it since 23.x; code 73 otherwise.
    pub fn parse(name: &str) -> Result<Self, FormatError> {
        let is_named = |entry: &&Entry| entry.names.iter().any(|known| known.eq_ignore_ascii_case(name));
        match FORMATS.iter().find(is_named) {
            Some(entry) => Ok(entry.format),
            None => Err(unknown(name)),
        }
    }

    /// Every format.
    pub fn all() -> impl Iterator<Item = Self> {
        FORMATS.iter().map(|entry| entry.format)
    }

    /// ClickHouse's name of the format.
    pub fn name(self) -> &'static str {
        self.entry().names[0]
    }

    /// The format in which this one's rows can be laid end to end.
    pub fn payload(self) -> Payload {
        self.entry().payload
    }

    pub(crate) fn open(self, input: &Input<'_>, spec: &Spec<'_>) -> Result<Opened, FormatError> {
        match self.entry().open {
            Open::Rows(open) => open(input).map(Opened::Rows),
            Open::Windows(open) => open(input, spec).map(Opened::Windows),
        }
    }

    fn entry(self) -> &'static Entry {
        // A test holds the table against the enum; the fallback is never taken.
        FORMATS
            .iter()
            .find(|entry| entry.format == self)
            .unwrap_or(&FORMATS[0])
    }
}

fn unknown(name: &str) -> FormatError {
    let known: Vec<&str> = FORMATS.iter().map(|entry| entry.names[0]).collect();
    FormatError::plain(
        code::UNKNOWN_FORMAT,
        format!(
            "unknown format '{name}'; INSERTs are taken in {}",
            known.join(", ")
        ),
    )
}

impl Payload {
    /// ClickHouse's name of the format.
    pub fn name(self) -> &'static str {
        match self {
            Self::JsonEachRow => "JSONEachRow",
            Self::TabSeparated => "TabSeparated",
            Self::Csv => "CSV",
            Self::Values => "Values",
            Self::RowBinary => "RowBinary",
            Self::RowBinaryWithDefaults => "RowBinaryWithDefaults",
            Self::MsgPack => "MsgPack",
            Self::BsonEachRow => "BSONEachRow",
            Self::Native => "Native",
        }
    }

    /// What stands behind every row, the last one included, so that bodies can be joined.
    pub fn terminator(self) -> &'static [u8] {
        match self {
            Self::JsonEachRow | Self::TabSeparated | Self::Csv => b"\n",
            Self::Values => b",",
            Self::RowBinary
            | Self::RowBinaryWithDefaults
            | Self::MsgPack
            | Self::BsonEachRow
            | Self::Native => b"",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_stands_in_the_table_once_and_is_found_by_its_name() {
        for format in Format::all() {
            assert_eq!(FORMATS.iter().filter(|entry| entry.format == format).count(), 1);
            assert_eq!(format.entry().format, format);
            assert_eq!(Format::parse(format.name()), Ok(format));
        }
    }

    #[test]
    fn names_are_read_in_any_case_and_by_alias() {
        assert_eq!(Format::parse("jsoneachrow"), Ok(Format::JsonEachRow));
        assert_eq!(Format::parse("TSV"), Ok(Format::TabSeparated));
        assert_eq!(Format::parse("csvWithNames"), Ok(Format::CsvWithNames));
    }

    #[test]
    fn a_format_that_is_not_taken_is_refused_by_name() {
        let error = Format::parse("TabSeparatedRaw").unwrap_err();
        assert_eq!(error.code, code::UNKNOWN_FORMAT);
        assert!(error.message.contains("TabSeparatedRaw"));
    }
}
