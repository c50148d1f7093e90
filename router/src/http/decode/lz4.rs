//! LZ4 frames, one or several, blocks linked or not. (lz4_flex has a reader of frames, but it blocks on its source.)

use xxhash_rust::xxh32::{Xxh32, xxh32};

use super::member::{Codec, Head, Pending, Progress, u32_le};
use super::{Broken, code};

const MAGIC: u32 = 0x184d_2204;

/// How far back a linked block may point.
const WINDOW_BYTES: usize = 64 << 10;

/// The bit of a block's size that says that it is stored as it is.
const STORED: u32 = 1 << 31;

fn broken(why: impl Into<String>) -> Broken {
    Broken::new(code::LZ4_DECODER_FAILED, why)
}

/// What a frame's head says.
#[derive(Debug, Clone, Copy, Default)]
struct Frame {
    /// Bytes to pass over: of a frame that is not for decoders.
    skip: Option<u32>,
    is_linked: bool,
    has_block_checksum: bool,
    has_content_checksum: bool,
    content_bytes: Option<u64>,
    block_bytes_max: usize,
}

/// `Content-Encoding: lz4`.
pub(super) struct Lz4 {
    frame: Frame,
    content: Xxh32,
    content_bytes: u64,
    window: Vec<u8>,
    pending: Pending,
}

impl Default for Lz4 {
    fn default() -> Self {
        Self {
            frame: Frame::default(),
            content: Xxh32::new(0),
            content_bytes: 0,
            window: Vec::new(),
            pending: Pending::default(),
        }
    }
}

impl Codec for Lz4 {
    fn name(&self) -> &'static str {
        "lz4"
    }

    fn member(&self) -> &'static str {
        "an LZ4 frame"
    }

    fn head(&mut self, input: &[u8]) -> Result<Option<Head>, Broken> {
        let Some((frame, skip)) = head(input)? else {
            return Ok(None);
        };
        self.frame = frame;
        // A block, what it decodes to, and the window before it.
        Ok(Some(Head {
            memory: 2 * (frame.block_bytes_max + WINDOW_BYTES),
            skip,
        }))
    }

    fn begin(&mut self) -> Result<(), Broken> {
        self.content.reset(0);
        self.content_bytes = 0;
        self.window.clear();
        Ok(())
    }

    fn decode(&mut self, input: &[u8], output: &mut [u8], _ended: bool) -> Result<Progress, Broken> {
        if let Some(left) = self.frame.skip {
            return Ok(self.pass_over(input, left));
        }
        let mut consumed = 0;
        if self.pending.is_empty() {
            let Some(size) = u32_le(input, 0) else {
                return Ok(Progress::default());
            };
            if size == 0 {
                return self.end(input);
            }
            consumed = match self.block(input, size)? {
                Some(consumed) => consumed,
                None => return Ok(Progress::default()),
            };
        }
        Ok(Progress {
            consumed,
            produced: self.pending.give(output),
            ended: false,
        })
    }
}

impl Lz4 {
    fn pass_over(&mut self, input: &[u8], left: u32) -> Progress {
        let consumed = u32::try_from(input.len()).unwrap_or(u32::MAX).min(left);
        self.frame.skip = Some(left - consumed);
        Progress {
            consumed: consumed as usize,
            produced: 0,
            ended: left == consumed,
        }
    }

    /// Opens the block at the front of `input`; its bytes there, or none when it is not all there.
    fn block(&mut self, input: &[u8], size: u32) -> Result<Option<usize>, Broken> {
        let len = (size & !STORED) as usize;
        if len > self.frame.block_bytes_max {
            return Err(broken(format!(
                "a block claims {len} bytes, its frame allows {}",
                self.frame.block_bytes_max
            )));
        }
        let end = 4 + len + if self.frame.has_block_checksum { 4 } else { 0 };
        let Some(bytes) = input.get(4..end) else {
            return Ok(None);
        };
        let data = &bytes[..len];
        if self.frame.has_block_checksum && u32_le(bytes, len) != Some(xxh32(data, 0)) {
            return Err(broken("a block's checksum is not its content's"));
        }
        let raw = if size & STORED != 0 {
            data.to_vec()
        } else {
            self.open(data)?
        };
        self.keep(&raw);
        self.pending.fill(raw);
        Ok(Some(end))
    }

