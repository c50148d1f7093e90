//! What is not as the spool left it: damaged files, foreign ones, names that are taken, directories that cannot be read.

use std::io;

use super::support::*;
use crate::disk::sim::{Op, SimDisk};
use crate::*;

fn hold() -> Outcome {
    Outcome::HoldBatch {
        error: "doubt".into(),
    }
}

fn refusal() -> Outcome {
    Outcome::Refused {
        code: Some(27),
        text: "cannot parse".into(),
    }
}

#[tokio::test]
async fn a_settled_file_that_cannot_be_moved_at_start_is_neither_held_nor_sent_again() {
    let world = SimWorld::new();
    let spool = world.open();
    let lane = spool.lane(&remote("s1")).unwrap();
    commit(&spool, &[(lane, b"row", 1)]).await;
    spool.flush(None).await;
    world.disk.fail_once(Op::Rename, 0, io::ErrorKind::Other);
    settle_next(&spool, &destination("s1"), Outcome::Acknowledged).await;
    until("the move has failed", || world.disk.faults_left() == 0).await;
    drop(spool);
    world.disk.fail_once(Op::Rename, 0, io::ErrorKind::Other);
    let (spool, report) = world.reopen();
    assert_eq!((report.moved, &report.damaged), (0, &vec![]));
    let status = spool.destination(&destination("s1")).unwrap();
    assert_eq!((status.held.files, status.waiting.files), (0, 0));
    drop(spool);
    assert_eq!(world.reopen().1.moved, 1);
    assert!(world.exists("d.t/s1/sent/00000000000000000001.bin"));
}

#[tokio::test]
async fn cutting_again_never_takes_the_place_of_a_file() {
    let world = SimWorld::new();
    let spool = world.open();
    let lane = spool.lane(&patient(remote("s1"))).unwrap();
    for rows in [b"one", b"two"] {
        commit(&spool, &[(lane, rows, 1)]).await;
    }
    spool.flush(None).await;
    let taken = world.path("d.t/s1/00000000000000000002.bin");
    world.disk.put(&taken, b"somebody's".to_vec());
    let batch = spool.next(&destination("s1")).await.unwrap();
    spool.attempt(&batch, "h:1").await.unwrap();
    assert!(matches!(
        spool.settle(&batch, refusal()).await,
        Err(QueueError::File(_))
    ));
    assert_eq!(world.disk.read(&taken), b"somebody's");
    let settled = spool.settle(&batch, refusal()).await.unwrap();
    assert_eq!(settled, Settled::Recut { seqs: vec![3, 4] });
}

#[tokio::test]
async fn a_cut_never_takes_or_removes_the_name_of_another_file() {
    let world = SimWorld::new();
    let spool = world.open();
    let lane = spool.lane(&remote("s1")).unwrap();
    let taken = world.path("d.t/s1/00000000000000000001.bin");
    world.disk.put(&taken, b"somebody's".to_vec());
    commit(&spool, &[(lane, b"row", 1)]).await;
    assert_eq!(spool.next(&destination("s1")).await.unwrap().seq(), 2);
    assert_eq!(world.disk.read(&taken), b"somebody's");
}

#[tokio::test]
async fn a_held_batch_is_held_after_a_power_loss() {
    let world = SimWorld::new();
    let spool = world.open();
    let lane = spool.lane(&remote("s1")).unwrap();
    commit(&spool, &[(lane, b"row", 1)]).await;
    settle_next(&spool, &destination("s1"), hold()).await;
    let after: Vec<SimDisk> = (0..16).map(|seed| world.disk.after_power_loss(seed)).collect();
    for disk in after {
        let spool = SimWorld::on(disk).open();
        let status = spool.destination(&destination("s1")).unwrap();
        assert_eq!((status.held.files, status.waiting.files), (1, 0));
    }
}
