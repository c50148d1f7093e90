//! ClickHouse's compressed frames: what a `.bin` holds and what a shard takes under `decompress=1`.
//!
//! ```text
//! offset  bytes  field
//!      0     16  CityHash128 (version 1.0.2) of everything behind it in the frame, low half first
//!     16      1  method: 0x82 LZ4 block
//!     17      4  compressed size: the LZ4 block and these 9 bytes of method and sizes, little endian
//!     21      4  raw size, little endian
//!     25      …  the LZ4 block
//! ```
//!
//! Frames stand end to end; a body may be cut between any two of them without a server noticing, which is why
//! batches are sent inside a self-terminating envelope. A frame here holds whole rows.
//!
//! # Limits
//!
//! A frame holds 1 to [`RAW_BYTES_MAX`] raw bytes. A frame that claims more, or a block that does not come
//! out at the size that its header says, is refused before memory is taken for it.

use std::io::{self, Read};

use types::city_hash_128;

/// Bytes of the checksum before the header.
const CHECKSUM_BYTES: usize = 16;
/// Bytes of method and sizes, which the compressed size counts.
const SIZES_BYTES: usize = 9;
/// Bytes of a frame before its LZ4 block.
pub const HEADER_BYTES: usize = CHECKSUM_BYTES + SIZES_BYTES;
/// ClickHouse's byte for an LZ4 block.
const METHOD_LZ4: u8 = 0x82;

/// Raw bytes that frames are filled to. LZ4's table and window stay in the cache up to here, it compresses
/// fastest (measured: 64 KiB); ClickHouse's own writers use up to 1 MiB.
pub const RAW_BYTES_TARGET: usize = 64 << 10;
/// Raw bytes that a frame can hold: one row of `max_row_bytes` (64 MiB) with its terminator and the columns
/// that Weir adds.
pub const RAW_BYTES_MAX: usize = 65 << 20;
/// Bytes that a frame can have: LZ4 grows bytes that it cannot compress by one in 255.
pub const FRAME_BYTES_MAX: usize = HEADER_BYTES + RAW_BYTES_MAX + RAW_BYTES_MAX / 255 + 64;

/// Why bytes are not a frame, or cannot become one. Trying again gives the same answer, but for
/// [`FrameError::Io`].
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The rows are too many bytes, or none.
    #[error("{bytes} raw bytes do not fit a compressed frame (1 to {RAW_BYTES_MAX})")]
    RawSize {
        /// Their bytes.
        bytes: usize,
    },
    /// The bytes end inside a frame.
    #[error("frame at offset {offset} is cut short: {have} of {want} bytes")]
    CutShort {
        /// Where the frame begins.
        offset: u64,
        /// Bytes that are there.
        have: usize,
        /// Bytes that its header announces, or the header's own.
        want: usize,
    },
    /// The header names a method that is not LZ4.
    #[error("frame at offset {offset} has compression method 0x{method:02x}, known is 0x82 (LZ4)")]
    Method {
        /// Where the frame begins.
        offset: u64,
        /// The method's byte.
        method: u8,
    },
    /// The header's sizes are impossible.
    #[error(
        "frame at offset {offset} claims {compressed} compressed and {raw} raw bytes, limit {RAW_BYTES_MAX}"
    )]
    Sizes {
        /// Where the frame begins.
        offset: u64,
        /// The compressed size, with its 9 bytes of header.
        compressed: u32,
        /// The raw size.
        raw: u32,
    },
    /// The bytes were changed since they were written.
    #[error("frame at offset {offset} has checksum {found:032x}, its header says {expected:032x}")]
    Checksum {
        /// Where the frame begins.
        offset: u64,
        /// What the header says.
        expected: u128,
        /// What the bytes give.
        found: u128,
    },
    /// The checksum holds, but the block is not LZ4 of the announced size: whoever wrote it was wrong.
    #[error("frame at offset {offset} does not decompress: {why}")]
    Block {
        /// Where the frame begins.
        offset: u64,
        /// What is wrong.
        why: String,
    },
    /// The file could not be read.
    #[error("reading the frame at offset {offset}: {source}")]
    Io {
        /// Where the frame begins.
        offset: u64,
        /// The cause.
        source: io::Error,
    },
}

