//! A refused batch, cut again so that the INSERT at fault is found: into sixteen batches of consecutive
//! INSERTs, each tried alone, until one INSERT stands alone. 10,000 one-row INSERTs with a bad one among them
//! cost 64 sends, not 10,000.
//!
//! The new files get new tokens: the old one was given to a batch of other rows. That is allowed only because
//! every attempt of the old batch ended in proof that nothing was written, which is what the sender says by
//! `Refused`.

use std::ops::Range;
use std::sync::Arc;

use crate::batch::{BatchFile, Segment};
use crate::bin_file::{BatchHead, BinFault, BinReader, BinWriter, random_token};
use crate::disk::{DiskFile, DiskReader, DiskWriter};
use crate::error::FileError;
use crate::event::{BatchInfo, Recut, Seq};
use crate::files::{Files, bin_error, now_ms};
use crate::frames::FrameReader;
use crate::model::Destination;
use crate::names;
use crate::shared::Shared;

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
    let directory = files.layout.destination(destination);
    let (temporary, file) = files.create(directory.join(names::temporary_name()))?;
    let failed = || bin_error("cutting again", &batch.path);
    let mut writer = BinWriter::new(DiskWriter::new(file, 0), files.spool).map_err(failed())?;
    for segment in segments {
        source.copy(segment, &mut writer).map_err(failed())?;
    }
    let head = BatchHead {
        shape: &batch.shape,
        shard: &destination.shard,
        created_at_ms: now_ms(),
    };
    let (out, info) = writer.finish(head, random_token).map_err(failed())?;
    files.sync(out.into_file().as_ref(), temporary.path())?;
    // A rename would take the place of whatever lies there.
    files.link(temporary.path(), &files.batch(destination, seq))?;
    Ok(BatchInfo {
        rows: info.trailer.rows,
        raw_bytes: info.trailer.raw_bytes,
        file_bytes: info.file_bytes,
        created_at_ms: info.trailer.created_at_ms,
    })
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

    fn read_frame(&mut self) -> Result<(), BinFault> {
        if self.frames.next_frame(&mut self.raw)?.is_none() {
            return Err(BinFault::Contradiction("the raw bytes of its frames"));
        }
        self.at = self.at.end..self.at.end + self.raw.len() as u64;
        Ok(())
    }
}
