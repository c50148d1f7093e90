//! `+`, `-`, `*` and the unary minus, in ClickHouse's widths: the result has room for one operation, up to 64
//! bits, and wraps around beyond.

use types::{Data, DataType};

use super::number::real;
use super::time::ticks_of;
use super::{Bound, Call, Function, interval};
use crate::error::{EvalReason, Failure, Refusal};
use crate::integers::{Integer, Words};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("plus", bind_plus)
        .with_arguments(2, 2)
        .with_intervals(),
    Function::new("minus", bind_minus)
        .with_arguments(2, 2)
        .with_intervals(),
    Function::new("multiply", |call| {
        bind(call, false, u64::wrapping_mul, |left, right| left * right)
    })
    .with_arguments(2, 2),
    Function::new("negate", bind_negate).with_intervals(),
];

fn bind_plus(call: &Call<'_>) -> Result<Bound, Refusal> {
    if let Some(bound) = interval::bind_sum(call, 1) {
        return bound;
    }
    match call.arguments[0].data_type {
        DataType::Date | DataType::DateTime(_) => bind_time(call, u64::wrapping_add),
        DataType::DateTime64(..) => bind_ticks(call, 1),
        _ => bind(call, false, u64::wrapping_add, |left, right| left + right),
    }
}

fn bind_minus(call: &Call<'_>) -> Result<Bound, Refusal> {
    if let Some(bound) = interval::bind_sum(call, -1) {
        return bound;
    }
    match call.arguments[0].data_type {
        DataType::Date | DataType::DateTime(_) => bind_time(call, u64::wrapping_sub),
        DataType::DateTime64(..) => bind_ticks(call, -1),
        _ => bind(call, true, u64::wrapping_sub, |left, right| left - right),
    }
}

/// The two integers that an arithmetic function works on.
pub(super) fn operands(call: &Call<'_>) -> Result<(Integer, Integer), Refusal> {
    let operand = |place: usize| {
        let data_type: &DataType = call.arguments[place].data_type;
        Integer::of(data_type).ok_or_else(|| call.illegal(place))
    };
    Ok((operand(0)?, operand(1)?))
}

fn bind(
    call: &Call<'_>,
    always_signed: bool,
    operation: impl Fn(u64, u64) -> u64 + Copy + Send + Sync + 'static,
    of_floats: fn(f64, f64) -> f64,
) -> Result<Bound, Refusal> {
    let is_float = |place: usize| {
        matches!(
            call.arguments[place].data_type,
            DataType::Float32 | DataType::Float64
        )
    };
    if is_float(0) || is_float(1) {
        return bind_floats(call, of_floats);
    }
    let (left, right) = operands(call)?;
    let signed = always_signed || left.signed || right.signed;
    let result = Integer {
        bytes: left.wider().max(right.wider()),
        signed,
    };
    Ok(Bound::new(result.data_type(), move |inputs| {
        let (left, right) = (Words::of(&inputs.values[0])?, Words::of(&inputs.values[1])?);
        Ok(result.narrow(left.zip(&right, inputs.rows, operation)))
    }))
}

/// Floats, or a float and a whole number, as Float64; so is every quotient.
pub(super) fn bind_floats(call: &Call<'_>, operation: fn(f64, f64) -> f64) -> Result<Bound, Refusal> {
    for place in 0..2 {
        let data_type = call.arguments[place].data_type;
        let is_float = matches!(data_type, DataType::Float32 | DataType::Float64);
        if !is_float && Integer::of(data_type).is_none() {
            return Err(call.illegal(place));
        }
    }
    Ok(Bound::new(DataType::Float64, move |inputs| {
        let result = |row| {
            let [left, right] = [0, 1].map(|place| {
                let value = &inputs.values[place];
                real(&value.column.data, value.place(row))
            });
            Ok(operation(left?, right?))
        };
        let results = (0..inputs.rows).map(result).collect::<Result<_, Failure>>()?;
        Ok(Data::Float64(results))
    }))
}

/// A Date and days, or a DateTime and seconds: of the same type, wrapping around.
fn bind_time(call: &Call<'_>, operation: fn(u64, u64) -> u64) -> Result<Bound, Refusal> {
    let data_type = call.arguments[0].data_type.clone();
    Integer::of(call.arguments[1].data_type).ok_or_else(|| call.illegal(1))?;
    let result = Integer {
        bytes: if data_type == DataType::Date { 2 } else { 4 },
        signed: false,
    };
    Ok(Bound::new(data_type, move |inputs| {
        let (left, right) = (Words::of(&inputs.values[0])?, Words::of(&inputs.values[1])?);
        Ok(result.narrow(left.zip(&right, inputs.rows, operation)))
    }))
}

/// A DateTime64 and seconds.
fn bind_ticks(call: &Call<'_>, sign: i64) -> Result<Bound, Refusal> {
    let DataType::DateTime64(precision, _) = call.arguments[0].data_type else {
        return Err(call.illegal(0));
    };
    let per_second = ticks_of(*precision).ok_or_else(|| call.illegal(0))?.per_second;
    Integer::of(call.arguments[1].data_type).ok_or_else(|| call.illegal(1))?;
    let data_type = call.arguments[0].data_type.clone();
    Ok(Bound::new(data_type, move |inputs| {
        let (times, counts) = (Words::of(&inputs.values[0])?, Words::of(&inputs.values[1])?);
        let sums = times.try_zip(&counts, inputs.rows, |row, time, count| {
            let ticks = count.cast_signed().checked_mul(sign * per_second);
            let sum = ticks.and_then(|ticks| time.cast_signed().checked_add(ticks));
            match sum {
                _ if inputs.is_null(row) => Ok(0),
                Some(sum) => Ok(sum.cast_unsigned()),
                None => Err(Failure::at(row, EvalReason::TimeOverflow)),
            }
        })?;
        Ok(Data::Int64(sums.into_iter().map(u64::cast_signed).collect()))
    }))
}

/// An unsigned number needs more room for its negative, a signed one keeps its width.
fn bind_negate(call: &Call<'_>) -> Result<Bound, Refusal> {
    if let Some(bound) = interval::bind_negative(call) {
        return Ok(bound);
    }
    let operand = Integer::of(call.arguments[0].data_type).ok_or_else(|| call.illegal(0))?;
    let bytes = if operand.signed {
        operand.bytes
    } else {
        operand.wider()
    };
    let result = Integer { bytes, signed: true };
    Ok(Bound::new(result.data_type(), move |inputs| {
        let words = Words::of(&inputs.values[0])?;
        Ok(result.narrow(words.map(inputs.rows, u64::wrapping_neg)))
    }))
}
