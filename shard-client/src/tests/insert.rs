use std::io;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::mock::{self, Mock, Reply};
use super::{IMPATIENT, endpoint, impatient_replica, insert_of, replica};
use crate::{
    Class, Failure, InsertRequest, Password, Payload, PayloadError, Phase, Replica, Sent, ServerMark,
    ShardError, Views, Wrote,
};

/// More than all buffers between client and server hold.
fn large() -> Bytes {
    (0..16 * 1024 * 1024u32)
        .map(|n| (n % 251) as u8)
        .collect::<Vec<_>>()
        .into()
}

async fn insert_into(replica: &Replica, payload: &Bytes) -> Result<crate::Inserted, ShardError> {
    replica.insert(insert_of(payload), payload.clone()).await
}

#[tokio::test]
async fn a_batch_arrives_as_one_gzip_member_in_chunks() {
    let mock = Mock::start([Reply::status(
        200,
        "X-ClickHouse-Summary: {\"written_rows\":\"3\"}\r\n",
        "",
    )])
    .await;
    let payload = large();
    let inserted = insert_into(&replica(mock.port), &payload).await.unwrap();
    assert_eq!(inserted.written_rows, Some(3));
    let request = &mock.received(1).await[0];
    assert_eq!(
        request.line(),
        "POST /?query=INSERT%20INTO%20t%20%28a%29%20FORMAT%20RowBinary&query_id=batch-1&database=db&decompress=1&async_insert=0 HTTP/1.1"
    );
    assert_eq!(request.header("content-encoding"), Some("gzip"));
    assert_eq!(request.header("transfer-encoding"), Some("chunked"));
    assert_eq!(
        (
            request.header("x-clickhouse-user"),
            request.header("x-clickhouse-key")
        ),
        { (Some("writer"), Some("secret")) }
    );
    assert!(request.whole && request.unpacked().unwrap() == payload);
}

#[tokio::test]
async fn a_bare_batch_arrives_as_it_is() {
    let mock = Mock::start([Reply::ok("")]).await;
    let payload = Bytes::from_static(b"frames");
    let insert = InsertRequest {
        envelope: false,
        ..insert_of(&payload)
    };
    let inserted = replica(mock.port).insert(insert, payload).await.unwrap();
    assert_eq!(inserted.written_rows, None);
    let request = &mock.received(1).await[0];
    assert_eq!(
        (request.header("content-encoding"), request.body.as_slice()),
        (None, &b"frames"[..])
    );
}

#[track_caller]
fn check_refused(error: &ShardError, code: u32, text: &str, sent: Sent) {
    let server = error.server().unwrap_or_else(|| panic!("{error}"));
    assert_eq!(
        (server.code, server.text.as_str(), error.sent),
        (code, text, sent)
    );
}

const NO_TABLE: &str = "Code: 60, e.displayText() = DB::Exception: No table, e.what() = DB::Exception\n";

#[tokio::test]
async fn a_refusal_in_the_middle_of_the_upload_is_heard_although_the_server_hangs_up() {
    // Many times, since it is a race between the answer and the reset.
    for _ in 0..20 {
        let mock = Mock::start([Reply::status(404, "", NO_TABLE).after(200_000).then_close()]).await;
        let error = insert_into(&replica(mock.port), &large()).await.unwrap_err();
        check_refused(&error, 60, "No table", Sent::Part { ends_itself: true });
        assert_eq!(error.wrote(Views::Possible), Wrote::Nothing);
    }
}

#[tokio::test]
async fn a_refusal_in_the_middle_of_the_upload_is_heard_although_the_server_reads_no_further() {
    let mock = Mock::start([Reply::status(404, "", NO_TABLE).after(200_000).then_hang()]).await;
    let error = insert_into(&replica(mock.port), &large()).await.unwrap_err();
    check_refused(&error, 60, "No table", Sent::Part { ends_itself: true });
}

#[tokio::test]
async fn a_server_that_stops_reading_times_out_and_took_nothing() {
    let mock = Mock::start([Reply::raw("").after(100_000).then_hang()]).await;
    let error = insert_into(&impatient_replica(mock.port), &large())
        .await
        .unwrap_err();
    assert!(
        matches!(error.failure, Failure::Timeout { phase: Phase::Answer, after } if after == IMPATIENT),
        "{error}"
    );
    assert_eq!(
        (error.sent, error.wrote(Views::Possible)),
        (Sent::Part { ends_itself: true }, Wrote::Nothing)
    );
}

