//! What holds for every format: the golden files, any cut, every truncation, the limits.

use proptest::prelude::*;
use types::{Column, ColumnDef, Data, DataType};

use crate::{Format, FormatError, Payload, RowStream, Rows, RowsBody, Settings, Spec, code};

pub(crate) mod golden;
mod limits;

/// A reader of the golden table.
pub(crate) fn golden_reader(format: Format) -> Reader {
    golden::reader(format)
}

/// Columns written as `name Type, name Type`.
pub(crate) fn columns(text: &str) -> Vec<ColumnDef> {
    let DataType::Tuple(elements) = DataType::parse(&format!("Tuple({text})")).unwrap() else {
        panic!("{text} is no list of columns")
    };
    let named = |(name, data_type): (Option<String>, DataType)| ColumnDef {
        name: name.unwrap(),
        data_type,
    };
    elements.into_iter().map(named).collect()
}

/// What a test reads a body by.
#[derive(Clone)]
pub(crate) struct Reader {
    pub format: Format,
    pub columns: Vec<ColumnDef>,
    pub listed: Option<Vec<String>>,
    pub key: Vec<ColumnDef>,
    pub settings: Settings,
    pub time_zone: &'static str,
    pub max_row_bytes: usize,
    pub payload: Option<Payload>,
    pub check_values: bool,
}

impl Reader {
    /// A reader of `table`'s columns whose key columns are those named in `key`.
    pub fn new(format: Format, table: &str, key: &[&str]) -> Self {
        let columns = columns(table);
        let find = |name: &&str| {
            columns
                .iter()
                .find(|column| column.name == *name)
                .unwrap()
                .clone()
        };
        let key = key.iter().map(find).collect();
        Self {
            format,
            columns,
            listed: None,
            key,
            settings: Settings::default(),
            time_zone: "UTC",
            max_row_bytes: 1 << 20,
            payload: None,
            check_values: false,
        }
    }

    pub fn with(mut self, setting: &str, value: &str) -> Self {
        self.settings = Settings::read([(setting, value)]).unwrap();
        self
    }

    /// The format in which rows are handed over.
    pub fn payload(&self) -> Payload {
        self.payload.unwrap_or(self.format.payloads(&self.settings)[0])
    }

    pub fn stream(&self) -> Result<RowStream, FormatError> {
        RowStream::new(
            self.format,
            &Spec {
                columns: &self.columns,
                listed: self.listed.as_deref(),
                key: &self.key,
                watched: &[],
                settings: &self.settings,
                time_zone: self.time_zone,
                max_row_bytes: self.max_row_bytes,
                payload: self.payload,
                check_values: self.check_values,
                scratch: None,
            },
        )
    }

    /// Reads a body that arrives in these pieces.
    pub fn read<'a>(&self, pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Body, FormatError> {
        let mut stream = self.stream()?;
        let mut body = Body::default();
        let mut take = |rows: &Rows<'_>| {
            body.take(rows);
            Ok::<(), FormatError>(())
        };
        for piece in pieces {
            stream.push(piece, &mut take)?;
        }
        stream.finish(&mut take)?;
        assert_eq!(stream.rows_seen(), body.rows.len() as u64);
        body.columns = stream
            .columns()
            .iter()
            .map(|column| column.name.clone())
            .collect();
        Ok(body)
    }

    pub fn read_all(&self, bytes: &[u8]) -> Result<Body, FormatError> {
        self.read([bytes])
    }
}

/// One row in its payload format; of a block, as a block of its own.
pub(crate) fn row_of(rows: &Rows<'_>, row: usize) -> Vec<u8> {
    match &rows.body {
        RowsBody::Ranges { bytes, ranges } => bytes[ranges[row].clone()].to_vec(),
        RowsBody::Block(block) => {
            let mut out = Vec::new();
            block.write(&[row], &[], &mut out);
            out
        }
    }
}

/// What a body was read as.
#[derive(Debug, Default, PartialEq, Clone)]
pub(crate) struct Body {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<u8>>,
    /// The key's values as text, row by row; `-` in front of one that the row does not have.
    pub key: Vec<Vec<String>>,
}

impl Body {
    pub fn take(&mut self, rows: &Rows<'_>) {
        for index in 0..rows.count {
            self.rows.push(row_of(rows, index));
            let keys = rows.key.iter().zip(rows.absent);
            let shown = keys.map(|(column, absent)| {
                let mark = if absent.iter().any(|absent| absent.row == index) {
                    "-"
                } else {
                    ""
                };
                format!("{mark}{}", show(column, index))
            });
            self.key.push(shown.collect());
        }
        for column in rows.key {
            assert_eq!(column.len(), rows.count);
        }
    }

    /// The rows laid end to end, as a batch holds them.
    pub fn joined(&self, format: Format) -> Vec<u8> {
        let terminator = format.payload().terminator();
        self.rows
            .iter()
            .flat_map(|row| [row.as_slice(), terminator])
            .collect::<Vec<_>>()
            .concat()
    }
}

