//! IPv4 and IPv6 addresses.

use std::net::Ipv6Addr;

use crate::error::code;
use crate::framing::ValueError;

const EXPECTED_IPV4: ValueError = ValueError {
    code: code::CANNOT_PARSE_IPV4,
    expected: "an IPv4 address of four numbers up to 255",
};
const EXPECTED_IPV6: ValueError = ValueError {
    code: code::CANNOT_PARSE_IPV6,
    expected: "an IPv6 address, or an IPv4 address",
};

/// Four decimal numbers; leading zeros are no octal, unlike in the standard library's reading.
pub(super) fn ipv4(text: &[u8]) -> Result<u32, ValueError> {
    let mut address = 0;
    let mut parts = 0;
    for part in text.split(|byte| *byte == b'.') {
        address = (address << 8) | octet(part).ok_or(EXPECTED_IPV4)?;
        parts += 1;
        if parts > 4 {
            return Err(EXPECTED_IPV4);
        }
    }
    if parts == 4 {
        Ok(address)
    } else {
        Err(EXPECTED_IPV4)
    }
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

/// The 16 bytes in network order; an IPv4 address becomes its mapped form.
pub(super) fn ipv6(text: &[u8]) -> Result<[u8; 16], ValueError> {
    if let Ok(address) = ipv4(text) {
        return Ok(std::net::Ipv4Addr::from(address).to_ipv6_mapped().octets());
    }
    let address: Option<Ipv6Addr> = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    address.map(|address| address.octets()).ok_or(EXPECTED_IPV6)
}
