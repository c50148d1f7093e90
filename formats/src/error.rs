//! `FormatError`: what is wrong with a body, where, in ClickHouse's own codes.

use std::fmt;

/// ClickHouse's error codes that this crate answers with.
pub mod code {
    /// BAD_ARGUMENTS: a setting whose value makes no sense.
    pub const BAD_ARGUMENTS: i32 = 36;
    /// CANNOT_PARSE_ESCAPE_SEQUENCE.
    pub const CANNOT_PARSE_ESCAPE_SEQUENCE: i32 = 25;
    /// CANNOT_PARSE_QUOTED_STRING.
    pub const CANNOT_PARSE_QUOTED_STRING: i32 = 26;
    /// CANNOT_PARSE_INPUT_ASSERTION_FAILED: another byte was expected here.
    pub const CANNOT_PARSE_INPUT: i32 = 27;
    /// CANNOT_READ_ALL_DATA: the body ends in the middle of a row.
    pub const CANNOT_READ_ALL_DATA: i32 = 33;
    /// CANNOT_PARSE_DATE.
    pub const CANNOT_PARSE_DATE: i32 = 38;
    /// CANNOT_PARSE_DATETIME.
    pub const CANNOT_PARSE_DATETIME: i32 = 41;
    /// NOT_IMPLEMENTED: sound for ClickHouse, but not something this crate can route.
    pub const NOT_IMPLEMENTED: i32 = 48;
    /// ARGUMENT_OUT_OF_BOUND.
    pub const ARGUMENT_OUT_OF_BOUND: i32 = 69;
    /// CANNOT_PARSE_NUMBER.
    pub const CANNOT_PARSE_NUMBER: i32 = 72;
    /// UNKNOWN_FORMAT.
    pub const UNKNOWN_FORMAT: i32 = 73;
    /// DUPLICATE_COLUMN: a column is listed twice.
    pub const DUPLICATE_COLUMN: i32 = 15;
    /// NO_SUCH_COLUMN_IN_TABLE.
    pub const NO_SUCH_COLUMN: i32 = 16;
    /// SYNTAX_ERROR.
    pub const SYNTAX_ERROR: i32 = 62;
    /// INCORRECT_DATA: unknown or repeated fields, text behind the end of a line.
    pub const INCORRECT_DATA: i32 = 117;
    /// TOO_LARGE_STRING_SIZE: does not fit its FixedString.
    pub const TOO_LARGE_STRING_SIZE: i32 = 131;
    /// TOO_MANY_BYTES: a row above `max_row_bytes`.
    pub const TOO_MANY_BYTES: i32 = 307;
    /// ILLEGAL_COLUMN: a value of a kind that the column's type does not take.
    pub const ILLEGAL_COLUMN: i32 = 44;
    /// ATTEMPT_TO_READ_AFTER_EOF: nothing where a value's text must be.
    pub const ATTEMPT_TO_READ_AFTER_EOF: i32 = 32;
    /// INCORRECT_QUERY: the format does not fit the table's columns.
    pub const INCORRECT_QUERY: i32 = 80;
    /// CANNOT_READ_ARRAY_FROM_TEXT.
    pub const CANNOT_READ_ARRAY_FROM_TEXT: i32 = 130;
    /// UNKNOWN_TYPE.
    pub const UNKNOWN_TYPE: i32 = 50;
    /// CANNOT_SKIP_UNKNOWN_FIELD.
    pub const CANNOT_SKIP_UNKNOWN_FIELD: i32 = 626;
    /// CANNOT_WRITE_TO_FILE_DESCRIPTOR: the scratch file of a large block; not the client's fault.
    pub const CANNOT_WRITE_SCRATCH: i32 = 75;
    /// CANNOT_PARSE_UUID.
    pub const CANNOT_PARSE_UUID: i32 = 376;
    /// UNKNOWN_QUERY_PARAMETER: `{name:Type}` whose value the request does not have.
    pub const UNKNOWN_QUERY_PARAMETER: i32 = 456;
    /// BAD_QUERY_PARAMETER: a parameter's text that is no value of its type.
    pub const BAD_QUERY_PARAMETER: i32 = 457;
    /// CANNOT_PARSE_BOOL.
    pub const CANNOT_PARSE_BOOL: i32 = 467;
    /// CANNOT_PARSE_IPV4.
    pub const CANNOT_PARSE_IPV4: i32 = 675;
    /// CANNOT_PARSE_IPV6.
    pub const CANNOT_PARSE_IPV6: i32 = 676;
    /// UNKNOWN_ELEMENT_OF_ENUM.
    pub const UNKNOWN_ELEMENT_OF_ENUM: i32 = 691;
}

/// How many bytes of the body an error shows.
const NEAR_BYTES: usize = 40;

/// Why a body (or what was said about it) cannot be read: always the client's fault, never worth a retry.
///
/// `message` holds no data of the client and may be logged; `near` holds the body's own bytes and belongs
/// only into the client's answer. `Display` says all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatError {
    /// ClickHouse's code, one of [`code`].
    pub code: i32,
    /// The row, counted from 1 as ClickHouse does; absent when the trouble is not in a row.
    pub row: Option<u64>,
    /// Byte offset in the body, counted from 0.
    pub offset: Option<u64>,
    /// What is wrong and what was expected.
    pub message: String,
    /// The body's bytes at `offset`, escaped and cut short; empty when there is nothing to show.
    pub near: String,
}

impl FormatError {
    /// An error that no row of the body causes.
    pub(crate) fn plain(code: i32, message: impl Into<String>) -> Self {
        Self {
            code,
            row: None,
            offset: None,
            message: message.into(),
            near: String::new(),
        }
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match (self.row, self.offset) {
            (Some(row), Some(offset)) => write!(f, " (at row {row}, byte {offset})")?,
            (Some(row), None) => write!(f, " (at row {row})")?,
            (None, Some(offset)) => write!(f, " (at byte {offset})")?,
            (None, None) => {}
        }
        if !self.near.is_empty() {
            write!(f, ": near '{}'", self.near)?;
        }
        Ok(())
    }
}

impl std::error::Error for FormatError {}

/// The bytes an error shows: the first few, with everything unprintable escaped.
pub(crate) fn near(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(NEAR_BYTES)].escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_where_and_what_stands_there() {
        let error = FormatError {
            code: code::CANNOT_PARSE_INPUT,
            row: Some(3),
            offset: Some(17),
            message: "expected a tab".to_owned(),
            near: near(b"a\nb"),
        };
        assert_eq!(
            error.to_string(),
            r"expected a tab (at row 3, byte 17): near 'a\nb'"
        );
    }
}
