//! A batch that some replica may have: whether a repeat would still be recognised there, and what is asked when it may not be.
//!
//! | the target | then |
//! |---|---|
//! | remembers at least twice the blocks and twice the time that have passed | the same bytes again |
//! | remembers less, or nothing at all | `system.processes` and `system.query_log` are asked for the attempts |
//! | … where one came to its end | it is delivered |
//! | … where one runs | wait for it |
//! | … where the only one in doubt failed with a proof that it wrote nothing | a first attempt like any other |
//! | … where nobody knows | `on_doubt`: by default held where the target remembers blocks, sent where it does not |
//!
//! Half the window is what others may write within a second of the attempt, which nobody counts, and between this look and the
//! repeat.

use std::time::Duration;

use config::OnDoubt;
use shard_client::{Attempts, Target, Views, Window, Wrote};
use spool::{Batch, MayHave};
use tokio::time::Instant;

use super::route::Route;
use crate::replica::ReplicaRuntime;

/// How long a replica may take to look into its log.
const LOG_TIMEOUT: Duration = Duration::from_secs(10);

/// A log that does not know an attempt yet is asked again for so long: servers write it every 7.5 seconds
/// (`flush_interval_milliseconds`), where they are not told to at once.
const LOG_PATIENCE: Duration = Duration::from_secs(10);

/// What is to be done with a batch that some replica may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The same bytes again: recognised, or wanted in spite of it.
    Repeat,
    /// It is there.
    Delivered,
    /// It is not there; nothing is in doubt any more.
    NothingWritten,
    /// It is not the time yet, for this reason.
    Wait(String),
    /// Nobody knows, and nothing may be repeated.
    Hold(String),
}

/// What the replicas' logs say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Delivered,
    Running,
    NothingWritten,
    /// A log knows no end of it.
    NotYet,
    /// There is no log to ask.
    Nothing,
    /// A replica that should know does not answer.
    Unreachable,
}

/// A batch with its last attempt, and since when its attempts are looked for in vain.
#[derive(Debug, Default)]
pub struct Search(Option<(Attempt, Instant)>);

/// A batch's number, and its attempt's: one that was repeated meanwhile is looked for anew.
type Attempt = (u64, u32);

impl Search {
    /// How long it has been looked for.
    fn lasts(&mut self, last: Attempt) -> Duration {
        let began = self.0.filter(|(of, _)| *of == last);
        let (_, since) = self.0.insert(began.unwrap_or_else(|| (last, Instant::now())));
        since.elapsed()
    }
}

/// What comes next for a batch that would be repeated at `replica`, whose `target` is so.
pub async fn standing(
    batch: &Batch,
    route: &Route,
    replica: &ReplicaRuntime,
    target: &Target,
    search: &mut Search,
) -> Standing {
    let (Some(holder), Some(age)) = (batch.may_have(), batch.in_doubt_for()) else {
        return Standing::Repeat;
    };
    let (database, table) = route.target_on(replica);
    if let Some(window) = target.window.filter(|window| has_time(*window, age)) {
        let asked = replica
            .wire()
            .blocks_since(database, table, target.is_replicated(), age);
        match asked.await {
            Ok(Some(blocks)) if has_blocks(window, blocks) => return Standing::Repeat,
            Ok(_) => {}
            Err(error) => return Standing::Wait(error.summary()),
        }
    }
    let told = ask_logs(batch, route, holder, age).await;
    let on_doubt = route.send().on_doubt.unwrap_or(match target.deduplicates() {
        true => OnDoubt::Hold,
        false => OnDoubt::Send,
    });
    decide(told, holder, on_doubt, target.deduplicates(), || {
        search.lasts((batch.seq(), batch.attempts()))
    })
}

/// How much of what a target remembers is relied upon: half of it.
pub fn relied_upon(window: Window) -> Window {
    Window {
        blocks: window.blocks / 2,
        seconds: window.seconds.map(|seconds| seconds / 2),
    }
}

fn has_time(window: Window, age: Duration) -> bool {
    let relied_upon = relied_upon(window).seconds;
    relied_upon.is_none_or(|seconds| age.as_secs() < seconds)
}

fn has_blocks(window: Window, blocks: u64) -> bool {
    blocks <= relied_upon(window).blocks
}

/// `searched` says how long the logs have been asked in vain.
fn decide(
    told: Told,
    holder: MayHave<'_>,
    on_doubt: OnDoubt,
    deduplicates: bool,
    searched: impl FnOnce() -> Duration,
) -> Standing {
    match (told, on_doubt) {
        (Told::Delivered, _) => Standing::Delivered,
        (Told::NothingWritten, _) => Standing::NothingWritten,
        (Told::Running, _) => Standing::Wait(format!("an attempt at it still runs at {holder}")),
        (Told::NotYet, _) if searched() < LOG_PATIENCE => Standing::Wait(format!(
            "the log of {holder} does not know the end of an attempt yet"
        )),
        // Its blocks do not fade while it is down, so there is time to ask.
        (Told::Unreachable, OnDoubt::Hold) if !deduplicates => {
            Standing::Wait(format!("{holder} may have it and does not answer"))
        }
        (Told::NotYet | Told::Nothing | Told::Unreachable, OnDoubt::Send) => Standing::Repeat,
        (Told::NotYet | Told::Nothing | Told::Unreachable, OnDoubt::Hold) => Standing::Hold(format!(
            "{holder} may have this batch, its log does not say so, and a repeat might not be recognised any more (on_doubt = \"hold\"): \
             look there for its rows, then `weir spool drop` or `retry` it"
        )),
    }
}

