//! Computing a bound expression over one row.

use std::borrow::Cow;
use std::cmp::Ordering;

use types::DataType;

use super::bind::{Bound, Node};
use super::functions::{Comparison, Function, Operation};
use crate::error::{Outcome, code};
use crate::value::{Shape, Value, compare};

/// The value of an expression over a row.
pub(crate) fn evaluate<'a>(bound: &'a Bound, row: &'a [Value]) -> Outcome<Cow<'a, Value>> {
    match &bound.node {
        Node::Column(at) => Ok(Cow::Borrowed(&row[*at])),
        Node::Constant(value) => Ok(Cow::Borrowed(value)),
        Node::Call(function, arguments) => call(*function, arguments, &bound.data_type, row).map(Cow::Owned),
    }
}

/// Whether a condition holds for a row; NULL is no.
pub(crate) fn holds(condition: &Bound, row: &[Value]) -> Outcome<bool> {
    Ok(truth(&*evaluate(condition, row)?) == Some(true))
}

fn call(function: Function, arguments: &[Bound], result: &DataType, row: &[Value]) -> Outcome<Value> {
    let argument = |at: usize| evaluate(&arguments[at], row);
    Ok(match function {
        Function::And => truth_value(conjunction(arguments, row)?),
        Function::Or => truth_value(disjunction(arguments, row)?),
        Function::Not => truth_value(truth(&*argument(0)?).map(|value| !value)),
        Function::IsNull { negated } => flag((*argument(0)? == Value::Null) != negated),
        Function::Compare(comparison) => truth_value(compared(
            comparison,
            &arguments[0].data_type,
            &*argument(0)?,
            &*argument(1)?,
        )),
        Function::Between => truth_value(is_between(arguments, row)?),
        Function::In { negated } => truth_value(is_in(arguments, row)?.map(|found| found != negated)),
        Function::Arithmetic(operation) => arithmetic(operation, result, &*argument(0)?, &*argument(1)?)?,
        Function::Concat => concat(arguments, row)?,
        Function::Length => match &*argument(0)? {
            Value::Bytes(bytes) => Value::Int(bytes.len() as i128),
            _ => Value::Null,
        },
        Function::CityHash64 => city_hash_64(arguments, row)?,
        Function::Rand => Value::Int((uuid::Uuid::new_v4().as_u128() as u32).into()),
        Function::GenerateUuid => Value::Bytes(uuid::Uuid::new_v4().into_bytes().to_vec()),
    })
}

fn flag(value: bool) -> Value {
    Value::Int(value.into())
}

fn truth_value(value: Option<bool>) -> Value {
    value.map_or(Value::Null, flag)
}

/// True, false, or NULL as `None`.
fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Int(number) => Some(*number != 0),
        _ => None,
    }
}

/// AND of three-valued logic: one false decides.
fn conjunction(arguments: &[Bound], row: &[Value]) -> Outcome<Option<bool>> {
    let mut result = Some(true);
    for argument in arguments {
        match truth(&*evaluate(argument, row)?) {
            Some(false) => return Ok(Some(false)),
            Some(true) => {}
            None => result = None,
        }
    }
    Ok(result)
}

/// OR of three-valued logic: one true decides.
fn disjunction(arguments: &[Bound], row: &[Value]) -> Outcome<Option<bool>> {
    let mut result = Some(false);
    for argument in arguments {
        match truth(&*evaluate(argument, row)?) {
            Some(true) => return Ok(Some(true)),
            Some(false) => {}
            None => result = None,
        }
    }
    Ok(result)
}

fn compared(comparison: Comparison, data_type: &DataType, a: &Value, b: &Value) -> Option<bool> {
    if *a == Value::Null || *b == Value::Null {
        return None;
    }
    if is_nan(a) || is_nan(b) {
        return Some(comparison == Comparison::NotEquals);
    }
    let order = compare(data_type, a, b);
    Some(match comparison {
        Comparison::Equals => order == Ordering::Equal,
        Comparison::NotEquals => order != Ordering::Equal,
        Comparison::Less => order == Ordering::Less,
        Comparison::LessOrEquals => order != Ordering::Greater,
        Comparison::Greater => order == Ordering::Greater,
        Comparison::GreaterOrEquals => order != Ordering::Less,
    })
}

