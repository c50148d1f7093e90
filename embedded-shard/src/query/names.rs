//! What the names of a SELECT mean: `*`, aliases, qualified columns, positions.

use types::ColumnDef;

use crate::error::{Outcome, code};
use crate::statement::{Expression, Item, Literal, Select, TableName};

/// Aliases may name aliases; deeper than this they go in a circle.
const ALIAS_DEPTH_MAX: usize = 16;

/// One thing selected, with the name its column gets.
pub(super) struct Named {
    pub name: String,
    pub alias: Option<String>,
    pub expression: Expression,
}

/// The things selected, `*` written out.
pub(super) fn expand_items(select: &Select, columns: &[ColumnDef], visible: &[usize]) -> Vec<Named> {
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
pub(super) struct Aliases<'a> {
    pub items: &'a [Named],
    pub table: Option<&'a TableName>,
    pub columns: &'a [ColumnDef],
}

impl Aliases<'_> {
    /// The expression with every alias replaced by what it stands for.
    pub fn expand(&self, expression: &Expression) -> Outcome<Expression> {
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

/// A number in GROUP BY or ORDER BY is the number of a thing selected, from 1.
pub(super) fn positional<'a>(expression: &'a Expression, items: &'a [Named]) -> Outcome<&'a Expression> {
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
