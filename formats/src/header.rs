//! Header lines: names to columns.

use std::collections::HashSet;

use types::{ColumnDef, DataType};

use crate::error::code;
use crate::framing::Stop;
use crate::stream::Input;

/// What of a header is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Announced {
    Nothing,
    /// A line of names.
    Names,
    /// A line of names, then one of types.
    NamesAndTypes,
    /// A line of types behind so many names.
    Types {
        names: usize,
    },
    /// Perhaps a line of names, although the format's name does not say so.
    Perhaps,
    /// Perhaps a line of types: names were found although not announced.
    PerhapsTypes {
        names: usize,
    },
}

impl Announced {
    /// What comes behind a line of so many names.
    pub(crate) fn behind_names(self, names: usize) -> Self {
        match self {
            Self::NamesAndTypes => Self::Types { names },
            Self::Perhaps => Self::PerhapsTypes { names },
            _ => Self::Nothing,
        }
    }
}

/// What a header's names are held against.
pub(crate) struct Header {
    columns: Vec<ColumnDef>,
    /// For each name that was read, or each field where names do not count: the column it belongs to, with the field's type.
    named: Vec<Option<ColumnDef>>,
    tuples_as_fields: bool,
    use_names: bool,
    use_types: bool,
    skip_unknown: bool,
}

/// Why a header is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HeaderError(pub String);

impl HeaderError {
    pub(crate) fn at(self, at: usize) -> Stop {
        Stop::fault(code::INCORRECT_DATA, at, self.0)
    }
}

impl Header {
    pub(crate) fn new(input: &Input<'_>, tuples_as_fields: bool) -> Self {
        Self {
            columns: input.columns.clone(),
            named: Vec::new(),
            tuples_as_fields,
            use_names: input.settings.names_use_header,
            use_types: input.settings.types_use_header,
            skip_unknown: input.settings.skip_unknown_fields,
        }
    }

    /// Whether a first line is a header: all its texts are columns, or it has as many columns' names as there
    /// are columns.
    pub(crate) fn is_header(&self, texts: &[Vec<u8>]) -> bool {
        let is_column = |text: &&Vec<u8>| self.columns.iter().any(|column| column.name.as_bytes() == **text);
        let known = texts.iter().filter(is_column).count();
        known == texts.len() || known == self.columns.len()
    }

    /// The columns that the names say, in their order, with none for a field that is to be left out. All columns
    /// where names do not count.
    ///
    /// `t.x` and `t.y`, which ClickHouse itself writes for a Tuple in CSV, are unknown names: it does not read them either
    /// (tried on 26.9).
    pub(crate) fn columns(&mut self, names: &[Vec<u8>]) -> Result<Vec<Option<ColumnDef>>, HeaderError> {
        self.named.clear();
        if !self.use_names {
            for column in &self.columns {
                name_leaves(column, self.tuples_as_fields, &mut self.named);
            }
            return Ok(self.columns.iter().cloned().map(Some).collect());
        }
        let mut columns: Vec<Option<ColumnDef>> = Vec::new();
        let mut seen = HashSet::new();
        for name in names {
            let column = self.find(name).cloned();
            if column.is_none() && !self.skip_unknown {
                return Err(unknown(name));
            }
            if let Some(column) = &column
                && !seen.insert(column.name.clone())
            {
                let message = format!("column {} stands in the header twice", column.name);
                return Err(HeaderError(message));
            }
            self.named.push(column.clone());
            columns.push(column);
        }
        if columns.iter().all(Option::is_none) {
            return Err(HeaderError("the header names no column of the table".to_owned()));
        }
        Ok(columns)
    }

    /// Holds a line of types against the columns of the names in front of it.
    pub(crate) fn check_types(&self, types: &[Vec<u8>]) -> Result<(), HeaderError> {
        if !self.use_types {
            return Ok(());
        }
        if self.use_names && types.len() != self.named.len() {
            let names = self.named.len();
            let message = format!("the header has {names} names but {} types", types.len());
            return Err(HeaderError(message));
        }
        for (column, written) in self.named.iter().zip(types) {
            let written = String::from_utf8_lossy(written);
            if let Some(message) = column.as_ref().and_then(|column| wrong_type(column, &written)) {
                return Err(HeaderError(message));
            }
        }
        Ok(())
    }

    fn find(&self, name: &[u8]) -> Option<&ColumnDef> {
        column_named(&self.columns, name)
    }
}

fn unknown(name: &[u8]) -> HeaderError {
    let name = String::from_utf8_lossy(name);
    let name: String = name.chars().take(64).collect();
    HeaderError(format!(
        "unknown column '{name}' in the header; set input_format_skip_unknown_fields = 1 to have it skipped"
    ))
}

/// What is wrong with a header's type for this column, if anything.
pub(crate) fn wrong_type(column: &ColumnDef, written: &str) -> Option<String> {
    let same = written == column.data_type.to_string()
        || DataType::parse(written).is_ok_and(|data_type| data_type == column.data_type);
    if same {
        return None;
    }
    let written: String = written.chars().take(64).collect();
    Some(format!(
        "type of '{}' must be {}, not {written}",
        column.name, column.data_type
    ))
}

/// The fields that a column takes, each as a column of its own.
fn name_leaves(column: &ColumnDef, tuples_as_fields: bool, out: &mut Vec<Option<ColumnDef>>) {
    match &column.data_type {
        DataType::Tuple(elements) if tuples_as_fields && !elements.is_empty() => {
            for (_, element) in elements {
                let element = ColumnDef {
                    name: column.name.clone(),
                    data_type: element.clone(),
                };
                name_leaves(&element, true, out);
            }
        }
        _ => out.push(Some(column.clone())),
    }
}

/// The column of a name; where none is exactly so, the only one that is but for case, as 26.x reads headers.
pub(crate) fn column_named<'a>(columns: &'a [ColumnDef], name: &[u8]) -> Option<&'a ColumnDef> {
    if let Some(column) = columns.iter().find(|column| column.name.as_bytes() == name) {
        return Some(column);
    }
    let mut alike = columns
        .iter()
        .filter(|column| column.name.as_bytes().eq_ignore_ascii_case(name));
    alike.next().filter(|_| alike.next().is_none())
}
