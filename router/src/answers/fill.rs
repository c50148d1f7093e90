//! Asking for answers: ahead at the start, again when they are old, and whatever clients have asked and is not
//! kept yet.
//!
//! One task, one question at a time, under each cluster's own user: filling never takes more than one connection,
//! and a cluster whose replicas do not answer is left until the next round.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use config::TableName;
use http::{HeaderMap, HeaderName, Method, Request};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use shard_client::request::{quoted_name, target};
use shard_client::{Class, Failure, codes, response};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Answers, Asks, ENTRY_BYTES_MAX, Kept, Key, known, shape};
use crate::app::App;
use crate::replica::ReplicaRuntime;
use crate::routing::{Cluster, Lookup, RoutedTable, Routing, password};
use crate::tasks::Stop;
use crate::time::now_ms;

/// How old an answer of a server about itself grows before it is asked anew: it changes by an upgrade.
const REFRESH_EVERY: Duration = Duration::from_secs(300);

/// The same about a table: columns that change are seen by [`schema`](crate::schema) and asked at once
/// ([`Answers::table_changed`]); what else DESCRIBE tells (comments, codecs) matters to nobody who inserts.
const REFRESH_TABLE_EVERY: Duration = Duration::from_secs(3600);

/// How often old answers, and those of new tables, are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A replica that hangs is given up after this long.
const ASK_TIMEOUT: Duration = Duration::from_secs(3);

/// Tables and users that are asked for ahead; beyond, the cache learns what is asked.
const TABLES_AHEAD_MAX: usize = 400;
const USERS_AHEAD_MAX: usize = 100;

/// Refusals that are remembered, so that a question no server understands is not asked every round.
const REFUSED_MAX: usize = 4 * super::ENTRIES_MAX;

/// Headers that belong to an answer, not to one query of it.
const KEPT_HEADERS: &[&str] = &[
    "content-type",
    "x-clickhouse-format",
    "x-clickhouse-timezone",
    "x-clickhouse-server-display-name",
    "x-clickhouse-summary",
];

/// Codes that say that there is nothing any more to be told about.
const GONE: &[u32] = &[60, 81];

/// Keeps the answers filled until it is told to stop.
pub async fn keep_filled(app: Arc<App>, mut stop: Stop) {
    let Some(mut wanted) = app.answers.take_wanted() else {
        return;
    };
    let mut filler = Filler {
        ahead: (app.routing(), ahead(&app.routing())),
        refused: HashMap::new(),
        app,
    };
    loop {
        tokio::select! {
            () = stop.requested() => return,
            () = filler.round() => {}
        }
        let next_round = Instant::now() + LOOK_EVERY;
        loop {
            let asked = async {
                match tokio::time::timeout_at(next_round, wanted.recv()).await {
                    Ok(Some(key)) => {
                        filler.ask_one(&key).await;
                        true
                    }
                    // The sender lives as long as the app.
                    Ok(None) | Err(_) => false,
                }
            };
            tokio::select! {
                () = stop.requested() => return,
                go_on = asked => if !go_on { break },
            }
        }
    }
}

impl Answers {
    fn take_wanted(&self) -> Option<mpsc::Receiver<Key>> {
        self.to_fill
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take()
    }

    /// A table's columns are others now: what was kept about it is asked anew.
    pub fn table_changed(&self, table: &TableName) {
        for key in self.keys() {
            if key.shape.asks.table() == Some(table) {
                // Full: the next round finds it, later.
                let _ = self.wanted.try_send(key);
            }
        }
    }
}

/// What became of one question.
enum Asked {
    Answered,
    /// The server refuses it: it will again.
    Refused,
    /// No answer: the rest can wait for the next round.
    NoReplica,
}

struct Filler {
    app: Arc<App>,
    /// What is asked ahead under this routing.
    ahead: (Arc<Routing>, Vec<Key>),
    /// Until when a refused question is left alone.
    refused: HashMap<Key, Instant>,
}

impl Filler {
    /// Asks everything that is not kept or old, cluster by cluster.
    async fn round(&mut self) {
        let routing = self.app.routing();
        self.forget_unrouted(&routing).await;
        let now = Instant::now();
        self.refused.retain(|_, until| *until > now);
        if !Arc::ptr_eq(&self.ahead.0, &routing) {
            self.ahead = (routing.clone(), ahead(&routing));
        }
        for cluster in &routing.clusters {
            let due = self.due(&cluster.name);
            self.ask_all(&routing, cluster, due).await;
        }
    }

