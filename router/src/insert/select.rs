//! `INSERT … SELECT`: the SELECT runs on a replica of the table's cluster, and its result is split like a body that a client
//! sent.
//!
//! ```text
//! SELECT of the statement ─► DESCRIBE (SELECT …) ─► columns by position, a CAST where a type differs
//!                                               ─► SELECT … FROM (SELECT …) FORMAT Native ─► splitter ─► stage
//! ```
//!
//! It runs under the client's own user and settings, as a read does. Nothing is committed without its clean end: the replica
//! is asked to answer only once it has the whole result (`wait_end_of_query`), so an error is an error and never the end of a
//! success; an answer that is cut short is an error of its connection.

use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use formats::Format;
use formats::statement::{Insert, InsertColumns, Select, Source};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Body;
use shard_client::{Facts, Failure, Password, ServerError, ShardError, Version, response};

use super::plan::listed_columns;
use super::settings::goes_with_a_select;
use crate::deliver::request::quoted;
use crate::exception::{Exception, code};
use crate::http::body::RequestBody;
use crate::http::request::Credentials;
use crate::replica::ReplicaRuntime;
use crate::schema::TableSchema;

/// Bytes of a DESCRIBE's answer, or of an error's text, that are read.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Bytes at the end of a result in which an exception's frame is looked for; ClickHouse writes at most 16 KiB.
const TAIL_BYTES: usize = 32 << 10;

/// The result's format: blocks of columns, whatever their types are.
const RESULT_FORMAT: Format = Format::Native;

/// The first version that takes the column's default for a NULL of a SELECT (insert_null_as_default).
const NULL_AS_DEFAULT_SINCE: Version = Version([21, 1, 0, 0]);

/// Where the bytes of an INSERT's rows come from.
pub trait Rows: Send {
    /// The next bytes, or none at the clean end.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, Exception>> + Send;

    /// How many are still to come, where that is known.
    fn announced_bytes(&self) -> Option<u64>;
}

impl Rows for RequestBody {
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, Exception>> + Send {
        RequestBody::next(self)
    }

    fn announced_bytes(&self) -> Option<u64> {
        RequestBody::announced_bytes(self)
    }
}

/// Who runs the SELECT, where, and with what.
pub struct Reader<'a> {
    /// On which replica.
    pub replica: &'a ReplicaRuntime,
    /// As whom.
    pub user: &'a str,
    /// With which password.
    pub password: Password,
    /// In which database.
    pub database: &'a str,
    /// The client's settings: the URL's, then the INSERT's own.
    pub settings: Vec<(String, String)>,
    /// The INSERT's query id.
    pub query_id: &'a str,
}

impl Reader<'_> {
    /// A client's own credentials as the replica wants them.
    pub fn password_of(credentials: &Credentials) -> Password {
        Password::fixed(credentials.password.clone())
    }
}

/// A result on its way to the splitter.
pub struct Selected {
    /// The INSERT as if the client had sent the result.
    pub insert: Insert,
    /// The result.
    pub rows: ResultRows,
}

/// Runs the SELECT of an INSERT; its rows come as the INSERT's columns want them.
pub async fn run(
    reader: &Reader<'_>,
    insert: &Insert,
    select: &Select,
    schema: &TableSchema,
) -> Result<Selected, Exception> {
    if select.reads_input {
        return Err(Exception::not_implemented(
            "input() would read the rows of this request on a replica, before they are split: send them as \
             INSERT … FORMAT, or insert into a table of one server first.",
        ));
    }
    let names = target_columns(&insert.columns, schema)?;
    let found = reader.describe(select).await?;
    if found.len() != names.len() {
        return Err(Exception::bad_input(
            code::NUMBER_OF_COLUMNS_DOESNT_MATCH,
            format!(
                "Number of columns doesn't match (source: {} and result: {}).",
                found.len(),
                names.len()
            ),
        ));
    }
    let facts = reader.facts().await?;
    let nulls = Nulls::of(&facts, &reader.settings);
    let casts = (found.iter().zip(&names)).map(|(column, name)| cast(column, schema, name, nulls));
    let sql = select_for(&names, casts, select);
    let rows = reader.rows(sql).await?;
    let insert = Insert {
        columns: InsertColumns::Listed(names),
        source: Source::Data {
            format: Some(RESULT_FORMAT.name().to_owned()),
            data_at: 0,
        },
        settings: Vec::new(),
        table: insert.table.clone(),
    };
    Ok(Selected { insert, rows })
}

fn target_columns(columns: &InsertColumns, schema: &TableSchema) -> Result<Vec<String>, Exception> {
    let all = || {
        schema
            .insertable
            .iter()
            .map(|column| column.name.clone())
            .collect()
    };
    Ok(listed_columns(columns, schema)?.unwrap_or_else(all))
}