/// Appends `raw` (whole rows, 1 to [`RAW_BYTES_MAX`] bytes) to `out` as one frame. Returns the frame's bytes.
pub fn compress(raw: &[u8], out: &mut Vec<u8>) -> Result<u32, FrameError> {
    if raw.is_empty() || raw.len() > RAW_BYTES_MAX {
        return Err(FrameError::RawSize { bytes: raw.len() });
    }
    let start = out.len();
    let block = start + HEADER_BYTES;
    out.resize(block + lz4_flex::block::get_maximum_output_size(raw.len()), 0);
    let block_bytes =
        lz4_flex::block::compress_into(raw, &mut out[block..]).map_err(|error| FrameError::Block {
            offset: 0,
            why: error.to_string(),
        })?;
    out.truncate(block + block_bytes);
    out[start + 16] = METHOD_LZ4;
    out[start + 17..start + 21].copy_from_slice(&to_u32(SIZES_BYTES + block_bytes).to_le_bytes());
    out[start + 21..start + 25].copy_from_slice(&to_u32(raw.len()).to_le_bytes());
    let checksum = checksum(&out[start + CHECKSUM_BYTES..]);
    out[start..start + CHECKSUM_BYTES].copy_from_slice(&checksum.to_le_bytes());
    Ok(to_u32(HEADER_BYTES + block_bytes))
}

/// Appends the rows of exactly one whole frame to `raw`.
pub fn decompress(frame: &[u8], raw: &mut Vec<u8>) -> Result<(), FrameError> {
    decompress_at(0, frame, raw)
}

/// What a frame's first [`HEADER_BYTES`] say of it, within the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    checksum: u128,
    /// Bytes of the whole frame.
    pub frame_bytes: usize,
    /// Bytes that it decompresses to.
    pub raw_bytes: usize,
}

impl FrameHeader {
    /// Reads a header; `offset` is where the frame begins, for the error.
    pub fn parse(bytes: &[u8; HEADER_BYTES], offset: u64) -> Result<FrameHeader, FrameError> {
        let method = bytes[16];
        if method != METHOD_LZ4 {
            return Err(FrameError::Method { offset, method });
        }
        let compressed = u32::from_le_bytes([bytes[17], bytes[18], bytes[19], bytes[20]]);
        let raw = u32::from_le_bytes([bytes[21], bytes[22], bytes[23], bytes[24]]);
        let frame_bytes = CHECKSUM_BYTES + compressed as usize;
        let raw_bytes = raw as usize;
        let possible = frame_bytes > HEADER_BYTES && frame_bytes <= FRAME_BYTES_MAX;
        if !possible || raw_bytes == 0 || raw_bytes > RAW_BYTES_MAX {
            return Err(FrameError::Sizes {
                offset,
                compressed,
                raw,
            });
        }
        let mut checksum = [0; CHECKSUM_BYTES];
        checksum.copy_from_slice(&bytes[..CHECKSUM_BYTES]);
        Ok(FrameHeader {
            checksum: u128::from_le_bytes(checksum),
            frame_bytes,
            raw_bytes,
        })
    }

    fn check(&self, offset: u64, frame: &[u8]) -> Result<(), FrameError> {
        match checksum(&frame[CHECKSUM_BYTES..]) {
            found if found == self.checksum => Ok(()),
            found => Err(FrameError::Checksum {
                offset,
                expected: self.checksum,
                found,
            }),
        }
    }
}

/// Reads frame after frame, each checked before its rows are given out.
#[derive(Debug)]
pub struct FrameReader<R> {
    input: R,
    offset: u64,
    frame: Vec<u8>,
}

impl<R: Read> FrameReader<R> {
    /// Reads from `input`, whose first byte lies at `offset` of its file: errors name offsets of the file.
    pub fn new(input: R, offset: u64) -> FrameReader<R> {
        FrameReader {
            input,
            offset,
            frame: Vec::new(),
        }
    }

