//! What an answer means, as pure functions over its status, headers and body.
//!
//! | Answer | Meaning |
//! |---|---|
//! | 200, no `X-ClickHouse-Exception-Code`, no exception frame | success |
//! | an exception code in header or text, or an exception frame, whatever the status | the server's exception |
//! | anything else, also another 2xx | no ClickHouse server answered |

use std::time::Duration;

use http::header::{HeaderMap, HeaderName, RETRY_AFTER};
use http::{HeaderValue, StatusCode};

use crate::error::Failure;
use crate::server_error::ServerError;

/// The most bytes of an error, or of the answer to an INSERT, that are read.
pub const ERROR_BYTES_MAX: usize = 64 * 1024;

const EXCEPTION_CODE: HeaderName = HeaderName::from_static("x-clickhouse-exception-code");
const EXCEPTION_TAG: HeaderName = HeaderName::from_static("x-clickhouse-exception-tag");
const SUMMARY: HeaderName = HeaderName::from_static("x-clickhouse-summary");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// The mark around an exception that happened after the answer had begun as a success.
const FRAME: &[u8] = b"__exception__\r\n";

/// Whether the answer is a success, and if not, what it is. `body` is all that was read of it.
pub fn verdict(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<(), Failure> {
    let code = number(headers, &EXCEPTION_CODE);
    let framed = framed_exception(headers, body);
    if status == StatusCode::OK && code.is_none() && framed.is_none() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(framed.unwrap_or(body)).into_owned();
    Err(match ServerError::read(status.as_u16(), code, &text) {
        Some(error) => Failure::Server(ServerError {
            retry_after: retry_after(headers),
            ..error
        }),
        None => Failure::Foreign {
            status: status.as_u16(),
            text,
        },
    })
}

/// `written_rows` of `X-ClickHouse-Summary`; 18.16 has no such header.
pub fn written_rows(headers: &HeaderMap) -> Option<u64> {
    let summary: serde_json::Value = serde_json::from_slice(headers.get(SUMMARY)?.as_bytes()).ok()?;
    let rows = summary.get("written_rows")?;
    rows.as_u64().or_else(|| rows.as_str()?.parse().ok())
}

/// How long the server keeps the idle connection: `Keep-Alive: timeout=3`.
pub fn keep_alive(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(KEEP_ALIVE)?.to_str().ok()?;
    let seconds = value
        .split(',')
        .find_map(|part| part.trim().strip_prefix("timeout="))?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

/// `Retry-After` in seconds. Its other form, a date, is not used by ClickHouse and counts as absent.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    number(headers, &RETRY_AFTER).map(|seconds| Duration::from_secs(u64::from(seconds)))
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u32> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// The exception's text out of its frame, `__exception__\r\n<tag>\r\n<text>\n<length>
/// <tag>\r\n__exception__\r\n`.
///
/// The tag is random and announced in a header, so that no row can pass for a frame. Servers before the tag
/// write
/// `__exception__\r\n<text>`.
fn framed_exception<'a>(headers: &HeaderMap, body: &'a [u8]) -> Option<&'a [u8]> {
    match headers.get(EXCEPTION_TAG) {
        Some(tag) => tagged_exception(tag, body),
        None => after(body, FRAME),
    }
}

fn tagged_exception<'a>(tag: &HeaderValue, body: &'a [u8]) -> Option<&'a [u8]> {
    let mut mark = FRAME.to_vec();
    mark.extend_from_slice(tag.as_bytes());
    let text = after(body, &mark)?;
    let end = find(text, FRAME).unwrap_or(text.len());
    Some(without_trailer(&text[..end]))
}

/// Takes off the frame's last line, `<length> <tag>`.
fn without_trailer(text: &[u8]) -> &[u8] {
    let text = text.trim_ascii();
    text.iter()
        .rposition(|&b| b == b'\n')
        .map_or(text, |at| text[..at].trim_ascii_end())
}

fn after<'a>(body: &'a [u8], mark: &[u8]) -> Option<&'a [u8]> {
    find(body, mark).map(|at| &body[at + mark.len()..])
}

