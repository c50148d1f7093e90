//! Asking every replica, for `weir check --live`: all at once, each within its timeouts; nothing is changed.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use config::{Cluster, Config, Table};
use futures_util::{StreamExt as _, stream};
use shard_client::{Class, DefaultKind, Facts, PINNED_SETTINGS, Replica, ShardError, settings_known_to};
use spool::Shape;

use super::facts::{
    Answer, AtReplica, BlockRate, NotTold, Pin, ServerFacts, ShownShard, TableFacts, TargetFacts, View,
};
use crate::cli::reach;
use crate::deliver::request::{BatchInsert, InsertInto, without_rows};
use crate::discovery::seed::{self, literal, number, rows, text};
use crate::schema;

/// A replica that takes longer for one of these small questions is not told apart from one that hangs.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Replicas asked at once.
const AT_ONCE_MAX: usize = 64;

/// Views followed behind one target, and how far.
const VIEWS_MAX: usize = 100;
const DEPTH_MAX: usize = 8;

/// Parts that a merge replaced stay listed for 480 s (`old_parts_lifetime`): so long every block that came is counted.
const PARTS_SECONDS: u64 = 400;
/// What `system.part_log` is asked for.
const PART_LOG_SECONDS: u64 = 3600;

/// What every replica says of every table; `only` is the one table asked for, if one is.
pub async fn ask<'a>(config: &'a Config, only: Option<&config::TableName>) -> Vec<TableFacts<'a>> {
    let mut all = Vec::new();
    for cluster in &config.clusters {
        let tables = config.tables.iter().filter(|table| table.cluster == cluster.name);
        let tables: Vec<&Table> = tables
            .filter(|table| only.is_none_or(|only| *only == table.name))
            .collect();
        if !tables.is_empty() {
            all.extend(of_cluster(cluster, &tables).await);
        }
    }
    all
}

