//! The HTTP front: connections in, requests to the handler, nothing of their content known here.
//!
//! A [`Listener`] may speak TLS; keep-alive and pipelining are hyper's. At shutdown no new connection is
//! taken, idle ones are closed, and requests under way are finished. Limits: `connections_max` connections
//! (the next one waits in the kernel's backlog),
//! [`HEAD_BYTES_MAX`] for a request's head and 65,534 bytes for its URL (431 and 414, in ClickHouse's form by [`refusal`]), [`HEAD_TIMEOUT`] for a slow one.

pub mod answer;
pub mod body;
pub mod decode;
pub mod form;
mod refusal;
pub mod request;
pub mod tls;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use answer::Answer;
use refusal::Refusals;

/// Bytes of a request's head. hyper's `Uri` ends at 65,534 bytes; headers come on top.
const HEAD_BYTES_MAX: usize = 256 * 1024;

/// A client that takes longer to send a request's head is given up. It is also how long an idle connection is
/// kept, longer than clients keep theirs (Node 2.5 s, Go 90 s when idle pools are left at their default), so
/// that it is they who close.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);

/// What clients are told of it, a little less, so that they do not begin a request while the connection closes.
const KEEP_ALIVE: &str = "timeout=100";

/// A handshake that takes longer is given up.
const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long requests under way may go on after shutdown began.
pub const DRAIN_PATIENCE: Duration = Duration::from_secs(30);

/// A bound socket.
pub enum Listener {
    /// TCP, with TLS or without.
    Tcp(TcpListener, Option<TlsAcceptor>),
    /// A socket in the file system: whoever may open it is trusted.
    Unix(UnixListener),
}

impl Listener {
    /// Binds an address; port 0 takes any free one.
    pub async fn bind(address: SocketAddr, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        Ok(Self::Tcp(TcpListener::bind(address).await?, tls))
    }

    /// The address it is bound to, for TCP.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener, _) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener, tls) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Stream::Tcp(stream, tls.clone()), Peer::Address(peer)))
            }
            Self::Unix(listener) => Ok((Stream::Unix(listener.accept().await?.0), Peer::Local)),
        }
    }
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Somebody on the network.
    Address(SocketAddr),
    /// Somebody who may open the socket's file.
    Local,
}

enum Stream {
    Tcp(TcpStream, Option<TlsAcceptor>),
    Unix(UnixStream),
}

/// Answers one request. An error of Weir's is an answer too.
pub trait Handler: Send + Sync + 'static {
    /// Answers a request of `peer`.
    fn handle(
        self: Arc<Self>,
        peer: Peer,
        request: hyper::Request<Incoming>,
    ) -> impl Future<Output = Answer> + Send;
}

/// Serves until `shutdown` resolves, then finishes the requests under way.
pub async fn serve<H: Handler>(
    listener: Listener,
    connections_max: usize,
    handler: Arc<H>,
    shutdown: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS)));
    let graceful = GracefulShutdown::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let place = tokio::select! {
            () = &mut shutdown => break,
            place = places.clone().acquire_owned() => place,
        };
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = Connection {
                    peer,
                    handler: handler.clone(),
                    watcher: graceful.watcher(),
                };
                tokio::spawn(async move {
                    connection.serve(stream).await;
                    drop(place);
                });
            }
            Err(error) => rest_after(&error).await,
        }
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_PATIENCE, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!(patience = ?DRAIN_PATIENCE, "some requests did not end in time: their connections are closed");
    }
}

/// Accepting fails for want of file descriptors, mostly: going on at once would only burn the processor.
async fn rest_after(error: &io::Error) {
    tracing::warn!(%error, "cannot accept a connection");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// Says how long an idle connection is kept: without it Node.js drops its own after 2.5 seconds.
fn kept_alive(mut answer: Answer) -> Answer {
    let name = HeaderName::from_static("keep-alive");
    answer
        .headers_mut()
        .insert(name, HeaderValue::from_static(KEEP_ALIVE));
    answer
}

struct Connection<H> {
    peer: Peer,
    handler: Arc<H>,
    watcher: hyper_util::server::graceful::Watcher,
}

impl<H: Handler> Connection<H> {
    async fn serve(self, stream: Stream) {
        match stream {
            Stream::Unix(stream) => self.http(stream).await,
            Stream::Tcp(stream, tls) => {
                // Small answers should not wait for more; a socket that refuses the option still works.
                let _ = stream.set_nodelay(true);
                match tls {
                    None => self.http(stream).await,
                    Some(tls) => self.https(stream, &tls).await,
                }
            }
        }
    }

    async fn https(self, stream: TcpStream, tls: &TlsAcceptor) {
        match tokio::time::timeout(TLS_HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.http(stream).await,
            Ok(Err(error)) => tracing::debug!(peer = ?self.peer, %error, "a TLS handshake failed"),
            Err(_) => tracing::debug!(peer = ?self.peer, "a TLS handshake took too long"),
        }
    }

    async fn http(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self {
            peer,
            handler,
            watcher,
        } = self;
        let service = service_fn(move |request| {
            let handler = handler.clone();
            async move { Ok::<_, Infallible>(kept_alive(handler.handle(peer, request).await)) }
        });
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_BYTES_MAX);
        let connection = builder.serve_connection(TokioIo::new(Refusals::new(stream)), service);
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(?peer, %error, "a connection ended badly");
        }
    }
}
