//! The crate from outside: texts in, configurations or mistakes out.

// Clippy's exception for tests knows `#[test]` functions only; here the helpers are tests too.
#![allow(clippy::unwrap_used, clippy::panic)]

mod discovery;
mod example;
mod import;
mod inheritance;
mod layouts;
mod local_replicas;
mod mistakes;
mod support;
