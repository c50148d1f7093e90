//! One replica while Weir runs: its connection pool, its health, and what it said of itself.

use std::collections::HashMap;
#[cfg(test)]
use std::sync::OnceLock;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use formats::Payload;
use shard_client::{
    Backoff, Candidate, Chooser, Facts, Failure, Health, LoadBalancing, Phase, Replica, ShardError, Target,
};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::chance;
use crate::insert::settings::{QUORUM_SETTINGS, payload_names};
use crate::ramp::{self, Ramp};
use crate::wire::Wire;

/// How long a replica that failed is left alone: not long, since its shard's rows wait for it.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(500),
    max: Duration::from_secs(10),
};

/// An active check is given up after this long: a ping is answered at once or the replica is in trouble.
const CHECK_TIMEOUT: Duration = Duration::from_secs(3);

/// Reads passed through to one replica at once; less than the connections beside its senders', so that checks have some.
const READS_MAX: usize = 24;

/// What a replica said of a target is asked again after this long: a table is made anew, though seldom.
const TARGET_AGE_MAX: Duration = Duration::from_mins(10);

type Targets = HashMap<(String, String), (Instant, Option<Arc<Target>>)>;

/// A replica, shared by senders, reads and checks.
#[derive(Debug)]
pub struct ReplicaRuntime {
    /// How the configuration describes it.
    pub config: config::Replica,
    client: Replica,
    /// The seeded world's, in place of the client.
    #[cfg(test)]
    simulated: OnceLock<Box<dyn Wire>>,
    address: String,
    health: Mutex<Health>,
    /// Version, time zone, known settings; asked once and again after the replica was down (it may come back
    /// as another version).
    facts: Mutex<Arc<OnceCell<Arc<Facts>>>>,
    /// What it said last, kept while it is down.
    said: Mutex<Option<Arc<Facts>>>,
    /// What it said of targets, by database and table, and when.
    targets: Mutex<Targets>,
    /// Batches being sent to it at once.
    ramp: Ramp,
    /// Reads passed through: a client that does not read its answer keeps a connection, and must not keep the senders'.
    reads: Arc<Semaphore>,
}

impl ReplicaRuntime {
    /// A replica that nobody has talked to yet.
    pub fn new(config: config::Replica, client: Replica, inflight_max: usize) -> Self {
        let address = config.address();
        Self {
            config,
            client,
            #[cfg(test)]
            simulated: OnceLock::new(),
            address,
            health: Mutex::default(),
            facts: Mutex::default(),
            said: Mutex::default(),
            targets: Mutex::default(),
            ramp: Ramp::new(inflight_max),
            reads: Arc::new(Semaphore::new(READS_MAX)),
        }
    }

