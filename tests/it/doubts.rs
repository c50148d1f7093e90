//! A batch that a shard may have: repeated only while the shard recognises it.

use std::time::Duration;

use support::{ClickHouse18, Endpoint, Format, Options, Proxy, ZooKeeper, rows, stays, wait_for};

use crate::setup::{DELIVERY_LIMIT, TARGET, all_remote, send, weir};
use crate::tables::{check_holds, count, create_merge_tree, create_replicated};
use crate::troubles::retry;

/// More than half of what a Replicated table of 18.16 remembers (`replicated_deduplication_window`, 100), and not all of it.
const BLOCKS: u64 = 60;

/// Another writer's blocks, of a row each.
#[track_caller]
fn fill_half_the_window(shard: &Endpoint) {
    for block in 0..BLOCKS {
        let row = 1_000_000 + block;
        let body = support::body_of(Format::CSV, rows(99, row..row + 1));
        shard
            .insert(&format!("INSERT INTO {TARGET} FORMAT CSV"), body)
            .expect_success();
    }
}

#[test]
fn past_half_the_window_a_batch_in_doubt_is_held_and_sent_when_an_operator_says_so() {
    let zookeeper = ZooKeeper::start();
    let server = ClickHouse18::start(&Options::replicated(&zookeeper, "s1", "r1"));
    create_replicated(&server.http, "hits_local");
    let proxy = Proxy::start(server.http.address);
    let mut weir = weir(true, &all_remote(&[proxy.address()]));
    send(&weir.http, Format::CSV, rows(71, 0..100)).expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);

    proxy.keep_answers();
    send(&weir.http, Format::CSV, rows(71, 100..200)).expect_success();
    wait_for("the INSERT to be executed", DELIVERY_LIMIT, || {
        (count(&server.http, TARGET) == 200).then_some(())
    });
    weir.kill9();
    proxy.release();
    // Blocks of the attempt's own second do not count.
    stays("nobody writes", Duration::from_secs(2), || {
        count(&server.http, TARGET) == 200
    });
    fill_half_the_window(&server.http);
    weir.restart();
    let listed = wait_for("the batch to be held", DELIVERY_LIMIT, || {
        let listed = weir.command(&["spool", "ls", "--files", "--output", "json"]);
        listed
            .contains("might not be recognised any more")
            .then_some(listed)
    });
    assert!(
        listed.contains("may have this batch") && listed.contains("weir spool drop"),
        "it says who may have it and what to do: {listed}"
    );
    // Held alone: later INSERTs go.
    send(&weir.http, Format::CSV, rows(71, 200..300)).expect_success();
    wait_for("the next rows", DELIVERY_LIMIT, || {
        (count(&server.http, TARGET) == 300 + BLOCKS).then_some(())
    });

    retry(&weir, [2]);
    weir.wait_until_delivered(DELIVERY_LIMIT);
    let others = (0..BLOCKS).flat_map(|block| rows(99, 1_000_000 + block..1_000_001 + block));
    check_holds(&server.http, TARGET, rows(71, 0..300).chain(others));
}

/// The rows of an INSERT whose answer is lost, at a plain table, which recognises no repeat.
#[track_caller]
fn check_a_lost_answer(keeps_query_log: bool, expected: u64) {
    let server = ClickHouse18::start(&Options {
        keeps_query_log,
        ..Options::default()
    });
    create_merge_tree(&server.http, TARGET);
    let proxy = Proxy::start(server.http.address);
    let weir = weir(true, &all_remote(&[proxy.address()]));
    send(&weir.http, Format::CSV, rows(72, 0..100)).expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    proxy.drop_answer();
    send(&weir.http, Format::CSV, rows(72, 100..200)).expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    assert!(!proxy.is_to_cut(), "the answer was lost");
    assert_eq!(count(&server.http, TARGET), expected);
}

#[test]
fn where_no_repeat_is_recognised_the_servers_query_log_says_that_a_batch_is_there() {
    check_a_lost_answer(true, 200);
}

#[test]
fn where_nothing_tells_what_became_of_a_batch_a_plain_table_gets_it_again() {
    check_a_lost_answer(false, 300);
}
