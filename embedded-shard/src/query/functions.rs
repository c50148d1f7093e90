//! The functions that are known, and which types they take.

use types::DataType;

use super::Session;
use super::bind::Bound;
use crate::error::{Outcome, code};
use crate::time;
use crate::value::{Shape, Value};

/// What a call computes. Its arguments have been checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    Compare(Comparison),
    /// The first argument equals one of the others.
    In {
        negated: bool,
    },
    /// The first argument is neither less than the second nor greater than the third.
    Between,
    And,
    Or,
    Not,
    IsNull {
        negated: bool,
    },
    /// Over integers of at most 64 bits, wrapping in the result's type as ClickHouse does.
    Arithmetic(Operation),
    Concat,
    /// Bytes of a string.
    Length,
    /// Over integers of at most 64 bits and strings: enough to ask a shard for rows that are not its own.
    CityHash64,
    /// A random UInt32 for every row.
    Rand,
    /// A random UUID for every row.
    GenerateUuid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equals,
    NotEquals,
    Less,
    LessOrEquals,
    Greater,
    GreaterOrEquals,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Plus,
    Minus,
    Multiply,
    Modulo,
}

/// The value of a function about the session or the server.
pub(crate) fn constant(function: &str, arguments: usize, session: &Session) -> Outcome<Option<Bound>> {
    let text = |text: &str| (DataType::String, Value::Bytes(text.as_bytes().to_vec()));
    let (data_type, value) = match function {
        "version" => text(crate::VERSION),
        "timezone" | "serverTimezone" => text("UTC"),
        "hostName" | "displayName" => text(&session.host_name),
        "currentUser" => text(&session.user),
        "currentDatabase" => text(&session.database),
        "serverUUID" => (
            DataType::Uuid,
            crate::text::from_text(
                &DataType::Uuid,
                session.server_uuid.as_bytes(),
                Default::default(),
            )?,
        ),
        "now" => (DataType::DateTime(None), Value::Int(session.now.into())),
        "today" => (DataType::Date, Value::Int(time::utc_day(session.now).into())),
        _ => return Ok(None),
    };
    takes(function, arguments, arguments == 0)?;
    Ok(Some(Bound::constant(data_type, value)))
}

/// Whether a function compares its arguments with one another.
pub(super) fn compares(function: &str) -> bool {
    comparison(function).is_some() || matches!(function, "in" | "notIn" | "between")
}

/// Checks a call's arguments and gives its function and type.
pub(super) fn bind_call(function: &str, arguments: Vec<Bound>) -> Outcome<Bound> {
    let count = arguments.len();
    if let Some(comparison) = comparison(function) {
        takes(function, count, count == 2)?;
        return compare(Function::Compare(comparison), arguments);
    }
    if let Some(operation) = operation(function) {
        takes(function, count, count == 2)?;
        return arithmetic(function, operation, arguments);
    }
    match function {
        "in" | "notIn" => compare(
            Function::In {
                negated: function == "notIn",
            },
            arguments,
        ),
        "between" => takes(function, count, count == 3).and_then(|()| compare(Function::Between, arguments)),
        "and" => logical(Function::And, arguments),
        "or" => logical(Function::Or, arguments),
        "not" => takes(function, count, count == 1).and_then(|()| logical(Function::Not, arguments)),
        "isNull" | "isNotNull" => {
            takes(function, count, count == 1)?;
            call(
                Function::IsNull {
                    negated: function == "isNotNull",
                },
                arguments,
                DataType::UInt8,
            )
        }
        "concat" => strings(Function::Concat, arguments, DataType::String),
        "length" => takes(function, count, count == 1)
            .and_then(|()| strings(Function::Length, arguments, DataType::UInt64)),
        "cityHash64" => city_hash_64(arguments),
        "rand" => takes(function, count, count == 0)
            .and_then(|()| call(Function::Rand, arguments, DataType::UInt32)),
        "generateUUIDv4" => takes(function, count, count == 0)
            .and_then(|()| call(Function::GenerateUuid, arguments, DataType::Uuid)),
        other => code::UNKNOWN_FUNCTION.refuse(format_args!(
            "function with name `{other}` does not exist in the embedded shard"
        )),
    }
}

fn comparison(function: &str) -> Option<Comparison> {
    Some(match function {
        "equals" => Comparison::Equals,
        "notEquals" => Comparison::NotEquals,
        "less" => Comparison::Less,
        "lessOrEquals" => Comparison::LessOrEquals,
        "greater" => Comparison::Greater,
        "greaterOrEquals" => Comparison::GreaterOrEquals,
        _ => return None,
    })
}

fn operation(function: &str) -> Option<Operation> {
    Some(match function {
        "plus" => Operation::Plus,
        "minus" => Operation::Minus,
        "multiply" => Operation::Multiply,
        "modulo" => Operation::Modulo,
        _ => return None,
    })
}

pub(super) fn takes(function: &str, count: usize, fits: bool) -> Outcome<()> {
    match fits {
        true => Ok(()),
        false => code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH.refuse(format_args!(
            "function {function} does not take {count} arguments"
        )),
    }
}

/// A call whose result is NULL where an argument can be.
fn call(function: Function, arguments: Vec<Bound>, result: DataType) -> Outcome<Bound> {
    let null_passes = !matches!(function, Function::IsNull { .. });
    let nullable = null_passes && arguments.iter().any(|argument| argument.data_type.is_nullable());
    let data_type = if nullable {
        DataType::Nullable(Box::new(result))
    } else {
        result
    };
    Ok(Bound {
        data_type,
        node: super::bind::Node::Call(function, arguments),
    })
}

