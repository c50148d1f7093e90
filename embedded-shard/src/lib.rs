//! A small ClickHouse-like shard on SQLite, for trying Weir and for testing it without installing anything.
//!
//! One node, one file, one thread for all statements. It speaks the part of ClickHouse's HTTP that Weir and
//! its demo need;
//! it is no database to keep data in, and what the real servers do is proved on real servers.
//!
//! # What it guarantees
//! - **An INSERT is one transaction.** A body cut short (by Content-Length, chunk, gzip or frame), broken in
//!   its last byte,
//!   or with a row that cannot be read leaves no row. Rows and `insert_deduplication_token` are committed
//!   together: a
//!   token that the table remembers (the last 100, or `non_replicated_deduplication_window` of the engine's
//!   SETTINGS; 0
//!   remembers none) is a success with 0 written rows. TRUNCATE and DROP forget the tokens with the rows.
//! - **Values are exact.** UInt64, (U)Int128/256 and decimals of up to 76 digits are read, kept, compared,
//!   sorted and
//!   written digit by digit. Nothing goes through a float that is none.
//! - **Never a wrong answer.** What is not known is refused with ClickHouse's code for it (46, 47, 48, 50,
//!   60, 62, 73, 115
//!   …) and by its name. It is stricter than ClickHouse where that wraps or guesses: a number out of its
//!   column's range,
//!   a date like 2020-13-01, a JSON field given twice are errors here.
//! - **A commit survives the process** (`kill -9`), not the loss of power (`synchronous = NORMAL`).
//!
//! # What it knows
//! `CREATE DATABASE|TABLE`, `DROP|TRUNCATE|DESCRIBE|EXISTS TABLE`, `SHOW TABLES`; `INSERT … FORMAT` CSV,
//! JSONEachRow,
//! JSONStringsEachRow, JSONCompactEachRow, JSONCompactStringsEachRow, RowBinary, RowBinaryWithDefaults,
//! TabSeparated,
//! TSKV or Values (literals only); `SELECT … FROM` one table `WHERE … GROUP BY … HAVING … ORDER BY … LIMIT`,
//! with comparisons, IN, AND/OR/NOT, `+ - * %`, count, sum, min, max, any, uniqExact and cityHash64 (over
//! integers and strings) and the functions of a client's hello; answers in TabSeparated,
//! TabSeparatedWithNames, JSONEachRow, JSONCompactEachRow; `system.settings`,
//! `.tables`,
//! `.columns`, `.databases`, `.macros`, `.one`. Any engine is accepted and kept as text.
//!
//! # What it does not
//! No views, partitions, merges, replicas, no deduplication by content (a block without a token is always
//! written), no
//! ALTER, no DISTINCT, joins or subqueries, no expressions in VALUES, no ALIAS columns. Its time zone is UTC.
//! Integer literals above 64 bits stay exact, where ClickHouse makes floats of them. Floats are summed in the
//! order of the rows.
//!
//! # Limits
//! | What | Limit | Beyond it |
//! |---|---|---|
//! | a body, before and after decompression | 512 MiB, in memory | 413, code 307 |
//! | rows or groups of a result | 2,000,000, in memory | code 396 |
//! | columns of a table | 1,000 | code 48 |
//! | connections | 1,024 | the next waits to be accepted |
//! | statements queued for the thread | 64 | the next waits |
//! | JSON depth | 256 | code 117 |
//! | an expression: brackets nested, operators in a row, parts once aliases are written out | 100, 1,000, 10,000 | code 62 |
//! | the URL | 65,534 bytes, as the `http` crate has it | 414 |
//! | the request's headers | about 400 KiB, as hyper has it | 431 |

mod binary;
mod cursor;
mod error;
mod escape;
mod faults;
mod http;
mod query;
mod quoted;
mod read;
mod server;
mod settings;
mod statement;
mod store;
mod text;
mod time;
mod value;
mod wide;
mod write;

pub use faults::{Fault, Faults, Requests};
pub use server::{Options, serve};

/// What `version()` answers: the ClickHouse whose behaviour is imitated, with tokens and the modern error
/// form.
pub const VERSION: &str = "25.8.1.1";
