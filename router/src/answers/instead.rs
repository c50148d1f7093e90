//! Asking replicas one after another, and answering in their place when none does.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt as _, Full};
use tokio::time::Instant;

use super::shape::STATEMENT_BYTES_MAX;
use super::{Kept, Key, Shape, serve};
use crate::app::App;
use crate::exception::{Exception, code};
use crate::front::Question;
use crate::http::answer::Answer;
use crate::http::body::RequestBody;
use crate::pass::{Asked, TRIES_MAX, pass, session_of, session_s_replica};
use crate::replica::ReplicaRuntime;
use crate::routing::{Cluster, Lookup};
use crate::time::now_ms;

/// How long a replica that was down is given to show that it is back, when there is an answer without it: a ping
/// on a local network takes a millisecond, and the checks in the background go on.
const CHECK_PATIENCE: Duration = Duration::from_millis(300);

/// How long replicas are given to begin an answer, when there is one without them: one that hangs is found by the
/// checks in the background, and clients give up connecting after ten seconds.
const ANSWER_PATIENCE: Duration = Duration::from_secs(3);

/// What a replica of its own choice would be asked: nothing of it is used up by asking.
pub struct Repeatable<'a> {
    /// The head.
    pub asked: Asked,
    /// The body, as this replica should have it.
    pub body: &'a (dyn Fn(&ReplicaRuntime) -> Bytes + Send + Sync),
    /// The whole statement, as the client wrote it.
    pub statement: &'a [u8],
    /// The client's headers.
    pub headers: &'a HeaderMap,
}

/// All of a body that is no longer than a statement whose answer may be kept. A longer one is left as it was.
pub async fn short_body(body: &mut RequestBody) -> Result<Option<Bytes>, Exception> {
    let mut read = BytesMut::new();
    while let Some(chunk) = body.next().await? {
        if read.is_empty() && chunk.len() > STATEMENT_BYTES_MAX {
            body.unread(chunk);
            return Ok(None);
        }
        read.extend_from_slice(&chunk);
        if read.len() > STATEMENT_BYTES_MAX {
            body.unread(read.freeze());
            return Ok(None);
        }
    }
    Ok(Some(read.freeze()))
}

/// Asks the cluster's replicas; a question whose answer is kept has that answer when none of them gives one.
pub async fn ask(
    app: &App,
    question: &Question<'_>,
    cluster: &Cluster,
    request: &Repeatable<'_>,
) -> Result<Answer, Exception> {
    let Some(key) = key(question, cluster, request.statement) else {
        let replica = session_s_replica(app, question, cluster).await?;
        return ask_replica(question, request, &replica).await;
    };
    let kept = app.answers.find(&key);
    let asked = ask_any(app, question, cluster, request, kept.is_some());
    let answered = within(kept.as_ref().map(|_| ANSWER_PATIENCE), asked).await;
    match answered.unwrap_or_else(|| Err(no_replica(cluster))) {
        Ok(answer) => {
            if is_success(&answer) {
                app.answers.asked(&key, now_ms());
            }
            Ok(answer)
        }
        Err(exception) if exception.code == code::ALL_CONNECTION_TRIES_FAILED => {
            let kept = kept.ok_or_else(|| nothing_kept(&exception))?;
            Ok(instead(app, question, &key, &kept, request.headers))
        }
        Err(exception) => Err(exception),
    }
}

/// What the question is to the cache; none if its answer is not kept, or not for this user.
fn key(question: &Question<'_>, cluster: &Cluster, statement: &[u8]) -> Option<Key> {
    let shape = Shape::of(&question.asked(statement))?;
    if let Some(table) = shape.asks.table() {
        let is_routed = matches!(
            question.routing.lookup(&table.database, &table.table),
            Lookup::Routed(_)
        );
        (is_routed && question.user.may_insert(table)).then_some(())?;
    }
    Some(Key {
        cluster: cluster.name.clone(),
        shape,
    })
}

