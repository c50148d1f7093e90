//! What holds for every body of every format, however broken: no panic, any cut reads alike, and rows that were split over
//! shards read as the same rows again.

use std::fmt::Write as _;

use formats::{Format, FormatError, Payload, RowStream, Rows, RowsBody, Settings, Spec};
use types::{Column, ColumnDef, DataType};

/// Rows go to so many shards.
const SHARDS: usize = 3;

/// More than libFuzzer writes (`-max_len` in ci/fuzz): whether a row above the limit shows another fault first depends on
/// how much of it is there.
const ROW_BYTES_MAX: usize = 64 << 10;

/// A format and what its bodies are read by.
pub struct Target {
    format: Format,
    columns: Vec<ColumnDef>,
    key: Vec<ColumnDef>,
    /// By the first byte of the data.
    ways: Vec<Way>,
}

/// How a client may have its bodies read, and how a shard then reads rows in each payload format.
struct Way {
    settings: Settings,
    payloads: Vec<(Payload, Settings)>,
}

/// What a body was read as.
#[derive(Debug, Default, PartialEq)]
struct Body {
    columns: Vec<ColumnDef>,
    rows: Vec<Vec<u8>>,
    /// For each shard its rows as a batch holds them.
    shares: [Vec<u8>; SHARDS],
    /// The key's values of each row, shown.
    key: Vec<String>,
}

impl Target {
    /// The target of a format.
    pub fn new(format: Format) -> Self {
        let table = match format {
            Format::LineAsString | Format::JsonAsString => "Tuple(s String)",
            Format::JsonAsObject => "Tuple(o JSON)",
            _ => "Tuple(k UInt16, s Nullable(String), a Array(String), m Map(String, Int32), d Date)",
        };
        let columns = columns(table);
        let is_key = |column: &&ColumnDef| matches!(column.name.as_str(), "k" | "s" | "a" | "m" | "d");
        Self {
            format,
            key: columns.iter().filter(is_key).cloned().collect(),
            columns,
            ways: WAYS.iter().map(|pairs| way(format, pairs)).collect(),
        }
    }

    /// Reads a body in several ways. The first byte says by which settings, the second where it is cut.
    pub fn run(&self, data: &[u8]) {
        let [choice, size, body @ ..] = data else { return };
        let way = &self.ways[usize::from(*choice) % self.ways.len()];
        let check_values = choice & 0x80 != 0;
        let number = usize::from(choice & 0x40 != 0) % way.payloads.len();
        let (payload, at_shard) = &way.payloads[number];
        let (settings, payload) = (&way.settings, *payload);
        let reader = Reader {
            format: self.format,
            target: self,
            listed: None,
            settings,
            payload,
            check_values,
        };
        // How much of the body an error shows depends on how much of it is there.
        let place = |error: FormatError| (error.code, error.row, error.offset);
        let whole = reader.read(body.chunks(body.len().max(1))).map_err(place);
        let piece = usize::from(*size).max(1);
        if piece < body.len() {
            let cut = reader.read(body.chunks(piece)).map_err(place);
            assert_eq!(whole, cut, "cut into pieces of {size} bytes it reads otherwise");
        }
        if let Ok(read) = whole {
            self.read_again(&read, at_shard, payload);
        }
    }

    /// Each shard's rows, read as that shard reads them, are those that it was given.
    fn read_again(&self, read: &Body, settings: &Settings, payload: Payload) {
        let format = Format::parse(payload.name()).expect("a payload format is a format");
        let listed: Vec<String> = read.columns.iter().map(|column| column.name.clone()).collect();
        let reader = Reader {
            format,
            target: self,
            listed: Some(&listed),
            settings,
            payload,
            check_values: false,
        };
        for (shard, share) in read.shares.iter().enumerate() {
            // At the beginning of a body, and only there, it would be a mark.
            if share.starts_with(b"\xef\xbb\xbf") {
                continue;
            }
            let again = reader.read([share.as_slice()]).unwrap_or_else(|error| {
                panic!("shard {shard} cannot read '{}': {error}", share.escape_ascii())
            });
            let mine = |rows: &[Vec<u8>]| -> Vec<Vec<u8>> {
                rows.iter().skip(shard).step_by(SHARDS).cloned().collect()
            };
            assert_eq!(again.rows, mine(&read.rows), "shard {shard}: rows");
            let keys: Vec<String> = read.key.iter().skip(shard).step_by(SHARDS).cloned().collect();
            assert_eq!(again.key, keys, "shard {shard}: '{}'", share.escape_ascii());
        }
    }
}

struct Reader<'a> {
    format: Format,
    target: &'a Target,
    listed: Option<&'a [String]>,
    settings: &'a Settings,
    payload: Payload,
    check_values: bool,
}

impl Reader<'_> {
    fn read<'b>(&self, pieces: impl IntoIterator<Item = &'b [u8]>) -> Result<Body, FormatError> {
        let mut stream = RowStream::new(
            self.format,
            &Spec {
                columns: &self.target.columns,
                listed: self.listed,
                key: &self.target.key,
                watched: &[],
                settings: self.settings,
                time_zone: "UTC",
                // What is written anew may be longer than it was.
                max_row_bytes: if self.listed.is_some() {
                    64 * ROW_BYTES_MAX
                } else {
                    ROW_BYTES_MAX
                },
                scratch: None,
                payload: Some(self.payload),
                check_values: self.check_values,
            },
        )?;
        let terminator = self.payload.terminator();
        let mut body = Body::default();
        let mut take = |rows: &Rows<'_>| -> Result<(), FormatError> {
            body.take(rows, terminator);
            Ok(())
        };
        for piece in pieces {
            stream.push(piece, &mut take)?;
        }
        stream.finish(&mut take)?;
        assert_eq!(stream.rows_seen(), body.key.len() as u64);
        body.columns = stream.columns().to_vec();
        Ok(body)
    }
}

