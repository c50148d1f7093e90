//! What an attempt of unknown outcome forbids, and what a proof allows again; also behind a restart.

use super::support::*;
use crate::*;

const A: &str = "a:8123";
const B: &str = "b:8123";

fn retry() -> Outcome {
    Outcome::Retry {
        error: "cut".to_owned(),
    }
}

fn refused() -> Outcome {
    Outcome::Refused {
        code: Some(27),
        text: "cannot parse".to_owned(),
    }
}

/// A spool with a batch of two INSERTs for s1.
async fn with_two_inserts(world: &World) -> Spool {
    let spool = world.open();
    let lane = spool.lane(&patient(remote("s1"))).unwrap();
    world.commit(&spool, &[(lane, b"one", 1)]).await;
    world.commit(&spool, &[(lane, b"two", 1)]).await;
    spool.flush(None).await;
    spool
}

/// One attempt at the next batch; `proved` says that it wrote nothing.
async fn attempt(spool: &Spool, replica: &str, proved: bool, outcome: Outcome) -> Settled {
    let mut batch = spool.next(&destination("s1")).await.unwrap();
    spool.attempt(&mut batch, replica).await.unwrap();
    if proved {
        batch.disproved();
    }
    spool.settle(&batch, outcome).await.unwrap()
}

async fn doubtful(spool: &Spool) -> Option<String> {
    let batch = spool.next(&destination("s1")).await.unwrap();
    batch.may_have().map(|holder| holder.to_string())
}

#[tokio::test]
async fn a_refused_batch_that_may_be_somewhere_is_held_and_never_cut_again() {
    let world = World::new();
    let spool = with_two_inserts(&world).await;
    assert_eq!(attempt(&spool, A, false, retry()).await, Settled::Waits);
    let (spool, _) = world.restart(spool);
    assert_eq!(doubtful(&spool).await.as_deref(), Some(A));
    assert_eq!(attempt(&spool, A, true, retry()).await, Settled::Waits);
    assert_eq!(
        doubtful(&spool).await.as_deref(),
        Some(A),
        "the first one is open"
    );
    assert_eq!(attempt(&spool, A, false, refused()).await, Settled::Held);
    let status = spool.destination(&destination("s1")).unwrap();
    assert_eq!((status.waiting.files, status.held.files), (0, 1));
}

#[tokio::test]
async fn a_held_batch_that_an_operator_answers_for_is_taken_apart_when_it_is_refused_again() {
    let world = World::new();
    let spool = with_two_inserts(&world).await;
    assert_eq!(attempt(&spool, A, false, retry()).await, Settled::Waits);
    assert_eq!(attempt(&spool, A, true, refused()).await, Settled::Held);
    spool.requeue(&destination("s1"), 1).await.unwrap();
    let (spool, _) = world.restart(spool);
    assert_eq!(
        doubtful(&spool).await.as_deref(),
        Some(A),
        "it is tried there first"
    );
    assert!(matches!(
        attempt(&spool, A, true, refused()).await,
        Settled::Recut { .. }
    ));
}

#[tokio::test]
async fn attempts_that_wrote_nothing_leave_a_batch_free_to_go_elsewhere_and_to_be_cut_again() {
    let world = World::new();
    let spool = with_two_inserts(&world).await;
    assert_eq!(attempt(&spool, A, true, retry()).await, Settled::Waits);
    let (spool, _) = world.restart(spool);
    assert_eq!(doubtful(&spool).await, None);
    let mut batch = spool.next(&destination("s1")).await.unwrap();
    spool.attempt(&mut batch, A).await.unwrap();
    batch.disproved();
    spool.attempt(&mut batch, B).await.unwrap();
    assert_eq!(batch.may_have(), Some(MayHave::Replica(B)));
    assert!(matches!(
        spool.settle(&batch, refused()).await.unwrap(),
        Settled::Recut { .. }
    ));
}

#[tokio::test]
async fn an_attempt_that_a_crash_cut_off_is_in_doubt_at_its_replica() {
    let world = World::new();
    let spool = with_two_inserts(&world).await;
    let mut batch = spool.next(&destination("s1")).await.unwrap();
    spool.attempt(&mut batch, B).await.unwrap();
    drop(batch);
    let (spool, report) = world.restart(spool);
    assert_eq!(report.in_doubt, 1);
    assert_eq!(doubtful(&spool).await.as_deref(), Some(B));
}

#[tokio::test]
async fn a_checkpoint_keeps_what_is_proved_and_what_is_not() {
    let mut world = World::new();
    world.options.segment_bytes = 64 << 10;
    let spool = with_two_inserts(&world).await;
    assert_eq!(attempt(&spool, A, false, retry()).await, Settled::Waits);
    assert_eq!(attempt(&spool, B, true, retry()).await, Settled::Waits);
    let lane = spool.lane(&remote("s2")).unwrap();
    while !world.exists("meta/checkpoint") {
        world.commit(&spool, &[(lane, &[b'x'; 16 << 10], 1)]).await;
    }
    let (spool, _) = world.restart(spool);
    assert_eq!(doubtful(&spool).await.as_deref(), Some(A));
    let batch = spool.next(&destination("s1")).await.unwrap();
    assert_eq!(batch.attempts(), 2);
}
