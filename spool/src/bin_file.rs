//! A `.bin`: one batch, one INSERT, one block, with all that is needed to send it, keep it, replay it or
//! isolate a row of it.
//!
//! ```text
//! head, 64 bytes     0  8  magic "WEIR.BIN"
//!                    8  4  version, 1
//!                   12  4  bytes of the head, 64: the frames begin here
//!                   16 16  the spool's id
//!                   32 28  zeros
//!                   60  4  CRC32 of the 60 bytes before
//! frames                   ClickHouse's compressed frames, end to end (frames.rs), each of whole rows
//! trailer                  one `Trailer`, by the lists in entry.rs
//! foot, 16 bytes     0  4  bytes of the trailer
//!                    4  4  CRC32 of the trailer
//!                    8  8  magic "WEIR.END"
//! ```
//!
//! Numbers are little endian. The file is written front to back, nothing is patched: one that was cut short
//! has no foot.
//! Head, frames (each its CityHash128, all a CRC32) and trailer are checked apart, so that an error says
//! which of them is damaged.
//!
//! # Limits
//!
//! A trailer names at most [`SEGMENTS_MAX`] INSERTs; a batch that has them is full.

mod info;
mod read;
mod write;

use std::ops::Range;
use std::path::PathBuf;

pub use info::BinInfo;
pub use read::BinReader;
use uuid::Uuid;
pub use write::{BatchHead, BinWriter, random_token};

use crate::entry::CodecError;
use crate::frames::FrameError;
use crate::model::{InsertId, Shape};

/// Bytes of the head; the frames begin behind it.
pub const HEAD_BYTES: usize = 64;
/// Bytes of the foot.
pub const FOOT_BYTES: usize = 16;
/// The version that is written.
pub const VERSION: u32 = 1;
/// INSERTs that one batch can name. The trailer is read whole when its batch is next to be sent: with tokens
/// of 100 bytes this is 10 MB.
pub const SEGMENTS_MAX: usize = 65_536;

const HEAD_MAGIC: [u8; 8] = *b"WEIR.BIN";
const FOOT_MAGIC: [u8; 8] = *b"WEIR.END";
/// Bytes of the head that its CRC32 covers.
const HEAD_CHECKED_BYTES: usize = HEAD_BYTES - 4;

/// The first 64 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The format's version.
    pub version: u32,
    /// The spool that wrote the file.
    pub spool: Uuid,
}

/// What a batch is, and where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trailer {
    /// Cluster, epoch, table, columns with their types, payload format, settings.
    pub shape: Shape,
    /// The shard's name. The replica is not here: one file may be linked into the directory of each.
    pub shard: String,
    /// insert_deduplication_token of every attempt.
    pub token: String,
    /// Rows in the frames.
    pub rows: u64,
    /// Bytes that the frames decompress to.
    pub raw_bytes: u64,
    /// Bytes of the frames.
    pub frames_bytes: u64,
    /// CRC32 of the frames as they stand: the gzip envelope's, when nothing else is in it.
    pub frames_crc32: u32,
    /// Milliseconds since 1970.
    pub created_at_ms: u64,
    /// Whose rows these are, in order and without gaps.
    pub segments: Vec<Segment>,
}

/// One INSERT's rows in a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The INSERT.
    pub insert: InsertId,
    /// The client's insert_deduplication_token.
    pub client_token: Option<String>,
    /// Its bytes in the raw bytes of the batch.
    pub raw: Range<u64>,
    /// Its rows in the rows of the batch.
    pub rows: Range<u64>,
}

impl Trailer {
    /// Offsets of the frames in the file.
    pub fn frames(&self) -> Range<u64> {
        HEAD_BYTES as u64..(HEAD_BYTES as u64).saturating_add(self.frames_bytes)
    }

    fn check(&self) -> Result<(), BinFault> {
        if self.segments.len() > SEGMENTS_MAX {
            return Err(BinFault::TooManySegments);
        }
        if self.segments_add_up() {
            Ok(())
        } else {
            Err(BinFault::Contradiction("its segments"))
        }
    }

    /// Whether the segments cover rows and bytes without gap or overlap.
    fn segments_add_up(&self) -> bool {
        let (mut raw, mut rows) = (0, 0);
        for segment in &self.segments {
            let adjoins = segment.raw.start == raw && segment.rows.start == rows;
            if !adjoins || segment.raw.end < raw || segment.rows.end < rows {
                return false;
            }
            (raw, rows) = (segment.raw.end, segment.rows.end);
        }
        raw == self.raw_bytes && rows == self.rows
    }
}

