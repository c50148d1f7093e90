//! Digests of strings: halfMD5, which is a hash of any number of arguments, MD5 and the SHA family, sipHash128Reference,
//! and the checksums CRC32, CRC32IEEE and CRC64.

use md5::{Digest, Md5};
use siphasher::sip128::{Hasher128, SipHasher24};
use std::hash::Hasher;
use types::{Bytes, Data, DataType};

use super::hash::{HashFamily, function};
use super::{Bound, Call, Function, strings};
use crate::error::Refusal;

pub(super) const FUNCTIONS: &[Function] = &[
    function::<HalfMd5>("halfMD5"),
    Function::new("MD5", |call| {
        bind(call, 16, |text, out| out.extend_from_slice(&Md5::digest(text)))
    }),
    Function::new("SHA1", |call| {
        bind(call, 20, |text, out| {
            out.extend_from_slice(&sha1::Sha1::digest(text));
        })
    }),
    Function::new("SHA224", |call| {
        bind(call, 28, |text, out| {
            out.extend_from_slice(&sha2::Sha224::digest(text));
        })
    }),
    Function::new("SHA256", |call| {
        bind(call, 32, |text, out| {
            out.extend_from_slice(&sha2::Sha256::digest(text));
        })
    }),
    Function::new("SHA384", |call| {
        bind(call, 48, |text, out| {
            out.extend_from_slice(&sha2::Sha384::digest(text));
        })
    }),
    Function::new("SHA512", |call| {
        bind(call, 64, |text, out| {
            out.extend_from_slice(&sha2::Sha512::digest(text));
        })
    }),
    Function::new("sipHash128Reference", |call| bind(call, 16, sip_128)),
    checksum("CRC32", |call| bind_32(call, crc_32)),
    checksum("CRC32IEEE", |call| bind_32(call, |text| crc_32_from(text, 0))),
    checksum("CRC64", bind_64),
];

struct HalfMd5;

impl HashFamily for HalfMd5 {
    fn of_bytes(text: &[u8]) -> u64 {
        let digest = Md5::digest(text);
        digest[..8]
            .iter()
            .fold(0, |word, byte| word << 8 | u64::from(*byte))
    }

    /// Two hashes are hashed as their sixteen bytes.
    fn join(so_far: u64, next: u64) -> u64 {
        Self::of_bytes(&(u128::from(so_far) | u128::from(next) << 64).to_le_bytes())
    }
}

const fn checksum(name: &'static str, bind: fn(&Call<'_>) -> Result<Bound, Refusal>) -> Function {
    Function {
        any_case: true,
        ..Function::new(name, bind)
    }
}

fn check(call: &Call<'_>) -> Result<(), Refusal> {
    match call.arguments[0].data_type {
        DataType::String | DataType::FixedString(_) => Ok(()),
        _ => Err(call.illegal(0)),
    }
}

fn bind(call: &Call<'_>, len: usize, digest: fn(&[u8], &mut Vec<u8>)) -> Result<Bound, Refusal> {
    check(call)?;
    Ok(Bound::new(DataType::FixedString(len), move |inputs| {
        let value = &inputs.values[0];
        let texts = strings(value)?;
        let mut out = Bytes::default();
        for row in 0..inputs.rows {
            digest(texts.get(value.place(row)), &mut out.bytes);
            out.ends.push(out.bytes.len());
        }
        Ok(Data::Bytes(out))
    }))
}

fn bind_32(call: &Call<'_>, checksum: fn(&[u8]) -> u32) -> Result<Bound, Refusal> {
    check(call)?;
    Ok(Bound::new(DataType::UInt32, move |inputs| {
        let value = &inputs.values[0];
        let texts = strings(value)?;
        let of_row = |row| checksum(texts.get(value.place(row)));
        Ok(Data::UInt32((0..inputs.rows).map(of_row).collect()))
    }))
}

fn bind_64(call: &Call<'_>) -> Result<Bound, Refusal> {
    check(call)?;
    Ok(Bound::new(DataType::UInt64, |inputs| {
        let value = &inputs.values[0];
        let texts = strings(value)?;
        let of_row = |row| crc_64(texts.get(value.place(row)));
        Ok(Data::UInt64((0..inputs.rows).map(of_row).collect()))
    }))
}

fn sip_128(text: &[u8], out: &mut Vec<u8>) {
    let mut hasher = SipHasher24::new();
    hasher.write(text);
    out.extend_from_slice(&hasher.finish128().as_bytes());
}

/// zlib's CRC-32.
fn crc_32(text: &[u8]) -> u32 {
    crc32fast::hash(text)
}

/// The reflected polynomial of IEEE 802.3 from any register, without the last inversion.
fn crc_32_from(text: &[u8], start: u32) -> u32 {
    text.iter().fold(start, |register, byte| {
        (0..8).fold(register ^ u32::from(*byte), |register, _| {
            let odd = (register & 1).wrapping_neg();
            (register >> 1) ^ (0xedb8_8320 & odd)
        })
    })
}

/// The reflected polynomial of ECMA-182, from an empty register.
fn crc_64(text: &[u8]) -> u64 {
    text.iter().fold(0, |register, byte| {
        (0..8).fold(register ^ u64::from(*byte), |register, _| {
            let odd = (register & 1).wrapping_neg();
            (register >> 1) ^ (0xc96c_5795_d787_0f42 & odd)
        })
    })
}
