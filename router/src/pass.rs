//! Requests that Weir does not answer itself: to a healthy replica of the user's cluster, streaming both
//! ways.
//!
//! They go under the client's own credentials, or under the user's `as_user`. Nothing of them is kept, and
//! nothing is tried twice once its body was touched.

use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Body, Frame, SizeHint};

use shard_client::{ERROR_BYTES_MAX, Sent, ServerError};
use spool::frames;
use tokio::time::Instant;

use crate::answers::grammar::AboutTarget;
use crate::answers::instead::{self, Repeatable};
use crate::answers::shape;
use crate::app::App;
use crate::deliver::request::quoted;
use crate::exception::{Exception, code};
use crate::front::Question;
use crate::http::answer::{self, Answer, BodyError, Heading};
use crate::http::body::RequestBody;
use crate::replica::ReplicaRuntime;
use crate::routing::{Cluster, Lookup, RoutedTable, password};
use crate::sessions::{self, SessionKey};

/// Replicas tried for one read before it is given up: connecting may fail, and only connecting is tried
/// again.
pub const TRIES_MAX: usize = 3;

/// Passes a read through. A short one may be a question that is answered without a replica, too.
pub async fn through(
    app: &App,
    question: &Question<'_>,
    parts: &Parts,
    mut body: RequestBody,
) -> Result<Answer, Exception> {
    let cluster = question.routing.default_cluster(question.user)?;
    let asked = Asked::plain(parts, body.is_decoded());
    match instead::short_body(&mut body).await? {
        Some(body) => {
            if let Some((about, table)) = about_columns(question, &body) {
                return columns(app, question, parts, &body, &about, &table).await;
            }
            let request = Repeatable {
                asked,
                body: &|_| body.clone(),
                statement: &question.head.statement_with(&body),
                headers: &parts.headers,
            };
            instead::ask(app, question, cluster, &request).await
        }
        None => {
            let replica = session_s_replica(app, question, cluster).await?;
            pass(question, asked, body_stream(body), &replica).await
        }
    }
}

/// A question about the columns of a distributed table, which may exist only in Weir: its target has them.
fn about_columns(question: &Question<'_>, body: &[u8]) -> Option<(AboutTarget, Arc<RoutedTable>)> {
    // A form's statement is none of its body.
    if question.head.boundary.is_some() {
        return None;
    }
    let about = shape::about_columns(&question.asked(&question.head.statement_with(body)))?;
    match question.routing.lookup(&about.table.database, &about.table.table) {
        Lookup::Routed(table) => Some((about, table)),
        Lookup::Target(_) | Lookup::Unknown => None,
    }
}

/// Asks for the columns of the target.
async fn columns(
    app: &App,
    question: &Question<'_>,
    parts: &Parts,
    asked_by: &[u8],
    about: &AboutTarget,
    table: &RoutedTable,
) -> Result<Answer, Exception> {
    let target = &table.config.target;
    let body = |replica: &ReplicaRuntime| {
        let text = about.text(replica.database(&target.database), &target.table);
        let format = about.format.as_ref().map(|format| format!(" FORMAT {format}"));
        Bytes::from(text + &format.unwrap_or_default())
    };
    let request = Repeatable {
        asked: Asked::rewritten(parts),
        body: &body,
        statement: &question.head.statement_with(asked_by),
        headers: &parts.headers,
    };
    instead::ask(app, question, &table.cluster, &request).await
}

/// A request's head on its way to a replica.
#[derive(Clone)]
pub struct Asked {
    method: Method,
    target: String,
    headers: HeaderMap,
}

impl Asked {
    /// The head as it came. A body that was decoded to see what it asks for goes on decoded: every server reads it so, and
    /// the statements of reads are small.
    fn plain(parts: &Parts, is_decoded: bool) -> Self {
        let mut asked = Self {
            method: parts.method.clone(),
            target: parts
                .uri
                .path_and_query()
                .map_or("/", PathAndQuery::as_str)
                .to_owned(),
            headers: passed_headers(parts),
        };
        if is_decoded {
            asked.headers.remove(CONTENT_ENCODING);
            asked.target = without_parameters(&parts.uri, &["decompress"]);
        }
        asked
    }