// === columns by position ===

/// A column of the SELECT: name and type.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    name: String,
    type_name: String,
}

/// What becomes of a NULL for a column that has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nulls {
    /// It is an error of the SELECT.
    Refused,
    /// The column's default takes its place.
    AsDefault,
}

impl Nulls {
    fn of(facts: &Facts, settings: &[(String, String)]) -> Self {
        let said = settings
            .iter()
            .rev()
            .find(|(name, _)| name == "insert_null_as_default");
        let is_off = said.is_some_and(|(_, value)| matches!(value.as_str(), "0" | "false"));
        if facts.version < NULL_AS_DEFAULT_SINCE || is_off {
            Self::Refused
        } else {
            Self::AsDefault
        }
    }
}

/// The result's columns under the target's names. Two steps, since a name that is given in a SELECT would be seen by its other
/// expressions: `SELECT b AS a, a AS b` is a circle.
fn select_for(names: &[String], casts: impl Iterator<Item = String>, select: &Select) -> Vec<u8> {
    let outer: Vec<_> = (names.iter().enumerate())
        .map(|(at, name)| format!("weir_{at} AS {}", quoted(name)))
        .collect();
    let inner: Vec<_> = casts
        .enumerate()
        .map(|(at, cast)| format!("{cast} AS weir_{at}"))
        .collect();
    let before = format!(
        "SELECT {} FROM (SELECT {} FROM (",
        outer.join(", "),
        inner.join(", ")
    );
    enclosed(before.as_bytes(), select, b"))")
}

/// How a column of the SELECT becomes the target's.
fn cast(found: &Found, schema: &TableSchema, target: &str, nulls: Nulls) -> String {
    let name = quoted(&found.name);
    let described = schema.described.iter().find(|column| column.name == target);
    let wanted = described.map_or("String", |column| column.type_name.as_str());
    let may_be_null =
        nullable(&found.type_name).is_some() && nullable(wanted).is_none() && !holds_any(wanted);
    let has_expression = described.is_some_and(|column| !column.default_expression.is_empty());
    match (may_be_null && nulls == Nulls::AsDefault, has_expression) {
        // The NULL stays one: the shard puts the column's DEFAULT in its place.
        (true, true) => format!("CAST({name}, {})", text(&format!("Nullable({})", plain(wanted)))),
        (true, false) => {
            let default = format!("defaultValueOfTypeName({})", text(wanted));
            match nullable(&found.type_name) {
                Some("Nothing") | None => default,
                Some(_) => format!(
                    "if(isNull({name}), {default}, CAST(assumeNotNull({name}), {}))",
                    text(wanted)
                ),
            }
        }
        (false, _) if found.type_name == wanted => name,
        (false, _) => format!("CAST({name}, {})", text(wanted)),
    }
}

/// What a Nullable type holds.
fn nullable(type_name: &str) -> Option<&str> {
    let inner = plain(type_name);
    inner.strip_prefix("Nullable(")?.strip_suffix(')')
}

/// A type without LowCardinality around it.
fn plain(type_name: &str) -> &str {
    let inner = type_name
        .strip_prefix("LowCardinality(")
        .and_then(|rest| rest.strip_suffix(')'));
    inner.unwrap_or(type_name)
}

/// Whether NULL is a value of the type without Nullable.
fn holds_any(type_name: &str) -> bool {
    ["Variant(", "Dynamic", "JSON"]
        .iter()
        .any(|kind| type_name.starts_with(kind))
}

fn text(text: &str) -> String {
    shard_client::request::quoted_text(text)
}

// === asking the replica ===

/// A response whose body streams.
type Streaming = Response<Pin<Box<dyn Body<Data = Bytes, Error = ShardError> + Send>>>;