fn find(body: &[u8], mark: &[u8]) -> Option<usize> {
    body.windows(mark.len()).position(|window| window == mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)))
            .collect()
    }

    #[track_caller]
    fn check(status: u16, pairs: &[(&'static str, &'static str)], body: &str, expected: Result<(), &str>) {
        let verdict = verdict(
            StatusCode::from_u16(status).unwrap(),
            &headers(pairs),
            body.as_bytes(),
        );
        assert_eq!(
            verdict.map_err(|failure| failure.to_string()),
            expected.map_err(str::to_owned)
        );
    }

    #[test]
    fn a_plain_200_is_a_success() {
        check(200, &[], "", Ok(()));
        check(200, &[], "1\tCode: 60. DB::Exception: only a row\n", Ok(()));
    }

    #[test]
    fn a_200_with_an_exception_code_is_a_failure() {
        let text = "Code: 241. DB::Exception: Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)";
        check(200, &[("x-clickhouse-exception-code", "241")], text, {
            Err("code 241: Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)")
        });
    }

    #[test]
    fn a_200_with_an_exception_frame_is_a_failure() {
        let body = "1\n2\n\r\n__exception__\r\nabcdefghijklmnop\r\nCode: 395. DB::Exception: Value is 3. (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO)\n57 abcdefghijklmnop\r\n__exception__\r\n";
        check(
            200,
            &[("x-clickhouse-exception-tag", "abcdefghijklmnop")],
            body,
            Err("code 395: Value is 3. (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO)"),
        );
        check(
            200,
            &[],
            "__exception__\r\nCode: 395. DB::Exception: Value is 3.",
            Err("code 395: Value is 3. (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO)"),
        );
    }

    #[test]
    fn a_row_cannot_pass_for_an_exception_frame() {
        check(
            200,
            &[("x-clickhouse-exception-tag", "abcdefghijklmnop")],
            "__exception__\r\nCode: 1.",
            Ok(()),
        );
    }

    #[test]
    fn an_error_without_a_header_is_read_from_its_text() {
        let text = "Code: 193, e.displayText() = DB::Exception: Wrong password for user writer, e.what() = DB::Exception";
        check(
            401,
            &[],
            text,
            Err("code 193: Wrong password for user writer (WRONG_PASSWORD)"),
        );
    }

    #[test]
    fn a_page_of_somebody_else_is_not_taken_for_clickhouse() {
        check(
            502,
            &[],
            "<html>\nbad gateway</html>",
            Err("status 502, not from clickhouse: <html>"),
        );
        check(202, &[], "", Err("status 202, not from clickhouse: "));
    }

    #[test]
    fn a_pause_is_read_from_its_header() {
        let verdict = verdict(
            StatusCode::SERVICE_UNAVAILABLE,
            &headers(&[("retry-after", "3"), ("x-clickhouse-exception-code", "202")]),
            b"Code: 202. DB::Exception: Too many",
        );
        let Err(Failure::Server(error)) = verdict else {
            panic!("{verdict:?}")
        };
        assert_eq!(error.retry_after, Some(Duration::from_secs(3)));
    }

    #[test]
    fn written_rows_are_read_from_the_summary() {
        let rows = |summary| written_rows(&headers(&[("x-clickhouse-summary", summary)]));
        assert_eq!(rows(r#"{"read_rows":"5","written_rows":"3"}"#), Some(3));
        assert_eq!(rows(r#"{"written_rows":3}"#), Some(3));
        assert_eq!(rows("not json"), None);
        assert_eq!(written_rows(&headers(&[])), None);
    }

    #[test]
    fn the_idle_time_is_read_from_keep_alive() {
        assert_eq!(
            keep_alive(&headers(&[("keep-alive", "timeout=3")])),
            Some(Duration::from_secs(3))
        );
        assert_eq!(
            keep_alive(&headers(&[("keep-alive", "max=9, timeout=10")])),
            Some(Duration::from_secs(10))
        );
        assert_eq!(keep_alive(&headers(&[("keep-alive", "max=9")])), None);
    }
}
