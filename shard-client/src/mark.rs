//! By what a server is told from others, and the look at it on the very connection that is to carry an INSERT.
//!
//! What a replica said of itself is asked once and kept, but a connection is made anew whenever none lies idle, and the address may
//! stand for another server by then: two pods that have changed addresses, a name that resolves elsewhere. So each new connection
//! asks for the mark once before an INSERT that names one.

use std::fmt;

use crate::error::{Failure, ShardError};
use crate::exchange::Attempt;
use crate::facts::{Facts, first_row_of};
use crate::pool::{Lease, Share};
use crate::progress::Progress;
use crate::replica::{ANSWER_BYTES_MAX, Replica};

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
            let lease = self.lease().await?;
            let known = lease.connection.server.clone();
            let (mut lease, found) = match known.filter(|known| known.is_comparable(server)) {
                Some(found) => (lease, found),
                None => match self.look(lease, server).await {
                    Ok(Some(looked)) => looked,
                    // An idle connection was closed meanwhile: each turn uses one up.
                    Ok(None) => continue,
                    // It is the INSERT's own error, nothing of which has left.
                    Err(error) => return Err(self.unsent(error.failure)),
                },
            };
            if found != *server {
                let expected = server.clone();
                return Err(self.unsent(Failure::OtherServer { expected, found }));
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
    async fn look(&self, lease: Lease, like: &ServerMark) -> Result<Option<(Lease, ServerMark)>, ShardError> {
        let progress = Progress::new(false);
        let request = self.query_request(like.query(), &[], &progress)?;
        match self.attempt(lease, request, &progress).await? {
            Attempt::GivenBack(_) => Ok(None),
            Attempt::Answered(exchanged) => {
                let (answer, mut lease) = self.read_answer(exchanged, &progress, ANSWER_BYTES_MAX).await?;
                let found = like.like(first_row_of(&answer.body).into_iter().next().unwrap_or_default());
                lease.reused = true;
                lease.connection.server = Some(found.clone());
                Ok(Some((lease, found)))
            }
        }
    }
}
