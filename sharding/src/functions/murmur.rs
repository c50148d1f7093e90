//! The MurmurHash family, by Austin Appleby (public domain): of strings and of the bytes of numbers.
//!
//! Two hashes are joined by mixing the first with intHash and adding the second without carries.

use types::{Bytes, Data, DataType};

use super::hash::{HashFamily, function};
use super::int_hash::{int_hash_32, int_hash_64};
use super::{Bound, Call, Function, strings};
use crate::error::Refusal;

pub(super) const FUNCTIONS: &[Function] = &[
    function::<Murmur2Short>("murmurHash2_32"),
    function::<Murmur2>("murmurHash2_64"),
    function::<Gcc>("gccMurmurHash"),
    function::<Murmur3Short>("murmurHash3_32"),
    function::<Murmur3>("murmurHash3_64"),
    function::<Kafka>("kafkaMurmurHash"),
    Function::new("murmurHash3_128", bind_128),
];

macro_rules! family {
    ($family:ident, $text:ident => $hash:expr) => {
        struct $family;

        impl HashFamily for $family {
            #[inline]
            fn of_bytes($text: &[u8]) -> u64 {
                $hash
            }

            #[inline]
            fn join(so_far: u64, next: u64) -> u64 {
                int_hash_64(so_far) ^ next
            }
        }
    };
    (short $family:ident, $text:ident => $hash:expr) => {
        struct $family;

        impl HashFamily for $family {
            const IS_SHORT: bool = true;

            #[inline]
            fn of_bytes($text: &[u8]) -> u64 {
                u64::from($hash)
            }

            #[inline]
            fn join(so_far: u64, next: u64) -> u64 {
                u64::from(int_hash_32(so_far)) ^ next
            }
        }
    };
}

family!(short Murmur2Short, text => murmur_2_32(text, 0));
// Kafka's partitioner has its own seed and leaves the sign out.
family!(short Kafka, text => murmur_2_32(text, 0x9747_b28c) & 0x7fff_ffff);
family!(Murmur2, text => murmur_2_64(text, 0));
// The seed of libstdc++'s std::hash.
family!(Gcc, text => murmur_2_64(text, 0xc70f_6907));
family!(short Murmur3Short, text => murmur_3_32(text));
family!(Murmur3, text => {
    let (low, high) = murmur_3_128(text);
    low ^ high
});

/// murmurHash3_128 of one string, as 16 bytes.
fn bind_128(call: &Call<'_>) -> Result<Bound, Refusal> {
    if !matches!(
        call.arguments[0].data_type,
        DataType::String | DataType::FixedString(_)
    ) {
        return Err(call.illegal(0));
    }
    Ok(Bound::new(DataType::FixedString(16), |inputs| {
        let value = &inputs.values[0];
        let texts = strings(value)?;
        let mut hashes = Bytes::default();
        for row in 0..inputs.rows {
            let (low, high) = murmur_3_128(texts.get(value.place(row)));
            hashes.push(&(u128::from(low) | u128::from(high) << 64).to_le_bytes());
        }
        Ok(Data::Bytes(hashes))
    }))
}

/// The first bytes of a text as a little-endian number; what is missing is zero.
#[inline]
fn word(text: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let len = text.len().min(8);
    bytes[..len].copy_from_slice(&text[..len]);
    u64::from_le_bytes(bytes)
}

fn murmur_2_32(text: &[u8], seed: u32) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = seed ^ text.len() as u32;
    let mut words = text.chunks_exact(4);
    for chunk in &mut words {
        let mut mixed = (word(chunk) as u32).wrapping_mul(M);
        mixed = (mixed ^ (mixed >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ mixed;
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        hash = (hash ^ word(rest) as u32).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

fn murmur_2_64(text: &[u8], seed: u64) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    let mut hash = seed ^ (text.len() as u64).wrapping_mul(M);
    let mut words = text.chunks_exact(8);
    for chunk in &mut words {
        let mut mixed = word(chunk).wrapping_mul(M);
        mixed = (mixed ^ (mixed >> 47)).wrapping_mul(M);
        hash = (hash ^ mixed).wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        hash = (hash ^ word(rest)).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 47)).wrapping_mul(M);
    hash ^ (hash >> 47)
}

fn murmur_3_32(text: &[u8]) -> u32 {
    let mix = |word: u64| {
        (word as u32)
            .wrapping_mul(0xcc9e_2d51)
            .rotate_left(15)
            .wrapping_mul(0x1b87_3593)
    };
    let mut hash = 0_u32;
    let mut words = text.chunks_exact(4);
    for chunk in &mut words {
        hash = (hash ^ mix(word(chunk))).rotate_left(13);
        hash = hash.wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        hash ^= mix(word(rest));
    }
    hash ^= text.len() as u32;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

/// MurmurHash3_x64_128 with the seed zero, as its two words.
pub(super) fn murmur_3_128(text: &[u8]) -> (u64, u64) {
    const C1: u64 = 0x87c3_7b91_1142_53d5;
    const C2: u64 = 0x4cf5_ad43_2745_937f;
    let first = |word: u64| word.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2);
    let second = |word: u64| word.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1);
    let (mut low, mut high) = (0_u64, 0_u64);
    let mut pairs = text.chunks_exact(16);
    for pair in &mut pairs {
        low = (low ^ first(word(pair))).rotate_left(27).wrapping_add(high);
        low = low.wrapping_mul(5).wrapping_add(0x52dc_e729);
        high = (high ^ second(word(&pair[8..])))
            .rotate_left(31)
            .wrapping_add(low);
        high = high.wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    let rest = pairs.remainder();
    if rest.len() > 8 {
        high ^= second(word(&rest[8..]));
    }
    if !rest.is_empty() {
        low ^= first(word(rest));
    }
    let len = text.len() as u64;
    (low, high) = (low ^ len, high ^ len);
    low = low.wrapping_add(high);
    high = high.wrapping_add(low);
    (low, high) = (scattered(low), scattered(high));
    low = low.wrapping_add(high);
    (low, high.wrapping_add(low))
}

fn scattered(mut word: u64) -> u64 {
    word = (word ^ (word >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    word = (word ^ (word >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ (word >> 33)
}
