//! Metrics in Prometheus' form. Their names are part of the contract with those who alert on them
//! (docs/operations.md lists them).
//!
//! Counters and the commit histogram live here; what the spool and the replicas know is read when it is asked
//! for, so nothing is counted twice. Series of a table and shard exist only while something waits there.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use spool::{Destination, DestinationStatus, RetryStatus};

/// Upper bounds of weir_commit_seconds: one fdatasync is 0.1 to 20 ms, trouble is above.
const COMMIT_SECONDS: [f64; 10] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5,
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TableCode {
    table: String,
    code: i32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Table {
    table: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct User {
    user: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TableShard {
    table: String,
    shard: String,
}

/// What is counted while Weir runs.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    inserts: Family<TableCode, Counter>,
    inserted_rows: Family<Table, Counter>,
    delivered_rows: Family<TableShard, Counter>,
    commit_seconds: Histogram,
    cached_answers: Counter,
    failed_logins: Family<User, Counter>,
    recognised_retries: Family<Table, Counter>,
    last_reload_successful: AtomicBool,
}

/// What is read at the moment of asking.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Every destination of the spool.
    pub destinations: Vec<DestinationStatus>,
    /// Each replica's cluster, shard, address, and whether it answers.
    pub replicas: Vec<ReplicaUp>,
    /// What each discovering cluster has found.
    pub discovered: Vec<Discovered>,
    /// Tables whose sends a client has stopped.
    pub stopped: Vec<String>,
    /// What is remembered for clients' retries.
    pub retries: RetryStatus,
    /// Free bytes on the spool's disk.
    pub disk_free_bytes: u64,
    /// Each cluster's name and epoch.
    pub layouts: Vec<(String, u64)>,
    /// Now, milliseconds since 1970.
    pub now_ms: u64,
}

/// What a cluster that discovers has found.
#[derive(Debug, Clone)]
pub struct Discovered {
    /// The cluster.
    pub cluster: String,
    /// Tables that are routed without being listed.
    pub tables: u64,
    /// Those of them that take no INSERTs until an operator has looked.
    pub stopped: u64,
    /// Each seed's address, and whether it answered when it was asked last.
    pub seeds: Vec<(String, bool)>,
}

/// Whether a replica answers.
#[derive(Debug, Clone)]
pub struct ReplicaUp {
    /// The cluster.
    pub cluster: String,
    /// The shard's name.
    pub shard: String,
    /// host:port
    pub replica: String,
    /// Its last answer was one.
    pub up: bool,
}

impl Default for Metrics {
    fn default() -> Self {
        let inserts = Family::<TableCode, Counter>::default();
        let inserted_rows = Family::<Table, Counter>::default();
        let delivered_rows = Family::<TableShard, Counter>::default();
        let commit_seconds = Histogram::new(COMMIT_SECONDS);
        let cached_answers = Counter::default();
        let failed_logins = Family::<User, Counter>::default();
        let recognised_retries = Family::<Table, Counter>::default();
        let mut registry = Registry::with_prefix("weir");
        registry.register(
            "inserts",
            "INSERTs answered, by table and ClickHouse code (0 is success)",
            inserts.clone(),
        );
        registry.register(
            "inserted_rows",
            "Rows of INSERTs answered with success",
            inserted_rows.clone(),
        );
        registry.register(
            "delivered_rows",
            "Rows acknowledged by a shard",
            delivered_rows.clone(),
        );
        registry.register(
            "commit_seconds",
            "From a staged INSERT to its record on disk",
            commit_seconds.clone(),
        );
        registry.register(
            "cached_answers",
            "Questions of clients answered from what was kept, because no replica answered",
            cached_answers.clone(),
        );
        registry.register(
            "failed_logins",
            "Requests refused for their user or password, by user (empty for one that is not configured)",
            failed_logins.clone(),
        );
        registry.register(
            "recognised_retries",
            "INSERTs answered as one that was accepted before, by table",
            recognised_retries.clone(),
        );
        let last_reload_successful = AtomicBool::new(true);
        Self {
            registry,
            inserts,
            inserted_rows,
            delivered_rows,
            commit_seconds,
            cached_answers,
            failed_logins,
            recognised_retries,
            last_reload_successful,
        }
    }
}

impl Metrics {
    /// An INSERT was answered; code 0 is success. `table` is a routed table's name, never a client's text, and
    /// empty for an INSERT into a table that is not routed.
    pub fn inserted(&self, table: &str, code: i32, rows: u64) {
        self.inserts
            .get_or_create(&TableCode {
                table: table.to_owned(),
                code,
            })
            .inc();
        if rows > 0 {
            self.inserted_rows
                .get_or_create(&Table {
                    table: table.to_owned(),
                })
                .inc_by(rows);
        }
    }

    /// A commit took this long.
    pub fn committed(&self, took: Duration) {
        self.commit_seconds.observe(took.as_secs_f64());
    }

    /// A shard acknowledged rows.
    pub fn delivered(&self, destination: &Destination, rows: u64) {
        let labels = TableShard {
            table: destination.table.clone(),
            shard: destination.shard.clone(),
        };
        self.delivered_rows.get_or_create(&labels).inc_by(rows);
    }

    /// A question was answered from what was kept.
    pub fn answered_from_cache(&self) {
        self.cached_answers.inc();
    }

    /// A request was refused for its user or password; `user` is a configured one's name or empty.
    pub fn login_failed(&self, user: &str) {
        let user = user.to_owned();
        self.failed_logins.get_or_create(&User { user }).inc();
    }

    /// An INSERT was one that was accepted before.
    pub fn recognised(&self, table: &str) {
        let table = table.to_owned();
        self.recognised_retries.get_or_create(&Table { table }).inc();
    }

    /// A reload was tried.
    pub fn reloaded(&self, successful: bool) {
        self.last_reload_successful.store(successful, Ordering::Relaxed);
    }

    /// Everything, as Prometheus reads it.
    pub fn render(&self, snapshot: &Snapshot) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        let counters = text.trim_end().trim_end_matches("# EOF").to_owned();
        let mut page = Page(counters);
        self.render_snapshot(&mut page, snapshot);
        page.0.push_str("# EOF\n");
        page.0
    }

    fn render_snapshot(&self, page: &mut Page, snapshot: &Snapshot) {
        page.spool(snapshot);
        page.head("weir_replica_up", "1 if the replica's last answer was one");
        for replica in &snapshot.replicas {
            let labels = [
                ("cluster", &*replica.cluster),
                ("shard", &*replica.shard),
                ("replica", &*replica.replica),
            ];
            page.sample("weir_replica_up", &labels, u64::from(replica.up));
        }
        page.discovered(&snapshot.discovered);
        page.head(
            "weir_sends_stopped",
            "1 while SYSTEM STOP DISTRIBUTED SENDS holds a table's rows back",
        );
        for table in &snapshot.stopped {
            page.sample("weir_sends_stopped", &[("table", table)], 1);
        }
        page.retries(&snapshot.retries);
        page.head("weir_disk_free_bytes", "Free bytes on the spool's disk");
        page.sample("weir_disk_free_bytes", &[], snapshot.disk_free_bytes);
        page.head(
            "weir_config_last_reload_successful",
            "0 if the last reload was refused",
        );
        let successful = u64::from(self.last_reload_successful.load(Ordering::Relaxed));
        page.sample("weir_config_last_reload_successful", &[], successful);
        page.head("weir_slot_layout", "The epoch of each cluster's slot layout");
        for (cluster, epoch) in &snapshot.layouts {
            page.sample("weir_slot_layout", &[("cluster", cluster)], *epoch);
        }
    }
}

