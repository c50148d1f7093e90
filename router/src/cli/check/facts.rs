//! What the replicas told `weir check --live`, and nothing that follows from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::{Cluster, Replica, Shard, Table};
use shard_client::{Facts, Target, Window};

use crate::deliver::doubt::relied_upon;
use crate::discovery::seed::ShownTable;
use crate::schema::Description;

/// A table with what each replica of its cluster said.
#[derive(Debug)]
pub struct TableFacts<'a> {
    /// The distributed table.
    pub table: &'a Table,
    /// Where its rows live.
    pub cluster: &'a Cluster,
    /// Every replica, in the order of the file.
    pub replicas: Vec<AtReplica<'a>>,
}

/// One replica and what it said of one table.
#[derive(Debug)]
pub struct AtReplica<'a> {
    /// Its shard.
    pub shard: &'a Shard,
    /// How it is reached.
    pub replica: &'a Replica,
    /// What it said.
    pub answer: Result<Answer, NotTold>,
}

/// Why a replica told nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotTold {
    /// Nobody answers there.
    Unreachable(String),
    /// It does not let the user in.
    Refused(String),
    /// It answers, but not this.
    Silent(String),
}

/// What a replica said of itself and of a target.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Of itself.
    pub server: Arc<ServerFacts>,
    /// Of the target; none where there is no such table.
    pub target: Option<TargetFacts>,
}

/// A server, as far as tables have it in common.
#[derive(Debug, Clone, Default)]
pub struct ServerFacts {
    /// Version, names, settings.
    pub facts: Facts,
    /// What becomes of each pinned setting that it knows.
    pub pins: Vec<Pin>,
    /// Its own Distributed tables.
    pub distributed: Vec<ShownTable>,
    /// Its macros.
    pub macros: BTreeMap<String, String>,
    /// Its `system.clusters`: shards in their order.
    pub clusters: BTreeMap<String, Vec<ShownShard>>,
}

/// A pinned setting, sent with a query and read back in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Its name.
    pub name: &'static str,
    /// What Weir sends.
    pub wanted: &'static str,
    /// What was in force then, or why it cannot be set.
    pub found: Result<String, String>,
}

/// A shard of `system.clusters`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownShard {
    /// Its weight.
    pub weight: u64,
    /// Where the server tells it (not 18.16).
    pub internal_replication: Option<bool>,
    /// The database for names without one.
    pub default_database: Option<String>,
}

/// A target on a replica.
#[derive(Debug, Clone)]
pub struct TargetFacts {
    /// Engine, window, partition key, zookeeper_path.
    pub target: Target,
    /// The engine with its arguments and settings.
    pub engine_full: String,
    /// Its columns.
    pub description: Description,
    /// Every materialized view behind it, and behind the tables that those write into.
    pub views: Vec<View>,
    /// How many blocks come in; none where the server does not tell.
    pub rate: Option<BlockRate>,
    /// What became of an INSERT of no rows under the pinned settings; none where it was not tried.
    pub insert: Option<Result<(), String>>,
}

/// A materialized view and the table that it writes into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// `database.view`
    pub name: String,
    /// `database.table`; none for a table of its own, hidden.
    pub into: Option<String>,
    /// That table's engine; empty where the server does not tell.
    pub engine: String,
    /// The blocks that it remembers.
    pub window: Option<Window>,
}

/// Blocks that came into a table lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRate {
    /// So many,
    pub blocks: u64,
    /// in so many seconds.
    pub seconds: u64,
}

impl BlockRate {
    /// Blocks an hour, for people.
    pub fn an_hour(self) -> u64 {
        self.blocks * 3600 / self.seconds.max(1)
    }

    /// The faster of two.
    pub fn faster(self, other: BlockRate) -> BlockRate {
        match self.blocks * other.seconds >= other.blocks * self.seconds {
            true => self,
            false => other,
        }
    }
}

/// How long an outage may last at that rate until a repeat is not trusted to be recognised any more, in seconds: as far as half
/// the window reaches back. None where neither blocks nor time end it.
pub fn covered_seconds(window: Window, rate: Option<BlockRate>) -> Option<u64> {
    let window = relied_upon(window);
    let by_blocks = rate
        .filter(|rate| rate.blocks > 0)
        .map(|rate| window.blocks.saturating_mul(rate.seconds) / rate.blocks);
    match (by_blocks, window.seconds) {
        (Some(blocks), Some(seconds)) => Some(blocks.min(seconds)),
        (one, other) => one.or(other),
    }
}

impl AtReplica<'_> {
    /// What it said of the target, if it has one.
    pub fn target(&self) -> Option<&TargetFacts> {
        self.answer.as_ref().ok()?.target.as_ref()
    }

    /// The target's database on this replica.
    pub fn database<'t>(&'t self, table: &'t Table) -> &'t str {
        self.replica.database.as_deref().unwrap_or(&table.target.database)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(window: (u64, Option<u64>), rate: Option<(u64, u64)>, expected: Option<u64>) {
        let window = Window {
            blocks: window.0,
            seconds: window.1,
        };
        let rate = rate.map(|(blocks, seconds)| BlockRate { blocks, seconds });
        assert_eq!(covered_seconds(window, rate), expected);
    }

    #[test]
    fn half_a_window_covers_what_its_blocks_and_its_seconds_do() {
        check((100, Some(604_800)), Some((400, 400)), Some(50));
        check((10_000, Some(3600)), Some((400, 400)), Some(1800));
        check((100, None), Some((1, 400)), Some(20_000));
        check((100, Some(3600)), Some((0, 400)), Some(1800));
        check((100, None), None, None);
    }

    #[test]
    fn of_two_rates_the_faster_counts() {
        let rate = |blocks, seconds| BlockRate { blocks, seconds };
        assert_eq!(rate(10, 400).faster(rate(60, 3600)), rate(10, 400));
        assert_eq!(rate(0, 400).faster(rate(60, 3600)), rate(60, 3600));
        assert_eq!(rate(10, 400).an_hour(), 90);
    }
}
