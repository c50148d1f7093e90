//! Random tables, rows, formats, omitted columns and sharding keys, through Weir and through ClickHouse 26.x: every shard
//! must hold exactly the rows that ClickHouse would have put there, with the values that a direct INSERT gives them.
//!
//! ClickHouse makes the rows (`generateRandom`), writes the bodies, computes the key, and reads the result. A run is fixed
//! by its seed, which it prints: `WEIR_TEST_SEED=7 WEIR_TEST_DRAWS=5000`.

use std::fmt::Write;
use std::time::Duration;

use support::{Endpoint, Modern, Weir, WeirConfig, wait_for};

use crate::setup::DELIVERY_LIMIT;

/// Draws that share a reload of the configuration and a wait for delivery.
const DRAWS_AT_ONCE: usize = 25;

/// Draws that Weir may refuse by name (a type that a format cannot carry in a key, say) of a hundred.
const REFUSED_PERCENT_MAX: usize = 3;

const WEIGHTS: [u64; 3] = [3, 3, 4];

/// Types of the columns; those in front can be in a key.
const KEY_TYPES: [&str; 29] = [
    "UInt8",
    "UInt16",
    "UInt32",
    "UInt64",
    "UInt128",
    "UInt256",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "Int128",
    "Int256",
    "String",
    "FixedString(5)",
    "Date",
    "Date32",
    "DateTime('UTC')",
    "DateTime64(3, 'UTC')",
    "UUID",
    "IPv4",
    "IPv6",
    "Bool",
    "Enum8('a' = 1, 'b' = -2)",
    "Decimal(9, 2)",
    "Decimal(18, 4)",
    "LowCardinality(String)",
    "Nullable(Int32)",
    "Nullable(String)",
    "LowCardinality(Nullable(String))",
];
const OTHER_TYPES: [&str; 9] = [
    "Float32",
    "Float64",
    "Array(UInt16)",
    "Array(Nullable(String))",
    "Array(Array(Int32))",
    "Tuple(x UInt8, y String)",
    "Map(String, UInt64)",
    "Decimal(38, 10)",
    "Array(LowCardinality(String))",
];

/// Formats of the bodies.
const FORMATS: [&str; 27] = [
    "JSONEachRow",
    "JSONStringsEachRow",
    "JSONCompactEachRow",
    "JSONCompactStringsEachRow",
    "JSONCompactEachRowWithNames",
    "JSONCompactEachRowWithNamesAndTypes",
    "JSON",
    "JSONCompact",
    "JSONColumns",
    "TabSeparated",
    "TabSeparatedWithNames",
    "TabSeparatedWithNamesAndTypes",
    "TSKV",
    "CSV",
    "CSVWithNames",
    "CSVWithNamesAndTypes",
    "CustomSeparated",
    "Values",
    "RowBinary",
    "RowBinaryWithNames",
    "RowBinaryWithNamesAndTypes",
    "Native",
    "MsgPack",
    "BSONEachRow",
    "Parquet",
    "Arrow",
    "ArrowStream",
];

