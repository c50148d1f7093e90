//! INSERTs that come again: in flight, afterwards, and after a restart.

use std::time::Duration;

use super::support::*;
use crate::*;

const WINDOWS: RetryWindows = RetryWindows {
    token: Duration::from_secs(3600),
    query_id: Duration::from_secs(120),
    identical: Duration::from_secs(600),
};

/// What one INSERT says of itself.
#[derive(Clone, Copy)]
struct Said {
    user: &'static str,
    token: Option<&'static str>,
    query_id: &'static str,
    body: Option<u128>,
    windows: RetryWindows,
}

fn with_token(token: &'static str) -> Said {
    Said {
        user: "app",
        token: Some(token),
        query_id: "",
        body: None,
        windows: WINDOWS,
    }
}

fn head(said: Said) -> CommitHead {
    CommitHead {
        user: said.user.into(),
        query_id: said.query_id.into(),
        body_hash: said.body,
        retry_windows: said.windows,
        probe: Vec::new(),
        watch: false,
    }
}

fn stage(spool: &Spool, lanes: ShareLanes, token: Option<&str>, rows: &[u8]) -> Staged {
    let token = token.map(str::to_owned);
    let mut stage = spool.stage(InsertId::random(), token, shape(), &[lanes]);
    stage.append(0, rows, 2).unwrap();
    stage.finish().unwrap()
}

fn remote_only(lane: LaneId) -> ShareLanes {
    ShareLanes {
        remote: Some(lane),
        local: None,
    }
}

async fn insert(spool: &Spool, said: Said) -> Accepted {
    let lane = spool.lane(&patient(remote("s1"))).unwrap();
    let staged = stage(spool, remote_only(lane), said.token, b"row1row2");
    spool.commit(staged, head(said)).await.unwrap()
}

async fn insert_local(spool: &Spool, said: Said) -> Accepted {
    let lanes = ShareLanes {
        local: Some(spool.lane(&local("here")).unwrap()),
        remote: None,
    };
    let staged = stage(spool, lanes, said.token, b"row1row2");
    spool.commit(staged, head(said)).await.unwrap()
}

async fn outcome(accepted: &mut Accepted) -> PendingOutcome {
    accepted.pending.as_mut().unwrap().outcome().await
}

fn rows_waiting(spool: &Spool) -> u64 {
    let status = spool.destination(&destination("s1")).unwrap();
    status.uncut.rows + status.waiting.rows
}

#[tokio::test]
async fn an_insert_with_a_known_token_adds_nothing_and_has_the_firsts_receipt() {
    let world = World::new();
    let spool = world.open();
    let first = insert(&spool, with_token("t")).await;
    let again = insert(&spool, with_token("t")).await;
    assert_eq!((first.is_duplicate, again.is_duplicate), (false, true));
    assert_eq!((again.insert, again.rows, again.raw_bytes), (first.insert, 2, 8));
    assert!(again.pending.is_none());
    assert_eq!(rows_waiting(&spool), 2);
    let other_user = Said {
        user: "other",
        ..with_token("t")
    };
    for said in [with_token("u"), other_user] {
        assert!(!insert(&spool, said).await.is_duplicate);
    }
    assert_eq!(rows_waiting(&spool), 6);
}

#[tokio::test]
async fn a_known_token_is_recognised_before_anything_is_staged() {
    let world = World::new();
    let spool = world.open();
    let signature = Signature {
        user: "app",
        table: "d.t",
        token: Some("t"),
        query_id: "",
        body_hash: None,
    };
    assert!(spool.recognise(&signature, &WINDOWS).is_none());
    let first = insert(&spool, with_token("t")).await;
    assert_eq!(
        spool.recognise(&signature, &WINDOWS).unwrap().insert,
        first.insert
    );
    assert!(spool.recognise(&signature, &RetryWindows::default()).is_none());
    let another_table = Signature {
        table: "d.u",
        ..signature
    };
    assert!(spool.recognise(&another_table, &WINDOWS).is_none());
}

