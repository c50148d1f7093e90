//! Whether a password is its user's: by the hashes of weir.toml, or with `auth = "clickhouse"` by asking a
//! replica under these very credentials.
//!
//! What a replica said is remembered by a hash of user and password under a salt drawn at each start, never by the
//! password: a yes for `auth_cache_time`, a no for [`REFUSED_TIME`], so that a client with an old password does not
//! hammer the replicas. While no replica answers, a yes stays good for [`GRACE`]: rows are to be accepted then,
//! and who has proved itself before is let in. Nothing of this outlives the process.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use config::{Auth, User};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use sha2::{Digest as _, Sha256};
use shard_client::{ERROR_BYTES_MAX, Failure, Password, ShardError, response};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::app::App;
use crate::exception::{Exception, code};
use crate::http::request::Credentials;
use crate::pass::TRIES_MAX;
use crate::replica::ReplicaRuntime;
use crate::routing::{Cluster, Routing};

/// How long a refused password is refused without asking again: somebody who has just set it right waits no
/// longer than this.
pub const REFUSED_TIME: Duration = Duration::from_secs(5);

/// How long a password that a replica once took is good while no replica answers: a day's outage loses no rows,
/// and a user that was removed meanwhile is not let in for ever.
pub const GRACE: Duration = Duration::from_secs(24 * 3600);

/// Passwords remembered, of each outcome; the oldest go first.
const REMEMBERED_MAX: usize = 4096;

/// Passwords being checked at once; more wait, since whoever guesses passwords must not take the connections.
const CHECKS_MAX: usize = 8;

/// A check that cannot begin or end within this is given up.
const CHECK_TIMEOUT: Duration = Duration::from_secs(3);

/// All replicas that are asked for one password have this long together.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// The cheapest question that needs a user.
const QUESTION: &str = "/?query=SELECT%201";

/// Codes by which a server says that user and password do not fit: UNKNOWN_USER, WRONG_PASSWORD,
/// REQUIRED_PASSWORD, IP_ADDRESS_NOT_ALLOWED of 18.16, AUTHENTICATION_FAILED of today.
const REFUSALS: &[u32] = &[192, 193, 194, 195, 516];

/// Codes that only a user gets who was let in: READONLY, QUOTA_EXPIRED, ACCESS_DENIED.
const LET_IN: &[u32] = &[164, 201, 497];

/// User and password under the salt.
type Fingerprint = [u8; 32];

/// What replicas said of passwords.
#[derive(Debug)]
pub struct Logins {
    salt: [u8; 32],
    remembered: Mutex<Remembered>,
    checks: Semaphore,
}

#[derive(Debug, Default)]
struct Remembered {
    /// When a replica last took it.
    taken: HashMap<Fingerprint, Instant>,
    /// When one last refused it.
    refused: HashMap<Fingerprint, Instant>,
}

/// What is known of a password now.
#[derive(Debug, PartialEq, Eq)]
enum Known {
    Taken,
    Refused,
    /// A replica has to be asked; `may_pass` if the answer may be missing.
    Ask {
        may_pass: bool,
    },
}

/// What a replica, or the lack of one, said.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Taken,
    Refused,
    Nothing,
}

/// Admits the user of these credentials from this address, or says that it may not come in.
pub async fn admit<'a>(
    app: &App,
    routing: &'a Routing,
    credentials: &Credentials,
    address: IpAddr,
) -> Result<&'a User, Exception> {
    let configured = routing.config.user(&credentials.user);
    let admitted = match configured.filter(|user| user.admits(address)) {
        None => Err(Exception::authentication_failed(&credentials.user)),
        Some(user) => check(app, routing, user, credentials).await.map(|()| user),
    };
    admitted.inspect_err(|exception| {
        if exception.code == code::AUTHENTICATION_FAILED {
            let user = configured.map_or("", |user| &user.name);
            app.metrics.login_failed(user);
            tracing::debug!(user, %address, "a login failed");
        }
    })
}

async fn check(app: &App, routing: &Routing, user: &User, given: &Credentials) -> Result<(), Exception> {
    let refused = || Exception::authentication_failed(&given.user);
    match user.auth {
        Auth::Weir => user
            .password_matches(&given.password)
            .then_some(())
            .ok_or_else(refused),
        Auth::Clickhouse { cache_time } => {
            let cluster = routing.default_cluster(user)?;
            match app.logins.check(cluster, given, cache_time).await? {
                true => Ok(()),
                false => Err(refused()),
            }
        }
    }
}

impl Default for Logins {
    fn default() -> Self {
        Self {
            salt: rand::random(),
            remembered: Mutex::default(),
            checks: Semaphore::new(CHECKS_MAX),
        }
    }
}

