//! if, multiIf, coalesce, ifNull, nullIf, greatest, least: one of several values, all made the same type first.

use types::{Column, Data, DataType};

use super::cast::{Conversion, convert};
use super::common::common_type;
use super::{Bound, Call, Function, Inputs, Nulls};
use crate::error::{Failure, Refusal};
use crate::expression::evaluate::Value;
use crate::integers::{self, Integer};

pub(super) const FUNCTIONS: &[Function] = &[
    own("if", 3, 3, bind_if),
    own("multiIf", 3, usize::MAX, bind_if),
    Function {
        keeps_low_cardinality: true,
        ..own("coalesce", 1, usize::MAX, bind_coalesce)
    },
    Function {
        keeps_low_cardinality: true,
        ..own("ifNull", 2, 2, bind_coalesce)
    },
    Function {
        any_case: false,
        keeps_low_cardinality: true,
        ..own("assumeNotNull", 1, 1, bind_assume)
    },
    Function {
        any_case: false,
        keeps_low_cardinality: true,
        ..own("toNullable", 1, 1, bind_nullable)
    },
    own("isNull", 1, 1, |call| bind_is_null(call, true)),
    Function {
        any_case: false,
        ..own("isNotNull", 1, 1, |call| bind_is_null(call, false))
    },
    Function {
        any_case: true,
        ..Function::new("greatest", |call| bind_extreme(call, true)).with_arguments(1, usize::MAX)
    },
    Function {
        any_case: true,
        ..Function::new("least", |call| bind_extreme(call, false)).with_arguments(1, usize::MAX)
    },
];

