//! A shard in this process, and a client that writes every byte itself, so that bodies can be cut and headers
//! lie.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;

use embedded_shard::{Faults, Options, serve};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A running shard; dropped, it stops.
pub struct Shard {
    pub address: SocketAddr,
    pub faults: Faults,
    stop: oneshot::Sender<()>,
    served: JoinHandle<io::Result<()>>,
}

/// One answer, its headers' names in lower case.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: String,
}

impl Shard {
    pub async fn start() -> Self {
        Self::start_with(Options {
            name: "test".to_owned(),
            ..Options::default()
        })
        .await
    }

    pub async fn start_with(options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let faults = options.faults.clone();
        let served = tokio::spawn(serve(listener, options, stopped));
        Self {
            address,
            faults,
            stop,
            served,
        }
    }

    /// Stops the shard and waits until its store is closed.
    pub async fn stop(self) {
        drop(self.stop);
        self.served.await.unwrap().unwrap();
    }

    /// Posts a whole request; `None` when the connection ends without an answer.
    pub async fn post(
        &self,
        parameters: &[(&str, &str)],
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Reply> {
        let length = body.len().to_string();
        let headers = [headers, &[("Content-Length", length.as_str())]].concat();
        exchange(self.address, &request("POST", parameters, &headers, body)).await
    }

    /// Sends a statement that must succeed and gives its answer's body.
    #[track_caller]
    pub fn query(&self, sql: &str) -> impl Future<Output = String> + use<> {
        let request = self.statement(sql);
        let sql = sql.to_owned();
        async move {
            let reply = request.await;
            assert_eq!(reply.status, 200, "{sql}: {}", reply.body);
            reply.body
        }
    }

    /// Sends a statement that must fail with this code and words.
    #[track_caller]
    pub fn refused(&self, sql: &str, code: u16, says: &str) -> impl Future<Output = ()> + use<> {
        let request = self.statement(sql);
        let says = says.to_owned();
        async move {
            let reply = request.await;
            assert_eq!(
                reply.headers.get("x-clickhouse-exception-code"),
                Some(&code.to_string()),
                "{}",
                reply.body
            );
            assert!(
                reply.body.starts_with(&format!("Code: {code}. DB::Exception: ")),
                "{}",
                reply.body
            );
            assert!(reply.body.contains(&says), "{}", reply.body);
        }
    }

    /// INSERTs a body under a head in the URL; the answer.
    pub async fn insert(&self, head: &str, body: &[u8]) -> Reply {
        self.post(&[("query", head)], &[], body).await.unwrap()
    }

    fn statement(&self, sql: &str) -> impl Future<Output = Reply> + use<> {
        let (address, sql) = (self.address, sql.to_owned());
        async move {
            let length = sql.len().to_string();
            let request = request("POST", &[], &[("Content-Length", &length)], sql.as_bytes());
            exchange(address, &request).await.unwrap()
        }
    }
}

impl Reply {
    /// One figure of `X-ClickHouse-Summary`.
    pub fn summary(&self, name: &str) -> &str {
        let summary = &self.headers["x-clickhouse-summary"];
        let (_, behind) = summary.split_once(&format!("\"{name}\":\"")).unwrap();
        behind.split_once('"').unwrap().0
    }
}

/// A request's bytes; the connection closes behind it.
pub fn request(method: &str, parameters: &[(&str, &str)], headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let encode =
        |(name, value): &(&str, &str)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
    let query: Vec<_> = parameters.iter().map(encode).collect();
    let question = if query.is_empty() && method == "GET" {
        ""
    } else {
        "?"
    };
    let mut head = format!(
        "{method} /{question}{} HTTP/1.1\r\nHost: shard\r\nConnection: close\r\n",
        query.join("&")
    );
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

/// Sends bytes, ends the sending side, and reads the answer to its end.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> Option<Reply> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The shard may answer and close before it has read all: what counts is its answer.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    parse(&answer)
}

fn parse(answer: &[u8]) -> Option<Reply> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    Some(Reply {
        status,
        headers,
        body: body.to_owned(),
    })
}
