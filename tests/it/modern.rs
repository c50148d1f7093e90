//! Delivery to shards on the engine of ClickHouse 26.x, where a token makes a repeat harmless.

use std::time::Duration;

use support::{COLUMNS, Fault, Fingerprint, Format, Modern, Weir, rows, wait_for};

use crate::setup::{DELIVERY_LIMIT, TARGET, all_remote, send, weir};
use crate::tables::{WINDOW, create_as};

/// A remote shard with a deduplication window, and a router that has already proved the formats' shape there.
fn bed(formats: &[Format]) -> (Modern, Weir) {
    let shard = Modern::start();
    create_as(&shard.http, TARGET, WINDOW);
    let weir = weir(true, &all_remote(&[shard.http.address]));
    for (&format, batch) in formats.iter().zip(100..) {
        send(&weir.http, format, rows(batch, 0..10)).expect_success();
    }
    weir.wait_until_delivered(DELIVERY_LIMIT);
    (shard, weir)
}

fn proof(formats: &[Format]) -> Fingerprint {
    (100..100 + formats.len() as u64)
        .map(|batch| Fingerprint::of(rows(batch, 0..10)))
        .sum()
}

/// Under this fault at the next send, rows arrive once all the same.
#[track_caller]
fn check_arrives_once(fault: Fault) {
    let (shard, weir) = bed(&[Format::CSV]);
    shard.fault(fault);
    send(&weir.http, Format::CSV, rows(51, 0..1_000)).expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    let expected = proof(&[Format::CSV]) + Fingerprint::of(rows(51, 0..1_000));
    assert_eq!(
        Fingerprint::in_table(&shard.http, TARGET),
        expected,
        "after {fault:?}"
    );
}

#[test]
fn every_format_arrives_exactly() {
    let (shard, weir) = bed(&Format::ALL);
    for (format, batch) in Format::ALL.into_iter().zip(0..) {
        send(&weir.http, format, rows(batch, 0..2_000)).expect_success();
    }
    weir.wait_until_delivered(DELIVERY_LIMIT);
    let sent: Fingerprint = (0..Format::ALL.len() as u64)
        .map(|batch| Fingerprint::of(rows(batch, 0..2_000)))
        .sum();
    assert_eq!(
        Fingerprint::in_table(&shard.http, TARGET),
        sent + proof(&Format::ALL)
    );
}

#[test]
fn a_shard_that_is_read_only_for_a_while_gets_the_rows_later() {
    check_arrives_once(Fault::Fail { code: 242, times: 3 });
}

#[test]
fn a_connection_lost_before_the_insert_is_tried_again() {
    check_arrives_once(Fault::CutBefore);
}

#[test]
fn a_connection_lost_after_the_insert_doubles_nothing() {
    check_arrives_once(Fault::CutAfter);
}

#[test]
fn a_shard_that_is_killed_while_it_holds_a_batch_gets_it_once() {
    let (mut shard, weir) = bed(&[Format::RowBinary]);
    shard.fault(Fault::Hang);
    send(&weir.http, Format::RowBinary, rows(52, 0..1_000)).expect_success();
    wait_for("the batch to wait", Duration::from_secs(10), || {
        (weir.metric("weir_spool_rows") > 0.0).then_some(())
    });
    shard.kill9();
    shard.restart();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    let expected = proof(&[Format::RowBinary]) + Fingerprint::of(rows(52, 0..1_000));
    assert_eq!(Fingerprint::in_table(&shard.http, TARGET), expected);
}

/// What Vector sends by default, to a table with a Nested column.
#[test]
fn vector_s_statement_with_nested_json_fills_the_group_s_columns() {
    let shard = Modern::start();
    shard.http.query(&format!(
        "CREATE TABLE {TARGET} ({COLUMNS}, n Nested(a UInt8, b String)) ENGINE = MergeTree ORDER BY user_id"
    ));
    let weir = weir(true, &all_remote(&[shard.http.address]));
    let body = r#"{"user_id":1,"n":{"a":[1,2],"b":["x","y"]}}{"user_id":2}"#;
    let answer = weir
        .http
        .post("INSERT INTO {database:Identifier}.{table:Identifier} FORMAT JSONEachRow")
        .parameter("param_database", "default")
        .parameter("param_table", "hits")
        .parameter("input_format_import_nested_json", "1")
        .body(body)
        .answer();
    answer.expect_success();
    let values = weir
        .http
        .request("POST", "/")
        .parameter("param_list", "['p','q\\'']")
        .parameter("param_id", "3")
        .body("INSERT INTO hits (user_id, n.a, n.b) VALUES ({id:UInt64}, [7,8], {list:Array(String)})");
    values.answer().expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    let held = shard.http.query(&format!(
        "SELECT user_id, n.a, n.b FROM {TARGET} ORDER BY user_id"
    ));
    assert_eq!(held, "1\t[1,2]\t['x','y']\n2\t[]\t[]\n3\t[7,8]\t['p','q\\'']\n");
}
