//! Whole numbers of every width as 64-bit words: the form in which arithmetic, casts and the sharding value
//! work.
//!
//! A word is the number sign-extended to 64 bits. Sums, differences and products of words, cut to the
//! result's width, are what C++ computes in that width; so one loop serves all 64 pairs of types.

use std::borrow::Cow;

use types::{Data, DataType};

use crate::error::Failure;
use crate::expression::evaluate::Value;

/// The width and sign of an integer type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Integer {
    /// 1, 2, 4 or 8.
    pub bytes: u8,
    pub signed: bool,
}

impl Integer {
    /// What a type is as a number: the integers of up to 64 bits, and Bool as UInt8. Dates and Enums are
    /// none.
    pub fn of(data_type: &DataType) -> Option<Self> {
        let (bytes, signed) = match data_type {
            DataType::UInt8 | DataType::Bool => (1, false),
            DataType::UInt16 => (2, false),
            DataType::UInt32 => (4, false),
            DataType::UInt64 => (8, false),
            DataType::Int8 => (1, true),
            DataType::Int16 => (2, true),
            DataType::Int32 => (4, true),
            DataType::Int64 => (8, true),
            _ => return None,
        };
        Some(Self { bytes, signed })
    }

    pub fn data_type(self) -> DataType {
        match (self.bytes, self.signed) {
            (1, false) => DataType::UInt8,
            (2, false) => DataType::UInt16,
            (4, false) => DataType::UInt32,
            (_, false) => DataType::UInt64,
            (1, true) => DataType::Int8,
            (2, true) => DataType::Int16,
            (4, true) => DataType::Int32,
            (_, true) => DataType::Int64,
        }
    }

    /// The width that ClickHouse takes so that a result has room: the next one, at most 64 bits.
    pub fn wider(self) -> u8 {
        (self.bytes * 2).min(8)
    }

    /// The lowest number of the type as a word.
    pub fn lowest(self) -> u64 {
        if self.signed {
            (i64::MIN >> (64 - 8 * u32::from(self.bytes))).cast_unsigned()
        } else {
            0
        }
    }

    /// Whether a number lies in the type.
    pub fn holds(self, number: i128) -> bool {
        let bits = 8 * u32::from(self.bytes);
        let (low, high) = if self.signed {
            (-(1_i128 << (bits - 1)), 1 << (bits - 1))
        } else {
            (0, 1 << bits)
        };
        (low..high).contains(&number)
    }

    /// The words cut to the width of the type, as C++ casts.
    pub fn narrow(self, words: Vec<u64>) -> Data {
        match (self.bytes, self.signed) {
            (1, false) => Data::UInt8(words.into_iter().map(|word| word as u8).collect()),
            (2, false) => Data::UInt16(words.into_iter().map(|word| word as u16).collect()),
            (4, false) => Data::UInt32(words.into_iter().map(|word| word as u32).collect()),
            (_, false) => Data::UInt64(words),
            (1, true) => Data::Int8(words.into_iter().map(|word| word as i8).collect()),
            (2, true) => Data::Int16(words.into_iter().map(|word| word as i16).collect()),
            (4, true) => Data::Int32(words.into_iter().map(|word| word as i32).collect()),
            (_, true) => Data::Int64(words.into_iter().map(u64::cast_signed).collect()),
        }
    }
}

/// A value's numbers as words; a constant has one.
#[derive(Debug)]
pub(crate) struct Words<'a> {
    words: Cow<'a, [u64]>,
    constant: bool,
}

impl<'a> Words<'a> {
    /// The numbers of a value whose data are whole numbers of up to 64 bits: integers, dates, times, Enums.
    pub fn of(value: &'a Value<'_>) -> Result<Self, Failure> {
        let words = words(&value.column.data).ok_or_else(Failure::wrong_columns)?;
        Ok(Self {
            words,
            constant: value.constant,
        })
    }

    /// The one number of a constant.
    pub fn constant(&self) -> Option<u64> {
        if self.constant {
            self.words.first().copied()
        } else {
            None
        }
    }

    /// What the operation makes of each number.
    pub fn map(&self, rows: usize, operation: impl Fn(u64) -> u64) -> Vec<u64> {
        match self.constant() {
            Some(word) => vec![operation(word); rows],
            None => self.words.iter().map(|word| operation(*word)).collect(),
        }
    }

    /// What the operation makes of each pair of numbers.
    pub fn zip(&self, other: &Self, rows: usize, operation: impl Fn(u64, u64) -> u64) -> Vec<u64> {
        match (self.constant(), other.constant()) {
            (_, Some(right)) => self.map(rows, |left| operation(left, right)),
            (Some(left), None) => other.map(rows, |right| operation(left, right)),
            (None, None) => self
                .words
                .iter()
                .zip(other.words.iter())
                .map(|(left, right)| operation(*left, *right))
                .collect(),
        }
    }

    /// As `zip`, for an operation that can fail at a row.
    pub fn try_zip(
        &self,
        other: &Self,
        rows: usize,
        operation: impl Fn(usize, u64, u64) -> Result<u64, Failure>,
    ) -> Result<Vec<u64>, Failure> {
        (0..rows)
            .map(|row| operation(row, self.at(row)?, other.at(row)?))
            .collect()
    }

