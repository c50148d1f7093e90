//! The bytes of what the journal, the checkpoint and a `.bin`'s trailer say. The only file that names
//! bincode.
//!
//! Each struct's fields are listed here once, in the order of their bytes. **This is version 1 of batch files, and
//! version 5 of the journal, and both are frozen**: a field that is added to a struct and not listed here does not compile,
//! and listing it is the next version. Whoever makes that copies what changes of today's structs and these lists into a file
//! of its own, as [`v3`] is, turns what it reads into the new structs, and raises the version in the files' heads; spool/golden
//! then proves that old files are still read.
//!
//! Of the journal's records one list reads all versions: version 2 added a tag of [`Awaits`], versions 3, 4 and 5
//! one of [`Event`] each.
//! Checkpoints of versions 1 and 2 are read by [`v2`], those of version 3 by [`v3`]; those of versions 4 and 5 are alike, but that in
//! version 4 the waiting batches stand by number.
//!
//! Numbers are bincode 2's varints, little endian; a string or list is its length and its items; an option is
//! a byte 0 or 1; an enum is the tag byte of the list here; a UUID is its 16 bytes.
//!
//! # Limits
//!
//! Decoding never takes more than 128 times the bytes' size (rounded up to 2 KiB, 64 KiB, 2 MiB or 64 MiB),
//! whatever lengths they claim, and they are at most [`ENCODED_BYTES_MAX`]. What would be larger is refused
//! when it is encoded: nothing is written that could not be read.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{Decode, Encode};
use uuid::Uuid;

use crate::bin_file::{Segment, Trailer};
use crate::doubt::Doubt;
use crate::event::{
    Awaits, BatchInfo, BatchMark, Checkpoint, Chunk, Commit, Cut, DestinationMark, Event, Frame, Joined,
    Part, PendingMark, Record, Recut, Share, StagedFile, Taken, UncutMark, Verdict, WaitingMark,
};
use crate::model::{Destination, InsertId, LaneKey, Shape};

/// Bytes that one encoded record (without its rows), checkpoint or trailer may have. A trailer of the largest
/// batch, 65,536
/// INSERTs with tokens of 500 bytes, is half of it.
pub const ENCODED_BYTES_MAX: usize = 64 << 20;

/// Memory that one encoded byte can stand for. The leanest encodings against their memory are asserted below.
const MEMORY_FACTOR: usize = 128;
const _: () = assert!(
    size_of::<Event>() <= 2 * MEMORY_FACTOR,
    "Go is a tag and a number of one byte"
);
const _: () = assert!(
    size_of::<Part>() <= 4 * MEMORY_FACTOR,
    "Inline is a tag, two offsets and a length"
);
const _: () = assert!(
    size_of::<Share>() <= 4 * MEMORY_FACTOR,
    "two numbers and two lengths"
);
const _: () = assert!(
    size_of::<BatchMark>() <= 4 * MEMORY_FACTOR,
    "two numbers, a length, an option"
);
const _: () = assert!(size_of::<(String, String)>() <= 2 * MEMORY_FACTOR, "two lengths");

/// Why something cannot be written or read. The same bytes give the same answer again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// More than [`ENCODED_BYTES_MAX`].
    #[error("{what} of {bytes} bytes, at most {ENCODED_BYTES_MAX} can be stored")]
    TooLarge {
        /// Record, checkpoint or trailer.
        what: &'static str,
        /// Its encoded bytes.
        bytes: usize,
    },
    /// bincode refuses.
    #[error("{what}: {why}")]
    Invalid {
        /// Record, checkpoint or trailer.
        what: &'static str,
        /// bincode's words.
        why: String,
    },
    /// Bytes are left over behind it.
    #[error("{what} ends after {used} of its {bytes} bytes")]
    Surplus {
        /// Record, checkpoint or trailer.
        what: &'static str,
        /// Bytes that were understood.
        used: usize,
        /// Bytes that there are.
        bytes: usize,
    },
}

const RECORD: &str = "journal record";
const CHECKPOINT: &str = "checkpoint";
const TRAILER: &str = "trailer";

/// Bytes before a record's facts: their length, after which the rows begin.
const FACTS_LENGTH_BYTES: usize = 4;

/// A record's body: length of the facts (u32, little endian), the facts, the arena as it is.
pub fn encode_record(record: &Record) -> Result<Vec<u8>, CodecError> {
    let Record {
        lanes,
        shapes,
        events,
        arena,
    } = record;
    let facts = encode(RECORD, &(lanes, shapes, events))?;
    let facts_bytes = u32::try_from(facts.len()).map_err(|_| too_large(RECORD, facts.len()))?;
    let mut body = Vec::with_capacity(FACTS_LENGTH_BYTES + facts.len() + arena.len());
    body.extend_from_slice(&facts_bytes.to_le_bytes());
    body.extend_from_slice(&facts);
    body.extend_from_slice(arena);
    Ok(body)
}

