use std::time::Duration;

use formats::{Format, RowStream, Settings, Spec};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use sharding::Key;
use types::DataType;

use super::*;

/// A column: name, type, kind and expression of its default.
type Told<'a> = (&'a str, &'a str, DefaultKind, &'a str);

const PLAIN: DefaultKind = DefaultKind::None;
const DEFAULT: DefaultKind = DefaultKind::Default;
const MATERIALIZED: DefaultKind = DefaultKind::Materialized;

struct Table {
    columns: Vec<ColumnDef>,
    insertable: Vec<ColumnDef>,
    defaults: Defaults,
    key: Key,
}

fn table(key: &str, told: &[Told<'_>]) -> Table {
    let described: Vec<DescribedColumn> = told
        .iter()
        .map(|(name, type_name, kind, expression)| DescribedColumn {
            name: (*name).to_owned(),
            type_name: (*type_name).to_owned(),
            default_kind: *kind,
            default_expression: (*expression).to_owned(),
        })
        .collect();
    let columns: Vec<ColumnDef> = told
        .iter()
        .map(|(name, type_name, ..)| ColumnDef {
            name: (*name).to_owned(),
            data_type: DataType::parse(type_name).unwrap(),
        })
        .collect();
    let is_insertable =
        |(described, _): &(&DescribedColumn, &ColumnDef)| described.default_kind.is_insertable();
    let insertable = described.iter().zip(&columns).filter(is_insertable);
    Table {
        insertable: insertable.map(|(_, column)| column.clone()).collect(),
        defaults: Defaults::new("db.t", &described, &columns, "UTC"),
        key: Key::compile(key, &columns).unwrap(),
        columns,
    }
}

/// The rows as they are stored, with the key's columns' values, row by row.
type Stored = (Vec<String>, Vec<Vec<String>>);

fn insert(table: &Table, format: Format, listed: &[&str], body: &[u8]) -> Result<Stored, Exception> {
    insert_by(table, format, listed, body, |_| {})
}

fn insert_by(
    table: &Table,
    format: Format,
    listed: &[&str],
    body: &[u8],
    change: impl FnOnce(&mut Filling),
) -> Result<Stored, Exception> {
    let reading = Settings::default();
    let context = Context {
        now: Duration::from_secs(1_700_000_000),
        user: "app".to_owned(),
        ..Context::default()
    };
    let mut filling = table
        .defaults
        .filling(table.key.columns(), format.payload(), &reading, context)?;
    let listed: Vec<String> = listed.iter().map(|name| (*name).to_owned()).collect();
    let listed = (!listed.is_empty()).then_some(listed.as_slice());
    filling.refuse_left_out(listed)?;
    change(&mut filling);
    let (read, watched) = (filling.read().to_vec(), filling.watched().to_vec());
    let spec = Spec {
        columns: &table.insertable,
        listed,
        key: &read,
        watched: &watched,
        settings: &reading,
        time_zone: "UTC",
        max_row_bytes: 1 << 20,
        payload: None,
        check_values: false,
        scratch: None,
    };
    let mut stream = RowStream::new(format, &spec)?;
    let mut stored = Stored::default();
    let mut rng = SmallRng::seed_from_u64(1);
    let mut take = |rows: &Rows<'_>| -> Result<(), Exception> {
        let filled = filling.fill(rows, 1, &mut rng)?;
        let RowsBody::Ranges { bytes, ranges } = filled.rows.body else {
            panic!("rows lie one behind the other")
        };
        for (row, range) in ranges.iter().enumerate() {
            stored
                .0
                .push(String::from_utf8_lossy(&bytes[range.clone()]).into_owned());
            let shown = filled.key.iter().map(|column| show(column, row));
            stored.1.push(shown.collect());
        }
        Ok(())
    };
    stream.push(body, &mut take)?;
    stream.finish(&mut take)?;
    Ok(stored)
}

fn show(column: &Column, row: usize) -> String {
    match &column.data {
        Data::UInt64(values) => values[row].to_string(),
        Data::UInt32(values) => values[row].to_string(),
        Data::UInt8(values) => values[row].to_string(),
        Data::Bytes(values) => String::from_utf8_lossy(values.get(row)).into_owned(),
        other => format!("{other:?}"),
    }
}

