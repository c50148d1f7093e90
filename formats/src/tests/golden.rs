//! ClickHouse's own output in every format (formats/golden, written by 26.9) is read back row by row.

use std::path::Path;

use super::*;

fn file(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)).unwrap()
}

/// A reader of the golden table, whose key is `cityHash64(k, s)`.
pub(super) fn reader(format: Format) -> Reader {
    let schema: serde_json::Value = serde_json::from_slice(&file("schema.json")).unwrap();
    let columns: Vec<String> = schema["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| format!("{} {}", column[0].as_str().unwrap(), column[1].as_str().unwrap()))
        .collect();
    // As 26.9 reads by default; it knows not the names `t.x` and `t.y` that it writes for a Tuple in CSV.
    Reader::new(format, &columns.join(", "), &["k", "s"]).with("input_format_skip_unknown_fields", "1")
}

fn read(format: Format) -> Body {
    let bytes = file(&format!("all_types.{}", format.name()));
    reader(format)
        .read_all(&bytes)
        .unwrap_or_else(|error| panic!("{}: {error}", format.name()))
}

/// The formats that ClickHouse can write too, and in which it reads again what it wrote.
fn written() -> impl Iterator<Item = Format> {
    use Format as F;
    let unwritten = [
        F::RowBinaryWithDefaults,
        F::JsonAsString,
        F::JsonAsObject,
        F::LineAsString,
        F::JsonCompactColumns,
        F::JsonColumnsWithMetadata,
        // Line ends in strings are not escaped.
        F::TabSeparatedRaw,
        F::TabSeparatedRawWithNames,
        F::TabSeparatedRawWithNamesAndTypes,
        // Written as CustomSeparated.
        F::CustomSeparatedIgnoreSpaces,
        F::CustomSeparatedIgnoreSpacesWithNames,
        F::CustomSeparatedIgnoreSpacesWithNamesAndTypes,
    ];
    Format::all().filter(move |format| !unwritten.contains(format))
}

/// The same rows again from a body that is joined from them, header-less and with the columns that the stream
/// named.
#[track_caller]
pub(super) fn check_joined(reader: &Reader, read: &Body) {
    let format = Format::parse(reader.payload().name()).unwrap();
    let mut plain = Reader {
        format,
        listed: Some(read.columns.clone()),
        payload: None,
        ..reader.clone()
    };
    plain.settings.csv_skip_first_lines = 0;
    plain.settings.tsv_skip_first_lines = 0;
    plain.settings.csv_detect_header = false;
    plain.settings.tsv_detect_header = false;
    // What may begin with a byte order mark when it is not in front of all rows is another matter.
    if read
        .rows
        .first()
        .is_some_and(|row| row.starts_with(b"\xef\xbb\xbf"))
    {
        return;
    }
    let joined = read.joined(format);
    let again = plain
        .read_all(&joined)
        .unwrap_or_else(|error| panic!("{:?}: {error}", joined.escape_ascii().to_string()));
    assert_eq!(&again, read);
}

#[test]
fn every_golden_file_has_its_200_rows_and_reads_the_same_when_joined() {
    for format in written() {
        let body = read(format);
        assert_eq!(body.rows.len(), 200, "{}", format.name());
        assert_eq!(
            body.columns.len(),
            27 + usize::from(has_tuple(format)),
            "{}",
            format.name()
        );
        check_joined(&reader(format), &body);
    }
}

/// Whether the column `t` is read: not by the names of CSV's header.
fn has_tuple(format: Format) -> bool {
    !matches!(format, Format::CsvWithNames | Format::CsvWithNamesAndTypes)
}

/// Reads the golden files with every value checked.
pub(crate) fn check_values_of_all() {
    for format in written() {
        let mut reader = reader(format);
        reader.check_values = true;
        let read = reader
            .read_all(&file(&format!("all_types.{}", format.name())))
            .unwrap_or_else(|error| panic!("{}: {error}", format.name()));
        assert_eq!(read.rows.len(), 200);
    }
}

#[test]
fn every_golden_file_has_the_same_key() {
    let expected: Vec<Vec<String>> = file("all_types.JSONEachRow")
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| {
            let row: serde_json::Value = serde_json::from_slice(line).unwrap();
            let text = row["s"].as_str().unwrap().as_bytes().escape_ascii().to_string();
            vec![row["k"].as_u64().unwrap().to_string(), text]
        })
        .collect();
    for format in written() {
        assert_eq!(read(format).key, expected, "{}", format.name());
    }
}

