//! What a request leads to: the events to be written, and the answer once they are. Nothing is changed here.

use super::destination::Queue;
use super::lane::CutPlan;
use super::{PendingBatch, State};
use crate::batch::{Outcome, Settled, ShardRefusal};
use crate::error::QueueError;
use crate::event::{Event, InsertNo, Joined, Recut, Seq, Verdict};
use crate::model::{Destination, InsertId};

/// What is asked of the queue, commits apart: those are always possible.
#[derive(Debug)]
pub enum Request {
    /// The wait of a pending INSERT ends.
    Go(InsertId),
    /// A claimed cut is on disk.
    Cut(CutPlan, crate::event::BatchInfo),
    /// A batch is about to be sent.
    Attempt {
        /// Its destination.
        to: Destination,
        /// Its number.
        seq: Seq,
        /// The replica.
        replica: String,
        /// The time, in milliseconds since 1970.
        at_ms: u64,
        /// The attempt before this one wrote nothing.
        disproved: bool,
    },
    /// An attempt ended.
    Settle {
        /// Its destination.
        to: Destination,
        /// Its number.
        seq: Seq,
        /// How it ended.
        outcome: Outcome,
        /// The last attempt wrote nothing.
        disproved: bool,
        /// INSERTs with rows in it.
        inserts: usize,
        /// Rows in it.
        rows: u64,
        /// What broken/ may still take there.
        broken_room: u64,
    },
    /// A refused batch lies there cut again into batches of fewer INSERTs; or one from broken/ under a new
    /// number.
    Recut {
        /// Its destination.
        to: Destination,
        /// Its number.
        seq: Seq,
        /// The files in its place.
        into: Vec<Recut>,
    },
    /// Batches that were never tried lie there as one.
    Join(Joined),
    /// An operator, or a check of identities, stops a destination.
    HoldDestination(Destination, String),
    /// It may go on.
    ResumeDestination(Destination),
    /// A batch that was set aside goes back into line.
    Requeue(Destination, Seq),
    /// A batch is dropped.
    Drop(Destination, Seq),
}

/// What a batch holds.
#[derive(Debug, Clone, Copy)]
struct Size {
    inserts: usize,
    rows: u64,
}

/// Events to write, and what to answer when they are on disk.
#[derive(Debug, PartialEq, Eq)]
pub struct Decision {
    /// What will have happened; a cut's own event is added by the journal, which knows the record's tables.
    pub events: Vec<Event>,
    /// What the caller is told.
    pub answer: Answer,
}

/// What a caller is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is so.
    Done,
    /// The attempt has this number.
    Attempt(u32),
    /// The batch's fate.
    Settled(Settled),
    /// Nothing is written: the batch is to be cut again by INSERT first.
    MustRecut,
    /// The cut or join no longer fits the queue: its file is to be removed.
    Stale,
}

/// What two requests of one group must not both touch, since each is decided as if it came alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Touched {
    /// A batch.
    Batch(Destination, Seq),
    /// A destination's state.
    Destination(Destination),
    /// A pending INSERT.
    Insert(InsertNo),
}

impl Decision {
    fn new(events: Vec<Event>, answer: Answer) -> Result<Decision, QueueError> {
        Ok(Decision { events, answer })
    }

    /// The same after what is known already.
    fn behind(mut self, known: Option<Event>) -> Decision {
        self.events.splice(0..0, known);
        self
    }
}

/// What the request touches.
pub fn touched(state: &State, request: &Request) -> Vec<Touched> {
    match request {
        Request::Go(insert) => state
            .pending
            .number(*insert)
            .map(Touched::Insert)
            .into_iter()
            .collect(),
        Request::Cut(plan, _) => state.pending_of_plan(plan).map(Touched::Insert).collect(),
        Request::Attempt { to, seq, .. } => vec![Touched::Batch(to.clone(), *seq)],
        Request::Settle { to, seq, .. } | Request::Recut { to, seq, .. } => {
            state.touched_by_settling(to, *seq)
        }
        Request::Join(joined) => {
            let batch = |seq: &Seq| Touched::Batch(joined.destination.clone(), *seq);
            joined.seqs.iter().map(batch).collect()
        }
        Request::HoldDestination(to, _) | Request::ResumeDestination(to) => {
            vec![Touched::Destination(to.clone())]
        }
        Request::Requeue(to, seq) | Request::Drop(to, seq) => state.touched_by_settling(to, *seq),
    }
}

