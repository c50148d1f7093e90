//! A client that saw no answer sends its INSERT again: it is answered as the first was, and the rows are there once. The shards
//! are plain MergeTree of 18.16, which recognises nothing by itself; where the router is killed they are tables that recognise a
//! repeated batch by its token, for a batch may be repeated then. Two batches have never the same token, so they recognise no
//! client's retry either.

use std::time::Duration;

use support::{
    Answer, ClickHouse18, Endpoint, Fingerprint, Format, Modern, Row, Weir, WeirConfig, ZooKeeper, body_of,
    rows,
};

use crate::setup::{
    self, DELIVERY_LIMIT, TABLE, TARGET, all_remote, cluster, insert, on_all, patient, plain_servers,
    replicated_servers, table, weir,
};
use crate::tables::{check_holds, create_as, create_merge_tree};

const DUPLICATE: &str = "X-Weir-Duplicate";
const RECEIPT: &str = "X-Weir-Receipt";

/// A second distributed table.
const OTHER: &str = "default.visits";
const OTHER_TARGET: &str = "default.visits_local";

/// One shard, and a router with one table.
fn bed() -> (ClickHouse18, Weir) {
    let mut servers = plain_servers(1);
    let weir = weir(true, &all_remote(&[servers[0].http.address]));
    (servers.remove(0), weir)
}

/// The same with a target that recognises a batch that is sent again.
fn bed_that_recognises_batches() -> (Modern, Weir) {
    let shard = Modern::start();
    let engine = "MergeTree ORDER BY user_id SETTINGS non_replicated_deduplication_window = 1000";
    create_as(&shard.http, TARGET, engine);
    let weir = weir(true, &all_remote(&[shard.http.address]));
    (shard, weir)
}

/// One shard with two targets, and a router whose configuration ends in `more`; `of_table` is said of [`TABLE`].
fn bed_of_two_tables(of_table: &str, more: &str) -> (ClickHouse18, Weir) {
    let mut servers = plain_servers(1);
    create_merge_tree(&servers[0].http, OTHER_TARGET);
    let shards = cluster(true, &all_remote(&[servers[0].http.address]));
    let tables = table(TABLE, TARGET) + of_table + &table(OTHER, OTHER_TARGET);
    let weir = Weir::start(&WeirConfig {
        sections: shards + &tables + more,
        ..patient()
    });
    (servers.remove(0), weir)
}

/// Rows `range` of one sequence as CSV into that table, under these parameters of the URL.
fn send(to: &Endpoint, table: &str, range: std::ops::Range<u64>, parameters: &[(&str, &str)]) -> Answer {
    let mut request = to.post(&insert(table, Format::CSV));
    for (name, value) in parameters {
        request = request.parameter(name, value);
    }
    request.body(body_of(Format::CSV, sequence(range))).answer()
}

fn with_token(to: &Endpoint, range: std::ops::Range<u64>, token: &str) -> Answer {
    send(to, TABLE, range, &[("insert_deduplication_token", token)])
}

fn sequence(range: std::ops::Range<u64>) -> impl Iterator<Item = Row> + Clone {
    rows(31, range)
}

#[track_caller]
fn receipt(answer: &Answer) -> String {
    answer
        .header(RECEIPT)
        .expect("an accepted INSERT has a receipt")
        .to_owned()
}

/// Panics at the caller's line unless the answer is that of a new INSERT.
#[track_caller]
fn check_new(answer: Answer) -> String {
    let answer = answer.expect_success();
    assert_eq!(answer.header(DUPLICATE), None, "{answer}");
    receipt(&answer)
}

/// Panics at the caller's line unless the answer is the first's again.
#[track_caller]
fn check_duplicate(answer: Answer, first: &str) {
    let answer = answer.expect_success();
    assert_eq!(answer.header(DUPLICATE), Some("1"), "{answer}");
    assert_eq!(receipt(&answer), first, "{answer}");
    assert!(answer.body.is_empty(), "{answer}");
}

#[test]
fn a_retry_after_a_lost_answer_is_recognised_also_after_kill_9() {
    let (shard, mut weir) = bed_that_recognises_batches();
    let first = check_new(with_token(&weir.http, 0..100, "t1"));
    let summary = |answer: &Answer| {
        let text = answer.header("X-ClickHouse-Summary").unwrap();
        let json: serde_json::Value = serde_json::from_str(text).unwrap();
        (json["written_rows"].clone(), json["written_bytes"].clone())
    };
    let again = with_token(&weir.http, 0..100, "t1");
    assert_eq!(summary(&again).0, "100");
    check_duplicate(again, &first);
    weir.kill9();
    weir.restart();
    check_duplicate(with_token(&weir.http, 0..100, "t1"), &first);
    weir.terminate();
    weir.restart();
    check_duplicate(with_token(&weir.http, 0..100, "t1"), &first);
    assert_eq!(weir.metric("weir_recognised_retries_total"), 1.0);
    weir.wait_until_delivered(DELIVERY_LIMIT);
    check_holds(&shard.http, TARGET, sequence(0..100));
}