/// Reads a record's body.
pub fn decode_record(mut body: Vec<u8>) -> Result<Record, CodecError> {
    let short = || CodecError::Invalid {
        what: RECORD,
        why: format!("{} bytes are too few", body.len()),
    };
    let (length, behind) = body.split_first_chunk::<FACTS_LENGTH_BYTES>().ok_or_else(short)?;
    let facts = behind
        .get(..u32::from_le_bytes(*length) as usize)
        .ok_or_else(short)?;
    let (lanes, shapes, events) = decode(RECORD, facts)?;
    body.drain(..FACTS_LENGTH_BYTES + facts.len());
    Ok(Record {
        lanes,
        shapes,
        events,
        arena: body,
    })
}

/// A checkpoint's body.
pub fn encode_checkpoint(checkpoint: &Checkpoint) -> Result<Vec<u8>, CodecError> {
    encode(CHECKPOINT, checkpoint)
}

/// Reads a checkpoint's body.
pub fn decode_checkpoint(body: &[u8]) -> Result<Checkpoint, CodecError> {
    decode(CHECKPOINT, body)
}

/// A trailer's body.
pub fn encode_trailer(trailer: &Trailer) -> Result<Vec<u8>, CodecError> {
    encode(TRAILER, trailer)
}

/// Reads a trailer's body.
pub fn decode_trailer(body: &[u8]) -> Result<Trailer, CodecError> {
    decode(TRAILER, body)
}

fn encode<T: Encode>(what: &'static str, value: &T) -> Result<Vec<u8>, CodecError> {
    let bytes =
        bincode::encode_to_vec(value, bincode::config::standard()).map_err(|error| invalid(what, &error))?;
    if bytes.len() > ENCODED_BYTES_MAX {
        Err(too_large(what, bytes.len()))
    } else {
        Ok(bytes)
    }
}

/// bincode's limit is a constant of the type, so the smallest that is generous enough for these bytes is
/// picked.
fn decode<T: Decode<()>>(what: &'static str, bytes: &[u8]) -> Result<T, CodecError> {
    let read = match bytes.len() {
        ..=0x800 => bincode::decode_from_slice(bytes, limited::<{ 0x800 * MEMORY_FACTOR }>()),
        0x801..=0x1_0000 => bincode::decode_from_slice(bytes, limited::<{ 0x1_0000 * MEMORY_FACTOR }>()),
        0x1_0001..=0x20_0000 => bincode::decode_from_slice(bytes, limited::<{ 0x20_0000 * MEMORY_FACTOR }>()),
        0x20_0001..=ENCODED_BYTES_MAX => {
            bincode::decode_from_slice(bytes, limited::<{ ENCODED_BYTES_MAX * MEMORY_FACTOR }>())
        }
        bytes => return Err(too_large(what, bytes)),
    };
    match read {
        Ok((value, used)) if used == bytes.len() => Ok(value),
        Ok((_, used)) => Err(CodecError::Surplus {
            what,
            used,
            bytes: bytes.len(),
        }),
        Err(error) => Err(invalid(what, &error)),
    }
}

const fn limited<const BYTES: usize>() -> Configuration<LittleEndian, Varint, Limit<BYTES>> {
    bincode::config::standard().with_limit::<BYTES>()
}

fn too_large(what: &'static str, bytes: usize) -> CodecError {
    CodecError::TooLarge { what, bytes }
}

fn invalid(what: &'static str, why: &impl ToString) -> CodecError {
    CodecError::Invalid {
        what,
        why: why.to_string(),
    }
}

/// The bytes of a struct: its fields in this order.
macro_rules! fields {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl Encode for $name {
            fn encode<E: Encoder>(&self, to: &mut E) -> Result<(), EncodeError> {
                let $name { $($field),* } = self;
                $($field.encode(to)?;)*
                Ok(())
            }
        }

        read_fields!($name { $($field),* });
    };
}

/// The same where nothing is written any more.
macro_rules! read_fields {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl<C> Decode<C> for $name {
            fn decode<D: Decoder<Context = C>>(from: &mut D) -> Result<Self, DecodeError> {
                Ok($name { $($field: Decode::decode(from)?),* })
            }
        }
    };
}

pub mod v2;
pub mod v3;

/// The bytes of an enum: a tag byte, then the variant's fields in this order. Behind `once` stand tags that are read and not
/// written any more, each with what reads what follows it.
macro_rules! variants {
    (
        $name:ident { $($tag:literal = $variant:ident $(($inner:ident))? $({ $($field:ident),* })?),* $(,)? }
        $(once { $($old:literal = $read:path),* $(,)? })?
    ) => {
        impl Encode for $name {
            fn encode<E: Encoder>(&self, to: &mut E) -> Result<(), EncodeError> {
                match self {
                    $($name::$variant $(($inner))? $({ $($field),* })? => {
                        let tag: u8 = $tag;
                        tag.encode(to)?;
                        $($inner.encode(to)?;)?
                        $($($field.encode(to)?;)*)?
                    })*
                }
                Ok(())
            }
        }

        impl<C> Decode<C> for $name {
            fn decode<D: Decoder<Context = C>>(from: &mut D) -> Result<Self, DecodeError> {
                match u8::decode(from)? {
                    $($tag => {
                        $(let $inner = Decode::decode(from)?;)?
                        Ok($name::$variant $(($inner))? $({ $($field: Decode::decode(from)?),* })?)
                    })*
                    $($($old => $read(from),)*)?
                    tag => Err(DecodeError::OtherString(format!("{} has no variant {tag}", stringify!($name)))),
                }
            }
        }
    };
}