#[tokio::test]
async fn without_a_token_the_same_query_id_and_body_is_the_same_insert_and_so_is_the_same_body_where_asked_for()
 {
    let world = World::new();
    let spool = world.open();
    let said = Said {
        query_id: "q",
        body: Some(1),
        windows: RetryWindows {
            identical: Duration::ZERO,
            ..WINDOWS
        },
        token: None,
        user: "app",
    };
    let first = insert(&spool, said).await;
    assert_eq!(insert(&spool, said).await.insert, first.insert);
    for other in [
        Said {
            query_id: "p",
            ..said
        },
        Said {
            body: Some(2),
            ..said
        },
        Said {
            windows: RetryWindows::default(),
            ..said
        },
    ] {
        assert!(!insert(&spool, other).await.is_duplicate);
    }
    let by_body = Said {
        query_id: "",
        windows: WINDOWS,
        ..said
    };
    assert!(insert(&spool, by_body).await.is_duplicate);
}

#[tokio::test]
async fn two_equal_inserts_of_one_group_are_one() {
    let world = World::new();
    let spool = world.open();
    spool.lane(&patient(remote("s1"))).unwrap();
    let (all, distinct) = futures_of_equal_inserts(&spool, 40).await;
    assert_eq!((all, distinct, rows_waiting(&spool)), (40, 1, 2));
}

/// How many were answered, and how many receipts they have.
async fn futures_of_equal_inserts(spool: &Spool, count: usize) -> (usize, usize) {
    let tasks: Vec<_> = (0..count)
        .map(|_| {
            let spool = spool.clone();
            tokio::spawn(async move { insert(&spool, with_token("t")).await.insert })
        })
        .collect();
    let mut receipts = Vec::new();
    for task in tasks {
        receipts.push(task.await.unwrap());
    }
    let all = receipts.len();
    receipts.sort();
    receipts.dedup();
    (all, receipts.len())
}

#[tokio::test]
async fn the_retry_of_a_pending_insert_waits_for_its_end_and_has_the_same() {
    let world = World::new();
    let spool = world.open();
    let mut first = insert_local(&spool, with_token("t")).await;
    let mut again = insert_local(&spool, with_token("t")).await;
    assert_eq!((again.insert, again.is_duplicate), (first.insert, true));
    assert!(within_a_moment(outcome(&mut again)).await.is_none());
    take_next(&spool, &destination("here")).await;
    assert_eq!(outcome(&mut first).await, PendingOutcome::Delivered);
    assert_eq!(outcome(&mut again).await, PendingOutcome::Delivered);
    assert!(insert_local(&spool, with_token("t")).await.pending.is_none());
}

#[tokio::test]
async fn when_a_pending_insert_is_undone_its_retries_have_the_refusal_too_and_its_token_is_free() {
    let world = World::new();
    let spool = world.open();
    let mut first = insert_local(&spool, with_token("t")).await;
    let mut again = insert_local(&spool, with_token("t")).await;
    let refused = Outcome::Refused {
        code: Some(27),
        text: "bad".into(),
    };
    settle_next(&spool, &destination("here"), refused).await;
    let refusal = PendingOutcome::Aborted(ShardRefusal {
        code: Some(27),
        text: "bad".into(),
    });
    assert_eq!(
        (outcome(&mut first).await, outcome(&mut again).await),
        (refusal.clone(), refusal)
    );
    let third = insert_local(&spool, with_token("t")).await;
    assert!(!third.is_duplicate && third.insert != first.insert);
}

#[tokio::test]
async fn the_retry_of_an_insert_whose_wait_ran_out_is_answered_at_once() {
    let world = World::new();
    let spool = world.open();
    let mut first = insert_local(&spool, with_token("t")).await;
    let mut waiting = insert_local(&spool, with_token("t")).await;
    spool.go(first.insert, "timeout").await.unwrap();
    let waits = PendingOutcome::Waiting("timeout".into());
    assert_eq!(
        (outcome(&mut first).await, outcome(&mut waiting).await),
        (waits.clone(), waits)
    );
    let late = insert_local(&spool, with_token("t")).await;
    assert!(late.is_duplicate && late.pending.is_none());
}