    /// The number of a row, where there is one.
    pub fn word(&self, row: usize) -> Option<u64> {
        self.words.get(if self.constant { 0 } else { row }).copied()
    }

    fn at(&self, row: usize) -> Result<u64, Failure> {
        self.word(row).ok_or_else(Failure::wrong_columns)
    }
}

/// One number as a sign-extended word; none for data that are no whole numbers of up to 64 bits.
pub(crate) fn word(data: &Data, place: usize) -> Option<u64> {
    let signed = |number: i64| number.cast_unsigned();
    match data {
        Data::UInt8(numbers) => numbers.get(place).map(|n| u64::from(*n)),
        Data::UInt16(numbers) => numbers.get(place).map(|n| u64::from(*n)),
        Data::UInt32(numbers) => numbers.get(place).map(|n| u64::from(*n)),
        Data::UInt64(numbers) => numbers.get(place).copied(),
        Data::Int8(numbers) => numbers.get(place).map(|n| signed(i64::from(*n))),
        Data::Int16(numbers) => numbers.get(place).map(|n| signed(i64::from(*n))),
        Data::Int32(numbers) => numbers.get(place).map(|n| signed(i64::from(*n))),
        Data::Int64(numbers) => numbers.get(place).map(|n| signed(*n)),
        _ => None,
    }
}

/// Data as sign-extended words; none for data that are no whole numbers of up to 64 bits.
fn words(data: &Data) -> Option<Cow<'_, [u64]>> {
    let signed = |number: i64| number.cast_unsigned();
    let words = match data {
        Data::UInt64(numbers) => return Some(Cow::Borrowed(numbers)),
        Data::UInt8(numbers) => numbers.iter().map(|n| u64::from(*n)).collect(),
        Data::UInt16(numbers) => numbers.iter().map(|n| u64::from(*n)).collect(),
        Data::UInt32(numbers) => numbers.iter().map(|n| u64::from(*n)).collect(),
        Data::Int8(numbers) => numbers.iter().map(|n| signed(i64::from(*n))).collect(),
        Data::Int16(numbers) => numbers.iter().map(|n| signed(i64::from(*n))).collect(),
        Data::Int32(numbers) => numbers.iter().map(|n| signed(i64::from(*n))).collect(),
        Data::Int64(numbers) => numbers.iter().map(|n| signed(*n)).collect(),
        _ => return None,
    };
    Some(Cow::Owned(words))
}

/// The unsigned sharding values of a column of integers.
///
/// ClickHouse takes a signed number of up to 4 bytes as UInt32 and one of 8 bytes as UInt64, both in two's
/// complement:
/// -1 is 4294967295 as Int8, Int16 and Int32, and 18446744073709551615 as Int64.
pub(crate) fn sharding_values(data: Cow<'_, Data>) -> Option<Vec<u64>> {
    let short = |number: i32| u64::from(number.cast_unsigned());
    Some(match data.as_ref() {
        Data::Int8(numbers) => numbers.iter().map(|n| short(i32::from(*n))).collect(),
        Data::Int16(numbers) => numbers.iter().map(|n| short(i32::from(*n))).collect(),
        Data::Int32(numbers) => numbers.iter().map(|n| short(*n)).collect(),
        _ => match data {
            // The result of a hash function is passed on, not copied.
            Cow::Owned(Data::UInt64(numbers)) => numbers,
            data => words(&data)?.into_owned(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(data: Data, expected: u64) {
        assert_eq!(sharding_values(Cow::Owned(data)), Some(vec![expected]));
    }

    #[test]
    fn minus_one_counts_by_its_width() {
        check(Data::Int8(vec![-1]), 4_294_967_295);
        check(Data::Int16(vec![-1]), 4_294_967_295);
        check(Data::Int32(vec![-1]), 4_294_967_295);
        check(Data::Int64(vec![-1]), 18_446_744_073_709_551_615);
    }

    #[test]
    fn unsigned_numbers_count_as_they_are() {
        check(Data::UInt8(vec![255]), 255);
        check(Data::UInt16(vec![65_535]), 65_535);
        check(Data::UInt32(vec![u32::MAX]), 4_294_967_295);
        check(Data::UInt64(vec![u64::MAX]), u64::MAX);
        assert_eq!(sharding_values(Cow::Owned(Data::Float64(vec![1.0]))), None);
    }

    #[test]
    fn bounds_follow_width_and_sign() {
        let int16 = Integer {
            bytes: 2,
            signed: true,
        };
        assert_eq!(int16.lowest().cast_signed(), -32_768);
        assert!(int16.holds(-32_768) && int16.holds(32_767) && !int16.holds(32_768) && !int16.holds(-32_769));
        let uint64 = Integer {
            bytes: 8,
            signed: false,
        };
        assert!(uint64.holds(u64::MAX.into()) && !uint64.holds(-1) && !uint64.holds(1 << 64));
    }
}
