//! `Expression`: an expression of any type over a table's columns, compiled once and evaluated once a block.
//!
//! A sharding key is one, and so is a column's DEFAULT or MATERIALIZED expression.

use std::borrow::Cow;
use std::time::Duration;

use types::{Column, ColumnDef, Data, DataType};

use crate::TEXT_BYTES_MAX;
use crate::error::{EvalError, KeyError, Refusal};
use crate::expression::check::{Checked, check};
use crate::expression::evaluate::{Frame, Node, Value};
use crate::expression::parse::parse;
use crate::functions::Function;

/// What functions answer by that are no functions of the row: one for all rows and all expressions of an INSERT.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// The moment of the INSERT, since 1970 UTC: now(), now64(), today() …
    pub now: Duration,
    /// hostName().
    pub host_name: String,
    /// currentUser().
    pub user: String,
    /// currentDatabase().
    pub database: String,
    /// queryID() and initialQueryID().
    pub query_id: String,
    /// randConstant(): drawn once for the INSERT.
    pub random_constant: u32,
}

/// An expression over a table's columns, of any type.
#[derive(Debug, Clone)]
pub struct Expression {
    text: String,
    checked: Checked,
}

impl Expression {
    /// Compiles an expression for a table with these columns.
    ///
    /// `zone` is the servers' `timezone()`; an expression that needs it is refused when it is not known.
    pub fn compile(text: &str, columns: &[ColumnDef], zone: Option<&str>) -> Result<Self, KeyError> {
        Self::new(text, columns, zone, None)
    }

    /// Compiles an expression whose value is cast to a column's type, as an INSERT casts a DEFAULT.
    pub fn compile_as(
        text: &str,
        target: &DataType,
        columns: &[ColumnDef],
        zone: Option<&str>,
    ) -> Result<Self, KeyError> {
        Self::new(text, columns, zone, Some(target))
    }

    /// The expression as given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The columns that the expression reads, each once, in the order in which [`Expression::evaluate`] wants
    /// them.
    pub fn columns(&self) -> &[ColumnDef] {
        &self.checked.columns
    }

    /// The type of its values.
    pub fn result_type(&self) -> &DataType {
        &self.checked.root.data_type
    }

    /// Whether it has one value, whatever the row and whatever the INSERT.
    pub fn is_constant(&self) -> bool {
        matches!(self.checked.root.node, Node::Constant(_))
    }

    /// Whether a function in it answers by more than the row: by the INSERT's moment or user, or by chance.
    pub fn is_volatile(&self) -> bool {
        !self.checked.volatile.is_empty()
    }

    /// The functions that make it volatile.
    pub(crate) fn volatile(&self) -> &[&'static Function] {
        &self.checked.volatile
    }

    /// The values of some rows, given the expression's columns with `rows` values each.
    ///
    /// `random` draws numbers for rand() and its like. Equal calls in one evaluation draw once, as in ClickHouse.
    pub fn evaluate(
        &self,
        columns: &[Column],
        rows: usize,
        context: &Context,
        random: &mut dyn FnMut() -> u32,
    ) -> Result<Column, EvalError> {
        let value = self.value(columns, rows, context, random)?;
        if !value.constant {
            return Ok(value.column.into_owned());
        }
        let mut column = Column {
            data: Data::empty(self.result_type().without_nullable()),
            nulls: value.column.nulls.is_some().then(Vec::new),
        };
        for _ in 0..rows {
            if !column.push_from(&value.column, 0) {
                return Err(EvalError::wrong_columns());
            }
        }
        Ok(column)
    }

    /// The values, a constant as one.
    pub(crate) fn value<'a>(
        &'a self,
        columns: &'a [Column],
        rows: usize,
        context: &Context,
        random: &mut dyn FnMut() -> u32,
    ) -> Result<Value<'a>, EvalError> {
        self.check_columns(columns, rows)?;
        let mut frame = Frame {
            columns,
            rows,
            random,
            context,
            drawn: Vec::new(),
        };
        self.checked.root.evaluate(&mut frame)
    }

    fn new(
        text: &str,
        columns: &[ColumnDef],
        zone: Option<&str>,
        target: Option<&DataType>,
    ) -> Result<Self, KeyError> {
        let checked = parse(text).and_then(|tree| check(&tree, columns, zone, target));
        match checked {
            Ok(checked) => Ok(Self {
                text: text.to_owned(),
                checked,
            }),
            Err(refusal) => Err(refusal.of(text)),
        }
    }

    /// Kernels trust the physical kind and the length of columns: both are checked here, once a block.
    fn check_columns(&self, columns: &[Column], rows: usize) -> Result<(), EvalError> {
        let fits = |definition: &ColumnDef, column: &Column| {
            let expected = Data::empty(definition.data_type.without_nullable());
            let nulls = column.nulls.as_ref();
            expected.is_same_kind(&column.data)
                && column.len() == rows
                && nulls.is_none_or(|nulls| nulls.len() == rows && definition.data_type.is_nullable())
        };
        let definitions = self.columns();
        let all_fit = definitions
            .iter()
            .zip(columns)
            .all(|(definition, column)| fits(definition, column));
        if columns.len() == definitions.len() && all_fit {
            Ok(())
        } else {
            Err(EvalError::wrong_columns())
        }
    }
}

impl Refusal {
    /// The refusal with the text it is about.
    pub(crate) fn of(self, text: &str) -> KeyError {
        KeyError {
            text: text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned(),
            reason: self.reason,
            offset: self.offset,
        }
    }
}

impl<'a> Value<'a> {
    /// The data without the NULLs.
    pub(crate) fn into_data(self) -> Cow<'a, Data> {
        match self.column {
            Cow::Borrowed(column) => Cow::Borrowed(&column.data),
            Cow::Owned(column) => Cow::Owned(column.data),
        }
    }
}
