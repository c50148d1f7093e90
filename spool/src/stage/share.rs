//! One share on its way in: raw while the INSERT is small, then frames. Pure but for the compression.

use bytes::Bytes;

use crate::event::{Chunk, Frame};
use crate::frames::{self, FrameError, RAW_BYTES_TARGET};
use crate::model::BatchLimits;

/// Runs of rows are joined into one chunk up to this: a chunk is what a cut cannot divide, and costs 8 bytes.
const CHUNK_BYTES_TARGET: usize = 16 << 10;

/// Rows of one share that are still in memory.
#[derive(Debug)]
pub struct ShareRows {
    limits: BatchLimits,
    /// Raw rows: all of them while the INSERT is small, later those that do not fill a frame yet.
    raw: Vec<u8>,
    /// The borders in `raw`.
    chunks: Vec<Chunk>,
    frames: Vec<(Frame, Vec<u8>)>,
    frames_bytes: usize,
}

impl ShareRows {
    /// No rows. `limits`: what a batch of any of its lanes may hold.
    pub fn new(limits: BatchLimits) -> ShareRows {
        ShareRows {
            limits,
            raw: Vec::new(),
            chunks: Vec::new(),
            frames: Vec::new(),
            frames_bytes: 0,
        }
    }

    /// Bytes of memory in use.
    pub fn memory_bytes(&self) -> usize {
        self.raw.len() + self.frames_bytes
    }

    /// Bytes of the frames alone.
    pub fn frames_bytes(&self) -> usize {
        self.frames_bytes
    }

    /// Keeps a run of whole rows as it is.
    pub fn push_raw(&mut self, rows: &[u8], count: u32) {
        self.raw.extend_from_slice(rows);
        let run = Chunk {
            rows: count,
            raw_bytes: rows.len() as u32,
        };
        match self.chunks.last_mut() {
            Some(last) if self.limits.fit_together(*last, run, CHUNK_BYTES_TARGET) => last.grow(run),
            _ => self.chunks.push(run),
        }
    }

    /// Adds a run of whole rows to the frame that is being filled.
    pub fn push_framed(&mut self, rows: &[u8], count: u32, scratch: &mut Vec<u8>) -> Result<(), FrameError> {
        let run = Chunk {
            rows: count,
            raw_bytes: rows.len() as u32,
        };
        let fits = |open: Chunk| self.limits.fit_together(open, run, RAW_BYTES_TARGET);
        if self.chunks.first().is_some_and(|open| !fits(*open)) {
            self.close_frame(scratch)?;
        }
        self.raw.extend_from_slice(rows);
        match self.chunks.first_mut() {
            Some(open) => open.grow(run),
            None => self.chunks.push(run),
        }
        Ok(())
    }

    /// The INSERT became large: what was kept raw becomes frames.
    pub fn become_framed(&mut self, scratch: &mut Vec<u8>) -> Result<(), FrameError> {
        let raw = std::mem::take(&mut self.raw);
        let mut at = 0;
        for chunk in std::mem::take(&mut self.chunks) {
            let end = at + chunk.raw_bytes as usize;
            self.push_framed(&raw[at..end], chunk.rows, scratch)?;
            at = end;
        }
        Ok(())
    }

    /// Makes a frame of the rows that wait for one.
    pub fn close_frame(&mut self, scratch: &mut Vec<u8>) -> Result<(), FrameError> {
        let Some(open) = self.chunks.pop() else {
            return Ok(());
        };
        scratch.clear();
        let bytes = frames::compress(&self.raw, scratch)?;
        self.raw.clear();
        self.frames_bytes += scratch.len();
        let frame = Frame {
            rows: open.rows,
            raw_bytes: open.raw_bytes,
            bytes,
        };
        // A copy of exactly its size: the scratch has room for rows that do not compress.
        self.frames.push((frame, scratch.as_slice().to_vec()));
        Ok(())
    }

    /// Gives the finished frames away.
    pub fn take_frames(&mut self) -> Vec<(Frame, Vec<u8>)> {
        self.frames_bytes = 0;
        std::mem::take(&mut self.frames)
    }

    /// Gives the raw rows of a small INSERT away.
    pub fn into_raw(mut self) -> (Bytes, Vec<Chunk>) {
        self.raw.shrink_to_fit();
        self.chunks.shrink_to_fit();
        (Bytes::from(self.raw), self.chunks)
    }
}

impl BatchLimits {
    /// Whether two runs may become one that no cut divides.
    fn fit_together(&self, first: Chunk, second: Chunk, target: usize) -> bool {
        let rows = u64::from(first.rows) + u64::from(second.rows);
        let bytes = u64::from(first.raw_bytes) + u64::from(second.raw_bytes);
        rows <= self.max_rows && bytes <= self.max_bytes.min(target as u64)
    }

    /// The stricter of both in everything.
    pub(crate) fn least(self, other: BatchLimits) -> BatchLimits {
        BatchLimits {
            max_rows: self.max_rows.min(other.max_rows),
            max_bytes: self.max_bytes.min(other.max_bytes),
            max_delay: self.max_delay.min(other.max_delay),
        }
    }
}

impl Chunk {
    fn grow(&mut self, run: Chunk) {
        self.rows += run.rows;
        self.raw_bytes += run.raw_bytes;
    }
}
