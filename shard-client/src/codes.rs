//! The one table of ClickHouse's error codes that Weir treats in its own way.
//!
//! Numbers and names are ClickHouse's (`errorCodeToName` of 26.9; 18.16 gives the same numbers). A code that
//! is not here is [`Class::Unclear`] and proves nothing.

/// What kind of trouble a code stands for: what would have to change before the same batch could be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// May pass by itself: network, keeper, shutdown, a part of the transport that broke.
    Passing,
    /// May pass by itself, and the sooner the less is asked of the server.
    Overloaded(Overload),
    /// Some row cannot be parsed or stored. The same bytes will never be taken.
    Rows,
    /// The batch is too much for one INSERT ("too many partitions for single INSERT block"): cut it smaller.
    Recut,
    /// The statement's columns and the table's no longer agree: the table changed.
    Schema,
    /// The statement itself: a setting, function or format that this version does not know or allow. In the expressions of
    /// VALUES also a row, which the code alone does not tell (see [`crate::ServerError::names_reader`]).
    Statement,
    /// The destination as it stands refuses everything: no such table, wrong password, no rights.
    Destination,
    /// Not known. Repeated unchanged a few times, never taken apart.
    Unclear,
}

/// Of what a server has too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Overload {
    /// Parts, which merges do not keep up with: fewer and larger batches help.
    Parts,
    /// Memory in use: smaller batches help.
    Memory,
    /// Time that a query took: smaller batches help.
    Time,
    /// Queries, connections or threads: only waiting helps.
    Busy,
}

impl Class {
    /// Whether the trouble may pass by itself.
    pub fn may_pass(self) -> bool {
        match self {
            Class::Passing | Class::Overloaded(_) => true,
            Class::Rows
            | Class::Recut
            | Class::Schema
            | Class::Statement
            | Class::Destination
            | Class::Unclear => false,
        }
    }
}

/// What a code proves about the INSERT it answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Proof {
    /// Thrown before a row is written, and if by a view then in words that name it: nothing was written,
    /// unless they do.
    Always,
    /// Thrown before the one block of the batch exists: nothing was written, unless the code came from a
    /// materialized view, which runs after the block was written into the target.
    OneBlock,
    /// Nothing is proved.
    None,
}

/// One code: its number, ClickHouse's name for it, and how it is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// The number, as in `Code: 60` and `X-ClickHouse-Exception-Code`.
    pub number: u32,
    /// The name, as modern servers print it in parentheses.
    pub name: &'static str,
    /// What kind of trouble it is.
    pub class: Class,
    /// What it proves.
    pub proof: Proof,
}

/// The code's entry, if it is one of those that are treated in a way of their own.
pub fn lookup(number: u32) -> Option<&'static Code> {
    CODES
        .binary_search_by_key(&number, |code| code.number)
        .ok()
        .map(|at| &CODES[at])
}

/// The code's number by its name.
pub fn number(name: &str) -> Option<u32> {
    CODES
        .iter()
        .find(|code| code.name == name)
        .map(|code| code.number)
}

/// Whether the code is among those that tell that a table may have changed, so that its columns are worth
/// asking anew.
pub fn hints_schema_change(number: u32) -> bool {
    matches!(number, 10 | 16 | 27 | 33 | 44 | 47 | 117)
}

/// Whether the server did not let the user in: nothing of the request was looked at.
pub fn refuses_login(number: u32) -> bool {
    matches!(number, 192 | 193 | 194 | 195 | 516 | 720 | 767)
}

const fn entry(number: u32, name: &'static str, class: Class, proof: Proof) -> Code {
    Code {
        number,
        name,
        class,
        proof,
    }
}

