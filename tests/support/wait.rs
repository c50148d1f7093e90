//! Waiting for a condition: the one place of the suites that sleeps.

use std::time::{Duration, Instant};

/// How long to rest between two looks.
const REST: Duration = Duration::from_millis(20);

/// Looks until `look` finds something and returns it; panics at the caller's line once `limit` is over.
#[track_caller]
pub fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain for {what}");
        rest();
    }
}

/// Looks for all of `time` whether something stays as it is; panics at the caller's line when it does not.
#[track_caller]
pub fn stays(what: &str, time: Duration, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while start.elapsed() < time {
        assert!(holds(), "after {:?} no more: {what}", start.elapsed());
        rest();
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "this is the wait for a condition that the lint asks for"
)]
fn rest() {
    std::thread::sleep(REST);
}