/// SplitMix64: enough chance for a test, the same on every machine.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        // Far below 2^32, so the remainder's bias does not matter.
        (self.next() % end as u64) as usize
    }

    fn one_of<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }

    fn happens(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

#[derive(Debug, Clone)]
struct Column {
    name: String,
    kind: &'static str,
    /// The DEFAULT expression, where it has one.
    default: Option<String>,
}

/// One table with its rows and how they are sent.
#[derive(Debug, Clone)]
struct Draw {
    number: usize,
    columns: Vec<Column>,
    key: String,
    format: &'static str,
    /// The columns that the body holds.
    sent: Vec<String>,
    /// Whether the INSERT lists them, where the format's names would tell as well.
    listed: bool,
    rows: usize,
    seed: u64,
}

impl Draw {
    fn new(number: usize, chance: &mut Chance) -> Self {
        let count = 2 + chance.below(6);
        let mut columns: Vec<Column> = Vec::new();
        for index in 0..count {
            let kind = match index < 2 || chance.happens(60) {
                true => chance.one_of(&KEY_TYPES),
                false => chance.one_of(&OTHER_TYPES),
            };
            let default = chance.happens(25).then(|| default_of(kind, &columns)).flatten();
            columns.push(Column {
                name: format!("c{index}"),
                kind,
                default,
            });
        }
        let key = key_of(&columns, chance);
        let format = chance.one_of(&FORMATS);
        let listed = chance.happens(50);
        let mut sent: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        if chance.happens(40) {
            // A column that neither the INSERT nor a row names, but a header or a block leaves out, gets from 26.9 what no
            // other INSERT gives: an Enum 0, which it cannot read again, a Date32 1970.
            let keeps = |kind: &str| !listed && (kind.starts_with("Enum") || kind == "Date32");
            sent.retain(|name| {
                let is_kept = |column: &Column| column.name == *name && keeps(column.kind);
                columns.iter().any(is_kept) || !chance.happens(30)
            });
        }
        if sent.is_empty() {
            sent.push("c0".to_owned());
        }
        Self {
            number,
            columns,
            key,
            format,
            listed,
            sent,
            rows: 1 + chance.below(40),
            seed: chance.next() % 1_000_000,
        }
    }

    fn table(&self) -> String {
        format!("t{}", self.number)
    }

    fn definitions(&self, with_defaults: bool) -> String {
        let definition = |column: &Column| match &column.default {
            Some(default) if with_defaults => format!("{} {} DEFAULT {default}", column.name, column.kind),
            _ => format!("{} {}", column.name, column.kind),
        };
        let definitions: Vec<_> = self.columns.iter().map(definition).collect();
        definitions.join(", ")
    }

    /// The rows to send, as ClickHouse writes them.
    fn body(&self, server: &Endpoint) -> Vec<u8> {
        let structure = self.definitions(false).replace('\'', "\\'");
        let sql = format!(
            "SELECT {} FROM generateRandom('{structure}', {}, 12, 3) LIMIT {} FORMAT {}",
            self.sent.join(", "),
            self.seed,
            self.rows,
            self.format
        );
        server
            .request("POST", "/")
            .body(sql)
            .answer()
            .expect_success()
            .body
    }

    fn insert(&self, table: &str) -> String {
        let names_are_told = self.format.contains("Names")
            || [
                "JSONEachRow",
                "JSONStringsEachRow",
                "JSON",
                "JSONColumns",
                "TSKV",
                "Native",
                "BSONEachRow",
                "Parquet",
                "Arrow",
                "ArrowStream",
            ]
            .contains(&self.format);
        let is_whole = self.sent.len() == self.columns.len();
        let columns = if self.listed || !(names_are_told || is_whole) {
            format!(" ({})", self.sent.join(", "))
        } else {
            String::new()
        };
        format!("INSERT INTO {table}{columns} FORMAT {}", self.format)
    }

    /// The slot as ClickHouse would compute it, in SQL.
    fn slot(&self) -> String {
        let sum: u64 = WEIGHTS.iter().sum();
        // A signed value of up to four bytes counts as UInt32, one of eight as UInt64.
        let key = &self.key;
        let name = format!("toTypeName({key})");
        format!(
            "(multiIf({name} IN ('Int8', 'Int16', 'Int32'), toUInt64(toUInt32({key})), toUInt64({key})) % {sum})"
        )
    }
}

/// A default that Weir computes; those without one are the type's own.
fn default_of(kind: &str, before: &[Column]) -> Option<String> {
    let text = before.iter().find(|column| column.kind == "String");
    let number = before.iter().find(|column| column.kind == "UInt32");
    Some(match (kind, text, number) {
        ("UInt64", Some(text), _) => format!("cityHash64({})", text.name),
        ("UInt64", None, _) => "12345678901".to_owned(),
        ("UInt32" | "Int64" | "UInt8", _, Some(number)) => format!("{} + 7", number.name),
        ("UInt32" | "Int64" | "UInt8", ..) => "42".to_owned(),
        ("String", Some(text), _) => format!("concat({}, '-x')", text.name),
        ("String", None, _) => "'none'".to_owned(),
        ("Date", ..) => "toDate('2024-05-06')".to_owned(),
        ("UUID", ..) => "toUUID('00010203-0405-0607-0809-0a0b0c0d0e0f')".to_owned(),
        _ => return None,
    })
}

/// A key over some of the columns.
fn key_of(columns: &[Column], chance: &mut Chance) -> String {
    let of_key: Vec<&Column> = columns
        .iter()
        .filter(|column| KEY_TYPES.contains(&column.kind))
        .collect();
    let plain: Vec<&&Column> = of_key
        .iter()
        .filter(|column| !column.kind.contains("Nullable"))
        .collect();
    let Some(first) = plain.get(chance.below(plain.len().max(1))) else {
        return "rand() * 0 + 1".to_owned();
    };
    let name = &first.name;
    let any = &of_key[chance.below(of_key.len())].name;
    let is_small_integer = [
        "UInt8", "UInt16", "UInt32", "UInt64", "Int8", "Int16", "Int32", "Int64",
    ]
    .contains(&first.kind);
    let is_text = first.kind == "String" || first.kind == "FixedString(5)";
    match chance.below(10) {
        0 if is_small_integer => name.clone(),
        1 if is_small_integer => format!("intHash64({name})"),
        2 if is_small_integer => format!("{name} % 7"),
        3 if is_text => format!("xxHash64({name})"),
        4 if is_text => format!("length({name})"),
        5 if first.kind.starts_with("Date") => format!("toYYYYMM({name})"),
        6 => format!("sipHash64({name})"),
        7 => format!("murmurHash3_64({name})"),
        8 => format!("farmHash64({name})"),
        _ if first.name != *any
            && !columns
                .iter()
                .any(|c| c.name == *any && c.kind.contains("Nullable")) =>
        {
            format!("cityHash64({name}, {any})")
        }
        _ => format!("cityHash64({name})"),
    }
}

/// A number from the environment.
fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |value| value.parse().expect("a number"))
}

