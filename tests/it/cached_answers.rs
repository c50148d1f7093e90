//! What clients ask before they insert, while every replica is down: answered as the replica answered it.

use std::time::Duration;

use support::{Answer, Endpoint, Format, Modern, Weir, WeirConfig, rows, wait_for};

use crate::setup::{DELIVERY_LIMIT, TABLE, TARGET, all_remote, cluster, insert, patient, send, table};

/// One request of a client: its statement, which goes in the body, and its parameters.
type Question = (&'static str, &'static [(&'static str, &'static str)]);

const PYTHON: &[(&str, &str)] = &[
    ("client_protocol_version", "54405"),
    ("session_id", "5a"),
    ("wait_end_of_query", "1"),
];
const GO: &[(&str, &str)] = &[
    ("default_format", "Native"),
    ("client_protocol_version", "54460"),
    ("database", "default"),
];
const JAVA: &[(&str, &str)] = &[("default_format", "RowBinaryWithNamesAndTypes")];
const RUST: &[(&str, &str)] = &[
    ("default_format", "RowBinaryWithNamesAndTypes"),
    ("describe_include_subcolumns", "0"),
];

/// What the official clients ask; each of them was never asked before the shard goes down.
const HELLOS: &[Question] = &[
    ("SELECT version(), timezone()", &[]),
    (
        "SELECT name, value, readonly FROM system.settings LIMIT 10000\n FORMAT Native",
        &[],
    ),
    ("SELECT 1 AS check\n FORMAT Native", PYTHON),
    ("DESCRIBE TABLE `default`.`hits`\n FORMAT Native", PYTHON),
    ("SELECT displayName(), version(), revision(), timezone()", GO),
    ("DESCRIBE TABLE hits", GO),
    ("SELECT 1", GO),
    (
        "SELECT currentUser() AS user, timezone() AS timezone, version() AS version LIMIT 1",
        JAVA,
    ),
    ("SELECT version() as server_version", JAVA),
    ("DESCRIBE TABLE hits FORMAT TSKV", &[]),
    ("SELECT 1 FORMAT TabSeparated", &[]),
    ("DESCRIBE TABLE hits", RUST),
    ("SELECT 'ping'", &[]),
    (
        "SELECT name, type, default_kind FROM system.columns WHERE database = 'default' AND table = 'hits' ORDER BY position FORMAT JSONEachRow",
        &[],
    ),
    ("DESC hits", &[]),
    ("SELECT 1", &[]),
];

/// Users: the shard knows `default`; `other` and `narrow` are Weir's alone, `narrow` may not insert into the table.
const USERS: &str = "[[user]]\nname = \"default\"\n\
    [[user]]\nname = \"other\"\npassword_sha256_hex = \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n\
    [[user]]\nname = \"narrow\"\ntables = [\"elsewhere.*\"]\n";

/// The hash above is of this.
const OTHERS_PASSWORD: &str = "abc";

#[track_caller]
fn ask(weir: &Endpoint, (statement, parameters): &Question) -> Answer {
    let request = weir.request("POST", "/");
    let request = parameters
        .iter()
        .fold(request, |request, (name, value)| request.parameter(name, value));
    request.body(*statement).answer()
}

fn is_cached(answer: &Answer) -> bool {
    answer.header("x-weir-cached").is_some()
}

/// A shard with the table and a router that has asked it everything it asks ahead.
fn warm_bed() -> (Modern, Weir) {
    let shard = Modern::start();
    let columns = support::COLUMNS;
    for name in [TARGET, TABLE] {
        shard.http.query(&format!(
            "CREATE TABLE {name} ({columns}) ENGINE = MergeTree ORDER BY user_id"
        ));
    }
    let sections = cluster(true, &all_remote(&[shard.http.address])) + &table(TABLE, TARGET) + USERS;
    let weir = Weir::start(&WeirConfig {
        sections,
        ..patient()
    });
    let last_asked = "FROM system.`columns`";
    wait_for_kept(&weir, last_asked);
    (shard, weir)
}

/// Waits until an answer to such a statement is on the disk.
#[track_caller]
fn wait_for_kept(weir: &Weir, statement: &str) {
    let directory = weir.spool_path().join("meta/answers");
    let is_there = || {
        let files = std::fs::read_dir(&directory).ok()?;
        let mut heads = files.flatten().filter_map(|file| std::fs::read(file.path()).ok());
        heads
            .any(|bytes| String::from_utf8_lossy(&bytes).contains(statement))
            .then_some(())
    };
    wait_for("the answers to be kept", Duration::from_secs(60), is_there);
}

