//! INSERT: columns and defaults, all or nothing, deduplication by token.

use crate::client::Shard;

const CREATE: &str = "CREATE TABLE t (k UInt64, s String DEFAULT concat('d', 'e'), n Nullable(Int32), \
                      m UInt64 MATERIALIZED k + 1) ENGINE = MergeTree ORDER BY k";

async fn shard(create: &str) -> Shard {
    let shard = Shard::start().await;
    shard.query(create).await;
    shard
}

#[tokio::test]
async fn the_query_may_stand_in_the_url_the_body_or_both() {
    let shard = shard(CREATE).await;
    shard.query("INSERT INTO t (k) VALUES (1)").await;
    shard
        .insert("INSERT INTO t (k) FORMAT TabSeparated", b"2\n")
        .await;
    shard.insert("INSERT INTO t (k) VALUES (3)", b"").await;
    shard
        .insert("INSERT INTO t", b"(k) FORMAT JSONEachRow\n{\"k\":4}")
        .await;
    assert_eq!(shard.query("SELECT k FROM t").await, "1\n2\n3\n4\n");
}

#[tokio::test]
async fn columns_left_out_take_their_defaults() {
    let shard = shard(CREATE).await;
    shard.query("INSERT INTO t (k) VALUES (1)").await;
    shard.query("INSERT INTO t (n, k) VALUES (7, 2)").await;
    shard
        .query("INSERT INTO t FORMAT JSONEachRow {\"k\":3,\"s\":\"x\",\"unknown\":1}")
        .await;
    let rows = shard.query("SELECT k, s, n, m FROM t").await;
    assert_eq!(rows, "1\tde\t\\N\t2\n2\tde\t7\t3\n3\tx\t\\N\t4\n");
    assert_eq!(shard.query("SELECT * FROM t LIMIT 1").await, "1\tde\t\\N\n");
}

#[tokio::test]
async fn defaults_that_differ_from_row_to_row_are_drawn_for_each() {
    let shard =
        shard("CREATE TABLE t (k UInt8, u UUID DEFAULT generateUUIDv4(), t DateTime DEFAULT now())").await;
    shard.query("INSERT INTO t (k) VALUES (1), (2), (3)").await;
    assert_eq!(
        shard
            .query("SELECT uniqExact(u), uniqExact(t), count() FROM t")
            .await,
        "3\t1\t3\n"
    );
}

#[tokio::test]
async fn a_default_that_cannot_be_computed_is_refused_only_when_a_row_needs_it() {
    let shard = shard("CREATE TABLE t (k UInt8, h UInt64 DEFAULT nope(k))").await;
    shard.query("INSERT INTO t VALUES (1, 2)").await;
    shard
        .refused("INSERT INTO t (k) VALUES (1)", 46, "in the DEFAULT of column h")
        .await;
}

#[tokio::test]
async fn columns_that_cannot_be_inserted_are_refused() {
    let shard = shard(CREATE).await;
    shard.refused("INSERT INTO t (zz) VALUES (1)", 16, "zz").await;
    shard
        .refused("INSERT INTO t (m) VALUES (1)", 44, "MATERIALIZED")
        .await;
    shard
        .refused("INSERT INTO t (k, k) VALUES (1, 1)", 15, "column k")
        .await;
    shard
        .refused("INSERT INTO nope VALUES (1)", 60, "default.nope")
        .await;
    shard.refused("INSERT INTO nodb.t VALUES (1)", 81, "nodb").await;
    shard
        .refused("INSERT INTO t FORMAT Parquet\nx", 73, "Parquet")
        .await;
    shard
        .refused("INSERT INTO t SETTINGS zzz = 1 VALUES (1)", 115, "zzz")
        .await;
}

