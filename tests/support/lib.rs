//! What the black-box suites stand on: real servers, the real `weir` binary, rows to send and a ledger of
//! them.
//!
//! # Parts
//! - [`ClickHouse18`]: Debian's ClickHouse 18.16.1, a plain process on loopback; [`ZooKeeper`] for its
//!   Replicated tables.
//! - [`Modern`]: the engine of ClickHouse 26.x (PyPI's chdb) behind `chdb_server.py`, with faults on request.
//! - [`Weir`]: the router as `cargo build` made it, killed and started again at will.
//! - [`SmallDisk`]: a disk of its own that can be filled.
//! - [`Proxy`]: a TCP relay that holds or cuts a connection after so many bytes, throws an answer away, and records what
//!   passes.
//! - [`Endpoint`] and [`Request`]: a blocking HTTP client that can also send what no decent client sends.
//! - [`rows`] and [`Format`]: rows that follow from a seed, written in each payload format.
//! - [`Fingerprint`]: the ledger; equal fingerprints mean the same rows, however they are spread over shards.
//!
//! # Rules
//! - Nothing is skipped: a part that cannot start panics, says which package it needs, and `make test`
//!   installs it.
//! - No process outlives the tests: `Drop` kills it, and the kernel does when the test binary itself dies.
//! - No fixed port, no fixed path: suites run beside each other, and beside a ClickHouse that the machine
//!   runs anyway.
//! - A wait is for a condition, with a limit and the words of what was waited for.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails"
)]

mod clickhouse18;
mod fingerprint;
mod format;
mod http;
mod modern;
mod ports;
mod process;
mod proxy;
mod python;
mod rows;
mod scratch;
mod small_disk;
mod wait;
mod weir;
mod zookeeper;

pub use clickhouse18::{ClickHouse18, Options, Peer};
pub use fingerprint::Fingerprint;
pub use format::{Format, body_of};
pub use http::{Answer, Ending, Endpoint, Request, gzip_stored};
pub use modern::{Fault, Modern};
pub use proxy::Proxy;
pub use python::frame;
pub use rows::{COLUMNS, Row, SplitMix, row, rows};
pub use scratch::Scratch;
pub use small_disk::SmallDisk;
pub use wait::{stays, wait_for};
pub use weir::{Weir, WeirConfig, weir_child, weir_command};
pub use zookeeper::ZooKeeper;
