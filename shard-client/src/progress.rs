//! How far a request came: what decides, when it fails, whether the server can have taken it for whole.

use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::buf::Chain;
use bytes::{Buf, Bytes};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use crate::payload::PayloadError;

/// How much of a request had been handed to the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// No byte: there was no connection, or it was found closed before.
    Nothing,
    /// The head, and a body whose end had not been reached.
    Part {
        /// Whether the body has an end mark of its own, so that the server cannot have taken the part for the
        /// whole.
        ends_itself: bool,
    },
    /// Everything.
    Whole,
}

/// Any error a body may end in; hyper wants it this wide.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A piece of a request's body: the envelope's few bytes and the payload's, joined without copying.
pub(crate) type Wire = Chain<Bytes, Bytes>;

/// The one type of body that a pooled connection carries.
pub(crate) type Outgoing = UnsyncBoxBody<Wire, BoxError>;

/// A piece without an envelope's bytes.
pub(crate) fn bare(data: Bytes) -> Wire {
    Bytes::new().chain(data)
}

/// Shared between the body, which hyper's connection task pulls, and the request that waits for the answer.
#[derive(Debug)]
pub(crate) struct Progress {
    stage: AtomicU8,
    ends_itself: bool,
    last: Mutex<Instant>,
    failure: Mutex<Option<PayloadError>>,
}

const UNSENT: u8 = 0;
const BEGUN: u8 = 1;
const WHOLE: u8 = 2;

impl Progress {
    pub(crate) fn new(ends_itself: bool) -> Arc<Progress> {
        Arc::new(Progress {
            stage: AtomicU8::new(UNSENT),
            ends_itself,
            last: Mutex::new(Instant::now()),
            failure: Mutex::new(None),
        })
    }

    pub(crate) fn sent(&self) -> Sent {
        match self.stage.load(Ordering::Acquire) {
            UNSENT => Sent::Nothing,
            BEGUN => Sent::Part {
                ends_itself: self.ends_itself,
            },
            _ => Sent::Whole,
        }
    }

    /// The request is handed to a connection; from here on a byte of it may have left.
    pub(crate) fn begin(&self) {
        self.stage.store(BEGUN, Ordering::Release);
        self.touch();
    }

    /// The connection gave the request back untouched.
    pub(crate) fn unsent(&self) {
        self.stage.store(UNSENT, Ordering::Release);
    }

    /// When the body last moved. Only the sender's side: the answer is timed by its reader.
    pub(crate) fn last(&self) -> Instant {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the reason for which the body ended in an error: hyper hands out only a borrowed one.
    pub(crate) fn fail(&self, error: PayloadError) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    pub(crate) fn take_failure(&self) -> Option<PayloadError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn touch(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn whole(&self) {
        self.stage.store(WHOLE, Ordering::Release);
        self.touch();
    }
}

/// A body that tells [`Progress`] of every piece that hyper takes, and of its end.
pub(crate) struct Tracked<B> {
    inner: B,
    progress: Arc<Progress>,
}

/// Puts a body into the shape that the pool carries, its progress told to `progress`.
pub(crate) fn tracked<B>(inner: B, progress: Arc<Progress>) -> Outgoing
where
    B: Body<Data = Wire, Error = BoxError> + Send + Unpin + 'static,
{
    Tracked { inner, progress }.boxed_unsync()
}

/// The same for a body of plain bytes.
pub(crate) fn outgoing<B>(body: B, progress: Arc<Progress>) -> Outgoing
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let body = body.map_frame(|frame| frame.map_data(bare)).map_err(Into::into);
    tracked(Box::pin(body), progress)
}

impl<B: Body<Data = Wire> + Unpin> Body for Tracked<B> {
    type Data = Wire;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Wire>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &frame {
            // The last piece counts as the end: with it the server can have the whole.
            None => self.progress.whole(),
            Some(Ok(_)) if self.inner.is_end_stream() => self.progress.whole(),
            Some(Ok(_)) => self.progress.touch(),
            Some(Err(_)) => {}
        }
        Poll::Ready(frame)
    }

    /// hyper does not poll a body that says so at once: an empty body is whole as soon as it is looked at.
    fn is_end_stream(&self) -> bool {
        let ended = self.inner.is_end_stream();
        if ended {
            self.progress.whole();
        }
        ended
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
