//! One group commit as it is put together: requests decided one by one, gathered into one record. Pure.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::batch::{Outcome, Settled};
use crate::commit::CommitHead;
use crate::error::QueueError;
use crate::event::{Awaits, Commit, Cut, Event, InsertNo, Part, Record, Share, Verdict};
use crate::model::{InsertId, LaneId, LaneKey, ProbeTarget, Shape};
use crate::retry::{Kind, RetryWindows, Signature};
use crate::stage::{Staged, StagedShare};
use crate::state::decide::{Answer, Request, Touched, decide, touched};
use crate::state::share::{Content, LivePart};
use crate::state::{Prospect, State};

/// A record in the making.
#[derive(Debug)]
pub struct Group {
    /// The record.
    pub record: Record,
    /// The rows of its commits' shares, in order.
    pub contents: Vec<Arc<Content>>,
    next_insert: InsertNo,
    lanes: HashMap<LaneId, u32>,
    shapes: HashMap<Arc<Shape>, u32>,
    touched: HashSet<Touched>,
    needs_sync: bool,
    /// Bytes of what is said of the INSERTs beside their inline rows.
    noted_bytes: usize,
    /// By what the group's own INSERTs are recognised: the state does not know them yet.
    remembered: HashMap<(Kind, u128), First>,
}

/// What became of a commit in the group.
#[derive(Debug)]
pub enum Committed {
    /// It is in the record. It awaits its local rows; else why it does not, if it has any.
    New(Wait),
    /// It is a retry: nothing of it is written, and it is answered as the first is.
    Retry {
        /// The INSERT that was accepted before.
        first: First,
        /// The first is in this very record.
        is_in_group: bool,
    },
}

/// An accepted INSERT, as far as its retry is told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct First {
    /// Its receipt.
    pub insert: InsertId,
    /// Rows of all its shares.
    pub rows: u64,
    /// Their raw bytes.
    pub raw_bytes: u64,
    /// Whether its client still waits, and if so for its probe.
    pub awaits_probe: Option<bool>,
}

/// Whether an INSERT's client waits for a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wait {
    /// It has no rows for a local lane, and its shape is known to be good.
    None,
    /// Its rows wait like any other.
    Stalled {
        /// The reason.
        why: String,
        /// A probe would have been waited for, not a local replica.
        is_probe: bool,
    },
    /// It is pending until its local rows are delivered.
    Local,
    /// It is pending until that destination has a batch of its rows.
    Probe(ProbeTarget),
}

impl Group {
    /// An empty group on top of `state`.
    pub fn new(state: &State) -> Group {
        Group {
            record: Record::default(),
            contents: Vec::new(),
            next_insert: state.next_insert(),
            lanes: HashMap::new(),
            shapes: HashMap::new(),
            touched: HashSet::new(),
            needs_sync: false,
            noted_bytes: 0,
            remembered: HashMap::new(),
        }
    }

    /// Whether nothing is to be written.
    pub fn is_empty(&self) -> bool {
        self.record.events.is_empty()
    }

    /// Whether some of it must be on disk before anyone is answered. A batch that waits for its retry is found in doubt
    /// after a power loss, which is as safe; one that was set aside would be sent again, and so is synced.
    pub fn needs_sync(&self) -> bool {
        self.needs_sync
    }

    /// Bytes of the record so far, roughly.
    pub fn bytes(&self) -> usize {
        self.record.arena.len() + self.noted_bytes
    }

    /// Adds an INSERT, unless it is one that was accepted before.
    pub fn commit(&mut self, state: &State, staged: &Staged, head: &CommitHead, now_ms: u64) -> Committed {
        let signature = head.signature(staged);
        if let Some(retry) = self.recognise(state, &signature, &head.retry_windows, now_ms) {
            return retry;
        }
        let wait = match state.is_swept() {
            true => wait_of(state, staged, &head.probe),
            false => wait_unswept(state, staged, &head.probe),
        };
        self.remember(state, &signature, staged, &wait);
        self.add(state, staged, head, now_ms, &wait);
        Committed::New(wait)
    }

    fn recognise(
        &self,
        state: &State,
        signature: &Signature<'_>,
        windows: &RetryWindows,
        now_ms: u64,
    ) -> Option<Committed> {
        let in_group = |key| self.remembered.get(&key).copied();
        let first = state.window.keys(signature, windows).find_map(in_group);
        if let Some(first) = first {
            let is_in_group = true;
            return Some(Committed::Retry { first, is_in_group });
        }
        let first = state.first_of(signature, windows, now_ms)?;
        let is_in_group = false;
        Some(Committed::Retry { first, is_in_group })
    }

