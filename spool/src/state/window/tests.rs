use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::event::Awaits;

const SECOND: u64 = 1000;

const LENGTHS: RetryWindows = RetryWindows {
    token: Duration::from_secs(3600),
    query_id: Duration::from_secs(120),
    identical: Duration::from_secs(600),
};

fn window(entries_max: usize) -> Window {
    Window::new(7, LENGTHS, entries_max)
}

/// INSERT `number` of user `app` into `d.t`, with a token or else a query id and a body.
pub(crate) fn commit(number: InsertNo, token: Option<&str>, at_ms: u64) -> Commit {
    Commit {
        number,
        insert: InsertId(Uuid::from_u128(number.into())),
        user: "app".into(),
        query_id: "q1".into(),
        token: token.map(str::to_owned),
        body_hash: Some(9),
        committed_at_ms: at_ms,
        awaits: Awaits::Nothing,
        shares: Vec::new(),
    }
}

fn add(window: &mut Window, commit: &Commit) {
    window.committed(commit, "d.t", 3, 30, false);
}

/// The number of the INSERT that this one is taken for a retry of.
fn first(window: &Window, commit: &Commit, now_ms: u64) -> Option<InsertNo> {
    first_within(window, commit, LENGTHS, now_ms)
}

fn first_within(window: &Window, commit: &Commit, windows: RetryWindows, now_ms: u64) -> Option<InsertNo> {
    let mut keys = window.keys(&commit.signature("d.t"), &windows);
    let known = keys.find_map(|(kind, key)| window.find(kind, key, windows.of(kind), now_ms))?;
    Some(known.number)
}

#[test]
fn a_token_is_known_for_its_window_and_not_a_moment_longer() {
    let mut window = window(10);
    add(&mut window, &commit(1, Some("t"), 0));
    let again = commit(2, Some("t"), 0);
    assert_eq!(first(&window, &again, 3600 * SECOND - 1), Some(1));
    assert_eq!(first(&window, &again, 3600 * SECOND), None);
    assert_eq!(first(&window, &commit(2, Some("u"), 0), 0), None);
    assert_eq!(first(&window, &commit(2, None, 0), 0), None);
}

#[test]
fn without_a_token_query_id_and_body_are_known_for_two_minutes_and_the_body_for_ten() {
    let mut window = window(10);
    add(&mut window, &commit(1, None, 0));
    let again = commit(2, None, 0);
    let without = |switched_off: RetryWindows, now_ms| first_within(&window, &again, switched_off, now_ms);
    let by_query_id = RetryWindows {
        identical: Duration::ZERO,
        ..LENGTHS
    };
    assert_eq!(without(by_query_id, 119 * SECOND), Some(1));
    assert_eq!(without(by_query_id, 120 * SECOND), None);
    assert_eq!(without(LENGTHS, 599 * SECOND), Some(1));
    assert_eq!(without(LENGTHS, 600 * SECOND), None);
    let another_body = Commit {
        body_hash: Some(10),
        ..again.clone()
    };
    assert_eq!(first(&window, &another_body, 0), None);
    let another_query = Commit {
        query_id: "q2".into(),
        ..again
    };
    assert_eq!(first_within(&window, &another_query, by_query_id, 0), None);
}

#[test]
fn a_table_may_have_a_shorter_window_than_is_kept_and_what_is_switched_off_is_not_kept() {
    let mut short = window(10);
    add(&mut short, &commit(1, Some("t"), 0));
    let minute = RetryWindows {
        token: Duration::from_secs(60),
        ..LENGTHS
    };
    let again = commit(2, Some("t"), 0);
    assert_eq!(first_within(&short, &again, minute, 59 * SECOND), Some(1));
    assert_eq!(first_within(&short, &again, minute, 60 * SECOND), None);
    let mut off = Window::new(7, RetryWindows::default(), 10);
    add(&mut off, &commit(1, Some("t"), 0));
    assert_eq!((first(&off, &again, 0), off.status(0).entries), (None, 0));
}

