//! What happened, line by line.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::time::Instant;

/// A history as it is written. A clone is the same.
#[derive(Debug, Clone)]
pub struct Trace {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    lines: Vec<String>,
    step: usize,
    began: Option<Instant>,
    prints: bool,
}

impl Trace {
    /// Prints each line as well, if that is wanted.
    pub fn new(prints: bool) -> Trace {
        let inner = Inner {
            lines: Vec::new(),
            step: 0,
            began: None,
            prints,
        };
        Trace {
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    /// Time counts from here.
    pub fn begin(&self) {
        self.inner().began = Some(Instant::now());
    }

    /// The next step of the history begins.
    pub fn next_step(&self) {
        self.inner().step += 1;
    }

    /// Steps so far.
    pub fn step(&self) -> usize {
        self.inner().step
    }

    /// One more line.
    pub fn say(&self, what: impl Into<String>) {
        let mut inner = self.inner();
        let at = inner.began.map_or(0, |began| began.elapsed().as_millis());
        let line = format!("{:>4} {at:>7} ms  {}", inner.step, what.into());
        if inner.prints {
            eprintln!("{line}");
        }
        inner.lines.push(line);
    }

    /// The last so many lines.
    pub fn tail(&self, count: usize) -> String {
        let inner = self.inner();
        let from = inner.lines.len().saturating_sub(count);
        inner.lines[from..].join("\n")
    }

    /// The first lines that differ.
    pub fn differs(&self, other: &Trace) -> Option<(String, String)> {
        let (mine, theirs) = (self.inner().lines.clone(), other.inner().lines.clone());
        let longest = mine.len().max(theirs.len());
        let line = |lines: &[String], at: usize| lines.get(at).cloned().unwrap_or_default();
        (0..longest)
            .map(|at| (line(&mine, at), line(&theirs, at)))
            .find(|(mine, theirs)| mine != theirs)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }
}
