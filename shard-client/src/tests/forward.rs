use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty, Full};

use super::mock::{Mock, Reply};
use super::{PATIENT, impatient_replica, replica};
use crate::{Failure, Password, Payload, Phase};

#[tokio::test]
async fn a_request_and_its_answer_pass_unchanged_but_for_the_connections_own_headers() {
    let headers = "X-ClickHouse-Format: CSV\r\nConnection: keep-alive\r\nKeep-Alive: timeout=3\r\n";
    let mock = Mock::start([Reply::status(404, headers, "Code: 60. gone")]).await;
    let request = Request::post("http://client.example/p?query=SELECT%201&x=+")
        .header("Host", "client.example")
        .header("Authorization", "Basic Zm9v")
        .header("Connection", "close, X-Trace")
        .header("X-Trace", "1")
        .header("Expect", "100-continue")
        .body(Full::new(Bytes::from_static(b"data")))
        .unwrap();
    let response = replica(mock.port).forward(request).await.unwrap();
    assert_eq!(
        (response.status(), response.headers().get("connection")),
        (http::StatusCode::NOT_FOUND, None)
    );
    assert_eq!(response.headers()["x-clickhouse-format"], "CSV");
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "Code: 60. gone"
    );

    let received = &mock.received(1).await[0];
    assert_eq!(received.line(), "POST /p?query=SELECT%201&x=+ HTTP/1.1");
    assert_eq!(
        received.header("host"),
        Some(format!("127.0.0.1:{}", mock.port).as_str())
    );
    assert_eq!(received.header("authorization"), Some("Basic Zm9v"));
    assert_eq!(received.header("x-clickhouse-user"), None);
    for dropped in ["connection", "x-trace", "expect"] {
        assert_eq!(received.header(dropped), None, "{dropped}");
    }
    assert_eq!(received.body, b"data");
}

#[tokio::test]
async fn a_request_is_passed_on_as_another_user() {
    let mock = Mock::start([Reply::ok("")]).await;
    let request = Request::get("/?user=a&query=SELECT&password=b")
        .header("Authorization", "Basic Zm9v")
        .header("X-ClickHouse-Key", "client")
        .body(Empty::<Bytes>::new())
        .unwrap();
    replica(mock.port)
        .forward_as(request, "reader", &Password::fixed("r"))
        .await
        .unwrap();
    let received = &mock.received(1).await[0];
    assert_eq!(
        (received.line(), received.header("authorization")),
        ("GET /?query=SELECT HTTP/1.1", None)
    );
    assert_eq!(received.header("x-clickhouse-user"), Some("reader"));
    assert_eq!(received.header("x-clickhouse-key"), Some("r"));
}

#[tokio::test]
async fn an_answer_arrives_piece_by_piece() {
    let chunk = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n1\n2\r\n";
    let mock = Mock::start([Reply::raw(chunk).then_hang()]).await;
    let request = Request::get("/").body(Empty::<Bytes>::new()).unwrap();
    let mut body = impatient_replica(mock.port)
        .forward(request)
        .await
        .unwrap()
        .into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "1\n2");
    let stalled = body.frame().await.unwrap().unwrap_err();
    assert!(
        matches!(
            stalled.failure,
            Failure::Timeout {
                phase: Phase::Body,
                ..
            }
        ),
        "{stalled}"
    );
}

#[tokio::test]
async fn a_connection_goes_back_after_a_whole_answer_only() {
    let mock = Mock::start([Reply::ok("whole"), Reply::ok("dropped"), Reply::ok("1")]).await;
    let replica = replica(mock.port);
    let request = || Request::get("/").body(Empty::<Bytes>::new()).unwrap();
    replica
        .forward(request())
        .await
        .unwrap()
        .into_body()
        .collect()
        .await
        .unwrap();
    drop(replica.forward(request()).await.unwrap());
    replica.query("SELECT 1", &[]).await.unwrap();
    let connections: Vec<_> = mock
        .received(3)
        .await
        .iter()
        .map(|request| request.connection)
        .collect();
    assert_eq!(connections, [0, 0, 1]);
}

#[tokio::test]
async fn a_client_that_breaks_off_is_cut_off_on_the_other_side_too() {
    let mock = Mock::start([Reply::ok("")]).await;
    let (send, receive) = tokio::sync::mpsc::channel(2);
    send.send(Ok(vec![b'x'; 1_000_000].into())).await.unwrap();
    send.send(Err(std::io::Error::other("client left")))
        .await
        .unwrap();
    let request = Request::post("/").body(Payload::from(receive)).unwrap();
    let error = tokio::time::timeout(PATIENT, replica(mock.port).forward(request))
        .await
        .unwrap()
        .unwrap_err();
    assert!(error.to_string().contains("client left"), "{error}");
    assert!(!mock.received(1).await[0].whole);
}
