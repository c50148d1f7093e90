//! Requests that Weir does not answer itself: to a healthy replica of the user's cluster, streaming both ways.
//!
//! They go under the client's own credentials, or under the user's `as_user`. Nothing of them is kept, and nothing is tried twice once
//! its body was touched.

use bytes::Bytes;
use futures_util::stream;
use http::Request;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;

use crate::exception::{Exception, code};
use crate::front::Question;
use crate::http::answer::{Answer, BodyError};
use crate::http::body::RequestBody;
use crate::replica::ReplicaRuntime;
use crate::routing::{Cluster, password};

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
    let request = request(parts, body)?;
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
    replica.observed(&result);
    let response = result.map_err(|error| {
        Exception::try_again(
            code::ALL_CONNECTION_TRIES_FAILED,
            1,
            format!("Replica {} did not answer: {error}.", replica.address()),
        )
    })?;
    Ok(response.map(|body| body.map_err(|error| -> BodyError { error.into() }).boxed()))
}

type PassedBody =
    StreamBody<std::pin::Pin<Box<dyn futures_util::Stream<Item = Result<Frame<Bytes>, Exception>> + Send>>>;

/// The client's request as it came; the connection's own headers are the client crate's matter.
fn request(parts: &Parts, body: RequestBody) -> Result<Request<PassedBody>, Exception> {
    let mut request = Request::builder()
        .method(parts.method.clone())
        .uri(parts.uri.clone());
    if let Some(headers) = request.headers_mut() {
        *headers = parts.headers.clone();
        headers.remove(CONTENT_LENGTH);
    }
    request.body(body_stream(body)).map_err(|error| {
        Exception::bad_input(
            code::BAD_ARGUMENTS,
            format!("The request cannot be passed on: {error}."),
        )
    })
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