    fn remember(&mut self, state: &State, signature: &Signature<'_>, staged: &Staged, wait: &Wait) {
        let first = First {
            insert: staged.insert,
            rows: staged.rows(),
            raw_bytes: staged.raw_bytes(),
            awaits_probe: match wait {
                Wait::None | Wait::Stalled { .. } => None,
                Wait::Local => Some(false),
                Wait::Probe(_) => Some(true),
            },
        };
        let keys = state.window.keys_kept(signature);
        self.remembered.extend(keys.map(|key| (key, first)));
    }

    fn add(&mut self, state: &State, staged: &Staged, head: &CommitHead, now_ms: u64, wait: &Wait) {
        let awaits = self.awaits(state, wait);
        let shape = self.shape(&staged.shape);
        let shares = staged
            .shares
            .iter()
            .map(|share| self.share(state, share, shape))
            .collect();
        self.noted_bytes += staged.noted_bytes();
        let commit = Commit {
            number: self.next_insert,
            insert: staged.insert,
            user: head.user.clone(),
            query_id: head.query_id.clone(),
            token: staged.token.clone(),
            body_hash: head.body_hash,
            committed_at_ms: now_ms,
            awaits,
            shares,
        };
        self.next_insert += 1;
        self.push(Event::Commit(commit));
    }

    /// Whether the request must wait for the next group: it touches what this one changes.
    pub fn defers(&self, state: &State, request: &Request) -> bool {
        touched(state, request)
            .iter()
            .any(|touched| self.touched.contains(touched))
    }

    /// Adds what the request leads to; the answer is for after the record is written.
    pub fn request(&mut self, state: &State, request: &Request) -> Result<Answer, QueueError> {
        let decision = decide(state, request)?;
        self.touched.extend(touched(state, request));
        decision.events.into_iter().for_each(|event| self.push(event));
        if let (Request::Cut(plan, batch), Answer::Done) = (request, &decision.answer) {
            let lane = self.lane(plan.lane, &plan.key);
            let taken = plan.pieces.iter().map(|piece| piece.taken()).collect();
            self.push(Event::Cut(Cut {
                lane,
                taken,
                seqs: plan.seqs.clone(),
                batch: batch.clone(),
            }));
        }
        Ok(decision.answer)
    }

    fn push(&mut self, event: Event) {
        self.needs_sync |= event.needs_sync();
        self.record.events.push(event);
    }

    fn awaits(&mut self, state: &State, wait: &Wait) -> Awaits {
        match wait {
            Wait::None | Wait::Stalled { .. } => Awaits::Nothing,
            Wait::Local => Awaits::Local,
            Wait::Probe(target) => match state.get_lane(target.lane) {
                Some(lane) => Awaits::One {
                    lane: self.lane(target.lane, &lane.key),
                    destination: target.destination as u32,
                },
                None => Awaits::Nothing,
            },
        }
    }

    fn share(&mut self, state: &State, share: &StagedShare, shape: u32) -> Share {
        let lanes = share
            .lanes
            .iter()
            .filter_map(|id| Some(self.lane(id, &state.get_lane(id)?.key)))
            .collect();
        let parts = share.content.parts.iter().map(|part| self.part(part)).collect();
        self.contents.push(Arc::clone(&share.content));
        Share {
            shard: share.shard,
            shape,
            lanes,
            parts,
        }
    }

    fn part(&mut self, part: &LivePart) -> Part {
        match part {
            LivePart::Inline { rows, chunks } => {
                let start = self.record.arena.len() as u64;
                self.record.arena.extend_from_slice(rows);
                Part::Inline {
                    arena: start..start + rows.len() as u64,
                    chunks: chunks.clone(),
                }
            }
            LivePart::Staged { offset, frames } => Part::Staged {
                offset: *offset,
                frames: frames.clone(),
            },
            LivePart::File(file) => Part::File(file.as_ref().clone()),
            // No other part is empty.
            LivePart::PieceEnd => {
                let end = self.record.arena.len() as u64;
                Part::Inline {
                    arena: end..end,
                    chunks: Vec::new(),
                }
            }
        }
    }

