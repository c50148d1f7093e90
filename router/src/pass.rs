//! Requests that Weir does not answer itself: to a healthy replica of the user's cluster, streaming both ways.
//!
//! They go under the client's own credentials, or under the user's `as_user`. Nothing of them is kept, and nothing is tried twice once
//! its body was touched.

use bytes::Bytes;
use futures_util::stream;
use http::header::{AUTHORIZATION, HOST};
use http::request::Parts;
use http::{HeaderName, Request};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;

use crate::exception::{Exception, code};
use crate::front::Question;
use crate::http::answer::{Answer, BodyError};
use crate::http::body::RequestBody;
use crate::replica::ReplicaRuntime;
use crate::routing::Cluster;

/// Headers that belong to one connection, or that the next hop sets itself.
const NOT_PASSED_ON: &[&str] = &["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "expect", "content-length"];

/// Replicas tried for one read before it is given up: connecting may fail, and only connecting is tried again.
const TRIES_MAX: usize = 3;

/// Passes a read through.
pub async fn through(question: &Question<'_>, parts: &Parts, body: RequestBody) -> Result<Answer, Exception> {
    let cluster = question.routing.default_cluster(question.user)?;
    let replica = connected_replica(cluster).await?;
    pass(question, parts, body, &replica).await
}

/// A replica that answers now: the healthy ones first, each asked before the client's request is entrusted to it.
async fn connected_replica(cluster: &Cluster) -> Result<std::sync::Arc<ReplicaRuntime>, Exception> {
    let mut last_error = String::from("none is known to be up");
    for replica in cluster.read_order().into_iter().take(TRIES_MAX) {
        if replica.is_up() {
            return Ok(replica);
        }
        match replica.check().await {
            Ok(()) => return Ok(replica),
            Err(error) => last_error = error.to_string(),
        }
    }
    Err(Exception::try_again(
        code::ALL_CONNECTION_TRIES_FAILED,
        5,
        format!("No replica of cluster {} can answer: {last_error}.", cluster.name),
    ))
}

async fn pass(
    question: &Question<'_>,
    parts: &Parts,
    body: RequestBody,
    replica: &ReplicaRuntime,
) -> Result<Answer, Exception> {
    let request = request(question, parts, body)?;
    let result = replica.client().forward(request).await;
    replica.observed(&result);
    let response = result.map_err(|error| {
        Exception::try_again(
            code::ALL_CONNECTION_TRIES_FAILED,
            1,
            format!("Replica {} did not answer: {error}.", replica.address()),
        )
    })?;
    Ok(response.map(|body| body.map_err(|error| Box::new(error) as BodyError).boxed()))
}

type PassedBody = StreamBody<std::pin::Pin<Box<dyn futures_util::Stream<Item = Result<Frame<Bytes>, Exception>> + Send>>>;

fn request(question: &Question<'_>, parts: &Parts, body: RequestBody) -> Result<Request<PassedBody>, Exception> {
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut request = Request::builder().method(parts.method.clone()).uri(target);
    let named_by_connection = connection_headers(parts);
    for (name, value) in &parts.headers {
        if !NOT_PASSED_ON.contains(&name.as_str()) && !named_by_connection.contains(name) && name != HOST {
            request = request.header(name, value);
        }
    }
    let mut request = request
        .body(body_stream(body))
        .map_err(|error| Exception::bad_input(code::BAD_ARGUMENTS, format!("The request cannot be passed on: {error}.")))?;
    question.put_credentials(&mut request)?;
    Ok(request)
}

/// Headers that the client's Connection header names as its own.
fn connection_headers(parts: &Parts) -> Vec<HeaderName> {
    let values = parts.headers.get_all(http::header::CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok()).collect()
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

impl Question<'_> {
    /// The client's own credentials travel as they came; a user with `as_user` reads as that one.
    fn put_credentials<B>(&self, request: &mut Request<B>) -> Result<(), Exception> {
        let Some(reads_as) = &self.user.reads_as else {
            return Ok(());
        };
        let password = reads_as.password.read().map_err(|error| Exception::internal(error.to_string()))?;
        let headers = request.headers_mut();
        headers.remove(AUTHORIZATION);
        for (name, value) in [("x-clickhouse-user", reads_as.user.as_str()), ("x-clickhouse-key", password.expose())] {
            let value = value.parse().map_err(|_| Exception::internal("as_user's credentials do not fit a header"))?;
            headers.insert(name, value);
        }
        Ok(())
    }
}
