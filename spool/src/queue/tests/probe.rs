//! INSERTs of a shape that no shard has read yet: one destination gets some of the rows first.

use super::support::*;
use crate::*;

fn refused() -> Outcome {
    Outcome::Refused {
        code: Some(27),
        text: "cannot parse".into(),
    }
}

fn aborted() -> PendingOutcome {
    PendingOutcome::Aborted(ShardRefusal {
        code: Some(27),
        text: "cannot parse".into(),
    })
}

fn target(lane: LaneId) -> ProbeTarget {
    ProbeTarget { lane, destination: 0 }
}

async fn accept(
    world: &World,
    spool: &Spool,
    rows: &[(LaneId, &[u8], u64)],
    probe: &[ProbeTarget],
) -> Accepted {
    let head = CommitHead {
        probe: probe.to_vec(),
        ..CommitHead::default()
    };
    spool.commit(world.stage(spool, rows), head).await.unwrap()
}

async fn outcome(accepted: &mut Accepted) -> PendingOutcome {
    accepted.pending.as_mut().unwrap().outcome().await
}

fn waits(spool: &Spool, to: &Destination) -> bool {
    spool.destination(to).is_some_and(|to| to.waiting.files == 1)
}

struct Pair {
    a: LaneId,
    b: LaneId,
}

/// Two remote lanes that are in no hurry.
fn pair(spool: &Spool) -> Pair {
    Pair {
        a: spool.lane(&patient(remote("a"))).unwrap(),
        b: spool.lane(&patient(remote("b"))).unwrap(),
    }
}

#[tokio::test]
async fn a_probe_is_cut_at_once_and_alone_while_the_rest_of_its_insert_waits() {
    let world = World::new();
    let spool = world.open();
    let Pair { a, b } = pair(&spool);
    world.commit(&spool, &[(a, b"before", 1)]).await;
    let mut probed = accept(&world, &spool, &[(a, b"pa", 1), (b, b"pb", 1)], &[target(a)]).await;
    world.commit(&spool, &[(a, b"behind", 1)]).await;
    assert!(probed.pending.as_ref().unwrap().is_probe());
    assert_eq!(take_next(&spool, &destination("a")).await, b"before");
    spool.flush(None).await;
    assert!(within_a_moment(spool.next(&destination("b"))).await.is_none());
    assert_eq!(take_next(&spool, &destination("a")).await, b"pa");
    assert_eq!(outcome(&mut probed).await, PendingOutcome::Delivered);
    spool.flush(None).await;
    assert_eq!(take_next(&spool, &destination("b")).await, b"pb");
    assert_eq!(take_next(&spool, &destination("a")).await, b"behind");
}

#[tokio::test]
async fn a_refused_probe_leaves_nothing_of_its_insert_anywhere() {
    let world = World::new();
    let spool = world.open();
    let Pair { a, b } = pair(&spool);
    let mut probed = accept(&world, &spool, &[(a, b"pa", 1), (b, b"pb", 1)], &[target(b)]).await;
    let settled = settle_next(&spool, &destination("b"), refused()).await;
    assert_eq!(
        settled,
        Settled::Aborted {
            insert: probed.insert
        }
    );
    assert_eq!(outcome(&mut probed).await, aborted());
    until("no file is left", || world.names("d.t/b").is_empty()).await;
    let (spool, report) = world.restart(spool);
    assert_eq!((report.uncut_shares, report.waiting, report.pending), (0, 0, 0));
    spool.flush(None).await;
    assert!(within_a_moment(spool.next(&destination("a"))).await.is_none());
}

#[tokio::test]
async fn what_does_not_fit_the_table_undoes_a_probe_and_holds_a_batch_that_nobody_waits_for() {
    let world = World::new();
    let spool = world.open();
    let Pair { a, .. } = pair(&spool);
    let unfit = || Outcome::Unfit {
        code: Some(16),
        text: "no such column c".into(),
        error: "code 16".into(),
    };
    let mut probed = accept(&world, &spool, &[(a, b"p", 1)], &[target(a)]).await;
    settle_next(&spool, &destination("a"), unfit()).await;
    let refusal = ShardRefusal {
        code: Some(16),
        text: "no such column c".into(),
    };
    assert_eq!(outcome(&mut probed).await, PendingOutcome::Aborted(refusal));
    world.commit(&spool, &[(a, b"later", 1)]).await;
    spool.flush(None).await;
    assert_eq!(
        settle_next(&spool, &destination("a"), unfit()).await,
        Settled::Held
    );
}

