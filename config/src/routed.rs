//! What is routed: the tables of the file, and the Distributed tables that the seeds of a cluster showed.
//!
//! Pure: [`Config::with_discovered`] takes what was seen and the layouts in force, and says what follows. A
//! table whose place is in doubt stays routed, so that its waiting rows arrive, and takes no INSERTs.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::Config;
use crate::cluster::Cluster;
use crate::discover::Discovery;
use crate::layout::{Layout, LayoutTable};
use crate::names::TableName;
use crate::table::{Assignment, Origin, Table};

/// A Distributed table as a seed showed it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeenTable {
    /// What clients insert into.
    pub name: TableName,
    /// What exists on the shards.
    pub target: TableName,
    /// The key's text.
    pub sharding_key: Option<String>,
}

/// What one seed said of one cluster when it last answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sighting {
    /// The weights of its shards in their order; empty if the seed does not know the cluster.
    pub weights: Vec<u32>,
    /// Its Distributed tables, sorted by name.
    pub tables: Vec<SeenTable>,
    /// Distributed tables that cannot be routed, with the reason.
    pub unusable: Vec<(TableName, String)>,
}

/// What is known of all discovering clusters: cluster → seed's address → what it said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sightings(pub BTreeMap<String, BTreeMap<String, Sighting>>);

impl Config {
    /// This configuration with the tables that follow from what was seen, in the place of those discovered
    /// before; and what an operator should know, one line each. `in_force` are the layouts in force.
    pub fn with_discovered(
        &self,
        seen: &Sightings,
        in_force: &BTreeMap<String, Layout>,
    ) -> (Config, Vec<String>) {
        let mut merge = Merge {
            config: self,
            taken: BTreeSet::new(),
            tables: self.listed_tables().cloned().collect(),
            remarks: Vec::new(),
        };
        merge
            .taken
            .extend(merge.tables.iter().map(|table| table.name.clone()));
        for cluster in &self.clusters {
            if let (Some(discovery), Some(seen)) = (&cluster.discovery, seen.0.get(&cluster.name)) {
                merge.add(cluster, discovery, seen, in_force.get(&cluster.name));
            }
        }
        let Merge { tables, remarks, .. } = merge;
        (
            Config {
                tables,
                ..self.clone()
            },
            remarks,
        )
    }

    /// The tables that stand in the file.
    pub fn listed_tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.iter().filter(|table| table.origin == Origin::File)
    }
}

/// What is different between the weights of the file and those that a seed has in `system.clusters`, in
/// words.
pub fn weights_difference(cluster: &Cluster, seed: &str, weights: &[u32]) -> Option<String> {
    let own: Vec<_> = cluster.shards.iter().map(|shard| shard.weight).collect();
    if weights.is_empty() {
        let name = &cluster.name;
        return Some(format!("seed {seed} has no cluster {name} in system.clusters"));
    }
    (own != weights).then(|| {
        format!(
            "its shards have the weights {} in weir.toml and {} in system.clusters of seed {seed}: rows of one key \
             would lie on two shards",
            listed(&own),
            listed(weights)
        )
    })
}

fn listed(weights: &[u32]) -> String {
    let words: Vec<_> = weights.iter().map(u32::to_string).collect();
    words.join(", ")
}

struct Merge<'a> {
    config: &'a Config,
    /// Names that stand for something already.
    taken: BTreeSet<TableName>,
    tables: Vec<Table>,
    remarks: Vec<String>,
}

