//! Binding: an expression as written becomes one over numbered columns, with types settled and literals
//! converted, so that computing it can hardly fail. What has no exact meaning here is refused now.

use types::{ColumnDef, DataType};

use super::functions::{self, Function};
use super::{Session, aggregate};
use crate::error::{Outcome, code};
use crate::settings::Reading;
use crate::statement::{Expression, Literal};
use crate::text::{from_text, write_text};
use crate::value::{Shape, Value, number_of_shape};
use crate::wide::Wide;

/// An expression ready to be computed over a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bound {
    pub data_type: DataType,
    pub node: Node,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    /// The row's value of that number.
    Column(usize),
    Constant(Value),
    Call(Function, Vec<Bound>),
}

/// Gives what an expression is in the scope it is bound in; `None` leaves it to its parts.
pub(crate) type Resolve<'r> = dyn FnMut(&Expression) -> Outcome<Option<Bound>> + 'r;

impl Bound {
    pub fn constant(data_type: DataType, value: Value) -> Self {
        Self {
            data_type,
            node: Node::Constant(value),
        }
    }

    pub fn column(at: usize, data_type: &DataType) -> Self {
        Self {
            data_type: data_type.clone(),
            node: Node::Column(at),
        }
    }

    /// Collects the numbers of the columns that computing this reads.
    pub fn columns(&self, into: &mut Vec<usize>) {
        match &self.node {
            Node::Column(at) => into.push(*at),
            Node::Constant(_) => {}
            Node::Call(_, arguments) => arguments.iter().for_each(|argument| argument.columns(into)),
        }
    }
}

/// Binds an expression over a table's row: no aggregates.
pub(crate) fn bind_row_expression(
    expression: &Expression,
    columns: &[ColumnDef],
    session: &Session,
) -> Outcome<Bound> {
    bind(expression, session, &mut |expression| {
        resolve_column(expression, columns)
    })
}

fn resolve_column(expression: &Expression, columns: &[ColumnDef]) -> Outcome<Option<Bound>> {
    match expression {
        Expression::Column(name) => match columns.iter().position(|column| column.name == *name) {
            Some(at) => Ok(Some(Bound::column(at, &columns[at].data_type))),
            None => code::UNKNOWN_IDENTIFIER.refuse(format_args!("unknown expression identifier `{name}`")),
        },
        Expression::Call { function, .. } if aggregate::is_aggregate(function) => code::ILLEGAL_AGGREGATION
            .refuse(format_args!(
                "aggregate function {expression} is found where rows are not grouped yet"
            )),
        _ => Ok(None),
    }
}

/// Binds an expression in any scope.
pub(crate) fn bind(expression: &Expression, session: &Session, resolve: &mut Resolve<'_>) -> Outcome<Bound> {
    if let Some(resolved) = resolve(expression)? {
        return Ok(resolved);
    }
    match expression {
        Expression::Column(name) => {
            code::UNKNOWN_IDENTIFIER.refuse(format_args!("unknown expression identifier `{name}`"))
        }
        Expression::Literal(literal) => bind_literal(literal),
        Expression::Call { function, arguments } => {
            if let Some(constant) = functions::constant(function, arguments.len(), session)? {
                return Ok(constant);
            }
            let arguments = bind_arguments(function, arguments, session, resolve)?;
            functions::bind_call(function, arguments)
        }
    }
}

/// Binds a call's arguments, each once. Where values are compared, literals take the first other argument's
/// type.
fn bind_arguments(
    function: &str,
    arguments: &[Expression],
    session: &Session,
    resolve: &mut Resolve<'_>,
) -> Outcome<Vec<Bound>> {
    let compares = functions::compares(function);
    let bound = arguments.iter().map(|argument| match argument {
        Expression::Literal(_) if compares => Ok(None),
        other => bind(other, session, resolve).map(Some),
    });
    let bound = bound.collect::<Outcome<Vec<_>>>()?;
    let leader = bound.iter().flatten().next().map(|bound| bound.data_type.clone());
    let settled =
        bound
            .into_iter()
            .zip(arguments)
            .map(|(bound, argument)| match (bound, argument, &leader) {
                (Some(bound), ..) => Ok(bound),
                (None, Expression::Literal(literal), Some(data_type)) => literal_as(literal, data_type),
                (None, other, _) => bind(other, session, resolve),
            });
    settled.collect()
}

