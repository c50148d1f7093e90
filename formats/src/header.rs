//! Header lines: names to columns.

use types::{ColumnDef, DataType};

use crate::error::code;
use crate::framing::Stop;
use crate::stream::Input;

/// What a header's names are held against.
pub(crate) struct Header {
    columns: Vec<ColumnDef>,
    tuples_as_fields: bool,
    use_names: bool,
    skip_unknown: bool,
}

/// Why a header is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HeaderError(String);

impl HeaderError {
    pub(crate) fn at(self, at: usize) -> Stop {
        Stop::fault(code::INCORRECT_DATA, at, self.0)
    }
}

impl Header {
    pub(crate) fn new(input: &Input<'_>, tuples_as_fields: bool) -> Self {
        Self {
            columns: input.columns.clone(),
            tuples_as_fields,
            use_names: input.settings.names_use_header,
            skip_unknown: input.settings.skip_unknown_fields,
        }
    }

    /// Whether a first line is a header: all its texts are columns, or it has as many columns' names as there
    /// are columns.
    pub(crate) fn is_header(&self, texts: &[Vec<u8>]) -> bool {
        let known = texts.iter().filter(|text| self.find(text).is_some()).count();
        known == texts.len() || known == self.columns.len()
    }

    /// The columns that the names say, in their order; none when the names do not count.
    pub(crate) fn columns(&self, names: &[Vec<u8>]) -> Result<Option<Vec<ColumnDef>>, HeaderError> {
        if !self.use_names {
            return Ok(None);
        }
        let mut columns: Vec<ColumnDef> = Vec::with_capacity(names.len());
        let mut rest = names;
        while let Some((name, behind)) = rest.split_first() {
            let (column, fields) = match (self.find(name), self.tuple_at(rest)) {
                (Some(column), _) => (column, 1),
                (None, Some((column, fields))) => (column, fields),
                (None, None) => return Err(self.unknown(name)),
            };
            if columns.iter().any(|known| known.name == column.name) {
                return Err(HeaderError(format!(
                    "column {} stands in the header twice",
                    column.name
                )));
            }
            columns.push(column.clone());
            rest = &behind[fields - 1..];
        }
        Ok(Some(columns))
    }

    fn find(&self, name: &[u8]) -> Option<&ColumnDef> {
        self.columns.iter().find(|column| column.name.as_bytes() == name)
    }

    /// The Tuple whose elements' names (`t.x`, `t.y`: how ClickHouse writes them in CSV) come next, and their
    /// number.
    fn tuple_at(&self, names: &[Vec<u8>]) -> Option<(&ColumnDef, usize)> {
        if !self.tuples_as_fields {
            return None;
        }
        self.columns.iter().find_map(|column| {
            let mut written = Vec::new();
            leaf_names(&column.name, &column.data_type, &mut written);
            let is_next = names.len() >= written.len()
                && written
                    .iter()
                    .zip(names)
                    .all(|(leaf, name)| leaf.as_bytes() == name.as_slice());
            is_next.then_some((column, written.len()))
        })
    }

    fn unknown(&self, name: &[u8]) -> HeaderError {
        let name = String::from_utf8_lossy(name);
        let name: String = name.chars().take(64).collect();
        HeaderError(if self.skip_unknown {
            format!(
                "unknown column '{name}' in the header; its fields cannot be skipped, because rows are passed on as they are"
            )
        } else {
            format!("unknown column '{name}' in the header")
        })
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

/// How many CSV fields a value takes: a Tuple one for each element, anything else one.
pub(crate) fn leaves(data_type: &DataType) -> usize {
    match data_type {
        DataType::Tuple(elements) if !elements.is_empty() => {
            elements.iter().map(|(_, element)| leaves(element)).sum()
        }
        _ => 1,
    }
}

fn leaf_names(prefix: &str, data_type: &DataType, out: &mut Vec<String>) {
    match data_type {
        DataType::Tuple(elements) if !elements.is_empty() => {
            for (index, (name, element)) in elements.iter().enumerate() {
                let name = name.clone().unwrap_or_else(|| (index + 1).to_string());
                leaf_names(&format!("{prefix}.{name}"), element, out);
            }
        }
        _ => out.push(prefix.to_owned()),
    }
}
