//! Comparisons and logic. Numbers compare by value whatever their types, strings by their bytes.

use std::cmp::Ordering;

use types::{Data, DataType};

use super::number::real;
use super::{Bound, Call, Function, Inputs};
use crate::error::{Failure, KeyReason, Refusal};
use crate::expression::evaluate::Value;
use crate::integers::{Integer, Words};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("equals", |call| bind(call, Ordering::is_eq)).with_arguments(2, 2),
    Function::new("notEquals", |call| bind(call, Ordering::is_ne)).with_arguments(2, 2),
    Function::new("less", |call| bind(call, Ordering::is_lt)).with_arguments(2, 2),
    Function::new("greater", |call| bind(call, Ordering::is_gt)).with_arguments(2, 2),
    Function::new("lessOrEquals", |call| bind(call, Ordering::is_le)).with_arguments(2, 2),
    Function::new("greaterOrEquals", |call| bind(call, Ordering::is_ge)).with_arguments(2, 2),
    any_case("not", 1, 1, |call| bind_logic(call, |truths| !truths[0])),
    any_case("and", 2, usize::MAX, |call| {
        bind_logic(call, |truths| truths.iter().all(|truth| *truth))
    }),
    any_case("or", 2, usize::MAX, |call| {
        bind_logic(call, |truths| truths.iter().any(|truth| *truth))
    }),
    any_case("xor", 2, usize::MAX, |call| {
        bind_logic(call, |truths| {
            truths.iter().filter(|truth| **truth).count() % 2 == 1
        })
    }),
];

const fn any_case(
    name: &'static str,
    least: usize,
    most: usize,
    bind: fn(&Call<'_>) -> Result<Bound, Refusal>,
) -> Function {
    Function {
        any_case: true,
        ..Function::new(name, bind).with_arguments(least, most)
    }
}

/// How two types compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Whole,
    Real,
    Bytes,
    Wide,
}

fn kind(call: &Call<'_>) -> Result<Kind, Refusal> {
    use DataType as T;
    let [left, right] = [0, 1].map(|place| call.arguments[place].data_type);
    let is_whole = |data_type: &T| Integer::of(data_type).is_some();
    let is_real = |data_type: &T| is_whole(data_type) || matches!(data_type, T::Float32 | T::Float64);
    let is_text = |data_type: &T| matches!(data_type, T::String);
    match (left, right) {
        (left, right) if is_whole(left) && is_whole(right) => Ok(Kind::Whole),
        (T::UInt64 | T::Int64, right) if is_real(right) => Err(call.illegal(1)),
        (left, T::UInt64 | T::Int64) if is_real(left) => Err(call.illegal(0)),
        (left, right) if is_real(left) && is_real(right) => Ok(Kind::Real),
        (left, right) if is_text(left) && is_text(right) => Ok(Kind::Bytes),
        (T::Date, T::Date) | (T::Date32, T::Date32) | (T::DateTime(_), T::DateTime(_)) => Ok(Kind::Whole),
        (T::DateTime64(left, _), T::DateTime64(right, _)) if left == right => Ok(Kind::Whole),
        (T::Enum8(left), T::Enum8(right)) | (T::Enum16(left), T::Enum16(right)) if left == right => {
            Ok(Kind::Whole)
        }
        (T::IPv4, T::IPv4) => Ok(Kind::Whole),
        (T::IPv6, T::IPv6) => Ok(Kind::Bytes),
        (T::FixedString(left), T::FixedString(right)) if left == right => Ok(Kind::Bytes),
        (T::Uuid, T::Uuid) | (T::UInt128, T::UInt128) => Ok(Kind::Wide),
        _ => Err(call.illegal(1)),
    }
}

/// What the comparison of two values is asked for.
type Wanted = fn(Ordering) -> bool;

fn bind(call: &Call<'_>, wanted: Wanted) -> Result<Bound, Refusal> {
    let kind = kind(call)?;
    let signs = [0, 1].map(|place| is_signed(call.arguments[place].data_type));
    Ok(Bound::new(DataType::UInt8, move |inputs| {
        // NaN is unequal to everything.
        let is_ne = wanted(Ordering::Less) && wanted(Ordering::Greater);
        let truths = (0..inputs.rows).map(|row| {
            let found = ordering(inputs, kind, signs, row)?;
            Ok(u8::from(found.map_or(is_ne, wanted)))
        });
        Ok(Data::UInt8(truths.collect::<Result<_, Failure>>()?))
    }))
}

fn is_signed(data_type: &DataType) -> bool {
    match Integer::of(data_type) {
        Some(integer) => integer.signed,
        None => matches!(
            data_type,
            DataType::Date32 | DataType::DateTime64(..) | DataType::Enum8(_) | DataType::Enum16(_)
        ),
    }
}

fn ordering(
    inputs: &Inputs<'_>,
    kind: Kind,
    signs: [bool; 2],
    row: usize,
) -> Result<Option<Ordering>, Failure> {
    let (left, right) = (&inputs.values[0], &inputs.values[1]);
    match (kind, &left.column.data, &right.column.data) {
        (Kind::Whole, ..) => Ok(Some(
            whole(left, signs[0], row)?.cmp(&whole(right, signs[1], row)?),
        )),
        (Kind::Real, ..) => {
            let left = real(&left.column.data, left.place(row))?;
            Ok(left.partial_cmp(&real(&right.column.data, right.place(row))?))
        }
        (_, Data::Bytes(lefts), Data::Bytes(rights)) => {
            Ok(Some(lefts.get(left.place(row)).cmp(rights.get(right.place(row)))))
        }
        (_, Data::UInt128(lefts), Data::UInt128(rights)) => {
            Ok(Some(lefts[left.place(row)].cmp(&rights[right.place(row)])))
        }
        _ => Err(Failure::wrong_columns()),
    }
}

fn whole(value: &Value<'_>, signed: bool, row: usize) -> Result<i128, Failure> {
    let word =
        crate::integers::word(&value.column.data, value.place(row)).ok_or_else(Failure::wrong_columns)?;
    Ok(if signed {
        i128::from(word.cast_signed())
    } else {
        i128::from(word)
    })
}

/// Logic of numbers that cannot be NULL: what is not zero is true.
fn bind_logic(call: &Call<'_>, logic: fn(&[bool]) -> bool) -> Result<Bound, Refusal> {
    for (place, argument) in call.arguments.iter().enumerate() {
        if Integer::of(argument.data_type).is_none() {
            return Err(call.illegal(place));
        }
        // false AND NULL is false, not NULL: a logic of its own.
        if argument.nullable && call.arguments.len() > 1 {
            return Err(call.refuse(KeyReason::ArgumentType {
                function: call.function.name,
                position: place + 1,
                data_type: DataType::Nullable(Box::new(argument.data_type.clone())),
            }));
        }
    }
    let all_bool = call
        .arguments
        .iter()
        .all(|argument| *argument.data_type == DataType::Bool);
    let data_type = if all_bool { DataType::Bool } else { DataType::UInt8 };
    Ok(Bound::new(data_type, move |inputs| {
        let columns = inputs
            .values
            .iter()
            .map(Words::of)
            .collect::<Result<Vec<_>, _>>()?;
        let truth = |row| {
            let truths: Vec<bool> = columns
                .iter()
                .map(|words| words.word(row).unwrap_or(0) != 0)
                .collect();
            u8::from(logic(&truths))
        };
        Ok(Data::UInt8((0..inputs.rows).map(truth).collect()))
    }))
}
