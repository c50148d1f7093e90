//! Every format as ClickHouse itself wrote it arrives as it would by a direct INSERT: alone, and joined with others in
//! one batch.
//!
//! The bodies are `formats/golden/all_types.*`, written by ClickHouse 26.9; the shards are three databases of one server.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use support::{ClickHouse18, Endpoint, Modern, Options, Weir, WeirConfig, wait_for};

use crate::setup::DELIVERY_LIMIT;

/// The weights of the golden rows' slots (`rows.jsonl`).
const WEIGHTS: [u32; 3] = [3, 3, 4];

/// Formats that ClickHouse 18.16 reads itself.
const KNOWN_TO_18: [&str; 11] = [
    "CSV",
    "CSVWithNames",
    "JSONEachRow",
    "Native",
    "RowBinary",
    "TSKV",
    "TabSeparated",
    "TabSeparatedWithNames",
    "TabSeparatedWithNamesAndTypes",
    "Values",
    "JSONCompactEachRow",
];

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../formats/golden")
}

/// Every format with a golden body, by its name.
fn formats() -> Vec<String> {
    let entries = std::fs::read_dir(golden()).expect("the golden directory can be read");
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
        name.strip_prefix("all_types.").map(str::to_owned)
    };
    let mut names: Vec<String> = entries.filter_map(name).collect();
    names.sort();
    assert!(names.len() >= 27, "golden bodies are missing: {names:?}");
    names
}

fn body(format: &str) -> Vec<u8> {
    std::fs::read(golden().join(format!("all_types.{format}"))).expect("a golden body")
}

/// The golden table's columns: names and types.
fn columns() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(golden().join("schema.json")).expect("the schema");
    let schema: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    let columns = schema["columns"].as_array().expect("columns");
    columns
        .iter()
        .map(|column| (text(&column[0]), text(&column[1])))
        .collect()
}

fn definitions(columns: &[(String, String)]) -> String {
    let definitions: Vec<_> = columns
        .iter()
        .map(|(name, kind)| format!("`{name}` {kind}"))
        .collect();
    definitions.join(", ")
}

/// A router over the databases `s1`, `s2`, `s3` of these servers, with a distributed table `default.t_<name>` for each name;
/// its batches wait so long for more rows.
fn weir(servers: &[&Endpoint; 3], tables: &[String], batch_delay: Duration) -> Weir {
    let mut sections = "[cluster.main]\ninternal_replication = true\nuser = \"default\"\n".to_owned();
    for (shard, weight) in WEIGHTS.iter().enumerate() {
        let (number, address) = (shard + 1, servers[shard].address);
        let _ = writeln!(
            sections,
            "[[cluster.main.shard]]\nname = \"s{number}\"\nweight = {weight}\n\
             replica = [ {{ url = \"http://{address}\", local = false, database = \"s{number}\" }} ]"
        );
    }
    for name in tables {
        let _ = writeln!(
            sections,
            "[[table]]\nname = \"default.t_{name}\"\ncluster = \"main\"\ntarget = \"s1.t_{name}\"\n\
             sharding_key = \"cityHash64(k, s)\""
        );
    }
    let send = format!(
        "max_batch_delay = \"{}ms\"\nlocal_insert_timeout = \"60s\"",
        batch_delay.as_millis()
    );
    Weir::start(&WeirConfig {
        sections,
        send,
        ..WeirConfig::default()
    })
}

/// What all shards hold of a table, as text, in a fixed order.
fn held(server: &Endpoint, name: &str) -> String {
    let select = |shard: usize| format!("SELECT *, {shard} AS shard FROM s{shard}.t_{name}");
    let all: Vec<_> = (1..=3).map(select).collect();
    server.query(&format!(
        "SELECT * EXCEPT (shard) FROM ({}) ORDER BY id, tail FORMAT TabSeparated",
        all.join(" UNION ALL ")
    ))
}

