use std::time::Duration;

use super::mock::{Mock, Reply};
use super::{IMPATIENT, endpoint, replica};
use crate::{Endpoint, Failure, Phase, Replica};

/// The connection that each of these replies was given on, one query after the other.
async fn connections(script: Vec<Reply>) -> Vec<usize> {
    let count = script.len();
    let mock = Mock::start(script).await;
    let replica = replica(mock.port);
    for _ in 0..count {
        let _ = replica.query("SELECT 1", &[]).await;
        // The server's close needs a moment to arrive.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    mock.received(count)
        .await
        .iter()
        .map(|request| request.connection)
        .collect()
}

#[tokio::test]
async fn a_connection_is_used_again() {
    assert_eq!(
        connections(vec![
            Reply::ok("1"),
            Reply::status(404, "", "Code: 60."),
            Reply::ok("1")
        ])
        .await,
        [0, 0, 0]
    );
}

#[tokio::test]
async fn a_connection_that_the_server_closed_is_replaced_in_silence() {
    assert_eq!(
        connections(vec![Reply::ok("1").then_close(), Reply::ok("1")]).await,
        [0, 1]
    );
    let close = Reply::status(200, "Connection: close\r\n", "1");
    assert_eq!(
        connections(vec![close.then_close(), Reply::ok("1")]).await,
        [0, 1]
    );
}

#[tokio::test]
async fn a_connection_that_the_server_is_about_to_close_is_not_used() {
    let soon = Reply::status(200, "Keep-Alive: timeout=1\r\n", "1");
    assert_eq!(connections(vec![soon, Reply::ok("1")]).await, [0, 1]);
    let later = Reply::status(200, "Keep-Alive: timeout=3\r\n", "1");
    assert_eq!(connections(vec![later, Reply::ok("1")]).await, [0, 0]);
}

#[tokio::test]
async fn a_connection_whose_answer_was_not_read_to_its_end_is_not_used() {
    let long = Reply::status(502, "", &"x".repeat(1_000_000));
    assert_eq!(connections(vec![long, Reply::ok("1")]).await, [0, 1]);
}

fn single(port: u16, receive_timeout: Duration) -> Replica {
    Replica::new(
        Endpoint {
            receive_timeout,
            ..endpoint(port)
        },
        1,
    )
    .unwrap()
}

#[tokio::test]
async fn a_request_beyond_the_limit_waits_for_a_connection() {
    let mock = Mock::start([Reply::ok("1"), Reply::ok("2")]).await;
    let replica = single(mock.port, super::PATIENT);
    let (first, second) = tokio::join!(replica.query("SELECT 1", &[]), replica.query("SELECT 2", &[]));
    assert!(first.is_ok() && second.is_ok());
    let received = mock.received(2).await;
    assert_eq!((received[0].connection, received[1].connection), (0, 0));
}

#[tokio::test]
async fn a_request_that_gets_no_connection_says_so_and_a_ping_needs_none() {
    let mock = Mock::start([
        Reply::raw("HTTP/1.1 200 OK\r\n\r\n").then_hang(),
        Reply::ok("Ok.\n"),
    ])
    .await;
    let replica = single(mock.port, IMPATIENT);
    let request = http::Request::get("/")
        .body(http_body_util::Empty::new())
        .unwrap();
    let held = replica.forward(request).await.unwrap();
    let error = replica.query("SELECT 1", &[]).await.unwrap_err();
    assert!(
        matches!(
            error.failure,
            Failure::Timeout {
                phase: Phase::Connection,
                ..
            }
        ),
        "{error}"
    );
    replica.ping().await.unwrap();
    drop(held);
}
