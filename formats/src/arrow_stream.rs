//! ArrowStream and Arrow: record batches in Arrow's IPC format.
//!
//! Messages are framed here, so that none is decoded before its lengths are known to be bounded. A file is a stream
//! between a magic number and a footer; the footer says nothing that the stream does not.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::{Message, MessageHeader, RecordBatch as BatchHead, root_as_message};
use types::ColumnDef;

use crate::columnar::{Batches, PANICKED, Taken, Windows};
use crate::error::{FormatError, code};
use crate::settings::Family;
use crate::stream::{Input, Rows, Spec};

pub(crate) fn open(input: &Input<'_>, spec: &Spec<'_>) -> Result<Box<dyn Windows>, FormatError> {
    Stream::boxed(input, spec, Part::Length)
}

pub(crate) fn open_file(input: &Input<'_>, spec: &Spec<'_>) -> Result<Box<dyn Windows>, FormatError> {
    Stream::boxed(input, spec, Part::Magic)
}

/// What a file begins with, and ends with but for the padding.
const MAGIC: &[u8; 8] = b"ARROW1\0\0";

/// What stands in front of a message's length, but in very old streams.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// A message's description may be so long.
const HEAD_BYTES_MAX: usize = 4 << 20;

/// A description is a table with its offsets: longer than what is read of it with its length.
const HEAD_BYTES_MIN: usize = 8;

struct Stream {
    batches: Batches,
    decoder: StreamDecoder,
    /// Batches that were decoded and not yet handed over.
    decoded: VecDeque<RecordBatch>,
    is_file: bool,
    /// The message that is coming in, and how many bytes of it make the present part whole.
    message: Vec<u8>,
    part: Part,
    wanted: usize,
    /// The last bytes behind a file's stream.
    tail: Vec<u8>,
    /// All dictionaries so far, which stay in memory.
    dictionary_bytes: usize,
    message_bytes_max: usize,
    offset: u64,
}

/// What makes a message whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Magic,
    Length,
    /// Its description, behind so many bytes.
    Head(usize),
    Body(usize),
    /// The stream is over.
    End,
}

impl Stream {
    fn boxed(input: &Input<'_>, spec: &Spec<'_>, part: Part) -> Result<Box<dyn Windows>, FormatError> {
        input.settings.allow(Family::Any)?;
        input.settings.allow(Family::Arrow)?;
        Ok(Box::new(Self {
            batches: Batches::new(input, spec)?,
            decoder: StreamDecoder::new(),
            decoded: VecDeque::new(),
            is_file: part == Part::Magic,
            message: Vec::new(),
            part,
            wanted: 8,
            tail: Vec::new(),
            dictionary_bytes: 0,
            message_bytes_max: spec.max_row_bytes,
            offset: 0,
        }))
    }

    /// Collects the present part, and goes on to the next once it is whole.
    fn advance(&mut self, bytes: &[u8]) -> Result<usize, FormatError> {
        if self.part == Part::End {
            return self.behind_the_end(bytes);
        }
        let passed = bytes.len().min(self.wanted - self.message.len());
        self.message.extend_from_slice(&bytes[..passed]);
        self.offset += passed as u64;
        if self.message.len() == self.wanted {
            self.part_is_whole()?;
        }
        Ok(passed)
    }

