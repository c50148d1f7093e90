//! Start, stop, users, and what stays on disk.

use embedded_shard::Options;

use crate::client::{Shard, exchange, request};

fn on(folder: &std::path::Path) -> Options {
    Options {
        name: "kept".to_owned(),
        data: Some(folder.to_owned()),
        ..Options::default()
    }
}

#[tokio::test]
async fn tables_rows_tokens_and_identity_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("made/when/missing");
    let insert =
        "INSERT INTO d.t SETTINGS insert_deduplication_token = 'a' VALUES (18446744073709551615, [1])";
    let shard = Shard::start_with(on(&data)).await;
    shard.query("CREATE DATABASE d").await;
    shard
        .query("CREATE TABLE d.t (k UInt64, `A` Array(UInt8) DEFAULT x, a String DEFAULT 'y') ENGINE = Log")
        .await;
    shard
        .refused("INSERT INTO d.t (k) VALUES (1)", 47, "in the DEFAULT of column A")
        .await;
    shard
        .query(&insert.replace("t SETTINGS", "t (k, A) SETTINGS"))
        .await;
    let before = shard.query("DESCRIBE TABLE d.t").await + &shard.query("SELECT serverUUID()").await;
    shard.stop().await;

    let shard = Shard::start_with(on(&data)).await;
    let after = shard.query("DESCRIBE TABLE d.t").await + &shard.query("SELECT serverUUID()").await;
    assert_eq!(after, before);
    shard
        .query(&insert.replace("t SETTINGS", "t (k, A) SETTINGS"))
        .await;
    assert_eq!(
        shard.query("SELECT * FROM d.t").await,
        "18446744073709551615\t[1]\ty\n"
    );
    shard.stop().await;
}

#[tokio::test]
async fn a_store_that_another_shard_holds_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = Shard::start_with(on(folder.path())).await;
    first.query("SELECT 1").await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let second = embedded_shard::serve(listener, on(folder.path()), std::future::pending::<()>()).await;
    assert!(second.unwrap_err().to_string().contains("locked"));
    first.stop().await;
}

#[tokio::test]
async fn only_the_user_with_the_password_may_come() {
    let (user, password) = (Some("writer".to_owned()), Some("secret".to_owned()));
    let shard = Shard::start_with(Options {
        user,
        password,
        name: "guarded".to_owned(),
        ..Options::default()
    })
    .await;
    let select = [("query", "SELECT currentUser()")];
    let right: [&[(&str, &str)]; 2] = [
        &[("X-ClickHouse-User", "writer"), ("X-ClickHouse-Key", "secret")],
        &[("Authorization", "Basic d3JpdGVyOnNlY3JldA==")],
    ];
    for headers in right {
        assert_eq!(shard.post(&select, headers, b"").await.unwrap().body, "writer\n");
    }
    for headers in [
        &[("X-ClickHouse-User", "writer"), ("X-ClickHouse-Key", "wrong")][..],
        &[],
    ] {
        let reply = shard.post(&select, headers, b"").await.unwrap();
        assert_eq!(
            (
                reply.status,
                reply.headers["x-clickhouse-exception-code"].as_str()
            ),
            (403, "516")
        );
        assert!(
            reply.body.contains("(AUTHENTICATION_FAILED)") && !reply.body.contains("secret"),
            "{}",
            reply.body
        );
    }
    assert_eq!(
        exchange(shard.address, b"GET /ping HTTP/1.0\r\n\r\n")
            .await
            .unwrap()
            .body,
        "Ok.\n"
    );
}

#[tokio::test]
async fn a_get_reads_and_does_not_write() {
    let shard = Shard::start().await;
    let get = async |sql| {
        exchange(shard.address, &request("GET", &[("query", sql)], &[], b""))
            .await
            .unwrap()
    };
    assert_eq!(get("SELECT 1").await.body, "1\n");
    assert_eq!(
        get("CREATE TABLE t (k UInt8)").await.headers["x-clickhouse-exception-code"],
        "164"
    );
    let bare = exchange(shard.address, &request("GET", &[], &[], b""))
        .await
        .unwrap();
    assert_eq!((bare.status, bare.body.as_str()), (200, "Ok.\n"));
}

#[tokio::test]
async fn stopping_answers_what_is_under_way_and_cuts_what_hangs() {
    let shard = Shard::start().await;
    shard
        .faults
        .next(embedded_shard::Requests::All, embedded_shard::Fault::Hang);
    let mut stream = tokio::net::TcpStream::connect(shard.address).await.unwrap();
    let hanging = request("POST", &[("query", "SELECT 1")], &[("Content-Length", "0")], b"");
    tokio::io::AsyncWriteExt::write_all(&mut stream, &hanging)
        .await
        .unwrap();
    while shard.faults.requests() == 0 {
        tokio::task::yield_now().await;
    }
    let faults = shard.faults.clone();
    let release = tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        faults.release();
    });
    shard.stop().await;
    release.await.unwrap();
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer)
        .await
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
