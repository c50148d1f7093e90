//! Answers that clients need before they insert, kept for while no replica answers.
//!
//! Every client asks a few questions before its first INSERT: the version, the time zone, settings, a table's
//! columns. With all replicas down they would end its attempt although its rows could be accepted. So the answers
//! are kept: asked ahead under the cluster's own user for every client that is known ([`known`]), and for every
//! other shape ([`shape`]) once some client's question of it was answered by a replica.
//!
//! - **Only while down.** A replica that answers is always asked; a kept answer is served when none does, and says
//!   so: `X-Weir-Cached: <its age in seconds>`.
//! - **Only right bytes.** What was asked by one shape is never served to another; what depends on the asker (name,
//!   database) is part of the shape. Answers are kept plain; `compress=1` and `Accept-Encoding` are done when
//!   they are served ([`serve`]).
//! - **Only to who may.** The front has authenticated the asker; questions about a table are answered to those
//!   who may insert into it. Nothing of one client's answer is given to another: Weir asks itself.
//! - **Bounded**: [`ENTRIES_MAX`], [`BYTES_MAX`], [`ENTRY_BYTES_MAX`]; those that nobody asked for go first.
//! - **Across restarts**: `<spool>/meta/answers/`, one file an answer ([`files`]), written by the one task that
//!   fills ([`fill`]).

pub mod files;
pub mod fill;
pub mod grammar;
pub mod instead;
pub mod known;
pub mod serve;
pub mod shape;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::HeaderMap;
use tokio::sync::mpsc;

pub use shape::{Asks, Shape};

/// Answers kept: with nine shapes a table, those of 400 tables.
pub const ENTRIES_MAX: usize = 4096;

/// Bytes of all answers with their questions: a twentieth of the default memory_limit.
pub const BYTES_MAX: usize = 8 << 20;

/// Bytes of one answer: `system.settings` of 26.9 has 60 KB, a DESCRIBE of a thousand columns 50 KB.
pub const ENTRY_BYTES_MAX: usize = 1 << 20;

/// What an answer costs beside its bytes: its place in the table, names, headers.
const ENTRY_OVERHEAD: usize = 512;

/// Questions that wait to be asked for the cache; more are forgotten, to be learned when they come again.
const WANTED_MAX: usize = 256;

/// A question to a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The cluster's name.
    pub cluster: String,
    /// What is asked.
    pub shape: Shape,
}

/// An answer of a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Content-Type and ClickHouse's own, but for the query's id.
    pub headers: HeaderMap,
    /// The plain body.
    pub body: Bytes,
    /// When the replica gave it, milliseconds since 1970.
    pub learned_ms: u64,
}

#[derive(Debug)]
struct Entry {
    kept: Kept,
    /// When a client last asked for it, or 0.
    asked_ms: u64,
}

/// The cache.
#[derive(Debug)]
pub struct Answers {
    files: files::AnswerFiles,
    state: Mutex<State>,
    wanted: mpsc::Sender<Key>,
    /// Taken by the task that fills.
    to_fill: Mutex<Option<mpsc::Receiver<Key>>>,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<Key, Entry>,
    bytes: usize,
}

impl Answers {
    /// The answers that a spool's `meta/` holds; files that cannot be read are no answers.
    pub fn open(files: files::AnswerFiles) -> Self {
        let (wanted, to_fill) = mpsc::channel(WANTED_MAX);
        let mut state = State::default();
        for (key, kept) in files.read_all(ENTRIES_MAX) {
            for gone in state.keep(key, kept, None) {
                // A file that cannot be removed is met again at the next start.
                let _ = files.remove(&gone);
            }
        }
        Self {
            files,
            state: Mutex::new(state),
            wanted,
            to_fill: Mutex::new(Some(to_fill)),
        }
    }

    /// The kept answer, if there is one.
    pub fn find(&self, key: &Key) -> Option<Kept> {
        self.state().entries.get(key).map(|entry| entry.kept.clone())
    }

    /// A replica has answered this question of a client: it is worth keeping.
    pub fn asked(&self, key: &Key, now_ms: u64) {
        let known = match self.state().entries.get_mut(key) {
            Some(entry) => {
                entry.asked_ms = now_ms;
                true
            }
            None => false,
        };
        if !known {
            // Full: it is learned when it is asked again.
            let _ = self.wanted.try_send(key.clone());
        }
    }

    /// When an answer was learned; none if there is none.
    fn learned_ms(&self, key: &Key) -> Option<u64> {
        self.state().entries.get(key).map(|entry| entry.kept.learned_ms)
    }

    /// Everything that is kept.
    fn keys(&self) -> Vec<Key> {
        self.state().entries.keys().cloned().collect()
    }

    /// Keeps an answer, `asked_ms` telling when a client wanted it. Given back are the keys of those that are not kept
    /// now: others that had to go, or this one.
    fn keep(&self, key: Key, kept: Kept, asked_ms: Option<u64>) -> Vec<Key> {
        self.state().keep(key, kept, asked_ms)
    }

