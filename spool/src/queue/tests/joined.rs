//! Small batches that wait for their first attempt become one; a batch of one INSERT becomes several.

use std::time::Duration;

use super::support::*;
use crate::*;

/// A spool that joins, its one remote lane, and where that leads.
fn joining() -> (SimWorld, Spool, LaneId, Destination) {
    let mut world = SimWorld::new();
    world.options.join_files_max = 100;
    let spool = world.open();
    let lane = spool.lane(&remote("s01")).unwrap();
    (world, spool, lane, destination("s01"))
}

/// So many INSERTs of one row, each cut into a batch of its own.
async fn one_row_batches(spool: &Spool, lane: LaneId, numbers: std::ops::Range<usize>) -> Vec<u8> {
    let mut rows = Vec::new();
    for number in numbers {
        let row = format!("{number:03}\n");
        commit(spool, &[(lane, row.as_bytes(), 1)]).await;
        spool.flush(None).await;
        rows.extend_from_slice(row.as_bytes());
    }
    rows
}

fn waiting_files(spool: &Spool, to: &Destination) -> u64 {
    spool.destination(to).unwrap().waiting.files
}

async fn acknowledge(spool: &Spool, batch: &mut Batch) -> Vec<u8> {
    spool.attempt(batch, "h:1").await.unwrap();
    let rows = rows_in(spool, batch);
    spool.settle(batch, Outcome::Acknowledged).await.unwrap();
    rows
}

#[tokio::test]
async fn small_batches_of_an_outage_are_one_batch_when_the_shard_takes_some_again() {
    let (_world, spool, lane, to) = joining();
    let mut tried = {
        one_row_batches(&spool, lane, 0..1).await;
        spool.next(&to).await.unwrap()
    };
    let rows = one_row_batches(&spool, lane, 1..40).await;
    assert_eq!(
        waiting_files(&spool, &to),
        40,
        "nothing is joined while nothing can be sent"
    );
    acknowledge(&spool, &mut tried).await;
    drop(tried);
    let mut joined = spool.next(&to).await.unwrap();
    assert_eq!((joined.rows(), joined.segments().len()), (39, 39));
    assert_eq!(acknowledge(&spool, &mut joined).await, rows);
    assert_eq!(waiting_files(&spool, &to), 0);
}

#[tokio::test]
async fn a_batch_that_was_tried_is_never_joined_and_goes_first() {
    let (_world, spool, lane, to) = joining();
    one_row_batches(&spool, lane, 0..1).await;
    let mut first = spool.next(&to).await.unwrap();
    let token = first.token().to_owned();
    spool.attempt(&mut first, "h:1").await.unwrap();
    spool
        .settle(&first, Outcome::Retry { error: "down".into() })
        .await
        .unwrap();
    drop(first);
    one_row_batches(&spool, lane, 1..4).await;
    let mut again = spool.next(&to).await.unwrap();
    assert_eq!((again.token(), again.rows()), (token.as_str(), 1));
    acknowledge(&spool, &mut again).await;
    drop(again);
    assert_eq!(spool.next(&to).await.unwrap().rows(), 3);
}

#[tokio::test]
async fn a_joined_batch_keeps_its_place_in_line_through_a_restart_and_a_checkpoint() {
    let (world, spool, lane, to) = joining();
    let rows = one_row_batches(&spool, lane, 0..3).await;
    let token = spool.next(&to).await.unwrap().token().to_owned();
    let later = one_row_batches(&spool, lane, 3..6).await;
    drop(spool);
    // Each start writes a checkpoint, so the second reads the place from there.
    for _ in 0..2 {
        let (spool, report) = world.reopen();
        assert_eq!((report.uncut_files_removed, report.damaged.len()), (0, 0));
        spool.lane(&remote("s01")).unwrap();
        let first = spool.shared().state().queue(&to).next(Turn::InOrder).unwrap();
        let path = spool.shared().files.batch(&to, first);
        assert_eq!(rows_at(&spool, &path), rows);
        assert_eq!(
            bin_file::BinInfo::of(&*world_file(&spool, &path))
                .unwrap()
                .trailer
                .token,
            token
        );
    }
    let spool = world.open();
    spool.lane(&remote("s01")).unwrap();
    let mut all = spool.next(&to).await.unwrap();
    assert_eq!(acknowledge(&spool, &mut all).await, [rows, later].concat());
}

