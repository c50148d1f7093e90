//! One replica's HTTP side: an INSERT that cannot be half taken, answers that are read to the end, errors
//! that say what they prove, and the choice among replicas.
//!
//! # What it guarantees
//!
//! - **A cut INSERT is visible as cut.** The body of [`Replica::insert`] is one gzip member around
//!   ClickHouse's own
//!   compressed frames ([`envelope`]); its trailer is written only after every announced byte went by and
//!   their CRC32
//!   agreed. Until then the server cannot tell the rows from a broken upload, and takes none of them.
//! - **A 200 is not believed at once.** It counts only without `X-ClickHouse-Exception-Code` and without an
//!   `__exception__` frame in the body, and only after the body was read to its end ([`response`]).
//! - **An answer that comes early is heard.** A server that refuses in the middle of the upload and hangs up
//!   is
//!   reported with its words, not as a broken pipe.
//! - **Every failure says what it proves**: [`ShardError::wrote`] is [`Wrote::Nothing`] only where the
//!   answer, or its
//!   absence before the end of the body, leaves no other reading; whose fault it is ([`ShardError::fault`]),
//!   of which
//!   class ([`ShardError::class`]) and whether to try again ([`ShardError::retry`]).
//! - **Credentials travel in `X-ClickHouse-User` and `X-ClickHouse-Key` only**, never in a URL, an error or a
//!   `Debug`.
//! - **An INSERT for one server reaches no other**: [`InsertRequest::server`] names the [`ServerMark`] of who is to get it, and each
//!   new connection asks for it once before the first such INSERT. Addresses change hands between two requests.
//! - **No request is repeated once a byte of it may have left.** A kept-alive connection found closed before
//!   that is
//!   replaced in silence; everything else is the caller's decision.
//!
//! # What the proof of an INSERT rests on
//!
//! 18.16 hands a block on as soon as it holds `max_insert_block_size` rows, without looking whether the body
//! goes on:
//! a batch of exactly that many rows is committed although its envelope was cut before the trailer (tried).
//! That is why [`PINNED_SETTINGS`] asks for one row more than a batch may hold ([`BATCH_ROWS_MAX`]). The
//! caller sends these settings with every INSERT and keeps its batches within that limit; then a batch is one
//! block, and the block is formed only by the end of the body.
//!
//! # Limits
//!
//! | Limit | Where | What happens there |
//! |---|---|---|
//! | connections of a replica | `connections_max` | a request waits up to `receive_timeout`, then [`Failure::Timeout`] |
//! | an answer to a query | [`ANSWER_BYTES_MAX`] | [`Failure::Protocol`] |
//! | an error's text | [`ERROR_BYTES_MAX`] | the rest is left unread and the connection closed |
//! | a request's target | [`TARGET_BYTES_MAX`] | [`Failure::Request`], nothing is sent |
//! | time without progress | `receive_timeout` | [`Failure::Timeout`] |
//!
//! # What is not here
//!
//! No spool, no configuration, no formats, no statement but those of [`Facts`] and `DESCRIBE`. Nothing is
//! logged and no time is kept between requests: health ([`Health`], [`Chooser`]) is pure over `now`.

mod aftermath;
mod choose;
pub mod codes;
mod connection;
mod describe;
mod endpoint;
pub mod envelope;
mod error;
mod exchange;
mod facts;
mod forward;
mod health;
mod mark;
mod payload;
mod pool;
mod progress;
mod replica;
pub mod request;
pub mod response;
mod server_error;
mod settings;
mod target;
mod tls;

#[cfg(test)]
mod tests;

pub use aftermath::Attempts;
pub use choose::{Candidate, Choice, Chooser, LoadBalancing};
pub use codes::{Class, Overload, Proof};
pub use describe::{DefaultKind, DescribedColumn, unescape};
pub use endpoint::{Endpoint, Password, TlsFiles};
pub use error::{Failure, Fault, Phase, Retry, ShardError, Views, Wrote};
pub use facts::{FORMAT_SETTINGS, Facts, Version};
pub use forward::ForwardedBody;
pub use health::{Backoff, Health};
pub use mark::ServerMark;
pub use payload::{Payload, PayloadError};
pub use progress::Sent;
pub use replica::{ANSWER_BYTES_MAX, InsertRequest, Inserted, Replica};
pub use request::TARGET_BYTES_MAX;
pub use response::ERROR_BYTES_MAX;
pub use server_error::ServerError;
pub use settings::{BATCH_ROWS_MAX, PINNED_SETTINGS, settings_known_to};
pub use target::{Target, Window};
pub use tls::TlsError;
