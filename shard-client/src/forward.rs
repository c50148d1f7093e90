//! Passing a client's request on to the replica and its answer back, both streaming, neither looked into.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONNECTION, EXPECT, HOST, HeaderMap, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
    TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::PathAndQuery;
use http::{Request, Response};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::endpoint::Password;
use crate::error::{Failure, Phase, ShardError};
use crate::exchange::{Exchanged, To, broken};
use crate::pool::{Lease, Share};
use crate::progress::{BoxError, Progress, Sent, outgoing};
use crate::replica::Replica;
use crate::request;
use crate::response;

/// The headers that belong to one connection (RFC 9110, 7.6.1), beside those that `Connection` itself names.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

impl Replica {
    /// Passes a request on as it is: method, path with query, headers, body; without the connection's own
    /// headers, and with this replica's `Host`. No credentials are added.
    ///
    /// The answer is given back whatever its status: an error of the server is an `Ok` here. It holds one of
    /// the replica's connections until its body was read to the end or dropped.
    pub async fn forward<B>(&self, request: Request<B>) -> Result<Response<ForwardedBody>, ShardError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let progress = Progress::new(false);
        let (mut parts, body) = request.into_parts();
        drop_hop_by_hop(&mut parts.headers);
        for name in [HOST, EXPECT] {
            parts.headers.remove(name);
        }
        let target = parts
            .uri
            .into_parts()
            .path_and_query
            .unwrap_or(PathAndQuery::from_static("/"));
        let head = self.head(parts.method, target, parts.headers)?;
        let request = head.map(|()| outgoing(body, Arc::clone(&progress)));
        let to = To::Anybody(Share::Counted);
        let exchanged = self.exchange(request, &progress, to).await?;
        Ok(self.passed_back(exchanged, progress))
    }

    /// The same as another user: the client's own credentials, wherever they stand, are replaced.
    pub async fn forward_as<B>(
        &self,
        mut request: Request<B>,
        user: &str,
        password: &Password,
    ) -> Result<Response<ForwardedBody>, ShardError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let target = without_credentials(request.uri().path(), request.uri().query());
        *request.uri_mut() = target
            .parse::<PathAndQuery>()
            .map_err(|error| self.unsent(Failure::Request(error.to_string())))?
            .into();
        request.headers_mut().remove(AUTHORIZATION);
        let password = password
            .read()
            .map_err(|error| self.unsent(Failure::Credentials(error)))?;
        request::add_credentials(request.headers_mut(), user, &password)
            .map_err(|failure| self.unsent(failure))?;
        self.forward(request).await
    }

    fn passed_back(&self, exchanged: Exchanged, progress: Arc<Progress>) -> Response<ForwardedBody> {
        let Exchanged { response, lease } = exchanged;
        let (mut head, body) = response.into_parts();
        let keep = response::keep_alive(&head.headers);
        drop_hop_by_hop(&mut head.headers);
        let deadline = Box::pin(sleep_until(Instant::now() + self.receive_timeout()));
        let body = ForwardedBody {
            body,
            lease: Some((lease, keep)),
            progress,
            replica: self.clone(),
            deadline,
        };
        Response::from_parts(head, body)
    }
}

/// An answer's body on its way to the client. Dropped before its end it closes the connection, so that the
/// server can stop the query.
pub struct ForwardedBody {
    body: Incoming,
    lease: Option<(Lease, Option<Duration>)>,
    progress: Arc<Progress>,
    replica: Replica,
    deadline: Pin<Box<Sleep>>,
}

impl fmt::Debug for ForwardedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ForwardedBody({})", self.replica.address())
    }
}

impl ForwardedBody {
    /// The connection goes back only if the request, too, was sent to its end.
    fn finished(&mut self) {
        if let Some((lease, keep)) = self.lease.take()
            && self.progress.sent() == Sent::Whole
        {
            lease.give_back(keep);
        }
    }

    fn postpone(&mut self) {
        let deadline = Instant::now() + self.replica.receive_timeout();
        self.deadline.as_mut().reset(deadline);
    }

    fn stalled(&self) -> ShardError {
        let after = self.replica.receive_timeout();
        self.replica.failed(
            &self.progress,
            Failure::Timeout {
                phase: Phase::Body,
                after,
            },
        )
    }
}

impl Body for ForwardedBody {
    type Data = Bytes;
    type Error = ShardError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ShardError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            ready!(self.deadline.as_mut().poll(cx));
            return Poll::Ready(Some(Err(self.stalled())));
        };
        match frame {
            None => self.finished(),
            Some(_) => self.postpone(),
        }
        Poll::Ready(
            frame.map(|frame| frame.map_err(|error| self.replica.failed(&self.progress, broken(&error)))),
        )
    }

    fn is_end_stream(&self) -> bool {
        // Not before `poll_frame` saw the end: a body that says so is not polled again, and its connection
        // would be lost.
        self.lease.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn drop_hop_by_hop(headers: &mut HeaderMap) {
    for name in named_by_connection(headers) {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect()
}

/// Takes `user` and `password` out of a query, leaving every other byte as it was.
fn without_credentials(path: &str, query: Option<&str>) -> String {
    let kept: Vec<&str> = query
        .unwrap_or("")
        .split('&')
        .filter(|part| !part.is_empty() && !is_credential(part))
        .collect();
    if kept.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", kept.join("&"))
    }
}

/// The name may be percent-encoded: ClickHouse decodes it before it compares.
fn is_credential(parameter: &str) -> bool {
    let name = parameter.split('=').next().unwrap_or(parameter);
    let name = percent_encoding::percent_decode_str(name).collect::<Vec<u8>>();
    name == b"user" || name == b"password"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headers_of_a_connection_are_dropped_with_those_it_names() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Trace"),
            ("x-trace", "1"),
            ("te", "trailers"),
            ("accept", "*"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        drop_hop_by_hop(&mut headers);
        assert_eq!(
            headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(),
            ["accept"]
        );
    }

    #[track_caller]
    fn check_without_credentials(query: &str, expected: &str) {
        assert_eq!(without_credentials("/", Some(query)), expected);
    }

    #[test]
    fn credentials_in_the_url_are_taken_out() {
        check_without_credentials("query=SELECT+1&user=a&password=b&x=%20", "/?query=SELECT+1&x=%20");
        check_without_credentials("%75ser=a&pass%77ord=b", "/");
        check_without_credentials("username=a&query=user", "/?username=a&query=user");
    }
}