const fn own(
    name: &'static str,
    least: usize,
    most: usize,
    bind: fn(&Call<'_>) -> Result<Bound, Refusal>,
) -> Function {
    Function {
        any_case: true,
        nulls: Nulls::Own,
        keeps_low_cardinality: false,
        ..Function::new(name, bind).with_arguments(least, most)
    }
}

/// The conversions of some arguments to one type.
fn to_common(call: &Call<'_>, places: &[usize]) -> Result<(DataType, Vec<Conversion>), Refusal> {
    let types: Vec<&DataType> = places
        .iter()
        .map(|place| call.arguments[*place].data_type)
        .collect();
    let last = places.last().copied().unwrap_or_default();
    let common = common_type(&types).ok_or_else(|| call.illegal(last))?;
    let conversions = places.iter().map(|place| convert(call, *place, &common));
    Ok((common.clone(), conversions.collect::<Result<_, _>>()?))
}

/// The value of the first condition that is true, or the last; NULL is not true.
fn bind_if(call: &Call<'_>) -> Result<Bound, Refusal> {
    let count = call.arguments.len();
    if count.is_multiple_of(2) {
        return Err(call.refuse(call.function.argument_count(count)));
    }
    let conditions: Vec<usize> = (0..count - 1).step_by(2).collect();
    let results: Vec<usize> = (1..count).step_by(2).chain([count - 1]).collect();
    for place in &conditions {
        let data_type = call.arguments[*place].data_type.without_nullable();
        if Integer::of(data_type).is_none() && *data_type != DataType::Nothing {
            return Err(call.illegal(*place));
        }
    }
    let (common, conversions) = to_common(call, &results)?;
    let data_type = common.clone();
    Ok(Bound::with_nulls(data_type, move |inputs| {
        let pick = |row: usize| {
            let is_true = |place: &usize| is_true(&inputs.values[*place], row);
            conditions.iter().position(is_true).unwrap_or(results.len() - 1)
        };
        let picks: Vec<usize> = (0..inputs.rows).map(pick).collect();
        gather(&common, &picks, &results, &conversions, inputs)
    }))
}

fn is_true(value: &Value<'_>, row: usize) -> bool {
    !value.is_null(row) && integers::word(&value.column.data, value.place(row)).is_some_and(|word| word != 0)
}

/// The column of the values picked, each row's from one of the converted arguments.
fn gather(
    data_type: &DataType,
    picks: &[usize],
    places: &[usize],
    conversions: &[Conversion],
    inputs: &Inputs<'_>,
) -> Result<Column, Failure> {
    let mut sources = Vec::with_capacity(places.len());
    for (i, place) in places.iter().enumerate() {
        let unpicked: Vec<bool> = picks.iter().map(|pick| *pick != i).collect();
        let value = &inputs.values[*place];
        // A constant that no row picks must not fail either.
        let skip = if value.constant {
            vec![unpicked.iter().all(|unpicked| *unpicked)]
        } else {
            unpicked
        };
        sources.push(conversions[i].run(&value.column, &skip, inputs)?);
    }
    let mut column = Column::empty(data_type);
    for (row, pick) in picks.iter().enumerate() {
        let value = &inputs.values[places[*pick]];
        if !column.push_from(&sources[*pick], value.place(row)) {
            return Err(Failure::wrong_columns());
        }
    }
    Ok(column)
}

/// The first value that is not NULL.
fn bind_coalesce(call: &Call<'_>) -> Result<Bound, Refusal> {
    // Behind an argument that is never NULL none is looked at.
    let is_last = |place: &usize| !call.arguments[*place].data_type.is_nullable();
    let end = (0..call.arguments.len())
        .find(is_last)
        .unwrap_or(call.arguments.len() - 1);
    let is_value = |place: &usize| *call.arguments[*place].data_type.without_nullable() != DataType::Nothing;
    let places: Vec<usize> = (0..=end).filter(is_value).collect();
    if places.is_empty() {
        return Err(call.illegal(0));
    }
    let ends_sure = is_last(&end);
    let ordinary: Vec<DataType> = places
        .iter()
        .map(|place| call.arguments[*place].data_type.without_nullable().clone())
        .collect();
    let plain = common_type(&ordinary.iter().collect::<Vec<_>>()).ok_or_else(|| call.illegal(end))?;
    let nullable = DataType::Nullable(Box::new(plain.clone()));
    let conversions = places.iter().map(|place| convert(call, *place, &nullable));
    let conversions = conversions.collect::<Result<Vec<_>, _>>()?;
    let data_type = if ends_sure { plain } else { nullable.clone() };
    Ok(Bound::with_nulls(data_type, move |inputs| {
        let pick = |row: usize| {
            let is_some = |place: &usize| !inputs.values[*place].is_null(row);
            places.iter().position(is_some).unwrap_or(places.len() - 1)
        };
        let picks: Vec<usize> = (0..inputs.rows).map(pick).collect();
        let mut column = gather(&nullable, &picks, &places, &conversions, inputs)?;
        if ends_sure {
            column.nulls = None;
        }
        Ok(column)
    }))
}

/// The value under a NULL is the type's default.
fn bind_assume(call: &Call<'_>) -> Result<Bound, Refusal> {
    let data_type = call.arguments[0].data_type.without_nullable().clone();
    if data_type == DataType::Nothing {
        return Err(call.illegal(0));
    }
    Ok(Bound::new(data_type, |inputs| {
        Ok(super::tuple::whole(inputs, 0)?.data)
    }))
}

fn bind_nullable(call: &Call<'_>) -> Result<Bound, Refusal> {
    let data_type = call.arguments[0].data_type;
    if matches!(
        data_type,
        DataType::Array(_) | DataType::Tuple(_) | DataType::Map(..)
    ) {
        return Err(call.illegal(0));
    }
    let nullable = DataType::Nullable(Box::new(data_type.without_nullable().clone()));
    Ok(Bound::with_nulls(nullable, |inputs| {
        let mut column = super::tuple::whole(inputs, 0)?;
        column.nulls.get_or_insert_with(|| vec![false; inputs.rows]);
        Ok(column)
    }))
}

fn bind_is_null(_: &Call<'_>, wanted: bool) -> Result<Bound, Refusal> {
    Ok(Bound::new(DataType::UInt8, move |inputs| {
        let value = &inputs.values[0];
        Ok(Data::UInt8(
            (0..inputs.rows)
                .map(|row| u8::from(value.is_null(row) == wanted))
                .collect(),
        ))
    }))
}

/// The greatest or least of whole numbers, or of strings.
fn bind_extreme(call: &Call<'_>, greatest: bool) -> Result<Bound, Refusal> {
    // ClickHouse leaves NULL out here rather than answer NULL.
    if let Some(place) = call.arguments.iter().position(|argument| argument.nullable) {
        return Err(call.illegal(place));
    }
    let places: Vec<usize> = (0..call.arguments.len()).collect();
    let (common, conversions) = to_common(call, &places)?;
    let is_sorted = matches!(common, DataType::String | DataType::Date | DataType::DateTime(_));
    let Some(signed) = Integer::of(&common)
        .map(|integer| integer.signed)
        .or(is_sorted.then_some(false))
    else {
        return Err(call.illegal(0));
    };
    let data_type = common.clone();
    Ok(Bound::with_nulls(data_type, move |inputs| {
        let sources = inputs.values.iter().zip(&conversions).map(|(value, conversion)| {
            let none = vec![false; value.column.len()];
            conversion.run(&value.column, &none, inputs)
        });
        let sources = sources.collect::<Result<Vec<_>, _>>()?;
        let mut column = Column::empty(&common);
        for row in 0..inputs.rows {
            let place = |i: usize| inputs.values[i].place(row);
            let mut best = 0;
            for next in 1..sources.len() {
                let order = compare(
                    &sources[next].data,
                    place(next),
                    &sources[best].data,
                    place(best),
                    signed,
                )?;
                if (greatest && order.is_gt()) || (!greatest && order.is_lt()) {
                    best = next;
                }
            }
            column.push_from(&sources[best], place(best));
        }
        Ok(column)
    }))
}

fn compare(
    left: &Data,
    left_place: usize,
    right: &Data,
    right_place: usize,
    signed: bool,
) -> Result<std::cmp::Ordering, Failure> {
    if let (Data::Bytes(left), Data::Bytes(right)) = (left, right) {
        return Ok(left.get(left_place).cmp(right.get(right_place)));
    }
    let pair = integers::word(left, left_place).zip(integers::word(right, right_place));
    let (left, right) = pair.ok_or_else(Failure::wrong_columns)?;
    Ok(if signed {
        left.cast_signed().cmp(&right.cast_signed())
    } else {
        left.cmp(&right)
    })
}
