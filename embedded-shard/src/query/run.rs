//! A SELECT from its plan to its rows. Rows are pushed in one by one; groups, sorted rows and the result are held in
//! memory, within named limits.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;

use types::{ColumnDef, DataType};

use super::Session;
use super::aggregate::{Aggregate, State};
use super::bind::{Bound, bind, bind_row_expression};
use super::evaluate::{evaluate, holds};
use crate::binary;
use crate::error::{Outcome, code};
use crate::statement::{Expression, Item, Literal, Order, Select, TableName};
use crate::value::{Value, compare};

/// More rows in a result, or more groups, are refused: both are held in memory.
const RESULT_ROWS_MAX: usize = 2_000_000;
/// Aliases may name aliases; deeper than this they go in a circle.
const ALIAS_DEPTH_MAX: usize = 16;

/// What a SELECT does, over the numbered columns of its table.
pub(crate) struct Plan {
    /// Names and types of the result.
    pub columns: Vec<ColumnDef>,
    filter: Option<Bound>,
    grouping: Option<Grouping>,
    /// Over the table's row, or over the group's: its keys, then its aggregates.
    outputs: Vec<Bound>,
    having: Option<Bound>,
    order: Vec<(Bound, bool)>,
    limit: Option<u64>,
    offset: u64,
}

/// GROUP BY, explicit or because an aggregate stands somewhere.
struct Grouping {
    keys: Vec<Bound>,
    aggregates: Vec<Aggregate>,
    /// Without GROUP BY there is one group even without rows.
    all_rows: bool,
}

impl Plan {
    /// Binds a SELECT over its table's columns (`*` stands for those of `visible`).
    pub fn new(
        select: &Select,
        columns: &[ColumnDef],
        visible: &[usize],
        session: &Session,
    ) -> Outcome<Self> {
        let items = expand_items(select, columns, visible);
        let aliases = Aliases {
            items: &items,
            table: select.from.as_ref(),
            columns,
        };
        let mut binder = Binder::new(select, &aliases, session)?;
        let filter = select
            .filter
            .as_ref()
            .map(|filter| bind_row_expression(&aliases.expand(filter)?, columns, session));
        let outputs = items
            .iter()
            .map(|item| binder.bind(&item.expression))
            .collect::<Outcome<Vec<_>>>()?;
        let named = items.iter().zip(&outputs);
        Ok(Self {
            columns: named
                .map(|(item, bound)| ColumnDef {
                    name: item.name.clone(),
                    data_type: bound.data_type.clone(),
                })
                .collect(),
            filter: filter.transpose()?,
            having: select
                .having
                .as_ref()
                .map(|having| binder.bind(having))
                .transpose()?,
            order: select
                .order_by
                .iter()
                .map(|key| binder.bind_order(key))
                .collect::<Outcome<_>>()?,
            outputs,
            grouping: binder.grouping,
            limit: select.limit,
            offset: select.offset,
        })
    }

    /// The numbers of the table's columns that are read, each once, ascending.
    pub fn columns_read(&self) -> Vec<usize> {
        let mut read = Vec::new();
        self.filter.iter().for_each(|filter| filter.columns(&mut read));
        match &self.grouping {
            Some(grouping) => {
                grouping.keys.iter().for_each(|key| key.columns(&mut read));
                grouping
                    .aggregates
                    .iter()
                    .for_each(|aggregate| aggregate.columns(&mut read));
            }
            None => {
                self.outputs
                    .iter()
                    .chain(&self.having)
                    .for_each(|output| output.columns(&mut read));
                self.order.iter().for_each(|(key, _)| key.columns(&mut read));
            }
        }
        read.sort_unstable();
        read.dedup();
        read
    }
}

/// One thing selected, with the name its column gets.
struct Named {
    name: String,
    alias: Option<String>,
    expression: Expression,
}

fn expand_items(select: &Select, columns: &[ColumnDef], visible: &[usize]) -> Vec<Named> {
    let column = |at: &usize| {
        let name = columns[*at].name.clone();
        Named {
            expression: Expression::Column(name.clone()),
            name,
            alias: None,
        }
    };
    let expand = |item: &Item| match item {
        Item::All => visible.iter().map(column).collect(),
        Item::Expression { expression, alias } => {
            let name = alias.clone().unwrap_or_else(|| expression.to_string());
            vec![Named {
                name,
                alias: alias.clone(),
                expression: expression.clone(),
            }]
        }
    };
    select.items.iter().flat_map(expand).collect()
}

/// What names mean that are no columns: aliases, and columns behind their table's name.
struct Aliases<'a> {
    items: &'a [Named],
    table: Option<&'a TableName>,
    columns: &'a [ColumnDef],
}

impl Aliases<'_> {
    /// The expression with every alias replaced by what it stands for.
    fn expand(&self, expression: &Expression) -> Outcome<Expression> {
        self.expand_within(expression, 0)
    }

    fn expand_within(&self, expression: &Expression, depth: usize) -> Outcome<Expression> {
        if depth > ALIAS_DEPTH_MAX {
            return code::SYNTAX_ERROR.refuse("aliases that stand for each other");
        }
        match expression {
            Expression::Column(name) => match self.aliased(name) {
                // `a + 1 AS a`: inside its own expression a name is the column.
                Some(aliased) if mentions(aliased, name) => Ok(aliased.clone()),
                Some(aliased) => self.expand_within(aliased, depth + 1),
                None => Ok(Expression::Column(self.unqualified(name))),
            },
            Expression::Call { function, arguments } => {
                let arguments = arguments
                    .iter()
                    .map(|argument| self.expand_within(argument, depth));
                Ok(Expression::call(function, arguments.collect::<Outcome<_>>()?))
            }
            Expression::Literal(_) => Ok(expression.clone()),
        }
    }

    fn aliased(&self, name: &str) -> Option<&Expression> {
        self.items
            .iter()
            .find(|item| item.alias.as_deref() == Some(name))
            .map(|item| &item.expression)
    }

    /// The name without its table's in front, unless a column is called just so.
    fn unqualified(&self, name: &str) -> String {
        let is_column = self.columns.iter().any(|column| column.name == name);
        let stripped = self.table.and_then(|table| {
            let behind_table =
                |prefix: &str| name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.'));
            behind_table(&table.to_string()).or_else(|| behind_table(&table.table))
        });
        stripped.filter(|_| !is_column).unwrap_or(name).to_owned()
    }
}