#[tokio::test]
async fn with_several_replicas_to_serve_only_the_probed_one_gets_rows_before_the_insert_is_sure() {
    let world = World::new();
    let spool = world.open();
    let spec = LaneSpec {
        destinations: vec![replica("s", "a:1"), replica("s", "b:1")],
        ..remote("s")
    };
    let lane = spool.lane(&spec).unwrap();
    let probe = ProbeTarget { lane, destination: 1 };
    let mut bad = accept(&world, &spool, &[(lane, b"bad", 1)], &[probe]).await;
    until("both are cut", || waits(&spool, &replica("s", "a:1"))).await;
    assert!(within_a_moment(spool.next(&replica("s", "a:1"))).await.is_none());
    settle_next(&spool, &replica("s", "b:1"), refused()).await;
    assert_eq!(outcome(&mut bad).await, aborted());
    let mut good = accept(&world, &spool, &[(lane, b"good", 1)], &[probe]).await;
    assert_eq!(take_next(&spool, &replica("s", "b:1")).await, b"good");
    assert_eq!(outcome(&mut good).await, PendingOutcome::Delivered);
    assert_eq!(take_next(&spool, &replica("s", "a:1")).await, b"good");
}

#[tokio::test]
async fn after_a_timeout_the_other_replicas_are_served_as_well() {
    let world = World::new();
    let spool = world.open();
    let spec = LaneSpec {
        destinations: vec![replica("s", "a:1"), replica("s", "b:1")],
        ..remote("s")
    };
    let lane = spool.lane(&spec).unwrap();
    let accepted = accept(
        &world,
        &spool,
        &[(lane, b"p", 1)],
        &[ProbeTarget { lane, destination: 0 }],
    )
    .await;
    until("both are cut", || waits(&spool, &replica("s", "b:1"))).await;
    spool.go(accepted.insert, "timeout").await.unwrap();
    assert_eq!(take_next(&spool, &replica("s", "b:1")).await, b"p");
    assert_eq!(
        settle_next(&spool, &replica("s", "a:1"), refused()).await,
        Settled::Broken
    );
}

#[tokio::test]
async fn the_first_destination_where_nothing_waits_is_probed_and_without_one_the_rows_wait() {
    let world = World::new();
    let spool = world.open();
    let Pair { a, b } = pair(&spool);
    spool
        .hold_destination(&destination("a"), "wrong password")
        .await
        .unwrap();
    let both = [target(a), target(b)];
    let mut probed = accept(&world, &spool, &[(a, b"pa", 1), (b, b"pb", 1)], &both).await;
    assert_eq!(take_next(&spool, &destination("b")).await, b"pb");
    assert_eq!(outcome(&mut probed).await, PendingOutcome::Delivered);
    let mut waiting = accept(&world, &spool, &[(a, b"wa", 1)], &both).await;
    let PendingOutcome::Waiting(why) = outcome(&mut waiting).await else {
        panic!("there is nobody to ask")
    };
    assert_eq!(why, "the destination is held: wrong password");
    assert!(waiting.pending.unwrap().is_probe() && spool.pending().is_empty());
}

#[tokio::test]
async fn one_batch_of_a_large_probe_is_enough() {
    let world = World::new();
    let spool = world.open();
    let mut spec = patient(remote("a"));
    spec.limits.max_rows = 2;
    let a = spool.lane(&spec).unwrap();
    let lanes = [ShareLanes {
        remote: Some(a),
        local: None,
    }];
    let mut stage = spool.stage(InsertId::random(), None, shape(), &lanes);
    (0..5).for_each(|_| stage.append(0, b"xy", 2).unwrap());
    let head = CommitHead {
        probe: vec![target(a)],
        ..CommitHead::default()
    };
    let mut accepted = spool.commit(stage.finish().unwrap(), head).await.unwrap();
    take_next(&spool, &destination("a")).await;
    assert_eq!(outcome(&mut accepted).await, PendingOutcome::Delivered);
    spool.flush(None).await;
    let (rest, _) = send_all(&spool, &destination("a"), |_| true).await;
    assert_eq!(rest, b"xyxyxyxy");
}

