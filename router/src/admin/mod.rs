//! The admin side: metrics and health for everybody who reaches the listener, everything else for holders of
//! the token and for whoever may open `<spool>/admin.sock`.
//!
//! | | |
//! |---|---|
//! | `GET /metrics` | Prometheus |
//! | `GET /-/healthy` | 200 while the process lives |
//! | `GET /-/ready` | 200 while INSERTs are welcome, 503 otherwise |
//! | `POST /-/reload` | reads the configuration again; 200, or 400 with every mistake |
//! | `GET /clusters` | replicas and their state, JSON |
//! | `GET /tables` | what is routed: target, key, whether listed or discovered, whether stopped; JSON |
//! | `POST /clusters/accept` | `?table=…`: a discovered table's new sharding key is meant; `?shard=…`, `&replica=…`: its replicas are who they are now |
//! | `POST /route` | `?table=…&format=…[&explain=1]`, rows in the body: where each would go, as `weir route --output json` |
//! | `GET /receipts/<id>` | what became of the INSERT with that `X-Weir-Receipt`, shard by shard; JSON, 404 for one that is not known |
//! | `POST /spool/retry`, `/spool/drop` | `?table=…&shard=…[&replica=…][&seq=…]`; the change as JSON |

mod receipts;
mod route;

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};
use spool::{Destination, QueueError};
use subtle::ConstantTimeEq as _;

use crate::app::App;
use crate::http::answer::{self, Answer};
use crate::http::request::parameters;
use crate::http::{Handler, Peer};

/// The file name of the admin socket in the spool's directory.
pub const SOCKET_NAME: &str = "admin.sock";

/// Answers on the admin listeners.
pub struct Admin(pub Arc<App>);

impl Handler for Admin {
    async fn handle(self: Arc<Self>, peer: Peer, request: Request<Incoming>) -> Answer {
        let app = &self.0;
        if let Some(answer) = open_page(app, &request) {
            return answer;
        }
        if !is_trusted(app, peer, &request) {
            let text = "this page needs the token of admin_token_file as 'Authorization: Bearer …', or the unix socket\n";
            return answer::text(StatusCode::FORBIDDEN, text);
        }
        trusted_page(app, request).await
    }
}