/// Every replica is asked: who may have it is one of them, or was.
async fn ask_logs(batch: &Batch, route: &Route, holder: MayHave<'_>, age: Duration) -> Told {
    let asked = route.replicas().iter().map(async |replica| {
        let attempts = tokio::time::timeout(LOG_TIMEOUT, replica.wire().attempts(&batch.name(), age)).await;
        let is_holder = match holder {
            MayHave::Replica(address) => replica.address() == address,
            MayHave::Any => true,
        };
        match attempts {
            Ok(Ok(Some(attempts))) => read(&attempts, batch, is_holder),
            Ok(Ok(None)) => Told::Nothing,
            Ok(Err(_)) | Err(_) if is_holder => Told::Unreachable,
            Ok(Err(_)) | Err(_) => Told::Nothing,
        }
    });
    let told = futures_util::future::join_all(asked).await;
    weightiest(&told)
}

/// What one replica's log says; only the one that may have the batch can prove that it has not.
fn read(attempts: &Attempts, batch: &Batch, is_holder: bool) -> Told {
    if attempts.running {
        return Told::Running;
    }
    // Fewer rows are the prefix of a cut body, which a server took for whole (`bare_frames`).
    if attempts
        .finished
        .is_some_and(|rows| rows == 0 || rows >= batch.rows())
    {
        return Told::Delivered;
    }
    if attempts.finished.is_some() || !is_holder {
        return Told::Nothing;
    }
    let last = format!("{}-{}", batch.name(), batch.attempts());
    let failed = attempts.failed.iter().find(|(query_id, _)| *query_id == last);
    match failed {
        Some((_, error))
            if batch.is_last_attempt_alone_in_doubt() && error.wrote(Views::Possible) == Wrote::Nothing =>
        {
            Told::NothingWritten
        }
        Some(_) => Told::Nothing,
        None => Told::NotYet,
    }
}

/// What one says that knows stands above what others do not know.
fn weightiest(told: &[Told]) -> Told {
    const BY_WEIGHT: [Told; 6] = [
        Told::Delivered,
        Told::Running,
        Told::NothingWritten,
        Told::NotYet,
        Told::Unreachable,
        Told::Nothing,
    ];
    let said = BY_WEIGHT.into_iter().find(|weighty| told.contains(weighty));
    said.unwrap_or(Told::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(blocks: u64, seconds: Option<u64>) -> Window {
        Window { blocks, seconds }
    }

    #[test]
    fn a_target_that_has_forgotten_less_than_half_recognises_a_repeat() {
        let day = Duration::from_hours(24);
        assert!(has_blocks(window(100, None), 50) && !has_blocks(window(100, None), 51));
        assert!(has_time(window(100, None), day));
        assert!(!has_time(window(100, Some(3600)), Duration::from_mins(30)));
        assert!(has_time(window(100, Some(3600)), Duration::from_mins(29)));
    }

    #[track_caller]
    fn check(told: Told, on_doubt: OnDoubt, deduplicates: bool, expected: &str) {
        let standing = decide(
            told,
            MayHave::Replica("ch-1:8123"),
            on_doubt,
            deduplicates,
            || LOG_PATIENCE,
        );
        let found = match standing {
            Standing::Repeat => "repeat".to_owned(),
            Standing::Delivered => "delivered".to_owned(),
            Standing::NothingWritten => "nothing written".to_owned(),
            Standing::Wait(why) => format!("wait: {why}"),
            Standing::Hold(why) => format!("hold: {why}"),
        };
        assert!(found.starts_with(expected), "{found}");
    }

    #[test]
    fn what_a_log_knows_decides_whatever_on_doubt_says() {
        for on_doubt in [OnDoubt::Hold, OnDoubt::Send] {
            check(Told::Delivered, on_doubt, true, "delivered");
            check(Told::NothingWritten, on_doubt, true, "nothing written");
            check(Told::Running, on_doubt, true, "wait: an attempt at it still runs");
        }
    }

    #[test]
    fn where_nobody_knows_on_doubt_decides() {
        for told in [Told::NotYet, Told::Nothing, Told::Unreachable] {
            check(told, OnDoubt::Send, true, "repeat");
            check(told, OnDoubt::Hold, true, "hold: ch-1:8123 may have this batch");
        }
        check(Told::Nothing, OnDoubt::Hold, false, "hold");
        check(
            Told::Unreachable,
            OnDoubt::Hold,
            false,
            "wait: ch-1:8123 may have it",
        );
    }

    #[test]
    fn a_log_is_given_the_time_to_be_written() {
        let standing = decide(Told::NotYet, MayHave::Any, OnDoubt::Send, true, || Duration::ZERO);
        assert!(matches!(standing, Standing::Wait(_)), "{standing:?}");
    }

    #[test]
    fn one_replica_that_knows_is_believed() {
        assert_eq!(
            weightiest(&[Told::Unreachable, Told::Nothing, Told::Delivered]),
            Told::Delivered
        );
        assert_eq!(weightiest(&[Told::Nothing, Told::Unreachable]), Told::Unreachable);
        assert_eq!(weightiest(&[]), Told::Nothing);
    }
}
