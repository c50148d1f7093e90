//! Delivery: one sender a destination takes its batches in order and brings each to a replica.
//!
//! ```text
//! spool.next → choose a replica → spool.attempt (synced) → the file's bytes → the answer → verdict (pure) →
//! spool.settle
//! ```
//!
//! A sender knows one destination. What it may send to is looked up for every batch, so that a reload reaches
//! it between two batches.
//! A batch that waits for a retry holds back the next; with `ordered = false` a destination has several senders, and only the
//! first of them ([`Rank`]) tries again what was tried. A held destination is probed with its first batch
//! every `max_sleep_time`.

mod divide;
pub mod doubt;
pub mod file_body;
pub mod request;
pub mod route;
pub mod verdict;

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use shard_client::{Facts, InsertRequest, Inserted, ShardError, Target, Views, Wrote};
use spool::{Batch, Closed, Destination, Outcome, QueueError, Settled, Turn};
use tokio::time::Instant;

use crate::app::App;
use crate::chance;
use crate::identity::{Identity, NotMet};
use crate::insert::shapes::ShapeKey;
use crate::logs::Repeats;
use crate::replica::ReplicaRuntime;
use crate::tasks::Stop;
use doubt::{Search, Standing};
use route::Route;
use verdict::{Bare, Next};

/// A destination without a table or shard in the configuration is looked at again after this long: a reload
/// may bring it back.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(1);

/// A replica that does not say soon which views a target has is taken to have one; the same patience is for what it says of a
/// statement without rows.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(1);

/// Between two tries while a client waits to hear what a shard says of a body that nobody has looked into.
const UNCHECKED_PAUSE: Duration = Duration::from_millis(100);

/// How often a held destination without a table in the configuration is looked at.
const PROBE_PAUSE: Duration = Duration::from_secs(30);

/// Which of a destination's senders it is, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank(pub usize);

impl Rank {
    /// Whose turn is whose among so many senders; `None` where this one is too many.
    fn turn(self, senders: usize) -> Option<Turn> {
        match self {
            Rank(0) if senders <= 1 => Some(Turn::InOrder),
            Rank(0) => Some(Turn::Eldest),
            Rank(rank) if rank < senders => Some(Turn::Untried { tried_max: senders }),
            Rank(_) => None,
        }
    }
}

/// Sends batches of one destination until it is asked to stop.
pub async fn send_batches(app: Arc<App>, destination: Destination, rank: Rank, mut stop: Stop) {
    let mut sender = Sender {
        rank,
        backoff: Backoff::default(),
        repeats: Repeats::default(),
        unclear: (0, 0),
        search: Search::default(),
        app,
        destination,
    };
    loop {
        // A destination may be held from the last run: then `next` gives nothing until a probe has resumed it.
        let batch = tokio::select! {
            biased;
            () = stop.requested() => return,
            batch = sender.next() => batch,
            () = tokio::time::sleep(sender.probe_pause()) => {
                sender.probe_when_held().await;
                continue;
            }
        };
        let pause = match batch {
            Ok(batch) => sender.deliver(batch).await,
            Err(Closed) => return,
        };
        tokio::select! {
            biased;
            () = stop.requested() => return,
            () = tokio::time::sleep(pause) => {}
            // A replica came back, a configuration or an operator changed something: no need to rest on.
            () = sender.app.nudge.notified() => sender.backoff.reset(),
        }
        sender.probe_when_held().await;
    }
}

struct Sender {
    rank: Rank,
    app: Arc<App>,
    destination: Destination,
    backoff: Backoff,
    repeats: Repeats,
    /// The batch in hand, and how many answers to it proved nothing.
    unclear: (u64, u32),
    /// What became of an earlier attempt at it, where that is looked for.
    search: Search,
}

/// What one round over the replicas came to.
enum Tried {
    Ended(Outcome),
    /// A replica's words that prove nothing.
    Unclear(String),
}

