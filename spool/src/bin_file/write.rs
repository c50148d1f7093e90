//! Writing a `.bin` front to back.

use std::io::{Read, Write};

use uuid::Uuid;
use xxhash_rust::xxh3::Xxh3;

use super::{BinFault, BinInfo, BinReader, FOOT_BYTES, Foot, Head, SEGMENTS_MAX, Segment, Trailer, VERSION};
use crate::entry;
use crate::frames::{self, FrameError, FrameReader, RAW_BYTES_TARGET};
use crate::host;
use crate::model::{InsertId, Shape};

/// Writes one batch. Rows come raw, in runs of whole rows, or as frames that are compressed already; in
/// either case with the INSERT they are of, INSERT after INSERT. After an error the file is worthless: remove
/// it.
///
/// Nothing is synced here: whoever owns the file does that after [`BinWriter::finish`].
#[derive(Debug)]
pub struct BinWriter<W> {
    out: W,
    head: Head,
    /// Rows that wait until they fill a frame.
    waiting: Vec<u8>,
    /// The frame that is being made; kept for its memory.
    frame: Vec<u8>,
    frames: Tally,
    rows: u64,
    raw_bytes: u64,
    segments: Vec<Segment>,
}

/// What is known of the frames that were written.
#[derive(Default)]
struct Tally {
    bytes: u64,
    crc32: crc32fast::Hasher,
    content: Xxh3,
}

/// What the trailer says beside what the writer counts itself.
#[derive(Debug, Clone, Copy)]
pub struct BatchHead<'a> {
    /// What the rows are.
    pub shape: &'a Shape,
    /// The shard's name.
    pub shard: &'a str,
    /// Milliseconds since 1970.
    pub created_at_ms: u64,
}

impl<W: Write> BinWriter<W> {
    /// Begins a file with its head.
    pub fn new(mut out: W, spool: Uuid) -> Result<BinWriter<W>, BinFault> {
        let head = Head {
            version: VERSION,
            spool,
        };
        out.write_all(&head.to_bytes())?;
        Ok(BinWriter {
            out,
            head,
            waiting: Vec::new(),
            frame: Vec::new(),
            frames: Tally::default(),
            rows: 0,
            raw_bytes: 0,
            segments: Vec::new(),
        })
    }

    /// Adds a run of whole rows with their terminators. Small runs share a frame, INSERT borders or not; a
    /// run is never split.
    pub fn append_rows(
        &mut self,
        insert: InsertId,
        client_token: Option<&str>,
        raw: &[u8],
        rows: u64,
    ) -> Result<(), BinFault> {
        if raw.is_empty() {
            return Err(FrameError::RawSize { bytes: 0 }.into());
        }
        self.count(insert, client_token, raw.len() as u64, rows)?;
        if !self.waiting.is_empty() && self.waiting.len() + raw.len() > RAW_BYTES_TARGET {
            self.flush_waiting()?;
        }
        if raw.len() >= RAW_BYTES_TARGET {
            return self.write_compressed(raw);
        }
        self.waiting.extend_from_slice(raw);
        Ok(())
    }

    /// Adds frames as they are, all that `input` has, after checking each frame's checksum. `rows` is how
    /// many they hold together.
    /// Errors of frames name offsets of `input`.
    pub fn append_frames(
        &mut self,
        insert: InsertId,
        client_token: Option<&str>,
        input: impl Read,
        rows: u64,
    ) -> Result<(), BinFault> {
        self.flush_waiting()?;
        let mut frames = FrameReader::new(input, 0);
        let mut raw_bytes = 0;
        while let Some((header, frame)) = frames.next_unopened()? {
            self.out.write_all(frame)?;
            self.frames.add(frame);
            raw_bytes += header.raw_bytes as u64;
        }
        self.count(insert, client_token, raw_bytes, rows)
    }

