//! The one writer of the journal.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::segment::{self, SegmentHead};
use super::{JournalError, Position, record, segment_path};
use crate::disk::{Disk, DiskFile};
use crate::entry;
use crate::event::{Event, Record};
use crate::host;

/// How a journal is written.
#[derive(Debug, Clone)]
pub struct WriterOptions {
    /// The spool's id, for the segments' heads.
    pub spool: Uuid,
    /// Bytes that a segment is made for. Space is reserved at once, so that an append is one write without
    /// growing the file, and space runs out between segments and not inside a record.
    pub segment_bytes: u64,
    /// Number of the first segment to make: higher than any that is there.
    pub first_segment: u64,
}

/// Appends records. After a failed write or sync it is poisoned: what is on disk is then not known, so every
/// later call fails with the first failure's words, and nothing is tried again as if it might pass.
#[derive(Debug)]
pub struct Writer {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    options: WriterOptions,
    open: OpenSegment,
    poison: Option<JournalError>,
    /// The record that is being made; kept for its memory.
    buffer: Vec<u8>,
}

/// Memory that is kept from one record to the next.
const BUFFER_BYTES_KEPT: usize = 4 << 20;

#[derive(Debug)]
struct OpenSegment {
    file: Arc<dyn DiskFile>,
    head: SegmentHead,
    /// Where the next record begins.
    end: u64,
    /// Bytes that are known to be on disk.
    synced: u64,
    /// Bytes that space is reserved for.
    reserved: u64,
    /// Of these, bytes at the end that commits leave to other records.
    tail: u64,
    records: u64,
}

/// The part of a segment's size that is reserved behind it for everything but commits: 2 MiB of the default, some ten thousand
/// attempts and outcomes. On a full disk, where there is no next segment, deliveries go on and are written down.
const TAIL_PART: u64 = 32;

impl Writer {
    /// Makes the first segment of this process, durable before this returns.
    pub fn create(
        disk: Arc<dyn Disk>,
        directory: &Path,
        options: WriterOptions,
    ) -> Result<Writer, JournalError> {
        let head = new_head(&options, options.first_segment, None);
        let open = OpenSegment::create(disk.as_ref(), directory, head, options.segment_bytes)?;
        Ok(Writer {
            disk,
            directory: directory.to_owned(),
            options,
            open,
            poison: None,
            buffer: Vec::new(),
        })
    }

    /// Writes one record behind the last. It survives the process when this returns, a power loss after
    /// [`Writer::sync`].
    ///
    /// An append never begins a segment by itself: ask [`Writer::is_full`]. A record larger than the
    /// segment's rest makes the segment longer. With [`JournalError::NoSpace`] for a commit, other records may still fit: they
    /// have space of their own.
    pub fn append(&mut self, record: &Record) -> Result<Position, JournalError> {
        self.check_poison()?;
        let body = entry::encode_record(record)?;
        let open = &mut self.open;
        record::write(&body, open.records, open.synced, open.head.salt, &mut self.buffer)?;
        let is_commit = record
            .events
            .iter()
            .any(|event| matches!(event, Event::Commit(_)));
        open.reserve(self.buffer.len() as u64, is_commit)?;
        let position = Position {
            segment: open.head.segment,
            offset: open.end,
        };
        let written = open.append(&self.buffer);
        self.buffer.truncate(BUFFER_BYTES_KEPT);
        self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        self.poison_on_error(written)?;
        Ok(position)
    }

