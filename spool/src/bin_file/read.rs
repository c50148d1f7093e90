//! Reading the frames of a `.bin`: as they are for a shard, or as rows for a person.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use super::{BinError, BinFault, BinInfo};
use crate::disk::{DiskFile, DiskReader};
use crate::frames::FrameReader;

/// An open `.bin` whose head and trailer are sound.
#[derive(Debug)]
pub struct BinReader {
    file: Arc<dyn DiskFile>,
    info: BinInfo,
}

impl BinReader {
    /// Opens the file at `path`.
    pub fn open(path: &Path) -> Result<BinReader, BinError> {
        let file = File::open(path).map_err(|error| BinFault::Io(error).at(path))?;
        BinReader::new(Arc::new(file)).map_err(|fault| fault.at(path))
    }

    /// Takes an open file.
    pub fn new(file: Arc<dyn DiskFile>) -> Result<BinReader, BinFault> {
        let info = BinInfo::of(file.as_ref())?;
        Ok(BinReader { file, info })
    }

    /// Head and trailer.
    pub fn info(&self) -> &BinInfo {
        &self.info
    }

    /// The frames as they stand in the file, unchecked: the shard checks them.
    pub fn frames(&self) -> DiskReader {
        DiskReader::new(Arc::clone(&self.file), self.info.trailer.frames())
    }

    /// The rows, frame by frame. Errors name offsets of the file.
    pub fn rows(&self) -> FrameReader<DiskReader> {
        FrameReader::new(self.frames(), self.info.trailer.frames().start)
    }

    /// Checks every byte of the frames: each frame's checksum, that it decompresses, and that all together
    /// are what was written.
    pub fn verify(&self) -> Result<(), BinFault> {
        self.write_rows(&mut std::io::sink())
    }

    /// Writes the raw rows to `out`, and checks the frames on the way; an error may come after some were
    /// written.
    pub fn write_rows(&self, out: &mut dyn Write) -> Result<(), BinFault> {
        let mut frames = self.rows();
        let (mut raw, mut raw_bytes) = (Vec::new(), 0);
        let mut crc32 = crc32fast::Hasher::new();
        while let Some(frame) = frames.next_frame(&mut raw)? {
            crc32.update(frame);
            raw_bytes += raw.len() as u64;
            out.write_all(&raw)?;
        }
        self.check_totals(crc32.finalize(), raw_bytes)
    }

    fn check_totals(&self, found: u32, raw_bytes: u64) -> Result<(), BinFault> {
        let trailer = &self.info.trailer;
        if found != trailer.frames_crc32 {
            return Err(BinFault::FramesCrc {
                expected: trailer.frames_crc32,
                found,
            });
        }
        if raw_bytes != trailer.raw_bytes {
            return Err(BinFault::Contradiction("the raw bytes of its frames"));
        }
        Ok(())
    }
}
