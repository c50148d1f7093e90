//! What became of an INSERT is found in state and files, whenever it is asked.

use super::support::*;
use crate::*;

fn states(receipt: &Receipt) -> Vec<(String, ReceiptState)> {
    let shares = receipt.shares.iter();
    shares
        .map(|share| (share.destination.shard.clone(), share.state))
        .collect()
}

async fn receipt(spool: &Spool, insert: InsertId) -> Receipt {
    spool.receipt(insert).await.unwrap().expect("a known receipt")
}

async fn settle_next(spool: &Spool, shard: &str, outcome: Outcome) {
    let mut batch = spool.next(&destination(shard)).await.unwrap();
    spool.attempt(&mut batch, "ch-1:8123").await.unwrap();
    if outcome != Outcome::Acknowledged {
        batch.disproved();
    }
    spool.settle(&batch, outcome).await.unwrap();
}

fn refused() -> Outcome {
    Outcome::Refused {
        code: Some(27),
        text: "cannot parse".into(),
    }
}

fn held() -> Outcome {
    Outcome::HoldBatch {
        error: "a view threw it".into(),
    }
}

/// A watched INSERT with rows for these shards.
async fn watched(spool: &Spool, rows: &[(LaneId, &[u8], u64)]) -> Watching {
    let head = CommitHead {
        watch: true,
        ..CommitHead::default()
    };
    let accepted = spool.commit(stage(spool, rows), head).await.unwrap();
    accepted.watching.unwrap()
}

#[tokio::test]
async fn a_receipt_tells_where_rows_are_from_their_acceptance_to_their_end_and_so_behind_a_restart() {
    let world = World::new();
    let mut spool = world.open();
    let lane = spool.lane(&patient(remote("a"))).unwrap();
    let insert = world.commit(&spool, &[(lane, b"1\n", 1)]).await;
    assert_eq!(
        states(&receipt(&spool, insert).await),
        [("a".into(), ReceiptState::Accepted)]
    );
    spool = world.restart(spool).0;
    assert_eq!(
        states(&receipt(&spool, insert).await),
        [("a".into(), ReceiptState::Accepted)]
    );
    spool.flush(None).await;
    let retry = Outcome::Retry { error: "busy".into() };
    settle_next(&spool, "a", retry).await;
    for _ in 0..2 {
        let sending = receipt(&spool, insert).await;
        assert_eq!(states(&sending), [("a".into(), ReceiptState::Sending)]);
        spool = world.restart(spool).0;
    }
    settle_next(&spool, "a", held()).await;
    let set_aside = receipt(&spool, insert).await;
    assert_eq!(set_aside.state(), ReceiptState::Held);
    assert!(
        set_aside.shares[0]
            .reason
            .as_ref()
            .unwrap()
            .contains("a view threw it")
    );
    spool.requeue(&destination("a"), 1).await.unwrap();
    settle_next(&spool, "a", refused()).await;
    spool = world.restart(spool).0;
    let broken = receipt(&spool, insert).await;
    assert_eq!(states(&broken), [("a".into(), ReceiptState::Broken)]);
    assert_eq!(broken.shares[0].reason.as_deref(), Some("code 27: cannot parse"));
    let seq = spool.requeue(&destination("a"), 1).await.unwrap();
    assert_eq!(receipt(&spool, insert).await.state(), ReceiptState::Accepted);
    settle_next(&spool, "a", Outcome::Acknowledged).await;
    assert_eq!(receipt(&spool, insert).await.state(), ReceiptState::Delivered);
    spool = world.restart(spool).0;
    let delivered = receipt(&spool, insert).await;
    assert_eq!(
        states(&delivered),
        [("a".into(), ReceiptState::Delivered)],
        "batch {seq} in sent/"
    );
    assert_eq!((delivered.rows, delivered.raw_bytes), (1, 2));
    assert_eq!(spool.receipt(InsertId::random()).await.unwrap(), None);
    assert!(spool.receipts_since_ms().unwrap() <= delivered.accepted_at_ms);
}

#[tokio::test]
async fn a_watched_insert_is_cut_at_once_and_followed_to_every_shard() {
    let world = World::new();
    let spool = world.open();
    let lanes = ["a", "b"].map(|shard| spool.lane(&patient(remote(shard))).unwrap());
    let watching = watched(&spool, &[(lanes[0], b"1\n", 1), (lanes[1], b"2\n", 1)]).await;
    let delivered = watching.until(|receipt| (receipt.state() == ReceiptState::Delivered).then_some(()));
    tokio::pin!(delivered);
    settle_next(&spool, "a", Outcome::Acknowledged).await;
    assert!(futures_pending(delivered.as_mut()).await);
    settle_next(&spool, "b", Outcome::Acknowledged).await;
    assert_eq!(delivered.await, Some(()));
}