fn world_file(spool: &Spool, path: &std::path::Path) -> std::sync::Arc<dyn crate::disk::DiskFile> {
    spool.shared().files.disk.open_read(path).unwrap()
}

#[tokio::test]
async fn a_joined_batch_is_no_larger_than_a_batch_may_be() {
    let (_world, spool, _, to) = joining();
    let mut spec = remote("s01");
    spec.limits.max_rows = 10;
    let lane = spool.lane(&spec).unwrap();
    let rows = one_row_batches(&spool, lane, 0..25).await;
    let mut taken = (Vec::new(), Vec::new());
    while waiting_files(&spool, &to) > 0 {
        let mut batch = spool.next(&to).await.unwrap();
        taken.0.push(batch.rows());
        taken.1.extend(acknowledge(&spool, &mut batch).await);
    }
    assert_eq!(taken, (vec![10, 10, 5], rows));
}

#[tokio::test]
async fn batches_of_another_shape_stay_apart_and_each_shape_keeps_its_order() {
    let (_world, spool, lane, to) = joining();
    for number in 0..6 {
        let mut shape = (*shape()).clone();
        shape.settings.push(("n".into(), (number % 2).to_string()));
        let lanes = [ShareLanes {
            remote: Some(lane),
            local: None,
        }];
        let mut stage = spool.stage(InsertId::random(), None, std::sync::Arc::new(shape), &lanes);
        stage.append(0, format!("{number}\n").as_bytes(), 1).unwrap();
        let staged = stage.finish().unwrap();
        spool.commit(staged, CommitHead::default()).await.unwrap();
        spool.flush(None).await;
    }
    let mut taken = Vec::new();
    for _ in 0..2 {
        let mut batch = spool.next(&to).await.unwrap();
        taken.push(acknowledge(&spool, &mut batch).await);
    }
    assert_eq!(taken, [b"0\n2\n4\n", b"1\n3\n5\n"]);
}

#[tokio::test]
async fn pieces_of_a_refused_batch_are_not_joined_again() {
    let (_world, spool, lane, to) = joining();
    one_row_batches(&spool, lane, 0..4).await;
    let mut batch = spool.next(&to).await.unwrap();
    spool.attempt(&mut batch, "h:1").await.unwrap();
    let refused = Outcome::Refused {
        code: Some(27),
        text: "bad".into(),
    };
    let settled = spool.settle(&batch, refused).await.unwrap();
    assert!(
        matches!(settled, Settled::Recut { ref seqs } if seqs.len() == 4),
        "{settled:?}"
    );
    drop(batch);
    assert_eq!(spool.next(&to).await.unwrap().rows(), 1);
}

#[tokio::test]
async fn batches_of_a_replica_with_a_line_of_its_own_keep_the_token_that_its_siblings_have() {
    let (_world, spool, _, _) = joining();
    let mut spec = remote("s01");
    spec.destinations = vec![replica("s01", "a:1"), replica("s01", "b:1")];
    let lane = spool.lane(&spec).unwrap();
    one_row_batches(&spool, lane, 0..3).await;
    let a = spool.next(&replica("s01", "a:1")).await.unwrap();
    let b = spool.next(&replica("s01", "b:1")).await.unwrap();
    assert_eq!((a.rows(), a.token()), (1, b.token()));
}

#[tokio::test]
async fn a_copy_that_was_not_recorded_is_removed_at_the_start() {
    let (world, spool, lane, to) = joining();
    one_row_batches(&spool, lane, 0..3).await;
    let (candidates, limits) = spool.shared().state().joinable(&to, 100).unwrap();
    let joined = crate::join::write(spool.shared(), &to, &candidates, &limits)
        .unwrap()
        .unwrap();
    let path = spool.shared().files.batch(&to, joined.into);
    drop(spool);
    assert!(crate::disk::Disk::exists(&world.disk, &path).unwrap());
    let (spool, report) = world.reopen();
    assert_eq!((report.uncut_files_removed, report.damaged.len()), (1, 0));
    assert!(!crate::disk::Disk::exists(&world.disk, &path).unwrap());
    assert_eq!(waiting_files(&spool, &to), 3);
}