    /// Offset of the next frame.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Replaces `raw` with the rows of the next frame and returns the frame as it stands in the file; `None`
    /// at the end.
    pub fn next_frame(&mut self, raw: &mut Vec<u8>) -> Result<Option<&[u8]>, FrameError> {
        raw.clear();
        let Some(header) = self.read_header()? else {
            return Ok(None);
        };
        self.read_block(&header)?;
        decompress_at(self.offset, &self.frame, raw)?;
        self.offset += self.frame.len() as u64;
        Ok(Some(&self.frame))
    }

    /// The next frame as it stands in the file, its checksum checked, not decompressed; `None` at the end.
    pub fn next_unopened(&mut self) -> Result<Option<(FrameHeader, &[u8])>, FrameError> {
        let Some(header) = self.read_header()? else {
            return Ok(None);
        };
        self.read_block(&header)?;
        header.check(self.offset, &self.frame)?;
        self.offset += self.frame.len() as u64;
        Ok(Some((header, &self.frame)))
    }

    fn read_header(&mut self) -> Result<Option<FrameHeader>, FrameError> {
        let mut bytes = [0; HEADER_BYTES];
        let have = read_full(&mut self.input, &mut bytes).map_err(|source| self.io(source))?;
        match have {
            0 => Ok(None),
            HEADER_BYTES => {
                self.frame.clear();
                self.frame.extend_from_slice(&bytes);
                FrameHeader::parse(&bytes, self.offset).map(Some)
            }
            have => Err(FrameError::CutShort {
                offset: self.offset,
                have,
                want: HEADER_BYTES,
            }),
        }
    }

    /// Takes memory only for bytes that are there: a header may claim 65 MiB in a file of 30 bytes.
    fn read_block(&mut self, header: &FrameHeader) -> Result<(), FrameError> {
        let block_bytes = (header.frame_bytes - HEADER_BYTES) as u64;
        let read = self.input.by_ref().take(block_bytes).read_to_end(&mut self.frame);
        read.map_err(|source| self.io(source))?;
        if self.frame.len() < header.frame_bytes {
            let have = self.frame.len();
            return Err(FrameError::CutShort {
                offset: self.offset,
                have,
                want: header.frame_bytes,
            });
        }
        Ok(())
    }

    fn io(&self, source: io::Error) -> FrameError {
        FrameError::Io {
            offset: self.offset,
            source,
        }
    }
}

fn decompress_at(offset: u64, frame: &[u8], raw: &mut Vec<u8>) -> Result<(), FrameError> {
    let cut_short = |want| FrameError::CutShort {
        offset,
        have: frame.len(),
        want,
    };
    let head = frame
        .first_chunk::<HEADER_BYTES>()
        .ok_or_else(|| cut_short(HEADER_BYTES))?;
    let header = FrameHeader::parse(head, offset)?;
    if frame.len() != header.frame_bytes {
        return Err(cut_short(header.frame_bytes));
    }
    header.check(offset, frame)?;
    decompress_block(offset, &frame[HEADER_BYTES..], header.raw_bytes, raw)
}

fn decompress_block(
    offset: u64,
    block: &[u8],
    raw_bytes: usize,
    raw: &mut Vec<u8>,
) -> Result<(), FrameError> {
    let start = raw.len();
    raw.resize(start + raw_bytes, 0);
    let why = match lz4_flex::block::decompress_into(block, &mut raw[start..]) {
        Ok(written) if written == raw_bytes => return Ok(()),
        Ok(written) => format!("{written} bytes came out, its header says {raw_bytes}"),
        Err(error) => error.to_string(),
    };
    raw.truncate(start);
    Err(FrameError::Block { offset, why })
}

/// ClickHouse stores the hash's low half first.
fn checksum(bytes: &[u8]) -> u128 {
    let (low, high) = city_hash_128(bytes);
    u128::from(low) | u128::from(high) << 64
}

/// Sizes here are below [`FRAME_BYTES_MAX`], far below 4 GiB.
fn to_u32(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// Reads until `into` is full or the input ends; the number of bytes read.
pub(crate) fn read_full(input: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match input.read(&mut into[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests;
