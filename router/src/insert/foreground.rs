//! Foreground INSERTs: the answer waits until every shard has its rows, as with ClickHouse's `distributed_foreground_insert`.
//!
//! Such an INSERT is accepted like any other, first of all; then it is followed. Its client hears of its shards one way or
//! another, and never that an accepted INSERT failed as a whole: an error comes with the receipt.
//!
//! | what comes first | the answer |
//! |---|---|
//! | enough replicas of every shard have the rows | 200 |
//! | a shard cannot take them, and the others have them | the shard's code, its rows are in broken/ |
//! | a batch is set aside, and the others have theirs | 500, code 319 |
//! | `foreground_fallback_timeout` | 200, `X-Weir-Waiting: foreground …` |
//! | the client's own limit, or [`TIMEOUT`] | 503, code 159 |
//! | Weir stops | 503, code 159 |

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use config::{Ack, SendSettings};
use http::StatusCode;
use spool::{Receipt, ReceiptShare, ReceiptState, ShardRefusal, Watching};
use tokio::time::Instant;

use super::settings::{OwnSettings, Quorum};
use crate::app::App;
use crate::exception::{Exception, code};
use crate::routing::{RoutedTable, Shard};

/// How long an answer waits where its client sets no limit: ClickHouse's own `send_timeout` and `receive_timeout`, which end
/// such a wait there.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Shards that an answer names; a header has not much room.
const NAMED_MAX: usize = 10;

/// What the answer of one INSERT waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Foreground {
    quorum: Option<Quorum>,
    /// Then it is an error.
    deadline: Instant,
    /// Then it is a 200 that says so.
    fallback: Option<Instant>,
}

/// How a wait ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Enough replicas of every shard have the rows.
    Delivered,
    /// The answer is 200 all the same, with these words.
    Fallback(String),
    /// What the client is told, beside the receipt.
    Failed(Exception),
}

/// Whether the answer waits for all shards: the client says so, or the table does.
pub fn is_asked(send: &SendSettings, own: &OwnSettings) -> bool {
    own.foreground || own.quorum.is_some() || send.ack == Ack::Delivered
}

impl Foreground {
    /// What the INSERT of a request that came at `since` waits for; none for one that is answered from the spool.
    pub fn of(send: &SendSettings, own: &OwnSettings, since: std::time::Instant) -> Option<Self> {
        let since = Instant::from_std(since);
        is_asked(send, own).then(|| Self {
            quorum: own.quorum,
            deadline: since + own.patience().unwrap_or(TIMEOUT).min(TIMEOUT),
            fallback: send.foreground_fallback_timeout.map(|wait| since + wait),
        })
    }

    /// Waits for the INSERT's end.
    pub async fn wait(&self, app: &App, table: &RoutedTable, watching: &Watching) -> Ended {
        let judged = watching.until(|receipt| judge(receipt, |shard| self.may_lack(table, shard)));
        let end = self
            .fallback
            .map_or(self.deadline, |fallback| fallback.min(self.deadline));
        tokio::select! {
            // Rows that have arrived count, whatever else has come to its end.
            biased;
            Some(judged) = judged => return match judged {
                Judged::Delivered => Ended::Delivered,
                Judged::Stuck(share) => Ended::Failed(stuck(&table.name, &share)),
            },
            () = app.stopping() => {}
            () = tokio::time::sleep_until(end) => {}
        }
        let lacking = watching
            .receipt()
            .map_or_else(String::new, |receipt| lacking(&receipt));
        let is_fallback = self.fallback.is_some_and(|fallback| fallback <= self.deadline) && app.is_ready();
        if is_fallback {
            return Ended::Fallback(in_header(&format!("foreground: not yet on {lacking}")));
        }
        let reasons = watching
            .receipt()
            .map_or_else(String::new, |receipt| reasons(&receipt));
        let stopped = app.sends.is_stopped(&table.name);
        Ended::Failed(timed_out(&table.name, &lacking, &reasons, stopped))
    }

    /// How many destinations of that shard may be without their rows: none but replicas that the quorum does not need.
    fn may_lack(&self, table: &RoutedTable, shard: &str) -> usize {
        let shard = table.cluster.shards.iter().find(|known| known.name == shard);
        let replicas = shard.filter(|shard| !shard.internal_replication);
        match (replicas, self.quorum) {
            (Some(shard), Some(quorum)) => {
                let replicas = shard.replicas.len();
                replicas.saturating_sub(quorum.of(replicas))
            }
            (None, _) | (_, None) => 0,
        }
    }
}