impl Reader<'_> {
    /// The columns of the SELECT, without running it.
    async fn describe(&self, select: &Select) -> Result<Vec<Found>, Exception> {
        let sql = enclosed(b"DESCRIBE TABLE (", select, b")");
        let answer = self.ask(sql, "TabSeparated", None).await?;
        let text = read_all(answer).await?;
        let text = String::from_utf8_lossy(&text);
        let columns = text.lines().map(|line| {
            let mut fields = line.split('\t').map(shard_client::unescape);
            Some(Found {
                name: fields.next()?,
                type_name: fields.next()?,
            })
        });
        columns
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| Exception::internal("a replica described a SELECT in a way that nobody reads"))
    }

    async fn facts(&self) -> Result<std::sync::Arc<Facts>, Exception> {
        let facts = self.replica.facts().await;
        self.replica.observed(&facts);
        facts.map_err(|error| unreachable(&error))
    }

    /// The result of that SELECT.
    async fn rows(&self, sql: Vec<u8>) -> Result<ResultRows, Exception> {
        let id = format!("{}-select", self.query_id);
        let answer = self.ask(sql, RESULT_FORMAT.name(), Some(&id)).await?;
        Ok(ResultRows::new(answer))
    }

    /// Asks, and reads on only when the answer begins as a success.
    async fn ask(&self, sql: Vec<u8>, format: &str, query_id: Option<&str>) -> Result<Streaming, Exception> {
        let request = Request::post(self.target(format, query_id)).body(Full::new(Bytes::from(sql)));
        let request = request.map_err(|error| {
            Exception::bad_input(
                code::BAD_ARGUMENTS,
                format!("The SELECT cannot be sent: {error}."),
            )
        })?;
        let client = self.replica.client();
        let result = client.forward_as(request, self.user, &self.password).await;
        self.replica.observed(&result);
        let answer = result.map_err(|error| unreachable(&error))?;
        let is_success = answer.status() == StatusCode::OK
            && response::verdict(StatusCode::OK, answer.headers(), b"").is_ok();
        let answer =
            answer.map(|body| Box::pin(body) as Pin<Box<dyn Body<Data = Bytes, Error = ShardError> + Send>>);
        if is_success {
            return Ok(answer);
        }
        Err(refused(answer).await)
    }

    fn target(&self, format: &str, query_id: Option<&str>) -> String {
        let encoded = |text: &str| {
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
        };
        let kept = self.settings.iter().filter(|(name, _)| goes_with_a_select(name));
        let mut pairs: Vec<_> = kept
            .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
            .collect();
        pairs.push(format!("database={}", encoded(self.database)));
        pairs.push(format!("default_format={format}"));
        // Without it an exception in the middle would come behind the first rows, as text among them.
        pairs.push("wait_end_of_query=1".to_owned());
        pairs.extend(query_id.map(|id| format!("query_id={}", encoded(id))));
        format!("/?{}", pairs.join("&"))
    }
}

/// A line feed keeps a comment at the SELECT's end from taking the bracket in.
fn enclosed(before: &[u8], select: &Select, behind: &[u8]) -> Vec<u8> {
    [before, &select.text, b"\n", behind].concat()
}

async fn read_all(answer: Streaming) -> Result<Vec<u8>, Exception> {
    let mut body = answer.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| cut(&error))?;
        if let Ok(data) = frame.into_data() {
            let room = ANSWER_BYTES_MAX.saturating_sub(bytes.len());
            bytes.extend_from_slice(&data[..data.len().min(room)]);
        }
        if bytes.len() >= ANSWER_BYTES_MAX {
            break;
        }
    }
    Ok(bytes)
}

/// The replica's error as the client's.
async fn refused(answer: Streaming) -> Exception {
    let (status, headers) = (answer.status(), answer.headers().clone());
    match read_all(answer).await {
        Ok(body) => passed_on(status, &headers, &body),
        Err(exception) => exception,
    }
}

