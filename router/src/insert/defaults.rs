//! Values that an INSERT leaves out: what Weir computes of them, and writes into the rows.
//!
//! To route a row that gives no value for a column of the sharding key, the column's DEFAULT expression is computed here,
//! and the value is written into the row, so that the shard stores what the row was routed by. A MATERIALIZED column of the
//! key is computed and not written: no INSERT may name it. A DEFAULT that is no function of the row (`now()`,
//! `generateUUIDv4()`) is computed here too, whatever column it belongs to: it means the moment of the INSERT, is the same on
//! all replicas, and the same again in a retry.
//!
//! [`Defaults`] is compiled once a schema, [`Filling`] is made once an INSERT. Pure, but for the clock of [`context_of`].

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use formats::{Absent, Fill, Filler, Payload, Rows, RowsBody};
use rand::Rng;
use shard_client::{DefaultKind, DescribedColumn};
use sharding::{Context, Expression};
use types::{Bytes, Column, ColumnDef, Data};

use super::client_tokens;
use crate::exception::{Exception, code};

/// How deep columns' defaults may lie inside each other; ClickHouse refuses cycles, so a real table has few.
const DEPTH_MAX: usize = 32;

/// What an INSERT of this moment computes its defaults by.
pub fn context_of(user: &str, database: &str, query_id: &str) -> Context {
    Context {
        now: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        host_name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        user: user.to_owned(),
        database: database.to_owned(),
        query_id: query_id.to_owned(),
        random_constant: rand::random(),
    }
}

/// The columns of a table that are computed where a row does not have them.
#[derive(Debug, Clone, Default)]
pub struct Defaults {
    table: String,
    columns: Vec<Known>,
    /// Columns whose DEFAULT is no function of the row, by their places in `columns`.
    volatile: Vec<usize>,
}

/// A column and its expression.
#[derive(Debug, Clone)]
struct Known {
    def: ColumnDef,
    kind: DefaultKind,
    /// The expression as the server wrote it.
    text: String,
    /// The expression; none where there is none, or the reason why it cannot be computed here.
    expression: Option<Result<Expression, String>>,
    /// The value's text, for formats of text.
    to_text: Option<Expression>,
}

impl Defaults {
    /// Compiles what can be of a table's expressions; what cannot be says so when it is needed.
    pub fn new(table: &str, described: &[DescribedColumn], columns: &[ColumnDef], zone: &str) -> Self {
        let known = described
            .iter()
            .zip(columns)
            .map(|(described, def)| Known::new(described, def, columns, zone));
        let columns: Vec<Known> = known.collect();
        let is_volatile = |(_, known): &(usize, &Known)| known.is_volatile();
        let volatile = columns
            .iter()
            .enumerate()
            .filter(is_volatile)
            .map(|(place, _)| place)
            .collect();
        Self {
            table: table.to_owned(),
            columns,
            volatile,
        }
    }

    /// Refuses a key that reads a column which can never be computed here: MATERIALIZED by an expression that Weir does
    /// not know, or ALIAS. Of a key that can be used, tells the columns that every INSERT must give.
    pub fn check_key(&self, key: &[ColumnDef]) -> Result<Vec<String>, Exception> {
        let steps = Steps::of(self, key)?;
        let needed = steps.needed(|_| false);
        let refused = steps.steps.iter().zip(needed);
        let refused =
            refused.filter_map(|(step, is_needed)| Some((step, step.refused()?)).filter(|_| is_needed));
        let told = refused.map(|(step, reason)| {
            format!(
                "column {}, which the sharding key needs, has the default {}, which Weir cannot compute ({reason}): \
                 INSERTs must give the column",
                step.column.name, step.text
            )
        });
        Ok(told.collect())
    }

    /// Tells the defaults that are no functions of the row and that the shards compute all the same: each replica its
    /// own value, and a repeat of an INSERT another one.
    pub fn left_to_shards(&self) -> Vec<String> {
        let told = self.columns.iter().filter_map(|known| {
            let calls = self.volatile_calls(known);
            let reason = known.left_to_shards(&calls)?;
            Some(format!(
                "column {} has the {} {}, which is no function of the row ({}), and Weir leaves it to the shards: {reason}",
                known.def.name,
                known.kind.word(),
                known.text,
                calls.join(", ")
            ))
        });
        told.collect()
    }