#[test]
fn an_insert_that_is_sent_until_it_is_answered_is_there_once_though_the_router_dies_again_and_again() {
    let (shard, mut weir) = bed_that_recognises_batches();
    check_new(with_token(&weir.http, 0..100, "first"));
    for round in 1..=8_u64 {
        let (to, token) = (weir.http.clone(), format!("round {round}"));
        let numbers = round * 100..(round + 1) * 100;
        let body = body_of(Format::CSV, sequence(numbers.clone()));
        let of_thread = (to.clone(), token.clone());
        let sender = std::thread::spawn(move || {
            let request = of_thread.0.post(&insert(TABLE, Format::CSV));
            let request = request.parameter("insert_deduplication_token", &of_thread.1);
            // Whatever comes of it, its answer is lost.
            drop(request.body(body).send());
        });
        // No condition to wait for: it is to die at any moment of the INSERT's life.
        std::thread::park_timeout(Duration::from_millis(2 * round));
        weir.kill9();
        sender.join().unwrap();
        weir.restart();
        with_token(&to, numbers.clone(), &token).expect_success();
        assert_eq!(
            with_token(&to, numbers, &token)
                .expect_success()
                .header(DUPLICATE),
            Some("1")
        );
    }
    weir.wait_until_delivered(DELIVERY_LIMIT);
    check_holds(&shard.http, TARGET, sequence(0..900));
}

#[test]
fn the_token_of_a_refused_insert_is_free() {
    let (shard, weir) = bed();
    let bad = "77,\"no time at all\",\"u\",\"DE\",1,\"p\"\n";
    let refused = || {
        let request = weir.http.post(&insert(TABLE, Format::CSV));
        let answer = request
            .parameter("insert_deduplication_token", "t1")
            .body(bad)
            .answer();
        assert_eq!((answer.status, answer.header(RECEIPT)), (400, None), "{answer}");
    };
    refused();
    refused();
    let first = check_new(with_token(&weir.http, 0..10, "t1"));
    check_duplicate(with_token(&weir.http, 0..10, "t1"), &first);
    weir.wait_until_delivered(DELIVERY_LIMIT);
    check_holds(&shard.http, TARGET, sequence(0..10));
}

#[test]
fn two_equal_inserts_at_once_are_one() {
    let (shard, weir) = bed();
    // Of a new shape, so that the first waits for its shard and the others for the first; then of one that is known.
    for (round, token) in [(0, "a"), (1, "b"), (2, "c")] {
        let range = round * 1000..(round + 1) * 1000;
        let senders: Vec<_> = (0..8)
            .map(|_| {
                let (to, range) = (weir.http.clone(), range.clone());
                std::thread::spawn(move || with_token(&to, range, token).expect_success())
            })
            .collect();
        let answers: Vec<Answer> = senders.into_iter().map(|sender| sender.join().unwrap()).collect();
        let new = answers
            .iter()
            .filter(|answer| answer.header(DUPLICATE).is_none())
            .count();
        let receipts: std::collections::HashSet<_> = answers.iter().map(receipt).collect();
        assert_eq!((new, receipts.len()), (1, 1), "round {round}");
    }
    weir.wait_until_delivered(DELIVERY_LIMIT);
    check_holds(&shard.http, TARGET, sequence(0..3000));
}

#[test]
fn a_token_means_its_user_and_its_table() {
    let users = "[[user]]\nname = \"one\"\nnetworks = [\"127.0.0.1\"]\n[[user]]\nname = \"two\"\nnetworks = [\"127.0.0.1\"]\n";
    let (shard, weir) = bed_of_two_tables("", users);
    let of = |user: &str| Endpoint {
        user: Some((user.to_owned(), String::new())),
        ..weir.http.clone()
    };
    let token = [("insert_deduplication_token", "t")];
    let first = check_new(send(&of("one"), TABLE, 0..10, &token));
    check_new(send(&of("two"), TABLE, 10..20, &token));
    check_new(send(&of("one"), OTHER, 0..10, &token));
    check_duplicate(send(&of("one"), TABLE, 0..10, &token), &first);
    weir.wait_until_delivered(DELIVERY_LIMIT);
    check_holds(&shard.http, TARGET, sequence(0..20));
    check_holds(&shard.http, OTHER_TARGET, sequence(0..10));
}

