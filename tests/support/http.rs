//! A blocking HTTP/1.1 client, one connection a request, that can also send what no decent client sends.

use std::fmt;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use socket2::SockRef;

/// An answer that takes longer than this is none.
const ANSWER_LIMIT: Duration = Duration::from_secs(300);
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// Where a ClickHouse (or Weir) listens for HTTP, and as whom to talk to it.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Address and port.
    pub address: SocketAddr,
    /// User and password, sent as `X-ClickHouse-User` and `-Key`.
    pub user: Option<(String, String)>,
}

impl Endpoint {
    /// An endpoint without user.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, user: None }
    }

    /// The base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A request for any path and query string.
    pub fn request(&self, method: &str, path: &str) -> Request<'_> {
        let headers = match &self.user {
            Some((user, password)) => {
                vec![
                    ("X-ClickHouse-User".into(), user.clone()),
                    ("X-ClickHouse-Key".into(), password.clone()),
                ]
            }
            None => Vec::new(),
        };
        let framing = Framing::Sized {
            body: Vec::new(),
            announced: None,
        };
        Request {
            address: self.address,
            method: method.into(),
            path: path.into(),
            headers,
            framing,
        }
    }

    /// A POST of a statement that stands in the URL; the body may carry its data.
    pub fn post(&self, sql: &str) -> Request<'_> {
        self.request("POST", "/").parameter("query", sql)
    }

    /// Runs a statement without data and returns its output; panics at the caller's line on any error.
    #[track_caller]
    pub fn query(&self, sql: &str) -> String {
        self.try_query(sql)
            .unwrap_or_else(|trouble| panic!("{sql}\nat {}: {trouble}", self.address))
    }

    /// Runs a statement without data; the error is what the server (or the connection) said.
    pub fn try_query(&self, sql: &str) -> Result<String, String> {
        let answer = self
            .request("POST", "/")
            .body(sql)
            .send()
            .map_err(|e| e.to_string())?;
        if answer.status == 200 {
            Ok(answer.text())
        } else {
            Err(answer.to_string())
        }
    }

    /// Sends an INSERT with its data; panics at the caller's line when no answer comes.
    #[track_caller]
    pub fn insert(&self, sql: &str, body: impl Into<Vec<u8>>) -> Answer {
        self.post(sql).body(body).answer()
    }

    /// Sends a whole request as it is, head and all, and reads the answer.
    pub fn send_raw(&self, request: &[u8]) -> io::Result<Answer> {
        let stream = TcpStream::connect_timeout(&self.address, CONNECT_LIMIT)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        (&stream).write_all(request)?;
        Answer::read(BufReader::new(&stream))
    }

    /// Sends the beginning of a request as it is and ends the connection; with [`Ending::Close`] the server's answer is
    /// waited for. What the server makes of it is no trouble of the caller's.
    pub fn send_cut(&self, beginning: &[u8], ending: Ending) {
        let Ok(stream) = TcpStream::connect_timeout(&self.address, CONNECT_LIMIT) else {
            return;
        };
        let _ = stream.set_read_timeout(Some(ANSWER_LIMIT));
        let _ = (&stream).write_all(beginning);
        match ending {
            Ending::Reset => {
                let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            }
            Ending::Close => {
                let _ = stream.shutdown(Shutdown::Write);
                let _ = (&stream).read_to_end(&mut Vec::new());
            }
        }
    }

    /// Whether `/ping` answers.
    pub fn answers_ping(&self) -> bool {
        self.request("GET", "/ping")
            .send()
            .is_ok_and(|answer| answer.status == 200)
    }
}

/// How a connection ends in the middle of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By RST, as that of a machine that is gone: the server may not even read what has arrived.
    Reset,
    /// By FIN, as that of a process that is gone.
    Close,
}

/// What a streamed body is written by: rows go into the given writer.
type BodyWriter<'a> = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + 'a>;

enum Framing<'a> {
    /// With Content-Length: the body's own length, or another one.
    Sized { body: Vec<u8>, announced: Option<usize> },
    /// Chunked; `finished` says whether the last, empty chunk is sent.
    Chunked { write: BodyWriter<'a>, finished: bool },
}

/// A request being put together.
#[must_use = "it is sent by `send` or `answer`"]
pub struct Request<'a> {
    address: SocketAddr,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    framing: Framing<'a>,
}