/// Ordered by number. `TOO_MANY_PARTS` (252) has two meanings, told apart by its text in `server_error.rs`.
pub const CODES: &[Code] = &[
    entry(1, "UNSUPPORTED_METHOD", Class::Statement, Proof::OneBlock),
    entry(3, "UNEXPECTED_END_OF_FILE", Class::Passing, Proof::None),
    entry(6, "CANNOT_PARSE_TEXT", Class::Rows, Proof::OneBlock),
    entry(7, "INCORRECT_NUMBER_OF_COLUMNS", Class::Rows, Proof::OneBlock),
    entry(8, "THERE_IS_NO_COLUMN", Class::Schema, Proof::OneBlock),
    entry(10, "NOT_FOUND_COLUMN_IN_BLOCK", Class::Schema, Proof::OneBlock),
    entry(15, "DUPLICATE_COLUMN", Class::Schema, Proof::OneBlock),
    entry(16, "NO_SUCH_COLUMN_IN_TABLE", Class::Schema, Proof::OneBlock),
    entry(
        19,
        "SIZE_OF_FIXED_STRING_DOESNT_MATCH",
        Class::Rows,
        Proof::OneBlock,
    ),
    entry(
        20,
        "NUMBER_OF_COLUMNS_DOESNT_MATCH",
        Class::Schema,
        Proof::OneBlock,
    ),
    entry(25, "CANNOT_PARSE_ESCAPE_SEQUENCE", Class::Rows, Proof::OneBlock),
    entry(26, "CANNOT_PARSE_QUOTED_STRING", Class::Rows, Proof::OneBlock),
    entry(
        27,
        "CANNOT_PARSE_INPUT_ASSERTION_FAILED",
        Class::Rows,
        Proof::OneBlock,
    ),
    entry(32, "ATTEMPT_TO_READ_AFTER_EOF", Class::Passing, Proof::None),
    entry(33, "CANNOT_READ_ALL_DATA", Class::Rows, Proof::OneBlock),
    entry(
        34,
        "TOO_MANY_ARGUMENTS_FOR_FUNCTION",
        Class::Statement,
        Proof::OneBlock,
    ),
    entry(
        35,
        "TOO_FEW_ARGUMENTS_FOR_FUNCTION",
        Class::Statement,
        Proof::OneBlock,
    ),
    entry(36, "BAD_ARGUMENTS", Class::Statement, Proof::OneBlock),
    entry(38, "CANNOT_PARSE_DATE", Class::Rows, Proof::OneBlock),
    entry(39, "TOO_LARGE_SIZE_COMPRESSED", Class::Passing, Proof::None),
    entry(40, "CHECKSUM_DOESNT_MATCH", Class::Passing, Proof::None),
    entry(41, "CANNOT_PARSE_DATETIME", Class::Rows, Proof::OneBlock),
    entry(
        42,
        "NUMBER_OF_ARGUMENTS_DOESNT_MATCH",
        Class::Statement,
        Proof::OneBlock,
    ),
    entry(43, "ILLEGAL_TYPE_OF_ARGUMENT", Class::Statement, Proof::OneBlock),
    entry(44, "ILLEGAL_COLUMN", Class::Schema, Proof::OneBlock),
    entry(46, "UNKNOWN_FUNCTION", Class::Statement, Proof::OneBlock),
    entry(47, "UNKNOWN_IDENTIFIER", Class::Schema, Proof::OneBlock),
    entry(48, "NOT_IMPLEMENTED", Class::Statement, Proof::OneBlock),
    entry(49, "LOGICAL_ERROR", Class::Unclear, Proof::None),
    entry(50, "UNKNOWN_TYPE", Class::Schema, Proof::OneBlock),
    entry(53, "TYPE_MISMATCH", Class::Rows, Proof::OneBlock),
    entry(55, "STORAGE_REQUIRES_PARAMETER", Class::Unclear, Proof::None),
    entry(60, "UNKNOWN_TABLE", Class::Destination, Proof::OneBlock),
    entry(62, "SYNTAX_ERROR", Class::Statement, Proof::OneBlock),
    entry(
        63,
        "UNKNOWN_AGGREGATE_FUNCTION",
        Class::Statement,
        Proof::OneBlock,
    ),
    entry(69, "ARGUMENT_OUT_OF_BOUND", Class::Rows, Proof::OneBlock),
    entry(70, "CANNOT_CONVERT_TYPE", Class::Rows, Proof::OneBlock),
    entry(72, "CANNOT_PARSE_NUMBER", Class::Rows, Proof::OneBlock),
    entry(73, "UNKNOWN_FORMAT", Class::Statement, Proof::OneBlock),
    entry(75, "CANNOT_WRITE_TO_FILE_DESCRIPTOR", Class::Passing, Proof::None),
    entry(76, "CANNOT_OPEN_FILE", Class::Passing, Proof::None),
    entry(78, "UNKNOWN_TYPE_OF_QUERY", Class::Statement, Proof::OneBlock),
    entry(80, "INCORRECT_QUERY", Class::Statement, Proof::None),
    entry(81, "UNKNOWN_DATABASE", Class::Destination, Proof::OneBlock),
    entry(
        85,
        "FORMAT_IS_NOT_SUITABLE_FOR_INPUT",
        Class::Statement,
        Proof::OneBlock,
    ),
    entry(89, "UNKNOWN_COMPRESSION_METHOD", Class::Passing, Proof::None),
    entry(92, "EMPTY_DATA_PASSED", Class::Rows, Proof::OneBlock),
    entry(95, "CANNOT_READ_FROM_SOCKET", Class::Passing, Proof::None),
    entry(96, "CANNOT_WRITE_TO_SOCKET", Class::Passing, Proof::None),
    entry(115, "UNKNOWN_SETTING", Class::Statement, Proof::Always),
    entry(117, "INCORRECT_DATA", Class::Rows, Proof::OneBlock),
    entry(128, "TOO_LARGE_ARRAY_SIZE", Class::Rows, Proof::OneBlock),
    entry(130, "CANNOT_READ_ARRAY_FROM_TEXT", Class::Rows, Proof::OneBlock),
    entry(131, "TOO_LARGE_STRING_SIZE", Class::Rows, Proof::OneBlock),
    entry(135, "ZERO_ARRAY_OR_TUPLE_INDEX", Class::Unclear, Proof::None),
    entry(153, "ILLEGAL_DIVISION", Class::Rows, Proof::OneBlock),
    entry(
        159,
        "TIMEOUT_EXCEEDED",
        Class::Overloaded(Overload::Time),
        Proof::None,
    ),
    entry(160, "TOO_SLOW", Class::Overloaded(Overload::Time), Proof::None),
    entry(164, "READONLY", Class::Destination, Proof::OneBlock),
    entry(170, "BAD_GET", Class::Statement, Proof::OneBlock),
    entry(
        173,
        "CANNOT_ALLOCATE_MEMORY",
        Class::Overloaded(Overload::Memory),
        Proof::None,
    ),
    entry(184, "ILLEGAL_AGGREGATION", Class::Statement, Proof::OneBlock),
    entry(190, "SIZES_OF_ARRAYS_DONT_MATCH", Class::Rows, Proof::OneBlock),
    entry(192, "UNKNOWN_USER", Class::Destination, Proof::Always),
    entry(193, "WRONG_PASSWORD", Class::Destination, Proof::Always),
    entry(194, "REQUIRED_PASSWORD", Class::Destination, Proof::Always),
    entry(195, "IP_ADDRESS_NOT_ALLOWED", Class::Destination, Proof::Always),
    entry(198, "DNS_ERROR", Class::Passing, Proof::None),
    entry(
        201,
        "QUOTA_EXCEEDED",
        Class::Overloaded(Overload::Busy),
        Proof::None,
    ),
    entry(
        202,
        "TOO_MANY_SIMULTANEOUS_QUERIES",
        Class::Overloaded(Overload::Busy),
        Proof::Always,
    ),
    entry(
        203,
        "NO_FREE_CONNECTION",
        Class::Overloaded(Overload::Busy),
        Proof::None,
    ),
    entry(204, "CANNOT_FSYNC", Class::Passing, Proof::None),
    entry(209, "SOCKET_TIMEOUT", Class::Passing, Proof::None),
    entry(210, "NETWORK_ERROR", Class::Passing, Proof::None),
    entry(
        216,
        "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING",
        Class::Passing,
        Proof::Always,
    ),
    entry(218, "TABLE_IS_DROPPED", Class::Destination, Proof::OneBlock),
    entry(225, "NO_ZOOKEEPER", Class::Passing, Proof::None),
    entry(229, "QUERY_IS_TOO_LARGE", Class::Statement, Proof::None),
    entry(236, "ABORTED", Class::Passing, Proof::None),
    entry(
        241,
        "MEMORY_LIMIT_EXCEEDED",
        Class::Overloaded(Overload::Memory),
        Proof::None,
    ),
    entry(242, "TABLE_IS_READ_ONLY", Class::Passing, Proof::None),
    entry(243, "NOT_ENOUGH_SPACE", Class::Passing, Proof::None),
    entry(244, "UNEXPECTED_ZOOKEEPER_ERROR", Class::Passing, Proof::None),
    entry(
        252,
        "TOO_MANY_PARTS",
        Class::Overloaded(Overload::Parts),
        Proof::None,
    ),
    entry(254, "NO_ACTIVE_REPLICAS", Class::Passing, Proof::None),
    entry(265, "NO_AVAILABLE_REPLICA", Class::Passing, Proof::None),
    entry(271, "CANNOT_DECOMPRESS", Class::Passing, Proof::None),
    entry(279, "ALL_CONNECTION_TRIES_FAILED", Class::Passing, Proof::None),
    entry(285, "TOO_FEW_LIVE_REPLICAS", Class::Passing, Proof::None),
    entry(
        286,
        "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE",
        Class::Passing,
        Proof::None,
    ),
    entry(291, "DATABASE_ACCESS_DENIED", Class::Destination, Proof::Always),
    entry(294, "CANNOT_WRITE_TO_FILE", Class::Passing, Proof::None),
    entry(306, "TOO_DEEP_RECURSION", Class::Unclear, Proof::None),
    entry(307, "TOO_MANY_BYTES", Class::Unclear, Proof::None),
    entry(319, "UNKNOWN_STATUS_OF_INSERT", Class::Passing, Proof::None),
    entry(
        321,
        "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE",
        Class::Rows,
        Proof::OneBlock,
    ),
    entry(344, "SUPPORT_IS_DISABLED", Class::Statement, Proof::None),
    entry(
        349,
        "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN",
        Class::Rows,
        Proof::OneBlock,
    ),
    entry(354, "ZLIB_INFLATE_FAILED", Class::Passing, Proof::None),
    entry(
        364,
        "RECEIVED_ERROR_TOO_MANY_REQUESTS",
        Class::Overloaded(Overload::Busy),
        Proof::None,
    ),
    entry(
        366,
        "SIZES_OF_NESTED_COLUMNS_ARE_INCONSISTENT",
        Class::Rows,
        Proof::OneBlock,
    ),
    entry(368, "BAD_CAST", Class::Statement, Proof::OneBlock),
    entry(372, "SESSION_NOT_FOUND", Class::Passing, Proof::Always),
    entry(373, "SESSION_IS_LOCKED", Class::Passing, Proof::Always),
    entry(374, "INVALID_SESSION_TIMEOUT", Class::Statement, Proof::Always),
    entry(376, "CANNOT_PARSE_UUID", Class::Rows, Proof::OneBlock),
    entry(384, "PART_IS_TEMPORARILY_LOCKED", Class::Passing, Proof::None),
    entry(386, "NO_COMMON_TYPE", Class::Statement, Proof::OneBlock),
    entry(389, "INSERT_WAS_DEDUPLICATED", Class::Unclear, Proof::None),
    entry(392, "QUERY_IS_PROHIBITED", Class::Destination, Proof::None),
    entry(394, "QUERY_WAS_CANCELLED", Class::Passing, Proof::None),
    entry(
        395,
        "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO",
        Class::Rows,
        Proof::OneBlock,
    ),
    entry(407, "DECIMAL_OVERFLOW", Class::Rows, Proof::OneBlock),
    entry(
        410,
        "EXTERNAL_SERVER_IS_NOT_RESPONDING",
        Class::Passing,
        Proof::None,
    ),
    entry(416, "REPLICA_STATUS_CHANGED", Class::Passing, Proof::None),
    entry(425, "SYSTEM_ERROR", Class::Passing, Proof::None),
    entry(427, "CANNOT_COMPILE_REGEXP", Class::Statement, Proof::OneBlock),
    entry(432, "UNKNOWN_CODEC", Class::Passing, Proof::None),
    entry(
        439,
        "CANNOT_SCHEDULE_TASK",
        Class::Overloaded(Overload::Busy),
        Proof::None,
    ),
    entry(
        441,
        "CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING",
        Class::Rows,
        Proof::OneBlock,
    ),
    entry(444, "UNKNOWN_PROTOBUF_FORMAT", Class::Rows, Proof::OneBlock),
    entry(448, "BROTLI_READ_FAILED", Class::Passing, Proof::None),
    entry(
        452,
        "SETTING_CONSTRAINT_VIOLATION",
        Class::Statement,
        Proof::OneBlock,
    ),
    entry(456, "UNKNOWN_QUERY_PARAMETER", Class::Statement, Proof::OneBlock),
    entry(457, "BAD_QUERY_PARAMETER", Class::Statement, Proof::OneBlock),
    entry(467, "CANNOT_PARSE_BOOL", Class::Rows, Proof::OneBlock),
    entry(469, "VIOLATED_CONSTRAINT", Class::Rows, Proof::OneBlock),
    entry(471, "INVALID_SETTING_VALUE", Class::Statement, Proof::OneBlock),
    entry(472, "READONLY_SETTING", Class::Statement, Proof::OneBlock),
    entry(473, "DEADLOCK_AVOIDED", Class::Passing, Proof::None),
    entry(497, "ACCESS_DENIED", Class::Destination, Proof::Always),
    entry(499, "S3_ERROR", Class::Passing, Proof::None),
    entry(516, "AUTHENTICATION_FAILED", Class::Destination, Proof::Always),
    entry(519, "NO_REMOTE_SHARD_AVAILABLE", Class::Passing, Proof::None),
    entry(529, "NOT_A_LEADER", Class::Passing, Proof::None),
    entry(554, "LZMA_STREAM_DECODER_FAILED", Class::Passing, Proof::None),
    entry(561, "ZSTD_DECODER_FAILED", Class::Passing, Proof::None),
    entry(563, "CANNOT_READ_MAP_FROM_TEXT", Class::Rows, Proof::OneBlock),
    entry(568, "RAFT_ERROR", Class::Passing, Proof::None),
    entry(
        574,
        "DISTRIBUTED_TOO_MANY_PENDING_BYTES",
        Class::Overloaded(Overload::Busy),
        Proof::None,
    ),
    entry(577, "INVALID_SHARD_ID", Class::Unclear, Proof::None),
    entry(594, "BZIP2_STREAM_DECODER_FAILED", Class::Passing, Proof::None),
    entry(618, "LZ4_DECODER_FAILED", Class::Passing, Proof::None),
    entry(626, "CANNOT_SKIP_UNKNOWN_FIELD", Class::Unclear, Proof::None),
    entry(
        632,
        "UNEXPECTED_DATA_AFTER_PARSED_VALUE",
        Class::Rows,
        Proof::OneBlock,
    ),
    entry(638, "SNAPPY_UNCOMPRESS_FAILED", Class::Passing, Proof::None),
    entry(
        645,
        "NUMBER_OF_DIMENSIONS_MISMATCHED",
        Class::Rows,
        Proof::OneBlock,
    ),
    entry(659, "UNKNOWN_STATUS_OF_TRANSACTION", Class::Passing, Proof::None),
    entry(667, "NOT_INITIALIZED", Class::Passing, Proof::None),
    entry(668, "INVALID_STATE", Class::Passing, Proof::None),
    entry(675, "CANNOT_PARSE_IPV4", Class::Rows, Proof::OneBlock),
    entry(676, "CANNOT_PARSE_IPV6", Class::Rows, Proof::OneBlock),
    entry(677, "THREAD_WAS_CANCELED", Class::Passing, Proof::None),
    entry(691, "UNKNOWN_ELEMENT_OF_ENUM", Class::Rows, Proof::OneBlock),
    entry(692, "TOO_MANY_MUTATIONS", Class::Passing, Proof::None),
    entry(720, "USER_EXPIRED", Class::Destination, Proof::Always),
    entry(733, "TABLE_IS_BEING_RESTARTED", Class::Passing, Proof::None),
    entry(741, "TABLE_UUID_MISMATCH", Class::Destination, Proof::None),
    entry(
        745,
        "SERVER_OVERLOADED",
        Class::Overloaded(Overload::Busy),
        Proof::Always,
    ),
    entry(
        749,
        "TCP_CONNECTION_LIMIT_REACHED",
        Class::Overloaded(Overload::Busy),
        Proof::Always,
    ),
    entry(
        762,
        "HTTP_CONNECTION_LIMIT_REACHED",
        Class::Overloaded(Overload::Busy),
        Proof::Always,
    ),
    entry(
        763,
        "SESSION_REFUSED",
        Class::Overloaded(Overload::Busy),
        Proof::Always,
    ),
    entry(767, "REQUIRED_SECOND_FACTOR", Class::Destination, Proof::Always),
    entry(
        774,
        "TABLE_IS_PERMANENTLY_READ_ONLY",
        Class::Destination,
        Proof::OneBlock,
    ),
    entry(
        776,
        "RESOURCE_LIMIT_EXCEEDED",
        Class::Overloaded(Overload::Busy),
        Proof::None,
    ),
    entry(
        777,
        "MEMORY_RESERVATION_KILLED",
        Class::Overloaded(Overload::Memory),
        Proof::None,
    ),
    entry(
        778,
        "MEMORY_RESERVATION_FAILED",
        Class::Overloaded(Overload::Memory),
        Proof::None,
    ),
    entry(999, "KEEPER_EXCEPTION", Class::Passing, Proof::None),
    entry(1000, "POCO_EXCEPTION", Class::Unclear, Proof::None),
    entry(1001, "STD_EXCEPTION", Class::Unclear, Proof::None),
    entry(1002, "UNKNOWN_EXCEPTION", Class::Unclear, Proof::None),
    entry(1017, "ASYNC_INSERT_FLUSH_TIMEOUT", Class::Passing, Proof::None),
    entry(
        1019,
        "QUERY_SLOT_ACQUISITION_TIMEOUT",
        Class::Overloaded(Overload::Busy),
        Proof::None,
    ),
    entry(
        1020,
        "MEMORY_RESERVATION_ACQUISITION_TIMEOUT",
        Class::Overloaded(Overload::Memory),
        Proof::None,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_has_no_code_twice() {
        for pair in CODES.windows(2) {
            assert!(
                pair[0].number < pair[1].number,
                "{} and {}",
                pair[0].name,
                pair[1].name
            );
        }
    }

    #[test]
    fn a_code_is_found_by_number_and_by_name() {
        assert_eq!(lookup(60).map(|code| code.name), Some("UNKNOWN_TABLE"));
        assert_eq!(number("WRONG_PASSWORD"), Some(193));
        assert_eq!(lookup(123_456), None);
    }

    #[test]
    fn what_an_expression_in_values_can_throw_comes_before_the_block() {
        for number in [1, 36, 42, 43, 44, 46, 47, 48, 50, 62, 63, 153, 386, 395, 427, 456] {
            let code = lookup(number).unwrap();
            assert_eq!(code.proof, Proof::OneBlock, "{}", code.name);
        }
    }

    #[test]
    fn overload_is_told_by_what_there_is_too_much_of() {
        let overloads = CODES.iter().filter_map(|code| match code.class {
            Class::Overloaded(overload) => Some((code.number, overload)),
            _ => None,
        });
        let of = |wanted| -> Vec<u32> {
            let of_kind = overloads.clone().filter(|(_, overload)| *overload == wanted);
            of_kind.map(|(number, _)| number).collect()
        };
        assert_eq!(of(Overload::Parts), [252]);
        assert_eq!(of(Overload::Memory), [173, 241, 777, 778, 1020]);
        assert_eq!(of(Overload::Time), [159, 160]);
        let busy = [201, 202, 203, 364, 439, 574, 745, 749, 762, 763, 776, 1019];
        assert_eq!(of(Overload::Busy), busy);
    }

    #[test]
    fn rows_that_cannot_be_parsed_prove_that_nothing_was_written() {
        for number in [26, 27, 33, 38, 41, 53, 72, 117] {
            let code = lookup(number).unwrap();
            assert_eq!(
                (code.class, code.proof),
                (Class::Rows, Proof::OneBlock),
                "{}",
                code.name
            );
        }
    }
}
