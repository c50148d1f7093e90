//! What a `.bin` says of itself, read from its two ends without touching the frames.

use std::fs::File;
use std::path::Path;

use super::{BinError, BinFault, FOOT_BYTES, Foot, HEAD_BYTES, HEAD_MAGIC, Head, Trailer};
use crate::disk::{DiskFile, read_full_at};
use crate::entry::{self, ENCODED_BYTES_MAX};

/// Head and trailer of a whole `.bin`, checked against each other and the file's length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinInfo {
    /// The first 64 bytes.
    pub head: Head,
    /// What the batch is.
    pub trailer: Trailer,
    /// Bytes of the whole file.
    pub file_bytes: u64,
}

impl BinInfo {
    /// Reads the ends of the file at `path`.
    pub fn read(path: &Path) -> Result<BinInfo, BinError> {
        let file = File::open(path).map_err(|error| BinFault::Io(error).at(path))?;
        BinInfo::of(&file).map_err(|fault| fault.at(path))
    }

    /// Reads the ends of an open file.
    pub fn of(file: &dyn DiskFile) -> Result<BinInfo, BinFault> {
        let file_bytes = file.len()?;
        let head = read_head(file)?;
        let foot_at = offset_before(file_bytes, FOOT_BYTES as u64).ok_or(BinFault::CutShort)?;
        let foot = read_foot(file, foot_at)?;
        let damaged = BinFault::TrailerChecksum {
            bytes: foot.trailer_bytes,
        };
        let Some(trailer_at) = offset_before(foot_at, u64::from(foot.trailer_bytes)) else {
            return Err(damaged);
        };
        let trailer = read_trailer(file, foot, trailer_at)?;
        if trailer.frames().end != trailer_at {
            return Err(BinFault::Contradiction("the length of the file"));
        }
        Ok(BinInfo {
            head,
            trailer,
            file_bytes,
        })
    }
}

/// `end - bytes`, unless that lies in the head.
fn offset_before(end: u64, bytes: u64) -> Option<u64> {
    end.checked_sub(bytes).filter(|&at| at >= HEAD_BYTES as u64)
}

fn read_head(file: &dyn DiskFile) -> Result<Head, BinFault> {
    let mut bytes = [0; HEAD_BYTES];
    let have = read_full_at(file, &mut bytes, 0)?;
    if have == HEAD_BYTES {
        return Head::parse(&bytes);
    }
    let magic_bytes = have.min(HEAD_MAGIC.len());
    let begins_well = bytes[..magic_bytes] == HEAD_MAGIC[..magic_bytes];
    Err(if begins_well {
        BinFault::CutShort
    } else {
        BinFault::NotABin
    })
}

fn read_foot(file: &dyn DiskFile, at: u64) -> Result<Foot, BinFault> {
    let mut bytes = [0; FOOT_BYTES];
    read_full_at(file, &mut bytes, at)?;
    Foot::parse(&bytes)
}

fn read_trailer(file: &dyn DiskFile, foot: Foot, at: u64) -> Result<Trailer, BinFault> {
    let trailer_bytes = foot.trailer_bytes as usize;
    if trailer_bytes > ENCODED_BYTES_MAX {
        return Err(BinFault::TrailerChecksum {
            bytes: foot.trailer_bytes,
        });
    }
    let mut bytes = vec![0; trailer_bytes];
    let have = read_full_at(file, &mut bytes, at)?;
    if have < trailer_bytes || crc32fast::hash(&bytes) != foot.trailer_crc32 {
        return Err(BinFault::TrailerChecksum {
            bytes: foot.trailer_bytes,
        });
    }
    let trailer = entry::decode_trailer(&bytes)?;
    trailer.check()?;
    Ok(trailer)
}
