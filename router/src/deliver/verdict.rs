//! What a failed attempt means for its batch. Pure: the error in, the decision out.
//!
//! | the error says | and it proves | then |
//! |---|---|---|
//! | trouble that passes | anything | the same bytes again |
//! | nothing we know | nothing | the same bytes again, a few times; then the batch is held |
//! | rows that no shard can take | nothing was written | refused: isolated by INSERT, then aborted or broken/ |
//! | rows that no shard can take | nothing (a view may have thrown it after rows were written) | the batch is held |
//! | too much for one INSERT | nothing was written | each INSERT alone, then by rows |
//! | the table or the statement does not fit, and the statement alone is taken | nothing was written | its rows are at fault: refused |
//! | the table or the statement does not fit any more | nothing was written | undone while its client waits, else held |
//! | the table or the statement does not fit any more | nothing | the batch is held |
//! | the batch's own file is not what it was when it was written | anything | the batch is held: no other replica reads it better |
//! | no table, no rights, wrong password | anything | the destination is held |
//!
//! Codes alone do not tell a client's expression in VALUES (`nosuchfn('x')`, `(SELECT 1 FROM nosuch)`) from a table that has
//! changed. Today's servers say where it was thrown; of others the replica is asked to take the statement without rows, and where it
//! does, the batch once more: what was wrong may just have been mended. So a changed table costs two requests, and is not mistaken
//! for the rows of every INSERT in the batch.

use shard_client::{Class, Failure, Overload, ShardError, Views, Wrote};
use spool::{Outcome, Strain};

/// What comes after a failed attempt at one replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing was written and the replica is to blame: another one may take the batch at once.
    OtherReplica(Outcome),
    /// Nobody knows whether the rows are there: only a repeat at this replica is recognised.
    SameReplica(Outcome),
    /// Nobody knows, and the replica's words will hardly change: a few tries at this one, then enough of it.
    Unclear(String),
    /// Decided, whichever replica is asked.
    Settled(Outcome),
}

/// What a replica says of a batch's statement with no rows behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bare {
    /// It takes it: table, columns, format and settings fit.
    Taken,
    /// It refuses it.
    Refused,
    /// It does not answer.
    Silent,
    /// It was not asked: that would tell nothing.
    NotAsked,
}

/// Tries of a batch that a replica refuses in words that prove nothing: some ten seconds with the usual pauses. Without an
/// end one batch would stop its destination for ever.
const UNCLEAR_TRIES_MAX: u32 = 8;

/// The same for a body that nobody has looked into, whose client waits for the first word on it meanwhile.
const UNCHECKED_TRIES_MAX: u32 = 3;

/// Whether it matters if the replica takes the statement alone: where nothing was written, but rows may be at fault as well
/// as the table.
pub fn asks_for_bare(error: &ShardError, views: Views) -> bool {
    let may_be_rows = matches!(
        error.class(),
        Class::Schema | Class::Statement | Class::Destination
    );
    may_be_rows && error.server().is_some() && !error.refuses_login() && error.wrote(views) == Wrote::Nothing
}

/// What the replica has too much of, where other batches would help.
pub fn strain(error: &ShardError) -> Option<Strain> {
    match error.class() {
        Class::Overloaded(Overload::Parts) => Some(Strain::Number),
        Class::Overloaded(Overload::Memory | Overload::Time) => Some(Strain::Size),
        Class::Overloaded(Overload::Busy)
        | Class::Passing
        | Class::Rows
        | Class::Recut
        | Class::Schema
        | Class::Statement
        | Class::Destination
        | Class::Unclear => None,
    }
}

/// Decides about a batch for a target that has such views.
pub fn next(error: &ShardError, views: Views, bare: Bare) -> Next {
    let text = told(error);
    if matches!(error.failure, Failure::Payload(_)) {
        return Next::Settled(Outcome::HoldBatch { error: text });
    }
    let wrote = error.wrote(views);
    match (error.class(), wrote) {
        (Class::Passing | Class::Overloaded(_) | Class::Unclear, Wrote::Nothing) => {
            Next::OtherReplica(Outcome::Retry { error: text })
        }
        (Class::Passing | Class::Overloaded(_), Wrote::Unknown) => {
            Next::SameReplica(Outcome::Retry { error: text })
        }
        (Class::Unclear, Wrote::Unknown) => Next::Unclear(text),
        (Class::Rows, Wrote::Nothing) => Next::Settled(refused(error)),
        (Class::Recut, Wrote::Nothing) => {
            let (code, _) = words(error);
            Next::Settled(Outcome::TooMuch { code, error: text })
        }
        (Class::Schema | Class::Statement | Class::Destination, Wrote::Nothing) => unfit(error, text, bare),
        (Class::Rows | Class::Recut | Class::Schema | Class::Statement, _) => {
            Next::Settled(Outcome::HoldBatch { error: text })
        }
        (Class::Destination, Wrote::Unknown) => Next::Settled(Outcome::HoldDestination { error: text }),
    }
}

