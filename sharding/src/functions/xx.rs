//! xxHash32, xxHash64 and xxh3: with the seed zero, of strings and of the bytes of numbers.

use xxhash_rust::xxh3::xxh3_64;
use xxhash_rust::xxh32::xxh32;
use xxhash_rust::xxh64::xxh64;

use super::Function;
use super::hash::{HashFamily, function};
use super::int_hash::int_hash_32;

pub(super) const FUNCTIONS: &[Function] = &[
    function::<Xx32>("xxHash32"),
    function::<Xx64>("xxHash64"),
    function::<Xx3>("xxh3"),
];

struct Xx32;

impl HashFamily for Xx32 {
    const IS_SHORT: bool = true;

    #[inline]
    fn of_bytes(text: &[u8]) -> u64 {
        u64::from(xxh32(text, 0))
    }

    #[inline]
    fn join(so_far: u64, next: u64) -> u64 {
        u64::from(int_hash_32(so_far)) ^ next
    }
}

struct Xx64;

impl HashFamily for Xx64 {
    #[inline]
    fn of_bytes(text: &[u8]) -> u64 {
        xxh64(text, 0)
    }
}

struct Xx3;

impl HashFamily for Xx3 {
    #[inline]
    fn of_bytes(text: &[u8]) -> u64 {
        xxh3_64(text)
    }
}
