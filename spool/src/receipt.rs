//! What became of an accepted INSERT, and the wait for it.
//!
//! Nothing is stored for it: where rows are follows from the state, from what waiting and broken batches say of themselves, and
//! from the receipt itself. An INSERT that was accepted, and of which nothing waits, is held or lies in broken/, is delivered.
//! So is, as far as anybody can tell, one whose rows an operator dropped while nobody followed it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::error::{FileError, QueueError};
use crate::event::{Seq, Verdict};
use crate::files::Files;
use crate::model::{Destination, InsertId};
use crate::names::{error_name, seq_of};
use crate::own::read_small;
use crate::queue::Spool;
use crate::queue::send::read_batch_file;
use crate::shared::Shared;

/// Files of a destination's sent/ that are looked at for one receipt: more than an INSERT's rows lie in, mostly.
const SENT_LOOKS_MAX: usize = 64;

/// A file that was cut so much later than an INSERT was accepted hardly holds its rows.
const SENT_LOOK_MS: u64 = 600_000;

/// How far an accepted INSERT has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Its name.
    pub insert: InsertId,
    /// Milliseconds since 1970.
    pub accepted_at_ms: u64,
    /// Rows of all its shares.
    pub rows: u64,
    /// Their raw bytes.
    pub raw_bytes: u64,
    /// Where its rows go: every place that does not have all of them yet, and those that do as far as they are known.
    pub shares: Vec<ReceiptShare>,
}

/// How far the rows for one destination have come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptShare {
    /// Which one.
    pub destination: Destination,
    /// The worst that is to be said of them.
    pub state: ReceiptState,
    /// Why, or what they wait for.
    pub reason: Option<String>,
    /// Some of them are still on their way, with nobody's help.
    pub goes_on: bool,
}

/// Where rows are on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReceiptState {
    /// On their shard.
    Delivered,
    /// Durable, and not tried yet.
    Accepted,
    /// In a batch that is being sent, or was tried and is tried again.
    Sending,
    /// Their batch, or everything for their destination, is set aside.
    Held,
    /// Their shard cannot take them: they are in broken/, or were dropped from there.
    Broken,
}

impl Receipt {
    /// The worst of all its shares.
    pub fn state(&self) -> ReceiptState {
        let states = self.shares.iter().map(|share| share.state);
        states.max().unwrap_or(ReceiptState::Delivered)
    }
}

/// An INSERT that is followed. Dropping it changes nothing but that.
#[derive(Debug)]
pub struct Watching {
    shared: Arc<Shared>,
    insert: InsertId,
}

impl Watching {
    /// Of an INSERT whose commit is about to be applied.
    pub(crate) fn begin(shared: &Arc<Shared>, insert: InsertId) -> Watching {
        shared.state().watches.announce(insert);
        Watching::of_attended(shared, insert)
    }

    /// Of an INSERT that is attended already.
    fn of_attended(shared: &Arc<Shared>, insert: InsertId) -> Watching {
        Watching {
            shared: Arc::clone(shared),
            insert,
        }
    }

    /// How far it has come; none once it is undone, or while others still look for its rows.
    pub fn receipt(&self) -> Option<Receipt> {
        self.shared.state().receipt(self.insert)
    }

    /// Its rows are cut at once, and not when a batch is full or its time has come.
    pub fn hurry(&self) {
        self.shared.state().hurry(self.insert);
        self.shared.work.ring();
    }

