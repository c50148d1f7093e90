//! The functions a sharding key may call.
//!
//! A family is one file with a `FUNCTIONS` table; [`FAMILIES`] lists the tables. To add a function, add an
//! entry (or a file with a table). Its `bind` looks at the types of the arguments once and answers the
//! result's type and a kernel, which then runs over whole columns. NULL, LowCardinality, tuples and constants
//! are handled around it, as ClickHouse does, unless the entry says that it wants to do so itself.

mod arithmetic;
mod array;
mod bits;
mod bucket;
mod calendar;
mod cast;
mod choose;
mod city;
mod common;
mod compare;
mod date;
mod digest;
mod divide;
mod encode;
mod farm;
mod format_time;
mod hash;
mod int_hash;
mod interval;
mod metro;
mod modulo;
mod moment;
mod murmur;
mod number;
mod random;
mod reinterpret;
mod scalar;
mod sip;
mod start;
mod string;
mod text;
mod time;
mod tuple;
mod unix_time;
mod wy;
mod xx;

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use types::{Bytes, Column, Data, DataType};

use crate::compiled::Context;
use crate::error::{Failure, KeyReason, Refusal};
use crate::expression::evaluate::Value;

/// Every function, by family.
const FAMILIES: &[&[Function]] = &[
    arithmetic::FUNCTIONS,
    modulo::FUNCTIONS,
    divide::FUNCTIONS,
    bits::FUNCTIONS,
    compare::FUNCTIONS,
    choose::FUNCTIONS,
    array::FUNCTIONS,
    string::FUNCTIONS,
    reinterpret::FUNCTIONS,
    calendar::FUNCTIONS,
    cast::FUNCTIONS,
    number::FUNCTIONS,
    number::OF_STRING,
    text::FUNCTIONS,
    date::FUNCTIONS,
    city::FUNCTIONS,
    sip::FUNCTIONS,
    xx::FUNCTIONS,
    int_hash::FUNCTIONS,
    murmur::FUNCTIONS,
    farm::FUNCTIONS,
    metro::FUNCTIONS,
    wy::FUNCTIONS,
    digest::FUNCTIONS,
    bucket::FUNCTIONS,
    random::FUNCTIONS,
    moment::FUNCTIONS,
    interval::FUNCTIONS,
    start::FUNCTIONS,
    format_time::FUNCTIONS,
    unix_time::FUNCTIONS,
    encode::FUNCTIONS,
];

/// The function of a name as an expression writes it.
pub(crate) fn find(name: &str) -> Option<&'static Function> {
    let functions = FAMILIES.iter().copied().flatten();
    functions.into_iter().find(|function| function.is_called(name))
}

/// The names of those that are no functions of the row.
#[cfg(test)]
pub(crate) fn volatile_names() -> impl Iterator<Item = &'static str> {
    let functions = FAMILIES.iter().copied().flatten();
    let volatile = functions.filter(|function| function.volatile != Volatile::No);
    volatile.map(|function| function.name)
}

/// What `(a, b)` and `x::T` call.
pub(crate) use cast::CAST;
pub(crate) use interval::is_interval;
pub(crate) use moment::is_bare_name;
pub(crate) use tuple::TUPLE;

/// An entry of the function tables.
#[derive(Debug)]
pub(crate) struct Function {
    /// The name as ClickHouse writes it.
    pub name: &'static str,
    /// Whether ClickHouse takes the name in any case.
    pub any_case: bool,
    /// How many arguments it takes.
    pub arguments: RangeInclusive<usize>,
    /// What NULL in an argument means.
    pub nulls: Nulls,
    /// Whether the result of a LowCardinality column is LowCardinality.
    pub keeps_low_cardinality: bool,
    /// Whether a tuple counts as its elements.
    pub spreads_tuples: bool,
    /// Whether it takes intervals, which are a type between functions only.
    pub takes_intervals: bool,
    /// Whether two calls may differ.
    pub volatile: Volatile,
    /// Types a call.
    pub bind: fn(&Call<'_>) -> Result<Bound, Refusal>,
}

/// Whether a function answers by more than its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Volatile {
    /// By its arguments alone.
    No,
    /// By the INSERT: one value for all its rows.
    Insert,
    /// By chance: another value in each row.
    Row,
}

/// What NULL in an argument of a function means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nulls {
    /// The result is NULL; the function sees ordinary types and may answer anything there.
    Propagate,
    /// The function sees Nullable types and the NULLs.
    Own,
}

impl Function {
    /// A function of one argument with ClickHouse's usual treatment of NULL and LowCardinality.
    const fn new(name: &'static str, bind: fn(&Call<'_>) -> Result<Bound, Refusal>) -> Self {
        Self {
            name,
            any_case: false,
            arguments: 1..=1,
            nulls: Nulls::Propagate,
            keeps_low_cardinality: true,
            spreads_tuples: false,
            takes_intervals: false,
            volatile: Volatile::No,
            bind,
        }
    }

    const fn with_arguments(mut self, least: usize, most: usize) -> Self {
        self.arguments = least..=most;
        self
    }

    const fn with_intervals(mut self) -> Self {
        self.takes_intervals = true;
        self
    }

    fn is_called(&self, name: &str) -> bool {
        if self.any_case {
            self.name.eq_ignore_ascii_case(name)
        } else {
            self.name == name
        }
    }

    /// The refusal of so many arguments.
    pub fn argument_count(&self, found: usize) -> KeyReason {
        let expected = match (*self.arguments.start(), *self.arguments.end()) {
            (least, most) if least == most => least.to_string(),
            (least, usize::MAX) => format!("{least} or more"),
            (least, most) => format!("{least} to {most}"),
        };
        KeyReason::ArgumentCount {
            function: self.name,
            expected,
            found,
        }
    }

    /// The refusal of a type as the argument at this place, counted from 0.
    pub fn argument_type(&self, place: usize, data_type: DataType) -> KeyReason {
        KeyReason::ArgumentType {
            function: self.name,
            position: place + 1,
            data_type,
        }
    }
}

