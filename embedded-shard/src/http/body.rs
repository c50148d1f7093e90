//! Bodies: read whole, then taken out of gzip, then out of ClickHouse's compressed frames.

use std::io::Read;

use flate2::read::{MultiGzDecoder, ZlibDecoder};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;

use crate::cursor::Cursor;
use crate::error::{Exception, Outcome, code};

/// A body above this, before or after decompression, is refused (code 307): it is held in memory. Weir's own
/// batches are
/// 64 MiB.
const BODY_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Checksum, method, and the two sizes.
const FRAME_HEAD_BYTES: usize = 16 + FRAME_SIZES_BYTES;
/// The part of the head that the checksum and the compressed size count.
const FRAME_SIZES_BYTES: usize = 9;
const METHOD_NONE: u8 = 0x02;
const METHOD_LZ4: u8 = 0x82;

/// `Content-Encoding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    /// zlib's, as HTTP means it.
    Deflate,
}

impl Encoding {
    pub fn named(name: Option<&str>) -> Outcome<Self> {
        match name {
            None | Some("" | "identity") => Ok(Self::Identity),
            Some("gzip" | "x-gzip") => Ok(Self::Gzip),
            Some("deflate") => Ok(Self::Deflate),
            Some(other) => code::NOT_IMPLEMENTED.refuse(format_args!(
                "the embedded shard does not read Content-Encoding {other}"
            )),
        }
    }
}

/// Reads a body to its announced end and decodes it; one that ends early is an error.
pub(super) async fn read(body: Incoming, encoding: Encoding, frames: bool) -> Outcome<Vec<u8>> {
    let collected = Limited::new(body, BODY_BYTES_MAX)
        .collect()
        .await
        .map_err(|error| match error.downcast_ref::<LengthLimitError>() {
            Some(_) => too_large(),
            None => code::CANNOT_READ_ALL_DATA
                .error(format_args!("the body ended before its announced end: {error}")),
        })?;
    let bytes = collected.to_bytes();
    if encoding == Encoding::Identity && !frames {
        return Ok(bytes.to_vec());
    }
    // Hundreds of megabytes may come out: not on the runtime's threads.
    let decoded = tokio::task::spawn_blocking(move || decode(&bytes, encoding, frames)).await;
    decoded.map_err(|_| code::CANNOT_DECOMPRESS.error("decompression was cancelled"))?
}

fn too_large() -> Exception {
    code::TOO_MANY_BYTES.error(format_args!(
        "a body of more than {BODY_BYTES_MAX} bytes: the embedded shard holds it in memory"
    ))
}

fn decode(bytes: &[u8], encoding: Encoding, frames: bool) -> Outcome<Vec<u8>> {
    let decoded = match encoding {
        Encoding::Identity => bytes.to_vec(),
        Encoding::Gzip => inflate(MultiGzDecoder::new(bytes))?,
        Encoding::Deflate => inflate(ZlibDecoder::new(bytes))?,
    };
    if frames {
        decode_frames(&decoded)
    } else {
        Ok(decoded)
    }
}

/// The decoder checks length and CRC, and that the stream is finished.
fn inflate(decoder: impl Read) -> Outcome<Vec<u8>> {
    let mut out = Vec::new();
    let limit = BODY_BYTES_MAX as u64 + 1;
    decoder.take(limit).read_to_end(&mut out).map_err(|error| {
        code::CANNOT_READ_ALL_DATA.error(format_args!(
            "the body's Content-Encoding is broken or cut: {error}"
        ))
    })?;
    if out.len() > BODY_BYTES_MAX {
        Err(too_large())
    } else {
        Ok(out)
    }
}

/// Concatenated frames: 16 bytes CityHash128 of what follows, the method, the compressed size with these 9
/// bytes of head, the raw size (both UInt32 little-endian), the data.
fn decode_frames(bytes: &[u8]) -> Outcome<Vec<u8>> {
    let mut cursor = Cursor::new(bytes);
    let mut out = Vec::new();
    while !cursor.is_at_end() {
        let at = cursor.at;
        decode_frame(&mut cursor, &mut out)
            .map_err(|error| error.at(format_args!("in the compressed frame at byte {at}")))?;
    }
    Ok(out)
}

