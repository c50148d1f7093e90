//! `Column`: many values of one type, side by side.

use ethnum::{I256, U256};

/// The values of one column for some rows, all of the same physical kind.
///
/// The physical kind follows the type: Date is `UInt16`, DateTime and IPv4 are `UInt32`, Date32 is `Int32`,
/// DateTime64 is `Int64`, Enum8/16 are `Int8`/`Int16`, Bool is `UInt8`, UUID is `UInt128` (the number whose
/// big-endian bytes are the UUID's text), BFloat16 is `UInt16` (the upper half of a Float32's bits), Decimal is
/// the signed integer that has room for its precision (32 bits up to 9 digits, 64 up to 18, 128 up to 38, 256
/// beyond), a Map is an `Array` of `Tuple`s of key and value. String, FixedString, IPv6 (16 bytes in network
/// order) and all else are `Bytes`.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The values; at a NULL the type's default.
    pub data: Data,
    /// One flag a row, true for NULL; absent when the type cannot be NULL.
    pub nulls: Option<Vec<bool>>,
}

/// 1900-01-01, the first day of a Date32, in days after 1970-01-01.
const FIRST_DAY: i32 = -25_567;

/// The values of a column by physical kind.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // the variants are ClickHouse's own names
pub enum Data {
    UInt8(Vec<u8>),
    UInt16(Vec<u16>),
    UInt32(Vec<u32>),
    UInt64(Vec<u64>),
    UInt128(Vec<u128>),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Int128(Vec<i128>),
    UInt256(Vec<U256>),
    Int256(Vec<I256>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Bytes(Bytes),
    Array(Lists),
    Tuple(Tuples),
}

/// Lists of values laid end to end: the values of an Array, or of a Map as its pairs.
#[derive(Debug, Clone, PartialEq)]
pub struct Lists {
    /// The elements of all lists.
    pub values: Box<Column>,
    /// Where each list ends in `values`.
    pub ends: Vec<usize>,
}

impl Lists {
    /// The places of one row's elements.
    pub fn range(&self, row: usize) -> std::ops::Range<usize> {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        start..self.ends[row]
    }
}

/// Tuples as one column for each element.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuples {
    /// The elements' columns, each of `rows` values.
    pub columns: Vec<Column>,
    /// How many tuples there are, also when they are empty.
    pub rows: usize,
}

/// Byte strings laid end to end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bytes {
    /// All strings, without separators.
    pub bytes: Vec<u8>,
    /// Where each string ends in `bytes`.
    pub ends: Vec<usize>,
}

impl Bytes {
    /// Appends one string.
    pub fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.ends.push(self.bytes.len());
    }

    /// The string of one row.
    pub fn get(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.bytes[start..self.ends[row]]
    }

    /// How many strings there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The strings in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|row| self.get(row))
    }
}

/// Does the same with the vector of whatever kind the data is.
macro_rules! each_kind {
    ($data:expr, $values:ident => $vector:expr, $bytes:ident => $string:expr, $lists:ident => $list:expr, $tuples:ident => $tuple:expr) => {
        match $data {
            Data::UInt8($values) => $vector,
            Data::UInt16($values) => $vector,
            Data::UInt32($values) => $vector,
            Data::UInt64($values) => $vector,
            Data::UInt128($values) => $vector,
            Data::Int8($values) => $vector,
            Data::Int16($values) => $vector,
            Data::Int32($values) => $vector,
            Data::Int64($values) => $vector,
            Data::Int128($values) => $vector,
            Data::UInt256($values) => $vector,
            Data::Int256($values) => $vector,
            Data::Float32($values) => $vector,
            Data::Float64($values) => $vector,
            Data::Bytes($bytes) => $string,
            Data::Array($lists) => $list,
            Data::Tuple($tuples) => $tuple,
        }
    };
}

impl Column {
    /// A column of a type that cannot be NULL.
    pub fn new(data: Data) -> Self {
        Self { data, nulls: None }
    }

