//! What a failed attempt means for its batch. Pure: the error in, the decision out.
//!
//! | the error says | and it proves | then |
//! |---|---|---|
//! | trouble that passes, or nothing we know | anything | the same bytes again |
//! | rows that no shard can take | nothing was written | refused: isolated by INSERT, then aborted or broken/ |
//! | rows that no shard can take | nothing (a view may have thrown it after rows were written) | the batch is held |
//! | too much for one INSERT | nothing was written, several INSERTs | refused: each alone |
//! | the table or the statement does not fit any more | anything | the batch is held |
//! | no table, no rights, wrong password | anything | the destination is held |

use shard_client::{Class, ShardError, Views, Wrote};
use spool::Outcome;

/// What comes after a failed attempt at one replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing was written and the replica is to blame: another one may take the batch at once.
    OtherReplica(Outcome),
    /// Nobody knows whether the rows are there: only a repeat at this replica is recognised.
    SameReplica(Outcome),
    /// Decided, whichever replica is asked.
    Settled(Outcome),
}

/// Decides about a batch of so many INSERTs.
pub fn next(error: &ShardError, inserts: usize) -> Next {
    let text = error.summary();
    // Nobody has looked at the target's views here: an error that may be a view's proves nothing.
    let wrote = error.wrote(Views::Possible);
    match (error.class(), wrote) {
        (Class::Passing | Class::Unclear, Wrote::Nothing) => {
            Next::OtherReplica(Outcome::Retry { error: text })
        }
        (Class::Passing | Class::Unclear, Wrote::Unknown) => {
            Next::SameReplica(Outcome::Retry { error: text })
        }
        (Class::Rows, Wrote::Nothing) => Next::Settled(refused(error)),
        (Class::Recut, Wrote::Nothing) if inserts > 1 => Next::Settled(refused(error)),
        (Class::Rows | Class::Recut | Class::Schema | Class::Statement, _) => {
            Next::Settled(Outcome::HoldBatch { error: text })
        }
        (Class::Destination, Wrote::Nothing) => Next::OtherReplica(Outcome::HoldDestination { error: text }),
        (Class::Destination, Wrote::Unknown) => Next::Settled(Outcome::HoldDestination { error: text }),
    }
}

/// The shard's whole words go beside the rows and to the client whose rows they are; logs get the summary.
fn refused(error: &ShardError) -> Outcome {
    let code = error.server().and_then(|server| i32::try_from(server.code).ok());
    let text = error
        .server()
        .map_or_else(|| error.to_string(), |server| server.text.clone());
    Outcome::Refused { code, text }
}
