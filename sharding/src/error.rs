//! Errors: a key that cannot be compiled, and rows for which a compiled key has no value.
//!
//! Texts name functions, columns, types and rows, never a value: they end up in logs, and rows do not belong
//! there.

use types::DataType;

/// A sharding key that cannot be used. The configuration or the table's definition is at fault; trying again
/// is useless.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("sharding key '{text}': {reason}{}", offset.map(|at| format!(" at byte {at}")).unwrap_or_default())]
pub struct KeyError {
    /// The expression as given, cut after [`crate::TEXT_BYTES_MAX`] bytes.
    pub text: String,
    /// What is wrong with it.
    pub reason: KeyReason,
    /// Byte offset of the trouble in `text`, when it has one place.
    pub offset: Option<usize>,
}

impl KeyError {
    /// ClickHouse's code for the same trouble.
    pub fn code(&self) -> u16 {
        self.reason.code()
    }
}

/// What is wrong with a sharding key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the texts say what each is
pub enum KeyReason {
    #[error("longer than {limit} bytes")]
    TooLong { limit: usize },
    #[error("nested deeper than {limit}")]
    TooDeep { limit: usize },
    #[error("expected {expected}, found {found}")]
    Syntax { expected: &'static str, found: String },
    #[error("the number does not fit into 64 bits")]
    Number,
    #[error("unknown function {name}")]
    UnknownFunction { name: String },
    #[error("unknown column {name}")]
    UnknownColumn { name: String },
    #[error("the function {function} takes {expected} arguments, not {found}")]
    ArgumentCount {
        function: &'static str,
        expected: String,
        found: usize,
    },
    #[error("argument {position} of the function {function} cannot be {data_type}")]
    ArgumentType {
        function: &'static str,
        position: usize,
        data_type: DataType,
    },
    #[error("argument {position} of the function {function} must be a constant string")]
    NotConstant { function: &'static str, position: usize },
    #[error("the number of buckets of the function {function} must be a constant from 1 to {most}")]
    Buckets { function: &'static str, most: u64 },
    #[error("unknown or unsupported type {name} to cast to")]
    CastType { name: String },
    #[error("unknown time zone {name}")]
    UnknownZone { name: String },
    #[error(
        "the function {function} depends on the servers' time zone, which is not known: name a zone in the column's type"
    )]
    ZoneNeeded { function: &'static str },
    #[error("the function {function} is no function of the row: it cannot place rows")]
    NotOfRow { function: &'static str },
    #[error("it evaluates to {data_type}, not to an integer of 8 to 64 bits")]
    ResultType { data_type: DataType },
    #[error("its constant part fails: {0}")]
    Constant(EvalReason),
}

impl KeyReason {
    fn code(&self) -> u16 {
        match self {
            Self::TooLong { .. } | Self::TooDeep { .. } | Self::Syntax { .. } | Self::Number => 62, // SYNTAX_ERROR
            Self::UnknownFunction { .. } => 46,
            Self::UnknownColumn { .. } => 47,
            Self::ArgumentCount { .. } => 42,
            Self::ArgumentType { .. } | Self::NotConstant { .. } => 43, // ILLEGAL_TYPE_OF_ARGUMENT
            Self::CastType { .. } => 50,                                // UNKNOWN_TYPE
            Self::Buckets { .. }
            | Self::UnknownZone { .. }
            | Self::ZoneNeeded { .. }
            | Self::NotOfRow { .. } => 36, // BAD_ARGUMENTS
            Self::ResultType { .. } => 53,                              // TYPE_MISMATCH
            Self::Constant(reason) => reason.code(),
        }
    }
}

/// A row for which the key has no value: the INSERT that carries it is at fault, and would fail again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("sharding key: row {row}: the function {function}: {reason}")]
pub struct EvalError {
    /// The row among those given, counted from 0.
    pub row: usize,
    /// The function that could not go on.
    pub function: &'static str,
    /// Why.
    pub reason: EvalReason,
}

impl EvalError {
    /// ClickHouse's code for the same trouble.
    pub fn code(&self) -> u16 {
        self.reason.code()
    }
}

impl EvalError {
    /// Columns that are not those asked for: a mistake of the caller's.
    pub(crate) fn wrong_columns() -> Self {
        Self {
            row: 0,
            function: "sharding key",
            reason: EvalReason::WrongColumns,
        }
    }
}

/// Why a function has no value for a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the texts say what each is
pub enum EvalReason {
    #[error("division by zero")]
    DivisionByZero,
    #[error("division of the lowest number by minus one")]
    DivisionOverflow,
    #[error("division by the lowest number")]
    DivisionByLowest,
    #[error("the string is not wholly a number")]
    NotANumber,
    #[error("the string has a sign without digits, two signs, or a minus before an unsigned number")]
    BadSign,
    #[error("the string is empty")]
    EmptyNumber,
    #[error("NULL cannot be cast to a type that is not Nullable")]
    NullToOrdinary,
    #[error("the time does not fit into the result")]
    TimeOverflow,
    #[error("the time is outside of the years 1900 to 2299")]
    TimeRange,
    #[error("the number is not of the Enum")]
    EnumValue,
    #[error("the number of bits is negative or beyond the width of the number")]
    Shift,
    #[error("the number does not fit into the result")]
    NumberOverflow,
    #[error("the string is no value of the type")]
    NotAValue,
    #[error("the string is longer than the FixedString")]
    TooLong,
    #[error("the index of an array counts from 1 or from -1")]
    ZeroIndex,
    #[error("the value is of a kind that this function cannot take exactly as ClickHouse does")]
    Unsure,
    #[error("the columns given are not those of Key::columns(), or differ in length")]
    WrongColumns,
}

impl EvalReason {
    fn code(self) -> u16 {
        match self {
            Self::DivisionByZero | Self::DivisionOverflow | Self::DivisionByLowest => 153,
            Self::Shift => 69, // ARGUMENT_OUT_OF_BOUND
            Self::NumberOverflow => 407,
            Self::NotAValue => 6,
            Self::TooLong => 131,    // TOO_LARGE_STRING_SIZE
            Self::ZeroIndex => 135,  // ZERO_ARRAY_OR_TUPLE_INDEX
            Self::Unsure => 48,      // NOT_IMPLEMENTED
            Self::NotANumber => 6,   // CANNOT_PARSE_TEXT
            Self::BadSign => 72,     // CANNOT_PARSE_NUMBER
            Self::EmptyNumber => 32, // ATTEMPT_TO_READ_AFTER_EOF
            Self::NullToOrdinary => 349,
            Self::TimeOverflow | Self::TimeRange => 407, // DECIMAL_OVERFLOW
            Self::EnumValue => 36,                       // BAD_ARGUMENTS
            Self::WrongColumns => 49,                    // LOGICAL_ERROR: ours, not the client's
        }
    }
}

/// A reason and its place, before the whole key's text is put beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub reason: KeyReason,
    pub offset: Option<usize>,
}

impl Refusal {
    pub fn at(offset: usize, reason: KeyReason) -> Self {
        Self {
            reason,
            offset: Some(offset),
        }
    }

    pub fn of_whole(reason: KeyReason) -> Self {
        Self { reason, offset: None }
    }
}

/// A reason and its row, before the function's name is put beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure {
    pub row: usize,
    pub reason: EvalReason,
}

impl Failure {
    pub fn at(row: usize, reason: EvalReason) -> Self {
        Self { row, reason }
    }

    /// A column of another kind than its type says: `Key::values` has checked, so only a mistake of ours gets
    /// here.
    pub fn wrong_columns() -> Self {
        Self {
            row: 0,
            reason: EvalReason::WrongColumns,
        }
    }
}
