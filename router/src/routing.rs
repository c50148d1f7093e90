//! Which table goes where: the configuration made ready for use. One value, swapped whole by a reload.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use config::{Assignment, Config, TableName};
use shard_client::{Chooser, Endpoint, Replica, TlsFiles};
use sharding::{Ring, Slots};
use spool::{BatchLimits, Destination, LaneSpec, ProbeTarget, ShareLanes, Spool};

use crate::app::App;
use crate::deliver::route::Route;
use crate::exception::{Exception, code};
use crate::identity::{Identities, Place};
use crate::replica::ReplicaRuntime;
use crate::schema::{SharedSchema, learn};

/// Connections that Weir keeps to one replica beside its senders': for reads, DESCRIBE and checks.
const CONNECTIONS_BESIDE_SENDERS: usize = 32;

/// Everything that a request or a sender looks up.
#[derive(Debug)]
pub struct Routing {
    /// The configuration it was made of.
    pub config: Arc<Config>,
    /// The clusters, in the file's order.
    pub clusters: Vec<Arc<Cluster>>,
    tables: BTreeMap<TableName, Arc<RoutedTable>>,
    targets: HashMap<TableName, String>,
    by_text: HashMap<String, Arc<RoutedTable>>,
}

/// A cluster with connections to its replicas.
#[derive(Debug)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// The epoch of its slot layout.
    pub epoch: u64,
    /// Shards in the order of their slots.
    pub shards: Vec<Shard>,
    /// As configured.
    pub config: config::Cluster,
}

/// A shard with its replicas.
#[derive(Debug)]
pub struct Shard {
    /// Its name.
    pub name: String,
    /// One INSERT to any replica, or one to each.
    pub internal_replication: bool,
    /// Its replicas in the file's order.
    pub replicas: Vec<Arc<ReplicaRuntime>>,
}

impl Shard {
    /// The replicas that a destination of the shard stands for: one, or all.
    fn replicas_of<'a>(
        &'a self,
        destination: &'a Destination,
    ) -> impl Iterator<Item = &'a Arc<ReplicaRuntime>> {
        let wanted = destination.replica.as_deref();
        self.replicas
            .iter()
            .filter(move |replica| wanted.is_none_or(|address| address == replica.address()))
    }
}

/// A table that clients insert into.
#[derive(Debug)]
pub struct RoutedTable {
    /// `database.table`, as ClickHouse would quote it.
    pub name: String,
    /// As configured, its send settings merged.
    pub config: config::Table,
    /// Where its rows live.
    pub cluster: Arc<Cluster>,
    /// The slots of the cluster's weights.
    pub slots: Slots,
    /// The ring, with `assignment = "consistent"`.
    pub ring: Option<Ring>,
    /// For each shard, which lanes of the spool get its rows.
    pub lanes: Vec<ShareLanes>,
    /// Where its batches go.
    pub destinations: Vec<Destination>,
    /// What the target looks like, once it is known.
    schema: ArcSwapOption<crate::schema::TableSchema>,
    /// Whose turn it is among the replicas of a shard.
    chooser: Mutex<Chooser>,
    /// Why the target's columns cannot be used, as it was last told.
    schema_trouble: Mutex<String>,
    /// One DESCRIBE at a time.
    learning: tokio::sync::Mutex<()>,
    /// The answer of [`RoutedTable::deduplicates`], and the [`Identities::changes`] as of which it holds.
    deduplicates: Mutex<Option<(u64, Option<bool>)>>,
}

/// What an INSERT's table is to Weir.
pub enum Lookup {
    /// Routed.
    Routed(Arc<RoutedTable>),
    /// The target of this distributed table.
    Target(String),
    /// Nothing.
    Unknown,
}

