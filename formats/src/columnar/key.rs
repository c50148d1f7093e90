//! The key's columns out of a window's, in the table's types.

use types::{Column, ColumnDef, Data, DataType};

use super::cast::Cast;
use super::encode::{values_of, written_type};
use super::values::{Values, elements};
use super::{Window, WindowColumn};
use crate::error::{FormatError, code};
use crate::framing::ValueError;
use crate::key::Key;
use crate::nested::{ValueReader, note_value, push_list, push_tuple};
use crate::stream::{Absent, Spec};
use crate::value;

/// The key's values of the window at hand.
pub(crate) struct ColumnKey {
    defs: Vec<ColumnDef>,
    watched: Vec<ColumnDef>,
    key: Key,
    /// Where each key column's values come from in the present block; none where it has none.
    sources: Vec<Option<Source>>,
}

/// A column of the block that the key reads.
struct Source {
    /// Its place among the window's columns.
    place: usize,
    /// The type that its values have.
    from: DataType,
    cast: Cast,
}

/// A value that is not one of the table's type.
pub(crate) struct KeyFault {
    pub code: i32,
    /// The row among those at hand.
    pub row: usize,
    pub message: String,
}

impl ColumnKey {
    pub(crate) fn new(spec: &Spec<'_>) -> Result<Self, FormatError> {
        Ok(Self {
            defs: spec.key.to_vec(),
            watched: spec.watched.to_vec(),
            key: Key::new(spec)?,
            sources: Vec::new(),
        })
    }

    pub(crate) fn columns(&self) -> &[Column] {
        &self.key.columns
    }

    pub(crate) fn absent(&self) -> &[Vec<Absent>] {
        &self.key.absent
    }

