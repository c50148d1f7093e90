//! Whether a replica is worth asking: pure over `now`, told of successes and failures, never asking itself.
//!
//! ```text
//!  Unknown ── failure ──▶ Down(errors, pause) ◀── failure: more errors, a longer pause
//!     │                     │        ▲
//!     └────── success ────▶ Up ──────┘ failure
//! ```
//!
//! The first failure takes a replica down: the next request goes to another one at once. Of replicas that are all down the one
//! whose pause ends first is asked first, since the last replica is never banned ([`Chooser`](crate::Chooser)). The pause starts
//! at [`Backoff::first`], doubles with each failure up to [`Backoff::max`], and is drawn from its upper half, so that many
//! routers do not knock at the same moment.

use std::time::Duration;

use rand::{Rng, RngExt as _};
use tokio::time::Instant;

/// How long a replica that failed is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// At most.
    pub max: Duration,
}

impl Backoff {
    /// The pause after so many failures in a row: between half of the full one and the full one.
    pub fn pause(&self, errors: u32, rng: &mut impl Rng) -> Duration {
        let full = self.full(errors);
        full.mul_f64(rng.random_range(0.5..=1.0))
    }

    fn full(&self, errors: u32) -> Duration {
        let doublings = errors.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.max)
    }
}

/// The state of one replica.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Health {
    state: State,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum State {
    /// Nobody asked yet: taken for up, so that a start needs no round of probes.
    #[default]
    Unknown,
    Up,
    Down {
        /// Failures in a row.
        errors: u32,
        since: Instant,
        pause_ends: Instant,
    },
}

impl Health {
    /// A replica that was never asked.
    pub fn new() -> Health {
        Health::default()
    }

    /// The replica answered. Returns whether it was down or unknown before: a change worth a line in the log.
    pub fn succeeded(&mut self) -> bool {
        let changed = self.state != State::Up;
        self.state = State::Up;
        changed
    }

    /// The replica failed in a way that [blames it](crate::ShardError::blames_replica). Returns whether it
    /// was not down before.
    pub fn failed(&mut self, backoff: &Backoff, now: Instant, rng: &mut impl Rng) -> bool {
        let (errors, since, changed) = match self.state {
            State::Unknown | State::Up => (1, now, true),
            State::Down { errors, since, .. } => (errors.saturating_add(1), since, false),
        };
        self.state = State::Down {
            errors,
            since,
            pause_ends: now + backoff.pause(errors, rng),
        };
        changed
    }

    /// Whether requests may go there: it is up, or was never asked.
    pub fn is_usable(&self) -> bool {
        !matches!(self.state, State::Down { .. })
    }

    /// Whether it answered last time.
    pub fn is_up(&self) -> bool {
        self.state == State::Up
    }

    /// Since when it is down.
    pub fn down_since(&self) -> Option<Instant> {
        match self.state {
            State::Down { since, .. } => Some(since),
            State::Unknown | State::Up => None,
        }
    }

    /// Failures since it answered last.
    pub fn errors(&self) -> u32 {
        match self.state {
            State::Down { errors, .. } => errors,
            State::Unknown | State::Up => 0,
        }
    }

    /// When its pause ends; `None` unless it is down.
    pub fn pause_ends(&self) -> Option<Instant> {
        match self.state {
            State::Down { pause_ends, .. } => Some(pause_ends),
            State::Unknown | State::Up => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::SmallRng};

    use super::*;

    const BACKOFF: Backoff = Backoff {
        first: Duration::from_millis(100),
        max: Duration::from_secs(30),
    };

    fn rng() -> SmallRng {
        SmallRng::seed_from_u64(7)
    }

    #[test]
    fn a_replica_nobody_asked_yet_is_usable_and_not_up() {
        assert!(Health::new().is_usable() && !Health::new().is_up());
    }

    #[test]
    fn the_first_failure_takes_it_down_and_a_success_brings_it_back() {
        let (mut health, now) = (Health::new(), Instant::now());
        assert!(health.failed(&BACKOFF, now, &mut rng()));
        assert_eq!(
            (health.is_usable(), health.errors(), health.down_since()),
            (false, 1, Some(now))
        );
        assert!(
            !health.failed(&BACKOFF, now + Duration::from_secs(1), &mut rng()),
            "no change"
        );
        assert_eq!((health.errors(), health.down_since()), (2, Some(now)));
        assert!(health.succeeded());
        assert!(!health.succeeded(), "no change");
        assert_eq!(
            (health.is_up(), health.errors(), health.down_since()),
            (true, 0, None)
        );
    }

    #[test]
    fn pauses_double_up_to_their_limit_and_stay_in_their_upper_half() {
        let mut rng = rng();
        for errors in 0..=u32::from(u8::MAX) {
            let full = BACKOFF.full(errors);
            let pause = BACKOFF.pause(errors, &mut rng);
            assert!(
                pause >= full / 2 && pause <= full,
                "{errors}: {pause:?} of {full:?}"
            );
        }
        assert_eq!(BACKOFF.full(1), Duration::from_millis(100));
        assert_eq!(BACKOFF.full(4), Duration::from_millis(800));
        assert_eq!(BACKOFF.full(u32::MAX), BACKOFF.max);
    }
}
