//! What ClickHouse 26.9 wrote of one table of 28 types, in every format the shard reads, comes back byte for
//! byte.

use std::path::Path;

use crate::client::Shard;

/// `schema.json`'s columns.
const COLUMNS: &str = "id UInt32, i8 Int8, u16 UInt16, i32 Int32, i64 Int64, f32 Float32, f64 Float64, s String, \
    fs FixedString(5), ns Nullable(String), ni Nullable(Int64), lc LowCardinality(String), \
    lcn LowCardinality(Nullable(String)), d Date, dt DateTime('UTC'), dt64 DateTime64(6, 'UTC'), u UUID, k UInt64, \
    ip4 IPv4, b Bool, e Enum8('a' = 1, 'b' = -2, 'c d' = 3), dec Decimal(18, 4), a Array(UInt16), \
    `as` Array(Nullable(String)), aa Array(Array(Int32)), t Tuple(x UInt8, y String), m Map(String, UInt64), tail String";

fn golden(format: &str) -> Vec<u8> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let file = format!("golden/all_types.{format}");
    let found = ["embedded-shard", "formats"]
        .iter()
        .map(|room| crates.join(room).join(&file))
        .find(|path| path.exists());
    std::fs::read(found.unwrap()).unwrap()
}

#[track_caller]
fn same(written: &str, expected: &[u8], what: &str) {
    let expected = String::from_utf8_lossy(expected);
    for (row, (written, expected)) in written.lines().zip(expected.lines()).enumerate() {
        assert_eq!(written, expected, "{what}, row {row}");
    }
    assert_eq!(written, expected, "{what}");
}

#[tokio::test]
async fn every_format_clickhouse_wrote_is_read_to_the_same_rows() {
    let shard = Shard::start().await;
    let formats = [
        "CSV",
        "JSONEachRow",
        "JSONStringsEachRow",
        "JSONCompactEachRow",
        "JSONCompactStringsEachRow",
        "RowBinary",
        "TabSeparated",
        "TSKV",
        "Values",
    ];
    for format in formats {
        shard
            .query(&format!(
                "CREATE TABLE t_{format} ({COLUMNS}) ENGINE = MergeTree ORDER BY id"
            ))
            .await;
        let reply = shard
            .insert(
                &format!("INSERT INTO t_{format} FORMAT {format}"),
                &golden(format),
            )
            .await;
        assert_eq!(reply.status, 200, "{format}: {}", reply.body);
        assert_eq!(reply.summary("written_rows"), "200");
        let written = shard.query(&format!("SELECT * FROM t_{format}")).await;
        same(&written, &golden("TabSeparated"), format);
    }
    shard.stop().await;
}

#[tokio::test]
async fn rows_are_written_as_clickhouse_wrote_them() {
    let shard = Shard::start().await;
    shard
        .query(&format!("CREATE TABLE t ({COLUMNS}) ENGINE = Memory"))
        .await;
    shard
        .insert("INSERT INTO t FORMAT RowBinary", &golden("RowBinary"))
        .await;
    for format in ["TabSeparated", "JSONEachRow", "JSONCompactEachRow"] {
        let written = shard
            .query(&format!("SELECT * FROM t ORDER BY id FORMAT {format}"))
            .await;
        same(&written, &golden(format), format);
    }
    shard.stop().await;
}

#[tokio::test]
async fn a_shard_can_be_asked_for_rows_that_are_not_its_own() {
    let shard = Shard::start().await;
    shard
        .query(&format!("CREATE TABLE t ({COLUMNS}) ENGINE = Memory"))
        .await;
    shard
        .insert("INSERT INTO t FORMAT RowBinary", &golden("RowBinary"))
        .await;
    let written = shard
        .query("SELECT id, cityHash64(k, s) AS value, value % 10 FROM t ORDER BY id")
        .await;
    let rows = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .join("formats/golden/rows.jsonl");
    let rows = std::fs::read_to_string(rows).unwrap();
    let figures = |row: &str| {
        let figures: Vec<_> = row
            .split(|c: char| !c.is_ascii_digit())
            .filter(|part| !part.is_empty())
            .collect();
        figures.join("\t") + "\n"
    };
    assert_eq!(written, rows.lines().map(figures).collect::<String>());
}
