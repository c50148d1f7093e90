//! A refused batch, cut again so that the INSERT at fault is found: into sixteen batches of consecutive
//! INSERTs, each tried alone, until one INSERT stands alone. 10,000 one-row INSERTs with a bad one among them
//! cost 64 sends, not 10,000.
//!
//! One INSERT that is too much for a shard is cut by rows ([`divide`]). Which bytes are a row the spool does not know: the
//! caller tells them apart.
//!
//! The new files get new tokens: the old one was given to a batch of other rows. That is allowed only because
//! every attempt of the old batch ended in proof that nothing was written, which is what the sender says by
//! `Refused`. The parts of a client's piece get tokens that follow from the piece's (`token.rs`): another router cuts it as well.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::batch::{BatchFile, Segment};
use crate::bin_file::{BatchHead, BinFault, BinReader, BinWriter, random_token};
use crate::disk::{DiskFile, DiskReader, DiskWriter};
use crate::error::{FileError, QueueError};
use crate::event::{BatchInfo, Recut, Seq};
use crate::files::{Files, Temporary, bin_error, now_ms};
use crate::frames::FrameReader;
use crate::model::Destination;
use crate::names;
use crate::shared::Shared;
use crate::token;

/// Batches that a refused one is cut into at once.
const PARTS_MAX: usize = 16;

/// Writes the new batches beside the old one, durably. Without the record that follows they are removed at
/// the next start.
pub fn write(shared: &Shared, destination: &Destination, batch: &BatchFile) -> Result<Vec<Recut>, FileError> {
    let mut written = Vec::new();
    match write_parts(shared, destination, batch, &mut written) {
        Ok(()) => Ok(written),
        Err(error) => {
            remove(&shared.files, destination, &written);
            Err(error)
        }
    }
}

fn write_parts(
    shared: &Shared,
    destination: &Destination,
    batch: &BatchFile,
    written: &mut Vec<Recut>,
) -> Result<(), FileError> {
    let files = &shared.files;
    let mut source = Source::open(files, batch)?;
    let part_len = batch.segments.len().div_ceil(PARTS_MAX).max(1);
    for segments in batch.segments.chunks(part_len) {
        let seq = shared.state().queue(destination).reserve();
        let info = write_part(files, destination, batch, segments, seq, &mut source)?;
        written.extend(segments.iter().map(|segment| Recut {
            seq,
            insert: segment.insert,
            batch: info.clone(),
        }));
    }
    files.sync_dir(&files.layout.destination(destination))
}

/// Removes what [`write`] made: no record will name it.
pub fn remove(files: &Files, destination: &Destination, written: &[Recut]) {
    for piece in written {
        if let Err(error) = files.remove(&files.batch(destination, piece.seq)) {
            tracing::warn!(%error, "an uncut batch file stays behind");
        }
    }
}

fn write_part(
    files: &Files,
    destination: &Destination,
    batch: &BatchFile,
    segments: &[Segment],
    seq: Seq,
    source: &mut Source,
) -> Result<BatchInfo, FileError> {
    let Part {
        temporary,
        mut writer,
    } = Part::create(files, &files.layout.destination(destination))?;
    let failed = || bin_error("cutting again", &batch.path);
    for segment in segments {
        source.copy(segment, &mut writer).map_err(failed())?;
    }
    let head = BatchHead {
        shape: &batch.shape,
        shard: &destination.shard,
        created_at_ms: now_ms(),
    };
    let name = files.batch(destination, seq);
    finish(files, writer, head, random_token, &temporary, &name)
}

/// Ends a batch file and gives it its name, its bytes synced; the name is the caller's to sync.
pub fn finish(
    files: &Files,
    writer: BinWriter<DiskWriter>,
    head: BatchHead<'_>,
    token: impl FnOnce(u128) -> String,
    temporary: &Temporary,
    name: &Path,
) -> Result<BatchInfo, FileError> {
    let ended = writer.finish(head, token);
    let (out, info) = ended.map_err(bin_error("writing", temporary.path()))?;
    files.sync(out.into_file().as_ref(), temporary.path())?;
    // A rename would take the place of whatever lies there.
    files.link(temporary.path(), name)?;
    Ok(info.batch())
}