    fn behind_the_end(&mut self, bytes: &[u8]) -> Result<usize, FormatError> {
        if !self.is_file && !bytes.is_empty() {
            return Err(self.error(
                code::INCORRECT_DATA,
                "nothing may stand behind the end of the stream",
            ));
        }
        self.tail
            .extend_from_slice(&bytes[bytes.len().saturating_sub(MAGIC.len())..]);
        let extra = self.tail.len().saturating_sub(MAGIC.len());
        self.tail.drain(..extra);
        self.offset += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn part_is_whole(&mut self) -> Result<(), FormatError> {
        match self.part {
            Part::Magic if self.message == MAGIC => self.expect(Part::Length, 8),
            Part::Magic => return Err(self.error(code::INCORRECT_DATA, "an Arrow file begins with ARROW1")),
            Part::Length => self.length()?,
            Part::Head(start) => {
                let body = self.body_bytes(start)?;
                if body > self.message_bytes_max {
                    return Err(self.too_large());
                }
                self.part = Part::Body(start);
                self.wanted += body;
                if body == 0 {
                    self.decode(start)?;
                }
            }
            Part::Body(start) => self.decode(start)?,
            Part::End => {}
        }
        Ok(())
    }

    fn expect(&mut self, part: Part, wanted: usize) {
        self.part = part;
        self.wanted = wanted;
        self.message.clear();
        self.message.shrink_to(HEAD_BYTES_MAX);
    }

    /// A message's length, behind a marker in all but very old streams; none ends the stream.
    fn length(&mut self) -> Result<(), FormatError> {
        let (front, back) = self.message.split_at(4);
        let (start, len) = if front == CONTINUATION {
            (8, back)
        } else {
            (4, front)
        };
        let len = len
            .iter()
            .rev()
            .fold(0_usize, |len, byte| len << 8 | usize::from(*byte));
        if len == 0 {
            return self.end();
        }
        if !(HEAD_BYTES_MIN..=HEAD_BYTES_MAX).contains(&len) {
            return Err(self.error(
                code::INCORRECT_DATA,
                "expected the length of a message's description",
            ));
        }
        self.part = Part::Head(start);
        self.wanted = start + len;
        Ok(())
    }

    /// How long the body is whose description is whole.
    fn body_bytes(&self, start: usize) -> Result<usize, FormatError> {
        let message = self.parsed(start, self.message.len())?;
        usize::try_from(message.bodyLength())
            .map_err(|_| self.error(code::INCORRECT_DATA, "a message's body has a length below 0"))
    }

    fn parsed(&self, start: usize, end: usize) -> Result<Message<'_>, FormatError> {
        root_as_message(&self.message[start..end])
            .map_err(|_| self.error(code::INCORRECT_DATA, "expected the description of a message"))
    }

    /// Decodes the message, which is whole.
    fn decode(&mut self, start: usize) -> Result<(), FormatError> {
        let message = self.parsed(start, self.message.len())?;
        if let Some(schema) = message.header_as_schema().filter(|_| !self.batches.has_schema()) {
            let read = catch_unwind(AssertUnwindSafe(|| try_fb_to_schema(schema)));
            let read = read.map_err(|_| self.error(code::INCORRECT_DATA, PANICKED))?;
            let schema = read.map_err(|error| self.error(code::INCORRECT_DATA, &error.to_string()))?;
            self.batches.take_schema(&schema)?;
        }
        self.check_lengths(start)?;
        let bytes = std::mem::take(&mut self.message);
        self.feed(bytes)?;
        self.expect(Part::Length, 8);
        Ok(())
    }

    /// Gives bytes to the decoder. A message without a body it decodes only when it is given the next one.
    fn feed(&mut self, bytes: Vec<u8>) -> Result<(), FormatError> {
        let mut buffer = Buffer::from_vec(bytes);
        while !buffer.is_empty() {
            let decoder = &mut self.decoder;
            let decoded = catch_unwind(AssertUnwindSafe(|| decoder.decode(&mut buffer)));
            let decoded = decoded.map_err(|_| self.error(code::INCORRECT_DATA, PANICKED))?;
            let batch = decoded.map_err(|error| self.error(code::INCORRECT_DATA, &error.to_string()))?;
            let Some(batch) = batch else { continue };
            // A bit a row at least, but for a column of nothing but NULLs.
            if batch.num_rows() / 8 > batch.get_array_memory_size() {
                return Err(self.error(
                    code::INCORRECT_DATA,
                    "a batch has more rows than its buffers hold",
                ));
            }
            self.decoded.push_back(batch);
        }
        Ok(())
    }

    /// The stream is over: what the decoder still holds comes out.
    fn end(&mut self) -> Result<(), FormatError> {
        self.expect(Part::End, 0);
        self.feed([&CONTINUATION[..], &[0; 4]].concat())
    }

