//! Typed calls → columns: every function runs over all rows at once.

use std::borrow::Cow;

use types::{Column, DataType};

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
}

/// What an evaluation runs on.
pub(crate) struct Frame<'a, 'r> {
    pub columns: &'a [Column],
    pub rows: usize,
    pub random: &'r mut dyn FnMut() -> u32,
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
                constant: false,
            }),
        }
    }
}

impl BoundCall {
    fn evaluate<'a>(&'a self, frame: &mut Frame<'a, '_>) -> Result<Column, EvalError> {
        let values = self.arguments.iter().map(|argument| argument.evaluate(frame));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        let nulls = self.nulls(&values, frame.rows);
        let mut inputs = Inputs {
            values: &values,
            nulls: nulls.as_deref(),
            rows: frame.rows,
            random: &mut *frame.random,
        };
        let data = self.kernel.run(&mut inputs).map_err(|failure| EvalError {
            row: failure.row,
            function: self.function,
            reason: failure.reason,
        })?;
        Ok(Column { data, nulls })
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