/// What keeps a checked configuration from being used.
#[derive(Debug, thiserror::Error)]
pub enum RoutingError {
    /// Certificates or keys of a replica.
    #[error("replica {replica}: {error}")]
    Tls {
        /// host:port
        replica: String,
        /// Which file, and why.
        error: shard_client::TlsError,
    },
    /// Weights or names that slots or the ring cannot take.
    #[error("table {table}: {reason}")]
    Assignment {
        /// The distributed table.
        table: String,
        /// Why not.
        reason: String,
    },
    /// A name that does not fit the file system, or a limit.
    #[error(transparent)]
    Lane(#[from] spool::LaneError),
}

/// A configuration of which all that can fail has been tried, and that has changed nothing yet.
#[derive(Debug)]
pub struct Prepared {
    config: Arc<Config>,
    clusters: Vec<Arc<Cluster>>,
    tables: Vec<PreparedTable>,
}

impl Prepared {
    /// Makes a configuration ready. Replicas whose description is the same as before keep their connections
    /// and health.
    pub fn new(config: Arc<Config>, before: Option<&Routing>) -> Result<Self, RoutingError> {
        let clusters = config
            .clusters
            .iter()
            .map(|cluster| Cluster::new(cluster, &config, before).map(Arc::new))
            .collect::<Result<Vec<_>, _>>()?;
        let mut tables = Vec::new();
        for table in &config.tables {
            let Some(cluster) = clusters.iter().find(|cluster| cluster.name == table.cluster) else {
                continue; // the check of the configuration has refused this already
            };
            tables.push(PreparedTable::new(table, cluster)?);
        }
        Ok(Self {
            config,
            clusters,
            tables,
        })
    }

    /// Has the spool's lanes made or changed. The lanes were checked, so an error is a mistake of ours.
    pub fn routing(self, spool: &Spool, before: Option<&Routing>) -> Result<Routing, RoutingError> {
        let mut tables = BTreeMap::new();
        let mut targets = HashMap::new();
        let mut by_text = HashMap::new();
        for prepared in self.tables {
            let routed = Arc::new(prepared.routed(spool)?);
            routed.keep_schema_of(before);
            targets.insert(routed.config.target.clone(), routed.name.clone());
            by_text.insert(routed.name.clone(), routed.clone());
            tables.insert(routed.config.name.clone(), routed);
        }
        Ok(Routing {
            config: self.config,
            clusters: self.clusters,
            tables,
            targets,
            by_text,
        })
    }
}

impl Routing {
    /// What a named table is.
    pub fn lookup(&self, database: &str, table: &str) -> Lookup {
        let name = TableName::new(database, table);
        if let Some(routed) = self.tables.get(&name) {
            return Lookup::Routed(routed.clone());
        }
        match self.targets.get(&name) {
            Some(distributed) => Lookup::Target(distributed.clone()),
            None => Lookup::Unknown,
        }
    }

    /// Where a destination's batches go; none when its table, shard or replica is not configured.
    ///
    /// Rows belong to the cluster they were routed for: a table that has moved to another leaves its batches behind, as orphans.
    pub fn route(&self, destination: &Destination, cluster: &str) -> Option<Route> {
        let (table, shard) = self
            .shard_of(destination)
            .filter(|(table, _)| table.cluster.name == cluster)
            .filter(|(_, shard)| shard.internal_replication == destination.replica.is_none())?;
        let replicas: Vec<_> = shard.replicas_of(destination).cloned().collect();
        (!replicas.is_empty()).then(|| Route::new(table.clone(), shard.name.clone(), replicas))
    }

    /// Whether what goes there is the local share, which clients wait for.
    pub fn is_local(&self, destination: &Destination) -> bool {
        let found = self.shard_of(destination);
        found.is_some_and(|(_, shard)| shard.replicas_of(destination).any(|replica| replica.config.local))
    }

    /// How many senders the destination has: one, unless its order does not matter. A local replica has one, since clients wait
    /// for what it is sent.
    pub fn senders_of(&self, destination: &Destination) -> usize {
        let send = self
            .by_text
            .get(&destination.table)
            .map(|table| &table.config.send);
        match send.filter(|send| !send.ordered && !self.is_local(destination)) {
            Some(send) => usize::try_from(send.max_inflight_per_replica).unwrap_or(1),
            None => 1,
        }
    }

    fn shard_of(&self, destination: &Destination) -> Option<(&Arc<RoutedTable>, &Shard)> {
        let table = self.by_text.get(&destination.table)?;
        let mut shards = table.cluster.shards.iter();
        let shard = shards.find(|shard| shard.name == destination.shard)?;
        Some((table, shard))
    }

