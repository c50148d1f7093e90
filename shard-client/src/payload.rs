//! The body of an INSERT: the batch's bytes as they lie in the file, checked against what was announced while
//! they pass, in an envelope or bare.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use crate::envelope;
use crate::progress::{BoxError, Progress, Wire, bare};

/// Where an INSERT's bytes come from: ClickHouse's compressed frames, one behind the other, in pieces of any
/// size.
///
/// Made from bytes in memory, from a channel that a reading task fills (dropping its sender ends the
/// payload), or from any body.
pub struct Payload(UnsyncBoxBody<Bytes, io::Error>);

impl Payload {
    /// The pieces of another body.
    pub fn new<B>(body: B) -> Payload
    where
        B: Body<Data = Bytes, Error = io::Error> + Send + 'static,
    {
        Payload(body.boxed_unsync())
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Payload {
        Payload(
            Full::new(bytes)
                .map_err(|never: Infallible| match never {})
                .boxed_unsync(),
        )
    }
}

impl From<mpsc::Receiver<io::Result<Bytes>>> for Payload {
    fn from(pieces: mpsc::Receiver<io::Result<Bytes>>) -> Payload {
        Payload::new(Pieces(pieces))
    }
}

struct Pieces(mpsc::Receiver<io::Result<Bytes>>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(cx).map_ok(Frame::data)
    }
}

/// Why a payload could not be sent to its end. Always our side's fault; the body was cut, visibly where it
/// has an envelope.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// The payload could not be read.
    #[error("the payload could not be read: {0}")]
    Read(#[source] io::Error),
    /// It ended before the announced length.
    #[error("the payload ended after {passed} of {announced} bytes")]
    Short {
        /// Bytes announced.
        announced: u64,
        /// Bytes that came.
        passed: u64,
    },
    /// It went on beyond the announced length.
    #[error("the payload goes on beyond its {announced} bytes")]
    Long {
        /// Bytes announced.
        announced: u64,
    },
    /// Its CRC32 is another than was announced: the file changed, or was read wrongly.
    #[error("the payload's CRC32 is {passed:08x}, announced was {announced:08x}")]
    Changed {
        /// The CRC32 announced.
        announced: u32,
        /// The CRC32 of what came.
        passed: u32,
    },
}

/// Length and CRC32 of a payload, known before it is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Announced {
    pub(crate) bytes: u64,
    pub(crate) crc32: u32,
}

/// The payload on its way out. Its end, the envelope's tail or a bare body's last piece, is given out only
/// after length and CRC32 agreed with what was announced.
pub(crate) struct PayloadBody {
    source: Payload,
    announced: Announced,
    framing: Framing,
    crc: crc32fast::Hasher,
    passed: u64,
    pending: Bytes,
    progress: Arc<Progress>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// Bytes as they are.
    Bare,
    /// Before the envelope's head.
    Head,
    /// Between two of its blocks.
    Blocks,
    /// Behind its tail.
    Ended,
}

impl PayloadBody {
    pub(crate) fn new(
        payload: Payload,
        announced: Announced,
        envelope: bool,
        progress: Arc<Progress>,
    ) -> Self {
        PayloadBody {
            source: payload,
            announced,
            framing: if envelope { Framing::Head } else { Framing::Bare },
            crc: crc32fast::Hasher::new(),
            passed: 0,
            pending: Bytes::new(),
            progress,
        }
    }

    /// Counts a piece and, with the last one, compares the CRC32: before the piece is given out, so that a
    /// payload that changed is cut even where it has no envelope.
    fn admit(&mut self, piece: &Bytes) -> Result<(), PayloadError> {
        self.passed += piece.len() as u64;
        self.crc.update(piece);
        if self.passed > self.announced.bytes {
            return Err(PayloadError::Long {
                announced: self.announced.bytes,
            });
        }
        if self.complete() { self.compare() } else { Ok(()) }
    }

    fn compare(&self) -> Result<(), PayloadError> {
        let Announced { crc32: announced, .. } = self.announced;
        let passed = self.crc.clone().finalize();
        if passed == announced {
            Ok(())
        } else {
            Err(PayloadError::Changed { announced, passed })
        }
    }

    fn complete(&self) -> bool {
        self.passed == self.announced.bytes
    }

    fn short(&self) -> PayloadError {
        PayloadError::Short {
            announced: self.announced.bytes,
            passed: self.passed,
        }
    }

    /// The next piece for the wire out of what is pending, or the tail once everything went by.
    fn give_out(&mut self) -> Option<Wire> {
        match self.framing {
            Framing::Bare if self.pending.is_empty() => None,
            Framing::Bare => Some(bare(std::mem::take(&mut self.pending))),
            Framing::Head | Framing::Blocks if !self.pending.is_empty() => Some(self.block()),
            Framing::Head | Framing::Blocks if self.complete() => Some(self.tail()),
            Framing::Head | Framing::Blocks | Framing::Ended => None,
        }
    }

    fn block(&mut self) -> Wire {
        let len = u16::try_from(self.pending.len()).unwrap_or(u16::MAX);
        let content = self.pending.split_to(usize::from(len));
        let mut before = self.head();
        before.extend_from_slice(&envelope::block_head(len));
        self.framing = Framing::Blocks;
        before.freeze().chain(content)
    }

    fn tail(&mut self) -> Wire {
        let mut end = self.head();
        end.extend_from_slice(&envelope::tail(self.announced.bytes, self.announced.crc32));
        self.framing = Framing::Ended;
        bare(end.freeze())
    }

