//! Records that had been on disk are lost: no row is sent twice for it, what may have been sent is held, the rest goes on.

use super::support::*;
use crate::disk::Disk;
use crate::event::Event;
use crate::journal::{self, Item, SegmentReader};
use crate::*;

const FIRST: &str = "d.t/s1/00000000000000000001.bin";
const SENT: &str = "d.t/s1/sent/00000000000000000001.bin";

/// Damages the record with the first event that is meant.
#[track_caller]
fn damage(world: &SimWorld, is_meant: impl Fn(&Event) -> bool) {
    let directory = world.path("journal");
    for segment in journal::segments(&world.disk, &directory).unwrap() {
        let Ok(mut reader) = SegmentReader::open(&world.disk, &directory, segment) else {
            continue;
        };
        while let Ok(Some(item)) = reader.next_item() {
            if let Item::Record { offset, record } = item
                && record.events.iter().any(&is_meant)
            {
                let path = journal::segment_path(&directory, segment);
                return world.disk.edit(&path, |bytes| bytes[offset as usize + 50] ^= 1);
            }
        }
    }
    panic!("no such record");
}

fn is_cut(event: &Event) -> bool {
    matches!(event, Event::Cut(_))
}

/// A killed spool with a row for s1 that was cut, and something behind the record of that.
async fn killed_after(ending: Option<Outcome>) -> SimWorld {
    let mut world = SimWorld::new();
    world.options.segment_bytes = 64 << 10;
    let spool = world.open();
    let lane = spool.lane(&patient(remote("s1"))).unwrap();
    commit(&spool, &[(lane, b"once", 1)]).await;
    spool.flush(None).await;
    let mut batch = spool.next(&destination("s1")).await.unwrap();
    spool.attempt(&mut batch, "h:1").await.unwrap();
    if let Some(ending) = ending {
        let is_moved = ending == Outcome::Acknowledged;
        spool.settle(&batch, ending).await.unwrap();
        until("the file is moved", || !is_moved || world.exists(SENT)).await;
    }
    commit(&spool, &[(lane, b"late", 1)]).await;
    SimWorld {
        disk: world.disk.copy(),
        ..world
    }
}

/// What comes of its own, by shard: batches are taken as they come.
async fn comes(spool: &Spool, to: &Destination) -> Vec<Vec<u8>> {
    spool.flush(None).await;
    let mut rows = Vec::new();
    while spool.shared().state().queue(to).next(Turn::InOrder).is_some() {
        let mut batch = spool.next(to).await.unwrap();
        spool.attempt(&mut batch, "h:1").await.unwrap();
        rows.push(rows_in(spool, &batch));
        spool.settle(&batch, Outcome::Acknowledged).await.unwrap();
    }
    rows
}

fn why_held(spool: &Spool, to: &Destination) -> Vec<String> {
    let mut state = spool.shared().state();
    let queue = state.queue(to);
    queue
        .aside
        .keys()
        .map(|seq| queue.error_of(*seq).to_owned())
        .collect()
}

#[tokio::test]
async fn with_its_cut_record_lost_a_sent_batch_is_known_by_its_file() {
    let world = killed_after(Some(Outcome::Acknowledged)).await;
    damage(&world, is_cut);
    let (spool, report) = world.reopen();
    assert!(report.lost_records && report.corrupt.len() == 1);
    assert_eq!((report.suspect_shares, report.uncut_shares), (0, 1));
    assert_eq!(comes(&spool, &destination("s1")).await, [b"late"]);
    assert_eq!(why_held(&spool, &destination("s1")), Vec::<String>::new());
    assert!(world.exists(SENT));
}

#[tokio::test]
async fn with_its_cut_record_lost_a_batch_that_may_have_been_sent_is_held_with_its_token() {
    let world = killed_after(None).await;
    damage(&world, is_cut);
    let before = world.disk.read(&world.path(FIRST));
    let (spool, report) = world.reopen();
    assert_eq!(report.damaged, [world.path(FIRST)]);
    let to = destination("s1");
    assert_eq!(comes(&spool, &to).await, [b"late"]);
    let why = why_held(&spool, &to);
    assert!(
        why[0].contains("whether this batch was sent") && why[0].contains("`weir spool retry`"),
        "{why:?}"
    );
    assert_eq!(world.disk.read(&world.path(FIRST)), before);
    // It stays so, and an operator may send it.
    drop(spool);
    let (spool, report) = world.reopen();
    assert!(!report.lost_records);
    assert_eq!(why_held(&spool, &to), why);
    spool.requeue(&to, 1).await.unwrap();
    assert_eq!(comes(&spool, &to).await, [b"once"]);
}