    /// Every destination that the configuration knows.
    pub fn destinations(&self) -> Vec<Destination> {
        self.tables
            .values()
            .flat_map(|table| table.destinations.iter().cloned())
            .collect()
    }

    /// Every routed table.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<RoutedTable>> {
        self.tables.values()
    }

    /// Every replica with its cluster and shard.
    pub fn replicas(&self) -> Vec<(&Cluster, &Shard, &Arc<ReplicaRuntime>)> {
        let mut replicas = Vec::new();
        for cluster in &self.clusters {
            for shard in &cluster.shards {
                replicas.extend(shard.replicas.iter().map(|replica| (&**cluster, shard, replica)));
            }
        }
        replicas
    }

    /// The cluster that a user's reads go to.
    pub fn default_cluster(&self, user: &config::User) -> Result<&Cluster, Exception> {
        let named = self
            .clusters
            .iter()
            .find(|cluster| cluster.name == user.default_cluster);
        named
            .or(self.clusters.first())
            .map(|cluster| &**cluster)
            .ok_or_else(|| {
                Exception::not_implemented("No cluster is configured, so there is no replica to ask.")
            })
    }

    /// Names of routed tables for an error's text: ten at most.
    pub fn some_table_names(&self) -> String {
        let mut names: Vec<_> = self.tables.values().map(|table| table.name.as_str()).collect();
        names.sort_unstable();
        let more = names.len().saturating_sub(10);
        names.truncate(10);
        let rest = if more == 0 {
            String::new()
        } else {
            format!(" and {more} more")
        };
        if names.is_empty() {
            "none".to_owned()
        } else {
            format!("{}{rest}", names.join(", "))
        }
    }
}

// === impl Cluster ===

impl Cluster {
    fn new(
        cluster: &config::Cluster,
        config: &Config,
        before: Option<&Routing>,
    ) -> Result<Self, RoutingError> {
        let inflight_max = inflight_max(config);
        let shards = cluster
            .shards
            .iter()
            .map(|shard| Shard::new(shard, inflight_max, before))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            name: cluster.name.clone(),
            epoch: cluster.epoch,
            shards,
            config: cluster.clone(),
        })
    }

    /// Whether the last word of every replica was none.
    pub fn is_down(&self) -> bool {
        let mut replicas = self.shards.iter().flat_map(|shard| &shard.replicas);
        replicas.all(|replica| !replica.is_up())
    }

    /// Its replicas in the order in which a read tries them: those that are up first, each group at random.
    pub fn read_order(&self) -> Vec<Arc<ReplicaRuntime>> {
        use rand::seq::SliceRandom as _;
        let mut replicas: Vec<_> = self
            .shards
            .iter()
            .flat_map(|shard| shard.replicas.iter().cloned())
            .collect();
        replicas.shuffle(&mut rand::rng());
        replicas.sort_by_key(|replica| !replica.is_up());
        replicas
    }
}

/// Batches being sent to one replica at once.
fn inflight_max(config: &Config) -> usize {
    usize::try_from(config.send.max_inflight_per_replica).unwrap_or(usize::MAX)
}

impl Shard {
    fn new(
        shard: &config::Shard,
        inflight_max: usize,
        before: Option<&Routing>,
    ) -> Result<Self, RoutingError> {
        let ready = |replica| ready_replica(replica, inflight_max, before);
        Ok(Self {
            name: shard.name.clone(),
            internal_replication: shard.internal_replication,
            replicas: shard.replicas.iter().map(ready).collect::<Result<_, _>>()?,
        })
    }
}

impl Shard {
    /// Which destinations of its remote lane have a replica that is up, by their place in the lane.
    pub fn remote_destinations_up(&self) -> Vec<usize> {
        if self.internal_replication {
            let any_up = self.replicas.iter().any(|replica| replica.is_up());
            return if any_up { vec![0] } else { Vec::new() };
        }
        // As `share_lanes` makes the lane.
        let remote = self.replicas.iter().filter(|replica| !replica.config.local);
        let up = remote.enumerate().filter(|(_, replica)| replica.is_up());
        up.map(|(at, _)| at).collect()
    }
}

