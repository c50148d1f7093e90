//! A SELECT bound: what is computed of every row, how rows are grouped, filtered and sorted.

use types::ColumnDef;

use super::Session;
use super::aggregate::{self, Aggregate};
use super::bind::{Bound, bind, bind_row_expression};
use super::names::Names;
use crate::error::{Outcome, code};
use crate::statement::{Expression, Order, Select};

/// What a SELECT does, over the numbered columns of its table.
pub(crate) struct Plan {
    /// Names and types of the result.
    pub columns: Vec<ColumnDef>,
    pub(super) filter: Option<Bound>,
    pub(super) grouping: Option<Grouping>,
    /// Over the table's row, or over the group's: its keys, then its aggregates.
    pub(super) outputs: Vec<Bound>,
    pub(super) having: Option<Bound>,
    /// Each key and whether it descends.
    pub(super) order: Vec<(Bound, bool)>,
    pub(super) limit: Option<u64>,
    pub(super) offset: u64,
}

/// GROUP BY, explicit or because an aggregate stands somewhere.
pub(super) struct Grouping {
    pub keys: Vec<Bound>,
    pub aggregates: Vec<Aggregate>,
    /// Without GROUP BY there is one group even without rows.
    pub all_rows: bool,
}

impl Plan {
    /// Binds a SELECT over its table's columns (`*` stands for those of `visible`).
    pub fn new(
        select: &Select,
        columns: &[ColumnDef],
        visible: &[usize],
        session: &Session,
    ) -> Outcome<Self> {
        let names = Names::new(select, columns, visible)?;
        let mut binder = Binder::new(select, &names, session)?;
        let filter = select
            .filter
            .as_ref()
            .map(|filter| bind_row_expression(&names.expand(filter)?, columns, session));
        let outputs = names
            .items
            .iter()
            .map(|item| binder.bind(&item.expression))
            .collect::<Outcome<Vec<_>>>()?;
        let named = names.items.iter().zip(&outputs);
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
                .map(|having| binder.bind(&names.expand(having)?))
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

/// Binds outputs, HAVING and ORDER BY: over rows, or over groups, whose aggregates it gathers on the way.
struct Binder<'a> {
    names: &'a Names<'a>,
    session: &'a Session,
    /// GROUP BY's expressions, in the order of the grouping's keys.
    keys: Vec<Expression>,
    /// The aggregate calls met so far, in the order of the grouping's aggregates.
    calls: Vec<Expression>,
    grouping: Option<Grouping>,
}

impl<'a> Binder<'a> {
    fn new(select: &Select, names: &'a Names<'a>, session: &'a Session) -> Outcome<Self> {
        let keys = select.group_by.iter().map(|key| names.expand_key(key));
        let keys = keys.collect::<Outcome<Vec<_>>>()?;
        let items = names.items.iter().map(|item| &item.expression);
        let everywhere = items
            .chain(&select.having)
            .chain(select.order_by.iter().map(|key| &key.expression));
        let grouped = !keys.is_empty() || everywhere.into_iter().any(has_aggregate);
        let bound = keys
            .iter()
            .map(|key| bind_row_expression(key, names.columns, session));
        let grouping = Grouping {
            keys: bound.collect::<Outcome<_>>()?,
            aggregates: Vec::new(),
            all_rows: keys.is_empty(),
        };
        Ok(Self {
            names,
            session,
            keys,
            calls: Vec::new(),
            grouping: grouped.then_some(grouping),
        })
    }

    /// Binds an expression that has no alias left in it.
    fn bind(&mut self, expression: &Expression) -> Outcome<Bound> {
        let Some(grouping) = &mut self.grouping else {
            return bind_row_expression(expression, self.names.columns, self.session);
        };
        let (keys, calls, columns, session) = (&self.keys, &mut self.calls, self.names.columns, self.session);
        bind(expression, session, &mut |part| {
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
        Ok((
            self.bind(&self.names.expand_key(&order.expression)?)?,
            order.descending,
        ))
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
    if !aggregate::is_aggregate(function) {
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
            aggregate::is_aggregate(function) || arguments.iter().any(has_aggregate)
        }
        Expression::Column(_) | Expression::Literal(_) => false,
    }
}