fn passed_on(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Exception {
    match response::verdict(status, headers, body) {
        Err(Failure::Server(error)) => of_server(status, &error),
        Err(failure) => Exception::try_again(
            code::NETWORK_ERROR,
            1,
            format!("The SELECT was not answered: {failure}."),
        ),
        Ok(()) => Exception::internal("a success was read as an error"),
    }
}

/// The same code and words, and the status that the server chose.
fn of_server(status: StatusCode, error: &ServerError) -> Exception {
    let code = i32::try_from(error.code).unwrap_or(code::LOGICAL_ERROR);
    let status = if status.is_success() {
        StatusCode::INTERNAL_SERVER_ERROR
    } else {
        status
    };
    Exception {
        code,
        message: format!(
            "{} (while running the SELECT; nothing was inserted)",
            error.text.trim_end()
        ),
        status,
        retry_after: None,
    }
}

fn unreachable(error: &ShardError) -> Exception {
    Exception::try_again(
        code::ALL_CONNECTION_TRIES_FAILED,
        1,
        format!("The SELECT was not run: {error}; nothing was inserted."),
    )
}

fn cut(error: &ShardError) -> Exception {
    Exception::try_again(
        code::NETWORK_ERROR,
        1,
        format!("The SELECT's result was cut short ({error}): nothing was inserted; send it again."),
    )
}

/// A result as it streams in, its end looked at.
pub struct ResultRows {
    headers: HeaderMap,
    body: Pin<Box<dyn Body<Data = Bytes, Error = ShardError> + Send>>,
    tail: BytesMut,
}

impl ResultRows {
    fn new(answer: Streaming) -> Self {
        let (head, body) = answer.into_parts();
        Self {
            headers: head.headers,
            body,
            tail: BytesMut::new(),
        }
    }

    /// Only servers that announce a tag write an exception into a success: no row can pass for one.
    fn remember(&mut self, data: &[u8]) {
        if self.headers.contains_key("x-clickhouse-exception-tag") {
            self.tail.extend_from_slice(data);
            let surplus = self.tail.len().saturating_sub(TAIL_BYTES);
            drop(self.tail.split_to(surplus));
        }
    }
}

impl Rows for ResultRows {
    async fn next(&mut self) -> Result<Option<Bytes>, Exception> {
        loop {
            match self.body.frame().await {
                None if self.tail.is_empty() => return Ok(None),
                None => {
                    let ended = response::verdict(StatusCode::OK, &self.headers, &self.tail);
                    return match ended {
                        Ok(()) => Ok(None),
                        Err(_) => Err(passed_on(StatusCode::OK, &self.headers, &self.tail)),
                    };
                }
                Some(Err(error)) => return Err(cut(&error)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data()
                        && !data.is_empty()
                    {
                        self.remember(&data);
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    fn announced_bytes(&self) -> Option<u64> {
        None
    }
}

#[cfg(test)]
mod tests {
    use shard_client::{DefaultKind, DescribedColumn};

    use super::*;
    use crate::schema::Description;

    fn schema() -> TableSchema {
        let column = |name: &str, type_name: &str, default: &str| DescribedColumn {
            name: name.into(),
            type_name: type_name.into(),
            default_kind: DefaultKind::read(if default.is_empty() { "" } else { "DEFAULT" }).unwrap(),
            default_expression: default.into(),
        };
        let columns = vec![
            column("k", "UInt64", ""),
            column("s", "LowCardinality(String)", ""),
            column("n", "Nullable(UInt8)", ""),
            column("d", "Date", "today()"),
        ];
        TableSchema::new("default.t", Description::of_columns(columns), None).unwrap()
    }

    #[track_caller]
    fn check(name: &str, type_name: &str, target: &str, nulls: Nulls, expected: &str) {
        let found = Found {
            name: name.into(),
            type_name: type_name.into(),
        };
        assert_eq!(cast(&found, &schema(), target, nulls), expected);
    }

    #[test]
    fn a_column_of_another_type_is_cast_and_one_of_the_same_is_not() {
        use Nulls::{AsDefault, Refused};
        check("k", "UInt64", "k", AsDefault, "`k`");
        check(
            "plus(a, 1)",
            "UInt16",
            "k",
            AsDefault,
            "CAST(`plus(a, 1)`, 'UInt64')",
        );
        check("s", "String", "s", Refused, "CAST(`s`, 'LowCardinality(String)')");
        check("n", "UInt8", "n", AsDefault, "CAST(`n`, 'Nullable(UInt8)')");
    }

    #[test]
    fn a_null_for_a_column_without_null_becomes_its_default_where_the_server_would_do_so() {
        use Nulls::{AsDefault, Refused};
        check("x", "Nullable(UInt8)", "k", Refused, "CAST(`x`, 'UInt64')");
        let default = "if(isNull(`x`), defaultValueOfTypeName('UInt64'), CAST(assumeNotNull(`x`), 'UInt64'))";
        check("x", "Nullable(UInt8)", "k", AsDefault, default);
        check(
            "NULL",
            "Nullable(Nothing)",
            "k",
            AsDefault,
            "defaultValueOfTypeName('UInt64')",
        );
        check(
            "x",
            "Nullable(Date)",
            "d",
            AsDefault,
            "CAST(`x`, 'Nullable(Date)')",
        );
    }

    #[test]
    fn columns_get_the_targets_names_without_seeing_each_other() {
        let select = Select {
            text: b"SELECT b, a FROM s -- all".to_vec(),
            reads_input: false,
        };
        let names = ["a".to_owned(), "n.x".to_owned()];
        let casts = ["`b`".to_owned(), "`a`".to_owned()].into_iter();
        let sql = String::from_utf8(select_for(&names, casts, &select)).unwrap();
        let expected = "SELECT weir_0 AS `a`, weir_1 AS `n.x` FROM (SELECT `b` AS weir_0, `a` AS weir_1 FROM (\
                        SELECT b, a FROM s -- all\n))";
        assert_eq!(sql, expected);
    }

    #[test]
    fn an_error_of_the_replica_keeps_its_code_and_says_that_nothing_was_inserted() {
        let old =
            b"Code: 47, e.displayText() = DB::Exception: Unknown identifier: x, e.what() = DB::Exception";
        let exception = passed_on(StatusCode::INTERNAL_SERVER_ERROR, &HeaderMap::new(), old);
        assert_eq!((exception.code, exception.status.as_u16()), (47, 500));
        assert!(exception.message.contains("nothing was inserted"), "{exception}");
    }
}