#[tokio::test]
async fn tokens_are_known_after_a_restart_from_the_journal_and_from_segments_that_are_gone() {
    let mut world = World::new();
    world.options.segment_bytes = 4 << 10;
    let mut spool = world.open();
    let mut receipts = Vec::new();
    let tokens = ["a", "b", "c", "d", "e", "f"];
    for (token, number) in tokens.into_iter().zip(0..) {
        receipts.push(insert(&spool, with_token(token)).await.insert);
        // Whole segments between them, and restarts, each with a checkpoint.
        for _ in 0..20 * (number % 2) {
            let lane = spool.lane(&patient(remote("s1"))).unwrap();
            world.commit(&spool, &[(lane, &noise(1000), 1)]).await;
            spool.flush(None).await;
        }
        if number % 3 == 1 {
            spool = world.restart(spool).0;
        }
    }
    let files = world
        .names("meta")
        .into_iter()
        .filter(|name| name.starts_with("window-"));
    assert!(files.count() >= 3, "{:?}", world.names("meta"));
    for round in 0..2 {
        for (token, receipt) in tokens.into_iter().zip(&receipts) {
            let again = insert(&spool, with_token(token)).await;
            assert_eq!(
                (again.is_duplicate, again.insert),
                (true, *receipt),
                "{token}, round {round}"
            );
        }
        spool = world.restart(spool).0;
    }
}

fn window_files(world: &World) -> Vec<String> {
    let names = world.names("meta").into_iter();
    names.filter(|name| name.starts_with("window-")).collect()
}

#[tokio::test]
async fn a_token_that_was_freed_after_its_segment_was_closed_is_free_after_a_restart() {
    let mut world = World::new();
    world.options.segment_bytes = 4 << 10;
    let spool = world.open();
    let mut first = insert_local(&spool, with_token("t")).await;
    let lane = spool.lane(&patient(remote("s1"))).unwrap();
    for _ in 0..20 {
        world.commit(&spool, &[(lane, &noise(1000), 1)]).await;
    }
    until("its segment is closed", || !window_files(&world).is_empty()).await;
    let refused = Outcome::Refused {
        code: Some(27),
        text: "bad".into(),
    };
    settle_next(&spool, &destination("here"), refused).await;
    assert!(matches!(outcome(&mut first).await, PendingOutcome::Aborted(_)));
    let (spool, _) = world.restart(spool);
    let (spool, report) = world.restart(spool);
    assert_eq!(report.pending, 0);
    assert!(!insert_local(&spool, with_token("t")).await.is_duplicate);
}

#[tokio::test]
async fn a_window_file_goes_when_its_youngest_entry_has_expired() {
    let mut world = World::new();
    world.options.retry_windows = RetryWindows {
        token: Duration::from_millis(300),
        ..RetryWindows::default()
    };
    // No room for receipts, which are known for longer.
    world.options.retry_entries_max = 3;
    let spool = world.open();
    insert(&spool, with_token("t")).await;
    let (spool, _) = world.restart(spool);
    let windows = |world: &World| {
        world
            .names("meta")
            .iter()
            .filter(|name| name.starts_with("window-"))
            .count()
    };
    assert_eq!(windows(&world), 1);
    tokio::time::sleep(Duration::from_millis(350)).await;
    insert(&spool, with_token("u")).await;
    let (_spool, _) = world.restart(spool);
    assert_eq!(windows(&world), 1, "{:?}", world.names("meta"));
}

#[tokio::test]
async fn a_damaged_window_file_is_reported_and_costs_nothing_but_what_it_knew() {
    let world = World::new();
    let spool = world.open();
    insert(&spool, with_token("t")).await;
    let (spool, _) = world.restart(spool);
    drop(spool);
    let name = world
        .names("meta")
        .into_iter()
        .find(|name| name.starts_with("window-"))
        .unwrap();
    let path = world.path("meta").join(&name);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[70] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (spool, report) = world.reopen();
    assert_eq!(report.corrupt, [path.with_extension("corrupt")]);
    assert!(!insert(&spool, with_token("t")).await.is_duplicate);
    let (spool, report) = world.restart(spool);
    assert_eq!(report.corrupt, Vec::<std::path::PathBuf>::new());
    assert!(insert(&spool, with_token("t")).await.is_duplicate);
}

#[tokio::test]
async fn the_oldest_of_too_many_is_forgotten_and_the_true_length_says_so() {
    let mut world = World::new();
    world.options.retry_entries_max = 2;
    let spool = world.open();
    assert_eq!(spool.retry_status().windows, WINDOWS);
    for token in ["a", "b", "c"] {
        insert(&spool, with_token(token)).await;
    }
    let status = spool.retry_status();
    assert_eq!(status.entries, 2);
    assert!(status.windows.token < Duration::from_secs(10));
    assert!(!insert(&spool, with_token("a")).await.is_duplicate);
    assert!(insert(&spool, with_token("c")).await.is_duplicate);
}
