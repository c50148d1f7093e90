//! The life of an INSERT: statement → table → schema → split → stage → commit → answer.
//!
//! Nothing reaches the journal before the whole body was read and is sound; nothing after the commit can be
//! undone by the client.

pub mod client_tokens;
pub mod defaults;
pub mod foreground;
pub mod plan;
pub mod retries;
pub mod select;
mod setting_values;
pub mod settings;
pub mod shapes;
pub mod split;
mod stage;
mod versions;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use spool::{
    Accepted, CommitError, CommitHead, InsertId, PendingOutcome, PendingWait, QueueError, Spool, StageError,
    Watching,
};
use tokio::time::Instant;

use crate::app::App;
use crate::exception::{Exception, code};
use crate::http::answer::InsertSummary;
use crate::routing::RoutedTable;
use foreground::{Ended, Foreground};
use plan::Plan;
use select::Rows;
use shapes::Turn;
use stage::Staging;

/// Bodies up to here are split where their request is served; larger ones on blocking threads, a window at a
/// time.
const INLINE_BODY_BYTES: u64 = 256 * 1024;

/// Bytes of a large body that are split at once.
const WINDOW_BYTES: usize = 1024 * 1024;

/// Between two tries to record the end of an INSERT's wait, while the disk has no room.
const RECORD_PAUSE: Duration = Duration::from_millis(100);

/// How an INSERT ended that was accepted.
#[derive(Debug)]
pub struct Inserted {
    /// What the answer says.
    pub summary: InsertSummary,
    /// What it says instead where a shard refused the rows without proof that it wrote none.
    pub refusal: Option<Exception>,
}

/// What the wait for a shard came to.
enum Waited {
    /// The answer is 200; why it did not wait to the end, if it did not.
    Fine(Option<String>),
    /// The rows are accepted and set aside, and the client is told.
    SetAside(Exception),
}

/// Who asks and how, beside the statement itself.
#[derive(Debug, Clone)]
pub struct Asker {
    /// The user's name.
    pub user: String,
    /// The client's own query id; empty where it gave none.
    pub query_id: String,
    /// When the request's head was read.
    pub since: std::time::Instant,
    /// What an `INSERT … SELECT` says, hashed.
    pub selected: Option<u128>,
    /// What its answer waits for beyond its acceptance.
    pub foreground: Option<Foreground>,
}

/// Reads the body, splits it, commits it, and waits for what the answer has to wait for. A retry of an INSERT that was
/// accepted before is answered as that was, and adds nothing.
pub async fn insert(
    app: &Arc<App>,
    mut plan: Plan,
    asker: Asker,
    body: &mut impl Rows,
) -> Result<Inserted, Exception> {
    let table = plan.table.clone();
    let windows = retries::windows(app, &table, &asker);
    if !retries::needs_body(app, &table, &asker, plan.token.as_deref()) {
        plan.body_hash = None;
    }
    let mut staging = read_and_stage(app, plan, body).await?;
    if staging.rows() == 0 {
        let summary = InsertSummary {
            elapsed_ns: elapsed_ns(asker.since),
            ..InsertSummary::default()
        };
        return Ok(Inserted {
            summary,
            refusal: None,
        });
    }
    let signature = retries::signature(&table, &asker, staging.token(), staging.body_hash());
    if let Some(first) = retries::settled(app, &signature, &windows) {
        return Ok(answered_before(app, &table, &first, &asker).await);
    }
    // Others need not wait for the memory of one whose rows are on the disk.
    staging.give_back_part();
    app.admit_shares(&staging.destinations()).await?;
    let foreground = asker.foreground;
    let since = asker.since;
    // On its own from here on: a client that goes away must not leave an accepted INSERT pending with nobody
    // to end its wait.
    let accepted = tokio::spawn(commit_and_wait(app.clone(), table.clone(), staging, asker)).await;
    let committed = accepted.unwrap_or_else(|error| {
        Err(Exception::internal(format!(
            "Committing an INSERT failed: {error}"
        )))
    })?;
    let mut inserted = committed.inserted;
    // Not with the above: a client that goes away waits no longer, and nothing of its INSERT hangs on that.
    if let (Some(foreground), None) = (foreground, &inserted.refusal) {
        wait_for_all(
            app,
            &table,
            &mut inserted,
            (committed.insert, committed.watching),
            &foreground,
        )
        .await;
        inserted.summary.elapsed_ns = elapsed_ns(since);
    }
    Ok(inserted)
}

