//! By what a server is told from others, and the look at it on the very connection that is to carry an INSERT.
//!
//! What a replica said of itself is asked once and kept, but a connection is made anew whenever none lies idle, and the address may
//! stand for another server by then: two pods that have changed addresses, a name that resolves elsewhere. So each new connection
//! asks for the mark once before an INSERT that names one.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;

use crate::describe::fields;
use crate::error::{Failure, ShardError};
use crate::exchange::Attempt;
use crate::facts::Facts;
use crate::pool::{Lease, Share};
use crate::progress::{Outgoing, Progress, outgoing};
use crate::replica::{ANSWER_BYTES_MAX, Replica};
use crate::request;

/// What a server is known by, the best that it tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerMark {
    /// `serverUUID()`; 18.16 has none.
    Uuid(String),
    /// The macro `{shard}`.
    ShardMacro(String),
    /// `hostName()`
    HostName(String),
}

impl ServerMark {
    /// Whether no two shards can have it in common. A host's name they can.
    pub fn is_distinct(&self) -> bool {
        match self {
            ServerMark::Uuid(_) | ServerMark::ShardMacro(_) => true,
            ServerMark::HostName(_) => false,
        }
    }

    /// Whether both are of one kind, so that a difference means something: an upgrade gives a server its UUID.
    pub fn is_comparable(&self, other: &ServerMark) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// How a server is asked for a mark of this kind.
    fn query(&self) -> &'static str {
        match self {
            ServerMark::Uuid(_) => SERVER_UUID_QUERY,
            ServerMark::ShardMacro(_) => SHARD_MACRO_QUERY,
            ServerMark::HostName(_) => "SELECT hostName() FORMAT TabSeparated",
        }
    }

    /// One of the same kind.
    fn like(&self, value: String) -> ServerMark {
        match self {
            ServerMark::Uuid(_) => ServerMark::Uuid(value),
            ServerMark::ShardMacro(_) => ServerMark::ShardMacro(value),
            ServerMark::HostName(_) => ServerMark::HostName(value),
        }
    }
}

pub(crate) const SERVER_UUID_QUERY: &str = "SELECT serverUUID() FORMAT TabSeparated";

pub(crate) const SHARD_MACRO_QUERY: &str =
    "SELECT substitution FROM system.macros WHERE macro = 'shard' FORMAT TabSeparated";

impl fmt::Display for ServerMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerMark::Uuid(uuid) => write!(f, "serverUUID {uuid}"),
            ServerMark::ShardMacro(shard) => write!(f, "macro {{shard}} = {shard}"),
            ServerMark::HostName(name) => write!(f, "host {name}"),
        }
    }
}

impl Facts {
    /// The best mark of the server that said this.
    pub fn mark(&self) -> ServerMark {
        let uuid = self.server_uuid.clone().map(ServerMark::Uuid);
        let mark = uuid.or_else(|| self.shard_macro.clone().map(ServerMark::ShardMacro));
        mark.unwrap_or_else(|| ServerMark::HostName(self.host_name.clone()))
    }
}

impl Replica {
    /// A connection to that server and no other. An error says that nothing was sent of what it was to carry.
    ///
    /// A server that closes each connection behind its answer is looked at on the one before.
    pub(crate) async fn lease_to(&self, server: &ServerMark) -> Result<Lease, ShardError> {
        loop {
            let mut lease = self.lease().await?;
            let known = lease.connection.server.as_ref();
            if !known.is_some_and(|known| known.is_comparable(server)) {
                // An error is the INSERT's own, nothing of which has left.
                let looked = self.look(lease, server).await;
                let Some(looked) = looked.map_err(|error| self.unsent(error.failure))? else {
                    // An idle connection was closed meanwhile: each turn uses one up.
                    continue;
                };
                lease = looked;
            }
            if lease.connection.server.as_ref() != Some(server) {
                let found = lease.connection.server.as_ref().map(ToString::to_string);
                return Err(self.unsent(Failure::OtherServer {
                    expected: server.clone(),
                    found: found.unwrap_or_else(|| "nobody".to_owned()),
                }));
            }
            if lease.connection.sender.ready().await.is_ok() {
                return Ok(lease);
            }
            // Its place is needed for the next.
            drop(lease);
            let next = self.lease().await?;
            if next
                .connection
                .server
                .as_ref()
                .is_none_or(|known| known == server)
            {
                return Ok(next);
            }
        }
    }

    async fn lease(&self) -> Result<Lease, ShardError> {
        let lease = self.pool.lease(Share::Counted).await;
        lease.map_err(|failure| self.unsent(failure))
    }

    /// Asks on a connection who is at its other end, in a mark of this kind. None where it was closed before.
    async fn look(&self, lease: Lease, like: &ServerMark) -> Result<Option<Lease>, ShardError> {
        let progress = Progress::new(false);
        let request = self.look_request(like, &progress)?;
        match self.attempt(lease, request, &progress).await? {
            Attempt::GivenBack(_) => Ok(None),
            Attempt::Answered(exchanged) => {
                let (answer, mut lease) = self.read_answer(exchanged, &progress, ANSWER_BYTES_MAX).await?;
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                let value = text.lines().next().map(fields).unwrap_or_default();
                lease.reused = true;
                lease.connection.server = Some(like.like(value.into_iter().next().unwrap_or_default()));
                Ok(Some(lease))
            }
        }
    }

    fn look_request(
        &self,
        like: &ServerMark,
        progress: &Arc<Progress>,
    ) -> Result<Request<Outgoing>, ShardError> {
        let parameters = request::query_parameters(&[], None);
        let target = request::target(parameters).map_err(|failure| self.unsent(failure))?;
        let head = self.head(Method::POST, target, self.credentials()?)?;
        let body = Full::new(Bytes::from_static(like.query().as_bytes()));
        Ok(head.map(|()| outgoing(body, Arc::clone(progress))))
    }
}