/// What the table or the statement is blamed for, if they are.
fn unfit(error: &ShardError, text: String, bare: Bare) -> Next {
    match (bare, error.class()) {
        (Bare::Taken, _) => Next::Settled(refused(error)),
        (_, Class::Destination) => Next::OtherReplica(Outcome::HoldDestination { error: text }),
        (Bare::Silent, _) => Next::OtherReplica(Outcome::Retry { error: text }),
        (Bare::Refused | Bare::NotAsked, _) => {
            let (code, words) = words(error);
            Next::Settled(Outcome::Unfit {
                code,
                text: words,
                error: text,
            })
        }
    }
}

/// What comes after so many unclear answers to a batch; none when it is tried again while its client waits.
pub fn after_unclear(error: &str, tries: u32, is_unchecked: bool) -> Option<Outcome> {
    let max = if is_unchecked {
        UNCHECKED_TRIES_MAX
    } else {
        UNCLEAR_TRIES_MAX
    };
    if tries >= max {
        let error = format!("after {tries} tries: {error}");
        return Some(Outcome::HoldBatch { error });
    }
    let error = error.to_owned();
    (!is_unchecked).then_some(Outcome::Retry { error })
}

/// Decides about a batch of which a replica got no byte, since it would not even say who it is.
pub fn not_asked(error: &ShardError) -> Next {
    let text = told(error);
    Next::OtherReplica(match error.class() == Class::Destination {
        true => Outcome::HoldDestination { error: text },
        false => Outcome::Retry { error: text },
    })
}

/// What logs and listings may say: a server's words only where they are about tables and rights, never where
/// they may hold a row's values.
fn told(error: &ShardError) -> String {
    match error.class() == Class::Destination {
        true => error.to_string(),
        false => error.summary(),
    }
}

/// The shard's whole words go beside the rows and to the client whose rows they are; logs get the summary.
fn refused(error: &ShardError) -> Outcome {
    let (code, text) = words(error);
    Outcome::Refused { code, text }
}

fn words(error: &ShardError) -> (Option<i32>, String) {
    let code = error.server().and_then(|server| i32::try_from(server.code).ok());
    let text = error
        .server()
        .map_or_else(|| error.to_string(), |server| server.text.clone());
    (code, text)
}