fn config_of(draw: &Draw) -> String {
    format!(
        "[[table]]\nname = \"default.{0}\"\ncluster = \"main\"\ntarget = \"s1.{0}\"\nsharding_key = \"{1}\"\n",
        draw.table(),
        draw.key.replace('"', "\\\"")
    )
}

/// The end of the configuration, in front of which a round's tables are put.
const END: &str = "# the round's tables\n";

fn router(server: &Endpoint) -> Weir {
    let mut sections = "[cluster.main]\ninternal_replication = true\nuser = \"default\"\n".to_owned();
    for (shard, weight) in WEIGHTS.iter().enumerate() {
        let number = shard + 1;
        let _ = writeln!(
            sections,
            "[[cluster.main.shard]]\nname = \"s{number}\"\nweight = {weight}\n\
             replica = [ {{ url = \"http://{}\", local = false, database = \"s{number}\" }} ]",
            server.address
        );
    }
    sections += "[[table]]\nname = \"default.none\"\ncluster = \"main\"\ntarget = \"s1.none\"\nsharding_key = \"1\"\n";
    sections += END;
    Weir::start(&WeirConfig {
        sections,
        send: "max_batch_delay = \"20ms\"\nlocal_insert_timeout = \"60s\"".into(),
        ..WeirConfig::default()
    })
}

/// What came of a draw.
#[derive(Debug, PartialEq, Eq)]
enum Sent {
    Taken,
    /// Neither takes them.
    Neither,
    /// By Weir alone, with a reason.
    Refused(String),
}

/// Sends the rows both ways.
fn send(draw: &Draw, server: &Endpoint, weir: &Weir) -> Sent {
    let table = draw.table();
    server.query(&format!(
        "CREATE TABLE direct.{table} ({}) ENGINE = Memory",
        draw.definitions(true)
    ));
    let bytes = draw.body(server);
    let direct = server.insert(&draw.insert(&format!("direct.{table}")), bytes.clone());
    let through_weir = weir.http.insert(&draw.insert(&format!("default.{table}")), bytes);
    let refused_directly = direct.status != 200;
    match through_weir.status {
        200 => {
            assert!(
                !refused_directly,
                "{draw:?}: ClickHouse refuses what Weir takes: {}",
                direct.text()
            );
            Sent::Taken
        }
        400 | 501 if refused_directly => Sent::Neither,
        // What ClickHouse takes from the client it must take from Weir.
        400 | 501 if through_weir.text().contains("A shard of") => {
            panic!("{draw:?}: {}", through_weir.text())
        }
        400 | 501 => Sent::Refused(format!("{} {}: {}", draw.format, draw.key, through_weir.text())),
        status => panic!("{draw:?}: {status} {}", through_weir.text()),
    }
}

