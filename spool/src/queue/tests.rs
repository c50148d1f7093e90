//! The queue as the router uses it, on real files. Crashes are in `crash.rs`, long random histories in
//! `model.rs`.

mod bytes;
mod client_tokens;
mod crash;
mod damage;
mod doubt;
mod full;
mod joined;
mod local;
mod lost;
mod model;
mod probe;
mod receipts;
mod retries;
mod start;
pub mod support;

use std::time::Duration;

use self::support::*;
use crate::*;

#[tokio::test]
async fn an_insert_is_cut_sent_and_kept_in_sent() {
    let world = World::new();
    let spool = world.open();
    let lane = spool.lane(&remote("s1")).unwrap();
    let insert = world.commit(&spool, &[(lane, b"row1row2", 2)]).await;
    let mut batch = spool.next(&destination("s1")).await.unwrap();
    assert_eq!((batch.rows(), batch.raw_bytes()), (2, 8));
    assert_eq!(batch.segments()[0].insert, insert);
    assert_eq!(rows_of(&batch), b"row1row2");
    assert_eq!(spool.attempt(&mut batch, "h:1").await.unwrap(), 1);
    assert_eq!(
        spool.settle(&batch, Outcome::Acknowledged).await.unwrap(),
        Settled::Acknowledged
    );
    drop(batch);
    until("the file lies in sent/", || {
        world.exists("d.t/s1/sent/00000000000000000001.bin")
    })
    .await;
    let status = spool.destination(&destination("s1")).unwrap();
    assert_eq!(
        (status.waiting.files, status.uncut.rows, status.acknowledged_rows),
        (0, 0, 2)
    );
    spool.shutdown().await;
}

#[tokio::test]
async fn what_was_accepted_is_there_after_a_restart() {
    let world = World::new();
    let spool = world.open();
    let lane = spool.lane(&patient(remote("s1"))).unwrap();
    for _ in 0..3 {
        world.commit(&spool, &[(lane, b"abcd", 1)]).await;
    }
    drop(spool);
    let (spool, report) = world.reopen();
    assert_eq!((report.uncut_shares, report.torn_bytes), (3, 0));
    let batch = spool.next(&destination("s1")).await.unwrap();
    assert_eq!(rows_of(&batch), b"abcdabcdabcd");
}

#[tokio::test]
async fn a_shutdown_cuts_what_waits_and_the_next_start_finds_it() {
    let world = World::new();
    let spool = world.open();
    let lane = spool.lane(&patient(remote("s1"))).unwrap();
    world.commit(&spool, &[(lane, b"abcd", 1)]).await;
    spool.clone().shutdown().await;
    assert!(world.exists("d.t/s1/00000000000000000001.bin"));
    assert!(matches!(spool.next(&destination("s1")).await, Err(Closed)));
    drop(spool);
    let (spool, report) = world.reopen();
    assert_eq!((report.uncut_shares, report.waiting, report.records), (0, 1, 0));
    assert_eq!(spool.destination(&destination("s1")).unwrap().waiting.rows, 1);
}

#[tokio::test]
async fn one_router_a_directory() {
    let world = World::new();
    let spool = world.open();
    let refused = Spool::open(world.options.clone()).unwrap_err().to_string();
    assert!(
        refused.ends_with(&format!("is in use by process {}", std::process::id())),
        "{refused}"
    );
    drop(spool);
    world.open();
}

#[tokio::test]
async fn a_batch_that_waits_for_a_retry_holds_the_next_back() {
    let world = World::new();
    let spool = world.open();
    let lane = spool.lane(&remote("s1")).unwrap();
    world.commit(&spool, &[(lane, b"first", 1)]).await;
    spool.flush(None).await;
    world.commit(&spool, &[(lane, b"second", 1)]).await;
    spool.flush(None).await;
    for attempt in 1..=3 {
        let mut batch = spool.next(&destination("s1")).await.unwrap();
        assert_eq!((batch.seq(), batch.attempts()), (1, attempt - 1));
        assert_eq!(spool.attempt(&mut batch, "h:1").await.unwrap(), attempt);
        let outcome = Outcome::Retry {
            error: "refused".into(),
        };
        assert_eq!(spool.settle(&batch, outcome).await.unwrap(), Settled::Waits);
    }
    assert_eq!(
        spool
            .destination(&destination("s1"))
            .unwrap()
            .last_error
            .as_deref(),
        Some("refused")
    );
}

