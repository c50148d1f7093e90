//! Passwords: how they reach a replica, and `auth = "clickhouse"`.

use std::time::{Duration, Instant};

use support::{Answer, ClickHouse18, Endpoint, Format, Options, Request, Weir, WeirConfig, rows, wait_for};

use crate::setup::{TABLE, TARGET, all_remote, cluster, patient, send, table};
use crate::tables::create_merge_tree;

const USER: &str = "app";
const PASSWORD: &str = "s ecret%=+";

/// `Basic` of user and password.
const BASIC: &str = "Basic YXBwOnMgZWNyZXQlPSs=";

/// A server that knows one user, and a router that lets the server check its password.
fn bed(users: &str) -> (ClickHouse18, Weir) {
    let shard = ClickHouse18::start(&Options {
        user: Some((USER.to_owned(), PASSWORD.to_owned())),
        ..Options::default()
    });
    create_merge_tree(&shard.http, TARGET);
    let cluster = cluster(true, &all_remote(&[shard.http.address])).replace(
        "user = \"default\"",
        &format!("user = \"{USER}\"\npassword = \"{PASSWORD}\""),
    );
    let weir = Weir::start(&WeirConfig {
        sections: cluster + &table(TABLE, TARGET) + users,
        ..patient()
    });
    (shard, weir)
}

const CHECKED_BY_THE_SERVER: &str =
    "[[user]]\nname = \"app\"\nauth = \"clickhouse\"\nauth_cache_time = \"1s\"\n";

fn as_user(weir: &Weir, password: &str) -> Endpoint {
    Endpoint {
        user: Some((USER.to_owned(), password.to_owned())),
        ..weir.http.clone()
    }
}

/// Asks the server whom it takes the asker for; 18.16 has no currentUser().
fn question(weir: &Weir) -> Request<'_> {
    weir.http.post("SELECT user FROM system.processes")
}

/// Whatever runs on the server runs as its one user.
#[track_caller]
fn check_app(answer: Answer) {
    let users = answer.expect_success().text();
    assert!(
        !users.is_empty() && users.lines().all(|user| user == USER),
        "{users}"
    );
}

#[test]
fn a_password_is_the_one_that_the_server_takes_in_whatever_form_it_comes() {
    let (_shard, weir) = bed(CHECKED_BY_THE_SERVER);
    check_app(
        question(&weir)
            .header("X-ClickHouse-User", USER)
            .header("X-ClickHouse-Key", PASSWORD)
            .answer(),
    );
    check_app(question(&weir).header("Authorization", BASIC).answer());
    check_app(
        question(&weir)
            .parameter("user", USER)
            .parameter("password", PASSWORD)
            .answer(),
    );
    send(&as_user(&weir, PASSWORD), Format::CSV, rows(1, 0..3)).expect_success();
    for wrong in ["", "wrong"] {
        let refused = as_user(&weir, wrong)
            .request("POST", "/")
            .body("SELECT 1")
            .answer();
        assert_eq!(refused.expect_code(516).status, 403);
        let refused = send(&as_user(&weir, wrong), Format::CSV, rows(2, 0..3));
        assert_eq!(refused.expect_code(516).status, 403);
    }
    assert_eq!(weir.metric("weir_failed_logins_total"), 4.0);
}

#[test]
fn who_has_logged_in_before_inserts_while_the_server_is_down_and_nobody_else_does() {
    let (mut shard, weir) = bed(CHECKED_BY_THE_SERVER);
    send(&as_user(&weir, PASSWORD), Format::CSV, rows(1, 0..3)).expect_success();
    shard.kill9();
    let down_since = Instant::now();
    wait_for("the server's yes to grow old", Duration::from_secs(10), || {
        (down_since.elapsed() > Duration::from_millis(1_500)).then_some(())
    });
    send(&as_user(&weir, PASSWORD), Format::CSV, rows(2, 0..3)).expect_success();
    let unknown = send(&as_user(&weir, "never seen"), Format::CSV, rows(3, 0..3));
    assert_eq!(
        unknown.expect_code(279).status,
        503,
        "it may be right: the client tries again"
    );
    shard.restart();
    weir.wait_until_delivered(crate::setup::DELIVERY_LIMIT);
    assert_eq!(shard.http.query(&format!("SELECT count() FROM {TARGET}")), "6\n");
}

#[test]
fn reads_go_as_another_user_in_whatever_form_the_own_password_comes() {
    let (_shard, weir) = bed("");
    let secret = weir.spool_path().join("secret");
    std::fs::write(&secret, PASSWORD).unwrap();
    // The sample's hash of "abc".
    let reader = format!(
        "[[user]]\nname = \"own\"\npassword_sha256_hex = \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n\
         as_user = \"{USER}\"\nas_password_file = \"{}\"\n[[table]]",
        secret.display()
    );
    weir.edit_config("[[table]]", &reader);
    weir.hang_up();
    let is_in_force = || {
        let answer = question(&weir)
            .parameter("user", "own")
            .parameter("password", "abc")
            .answer();
        (answer.status == 200).then_some(())
    };
    wait_for("the reload", Duration::from_secs(10), is_in_force);
    check_app(
        question(&weir)
            .header("X-ClickHouse-User", "own")
            .header("X-ClickHouse-Key", "abc")
            .answer(),
    );
    check_app(
        question(&weir)
            .header("Authorization", "Basic b3duOmFiYw==")
            .answer(),
    );
    check_app(
        question(&weir)
            .parameter("user", "own")
            .parameter("password", "abc")
            .answer(),
    );
}
