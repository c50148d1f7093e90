//! Errors as ClickHouse says them: a number, a name, a text, and the HTTP status it sends them with.

use std::fmt;

/// What every fallible step of this crate returns.
pub type Outcome<T> = Result<T, Exception>;

/// One error answer. `Display` is the answer's body without the line's end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Code: {}. DB::Exception: {text}. ({}) (version {})", code.number, code.name, crate::VERSION)]
pub struct Exception {
    /// ClickHouse's number, name and status for it.
    pub code: Code,
    /// What is wrong and where; lowercase of ours, without a final dot.
    pub text: String,
}

/// One of ClickHouse's error codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// The number in `X-ClickHouse-Exception-Code`.
    pub number: u16,
    /// The name in brackets behind the text.
    pub name: &'static str,
    /// The HTTP status ClickHouse answers it with.
    pub status: u16,
}

impl Code {
    /// The code of a number, for faults injected by number; one we do not know is sent as 500 under a neutral
    /// name.
    pub fn numbered(number: u16) -> Self {
        let known = code::ALL.iter().find(|code| code.number == number);
        known.copied().unwrap_or(Self {
            number,
            name: "UNKNOWN_EXCEPTION",
            status: 500,
        })
    }

    /// An error with this code.
    pub fn error(self, text: impl fmt::Display) -> Exception {
        Exception {
            code: self,
            text: text.to_string(),
        }
    }

    /// An error with this code, as the result of a step.
    pub fn refuse<T>(self, text: impl fmt::Display) -> Outcome<T> {
        Err(self.error(text))
    }
}

impl Exception {
    /// The same error with the place it happened at behind its text.
    pub fn at(self, place: impl fmt::Display) -> Self {
        Self {
            text: format!("{}: ({place})", self.text),
            ..self
        }
    }
}

impl From<rusqlite::Error> for Exception {
    /// Trouble of the store itself: a full disk, a damaged file. Nothing of the statement was kept.
    fn from(error: rusqlite::Error) -> Self {
        code::CANNOT_WRITE.error(format_args!("the embedded shard's SQLite store failed: {error}"))
    }
}

macro_rules! codes {
    ($($name:ident = $number:literal, $status:literal;)*) => {
        /// ClickHouse's error codes that the embedded shard answers with or is asked to feign; the statuses
        /// are those of
        /// ClickHouse's `exceptionCodeToHTTPStatus`.
        #[allow(missing_docs)] // the names are ClickHouse's own
        pub mod code {
            use super::Code;
            $(pub const $name: Code = Code { number: $number, name: stringify!($name), status: $status };)*
            pub(super) const ALL: &[Code] = &[$($name),*];
        }
    };
}

codes! {
    CANNOT_PARSE_TEXT = 6, 400;
    DUPLICATE_COLUMN = 15, 500;
    NO_SUCH_COLUMN_IN_TABLE = 16, 500;
    CANNOT_PARSE_ESCAPE_SEQUENCE = 25, 400;
    CANNOT_PARSE_QUOTED_STRING = 26, 400;
    CANNOT_PARSE_INPUT_ASSERTION_FAILED = 27, 400;
    CANNOT_READ_ALL_DATA = 33, 500;
    BAD_ARGUMENTS = 36, 400;
    CANNOT_PARSE_DATE = 38, 400;
    CHECKSUM_DOESNT_MATCH = 40, 500;
    CANNOT_PARSE_DATETIME = 41, 400;
    NUMBER_OF_ARGUMENTS_DOESNT_MATCH = 42, 500;
    ILLEGAL_TYPE_OF_ARGUMENT = 43, 500;
    ILLEGAL_COLUMN = 44, 500;
    UNKNOWN_FUNCTION = 46, 404;
    UNKNOWN_IDENTIFIER = 47, 404;
    NOT_IMPLEMENTED = 48, 501;
    UNKNOWN_TYPE = 50, 404;
    TYPE_MISMATCH = 53, 400;
    TABLE_ALREADY_EXISTS = 57, 500;
    UNKNOWN_TABLE = 60, 404;
    SYNTAX_ERROR = 62, 400;
    ARGUMENT_OUT_OF_BOUND = 69, 400;
    CANNOT_PARSE_NUMBER = 72, 400;
    UNKNOWN_FORMAT = 73, 404;
    CANNOT_WRITE = 75, 500;
    UNKNOWN_DATABASE = 81, 404;
    DATABASE_ALREADY_EXISTS = 82, 500;
    UNKNOWN_SETTING = 115, 404;
    INCORRECT_DATA = 117, 400;
    TOO_LARGE_STRING_SIZE = 131, 400;
    ILLEGAL_DIVISION = 153, 500;
    TIMEOUT_EXCEEDED = 159, 408;
    TOO_SLOW = 160, 500;
    READONLY = 164, 500;
    TOO_MANY_SIMULTANEOUS_QUERIES = 202, 500;
    SOCKET_TIMEOUT = 209, 503;
    NETWORK_ERROR = 210, 500;
    NOT_AN_AGGREGATE = 215, 500;
    CYCLIC_ALIASES = 174, 500;
    ILLEGAL_AGGREGATION = 184, 500;
    MEMORY_LIMIT_EXCEEDED = 241, 500;
    TABLE_IS_READ_ONLY = 242, 500;
    TOO_MANY_PARTS = 252, 500;
    CANNOT_DECOMPRESS = 271, 500;
    TOO_MANY_BYTES = 307, 413;
    UNKNOWN_STATUS_OF_INSERT = 319, 500;
    CANNOT_PARSE_UUID = 376, 400;
    NO_COMMON_TYPE = 386, 500;
    TOO_MANY_ROWS_OR_BYTES = 396, 500;
    DECIMAL_OVERFLOW = 407, 400;
    UNKNOWN_CODEC = 432, 500;
    CANNOT_PARSE_BOOL = 467, 400;
    ACCESS_DENIED = 497, 403;
    AUTHENTICATION_FAILED = 516, 403;
    CANNOT_PARSE_IPV4 = 675, 400;
    CANNOT_PARSE_IPV6 = 676, 400;
    UNKNOWN_ELEMENT_OF_ENUM = 691, 400;
    UNKNOWN_EXCEPTION = 1002, 500;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_as_clickhouse_writes_it() {
        let error = code::UNKNOWN_TABLE.error("table default.t does not exist");
        let version = crate::VERSION;
        assert_eq!(
            error.to_string(),
            format!(
                "Code: 60. DB::Exception: table default.t does not exist. (UNKNOWN_TABLE) (version {version})"
            ),
        );
    }

    #[test]
    fn a_number_finds_its_name_and_status() {
        assert_eq!(Code::numbered(252), code::TOO_MANY_PARTS);
        assert_eq!(
            Code::numbered(9999),
            Code {
                number: 9999,
                name: "UNKNOWN_EXCEPTION",
                status: 500
            }
        );
    }
}