#[tokio::test]
async fn a_held_batch_is_passed_over_until_it_is_requeued() {
    let world = World::new();
    let spool = world.open();
    let lane = spool.lane(&remote("s1")).unwrap();
    for rows in [b"first".as_slice(), b"second"] {
        world.commit(&spool, &[(lane, rows, 1)]).await;
        spool.flush(None).await;
    }
    let to = destination("s1");
    settle_next(
        &spool,
        &to,
        Outcome::HoldBatch {
            error: "doubt".into(),
        },
    )
    .await;
    assert_eq!(spool.next(&to).await.unwrap().seq(), 2);
    let (spool, report) = world.restart(spool);
    assert_eq!(report.waiting, 2);
    assert_eq!(spool.destination(&to).unwrap().held.rows, 1);
    assert_eq!(spool.requeue(&to, 1).await.unwrap(), 1);
    let batch = spool.next(&to).await.unwrap();
    assert_eq!((batch.seq(), batch.attempts()), (1, 1));
}

#[tokio::test]
async fn a_held_destination_gives_nothing_until_it_is_resumed() {
    let world = World::new();
    let spool = world.open();
    let (one, two) = (
        spool.lane(&remote("s1")).unwrap(),
        spool.lane(&remote("s2")).unwrap(),
    );
    world.commit(&spool, &[(one, b"a", 1), (two, b"b", 1)]).await;
    let to = destination("s1");
    let settled = settle_next(
        &spool,
        &to,
        Outcome::HoldDestination {
            error: "password".into(),
        },
    )
    .await;
    assert_eq!(settled, Settled::DestinationHeld);
    assert!(within_a_moment(spool.next(&to)).await.is_none());
    assert_eq!(spool.next(&destination("s2")).await.unwrap().rows(), 1);
    let (spool, _) = world.restart(spool);
    assert_eq!(
        spool.destination(&to).unwrap().destination_held.as_deref(),
        Some("password")
    );
    let waiting = tokio::spawn({
        let (spool, to) = (spool.clone(), to.clone());
        async move { spool.next(&to).await.map(|batch| batch.seq()) }
    });
    spool.resume_destination(&to).await.unwrap();
    assert_eq!(waiting.await.unwrap(), Ok(1));
}

#[tokio::test]
async fn a_refused_batch_is_cut_again_until_the_insert_at_fault_stands_alone() {
    let world = World::new();
    let spool = world.open();
    let lane = spool.lane(&patient(remote("s1"))).unwrap();
    for number in 0..40 {
        let rows = if number == 23 {
            b"bad!".to_vec()
        } else {
            format!("n{number:03}").into_bytes()
        };
        world.commit(&spool, &[(lane, &rows, 1)]).await;
    }
    spool.flush(None).await;
    let (delivered, sends) = send_all(&spool, &destination("s1"), |rows| {
        !rows.windows(4).any(|row| row == b"bad!")
    })
    .await;
    assert_eq!(delivered.len(), 39 * 4);
    assert!(sends <= 1 + 16 + 3, "{sends} sends");
    until("the bad row lies in broken/", || {
        spool.destination(&destination("s1")).unwrap().broken.files == 1
    })
    .await;
    let status = spool.destination(&destination("s1")).unwrap();
    assert_eq!((status.waiting.files, status.acknowledged_rows), (0, 39));
}

#[tokio::test]
async fn a_broken_batch_lies_beside_its_error_and_can_be_requeued() {
    let world = World::new();
    let spool = world.open();
    let lane = spool.lane(&remote("s1")).unwrap();
    world.commit(&spool, &[(lane, b"bad!", 1)]).await;
    let to = destination("s1");
    let refused = Outcome::Refused {
        code: Some(27),
        text: "cannot parse".into(),
    };
    assert_eq!(settle_next(&spool, &to, refused).await, Settled::Broken);
    until("broken/", || {
        world.exists("d.t/s1/broken/00000000000000000001.bin")
    })
    .await;
    assert_eq!(
        world.read("d.t/s1/broken/00000000000000000001.error"),
        "code 27: cannot parse\n"
    );
    let (spool, _) = world.restart(spool);
    assert_eq!(spool.destination(&to).unwrap().broken.files, 1);
    assert_eq!(spool.requeue(&to, 1).await.unwrap(), 2);
    assert_eq!(rows_of(&spool.next(&to).await.unwrap()), b"bad!");
    assert_eq!(spool.destination(&to).unwrap().broken.files, 0);
    assert!(matches!(
        spool.requeue(&to, 1).await,
        Err(QueueError::NoBatch { seq: 1, .. })
    ));
}

