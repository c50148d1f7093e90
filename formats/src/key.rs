//! `Key`: the sharding key's columns, filled row by row and used again for the next rows.

use std::ops::Range;

use jiff::tz::TimeZone;
use types::{Column, ColumnDef, DataType};

use crate::check::Check;
use crate::error::{FormatError, code};
use crate::framing::{Fault, Framing, Token, ValueError};
use crate::nested::{self, ValueReader};
use crate::settings::DateTimeText;
use crate::stream::{Absent, Spec};
use crate::value;

/// The key's values of the rows at hand.
pub(crate) struct Key {
    defs: Vec<KeyDef>,
    /// For each watched column whether it takes NULL.
    watched: Vec<bool>,
    /// What the values of other columns are held against, each with its number among the noted ones.
    checks: Vec<(usize, Check)>,
    /// One column a key column, one value a row.
    pub columns: Vec<Column>,
    /// For each key column and each watched one the rows without a value of their own.
    pub absent: Vec<Vec<Absent>>,
    /// Where the values of the row being read lie.
    pub fields: Vec<Option<Range<usize>>>,
    scratch: Vec<u8>,
    rows: usize,
    /// Whether NULL stands for the DEFAULT where the type takes none.
    null_as_default: bool,
}

/// One key column and what its text is read by.
pub(crate) struct KeyDef {
    /// Its type with Nullable and LowCardinality.
    column: ColumnDef,
    /// Whether the INSERT lists columns, but not this one.
    is_unnamed: bool,
    reader: ValueReader,
}

/// What the meaning of a text depends on besides its type: the zone of a DateTime, and how far its text may go.
pub(crate) struct Reading {
    pub zone: TimeZone,
    pub date_time: DateTimeText,
}