/// A literal by itself: the type ClickHouse gives it, integers in their widest form.
fn bind_literal(literal: &Literal) -> Outcome<Bound> {
    Ok(match literal {
        Literal::Null => Bound::constant(DataType::Nullable(Box::new(DataType::Nothing)), Value::Null),
        Literal::Bool(value) => Bound::constant(DataType::Bool, Value::Int((*value).into())),
        Literal::Text(text) => Bound::constant(DataType::String, Value::Bytes(text.clone())),
        Literal::Number(digits) => bind_number(digits)?,
    })
}

fn bind_number(digits: &str) -> Outcome<Bound> {
    use DataType as T;
    let Some(number) = Wide::parse(digits) else {
        let float = digits
            .parse()
            .map_err(|_| code::SYNTAX_ERROR.error(format_args!("{digits} is no number")))?;
        return Ok(Bound::constant(T::Float64, Value::Float(float)));
    };
    let candidates = [
        T::UInt8,
        T::UInt16,
        T::UInt32,
        T::UInt64,
        T::Int8,
        T::Int16,
        T::Int32,
        T::Int64,
        T::UInt128,
        T::UInt256,
        T::Int256,
    ];
    for data_type in candidates {
        if let Some(value) = number_of_shape(Shape::of(&data_type)?, number) {
            return Ok(Bound::constant(data_type, value));
        }
    }
    code::ARGUMENT_OUT_OF_BOUND.refuse(format_args!("the number {digits} has more than 256 bits"))
}

/// A literal beside a value of a type: strings are read as that type, numbers are kept exact.
fn literal_as(literal: &Literal, data_type: &DataType) -> Outcome<Bound> {
    use DataType as T;
    let plain = data_type.without_nullable();
    match (literal, plain) {
        (Literal::Text(text), T::String | T::FixedString(_)) => Ok(text_beside(text, plain)),
        (Literal::Text(text), _) => {
            let value = from_text(
                plain,
                text,
                Reading {
                    best_effort_times: true,
                    ..Reading::default()
                },
            );
            let value = value.map_err(|error| {
                code::TYPE_MISMATCH.error(format_args!("cannot convert a string to {plain}: {}", error.text))
            })?;
            Ok(Bound::constant(plain.clone(), value))
        }
        (Literal::Number(digits), T::Decimal { scale, .. }) => decimal_beside(digits, *scale),
        _ => bind_literal(literal),
    }
}

/// A FixedString compares with a shorter string as if that were filled up with zero bytes.
fn text_beside(text: &[u8], data_type: &DataType) -> Bound {
    let mut text = text.to_vec();
    if let DataType::FixedString(bytes) = data_type {
        text.resize(text.len().max(*bytes), 0);
    }
    Bound::constant(data_type.clone(), Value::Bytes(text))
}

/// A number beside a decimal takes its scale, which must have room for every digit: nothing is rounded to
/// compare.
fn decimal_beside(digits: &str, scale: u8) -> Outcome<Bound> {
    let fraction = digits
        .split_once('.')
        .map_or("", |(_, fraction)| fraction.trim_end_matches('0'));
    if digits.contains(['e', 'E']) || fraction.len() > scale.into() {
        return code::NOT_IMPLEMENTED.refuse(format_args!(
            "the embedded shard does not compare {digits} with a decimal of scale {scale}: it has too many digits"
        ));
    }
    let data_type = DataType::Decimal { precision: 76, scale };
    let value = from_text(&data_type, digits.as_bytes(), Reading::default())?;
    Ok(Bound::constant(data_type, value))
}

/// Converts a computed value to a column's type, for its DEFAULT: through its text, so that nothing is
/// rounded.
pub(crate) fn cast(from: &DataType, value: Value, to: &DataType) -> Outcome<Value> {
    if from.without_nullable() == to.without_nullable() && (value != Value::Null || to.is_nullable()) {
        return Ok(value);
    }
    match value {
        Value::Null if to.is_nullable() => Ok(Value::Null),
        Value::Null => code::TYPE_MISMATCH.refuse(format_args!("cannot convert NULL to {to}")),
        value => {
            let mut text = Vec::new();
            write_text(from, &value, &mut text)?;
            from_text(to, &text, Reading::default())
        }
    }
}
