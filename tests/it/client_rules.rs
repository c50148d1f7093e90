//! What unchanged clients depend on (reference/peers-and-clients.md, section 6): a test a rule, on a real server.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use support::{Answer, ClickHouse18, Fingerprint, Format, Weir, body_of, frame, gzip_stored, rows};

use crate::setup::{DELIVERY_LIMIT, TABLE, TARGET, first_is_local, insert, on_all, plain_servers, weir};

struct Bed {
    servers: Vec<ClickHouse18>,
    weir: Weir,
}

impl Bed {
    fn of(servers: usize) -> Self {
        let servers = plain_servers(servers);
        let weights = vec![1; servers.len()];
        let weir = weir(true, &first_is_local(&servers, &weights));
        Self { servers, weir }
    }

    fn new() -> Self {
        Self::of(1)
    }

    /// What arrived so far is these batches of 100 rows.
    #[track_caller]
    fn check_arrived(&self, batches: impl IntoIterator<Item = u64>) {
        self.weir.wait_until_delivered(DELIVERY_LIMIT);
        let expected: Fingerprint = batches
            .into_iter()
            .map(|batch| Fingerprint::of(rows(batch, 0..100)))
            .sum();
        assert_eq!(on_all(&self.servers, TARGET), expected);
    }
}

fn csv(batch: u64) -> Vec<u8> {
    body_of(Format::CSV, rows(batch, 0..100))
}

#[track_caller]
fn check_refused(answer: &Answer, status: u16, code: u32, words: &str) {
    assert!(
        answer.status == status && answer.code() == Some(code),
        "expected {status} and {code}, got {answer}"
    );
    let text = answer.text();
    assert!(
        text.starts_with(&format!("Code: {code}. DB::Exception: ")),
        "{text}"
    );
    assert!(text.contains(words), "expected {words:?} in: {text}");
}

/// Rule 1.
#[test]
fn the_statement_may_stand_in_the_url_the_body_a_compressed_body_or_half_in_each() {
    let bed = Bed::new();
    let http = &bed.weir.http;
    let statement = insert(TABLE, Format::CSV);
    let whole = |batch| [statement.as_bytes(), b"\n", &csv(batch)].concat();
    http.insert(&statement, csv(1)).expect_success();
    http.request("POST", "/").body(whole(2)).answer().expect_success();
    http.request("POST", "/?query=")
        .body(whole(3))
        .answer()
        .expect_success();
    let half = [b"FORMAT CSV\n", &csv(4)[..]].concat();
    http.insert(&format!("INSERT INTO {TABLE}"), half)
        .expect_success();
    http.request("POST", "/")
        .header("Content-Encoding", "gzip")
        .body(gzip_stored(&whole(5)))
        .answer()
        .expect_success();
    http.request("POST", "/?decompress=1")
        .body(frame(&whole(6)))
        .answer()
        .expect_success();
    http.request("POST", "/?decompress=1")
        .header("Content-Encoding", "gzip")
        .body(gzip_stored(&frame(&whole(7))))
        .answer()
        .expect_success();
    bed.check_arrived(1..=7);
}

