//! An error as ClickHouse's clients know it: a code, its name, a text, and the HTTP status that decides
//! whether they try again.

use http::StatusCode;

/// ClickHouse's error codes that Weir itself answers with. Names come from the one table in
/// `shard_client::codes`.
pub mod code {
    #![allow(missing_docs)] // ClickHouse's own names
    pub const NO_SUCH_COLUMN_IN_TABLE: i32 = 16;
    pub const NUMBER_OF_COLUMNS_DOESNT_MATCH: i32 = 20;
    pub const CANNOT_READ_ALL_DATA: i32 = 33;
    pub const BAD_ARGUMENTS: i32 = 36;
    pub const TOO_LARGE_SIZE_COMPRESSED: i32 = 39;
    pub const CHECKSUM_DOESNT_MATCH: i32 = 40;
    pub const UNKNOWN_TABLE: i32 = 60;
    pub const SYNTAX_ERROR: i32 = 62;
    pub const UNKNOWN_FORMAT: i32 = 73;
    pub const NOT_IMPLEMENTED: i32 = 48;
    pub const LOGICAL_ERROR: i32 = 49;
    pub const TYPE_MISMATCH: i32 = 53;
    pub const STORAGE_REQUIRES_PARAMETER: i32 = 55;
    pub const UNKNOWN_SETTING: i32 = 115;
    pub const TIMEOUT_EXCEEDED: i32 = 159;
    pub const READONLY: i32 = 164;
    pub const INCORRECT_DATA: i32 = 117;
    pub const TOO_MANY_SIMULTANEOUS_QUERIES: i32 = 202;
    pub const NETWORK_ERROR: i32 = 210;
    pub const QUERY_IS_TOO_LARGE: i32 = 229;
    pub const TABLE_IS_READ_ONLY: i32 = 242;
    pub const NOT_ENOUGH_SPACE: i32 = 243;
    pub const CANNOT_DECOMPRESS: i32 = 271;
    pub const ALL_CONNECTION_TRIES_FAILED: i32 = 279;
    pub const TOO_MANY_BYTES: i32 = 307;
    pub const UNKNOWN_STATUS_OF_INSERT: i32 = 319;
    pub const ZLIB_INFLATE_FAILED: i32 = 354;
    pub const INVALID_SESSION_TIMEOUT: i32 = 374;
    pub const UNKNOWN_CODEC: i32 = 432;
    pub const BROTLI_READ_FAILED: i32 = 448;
    pub const ACCESS_DENIED: i32 = 497;
    pub const AUTHENTICATION_FAILED: i32 = 516;
    pub const LZMA_STREAM_DECODER_FAILED: i32 = 554;
    pub const ZSTD_DECODER_FAILED: i32 = 561;
    pub const BZIP2_STREAM_DECODER_FAILED: i32 = 594;
    pub const LZ4_DECODER_FAILED: i32 = 618;
    pub const SNAPPY_UNCOMPRESS_FAILED: i32 = 638;
    pub const INVALID_SHARD_ID: i32 = 577;
    pub const TOO_FEW_LIVE_REPLICAS: i32 = 285;
}

/// What a client is told instead of a result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Code: {code}. DB::Exception: {message}{}", name_in_brackets(*code))]
pub struct Exception {
    /// ClickHouse's error code.
    pub code: i32,
    /// What, where, whose fault; no code and no name in it.
    pub message: String,
    /// 503 for everything that may pass, so that no client drops rows; 4xx only for what can never succeed.
    pub status: StatusCode,
    /// Seconds for Retry-After, with 503.
    pub retry_after: Option<u32>,
}