    fn volatile_calls(&self, known: &Known) -> Vec<String> {
        sharding::volatile_calls(&known.text, |name| self.place(name).is_some())
    }

    /// What an INSERT must have computed, given its key.
    pub fn filling(
        &self,
        key: &[ColumnDef],
        payload: Payload,
        reading: &formats::Settings,
        context: Context,
    ) -> Result<Filling, Exception> {
        let steps = Steps::of(self, key)?;
        Ok(Filling {
            table: self.table.clone(),
            context,
            filler: Filler::new(payload, reading),
            values: Vec::new(),
            texts: Vec::new(),
            key_columns: Vec::new(),
            refuses_drawn_keys: false,
            steps,
        })
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|known| known.def.name == name)
    }
}

impl Known {
    fn new(described: &DescribedColumn, def: &ColumnDef, columns: &[ColumnDef], zone: &str) -> Self {
        let text = described.default_expression.clone();
        let compile = || Expression::compile_as(&text, &def.data_type, columns, Some(zone));
        let expression = (!text.is_empty()).then(|| compile().map_err(|error| error.reason.to_string()));
        let name = def.name.replace('\\', "\\\\").replace('`', "\\`");
        let to_text = Expression::compile(&format!("toString(`{name}`)"), columns, Some(zone)).ok();
        Self {
            def: def.clone(),
            kind: described.default_kind,
            text,
            expression,
            to_text,
        }
    }

    fn is_volatile(&self) -> bool {
        self.kind == DefaultKind::Default
            && self.to_text.is_some()
            && matches!(&self.expression, Some(Ok(expression)) if expression.is_volatile())
    }

    /// Why shards compute a default that has these calls in it; none where Weir does, or where it is a function of the row.
    fn left_to_shards(&self, calls: &[String]) -> Option<String> {
        if calls.is_empty() {
            return None;
        }
        match (self.kind, &self.expression) {
            (DefaultKind::Materialized, _) => Some("no INSERT may give a MATERIALIZED column".to_owned()),
            (DefaultKind::Default, Some(Err(reason))) => Some(reason.clone()),
            (DefaultKind::Default, Some(Ok(_))) if self.to_text.is_none() => {
                Some(format!("it cannot write {} as text", self.def.data_type))
            }
            (DefaultKind::Default | DefaultKind::None | DefaultKind::Alias | DefaultKind::Ephemeral, _) => {
                None
            }
        }
    }
}

/// Where a column's values come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The row, or its default: a field of the format.
    Field(usize),
    /// An expression: a column that no row has.
    Computed(usize),
}

/// One value to compute. Those that it depends on come before it.
#[derive(Debug, Clone)]
struct Step {
    column: ColumnDef,
    text: String,
    into: Source,
    /// None for the type's own default, which is there already.
    expression: Option<Result<Expression, String>>,
    inputs: Vec<Source>,
    to_text: Option<Expression>,
    /// Whether the value is written into the rows.
    written: bool,
}

/// What is computed for an INSERT, in order.
#[derive(Debug, Clone, Default)]
struct Steps {
    /// Columns whose values the format reads.
    read: Vec<ColumnDef>,
    /// Columns of which the format only says where they are missing.
    watched: Vec<ColumnDef>,
    computed: usize,
    steps: Vec<Step>,
    /// The key's columns in its order.
    key: Vec<Source>,
}

impl Steps {
    fn of(defaults: &Defaults, key: &[ColumnDef]) -> Result<Self, Exception> {
        let mut steps = Self::default();
        let mut places = BTreeMap::new();
        for column in key {
            let source = steps.need(defaults, &column.name, &mut places, DEPTH_MAX)?;
            steps.key.push(source);
        }
        for step in &mut steps.steps {
            step.written = matches!(step.into, Source::Field(_))
                && key.iter().any(|column| column.name == step.column.name);
        }
        steps.watch(defaults, &mut places);
        Ok(steps)
    }

