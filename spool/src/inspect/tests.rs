use super::*;
use crate::queue::tests::support::*;
use crate::{Outcome, Spool};

async fn world_with_some_of_everything() -> (World, Spool) {
    let world = World::new();
    let spool = world.open();
    let lane = spool.lane(&remote("s1")).unwrap();
    let to = destination("s1");
    for rows in [b"sent".as_slice(), b"bad!", b"held", b"wait"] {
        world.commit(&spool, &[(lane, rows, 1)]).await;
        spool.flush(None).await;
    }
    settle_next(&spool, &to, Outcome::Acknowledged).await;
    let refused = Outcome::Refused {
        code: Some(27),
        text: "cannot parse".into(),
    };
    settle_next(&spool, &to, refused).await;
    settle_next(
        &spool,
        &to,
        Outcome::HoldBatch {
            error: "doubt".into(),
        },
    )
    .await;
    settle_next(&spool, &to, Outcome::Retry { error: "down".into() }).await;
    spool.lane(&patient(remote("s1"))).unwrap();
    world.commit(&spool, &[(lane, b"uncut", 2)]).await;
    until("broken/", || {
        world.exists("d.t/s1/broken/00000000000000000002.bin")
    })
    .await;
    until("sent/", || world.exists("d.t/s1/sent/00000000000000000001.bin")).await;
    (world, spool)
}

#[tokio::test]
async fn a_listing_beside_a_running_router_shows_what_it_has() {
    let (world, spool) = world_with_some_of_everything().await;
    let listed = list(&world.options.path).unwrap();
    let mut running = spool.destinations();
    running
        .iter_mut()
        .for_each(|status| status.acknowledged_rows = listed.destinations[0].acknowledged_rows);
    assert_eq!(listed.destinations, running);
    assert_eq!(listed.destinations[0].uncut.rows, 2);
}

#[tokio::test]
async fn files_are_listed_with_their_states_attempts_and_errors() {
    let (world, _spool) = world_with_some_of_everything().await;
    let listed = files(&world.options.path, &Filter::default()).unwrap();
    let shown: Vec<_> = listed
        .iter()
        .map(|file| (file.seq, file.state, file.attempts, file.error.as_deref()))
        .collect();
    assert_eq!(
        shown,
        [
            (3, FileState::Held, 1, Some("doubt")),
            (4, FileState::Retry, 1, Some("down")),
            (2, FileState::Broken, 0, Some("code 27: cannot parse")),
            (1, FileState::Sent, 0, None),
        ]
    );
    let only = |filter: Filter| files(&world.options.path, &filter).unwrap().len();
    assert_eq!(
        only(Filter {
            states: vec![FileState::Sent],
            ..Filter::default()
        }),
        1
    );
    assert_eq!(
        only(Filter {
            shard: Some("s2".into()),
            ..Filter::default()
        }),
        0
    );
    assert_eq!(
        only(Filter {
            table: Some("d.t".into()),
            ..Filter::default()
        }),
        4
    );
}

#[tokio::test]
async fn cat_prints_the_rows_and_verify_finds_a_flipped_bit() {
    let (world, _spool) = world_with_some_of_everything().await;
    let file = world.path("d.t/s1/00000000000000000004.bin");
    let mut rows = Vec::new();
    cat(&file, &mut rows).unwrap();
    assert_eq!(rows, b"wait");
    assert_eq!(show(&file).unwrap().trailer.rows, 1);
    let mut told = Vec::new();
    let report = verify(&world.options.path, |done, total| told.push((done, total))).unwrap();
    assert_eq!((report.files, report.rows, report.damaged.len()), (4, 4, 0));
    assert_eq!(told.last().map(|(done, _)| *done), Some(report.bytes));
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[70] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let report = verify(&world.options.path, |_, _| {}).unwrap();
    assert_eq!(report.damaged.len(), 1);
    assert_eq!(report.damaged[0].0, file);
}

#[test]
fn a_directory_that_is_no_spool_is_said_to_be_none() {
    let directory = tempfile::tempdir().unwrap();
    assert!(
        list(directory.path())
            .unwrap_err()
            .to_string()
            .contains("there is no spool in it")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_beside_a_router_at_work_never_takes_a_moved_file_for_a_missing_one() {
    let world = World::new();
    let spool = world.open();
    let lane = spool.lane(&remote("s1")).unwrap();
    let path = world.options.path.clone();
    let looks = tokio::task::spawn_blocking(move || {
        // The journal grows with every batch, and so does the time of a look: some dozens of them are enough.
        let began = std::time::Instant::now();
        while began.elapsed() < std::time::Duration::from_secs(1) {
            let listed = list(&path).unwrap();
            assert_eq!(listed.report.damaged, Vec::<PathBuf>::new());
            assert!(listed.destinations.iter().all(|status| status.held.files == 0));
        }
    });
    while !looks.is_finished() {
        world.commit(&spool, &[(lane, b"row", 1)]).await;
        spool.flush(None).await;
        settle_next(&spool, &destination("s1"), Outcome::Acknowledged).await;
    }
    looks.await.unwrap();
}

#[tokio::test]
async fn a_batch_in_broken_can_be_dropped_once() {
    let (world, spool) = world_with_some_of_everything().await;
    let to = destination("s1");
    spool.drop_batch(&to, 2).await.unwrap();
    assert!(!world.exists("d.t/s1/broken/00000000000000000002.bin"));
    assert_eq!(spool.destination(&to).unwrap().broken.files, 0);
    assert!(spool.drop_batch(&to, 2).await.is_err());
}

#[tokio::test]
async fn verify_reads_the_journal_and_the_checkpoint_too() {
    let (world, spool) = world_with_some_of_everything().await;
    let report = verify(&world.options.path, |_, _| {}).unwrap();
    assert!(
        report.recovery.records > 10 && report.complaints().is_empty(),
        "{:?}",
        report.complaints()
    );
    let segment = world.path("journal/00000000000000000001.log");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[64 + 50] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    std::fs::write(world.path("meta/checkpoint"), b"not a checkpoint").unwrap();
    let complaints = verify(&world.options.path, |_, _| {}).unwrap().complaints();
    let tells = |what: &str| complaints.iter().any(|complaint| complaint.contains(what));
    assert!(
        tells("checkpoint.corrupt: a damaged checkpoint"),
        "{complaints:?}"
    );
    assert!(tells("records of the journal are lost"), "{complaints:?}");
    assert!(world.exists("meta/checkpoint"), "nothing is changed");
    drop(spool);
}