/// Tells the rows of one batch apart. It is fed the batch's raw bytes front to back, in pieces of whole rows.
pub trait Divide: Send + fmt::Debug {
    /// Takes the next raw bytes and gives their rows on, as soon as it can.
    fn push(&mut self, raw: &[u8], give: &mut Give<'_>) -> Result<(), NotDivided>;

    /// Gives on what is left.
    fn finish(&mut self, give: &mut Give<'_>) -> Result<(), NotDivided>;
}

/// Takes a run of whole rows: the part they belong to, counted from 0, their bytes as a batch holds them, and how many they
/// are.
pub type Give<'a> = dyn FnMut(usize, &[u8], u64) -> Result<(), NotDivided> + 'a;

/// Why a batch was not cut by rows. It lies there as before.
#[derive(Debug, thiserror::Error)]
pub enum NotDivided {
    /// Its rows cannot be told apart.
    #[error("its rows cannot be told apart: {0}")]
    Rows(String),
    /// The spool, or a file of it.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl From<FileError> for NotDivided {
    fn from(error: FileError) -> NotDivided {
        NotDivided::Queue(error.into())
    }
}

/// Writes the rows of a batch of one INSERT as so many batches beside the old one, durably. Without the record that follows they
/// are removed at the next start.
pub fn divide(
    shared: &Shared,
    destination: &Destination,
    batch: &BatchFile,
    parts: usize,
    divider: &mut dyn Divide,
) -> Result<Vec<Recut>, NotDivided> {
    let mut written = Vec::new();
    let divided = write_divided(shared, destination, batch, parts, divider, &mut written);
    divided.inspect_err(|_| remove(&shared.files, destination, &written))?;
    Ok(written)
}

fn write_divided(
    shared: &Shared,
    destination: &Destination,
    batch: &BatchFile,
    parts: usize,
    divider: &mut dyn Divide,
    written: &mut Vec<Recut>,
) -> Result<(), NotDivided> {
    let files = &shared.files;
    let [segment] = batch.segments.as_slice() else {
        return Err(NotDivided::Rows("it has rows of several INSERTs".to_owned()));
    };
    let directory = files.layout.destination(destination);
    let parts = (0..parts).map(|_| Part::create(files, &directory));
    let mut parts = parts.collect::<Result<Vec<_>, FileError>>()?;
    fill(files, batch, segment, divider, &mut parts)?;
    for (Part { temporary, writer }, number) in parts.into_iter().zip(0..) {
        let seq = shared.state().queue(destination).reserve();
        let head = BatchHead {
            shape: &batch.shape,
            shard: &destination.shard,
            created_at_ms: now_ms(),
        };
        let of_piece = token::of_part(&batch.token, number, writer.rows());
        let token = |content| of_piece.unwrap_or_else(|| random_token(content));
        let name = files.batch(destination, seq);
        let batch = finish(files, writer, head, token, &temporary, &name)?;
        let insert = segment.insert;
        written.push(Recut { seq, insert, batch });
    }
    Ok(files.sync_dir(&directory)?)
}

/// Gives each part its rows; all of the batch's are in one of them then, and none is empty.
fn fill(
    files: &Files,
    batch: &BatchFile,
    segment: &Segment,
    divider: &mut dyn Divide,
    parts: &mut [Part],
) -> Result<(), NotDivided> {
    let mut give = |place: usize, raw: &[u8], rows: u64| {
        let no_such = || NotDivided::Rows(format!("there is no part {place}"));
        let part = parts.get_mut(place).ok_or_else(no_such)?;
        let token = segment.client_token.as_deref();
        let added = part.writer.append_rows(segment.insert, token, raw, rows);
        Ok(added.map_err(bin_error("cutting by rows", &batch.path))?)
    };
    let mut source = Source::open(files, batch)?;
    while let Some(raw) = source.next().map_err(bin_error("reading", &batch.path))? {
        divider.push(raw, &mut give)?;
    }
    divider.finish(&mut give)?;
    let rows: u64 = parts.iter().map(|part| part.writer.rows()).sum();
    if rows != batch.rows || parts.iter().any(|part| part.writer.rows() == 0) {
        return Err(NotDivided::Rows(format!("{rows} of {} were found", batch.rows)));
    }
    Ok(())
}

/// A batch file that is being written.
pub struct Part {
    /// Its file, which is removed unless it gets a name.
    pub temporary: Temporary,
    /// What its bytes go through.
    pub writer: BinWriter<DiskWriter>,
}

impl Part {
    /// An empty one there.
    pub fn create(files: &Files, directory: &Path) -> Result<Part, FileError> {
        let (temporary, file) = files.create(directory.join(names::temporary_name()))?;
        let writer = BinWriter::new(DiskWriter::new(file, 0), files.spool);
        let writer = writer.map_err(bin_error("writing", temporary.path()))?;
        Ok(Part { temporary, writer })
    }
}

/// The old batch's rows, read once from front to back. Frames tell neither rows nor INSERTs apart, the
/// segments do.
struct Source {
    frames: FrameReader<DiskReader>,
    /// The raw bytes of the frame that was read last.
    raw: Vec<u8>,
    /// Where they lie among the batch's raw bytes.
    at: Range<u64>,
}

impl Source {
    fn open(files: &Files, batch: &BatchFile) -> Result<Source, FileError> {
        let file: Arc<dyn DiskFile> = files
            .disk
            .open_read(&batch.path)
            .map_err(FileError::at("opening", &batch.path))?;
        let reader = BinReader::new(file).map_err(bin_error("reading", &batch.path))?;
        Ok(Source {
            frames: reader.rows(),
            raw: Vec::new(),
            at: 0..0,
        })
    }

    /// Copies an INSERT's rows. How many of them each run holds is not known, so the first counts them all:
    /// only their sum goes into the file.
    fn copy(&mut self, segment: &Segment, writer: &mut BinWriter<DiskWriter>) -> Result<(), BinFault> {
        let mut rows = segment.rows.end - segment.rows.start;
        let mut next = segment.raw.start;
        while next < segment.raw.end {
            if next >= self.at.end {
                self.read_frame()?;
            }
            let end = segment.raw.end.min(self.at.end);
            let run = &self.raw[(next - self.at.start) as usize..(end - self.at.start) as usize];
            writer.append_rows(
                segment.insert,
                segment.client_token.as_deref(),
                run,
                std::mem::take(&mut rows),
            )?;
            next = end;
        }
        Ok(())
    }

    /// The rows of the next frame.
    fn next(&mut self) -> Result<Option<&[u8]>, BinFault> {
        let is_there = self.frames.next_frame(&mut self.raw)?.is_some();
        Ok(is_there.then_some(self.raw.as_slice()))
    }

    fn read_frame(&mut self) -> Result<(), BinFault> {
        if self.frames.next_frame(&mut self.raw)?.is_none() {
            return Err(BinFault::Contradiction("the raw bytes of its frames"));
        }
        self.at = self.at.end..self.at.end + self.raw.len() as u64;
        Ok(())
    }
}