impl Logins {
    /// Whether the cluster's replicas take these credentials; an error if none could be asked and none was
    /// before.
    async fn check(
        &self,
        cluster: &Cluster,
        given: &Credentials,
        cache_time: Duration,
    ) -> Result<bool, Exception> {
        let fingerprint = self.fingerprint(cluster, given);
        if let Some(known) = self.settled(&fingerprint, cache_time) {
            return Ok(known);
        }
        let Ok(Ok(_place)) = tokio::time::timeout(CHECK_TIMEOUT, self.checks.acquire()).await else {
            return Err(too_many());
        };
        // Whoever waited may have been answered by another's check.
        let known = self.remembered().known(&fingerprint, cache_time, Instant::now());
        let may_pass = match known {
            Known::Taken => return Ok(true),
            Known::Refused => return Ok(false),
            Known::Ask { may_pass } => may_pass,
        };
        let said = match may_pass && cluster.is_down() {
            true => Said::Nothing, // as the checks in the background found it, without a wait for each INSERT
            false => tokio::time::timeout(ASK_TIMEOUT, ask(cluster, given))
                .await
                .unwrap_or(Said::Nothing),
        };
        self.remembered().learn(fingerprint, &said, Instant::now());
        match said {
            Said::Taken => Ok(true),
            Said::Refused => Ok(false),
            Said::Nothing if may_pass => Ok(true),
            Said::Nothing => Err(unchecked(cluster)),
        }
    }

    fn settled(&self, fingerprint: &Fingerprint, cache_time: Duration) -> Option<bool> {
        match self.remembered().known(fingerprint, cache_time, Instant::now()) {
            Known::Taken => Some(true),
            Known::Refused => Some(false),
            Known::Ask { .. } => None,
        }
    }

