//! The texts of values that more than one room reads: Decimals, wide numbers, addresses.

use ethnum::I256;

/// Why a text is no Decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecimalError {
    /// It is not `[+-]digits[.digits][e[+-]digits]`.
    Syntax,
    /// It has more digits than the type.
    TooBig,
}

/// A Decimal's number: `[+-]digits[.digits][e[+-]digits]` times ten to the scale; digits behind the scale are cut
/// off.
pub fn decimal(text: &[u8], precision: u8, scale: u8) -> Result<I256, DecimalError> {
    let (negative, digits) = signed(text);
    let (digits, exponent) = without_exponent(digits).ok_or(DecimalError::Syntax)?;
    let point = digits
        .iter()
        .position(|byte| *byte == b'.')
        .unwrap_or(digits.len());
    let (whole, fraction) = (&digits[..point], digits.get(point + 1..).unwrap_or(b""));
    let all_digits = whole.iter().chain(fraction).all(u8::is_ascii_digit);
    if !all_digits || whole.is_empty() && fraction.is_empty() {
        return Err(DecimalError::Syntax);
    }
    let zeros = whole
        .iter()
        .chain(fraction)
        .take_while(|digit| **digit == b'0')
        .count();
    let digits = whole.iter().chain(fraction).skip(zeros);
    if zeros == whole.len() + fraction.len() {
        return Ok(I256::ZERO);
    }
    // How many digits stand before the point, with the exponent: at most as many as the type has there.
    let places = whole.len() as i64 - zeros as i64 + exponent;
    if places > i64::from(precision.saturating_sub(scale)) {
        return Err(DecimalError::TooBig);
    }
    let wanted = usize::try_from(places + i64::from(scale)).unwrap_or(0);
    let digits = digits.copied().chain(std::iter::repeat(b'0')).take(wanted);
    // At most 76 digits, which fit.
    let number = digits.fold(I256::ZERO, |number, digit| number * 10 + I256::from(digit - b'0'));
    Ok(if negative { -number } else { number })
}

/// The digits before an exponent, and the exponent; an absurd one is none.
fn without_exponent(text: &[u8]) -> Option<(&[u8], i64)> {
    let Some(place) = text.iter().position(|byte| matches!(byte, b'e' | b'E')) else {
        return Some((text, 0));
    };
    let (negative, digits) = signed(&text[place + 1..]);
    if digits.is_empty() || digits.len() > 4 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let exponent = digits
        .iter()
        .fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
    Some((&text[..place], if negative { -exponent } else { exponent }))
}

/// A whole number modulo 2^256, in two's complement: `[+-]digits`.
pub fn whole(text: &[u8]) -> Option<I256> {
    let (negative, digits) = signed(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |number: I256, digit: &u8| {
        number
            .wrapping_mul(I256::new(10))
            .wrapping_add(I256::from(digit - b'0'))
    };
    let number = digits.iter().fold(I256::ZERO, add);
    Some(if negative { number.wrapping_neg() } else { number })
}

/// A sign, and what stands behind it.
fn signed(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    }
}

/// An IPv4 address: four decimal numbers; leading zeros are no octal, unlike in the standard library's reading.
pub fn ipv4(text: &[u8]) -> Option<u32> {
    let mut address = 0;
    let mut parts = 0;
    for part in text.split(|byte| *byte == b'.') {
        address = (address << 8) | octet(part)?;
        parts += 1;
        if parts > 4 {
            return None;
        }
    }
    (parts == 4).then_some(address)
}

fn octet(part: &[u8]) -> Option<u32> {
    if part.is_empty() || part.len() > 3 || !part.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = part
        .iter()
        .fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    (value <= 255).then_some(value)
}

/// An IPv6 address's 16 bytes in network order; an IPv4 address becomes its mapped form.
pub fn ipv6(text: &[u8]) -> Option<[u8; 16]> {
    if let Some(address) = ipv4(text) {
        return Some(std::net::Ipv4Addr::from(address).to_ipv6_mapped().octets());
    }
    let address: Option<std::net::Ipv6Addr> =
        std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    address.map(|address| address.octets())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<i64, DecimalError>) {
        assert_eq!(decimal(text.as_bytes(), 9, 2), expected.map(I256::from), "{text}");
    }

    #[test]
    fn decimals_are_digits_with_a_point() {
        check("1.239", Ok(123));
        check("-1.2", Ok(-120));
        check("+5.", Ok(500));
        check(".5", Ok(50));
        check("0000000012", Ok(1200));
        check("9999999.99", Ok(999_999_999));
        check("12345678.1", Err(DecimalError::TooBig));
        check("1e2", Ok(10_000));
        check("15e-1", Ok(150));
        check("1e-9", Ok(0));
        check("0e9", Ok(0));
        check("1e9", Err(DecimalError::TooBig));
        check("1e", Err(DecimalError::Syntax));
        check("1e99999", Err(DecimalError::Syntax));
        check("-", Err(DecimalError::Syntax));
        check("", Err(DecimalError::Syntax));
        check("1.2.3", Err(DecimalError::Syntax));
    }

    #[test]
    fn wide_numbers_wrap_around() {
        assert_eq!(whole(b"-1"), Some(I256::MINUS_ONE));
        assert_eq!(
            whole(b"115792089237316195423570985008687907853269984665640564039457584007913129639936"),
            Some(I256::ZERO)
        );
        assert_eq!(whole(b"1x"), None);
        assert_eq!(whole(b"-"), None);
    }
}
