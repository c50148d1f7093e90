//! What versions 1 and 2 of the journal say otherwise than today's: checkpoints without the sizes of waiting batches, and
//! without what is proved of attempts.

use bincode::Decode;
use bincode::de::Decoder;
use bincode::error::DecodeError;

use super::{CHECKPOINT, CodecError, OldCheckpoint, decode};
use crate::doubt::Doubt;
use crate::event::{self, Seq, Verdict, WaitingMark};
use crate::model::Destination;

/// Reads a checkpoint's body.
pub fn decode_checkpoint(body: &[u8]) -> Result<event::Checkpoint, CodecError> {
    decode::<OldCheckpoint<DestinationMark>>(CHECKPOINT, body).map(event::Checkpoint::from)
}

struct DestinationMark {
    destination: Destination,
    next_seq: Seq,
    held: Option<String>,
    /// First and last numbers of runs.
    waiting: Vec<(Seq, Seq)>,
    batches: Vec<BatchMark>,
}

struct BatchMark {
    seq: Seq,
    attempts: u32,
    replica: String,
    verdict: Option<Verdict>,
}

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
    replica,
    verdict
});

impl From<DestinationMark> for event::DestinationMark {
    fn from(old: DestinationMark) -> event::DestinationMark {
        let runs = old.waiting.into_iter();
        event::DestinationMark {
            destination: old.destination,
            next_seq: old.next_seq,
            held: old.held,
            waiting: runs
                .flat_map(|(first, last)| first..=last)
                .map(WaitingMark::unmeasured)
                .collect(),
            batches: old.batches.into_iter().map(BatchMark::into).collect(),
        }
    }
}

impl From<BatchMark> for event::BatchMark {
    /// That an attempt wrote nothing was not written down: any may have.
    fn from(old: BatchMark) -> event::BatchMark {
        let mut doubt = Doubt::default();
        if old.attempts > 0 {
            doubt.began(&old.replica, 0);
        }
        event::BatchMark {
            seq: old.seq,
            attempts: old.attempts,
            doubt,
            verdict: old.verdict,
        }
    }
}
