//! Discovery: the Distributed tables of a cluster, found on its seeds and routed without being listed.
//!
//! One task asks every seed each `refresh`, and an INSERT into an unknown table has them asked at once, at
//! most once in [`ASK_PAUSE`]. What a seed said stands until it says something else: one that does not answer
//! takes no table away. What was seen lies in `meta/discovered/`, so that Weir starts and routes while
//! everything is down; what follows from it is [`config::Config::with_discovered`]'s to say, which is pure.

mod kept;
pub mod seed;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use config::{Cluster, Config, Origin, Sighting, Sightings, TableName};
use futures_util::future::join_all;
use shard_client::Replica;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::app::App;
use crate::layouts::{self, LayoutsError};
use crate::metrics::Discovered;
use crate::routing::{self, Lookup};
use crate::tasks::Stop;
use kept::KeptSightings;

/// A seed that hangs is given up after this long; what it said before stands.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// An INSERT into an unknown table waits no longer for the seeds.
const INSERT_PATIENCE: Duration = Duration::from_secs(5);

/// INSERTs into unknown tables have the seeds asked no more often, and wait so long: a client with a wrong
/// name must not become load on the servers.
const ASK_PAUSE: Duration = Duration::from_millis(500);

/// Connections to one seed: its few queries come one after another.
const SEED_CONNECTIONS: usize = 2;

/// What the seeds said, and when.
#[derive(Debug)]
pub struct Discovery {
    seen: Mutex<Sightings>,
    kept: KeptSightings,
    /// When the last question to each cluster's seeds began. Locked while asking: one at a time.
    asked: tokio::sync::Mutex<HashMap<String, Instant>>,
    /// Why each seed did not answer, as it was last told; seeds that answered are not in it.
    troubles: Mutex<BTreeMap<(String, String), String>>,
    /// What was last told of tables that are not routed, or take no INSERTs.
    told: Mutex<Vec<String>>,
    /// Wakes the task: a reload may have brought new seeds.
    wake: Notify,
}

impl Discovery {
    /// With what was kept below this spool's `meta/`.
    pub fn of_spool(spool: &Path) -> Self {
        let kept = KeptSightings::below(spool);
        Self {
            seen: Mutex::new(kept.read()),
            kept,
            asked: tokio::sync::Mutex::default(),
            troubles: Mutex::default(),
            told: Mutex::default(),
            wake: Notify::new(),
        }
    }

    /// All that was seen so far.
    pub fn seen(&self) -> Sightings {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The configuration may have changed: ask again.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// The seeds that did not answer when they were asked last: cluster, seed, why.
    fn troubles(&self) -> BTreeMap<(String, String), String> {
        let troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.clone()
    }

    /// What each discovering cluster has found, for metrics.
    pub fn found(&self, config: &Config) -> Vec<Discovered> {
        let troubles = self.troubles();
        let discovering = config
            .clusters
            .iter()
            .filter_map(|cluster| Some((cluster, cluster.discovery.as_ref()?)));
        let found = |(cluster, discovery): (&Cluster, &config::Discovery)| {
            let mine =
                |table: &&config::Table| table.origin == Origin::Discovered && table.cluster == cluster.name;
            let tables: Vec<_> = config.tables.iter().filter(mine).collect();
            let seeds = discovery.seeds.iter().map(|seed| {
                let address = seed.address();
                let up = !troubles.contains_key(&(cluster.name.clone(), address.clone()));
                (address, up)
            });
            Discovered {
                cluster: cluster.name.clone(),
                tables: tables.len() as u64,
                stopped: tables.iter().filter(|table| table.stopped.is_some()).count() as u64,
                seeds: seeds.collect(),
            }
        };
        discovering.map(found).collect()
    }

    /// Tells what an operator should know, if it is not what was told last.
    pub fn tell(&self, remarks: Vec<String>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for remark in remarks.iter().filter(|remark| !told.contains(remark)) {
            tracing::warn!("discovery: {remark}");
        }
        *told = remarks;
    }

    /// Takes what a seed said; whether it is new.
    fn saw(&self, cluster: &str, seed: &str, sighting: Sighting) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let of_cluster = seen.0.entry(cluster.to_owned()).or_default();
        let is_new = of_cluster.get(seed) != Some(&sighting);
        of_cluster.insert(seed.to_owned(), sighting);
        is_new
    }