    /// Waits until `judge` finds something; it is asked now and whenever something has happened. None when the spool is closed,
    /// or the INSERT is undone.
    pub async fn until<T>(&self, mut judge: impl FnMut(&Receipt) -> Option<T>) -> Option<T> {
        let bell = self.shared.watch_bell(self.insert);
        loop {
            // Listening begins before looking, so that what comes in between is heard.
            let ring = bell.notified();
            tokio::pin!(ring);
            ring.as_mut().enable();
            let receipt = self.receipt();
            if let Some(found) = receipt.as_ref().and_then(&mut judge) {
                return Some(found);
            }
            let is_known = receipt.is_some() || !self.shared.state().watches.is_whole(self.insert);
            if !is_known || self.shared.is_closed() {
                return None;
            }
            ring.await;
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.shared.leave_watch(self.insert);
    }
}

impl Spool {
    /// Follows an accepted INSERT; none for one that is not known (any more). One that was not followed from its commit on is
    /// looked for in the files of its table's batches, which takes as long as reading the ends of all that wait.
    pub async fn watch(&self, insert: InsertId, table: Option<&str>) -> Result<Option<Watching>, QueueError> {
        let shared = self.shared();
        let is_whole = {
            let mut state = shared.state();
            match (
                state.watches.attend(insert),
                state.window.receipts.find(insert).copied(),
            ) {
                (Some(is_whole), _) => is_whole,
                (None, Some(known)) => {
                    state.watch_again(&known);
                    false
                }
                (None, None) => return Ok(None),
            }
        };
        let watching = Watching::of_attended(shared, insert);
        if !is_whole {
            self.search(insert, table).await?;
        }
        Ok(Some(watching))
    }

    async fn search(&self, insert: InsertId, table: Option<&str>) -> Result<(), QueueError> {
        // Before the directories are read, rows in broken/ of a destination that nothing else names would pass for delivered.
        self.check_swept().await?;
        let shared = Arc::clone(self.shared());
        let _one_at_a_time = self.shared().searching.lock().await;
        if shared.state().watches.is_whole(insert) {
            return Ok(());
        }
        let table = table.map(str::to_owned);
        let search = move || search(&shared, insert, table.as_deref());
        match tokio::task::spawn_blocking(search).await {
            Ok(searched) => Ok(searched?),
            Err(error) => Err(QueueError::Poisoned(error.to_string())),
        }
    }

    /// What became of an INSERT; none for a receipt that is not known (any more): see [`Spool::receipts_since_ms`].
    pub async fn receipt(&self, insert: InsertId) -> Result<Option<Receipt>, QueueError> {
        let Some(watching) = self.watch(insert, None).await? else {
            return Ok(None);
        };
        let Some(mut receipt) = watching.receipt() else {
            return Ok(None);
        };
        let shared = Arc::clone(self.shared());
        let looked = tokio::task::spawn_blocking(move || {
            add_sent(&shared, &mut receipt);
            receipt
        });
        looked
            .await
            .map(Some)
            .map_err(|error| QueueError::Poisoned(error.to_string()))
    }