impl Head {
    fn to_bytes(self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..8].copy_from_slice(&HEAD_MAGIC);
        bytes[8..12].copy_from_slice(&self.version.to_le_bytes());
        bytes[12..16].copy_from_slice(&(HEAD_BYTES as u32).to_le_bytes());
        bytes[16..32].copy_from_slice(self.spool.as_bytes());
        let checksum = crc32fast::hash(&bytes[..HEAD_CHECKED_BYTES]);
        bytes[HEAD_CHECKED_BYTES..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The version is looked at before the checksum: a newer version may have another one.
    fn parse(bytes: &[u8; HEAD_BYTES]) -> Result<Head, BinFault> {
        if bytes[..8] != HEAD_MAGIC {
            return Err(BinFault::NotABin);
        }
        let version = u32_at(bytes, 8);
        if version > VERSION {
            return Err(BinFault::Newer { found: version });
        }
        let checksum_holds =
            u32_at(bytes, HEAD_CHECKED_BYTES) == crc32fast::hash(&bytes[..HEAD_CHECKED_BYTES]);
        if !checksum_holds || version == 0 || u32_at(bytes, 12) as usize != HEAD_BYTES {
            return Err(BinFault::Head);
        }
        let mut spool = [0; 16];
        spool.copy_from_slice(&bytes[16..32]);
        Ok(Head {
            version,
            spool: Uuid::from_bytes(spool),
        })
    }
}

/// The last 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Foot {
    trailer_bytes: u32,
    trailer_crc32: u32,
}

impl Foot {
    fn to_bytes(self) -> [u8; FOOT_BYTES] {
        let mut bytes = [0; FOOT_BYTES];
        bytes[..4].copy_from_slice(&self.trailer_bytes.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.trailer_crc32.to_le_bytes());
        bytes[8..].copy_from_slice(&FOOT_MAGIC);
        bytes
    }

    fn parse(bytes: &[u8; FOOT_BYTES]) -> Result<Foot, BinFault> {
        if bytes[8..] != FOOT_MAGIC {
            return Err(BinFault::CutShort);
        }
        Ok(Foot {
            trailer_bytes: u32_at(bytes, 0),
            trailer_crc32: u32_at(bytes, 4),
        })
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Why a `.bin` cannot be written or read, and which file it is.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", path.display())]
pub struct BinError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: BinFault,
}

/// What is wrong with a `.bin`. All but [`BinFault::Io`] will be the same at the next try.
#[derive(Debug, thiserror::Error)]
pub enum BinFault {
    /// It does not begin like one.
    #[error("not a batch file: it does not begin with WEIR.BIN")]
    NotABin,
    /// A later release of Weir wrote it. Leave it in place: that release reads it.
    #[error("written in version {found} of the format, this release reads up to {VERSION}")]
    Newer {
        /// Its version.
        found: u32,
    },
    /// The first 64 bytes are damaged.
    #[error("its head is damaged")]
    Head,
    /// It has no foot: writing it was never finished, or its end is lost.
    #[error("its end is missing")]
    CutShort,
    /// The trailer's checksum does not hold, or its length is impossible.
    #[error("its trailer of {bytes} bytes is damaged")]
    TrailerChecksum {
        /// Bytes that the foot says the trailer has.
        bytes: u32,
    },
    /// The trailer cannot be stored, or what was stored is none.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Numbers of the trailer contradict each other or the file.
    #[error("its trailer contradicts {0}")]
    Contradiction(&'static str),
    /// More INSERTs than a trailer holds.
    #[error("a batch holds rows of at most {SEGMENTS_MAX} INSERTs")]
    TooManySegments,
    /// A frame is damaged, or rows cannot become one.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The frames are sound one by one, but not those that were written.
    #[error("its frames have CRC32 {found:08x}, its trailer says {expected:08x}")]
    FramesCrc {
        /// What the trailer says.
        expected: u32,
        /// What the frames give.
        found: u32,
    },
    /// The operating system refuses.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl BinFault {
    /// The fault with the name of the file that has it.
    pub fn at(self, path: impl Into<PathBuf>) -> BinError {
        BinError {
            path: path.into(),
            fault: self,
        }
    }
}

#[cfg(test)]
mod tests;
