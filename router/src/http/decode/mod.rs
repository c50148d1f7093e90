//! Compressed bodies, decoded piece by piece: `Content-Encoding`, ClickHouse's own blocks (`decompress=1`), or
//! both, the blocks inside.
//!
//! Everything here is pure over bytes: [`Decoder::feed`] takes what came from the network, [`Decoder::step`] gives
//! what it decodes to, [`Decoder::end`] says whether the body may end there. Every encoding is a sequence of
//! *members* (gzip members, LZ4 and Zstandard frames, whole Brotli, xz and bzip2 streams, Snappy and ClickHouse
//! blocks), each decoded to its end and followed by the next: clients concatenate them, and a decoder that stops
//! at the first loses rows.
//!
//! # Limits
//!
//! | Limit | Where | What happens there |
//! |---|---|---|
//! | memory of a decoder: its window, or a block and what it decodes to | [`MEMBER_BYTES_MAX`], 8 MiB for the windows of zstd and xz (RFC 9659) | the body is refused with the encoding's code |
//! | memory of all decoders | the budget's room for them | the body waits, then 503 with code 202 |
//! | decoded bytes | [`EXPANSION_MAX`] times the bytes sent, beyond [`EXPANSION_FREE_BYTES`] | code 307 |
//! | checksums, lengths, the end of each member | where the encoding has them | the encoding's code, or 40 |
//!
//! Nothing is allocated by an announced length before as many bytes came, or the budget gave them.

mod blocks;
mod brotli;
mod bzip2;
mod lz4;
mod member;
mod snappy;
#[cfg(test)]
mod tests;
mod xz;
mod zlib;
mod zstd;

use crate::exception::{Exception, code};
use member::{Codec, Members};

/// Memory that one member's decoder may need: Brotli's largest window (16 MiB) with its tables; a block with what it
/// decodes to.
pub const MEMBER_BYTES_MAX: usize = 24 << 20;

/// How many decoded bytes one byte sent may stand for: as many as LZ4 can reach. Repetitive rows stay far below,
/// and a bomb of other encodings gains no more than one of ClickHouse's own blocks could.
pub const EXPANSION_MAX: u64 = 255;

/// Decoded bytes that are given out whatever they were before: below it nothing is at stake.
pub const EXPANSION_FREE_BYTES: u64 = 256 << 20;

/// Decoded bytes between two stages.
const MIDDLE_BYTES: usize = 128 << 10;

/// A `Content-Encoding` that ClickHouse knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// DEFLATE with gzip's header and CRC-32.
    Gzip,
    /// DEFLATE with zlib's header and Adler-32; never bare, as in ClickHouse.
    Deflate,
    /// Brotli.
    Brotli,
    /// Zstandard frames.
    Zstd,
    /// LZ4 frames.
    Lz4,
    /// xz streams.
    Xz,
    /// bzip2 streams.
    Bzip2,
    /// Hadoop's framing of Snappy as ClickHouse reads it, or one bare block as Fluent Bit sends it.
    Snappy,
}

impl Encoding {
    /// Reads a `Content-Encoding`; none for a body as it is. The names are ClickHouse's, and RFC 9110's `x-gzip`.
    pub fn named(name: &str) -> Result<Option<Self>, Exception> {
        Ok(Some(match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" | "none" | "auto" => return Ok(None),
            "gzip" | "gz" | "x-gzip" => Self::Gzip,
            "deflate" => Self::Deflate,
            "br" | "brotli" => Self::Brotli,
            "zstd" | "zst" => Self::Zstd,
            "lz4" => Self::Lz4,
            "xz" | "lzma" => Self::Xz,
            "bz2" => Self::Bzip2,
            "snappy" => Self::Snappy,
            _ => return Err(unknown(name)),
        }))
    }

    fn codec(self) -> Result<Box<dyn Codec>, Exception> {
        Ok(match self {
            Self::Gzip => Box::new(zlib::Gzip::default()),
            Self::Deflate => Box::new(zlib::Zlib::default()),
            Self::Brotli => Box::new(brotli::Brotli::default()),
            Self::Zstd => Box::new(zstd::Zstd::new()?),
            Self::Lz4 => Box::new(lz4::Lz4::default()),
            Self::Xz => Box::new(xz::Xz::default()),
            Self::Bzip2 => Box::new(bzip2::Bzip2::default()),
            Self::Snappy => Box::new(snappy::Snappy::default()),
        })
    }
}

/// ClickHouse's code and words for it.
fn unknown(name: &str) -> Exception {
    let shown: String = name.chars().take(40).collect();
    Exception {
        status: http::StatusCode::BAD_REQUEST,
        ..Exception::not_implemented(format!(
            "Unknown compression method '{shown}' in Content-Encoding. Only 'gzip', 'deflate', 'br', 'xz', 'zstd', 'lz4', \
             'bz2', 'snappy' are supported."
        ))
    }
}