/// Rule 2: two columns, 20,000 rows, as the decoders' own samples have them.
#[test]
fn every_encoding_is_taken_and_concatenated_frames_lose_no_row() {
    macro_rules! sample {
        ($encoding:literal, $name:literal) => {
            (
                $encoding,
                &include_bytes!(concat!("../../router/src/http/decode/samples/", $name))[..],
            )
        };
    }
    let bed = Bed::new();
    let bodies = [
        sample!("gzip", "text.gz"),
        sample!("deflate", "text.deflate"),
        sample!("br", "text.br"),
        sample!("zstd", "text.zst"),
        sample!("lz4", "linked.lz4"),
        sample!("xz", "text.xz"),
        sample!("bz2", "text.bz2"),
    ];
    for (encoding, body) in bodies {
        let answer = bed
            .weir
            .http
            .post(&format!(
                "INSERT INTO {TABLE} (user_id, duration) FORMAT TabSeparated"
            ))
            .header("Content-Encoding", encoding)
            .body([body, body].concat())
            .answer()
            .expect_success();
        let summary = answer
            .header("x-clickhouse-summary")
            .unwrap_or_default()
            .to_owned();
        assert!(
            summary.contains(r#""written_rows":"40000""#),
            "{encoding}: {summary}"
        );
    }
    bed.weir.wait_until_delivered(DELIVERY_LIMIT);
    let held = bed.servers[0].http.query(&format!(
        "SELECT count(), sum(user_id), sum(duration) FROM {TARGET}"
    ));
    let times = 2 * bodies.len() as u64;
    let user_ids: u64 = (0..20_000).map(|n| n / 8).sum();
    let durations: u64 = (0..20_000).map(|n| n * 7919 % 97).sum();
    let expected = [20_000, user_ids, durations].map(|sum| (sum * times).to_string());
    assert_eq!(held.trim(), expected.join("\t"));
}

/// Rule 2, what cannot be decoded.
#[test]
fn what_cannot_be_decoded_is_refused_with_clickhouse_s_code_and_leaves_nothing() {
    let bed = Bed::new();
    let post = || bed.weir.http.post(&insert(TABLE, Format::CSV));
    let unknown = post()
        .header("Content-Encoding", "compress")
        .body(csv(1))
        .answer();
    check_refused(&unknown, 400, 48, "compress");
    let zstd = post().header("Content-Encoding", "zstd").body(csv(1)).answer();
    check_refused(&zstd, 400, 561, "zstd");
    let mut altered = frame(&csv(1));
    *altered.last_mut().unwrap() ^= 1;
    let checksum = post().parameter("decompress", "1").body(altered).answer();
    check_refused(&checksum, 400, 40, "checksum");
    let mut absurd = frame(&csv(1));
    absurd[21..25].copy_from_slice(&u32::MAX.to_le_bytes());
    check_refused(
        &post().parameter("decompress", "1").body(absurd).answer(),
        400,
        39,
        "the limit",
    );
    bed.check_arrived([]);
}

/// Rule 2, what decodes to too much: 300 rows of a megabyte that gzip makes a thousandth of.
#[test]
fn a_bomb_fills_neither_memory_nor_disk() {
    let bed = Bed::new();
    let row = [b"1\t", &[b'x'; 1 << 20][..], b"\n"].concat();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    (0..300).for_each(|_| encoder.write_all(&row).unwrap());
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 1 << 20);
    let before = bed.weir.peak_memory_bytes();
    let answer = bed
        .weir
        .http
        .post(&format!(
            "INSERT INTO {TABLE} (user_id, payload) FORMAT TabSeparated"
        ))
        .header("Content-Encoding", "gzip")
        .body(bomb)
        .answer();
    check_refused(&answer, 400, 307, "EXPANSION_MAX");
    let grown = bed.weir.peak_memory_bytes() - before;
    assert!(grown < 160 << 20, "{grown} bytes more than before");
    bed.check_arrived([]);
}

/// Rule 4.
#[test]
fn identifiers_come_from_parameters_as_vector_sends_them() {
    let bed = Bed::new();
    bed.weir
        .http
        .post("INSERT INTO {database:Identifier}.{table:Identifier} FORMAT CSV")
        .parameter("param_database", "default")
        .parameter("param_table", "hits")
        .body(csv(1))
        .answer()
        .expect_success();
    let described = bed
        .weir
        .http
        .post("DESCRIBE TABLE {table:Identifier}")
        .parameter("param_table", "hits")
        .answer()
        .expect_success();
    assert!(described.text().starts_with("user_id\tUInt64"), "{described}");
    let unset = bed
        .weir
        .http
        .insert("INSERT INTO {table:Identifier} FORMAT CSV", csv(1));
    check_refused(&unset, 400, 456, "`table` is not set");
    bed.check_arrived([1]);
}

