use types::{Bytes, Column, ColumnDef, Data, DataType};

use super::{Fill, Filler};
use crate::tests::{Body, Reader, columns};
use crate::{Format, FormatError, Payload, Rows, Settings, code};

const TABLE: &str = "a UInt8, k UInt64, s Nullable(String), t DateTime('UTC'), u UUID";

/// Values for `count` rows: k, s, t and u of [`TABLE`], with their texts.
fn values(count: usize) -> [(Column, Bytes); 4] {
    let texts = |text: &dyn Fn(usize) -> String| {
        let mut bytes = Bytes::default();
        (0..count).for_each(|row| bytes.push(text(row).as_bytes()));
        bytes
    };
    let strange = |row: usize| format!("\t\n\r\\'\"\0é,{row}");
    let nulls = Some((0..count).map(|row| row % 3 == 2).collect());
    [
        (
            Column::new(Data::UInt64(vec![u64::MAX; count])),
            texts(&|_| u64::MAX.to_string()),
        ),
        (
            Column {
                data: Data::Bytes(texts(&strange)),
                nulls,
            },
            texts(&strange),
        ),
        (
            Column::new(Data::UInt32(vec![1_700_000_000; count])),
            texts(&|_| "2023-11-14 22:13:20".to_owned()),
        ),
        (
            Column::new(Data::UInt128(vec![0xfb; count])),
            texts(&|_| "00000000-0000-0000-0000-0000000000fb".to_owned()),
        ),
    ]
}

/// Reads a body, fills what it lacks, and reads the filled rows again.
fn fill_and_read_again(format: Format, body: &[u8], listed: &[&str]) -> (Body, Vec<String>) {
    let mut reader = Reader::new(format, TABLE, &["k", "s", "t", "u"]);
    if !listed.is_empty() {
        reader.listed = Some(listed.iter().map(|name| (*name).to_owned()).collect());
    }
    read_filled(reader, body)
}

fn read_filled(reader: Reader, body: &[u8]) -> (Body, Vec<String>) {
    let format = reader.format;
    let mut filled_body = Body::default();
    let mut columns = Vec::new();
    let mut filler = Filler::new(format.payload(), &reader.settings);
    let mut take = |rows: &Rows<'_>| {
        let values = values(rows.count);
        let fills: Vec<Fill<'_>> = (0..4)
            .map(|field| Fill {
                field,
                column: &reader.key[field],
                values: &values[field].0,
                texts: &values[field].1,
            })
            .collect();
        let filled = filler.fill(rows, &fills);
        columns = filled.columns.iter().map(|column| column.name.clone()).collect();
        filled_body.take(&filled);
        Ok::<(), FormatError>(())
    };
    let mut stream = reader.stream().unwrap();
    stream.push(body, &mut take).unwrap();
    stream.finish(&mut take).unwrap();
    let plain = Format::parse(format.payload().name()).unwrap();
    let again = Reader {
        format: plain,
        listed: Some(columns.clone()),
        ..reader
    };
    let joined = filled_body.joined(plain);
    let read = again
        .read_all(&joined)
        .unwrap_or_else(|error| panic!("{format:?} {}: {error}", joined.escape_ascii()));
    (read, columns)
}

/// That three rows which hold only `a` come out with the values of the other columns.
#[track_caller]
fn check(format: Format, body: &[u8], listed: &[&str]) {
    let (read, columns) = fill_and_read_again(format, body, listed);
    assert_eq!(columns, ["a", "k", "s", "t", "u"], "{format:?}");
    for (row, key) in read.key.iter().enumerate() {
        let text = format!("\t\n\r\\'\"\0é,{row}")
            .into_bytes()
            .escape_ascii()
            .to_string();
        let text = if row == 2 { "NULL".to_owned() } else { text };
        let expected = [
            u64::MAX.to_string(),
            text,
            "1700000000".to_owned(),
            "251".to_owned(),
        ];
        assert_eq!(key, &expected, "{format:?}");
    }
    assert_eq!(read.rows.len(), 3, "{format:?}");
}