#[tokio::test]
async fn rows_whose_cut_and_file_are_both_gone_are_held_not_sent() {
    let world = killed_after(Some(Outcome::Acknowledged)).await;
    damage(&world, is_cut);
    world.disk.remove_file(&world.path(SENT)).unwrap();
    let (spool, report) = world.reopen();
    assert_eq!(report.suspect_shares, 1);
    let to = destination("s1");
    assert_eq!(comes(&spool, &to).await, [b"late"]);
    let why = why_held(&spool, &to);
    assert!(
        why[0].contains("whether these rows were sent in another batch"),
        "{why:?}"
    );
    assert_eq!(spool.destination(&to).unwrap().held.rows, 1);
}

#[tokio::test]
async fn a_suspect_is_held_also_when_the_first_start_is_killed_at_any_operation() {
    let killed = killed_after(Some(Outcome::Acknowledged)).await;
    damage(&killed, is_cut);
    killed.disk.remove_file(&killed.path(SENT)).unwrap();
    for operation in 0..40 {
        let world = SimWorld::on(killed.disk.copy());
        world.disk.fail_after(operation, std::io::ErrorKind::Other);
        drop(world.try_open());
        for seed in 0..3 {
            let world = SimWorld::on(world.disk.after_power_loss(seed));
            let spool = world.open();
            let to = destination("s1");
            assert_eq!(
                comes(&spool, &to).await,
                [b"late"],
                "operation {operation}, seed {seed}"
            );
            assert_eq!(
                spool.destination(&to).unwrap().held.rows,
                1,
                "operation {operation}, seed {seed}"
            );
        }
    }
}

#[tokio::test]
async fn a_number_in_sent_that_no_record_gave_away_shows_that_the_journals_end_is_lost() {
    let world = killed_after(Some(Outcome::Acknowledged)).await;
    let journal = world.path("journal/00000000000000000001.log");
    let mut offsets = Vec::new();
    let mut reader = SegmentReader::open(&world.disk, &world.path("journal"), 1).unwrap();
    while let Some(Item::Record { offset, .. }) = reader.next_item().unwrap() {
        offsets.push(offset as usize);
    }
    world.disk.edit(&journal, |bytes| bytes.truncate(offsets[1]));
    let (spool, report) = world.reopen();
    assert!(report.lost_records);
    assert_eq!(comes(&spool, &destination("s1")).await, Vec::<Vec<u8>>::new());
    assert_eq!(spool.destination(&destination("s1")).unwrap().sent.files, 1);
    // The number is not given again.
    let lane = spool.lane(&patient(remote("s1"))).unwrap();
    commit(&spool, &[(lane, b"next", 1)]).await;
    spool.flush(None).await;
    assert_eq!(spool.next(&destination("s1")).await.unwrap().seq(), 2);
}

#[tokio::test]
async fn with_the_end_of_the_journal_lost_unseen_a_batch_in_its_place_keeps_its_token() {
    let world = killed_after(None).await;
    let token = {
        let spool = SimWorld::on(world.disk.copy()).open();
        spool.next(&destination("s1")).await.unwrap().token().to_owned()
    };
    let journal = world.path("journal/00000000000000000001.log");
    let mut reader = SegmentReader::open(&world.disk, &world.path("journal"), 1).unwrap();
    reader.next_item().unwrap();
    let Some(Item::Record { offset, .. }) = reader.next_item().unwrap() else {
        panic!("the cut")
    };
    world.disk.edit(&journal, |bytes| bytes.truncate(offset as usize));
    let (spool, report) = world.reopen();
    assert_eq!(report.cuts_recorded, 1);
    assert_eq!(spool.next(&destination("s1")).await.unwrap().token(), token);
}

#[tokio::test]
async fn batches_in_line_before_the_damage_are_in_doubt_and_go_on_under_their_tokens() {
    let world = killed_after(None).await;
    damage(&world, |event| matches!(event, Event::Attempting { .. }));
    let (spool, report) = world.reopen();
    assert_eq!((report.in_doubt, report.lost_records), (1, true));
    // "late" is committed behind the damage.
    let rows = comes(&spool, &destination("s1")).await;
    assert_eq!(rows, [b"once".to_vec(), b"late".to_vec()]);
}

#[tokio::test]
async fn rows_of_an_insert_whose_abort_is_lost_are_held() {
    let world = SimWorld::new();
    let spool = world.open();
    let (here, there) = (
        spool.lane(&local("here")).unwrap(),
        spool.lane(&patient(remote("there"))).unwrap(),
    );
    commit(&spool, &[(here, b"h", 1), (there, b"t", 1)]).await;
    let refused = Outcome::Refused {
        code: Some(27),
        text: "bad".into(),
    };
    let settled = settle_next(&spool, &destination("here"), refused).await;
    assert!(matches!(settled, Settled::Aborted { .. }));
    commit(&spool, &[(there, b"late", 1)]).await;
    let world = SimWorld::on(world.disk.copy());
    drop(spool);
    damage(&world, |event| matches!(event, Event::Abort { .. }));
    let (spool, _) = world.reopen();
    assert_eq!(spool.pending(), []);
    assert_eq!(comes(&spool, &destination("here")).await, Vec::<Vec<u8>>::new());
    assert_eq!(comes(&spool, &destination("there")).await, [b"late"]);
    assert_eq!(spool.destination(&destination("there")).unwrap().held.rows, 1);
}

