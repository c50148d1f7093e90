//! INSERTs whose client waits for a local replica.

use super::support::*;
use crate::*;

fn refusal() -> ShardRefusal {
    ShardRefusal {
        code: Some(27),
        text: "cannot parse".into(),
    }
}

fn refused() -> Outcome {
    Outcome::Refused {
        code: Some(27),
        text: "cannot parse".into(),
    }
}

struct Lanes {
    here: LaneId,
    there: LaneId,
}

fn lanes(spool: &Spool) -> Lanes {
    Lanes {
        here: spool.lane(&local("here")).unwrap(),
        there: spool.lane(&remote("there")).unwrap(),
    }
}

#[tokio::test]
async fn remote_rows_wait_until_the_local_replica_took_its_own() {
    let world = World::new();
    let spool = world.open();
    let Lanes { here, there } = lanes(&spool);
    let mut accepted = world.accept(&spool, &[(here, b"h", 1), (there, b"t", 1)]).await;
    assert_eq!(spool.pending(), [accepted.insert]);
    spool.flush(None).await;
    assert!(within_a_moment(spool.next(&destination("there"))).await.is_none());
    assert_eq!(take_next(&spool, &destination("here")).await, b"h");
    let outcome = accepted.pending.as_mut().unwrap().outcome().await;
    assert_eq!((outcome, spool.pending()), (PendingOutcome::Delivered, vec![]));
    assert_eq!(take_next(&spool, &destination("there")).await, b"t");
}

#[tokio::test]
async fn a_refused_insert_is_undone_everywhere() {
    let world = World::new();
    let spool = world.open();
    let Lanes { here, there } = lanes(&spool);
    let mut accepted = world.accept(&spool, &[(here, b"h", 1), (there, b"t", 1)]).await;
    let settled = settle_next(&spool, &destination("here"), refused()).await;
    assert_eq!(
        settled,
        Settled::Aborted {
            insert: accepted.insert
        }
    );
    let outcome = accepted.pending.as_mut().unwrap().outcome().await;
    assert_eq!(outcome, PendingOutcome::Aborted(refusal()));
    until("no file is left", || world.names("d.t/here").is_empty()).await;
    let (spool, report) = world.restart(spool);
    assert_eq!((report.uncut_shares, report.waiting, report.pending), (0, 0, 0));
    assert!(spool.go(accepted.insert, "late").await.is_err());
}

#[tokio::test]
async fn of_several_inserts_in_a_refused_batch_only_the_bad_one_is_undone() {
    let world = World::new();
    let spool = world.open();
    let Lanes { here, there } = lanes(&spool);
    let first = world.accept(&spool, &[(here, b"0", 1)]).await;
    let in_flight = spool.next(&destination("here")).await.unwrap();
    let mut waiting = Vec::new();
    for rows in [b"good".as_slice(), b"bad!", b"fine"] {
        waiting.push(world.accept(&spool, &[(here, rows, 1), (there, rows, 1)]).await);
    }
    spool.settle(&in_flight, Outcome::Acknowledged).await.unwrap();
    drop((in_flight, first));
    let (delivered, _) = send_all(&spool, &destination("here"), |rows| {
        rows != b"bad!" && rows.len() == 4
    })
    .await;
    assert_eq!(delivered, b"goodfine");
    let mut outcomes = Vec::new();
    for accepted in &mut waiting {
        outcomes.push(accepted.pending.as_mut().unwrap().outcome().await);
    }
    use PendingOutcome::*;
    assert_eq!(outcomes, [Delivered, Aborted(refusal()), Delivered]);
    spool.flush(None).await;
    let mut remote_rows = Vec::new();
    while spool.destination(&destination("there")).unwrap().waiting.files > 0 {
        remote_rows.extend(take_next(&spool, &destination("there")).await);
    }
    assert_eq!(remote_rows, b"goodfine");
}

#[tokio::test]
async fn trouble_that_may_pass_ends_the_wait_and_later_inserts_do_not_wait_at_all() {
    let world = World::new();
    let spool = world.open();
    let Lanes { here, there } = lanes(&spool);
    let mut first = world.accept(&spool, &[(here, b"1", 1), (there, b"t", 1)]).await;
    settle_next(
        &spool,
        &destination("here"),
        Outcome::Retry { error: "down".into() },
    )
    .await;
    let waiting = PendingOutcome::Waiting("down".into());
    assert_eq!(first.pending.as_mut().unwrap().outcome().await, waiting);
    assert_eq!(take_next(&spool, &destination("there")).await, b"t");
    let mut second = world.accept(&spool, &[(here, b"2", 1)]).await;
    let PendingOutcome::Waiting(why) = second.pending.as_mut().unwrap().outcome().await else {
        panic!()
    };
    assert_eq!(why, "batch 1 waits for a retry: down");
    assert_eq!(take_next(&spool, &destination("here")).await, b"1");
    assert_eq!(take_next(&spool, &destination("here")).await, b"2");
}

