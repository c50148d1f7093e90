//! Whose the directory is: the lock of the running router, and the spool's id.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use uuid::Uuid;

use crate::error::{FileError, OpenError};
use crate::files::Files;
use crate::host;
use crate::names::Layout;

/// The lock on the spool's directory; held while this lives, and by nobody when its process is gone.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, or says who holds it.
    pub fn take(layout: &Layout) -> Result<Lock, OpenError> {
        let path = layout.lock();
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600);
        let mut file = options.open(&path).map_err(FileError::at("opening", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = holder(&mut file);
                return Err(OpenError::Locked {
                    path: layout.root().to_owned(),
                    holder,
                });
            }
            Err(TryLockError::Error(error)) => return Err(FileError::at("locking", &path)(error).into()),
        }
        write_holder(&mut file).map_err(FileError::at("writing", &path))?;
        Ok(Lock { _file: file })
    }
}

fn write_holder(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

/// The process id that the holder wrote; it may have been killed between locking and writing.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = Read::by_ref(file).take(32).read_to_string(&mut text);
    match read.ok().and_then(|_| text.trim().parse::<u32>().ok()) {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
}

/// The spool's id; drawn when the directory is new.
pub fn spool_id(files: &Files) -> Result<Uuid, OpenError> {
    let path = files.layout.id();
    if files.exists(&path)? {
        return known_id(files);
    }
    let id = host::new_uuid();
    files.replace(&path, format!("{id}\n").as_bytes())?;
    Ok(id)
}

/// The id of a spool that was opened before.
pub fn known_id(files: &Files) -> Result<Uuid, OpenError> {
    let path = files.layout.id();
    let foreign = |reason: String| OpenError::Foreign {
        path: files.layout.root().to_owned(),
        reason,
    };
    let text = read_small(files, &path)?;
    let id = std::str::from_utf8(&text)
        .ok()
        .and_then(|text| text.trim().parse().ok());
    id.ok_or_else(|| foreign("its file `id` holds no UUID".to_owned()))
}

/// A whole file of the spool's own.
pub fn read_small(files: &Files, path: &Path) -> Result<Vec<u8>, FileError> {
    let file = files
        .disk
        .open_read(path)
        .map_err(FileError::at("opening", path))?;
    let bytes = file.len().map_err(FileError::at("reading", path))?;
    let mut content = vec![0; usize::try_from(bytes).unwrap_or(0)];
    let read =
        crate::disk::read_full_at(file.as_ref(), &mut content, 0).map_err(FileError::at("reading", path))?;
    content.truncate(read);
    Ok(content)
}