#[tokio::test]
async fn a_cut_of_remote_rows_stands_for_a_go_that_is_lost() {
    let mut world = SimWorld::new();
    world.options.segment_bytes = 64 << 10;
    let spool = world.open();
    let (here, there) = (
        spool.lane(&local("here")).unwrap(),
        spool.lane(&patient(remote("there"))).unwrap(),
    );
    let insert = commit(&spool, &[(here, b"h", 1), (there, b"t", 1)]).await;
    spool.go(insert, "time").await.unwrap();
    spool.flush(None).await;
    let world = SimWorld::on(world.disk.copy());
    drop(spool);
    damage(&world, |event| matches!(event, Event::Go { .. }));
    let (spool, report) = world.reopen();
    assert!(report.lost_records);
    assert_eq!(spool.pending(), []);
    assert_eq!(comes(&spool, &destination("there")).await, [b"t"]);
    assert_eq!(spool.destination(&destination("there")).unwrap().held.rows, 0);
}

#[tokio::test]
async fn with_its_recut_lost_a_refused_batch_and_its_pieces_are_held() {
    let mut world = SimWorld::new();
    world.options.segment_bytes = 64 << 10;
    let spool = world.open();
    let lane = spool.lane(&patient(remote("s1"))).unwrap();
    for rows in [b"good", b"bad!"] {
        commit(&spool, &[(lane, rows, 1)]).await;
    }
    spool.flush(None).await;
    let whole = world.disk.read(&world.path(FIRST));
    let refused = Outcome::Refused {
        code: Some(27),
        text: "bad".into(),
    };
    settle_next(&spool, &destination("s1"), refused).await;
    settle_next(&spool, &destination("s1"), Outcome::Acknowledged).await;
    until("the piece is moved", || {
        world.exists("d.t/s1/sent/00000000000000000002.bin")
    })
    .await;
    let world = SimWorld::on(world.disk.copy());
    drop(spool);
    // A power loss brought the name back.
    world.disk.put(&world.path(FIRST), whole);
    damage(&world, |event| matches!(event, Event::Recut { .. }));
    let (spool, _) = world.reopen();
    assert_eq!(comes(&spool, &destination("s1")).await, Vec::<Vec<u8>>::new());
    assert_eq!(spool.destination(&destination("s1")).unwrap().held.files, 2);
}

#[tokio::test]
async fn files_of_an_insert_whose_commit_is_lost_are_kept() {
    let mut world = SimWorld::new();
    world.options.segment_bytes = 64 << 10;
    (world.options.inline_bytes_max, world.options.stage_memory_bytes) = (1 << 10, 1 << 20);
    let spool = world.open();
    let lane = spool.lane(&patient(remote("s1"))).unwrap();
    let insert = commit(&spool, &[(lane, &noise(64 << 10), 1)]).await;
    commit(&spool, &[(lane, b"late", 1)]).await;
    let world = SimWorld::on(world.disk.copy());
    drop(spool);
    damage(&world, |event| matches!(event, Event::Commit(_)));
    let (spool, report) = world.reopen();
    let kept = world.path(&format!("journal/staged-{insert}.kept"));
    assert_eq!(report.kept, std::slice::from_ref(&kept));
    assert_eq!(comes(&spool, &destination("s1")).await, [b"late"]);
    drop(spool);
    drop(world.open());
    assert!(world.disk.exists(&kept).unwrap(), "later starts leave it");
}

#[tokio::test]
async fn damage_in_a_segment_before_the_checkpoint_costs_its_rows_and_doubts_nothing() {
    let mut world = SimWorld::new();
    world.options.segment_bytes = 1 << 10;
    let spool = world.open();
    let (lane, stuck) = (
        spool.lane(&patient(remote("s1"))).unwrap(),
        spool.lane(&patient(remote("s2"))).unwrap(),
    );
    commit(&spool, &[(stuck, b"gone", 1)]).await;
    for _ in 0..3 {
        commit(&spool, &[(lane, &noise(2 << 10), 1)]).await;
    }
    let world = SimWorld::on(world.disk.copy());
    drop(spool);
    damage(&world, |event| matches!(event, Event::Commit(_)));
    let (spool, report) = world.reopen();
    assert_eq!((report.lost_shares, report.lost_records), (1, false));
    assert_eq!(comes(&spool, &destination("s1")).await.concat().len(), 6 << 10);
}