    /// The lengths keep `a` + `bc` and `ab` + `c` apart.
    fn fingerprint(&self, cluster: &Cluster, given: &Credentials) -> Fingerprint {
        let mut hash = Sha256::new_with_prefix(self.salt);
        for part in [&cluster.name, &given.user, &given.password] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        hash.finalize().into()
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Remembered {
    fn known(&self, fingerprint: &Fingerprint, cache_time: Duration, now: Instant) -> Known {
        let within = |map: &HashMap<_, Instant>, time| {
            let since = map.get(fingerprint).map(|at| now.duration_since(*at));
            since.is_some_and(|since| since < time)
        };
        if within(&self.refused, REFUSED_TIME) {
            Known::Refused
        } else if within(&self.taken, cache_time) {
            Known::Taken
        } else {
            Known::Ask {
                may_pass: within(&self.taken, GRACE),
            }
        }
    }

    fn learn(&mut self, fingerprint: Fingerprint, said: &Said, now: Instant) {
        match said {
            Said::Taken => {
                self.refused.remove(&fingerprint);
                remember(&mut self.taken, fingerprint, now);
            }
            Said::Refused => {
                self.taken.remove(&fingerprint);
                remember(&mut self.refused, fingerprint, now);
            }
            Said::Nothing => {}
        }
    }
}

fn remember(map: &mut HashMap<Fingerprint, Instant>, fingerprint: Fingerprint, now: Instant) {
    if map.len() >= REMEMBERED_MAX && !map.contains_key(&fingerprint) {
        let oldest = map.iter().min_by_key(|(_, at)| **at).map(|(oldest, _)| *oldest);
        oldest.map(|oldest| map.remove(&oldest));
    }
    map.insert(fingerprint, now);
}

/// Asks one replica after another until one knows.
async fn ask(cluster: &Cluster, given: &Credentials) -> Said {
    for replica in cluster.read_order().into_iter().take(TRIES_MAX) {
        if !replica.is_up() {
            replica.check().await;
        }
        if !replica.is_up() {
            continue;
        }
        let said = tokio::time::timeout(CHECK_TIMEOUT, ask_replica(&replica, given)).await;
        match said.unwrap_or(Said::Nothing) {
            Said::Nothing => {}
            said => return said,
        }
    }
    Said::Nothing
}

async fn ask_replica(replica: &ReplicaRuntime, given: &Credentials) -> Said {
    let mut request = Request::new(Full::new(Bytes::new()));
    *request.method_mut() = Method::GET;
    *request.uri_mut() = http::Uri::from_static(QUESTION);
    let password = Password::fixed(given.password.clone());
    let forwarded = replica.client().forward_as(request, &given.user, &password).await;
    replica.observed(&forwarded);
    match forwarded {
        Ok(answer) => {
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, ERROR_BYTES_MAX).collect().await;
            let body = body.map(|body| body.to_bytes()).unwrap_or_default();
            said_by(head.status, response::verdict(head.status, &head.headers, &body))
        }
        Err(error) => said_without_answer(&error),
    }
}

/// A password that no header can carry is nobody's.
fn said_without_answer(error: &ShardError) -> Said {
    match error.failure {
        Failure::Request(_) => Said::Refused,
        _ => Said::Nothing,
    }
}

fn said_by(status: StatusCode, verdict: Result<(), Failure>) -> Said {
    match verdict {
        Ok(()) => Said::Taken,
        Err(Failure::Server(error)) if REFUSALS.contains(&error.code) => Said::Refused,
        Err(Failure::Server(error)) if LET_IN.contains(&error.code) => Said::Taken,
        // A proxy in between that knows the users.
        Err(Failure::Foreign { .. }) if status == StatusCode::UNAUTHORIZED => Said::Refused,
        Err(_) => Said::Nothing,
    }
}

fn unchecked(cluster: &Cluster) -> Exception {
    let message = format!(
        "The password could not be checked: no replica of cluster {} answers, and none has taken it since Weir \
         started or in the last 24 hours.",
        cluster.name
    );
    Exception::try_again(code::ALL_CONNECTION_TRIES_FAILED, 5, message)
}

fn too_many() -> Exception {
    let message = "Too many passwords are being checked at once.";
    Exception::try_again(code::TOO_MANY_SIMULTANEOUS_QUERIES, 1, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CACHE_TIME: Duration = Duration::from_secs(60);
    const PASSWORD: Fingerprint = [1; 32];

    fn ask(may_pass: bool) -> Known {
        Known::Ask { may_pass }
    }

    #[test]
    fn a_taken_password_is_taken_for_the_cache_time_and_then_asked_again() {
        let (mut remembered, start) = (Remembered::default(), Instant::now());
        let known = |remembered: &Remembered, after| remembered.known(&PASSWORD, CACHE_TIME, start + after);
        assert_eq!(known(&remembered, Duration::ZERO), ask(false));
        remembered.learn(PASSWORD, &Said::Taken, start);
        assert_eq!(
            known(&remembered, CACHE_TIME - Duration::from_secs(1)),
            Known::Taken
        );
        assert_eq!(known(&remembered, CACHE_TIME), ask(true));
        assert_eq!(
            known(&remembered, GRACE),
            ask(false),
            "no outage is as long as that"
        );
    }

    #[test]
    fn a_refused_password_is_refused_for_a_few_seconds_and_its_old_success_is_forgotten() {
        let (mut remembered, start) = (Remembered::default(), Instant::now());
        remembered.learn(PASSWORD, &Said::Taken, start);
        remembered.learn(PASSWORD, &Said::Refused, start);
        assert_eq!(remembered.known(&PASSWORD, CACHE_TIME, start), Known::Refused);
        assert_eq!(
            remembered.known(&PASSWORD, CACHE_TIME, start + REFUSED_TIME),
            ask(false)
        );
    }

    #[test]
    fn an_outage_changes_nothing_that_is_known() {
        let (mut remembered, start) = (Remembered::default(), Instant::now());
        remembered.learn(PASSWORD, &Said::Taken, start);
        remembered.learn(PASSWORD, &Said::Nothing, start + CACHE_TIME);
        assert_eq!(
            remembered.known(&PASSWORD, CACHE_TIME, start + CACHE_TIME),
            ask(true)
        );
    }

    #[test]
    fn guesses_never_push_out_what_was_taken_and_never_grow_beyond_the_limit() {
        let (mut remembered, start) = (Remembered::default(), Instant::now());
        remembered.learn(PASSWORD, &Said::Taken, start);
        for guess in 0..2 * REMEMBERED_MAX {
            let mut fingerprint = [2; 32];
            fingerprint[..8].copy_from_slice(&guess.to_le_bytes());
            remembered.learn(fingerprint, &Said::Refused, start + Duration::from_millis(1));
        }
        assert_eq!(remembered.refused.len(), REMEMBERED_MAX);
        assert_eq!(remembered.known(&PASSWORD, CACHE_TIME, start), Known::Taken);
    }

    #[test]
    fn only_a_servers_word_about_the_login_decides() {
        let server = |code| {
            let text = format!("Code: {code}. DB::Exception: x");
            let error = shard_client::ServerError::read(500, Some(code), &text).unwrap();
            said_by(StatusCode::INTERNAL_SERVER_ERROR, Err(Failure::Server(error)))
        };
        assert_eq!(said_by(StatusCode::OK, Ok(())), Said::Taken);
        assert_eq!(
            (server(516), server(193), server(192)),
            (Said::Refused, Said::Refused, Said::Refused)
        );
        assert_eq!(server(201), Said::Taken);
        assert_eq!((server(241), server(202)), (Said::Nothing, Said::Nothing));
    }
}
