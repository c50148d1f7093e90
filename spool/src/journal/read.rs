//! Reading a segment back, whatever a crash or a bad disk made of it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::record::{self, ALIGNMENT, RecordHead};
use super::segment::{self, SegmentHead};
use super::{SegmentError, segment_path};
use crate::disk::{Disk, DiskFile, read_full_at};
use crate::entry;
use crate::event::Record;

/// Bytes that are looked through at once for the record behind a damage.
const WINDOW_BYTES: usize = 1 << 20;
const _: () = assert!(WINDOW_BYTES.is_multiple_of(ALIGNMENT));

/// What stands in a segment, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A whole record.
    Record {
        /// Where it begins.
        offset: u64,
        /// What it says.
        record: Record,
    },
    /// Records are missing here; what follows is sound and is read on. Keep a copy of the segment for its
    /// owner.
    Damaged {
        /// Where the next record should have begun.
        offset: u64,
        /// Bytes up to the next sound record, or to the end of the file.
        bytes: u64,
        /// Whether these bytes had been on disk. Then acknowledged facts are lost; otherwise a power loss
        /// took records that nobody had waited for.
        synced: bool,
        /// What is wrong.
        why: String,
    },
    /// A write that a crash cut short, the last thing in the segment. Nobody was answered: cut it off with
    /// [`cut_torn_tail`](super::cut_torn_tail).
    Torn {
        /// Where it begins.
        offset: u64,
        /// Bytes from there to the last that is not zero.
        bytes: u64,
    },
}

/// Reads one segment from front to back. Changes nothing.
#[derive(Debug)]
pub struct SegmentReader {
    file: Arc<dyn DiskFile>,
    head: SegmentHead,
    file_bytes: u64,
    /// Where the next record should begin.
    offset: u64,
    /// Its number.
    number: u64,
    /// How many records the segment was closed with, if the next one tells.
    closed_with: Option<u64>,
    ended: bool,
}

/// The next sound record behind a damage.
struct Found {
    offset: u64,
    head: RecordHead,
}

/// What lies from some offset to the end of the file.
struct Rest {
    /// The first sound record in it.
    found: Option<Found>,
    /// Behind the last byte that is not zero, of those looked at.
    end: u64,
}

impl SegmentReader {
    /// Opens a segment and checks its head.
    pub fn open(disk: &dyn Disk, directory: &Path, segment: u64) -> Result<SegmentReader, SegmentError> {
        let io_error = |source| SegmentError::Io { segment, source };
        let file = disk
            .open_read(&segment_path(directory, segment))
            .map_err(io_error)?;
        let file_bytes = file.len().map_err(io_error)?;
        let closed_with = records_told_by(disk, directory, segment + 1);
        if closed_with.is_none() && is_blank(file.as_ref()).map_err(io_error)? {
            return Err(SegmentError::Unbegun { segment });
        }
        let head = match read_head(file.as_ref()).map_err(io_error)? {
            Some(bytes) => SegmentHead::parse(&bytes, segment)?,
            None => {
                return Err(SegmentError::Head {
                    segment,
                    why: "it is cut short",
                });
            }
        };
        let offset = segment::HEAD_BYTES as u64;
        Ok(SegmentReader {
            file,
            head,
            file_bytes,
            offset,
            number: 0,
            closed_with,
            ended: false,
        })
    }

    /// The id of the spool that wrote the segment.
    pub fn spool(&self) -> uuid::Uuid {
        self.head.spool
    }

    /// What comes next; `None` at the end. After an error the same call gives the same again.
    pub fn next_item(&mut self) -> Result<Option<Item>, SegmentError> {
        if self.ended {
            return Ok(None);
        }
        match self.read_at(self.offset)? {
            Ok((head, body)) => Ok(Some(self.decode(&head, body))),
            Err(why) => self.skip(why),
        }
    }

    /// A body whose checksum holds but that is no record was written so: nothing a crash does. It is never
    /// taken for torn.
    fn decode(&mut self, head: &RecordHead, body: Vec<u8>) -> Item {
        let offset = self.offset;
        self.offset += head.span();
        self.number = head.number + 1;
        match entry::decode_record(body) {
            Ok(record) => Item::Record { offset, record },
            Err(error) => Item::Damaged {
                offset,
                bytes: head.span(),
                synced: true,
                why: error.to_string(),
            },
        }
    }

