//! Bytes to rows: finds where the rows of an INSERT's body begin and end, and reads the sharding key's
//! columns.
//!
//! Pure: bytes in, ranges and values out; no clock, no file, no socket. What the crate guarantees:
//!
//! - **Any cut gives the same rows.** [`RowStream`] is fed chunks cut anywhere. A row that does not fit is
//!   carried over and
//!   looked at again only when the bytes at hand have doubled, so a body costs linear time however it is cut.
//! - **Memory is flat**: at most twice one row of [`Spec::max_row_bytes`] and one chunk (the carry grows by
//!   doubling), and the
//!   positions and key values of [`ROWS_PER_CALL`] rows. A length announced in a body never reserves memory.
//!   A longer row
//!   is refused (code 307).
//! - **A row's range re-reads as itself.** The ranges of one stream, each followed by
//!   [`Payload::terminator`], are a body of
//!   the header-less payload format with the same rows, whatever header, separators, array or `;` the
//!   client's body had.
//!   The columns of that body are [`RowStream::columns`].
//! - **Framing is checked for every row, values for the key's columns only.** The other fields are carried as
//!   they are;
//!   the shard reads them. Nothing is repaired: what is not wholly understood is an error with row, byte
//!   offset and
//!   what was expected ([`FormatError`]). No input makes the crate panic.
//!
//! Where ClickHouse's versions read a text differently, a key's value is read only if they agree or the
//! client's settings decide; otherwise it is refused, because a wrong guess would put the row on a wrong
//! shard. Where they only differ in what they accept, 26.x is followed (each rule was tried against 26.9).
//! Stricter than ClickHouse on purpose: a quote left open at the end of a CSV body, text behind a `;`, a CR
//! at the end of any TabSeparated line or inside an unquoted CSV field. What a batch must carry so that a
//! shard reads its rows as they were read here: [`Settings::pinned`].
//!
//! [`statement`] stands in front: it says where an INSERT's data begins and which format they have.
//!
//! One file a format: [`Format`] lists them with what each needs; `delimited` is shared by TabSeparated and
//! CSV; `value` turns a key's text into its value for all of them. A new format is one file and one entry in
//! `format::FORMATS`.

mod backslash;
mod bson_each_row;
mod columnar;
mod csv;
mod cursor;
mod delimited;
mod error;
mod fill;
mod format;
mod framing;
mod header;
mod json_each_row;
mod key;
mod msg_pack;
mod native;
mod row_binary;
mod settings;
mod stream;
mod tab_separated;
mod type_text;
mod value;
mod values;

pub mod statement;

pub use error::{FormatError, code};
pub use fill::{Fill, Filler};
pub use format::{Format, Payload};
pub use settings::{DateTimeText, Settings};
pub use stream::{Absent, Block, ROWS_PER_CALL, RowStream, Rows, RowsBody, Spec};

#[cfg(test)]
mod tests;