    /// An empty column for values of this type.
    pub fn empty(data_type: &crate::DataType) -> Self {
        let nulls = data_type.is_nullable().then(Vec::new);
        Self {
            data: Data::empty(data_type.without_nullable()),
            nulls,
        }
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a row's value is NULL; a row that is not there is none.
    pub fn is_null(&self, row: usize) -> bool {
        self.nulls
            .as_ref()
            .is_some_and(|nulls| nulls.get(row).copied().unwrap_or(false))
    }

    /// Forgets the rows and keeps the memory.
    pub fn clear(&mut self) {
        each_kind!(&mut self.data, values => values.clear(), bytes => {
            bytes.bytes.clear();
            bytes.ends.clear();
        }, lists => {
            lists.values.clear();
            lists.ends.clear();
        }, tuples => {
            tuples.columns.iter_mut().for_each(Self::clear);
            tuples.rows = 0;
        });
        if let Some(nulls) = &mut self.nulls {
            nulls.clear();
        }
    }

    /// Appends the type's default value: zero, the empty string or list, NULL where the type allows it, the
    /// lowest element of an Enum, a FixedString of zero bytes.
    pub fn push_default(&mut self, data_type: &crate::DataType) {
        self.data.push_default(data_type.without_nullable());
        if let Some(nulls) = &mut self.nulls {
            nulls.push(true);
        }
    }

    /// Appends what ClickHouse gives a column without DEFAULT that an INSERT's statement does not name: the default, but
    /// 1900-01-01 for a Date32. A row that leaves such a column out gives it 1970-01-01 (tried on 26.9).
    pub fn push_unnamed(&mut self, data_type: &crate::DataType) {
        self.push_default(data_type);
        self.data
            .set_last_to_first_day(data_type.without_nullable(), self.nulls.is_some());
    }

    /// Appends the value of a row of another column of the same type; false, and nothing appended, when the
    /// columns are of different kinds or the row is not there.
    ///
    /// A column that can be NULL takes values from one that cannot, and the other way round what lies at a NULL.
    pub fn push_from(&mut self, other: &Self, row: usize) -> bool {
        if row >= other.len() || !self.data.push_from(&other.data, row) {
            return false;
        }
        if let Some(nulls) = &mut self.nulls {
            nulls.push(other.is_null(row));
        }
        true
    }
}

impl Data {
    /// An empty vector of the physical kind of a type (outside Nullable and LowCardinality).
    pub fn empty(data_type: &crate::DataType) -> Self {
        use crate::DataType as T;
        match data_type {
            T::UInt8 | T::Bool => Self::UInt8(Vec::new()),
            T::UInt16 | T::Date => Self::UInt16(Vec::new()),
            T::UInt32 | T::DateTime(_) | T::IPv4 => Self::UInt32(Vec::new()),
            T::UInt64 => Self::UInt64(Vec::new()),
            T::UInt128 | T::Uuid => Self::UInt128(Vec::new()),
            T::Int8 | T::Enum8(_) => Self::Int8(Vec::new()),
            T::Int16 | T::Enum16(_) => Self::Int16(Vec::new()),
            T::Int32 | T::Date32 => Self::Int32(Vec::new()),
            T::Int64 | T::DateTime64(..) => Self::Int64(Vec::new()),
            T::Int128 => Self::Int128(Vec::new()),
            T::UInt256 => Self::UInt256(Vec::new()),
            T::Int256 => Self::Int256(Vec::new()),
            T::BFloat16 => Self::UInt16(Vec::new()),
            T::Decimal { precision, .. } => match precision {
                0..=9 => Self::Int32(Vec::new()),
                10..=18 => Self::Int64(Vec::new()),
                19..=38 => Self::Int128(Vec::new()),
                39.. => Self::Int256(Vec::new()),
            },
            T::Array(element) => Self::empty_array(Column::empty(element)),
            T::Map(key, value) => Self::empty_array(Column::new(Self::Tuple(Tuples {
                columns: vec![Column::empty(key), Column::empty(value)],
                rows: 0,
            }))),
            T::Tuple(elements) => Self::Tuple(Tuples {
                columns: elements
                    .iter()
                    .map(|(_, element)| Column::empty(element))
                    .collect(),
                rows: 0,
            }),
            T::Float32 => Self::Float32(Vec::new()),
            T::Float64 => Self::Float64(Vec::new()),
            _ => Self::Bytes(Bytes::default()),
        }
    }

    fn empty_array(values: Column) -> Self {
        Self::Array(Lists {
            values: Box::new(values),
            ends: Vec::new(),
        })
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        each_kind!(self, values => values.len(), bytes => bytes.len(), lists => lists.ends.len(), tuples => tuples.rows)
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether both are of the same physical kind, down to the elements of lists and tuples.
    pub fn is_same_kind(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Array(left), Self::Array(right)) => left.values.data.is_same_kind(&right.values.data),
            (Self::Tuple(left), Self::Tuple(right)) => {
                let mut pairs = left.columns.iter().zip(&right.columns);
                left.columns.len() == right.columns.len()
                    && pairs.all(|(left, right)| left.data.is_same_kind(&right.data))
            }
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }

