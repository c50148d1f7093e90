//! The spool's file operations, each failing with the name of what it was about.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use uuid::Uuid;

use crate::bin_file::BinFault;
use crate::disk::{DirEntry, Disk, DiskFile};
use crate::error::FileError;
use crate::event::Seq;
pub use crate::host::now_ms;
use crate::model::Destination;
use crate::names::{self, Layout};
use crate::shared::lock;

/// The disk, and where on it the spool is.
#[derive(Debug, Clone)]
pub struct Files {
    /// What the operations go to.
    pub disk: Arc<dyn Disk>,
    /// Where everything lies.
    pub layout: Layout,
    /// The spool's id, in the head of every file.
    pub spool: Uuid,
    /// Whether files and directories are synced.
    pub fsync: bool,
    /// Directories whose names this process has made durable.
    pub durable: Arc<Mutex<BTreeSet<PathBuf>>>,
    /// While the directories of an earlier process are read: files that this one has made.
    pub fresh: Arc<Mutex<Option<HashSet<PathBuf>>>>,
    /// Bytes that INSERTs on their way have on disk.
    pub underway: Arc<AtomicU64>,
}

/// A file that is being written, removed when it is dropped before [`Temporary::keep`].
#[derive(Debug)]
pub struct Temporary {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    keep: bool,
}

impl Files {
    /// From now on what is made is told apart from what lies there.
    pub fn begin_fresh(&self) {
        *lock(&self.fresh) = Some(HashSet::new());
    }

    /// Nobody asks any more who made a file.
    pub fn end_fresh(&self) {
        *lock(&self.fresh) = None;
    }

    /// Whether this process made the file.
    pub fn is_fresh(&self, path: &Path) -> bool {
        lock(&self.fresh)
            .as_ref()
            .is_some_and(|fresh| fresh.contains(path))
    }

    /// To be called before the name is on the disk, where somebody may come upon it.
    fn note_fresh(&self, path: &Path) {
        if let Some(fresh) = lock(&self.fresh).as_mut() {
            fresh.insert(path.to_owned());
        }
    }

    /// Makes an empty file of that name, removed again unless it is kept.
    pub fn create(&self, path: PathBuf) -> Result<(Temporary, Arc<dyn DiskFile>), FileError> {
        self.note_fresh(&path);
        let file = self
            .disk
            .create_new(&path)
            .map_err(FileError::at("making", &path))?;
        Ok((
            Temporary {
                disk: Arc::clone(&self.disk),
                path,
                keep: false,
            },
            file,
        ))
    }

    /// Makes a directory and those above it, durably.
    pub fn create_dir(&self, path: &Path) -> Result<(), FileError> {
        let is_there = self.exists(path)?;
        // One that is there may never have been synced: by a process that died, or since that failed.
        if is_there && lock(&self.durable).contains(path) {
            return Ok(());
        }
        if !is_there {
            self.disk
                .create_dir_all(path)
                .map_err(FileError::at("making", path))?;
        }
        // Its own name, and its parent's, which may be new as well.
        for above in path.ancestors().skip(1).take(2) {
            self.sync_dir(above)?;
        }
        lock(&self.durable).insert(path.to_owned());
        Ok(())
    }

    /// Makes a file's bytes durable, if that is wanted.
    pub fn sync(&self, file: &dyn DiskFile, path: &Path) -> Result<(), FileError> {
        if self.fsync {
            file.sync().map_err(FileError::at("syncing", path))
        } else {
            Ok(())
        }
    }

    /// Makes a directory's names durable, if that is wanted.
    pub fn sync_dir(&self, path: &Path) -> Result<(), FileError> {
        if self.fsync {
            self.disk.sync_dir(path).map_err(FileError::at("syncing", path))
        } else {
            Ok(())
        }
    }

    /// Gives a file another name.
    pub fn rename(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        self.disk
            .rename(from, to)
            .map_err(FileError::at("renaming", from))
    }

    /// Gives a file a further name.
    pub fn link(&self, file: &Path, link: &Path) -> Result<(), FileError> {
        self.note_fresh(link);
        self.disk
            .hard_link(file, link)
            .map_err(FileError::at("linking", link))
    }

    /// Removes a file; one that is gone already is no error.
    pub fn remove(&self, path: &Path) -> Result<(), FileError> {
        match self.disk.remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(FileError::at("removing", path)),
        }
    }

    /// Whether there is such a file.
    pub fn exists(&self, path: &Path) -> Result<bool, FileError> {
        self.disk.exists(path).map_err(FileError::at("looking for", path))
    }

    /// What lies in a directory; nothing, when there is none.
    pub fn list(&self, path: &Path) -> Result<Vec<DirEntry>, FileError> {
        match self.disk.read_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other.map_err(FileError::at("listing", path)),
        }
    }

    /// Shows every name in a directory and whether it is a directory's, in no order; none when there is no such directory.
    pub fn visit(&self, path: &Path, visit: &mut dyn FnMut(&str, bool)) -> Result<(), FileError> {
        match self.disk.visit_dir(path, visit) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(FileError::at("listing", path)),
        }
    }

    /// Writes a small file so that it is there whole or not at all.
    pub fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
        let directory = path.parent().unwrap_or(Path::new("."));
        let (mut temporary, file) = self.create(directory.join(names::temporary_name()))?;
        file.write_all_at(bytes, 0)
            .map_err(FileError::at("writing", path))?;
        self.sync(file.as_ref(), path)?;
        self.rename(temporary.path(), path)?;
        temporary.keep();
        self.sync_dir(directory)
    }

    /// The file of a waiting batch.
    pub fn batch(&self, destination: &Destination, seq: Seq) -> PathBuf {
        self.layout.batch(destination, seq)
    }
}

impl Temporary {
    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// It is somebody else's from now on, or has another name.
    pub fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        // What stays behind is found and removed at the next start.
        if let Err(error) = self.disk.remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a temporary file stays behind");
        }
    }
}

/// What went wrong with a batch file, as an operation on that path.
pub fn bin_error(action: &'static str, path: &Path) -> impl FnOnce(BinFault) -> FileError {
    let path = path.to_owned();
    move |fault| {
        let source = match fault {
            BinFault::Io(error) => error,
            other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
        };
        FileError {
            action,
            path,
            source: Arc::new(source),
        }
    }
}
