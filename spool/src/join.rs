//! Small batches that were never tried become one: an hour's outage shall not become 3,600 small parts on its shard.
//!
//! The new file gets a new token, which is allowed because nothing of the old ones was ever sent. Frames are copied as they are.
//!
//! ```text
//! <seqs>.bin ──copied──► <into>.bin, synced ──► record `joined`, synced ──► the old files are removed
//! ```
//!
//! A crash before the record: the new file is a copy that nobody names, and is removed. After it: the old files are.

use std::sync::Arc;

use crate::batch::BatchFile;
use crate::bin_file::{BatchHead, BinFault, BinInfo, BinReader, BinWriter, SEGMENTS_MAX, random_token};
use crate::disk::DiskWriter;
use crate::error::FileError;
use crate::event::{BatchInfo, Joined, Seq};
use crate::files::{Files, bin_error};
use crate::model::{BatchLimits, Destination};
use crate::queue::send::read_batch_file;
use crate::recut::{self, Part};
use crate::shared::Shared;
use crate::token;

/// Writes the first of the candidates and as many like it as fit into one batch as a new file, durably; `None` where there are
/// no two.
pub fn write(
    shared: &Shared,
    destination: &Destination,
    candidates: &[Seq],
    limits: &BatchLimits,
) -> Result<Option<Joined>, FileError> {
    let files = &shared.files;
    let chosen = choose(files, destination, candidates, limits);
    let [(_, first), _, ..] = chosen.as_slice() else {
        return Ok(None);
    };
    let into = shared.state().queue(destination).reserve();
    let batch = write_file(files, destination, first, &chosen, into)?;
    Ok(Some(Joined {
        destination: destination.clone(),
        seqs: chosen.iter().map(|(seq, _)| *seq).collect(),
        into,
        batch,
    }))
}

/// Removes what [`write`] made: no record will name it.
pub fn remove(files: &Files, joined: &Joined) {
    if let Err(error) = files.remove(&files.batch(&joined.destination, joined.into)) {
        tracing::warn!(%error, "a joined batch file that no record names stays behind");
    }
}

/// Batches of other shapes are passed over: order is promised within a shape. The first that does not fit, cannot be read, or has a
/// token that its rows keep, ends it: what comes behind it must not overtake it.
fn choose(
    files: &Files,
    destination: &Destination,
    candidates: &[Seq],
    limits: &BatchLimits,
) -> Vec<(Seq, BatchFile)> {
    let mut chosen: Vec<(Seq, BatchFile)> = Vec::new();
    let mut room = Room::of(limits);
    for seq in candidates {
        let Ok(mut file) = read_batch_file(files, &files.batch(destination, *seq)) else {
            break;
        };
        if token::is_from_client(&file.token) {
            break;
        }
        if let Some((_, first)) = chosen.first() {
            if first.shape != file.shape {
                continue;
            }
            // Thousands of equal ones are one allocation.
            file.shape = Arc::clone(&first.shape);
        }
        if !room.takes(&file) {
            break;
        }
        chosen.push((*seq, file));
    }
    chosen
}

/// What a batch may still take.
#[derive(Debug)]
struct Room {
    rows: u64,
    raw_bytes: u64,
    segments: usize,
}

impl Room {
    fn of(limits: &BatchLimits) -> Room {
        Room {
            rows: limits.max_rows,
            raw_bytes: limits.max_bytes,
            segments: SEGMENTS_MAX,
        }
    }

    /// Whether the batch fits; then its room is taken.
    fn takes(&mut self, batch: &BatchFile) -> bool {
        let left = (|| {
            Some(Room {
                rows: self.rows.checked_sub(batch.rows)?,
                raw_bytes: self.raw_bytes.checked_sub(batch.raw_bytes)?,
                segments: self.segments.checked_sub(batch.segments.len())?,
            })
        })();
        left.map(|left| *self = left).is_some()
    }
}

fn write_file(
    files: &Files,
    destination: &Destination,
    first: &BatchFile,
    chosen: &[(Seq, BatchFile)],
    into: Seq,
) -> Result<BatchInfo, FileError> {
    let directory = files.layout.destination(destination);
    let Part {
        temporary,
        mut writer,
    } = Part::create(files, &directory)?;
    for (_, batch) in chosen {
        append(files, batch, &mut writer)?;
    }
    let head = BatchHead {
        shape: &first.shape,
        shard: &destination.shard,
        // Who looks for an INSERT in sent/ finds it in no file that was cut before it was accepted.
        created_at_ms: chosen
            .iter()
            .map(|(_, batch)| batch.created_at_ms)
            .max()
            .unwrap_or(0),
    };
    let name = files.batch(destination, into);
    let written = recut::finish(files, writer, head, random_token, &temporary, &name)?;
    let synced = files.sync_dir(&directory);
    // Without its name on disk no record may name it.
    synced.inspect_err(|_| drop(files.remove(&name)))?;
    // In line it is as old as its oldest row.
    let created_at_ms = first.created_at_ms;
    Ok(BatchInfo {
        created_at_ms,
        ..written
    })
}

fn append(files: &Files, batch: &BatchFile, writer: &mut BinWriter<DiskWriter>) -> Result<(), FileError> {
    let opened = files.disk.open_read(&batch.path);
    let file = opened.map_err(FileError::at("opening", &batch.path))?;
    let reader = BinReader::new(file).map_err(bin_error("reading", &batch.path))?;
    let appended = match reader.info() {
        info if is_same(info, batch) => writer.append_batch(&reader),
        _ => Err(BinFault::Contradiction("what was read of it a moment ago")),
    };
    appended.map_err(bin_error("joining", &batch.path))
}

fn is_same(info: &BinInfo, batch: &BatchFile) -> bool {
    info.trailer.token == batch.token && info.trailer.rows == batch.rows
}