pub(crate) fn show(column: &Column, row: usize) -> String {
    if column.nulls.as_ref().is_some_and(|nulls| nulls[row]) {
        return "NULL".to_owned();
    }
    match &column.data {
        Data::UInt8(values) => values[row].to_string(),
        Data::UInt16(values) => values[row].to_string(),
        Data::UInt32(values) => values[row].to_string(),
        Data::UInt64(values) => values[row].to_string(),
        Data::UInt128(values) => values[row].to_string(),
        Data::Int8(values) => values[row].to_string(),
        Data::Int16(values) => values[row].to_string(),
        Data::Int32(values) => values[row].to_string(),
        Data::Int64(values) => values[row].to_string(),
        Data::Int128(values) => values[row].to_string(),
        Data::UInt256(values) => values[row].to_string(),
        Data::Int256(values) => values[row].to_string(),
        Data::Float32(values) => values[row].to_string(),
        Data::Float64(values) => values[row].to_string(),
        Data::Bytes(values) => values.get(row).escape_ascii().to_string(),
        Data::Array(lists) => {
            let elements: Vec<String> = lists.range(row).map(|row| show(&lists.values, row)).collect();
            format!("[{}]", elements.join(","))
        }
        Data::Tuple(tuples) => {
            let elements: Vec<String> = tuples.columns.iter().map(|column| show(column, row)).collect();
            format!("({})", elements.join(","))
        }
    }
}

/// The rows that a body is read as, for the formats' own tests.
#[track_caller]
pub(crate) fn check_rows(reader: &Reader, body: &str, expected: &[&str]) {
    let read = reader
        .read_all(body.as_bytes())
        .unwrap_or_else(|error| panic!("{body:?}: {error}"));
    let rows: Vec<_> = read.rows.iter().map(|row| String::from_utf8_lossy(row)).collect();
    assert_eq!(rows, expected, "{body:?}");
    check_every_cut(reader, body.as_bytes());
}

/// The values of a single key column, one a row.
#[track_caller]
pub(crate) fn check_key(reader: &Reader, body: &str, expected: &[&str]) {
    let read = reader
        .read_all(body.as_bytes())
        .unwrap_or_else(|error| panic!("{body:?}: {error}"));
    let values: Vec<_> = read.key.iter().map(|row| row.join(" ")).collect();
    assert_eq!(values, expected, "{body:?}");
    check_every_cut(reader, body.as_bytes());
}

/// That a body is refused with this code at this row and byte.
#[track_caller]
pub(crate) fn check_refused(reader: &Reader, body: &str, code: i32, row: u64, offset: u64) {
    let error = reader.read_all(body.as_bytes()).expect_err(body);
    assert_eq!(
        (error.code, error.row, error.offset),
        (code, Some(row), Some(offset)),
        "{body:?}: {error}"
    );
    check_every_cut(reader, body.as_bytes());
}

/// That a body cut in two anywhere is read as the whole one.
#[track_caller]
pub(crate) fn check_every_cut(reader: &Reader, body: &[u8]) {
    let whole = reader
        .read_all(body)
        .map_err(|error| (error.code, error.row, error.offset));
    for cut in 0..=body.len() {
        let (head, tail) = body.split_at(cut);
        let read = reader
            .read([head, tail])
            .map_err(|error| (error.code, error.row, error.offset));
        assert_eq!(read, whole, "cut at {cut}: {:?}", body.escape_ascii().to_string());
    }
    let read = reader
        .read(body.chunks(1))
        .map_err(|error| (error.code, error.row, error.offset));
    assert_eq!(read, whole, "byte by byte");
}

#[test]
fn a_listed_column_must_exist_and_stand_once() {
    let mut reader = Reader::new(Format::Csv, "a UInt8, b String", &["a"]);
    reader.listed = Some(vec!["b".to_owned(), "z".to_owned()]);
    assert_eq!(reader.stream().err().unwrap().code, code::NO_SUCH_COLUMN);
    reader.listed = Some(vec!["b".to_owned(), "b".to_owned()]);
    assert_eq!(reader.stream().err().unwrap().code, code::DUPLICATE_COLUMN);
}

#[test]
fn a_key_column_that_the_insert_leaves_out_is_absent_in_every_row() {
    let mut reader = Reader::new(Format::TabSeparated, "a UInt8, b String", &["a"]);
    reader.listed = Some(vec!["b".to_owned()]);
    let body = reader.read_all(b"x\ny\n").unwrap();
    assert_eq!(body.columns, ["b"]);
    assert_eq!(body.key, [["-0"], ["-0"]]);
}

#[test]
fn a_date32_that_the_insert_leaves_out_is_the_first_day_and_one_that_a_row_leaves_out_is_not() {
    let mut reader = Reader::new(Format::JsonEachRow, "a Date32, b String", &["a"]);
    assert_eq!(reader.read_all(b"{\"b\":\"x\"}").unwrap().key, [["-0"]]);
    reader.listed = Some(vec!["b".to_owned()]);
    assert_eq!(reader.read_all(b"{\"b\":\"x\"}").unwrap().key, [["--25567"]]);
}

