//! array(…), `[…]`, map(…), and the elements of arrays and tuples: arrayElement and tupleElement.

use types::{Column, Data, DataType, Lists, Tuples};

use super::cast::convert;
use super::common::common_type;
use super::{Bound, Call, Function, Inputs, Nulls};
use crate::error::{EvalReason, Failure, Refusal};
use crate::integers::{Integer, Words};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        nulls: Nulls::Own,
        keeps_low_cardinality: false,
        ..Function::new("array", bind_array).with_arguments(0, usize::MAX)
    },
    Function {
        nulls: Nulls::Own,
        keeps_low_cardinality: false,
        ..Function::new("map", bind_map).with_arguments(0, usize::MAX)
    },
    Function {
        nulls: Nulls::Own,
        keeps_low_cardinality: false,
        ..Function::new("arrayElement", bind_element).with_arguments(2, 2)
    },
    Function {
        nulls: Nulls::Own,
        keeps_low_cardinality: false,
        ..Function::new("tupleElement", bind_tuple_element).with_arguments(2, 2)
    },
];

fn bind_array(call: &Call<'_>) -> Result<Bound, Refusal> {
    let types: Vec<&DataType> = call.arguments.iter().map(|argument| argument.data_type).collect();
    if types.is_empty() {
        let data_type = DataType::Array(Box::new(DataType::Nothing));
        return Ok(Bound::new(data_type.clone(), move |inputs| {
            let mut column = Column::empty(&data_type);
            (0..inputs.rows).for_each(|_| column.push_default(&data_type));
            Ok(column.data)
        }));
    }
    let last = types.len() - 1;
    let common = common_type(&types).ok_or_else(|| call.illegal(last))?;
    let conversions = (0..types.len()).map(|place| convert(call, place, &common));
    let conversions = conversions.collect::<Result<Vec<_>, _>>()?;
    Ok(Bound::new(
        DataType::Array(Box::new(common.clone())),
        move |inputs| {
            let sources = inputs.values.iter().zip(&conversions).map(|(value, conversion)| {
                let none = vec![false; value.column.len()];
                conversion.run(&value.column, &none, inputs)
            });
            let sources = sources.collect::<Result<Vec<_>, _>>()?;
            let mut values = Column::empty(&common);
            let mut ends = Vec::with_capacity(inputs.rows);
            for row in 0..inputs.rows {
                for (source, value) in sources.iter().zip(inputs.values) {
                    values.push_from(source, value.place(row));
                }
                ends.push(values.len());
            }
            Ok(Data::Array(Lists {
                values: Box::new(values),
                ends,
            }))
        },
    ))
}

/// map(key, value, key, value, …): a key given twice stands in it twice.
fn bind_map(call: &Call<'_>) -> Result<Bound, Refusal> {
    if call.arguments.is_empty() || !call.arguments.len().is_multiple_of(2) {
        return Err(call.refuse(call.function.argument_count(call.arguments.len())));
    }
    let of_pairs = |first: usize| (first..call.arguments.len()).step_by(2);
    let common = |first: usize| {
        let types: Vec<&DataType> = of_pairs(first)
            .map(|place| call.arguments[place].data_type)
            .collect();
        common_type(&types).ok_or_else(|| call.illegal(first))
    };
    let (key, value) = (common(0)?, common(1)?);
    if key.is_nullable() || holds_nothing(&value) {
        return Err(call.illegal(0));
    }
    let conversions = (0..call.arguments.len()).map(|place| {
        let target = if place % 2 == 0 { &key } else { &value };
        convert(call, place, target)
    });
    let conversions = conversions.collect::<Result<Vec<_>, _>>()?;
    let data_type = DataType::Map(Box::new(key.clone()), Box::new(value.clone()));
    Ok(Bound::new(data_type, move |inputs| {
        let sources = inputs.values.iter().zip(&conversions).map(|(value, conversion)| {
            let none = vec![false; value.column.len()];
            conversion.run(&value.column, &none, inputs)
        });
        let sources = sources.collect::<Result<Vec<_>, _>>()?;
        let mut columns = vec![Column::empty(&key), Column::empty(&value)];
        let mut ends = Vec::with_capacity(inputs.rows);
        for row in 0..inputs.rows {
            for (place, (source, value)) in sources.iter().zip(inputs.values).enumerate() {
                columns[place % 2].push_from(source, value.place(row));
            }
            ends.push(columns[0].len());
        }
        let rows = columns[0].len();
        Ok(Data::Array(Lists {
            values: Box::new(Column::new(Data::Tuple(Tuples { columns, rows }))),
            ends,
        }))
    }))
}

fn holds_nothing(data_type: &DataType) -> bool {
    *data_type.without_nullable() == DataType::Nothing
}

/// The n-th element, from the end when negative; the type's default where there is none.
fn bind_element(call: &Call<'_>) -> Result<Bound, Refusal> {
    let DataType::Array(element) = call.arguments[0].data_type else {
        return Err(call.illegal(0));
    };
    let integer = Integer::of(call.arguments[1].data_type).ok_or_else(|| call.illegal(1))?;
    let element = element.as_ref().clone();
    Ok(Bound::with_nulls(
        element.clone(),
        move |inputs: &mut Inputs<'_>| {
            let value = &inputs.values[0];
            let Data::Array(lists) = &value.column.data else {
                return Err(Failure::wrong_columns());
            };
            let indices = Words::of(&inputs.values[1])?;
            let mut column = Column::empty(&element);
            for row in 0..inputs.rows {
                let range = lists.range(value.place(row));
                let word = indices.word(row).unwrap_or(0);
                let index = if integer.signed {
                    i128::from(word.cast_signed())
                } else {
                    i128::from(word)
                };
                let place = match index {
                    0 => return Err(Failure::at(row, EvalReason::ZeroIndex)),
                    1.. => range.start as i128 + index - 1,
                    _ => range.end as i128 + index,
                };
                match usize::try_from(place) {
                    Ok(place) if range.contains(&place) => {
                        column.push_from(&lists.values, place);
                    }
                    _ => column.push_default(&element),
                }
            }
            Ok(column)
        },
    ))
}

/// The element of a number or a name.
fn bind_tuple_element(call: &Call<'_>) -> Result<Bound, Refusal> {
    let DataType::Tuple(elements) = call.arguments[0].data_type else {
        return Err(call.illegal(0));
    };
    let index = match call.constant_number(1) {
        Ok(number) => usize::try_from(number)
            .ok()
            .and_then(|number| number.checked_sub(1)),
        Err(_) => {
            let wanted = call.constant_text(1)?;
            elements
                .iter()
                .position(|(name, _)| name.as_deref() == Some(&wanted))
        }
    };
    let (index, element) = index
        .and_then(|index| Some((index, elements.get(index)?)))
        .ok_or_else(|| call.illegal(1))?;
    Ok(Bound::with_nulls(element.1.clone(), move |inputs| {
        let whole = super::tuple::whole(inputs, 0)?;
        let Data::Tuple(mut tuples) = whole.data else {
            return Err(Failure::wrong_columns());
        };
        Ok(tuples.columns.swap_remove(index))
    }))
}