fn compare(function: Function, arguments: Vec<Bound>) -> Outcome<Bound> {
    let first = &arguments[0].data_type;
    for other in &arguments[1..] {
        if !comparable(first.without_nullable(), other.data_type.without_nullable())? {
            return code::NO_COMMON_TYPE.refuse(format_args!(
                "there is no supertype for types {first}, {}",
                other.data_type
            ));
        }
    }
    call(function, arguments, DataType::UInt8)
}

/// Whether values of two types compare exactly.
fn comparable(a: &DataType, b: &DataType) -> Outcome<bool> {
    use DataType as T;
    Ok(match (a, b) {
        (T::Nothing, _) | (_, T::Nothing) => true,
        (T::DateTime(_), T::DateTime(_)) => true,
        (T::DateTime64(a, _), T::DateTime64(b, _)) => a == b,
        (T::Decimal { scale: a, .. }, T::Decimal { scale: b, .. }) => a == b,
        _ if is_integer(a) && is_integer(b) => true,
        _ if is_float(a) && is_float(b) => true,
        _ if is_integer(a) && is_float(b) => !Shape::of(a)?.is_wide(),
        _ if is_float(a) && is_integer(b) => !Shape::of(b)?.is_wide(),
        _ => a == b,
    })
}

pub(super) fn is_float(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float32 | DataType::Float64)
}

pub(super) fn is_integer(data_type: &DataType) -> bool {
    use DataType as T;
    let unsigned = matches!(
        data_type,
        T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64 | T::UInt128 | T::UInt256 | T::Bool
    );
    unsigned
        || matches!(
            data_type,
            T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::Int128 | T::Int256
        )
}

/// Bits and sign of an integer type of at most 64 bits.
fn small_integer(data_type: &DataType) -> Option<(u32, bool)> {
    match Shape::of(data_type).ok()? {
        Shape::Number { bits, signed } if bits <= 64 && is_integer(data_type) => Some((bits, signed)),
        _ => None,
    }
}

fn logical(function: Function, arguments: Vec<Bound>) -> Outcome<Bound> {
    for argument in &arguments {
        let plain = argument.data_type.without_nullable();
        if *plain != DataType::Nothing && small_integer(plain).is_none() {
            return illegal_type("a logical function", &argument.data_type);
        }
    }
    call(function, arguments, DataType::UInt8)
}

fn strings(function: Function, arguments: Vec<Bound>, result: DataType) -> Outcome<Bound> {
    let is_string = |argument: &&Bound| *argument.data_type.without_nullable() == DataType::String;
    match arguments.iter().find(|argument| !is_string(argument)) {
        Some(other) => illegal_type("a string function", &other.data_type),
        None => call(function, arguments, result),
    }
}

fn city_hash_64(arguments: Vec<Bound>) -> Outcome<Bound> {
    takes("cityHash64", arguments.len(), !arguments.is_empty())?;
    let hashed = |argument: &&Bound| {
        argument.data_type == DataType::String || small_integer(&argument.data_type).is_some()
    };
    match arguments.iter().find(|argument| !hashed(argument)) {
        Some(other) => illegal_type("cityHash64", &other.data_type),
        None => call(Function::CityHash64, arguments, DataType::UInt64),
    }
}

fn arithmetic(function: &str, operation: Operation, arguments: Vec<Bound>) -> Outcome<Bound> {
    let sides = arguments.iter().map(|argument| {
        small_integer(argument.data_type.without_nullable())
            .map_or_else(|| illegal_type(function, &argument.data_type), Ok)
    });
    let sides = sides.collect::<Outcome<Vec<_>>>()?;
    let [(left_bits, left_signed), (right_bits, right_signed)] = sides[..] else {
        return code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH
            .refuse(format_args!("function {function} takes two arguments"));
    };
    let result = match operation {
        // A signed number by UInt64 goes through C++'s conversion to unsigned in ClickHouse: better no answer
        // than that.
        Operation::Modulo if left_signed && (right_bits, right_signed) == (64, false) => {
            return illegal_type("modulo of a signed number by", &arguments[1].data_type);
        }
        Operation::Modulo => integer_type(if left_signed { 64 } else { right_bits }, left_signed),
        Operation::Minus => integer_type(2 * left_bits.max(right_bits), true),
        Operation::Plus | Operation::Multiply => {
            integer_type(2 * left_bits.max(right_bits), left_signed || right_signed)
        }
    };
    call(Function::Arithmetic(operation), arguments, result)
}

/// The integer type of that many bits, at most 64.
fn integer_type(bits: u32, signed: bool) -> DataType {
    match (bits, signed) {
        (8, false) => DataType::UInt8,
        (16, false) => DataType::UInt16,
        (32, false) => DataType::UInt32,
        (_, false) => DataType::UInt64,
        (8, true) => DataType::Int8,
        (16, true) => DataType::Int16,
        (32, true) => DataType::Int32,
        (_, true) => DataType::Int64,
    }
}

pub(super) fn illegal_type<T>(function: &str, data_type: &DataType) -> Outcome<T> {
    code::ILLEGAL_TYPE_OF_ARGUMENT.refuse(format_args!(
        "illegal type {data_type} of argument of {function} in the embedded shard"
    ))
}
