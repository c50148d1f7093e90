//! Snappy in Hadoop's framing, which is what ClickHouse reads, or as one bare block, which is what Fluent Bit sends.
//!
//! A Hadoop block is a big-endian UInt32 of its raw size and then chunks, each a big-endian UInt32 of its compressed
//! size and a bare Snappy block, until the raw size is reached. Within the limits its first byte is zero or one, a bare
//! block's only when it is (almost) empty.

use super::member::{Codec, Head, Pending, Progress};
use super::{Broken, MEMBER_BYTES_MAX, code};

/// Raw and compressed bytes of a block.
const BLOCK_BYTES_MAX: usize = MEMBER_BYTES_MAX / 2 - (64 << 10);

fn broken(why: impl Into<String>) -> Broken {
    Broken::new(code::SNAPPY_UNCOMPRESS_FAILED, why)
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Framing {
    #[default]
    Hadoop,
    /// One block from here to the body's end.
    Bare,
}

/// `Content-Encoding: snappy`.
#[derive(Default)]
pub(super) struct Snappy {
    framing: Framing,
    /// Raw bytes of the Hadoop block that are yet to come.
    left: usize,
    pending: Pending,
}

impl Codec for Snappy {
    fn name(&self) -> &'static str {
        "snappy"
    }

    fn member(&self) -> &'static str {
        "a Snappy block"
    }

    fn head(&mut self, input: &[u8]) -> Result<Option<Head>, Broken> {
        if input.first().is_some_and(|first| *first > 1) {
            self.framing = Framing::Bare;
            // Checked once the whole preamble is there; a block is never larger than its limit.
            let memory = 2 * BLOCK_BYTES_MAX;
            return Ok(Some(Head { memory, skip: 0 }));
        }
        let Some(raw) = u32_be(input, 0) else {
            return Ok(None);
        };
        (self.framing, self.left) = (Framing::Hadoop, limited(raw as usize)?);
        Ok(Some(Head {
            memory: 2 * self.left,
            skip: 4,
        }))
    }

    fn begin(&mut self) -> Result<(), Broken> {
        Ok(())
    }

    fn decode(&mut self, input: &[u8], output: &mut [u8], ended: bool) -> Result<Progress, Broken> {
        let mut consumed = 0;
        if self.pending.is_empty() {
            let opened = match self.framing {
                Framing::Hadoop if self.left == 0 => Some((0, Vec::new())),
                Framing::Hadoop => self.chunk(input)?,
                Framing::Bare => bare(input, ended)?,
            };
            let Some((read, raw)) = opened else {
                return Ok(Progress::default());
            };
            consumed = read;
            self.pending.fill(raw);
        }
        let produced = self.pending.give(output);
        let is_last = self.framing == Framing::Bare || self.left == 0;
        Ok(Progress {
            consumed,
            produced,
            ended: is_last && self.pending.is_empty(),
        })
    }
}

impl Snappy {
    /// The next chunk of a Hadoop block.
    fn chunk(&mut self, input: &[u8]) -> Result<Option<(usize, Vec<u8>)>, Broken> {
        let Some(compressed) = u32_be(input, 0) else {
            return Ok(None);
        };
        let end = 4 + limited(compressed as usize)?;
        let Some(block) = input.get(4..end) else {
            return Ok(None);
        };
        let raw = open(block, self.left)?;
        if raw.is_empty() {
            return Err(broken("a chunk is empty"));
        }
        self.left -= raw.len();
        Ok(Some((end, raw)))
    }
}

/// The whole body as one block, once it is all there.
fn bare(input: &[u8], ended: bool) -> Result<Option<(usize, Vec<u8>)>, Broken> {
    limited(input.len())?;
    if !ended {
        return Ok(None);
    }
    Ok(Some((input.len(), open(input, BLOCK_BYTES_MAX)?)))
}

fn open(block: &[u8], raw_max: usize) -> Result<Vec<u8>, Broken> {
    let broken_block = |error: snap::Error| broken(format!("a block is broken ({error})"));
    let raw = snap::raw::decompress_len(block).map_err(broken_block)?;
    if raw > raw_max {
        return Err(broken(format!(
            "a block claims {raw} raw bytes, {raw_max} may follow"
        )));
    }
    snap::raw::Decoder::new()
        .decompress_vec(block)
        .map_err(broken_block)
}

fn limited(bytes: usize) -> Result<usize, Broken> {
    if bytes > BLOCK_BYTES_MAX {
        return Err(broken(format!(
            "a block claims {bytes} bytes, the limit is {BLOCK_BYTES_MAX}"
        )));
    }
    Ok(bytes)
}

fn u32_be(bytes: &[u8], at: usize) -> Option<u32> {
    let four: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_be_bytes(four))
}