#[tokio::test]
async fn a_full_broken_directory_leaves_the_batch_held_in_its_place() {
    let mut world = World::new();
    world.options.broken_bytes_max = 10;
    let spool = world.open();
    let lane = spool.lane(&remote("s1")).unwrap();
    world.commit(&spool, &[(lane, b"bad!", 1)]).await;
    let refused = Outcome::Refused {
        code: Some(27),
        text: "cannot parse".into(),
    };
    assert_eq!(
        settle_next(&spool, &destination("s1"), refused).await,
        Settled::Held
    );
    assert!(world.exists("d.t/s1/00000000000000000001.bin"));
}

#[tokio::test]
async fn a_dropped_batch_is_gone_and_one_that_is_sent_cannot_be_dropped() {
    let world = World::new();
    let spool = world.open();
    let lane = spool.lane(&remote("s1")).unwrap();
    world.commit(&spool, &[(lane, b"x", 1)]).await;
    let to = destination("s1");
    let batch = spool.next(&to).await.unwrap();
    assert!(matches!(
        spool.drop_batch(&to, 1).await,
        Err(QueueError::WrongState { .. })
    ));
    drop(batch);
    spool.drop_batch(&to, 1).await.unwrap();
    until("the file is removed", || {
        !world.exists("d.t/s1/00000000000000000001.bin")
    })
    .await;
    assert!(matches!(
        spool.drop_batch(&to, 1).await,
        Err(QueueError::NoBatch { .. })
    ));
}

#[tokio::test]
async fn every_replica_of_a_lane_has_its_own_queue_of_the_same_file() {
    let world = World::new();
    let spool = world.open();
    let replicas = [replica("s1", "a:1"), replica("s1", "b:1")];
    let lane = spool
        .lane(&LaneSpec {
            destinations: replicas.to_vec(),
            ..remote("s1")
        })
        .unwrap();
    world.commit(&spool, &[(lane, b"x", 1)]).await;
    let first = spool.next(&replicas[0]).await.unwrap();
    let second = spool.next(&replicas[1]).await.unwrap();
    assert_eq!(first.token(), second.token());
    assert_eq!(links_of(first.path()), 2);
    spool.settle(&first, Outcome::Acknowledged).await.unwrap();
    drop((first, second));
    let (spool, report) = world.restart(spool);
    assert_eq!(report.waiting, 1);
    assert_eq!(rows_of(&spool.next(&replicas[1]).await.unwrap()), b"x");
    assert!(within_a_moment(spool.next(&replicas[0])).await.is_none());
}

#[tokio::test]
async fn a_batch_holds_no_more_than_its_limits_and_rows_keep_their_order() {
    let world = World::new();
    let spool = world.open();
    let mut spec = patient(remote("s1"));
    (spec.limits.max_rows, spec.limits.max_bytes) = (10, 64);
    let lane = spool.lane(&spec).unwrap();
    let mut expected = Vec::new();
    for number in 0..30 {
        let rows = format!("{number:02}-{}", "x".repeat(number % 7));
        expected.extend_from_slice(rows.as_bytes());
        world.commit(&spool, &[(lane, rows.as_bytes(), 1)]).await;
    }
    spool.flush(None).await;
    let mut delivered = Vec::new();
    while spool.destination(&destination("s1")).unwrap().waiting.files > 0 {
        let batch = spool.next(&destination("s1")).await.unwrap();
        assert!(batch.rows() <= 10 && batch.raw_bytes() <= 64);
        delivered.extend(rows_of(&batch));
        spool.settle(&batch, Outcome::Acknowledged).await.unwrap();
    }
    assert_eq!(delivered, expected);
}

#[tokio::test]
async fn rows_of_different_shapes_are_never_joined() {
    let world = World::new();
    let spool = world.open();
    let lane = spool.lane(&patient(remote("s1"))).unwrap();
    for format in ["CSV", "TSKV", "CSV"] {
        let mut shape = (*shape()).clone();
        shape.format = format.into();
        let lanes = [ShareLanes {
            remote: Some(lane),
            local: None,
        }];
        let mut stage = spool.stage(InsertId::random(), None, shape.into(), &lanes);
        stage.append(0, format.as_bytes(), 1).unwrap();
        spool
            .commit(stage.finish().unwrap(), CommitHead::default())
            .await
            .unwrap();
    }
    spool.flush(None).await;
    let first = take_next(&spool, &destination("s1")).await;
    let second = take_next(&spool, &destination("s1")).await;
    assert_eq!((first, second), (b"CSVCSV".to_vec(), b"TSKV".to_vec()));
}