/// The replica as it runs, or a new one that knows what the same server said.
fn ready_replica(
    replica: &config::Replica,
    inflight_max: usize,
    before: Option<&Routing>,
) -> Result<Arc<ReplicaRuntime>, RoutingError> {
    let running: Vec<_> = before.map(Routing::replicas).unwrap_or_default();
    let mut running = running.into_iter().map(|(_, _, running)| running);
    let is_the_same = |running: &&Arc<ReplicaRuntime>| running.is_the_same(replica, inflight_max);
    if let Some(same) = running.clone().find(is_the_same) {
        return Ok(same.clone());
    }
    let new = new_replica(replica, inflight_max)?;
    let of_server = running.find(|running| running.address() == new.address());
    if let Some(facts) = of_server.and_then(|running| running.known_facts()) {
        new.remember(facts);
    }
    Ok(new)
}

fn new_replica(replica: &config::Replica, inflight_max: usize) -> Result<Arc<ReplicaRuntime>, RoutingError> {
    let connections = inflight_max.saturating_add(CONNECTIONS_BESIDE_SENDERS);
    let client = Replica::new(endpoint(replica), connections).map_err(|error| RoutingError::Tls {
        replica: replica.address(),
        error,
    })?;
    Ok(Arc::new(ReplicaRuntime::new(
        replica.clone(),
        client,
        inflight_max,
    )))
}

/// How the client crate reaches a configured replica.
pub fn endpoint(replica: &config::Replica) -> Endpoint {
    let tls = &replica.tls;
    Endpoint {
        host: replica.host.clone(),
        port: replica.port,
        secure: replica.secure,
        user: replica.user.clone(),
        password: password(&replica.password),
        database: replica.database.clone(),
        tls: TlsFiles {
            ca: tls.ca.clone(),
            cert: tls.cert.clone(),
            key: tls.key.clone(),
            server_name: tls.server_name.clone(),
        },
        connect_timeout: replica.connect_timeout,
        receive_timeout: replica.receive_timeout,
    }
}

/// A secret as the client crate asks for it: at every request, so that a rotated file counts at once.
pub fn password(secret: &config::Secret) -> shard_client::Password {
    let secret = secret.clone();
    shard_client::Password::from_fn(move || {
        secret
            .read()
            .map(|password| password.expose().to_owned())
            .map_err(std::io::Error::other)
    })
}

// === impl RoutedTable ===

/// A table whose lanes are described and not made.
#[derive(Debug)]
struct PreparedTable {
    name: String,
    config: config::Table,
    cluster: Arc<Cluster>,
    slots: Slots,
    ring: Option<Ring>,
    lanes: Vec<LaneSpecs>,
}

/// The lanes of one shard of a table.
#[derive(Debug)]
struct LaneSpecs {
    local: Option<LaneSpec>,
    remote: Option<LaneSpec>,
}

impl PreparedTable {
    fn new(table: &config::Table, cluster: &Arc<Cluster>) -> Result<Self, RoutingError> {
        let name = table.name.to_string();
        let (slots, ring) = assignment(table, &cluster.config)?;
        let limits = BatchLimits {
            max_rows: table.send.max_batch_rows,
            max_bytes: table.send.max_batch_bytes,
            max_delay: table.send.max_batch_delay,
        };
        let lanes = cluster
            .shards
            .iter()
            .map(|shard| lane_specs(&name, shard, limits))
            .collect::<Vec<_>>();
        let specs = lanes
            .iter()
            .flat_map(|lanes| [&lanes.local, &lanes.remote])
            .flatten();
        specs.into_iter().try_for_each(spool::check_lane)?;
        Ok(Self {
            name,
            config: table.clone(),
            cluster: cluster.clone(),
            slots,
            ring,
            lanes,
        })
    }

