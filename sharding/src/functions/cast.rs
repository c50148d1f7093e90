//! CAST(x AS T), CAST(x, 'T'), x::T and the toT functions that are casts: between any two types, element by element
//! in arrays, tuples and maps. Unlike toT(x) a cast drops Nullable and LowCardinality, so a NULL in it is an error.

use types::{Column, Data, DataType, Lists, Tuples};

use super::{Argument, Bound, Call, Function, Inputs, Nulls, date, number, scalar, text};
use crate::error::{EvalReason, Failure, KeyReason, Refusal};
use crate::expression::evaluate::Value;
use crate::integers::Integer;

pub(crate) static CAST: Function = CAST_FUNCTION;

const CAST_FUNCTION: Function = Function {
    any_case: true,
    nulls: Nulls::Own,
    keeps_low_cardinality: false,
    ..Function::new("CAST", bind).with_arguments(2, 2)
};

pub(super) const FUNCTIONS: &[Function] = &[
    CAST_FUNCTION,
    to("toFloat32", |call| of_type(call, &DataType::Float32)),
    to("toFloat64", |call| of_type(call, &DataType::Float64)),
    to("toUInt128", |call| of_type(call, &DataType::UInt128)),
    to("toUInt256", |call| of_type(call, &DataType::UInt256)),
    to("toInt128", |call| of_type(call, &DataType::Int128)),
    to("toInt256", |call| of_type(call, &DataType::Int256)),
    to("toBool", |call| of_type(call, &DataType::Bool)),
    to("toUUID", |call| of_type(call, &DataType::Uuid)),
    to("toIPv4", |call| of_type(call, &DataType::IPv4)),
    to("toIPv6", |call| of_type(call, &DataType::IPv6)),
    to("toDate32", |call| of_type(call, &DataType::Date32)),
    to("toDecimal32", |call| of_decimal(call, 9)).with_arguments(2, 2),
    to("toDecimal64", |call| of_decimal(call, 18)).with_arguments(2, 2),
    to("toDecimal128", |call| of_decimal(call, 38)).with_arguments(2, 2),
    to("toDecimal256", |call| of_decimal(call, 76)).with_arguments(2, 2),
    to("toFixedString", |call| {
        let length = call.constant_number(1)?;
        match usize::try_from(length) {
            Ok(length @ 1..=0xff_ffff) => of_type(call, &DataType::FixedString(length)),
            _ => Err(call.illegal(1)),
        }
    })
    .with_arguments(2, 2),
    to("toDateTime", |call| {
        let zone = named_zone(call, 1)?;
        of_type(call, &DataType::DateTime(zone))
    })
    .with_arguments(1, 2),
    to("toDateTime64", |call| {
        let precision = u8::try_from(call.constant_number(1)?).map_err(|_| call.illegal(1))?;
        let zone = named_zone(call, 2)?;
        of_type(call, &DataType::DateTime64(precision, zone))
    })
    .with_arguments(2, 3),
];

const fn to(name: &'static str, bind: fn(&Call<'_>) -> Result<Bound, Refusal>) -> Function {
    Function::new(name, bind)
}

fn named_zone(call: &Call<'_>, place: usize) -> Result<Option<String>, Refusal> {
    if call.arguments.len() > place {
        return call.constant_text(place).map(Some);
    }
    Ok(match call.arguments[0].data_type {
        DataType::DateTime(zone) | DataType::DateTime64(_, zone) => zone.clone(),
        _ => None,
    })
}

fn of_decimal(call: &Call<'_>, precision: u8) -> Result<Bound, Refusal> {
    let scale = u8::try_from(call.constant_number(1)?).map_err(|_| call.illegal(1))?;
    if scale > precision {
        return Err(call.illegal(1));
    }
    of_type(call, &DataType::Decimal { precision, scale })
}

/// A toT function: its NULLs are handled around it.
pub(super) fn of_type(call: &Call<'_>, target: &DataType) -> Result<Bound, Refusal> {
    // Of a Nullable string ClickHouse makes NULL where it is no value.
    if call.arguments[0].nullable && *call.arguments[0].data_type == DataType::String {
        return Err(call.illegal(0));
    }
    plain(
        call,
        call.arguments[0].data_type,
        call.arguments[0].constant,
        target,
    )
}