#[tokio::test]
async fn a_large_insert_spills_to_files_and_arrives_whole() {
    let mut world = World::new();
    (world.options.inline_bytes_max, world.options.stage_memory_bytes) = (64 << 10, 6 << 20);
    let spool = world.open();
    let lanes: Vec<_> = ["big", "small", "tiny"]
        .map(|shard| spool.lane(&patient(remote(shard))).unwrap())
        .into();
    let by_shard: Vec<_> = lanes
        .iter()
        .map(|lane| ShareLanes {
            remote: Some(*lane),
            local: None,
        })
        .collect();
    let mut stage = spool.stage(InsertId::random(), Some("tok".into()), shape(), &by_shard);
    let mut expected = [Vec::new(), Vec::new(), Vec::new()];
    for (number, run) in noise(20 << 20).chunks(30_000).enumerate() {
        let shard = match number % 50 {
            0 => 2,
            1..4 => 1,
            _ => 0,
        };
        expected[shard].extend_from_slice(run);
        stage.append(shard, run, run.len() as u64 / 10).unwrap();
        assert!(stage.memory_bytes() <= (6 << 20) + (1 << 20));
    }
    let staged = stage.finish().unwrap();
    assert!(staged.disk_bytes() > 19 << 20);
    spool.commit(staged, CommitHead::default()).await.unwrap();
    let (spool, _) = world.restart(spool);
    for (shard, rows) in ["big", "small", "tiny"].iter().zip(&expected) {
        let mut delivered = Vec::new();
        while delivered.len() < rows.len() {
            delivered.extend(take_next(&spool, &destination(shard)).await);
        }
        assert!(delivered == *rows, "rows of {shard} differ");
    }
    until("nothing is left over", || {
        world.names("journal").iter().all(|name| name.ends_with(".log"))
    })
    .await;
    until("no temporary file", || {
        !world.names("d.t/big").iter().any(|name| name.starts_with("tmp"))
    })
    .await;
}

#[tokio::test]
async fn an_insert_that_is_not_committed_leaves_nothing() {
    let mut world = World::new();
    (world.options.inline_bytes_max, world.options.stage_memory_bytes) = (1 << 10, 64 << 10);
    let spool = world.open();
    let lane = spool.lane(&remote("s1")).unwrap();
    let staged = world.stage(&spool, &[(lane, &noise(1 << 20), 1)]);
    assert_eq!(
        world
            .names("journal")
            .iter()
            .filter(|name| name.starts_with("staged-"))
            .count(),
        1
    );
    drop(staged);
    assert!(
        !world
            .names("journal")
            .iter()
            .any(|name| name.starts_with("staged-"))
    );
}

#[tokio::test]
async fn a_full_spool_refuses_after_sent_is_evicted() {
    let mut world = World::new();
    world.options.segment_bytes = 64 << 10;
    world.options.max_bytes = 700 << 10;
    let spool = world.open();
    let lane = spool.lane(&remote("s1")).unwrap();
    let to = destination("s1");
    let rows = noise(60 << 10);
    for _ in 0..20 {
        world.commit(&spool, &[(lane, &rows, 1)]).await;
        take_next(&spool, &to).await;
    }
    assert!(spool.bytes() <= 800 << 10, "{}", spool.bytes());
    let refused = loop {
        let staged = world.stage(&spool, &[(lane, &rows, 1)]);
        if let Err(error) = spool.commit(staged, CommitHead::default()).await {
            break error;
        }
        spool.flush(None).await;
    };
    assert!(
        matches!(
            refused,
            CommitError::Full {
                max_bytes: 716_800,
                ..
            }
        ),
        "{refused}"
    );
    assert_eq!(spool.destination(&to).unwrap().sent.files, 0);
}

#[tokio::test]
async fn journal_segments_go_when_nothing_in_them_waits() {
    let mut world = World::new();
    world.options.segment_bytes = 64 << 10;
    let spool = world.open();
    let lane = spool.lane(&remote("s1")).unwrap();
    let stuck = spool.lane(&patient(remote("s2"))).unwrap();
    world.commit(&spool, &[(stuck, b"still here", 1)]).await;
    for _ in 0..40 {
        world.commit(&spool, &[(lane, &noise(20 << 10), 1)]).await;
        take_next(&spool, &destination("s1")).await;
    }
    let segments = world.names("journal").len();
    assert!(segments <= 4, "{segments} segments");
    let (spool, report) = world.restart(spool);
    assert_eq!((report.uncut_shares, report.lost_shares), (1, 0));
    assert_eq!(take_next(&spool, &destination("s2")).await, b"still here");
}

