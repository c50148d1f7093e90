//! One request and its answer over a pooled connection: what is sent once, what is waited for, what counts as
//! the end.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::{timeout, timeout_at};

use crate::error::{Failure, Phase, ShardError};
use crate::mark::ServerMark;
use crate::pool::{Lease, Share};
use crate::progress::{Outgoing, Progress, Sent};
use crate::replica::Replica;
use crate::response;

/// A request whose answer has begun, and the connection on which it comes.
pub(crate) struct Exchanged {
    pub(crate) response: Response<Incoming>,
    pub(crate) lease: Lease,
}

/// A success, read to its end.
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Replica {
    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn exchange(
        &self,
        mut request: Request<Outgoing>,
        progress: &Progress,
        to: To<'_>,
    ) -> Result<Exchanged, ShardError> {
        loop {
            let lease = match to {
                To::Anybody(share) => {
                    let lease = self.pool.lease(share).await;
                    lease.map_err(|failure| self.failed(progress, failure))?
                }
                To::Server(server) => self.lease_to(server).await?,
            };
            match self.attempt(lease, request, progress).await? {
                Attempt::Answered(exchanged) => return Ok(exchanged),
                // Each turn uses an idle connection up, and a new one never gives a request back.
                Attempt::GivenBack(untouched) => request = untouched,
            }
        }
    }

    /// The same on this connection.
    pub(crate) async fn attempt(
        &self,
        mut lease: Lease,
        request: Request<Outgoing>,
        progress: &Progress,
    ) -> Result<Attempt, ShardError> {
        let limit = self.receive_timeout();
        progress.begin();
        let answer = lease.connection.sender.try_send_request(request);
        let Some(answer) = while_moving(progress, limit, answer).await else {
            return Err(self.failed(
                progress,
                Failure::Timeout {
                    phase: Phase::Answer,
                    after: limit,
                },
            ));
        };
        let mut refused = match answer {
            Ok(response) => return Ok(Attempt::Answered(Exchanged { response, lease })),
            Err(refused) => refused,
        };
        match refused.take_message() {
            Some(untouched) if lease.reused => {
                progress.unsent();
                return Ok(Attempt::GivenBack(untouched));
            }
            Some(_) => progress.unsent(),
            None => {}
        }
        let failure = progress
            .take_failure()
            .map_or_else(|| broken(&refused.into_error()), Failure::Payload);
        Err(self.failed(progress, failure))
    }

    /// Reads an answer to its end, judges it, and keeps the connection if nothing is left on it.
    pub(crate) async fn answer(
        &self,
        exchanged: Exchanged,
        progress: &Progress,
        bytes_max: usize,
    ) -> Result<Answer, ShardError> {
        let (answer, lease) = self.read_answer(exchanged, progress, bytes_max).await?;
        lease.give_back(response::keep_alive(&answer.headers));
        Ok(answer)
    }

    /// The same, with the connection still in hand.
    pub(crate) async fn read_answer(
        &self,
        exchanged: Exchanged,
        progress: &Progress,
        bytes_max: usize,
    ) -> Result<(Answer, Lease), ShardError> {
        let Exchanged { response, lease } = exchanged;
        let (head, body) = response.into_parts();
        let bytes_max = if head.status == StatusCode::OK {
            bytes_max
        } else {
            response::ERROR_BYTES_MAX
        };
        let (body, rest) = self.read(body, bytes_max).await;
        let verdict = response::verdict(head.status, &head.headers, &body);
        let sent = progress.sent();
        let is_through = matches!(rest, Rest::None) && sent == Sent::Whole;
        let failure = match (verdict, rest) {
            (Ok(()), Rest::None) if is_through => {
                let headers = head.headers;
                return Ok((Answer { headers, body }, lease));
            }
            (Ok(()), Rest::None) => return Err(self.early_success()),
            (Ok(()), Rest::Unread) => too_long(bytes_max),
            // What a server said before it hung up counts more than that it did.
            (Err(failure @ Failure::Server(_)), _) | (_, Rest::Cut(failure)) | (Err(failure), _) => failure,
        };
        if is_through {
            lease.give_back(response::keep_alive(&head.headers));
        }
        Err(self.failed(progress, failure))
    }

    /// Nobody can have taken a body whose end was not sent. Whatever answers so does not read bodies as
    /// ClickHouse does:
    /// the envelope proves nothing there, so the request counts as sent whole.
    fn early_success(&self) -> ShardError {
        let what = "success before the end of the request's body".to_owned();
        ShardError::new(&self.address, Sent::Whole, Failure::Protocol(what))
    }

    /// Reads at most `bytes_max` bytes.
    async fn read(&self, mut body: Incoming, bytes_max: usize) -> (Bytes, Rest) {
        let mut bytes = Vec::new();
        let rest = loop {
            match self.next_piece(&mut body).await {
                Ok(None) => break Rest::None,
                Ok(Some(piece)) if bytes.len() + piece.len() <= bytes_max => bytes.extend_from_slice(&piece),
                Ok(Some(piece)) => {
                    bytes.extend_from_slice(&piece[..bytes_max - bytes.len()]);
                    break Rest::Unread;
                }
                Err(failure) => break Rest::Cut(failure),
            }
        };
        (bytes.into(), rest)
    }

    async fn next_piece(&self, body: &mut Incoming) -> Result<Option<Bytes>, Failure> {
        let limit = self.receive_timeout();
        let frame = timeout(limit, body.frame()).await.map_err(|_| Failure::Timeout {
            phase: Phase::Body,
            after: limit,
        })?;
        match frame {
            None => Ok(None),
            // Trailers are an empty piece: ClickHouse sends none.
            Some(Ok(frame)) => Ok(Some(frame.into_data().unwrap_or_default())),
            Some(Err(error)) => Err(broken(&error)),
        }
    }

    pub(crate) fn receive_timeout(&self) -> Duration {
        self.pool.endpoint().receive_timeout
    }

    pub(crate) fn failed(&self, progress: &Progress, failure: Failure) -> ShardError {
        ShardError::new(&self.address, progress.sent(), failure)
    }
}

/// Who is to get a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum To<'a> {
    /// Whoever answers at the address.
    Anybody(Share),
    /// This server, on one of the replica's counted connections.
    Server(&'a ServerMark),
}

/// How far a request came on one connection.
pub(crate) enum Attempt {
    Answered(Exchanged),
    /// The connection was closed before a byte of the request left.
    GivenBack(Request<Outgoing>),
}

/// What was not read of an answer.
enum Rest {
    None,
    Unread,
    Cut(Failure),
}

fn too_long(bytes_max: usize) -> Failure {
    Failure::Protocol(format!("an answer of more than {bytes_max} bytes"))
}

/// Waits for the answer as long as the request's body moves; `None` when nothing did for `limit`.
async fn while_moving<T>(progress: &Progress, limit: Duration, answer: impl Future<Output = T>) -> Option<T> {
    tokio::pin!(answer);
    loop {
        let deadline = progress.last() + limit;
        match timeout_at(deadline, &mut answer).await {
            Ok(answer) => return Some(answer),
            Err(_) if progress.last() + limit > deadline => {}
            Err(_) => return None,
        }
    }
}

/// How hyper's words for a broken exchange are to be understood.
pub(crate) fn broken(error: &hyper::Error) -> Failure {
    let words = with_causes(error);
    if error.is_parse() {
        Failure::Protocol(words)
    } else if error.is_user() {
        Failure::Request(words)
    } else {
        Failure::Cut(words)
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", with_causes(cause)),
        None => error.to_string(),
    }
}