    fn routed(self, spool: &Spool) -> Result<RoutedTable, RoutingError> {
        let Self {
            name,
            config,
            cluster,
            slots,
            ring,
            lanes,
        } = self;
        let lane = |spec: Option<LaneSpec>| spec.map(|spec| spool.lane(&spec)).transpose();
        let lanes = lanes.into_iter().map(|specs| {
            Ok(ShareLanes {
                local: lane(specs.local)?,
                remote: lane(specs.remote)?,
            })
        });
        Ok(RoutedTable {
            lanes: lanes.collect::<Result<_, RoutingError>>()?,
            config,
            slots,
            ring,
            destinations: cluster
                .shards
                .iter()
                .flat_map(|shard| destinations(&name, shard, |_| true))
                .collect(),
            schema: ArcSwapOption::empty(),
            schema_trouble: Mutex::default(),
            chooser: Mutex::new(crate::replica::chooser(cluster.config.load_balancing)),
            learning: tokio::sync::Mutex::default(),
            deduplicates: Mutex::default(),
            cluster,
            name,
        })
    }
}

impl RoutedTable {
    /// Refuses an INSERT while the table's place is in doubt.
    pub fn refuse_stopped(&self) -> Result<(), Exception> {
        match &self.config.stopped {
            None => Ok(()),
            Some(why) => Err(Exception::try_again(
                code::TABLE_IS_READ_ONLY,
                30,
                format!("Table {} takes no INSERTs: {why}.", self.name),
            )),
        }
    }

    /// The target's schema; asked of a replica or read from the disk when it is not known yet.
    pub async fn schema(&self, app: &App) -> Result<SharedSchema, Exception> {
        if let Some(schema) = self.schema.load_full() {
            return Ok(schema);
        }
        let _one_at_a_time = self.learning.lock().await;
        if let Some(schema) = self.schema.load_full() {
            return Ok(schema);
        }
        learn(app, self).await
    }

    /// The schema, if it is known.
    pub fn known_schema(&self) -> Option<SharedSchema> {
        self.schema.load_full()
    }

    /// Whether this trouble with the target's columns is news.
    pub fn is_new_trouble(&self, trouble: &str) -> bool {
        let mut told = self.schema_trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = *told != trouble;
        trouble.clone_into(&mut told);
        is_new
    }

    /// Where a batch of an INSERT's rows may go ahead of the others: destinations of shards that it has rows for, by their
    /// number, and whose replica is up, in the order of the shards. Local replicas are not among them: they are waited for anyway.
    pub fn probe_targets(&self, has_rows: impl Fn(usize) -> bool) -> Vec<ProbeTarget> {
        let shards = self.cluster.shards.iter().zip(&self.lanes).enumerate();
        let with_rows = shards.filter(|(number, _)| has_rows(*number));
        let lanes = with_rows.filter_map(|(_, (shard, lanes))| Some((shard, lanes.remote?)));
        lanes
            .flat_map(|(shard, lane)| {
                let up = shard.remote_destinations_up().into_iter();
                up.map(move |destination| ProbeTarget { lane, destination })
            })
            .collect()
    }

    /// Replicas of a shard in the order in which they are tried.
    pub fn in_order(&self, replicas: &[Arc<ReplicaRuntime>]) -> Vec<Arc<ReplicaRuntime>> {
        let mut chooser = self.chooser.lock().unwrap_or_else(PoisonError::into_inner);
        crate::replica::order(replicas, &mut chooser)
    }

    /// The slots of those shards alone that have a replica which is not known to be down; none where that is no shard.
    pub fn slots_of_up(&self) -> Option<Slots> {
        let weight = |shard: &Shard, config: &config::Shard| {
            let is_up = shard.replicas.iter().any(|replica| replica.health().is_usable());
            if is_up { config.weight } else { 0 }
        };
        let shards = self.cluster.shards.iter().zip(&self.cluster.config.shards);
        let weights: Vec<_> = shards.map(|(shard, config)| weight(shard, config)).collect();
        Slots::new(&weights).ok()
    }

    /// The target on one replica of a shard; of an address that is not configured any more as on most.
    pub fn place(&self, shard: &str, address: &str, replica: Option<&ReplicaRuntime>) -> Place {
        let target = &self.config.target;
        let database = replica.map_or(target.database.as_str(), |replica| {
            replica.database(&target.database)
        });
        Place {
            cluster: self.cluster.name.clone(),
            shard: shard.to_owned(),
            replica: address.to_owned(),
            database: database.to_owned(),
            table: target.table.clone(),
        }
    }