    /// The head of a statement that Weir wrote anew, which is the whole body and has no parameters any more.
    fn rewritten(parts: &Parts) -> Self {
        let mut headers = passed_headers(parts);
        headers.remove(CONTENT_ENCODING);
        // It may have come as a form.
        headers.remove(CONTENT_TYPE);
        Self {
            method: Method::POST,
            // 18.16 takes parameters for settings that it does not know.
            target: without_parameters(&parts.uri, &["query", "decompress", "param_*"]),
            headers,
        }
    }
}

/// The client's headers. Its certificate is not Weir's, so a server is not asked to go by it; clickhouse-go says "on" with
/// every password that is empty.
fn passed_headers(parts: &Parts) -> HeaderMap {
    let mut headers = parts.headers.clone();
    headers.remove("x-clickhouse-ssl-certificate-auth");
    headers
}

/// Passes a DESCRIBE or EXISTS through with the target's name in the place of the distributed table's: `text` is the
/// whole statement, `name` where the table stands in it.
pub async fn described(
    app: &App,
    question: &Question<'_>,
    parts: &Parts,
    table: &RoutedTable,
    text: &[u8],
    name: Range<usize>,
) -> Result<Answer, Exception> {
    let target = &table.config.target;
    let body = |replica: &ReplicaRuntime| {
        let target = format!(
            "{}.{}",
            quoted(replica.database(&target.database)),
            quoted(&target.table)
        );
        Bytes::from([&text[..name.start], target.as_bytes(), &text[name.end..]].concat())
    };
    let request = Repeatable {
        asked: Asked::rewritten(parts),
        body: &body,
        statement: text,
        headers: &parts.headers,
    };
    instead::ask(app, question, &table.cluster, &request).await
}

/// A URL's path and its parameters but these; a trailing `*` stands for any end of a name.
fn without_parameters(uri: &Uri, names: &[&str]) -> String {
    let pairs = uri.query().unwrap_or("").split('&');
    let is_named = |pair: &str| {
        let name = pair.split('=').next().unwrap_or_default();
        let name: Vec<u8> = percent_encoding::percent_decode_str(name).collect();
        names.iter().any(|unwanted| match unwanted.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning.as_bytes()),
            None => name == unwanted.as_bytes(),
        })
    };
    let kept: Vec<_> = pairs.filter(|pair| !pair.is_empty() && !is_named(pair)).collect();
    format!("{}?{}", uri.path(), kept.join("&"))
}

/// A replica that answers now: the healthy ones first, each other asked before the client's request is entrusted to it.
pub async fn connected_replica(cluster: &Cluster) -> Result<Arc<ReplicaRuntime>, Exception> {
    for replica in cluster.read_order().into_iter().take(TRIES_MAX) {
        if !replica.is_up() {
            replica.check().await;
        }
        if replica.is_up() {
            return Ok(replica);
        }
    }
    Err(instead::no_replica(cluster))
}

/// What a read is told that finds no place.
pub fn too_many_reads(replica: &ReplicaRuntime) -> Exception {
    let message = format!("Too many reads of replica {} at once.", replica.address());
    Exception::try_again(code::TOO_MANY_SIMULTANEOUS_QUERIES, 1, message)
}

/// The session that a request belongs to, and how long it lasts without another.
pub fn session_of(question: &Question<'_>) -> Result<Option<(SessionKey, Duration)>, Exception> {
    let Some(id) = question.head.setting("session_id").filter(|id| !id.is_empty()) else {
        return Ok(None);
    };
    let timeout = sessions::timeout(question.head.setting("session_timeout"))?;
    Ok(Some((SessionKey::new(&question.user.name, id), timeout)))
}

/// The replica that holds the request's session, while it answers; for a request without session any that does.
pub async fn session_s_replica(
    app: &App,
    question: &Question<'_>,
    cluster: &Cluster,
) -> Result<Arc<ReplicaRuntime>, Exception> {
    let Some((key, timeout)) = session_of(question)? else {
        return connected_replica(cluster).await;
    };
    let known = app.sessions.replica(key, Instant::now());
    let held = known.and_then(|address| {
        let mut replicas = cluster.read_order().into_iter();
        replicas.find(|replica| replica.is_up() && replica.address() == address)
    });
    let replica = match held {
        Some(replica) => replica,
        None => connected_replica(cluster).await?,
    };
    app.sessions.keep(key, replica.address(), Instant::now(), timeout);
    Ok(replica)
}

