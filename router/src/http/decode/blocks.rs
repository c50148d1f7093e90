//! ClickHouse's own compressed blocks, as `decompress=1` announces them.
//!
//! ```text
//! 16 bytes CityHash128 of all behind it · 1 byte method · UInt32 compressed size with these 9 bytes · UInt32 raw size · data
//! ```
//!
//! `spool::frames` is the same layout for Weir's own files, where one method and larger rows are allowed.

use types::city_hash_128;

use super::member::{Codec, Head, Pending, Progress, u32_le};
use super::{Broken, MEMBER_BYTES_MAX, code};

const CHECKSUM_BYTES: usize = 16;
/// Method and sizes: the checksum and the compressed size count them.
const SIZES_BYTES: usize = 9;
const HEAD_BYTES: usize = CHECKSUM_BYTES + SIZES_BYTES;

const METHOD_NONE: u8 = 0x02;
const METHOD_LZ4: u8 = 0x82;
const METHOD_ZSTD: u8 = 0x90;

/// Other methods are for columns of a known type or for disks; no client compresses a body with them.
const OTHER_METHODS: &[(u8, &str)] = &[
    (0x91, "Multiple"),
    (0x92, "Delta"),
    (0x93, "T64"),
    (0x94, "DoubleDelta"),
    (0x95, "Gorilla"),
    (0x96, "AES_128_GCM_SIV"),
    (0x97, "AES_256_GCM_SIV"),
    (0x98, "FPC"),
    (0x99, "DEFLATE_QPL"),
    (0x9a, "GCD"),
    (0x9b, "ZSTD_QAT"),
];

/// The blocks of a body.
#[derive(Default)]
pub(super) struct Blocks {
    method: u8,
    /// Compressed bytes, with method and sizes.
    compressed: usize,
    raw: usize,
    pending: Pending,
    is_decoded: bool,
}

impl Codec for Blocks {
    fn name(&self) -> &'static str {
        "decompress=1"
    }

    fn member(&self) -> &'static str {
        "a compressed block"
    }

    fn head(&mut self, input: &[u8]) -> Result<Option<Head>, Broken> {
        let (Some(compressed), Some(raw)) = (
            u32_le(input, CHECKSUM_BYTES + 1),
            u32_le(input, CHECKSUM_BYTES + 5),
        ) else {
            return Ok(None);
        };
        self.method = known_method(input[CHECKSUM_BYTES])?;
        (self.compressed, self.raw) = (compressed as usize, raw as usize);
        if self.compressed < SIZES_BYTES {
            return Err(Broken::new(
                code::CANNOT_DECOMPRESS,
                format!("a block claims {compressed} compressed bytes, fewer than its own head"),
            ));
        }
        let memory = self.compressed.saturating_add(self.raw);
        if memory > MEMBER_BYTES_MAX - (64 << 10) {
            return Err(Broken::new(
                code::TOO_LARGE_SIZE_COMPRESSED,
                format!(
                    "a block claims {compressed} compressed and {raw} raw bytes, the limit for both is {MEMBER_BYTES_MAX}: send \
                     smaller blocks (ClickHouse's own have 1 MiB)"
                ),
            ));
        }
        Ok(Some(Head { memory, skip: 0 }))
    }

    fn begin(&mut self) -> Result<(), Broken> {
        self.is_decoded = false;
        Ok(())
    }

    fn decode(&mut self, input: &[u8], output: &mut [u8], _ended: bool) -> Result<Progress, Broken> {
        let mut progress = Progress::default();
        if !self.is_decoded {
            let Some(block) = input.get(..CHECKSUM_BYTES + self.compressed) else {
                return Ok(progress);
            };
            let raw = self.open(block)?;
            self.pending.fill(raw);
            (self.is_decoded, progress.consumed) = (true, block.len());
        }
        progress.produced = self.pending.give(output);
        progress.ended = self.pending.is_empty();
        Ok(progress)
    }
}

impl Blocks {
    fn open(&self, block: &[u8]) -> Result<Vec<u8>, Broken> {
        let (checksum, rest) = block.split_at(CHECKSUM_BYTES);
        let (low, high) = city_hash_128(rest);
        if checksum != [low.to_le_bytes(), high.to_le_bytes()].concat() {
            return Err(Broken::new(
                code::CHECKSUM_DOESNT_MATCH,
                "checksum doesn't match: corrupted data in a compressed block",
            ));
        }
        let data = &block[HEAD_BYTES..];
        let mut raw = vec![0; self.raw];
        let written = match self.method {
            METHOD_LZ4 => lz4_flex::block::decompress_into(data, &mut raw).map_err(|error| error.to_string()),
            METHOD_ZSTD => {
                zstd_safe::decompress(&mut raw[..], data).map_err(|e| zstd_safe::get_error_name(e).to_owned())
            }
            _ if data.len() == raw.len() => {
                raw.copy_from_slice(data);
                Ok(raw.len())
            }
            _ => Ok(data.len()),
        };
        match written {
            Ok(written) if written == self.raw => Ok(raw),
            Ok(written) => Err(cannot(format!(
                "a block gives {written} bytes instead of {}",
                self.raw
            ))),
            Err(why) => Err(cannot(format!("a block does not decompress ({why})"))),
        }
    }
}

fn cannot(why: String) -> Broken {
    Broken::new(code::CANNOT_DECOMPRESS, why)
}

fn known_method(method: u8) -> Result<u8, Broken> {
    if [METHOD_NONE, METHOD_LZ4, METHOD_ZSTD].contains(&method) {
        return Ok(method);
    }
    let name = OTHER_METHODS.iter().find(|(byte, _)| *byte == method);
    let why = match name {
        Some((_, name)) => format!("a block is compressed with {name}: bodies may use LZ4, ZSTD or NONE"),
        None => format!(
            "what follows is no compressed block, or one of unknown codec family code {method}: decompress=1 announces blocks \
             of ClickHouse's own format"
        ),
    };
    Err(Broken::new(code::UNKNOWN_CODEC, why))
}