/// One figure of a destination: its metric, its help, its value.
type SpoolFigure = (&'static str, &'static str, fn(&DestinationStatus, u64) -> u64);

const SPOOL_FIGURES: &[SpoolFigure] = &[
    ("weir_spool_bytes", "Bytes that wait", |status, _| {
        status.backlog_bytes()
    }),
    ("weir_spool_rows", "Rows that wait", |status, _| {
        status.uncut.rows + status.waiting.rows + status.held.rows
    }),
    ("weir_spool_files", "Batch files that wait", |status, _| {
        status.waiting.files + status.held.files
    }),
    (
        "weir_spool_oldest_age_seconds",
        "Age of the oldest row that waits",
        |status, now_ms| {
            status
                .oldest_ms
                .map_or(0, |oldest| now_ms.saturating_sub(oldest) / 1000)
        },
    ),
    (
        "weir_held_batches",
        "Batches set aside, or all of a held destination",
        |status, _| {
            if status.destination_held.is_some() {
                status.held.files + status.waiting.files
            } else {
                status.held.files
            }
        },
    ),
    (
        "weir_in_doubt_batches",
        "Batches whose last attempt has no known outcome",
        |status, _| status.in_doubt,
    ),
    (
        "weir_batch_delay_factor",
        "How many times longer rows wait for their batch, since the shard has too many parts; 1 is usual",
        |status, _| u64::from(status.pace.delay_factor()),
    ),
    (
        "weir_batch_size_divisor",
        "How many times smaller batches are, since the shard lacks memory or time; 1 is usual",
        |status, _| u64::from(status.pace.size_divisor()),
    ),
    ("weir_broken_files", "Batches in broken/", |status, _| {
        status.broken.files
    }),
];

