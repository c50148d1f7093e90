//! A plan at work. Rows are pushed in one by one; groups, sorted rows and the result are held in memory,
//! within named limits.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;

use types::DataType;

use super::aggregate::{Aggregate, State};
use super::bind::Bound;
use super::evaluate::{evaluate, holds};
use super::plan::{Grouping, Plan};
use crate::binary;
use crate::error::{Outcome, code};
use crate::value::{Value, compare};

/// More rows in a result, or more groups, are refused: both are held in memory.
const RESULT_ROWS_MAX: usize = 2_000_000;

/// A SELECT while its rows come in.
pub(crate) struct Run<'a> {
    plan: &'a Plan,
    groups: Vec<Group>,
    /// Groups by their keys' bytes.
    by_key: HashMap<Vec<u8>, usize>,
    rows: Vec<Ordered>,
}

struct Group {
    keys: Vec<Value>,
    states: Vec<State>,
}

/// A row of the result and the values it is sorted by.
struct Ordered {
    order: Vec<Value>,
    values: Vec<Value>,
}

impl<'a> Run<'a> {
    pub fn new(plan: &'a Plan) -> Self {
        let mut run = Self {
            plan,
            groups: Vec::new(),
            by_key: HashMap::new(),
            rows: Vec::new(),
        };
        if let Some(grouping) = plan.grouping.as_ref().filter(|grouping| grouping.all_rows) {
            run.groups.push(grouping.start(Vec::new()));
            run.by_key.insert(Vec::new(), 0);
        }
        run
    }

    /// Takes one row of the table; false when no more are needed.
    pub fn push(&mut self, row: &[Value]) -> Outcome<bool> {
        if let Some(filter) = &self.plan.filter
            && !holds(filter, row)?
        {
            return Ok(true);
        }
        match &self.plan.grouping {
            Some(grouping) => self.add_to_group(grouping, row)?,
            None => self.emit(row)?,
        }
        Ok(!self.has_enough())
    }

    /// The result's rows.
    pub fn finish(mut self) -> Outcome<Vec<Vec<Value>>> {
        if let Some(grouping) = &self.plan.grouping {
            for group in std::mem::take(&mut self.groups) {
                let row = grouping.finish(group)?;
                self.emit(&row)?;
            }
        }
        let order = &self.plan.order;
        self.rows.sort_by(|a, b| compare_by(order, &a.order, &b.order));
        let offset = usize::try_from(self.plan.offset).unwrap_or(usize::MAX);
        let limit = self
            .plan
            .limit
            .map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(self
            .rows
            .into_iter()
            .map(|row| row.values)
            .skip(offset)
            .take(limit)
            .collect())
    }

    fn has_enough(&self) -> bool {
        let plain = self.plan.grouping.is_none() && self.plan.order.is_empty();
        let needed = self
            .plan
            .limit
            .map(|limit| limit.saturating_add(self.plan.offset));
        plain && needed.is_some_and(|needed| self.rows.len() as u64 >= needed)
    }

    fn add_to_group(&mut self, grouping: &Grouping, row: &[Value]) -> Outcome<()> {
        let keys = grouping
            .keys
            .iter()
            .map(|key| evaluate(key, row).map(Cow::into_owned))
            .collect::<Outcome<Vec<_>>>()?;
        let mut bytes = Vec::new();
        for (key, value) in grouping.keys.iter().zip(&keys) {
            write_key(&key.data_type, value, &mut bytes)?;
        }
        let at = match self.by_key.get(&bytes) {
            Some(at) => *at,
            None => {
                check_room(self.groups.len(), "groups")?;
                self.groups.push(grouping.start(keys));
                self.by_key.insert(bytes, self.groups.len() - 1);
                self.groups.len() - 1
            }
        };
        let mut states = grouping.aggregates.iter().zip(&mut self.groups[at].states);
        states.try_for_each(|(aggregate, state)| aggregate.add(state, row))
    }

    fn emit(&mut self, row: &[Value]) -> Outcome<()> {
        if let Some(having) = &self.plan.having
            && !holds(having, row)?
        {
            return Ok(());
        }
        check_room(self.rows.len(), "rows in a result")?;
        let compute = |bound: &Bound| evaluate(bound, row).map(Cow::into_owned);
        self.rows.push(Ordered {
            order: self
                .plan
                .order
                .iter()
                .map(|(key, _)| compute(key))
                .collect::<Outcome<_>>()?,
            values: self.plan.outputs.iter().map(compute).collect::<Outcome<_>>()?,
        });
        Ok(())
    }
}

impl Grouping {
    fn start(&self, keys: Vec<Value>) -> Group {
        Group {
            keys,
            states: self.aggregates.iter().map(Aggregate::start).collect(),
        }
    }

    fn finish(&self, group: Group) -> Outcome<Vec<Value>> {
        let aggregates = self.aggregates.iter().zip(group.states);
        let results = aggregates.map(|(aggregate, state)| aggregate.finish(state));
        group.keys.into_iter().map(Ok).chain(results).collect()
    }
}

/// A key's bytes; a bare NULL has no type to write it by.
fn write_key(data_type: &DataType, value: &Value, out: &mut Vec<u8>) -> Outcome<()> {
    match value {
        Value::Null => out.push(1),
        value => {
            out.push(0);
            binary::write(data_type.without_nullable(), value, out)?;
        }
    }
    Ok(())
}

fn check_room(len: usize, what: &str) -> Outcome<()> {
    if len < RESULT_ROWS_MAX {
        return Ok(());
    }
    code::TOO_MANY_ROWS_OR_BYTES.refuse(format_args!(
        "more than {RESULT_ROWS_MAX} {what}: the embedded shard holds them in memory"
    ))
}

fn compare_by(order: &[(Bound, bool)], a: &[Value], b: &[Value]) -> Ordering {
    let keys = order.iter().zip(a.iter().zip(b));
    let mut orders =
        keys.map(
            |((key, descending), (a, b))| match *descending && !is_last(a) && !is_last(b) {
                true => compare(&key.data_type, b, a),
                false => compare(&key.data_type, a, b),
            },
        );
    orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// NULL and NaN come last in either direction.
fn is_last(value: &Value) -> bool {
    matches!(value, Value::Null) || matches!(value, Value::Float(float) if float.is_nan())
}