    fn forget(&self, key: &Key) {
        self.state().forget(key);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn keep(&mut self, key: Key, kept: Kept, asked_ms: Option<u64>) -> Vec<Key> {
        let before = self.entries.get(&key).map_or(0, |entry| entry.asked_ms);
        let asked_ms = asked_ms.unwrap_or(before);
        self.forget(&key);
        let bytes = weight(&key, &kept);
        // What nobody asked for pushes nothing out: it would only be asked anew, round after round.
        if asked_ms == 0 && (self.entries.len() >= ENTRIES_MAX || self.bytes + bytes > BYTES_MAX) {
            return vec![key];
        }
        self.bytes += bytes;
        self.entries.insert(key, Entry { kept, asked_ms });
        let mut gone = Vec::new();
        while self.entries.len() > ENTRIES_MAX || self.bytes > BYTES_MAX {
            let Some(key) = self.least_wanted() else { break };
            self.forget(&key);
            gone.push(key);
        }
        gone
    }

    /// What nobody asked for, then what was not asked for longest; the oldest of those.
    fn least_wanted(&self) -> Option<Key> {
        let order = |entry: &Entry| (entry.asked_ms, entry.kept.learned_ms);
        self.entries
            .iter()
            .min_by_key(|(_, entry)| order(entry))
            .map(|(key, _)| key.clone())
    }

    fn forget(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= weight(key, &entry.kept);
        }
    }
}

fn weight(key: &Key, kept: &Kept) -> usize {
    let statement = match &key.shape.asks {
        Asks::Server(text) => text.len(),
        Asks::Describe(table) => table.database.len() + table.table.len(),
        Asks::About(table, text) => table.database.len() + table.table.len() + text.len(),
    };
    let settings: usize = key.shape.settings.iter().map(|(n, v)| n.len() + v.len()).sum();
    ENTRY_OVERHEAD + statement + settings + kept.body.len()
}

/// The name that a user's questions have on the replicas: `currentUser()` is that.
pub fn name_on_replicas(user: &config::User) -> &str {
    user.reads_as
        .as_ref()
        .map_or(&user.name, |reads_as| &reads_as.user)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> Key {
        Key {
            cluster: "main".into(),
            shape: Shape {
                asks: Asks::Server(format!("SELECT {number}")),
                format: "TabSeparated".into(),
                settings: Vec::new(),
            },
        }
    }

    fn kept(bytes: usize, learned_ms: u64) -> Kept {
        Kept {
            headers: HeaderMap::new(),
            body: vec![b'x'; bytes].into(),
            learned_ms,
        }
    }

    fn empty() -> (tempfile::TempDir, Answers) {
        let directory = tempfile::tempdir().unwrap();
        let answers = Answers::open(files::AnswerFiles::below(directory.path()));
        (directory, answers)
    }

    #[test]
    fn there_are_never_more_answers_than_the_limit_and_those_nobody_asked_for_go_first() {
        let (_directory, answers) = empty();
        answers.keep(key(0), kept(1, 0), Some(5));
        for number in 1..ENTRIES_MAX {
            assert!(answers.keep(key(number), kept(1, number as u64), None).is_empty());
        }
        let refused = answers.keep(key(ENTRIES_MAX), kept(1, 7), None);
        assert_eq!(refused, [key(ENTRIES_MAX)], "nobody asked for it");
        assert_eq!(answers.keep(key(ENTRIES_MAX), kept(1, 7), Some(9)), [key(1)]);
        assert_eq!(answers.keys().len(), ENTRIES_MAX);
        assert!(answers.find(&key(0)).is_some(), "it was asked for");
        assert!(
            answers.find(&key(1)).is_none(),
            "the oldest that nobody asked for"
        );
    }

    #[test]
    fn there_are_never_more_bytes_than_the_limit() {
        let (_directory, answers) = empty();
        for number in 0..20 {
            answers.keep(
                key(number),
                kept(ENTRY_BYTES_MAX, number as u64),
                Some(1 + number as u64),
            );
            assert!(answers.state().bytes <= BYTES_MAX);
        }
        assert!(answers.find(&key(19)).is_some() && answers.find(&key(0)).is_none());
        for number in 0..20 {
            answers.forget(&key(number));
        }
        assert_eq!(answers.state().bytes, 0);
    }

    #[test]
    fn a_new_answer_takes_the_place_of_the_old_one_and_keeps_its_worth() {
        let (_directory, answers) = empty();
        answers.keep(key(1), kept(10, 1), None);
        answers.asked(&key(1), 7);
        answers.keep(key(1), kept(20, 2), None);
        let state = answers.state();
        assert_eq!((state.entries.len(), state.entries[&key(1)].asked_ms), (1, 7));
        assert_eq!(state.bytes, weight(&key(1), &kept(20, 2)));
    }

    #[test]
    fn an_unknown_question_is_wanted_and_a_known_one_is_not() {
        let (_directory, answers) = empty();
        answers.keep(key(1), kept(1, 1), None);
        answers.asked(&key(1), 2);
        answers.asked(&key(2), 2);
        let mut wanted = answers.to_fill.lock().unwrap().take().unwrap();
        assert_eq!(wanted.try_recv().unwrap(), key(2));
        assert!(wanted.try_recv().is_err());
    }
}
