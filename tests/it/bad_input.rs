//! Bad input gets a clear error with ClickHouse's code; nothing of it reaches a shard, and the router stays
//! up.

use support::{
    Answer, ClickHouse18, Endpoint, Fingerprint, Format, Request, Weir, body_of, frame, gzip_stored, rows,
};
use support::{Scratch, WeirConfig, weir_command};

use crate::setup::{
    DELIVERY_LIMIT, TABLE, TARGET, cluster, first_is_local, insert, on_all, patient, plain_servers, send,
    table, weir,
};

struct Bed {
    servers: Vec<ClickHouse18>,
    weir: Weir,
}

impl Bed {
    fn new() -> Self {
        let servers = plain_servers(2);
        let weir = weir(true, &first_is_local(&servers, &[1, 1]));
        Self { servers, weir }
    }

    fn post(&self, format: Format) -> Request<'_> {
        self.weir.http.post(&insert(TABLE, format))
    }

    /// The router still works, and of all before only this arrived: 100 good rows.
    #[track_caller]
    fn check_nothing_arrived(mut self) {
        send(&self.weir.http, Format::CSV, rows(40, 0..100)).expect_success();
        self.weir.wait_until_delivered(DELIVERY_LIMIT);
        assert_eq!(on_all(&self.servers, TARGET), Fingerprint::of(rows(40, 0..100)));
        assert!(self.weir.is_running());
        assert!(!self.weir.log().contains("panicked"), "{}", self.weir.log());
    }
}

#[track_caller]
fn check(answer: &Answer, status: u16, code: u32, words: &[&str]) {
    let text = answer.text();
    assert!(
        answer.status == status && answer.code() == Some(code),
        "expected {status} and {code}, got {answer}"
    );
    assert!(
        text.starts_with(&format!("Code: {code}. DB::Exception: ")),
        "the form is ClickHouse's: {text}"
    );
    for word in words {
        assert!(text.contains(word), "expected {word:?} in: {text}");
    }
}

#[test]
fn what_weir_does_not_route_is_refused_by_name() {
    let bed = Bed::new();
    let http = &bed.weir.http;
    let csv = || body_of(Format::CSV, rows(1, 0..3));
    check(
        &http.insert("INSERT INTO nowhere FORMAT CSV", csv()),
        503,
        60,
        &["nowhere"],
    );
    let direct = http.insert(&insert(TARGET, Format::CSV), csv());
    check(&direct, 503, 60, &["hits_local", TABLE]);
    check(
        &http.insert(&format!("INSERT INTO {TABLE} FORMAT Nonsense"), csv()),
        400,
        73,
        &["Nonsense"],
    );
    let column = http.insert(
        &format!("INSERT INTO {TABLE} (user_id, nope) FORMAT CSV"),
        "1,2\n",
    );
    check(&column, 400, 16, &["nope"]);
    check(
        &http.post("CREATE TABLE t (x UInt8) ENGINE = Memory").answer(),
        501,
        48,
        &[],
    );
    let setting = bed
        .post(Format::CSV)
        .parameter("no_such_setting", "1")
        .body(csv())
        .answer();
    assert_eq!(setting.code(), Some(115), "{setting}");
    bed.check_nothing_arrived();
}

#[test]
fn strangers_wrong_passwords_and_tables_of_others_are_refused() {
    let servers = plain_servers(1);
    // SHA-256 of "secret".
    let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    let users = format!(
        "[[user]]\nname = \"app\"\npassword_sha256_hex = \"{hash}\"\ntables = [\"default.*\"]\n\
         [[user]]\nname = \"other\"\npassword_sha256_hex = \"{hash}\"\ntables = [\"other.*\"]\n\
         [[user]]\nname = \"elsewhere\"\npassword_sha256_hex = \"{hash}\"\nnetworks = [\"10.0.0.0/8\"]\n"
    );
    let sections = cluster(true, &first_is_local(&servers, &[1])) + &table(TABLE, TARGET) + &users;
    let weir = Weir::start(&WeirConfig {
        sections,
        ..patient()
    });
    let as_user = |name: &str, password: &str| {
        let user = Some((name.to_owned(), password.to_owned()));
        let http = Endpoint {
            user,
            ..weir.http.clone()
        };
        http.insert(&insert(TABLE, Format::CSV), body_of(Format::CSV, rows(1, 0..3)))
    };
    for (name, password) in [
        ("app", "guess"),
        ("app", ""),
        ("nobody", ""),
        ("default", ""),
        ("elsewhere", "secret"),
    ] {
        check(&as_user(name, password), 403, 516, &[]);
    }
    check(&as_user("other", "secret"), 403, 497, &[TABLE]);
    as_user("app", "secret").expect_success();
    assert_eq!(on_all(&servers, TARGET), Fingerprint::of(rows(1, 0..3)));
    assert!(!weir.log().contains("guess"), "a password is in the log");
}

