//! Places among the batches being sent to one replica: few to one that has just come back, more with every batch that it takes.
//!
//! ```text
//! up, or never asked    max places
//! it fails              1 place: whoever gets it is the probe
//! … and takes a batch   2, 3, 4, … up to max
//! ```
//!
//! All that waited for a shard would else fall upon it in the moment it is back, with cold caches and merges to catch up.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The places of one replica.
#[derive(Debug)]
pub struct Ramp {
    places_max: usize,
    places: Mutex<Places>,
    freed: Notify,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Places {
    /// How many may be taken now, one at least.
    open: usize,
    /// How many are; more than are open for a while behind a failure.
    taken: usize,
}

/// One place, until it is dropped.
#[derive(Debug)]
pub struct Place<'a>(&'a Ramp);

impl Ramp {
    /// All of them are open: nothing bad is known. At least one.
    pub fn new(places_max: usize) -> Ramp {
        let places_max = places_max.max(1);
        Ramp {
            places_max,
            places: Mutex::new(Places {
                open: places_max,
                taken: 0,
            }),
            freed: Notify::new(),
        }
    }

    /// Waits for a place.
    pub async fn place(&self) -> Place<'_> {
        loop {
            if self.take() {
                return Place(self);
            }
            // What was freed since is remembered.
            self.freed.notified().await;
        }
    }

    /// How many places there are when all is well.
    pub fn places_max(&self) -> usize {
        self.places_max
    }

    /// The replica failed.
    pub fn failed(&self) {
        self.places().open = 1;
    }

    /// The replica took a batch.
    pub fn took(&self) {
        let mut places = self.places();
        if places.open < self.places_max {
            places.open += 1;
            drop(places);
            self.freed.notify_one();
        }
    }

    fn take(&self) -> bool {
        let mut places = self.places();
        let is_free = places.taken < places.open;
        places.taken += usize::from(is_free);
        is_free
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.places().taken -= 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    /// As many places as there are now.
    fn take_all(ramp: &Ramp) -> Vec<Place<'_>> {
        std::iter::from_fn(|| ramp.place().now_or_never()).collect()
    }

    #[test]
    fn a_replica_that_failed_gets_one_batch_and_one_more_with_each_that_it_takes() {
        let ramp = Ramp::new(4);
        assert_eq!(take_all(&ramp).len(), 4);
        ramp.failed();
        for open in [1, 2, 3, 4, 4] {
            assert_eq!(take_all(&ramp).len(), open);
            ramp.took();
        }
    }

    #[test]
    fn places_that_were_taken_before_a_failure_are_waited_for() {
        let ramp = Ramp::new(3);
        let mut taken = take_all(&ramp);
        ramp.failed();
        for _ in 0..3 {
            assert!(ramp.place().now_or_never().is_none());
            taken.pop();
        }
        assert!(ramp.place().now_or_never().is_some());
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_a_place_that_is_free_or_new() {
        let ramp = Ramp::new(2);
        ramp.failed();
        let first = ramp.place().await;
        let (second, ()) = tokio::join!(ramp.place(), async { ramp.took() });
        let (_third, ()) = tokio::join!(ramp.place(), async { drop(first) });
        drop(second);
    }

    #[test]
    fn no_limit_closes_it() {
        assert_eq!(take_all(&Ramp::new(0)).len(), 1);
    }
}
