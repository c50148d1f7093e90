//! Typed calls → columns: every function runs over all rows at once.

use std::borrow::Cow;

use types::{Column, DataType};

use crate::compiled::Context;
use crate::error::EvalError;
use crate::functions::{Inputs, Kernel};

/// An expression with its type.
#[derive(Debug, Clone)]
pub(crate) struct Typed {
    pub data_type: DataType,
    pub node: Node,
}

#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// The n-th of the columns given.
    Column(usize),
    /// A column of one row that stands for every row.
    Constant(Column),
    Call(BoundCall),
}

/// A function bound to the types of its arguments.
#[derive(Debug, Clone)]
pub(crate) struct BoundCall {
    pub function: &'static str,
    pub kernel: Kernel,
    pub arguments: Vec<Typed>,
    /// The arguments whose NULL makes the result NULL.
    pub nulls_of: Vec<usize>,
    /// One value stands for all rows, though it is another one in each INSERT (`now()`).
    pub once: bool,
    /// Of a random function the number of the call: equal calls share one column, as in ClickHouse.
    pub drawn_as: Option<usize>,
}

/// What an evaluation runs on.
pub(crate) struct Frame<'a, 'r> {
    pub columns: &'a [Column],
    pub rows: usize,
    pub random: &'r mut dyn FnMut() -> u32,
    pub context: &'r Context,
    /// The columns of random calls that were evaluated before.
    pub drawn: Vec<(usize, Column)>,
}

/// An argument's values: a column, or one row that stands for all.
#[derive(Debug)]
pub(crate) struct Value<'a> {
    pub column: Cow<'a, Column>,
    pub constant: bool,
}

impl Value<'_> {
    /// Where the value of a row lies in the column.
    pub fn place(&self, row: usize) -> usize {
        if self.constant { 0 } else { row }
    }

    /// Whether the value of a row is NULL.
    pub fn is_null(&self, row: usize) -> bool {
        self.column
            .nulls
            .as_ref()
            .is_some_and(|nulls| nulls.get(self.place(row)).copied().unwrap_or(false))
    }
}

impl Typed {
    pub fn is_constant(&self) -> bool {
        matches!(self.node, Node::Constant(_))
    }

    /// Whether one value stands for all rows of an INSERT.
    pub fn is_one_value(&self) -> bool {
        match &self.node {
            Node::Column(_) => false,
            Node::Constant(_) => true,
            Node::Call(call) => call.once,
        }
    }

    /// The values of all rows of the frame.
    pub fn evaluate<'a>(&'a self, frame: &mut Frame<'a, '_>) -> Result<Value<'a>, EvalError> {
        match &self.node {
            Node::Column(place) => Ok(Value {
                column: Cow::Borrowed(&frame.columns[*place]),
                constant: false,
            }),
            Node::Constant(column) => Ok(Value {
                column: Cow::Borrowed(column),
                constant: true,
            }),
            Node::Call(call) => Ok(Value {
                column: Cow::Owned(call.evaluate(frame)?),
                constant: call.once,
            }),
        }
    }
}

impl BoundCall {
    fn evaluate<'a>(&'a self, frame: &mut Frame<'a, '_>) -> Result<Column, EvalError> {
        let known = |id: usize| frame.drawn.iter().find(|(drawn, _)| *drawn == id);
        if let Some((_, column)) = self.drawn_as.and_then(known) {
            return Ok(column.clone());
        }
        let rows = if self.once { 1 } else { frame.rows };
        let column = self.compute(frame, rows)?;
        if let Some(id) = self.drawn_as {
            frame.drawn.push((id, column.clone()));
        }
        Ok(column)
    }

    fn compute<'a>(&'a self, frame: &mut Frame<'a, '_>, rows: usize) -> Result<Column, EvalError> {
        let values = self.arguments.iter().map(|argument| argument.evaluate(frame));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        let nulls = self.nulls(&values, rows);
        let mut inputs = Inputs {
            values: &values,
            nulls: nulls.as_deref(),
            rows,
            random: &mut *frame.random,
            context: frame.context,
        };
        let mut column = self.kernel.run(&mut inputs).map_err(|failure| EvalError {
            row: failure.row,
            function: self.function,
            reason: failure.reason,
        })?;
        column.nulls = either(column.nulls, nulls);
        Ok(column)
    }

    /// Which rows are NULL because an argument is; none when no argument can be.
    fn nulls(&self, values: &[Value<'_>], rows: usize) -> Option<Vec<bool>> {
        if self.nulls_of.is_empty() {
            return None;
        }
        let is_null = |row| {
            self.nulls_of
                .iter()
                .any(|argument| values[*argument].is_null(row))
        };
        Some((0..rows).map(is_null).collect())
    }
}

/// NULL where one of both is.
fn either(left: Option<Vec<bool>>, right: Option<Vec<bool>>) -> Option<Vec<bool>> {
    match (left, right) {
        (Some(left), Some(right)) => Some(
            left.iter()
                .zip(right)
                .map(|(left, right)| *left || right)
                .collect(),
        ),
        (left, right) => left.or(right),
    }
}
