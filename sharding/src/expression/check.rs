//! Tree → typed calls: names are resolved against the table's columns and the functions, every type is
//! checked, and what is constant is computed once.

use types::{Bytes, Column, ColumnDef, Data, DataType};

use super::evaluate::{BoundCall, Frame, Node, Typed};
use super::{Expression, Kind, Literal};
use crate::error::{KeyReason, Refusal};
use crate::functions::{self, Argument, Call, Function, Nulls};

/// A checked expression and what it needs.
#[derive(Debug, Clone)]
pub(crate) struct Checked {
    pub root: Typed,
    /// The columns it reads, each once, in the order in which `Node::Column` counts them.
    pub columns: Vec<ColumnDef>,
    /// Whether two evaluations may differ.
    pub random: bool,
}

/// Types an expression against a table's columns.
///
/// `zone` is the servers' time zone, in which DateTime columns without their own are turned into text and
/// dates.
pub(crate) fn check(
    expression: &Expression,
    columns: &[ColumnDef],
    zone: Option<&str>,
) -> Result<Checked, Refusal> {
    let mut checker = Checker {
        table: columns,
        zone,
        used: Vec::new(),
        random: false,
    };
    match checker.operand(expression)? {
        Operand::Tuple(elements) => {
            let data_type = tuple_type(&elements);
            Err(Refusal::of_whole(KeyReason::ResultType { data_type }))
        }
        Operand::Plain(root) => Ok(Checked {
            root,
            columns: checker.used,
            random: checker.random,
        }),
    }
}

struct Checker<'a> {
    table: &'a [ColumnDef],
    zone: Option<&'a str>,
    used: Vec<ColumnDef>,
    random: bool,
}

/// What a call can be given. Tuples never become values: hash functions take their elements one by one.
enum Operand {
    Plain(Typed),
    Tuple(Vec<Operand>),
}

/// One argument of a call, and whether it stood inside a tuple.
struct Leaf {
    typed: Typed,
    in_tuple: bool,
}

impl Checker<'_> {
    fn operand(&mut self, expression: &Expression) -> Result<Operand, Refusal> {
        match &expression.kind {
            Kind::Column(name) => self.column(name, expression.offset).map(Operand::Plain),
            Kind::Literal(literal) => constant(literal, expression.offset).map(Operand::Plain),
            Kind::Call { name, arguments } if name == "tuple" => {
                let elements = arguments.iter().map(|argument| self.operand(argument));
                elements.collect::<Result<_, _>>().map(Operand::Tuple)
            }
            Kind::Call { name, arguments } => {
                self.call(name, arguments, expression.offset).map(Operand::Plain)
            }
        }
    }

    fn column(&mut self, name: &str, offset: usize) -> Result<Typed, Refusal> {
        let unknown = || {
            Refusal::at(
                offset,
                KeyReason::UnknownColumn {
                    name: name.to_owned(),
                },
            )
        };
        let definition = self
            .table
            .iter()
            .find(|column| column.name == name)
            .ok_or_else(unknown)?;
        let place = self
            .used
            .iter()
            .position(|column| column.name == name)
            .unwrap_or_else(|| {
                self.used.push(definition.clone());
                self.used.len() - 1
            });
        Ok(Typed {
            data_type: definition.data_type.clone(),
            node: Node::Column(place),
        })
    }

    fn call(&mut self, name: &str, written: &[Expression], offset: usize) -> Result<Typed, Refusal> {
        let unknown = || {
            Refusal::at(
                offset,
                KeyReason::UnknownFunction {
                    name: name.to_owned(),
                },
            )
        };
        let function = functions::find(name).ok_or_else(unknown)?;
        if !function.arguments.contains(&written.len()) {
            return Err(Refusal::at(offset, function.argument_count(written.len())));
        }
        let mut leaves = Vec::with_capacity(written.len());
        for (i, argument) in written.iter().enumerate() {
            let operand = self.operand(argument)?;
            spread(operand, function, i, argument.offset, &mut leaves)?;
        }
        self.random |= function.random;
        bind(function, leaves, self.zone, offset)
    }
}

/// Adds an argument to the leaves: a tuple element by element, where the function looks into tuples.
fn spread(
    operand: Operand,
    function: &'static Function,
    position: usize,
    offset: usize,
    leaves: &mut Vec<Leaf>,
) -> Result<(), Refusal> {
    match operand {
        Operand::Plain(typed) => leaves.push(Leaf {
            typed,
            in_tuple: false,
        }),
        Operand::Tuple(elements) if function.spreads_tuples && !elements.is_empty() => {
            let first = leaves.len();
            for element in elements {
                spread(element, function, position, offset, leaves)?;
            }
            leaves[first..].iter_mut().for_each(|leaf| leaf.in_tuple = true);
        }
        Operand::Tuple(elements) => {
            let reason = function.argument_type(position, tuple_type(&elements));
            return Err(Refusal::at(offset, reason));
        }
    }
    Ok(())
}