#[track_caller]
fn check(table: &Table, format: Format, listed: &[&str], body: &str, rows: &[&str], key: &[&[&str]]) {
    let stored = insert(table, format, listed, body.as_bytes()).unwrap();
    assert_eq!(stored.0, rows);
    assert_eq!(stored.1, key);
}

#[test]
fn a_key_column_that_a_row_leaves_out_is_computed_and_written() {
    let told = [
        ("k", "UInt64", DEFAULT, "length(s) * 10"),
        ("s", "String", PLAIN, ""),
    ];
    let table = table("k", &told);
    check(
        &table,
        Format::JsonEachRow,
        &[],
        r#"{"s":"abc"}{"k":7,"s":""}{"k":null,"s":"x"}"#,
        &[
            r#"{"s":"abc","k":30}"#,
            r#"{"k":7,"s":""}"#,
            r#"{"k":10,"s":"x"}"#,
        ],
        &[&["30"], &["7"], &["10"]],
    );
    check(
        &table,
        Format::TabSeparated,
        &["s"],
        "abc\nx\n",
        &["abc\t30", "x\t10"],
        &[&["30"], &["10"]],
    );
    check(
        &table,
        Format::Csv,
        &[],
        ",abc\n5,x\n",
        &["\"30\",abc", "5,x"],
        &[&["30"], &["5"]],
    );
}

#[test]
fn a_key_column_without_an_expression_is_its_type_s_default_and_is_written_too() {
    let table = table("k", &[("k", "UInt64", PLAIN, ""), ("s", "String", PLAIN, "")]);
    check(&table, Format::Values, &["s"], "('a')", &["('a',0)"], &[&["0"]]);
}