/// Refuses a quorum that a shard's replicas, each of which Weir writes to itself, can never be. Of others their servers know.
pub fn check_quorum(table: &RoutedTable, quorum: Quorum) -> Result<(), Exception> {
    let is_short = |shard: &&Shard| {
        let replicas = shard.replicas.len();
        !shard.internal_replication && quorum.of(replicas) > replicas
    };
    match table.cluster.shards.iter().find(is_short) {
        None => Ok(()),
        Some(shard) => Err(Exception::bad_input(
            code::TOO_FEW_LIVE_REPLICAS,
            format!(
                "insert_quorum asks for {} replicas, and shard {} of {} has {}.",
                quorum.of(shard.replicas.len()),
                shard.name,
                table.name,
                shard.replicas.len()
            ),
        )),
    }
}

/// Whether the servers of some shard see to a quorum: where they replicate by themselves.
pub fn is_forwarded(table: &RoutedTable) -> bool {
    table
        .cluster
        .shards
        .iter()
        .any(|shard| shard.internal_replication)
}

/// What a receipt says to somebody who waits.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Judged {
    Delivered,
    /// Nothing goes on where rows are lacking; the worst of it.
    Stuck(ReceiptShare),
}

/// None while there is something to wait for. `may_lack`: of a shard by its name.
fn judge(receipt: &Receipt, may_lack: impl Fn(&str) -> usize) -> Option<Judged> {
    let mut by_shard: BTreeMap<&str, Vec<&ReceiptShare>> = BTreeMap::new();
    for share in undelivered(receipt) {
        by_shard.entry(&share.destination.shard).or_default().push(share);
    }
    by_shard.retain(|shard, shares| shares.len() > may_lack(shard));
    let lacking: Vec<_> = by_shard.into_values().flatten().collect();
    if lacking.is_empty() {
        return Some(Judged::Delivered);
    }
    let goes_on = lacking.iter().any(|share| share.goes_on);
    let worst = lacking.into_iter().max_by_key(|share| share.state);
    worst.filter(|_| !goes_on).cloned().map(Judged::Stuck)
}

fn undelivered(receipt: &Receipt) -> impl Iterator<Item = &ReceiptShare> {
    receipt
        .shares
        .iter()
        .filter(|share| share.state != ReceiptState::Delivered)
}

/// A destination without its table, which the client knows.
fn place(share: &ReceiptShare) -> String {
    match &share.destination.replica {
        Some(replica) => format!("{}@{replica}", share.destination.shard),
        None => share.destination.shard.clone(),
    }
}

/// Which destinations do not have the rows yet.
fn lacking(receipt: &Receipt) -> String {
    let places: Vec<_> = undelivered(receipt).map(place).collect();
    let mut text = places[..places.len().min(NAMED_MAX)].join(", ");
    if places.len() > NAMED_MAX {
        let _ = write!(text, " and {} more", places.len() - NAMED_MAX);
    }
    text
}

/// What they wait for, as far as it is known.
fn reasons(receipt: &Receipt) -> String {
    let reason = |share: &ReceiptShare| Some(format!("{}: {}", place(share), share.reason.as_ref()?));
    let reasons: Vec<_> = undelivered(receipt).filter_map(reason).take(NAMED_MAX).collect();
    reasons.join("; ")
}

/// A header holds printable ASCII only.
fn in_header(text: &str) -> String {
    let plain = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
    text.chars().map(plain).collect()
}

fn timed_out(table: &str, lacking: &str, reasons: &str, is_stopped: bool) -> Exception {
    let mut message = format!(
        "The INSERT into {table} is accepted and durable, and its rows are not yet on: {lacking}. They are delivered all the same: \
         to wait on, send the same INSERT again under the same insert_deduplication_token or the same body; under another token \
         the rows would be there twice. GET /receipts/<X-Weir-Receipt> on the admin listener tells how far they are."
    );
    if is_stopped {
        message.push_str(" The table's sends are stopped: SYSTEM START DISTRIBUTED SENDS.");
    }
    if !reasons.is_empty() {
        let _ = write!(message, " {reasons}");
    }
    Exception::try_again(code::TIMEOUT_EXCEEDED, 1, message)
}

/// Nobody can say how far an accepted INSERT is.
pub fn unknown(table: &str, why: &str) -> Exception {
    let message = format!(
        "The INSERT into {table} is accepted and durable, and how far its rows are is not known: {why}. Do not send it again under \
         another insert_deduplication_token."
    );
    Exception::try_again(code::TIMEOUT_EXCEEDED, 1, message)
}

