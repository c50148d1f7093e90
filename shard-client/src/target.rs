//! What a target is to a replica: its engine, which blocks it remembers, who shares that memory, and whether it takes INSERTs now.
//!
//! A repeated batch is recognised by the target alone, so this decides whether a doubt may be repeated, and where: replicas
//! of one `zookeeper_path` have one memory, others have each its own.

use std::collections::HashMap;

use crate::error::ShardError;
use crate::replica::Replica;
use crate::request::quoted_text;

/// A table as a replica has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// `MergeTree`, `ReplicatedReplacingMergeTree`, `Distributed` …
    pub engine: String,
    /// The expression of PARTITION BY; empty without one.
    pub partition_key: String,
    /// Where its replicas meet, if it is replicated and the server tells.
    pub zookeeper_path: Option<String>,
    /// It is replicated and takes no INSERT now.
    pub is_readonly: bool,
    /// The blocks that it remembers; none where it recognises no repeat.
    pub window: Option<Window>,
}

/// How many blocks a table remembers, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Blocks, each partition of an INSERT one.
    pub blocks: u64,
    /// Seconds, where blocks are also forgotten by age.
    pub seconds: Option<u64>,
}

/// The settings that say so, for replicated tables and for others.
const REPLICATED_WINDOW: &str = "replicated_deduplication_window";
const REPLICATED_SECONDS: &str = "replicated_deduplication_window_seconds";
const PLAIN_WINDOW: &str = "non_replicated_deduplication_window";

impl Target {
    /// Whether its replicas number their blocks together.
    pub fn is_replicated(&self) -> bool {
        is_replicated(&self.engine)
    }

    /// Whether a repeated block is recognised.
    pub fn deduplicates(&self) -> bool {
        self.window.is_some()
    }

    /// Whether its rows are on another server, which decides for itself.
    pub fn is_distributed(&self) -> bool {
        self.engine == "Distributed"
    }
}

fn is_replicated(engine: &str) -> bool {
    engine.ends_with("MergeTree") && (engine.starts_with("Replicated") || engine.starts_with("Shared"))
}

/// The window under a table's own settings, and the server's where it has none of its own.
fn window(engine: &str, own: &HashMap<String, String>, servers: &HashMap<String, String>) -> Option<Window> {
    let number = |name: &str| own.get(name).or(servers.get(name))?.parse::<u64>().ok();
    let (blocks, seconds) = match is_replicated(engine) {
        true => (number(REPLICATED_WINDOW)?, number(REPLICATED_SECONDS)),
        false if engine.ends_with("MergeTree") => (number(PLAIN_WINDOW)?, None),
        false => return None,
    };
    (blocks > 0).then_some(Window { blocks, seconds })
}

/// The settings at the end of an `engine_full`: `… SETTINGS index_granularity = 8192, x = 1`. Texts with commas are cut, which
/// are none of those looked for.
fn own_settings(engine_full: &str) -> HashMap<String, String> {
    let Some((_, settings)) = engine_full.rsplit_once(" SETTINGS ") else {
        return HashMap::new();
    };
    let pairs = settings.split(',').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect()
}

impl Replica {
    /// Asks the replica what the table is; none where it has no such table, or does not tell this user.
    pub async fn target(&self, database: &str, table: &str) -> Result<Option<Target>, ShardError> {
        let (database, table) = (quoted_text(database), quoted_text(table));
        let of_table = |what: &str, name: &str| {
            format!("SELECT {what} WHERE database = {database} AND {name} = {table} FORMAT TabSeparated")
        };
        let row = self
            .row_if_told(&of_table(
                "engine, engine_full, partition_key FROM system.tables",
                "name",
            ))
            .await?;
        let Some([engine, engine_full, partition_key]) = row else {
            return Ok(None);
        };
        let (mut zookeeper_path, mut is_readonly) = (None, false);
        if is_replicated(&engine) {
            let asked = of_table("zookeeper_path, is_readonly FROM system.replicas", "table");
            if let Some([path, readonly]) = self.row_if_told(&asked).await? {
                (zookeeper_path, is_readonly) = (Some(path).filter(|path| !path.is_empty()), readonly == "1");
            }
        }
        let servers = self.window_settings(&engine).await?;
        Ok(Some(Target {
            window: window(&engine, &own_settings(&engine_full), &servers),
            engine,
            partition_key,
            zookeeper_path,
            is_readonly,
        }))
    }

