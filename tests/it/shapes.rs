//! The first INSERT of each new shape is tried on a shard before it is answered: a broken deploy is told at once, and a good
//! one costs one round trip.

use std::time::Duration;

use support::{Answer, ClickHouse18, Fault, Fingerprint, Format, Modern, Weir, WeirConfig, rows, wait_for};

use crate::setup::{
    DELIVERY_LIMIT, Shard, TABLE, TARGET, all_remote, cluster, first_is_local, on_all, plain_servers, send,
    table, weir,
};
use crate::tables::count;

const WAITING: &str = "X-Weir-Waiting";

/// Rows for both shards of two, the last of which no shard can read: its key is good, its time is not.
fn bad_csv() -> String {
    let mut body: String = (0..20)
        .map(|key| format!("{key},\"2020-01-01 00:00:00\",\"u\",\"DE\",1,\"p\"\n"))
        .collect();
    body.push_str(&"77,\"no time at all\",\"u\",\"DE\",1,\"p\"\n".repeat(20));
    let more = (100..140).map(|key| format!("{key},\"no time at all\",\"u\",\"DE\",1,\"p\"\n"));
    body + &more.collect::<String>()
}

#[track_caller]
fn check_refused(answer: &Answer, codes: &[u32]) {
    assert_eq!(answer.status, 400, "{answer}");
    assert!(codes.contains(&answer.code().unwrap()), "{answer}");
    assert!(answer.header("X-Weir-Receipt").is_none(), "{answer}");
    assert!(
        answer
            .text()
            .contains("nothing of the INSERT was written anywhere"),
        "{answer}"
    );
}

fn csv(weir: &Weir, body: impl Into<Vec<u8>>) -> Answer {
    weir.http.insert(&format!("INSERT INTO {TABLE} FORMAT CSV"), body)
}

/// Nothing waits, nothing is set aside, and the shards hold these good rows only.
#[track_caller]
fn check_only_good_rows(weir: &Weir, servers: &[ClickHouse18]) {
    send(&weir.http, Format::CSV, rows(3, 0..100)).expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    assert_eq!(on_all(servers, TARGET), Fingerprint::of(rows(3, 0..100)));
    for state in ["broken", "held"] {
        let listing = weir.command(&["spool", "ls", "--files", "--output", "json"]);
        assert!(!listing.contains(&format!("\"state\": \"{state}\"")), "{listing}");
    }
}

#[test]
fn a_wrong_value_in_the_first_insert_of_a_shape_is_told_with_the_shards_own_code_and_nothing_is_anywhere() {
    let servers = plain_servers(2);
    let weir = weir(
        true,
        &all_remote(&[servers[0].http.address, servers[1].http.address]),
    );
    for _ in 0..3 {
        check_refused(&csv(&weir, bad_csv()), &[27, 38, 41]);
    }
    let counts: Vec<_> = servers.iter().map(|server| count(&server.http, TARGET)).collect();
    assert_eq!(counts, [0, 0]);
    check_only_good_rows(&weir, &servers);
}

#[test]
fn a_refused_token_is_free_again_and_a_known_shape_is_answered_from_the_spool() {
    let servers = plain_servers(2);
    let weir = weir(
        true,
        &all_remote(&[servers[0].http.address, servers[1].http.address]),
    );
    let insert = |body: Vec<u8>| {
        let request = weir.http.post(&format!("INSERT INTO {TABLE} FORMAT CSV"));
        request
            .parameter("insert_deduplication_token", "t1")
            .body(body)
            .answer()
    };
    check_refused(&insert(bad_csv().into_bytes()), &[27, 38, 41]);
    let good = support::body_of(Format::CSV, rows(5, 0..50));
    assert!(insert(good).expect_success().header(WAITING).is_none());
    // The shape is known now: a wrong value is the shard's to find, after the answer.
    let late = csv(&weir, bad_csv()).expect_success();
    assert!(
        late.header(WAITING).is_none() && late.header("X-Weir-Receipt").is_some(),
        "{late}"
    );
    weir.wait_until_delivered(DELIVERY_LIMIT);
}

#[test]
fn a_local_replica_is_asked_first_and_its_refusal_undoes_the_remote_rows_too() {
    let servers = plain_servers(2);
    let weir = weir(true, &first_is_local(&servers, &[1, 1]));
    check_refused(&csv(&weir, bad_csv()), &[27, 38, 41]);
    check_only_good_rows(&weir, &servers);
}