/// Panics unless every row lies on the shard of its slot.
#[track_caller]
fn check_placement(server: &Endpoint, name: &str, format: &str) {
    let slot = "cityHash64(k, s) % 10";
    for (shard, wrong) in [(1, "slot >= 3"), (2, "slot < 3 OR slot >= 6"), (3, "slot < 6")] {
        let sql = format!("SELECT count() FROM (SELECT {slot} AS slot FROM s{shard}.t_{name}) WHERE {wrong}");
        assert_eq!(
            server.query(&sql).trim(),
            "0",
            "{format}: rows on shard {shard} by mistake"
        );
    }
}

/// Sends `count` golden bodies of each format to its table.
fn send(weir: &Weir, formats: &[String], count: usize) {
    for format in formats {
        let bytes = body(format);
        let statement = format!("INSERT INTO default.t_{format} FORMAT {format}");
        for _ in 0..count {
            let answer = weir.http.insert(&statement, bytes.clone());
            assert_eq!(answer.status, 200, "{format}: {}", answer.text());
        }
    }
}

/// The files that were sent of a table: the INSERTs' rows in each.
fn rows_of_sent_files(weir: &Weir, name: &str) -> Vec<u64> {
    let listing = weir.command(&["spool", "ls", "--files", "--output", "json"]);
    let files: Vec<serde_json::Value> = serde_json::from_str(&listing).expect("JSON");
    let of_table = |file: &&serde_json::Value| file["table"] == format!("default.t_{name}");
    files
        .iter()
        .filter(of_table)
        .filter_map(|file| file["rows"].as_u64())
        .collect()
}

/// The tables of the shards and the one that is inserted into directly.
fn create_tables(server: &Endpoint, formats: &[String], columns: &[(String, String)]) {
    for database in ["s1", "s2", "s3", "direct"] {
        server.query(&format!("CREATE DATABASE {database}"));
        for format in formats {
            let engine = "MergeTree ORDER BY tuple()";
            server.query(&format!(
                "CREATE TABLE {database}.t_{format} ({}) ENGINE = {engine}",
                definitions(columns)
            ));
        }
    }
}

/// That what the shards hold is what direct INSERTs of as many bodies made.
fn check_equal_to_direct(server: &Endpoint, formats: &[String], bodies: usize) {
    for format in formats {
        let statement = format!("INSERT INTO direct.t_{format} FORMAT {format}");
        server.query(&format!("TRUNCATE TABLE direct.t_{format}"));
        for _ in 0..bodies {
            server.insert(&statement, body(format)).expect_success();
        }
        let direct = server.query(&format!(
            "SELECT * FROM direct.t_{format} ORDER BY id, tail FORMAT TabSeparated"
        ));
        let through_weir = held(server, format);
        let differing = direct.lines().zip(through_weir.lines()).find(|(a, b)| a != b);
        assert_eq!(differing, None, "{format}, {bodies} bodies: a row differs");
        assert_eq!(
            direct.lines().count(),
            through_weir.lines().count(),
            "{format}, {bodies} bodies"
        );
        check_placement(server, format, format);
        for shard in 1..=3 {
            server.query(&format!("TRUNCATE TABLE s{shard}.t_{format}"));
        }
    }
}

#[test]
fn every_golden_body_arrives_as_by_a_direct_insert_alone_and_joined() {
    let server = Modern::start();
    let formats = formats();
    create_tables(&server.http, &formats, &columns());
    let weir = weir(&[&server.http; 3], &formats, Duration::from_secs(15));
    // The first INSERT of a shape is sent alone.
    send(&weir, &formats, 1);
    weir.wait_until_delivered(DELIVERY_LIMIT);
    check_equal_to_direct(&server.http, &formats, 1);
    for bodies in [2, 50] {
        send(&weir, &formats, bodies);
        weir.wait_until_delivered(DELIVERY_LIMIT);
        check_equal_to_direct(&server.http, &formats, bodies);
    }
    for format in &formats {
        let rows = rows_of_sent_files(&weir, format);
        // 200 rows a body, spread over three shards: a batch of more joined several.
        assert!(
            rows.iter().any(|rows| *rows > 200 * 10),
            "{format}: fifty bodies were not joined: {rows:?}"
        );
    }
}

