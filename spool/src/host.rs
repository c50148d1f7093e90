//! Time and chance, as the process has them. In a simulation both are its own: a thread that has called [`simulate`] gets
//! the same numbers for the same seed, and the time of its tokio runtime, which may be paused.

use uuid::Uuid;

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    #[cfg(any(test, feature = "sim"))]
    if let Some(now) = simulated::now_ms() {
        return now;
    }
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Random bits.
pub fn random() -> u128 {
    #[cfg(any(test, feature = "sim"))]
    if let Some(number) = simulated::random() {
        return number;
    }
    rand::random()
}

/// A name that nothing else has.
pub fn new_uuid() -> Uuid {
    uuid::Builder::from_random_bytes(random().to_be_bytes()).into_uuid()
}

#[cfg(any(test, feature = "sim"))]
pub use simulated::simulate;

#[cfg(any(test, feature = "sim"))]
mod simulated {
    use std::cell::RefCell;

    use rand::rngs::SmallRng;
    use rand::{RngExt as _, SeedableRng as _};
    use tokio::time::Instant;

    /// When every simulation begins: 2026-01-01.
    const BEGAN_MS: u64 = 1_767_225_600_000;

    struct Simulated {
        rng: SmallRng,
        began: Instant,
    }

    thread_local! {
        static SIMULATED: RefCell<Option<Simulated>> = const { RefCell::new(None) };
    }

    /// From now on, and until it is called again, this thread's time and chance are a simulation's. To be called inside the
    /// runtime whose time is to hold.
    pub fn simulate(seed: u64) {
        let rng = SmallRng::seed_from_u64(seed);
        let began = Instant::now();
        SIMULATED.set(Some(Simulated { rng, began }));
    }

    pub(super) fn now_ms() -> Option<u64> {
        SIMULATED.with_borrow(|simulated| {
            let elapsed = simulated.as_ref()?.began.elapsed().as_millis();
            Some(BEGAN_MS + u64::try_from(elapsed).unwrap_or_default())
        })
    }

    pub(super) fn random() -> Option<u128> {
        SIMULATED.with_borrow_mut(|simulated| Some(simulated.as_mut()?.rng.random()))
    }
}
