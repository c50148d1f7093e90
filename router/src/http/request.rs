//! A request's head: parameters, credentials, and what they say about the query. Pure.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, CONTENT_ENCODING};
use http::{HeaderMap, Method, Uri};
use percent_encoding::percent_decode_str;

use super::form::{self, Form};
use crate::exception::{Exception, code};

/// The URL's parameters and the headers that ClickHouse reads, in one place.
#[derive(Debug)]
pub struct Head {
    /// The request's method.
    pub method: Method,
    /// `/` for queries.
    pub path: String,
    /// The `query` parameter; empty when the query is in the body.
    pub query: String,
    /// The database that names without one mean, where the client says it.
    pub database: Option<String>,
    /// The client's query id, or a fresh one.
    pub query_id: String,
    /// Whether the client chose the query id.
    pub query_id_given: bool,
    /// Who asks.
    pub credentials: Credentials,
    /// X-ClickHouse-Format, or `default_format`.
    pub default_format: Option<String>,
    /// Every other parameter: settings, in the URL's order.
    pub settings: Vec<(String, String)>,
    /// The body's Content-Encoding as the client names it.
    pub content_encoding: Option<String>,
    /// The boundary of a multipart form, whose parts hold the query and its parameters.
    pub boundary: Option<String>,
}

/// A user's name and password as the client sent them.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `default` when the client names none.
    pub user: String,
    /// Empty when the client sends none.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Parameters that are no settings and do not travel to the INSERT's shards.
const NOT_SETTINGS: &[&str] = &[
    "query",
    "database",
    "query_id",
    "user",
    "password",
    "default_format",
    "quota_key",
    "role",
];

impl Head {
    /// Reads a request's head.
    pub fn read(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Self, Exception> {
        let parameters = parameters(uri.query().unwrap_or(""))?;
        refuse_ambiguous(&parameters)?;
        let parameter = |name: &str| {
            parameters
                .iter()
                .rev()
                .find(|(key, _)| key == name)
                .map(|(_, v)| v.clone())
        };
        let given_id = header(headers, "x-clickhouse-query-id")
            .or_else(|| parameter("query_id"))
            .filter(|id| !id.is_empty());
        Ok(Self {
            method: method.clone(),
            path: uri.path().to_owned(),
            query: parameter("query").unwrap_or_default(),
            database: header(headers, "x-clickhouse-database").or_else(|| parameter("database")),
            query_id_given: given_id.is_some(),
            query_id: given_id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
            credentials: credentials(headers, parameter("user"), parameter("password"))?,
            default_format: header(headers, "x-clickhouse-format").or_else(|| parameter("default_format")),
            settings: parameters
                .into_iter()
                .filter(|(key, _)| !NOT_SETTINGS.contains(&key.as_str()))
                .collect(),
            content_encoding: content_encoding(headers),
            boundary: boundary(headers)?,
        })
    }

    /// The last value of a setting, or of another parameter that is kept with them.
    pub fn setting(&self, name: &str) -> Option<&str> {
        let said = self.settings.iter().rev().find(|(known, _)| known == name);
        said.map(|(_, value)| value.as_str())
    }

    /// The query parameters (`param_x`) by their own names.
    pub fn query_parameters(&self) -> Vec<(String, String)> {
        let named = |(name, value): &(String, String)| {
            let name = name.strip_prefix("param_")?;
            Some((name.to_owned(), value.clone()))
        };
        self.settings.iter().filter_map(named).collect()
    }

    /// Takes over what a form's parts say: the query, and parameters of it. ClickHouse takes no settings from there.
    pub fn fill_from(&mut self, form: Form) -> Result<(), Exception> {
        if !self.query.is_empty() && !form.query.is_empty() {
            return Err(Exception::bad_input(
                code::BAD_ARGUMENTS,
                "The query stands in the URL and in a part of the form: send it once.",
            ));
        }
        if self.query.is_empty() {
            self.query = form.query;
        }
        self.settings.extend(form.parameters);
        Ok(())
    }
}

impl Head {
    /// The whole statement, when `body` is all of the body: ClickHouse joins the halves of a query with a line feed.
    pub fn statement_with(&self, body: &[u8]) -> Vec<u8> {
        match self.query.is_empty() {
            true => body.to_vec(),
            false => [self.query.as_bytes(), b"\n", body].concat(),
        }
    }
}

/// A header's text; one that is not UTF-8 is none that Weir could act on.
fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// Refuses what a server might read otherwise than Weir does: then Weir would judge one statement and the server run another.
fn refuse_ambiguous(parameters: &[(String, String)]) -> Result<(), Exception> {
    let twice = NOT_SETTINGS
        .iter()
        .find(|name| parameters.iter().filter(|(key, _)| key == *name).count() > 1);
    // A role may be given several times, as in ClickHouse.
    if let Some(name) = twice.filter(|name| **name != "role") {
        let message = format!("The parameter {name} stands twice in the URL: send it once.");
        return Err(Exception::bad_input(code::BAD_ARGUMENTS, message));
    }
    Ok(())
}

/// The boundary of a multipart body; a multipart body of another kind is none that ClickHouse reads.
fn boundary(headers: &HeaderMap) -> Result<Option<String>, Exception> {
    let Some(content_type) = header(headers, "content-type") else {
        return Ok(None);
    };
    let is_form = content_type
        .trim_start()
        .to_ascii_lowercase()
        .starts_with("multipart/form-data");
    if !is_form {
        return Ok(None);
    }
    form::boundary(&content_type).map(Some).ok_or_else(|| {
        Exception::bad_input(
            code::BAD_ARGUMENTS,
            "The Content-Type multipart/form-data names no boundary.",
        )
    })
}

fn content_encoding(headers: &HeaderMap) -> Option<String> {
    let values: Vec<_> = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    (!values.is_empty()).then(|| values.join(", "))
}

/// The query string's pairs, decoded; `+` is a blank, as in forms.
pub fn parameters(query: &str) -> Result<Vec<(String, String)>, Exception> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(parameter)
        .collect()
}

