//! `Wide`: integers of up to 256 bits, for the types that `i128` cannot hold.

use std::cmp::Ordering;
use std::fmt;

/// Largest power of ten in a limb: text is read and written 19 digits at a time.
const LIMB_DIGITS: usize = 19;

/// A number between -(2^256 - 1) and 2^256 - 1, exact. Whether it fits its column's type is for the reader to
/// ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wide {
    /// Never set for zero.
    negative: bool,
    /// 64-bit limbs, the least significant first.
    magnitude: [u64; 4],
}

impl Wide {
    /// Reads decimal digits with an optional sign; `None` for anything else or above 256 bits.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let mut magnitude = [0; 4];
        for chunk in digits.as_bytes().chunks(LIMB_DIGITS) {
            let number = chunk
                .iter()
                .fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
            multiply_add(&mut magnitude, 10_u64.pow(chunk.len() as u32), number)?;
        }
        Some(Self::new(negative, magnitude))
    }

    /// Reads two's complement (signed) or plain (unsigned) little-endian bytes, as RowBinary holds them.
    pub fn from_le_bytes(bytes: [u8; 32], signed: bool) -> Self {
        let negative = signed && bytes[31] >= 0x80;
        let mut magnitude = limbs(bytes);
        if negative {
            negate(&mut magnitude);
        }
        Self::new(negative, magnitude)
    }

    /// Two's complement, little-endian; for an unsigned type the number has been checked not to be negative.
    pub fn to_le_bytes(self) -> [u8; 32] {
        let mut magnitude = self.magnitude;
        if self.negative {
            negate(&mut magnitude);
        }
        let mut bytes = [0; 32];
        for (to, limb) in bytes.chunks_exact_mut(8).zip(magnitude) {
            to.copy_from_slice(&limb.to_le_bytes());
        }
        bytes
    }

    /// Whether the number is one of a (un)signed integer type of that many bits.
    pub fn fits(self, bits: u32, signed: bool) -> bool {
        let used = self.bits();
        match (signed, self.negative) {
            (false, negative) => !negative && used <= bits,
            (true, false) => used < bits,
            (true, true) => used < bits || (used == bits && self.is_power_of_two()),
        }
    }

    fn new(negative: bool, magnitude: [u64; 4]) -> Self {
        Self {
            negative: negative && magnitude != [0; 4],
            magnitude,
        }
    }

    fn bits(self) -> u32 {
        let top = self.magnitude.iter().rposition(|limb| *limb != 0);
        top.map_or(0, |top| {
            top as u32 * 64 + 64 - self.magnitude[top].leading_zeros()
        })
    }

    fn is_power_of_two(self) -> bool {
        self.magnitude.iter().map(|limb| limb.count_ones()).sum::<u32>() == 1
    }
}

impl From<i128> for Wide {
    fn from(number: i128) -> Self {
        let magnitude = number.unsigned_abs();
        Self::new(number < 0, [magnitude as u64, (magnitude >> 64) as u64, 0, 0])
    }
}

impl Ord for Wide {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_size = self.magnitude.iter().rev().cmp(other.magnitude.iter().rev());
        match (self.negative, other.negative) {
            (false, false) => by_size,
            (true, true) => by_size.reverse(),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Wide {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Wide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut magnitude = self.magnitude;
        let mut chunks = Vec::new();
        while magnitude != [0; 4] || chunks.is_empty() {
            chunks.push(divide(&mut magnitude, 10_u64.pow(LIMB_DIGITS as u32)));
        }
        let sign = if self.negative { "-" } else { "" };
        write!(f, "{sign}{}", chunks.pop().unwrap_or(0))?;
        chunks.iter().rev().try_for_each(|chunk| write!(f, "{chunk:019}"))
    }
}

fn limbs(bytes: [u8; 32]) -> [u64; 4] {
    let mut limbs = [0; 4];
    for (limb, from) in limbs.iter_mut().zip(bytes.chunks_exact(8)) {
        *limb = from
            .iter()
            .rev()
            .fold(0, |limb, byte| limb << 8 | u64::from(*byte));
    }
    limbs
}

/// `number = number * factor + addend`; `None` when that takes more than 256 bits.
fn multiply_add(number: &mut [u64; 4], factor: u64, addend: u64) -> Option<()> {
    let mut carry = u128::from(addend);
    for limb in number {
        let product = u128::from(*limb) * u128::from(factor) + carry;
        *limb = product as u64;
        carry = product >> 64;
    }
    (carry == 0).then_some(())
}

/// Divides in place and returns the remainder.
fn divide(number: &mut [u64; 4], divisor: u64) -> u64 {
    let mut remainder = 0_u128;
    for limb in number.iter_mut().rev() {
        let dividend = remainder << 64 | u128::from(*limb);
        *limb = (dividend / u128::from(divisor)) as u64;
        remainder = dividend % u128::from(divisor);
    }
    remainder as u64
}

/// Two's complement negation.
fn negate(number: &mut [u64; 4]) {
    let mut carry = true;
    for limb in number {
        (*limb, carry) = (!*limb).overflowing_add(u64::from(carry));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UINT256_MAX: &str =
        "115792089237316195423570985008687907853269984665640564039457584007913129639935";
    const INT256_MIN: &str = "-57896044618658097711785492504343953926634992332820282019728792003956564819968";

    #[track_caller]
    fn number(text: &str) -> Wide {
        Wide::parse(text).unwrap()
    }

    #[test]
    fn the_ends_of_the_widest_types_are_read_written_and_fit_only_those() {
        assert_eq!(number(UINT256_MAX).to_string(), UINT256_MAX);
        assert_eq!(number(INT256_MIN).to_string(), INT256_MIN);
        assert!(number(UINT256_MAX).fits(256, false) && !number(UINT256_MAX).fits(256, true));
        assert!(number(INT256_MIN).fits(256, true) && !number(INT256_MIN).fits(256, false));
        assert_eq!(
            Wide::from_le_bytes(number(INT256_MIN).to_le_bytes(), true),
            number(INT256_MIN)
        );
        assert_eq!(Wide::parse(&format!("{UINT256_MAX}0")), None);
        assert_eq!(number("-0").to_string(), "0");
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "-", "+", "1a", " 1", "1.0", "--1"] {
            assert_eq!(Wide::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn wide_numbers_agree_with_i128_where_both_exist(a: i128, b: i128) {
            let (wide_a, wide_b) = (Wide::from(a), Wide::from(b));
            prop_assert_eq!(wide_a.cmp(&wide_b), a.cmp(&b));
            prop_assert_eq!(wide_a.to_string(), a.to_string());
            prop_assert_eq!(Wide::parse(&a.to_string()), Some(wide_a));
            prop_assert!(wide_a.fits(128, true));
            prop_assert_eq!(&wide_a.to_le_bytes()[..16], a.to_le_bytes());
        }

        #[test]
        fn text_and_bytes_round_trip(bytes: [u8; 32], signed: bool) {
            let wide = Wide::from_le_bytes(bytes, signed);
            prop_assert_eq!(wide.to_le_bytes(), bytes);
            prop_assert_eq!(Wide::parse(&wide.to_string()), Some(wide));
        }
    }
}
