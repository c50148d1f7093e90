//! What the names of a SELECT mean: `*`, aliases, qualified columns, positions.

use types::ColumnDef;

use crate::error::{Outcome, code};
use crate::statement::{Expression, Item, Literal, Select, TableName};

/// Aliases may name aliases. What they stand for is refused when it has more parts than this, …
const EXPANDED_PARTS_MAX: usize = 10_000;
/// … or is nested deeper: binding and computing recurse.
const EXPANDED_DEPTH_MAX: usize = 2_000;

/// The names of one SELECT.
pub(super) struct Names<'a> {
    /// The things selected, with no alias left in them.
    pub items: Vec<Named>,
    pub columns: &'a [ColumnDef],
    /// The things selected as they are written. Aliases are looked up here: in an expanded item names are
    /// columns.
    written: Vec<Named>,
    table: Option<&'a TableName>,
}

/// One thing selected.
#[derive(Debug, Clone)]
pub(super) struct Named {
    /// The name its column gets in the result.
    pub name: String,
    alias: Option<String>,
    pub expression: Expression,
}

impl<'a> Names<'a> {
    /// Writes out `*` as the `visible` columns, and every alias as what it stands for.
    pub fn new(select: &'a Select, columns: &'a [ColumnDef], visible: &[usize]) -> Outcome<Self> {
        let written = selected(select, columns, visible);
        let mut names = Self {
            items: written.clone(),
            written,
            columns,
            table: select.from.as_ref(),
        };
        let expand = |item: &Named| names.expand_inside(&item.expression, item.alias.as_deref());
        let expanded = names.written.iter().map(expand).collect::<Outcome<Vec<_>>>()?;
        for (item, expression) in names.items.iter_mut().zip(expanded) {
            item.expression = expression;
        }
        Ok(names)
    }

    /// The expression with no alias left in it.
    pub fn expand(&self, expression: &Expression) -> Outcome<Expression> {
        self.expand_inside(expression, None)
    }

    /// The expression of a key of GROUP BY or ORDER BY, where a number is that of a thing selected, from 1.
    pub fn expand_key(&self, key: &Expression) -> Outcome<Expression> {
        let Expression::Literal(Literal::Number(digits)) = key else {
            return self.expand(key);
        };
        let at = digits
            .parse::<usize>()
            .ok()
            .and_then(|number| number.checked_sub(1));
        let item = at
            .and_then(|at| self.items.get(at))
            .map(|item| item.expression.clone());
        item.ok_or_else(|| {
            let count = self.items.len();
            code::BAD_ARGUMENTS.error(format_args!(
                "there is no column {digits} in the SELECT, which has {count}"
            ))
        })
    }

    fn expand_inside(&self, expression: &Expression, alias: Option<&str>) -> Outcome<Expression> {
        let inside = alias.map(str::to_owned).into_iter().collect();
        Expansion {
            names: self,
            inside,
            parts_left: EXPANDED_PARTS_MAX,
        }
        .expand(expression, 0)
    }

    fn aliased(&self, name: &str) -> Option<&Expression> {
        let item = self
            .written
            .iter()
            .find(|item| item.alias.as_deref() == Some(name));
        item.map(|item| &item.expression)
    }

    /// The name without its table's in front, unless a column is called just so.
    fn unqualified(&self, name: &str) -> String {
        let is_column = self.columns.iter().any(|column| column.name == name);
        let stripped = self.table.and_then(|table| {
            let behind = |prefix: &str| name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.'));
            behind(&table.to_string()).or_else(|| behind(&table.table))
        });
        stripped.filter(|_| !is_column).unwrap_or(name).to_owned()
    }
}

fn selected(select: &Select, columns: &[ColumnDef], visible: &[usize]) -> Vec<Named> {
    let column = |at: &usize| {
        let name = columns[*at].name.clone();
        Named {
            expression: Expression::Column(name.clone()),
            name,
            alias: None,
        }
    };
    let named = |item: &Item| match item {
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
    select.items.iter().flat_map(named).collect()
}

/// One expression on its way to have no aliases.
struct Expansion<'a> {
    names: &'a Names<'a>,
    /// The aliases whose expressions we are in, the innermost last.
    inside: Vec<String>,
    parts_left: usize,
}

impl Expansion<'_> {
    fn expand(&mut self, expression: &Expression, depth: usize) -> Outcome<Expression> {
        if self.parts_left == 0 || depth > EXPANDED_DEPTH_MAX {
            return code::SYNTAX_ERROR.refuse(format_args!(
                "an expression has more than {EXPANDED_PARTS_MAX} parts or {EXPANDED_DEPTH_MAX} levels when its aliases are written out"
            ));
        }
        self.parts_left -= 1;
        match expression {
            Expression::Literal(_) => Ok(expression.clone()),
            Expression::Column(name) => self.expand_name(name, depth),
            Expression::Call { function, arguments } => {
                let arguments = arguments.iter().map(|argument| self.expand(argument, depth + 1));
                Ok(Expression::call(function, arguments.collect::<Outcome<_>>()?))
            }
        }
    }

    /// Inside its own expression an alias is a column's name (`a + 1 AS a`); further out it would go in a
    /// circle.
    fn expand_name(&mut self, name: &str, depth: usize) -> Outcome<Expression> {
        let names = self.names;
        let is_own = self.inside.last().is_some_and(|alias| alias == name);
        let Some(aliased) = names.aliased(name).filter(|_| !is_own) else {
            return Ok(Expression::Column(names.unqualified(name)));
        };
        if self.inside.iter().any(|alias| alias == name) {
            return code::CYCLIC_ALIASES.refuse(format_args!(
                "the alias {name} stands for itself by way of others"
            ));
        }
        self.inside.push(name.to_owned());
        let expanded = self.expand(aliased, depth + 1);
        self.inside.pop();
        expanded
    }
}
