//! A request's body: read piece by piece, never whole, and known to be cut when it is.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};

use super::decode::{Decoder, Need};
use crate::budget::{Budget, Part};
use crate::exception::{Exception, code};

/// A client that sends nothing for this long in the middle of a body is given up (ClickHouse's
/// receive_timeout).
const CLIENT_SILENCE_MAX: Duration = Duration::from_secs(300);

/// Bytes of a body that are read and forgotten after an error: most rows are smaller, and a larger body is
/// cheaper to cut.
const DRAINED_BYTES_MAX: usize = 16 << 20;

/// How long that may take.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(2);

/// Decoded bytes up to which decoding stays on the runtime's thread.
const INLINE_DECODED_BYTES: u64 = 256 << 10;

/// Decoded bytes that are given out at once there, and on blocking threads.
const INLINE_STEP_BYTES: usize = 64 << 10;
const BLOCKING_STEP_BYTES: usize = 1 << 20;

/// The body of one request, decoded as its head says.
///
/// The first call of [`RequestBody::next`] makes hyper answer `Expect: 100-continue`: whatever can be refused
/// is refused before.
#[derive(Debug)]
pub struct RequestBody {
    wire: Wire,
    decoding: Option<Decoding>,
    /// Read before and given back, to be read first.
    returned: Option<Bytes>,
}

/// The bytes as they come.
#[derive(Debug)]
struct Wire {
    /// None once another reader has it, or there is none.
    incoming: Option<Incoming>,
    bytes_read: u64,
    /// The client sends it: it did not wait for `100 Continue`, or was told to go on by the first read.
    is_sent: bool,
}

/// A decoder at work, and the memory that it holds.
#[derive(Debug)]
struct Decoding {
    /// None while it works elsewhere.
    decoder: Option<Box<Decoder>>,
    budget: Budget,
    part: Part,
    input_ended: bool,
}

impl RequestBody {
    /// Wraps hyper's body; `waits_for_continue` is a client's `Expect: 100-continue`.
    pub fn new(incoming: Incoming, waits_for_continue: bool) -> Self {
        Self {
            wire: Wire {
                incoming: Some(incoming),
                bytes_read: 0,
                is_sent: !waits_for_continue,
            },
            decoding: None,
            returned: None,
        }
    }

    /// From here on the body comes decoded; before its first byte was read.
    pub fn decode(&mut self, decoder: Decoder, budget: Budget) {
        self.decoding = Some(Decoding {
            decoder: Some(Box::new(decoder)),
            budget,
            part: Part::default(),
            input_ended: false,
        });
    }

    /// Whether what comes is not what the client sent, but what that decodes to.
    pub fn is_decoded(&self) -> bool {
        self.decoding.is_some()
    }

    /// The next bytes, or none at the body's clean end. A body cut short is an error.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Exception> {
        if let Some(bytes) = self.returned.take() {
            return Ok(Some(bytes));
        }
        match &mut self.decoding {
            None => self.wire.next().await,
            Some(decoding) => decoding.next(&mut self.wire).await,
        }
    }

    /// Gives bytes back: the next call of [`RequestBody::next`] has them.
    pub fn unread(&mut self, bytes: Bytes) {
        self.returned = (!bytes.is_empty()).then_some(bytes);
    }

    /// How many bytes are still to come, if the client announced it: before they are decoded.
    pub fn announced_bytes(&self) -> Option<u64> {
        self.wire
            .incoming
            .as_ref()
            .and_then(|incoming| incoming.size_hint().exact())
    }

    /// The rest of the body for another owner; nothing is left here.
    pub fn take(&mut self) -> Self {
        Self {
            wire: Wire {
                incoming: self.wire.incoming.take(),
                ..self.wire
            },
            decoding: self.decoding.take(),
            returned: self.returned.take(),
        }
    }

    /// Reads the rest and forgets it, undecoded: the answer does not hang on it. To its end however long it is, since a client
    /// that is still sending would not see the answer, and would send the same again for ever; a client that waits for
    /// `100 Continue` has sent nothing and is spared the sending.
    pub async fn read_off(&mut self) -> Result<(), Exception> {
        self.returned = None;
        while self.wire.is_sent && self.wire.next().await?.is_some() {}
        Ok(())
    }

    /// Reads on for a while after an error, so that the client is still there to read the answer: closing a
    /// connection with unread bytes in it takes back what was written. A client that waits for `100 Continue`
    /// has sent nothing and is not told to begin.
    pub async fn drain(&mut self) {
        let Some(incoming) = self.wire.incoming.as_mut().filter(|_| self.wire.is_sent) else {
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

impl Wire {
    async fn next(&mut self) -> Result<Option<Bytes>, Exception> {
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
}

impl Decoding {
    async fn next(&mut self, wire: &mut Wire) -> Result<Option<Bytes>, Exception> {
        loop {
            let (need, bytes) = self.step().await?;
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
            match need {
                Need::Output => {}
                Need::Memory(more) => {
                    self.budget.cover_decoder(&mut self.part, more).await?;
                    self.decoder()?.grant();
                }
                Need::Input if self.input_ended => return self.decoder()?.end().map(|()| None),
                Need::Input => match wire.next().await? {
                    Some(bytes) => self.decoder()?.feed(&bytes),
                    None => {
                        self.input_ended = true;
                        self.decoder()?.end_input();
                    }
                },
            }
        }
    }

    /// Decodes a little here, and much on a blocking thread.
    async fn step(&mut self) -> Result<(Need, Bytes), Exception> {
        let decoder = self.decoder()?;
        if decoder.given() < INLINE_DECODED_BYTES && !decoder.is_slow() {
            let mut out = Vec::new();
            let need = decoder.step(&mut out, INLINE_STEP_BYTES)?;
            return Ok((need, out.into()));
        }
        let mut decoder = self.decoder.take().ok_or_else(lost)?;
        let work = move || {
            let mut out = Vec::new();
            let need = decoder.step(&mut out, BLOCKING_STEP_BYTES);
            (decoder, need.map(|need| (need, Bytes::from(out))))
        };
        let (decoder, result) = tokio::task::spawn_blocking(work).await.map_err(|_| lost())?;
        self.decoder = Some(decoder);
        result
    }

    fn decoder(&mut self) -> Result<&mut Decoder, Exception> {
        self.decoder.as_deref_mut().ok_or_else(lost)
    }
}

fn lost() -> Exception {
    Exception::internal("The decoder of a body was lost in an earlier failure.")
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