    /// Makes a column's values known, with those that its default reads.
    fn need(
        &mut self,
        defaults: &Defaults,
        name: &str,
        places: &mut BTreeMap<String, Source>,
        depth: usize,
    ) -> Result<Source, Exception> {
        if let Some(source) = places.get(name) {
            return Ok(*source);
        }
        let known = defaults.place(name).map(|place| &defaults.columns[place]);
        let Some(known) = known.filter(|_| depth > 0) else {
            let message = format!(
                "Table {}: column {name} cannot be computed: it does not exist, or its default reads itself.",
                defaults.table
            );
            return Err(Exception::try_again(code::NOT_IMPLEMENTED, 30, message));
        };
        match known.kind {
            DefaultKind::Alias => Err(never_computed(defaults, known, "ALIAS columns are not stored")),
            DefaultKind::Materialized => {
                let expression = match &known.expression {
                    Some(Ok(expression)) if !expression.is_volatile() => expression,
                    Some(Ok(_)) => {
                        let reason = "its value is no function of the row, and no INSERT may give it";
                        return Err(never_computed(defaults, known, reason));
                    }
                    Some(Err(reason)) => return Err(never_computed(defaults, known, reason)),
                    None => return Err(never_computed(defaults, known, "it has no expression")),
                };
                let inputs = self.need_all(defaults, expression, places, depth)?;
                let source = Source::Computed(self.computed);
                self.computed += 1;
                self.push(known, source, inputs);
                places.insert(name.to_owned(), source);
                Ok(source)
            }
            DefaultKind::None | DefaultKind::Default | DefaultKind::Ephemeral => {
                // A default that reads what nobody can compute is one that cannot be computed itself.
                let inputs = match &known.expression {
                    Some(Ok(expression)) => self.need_all(defaults, expression, places, depth),
                    Some(Err(_)) | None => Ok(Vec::new()),
                };
                let source = Source::Field(self.read.len());
                self.read.push(known.def.clone());
                let (inputs, refused) = match inputs {
                    Ok(inputs) => (inputs, None),
                    Err(error) => (Vec::new(), Some(error.message)),
                };
                self.push(known, source, inputs);
                if let (Some(reason), Some(step)) = (refused, self.steps.last_mut()) {
                    step.expression = Some(Err(reason));
                }
                places.insert(name.to_owned(), source);
                Ok(source)
            }
        }
    }

    fn need_all(
        &mut self,
        defaults: &Defaults,
        expression: &Expression,
        places: &mut BTreeMap<String, Source>,
        depth: usize,
    ) -> Result<Vec<Source>, Exception> {
        let names = expression.columns().iter();
        names
            .map(|column| self.need(defaults, &column.name, places, depth - 1))
            .collect()
    }

    fn push(&mut self, known: &Known, into: Source, inputs: Vec<Source>) {
        self.steps.push(Step {
            column: known.def.clone(),
            text: known.text.clone(),
            into,
            expression: known.expression.clone(),
            inputs,
            to_text: known.to_text.clone(),
            written: false,
        });
    }

    /// Adds the columns whose defaults are no functions of the row. What cannot be computed for them, or not be written,
    /// is left to the shard.
    fn watch(&mut self, defaults: &Defaults, places: &mut BTreeMap<String, Source>) {
        let mut inputs = Vec::new();
        for place in &defaults.volatile {
            let known = &defaults.columns[*place];
            if let Some(Ok(expression)) = &known.expression
                && let Ok(sources) = self.need_all(defaults, expression, places, DEPTH_MAX)
                && sources.iter().all(|source| self.is_computed(*source))
            {
                inputs.push((known, sources));
            }
        }
        let read = self.read.len();
        for (known, sources) in inputs {
            // One that another default reads is read anyway.
            let step = self
                .steps
                .iter_mut()
                .find(|step| step.column.name == known.def.name);
            if let Some(step) = step {
                step.written = true;
                continue;
            }
            let field = Source::Field(read + self.watched.len());
            self.watched.push(known.def.clone());
            self.push(known, field, sources);
            if let Some(step) = self.steps.last_mut() {
                step.written = true;
            }
        }
    }
}

