//! What a request's head asks: pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_ENCODING};
use http::request::Parts;
use percent_encoding::percent_decode_str;

use super::body::Encoding;
use crate::error::{Outcome, code};
use crate::settings::Settings;

/// A head, read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// The URL's part of the statement; the body follows it.
    pub query: String,
    pub query_id: String,
    pub user: String,
    pub password: String,
    pub database: String,
    /// `default_format` or `X-ClickHouse-Format`.
    pub format: Option<String>,
    pub encoding: Encoding,
    /// The body, under its encoding, is ClickHouse's compressed frames.
    pub decompress: bool,
    pub settings: Settings,
}

/// Parameters that change nothing here: sessions, roles, quotas.
const IGNORED: &[&str] = &[
    "session_id",
    "session_timeout",
    "session_check",
    "quota_key",
    "role",
    "client_protocol_version",
];

impl Asked {
    /// Reads the URL and the headers; an unknown parameter is an unknown setting.
    pub fn new(head: &Parts) -> Outcome<Self> {
        let header = |name: &str| {
            head.headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        let mut asked = Self {
            query: String::new(),
            query_id: header("x-clickhouse-query-id").unwrap_or_default(),
            user: String::new(),
            password: String::new(),
            database: header("x-clickhouse-database").unwrap_or_else(|| "default".to_owned()),
            format: header("x-clickhouse-format"),
            encoding: Encoding::named(header(CONTENT_ENCODING.as_str()).as_deref())?,
            decompress: false,
            settings: Settings::default(),
        };
        let mut url_user = None;
        for (name, value) in parameters(head.uri.query().unwrap_or_default())? {
            match name.as_str() {
                "query" => asked.query = value,
                "query_id" => asked.query_id = value,
                "user" => url_user = Some(value),
                "password" => asked.password = value,
                "database" => asked.database = value,
                "default_format" => asked.format = Some(value),
                "decompress" => asked.decompress = value == "1",
                "compress" if value == "1" => {
                    return code::NOT_IMPLEMENTED
                        .refuse("the embedded shard does not compress its answers (compress=1)");
                }
                "compress" => {}
                known if IGNORED.contains(&known) => {}
                setting => asked.settings.set(setting, &value)?,
            }
        }
        asked.identify(head, url_user)?;
        if asked.query_id.is_empty() {
            asked.query_id = uuid::Uuid::new_v4().to_string();
        }
        Ok(asked)
    }

    /// User and password: the headers', else Basic's, else the URL's, else `default`. ClickHouse refuses a
    /// mixture.
    fn identify(&mut self, head: &Parts, url_user: Option<String>) -> Outcome<()> {
        let header = |name: &str| {
            head.headers
                .get(name)
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let (own_user, own_key) = (header("x-clickhouse-user"), header("x-clickhouse-key"));
        let authorization = header(AUTHORIZATION.as_str());
        if own_user.is_some() && authorization.is_some() {
            return code::AUTHENTICATION_FAILED
                .refuse("it is not allowed to use X-ClickHouse-User and Authorization at the same time");
        }
        if let Some(authorization) = authorization {
            (self.user, self.password) = basic(&authorization)?;
        } else if own_user.is_some() || own_key.is_some() {
            self.user = own_user.unwrap_or_default();
            self.password = own_key.unwrap_or_default();
        } else {
            self.user = url_user.unwrap_or_default();
        }
        if self.user.is_empty() {
            "default".clone_into(&mut self.user);
        }
        Ok(())
    }
}

fn basic(authorization: &str) -> Outcome<(String, String)> {
    let decoded = authorization
        .strip_prefix("Basic ")
        .and_then(|token| STANDARD.decode(token.trim()).ok());
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    match decoded.as_deref().and_then(|pair| pair.split_once(':')) {
        Some((user, password)) => Ok((user.to_owned(), password.to_owned())),
        None => code::AUTHENTICATION_FAILED
            .refuse("invalid authentication: expected Basic with user and password"),
    }
}

/// The URL's parameters, decoded; `+` is a space.
fn parameters(query: &str) -> Outcome<Vec<(String, String)>> {
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_decode_str(&spaced)
            .decode_utf8()
            .map(|text| text.into_owned())
            .map_err(|_| code::BAD_ARGUMENTS.error(format_args!("the URL's parameter {text} is not UTF-8")))
    };
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Ok((decode(name)?, decode(value)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(url: &str, headers: &[(&str, &str)]) -> Outcome<Asked> {
        let mut request = http::Request::builder().uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Asked::new(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn the_url_names_query_database_format_and_settings() {
        let url = "/?query=SELECT+1%2B1&database=d&query_id=q&default_format=JSONEachRow&insert_deduplication_token=t&decompress=1";
        let asked = asked(url, &[]).unwrap();
        assert_eq!(
            (
                asked.query.as_str(),
                asked.database.as_str(),
                asked.query_id.as_str()
            ),
            ("SELECT 1+1", "d", "q")
        );
        assert_eq!(asked.format.as_deref(), Some("JSONEachRow"));
        assert_eq!(asked.settings.deduplication_token.as_deref(), Some("t"));
        assert!(asked.decompress);
    }

    #[track_caller]
    fn identifies(url: &str, headers: &[(&str, &str)], user: &str, password: &str) {
        let asked = asked(url, headers).unwrap();
        assert_eq!((asked.user.as_str(), asked.password.as_str()), (user, password));
    }

    #[test]
    fn a_user_comes_from_headers_basic_or_the_url() {
        identifies("/", &[], "default", "");
        identifies("/?user=u&password=p", &[], "u", "p");
        identifies(
            "/",
            &[("X-ClickHouse-User", "u"), ("X-ClickHouse-Key", "p")],
            "u",
            "p",
        );
        identifies("/", &[("Authorization", "Basic dTpwOnE=")], "u", "p:q");
    }

    #[track_caller]
    fn refuses(url: &str, headers: &[(&str, &str)], code: crate::error::Code) {
        assert_eq!(asked(url, headers).unwrap_err().code, code);
    }

    #[test]
    fn what_cannot_be_obeyed_is_refused() {
        refuses("/?zzz=1", &[], code::UNKNOWN_SETTING);
        refuses("/?compress=1", &[], code::NOT_IMPLEMENTED);
        refuses("/?query=%ff", &[], code::BAD_ARGUMENTS);
        refuses("/", &[("Authorization", "Bearer x")], code::AUTHENTICATION_FAILED);
        refuses(
            "/",
            &[("Authorization", "Basic dTpw"), ("X-ClickHouse-User", "u")],
            code::AUTHENTICATION_FAILED,
        );
        refuses("/", &[("Content-Encoding", "br")], code::NOT_IMPLEMENTED);
    }
}
