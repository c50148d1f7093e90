//! One HTTP request: who asks, what, and how the answer reads.

mod answer;
mod body;
mod query;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::{Method, Request, Response};
use hyper::body::Incoming;

use self::query::Asked;
use crate::error::{Exception, Outcome, code};
use crate::faults::{Fault, Faults, refusal};
use crate::query::Session;
use crate::store::{Answer, Request as Statement, Worker};

pub(crate) use answer::Body;

/// Everything the requests of one shard share.
pub(crate) struct Shard {
    pub worker: Worker,
    pub faults: Faults,
    /// `hostName()` and `X-ClickHouse-Server-Display-Name`.
    pub name: String,
    /// Without, everyone may come.
    pub credentials: Option<Credentials>,
}

/// The one user of a shard that asks for a password.
pub(crate) struct Credentials {
    pub user: String,
    pub password: String,
}

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed on purpose")]
pub(crate) struct Close;

/// Answers one request.
pub(crate) async fn answer(shard: Arc<Shard>, request: Request<Incoming>) -> Result<Response<Body>, Close> {
    if let Some(ok) = liveness(&request) {
        return Ok(ok);
    }
    let (head, body) = request.into_parts();
    let asked = match Asked::new(&head) {
        Ok(asked) => asked,
        Err(error) => return Ok(answer::error(&shard.name, "", &error)),
    };
    let result = match authenticate(&shard, &asked) {
        Ok(user) => do_request(&shard, &asked, user, head.method, body).await?,
        Err(error) => Err(error),
    };
    Ok(match result {
        Ok(answer) => answer::success(&shard.name, &asked.query_id, answer),
        Err(error) => answer::error(&shard.name, &asked.query_id, &error),
    })
}

/// `/ping`, and `/` without a query, which ClickHouse answers to anyone.
fn liveness(request: &Request<Incoming>) -> Option<Response<Body>> {
    let uri = request.uri();
    let bare = uri.path() == "/" && uri.query().is_none();
    let asks = matches!(*request.method(), Method::GET | Method::HEAD) && (bare || uri.path() == "/ping");
    asks.then(answer::ok)
}

/// The name to go by, if the credentials fit.
fn authenticate<'a>(shard: &Shard, asked: &'a Asked) -> Outcome<&'a str> {
    match &shard.credentials {
        Some(known) if known.user != asked.user || known.password != asked.password => {
            code::AUTHENTICATION_FAILED.refuse(format_args!(
                "{}: Authentication failed: password is incorrect, or there is no user with such name",
                asked.user
            ))
        }
        _ => Ok(&asked.user),
    }
}

/// Reads the body whole and executes it, or has it struck by a fault. A body that is cut short is not
/// executed.
async fn do_request(
    shard: &Shard,
    asked: &Asked,
    user: &str,
    method: Method,
    body: Incoming,
) -> Result<Outcome<Answer>, Close> {
    let statement = match read_statement(shard, asked, user, method, body).await {
        Ok(statement) => statement,
        Err(error) => return Ok(Err(error)),
    };
    let fault = shard.faults.strike(is_insert(&statement.text));
    match &fault {
        Some(Fault::Refuse { code, text }) => return Ok(Err(refusal(*code, text))),
        Some(Fault::CloseBefore) => return Err(Close),
        Some(Fault::Hang) => wait_for_release(&shard.faults).await,
        Some(Fault::CloseAfter) | None => {}
    }
    let result = shard.worker.execute(statement).await;
    if fault == Some(Fault::CloseAfter) {
        Err(Close)
    } else {
        Ok(result)
    }
}

async fn wait_for_release(faults: &Faults) {
    let mut releases = faults.releases();
    // The sender lives in `faults`, so this ends by a release or by the connection's own end.
    let _ = releases.changed().await;
}

async fn read_statement(
    shard: &Shard,
    asked: &Asked,
    user: &str,
    method: Method,
    body: Incoming,
) -> Result<Statement, Exception> {
    let body = body::read(body, asked.encoding, asked.decompress).await?;
    Ok(Statement {
        text: join(&asked.query, body),
        session: Session {
            user: user.to_owned(),
            database: asked.database.clone(),
            host_name: shard.name.clone(),
            server_uuid: String::new(),
            now: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs() as i64),
        },
        settings: asked.settings.clone(),
        default_format: asked.format.clone(),
        read_only: method == Method::GET || method == Method::HEAD,
    })
}

/// The query of the URL, a line end, the body (ClickHouse's rule); without a query the body alone.
fn join(query: &str, body: Vec<u8>) -> Vec<u8> {
    match (query.is_empty(), body.is_empty()) {
        (true, _) => body,
        (false, true) => query.as_bytes().to_vec(),
        (false, false) => [query.as_bytes(), b"\n", &body].concat(),
    }
}

/// Whether a statement is meant as an INSERT, for the faults; it need not be sound.
fn is_insert(text: &[u8]) -> bool {
    text.trim_ascii_start()
        .get(..6)
        .is_some_and(|word| word.eq_ignore_ascii_case(b"INSERT"))
}
