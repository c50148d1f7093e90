//! The assembly: the only file that knows every crate. It starts what runs, swaps the configuration, and
//! stops in the order of the data.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use config::{Config, Mistakes};
use spool::{Destination, OpenError, Spool};

use tokio::sync::{Notify, watch};

use crate::answers::files::AnswerFiles;
use crate::answers::{self, Answers};
use crate::backpressure::{self, Full};
use crate::budget::Budget;
use crate::deliver::{self, Rank};
use crate::discovery::{self, Discovery};
use crate::exception::{Exception, code};
use crate::identity::Identities;
use crate::insert::shapes::{self, Shapes};
use crate::insert::{self, retries};
use crate::kept_facts;
use crate::layouts;
use crate::logins::Logins;
use crate::metrics::{Metrics, ReplicaUp, Snapshot};
use crate::routing::{Prepared, RoutedTable, Routing, RoutingError};
use crate::schema::{self, SchemaFiles};
use crate::sends::Sends;
use crate::sessions::Sessions;
use crate::tasks::Tasks;

/// How often each replica is asked whether it is there.
const CHECK_EVERY: Duration = Duration::from_secs(5);

/// How often the spool is asked whether its journal has failed.
const POISON_LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long senders may take to finish the batch in hand at shutdown; one that does not is found again at the
/// next start.
const SENDERS_PATIENCE: Duration = Duration::from_secs(30);

/// A running router.
pub struct App {
    /// The durable queue.
    pub spool: Spool,
    /// Counters.
    pub metrics: Metrics,
    /// The memory of INSERTs.
    pub budget: Budget,
    /// Which replica holds which client's session.
    pub sessions: Sessions,
    /// Schemas that outlive a restart.
    pub schema_files: SchemaFiles,
    /// Answers for while no replica answers.
    pub answers: Answers,
    /// Passwords that replicas have checked.
    pub logins: Logins,
    /// Shapes of INSERTs that shards are known to read.
    pub shapes: Shapes,
    /// Who the replicas are.
    pub identities: Identities,
    /// Tables whose background sends clients have stopped.
    pub sends: Sends,
    /// Tables that are routed without being listed.
    pub discovery: Discovery,
    routing: ArcSwap<Routing>,
    config_path: PathBuf,
    tasks: Tasks,
    senders: Mutex<BTreeMap<(Destination, Rank), Tasks>>,
    is_ready: AtomicBool,
    /// Told when a shutdown begins.
    stopping: watch::Sender<bool>,
    /// Wakes senders from their rest: a replica came back, somebody mended something.
    pub nudge: Notify,
    /// One reload at a time.
    reloading: tokio::sync::Mutex<()>,
}

