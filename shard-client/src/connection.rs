//! One HTTP/1.1 connection: made, watched by its own task, closed when it is dropped.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::endpoint::Endpoint;
use crate::error::{Failure, Phase};
use crate::mark::ServerMark;
use crate::progress::Outgoing;
use crate::tls::Tls;

/// Of a name that stands for many addresses, so many are tried, each for `connect_timeout`.
const ADDRESSES_MAX: usize = 4;

/// An open connection. Dropping it closes the socket, also in the middle of a request, which the server sees
/// as cut.
pub(crate) struct Connection {
    pub(crate) sender: SendRequest<Outgoing>,
    /// Who is at the other end, once it was asked.
    pub(crate) server: Option<ServerMark>,
    task: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Connection {
    /// Resolves the host anew, since its address may have changed, and connects.
    pub(crate) async fn open(endpoint: &Endpoint, tls: Option<&Tls>) -> Result<Connection, Failure> {
        let tcp = AnswerFirst::new(connect(endpoint).await?);
        match tls {
            None => Connection::over(tcp).await,
            Some(tls) => {
                let handshake = tls.connector.connect(tls.name.clone(), tcp);
                let stream = within(endpoint.connect_timeout, handshake)
                    .await?
                    .map_err(Failure::Tls)?;
                Connection::over(stream).await
            }
        }
    }

    async fn over<S>(stream: S) -> Result<Connection, Failure>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Failure::Connect(io::Error::other(error)))?;
        // How the connection ended is told to the request that was on it; an idle one may end as it likes.
        let task = tokio::spawn(async move { drop(connection.await) }).abort_handle();
        Ok(Connection {
            sender,
            server: None,
            task,
        })
    }
}

async fn connect(endpoint: &Endpoint) -> Result<TcpStream, Failure> {
    let limit = endpoint.connect_timeout;
    let addresses = within(limit, lookup_host((endpoint.host.as_str(), endpoint.port))).await?;
    let mut failure = Failure::Connect(io::Error::new(io::ErrorKind::NotFound, "the host has no address"));
    for address in addresses.map_err(Failure::Connect)?.take(ADDRESSES_MAX) {
        match within(limit, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return without_delay(stream).map_err(Failure::Connect),
            Ok(Err(error)) => failure = Failure::Connect(error),
            Err(timed_out) => failure = timed_out,
        }
    }
    Err(failure)
}

/// Pieces are written when they are whole; waiting for more would only add a pause to the last one.
fn without_delay(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Result<T, Failure> {
    timeout(limit, future).await.map_err(|_| Failure::Timeout {
        phase: Phase::Connect,
        after: limit,
    })
}

/// A socket on which a failed write does not hide the answer that came before.
///
/// A server that refuses in the middle of an upload answers and hangs up; the next write fails, and hyper
/// would report that. Here writing then waits, without an end, and reading goes on: to the answer, or to the
/// end of the stream, which the kernel reports at once since the socket is dead for both ways.
struct AnswerFirst<S> {
    stream: S,
    hung_up: bool,
}

impl<S> AnswerFirst<S> {
    fn new(stream: S) -> Self {
        AnswerFirst {
            stream,
            hung_up: false,
        }
    }

    /// Nothing wakes a write that waits here: the reading side ends the connection.
    fn unless_hung_up<T>(&mut self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match written {
            Poll::Ready(Err(error)) if is_hang_up(&error) => {
                self.hung_up = true;
                Poll::Pending
            }
            written => written,
        }
    }
}

fn is_hang_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset)
}

impl<S: AsyncRead + Unpin> AsyncRead for AnswerFirst<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AnswerFirst<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.hung_up {
            return Poll::Pending;
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.unless_hung_up(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.hung_up {
            return Poll::Pending;
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.unless_hung_up(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.hung_up {
            return Poll::Pending;
        }
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.unless_hung_up(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use bytes::Bytes;
    use http_body_util::Full;

    use super::*;
    use crate::progress::{Progress, outgoing};

    /// A peer that takes the head, hangs up at the next write, and only then turns out to have answered: the
    /// order that a race between the answer and the reset can take.
    #[derive(Default)]
    struct HangsUp {
        taken: usize,
        hung_up: bool,
        answer: &'static [u8],
        reader: Option<Waker>,
    }

    impl AsyncRead for HangsUp {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if !self.hung_up {
                self.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            buffer.put_slice(std::mem::take(&mut self.answer));
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for HangsUp {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            if self.taken == 0 {
                self.taken = bytes.len().min(1_000);
                return Poll::Ready(Ok(self.taken));
            }
            self.hung_up = true;
            if let Some(reader) = self.reader.take() {
                reader.wake();
            }
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    async fn status_from(answer: &'static [u8]) -> Result<u16, String> {
        let peer = AnswerFirst::new(HangsUp {
            answer,
            ..HangsUp::default()
        });
        let mut connection = Connection::over(peer).await.unwrap();
        let body = outgoing(Full::new(Bytes::from(vec![0; 100_000])), Progress::new(false));
        let answer = connection
            .sender
            .send_request(http::Request::post("/").body(body).unwrap())
            .await;
        answer
            .map(|answer| answer.status().as_u16())
            .map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_write_that_fails_does_not_hide_the_answer() {
        assert_eq!(
            status_from(b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n").await,
            Ok(404)
        );
    }

    #[tokio::test]
    async fn a_write_that_fails_without_an_answer_ends_the_connection() {
        assert_eq!(
            status_from(b"").await,
            Err("connection closed before message completed".to_owned())
        );
    }
}
