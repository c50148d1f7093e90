//! `Format` and `Payload`: the names, and the one table that says what each format needs.

use crate::columnar::Windows;
use crate::error::{FormatError, code};
use crate::framing::Framing;
use crate::settings::Settings;
use crate::stream::{Input, Lines, Spec};
use crate::{
    arrow_stream, bson_each_row, csv, custom_separated, json_columns, json_compact, json_document,
    json_each_row, json_object_each_row, msg_pack, native, parquet_file, row_binary, tab_separated, tskv,
    values, whole_body, whole_rows,
};

/// A format that a client's INSERT may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the variants are ClickHouse's own names
pub enum Format {
    JsonEachRow,
    JsonStringsEachRow,
    JsonCompactEachRow,
    JsonCompactEachRowWithNames,
    JsonCompactEachRowWithNamesAndTypes,
    JsonCompactStringsEachRow,
    JsonCompactStringsEachRowWithNames,
    JsonCompactStringsEachRowWithNamesAndTypes,
    Json,
    JsonCompact,
    JsonObjectEachRow,
    JsonAsString,
    JsonAsObject,
    TabSeparated,
    TabSeparatedWithNames,
    TabSeparatedWithNamesAndTypes,
    TabSeparatedRaw,
    TabSeparatedRawWithNames,
    TabSeparatedRawWithNamesAndTypes,
    Tskv,
    Csv,
    CsvWithNames,
    CsvWithNamesAndTypes,
    CustomSeparated,
    CustomSeparatedWithNames,
    CustomSeparatedWithNamesAndTypes,
    CustomSeparatedIgnoreSpaces,
    CustomSeparatedIgnoreSpacesWithNames,
    CustomSeparatedIgnoreSpacesWithNamesAndTypes,
    LineAsString,
    Values,
    RowBinary,
    RowBinaryWithNames,
    RowBinaryWithNamesAndTypes,
    RowBinaryWithDefaults,
    MsgPack,
    BsonEachRow,
    Native,
    Arrow,
    ArrowStream,
    Parquet,
    Avro,
    Orc,
    Protobuf,
    ProtobufSingle,
    ProtobufList,
    CapnProto,
    RawBlob,
    Regexp,
    Template,
    TemplateIgnoreSpaces,
    Npy,
    Form,
    MySqlDump,
    HiveText,
    JsonColumns,
    JsonCompactColumns,
    JsonColumnsWithMetadata,
}