/// What a decoder needs before it can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// More of the body, or its end.
    Input,
    /// Room: the bytes asked for are there, and maybe more behind them.
    Output,
    /// This much memory beside what it was granted.
    Memory(usize),
}

/// Why a body cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Broken {
    code: i32,
    why: String,
}

impl Broken {
    fn new(code: i32, why: impl Into<String>) -> Self {
        Self {
            code,
            why: why.into(),
        }
    }
}

/// A body's decoder: one stage, or two where blocks stand inside an encoding.
pub struct Decoder {
    stages: Vec<Members>,
    fed: u64,
    given: u64,
    /// Where the free part of the expansion ends; smaller in tests.
    free_bytes: u64,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder")
            .field("stages", &self.stages.len())
            .field("fed", &self.fed)
            .field("given", &self.given)
            .finish_non_exhaustive()
    }
}

impl Decoder {
    /// A decoder for a body in this encoding, with ClickHouse's blocks inside or not; none for a body as it is.
    pub fn new(encoding: Option<Encoding>, blocks: bool) -> Result<Option<Self>, Exception> {
        let mut stages = Vec::new();
        if let Some(encoding) = encoding {
            stages.push(Members::new(encoding.codec()?));
        }
        if blocks {
            stages.push(Members::new(Box::new(blocks::Blocks::default())));
        }
        Ok((!stages.is_empty()).then_some(Self {
            stages,
            fed: 0,
            given: 0,
            free_bytes: EXPANSION_FREE_BYTES,
        }))
    }

    /// Takes the next bytes of the body.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.fed += bytes.len() as u64;
        if let Some(first) = self.stages.first_mut() {
            first.feed(bytes);
        }
    }

    /// The body has ended: what a decoder could not know without is decoded by the next step.
    pub fn end_input(&mut self) {
        if let Some(first) = self.stages.first_mut() {
            first.input_ended = true;
        }
    }

    /// Memory was granted as [`Need::Memory`] asked for it.
    pub fn grant(&mut self) {
        self.stages.iter_mut().for_each(Members::grant);
    }

    /// Decodes until `out` has `room` bytes or something is needed.
    pub fn step(&mut self, out: &mut Vec<u8>, room: usize) -> Result<Need, Exception> {
        let before = out.len();
        let need = step(&mut self.stages, out, room).map_err(|broken| self.exception(&broken))?;
        self.given += (out.len() - before) as u64;
        self.refuse_bomb()?;
        Ok(need)
    }

    /// Whether the body may end here; asked when a step with all of it needs input.
    pub fn end(&self) -> Result<(), Exception> {
        match self.stages.iter().find(|stage| !stage.is_at_border()) {
            None => Ok(()),
            Some(stage) => Err(self.exception(&Broken::new(
                code::CANNOT_READ_ALL_DATA,
                format!("it is cut short inside {}", stage.codec.member()),
            ))),
        }
    }

    /// Whether decoding takes so long that it never belongs on the runtime's threads.
    pub fn is_slow(&self) -> bool {
        self.stages.iter().any(|stage| stage.codec.is_slow())
    }

    /// Decoded bytes so far.
    pub fn given(&self) -> u64 {
        self.given
    }

    fn refuse_bomb(&self) -> Result<(), Exception> {
        if self.given <= self.free_bytes || self.given <= self.fed.saturating_mul(EXPANSION_MAX) {
            return Ok(());
        }
        Err(self.exception(&Broken::new(
            code::TOO_MANY_BYTES,
            format!(
                "every byte stands for more than {EXPANSION_MAX} decoded ones, which beyond {} MiB is taken for a bomb \
                 (EXPANSION_MAX): send smaller INSERTs, or less compressed ones",
                self.free_bytes >> 20
            ),
        )))
    }

    fn exception(&self, broken: &Broken) -> Exception {
        let names: Vec<_> = self.stages.iter().map(|stage| stage.codec.name()).collect();
        Exception::bad_input(
            broken.code,
            format!(
                "The compressed body ({}) cannot be decoded: after {} bytes of it and {} decoded ones {}. Nothing of it was inserted.",
                names.join(" around "),
                self.fed,
                self.given,
                broken.why
            ),
        )
    }
}

/// The last stage decodes what those before it give.
fn step(stages: &mut [Members], out: &mut Vec<u8>, room: usize) -> Result<Need, Broken> {
    let Some((last, before)) = stages.split_last_mut() else {
        return Ok(Need::Input);
    };
    loop {
        let need = last.run(out, room)?;
        if need != Need::Input || before.is_empty() {
            return Ok(need);
        }
        let mut middle = Vec::new();
        let need = step(before, &mut middle, MIDDLE_BYTES)?;
        if !middle.is_empty() {
            last.feed(&middle);
        } else if need != Need::Output {
            return Ok(need);
        }
    }
}