#[test]
fn without_internal_replication_a_refusal_of_one_replica_leaves_nothing_on_the_others() {
    let servers = plain_servers(2);
    let replicas = servers
        .iter()
        .map(|server| (server.http.address, false))
        .collect();
    let weir = weir(false, &[Shard { weight: 1, replicas }]);
    check_refused(&csv(&weir, bad_csv()), &[27, 38, 41]);
    send(&weir.http, Format::CSV, rows(3, 0..100)).expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    for server in &servers {
        assert_eq!(
            Fingerprint::in_table(&server.http, TARGET),
            Fingerprint::of(rows(3, 0..100))
        );
    }
}

#[test]
fn with_every_shard_down_a_new_shape_is_answered_from_the_spool_and_says_so() {
    let mut servers = plain_servers(2);
    let mut weir = weir(
        true,
        &all_remote(&[servers[0].http.address, servers[1].http.address]),
    );
    let known = send(&weir.http, Format::CSV, rows(6, 0..100)).expect_success();
    assert!(known.header(WAITING).is_none(), "{known}");
    weir.wait_until_delivered(DELIVERY_LIMIT);
    servers.iter_mut().for_each(ClickHouse18::kill9);
    let new = send(&weir.http, Format::TabSeparated, rows(6, 100..200)).expect_success();
    let why = new.header(WAITING).expect("nobody could be asked");
    assert!(why.starts_with("shape: "), "{why}");
    // What was proven is known after a restart, with the shards still down.
    weir.terminate();
    weir.restart();
    let known = send(&weir.http, Format::CSV, rows(6, 200..300)).expect_success();
    assert!(known.header(WAITING).is_none(), "{known}");
    servers.iter_mut().for_each(ClickHouse18::restart);
    weir.wait_until_delivered(DELIVERY_LIMIT);
    assert_eq!(on_all(&servers, TARGET), Fingerprint::of(rows(6, 0..300)));
}

/// A shard of today that remembers tokens, and a router that waits for a shard as long as `timeout`.
fn modern(timeout: &str) -> (Modern, Weir) {
    let shard = Modern::start();
    let engine = "MergeTree ORDER BY user_id SETTINGS non_replicated_deduplication_window = 100";
    shard.http.query(&format!(
        "CREATE TABLE {TARGET} ({}) ENGINE = {engine}",
        support::COLUMNS
    ));
    let weir = Weir::start(&WeirConfig {
        send: format!(
            "max_batch_delay = \"60s\"\nlocal_insert_timeout = \"{timeout}\"\nmax_sleep_time = \"500ms\""
        ),
        sections: cluster(true, &all_remote(&[shard.http.address])) + &table(TABLE, TARGET),
        ..WeirConfig::default()
    });
    (shard, weir)
}

#[test]
fn a_probe_is_cut_at_once_and_a_shard_that_does_not_answer_costs_one_timeout_not_one_an_insert() {
    let (shard, weir) = modern("2s");
    // The delay is 60 seconds, and the answer comes all the same.
    assert!(
        send(&weir.http, Format::CSV, rows(7, 0..10))
            .expect_success()
            .header(WAITING)
            .is_none()
    );
    shard.fault(Fault::Hang);
    let slow = send(&weir.http, Format::TabSeparated, rows(7, 10..20)).expect_success();
    assert!(
        slow.header(WAITING).is_some_and(|why| why.starts_with("shape: ")),
        "{slow}"
    );
    let began = std::time::Instant::now();
    let next = send(&weir.http, Format::TabSeparated, rows(7, 20..30)).expect_success();
    assert!(
        next.header(WAITING).is_some_and(|why| why.starts_with("shape: ")),
        "{next}"
    );
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    shard.fault(Fault::None);
}

#[test]
fn a_router_killed_in_the_middle_of_a_probe_delivers_its_insert_once() {
    let (shard, mut weir) = modern("60s");
    shard.fault(Fault::Hang);
    let http = weir.http.clone();
    let client = std::thread::spawn(move || {
        let body = support::body_of(Format::CSV, rows(8, 0..1_000));
        http.post(&format!("INSERT INTO {TABLE} FORMAT CSV"))
            .body(body)
            .send()
            .is_err()
    });
    wait_for("the probe to be under way", Duration::from_secs(20), || {
        (weir.metric("weir_spool_files") > 0.0).then_some(())
    });
    weir.kill9();
    assert!(client.join().unwrap(), "the client was answered");
    shard.fault(Fault::None);
    weir.restart();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    assert_eq!(
        Fingerprint::in_table(&shard.http, TARGET),
        Fingerprint::of(rows(8, 0..1_000))
    );
}
