//! Statements and SELECT.

use crate::client::Shard;

async fn shard() -> Shard {
    let shard = Shard::start().await;
    shard
        .query("CREATE TABLE t (k UInt64, g String, n Nullable(Int32), d Date, dec Decimal(20, 2)) ENGINE = Memory")
        .await;
    shard
        .query(
            "INSERT INTO t VALUES (18446744073709551615, 'a', 1, '2020-01-01', 1.50), (1, 'b', NULL, '2020-01-02', -2), \
             (9223372036854775808, 'a', -5, '2020-01-03', 123456789012345678.99), (2, 'b', 3, '2020-01-01', 0)",
        )
        .await;
    shard
}

#[tokio::test]
async fn wide_numbers_sort_compare_and_sum_exactly() {
    let shard = shard().await;
    let sorted = "18446744073709551615\n9223372036854775808\n2\n1\n";
    assert_eq!(shard.query("SELECT k FROM t ORDER BY k DESC").await, sorted);
    assert_eq!(
        shard
            .query("SELECT count() FROM t WHERE k > 9223372036854775807")
            .await,
        "2\n"
    );
    assert_eq!(
        shard
            .query("SELECT min(k), max(k), sum(dec), max(dec) FROM t")
            .await
            .matches('\t')
            .count(),
        3
    );
    assert_eq!(
        shard
            .query("SELECT min(k), max(k), sum(dec), max(dec) FROM t")
            .await,
        "1\t18446744073709551615\t123456789012345678.49\t123456789012345678.99\n"
    );
    // ClickHouse's sum wraps: 2^64 - 1 + 1 + 2^63 + 2.
    assert_eq!(shard.query("SELECT sum(k) FROM t").await, "9223372036854775810\n");
}

#[tokio::test]
async fn rows_are_grouped_filtered_and_ordered() {
    let shard = shard().await;
    let grouped = "SELECT g, count(), sum(n), min(n), max(d), uniqExact(d) FROM t GROUP BY g ORDER BY g";
    assert_eq!(
        shard.query(grouped).await,
        "a\t2\t-4\t-5\t2020-01-03\t2\nb\t2\t3\t3\t2020-01-02\t2\n"
    );
    assert_eq!(
        shard
            .query("SELECT k % 3 AS r, count(*) c FROM t GROUP BY r HAVING c > 1 ORDER BY 1")
            .await,
        "2\t2\n"
    );
    assert_eq!(
        shard
            .query("SELECT count(), count(n), sum(n) FROM t WHERE n IS NULL")
            .await,
        "1\t0\t\\N\n"
    );
    assert_eq!(
        shard
            .query("SELECT count(), sum(k), max(g) FROM t WHERE k = 77")
            .await,
        "0\t0\t\n"
    );
    assert_eq!(shard.query("SELECT g FROM t WHERE k = 77 GROUP BY g").await, "");
    assert_eq!(
        shard
            .query("SELECT t.k, n FROM default.t ORDER BY n DESC LIMIT 1, 2")
            .await,
        "18446744073709551615\t1\n9223372036854775808\t-5\n"
    );
    assert_eq!(
        shard
            .query("SELECT 7 FROM t WHERE g = 'a' AND (k > 5 OR d IN ('2020-01-01'))")
            .await,
        "7\n7\n"
    );
}

#[tokio::test]
async fn an_alias_means_its_expression_everywhere_but_inside_itself() {
    let shard = shard().await;
    assert_eq!(
        shard
            .query("SELECT n + 1 AS n FROM t WHERE n > 2 ORDER BY n")
            .await,
        "4\n"
    );
    assert_eq!(
        shard
            .query("SELECT n + 1 AS n, n * 2 AS m FROM t WHERE k = 2 ORDER BY m")
            .await,
        "4\t8\n"
    );
    assert_eq!(
        shard
            .query("SELECT n AS x, x + 1 AS y, y * 2 AS z FROM t WHERE z = 8")
            .await,
        "3\t4\t8\n"
    );
    assert_eq!(
        shard
            .query("SELECT max(k) AS k, count() c FROM t GROUP BY g HAVING c = 2 ORDER BY k LIMIT 1")
            .await,
        "2\t2\n"
    );
}

#[tokio::test]
async fn a_statement_made_to_exhaust_the_shard_is_refused() {
    let shard = shard().await;
    let doubling: Vec<_> = (1..40)
        .map(|at| format!("a{} + a{} AS a{at}", at - 1, at - 1))
        .collect();
    shard
        .refused(
            &format!("SELECT n AS a0, {} FROM t", doubling.join(", ")),
            62,
            "parts",
        )
        .await;
    let nested = format!("{}n{}", "(".repeat(90), " = 1)".repeat(90));
    assert_eq!(
        shard
            .query(&format!("SELECT count() FROM t WHERE {nested} OR 1"))
            .await,
        "4\n"
    );
    let between = format!("{}n{}", "(".repeat(90), " BETWEEN 0 AND 1)".repeat(90));
    assert_eq!(
        shard
            .query(&format!("SELECT count() FROM t WHERE {between} OR 1"))
            .await,
        "4\n"
    );
    let chain = "1 + ".repeat(999);
    assert_eq!(
        shard.query(&format!("SELECT {chain} n FROM t WHERE n = 1")).await,
        "1000\n"
    );
}