/// Rule 4: the columns of a table that exists only in Weir are its target's.
#[test]
fn a_table_that_only_weir_has_exists_and_has_columns() {
    let bed = Bed::new();
    let ask = |statement: &str| {
        let request = bed.weir.http.post(statement);
        let request = request
            .parameter("param_db", "default")
            .parameter("param_t", "hits");
        request.answer().expect_success().text()
    };
    for statement in ["EXISTS TABLE hits", "EXISTS {db:Identifier}.{t:Identifier}"] {
        assert_eq!(ask(statement), "1\n", "{statement}");
    }
    assert_eq!(ask_plainly(&bed, "EXISTS TABLE default.hits"), "1\n");
    assert_eq!(ask_plainly(&bed, "EXISTS TABLE nowhere"), "0\n");
    let columns = "SELECT name, type FROM system.columns WHERE database = {db:String} AND table = {t:String}";
    let told = ask(&format!("{columns} FORMAT TabSeparated"));
    assert!(
        told.contains("user_id\tUInt64\n") && told.contains("payload\tString\n"),
        "{told}"
    );
}

fn ask_plainly(bed: &Bed, statement: &str) -> String {
    bed.weir.http.post(statement).answer().expect_success().text()
}

/// Values that come as parameters are in the rows, which wait and are sent without them.
#[test]
fn parameters_in_values_are_written_into_the_rows() {
    let bed = Bed::of(2);
    let columns = "user_id, ts, url, country, duration, payload";
    let row = "({id:UInt64}, {at:String}, concat({s:String}, '!'), {s:String}, {d:Float64}, '{s:String}')";
    let post = |body: &str| {
        let statement = format!("INSERT INTO {TABLE} ({columns}) VALUES {body}");
        let request = bed.weir.http.request("POST", "/").body(statement);
        let request = request.parameter("param_id", "77").parameter("param_s", "it\\'s");
        let request = request.parameter("param_at", "2020-01-01 00:00:00");
        request.parameter("param_d", "5").answer()
    };
    post(&format!("{row}, (78, 0, '', '', 0, '')")).expect_success();
    check_refused(
        &post("({nope:UInt64}, 0, '', '', 0, '')"),
        400,
        456,
        "`nope` is not set",
    );
    check_refused(&post("({s:UInt64}, 0, '', '', 0, '')"), 400, 457, "parameter s");
    bed.weir.wait_until_delivered(DELIVERY_LIMIT);
    let query = format!("SELECT url, country, duration, payload FROM {TARGET} WHERE user_id = 77");
    let held: String = bed
        .servers
        .iter()
        .map(|server| server.http.query(&query))
        .collect();
    assert_eq!(held.trim(), "it\\'s!\tit\\'s\t5\t{s:String}");
}

/// Rule 4, the other shapes of names.
#[test]
fn names_in_every_quoting_and_keywords_in_any_case_are_understood() {
    let bed = Bed::new();
    let statements = [
        "INSERT INTO `default`.`hits` FORMAT CSV",
        "insert into table \"hits\" format CSV",
        "/* a */ INSERT INTO hits -- b\n (user_id, ts, url, country, duration, payload) FORMAT CSV",
        "INSERT INTO hits SETTINGS async_insert = 1, wait_for_async_insert = 0 FORMAT CSV;",
        "INSERT INTO hits(`user_id`,`ts`,`url`,`country`,`duration`,`payload`) FORMAT CSV",
    ];
    for (statement, batch) in statements.iter().zip(1..) {
        bed.weir.http.insert(statement, csv(batch)).expect_success();
    }
    bed.check_arrived(1..=5);
}

/// Rule 5.
#[test]
fn success_is_exactly_200_with_an_empty_body_and_the_clients_query_id() {
    let bed = Bed::new();
    let answer = bed
        .weir
        .http
        .post(&insert(TABLE, Format::CSV))
        .parameter("query_id", "q-1")
        .body(csv(1))
        .answer();
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b""[..]));
    assert_eq!(answer.header("x-clickhouse-query-id"), Some("q-1"));
    let summary = answer.header("x-clickhouse-summary").unwrap();
    let summary: serde_json::Value = serde_json::from_str(summary).unwrap();
    assert_eq!(summary["written_rows"], "100");
}

/// Rule 7.
#[test]
fn an_error_of_18_16_comes_in_the_form_of_today() {
    let bed = Bed::new();
    let answer = bed.weir.http.post("SELECT * FROM nowhere").answer();
    check_refused(&answer, answer.status, 60, "(UNKNOWN_TABLE)");
    assert_eq!(answer.header("x-clickhouse-exception-code"), Some("60"));
    assert!(!answer.text().contains("e.what()"), "{answer}");
}

