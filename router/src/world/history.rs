//! One history: things happen, all is healed, nothing moves any more, and it is looked at.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use spool::sim::{Op, SimDisk, simulate};
use tokio::time::sleep;

use super::check;
use super::client::Insert;
use super::dice::Dice;
use super::life::Life;
use super::plan::{Plan, TABLES};
use super::shards::{Mood, Row, Shards};
use super::trace::Trace;
use crate::identity::Identities;

/// What can be delivered is, so long after all was healed.
const PATIENCE: Duration = Duration::from_secs(180);

/// A server that left its address for another's was away for so long at least that checks have seen it.
const AWAY: Duration = Duration::from_secs(15);

/// What happens in one step.
#[derive(Debug, Clone, Copy)]
enum Event {
    Insert,
    Death,
    Mood(Mood),
    Kill,
    PowerLoss,
    Restart,
    BadDisk,
    Swap,
    Rest,
}

struct History {
    dice: Dice,
    plan: Plan,
    trace: Trace,
    shards: Shards,
    identities: Identities,
    /// None only within a step.
    life: Option<Life>,
    inserts: Vec<Arc<Insert>>,
    rows: u64,
}

/// Lives through the history of a seed.
pub async fn live(seed: u64, trace: Trace) {
    simulate(seed);
    trace.begin();
    let mut dice = Dice::new(seed);
    let plan = Plan::draw(&mut dice);
    trace.say(format!("{plan:?}"));
    let shards = Shards::new(&plan, Dice::new(dice.seed()), trace.clone());
    let identities = Identities::simulated();
    let life = Life::start(SimDisk::default(), &shards, &identities);
    let mut history = History {
        dice,
        plan,
        trace,
        shards,
        identities,
        life: Some(life),
        inserts: Vec::new(),
        rows: 0,
    };
    for _ in 0..history.plan.steps {
        history.trace.next_step();
        history.step().await;
    }
    history.trace.next_step();
    history.heal().await;
    history.settle().await;
    let disk = history.life.take().unwrap().stop().await;
    check::all(&history.shards, &history.inserts, &disk);
}

impl History {
    async fn step(&mut self) {
        match self.draw() {
            Event::Insert => self.insert(),
            Event::Death => self.death(),
            Event::Mood(mood) => self.mood(mood),
            Event::Kill => self.kill(false),
            Event::PowerLoss => self.kill(true),
            Event::Restart => self.restart().await,
            Event::BadDisk => self.bad_disk(),
            Event::Swap => self.swap().await,
            Event::Rest => sleep(self.dice.millis(1000..20_000)).await,
        }
        let pause = self.dice.millis(0..400);
        sleep(pause).await;
        self.end_if_poisoned();
    }

    fn draw(&mut self) -> Event {
        let mood = self.dice.pick(&[Mood::NoLogin, Mood::NoTable, Mood::ReadOnly]);
        match self.dice.number(0..40) {
            0..20 => Event::Insert,
            20..23 => Event::Death,
            23..26 => Event::Mood(mood),
            26 | 27 => Event::Kill,
            28 | 29 => Event::PowerLoss,
            30 => Event::Restart,
            31 | 32 if self.plan.bad_disk => Event::BadDisk,
            33 => Event::Swap,
            _ => Event::Rest,
        }
    }

    // === clients ===

    fn insert(&mut self) {
        let number = self.inserts.len();
        let table = self.dice.number(0..TABLES.len());
        let is_bad = self.dice.chance(0.1);
        let count = self.dice.number(1..7);
        let bad_one = is_bad.then(|| self.dice.number(0..count));
        let rows = (0..count).map(|at| {
            self.rows += 1;
            let shard = self.dice.number(0..self.plan.shards);
            Row::new(self.rows, table, shard, Some(at) == bad_one)
        });
        let rows: Vec<_> = rows.collect();
        let token = self.dice.chance(0.5).then(|| format!("client {number}"));
        let probes = self.dice.chance(0.2);
        let what = if is_bad { "bad rows" } else { "rows" };
        self.trace.say(format!(
            "client: INSERT {number} of {count} {what} into {}{}{}, from row {}",
            TABLES[table],
            if token.is_some() { ", with a token" } else { "" },
            if probes { ", probing" } else { "" },
            rows[0].0
        ));
        self.inserts.push(Arc::new(Insert {
            number,
            table,
            rows,
            token,
            probes,
            told: Mutex::default(),
        }));
        self.send(number);
        // A client that was in a hurry sends it twice at once.
        if self.inserts[number].token.is_some() && !is_bad && self.dice.chance(0.1) {
            self.send(number);
        }
    }

    fn send(&mut self, number: usize) {
        let insert = self.inserts[number].clone();
        let shards = self.shards.clone();
        let life = self.life.as_mut().unwrap();
        let app = life.app.clone();
        life.run(insert.send(app, shards));
    }

    /// Whoever got no answer and has a token asks again.
    fn ask_again(&mut self) {
        for number in 0..self.inserts.len() {
            let insert = &self.inserts[number];
            if insert.is_asked_again() {
                self.trace.say(format!("client: INSERT {number} again"));
                self.send(number);
            }
        }
    }

    // === servers ===

    fn address(&mut self) -> String {
        let shard = self.dice.number(0..self.plan.shards);
        let replica = self.dice.number(0..self.plan.replicas);
        Plan::address(shard, replica)
    }

    fn death(&mut self) {
        let address = self.address();
        let back_after = self.dice.millis(100..40_000);
        let shards = self.shards.clone();
        let server = shards.lock().at(&address);
        die(&shards, server);
        tokio::spawn(async move {
            sleep(back_after).await;
            rise(&shards, server);
        });
    }