fn bind(call: &Call<'_>) -> Result<Bound, Refusal> {
    let name = call.constant_text(1)?;
    let unknown = || call.refuse(KeyReason::CastType { name: name.clone() });
    let target = DataType::parse(&name).map_err(|_| unknown())?;
    if holds_unknown(&target) {
        return Err(unknown());
    }
    let conversion = convert(call, 0, &target)?;
    Ok(Bound::with_nulls(target, move |inputs| {
        let source = super::tuple::whole(inputs, 0)?;
        conversion.run(&source, &vec![false; source.len()], inputs)
    }))
}

/// Whether there is a type in it of which we know the name only.
pub(super) fn holds_unknown(data_type: &DataType) -> bool {
    match data_type {
        DataType::Other(_) => true,
        DataType::Nullable(inner) | DataType::LowCardinality(inner) | DataType::Array(inner) => {
            holds_unknown(inner)
        }
        DataType::Tuple(elements) => elements.iter().any(|(_, element)| holds_unknown(element)),
        DataType::Map(key, value) => holds_unknown(key) || holds_unknown(value),
        _ => false,
    }
}

/// How columns of one type become columns of another.
pub(super) struct Conversion {
    kernel: super::Kernel,
    /// Whether the column made has NULLs.
    nullable: bool,
    /// Whether a string that is no value becomes NULL.
    null_if_bad: bool,
    /// Whether each value is NULL.
    of_nothing: Option<DataType>,
}

/// The conversion of an argument of a call to a type.
pub(super) fn convert(call: &Call<'_>, place: usize, target: &DataType) -> Result<Conversion, Refusal> {
    let Argument {
        data_type, constant, ..
    } = call.arguments[place];
    between(call, data_type, constant, target).map_err(|refusal| match refusal.reason {
        KeyReason::ArgumentType {
            function, data_type, ..
        } => call.refuse(KeyReason::ArgumentType {
            function,
            position: place + 1,
            data_type,
        }),
        _ => refusal,
    })
}

fn between(
    call: &Call<'_>,
    source: &DataType,
    constant: Option<&Column>,
    target: &DataType,
) -> Result<Conversion, Refusal> {
    let (from, to) = (source.without_nullable(), target.without_nullable());
    let nullable = target.is_nullable();
    if *from == DataType::Nothing {
        return Ok(Conversion {
            kernel: Bound::new(to.clone(), |_| Err(Failure::wrong_columns())).kernel,
            nullable,
            null_if_bad: false,
            of_nothing: Some(target.clone()),
        });
    }
    let null_if_bad = nullable && *from == DataType::String && *to != DataType::String;
    let integer = Integer::of(to).filter(|_| *to != DataType::Bool);
    let kernel = match integer.filter(|_| null_if_bad) {
        // A number that does not fit is NULL here, too.
        Some(integer) => number::or_null(&of_one(call, &[argument(from, constant)]), integer)?.kernel,
        None => plain(call, from, constant, to)?.kernel,
    };
    Ok(Conversion {
        kernel,
        nullable,
        null_if_bad,
        of_nothing: None,
    })
}

impl Conversion {
    /// The column in the other type. At the rows to skip anything may stand, and nothing fails.
    pub fn run(&self, column: &Column, skip: &[bool], outer: &Inputs<'_>) -> Result<Column, Failure> {
        if let Some(target) = &self.of_nothing {
            return self.nothing(target, column.len(), skip);
        }
        let is_skipped = |row: usize| skip.get(row).copied().unwrap_or(false);
        let nulls: Vec<bool> = (0..column.len())
            .map(|row| is_skipped(row) || column.is_null(row))
            .collect();
        if !self.nullable
            && let Some(row) = (0..column.len()).find(|row| column.is_null(*row) && !is_skipped(*row))
        {
            return Err(Failure::at(row, EvalReason::NullToOrdinary));
        }
        let (data, nulls) = match self.kernel_run(column, &nulls, outer) {
            Err(_) if self.null_if_bad => self.one_by_one(column, nulls, outer)?,
            result => (result?, nulls),
        };
        let (data, own_nulls) = (data.data, data.nulls);
        let nulls: Vec<bool> = match own_nulls {
            Some(own) => nulls.iter().zip(own).map(|(null, own)| *null || own).collect(),
            None => nulls,
        };
        let nulls = self.nullable.then(|| {
            nulls
                .iter()
                .enumerate()
                .map(|(row, null)| *null && (column.is_null(row) || !is_skipped(row)))
                .collect()
        });
        Ok(Column { data, nulls })
    }

    fn kernel_run(&self, column: &Column, nulls: &[bool], outer: &Inputs<'_>) -> Result<Column, Failure> {
        let values = [Value {
            column: std::borrow::Cow::Borrowed(column),
            constant: false,
        }];
        let mut inputs = Inputs {
            values: &values,
            nulls: Some(nulls),
            rows: column.len(),
            random: &mut || 0,
            context: outer.context,
        };
        self.kernel.run(&mut inputs)
    }

