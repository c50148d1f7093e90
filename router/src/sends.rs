//! `SYSTEM FLUSH | STOP | START DISTRIBUTED`: what clients may say to Weir's own queues.
//!
//! As in ClickHouse, STOP is forgotten at a restart, concerns what is sent in the background (a local replica's rows are
//! inserted directly and go on), and a FLUSH sends in spite of it. A FLUSH is done when every row that waited when it began is on its
//! shard; it gives up when for [`PATIENCE`] nothing moves, and names what stands in the way.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use spool::{Destination, DestinationStatus, Spool};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::app::App;
use crate::exception::{Exception, code};
use crate::routing::RoutedTable;

/// How long a FLUSH waits while no row arrives anywhere.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a FLUSH looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What becomes of tables' background sends.
#[derive(Debug, Default)]
pub struct Sends {
    tables: Mutex<Tables>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Tables {
    stopped: BTreeSet<String>,
    /// FLUSHes under way.
    flushing: HashMap<String, usize>,
}

impl Sends {
    /// Nothing of the table is sent in the background until [`start`](Self::start).
    pub fn stop(&self, table: &str) {
        if self.tables().stopped.insert(table.to_owned()) {
            tracing::warn!(
                table,
                "a client stopped the table's sends: its rows wait in the spool until SYSTEM START DISTRIBUTED SENDS, or a restart"
            );
        }
    }

    /// Takes [`stop`](Self::stop) back.
    pub fn start(&self, table: &str) {
        if self.tables().stopped.remove(table) {
            tracing::info!(table, "a client started the table's sends again");
        }
        self.changed.notify_waiters();
    }

    /// Tables whose sends are stopped.
    pub fn stopped(&self) -> Vec<String> {
        self.tables().stopped.iter().cloned().collect()
    }

    /// Whether a sender of the table rests.
    pub fn is_stopped(&self, table: &str) -> bool {
        let tables = self.tables();
        tables.stopped.contains(table) && !tables.flushing.contains_key(table)
    }

    /// Ends when the table's sends may go on; at once unless they are stopped.
    pub async fn may_go(&self, table: &str) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if !self.is_stopped(table) {
                return;
            }
            changed.await;
        }
    }

    /// Lets the table's rows go as long as the answer lives.
    fn flush<'a>(&'a self, table: &'a str) -> Flushing<'a> {
        *self.tables().flushing.entry(table.to_owned()).or_default() += 1;
        self.changed.notify_waiters();
        Flushing { sends: self, table }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Flushing<'a> {
    sends: &'a Sends,
    table: &'a str,
}

impl Drop for Flushing<'_> {
    fn drop(&mut self) {
        let mut tables = self.sends.tables();
        if let Some(flushes) = tables.flushing.get_mut(self.table) {
            *flushes -= 1;
            if *flushes == 0 {
                tables.flushing.remove(self.table);
            }
        }
    }
}

/// Sends all rows of the table that wait now, and waits until they have arrived.
pub async fn flush(app: &App, table: &RoutedTable) -> Result<(), Exception> {
    let _flushing = app.sends.flush(&table.name);
    let goals: Vec<_> = table
        .destinations
        .iter()
        .filter_map(|to| Goal::of(&app.spool, to))
        .collect();
    app.spool.flush(Some(&table.name)).await;
    app.nudge.notify_waiters();
    let (mut left, mut since) = (u64::MAX, Instant::now());
    loop {
        let looked_at = goals.iter().map(|goal| (goal, goal.left(&app.spool)));
        let unmet: Vec<_> = looked_at.filter(|(_, rows)| *rows > 0).collect();
        let Some((first, _)) = unmet.first() else {
            return Ok(());
        };
        let now: u64 = unmet.iter().map(|(_, rows)| rows).sum();
        if now < left {
            (left, since) = (now, Instant::now());
        } else if since.elapsed() > PATIENCE {
            return Err(first.stuck(&app.spool, now));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A destination, and how many rows it will have acknowledged or set aside when all that waits is through.
struct Goal<'a> {
    destination: &'a Destination,
    rows: u64,
}

impl<'a> Goal<'a> {
    /// None where nothing ever waited.
    fn of(spool: &Spool, destination: &'a Destination) -> Option<Goal<'a>> {
        let status = spool.destination(destination)?;
        let rows = ended(&status) + waiting(&status);
        Some(Goal { destination, rows })
    }

    /// Rows that still wait of those that did when it began.
    fn left(&self, spool: &Spool) -> u64 {
        let status = spool.destination(self.destination);
        status.map_or(0, |status| {
            self.rows.saturating_sub(ended(&status)).min(waiting(&status))
        })
    }

    fn stuck(&self, spool: &Spool, rows: u64) -> Exception {
        let status = spool.destination(self.destination);
        let why = status.and_then(|status| status.destination_held.or(status.last_error));
        Exception::try_again(
            code::TIMEOUT_EXCEEDED,
            1,
            format!(
                "{rows} rows still wait, and none arrived for {} seconds. {}: {}. `weir spool ls` shows what waits.",
                PATIENCE.as_secs(),
                self.destination,
                why.unwrap_or_else(|| "no error is recorded".to_owned())
            ),
        )
    }
}

fn waiting(status: &DestinationStatus) -> u64 {
    status.uncut.rows + status.waiting.rows
}

fn ended(status: &DestinationStatus) -> u64 {
    status.acknowledged_rows + status.held.rows + status.broken.rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flush_goes_on_in_spite_of_a_stop_and_a_start_wakes_who_rests() {
        let sends = Sends::default();
        sends.stop("d.t");
        assert!(sends.is_stopped("d.t") && !sends.is_stopped("d.other"));
        let flushing = (sends.flush("d.t"), sends.flush("d.t"));
        assert!(!sends.is_stopped("d.t"));
        drop(flushing.0);
        assert!(!sends.is_stopped("d.t"), "another one is under way");
        drop(flushing.1);
        let rested = tokio::time::timeout(Duration::from_secs(1), sends.may_go("d.t")).await;
        assert!(rested.is_err());
        let (start, ()) = tokio::join!(async { sends.start("d.t") }, sends.may_go("d.t"));
        assert_eq!((start, sends.stopped()), ((), Vec::new()));
    }
}
