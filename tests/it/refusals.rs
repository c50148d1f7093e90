//! What a shard refuses harms nobody but the one whose rows it refused: neighbours in the batch are delivered, later batches go
//! on, and the client is told wherever that can still be done.

use std::time::Duration;

use support::{Answer, Endpoint, Fault, Modern, Weir, WeirConfig, wait_for};

use crate::setup::{self, DELIVERY_LIMIT, all_remote, cluster, plain_servers, table};

const TABLE: &str = "default.few";
const TARGET: &str = "default.few_local";

/// One shard of today, and a router that has proved the shape of VALUES there.
fn bed() -> (Modern, Weir) {
    let shard = Modern::start();
    let engine = "MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 100";
    shard.http.query(&format!(
        "CREATE TABLE {TARGET} (id UInt64, s String, n UInt8) ENGINE = {engine}"
    ));
    let weir = joining(&shard.http, &table(TABLE, TARGET).replace("user_id", "id"));
    values(&weir, "(1, 'first')").expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    (shard, weir)
}

/// A router whose batches wait long enough to be joined.
fn joining(shard: &Endpoint, table: &str) -> Weir {
    Weir::start(&WeirConfig {
        send: "max_batch_delay = \"2s\"\nlocal_insert_timeout = \"60s\"\nmax_sleep_time = \"500ms\"".into(),
        sections: cluster(true, &all_remote(&[shard.address])) + table,
        ..WeirConfig::default()
    })
}

fn values(weir: &Weir, rows: &str) -> Answer {
    weir.http
        .insert(&format!("INSERT INTO {TABLE} (id, s) VALUES"), rows)
}

fn csv(weir: &Weir, columns: &str, rows: &str) -> Answer {
    weir.http
        .insert(&format!("INSERT INTO {TABLE} ({columns}) FORMAT CSV"), rows)
}

#[track_caller]
fn check_rows(shard: &Modern, expected: &str) {
    let sql = format!("SELECT arrayStringConcat(arraySort(groupArray(s)), ' ') FROM {TARGET}");
    assert_eq!(shard.http.query(&sql).trim(), expected);
}

#[track_caller]
fn wait_until_one_is(weir: &Weir, state: &str) {
    let metric = match state {
        "held" => "weir_held_batches",
        _ => "weir_broken_files",
    };
    wait_for(state, DELIVERY_LIMIT, || {
        (weir.metric(metric) > 0.0).then_some(())
    });
}

#[test]
fn one_clients_bad_expression_in_values_parks_nobody_elses_rows() {
    let (shard, weir) = bed();
    let mut expected = vec!["first".to_owned()];
    for (bad, number) in ["nosuchfn('x')", "nosuch", "plus(1, 'a')"].iter().zip(1..) {
        let good = |which: &str| format!("{which}{number}");
        for value in [
            format!("'{}'", good("a")),
            (*bad).to_owned(),
            format!("'{}'", good("b")),
        ] {
            let answer = values(&weir, &format!("(42, {value})")).expect_success();
            assert!(answer.header("X-Weir-Waiting").is_none(), "{answer}");
        }
        weir.wait_until_delivered(DELIVERY_LIMIT);
        expected.extend([good("a"), good("b")]);
    }
    expected.sort();
    check_rows(&shard, &expected.join(" "));
    assert_eq!(weir.metric("weir_broken_files"), 3.0);
    assert_eq!(weir.metric("weir_held_batches"), 0.0);
}

#[test]
fn an_older_server_which_does_not_say_where_it_failed_is_asked_for_the_statement_alone() {
    let servers = plain_servers(1);
    let weir = joining(&servers[0].http, &table(setup::TABLE, setup::TARGET));
    let insert = |rows: &str| {
        let statement = format!("INSERT INTO {} (user_id, url) VALUES", setup::TABLE);
        weir.http.insert(&statement, rows).expect_success()
    };
    for rows in ["(1, 'first')", "(2, 'a')", "(3, nosuchfn('x'))", "(4, 'b')"] {
        insert(rows);
    }
    weir.wait_until_delivered(DELIVERY_LIMIT);
    let sql = format!(
        "SELECT arrayStringConcat(arraySort(groupArray(url)), ' ') FROM {}",
        setup::TARGET
    );
    assert_eq!(servers[0].http.query(&sql).trim(), "a b first");
    assert_eq!(weir.metric("weir_broken_files"), 1.0);
}

