//! The bytes of one block: in memory while they are few, in a file without a name when they are many.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// Up to so many bytes stay in memory: a block of 65,536 rows of ordinary length.
const MEMORY_BYTES: usize = 4 << 20;

/// Once there is a file, it is written in pieces of this size.
const PIECE_BYTES: usize = 256 << 10;

/// Bytes that are written once, and then read anywhere.
#[derive(Debug)]
pub(crate) struct Store {
    directory: PathBuf,
    file: Option<File>,
    file_len: u64,
    /// What is not in the file.
    memory: Vec<u8>,
}

impl Store {
    /// A store whose file, if one is needed, lies in this directory.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            file: None,
            file_len: 0,
            memory: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> u64 {
        self.file_len + self.memory.len() as u64
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.memory.extend_from_slice(bytes);
        let memory_max = if self.file.is_some() {
            PIECE_BYTES
        } else {
            MEMORY_BYTES
        };
        if self.memory.len() > memory_max {
            self.flush()?;
        }
        Ok(())
    }

    /// Puts what is in memory into the file, which takes its place.
    fn flush(&mut self) -> io::Result<()> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => tempfile::tempfile_in(&self.directory)?,
        };
        file.write_all(&self.memory)?;
        self.file_len += self.memory.len() as u64;
        self.memory.clear();
        self.memory.shrink_to(PIECE_BYTES);
        self.file = Some(file);
        Ok(())
    }

    /// All bytes are there: from now on they are only read.
    pub(crate) fn seal(&mut self) -> io::Result<()> {
        if self.file.is_some() { self.flush() } else { Ok(()) }
    }

    /// Forgets the bytes and gives the file back.
    pub(crate) fn clear(&mut self) {
        self.file = None;
        self.file_len = 0;
        self.memory.clear();
    }

    /// The bytes as a file, or as what there is in memory where there is no file.
    pub(crate) fn into_parts(mut self) -> io::Result<Result<File, Vec<u8>>> {
        self.seal()?;
        Ok(self.file.ok_or(self.memory))
    }

    /// The bytes from `at` on, at least one and at most about `wanted`, as `buffer` or memory has them; none behind the
    /// end. Only after [`Store::seal`].
    pub(crate) fn piece<'a>(
        &'a self,
        at: u64,
        wanted: usize,
        buffer: &'a mut Vec<u8>,
    ) -> io::Result<&'a [u8]> {
        let rest = self.len().saturating_sub(at).min(wanted as u64) as usize;
        match &self.file {
            None => {
                let start = self.memory.len().min(at as usize);
                Ok(&self.memory[start..start + rest])
            }
            Some(file) => {
                buffer.resize(rest, 0);
                file.read_exact_at(buffer, at)?;
                Ok(buffer)
            }
        }
    }

    /// Appends `len` bytes from `at` on to `out`; they are all there.
    pub(crate) fn read(&self, at: u64, len: usize, out: &mut Vec<u8>) -> io::Result<()> {
        match &self.file {
            None => {
                let bytes = usize::try_from(at)
                    .ok()
                    .and_then(|at| self.memory.get(at..at.checked_add(len)?));
                out.extend_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
            Some(file) => {
                let start = out.len();
                out.resize(start + len, 0);
                file.read_exact_at(&mut out[start..], at)
            }
        }
    }

    /// The number at `at`.
    pub(crate) fn number(&self, at: u64) -> io::Result<u64> {
        let mut bytes = Vec::with_capacity(8);
        self.read(at, 8, &mut bytes)?;
        let bytes: [u8; 8] = bytes.try_into().map_err(|_| io::ErrorKind::UnexpectedEof)?;
        Ok(u64::from_le_bytes(bytes))
    }
}
