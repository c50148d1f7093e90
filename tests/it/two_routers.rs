//! `client_tokens = "shard"`: two routers over the same shards, and one INSERT that reaches both. The shards are servers of 26.x
//! whose tables recognise a repeated token.

use std::time::Duration;

use support::{
    Answer, COLUMNS, Endpoint, Fingerprint, Format, Modern, Proxy, Row, Weir, WeirConfig, body_of, rows,
    stays,
};

use crate::setup::{DELIVERY_LIMIT, TABLE, TARGET, all_remote, cluster, insert, patient, table};
use crate::tables::count;

/// Rows of the INSERT: several pieces a shard.
const ROWS: u64 = 20_000;
const PIECES: &str = "client_tokens = \"shard\"\nmax_batch_rows = 3000\n";
const DUPLICATE: &str = "X-Weir-Duplicate";

fn shards(settings: &str) -> [Modern; 2] {
    let engine = format!("MergeTree {settings} SETTINGS non_replicated_deduplication_window = 10000");
    [Modern::start(), Modern::start()].map(|shard| {
        let create = format!("CREATE TABLE {TARGET} ({COLUMNS}) ENGINE = {engine}");
        shard.http.query(&create);
        shard
    })
}

fn by_user() -> [Modern; 2] {
    shards("ORDER BY user_id")
}

/// A router over these shards whose table says `of_table`.
fn router(addresses: &[std::net::SocketAddr], of_table: &str) -> Weir {
    let sections = cluster(true, &all_remote(addresses)) + &table(TABLE, TARGET) + of_table;
    Weir::start(&WeirConfig {
        sections,
        ..patient()
    })
}

fn addresses(shards: &[Modern; 2]) -> [std::net::SocketAddr; 2] {
    [shards[0].http.address, shards[1].http.address]
}

fn sequence() -> impl Iterator<Item = Row> + Clone {
    rows(81, 0..ROWS)
}

fn send(to: &Endpoint, format: Format, rows: impl IntoIterator<Item = Row>, token: &str) -> Answer {
    let request = to
        .post(&insert(TABLE, format))
        .parameter("insert_deduplication_token", token);
    request.body(body_of(format, rows)).answer()
}

#[track_caller]
fn check_new(answer: Answer) {
    let answer = answer.expect_success();
    assert_eq!(answer.header(DUPLICATE), None, "{answer}");
}

/// Panics at the caller's line unless the shards together hold these rows, each once.
#[track_caller]
fn check_hold(shards: &[Modern; 2], expected: impl IntoIterator<Item = Row>) {
    let held = shards
        .iter()
        .map(|shard| Fingerprint::in_table(&shard.http, TARGET));
    assert_eq!(held.sum::<Fingerprint>(), Fingerprint::of(expected));
}

#[test]
fn the_same_insert_through_two_routers_is_there_once_and_another_is_not_lost() {
    let shards = by_user();
    let routers = [(); 2].map(|()| router(&addresses(&shards), PIECES));
    for weir in &routers {
        // The second router never saw the token: it accepts the INSERT, and the shards drop it.
        check_new(send(&weir.http, Format::CSV, sequence(), "t1"));
        weir.wait_until_delivered(DELIVERY_LIMIT);
        check_hold(&shards, sequence());
    }
    let again = send(&routers[1].http, Format::CSV, sequence(), "t1").expect_success();
    assert_eq!(again.header(DUPLICATE), Some("1"), "the window still comes first");

    // Other tokens and none are other INSERTs, of whatever rows.
    check_new(send(&routers[1].http, Format::CSV, sequence(), "t2"));
    routers[1].wait_until_delivered(DELIVERY_LIMIT);
    check_hold(&shards, sequence().chain(sequence()));
}