    /// The keys of a cluster whose answers are missing or old, each once.
    fn due(&self, cluster: &str) -> Vec<Key> {
        let kept = self.app.answers.keys();
        let now = now_ms();
        let is_due = |key: &Key| {
            let learned = self.app.answers.learned_ms(key);
            key.cluster == cluster
                && !self.refused.contains_key(key)
                && learned.is_none_or(|learned| is_old(key, learned, now))
        };
        let mut seen = HashSet::new();
        let all = self.ahead.1.iter().chain(&kept).filter(|key| is_due(key));
        all.filter(|key| seen.insert(*key)).cloned().collect()
    }

    async fn ask_all(&mut self, routing: &Routing, cluster: &Cluster, due: Vec<Key>) {
        let Some(replica) = replica_of(cluster) else {
            return;
        };
        for key in due {
            if matches!(self.ask(routing, &replica, &key, None).await, Asked::NoReplica) {
                return;
            }
        }
    }

    async fn ask_one(&mut self, key: &Key) {
        let routing = self.app.routing();
        let cluster = routing.clusters.iter().find(|c| c.name == key.cluster);
        let Some(replica) = cluster.and_then(|cluster| replica_of(cluster)) else {
            return;
        };
        if !self.refused.contains_key(key) {
            // One that is not kept is here because a client asked it.
            let asked_ms = self.app.answers.learned_ms(key).is_none().then(now_ms);
            self.ask(&routing, &replica, key, asked_ms).await;
        }
    }

    async fn ask(
        &mut self,
        routing: &Routing,
        replica: &ReplicaRuntime,
        key: &Key,
        asked_ms: Option<u64>,
    ) -> Asked {
        let Some(sql) = statement(routing, replica, key) else {
            return Asked::Refused;
        };
        let answered = tokio::time::timeout(ASK_TIMEOUT, ask_replica(replica, key, sql)).await;
        match answered.unwrap_or(Err(Trouble::Passing)) {
            Ok(kept) => {
                if !self.keep(key.clone(), kept, asked_ms).await {
                    self.leave_alone(key);
                }
                Asked::Answered
            }
            Err(Trouble::Passing) => Asked::NoReplica,
            Err(Trouble::Refused(code)) => {
                if code.is_some_and(|code| GONE.contains(&code)) {
                    self.drop_all(vec![key.clone()]).await;
                }
                self.leave_alone(key);
                Asked::Refused
            }
        }
    }

    /// It would come to nothing again.
    fn leave_alone(&mut self, key: &Key) {
        if self.refused.len() < REFUSED_MAX {
            self.refused.insert(key.clone(), Instant::now() + REFRESH_EVERY);
        }
    }

    /// Whether there was room for it.
    async fn keep(&self, key: Key, kept: Kept, asked_ms: Option<u64>) -> bool {
        let answers = &self.app.answers;
        let gone = answers.keep(key.clone(), kept.clone(), asked_ms);
        let files = answers.files.clone();
        let is_kept = !gone.contains(&key);
        let written = tokio::task::spawn_blocking(move || {
            let removed = gone.iter().try_for_each(|key| files.remove(key));
            if is_kept {
                removed.and(files.write(&key, &kept))
            } else {
                removed
            }
        });
        tell(written.await);
        is_kept
    }

    /// Answers about tables that are not routed any more, and of clusters that are gone.
    async fn forget_unrouted(&self, routing: &Routing) {
        let is_gone = |key: &Key| {
            let cluster = routing.clusters.iter().any(|cluster| cluster.name == key.cluster);
            let table = key.shape.asks.table();
            !cluster || table.is_some_and(|table| routed(routing, table).is_none())
        };
        let gone: Vec<_> = self.app.answers.keys().into_iter().filter(is_gone).collect();
        self.drop_all(gone).await;
    }

    async fn drop_all(&self, keys: Vec<Key>) {
        if keys.is_empty() {
            return;
        }
        keys.iter().for_each(|key| self.app.answers.forget(key));
        let files = self.app.answers.files.clone();
        let removed = tokio::task::spawn_blocking(move || keys.iter().try_for_each(|key| files.remove(key)));
        tell(removed.await);
    }
}

fn tell(written: Result<std::io::Result<()>, tokio::task::JoinError>) {
    if let Err(error) = written.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
        tracing::warn!(%error, "an answer for clients could not be kept for the next start");
    }
}

/// A clock that was set back makes an answer of the future; that is asked anew too.
fn is_old(key: &Key, learned_ms: u64, now_ms: u64) -> bool {
    let refresh_every = match key.shape.asks {
        Asks::Server(_) => REFRESH_EVERY,
        Asks::Describe(_) | Asks::About(..) => REFRESH_TABLE_EVERY,
    };
    learned_ms > now_ms || now_ms - learned_ms >= duration_ms(refresh_every)
}