    /// Strings row by row: those that are no value become NULL.
    fn one_by_one(
        &self,
        column: &Column,
        nulls: Vec<bool>,
        outer: &Inputs<'_>,
    ) -> Result<(Column, Vec<bool>), Failure> {
        let mut nulls = nulls;
        loop {
            match self.kernel_run(column, &nulls, outer) {
                Ok(data) => return Ok((data, nulls)),
                Err(failure) if failure.reason != EvalReason::WrongColumns && !nulls[failure.row] => {
                    nulls[failure.row] = true;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    fn nothing(&self, target: &DataType, rows: usize, skip: &[bool]) -> Result<Column, Failure> {
        if !self.nullable
            && let Some(row) = (0..rows).find(|row| !skip.get(*row).copied().unwrap_or(false))
        {
            return Err(Failure::at(row, EvalReason::NullToOrdinary));
        }
        let mut column = Column::empty(target);
        (0..rows).for_each(|_| column.push_default(target));
        Ok(column)
    }
}

fn argument<'a>(data_type: &'a DataType, constant: Option<&'a Column>) -> Argument<'a> {
    Argument {
        data_type,
        nullable: false,
        constant,
    }
}

/// The same call of one argument only.
fn of_one<'a>(call: &Call<'a>, only: &'a [Argument<'a>]) -> Call<'a> {
    Call {
        arguments: only,
        ..*call
    }
}

/// The conversion of one plain type to another, as a call of one argument.
fn plain(
    call: &Call<'_>,
    from: &DataType,
    constant: Option<&Column>,
    to: &DataType,
) -> Result<Bound, Refusal> {
    let only = [argument(from, constant)];
    let inner = of_one(call, &only);
    match (from, to) {
        (from, to) if from == to => Ok(Bound::new(to.clone(), |inputs| {
            Ok(super::tuple::whole(inputs, 0)?.data)
        })),
        (DataType::Array(from), DataType::Array(element)) => lists(&inner, from, element, to),
        (DataType::Map(key, value), DataType::Map(to_key, to_value)) => {
            let pair = |key: &DataType, value: &DataType| {
                DataType::Tuple(vec![(None, key.clone()), (None, value.clone())])
            };
            lists(&inner, &pair(key, value), &pair(to_key, to_value), to)
        }
        (DataType::Tuple(from), DataType::Tuple(elements)) if from.len() == elements.len() => {
            tuples(&inner, from, elements, to)
        }
        (_, DataType::String) => text::bind(&inner),
        (DataType::DateTime64(..) | DataType::DateTime(_) | DataType::Date32, DataType::Date) => {
            date::to_date(&inner)
        }
        (_, to) => match Integer::of(to).filter(|_| *to != DataType::Bool && number::is_simple(from)) {
            Some(integer) => number::bind(&inner, integer),
            None => scalar::bind(&inner, to),
        },
    }
}

fn lists(call: &Call<'_>, from: &DataType, element: &DataType, to: &DataType) -> Result<Bound, Refusal> {
    let conversion = between(call, from, None, element)?;
    Ok(Bound::new(to.clone(), move |inputs| {
        let Data::Array(lists) = super::tuple::whole(inputs, 0)?.data else {
            return Err(Failure::wrong_columns());
        };
        let values = conversion.run(&lists.values, &[], inputs)?;
        Ok(Data::Array(Lists {
            values: Box::new(values),
            ends: lists.ends,
        }))
    }))
}

type Elements = [(Option<String>, DataType)];

fn tuples(call: &Call<'_>, from: &Elements, elements: &Elements, to: &DataType) -> Result<Bound, Refusal> {
    let pairs = from.iter().zip(elements);
    let conversions = pairs.map(|((_, from), (_, to))| between(call, from, None, to));
    let conversions = conversions.collect::<Result<Vec<_>, _>>()?;
    Ok(Bound::new(to.clone(), move |inputs| {
        let Data::Tuple(tuples) = super::tuple::whole(inputs, 0)?.data else {
            return Err(Failure::wrong_columns());
        };
        let columns = tuples.columns.iter().zip(&conversions);
        let columns = columns.map(|(column, conversion)| conversion.run(column, &[], inputs));
        Ok(Data::Tuple(Tuples {
            columns: columns.collect::<Result<_, _>>()?,
            rows: tuples.rows,
        }))
    }))
}
