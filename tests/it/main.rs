//! The black-box suites: Weir as its users meet it, on real servers.
//!
//! `facts_*` need no Weir: they pin what the servers do, on which Weir's guarantees stand.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails"
)]

mod adopt;
mod arrival;
mod bad_input;
mod batches;
mod cached_answers;
mod check_live;
mod client_rules;
mod commands;
mod crash;
mod cuts;
mod defaults;
mod differential;
mod discovery;
mod doubts;
mod facts_18;
mod facts_modern;
mod foreground;
mod full_disk;
mod golden_formats;
mod identity;
mod insert_select;
mod logins;
mod memory;
mod modern;
mod operations;
mod refusals;
mod replay;
mod retries;
mod setup;
mod shapes;
mod start;
mod tables;
mod troubles;
mod two_routers;
mod versions;
