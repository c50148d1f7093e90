//! Bytes to rows: finds where the rows of an INSERT's body begin and end, and reads the sharding key's
//! columns.
//!
//! Pure: bytes in, ranges and values out; no clock, no socket, and no file but a nameless scratch file for
//! bodies that can only be read once a block, or all of it, is there. What the crate guarantees:
//!
//! - **Any cut gives the same rows.** [`RowStream`] is fed chunks cut anywhere. A row that does not fit is
//!   carried over and looked at again only when the bytes at hand have doubled, so a body costs linear time
//!   however it is cut.
//! - **Memory is flat**: at most twice one row of [`Spec::max_row_bytes`] and one chunk (the carry grows by
//!   doubling), and the positions and key values of [`ROWS_PER_CALL`] rows. A length announced in a body never
//!   reserves memory. A longer row is refused (code 307). Columnar bodies: 4 MiB of a block and then a file, windows
//!   of at most 8 MiB or one row, dictionaries and one Arrow record batch of at most `max_row_bytes`. Parquet's pages
//!   are read by its own crate, whose memory only the file's page sizes bound.
//! - **A row re-reads as itself.** The rows of one stream, each followed by [`Payload::terminator`], are a body
//!   of the header-less payload format with the same rows, whatever header, separators, array or `;` the
//!   client's body had. The columns of that body are [`RowStream::columns`], its format is
//!   [`RowStream::payload`]. Rows are handed over as ranges of the body where they can be, and written anew
//!   where the format cannot be carried.
//! - **Framing is checked for every row, values for the key's columns only** (those of all columns with
//!   [`Spec::check_values`]). The other fields are carried as they are; the shard reads them. Nothing is
//!   repaired: what is not wholly understood is an error with row, byte offset and what was expected
//!   ([`FormatError`]). No input makes the crate panic: `ci/fuzz` looks for one that does.
//!
//! Where ClickHouse's versions read a text differently, a key's value is read only if they agree or the
//! client's settings decide; otherwise it is refused, because a wrong guess would put the row on a wrong
//! shard. Where they only differ in what they accept, 26.x is followed (each rule was tried against 26.9).
//! Stricter than ClickHouse on purpose: a quote left open at the end of a CSV body, text behind a `;`, a CR
//! at the end of any TabSeparated line or inside an unquoted CSV field. What a batch must carry so that a
//! shard reads its rows as they were read here: [`Settings::pinned`]; what must not reach it:
//! [`Settings::is_obeyed`].
//!
//! [`statement`] stands in front: it says where an INSERT's data begins and which format they have.
//!
//! Native, Arrow, ArrowStream and Parquet hand over windows of columns ([`Block`]) and are written as Native blocks
//! of revision 0 (`columnar`); JSONColumns becomes lines of JSONEachRow, which carry each value's text as it came.
//!
//! One file a format: [`Format`] lists them with what each needs. `delimited` is shared by TabSeparated, CSV
//! and CustomSeparated, `json_rows` by the JSON formats whose rows follow each other; `names` finds columns by
//! their names, `header` reads headers, `escape` writes texts; `value` turns a key's text into its value for
//! all of them, `nested` that of arrays, tuples and maps. A new format is one file, one entry in `format::FORMATS`, and a seed in `fuzz/seeds`.

mod arrow_stream;
mod backslash;
mod bson_each_row;
mod check;
mod columnar;
mod csv;
mod cursor;
mod custom_separated;
mod delimited;
mod error;
mod escape;
mod fill;
mod format;
mod framing;
mod header;
mod json_columns;
mod json_compact;
mod json_document;
mod json_each_row;
mod json_object_each_row;
mod json_rows;
mod key;
mod msg_pack;
mod names;
mod native;
mod nested;
mod parquet_file;
mod row_binary;
mod settings;
mod stream;
mod tab_separated;
mod tskv;
mod type_text;
mod value;
mod values;
mod whole_body;
mod whole_rows;

pub mod statement;

pub use error::{FormatError, code};
pub use fill::{Fill, Filler};
pub use format::{Format, Payload};
pub use settings::{Custom, DateTimeText, EscapingRule, Settings};
pub use stream::{Absent, Block, ROWS_PER_CALL, RowStream, Rows, RowsBody, Spec};

#[cfg(test)]
mod tests;
