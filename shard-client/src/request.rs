//! What goes on the wire, as pure functions: targets, encodings, headers.

use http::header::{CONTENT_ENCODING, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http::uri::PathAndQuery;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::error::Failure;
use crate::replica::InsertRequest;

/// The longest request target. `http::Uri` ends at 65,534 bytes; 18.16 itself answers 400 beyond 16,384
/// (`http_max_uri_size`), later versions beyond 1 MiB. An INSERT that names very many columns can put the
/// statement before the rows, inside its payload, instead.
pub const TARGET_BYTES_MAX: usize = 65_000;

/// The header that carries the user.
pub const USER: HeaderName = HeaderName::from_static("x-clickhouse-user");
/// The header that carries the password.
pub const KEY: HeaderName = HeaderName::from_static("x-clickhouse-key");

/// Everything but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// `/?name=value&…`, percent-encoded.
pub fn target<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<PathAndQuery, Failure> {
    let mut target = String::from("/");
    for (name, value) in parameters {
        target.push(if target.len() == 1 { '?' } else { '&' });
        target.extend(utf8_percent_encode(name, RESERVED));
        target.push('=');
        target.extend(utf8_percent_encode(value, RESERVED));
    }
    if target.len() > TARGET_BYTES_MAX {
        let bytes = target.len();
        return Err(Failure::Request(format!(
            "a target of {bytes} bytes, at most {TARGET_BYTES_MAX} are possible"
        )));
    }
    PathAndQuery::try_from(target).map_err(|error| Failure::Request(error.to_string()))
}

/// The parameters of an INSERT, in the order in which they are sent.
pub fn insert_parameters<'a>(
    insert: &'a InsertRequest,
    database: Option<&'a str>,
) -> Vec<(&'a str, &'a str)> {
    let mut parameters = vec![
        ("query", insert.statement.as_str()),
        ("query_id", insert.query_id.as_str()),
    ];
    parameters.extend(database.map(|database| ("database", database)));
    parameters.push(("decompress", "1"));
    parameters.extend(
        insert
            .settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    );
    parameters
}

/// The parameters of a query whose text is the body. `wait_end_of_query` makes the server keep its answer
/// back until it knows how the query ended, so that the status is true even where the answer has no exception
/// frame.
pub fn query_parameters<'a>(
    settings: &'a [(&'a str, &'a str)],
    database: Option<&'a str>,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let fixed = [("wait_end_of_query", "1")];
    fixed
        .into_iter()
        .chain(database.map(|database| ("database", database)))
        .chain(settings.iter().copied())
}

/// Host and agent.
pub fn common_headers(address: &str) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, value("host", address)?);
    headers.insert(USER_AGENT, HeaderValue::from_static("weir"));
    Ok(headers)
}

/// Names the gzip member around the body.
pub fn announce_envelope(headers: &mut HeaderMap) {
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
}

/// Puts user and password in: the password marked as not to be shown, and left out when there is none.
pub fn add_credentials(headers: &mut HeaderMap, user: &str, password: &str) -> Result<(), Failure> {
    headers.insert(USER, value("the user's name", user)?);
    headers.remove(KEY);
    if !password.is_empty() {
        let mut key = value("the password", password)?;
        key.set_sensitive(true);
        headers.insert(KEY, key);
    }
    Ok(())
}

/// The words of the error leave the value out: it may be the password.
fn value(what: &str, text: &str) -> Result<HeaderValue, Failure> {
    HeaderValue::from_bytes(text.as_bytes())
        .map_err(|_| Failure::Request(format!("{what} has a character that no header can carry")))
}

/// An identifier in back-quotes.
pub fn quoted_name(name: &str) -> String {
    quoted(name, '`')
}

/// A string literal in single quotes.
pub fn quoted_text(text: &str) -> String {
    quoted(text, '\'')
}

fn quoted(text: &str, quote: char) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        if c == quote || c == '\\' {
            out.push('\\');
        }
        out.push(c);
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_target(parameters: &[(&str, &str)], expected: &str) {
        assert_eq!(target(parameters.iter().copied()).unwrap().as_str(), expected);
    }

    #[test]
    fn parameters_are_percent_encoded() {
        check_target(&[], "/");
        check_target(&[("query", "INSERT INTO `d`.t (a, b) FORMAT CSV")], {
            "/?query=INSERT%20INTO%20%60d%60.t%20%28a%2C%20b%29%20FORMAT%20CSV"
        });
        check_target(
            &[("a", "x&y=z+1%"), ("b", "é\n")],
            "/?a=x%26y%3Dz%2B1%25&b=%C3%A9%0A",
        );
    }

    #[test]
    fn a_target_that_no_request_line_can_hold_is_refused_before_it_is_sent() {
        let long = "x".repeat(TARGET_BYTES_MAX);
        assert!(matches!(
            target([("query", long.as_str())]),
            Err(Failure::Request(_))
        ));
    }

    #[test]
    fn an_insert_names_its_statement_id_and_settings() {
        let insert = InsertRequest {
            statement: "INSERT".into(),
            settings: vec![("async_insert".into(), "0".into())],
            query_id: "q-1".into(),
            ..InsertRequest::default()
        };
        let target = target(insert_parameters(&insert, Some("db"))).unwrap();
        assert_eq!(
            target.as_str(),
            "/?query=INSERT&query_id=q-1&database=db&decompress=1&async_insert=0"
        );
    }

    #[test]
    fn the_password_stands_in_its_header_only_and_is_not_shown() {
        let mut headers = common_headers("ch:8123").unwrap();
        add_credentials(&mut headers, "writer", "secret").unwrap();
        assert_eq!(headers[KEY], "secret");
        assert!(!format!("{headers:?}").contains("secret"));
    }

    #[test]
    fn a_password_that_no_header_can_carry_is_refused_without_being_told() {
        let refused = add_credentials(&mut HeaderMap::new(), "writer", "se\ncret").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "cannot be sent: the password has a character that no header can carry"
        );
    }

    #[test]
    fn names_and_texts_are_quoted() {
        assert_eq!(quoted_name("a`b\\c"), "`a\\`b\\\\c`");
        assert_eq!(quoted_text("it's"), "'it\\'s'");
    }
}
