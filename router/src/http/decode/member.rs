//! The frame that all encodings share: member after member, each with its memory granted before it begins.

use bytes::{Buf as _, BytesMut};

use super::{Broken, MEMBER_BYTES_MAX, Need};

/// Decoded bytes that a codec is offered room for at once.
const SCRATCH_BYTES: usize = 64 << 10;

/// What a member's first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes that its decoder will hold.
    pub memory: usize,
    /// Bytes that were read with the head and are not for [`Codec::decode`].
    pub skip: usize,
}

/// One call's work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Bytes of the input that are done with.
    pub consumed: usize,
    /// Bytes written to the output.
    pub produced: usize,
    /// The member has ended, its checksums are right, and its last byte was given out.
    pub ended: bool,
}

/// One encoding.
pub(super) trait Codec: Send {
    /// Its name for errors.
    fn name(&self) -> &'static str;

    /// What one of its members is called.
    fn member(&self) -> &'static str;

    /// Whether it takes milliseconds to decode a few kilobytes.
    fn is_slow(&self) -> bool {
        false
    }

    /// Bytes between members that mean nothing, at the front of `input`.
    fn padding(&self, _input: &[u8]) -> usize {
        0
    }

    /// Reads a member's head; none when `input` does not hold all of it. May keep what it says.
    fn head(&mut self, input: &[u8]) -> Result<Option<Head>, Broken>;

    /// Begins the member whose head was read.
    fn begin(&mut self) -> Result<(), Broken>;

    /// Decodes from the front of `input`. No progress means that more input is needed; `input_ended` that none will come.
    fn decode(&mut self, input: &[u8], output: &mut [u8], input_ended: bool) -> Result<Progress, Broken>;
}

/// A codec over a stream of its members.
pub(super) struct Members {
    pub(super) codec: Box<dyn Codec>,
    input: BytesMut,
    pub(super) input_ended: bool,
    in_member: bool,
    granted: usize,
    wanted: usize,
    scratch: Vec<u8>,
}

impl Members {
    pub(super) fn new(codec: Box<dyn Codec>) -> Self {
        Self {
            codec,
            input: BytesMut::new(),
            input_ended: false,
            in_member: false,
            granted: 0,
            wanted: 0,
            scratch: Vec::new(),
        }
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    pub(super) fn grant(&mut self) {
        self.granted = self.granted.max(self.wanted);
    }

    /// Whether nothing is begun: here the body may end.
    pub(super) fn is_at_border(&self) -> bool {
        !self.in_member && self.input.is_empty()
    }

    /// Decodes until `out` has `room` bytes or something is needed.
    pub(super) fn run(&mut self, out: &mut Vec<u8>, room: usize) -> Result<Need, Broken> {
        loop {
            if out.len() >= room {
                return Ok(Need::Output);
            }
            if !self.in_member
                && let Some(need) = self.begin()?
            {
                return Ok(need);
            }
            let offered = (room - out.len()).min(SCRATCH_BYTES);
            self.scratch.resize(SCRATCH_BYTES, 0);
            let progress = self
                .codec
                .decode(&self.input, &mut self.scratch[..offered], self.input_ended)?;
            out.extend_from_slice(&self.scratch[..progress.produced]);
            self.input.advance(progress.consumed);
            self.in_member = !progress.ended;
            if progress == Progress::default() {
                return Ok(Need::Input);
            }
        }
    }

    /// Begins the next member, unless something is needed first.
    fn begin(&mut self) -> Result<Option<Need>, Broken> {
        let padding = self.codec.padding(&self.input);
        self.input.advance(padding);
        if self.input.is_empty() {
            return Ok(Some(Need::Input));
        }
        let Some(head) = self.codec.head(&self.input)? else {
            return Ok(Some(Need::Input));
        };
        // Rounded, so that a member that is a little larger than the last one seldom has to ask.
        self.wanted = (head.memory + SCRATCH_BYTES)
            .next_power_of_two()
            .min(MEMBER_BYTES_MAX);
        if self.wanted > self.granted {
            return Ok(Some(Need::Memory(self.wanted - self.granted)));
        }
        self.codec.begin()?;
        self.input.advance(head.skip);
        self.in_member = true;
        Ok(None)
    }
}

/// Decoded bytes of a block that wait for room.
#[derive(Debug, Default)]
pub(super) struct Pending {
    bytes: Vec<u8>,
    at: usize,
}

impl Pending {
    /// Replaces what was there, which has been given out.
    pub(super) fn fill(&mut self, bytes: Vec<u8>) {
        self.bytes = bytes;
        self.at = 0;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Moves as much as there is room for; memory is given back with the last byte.
    pub(super) fn give(&mut self, output: &mut [u8]) -> usize {
        let count = output.len().min(self.bytes.len() - self.at);
        output[..count].copy_from_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        if self.is_empty() {
            self.fill(Vec::new());
        }
        count
    }
}

/// A little-endian UInt32 at `at`; none beyond the end.
pub(super) fn u32_le(bytes: &[u8], at: usize) -> Option<u32> {
    let four: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_le_bytes(four))
}