fn decode_frame(cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Outcome<()> {
    let cut = || code::CANNOT_READ_ALL_DATA.error("a compressed frame is cut short");
    let head = cursor.rest().get(..FRAME_HEAD_BYTES).ok_or_else(cut)?;
    let (checksum, sizes) = head.split_at(16);
    let (compressed, raw) = (size(&sizes[1..5]), size(&sizes[5..]));
    if compressed < FRAME_SIZES_BYTES {
        return code::CANNOT_DECOMPRESS.refuse(format_args!("a compressed frame claims {compressed} bytes"));
    }
    cursor.bytes(16);
    let frame = cursor.bytes(compressed).ok_or_else(cut)?;
    check_sum(checksum, frame)?;
    if raw > BODY_BYTES_MAX - out.len() {
        return Err(too_large());
    }
    decompress(sizes[0], &frame[FRAME_SIZES_BYTES..], raw, out)
}

fn size(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .rev()
        .fold(0, |size, byte| size << 8 | usize::from(*byte))
}

fn check_sum(checksum: &[u8], frame: &[u8]) -> Outcome<()> {
    let (low, high) = types::city_hash_128(frame);
    let computed = [low.to_le_bytes(), high.to_le_bytes()].concat();
    match computed == checksum {
        true => Ok(()),
        false => {
            code::CHECKSUM_DOESNT_MATCH.refuse("checksum doesn't match: corrupted data in a compressed frame")
        }
    }
}

fn decompress(method: u8, data: &[u8], raw: usize, out: &mut Vec<u8>) -> Outcome<()> {
    let from = out.len();
    match method {
        METHOD_NONE if data.len() == raw => out.extend_from_slice(data),
        METHOD_LZ4 => {
            out.resize(from + raw, 0);
            let written = lz4_flex::block::decompress_into(data, &mut out[from..]);
            let written = written.map_err(|error| {
                code::CANNOT_DECOMPRESS.error(format_args!("cannot decompress LZ4: {error}"))
            })?;
            if written != raw {
                return code::CANNOT_DECOMPRESS
                    .refuse(format_args!("LZ4 gave {written} bytes instead of {raw}"));
            }
        }
        METHOD_NONE => return code::CANNOT_DECOMPRESS.refuse("the sizes of an uncompressed frame differ"),
        other => {
            return code::UNKNOWN_CODEC.refuse(format_args!(
                "unknown compression method 0x{other:02x} of a frame"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn frame(method: u8, raw: &[u8]) -> Vec<u8> {
        let data = if method == METHOD_LZ4 {
            lz4_flex::block::compress(raw)
        } else {
            raw.to_vec()
        };
        let mut checked = vec![method];
        checked.extend(((data.len() + FRAME_SIZES_BYTES) as u32).to_le_bytes());
        checked.extend((raw.len() as u32).to_le_bytes());
        checked.extend(data);
        let (low, high) = types::city_hash_128(&checked);
        [low.to_le_bytes().as_slice(), &high.to_le_bytes(), &checked].concat()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn body() -> Vec<u8> {
        [
            frame(METHOD_LZ4, b"hello hello hello "),
            frame(METHOD_NONE, b"world"),
        ]
        .concat()
    }

    #[test]
    fn frames_gzip_and_both_together_are_decoded() {
        assert_eq!(
            decode(&body(), Encoding::Identity, true).unwrap(),
            b"hello hello hello world"
        );
        assert_eq!(decode(&gzip(b"plain"), Encoding::Gzip, false).unwrap(), b"plain");
        assert_eq!(
            decode(&gzip(&body()), Encoding::Gzip, true).unwrap(),
            b"hello hello hello world"
        );
        let members = [gzip(b"two "), gzip(b"members")].concat();
        assert_eq!(decode(&members, Encoding::Gzip, false).unwrap(), b"two members");
        assert_eq!(decode(b"", Encoding::Identity, true).unwrap(), b"");
    }

    #[test]
    fn a_gzip_body_cut_anywhere_is_refused() {
        let whole = gzip(&body());
        for len in 1..whole.len() {
            assert!(
                decode(&whole[..len], Encoding::Gzip, true).is_err(),
                "cut at {len}"
            );
        }
    }

    #[test]
    fn a_broken_frame_is_refused_with_its_place() {
        let mut flipped = body();
        *flipped.last_mut().unwrap() ^= 1;
        let error = decode(&flipped, Encoding::Identity, true).unwrap_err();
        assert_eq!(error.code, code::CHECKSUM_DOESNT_MATCH);
        assert!(error.text.contains("in the compressed frame at byte"), "{error}");
        let cut = &body()[..30];
        assert_eq!(
            decode(cut, Encoding::Identity, true).unwrap_err().code,
            code::CANNOT_READ_ALL_DATA
        );
        let unknown = frame(0x90, b"zstd");
        assert_eq!(
            decode(&unknown, Encoding::Identity, true).unwrap_err().code,
            code::UNKNOWN_CODEC
        );
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes, Encoding::Identity, true);
            let _ = decode(&bytes, Encoding::Gzip, true);
        }
    }
}