#[tokio::test]
async fn a_client_gets_the_answers_it_needs_before_it_inserts() {
    let shard = shard().await;
    assert_eq!(shard.query("SELECT 1").await, "1\n");
    let hello = shard
        .query("SELECT version(), timezone(), hostName(), currentUser() FORMAT TabSeparated")
        .await;
    assert_eq!(
        hello,
        format!("{}\tUTC\ttest\tdefault\n", embedded_shard::VERSION)
    );
    let described = shard.query("DESCRIBE TABLE default.t FORMAT TabSeparated").await;
    assert_eq!(described.lines().nth(2), Some("n\tNullable(Int32)\t\t\t\t\t"));
    let known = "SELECT name FROM system.settings WHERE name IN ('max_insert_block_size', 'insert_deduplication_token', 'zzz') ORDER BY name";
    assert_eq!(
        shard.query(known).await,
        "insert_deduplication_token\nmax_insert_block_size\n"
    );
    assert_eq!(
        shard
            .query("SELECT substitution FROM system.macros WHERE macro = 'shard'")
            .await,
        ""
    );
    assert_eq!(
        shard
            .query("SELECT engine FROM system.tables WHERE database = 'default' AND name = 't'")
            .await,
        "Memory\n"
    );
}

#[tokio::test]
async fn tables_come_and_go() {
    let shard = shard().await;
    assert_eq!(shard.query("EXISTS TABLE t").await, "1\n");
    shard.query("CREATE TABLE IF NOT EXISTS t (k UInt8)").await;
    shard
        .refused("CREATE TABLE t (k UInt8)", 57, "already exists")
        .await;
    shard.refused("CREATE TABLE u (k UInt8, k UInt8)", 15, "k").await;
    shard.refused("CREATE DATABASE default", 82, "default").await;
    shard.query("CREATE TABLE `T` (k UInt8, K String)").await;
    assert_eq!(shard.query("SHOW TABLES").await, "T\nt\n");
    shard.query("DROP TABLE t").await;
    assert_eq!(shard.query("EXISTS t").await, "0\n");
    shard.refused("DROP TABLE t", 60, "default.t").await;
    shard.query("DROP TABLE IF EXISTS t").await;
    shard.query("TRUNCATE TABLE IF EXISTS nodb.t").await;
    shard.refused("SELECT 1 FROM t", 60, "default.t").await;
}

#[tokio::test]
async fn answers_name_query_server_and_format() {
    let shard = shard().await;
    let parameters = [
        ("query", "SELECT k FROM t WHERE k < 3"),
        ("query_id", "q-1"),
        ("default_format", "JSONEachRow"),
    ];
    let reply = shard.post(&parameters, &[], b"").await.unwrap();
    assert_eq!(reply.body, "{\"k\":1}\n{\"k\":2}\n");
    assert_eq!(reply.headers["x-clickhouse-query-id"], "q-1");
    assert_eq!(reply.headers["x-clickhouse-server-display-name"], "test");
    assert_eq!(reply.headers["x-clickhouse-timezone"], "UTC");
    assert_eq!(reply.headers["x-clickhouse-format"], "JSONEachRow");
    assert_eq!(
        (reply.summary("read_rows"), reply.summary("result_rows")),
        ("4", "2")
    );
    let error = shard
        .post(&[("query", "SELECT zz FROM t")], &[], b"")
        .await
        .unwrap();
    assert_eq!(
        (
            error.status,
            error.headers["x-clickhouse-exception-code"].as_str()
        ),
        (404, "47")
    );
    assert!(error.body.ends_with(&format!(
        "(UNKNOWN_IDENTIFIER) (version {})\n",
        embedded_shard::VERSION
    )));
}

#[tokio::test]
async fn what_is_not_known_is_refused_and_never_guessed() {
    let shard = shard().await;
    shard.refused("SELECT g, count() FROM t", 215, "column g").await;
    shard
        .refused("SELECT k FROM t WHERE count() > 1", 184, "count()")
        .await;
    shard.refused("SELECT nope(k) FROM t", 46, "nope").await;
    shard.refused("SELECT k / 2 FROM t", 46, "divide").await;
    shard.refused("SELECT k FROM t FINAL", 48, "FINAL").await;
    shard.refused("SELECT k FROM t ORDER BY 2", 36, "2").await;
    shard.refused("SELECT sum(g) FROM t", 43, "String").await;
    shard.refused("SELECT 1 FORMAT Native", 73, "Native").await;
    shard
        .refused("SELECT k FROM system.query_log", 60, "system.query_log")
        .await;
    shard.refused("ALTER TABLE t DELETE WHERE 1", 48, "ALTER").await;
    shard.refused("SELECT a FROM t WHERE", 62, "an expression").await;
    shard.refused("SELECT k AS n, n AS k FROM t", 174, "alias").await;
}