fn parameter(pair: &str) -> Result<(String, String), Exception> {
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    Ok((decoded(key)?, decoded(value)?))
}

fn decoded(text: &str) -> Result<String, Exception> {
    let blanks = text.replace('+', " ");
    percent_decode_str(&blanks)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| Exception::bad_input(code::BAD_ARGUMENTS, "The URL holds text that is not UTF-8."))
}

/// Credentials from headers, Basic authorization or the URL; ClickHouse refuses a mixture, and so does Weir.
fn credentials(
    headers: &HeaderMap,
    url_user: Option<String>,
    url_password: Option<String>,
) -> Result<Credentials, Exception> {
    let by_header = header(headers, "x-clickhouse-user")
        .or_else(|| header(headers, "x-clickhouse-key").map(|_| String::new()));
    let basic = headers
        .get(AUTHORIZATION)
        .map(|value| basic_credentials(value.as_bytes()))
        .transpose()?;
    let by_url = url_user.is_some() || url_password.is_some();
    match (by_header, basic) {
        (Some(_), Some(_)) => Err(mixed("X-ClickHouse-User/Key", "Authorization")),
        (Some(_), None) if by_url => Err(mixed("X-ClickHouse-User/Key", "the URL's user and password")),
        (None, Some(_)) if by_url => Err(mixed("Authorization", "the URL's user and password")),
        (Some(user), None) => {
            let user = if user.is_empty() {
                "default".to_owned()
            } else {
                user
            };
            Ok(Credentials {
                user,
                password: header(headers, "x-clickhouse-key").unwrap_or_default(),
            })
        }
        (None, Some(credentials)) => Ok(credentials),
        (None, None) => Ok(Credentials {
            user: url_user
                .filter(|user| !user.is_empty())
                .unwrap_or_else(|| "default".to_owned()),
            password: url_password.unwrap_or_default(),
        }),
    }
}

/// ClickHouse's code for it.
fn mixed(one: &str, other: &str) -> Exception {
    Exception {
        message: format!(
            "Invalid authentication: it is not allowed to use {one} and {other} at the same time: send one of them."
        ),
        ..Exception::authentication_failed("")
    }
}