/// The first answer that a replica gives, the one that holds the request's session before others. Asking again is
/// no harm: these questions change nothing.
async fn ask_any(
    app: &App,
    question: &Question<'_>,
    cluster: &Cluster,
    request: &Repeatable<'_>,
    is_kept: bool,
) -> Result<Answer, Exception> {
    let session = session_of(question)?;
    let held = session.and_then(|(key, _)| app.sessions.replica(key, Instant::now()));
    let mut tried = cluster.read_order();
    tried.sort_by_key(|replica| Some(replica.address()) != held.as_deref());
    tried.truncate(TRIES_MAX);
    let (up, down): (Vec<_>, Vec<_>) = tried.into_iter().partition(|replica| replica.is_up());
    let mut settled = ask_each(question, request, &up).await;
    if settled.is_none() {
        let checks = futures_util::future::join_all(down.iter().map(|replica| replica.check()));
        within(is_kept.then_some(CHECK_PATIENCE), checks).await;
        let back: Vec<_> = down.into_iter().filter(|replica| replica.is_up()).collect();
        settled = ask_each(question, request, &back).await;
    }
    let (replica, answer) = settled.ok_or_else(|| no_replica(cluster))?;
    if let Some((key, timeout)) = session {
        app.sessions.keep(key, replica.address(), Instant::now(), timeout);
    }
    answer
}

/// The first answer, or the first refusal of Weir's own, and the replica it is about; none when none of these
/// replicas gives one.
async fn ask_each(
    question: &Question<'_>,
    request: &Repeatable<'_>,
    replicas: &[Arc<ReplicaRuntime>],
) -> Option<(Arc<ReplicaRuntime>, Result<Answer, Exception>)> {
    for replica in replicas {
        match ask_replica(question, request, replica).await {
            Ok(answer) if is_gateways(&answer) => {}
            Err(exception) if exception.code == code::ALL_CONNECTION_TRIES_FAILED => {}
            settled => return Some((replica.clone(), settled)),
        }
    }
    None
}

async fn ask_replica(
    question: &Question<'_>,
    request: &Repeatable<'_>,
    replica: &ReplicaRuntime,
) -> Result<Answer, Exception> {
    let body = Full::new((request.body)(replica)).map_err(|never| match never {});
    pass(question, request.asked.clone(), body, replica).await
}

async fn within<T>(patience: Option<Duration>, future: impl Future<Output = T>) -> Option<T> {
    match patience {
        None => Some(future.await),
        Some(patience) => tokio::time::timeout(patience, future).await.ok(),
    }
}

fn is_success(answer: &Answer) -> bool {
    answer.status() == StatusCode::OK && !answer.headers().contains_key("x-clickhouse-exception-code")
}

/// A load balancer's word that there is nobody behind it. ClickHouse's own 503 names an exception.
fn is_gateways(answer: &Answer) -> bool {
    matches!(answer.status().as_u16(), 502..=504)
        && !answer.headers().contains_key("x-clickhouse-exception-code")
}

fn instead(app: &App, question: &Question<'_>, key: &Key, kept: &Kept, headers: &HeaderMap) -> Answer {
    let now = now_ms();
    app.answers.asked(key, now);
    app.metrics.answered_from_cache();
    serve::answer(kept, question.head, headers, now)
}

/// No replica answers, in ClickHouse's words.
pub fn no_replica(cluster: &Cluster) -> Exception {
    let message = format!("No replica of cluster {} answers.", cluster.name);
    Exception::try_again(code::ALL_CONNECTION_TRIES_FAILED, 5, message)
}

fn nothing_kept(exception: &Exception) -> Exception {
    let message = format!(
        "{} An answer from before is not kept for this question, in this format and with these settings: it is kept once a replica has answered it.",
        exception.message
    );
    Exception {
        message,
        ..exception.clone()
    }
}
