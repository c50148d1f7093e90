//! What a failed attempt means for its batch. Pure: the error in, the decision out.
//!
//! | the error says | and it proves | then |
//! |---|---|---|
//! | trouble that passes, or nothing we know | anything | the same bytes again |
//! | rows that no shard can take | nothing was written | refused: isolated by INSERT, then aborted or broken/ |
//! | rows that no shard can take | nothing (a view may have thrown it after rows were written) | the batch is held |
//! | too much for one INSERT | nothing was written, several INSERTs | refused: each alone |
//! | the table or the statement does not fit any more | nothing was written | undone while its client waits, else held |
//! | the table or the statement does not fit any more | nothing | the batch is held |
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

/// Decides about a batch of so many INSERTs, for a target that has such views.
pub fn next(error: &ShardError, inserts: usize, views: Views) -> Next {
    let text = told(error);
    let wrote = error.wrote(views);
    match (error.class(), wrote) {
        (Class::Passing | Class::Unclear, Wrote::Nothing) => {
            Next::OtherReplica(Outcome::Retry { error: text })
        }
        (Class::Passing | Class::Unclear, Wrote::Unknown) => {
            Next::SameReplica(Outcome::Retry { error: text })
        }
        (Class::Rows, Wrote::Nothing) => Next::Settled(refused(error)),
        (Class::Recut, Wrote::Nothing) if inserts > 1 => Next::Settled(refused(error)),
        (Class::Schema | Class::Statement, Wrote::Nothing) => Next::Settled(unfit(error)),
        (Class::Rows | Class::Recut | Class::Schema | Class::Statement, _) => {
            Next::Settled(Outcome::HoldBatch { error: text })
        }
        (Class::Destination, Wrote::Nothing) => Next::OtherReplica(Outcome::HoldDestination { error: text }),
        (Class::Destination, Wrote::Unknown) => Next::Settled(Outcome::HoldDestination { error: text }),
    }
}

/// Decides about a batch of which a replica got no byte, since it would not even say who it is.
pub fn not_asked(error: &ShardError) -> Next {
    let text = told(error);
    Next::OtherReplica(match error.class() {
        Class::Destination => Outcome::HoldDestination { error: text },
        Class::Passing | Class::Rows | Class::Recut | Class::Schema | Class::Statement | Class::Unclear => {
            Outcome::Retry { error: text }
        }
    })
}

/// What logs and listings may say: a server's words only where they are about tables and rights, never where
/// they may hold a row's values.
fn told(error: &ShardError) -> String {
    match error.class() {
        Class::Destination => error.to_string(),
        Class::Passing | Class::Rows | Class::Recut | Class::Schema | Class::Statement | Class::Unclear => {
            error.summary()
        }
    }
}

/// The shard's whole words go beside the rows and to the client whose rows they are; logs get the summary.
fn refused(error: &ShardError) -> Outcome {
    let (code, text) = words(error);
    Outcome::Refused { code, text }
}

fn unfit(error: &ShardError) -> Outcome {
    let (code, text) = words(error);
    let error = told(error);
    Outcome::Unfit { code, text, error }
}

fn words(error: &ShardError) -> (Option<i32>, String) {
    let code = error.server().and_then(|server| i32::try_from(server.code).ok());
    let text = error
        .server()
        .map_or_else(|| error.to_string(), |server| server.text.clone());
    (code, text)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use shard_client::{Failure, Sent, ServerError};

    use super::*;

    /// An answer of a server to a whole batch.
    fn answered(text: &str) -> ShardError {
        failed(
            Failure::Server(ServerError::read(500, None, text).unwrap()),
            Sent::Whole,
        )
    }

    fn failed(failure: Failure, sent: Sent) -> ShardError {
        ShardError {
            address: Arc::from("ch-1:8123"),
            sent,
            failure,
        }
    }

    #[track_caller]
    fn check(error: &ShardError, inserts: usize, expected: &str) {
        check_with(Views::Possible, error, inserts, expected);
    }

    #[track_caller]
    fn check_with(views: Views, error: &ShardError, inserts: usize, expected: &str) {
        let next = next(error, inserts, views);
        let (kind, outcome) = match &next {
            Next::OtherReplica(outcome) => ("other replica", outcome),
            Next::SameReplica(outcome) => ("same replica", outcome),
            Next::Settled(outcome) => ("settled", outcome),
        };
        let outcome = match outcome {
            Outcome::Acknowledged => "acknowledged",
            Outcome::Retry { .. } => "retry",
            Outcome::Refused { .. } => "refused",
            Outcome::Unfit { .. } => "unfit",
            Outcome::HoldBatch { .. } => "hold batch",
            Outcome::HoldDestination { .. } => "hold destination",
        };
        assert_eq!(format!("{kind}: {outcome}"), expected, "{error}");
    }

    #[test]
    fn a_refused_connection_lets_another_replica_take_the_batch() {
        let refused = Failure::Connect(std::io::ErrorKind::ConnectionRefused.into());
        check(&failed(refused, Sent::Nothing), 1, "other replica: retry");
    }

    #[test]
    fn a_cut_answer_is_asked_again_at_the_same_replica() {
        check(
            &failed(Failure::Cut("no answer".into()), Sent::Whole),
            1,
            "same replica: retry",
        );
    }

    #[test]
    fn rows_that_no_shard_can_take_are_refused() {
        let parse = "Code: 27. DB::Exception: Cannot parse input: expected ',' before: 'x': (at row 3)";
        check(&answered(parse), 1, "settled: refused");
        check(&answered(parse), 7, "settled: refused");
    }

    #[test]
    fn an_error_that_a_view_may_have_thrown_holds_the_batch() {
        let view = "Code: 53. DB::Exception: Type mismatch: while pushing to view default.v";
        check(&answered(view), 1, "settled: hold batch");
    }

    #[test]
    fn a_wrong_password_holds_the_destination_unless_another_replica_takes_it() {
        check(
            &answered("Code: 516. DB::Exception: default: Authentication failed"),
            1,
            "other replica: hold destination",
        );
    }

    #[test]
    fn a_missing_table_holds_the_destination_at_once_for_it_may_be_a_view_s() {
        check(
            &answered("Code: 60. DB::Exception: Table default.t doesn't exist."),
            1,
            "settled: hold destination",
        );
    }

    #[test]
    fn what_does_not_fit_the_table_proves_something_only_where_no_view_can_have_said_it() {
        let column = answered("Code: 16. DB::Exception: No such column c in table default.t");
        check(&column, 1, "settled: hold batch");
        check_with(Views::None, &column, 1, "settled: unfit");
        check(
            &answered("Code: 115. DB::Exception: Unknown setting x"),
            1,
            "settled: unfit",
        );
    }

    #[test]
    fn an_overloaded_or_unknown_answer_is_repeated_unchanged() {
        check(
            &answered("Code: 252. DB::Exception: Too many parts (300)."),
            1,
            "same replica: retry",
        );
        check(
            &answered("Code: 999999. DB::Exception: Something new."),
            1,
            "same replica: retry",
        );
    }

    #[test]
    fn too_many_partitions_are_taken_apart_by_insert_and_held_when_it_is_one() {
        let partitions =
            "Code: 252. DB::Exception: Too many partitions for single INSERT block (more than 100).";
        check(&answered(partitions), 3, "settled: refused");
        check(&answered(partitions), 1, "settled: hold batch");
    }
}
