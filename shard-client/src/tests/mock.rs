//! A server that follows a script: each request gets the next reply, whatever it asks. Dropping it fails the
//! test when a reply was never asked for.

use std::collections::VecDeque;
use std::io::Read as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// What the server does with one request.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    /// Body bytes to read before answering; `usize::MAX` reads to the end.
    read: usize,
    answer: Vec<u8>,
    then: Then,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Then {
    KeepOpen,
    Close,
    Hang,
}

impl Reply {
    /// Reads the whole request and writes these bytes.
    pub(super) fn raw(answer: impl Into<Vec<u8>>) -> Reply {
        Reply {
            read: usize::MAX,
            answer: answer.into(),
            then: Then::KeepOpen,
        }
    }

    /// A whole answer of this status, with more header lines, each ending in `\r\n`.
    pub(super) fn status(status: u16, headers: &str, body: &str) -> Reply {
        let length = body.len();
        Reply::raw(format!(
            "HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        ))
    }

    pub(super) fn ok(body: &str) -> Reply {
        Reply::status(200, "", body)
    }

    /// Answers after so many bytes of the body.
    pub(super) fn after(self, read: usize) -> Reply {
        Reply { read, ..self }
    }

    /// Closes the connection afterwards: with a reset, where the client's body was not read to its end.
    pub(super) fn then_close(self) -> Reply {
        Reply {
            then: Then::Close,
            ..self
        }
    }

    /// Neither reads nor writes any more afterwards.
    pub(super) fn then_hang(self) -> Reply {
        Reply {
            then: Then::Hang,
            ..self
        }
    }
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(super) struct Received {
    /// Request line and headers.
    pub(super) head: String,
    /// The body as far as it was read, chunks joined.
    pub(super) body: Vec<u8>,
    /// Whether the body came to its end.
    pub(super) whole: bool,
    /// Which connection it came on, counted from 0.
    pub(super) connection: usize,
}

impl Received {
    pub(super) fn line(&self) -> &str {
        self.head.lines().next().unwrap()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .next()
    }

    pub(super) fn unpacked(&self) -> std::io::Result<Vec<u8>> {
        let mut out = Vec::new();
        flate2::read::GzDecoder::new(&self.body[..]).read_to_end(&mut out)?;
        Ok(out)
    }
}

#[derive(Default)]
struct State {
    script: VecDeque<Reply>,
    received: Vec<Received>,
}

pub(super) struct Mock {
    pub(super) port: u16,
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
}

impl Mock {
    pub(super) async fn start(script: impl IntoIterator<Item = Reply>) -> Mock {
        Mock::start_with(script, None).await
    }

    pub(super) async fn start_with(
        script: impl IntoIterator<Item = Reply>,
        tls: Option<TlsAcceptor>,
    ) -> Mock {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State {
            script: script.into_iter().collect(),
            ..State::default()
        }));
        let server = tokio::spawn(accept(listener, Arc::clone(&state), tls));
        Mock { port, state, server }
    }

    /// The requests so far, waiting until there are so many: one that was cut is noticed a moment after the
    /// client's own error.
    pub(super) async fn received(&self, count: usize) -> Vec<Received> {
        let enough = async {
            loop {
                let received = self.state.lock().unwrap().received.clone();
                if received.len() >= count {
                    return received;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(super::PATIENT, enough)
            .await
            .expect("fewer requests came than expected")
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.server.abort();
        if !std::thread::panicking() {
            let left = &self.state.lock().unwrap().script;
            assert!(left.is_empty(), "never asked for: {left:?}");
        }
    }
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>, tls: Option<TlsAcceptor>) {
    for connection in 0.. {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        let (state, tls) = (Arc::clone(&state), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => serve(stream, connection, state).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => serve(stream, connection, state).await,
                    Err(_) => None,
                },
            }
        });
    }
}

/// Serves one connection; `None` when either side is through with it.
async fn serve<S>(mut stream: S, connection: usize, state: Arc<Mutex<State>>) -> Option<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let head = read_head(&mut stream).await?;
        let reply = state
            .lock()
            .unwrap()
            .script
            .pop_front()
            .expect("a request beyond the script");
        let mut received = Received {
            head,
            body: Vec::new(),
            whole: false,
            connection,
        };
        received.whole = read_body(&mut stream, &received.head, reply.read, &mut received.body)
            .await
            .is_some();
        let cut = !received.whole && reply.read == usize::MAX;
        state.lock().unwrap().received.push(received);
        if cut {
            return None;
        }
        stream.write_all(&reply.answer).await.ok()?;
        stream.flush().await.ok()?;
        match reply.then {
            Then::KeepOpen => {}
            Then::Close => return None,
            Then::Hang => std::future::pending().await,
        }
    }
}

async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// Reads up to `limit` bytes; `None` when the body did not come to its end.
async fn read_body<S>(stream: &mut S, head: &str, limit: usize, body: &mut Vec<u8>) -> Option<()>
where
    S: AsyncRead + Unpin,
{
    let lower = head.to_ascii_lowercase();
    if lower.contains("transfer-encoding: chunked") {
        return read_chunks(stream, limit, body).await;
    }
    let length = lower
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .unwrap_or("0");
    body.resize(length.parse().unwrap(), 0);
    stream.read_exact(body).await.ok().map(drop)
}

async fn read_chunks<S: AsyncRead + Unpin>(stream: &mut S, limit: usize, body: &mut Vec<u8>) -> Option<()> {
    while body.len() < limit {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(stream.read_u8().await.ok()?);
        }
        let length = usize::from_str_radix(std::str::from_utf8(&line).ok()?.trim(), 16).ok()?;
        let mut chunk = vec![0; length + 2];
        stream.read_exact(&mut chunk).await.ok()?;
        body.extend_from_slice(&chunk[..length]);
        if length == 0 {
            return Some(());
        }
    }
    None
}
