//! A request's body: read piece by piece, never whole, and known to be cut when it is.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};

use crate::exception::{Exception, code};

/// A client that sends nothing for this long in the middle of a body is given up (ClickHouse's receive_timeout).
const CLIENT_SILENCE_MAX: Duration = Duration::from_secs(300);

/// The body of one request.
///
/// The first call of [`RequestBody::next`] makes hyper answer `Expect: 100-continue`: whatever can be refused is refused before.
#[derive(Debug)]
pub struct RequestBody {
    incoming: Incoming,
    /// Read before and given back, to be read first.
    returned: Option<Bytes>,
    bytes_read: u64,
}

impl RequestBody {
    /// Wraps hyper's body.
    pub fn new(incoming: Incoming) -> Self {
        Self {
            incoming,
            returned: None,
            bytes_read: 0,
        }
    }

    /// The next bytes, or none at the body's clean end. A body cut short is an error.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Exception> {
        if let Some(bytes) = self.returned.take() {
            return Ok(Some(bytes));
        }
        loop {
            let frame = tokio::time::timeout(CLIENT_SILENCE_MAX, self.incoming.frame()).await;
            match frame.map_err(|_| self.silent())? {
                None => return Ok(None),
                Some(Err(error)) => return Err(self.cut(&error)),
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

    /// How many bytes the client announced, if it did.
    pub fn announced_bytes(&self) -> Option<u64> {
        self.incoming.size_hint().exact()
    }

    /// Hands what is left to another reader: bytes given back first, then the connection's.
    pub fn into_parts(self) -> (Option<Bytes>, Incoming) {
        (self.returned, self.incoming)
    }

    fn cut(&self, error: &hyper::Error) -> Exception {
        let message = format!(
            "The request's body was cut short after {} bytes ({error}): nothing of it was inserted; send it again.",
            self.bytes_read
        );
        Exception::bad_input(code::CANNOT_READ_ALL_DATA, message)
    }

    fn silent(&self) -> Exception {
        let message = format!(
            "The client sent nothing for {} seconds after {} bytes of the body: nothing of it was inserted; send it again.",
            CLIENT_SILENCE_MAX.as_secs(),
            self.bytes_read
        );
        Exception::try_again(code::NETWORK_ERROR, 1, message)
    }
}