fn duration_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What is asked before anybody has asked it.
fn ahead(routing: &Routing) -> Vec<Key> {
    let mut keys = Vec::new();
    for user in routing.config.users.iter().take(USERS_AHEAD_MAX) {
        let Ok(cluster) = routing.default_cluster(user) else {
            continue;
        };
        let key = |shape| Key {
            cluster: cluster.name.clone(),
            shape,
        };
        keys.extend(known::hellos(super::name_on_replicas(user)).map(key));
    }
    for table in routing.tables().take(TABLES_AHEAD_MAX) {
        let key = |shape| Key {
            cluster: table.cluster.name.clone(),
            shape,
        };
        keys.extend(known::about(&table.config.name).map(key));
    }
    keys
}

/// A replica that is up, at random; one that is down is asked again by the checks, not here.
fn replica_of(cluster: &Cluster) -> Option<Arc<ReplicaRuntime>> {
    cluster.read_order().into_iter().find(|replica| replica.is_up())
}

fn routed(routing: &Routing, table: &TableName) -> Option<Arc<RoutedTable>> {
    match routing.lookup(&table.database, &table.table) {
        Lookup::Routed(table) => Some(table),
        Lookup::Target(_) | Lookup::Unknown => None,
    }
}

/// The statement that a replica is sent; none for a table that is not routed.
fn statement(routing: &Routing, replica: &ReplicaRuntime, key: &Key) -> Option<String> {
    let asks = match &key.shape.asks {
        Asks::Server(text) => text.clone(),
        Asks::About(table, text) => {
            let target = &routed(routing, table)?.config.target;
            let database = replica.database(&target.database);
            // Written by the same grammar, so that it names a table and no parameters.
            let request = shape::Request {
                statement: text.as_bytes(),
                default_format: None,
                database,
                user: "",
                settings: &[],
            };
            let of_target = shape::about_columns(&request);
            of_target.map_or_else(|| text.clone(), |about| about.text(database, &target.table))
        }
        Asks::Describe(table) => {
            let table = routed(routing, table)?;
            let target = &table.config.target;
            let database = replica.database(&target.database);
            format!(
                "DESCRIBE TABLE {}.{}",
                quoted_name(database),
                quoted_name(&target.table)
            )
        }
    };
    Some(format!("{asks} FORMAT {}", key.shape.format))
}

/// Why there is no answer to keep.
enum Trouble {
    /// The replica said so, with its code; or the answer is too large.
    Refused(Option<u32>),
    /// It did not answer.
    Passing,
}

async fn ask_replica(replica: &ReplicaRuntime, key: &Key, sql: String) -> Result<Kept, Trouble> {
    let request = request(key, sql).ok_or(Trouble::Refused(None))?;
    let own = &replica.config;
    let forwarded = replica
        .client()
        .forward_as(request, &own.user, &password(&own.password))
        .await;
    replica.observed(&forwarded);
    let (head, body) = forwarded.map_err(|_| Trouble::Passing)?.into_parts();
    let body = match Limited::new(body, ENTRY_BYTES_MAX).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return Err(Trouble::Refused(None)),
        Err(_) => return Err(Trouble::Passing),
    };
    match response::verdict(head.status, &head.headers, &body) {
        Ok(()) => Ok(Kept {
            headers: kept_headers(&head.headers),
            body,
            learned_ms: now_ms(),
        }),
        Err(Failure::Server(error)) => Err(trouble(error.code)),
        Err(_) => Err(Trouble::Passing),
    }
}

/// Overload passes, and so does what is wrong with the cluster's own user; the rest is said of the question.
fn trouble(code: u32) -> Trouble {
    match codes::lookup(code).map(|known| known.class) {
        Some(class) if class.may_pass() => Trouble::Passing,
        Some(Class::Destination) if !GONE.contains(&code) => Trouble::Passing,
        _ => Trouble::Refused(Some(code)),
    }
}

/// `wait_end_of_query`: the status is the whole answer's, and no exception stands in the middle of a 200.
fn request(key: &Key, sql: String) -> Option<Request<Full<Bytes>>> {
    let settings = key
        .shape
        .settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let target = target(std::iter::once(("wait_end_of_query", "1")).chain(settings)).ok()?;
    let mut request = Request::new(Full::new(Bytes::from(sql)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target.into();
    Some(request)
}

fn kept_headers(headers: &HeaderMap) -> HeaderMap {
    let kept = |name: &&'static str| Some((HeaderName::from_static(name), headers.get(*name)?.clone()));
    KEPT_HEADERS.iter().filter_map(kept).collect()
}