    /// The member's head, once.
    fn head(&self) -> BytesMut {
        let mut bytes = BytesMut::with_capacity(envelope::HEAD.len() + envelope::TAIL_BYTES);
        if self.framing == Framing::Head {
            bytes.extend_from_slice(&envelope::HEAD);
        }
        bytes
    }

    fn fail(&self, error: PayloadError) -> BoxError {
        let text = error.to_string();
        self.progress.fail(error);
        text.into()
    }

    /// Takes the next piece from the source into `pending`.
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PayloadError>> {
        let frame = match ready!(Pin::new(&mut self.source).poll_frame(cx)) {
            None => return Poll::Ready(Err(self.short())),
            Some(Err(error)) => return Poll::Ready(Err(PayloadError::Read(error))),
            Some(Ok(frame)) => frame,
        };
        // Trailers mean nothing to an INSERT.
        self.pending = frame.into_data().unwrap_or_default();
        let piece = self.pending.clone();
        Poll::Ready(self.admit(&piece))
    }
}

impl Body for PayloadBody {
    type Data = Wire;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Wire>, BoxError>>> {
        loop {
            if let Some(wire) = self.give_out() {
                return Poll::Ready(Some(Ok(Frame::data(wire))));
            }
            if self.is_end_stream() {
                return Poll::Ready(None);
            }
            if let Err(error) = ready!(self.poll_source(cx)) {
                return Poll::Ready(Some(Err(self.fail(error))));
            }
        }
    }

    /// True as soon as the last piece was given out, so that the connection's task knows the end with it.
    fn is_end_stream(&self) -> bool {
        match self.framing {
            Framing::Ended => true,
            Framing::Bare => self.complete() && self.pending.is_empty(),
            Framing::Head | Framing::Blocks => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn announced(content: &[u8]) -> Announced {
        Announced {
            bytes: content.len() as u64,
            crc32: crc32fast::hash(content),
        }
    }

    async fn pieces(content: &[u8], size: usize) -> Payload {
        let (send, receive) = mpsc::channel(content.len() / size + 1);
        for piece in content.chunks(size) {
            send.send(Ok(Bytes::copy_from_slice(piece))).await.unwrap();
        }
        receive.into()
    }

    async fn sent(payload: Payload, announced: Announced, envelope: bool) -> (Vec<u8>, Option<PayloadError>) {
        let progress = Progress::new(envelope);
        let mut body = PayloadBody::new(payload, announced, envelope, progress.clone());
        let mut out = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            let mut data = frame.into_data().unwrap();
            out.extend_from_slice(&data.copy_to_bytes(data.remaining()));
        }
        (out, progress.take_failure())
    }

    fn unpack(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(bytes).read_to_end(&mut unpacked)?;
        Ok(unpacked)
    }

    #[tokio::test]
    async fn a_payload_in_pieces_of_any_size_arrives_as_one_gzip_member() {
        let content: Vec<u8> = (0..300_000u32).map(|n| (n % 253) as u8).collect();
        for size in [1_000, 65_535, 65_536, 131_070, 300_000] {
            let (out, error) = sent(pieces(&content, size).await, announced(&content), true).await;
            assert!(error.is_none(), "{error:?}");
            assert!(unpack(&out).unwrap() == content, "in pieces of {size}");
        }
    }

    #[tokio::test]
    async fn an_empty_payload_is_an_empty_member() {
        let (out, error) = sent(Bytes::new().into(), announced(b""), true).await;
        assert!(error.is_none());
        assert_eq!(unpack(&out).unwrap(), b"");
    }

    #[tokio::test]
    async fn a_bare_payload_is_sent_as_it_is() {
        let (out, error) = sent(pieces(b"frames", 4).await, announced(b"frames"), false).await;
        assert_eq!((out.as_slice(), error.is_none()), (&b"frames"[..], true));
    }

    #[track_caller]
    fn check_cut(out: &[u8], error: Option<&PayloadError>, expected: &str) {
        assert!(unpack(out).is_err(), "the cut is not visible");
        assert_eq!(error.unwrap().to_string(), expected);
    }

    #[tokio::test]
    async fn a_payload_that_changed_is_cut_before_its_tail() {
        let (out, error) = sent(pieces(b"changed", 3).await, announced(b"written"), true).await;
        check_cut(&out, error.as_ref(), &{
            let (passed, told) = (crc32fast::hash(b"changed"), crc32fast::hash(b"written"));
            format!("the payload's CRC32 is {passed:08x}, announced was {told:08x}")
        });
    }

    #[tokio::test]
    async fn a_payload_of_another_length_is_cut_before_its_tail() {
        let (out, error) = sent(pieces(b"short", 3).await, announced(b"longer"), true).await;
        check_cut(&out, error.as_ref(), "the payload ended after 5 of 6 bytes");
        let (out, error) = sent(pieces(b"longer", 3).await, announced(b"short"), true).await;
        check_cut(&out, error.as_ref(), "the payload goes on beyond its 5 bytes");
    }

    #[tokio::test]
    async fn a_bare_payload_that_changed_loses_its_last_piece() {
        let (out, error) = sent(pieces(b"changed", 4).await, announced(b"written"), false).await;
        assert_eq!(out, b"chan");
        assert!(matches!(error, Some(PayloadError::Changed { .. })));
    }

    #[tokio::test]
    async fn a_payload_that_cannot_be_read_says_so() {
        let (send, receive) = mpsc::channel(1);
        send.send(Err(io::Error::other("disk gone"))).await.unwrap();
        let (out, error) = sent(receive.into(), announced(b"x"), true).await;
        check_cut(&out, error.as_ref(), "the payload could not be read: disk gone");
    }
}