async fn of_cluster<'a>(cluster: &'a Cluster, tables: &[&'a Table]) -> Vec<TableFacts<'a>> {
    let places = cluster
        .shards
        .iter()
        .flat_map(|shard| shard.replicas.iter().map(move |replica| (shard, replica)));
    let asked = places
        .map(|(shard, replica)| async move { (shard, replica, at_replica(cluster, replica, tables).await) });
    let asked: Vec<_> = stream::iter(asked).buffered(AT_ONCE_MAX).collect().await;
    let of_table = |(at, table): (usize, &&'a Table)| TableFacts {
        table,
        cluster,
        replicas: asked
            .iter()
            .map(|(shard, replica, answers)| AtReplica {
                shard,
                replica,
                answer: answers[at].clone(),
            })
            .collect(),
    };
    tables.iter().enumerate().map(of_table).collect()
}

/// One answer for each table.
async fn at_replica(
    cluster: &Cluster,
    replica: &config::Replica,
    tables: &[&Table],
) -> Vec<Result<Answer, NotTold>> {
    let asked = async {
        let client = reach::client(replica, Some(PATIENCE)).map_err(|error| NotTold::Unreachable(error.0))?;
        let server = Arc::new(server(&client).await?);
        Ok::<_, NotTold>((client, server))
    };
    let (client, server) = match asked.await {
        Ok(asked) => asked,
        Err(why) => return tables.iter().map(|_| Err(why.clone())).collect(),
    };
    let mut answers = Vec::with_capacity(tables.len());
    for table in tables {
        let place = Asked {
            client: &client,
            facts: &server.facts,
            database: replica.database.as_deref().unwrap_or(&table.target.database),
            table: &table.target.table,
        };
        let target = place.target(cluster).await.map_err(|error| not_told(&error));
        answers.push(target.map(|target| Answer {
            server: Arc::clone(&server),
            target,
        }));
    }
    answers
}

/// UNKNOWN_USER, WRONG_PASSWORD, REQUIRED_PASSWORD, IP_ADDRESS_NOT_ALLOWED, AUTHENTICATION_FAILED.
pub const NOT_LET_IN: [u32; 5] = [192, 193, 194, 195, 516];

fn not_told(error: &ShardError) -> NotTold {
    let why = error.failure.to_string();
    match error.server() {
        Some(server) if NOT_LET_IN.contains(&server.code) => NotTold::Refused(why),
        Some(_) => NotTold::Silent(why),
        None if error.class() == Class::Destination => NotTold::Refused(why),
        None => NotTold::Unreachable(why),
    }
}

// === a server ===

async fn server(client: &Replica) -> Result<ServerFacts, NotTold> {
    let facts = client.facts(&[]).await.map_err(|error| not_told(&error))?;
    Ok(ServerFacts {
        pins: pins(client, &facts).await,
        // A server that does not tell these has nothing that could be compared.
        distributed: seed::distributed_tables(client).await.unwrap_or_default(),
        macros: seed::macros(client).await.unwrap_or_default(),
        clusters: clusters(client).await.unwrap_or_default(),
        facts,
    })
}

/// Sends the pinned settings with a query that reads them back: all together, and each alone where that is refused.
async fn pins(client: &Replica, facts: &Facts) -> Vec<Pin> {
    let known = settings_known_to(facts, PINNED_SETTINGS);
    if let Ok(found) = read_back(client, &known).await {
        let value = |name: &str| {
            found
                .get(name)
                .cloned()
                .ok_or_else(|| "the server does not tell it".to_owned())
        };
        let pin = |(name, wanted)| Pin {
            name,
            wanted,
            found: value(name),
        };
        return known.into_iter().map(pin).collect();
    }
    let mut pins = Vec::with_capacity(known.len());
    for (name, wanted) in known {
        let found = match read_back(client, &[(name, wanted)]).await {
            Ok(found) => found
                .get(name)
                .cloned()
                .ok_or_else(|| "the server does not tell it".to_owned()),
            Err(error) => Err(error.failure.to_string()),
        };
        pins.push(Pin { name, wanted, found });
    }
    pins
}

async fn read_back(
    client: &Replica,
    settings: &[(&str, &str)],
) -> Result<BTreeMap<String, String>, ShardError> {
    let names: Vec<_> = settings.iter().map(|(name, _)| literal(name)).collect();
    let sql = format!(
        "SELECT name, value FROM system.settings WHERE name IN ({}) FORMAT TabSeparated",
        names.join(", ")
    );
    let answer = client.query(&sql, settings).await?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let pairs = answer.lines().filter_map(|line| line.split_once('\t'));
    Ok(pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

/// Every column is taken: versions differ in which there are.
async fn clusters(client: &Replica) -> Result<BTreeMap<String, Vec<ShownShard>>, String> {
    let sql = "SELECT * FROM system.clusters ORDER BY cluster, shard_num, replica_num";
    let mut clusters: BTreeMap<String, Vec<ShownShard>> = BTreeMap::new();
    let mut seen = HashSet::new();
    for row in rows(client, sql).await? {
        let (Some(cluster), Some(shard), Some(weight)) = (
            text(&row, "cluster"),
            number(&row, "shard_num"),
            number(&row, "shard_weight"),
        ) else {
            continue;
        };
        if seen.insert((cluster.clone(), shard)) {
            clusters.entry(cluster).or_default().push(ShownShard {
                weight,
                internal_replication: number(&row, "internal_replication").map(|flag| flag != 0),
                default_database: text(&row, "default_database").filter(|name| !name.is_empty()),
            });
        }
    }
    Ok(clusters)
}

// === a table ===

/// A table on a replica.
struct Asked<'a> {
    client: &'a Replica,
    facts: &'a Facts,
    database: &'a str,
    table: &'a str,
}

/// What `system.tables` says of a table that views may hang on.
#[derive(Default)]
struct ShownTable {
    engine: String,
    engine_full: String,
    statement: String,
    views: Vec<(String, String)>,
}

impl Asked<'_> {
    async fn target(&self, cluster: &Cluster) -> Result<Option<TargetFacts>, ShardError> {
        let Some(target) = self.client.target(self.database, self.table).await? else {
            return Ok(None);
        };
        let shown = shown(self.client, self.database, self.table)
            .await
            .unwrap_or_default();
        let description = schema::describe(self.client, self.facts, self.database, self.table).await?;
        let insert = match target.is_distributed() || target.is_readonly {
            true => None,
            false => self.insert(cluster, &description).await,
        };
        Ok(Some(TargetFacts {
            views: self.views(&shown).await,
            rate: self.rate().await,
            engine_full: shown.engine_full,
            description,
            target,
            insert,
        }))
    }

    /// Whether the user may insert under the settings that every batch bears: an INSERT of no rows writes nothing.
    async fn insert(
        &self,
        cluster: &Cluster,
        description: &schema::Description,
    ) -> Option<Result<(), String>> {
        let given = |kind| matches!(kind, DefaultKind::None | DefaultKind::Default);
        let column = description
            .columns
            .iter()
            .find(|column| given(column.default_kind))?;
        let shape = shape(cluster, vec![(column.name.clone(), column.type_name.clone())]);
        let batch = BatchInsert {
            shape: &shape,
            token: "",
            frames_bytes: 0,
            frames_crc32: 0,
        };
        let into = InsertInto {
            database: self.database,
            table: self.table,
            bare_frames: cluster.bare_frames,
        };
        let query_id = format!("weir-check-{:08x}", rand::random::<u32>());
        let request = without_rows(batch.request(&into, self.facts, query_id));
        let inserted = self.client.insert(request, bytes::Bytes::new()).await;
        Some(inserted.map(drop).map_err(|error| error.failure.to_string()))
    }

    /// The views behind the table, those behind their tables, and so on.
    async fn views(&self, shown: &ShownTable) -> Vec<View> {
        let mut found = Vec::new();
        let mut seen = HashSet::new();
        let mut at_hand = shown.views.clone();
        for _ in 0..DEPTH_MAX {
            let mut behind = Vec::new();
            for (database, name) in at_hand {
                if found.len() == VIEWS_MAX || !seen.insert((database.clone(), name.clone())) {
                    continue;
                }
                let (view, next) = self.view(&database, &name).await;
                found.push(view);
                behind.extend(next);
            }
            at_hand = behind;
        }
        found
    }

    /// A view, and the views on the table that it writes into.
    async fn view(&self, database: &str, name: &str) -> (View, Vec<(String, String)>) {
        let statement = shown(self.client, database, name)
            .await
            .unwrap_or_default()
            .statement;
        let full_name = config::TableName::new(database, name).to_string();
        let Some((of, table)) = statement_target(&statement, database) else {
            let engine_full = hidden_engine(&statement);
            let window = self.client.window_of(engine_full).await.unwrap_or_default();
            let engine = engine_full
                .split(['(', ' '])
                .next()
                .unwrap_or_default()
                .to_owned();
            return (
                View {
                    name: full_name,
                    into: None,
                    engine,
                    window,
                },
                Vec::new(),
            );
        };
        let target = shown(self.client, &of, &table).await.unwrap_or_default();
        let window = self
            .client
            .window_of(&target.engine_full)
            .await
            .unwrap_or_default();
        let view = View {
            name: full_name,
            into: Some(config::TableName::new(&of, &table).to_string()),
            engine: target.engine,
            window,
        };
        (view, target.views)
    }

    async fn rate(&self) -> Option<BlockRate> {
        let table = format!(
            "database = {} AND table = {}",
            literal(self.database),
            literal(self.table)
        );
        let parts = format!(
            "SELECT count() AS blocks FROM system.parts WHERE {table} AND level = 0 AND modification_time >= now() - {PARTS_SECONDS}"
        );
        let log = format!(
            "SELECT count() AS blocks FROM system.part_log WHERE {table} AND event_type = 'NewPart' AND event_date >= today() - 1 \
             AND event_time >= now() - {PART_LOG_SECONDS}"
        );
        let (parts, log) = tokio::join!(
            self.blocks(&parts, PARTS_SECONDS),
            self.blocks(&log, PART_LOG_SECONDS)
        );
        match (parts, log) {
            (Some(parts), Some(log)) => Some(parts.faster(log)),
            (one, other) => one.or(other),
        }
    }

    async fn blocks(&self, sql: &str, seconds: u64) -> Option<BlockRate> {
        let rows = rows(self.client, sql).await.ok()?;
        let blocks = number(rows.first()?, "blocks")?;
        Some(BlockRate { blocks, seconds })
    }
}

/// What batches of these columns look like: text, under the pinned settings.
pub fn shape(cluster: &Cluster, columns: Vec<(String, String)>) -> Shape {
    let pinned = PINNED_SETTINGS.iter();
    Shape {
        cluster: cluster.name.clone(),
        epoch: cluster.epoch,
        table: String::new(),
        columns,
        format: "TabSeparated".to_owned(),
        settings: pinned
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
    }
}

async fn shown(client: &Replica, database: &str, table: &str) -> Option<ShownTable> {
    let sql = format!(
        "SELECT engine, engine_full, create_table_query, dependencies_database, dependencies_table FROM system.tables \
         WHERE database = {} AND name = {}",
        literal(database),
        literal(table)
    );
    let rows = rows(client, &sql).await.ok()?;
    let row = rows.first()?;
    let names = |field: &str| {
        let names = row.get(field).and_then(serde_json::Value::as_array);
        let names = names.into_iter().flatten().filter_map(serde_json::Value::as_str);
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    Some(ShownTable {
        engine: text(row, "engine")?,
        engine_full: text(row, "engine_full")?,
        statement: text(row, "create_table_query")?,
        views: names("dependencies_database")
            .into_iter()
            .zip(names("dependencies_table"))
            .collect(),
    })
}

// === the statement of a view ===

/// The table of `CREATE MATERIALIZED VIEW … TO database.table (…) AS …`; none where the view has one of its own.
fn statement_target(statement: &str, own_database: &str) -> Option<(String, String)> {
    let head = statement.split(" AS SELECT ").next().unwrap_or(statement);
    let head = head.split(" ENGINE = ").next().unwrap_or(head);
    let mut rest = head.split_once(" TO ")?.1;
    let first = take_name(&mut rest)?;
    let Some(after) = rest.strip_prefix('.') else {
        return Some((own_database.to_owned(), first));
    };
    rest = after;
    take_name(&mut rest).map(|table| (first, table))
}

/// Takes a name, in back quotes or bare, from the beginning of a text.
fn take_name(text: &mut &str) -> Option<String> {
    if let Some(quoted) = text.strip_prefix('`') {
        let mut name = String::new();
        let mut chars = quoted.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => name.push(chars.next()?.1),
                '`' => {
                    *text = &quoted[at + 1..];
                    return Some(name);
                }
                c => name.push(c),
            }
        }
        return None;
    }
    let end = text
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    *text = rest;
    (!name.is_empty()).then(|| name.to_owned())
}