    /// There is no whole record here: go on behind the damage, or end.
    fn skip(&mut self, why: String) -> Result<Option<Item>, SegmentError> {
        let offset = self.offset;
        let rest = self.look_through(offset)?;
        if let Some(Found { offset: next, head }) = rest.found {
            self.offset = next;
            self.number = head.number;
            return Ok(Some(Item::Damaged {
                offset,
                bytes: next - offset,
                synced: head.synced_bytes > offset,
                why,
            }));
        }
        self.ended = true;
        let bytes = rest.end - offset;
        match self.closed_with {
            Some(records) if records > self.number => {
                let bytes = self.file_bytes.saturating_sub(offset);
                let why = format!("{why}; closed with {records} records, {} were read", self.number);
                Ok(Some(Item::Damaged {
                    offset,
                    bytes,
                    synced: true,
                    why,
                }))
            }
            _ if bytes > 0 => Ok(Some(Item::Torn { offset, bytes })),
            _ => Ok(None),
        }
    }

    /// The whole record at `offset`, or why there is none.
    fn read_at(&self, offset: u64) -> Result<Result<(RecordHead, Vec<u8>), String>, SegmentError> {
        let mut bytes = [0; record::HEAD_BYTES];
        let have = read_full_at(self.file.as_ref(), &mut bytes, offset).map_err(|source| self.io(source))?;
        if have < bytes.len() {
            return Ok(Err("the file ends".into()));
        }
        let Some(head) = RecordHead::parse(&bytes, self.head.salt) else {
            return Ok(Err("no record begins here".into()));
        };
        if head.number < self.number {
            return Ok(Err(format!(
                "record {} stands where {} belongs",
                head.number, self.number
            )));
        }
        self.read_body(&head, offset + record::HEAD_BYTES as u64)
    }

    fn read_body(
        &self,
        head: &RecordHead,
        offset: u64,
    ) -> Result<Result<(RecordHead, Vec<u8>), String>, SegmentError> {
        if offset + head.stored_bytes as u64 > self.file_bytes {
            return Ok(Err("the file ends inside the record".into()));
        }
        let mut stored = vec![0; head.stored_bytes];
        read_full_at(self.file.as_ref(), &mut stored, offset).map_err(|source| self.io(source))?;
        Ok(head.open(stored).map(|body| (*head, body)))
    }

    /// Looks for the first sound record behind `offset`, window by window. Windows overlap by a head, which
    /// may lie across.
    fn look_through(&self, offset: u64) -> Result<Rest, SegmentError> {
        let mut rest = Rest {
            found: None,
            end: offset,
        };
        let mut window = vec![0; WINDOW_BYTES + record::HEAD_BYTES];
        let mut at = offset;
        while at < self.file_bytes {
            let have = read_full_at(self.file.as_ref(), &mut window, at).map_err(|source| self.io(source))?;
            let bytes = &window[..have];
            if let Some(last) = bytes.iter().rposition(|&byte| byte != 0) {
                rest.end = rest.end.max(at + last as u64 + 1);
                rest.found = self.find_in(bytes, at, offset)?;
            }
            if rest.found.is_some() {
                break;
            }
            at += WINDOW_BYTES as u64;
        }
        Ok(rest)
    }

    /// The first sound record among `bytes`, which begin at offset `at`, that begins behind `damage`.
    fn find_in(&self, bytes: &[u8], at: u64, damage: u64) -> Result<Option<Found>, SegmentError> {
        for (step, head) in bytes.windows(record::HEAD_BYTES).step_by(ALIGNMENT).enumerate() {
            let offset = at + (step * ALIGNMENT) as u64;
            if offset <= damage || !head.starts_with(&record::MAGIC) {
                continue;
            }
            if let Ok((head, _)) = self.read_at(offset)? {
                return Ok(Some(Found { offset, head }));
            }
        }
        Ok(None)
    }

    fn io(&self, source: io::Error) -> SegmentError {
        SegmentError::Io {
            segment: self.head.segment,
            source,
        }
    }
}

/// The first bytes, if the file has as many.
fn read_head(file: &dyn DiskFile) -> io::Result<Option<[u8; segment::HEAD_BYTES]>> {
    let mut bytes = [0; segment::HEAD_BYTES];
    let have = read_full_at(file, &mut bytes, 0)?;
    Ok((have == bytes.len()).then_some(bytes))
}

/// Whether the file has nothing but zeros.
fn is_blank(file: &dyn DiskFile) -> io::Result<bool> {
    let mut window = vec![0; WINDOW_BYTES];
    let mut at = 0;
    loop {
        let have = read_full_at(file, &mut window, at)?;
        if window[..have].iter().any(|&byte| byte != 0) {
            return Ok(false);
        }
        if have < window.len() {
            return Ok(true);
        }
        at += have as u64;
    }
}

/// How many records the segment before `segment` was closed with; unknown if its head cannot be read.
fn records_told_by(disk: &dyn Disk, directory: &Path, segment: u64) -> Option<u64> {
    let file = disk.open_read(&segment_path(directory, segment)).ok()?;
    let bytes = read_head(file.as_ref()).ok()??;
    SegmentHead::parse(&bytes, segment).ok()?.records_before
}
