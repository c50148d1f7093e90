//! One replica while Weir runs: its connection pool, its health, and what it said of itself.

use std::sync::{Arc, Mutex, PoisonError};

use shard_client::{Facts, Failure, Health, Replica, ShardError};
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// Settings beside the pinned ones that Weir may send and must know whether a replica takes.
const ASKED_SETTINGS: &[&str] = &["insert_deduplication_token"];

/// A replica, shared by senders, reads and checks.
#[derive(Debug)]
pub struct ReplicaRuntime {
    /// How the configuration describes it.
    pub config: config::Replica,
    client: Replica,
    address: String,
    health: Mutex<Health>,
    /// Version, time zone, known settings; asked once and again after the replica was down (it may come back as another version).
    facts: Mutex<Arc<OnceCell<Facts>>>,
}

impl ReplicaRuntime {
    /// A replica that nobody has talked to yet.
    pub fn new(config: config::Replica, client: Replica) -> Self {
        let address = config.address();
        Self { config, client, address, health: Mutex::default(), facts: Mutex::default() }
    }

    /// `host:port`
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its HTTP side.
    pub fn client(&self) -> &Replica {
        &self.client
    }

    /// The database that a target of `database` has on this replica.
    pub fn database<'a>(&'a self, database: &'a str) -> &'a str {
        self.config.database.as_deref().unwrap_or(database)
    }

    /// What the replica says of itself, asked once.
    pub async fn facts(&self) -> Result<Facts, ShardError> {
        let cell = self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        cell.get_or_try_init(|| self.client.facts(ASKED_SETTINGS)).await.cloned()
    }

    /// Whether its last answer was one.
    pub fn is_up(&self) -> bool {
        self.health().is_up()
    }

    /// Its health now.
    pub fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Learns from the end of a request. Any answer, an error too, is a sign of life.
    pub fn observed<T>(&self, result: &Result<T, ShardError>) {
        let answered = match result {
            Ok(_) => true,
            Err(error) => matches!(error.failure, Failure::Server(_)),
        };
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let was_up = health.is_up();
        if answered {
            health.succeeded();
        } else {
            health.failed(Instant::now().into_std());
            *self.facts.lock().unwrap_or_else(PoisonError::into_inner) = Arc::default();
        }
        if was_up != health.is_up() {
            let (replica, up) = (&self.address, health.is_up());
            tracing::info!(replica, up, "a replica's state changed");
        }
    }

    /// One active check.
    pub async fn check(&self) {
        let result = self.client.ping().await;
        self.observed(&result);
    }
}
