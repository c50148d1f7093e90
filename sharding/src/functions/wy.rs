//! wyHash64: strings by wyhash (final version 3, seed zero), numbers of up to 8 bytes by intHash64, joined by
//! hashing their sixteen bytes. The algorithm is by Wang Yi (public domain).

use super::Function;
use super::hash::{HashFamily, function, mixed_number};

pub(super) const FUNCTIONS: &[Function] = &[function::<Wy>("wyHash64")];

struct Wy;

impl HashFamily for Wy {
    #[inline]
    fn of_bytes(text: &[u8]) -> u64 {
        wy_hash(text)
    }

    #[inline]
    fn of_number<const N: usize>(number: [u8; N]) -> u64 {
        mixed_number(number, wy_hash)
    }

    /// Two hashes are hashed as their sixteen bytes.
    #[inline]
    fn join(so_far: u64, next: u64) -> u64 {
        wy_hash(&(u128::from(so_far) | u128::from(next) << 64).to_le_bytes())
    }
}

const SECRET: [u64; 4] = [
    0xa076_1d64_78bd_642f,
    0xe703_7ed1_a0b4_28db,
    0x8ebc_6af0_9c88_c6e3,
    0x5899_65cc_7537_4cc3,
];

/// The two halves of a product, without carries added.
#[inline]
fn mix(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    product as u64 ^ (product >> 64) as u64
}

#[inline]
fn word(text: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&text[at..at + 8]);
    u64::from_le_bytes(bytes)
}

#[inline]
fn half_word(text: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&text[at..at + 4]);
    u64::from(u32::from_le_bytes(bytes))
}

fn wy_hash(text: &[u8]) -> u64 {
    let len = text.len();
    let mut seed = SECRET[0];
    let (low, high) = match len {
        0 => (0, 0),
        1..=3 => {
            let [first, middle, last] = [text[0], text[len / 2], text[len - 1]].map(u64::from);
            (first << 16 | middle << 8 | last, 0)
        }
        4..=16 => {
            let step = (len >> 3) << 2;
            (
                half_word(text, 0) << 32 | half_word(text, step),
                half_word(text, len - 4) << 32 | half_word(text, len - 4 - step),
            )
        }
        _ => {
            seed = of_chunks(text, seed);
            (word(text, len - 16), word(text, len - 8))
        }
    };
    mix(SECRET[1] ^ len as u64, mix(low ^ SECRET[1], high ^ seed))
}

/// The seed after all but the last 1 to 16 bytes.
fn of_chunks(text: &[u8], mut seed: u64) -> u64 {
    let step = |text: &[u8], at: usize, secret: u64, seed: u64| {
        mix(word(text, at) ^ secret, word(text, at + 8) ^ seed)
    };
    let mut rest = text;
    if rest.len() > 48 {
        let (mut second, mut third) = (seed, seed);
        while rest.len() > 48 {
            seed = step(rest, 0, SECRET[1], seed);
            second = step(rest, 16, SECRET[2], second);
            third = step(rest, 32, SECRET[3], third);
            rest = &rest[48..];
        }
        seed ^= second ^ third;
    }
    while rest.len() > 16 {
        seed = step(rest, 0, SECRET[1], seed);
        rest = &rest[16..];
    }
    seed
}
