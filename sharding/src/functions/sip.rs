//! sipHash64: SipHash-2-4 with the key zero, of strings and of the bytes of numbers; two hashes are joined by
//! hashing their 16 bytes.

use siphasher::sip::SipHasher24;

use super::Function;
use super::hash::{HashFamily, function};

pub(super) const FUNCTIONS: &[Function] = &[function::<Sip>("sipHash64")];

struct Sip;

impl HashFamily for Sip {
    #[inline]
    fn of_bytes(text: &[u8]) -> u64 {
        SipHasher24::new().hash(text)
    }

    #[inline]
    fn join(so_far: u64, next: u64) -> u64 {
        let mut both = [0; 16];
        both[..8].copy_from_slice(&so_far.to_le_bytes());
        both[8..].copy_from_slice(&next.to_le_bytes());
        Self::of_bytes(&both)
    }
}