    fn mood(&mut self, mood: Mood) {
        let address = self.address();
        let lasts = self.dice.millis(100..30_000);
        let shards = self.shards.clone();
        let server = shards.lock().at(&address);
        feel(&shards, server, mood);
        tokio::spawn(async move {
            sleep(lasts).await;
            feel(&shards, server, Mood::Well);
        });
    }

    /// Two servers of different shards come back at each other's addresses, for a while.
    async fn swap(&mut self) {
        let (one, other) = (self.address(), self.address());
        let is_sensible = {
            let shards = self.shards.lock();
            let shard = |address: &str| shards.servers[shards.at(address)].shard;
            let is_met = |address: &str| shards.met.contains(address);
            shard(&one) != shard(&other) && is_met(&one) && is_met(&other)
        };
        if !is_sensible {
            return;
        }
        self.exchange(&one, &other).await;
        sleep(self.dice.millis(1000..20_000)).await;
        self.exchange(&one, &other).await;
    }

    async fn exchange(&mut self, one: &str, other: &str) {
        let both = {
            let shards = self.shards.lock();
            [shards.at(one), shards.at(other)]
        };
        both.iter().for_each(|server| die(&self.shards, *server));
        // Others may have them rise meanwhile; the addresses stay silent.
        for _ in 0..AWAY.as_secs() {
            sleep(Duration::from_secs(1)).await;
            both.iter().for_each(|server| {
                if self.shards.lock().servers[*server].is_up {
                    die(&self.shards, *server);
                }
            });
        }
        self.trace.say(format!("{one} and {other} change places"));
        self.shards.lock().swap(one, other);
        both.iter().for_each(|server| rise(&self.shards, *server));
    }

    // === the router ===

    fn kill(&mut self, power_goes: bool) {
        let disk = self.life.take().unwrap().kill();
        self.shards.lock().forget_answers();
        let disk = match power_goes {
            true => disk.after_power_loss(self.dice.seed()),
            false => disk.copy(),
        };
        self.trace.say(if power_goes {
            "router: the power goes"
        } else {
            "router: killed"
        });
        self.rise(disk);
    }

    async fn restart(&mut self) {
        self.trace.say("router: stops");
        let disk = self.life.take().unwrap().stop().await;
        self.rise(disk);
    }

    fn rise(&mut self, disk: SimDisk) {
        self.trace.say("router: starts");
        self.life = Some(Life::start(disk, &self.shards, &self.identities));
        self.ask_again();
    }

    fn end_if_poisoned(&mut self) {
        if self.life.as_ref().unwrap().is_poisoned() {
            self.trace.say("router: its journal has failed");
            let power_goes = self.dice.chance(0.5);
            self.kill(power_goes);
        }
    }

    fn bad_disk(&mut self) {
        let disk = &self.life.as_ref().unwrap().disk;
        let left = self.dice.number(0..12) as u64;
        let op = self.dice.pick(&[
            Op::CreateNew,
            Op::Rename,
            Op::Link,
            Op::Remove,
            Op::SyncDir,
            Op::Write,
            Op::Sync,
            Op::Allocate,
        ]);
        match self.dice.number(0..5) {
            0 => disk.lose_sync(left),
            1 => disk.set_capacity(Some(disk.bytes() + self.dice.number(0..6000))),
            2 => disk.set_capacity(None),
            3 => disk.fail_after(left, io::ErrorKind::Other),
            _ => disk.fail_once(op, left, io::ErrorKind::Other),
        }
        self.trace.say(format!("disk: trouble with {op:?} in {left}"));
    }

    // === the end ===

    /// Everything that the world did is undone.
    async fn heal(&mut self) {
        self.trace.say("all is healed");
        let count = {
            let mut shards = self.shards.lock();
            shards.is_healed = true;
            shards.servers.len()
        };
        for server in 0..count {
            rise(&self.shards, server);
            feel(&self.shards, server, Mood::Well);
        }
        if self.plan.bad_disk || self.dice.chance(0.3) {
            let power_goes = self.dice.chance(0.5);
            self.kill(power_goes);
        }
        // What was to happen late has happened, servers that were to rise have.
        sleep(Duration::from_secs(45)).await;
        self.ask_again();
    }

    /// Waits until nothing is on its way.
    async fn settle(&mut self) {
        let began = tokio::time::Instant::now();
        loop {
            let app = &self.life.as_ref().unwrap().app;
            let waiting: Vec<_> = app
                .spool
                .destinations()
                .into_iter()
                .filter(|status| status.uncut.rows + status.waiting.rows > 0 || status.sending)
                .collect();
            let is_answered = self.inserts.iter().all(|insert| !insert.is_asked_again());
            if waiting.is_empty() && is_answered {
                return;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "rows are stuck, or a client has no answer: {waiting:#?}"
            );
            sleep(Duration::from_millis(500)).await;
        }
    }
}

fn die(shards: &Shards, server: usize) {
    let mut shards = shards.lock();
    shards.servers[server].is_up = false;
    shards.servers[server].lives += 1;
    shards.trace.say(format!("server {server} dies"));
}

fn rise(shards: &Shards, server: usize) {
    let mut shards = shards.lock();
    if !shards.servers[server].is_up {
        shards.servers[server].is_up = true;
        shards.trace.say(format!("server {server} rises"));
    }
}

fn feel(shards: &Shards, server: usize, mood: Mood) {
    let mut shards = shards.lock();
    if shards.servers[server].mood != mood {
        shards.servers[server].mood = mood;
        shards.trace.say(format!("server {server} is {mood:?}"));
    }
}
