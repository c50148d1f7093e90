//! The embedded shard as its clients see it: over HTTP, on a real socket.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

mod bodies;
mod client;
mod faults;
mod golden;
mod inserts;
mod lifecycle;
mod queries;