    fn lane(&mut self, id: LaneId, key: &LaneKey) -> u32 {
        *self.lanes.entry(id).or_insert_with(|| {
            self.record.lanes.push(key.clone());
            self.record.lanes.len() as u32 - 1
        })
    }

    fn shape(&mut self, shape: &Arc<Shape>) -> u32 {
        if let Some(index) = self.shapes.get(shape) {
            return *index;
        }
        self.record.shapes.push(shape.as_ref().clone());
        let index = self.record.shapes.len() as u32 - 1;
        self.shapes.insert(Arc::clone(shape), index);
        index
    }
}

/// A local replica comes first; without one, or where its rows wait already, the first destination that can be probed: where
/// nothing is in the way, else where a batch waits for its next attempt. How long to wait is for the client's side to say.
fn wait_of(state: &State, staged: &Staged, probe: &[ProbeTarget]) -> Wait {
    let local: Vec<LaneId> = staged
        .shares
        .iter()
        .filter_map(|share| share.lanes.local)
        .collect();
    let local_stall = local.iter().find_map(|lane| state.stalled(*lane));
    match (local.is_empty(), local_stall) {
        (false, None) => Wait::Local,
        (false, Some(why)) => match wait_of_probe(state, staged, probe) {
            Wait::Probe(target) => Wait::Probe(target),
            Wait::None | Wait::Stalled { .. } | Wait::Local => Wait::Stalled { why, is_probe: false },
        },
        (true, _) => wait_of_probe(state, staged, probe),
    }
}

/// Nothing is sent before the directories are read: who would wait is told so.
fn wait_unswept(state: &State, staged: &Staged, probe: &[ProbeTarget]) -> Wait {
    match wait_of(state, staged, probe) {
        Wait::None => Wait::None,
        stalled @ Wait::Stalled { .. } => stalled,
        wait @ (Wait::Local | Wait::Probe(_)) => Wait::Stalled {
            why: "the spool's directories are still read after a start".to_owned(),
            is_probe: wait != Wait::Local,
        },
    }
}

fn wait_of_probe(state: &State, staged: &Staged, probe: &[ProbeTarget]) -> Wait {
    let has_rows = |lane: LaneId| {
        let mut lanes = staged.shares.iter().flat_map(|share| share.lanes.iter());
        lanes.any(|with_rows| with_rows == lane)
    };
    let (mut slow, mut stall) = (None, None);
    for target in probe.iter().filter(|target| has_rows(target.lane)) {
        match state.prospect_at(*target) {
            Prospect::Good => return Wait::Probe(*target),
            Prospect::Slow => drop(slow.get_or_insert(*target)),
            Prospect::Hopeless(why) => drop(stall.get_or_insert(why)),
        }
    }
    match (slow, stall) {
        (Some(target), _) => Wait::Probe(target),
        (None, Some(why)) => Wait::Stalled { why, is_probe: true },
        (None, None) => Wait::None,
    }
}

impl Event {
    /// Whether somebody acts on it in a way that a power loss must not make untrue.
    fn needs_sync(&self) -> bool {
        match self {
            Event::Commit(_)
            | Event::Go { .. }
            | Event::Abort { .. }
            | Event::Cut(_)
            | Event::Attempting { .. }
            | Event::Recut { .. }
            | Event::Joined(_) => true,
            // What is lost of a proof is a doubt too many.
            Event::Disproved { .. } | Event::DestinationHeld { .. } | Event::DestinationResumed { .. } => {
                false
            }
            Event::Settled { verdict, .. } => match verdict {
                Verdict::Acknowledged | Verdict::Held { .. } | Verdict::Broken { .. } | Verdict::Dropped => {
                    true
                }
                Verdict::Retry { .. } | Verdict::Requeued => false,
            },
        }
    }
}

impl Answer {
    /// The fate of a batch that was settled; a batch whose answer is another was never asked about.
    pub fn settled(self) -> Option<Settled> {
        match self {
            Answer::Settled(settled) => Some(settled),
            Answer::Done | Answer::Attempt(_) | Answer::MustRecut | Answer::Stale => None,
        }
    }
}

impl Outcome {
    /// In a word, for logs.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Outcome::Acknowledged => "acknowledged",
            Outcome::Retry { .. } => "retry",
            Outcome::Refused { .. } => "refused",
            Outcome::TooMuch { .. } => "too much",
            Outcome::Unfit { .. } => "unfit",
            Outcome::HoldBatch { .. } => "hold batch",
            Outcome::HoldDestination { .. } => "hold destination",
        }
    }
}
