//! The memory that INSERTs may hold while they are read and split: one budget for all of them, so that memory
//! does not grow with the number of clients or the size of their bodies.
//!
//! An INSERT takes its part in steps as its body grows, up to [`LARGE_INSERT_BYTES`]: from there on it
//! streams to the disk and needs no more. One that cannot get its part in time is answered 503 with code 202,
//! which clients send again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::exception::{Exception, code};

/// What a semaphore's permit stands for: the budget's grain.
const PERMIT_BYTES: u64 = 64 * 1024;

/// What an INSERT of any size holds at most: the frames that its stage keeps in memory, and the windows
/// around them.
pub const LARGE_INSERT_BYTES: u64 = 20 << 20;

/// The steps in which a growing INSERT takes its part.
const STEPS: [u64; 4] = [PERMIT_BYTES, 512 << 10, 4 << 20, LARGE_INSERT_BYTES];

/// The memory of all INSERTs.
#[derive(Debug, Clone)]
pub struct Budget {
    permits: Arc<Semaphore>,
    wait_max: Duration,
}

/// One INSERT's part of the budget; given back when dropped.
#[derive(Debug, Default)]
pub struct Part {
    held: Option<OwnedSemaphorePermit>,
    bytes: u64,
}

impl Budget {
    /// A budget of this many bytes, at least one large INSERT's; waiting for a part of it ends after
    /// `wait_max`.
    pub fn new(bytes: u64, wait_max: Duration) -> Self {
        let permits = bytes.max(LARGE_INSERT_BYTES) / PERMIT_BYTES;
        let permits = usize::try_from(permits)
            .unwrap_or(Semaphore::MAX_PERMITS)
            .min(Semaphore::MAX_PERMITS);
        Self {
            permits: Arc::new(Semaphore::new(permits)),
            wait_max,
        }
    }

    /// Makes an INSERT's part large enough for a body of `body_bytes` so far.
    pub async fn cover(&self, part: &mut Part, body_bytes: u64) -> Result<(), Exception> {
        let needed = STEPS
            .into_iter()
            .find(|step| *step >= body_bytes)
            .unwrap_or(LARGE_INSERT_BYTES);
        if needed <= part.bytes {
            return Ok(());
        }
        let more = u32::try_from((needed - part.bytes) / PERMIT_BYTES).unwrap_or(u32::MAX);
        let permits =
            tokio::time::timeout(self.wait_max, self.permits.clone().acquire_many_owned(more)).await;
        let Ok(Ok(permits)) = permits else {
            return Err(self.exhausted());
        };
        match &mut part.held {
            Some(held) => held.merge(permits),
            None => part.held = Some(permits),
        }
        part.bytes = needed;
        Ok(())
    }

    fn exhausted(&self) -> Exception {
        Exception::try_again(
            code::TOO_MANY_SIMULTANEOUS_QUERIES,
            1,
            format!(
                "Too many INSERTs at once: their memory (limits.memory_limit) was taken for {} seconds. Nothing of this one was inserted.",
                self.wait_max.as_secs()
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_insert_that_finds_no_memory_in_time_is_told_to_try_again() {
        let budget = Budget::new(LARGE_INSERT_BYTES, Duration::from_secs(20));
        let (mut first, mut second) = (Part::default(), Part::default());
        budget.cover(&mut first, 1 << 30).await.unwrap();
        let error = budget.cover(&mut second, 1).await.unwrap_err();
        assert_eq!(
            (error.code, error.status.as_u16()),
            (code::TOO_MANY_SIMULTANEOUS_QUERIES, 503)
        );
        drop(first);
        budget.cover(&mut second, 1).await.unwrap();
    }

    #[tokio::test]
    async fn a_part_grows_in_steps_and_never_beyond_a_large_insert() {
        let budget = Budget::new(2 * LARGE_INSERT_BYTES, Duration::ZERO);
        let mut part = Part::default();
        for body_bytes in [1, 1000, 100_000, 10 << 20, 5 << 30] {
            budget.cover(&mut part, body_bytes).await.unwrap();
        }
        assert_eq!(part.bytes, LARGE_INSERT_BYTES);
        assert_eq!(
            budget.permits.available_permits() as u64,
            LARGE_INSERT_BYTES / PERMIT_BYTES
        );
    }
}
