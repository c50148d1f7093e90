//! bzip2 streams, one or several.

use bzip2::{Decompress, Status};

use super::member::{Codec, Head, Progress};
use super::{Broken, code};

fn broken(why: impl Into<String>) -> Broken {
    Broken::new(code::BZIP2_STREAM_DECODER_FAILED, why)
}

/// `Content-Encoding: bz2`.
#[derive(Default)]
pub(super) struct Bzip2(Option<Decompress>);

impl Codec for Bzip2 {
    fn name(&self) -> &'static str {
        "bz2"
    }

    fn member(&self) -> &'static str {
        "a bzip2 stream"
    }

    fn is_slow(&self) -> bool {
        true
    }

    /// `BZh1` to `BZh9`: the block's size in 100,000 bytes, of which a decoder holds four for each.
    fn head(&mut self, input: &[u8]) -> Result<Option<Head>, Broken> {
        match input {
            [b'B', b'Z', b'h', level @ b'1'..=b'9', ..] => Ok(Some(Head {
                memory: 400_000 * usize::from(level - b'0') + (100 << 10),
                skip: 0,
            })),
            short if short.len() < 4 && b"BZh".starts_with(&short[..short.len().min(3)]) => Ok(None),
            _ => Err(broken("what follows is no bzip2 stream")),
        }
    }

    fn begin(&mut self) -> Result<(), Broken> {
        self.0 = Some(Decompress::new(false));
        Ok(())
    }

    fn decode(&mut self, input: &[u8], output: &mut [u8], _ended: bool) -> Result<Progress, Broken> {
        let Some(stream) = &mut self.0 else {
            return Err(Broken::new(code::LOGICAL_ERROR, "it was not begun"));
        };
        let (read, written) = (stream.total_in(), stream.total_out());
        let status = stream
            .decompress(input, output)
            .map_err(|error| broken(format!("its bzip2 stream is broken ({error})")))?;
        let consumed = usize::try_from(stream.total_in() - read).unwrap_or(usize::MAX);
        let produced = usize::try_from(stream.total_out() - written).unwrap_or(usize::MAX);
        let ended = status == Status::StreamEnd;
        if ended {
            self.0 = None;
        }
        Ok(Progress {
            consumed,
            produced,
            ended,
        })
    }
}
