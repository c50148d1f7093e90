//! xz streams, one or several, with the padding that may stand between them.

use xz4rust::{XzDecoder, XzError, XzNextBlockResult};

use super::member::{Codec, Head, Progress};
use super::{Broken, code};

/// The dictionary of `xz -6`, its default.
const DICTIONARY_BYTES_MAX: usize = 8 << 20;

/// Probabilities and buffers beside the dictionary.
const TABLES: usize = 128 << 10;

const MAGIC: &[u8] = b"\xfd7zXZ\0";

fn broken(why: impl Into<String>) -> Broken {
    Broken::new(code::LZMA_STREAM_DECODER_FAILED, why)
}

/// `Content-Encoding: xz`.
#[derive(Default)]
pub(super) struct Xz(Option<Box<XzDecoder<'static>>>);

impl Codec for Xz {
    fn name(&self) -> &'static str {
        "xz"
    }

    fn member(&self) -> &'static str {
        "an xz stream"
    }

    fn is_slow(&self) -> bool {
        true
    }

    /// Streams are padded with zeros, four at a time.
    fn padding(&self, input: &[u8]) -> usize {
        let zeros = input.iter().take_while(|byte| **byte == 0).count();
        // Before the first stream there is none.
        if self.0.is_some() { zeros / 4 * 4 } else { 0 }
    }

    fn head(&mut self, input: &[u8]) -> Result<Option<Head>, Broken> {
        // A part of the padding: the rest of its four zeros is to come.
        if self.0.is_some() && input.len() < 4 && input.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let seen = input.len().min(MAGIC.len());
        if input[..seen] != MAGIC[..seen] {
            return Err(broken("what follows is no xz stream"));
        }
        Ok((seen == MAGIC.len()).then_some(Head {
            memory: DICTIONARY_BYTES_MAX + TABLES,
            skip: 0,
        }))
    }

    fn begin(&mut self) -> Result<(), Broken> {
        match &mut self.0 {
            Some(decoder) => decoder.reset(),
            None => {
                self.0 = Some(XzDecoder::in_heap_with_alloc_dict_size(
                    64 << 10,
                    DICTIONARY_BYTES_MAX,
                ));
            }
        }
        Ok(())
    }

    fn decode(&mut self, input: &[u8], output: &mut [u8], _ended: bool) -> Result<Progress, Broken> {
        let Some(decoder) = &mut self.0 else {
            return Err(Broken::new(code::LOGICAL_ERROR, "it was not begun"));
        };
        match decoder.decode(input, output) {
            Ok(XzNextBlockResult::NeedMoreData(consumed, produced)) => Ok(Progress {
                consumed,
                produced,
                ended: false,
            }),
            Ok(XzNextBlockResult::EndOfStream(consumed, produced)) => Ok(Progress {
                consumed,
                produced,
                ended: true,
            }),
            Err(XzError::NeedsLargerInputBuffer) => Ok(Progress::default()),
            Err(XzError::DictionaryTooLarge(bytes)) => Err(broken(format!(
                "it wants a dictionary of {bytes} bytes, the limit is {DICTIONARY_BYTES_MAX}: compress with xz -6 or less"
            ))),
            Err(error) => Err(broken(format!("its xz stream is broken ({error})"))),
        }
    }
}
