//! What ClickHouse 18.16.1 does, on which the way batches are sent to it depends.

use std::sync::OnceLock;

use support::{
    COLUMNS, ClickHouse18, Endpoint, Fingerprint, Format, Options, ZooKeeper, body_of, frame, gzip_stored,
    rows, wait_for,
};

use crate::tables::{check_holds, count, create_merge_tree, create_replicated};

/// One server for all facts that do not kill it.
fn server() -> &'static Endpoint {
    static SERVER: OnceLock<ClickHouse18> = OnceLock::new();
    &SERVER
        .get_or_init(|| ClickHouse18::start(&Options::default()))
        .http
}

fn insert(table: &str, format: Format) -> String {
    format!("INSERT INTO {table} FORMAT {}", format.name())
}

#[test]
fn it_takes_every_format_exactly() {
    for format in Format::ALL {
        let table = format!("takes_{}", format.name());
        create_merge_tree(server(), &table);
        let sent = rows(1, 0..5_000);
        server()
            .insert(&insert(&table, format), body_of(format, sent.clone()))
            .expect_success();
        check_holds(server(), &table, sent);
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
fn it_refuses_a_setting_it_does_not_know() {
    let answer = server()
        .post("SELECT 1")
        .parameter("insert_deduplication_token", "t")
        .answer();
    answer.expect_code(115);
}

#[test]
fn it_takes_frames_inside_a_gzip_envelope() {
    create_merge_tree(server(), "enveloped");
    let body = gzip_stored(&two_frames());
    send_frames("enveloped")
        .header("Content-Encoding", "gzip")
        .body(body)
        .answer()
        .expect_success();
    check_holds(server(), "enveloped", rows(1, 0..2_000));
}

#[test]
fn it_refuses_a_frame_with_a_wrong_checksum() {
    create_merge_tree(server(), "flipped");
    let mut frames = two_frames();
    *frames.last_mut().unwrap() ^= 1;
    send_frames("flipped").body(frames).answer().expect_code(40);
    assert_eq!(count(server(), "flipped"), 0);
}

/// Why the envelope is there: without it a prefix is taken for the whole.
#[test]
fn bare_frames_cut_at_a_border_leave_their_prefix() {
    create_merge_tree(server(), "bare_chunked");
    let _ = send_frames("bare_chunked").chunked_and_cut(first_frame()).send();
    wait_for_quiet("bare_chunked");
    check_holds(server(), "bare_chunked", rows(1, 0..1_000));

    create_merge_tree(server(), "bare_sized");
    let announced = two_frames().len();
    let _ = send_frames("bare_sized")
        .body_announced_as(announced, first_frame())
        .send();
    wait_for_quiet("bare_sized");
    check_holds(server(), "bare_sized", rows(1, 0..1_000));
}

#[test]
fn an_enveloped_body_cut_anywhere_leaves_nothing() {
    create_merge_tree(server(), "cut");
    let whole = gzip_stored(&two_frames());
    let border = first_frame().len();
    // Around the head, the border of the frames inside, and the trailer of 8 bytes.
    let cuts = [
        1,
        10,
        15,
        1_000,
        border + 10,
        border + 15,
        border + 20,
        whole.len() - 9,
        whole.len() - 8,
        whole.len() - 1,
    ];
    for cut in cuts {
        let send = || send_frames("cut").header("Content-Encoding", "gzip");
        let _ = send().chunked_and_cut(&whole[..cut]).send();
        let _ = send().body_announced_as(whole.len(), &whole[..cut]).send();
    }
    wait_for_quiet("cut");
    assert_eq!(count(server(), "cut"), 0);
}

#[test]
fn an_identical_block_is_dropped_on_a_replicated_table_even_after_a_kill() {
    let zookeeper = ZooKeeper::start();
    let mut server = ClickHouse18::start(&Options::replicated(&zookeeper, "s1", "r1"));
    create_replicated(&server.http, "hits");
    let sql = insert("hits", Format::RowBinary);
    let body = body_of(Format::RowBinary, rows(1, 0..3_000));
    server.http.insert(&sql, body.clone()).expect_success();
    server.http.insert(&sql, body.clone()).expect_success();
    check_holds(&server.http, "hits", rows(1, 0..3_000));

    server.kill9();
    server.restart();
    // Until its session with ZooKeeper is back the table is read-only (code 242).
    wait_for(
        "the table to take INSERTs again",
        std::time::Duration::from_secs(60),
        || (server.http.insert(&sql, body.clone()).status == 200).then_some(()),
    );
    check_holds(&server.http, "hits", rows(1, 0..3_000));
}

#[test]
fn a_replica_gets_what_its_sibling_took() {
    let zookeeper = ZooKeeper::start();
    let replicas = ["r1", "r2"].map(|name| ClickHouse18::start(&Options::replicated(&zookeeper, "s1", name)));
    for replica in &replicas {
        create_replicated(&replica.http, "hits");
    }
    let body = body_of(Format::CSV, rows(2, 0..2_000));
    replicas[0]
        .http
        .insert(&insert("hits", Format::CSV), body)
        .expect_success();
    wait_for("the second replica", std::time::Duration::from_secs(60), || {
        (count(&replicas[1].http, "hits") == 2_000).then_some(())
    });
    check_holds(&replicas[1].http, "hits", rows(2, 0..2_000));
}

/// The peer, and the proof that the check of exact arrival itself holds: it is the one that Weir has to pass.
#[test]
fn its_own_distributed_engine_spreads_rows_by_weight() {
    let shards = ClickHouse18::start_peers(&[9, 10, 0]);
    for shard in &shards {
        create_merge_tree(&shard.http, "hits_local");
    }
    let engine = "Distributed(peers, default, hits_local, cityHash64(user_id))";
    shards[0]
        .http
        .query(&format!("CREATE TABLE hits ({COLUMNS}) ENGINE = {engine}"));
    let sql = insert("hits", Format::TabSeparated);
    let body = body_of(Format::TabSeparated, rows(3, 0..20_000));
    let request = shards[0]
        .http
        .post(&sql)
        .parameter("insert_distributed_sync", "1");
    request.body(body).answer().expect_success();

    let held: Vec<_> = shards
        .iter()
        .map(|shard| Fingerprint::in_table(&shard.http, "hits_local"))
        .collect();
    assert_eq!(
        held.iter().copied().sum::<Fingerprint>(),
        Fingerprint::of(rows(3, 0..20_000))
    );
    assert_eq!(held[2].rows, 0, "a shard of weight 0 owns no slot");
    let misplaced = "SELECT count() FROM hits_local WHERE (cityHash64(user_id) % 19 < 9) != ";
    assert_eq!(shards[0].http.query(&format!("{misplaced} 1")).trim(), "0");
    assert_eq!(shards[1].http.query(&format!("{misplaced} 0")).trim(), "0");
}

#[test]
fn a_wrong_password_is_refused() {
    let user = Some(("writer".to_owned(), "secret".to_owned()));
    let server = ClickHouse18::start(&Options {
        user,
        ..Options::default()
    });
    assert_eq!(server.http.query("SELECT 1"), "1\n");
    let stranger = Endpoint {
        user: Some(("writer".into(), "guess".into())),
        ..server.http
    };
    stranger.post("SELECT 1").answer().expect_code(193);
}

/// TabSeparated, 1,000 rows a frame.
fn two_frames() -> Vec<u8> {
    let second = frame(&body_of(Format::TabSeparated, rows(1, 1_000..2_000)));
    [first_frame(), second].concat()
}

fn first_frame() -> Vec<u8> {
    frame(&body_of(Format::TabSeparated, rows(1, 0..1_000)))
}

fn send_frames(table: &str) -> support::Request<'static> {
    server()
        .post(&insert(table, Format::TabSeparated))
        .parameter("decompress", "1")
}

/// Waits until no INSERT into the table runs any more: a cut one has no answer to wait for.
fn wait_for_quiet(table: &str) {
    let sql = format!("SELECT count() FROM system.processes WHERE query LIKE 'INSERT INTO {table}%'");
    wait_for("INSERTs to end", std::time::Duration::from_secs(60), || {
        (server().query(&sql).trim() == "0").then_some(())
    });
}