    /// Appends the default of a type outside Nullable.
    fn push_default(&mut self, data_type: &crate::DataType) {
        use crate::DataType as T;
        let lowest = |elements: &[(String, i16)]| elements.iter().map(|(_, value)| *value).min().unwrap_or(0);
        match (self, data_type) {
            (Self::Bytes(bytes), T::FixedString(len)) => {
                bytes.bytes.resize(bytes.bytes.len() + len, 0);
                bytes.ends.push(bytes.bytes.len());
            }
            (Self::Bytes(bytes), T::IPv6) => bytes.push(&[0; 16]),
            // The elements of an Enum8 fit a byte.
            (Self::Int8(values), T::Enum8(elements)) => values.push(lowest(elements) as i8),
            (Self::Int16(values), T::Enum16(elements)) => values.push(lowest(elements)),
            (Self::Tuple(tuples), T::Tuple(elements)) => {
                for (column, (_, element)) in tuples.columns.iter_mut().zip(elements) {
                    column.push_default(element);
                }
                tuples.rows += 1;
            }
            (data, _) => {
                each_kind!(data, values => values.push(Default::default()), bytes => bytes.push(b""),
                lists => lists.ends.push(lists.values.len()), tuples => tuples.rows += 1);
            }
        }
    }

    /// Makes the Date32 that was appended last, also in a tuple, the first day there is.
    fn set_last_to_first_day(&mut self, data_type: &crate::DataType, is_null: bool) {
        use crate::DataType as T;
        match (self, data_type) {
            (Self::Int32(days), T::Date32) if !is_null => {
                if let Some(last) = days.last_mut() {
                    *last = FIRST_DAY;
                }
            }
            (Self::Tuple(tuples), T::Tuple(elements)) => {
                for (column, (_, element)) in tuples.columns.iter_mut().zip(elements) {
                    let is_null = column.nulls.is_some();
                    column
                        .data
                        .set_last_to_first_day(element.without_nullable(), is_null);
                }
            }
            _ => {}
        }
    }

    fn push_from(&mut self, other: &Self, row: usize) -> bool {
        if !self.is_same_kind(other) {
            return false;
        }
        macro_rules! copy {
            ($($kind:ident)*) => {
                match (self, other) {
                    $((Self::$kind(to), Self::$kind(from)) => to.push(from[row]),)*
                    (Self::Bytes(to), Self::Bytes(from)) => to.push(from.get(row)),
                    (Self::Array(to), Self::Array(from)) => {
                        for element in from.range(row) {
                            to.values.push_from(&from.values, element);
                        }
                        to.ends.push(to.values.len());
                    }
                    (Self::Tuple(to), Self::Tuple(from)) => {
                        for (to, from) in to.columns.iter_mut().zip(&from.columns) {
                            to.push_from(from, row);
                        }
                        to.rows += 1;
                    }
                    _ => return false,
                }
            };
        }
        copy!(UInt8 UInt16 UInt32 UInt64 UInt128 UInt256 Int8 Int16 Int32 Int64 Int128 Int256 Float32 Float64);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DataType;

    #[test]
    fn strings_keep_their_borders() {
        let mut bytes = Bytes::default();
        bytes.push(b"ab");
        bytes.push(b"");
        bytes.push(b"c");
        assert_eq!(bytes.iter().collect::<Vec<_>>(), [&b"ab"[..], b"", b"c"]);
    }

    #[test]
    fn defaults_follow_the_type() {
        let nullable = DataType::parse("Nullable(UInt32)").unwrap();
        let mut column = Column::empty(&nullable);
        column.push_default(&nullable);
        assert_eq!(
            column,
            Column {
                data: Data::UInt32(vec![0]),
                nulls: Some(vec![true])
            }
        );

        let data_type = DataType::parse("Tuple(Enum8('a' = 3, 'b' = -1), Array(Decimal(40, 2)))").unwrap();
        let mut column = Column::empty(&data_type);
        column.push_default(&data_type);
        let mut copy = Column::empty(&data_type);
        assert!(copy.push_from(&column, 0) && !copy.push_from(&column, 1));
        assert_eq!(copy, column);
        let Data::Tuple(tuples) = column.data else {
            panic!("a Tuple is its elements")
        };
        assert_eq!(tuples.columns[0].data, Data::Int8(vec![-1]));
        let Data::Array(lists) = &tuples.columns[1].data else {
            panic!("an Array is lists")
        };
        assert_eq!(
            (lists.range(0), &lists.values.data),
            (0..0, &Data::Int256(vec![]))
        );

        let fixed = DataType::FixedString(3);
        let mut column = Column::empty(&fixed);
        column.push_default(&fixed);
        let Data::Bytes(bytes) = column.data else {
            panic!("a FixedString is bytes")
        };
        assert_eq!(bytes.get(0), [0, 0, 0]);
    }
}
