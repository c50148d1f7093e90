//! Random histories of the pure state: nothing is lost or doubled, the invariants hold after every record
//! (`apply` checks them), and a restart from any checkpoint comes to the same state.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::decide::{Answer, Request, decide};
use super::destination::Turn;
use super::*;
use crate::batch::Outcome;
use crate::event::{Awaits, BatchInfo, Chunk, Commit, Cut, Event, Frame, Joined, Part, Record, Share};

/// What may happen. Numbers choose among what there is.
#[derive(Debug, Clone)]
enum Step {
    /// An INSERT with rows for these of the lanes, in so many units of one row.
    Commit {
        lanes: u8,
        units: u8,
        staged: bool,
        awaited: Rows,
    },
    /// The next cut that is due.
    Cut,
    /// Everything becomes due.
    Flush,
    /// A destination's sender does its work.
    Send { destination: usize, ending: Ending },
    /// Small batches that nobody tried become one.
    Join(usize),
    /// A pending INSERT's time is up.
    Go(usize),
    /// An operator puts the first batch that is set aside back.
    Requeue(usize),
    /// A journal segment ends with a checkpoint.
    Roll,
    /// The process dies, and another reads what there is.
    Reopen,
}

/// What an INSERT waits for, if it has rows there.
#[derive(Debug, Clone, Copy)]
enum Rows {
    None,
    Local,
    /// Of one lane, at one of its destinations.
    Probed(u8),
}

#[derive(Debug, Clone, Copy)]
enum Ending {
    Acknowledged,
    Retry,
    Refused,
    Held,
    Unknown,
}

/// The state, and the journal that it would be read back from.
struct World {
    state: State,
    checkpoint: crate::event::Checkpoint,
    journal: Vec<(u64, Record)>,
    segment: u64,
    now: u64,
    /// Rows accepted and not undone, by destination.
    owed: BTreeMap<Destination, u64>,
    /// Rows that are settled for good, by destination.
    done: BTreeMap<Destination, u64>,
}

fn destination(name: &str) -> Destination {
    Destination {
        table: "d.t".into(),
        shard: name.into(),
        replica: None,
    }
}

/// A local lane, a remote one, and one of two destinations.
fn keys() -> [LaneKey; 3] {
    let key = |shard: &str, destinations: &[&str], local| LaneKey {
        table: "d.t".into(),
        shard: shard.into(),
        destinations: destinations.iter().map(|name| destination(name)).collect(),
        local,
    };
    [
        key("here", &["here"], true),
        key("there", &["there"], false),
        key("pair", &["a", "b"], false),
    ]
}

fn shape(format: &str) -> Shape {
    Shape {
        cluster: "c".into(),
        epoch: 1,
        table: "d.t".into(),
        columns: Vec::new(),
        format: format.into(),
        settings: Vec::new(),
    }
}

fn batch(rows: u64) -> BatchInfo {
    BatchInfo {
        rows,
        raw_bytes: rows,
        file_bytes: rows + 1,
        created_at_ms: 1,
    }
}

impl World {
    fn new() -> World {
        let mut world = World {
            state: State::new(),
            checkpoint: crate::event::Checkpoint::default(),
            journal: Vec::new(),
            segment: 1,
            now: 0,
            owed: BTreeMap::new(),
            done: BTreeMap::new(),
        };
        world.set_limits();
        world
    }

    fn set_limits(&mut self) {
        let limits = BatchLimits {
            max_rows: 5,
            max_bytes: 100,
            max_delay: std::time::Duration::from_millis(5),
        };
        for key in keys() {
            let LaneKey {
                table,
                shard,
                destinations,
                local,
            } = key;
            self.state.lane(&LaneSpec {
                table,
                shard,
                destinations,
                local,
                limits,
            });
        }
    }

    fn write(&mut self, record: Record) -> Vec<Effect> {
        let contents = State::contents_of(&record).unwrap();
        let at = Applied {
            segment: self.segment,
            now: self.now,
        };
        let effects = self.state.apply(&record, contents, at);
        self.journal.push((self.segment, record));
        effects
    }

    fn write_event(&mut self, event: Event) -> Vec<Effect> {
        self.write(Record {
            lanes: keys().into(),
            events: vec![event],
            ..Record::default()
        })
    }

    fn ask(&mut self, request: &Request) -> Option<Answer> {
        let decision = decide(&self.state, request).ok()?;
        if !decision.events.is_empty() {
            self.write(Record {
                lanes: keys().into(),
                events: decision.events,
                ..Record::default()
            });
        }
        Some(decision.answer)
    }