#[cfg(test)]
mod fates;
#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use shard_client::{PayloadError, Sent, ServerError};

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
    fn check(error: &ShardError, expected: &str) {
        check_with(Views::Possible, error, expected);
    }

    #[track_caller]
    fn check_with(views: Views, error: &ShardError, expected: &str) {
        check_next(&next(error, views, Bare::Refused), error, expected);
    }

    /// With what the replica says of the statement alone.
    #[track_caller]
    fn check_bare(bare: Bare, error: &ShardError, expected: &str) {
        assert!(asks_for_bare(error, Views::None), "{error}");
        check_next(&next(error, Views::None, bare), error, expected);
    }

    #[track_caller]
    fn check_next(next: &Next, error: &ShardError, expected: &str) {
        let (kind, outcome) = match next {
            Next::Unclear(_) => {
                assert_eq!("unclear", expected, "{error}");
                return;
            }
            Next::OtherReplica(outcome) => ("other replica", outcome),
            Next::SameReplica(outcome) => ("same replica", outcome),
            Next::Settled(outcome) => ("settled", outcome),
        };
        let outcome = match outcome {
            Outcome::Acknowledged => "acknowledged",
            Outcome::Retry { .. } => "retry",
            Outcome::Refused { .. } => "refused",
            Outcome::TooMuch { .. } => "too much",
            Outcome::Unfit { .. } => "unfit",
            Outcome::HoldBatch { .. } => "hold batch",
            Outcome::HoldDestination { .. } => "hold destination",
        };
        assert_eq!(format!("{kind}: {outcome}"), expected, "{error}");
    }

    #[test]
    fn a_refused_connection_lets_another_replica_take_the_batch() {
        let refused = Failure::Connect(std::io::ErrorKind::ConnectionRefused.into());
        check(&failed(refused, Sent::Nothing), "other replica: retry");
    }

    #[test]
    fn a_cut_answer_is_asked_again_at_the_same_replica() {
        check(
            &failed(Failure::Cut("no answer".into()), Sent::Whole),
            "same replica: retry",
        );
    }

    #[test]
    fn rows_that_no_shard_can_take_are_refused() {
        let parse = "Code: 27. DB::Exception: Cannot parse input: expected ',' before: 'x': (at row 3)";
        check(&answered(parse), "settled: refused");
    }

    #[test]
    fn an_error_that_a_view_may_have_thrown_holds_the_batch() {
        let view = "Code: 53. DB::Exception: Type mismatch: while pushing to view default.v";
        check(&answered(view), "settled: hold batch");
    }

    #[test]
    fn a_wrong_password_holds_the_destination_unless_another_replica_takes_it() {
        check(
            &answered("Code: 516. DB::Exception: default: Authentication failed"),
            "other replica: hold destination",
        );
    }

    #[test]
    fn a_refused_login_is_never_the_rows_fault() {
        let login = answered("Code: 516. DB::Exception: default: Authentication failed");
        assert!(!asks_for_bare(&login, Views::None));
    }

    #[test]
    fn a_missing_table_holds_the_destination_at_once_for_it_may_be_a_view_s() {
        check(
            &answered("Code: 60. DB::Exception: Table default.t doesn't exist."),
            "settled: hold destination",
        );
    }

    #[test]
    fn what_does_not_fit_the_table_proves_something_only_where_no_view_can_have_said_it() {
        let column = answered("Code: 16. DB::Exception: No such column c in table default.t");
        check(&column, "settled: hold batch");
        check_with(Views::None, &column, "settled: unfit");
        check(
            &answered("Code: 115. DB::Exception: Unknown setting x"),
            "settled: unfit",
        );
    }

    #[test]
    fn an_overloaded_or_unknown_answer_is_repeated_unchanged() {
        check(
            &answered("Code: 252. DB::Exception: Too many parts (300)."),
            "same replica: retry",
        );
        check(
            &answered("Code: 999999. DB::Exception: Something new."),
            "unclear",
        );
    }

    #[test]
    fn too_many_parts_ask_for_fewer_batches_and_too_little_memory_or_time_for_smaller_ones() {
        let strain =
            |code: u32, text: &str| strain(&answered(&format!("Code: {code}. DB::Exception: {text}")));
        assert_eq!(strain(252, "Too many parts (300)."), Some(Strain::Number));
        let partitions = "Too many partitions for single INSERT block (more than 100).";
        assert_eq!(strain(252, partitions), None);
        assert_eq!(strain(241, "Memory limit (total) exceeded"), Some(Strain::Size));
        assert_eq!(strain(159, "Timeout exceeded"), Some(Strain::Size));
        assert_eq!(strain(202, "Too many simultaneous queries"), None);
    }

    #[test]
    fn unclear_answers_are_enough_after_a_few_tries_and_sooner_for_a_body_that_nobody_looked_into() {
        let held = |outcome: &Option<Outcome>| matches!(outcome, Some(Outcome::HoldBatch { .. }));
        let first_held = |is_unchecked| (1..99).find(|tries| held(&after_unclear("e", *tries, is_unchecked)));
        assert_eq!(first_held(false), Some(UNCLEAR_TRIES_MAX));
        assert_eq!(first_held(true), Some(UNCHECKED_TRIES_MAX));
        let error = "e".to_owned();
        assert_eq!(after_unclear("e", 1, false), Some(Outcome::Retry { error }));
        assert_eq!(after_unclear("e", 1, true), None);
    }

    #[test]
    fn an_expression_that_a_server_says_it_read_is_its_insert_s_own_fault() {
        let reading = "While executing ValuesBlockInputFormat: data for INSERT was parsed from query";
        for code in [36, 42, 43, 46, 47, 48, 60, 62, 456, 1001] {
            let error = answered(&format!("Code: {code}. DB::Exception: Bad: {reading}"));
            check(&error, "settled: refused");
            assert!(!asks_for_bare(&error, Views::Possible), "{error}");
        }
    }

    #[test]
    fn where_the_statement_alone_is_taken_the_rows_are_at_fault_and_else_the_table() {
        let function = answered("Code: 46. DB::Exception: Unknown function nosuchfn");
        let table = answered("Code: 60. DB::Exception: Table d.nosuch doesn't exist");
        check_bare(Bare::Taken, &function, "settled: refused");
        check_bare(Bare::Taken, &table, "settled: refused");
        check_bare(Bare::Refused, &function, "settled: unfit");
        check_bare(Bare::Refused, &table, "other replica: hold destination");
        check_bare(Bare::Silent, &function, "other replica: retry");
        check_bare(Bare::NotAsked, &function, "settled: unfit");
        assert!(
            !asks_for_bare(&function, Views::Possible),
            "a view may have said it"
        );
    }

    #[test]
    fn a_wrong_value_of_a_setting_undoes_the_insert_whose_client_waits() {
        let setting = "Code: 36. DB::Exception: Unexpected value of DateTimeOverflowBehavior: 'foo'.";
        check_with(Views::None, &answered(setting), "settled: unfit");
    }

    #[test]
    fn too_many_partitions_are_taken_apart() {
        let partitions =
            "Code: 252. DB::Exception: Too many partitions for single INSERT block (more than 100).";
        check(&answered(partitions), "settled: too much");
        let in_view = format!("{partitions} while pushing to view default.v");
        check(&answered(&in_view), "settled: hold batch");
    }

    #[test]
    fn a_batch_whose_file_has_changed_is_held_and_not_tried_for_ever() {
        let changed = PayloadError::Changed {
            announced: 1,
            passed: 2,
        };
        check(
            &failed(Failure::Payload(changed), Sent::Part { ends_itself: true }),
            "settled: hold batch",
        );
    }
}