fn open_page(app: &App, request: &Request<Incoming>) -> Option<Answer> {
    match request.uri().path() {
        "/metrics" => Some(metrics(app)),
        "/-/healthy" => Some(answer::text(StatusCode::OK, "healthy\n")),
        "/-/ready" if app.is_ready() => Some(answer::text(StatusCode::OK, "ready\n")),
        "/-/ready" => Some(answer::text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n")),
        _ => None,
    }
}

fn metrics(app: &App) -> Answer {
    let mut answer = answer::text(StatusCode::OK, app.metrics.render(&app.snapshot()));
    let form = http::HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    answer.headers_mut().insert(http::header::CONTENT_TYPE, form);
    answer
}

fn is_trusted(app: &App, peer: Peer, request: &Request<Incoming>) -> bool {
    if peer == Peer::Local {
        return true;
    }
    let Some(token) = &app.routing().config.listen.admin_token else {
        return false;
    };
    let Ok(token) = token.read() else { return false };
    let given = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let given = given
        .and_then(|value| value.strip_prefix("Bearer "))
        .unwrap_or("");
    given.as_bytes().ct_eq(token.expose().as_bytes()).into()
}

async fn trusted_page(app: &Arc<App>, request: Request<Incoming>) -> Answer {
    if (request.method(), request.uri().path()) == (&Method::POST, "/route") {
        return match route::places(app, request).await {
            Ok(lines) => answer::text(StatusCode::OK, lines),
            Err(Refused(status, text)) => answer::text(status, format!("{text}\n")),
        };
    }
    let request = &request;
    if let (&Method::GET, Some(id)) = (request.method(), request.uri().path().strip_prefix("/receipts/")) {
        return changed(receipts::receipt(app, id).await);
    }
    match (request.method(), request.uri().path()) {
        (&Method::POST, "/-/reload") => match app.reload().await {
            Ok(()) => answer::text(StatusCode::OK, "reloaded\n"),
            Err(error) => answer::text(StatusCode::BAD_REQUEST, format!("{error}\n")),
        },
        (&Method::GET, "/clusters") => json_answer(StatusCode::OK, &clusters(app)),
        (&Method::GET, "/tables") => json_answer(StatusCode::OK, &tables(app)),
        (&Method::POST, "/clusters/accept") => changed(accept(app, request).await),
        (&Method::POST, "/spool/retry") => changed(retry(app, request).await),
        (&Method::POST, "/spool/drop") => changed(drop_batch(app, request).await),
        (method, path) => answer::text(StatusCode::NOT_FOUND, format!("there is no {method} {path}\n")),
    }
}

/// Why a change was not made, with the status that says whose trouble it is.
struct Refused(StatusCode, String);

impl From<QueueError> for Refused {
    fn from(error: QueueError) -> Self {
        let status = match &error {
            QueueError::NoBatch { .. } | QueueError::NotPending(_) => StatusCode::NOT_FOUND,
            QueueError::WrongState { .. } => StatusCode::CONFLICT,
            QueueError::File(_) | QueueError::NotWritten(_) | QueueError::Poisoned(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            QueueError::Closed => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self(status, error.to_string())
    }
}

fn changed(result: Result<Value, Refused>) -> Answer {
    match result {
        Ok(value) => json_answer(StatusCode::OK, &value),
        Err(Refused(status, text)) => answer::text(status, format!("{text}\n")),
    }
}

/// Which batches a request is about.
struct Chosen {
    destination: Destination,
    seq: Option<u64>,
}

/// One parameter of a URL.
fn parameter(query: &str, name: &str) -> Result<String, Refused> {
    let bad = |text: String| Refused(StatusCode::BAD_REQUEST, text);
    let pairs = parameters(query).map_err(|error| bad(error.message))?;
    let found = pairs.into_iter().find(|(given, _)| given == name);
    found
        .map(|(_, value)| value)
        .ok_or_else(|| bad(format!("the parameter {name} is missing")))
}

fn chosen(request: &Request<Incoming>) -> Result<Chosen, Refused> {
    let bad = |text: String| Refused(StatusCode::BAD_REQUEST, text);
    let pairs = parameters(request.uri().query().unwrap_or("")).map_err(|error| bad(error.message))?;
    let find = |name: &str| {
        pairs
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
    };
    let need = |name: &str| find(name).ok_or_else(|| bad(format!("the parameter {name} is missing")));
    let number = |text: String| {
        text.parse()
            .map_err(|_| bad(format!("seq is not a number: {text}")))
    };
    Ok(Chosen {
        destination: Destination {
            table: need("table")?,
            shard: need("shard")?,
            replica: find("replica"),
        },
        seq: find("seq").map(number).transpose()?,
    })
}

/// A held or broken batch goes back into the queue; without a number the destination itself is resumed.
async fn retry(app: &App, request: &Request<Incoming>) -> Result<Value, Refused> {
    let Chosen { destination, seq } = chosen(request)?;
    refuse_unknown(app, &destination)?;
    app.nudge.notify_waiters();
    match seq {
        Some(seq) => {
            let requeued = app.spool.requeue(&destination, seq).await?;
            tracing::warn!(%destination, batch = seq, as_batch = requeued, "an operator put a batch back into the queue");
            Ok(json!({"destination": destination.to_string(), "retried": seq, "as": requeued}))
        }
        None => {
            app.spool.resume_destination(&destination).await?;
            app.nudge.notify_waiters();
            tracing::warn!(%destination, "an operator resumed a destination");
            Ok(json!({"destination": destination.to_string(), "resumed": true}))
        }
    }
}

/// A slip of the pen must not read as success.
fn refuse_unknown(app: &App, destination: &Destination) -> Result<(), Refused> {
    let routing = app.routing();
    let known = routing.destinations();
    if known.contains(destination) || app.spool.destination(destination).is_some() {
        return Ok(());
    }
    let of_table = known.iter().filter(|known| known.table == destination.table);
    let others: Vec<_> = of_table.map(ToString::to_string).collect();
    let there_are = if others.is_empty() {
        format!(
            "no table {} is routed; routed are: {}",
            destination.table,
            routing.some_table_names()
        )
    } else {
        format!("there are: {}", others.join(", "))
    };
    Err(Refused(
        StatusCode::NOT_FOUND,
        format!("no destination {destination}; {there_are}"),
    ))
}

async fn drop_batch(app: &App, request: &Request<Incoming>) -> Result<Value, Refused> {
    let Chosen { destination, seq } = chosen(request)?;
    let seq =
        seq.ok_or_else(|| Refused(StatusCode::BAD_REQUEST, "the parameter seq is missing".to_owned()))?;
    refuse_unknown(app, &destination)?;
    app.spool.drop_batch(&destination, seq).await?;
    tracing::warn!(%destination, batch = seq, "an operator dropped a batch: its rows are given up");
    Ok(json!({"destination": destination.to_string(), "dropped": seq}))
}

fn clusters(app: &App) -> Value {
    let routing = app.routing();
    let replicas = routing.replicas().into_iter().map(|(cluster, shard, replica)| {
        json!({
            "cluster": cluster.name, "epoch": cluster.epoch, "shard": shard.name,
            "internal_replication": shard.internal_replication,
            "replica": replica.address(), "local": replica.config.local, "up": replica.is_up(),
        })
    });
    Value::Array(replicas.collect())
}

fn tables(app: &App) -> Value {
    let routing = app.routing();
    let tables = routing.config.tables.iter().map(crate::discovery::table_json);
    Value::Array(tables.collect())
}

/// The new sharding key of a discovered table, or who the replicas of a shard are.
async fn accept(app: &Arc<App>, request: &Request<Incoming>) -> Result<Value, Refused> {
    let bad = |text: String| Refused(StatusCode::BAD_REQUEST, text);
    let query = request.uri().query().unwrap_or("");
    if let Ok(shard) = parameter(query, "shard") {
        let replica = parameter(query, "replica").ok();
        let internal = |why| Refused(StatusCode::INTERNAL_SERVER_ERROR, why);
        let forgotten = app
            .accept_replicas(&shard, replica.as_deref())
            .await
            .map_err(internal)?;
        return Ok(json!({"shard": shard, "replica": replica, "forgotten": forgotten}));
    }
    let named = parameter(query, "table")?;
    let table = config::TableName::parse(&named).map_err(bad)?;
    let refused = |why| Refused(StatusCode::CONFLICT, why);
    app.accept_key(&table).await.map_err(refused)?;
    Ok(json!({"table": table.to_string(), "accepted": true}))
}

fn json_answer(status: StatusCode, value: &Value) -> Answer {
    let mut answer = answer::text(status, format!("{value}\n"));
    let json = http::HeaderValue::from_static("application/json");
    answer.headers_mut().insert(http::header::CONTENT_TYPE, json);
    answer
}