/// The engine that the statement gives the view's own table.
fn hidden_engine(statement: &str) -> &str {
    let engine = statement
        .split_once(" ENGINE = ")
        .map_or("", |(_, engine)| engine);
    engine.split(" AS SELECT ").next().unwrap_or(engine).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(statement: &str, into: Option<(&str, &str)>, engine: &str) {
        let into = into.map(|(database, table)| (database.to_owned(), table.to_owned()));
        assert_eq!(statement_target(statement, "own"), into, "{statement}");
        assert_eq!(hidden_engine(statement), engine, "{statement}");
    }

    // The first three as 18.16.1 and 26.9 show them.
    #[test]
    fn a_view_s_statement_tells_where_it_writes() {
        check(
            "CREATE MATERIALIZED VIEW default.v2 TO default.to ( k UInt64) AS SELECT k FROM default.t ",
            Some(("default", "to")),
            "",
        );
        check(
            "CREATE MATERIALIZED VIEW default.v1 ( k UInt64) ENGINE = MergeTree ORDER BY k SETTINGS index_granularity = 8192 AS SELECT k FROM default.t ",
            None,
            "MergeTree ORDER BY k SETTINGS index_granularity = 8192",
        );
        check(
            "CREATE MATERIALIZED VIEW default.v2 TO default.to (`k` UInt64) AS SELECT k FROM default.t",
            Some(("default", "to")),
            "",
        );
        check(
            "CREATE MATERIALIZED VIEW d.v TO `a.b`.`c d` AS SELECT 1",
            Some(("a.b", "c d")),
            "",
        );
        check(
            "CREATE MATERIALIZED VIEW d.v TO t AS SELECT ' TO x'",
            Some(("own", "t")),
            "",
        );
        check("", None, "");
    }
}
