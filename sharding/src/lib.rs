//! Which shard a row belongs to: key columns → sharding value → slot → shard.
//!
//! # What it guarantees
//!
//! 1. A row goes where ClickHouse's own Distributed table would send it: the value of the sharding expression
//!    as
//!    ClickHouse 26.9 computes it, widened to an unsigned number by its rule, modulo the sum of the weights.
//!    What this
//!    crate cannot compute exactly so it refuses when the key is compiled; it never guesses. `golden/` holds
//!    what
//!    ClickHouse answered, and the tests of `src/golden.rs` compare every case.
//! 2. Pure: no clock, no I/O, no global state. Randomness (`rand()`) is a parameter.
//! 3. No input makes it panic: expressions, types and rows are errors with a place ([`KeyError`],
//!    [`EvalError`]).
//!
//! # How
//!
//! ```text
//! text ── lex, parse ──> tree ── check ──> typed calls ── evaluate ──> column ── widen ──> values ── Slots /
//! Ring ──> shards
//!                                   │                        ▲
//!                                   └ functions: types once, then one loop over a column
//! ```
//!
//! A key is compiled once for a table ([`Key::compile`]) and evaluated for a block of rows at a time
//! ([`Key::values`]):
//! each function runs over whole columns, with one allocation a call. A key of a plain UInt64 column is one
//! copy,
//! `cityHash64(column)` is one loop.
//!
//! ```
//! use sharding::{Key, Slots};
//! use types::{Column, ColumnDef, Data, DataType};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let table = [ColumnDef { name: "user_id".into(), data_type: DataType::UInt64 }];
//! let key = Key::compile("cityHash64(user_id)", &table)?;
//! let slots = Slots::new(&[9, 10])?;
//!
//! let user_ids = Column::new(Data::UInt64(vec![1, 2, 3]));
//! let values = key.values(&[user_ids], 3, &mut rand::rng())?;
//! assert_eq!(values[0], 10577349846663553072); // SELECT cityHash64(1)
//! assert_eq!(slots.slot(values[0]), 8);
//! assert_eq!(slots.shard_of(values[0]), 0);
//! # Ok(())
//! # }
//! ```
//!
//! # Limits
//!
//! An expression has at most [`TEXT_BYTES_MAX`] bytes and [`DEPTH_MAX`] calls inside each other; more is
//! refused (code 62). The functions, argument types and the widening rule are in `docs/sharding.md`.

mod compiled;
mod error;
mod expression;
mod functions;
#[cfg(test)]
mod golden;
mod integers;
mod key;
mod ring;
mod slots;
mod volatile;

pub use compiled::{Context, Expression};
pub use error::{EvalError, EvalReason, KeyError, KeyReason};
pub use key::Key;
pub use ring::{POINTS_MAX, POINTS_PER_WEIGHT, Ring, RingError};
pub use slots::{Slots, SlotsError};
pub use volatile::volatile_calls;

/// The longest expression: real ones have tens of bytes, and names in an error message should be readable.
pub const TEXT_BYTES_MAX: usize = 8 * 1024;

/// How deep calls may lie inside each other: reading, checking and evaluating recurse.
pub const DEPTH_MAX: usize = 100;
