//! Brotli (RFC 7932). clickhouse-connect sends one stream per block, one behind the other.

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

use super::member::{Codec, Head, Progress};
use super::{Broken, code};

/// Huffman tables and contexts beside the window.
const TABLES: usize = 512 << 10;

type State = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

/// `Content-Encoding: br`.
#[derive(Default)]
pub(super) struct Brotli(Option<Box<State>>);

impl Codec for Brotli {
    fn name(&self) -> &'static str {
        "br"
    }

    fn member(&self) -> &'static str {
        "a Brotli stream"
    }

    fn head(&mut self, input: &[u8]) -> Result<Option<Head>, Broken> {
        let window = input.first().map(|first| 1_usize << window_bits(*first));
        Ok(window.map(|window| Head {
            memory: window + TABLES,
            skip: 0,
        }))
    }

    fn begin(&mut self) -> Result<(), Broken> {
        // Not the large windows beyond RFC 7932, which ClickHouse does not read either.
        let alloc = StandardAlloc::default;
        self.0 = Some(Box::new(BrotliState::new_strict(alloc(), alloc(), alloc())));
        Ok(())
    }

    fn decode(&mut self, input: &[u8], output: &mut [u8], _ended: bool) -> Result<Progress, Broken> {
        let Some(state) = &mut self.0 else {
            return Err(Broken::new(code::LOGICAL_ERROR, "it was not begun"));
        };
        let (mut consumed, mut produced, mut total) = (0, 0, 0);
        let (mut available_in, mut available_out) = (input.len(), output.len());
        let result = BrotliDecompressStream(
            &mut available_in,
            &mut consumed,
            input,
            &mut available_out,
            &mut produced,
            output,
            &mut total,
            state,
        );
        match result {
            BrotliResult::ResultFailure => Err(Broken::new(
                code::BROTLI_READ_FAILED,
                "its Brotli stream is broken",
            )),
            BrotliResult::ResultSuccess => {
                self.0 = None;
                Ok(Progress {
                    consumed,
                    produced,
                    ended: true,
                })
            }
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => Ok(Progress {
                consumed,
                produced,
                ended: false,
            }),
        }
    }
}

/// WBITS of a stream's first byte (RFC 7932, 9.1).
fn window_bits(first: u8) -> u32 {
    match first & 0x0f {
        bits if bits & 1 == 0 => 16,
        1 => match first >> 4 & 7 {
            0 => 17,
            // Reserved for large windows: the decoder refuses it.
            1 => 10,
            bits => 8 + u32::from(bits),
        },
        bits => 17 + u32::from(bits >> 1),
    }
}

#[cfg(test)]
mod tests {
    use super::window_bits;

    #[test]
    fn a_window_is_as_large_as_the_first_byte_says() {
        for (first, bits) in [
            (0x00, 16),
            (0x01, 17),
            (0x0b, 22),
            (0x0f, 24),
            (0x03, 18),
            (0x21, 10),
            (0x71, 15),
        ] {
            assert_eq!(window_bits(first), bits, "{first:#x}");
        }
    }
}
