//! Clients: they insert, wait, and with a token ask again when nobody answered.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use spool::{CommitError, CommitHead, InsertId, PendingOutcome, ProbeTarget, RetryWindows, Shape};

use super::plan::TABLES;
use super::shards::{Row, Shards};
use crate::app::App;
use crate::insert::end_wait;
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
    pub told: Mutex<Told>,
}

/// What its client has heard so far.
#[derive(Debug, Default)]
pub struct Told {
    /// Askings that nobody has answered.
    unanswered: usize,
    is_accepted: bool,
    is_undone: bool,
}

/// What one asking came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Accepted,
    /// Nothing of it is or will be anywhere.
    Undone,
    /// Not this time: what an earlier asking came to is not said.
    NotTaken,
}

impl Insert {
    /// What its client knows of it.
    pub fn fate(&self) -> Fate {
        let told = self.told.lock().unwrap();
        match (told.is_accepted, told.unanswered) {
            (true, _) => Fate::Accepted,
            (false, 0) => Fate::Refused,
            (false, _) => Fate::Unknown,
        }
    }

    /// Whether its client asks again: it has a token, and does not know the end.
    pub fn is_asked_again(&self) -> bool {
        let told = self.told.lock().unwrap();
        self.token.is_some() && !told.is_accepted && !told.is_undone
    }

    /// Hands the rows over and waits for the answer; nothing is told while there is none.
    pub async fn send(self: Arc<Self>, app: Arc<App>, shards: Shards) {
        self.told.lock().unwrap().unanswered += 1;
        let Some(answer) = self.answered(&app).await else {
            return;
        };
        shards.say(format!("client: INSERT {} is {answer:?}", self.number));
        let mut told = self.told.lock().unwrap();
        match answer {
            Answer::Accepted => told.is_accepted = true,
            Answer::Undone => (told.is_undone, told.unanswered) = (true, 0),
            Answer::NotTaken => told.unanswered -= 1,
        }
    }

    async fn answered(&self, app: &App) -> Option<Answer> {
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
                return Some(Answer::NotTaken);
            }
        }
        let Ok(staged) = stage.finish() else {
            return Some(Answer::NotTaken);
        };
        let head = CommitHead {
            retry_windows: RetryWindows::FOR_EVER,
            probe: self.probe_targets(&table),
            ..CommitHead::default()
        };
        match app.spool.commit(staged, head).await {
            Ok(accepted) => self.end_of_wait(app, accepted).await,
            Err(CommitError::Poisoned(_)) => None,
            Err(_) => Some(Answer::NotTaken),
        }
    }

    /// As `insert` waits.
    async fn end_of_wait(&self, app: &App, accepted: spool::Accepted) -> Option<Answer> {
        let Some(mut pending) = accepted.pending else {
            return Some(Answer::Accepted);
        };
        let outcome = match tokio::time::timeout(PATIENCE, pending.outcome()).await {
            Ok(outcome) => outcome,
            Err(_) => end_wait(&app.spool, accepted.insert, &mut pending).await,
        };
        Some(match outcome {
            PendingOutcome::Delivered | PendingOutcome::Waiting(_) | PendingOutcome::SetAside(_) => {
                Answer::Accepted
            }
            PendingOutcome::Aborted(_) => Answer::Undone,
        })
    }

    fn probe_targets(&self, table: &RoutedTable) -> Vec<ProbeTarget> {
        if !self.probes {
            return Vec::new();
        }
        table.probe_targets(|shard| self.rows.iter().any(|row| row.shard() == shard))
    }
}
