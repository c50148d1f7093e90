//! The server: connections in, shutdown in data order.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tracing::{debug, warn};

use crate::faults::Faults;
use crate::http::{Credentials, Shard, answer};
use crate::store::Worker;

/// More connections wait to be accepted.
const CONNECTIONS_MAX: usize = 1_024;
/// How long requests under way may take to finish at shutdown; then their connections are cut.
const DRAIN_TIME: Duration = Duration::from_secs(5);
/// After a failed accept (too many open files), so as not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How a shard is to be.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The folder of its data, made when missing; in memory when absent, gone with the server.
    pub data: Option<PathBuf>,
    /// The one user that may come; anyone when absent.
    pub user: Option<String>,
    /// That user's password; empty when absent.
    pub password: Option<String>,
    /// Its name: `hostName()`, `X-ClickHouse-Server-Display-Name`.
    pub name: String,
    /// Faults on purpose; keep a clone to plan them.
    pub faults: Faults,
}

/// Serves a shard until `shutdown` completes, then lets requests under way finish (5 seconds at most) and
/// closes the store.
///
/// Fails when the store cannot be opened: its folder cannot be made, another process holds it, or it is
/// damaged.
pub async fn serve(listener: TcpListener, options: Options, shutdown: impl Future) -> io::Result<()> {
    let data = options.data;
    let opened = tokio::task::spawn_blocking(move || Worker::start(data.as_deref())).await;
    let (worker, thread) = opened.map_err(io::Error::other)??;
    let password = options.password.unwrap_or_default();
    let credentials = options.user.map(|user| Credentials { user, password });
    let shard = Arc::new(Shard {
        worker,
        faults: options.faults,
        name: options.name,
        credentials,
    });

    let (stopping, stop) = watch::channel(false);
    let mut connections = JoinSet::new();
    accept_until(&listener, &shard, stop, &mut connections, shutdown).await;
    drop(listener);
    stopping.send_replace(true);
    drain(connections).await;
    // The last handle is gone with the last connection: the thread ends, and the store is closed when we
    // return.
    drop(shard);
    let joined = tokio::task::spawn_blocking(move || thread.join()).await;
    joined
        .map_err(io::Error::other)?
        .map_err(|_| io::Error::other("the embedded shard's thread has panicked"))
}

async fn accept_until(
    listener: &TcpListener,
    shard: &Arc<Shard>,
    stop: watch::Receiver<bool>,
    connections: &mut JoinSet<()>,
    shutdown: impl Future,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            _ = &mut shutdown => return,
            accepted = accept(listener, &room) => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, permit)) => {
                connections.spawn(connection(stream, permit, Arc::clone(shard), stop.clone()));
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(room).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, permit))
}

/// One connection, keep-alive, until its end or until the shard stops.
async fn connection(
    stream: TcpStream,
    _permit: OwnedSemaphorePermit,
    shard: Arc<Shard>,
    stop: watch::Receiver<bool>,
) {
    // Answers are small and whole: waiting to fill a packet would only delay them. A failure costs that
    // delay.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| answer(Arc::clone(&shard), request));
    let mut serving = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .half_close(false)
            .serve_connection(TokioIo::new(stream), service)
    );
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stopped(stop) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection ended in disorder");
    }
}

/// Completes when the shard stops.
async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop as well.
    let _ = stop.wait_for(|stopping| *stopping).await;
}

/// Waits for the connections to end, then cuts those that do not (a request that hangs on purpose, say).
async fn drain(mut connections: JoinSet<()>) {
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_TIME, all).await.is_err() {
        debug!(
            connections = connections.len(),
            "cutting connections that did not end in time"
        );
        connections.shutdown().await;
    }
}