/// The golden rows in a format, with the columns whose types ClickHouse 18.16 knows.
fn body_for_18(server: &Endpoint, columns: &[(String, String)], format: &str) -> Vec<u8> {
    let names: Vec<_> = columns.iter().map(|(name, _)| format!("`{name}`")).collect();
    let sql = format!(
        "SELECT {} FROM direct.golden ORDER BY id FORMAT {format}",
        names.join(", ")
    );
    server
        .request("POST", "/")
        .body(sql)
        .answer()
        .expect_success()
        .body
}

#[test]
fn bodies_joined_in_a_batch_are_counted_alike_by_18_16() {
    let modern = Modern::start();
    modern.http.query("CREATE DATABASE direct");
    let definitions_26 = definitions(&columns());
    modern.http.query(&format!(
        "CREATE TABLE direct.golden ({definitions_26}) ENGINE = Memory"
    ));
    modern
        .http
        .insert("INSERT INTO direct.golden FORMAT Native", body("Native"))
        .expect_success();
    let unknown = ["LowCardinality", "DateTime64", "IPv4", "Bool", "Map", "Tuple(x"];
    let known = |(_, kind): &(String, String)| !unknown.iter().any(|word| kind.contains(word));
    let columns: Vec<_> = columns().into_iter().filter(known).collect();

    let servers: Vec<_> = (0..3).map(|_| ClickHouse18::start(&Options::default())).collect();
    let formats: Vec<String> = KNOWN_TO_18.iter().map(|name| (*name).to_owned()).collect();
    for (shard, server) in servers.iter().enumerate() {
        server.http.query(&format!("CREATE DATABASE s{}", shard + 1));
        for format in &formats {
            server.http.query(&format!(
                "CREATE TABLE s{}.t_{format} ({}) ENGINE = MergeTree ORDER BY id",
                shard + 1,
                definitions(&columns)
            ));
        }
    }
    let endpoints: Vec<&Endpoint> = servers.iter().map(|server| &server.http).collect();
    let endpoints: &[&Endpoint; 3] = endpoints.as_slice().try_into().expect("three servers");
    let weir = weir(endpoints, &formats, Duration::from_secs(3));
    let counts = [1, 2, 50];
    for bodies in counts {
        for format in &formats {
            let bytes = body_for_18(&modern.http, &columns, format);
            for _ in 0..bodies {
                let statement = format!("INSERT INTO default.t_{format} FORMAT {format}");
                let answer = weir.http.insert(&statement, bytes.clone());
                assert_eq!(answer.status, 200, "{format}: {}", answer.text());
            }
        }
        weir.wait_until_delivered(DELIVERY_LIMIT);
    }
    let sums = "count(), sum(k), sum(cityHash64(s)), sum(i64), sum(cityHash64(toString(dt))), sum(length(a))";
    let golden = modern.http.query(&format!("SELECT {sums} FROM direct.golden"));
    let golden: Vec<u64> = golden.split_whitespace().map(wrapping).collect();
    let times: u64 = counts.iter().map(|count| *count as u64).sum();
    let expected: Vec<u64> = golden.iter().map(|sum| sum.wrapping_mul(times)).collect();
    for format in &formats {
        let mut arrived = vec![0_u64; expected.len()];
        for (shard, server) in servers.iter().enumerate() {
            let sql = format!("SELECT {sums} FROM s{}.t_{format}", shard + 1);
            for (sum, part) in arrived.iter_mut().zip(server.http.query(&sql).split_whitespace()) {
                *sum = sum.wrapping_add(wrapping(part));
            }
        }
        assert_eq!(arrived, expected, "{format}");
    }
    wait_for("nothing to be left", DELIVERY_LIMIT, || {
        (weir.metric("weir_spool_rows") == 0.0).then_some(())
    });
}

/// A sum as ClickHouse prints it, signed or not, modulo 2^64.
fn wrapping(sum: &str) -> u64 {
    // The cast keeps the two's complement.
    sum.parse::<u64>()
        .unwrap_or_else(|_| sum.parse::<i64>().expect("a number") as u64)
}