/// What the request leads to.
pub fn decide(state: &State, request: &Request) -> Result<Decision, QueueError> {
    match request {
        Request::Go(insert) => state.decide_go(*insert),
        Request::Cut(plan, _) => Ok(state.decide_cut(plan)),
        Request::Attempt {
            to,
            seq,
            replica,
            at_ms,
            disproved,
        } => {
            let decision = state.decide_attempt(to, *seq, replica, *at_ms)?;
            Ok(decision.behind(state.proof(to, *seq, *disproved)))
        }
        Request::Settle {
            to,
            seq,
            outcome,
            disproved,
            inserts,
            rows,
            broken_room,
        } => {
            let size = Size {
                inserts: *inserts,
                rows: *rows,
            };
            let decision = state.decide_settle(to, *seq, outcome, size, *broken_room)?;
            Ok(decision.behind(state.proof(to, *seq, *disproved || outcome.is_proof())))
        }
        Request::Recut { to, seq, into } => state.decide_recut(to, *seq, into),
        Request::Join(joined) => Ok(state.decide_join(joined)),
        Request::HoldDestination(to, error) => {
            let held = Event::DestinationHeld {
                destination: to.clone(),
                error: error.clone(),
            };
            Decision::new(vec![held], Answer::Done)
        }
        Request::ResumeDestination(to) => Decision::new(
            vec![Event::DestinationResumed {
                destination: to.clone(),
            }],
            Answer::Done,
        ),
        Request::Requeue(to, seq) => state.decide_requeue(to, *seq),
        Request::Drop(to, seq) => state.decide_drop(to, *seq),
    }
}

impl State {
    fn pending_of_plan(&self, plan: &CutPlan) -> impl Iterator<Item = InsertNo> {
        let (lane, is_local) = (plan.lane, plan.key.local);
        let inserts = plan.pieces.iter().map(|piece| piece.insert);
        inserts.filter(move |insert| {
            let pending = self.pending.get(*insert);
            pending.is_some_and(|pending| pending.awaited.covers(lane, is_local))
        })
    }

    fn touched_by_settling(&self, to: &Destination, seq: Seq) -> Vec<Touched> {
        let inserts = self.pending_in(to, seq).inserts;
        // An abort drops the INSERT's other batches as well.
        let batches = inserts.iter().filter_map(|insert| self.pending.get(*insert));
        let others: Vec<_> = batches
            .flat_map(|pending| pending.all_batches().cloned())
            .collect();
        let mut touched: Vec<Touched> = inserts.into_iter().map(Touched::Insert).collect();
        touched.extend(others.into_iter().map(|(to, seq)| Touched::Batch(to, seq)));
        touched.push(Touched::Batch(to.clone(), seq));
        touched.push(Touched::Destination(to.clone()));
        touched
    }

    fn pending_in(&self, to: &Destination, seq: Seq) -> PendingBatch {
        self.get_queue(to)
            .and_then(|queue| queue.pending.get(&seq))
            .cloned()
            .unwrap_or_default()
    }

    /// `go` for the batch's INSERTs that await it.
    fn go_for(&self, to: &Destination, seq: Seq) -> impl Iterator<Item = Event> {
        let open = self
            .pending_in(to, seq)
            .inserts
            .into_iter()
            .filter(|insert| self.pending.is_open(*insert));
        open.map(|insert| Event::Go { insert })
    }

    fn decide_go(&self, insert: InsertId) -> Result<Decision, QueueError> {
        let number = self
            .pending
            .number(insert)
            .filter(|number| self.pending.is_open(*number));
        let number = number.ok_or(QueueError::NotPending(insert))?;
        Decision::new(vec![Event::Go { insert: number }], Answer::Done)
    }

    /// That the batch's last attempt wrote nothing, where that is news.
    fn proof(&self, to: &Destination, seq: Seq, disproved: bool) -> Option<Event> {
        let is_open = self.get_queue(to)?.doubt(seq).open.is_some();
        let destination = to.clone();
        (disproved && is_open).then_some(Event::Disproved { destination, seq })
    }

