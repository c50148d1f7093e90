//! The router: the way of an INSERT from a client's socket to its shards.
//!
//! ```text
//!  client ──HTTP──► front: user, statement ──► insert: schema, plan, split ──► stage ──► spool.commit ──►
//!  200
//!                     │                                                                     │
//!                     └─ a read ──► pass: a replica, streaming                              │ journal, one
//!                     fdatasync
//!                                                                                           ▼
//!                                        deliver: one sender a destination ◄── spool.next ── .bin files
//!                                                     │
//!                                                     └──HTTP──► a replica ──► verdict ──► spool.settle
//! ```
//!
//! - [`front`] answers every request of the client listener; [`http`] knows connections, heads, bodies and
//!   answers, and no tables.
//! - [`logins`] says whether a password is its user's: by the file's hashes, or by asking a replica.
//! - [`insert`] is the one way in: nothing reaches the spool before the whole body was read and is sound.
//! - [`deliver`] is the one way out: a batch's bytes are the file's, an attempt is on disk before its first
//!   byte leaves.
//! - [`routing`] is the configuration made ready; a reload swaps it whole. [`schema`] is what the shards say
//!   of their tables.
//! - [`discovery`] asks seeds for Distributed tables; [`dry_run`] says where rows would go.
//! - [`answers`] keeps what clients ask before they insert, for while no replica answers.
//! - [`app`] is the only file that knows every crate, starts what runs and stops it in the order of the data.
//! - [`admin`] serves metrics and changes; [`cli`] is the command line, one file a command.
//!
//! Limits are named where they hold: connections and heads in [`http`], the memory of INSERTs in [`budget`],
//! rows and bodies in `formats`, the queue in `spool`.

pub mod admin;
pub mod answers;
pub mod app;
pub mod backpressure;
pub mod budget;
mod chance;
pub mod cli;
pub mod deliver;
pub mod discovery;
pub mod dry_run;
pub mod exception;
pub mod front;
pub mod http;
pub mod identity;
pub mod insert;
pub mod kept_facts;
pub mod layouts;
pub mod logins;
pub mod logs;
pub mod metrics;
pub mod pass;
pub mod ramp;
pub mod replica;
pub mod routing;
pub mod schema;
pub mod sends;
pub mod sessions;
pub mod summary;
pub mod tasks;
pub mod time;
pub mod wire;
#[cfg(test)]
mod world;
