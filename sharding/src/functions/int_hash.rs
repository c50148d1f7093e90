//! intHash32 and intHash64: fast mixing of one number, the salts being ClickHouse's.

use types::{Data, DataType};

use super::{Bound, Call, Function};
use crate::error::Refusal;
use crate::integers::{Integer, Words};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("intHash32", bind_32),
    Function::new("intHash64", bind_64),
];

/// intHash64 of a number as ClickHouse's UInt64; also what cityHash64 makes of numbers.
#[inline]
pub(super) fn int_hash_64(number: u64) -> u64 {
    const SALT: u64 = 0x4cf2_d2ba_ae6d_a887;
    let mut mixed = number ^ SALT;
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}

/// intHash32 of a number as ClickHouse's UInt64.
#[inline]
pub(super) fn int_hash_32(number: u64) -> u32 {
    const SALT: u64 = 0x75d9_543d_e018_bf45;
    let mut mixed = number ^ SALT;
    mixed = (!mixed).wrapping_add(mixed << 18);
    mixed ^= mixed.rotate_right(31);
    mixed = mixed.wrapping_mul(21);
    mixed ^= mixed.rotate_right(11);
    mixed = mixed.wrapping_add(mixed << 6);
    mixed ^= mixed.rotate_right(22);
    mixed as u32
}

fn bind_64(call: &Call<'_>) -> Result<Bound, Refusal> {
    check(call)?;
    Ok(Bound::new(DataType::UInt64, |inputs| {
        let words = Words::of(&inputs.values[0])?;
        Ok(Data::UInt64(words.map(inputs.rows, int_hash_64)))
    }))
}

fn bind_32(call: &Call<'_>) -> Result<Bound, Refusal> {
    check(call)?;
    Ok(Bound::new(DataType::UInt32, |inputs| {
        let words = Words::of(&inputs.values[0])?;
        let hashes = words.map(inputs.rows, |word| u64::from(int_hash_32(word)));
        Ok(Integer {
            bytes: 4,
            signed: false,
        }
        .narrow(hashes))
    }))
}

/// ClickHouse takes integers, IPv4 and the dates and times that are whole numbers of days or seconds.
fn check(call: &Call<'_>) -> Result<(), Refusal> {
    let data_type = call.arguments[0].data_type;
    let also = matches!(
        data_type,
        DataType::Date | DataType::Date32 | DataType::DateTime(_) | DataType::IPv4
    );
    if also || Integer::of(data_type).is_some() {
        Ok(())
    } else {
        Err(call.illegal(0))
    }
}