#[test]
fn columns_that_the_insert_leaves_out_are_added_to_every_row() {
    check(Format::TabSeparated, b"1\n2\n3\n", &["a"]);
    check(Format::Csv, b"1\n2\n3\n", &["a"]);
    check(Format::Values, b"(1),(2), ( 3 ) ;", &["a"]);
    check(Format::RowBinary, b"\x01\x02\x03", &["a"]);
    check(Format::RowBinaryWithDefaults, b"\0\x01\0\x02\x01", &["a"]);
    check(Format::MsgPack, b"\x01\x02\x03", &["a"]);
    check(Format::JsonEachRow, b"{\"a\":1}\n{ }\n{\"a\" : 3 }\n", &["a"]);
    check(
        Format::BsonEachRow,
        &b"\x08\0\0\0\x0aa\0\0\x05\0\0\0\0\x0c\0\0\0\x10a\0\x01\0\0\0\0"[..],
        &["a"],
    );
}

#[test]
fn fields_that_say_they_have_no_value_are_replaced_where_they_stand() {
    let (read, columns) = fill_and_read_again(Format::Csv, b"1,,x,,\n2,7,\\N,,\n", &[]);
    assert_eq!(columns, ["a", "k", "s", "t", "u"]);
    assert_eq!(read.key[0], [&u64::MAX.to_string(), "x", "1700000000", "251"]);
    assert_eq!(read.key[1], ["7", "NULL", "1700000000", "251"]);
    let body = b"{\"t\":null,\"a\":1,\"k\":null}{\"k\":5,\"u\":null}";
    let (read, _) = fill_and_read_again(Format::JsonEachRow, body, &[]);
    let strange = |row: usize| {
        format!("\t\n\r\\'\"\0é,{row}")
            .into_bytes()
            .escape_ascii()
            .to_string()
    };
    assert_eq!(
        read.key[0],
        [&u64::MAX.to_string(), &strange(0), "1700000000", "251"]
    );
    assert_eq!(read.key[1], ["5", &strange(1), "1700000000", "251"]);
    let body = b"\x0b\0\0\0\x0ak\0\x0aa\0\0";
    let (read, _) = fill_and_read_again(Format::BsonEachRow, body, &[]);
    assert_eq!(read.key[0][0], u64::MAX.to_string());
}

#[test]
fn a_value_that_is_there_stays() {
    let body = b"\x01\x01\x07\0\0\0\0\0\0\0\0\0\x01x\x01\x01";
    let (read, _) = fill_and_read_again(
        Format::RowBinaryWithDefaults,
        &[&b"\0\x01\0"[..], &body[2..10], b"\0\0\x01x", b"\x01\x01"].concat(),
        &[],
    );
    assert_eq!(read.key[0], ["7", "x", "1700000000", "251"]);
}

/// The columns of `table` behind `a`, with two rows of values: as a body of JSONEachRow has them.
fn nested_values(table: &str, body: &str) -> (Vec<ColumnDef>, Vec<Column>) {
    let columns = crate::tests::columns(table);
    let names: Vec<&str> = columns[1..].iter().map(|column| column.name.as_str()).collect();
    let reader = Reader::new(Format::JsonEachRow, table, &names);
    let mut values = Vec::new();
    let mut stream = reader.stream().unwrap();
    let mut take = |rows: &Rows<'_>| {
        values = rows.key.to_vec();
        Ok::<(), FormatError>(())
    };
    stream.push(body.as_bytes(), &mut take).unwrap();
    stream.finish(&mut take).unwrap();
    (reader.key, values)
}

const NESTED: &str = "a UInt8, l Array(Nullable(String)), m Map(String, Array(Float64)), \
     t Tuple(x DateTime('UTC'), `y z` Decimal(9, 2)), u Tuple(UInt8, FixedString(2), Tuple(Date, Nullable(Int8))), \
     e Array(Enum8('it\\'s' = -1, 'b' = 2)), d Map(Date, IPv4), w Array(Tuple(UInt256, Bool, UUID, IPv6)), \
     s Array(DateTime64(3, 'Asia/Tokyo'))";

const NESTED_ROWS: &str = r#"{"l":["\t\n\r\\'\"\u0000é,]",null,""],"m":{"k'\t":[1.5,-1e300,"nan","-inf"],"":[]},
 "t":{"x":5,"y z":-1.05},"u":[7,"z",["1970-01-02",null]],"e":["it's","b"],"d":{"2020-01-02":"1.2.3.4"},
 "w":[[123456789012345678901234567890,true,"00000000-0000-0001-0000-000000000002","2001:db8::1"]],
 "s":["2020-01-01 00:00:00.250"]}
{"t":{"x":1700000000,"y z":0}}
"#;