/// Rules 7 and 9: the client's mistake, not the replica's.
#[test]
fn a_read_whose_body_is_cut_is_not_blamed_on_the_replica() {
    let bed = Bed::new();
    let cut = bed
        .weir
        .http
        .request("POST", "/?decompress=1")
        .body(&frame(b"SELECT 1")[..30])
        .answer();
    check_refused(&cut, 400, 33, "cut short");
    // Known for a read before it ended, so that the replica had begun to hear it.
    let half = bed.weir.http.request("POST", "/").chunked_and_cut("SELECT 1 ");
    check_refused(&half.answer(), 400, 33, "cut short");
    let answer = bed
        .weir
        .http
        .request("POST", "/?decompress=1")
        .body(frame(b"SELECT 42"));
    assert_eq!(answer.answer().expect_success().text(), "42\n");
}

/// Rule 13.
#[test]
fn headers_say_format_and_database_and_credentials_are_not_mixed() {
    let bed = Bed::new();
    bed.weir
        .http
        .post("INSERT INTO hits FORMAT CSV")
        .header("X-ClickHouse-Format", "CSV")
        .header("X-ClickHouse-Database", "default")
        .parameter("role", "a")
        .parameter("role", "b")
        .body(csv(1))
        .answer()
        .expect_success();
    let mixed = bed
        .weir
        .http
        .post("SELECT 1")
        .header("X-ClickHouse-User", "default")
        .header("Authorization", "Basic ZGVmYXVsdDo=")
        .answer();
    check_refused(&mixed, 403, 516, "at the same time");
    let bearer = bed
        .weir
        .http
        .post("SELECT 1")
        .header("Authorization", "Bearer x")
        .answer();
    check_refused(&bearer, 403, 516, "Bearer");
    bed.check_arrived([1]);
}

/// Rule 14.
#[test]
fn a_session_stays_on_one_replica_and_its_inserts_run_at_once() {
    let bed = Bed::of(2);
    for (server, number) in bed.servers.iter().zip(0..) {
        server.http.query("CREATE TABLE which (n UInt8) ENGINE = Memory");
        server.http.query(&format!("INSERT INTO which VALUES ({number})"));
    }
    let ask = |session: &str| {
        let request = bed.weir.http.post("SELECT n FROM which");
        let request = match session {
            "" => request,
            session => request.parameter("session_id", session),
        };
        request.answer().expect_success().text()
    };
    for session in ["one", "two"] {
        let first = ask(session);
        assert!((0..20).all(|_| ask(session) == first), "{session}");
    }
    let without: std::collections::HashSet<_> = (0..40).map(|_| ask("")).collect();
    assert_eq!(without.len(), 2);
    std::thread::scope(|scope| {
        for batch in 1..=4 {
            let http = &bed.weir.http;
            scope.spawn(move || {
                let request = http.post(&insert(TABLE, Format::CSV));
                let request = request.parameter("session_id", "one").body(csv(batch));
                request.answer().expect_success()
            });
        }
    });
    let temporary = bed
        .weir
        .http
        .post("INSERT INTO mine FORMAT CSV")
        .parameter("session_id", "one")
        .body("1\n")
        .answer();
    check_refused(&temporary, 503, 60, "temporary table");
    bed.check_arrived(1..=4);
}

/// Rule 16.
#[test]
fn answers_say_how_long_a_connection_is_kept_and_a_large_body_is_refused_before_it_is_sent() {
    let bed = Bed::new();
    let kept = bed.weir.http.post("SELECT 1").answer();
    assert_eq!(kept.header("keep-alive"), Some("timeout=100"));
    let mut stream = TcpStream::connect(bed.weir.http.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = "POST /?query=INSERT+INTO+nowhere+FORMAT+CSV HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\
                Content-Length: 1000000000\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 503");
}