fn is_nan(value: &Value) -> bool {
    matches!(value, Value::Float(float) if float.is_nan())
}

/// NULL on the left is NULL; a NULL in the list matches nothing (ClickHouse's `transform_null_in = 0`).
fn is_in(arguments: &[Bound], row: &[Value]) -> Outcome<Option<bool>> {
    let left = evaluate(&arguments[0], row)?;
    if *left == Value::Null {
        return Ok(None);
    }
    for candidate in &arguments[1..] {
        let candidate = evaluate(candidate, row)?;
        if compared(Comparison::Equals, &arguments[0].data_type, &left, &candidate) == Some(true) {
            return Ok(Some(true));
        }
    }
    Ok(Some(false))
}

fn is_between(arguments: &[Bound], row: &[Value]) -> Outcome<Option<bool>> {
    let value = evaluate(&arguments[0], row)?;
    let data_type = &arguments[0].data_type;
    let above = compared(
        Comparison::GreaterOrEquals,
        data_type,
        &value,
        &*evaluate(&arguments[1], row)?,
    );
    let below = compared(
        Comparison::LessOrEquals,
        data_type,
        &value,
        &*evaluate(&arguments[2], row)?,
    );
    Ok(match (above, below) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    })
}

fn concat(arguments: &[Bound], row: &[Value]) -> Outcome<Value> {
    let mut joined = Vec::new();
    for argument in arguments {
        match &*evaluate(argument, row)? {
            Value::Bytes(bytes) => joined.extend_from_slice(bytes),
            _ => return Ok(Value::Null),
        }
    }
    Ok(Value::Bytes(joined))
}

/// Each argument's hash, joined from the left.
fn city_hash_64(arguments: &[Bound], row: &[Value]) -> Outcome<Value> {
    let mut joined = None;
    for argument in arguments {
        let hash = match &*evaluate(argument, row)? {
            Value::Bytes(bytes) => types::city_hash_64(bytes),
            Value::Int(number) => int_hash_64(unsigned(*number, Shape::of(&argument.data_type)?)),
            _ => return Ok(Value::Null),
        };
        joined = Some(joined.map_or(hash, |joined| types::city_hash_join(joined, hash)));
    }
    Ok(joined.map_or(Value::Null, |hash| Value::Int(hash.into())))
}

/// A number's two's complement in its own width, zeros in front: Int8 -1 counts as 255.
fn unsigned(number: i128, shape: Shape) -> u64 {
    match shape {
        Shape::Number { bits, .. } => wrapped(number, Shape::Number { bits, signed: false }) as u64,
        _ => number as u64,
    }
}

