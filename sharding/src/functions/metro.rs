//! metroHash64: strings by metrohash64_1 with the seed zero, numbers of up to 8 bytes by intHash64, joined by
//! CityHash's Hash128to64. The algorithm is by J. Andrew Rogers (MIT licence).

use super::Function;
use super::hash::{HashFamily, function, mixed_number};

pub(super) const FUNCTIONS: &[Function] = &[function::<Metro>("metroHash64")];

struct Metro;

impl HashFamily for Metro {
    #[inline]
    fn of_bytes(text: &[u8]) -> u64 {
        metro_hash(text)
    }

    #[inline]
    fn of_number<const N: usize>(number: [u8; N]) -> u64 {
        mixed_number(number, metro_hash)
    }
}

const K: [u64; 4] = [0xc83a_91e1, 0x8648_dbdb, 0x7bde_c03b, 0x2f58_70a5];

/// The first `len` bytes, at most eight, as a number.
#[inline]
fn word(text: &[u8], len: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes[..len].copy_from_slice(&text[..len]);
    u64::from_le_bytes(bytes)
}

fn metro_hash(text: &[u8]) -> u64 {
    let mut hash = K[2].wrapping_mul(K[0]).wrapping_add(text.len() as u64);
    let mut blocks = text.chunks_exact(32);
    if text.len() >= 32 {
        hash = hash.wrapping_add(of_blocks(&mut blocks, hash));
    }
    let mut rest = blocks.remainder();
    if rest.len() >= 16 {
        hash = hash.wrapping_add(of_pair(rest, hash));
        rest = &rest[16..];
    }
    for (len, turn) in [(8, 33), (4, 15), (2, 13), (1, 25)] {
        if rest.len() >= len {
            hash = hash.wrapping_add(word(rest, len).wrapping_mul(K[3]));
            hash ^= hash.rotate_right(turn).wrapping_mul(K[1]);
            rest = &rest[len..];
        }
    }
    hash ^= hash.rotate_right(33);
    hash = hash.wrapping_mul(K[0]);
    hash ^ hash.rotate_right(33)
}

fn of_blocks<'a>(blocks: &mut impl Iterator<Item = &'a [u8]>, hash: u64) -> u64 {
    let mut v = [hash; 4];
    for block in blocks {
        for lane in 0..4 {
            let sum = v[lane].wrapping_add(word(&block[8 * lane..], 8).wrapping_mul(K[lane]));
            v[lane] = sum.rotate_right(29).wrapping_add(v[(lane + 2) % 4]);
        }
    }
    let mixed = |a: u64, b: u64, c: u64, k: u64, last: u64| {
        let sum = a.wrapping_add(b).wrapping_mul(k).wrapping_add(c);
        sum.rotate_right(33).wrapping_mul(last)
    };
    v[2] ^= mixed(v[0], v[3], v[1], K[0], K[1]);
    v[3] ^= mixed(v[1], v[2], v[0], K[1], K[0]);
    v[0] ^= mixed(v[0], v[2], v[3], K[0], K[1]);
    v[1] ^= mixed(v[1], v[3], v[2], K[1], K[0]);
    v[0] ^ v[1]
}

fn of_pair(text: &[u8], hash: u64) -> u64 {
    let start = |place: usize| {
        let sum = hash.wrapping_add(word(&text[8 * place..], 8).wrapping_mul(K[place]));
        sum.rotate_right(33).wrapping_mul(K[place + 1])
    };
    let (low, high) = (start(0), start(1));
    let low = low ^ low.wrapping_mul(K[0]).rotate_right(35).wrapping_add(high);
    high ^ high.wrapping_mul(K[3]).rotate_right(35).wrapping_add(low)
}
