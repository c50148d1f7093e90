//! A batch as a sender sees it, and what a sender may say became of it.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::doubt::{Doubt, MayHave};
use crate::event::Seq;
use crate::host::now_ms;
use crate::lease::Lease;
use crate::model::{Destination, InsertId, Shape};
use crate::token;

/// One batch file that may be sent now: one INSERT, one block, one token. It is leased: nobody else is
/// given it, and in order nothing else of its destination, until this value is dropped. Dropping it without [`settle`](crate::Spool::settle)
/// leaves the batch first in line.
#[derive(Debug)]
pub struct Batch {
    pub(crate) destination: Destination,
    pub(crate) seq: Seq,
    pub(crate) attempts: u32,
    pub(crate) doubt: Doubt,
    /// The last attempt is known to have written nothing; told to the journal with the next record.
    pub(crate) disproved: bool,
    pub(crate) file: BatchFile,
    /// Given back when the batch is dropped.
    pub(crate) _lease: Lease,
}

/// What a batch file says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchFile {
    pub(crate) path: PathBuf,
    pub(crate) token: String,
    pub(crate) rows: u64,
    pub(crate) raw_bytes: u64,
    pub(crate) frames: Range<u64>,
    pub(crate) frames_crc32: u32,
    pub(crate) created_at_ms: u64,
    pub(crate) shape: Arc<Shape>,
    pub(crate) segments: Vec<Segment>,
}

/// The rows of one INSERT in a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Whose rows they are.
    pub insert: InsertId,
    /// The insert_deduplication_token that its client gave.
    pub client_token: Option<String>,
    /// Their bytes among the batch's raw (decompressed) bytes.
    pub raw: Range<u64>,
    /// Their rows among the batch's.
    pub rows: Range<u64>,
}

impl Batch {
    /// Where it goes.
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// Its number there; with the destination its name.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Attempts recorded before it was handed out.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Who may have the batch. Only a repeat that they, or replicas that share their memory of blocks, would recognise is safe.
    pub fn may_have(&self) -> Option<MayHave<'_>> {
        self.doubt.may_have()
    }

    /// How long ago the first of the attempts began of which it is not known that they wrote nothing; since the batch was cut,
    /// where that was not written down. None without such an attempt, and where an operator had the batch sent again in spite of
    /// it.
    pub fn in_doubt_for(&self) -> Option<Duration> {
        let since_ms = self.doubt.counts_since_ms(self.created_at_ms())?;
        Some(Duration::from_millis(now_ms().saturating_sub(since_ms)))
    }

    /// Whether it is the last attempt alone, at that replica, of which it is not known that it wrote nothing.
    pub fn is_last_attempt_alone_in_doubt(&self) -> bool {
        self.doubt.open.is_some() && self.doubt.earlier.is_none()
    }

    /// An answer proves that the last attempt wrote nothing.
    pub fn disproved(&mut self) {
        self.disproved = true;
        self.doubt.disproved();
    }

    /// The file, which nobody changes while the batch waits.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Its insert_deduplication_token: 128 random bits and a hash of the content, in hexadecimal; or what follows from its client's
    /// own token.
    pub fn token(&self) -> &str {
        &self.file.token
    }

    /// What its attempts are called at servers, each with its number behind it: the token, and where other routers have the same,
    /// the receipt, which they do not.
    pub fn name(&self) -> String {
        let token = &self.file.token;
        match self.file.segments.first() {
            Some(segment) if token::is_from_client(token) => format!("{token}-{}", segment.insert),
            Some(_) | None => token.clone(),
        }
    }

    /// Rows in it.
    pub fn rows(&self) -> u64 {
        self.file.rows
    }

    /// Their raw bytes.
    pub fn raw_bytes(&self) -> u64 {
        self.file.raw_bytes
    }

    /// Where in the file ClickHouse's compressed frames lie; they are the body of the INSERT.
    pub fn frames(&self) -> Range<u64> {
        self.file.frames.clone()
    }

    /// CRC32 of those bytes, as gzip's trailer wants it.
    pub fn frames_crc32(&self) -> u32 {
        self.file.frames_crc32
    }

    /// When it was cut, in milliseconds since 1970.
    pub fn created_at_ms(&self) -> u64 {
        self.file.created_at_ms
    }

    /// Table, columns, format and settings of its INSERT.
    pub fn shape(&self) -> &Arc<Shape> {
        &self.file.shape
    }

    /// Whose rows it holds, in order.
    pub fn segments(&self) -> &[Segment] {
        &self.file.segments
    }
}

