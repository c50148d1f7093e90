//! What a client is answered: results, summaries and errors with ClickHouse's headers.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};

use crate::exception::Exception;

/// Any error of a body that is passed through.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// An answer with a body of any kind.
pub type Answer = Response<BoxBody<Bytes, BodyError>>;

const PLAIN_TEXT: &str = "text/plain; charset=UTF-8";

/// What every answer to a query says of itself.
#[derive(Debug, Clone)]
pub struct Heading<'a> {
    /// Echoed, or made by Weir.
    pub query_id: &'a str,
    /// X-ClickHouse-Timezone, when a server's is known.
    pub time_zone: Option<&'a str>,
}

/// The end of an INSERT, as its answer tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InsertSummary {
    /// Rows of all shares.
    pub written_rows: u64,
    /// Raw bytes of all shares.
    pub written_bytes: u64,
    /// The INSERT's id, where it is durable; of a retry the first INSERT's.
    pub receipt: Option<String>,
    /// It is a retry of an INSERT that was accepted before.
    pub is_duplicate: bool,
    /// Why not everything that the answer could have waited for is delivered yet.
    pub waiting: Option<String>,
    /// From the request's head to the answer.
    pub elapsed_ns: u64,
}

/// An answer of text.
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(full(body.into()));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(PLAIN_TEXT));
    answer
}

/// A whole body.
pub fn full(bytes: Bytes) -> BoxBody<Bytes, BodyError> {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

/// An error in ClickHouse's form.
pub fn exception(exception: &Exception, heading: &Heading<'_>) -> Answer {
    let mut answer = text(exception.status, format!("{exception}\n"));
    set(
        &mut answer,
        "x-clickhouse-exception-code",
        &exception.code.to_string(),
    );
    if let Some(seconds) = exception.retry_after {
        answer
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    put_heading(&mut answer, heading);
    answer
}

/// Success of an INSERT: exactly 200 and an empty body, the rest in headers.
pub fn inserted(summary: &InsertSummary, heading: &Heading<'_>) -> Answer {
    let mut answer = text(StatusCode::OK, Bytes::new());
    set(&mut answer, "x-clickhouse-summary", &summary_json(summary));
    put_receipt(&mut answer, summary);
    if let Some(waiting) = &summary.waiting {
        set(&mut answer, "x-weir-waiting", waiting);
    }
    put_heading(&mut answer, heading);
    answer
}

/// Success of a statement that answers nothing.
pub fn done(heading: &Heading<'_>) -> Answer {
    let mut answer = text(StatusCode::OK, Bytes::new());
    put_heading(&mut answer, heading);
    answer
}

/// Says that an error's INSERT is accepted all the same.
pub fn with_receipt(mut answer: Answer, summary: &InsertSummary) -> Answer {
    put_receipt(&mut answer, summary);
    answer
}

fn put_receipt(answer: &mut Answer, summary: &InsertSummary) {
    if let Some(receipt) = &summary.receipt {
        set(answer, "x-weir-receipt", receipt);
    }
    if summary.is_duplicate {
        set(answer, "x-weir-duplicate", "1");
    }
}

/// Numbers are strings, as ClickHouse writes them.
fn summary_json(summary: &InsertSummary) -> String {
    let InsertSummary {
        written_rows: rows,
        written_bytes: bytes,
        elapsed_ns,
        ..
    } = summary;
    format!(
        r#"{{"read_rows":"{rows}","read_bytes":"{bytes}","written_rows":"{rows}","written_bytes":"{bytes}","total_rows_to_read":"0","result_rows":"{rows}","result_bytes":"{bytes}","elapsed_ns":"{elapsed_ns}"}}"#
    )
}

fn put_heading(answer: &mut Answer, heading: &Heading<'_>) {
    set(answer, "x-clickhouse-query-id", heading.query_id);
    set(answer, "x-clickhouse-server-display-name", "weir");
    if let Some(time_zone) = heading.time_zone {
        set(answer, "x-clickhouse-timezone", time_zone);
    }
}

/// A header whose value is not fit for one (a query id with a line feed, say) is left out.
fn set(answer: &mut Answer, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(HeaderName::from_static(name), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exception::code;

    const HEADING: Heading<'_> = Heading {
        query_id: "q1",
        time_zone: Some("UTC"),
    };

    #[test]
    fn a_success_is_exactly_200_with_an_empty_body_and_a_valid_summary() {
        let summary = InsertSummary {
            written_rows: 3,
            written_bytes: 30,
            receipt: Some("r".into()),
            ..Default::default()
        };
        let answer = inserted(&summary, &HEADING);
        assert_eq!(answer.status(), 200);
        let json: serde_json::Value =
            serde_json::from_slice(answer.headers()["x-clickhouse-summary"].as_bytes()).unwrap();
        assert_eq!(json["written_rows"], "3");
        assert_eq!(answer.headers()["x-clickhouse-query-id"], "q1");
        assert_eq!(answer.headers()["x-weir-receipt"], "r");
        assert!(!answer.headers().contains_key("x-weir-duplicate"));
        let retry = InsertSummary {
            is_duplicate: true,
            ..summary
        };
        assert_eq!(inserted(&retry, &HEADING).headers()["x-weir-duplicate"], "1");
    }

    #[test]
    fn an_error_carries_code_status_and_retry_after() {
        let answer = exception(
            &Exception::try_again(code::TOO_MANY_SIMULTANEOUS_QUERIES, 5, "busy"),
            &HEADING,
        );
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.headers()["x-clickhouse-exception-code"], "202");
        assert_eq!(answer.headers()["retry-after"], "5");
    }

    #[test]
    fn a_query_id_that_is_no_header_is_left_out() {
        let answer = inserted(
            &InsertSummary::default(),
            &Heading {
                query_id: "a\nb",
                time_zone: None,
            },
        );
        assert!(!answer.headers().contains_key("x-clickhouse-query-id"));
    }
}
