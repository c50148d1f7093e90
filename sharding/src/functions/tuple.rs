//! tuple(…) as a value. Where a function takes the elements one by one, no value is made of them.

use types::{Column, Data, DataType, Tuples};

use super::{Bound, Call, Function, Inputs, Nulls};
use crate::error::{Failure, Refusal};

/// What `(a, b)` calls.
pub(crate) static TUPLE: Function = Function {
    nulls: Nulls::Own,
    keeps_low_cardinality: false,
    ..Function::new("tuple", bind).with_arguments(0, usize::MAX)
};

fn bind(call: &Call<'_>) -> Result<Bound, Refusal> {
    let elements = call
        .arguments
        .iter()
        .map(|argument| (None, argument.data_type.clone()));
    Ok(Bound::new(DataType::Tuple(elements.collect()), |inputs| {
        let columns = (0..inputs.values.len()).map(|place| whole(inputs, place));
        Ok(Data::Tuple(Tuples {
            columns: columns.collect::<Result<_, _>>()?,
            rows: inputs.rows,
        }))
    }))
}

/// An argument with a value of its own in each row, constant or not.
pub(super) fn whole(inputs: &Inputs<'_>, place: usize) -> Result<Column, Failure> {
    let value = &inputs.values[place];
    if !value.constant {
        return Ok(value.column.as_ref().clone());
    }
    let mut column = value.column.as_ref().clone();
    column.clear();
    for _ in 0..inputs.rows {
        if !column.push_from(&value.column, 0) {
            return Err(Failure::wrong_columns());
        }
    }
    Ok(column)
}