#[test]
fn a_malformed_row_is_named_by_number_and_nothing_of_its_insert_arrives() {
    let bed = Bed::new();
    // Rows are counted from 1, as ClickHouse counts them: the bad one is row 3001.
    let good = |format| body_of(format, rows(1, 0..3_000));
    let cases: [(Format, &[u8]); 8] = [
        (Format::JSONEachRow, b"{\"user_id\": 1, \"url\": \"no end\n"),
        (Format::JSONEachRow, b"{\"user_id\": \"twelve\"}\n"),
        (Format::JSONEachRow, b"[1, 2]\n"),
        (Format::TabSeparated, b"twelve\t2020-01-01 00:00:00\tu\tc\t1\tp\n"),
        (Format::TabSeparated, b"1\t2020-01-01 00:00:00\n"),
        (Format::CSV, b"1,\"2020-01-01 00:00:00\",\"never closed\n"),
        (Format::Values, b"(1, '2020-01-01 00:00:00', 'u', 'c', 1\n"),
        (Format::RowBinary, b"\x01\0\0"),
    ];
    for (format, bad) in cases {
        let body = [good(format), bad.to_vec()].concat();
        let answer = bed.post(format).body(body).answer();
        let text = answer.text();
        let named = text.contains("row 3001");
        assert!(
            answer.status == 400 && named,
            "{format:?} with {:?}: {answer}",
            String::from_utf8_lossy(bad)
        );
    }
    bed.check_nothing_arrived();
}

#[test]
fn a_body_cut_short_leaves_nothing() {
    let bed = Bed::new();
    for format in Format::ALL {
        let body = body_of(format, rows(1, 0..2_000));
        // Cut after a whole row too: the rows before it are perfect, and still not what was meant.
        let after_a_row = body_of(format, rows(1, 0..1_000)).len();
        for cut in [1, after_a_row - 1, after_a_row, body.len() - 1] {
            check_refused(bed.post(format).chunked_and_cut(&body[..cut]));
            check_refused(bed.post(format).body_announced_as(body.len(), &body[..cut]));
        }
        check_refused(bed.post(format).body_announced_as(body.len() * 2, body));
    }
    bed.check_nothing_arrived();
}

#[test]
fn a_compressed_body_that_is_cut_or_altered_leaves_nothing() {
    let bed = Bed::new();
    let body = body_of(Format::CSV, rows(1, 0..2_000));
    let post = || bed.post(Format::CSV);
    let gzip = gzip_stored(&body);
    for cut in [1, 15, gzip.len() / 2, gzip.len() - 8, gzip.len() - 1] {
        check_refused(post().header("Content-Encoding", "gzip").body(&gzip[..cut]));
    }
    let mut altered = gzip;
    let middle = altered.len() / 2;
    altered[middle] ^= 0x20;
    check_refused(post().header("Content-Encoding", "gzip").body(altered));
    check_refused(post().header("Content-Encoding", "gzip").body(body.clone()));

    let frames = frame(&body);
    let framed = |frames: &[u8]| post().parameter("decompress", "1").body(frames);
    for cut in [1, 16, 20, 25, frames.len() - 1] {
        check_refused(framed(&frames[..cut]));
    }
    let mut altered = frames;
    *altered.last_mut().unwrap() ^= 1;
    check_refused(framed(&altered));
    check_refused(framed(&body));
    bed.check_nothing_arrived();
}

/// Refused with an error, or the connection ends without an answer; never a 200.
#[track_caller]
fn check_refused(request: Request<'_>) {
    if let Ok(answer) = request.send() {
        assert!(answer.status >= 400, "a bad body got {answer}");
    }
}

#[test]
fn every_mistake_of_a_configuration_is_told_at_once_with_its_line() {
    let home = Scratch::new("bad-config");
    let text = "[listen]\nhttp = \"nowhere\"\n\n[spool]\npath = \"spool\"\nsent_retention_tme = \"1h\"\n\n\
                [cluster.main]\n[[cluster.main.shard]]\nname = \"s1\"\nweight = \"heavy\"\nreplica = [ \"a\" ]\n";
    let path = home.write("weir.toml", text).display().to_string();
    for command in ["check", "serve"] {
        let output = weir_command(&[command, "--config", &path]);
        let told = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success(), "weir {command} took it");
        for mistake in [":2:", ":6:", "sent_retention_time", ":11:"] {
            assert!(
                told.contains(mistake),
                "expected {mistake:?} of weir {command} in:\n{told}"
            );
        }
    }
    let nothing = weir_command(&["check", "--config", "/does/not/exist.toml"]);
    assert!(!nothing.status.success());
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("/does/not/exist.toml"));
}