#[track_caller]
fn check_same_from_cache(weir: &Weir, fresh: &[Answer]) {
    for (question, fresh) in HELLOS.iter().zip(fresh) {
        let kept = ask(&weir.http, question).expect_success();
        assert!(is_cached(&kept), "{question:?}: {kept}");
        assert_eq!(kept.body, fresh.body, "{question:?}");
        for name in ["x-clickhouse-format", "x-clickhouse-timezone"] {
            assert_eq!(kept.header(name), fresh.header(name), "{name} of {question:?}");
        }
    }
}

#[test]
fn clients_connect_and_insert_while_every_replica_is_down_and_after_a_restart_too() {
    let (mut shard, mut weir) = warm_bed();
    let ask_fresh = |question| {
        let answer = ask(&weir.http, question).expect_success();
        assert!(
            !is_cached(&answer),
            "a replica that answers is asked: {question:?}"
        );
        answer
    };
    let fresh: Vec<_> = HELLOS.iter().map(ask_fresh).collect();
    shard.kill9();
    check_same_from_cache(&weir, &fresh);
    assert_eq!(weir.metric("weir_cached_answers_total"), HELLOS.len() as f64);

    weir.restart();
    check_same_from_cache(&weir, &fresh);
    send(&weir.http, Format::CSV, rows(1, 0..10)).expect_success();
    let read = ask(&weir.http, &("SELECT count() FROM hits", &[])).expect_code(279);
    assert_eq!(read.status, 503);

    shard.restart();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    assert!(!is_cached(&ask(&weir.http, &HELLOS[0]).expect_success()));
}

#[test]
fn an_answer_of_another_shape_is_not_served() {
    let (mut shard, weir) = warm_bed();
    let asked: Question = ("SELECT version() AS mine FORMAT CSV", &[]);
    let fresh = ask(&weir.http, &asked).expect_success();
    wait_for_kept(&weir, "AS `mine`");
    shard.kill9();
    let kept = ask(&weir.http, &asked).expect_success();
    assert!(
        is_cached(&kept) && kept.body == fresh.body,
        "it was learned: {kept}"
    );
    let others: &[Question] = &[
        ("SELECT version() AS mine FORMAT XML", &[]),
        (
            "SELECT version() AS mine FORMAT CSV",
            &[("format_csv_delimiter", ";")],
        ),
        (
            "DESCRIBE TABLE hits",
            &[("default_format", "Native"), ("client_protocol_version", "1")],
        ),
        ("SELECT 1", &[("additional_result_filter", "1")]),
    ];
    for question in others {
        let answer = ask(&weir.http, question).expect_code(279);
        assert_eq!(answer.status, 503, "{question:?}");
    }
    assert!(ask(&weir.http, &others[0]).text().contains("not kept"));
}

#[test]
fn kept_answers_are_for_who_may_insert_and_carry_the_askers_name() {
    let (mut shard, weir) = warm_bed();
    shard.kill9();
    let endpoint = |user: &str, password: &str| Endpoint {
        user: Some((user.to_owned(), password.to_owned())),
        ..weir.http.clone()
    };
    let other = endpoint("other", OTHERS_PASSWORD);
    let hello = HELLOS[7];
    assert!(hello.0.contains("currentUser()"));
    let own_name = ask(&other, &hello).expect_success();
    assert!(own_name.text().contains("\u{5}other"), "{own_name}");
    ask(&other, &("DESCRIBE TABLE hits", GO)).expect_success();

    let narrow = endpoint("narrow", "");
    ask(&narrow, &("SELECT 1", &[])).expect_success();
    ask(&narrow, &("DESCRIBE TABLE hits", GO)).expect_code(279);
    ask(&narrow, &HELLOS[13]).expect_code(279);

    let nobody = ask(&endpoint("other", "wrong"), &("SELECT 1", &[])).expect_code(516);
    assert_eq!(nobody.status, 403);
    assert_eq!(weir.metric("weir_failed_logins_total"), 1.0);
    weir.http
        .insert(&insert("default.elsewhere", Format::CSV), "1\n")
        .expect_code(60);
    assert!(
        weir.metric("weir_inserts_total") > 0.0,
        "an unknown table is counted"
    );
}

#[test]
fn a_changed_table_is_described_as_it_is_now() {
    let (mut shard, weir) = warm_bed();
    for name in [TARGET, TABLE] {
        shard
            .http
            .query(&format!("ALTER TABLE {name} ADD COLUMN added UInt8"));
    }
    wait_for_kept(&weir, "name=added\t");
    shard.kill9();
    let kept = ask(&weir.http, &("DESCRIBE TABLE hits FORMAT TSKV", &[])).expect_success();
    assert!(is_cached(&kept) && kept.text().contains("name=added\t"), "{kept}");
}