    /// A share may have been undone while its batch was written.
    fn decide_cut(&self, plan: &CutPlan) -> Decision {
        let is_current = self
            .get_lane(plan.lane)
            .is_some_and(|lane| lane.still_holds(plan));
        let answer = if is_current { Answer::Done } else { Answer::Stale };
        Decision {
            events: Vec::new(),
            answer,
        }
    }

    fn decide_attempt(
        &self,
        to: &Destination,
        seq: Seq,
        replica: &str,
        at_ms: u64,
    ) -> Result<Decision, QueueError> {
        let queue = self.queue_with(to, seq)?;
        if !queue.line.contains_key(&seq) {
            return Err(wrong_state(to, seq, "is held"));
        }
        let attempt = queue.attempts(seq).saturating_add(1);
        let event = Event::Attempting {
            destination: to.clone(),
            seq,
            attempt,
            replica: replica.to_owned(),
            at_ms,
        };
        Decision::new(vec![event], Answer::Attempt(attempt))
    }

    fn decide_settle(
        &self,
        to: &Destination,
        seq: Seq,
        outcome: &Outcome,
        size: Size,
        broken_room: u64,
    ) -> Result<Decision, QueueError> {
        let queue = self.queue_with(to, seq)?;
        if let Some(error) = outcome.in_doubt(queue.doubt(seq).may_have_before()) {
            let held = Answer::Settled(Settled::Held);
            return self.verdict(to, seq, Verdict::Held { error }, held);
        }
        match outcome {
            Outcome::Acknowledged => self.verdict(
                to,
                seq,
                Verdict::Acknowledged,
                Answer::Settled(Settled::Acknowledged),
            ),
            Outcome::Retry { error } => self.verdict(
                to,
                seq,
                Verdict::Retry { error: error.clone() },
                Answer::Settled(Settled::Waits),
            ),
            Outcome::HoldBatch { error } => self.verdict(
                to,
                seq,
                Verdict::Held { error: error.clone() },
                Answer::Settled(Settled::Held),
            ),
            Outcome::HoldDestination { error } => self.decide_hold(to, seq, error),
            Outcome::Unfit { code, text, error } => match self.undoable(to, seq) {
                Some(insert) => self.decide_abort(insert, *code, text),
                None => self.verdict(
                    to,
                    seq,
                    Verdict::Held { error: error.clone() },
                    Answer::Settled(Settled::Held),
                ),
            },
            Outcome::Refused { .. } if size.inserts > 1 => Decision::new(Vec::new(), Answer::MustRecut),
            Outcome::TooMuch { .. } if size.inserts > 1 => Decision::new(Vec::new(), Answer::MustRecut),
            Outcome::TooMuch { .. } if size.rows > 1 => {
                Decision::new(Vec::new(), Answer::Settled(Settled::ToBeDivided))
            }
            Outcome::TooMuch { error, .. } => self.verdict(
                to,
                seq,
                Verdict::Held { error: error.clone() },
                Answer::Settled(Settled::Held),
            ),
            Outcome::Refused { code, text } => {
                let file_bytes = queue
                    .line
                    .get(&seq)
                    .map_or(0, |entry| u64::from(entry.file_bytes));
                self.decide_refused(to, seq, *code, text, file_bytes <= broken_room)
            }
        }
    }

    fn verdict(
        &self,
        to: &Destination,
        seq: Seq,
        verdict: Verdict,
        answer: Answer,
    ) -> Result<Decision, QueueError> {
        let mut events = vec![Event::Settled {
            destination: to.clone(),
            seq,
            verdict,
        }];
        events.extend(self.go_for(to, seq));
        Decision::new(events, answer)
    }

    fn decide_hold(&self, to: &Destination, seq: Seq, error: &str) -> Result<Decision, QueueError> {
        let retry = Verdict::Retry {
            error: error.to_owned(),
        };
        let mut decision = self.verdict(to, seq, retry, Answer::Settled(Settled::DestinationHeld))?;
        decision.events.push(Event::DestinationHeld {
            destination: to.clone(),
            error: error.to_owned(),
        });
        Ok(decision)
    }

