//! What ClickHouse 26.x does, and that its stand-in server refuses what a real one refuses.

use std::sync::OnceLock;

use support::{COLUMNS, Endpoint, Fault, Format, Modern, body_of, frame, gzip_stored, rows};

use crate::tables::{check_holds, count, create_merge_tree};

/// One server for all facts that do not make it misbehave.
fn server() -> &'static Endpoint {
    static SERVER: OnceLock<Modern> = OnceLock::new();
    &SERVER.get_or_init(Modern::start).http
}

fn insert(table: &str, format: Format) -> String {
    format!("INSERT INTO {table} FORMAT {}", format.name())
}

fn create_with_window(server: &Endpoint, table: &str) {
    let engine = "MergeTree ORDER BY user_id SETTINGS non_replicated_deduplication_window = 100";
    server.query(&format!("CREATE TABLE {table} ({COLUMNS}) ENGINE = {engine}"));
}

#[test]
fn it_takes_every_format_exactly() {
    for format in Format::ALL {
        let table = format!("takes_{}", format.name());
        create_merge_tree(server(), &table);
        server()
            .insert(&insert(&table, format), body_of(format, rows(1, 0..5_000)))
            .expect_success();
        check_holds(server(), &table, rows(1, 0..5_000));
    }
}

#[test]
fn two_bodies_of_a_payload_format_joined_give_all_rows() {
    for format in Format::PAYLOAD {
        let table = format!("joined_{}", format.name());
        create_merge_tree(server(), &table);
        let body = [
            body_of(format, rows(1, 0..700)),
            body_of(format, rows(1, 700..1_500)),
        ]
        .concat();
        server().insert(&insert(&table, format), body).expect_success();
        check_holds(server(), &table, rows(1, 0..1_500));
    }
}

#[test]
fn a_repeated_token_is_dropped_on_a_table_with_a_window() {
    create_with_window(server(), "tokens");
    let send = |token: &str, numbers| {
        let request = server().post(&insert("tokens", Format::CSV));
        let body = body_of(Format::CSV, rows(1, numbers));
        request
            .parameter("insert_deduplication_token", token)
            .body(body)
            .answer()
            .expect_success()
    };
    send("a", 0..100);
    send("a", 0..100);
    assert_eq!(count(server(), "tokens"), 100);
    // The token alone decides: other rows under a known one are dropped too.
    send("a", 100..200);
    check_holds(server(), "tokens", rows(1, 0..100));
    send("b", 100..200);
    check_holds(server(), "tokens", rows(1, 0..200));
}

#[test]
fn the_settings_that_keep_a_batch_one_block_are_known() {
    create_with_window(server(), "pinned");
    let pinned = [
        ("max_insert_block_size", "1000001"),
        ("min_insert_block_size_rows", "1000001"),
        ("min_insert_block_size_bytes", "0"),
        ("max_insert_block_size_bytes", "0"),
        ("max_insert_threads", "1"),
        ("input_format_parallel_parsing", "0"),
        ("async_insert", "0"),
        ("insert_deduplicate", "1"),
        ("deduplicate_insert", "enable"),
        ("deduplicate_blocks_in_dependent_materialized_views", "1"),
    ];
    let mut request = server().post(&insert("pinned", Format::RowBinary));
    for (name, value) in pinned {
        request = request.parameter(name, value);
    }
    request
        .body(body_of(Format::RowBinary, rows(1, 0..1_000)))
        .answer()
        .expect_success();
    check_holds(server(), "pinned", rows(1, 0..1_000));
    let sql = "SELECT count() FROM system.parts WHERE table = 'pinned' AND active";
    assert_eq!(server().query(sql).trim(), "1");
}

#[test]
fn a_body_that_does_not_end_leaves_nothing() {
    create_merge_tree(server(), "cut");
    let body = body_of(Format::TabSeparated, rows(1, 0..1_000));
    let enveloped = gzip_stored(&body);
    let post = || server().post(&insert("cut", Format::TabSeparated));
    let plain = &body[..body.len() / 2];
    post().chunked_and_cut(plain).answer().expect_code(33);
    post()
        .body_announced_as(body.len(), plain)
        .answer()
        .expect_code(33);
    for cut in [
        1,
        10,
        15,
        enveloped.len() / 2,
        enveloped.len() - 8,
        enveloped.len() - 1,
    ] {
        // A gzip member that ends too soon in a body that is framed well: what a sender killed behind a proxy
        // leaves.
        let request = post().header("Content-Encoding", "gzip").body(&enveloped[..cut]);
        request.answer().expect_code(354);
    }
    assert_eq!(count(server(), "cut"), 0);
    post()
        .header("Content-Encoding", "gzip")
        .body(enveloped)
        .answer()
        .expect_success();
    check_holds(server(), "cut", rows(1, 0..1_000));
}