#[tokio::test]
async fn a_row_that_cannot_be_read_leaves_none_of_the_others() {
    let shard = shard(CREATE).await;
    let mut body: Vec<u8> = (0..10_000)
        .flat_map(|row| format!("{row}\n").into_bytes())
        .collect();
    body.extend(b"x\n");
    let reply = shard.insert("INSERT INTO t (k) FORMAT TabSeparated", &body).await;
    assert_eq!(
        (
            reply.status,
            reply.headers["x-clickhouse-exception-code"].as_str()
        ),
        (400, "27")
    );
    assert!(
        reply.body.contains("at row 10001, which begins at byte 48890"),
        "{}",
        reply.body
    );
    assert_eq!(shard.query("SELECT count() FROM t").await, "0\n");
}

#[tokio::test]
async fn a_repeated_token_is_a_success_without_rows() {
    let shard = shard(CREATE).await;
    let insert = async |token: &str, value: &str| {
        let parameters = [
            ("query", "INSERT INTO t (k) FORMAT TabSeparated"),
            ("insert_deduplication_token", token),
        ];
        let reply = shard.post(&parameters, &[], value.as_bytes()).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.summary("written_rows").to_owned()
    };
    assert_eq!(insert("a", "1\n2\n").await, "2");
    assert_eq!(insert("a", "1\n2\n").await, "0");
    assert_eq!(insert("b", "1\n2\n").await, "2");
    // Without a token, and with deduplication off, nothing is dropped.
    assert_eq!(insert("", "3\n").await, "1");
    assert_eq!(insert("", "3\n").await, "1");
    shard
        .query(
            "INSERT INTO t (k) SETTINGS insert_deduplication_token = 'a', insert_deduplicate = 0 VALUES (4)",
        )
        .await;
    assert_eq!(shard.query("SELECT count() FROM t").await, "7\n");
}

#[tokio::test]
async fn a_failed_insert_does_not_use_up_its_token() {
    let shard = shard(CREATE).await;
    let with_token = "INSERT INTO t (k) SETTINGS insert_deduplication_token = 'a' VALUES";
    shard.refused(&format!("{with_token} (1), ("), 27, "row 2").await;
    shard.query(&format!("{with_token} (1), (2)")).await;
    // The data of a known token are still read: a broken body is never a success.
    shard.refused(&format!("{with_token} (1), ("), 27, "row 2").await;
    assert_eq!(shard.query("SELECT count() FROM t").await, "2\n");
}

#[tokio::test]
async fn a_table_remembers_as_many_tokens_as_its_window_says() {
    let settings = "SETTINGS non_replicated_deduplication_window = 2";
    let shard = shard(&format!(
        "CREATE TABLE t (k UInt8) ENGINE = MergeTree ORDER BY k {settings}"
    ))
    .await;
    for token in ["a", "b", "a", "c", "b", "a"] {
        shard
            .query(&format!(
                "INSERT INTO t SETTINGS insert_deduplication_token = '{token}' VALUES (1)"
            ))
            .await;
    }
    // The third is dropped; "a" is forgotten when "c" comes; "b" is still known; the last "a" is new again.
    assert_eq!(shard.query("SELECT count() FROM t").await, "4\n");
    shard
        .query("CREATE TABLE u (k UInt8) ENGINE = MergeTree SETTINGS non_replicated_deduplication_window = 0")
        .await;
    for _ in 0..2 {
        shard
            .query("INSERT INTO u SETTINGS insert_deduplication_token = 'a' VALUES (1)")
            .await;
    }
    assert_eq!(shard.query("SELECT count() FROM u").await, "2\n");
}

#[tokio::test]
async fn truncate_forgets_rows_and_tokens() {
    let shard = shard(CREATE).await;
    let insert = "INSERT INTO t (k) SETTINGS insert_deduplication_token = 'a' VALUES (1)";
    shard.query(insert).await;
    shard.query("TRUNCATE TABLE t").await;
    shard.query(insert).await;
    assert_eq!(shard.query("SELECT count() FROM t").await, "1\n");
}

#[tokio::test]
async fn a_body_without_rows_is_a_success() {
    let shard = shard(CREATE).await;
    let reply = shard.insert("INSERT INTO t FORMAT JSONEachRow", b"").await;
    assert_eq!((reply.status, reply.summary("written_rows")), (200, "0"));
}
