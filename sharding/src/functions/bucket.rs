//! Numbers to few buckets with few moves when their number changes: jumpConsistentHash (Lamping and Veach) and
//! kostikConsistentHash (Konstantin Oblakov).

use types::{Data, DataType};

use super::{Bound, Call, Function};
use crate::error::{KeyReason, Refusal};
use crate::integers::{Integer, Words};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("jumpConsistentHash", bind_jump).with_arguments(2, 2),
    Function::new("kostikConsistentHash", bind_kostik).with_arguments(2, 2),
    Function::new("yandexConsistentHash", bind_kostik).with_arguments(2, 2),
];

/// The number of buckets, a constant from 1 to the most.
fn buckets(call: &Call<'_>, most: u64) -> Result<u64, Refusal> {
    let integer = Integer::of(call.arguments[0].data_type).ok_or_else(|| call.illegal(0))?;
    let buckets = call.constant_number(1)?;
    if integer.bytes > 8 || buckets == 0 || buckets > most {
        return Err(call.refuse(KeyReason::Buckets {
            function: call.function.name,
            most,
        }));
    }
    Ok(buckets)
}

fn bind_jump(call: &Call<'_>) -> Result<Bound, Refusal> {
    let buckets = buckets(call, 0x7fff_ffff)?;
    Ok(Bound::new(DataType::Int32, move |inputs| {
        let words = Words::of(&inputs.values[0])?.map(inputs.rows, |word| jump(word, buckets));
        Ok(Data::Int32(
            words.into_iter().map(|bucket| bucket as i32).collect(),
        ))
    }))
}

fn bind_kostik(call: &Call<'_>) -> Result<Bound, Refusal> {
    let buckets = buckets(call, 32_768)?;
    Ok(Bound::new(DataType::UInt16, move |inputs| {
        let words = Words::of(&inputs.values[0])?.map(inputs.rows, |word| kostik(word, buckets));
        Ok(Data::UInt16(
            words.into_iter().map(|bucket| bucket as u16).collect(),
        ))
    }))
}

fn jump(mut key: u64, buckets: u64) -> u64 {
    let (mut bucket, mut next) = (0, 0);
    while next < buckets {
        bucket = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        let draw = ((key >> 33) + 1) as f64;
        next = ((bucket + 1) as f64 * (2_147_483_648_f64 / draw)) as u64;
    }
    bucket
}

/// A number's four 16-bit parts decide: the third says in which power of two the bucket lies and which of the
/// first two says where; between two powers all four move numbers smoothly.
fn kostik(number: u64, buckets: u64) -> u64 {
    if buckets == 1 {
        return 0;
    }
    let parts = [0, 16, 32, 48].map(|shift| (number >> shift) & 0xffff);
    let bits = 64 - (buckets - 1).leading_zeros();
    let large = in_power_of_two(parts, bits);
    if large < buckets {
        return large;
    }
    let moved = free_bits(parts, bits) % (large * (large + 1));
    let between = (moved >> bits) + (1 << (bits - 1));
    if between < buckets {
        return between;
    }
    in_power_of_two(parts, bits - 1)
}

fn in_power_of_two([first, second, third, _]: [u64; 4], bits: u32) -> u64 {
    let selector = third & ((1 << bits) - 1);
    if selector < 2 {
        return selector;
    }
    let top = 1 << (63 - selector.leading_zeros());
    let block = if selector.count_ones().is_multiple_of(2) {
        first
    } else {
        second
    };
    top + (block & (top - 1))
}

/// The bits of all parts that the power of two has not looked at.
fn free_bits([first, second, third, fourth]: [u64; 4], bits: u32) -> u64 {
    let shift = 16 - bits;
    let free = fourth << shift | third >> bits;
    let free = free << (shift + 1) | second >> (bits - 1);
    free << (shift + 1) | first >> (bits - 1)
}