// === Names, lanes, shapes ===

impl Encode for InsertId {
    fn encode<E: Encoder>(&self, to: &mut E) -> Result<(), EncodeError> {
        self.0.as_bytes().encode(to)
    }
}

impl<C> Decode<C> for InsertId {
    fn decode<D: Decoder<Context = C>>(from: &mut D) -> Result<Self, DecodeError> {
        Ok(InsertId(Uuid::from_bytes(Decode::decode(from)?)))
    }
}

fields!(Destination {
    table,
    shard,
    replica
});
fields!(LaneKey {
    table,
    shard,
    destinations,
    local
});
fields!(Shape {
    cluster,
    epoch,
    table,
    columns,
    format,
    settings
});

// === Trailer of a .bin ===

fields!(Trailer {
    shape,
    shard,
    token,
    rows,
    raw_bytes,
    frames_bytes,
    frames_crc32,
    created_at_ms,
    segments
});
fields!(Segment {
    insert,
    client_token,
    raw,
    rows
});

// === Journal ===

variants!(Event {
    1 = Commit(commit),
    2 = Go { insert },
    3 = Abort { insert, code, text },
    4 = Cut(cut),
    6 = Settled { destination, seq, verdict },
    7 = Recut { destination, seq, into },
    8 = DestinationHeld { destination, error },
    9 = DestinationResumed { destination },
    10 = Disproved { destination, seq },
    11 = Attempting { destination, seq, attempt, replica, at_ms },
    12 = Joined(joined),
} once {
    5 = v3::attempting,
});
variants!(Verdict {
    1 = Acknowledged,
    2 = Retry { error },
    3 = Held { error },
    4 = Broken { error },
    5 = Requeued,
    6 = Dropped,
});
fields!(Commit {
    number,
    insert,
    user,
    query_id,
    token,
    body_hash,
    committed_at_ms,
    awaits,
    shares
});
// Version 1 had a bool in this place, whose bytes are the first two tags; version 2 of the journal added the third. So both
// are read alike.
variants!(Awaits {
    0 = Nothing,
    1 = Local,
    2 = One { lane, destination },
});
fields!(Share {
    shard,
    shape,
    lanes,
    parts
});
variants!(Part {
    1 = Inline { arena, chunks },
    2 = Staged { offset, frames },
    3 = File(file),
});
fields!(Chunk { rows, raw_bytes });
fields!(Frame {
    rows,
    raw_bytes,
    bytes
});
fields!(StagedFile {
    directory,
    name,
    batch
});
fields!(BatchInfo {
    rows,
    raw_bytes,
    file_bytes,
    created_at_ms
});
fields!(Cut {
    lane,
    taken,
    seqs,
    batch
});
fields!(Taken { insert, shard, units });
fields!(Recut { seq, insert, batch });
fields!(Joined {
    destination,
    seqs,
    into,
    batch
});

// === Checkpoint ===

fields!(Checkpoint {
    segment,
    next_insert,
    lanes,
    uncut,
    pending,
    destinations
});
fields!(UncutMark {
    lane,
    insert,
    shard,
    units_cut
});
fields!(PendingMark { insert, id, batches });
fields!(DestinationMark {
    destination,
    next_seq,
    held,
    waiting,
    batches
});
fields!(WaitingMark { seq, batch });
fields!(BatchMark {
    seq,
    attempts,
    doubt,
    verdict
});
fields!(Doubt {
    open,
    earlier,
    since_ms
});

/// A checkpoint of an older version: of its parts only what destinations say has changed.
struct OldCheckpoint<D> {
    checkpoint: Checkpoint,
    destinations: Vec<D>,
}

impl<C, D: Decode<C>> Decode<C> for OldCheckpoint<D> {
    fn decode<F: Decoder<Context = C>>(from: &mut F) -> Result<Self, DecodeError> {
        let checkpoint = Checkpoint {
            segment: Decode::decode(from)?,
            next_insert: Decode::decode(from)?,
            lanes: Decode::decode(from)?,
            uncut: Decode::decode(from)?,
            pending: Decode::decode(from)?,
            destinations: Vec::new(),
        };
        Ok(OldCheckpoint {
            checkpoint,
            destinations: Decode::decode(from)?,
        })
    }
}

impl<D: Into<DestinationMark>> From<OldCheckpoint<D>> for Checkpoint {
    fn from(old: OldCheckpoint<D>) -> Checkpoint {
        Checkpoint {
            destinations: old.destinations.into_iter().map(D::into).collect(),
            ..old.checkpoint
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