#[tokio::test]
async fn after_a_timeout_nothing_undoes_the_insert() {
    let world = World::new();
    let spool = world.open();
    let Lanes { here, there } = lanes(&spool);
    let mut accepted = world.accept(&spool, &[(here, b"h", 1), (there, b"t", 1)]).await;
    let batch = spool.next(&destination("here")).await.unwrap();
    let outcome = spool.go(accepted.insert, "timeout").await.unwrap();
    assert_eq!(outcome, PendingOutcome::Waiting("timeout".into()));
    assert_eq!(accepted.pending.as_mut().unwrap().outcome().await, outcome);
    assert_eq!(spool.settle(&batch, refused()).await.unwrap(), Settled::Broken);
    assert_eq!(take_next(&spool, &destination("there")).await, b"t");
    assert!(matches!(
        spool.go(accepted.insert, "again").await,
        Err(QueueError::NotPending(_))
    ));
}

#[tokio::test]
async fn one_local_batch_runs_at_a_time_and_what_comes_meanwhile_joins_the_next() {
    let world = World::new();
    let spool = world.open();
    let here = spool.lane(&local("here")).unwrap();
    let _first = world.accept(&spool, &[(here, b"1", 1)]).await;
    let in_flight = spool.next(&destination("here")).await.unwrap();
    for rows in [b"2", b"3", b"4"] {
        world.accept(&spool, &[(here, rows, 1)]).await;
    }
    assert_eq!(spool.destination(&destination("here")).unwrap().uncut.rows, 3);
    spool.settle(&in_flight, Outcome::Acknowledged).await.unwrap();
    drop(in_flight);
    assert_eq!(take_next(&spool, &destination("here")).await, b"234");
}

#[tokio::test]
async fn pending_inserts_are_pending_after_a_restart_and_tried_locally_again() {
    let world = World::new();
    let spool = world.open();
    let Lanes { here, there } = lanes(&spool);
    let accepted = world.accept(&spool, &[(here, b"h", 1), (there, b"t", 1)]).await;
    let mut batch = spool.next(&destination("here")).await.unwrap();
    spool.attempt(&mut batch, "h:1").await.unwrap();
    drop(batch);
    let (spool, report) = world.restart(spool);
    assert_eq!((report.pending, report.in_doubt, report.waiting), (1, 1, 1));
    assert_eq!(spool.pending(), [accepted.insert]);
    assert!(within_a_moment(spool.next(&destination("there"))).await.is_none());
    assert_eq!(spool.next(&destination("here")).await.unwrap().attempts(), 1);
    take_next(&spool, &destination("here")).await;
    assert_eq!(take_next(&spool, &destination("there")).await, b"t");
}

#[tokio::test]
async fn a_share_for_a_local_and_a_remote_replica_is_stored_once_and_sent_to_both() {
    let mut world = World::new();
    (world.options.inline_bytes_max, world.options.stage_memory_bytes) = (1 << 10, 5 << 20);
    let spool = world.open();
    let here = LaneSpec {
        destinations: vec![replica("s", "a:1")],
        ..local("s")
    };
    let there = LaneSpec {
        destinations: vec![replica("s", "b:1"), replica("s", "c:1")],
        ..remote("s")
    };
    let lanes = ShareLanes {
        local: Some(spool.lane(&here).unwrap()),
        remote: Some(spool.lane(&there).unwrap()),
    };
    let mut stage = spool.stage(InsertId::random(), None, shape(), &[lanes]);
    let rows = noise(11 << 20);
    rows.chunks(50_000)
        .for_each(|run| stage.append(0, run, 1).unwrap());
    spool
        .commit(stage.finish().unwrap(), CommitHead::default())
        .await
        .unwrap();
    for replica in [replica("s", "a:1"), replica("s", "b:1"), replica("s", "c:1")] {
        assert!(take_next(&spool, &replica).await == rows, "{replica}");
    }
    until("the temporary names are gone", || {
        !world
            .names("d.t/s@a:1")
            .iter()
            .any(|name| name.starts_with("tmp"))
    })
    .await;
}

#[tokio::test]
async fn a_large_refused_insert_is_undone_with_all_its_batches() {
    let world = World::new();
    let spool = world.open();
    let mut spec = local("here");
    spec.limits.max_rows = 2;
    let here = spool.lane(&spec).unwrap();
    let lanes = [ShareLanes {
        local: Some(here),
        remote: None,
    }];
    let mut stage = spool.stage(InsertId::random(), None, shape(), &lanes);
    (0..5).for_each(|_| stage.append(0, b"xy", 2).unwrap());
    let mut accepted = spool
        .commit(stage.finish().unwrap(), CommitHead::default())
        .await
        .unwrap();
    let settled = settle_next(&spool, &destination("here"), refused()).await;
    assert_eq!(
        settled,
        Settled::Aborted {
            insert: accepted.insert
        }
    );
    assert_eq!(
        accepted.pending.as_mut().unwrap().outcome().await,
        PendingOutcome::Aborted(refusal())
    );
    spool.flush(None).await;
    until("no batch is left", || {
        spool.destination(&destination("here")).unwrap().waiting.files == 0
    })
    .await;
    assert_eq!(spool.destination(&destination("here")).unwrap().uncut.rows, 0);
}
