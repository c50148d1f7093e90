//! A line a minute for each destination that moved rows or lets them wait: what an operator reads first.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use spool::{Destination, DestinationStatus};

use crate::app::App;
use crate::tasks::Stop;
use crate::time::now_ms;

/// How often busy destinations are summed up.
const EVERY: Duration = Duration::from_secs(60);

/// Tells until it is asked to stop.
pub async fn tell(app: Arc<App>, mut stop: Stop) {
    let mut delivered_before = HashMap::new();
    loop {
        tokio::select! {
            () = stop.requested() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        let now = now_ms();
        for status in app.spool.destinations() {
            tell_one(&status, &mut delivered_before, now);
        }
    }
}

fn tell_one(status: &DestinationStatus, before: &mut HashMap<Destination, u64>, now_ms: u64) {
    let delivered_rows = status.acknowledged_rows
        - before
            .insert(status.destination.clone(), status.acknowledged_rows)
            .unwrap_or(0)
            .min(status.acknowledged_rows);
    let waiting_rows = status.uncut.rows + status.waiting.rows + status.held.rows;
    if delivered_rows == 0 && waiting_rows == 0 {
        return;
    }
    tracing::info!(
        destination = %status.destination,
        delivered_rows,
        waiting_rows,
        waiting_bytes = status.backlog_bytes(),
        waiting_files = status.waiting.files,
        held_files = status.held.files,
        oldest_s = status.oldest_ms.map(|oldest| now_ms.saturating_sub(oldest) / 1000),
        last_error = status.last_error,
        "the last minute"
    );
}
