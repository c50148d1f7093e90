//! The queue as the router uses it, on real files.

mod support;

use std::time::Duration;

use self::support::*;
use crate::*;

#[tokio::test]
async fn an_insert_is_cut_sent_and_kept_in_sent() {
    let world = World::new();
    let spool = world.open();
    let lane = spool.lane(&remote("s1")).unwrap();
    let insert = world.commit(&spool, &[(lane, b"row1row2", 2)]).await;
    let batch = spool.next(&destination("s1")).await.unwrap();
    assert_eq!(batch.rows(), 2);
    assert_eq!(batch.segments()[0].insert, insert);
    assert_eq!(world.rows_of(&batch), b"row1row2");
    assert_eq!(spool.attempt(&batch, "h:1").await.unwrap(), 1);
    assert_eq!(
        spool.settle(&batch, Outcome::Acknowledged).await.unwrap(),
        Settled::Acknowledged
    );
    drop(batch);
    world
        .until("the file lies in sent/", || {
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
async fn what_was_acknowledged_is_there_after_a_restart() {
    let world = World::new();
    let spool = world.open();
    let mut spec = remote("s1");
    spec.limits.max_delay = Duration::from_secs(3600);
    let lane = spool.lane(&spec).unwrap();
    for _ in 0..3 {
        world.commit(&spool, &[(lane, b"abcd", 1)]).await;
    }
    drop(spool);
    let (spool, report) = world.reopen();
    assert_eq!(report.uncut_shares, 3);
    let batch = spool.next(&destination("s1")).await.unwrap();
    assert_eq!(world.rows_of(&batch), b"abcdabcdabcd");
}