    /// Refuses buffers that become too long, compressed ones by what they say.
    fn check_lengths(&mut self, start: usize) -> Result<(), FormatError> {
        let message = root_as_message(&self.message[start..]);
        let message =
            message.map_err(|_| self.error(code::INCORRECT_DATA, "expected the description of a message"))?;
        let body_len = usize::try_from(message.bodyLength()).unwrap_or(0);
        let body = &self.message[self.message.len().saturating_sub(body_len)..];
        let (bytes, is_dictionary) = match message.header_type() {
            MessageHeader::RecordBatch => (
                message.header_as_record_batch().map(|head| lengths(&head, body)),
                false,
            ),
            MessageHeader::DictionaryBatch => {
                let head = message.header_as_dictionary_batch().and_then(|head| head.data());
                (head.map(|head| lengths(&head, body)), true)
            }
            _ => return Ok(()),
        };
        let bytes = bytes.unwrap_or(0);
        if is_dictionary {
            self.dictionary_bytes = self.dictionary_bytes.saturating_add(bytes);
        }
        if bytes > self.message_bytes_max || self.dictionary_bytes > self.message_bytes_max {
            return Err(self.too_large());
        }
        Ok(())
    }

    fn too_large(&self) -> FormatError {
        let message = format!(
            "a record batch or the dictionaries are longer than max_row_bytes = {}; send smaller batches",
            self.message_bytes_max
        );
        self.error(code::TOO_MANY_BYTES, &message)
    }

    fn error(&self, code: i32, message: &str) -> FormatError {
        let mut error = self.batches.error(code, message.to_owned());
        error.offset = Some(self.offset);
        error
    }

    /// That nothing is missing at the body's end.
    fn check_end(&self) -> Result<(), FormatError> {
        let missing = match self.part {
            // A stream may end without saying so.
            Part::Length if self.message.is_empty() && !self.is_file => false,
            Part::End if self.is_file => !self.tail.ends_with(&MAGIC[..6]),
            Part::End => false,
            _ => true,
        };
        if missing {
            return Err(self.error(
                code::CANNOT_READ_ALL_DATA,
                "the data ends too early: expected the rest of the stream",
            ));
        }
        Ok(())
    }
}

impl Windows for Stream {
    fn step(&mut self, bytes: &[u8], last: bool) -> Result<Taken, FormatError> {
        let mut taken = 0;
        loop {
            let window = self.batches.next_window();
            let window = window.map_err(|error| FormatError {
                offset: Some(self.offset),
                ..error
            })?;
            if window {
                return Ok(Taken { bytes: taken, window });
            }
            if let Some(batch) = self.decoded.pop_front() {
                self.batches.put(batch, false)?;
                continue;
            }
            if taken == bytes.len() {
                if last && self.part != Part::End {
                    self.check_end()?;
                    self.end()?;
                    continue;
                }
                if last {
                    self.check_end()?;
                }
                return Ok(Taken { bytes: taken, window });
            }
            taken += self.advance(&bytes[taken..])?;
        }
    }

    fn rows(&self) -> Rows<'_> {
        self.batches.rows()
    }

    fn columns(&self) -> &[ColumnDef] {
        self.batches.columns()
    }
}

/// How many bytes a batch's buffers have once they are decompressed.
fn lengths(head: &BatchHead<'_>, body: &[u8]) -> usize {
    let is_compressed = head.compression().is_some();
    let buffers = head.buffers().into_iter().flatten();
    let len = |buffer: &arrow_ipc::Buffer| {
        let len = usize::try_from(buffer.length()).unwrap_or(usize::MAX);
        let start = usize::try_from(buffer.offset())
            .ok()
            .filter(|_| is_compressed && len >= 8);
        let said = start.and_then(|start| body.get(start..)?.first_chunk::<8>());
        // -1 says that this one is not compressed after all.
        said.map_or(len, |said| {
            usize::try_from(i64::from_le_bytes(*said)).unwrap_or(len)
        })
    };
    buffers.map(len).fold(0, usize::saturating_add)
}

#[cfg(test)]
mod tests;
