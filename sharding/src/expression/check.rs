//! Tree → typed calls: names are resolved against the table's columns and the functions, every type is
//! checked, and what is constant is computed once.

use types::{Bytes, Column, ColumnDef, Data, DataType};

use super::evaluate::{BoundCall, Frame, Node, Typed};
use super::{Kind, Literal, Tree};
use crate::compiled::Context;
use crate::error::{KeyReason, Refusal};
use crate::functions::{self, Argument, Call, Function, Nulls, Volatile};

/// A checked expression and what it needs.
#[derive(Debug, Clone)]
pub(crate) struct Checked {
    pub root: Typed,
    /// The columns it reads, each once, in the order in which `Node::Column` counts them.
    pub columns: Vec<ColumnDef>,
    /// The functions in it that are no functions of the row.
    pub volatile: Vec<&'static Function>,
}

/// Types an expression against a table's columns.
///
/// `zone` is the servers' time zone, in which DateTime columns without their own are turned into text and
/// dates. With a target the value is cast to it at last.
pub(crate) fn check(
    expression: &Tree,
    columns: &[ColumnDef],
    zone: Option<&str>,
    target: Option<&DataType>,
) -> Result<Checked, Refusal> {
    let mut checker = Checker {
        table: columns,
        zone,
        used: Vec::new(),
        volatile: Vec::new(),
        drawn: Vec::new(),
    };
    let mut root = checker.typed(expression)?;
    if let Some(target) = target {
        root = checker.cast(root, target, expression.offset)?;
    }
    if functions::is_interval(&root.data_type) {
        return Err(interval_refused(&root.data_type, expression.offset));
    }
    Ok(Checked {
        root,
        columns: checker.used,
        volatile: checker.volatile,
    })
}

struct Checker<'a> {
    table: &'a [ColumnDef],
    zone: Option<&'a str>,
    used: Vec<ColumnDef>,
    volatile: Vec<&'static Function>,
    /// The random calls so far as they are written.
    drawn: Vec<Tree>,
}

