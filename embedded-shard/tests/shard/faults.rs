//! Faults on purpose.

use std::time::Duration;

use embedded_shard::{Fault, Requests};

use crate::client::Shard;

async fn shard() -> Shard {
    let shard = Shard::start().await;
    shard.query("CREATE TABLE t (k UInt8)").await;
    shard
}

async fn insert(shard: &Shard) -> Option<u16> {
    shard
        .post(&[("query", "INSERT INTO t VALUES (1)")], &[], b"")
        .await
        .map(|reply| reply.status)
}

async fn count(shard: &Shard) -> String {
    shard.query("SELECT count() FROM t").await
}

#[tokio::test]
async fn the_nth_insert_is_refused_with_any_code() {
    let shard = shard().await;
    let refusal = Fault::Refuse {
        code: 252,
        text: "Too many parts".to_owned(),
    };
    shard.faults.nth(Requests::Inserts, 2, 1, refusal);
    assert_eq!(insert(&shard).await, Some(200));
    let reply = shard.insert("INSERT INTO t VALUES (1)", b"").await;
    assert_eq!(reply.headers["x-clickhouse-exception-code"], "252");
    assert!(
        reply
            .body
            .contains("Code: 252. DB::Exception: Too many parts. (TOO_MANY_PARTS)"),
        "{}",
        reply.body
    );
    assert_eq!(insert(&shard).await, Some(200));
    assert_eq!(count(&shard).await, "2\n");
}

#[tokio::test]
async fn a_closed_connection_may_hide_either_outcome() {
    let shard = shard().await;
    shard.faults.next(Requests::Inserts, Fault::CloseBefore);
    assert_eq!(insert(&shard).await, None);
    assert_eq!(count(&shard).await, "0\n");
    shard.faults.next(Requests::Inserts, Fault::CloseAfter);
    assert_eq!(insert(&shard).await, None);
    assert_eq!(count(&shard).await, "1\n");
}

#[tokio::test]
async fn a_hanging_request_is_executed_when_released() {
    let shard = shard().await;
    shard.faults.next(Requests::All, Fault::Hang);
    let mut hanging = Box::pin(insert(&shard));
    assert!(
        tokio::time::timeout(Duration::from_millis(50), &mut hanging)
            .await
            .is_err()
    );
    assert_eq!(count(&shard).await, "0\n");
    shard.faults.release();
    assert_eq!(hanging.await, Some(200));
    assert_eq!(count(&shard).await, "1\n");
}