#[test]
fn defaults_that_read_other_defaults_are_computed_in_order() {
    let told = [
        ("k", "UInt64", DEFAULT, "length(s) + 1"),
        ("s", "String", DEFAULT, "concat(t, '!')"),
        ("t", "String", PLAIN, ""),
    ];
    let table = table("k", &told);
    let rows = [r#"{"t":"ab","k":4}"#, r#"{"k":9}"#];
    check(
        &table,
        Format::JsonEachRow,
        &[],
        r#"{"t":"ab"}{"k":9}"#,
        &rows,
        &[&["4"], &["9"]],
    );
}

#[test]
fn a_materialized_column_of_the_key_is_computed_and_never_written() {
    let told = [
        ("s", "String", PLAIN, ""),
        ("m", "UInt64", MATERIALIZED, "length(s)"),
    ];
    let table = table("m + 1", &told);
    check(
        &table,
        Format::TabSeparated,
        &[],
        "abc\nx\n",
        &["abc", "x"],
        &[&["3"], &["1"]],
    );
}

#[test]
fn a_default_that_is_no_function_of_the_row_is_written_into_every_row_without_a_value() {
    let told = [
        ("k", "UInt64", PLAIN, ""),
        ("at", "DateTime", DEFAULT, "now()"),
        ("who", "String", DEFAULT, "currentUser()"),
    ];
    let table = table("k", &told);
    check(
        &table,
        Format::JsonEachRow,
        &[],
        r#"{"k":1}{"k":2,"at":"2020-01-01T00:00:00Z","who":"me"}"#,
        &[
            r#"{"k":1,"at":"1700000000","who":"app"}"#,
            r#"{"k":2,"at":"2020-01-01T00:00:00Z","who":"me"}"#,
        ],
        &[&["1"], &["2"]],
    );
    check(
        &table,
        Format::Csv,
        &["k"],
        "1\n",
        &["1,\"1700000000\",\"app\""],
        &[&["1"]],
    );
}

#[test]
fn random_defaults_are_drawn_once_a_row() {
    let told = [
        ("k", "UInt64", PLAIN, ""),
        ("u", "UUID", DEFAULT, "generateUUIDv4()"),
    ];
    let stored = insert(&table("k", &told), Format::TabSeparated, &["k"], b"1\n2\n").unwrap();
    let uuid = |row: usize| stored.0[row].split('\t').nth(1).unwrap().to_owned();
    assert_eq!(uuid(0).len(), 36);
    assert_ne!(uuid(0), uuid(1));
}

#[test]
fn a_default_that_cannot_be_computed_is_refused_where_it_is_needed_and_by_its_name() {
    let told = [
        ("k", "UInt64", DEFAULT, "dictGetUInt64('d', 'a', 1)"),
        ("s", "String", PLAIN, ""),
    ];
    let table = table("k", &told);
    check(&table, Format::TabSeparated, &[], "5\tx\n", &["5\tx"], &[&["5"]]);
    let left_out = insert(&table, Format::TabSeparated, &["s"], b"x\n").unwrap_err();
    assert!(left_out.message.contains("dictGetUInt64"), "{}", left_out.message);
    let absent = insert(&table, Format::JsonEachRow, &[], b"{\"k\":1}{\"s\":\"x\"}").unwrap_err();
    assert!(
        absent.message.starts_with("Row 2 has no value for column k"),
        "{}",
        absent.message
    );
}

#[test]
fn a_key_over_what_no_row_can_give_is_refused_when_the_table_is_configured() {
    let told = [
        ("s", "String", PLAIN, ""),
        ("m", "UInt64", MATERIALIZED, "dictGetUInt64('d', 'a', s)"),
        ("r", "UInt32", MATERIALIZED, "rand()"),
        ("a", "UInt64", DefaultKind::Alias, "length(s)"),
    ];
    for key in ["m", "r", "a"] {
        let table = table(key, &told);
        let refused = table.defaults.check_key(table.key.columns()).unwrap_err();
        assert!(
            refused.message.contains(&format!("column {key}")),
            "{}",
            refused.message
        );
    }
}

#[test]
fn a_row_whose_default_has_no_value_is_named() {
    let told = [
        ("k", "UInt64", DEFAULT, "toUInt64(s)"),
        ("s", "String", PLAIN, ""),
    ];
    let error = insert(&table("k", &told), Format::TabSeparated, &["s"], b"1\nx\n").unwrap_err();
    assert!(error.message.contains("row 2"), "{}", error.message);
    assert_eq!(error.code, 6);
}

#[test]
fn every_column_of_a_table_is_known_by_its_name() {
    let table = table("k", &[("k", "UInt64", PLAIN, "")]);
    assert_eq!(table.columns.len(), 1);
    assert_eq!(table.defaults.place("k"), Some(0));
    assert_eq!(table.defaults.place("z"), None);
}

#[test]
fn what_a_given_column_s_default_reads_is_not_asked_for() {
    const EPHEMERAL: DefaultKind = DefaultKind::Ephemeral;
    let told = [
        ("fe", "UInt64", DEFAULT, "length(ee)"),
        ("ee", "String", EPHEMERAL, "dictGetString('d', 'a', 1)"),
        ("k", "UInt8", PLAIN, ""),
    ];
    let table = table("fe", &told);
    let given = ["k", "fe"];
    check(
        &table,
        Format::TabSeparated,
        &given,
        "1\t5\n",
        &["1\t5"],
        &[&["5"]],
    );
    let rows = [r#"{"k":1,"fe":5}"#, r#"{"ee":"abc","fe":3}"#];
    let body = r#"{"k":1,"fe":5}{"ee":"abc"}"#;
    check(&table, Format::JsonEachRow, &[], body, &rows, &[&["5"], &["3"]]);
    let refused = insert(&table, Format::TabSeparated, &["k"], b"1\n").unwrap_err();
    assert_eq!(refused.status, 501);
    assert!(
        refused.message.contains("leaves out column ee"),
        "{}",
        refused.message
    );
    assert!(refused.message.contains("give the column"), "{}", refused.message);
}

#[test]
fn an_ephemeral_column_without_an_expression_is_its_type_s_default() {
    let told = [
        ("fe", "UInt64", DEFAULT, "length(ee) + 1"),
        (
            "ee",
            "String",
            DefaultKind::Ephemeral,
            "defaultValueOfTypeName('String')",
        ),
        ("k", "UInt8", PLAIN, ""),
    ];
    let rows = [r#"{"k":1,"fe":1}"#];
    check(
        &table("fe", &told),
        Format::JsonEachRow,
        &[],
        r#"{"k":1}"#,
        &rows,
        &[&["1"]],
    );
}

#[test]
fn a_key_that_no_insert_can_serve_is_a_mistake_that_a_reload_cures() {
    let told = [
        ("s", "String", PLAIN, ""),
        ("a", "UInt64", DefaultKind::Alias, "length(s)"),
    ];
    let table = table("a", &told);
    let refused = table.defaults.check_key(table.key.columns()).unwrap_err();
    assert_eq!((refused.status.as_u16(), refused.retry_after), (503, Some(30)));
}

#[test]
fn a_default_that_reads_an_alias_is_one_that_cannot_be_computed() {
    let told = [
        ("k", "UInt64", DEFAULT, "a + 1"),
        ("s", "String", PLAIN, ""),
        ("a", "UInt64", DefaultKind::Alias, "length(s)"),
    ];
    let table = table("k", &told);
    check(
        &table,
        Format::TabSeparated,
        &["k", "s"],
        "5\tx\n",
        &["5\tx"],
        &[&["5"]],
    );
    assert_eq!(
        insert(&table, Format::TabSeparated, &["s"], b"x\n")
            .unwrap_err()
            .status,
        501
    );
    assert_eq!(table.defaults.check_key(table.key.columns()).unwrap().len(), 1);
}

#[test]
fn what_is_left_to_the_shards_is_told() {
    let told = [
        ("k", "UInt64", DEFAULT, "JSONExtractUInt(s, 'q')"),
        ("s", "String", PLAIN, ""),
        ("id", "UInt64", DEFAULT, "generateSnowflakeID()"),
        ("m", "DateTime", MATERIALIZED, "now()"),
        ("r", "Array(UInt32)", DEFAULT, "[rand()]"),
        ("at", "DateTime", DEFAULT, "CURRENT_TIMESTAMP + toIntervalDay(1)"),
    ];
    let table = table("k", &told);
    let key = table.defaults.check_key(table.key.columns()).unwrap();
    assert!(
        key[0].starts_with("column k, which the sharding key needs"),
        "{key:?}"
    );
    let left = table.defaults.left_to_shards();
    let columns: Vec<&str> = left.iter().filter_map(|text| text.split(' ').nth(1)).collect();
    assert_eq!(columns, ["id", "m"], "{left:#?}");
}

#[test]
fn moments_further_on_and_lists_of_draws_are_written() {
    let told = [
        ("k", "UInt64", PLAIN, ""),
        (
            "until",
            "DateTime",
            DEFAULT,
            "CURRENT_TIMESTAMP + toIntervalDay(1)",
        ),
        (
            "hour",
            "DateTime",
            DEFAULT,
            "toStartOfInterval(now(), toIntervalHour(1))",
        ),
        (
            "who",
            "Map(String, String)",
            DEFAULT,
            "map('user', currentUser())",
        ),
    ];
    let row = "1\t1700086400\t1699999200\t{'user':'app'}";
    check(
        &table("k", &told),
        Format::TabSeparated,
        &["k"],
        "1\n",
        &[row],
        &[&["1"]],
    );
}

#[test]
fn a_row_whose_shard_would_be_drawn_is_refused_where_it_must_find_it_again() {
    let told: [Told<'_>; 4] = [
        ("id", "UInt32", DEFAULT, "rand()"),
        ("k", "UInt64", DEFAULT, "id + 1"),
        ("d", "UInt64", DEFAULT, "n + 1"),
        ("n", "UInt64", PLAIN, ""),
    ];
    let again = |key: &str, body: &str| {
        let table = table(key, &told);
        insert_by(
            &table,
            Format::JsonEachRow,
            &[],
            body.as_bytes(),
            Filling::refuse_drawn_keys,
        )
    };
    let error = again("k", "{\"id\":1}\n{\"n\":1}").unwrap_err();
    assert!(
        error.message.contains("row 2 has no value for column id"),
        "{error}"
    );
    assert!(
        again("k", "{\"k\":1}\n{\"id\":1}").is_ok(),
        "nothing is drawn for the key"
    );
    assert!(again("d", "{\"n\":1}").is_ok(), "the row says it");
}