fn basic_credentials(value: &[u8]) -> Result<Credentials, Exception> {
    let refused = |message: &str| Exception {
        message: message.to_owned(),
        ..Exception::authentication_failed("")
    };
    let text = std::str::from_utf8(value).map_err(|_| refused("The Authorization header is not text."))?;
    let (scheme, encoded) = text.trim().split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(refused(
            "Weir knows users by Basic authorization, X-ClickHouse-User/Key or the URL; Bearer tokens are not understood.",
        ));
    }
    let decoded = BASE64_STANDARD
        .decode(encoded.trim())
        .map_err(|_| refused("The Authorization header is not Base64."))?;
    let pair = String::from_utf8(decoded).map_err(|_| refused("The Authorization header is not UTF-8."))?;
    let (user, password) = pair.split_once(':').unwrap_or((&pair, ""));
    let user = if user.is_empty() { "default" } else { user };
    Ok(Credentials {
        user: user.to_owned(),
        password: password.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(uri: &str, headers: &[(&'static str, &str)]) -> Result<Head, Exception> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        Head::read(&Method::POST, &uri.parse().unwrap(), &map)
    }

    #[test]
    fn parameters_are_decoded_and_settings_kept_in_order() {
        let head = head("/?query=INSERT+INTO%20t&database=d&b=2&a=%C3%A9&query_id=q", &[]).unwrap();
        assert_eq!(head.query, "INSERT INTO t");
        assert_eq!(head.database.as_deref(), Some("d"));
        assert_eq!((head.query_id.as_str(), head.query_id_given), ("q", true));
        assert_eq!(
            head.settings,
            [("b".into(), "2".into()), ("a".into(), "é".into())]
        );
    }

    #[track_caller]
    fn check_credentials(uri: &str, headers: &[(&'static str, &str)], user: &str, password: &str) {
        let credentials = head(uri, headers).unwrap().credentials;
        assert_eq!(
            (credentials.user.as_str(), credentials.password.as_str()),
            (user, password)
        );
    }

    #[test]
    fn credentials_come_by_header_basic_or_url() {
        check_credentials("/", &[], "default", "");
        check_credentials("/?user=u&password=p%26", &[], "u", "p&");
        check_credentials("/", &[("authorization", "Basic dTpwOnE=")], "u", "p:q");
        check_credentials(
            "/",
            &[("x-clickhouse-user", "u"), ("x-clickhouse-key", "k")],
            "u",
            "k",
        );
        check_credentials("/", &[("x-clickhouse-key", "k")], "default", "k");
    }

    #[test]
    fn a_mixture_of_credentials_is_refused_and_a_password_is_never_shown() {
        let (user, basic) = (("x-clickhouse-user", "u"), ("authorization", "Basic dTpw"));
        for (uri, headers) in [
            ("/", &[user, basic][..]),
            ("/?user=other", &[user]),
            ("/?password=p", &[basic]),
        ] {
            let mixed = head(uri, headers).unwrap_err();
            assert_eq!(
                (mixed.code, mixed.status.as_u16()),
                (code::AUTHENTICATION_FAILED, 403)
            );
        }
        let shown = format!("{:?}", head("/?user=u&password=secret", &[]).unwrap().credentials);
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn what_a_server_might_read_otherwise_is_refused() {
        let twice = head("/?query=INSERT+INTO+t+VALUES(1)&query=SELECT+1", &[]);
        assert_eq!(twice.unwrap_err().code, code::BAD_ARGUMENTS);
        let encoded = head("/?query=SELECT+1&%71uery=DROP+TABLE+t", &[]);
        assert_eq!(encoded.unwrap_err().code, code::BAD_ARGUMENTS);
        let form = head("/", &[("content-type", "multipart/form-data")]);
        assert_eq!(form.unwrap_err().code, code::BAD_ARGUMENTS);
    }

    #[test]
    fn a_role_may_be_given_several_times_and_a_boundary_is_found() {
        assert!(head("/?role=a&role=b&query=SELECT+1", &[]).is_ok());
        let form = head("/", &[("content-type", "multipart/form-data; boundary=\"x y\"")]).unwrap();
        assert_eq!(form.boundary.as_deref(), Some("x y"));
    }

    #[test]
    fn query_parameters_are_known_by_their_own_names_and_a_form_adds_to_them() {
        let mut head = head("/?param_table=t&async_insert=1", &[]).unwrap();
        let form = Form {
            query: "SELECT 1".into(),
            parameters: vec![("param_x".into(), "1".into())],
        };
        head.fill_from(form).unwrap();
        assert_eq!(head.query, "SELECT 1");
        let expected = [("table", "t"), ("x", "1")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(head.query_parameters(), expected);
        let again = Form {
            query: "SELECT 2".into(),
            parameters: Vec::new(),
        };
        assert_eq!(head.fill_from(again).unwrap_err().code, code::BAD_ARGUMENTS);
    }

    #[test]
    fn broken_urls_and_tokens_are_answered_with_their_reason() {
        assert_eq!(head("/?query=%ff", &[]).unwrap_err().code, code::BAD_ARGUMENTS);
        let bearer = head("/", &[("authorization", "Bearer x")]).unwrap_err();
        assert_eq!(
            (bearer.code, bearer.status.as_u16()),
            (code::AUTHENTICATION_FAILED, 403)
        );
    }
}
