//! The handful of file operations that the spool's promises rest on, behind a trait, so that tests can cut
//! the power.
//!
//! What holds after a call returns, and no sooner:
//!
//! | Call | Survives the process | Survives a power loss |
//! |---|---|---|
//! | [`DiskFile::write_all_at`] | yes | no |
//! | [`DiskFile::sync`] | | what was written to the file, and its length |
//! | [`Disk::create_new`], [`rename`](Disk::rename), [`hard_link`](Disk::hard_link), [`remove_file`](Disk::remove_file) | yes | no |
//! | [`Disk::sync_dir`] | | the names in that directory |
//!
//! A failed `sync` says nothing about what is on disk, and a second one may succeed without having written a
//! byte (the kernel drops the dirty mark with the error). So no caller repeats it: the journal is poisoned, a
//! `.bin` is discarded.

mod real;
// A tool of tests: its panics are how they fail, also where another crate runs it.
#[allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]
#[cfg(any(test, feature = "sim"))]
pub mod sim;

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub use real::RealDisk;

/// Where the spool's files live. Paths are absolute or relative to the process, as in [`std::fs`].
pub trait Disk: Send + Sync + Debug {
    /// Makes a file that did not exist, readable and writable by its owner only.
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file for reading only.
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, in place of whatever had that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a further name; an error when that name exists.
    fn hard_link(&self, file: &Path, link: &Path) -> io::Result<()>;

    /// Removes one name of a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Makes a directory and those above it, for its owner only (0700). No error when it is there.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// What lies in a directory, sorted by name.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>>;

    /// Shows every name in a directory and whether it is a directory's, in no order: nothing else is read, and nothing kept.
    fn visit_dir(&self, path: &Path, visit: &mut dyn FnMut(&str, bool)) -> io::Result<()> {
        for entry in self.read_dir(path)? {
            visit(&entry.name, entry.is_dir);
        }
        Ok(())
    }

    /// Whether something has that name.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Bytes that the file system of that path has left for us; `None` where it does not say.
    fn free_bytes(&self, path: &Path) -> Option<u64>;

    /// When the file was last written, or got its name, in milliseconds since 1970.
    fn changed_at_ms(&self, path: &Path) -> io::Result<u64>;
}

/// An open file. Positions are explicit, so that one handle may be shared by readers and the writer.
pub trait DiskFile: Send + Sync + Debug {
    /// Writes all of `bytes` at `offset`, growing the file where needed.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Reads up to `into.len()` bytes at `offset`; 0 at the end of the file.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Makes what was written durable, and the length needed to read it again (fdatasync).
    fn sync(&self) -> io::Result<()>;

    /// Reserves space so that the file is at least `bytes` long, reading as zeros where nothing was written.
    /// Where the file system cannot reserve, nothing happens and later writes grow the file: slower, and out
    /// of space later, not wrong.
    fn allocate(&self, bytes: u64) -> io::Result<()>;

    /// Cuts or zero-extends the file to `bytes`.
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// The file's length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The name, without the directory. One that is not UTF-8 is shown with replacement characters: it is
    /// none of ours.
    pub name: String,
    /// The file's length; 0 for a directory.
    pub bytes: u64,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// Reads until `into` is full or the file ends; the number of bytes read.
pub fn read_full_at(file: &dyn DiskFile, into: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match file.read_at(&mut into[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Writes to a file one piece behind the other: what [`std::io::Write`] wants, over positions.
#[derive(Debug)]
pub struct DiskWriter {
    file: Arc<dyn DiskFile>,
    at: u64,
}

impl DiskWriter {
    /// Writes to `file` from offset `at` on.
    pub fn new(file: Arc<dyn DiskFile>, at: u64) -> DiskWriter {
        DiskWriter { file, at }
    }

    /// Offset of the next byte.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// The file, say to sync it.
    pub fn into_file(self) -> Arc<dyn DiskFile> {
        self.file
    }
}

impl io::Write for DiskWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a file's bytes from one offset to another: what [`std::io::Read`] wants, over positions.
#[derive(Debug)]
pub struct DiskReader {
    file: Arc<dyn DiskFile>,
    at: u64,
    end: u64,
}

impl DiskReader {
    /// Reads `range` of `file`, or as much of it as there is.
    pub fn new(file: Arc<dyn DiskFile>, range: std::ops::Range<u64>) -> DiskReader {
        DiskReader {
            file,
            at: range.start,
            end: range.end,
        }
    }
}

impl io::Read for DiskReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let wanted = into.len().min(left);
        if wanted == 0 {
            return Ok(0);
        }
        let read = self.file.read_at(&mut into[..wanted], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
