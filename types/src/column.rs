//! `Column`: many values of one type, side by side.

/// The values of one column for some rows, all of the same physical kind.
///
/// The physical kind follows the type: Date is `UInt16`, DateTime and IPv4 are `UInt32`, Date32 is `Int32`,
/// DateTime64 is `Int64`, Enum8/16 are `Int8`/`Int16`, Bool is `UInt8`, UUID is `UInt128` (the number whose
/// big-endian bytes are the UUID's text), String, FixedString and all else are `Bytes`.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The values; at a NULL the type's default.
    pub data: Data,
    /// One flag a row, true for NULL; absent when the type cannot be NULL.
    pub nulls: Option<Vec<bool>>,
}

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
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Bytes(Bytes),
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
    ($data:expr, $values:ident => $vector:expr, $bytes:ident => $string:expr) => {
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
            Data::Float32($values) => $vector,
            Data::Float64($values) => $vector,
            Data::Bytes($bytes) => $string,
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
        each_kind!(&self.data, values => values.len(), bytes => bytes.len())
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets the rows and keeps the memory.
    pub fn clear(&mut self) {
        each_kind!(&mut self.data, values => values.clear(), bytes => {
            bytes.bytes.clear();
            bytes.ends.clear();
        });
        if let Some(nulls) = &mut self.nulls {
            nulls.clear();
        }
    }

    /// Appends the type's default value: zero, the empty string, NULL where the type allows it.
    ///
    /// `fixed` is the length of a FixedString, whose default is that many zero bytes.
    pub fn push_default(&mut self, data_type: &crate::DataType) {
        match (&mut self.data, data_type.without_nullable()) {
            (Data::Bytes(bytes), crate::DataType::FixedString(len)) => bytes.push(&vec![0; *len]),
            (data, _) => {
                each_kind!(data, values => values.push(Default::default()), bytes => bytes.push(b""));
            }
        }
        if let Some(nulls) = &mut self.nulls {
            nulls.push(true);
        }
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
            T::Float32 => Self::Float32(Vec::new()),
            T::Float64 => Self::Float64(Vec::new()),
            _ => Self::Bytes(Bytes::default()),
        }
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

        let fixed = DataType::FixedString(3);
        let mut column = Column::empty(&fixed);
        column.push_default(&fixed);
        let Data::Bytes(bytes) = column.data else {
            panic!("a FixedString is bytes")
        };
        assert_eq!(bytes.get(0), [0, 0, 0]);
    }
}
