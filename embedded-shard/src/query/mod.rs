//! SELECT: what an expression means over a table's columns, and what it computes.
//!
//! Computed here and not by SQLite, whose arithmetic is another one: 64-bit signed only, a REAL on overflow,
//! NULL for
//! `x % 0`, and no order between a UInt64 above 2^63 and the rest. SQLite keeps the rows; this module reads
//! them.

mod aggregate;
mod bind;
mod evaluate;
mod functions;
mod names;
mod plan;
mod run;

pub(crate) use bind::{Bound, bind_row_expression, cast};
pub(crate) use evaluate::evaluate;
pub(crate) use plan::Plan;
pub(crate) use run::Run;

/// What the functions about the session and the server answer.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// `currentUser()`.
    pub user: String,
    /// `currentDatabase()`, and where tables without a database are looked for.
    pub database: String,
    /// `hostName()`, `displayName()`.
    pub host_name: String,
    /// `serverUUID()`.
    pub server_uuid: String,
    /// `now()`, the same all over one statement: seconds since 1970.
    pub now: i64,
}