#[test]
fn a_table_that_refuses_the_statement_alone_holds_the_batch_whole_and_takes_nothing_apart() {
    let (shard, weir) = bed();
    // As after an ALTER: the rows do not matter.
    shard.fault(Fault::Fail {
        code: 16,
        times: 1000,
    });
    for number in 0..20 {
        values(&weir, &format!("({number}, 'x')")).expect_success();
    }
    wait_until_one_is(&weir, "held");
    shard.fault(Fault::None);
    let listing = weir.command(&["spool", "ls", "--files", "--output", "json"]);
    assert_eq!(listing.matches("\"state\": \"held\"").count(), 1, "{listing}");
    assert_eq!(weir.metric("weir_broken_files"), 0.0);
}

#[test]
fn a_held_batch_does_not_switch_off_the_probe_of_new_shapes() {
    let (shard, weir) = bed();
    // The batch, and its statement alone.
    shard.fault(Fault::Fail { code: 16, times: 2 });
    values(&weir, "(2, 'held')").expect_success();
    wait_until_one_is(&weir, "held");
    let answer = csv(&weir, "id, n", "42,zz\n");
    assert_eq!(answer.status, 400, "{answer}");
    assert!(answer.header("X-Weir-Receipt").is_none(), "{answer}");
    csv(&weir, "id, s", "42,next\n").expect_success();
    check_rows(&shard, "first next");
}

#[test]
fn garbage_in_a_format_that_goes_on_as_it_is_is_told_and_blocks_nobody() {
    let (shard, weir) = bed();
    let avro = |body: &str| {
        weir.http
            .insert(&format!("INSERT INTO {TABLE} (id, s) FORMAT Avro"), body)
    };
    for _ in 0..2 {
        let answer = avro("this is no Avro at all");
        assert_eq!((answer.status, answer.code()), (400, Some(1001)), "{answer}");
        assert!(answer.header("X-Weir-Receipt").is_none(), "{answer}");
    }
    values(&weir, "(2, 'later')").expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    check_rows(&shard, "first later");
}

#[test]
fn a_refusal_that_proves_nothing_of_a_body_that_nobody_looked_into_is_no_success_though_its_shape_is_known() {
    let (shard, weir) = bed();
    let blob = |body: &str| {
        weir.http
            .insert(&format!("INSERT INTO {TABLE} (s) FORMAT RawBLOB"), body)
    };
    blob("blob").expect_success();
    shard.fault(Fault::Fail { code: 1002, times: 3 });
    let answer = blob("other");
    assert_eq!((answer.status, answer.code()), (500, Some(319)), "{answer}");
    assert!(answer.header("X-Weir-Receipt").is_some(), "{answer}");
    wait_until_one_is(&weir, "held");
    values(&weir, "(2, 'later')").expect_success();
    wait_for("the later row", DELIVERY_LIMIT, || {
        let count = shard.http.query(&format!("SELECT count() FROM {TARGET}"));
        (count.trim() == "3").then_some(())
    });
    check_rows(&shard, "blob first later");
}

#[test]
fn an_unclear_answer_that_repeats_sets_the_batch_aside_and_later_ones_go() {
    let (shard, weir) = bed();
    shard.fault(Fault::Fail { code: 1002, times: 8 });
    values(&weir, "(2, 'aside')").expect_success();
    wait_until_one_is(&weir, "held");
    values(&weir, "(3, 'later')").expect_success();
    wait_for("the later row", Duration::from_secs(30), || {
        let count = shard.http.query(&format!("SELECT count() FROM {TARGET}"));
        (count.trim() == "2").then_some(())
    });
    check_rows(&shard, "first later");
}

#[test]
fn a_wrong_value_of_a_payload_setting_is_a_bad_request_and_nothing_is_kept() {
    let (shard, weir) = bed();
    // The last is a word that only the shard knows to be none.
    for (name, value) in [
        ("date_time_overflow_behavior", "foo"),
        ("session_timezone", "Nowhere"),
        ("input_format_column_name_matching_mode", "foo"),
    ] {
        let statement = format!("INSERT INTO {TABLE} (id, s) VALUES");
        let answer = weir
            .http
            .post(&statement)
            .parameter(name, value)
            .body("(42, 'p')")
            .answer();
        assert_eq!((answer.status, answer.code()), (400, Some(36)), "{answer}");
        assert!(answer.header("X-Weir-Receipt").is_none(), "{answer}");
    }
    assert_eq!(weir.metric("weir_held_batches"), 0.0);
    check_rows(&shard, "first");
}
