use uuid::Uuid;

use super::*;
use crate::event::{Awaits, BatchInfo};

const LANE: LaneId = LaneId(0);

fn to(shard: &str) -> Destination {
    Destination {
        table: "d.t".into(),
        shard: shard.into(),
        replica: None,
    }
}

fn id(number: InsertNo) -> InsertId {
    InsertId(Uuid::from_u128(number.into()))
}

/// INSERT `number` with a share for each of these shards, attended once.
fn watched(watches: &mut Watches, number: InsertNo, shards: &[&str]) {
    watches.announce(id(number));
    assert!(watches.committed(&commit(number)));
    for (shard, name) in (0..).zip(shards) {
        watches.uncut(number, &[to(name)], (LANE, shard));
    }
}

fn commit(number: InsertNo) -> Commit {
    Commit {
        number,
        insert: id(number),
        user: String::new(),
        query_id: String::new(),
        token: None,
        body_hash: None,
        committed_at_ms: 1,
        awaits: Awaits::Nothing,
        shares: Vec::new(),
    }
}

fn is_delivered(watches: &Watches, number: InsertNo) -> bool {
    watches.by_id[&id(number)].is_delivered()
}

#[test]
fn an_insert_is_delivered_when_the_last_of_its_batches_is() {
    let mut watches = Watches::default();
    watched(&mut watches, 1, &["a", "b"]);
    watches.cut(1, (LANE, 0), false, &[(to("a"), 7)]);
    assert_eq!(watches.settled(&to("a"), 7, &Verdict::Acknowledged), [id(1)]);
    assert!(
        !is_delivered(&watches, 1),
        "the rest of the share waits for its cut"
    );
    watches.cut(1, (LANE, 0), true, &[(to("a"), 8)]);
    watches.cut(1, (LANE, 1), true, &[(to("b"), 1)]);
    watches.settled(&to("a"), 8, &Verdict::Acknowledged);
    assert!(!is_delivered(&watches, 1));
    watches.settled(&to("b"), 1, &Verdict::Acknowledged);
    assert!(is_delivered(&watches, 1));
    assert!(watches.in_batch.is_empty());
}

#[test]
fn a_batch_that_was_refused_or_dropped_is_never_taken_for_delivered() {
    let broken = Verdict::Broken {
        error: "code 27: x".into(),
    };
    for verdict in [broken, Verdict::Dropped] {
        let mut watches = Watches::default();
        watched(&mut watches, 1, &["a"]);
        watches.cut(1, (LANE, 0), true, &[(to("a"), 7)]);
        assert_eq!(watches.settled(&to("a"), 7, &verdict), [id(1)]);
        assert!(!is_delivered(&watches, 1), "{verdict:?}");
        // An operator takes it back out of broken/ under a new number.
        let again = Recut {
            seq: 9,
            insert: id(1),
            batch: BatchInfo::default(),
        };
        assert_eq!(watches.recut(&to("a"), 7, &[again]), [id(1)]);
        watches.settled(&to("a"), 9, &Verdict::Acknowledged);
        assert!(is_delivered(&watches, 1), "{verdict:?}");
    }
}

#[test]
fn a_batch_taken_apart_is_followed_into_the_piece_that_has_the_rows() {
    let mut watches = Watches::default();
    watched(&mut watches, 1, &["a"]);
    watched(&mut watches, 2, &["a"]);
    for number in [1, 2] {
        watches.cut(number, (LANE, 0), true, &[(to("a"), 7)]);
    }
    let piece = |number, seq| Recut {
        seq,
        insert: id(number),
        batch: BatchInfo::default(),
    };
    watches.recut(&to("a"), 7, &[piece(1, 8), piece(5, 8), piece(2, 9)]);
    watches.settled(&to("a"), 8, &Verdict::Acknowledged);
    assert!(is_delivered(&watches, 1) && !is_delivered(&watches, 2));
    assert!(watches.settled(&to("a"), 7, &Verdict::Acknowledged).is_empty());
    watches.settled(&to("a"), 9, &Verdict::Acknowledged);
    assert!(is_delivered(&watches, 2));
}

#[test]
fn batches_that_become_one_are_followed_into_it_and_one_that_is_cut_by_rows_into_all_its_parts() {
    let mut watches = Watches::default();
    for (number, seq) in [(1, 7), (2, 8)] {
        watched(&mut watches, number, &["a"]);
        watches.cut(number, (LANE, 0), true, &[(to("a"), seq)]);
    }
    watches.joined(&to("a"), &[7, 8], 9);
    assert_eq!(watches.inserts_in(&to("a"), 9).len(), 2);
    let half = |insert, seq| Recut {
        seq,
        insert: id(insert),
        batch: BatchInfo::default(),
    };
    watches.recut(&to("a"), 9, &[half(1, 10), half(2, 11)]);
    watches.recut(&to("a"), 10, &[half(1, 12), half(1, 13)]);
    watches.settled(&to("a"), 12, &Verdict::Acknowledged);
    watches.settled(&to("a"), 11, &Verdict::Acknowledged);
    assert!(!is_delivered(&watches, 1) && is_delivered(&watches, 2));
    watches.settled(&to("a"), 13, &Verdict::Acknowledged);
    assert!(is_delivered(&watches, 1));
    assert!(watches.in_batch.is_empty());
}

#[test]
fn a_watch_that_nobody_attends_stays_while_its_rows_are_on_their_way() {
    let mut watches = Watches::default();
    watched(&mut watches, 1, &["a"]);
    watches.cut(1, (LANE, 0), true, &[(to("a"), 7)]);
    assert!(watches.leave(id(1)));
    assert_eq!(watches.attend(id(1)), Some(true));
    assert_eq!(watches.attend(id(1)), Some(true));
    assert!(!watches.leave(id(1)), "another attends it");
    assert!(watches.leave(id(1)));
    watches.settled(&to("a"), 7, &Verdict::Acknowledged);
    assert_eq!(
        watches.attend(id(1)),
        None,
        "nothing is to be said of it any more"
    );
    assert!(watches.by_id.is_empty() && watches.ids.is_empty() && watches.in_batch.is_empty());
}

#[test]
fn watches_that_nobody_attends_are_bounded_and_the_one_left_first_goes_first() {
    let mut watches = Watches::default();
    let shards: Vec<String> = (0..100).map(|shard| format!("s{shard}")).collect();
    let shards: Vec<&str> = shards.iter().map(String::as_str).collect();
    for number in 1..=400 {
        watched(&mut watches, number, &shards);
        watches.leave(id(number));
    }
    let weight: usize = watches.by_id.values().map(Watch::weight).sum();
    assert!(
        weight <= KEPT_WEIGHT_MAX && weight > KEPT_WEIGHT_MAX - 200,
        "{weight}"
    );
    assert_eq!(watches.attend(id(1)), None);
    assert_eq!(watches.attend(id(400)), Some(true));
}

#[test]
fn an_undone_insert_is_watched_no_more_and_an_unasked_one_never_was() {
    let mut watches = Watches::default();
    watched(&mut watches, 1, &["a"]);
    assert_eq!(watches.aborted(1), Some(id(1)));
    assert!(!watches.is_watched(1) && watches.aborted(1).is_none());
    assert!(!watches.committed(&commit(2)));
    assert!(!watches.is_watched(2));
}
