//! What version 3 of the journal says otherwise than today's: nothing of the time of an attempt.

use bincode::Decode;
use bincode::de::Decoder;
use bincode::error::DecodeError;

use super::{CHECKPOINT, CodecError, decode};
use crate::event::{self, Event, PendingMark, Seq, UncutMark, Verdict, WaitingMark};
use crate::model::{Destination, LaneKey};

/// Reads a checkpoint's body.
pub fn decode_checkpoint(body: &[u8]) -> Result<event::Checkpoint, CodecError> {
    decode::<Checkpoint>(CHECKPOINT, body).map(event::Checkpoint::from)
}

/// What follows the tag that an attempt had.
pub fn attempting<C, D: Decoder<Context = C>>(from: &mut D) -> Result<Event, DecodeError> {
    Ok(Event::Attempting {
        destination: Decode::decode(from)?,
        seq: Decode::decode(from)?,
        attempt: Decode::decode(from)?,
        replica: Decode::decode(from)?,
        at_ms: 0,
    })
}

struct Checkpoint {
    segment: u64,
    next_insert: u64,
    lanes: Vec<LaneKey>,
    uncut: Vec<UncutMark>,
    pending: Vec<PendingMark>,
    destinations: Vec<DestinationMark>,
}

struct DestinationMark {
    destination: Destination,
    next_seq: Seq,
    held: Option<String>,
    waiting: Vec<WaitingMark>,
    batches: Vec<BatchMark>,
}

struct BatchMark {
    seq: Seq,
    attempts: u32,
    doubt: Doubt,
    verdict: Option<Verdict>,
}

struct Doubt {
    open: Option<String>,
    earlier: Option<String>,
}

read_fields!(Checkpoint {
    segment,
    next_insert,
    lanes,
    uncut,
    pending,
    destinations
});
read_fields!(DestinationMark {
    destination,
    next_seq,
    held,
    waiting,
    batches
});
read_fields!(BatchMark {
    seq,
    attempts,
    doubt,
    verdict
});
read_fields!(Doubt { open, earlier });

impl From<Checkpoint> for event::Checkpoint {
    fn from(old: Checkpoint) -> event::Checkpoint {
        event::Checkpoint {
            segment: old.segment,
            next_insert: old.next_insert,
            lanes: old.lanes,
            uncut: old.uncut,
            pending: old.pending,
            destinations: old.destinations.into_iter().map(DestinationMark::into).collect(),
        }
    }
}

impl From<DestinationMark> for event::DestinationMark {
    fn from(old: DestinationMark) -> event::DestinationMark {
        event::DestinationMark {
            destination: old.destination,
            next_seq: old.next_seq,
            held: old.held,
            waiting: old.waiting,
            batches: old.batches.into_iter().map(BatchMark::into).collect(),
        }
    }
}

impl From<BatchMark> for event::BatchMark {
    fn from(old: BatchMark) -> event::BatchMark {
        let Doubt { open, earlier } = old.doubt;
        event::BatchMark {
            seq: old.seq,
            attempts: old.attempts,
            doubt: crate::doubt::Doubt {
                open,
                earlier,
                since_ms: 0,
            },
            verdict: old.verdict,
        }
    }
}
