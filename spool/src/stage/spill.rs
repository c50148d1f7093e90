//! What a large INSERT writes to disk before its commit: batch files of its largest shares, and one staged
//! file for the rest.

use std::path::PathBuf;

use crate::bin_file::{BatchHead, BinWriter, random_token};
use crate::disk::{DiskFile, DiskWriter};
use crate::error::FileError;
use crate::event::{BatchInfo, Frame, StagedFile};
use crate::files::{Files, Temporary, bin_error, now_ms};
use crate::model::{BatchLimits, Destination, InsertId, Shape};
use crate::names;
use crate::token::{self, ClientPiece};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Whose rows they are; the same for all files of an INSERT.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The INSERT.
    pub insert: InsertId,
    /// Its client's token.
    pub token: Option<String>,
    /// What its rows are.
    pub shape: Arc<Shape>,
}

impl Origin {
    /// The token of a batch whose frames have that hash.
    fn token_of(&self, shard: &str, piece: Option<ClientPiece>, content: u128) -> String {
        match (&self.token, piece) {
            (Some(token), Some(piece)) => token::of_piece(&self.shape, token, shard, piece),
            (None, _) | (_, None) => random_token(content),
        }
    }
}

/// A batch file of one share, written while the INSERT is read.
#[derive(Debug)]
pub struct OwnFile {
    directory: Destination,
    name: String,
    temporary: Temporary,
    writer: BinWriter<DiskWriter>,
    bytes: u64,
}

impl OwnFile {
    /// Begins one in the directory of the share's first destination.
    pub fn create(files: &Files, directory: &Destination) -> Result<OwnFile, FileError> {
        let path = files.layout.destination(directory);
        files.create_dir(&path)?;
        let name = names::temporary_name();
        let (temporary, file) = files.create(path.join(&name))?;
        let writer = BinWriter::new(DiskWriter::new(file, 0), files.spool)
            .map_err(bin_error("writing", temporary.path()))?;
        Ok(OwnFile {
            directory: directory.clone(),
            name,
            temporary,
            writer,
            bytes: 0,
        })
    }

    /// Whether a frame still fits the batch.
    pub fn takes(&self, frame: Frame, limits: &BatchLimits) -> bool {
        let rows = self.writer.rows() + u64::from(frame.rows);
        let raw_bytes = self.writer.raw_bytes() + u64::from(frame.raw_bytes);
        self.writer.rows() == 0 || (rows <= limits.max_rows && raw_bytes <= limits.max_bytes)
    }

    /// Bytes of the frames in it.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds a frame.
    pub fn append(&mut self, origin: &Origin, frame: Frame, bytes: &[u8]) -> Result<(), FileError> {
        self.bytes += bytes.len() as u64;
        self.writer
            .append_frames(origin.insert, origin.token.as_deref(), bytes, frame.rows.into())
            .map_err(bin_error("writing", self.temporary.path()))
    }

    /// Ends the batch, which may be a piece of its share, and syncs its file.
    pub fn finish(
        self,
        files: &Files,
        origin: &Origin,
        shard: &str,
        piece: Option<ClientPiece>,
    ) -> Result<(StagedFile, Temporary), FileError> {
        let head = BatchHead {
            shape: &origin.shape,
            shard,
            created_at_ms: now_ms(),
        };
        let path = self.temporary.path();
        let (out, info) = self
            .writer
            .finish(head, |content| origin.token_of(shard, piece, content))
            .map_err(bin_error("writing", path))?;
        files.sync(out.into_file().as_ref(), path)?;
        let batch = BatchInfo {
            rows: info.trailer.rows,
            raw_bytes: info.trailer.raw_bytes,
            file_bytes: info.file_bytes,
            created_at_ms: info.trailer.created_at_ms,
        };
        Ok((
            StagedFile {
                directory: self.directory,
                name: self.name,
                batch,
            },
            self.temporary,
        ))
    }
}

/// What an INSERT on its way has on disk: a part of the spool's bytes until it is accepted or gone.
#[derive(Debug)]
pub struct Underway {
    all: Arc<AtomicU64>,
    bytes: u64,
}

impl Underway {
    /// Nothing yet.
    pub fn of(files: &Files) -> Underway {
        Underway {
            all: Arc::clone(&files.underway),
            bytes: 0,
        }
    }

    /// It is so much now.
    pub fn set(&mut self, bytes: u64) {
        // Added first: the sum is never below what is there.
        self.all.fetch_add(bytes, Ordering::Relaxed);
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// The one file of an INSERT for all shares that are too small for their own.
#[derive(Debug)]
pub struct StagedExtents {
    temporary: Temporary,
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    end: u64,
}

impl StagedExtents {
    /// Makes the INSERT's staged file.
    pub fn create(files: &Files, insert: InsertId) -> Result<StagedExtents, FileError> {
        let path = files.layout.staged(insert.0);
        let (temporary, file) = files.create(path.clone())?;
        Ok(StagedExtents {
            temporary,
            file,
            path,
            end: 0,
        })
    }

    /// Bytes in it.
    pub fn bytes(&self) -> u64 {
        self.end
    }

    /// Writes frames end to end; the offset of the first.
    pub fn append(&mut self, frames: &[(Frame, Vec<u8>)]) -> Result<u64, FileError> {
        let offset = self.end;
        for (_, bytes) in frames {
            self.file
                .write_all_at(bytes, self.end)
                .map_err(FileError::at("writing", &self.path))?;
            self.end += bytes.len() as u64;
        }
        Ok(offset)
    }

    /// Syncs it.
    pub fn finish(self, files: &Files) -> Result<Temporary, FileError> {
        files.sync(self.file.as_ref(), &self.path)?;
        Ok(self.temporary)
    }
}
