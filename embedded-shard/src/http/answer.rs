//! Answers as ClickHouse sends them.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;

use crate::error::Exception;
use crate::store::{Answer, Summary};

/// Answers are whole before they are sent.
pub(crate) type Body = Full<Bytes>;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=UTF-8");
const QUERY_ID: HeaderName = HeaderName::from_static("x-clickhouse-query-id");
const SUMMARY: HeaderName = HeaderName::from_static("x-clickhouse-summary");
const FORMAT: HeaderName = HeaderName::from_static("x-clickhouse-format");
const TIMEZONE: HeaderName = HeaderName::from_static("x-clickhouse-timezone");
const DISPLAY_NAME: HeaderName = HeaderName::from_static("x-clickhouse-server-display-name");
const EXCEPTION_CODE: HeaderName = HeaderName::from_static("x-clickhouse-exception-code");

/// `Ok.`, to pings.
pub(super) fn ok() -> Response<Body> {
    let mut response = Response::new(Full::from("Ok.\n"));
    response.headers_mut().insert(http::header::CONTENT_TYPE, TEXT);
    response
}

/// A statement's answer.
pub(super) fn success(name: &str, query_id: &str, answer: Answer) -> Response<Body> {
    let mut response = Response::new(Full::from(answer.body));
    let headers = response.headers_mut();
    headers.insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static(answer.format.content_type()),
    );
    headers.insert(FORMAT, HeaderValue::from_static(answer.format.name()));
    headers.insert(SUMMARY, value(&summary(answer.summary)));
    describe(&mut response, name, query_id);
    response
}

/// An error's answer.
pub(super) fn error(name: &str, query_id: &str, error: &Exception) -> Response<Body> {
    let mut response = Response::new(Full::from(format!("{error}\n")));
    *response.status_mut() =
        StatusCode::from_u16(error.code.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, TEXT);
    headers.insert(EXCEPTION_CODE, HeaderValue::from(error.code.number));
    describe(&mut response, name, query_id);
    response
}

/// The headers every answer has.
fn describe(response: &mut Response<Body>, name: &str, query_id: &str) {
    let headers = response.headers_mut();
    headers.insert(QUERY_ID, value(query_id));
    headers.insert(DISPLAY_NAME, value(name));
    headers.insert(TIMEZONE, HeaderValue::from_static("UTC"));
}

/// A header's value; text that cannot be one is left empty rather than the answer lost.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// JSON with its numbers as strings, as clients expect it.
fn summary(summary: Summary) -> String {
    let Summary {
        read_rows,
        written_rows,
        written_bytes,
        result_rows,
    } = summary;
    format!(
        "{{\"read_rows\":\"{read_rows}\",\"read_bytes\":\"0\",\"written_rows\":\"{written_rows}\",\
         \"written_bytes\":\"{written_bytes}\",\"total_rows_to_read\":\"0\",\"result_rows\":\"{result_rows}\",\
         \"result_bytes\":\"0\"}}"
    )
}