    /// A batch of one INSERT whose rows a shard cannot take.
    fn decide_refused(
        &self,
        to: &Destination,
        seq: Seq,
        code: Option<i32>,
        text: &str,
        has_room: bool,
    ) -> Result<Decision, QueueError> {
        if let Some(insert) = self.undoable(to, seq) {
            return self.decide_abort(insert, code, text);
        }
        let text = text.to_owned();
        let error = ShardRefusal { code, text }.told();
        if has_room {
            return self.verdict(
                to,
                seq,
                Verdict::Broken { error },
                Answer::Settled(Settled::Broken),
            );
        }
        let error = format!("broken/ is full, the batch stays in its place: {error}");
        self.verdict(to, seq, Verdict::Held { error }, Answer::Settled(Settled::Held))
    }

    fn decide_abort(&self, insert: InsertNo, code: Option<i32>, text: &str) -> Result<Decision, QueueError> {
        let id = self.pending.get(insert).map(|pending| pending.id);
        let events = vec![Event::Abort {
            insert,
            code,
            text: text.to_owned(),
        }];
        let answer = id.map_or(Answer::Done, |insert| {
            Answer::Settled(Settled::Aborted { insert })
        });
        Decision::new(events, answer)
    }

    /// The one INSERT in the batch, if nothing of it was written anywhere and nothing was sent that may have
    /// been.
    fn undoable(&self, to: &Destination, seq: Seq) -> Option<InsertNo> {
        let batch = self.pending_in(to, seq);
        let insert = *batch.inserts.first()?;
        let pending = self.pending.get(insert)?;
        let is_alone = |to: &Destination, seq: Seq| {
            let batch = self.pending_in(to, seq);
            !batch.has_others && batch.inserts.len() == 1
        };
        let is_nowhere = |to: &Destination, seq: Seq| {
            let queue = self.get_queue(to).filter(|queue| queue.line.contains_key(&seq));
            queue.is_some_and(|queue| queue.doubt(seq).may_have().is_none())
        };
        let others_nowhere = pending
            .batches
            .iter()
            .filter(|(other, no)| (other, *no) != (to, seq))
            .all(|(to, seq)| is_nowhere(to, *seq));
        let all_alone = pending.batches.iter().all(|(to, seq)| is_alone(to, *seq));
        (!pending.gone && !pending.written && others_nowhere && all_alone).then_some(insert)
    }

    fn decide_recut(&self, to: &Destination, seq: Seq, into: &[Recut]) -> Result<Decision, QueueError> {
        let mut seqs: Vec<Seq> = into.iter().map(|piece| piece.seq).collect();
        seqs.dedup();
        let event = Event::Recut {
            destination: to.clone(),
            seq,
            into: into.to_vec(),
        };
        Decision::new(vec![event], Answer::Settled(Settled::Recut { seqs }))
    }

    /// One of them may have been tried, or dropped, while the file was written.
    fn decide_join(&self, joined: &Joined) -> Decision {
        let queue = self.get_queue(&joined.destination);
        let may_be_joined = |seq: &Seq| queue.is_some_and(|queue| queue.may_be_joined(*seq));
        let is_current = joined.seqs.iter().all(may_be_joined);
        let (events, answer) = match is_current {
            true => (vec![Event::Joined(joined.clone())], Answer::Done),
            false => (Vec::new(), Answer::Stale),
        };
        Decision { events, answer }
    }

    fn decide_requeue(&self, to: &Destination, seq: Seq) -> Result<Decision, QueueError> {
        if !self.queue_with(to, seq)?.aside.contains_key(&seq) {
            return Err(wrong_state(to, seq, "is not held, it waits in line"));
        }
        self.verdict(to, seq, Verdict::Requeued, Answer::Done)
    }

    fn decide_drop(&self, to: &Destination, seq: Seq) -> Result<Decision, QueueError> {
        if self.queue_with(to, seq)?.leased.contains(&seq) {
            return Err(wrong_state(to, seq, "is being sent, hold the destination first"));
        }
        self.verdict(to, seq, Verdict::Dropped, Answer::Done)
    }

    fn queue_with(&self, to: &Destination, seq: Seq) -> Result<&Queue, QueueError> {
        let queue = self.get_queue(to).filter(|queue| queue.holds(seq));
        queue.ok_or_else(|| QueueError::NoBatch {
            destination: to.clone(),
            seq,
        })
    }
}

fn wrong_state(to: &Destination, seq: Seq, reason: &str) -> QueueError {
    QueueError::WrongState {
        destination: to.clone(),
        seq,
        reason: reason.to_owned(),
    }
}