/// How an attempt failed.
struct Failed {
    next: Next,
    /// What the replica said of the statement alone.
    bare: Bare,
}

impl From<Next> for Failed {
    fn from(next: Next) -> Failed {
        let bare = Bare::NotAsked;
        Failed { next, bare }
    }
}

impl Sender {
    /// The next batch, once it may be sent. Sends may be stopped while one is waited for: then it is given back.
    async fn next(&self) -> Result<Batch, Closed> {
        let (app, table) = (&self.app, &self.destination.table);
        let is_stopped = || app.sends.is_stopped(table) && !app.routing().is_local(&self.destination);
        loop {
            if is_stopped() {
                app.sends.may_go(table).await;
            }
            let senders = app.routing().senders_of(&self.destination);
            let Some(turn) = self.rank.turn(senders) else {
                tokio::time::sleep(ORPHAN_PATIENCE).await;
                continue;
            };
            let batch = app.spool.next_in(&self.destination, turn).await?;
            if !is_stopped() {
                return Ok(batch);
            }
        }
    }

    /// Brings one batch as far as it gets now; returns how long to rest before the next.
    async fn deliver(&mut self, mut batch: Batch) -> Duration {
        let Some(route) = self
            .app
            .routing()
            .route(&self.destination, &batch.shape().cluster)
        else {
            return ORPHAN_PATIENCE;
        };
        let outcome = self.outcome_of(&mut batch, &route).await;
        self.tell(&batch, &outcome);
        let seq = batch.seq();
        let settled = self.settle(&batch, outcome).await;
        drop(batch);
        match settled {
            Ok(Settled::Waits) => self.backoff.next(&route),
            Ok(Settled::DestinationHeld) => route.send().max_sleep_time,
            Ok(settled) => {
                self.tell_settled(seq, &settled);
                self.backoff.reset();
                Duration::ZERO
            }
            Err(error) => {
                tracing::error!(destination = %self.destination, %error, "an outcome could not be recorded");
                self.backoff.next(&route)
            }
        }
    }

    /// Records the outcome. One INSERT that is too much is cut by rows.
    async fn settle(&self, batch: &Batch, outcome: Outcome) -> Result<Settled, QueueError> {
        let spool = &self.app.spool;
        let too_much = match &outcome {
            Outcome::TooMuch { error, .. } => error.clone(),
            _ => return spool.settle(batch, outcome).await,
        };
        match spool.settle(batch, outcome).await? {
            Settled::ToBeDivided => divide::in_two(spool, batch, &too_much).await,
            settled => Ok(settled),
        }
    }

    /// What is to be recorded of the batch. A body that nobody has looked into is tried again at once after an unclear answer:
    /// its client waits, and must not be told that all is well.
    async fn outcome_of(&mut self, batch: &mut Batch, route: &Route) -> Outcome {
        let is_unchecked = !request::may_be_empty(&batch.shape().format);
        loop {
            let error = match self.try_replicas(batch, route).await {
                Tried::Ended(outcome) => return outcome,
                Tried::Unclear(error) => error,
            };
            match verdict::after_unclear(&error, self.unclear_answer(batch.seq()), is_unchecked) {
                Some(outcome) => return outcome,
                None => tokio::time::sleep(UNCHECKED_PAUSE).await,
            }
        }
    }

    /// Counts an answer to the batch that proves nothing.
    fn unclear_answer(&mut self, seq: u64) -> u32 {
        let (of, before) = self.unclear;
        self.unclear = (seq, if of == seq { before + 1 } else { 1 });
        self.unclear.1
    }

    /// How often a held destination is looked at.
    fn probe_pause(&self) -> Duration {
        let routing = self.app.routing();
        let table = routing
            .tables()
            .find(|table| table.name == self.destination.table);
        table.map_or(PROBE_PAUSE, |table| table.config.send.max_sleep_time)
    }

