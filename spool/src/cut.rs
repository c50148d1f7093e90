//! From a plan to batch files on disk: written or linked, synced, named; before their record.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bin_file::{BatchHead, BinWriter};
use crate::disk::{DiskFile, DiskReader, DiskWriter};
use crate::error::FileError;
use crate::event::{BatchInfo, StagedFile};
use crate::files::{Files, Temporary, bin_error, now_ms};
use crate::names;
use crate::state::lane::{CutPlan, Piece};
use crate::state::share::Run;

/// Writes the planned batch and gives it its names. Everything is durable when this returns, and removed
/// again when it fails.
pub fn write(files: &Files, plan: &CutPlan) -> Result<BatchInfo, FileError> {
    for destination in &plan.key.destinations {
        files.create_dir(&files.layout.destination(destination))?;
    }
    match own_file(plan) {
        Some(file) => link_own_file(files, plan, file),
        None => write_joined(files, plan),
    }
}

/// Removes what [`write`] made: no record will name it.
pub fn remove(files: &Files, plan: &CutPlan) {
    remove_all(files, &batch_paths(files, plan));
}

fn remove_all(files: &Files, paths: &[PathBuf]) {
    for path in paths {
        // What stays behind has no record: the next start sees to it.
        if let Err(error) = files.remove(path) {
            tracing::warn!(%error, "an uncut batch file stays behind");
        }
    }
}

fn batch_paths(files: &Files, plan: &CutPlan) -> Vec<PathBuf> {
    let named = plan.key.destinations.iter().zip(&plan.seqs);
    named
        .map(|(destination, seq)| files.batch(destination, *seq))
        .collect()
}

/// The batch file that was written while its INSERT was read, if the plan is that.
fn own_file(plan: &CutPlan) -> Option<&StagedFile> {
    let piece = plan.pieces.first().filter(|_| plan.total.is_file)?;
    piece
        .content
        .runs(piece.start, piece.take.units)
        .find_map(|run| match run {
            Run::File(file) => Some(file),
            Run::Raw { .. } | Run::Frames { .. } => None,
        })
}

/// The file stays under its temporary name as well, until no other lane needs it.
fn link_own_file(files: &Files, plan: &CutPlan, file: &StagedFile) -> Result<BatchInfo, FileError> {
    let written = files.layout.destination(&file.directory).join(&file.name);
    name_all(files, &written, &batch_paths(files, plan))?;
    Ok(file.batch.clone())
}

fn write_joined(files: &Files, plan: &CutPlan) -> Result<BatchInfo, FileError> {
    let paths = batch_paths(files, plan);
    let directory = paths
        .first()
        .and_then(|path| path.parent())
        .unwrap_or(files.layout.root());
    let (temporary, file) = files.create(directory.join(names::temporary_name()))?;
    let batch = write_batch(files, plan, file, &temporary)?;
    name_all(files, temporary.path(), &paths)?;
    Ok(batch)
}

fn write_batch(
    files: &Files,
    plan: &CutPlan,
    file: Arc<dyn DiskFile>,
    temporary: &Temporary,
) -> Result<BatchInfo, FileError> {
    let failed = || bin_error("writing", temporary.path());
    let out = std::io::BufWriter::with_capacity(WRITE_BYTES, DiskWriter::new(file, 0));
    let mut writer = BinWriter::new(out, files.spool).map_err(failed())?;
    for piece in &plan.pieces {
        write_piece(files, piece, &mut writer, temporary.path())?;
    }
    let head = BatchHead {
        shape: &plan.shape,
        shard: &plan.key.shard,
        created_at_ms: now_ms(),
    };
    let ended = writer.finish(head, |content| plan.token(content));
    let (out, info) = ended.map_err(failed())?;
    let out = out
        .into_inner()
        .map_err(|error| FileError::at("writing", temporary.path())(error.into_error()))?;
    files.sync(out.into_file().as_ref(), temporary.path())?;
    debug_assert_eq!(
        (info.trailer.rows, info.trailer.raw_bytes),
        (plan.total.rows, plan.total.raw_bytes)
    );
    Ok(BatchInfo {
        rows: info.trailer.rows,
        raw_bytes: info.trailer.raw_bytes,
        file_bytes: info.file_bytes,
        created_at_ms: info.trailer.created_at_ms,
    })
}

/// Bytes that are written to a batch file at once.
const WRITE_BYTES: usize = 256 << 10;

type BatchWriter = BinWriter<std::io::BufWriter<DiskWriter>>;

fn write_piece(files: &Files, piece: &Piece, out: &mut BatchWriter, target: &Path) -> Result<(), FileError> {
    let token = piece.token.as_deref();
    for run in piece.content.runs(piece.start, piece.take.units) {
        match run {
            Run::Raw { bytes, rows } => {
                out.append_rows(piece.id, token, bytes, rows)
                    .map_err(bin_error("writing", target))?;
            }
            Run::Frames { range, rows } => {
                let staged = files.layout.staged(piece.id.0);
                let file = files
                    .disk
                    .open_read(&staged)
                    .map_err(FileError::at("opening", &staged))?;
                let input = std::io::BufReader::with_capacity(WRITE_BYTES, DiskReader::new(file, range));
                out.append_frames(piece.id, token, input, rows)
                    .map_err(bin_error("copying", &staged))?;
            }
            // A plan that holds a file holds nothing else.
            Run::File(_) => {}
        }
    }
    Ok(())
}

/// Links the file to each of its names, durably; to none of them when that fails. A name that is taken stays what it is.
fn name_all(files: &Files, written: &Path, paths: &[PathBuf]) -> Result<(), FileError> {
    for (at, path) in paths.iter().enumerate() {
        files
            .link(written, path)
            .inspect_err(|_| remove_all(files, &paths[..at]))?;
    }
    let mut directories = paths.iter().filter_map(|path| path.parent());
    directories
        .try_for_each(|directory| files.sync_dir(directory))
        .inspect_err(|_| remove_all(files, paths))
}
