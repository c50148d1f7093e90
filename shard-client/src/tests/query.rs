use super::mock::{Mock, Reply};
use super::{impatient_replica, replica};
use crate::{ANSWER_BYTES_MAX, DefaultKind, Failure, Phase, ShardError};

#[tokio::test]
async fn a_query_travels_in_the_body_and_its_settings_in_the_url() {
    let mock = Mock::start([Reply::ok("1\n")]).await;
    let answer = replica(mock.port)
        .query("SELECT 1", &[("max_threads", "1")])
        .await
        .unwrap();
    assert_eq!(answer, "1\n");
    let request = &mock.received(1).await[0];
    assert_eq!(
        request.line(),
        "POST /?wait_end_of_query=1&database=db&max_threads=1 HTTP/1.1"
    );
    assert_eq!(request.body, b"SELECT 1");
}

async fn failed(reply: Reply) -> ShardError {
    let mock = Mock::start([reply]).await;
    impatient_replica(mock.port)
        .query("SELECT 1", &[])
        .await
        .unwrap_err()
}

#[tokio::test]
async fn an_answer_beyond_its_limit_is_refused() {
    let error = failed(Reply::ok(&"x".repeat(ANSWER_BYTES_MAX + 1))).await;
    assert_eq!(
        error.failure.to_string(),
        "unexpected answer: an answer of more than 16777216 bytes"
    );
}

#[tokio::test]
async fn an_error_page_beyond_its_limit_is_reported_by_its_beginning() {
    let error = failed(Reply::status(
        502,
        "",
        &format!("bad gateway\n{}", "x".repeat(1_000_000)),
    ))
    .await;
    assert_eq!(
        error.failure.to_string(),
        "status 502, not from clickhouse: bad gateway"
    );
}

#[tokio::test]
async fn an_answer_that_stalls_times_out() {
    let error = failed(Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").then_hang()).await;
    assert!(
        matches!(
            error.failure,
            Failure::Timeout {
                phase: Phase::Body,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn an_answer_that_is_cut_is_no_answer() {
    let error = failed(Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").then_close()).await;
    assert!(matches!(error.failure, Failure::Cut(_)), "{error}");
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_told_as_such() {
    let error = failed(Reply::raw("SSH-2.0-OpenSSH_9.2\r\n\r\n").then_close()).await;
    assert!(matches!(error.failure, Failure::Protocol(_)), "{error}");
}

#[tokio::test]
async fn a_ping_needs_no_user() {
    let mock = Mock::start([Reply::ok("Ok.\n")]).await;
    replica(mock.port).ping().await.unwrap();
    let request = &mock.received(1).await[0];
    assert_eq!(
        (request.line(), request.header("x-clickhouse-user")),
        ("GET /ping HTTP/1.1", None)
    );
}

#[tokio::test]
async fn the_facts_of_a_modern_server_are_read() {
    let mock = Mock::start([
        Reply::ok("26.9.1.1\tEurope/Berlin\tch-01\n"),
        Reply::ok("2d1c2b1e-0000-0000-0000-000000000001\n"),
        Reply::ok("s01\n"),
        Reply::ok("async_insert\nmax_insert_threads\n"),
        Reply::ok("format_csv_delimiter\n"),
        Reply::ok("CSV\nMsgPack\n"),
    ])
    .await;
    let facts = replica(mock.port).facts(&["flatten_nested"]).await.unwrap();
    assert_eq!(
        (facts.version.to_string().as_str(), facts.timezone.as_str()),
        ("26.9.1.1", "Europe/Berlin")
    );
    assert_eq!(facts.host_name, "ch-01");
    assert_eq!(
        facts.server_uuid.as_deref(),
        Some("2d1c2b1e-0000-0000-0000-000000000001")
    );
    assert_eq!(facts.shard_macro.as_deref(), Some("s01"));
    assert_eq!(
        facts.known_settings,
        ["async_insert", "max_insert_threads"].map(str::to_owned).into()
    );
    assert!(facts.reads_format("MsgPack") && !facts.reads_format("BSONEachRow"));
    assert_eq!(
        facts.format_settings,
        Some(["format_csv_delimiter".to_owned()].into())
    );
    let asked = String::from_utf8(mock.received(6).await[3].body.clone()).unwrap();
    assert!(
        asked.contains("'insert_deduplication_token', 'flatten_nested')"),
        "{asked}"
    );
}

#[tokio::test]
async fn the_facts_of_a_server_without_uuid_and_macro_are_read() {
    let unknown =
        "Code: 46, e.displayText() = DB::Exception: Unknown function serverUUID, e.what() = DB::Exception";
    let mock = Mock::start([
        Reply::ok("18.16.1\tUTC\tvm\n"),
        Reply::status(404, "", unknown),
        Reply::ok(""),
        Reply::ok("max_insert_block_size\n"),
        Reply::ok(""),
        Reply::status(404, "", "Code: 60, e.displayText() = DB::Exception: Table system.formats doesn't exist., e.what() = DB::Exception"),
    ])
    .await;
    let facts = replica(mock.port).facts(&[]).await.unwrap();
    assert!(facts.reads_format("CSV") && !facts.reads_format("MsgPack"));
    assert_eq!((facts.server_uuid, facts.shard_macro), (None, None));
}

#[tokio::test]
async fn facts_are_not_guessed_while_the_server_is_overloaded() {
    let busy = "Code: 202. DB::Exception: Too many simultaneous queries. (TOO_MANY_SIMULTANEOUS_QUERIES)";
    let mock = Mock::start([Reply::ok("26.9.1.1\tUTC\tvm\n"), Reply::status(500, "", busy)]).await;
    let error = replica(mock.port).facts(&[]).await.unwrap_err();
    assert_eq!(error.server().map(|server| server.code), Some(202));
}

#[tokio::test]
async fn a_table_is_described_by_its_quoted_name() {
    let mock = Mock::start([Reply::ok("id\tUInt64\t\t\t\nd\tDate\tDEFAULT\ttoday()\t\n")]).await;
    let columns = replica(mock.port).describe("my db", "t`1").await.unwrap();
    assert_eq!(
        columns
            .iter()
            .map(|column| column.default_kind)
            .collect::<Vec<_>>(),
        { [DefaultKind::None, DefaultKind::Default] }
    );
    assert_eq!(
        mock.received(1).await[0].body,
        b"DESCRIBE TABLE `my db`.`t\\`1` FORMAT TabSeparated"
    );
}