fn mentions(expression: &Expression, name: &str) -> bool {
    match expression {
        Expression::Column(column) => column == name,
        Expression::Literal(_) => false,
        Expression::Call { arguments, .. } => arguments.iter().any(|argument| mentions(argument, name)),
    }
}

/// Binds outputs, HAVING and ORDER BY: over rows, or over groups, whose aggregates it gathers on the way.
struct Binder<'a> {
    aliases: &'a Aliases<'a>,
    session: &'a Session,
    /// GROUP BY's expressions, in the order of the grouping's keys.
    keys: Vec<Expression>,
    /// The aggregate calls met so far, in the order of the grouping's aggregates.
    calls: Vec<Expression>,
    grouping: Option<Grouping>,
}

impl<'a> Binder<'a> {
    fn new(select: &Select, aliases: &'a Aliases<'a>, session: &'a Session) -> Outcome<Self> {
        let keys = select
            .group_by
            .iter()
            .map(|key| aliases.expand(positional(key, aliases.items)?));
        let keys = keys.collect::<Outcome<Vec<_>>>()?;
        let everywhere = aliases.items.iter().map(|item| &item.expression);
        let everywhere = everywhere
            .chain(&select.having)
            .chain(select.order_by.iter().map(|key| &key.expression));
        let grouped = !keys.is_empty() || everywhere.into_iter().any(has_aggregate);
        let bound = keys
            .iter()
            .map(|key| bind_row_expression(key, aliases.columns, session));
        let grouping = Grouping {
            keys: bound.collect::<Outcome<_>>()?,
            aggregates: Vec::new(),
            all_rows: keys.is_empty(),
        };
        Ok(Self {
            aliases,
            session,
            keys,
            calls: Vec::new(),
            grouping: grouped.then_some(grouping),
        })
    }

    fn bind(&mut self, expression: &Expression) -> Outcome<Bound> {
        let expression = self.aliases.expand(expression)?;
        let Some(grouping) = &mut self.grouping else {
            return bind_row_expression(&expression, self.aliases.columns, self.session);
        };
        let (keys, calls, columns, session) =
            (&self.keys, &mut self.calls, self.aliases.columns, self.session);
        bind(&expression, session, &mut |part| {
            if let Some(at) = keys.iter().position(|key| key == part) {
                return Ok(Some(Bound::column(at, &grouping.keys[at].data_type)));
            }
            match part {
                Expression::Column(name) if columns.iter().any(|column| column.name == *name) => {
                    code::NOT_AN_AGGREGATE.refuse(format_args!(
                        "column {name} is not under aggregate function and not in GROUP BY keys"
                    ))
                }
                Expression::Call { function, arguments } => {
                    let Some(at) = gather(part, function, arguments, calls, grouping, columns, session)?
                    else {
                        return Ok(None);
                    };
                    Ok(Some(Bound::column(
                        keys.len() + at,
                        &grouping.aggregates[at].data_type,
                    )))
                }
                Expression::Column(_) | Expression::Literal(_) => Ok(None),
            }
        })
    }

    fn bind_order(&mut self, order: &Order) -> Outcome<(Bound, bool)> {
        let expression = positional(&order.expression, self.aliases.items)?.clone();
        Ok((self.bind(&expression)?, order.descending))
    }
}

/// The number of an aggregate call among those of the grouping; `None` when the call is no aggregate.
fn gather(
    call: &Expression,
    function: &str,
    arguments: &[Expression],
    calls: &mut Vec<Expression>,
    grouping: &mut Grouping,
    columns: &[ColumnDef],
    session: &Session,
) -> Outcome<Option<usize>> {
    if !super::aggregate::is_aggregate(function) {
        return Ok(None);
    }
    if let Some(at) = calls.iter().position(|known| known == call) {
        return Ok(Some(at));
    }
    let arguments = arguments
        .iter()
        .map(|argument| bind_row_expression(argument, columns, session));
    let aggregate = Aggregate::bind(function, arguments.collect::<Outcome<_>>()?)?;
    grouping.aggregates.extend(aggregate);
    calls.push(call.clone());
    Ok(Some(calls.len() - 1))
}

fn has_aggregate(expression: &Expression) -> bool {
    match expression {
        Expression::Call { function, arguments } => {
            super::aggregate::is_aggregate(function) || arguments.iter().any(has_aggregate)
        }
        Expression::Column(_) | Expression::Literal(_) => false,
    }
}

/// A number in GROUP BY or ORDER BY is the number of a thing selected, from 1.
fn positional<'a>(expression: &'a Expression, items: &'a [Named]) -> Outcome<&'a Expression> {
    let Expression::Literal(Literal::Number(digits)) = expression else {
        return Ok(expression);
    };
    let at = digits
        .parse::<usize>()
        .ok()
        .and_then(|number| number.checked_sub(1));
    at.and_then(|at| items.get(at))
        .map(|item| &item.expression)
        .ok_or_else(|| {
            code::BAD_ARGUMENTS.error(format_args!(
                "there is no column {digits} in the SELECT, which has {}",
                items.len()
            ))
        })
}

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