    /// Whether the target drops a repeated block by itself; none while no replica was met. Asked for every INSERT, so kept.
    pub fn deduplicates(&self, identities: &Identities) -> Option<bool> {
        let mut kept = self.deduplicates.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = identities.changes();
        if let Some((of, answer)) = *kept
            && of == changes
        {
            return answer;
        }
        let places = self.cluster.shards.iter().flat_map(|shard| {
            let replicas = shard.replicas.iter();
            replicas.map(|replica| self.place(&shard.name, replica.address(), Some(replica)))
        });
        let answer = identities.deduplicate(places);
        *kept = Some((changes, answer));
        answer
    }

    /// A new schema is in force from the next INSERT on.
    pub fn set_schema(&self, schema: SharedSchema) {
        self.schema.store(Some(schema));
    }

    /// The servers' time zone, once it is known.
    pub fn time_zone(&self) -> Option<String> {
        self.schema.load().as_ref().map(|schema| schema.time_zone.clone())
    }

    /// A table whose key and target did not change by a reload keeps what is known of it.
    fn keep_schema_of(&self, before: Option<&Routing>) {
        let Some(before) = before.and_then(|routing| routing.by_text.get(&self.name)) else {
            return;
        };
        let same = before.config.target == self.config.target
            && before.config.sharding_key == self.config.sharding_key
            && before.config.cluster == self.config.cluster;
        if same {
            self.schema.store(before.schema.load_full());
        }
    }
}

/// How a table's sharding values become shards: its cluster's slots, and with `assignment = "consistent"` a
/// ring.
pub fn assignment(
    table: &config::Table,
    cluster: &config::Cluster,
) -> Result<(Slots, Option<Ring>), RoutingError> {
    let refused = |reason: String| RoutingError::Assignment {
        table: table.name.to_string(),
        reason,
    };
    let weights: Vec<_> = cluster.shards.iter().map(|shard| shard.weight).collect();
    let slots = Slots::new(&weights).map_err(|error| refused(error.to_string()))?;
    if table.assignment == Assignment::Slots {
        return Ok((slots, None));
    }
    let named: Vec<_> = cluster
        .shards
        .iter()
        .map(|s| (s.name.as_str(), s.weight))
        .collect();
    let ring = Ring::new(&named).map_err(|error| refused(error.to_string()))?;
    Ok((slots, Some(ring)))
}

fn lane_specs(table: &str, shard: &Shard, limits: BatchLimits) -> LaneSpecs {
    let lane = |destinations: Vec<Destination>, local: bool| {
        let spec = LaneSpec {
            table: table.to_owned(),
            shard: shard.name.clone(),
            destinations,
            local,
            limits,
        };
        (!spec.destinations.is_empty()).then_some(spec)
    };
    let has_local = shard.replicas.iter().any(|replica| replica.config.local);
    if shard.internal_replication {
        let destination = destinations(table, shard, |_| true);
        return match has_local {
            true => LaneSpecs {
                local: lane(destination, true),
                remote: None,
            },
            false => LaneSpecs {
                local: None,
                remote: lane(destination, false),
            },
        };
    }
    let local = destinations(table, shard, |replica| replica.config.local);
    let others = destinations(table, shard, |replica| !replica.config.local);
    LaneSpecs {
        local: lane(local, true),
        remote: lane(others, false),
    }
}

/// A shard's destinations: one, or with internal_replication off one for each of its replicas that `wanted`
/// names.
fn destinations(table: &str, shard: &Shard, wanted: impl Fn(&ReplicaRuntime) -> bool) -> Vec<Destination> {
    let destination = |replica| Destination {
        table: table.to_owned(),
        shard: shard.name.clone(),
        replica,
    };
    if shard.internal_replication {
        return vec![destination(None)];
    }
    let replicas = shard.replicas.iter().filter(|replica| wanted(replica));
    replicas
        .map(|replica| destination(Some(replica.address().to_owned())))
        .collect()
}