/// How an attempt ended, or what is to be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The shard has the rows.
    Acknowledged,
    /// The trouble may pass: the same bytes again, before any later batch.
    Retry {
        /// The shard's or the network's words.
        error: String,
    },
    /// Proof that nothing was written, and that the rows are at fault. Several INSERTs are tried one by one,
    /// a single one is aborted while it is pending, and goes to broken/ otherwise.
    Refused {
        /// ClickHouse's error code.
        code: Option<i32>,
        /// The shard's words.
        text: String,
    },
    /// Proof that nothing was written, and that the batch is too much for one INSERT, whose rows are not at fault: several
    /// INSERTs are tried one by one, and one by parts of its rows, as [`Spool::divide`](crate::Spool::divide) does.
    TooMuch {
        /// ClickHouse's error code.
        code: Option<i32>,
        /// What listings may say.
        error: String,
    },
    /// Proof that nothing was written, and that table and statement do not fit each other: an unknown column, a setting or a
    /// format that the server does not know. While its only INSERT is pending it is undone; otherwise the batch is set
    /// aside, for what does not fit today may fit tomorrow.
    Unfit {
        /// ClickHouse's error code.
        code: Option<i32>,
        /// The shard's words, for the client.
        text: String,
        /// What listings may say.
        error: String,
    },
    /// This batch is set aside: a doubt that was not resolved, or an error that came after rows were written.
    HoldBatch {
        /// Why.
        error: String,
    },
    /// Everything for the destination waits: a wrong password, a missing table.
    HoldDestination {
        /// Why.
        error: String,
    },
}

impl Outcome {
    /// Whether it says that the last attempt wrote nothing.
    pub(crate) fn is_proof(&self) -> bool {
        match self {
            Outcome::Refused { .. } | Outcome::TooMuch { .. } | Outcome::Unfit { .. } => true,
            Outcome::Acknowledged
            | Outcome::Retry { .. }
            | Outcome::HoldBatch { .. }
            | Outcome::HoldDestination { .. } => false,
        }
    }

    /// Why the batch can neither be taken apart nor undone, where the outcome asks for that: a refusal proves that its own attempt
    /// wrote nothing, and an earlier one at that replica may have.
    pub(crate) fn in_doubt(&self, earlier: Option<MayHave<'_>>) -> Option<String> {
        let (
            Outcome::Refused { code, .. } | Outcome::TooMuch { code, .. } | Outcome::Unfit { code, .. },
            Some(holder),
        ) = (self, earlier)
        else {
            return None;
        };
        let code = code.map_or_else(|| "without a code".to_owned(), |code| format!("code {code}"));
        Some(format!(
            "refused ({code}) after an attempt at {holder} whose outcome is not known: look there for its rows, then `weir spool drop` \
             it, or `retry` it, and it is taken apart or goes to broken/ where it is refused again"
        ))
    }
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It is on the shard, its file on the way into sent/.
    Acknowledged,
    /// It is first in line again.
    Waits,
    /// It is set aside, later ones go.
    Held,
    /// Everything for its destination waits.
    DestinationHeld,
    /// Its INSERTs wait in batches of their own.
    Recut {
        /// The new batches' numbers.
        seqs: Vec<u64>,
    },
    /// Nothing is decided: it is one INSERT's rows, and too many of them for one INSERT. See
    /// [`Spool::divide`](crate::Spool::divide).
    ToBeDivided,
    /// Its only INSERT was pending and is undone.
    Aborted {
        /// Which one.
        insert: InsertId,
    },
    /// Its file is on the way into broken/, the error beside it.
    Broken,
}

/// What an INSERT with rows for a local replica came to while its client waited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PendingOutcome {
    /// The local replica has its rows.
    Delivered,
    /// Its rows wait like any other, for the reason given.
    Waiting(String),
    /// Its rows are set aside or in broken/, for the reason given: mostly a shard's refusal that does not prove that nothing
    /// was written.
    SetAside(String),
    /// The shard refused its rows: nothing of it was, or will be, written anywhere.
    Aborted(ShardRefusal),
}

/// A shard's proof that it wrote nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardRefusal {
    /// ClickHouse's error code.
    pub code: Option<i32>,
    /// The shard's words.
    pub text: String,
}

impl ShardRefusal {
    /// As it is written beside the rows.
    pub(crate) fn told(&self) -> String {
        match self.code {
            Some(code) => format!("code {code}: {}", self.text),
            None => self.text.clone(),
        }
    }

    /// What was written so.
    pub fn read(told: &str) -> ShardRefusal {
        let coded = told.strip_prefix("code ").and_then(|rest| rest.split_once(": "));
        let coded = coded.and_then(|(code, text)| Some((code.parse().ok()?, text)));
        let (code, text) = coded.map_or((None, told), |(code, text)| (Some(code), text));
        ShardRefusal {
            code,
            text: text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_read_as_it_was_told() {
        for refusal in [
            (Some(27), "Cannot parse: x"),
            (None, "code of conduct: broken"),
            (None, ""),
        ] {
            let refusal = ShardRefusal {
                code: refusal.0,
                text: refusal.1.to_owned(),
            };
            assert_eq!(ShardRefusal::read(&refusal.told()), refusal);
        }
    }
}