impl Body {
    fn take(&mut self, rows: &Rows<'_>, terminator: &[u8]) {
        let first = self.key.len();
        match &rows.body {
            RowsBody::Ranges { bytes, ranges } => {
                for (row, range) in ranges.iter().enumerate() {
                    let share = &mut self.shares[(first + row) % SHARDS];
                    share.extend_from_slice(&bytes[range.clone()]);
                    share.extend_from_slice(terminator);
                    self.rows.push(bytes[range.clone()].to_vec());
                }
            }
            RowsBody::Block(block) => {
                for shard in 0..SHARDS {
                    let mine: Vec<usize> = (0..rows.count)
                        .filter(|row| (first + row) % SHARDS == shard)
                        .collect();
                    if !mine.is_empty() {
                        block.write(&mine, &[], &mut self.shares[shard]);
                    }
                }
            }
        }
        for row in 0..rows.count {
            let mut shown = String::with_capacity(64);
            for (column, absent) in rows.key.iter().zip(rows.absent) {
                let is_absent = absent.iter().any(|absent| absent.row == row);
                shown.push(if is_absent { '-' } else { '+' });
                show(column, row, &mut shown);
            }
            self.key.push(shown);
        }
    }
}

/// Appends a value as text that no other value has.
fn show(column: &Column, row: usize, shown: &mut String) {
    use types::Data;
    if column.nulls.as_ref().is_some_and(|nulls| nulls[row]) {
        return shown.push_str("NULL");
    }
    let written = match &column.data {
        Data::UInt16(values) => write!(shown, "{}", values[row]),
        Data::Int32(values) => write!(shown, "{}", values[row]),
        Data::Bytes(values) => write!(shown, "'{}'", values.get(row).escape_ascii()),
        Data::Array(lists) => {
            shown.push('[');
            for element in lists.range(row) {
                show(&lists.values, element, shown);
                shown.push(',');
            }
            return shown.push(']');
        }
        Data::Tuple(tuples) => {
            shown.push('(');
            for element in &tuples.columns {
                show(element, row, shown);
                shown.push(',');
            }
            return shown.push(')');
        }
        other => panic!("no key column has values like {other:?}"),
    };
    written.expect("a String takes any text");
}

fn columns(table: &str) -> Vec<ColumnDef> {
    let Ok(DataType::Tuple(elements)) = DataType::parse(table) else {
        panic!("{table} is no tuple")
    };
    let named = |(name, data_type): (Option<String>, DataType)| ColumnDef {
        name: name.unwrap_or_default(),
        data_type,
    };
    elements.into_iter().map(named).collect()
}

/// The ways in which clients may have bodies read.
const WAYS: [&[(&str, &str)]; 9] = [
    &[],
    &[("input_format_skip_unknown_fields", "1")],
    &[
        ("input_format_with_names_use_header", "0"),
        ("input_format_csv_detect_header", "0"),
        ("input_format_tsv_detect_header", "0"),
        ("input_format_custom_detect_header", "0"),
        ("date_time_input_format", "best_effort"),
    ],
    &[
        ("format_custom_escaping_rule", "CSV"),
        ("format_custom_field_delimiter", "|"),
        ("input_format_csv_skip_first_lines", "1"),
        ("input_format_tsv_skip_first_lines", "1"),
        ("format_csv_delimiter", ";"),
    ],
    &[
        ("format_custom_escaping_rule", "Quoted"),
        ("format_custom_field_delimiter", "||"),
        ("format_custom_row_before_delimiter", "<"),
        ("format_custom_row_after_delimiter", ">"),
        ("format_custom_row_between_delimiter", "\n"),
        ("input_format_csv_allow_cr_end_of_line", "1"),
        ("input_format_tsv_crlf_end_of_line", "1"),
    ],
    &[
        ("format_custom_escaping_rule", "JSON"),
        ("format_custom_field_delimiter", ":"),
        ("format_custom_result_after_delimiter", "E"),
        ("input_format_csv_skip_trailing_empty_lines", "1"),
        ("input_format_tsv_skip_trailing_empty_lines", "1"),
    ],
    &[
        ("format_custom_escaping_rule", "Raw"),
        ("format_csv_allow_single_quotes", "1"),
        ("input_format_tsv_empty_as_default", "1"),
        ("format_json_object_each_row_column_for_object_name", "s"),
    ],
    &[
        ("format_csv_null_representation", "NULL"),
        ("format_tsv_null_representation", "NULL"),
        ("input_format_csv_deserialize_separate_columns_into_tuple", "0"),
    ],
    &[
        ("format_csv_allow_double_quotes", "0"),
        ("input_format_null_as_default", "0"),
    ],
];

fn way(format: Format, pairs: &[(&str, &str)]) -> Way {
    let settings = Settings::read(pairs.iter().copied()).expect("settings that are known");
    let at_shard = |payload: Payload| {
        let pinned = settings.pinned(payload);
        let left = pairs
            .iter()
            .copied()
            .filter(|(name, _)| !Settings::is_obeyed(name));
        let said = left.chain(pinned.iter().map(|(name, value)| (*name, value.as_str())));
        Settings::read(said).expect("settings that are known")
    };
    let payloads = format.payloads(&settings);
    Way {
        payloads: payloads
            .into_iter()
            .map(|payload| (payload, at_shard(payload)))
            .collect(),
        settings,
    }
}
