//! Which replica holds a client's session: requests with the same `session_id` go to the same one, as long as it answers.
//!
//! Only reads are sticky: an INSERT is fanned out without its session, for one session used at once on one server is an
//! error there (SESSION_IS_LOCKED).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::exception::{Exception, code};

/// Sessions remembered at once; beyond it the one that would end first is forgotten, and its next request may meet another
/// replica.
const SESSIONS_MAX: usize = 10_000;

/// ClickHouse's default_session_timeout and max_session_timeout.
const TIMEOUT: Duration = Duration::from_secs(60);
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// A user's session: a hash, so that no client decides how much memory its name takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionKey(u64, u64);

impl SessionKey {
    /// Users have sessions of their own, as on a server.
    pub fn new(user: &str, session_id: &str) -> Self {
        let (low, high) = types::city_hash_128(format!("{user}\0{session_id}").as_bytes());
        Self(low, high)
    }
}

#[derive(Debug)]
struct Held {
    replica: String,
    until: Instant,
}

/// All sessions.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<HashMap<SessionKey, Held>>);

impl Sessions {
    /// The address of the replica that holds a session.
    pub fn replica(&self, key: SessionKey, now: Instant) -> Option<String> {
        let sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = sessions.get(&key).filter(|held| held.until > now)?;
        Some(held.replica.clone())
    }

    /// Remembers where a session is, from its latest request on.
    pub fn keep(&self, key: SessionKey, replica: &str, now: Instant, timeout: Duration) {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() >= SESSIONS_MAX && !sessions.contains_key(&key) {
            make_room(&mut sessions, now);
        }
        let held = Held {
            replica: replica.to_owned(),
            until: now + timeout,
        };
        sessions.insert(key, held);
    }
}

fn make_room(sessions: &mut HashMap<SessionKey, Held>, now: Instant) {
    sessions.retain(|_, held| held.until > now);
    if sessions.len() < SESSIONS_MAX {
        return;
    }
    let first = sessions
        .iter()
        .min_by_key(|(_, held)| held.until)
        .map(|(key, _)| *key);
    if let Some(key) = first {
        sessions.remove(&key);
    }
}

/// What `session_timeout` says, within ClickHouse's limits.
pub fn timeout(value: Option<&str>) -> Result<Duration, Exception> {
    let Some(value) = value else {
        return Ok(TIMEOUT);
    };
    match value.parse().map(Duration::from_secs) {
        Ok(timeout) if timeout <= TIMEOUT_MAX => Ok(timeout),
        _ => Err(Exception::bad_input(
            code::INVALID_SESSION_TIMEOUT,
            format!(
                "Invalid session timeout: '{}': seconds, {} at most.",
                value.chars().take(40).collect::<String>(),
                TIMEOUT_MAX.as_secs()
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_session_stays_with_its_replica_until_its_timeout() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let key = SessionKey::new("u", "s");
        sessions.keep(key, "a:8123", now, TIMEOUT);
        assert_eq!(sessions.replica(key, now).as_deref(), Some("a:8123"));
        assert_eq!(sessions.replica(SessionKey::new("v", "s"), now), None);
        assert_eq!(sessions.replica(key, now + TIMEOUT), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_table_of_sessions_is_bounded_and_forgets_what_ends_first() {
        let (sessions, now) = (Sessions::default(), Instant::now());
        let key = |n: usize| SessionKey::new("u", &n.to_string());
        for n in 0..=SESSIONS_MAX {
            sessions.keep(key(n), "a", now + Duration::from_millis(n as u64), TIMEOUT);
        }
        assert_eq!(sessions.0.lock().unwrap().len(), SESSIONS_MAX);
        assert_eq!(sessions.replica(key(0), now), None);
        assert!(sessions.replica(key(1), now).is_some());
    }

    #[test]
    fn a_timeout_is_clickhouse_s_default_or_within_its_limit() {
        assert_eq!(timeout(None).unwrap(), TIMEOUT);
        assert_eq!(timeout(Some("3600")).unwrap(), TIMEOUT_MAX);
        for bad in ["3601", "-1", "soon"] {
            assert_eq!(
                timeout(Some(bad)).unwrap_err().code,
                code::INVALID_SESSION_TIMEOUT
            );
        }
    }
}
