//! cityHash64: strings by CityHash 1.0.2, numbers of up to 8 bytes by intHash64, joined by CityHash's
//! Hash128to64.

use types::{city_hash_64, city_hash_join};

use super::Function;
use super::hash::{HashFamily, function};
use super::int_hash::int_hash_64;

pub(super) const FUNCTIONS: &[Function] = &[function::<City>("cityHash64")];

struct City;

impl HashFamily for City {
    #[inline]
    fn of_bytes(text: &[u8]) -> u64 {
        city_hash_64(text)
    }

    /// A short number counts as UInt64 with zeros in front, a negative one too: Int8 -1 hashes as 255.
    #[inline]
    fn of_number<const N: usize>(number: [u8; N]) -> u64 {
        if N > 8 {
            return city_hash_64(&number);
        }
        let mut word = [0; 8];
        word[..N].copy_from_slice(&number);
        int_hash_64(u64::from_le_bytes(word))
    }

    #[inline]
    fn join(so_far: u64, next: u64) -> u64 {
        city_hash_join(so_far, next)
    }
}