    /// Tries the replicas in turn as long as nothing was written; the last one's outcome holds.
    async fn try_replicas(&mut self, batch: &mut Batch, route: &Route) -> Tried {
        if batch.may_have().is_some() {
            self.meet_all(route).await;
        }
        let replicas = match route.order(batch.may_have(), &self.app.identities) {
            Ok(replicas) => replicas,
            Err(error) => return Tried::Ended(Outcome::HoldBatch { error }),
        };
        let mut outcome = Outcome::Retry {
            error: "no replica of the shard is known to be up".to_owned(),
        };
        for replica in replicas {
            match self.attempt(batch, route, &replica).await {
                Ok(()) => return Tried::Ended(Outcome::Acknowledged),
                Err(Next::OtherReplica(tried)) => outcome = tried,
                Err(Next::SameReplica(tried)) => return Tried::Ended(tried),
                Err(Next::Unclear(error)) => return Tried::Unclear(error),
                Err(Next::Settled(decided)) => return Tried::Ended(decided),
            }
        }
        Tried::Ended(outcome)
    }

    /// One attempt at one replica, and a second where it refused the batch and took the statement alone: a table that was missing
    /// may be there since, a login in order again. Only rows that are refused then too are at fault.
    async fn attempt(
        &mut self,
        batch: &mut Batch,
        route: &Route,
        replica: &ReplicaRuntime,
    ) -> Result<(), Next> {
        match self.attempt_once(batch, route, replica).await {
            Err(Failed {
                bare: Bare::Taken, ..
            }) => {}
            ended => return ended.map_err(|failed| failed.next),
        }
        let again = self.attempt_once(batch, route, replica).await;
        again.map_err(|failed| failed.next)
    }

    /// Recorded before the first byte is sent.
    async fn attempt_once(
        &mut self,
        batch: &mut Batch,
        route: &Route,
        replica: &ReplicaRuntime,
    ) -> Result<(), Failed> {
        let facts = replica.facts().await;
        replica.observed(&facts);
        let facts = facts.map_err(|error| verdict::not_asked(&error))?;
        if let Some(error) = request::cannot_read(batch.shape(), &facts) {
            let error = format!("{}: {error}", replica.address());
            return Err(Next::OtherReplica(Outcome::HoldDestination { error }).into());
        }
        if let Some(target) = self.meet(route, replica, &facts).await?
            && self.is_there(batch, route, replica, &target).await?
        {
            self.shape_is_good(batch, route);
            return Ok(());
        }
        let _place = replica.place().await;
        let number = self.app.spool.attempt(batch, replica.address()).await;
        let number = number.map_err(|error| {
            Next::Settled(Outcome::Retry {
                error: error.to_string(),
            })
        })?;
        let began = Instant::now();
        let request = route.insert_request(batch, number, replica, &facts);
        let result = replica.wire().insert(request, Some(batch)).await;
        replica.observed(&result);
        match result {
            Ok(inserted) => {
                replica.took_a_batch();
                self.delivered(batch, replica, &inserted, began.elapsed());
                // Before the client of a probe is told, whose next INSERT must not be one.
                self.shape_is_good(batch, route);
                Ok(())
            }
            Err(error) => {
                if let Some(strain) = verdict::strain(&error) {
                    self.app.spool.strained(&self.destination, strain);
                }
                if error.hints_schema_change() {
                    self.app.refresh_schema(route.table());
                    let (database, table) = route.target_on(replica);
                    replica.look_again(database, table);
                }
                let views = views_behind(&error, route, replica).await;
                if error.wrote(views) == Wrote::Nothing {
                    batch.disproved();
                }
                let asks =
                    verdict::asks_for_bare(&error, views) && request::may_be_empty(&batch.shape().format);
                let bare = match asks {
                    true => {
                        let request = route.insert_request(batch, number, replica, &facts);
                        ask_bare(replica, request::without_rows(request)).await
                    }
                    false => Bare::NotAsked,
                };
                let next = verdict::next(&error, views, bare);
                Err(Failed { next, bare })
            }
        }
    }