#[tokio::test]
async fn a_probe_found_after_a_crash_comes_to_an_end_like_any_other() {
    let world = World::new();
    let spool = world.open();
    let Pair { a, b } = pair(&spool);
    let first = accept(&world, &spool, &[(a, b"1a", 1), (b, b"1b", 1)], &[target(a)]).await;
    let (spool, report) = world.restart(spool);
    assert_eq!(report.pending, 1);
    let settled = settle_next(&spool, &destination("a"), refused()).await;
    // Once it was cut before the crash, whoever else is in its batch is not known any more.
    assert!(
        matches!(settled, Settled::Aborted { .. } | Settled::Broken),
        "{settled:?}"
    );
    assert!(spool.go(first.insert, "late").await.is_err());
    let second = accept(&world, &spool, &[(a, b"2a", 1), (b, b"2b", 1)], &[target(a)]).await;
    let (spool, _) = world.restart(spool);
    assert_eq!(spool.pending(), [second.insert]);
    spool
        .go(second.insert, "it was found at the start")
        .await
        .unwrap();
    assert_eq!(take_next(&spool, &destination("a")).await, b"2a");
    spool.flush(None).await;
    let (rest, _) = send_all(&spool, &destination("b"), |_| true).await;
    assert!(rest.ends_with(b"2b"), "{rest:?}");
}

fn retry() -> Outcome {
    Outcome::Retry { error: "down".into() }
}

fn hold() -> Outcome {
    Outcome::HoldBatch {
        error: "code 1001".into(),
    }
}

#[tokio::test]
async fn a_held_batch_does_not_keep_the_next_shape_from_being_probed() {
    let world = World::new();
    let spool = world.open();
    let Pair { a, .. } = pair(&spool);
    world.commit(&spool, &[(a, b"aside", 1)]).await;
    spool.flush(None).await;
    settle_next(&spool, &destination("a"), hold()).await;
    let mut probed = accept(&world, &spool, &[(a, b"p", 1)], &[target(a)]).await;
    settle_next(&spool, &destination("a"), refused()).await;
    assert_eq!(outcome(&mut probed).await, aborted());
}

#[tokio::test]
async fn a_probe_waits_behind_a_batch_that_is_tried_again_where_no_better_destination_is() {
    let world = World::new();
    let spool = world.open();
    let Pair { a, b } = pair(&spool);
    world.commit(&spool, &[(a, b"slow", 1)]).await;
    spool.flush(None).await;
    settle_next(&spool, &destination("a"), retry()).await;
    let both = [target(a), target(b)];
    let mut elsewhere = accept(&world, &spool, &[(a, b"1a", 1), (b, b"1b", 1)], &both).await;
    assert_eq!(take_next(&spool, &destination("b")).await, b"1b");
    assert_eq!(outcome(&mut elsewhere).await, PendingOutcome::Delivered);
    let mut behind = accept(&world, &spool, &[(a, b"2a", 1)], &both).await;
    for before in ["slow", "1a"] {
        assert_eq!(take_next(&spool, &destination("a")).await, before.as_bytes());
    }
    settle_next(&spool, &destination("a"), refused()).await;
    assert_eq!(outcome(&mut behind).await, aborted());
}

#[tokio::test]
async fn the_client_of_a_probe_learns_that_its_rows_are_set_aside_and_not_merely_late() {
    let world = World::new();
    let spool = world.open();
    let Pair { a, .. } = pair(&spool);
    let mut probed = accept(&world, &spool, &[(a, b"p", 1)], &[target(a)]).await;
    settle_next(&spool, &destination("a"), hold()).await;
    assert_eq!(
        outcome(&mut probed).await,
        PendingOutcome::SetAside("code 1001".into())
    );
}
