//! Faults on purpose: how a test makes the shard refuse, hang or cut the connection.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::error::{Code, Exception};

/// What happens to a request instead of, or around, its execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with this error code and text, and not executed.
    Refuse {
        /// ClickHouse's number, such as 252; the status follows it.
        code: u16,
        /// The error's text.
        text: String,
    },
    /// It waits, not executed, until [`Faults::release`]; then it is executed and answered as usual. If its
    /// client goes first, it is never executed.
    Hang,
    /// The connection is closed without an answer and nothing is executed.
    CloseBefore,
    /// It is executed, then the connection is closed without an answer: the client cannot know.
    CloseAfter,
}

/// Which requests a fault counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requests {
    /// Every request but pings.
    All,
    /// Only INSERTs.
    Inserts,
}

/// A handle on the faults of one shard; clones share them. Without any planned, the shard behaves.
#[derive(Debug, Clone)]
pub struct Faults {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Counts the calls of `release`.
    released: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    plans: VecDeque<Plan>,
    requests: u64,
    inserts: u64,
}

#[derive(Debug)]
struct Plan {
    requests: Requests,
    /// Requests that still pass before it strikes.
    passes: u64,
    /// Requests it still strikes.
    strikes: u64,
    fault: Fault,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                released: watch::Sender::new(0),
            }),
        }
    }
}

impl Faults {
    /// Lets the next request have the fault.
    pub fn next(&self, requests: Requests, fault: Fault) {
        self.nth(requests, 1, 1, fault);
    }

    /// Lets the `first`-th request from now (counted from 1) and those after it, `count` in all, have the
    /// fault.
    /// Several plans may stand side by side; a request that two would strike has the earlier plan's fault.
    pub fn nth(&self, requests: Requests, first: u64, count: u64, fault: Fault) {
        let passes = first.saturating_sub(1);
        self.state().plans.push_back(Plan {
            requests,
            passes,
            strikes: count,
            fault,
        });
    }

    /// Forgets all faults planned and lets hanging requests go on.
    pub fn clear(&self) {
        self.state().plans.clear();
        self.release();
    }

    /// Lets the requests that hang now go on.
    pub fn release(&self) {
        self.shared.released.send_modify(|count| *count += 1);
    }

    /// How many requests have come, pings not counted, whatever became of them.
    pub fn requests(&self) -> u64 {
        self.state().requests
    }

    /// How many of them were INSERTs.
    pub fn inserts(&self) -> u64 {
        self.state().inserts
    }

    /// Counts a request and says what happens to it.
    pub(crate) fn strike(&self, is_insert: bool) -> Option<Fault> {
        let mut state = self.state();
        state.requests += 1;
        state.inserts += u64::from(is_insert);
        let mut struck = None;
        for plan in &mut state.plans {
            if plan.requests == Requests::Inserts && !is_insert {
                continue;
            }
            if plan.passes > 0 {
                plan.passes -= 1;
            } else if struck.is_none() && plan.strikes > 0 {
                plan.strikes -= 1;
                struck = Some(plan.fault.clone());
            }
        }
        state.plans.retain(|plan| plan.strikes > 0);
        struck
    }

    /// A watch on `release`; taken before waiting so that none is missed.
    pub(crate) fn releases(&self) -> watch::Receiver<u64> {
        self.shared.released.subscribe()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is counters and a list, sound after any panic of a test that held the lock.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error of a [`Fault::Refuse`].
pub(crate) fn refusal(code: u16, text: &str) -> Exception {
    Code::numbered(code).error(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_the_requests_it_was_planned_for_and_no_other() {
        let faults = Faults::default();
        faults.nth(Requests::Inserts, 2, 2, Fault::CloseAfter);
        let strikes: Vec<_> = [true, false, true, false, true, true]
            .map(|insert| faults.strike(insert).is_some())
            .into();
        assert_eq!(strikes, [false, false, true, false, true, false]);
        assert_eq!((faults.requests(), faults.inserts()), (6, 4));
    }

    #[test]
    fn two_plans_strike_one_after_the_other() {
        let faults = Faults::default();
        faults.next(Requests::All, Fault::CloseBefore);
        faults.next(Requests::All, Fault::Hang);
        assert_eq!(faults.strike(false), Some(Fault::CloseBefore));
        assert_eq!(faults.strike(false), Some(Fault::Hang));
        assert_eq!(faults.strike(false), None);
    }
}