impl Merge<'_> {
    fn add(
        &mut self,
        cluster: &Cluster,
        discovery: &Discovery,
        seen: &BTreeMap<String, Sighting>,
        in_force: Option<&Layout>,
    ) {
        // Seeds that left the file say nothing any more; the others in the order of the file.
        let addresses = discovery.seeds.iter().map(|seed| seed.address());
        let sightings: Vec<_> = addresses
            .filter_map(|address| seen.get_key_value(&address))
            .collect();
        let stop_all = self.weights_in_doubt(cluster, &sightings);
        let candidates = candidates(discovery, &sightings);
        let names: BTreeSet<_> = candidates.keys().map(|name| (*name).clone()).collect();
        for (name, (seed, table, other)) in candidates {
            if self.taken.contains(name) {
                continue; // the file's own word goes before, and then the first cluster's
            }
            if table.target != *name && (names.contains(&table.target) || self.taken.contains(&table.target))
            {
                let text = format!(
                    "{name} is not routed: its target {} is itself a distributed table",
                    table.target
                );
                self.remarks.push(text);
                continue;
            }
            let stopped = stop_all.clone().or_else(|| seeds_differ(seed, table, other));
            let guard = in_force.filter(|layout| layout.epoch == cluster.epoch);
            let known = guard.and_then(|layout| layout.tables.get(name));
            let routed = self.routed(cluster, table, known, stopped);
            if let Some(why) = &routed.stopped {
                self.remarks.push(format!("{name} takes no INSERTs: {why}"));
            }
            self.taken.insert(name.clone());
            self.tables.push(routed);
        }
        let unusable = sightings.iter().flat_map(|(_, sighting)| &sighting.unusable);
        for (name, why) in unusable.filter(|(name, _)| discovery.tables.matches(name)) {
            self.remarks.push(format!("{name} is not routed: {why}"));
        }
    }

    /// Why no table of the cluster may take INSERTs: slots other than the servers' are data in the wrong
    /// place.
    fn weights_in_doubt(&mut self, cluster: &Cluster, sightings: &[(&String, &Sighting)]) -> Option<String> {
        let with_tables = sightings
            .iter()
            .filter(|(_, sighting)| !sighting.tables.is_empty());
        let difference = with_tables
            .filter_map(|(seed, sighting)| weights_difference(cluster, seed, &sighting.weights))
            .next()?;
        let why = format!("cluster {}: {difference}", cluster.name);
        self.remarks
            .push(format!("{why}; the tables discovered there take no INSERTs"));
        Some(why)
    }

    fn routed(
        &self,
        cluster: &Cluster,
        seen: &SeenTable,
        known: Option<&LayoutTable>,
        stopped: Option<String>,
    ) -> Table {
        let said = LayoutTable {
            sharding_key: seen.sharding_key.clone(),
            assignment: Assignment::Slots,
        };
        let changed = known.filter(|known| **known != said);
        // What was accepted under the old key goes where the old key said; no new rows come until somebody says so.
        let LayoutTable {
            sharding_key,
            assignment,
        } = changed.cloned().unwrap_or(said);
        let stopped = stopped.or_else(|| {
            let from = changed?.sharding_key.as_deref().unwrap_or("none");
            let to = seen.sharding_key.as_deref().unwrap_or("none");
            Some(format!(
                "its sharding key changed from {from} to {to}, and rows of one key would lie on two shards; if this is \
                 meant: weir clusters accept {}",
                seen.name
            ))
        });
        let over = self.config.override_of(&seen.name, &cluster.name);
        Table {
            name: seen.name.clone(),
            cluster: cluster.name.clone(),
            target: seen.target.clone(),
            sharding_key,
            assignment,
            when_shard_down: over.when_shard_down,
            forward_settings: over.forward_settings,
            settings: over.settings,
            send: over.send,
            origin: Origin::Discovered,
            stopped,
            line: None,
        }
    }
}

/// Each wanted table with the seed that showed it first, and what another seed said of it that differs.
type Candidates<'a> = BTreeMap<&'a TableName, (&'a str, &'a SeenTable, Option<(&'a str, &'a SeenTable)>)>;

fn candidates<'a>(discovery: &Discovery, sightings: &[(&'a String, &'a Sighting)]) -> Candidates<'a> {
    let mut found: Candidates<'a> = BTreeMap::new();
    let all = sightings
        .iter()
        .flat_map(|(seed, sighting)| sighting.tables.iter().map(move |table| (seed.as_str(), table)));
    for (seed, table) in all.filter(|(_, table)| discovery.tables.matches(&table.name)) {
        let first = found.entry(&table.name).or_insert((seed, table, None));
        if first.1 != table && first.2.is_none() {
            first.2 = Some((seed, table));
        }
    }
    found
}

fn seeds_differ(seed: &str, table: &SeenTable, other: Option<(&str, &SeenTable)>) -> Option<String> {
    let (other_seed, other) = other?;
    let words = |table: &SeenTable| {
        let key = table.sharding_key.as_deref().unwrap_or("none");
        format!("target {}, sharding key {key}", table.target)
    };
    Some(format!(
        "the seeds disagree about it: {} on {seed}, {} on {other_seed}",
        words(table),
        words(other)
    ))
}
