//! An INSERT in the foreground is answered when every shard has its rows, or says which have not; receipts tell the rest.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use support::{Answer, ClickHouse18, Fingerprint, Format, Weir, WeirConfig, body_of, rows, wait_for};

use crate::setup::{
    DELIVERY_LIMIT, Shard, TABLE, TARGET, all_remote, cluster, insert, on_all, patient, plain_servers, send,
    table, weir,
};
use crate::tables::{check_holds, count};

const RECEIPT: &str = "X-Weir-Receipt";

/// Batches that wait an hour, unless somebody waits for them; `more` is said in `[send]`.
fn slow(servers: &[ClickHouse18], more: &str) -> Weir {
    let addresses: Vec<_> = servers.iter().map(|server| server.http.address).collect();
    let send = patient()
        .send
        .replace("max_batch_delay = \"100ms\"", "max_batch_delay = \"1h\"");
    Weir::start(&WeirConfig {
        sections: cluster(true, &all_remote(&addresses)) + &table(TABLE, TARGET),
        send: format!("{send}\n{more}"),
        ..patient()
    })
}

fn foreground(weir: &Weir, range: std::ops::Range<u64>, parameters: &[(&str, &str)]) -> Answer {
    let request = weir.http.post(&insert(TABLE, Format::CSV));
    let request = parameters
        .iter()
        .fold(request, |request, (name, value)| request.parameter(name, value));
    let request = request.parameter("distributed_foreground_insert", "1");
    request.body(body_of(Format::CSV, rows(91, range))).answer()
}

#[track_caller]
fn receipt_of(answer: &Answer) -> String {
    answer
        .header(RECEIPT)
        .unwrap_or_else(|| panic!("no receipt: {answer}"))
        .to_owned()
}

