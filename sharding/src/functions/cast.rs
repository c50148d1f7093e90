//! CAST(x AS T), CAST(x, 'T') and x::T, to integers, String and Date. Unlike toT(x) a cast drops Nullable and
//! LowCardinality, so a NULL in it is an error.

use types::DataType;

use super::{Argument, Bound, Call, Function, Inputs, Nulls, date, number, text};
use crate::error::{EvalReason, Failure, KeyReason, Refusal};
use crate::integers::Integer;

pub(crate) static CAST: Function = CAST_FUNCTION;

const CAST_FUNCTION: Function = Function {
    any_case: true,
    nulls: Nulls::Own,
    keeps_low_cardinality: false,
    ..Function::new("CAST", bind).with_arguments(2, 2)
};

pub(super) const FUNCTIONS: &[Function] = &[CAST_FUNCTION];

fn bind(call: &Call<'_>) -> Result<Bound, Refusal> {
    let name = call.constant_text(1)?;
    let unknown = || call.refuse(KeyReason::CastType { name: name.clone() });
    let target = DataType::parse(&name).map_err(|_| unknown())?;
    let source = &call.arguments[0];
    let ordinary = [Argument {
        data_type: source.data_type.without_nullable(),
        nullable: false,
        constant: source.constant,
    }];
    let inner = Call {
        function: call.function,
        arguments: &ordinary,
        zone: call.zone,
        offset: call.offset,
    };
    let conversion = match &target {
        DataType::String => text::bind(&inner),
        DataType::Date => date::to_date(&inner),
        DataType::Bool => Err(unknown()),
        _ => number::bind(&inner, Integer::of(&target).ok_or_else(unknown)?),
    }?;
    if !source.data_type.is_nullable() {
        return Ok(conversion);
    }
    Ok(Bound::with_nulls(conversion.data_type, move |inputs| {
        refuse_nulls(inputs)?;
        conversion.kernel.run(inputs)
    }))
}

fn refuse_nulls(inputs: &Inputs<'_>) -> Result<(), Failure> {
    match (0..inputs.rows).find(|row| inputs.values[0].is_null(*row)) {
        Some(row) => Err(Failure::at(row, EvalReason::NullToOrdinary)),
        None => Ok(()),
    }
}