    fn step(&mut self, step: &Step) {
        self.now += 3;
        match step {
            Step::Commit {
                lanes,
                units,
                staged,
                awaited,
            } => self.commit(*lanes, *units, *staged, *awaited),
            Step::Cut => self.cut(),
            Step::Flush => drop(self.state.flush(None)),
            Step::Send { destination, ending } => self.send(*destination, *ending),
            Step::Join(nth) => self.join(*nth),
            Step::Go(nth) => {
                let open = self.state.open_pending();
                if let Some(insert) = open.get(nth % open.len().max(1)) {
                    self.ask(&Request::Go(*insert));
                }
            }
            Step::Requeue(nth) => self.requeue(*nth),
            Step::Roll => self.roll(),
            Step::Reopen => self.reopen(),
        }
    }

    fn commit(&mut self, lanes: u8, units: u8, staged: bool, awaited: Rows) {
        let number = self.state.next_insert();
        let chosen: Vec<u32> = (0..3).filter(|lane| lanes & (1 << lane) != 0).collect();
        let share = |(shard, lane): (usize, &u32)| Share {
            shard: shard as u32,
            shape: u32::from(staged),
            lanes: vec![*lane],
            parts: vec![part(units, staged)],
        };
        let commit = Commit {
            number,
            insert: InsertId::random(),
            user: String::new(),
            query_id: String::new(),
            token: None,
            body_hash: None,
            committed_at_ms: 1,
            awaits: awaits(awaited, &chosen),
            shares: chosen.iter().enumerate().map(share).collect(),
        };
        for to in chosen
            .iter()
            .flat_map(|lane| keys()[*lane as usize].destinations.clone())
        {
            *self.owed.entry(to).or_default() += u64::from(units);
        }
        self.write(Record {
            lanes: keys().into(),
            shapes: vec![shape("inline"), shape("staged")],
            events: vec![Event::Commit(commit)],
            arena: vec![0; units.into()],
        });
    }

    fn cut(&mut self) {
        let Some(plan) = self.state.claim_cut(self.now, false) else {
            return;
        };
        assert!(plan.total.rows <= 5 && plan.total.rows > 0);
        let decision = decide(&self.state, &Request::Cut(plan.clone(), batch(plan.total.rows))).unwrap();
        assert_eq!(decision.answer, Answer::Done, "nothing came between");
        let lane = keys().iter().position(|key| *key == plan.key).unwrap() as u32;
        let taken = plan.pieces.iter().map(lane::Piece::taken).collect();
        self.write_event(Event::Cut(Cut {
            lane,
            taken,
            seqs: plan.seqs,
            batch: batch(plan.total.rows),
        }));
    }

    fn send(&mut self, nth: usize, ending: Ending) {
        let to = destination(["here", "there", "a", "b"][nth % 4]);
        let queue = self.state.queue(&to);
        let Some(seq) = queue.next(Turn::InOrder) else {
            return;
        };
        let entry = queue.line[&seq];
        self.ask(&Request::Attempt {
            to: to.clone(),
            seq,
            replica: "r".into(),
            at_ms: 0,
            disproved: false,
        });
        let error = || "error".to_owned();
        let outcome = match ending {
            Ending::Unknown => return,
            Ending::Acknowledged => Outcome::Acknowledged,
            Ending::Retry => Outcome::Retry { error: error() },
            Ending::Refused => Outcome::Refused {
                code: Some(27),
                text: error(),
            },
            Ending::Held => Outcome::HoldBatch { error: error() },
        };
        let rows_before = self.rows_held();
        let request = Request::Settle {
            to: to.clone(),
            seq,
            outcome,
            disproved: false,
            inserts: 1,
            rows: entry.rows.into(),
            broken_room: u64::MAX,
        };
        let Some(Answer::Settled(settled)) = self.ask(&request) else {
            panic!("not settled")
        };
        match settled {
            crate::Settled::Acknowledged | crate::Settled::Broken => {
                *self.done.entry(to).or_default() += u64::from(entry.rows);
            }
            crate::Settled::Aborted { .. } => self.forget_undone(&rows_before),
            _ => {}
        }
    }

    fn join(&mut self, nth: usize) {
        let to = destination(["here", "there", "a", "b"][nth % 4]);
        let Some((candidates, limits)) = self.state.joinable(&to, 4) else {
            return;
        };
        let queue = self.state.queue(&to);
        let rows = |seqs: &[Seq]| {
            seqs.iter()
                .map(|seq| u64::from(queue.line[seq].rows))
                .sum::<u64>()
        };
        let fit = (2..=candidates.len())
            .rev()
            .find(|count| rows(&candidates[..*count]) <= limits.max_rows);
        let seqs = candidates[..fit.expect("two small ones fit")].to_vec();
        let (rows, behind) = (rows(&seqs), queue.in_order().nth(seqs.len()).map(|(seq, _)| seq));
        let into = queue.reserve();
        let request = Request::Join(Joined {
            destination: to.clone(),
            seqs,
            into,
            batch: batch(rows),
        });
        assert_eq!(self.ask(&request), Some(Answer::Done));
        let order: Vec<Seq> = self
            .state
            .queue(&to)
            .in_order()
            .map(|(seq, _)| seq)
            .take(2)
            .collect();
        assert_eq!(
            order,
            [Some(into), behind].into_iter().flatten().collect::<Vec<_>>()
        );
    }