    fn note(&self, cluster: &str, seed: &str, trouble: Option<String>) {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (cluster.to_owned(), seed.to_owned());
        let Some(trouble) = trouble else {
            if troubles.remove(&place).is_some() {
                tracing::info!(cluster, seed, "the seed answers again");
            }
            return;
        };
        if troubles.insert(place, trouble.clone()).is_none() {
            tracing::warn!(
                cluster,
                seed,
                error = trouble,
                "a seed does not answer; what it said before stands"
            );
        }
    }
}

/// A routed table as listings show it.
pub fn table_json(table: &config::Table) -> serde_json::Value {
    serde_json::json!({
        "cluster": table.cluster, "table": table.name.to_string(), "target": table.target.to_string(),
        "sharding_key": table.sharding_key, "from": origin_word(table), "stopped": table.stopped,
    })
}

/// Where a routed table stands, in a word.
pub fn origin_word(table: &config::Table) -> &'static str {
    match table.origin {
        Origin::File => "weir.toml",
        Origin::Discovered => "discovered",
    }
}

/// The configuration with the tables that follow from what was seen, and what an operator should know.
pub fn merged(config: &Config, seen: &Sightings) -> Result<(Config, Vec<String>), LayoutsError> {
    Ok(config.with_discovered(seen, &layouts::all_in_force(config)?))
}

/// The configuration with the tables that a router would route from what it kept in `meta/`.
pub fn of_disk(config: &Config) -> Result<(Config, Vec<String>), LayoutsError> {
    merged(config, &KeptSightings::below(&config.spool.path).read())
}

/// The configuration with the tables that its seeds show now, over what was kept; and why seeds did not
/// answer. For commands: nothing is kept.
pub async fn of_seeds(config: &Config) -> Result<(Config, Vec<String>), LayoutsError> {
    let mut seen = KeptSightings::below(&config.spool.path).read();
    let mut troubles = Vec::new();
    for (cluster, seed, answer) in ask(config.clusters.iter()).await {
        match answer {
            Ok(sighting) => {
                seen.0.entry(cluster).or_default().insert(seed, sighting);
            }
            Err(error) => troubles.push(format!(
                "seed {seed} of cluster {cluster} does not answer: {error}"
            )),
        }
    }
    let (config, mut remarks) = merged(config, &seen)?;
    remarks.extend(troubles);
    Ok((config, remarks))
}

/// Asks the seeds of each cluster when its refresh has come, until the end.
pub async fn keep_fresh(app: Arc<App>, mut stop: Stop) {
    loop {
        let next = ask_due(&app).await;
        tokio::select! {
            () = stop.requested() => return,
            () = app.discovery.wake.notified() => {}
            () = tokio::time::sleep_until(next) => {}
        }
    }
}

/// Asks for the clusters whose time has come; the moment when the next one's comes.
async fn ask_due(app: &Arc<App>) -> Instant {
    let routing = app.routing();
    let mut asked = app.discovery.asked.lock().await;
    let now = Instant::now();
    let due_at = |asked: &HashMap<String, Instant>, cluster: &Cluster| {
        let refresh = cluster.discovery.as_ref()?.refresh;
        Some(asked.get(&cluster.name).map_or(now, |at| *at + refresh))
    };
    let is_due = |cluster: &&Cluster| due_at(&asked, cluster).is_some_and(|due| due <= now);
    let due: Vec<_> = routing.config.clusters.iter().filter(is_due).collect();
    look(app, &due, &mut asked).await;
    let clusters = routing.config.clusters.iter();
    let next = clusters.filter_map(|cluster| due_at(&asked, cluster)).min();
    // Nothing discovers: a reload wakes the task.
    next.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600))
}