#[test]
fn every_type_of_the_golden_table_has_the_same_value_in_every_format() {
    let readable = [
        "id", "i8", "u16", "i32", "i64", "f32", "f64", "s", "fs", "ns", "ni", "lc", "lcn",
    ];
    let more = [
        "d", "dt", "dt64", "u", "k", "ip4", "b", "e", "dec", "a", "as", "aa", "t", "m", "tail",
    ];
    let names: Vec<&str> = readable.into_iter().chain(more).collect();
    let read = |format: Format| {
        let mut reader = reader(format);
        reader.key = names
            .iter()
            .map(|name| reader.columns.iter().find(|c| c.name == *name).unwrap().clone())
            .collect();
        reader
            .read_all(&file(&format!("all_types.{}", format.name())))
            .unwrap_or_else(|error| panic!("{}: {error}", format.name()))
            .key
    };
    // RowBinary holds the values as they are stored.
    let stored = read(Format::RowBinary);
    let tuple = names.iter().position(|name| *name == "t").unwrap();
    for format in written() {
        let mut expected = stored.clone();
        if !has_tuple(format) {
            expected
                .iter_mut()
                .for_each(|row| row[tuple] = "-(0,)".to_owned());
        }
        assert_eq!(read(format), expected, "{}", format.name());
    }
}

/// formats/golden/nested: random values, written by 26.9.
#[test]
fn values_with_others_inside_are_the_same_in_every_format() {
    let types = String::from_utf8(file("nested/types")).unwrap();
    let names: Vec<String> = columns(&types).into_iter().map(|column| column.name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let read = |format: Format| {
        let body = file(&format!("nested/random.{}", format.name()));
        let mut reader = Reader::new(format, &types, &names);
        let read = reader.read_all(&body);
        let read = read.unwrap_or_else(|error| panic!("{}: {error}", format.name()));
        assert_eq!(read.rows.len(), 24, "{}", format.name());
        check_joined(&reader, &read);
        reader.key.truncate(1);
        reader.check_values = true;
        reader.read_all(&body).unwrap();
        read.key
    };
    let stored = read(Format::RowBinary);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/nested");
    let is_there = |format: &Format| path.join(format!("random.{}", format.name())).exists();
    let formats: Vec<Format> = Format::all().filter(is_there).collect();
    assert_eq!(formats.len(), 17);
    for format in formats {
        assert_eq!(read(format), stored, "{}", format.name());
    }
}

#[test]
fn a_golden_file_in_small_chunks_reads_as_the_whole() {
    for format in written() {
        let bytes = file(&format!("all_types.{}", format.name()));
        for size in [1, 7, 333, 4096] {
            let chunked = reader(format).read(bytes.chunks(size)).unwrap();
            assert_eq!(chunked, read(format), "{} in chunks of {size}", format.name());
        }
    }
}

/// Two rows of the golden file, cut at every byte: never a panic, and rows that are not whole are never
/// taken.
#[test]
fn a_golden_body_that_is_cut_short_never_yields_another_row() {
    for format in written() {
        let body = read(format);
        let two = Body {
            rows: body.rows[..2].to_vec(),
            ..body.clone()
        };
        let plain = Format::parse(reader(format).payload().name()).unwrap();
        let joined = two.joined(plain);
        for cut in 0..joined.len() {
            match reader(plain).read_all(&joined[..cut]) {
                // TabSeparated and CSV need no last line end, so the last field may be cut unseen.
                Ok(read) => assert!(
                    read.key.iter().zip(&two.key_of(&body)).all(|(a, b)| a == b),
                    "{format:?} {cut}"
                ),
                Err(error) => {
                    assert!(error.row.is_some() && error.offset.is_some(), "{error}");
                    assert!(error.offset.unwrap() <= cut as u64, "{error}");
                }
            }
        }
    }
}

impl Body {
    fn key_of(&self, whole: &Body) -> Vec<Vec<String>> {
        whole.key[..self.rows.len()].to_vec()
    }
}