/// Makes a call of a function and its arguments, typed; one that is constant becomes its value.
fn bind(
    function: &'static Function,
    leaves: Vec<Leaf>,
    zone: Option<&str>,
    offset: usize,
) -> Result<Typed, Refusal> {
    let arguments: Vec<Argument<'_>> = leaves.iter().map(|leaf| argument(function, leaf)).collect();
    let bound = (function.bind)(&Call {
        function,
        arguments: &arguments,
        zone,
        offset,
    })?;
    let data_type = wrapped(function, bound.data_type, &leaves);
    let is_constant = leaves.iter().all(|leaf| leaf.typed.is_constant()) && !function.random;
    let nulls_of = (0..leaves.len())
        .filter(|i| propagates_null(function, &leaves[*i]))
        .collect();
    let arguments = leaves.into_iter().map(|leaf| leaf.typed).collect();
    let call = BoundCall {
        function: function.name,
        kernel: bound.kernel,
        arguments,
        nulls_of,
    };
    let typed = Typed {
        data_type,
        node: Node::Call(call),
    };
    if is_constant {
        fold(typed, offset)
    } else {
        Ok(typed)
    }
}

/// What a function sees of an argument: without LowCardinality, and without Nullable where NULL is handled
/// around it.
fn argument<'a>(function: &Function, leaf: &'a Leaf) -> Argument<'a> {
    let nullable = propagates_null(function, leaf);
    let data_type = leaf.typed.data_type.without_low_cardinality();
    let data_type = if nullable {
        data_type.without_nullable()
    } else {
        data_type
    };
    let constant = match &leaf.typed.node {
        Node::Constant(column) => Some(column),
        _ => None,
    };
    Argument {
        data_type,
        nullable,
        constant,
    }
}

fn propagates_null(function: &Function, leaf: &Leaf) -> bool {
    function.nulls == Nulls::Propagate && !leaf.in_tuple && leaf.typed.data_type.is_nullable()
}

/// The result's type with the wrappers that ClickHouse puts around it.
fn wrapped(function: &Function, data_type: DataType, leaves: &[Leaf]) -> DataType {
    let nullable = leaves.iter().any(|leaf| propagates_null(function, leaf));
    let data_type = if nullable {
        DataType::Nullable(Box::new(data_type))
    } else {
        data_type
    };
    if function.keeps_low_cardinality && only_low_cardinality(leaves) {
        DataType::LowCardinality(Box::new(data_type))
    } else {
        data_type
    }
}

/// Whether one argument is a LowCardinality column and all others are constants: ClickHouse then computes on
/// the dictionary alone and the result keeps the wrapper.
fn only_low_cardinality(leaves: &[Leaf]) -> bool {
    let mut columns = leaves.iter().filter(|leaf| !leaf.typed.is_constant());
    let first = columns.next();
    let is_wrapped =
        |leaf: &Leaf| !leaf.in_tuple && matches!(leaf.typed.data_type, DataType::LowCardinality(_));
    first.is_some_and(is_wrapped) && columns.next().is_none()
}

/// Computes a call of constants.
fn fold(typed: Typed, offset: usize) -> Result<Typed, Refusal> {
    let mut frame = Frame {
        columns: &[],
        rows: 1,
        random: &mut || 0,
    };
    let value = typed
        .evaluate(&mut frame)
        .map_err(|error| Refusal::at(offset, KeyReason::Constant(error.reason)))?;
    let column = value.column.into_owned();
    Ok(Typed {
        data_type: typed.data_type,
        node: Node::Constant(column),
    })
}

fn tuple_type(elements: &[Operand]) -> DataType {
    let element_type = |element: &Operand| match element {
        Operand::Plain(typed) => typed.data_type.clone(),
        Operand::Tuple(elements) => tuple_type(elements),
    };
    DataType::Tuple(
        elements
            .iter()
            .map(|element| (None, element_type(element)))
            .collect(),
    )
}

/// A literal, in the narrowest type that holds it, as ClickHouse types it.
fn constant(literal: &Literal, offset: usize) -> Result<Typed, Refusal> {
    let (data_type, data) = match literal {
        Literal::Null => return Err(Refusal::at(offset, KeyReason::Null)),
        Literal::Bool(value) => (DataType::Bool, Data::UInt8(vec![u8::from(*value)])),
        Literal::String(text) => {
            let mut bytes = Bytes::default();
            bytes.push(text);
            (DataType::String, Data::Bytes(bytes))
        }
        Literal::Unsigned(value) => match *value {
            0..=0xff => (DataType::UInt8, Data::UInt8(vec![*value as u8])),
            0x100..=0xffff => (DataType::UInt16, Data::UInt16(vec![*value as u16])),
            0x1_0000..=0xffff_ffff => (DataType::UInt32, Data::UInt32(vec![*value as u32])),
            _ => (DataType::UInt64, Data::UInt64(vec![*value])),
        },
        Literal::Negative(value) => match *value {
            -0x80.. => (DataType::Int8, Data::Int8(vec![*value as i8])),
            -0x8000..-0x80 => (DataType::Int16, Data::Int16(vec![*value as i16])),
            -0x8000_0000..-0x8000 => (DataType::Int32, Data::Int32(vec![*value as i32])),
            _ => (DataType::Int64, Data::Int64(vec![*value])),
        },
    };
    Ok(Typed {
        data_type,
        node: Node::Constant(Column::new(data)),
    })
}
