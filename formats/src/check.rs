//! `validate = "values"`: reads the values of columns that the sharding key does not read, and forgets them.
//!
//! Arrays, tuples and maps are walked through in the notation that the format has for them. Values of a type that is not
//! read here, and expressions in VALUES, are left to the shard.

use types::{Column, ColumnDef};

use crate::error::FormatError;
use crate::framing::{Framing, Token, ValueError};
use crate::nested::{self, ValueReader};
use crate::stream::Spec;
use crate::values;

/// What the values of one column are held against.
pub(crate) struct Check {
    pub column: ColumnDef,
    takes_null: bool,
    reader: ValueReader,
    /// Takes a value and forgets it.
    values: Column,
    scratch: Vec<u8>,
}

impl Check {
    pub(crate) fn new(column: &ColumnDef, spec: &Spec<'_>) -> Result<Self, FormatError> {
        Ok(Self {
            column: column.clone(),
            takes_null: column.data_type.is_nullable() || spec.settings.null_as_default,
            reader: ValueReader::new(&column.data_type, spec)?,
            values: Column::empty(&column.data_type),
            scratch: Vec::new(),
        })
    }

    /// Reads the field of the noted column `index`.
    pub(crate) fn read(
        &mut self,
        framing: &dyn Framing,
        index: usize,
        field: &[u8],
    ) -> Result<(), ValueError> {
        let read = match framing.token(index, field, &mut self.scratch) {
            Ok(Token::Null) if !self.takes_null => Err(nested::NULL),
            Ok(Token::Null | Token::Absent) => Ok(()),
            Ok(token) => {
                self.values.clear();
                self.reader.push(&mut self.values, &token)
            }
            Err(error) => Err(error),
        };
        match read {
            Err(error) if error == values::LITERAL => Ok(()),
            read => read,
        }
    }
}

#[cfg(test)]
mod tests;
