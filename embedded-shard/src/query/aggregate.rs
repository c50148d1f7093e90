//! Aggregate functions: count, sum, min, max, any, uniqExact.

use std::cmp::Ordering;
use std::collections::HashSet;

use types::DataType;

use super::bind::Bound;
use super::evaluate::{evaluate, wrapped};
use super::functions::{illegal_type, is_float, is_integer, takes};
use crate::binary;
use crate::error::{Outcome, code};
use crate::value::{Shape, Value, compare, default_of};

/// One aggregate function over bound arguments.
#[derive(Debug, Clone)]
pub(crate) struct Aggregate {
    kind: Kind,
    arguments: Vec<Bound>,
    pub data_type: DataType,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Count,
    Sum,
    Min,
    Max,
    Any,
    UniqExact,
}

/// What was gathered of one group so far.
#[derive(Debug, Clone)]
pub(crate) enum State {
    Count(u64),
    /// `None` until the first value that is not NULL.
    Sum(Option<Value>),
    Chosen(Option<Value>),
    Unique(HashSet<Vec<u8>>),
}

fn kind(function: &str) -> Option<Kind> {
    Some(match function {
        "count" => Kind::Count,
        "sum" => Kind::Sum,
        "min" => Kind::Min,
        "max" => Kind::Max,
        "any" => Kind::Any,
        "uniqExact" => Kind::UniqExact,
        _ => return None,
    })
}

pub(super) fn is_aggregate(function: &str) -> bool {
    kind(function).is_some()
}

impl Aggregate {
    /// Checks the arguments; `None` when the function is no aggregate.
    pub fn bind(function: &str, arguments: Vec<Bound>) -> Outcome<Option<Self>> {
        let Some(kind) = kind(function) else {
            return Ok(None);
        };
        let count = arguments.len();
        let fits = match kind {
            Kind::Count => count <= 1,
            Kind::UniqExact => count >= 1,
            Kind::Sum | Kind::Min | Kind::Max | Kind::Any => count == 1,
        };
        takes(function, count, fits)?;
        let data_type = match kind {
            Kind::Count | Kind::UniqExact => DataType::UInt64,
            Kind::Sum => sum_type(&arguments[0].data_type)?,
            Kind::Min | Kind::Max | Kind::Any => arguments[0].data_type.without_low_cardinality().clone(),
        };
        Ok(Some(Self {
            kind,
            arguments,
            data_type,
        }))
    }

    /// Collects the numbers of the columns it reads.
    pub fn columns(&self, into: &mut Vec<usize>) {
        self.arguments.iter().for_each(|argument| argument.columns(into));
    }

    /// The state of a group without rows.
    pub fn start(&self) -> State {
        match self.kind {
            Kind::Count => State::Count(0),
            Kind::Sum => State::Sum(None),
            Kind::Min | Kind::Max | Kind::Any => State::Chosen(None),
            Kind::UniqExact => State::Unique(HashSet::new()),
        }
    }

    /// Takes one row into a group's state. NULL is passed over, as in ClickHouse.
    pub fn add(&self, state: &mut State, row: &[Value]) -> Outcome<()> {
        let values = self
            .arguments
            .iter()
            .map(|argument| evaluate(argument, row))
            .collect::<Outcome<Vec<_>>>()?;
        if values.iter().any(|value| **value == Value::Null) {
            return Ok(());
        }
        match state {
            State::Count(count) => *count += 1,
            State::Sum(sum) => *sum = Some(self.add_up(sum.take(), &values[0])?),
            State::Chosen(chosen) => {
                if chosen
                    .as_ref()
                    .is_none_or(|chosen| self.prefers(&values[0], chosen))
                {
                    *chosen = Some(values[0].clone().into_owned());
                }
            }
            State::Unique(seen) => {
                let mut key = Vec::new();
                for (argument, value) in self.arguments.iter().zip(&values) {
                    binary::write(argument.data_type.without_nullable(), value, &mut key)?;
                }
                seen.insert(key);
            }
        }
        Ok(())
    }

    /// The group's result.
    pub fn finish(&self, state: State) -> Outcome<Value> {
        match state {
            State::Count(count) => Ok(Value::Int(count.into())),
            State::Unique(seen) => Ok(Value::Int(seen.len() as i128)),
            State::Sum(Some(value)) | State::Chosen(Some(value)) => Ok(value),
            State::Sum(None) | State::Chosen(None) => default_of(&self.data_type),
        }
    }

    fn add_up(&self, sum: Option<Value>, value: &Value) -> Outcome<Value> {
        match (sum, value) {
            (None, Value::Int(value)) => Ok(Value::Int(*value)),
            (None, value) => Ok(value.clone()),
            (Some(Value::Float(sum)), Value::Float(value)) => Ok(Value::Float(sum + value)),
            (Some(Value::Int(sum)), Value::Int(value)) => self.add_integers(sum, *value),
            (Some(_), _) => illegal_type("sum", &self.data_type),
        }
    }

    /// Integers wrap in their result's type, as ClickHouse's do; decimals must not.
    fn add_integers(&self, sum: i128, value: i128) -> Outcome<Value> {
        let plain = self.data_type.without_nullable();
        if let DataType::Decimal { .. } = plain {
            let total = sum
                .checked_add(value)
                .filter(|total| total.unsigned_abs() < 10_u128.pow(38));
            return total
                .map(Value::Int)
                .ok_or_else(|| code::DECIMAL_OVERFLOW.error("a sum has more than 38 digits"));
        }
        Ok(Value::Int(wrapped(sum.wrapping_add(value), Shape::of(plain)?)))
    }

    fn prefers(&self, value: &Value, chosen: &Value) -> bool {
        let order = compare(&self.data_type, value, chosen);
        match self.kind {
            Kind::Min => order == Ordering::Less,
            Kind::Max => order == Ordering::Greater,
            Kind::Any | Kind::Count | Kind::Sum | Kind::UniqExact => false,
        }
    }
}

/// ClickHouse's result types of sum; 256-bit numbers and UInt128 are not summed here.
fn sum_type(argument: &DataType) -> Outcome<DataType> {
    use DataType as T;
    let plain = argument.without_nullable();
    let sum = match plain {
        T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64 | T::Bool => T::UInt64,
        T::Int128 => T::Int128,
        T::Decimal {
            precision: ..=38,
            scale,
        } => T::Decimal {
            precision: 38,
            scale: *scale,
        },
        float if is_float(float) => T::Float64,
        integer if is_integer(integer) && !Shape::of(integer)?.is_wide() => T::Int64,
        _ => return illegal_type("sum", argument),
    };
    Ok(if argument.is_nullable() {
        T::Nullable(Box::new(sum))
    } else {
        sum
    })
}
