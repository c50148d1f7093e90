//! A request's body: read piece by piece, never whole, and known to be cut when it is.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};

use crate::exception::{Exception, code};

/// A client that sends nothing for this long in the middle of a body is given up (ClickHouse's
/// receive_timeout).
const CLIENT_SILENCE_MAX: Duration = Duration::from_secs(300);

/// Bytes of a body that are read and forgotten after an error: most rows are smaller, and a larger body is
/// cheaper to cut.
const DRAINED_BYTES_MAX: usize = 16 << 20;

/// How long that may take.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(2);

/// The body of one request.
///
/// The first call of [`RequestBody::next`] makes hyper answer `Expect: 100-continue`: whatever can be refused
/// is refused before.
#[derive(Debug)]
pub struct RequestBody {
    /// None once another reader has it.
    incoming: Option<Incoming>,
    /// Read before and given back, to be read first.
    returned: Option<Bytes>,
    bytes_read: u64,
    /// The client sends it: it did not wait for `100 Continue`, or was told to go on by the first read.
    is_sent: bool,
}

impl RequestBody {
    /// Wraps hyper's body; `waits_for_continue` is a client's `Expect: 100-continue`.
    pub fn new(incoming: Incoming, waits_for_continue: bool) -> Self {
        Self {
            incoming: Some(incoming),
            returned: None,
            bytes_read: 0,
            is_sent: !waits_for_continue,
        }
    }

    /// The next bytes, or none at the body's clean end. A body cut short is an error.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Exception> {
        if let Some(bytes) = self.returned.take() {
            return Ok(Some(bytes));
        }
        let Some(incoming) = &mut self.incoming else {
            return Ok(None);
        };
        self.is_sent = true;
        loop {
            let frame = tokio::time::timeout(CLIENT_SILENCE_MAX, incoming.frame()).await;
            match frame.map_err(|_| silent(self.bytes_read))? {
                None => return Ok(None),
                Some(Err(error)) => return Err(cut(self.bytes_read, &error)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data()
                        && !data.is_empty()
                    {
                        self.bytes_read += data.len() as u64;
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// Gives bytes back: the next call of [`RequestBody::next`] has them.
    pub fn unread(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.returned = Some(bytes);
        }
    }

    /// How many bytes are still to come, if the client announced it.
    pub fn announced_bytes(&self) -> Option<u64> {
        self.incoming
            .as_ref()
            .and_then(|incoming| incoming.size_hint().exact())
    }

    /// The rest of the body for another owner; nothing is left here.
    pub fn take(&mut self) -> Self {
        Self {
            incoming: self.incoming.take(),
            returned: self.returned.take(),
            ..*self
        }
    }

    /// Reads on for a while after an error, so that the client is still there to read the answer: closing a
    /// connection with unread bytes in it takes back what was written. A client that waits for `100 Continue`
    /// has sent nothing and is not told to begin.
    pub async fn drain(&mut self) {
        let Some(incoming) = self.incoming.as_mut().filter(|_| self.is_sent) else {
            return;
        };
        let read_on = async {
            let mut bytes = 0;
            while bytes < DRAINED_BYTES_MAX {
                match incoming.frame().await {
                    Some(Ok(frame)) => bytes += frame.data_ref().map_or(0, Bytes::len),
                    Some(Err(_)) | None => return,
                }
            }
        };
        // Time out or not, the answer is what comes next.
        let _ = tokio::time::timeout(DRAIN_TIME_MAX, read_on).await;
    }
}

fn cut(bytes_read: u64, error: &hyper::Error) -> Exception {
    let message = format!(
        "The request's body was cut short after {bytes_read} bytes ({error}): nothing of it was inserted; send it again."
    );
    Exception::bad_input(code::CANNOT_READ_ALL_DATA, message)
}

fn silent(bytes_read: u64) -> Exception {
    let message = format!(
        "The client sent nothing for {} seconds after {bytes_read} bytes of the body: nothing of it was inserted; send it again.",
        CLIENT_SILENCE_MAX.as_secs(),
    );
    Exception::try_again(code::NETWORK_ERROR, 1, message)
}