/// What a call can be given. A tuple that is written out never becomes a value where a function takes its
/// elements one by one.
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
    /// An expression as one value.
    fn typed(&mut self, expression: &Tree) -> Result<Typed, Refusal> {
        match self.operand(expression)? {
            Operand::Plain(typed) => Ok(typed),
            Operand::Tuple(elements) => self.tuple(elements, expression.offset),
        }
    }

    /// Elements made into one value.
    fn tuple(&mut self, elements: Vec<Operand>, offset: usize) -> Result<Typed, Refusal> {
        let mut leaves = Vec::with_capacity(elements.len());
        for element in elements {
            let typed = match element {
                Operand::Plain(typed) => typed,
                Operand::Tuple(elements) => self.tuple(elements, offset)?,
            };
            leaves.push(Leaf {
                typed,
                in_tuple: false,
            });
        }
        self.bound(&functions::TUPLE, leaves, offset, None)
    }

    /// A value cast to a type as an INSERT casts a DEFAULT.
    fn cast(&mut self, typed: Typed, target: &DataType, offset: usize) -> Result<Typed, Refusal> {
        if typed.data_type == *target {
            return Ok(typed);
        }
        let target = typed_text(&target.to_string());
        let leaf = |typed| Leaf {
            typed,
            in_tuple: false,
        };
        self.bound(&functions::CAST, vec![leaf(typed), leaf(target)], offset, None)
    }

    fn operand(&mut self, expression: &Tree) -> Result<Operand, Refusal> {
        match &expression.kind {
            Kind::Column(name) => self.column(name, expression.offset).map(Operand::Plain),
            Kind::Literal(literal) => Ok(Operand::Plain(constant(literal))),
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
        let definition = self.table.iter().find(|column| column.name == name);
        let Some(definition) = definition else {
            // `CURRENT_TIMESTAMP` and a few more need no brackets, but a column of the name comes first.
            return match functions::is_bare_name(name) {
                true => self.call(name, &[], offset),
                false => Err(unknown()),
            };
        };
        if functions::is_interval(&definition.data_type) {
            return Err(interval_refused(&definition.data_type, offset));
        }
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

    fn call(&mut self, name: &str, written: &[Tree], offset: usize) -> Result<Typed, Refusal> {
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
            match self.operand(argument)? {
                Operand::Tuple(elements) if !function.spreads_tuples => leaves.push(Leaf {
                    typed: self.tuple(elements, argument.offset)?,
                    in_tuple: false,
                }),
                operand => spread(operand, function, i, argument.offset, &mut leaves)?,
            }
        }
        let drawn_as = (function.volatile == Volatile::Row).then(|| self.draw(name, written));
        self.bound(function, leaves, offset, drawn_as)
    }

    /// The number of a random call: that of an equal one before it, if there is one.
    fn draw(&mut self, name: &str, written: &[Tree]) -> usize {
        let is_same = |call: &Tree| match &call.kind {
            Kind::Call {
                name: other,
                arguments,
            } => {
                other.eq_ignore_ascii_case(name)
                    && arguments.len() == written.len()
                    && arguments
                        .iter()
                        .zip(written)
                        .all(|(left, right)| left.is_same(right))
            }
            _ => false,
        };
        self.drawn.iter().position(is_same).unwrap_or_else(|| {
            self.drawn.push(Tree {
                kind: Kind::Call {
                    name: name.to_owned(),
                    arguments: written.to_vec(),
                },
                offset: 0,
                depth: 0,
            });
            self.drawn.len() - 1
        })
    }

    /// Makes a call of a function and its arguments, typed; one that is constant becomes its value.
    fn bound(
        &mut self,
        function: &'static Function,
        leaves: Vec<Leaf>,
        offset: usize,
        drawn_as: Option<usize>,
    ) -> Result<Typed, Refusal> {
        if function.volatile != Volatile::No {
            self.volatile.push(function);
        }
        bind(function, leaves, self.zone, offset, drawn_as)
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
        Operand::Tuple(elements) if elements.is_empty() => {
            let reason = function.argument_type(position, tuple_type(&elements));
            return Err(Refusal::at(offset, reason));
        }
        Operand::Tuple(elements) => {
            let first = leaves.len();
            for element in elements {
                spread(element, function, position, offset, leaves)?;
            }
            leaves[first..].iter_mut().for_each(|leaf| leaf.in_tuple = true);
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
    drawn_as: Option<usize>,
) -> Result<Typed, Refusal> {
    if leaves.iter().any(|leaf| is_plain_null(function, leaf)) {
        return Ok(null());
    }
    let is_interval = |leaf: &Leaf| functions::is_interval(&leaf.typed.data_type);
    if let Some(place) = leaves.iter().position(is_interval)
        && !function.takes_intervals
    {
        let reason = function.argument_type(place, leaves[place].typed.data_type.clone());
        return Err(Refusal::at(offset, reason));
    }
    let arguments: Vec<Argument<'_>> = leaves.iter().map(|leaf| argument(function, leaf)).collect();
    let call = Call {
        function,
        arguments: &arguments,
        zone,
        offset,
    };
    let bound = (function.bind)(&call)?;
    let nullable = (0..leaves.len()).find(|i| propagates_null(function, &leaves[*i]));
    if let (Some(place), DataType::Array(_) | DataType::Tuple(_) | DataType::Map(..)) =
        (nullable, &bound.data_type)
    {
        return Err(call.illegal(place));
    }
    let data_type = wrapped(function, bound.data_type, &leaves);
    let is_constant = leaves.iter().all(|leaf| leaf.typed.is_constant());
    let once = leaves.iter().all(|leaf| leaf.typed.is_one_value()) && function.volatile != Volatile::Row;
    let nulls_of = (0..leaves.len())
        .filter(|i| propagates_null(function, &leaves[*i]))
        .collect();
    let arguments = leaves.into_iter().map(|leaf| leaf.typed).collect();
    let call = BoundCall {
        function: function.name,
        kernel: bound.kernel,
        arguments,
        nulls_of,
        once,
        drawn_as,
    };
    let typed = Typed {
        data_type,
        node: Node::Call(call),
    };
    if is_constant && function.volatile == Volatile::No {
        fold(typed, offset)
    } else {
        Ok(typed)
    }
}

/// Intervals have no column here, so none is read and none is the result.
fn interval_refused(data_type: &DataType, offset: usize) -> Refusal {
    let name = data_type.to_string();
    Refusal::at(offset, KeyReason::CastType { name })
}

/// Whether an argument is a NULL that makes the result a NULL of no type.
fn is_plain_null(function: &Function, leaf: &Leaf) -> bool {
    propagates_null(function, leaf) && *leaf.typed.data_type.without_nullable() == DataType::Nothing
}

/// The literal NULL.
fn null() -> Typed {
    Typed {
        data_type: DataType::Nullable(Box::new(DataType::Nothing)),
        node: Node::Constant(Column {
            data: Data::Bytes(Bytes {
                bytes: Vec::new(),
                ends: vec![0],
            }),
            nulls: Some(vec![true]),
        }),
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
    let data_type = if nullable && !data_type.is_nullable() {
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
        context: &Context::default(),
        drawn: Vec::new(),
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
fn constant(literal: &Literal) -> Typed {
    let (data_type, data) = match literal {
        Literal::Null => return null(),
        Literal::Float(bits) => (DataType::Float64, Data::Float64(vec![f64::from_bits(*bits)])),
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
    Typed {
        data_type,
        node: Node::Constant(Column::new(data)),
    }
}

/// The constant string of a text.
fn typed_text(text: &str) -> Typed {
    constant(&Literal::String(text.as_bytes().to_vec()))
}
