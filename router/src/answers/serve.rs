//! A kept answer on its way to a client: compressed as the request asks, and saying how old it is.

use std::io::Write as _;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, HeaderName, HeaderValue};
use http::{HeaderMap, Response};

use super::Kept;
use crate::http::answer::{self, Answer};
use crate::http::request::Head;

/// Tells a client, and whoever looks for it, that no replica gave this answer now.
const CACHED: HeaderName = HeaderName::from_static("x-weir-cached");
const QUERY_ID: HeaderName = HeaderName::from_static("x-clickhouse-query-id");

/// Raw bytes of one compressed block, as ClickHouse cuts them (max_compress_block_size).
const BLOCK_BYTES: usize = 1 << 20;

/// An encoding of the whole body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Lz4,
    Gzip,
    Deflate,
}

/// The order in which one is chosen among those that a client takes. Others than these are answered plain, which
/// every client takes.
const ENCODINGS: &[(&str, Encoding)] = &[
    ("lz4", Encoding::Lz4),
    ("gzip", Encoding::Gzip),
    ("deflate", Encoding::Deflate),
];

/// The answer to this request.
pub fn answer(kept: &Kept, head: &Head, headers: &HeaderMap, now_ms: u64) -> Answer {
    let encoding = encoding(head, headers);
    let blocks = is_set(head, "compress");
    // Writing into memory cannot fail; if it did, the plain body would be a wrong answer, and none is better.
    let body = encoded(&kept.body, blocks, encoding).unwrap_or_default();
    let mut answer = Response::new(answer::full(body));
    *answer.headers_mut() = kept.headers.clone();
    let headers = answer.headers_mut();
    headers.remove(CONTENT_LENGTH);
    let age = now_ms.saturating_sub(kept.learned_ms) / 1000;
    headers.insert(CACHED, HeaderValue::from(age));
    if let Ok(query_id) = HeaderValue::from_str(&head.query_id) {
        headers.insert(QUERY_ID, query_id);
    }
    if let Some((name, _)) = ENCODINGS.iter().find(|(_, known)| Some(*known) == encoding) {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
    }
    answer
}

fn is_set(head: &Head, name: &str) -> bool {
    let mut given = head.settings.iter().rev();
    given
        .find(|(known, _)| known == name)
        .is_some_and(|(_, value)| value != "0" && !value.eq_ignore_ascii_case("false"))
}

/// ClickHouse looks at Accept-Encoding only under this setting, and so do the clients that need it.
fn encoding(head: &Head, headers: &HeaderMap) -> Option<Encoding> {
    if !is_set(head, "enable_http_compression") {
        return None;
    }
    let accepted = headers.get(ACCEPT_ENCODING)?.to_str().ok()?.to_ascii_lowercase();
    let takes = |name: &str| {
        let mut offers = accepted.split(',').map(str::trim);
        offers.any(|offer| {
            let (coding, weight) = offer.split_once(';').unwrap_or((offer, ""));
            coding.trim_end() == name && !is_zero(weight)
        })
    };
    let found = ENCODINGS.iter().find(|(name, _)| takes(name));
    found.map(|(_, encoding)| *encoding)
}

/// `q=0`: anything but this.
fn is_zero(weight: &str) -> bool {
    let value = weight.trim().strip_prefix("q=");
    value.is_some_and(|value| value.trim().parse() == Ok(0.0_f32))
}

fn encoded(plain: &Bytes, blocks: bool, encoding: Option<Encoding>) -> std::io::Result<Bytes> {
    let inner = if blocks { in_blocks(plain)? } else { plain.clone() };
    Ok(match encoding {
        None => inner,
        Some(Encoding::Gzip) => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(&inner)?;
            out.finish()?.into()
        }
        Some(Encoding::Deflate) => {
            let mut out = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(&inner)?;
            out.finish()?.into()
        }
        Some(Encoding::Lz4) => {
            let mut out = lz4_flex::frame::FrameEncoder::new(Vec::new());
            out.write_all(&inner)?;
            out.finish().map_err(std::io::Error::other)?.into()
        }
    })
}