/// A mistake of the configuration, which a reload cures, or an ALTER: the client's rows are sound.
fn never_computed(defaults: &Defaults, known: &Known, reason: &str) -> Exception {
    let message = format!(
        "Table {}: the sharding key reads column {}, which is {} {}: {reason}.",
        defaults.table,
        known.def.name,
        known.kind.word(),
        known.text
    );
    Exception::try_again(code::NOT_IMPLEMENTED, 30, message)
}

/// What one INSERT's rows are filled with.
#[derive(Debug)]
pub struct Filling {
    table: String,
    steps: Steps,
    /// Whether rows must be routed by what they are, not by what is drawn for them.
    refuses_drawn_keys: bool,
    context: Context,
    filler: Filler,
    /// Of the rows at hand: each read field's values, each watched one's, each computed column's.
    values: Vec<Column>,
    /// Of each step that is written: its values' texts.
    texts: Vec<Bytes>,
    key_columns: Vec<Column>,
}

/// Rows with everything in them that they were routed by.
#[derive(Debug)]
pub struct Filled<'f> {
    /// The rows; those in a block lack `fills` still.
    pub rows: Rows<'f>,
    /// The sharding key's columns, in its order.
    pub key: &'f [Column],
    /// What a block is to be written with.
    pub fills: Vec<Fill<'f>>,
}

impl Filling {
    /// The columns whose values must be read.
    pub fn read(&self) -> &[ColumnDef] {
        &self.steps.read
    }

    /// The columns that must be watched.
    pub fn watched(&self) -> &[ColumnDef] {
        &self.steps.watched
    }

    /// Refuses an INSERT that leaves out a key column whose default cannot be computed.
    pub fn refuse_left_out(&self, listed: Option<&[String]>) -> Result<(), Exception> {
        let Some(listed) = listed else { return Ok(()) };
        let needed = self.steps.needed(|step| listed.contains(&step.column.name));
        let mut steps = self.steps.steps.iter().zip(needed);
        match steps.find(|(step, is_needed)| *is_needed && step.refused().is_some()) {
            Some((step, _)) => Err(self.refusal(step, "The INSERT leaves out")),
            None => Ok(()),
        }
    }

    /// From now on a row is an error whose shard would hang on the INSERT's moment, or on chance.
    pub fn refuse_drawn_keys(&mut self) {
        self.refuses_drawn_keys = true;
    }