/// What a table is that an INSERT names and nobody knows: the seeds are asked once more.
pub async fn look_up(app: &Arc<App>, name: &TableName) -> Lookup {
    if app
        .routing()
        .config
        .clusters
        .iter()
        .any(|cluster| could_have(cluster, name))
    {
        // On its own, for what was seen must become the routing even if the client goes away. Without an
        // answer in time the table stays unknown, and the client tries again.
        let asking = tokio::spawn(ask_for(app.clone(), Instant::now(), name.clone()));
        let _ = tokio::time::timeout(INSERT_PATIENCE, asking).await;
    }
    app.routing().lookup(&name.database, &name.table)
}

fn could_have(cluster: &Cluster, name: &TableName) -> bool {
    cluster
        .discovery
        .as_ref()
        .is_some_and(|found| found.tables.matches(name))
}

async fn ask_for(app: Arc<App>, since: Instant, name: TableName) {
    let mut asked = app.discovery.asked.lock().await;
    let routing = app.routing();
    // What was asked after the INSERT had come, by another INSERT, need not be asked again.
    let worth = |cluster: &&Cluster| {
        could_have(cluster, &name) && asked.get(&cluster.name).is_none_or(|at| *at < since)
    };
    let clusters: Vec<_> = routing.config.clusters.iter().filter(worth).collect();
    if let Some(last) = clusters
        .iter()
        .filter_map(|cluster| asked.get(&cluster.name))
        .max()
    {
        tokio::time::sleep_until(*last + ASK_PAUSE).await;
    }
    look(&app, &clusters, &mut asked).await;
}

/// Asks for these clusters, keeps what is new and routes it.
async fn look(app: &Arc<App>, clusters: &[&Cluster], asked: &mut HashMap<String, Instant>) {
    if clusters.is_empty() {
        return;
    }
    let now = Instant::now();
    asked.extend(clusters.iter().map(|cluster| (cluster.name.clone(), now)));
    let mut changed = Vec::new();
    for (cluster, seed, answer) in ask(clusters.iter().copied()).await {
        let trouble = answer.as_ref().err().cloned();
        app.discovery.note(&cluster, &seed, trouble);
        if let Ok(sighting) = answer
            && app.discovery.saw(&cluster, &seed, sighting)
        {
            changed.push(cluster);
        }
    }
    if changed.is_empty() {
        return;
    }
    keep(app, changed).await;
    app.reroute().await;
}

async fn keep(app: &Arc<App>, clusters: Vec<String>) {
    let (kept, seen) = (app.discovery.kept.clone(), app.discovery.seen());
    let written = tokio::task::spawn_blocking(move || {
        clusters.iter().try_for_each(|cluster| kept.write(cluster, &seen))
    });
    let written = written
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)));
    if let Err(error) = written {
        tracing::warn!(%error, "the discovered tables could not be kept for the next start");
    }
}

/// Every seed of these clusters, all at once: cluster, seed, what it said or why it did not.
async fn ask<'a>(
    clusters: impl Iterator<Item = &'a Cluster>,
) -> Vec<(String, String, Result<Sighting, String>)> {
    let seeds = clusters.flat_map(|cluster| {
        let seeds = cluster.discovery.iter().flat_map(|discovery| &discovery.seeds);
        seeds.map(move |seed| (cluster, seed))
    });
    let asked = seeds.map(|(cluster, seed)| async move {
        let answer = tokio::time::timeout(ASK_TIMEOUT, ask_seed(cluster, seed)).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("no answer in {ASK_TIMEOUT:?}")));
        (cluster.name.clone(), seed.address(), answer)
    });
    join_all(asked).await
}

async fn ask_seed(cluster: &Cluster, seed: &config::Replica) -> Result<Sighting, String> {
    // Made anew each time: certificates that were replaced count at the next question.
    let client =
        Replica::new(routing::endpoint(seed), SEED_CONNECTIONS).map_err(|error| error.to_string())?;
    seed::sighting(&client, &cluster.name).await
}