    /// The lines as they will be tried.
    fn lines(&self) -> Vec<Vec<Seq>> {
        let line = |queue: &Queue| queue.in_order().map(|(seq, _)| seq).collect();
        self.state.queues().map(|(_, queue)| line(queue)).collect()
    }

    /// What an abort took away is owed to nobody any more.
    fn forget_undone(&mut self, before: &BTreeMap<Destination, u64>) {
        let after = self.rows_held();
        for (to, rows) in before {
            let undone = rows - after.get(to).copied().unwrap_or(0);
            *self.owed.get_mut(to).unwrap() -= undone;
        }
    }

    fn requeue(&mut self, nth: usize) {
        let to = destination(["here", "there", "a", "b"][nth % 4]);
        let aside = self.state.queue(&to).aside.keys().next().copied();
        if let Some(seq) = aside {
            self.ask(&Request::Requeue(to, seq));
        }
    }

    fn roll(&mut self) {
        self.segment += 1;
        // Files that left are where they belong by then.
        let leaving: Vec<_> = self.state.queues().map(|(to, _)| to.clone()).collect();
        leaving.iter().for_each(|to| self.state.queue(to).leaving.clear());
        self.checkpoint = self.state.checkpoint(self.segment);
        let State { uncut_in_segment, .. } = &self.state;
        let segment = self.segment;
        self.journal
            .retain(|(of, _)| *of >= segment || uncut_in_segment.contains_key(of));
    }

    /// Reads the state back, and compares.
    fn reopen(&mut self) {
        let (mut state, mut awaited) = State::restore(&self.checkpoint);
        for (segment, record) in &self.journal {
            let contents = State::contents_of(record).unwrap();
            let at = Applied {
                segment: *segment,
                now: 0,
            };
            if *segment < self.checkpoint.segment {
                state.revive(record, contents, at, &mut awaited);
            } else {
                state.apply(record, contents, at);
            }
        }
        assert_eq!(awaited.lost(), 0, "awaited shares are not in the journal");
        let destinations: Vec<Destination> = state.queues().map(|(to, _)| to.clone()).collect();
        for to in destinations {
            let waiting = state.waiting_at(&to);
            for seq in waiting
                .iter()
                .filter(|waiting| !waiting.is_measured)
                .map(|waiting| waiting.seq)
            {
                let queue = self.state.get_queue(&to).unwrap();
                let entry = queue
                    .line
                    .get(&seq)
                    .or(queue.aside.get(&seq))
                    .expect("waits after, not before");
                state.measure(&to, seq, &batch(entry.rows.into()));
            }
        }
        state.check_invariants();
        let (before, lines) = (self.rows_held(), self.lines());
        self.state = state;
        self.set_limits();
        assert_eq!(self.rows_held(), before, "after reopening");
        assert_eq!(self.lines(), lines, "the order after reopening");
    }

    /// Rows that wait, in whatever form, by destination.
    fn rows_held(&self) -> BTreeMap<Destination, u64> {
        let mut held = BTreeMap::new();
        let mut add = |to: &Destination, rows: u64| *held.entry(to.clone()).or_default() += rows;
        for lane in &self.state.lanes {
            lane.key.destinations.iter().for_each(|to| add(to, lane.rows()));
        }
        for (_, pending) in self.state.pending.iter() {
            for parked in &pending.parked {
                let key = &self.state.lanes[parked.lane.index()].key;
                key.destinations.iter().for_each(|to| add(to, parked.share.rows));
            }
        }
        for (to, queue) in self.state.queues() {
            add(to, queue.waiting.rows + queue.held_batches.rows);
        }
        held.retain(|_, rows| *rows > 0);
        held
    }

    fn check(&self) {
        let held = self.rows_held();
        for (to, owed) in &self.owed {
            let done = self.done.get(to).copied().unwrap_or(0);
            assert_eq!(held.get(to).copied().unwrap_or(0) + done, *owed, "rows of {to}");
        }
    }
}