/// Whether a destination is worth a series: something waits, or its batches are not as usual.
fn is_worth_a_series(status: &DestinationStatus) -> bool {
    let waits = status.uncut.rows + status.waiting.files + status.held.files + status.broken.files;
    waits > 0 || !status.pace.is_usual()
}

struct Page(String);

impl Page {
    fn spool(&mut self, snapshot: &Snapshot) {
        for (name, help, value) in SPOOL_FIGURES {
            self.head(name, help);
            for status in snapshot
                .destinations
                .iter()
                .filter(|status| is_worth_a_series(status))
            {
                let destination = &status.destination;
                let mut labels = vec![("table", &*destination.table), ("shard", &*destination.shard)];
                labels.extend(destination.replica.as_deref().map(|replica| ("replica", replica)));
                self.sample(name, &labels, value(status, snapshot.now_ms));
            }
        }
    }

    fn retries(&mut self, status: &RetryStatus) {
        let name = "weir_retry_window_seconds";
        self.head(
            name,
            "How far back a client's retry is really recognised, by what it is recognised by",
        );
        let windows = status.windows;
        for (kind, window) in [
            ("token", windows.token),
            ("query_id", windows.query_id),
            ("identical", windows.identical),
        ] {
            self.sample(name, &[("kind", kind)], window.as_secs());
        }
        self.head(
            "weir_retry_window_entries",
            "What is remembered to recognise retries",
        );
        self.sample("weir_retry_window_entries", &[], status.entries);
    }

    fn discovered(&mut self, clusters: &[Discovered]) {
        type Figure = (&'static str, &'static str, fn(&Discovered) -> u64);
        let figures: [Figure; 2] = [
            (
                "weir_discovered_tables",
                "Tables routed without being listed",
                |found| found.tables,
            ),
            (
                "weir_stopped_tables",
                "Discovered tables that take no INSERTs until an operator has looked",
                |found| found.stopped,
            ),
        ];
        for (name, help, value) in figures {
            self.head(name, help);
            for found in clusters {
                self.sample(name, &[("cluster", &*found.cluster)], value(found));
            }
        }
        self.head("weir_seed_up", "1 if the seed answered when it was asked last");
        for found in clusters {
            for (seed, up) in &found.seeds {
                let labels = [("cluster", &*found.cluster), ("seed", &**seed)];
                self.sample("weir_seed_up", &labels, u64::from(*up));
            }
        }
    }

    fn head(&mut self, name: &str, help: &str) {
        // Writing into a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} gauge");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        let escaped = |text: &str| {
            text.replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n")
        };
        let labels: Vec<_> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
            .collect();
        let labels = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{}}}", labels.join(","))
        };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination() -> Destination {
        Destination {
            table: "default.hits".into(),
            shard: "s\"1".into(),
            replica: None,
        }
    }

    #[test]
    fn counters_have_the_names_of_the_contract() {
        let metrics = Metrics::default();
        metrics.inserted("default.hits", 0, 7);
        metrics.inserted("default.hits", 62, 0);
        metrics.delivered(&destination(), 7);
        metrics.committed(Duration::from_millis(1));
        metrics.inserted("", 60, 0);
        metrics.answered_from_cache();
        metrics.login_failed("app");
        metrics.recognised("default.hits");
        let page = metrics.render(&Snapshot::default());
        for line in [
            "weir_inserts_total{table=\"default.hits\",code=\"0\"} 1",
            "weir_inserts_total{table=\"default.hits\",code=\"62\"} 1",
            "weir_inserted_rows_total{table=\"default.hits\"} 7",
            "weir_delivered_rows_total{table=\"default.hits\",shard=\"s\\\"1\"} 7",
            "weir_commit_seconds_count 1",
            "weir_inserts_total{table=\"\",code=\"60\"} 1",
            "weir_cached_answers_total 1",
            "weir_failed_logins_total{user=\"app\"} 1",
            "weir_config_last_reload_successful 1",
            "weir_disk_free_bytes 0",
            "weir_retry_window_seconds{kind=\"token\"} 0",
            "weir_retry_window_entries 0",
            "weir_recognised_retries_total{table=\"default.hits\"} 1",
        ] {
            assert!(page.lines().any(|l| l == line), "{line} is not in\n{page}");
        }
        assert!(page.ends_with("# EOF\n"));
    }

    #[test]
    fn the_last_reload_is_told() {
        let metrics = Metrics::default();
        metrics.reloaded(false);
        assert!(
            metrics
                .render(&Snapshot::default())
                .contains("\nweir_config_last_reload_successful 0\n")
        );
    }
}