/// Whether the future has no result yet.
async fn futures_pending<F: Future + Unpin>(future: F) -> bool {
    let no_time = std::time::Duration::from_millis(20);
    tokio::time::timeout(no_time, future).await.is_err()
}

#[tokio::test]
async fn a_wait_begins_again_behind_a_restart_whatever_its_rows_have_come_to() {
    let world = World::new();
    let mut spool = world.open();
    let lanes = ["a", "b", "c"].map(|shard| spool.lane(&patient(remote(shard))).unwrap());
    let rows: Vec<(LaneId, &[u8], u64)> = lanes.iter().map(|lane| (*lane, b"1\n".as_slice(), 1)).collect();
    let insert = world.commit(&spool, &rows[..2]).await;
    settle_first(&spool).await;
    let neighbour = world.commit(&spool, &rows[2..]).await;
    spool = world.restart(spool).0;
    let watching = spool.watch(insert, Some("d.t")).await.unwrap().unwrap();
    let now = watching.receipt().unwrap();
    assert_eq!(
        states(&now),
        [("b".into(), ReceiptState::Accepted)],
        "a has its rows"
    );
    watching.hurry();
    settle_next(&spool, "b", Outcome::Acknowledged).await;
    let ended = watching.until(|receipt| (receipt.state() == ReceiptState::Delivered).then_some(()));
    assert_eq!(ended.await, Some(()));
    assert_eq!(receipt(&spool, neighbour).await.state(), ReceiptState::Accepted);
}

/// Cuts everything and brings shard `a` its rows.
async fn settle_first(spool: &Spool) {
    spool.flush(None).await;
    settle_next(spool, "a", Outcome::Acknowledged).await;
}

#[tokio::test]
async fn of_a_batch_that_is_taken_apart_the_refused_insert_is_broken_and_its_neighbour_delivered() {
    let world = World::new();
    let spool = world.open();
    let lane = spool.lane(&patient(remote("a"))).unwrap();
    let good = world.commit(&spool, &[(lane, b"1\n", 1)]).await;
    let bad = world.commit(&spool, &[(lane, b"x\n", 1)]).await;
    spool.flush(None).await;
    let watching = spool.watch(bad, None).await.unwrap().unwrap();
    settle_next(&spool, "a", refused()).await;
    settle_next(&spool, "a", Outcome::Acknowledged).await;
    settle_next(&spool, "a", refused()).await;
    let broken = watching.until(|receipt| (receipt.state() == ReceiptState::Broken).then(|| receipt.clone()));
    assert!(!broken.await.unwrap().shares[0].goes_on);
    assert_eq!(receipt(&spool, good).await.state(), ReceiptState::Delivered);
}

#[tokio::test]
async fn a_joined_batch_is_found_by_the_receipts_of_all_its_inserts_waiting_and_sent() {
    let mut world = World::new();
    world.options.join_files_max = 2;
    let spool = world.open();
    let lane = spool.lane(&patient(remote("a"))).unwrap();
    let first = world.commit(&spool, &[(lane, b"1\n", 1)]).await;
    spool.flush(None).await;
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let second = world.commit(&spool, &[(lane, b"2\n", 1)]).await;
    spool.flush(None).await;
    let watching = spool.watch(second, None).await.unwrap().unwrap();
    let batch = spool.next(&destination("a")).await.unwrap();
    assert_eq!(batch.rows(), 2, "both are in it");
    drop(batch);
    assert_eq!(
        states(&receipt(&spool, first).await),
        [("a".into(), ReceiptState::Accepted)]
    );
    settle_next(&spool, "a", Outcome::Acknowledged).await;
    assert_eq!(watching.receipt().unwrap().state(), ReceiptState::Delivered);
    drop(watching);
    let (spool, _) = world.restart(spool);
    for insert in [first, second] {
        let delivered = receipt(&spool, insert).await;
        assert_eq!(states(&delivered), [("a".into(), ReceiptState::Delivered)]);
    }
}

#[tokio::test]
async fn receipts_outlive_their_journal_segment() {
    let mut world = World::new();
    world.options.segment_bytes = 4 << 10;
    let spool = world.open();
    let lane = spool.lane(&remote("a")).unwrap();
    let mut inserts = Vec::new();
    for _ in 0..60 {
        inserts.push(world.commit(&spool, &[(lane, &[b'1'; 200], 1)]).await);
    }
    let (spool, _) = world.restart(spool);
    for insert in [inserts[0], inserts[59]] {
        assert_eq!(receipt(&spool, insert).await.rows, 1);
    }
}