    /// Computes what the rows lack and writes it into them; `first_row` is the number of the first of them in the body,
    /// from 1.
    pub fn fill<'f>(
        &'f mut self,
        rows: &Rows<'f>,
        first_row: u64,
        rng: &mut dyn Rng,
    ) -> Result<Filled<'f>, Exception> {
        let is_complete = rows.absent.iter().all(Vec::is_empty) && self.steps.computed == 0;
        let is_in_order = self
            .steps
            .key
            .iter()
            .enumerate()
            .all(|(at, source)| *source == Source::Field(at));
        if is_complete && is_in_order {
            let key = rows.key.get(..self.steps.key.len()).unwrap_or_default();
            return Ok(Filled {
                rows: rows.clone(),
                key,
                fills: Vec::new(),
            });
        }
        self.compute(rows, first_row, rng)?;
        let sources = self.steps.key.iter();
        self.key_columns = sources
            .map(|source| self.values[self.steps.place(*source)].clone())
            .collect();
        let Self {
            steps,
            filler,
            values,
            texts,
            key_columns,
            ..
        } = self;
        let fills: Vec<Fill<'f>> = steps
            .steps
            .iter()
            .zip(texts.iter())
            .filter_map(|(step, texts)| step.fill(steps, rows.absent, values, texts))
            .collect();
        let rows = match rows.body {
            RowsBody::Ranges { .. } if !fills.is_empty() => {
                fills.iter().try_for_each(|fill| filler.check(fill.column))?;
                filler.fill(rows, &fills)
            }
            RowsBody::Ranges { .. } | RowsBody::Block(_) => rows.clone(),
        };
        Ok(Filled {
            rows,
            key: key_columns,
            fills,
        })
    }

    fn compute(&mut self, rows: &Rows<'_>, first_row: u64, rng: &mut dyn Rng) -> Result<(), Exception> {
        self.values.clear();
        self.values.extend_from_slice(rows.key);
        let empty = |column: &ColumnDef| defaults_of(column, rows.count);
        self.values.extend(self.steps.watched.iter().map(empty));
        for step in &self.steps.steps {
            if let Source::Computed(_) = step.into {
                self.values.push(Column::empty(&step.column.data_type));
            }
        }
        self.texts.clear();
        if self.refuses_drawn_keys {
            self.check_drawn_keys(rows, first_row)?;
        }
        let steps = &self.steps;
        let rows_of = steps.rows_to_compute(rows, |step| step.written || steps.is_of_key(step));
        for (step, absent) in self.steps.steps.iter().zip(rows_of) {
            let place = self.steps.place(step.into);
            if !absent.is_empty()
                && let Some(expression) = &step.expression
            {
                let row_of_body = first_row + absent[0] as u64;
                let expression = expression
                    .as_ref()
                    .map_err(|_| self.refusal(step, &format!("Row {row_of_body} has no value for")))?;
                let inputs = step.inputs.iter();
                let inputs: Vec<Column> = inputs
                    .zip(expression.columns())
                    .map(|(source, def)| gathered(&self.values[self.steps.place(*source)], def, &absent))
                    .collect();
                let computed = expression
                    .evaluate(&inputs, absent.len(), &self.context, &mut || rng.next_u32())
                    .map_err(|error| {
                        let row = first_row + absent.get(error.row).copied().unwrap_or(0) as u64;
                        let message = format!(
                            "The default of column {} of {} ({}) has no value in row {row}: function {}: {}.",
                            step.column.name, self.table, step.text, error.function, error.reason
                        );
                        Exception::bad_input(i32::from(error.code()), message)
                    })?;
                self.values[place] = replaced(&self.values[place], &step.column, &absent, &computed);
            }
            let texts = if absent.is_empty() || !step.written {
                Bytes::default()
            } else {
                step.texts(&self.values[place], rows.count)
            };
            self.texts.push(texts);
        }
        Ok(())
    }

    fn check_drawn_keys(&self, rows: &Rows<'_>, first_row: u64) -> Result<(), Exception> {
        let steps = &self.steps;
        let rows_of = steps.rows_to_compute(rows, |step| steps.is_of_key(step));
        let drawn = steps.steps.iter().zip(&rows_of).find_map(|(step, rows)| {
            let row = rows.first().filter(|_| step.is_drawn())?;
            Some((step, first_row + *row as u64))
        });
        let Some((step, row)) = drawn else {
            return Ok(());
        };
        let why = format!(
            "row {row} has no value for column {}, which the sharding key needs and whose default is {}",
            step.column.name, step.text
        );
        Err(client_tokens::refuse_random_shards(&self.table, &why))
    }

    fn refusal(&self, step: &Step, what: &str) -> Exception {
        let reason = step.refused().unwrap_or_default();
        Exception::not_implemented(format!(
            "{what} column {}, which {}'s sharding key needs and whose default is {}. Weir cannot compute it ({reason}): give \
             the column in the INSERT.",
            step.column.name, self.table, step.text
        ))
    }
}

impl Steps {
    /// Which steps must be computed where the columns that are `given` have values and no others: those of the key, and
    /// what their defaults read.
    fn needed(&self, given: impl Fn(&Step) -> bool) -> Vec<bool> {
        let mut needed: Vec<bool> = self.steps.iter().map(|step| self.is_of_key(step)).collect();
        // What a step reads comes before it.
        for (place, step) in self.steps.iter().enumerate().rev() {
            needed[place] &= !given(step);
            if needed[place] {
                for input in self.inputs_of(step) {
                    needed[input] = true;
                }
            }
        }
        needed
    }

    fn is_of_key(&self, step: &Step) -> bool {
        self.key.contains(&step.into)
    }

