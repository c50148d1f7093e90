//! What version 3 of the journal says otherwise than today's: nothing of the time of an attempt.

use bincode::Decode;
use bincode::de::Decoder;
use bincode::error::DecodeError;

use super::{CHECKPOINT, CodecError, OldCheckpoint, decode};
use crate::doubt::Doubt;
use crate::event::{self, Event};

/// Reads a checkpoint's body.
pub fn decode_checkpoint(body: &[u8]) -> Result<event::Checkpoint, CodecError> {
    decode::<OldCheckpoint<DestinationMark>>(CHECKPOINT, body).map(event::Checkpoint::from)
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

/// With the marks of its batches as they were.
struct DestinationMark(event::DestinationMark);

/// With a doubt that has no time.
struct BatchMark(event::BatchMark);

impl<C> Decode<C> for DestinationMark {
    fn decode<D: Decoder<Context = C>>(from: &mut D) -> Result<Self, DecodeError> {
        Ok(DestinationMark(event::DestinationMark {
            destination: Decode::decode(from)?,
            next_seq: Decode::decode(from)?,
            held: Decode::decode(from)?,
            waiting: Decode::decode(from)?,
            batches: Vec::<BatchMark>::decode(from)?
                .into_iter()
                .map(|BatchMark(mark)| mark)
                .collect(),
        }))
    }
}

impl<C> Decode<C> for BatchMark {
    fn decode<D: Decoder<Context = C>>(from: &mut D) -> Result<Self, DecodeError> {
        Ok(BatchMark(event::BatchMark {
            seq: Decode::decode(from)?,
            attempts: Decode::decode(from)?,
            doubt: Doubt {
                open: Decode::decode(from)?,
                earlier: Decode::decode(from)?,
                since_ms: 0,
            },
            verdict: Decode::decode(from)?,
        }))
    }
}

impl From<DestinationMark> for event::DestinationMark {
    fn from(DestinationMark(mark): DestinationMark) -> event::DestinationMark {
        mark
    }
}