/// An INSERT that is accepted, with what its foreground waits by.
struct Committed {
    inserted: Inserted,
    insert: InsertId,
    watching: Option<Watching>,
}

/// What the retry of an accepted INSERT is told. In the foreground it waits for what the first one still lacks.
pub async fn answered_before(app: &App, table: &RoutedTable, first: &Accepted, asker: &Asker) -> Inserted {
    let mut inserted = Inserted {
        summary: summary_of(first),
        refusal: None,
    };
    if let Some(foreground) = &asker.foreground {
        wait_for_all(app, table, &mut inserted, (first.insert, None), foreground).await;
    }
    inserted.summary.elapsed_ns = elapsed_ns(asker.since);
    inserted
}

/// The answer waits until all shards have the rows. A retry's watch is found again.
async fn wait_for_all(
    app: &App,
    table: &RoutedTable,
    inserted: &mut Inserted,
    (insert, watching): (InsertId, Option<Watching>),
    foreground: &Foreground,
) {
    let watching = match watching {
        Some(watching) => Ok(Some(watching)),
        None => app.spool.watch(insert, Some(&table.name)).await,
    };
    let ended = match watching {
        Ok(Some(watching)) => {
            watching.hurry();
            foreground.wait(app, table, &watching).await
        }
        Ok(None) => Ended::Failed(foreground::unknown(&table.name, "its receipt is no longer known")),
        Err(error) => Ended::Failed(foreground::unknown(&table.name, &error.to_string())),
    };
    match ended {
        Ended::Delivered => inserted.summary.waiting = None,
        Ended::Fallback(why) => inserted.summary.waiting = Some(why),
        Ended::Failed(exception) => inserted.refusal = Some(exception),
    }
}

/// What is known when the INSERT is durable.
fn summary_of(accepted: &Accepted) -> InsertSummary {
    InsertSummary {
        written_rows: accepted.rows,
        written_bytes: accepted.raw_bytes,
        receipt: Some(accepted.insert.to_string()),
        is_duplicate: accepted.is_duplicate,
        ..InsertSummary::default()
    }
}

async fn commit_and_wait(
    app: Arc<App>,
    table: Arc<RoutedTable>,
    staging: Staging,
    asker: Asker,
) -> Result<Committed, Exception> {
    let deadline = Instant::now() + table.config.send.local_insert_timeout;
    let turn = match staging.shape_key() {
        Some(_) if staging.is_unchecked() => Turn::Unchecked,
        Some(key) => app.shapes.turn(key, deadline).await,
        None => Turn::Proven,
    };
    let mut accepted = commit(&app, &table, staging, &asker, &turn).await?;
    let mut summary = summary_of(&accepted);
    let (insert, watching) = (accepted.insert, accepted.watching.take());
    let waited = wait_for_shard(&app, &table, accepted, &turn, deadline).await?;
    let refusal = match waited {
        Waited::Fine(waiting) => {
            summary.waiting = waiting;
            None
        }
        Waited::SetAside(exception) => Some(exception),
    };
    summary.elapsed_ns = elapsed_ns(asker.since);
    Ok(Committed {
        inserted: Inserted { summary, refusal },
        insert,
        watching,
    })
}

