//! What follows from the words of several replicas: who is who, what they do not have in common. Pure.

use std::collections::BTreeMap;

use shard_client::DescribedColumn;

use super::facts::{AtReplica, TableFacts, TargetFacts};
use super::finding::{Effect, Finding};
use crate::identity::{Identity, Place, Remembered};

/// Everything that the replicas together say against the table. `remembered` is who they were, and grows with them.
pub fn findings(of: &TableFacts<'_>, remembered: &mut Remembered) -> Vec<Finding> {
    let mut found = identities(of, remembered);
    found.extend(paths_of_two_shards(of));
    for shard in &of.cluster.shards {
        let replicas = told(of).filter(|(at, _)| at.shard.name == shard.name);
        found.extend(in_shard(shard, &replicas.collect::<Vec<_>>()));
    }
    found.extend(columns(of));
    found.extend(time_zones(of));
    found
}

type Told<'f> = (&'f AtReplica<'f>, &'f TargetFacts);

/// The replicas that have the target.
fn told<'f>(of: &'f TableFacts<'f>) -> impl Iterator<Item = Told<'f>> {
    of.replicas.iter().filter_map(|at| Some((at, at.target()?)))
}

fn identities(of: &TableFacts<'_>, remembered: &mut Remembered) -> Vec<Finding> {
    let mut found = Vec::new();
    for (at, target) in told(of) {
        let Ok(answer) = &at.answer else { continue };
        let place = Place {
            cluster: of.cluster.name.clone(),
            shard: at.shard.name.clone(),
            replica: at.replica.address(),
            database: at.database(of.table).to_owned(),
            table: of.table.target.table.clone(),
        };
        let identity = Identity::of(&answer.server.facts, &target.target);
        if let Some(why) = remembered.meet(&place, &identity) {
            let next = format!(
                "look whether the addresses in weir.toml are right; if it was replaced on purpose: weir clusters accept {}@{}",
                place.shard, place.replica
            );
            let what = format!("the replica is not who it was, and nothing is written to it: {why}");
            found.push(Finding::new(Effect::Stops, what, next).at(&place.shard, place.replica));
        }
    }
    found
}

fn paths_of_two_shards(of: &TableFacts<'_>) -> Vec<Finding> {
    let mut shards_of: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (at, target) in told(of) {
        let Some(path) = &target.target.zookeeper_path else {
            continue;
        };
        let shards = shards_of.entry(path).or_default();
        if !shards.contains(&at.shard.name.as_str()) {
            shards.push(&at.shard.name);
        }
    }
    let shared = shards_of.into_iter().filter(|(_, shards)| shards.len() > 1);
    let told = shared.map(|(path, shards)| {
        Finding::new(
            Effect::Stops,
            format!(
                "the shards {} have one zookeeper_path, {path}: they are one, and every row is on each",
                shards.join(", ")
            ),
            "give each shard a path of its own ({shard} in it), or correct the addresses",
        )
    });
    told.collect()
}

fn in_shard(shard: &config::Shard, replicas: &[Told<'_>]) -> Option<Finding> {
    let [(_, first), others @ ..] = replicas else {
        return None;
    };
    if others.is_empty() {
        return None;
    }
    let path = |facts: &TargetFacts| facts.target.zookeeper_path.clone();
    let other_path = others.iter().find(|(_, facts)| path(facts) != path(first));
    let finding = match (
        shard.internal_replication,
        first.target.is_replicated(),
        other_path,
    ) {
        (true, _, Some((_, other))) => Finding::new(
            Effect::Stops,
            format!(
                "its replicas have no common zookeeper_path ({} and {}): what one is sent the other never has",
                or_none(path(first)),
                or_none(path(other))
            ),
            "give the replicas of a shard one path, or set internal_replication = false",
        ),
        (true, false, None) => Finding::new(
            Effect::Stops,
            format!(
                "internal_replication is true and {} does not replicate: each batch is on one of the replicas only",
                first.target.engine
            ),
            "set internal_replication = false, or make the table Replicated",
        ),
        (false, true, None) => Finding::new(
            Effect::Warns,
            "internal_replication is false and the replicas pass rows on to each other: each batch is sent for each, and only their window keeps it from being doubled",
            "set internal_replication = true",
        ),
        (true, true, None) | (false, _, _) => return None,
    };
    Some(finding.in_shard(&shard.name))
}

fn or_none(path: Option<String>) -> String {
    path.unwrap_or_else(|| "none".to_owned())
}

/// How the columns of each replica differ from those of the first that told.
fn columns(of: &TableFacts<'_>) -> Vec<Finding> {
    let mut told = told(of);
    let Some((first, known)) = told.next() else {
        return Vec::new();
    };
    let found = told.filter_map(|(at, facts)| {
        let (effect, what) = difference(&known.description.columns, &facts.description.columns)?;
        let what = format!("{what} on {}", first.replica.address());
        let next = "make the columns the same everywhere (ALTER TABLE)";
        Some(Finding::new(effect, what, next).at(&at.shard.name, at.replica.address()))
    });
    found.collect()
}

/// The first difference of a replica's columns: one that INSERTs may name and only one side has is refused there.
fn difference(known: &[DescribedColumn], here: &[DescribedColumn]) -> Option<(Effect, String)> {
    let insertable = |column: &&DescribedColumn| column.default_kind.is_insertable();
    let in_list = |list: &[DescribedColumn], name: &str| {
        list.iter()
            .any(|column| column.name == name && column.default_kind.is_insertable())
    };
    if let Some(missing) = known
        .iter()
        .filter(insertable)
        .find(|column| !in_list(here, &column.name))
    {
        return Some((
            Effect::Stops,
            format!("column {} is not here, and is", missing.name),
        ));
    }
    if let Some(extra) = here
        .iter()
        .filter(insertable)
        .find(|column| !in_list(known, &column.name))
    {
        return Some((
            Effect::Stops,
            format!("column {} is here, and is not", extra.name),
        ));
    }
    for column in known {
        let same = here.iter().find(|other| other.name == column.name);
        match same {
            Some(other) if other.type_name != column.type_name => {
                let (name, here, there) = (&column.name, &other.type_name, &column.type_name);
                return Some((
                    Effect::Warns,
                    format!("column {name} is {here} here, and {there}"),
                ));
            }
            Some(other)
                if (other.default_kind, &other.default_expression)
                    != (column.default_kind, &column.default_expression) =>
            {
                return Some((
                    Effect::Warns,
                    format!("column {} has another default here than", column.name),
                ));
            }
            Some(_) | None => {}
        }
    }
    None
}

fn time_zones(of: &TableFacts<'_>) -> Option<Finding> {
    let mut zones: Vec<&str> = told(of)
        .map(|(_, facts)| facts.description.time_zone.as_str())
        .collect();
    zones.sort_unstable();
    zones.dedup();
    (zones.len() > 1).then(|| {
        Finding::new(
            Effect::Warns,
            format!(
                "the servers have the time zones {}: a DateTime without one is read differently",
                zones.join(", ")
            ),
            "give all one time zone, or the columns theirs: DateTime('UTC')",
        )
    })
}