    /// The server's own defaults. Replicated tables have a table of them of their own since 22.
    async fn window_settings(&self, engine: &str) -> Result<HashMap<String, String>, ShardError> {
        let tables: &[&str] = match is_replicated(engine) {
            true => &["replicated_merge_tree_settings", "merge_tree_settings"],
            false => &["merge_tree_settings"],
        };
        let names = [REPLICATED_WINDOW, REPLICATED_SECONDS, PLAIN_WINDOW]
            .map(quoted_text)
            .join(", ");
        for table in tables {
            let sql =
                format!("SELECT name, value FROM system.{table} WHERE name IN ({names}) FORMAT TabSeparated");
            if let Some(rows) = self.rows_if_told(&sql).await? {
                let pairs = rows
                    .into_iter()
                    .filter_map(|row| <[String; 2]>::try_from(row).ok());
                return Ok(pairs.map(|[name, value]| (name, value)).collect());
            }
        }
        Ok(HashMap::new())
    }

    /// The first row, if it has so many values, and the server answers such a query at all.
    async fn row_if_told<const N: usize>(&self, sql: &str) -> Result<Option<[String; N]>, ShardError> {
        let rows = self.rows_if_told(sql).await?.unwrap_or_default();
        Ok(rows
            .into_iter()
            .next()
            .and_then(|row| <[String; N]>::try_from(row).ok()))
    }
}

impl Replica {
    /// The window of a table with this `engine_full` on the replica: for the hidden table of a materialized view, which only
    /// the view's own statement tells.
    pub async fn window_of(&self, engine_full: &str) -> Result<Option<Window>, ShardError> {
        let engine = engine_full.split(['(', ' ']).next().unwrap_or_default();
        let servers = self.window_settings(engine).await?;
        Ok(window(engine, &own_settings(engine_full), &servers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_window(engine_full: &str, servers: &[(&str, &str)], expected: Option<(u64, Option<u64>)>) {
        let servers = servers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let engine = engine_full.split(['(', ' ']).next().unwrap_or_default();
        let found = window(engine, &own_settings(engine_full), &servers.collect());
        let expected = expected.map(|(blocks, seconds)| Window { blocks, seconds });
        assert_eq!(found, expected, "{engine_full}");
    }

    #[test]
    fn a_window_is_the_table_s_own_or_else_its_server_s() {
        let old = [(REPLICATED_WINDOW, "100"), (REPLICATED_SECONDS, "604800")];
        let new = [
            (REPLICATED_WINDOW, "10000"),
            (REPLICATED_SECONDS, "3600"),
            (PLAIN_WINDOW, "0"),
        ];
        let replicated =
            "ReplicatedMergeTree('/t', '{replica}') ORDER BY x SETTINGS index_granularity = 8192";
        check_window(replicated, &old, Some((100, Some(604_800))));
        check_window(replicated, &new, Some((10_000, Some(3600))));
        let own = format!("{replicated}, replicated_deduplication_window = 7");
        check_window(&own, &new, Some((7, Some(3600))));
        check_window(&format!("{own}, replicated_deduplication_window = 0"), &new, None);
    }

    #[test]
    fn plain_tables_remember_nothing_unless_they_are_told_to() {
        let new = [(REPLICATED_WINDOW, "10000"), (PLAIN_WINDOW, "0")];
        let plain = "MergeTree ORDER BY x SETTINGS index_granularity = 8192";
        check_window(plain, &new, None);
        check_window(plain, &[], None);
        check_window(
            &format!("{plain}, non_replicated_deduplication_window = 50"),
            &new,
            Some((50, None)),
        );
        check_window("Log", &new, None);
        check_window("Distributed('c', 'd', 't')", &new, None);
    }
}