fn elapsed_ns(since: std::time::Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// The whole body through the splitter. An error drops what was staged, files included.
async fn read_and_stage(app: &App, plan: Plan, body: &mut impl Rows) -> Result<Staging, Exception> {
    let mut staging = Staging::new(&app.spool, plan);
    let mut window = BytesMut::new();
    while let Some(chunk) = body.next().await? {
        let body_bytes = staging.body_bytes() + (window.len() + chunk.len()) as u64;
        let announced = body.announced_bytes().unwrap_or(0);
        app.budget
            .cover(staging.part(), body_bytes.max(announced))
            .await?;
        if body_bytes <= INLINE_BODY_BYTES {
            staging.push(&chunk)?;
            continue;
        }
        window.extend_from_slice(&chunk);
        if window.len() >= WINDOW_BYTES {
            staging = push_elsewhere(staging, window.split().freeze()).await?;
        }
    }
    if staging.body_bytes() <= INLINE_BODY_BYTES && window.is_empty() {
        staging.finish()?;
        return Ok(staging);
    }
    elsewhere(move || {
        staging.push(&window)?;
        staging.finish()?;
        Ok(staging)
    })
    .await
}

async fn push_elsewhere(mut staging: Staging, window: Bytes) -> Result<Staging, Exception> {
    elsewhere(move || staging.push(&window).map(|()| staging)).await
}

/// Work that may block (disk) or take long (a window of rows) stays off the runtime's threads.
async fn elsewhere<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Exception> + Send + 'static,
) -> Result<T, Exception> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Exception::internal(format!(
            "Splitting an INSERT failed: {error}"
        ))),
    }
}

async fn commit(
    app: &App,
    table: &RoutedTable,
    staging: Staging,
    asker: &Asker,
    turn: &Turn<'_>,
) -> Result<Accepted, Exception> {
    let probe = match turn {
        Turn::Probe(_) | Turn::Unchecked => staging.probe_targets(),
        Turn::Proven | Turn::Unknown(_) => Vec::new(),
    };
    let head = CommitHead {
        user: asker.user.clone(),
        query_id: asker.query_id.clone(),
        body_hash: asker.selected.or(staging.body_hash()),
        // Asked again: a replica may have told since how the target takes a repeat.
        retry_windows: retries::windows(app, table, asker),
        probe,
        watch: asker.foreground.is_some(),
    };
    let began = Instant::now();
    // The part of the budget is given back when the spool has the rows, not before.
    let (staged, _part) = staging.into_staged()?;
    match app.spool.commit(staged, head).await {
        Ok(accepted) => {
            app.metrics.committed(began.elapsed());
            Ok(accepted)
        }
        // Whether the record is on the disk only a restart can tell, so there is no answer: any would promise
        // something. The process ends by itself (`App::poisoned`), and with it the connection.
        Err(CommitError::Poisoned(_)) => std::future::pending().await,
        Err(error) => Err(commit_failed(&table.name, &error)),
    }
}

fn commit_failed(table: &str, error: &CommitError) -> Exception {
    let message = format!("INSERT into {table} was not accepted: {error}; nothing of it will be delivered.");
    match error {
        CommitError::Full { .. } | CommitError::Overloaded { .. } | CommitError::NoSpace(_) => {
            Exception::try_again(code::TOO_MANY_SIMULTANEOUS_QUERIES, 10, message)
        }
        CommitError::Closed | CommitError::Failed(_) | CommitError::Poisoned(_) => {
            Exception::try_again(code::TOO_MANY_SIMULTANEOUS_QUERIES, 1, message)
        }
        CommitError::TooLarge(_) => Exception::bad_input(code::BAD_ARGUMENTS, message),
    }
}

impl From<StageError> for Exception {
    fn from(error: StageError) -> Self {
        match error {
            error if error.is_want_of_room() => {
                let message = format!(
                    "{error}: new INSERTs wait until there is room. Nothing of this one was accepted."
                );
                Self::try_again(code::TOO_MANY_SIMULTANEOUS_QUERIES, 10, message)
            }
            StageError::File(_) => Self::try_again(code::NOT_ENOUGH_SPACE, 10, error.to_string()),
            StageError::PieceTooLarge { .. } => Self::bad_input(code::BAD_ARGUMENTS, error.to_string()),
            StageError::NoRoom { .. }
            | StageError::RunTooLarge { .. }
            | StageError::NoShard { .. }
            | StageError::Frame(_) => Self::internal(error.to_string()),
        }
    }
}

