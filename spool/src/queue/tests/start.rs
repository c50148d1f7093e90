//! A start accepts INSERTs before it has looked into a directory, and what it finds there behind that changes nothing for
//! anybody.

use std::time::{Duration, Instant};

use super::support::*;
use crate::event::{BatchInfo, DestinationMark, WaitingMark};
use crate::journal;
use crate::names::{Layout, batch_name};
use crate::*;

/// What issue 4 asks for.
const WAITING_FILES: u64 = 100_000;
const WAITING_BYTES: u64 = 20_000_000_000;
const ACCEPTS_WITHIN: Duration = Duration::from_secs(2);

/// File systems allow so many names of one file, or more.
const NAMES_A_FILE: u64 = 20_000;
const DESTINATIONS: u64 = 50;

/// A spool with a batch in it, closed.
async fn spool_with_a_batch(world: &World) -> BatchInfo {
    let spool = world.open();
    let lane = spool.lane(&remote("s0")).unwrap();
    world
        .commit(
            &spool,
            &[(lane, &noise(WAITING_BYTES as usize / WAITING_FILES as usize), 1)],
        )
        .await;
    until("the batch is cut", || {
        spool
            .destinations()
            .iter()
            .any(|status| status.waiting.files == 1)
    })
    .await;
    let waiting = spool.destination(&destination("s0")).unwrap().waiting;
    spool.shutdown().await;
    BatchInfo {
        rows: waiting.rows,
        raw_bytes: waiting.raw_bytes,
        file_bytes: waiting.file_bytes,
        created_at_ms: 1,
    }
}

