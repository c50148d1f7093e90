//! A full disk: INSERTs are refused and leave nothing, what was accepted is delivered, and its end is written down.

use super::support::*;
use crate::*;

/// Commits until there is no room.
async fn fill(spool: &Spool, lane: LaneId) -> CommitError {
    for _ in 0..10_000 {
        let staged = stage(spool, &[(lane, &noise(1 << 10), 1)]);
        if let Err(error) = spool.commit(staged, CommitHead::default()).await {
            return error;
        }
    }
    panic!("the disk is never full");
}

fn small_world() -> SimWorld {
    let mut world = SimWorld::new();
    world.options.segment_bytes = 64 << 10;
    world
}

#[tokio::test]
async fn on_a_full_disk_attempts_and_outcomes_are_recorded_and_inserts_accepted_when_there_is_room() {
    let world = small_world();
    let spool = world.open();
    let lane = spool.lane(&remote("s1")).unwrap();
    let patient = spool.lane(&patient(remote("s2"))).unwrap();
    commit(&spool, &[(lane, b"row\n", 1)]).await;
    until("it is cut", || {
        spool.destination(&destination("s1")).unwrap().waiting.files == 1
    })
    .await;
    world.disk.set_capacity(Some(world.disk.bytes()));
    let refused = fill(&spool, patient).await;
    assert!(matches!(refused, CommitError::NoSpace(_)), "{refused}");

    let mut batch = spool.next(&destination("s1")).await.unwrap();
    for attempt in 1..=3 {
        assert_eq!(spool.attempt(&mut batch, "h:1").await.unwrap(), attempt);
        let retry = Outcome::Retry { error: "down".into() };
        spool.settle(&batch, retry).await.unwrap();
    }
    spool.attempt(&mut batch, "h:1").await.unwrap();
    spool.settle(&batch, Outcome::Acknowledged).await.unwrap();
    drop(batch);

    world.disk.set_capacity(None);
    commit(&spool, &[(patient, b"more\n", 1)]).await;
    drop(spool);
    let (spool, report) = world.reopen();
    assert_eq!(report.waiting, 0, "the outcome was on disk");
    assert!(spool.destination(&destination("s2")).unwrap().uncut.rows > 1);
}

#[tokio::test]
async fn what_sent_holds_goes_before_an_insert_is_refused() {
    let world = small_world();
    let spool = world.open();
    let lane = spool.lane(&remote("s1")).unwrap();
    commit(&spool, &[(lane, &noise(200 << 10), 1)]).await;
    let mut batch = spool.next(&destination("s1")).await.unwrap();
    spool.attempt(&mut batch, "h:1").await.unwrap();
    spool.settle(&batch, Outcome::Acknowledged).await.unwrap();
    until("it is kept", || {
        spool.destination(&destination("s1")).unwrap().sent.files == 1
    })
    .await;
    world.disk.set_capacity(Some(world.disk.bytes()));
    let patient = spool.lane(&patient(remote("s2"))).unwrap();
    commit(&spool, &[(patient, &noise(100 << 10), 1)]).await;
    assert_eq!(spool.destination(&destination("s1")).unwrap().sent.files, 0);
}

#[tokio::test]
async fn an_insert_that_would_take_the_reserve_is_refused_while_it_is_read_and_leaves_nothing() {
    let mut world = small_world();
    world.options.inline_bytes_max = 64;
    world.options.stage_memory_bytes = 1 << 20;
    world.options.reserve_bytes = 4 << 20;
    let spool = world.open();
    let lane = spool.lane(&remote("s1")).unwrap();
    world.disk.set_capacity(Some(world.disk.bytes() + (12 << 20)));
    let lanes = ShareLanes {
        local: None,
        remote: Some(lane),
    };
    let (disk_before, before) = (world.disk.bytes(), spool.bytes());
    let mut stage = spool.stage(InsertId::random(), None, shape(), &[lanes]);
    let rows = noise(20 << 20);
    let refused = rows
        .chunks(100 << 10)
        .find_map(|row| stage.append(0, row, 1).err());
    let refused = refused.expect("never refused");
    assert!(
        refused.is_want_of_room() && matches!(refused, StageError::NoRoom { .. }),
        "{refused}"
    );
    assert!(spool.bytes() > before, "what is on its way counts");
    assert!(
        world.disk.bytes() <= disk_before + (8 << 20),
        "the reserve is untouched"
    );
    drop(stage);
    assert_eq!((world.disk.bytes(), spool.bytes()), (disk_before, before));
    commit(&spool, &[(lane, b"row\n", 1)]).await;
}
