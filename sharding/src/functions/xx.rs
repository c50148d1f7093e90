//! xxHash64: XXH64 with the seed zero, of strings and of the bytes of numbers, joined by CityHash's
//! Hash128to64.

use types::city_hash_join;
use xxhash_rust::xxh64::xxh64;

use super::Function;
use super::hash::{HashFamily, function};

pub(super) const FUNCTIONS: &[Function] = &[function::<Xx>("xxHash64")];

struct Xx;

impl HashFamily for Xx {
    #[inline]
    fn of_bytes(text: &[u8]) -> u64 {
        xxh64(text, 0)
    }

    #[inline]
    fn join(so_far: u64, next: u64) -> u64 {
        city_hash_join(so_far, next)
    }
}
