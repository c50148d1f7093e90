//! `Key`: a sharding expression, compiled against a table's columns.

use rand::Rng;
use types::{Column, ColumnDef, Data, DataType};

use crate::TEXT_BYTES_MAX;
use crate::error::{EvalError, EvalReason, KeyError, KeyReason, Refusal};
use crate::expression::check::{Checked, check};
use crate::expression::evaluate::Frame;
use crate::expression::parse::parse;
use crate::integers::{Integer, sharding_values};

/// A sharding key: compiled once a table, evaluated once a block of rows.
#[derive(Debug, Clone)]
pub struct Key {
    text: String,
    checked: Checked,
}

impl Key {
    /// Compiles a sharding expression for a table with these columns.
    ///
    /// An expression that needs the servers' time zone (the text or the date of a DateTime column without a zone of its
    /// own) is refused: see [`Key::compile_in_zone`].
    pub fn compile(text: &str, columns: &[ColumnDef]) -> Result<Self, KeyError> {
        Self::new(text, columns, None)
    }

    /// Compiles as [`Key::compile`] does, for servers whose `timezone()` is this.
    pub fn compile_in_zone(text: &str, columns: &[ColumnDef], zone: &str) -> Result<Self, KeyError> {
        Self::new(text, columns, Some(zone))
    }

    /// The expression as given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The columns that the expression reads, each once, in the order in which [`Key::values`] wants them.
    pub fn columns(&self) -> &[ColumnDef] {
        &self.checked.columns
    }

    /// The type of the sharding value: an integer of 8 to 64 bits, or LowCardinality of one.
    pub fn result_type(&self) -> &DataType {
        &self.checked.root.data_type
    }

    /// Whether `rand()` is in it, so that the same row may go to another shard each time.
    pub fn is_random(&self) -> bool {
        self.checked.random
    }

    /// The sharding values of some rows, given the key's columns with `rows` values each.
    ///
    /// The value is unsigned: a signed result of up to 4 bytes counts as UInt32, one of 8 bytes as UInt64, both in two's
    /// complement. Either every row has a value or the first row that has none is the error.
    pub fn values(
        &self,
        columns: &[Column],
        rows: usize,
        rng: &mut (impl Rng + ?Sized),
    ) -> Result<Vec<u64>, EvalError> {
        self.check_columns(columns, rows)?;
        let mut frame = Frame {
            columns,
            rows,
            random: &mut || rng.next_u32(),
        };
        let value = self.checked.root.evaluate(&mut frame)?;
        let constant = value.constant;
        let data = match value.column {
            std::borrow::Cow::Borrowed(column) => std::borrow::Cow::Borrowed(&column.data),
            std::borrow::Cow::Owned(column) => std::borrow::Cow::Owned(column.data),
        };
        match sharding_values(data) {
            Some(values) if constant => Ok(vec![values.first().copied().unwrap_or_default(); rows]),
            Some(values) if values.len() == rows => Ok(values),
            _ => Err(wrong_columns()),
        }
    }

    fn new(text: &str, columns: &[ColumnDef], zone: Option<&str>) -> Result<Self, KeyError> {
        let checked = parse(text).and_then(|expression| check(&expression, columns, zone));
        match checked.and_then(with_integer_result) {
            Ok(checked) => Ok(Self {
                text: text.to_owned(),
                checked,
            }),
            Err(Refusal { reason, offset }) => Err(KeyError {
                text: shortened(text),
                reason,
                offset,
            }),
        }
    }

    /// Kernels trust the physical kind and the length of columns: both are checked here, once a block.
    fn check_columns(&self, columns: &[Column], rows: usize) -> Result<(), EvalError> {
        let fits = |definition: &ColumnDef, column: &Column| {
            let expected = Data::empty(definition.data_type.without_nullable());
            let nulls = column.nulls.as_ref();
            std::mem::discriminant(&expected) == std::mem::discriminant(&column.data)
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
            Err(wrong_columns())
        }
    }
}

/// Only integers name a slot; Bool, Enum, dates and Nullable are integers underneath, but ClickHouse's documentation
/// and INSERT do not take them.
fn with_integer_result(checked: Checked) -> Result<Checked, Refusal> {
    let data_type = &checked.root.data_type;
    let plain = data_type.without_low_cardinality();
    if Integer::of(plain).is_some() && *plain != DataType::Bool {
        return Ok(checked);
    }
    Err(Refusal::of_whole(KeyReason::ResultType {
        data_type: data_type.clone(),
    }))
}

fn shortened(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned()
}

fn wrong_columns() -> EvalError {
    EvalError {
        row: 0,
        function: "sharding key",
        reason: EvalReason::WrongColumns,
    }
}
