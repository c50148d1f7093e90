//! What hyper refuses by itself, said as ClickHouse would say it.
//!
//! A request line or head that hyper cannot hold never reaches the handler: hyper writes a bare `414 URI Too Long`
//! (`http::Uri` ends at 65,534 bytes), `431` or `400` with no body and closes. Clients of ClickHouse look for a code and for
//! words, so the connection's writes pass through here and such an answer is replaced by one with both.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::exception::{Exception, code};

/// How long a refused client's bytes are still read and forgotten: closing with unread bytes in it would take the answer
/// back.
const LINGER_TIME: Duration = Duration::from_secs(2);

/// hyper's own answers are shorter than this.
const BARE_ANSWER_BYTES_MAX: usize = 300;

/// A connection whose bare refusals become ClickHouse's.
pub struct Refusals<S> {
    stream: S,
    /// The answer that is written in the place of hyper's.
    instead: Option<Instead>,
}

struct Instead {
    bytes: Vec<u8>,
    written: usize,
    is_shut: bool,
    linger: Pin<Box<Sleep>>,
}

impl<S> Refusals<S> {
    /// Wraps a connection.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            instead: None,
        }
    }
}

impl<S: AsyncWrite + Unpin> Refusals<S> {
    fn poll_instead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(instead) = &mut self.instead else {
            return Poll::Ready(Ok(()));
        };
        while instead.written < instead.bytes.len() {
            let left = &instead.bytes[instead.written..];
            match ready!(Pin::new(&mut self.stream).poll_write(cx, left))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => instead.written += written,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes hyper's refusal for written, if this is one.
    fn replaces(&mut self, bytes: &[u8]) -> bool {
        let Some(answer) = instead_of(bytes) else {
            return false;
        };
        self.instead = Some(Instead {
            bytes: answer.into_bytes(),
            written: 0,
            is_shut: false,
            linger: Box::pin(sleep(LINGER_TIME)),
        });
        true
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Refusals<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Refusals<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.replaces(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = pieces
            && self.replaces(only)
        {
            return Poll::Ready(Ok(only.len()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(cx))?;
        let this = &mut *self;
        let Some(instead) = &mut this.instead else {
            return Pin::new(&mut this.stream).poll_shutdown(cx);
        };
        if !instead.is_shut {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            instead.is_shut = true;
        }
        let mut forgotten = [0; 16 << 10];
        while instead.linger.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut forgotten);
            // Whatever ends the reading, the answer is out.
            match ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The answer in the place of a bare one of hyper's; none for everything that the handler answered.
fn instead_of(bytes: &[u8]) -> Option<String> {
    let is_bare = bytes.len() < BARE_ANSWER_BYTES_MAX
        && bytes.starts_with(b"HTTP/1.1 4")
        && bytes.ends_with(b"\r\n\r\n");
    if !is_bare || !has_no_content(bytes) {
        return None;
    }
    let (code, message) = match &bytes[9..12] {
        b"414" => (
            code::QUERY_IS_TOO_LARGE,
            "The URL is longer than the 65,534 bytes that Weir can hold: send the query in the request's body (POST), and \
             many query parameters as a multipart form.",
        ),
        b"431" => (
            code::QUERY_IS_TOO_LARGE,
            "The request's head is too large (a URL of 65,534 bytes and 100 headers fit): send the query in the request's \
             body (POST), and many query parameters as a multipart form.",
        ),
        b"400" => (
            code::BAD_ARGUMENTS,
            "This is no HTTP/1.1 request that could be read.",
        ),
        _ => return None,
    };
    let text = format!("{}\n", Exception::bad_input(code, message));
    let status_end = bytes.iter().position(|byte| *byte == b'\r')?;
    let status = std::str::from_utf8(&bytes[..status_end]).ok()?;
    Some(format!(
        "{status}\r\nx-clickhouse-exception-code: {code}\r\nx-clickhouse-server-display-name: weir\r\n\
         content-type: text/plain; charset=UTF-8\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{text}",
        text.len()
    ))
}

fn has_no_content(head: &[u8]) -> bool {
    let head = head.to_ascii_lowercase();
    head.windows(b"content-length: 0\r\n".len())
        .any(|window| window == b"content-length: 0\r\n")
        && !head.windows(13).any(|window| window == b"x-clickhouse-")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: &[u8] =
        b"HTTP/1.1 414 URI Too Long\r\nconnection: close\r\ncontent-length: 0\r\ndate: Sat, 21 Nov 2026 09:00:00 GMT\r\n\r\n";

    #[test]
    fn a_bare_refusal_gets_code_and_words() {
        let answer = instead_of(BARE).unwrap();
        assert!(answer.starts_with("HTTP/1.1 414 URI Too Long\r\n"), "{answer}");
        assert!(
            answer.contains("x-clickhouse-exception-code: 229\r\n"),
            "{answer}"
        );
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            body.starts_with("Code: 229. DB::Exception: The URL is longer"),
            "{body}"
        );
        assert!(
            head.ends_with(&format!("content-length: {}", body.len())),
            "{head}"
        );
    }

    #[test]
    fn what_the_handler_answered_is_left_alone() {
        for other in [
            &b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"[..],
            b"HTTP/1.1 400 Bad Request\r\nx-clickhouse-exception-code: 62\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 5\r\n\r\n",
            b"HTTP/1.1 414 ",
        ] {
            assert_eq!(instead_of(other), None);
        }
    }

    #[tokio::test]
    async fn the_answer_replaces_the_refusal_on_the_wire() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut client, server) = tokio::io::duplex(4096);
        let mut server = Refusals::new(server);
        server.write_all(BARE).await.unwrap();
        let closing = tokio::spawn(async move { server.shutdown().await });
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        drop(client);
        closing.await.unwrap().unwrap();
        assert!(answer.contains("Code: 229"), "{answer}");
    }
}