/// The answer waits for the local replica, or for what a shard says of the first rows of a new shape, at most
/// `local_insert_timeout`; why it did not wait to the end, if it did not.
async fn wait_for_shard(
    app: &App,
    table: &RoutedTable,
    accepted: Accepted,
    turn: &Turn<'_>,
    deadline: Instant,
) -> Result<Waited, Exception> {
    let Some(mut pending) = accepted.pending else {
        // A retry has nothing to learn of its shape.
        let why = (!accepted.is_duplicate).then(|| not_probed(turn)).flatten();
        return Ok(Waited::Fine(why));
    };
    let kind = if pending.is_probe() { "shape" } else { "local" };
    let outcome = match tokio::time::timeout_at(deadline, pending.outcome()).await {
        Ok(outcome) => outcome,
        Err(_) => end_wait(&app.spool, accepted.insert, &mut pending).await,
    };
    match outcome {
        PendingOutcome::Delivered => Ok(Waited::Fine(None)),
        PendingOutcome::SetAside(why) if matches!(turn, Turn::Unchecked) => {
            Ok(Waited::SetAside(set_aside(&table.name, &why)))
        }
        PendingOutcome::Waiting(why) | PendingOutcome::SetAside(why) => {
            if let Turn::Probe(probe) = turn {
                probe.unanswered();
            }
            Ok(Waited::Fine(Some(format!("{kind}: {why}"))))
        }
        PendingOutcome::Aborted(refusal) => Err(refused_by_shard(&table.name, &refusal)),
    }
}

/// Ends the wait of an INSERT whose client has waited long enough. It may be delivered or undone this very moment: the spool has
/// the last word, and until that is on disk the INSERT may still be undone, so that its client cannot be told that it is kept.
pub async fn end_wait(spool: &Spool, insert: InsertId, pending: &mut PendingWait) -> PendingOutcome {
    match record_end(spool, insert, "local_insert_timeout ran out").await {
        Some(outcome) => outcome,
        None => pending.outcome().await,
    }
}

/// Records that nobody waits for an INSERT any more, as soon as the disk has room for it. None for one that came to its end
/// before: that end is what counts.
pub async fn record_end(spool: &Spool, insert: InsertId, why: &str) -> Option<PendingOutcome> {
    loop {
        match spool.go(insert, why).await {
            Ok(outcome) => return Some(outcome),
            Err(QueueError::NotPending(_)) => return None,
            // As for a commit in a failed group: what is true only a restart can tell.
            Err(QueueError::Poisoned(_) | QueueError::Closed) => return std::future::pending().await,
            Err(error) => {
                tracing::warn!(%insert, %error, "the end of an INSERT's wait is not recorded yet");
                tokio::time::sleep(RECORD_PAUSE).await;
            }
        }
    }
}

/// Why no shard was asked about a new shape; none for one that is known.
fn not_probed(turn: &Turn<'_>) -> Option<String> {
    match turn {
        Turn::Proven => None,
        Turn::Unknown(why) => Some(format!("shape: {why}")),
        Turn::Probe(_) | Turn::Unchecked => {
            Some("shape: no replica of the shards that get rows is up".to_owned())
        }
    }
}

/// Of a body that nobody has looked into a refusal is most likely about the body. The rows are kept all the same, since some
/// may be written.
fn set_aside(table: &str, why: &str) -> Exception {
    Exception {
        code: code::UNKNOWN_STATUS_OF_INSERT,
        message: format!(
            "A shard of {table} refused the rows without proof that it wrote none: {why}. They are accepted and set aside, \
             to be looked at (`weir spool ls --files`): do not send them again."
        ),
        status: http::StatusCode::INTERNAL_SERVER_ERROR,
        retry_after: None,
    }
}

fn refused_by_shard(table: &str, refusal: &spool::ShardRefusal) -> Exception {
    Exception::bad_input(
        refusal.code.unwrap_or(code::INCORRECT_DATA),
        format!(
            "A shard of {table} refused the rows, and nothing of the INSERT was written anywhere: {}",
            refusal.text
        ),
    )
}