/// A call whose types are to be checked.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub function: &'static Function,
    pub arguments: &'a [Argument<'a>],
    /// The servers' time zone, where it is known.
    pub zone: Option<&'a str>,
    pub offset: usize,
}

/// What is known of an argument before any row is there.
#[derive(Debug)]
pub(crate) struct Argument<'a> {
    pub data_type: &'a DataType,
    /// Whether it can be NULL where `data_type` does not say so, because NULL is handled around the function.
    pub nullable: bool,
    /// Its value in the first row of the column, when it is constant.
    pub constant: Option<&'a Column>,
}

impl Call<'_> {
    /// The refusal of the type of an argument, counted from 0.
    pub fn illegal(&self, place: usize) -> Refusal {
        let Argument {
            data_type, nullable, ..
        } = &self.arguments[place];
        let data_type = (*data_type).clone();
        let data_type = if *nullable {
            DataType::Nullable(Box::new(data_type))
        } else {
            data_type
        };
        self.refuse(self.function.argument_type(place, data_type))
    }

    pub fn refuse(&self, reason: KeyReason) -> Refusal {
        Refusal::at(self.offset, reason)
    }

    /// The text of an argument that must be a constant string.
    pub fn constant_text(&self, place: usize) -> Result<String, Refusal> {
        let text = match self.arguments[place].constant.map(|column| &column.data) {
            Some(Data::Bytes(bytes)) if !bytes.is_empty() => String::from_utf8(bytes.get(0).to_vec()).ok(),
            _ => None,
        };
        let reason = KeyReason::NotConstant {
            function: self.function.name,
            position: place + 1,
        };
        text.ok_or_else(|| self.refuse(reason))
    }
}

impl Call<'_> {
    /// The number of an argument that must be a constant of zero or above.
    pub fn constant_number(&self, place: usize) -> Result<u64, Refusal> {
        let number = match self.arguments[place].constant.map(|column| &column.data) {
            Some(Data::UInt8(numbers)) => numbers.first().copied().map(u64::from),
            Some(Data::UInt16(numbers)) => numbers.first().copied().map(u64::from),
            Some(Data::UInt32(numbers)) => numbers.first().copied().map(u64::from),
            Some(Data::UInt64(numbers)) => numbers.first().copied(),
            _ => None,
        };
        number.ok_or_else(|| self.illegal(place))
    }
}

/// A typed call.
#[derive(Debug)]
pub(crate) struct Bound {
    pub data_type: DataType,
    pub kernel: Kernel,
}

impl Bound {
    /// A call whose values are never NULL, unless an argument is.
    pub fn new(
        data_type: DataType,
        kernel: impl Fn(&mut Inputs<'_>) -> Result<Data, Failure> + Send + Sync + 'static,
    ) -> Self {
        Self::with_nulls(data_type, move |inputs| kernel(inputs).map(Column::new))
    }

    /// A call whose kernel says itself what is NULL; its type is Nullable then.
    pub fn with_nulls(
        data_type: DataType,
        kernel: impl Fn(&mut Inputs<'_>) -> Result<Column, Failure> + Send + Sync + 'static,
    ) -> Self {
        Self {
            data_type,
            kernel: Kernel(Arc::new(kernel)),
        }
    }
}

/// The loop of a call: columns in, one column out, of exactly `rows` values.
#[derive(Clone)]
pub(crate) struct Kernel(Arc<KernelFn>);

type KernelFn = dyn Fn(&mut Inputs<'_>) -> Result<Column, Failure> + Send + Sync;

impl Kernel {
    pub fn run(&self, inputs: &mut Inputs<'_>) -> Result<Column, Failure> {
        (self.0)(inputs)
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kernel")
    }
}

/// What a kernel runs on.
pub(crate) struct Inputs<'a> {
    pub values: &'a [Value<'a>],
    /// The rows whose result will be NULL: nothing there may fail.
    pub nulls: Option<&'a [bool]>,
    pub rows: usize,
    pub random: &'a mut dyn FnMut() -> u32,
    pub context: &'a Context,
}

impl Inputs<'_> {
    /// Whether the result of a row is NULL whatever the kernel answers.
    pub fn is_null(&self, row: usize) -> bool {
        self.nulls
            .is_some_and(|nulls| nulls.get(row).copied().unwrap_or(false))
    }
}

/// The strings of a String or FixedString value.
fn strings<'a>(value: &'a Value<'_>) -> Result<&'a Bytes, Failure> {
    match &value.column.data {
        Data::Bytes(bytes) => Ok(bytes),
        _ => Err(Failure::wrong_columns()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_the_case_that_clickhouse_takes() {
        assert_eq!(find("cityHash64").unwrap().name, "cityHash64");
        assert_eq!(find("RAND").unwrap().name, "rand");
        assert_eq!(find("cast").unwrap().name, "CAST");
        assert!(find("CITYHASH64").is_none());
        assert!(find("murmurHash").is_none());
    }

    #[test]
    fn no_name_is_taken_twice() {
        let mut names: Vec<&str> = FAMILIES.iter().copied().flatten().map(|f| f.name).collect();
        names.sort();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
