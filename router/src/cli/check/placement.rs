//! Whether the shards' own Distributed tables place rows as Weir does: key, weights, internal_replication. Pure.
//!
//! Where they do not, rows of one key lie on two shards, and a SELECT that skips shards by the key misses some.

use config::{Assignment, TableName};

use super::facts::{AtReplica, ServerFacts, ShownShard, TableFacts};
use super::finding::{Effect, Finding};
use crate::discovery::seed;

/// A Distributed table of a replica that stands for the target.
struct Own {
    name: TableName,
    cluster: String,
    key: Option<String>,
}

/// Everything that the replicas' own Distributed tables have other than Weir.
pub fn findings(of: &TableFacts<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for at in &of.replicas {
        let Ok(answer) = &at.answer else { continue };
        for own in standing_for(of, at, &answer.server) {
            let shards = answer.server.clusters.get(&own.cluster);
            let differences = differences(of, &own, shards.map(Vec::as_slice));
            found.extend(
                differences
                    .into_iter()
                    .map(|finding| finding.at(&at.shard.name, at.replica.address())),
            );
        }
    }
    found
}

fn standing_for(of: &TableFacts<'_>, at: &AtReplica<'_>, server: &ServerFacts) -> Vec<Own> {
    let target = TableName::new(at.database(of.table), &of.table.target.table);
    let own = server.distributed.iter().filter_map(|shown| {
        let (cluster, seen) = seed::placed(shown, &server.macros, None).ok()?;
        let shards = server.clusters.get(&cluster);
        let default =
            shards.and_then(|shards| shards.iter().find_map(|shard| shard.default_database.clone()));
        let (_, seen) = match default {
            Some(default) => seed::placed(shown, &server.macros, Some(&default)).ok()?,
            None => (cluster.clone(), seen),
        };
        (seen.target == target || seen.target == of.table.target).then_some(Own {
            name: seen.name,
            cluster,
            key: seen.sharding_key,
        })
    });
    own.collect()
}

/// One of the same name is what clients inserted into before; another one may stand for something else on purpose.
fn differences(of: &TableFacts<'_>, own: &Own, shards: Option<&[ShownShard]>) -> Vec<Finding> {
    let effect = match own.name == of.table.name {
        true => Effect::Stops,
        false => Effect::Warns,
    };
    let name = &own.name;
    let mut found = Vec::new();
    match of.table.assignment {
        Assignment::Consistent => {
            let what = format!(
                "assignment is \"consistent\": the server's own Distributed table {name} places rows by slots"
            );
            let next =
                "insert through Weir alone, and let no SELECT skip shards (optimize_skip_unused_shards = 0)";
            return vec![Finding::new(Effect::Warns, what, next)];
        }
        Assignment::Slots => {}
    }
    let key = of.table.sharding_key.as_deref();
    if key.map(plain) != own.key.as_deref().map(plain) {
        let what = format!(
            "the server's own Distributed table {name} has the sharding key {}, and Weir has {}",
            own.key.as_deref().unwrap_or("none"),
            key.unwrap_or("none")
        );
        found.push(Finding::new(
            effect,
            what,
            "give both the same key, or insert through one of them only",
        ));
    }
    if let Some(shards) = shards {
        found.extend(of_cluster(of, own, shards, effect));
    }
    found
}

fn of_cluster(of: &TableFacts<'_>, own: &Own, shards: &[ShownShard], effect: Effect) -> Vec<Finding> {
    let Own { name, cluster, .. } = own;
    let ours: Vec<u64> = of
        .cluster
        .shards
        .iter()
        .map(|shard| u64::from(shard.weight))
        .collect();
    let theirs: Vec<u64> = shards.iter().map(|shard| shard.weight).collect();
    let mut found = Vec::new();
    if ours != theirs {
        let what = format!(
            "the server's own cluster {cluster}, by which its Distributed table {name} places rows, has shards of the weights {}, and Weir has {}",
            listed(&theirs),
            listed(&ours)
        );
        found.push(Finding::new(
            effect,
            what,
            "give both the same shards and weights in the same order",
        ));
    }
    let differs = of.cluster.shards.iter().zip(shards).find_map(|(ours, theirs)| {
        let theirs = theirs.internal_replication?;
        (theirs != ours.internal_replication).then_some((ours, theirs))
    });
    if let Some((shard, theirs)) = differs {
        let what = format!(
            "internal_replication of shard {} is {theirs} in the server's own cluster {cluster}, and {} in weir.toml",
            shard.name, shard.internal_replication
        );
        let next = "take true where the target is Replicated, else false, in both";
        found.push(Finding::new(Effect::Warns, what, next));
    }
    found
}

fn listed(weights: &[u64]) -> String {
    let words: Vec<_> = weights.iter().map(u64::to_string).collect();
    words.join(", ")
}

/// Without what servers write differently: blanks, and back quotes around names.
fn plain(key: &str) -> String {
    key.chars().filter(|c| !c.is_whitespace() && *c != '`').collect()
}
