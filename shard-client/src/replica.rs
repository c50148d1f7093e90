//! The client of one replica.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, uri::PathAndQuery};
use http_body_util::{Empty, Full};
use tokio::time::Instant;

use crate::endpoint::Endpoint;
use crate::error::{Failure, ShardError};
use crate::exchange::To;
use crate::mark::ServerMark;
use crate::payload::{Announced, Payload, PayloadBody};
use crate::pool::{Pool, Share};
use crate::progress::{Outgoing, Progress, Sent, outgoing, tracked};
use crate::tls::{Tls, TlsError};
use crate::{request, response};

/// The largest answer to a query of ours.
pub const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One replica, reached over HTTP. A cheap clone shares its connections.
#[derive(Clone)]
pub struct Replica {
    pub(crate) address: Arc<str>,
    pub(crate) pool: Arc<Pool>,
}

/// One INSERT of one batch.
#[derive(Debug, Clone, Default)]
pub struct InsertRequest {
    /// `INSERT INTO … (columns) FORMAT …`, without data.
    pub statement: String,
    /// Settings, sent as they are: the server must know each (see
    /// [`settings_known_to`](crate::settings_known_to)).
    pub settings: Vec<(String, String)>,
    /// The attempt's name in the server's `query_log` and `processes`.
    pub query_id: String,
    /// Whether the payload goes in the self-terminating envelope. Without it a cut body may pass for a whole
    /// one.
    pub envelope: bool,
    /// The payload's length in bytes.
    pub payload_bytes: u64,
    /// The payload's CRC32 (IEEE, as in gzip).
    pub payload_crc32: u32,
    /// Who alone is to get it: each connection asks once who is at its other end.
    pub server: Option<ServerMark>,
}

/// An INSERT that the server took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inserted {
    /// The rows written, where the server says so (18.16 does not); 0 where it knew the token or the block
    /// already.
    pub written_rows: Option<u64>,
    /// From the beginning of the request to the end of the answer.
    pub elapsed: Duration,
}

impl Replica {
    /// A client for this endpoint with at most `connections_max` connections; nothing is connected yet. The
    /// endpoint's certificates are read now.
    pub fn new(endpoint: Endpoint, connections_max: usize) -> Result<Replica, TlsError> {
        let tls = Tls::of(&endpoint)?;
        let address = Arc::from(endpoint.address());
        Ok(Replica {
            address,
            pool: Pool::new(endpoint, tls, connections_max),
        })
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether an HTTP server answers `/ping`. Needs no user, and no connection of the limited ones.
    pub async fn ping(&self) -> Result<(), ShardError> {
        let progress = Progress::new(false);
        let head = self.head(Method::GET, PathAndQuery::from_static("/ping"), HeaderMap::new())?;
        let request = head.map(|()| outgoing(Empty::new(), Arc::clone(&progress)));
        let exchanged = self
            .exchange(request, &progress, To::Anybody(Share::Beside))
            .await?;
        self.answer(exchanged, &progress, response::ERROR_BYTES_MAX)
            .await
            .map(drop)
    }

    /// Runs a query of our own, as the endpoint's user, and gives back its whole answer, at most
    /// [`ANSWER_BYTES_MAX`].
    pub async fn query(&self, sql: &str, settings: &[(&str, &str)]) -> Result<Bytes, ShardError> {
        let progress = Progress::new(false);
        let request = self.query_request(sql, settings, &progress)?;
        let to = To::Anybody(Share::Counted);
        let exchanged = self.exchange(request, &progress, to).await?;
        Ok(self.answer(exchanged, &progress, ANSWER_BYTES_MAX).await?.body)
    }

    pub(crate) fn query_request(
        &self,
        sql: &str,
        settings: &[(&str, &str)],
        progress: &Arc<Progress>,
    ) -> Result<Request<Outgoing>, ShardError> {
        let parameters = request::query_parameters(settings, self.pool.endpoint().database.as_deref());
        let target = request::target(parameters).map_err(|failure| self.unsent(failure))?;
        let head = self.head(Method::POST, target, self.credentials()?)?;
        let body = Full::new(Bytes::copy_from_slice(sql.as_bytes()));
        Ok(head.map(|()| outgoing(body, Arc::clone(progress))))
    }

    /// Sends one batch. The payload is ClickHouse's compressed frames, one behind the other, of exactly the
    /// announced length and CRC32; where they differ the body is cut, visibly with an envelope, and the error
    /// is
    /// [`Failure::Payload`].
    ///
    /// Dropping the future closes the connection: the server sees a cut body. What a failure leaves behind is
    /// [`ShardError::wrote`].
    pub async fn insert(
        &self,
        insert: InsertRequest,
        payload: impl Into<Payload>,
    ) -> Result<Inserted, ShardError> {
        let started = Instant::now();
        let progress = Progress::new(insert.envelope);
        let head = self.insert_head(&insert)?;
        let announced = Announced {
            bytes: insert.payload_bytes,
            crc32: insert.payload_crc32,
        };
        let body = PayloadBody::new(payload.into(), announced, insert.envelope, Arc::clone(&progress));
        let request = head.map(|()| tracked(body, Arc::clone(&progress)));
        let to = (insert.server.as_ref()).map_or(To::Anybody(Share::Counted), To::Server);
        let exchanged = self.exchange(request, &progress, to).await?;
        let answer = self
            .answer(exchanged, &progress, response::ERROR_BYTES_MAX)
            .await?;
        Ok(Inserted {
            written_rows: response::written_rows(&answer.headers),
            elapsed: started.elapsed(),
        })
    }

    fn insert_head(&self, insert: &InsertRequest) -> Result<Request<()>, ShardError> {
        let parameters = request::insert_parameters(insert, self.pool.endpoint().database.as_deref());
        let target = request::target(parameters).map_err(|failure| self.unsent(failure))?;
        let mut headers = self.credentials()?;
        if insert.envelope {
            request::announce_envelope(&mut headers);
        }
        self.head(Method::POST, target, headers)
    }

    /// The endpoint's own user and password as headers.
    fn credentials(&self) -> Result<HeaderMap, ShardError> {
        let endpoint = self.pool.endpoint();
        let mut headers = HeaderMap::new();
        endpoint
            .password
            .read()
            .map_err(Failure::Credentials)
            .and_then(|password| request::add_credentials(&mut headers, &endpoint.user, &password))
            .map_err(|failure| self.unsent(failure))?;
        Ok(headers)
    }

    /// A request's head with the headers that every request has.
    pub(crate) fn head(
        &self,
        method: Method,
        target: PathAndQuery,
        headers: HeaderMap,
    ) -> Result<Request<()>, ShardError> {
        let mut request = Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = target.into();
        *request.headers_mut() = headers;
        let common = request::common_headers(&self.address).map_err(|failure| self.unsent(failure))?;
        request.headers_mut().extend(common);
        Ok(request)
    }

    /// The error of a request that was never handed to a connection.
    pub(crate) fn unsent(&self, failure: Failure) -> ShardError {
        ShardError::new(&self.address, Sent::Nothing, failure)
    }
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Replica({})", self.address)
    }
}