/// Makes that many batches wait: the files are names of a few real ones.
fn multiply(world: &World, batch: &BatchInfo) {
    let layout = Layout::at(&world.options.path);
    let mut checkpoint = journal::decode_checkpoint(&std::fs::read(layout.checkpoint()).unwrap()).unwrap();
    let template = std::fs::read(layout.batch(&destination("s0"), 1)).unwrap();
    checkpoint.destinations.clear();
    let mut source = layout.root().join("none");
    for number in 0..DESTINATIONS {
        let to = destination(&format!("s{number}"));
        let directory = layout.destination(&to);
        std::fs::create_dir_all(&directory).unwrap();
        let mut waiting = Vec::new();
        for seq in 1..=WAITING_FILES / DESTINATIONS {
            let path = directory.join(batch_name(seq));
            let made = number * (WAITING_FILES / DESTINATIONS) + seq - 1;
            if made == 0 {
                source = path;
            } else if made.is_multiple_of(NAMES_A_FILE) {
                std::fs::write(&path, &template).unwrap();
                source = path;
            } else {
                std::fs::hard_link(&source, &path).unwrap();
            }
            waiting.push(WaitingMark {
                seq,
                batch: batch.clone(),
            });
        }
        checkpoint.destinations.push(DestinationMark {
            destination: to,
            next_seq: WAITING_FILES,
            held: None,
            waiting,
            batches: Vec::new(),
        });
    }
    std::fs::write(
        layout.checkpoint(),
        journal::encode_checkpoint(&checkpoint).unwrap(),
    )
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_100_000_files_of_20_gb_waiting_inserts_are_accepted_within_2_seconds() {
    let world = World::new();
    let batch = spool_with_a_batch(&world).await;
    multiply(&world, &batch);
    let began = Instant::now();
    let spool = Spool::open(world.options.clone()).unwrap();
    let opened = began.elapsed();
    let lane = spool.lane(&remote("new")).unwrap();
    commit(&spool, &[(lane, b"row\n", 1)]).await;
    let accepted = began.elapsed();
    assert!(
        accepted < ACCEPTS_WITHIN,
        "opened after {opened:?}, accepted after {accepted:?}"
    );
    let backlog: u64 = spool
        .destinations()
        .iter()
        .map(DestinationStatus::backlog_bytes)
        .sum();
    assert!(
        backlog >= WAITING_BYTES,
        "the backlog is of {backlog} bytes from the start"
    );
    let report = spool.recovered().await.unwrap();
    let swept = began.elapsed();
    assert_eq!(
        (report.waiting, report.damaged.len(), report.unknown.len()),
        (WAITING_FILES, 0, 0)
    );
    assert_eq!(take_next(&spool, &destination("new")).await, b"row\n");
    assert!(spool.next(&destination("s7")).await.is_ok());
    println!(
        "opened after {opened:?}, the first INSERT accepted after {accepted:?}, all directories read after {swept:?}"
    );
}

/// A spool whose directories are not read before [`let_go`].
fn hold_directories(world: &SimWorld) -> Spool {
    world.disk.hold_listing(&world.options.path);
    Spool::open_behind(
        std::sync::Arc::new(world.disk.clone()),
        world.options.clone(),
        None,
    )
    .unwrap()
}

async fn let_go(world: &SimWorld, spool: &Spool) -> RecoveryReport {
    world.disk.release_listings();
    spool.recovered().await.unwrap()
}

#[tokio::test]
async fn before_the_directories_are_read_inserts_are_accepted_and_nothing_is_cut_or_sent() {
    let world = SimWorld::new();
    let spool = world.open();
    let lane = spool.lane(&remote("s1")).unwrap();
    commit(&spool, &[(lane, b"old\n", 1)]).await;
    until("it is cut", || {
        spool.destination(&destination("s1")).unwrap().waiting.files == 1
    })
    .await;
    spool.shutdown().await;

    let spool = hold_directories(&world);
    let lane = spool.lane(&remote("s1")).unwrap();
    commit(&spool, &[(lane, b"new\n", 1)]).await;
    assert!(!spool.is_recovered());
    assert!(within_a_moment(spool.next(&destination("s1"))).await.is_none());
    let drop_batch = tokio::spawn({
        let spool = spool.clone();
        async move { spool.hold_destination(&destination("s2"), "by hand").await }
    });
    let status = spool.destination(&destination("s1")).unwrap();
    assert_eq!((status.uncut.rows, status.waiting.files), (1, 1));
    assert!(status.waiting.file_bytes > 0, "the quota knows what waits");
    assert!(!drop_batch.is_finished(), "what is asked of batches waits");

    let report = let_go(&world, &spool).await;
    assert_eq!(
        (report.waiting, &report.damaged, &report.unknown),
        (1, &vec![], &vec![])
    );
    drop_batch.await.unwrap().unwrap();
    assert_eq!(
        rows_in(&spool, &spool.next(&destination("s1")).await.unwrap()),
        b"old\n"
    );
}

#[tokio::test]
async fn a_receipt_that_is_asked_for_before_the_directories_are_read_waits_for_what_is_in_broken() {
    let world = SimWorld::new();
    let spool = world.open();
    let lane = spool.lane(&remote("s1")).unwrap();
    let staged = stage(&spool, &[(lane, b"bad\n", 1)]);
    let insert = spool.commit(staged, CommitHead::default()).await.unwrap().insert;
    let refused = Outcome::Refused {
        code: Some(27),
        text: "cannot parse".into(),
    };
    settle_next(&spool, &destination("s1"), refused).await;
    spool.shutdown().await;

    let spool = hold_directories(&world);
    assert!(within_a_moment(spool.receipt(insert)).await.is_none());
    let_go(&world, &spool).await;
    let receipt = spool.receipt(insert).await.unwrap().unwrap();
    assert_eq!(receipt.state(), ReceiptState::Broken);
}

#[tokio::test]
async fn a_client_that_would_wait_for_its_local_rows_is_told_that_the_directories_are_read() {
    let world = SimWorld::new();
    let spool = hold_directories(&world);
    let lane = spool.lane(&local("s1")).unwrap();
    let staged = stage(&spool, &[(lane, b"row\n", 1)]);
    let mut accepted = spool.commit(staged, CommitHead::default()).await.unwrap();
    let outcome = accepted.pending.as_mut().unwrap().outcome().await;
    assert!(
        matches!(&outcome, PendingOutcome::Waiting(why) if why.contains("directories")),
        "{outcome:?}"
    );
    let_go(&world, &spool).await;
    assert_eq!(
        rows_in(&spool, &spool.next(&destination("s1")).await.unwrap()),
        b"row\n"
    );
}

#[tokio::test]
async fn files_of_inserts_that_are_on_their_way_are_no_leftovers() {
    let mut world = SimWorld::new();
    world.options.inline_bytes_max = 64;
    world.options.stage_memory_bytes = 1 << 10;
    let spool = hold_directories(&world);
    world.disk.put(
        &world.path("journal/staged-67e55044-10b1-426f-9247-bb680e5fe0c8"),
        b"old".to_vec(),
    );
    let lane = spool.lane(&patient(remote("s1"))).unwrap();
    let (large, small) = (noise(8 << 10), noise(700));
    let committed = commit(&spool, &[(lane, &large, 1)]).await;
    let underway = stage(&spool, &[(lane, &small, 1)]);
    let report = let_go(&world, &spool).await;
    assert_eq!(report.leftovers_removed, 1, "{report:?} {committed}");
    spool.commit(underway, CommitHead::default()).await.unwrap();
    spool.flush(None).await;
    let first = rows_in(&spool, &spool.next(&destination("s1")).await.unwrap());
    assert!(first.starts_with(&large));
}

#[tokio::test]
async fn a_spool_that_is_closed_before_its_directories_are_read_is_swept_by_the_next_start() {
    let world = SimWorld::new();
    let spool = world.open();
    let lane = spool.lane(&patient(remote("s1"))).unwrap();
    commit(&spool, &[(lane, b"old\n", 1)]).await;
    drop(spool);
    let spool = hold_directories(&world);
    let lane = spool.lane(&patient(remote("s1"))).unwrap();
    commit(&spool, &[(lane, b"new\n", 1)]).await;
    let closing = tokio::spawn(spool.shutdown());
    world.disk.release_listings();
    closing.await.unwrap();
    let (spool, _) = world.reopen();
    spool.lane(&patient(remote("s1"))).unwrap();
    spool.flush(None).await;
    let mut rows = take_sim(&spool, &destination("s1")).await;
    if spool.destination(&destination("s1")).unwrap().waiting.files > 0 {
        rows.extend(take_sim(&spool, &destination("s1")).await);
    }
    assert_eq!(rows, b"old\nnew\n");
}

async fn take_sim(spool: &Spool, to: &Destination) -> Vec<u8> {
    let mut batch = spool.next(to).await.unwrap();
    let rows = rows_in(spool, &batch);
    spool.attempt(&mut batch, "h:1").await.unwrap();
    spool.settle(&batch, Outcome::Acknowledged).await.unwrap();
    rows
}

/// Records of the end of the journal are lost, and only a file in sent/ shows it: what was known is in doubt, what was accepted
/// behind the start is not.
#[tokio::test]
async fn what_is_accepted_while_lost_records_come_to_light_is_in_no_doubt() {
    let world = SimWorld::new();
    let spool = world.open();
    let lane = spool.lane(&patient(remote("s1"))).unwrap();
    commit(&spool, &[(lane, b"old\n", 1)]).await;
    drop(spool);
    let before = world.disk.copy();
    let (spool, _) = world.reopen();
    spool.lane(&patient(remote("s1"))).unwrap();
    spool.flush(None).await;
    take_sim(&spool, &destination("s1")).await;
    until("it is moved", || {
        world.exists("d.t/s1/sent/00000000000000000001.bin")
    })
    .await;
    drop(spool);
    // The journal of before, and the files of after.
    let sent = world.path("d.t/s1/sent/00000000000000000001.bin");
    before.put(&sent, world.disk.read(&sent));
    let world = SimWorld::on(before);
    let spool = hold_directories(&world);
    let lane = spool.lane(&patient(remote("s1"))).unwrap();
    commit(&spool, &[(lane, b"new\n", 1)]).await;
    let report = let_go(&world, &spool).await;
    assert!(report.lost_records, "{report:?}");
    assert_eq!(report.suspect_shares, 0, "sent/ shows that it was cut");
    spool.flush(None).await;
    assert_eq!(take_sim(&spool, &destination("s1")).await, b"new\n");
    assert_eq!(spool.destination(&destination("s1")).unwrap().waiting.files, 0);
}