    /// When the oldest INSERT whose receipt is known was accepted, milliseconds since 1970.
    pub fn receipts_since_ms(&self) -> Option<u64> {
        self.shared().state().window.receipts.since_ms()
    }
}

// === what files say ===

/// Tells the watch of an INSERT which batches have rows of it.
fn search(shared: &Shared, insert: InsertId, table: Option<&str>) -> Result<(), FileError> {
    for to in destinations(shared) {
        if table.is_none_or(|table| table == to.table) {
            search_waiting(shared, insert, &to);
            search_leaving(shared, insert, &to);
            search_broken(shared, insert, &to)?;
        }
    }
    shared.state().watches.whole(insert);
    shared.moved(insert);
    Ok(())
}

fn destinations(shared: &Shared) -> Vec<Destination> {
    shared.state().queues().map(|(to, _)| to.clone()).collect()
}

/// Batches in line and aside. One that is gone when it is looked at may have been taken apart, or joined with others: then what
/// has come since is looked at too.
fn search_waiting(shared: &Shared, insert: InsertId, to: &Destination) {
    let mut seen = BTreeSet::new();
    loop {
        let waiting = waiting_at(shared, to);
        let mut is_one_gone = false;
        for seq in waiting {
            if !seen.insert(seq) {
                continue;
            }
            let has_rows = match holds_rows(&shared.files, &shared.files.batch(to, seq), insert) {
                Ok(has_rows) => has_rows,
                // It waits and cannot be read: nobody can say that these rows are not in it.
                Err(_) if shared.state().queue(to).holds(seq) => true,
                Err(_) => {
                    is_one_gone = true;
                    false
                }
            };
            if has_rows {
                is_one_gone |= !shared.state().watch_found(insert, to, seq);
            }
        }
        if !is_one_gone {
            return;
        }
    }
}

fn waiting_at(shared: &Shared, to: &Destination) -> Vec<Seq> {
    let state = shared.state();
    let queue = state.get_queue(to).into_iter();
    queue
        .flat_map(|queue| queue.line.keys().chain(queue.aside.keys()))
        .copied()
        .collect()
}

/// Refused batches on their way into broken/; what has arrived there is found there.
fn search_leaving(shared: &Shared, insert: InsertId, to: &Destination) {
    let leaving: Vec<(Seq, String)> = {
        let state = shared.state();
        let leaving = state.get_queue(to).into_iter().flat_map(|queue| &queue.leaving);
        leaving
            .filter_map(|(seq, verdict)| match verdict {
                Verdict::Broken { error } => Some((*seq, error.clone())),
                _ => None,
            })
            .collect()
    };
    for (seq, error) in leaving {
        if holds_rows(&shared.files, &shared.files.batch(to, seq), insert).is_ok_and(|holds| holds) {
            shared.state().watches.found_ended(insert, to, seq, error);
        }
    }
}

fn search_broken(shared: &Shared, insert: InsertId, to: &Destination) -> Result<(), FileError> {
    let files = &shared.files;
    let broken = files.layout.broken(to);
    for (seq, path) in batches_in(files, &broken)? {
        if holds_rows(files, &path, insert).is_ok_and(|holds| holds) {
            let words = read_small(files, &broken.join(error_name(seq))).unwrap_or_default();
            let words = String::from_utf8_lossy(&words).trim_end().to_owned();
            shared.state().watches.found_ended(insert, to, seq, words);
        }
    }
    Ok(())
}

/// The batch files of a directory by number; none where it is not there.
fn batches_in(files: &Files, directory: &Path) -> Result<Vec<(Seq, std::path::PathBuf)>, FileError> {
    if !files.exists(directory)? {
        return Ok(Vec::new());
    }
    let entries = files.list(directory)?;
    let batches = entries
        .iter()
        .filter_map(|entry| Some((seq_of(&entry.name)?, directory.join(&entry.name))));
    let mut batches: Vec<_> = batches.collect();
    batches.sort_unstable();
    Ok(batches)
}

fn holds_rows(files: &Files, path: &Path, insert: InsertId) -> Result<bool, FileError> {
    let batch = read_batch_file(files, path)?;
    Ok(batch.segments.iter().any(|segment| segment.insert == insert))
}

/// Names delivered places that the watch does not, as long as sent/ has their files. What cannot be read is not named.
fn add_sent(shared: &Shared, receipt: &mut Receipt) {
    for to in destinations(shared) {
        let is_named = receipt.shares.iter().any(|share| share.destination == to);
        if !is_named && was_sent(&shared.files, &to, receipt).is_ok_and(|sent| sent) {
            receipt.shares.push(ReceiptShare {
                destination: to,
                state: ReceiptState::Delivered,
                reason: None,
                goes_on: false,
            });
        }
    }
}

/// Files of sent/ lie in the order in which they were cut, so that the first that may hold the rows is found by halving.
fn was_sent(files: &Files, to: &Destination, receipt: &Receipt) -> Result<bool, FileError> {
    let sent = batches_in(files, &files.layout.sent(to))?;
    let cut_at = |path: &Path| read_batch_file(files, path).map_or(0, |batch| batch.created_at_ms);
    let first = sent.partition_point(|(_, path)| cut_at(path) < receipt.accepted_at_ms);
    for (_, path) in sent[first..].iter().take(SENT_LOOKS_MAX) {
        let batch = read_batch_file(files, path)?;
        if batch
            .segments
            .iter()
            .any(|segment| segment.insert == receipt.insert)
        {
            return Ok(true);
        }
        if batch.created_at_ms > receipt.accepted_at_ms.saturating_add(SENT_LOOK_MS) {
            break;
        }
    }
    Ok(false)
}