    /// Prepares for blocks of these columns: each with its name and the type of its values, in the window's order.
    /// Fails with words for a type that is not known to be cast exactly.
    pub(crate) fn prepare(&mut self, columns: &[(String, DataType)]) -> Result<(), String> {
        self.sources = self
            .defs
            .iter()
            .map(|def| source(def, columns))
            .collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Reads the key's values of a window, and puts those that were cast back into it.
    pub(crate) fn read(&mut self, window: &mut Window) -> Result<(), KeyFault> {
        self.key.forget_rows();
        for index in 0..self.defs.len() {
            match &self.sources[index] {
                Some(source) => {
                    let column = &mut window.columns[source.place];
                    let def = &self.defs[index];
                    let reader = self.key.reader(index);
                    let (values, nulls) =
                        read_column(source, def, column, window.rows, reader).map_err(|(row, error)| {
                            KeyFault {
                                code: error.code,
                                row,
                                message: format!(
                                    "cannot read column {} of type {}: expected {}",
                                    def.name, def.data_type, error.expected
                                ),
                            }
                        })?;
                    self.key.put_column(index, values, &nulls);
                }
                None => self.key.put_defaults(index, window.rows),
            }
        }
        self.watch(window);
        Ok(())
    }

    /// Notes the rows without a value of the watched columns.
    fn watch(&mut self, window: &Window) {
        for (index, def) in self.watched.iter().enumerate() {
            let absent = &mut self.key.absent[self.defs.len() + index];
            let rows = 0..window.rows;
            let note = |row| Absent { row, field: None };
            match window.columns.iter().find(|column| column.name == def.name) {
                None => absent.extend(rows.map(note)),
                Some(_) if def.data_type.is_nullable() => {}
                Some(column) => absent.extend(rows.filter(|row| is_null(&column.values, *row)).map(note)),
            }
        }
    }
}

fn is_null(values: &Values, row: usize) -> bool {
    match values {
        Values::Nullable { map, .. } => map[row] != 0,
        Values::LowCardinality {
            indexes, nullable, ..
        } => *nullable && indexes[row] == 0,
        _ => false,
    }
}

fn source(def: &ColumnDef, columns: &[(String, DataType)]) -> Result<Option<Source>, String> {
    let Some(place) = columns.iter().position(|(name, _)| *name == def.name) else {
        return Ok(None);
    };
    let from = columns[place].1.clone();
    let (inner, to) = (from.without_nullable(), def.data_type.without_nullable());
    let cast = Cast::of(inner, to).filter(|_| value::can_read(inner));
    let cast = cast.ok_or_else(|| {
        format!(
            "column {} of the sharding key is {} in the body and {} in the table, and this router does not know how \
             a shard would cast it; send it as {}",
            def.name, from, def.data_type, def.data_type
        )
    })?;
    Ok(Some(Source { place, from, cast }))
}

/// The column in the table's type, and the rows whose NULL the table's type does not take.
fn read_column(
    source: &Source,
    def: &ColumnDef,
    column: &mut WindowColumn,
    rows: usize,
    reader: &ValueReader,
) -> Result<(Column, Vec<usize>), (usize, ValueError)> {
    let read = decode(&column.values, &source.from, rows)?;
    let to = def.data_type.without_nullable();
    let mut cast = source.cast.apply(read, reader)?;
    let nulls = match (&cast.nulls, def.data_type.is_nullable()) {
        (Some(nulls), false) => (0..rows).filter(|row| nulls[*row]).collect(),
        _ => Vec::new(),
    };
    if !source.cast.is_nothing() {
        column.values = values_of(&cast, to);
        let written = written_type(to);
        column.type_name = match &cast.nulls {
            Some(_) => format!("Nullable({written})"),
            None => written.to_string(),
        };
        column.prefix.clear();
    }
    if !def.data_type.is_nullable() {
        cast.nulls = None;
    } else if cast.nulls.is_none() {
        cast.nulls = Some(vec![false; rows]);
    }
    Ok((cast, nulls))
}

macro_rules! numbers {
    ($bytes:expr, $kind:ident, $number:ty) => {{
        let (values, _) = $bytes.as_chunks();
        Some(Data::$kind(
            values
                .iter()
                .map(|value| <$number>::from_le_bytes(*value))
                .collect(),
        ))
    }};
}

/// Plain numbers, all at once.
fn numbers(bytes: &[u8], data_type: &DataType) -> Option<Data> {
    if matches!(data_type, DataType::Bool | DataType::Uuid) {
        return None;
    }
    match Data::empty(data_type) {
        Data::UInt8(_) => Some(Data::UInt8(bytes.to_vec())),
        Data::UInt16(_) => numbers!(bytes, UInt16, u16),
        Data::UInt32(_) => numbers!(bytes, UInt32, u32),
        Data::UInt64(_) => numbers!(bytes, UInt64, u64),
        Data::UInt128(_) => numbers!(bytes, UInt128, u128),
        Data::Int8(_) => Some(Data::Int8(bytes.iter().map(|byte| *byte as i8).collect())),
        Data::Int16(_) => numbers!(bytes, Int16, i16),
        Data::Int32(_) => numbers!(bytes, Int32, i32),
        Data::Int64(_) => numbers!(bytes, Int64, i64),
        Data::Int128(_) => numbers!(bytes, Int128, i128),
        Data::Float32(_) => numbers!(bytes, Float32, f32),
        Data::Float64(_) => numbers!(bytes, Float64, f64),
        _ => None,
    }
}

/// A column as the key wants it; at a NULL the type's default.
fn decode(values: &Values, data_type: &DataType, rows: usize) -> Result<Column, (usize, ValueError)> {
    let inner = data_type.without_nullable();
    if let Values::Fixed { bytes, .. } = values
        && let Some(data) = numbers(bytes, inner)
    {
        return Ok(Column::new(data));
    }
    let mut column = Column::empty(data_type);
    for row in 0..rows {
        push_row(&mut column, values, data_type, row).map_err(|error| (row, error))?;
    }
    Ok(column)
}

/// Appends the value of a row, with all that lies in it.
fn push_row(
    column: &mut Column,
    values: &Values,
    data_type: &DataType,
    row: usize,
) -> Result<(), ValueError> {
    match (values, data_type.without_nullable()) {
        _ if is_null(values, row) => column.push_default(data_type),
        (Values::Nullable { inner, .. }, plain) => push_row(column, inner, plain, row)?,
        (Values::Array { ends, inner }, DataType::Array(element)) => {
            push_list(column, |list| {
                elements(ends, row).try_for_each(|row| push_row(list, inner, element, row))
            })?;
        }
        (Values::Array { ends, inner }, DataType::Map(key, value)) => {
            push_list(column, |pairs| {
                elements(ends, row).try_for_each(|row| push_elements(pairs, inner, &[key, value], row))
            })?;
        }
        (Values::Tuple(_), DataType::Tuple(elements)) => {
            let types: Vec<&DataType> = elements.iter().map(|(_, element)| element).collect();
            push_elements(column, values, &types, row)?;
        }
        (values, plain) => {
            let bytes = values.value(row).ok_or(FOREIGN_LAYOUT)?;
            value::push_binary(&mut column.data, plain, bytes)?;
            note_value(column);
        }
    }
    Ok(())
}

fn push_elements(
    column: &mut Column,
    values: &Values,
    types: &[&DataType],
    row: usize,
) -> Result<(), ValueError> {
    let Values::Tuple(elements) = values else {
        return Err(FOREIGN_LAYOUT);
    };
    push_tuple(column, |columns| {
        if columns.len() != elements.len() || columns.len() != types.len() {
            return Err(FOREIGN_LAYOUT);
        }
        for ((column, values), data_type) in columns.iter_mut().zip(elements).zip(types) {
            push_row(column, values, data_type, row)?;
        }
        Ok(())
    })
}

const FOREIGN_LAYOUT: ValueError = ValueError {
    code: code::NOT_IMPLEMENTED,
    expected: "a value of the column's own layout",
};