    /// Which replicas recognise the blocks of a batch in doubt is known once each was met. One that does not answer soon has
    /// no say.
    async fn meet_all(&self, route: &Route) {
        for replica in route.replicas() {
            if self.app.identities.knows(&route.place(replica.address())) {
                continue;
            }
            let meeting = async {
                let facts = replica.facts().await.ok()?;
                self.meet(route, replica, &facts).await.ok()
            };
            let _ = tokio::time::timeout(QUESTION_TIMEOUT, meeting).await;
        }
    }

    /// Whether a batch that some replica may have turns out to be there. Where it may be and a repeat is not safe, there is no
    /// attempt.
    async fn is_there(
        &mut self,
        batch: &mut Batch,
        route: &Route,
        replica: &ReplicaRuntime,
        target: &Target,
    ) -> Result<bool, Next> {
        match doubt::standing(batch, route, replica, target, &mut self.search).await {
            Standing::Repeat => Ok(false),
            Standing::NothingWritten => {
                batch.disproved();
                Ok(false)
            }
            Standing::Delivered => {
                self.app.metrics.delivered(&self.destination, batch.rows());
                tracing::info!(destination = %self.destination, batch = batch.seq(), rows = batch.rows(), "an attempt whose answer was lost is known to have been executed");
                Ok(true)
            }
            Standing::Wait(error) => Err(Next::SameReplica(Outcome::Retry { error })),
            Standing::Hold(error) => Err(Next::Settled(Outcome::HoldBatch { error })),
        }
    }

    /// A replica shows who it is before anything is written to it, and what the target is to it. One without the table says so
    /// itself.
    async fn meet(
        &self,
        route: &Route,
        replica: &ReplicaRuntime,
        facts: &Facts,
    ) -> Result<Option<Arc<Target>>, Next> {
        let place = route.place(replica.address());
        let target = replica.target(&place.database, &place.table).await;
        replica.observed(&target);
        let target = target.map_err(|error| verdict::not_asked(&error))?;
        let identities = &self.app.identities;
        let met = match &target {
            Some(target) => identities.check(&place, &Identity::of(facts, target)).await,
            None => identities.check_server(&place, facts),
        };
        met.map_err(|not_met| {
            Next::OtherReplica(match not_met {
                // The right one may come back without having been missed.
                NotMet::Other(error) => {
                    replica.forget();
                    Outcome::HoldDestination { error }
                }
                NotMet::NotKept(error) => Outcome::Retry { error },
            })
        })?;
        if target.as_ref().is_some_and(|target| target.is_readonly) {
            replica.look_again(&place.database, &place.table);
            let error = format!(
                "{}: {}.{} is read-only there: its ZooKeeper session is lost, or it was never begun",
                place.replica, place.database, place.table
            );
            return Err(Next::OtherReplica(Outcome::Retry { error }));
        }
        Ok(target)
    }

    /// A shard has read the batch as the target is now.
    fn shape_is_good(&self, batch: &Batch, route: &Route) {
        if let Some(schema) = route.table().known_schema() {
            self.app
                .shapes
                .proved(ShapeKey::of(batch.shape(), schema.fingerprint));
        }
    }

    fn delivered(&self, batch: &Batch, replica: &ReplicaRuntime, inserted: &Inserted, took: Duration) {
        self.app.metrics.delivered(&self.destination, batch.rows());
        tracing::debug!(
            destination = %self.destination,
            batch = batch.seq(),
            rows = batch.rows(),
            written_rows = inserted.written_rows,
            replica = replica.address(),
            ?took,
            "delivered"
        );
    }

    /// A held destination is tried with its first batch: what held it may have been mended.
    async fn probe_when_held(&self) {
        let held = self.rank == Rank(0)
            && self
                .app
                .spool
                .destination(&self.destination)
                .is_some_and(|d| d.destination_held.is_some());
        if held && let Err(error) = self.app.spool.resume_destination(&self.destination).await {
            tracing::warn!(destination = %self.destination, %error, "a held destination could not be probed");
        }
    }

