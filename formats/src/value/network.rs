//! IPv4 and IPv6 addresses.

use crate::error::code;
use crate::framing::ValueError;

pub(super) fn ipv4(text: &[u8]) -> Result<u32, ValueError> {
    types::read::ipv4(text).ok_or(ValueError {
        code: code::CANNOT_PARSE_IPV4,
        expected: "an IPv4 address of four numbers up to 255",
    })
}

/// The 16 bytes in network order; an IPv4 address becomes its mapped form.
pub(super) fn ipv6(text: &[u8]) -> Result<[u8; 16], ValueError> {
    types::read::ipv6(text).ok_or(ValueError {
        code: code::CANNOT_PARSE_IPV6,
        expected: "an IPv6 address, or an IPv4 address",
    })
}
