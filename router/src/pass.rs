//! Requests that Weir does not answer itself: to a healthy replica of the user's cluster, streaming both
//! ways.
//!
//! They go under the client's own credentials, or under the user's `as_user`. Nothing of them is kept, and
//! nothing is tried twice once its body was touched.

use std::ops::Range;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Body, Frame};

use shard_client::Sent;

use crate::answers::instead::{self, Repeatable};
use crate::app::App;
use crate::deliver::request::quoted;
use crate::exception::{Exception, code};
use crate::front::Question;
use crate::http::answer::{Answer, BodyError};
use crate::http::body::RequestBody;
use crate::replica::ReplicaRuntime;
use crate::routing::{Cluster, RoutedTable, password};

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
            let request = Repeatable {
                asked,
                body: &|_| body.clone(),
                statement: &question.head.statement_with(&body),
                headers: &parts.headers,
            };
            instead::ask(app, question, cluster, &request).await
        }
        None => {
            let replica = connected_replica(cluster).await?;
            pass(question, asked, body_stream(body), &replica).await
        }
    }
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
            headers: parts.headers.clone(),
        };
        if is_decoded {
            asked.headers.remove(CONTENT_ENCODING);
            asked.target = without_parameters(&parts.uri, &["decompress"]);
        }
        asked
    }
}

/// Passes a DESCRIBE through with the target's name in the place of the distributed table's: `text` is the
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
    let mut headers = parts.headers.clone();
    headers.remove(CONTENT_ENCODING);
    let asked = Asked {
        method: Method::POST,
        target: without_parameters(&parts.uri, &["query", "decompress"]),
        headers,
    };
    let request = Repeatable {
        asked,
        body: &body,
        statement: text,
        headers: &parts.headers,
    };
    instead::ask(app, question, &table.cluster, &request).await
}

/// A URL's path and its parameters but these.
fn without_parameters(uri: &Uri, names: &[&str]) -> String {
    let pairs = uri.query().unwrap_or("").split('&');
    let is_named = |pair: &str| {
        let name = pair.split('=').next().unwrap_or_default();
        let name: Vec<u8> = percent_encoding::percent_decode_str(name).collect();
        names.iter().any(|unwanted| unwanted.as_bytes() == name)
    };
    let kept: Vec<_> = pairs.filter(|pair| !pair.is_empty() && !is_named(pair)).collect();
    format!("{}?{}", uri.path(), kept.join("&"))
}

/// A replica that answers now: the healthy ones first, each other asked before the client's request is entrusted to it.
pub async fn connected_replica(cluster: &Cluster) -> Result<std::sync::Arc<ReplicaRuntime>, Exception> {
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

/// Passes one request to one replica, as the user or its `as_user`.
pub async fn pass<B>(
    question: &Question<'_>,
    asked: Asked,
    body: B,
    replica: &ReplicaRuntime,
) -> Result<Answer, Exception>
where
    B: Body<Data = Bytes, Error = Exception> + Send + 'static,
{
    let Some(place) = replica.read_place() else {
        return Err(too_many_reads(replica));
    };
    let request = request(asked, body)?;
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
        Exception::try_again(
            code::ALL_CONNECTION_TRIES_FAILED,
            1,
            format!("Replica {} did not answer: {error}.", replica.address()),
        )
    })?;
    // The place is given back with the answer's end.
    Ok(response.map(|body| {
        body.map_err(move |error| -> BodyError {
            let _held = &place;
            error.into()
        })
        .boxed()
    }))
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
    use super::*;

    #[test]
    fn a_rewritten_statement_leaves_the_other_parameters_as_they_were() {
        let uri: Uri = "/?database=d&query=DESC+t&query_id=7&x=%20".parse().unwrap();
        assert_eq!(
            without_parameters(&uri, &["query"]),
            "/?database=d&query_id=7&x=%20"
        );
        assert_eq!(without_parameters(&"/".parse().unwrap(), &["query"]), "/?");
    }
}
