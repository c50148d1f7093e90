//! Logs: how they are written, and how the same trouble is told once and then counted.
//!
//! info is what changes state; a batch is debug. Never row data, literals of a query, or passwords.

use std::collections::HashMap;
use std::time::Duration;

use config::{LogFormat, Logs};
use tokio::time::Instant;
use tracing_subscriber::EnvFilter;

/// The same error is told again after this long, with the number of times it happened.
const REPEAT_AFTER: Duration = Duration::from_secs(60);

/// Errors remembered; above this the oldest are told anew, which costs lines and not memory.
const REMEMBERED_MAX: usize = 10_000;

/// Starts logging to standard error. `RUST_LOG`, where it is set, says what is told instead of the
/// configuration's level.
pub fn start(logs: &Logs) {
    let level = format!("{:?}", logs.level).to_lowercase();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    let to_a_person = std::io::IsTerminal::is_terminal(&std::io::stderr());
    // A second start (tests that run several routers in one process) keeps the first.
    let _ = match logs.format {
        LogFormat::Text => builder.with_ansi(to_a_person).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}

/// Decides which of many equal errors is told.
#[derive(Debug, Default)]
pub struct Repeats {
    last: HashMap<String, Told>,
}

#[derive(Debug)]
struct Told {
    at: Instant,
    untold: u64,
}

impl Repeats {
    /// Whether to tell this error now: `Some(n)` with the number of times it happened untold since it was
    /// last told.
    pub fn tell(&mut self, error: &str, now: Instant) -> Option<u64> {
        if self.last.len() >= REMEMBERED_MAX {
            self.last
                .retain(|_, told| now.duration_since(told.at) < REPEAT_AFTER);
        }
        if self.last.len() >= REMEMBERED_MAX && !self.last.contains_key(error) {
            return Some(0);
        }
        match self.last.get_mut(error) {
            Some(told) if now.duration_since(told.at) < REPEAT_AFTER => {
                told.untold += 1;
                None
            }
            Some(told) => {
                let untold = std::mem::take(&mut told.untold);
                told.at = now;
                Some(untold)
            }
            None => {
                self.last.insert(error.to_owned(), Told { at: now, untold: 0 });
                Some(0)
            }
        }
    }

    /// Forgets everything: the trouble is over, and new trouble is news.
    pub fn clear(&mut self) {
        self.last.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_error_is_told_once_and_then_every_minute_with_a_count() {
        let start = Instant::now();
        let mut repeats = Repeats::default();
        let mut tell = |error: &str, seconds: u64| repeats.tell(error, start + Duration::from_secs(seconds));
        assert_eq!(tell("refused", 0), Some(0));
        assert_eq!(tell("refused", 1), None);
        assert_eq!(tell("other", 1), Some(0));
        assert_eq!(tell("refused", 59), None);
        assert_eq!(tell("refused", 60), Some(2));
        assert_eq!(tell("refused", 61), None);
    }
}
