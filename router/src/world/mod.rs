//! The seeded world: the real spool and the real senders among simulated disks, shards and clients, hundreds of histories of
//! it, each from one number.
//!
//! ```text
//!   clients ──► spool (SimDisk, stepped) ──► senders ──► Wire ──► servers that die, stall, end late, refuse, lie
//!      │             ▲                                              │
//!      │         kill, power loss, full disk, failed sync           │
//!      ▼                                                            ▼
//!   what each client was told ───────────► check ◄─────────── what each server has, what the spool still holds
//! ```
//!
//! Real are: journal, cuts, recovery, states (`spool`), senders, verdicts, routes, identities, health and its checks. Simulated
//! are: the disk, time (tokio's, paused), chance, the replicas' answers, and clients, who hand rows to the spool as
//! `insert` does. Everything runs on one thread, so a seed is a history.
//!
//! - [`plan`] is what a seed draws first: the cluster, its tables, how bad the world is.
//! - [`shards`] is what servers are: rows, blocks they remember, moods. [`wire`] is how they answer, and how not.
//! - [`client`] inserts, waits, and with a token asks again when nobody answered. [`life`] is one process of the router.
//! - [`history`] has things happen, heals everything, and waits until nothing moves. [`check`] compares.
//!
//! What is checked at the end: a row of an accepted INSERT is on its own shard once (at least once where the target recognises no
//! repeat, and only after an attempt without an outcome), or set aside in the spool for a reason that the world gave. An INSERT
//! without an answer is there wholly or not at all, one that was refused not at all, a token's rows once. No row is on another
//! shard. Everything that can be delivered is, in bounded time.
//!
//! `WEIR_WORLD_SEEDS=n` runs n seeds, `WEIR_WORLD_FROM=n` begins at that one; `WEIR_WORLD_SEED=n` replays one and prints what
//! happens.

mod check;
mod client;
mod dice;
mod history;
mod life;
mod plan;
mod shards;
mod trace;
mod wire;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use trace::Trace;

/// Seeds that `make test` runs.
const SEEDS: u64 = 256;

/// Seeds that have found something, each with a word on what.
const REGRESSIONS: &[(u64, &str)] = &[
    (
        1497,
        "a server at another's address was written to: it had no table when it was to show who it is",
    ),
    (
        2,
        "rows were blamed for a refusal that had passed when the statement alone was asked for",
    ),
    (5, "a refused login was taken for the rows' fault, twice"),
    (
        58,
        "a client was told that its INSERT is kept before the end of its wait was on disk, and a restart undid it",
    ),
    (
        1610,
        "servers changed addresses while no request was under way, and one was taken for the other by what was kept",
    ),
    (
        2489,
        "what was being written in broken/ when the power failed stayed there for good, under a batch's ending",
    ),
    (
        53150,
        "pieces that a failed recut had removed came back when the power failed, and were held beside the held batch",
    ),
    (
        54212,
        "a server that was another's for a while, and came back unmissed, was known by the other's answer for good",
    ),
];

/// After so many failures a run is over.
const FAILURES_MAX: usize = 10;

/// Lines of the trace that a failure shows.
const TAIL: usize = 60;

/// One history; its trace.
fn run(seed: u64) -> Trace {
    let trace = Trace::new(number("WEIR_WORLD_SEED").is_some());
    let of_history = trace.clone();
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(history::live(seed, of_history));
    }));
    if let Err(panic) = ended {
        eprintln!(
            "seed {seed} failed at step {}; the end of its history:\n{}\nreplay: WEIR_WORLD_SEED={seed} cargo test -p router --lib world",
            trace.step(),
            trace.tail(TAIL)
        );
        resume_unwind(panic);
    }
    trace
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn no_seed_of_the_world_loses_doubles_or_misplaces_a_row() {
    if let Some(seed) = number("WEIR_WORLD_SEED") {
        run(seed);
        return;
    }
    let first = number("WEIR_WORLD_FROM").unwrap_or(0);
    let count = number("WEIR_WORLD_SEEDS").unwrap_or(SEEDS);
    let fails = |seed: &u64| catch_unwind(|| run(*seed)).is_err();
    let failed: Vec<_> = (first..first + count).filter(fails).take(FAILURES_MAX).collect();
    assert_eq!(failed, Vec::<u64>::new(), "seeds that fail, the first of them");
}

#[test]
fn seeds_that_found_something_pass() {
    for (seed, found) in REGRESSIONS {
        println!("seed {seed}: {found}");
        run(*seed);
    }
}

#[test]
fn a_seed_is_a_history() {
    for seed in [1, 2, 3] {
        let (once, again) = (run(seed), run(seed));
        if let Some((line, other)) = once.differs(&again) {
            panic!("seed {seed} has two histories:\n{line}\n{other}");
        }
    }
}