/// A format whose bodies can be joined by concatenation: what a batch may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the variants are ClickHouse's own names
pub enum Payload {
    JsonEachRow,
    JsonStringsEachRow,
    JsonCompactEachRow,
    JsonCompactStringsEachRow,
    TabSeparated,
    Tskv,
    Csv,
    Values,
    RowBinary,
    RowBinaryWithDefaults,
    MsgPack,
    BsonEachRow,
    Native,
    /// A format of this name whose bodies cannot be joined: a batch of it is one INSERT's.
    Whole(&'static str),
}

impl Payload {
    /// Every payload format whose bodies can be joined.
    pub const ALL: [Payload; 13] = [
        Payload::JsonEachRow,
        Payload::JsonStringsEachRow,
        Payload::JsonCompactEachRow,
        Payload::JsonCompactStringsEachRow,
        Payload::TabSeparated,
        Payload::Tskv,
        Payload::Csv,
        Payload::Values,
        Payload::RowBinary,
        Payload::RowBinaryWithDefaults,
        Payload::MsgPack,
        Payload::BsonEachRow,
        Payload::Native,
    ];
}

type Opening<T> = Result<T, FormatError>;

/// How a body of a format is opened.
#[derive(Clone, Copy)]
enum Open {
    /// Its rows lie one behind the other.
    Rows(fn(&Input<'_>) -> Opening<Box<dyn Framing>>),
    /// Its rows lie column by column.
    Windows(fn(&Input<'_>, &Spec<'_>) -> Opening<Box<dyn Windows>>),
    /// Its rows are written as lines once it is whole.
    Lines(fn(&Input<'_>, &Spec<'_>) -> Opening<json_columns::Opened>),
}

/// A body that was opened.
pub(crate) enum Opened {
    Rows(Box<dyn Framing>),
    Windows(Box<dyn Windows>),
    /// They are written as lines, which are read as another format.
    Lines(Box<dyn Lines>, Box<dyn Framing>),
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
        names: &["JSONEachRow", "JSONLines", "NDJSON", "JSONL"],
        payload: Payload::JsonEachRow,
        open: Open::Rows(json_each_row::open),
    },
    Entry {
        format: Format::JsonStringsEachRow,
        names: &["JSONStringsEachRow"],
        payload: Payload::JsonStringsEachRow,
        open: Open::Rows(json_each_row::open_strings),
    },
    Entry {
        format: Format::JsonCompactEachRow,
        names: &["JSONCompactEachRow"],
        payload: Payload::JsonCompactEachRow,
        open: Open::Rows(json_compact::open),
    },
    Entry {
        format: Format::JsonCompactEachRowWithNames,
        names: &["JSONCompactEachRowWithNames"],
        payload: Payload::JsonCompactEachRow,
        open: Open::Rows(json_compact::open_with_names),
    },
    Entry {
        format: Format::JsonCompactEachRowWithNamesAndTypes,
        names: &["JSONCompactEachRowWithNamesAndTypes"],
        payload: Payload::JsonCompactEachRow,
        open: Open::Rows(json_compact::open_with_names_and_types),
    },
    Entry {
        format: Format::JsonCompactStringsEachRow,
        names: &["JSONCompactStringsEachRow"],
        payload: Payload::JsonCompactStringsEachRow,
        open: Open::Rows(json_compact::open_strings),
    },
    Entry {
        format: Format::JsonCompactStringsEachRowWithNames,
        names: &["JSONCompactStringsEachRowWithNames"],
        payload: Payload::JsonCompactStringsEachRow,
        open: Open::Rows(json_compact::open_strings_with_names),
    },
    Entry {
        format: Format::JsonCompactStringsEachRowWithNamesAndTypes,
        names: &["JSONCompactStringsEachRowWithNamesAndTypes"],
        payload: Payload::JsonCompactStringsEachRow,
        open: Open::Rows(json_compact::open_strings_with_names_and_types),
    },
    Entry {
        format: Format::Json,
        names: &["JSON"],
        payload: Payload::JsonEachRow,
        open: Open::Rows(json_document::open),
    },
    Entry {
        format: Format::JsonCompact,
        names: &["JSONCompact"],
        payload: Payload::JsonCompactEachRow,
        open: Open::Rows(json_document::open_compact),
    },
    Entry {
        format: Format::JsonObjectEachRow,
        names: &["JSONObjectEachRow"],
        payload: Payload::JsonEachRow,
        open: Open::Rows(json_object_each_row::open),
    },
    Entry {
        format: Format::JsonAsString,
        names: &["JSONAsString"],
        payload: Payload::TabSeparated,
        open: Open::Rows(whole_rows::open_json_strings),
    },
    Entry {
        format: Format::JsonAsObject,
        names: &["JSONAsObject"],
        payload: Payload::JsonEachRow,
        open: Open::Rows(whole_rows::open_json_objects),
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
        format: Format::TabSeparatedWithNamesAndTypes,
        names: &["TabSeparatedWithNamesAndTypes", "TSVWithNamesAndTypes"],
        payload: Payload::TabSeparated,
        open: Open::Rows(tab_separated::open_with_names_and_types),
    },
    Entry {
        format: Format::TabSeparatedRaw,
        names: &["TabSeparatedRaw", "TSVRaw", "Raw"],
        payload: Payload::TabSeparated,
        open: Open::Rows(tab_separated::open_raw),
    },
    Entry {
        format: Format::TabSeparatedRawWithNames,
        names: &["TabSeparatedRawWithNames", "TSVRawWithNames", "RawWithNames"],
        payload: Payload::TabSeparated,
        open: Open::Rows(tab_separated::open_raw_with_names),
    },
    Entry {
        format: Format::TabSeparatedRawWithNamesAndTypes,
        names: &[
            "TabSeparatedRawWithNamesAndTypes",
            "TSVRawWithNamesAndTypes",
            "RawWithNamesAndTypes",
        ],
        payload: Payload::TabSeparated,
        open: Open::Rows(tab_separated::open_raw_with_names_and_types),
    },
    Entry {
        format: Format::Tskv,
        names: &["TSKV"],
        payload: Payload::Tskv,
        open: Open::Rows(tskv::open),
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
        format: Format::CsvWithNamesAndTypes,
        names: &["CSVWithNamesAndTypes"],
        payload: Payload::Csv,
        open: Open::Rows(csv::open_with_names_and_types),
    },
    Entry {
        format: Format::CustomSeparated,
        names: &["CustomSeparated"],
        payload: Payload::TabSeparated,
        open: Open::Rows(custom_separated::open),
    },
    Entry {
        format: Format::CustomSeparatedWithNames,
        names: &["CustomSeparatedWithNames"],
        payload: Payload::TabSeparated,
        open: Open::Rows(custom_separated::open_with_names),
    },
    Entry {
        format: Format::CustomSeparatedWithNamesAndTypes,
        names: &["CustomSeparatedWithNamesAndTypes"],
        payload: Payload::TabSeparated,
        open: Open::Rows(custom_separated::open_with_names_and_types),
    },
    Entry {
        format: Format::CustomSeparatedIgnoreSpaces,
        names: &["CustomSeparatedIgnoreSpaces"],
        payload: Payload::TabSeparated,
        open: Open::Rows(custom_separated::open_ignoring_spaces),
    },
    Entry {
        format: Format::CustomSeparatedIgnoreSpacesWithNames,
        names: &["CustomSeparatedIgnoreSpacesWithNames"],
        payload: Payload::TabSeparated,
        open: Open::Rows(custom_separated::open_ignoring_spaces_with_names),
    },
    Entry {
        format: Format::CustomSeparatedIgnoreSpacesWithNamesAndTypes,
        names: &["CustomSeparatedIgnoreSpacesWithNamesAndTypes"],
        payload: Payload::TabSeparated,
        open: Open::Rows(custom_separated::open_ignoring_spaces_with_names_and_types),
    },
    Entry {
        format: Format::LineAsString,
        names: &["LineAsString"],
        payload: Payload::TabSeparated,
        open: Open::Rows(whole_rows::open_lines),
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
    Entry {
        format: Format::Arrow,
        names: &["Arrow"],
        payload: Payload::Native,
        open: Open::Windows(arrow_stream::open_file),
    },
    Entry {
        format: Format::ArrowStream,
        names: &["ArrowStream"],
        payload: Payload::Native,
        open: Open::Windows(arrow_stream::open),
    },
    Entry {
        format: Format::Parquet,
        names: &["Parquet"],
        payload: Payload::Native,
        open: Open::Windows(parquet_file::open),
    },
    Entry {
        format: Format::JsonColumns,
        names: &["JSONColumns"],
        payload: Payload::JsonEachRow,
        open: Open::Lines(json_columns::open),
    },
    Entry {
        format: Format::JsonCompactColumns,
        names: &["JSONCompactColumns"],
        payload: Payload::JsonEachRow,
        open: Open::Lines(json_columns::open_compact),
    },
    Entry {
        format: Format::JsonColumnsWithMetadata,
        names: &["JSONColumnsWithMetadata"],
        payload: Payload::JsonEachRow,
        open: Open::Lines(json_columns::open_with_metadata),
    },
    Entry {
        format: Format::Avro,
        names: &["Avro"],
        payload: Payload::Whole("Avro"),
        open: Open::Rows(whole_body::open),
    },
    Entry {
        format: Format::Orc,
        names: &["ORC"],
        payload: Payload::Whole("ORC"),
        open: Open::Rows(whole_body::open),
    },
    Entry {
        format: Format::Protobuf,
        names: &["Protobuf"],
        payload: Payload::Whole("Protobuf"),
        open: Open::Rows(whole_body::open),
    },
    Entry {
        format: Format::ProtobufSingle,
        names: &["ProtobufSingle"],
        payload: Payload::Whole("ProtobufSingle"),
        open: Open::Rows(whole_body::open),
    },
    Entry {
        format: Format::ProtobufList,
        names: &["ProtobufList"],
        payload: Payload::Whole("ProtobufList"),
        open: Open::Rows(whole_body::open),
    },
    Entry {
        format: Format::CapnProto,
        names: &["CapnProto"],
        payload: Payload::Whole("CapnProto"),
        open: Open::Rows(whole_body::open),
    },
    Entry {
        format: Format::RawBlob,
        names: &["RawBLOB"],
        payload: Payload::Whole("RawBLOB"),
        open: Open::Rows(whole_body::open),
    },
    Entry {
        format: Format::Regexp,
        names: &["Regexp"],
        payload: Payload::Whole("Regexp"),
        open: Open::Rows(whole_body::open),
    },
    Entry {
        format: Format::Template,
        names: &["Template"],
        payload: Payload::Whole("Template"),
        open: Open::Rows(whole_body::open),
    },
    Entry {
        format: Format::TemplateIgnoreSpaces,
        names: &["TemplateIgnoreSpaces"],
        payload: Payload::Whole("TemplateIgnoreSpaces"),
        open: Open::Rows(whole_body::open),
    },
    Entry {
        format: Format::Npy,
        names: &["Npy"],
        payload: Payload::Whole("Npy"),
        open: Open::Rows(whole_body::open),
    },
    Entry {
        format: Format::Form,
        names: &["Form"],
        payload: Payload::Whole("Form"),
        open: Open::Rows(whole_body::open),
    },
    Entry {
        format: Format::MySqlDump,
        names: &["MySQLDump"],
        payload: Payload::Whole("MySQLDump"),
        open: Open::Rows(whole_body::open),
    },
    Entry {
        format: Format::HiveText,
        names: &["HiveText"],
        payload: Payload::Whole("HiveText"),
        open: Open::Rows(whole_body::open),
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

    /// Every format whose rows can be told apart.
    pub fn all() -> impl Iterator<Item = Self> {
        let with_rows = FORMATS.iter().filter(|entry| !entry.payload.is_whole());
        with_rows.map(|entry| entry.format)
    }

    /// ClickHouse's name of the format.
    pub fn name(self) -> &'static str {
        self.entry().names[0]
    }

    /// The format in which this one's rows can be laid end to end, by default settings.
    pub fn payload(self) -> Payload {
        self.entry().payload
    }

    /// The formats in which rows of this one, read by `settings`, can be carried, the best first. The others are for shards
    /// that do not know it; [`Spec::payload`](crate::Spec::payload) says which is taken.
    pub fn payloads(self, settings: &Settings) -> Vec<Payload> {
        let first = match self {
            Self::CustomSeparated
            | Self::CustomSeparatedWithNames
            | Self::CustomSeparatedWithNamesAndTypes
            | Self::CustomSeparatedIgnoreSpaces
            | Self::CustomSeparatedIgnoreSpacesWithNames
            | Self::CustomSeparatedIgnoreSpacesWithNamesAndTypes => custom_separated::payload(settings),
            _ => self.payload(),
        };
        [&[first], self.others()].concat()
    }

    /// Formats that shards know which do not know this one's payload format.
    fn others(self) -> &'static [Payload] {
        match self {
            Self::JsonCompactEachRow
            | Self::JsonCompactEachRowWithNames
            | Self::JsonCompactEachRowWithNamesAndTypes
            | Self::JsonCompact => &[Payload::JsonEachRow],
            Self::JsonStringsEachRow => &[Payload::Tskv],
            Self::JsonCompactStringsEachRow
            | Self::JsonCompactStringsEachRowWithNames
            | Self::JsonCompactStringsEachRowWithNamesAndTypes => &[Payload::TabSeparated],
            _ => &[],
        }
    }

    pub(crate) fn open(self, input: &Input<'_>, spec: &Spec<'_>) -> Result<Opened, FormatError> {
        match self.entry().open {
            Open::Rows(open) => open(input).map(Opened::Rows),
            Open::Windows(open) => open(input, spec).map(Opened::Windows),
            Open::Lines(open) => open(input, spec).map(|(lines, framing)| Opened::Lines(lines, framing)),
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
    let known: Vec<&str> = Format::all().map(Format::name).collect();
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
            Self::JsonStringsEachRow => "JSONStringsEachRow",
            Self::JsonCompactEachRow => "JSONCompactEachRow",
            Self::JsonCompactStringsEachRow => "JSONCompactStringsEachRow",
            Self::Tskv => "TSKV",
            Self::TabSeparated => "TabSeparated",
            Self::Csv => "CSV",
            Self::Values => "Values",
            Self::RowBinary => "RowBinary",
            Self::RowBinaryWithDefaults => "RowBinaryWithDefaults",
            Self::MsgPack => "MsgPack",
            Self::BsonEachRow => "BSONEachRow",
            Self::Native => "Native",
            Self::Whole(name) => name,
        }
    }

    /// Whether an INSERT's body is one piece that neither can be split nor joined with others.
    pub fn is_whole(self) -> bool {
        matches!(self, Self::Whole(_))
    }

    /// What stands behind every row, the last one included, so that bodies can be joined.
    pub fn terminator(self) -> &'static [u8] {
        match self {
            Self::JsonEachRow
            | Self::JsonStringsEachRow
            | Self::JsonCompactEachRow
            | Self::JsonCompactStringsEachRow
            | Self::TabSeparated
            | Self::Tskv
            | Self::Csv => b"\n",
            Self::Values => b",",
            Self::RowBinary
            | Self::RowBinaryWithDefaults
            | Self::MsgPack
            | Self::BsonEachRow
            | Self::Native
            | Self::Whole(_) => b"",
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
        // One that ClickHouse only writes.
        let error = Format::parse("Prometheus").unwrap_err();
        assert_eq!(error.code, code::UNKNOWN_FORMAT);
        assert!(error.message.contains("Prometheus"));
    }
}