    /// Makes every record so far durable: one fdatasync, none if nothing was written since the last.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.check_poison()?;
        let synced = self.open.sync();
        self.poison_on_error(synced)
    }

    /// Number of the segment that is being written.
    pub fn segment(&self) -> u64 {
        self.open.head.segment
    }

    /// Bytes of it that are used.
    pub fn used_bytes(&self) -> u64 {
        self.open.end
    }

    /// Bytes of it that are known to be on disk.
    pub fn synced_bytes(&self) -> u64 {
        self.open.synced
    }

    /// Whether it has the size it was made for. Then [`Writer::roll`].
    pub fn is_full(&self) -> bool {
        self.open.end >= self.options.segment_bytes
    }

    /// Closes the segment and begins the next; the new one's number. Everything before is durable when this
    /// returns.
    ///
    /// With [`JournalError::NoSpace`] the old one stays in use, and the caller may go on appending to it.
    pub fn roll(&mut self) -> Result<u64, JournalError> {
        self.sync()?;
        let segment = self.open.head.segment + 1;
        let head = new_head(&self.options, segment, Some(self.open.records));
        let next = OpenSegment::create(
            self.disk.as_ref(),
            &self.directory,
            head,
            self.options.segment_bytes,
        );
        let next = self.poison_on_error(next)?;
        let old = std::mem::replace(&mut self.open, next);
        self.give_back(&old);
        Ok(segment)
    }

    /// Syncs and closes the journal, and gives reserved space back.
    pub fn close(mut self) -> Result<(), JournalError> {
        self.sync()?;
        self.give_back(&self.open);
        Ok(())
    }

    /// Ends a closed segment where its records end. Only space is at stake: readers stop at zeros as well.
    fn give_back(&self, closed: &OpenSegment) {
        if let Err(error) = closed.file.set_len(closed.end) {
            tracing::warn!(segment = closed.head.segment, %error, "journal segment keeps its reserved space");
        }
    }

    fn check_poison(&self) -> Result<(), JournalError> {
        self.poison.clone().map_or(Ok(()), Err)
    }

    /// Remembers a failure after which it is not known what is on disk.
    fn poison_on_error<T>(&mut self, done: Result<T, JournalError>) -> Result<T, JournalError> {
        if let Err(poison @ JournalError::Poisoned { .. }) = &done {
            self.poison = Some(poison.clone());
        }
        done
    }
}

impl OpenSegment {
    /// Makes the file, then its head, both durable. Want of space leaves nothing behind, so that the number
    /// can be used again.
    fn create(
        disk: &dyn Disk,
        directory: &Path,
        head: SegmentHead,
        segment_bytes: u64,
    ) -> Result<OpenSegment, JournalError> {
        let path = segment_path(directory, head.segment);
        let file = disk.create_new(&path).map_err(no_space(head.segment))?;
        let tail = segment_bytes / TAIL_PART;
        if let Err(cause) = file.allocate(segment_bytes + tail) {
            remove_unbegun(disk, &path);
            return Err(no_space(head.segment)(cause));
        }
        file.write_all_at(&head.to_bytes(), 0)
            .map_err(poisoned("write", head.segment))?;
        file.sync().map_err(poisoned("sync", head.segment))?;
        disk.sync_dir(directory)
            .map_err(poisoned("directory sync", head.segment))?;
        let end = segment::HEAD_BYTES as u64;
        Ok(OpenSegment {
            file,
            head,
            end,
            synced: end,
            reserved: segment_bytes + tail,
            tail,
            records: 0,
        })
    }

    /// Sees to it that a write of `bytes` at the end will not want for space, nor other records behind a commit.
    fn reserve(&mut self, bytes: u64, is_commit: bool) -> Result<(), JournalError> {
        let end = self.end + bytes + if is_commit { self.tail } else { 0 };
        if end > self.reserved {
            self.file.allocate(end).map_err(no_space(self.head.segment))?;
            self.reserved = end;
        }
        Ok(())
    }

    fn append(&mut self, record: &[u8]) -> Result<(), JournalError> {
        self.file
            .write_all_at(record, self.end)
            .map_err(poisoned("write", self.head.segment))?;
        self.end += record.len() as u64;
        self.records += 1;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), JournalError> {
        if self.synced < self.end {
            self.file.sync().map_err(poisoned("sync", self.head.segment))?;
            self.synced = self.end;
        }
        Ok(())
    }
}

fn new_head(options: &WriterOptions, segment: u64, records_before: Option<u64>) -> SegmentHead {
    SegmentHead {
        spool: options.spool,
        segment,
        salt: host::random() as u64,
        records_before,
    }
}

fn remove_unbegun(disk: &dyn Disk, path: &Path) {
    if let Err(error) = disk.remove_file(path) {
        tracing::warn!(path = %path.display(), %error, "an unbegun journal segment stays behind");
    }
}

fn no_space(segment: u64) -> impl Fn(io::Error) -> JournalError {
    move |cause| JournalError::NoSpace {
        segment,
        cause: Arc::new(cause),
    }
}

fn poisoned(operation: &'static str, segment: u64) -> impl Fn(io::Error) -> JournalError {
    move |cause| JournalError::Poisoned {
        operation,
        segment,
        cause: Arc::new(cause),
    }
}
