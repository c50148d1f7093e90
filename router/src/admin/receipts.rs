//! `GET /receipts/<id>`: what became of an accepted INSERT, shard by shard.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};
use spool::{InsertId, ReceiptShare, ReceiptState};

use super::Refused;
use crate::app::App;

/// The INSERT that an answer named in `X-Weir-Receipt`.
pub async fn receipt(app: &Arc<App>, id: &str) -> Result<Value, Refused> {
    let bad = |error| Refused(StatusCode::BAD_REQUEST, format!("{id} is no receipt: {error}"));
    let insert: InsertId = id.parse().map_err(bad)?;
    let Some(receipt) = app.spool.receipt(insert).await? else {
        return Err(Refused(StatusCode::NOT_FOUND, unknown(app, insert)));
    };
    let shares: Vec<_> = receipt.shares.iter().map(share).collect();
    Ok(json!({
        "receipt": insert.to_string(),
        "state": word(receipt.state()),
        "accepted_at_ms": receipt.accepted_at_ms,
        "rows": receipt.rows,
        "bytes": receipt.raw_bytes,
        "shards": shares,
    }))
}

fn unknown(app: &App, insert: InsertId) -> String {
    match app.spool.receipts_since_ms() {
        Some(since) => {
            let age = crate::time::now_ms().saturating_sub(since) / 1000;
            format!(
                "no receipt {insert}: either no INSERT of it was accepted by this spool, or it is older than {age} seconds, which is \
                 how far back receipts reach (docs/operations.md)"
            )
        }
        None => format!("no receipt {insert}: no INSERT that is known was accepted by this spool"),
    }
}

fn share(share: &ReceiptShare) -> Value {
    let destination = &share.destination;
    json!({
        "table": destination.table,
        "shard": destination.shard,
        "replica": destination.replica,
        "state": word(share.state),
        "reason": share.reason,
    })
}

fn word(state: ReceiptState) -> &'static str {
    match state {
        ReceiptState::Delivered => "delivered",
        ReceiptState::Accepted => "accepted",
        ReceiptState::Sending => "sending",
        ReceiptState::Held => "held",
        ReceiptState::Broken => "broken",
    }
}