    /// A place among the batches being sent to it; waits for one.
    pub async fn place(&self) -> ramp::Place<'_> {
        self.ramp.place().await
    }

    /// It took a batch: the next need wait less.
    pub fn took_a_batch(&self) {
        self.ramp.took();
    }

    /// Whether it is this replica under these limits, so that a reload may keep it.
    pub fn is_the_same(&self, config: &config::Replica, inflight_max: usize) -> bool {
        self.config == *config && self.ramp.places_max() == inflight_max
    }

    /// `host:port`
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its HTTP side.
    pub fn client(&self) -> &Replica {
        &self.client
    }

    /// What senders and checks talk to.
    pub fn wire(&self) -> &dyn Wire {
        #[cfg(test)]
        if let Some(simulated) = self.simulated.get() {
            return simulated.as_ref();
        }
        &self.client
    }

    /// Has a simulation answer from now on.
    #[cfg(test)]
    pub fn simulate(&self, wire: Box<dyn Wire>) {
        self.simulated.set(wire).expect("it is simulated already");
    }

    /// The database that a target of `database` has on this replica.
    pub fn database<'a>(&'a self, database: &'a str) -> &'a str {
        self.config.database.as_deref().unwrap_or(database)
    }

    /// What the replica says of itself, asked once.
    pub async fn facts(&self) -> Result<Arc<Facts>, ShardError> {
        let cell = self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let ask = async || {
            let facts = Arc::new(self.wire().facts(&asked_settings()).await?);
            self.remember(facts.clone());
            Ok(facts)
        };
        cell.get_or_try_init(ask).await.cloned()
    }

    /// What it said of itself last, perhaps before it went down or Weir was started; none if it never did.
    pub fn known_facts(&self) -> Option<Arc<Facts>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes what it said at another time.
    pub fn remember(&self, facts: Arc<Facts>) {
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = Some(facts);
    }

    /// What the target is to it: asked once, and again after the replica was down, after a while, and when it is to be looked at
    /// anew. None where it has no such table or does not say.
    pub async fn target(&self, database: &str, table: &str) -> Result<Option<Arc<Target>>, ShardError> {
        let key = (database.to_owned(), table.to_owned());
        let known = self
            .targets()
            .get(&key)
            .filter(|(at, _)| at.elapsed() < TARGET_AGE_MAX)
            .cloned();
        if let Some((_, target)) = known {
            return Ok(target);
        }
        let target = self.wire().target(database, table).await?.map(Arc::new);
        // One that is not there may be made at any moment, and then has an identity to compare.
        if target.is_some() {
            self.targets().insert(key, (Instant::now(), target.clone()));
        }
        Ok(target)
    }

    /// What is known of the target is to be asked again.
    pub fn look_again(&self, database: &str, table: &str) {
        self.targets().remove(&(database.to_owned(), table.to_owned()));
    }

    fn targets(&self) -> MutexGuard<'_, Targets> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it has been asked since it came up.
    fn is_asked(&self) -> bool {
        let facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        facts.initialized()
    }

    /// Whether its last answer was one.
    pub fn is_up(&self) -> bool {
        self.health().is_up()
    }

    /// Its health now.
    pub fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Learns from the end of a request. Any answer, an error too, is a sign of life; what is not the replica's fault says nothing of it.
    pub fn observed<T>(&self, result: &Result<T, ShardError>) {
        let answered = match result.as_ref().map_err(|error| &error.failure) {
            Ok(_) | Err(Failure::Server(_)) => true,
            Err(Failure::Timeout {
                phase: Phase::Connection,
                ..
            }) => return,
            // It is up, and another than it was.
            Err(Failure::OtherServer { .. }) => return self.forget(),
            Err(
                Failure::Connect(_)
                | Failure::Tls(_)
                | Failure::Timeout { .. }
                | Failure::Cut(_)
                | Failure::Protocol(_),
            ) => false,
            Err(
                Failure::Credentials(_) | Failure::Request(_) | Failure::Payload(_) | Failure::Foreign { .. },
            ) => return,
        };
        self.learn(answered);
    }

    /// What it said of itself and of targets is to be asked again.
    pub fn forget(&self) {
        *self.facts.lock().unwrap_or_else(PoisonError::into_inner) = Arc::default();
        self.targets().clear();
    }

    fn learn(&self, answered: bool) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let was_up = health.is_up();
        if answered {
            health.succeeded();
        } else {
            health.failed(&BACKOFF, Instant::now(), &mut chance::rng());
            self.forget();
            self.ramp.failed();
        }
        if was_up != health.is_up() {
            let replica = &self.address;
            match health.is_up() {
                true => tracing::info!(replica, "a replica answers"),
                false => tracing::warn!(replica, "a replica does not answer"),
            }
        }
    }

    /// One active check. One that hangs counts as not answered, and holds nobody up.
    pub async fn check(&self) {
        match tokio::time::timeout(CHECK_TIMEOUT, self.wire().ping()).await {
            Ok(result) => self.observed(&result),
            Err(_) => return self.learn(false),
        }
        // What it can read is looked at when INSERTs come, and nobody should wait for it then.
        if self.is_up() && !self.is_asked() {
            // Trouble is told by whoever needs the facts.
            let _ = tokio::time::timeout(CHECK_TIMEOUT, self.facts()).await;
        }
    }

    /// A place among the reads that are passed through to it; none when they are taken.
    pub fn read_place(&self) -> Option<OwnedSemaphorePermit> {
        self.reads.clone().try_acquire_owned().ok()
    }
}

/// Settings that Weir adds so that a shard reads rows as it did itself: a replica that does not know one has
/// no other way of reading.
pub fn reading_settings() -> Vec<&'static str> {
    let reading = formats::Settings::default();
    Payload::ALL
        .iter()
        .flat_map(|payload| reading.pinned(*payload))
        .map(|(name, _)| name)
        .collect()
}

/// The settings that a replica is asked whether it knows them: those above, and those that clients may store with their rows.
pub fn asked_settings() -> Vec<&'static str> {
    let mut asked = reading_settings();
    asked.extend(payload_names());
    asked.extend(QUORUM_SETTINGS);
    asked
}

/// The order in which a shard's replicas are tried: the local one first if it is usable (ClickHouse's
/// prefer_localhost_replica), then as
/// `chooser` draws them; those that are down come last, the one due first in front.
pub fn order(replicas: &[Arc<ReplicaRuntime>], chooser: &mut Chooser) -> Vec<Arc<ReplicaRuntime>> {
    let (local, mut others): (Vec<_>, Vec<_>) = replicas
        .iter()
        .cloned()
        .partition(|replica| replica.config.local && replica.health().is_usable());
    let mut order = local;
    while !others.is_empty() {
        let healths: Vec<_> = others.iter().map(|replica| replica.health()).collect();
        let candidates: Vec<_> = others
            .iter()
            .zip(&healths)
            .map(|(replica, health)| Candidate {
                host: &replica.config.host,
                health,
            })
            .collect();
        let chosen = chooser.choose(&candidates, Instant::now(), &mut chance::rng());
        order.push(others.remove(chosen.map_or(0, |choice| choice.index)));
    }
    order
}

/// The policy of a configured cluster.
pub fn chooser(policy: config::LoadBalancing) -> Chooser {
    let policy = match policy {
        config::LoadBalancing::Random => LoadBalancing::Random,
        config::LoadBalancing::NearestHostname => LoadBalancing::NearestHostname,
        config::LoadBalancing::InOrder => LoadBalancing::InOrder,
        config::LoadBalancing::FirstOrRandom => LoadBalancing::FirstOrRandom,
        config::LoadBalancing::RoundRobin => LoadBalancing::RoundRobin,
    };
    let own_name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Chooser::new(policy, own_name)
}