    /// Adds all rows of another batch file, its frames as they are. Errors of frames name offsets of that file.
    pub fn append_batch(&mut self, batch: &BinReader) -> Result<(), BinFault> {
        self.flush_waiting()?;
        let trailer = &batch.info().trailer;
        let mut frames = batch.rows();
        let mut raw_bytes = 0;
        while let Some((header, frame)) = frames.next_unopened()? {
            self.out.write_all(frame)?;
            self.frames.add(frame);
            raw_bytes += header.raw_bytes as u64;
        }
        if raw_bytes != trailer.raw_bytes {
            return Err(BinFault::Contradiction("the raw bytes of its frames"));
        }
        for segment in &trailer.segments {
            let (raw, rows) = (&segment.raw, &segment.rows);
            let token = segment.client_token.as_deref();
            self.count(segment.insert, token, raw.end - raw.start, rows.end - rows.start)?;
        }
        Ok(())
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Raw bytes so far.
    pub fn raw_bytes(&self) -> u64 {
        self.raw_bytes
    }

    /// Bytes of the frames that are written, not counting rows that still wait to fill one.
    pub fn frames_bytes(&self) -> u64 {
        self.frames.bytes
    }

    /// INSERTs so far; at [`SEGMENTS_MAX`] the batch is full.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// Writes what waits, the trailer and the foot. `token` makes the batch's insert_deduplication_token from
    /// a hash of its frames;
    /// see [`random_token`].
    pub fn finish(
        mut self,
        batch: BatchHead<'_>,
        token: impl FnOnce(u128) -> String,
    ) -> Result<(W, BinInfo), BinFault> {
        self.flush_waiting()?;
        let trailer = Trailer {
            shape: batch.shape.clone(),
            shard: batch.shard.to_owned(),
            token: token(self.frames.content.digest128()),
            rows: self.rows,
            raw_bytes: self.raw_bytes,
            frames_bytes: self.frames.bytes,
            frames_crc32: self.frames.crc32.finalize(),
            created_at_ms: batch.created_at_ms,
            segments: self.segments,
        };
        let end_bytes = write_end(&mut self.out, &trailer)?;
        self.out.flush()?;
        let file_bytes = trailer.frames().end + end_bytes;
        Ok((
            self.out,
            BinInfo {
                head: self.head,
                trailer,
                file_bytes,
            },
        ))
    }

    /// Rows of the INSERT that was last are its segment grown; rows of another begin the next.
    fn count(
        &mut self,
        insert: InsertId,
        client_token: Option<&str>,
        raw_bytes: u64,
        rows: u64,
    ) -> Result<(), BinFault> {
        let (raw_start, rows_start) = (self.raw_bytes, self.rows);
        self.raw_bytes += raw_bytes;
        self.rows += rows;
        if let Some(last) = self.segments.last_mut().filter(|last| last.insert == insert) {
            last.raw.end = self.raw_bytes;
            last.rows.end = self.rows;
            return Ok(());
        }
        if self.segments.len() == SEGMENTS_MAX {
            return Err(BinFault::TooManySegments);
        }
        self.segments.push(Segment {
            insert,
            client_token: client_token.map(str::to_owned),
            raw: raw_start..self.raw_bytes,
            rows: rows_start..self.rows,
        });
        Ok(())
    }

    fn flush_waiting(&mut self) -> Result<(), BinFault> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let mut rows = std::mem::take(&mut self.waiting);
        let written = self.write_compressed(&rows);
        rows.clear();
        self.waiting = rows;
        written
    }

    fn write_compressed(&mut self, raw: &[u8]) -> Result<(), BinFault> {
        self.frame.clear();
        frames::compress(raw, &mut self.frame)?;
        self.out.write_all(&self.frame)?;
        self.frames.add(&self.frame);
        Ok(())
    }
}

/// A token that no other batch ever had, whatever snapshot the spool is restored from, and that names its
/// content as well.
pub fn random_token(content: u128) -> String {
    format!("{:032x}{content:032x}", host::random())
}

/// Trailer and foot; their bytes together. A trailer that would not be read again is not written.
fn write_end(out: &mut impl Write, trailer: &Trailer) -> Result<u64, BinFault> {
    trailer.check()?;
    let bytes = entry::encode_trailer(trailer)?;
    let trailer_bytes = u32::try_from(bytes.len()).map_err(|_| BinFault::Contradiction("its own limit"))?;
    let foot = Foot {
        trailer_bytes,
        trailer_crc32: crc32fast::hash(&bytes),
    };
    out.write_all(&bytes)?;
    out.write_all(&foot.to_bytes())?;
    Ok((bytes.len() + FOOT_BYTES) as u64)
}

impl Tally {
    fn add(&mut self, frame: &[u8]) {
        self.bytes += frame.len() as u64;
        self.crc32.update(frame);
        self.content.update(frame);
    }
}

impl std::fmt::Debug for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tally")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}
