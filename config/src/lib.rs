//! `weir.toml`: the file as written, checked into validated types; and the slot layout that its epoch guards.
//!
//! # What it guarantees
//!
//! - **All mistakes at once.** [`parse`] and [`load`] return a [`Config`] without mistakes or all
//!   [`Mistakes`],
//!   in the order of their lines: `weir.toml:12: unknown key 'wieght' in [[cluster.main.shard]]: did you mean
//!   'weight'?`. (Only a file that is not TOML is told as such and read no further.)
//! - **No setting is silently ignored.** A key that nobody reads is a mistake; so is a setting that this
//!   version
//!   cannot do yet (`unbuilt.rs`), a limit that another one makes meaningless, and `tls` where nothing is
//!   secure.
//! - **Everything is complete.** Defaults, the inheritance cluster → shard → replica and `[send]` →
//!   `[[table]]`,
//!   `${VAR}`, `local = "auto"`: all are resolved here, and no caller thinks about them again.
//! - **No secret is shown**: not by `Debug`, not by a mistake, not by a warning.
//! - **No panic** on anything that a file can contain.
//! - **Rows never change their shard unnoticed**: a [`Layout`] that differs from the one in force is refused
//!   until the cluster's epoch is raised.
//!
//! # Limits
//!
//! A file has at most 8 MiB, a secret's file 4 KiB, a shard's name 64 bytes, a weight 1,000,000. Finding this
//! machine's own replicas takes at most 3 s a cluster, whatever DNS does; a warning says when that was not
//! enough. Sharding keys are text here: `sharding` parses them, when the target's columns are known.
//!
//! # Where things are
//!
//! `engine.rs` reads a Distributed table's `engine_full`, `routed.rs` says which tables follow from the file and
//! from what the seeds of a cluster showed; `import/` goes the other way, from a server's config.xml to a
//! weir.toml.
//!
//! `file/` walks the TOML, `check.rs` reads and cross-checks the whole, one file a section reads the rest;
//! `example.toml` beside `src/` is the file with every key, parsed by a test.

mod check;
mod cluster;
mod discover;
mod engine;
mod env;
mod file;
pub mod import;
mod layout;
mod listen;
mod local;
mod mistakes;
mod names;
mod network;
mod own_address;
mod replica;
mod routed;
mod secret;
mod send;
mod spool;
mod table;
mod unbuilt;
mod units;
mod user;

pub use check::{Config, load, parse};
pub use cluster::{Cluster, Ddl, LoadBalancing, Shard};
pub use discover::{Discovery, TableFilter};
pub use engine::DistributedEngine;
pub use env::Env;
pub use layout::{Layout, LayoutError, LayoutShard, LayoutTable, LayoutTextError};
pub use listen::{Limits, Listen, LogFormat, LogLevel, Logs, ServerTls};
pub use mistakes::{Mistakes, Remark};
pub use names::{TableName, TablePattern};
pub use network::Network;
pub use replica::{Replica, Tls};
pub use routed::{SeenTable, Sighting, Sightings, weights_difference};
pub use secret::{Password, Secret, SecretError};
pub use send::{Ack, ClientTokens, IdenticalInserts, MAX_BATCH_ROWS, OnDoubt, SendSettings, Validate};
pub use spool::{Provider, Spool};
pub use table::{Assignment, Named, Origin, Table, TableOverride, WhenShardDown};
pub use units::Reserve;
pub use user::{Allow, Auth, PasswordHash, ReadsAs, UnroutedInserts, User};