#[test]
fn a_key_of_a_type_that_is_not_read_is_refused_before_any_byte() {
    for data_type in [
        "JSON",
        "Dynamic",
        "AggregateFunction(sum, UInt64)",
        "Array(JSON)",
        "Map(String, Variant(UInt8, String))",
        "Tuple(UInt8, Array(Point))",
        "Tuple()",
    ] {
        let reader = Reader::new(Format::JsonEachRow, &format!("k {data_type}"), &["k"]);
        assert_eq!(
            reader.stream().err().unwrap().code,
            code::NOT_IMPLEMENTED,
            "{data_type}"
        );
    }
}

#[test]
fn an_unknown_time_zone_is_refused() {
    let reader = Reader::new(Format::Csv, "k DateTime('Mars/Base')", &["k"]);
    assert_eq!(reader.stream().err().unwrap().code, code::BAD_ARGUMENTS);
}

#[test]
fn an_error_of_the_receiver_ends_the_stream() {
    let reader = Reader::new(Format::Csv, "k UInt8", &["k"]);
    let mut stream = reader.stream().unwrap();
    let full = FormatError::plain(1, "no room");
    let mut refuse = |_: &Rows<'_>| Err(full.clone());
    assert_eq!(stream.push(b"1\n", &mut refuse), Err(full.clone()));
    let mut accept = |_: &Rows<'_>| Ok::<(), FormatError>(());
    assert!(stream.push(b"2\n", &mut accept).is_err());
    assert!(stream.finish(&mut accept).is_err());
}

#[test]
fn rows_are_handed_over_in_bounded_groups() {
    let reader = Reader::new(Format::TabSeparated, "k UInt32", &["k"]);
    let body: String = (0..20_000).map(|k| format!("{k}\n")).collect();
    let mut groups = Vec::new();
    let mut stream = reader.stream().unwrap();
    let mut take = |rows: &Rows<'_>| {
        groups.push(rows.count);
        Ok::<(), FormatError>(())
    };
    stream.push(body.as_bytes(), &mut take).unwrap();
    stream.finish(&mut take).unwrap();
    assert_eq!(groups, [8192, 8192, 3616]);
}

fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        "(",
        ")",
        "\"",
        "'",
        ",",
        ":",
        ";",
        "\n",
        "\r",
        "\t",
        "\\",
        "\\N",
        "\\u12",
        "k",
        "s",
        "1",
        "-2",
        "null",
        "NULL",
        " ",
        "--",
        "/*",
        "*/",
        "#",
        "$",
        "\u{feff}",
        "{\"k\":1}",
        "(1,'a')",
        "1\ta\n",
        "\x01\0\0",
        "é",
    ])
}

proptest! {
    #[test]
    fn no_text_panics_and_every_cut_reads_alike(pieces in prop::collection::vec(piece(), 0..12)) {
        let body = pieces.concat();
        for format in Format::all() {
            let reader = Reader::new(format, "k UInt16, s String", &["k", "s"]);
            check_every_cut(&reader, body.as_bytes());
        }
    }

    #[test]
    fn whatever_is_read_reads_the_same_again_when_joined(pieces in prop::collection::vec(piece(), 0..12)) {
        let body = pieces.concat();
        for format in Format::all() {
            let reader = Reader::new(format, "k UInt16, s String", &["k", "s"]);
            if let Ok(read) = reader.read_all(body.as_bytes()) {
                golden::check_joined(&reader, &read);
            }
        }
    }

    #[test]
    fn a_key_with_values_inside_reads_the_same_however_cut_and_again_when_joined(
        pieces in prop::collection::vec(nested_piece(), 0..10), table in 0..4_usize,
    ) {
        let body = pieces.concat();
        let data_type = [
            "Array(Nullable(UInt8))",
            "Map(String, Array(UInt8))",
            "Tuple(UInt8, String)",
            "Tuple(x Array(String), y Tuple(a Nullable(UInt8), b UInt8))",
        ][table];
        for format in Format::all() {
            let reader = Reader::new(format, &format!("k {data_type}"), &["k"]);
            check_every_cut(&reader, body.as_bytes());
            if let Ok(read) = reader.read_all(body.as_bytes()) {
                golden::check_joined(&reader, &read);
            }
        }
    }
}

/// Parts of values with others inside.
fn nested_piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        ",",
        ":",
        "'",
        "\"",
        "\\",
        "\n",
        "\t",
        " ",
        "NULL",
        "null",
        "1",
        "'a'",
        "\"a\"",
        "[1]",
        "[1,NULL]",
        "['b']",
        "(1,'a')",
        "{'k':[1]}",
        "{\"k\":[1]}\n",
        "{\"k\":",
        "k=",
        "(",
        "\"[1,2]\"\n",
        "\\N",
        "{\"k\":{\"x\":[\"a\"]}}",
        "\x01",
        "\x02",
        "\0",
        "\u{91}",
        "1,x\n",
        "DEFAULT",
    ])
}