#[test]
fn it_takes_frames_inside_a_gzip_envelope_and_checks_them() {
    create_merge_tree(server(), "enveloped");
    let tsv = |numbers| frame(&body_of(Format::TabSeparated, rows(1, numbers)));
    let frames = [tsv(0..1_000), tsv(1_000..2_000)].concat();
    let post = |frames: &[u8]| {
        let request = server()
            .post(&insert("enveloped", Format::TabSeparated))
            .parameter("decompress", "1");
        request
            .header("Content-Encoding", "gzip")
            .body(gzip_stored(frames))
            .answer()
    };
    post(&frames).expect_success();
    check_holds(server(), "enveloped", rows(1, 0..2_000));

    let mut flipped = frames.clone();
    *flipped.last_mut().unwrap() ^= 1;
    post(&flipped).expect_code(40);
    post(&frames[..frames.len() - 1]).expect_code(33);
    check_holds(server(), "enveloped", rows(1, 0..2_000));
}

#[test]
fn errors_carry_clickhouse_s_codes() {
    server()
        .insert("INSERT INTO nowhere FORMAT CSV", "1\n")
        .expect_code(60);
    create_merge_tree(server(), "errors");
    let unknown_setting = server()
        .post("SELECT 1")
        .parameter("no_such_setting", "1")
        .answer();
    unknown_setting.expect_code(115);
    server()
        .insert("INSERT INTO errors FORMAT TabSeparated", "not a number\n")
        .expect_code(27);
    server()
        .insert("INSERT INTO errors (no_such_column) FORMAT CSV", "1\n")
        .expect_code(16);
    let stranger = Endpoint {
        user: Some(("default".into(), "guess".into())),
        ..server().clone()
    };
    stranger.post("SELECT 1").answer().expect_code(516);
}

#[test]
fn a_statement_with_its_data_may_stand_in_the_body() {
    create_merge_tree(server(), "in_body");
    for format in [Format::Values, Format::TabSeparated, Format::RowBinary] {
        let mut body = format!("{}\n", insert("in_body", format)).into_bytes();
        body.extend(body_of(format, rows(1, 0..10)));
        server().request("POST", "/").body(body).answer().expect_success();
    }
    assert_eq!(count(server(), "in_body"), 30);
}

#[test]
fn every_server_has_an_identity_of_its_own_and_keeps_it() {
    let mut other = Modern::start();
    let identity = other.http.query("SELECT serverUUID()");
    assert_ne!(identity, server().query("SELECT serverUUID()"));
    other.kill9();
    other.restart();
    assert_eq!(other.http.query("SELECT serverUUID()"), identity);
}

#[test]
fn faults_happen_on_request_and_rows_outlive_a_kill() {
    let mut server = Modern::start();
    create_with_window(&server.http, "hits");
    let send = |http: &Endpoint, token: &str| {
        let request = http
            .post(&insert("hits", Format::CSV))
            .parameter("insert_deduplication_token", token);
        request.body(body_of(Format::CSV, rows(1, 0..10))).send()
    };
    server.fault(Fault::Fail { code: 242, times: 2 });
    send(&server.http, "t").unwrap().expect_code(242);
    send(&server.http, "t").unwrap().expect_code(242);
    server.fault(Fault::CutBefore);
    assert!(send(&server.http, "t").is_err());
    assert_eq!(count(&server.http, "hits"), 0);
    server.fault(Fault::CutAfter);
    assert!(send(&server.http, "t").is_err());
    assert_eq!(count(&server.http, "hits"), 10);
    server.fault(Fault::Late(50));
    send(&server.http, "t").unwrap().expect_success();

    server.kill9();
    server.restart();
    send(&server.http, "t").unwrap().expect_success();
    check_holds(&server.http, "hits", rows(1, 0..10));
}
