//! Zstandard frames (RFC 8878), with the window that RFC 9659 allows in HTTP.

use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, ResetDirective, get_error_name};

use super::member::{Codec, Head, Progress, u32_le};
use super::{Broken, code};
use crate::exception::Exception;

/// 8 MiB (RFC 9659, 3): what levels up to 19 use.
const WINDOW_LOG_MAX: u32 = 23;

/// Tables and block buffers beside the window.
const TABLES: usize = 512 << 10;

const MAGIC: u32 = 0xfd2f_b528;

fn broken(why: impl Into<String>) -> Broken {
    Broken::new(code::ZSTD_DECODER_FAILED, why)
}

/// `Content-Encoding: zstd`.
pub(super) struct Zstd(DCtx<'static>);

impl Zstd {
    pub(super) fn new() -> Result<Self, Exception> {
        let no_memory = || {
            Exception::try_again(
                code::TOO_MANY_SIMULTANEOUS_QUERIES,
                1,
                "No memory for a zstd decoder.",
            )
        };
        let mut context = DCtx::try_create().ok_or_else(no_memory)?;
        context
            .set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))
            .map_err(|error| {
                Exception::internal(format!("zstd refuses its limit: {}", get_error_name(error)))
            })?;
        Ok(Self(context))
    }
}

impl Codec for Zstd {
    fn name(&self) -> &'static str {
        "zstd"
    }

    fn member(&self) -> &'static str {
        "a Zstandard frame"
    }

    fn head(&mut self, input: &[u8]) -> Result<Option<Head>, Broken> {
        let Some(window) = window(input)? else {
            return Ok(None);
        };
        if window > 1 << WINDOW_LOG_MAX {
            return Err(broken(format!(
                "a frame wants a window of {window} bytes, the limit is {} (RFC 9659): compress without --ultra and --long",
                1 << WINDOW_LOG_MAX
            )));
        }
        let memory = usize::try_from(window).unwrap_or(usize::MAX) + TABLES;
        Ok(Some(Head { memory, skip: 0 }))
    }

    fn begin(&mut self) -> Result<(), Broken> {
        let reset = self.0.reset(ResetDirective::SessionOnly);
        reset.map(|_| ()).map_err(|error| broken(get_error_name(error)))
    }

    fn decode(&mut self, input: &[u8], output: &mut [u8], _ended: bool) -> Result<Progress, Broken> {
        let mut from = InBuffer::around(input);
        let mut to = OutBuffer::around(output);
        let left = self
            .0
            .decompress_stream(&mut to, &mut from)
            .map_err(|error| broken(format!("its frame is broken ({})", get_error_name(error))))?;
        Ok(Progress {
            consumed: from.pos(),
            produced: to.pos(),
            ended: left == 0,
        })
    }
}

/// The window that a frame's head asks for, 0 for a frame to skip; none when the head is not all there.
fn window(input: &[u8]) -> Result<Option<u64>, Broken> {
    let Some(magic) = u32_le(input, 0) else {
        return Ok(None);
    };
    if magic & 0xffff_fff0 == 0x184d_2a50 {
        return Ok(Some(0));
    }
    if magic != MAGIC {
        return Err(broken("what follows is no Zstandard frame"));
    }
    let Some(&descriptor) = input.get(4) else {
        return Ok(None);
    };
    let is_single_segment = descriptor & 0x20 != 0;
    if !is_single_segment {
        return Ok(input.get(5).map(|byte| {
            let base = 1_u64 << (10 + (byte >> 3));
            base + (base >> 3) * u64::from(byte & 7)
        }));
    }
    // The content itself is the window; its size stands behind the dictionary's id.
    let at = 5 + [0, 1, 2, 4][usize::from(descriptor & 3)];
    let len = [1, 2, 4, 8][usize::from(descriptor >> 6)];
    Ok(input.get(at..at + len).map(|bytes| {
        let size = bytes
            .iter()
            .rev()
            .fold(0_u64, |size, byte| size << 8 | u64::from(*byte));
        if len == 2 { size + 256 } else { size }
    }))
}
