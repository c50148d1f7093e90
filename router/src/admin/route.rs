//! `POST /route?table=…&format=…[&explain=1]`: where the rows of the body would go, as `weir route --output
//! json` tells it, by the tables and schemas that the router uses now.

use std::sync::Arc;

use bytes::Bytes;
use config::TableName;
use formats::Format;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;

use super::{Refused, parameter};
use crate::app::App;
use crate::discovery;
use crate::dry_run::{Failed, Router};
use crate::exception::Exception;
use crate::routing::{Lookup, RoutedTable};
use crate::schema::Description;

/// A dry run is for looking at rows, not for moving them: larger bodies are `weir route`'s.
const BODY_BYTES_MAX: usize = 4 << 20;

/// Each row of the answer takes 100 bytes and more.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// Answers with one line of JSON a row.
pub async fn places(app: &Arc<App>, request: Request<Incoming>) -> Result<Vec<u8>, Refused> {
    let query = request.uri().query().unwrap_or("").to_owned();
    let name = TableName::parse(&parameter(&query, "table")?).map_err(bad)?;
    let format = Format::parse(&parameter(&query, "format")?).map_err(|error| bad(error.to_string()))?;
    let explain = parameter(&query, "explain").is_ok_and(|value| value != "0");
    let table = table(app, &name).await?;
    let schema = table.schema(app).await.map_err(refused)?;
    let description = Description {
        columns: schema.described.clone(),
        time_zone: schema.time_zone.clone(),
        reading_defaults: schema.reading_defaults.clone(),
    };
    let rows = body(request).await?;
    let split = move || {
        let router = Router::of_table(&table.config, &table.cluster.config, description).map_err(refused)?;
        written(&router, format, &rows, explain)
    };
    let split = tokio::task::spawn_blocking(split).await;
    split.unwrap_or_else(|error| Err(Refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())))
}

async fn table(app: &Arc<App>, name: &TableName) -> Result<Arc<RoutedTable>, Refused> {
    let known = app.routing().lookup(&name.database, &name.table);
    let found = match known {
        Lookup::Unknown => discovery::look_up(app, name).await,
        known => known,
    };
    match found {
        Lookup::Routed(table) => Ok(table),
        Lookup::Target(distributed) => Err(Refused(
            StatusCode::NOT_FOUND,
            format!("{name} is the target of {distributed}, not a routed table"),
        )),
        Lookup::Unknown => Err(Refused(
            StatusCode::NOT_FOUND,
            format!(
                "no table {name} is routed; routed are: {}",
                app.routing().some_table_names()
            ),
        )),
    }
}

async fn body(request: Request<Incoming>) -> Result<Bytes, Refused> {
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await;
    let body = body.map_err(|error| {
        let text = format!(
            "the body: {error}; /route takes at most {BODY_BYTES_MAX} bytes, `weir route` any number"
        );
        Refused(StatusCode::PAYLOAD_TOO_LARGE, text)
    })?;
    Ok(body.to_bytes())
}

fn written(router: &Router, format: Format, rows: &Bytes, explain: bool) -> Result<Vec<u8>, Refused> {
    let stream = router.stream(format, None).map_err(refused)?;
    let mut answer = Vec::new();
    let mut whole = true;
    let routed = router.each_row(stream, None, &mut rows.as_ref(), &mut |routed| {
        let line = router.json(&routed, explain);
        whole = answer.len() + line.len() < ANSWER_BYTES_MAX;
        if !whole {
            return Err(Failed::Output(std::io::ErrorKind::FileTooLarge.into()));
        }
        answer.extend_from_slice(line.as_bytes());
        answer.push(b'\n');
        Ok(())
    });
    match routed {
        Ok(()) => Ok(answer),
        Err(_) if !whole => Err(Refused(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!(
                "the answer would have more than {ANSWER_BYTES_MAX} bytes: send fewer rows, or use `weir route`"
            ),
        )),
        Err(failed) => Err(bad(failed.to_string())),
    }
}

fn bad(text: String) -> Refused {
    Refused(StatusCode::BAD_REQUEST, text)
}

fn refused(exception: Exception) -> Refused {
    Refused(exception.status, exception.message)
}