#[test]
fn at_two_routers_at_once_each_row_is_there_once_in_whatever_format_it_comes() {
    let shards = by_user();
    let routers = [(); 2].map(|()| router(&addresses(&shards), PIECES));
    let formats = [Format::RowBinary, Format::JSONEachRow, Format::CSVWithNames];
    for (format, seed) in formats.into_iter().zip(90..) {
        std::thread::scope(|scope| {
            for weir in &routers {
                let token = format!("{format:?}");
                scope.spawn(move || check_new(send(&weir.http, format, rows(seed, 0..ROWS), &token)));
            }
        });
    }
    let all = [90, 91, 92].into_iter().flat_map(|seed| rows(seed, 0..ROWS));
    for weir in &routers {
        weir.wait_until_delivered(DELIVERY_LIMIT);
    }
    check_hold(&shards, all);
}

#[test]
fn a_router_killed_in_the_middle_and_its_client_s_retry_through_another_leave_each_row_once() {
    let shards = by_user();
    let proxy = Proxy::start(shards[1].http.address);
    let mut first = router(&[shards[0].http.address, proxy.address()], PIECES);
    let second = router(&addresses(&shards), PIECES);
    // The first INSERT of a shape proves it at a shard; the one that is cut short must not wait for that.
    check_new(send(&first.http, Format::CSV, rows(80, 0..100), "before"));
    first.wait_until_delivered(DELIVERY_LIMIT);

    // Some of it is delivered, some is on its way, some waits.
    proxy.hold_after(100_000);
    check_new(send(&first.http, Format::CSV, sequence(), "t1"));
    proxy.wait_until_it_holds(DELIVERY_LIMIT);
    first.kill9();
    proxy.release();
    check_new(send(&second.http, Format::CSV, sequence(), "t1"));
    second.wait_until_delivered(DELIVERY_LIMIT);
    let all = || rows(80, 0..100).chain(sequence());
    check_hold(&shards, all());

    // What it had accepted goes out when it is back, and is dropped.
    first.restart();
    first.wait_until_delivered(DELIVERY_LIMIT);
    check_hold(&shards, all());
}

#[test]
fn a_piece_of_too_many_partitions_is_taken_apart_alike_by_both_routers() {
    let shards = shards("PARTITION BY duration ORDER BY user_id");
    let partitioned = || {
        sequence().take(3_000).zip(0..).map(|(mut row, place)| {
            row.duration = place / 10;
            row
        })
    };
    for _ in 0..2 {
        let weir = router(&addresses(&shards), PIECES);
        check_new(send(&weir.http, Format::CSV, partitioned(), "t1"));
        weir.wait_until_delivered(DELIVERY_LIMIT);
        check_hold(&shards, partitioned());
    }
}

#[test]
fn an_insert_whose_rows_would_go_elsewhere_through_another_router_is_refused() {
    let shards = by_user();
    let sections = cluster(true, &all_remote(&addresses(&shards)))
        + &table(TABLE, TARGET).replace("cityHash64(user_id)", "rand()")
        + PIECES;
    let weir = Weir::start(&WeirConfig {
        sections,
        ..patient()
    });
    let refused = send(&weir.http, Format::CSV, sequence(), "t1");
    assert_eq!(refused.status, 400, "{refused}");
    assert!(refused.text().contains("rand()"), "{refused}");
    // What a SELECT gives may be something else the next time.
    let select = weir
        .http
        .post(&format!("INSERT INTO {TABLE} SELECT * FROM {TARGET}"))
        .parameter("insert_deduplication_token", "t2");
    let refused = select.answer().expect_code(36);
    assert!(refused.text().contains("SELECT"), "{refused}");
    stays("no row arrives", Duration::from_millis(500), || {
        count(&shards[0].http, TARGET) + count(&shards[1].http, TARGET) == 0
    });
    // Without a token nothing of this is asked for.
    let request = weir.http.post(&insert(TABLE, Format::CSV));
    request
        .body(body_of(Format::CSV, sequence()))
        .answer()
        .expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    check_hold(&shards, sequence());
}