#[tokio::test]
async fn a_slow_payload_does_not_time_out_while_it_moves() {
    let mock = Mock::start([Reply::ok("")]).await;
    let (send, receive) = mpsc::channel(1);
    let payload = Bytes::from_static(b"12345678");
    let insert = insert_of(&payload);
    tokio::spawn(async move {
        for piece in payload.chunks(1) {
            tokio::time::sleep(IMPATIENT / 3).await;
            send.send(Ok(Bytes::copy_from_slice(piece))).await.unwrap();
        }
    });
    impatient_replica(mock.port)
        .insert(insert, receive)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_whole_body_without_an_answer_leaves_the_outcome_unknown() {
    let mock = Mock::start([Reply::raw("").then_close(), Reply::raw("").then_hang()]).await;
    let payload = Bytes::from_static(b"frames");
    let cut = insert_into(&impatient_replica(mock.port), &payload)
        .await
        .unwrap_err();
    assert!(matches!(cut.failure, Failure::Cut(_)), "{cut}");
    let silent = insert_into(&impatient_replica(mock.port), &payload)
        .await
        .unwrap_err();
    assert!(
        matches!(
            silent.failure,
            Failure::Timeout {
                phase: Phase::Answer,
                ..
            }
        ),
        "{silent}"
    );
    for error in [cut, silent] {
        assert_eq!(
            (error.sent, error.wrote(Views::None)),
            (Sent::Whole, Wrote::Unknown)
        );
        assert!(error.blames_replica());
    }
}

#[tokio::test]
async fn a_payload_that_changed_is_cut_on_the_wire() {
    let mock = Mock::start([Reply::ok("")]).await;
    let payload = large();
    let insert = InsertRequest {
        payload_crc32: 1,
        ..insert_of(&payload)
    };
    let (send, receive) = mpsc::channel(1);
    tokio::spawn(async move {
        for piece in payload.chunks(1_000_000) {
            let _ = send.send(Ok(Bytes::copy_from_slice(piece))).await;
        }
    });
    let error = replica(mock.port).insert(insert, receive).await.unwrap_err();
    assert!(
        matches!(error.failure, Failure::Payload(PayloadError::Changed { .. })),
        "{error}"
    );
    assert_eq!(error.wrote(Views::Possible), Wrote::Nothing);
    let request = &mock.received(1).await[0];
    assert!(!request.whole && request.unpacked().is_err());
}

#[tokio::test]
async fn a_payload_that_cannot_be_read_is_cut_on_the_wire() {
    let mock = Mock::start([Reply::ok("")]).await;
    let (send, receive) = mpsc::channel(2);
    send.send(Ok(large().slice(..1_000_000))).await.unwrap();
    send.send(Err(io::Error::other("disk gone"))).await.unwrap();
    let error = replica(mock.port)
        .insert(insert_of(&large()), receive)
        .await
        .unwrap_err();
    assert_eq!(
        error.failure.to_string(),
        "the payload could not be read: disk gone"
    );
    assert!(!mock.received(1).await[0].whole);
}

#[tokio::test]
async fn an_insert_that_is_given_up_is_cut_on_the_wire() {
    let mock = Mock::start([Reply::ok("")]).await;
    let (send, receive) = mpsc::channel(1);
    send.send(Ok(Bytes::from_static(b"begun"))).await.unwrap();
    let insert = InsertRequest {
        payload_bytes: 100,
        ..insert_of(&Bytes::new())
    };
    let given_up = tokio::time::timeout(
        IMPATIENT,
        replica(mock.port).insert(insert, Payload::from(receive)),
    )
    .await;
    assert!(given_up.is_err());
    assert!(!mock.received(1).await[0].whole);
    drop(send);
}

#[tokio::test]
async fn a_success_before_the_end_of_the_body_is_none() {
    let mock = Mock::start([Reply::ok("").after(200_000).then_hang()]).await;
    let error = insert_into(&replica(mock.port), &large()).await.unwrap_err();
    assert!(matches!(error.failure, Failure::Protocol(_)), "{error}");
    assert_eq!(error.wrote(Views::None), Wrote::Unknown);
}

#[tokio::test]
async fn a_200_with_an_exception_inside_is_a_failure() {
    let body = "\r\n__exception__\r\nabc\r\nCode: 241. DB::Exception: No memory. (MEMORY_LIMIT_EXCEEDED)\n55 abc\r\n__exception__\r\n";
    let mock = Mock::start([Reply::status(200, "X-ClickHouse-Exception-Tag: abc\r\n", body)]).await;
    let error = insert_into(&replica(mock.port), &Bytes::from_static(b"x"))
        .await
        .unwrap_err();
    check_refused(&error, 241, "No memory.", Sent::Whole);
    assert_eq!(error.wrote(Views::None), Wrote::Unknown);
}

#[tokio::test]
async fn the_code_of_an_answer_that_was_cut_still_counts() {
    let answer = "HTTP/1.1 500 X\r\nX-ClickHouse-Exception-Code: 27\r\nContent-Length: 1000\r\n\r\nCode: 27. DB::Exception: Ca";
    let mock = Mock::start([Reply::raw(answer).then_close()]).await;
    let error = insert_into(&replica(mock.port), &Bytes::from_static(b"x"))
        .await
        .unwrap_err();
    check_refused(&error, 27, "Ca", Sent::Whole);
    assert_eq!(error.class(), Class::Rows);
}

#[tokio::test]
async fn a_replica_that_is_not_there_took_nothing() {
    let port = Mock::start([]).await.port;
    tokio::time::sleep(IMPATIENT).await;
    let error = insert_into(&replica(port), &Bytes::from_static(b"x"))
        .await
        .unwrap_err();
    assert!(matches!(error.failure, Failure::Connect(_)), "{error}");
    assert_eq!(
        (error.sent, error.wrote(Views::Possible)),
        (Sent::Nothing, Wrote::Nothing)
    );
    assert!(
        error
            .to_string()
            .starts_with(&format!("127.0.0.1:{port}: cannot connect: ")),
        "{error}"
    );
}

#[tokio::test]
async fn a_password_that_cannot_be_read_is_an_error_and_not_an_empty_password() {
    let password = Password::from_fn(|| Err(io::Error::other("no such file")));
    let replica = Replica::new(
        crate::Endpoint {
            password,
            ..endpoint(1)
        },
        1,
    )
    .unwrap();
    let error = insert_into(&replica, &Bytes::from_static(b"x"))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "127.0.0.1:1: no credentials: no such file");
    assert_eq!(error.class(), Class::Destination);
}

