//! Whose the directory is: the lock of the running router, and the spool's id.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::error::{FileError, OpenError};
use crate::files::Files;
use crate::host;
use crate::journal::{self, SegmentReader};
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

fn write_holder(file: &mut File) -> io::Result<()> {
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

/// Whose files these are.
#[derive(Debug, PartialEq, Eq)]
pub struct SpoolId {
    /// The spool's id.
    pub id: Uuid,
    /// Where a file `id` that held none is kept.
    pub set_aside: Option<PathBuf>,
}

/// What the file `id` says.
enum Written {
    Id(Uuid),
    Nothing,
    /// Something else than an id.
    Damage,
}

/// The spool's id; drawn when the directory is new. Where the file is damaged or gone the journal still says it: under another id
/// every segment and batch would be another spool's.
pub fn spool_id(files: &Files) -> Result<SpoolId, OpenError> {
    let path = files.layout.id();
    let set_aside = match written_id(files)? {
        Written::Id(id) => return Ok(SpoolId { id, set_aside: None }),
        Written::Nothing => None,
        Written::Damage => {
            let copy = files.layout.meta().join("id.corrupt");
            files.rename(&path, &copy)?;
            Some(copy)
        }
    };
    let of_journal = id_of_journal(files)?;
    if of_journal.is_some() || set_aside.is_some() {
        let id = of_journal.map(|id| id.to_string());
        tracing::error!(path = %path.display(), id, "the spool's id is damaged or missing: it is taken from the journal, or drawn anew where that has none");
    }
    let id = of_journal.unwrap_or_else(host::new_uuid);
    files.replace(&path, format!("{id}\n").as_bytes())?;
    Ok(SpoolId { id, set_aside })
}

/// The id of a spool that was opened before; nothing is touched.
pub fn known_id(files: &Files) -> Result<Uuid, OpenError> {
    let known = match written_id(files)? {
        Written::Id(id) => Some(id),
        Written::Nothing | Written::Damage => id_of_journal(files)?,
    };
    known.ok_or_else(|| OpenError::Foreign {
        path: files.layout.root().to_owned(),
        reason: "there is no spool in it: neither a file `id` nor a journal says whose it is".to_owned(),
    })
}

fn written_id(files: &Files) -> Result<Written, FileError> {
    let path = files.layout.id();
    if !files.exists(&path)? {
        return Ok(Written::Nothing);
    }
    let text = read_small(files, &path)?;
    let id = std::str::from_utf8(&text).ok();
    Ok(id
        .and_then(|text| text.trim().parse().ok())
        .map_or(Written::Damage, Written::Id))
}

/// The spool that wrote the last segment whose head can be read.
fn id_of_journal(files: &Files) -> Result<Option<Uuid>, FileError> {
    let (disk, directory) = (files.disk.as_ref(), files.layout.journal());
    let segments = match journal::segments(disk, &directory) {
        Ok(segments) => segments,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FileError::at("listing", directory)(error)),
    };
    let mut newest_first = segments.into_iter().rev();
    Ok(newest_first.find_map(|segment| {
        let reader = SegmentReader::open(disk, &directory, segment).ok()?;
        Some(reader.spool())
    }))
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
