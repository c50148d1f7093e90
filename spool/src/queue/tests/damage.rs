//! What is not as the spool left it: damaged files, foreign ones, names that are taken, directories that cannot be read.

use std::io;

use super::support::*;
use crate::disk::Disk;
use crate::disk::sim::{Op, SimDisk};
use crate::names::{Layout, temporary_name};
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
    // The two before are the checkpoint's.
    world.disk.fail_once(Op::Rename, 2, io::ErrorKind::Other);
    let (spool, report) = world.reopen();
    assert_eq!((report.moved, &report.damaged), (0, &vec![]));
    let status = spool.destination(&destination("s1")).unwrap();
    assert_eq!((status.held.files, status.waiting.files), (0, 0));
    drop(spool);
    assert_eq!(world.reopen().1.moved, 1);
    assert!(world.exists("d.t/s1/sent/00000000000000000001.bin"));
}

/// A spool with a batch of two INSERTs for s1.
async fn with_two_inserts(world: &SimWorld) -> Spool {
    let spool = world.open();
    let lane = spool.lane(&patient(remote("s1"))).unwrap();
    for rows in [b"one", b"two"] {
        commit(&spool, &[(lane, rows, 1)]).await;
    }
    spool.flush(None).await;
    spool
}

#[tokio::test]
async fn cutting_again_never_takes_the_place_of_a_file() {
    let world = SimWorld::new();
    let spool = with_two_inserts(&world).await;
    let taken = world.path("d.t/s1/00000000000000000002.bin");
    world.disk.put(&taken, b"somebody's".to_vec());
    let mut batch = spool.next(&destination("s1")).await.unwrap();
    spool.attempt(&mut batch, "h:1").await.unwrap();
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

#[tokio::test]
async fn what_was_being_written_in_sent_and_broken_is_removed() {
    let world = SimWorld::new();
    with_a_batch_and_a_row(&world).await;
    let layout = Layout::at(world.path(""));
    let written = [layout.broken(&destination("s1")), layout.sent(&destination("s2"))].map(|directory| {
        world.disk.create_dir_all(&directory).unwrap();
        let path = directory.join(temporary_name());
        world.disk.put(&path, b"Code: 6".to_vec());
        path
    });
    let (spool, report) = world.reopen();
    assert_eq!(report.leftovers_removed, 2, "{report:?}");
    check_nothing_is_lost(&spool, &report);
    for path in written {
        assert!(!world.disk.exists(&path).unwrap(), "{}", path.display());
    }
}

// === the spool's id ===

/// A spool with a waiting batch and rows that are not cut, closed; what its `id` says.
async fn with_a_batch_and_a_row(world: &SimWorld) -> Vec<u8> {
    let spool = world.open();
    let (cut, uncut) = (
        spool.lane(&remote("s1")).unwrap(),
        spool.lane(&patient(remote("s2"))).unwrap(),
    );
    commit(&spool, &[(cut, b"row", 1)]).await;
    until("the batch is cut", || {
        spool.destination(&destination("s1")).unwrap().waiting.files == 1
    })
    .await;
    commit(&spool, &[(uncut, b"row", 1)]).await;
    drop(spool);
    world.disk.read(&world.path("id"))
}

#[track_caller]
fn check_nothing_is_lost(spool: &Spool, report: &RecoveryReport) {
    assert!(!report.lost_records && report.unknown.is_empty() && report.damaged.is_empty());
    let rows = |shard: &str| {
        let status = spool.destination(&destination(shard)).unwrap();
        status.waiting.rows + status.uncut.rows
    };
    assert_eq!((rows("s1"), rows("s2")), (1, 1), "{report:?}");
}

#[tokio::test]
async fn a_damaged_id_is_set_aside_and_read_from_the_journal() {
    for damage in [&b""[..], b"\xff\xfe", b"0f3c"] {
        let world = SimWorld::new();
        let id = with_a_batch_and_a_row(&world).await;
        world.disk.put(&world.path("id"), damage.to_vec());
        let (spool, report) = world.reopen();
        let copy = world.path("meta/id.corrupt");
        assert_eq!(report.corrupt, std::slice::from_ref(&copy));
        assert_eq!(world.disk.read(&copy), damage);
        check_nothing_is_lost(&spool, &report);
        assert_eq!(world.disk.read(&world.path("id")), id);
        drop(spool);
        assert!(world.reopen().1.corrupt.is_empty());
    }
}

#[tokio::test]
async fn an_id_that_is_gone_is_read_from_the_journal() {
    let world = SimWorld::new();
    let id = with_a_batch_and_a_row(&world).await;
    world.disk.remove_file(&world.path("id")).unwrap();
    let (spool, report) = world.reopen();
    check_nothing_is_lost(&spool, &report);
    assert_eq!(world.disk.read(&world.path("id")), id);
}

#[tokio::test]
async fn a_damaged_id_without_a_journal_is_drawn_anew() {
    let world = SimWorld::new();
    world.disk.create_dir_all(&world.path("meta")).unwrap();
    world.disk.put(&world.path("id"), b"no id".to_vec());
    let (spool, report) = world.reopen();
    assert_eq!(report.corrupt, [world.path("meta/id.corrupt")]);
    drop(spool);
    assert!(world.reopen().1.corrupt.is_empty());
}

// === a failed journal ===

#[tokio::test]
async fn an_insert_that_only_waited_behind_a_failed_group_is_told_that_nothing_of_it_was_written() {
    let mut world = SimWorld::new();
    world.options.inline_bytes_max = 32 << 20;
    world.options.stage_memory_bytes = 64 << 20;
    let spool = world.open();
    let lane = spool.lane(&patient(remote("s1"))).unwrap();
    // It fills a group, so that the other is never in the same.
    let rows = noise(17 << 20);
    let (first, second) = (
        stage(&spool, &[(lane, &rows, 1)]),
        stage(&spool, &[(lane, b"row", 1)]),
    );
    world.disk.fail_once(Op::Sync, 0, io::ErrorKind::Other);
    let head = CommitHead::default;
    let (first, second) = tokio::join!(spool.commit(first, head()), spool.commit(second, head()));
    assert!(matches!(first, Err(CommitError::Poisoned(_))), "{first:?}");
    assert!(matches!(second, Err(CommitError::Failed(_))), "{second:?}");
    let late = stage(&spool, &[(lane, b"row", 1)]);
    let late = spool.commit(late, head()).await;
    assert!(matches!(late, Err(CommitError::Failed(_))), "{late:?}");
    drop(spool);
    let (spool, report) = world.reopen();
    let failed = report.failed.unwrap();
    assert!(
        failed.starts_with("journal segment 1: ")
            && failed.contains("from byte 64 on")
            && failed.contains("sync"),
        "{failed}"
    );
    assert_eq!(report.uncut_shares, 1, "the group was written, and never synced");
    drop(spool);
    assert_eq!(world.reopen().1.failed, None);
}

#[tokio::test]
async fn a_sync_that_loses_its_bytes_is_never_taken_for_one_that_passed_later() {
    let world = SimWorld::new();
    let spool = world.open();
    let lane = spool.lane(&patient(remote("s1"))).unwrap();
    commit(&spool, &[(lane, b"kept", 1)]).await;
    world.disk.lose_sync(0);
    let lost = stage(&spool, &[(lane, b"lost", 1)]);
    let lost = spool.commit(lost, CommitHead::default()).await;
    assert!(matches!(lost, Err(CommitError::Poisoned(_))));
    drop(spool);
    for seed in 0..8 {
        let (_spool, report) = SimWorld::on(world.disk.after_power_loss(seed)).reopen();
        assert_eq!((report.uncut_shares, report.lost_records), (1, false));
    }
}

// === checkpoints, versions ===

/// Rolls the journal, with a row delivered in each segment.
async fn roll_some(world: &SimWorld, segments: usize) -> Spool {
    let spool = world.open();
    let lane = spool.lane(&remote("s1")).unwrap();
    let stuck = spool.lane(&patient(remote("s2"))).unwrap();
    for _ in 0..segments {
        commit(&spool, &[(lane, &noise(5 << 10), 1), (stuck, b"stuck", 1)]).await;
        spool.flush(None).await;
        settle_next(&spool, &destination("s1"), Outcome::Acknowledged).await;
    }
    spool
}

#[tokio::test]
async fn with_a_damaged_checkpoint_the_one_before_is_read_and_nothing_is_lost_or_doubted() {
    let world = SimWorld::new();
    let spool = roll_some(&world, 5).await;
    let running = world.disk.copy();
    drop(spool);
    for disk in [running, world.disk.copy()] {
        let world = SimWorld::on(disk);
        let checkpoint = world.path("meta/checkpoint");
        world.disk.edit(&checkpoint, |bytes| bytes[40] ^= 1);
        let (spool, report) = world.reopen();
        assert_eq!((report.lost_records, report.lost_shares), (false, 0));
        assert_eq!(report.corrupt, [world.path("meta/checkpoint.corrupt")]);
        let status = spool.destination(&destination("s1")).unwrap();
        assert_eq!((status.waiting.files, status.held.files), (0, 0));
        let stuck = spool.destination(&destination("s2")).unwrap();
        assert_eq!((stuck.waiting.files + stuck.uncut.rows, stuck.held.files), (5, 0));
    }
}

#[tokio::test]
async fn without_any_checkpoint_and_with_segments_missing_nothing_is_sent_that_may_have_been() {
    let world = SimWorld::new();
    let spool = world.open();
    let lane = spool.lane(&remote("s1")).unwrap();
    let slow = spool.lane(&patient(remote("s2"))).unwrap();
    commit(&spool, &[(lane, b"sent", 1), (slow, b"wait", 1)]).await;
    settle_next(&spool, &destination("s1"), Outcome::Acknowledged).await;
    until("it is moved", || {
        world.exists("d.t/s1/sent/00000000000000000001.bin")
    })
    .await;
    drop(spool);
    for name in ["meta/checkpoint", "meta/checkpoint.1"] {
        world.disk.edit(&world.path(name), |bytes| bytes.truncate(20));
    }
    // The segment of the commit is there; the one behind it is not.
    world
        .disk
        .remove_file(&world.path("journal/00000000000000000002.log"))
        .unwrap();
    let spool = world.open();
    commit(&spool, &[]).await;
    drop(spool);
    let spool = world.open();
    assert!(within_a_moment(spool.next(&destination("s1"))).await.is_none());
}

#[tokio::test]
async fn what_a_later_release_wrote_stops_the_start_and_says_so() {
    let world = SimWorld::new();
    drop(roll_some(&world, 1).await);
    let newer = |bytes: &mut Vec<u8>| bytes[8..12].copy_from_slice(&9_u32.to_le_bytes());
    let segment = world
        .disk
        .files()
        .into_iter()
        .find(|path| path.extension().is_some_and(|end| end == "log"));
    for path in [world.path("meta/checkpoint"), segment.unwrap()] {
        let world = SimWorld::on(world.disk.copy());
        world.disk.edit(&path, newer);
        let refused = world.try_open().unwrap_err().to_string();
        assert!(
            refused.contains("version 9") && refused.contains("start a release"),
            "{refused}"
        );
        assert_eq!(world.disk.read(&path)[8], 9, "it stays as it is");
    }
}

#[tokio::test]
async fn a_batch_file_of_a_later_release_is_left_and_shown() {
    let world = SimWorld::new();
    drop(roll_some(&world, 1).await);
    let file = world.path("d.t/s1/sent/00000000000000000001.bin");
    let mut bytes = world.disk.read(&file);
    bytes[8..12].copy_from_slice(&9_u32.to_le_bytes());
    let newer = world.path("d.t/s1/00000000000000000077.bin");
    world.disk.put(&newer, bytes);
    let (_spool, report) = world.reopen();
    assert_eq!(report.unknown, std::slice::from_ref(&newer));
    assert!(world.disk.exists(&newer).unwrap());
}

// === foreign things, old copies, unreadable directories ===

#[tokio::test]
async fn foreign_files_are_left_and_shown_and_disturb_nothing() {
    let world = SimWorld::new();
    let spool = world.open();
    let lane = spool.lane(&patient(remote("s1"))).unwrap();
    commit(&spool, &[(lane, b"row", 1)]).await;
    spool.flush(None).await;
    drop(spool);
    let foreign = [
        "README",
        "d.t/notes.txt",
        "d.t/s1/18446744073709551615.bin",
        "d.t/s1/00000000000000000002.bin",
        "d.t/s1/1.bin",
        "d.t/s1/sub/file",
    ];
    for name in foreign {
        world.disk.put(&world.path(name), b"somebody's".to_vec());
    }
    for name in [
        "journal/notes",
        "journal/1.log",
        "meta/shapes",
        "d.t/s1/sent/notes",
        "d.t/s1/broken/x.bin",
    ] {
        world.disk.put(&world.path(name), b"somebody's".to_vec());
    }
    let files = world.disk.files();
    let (spool, mut report) = world.reopen();
    report.unknown.sort();
    let mut shown: Vec<_> = foreign.iter().map(|name| world.path(name)).collect();
    shown.pop();
    shown.push(world.path("d.t/s1/sub"));
    shown.sort();
    assert_eq!((report.unknown, report.damaged), (shown, vec![]));
    assert!(
        files
            .iter()
            .all(|file| world.disk.exists(file).unwrap() || file.starts_with("/spool/journal"))
    );
    let lane = spool.lane(&remote("s1")).unwrap();
    commit(&spool, &[(lane, b"new", 1)]).await;
    assert_eq!(take_sim(&spool, &destination("s1")).await, b"row");
    assert_eq!(take_sim(&spool, &destination("s1")).await, b"new");
}

/// The next batch's rows, acknowledged.
async fn take_sim(spool: &Spool, to: &Destination) -> Vec<u8> {
    let mut batch = spool.next(to).await.unwrap();
    spool.attempt(&mut batch, "h:1").await.unwrap();
    let rows = rows_in(spool, &batch);
    spool.settle(&batch, Outcome::Acknowledged).await.unwrap();
    rows
}

#[tokio::test]
async fn a_directory_that_cannot_be_read_holds_its_destinations_and_no_other() {
    let world = SimWorld::new();
    let spool = world.open();
    let (one, two) = (
        spool.lane(&patient(remote("s1"))).unwrap(),
        spool.lane(&patient(remote("s2"))).unwrap(),
    );
    commit(&spool, &[(one, b"one", 1), (two, b"two", 1)]).await;
    spool.flush(None).await;
    drop(spool);
    for bad in ["d.t/s1", "d.t/s1/sent"] {
        let world = SimWorld::on(world.disk.copy());
        world.disk.create_dir_all(&world.path("d.t/s1/sent")).unwrap();
        world.disk.make_unreadable(&world.path(bad));
        let (spool, report) = world.reopen();
        assert!(
            report.unreadable.contains(&world.path(bad)),
            "{:?}",
            report.unreadable
        );
        let held = spool.destination(&destination("s1")).unwrap();
        assert!(
            held.destination_held
                .is_some_and(|why| why.contains("cannot be read"))
        );
        assert_eq!((held.waiting.files, held.held.files), (1, 0));
        assert_eq!(take_sim(&spool, &destination("s2")).await, b"two");
        world.disk.heal();
        spool.resume_destination(&destination("s1")).await.unwrap();
        assert_eq!(take_sim(&spool, &destination("s1")).await, b"one");
    }
}

#[tokio::test]
async fn an_unreadable_root_holds_all_destinations() {
    let world = SimWorld::new();
    drop(roll_some(&world, 1).await);
    let world = SimWorld::on(world.disk.copy());
    // Only listings fail: the disk knows the names of what is asked for.
    world.disk.fail_listing(&world.options.path);
    let (spool, report) = world.reopen();
    assert_eq!(report.unreadable, std::slice::from_ref(&world.options.path));
    assert!(
        spool
            .destinations()
            .iter()
            .all(|status| status.destination_held.is_some())
    );
}

#[tokio::test]
async fn a_directory_restored_from_an_old_copy_gives_no_token_two_contents() {
    let world = SimWorld::new();
    let spool = world.open();
    let lane = spool.lane(&patient(remote("s1"))).unwrap();
    let to = destination("s1");
    commit(&spool, &[(lane, b"cut.", 1)]).await;
    spool.flush(None).await;
    commit(&spool, &[(lane, b"wait", 1)]).await;
    let old = SimWorld::on(world.disk.copy());
    commit(&spool, &[(lane, b"more", 1)]).await;
    spool.flush(None).await;
    let mut contents = std::collections::BTreeMap::new();
    for spool in [spool, old.open()] {
        let lane = spool.lane(&patient(remote("s1"))).unwrap();
        commit(&spool, &[(lane, b"late", 1)]).await;
        spool.flush(None).await;
        while spool.destination(&to).unwrap().waiting.files > 0 {
            let batch = spool.next(&to).await.unwrap();
            let rows = rows_in(&spool, &batch);
            let before = contents.insert(batch.token().to_owned(), rows.clone());
            assert!(
                before.is_none_or(|before| before == rows),
                "a token met two contents"
            );
            spool.settle(&batch, Outcome::Acknowledged).await.unwrap();
        }
    }
    let once = contents.values().filter(|rows| *rows == b"cut.").count();
    assert_eq!(once, 1, "what was cut before the copy has its token in both");
}

// === what a crash leaves ===

#[tokio::test]
async fn a_cut_that_was_about_to_be_recorded_is_recorded_under_its_token() {
    let world = SimWorld::new();
    let spool = world.open();
    let mut pair = patient(remote("pair"));
    pair.destinations = vec![replica("pair", "a:1"), replica("pair", "b:1")];
    let lane = spool.lane(&pair).unwrap();
    commit(&spool, &[(lane, b"one", 1)]).await;
    commit(&spool, &[(lane, b"two", 2)]).await;
    let before = world.disk.read(&world.path("journal/00000000000000000001.log"));
    spool.flush(None).await;
    let token = spool
        .next(&pair.destinations[0])
        .await
        .unwrap()
        .token()
        .to_owned();
    let world = SimWorld::on(world.disk.copy());
    drop(spool);
    world
        .disk
        .put(&world.path("journal/00000000000000000001.log"), before);
    let after_crash = SimWorld::on(world.disk.copy());
    let (spool, report) = world.reopen();
    assert_eq!(
        (
            report.cuts_recorded,
            report.uncut_files_removed,
            report.uncut_shares
        ),
        (1, 0, 0)
    );
    assert!(report.damaged.is_empty() && !report.lost_records);
    for to in &pair.destinations {
        let batch = spool.next(to).await.unwrap();
        assert_eq!(
            (batch.token(), batch.rows(), batch.attempts()),
            (token.as_str(), 3, 0)
        );
    }
    // Without its second name it never was one.
    let second = after_crash.path("d.t/pair@b:1/00000000000000000001.bin");
    after_crash.disk.remove_file(&second).unwrap();
    let (_spool, report) = after_crash.reopen();
    assert_eq!(
        (
            report.cuts_recorded,
            report.uncut_files_removed,
            report.uncut_shares
        ),
        (0, 1, 2)
    );
}

#[tokio::test]
async fn pieces_of_a_batch_whose_recut_was_not_recorded_are_removed() {
    let world = SimWorld::new();
    let spool = with_two_inserts(&world).await;
    let before = world.disk.read(&world.path("journal/00000000000000000001.log"));
    let file = world.path("d.t/s1/00000000000000000001.bin");
    let whole = world.disk.read(&file);
    settle_next(&spool, &destination("s1"), refusal()).await;
    let world = SimWorld::on(world.disk.copy());
    drop(spool);
    world
        .disk
        .put(&world.path("journal/00000000000000000001.log"), before);
    world.disk.put(&file, whole);
    let (spool, report) = world.reopen();
    assert_eq!((report.uncut_files_removed, &report.damaged), (2, &vec![]));
    assert_eq!(take_sim(&spool, &destination("s1")).await, b"onetwo");
}

#[tokio::test]
async fn pieces_that_come_back_beside_their_held_batch_are_removed() {
    let world = SimWorld::new();
    let spool = with_two_inserts(&world).await;
    let before = world.disk.copy();
    settle_next(&spool, &destination("s1"), refusal()).await;
    let pieces = [2, 3].map(|seq| format!("d.t/s1/{seq:020}.bin"));
    let written = pieces.each_ref().map(|piece| world.disk.read(&world.path(piece)));
    drop(spool);
    // The removal of a failed recut's pieces is not synced: a power loss undoes it, whatever became of their batch since.
    let world = SimWorld::on(before);
    let spool = world.open();
    settle_next(&spool, &destination("s1"), hold()).await;
    drop(spool);
    for (piece, bytes) in pieces.iter().zip(written) {
        world.disk.put(&world.path(piece), bytes);
    }
    let (spool, report) = world.reopen();
    assert_eq!((report.uncut_files_removed, &report.damaged), (2, &vec![]));
    let status = spool.destination(&destination("s1")).unwrap();
    assert_eq!((status.held.files, status.waiting.files), (1, 0));
}

#[tokio::test]
async fn batches_of_one_insert_whose_records_are_lost_are_all_held_though_they_are_of_one_size() {
    let world = SimWorld::new();
    let spool = world.open();
    let before = world.disk.read(&world.path("journal/00000000000000000001.log"));
    let mut one_row = remote("s1");
    one_row.limits.max_rows = 1;
    let lane = spool.lane(&one_row).unwrap();
    commit(&spool, &[(lane, b"one", 1), (lane, b"two", 1)]).await;
    spool.flush(None).await;
    let cut = spool.destination(&destination("s1")).unwrap().waiting;
    assert_eq!((cut.files, cut.rows), (2, 2));
    let world = SimWorld::on(world.disk.copy());
    drop(spool);
    world
        .disk
        .put(&world.path("journal/00000000000000000001.log"), before);
    let (spool, report) = world.reopen();
    assert_eq!((report.uncut_files_removed, report.damaged.len()), (0, 2));
    let held = spool.destination(&destination("s1")).unwrap().held;
    assert_eq!((held.files, held.rows), (2, 2));
}

#[tokio::test]
async fn a_batch_whose_return_from_broken_was_not_recorded_stays_broken() {
    let world = SimWorld::new();
    let spool = world.open();
    let lane = spool.lane(&remote("s1")).unwrap();
    commit(&spool, &[(lane, b"bad!", 1)]).await;
    settle_next(&spool, &destination("s1"), refusal()).await;
    let broken = "d.t/s1/broken/00000000000000000001.bin";
    until("broken/", || world.exists(broken)).await;
    drop(spool);
    let link = world.path("d.t/s1/00000000000000000002.bin");
    world.disk.hard_link(&world.path(broken), &link).unwrap();
    let (spool, report) = world.reopen();
    assert_eq!((report.uncut_files_removed, &report.damaged), (1, &vec![]));
    assert_eq!(spool.destination(&destination("s1")).unwrap().broken.files, 1);
}

#[tokio::test]
async fn a_batch_on_its_way_to_broken_has_a_name_after_any_power_loss() {
    let world = SimWorld::new();
    let spool = world.open();
    let lane = spool.lane(&patient(remote("s1"))).unwrap();
    let cut = async |rows: &'static [u8]| {
        commit(&spool, &[(lane, rows, 1)]).await;
        spool.flush(None).await;
    };
    cut(b"bad!").await;
    settle_next(&spool, &destination("s1"), refusal()).await;
    until("broken/", || {
        world.exists("d.t/s1/broken/00000000000000000001.bin")
    })
    .await;
    // It syncs the directory that the broken one has left.
    cut(b"next").await;
    for seed in 0..16 {
        let (spool, _) = SimWorld::on(world.disk.after_power_loss(seed)).reopen();
        assert_eq!(spool.destination(&destination("s1")).unwrap().broken.files, 1);
    }
}

#[tokio::test]
async fn a_directory_whose_sync_failed_is_synced_before_anything_in_it_counts() {
    let world = SimWorld::new();
    let spool = world.open();
    let lane = spool.lane(&patient(remote("s1"))).unwrap();
    commit(&spool, &[(lane, b"row", 1)]).await;
    world.disk.fail_once(Op::SyncDir, 0, io::ErrorKind::Other);
    // The first cut fails, a second one later does not.
    spool.flush(None).await;
    for seed in 0..8 {
        let (spool, report) = SimWorld::on(world.disk.after_power_loss(seed)).reopen();
        assert_eq!((report.damaged, report.waiting), (vec![], 1));
        assert_eq!(take_sim(&spool, &destination("s1")).await, b"row");
    }
}