#[test]
fn without_a_token_the_same_query_id_and_body_is_the_same_insert_and_another_body_is_not() {
    let (shard, weir) = bed();
    let named = |range, id: &str| send(&weir.http, TABLE, range, &[("query_id", id)]);
    let first = check_new(named(0..10, "q1"));
    check_duplicate(named(0..10, "q1"), &first);
    check_new(named(10..20, "q1"));
    check_new(named(0..10, "q2"));
    // Weir makes up a query id for each of these, and nothing says that one is the other's retry.
    check_new(send(&weir.http, TABLE, 20..30, &[]));
    check_new(send(&weir.http, TABLE, 20..30, &[]));
    weir.wait_until_delivered(DELIVERY_LIMIT);
    let twice = sequence(0..10).chain(sequence(20..30));
    check_holds(&shard.http, TARGET, sequence(0..30).chain(twice));
}

#[test]
fn an_equal_body_is_a_retry_only_where_the_table_says_so_and_never_of_a_select() {
    let (shard, weir) = bed_of_two_tables("identical_insert_window = \"10m\"\n", "");
    let first = check_new(send(&weir.http, TABLE, 0..10, &[]));
    check_duplicate(send(&weir.http, TABLE, 0..10, &[]), &first);
    // To another shard on purpose, or with a word that says that it is another INSERT.
    check_new(send(&weir.http, TABLE, 0..10, &[("insert_shard_id", "1")]));
    check_new(send(
        &weir.http,
        TABLE,
        0..10,
        &[("insert_deduplication_token", "t")],
    ));
    check_new(send(&weir.http, OTHER, 0..10, &[]));
    check_new(send(&weir.http, OTHER, 0..10, &[]));
    let select = format!("INSERT INTO {TABLE} SELECT * FROM {OTHER_TARGET} LIMIT 0, 1");
    weir.wait_until_delivered(DELIVERY_LIMIT);
    check_new(weir.http.post(&select).answer());
    check_new(weir.http.post(&select).answer());
    let named = || weir.http.post(&select).parameter("query_id", "s1").answer();
    let first = check_new(named());
    check_duplicate(named(), &first);
    weir.wait_until_delivered(DELIVERY_LIMIT);
    let counted = shard.http.query(&format!("SELECT count() FROM {TARGET}"));
    assert_eq!(counted.trim(), "33");
}

#[test]
fn an_equal_body_is_a_retry_where_the_target_drops_a_repeated_block_also_behind_a_restart() {
    let zookeeper = ZooKeeper::start();
    let servers = replicated_servers(&zookeeper, 2);
    let addresses: Vec<_> = servers.iter().map(|server| server.http.address).collect();
    let mut weir = weir(true, &all_remote(&addresses));
    let insert = |weir: &Weir, range| setup::send(&weir.http, Format::CSV, rows(92, range));
    let first = check_new(insert(&weir, 0..100));
    weir.wait_until_delivered(DELIVERY_LIMIT);
    check_duplicate(insert(&weir, 0..100), &first);
    weir.kill9();
    weir.restart();
    check_duplicate(insert(&weir, 0..100), &first);
    check_new(insert(&weir, 100..200));
    weir.wait_until_delivered(DELIVERY_LIMIT);
    assert_eq!(on_all(&servers, TARGET), Fingerprint::of(rows(92, 0..200)));
}

#[test]
fn windows_can_be_switched_off() {
    let off = "insert_token_window = \"0s\"\nquery_id_window = \"0s\"\n";
    let (shard, weir) = bed_of_two_tables(off, "");
    for _ in 0..2 {
        check_new(with_token(&weir.http, 0..10, "t"));
        check_new(send(&weir.http, TABLE, 0..10, &[("query_id", "q")]));
    }
    let token = [("insert_deduplication_token", "t")];
    let first = check_new(send(&weir.http, OTHER, 0..10, &token));
    check_duplicate(send(&weir.http, OTHER, 0..10, &token), &first);
    weir.wait_until_delivered(DELIVERY_LIMIT);
    let all = (0..4).flat_map(|_| sequence(0..10));
    check_holds(&shard.http, TARGET, all);
    check_holds(&shard.http, OTHER_TARGET, sequence(0..10));
}

#[test]
fn a_large_retry_is_read_to_its_end_and_staged_nowhere() {
    let (shard, weir) = bed();
    let body = body_of(Format::CSV, sequence(0..300_000));
    let large = || {
        let request = weir.http.post(&insert(TABLE, Format::CSV));
        let request = request.parameter("insert_deduplication_token", "large");
        // Read in pieces: a client whose connection ends before it has sent all sees no answer.
        request.chunked(|out| out.write_all(&body)).answer()
    };
    let first = check_new(large());
    assert!(body.len() > 20 << 20, "{} bytes", body.len());
    check_duplicate(large(), &first);
    weir.wait_until_delivered(DELIVERY_LIMIT);
    check_holds(&shard.http, TARGET, sequence(0..300_000));
}
