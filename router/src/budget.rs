//! The memory that INSERTs may hold while they are read and split: one budget for all of them, so that memory
//! does not grow with the number of clients or the size of their bodies.
//!
//! There are three rooms. The decoders of compressed bodies take of their own, before anything else of their INSERT. A small INSERT takes a small part of the one, a large INSERT (or one that says so by its Content-Length) its whole part
//! of the other at once: nobody holds a part of a room while waiting for more of the same, so that INSERTs cannot starve each other, and
//! large ones never stop small ones. One that cannot get its part in time is answered 503 with code 202, which clients send again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::exception::{Exception, code};
use crate::http::decode::MEMBER_BYTES_MAX;

/// What a semaphore's permit stands for: the budget's grain.
const PERMIT_BYTES: u64 = 64 * 1024;

/// What an INSERT of any size holds at most: the frames that its stage keeps in memory, and the windows
/// around them.
pub const LARGE_INSERT_BYTES: u64 = 20 << 20;

/// What a body takes of the room for small ones, in this order; a larger one is large.
const SMALL_STEPS: [u64; 2] = [PERMIT_BYTES, 512 << 10];

/// One part in so many of the budget is for small INSERTs.
const SMALL_SHARE: u64 = 4;

/// One part in so many is for decoders.
const DECODER_SHARE: u64 = 4;

/// The memory of all INSERTs.
#[derive(Debug, Clone)]
pub struct Budget {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
    decoders: Arc<Semaphore>,
    wait_max: Duration,
}

/// One INSERT's part of the budget; given back when dropped.
#[derive(Debug, Default)]
pub struct Part {
    held: Vec<OwnedSemaphorePermit>,
    bytes: u64,
}

impl Budget {
    /// A budget of this many bytes, and room for at least one large INSERT; waiting for a part of it ends after `wait_max`.
    pub fn new(bytes: u64, wait_max: Duration) -> Self {
        let small = bytes / SMALL_SHARE;
        let decoders = bytes / DECODER_SHARE;
        let large = (bytes - small - decoders).max(LARGE_INSERT_BYTES);
        Self {
            decoders: room(decoders.max(MEMBER_BYTES_MAX as u64)),
            small: room(small.max(SMALL_STEPS[1])),
            large: room(large),
            wait_max,
        }
    }

    /// Makes an INSERT's part large enough for a body of `body_bytes`, as far as is known of it.
    pub async fn cover(&self, part: &mut Part, body_bytes: u64) -> Result<(), Exception> {
        if body_bytes <= part.bytes || part.bytes == LARGE_INSERT_BYTES {
            return Ok(());
        }
        let small = SMALL_STEPS.into_iter().find(|step| *step >= body_bytes);
        let (room, more, covered) = match small {
            Some(step) => (&self.small, step - part.bytes, step),
            None => (&self.large, LARGE_INSERT_BYTES, LARGE_INSERT_BYTES),
        };
        let permits = u32::try_from(more / PERMIT_BYTES).unwrap_or(u32::MAX);
        match tokio::time::timeout(self.wait_max, room.clone().acquire_many_owned(permits)).await {
            Ok(Ok(permits)) => part.held.push(permits),
            Ok(Err(_)) | Err(_) => return Err(self.exhausted()),
        }
        part.bytes = covered;
        Ok(())
    }

    /// Adds memory for a decoder to what its body holds.
    pub async fn cover_decoder(&self, part: &mut Part, more_bytes: usize) -> Result<(), Exception> {
        let permits = u32::try_from((more_bytes as u64).div_ceil(PERMIT_BYTES)).unwrap_or(u32::MAX);
        match tokio::time::timeout(self.wait_max, self.decoders.clone().acquire_many_owned(permits)).await {
            Ok(Ok(permits)) => part.held.push(permits),
            Ok(Err(_)) | Err(_) => return Err(self.exhausted()),
        }
        part.bytes += more_bytes as u64;
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

fn room(bytes: u64) -> Arc<Semaphore> {
    let permits = usize::try_from(bytes / PERMIT_BYTES).unwrap_or(Semaphore::MAX_PERMITS);
    Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_insert_that_finds_no_memory_in_time_is_told_to_try_again() {
        let budget = Budget::new(LARGE_INSERT_BYTES, Duration::from_secs(20));
        let (mut first, mut second) = (Part::default(), Part::default());
        budget.cover(&mut first, 1 << 30).await.unwrap();
        let error = budget.cover(&mut second, 1 << 30).await.unwrap_err();
        assert_eq!(
            (error.code, error.status.as_u16()),
            (code::TOO_MANY_SIMULTANEOUS_QUERIES, 503)
        );
        drop(first);
        budget.cover(&mut second, 1 << 30).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn large_inserts_never_stop_small_ones() {
        let budget = Budget::new(LARGE_INSERT_BYTES, Duration::ZERO);
        let mut large = Part::default();
        budget.cover(&mut large, 1 << 30).await.unwrap();
        budget.cover(&mut Part::default(), 1000).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn decoders_have_a_room_of_their_own_and_give_it_back() {
        let budget = Budget::new(LARGE_INSERT_BYTES, Duration::from_secs(1));
        let (mut first, mut second) = (Part::default(), Part::default());
        budget.cover_decoder(&mut first, MEMBER_BYTES_MAX).await.unwrap();
        let error = budget.cover_decoder(&mut second, 1).await.unwrap_err();
        assert_eq!(error.code, code::TOO_MANY_SIMULTANEOUS_QUERIES);
        budget.cover(&mut Part::default(), 1 << 30).await.unwrap();
        drop(first);
        budget.cover_decoder(&mut second, 1).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn growing_inserts_wait_for_each_other_and_all_get_through() {
        let budget = Budget::new(4 * LARGE_INSERT_BYTES, Duration::from_secs(20));
        let grow = |budget: Budget| async move {
            let mut part = Part::default();
            for body_bytes in [1000, 300 << 10, 3 << 20, 12 << 20, 5 << 30] {
                budget.cover(&mut part, body_bytes).await?;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert_eq!(part.bytes, LARGE_INSERT_BYTES);
            Ok::<_, Exception>(())
        };
        let growing: Vec<_> = (0..24).map(|_| tokio::spawn(grow(budget.clone()))).collect();
        for one in growing {
            one.await.unwrap().unwrap();
        }
    }
}