#[test]
fn values_with_others_inside_are_written_as_they_are_read() {
    let (key, values) = nested_values(NESTED, NESTED_ROWS);
    let shown = |row| -> Vec<String> {
        let show = |column| crate::tests::show(column, row);
        values.iter().map(show).collect()
    };
    let expected = [shown(0), shown(1)];
    let texts = Bytes::default();
    let bodies: [(Format, &[u8]); 12] = [
        (Format::TabSeparated, b"1\n2\n"),
        (Format::Tskv, b"a=1\na=2\n"),
        (Format::Csv, b"1\n2\n"),
        (Format::Values, b"(1),(2)"),
        (Format::JsonEachRow, b"{\"a\":1}{}"),
        (Format::JsonCompactEachRow, b"[1][2]"),
        (Format::JsonStringsEachRow, b"{\"a\":\"1\"}{}"),
        (Format::JsonCompactStringsEachRow, b"[\"1\"][\"2\"]"),
        (Format::RowBinary, b"\x01\x02"),
        (Format::RowBinaryWithDefaults, b"\0\x01\x01"),
        (Format::MsgPack, b"\x01\x02"),
        (Format::BsonEachRow, b"\x08\0\0\0\x0aa\0\0\x05\0\0\0\0"),
    ];
    for (format, body) in bodies {
        let mut reader = Reader {
            format,
            columns: crate::tests::columns(NESTED),
            key: key.clone(),
            listed: Some(vec!["a".to_owned()]),
            ..Reader::new(format, NESTED, &[])
        };
        reader.settings.csv_detect_header = false;
        let mut filler = Filler::new(format.payload(), &reader.settings);
        let mut filled_body = Body::default();
        let mut take = |rows: &Rows<'_>| {
            let fill = |field| Fill {
                field,
                column: &key[field],
                values: &values[field],
                texts: &texts,
            };
            let fills: Vec<Fill<'_>> = (0..key.len()).map(fill).collect();
            filled_body.take(&filler.fill(rows, &fills));
            Ok::<(), FormatError>(())
        };
        let mut stream = reader.stream().unwrap();
        stream.push(body, &mut take).unwrap();
        stream.finish(&mut take).unwrap();
        reader.listed = None;
        let joined = filled_body.joined(format);
        if let Ok(directory) = std::env::var("FILLED") {
            std::fs::write(format!("{directory}/{}", format.name()), &joined).unwrap();
        }
        let again = reader
            .read_all(&joined)
            .unwrap_or_else(|error| panic!("{format:?} {}: {error}", joined.escape_ascii()));
        assert_eq!(again.key, expected, "{format:?} {}", joined.escape_ascii());
    }
}

/// ClickHouse 26.9 answers `"false"` with code 467, in quotes of any kind, and takes every other type in quotes.
#[test]
fn a_bool_stands_in_csv_without_quotes() {
    let written = |data_type: &str, text: &[u8]| {
        let mut out = Vec::new();
        super::syntax::csv(&DataType::parse(data_type).unwrap(), text, &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(written("Bool", b"false"), "false");
    assert_eq!(written("Nullable(Bool)", b"true"), "true");
    assert_eq!(written("UInt8", b"1"), "\"1\"");
}

#[test]
fn null_is_written_by_the_sign_that_the_client_s_settings_say() {
    let signs = [
        (Format::Csv, "format_csv_null_representation"),
        (Format::TabSeparated, "format_tsv_null_representation"),
        (Format::Tskv, "format_tsv_null_representation"),
    ];
    for (format, setting) in signs {
        let mut reader = Reader::new(format, TABLE, &["k", "s", "t", "u"]).with(setting, "nil");
        reader.listed = Some(vec!["a".to_owned()]);
        let body: &[u8] = match format {
            Format::Tskv => b"a=1\na=2\na=3\n",
            _ => b"1\n2\n3\n",
        };
        let (read, _) = read_filled(reader, body);
        assert_eq!(read.key[2][1], "NULL", "{format:?}");
    }
}

#[test]
fn texts_are_not_written_where_csv_may_have_no_quotes() {
    let settings = Settings::read([("format_csv_allow_double_quotes", "0")]).unwrap();
    let filler = Filler::new(Payload::Csv, &settings);
    let refusal = |column: &str| filler.check(&columns(column)[0]).err().map(|error| error.code);
    assert_eq!(refusal("s Nullable(String)"), Some(code::NOT_IMPLEMENTED));
    assert_eq!(refusal("a Array(UInt8)"), Some(code::NOT_IMPLEMENTED));
    assert_eq!(refusal("k UInt64"), None);
    assert_eq!(refusal("b Bool"), None);
}
