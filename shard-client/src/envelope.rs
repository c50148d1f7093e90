//! The self-terminating body: one gzip member of *stored* blocks around bytes that are compressed already.
//!
//! ClickHouse's compressed frames have no end mark: a body cut at a frame's border is a shorter body, and
//! 18.16 commits
//! what it holds. gzip has an end mark, and the server's reader insists on it; stored blocks make it cost
//! five bytes in
//! 65,535 and no copying. `Content-Encoding: gzip` and `decompress=1` together unpack both layers (tried on
//! 18.16 and
//! on 26.9: a cut anywhere leaves no row).
//!
//! # Bytes
//!
//! ```text
//! 1f 8b 08 00 00 00 00 00 00 ff               gzip member: deflate, no name, no time, unknown system (RFC
//! 1952)
//! 00 <len> <!len> <len bytes>                 stored block, not final; both u16 little-endian (RFC 1951,
//! 3.2.4)
//! …
//! 01 00 00 ff ff                              stored block, final, empty
//! <crc32> <length mod 2^32>                   both u32 little-endian, of the bytes within
//! ```

/// The most bytes a stored block can hold (RFC 1951).
pub const BLOCK_BYTES_MAX: usize = 65_535;

/// The member's first bytes.
pub const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// The bytes before each stored block's content.
pub const BLOCK_HEAD_BYTES: usize = 5;

/// The bytes that end the member: the final empty block, CRC32 and length.
pub const TAIL_BYTES: usize = BLOCK_HEAD_BYTES + 8;

/// The head of a stored block of `len` bytes that is not the last.
pub fn block_head(len: u16) -> [u8; BLOCK_HEAD_BYTES] {
    let [low, high] = len.to_le_bytes();
    [0, low, high, !low, !high]
}

/// The member's end, for content of `bytes` bytes with this CRC32.
pub fn tail(bytes: u64, crc32: u32) -> [u8; TAIL_BYTES] {
    let mut tail = [0; TAIL_BYTES];
    tail[..BLOCK_HEAD_BYTES].copy_from_slice(&[1, 0, 0, 0xff, 0xff]);
    tail[BLOCK_HEAD_BYTES..][..4].copy_from_slice(&crc32.to_le_bytes());
    // RFC 1952 counts the length modulo 2^32: the truncation is the format's.
    tail[BLOCK_HEAD_BYTES + 4..].copy_from_slice(&(bytes as u32).to_le_bytes());
    tail
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn enveloped(content: &[u8]) -> Vec<u8> {
        let mut out = HEAD.to_vec();
        for block in content.chunks(BLOCK_BYTES_MAX) {
            out.extend(block_head(block.len() as u16));
            out.extend(block);
        }
        out.extend(tail(content.len() as u64, crc32fast::hash(content)));
        out
    }

    #[track_caller]
    fn check_unpacks(content: &[u8]) {
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&enveloped(content)[..])
            .read_to_end(&mut unpacked)
            .unwrap();
        assert!(
            unpacked == content,
            "{} bytes came back as {}",
            content.len(),
            unpacked.len()
        );
    }

    #[test]
    fn an_independent_reader_unpacks_what_was_wrapped() {
        check_unpacks(b"");
        check_unpacks(b"x");
        for len in [BLOCK_BYTES_MAX - 1, BLOCK_BYTES_MAX, BLOCK_BYTES_MAX + 1, 200_000] {
            check_unpacks(&(0..len).map(|n| (n * 7 % 251) as u8).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_independent_reader_refuses_every_prefix() {
        let whole = enveloped(b"a few rows");
        for len in 0..whole.len() {
            let read = flate2::read::GzDecoder::new(&whole[..len]).read_to_end(&mut Vec::new());
            assert!(
                read.is_err() || len == 0,
                "a prefix of {len} bytes passed for whole"
            );
        }
    }

    #[test]
    fn the_length_wraps_as_the_format_says() {
        assert_eq!(tail((1 << 32) + 3, 0)[9..], [3, 0, 0, 0]);
    }
}