/// Passes one request to one replica, as the user or its `as_user`.
pub async fn pass<B>(
    question: &Question<'_>,
    asked: Asked,
    body: B,
    replica: &ReplicaRuntime,
) -> Result<Answer, Exception>
where
    B: Body<Data = Bytes, Error = Exception> + Unpin + Send + 'static,
{
    let Some(place) = replica.read_place() else {
        return Err(too_many_reads(replica));
    };
    let client_s_fault = Arc::default();
    let request = request(asked, Watched::new(body, &client_s_fault))?;
    let result = match &question.user.reads_as {
        None => replica.client().forward(request).await,
        Some(reads_as) => {
            let password = password(&reads_as.password);
            replica
                .client()
                .forward_as(request, &reads_as.user, &password)
                .await
        }
    };
    // A request that ended before its answer may have ended by the client: only the way to the replica says something of it.
    if result.as_ref().is_ok() || result.as_ref().is_err_and(|error| error.sent == Sent::Nothing) {
        replica.observed(&result);
    }
    let response = result.map_err(|error| {
        let own = client_s_fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        own.unwrap_or_else(|| {
            Exception::try_again(
                code::ALL_CONNECTION_TRIES_FAILED,
                1,
                format!("Replica {} did not answer: {error}.", replica.address()),
            )
        })
    })?;
    // The place is given back with the answer's end.
    let answer = response.map(|body| {
        body.map_err(move |error| -> BodyError {
            let _held = &place;
            error.into()
        })
        .boxed()
    });
    Ok(modern(answer).await)
}

/// An error of a server that has neither the header nor the words of today (18.16) gets both, and comes plain also where
/// `compress=1` had it compressed; every other answer passes untouched.
async fn modern(answer: Answer) -> Answer {
    const CODE: &str = "x-clickhouse-exception-code";
    let is_old = answer.status().as_u16() >= 400
        && !answer.headers().contains_key(CODE)
        && !answer.headers().contains_key(CONTENT_ENCODING);
    if !is_old {
        return answer;
    }
    let (mut parts, body) = answer.into_parts();
    let Some(bytes) = short_text(body).await else {
        let message = "The replica's error could not be read to its end.";
        let lost = Exception::try_again(code::NETWORK_ERROR, 1, message);
        return answer::exception(
            &lost,
            &Heading {
                query_id: "",
                time_zone: None,
            },
        );
    };
    let mut plain = Vec::new();
    let text = match frames::decompress(&bytes, &mut plain) {
        Ok(()) => &plain[..],
        Err(_) => &bytes,
    };
    let Some(error) = ServerError::read(parts.status.as_u16(), None, &String::from_utf8_lossy(text)) else {
        return Response::from_parts(parts, answer::full(bytes));
    };
    let text = format!(
        "Code: {}. DB::Exception: {} ({})\n",
        error.code, error.text, error.name
    );
    parts.headers.insert(CODE, HeaderValue::from(error.code));
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, answer::full(text.into()))
}

/// A short body; none when it breaks off or goes on.
async fn short_text(mut body: BoxBody<Bytes, BodyError>) -> Option<Bytes> {
    let mut text = BytesMut::new();
    while let Some(frame) = body.frame().await {
        text.extend_from_slice(&frame.ok()?.into_data().unwrap_or_default());
        if text.len() > ERROR_BYTES_MAX {
            return None;
        }
    }
    Some(text.freeze())
}

/// A body whose own error is kept: it is the client's, and must not be told as the replica's.
struct Watched<B> {
    body: B,
    error: Arc<Mutex<Option<Exception>>>,
}

impl<B> Watched<B> {
    fn new(body: B, error: &Arc<Mutex<Option<Exception>>>) -> Self {
        let error = error.clone();
        Self { body, error }
    }
}