impl<'a> Request<'a> {
    /// Adds a URL parameter, percent-encoded.
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        let separator = if self.path.contains('?') { '&' } else { '?' };
        self.path = format!("{}{separator}{name}={}", self.path, percent_encode(value));
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// A body with its Content-Length.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.framing = Framing::Sized {
            body: body.into(),
            announced: None,
        };
        self
    }

    /// A body under a Content-Length that is not its length; after it the connection is closed for writing.
    pub fn body_announced_as(mut self, announced: usize, body: impl Into<Vec<u8>>) -> Self {
        self.framing = Framing::Sized {
            body: body.into(),
            announced: Some(announced),
        };
        self
    }

    /// A chunked body, streamed by `write`.
    pub fn chunked(mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()> + 'a) -> Self {
        self.framing = Framing::Chunked {
            write: Box::new(write),
            finished: true,
        };
        self
    }

    /// A chunked body whose last chunk never comes: the connection is closed for writing instead.
    pub fn chunked_and_cut(mut self, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let write = Box::new(move |out: &mut dyn Write| out.write_all(&body));
        self.framing = Framing::Chunked {
            write,
            finished: false,
        };
        self
    }

    /// Sends it and reads the answer; panics at the caller's line when there is none.
    #[track_caller]
    pub fn answer(self) -> Answer {
        let to = format!(
            "{} {}",
            self.address,
            self.path.chars().take(200).collect::<String>()
        );
        self.send().unwrap_or_else(|e| panic!("no answer from {to}: {e}"))
    }

    /// Sends it and reads the answer.
    ///
    /// A server may refuse before it has read the whole body; its answer counts then, not the broken pipe.
    pub fn send(self) -> io::Result<Answer> {
        let stream = TcpStream::connect_timeout(&self.address, CONNECT_LIMIT)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        stream.set_write_timeout(Some(ANSWER_LIMIT))?;
        let sent = self.write_to(&stream);
        match Answer::read(BufReader::new(&stream)) {
            Ok(answer) => Ok(answer),
            Err(trouble) => Err(sent.err().unwrap_or(trouble)),
        }
    }

    fn write_to(self, stream: &TcpStream) -> io::Result<()> {
        let mut out = BufWriter::with_capacity(64 * 1024, stream);
        write!(
            out,
            "{} {} HTTP/1.1\r\nHost: {}\r\n",
            self.method, self.path, self.address
        )?;
        write!(out, "Connection: close\r\n")?;
        for (name, value) in &self.headers {
            write!(out, "{name}: {value}\r\n")?;
        }
        let cut = match self.framing {
            Framing::Sized { body, announced } => {
                write!(out, "Content-Length: {}\r\n\r\n", announced.unwrap_or(body.len()))?;
                out.write_all(&body)?;
                announced.is_some()
            }
            Framing::Chunked { write, finished } => {
                write!(out, "Transfer-Encoding: chunked\r\n\r\n")?;
                let mut chunks = BufWriter::with_capacity(64 * 1024, Chunks(&mut out));
                write(&mut chunks)?;
                chunks.flush()?;
                drop(chunks);
                if finished {
                    out.write_all(b"0\r\n\r\n")?;
                }
                !finished
            }
        };
        out.flush()?;
        if cut {
            stream.shutdown(Shutdown::Write)
        } else {
            Ok(())
        }
    }
}

/// Each write becomes one HTTP chunk.
struct Chunks<W: Write>(W);

impl<W: Write> Write for Chunks<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !bytes.is_empty() {
            write!(self.0, "{:x}\r\n", bytes.len())?;
            self.0.write_all(bytes)?;
            self.0.write_all(b"\r\n")?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Names in lower case, values trimmed.
    pub headers: Vec<(String, String)>,
    /// The body, de-chunked.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's value; the name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(given, _)| given.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The error code: from X-ClickHouse-Exception-Code, else from the text's `Code: N` (18.16 has no such
    /// header).
    pub fn code(&self) -> Option<u32> {
        if let Some(code) = self.header("x-clickhouse-exception-code") {
            return code.parse().ok();
        }
        let text = self.text();
        let digits = text.strip_prefix("Code: ")?;
        digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    }

    /// Panics at the caller's line unless the answer is 200 without an exception.
    #[track_caller]
    pub fn expect_success(self) -> Self {
        assert!(
            self.status == 200 && self.code().is_none(),
            "expected success, got {self}"
        );
        self
    }

    /// Panics at the caller's line unless the answer is an error with this code.
    #[track_caller]
    pub fn expect_code(self, code: u32) -> Self {
        assert!(
            self.status != 200 && self.code() == Some(code),
            "expected code {code}, got {self}"
        );
        self
    }

    fn read(mut from: impl BufRead) -> io::Result<Self> {
        loop {
            let (status, headers) = read_head(&mut from)?;
            // 100 Continue comes before the answer proper.
            if status >= 200 {
                let mut answer = Self {
                    status,
                    headers,
                    body: Vec::new(),
                };
                answer.body = answer.read_body(&mut from)?;
                return Ok(answer);
            }
        }
    }

    fn read_body(&self, from: &mut impl BufRead) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if self
            .header("transfer-encoding")
            .is_some_and(|value| value.contains("chunked"))
        {
            while read_chunk(from, &mut body)? {}
        } else if let Some(length) = self.header("content-length") {
            body.resize(length.parse().map_err(io::Error::other)?, 0);
            from.read_exact(&mut body)?;
        } else {
            from.read_to_end(&mut body)?;
        }
        Ok(body)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "status {}, {:?}: {}",
            self.status,
            self.headers,
            self.text().trim_end()
        )
    }
}

fn read_head(from: &mut impl BufRead) -> io::Result<(u16, Vec<(String, String)>)> {
    let first = read_line(from)?;
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("not an HTTP answer: {first:?}")))?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(from)?;
        match line.split_once(':') {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim().to_owned())),
            None => return Ok((status, headers)),
        }
    }
}

/// Appends one chunk; false after the last, empty one.
fn read_chunk(from: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<bool> {
    let line = read_line(from)?;
    let length = usize::from_str_radix(line.split(';').next().unwrap_or(""), 16).map_err(io::Error::other)?;
    let start = body.len();
    body.resize(start + length, 0);
    from.read_exact(&mut body[start..])?;
    read_line(from)?;
    Ok(length > 0)
}

fn read_line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn percent_encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes()
        .map(|byte| {
            if plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

/// One gzip member of stored (uncompressed) blocks around `bytes`: the envelope that makes a cut body fail.
pub fn gzip_stored(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::none());
    gzip.write_all(bytes).expect("a Vec takes all");
    gzip.finish().expect("a Vec takes all")
}
