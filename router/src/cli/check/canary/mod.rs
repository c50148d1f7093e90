//! `weir check --live --canary`: the guarantees proved on scratch tables, beside each target on each shard.
//!
//! What is made is removed again, also after ^C, SIGTERM or an error: an interrupt ends the steps, never the removal. What
//! could not be removed is named.

mod scratch;
mod steps;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt as _, stream};
use tokio::signal::unix::{SignalKind, signal};

use super::facts::{AtReplica, TableFacts};

/// Shards tried at once.
const AT_ONCE_MAX: usize = 16;

/// The exit code of a process that a second signal ended at once, as a shell reports SIGINT.
const INTERRUPTED: i32 = 130;

/// What became of one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// It is as promised.
    Proved(String),
    /// It is not.
    Failed(String),
    /// It could not be tried, for this reason.
    NotTried(String),
}

impl Proof {
    /// In a word, and in more.
    pub fn words(&self) -> (&'static str, &str) {
        match self {
            Proof::Proved(how) => ("proved", how),
            Proof::Failed(why) => ("FAILED", why),
            Proof::NotTried(why) => ("not tried", why),
        }
    }

    /// Whether a promise was broken.
    pub fn is_failed(&self) -> bool {
        matches!(self, Proof::Failed(_))
    }
}

/// A step on one shard, or on one replica of it where each has its own batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The shard's name.
    pub shard: String,
    /// The replicas that it was tried on.
    pub replicas: Vec<String>,
    /// What was tried.
    pub step: &'static str,
    /// What became of it.
    pub proof: Proof,
}

/// Set by a signal; steps look at it.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Whether nothing new is to be begun.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Listens for ^C and SIGTERM from now on. A second one ends the process where it stands.
    pub fn listen() -> std::io::Result<Interrupt> {
        let interrupt = Interrupt::default();
        let (mut int, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let set = Arc::clone(&interrupt.0);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = int.recv() => {}
                    _ = term.recv() => {}
                }
                if set.swap(true, Ordering::Relaxed) {
                    eprintln!(
                        "weir: ended at once; tables named {}… may be left",
                        scratch::PREFIX
                    );
                    std::process::exit(INTERRUPTED);
                }
                eprintln!("weir: removing what the canary made; a second signal ends at once and leaves it");
            }
        });
        Ok(interrupt)
    }
}

/// Tries everything on every shard of the table.
pub async fn run(of: &TableFacts<'_>, interrupt: &Interrupt) -> Vec<Outcome> {
    let groups = groups(of);
    let tried = groups.into_iter().map(|group| steps::run(of, group, interrupt));
    let outcomes: Vec<Vec<Outcome>> = stream::iter(tried).buffered(AT_ONCE_MAX).collect().await;
    outcomes.into_iter().flatten().collect()
}

/// Replicas that take a batch in each other's place: those of a shard, or each alone where each has its own batches.
fn groups<'f>(of: &'f TableFacts<'f>) -> Vec<Vec<&'f AtReplica<'f>>> {
    let mut groups = Vec::new();
    for shard in &of.cluster.shards {
        let replicas = of.replicas.iter().filter(|at| at.shard.name == shard.name);
        match shard.internal_replication {
            true => groups.push(replicas.collect()),
            false => groups.extend(replicas.map(|at| vec![at])),
        }
    }
    groups
}