/// Rule 17.
#[test]
fn a_url_beyond_the_limit_is_told_so_in_clickhouse_s_form() {
    let bed = Bed::new();
    let values = |rows: usize| {
        let row = |n: usize| format!("({n},'2020-01-01 00:00:00','u','c',1,'p')");
        (0..rows).map(row).collect::<Vec<_>>().join(",")
    };
    let statement = |rows| format!("INSERT INTO {TABLE} VALUES {}", values(rows));
    bed.weir.http.post(&statement(200)).answer().expect_success();
    for rows in [2_000, 20_000] {
        let answer = bed.weir.http.post(&statement(rows)).answer();
        assert!(matches!(answer.status, 414 | 431), "{answer}");
        check_refused(&answer, answer.status, 229, "request's body");
    }
    bed.weir.wait_until_delivered(DELIVERY_LIMIT);
    let held = bed.servers[0]
        .http
        .query(&format!("SELECT count() FROM {TARGET}"));
    assert_eq!(held.trim(), "200");
}

/// Rule 17.
#[test]
fn a_multipart_form_holds_the_query_and_its_parameters() {
    let bed = Bed::new();
    let form = |parts: &[(&str, &str)]| {
        let part = |(name, content): &(&str, &str)| {
            format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{content}\r\n")
        };
        let body = parts.iter().map(part).collect::<String>() + "--xyz--\r\n";
        bed.weir
            .http
            .request("POST", "/")
            .header("Content-Type", "multipart/form-data; boundary=xyz")
            .body(body)
            .answer()
    };
    let values = "(1,'2020-01-01 00:00:00','u','c',1,'p')";
    form(&[
        ("query", &format!("INSERT INTO {{t:Identifier}} VALUES {values}")),
        ("param_t", "hits"),
    ])
    .expect_success();
    check_refused(&form(&[("query", "DROP TABLE hits_local")]), 501, 48, "DROP");
    check_refused(
        &form(&[("query", "SELECT 1"), ("query", "DROP TABLE hits_local")]),
        400,
        36,
        "two parts",
    );
    bed.weir.wait_until_delivered(DELIVERY_LIMIT);
    let read = form(&[("query", &format!("SELECT count() FROM {TARGET}"))]).expect_success();
    assert_eq!(read.text(), "1\n");
}

/// Rule 18.
#[test]
fn a_compressed_answer_passes_byte_by_byte() {
    let bed = Bed::new();
    let query = "SELECT number, toString(number) FROM system.numbers LIMIT 1000000";
    let ask = |http: &support::Endpoint| {
        http.post(query)
            .parameter("compress", "1")
            .answer()
            .expect_success()
    };
    let (direct, passed) = (ask(&bed.servers[0].http), ask(&bed.weir.http));
    // 18.16 forgets the last block of such an answer, and so all of a short one.
    assert!(direct.body.len() > 1_000_000, "{} bytes", direct.body.len());
    assert!(direct.body == passed.body);
}

/// Rule 19.
#[test]
fn what_cannot_be_split_is_refused_with_its_reason() {
    let bed = Bed::new();
    let function = bed
        .weir
        .http
        .insert("INSERT INTO FUNCTION remote('h', default.t) VALUES", "(1)");
    check_refused(&function, 501, 48, "FUNCTION");
    let infile = bed
        .weir
        .http
        .insert(&format!("INSERT INTO {TABLE} FROM INFILE 'x' FORMAT CSV"), "");
    check_refused(&infile, 501, 48, "INFILE");
    let by_get = bed
        .weir
        .http
        .request("GET", "/")
        .parameter("query", &format!("INSERT INTO {TABLE} VALUES (1)"))
        .answer();
    check_refused(&by_get, 400, 164, "readonly");
    for (statement, words) in [
        ("BEGIN TRANSACTION", "transactions are not supported"),
        ("ROLLBACK", "transactions are not supported"),
        ("CREATE TEMPORARY TABLE t (a UInt8)", "one session on one server"),
        ("DELETE FROM hits WHERE 1", "changes rows"),
        ("OPTIMIZE TABLE hits", "changes rows"),
        ("GRANT SELECT ON *.* TO u", "changes rights"),
        ("CREATE TABLE t (a UInt8) ENGINE = Log", "is DDL"),
    ] {
        check_refused(&bed.weir.http.post(statement).answer(), 501, 48, words);
    }
    let replace = bed.weir.http.post("REPLACE INTO hits VALUES (1)").answer();
    check_refused(&replace, 400, 62, "no REPLACE INTO");
    let page = bed.weir.http.request("GET", "/replicas_status").answer();
    assert_eq!((page.status, page.text().as_str()), (200, "Ok.\n"));
    bed.check_arrived([]);
}
