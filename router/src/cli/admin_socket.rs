//! A running router asked through `<spool>/admin.sock`. Whoever may open the socket is trusted.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header::HOST};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use super::CommandError;
use crate::admin::SOCKET_NAME;

/// The largest answer read: a listing of 100,000 destinations.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A running router's admin side.
#[derive(Debug)]
pub struct AdminSocket {
    path: PathBuf,
}

/// What a router answered.
#[derive(Debug)]
pub struct Answer {
    /// 200, or why not.
    pub status: StatusCode,
    /// Its text.
    pub text: String,
}

impl AdminSocket {
    /// The socket of the router that runs on this spool; none if no router listens there. (A killed router
    /// leaves the file behind.)
    pub async fn of_spool(spool: &Path) -> Result<Option<Self>, CommandError> {
        let path = spool.join(SOCKET_NAME);
        match UnixStream::connect(&path).await {
            Ok(_) => Ok(Some(Self { path })),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(CommandError(format!(
                "cannot reach the router at {}: {error}",
                path.display()
            ))),
        }
    }

    /// Asks for a change with these parameters and waits for the answer.
    pub async fn post(&self, page: &str, parameters: &[(&str, &str)]) -> Result<Answer, CommandError> {
        let failed = |error: String| {
            CommandError(format!(
                "the router at {} did not answer: {error}",
                self.path.display()
            ))
        };
        let stream = UnixStream::connect(&self.path)
            .await
            .map_err(|error| failed(error.to_string()))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| failed(error.to_string()))?;
        // It ends with the sender, which is dropped below.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(Method::POST)
            .uri(target(page, parameters))
            .header(HOST, "localhost")
            .body(Empty::<Bytes>::new())
            .map_err(|error| failed(error.to_string()))?;
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| failed(error.to_string()))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
        let body = body
            .collect()
            .await
            .map_err(|error| failed(error.to_string()))?
            .to_bytes();
        let text = String::from_utf8_lossy(&body).trim_end().to_owned();
        Ok(Answer { status, text })
    }
}

fn target(page: &str, parameters: &[(&str, &str)]) -> String {
    let encoded = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    let pairs = parameters
        .iter()
        .map(|(name, value)| format!("{name}={}", encoded(value)));
    format!("{page}?{}", pairs.collect::<Vec<_>>().join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_encoded() {
        let parameters = [("table", "default.hits"), ("replica", "[::1]:8123")];
        assert_eq!(
            target("/spool/retry", &parameters),
            "/spool/retry?table=default%2Ehits&replica=%5B%3A%3A1%5D%3A8123"
        );
    }

    #[tokio::test]
    async fn a_socket_that_nobody_listens_on_is_no_router() {
        let directory = tempfile::tempdir().unwrap();
        assert!(AdminSocket::of_spool(directory.path()).await.unwrap().is_none());
        drop(std::os::unix::net::UnixListener::bind(directory.path().join(SOCKET_NAME)).unwrap());
        assert!(AdminSocket::of_spool(directory.path()).await.unwrap().is_none());
    }
}
