//! `[listen]`, `[limits]` and `[logs]`: where clients reach Weir, what they may take from it, and what it
//! says.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::file::{At, Section};
use crate::secret::{Secret, read_secret_file};

/// `[listen]`: the sockets that Weir opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// What ClickHouse HTTP clients talk to; at least one address.
    pub http: Vec<SocketAddr>,
    /// `/metrics`, `/-/healthy` and `/-/ready`; the rest of it under `admin_token`.
    pub admin: SocketAddr,
    /// The certificate that the `http` addresses are served with; `None` is plain HTTP.
    pub tls: Option<ServerTls>,
    /// What opens the rest of the admin listener; without it only the unix socket `<spool>/admin.sock` does.
    pub admin_token: Option<Secret>,
}

/// A certificate chain and its key, PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// The certificate, then those that signed it.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// `[limits]`: what bounds Weir's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that all INSERTs and sends together may hold; beyond it requests wait, then get 503.
    pub memory_limit: u64,
    /// Bytes of one row; an INSERT with a larger one is refused.
    pub max_row_bytes: u64,
    /// Client connections at a time; further ones wait to be accepted.
    pub max_connections: u64,
}

/// `[logs]`: what is written to standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logs {
    /// Lines to read or lines to parse.
    pub format: LogFormat,
    /// The least important message that is written.
    pub level: LogLevel,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How important a log message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // the names say it
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// Below this not one INSERT and one send fit beside each other.
const MEMORY_LIMIT_MIN: u64 = 16 << 20;
const MEMORY_LIMIT_DEFAULT: u64 = 160 << 20;
const MAX_ROW_BYTES_DEFAULT: u64 = 64 << 20;
/// A row is never divided, and a frame of a spool file holds no more.
const MAX_ROW_BYTES: u64 = 64 << 20;
/// ClickHouse's own `max_connections`.
const MAX_CONNECTIONS_DEFAULT: u64 = 4096;
const HTTP_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8124);
const ADMIN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8125);

impl Listen {
    pub(crate) fn read(section: &Section<'_>) -> Listen {
        let http = section.all_parsed("http", parse_address);
        let admin = section.parsed("admin", parse_address);
        let listen = Listen {
            http: http
                .as_ref()
                .map_or_else(|| vec![HTTP_DEFAULT], |http| addresses(http)),
            admin: admin.as_ref().map_or(ADMIN_DEFAULT, |admin| admin.value),
            tls: section
                .has("tls")
                .then(|| read_tls(&section.child("tls")))
                .flatten(),
            admin_token: read_secret_file(section, "admin_token_file"),
        };
        if section.is_empty_list("http") {
            section
                .source
                .mistake(section.offset_of("http"), "http: at least one address is needed");
        }
        check_distinct(section, &listen);
        warn_of_open_admin(section, &listen);
        listen
    }
}

impl Limits {
    pub(crate) fn read(section: &Section<'_>) -> Limits {
        let memory = section.bytes("memory_limit", MEMORY_LIMIT_MIN..=u64::MAX);
        let row = section.bytes("max_row_bytes", 1024..=MAX_ROW_BYTES);
        let connections = section.count("max_connections", 1..=1_000_000);
        let limits = Limits {
            memory_limit: memory.map_or(MEMORY_LIMIT_DEFAULT, |bytes| bytes.value),
            max_row_bytes: row.map_or(MAX_ROW_BYTES_DEFAULT, |bytes| bytes.value),
            max_connections: connections.map_or(MAX_CONNECTIONS_DEFAULT, |count| count.value),
        };
        // A row is held once as it arrived and once in its share.
        if limits.max_row_bytes > limits.memory_limit / 2 {
            let offset = section
                .offset_of("memory_limit")
                .max(section.offset_of("max_row_bytes"));
            section.source.mistake(
                offset,
                "max_row_bytes is more than half of memory_limit: such a row never fits",
            );
        }
        limits
    }
}

impl Logs {
    pub(crate) fn read(section: &Section<'_>) -> Logs {
        let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
        let levels = [
            ("trace", LogLevel::Trace),
            ("debug", LogLevel::Debug),
            ("info", LogLevel::Info),
            ("warn", LogLevel::Warn),
            ("error", LogLevel::Error),
        ];
        Logs {
            format: section
                .choice("format", &formats)
                .map_or(LogFormat::Text, |format| format.value),
            level: section
                .choice("level", &levels)
                .map_or(LogLevel::Info, |level| level.value),
        }
    }
}

fn addresses(listed: &[At<SocketAddr>]) -> Vec<SocketAddr> {
    listed.iter().map(|address| address.value).collect()
}

/// An address to listen on. Names are not resolved: what a name means may change, and whether an address is
/// loopback decides who may connect.
fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let numeric = text
        .strip_prefix("localhost:")
        .map(|port| format!("127.0.0.1:{port}"));
    let wrong =
        || format!("'{text}' is not an address to listen on: write it as '127.0.0.1:8124' or '[::]:8124'");
    numeric.as_deref().unwrap_or(text).parse().map_err(|_| wrong())
}

fn read_tls(section: &Section<'_>) -> Option<ServerTls> {
    let cert = section.required("cert", section.readable_file("cert"));
    let key = section.required("key", section.readable_file("key"));
    Some(ServerTls {
        cert: cert?,
        key: key?,
    })
}

/// Port 0 asks the system for a free port and so never collides.
fn check_distinct(section: &Section<'_>, listen: &Listen) {
    for (position, address) in listen
        .http
        .iter()
        .enumerate()
        .filter(|(_, address)| address.port() != 0)
    {
        if listen.http[..position].contains(address) {
            section
                .source
                .mistake(section.offset_of("http"), format!("http: {address} stands twice"));
        }
        if *address == listen.admin {
            section.source.mistake(
                section.offset_of("admin"),
                format!("http and admin are both {address}"),
            );
        }
    }
}

fn warn_of_open_admin(section: &Section<'_>, listen: &Listen) {
    if !listen.admin.ip().is_loopback() && listen.admin_token.is_none() {
        let text = "admin is open to other machines without admin_token_file: \
                    only /metrics, /-/healthy and /-/ready will answer there";
        section.source.warning(section.offset_of("admin"), text);
    }
}
