//! gzip (RFC 1952) and deflate (zlib's RFC 1950, never bare: as ClickHouse).

use flate2::{Decompress, FlushDecompress, Status};

use super::member::{Codec, Head, Progress, u32_le};
use super::{Broken, code};

/// What an inflater holds: its window and tables.
const MEMORY: usize = 48 << 10;

/// A gzip head with names and comments is longer than this only in attacks.
const GZIP_HEAD_BYTES_MAX: usize = 64 << 10;

const GZIP_TRAILER_BYTES: usize = 8;

fn broken(why: impl Into<String>) -> Broken {
    Broken::new(code::ZLIB_INFLATE_FAILED, why)
}

/// Lets an inflater work; whether its stream ended is the third part.
fn inflate(
    inflater: &mut Decompress,
    input: &[u8],
    output: &mut [u8],
) -> Result<(usize, usize, bool), Broken> {
    let (read, written) = (inflater.total_in(), inflater.total_out());
    let status = inflater
        .decompress(input, output, FlushDecompress::None)
        .map_err(|error| broken(format!("its DEFLATE stream is broken ({error})")))?;
    let consumed = usize::try_from(inflater.total_in() - read).unwrap_or(usize::MAX);
    let produced = usize::try_from(inflater.total_out() - written).unwrap_or(usize::MAX);
    Ok((consumed, produced, status == Status::StreamEnd))
}

/// `Content-Encoding: deflate`.
pub(super) struct Zlib(Decompress);

impl Default for Zlib {
    fn default() -> Self {
        Self(Decompress::new(true))
    }
}

impl Codec for Zlib {
    fn name(&self) -> &'static str {
        "deflate"
    }

    fn member(&self) -> &'static str {
        "a zlib stream"
    }

    fn head(&mut self, _input: &[u8]) -> Result<Option<Head>, Broken> {
        let memory = MEMORY;
        Ok(Some(Head { memory, skip: 0 }))
    }

    fn begin(&mut self) -> Result<(), Broken> {
        self.0.reset(true);
        Ok(())
    }

    fn decode(&mut self, input: &[u8], output: &mut [u8], _ended: bool) -> Result<Progress, Broken> {
        let (consumed, produced, ended) = inflate(&mut self.0, input, output)?;
        Ok(Progress {
            consumed,
            produced,
            ended,
        })
    }
}

/// `Content-Encoding: gzip`, of one member or several.
pub(super) struct Gzip {
    inflater: Decompress,
    crc: crc32fast::Hasher,
    bytes: u32,
    in_trailer: bool,
}

impl Default for Gzip {
    fn default() -> Self {
        Self {
            inflater: Decompress::new(false),
            crc: crc32fast::Hasher::new(),
            bytes: 0,
            in_trailer: false,
        }
    }
}

impl Codec for Gzip {
    fn name(&self) -> &'static str {
        "gzip"
    }

    fn member(&self) -> &'static str {
        "a gzip member"
    }

    fn head(&mut self, input: &[u8]) -> Result<Option<Head>, Broken> {
        let Some(skip) = gzip_head(input)? else {
            return Ok(None);
        };
        let memory = MEMORY;
        Ok(Some(Head { memory, skip }))
    }

    fn begin(&mut self) -> Result<(), Broken> {
        self.inflater.reset(false);
        self.crc = crc32fast::Hasher::new();
        (self.bytes, self.in_trailer) = (0, false);
        Ok(())
    }

    fn decode(&mut self, input: &[u8], output: &mut [u8], _ended: bool) -> Result<Progress, Broken> {
        if self.in_trailer {
            return self.trailer(input);
        }
        let (consumed, produced, ended) = inflate(&mut self.inflater, input, output)?;
        self.crc.update(&output[..produced]);
        // The trailer holds the length modulo 2^32.
        self.bytes = self
            .bytes
            .wrapping_add(u32::try_from(produced).unwrap_or_default());
        self.in_trailer = ended;
        if ended && (consumed, produced) == (0, 0) {
            return self.trailer(input);
        }
        Ok(Progress {
            consumed,
            produced,
            ended: false,
        })
    }
}

impl Gzip {
    fn trailer(&self, input: &[u8]) -> Result<Progress, Broken> {
        let (Some(crc), Some(bytes)) = (u32_le(input, 0), u32_le(input, 4)) else {
            return Ok(Progress::default());
        };
        if (crc, bytes) != (self.crc.clone().finalize(), self.bytes) {
            return Err(broken("a gzip member's CRC-32 or length is not its content's"));
        }
        Ok(Progress {
            consumed: GZIP_TRAILER_BYTES,
            produced: 0,
            ended: true,
        })
    }
}

/// Bytes of a gzip head; none when it is not all there.
fn gzip_head(input: &[u8]) -> Result<Option<usize>, Broken> {
    const FHCRC: u8 = 2;
    const FEXTRA: u8 = 4;
    const FNAME: u8 = 8;
    const FCOMMENT: u8 = 16;
    if !input
        .iter()
        .zip([0x1f, 0x8b, 8])
        .all(|(is, should)| *is == should)
    {
        return Err(broken("what follows is no gzip member"));
    }
    let Some(&flags) = input.get(3) else {
        return Ok(None);
    };
    let mut at = 10;
    if flags & FEXTRA != 0 {
        let Some(len) = input.get(at..at + 2) else {
            return Ok(None);
        };
        at += 2 + usize::from(u16::from_le_bytes([len[0], len[1]]));
    }
    for text in [FNAME, FCOMMENT] {
        if flags & text != 0 {
            match input.get(at..).and_then(|rest| rest.iter().position(|b| *b == 0)) {
                Some(len) => at += len + 1,
                None if input.len() > GZIP_HEAD_BYTES_MAX => return Err(broken("a gzip head has no end")),
                None => return Ok(None),
            }
        }
    }
    if flags & FHCRC != 0 {
        at += 2;
    }
    Ok((input.len() >= at).then_some(at))
}
