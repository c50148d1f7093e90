//! `Names`: the columns of a row whose fields come with their names.

use std::collections::HashMap;

use types::ColumnDef;

use crate::error::{FormatError, code};
use crate::framing::Stop;
use crate::stream::Input;

/// The columns by their names.
pub(crate) struct Names {
    by_name: HashMap<Vec<u8>, usize>,
    /// Each column's name as it usually stands in a row.
    written: Vec<Vec<u8>>,
    key_names: Vec<Vec<u8>>,
    /// The key column that a column is.
    pub keys: Vec<Option<usize>>,
    /// The column at each place of the row before: most bodies keep their order, so a name costs one
    /// comparison.
    order: Vec<Option<usize>>,
    /// The row in which each column was last seen, to notice a second time.
    seen: Vec<u64>,
    row: u64,
    skip_unknown: bool,
    /// The Nested groups whose columns may come inside one object, each with its dot: `n.` of `n.a` and `n.b`.
    groups: Vec<Vec<u8>>,
}

impl Names {
    /// The columns of a body in whose format a name is written by `write`.
    pub(crate) fn new(input: &Input<'_>, write: fn(&str) -> Vec<u8>) -> Self {
        let columns = &input.columns;
        let names = columns.iter().enumerate();
        Self {
            by_name: names
                .map(|(index, column)| (column.name.clone().into_bytes(), index))
                .collect(),
            written: columns.iter().map(|column| write(&column.name)).collect(),
            key_names: input
                .key
                .iter()
                .map(|key| key.name.clone().into_bytes())
                .collect(),
            keys: columns
                .iter()
                .map(|column| input.key.iter().position(|key| key.name == column.name))
                .collect(),
            order: Vec::new(),
            seen: vec![0; columns.len()],
            row: 0,
            skip_unknown: input.settings.skip_unknown_fields,
            groups: Vec::new(),
        }
    }

    /// From now on a field by the name of a Nested group holds that group's columns (`input_format_import_nested_json`).
    pub(crate) fn group(&mut self, columns: &[ColumnDef]) -> Result<(), FormatError> {
        for column in columns {
            let Some((group, _)) = nested(&column.name) else {
                continue;
            };
            if columns.iter().any(|column| column.name == group) {
                let message = format!(
                    "with input_format_import_nested_json, {group} is the group of {} and also a column, which no row could give",
                    column.name
                );
                return Err(FormatError::plain(code::NOT_IMPLEMENTED, message));
            }
            let prefix = format!("{group}.").into_bytes();
            if !self.groups.contains(&prefix) {
                self.groups.push(prefix);
            }
        }
        Ok(())
    }

    /// Which group a field's name is that of.
    pub(crate) fn group_of(&self, name: &[u8]) -> Option<usize> {
        self.groups
            .iter()
            .position(|group| group.strip_suffix(b".") == Some(name))
    }

    /// The column of a name inside a group; none for a field that may be skipped.
    pub(crate) fn look_up_in(&self, group: usize, name: &[u8], at: usize) -> Result<Option<usize>, Stop> {
        let whole = [&self.groups[group], name].concat();
        let column = self.by_name.get(&whole).copied();
        if column.is_none() {
            self.may_skip(&whole)
                .map_err(|message| Stop::fault(code::INCORRECT_DATA, at, message))?;
        }
        Ok(column)
    }

    /// A row that is read a second time, after more bytes came, counts as another one.
    pub(crate) fn begin_row(&mut self) {
        self.row += 1;
    }

    /// The column that stood at this place in the row before, if its name comes next; and the name's length.
    pub(crate) fn predicted(&self, rest: &[u8], place: usize) -> Option<(usize, usize)> {
        let column = (*self.order.get(place)?)?;
        let written = &self.written[column];
        rest.starts_with(written).then_some((column, written.len()))
    }

    /// The column of a name; none for a field that may be skipped. `at` is where the name stands.
    pub(crate) fn look_up(&mut self, name: &[u8], place: usize, at: usize) -> Result<Option<usize>, Stop> {
        let column = self.by_name.get(name).copied();
        if column.is_none() {
            self.may_skip(name)
                .map_err(|message| Stop::fault(code::INCORRECT_DATA, at, message))?;
        }
        // A row of many unknown fields must not make this grow.
        if place < self.written.len() {
            self.order.resize(self.order.len().max(place + 1), None);
            self.order[place] = column;
        }
        Ok(column)
    }

    /// Notes that the row has a field of this column, which stands at `at`.
    pub(crate) fn see(&mut self, column: usize, at: usize) -> Result<(), Stop> {
        if self.seen[column] == self.row {
            return Err(Stop::fault(
                code::INCORRECT_DATA,
                at,
                "this field stands in the row a second time",
            ));
        }
        self.seen[column] = self.row;
        Ok(())
    }

    /// Newer servers match names regardless of case when no other way fits: such a field of the key is not
    /// skipped.
    fn may_skip(&self, name: &[u8]) -> Result<(), &'static str> {
        let is_key_but_for_case = self
            .key_names
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name));
        if !self.skip_unknown {
            Err("unknown field; set input_format_skip_unknown_fields = 1 to have such fields skipped")
        } else if is_key_but_for_case {
            Err("this field differs from a column of the sharding key in case only")
        } else {
            Ok(())
        }
    }
}

/// The group and the rest of a Nested column's name, as ClickHouse cuts it: at the first dot, if text stands on both sides.
fn nested(name: &str) -> Option<(&str, &str)> {
    let (group, rest) = name.split_once('.')?;
    (!group.is_empty() && !rest.is_empty()).then_some((group, rest))
}
