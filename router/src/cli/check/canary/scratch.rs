//! The scratch tables of a canary: their names and statements. Pure.
//!
//! They stand beside the target and have its kind of engine, its deduplication settings and its disks, but columns of their own:
//! what is proved is how the servers take batches, and no column of the target (a sign, a version, a constraint) is in the way.

use shard_client::request::{quoted_name, quoted_text};

use super::super::facts::TargetFacts;

/// How every scratch table's name begins.
pub const PREFIX: &str = "_weir_canary_";

/// The columns, as INSERTs name them.
pub const COLUMNS: [(&str, &str); 2] = [("n", "UInt64"), ("s", "String")];

/// What the names of those settings of the target contain that its scratch table needs to be like it.
const KEPT_SETTINGS: [&str; 2] = ["deduplication_window", "storage_policy"];

/// The three names of one run on one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scratch {
    /// Where they are, unquoted.
    pub database: String,
    /// The stand-in for the target.
    pub table: String,
    /// A materialized view on it.
    pub view: String,
    /// What the view writes into.
    pub view_target: String,
}

impl Scratch {
    /// Names that no other run has.
    pub fn new(database: &str, random: u64) -> Scratch {
        let table = format!("{PREFIX}{random:016x}");
        Scratch {
            database: database.to_owned(),
            view: format!("{table}_view"),
            view_target: format!("{table}_to"),
            table,
        }
    }

    /// `database`.`table`, quoted.
    pub fn quoted(&self, table: &str) -> String {
        format!("{}.{}", quoted_name(&self.database), quoted_name(table))
    }

    /// Makes `table` like the target on the shard's replica of this number.
    pub fn create(&self, table: &str, target: &TargetFacts, replica: usize) -> Result<String, String> {
        let engine = engine(table, target, replica)?;
        let columns = COLUMNS.map(|(name, kind)| format!("{name} {kind}")).join(", ");
        Ok(format!(
            "CREATE TABLE {} ({columns}) ENGINE = {engine}",
            self.quoted(table)
        ))
    }

    /// Makes the view.
    pub fn create_view(&self) -> String {
        format!(
            "CREATE MATERIALIZED VIEW {} TO {} AS SELECT n, s FROM {}",
            self.quoted(&self.view),
            self.quoted(&self.view_target),
            self.quoted(&self.table)
        )
    }

    /// Removes one of them. Servers that drop tables later are asked to do it now, where they know how.
    pub fn drop(&self, table: &str, waits: bool) -> String {
        let sync = if waits { " SYNC" } else { "" };
        format!("DROP TABLE IF EXISTS {}{sync}", self.quoted(table))
    }

    /// Lists the scratch tables that are there.
    pub fn list(&self) -> String {
        let prefix = PREFIX.replace('_', "\\\\_");
        format!(
            "SELECT name FROM system.tables WHERE database = {} AND name LIKE '{prefix}%' ORDER BY name LIMIT 20 FORMAT TabSeparated",
            quoted_text(&self.database)
        )
    }
}

/// The engine of a table like the target. Replicas of a shard find each other at a path beside the target's own.
fn engine(table: &str, target: &TargetFacts, replica: usize) -> Result<String, String> {
    let kind = &target.target.engine;
    let settings = kept_settings(&target.engine_full);
    if kind.starts_with("Shared") {
        return Err(format!(
            "a scratch table of the engine {kind} cannot be made here"
        ));
    }
    if target.target.is_replicated() {
        let path = target.target.zookeeper_path.as_deref();
        let path = path.ok_or("the replica does not tell the target's zookeeper_path")?;
        let path = quoted_text(&format!("{}{table}", path.trim_end_matches('/')));
        return Ok(format!(
            "ReplicatedMergeTree({path}, 'canary_{replica}') ORDER BY n{settings}"
        ));
    }
    match kind.ends_with("MergeTree") {
        true => Ok(format!("MergeTree ORDER BY n{settings}")),
        false => Err(format!(
            "the target's engine is {kind}, of which nothing is to be proved"
        )),
    }
}

fn kept_settings(engine_full: &str) -> String {
    let Some((_, settings)) = engine_full.rsplit_once(" SETTINGS ") else {
        return String::new();
    };
    let is_kept = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default().trim();
        KEPT_SETTINGS.iter().any(|kept| name.contains(kept))
    };
    let kept: Vec<_> = settings.split(',').map(str::trim).filter(is_kept).collect();
    match kept.is_empty() {
        true => String::new(),
        false => format!(" SETTINGS {}", kept.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use shard_client::Target;

    use super::*;
    use crate::schema::Description;

    fn target(engine_full: &str, path: Option<&str>) -> TargetFacts {
        TargetFacts {
            target: Target {
                engine: engine_full
                    .split(['(', ' '])
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
                zookeeper_path: path.map(str::to_owned),
                ..Target::default()
            },
            engine_full: engine_full.to_owned(),
            description: Description::of_columns(Vec::new()),
            views: Vec::new(),
            rate: None,
            insert: None,
        }
    }

    #[track_caller]
    fn check(engine_full: &str, path: Option<&str>, expected: Result<&str, &str>) {
        let found = engine("_weir_canary_1", &target(engine_full, path), 1);
        assert_eq!(
            found.as_deref(),
            expected.map_err(str::to_owned).as_ref().map(|text| *text),
            "{engine_full}"
        );
    }

    #[test]
    fn a_scratch_table_has_its_target_s_kind_of_engine_and_a_path_beside_it() {
        check(
            "ReplicatedReplacingMergeTree('/t/{shard}/hits', '{replica}', v) PARTITION BY d ORDER BY k SETTINGS index_granularity = 8192, replicated_deduplication_window = 7",
            Some("/t/s1/hits"),
            Ok(
                "ReplicatedMergeTree('/t/s1/hits_weir_canary_1', 'canary_1') ORDER BY n SETTINGS replicated_deduplication_window = 7",
            ),
        );
        check(
            "MergeTree ORDER BY k SETTINGS index_granularity = 8192, non_replicated_deduplication_window = 100, storage_policy = 'hot'",
            None,
            Ok(
                "MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 100, storage_policy = 'hot'",
            ),
        );
        check("SummingMergeTree ORDER BY k", None, Ok("MergeTree ORDER BY n"));
    }

    #[test]
    fn what_has_no_scratch_table_says_why() {
        check(
            "Log",
            None,
            Err("the target's engine is Log, of which nothing is to be proved"),
        );
        check(
            "ReplicatedMergeTree('/t', 'r')",
            None,
            Err("the replica does not tell the target's zookeeper_path"),
        );
        check(
            "SharedMergeTree('/t', 'r')",
            Some("/t"),
            Err("a scratch table of the engine SharedMergeTree cannot be made here"),
        );
    }

    #[test]
    fn names_are_quoted_and_belong_to_one_run() {
        let scratch = Scratch::new("d`b", 10);
        assert_eq!(
            scratch.drop(&scratch.view, true),
            r"DROP TABLE IF EXISTS `d\`b`.`_weir_canary_000000000000000a_view` SYNC"
        );
        assert!(
            scratch.list().contains(r"LIKE '\\_weir\\_canary\\_%'"),
            "{}",
            scratch.list()
        );
    }
}
