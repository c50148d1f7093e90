//! What a node says of clusters and Distributed tables: `system.clusters`, `system.tables`, `system.macros`.
//! Columns are chosen such that 18.16 and 26.x both have them.

use std::collections::{BTreeMap, BTreeSet};

use config::{DistributedEngine, SeenTable, Sighting, TableName};
use serde_json::Value;
use shard_client::Replica;

/// A Distributed table as `system.tables` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownTable {
    /// Its name.
    pub name: TableName,
    /// Its engine with all arguments.
    pub engine_full: String,
}

/// A table's cluster, and the table.
type Placed = (String, SeenTable);

/// What the node says of one cluster.
pub async fn sighting(node: &Replica, cluster: &str) -> Result<Sighting, String> {
    let shards = shards(node, cluster).await?;
    let macros = macros(node).await?;
    let shown = distributed_tables(node).await?;
    let default_database = shards.iter().find_map(|shard| shard.default_database.clone());
    let mut sighting = Sighting {
        weights: shards.iter().map(|shard| shard.weight).collect(),
        ..Sighting::default()
    };
    for table in shown {
        match placed(&table, &macros, default_database.as_deref()) {
            Ok((of, seen)) if of == cluster => sighting.tables.push(seen),
            Ok(_) => {}
            Err(why) => sighting.unusable.push((table.name, why)),
        }
    }
    sighting.tables.sort();
    sighting.unusable.sort();
    Ok(sighting)
}

/// The table's cluster and what it stands for.
pub fn placed(
    table: &ShownTable,
    macros: &BTreeMap<String, String>,
    default_database: Option<&str>,
) -> Result<Placed, String> {
    let told = |error| format!("its engine cannot be used: {error}");
    let engine = DistributedEngine::parse(&table.engine_full).map_err(told)?;
    let cluster = engine.cluster(macros).map_err(told)?;
    let seen = SeenTable {
        target: engine.target(&table.name, default_database),
        sharding_key: engine.sharding_key,
        name: table.name.clone(),
    };
    Ok((cluster, seen))
}

/// Every Distributed table of the node.
pub async fn distributed_tables(node: &Replica) -> Result<Vec<ShownTable>, String> {
    let sql = "SELECT database, name, engine_full FROM system.tables WHERE engine = 'Distributed'";
    let shown = |row: &Value| {
        // A temporary table has no database, and nobody else sees it.
        let database = text(row, "database").filter(|database| !database.is_empty())?;
        Some(ShownTable {
            name: TableName::new(&database, &text(row, "name")?),
            engine_full: text(row, "engine_full")?,
        })
    };
    Ok(rows(node, sql).await?.iter().filter_map(shown).collect())
}

/// The node's macros.
pub async fn macros(node: &Replica) -> Result<BTreeMap<String, String>, String> {
    let rows = rows(node, "SELECT macro, substitution FROM system.macros").await?;
    let pair = |row: &Value| Some((text(row, "macro")?, text(row, "substitution")?));
    Ok(rows.iter().filter_map(pair).collect())
}

struct ShownShard {
    weight: u32,
    default_database: Option<String>,
}

/// The cluster's shards in their order; none if the node does not know the cluster.
async fn shards(node: &Replica, cluster: &str) -> Result<Vec<ShownShard>, String> {
    let sql = format!(
        "SELECT shard_num, shard_weight, default_database FROM system.clusters WHERE cluster = {} \
         ORDER BY shard_num, replica_num",
        literal(cluster)
    );
    let mut seen = BTreeSet::new();
    let shard = |row: &Value| {
        let is_first = seen.insert(number(row, "shard_num")?);
        let weight = u32::try_from(number(row, "shard_weight")?).ok()?;
        is_first.then(|| ShownShard {
            weight,
            default_database: text(row, "default_database").filter(|name| !name.is_empty()),
        })
    };
    Ok(rows(node, &sql).await?.iter().filter_map(shard).collect())
}

/// A query's answer, one object a row.
pub async fn rows(node: &Replica, sql: &str) -> Result<Vec<Value>, String> {
    let sql = format!("{sql} FORMAT JSONEachRow");
    let answer = node.query(&sql, &[]).await.map_err(|error| error.summary())?;
    let line = |line: &[u8]| {
        serde_json::from_slice(line).map_err(|error| format!("an answer that is not JSONEachRow: {error}"))
    };
    let lines = answer
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    lines.map(line).collect()
}

/// A field of a row as text.
pub fn text(row: &Value, field: &str) -> Option<String> {
    row.get(field)?.as_str().map(str::to_owned)
}

/// A field of a row as a number; 64-bit ones come quoted.
pub fn number(row: &Value, field: &str) -> Option<u64> {
    let value = row.get(field)?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// A text as SQL writes it.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_placed_by_its_engine_and_the_node_s_macros() {
        let shown = ShownTable {
            name: TableName::new("a", "d"),
            engine_full: "Distributed('{cluster}', '', t, k)".to_owned(),
        };
        let macros = BTreeMap::from([("cluster".to_owned(), "main".to_owned())]);
        let (cluster, seen) = placed(&shown, &macros, Some("x")).unwrap();
        assert_eq!(
            (cluster.as_str(), seen.target),
            ("main", TableName::new("x", "t"))
        );
        assert!(
            placed(&shown, &BTreeMap::new(), None)
                .unwrap_err()
                .contains("{cluster}")
        );
    }

    #[test]
    fn a_literal_cannot_end_early() {
        assert_eq!(literal(r"a'b\"), r"'a\'b\\'");
    }
}