#[test]
fn the_key_of_an_undone_insert_is_free_and_that_of_one_that_is_gone_is_not() {
    let mut window = window(10);
    for (number, token) in [(1, "bad"), (2, "good")] {
        window.committed(&commit(number, Some(token), 0), "d.t", 3, 30, true);
    }
    window.aborted(1);
    window.gone(2);
    window.aborted(2);
    assert_eq!(first(&window, &commit(3, Some("bad"), 0), 1), None);
    assert_eq!(first(&window, &commit(3, Some("good"), 0), 1), Some(2));
    add(&mut window, &commit(3, Some("bad"), 1));
    assert_eq!(first(&window, &commit(4, Some("bad"), 0), 1), Some(3));
}

#[test]
fn of_too_many_the_oldest_is_forgotten_and_the_true_length_tells() {
    let mut window = window(3);
    add(&mut window, &commit(1, None, 0));
    for (number, token) in [(2, "b"), (3, "c"), (4, "d")] {
        add(&mut window, &commit(number, Some(token), number * SECOND));
    }
    assert_eq!(first(&window, &commit(9, None, 0), 4 * SECOND), None);
    for (token, number) in [("b", Some(2)), ("d", Some(4))] {
        assert_eq!(
            first(&window, &commit(9, Some(token), 0), 4 * SECOND),
            number,
            "{token}"
        );
    }
    add(&mut window, &commit(5, Some("e"), 5 * SECOND));
    let status = window.status(10 * SECOND);
    assert_eq!(
        (status.entries, status.windows.token),
        (3, Duration::from_secs(8))
    );
    assert_eq!(status.windows.query_id, Duration::from_secs(10));
    assert_eq!(window.status(7200 * SECOND).windows, LENGTHS);
}

#[test]
fn what_is_old_makes_room_before_anything_young_has_to() {
    let mut window = window(3);
    for (number, token) in [(1, "a"), (2, "b"), (3, "c")] {
        add(&mut window, &commit(number, Some(token), 0));
    }
    add(&mut window, &commit(4, Some("d"), 3600 * SECOND));
    let status = window.status(3600 * SECOND);
    assert_eq!((status.entries, status.windows.token), (1, LENGTHS.token));
}

#[test]
fn a_clock_that_is_set_back_forgets_nothing() {
    let mut window = window(10);
    add(&mut window, &commit(1, Some("t"), 10_000 * SECOND));
    add(&mut window, &commit(2, Some("u"), 0));
    assert_eq!(first(&window, &commit(3, Some("t"), 0), 5), Some(1));
}

#[test]
fn of_a_window_that_becomes_longer_the_older_part_is_not_there() {
    let mut window = window(10);
    let day = RetryWindows {
        token: Duration::from_secs(86_400),
        ..LENGTHS
    };
    window.set_lengths(day, 7200 * SECOND);
    assert_eq!(window.status(7200 * SECOND).windows.token, LENGTHS.token);
    assert_eq!(
        window.status(8000 * SECOND).windows.token,
        Duration::from_secs(4400)
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Thousands of entries come, are replaced, undone and go, and memory is given back meanwhile.
    #[test]
    fn it_knows_what_a_plain_map_knows(
        steps in proptest::collection::vec((any::<u8>(), 0..40_u64, any::<bool>()), 1..3000),
    ) {
        let mut window = window(100_000);
        let mut model: HashMap<u8, (InsertNo, u64)> = HashMap::new();
        let mut now = 0;
        for ((token, passed, undone), number) in steps.into_iter().zip(1..) {
            now += passed * SECOND;
            let next = commit(number, Some(&token.to_string()), now);
            let expected = model.get(&token).filter(|(_, at_ms)| now - at_ms < 3600 * SECOND);
            prop_assert_eq!(first(&window, &next, now), expected.map(|(number, _)| *number));
            window.committed(&next, "d.t", 1, 1, true);
            model.insert(token, (number, now));
            if undone {
                window.aborted(number);
                model.remove(&token);
            } else {
                window.gone(number);
            }
        }
    }
}