/// What became of an INSERT for the server `u1`, and the heads of all that was asked.
async fn insert_for_u1(script: Vec<Reply>) -> (Result<(), ShardError>, Vec<String>) {
    let count = script.len();
    let mock = Mock::start(script).await;
    let payload = Bytes::from_static(b"rows");
    let insert = InsertRequest {
        server: Some(ServerMark::Uuid("u1".to_owned())),
        ..insert_of(&payload)
    };
    let result = replica(mock.port).insert(insert, payload).await;
    let received = mock.received(count).await;
    let text = |request: mock::Received| String::from_utf8_lossy(&request.body).into_owned();
    (result.map(drop), received.into_iter().map(text).collect())
}

#[tokio::test]
async fn a_new_connection_asks_who_is_there_before_an_insert_for_one_server() {
    let (result, asked) = insert_for_u1(vec![Reply::ok("u1\n"), Reply::ok("")]).await;
    assert!(result.is_ok(), "{result:?}");
    assert!(asked[0].starts_with("SELECT serverUUID()"), "{asked:?}");
}

#[tokio::test]
async fn another_server_gets_nothing_of_an_insert() {
    let (result, _) = insert_for_u1(vec![Reply::ok("u2\n")]).await;
    let error = result.unwrap_err();
    assert!(matches!(error.failure, Failure::OtherServer { .. }), "{error}");
    assert_eq!(
        (error.sent, error.wrote(Views::Possible)),
        (Sent::Nothing, Wrote::Nothing)
    );
    assert!(
        error
            .to_string()
            .contains("serverUUID u2 answers there, where serverUUID u1 did"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_does_not_let_one_ask_got_nothing_either() {
    let refused = Reply::status(
        403,
        "X-ClickHouse-Exception-Code: 516\r\n",
        "Code: 516. DB::Exception: wrong password",
    );
    let (result, _) = insert_for_u1(vec![refused]).await;
    let error = result.unwrap_err();
    assert_eq!(
        (error.server().unwrap().code, error.wrote(Views::Possible)),
        (516, Wrote::Nothing)
    );
}

#[tokio::test]
async fn a_server_that_keeps_no_connection_is_looked_at_on_the_one_before() {
    let (result, asked) = insert_for_u1(vec![Reply::ok("u1\n").then_close(), Reply::ok("")]).await;
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(asked.len(), 2);
    let says_so = Reply::status(200, "Connection: close\r\n", "u1\n").then_close();
    let (result, _) = insert_for_u1(vec![says_so, Reply::ok("")]).await;
    assert!(result.is_ok(), "{result:?}");
}

#[tokio::test]
async fn a_connection_is_asked_once() {
    let mock = Mock::start([Reply::ok("u1\n"), Reply::ok(""), Reply::ok("")]).await;
    let replica = replica(mock.port);
    let payload = Bytes::from_static(b"rows");
    for _ in 0..2 {
        let insert = InsertRequest {
            server: Some(ServerMark::Uuid("u1".to_owned())),
            ..insert_of(&payload)
        };
        replica.insert(insert, payload.clone()).await.unwrap();
    }
    assert!(
        mock.received(3)
            .await
            .iter()
            .all(|request| request.connection == 0)
    );
}