impl Key {
    pub(crate) fn new(spec: &Spec<'_>) -> Result<Self, FormatError> {
        let defs: Vec<KeyDef> = spec
            .key
            .iter()
            .map(|column| KeyDef::new(column, spec))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            columns: spec
                .key
                .iter()
                .map(|column| Column::empty(&column.data_type))
                .collect(),
            absent: vec![Vec::new(); defs.len() + spec.watched.len()],
            fields: vec![None; defs.len() + spec.watched.len()],
            watched: spec
                .watched
                .iter()
                .map(|column| column.data_type.is_nullable())
                .collect(),
            checks: Vec::new(),
            scratch: Vec::new(),
            rows: 0,
            null_as_default: spec.settings.null_as_default,
            defs,
        })
    }

    /// What values of this key column are read by.
    pub(crate) fn reader(&self, index: usize) -> &ValueReader {
        &self.defs[index].reader
    }

    /// Takes a whole column of values; in the rows of `nulls`, ascending, the type's default stands in for a NULL.
    pub(crate) fn put_column(&mut self, index: usize, column: Column, nulls: &[usize]) {
        self.columns[index] = column;
        self.absent[index].extend(nulls.iter().map(|row| Absent {
            row: *row,
            field: None,
        }));
    }

    /// Takes `rows` rows that have no value for this key column.
    pub(crate) fn put_defaults(&mut self, index: usize, rows: usize) {
        for row in 0..rows {
            self.defs[index].push_default(&mut self.columns[index]);
            self.absent[index].push(Absent { row, field: None });
        }
    }

    /// Has the values of these noted columns read too.
    pub(crate) fn check(&mut self, checks: Vec<(usize, Check)>) {
        let noted = checks.iter().map(|(index, _)| index + 1).max().unwrap_or(0);
        self.fields.resize(self.fields.len().max(noted), None);
        self.checks = checks;
    }

    pub(crate) fn forget_fields(&mut self) {
        self.fields.fill(None);
    }

    pub(crate) fn forget_rows(&mut self) {
        self.rows = 0;
        self.columns.iter_mut().for_each(Column::clear);
        self.absent.iter_mut().for_each(Vec::clear);
    }

    /// Reads the values of the row whose fields were noted.
    pub(crate) fn take(
        &mut self,
        framing: &dyn Framing,
        bytes: &[u8],
        row_start: usize,
    ) -> Result<(), Fault> {
        for index in 0..self.defs.len() {
            let field = self.fields[index].clone();
            let at = field.as_ref().map_or(row_start, |field| field.start);
            self.take_field(index, field.map(|field| (field.clone(), &bytes[field])), framing)
                .map_err(|error| misread(&self.defs[index].column, error, at))?;
        }
        for watched in 0..self.watched.len() {
            self.watch(watched, bytes, framing);
        }
        for (index, check) in &mut self.checks {
            if let Some(field) = self.fields[*index].clone() {
                let at = field.start;
                check
                    .read(framing, *index, &bytes[field])
                    .map_err(|error| misread(&check.column, error, at))?;
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// Notes whether the row has a value for a watched column; whether it is a sound one, the shard will say.
    fn watch(&mut self, watched: usize, bytes: &[u8], framing: &dyn Framing) {
        let index = self.defs.len() + watched;
        let field = self.fields[index].clone();
        let token = match &field {
            Some(field) => framing.token(index, &bytes[field.clone()], &mut self.scratch),
            None => Ok(Token::Absent),
        };
        let is_absent = match token {
            Ok(Token::Absent) => true,
            Ok(Token::Null) => !self.watched[watched],
            Ok(_) | Err(_) => false,
        };
        if is_absent {
            let row = self.rows;
            self.absent[index].push(Absent { row, field });
        }
    }

    /// The row just taken was written anew, and its fields lie where `fields` says now.
    pub(crate) fn fields_moved(&mut self) {
        let row = self.rows.wrapping_sub(1);
        for (absent, field) in self.absent.iter_mut().zip(&self.fields) {
            if let Some(last) = absent.last_mut().filter(|last| last.row == row) {
                last.field.clone_from(field);
            }
        }
    }

    fn take_field(
        &mut self,
        index: usize,
        field: Option<(Range<usize>, &[u8])>,
        framing: &dyn Framing,
    ) -> Result<(), ValueError> {
        let (field, token) = match field {
            Some((field, text)) => (Some(field), framing.token(index, text, &mut self.scratch)?),
            None => (None, Token::Absent),
        };
        let def = &self.defs[index];
        let column = &mut self.columns[index];
        if !matches!(token, Token::Null | Token::Absent) {
            return def.reader.push(column, &token);
        }
        if token == Token::Null && column.nulls.is_none() && !self.null_as_default {
            return Err(nested::NULL);
        }
        if token == Token::Absent || column.nulls.is_none() {
            let row = self.rows;
            self.absent[index].push(Absent { row, field });
        }
        def.push_default(column);
        Ok(())
    }
}

impl KeyDef {
    fn new(column: &ColumnDef, spec: &Spec<'_>) -> Result<Self, FormatError> {
        if !value::can_read(column.data_type.without_nullable()) {
            let message = format!(
                "column {} of the sharding key has type {}, whose values this router does not read",
                column.name, column.data_type
            );
            return Err(FormatError::plain(code::NOT_IMPLEMENTED, message));
        }
        Ok(Self {
            column: column.clone(),
            is_unnamed: spec.listed.is_some_and(|listed| !listed.contains(&column.name)),
            reader: ValueReader::new(&column.data_type, spec)?,
        })
    }

    fn push_default(&self, column: &mut Column) {
        match self.is_unnamed {
            true => column.push_unnamed(&self.column.data_type),
            false => column.push_default(&self.column.data_type),
        }
    }
}

fn misread(column: &ColumnDef, error: ValueError, at: usize) -> Fault {
    let message = format!(
        "cannot read column {} of type {}: expected {}",
        column.name, column.data_type, error.expected
    );
    Fault {
        code: error.code,
        at,
        message,
    }
}

/// What texts of a type are read by.
pub(crate) fn reading_of(data_type: &DataType, spec: &Spec<'_>) -> Result<Reading, FormatError> {
    let zone = match data_type {
        DataType::DateTime(zone) | DataType::DateTime64(_, zone) => {
            time_zone(zone.as_deref().unwrap_or(spec.time_zone))?
        }
        _ => TimeZone::UTC,
    };
    Ok(Reading {
        zone,
        date_time: spec.settings.date_time,
    })
}

fn time_zone(name: &str) -> Result<TimeZone, FormatError> {
    TimeZone::get(name).map_err(|_| {
        FormatError::plain(
            code::BAD_ARGUMENTS,
            format!("the time zone '{name}' is not known"),
        )
    })
}