impl Exception {
    /// The client's mistake: the same request can never succeed.
    pub fn bad_input(code: i32, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            status: StatusCode::BAD_REQUEST,
            retry_after: None,
        }
    }

    /// Trouble that passes: the client may send the same again, after `seconds`.
    pub fn try_again(code: i32, seconds: u32, message: impl Into<String>) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self {
            code,
            message: message.into(),
            status,
            retry_after: Some(seconds),
        }
    }

    /// What Weir is not asked to do, or does not do yet.
    pub fn not_implemented(message: impl Into<String>) -> Self {
        let (code, status) = (code::NOT_IMPLEMENTED, StatusCode::NOT_IMPLEMENTED);
        Self {
            code,
            message: message.into(),
            status,
            retry_after: None,
        }
    }

    /// A table that Weir does not route. 503, because the table may be configured while the client retries: a
    /// 4xx has made clients drop rows (reference/peers-and-clients.md, section 6, rule 6).
    pub fn unrouted_table(message: impl Into<String>) -> Self {
        Self {
            code: code::UNKNOWN_TABLE,
            message: message.into(),
            status: StatusCode::SERVICE_UNAVAILABLE,
            retry_after: None,
        }
    }

    /// Wrong user or password.
    pub fn authentication_failed(user: &str) -> Self {
        Self {
            code: code::AUTHENTICATION_FAILED,
            message: format!(
                "{user}: Authentication failed: password is incorrect, or there is no user with such name \
                 (or not from this address)."
            ),
            status: StatusCode::FORBIDDEN,
            retry_after: None,
        }
    }

    /// A user who may not do this.
    pub fn access_denied(message: impl Into<String>) -> Self {
        Self {
            code: code::ACCESS_DENIED,
            message: message.into(),
            status: StatusCode::FORBIDDEN,
            retry_after: None,
        }
    }

    /// A broken promise inside Weir; the text goes to the log too.
    pub fn internal(message: impl Into<String>) -> Self {
        Self {
            code: code::LOGICAL_ERROR,
            message: message.into(),
            status: StatusCode::INTERNAL_SERVER_ERROR,
            retry_after: None,
        }
    }
}

/// ` (NAME)`, as ClickHouse ends a message; nothing for a code that the table does not have.
fn name_in_brackets(code: i32) -> String {
    let known = u32::try_from(code).ok().and_then(shard_client::codes::lookup);
    known.map(|code| format!(" ({})", code.name)).unwrap_or_default()
}

impl From<formats::FormatError> for Exception {
    fn from(error: formats::FormatError) -> Self {
        Self::bad_input(error.code, error.to_string())
    }
}

impl From<formats::statement::StatementError> for Exception {
    fn from(error: formats::statement::StatementError) -> Self {
        Self::bad_input(error.code(), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_reads_as_clickhouse_writes_it() {
        let exception = Exception::bad_input(code::SYNTAX_ERROR, "Syntax error.");
        assert_eq!(
            exception.to_string(),
            "Code: 62. DB::Exception: Syntax error. (SYNTAX_ERROR)"
        );
    }

    /// The constants `pub const NAME: i32 = number;` of a module's source.
    fn constants(source: &str) -> impl Iterator<Item = (&str, u32)> {
        source.lines().filter_map(|line| {
            let (name, number) = line.trim().strip_prefix("pub const ")?.split_once(": i32 = ")?;
            Some((name, number.strip_suffix(';')?.parse().ok()?))
        })
    }

    #[test]
    fn every_code_that_a_client_is_told_has_clickhouse_s_name() {
        let own = constants(include_str!("exception.rs"));
        let of_formats = constants(include_str!("../../formats/src/error.rs"));
        let mut count = 0;
        for (constant, number) in own.chain(of_formats) {
            assert!(
                shard_client::codes::lookup(number).is_some(),
                "{constant} = {number} has no name in shard-client/src/codes.rs"
            );
            count += 1;
        }
        assert!(count > 60, "{count} constants found");
        for (constant, number) in constants(include_str!("exception.rs")) {
            let name = shard_client::codes::lookup(number).map(|code| code.name);
            assert_eq!(name, Some(constant), "{number}");
        }
        // A key's and a statement's.
        for number in [6, 36, 42, 43, 46, 47, 50, 53, 62, 135, 153, 306, 407, 456] {
            assert!(shard_client::codes::lookup(number).is_some(), "{number}");
        }
    }
}
