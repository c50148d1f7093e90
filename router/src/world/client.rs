//! Clients: they insert, wait, and with a token ask again when nobody answered.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use spool::{
    CommitError, CommitHead, InsertId, PendingOutcome, ProbeTarget, QueueError, RetryWindows, Shape,
};

use super::plan::TABLES;
use super::shards::{Row, Shards};
use crate::app::App;
use crate::routing::{Lookup, RoutedTable};

/// As `local_insert_timeout` of the plan.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a client knows of its INSERT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It has no answer.
    Unknown,
    /// It is told that its rows are kept.
    Accepted,
    /// It is told that nothing of it will be delivered.
    Refused,
}

/// One INSERT, and what became of it as far as its client knows.
#[derive(Debug)]
pub struct Insert {
    pub number: usize,
    pub table: usize,
    pub rows: Vec<Row>,
    pub token: Option<String>,
    /// Its shape is new, so that a destination gets its rows first.
    pub probes: bool,
    pub fate: Mutex<Fate>,
}

impl Insert {
    pub fn fate(&self) -> Fate {
        *self.fate.lock().unwrap()
    }

    /// Hands the rows over and waits for the answer; nothing is told while there is none.
    pub async fn send(self: Arc<Self>, app: Arc<App>, shards: Shards) {
        let Some(fate) = self.answered(&app).await else {
            return;
        };
        shards.say(format!("client: INSERT {} is {fate:?}", self.number));
        *self.fate.lock().unwrap() = fate;
    }

    async fn answered(&self, app: &App) -> Option<Fate> {
        let (database, name) = TABLES[self.table].split_once('.').unwrap();
        let Lookup::Routed(table) = app.routing().lookup(database, name) else {
            panic!("{name} is not routed");
        };
        let shape = Arc::new(Shape {
            cluster: table.cluster.name.clone(),
            epoch: table.cluster.epoch,
            table: table.name.clone(),
            columns: vec![("id".to_owned(), "UInt64".to_owned())],
            format: "RowBinary".to_owned(),
            settings: Vec::new(),
        });
        let mut stage = app
            .spool
            .stage(InsertId::random(), self.token.clone(), shape, &table.lanes);
        for row in &self.rows {
            if stage.append(row.shard(), &row.0.to_le_bytes(), 1).is_err() {
                return Some(Fate::Refused);
            }
        }
        let Ok(staged) = stage.finish() else {
            return Some(Fate::Refused);
        };
        let head = CommitHead {
            retry_windows: RetryWindows::FOR_EVER,
            probe: self.probe_targets(&table),
            ..CommitHead::default()
        };
        match app.spool.commit(staged, head).await {
            Ok(accepted) => self.end_of_wait(app, accepted).await,
            Err(CommitError::Poisoned(_)) => None,
            Err(_) => Some(Fate::Refused),
        }
    }

    /// As `insert` waits.
    async fn end_of_wait(&self, app: &App, accepted: spool::Accepted) -> Option<Fate> {
        let Some(mut pending) = accepted.pending else {
            return Some(Fate::Accepted);
        };
        let outcome = match tokio::time::timeout(PATIENCE, pending.outcome()).await {
            Ok(outcome) => outcome,
            Err(_) => match app.spool.go(accepted.insert, "patience").await {
                Ok(outcome) => outcome,
                Err(QueueError::NotPending(_)) => pending.outcome().await,
                Err(_) => return Some(Fate::Accepted),
            },
        };
        Some(match outcome {
            PendingOutcome::Delivered | PendingOutcome::Waiting(_) | PendingOutcome::SetAside(_) => {
                Fate::Accepted
            }
            PendingOutcome::Aborted(_) => Fate::Refused,
        })
    }

    fn probe_targets(&self, table: &RoutedTable) -> Vec<ProbeTarget> {
        if !self.probes {
            return Vec::new();
        }
        let has_rows = |shard: usize| self.rows.iter().any(|row| row.shard() == shard);
        let lanes = table
            .lanes
            .iter()
            .enumerate()
            .filter(|(shard, _)| has_rows(*shard));
        let remote = lanes.filter_map(|(shard, lanes)| Some((shard, lanes.remote?)));
        let targets = remote.flat_map(|(shard, lane)| {
            let up = table.cluster.shards[shard].remote_destinations_up();
            up.into_iter()
                .map(move |destination| ProbeTarget { lane, destination })
        });
        targets.collect()
    }
}
