//! What happens when rows come faster than shards take them: INSERTs wait with their bodies unread, then are
//! refused with 503 and code 202, which clients send again. Only those with rows for a full destination: the
//! others go on.

use std::time::Duration;

use spool::{Destination, DestinationStatus, Spool};
use tokio::time::Instant;

use crate::exception::{Exception, code};

/// How often a delayed INSERT looks again: shorter than a batch takes, longer than looking costs.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Seconds that a refused client is asked to wait.
const RETRY_AFTER_S: u32 = 10;

/// When some of an INSERT's destinations are full, is it?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// Its rows may be for any of them: only if all are full is it certain.
    All,
    /// It has rows for each of them.
    Any,
}

/// Lets an INSERT through, late if a queue is above `bytes_to_delay_insert`, not at all if it stays there for
/// `max_delay_to_insert` or
/// is above `bytes_to_throw_insert`.
pub async fn admit(
    spool: &Spool,
    limits: &config::Spool,
    destinations: &[Destination],
    full: Full,
) -> Result<(), Exception> {
    let deadline = Instant::now() + limits.max_delay_to_insert;
    loop {
        let Some(status) = fullest(spool, destinations, full, limits.bytes_to_delay_insert) else {
            return Ok(());
        };
        if status.backlog_bytes() >= limits.bytes_to_throw_insert || Instant::now() >= deadline {
            return Err(too_much_waits(&status, limits));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A destination at or above the limit, if that is what `full` asks for.
fn fullest(spool: &Spool, destinations: &[Destination], full: Full, limit: u64) -> Option<DestinationStatus> {
    let over = |d: &Destination| {
        spool
            .destination(d)
            .filter(|status| status.backlog_bytes() >= limit)
    };
    match full {
        Full::Any => destinations.iter().find_map(over),
        Full::All => {
            let all: Option<Vec<_>> = destinations.iter().map(over).collect();
            // The least full one decides whether the rest of the way is open.
            all?.into_iter().min_by_key(DestinationStatus::backlog_bytes)
        }
    }
}

fn too_much_waits(status: &DestinationStatus, limits: &config::Spool) -> Exception {
    let why = status
        .last_error
        .as_deref()
        .or(status.destination_held.as_deref());
    Exception::try_again(
        code::TOO_MANY_SIMULTANEOUS_QUERIES,
        RETRY_AFTER_S,
        format!(
            "{} bytes wait for {} (bytes_to_delay_insert {}, bytes_to_throw_insert {}): {}. Nothing of this INSERT was accepted.",
            status.backlog_bytes(),
            status.destination,
            limits.bytes_to_delay_insert,
            limits.bytes_to_throw_insert,
            why.unwrap_or("its shard takes rows more slowly than they come")
        ),
    )
}

/// Keeps `reserve_bytes` of the disk free of new INSERTs, so that what was accepted can still be cut and
/// settled.
pub fn refuse_full_disk(limits: &config::Spool) -> Result<(), Exception> {
    // A system that does not say how full the disk is will say so when it is written to.
    let Ok(stat) = rustix::fs::statvfs(&limits.path) else {
        return Ok(());
    };
    let free_bytes = stat.f_bavail.saturating_mul(stat.f_frsize);
    let reserve_bytes = limits
        .reserve
        .bytes_of(stat.f_blocks.saturating_mul(stat.f_frsize));
    if free_bytes >= reserve_bytes {
        return Ok(());
    }
    Err(Exception::try_again(
        code::TOO_MANY_SIMULTANEOUS_QUERIES,
        RETRY_AFTER_S,
        format!(
            "The spool's disk has {free_bytes} bytes free, less than reserve_bytes ({reserve_bytes}): new INSERTs wait until there is room. \
             Nothing of this one was accepted."
        ),
    ))
}
