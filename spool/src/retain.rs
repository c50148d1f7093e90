//! sent/ within its limits: by age, by bytes of all destinations together, by files of each.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::error::FileError;
use crate::event::Seq;
use crate::files::{Files, now_ms};
use crate::model::Destination;
use crate::names::{batch_name, seq_of};
use crate::shared::Shared;
use crate::status::Tally;

/// Files that a destination's sent/ may hold: more make listings and removals slow.
pub const SENT_FILES_MAX: u64 = 10_000;
/// Between two looks at sent/: short against any sensible `sent_retention_time`.
const PAUSE: Duration = Duration::from_secs(30);

/// A file in sent/.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Its number.
    pub seq: Seq,
    /// Its size.
    pub bytes: u64,
}

/// How many of the oldest files must go. `kept` is in order of number; `age` is asked only as far as needed.
pub fn surplus(
    kept: &[Kept],
    age: impl Fn(Seq) -> Duration,
    retention: Duration,
    excess_bytes: u64,
) -> usize {
    let too_many = kept.len().saturating_sub(SENT_FILES_MAX as usize);
    let too_old = kept.iter().take_while(|file| age(file.seq) > retention).count();
    let mut freed = 0;
    let too_large = kept.iter().take_while(|file| {
        let wanted = freed < excess_bytes;
        freed += file.bytes;
        wanted
    });
    too_many.max(too_old).max(too_large.count())
}

/// The retention thread; runs until the work is closed.
pub fn run(shared: &Arc<Shared>) {
    while !shared.work.is_done() && !shared.is_closed() {
        let rings = shared.retain.rings();
        if shared.recovery().is_some() {
            sweep(shared);
        }
        shared.retain.sleep(rings, PAUSE);
    }
}

/// One look at every sent/ that holds files.
pub fn sweep(shared: &Shared) {
    let sent = sent_tallies(shared);
    let total: u64 = sent.iter().map(|(_, tally)| tally.file_bytes).sum();
    let excess = total.saturating_sub(shared.options.sent_retention_bytes);
    for (destination, tally) in sent {
        shrink_or_warn(shared, &destination, share_of(excess, tally.file_bytes, total));
    }
}

/// Frees at least so many bytes, or as many as there are.
pub fn evict(shared: &Shared, bytes: u64) {
    let sent = sent_tallies(shared);
    let total: u64 = sent.iter().map(|(_, tally)| tally.file_bytes).sum();
    for (destination, tally) in sent {
        shrink_or_warn(
            shared,
            &destination,
            share_of(bytes.min(total), tally.file_bytes, total),
        );
    }
}

/// Each destination gives up its part of the excess, so that none loses all its history to another's traffic.
fn share_of(excess: u64, bytes: u64, total: u64) -> u64 {
    let part = u128::from(excess) * u128::from(bytes);
    u64::try_from(part.div_ceil(u128::from(total.max(1)))).unwrap_or(u64::MAX)
}

fn sent_tallies(shared: &Shared) -> Vec<(Destination, Tally)> {
    let state = shared.state();
    let holding = state.queues().filter(|(_, queue)| queue.sent.files > 0);
    holding
        .map(|(destination, queue)| (destination.clone(), queue.sent))
        .collect()
}

fn shrink_or_warn(shared: &Shared, destination: &Destination, excess_bytes: u64) {
    if let Err(error) = shrink(shared, destination, excess_bytes) {
        tracing::warn!(%error, %destination, "sent/ keeps more than it should");
    }
}

fn shrink(shared: &Shared, destination: &Destination, excess_bytes: u64) -> Result<(), FileError> {
    let sent = shared.files.layout.sent(destination);
    let listed = shared.files.list(&sent)?;
    let kept = listed.iter().filter_map(|file| {
        Some(Kept {
            seq: seq_of(&file.name)?,
            bytes: file.bytes,
        })
    });
    let kept: Vec<Kept> = kept.collect();
    let age = |seq| age_of(&shared.files, &sent.join(batch_name(seq)));
    let surplus = surplus(&kept, age, shared.options.sent_retention_time, excess_bytes);
    for file in &kept[..surplus] {
        shared.files.remove(&sent.join(batch_name(file.seq)))?;
        let gone = Tally {
            files: 1,
            file_bytes: file.bytes,
            ..Tally::default()
        };
        shared.state().queue(destination).sent.subtract(gone);
    }
    Ok(())
}

/// How long ago the file was moved to where it lies; no time at all where nobody knows.
fn age_of(files: &Files, path: &Path) -> Duration {
    let now = now_ms();
    let changed = files.disk.changed_at_ms(path).unwrap_or(now);
    Duration::from_millis(now.saturating_sub(changed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(ages_s: &[u64], excess_bytes: u64, expected: usize) {
        let kept: Vec<Kept> = (0..ages_s.len() as u64)
            .map(|seq| Kept { seq, bytes: 100 })
            .collect();
        let age = |seq: Seq| Duration::from_secs(ages_s[seq as usize]);
        assert_eq!(
            surplus(&kept, age, Duration::from_secs(60), excess_bytes),
            expected
        );
    }

    #[test]
    fn files_older_than_the_retention_time_go() {
        check(&[100, 61, 60, 1], 0, 2);
        check(&[], 0, 0);
    }

    #[test]
    fn the_oldest_go_until_the_excess_is_freed() {
        check(&[3, 2, 1], 1, 1);
        check(&[3, 2, 1], 100, 1);
        check(&[3, 2, 1], 101, 2);
        check(&[3, 2, 1], 10_000, 3);
    }

    #[test]
    fn a_destination_keeps_at_most_so_many_files() {
        check(&vec![1; SENT_FILES_MAX as usize + 7], 0, 7);
    }

    #[test]
    fn each_destination_gives_up_its_part_of_the_excess() {
        assert_eq!(share_of(100, 300, 400), 75);
        assert_eq!(share_of(1, 300, 400), 1);
        assert_eq!(share_of(0, 0, 0), 0);
    }
}