/// What `GET /receipts/<id>` says on the admin socket.
#[track_caller]
fn receipt(weir: &Weir, id: &str) -> String {
    let mut socket = UnixStream::connect(weir.spool_path().join("admin.sock")).unwrap();
    write!(
        socket,
        "GET /receipts/{id} HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

/// The worst that the receipt tells of any shard.
#[track_caller]
fn state(weir: &Weir, id: &str) -> String {
    let answer = receipt(weir, id);
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let json: serde_json::Value = serde_json::from_str(body.trim()).unwrap_or_else(|_| panic!("{answer}"));
    json["state"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"))
        .to_owned()
}

#[track_caller]
fn check_receipt(weir: &Weir, id: &str, expected: &str) {
    assert_eq!(state(weir, id), expected, "{}", receipt(weir, id));
}

#[test]
fn a_foreground_insert_is_on_every_shard_when_it_is_answered() {
    let servers = plain_servers(2);
    let weir = slow(&servers, "");
    for part in 0..3 {
        let answer = foreground(&weir, part * 100..(part + 1) * 100, &[]).expect_success();
        assert_eq!(answer.header("X-Weir-Waiting"), None, "{answer}");
        assert_eq!(
            on_all(&servers, TARGET),
            Fingerprint::of(rows(91, 0..(part + 1) * 100))
        );
        check_receipt(&weir, &receipt_of(&answer), "delivered");
    }
    let unknown = receipt(&weir, "00000000-0000-4000-8000-000000000000");
    assert!(
        unknown.starts_with("HTTP/1.1 404") && unknown.contains("how far back"),
        "{unknown}"
    );
}

#[test]
fn a_wait_that_ends_names_the_shard_and_a_retry_waits_again_also_after_kill_9_and_doubles_nothing() {
    let mut servers = plain_servers(2);
    let mut weir = slow(&servers, "");
    foreground(&weir, 0..10, &[]).expect_success();
    servers[1].kill9();
    let short = [("insert_distributed_timeout", "1")];
    let first = foreground(&weir, 10..200, &short);
    assert_eq!((first.status, first.code()), (503, Some(159)), "{first}");
    assert!(first.text().contains("not yet on: s2."), "{first}");
    let id = receipt_of(&first);
    for _ in 0..2 {
        let again = foreground(&weir, 10..200, &short);
        assert_eq!(
            (again.code(), again.header("X-Weir-Duplicate")),
            (Some(159), Some("1")),
            "{again}"
        );
        assert_eq!(receipt_of(&again), id);
        weir.kill9();
        weir.restart();
    }
    assert_ne!(state(&weir, &id), "delivered");
    servers[1].restart();
    let last = foreground(&weir, 10..200, &[]).expect_success();
    assert_eq!(
        (receipt_of(&last), last.header("X-Weir-Duplicate")),
        (id.clone(), Some("1"))
    );
    assert_eq!(on_all(&servers, TARGET), Fingerprint::of(rows(91, 0..200)));
    check_receipt(&weir, &id, "delivered");
}

#[test]
fn after_the_fallback_s_time_the_answer_is_200_and_says_so() {
    let mut servers = plain_servers(2);
    let weir = slow(
        &servers,
        "ack = \"delivered\"\nforeground_fallback_timeout = \"1s\"",
    );
    send(&weir.http, Format::CSV, rows(91, 0..10)).expect_success();
    assert_eq!(
        on_all(&servers, TARGET),
        Fingerprint::of(rows(91, 0..10)),
        "the table asks for it"
    );
    servers[1].kill9();
    let answer = send(&weir.http, Format::CSV, rows(91, 10..200)).expect_success();
    assert_eq!(
        answer.header("X-Weir-Waiting"),
        Some("foreground: not yet on s2"),
        "{answer}"
    );
    servers[1].restart();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    assert_eq!(on_all(&servers, TARGET), Fingerprint::of(rows(91, 0..200)));
}

#[test]
fn a_shard_s_refusal_is_told_with_its_code_and_the_receipt() {
    let servers = plain_servers(1);
    let weir = slow(&servers, "");
    foreground(&weir, 0..10, &[]).expect_success();
    let bad = "77,\"no time at all\",\"u\",\"DE\",1,\"p\"\n";
    let request = weir.http.post(&insert(TABLE, Format::CSV));
    let answer = request
        .parameter("insert_distributed_sync", "1")
        .body(bad)
        .answer();
    assert_eq!(answer.status, 400, "{answer}");
    assert!([27, 38, 41].contains(&answer.code().unwrap()), "{answer}");
    let told = receipt(&weir, &receipt_of(&answer));
    assert!(
        told.contains("\"state\":\"broken\"") && told.contains("code "),
        "{told}"
    );
    check_holds(&servers[0].http, TARGET, rows(91, 0..10));
}

#[test]
fn without_internal_replication_a_quorum_is_enough_and_one_that_cannot_be_is_refused() {
    let mut servers = plain_servers(3);
    let replicas = servers
        .iter()
        .map(|server| (server.http.address, false))
        .collect();
    let weir = weir(false, &[Shard { weight: 1, replicas }]);
    foreground(&weir, 0..10, &[]).expect_success();
    servers[2].kill9();
    foreground(&weir, 10..20, &[("insert_quorum", "2")]).expect_success();
    for server in &servers[..2] {
        assert_eq!(count(&server.http, TARGET), 20);
    }
    foreground(&weir, 20..30, &[("insert_quorum", "auto")]).expect_success();
    let short = ("insert_distributed_timeout", "1");
    let all = foreground(&weir, 30..40, &[("insert_quorum", "3"), short]);
    assert_eq!(all.code(), Some(159), "{all}");
    let never = foreground(&weir, 40..50, &[("insert_quorum", "4")]);
    assert_eq!(
        (never.status, never.code(), never.header(RECEIPT)),
        (400, Some(285), None),
        "{never}"
    );
    servers[2].restart();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    for server in &servers {
        check_holds(&server.http, TARGET, rows(91, 0..40));
    }
}

#[test]
fn a_shutdown_answers_who_waits_with_the_receipt_and_the_rows_arrive() {
    let mut servers = plain_servers(1);
    let mut weir = slow(&servers, "");
    foreground(&weir, 0..10, &[]).expect_success();
    servers[0].kill9();
    let http = weir.http.clone();
    let waiting = std::thread::spawn(move || {
        let request = http.post(&insert(TABLE, Format::CSV));
        let request = request.parameter("distributed_foreground_insert", "1");
        request.body(body_of(Format::CSV, rows(91, 10..20))).answer()
    });
    wait_for("the INSERT to wait", DELIVERY_LIMIT, || {
        (weir.metric("weir_spool_rows") > 0.0).then_some(())
    });
    assert!(weir.terminate().success());
    let answer = waiting.join().unwrap();
    assert_eq!((answer.status, answer.code()), (503, Some(159)), "{answer}");
    let id = receipt_of(&answer);
    servers[0].restart();
    weir.restart();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    check_receipt(&weir, &id, "delivered");
    check_holds(&servers[0].http, TARGET, rows(91, 0..20));
}