/// Rows of an accepted INSERT that do not go on by themselves.
fn stuck(table: &str, share: &ReceiptShare) -> Exception {
    let place = place(share);
    let why = share.reason.as_deref().unwrap_or("no error is recorded");
    match share.state {
        ReceiptState::Broken => {
            let ShardRefusal { code, text } = ShardRefusal::read(why);
            Exception::bad_input(
                code.unwrap_or(code::INCORRECT_DATA),
                format!(
                    "Shard {place} of {table} refused its rows of the INSERT: {text}. They are kept in broken/ (`weir spool ls \
                     --files`); the other shards have theirs, so do not send the INSERT again."
                ),
            )
        }
        ReceiptState::Accepted | ReceiptState::Sending | ReceiptState::Delivered | ReceiptState::Held => {
            Exception {
                code: code::UNKNOWN_STATUS_OF_INSERT,
                message: format!(
                    "The rows for shard {place} of {table} are set aside: {why}. They are accepted and kept, to be looked at (`weir \
                 spool ls --files`); the other shards have theirs, so do not send the INSERT again."
                ),
                status: StatusCode::INTERNAL_SERVER_ERROR,
                retry_after: None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use spool::{Destination, InsertId};

    use super::*;

    fn share(shard: &str, replica: Option<&str>, state: ReceiptState, goes_on: bool) -> ReceiptShare {
        ReceiptShare {
            destination: Destination {
                table: "d.t".into(),
                shard: shard.into(),
                replica: replica.map(str::to_owned),
            },
            state,
            reason: Some(format!("code 27: of {shard}")),
            goes_on,
        }
    }

    fn receipt(shares: Vec<ReceiptShare>) -> Receipt {
        Receipt {
            insert: InsertId::random(),
            accepted_at_ms: 1,
            rows: 1,
            raw_bytes: 1,
            shares,
        }
    }

    #[track_caller]
    fn check(shares: Vec<ReceiptShare>, may_lack: usize, expected: &str) {
        let judged = match judge(&receipt(shares), |_| may_lack) {
            None => "waits".to_owned(),
            Some(Judged::Delivered) => "delivered".to_owned(),
            Some(Judged::Stuck(share)) => format!("stuck on {}", place(&share)),
        };
        assert_eq!(judged, expected);
    }

    #[test]
    fn all_shards_are_waited_for_and_a_refusal_is_told_once_nothing_goes_on() {
        use ReceiptState::{Accepted, Broken, Delivered, Held, Sending};
        check(vec![], 0, "delivered");
        check(vec![share("a", None, Delivered, false)], 0, "delivered");
        check(
            vec![
                share("a", None, Delivered, false),
                share("b", None, Sending, true),
            ],
            0,
            "waits",
        );
        check(
            vec![share("a", None, Broken, false), share("b", None, Accepted, true)],
            0,
            "waits",
        );
        check(
            vec![share("a", None, Broken, false), share("b", None, Held, false)],
            0,
            "stuck on a",
        );
        // A held destination is probed and goes on by itself, as does the rest of a large INSERT with a refused batch.
        check(vec![share("a", None, Held, true)], 0, "waits");
        check(vec![share("a", None, Broken, true)], 0, "waits");
    }

    #[test]
    fn a_quorum_is_counted_shard_by_shard() {
        use ReceiptState::{Broken, Sending};
        let two_of_a = || {
            vec![
                share("a", Some("r1"), Sending, true),
                share("a", Some("r2"), Broken, false),
            ]
        };
        check(two_of_a(), 2, "delivered");
        check(two_of_a(), 1, "waits");
        let one_each = vec![
            share("a", Some("r1"), Sending, true),
            share("b", Some("r1"), Broken, false),
        ];
        check(one_each, 1, "delivered");
        let stuck = vec![
            share("a", Some("r1"), Broken, false),
            share("a", Some("r2"), Broken, false),
        ];
        check(stuck, 1, "stuck on a@r2");
    }

    #[test]
    fn a_refusal_has_the_shard_s_code_and_a_wait_that_ends_names_who_lacks() {
        let refused = stuck("d.t", &share("a", None, ReceiptState::Broken, false));
        assert_eq!((refused.code, refused.status.as_u16()), (27, 400));
        assert!(
            refused
                .message
                .contains("Shard a of d.t refused its rows of the INSERT: of a."),
            "{refused}"
        );
        let held = stuck("d.t", &share("a", None, ReceiptState::Held, false));
        assert_eq!((held.code, held.status.as_u16()), (319, 500));
        let shares = (0..12).map(|shard| share(&format!("s{shard}"), None, ReceiptState::Sending, true));
        let text = lacking(&receipt(shares.collect()));
        assert!(
            text.starts_with("s0, s1, ") && text.ends_with("s9 and 2 more"),
            "{text}"
        );
        assert_eq!(in_header("s\u{e9}\n"), "s??");
    }
}