    /// What the spool made of a refusal: only rows in broken/ wait for somebody.
    fn tell_settled(&self, seq: u64, settled: &Settled) {
        let destination = &self.destination;
        match settled {
            Settled::Aborted { insert } => {
                tracing::info!(%destination, %insert, "a replica refused an INSERT's rows: its client was told, nothing is kept");
            }
            Settled::Recut { seqs } => {
                tracing::info!(%destination, batch = seq, into = ?seqs, "a refused batch is tried again in parts");
            }
            Settled::Broken => {
                tracing::error!(%destination, batch = seq, "a shard cannot take rows, they are in broken/: `weir spool ls --files`, then `retry` or `drop`");
            }
            Settled::Held => {
                tracing::error!(%destination, batch = seq, "a batch is set aside: `weir spool retry` or `drop`");
            }
            Settled::Acknowledged | Settled::Waits | Settled::DestinationHeld | Settled::ToBeDivided => {}
        }
    }

    /// The same trouble is told once and then every minute.
    fn tell(&mut self, batch: &Batch, outcome: &Outcome) {
        let (destination, seq, rows) = (&self.destination, batch.seq(), batch.rows());
        let mut news = |error: &str| self.repeats.tell(error, Instant::now());
        match outcome {
            Outcome::Acknowledged => self.repeats.clear(),
            Outcome::Retry { error } => {
                if let Some(untold) = news(error) {
                    tracing::warn!(%destination, batch = seq, rows, error, untold, "a batch waits and is tried again");
                }
            }
            Outcome::HoldDestination { error } => {
                if let Some(untold) = news(error) {
                    tracing::error!(%destination, error, untold, "everything for this destination waits: mend it; it is probed every max_sleep_time, and by `weir spool retry`");
                }
            }
            Outcome::HoldBatch { error } => {
                tracing::error!(%destination, batch = seq, rows, error, "a batch cannot be sent");
            }
            Outcome::Refused { code, .. } | Outcome::TooMuch { code, .. } | Outcome::Unfit { code, .. } => {
                tracing::debug!(%destination, batch = seq, rows, code, "a shard cannot take rows");
            }
        }
    }
}

/// Whether a view of the target may have thrown the error, where that makes a difference: a view runs behind the block that
/// was written. A server that cannot say leaves it possible.
async fn views_behind(error: &ShardError, route: &Route, replica: &ReplicaRuntime) -> Views {
    if error.wrote(Views::Possible) == error.wrote(Views::None) {
        return Views::Possible;
    }
    let (database, table) = route.target_on(replica);
    let asked = replica.wire().views(database, table);
    match tokio::time::timeout(QUESTION_TIMEOUT, asked).await {
        Ok(Ok(views)) => views,
        Ok(Err(_)) | Err(_) => Views::Possible,
    }
}

/// Whether the replica takes a statement without rows. Nothing can be written by it.
async fn ask_bare(replica: &ReplicaRuntime, request: InsertRequest) -> Bare {
    let asked = replica.wire().insert(request, None);
    match tokio::time::timeout(QUESTION_TIMEOUT, asked).await {
        Ok(Ok(_)) => Bare::Taken,
        Ok(Err(error)) if error.class().may_pass() => Bare::Silent,
        Ok(Err(_)) => Bare::Refused,
        Err(_) => Bare::Silent,
    }
}

/// How long a destination rests between attempts: `sleep_time`, doubled up to `max_sleep_time`, spread by up
/// to half so that the destinations of a shard that comes back do not all start at once.
#[derive(Debug, Default)]
struct Backoff {
    failures: u32,
}

impl Backoff {
    fn next(&mut self, route: &Route) -> Duration {
        let doubled = route.send().sleep_time.saturating_mul(1 << self.failures.min(20));
        self.failures += 1;
        let longest = doubled.min(route.send().max_sleep_time);
        longest.mul_f64(chance::rng().random_range(0.5..=1.0))
    }

    fn reset(&mut self) {
        self.failures = 0;
    }
}