/// Panics unless every shard holds the rows of its slots.
fn compare(draw: &Draw, server: &Endpoint) {
    let (table, slot) = (draw.table(), draw.slot());
    let names: Vec<_> = draw.columns.iter().map(|column| column.name.as_str()).collect();
    let (names, mut low) = (names.join(", "), 0);
    for (shard, weight) in WEIGHTS.iter().enumerate() {
        let range = format!("{slot} >= {low} AND {slot} < {}", low + weight);
        low += weight;
        let select = |from: &str, condition: &str| {
            let sql = format!("SELECT {names} FROM {from}.{table} WHERE {condition} FORMAT TabSeparated");
            let read = server
                .try_query(&sql)
                .unwrap_or_else(|error| panic!("{draw:#?}: {error}"));
            let mut rows: Vec<String> = read.lines().map(str::to_owned).collect();
            rows.sort();
            rows
        };
        let expected = select("direct", &range);
        let held = select(&format!("s{}", shard + 1), "1");
        assert_eq!(held, expected, "shard {} of {draw:#?}", shard + 1);
    }
}

/// A round of draws: tables, one reload, the rows, one wait, the comparison.
fn round(draws: &[Draw], server: &Endpoint, weir: &Weir) -> Vec<String> {
    for draw in draws {
        for database in ["s1", "s2", "s3"] {
            let (table, columns) = (draw.table(), draw.definitions(true));
            server.query(&format!(
                "CREATE TABLE {database}.{table} ({columns}) ENGINE = MergeTree ORDER BY tuple()"
            ));
        }
    }
    let tables: String = draws.iter().map(config_of).collect();
    weir.edit_config(END, &format!("{END}{tables}"));
    weir.hang_up();
    let last = draws.last().expect("a round has draws");
    wait_for("the tables to be routed", Duration::from_secs(20), || {
        let answer = weir
            .http
            .try_query(&format!("DESCRIBE TABLE default.{}", last.table()));
        answer.is_ok().then_some(())
    });
    let sent: Vec<Sent> = draws.iter().map(|draw| send(draw, server, weir)).collect();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    let mut refusals = Vec::new();
    for (draw, sent) in draws.iter().zip(sent) {
        match sent {
            Sent::Taken => compare(draw, server),
            Sent::Neither => {}
            Sent::Refused(why) => refusals.push(why),
        }
        for database in ["s1", "s2", "s3", "direct"] {
            server.query(&format!("DROP TABLE {database}.{}", draw.table()));
        }
    }
    weir.edit_config(&tables, "");
    refusals
}

#[test]
fn random_tables_rows_and_keys_arrive_as_clickhouse_would_have_placed_them() {
    let (seed, draws) = (
        number("WEIR_TEST_SEED", 1),
        number("WEIR_TEST_DRAWS", 100) as usize,
    );
    println!("WEIR_TEST_SEED={seed} WEIR_TEST_DRAWS={draws}");
    let server = Modern::start();
    for database in ["s1", "s2", "s3", "direct"] {
        server.http.query(&format!("CREATE DATABASE {database}"));
    }
    let weir = router(&server.http);
    let mut chance = Chance(seed);
    let all: Vec<Draw> = (0..draws).map(|number| Draw::new(number, &mut chance)).collect();
    let mut refusals = Vec::new();
    for draws in all.chunks(DRAWS_AT_ONCE) {
        refusals.extend(round(draws, &server.http, &weir));
    }
    for refusal in &refusals {
        println!("refused: {refusal}");
    }
    println!(
        "{} of {draws} draws agree, {} are refused by name",
        draws - refusals.len(),
        refusals.len()
    );
    assert!(
        refusals.len() * 100 <= draws * REFUSED_PERCENT_MAX,
        "{} of {draws} draws are refused:\n{}",
        refusals.len(),
        refusals.join("\n")
    );
}
