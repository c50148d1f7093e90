//! The connections of one replica: so many at a time, kept for the next request while the server surely keeps
//! them too.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::connection::Connection;
use crate::endpoint::Endpoint;
use crate::error::{Failure, Phase};
use crate::tls::Tls;

/// The longest time a connection lies idle: ClickHouse 18.16 closes after 3 seconds in its own configuration,
/// later versions after 10 or 30. A request on a connection that is just being closed would be in doubt for
/// nothing.
const IDLE_MAX: Duration = Duration::from_secs(2);

/// So much before the server's own announced time a connection is left alone.
const IDLE_MARGIN: Duration = Duration::from_secs(1);

/// The connections of one replica.
pub(crate) struct Pool {
    endpoint: Endpoint,
    tls: Option<Tls>,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Idle>>,
}

/// Whether a request counts among the replica's connections.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Share {
    /// It waits until one of them is free.
    Counted,
    /// A probe, which must not wait behind the load that it probes.
    Beside,
}

struct Idle {
    connection: Connection,
    until: Instant,
}

impl Pool {
    pub(crate) fn new(endpoint: Endpoint, tls: Option<Tls>, connections_max: usize) -> Arc<Pool> {
        // A limit of none would only ever time out; one of more than a semaphore counts is no limit.
        let permits = connections_max.clamp(1, Semaphore::MAX_PERMITS);
        Arc::new(Pool {
            endpoint,
            tls,
            permits: Arc::new(Semaphore::new(permits)),
            idle: Mutex::default(),
        })
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// A connection: an idle one, or a new one.
    pub(crate) async fn lease(self: &Arc<Pool>, share: Share) -> Result<Lease, Failure> {
        let permit = match share {
            Share::Counted => self.permit().await?,
            Share::Beside => None,
        };
        while let Some(mut connection) = self.pop_idle() {
            if connection.sender.ready().await.is_ok() {
                return Ok(Lease {
                    connection,
                    pool: Arc::clone(self),
                    permit,
                    reused: true,
                });
            }
        }
        let connection = Connection::open(&self.endpoint, self.tls.as_ref()).await?;
        Ok(Lease {
            connection,
            pool: Arc::clone(self),
            permit,
            reused: false,
        })
    }

    async fn permit(&self) -> Result<Option<OwnedSemaphorePermit>, Failure> {
        let limit = self.endpoint.receive_timeout;
        let permit = timeout(limit, Arc::clone(&self.permits).acquire_owned()).await;
        // The semaphore is never closed; were it, the limit would be gone, not the connection.
        permit.map(Result::ok).map_err(|_| Failure::Timeout {
            phase: Phase::Connection,
            after: limit,
        })
    }

    /// The connection used last, so that the others grow old and go.
    fn pop_idle(&self) -> Option<Connection> {
        let now = Instant::now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|idle| idle.until > now);
        idle.pop().map(|idle| idle.connection)
    }

    fn push_idle(&self, connection: Connection, keep: Duration) {
        let now = Instant::now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|idle| idle.until > now);
        idle.push(Idle {
            connection,
            until: now + keep,
        });
    }
}

/// A connection in use. Dropping it closes the connection; [`Lease::give_back`] keeps it.
pub(crate) struct Lease {
    pub(crate) connection: Connection,
    /// Whether it has carried a request before, so that the server may have closed it meanwhile.
    pub(crate) reused: bool,
    pool: Arc<Pool>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Lease {
    /// Keeps the connection for the next request. Only after request and answer are both through;
    /// `server_keeps` is
    /// what the answer's `Keep-Alive` said.
    pub(crate) fn give_back(self, server_keeps: Option<Duration>) {
        let keep = server_keeps.map_or(IDLE_MAX, |time| time.saturating_sub(IDLE_MARGIN).min(IDLE_MAX));
        let Lease {
            connection,
            pool,
            permit,
            reused: _,
        } = self;
        if !keep.is_zero() && !connection.sender.is_closed() {
            pool.push_idle(connection, keep);
        }
        // Only now may another request look for an idle connection.
        drop(permit);
    }
}