impl<B: Body<Data = Bytes, Error = Exception> + Unpin> Body for Watched<B> {
    type Data = Bytes;
    type Error = Exception;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Exception>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Err(exception))) = &polled {
            *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(exception.clone());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

type PassedBody =
    StreamBody<std::pin::Pin<Box<dyn futures_util::Stream<Item = Result<Frame<Bytes>, Exception>> + Send>>>;

/// The connection's own headers are the client crate's matter.
fn request<B: Body>(asked: Asked, body: B) -> Result<Request<B>, Exception> {
    // 18.16 refuses a POST that says nothing of its length, and hyper says nothing of a body that is not there.
    let says_none = body.is_end_stream() && asked.method == Method::POST;
    let mut request = Request::builder().method(asked.method).uri(asked.target);
    if let Some(headers) = request.headers_mut() {
        *headers = asked.headers;
        headers.remove(CONTENT_LENGTH);
        if says_none {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
    }
    let refused = |error| {
        Exception::bad_input(
            code::BAD_ARGUMENTS,
            format!("The request cannot be passed on: {error}."),
        )
    };
    request.body(body).map_err(refused)
}

fn body_stream(body: RequestBody) -> PassedBody {
    let frames = stream::unfold(Some(body), |body| async {
        let mut body = body?;
        match body.next().await {
            Ok(Some(bytes)) => Some((Ok(Frame::data(bytes)), Some(body))),
            Ok(None) => None,
            Err(exception) => Some((Err(exception), None)),
        }
    });
    StreamBody::new(Box::pin(frames))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    async fn modernised(status: u16, body: impl Into<Bytes>) -> (Option<String>, String) {
        let body = body.into();
        let mut old = Response::new(answer::full(body.clone()));
        *old.status_mut() = StatusCode::from_u16(status).unwrap();
        old.headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        let answer = modern(old).await;
        assert_eq!(answer.status().as_u16(), status);
        let code = answer.headers().get("x-clickhouse-exception-code");
        let code = code.map(|code| code.to_str().unwrap().to_owned());
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (code, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn an_error_of_18_16_gets_the_header_and_the_form_of_today() {
        let old = "Code: 60, e.displayText() = DB::Exception: Table default.t doesn't exist., e.what() = DB::Exception\n";
        let (code, text) = modernised(404, old).await;
        assert_eq!(code.as_deref(), Some("60"));
        assert_eq!(
            text,
            "Code: 60. DB::Exception: Table default.t doesn't exist. (UNKNOWN_TABLE)\n"
        );
    }

    #[tokio::test]
    async fn a_compressed_error_of_18_16_comes_plain() {
        let text =
            b"Code: 46, e.displayText() = DB::Exception: Unknown function f, e.what() = DB::Exception\n";
        let mut frame = Vec::new();
        frames::compress(text, &mut frame).unwrap();
        let (code, text) = modernised(404, frame).await;
        assert_eq!(code.as_deref(), Some("46"));
        assert_eq!(
            text,
            "Code: 46. DB::Exception: Unknown function f (UNKNOWN_FUNCTION)\n"
        );
    }

    #[tokio::test]
    async fn what_is_no_error_of_clickhouse_passes_as_it_is() {
        assert_eq!(modernised(502, "<html>").await, (None, "<html>".to_owned()));
        let fine = "Code: 60, e.displayText() = DB::Exception: as a value";
        assert_eq!(modernised(200, fine).await, (None, fine.to_owned()));
    }

    #[test]
    fn a_rewritten_statement_leaves_the_other_parameters_as_they_were() {
        let uri: Uri = "/?database=d&query=DESC+t&query_id=7&x=%20".parse().unwrap();
        assert_eq!(
            without_parameters(&uri, &["query"]),
            "/?database=d&query_id=7&x=%20"
        );
        let uri: Uri = "/?param_t=x&p=1&%64ecompress=1".parse().unwrap();
        assert_eq!(without_parameters(&uri, &["param_*", "decompress"]), "/?p=1");
        assert_eq!(without_parameters(&"/".parse().unwrap(), &["query"]), "/?");
    }
}