#[tokio::test]
async fn a_router_killed_again_and_again_keeps_no_segment_of_each_life() {
    let mut world = World::new();
    world.options.segment_bytes = 64 << 10;
    let mut lives = Vec::new();
    for life in 1..=6 {
        let spool = world.open();
        let lane = spool.lane(&remote("s1")).unwrap();
        world.commit(&spool, &[(lane, b"row1", 1)]).await;
        take_next(&spool, &destination("s1")).await;
        let sent = format!("d.t/s1/sent/{life:020}.bin");
        until("the file is where it belongs", || world.exists(&sent)).await;
        // What a kill leaves: the directory as it is while the router runs. Nothing in it moves any more.
        let mut killed = World::new();
        copy_files(&world.options.path, &killed.options.path);
        killed.options.segment_bytes = 64 << 10;
        lives.push((std::mem::replace(&mut world, killed), spool));
    }
    let (_spool, report) = world.reopen();
    assert_eq!((report.uncut_shares, report.lost_shares), (0, 0));
    let segments = world.names("journal").len();
    assert!(segments <= 2, "{segments} segments");
}

/// The files below a directory, without its sockets and locks.
fn copy_files(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_files(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

#[tokio::test]
async fn a_lane_that_cannot_be_kept_is_refused() {
    let world = World::new();
    let spool = world.open();
    let no_destination = LaneSpec {
        destinations: Vec::new(),
        ..remote("s")
    };
    assert!(matches!(
        spool.lane(&no_destination),
        Err(LaneError::NoDestination { .. })
    ));
    let mut too_many = remote("s");
    too_many.limits.max_rows = 1_000_001;
    assert!(matches!(spool.lane(&too_many), Err(LaneError::Limits { .. })));
    assert_eq!(
        spool.lane(&remote("s")).unwrap(),
        spool.lane(&patient(remote("s"))).unwrap()
    );
}

#[tokio::test]
async fn rows_for_no_lane_or_in_runs_too_large_are_refused() {
    let world = World::new();
    let spool = world.open();
    let mut spec = remote("s");
    spec.limits.max_rows = 10;
    let lane = spool.lane(&spec).unwrap();
    let lanes = [
        ShareLanes {
            remote: Some(lane),
            local: None,
        },
        ShareLanes::default(),
    ];
    let mut stage = spool.stage(InsertId::random(), None, shape(), &lanes);
    assert_eq!(stage.run_rows_max(), 10);
    assert!(matches!(
        stage.append(0, b"x", 11),
        Err(StageError::RunTooLarge { rows_max: 10, .. })
    ));
    assert!(matches!(
        stage.append(1, b"x", 1),
        Err(StageError::NoShard { shard: 1, shards: 2 })
    ));
    assert!(matches!(
        stage.append(2, b"x", 1),
        Err(StageError::NoShard { shard: 2, .. })
    ));
    stage.append(0, b"", 0).unwrap();
    assert_eq!(stage.rows(), 0);
}

#[tokio::test]
async fn rows_wait_no_longer_than_the_delay() {
    let world = World::new();
    let spool = world.open();
    let mut spec = remote("s1");
    spec.limits.max_delay = Duration::from_millis(50);
    let lane = spool.lane(&spec).unwrap();
    let began = std::time::Instant::now();
    world.commit(&spool, &[(lane, b"x", 1)]).await;
    spool.next(&destination("s1")).await.unwrap();
    let waited = began.elapsed();
    assert!(
        (Duration::from_millis(49)..Duration::from_secs(5)).contains(&waited),
        "{waited:?}"
    );
}

#[tokio::test]
async fn shares_that_take_too_much_memory_are_cut_at_once() {
    let mut world = World::new();
    world.options.uncut_memory_bytes = 100 << 10;
    let spool = world.open();
    let lane = spool.lane(&patient(remote("s1"))).unwrap();
    for _ in 0..10 {
        world.commit(&spool, &[(lane, &noise(20 << 10), 1)]).await;
    }
    until("memory is freed", || {
        spool.destination(&destination("s1")).unwrap().uncut.raw_bytes <= 100 << 10
    })
    .await;
    assert!(spool.destination(&destination("s1")).unwrap().waiting.files > 0);
}

#[tokio::test]
async fn a_batch_whose_file_is_damaged_is_held_and_the_next_one_given() {
    let world = World::new();
    let spool = world.open();
    let lane = spool.lane(&remote("s1")).unwrap();
    for rows in [b"first".as_slice(), b"second"] {
        world.commit(&spool, &[(lane, rows, 1)]).await;
        spool.flush(None).await;
    }
    std::fs::write(world.path("d.t/s1/00000000000000000001.bin"), b"not a batch").unwrap();
    assert_eq!(spool.next(&destination("s1")).await.unwrap().seq(), 2);
    assert_eq!(spool.destination(&destination("s1")).unwrap().held.files, 1);
}