    fn open(&self, data: &[u8]) -> Result<Vec<u8>, Broken> {
        // A byte of LZ4 stands for 255 at most: small blocks of a frame that allows large ones cost little.
        let raw_max = data.len().saturating_mul(255).saturating_add(64);
        let mut raw = vec![0; self.frame.block_bytes_max.min(raw_max)];
        let written = if self.frame.is_linked && !self.window.is_empty() {
            lz4_flex::block::decompress_into_with_dict(data, &mut raw, &self.window)
        } else {
            lz4_flex::block::decompress_into(data, &mut raw)
        };
        raw.truncate(written.map_err(|error| broken(format!("a block is broken ({error})")))?);
        Ok(raw)
    }

    /// Counts what was decoded, and keeps what the next block may point at.
    fn keep(&mut self, raw: &[u8]) {
        self.content_bytes += raw.len() as u64;
        if self.frame.has_content_checksum {
            self.content.update(raw);
        }
        if !self.frame.is_linked {
            return;
        }
        self.window
            .extend_from_slice(&raw[raw.len().saturating_sub(WINDOW_BYTES)..]);
        let surplus = self.window.len().saturating_sub(WINDOW_BYTES);
        self.window.drain(..surplus);
    }

    /// The end mark, and what may stand behind it.
    fn end(&self, input: &[u8]) -> Result<Progress, Broken> {
        let mut consumed = 4;
        if self.frame.has_content_checksum {
            match u32_le(input, 4) {
                None => return Ok(Progress::default()),
                Some(checksum) if checksum != self.content.digest() => {
                    return Err(broken("a frame's checksum is not its content's"));
                }
                Some(_) => consumed += 4,
            }
        }
        match self.frame.content_bytes {
            Some(announced) if announced != self.content_bytes => Err(broken(format!(
                "a frame holds {} bytes and announced {announced}",
                self.content_bytes
            ))),
            _ => Ok(Progress {
                consumed,
                produced: 0,
                ended: true,
            }),
        }
    }
}

/// Reads a frame's head and says how many bytes it has; none when it is not all there.
fn head(input: &[u8]) -> Result<Option<(Frame, usize)>, Broken> {
    let Some(magic) = u32_le(input, 0) else {
        return Ok(None);
    };
    if magic & 0xffff_fff0 == 0x184d_2a50 {
        let skip = |size| Frame {
            skip: Some(size),
            ..Frame::default()
        };
        return Ok(u32_le(input, 4).map(|size| (skip(size), 8)));
    }
    if magic != MAGIC {
        return Err(broken("what follows is no LZ4 frame"));
    }
    let (Some(&flags), Some(&block)) = (input.get(4), input.get(5)) else {
        return Ok(None);
    };
    if flags >> 6 != 1 || flags & 0x02 != 0 || block & 0x8f != 0 || block >> 4 < 4 {
        return Err(broken("a frame's head is not one of LZ4's version 1"));
    }
    if flags & 0x01 != 0 {
        return Err(broken("a frame wants a dictionary that nobody sent"));
    }
    let descriptor_end = if flags & 0x08 != 0 { 14 } else { 6 };
    let Some(&checksum) = input.get(descriptor_end) else {
        return Ok(None);
    };
    let descriptor = &input[4..descriptor_end];
    if xxh32(descriptor, 0).to_le_bytes()[1] != checksum {
        return Err(broken("the checksum of a frame's head is wrong"));
    }
    let content_bytes = descriptor.get(2..10).and_then(|bytes| bytes.try_into().ok());
    Ok(Some((
        Frame {
            skip: None,
            is_linked: flags & 0x20 == 0,
            has_block_checksum: flags & 0x10 != 0,
            has_content_checksum: flags & 0x04 != 0,
            content_bytes: content_bytes.map(u64::from_le_bytes),
            // 4 to 7: 64 KiB, 256 KiB, 1 MiB, 4 MiB.
            block_bytes_max: 1 << (8 + 2 * (block >> 4)),
        },
        descriptor_end + 1,
    )))
}