/// Why the router does not start, or a reload is refused.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Mistakes in the file, all of them.
    #[error("{0}")]
    Config(#[from] Mistakes),
    /// A layout that differs under the same epoch.
    #[error("{0}")]
    Layout(#[from] layouts::LayoutsError),
    /// The spool cannot be opened.
    #[error("{0}")]
    Spool(#[from] OpenError),
    /// Certificates, weights, names.
    #[error("{0}")]
    Routing(#[from] RoutingError),
    /// The task that reads the configuration ended badly.
    #[error("reading the configuration: {0}")]
    Task(tokio::task::JoinError),
    /// Something that a reload cannot change.
    #[error("{0} cannot change while Weir runs: restart it")]
    NeedsRestart(&'static str),
}

impl App {
    /// Opens the spool and makes everything ready, without listening yet.
    pub fn open(config: &Config, config_path: &Path) -> Result<Arc<Self>, StartError> {
        let spool = Spool::open(spool_options(config))?;
        let discovery = Discovery::of_spool(&config.spool.path);
        let routing = take(config, &discovery, &spool, None)?;
        kept_facts::recall(&routing, &config.spool.path);
        let app = Self::around(spool, routing, discovery, config_path);
        Ok(Arc::new(app))
    }

    /// What was kept below the spool is read.
    fn around(spool: Spool, routing: Routing, discovery: Discovery, config_path: &Path) -> Self {
        let config = routing.config.clone();
        Self {
            budget: Budget::new(config.limits.memory_limit / 2, config.spool.max_delay_to_insert),
            schema_files: SchemaFiles::below(&config.spool.path),
            answers: Answers::open(AnswerFiles::below(&config.spool.path)),
            logins: Logins::default(),
            shapes: Shapes::below(&config.spool.path),
            identities: Identities::below(&config.spool.path),
            sends: Sends::default(),
            sessions: Sessions::default(),
            discovery,
            spool,
            metrics: Metrics::default(),
            routing: ArcSwap::from_pointee(routing),
            config_path: config_path.to_owned(),
            tasks: Tasks::default(),
            senders: Mutex::default(),
            is_ready: AtomicBool::new(false),
            stopping: watch::Sender::new(false),
            nudge: Notify::new(),
            reloading: tokio::sync::Mutex::default(),
        }
    }

    /// A router of the seeded world: its spool is simulated, and its replicas' identities are where it says.
    #[cfg(test)]
    pub fn simulated(spool: Spool, routing: Routing, identities: Identities) -> Arc<Self> {
        let discovery = Discovery::of_spool(&routing.config.spool.path);
        Arc::new(Self {
            identities,
            ..Self::around(spool, routing, discovery, Path::new(""))
        })
    }

    /// Nothing of it runs any more when this returns.
    #[cfg(test)]
    pub fn kill(&self) {
        let senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        senders.values().chain([&self.tasks]).for_each(Tasks::abort);
    }

    /// Starts senders, checks and schemas; from then on the router is ready.
    pub fn start(self: &Arc<Self>) {
        self.start_delivery();
        let app = self.clone();
        self.tasks.spawn("schemas", |stop| schema::keep_fresh(app, stop));
        let app = self.clone();
        self.tasks.spawn("answers for clients", |stop| {
            answers::fill::keep_filled(app, stop)
        });
        let app = self.clone();
        self.tasks.spawn("shapes", |stop| shapes::keep(app, stop));
        let app = self.clone();
        self.tasks
            .spawn("what replicas said", |stop| kept_facts::keep(app, stop));
        let app = self.clone();
        self.tasks
            .spawn("discovery", |stop| discovery::keep_fresh(app, stop));
        let app = self.clone();
        self.tasks
            .spawn("summaries", |stop| crate::summary::tell(app, stop));
        self.is_ready.store(true, Ordering::Release);
    }

    /// Starts what brings rows to shards.
    pub fn start_delivery(self: &Arc<Self>) {
        self.start_senders();
        self.end_waits_of_recovered_inserts();
        let app = self.clone();
        self.tasks
            .spawn("replica checks", |stop| check_replicas(app, stop));
    }

    /// The configuration of this moment, ready for use.
    pub fn routing(&self) -> Arc<Routing> {
        self.routing.load_full()
    }

    /// Whether requests are welcome.
    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }

    /// Load balancers are told first, then listeners stop.
    pub fn not_ready(&self) {
        self.is_ready.store(false, Ordering::Release);
        self.stopping.send_replace(true);
    }

    /// Resolves when a shutdown has begun: an answer that waits for shards is given then.
    pub async fn stopping(&self) {
        // An error means that the router is gone, which is a shutdown too.
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }

    /// Resolves with the reason once the spool's journal has failed: nothing can be accepted or recorded any
    /// more.
    pub async fn poisoned(&self) -> String {
        loop {
            if let Some(cause) = self.spool.poison_cause() {
                return cause;
            }
            tokio::time::sleep(POISON_LOOK_EVERY).await;
        }
    }

    /// Stops what runs in the order of the data. The listeners are closed and their requests ended before.
    pub async fn stop(&self) {
        let senders = std::mem::take(&mut *self.senders.lock().unwrap_or_else(PoisonError::into_inner));
        let stops = senders.values().map(|tasks| tasks.stop(SENDERS_PATIENCE));
        let mut stragglers: Vec<_> = futures_util::future::join_all(stops).await.concat();
        stragglers.extend(self.tasks.stop(SENDERS_PATIENCE).await);
        if !stragglers.is_empty() {
            tracing::warn!(
                tasks = stragglers.join(", "),
                "some tasks did not stop in time; what they sent is settled at the next start"
            );
        }
        self.spool.clone().shutdown().await;
    }

    /// Reads the configuration again: all of it is taken, or none and the reason is returned.
    pub async fn reload(self: &Arc<Self>) -> Result<(), StartError> {
        let _one_at_a_time = self.reloading.lock().await;
        // Files are read, resolved names waited for, layouts synced: nothing for the runtime's threads.
        let app = self.clone();
        let result = match tokio::task::spawn_blocking(move || app.try_reload()).await {
            Ok(result) => result,
            Err(error) => Err(StartError::Task(error)),
        };
        self.metrics.reloaded(result.is_ok());
        match &result {
            Ok(()) => tracing::info!(file = %self.config_path.display(), "the configuration was reloaded"),
            Err(error) => {
                tracing::error!(%error, "the configuration stays as it was: the new one cannot be used");
            }
        }
        result
    }

    fn try_reload(self: &Arc<Self>) -> Result<(), StartError> {
        let config = config::load(&self.config_path)?;
        config
            .warnings
            .iter()
            .for_each(|warning| tracing::warn!("{warning}"));
        let before = self.routing();
        refuse_what_needs_a_restart(&before.config, &config)?;
        let routing = take(&config, &self.discovery, &self.spool, Some(&before))?;
        self.swap(routing);
        self.discovery.wake();
        Ok(())
    }

    fn swap(self: &Arc<Self>, routing: Routing) {
        self.spool
            .set_retry_windows(retries::windows_kept(&routing.config));
        self.routing.store(Arc::new(routing));
        self.start_senders();
        self.nudge.notify_waiters();
    }

    /// The seeds said something new: the tables that follow are routed from now on.
    pub async fn reroute(self: &Arc<Self>) {
        let _one_at_a_time = self.reloading.lock().await;
        let app = self.clone();
        let result = match tokio::task::spawn_blocking(move || app.try_reroute()).await {
            Ok(result) => result,
            Err(error) => Err(StartError::Task(error)),
        };
        if let Err(error) = result {
            tracing::error!(%error, "the discovered tables cannot be used; those known before stay");
        }
    }

    fn try_reroute(self: &Arc<Self>) -> Result<(), StartError> {
        let before = self.routing();
        let (config, _) = discovery::merged(&before.config, &self.discovery.seen())?;
        if config.tables == before.config.tables {
            return Ok(());
        }
        let routing = take(&before.config, &self.discovery, &self.spool, Some(&before))?;
        tell_changes(&before.config, &routing.config);
        self.swap(routing);
        Ok(())
    }

    /// A discovered table's new key is meant: it holds from now on. The error says why it is not taken.
    pub async fn accept_key(self: &Arc<Self>, table: &config::TableName) -> Result<(), String> {
        let _one_at_a_time = self.reloading.lock().await;
        let (app, table) = (self.clone(), table.clone());
        let accepted = tokio::task::spawn_blocking(move || app.try_accept_key(&table)).await;
        accepted.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// Takes the replicas of a shard, or one of them, for who they are at the next contact; how many entries were forgotten.
    pub async fn accept_replicas(&self, shard: &str, replica: Option<&str>) -> Result<usize, String> {
        let forgotten = self.identities.forget(shard, replica).await?;
        tracing::warn!(
            shard,
            replica,
            forgotten,
            "an operator accepted replicas as who they are now"
        );
        // Held destinations are probed with the next one's contact.
        self.nudge.notify_waiters();
        Ok(forgotten)
    }

    fn try_accept_key(self: &Arc<Self>, table: &config::TableName) -> Result<(), String> {
        let before = self.routing();
        layouts::accept_key(&before.config, table)?;
        let told = |error: StartError| error.to_string();
        self.try_reroute().map_err(told)?;
        tracing::warn!(%table, "an operator accepted the table's sharding key");
        let routing = self.routing();
        let stopped = routing
            .config
            .table(table)
            .and_then(|table| table.stopped.clone());
        stopped.map_or(Ok(()), |why| {
            Err(format!("{table} still takes no INSERTs: {why}"))
        })
    }

    /// Admits an INSERT before its body is read: not while stopping, not into a full disk, and not while
    /// every queue of its table is full.
    pub async fn admit_insert(&self, table: &RoutedTable) -> Result<(), Exception> {
        table.refuse_stopped()?;
        if !self.is_ready() {
            return Err(Exception::try_again(
                code::TOO_MANY_SIMULTANEOUS_QUERIES,
                1,
                "Weir is shutting down.",
            ));
        }
        let routing = self.routing();
        backpressure::refuse_full_disk(&self.spool, &routing.config.spool).await?;
        backpressure::admit(&self.spool, &routing.config.spool, &table.destinations, Full::All).await
    }

    /// Admits an INSERT once it is known which destinations it has rows for.
    pub async fn admit_shares(&self, destinations: &[Destination]) -> Result<(), Exception> {
        let routing = self.routing();
        backpressure::admit(&self.spool, &routing.config.spool, destinations, Full::Any).await
    }

    /// Bytes that one row may have.
    pub fn row_bytes_max(&self) -> usize {
        usize::try_from(self.routing.load().config.limits.max_row_bytes).unwrap_or(usize::MAX)
    }

    /// Describes a table anew in the background: an answer said that it may have changed.
    pub fn refresh_schema(self: &Arc<Self>, table: &Arc<RoutedTable>) {
        let (app, table) = (self.clone(), table.clone());
        self.tasks
            .spawn(format!("schema of {}", table.name), |_| async move {
                schema::refresh(&app, &table).await;
            });
    }

    /// What metrics and listings read.
    pub fn snapshot(&self) -> Snapshot {
        let routing = self.routing();
        let replicas = routing
            .replicas()
            .into_iter()
            .map(|(cluster, shard, replica)| ReplicaUp {
                cluster: cluster.name.clone(),
                shard: shard.name.clone(),
                replica: replica.address().to_owned(),
                up: replica.is_up(),
            });
        Snapshot {
            destinations: self.spool.destinations(),
            replicas: replicas.collect(),
            discovered: self.discovery.found(&routing.config),
            stopped: self.sends.stopped(),
            retries: self.spool.retry_status(),
            disk_free_bytes: disk_free_bytes(&routing.config.spool.path),
            layouts: routing
                .clusters
                .iter()
                .map(|cluster| (cluster.name.clone(), cluster.epoch))
                .collect(),
            now_ms: crate::time::now_ms(),
        }
    }

    /// The senders of every destination that the configuration knows, where there are none yet. One that left the
    /// configuration keeps its own, which rest: its files are never forgotten.
    fn start_senders(self: &Arc<Self>) {
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        let routing = self.routing();
        for destination in routing.destinations() {
            for rank in (0..routing.senders_of(&destination)).map(Rank) {
                let (app, destination) = (self.clone(), destination.clone());
                senders.entry((destination.clone(), rank)).or_insert_with(|| {
                    let tasks = Tasks::default();
                    let name = match rank {
                        Rank(0) => format!("sender of {destination}"),
                        Rank(number) => format!("sender {number} of {destination}"),
                    };
                    tasks.spawn(name, move |stop| {
                        deliver::send_batches(app, destination, rank, stop)
                    });
                    tasks
                });
            }
        }
    }

    /// INSERTs that were pending when the router died are tried locally again, as long as a client would have
    /// waited.
    fn end_waits_of_recovered_inserts(self: &Arc<Self>) {
        let pending = self.spool.pending();
        if pending.is_empty() {
            return;
        }
        let patience = self.routing().config.send.local_insert_timeout;
        let app = self.clone();
        self.tasks
            .spawn("pending INSERTs of the last run", move |mut stop| async move {
                let end_all = async {
                    tokio::time::sleep(patience).await;
                    for insert in pending {
                        insert::record_end(&app.spool, insert, "it was found at the start").await;
                    }
                };
                tokio::select! {
                    () = stop.requested() => {}
                    () = end_all => {}
                }
            });
    }
}

/// Makes a configuration and what was discovered the routing from now on; on an error nothing has changed.
fn take(
    config: &Config,
    discovery: &Discovery,
    spool: &Spool,
    before: Option<&Routing>,
) -> Result<Routing, StartError> {
    let (config, remarks) = discovery::merged(config, &discovery.seen())?;
    layouts::check(&config)?;
    let config = Arc::new(config);
    let prepared = Prepared::new(config.clone(), before)?;
    // After all that can be refused, for it cannot be taken back: epochs only rise.
    layouts::accept(&config)?;
    discovery.tell(remarks);
    Ok(prepared.routing(spool, before)?)
}

/// One line for each table that came, went or changed.
fn tell_changes(before: &Config, after: &Config) {
    for table in &after.tables {
        let key = table.sharding_key.as_deref().unwrap_or("none");
        match before.table(&table.name) {
            None => {
                tracing::info!(table = %table.name, cluster = table.cluster, target = %table.target, key, "discovered");
            }
            Some(known) if known != table => {
                tracing::info!(table = %table.name, cluster = table.cluster, target = %table.target, key, "changed where it was discovered");
            }
            Some(_) => {}
        }
    }
    let gone = before
        .tables
        .iter()
        .filter(|table| after.table(&table.name).is_none());
    for table in gone {
        tracing::warn!(table = %table.name, "dropped where it was discovered: it is not routed any more, rows that wait for it are kept");
    }
}

async fn check_replicas(app: Arc<App>, mut stop: crate::tasks::Stop) {
    loop {
        let routing = app.routing();
        let checks = routing.replicas().into_iter().map(|(_, _, replica)| async {
            let was_up = replica.is_up();
            replica.check().await;
            !was_up && replica.is_up()
        });
        if futures_util::future::join_all(checks).await.contains(&true) {
            app.nudge.notify_waiters();
        }
        tokio::select! {
            biased;
            () = stop.requested() => return,
            () = tokio::time::sleep(CHECK_EVERY) => {}
        }
    }
}

/// How a configuration wants its spool. The spool's part of the memory is half of the limit: a quarter for
/// rows that wait for their cut, an eighth for what is remembered of INSERTs, the rest for senders.
pub fn spool_options(config: &Config) -> spool::Options {
    let spool = &config.spool;
    let uncut = usize::try_from(config.limits.memory_limit / 4).unwrap_or(usize::MAX);
    spool::Options {
        fsync: spool.fsync_after_insert,
        uncut_memory_bytes: uncut,
        max_bytes: spool.max_bytes,
        reserve_bytes: backpressure::reserve_bytes(spool),
        sent_retention_time: spool.sent_retention_time,
        sent_retention_bytes: spool.sent_retention_bytes,
        broken_bytes_max: spool.broken_bytes_max,
        retry_windows: retries::windows_kept(config),
        retry_entries_max: retries::entries_max(config.limits.memory_limit),
        ..spool::Options::at(&spool.path)
    }
}

fn refuse_what_needs_a_restart(before: &Config, after: &Config) -> Result<(), StartError> {
    let changed = [
        ("[listen]", before.listen != after.listen),
        (
            "[spool] (but bytes_to_throw_insert)",
            !same_spool(&before.spool, &after.spool),
        ),
        (
            "[limits] memory_limit",
            before.limits.memory_limit != after.limits.memory_limit,
        ),
    ];
    match changed.into_iter().find(|(_, changed)| *changed) {
        Some((what, _)) => Err(StartError::NeedsRestart(what)),
        None => Ok(()),
    }
}

fn same_spool(before: &config::Spool, after: &config::Spool) -> bool {
    let mut after = after.clone();
    after.bytes_to_throw_insert = before.bytes_to_throw_insert;
    after.bytes_to_delay_insert = before.bytes_to_delay_insert;
    *before == after
}

/// Free bytes for a user that is not root, or 0 when the system does not say.
fn disk_free_bytes(path: &Path) -> u64 {
    rustix::fs::statvfs(path).map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
}