#[tokio::test]
async fn one_insert_that_is_too_much_is_cut_by_rows_down_to_a_single_row() {
    let (_world, spool, lane, to) = joining();
    commit(&spool, &[(lane, b"1\n2\n3\n4\n5\n", 5)]).await;
    spool.flush(None).await;
    let (mut taken, mut sends, mut held) = (Vec::new(), 0, 0);
    while waiting_files(&spool, &to) > 0 {
        let mut batch = spool.next(&to).await.unwrap();
        spool.attempt(&mut batch, "h:1").await.unwrap();
        sends += 1;
        let rows = rows_in(&spool, &batch);
        // The shard takes two rows at a time, and of row 4 nothing.
        let outcome = if rows.len() <= 4 && !rows.contains(&b'4') {
            taken.extend(rows);
            Outcome::Acknowledged
        } else {
            Outcome::TooMuch {
                code: Some(252),
                error: "too many".into(),
            }
        };
        match spool.settle(&batch, outcome).await.unwrap() {
            Settled::ToBeDivided => drop(divide(&spool, &batch).await.unwrap()),
            Settled::Held => held += 1,
            _ => {}
        }
    }
    taken.sort_unstable();
    assert_eq!(taken, b"\n\n\n\n1235");
    assert_eq!((held, sends), (1, 7));
}

#[tokio::test]
async fn a_batch_whose_rows_cannot_be_told_apart_lies_there_as_before() {
    let (_world, spool, lane, to) = joining();
    commit(&spool, &[(lane, b"1\n2\n", 2)]).await;
    spool.flush(None).await;
    let batch = spool.next(&to).await.unwrap();
    let wrong = Halves { rows: 100, given: 0 };
    let divided = spool.divide(&batch, 2, Box::new(wrong)).await;
    assert!(matches!(divided, Err(NotDivided::Rows(_))), "{divided:?}");
    assert_eq!(waiting_files(&spool, &to), 1);
}

#[tokio::test]
async fn an_overloaded_shard_gets_smaller_batches_and_joins_until_it_takes_some() {
    let (_world, spool, _, to) = joining();
    let mut spec = patient(remote("s01"));
    (spec.limits.max_rows, spec.limits.max_delay) = (1000, Duration::from_secs(3600));
    let lane = spool.lane(&spec).unwrap();
    let rows = b"1\n".repeat(900);
    let cut_rows = async || {
        for chunk in rows.chunks(200) {
            commit(&spool, &[(lane, chunk, chunk.len() as u64 / 2)]).await;
        }
        spool.flush(None).await;
        let mut counts = Vec::new();
        while waiting_files(&spool, &to) > 0 {
            let mut batch = spool.next(&to).await.unwrap();
            counts.push(batch.rows());
            acknowledge(&spool, &mut batch).await;
        }
        counts
    };
    assert_eq!(cut_rows().await, [900]);
    spool.strained(&to, Strain::Size);
    assert_eq!(spool.destination(&to).unwrap().pace.size_divisor(), 2);
    assert_eq!(cut_rows().await, [500, 400]);
    for _ in 0..3 {
        cut_rows().await;
    }
    assert!(spool.destination(&to).unwrap().pace.is_usual());
    assert_eq!(cut_rows().await, [900]);
}

#[tokio::test]
async fn several_senders_go_past_one_that_is_slow_and_only_so_far() {
    let (_world, spool, _, to) = joining();
    let mut spec = remote("s01");
    spec.limits.max_rows = 1;
    let lane = spool.lane(&spec).unwrap();
    one_row_batches(&spool, lane, 0..4).await;
    let untried = Turn::Untried { tried_max: 2 };
    let slow = spool.next_in(&to, Turn::Eldest).await.unwrap();
    let other = spool.next_in(&to, untried).await.unwrap();
    assert_eq!(
        (rows_in(&spool, &slow), rows_in(&spool, &other)),
        (b"000\n".into(), b"001\n".into())
    );
    assert!(within_a_moment(spool.next_in(&to, untried)).await.is_none());
    let mut other = other;
    acknowledge(&spool, &mut other).await;
    drop(other);
    let third = spool.next_in(&to, untried).await.unwrap();
    assert_eq!(rows_in(&spool, &third), b"002\n");
    drop(slow);
    assert_eq!(
        rows_in(&spool, &spool.next_in(&to, Turn::Eldest).await.unwrap()),
        b"000\n"
    );
}
