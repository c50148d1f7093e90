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
/// settled. What sent/ holds goes before an INSERT is refused.
pub async fn refuse_full_disk(spool: &Spool, limits: &config::Spool) -> Result<(), Exception> {
    let Some(lacking_bytes) = lacking_bytes(limits) else {
        return Ok(());
    };
    if spool.destinations().iter().any(|status| status.sent.files > 0) {
        spool.evict(lacking_bytes).await;
    }
    check_disk(limits)
}

/// Bytes that `reserve_bytes` asks for on this disk, and those that are free; none on a system that does not say: it will say so
/// when it is written to.
fn reserve_and_free(limits: &config::Spool) -> Option<(u64, u64)> {
    // Before the first start there is no directory yet, and the disk is that of the one above.
    let stat = (limits.path.ancestors()).find_map(|path| rustix::fs::statvfs(path).ok())?;
    let free_bytes = stat.f_bavail.saturating_mul(stat.f_frsize);
    let disk_bytes = stat.f_blocks.saturating_mul(stat.f_frsize);
    Some((limits.reserve.bytes_of(disk_bytes), free_bytes))
}

/// `reserve_bytes` of this disk; 0 where it is not known.
pub fn reserve_bytes(limits: &config::Spool) -> u64 {
    reserve_and_free(limits).map_or(0, |(reserve_bytes, _)| reserve_bytes)
}

fn lacking_bytes(limits: &config::Spool) -> Option<u64> {
    let (reserve_bytes, free_bytes) = reserve_and_free(limits)?;
    reserve_bytes
        .checked_sub(free_bytes)
        .filter(|lacking| *lacking > 0)
}

fn check_disk(limits: &config::Spool) -> Result<(), Exception> {
    let Some((reserve_bytes, free_bytes)) = reserve_and_free(limits).filter(|(kept, free)| free < kept)
    else {
        return Ok(());
    };
    Err(Exception::try_again(
        code::TOO_MANY_SIMULTANEOUS_QUERIES,
        RETRY_AFTER_S,
        format!(
            "The spool's disk has {free_bytes} bytes free, less than reserve_bytes ({reserve_bytes}): new INSERTs wait until there is room. \
             Nothing of this one was accepted."
        ),
    ))
}