/// ClickHouse's intHash64, by which cityHash64 hashes integers: a salt and MurmurHash3's finishing steps.
fn int_hash_64(number: u64) -> u64 {
    let salted = number ^ 0x4cf2_d2ba_ae6d_a887;
    let once = (salted ^ (salted >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let twice = (once ^ (once >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    twice ^ (twice >> 33)
}

fn arithmetic(operation: Operation, result: &DataType, a: &Value, b: &Value) -> Outcome<Value> {
    let (Value::Int(a), Value::Int(b)) = (a, b) else {
        return Ok(Value::Null);
    };
    let exact = match operation {
        Operation::Plus => a + b,
        Operation::Minus => a - b,
        // Two numbers of 64 bits: the product of two UInt64 wraps i128 too, and its low 64 bits stay right.
        Operation::Multiply => a.wrapping_mul(*b),
        Operation::Modulo => modulo(*a, *b)?,
    };
    Ok(Value::Int(wrapped(exact, Shape::of(result.without_nullable())?)))
}

fn modulo(a: i128, b: i128) -> Outcome<i128> {
    match b {
        0 => code::ILLEGAL_DIVISION.refuse("division by zero"),
        ..0 => code::NOT_IMPLEMENTED.refuse("the embedded shard does not divide by negative numbers"),
        _ => Ok(a % b),
    }
}

/// The number in two's complement of its type, as ClickHouse's arithmetic wraps.
pub(super) fn wrapped(number: i128, shape: Shape) -> i128 {
    let Shape::Number {
        bits: bits @ 1..128,
        signed,
    } = shape
    else {
        return number;
    };
    let shift = 128 - bits;
    if signed {
        (number << shift) >> shift
    } else {
        ((number as u128) << shift >> shift) as i128
    }
}

#[cfg(test)]
mod tests {
    use types::ColumnDef;

    use super::super::{Session, bind_row_expression};
    use super::*;
    use crate::error::Exception;
    use crate::settings::Reading;
    use crate::statement::parse_expression;
    use crate::text::{from_text, write_text};

    /// Computes over one row of columns given as (name, type, text); NULL by the text `NULL`.
    fn compute(columns: &[(&str, &str, &str)], expression: &str) -> Result<String, Exception> {
        let session = Session {
            user: "u".to_owned(),
            database: "default".to_owned(),
            host_name: "h".to_owned(),
            server_uuid: "048ad00d-67fd-4e74-e7c7-c9b5caedd3fb".to_owned(),
            now: 86_400,
        };
        let types: Vec<_> = columns
            .iter()
            .map(|(_, data_type, _)| DataType::parse(data_type).unwrap())
            .collect();
        let defs: Vec<_> = columns
            .iter()
            .zip(&types)
            .map(|((name, ..), data_type)| ColumnDef {
                name: (*name).to_owned(),
                data_type: data_type.clone(),
            })
            .collect();
        let row: Vec<_> = columns
            .iter()
            .zip(&types)
            .map(|((_, _, text), data_type)| match *text {
                "NULL" => Value::Null,
                text => from_text(data_type, text.as_bytes(), Reading::default()).unwrap(),
            })
            .collect();
        let bound = bind_row_expression(&parse_expression(expression)?, &defs, &session)?;
        let value = evaluate(&bound, &row)?;
        if *value == Value::Null {
            return Ok("NULL".to_owned());
        }
        let mut text = Vec::new();
        write_text(&bound.data_type, &value, &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    const ROW: &[(&str, &str, &str)] = &[
        ("k", "UInt64", "18446744073709551615"),
        ("i", "Int32", "-7"),
        ("n", "Nullable(UInt8)", "NULL"),
        ("s", "String", "abc"),
        ("fs", "FixedString(4)", "ab"),
        ("d", "Date", "2020-01-02"),
        ("t", "DateTime64(3)", "2020-01-02 03:04:05.678"),
        ("dec", "Decimal(18, 4)", "1.5"),
        (
            "w",
            "UInt256",
            "115792089237316195423570985008687907853269984665640564039457584007913129639935",
        ),
        ("e", "Enum8('a' = 1, 'b' = 2)", "a"),
        ("u", "UUID", "048ad00d-67fd-4e74-e7c7-c9b5caedd3fb"),
        ("f", "Float64", "nan"),
    ];

    #[track_caller]
    fn check(expression: &str, expected: &str) {
        assert_eq!(compute(ROW, expression).unwrap(), expected, "{expression}");
    }

    #[test]
    fn numbers_compare_exactly_whatever_their_types() {
        check("k = 18446744073709551615 AND k > -1 AND k > i", "1");
        check("k < 18446744073709551615.0", "1");
        check(
            "w > k AND w = 115792089237316195423570985008687907853269984665640564039457584007913129639935",
            "1",
        );
        check("dec = 1.5 AND dec > 1 AND dec < 1.5001", "1");
        check("f = f OR f < 1 OR f > 1", "0");
        check("f != f", "1");
    }

    #[test]
    fn strings_beside_other_types_are_read_as_those() {
        check(
            "d = '2020-01-02' AND t > '2020-01-02 03:04:05' AND e = 'a' AND fs = 'ab'",
            "1",
        );
        check("u = '048ad00d-67fd-4e74-e7c7-c9b5caedd3fb' AND i = '-7'", "1");
        check("s IN ('x', 'abc') AND i NOT IN (1, 2)", "1");
    }

    #[test]
    fn null_follows_three_valued_logic() {
        check("n = 1", "NULL");
        check("n = 1 OR 1", "1");
        check("n = 1 AND 0", "0");
        check("NOT n", "NULL");
        check("n IS NULL AND k IS NOT NULL", "1");
        check("n IN (1)", "NULL");
        check("i BETWEEN -7 AND 0 AND k BETWEEN 5 AND 18446744073709551615", "1");
        check("i BETWEEN 0 AND 5", "0");
        check("i BETWEEN n AND -8", "0");
        check("i BETWEEN n AND 0", "NULL");
        check("1 IN (2, NULL)", "0");
    }

    #[test]
    fn arithmetic_wraps_as_clickhouse_wraps() {
        check("k + 1", "0");
        check("k * k", "1");
        check("2 - 3", "-1");
        check("200 * 2", "400");
        check("i % 3", "-1");
        check("k % 10", "5");
    }

    #[test]
    fn functions_answer_about_the_session_and_strings() {
        check("concat(currentUser(), '@', hostName(), s)", "u@habc");
        check("length('é')", "2");
        check("now()", "1970-01-02 00:00:00");
        check("today()", "1970-01-02");
        check("serverUUID()", "048ad00d-67fd-4e74-e7c7-c9b5caedd3fb");
        assert_ne!(
            compute(ROW, "generateUUIDv4()").unwrap(),
            compute(ROW, "generateUUIDv4()").unwrap()
        );
    }

    #[test]
    fn city_hash_64_is_clickhouses() {
        // From sharding/golden/sharding.jsonl.
        let hashed =
            |data_type: &str, text: &str| compute(&[("k", data_type, text)], "cityHash64(k)").unwrap();
        assert_eq!(hashed("UInt8", "83"), "17761105146239526672");
        assert_eq!(hashed("Int8", "-89"), "873780187925552397");
        assert_eq!(hashed("Int64", "-2045454190118162513"), "581508137783875832");
        assert_eq!(hashed("UInt64", "11772573513362399674"), "14983518165688783420");
        assert_eq!(hashed("Bool", "false"), "4761183170873013810");
        assert_eq!(hashed("String", "4S"), "4300376739451595244");
    }

    #[track_caller]
    fn refuses(expression: &str, code: crate::error::Code) {
        let error = compute(ROW, expression).unwrap_err();
        assert_eq!(error.code, code, "{expression}: {error}");
    }

    #[test]
    fn what_has_no_exact_answer_is_refused() {
        refuses("i % 0", code::ILLEGAL_DIVISION);
        refuses("i % -3", code::NOT_IMPLEMENTED);
        refuses("i % k", code::ILLEGAL_TYPE_OF_ARGUMENT);
        refuses("w % 3", code::ILLEGAL_TYPE_OF_ARGUMENT);
        refuses("dec = 1.23456", code::NOT_IMPLEMENTED);
        refuses("s = 1", code::NO_COMMON_TYPE);
        refuses("d = 1", code::NO_COMMON_TYPE);
        refuses("i = 'x'", code::TYPE_MISMATCH);
        refuses("w = 1.5", code::NO_COMMON_TYPE);
        refuses("s AND 1", code::ILLEGAL_TYPE_OF_ARGUMENT);
        refuses("nope(1)", code::UNKNOWN_FUNCTION);
        refuses("cityHash64(d)", code::ILLEGAL_TYPE_OF_ARGUMENT);
        refuses("cityHash64(n)", code::ILLEGAL_TYPE_OF_ARGUMENT);
        refuses("zz", code::UNKNOWN_IDENTIFIER);
        refuses("count() > 1", code::ILLEGAL_AGGREGATION);
        refuses("length(1)", code::ILLEGAL_TYPE_OF_ARGUMENT);
        refuses("now(1)", code::NUMBER_OF_ARGUMENTS_DOESNT_MATCH);
    }
}