/// ClickHouse's own compressed blocks, what `compress=1` asks for.
fn in_blocks(plain: &[u8]) -> std::io::Result<Bytes> {
    let mut out = Vec::new();
    for piece in plain.chunks(BLOCK_BYTES) {
        spool::frames::compress(piece, &mut out).map_err(std::io::Error::other)?;
    }
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use http::{Method, Uri};
    use http_body_util::BodyExt as _;

    use super::*;

    const BODY: &[u8] = b"26.9.1\tUTC\n";

    async fn served(uri: &str, accept: Option<&str>) -> (HeaderMap, Vec<u8>) {
        let uri: Uri = uri.parse().unwrap();
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(ACCEPT_ENCODING, accept.parse().unwrap());
        }
        let head = Head::read(&Method::POST, &uri, &headers).unwrap();
        let mut own = HeaderMap::new();
        own.insert("x-clickhouse-format", HeaderValue::from_static("TabSeparated"));
        let kept = Kept {
            headers: own,
            body: BODY.into(),
            learned_ms: 1_000,
        };
        let answer = answer(&kept, &head, &headers, 8_999);
        let (parts, body) = answer.into_parts();
        (parts.headers, body.collect().await.unwrap().to_bytes().to_vec())
    }

    #[tokio::test]
    async fn a_kept_answer_says_how_old_it_is_and_whose_question_it_answers() {
        let (headers, body) = served("/?query_id=q7", Some("gzip")).await;
        assert_eq!(
            (headers["x-weir-cached"].as_bytes(), body.as_slice()),
            (&b"7"[..], BODY)
        );
        assert_eq!(headers["x-clickhouse-query-id"], "q7");
        assert_eq!(headers["x-clickhouse-format"], "TabSeparated");
        assert!(!headers.contains_key(CONTENT_ENCODING), "it was not enabled");
    }

    #[tokio::test]
    async fn compress_1_is_answered_in_clickhouses_blocks() {
        let (_, body) = served("/?compress=1", None).await;
        let mut plain = Vec::new();
        spool::frames::decompress(&body, &mut plain).unwrap();
        assert_eq!(plain, BODY);
        assert_eq!(served("/?compress=0", None).await.1, BODY);
    }

    #[tokio::test]
    async fn accept_encoding_is_obeyed_where_http_compression_is_enabled() {
        let enabled = "/?enable_http_compression=1";
        let (headers, body) = served(enabled, Some("br, gzip;q=0.5")).await;
        assert_eq!(headers[CONTENT_ENCODING], "gzip");
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&body[..])
            .read_to_end(&mut plain)
            .unwrap();
        assert_eq!(plain, BODY);

        let (headers, body) = served(enabled, Some("lz4")).await;
        assert_eq!(headers[CONTENT_ENCODING], "lz4");
        let mut plain = Vec::new();
        lz4_flex::frame::FrameDecoder::new(&body[..])
            .read_to_end(&mut plain)
            .unwrap();
        assert_eq!(plain, BODY);

        let (headers, body) = served(enabled, Some("br, zstd, gzip;q=0.0")).await;
        assert!(!headers.contains_key(CONTENT_ENCODING));
        assert_eq!(body, BODY);
    }

    #[tokio::test]
    async fn blocks_inside_an_encoding_are_what_clickhouse_sends_for_both() {
        let (headers, body) = served("/?compress=1&enable_http_compression=1", Some("deflate")).await;
        assert_eq!(headers[CONTENT_ENCODING], "deflate");
        let mut blocks = Vec::new();
        flate2::read::ZlibDecoder::new(&body[..])
            .read_to_end(&mut blocks)
            .unwrap();
        let mut plain = Vec::new();
        spool::frames::decompress(&blocks, &mut plain).unwrap();
        assert_eq!(plain, BODY);
    }
}