    /// Of each step the rows to compute: those that have no value, where the value is wanted, or is read by what is computed.
    fn rows_to_compute(&self, rows: &Rows<'_>, is_wanted: impl Fn(&Step) -> bool) -> Vec<Vec<usize>> {
        let mut wanted: Vec<Vec<bool>> = self
            .steps
            .iter()
            .map(|step| vec![is_wanted(step); rows.count])
            .collect();
        let mut computed = vec![Vec::new(); self.steps.len()];
        for (place, step) in self.steps.iter().enumerate().rev() {
            let is_wanted = |row: &usize| wanted[place].get(*row).copied().unwrap_or(false);
            let rows: Vec<usize> = match step.into {
                Source::Field(field) => {
                    let absent = rows.absent[field].iter().map(|absent| absent.row);
                    absent.filter(is_wanted).collect()
                }
                Source::Computed(_) => (0..rows.count).filter(is_wanted).collect(),
            };
            for input in self.inputs_of(step) {
                rows.iter().for_each(|row| wanted[input][*row] = true);
            }
            computed[place] = rows;
        }
        computed
    }

    /// The places of the steps whose values a step reads.
    fn inputs_of(&self, step: &Step) -> Vec<usize> {
        let steps = self.steps.iter().enumerate();
        let inputs = steps.filter(|(_, other)| step.inputs.contains(&other.into));
        inputs.map(|(place, _)| place).collect()
    }

    /// Whether a source's values can be computed where a row has none.
    fn is_computed(&self, source: Source) -> bool {
        let step = self.steps.iter().find(|step| step.into == source);
        step.is_some_and(|step| {
            step.refused().is_none() && step.inputs.iter().all(|input| self.is_computed(*input))
        })
    }

    /// Where a source's values are among [`Filling::values`].
    fn place(&self, source: Source) -> usize {
        match source {
            Source::Field(field) => field,
            Source::Computed(computed) => self.read.len() + self.watched.len() + computed,
        }
    }
}

impl Step {
    /// Why the column's default cannot be computed.
    fn refused(&self) -> Option<&str> {
        match &self.expression {
            Some(Err(reason)) => Some(reason),
            Some(Ok(_)) | None => None,
        }
    }

    /// Whether the column's default is another one each time.
    fn is_drawn(&self) -> bool {
        matches!(&self.expression, Some(Ok(expression)) if expression.is_volatile())
    }

    fn fill<'f>(
        &'f self,
        steps: &Steps,
        absent: &[Vec<Absent>],
        values: &'f [Column],
        texts: &'f Bytes,
    ) -> Option<Fill<'f>> {
        let Source::Field(field) = self.into else {
            return None;
        };
        (self.written && !absent[field].is_empty()).then(|| Fill {
            field,
            column: &self.column,
            values: &values[steps.place(self.into)],
            texts,
        })
    }

    /// The values as ClickHouse's toString writes them; empty ones where it has none, which no scalar type does.
    fn texts(&self, values: &Column, rows: usize) -> Bytes {
        let context = Context::default();
        let text = self.to_text.as_ref().and_then(|expression| {
            let column = std::slice::from_ref(values);
            expression.evaluate(column, rows, &context, &mut || 0).ok()
        });
        match text.map(|column| column.data) {
            Some(Data::Bytes(texts)) => texts,
            _ => {
                let mut texts = Bytes::default();
                (0..rows).for_each(|_| texts.push(b""));
                texts
            }
        }
    }
}

/// So many defaults of a column's type.
fn defaults_of(column: &ColumnDef, rows: usize) -> Column {
    let mut values = Column::empty(&column.data_type);
    (0..rows).for_each(|_| values.push_default(&column.data_type));
    values
}

/// The values of these rows.
fn gathered(column: &Column, def: &ColumnDef, rows: &[usize]) -> Column {
    if rows.len() == column.len() {
        return column.clone();
    }
    let mut gathered = Column::empty(&def.data_type);
    for row in rows {
        gathered.push_from(column, *row);
    }
    gathered
}

/// `column` with those of `rows`, ascending, from `values`.
fn replaced(column: &Column, def: &ColumnDef, rows: &[usize], values: &Column) -> Column {
    if rows.len() >= column.len() {
        return values.clone();
    }
    let mut replaced = Column::empty(&def.data_type);
    let mut next = 0;
    for row in 0..column.len() {
        if rows.get(next) == Some(&row) {
            replaced.push_from(values, next);
            next += 1;
        } else {
            replaced.push_from(column, row);
        }
    }
    replaced
}

#[cfg(test)]
mod tests;