fn awaits(rows: Rows, chosen: &[u32]) -> Awaits {
    match rows {
        Rows::Local if chosen.contains(&0) => Awaits::Local,
        Rows::None | Rows::Local => Awaits::Nothing,
        Rows::Probed(nth) => {
            let lane = chosen[usize::from(nth) % chosen.len()];
            let destinations = keys()[lane as usize].destinations.len() as u32;
            let destination = u32::from(nth) % destinations;
            Awaits::One { lane, destination }
        }
    }
}

fn part(units: u8, staged: bool) -> Part {
    if staged {
        let frames = vec![
            Frame {
                rows: 1,
                raw_bytes: 1,
                bytes: 10
            };
            units.into()
        ];
        return Part::Staged { offset: 0, frames };
    }
    Part::Inline {
        arena: 0..units.into(),
        chunks: vec![
            Chunk {
                rows: 1,
                raw_bytes: 1
            };
            units.into()
        ],
    }
}

fn ending() -> impl Strategy<Value = Ending> {
    prop_oneof![
        4 => Just(Ending::Acknowledged),
        2 => Just(Ending::Retry),
        2 => Just(Ending::Refused),
        1 => Just(Ending::Held),
        1 => Just(Ending::Unknown),
    ]
}

fn rows() -> impl Strategy<Value = Rows> {
    prop_oneof![
        2 => Just(Rows::None),
        2 => Just(Rows::Local),
        2 => (0..6_u8).prop_map(Rows::Probed),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..8_u8, 1..8_u8, any::<bool>(), rows())
            .prop_map(|(lanes, units, staged, awaited)| Step::Commit { lanes, units, staged, awaited }),
        8 => Just(Step::Cut),
        1 => Just(Step::Flush),
        8 => (0..4_usize, ending()).prop_map(|(destination, ending)| Step::Send { destination, ending }),
        3 => (0..4_usize).prop_map(Step::Join),
        2 => (0..8_usize).prop_map(Step::Go),
        1 => (0..4_usize).prop_map(Step::Requeue),
        2 => Just(Step::Roll),
        2 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_history_loses_or_doubles_a_row(steps in proptest::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
            world.check();
        }
    }
}

#[test]
fn a_cut_of_rows_that_were_undone_meanwhile_is_stale() {
    let mut world = World::new();
    world.commit(0b001, 8, false, Rows::Local);
    world.now = 10;
    let first = world.state.claim_cut(world.now, false).unwrap();
    let taken = first.pieces.iter().map(lane::Piece::taken).collect();
    world.write_event(Event::Cut(Cut {
        lane: 0,
        taken,
        seqs: first.seqs,
        batch: batch(5),
    }));
    drop(world.state.flush(None));
    let second = world.state.claim_cut(world.now, false).unwrap();
    let insert = 1;
    world.write_event(Event::Abort {
        insert,
        code: None,
        text: "bad".into(),
    });
    let decision = decide(&world.state, &Request::Cut(second, batch(3))).unwrap();
    assert_eq!(decision.answer, Answer::Stale);
}

#[test]
fn a_share_that_was_pending_joins_its_lane_in_commit_order() {
    let mut world = World::new();
    world.commit(0b011, 1, false, Rows::Local);
    world.commit(0b010, 1, false, Rows::None);
    let waiting = |world: &World| -> Vec<InsertNo> {
        world.state.lanes[1].shares().map(|share| share.insert).collect()
    };
    assert_eq!(waiting(&world), [2]);
    world.write_event(Event::Go { insert: 1 });
    assert_eq!(waiting(&world), [1, 2]);
}

#[test]
fn under_pressure_a_lane_is_cut_before_its_time() {
    let mut world = World::new();
    world.commit(0b010, 1, false, Rows::None);
    world.now = 0;
    assert!(world.state.claim_cut(0, false).is_none());
    assert!(world.state.claim_cut(0, true).is_some());
}

#[test]
fn a_batch_set_aside_is_in_no_probes_way_one_tried_again_makes_it_slow_and_only_a_held_destination_ends_it() {
    let mut world = World::new();
    let target = ProbeTarget {
        lane: LaneId(1),
        destination: 0,
    };
    let mut send_one = |ending| {
        world.commit(0b010, 1, false, Rows::None);
        drop(world.state.flush(None));
        world.cut();
        world.send(1, ending);
        (world.state.prospect_at(target), world.state.stalled(LaneId(1)))
    };
    assert_eq!(send_one(Ending::Held), (Prospect::Good, None));
    let (prospect, stall) = send_one(Ending::Retry);
    assert_eq!(prospect, Prospect::Slow);
    assert!(stall.is_some_and(|why| why.contains("waits for a retry")));
    world.ask(&Request::HoldDestination(
        destination("there"),
        "wrong password".into(),
    ));
    let why = "the destination is held: wrong password".to_owned();
    assert_eq!(world.state.prospect_at(target), Prospect::Hopeless(why));
}
