//! The torture: a router that is killed (`kill -9`) again and again at moments that nobody chose, under clients that do not stop,
//! over shards that fail, hang and cut connections.
//!
//! # What runs
//! One long-lived set of servers ([`bed`]): ClickHouse 18.16 with ReplicatedMergeTree and a real ZooKeeper, two replicas a
//! shard; the engine of 26.x with insert_deduplication_token. One router serves five distributed tables over them, with and
//! without a local replica, with internal_replication on and off. Clients ([`clients`]) insert 20 rows at a time, and
//! 50 MB now and then.
//!
//! # A round
//! Faults are ordered at some servers ([`faults`]), some time goes by, the router is killed and started again; now and then it
//! is killed a second time while it still recovers. After the last round, and every [`CHECK_EVERY`], the faults end,
//! the clients pause, everything is delivered, and the ledger ([`ledger`]) is compared with what the shards hold.
//!
//! # What must hold
//! Acknowledged rows lost, rows twice, rows on a wrong shard, unacknowledged INSERTs delivered in part, refused INSERTs
//! delivered at all: none. A failure names the seed, the round and the INSERTs, and keeps the spool and the router's log.
//!
//! # How to run it
//! `make torture ROUNDS=500`; `make test` does a few rounds. `WEIR_TORTURE_SEED` repeats the choices of a run (faults, moments,
//! sizes; not the scheduler's). Half of the clients send an INSERT again, with its insert_deduplication_token, when its answer
//! was lost; the others never do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails"
)]

mod bed;
mod clients;
mod faults;
mod ledger;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use support::SplitMix;

use bed::Bed;
use clients::Clients;
use faults::Faults;
use ledger::Ledger;

/// Rounds between two checks: a failure is found near its cause, and draining does not take all the time.
const CHECK_EVERY: u64 = 20;

/// How long the router lives in a round, at most, in milliseconds.
const SHORT_MS: u64 = 3_500;
/// And in one of so many.
const LONG_ONE_IN: u64 = 8;
const LONG_MS: u64 = 15_000;

/// What a run is asked for by its environment.
#[derive(Debug, Clone, Copy)]
struct Order {
    rounds: u64,
    seed: u64,
}

impl Order {
    fn from_environment() -> Self {
        let number = |name: &str| {
            let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
            Some(
                value
                    .parse()
                    .unwrap_or_else(|_| panic!("{name}={value} is no number")),
            )
        };
        let since_1970 = std::time::UNIX_EPOCH.elapsed().expect("the clock is right");
        Self {
            rounds: number("WEIR_TORTURE_ROUNDS").unwrap_or(5),
            seed: number("WEIR_TORTURE_SEED").unwrap_or(since_1970.as_secs()),
        }
    }
}

#[test]
fn a_router_killed_at_any_moment_loses_nothing_halves_nothing_and_doubles_nothing() {
    let order = Order::from_environment();
    eprintln!("torture: {order:?}");
    let mut bed = Bed::start();
    let ledger = std::sync::Arc::new(Ledger::default());
    let clients = Clients::start(&bed, &ledger, order);
    let mut torture = Torture {
        order,
        round: 0,
        faults: Faults::new(order.seed),
        random: SplitMix::new(order.seed),
        began: Instant::now(),
        kills: 0,
    };
    let rounds = AssertUnwindSafe(|| torture.all_rounds(&mut bed, &clients, &ledger));
    if let Err(trouble) = catch_unwind(rounds) {
        let kept = keep(&mut bed, order.seed, torture.round);
        eprintln!(
            "torture: seed {}, round {} of {}, {} kills: {}\nkept: {}",
            order.seed,
            torture.round,
            order.rounds,
            torture.kills,
            ledger.summary(),
            kept.display()
        );
        resume_unwind(trouble);
    }
}

struct Torture {
    order: Order,
    round: u64,
    faults: Faults,
    random: SplitMix,
    began: Instant,
    kills: u64,
}

impl Torture {
    fn all_rounds(&mut self, bed: &mut Bed, clients: &Clients, ledger: &Ledger) {
        while self.round < self.order.rounds {
            self.round += 1;
            self.one_round(bed);
            if self.round.is_multiple_of(CHECK_EVERY) || self.round == self.order.rounds {
                self.check(bed, clients, ledger);
            }
        }
    }

    /// Faults, a while, and the kill; the router is ready again when it ends.
    fn one_round(&mut self, bed: &mut Bed) {
        self.faults.order(bed);
        // Long enough now and then for a large INSERT to be taken and sent.
        let is_long = self.random.below(LONG_ONE_IN) == 0;
        pause(self.random.below(if is_long { LONG_MS } else { SHORT_MS }));
        self.kill(bed);
        if self.random.below(6) == 0 {
            pause(self.random.below(400));
            self.kill(bed);
        }
        bed.weir.wait_until_ready();
    }

    fn kill(&mut self, bed: &mut Bed) {
        self.kills += 1;
        bed.weir.launch();
    }

    /// Everything is delivered, and each row is where the ledger says.
    fn check(&mut self, bed: &Bed, clients: &Clients, ledger: &Ledger) {
        self.faults.end(bed);
        clients.pause();
        if let Err(trouble) = bed.wait_until_drained().and_then(|()| ledger.check(bed)) {
            panic!("{trouble}");
        }
        eprintln!(
            "torture: round {}, {} kills, {} s: {}; 0 lost, 0 twice, 0 misplaced, 0 INSERTs in part",
            self.round,
            self.kills,
            self.began.elapsed().as_secs(),
            ledger.summary()
        );
        clients.go_on();
    }
}

/// Copies the router's directory (spool, log, configuration) to where the next run does not remove it.
fn keep(bed: &mut Bed, seed: u64, round: u64) -> PathBuf {
    bed.weir.kill9();
    let kept = std::env::temp_dir().join(format!("weir-torture-{seed}-{round}"));
    let copied = Command::new("cp")
        .arg("-a")
        .arg(bed.weir.home())
        .arg(&kept)
        .status();
    if !copied.is_ok_and(|status| status.success()) {
        eprintln!("the router's directory could not be copied to {}", kept.display());
    }
    kept
}

/// Lets time go by: when a client inserts and when the router dies are moments, not conditions.
#[allow(clippy::disallowed_methods, reason = "there is no condition to wait for")]
fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}
