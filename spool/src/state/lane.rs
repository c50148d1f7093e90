//! A lane: shares in commit order, apart by shape, and when the next of them are to be cut.

use std::collections::VecDeque;
use std::sync::Arc;

use super::share::{Content, Cursor, Take, Uncut};
use crate::bin_file::{SEGMENTS_MAX, random_token};
use crate::event::{InsertNo, Seq, Taken};
use crate::model::{BatchLimits, InsertId, LaneId, LaneKey, Shape};
use crate::token;

/// A moment that never comes: what waits for something else than time.
pub const NEVER: u64 = u64::MAX;

/// One queue of uncut shares.
#[derive(Debug)]
pub struct Lane {
    /// Whose it is and where it leads.
    pub key: LaneKey,
    /// What one batch may hold, as the configuration says.
    pub usual: BatchLimits,
    /// What it may hold now.
    pub limits: BatchLimits,
    /// One queue a shape, none of them empty.
    pub queues: Vec<ShapeQueue>,
    /// A cut of it is being written; its shares stay in the queue until the record is.
    pub cutting: bool,
    /// Shares of INSERTs up to this one are to be cut without waiting.
    pub flush_through: InsertNo,
    /// After a failed cut: not before this moment.
    pub not_before: u64,
}

/// Shares of one shape, in commit order.
#[derive(Debug)]
pub struct ShapeQueue {
    /// What they have in common.
    pub shape: Arc<Shape>,
    /// The shares; none is empty.
    pub shares: VecDeque<Uncut>,
    /// Rows of all.
    pub rows: u64,
    /// Raw bytes of all.
    pub raw_bytes: u64,
    /// Whole batch files among their units.
    pub files: u64,
}

/// What a cut did to a share.
#[derive(Debug)]
pub struct Taking {
    /// Where the share began before.
    pub from: Cursor,
    /// The share as it is now.
    pub share: Uncut,
    /// Nothing of it is left.
    pub emptied: bool,
}

/// What is to become one batch file.
#[derive(Debug, Clone)]
pub struct CutPlan {
    /// Of which lane.
    pub lane: LaneId,
    /// Where it leads.
    pub key: LaneKey,
    /// What the rows have in common.
    pub shape: Arc<Shape>,
    /// The rows, in order.
    pub pieces: Vec<Piece>,
    /// The batch's number at each destination, in the lane's order.
    pub seqs: Vec<Seq>,
    /// All pieces together.
    pub total: Take,
}

/// Rows of one share that go into a batch.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Its INSERT.
    pub insert: InsertNo,
    /// Its INSERT's receipt.
    pub id: InsertId,
    /// Its INSERT's client token.
    pub token: Option<Arc<str>>,
    /// Its shard's index in the INSERT.
    pub shard: u32,
    /// The share's rows.
    pub content: Arc<Content>,
    /// Where the piece begins.
    pub start: Cursor,
    /// How much it is.
    pub take: Take,
}

impl CutPlan {
    /// The token of its batch, whose frames have that hash: drawn, or of the client's piece that the batch is.
    pub fn token(&self, content: u128) -> String {
        self.client_token().unwrap_or_else(|| random_token(content))
    }

    fn client_token(&self) -> Option<String> {
        let [piece] = self.pieces.as_slice() else {
            return None;
        };
        let of_client = piece.content.client_piece(piece.start, piece.take.rows)?;
        let token = piece.token.as_deref()?;
        Some(token::of_piece(&self.shape, token, &self.key.shard, of_client))
    }
}

impl Lane {
    /// An empty lane.
    pub fn new(key: LaneKey, limits: BatchLimits) -> Lane {
        Lane {
            key,
            usual: limits,
            limits,
            queues: Vec::new(),
            cutting: false,
            flush_through: 0,
            not_before: 0,
        }
    }

    /// Adds a share in its place in commit order: behind the others, but for one that was pending for a
    /// while.
    pub fn push(&mut self, shape: &Arc<Shape>, share: Uncut) {
        let at = match self.queues.iter().position(|queue| &queue.shape == shape) {
            Some(at) => at,
            None => {
                self.queues.push(ShapeQueue::new(Arc::clone(shape)));
                self.queues.len() - 1
            }
        };
        self.queues[at].push(share);
    }

    /// Takes what a cut took from the front of a share; `None` when the share does not wait here.
    pub fn take(&mut self, taken: &Taken) -> Option<Taking> {
        let same = |share: &Uncut| share.insert == taken.insert && share.shard == taken.shard;
        let (queue, at) = self
            .queues
            .iter()
            .enumerate()
            .find_map(|(queue, waiting)| waiting.shares.iter().position(same).map(|at| (queue, at)))?;
        let after = self.queues[queue].take(at, taken.units);
        self.drop_empty_queues();
        after
    }

    /// Removes every share of the INSERT.
    pub fn remove(&mut self, insert: InsertNo) -> Vec<Uncut> {
        let removed = self
            .queues
            .iter_mut()
            .flat_map(|queue| queue.remove(insert))
            .collect();
        self.drop_empty_queues();
        removed
    }

    fn drop_empty_queues(&mut self) {
        self.queues.retain(|queue| !queue.shares.is_empty());
    }

    /// When the next cut is due: [`NEVER`] while it waits for something else than time, `None` when there is
    /// nothing to cut or a cut is under way. `idle`: no batch of a local lane waits at its destination.
    pub fn due_at(&self, idle: bool) -> Option<u64> {
        let due = self.most_urgent(idle).map(|(due, _)| due)?;
        (!self.cutting).then_some(due.max(self.not_before))
    }

    /// The queue that is due first; among equals the one whose first INSERT is older.
    fn most_urgent(&self, idle: bool) -> Option<(u64, usize)> {
        let urgency = |(at, queue): (usize, &ShapeQueue)| (self.queue_due_at(queue, idle), queue.first(), at);
        self.queues
            .iter()
            .enumerate()
            .map(urgency)
            .min()
            .map(|(due, _, at)| (due, at))
    }

    fn queue_due_at(&self, queue: &ShapeQueue, idle: bool) -> u64 {
        if queue.fills_a_batch(&self.limits)
            || queue.is_led_by_a_piece()
            || queue.first() <= self.flush_through
        {
            return 0;
        }
        match (self.key.local, idle) {
            (true, true) => 0,
            (true, false) => NEVER,
            (false, _) => queue.queued_at().saturating_add(millis(self.limits.max_delay)),
        }
    }

    /// The pieces of the next batch: of the most urgent shape, in commit order, as much as fits.
    pub fn plan(&self, idle: bool) -> Option<(Arc<Shape>, Vec<Piece>, Take)> {
        let (_, at) = self.most_urgent(idle)?;
        self.gather(&self.queues[at], |_| true)
    }

    /// The pieces of the next batch of shares that may have been cut before.
    pub fn plan_suspects(&self) -> Option<(Arc<Shape>, Vec<Piece>, Take)> {
        let has_suspects = |queue: &&ShapeQueue| queue.shares.iter().any(|share| share.suspect);
        self.gather(self.queues.iter().find(has_suspects)?, |share| share.suspect)
    }

    fn gather(
        &self,
        queue: &ShapeQueue,
        is_wanted: impl Fn(&Uncut) -> bool,
    ) -> Option<(Arc<Shape>, Vec<Piece>, Take)> {
        let mut pieces = Vec::new();
        let mut total = Take::default();
        let wanted = queue.shares.iter().filter(|share| is_wanted(share));
        for share in wanted.take(SEGMENTS_MAX) {
            let take = share.fitting(total, &self.limits);
            let fits_whole = take.raw_bytes == share.raw_bytes && take.rows == share.rows;
            // An INSERT that a local replica refuses can be undone only while its rows share no batch with
            // others', so one that needs several batches has them to itself; and so have a probe, and a piece, whose token
            // is of its rows alone.
            let stands_alone = share.alone
                || share.content.is_in_pieces()
                || (self.key.local && (share.is_rest() || !fits_whole));
            if take.units == 0 || (stands_alone && !pieces.is_empty()) {
                break;
            }
            pieces.push(Piece::of(share, take));
            total = total.plus(take);
            if !fits_whole || stands_alone || take.is_file {
                break;
            }
        }
        (!pieces.is_empty()).then(|| (Arc::clone(&queue.shape), pieces, total))
    }

    /// Whether everything that was planned still waits here, in that order.
    pub fn still_holds(&self, plan: &CutPlan) -> bool {
        let Some(queue) = self.queues.iter().find(|queue| queue.shape == plan.shape) else {
            return false;
        };
        // A share that was pending may have come between since, hence not just the first ones.
        let mut waiting = queue.shares.iter();
        let same = |share: &Uncut, piece: &Piece| {
            (share.insert, share.shard, share.start) == (piece.insert, piece.shard, piece.start)
        };
        plan.pieces
            .iter()
            .all(|piece| waiting.any(|share| same(share, piece)))
    }

    /// Rows that wait here.
    pub fn rows(&self) -> u64 {
        self.queues.iter().map(|queue| queue.rows).sum()
    }

    /// Raw bytes that wait here.
    pub fn raw_bytes(&self) -> u64 {
        self.queues.iter().map(|queue| queue.raw_bytes).sum()
    }

    /// Commit time of the oldest share.
    pub fn oldest_ms(&self) -> Option<u64> {
        self.shares().map(|share| share.committed_at_ms).min()
    }

    /// All shares that wait here.
    pub fn shares(&self) -> impl Iterator<Item = &Uncut> {
        self.queues.iter().flat_map(|queue| &queue.shares)
    }

    /// The same, to change them.
    pub fn shares_mut(&mut self) -> impl Iterator<Item = &mut Uncut> {
        self.queues.iter_mut().flat_map(|queue| &mut queue.shares)
    }
}

impl ShapeQueue {
    fn new(shape: Arc<Shape>) -> ShapeQueue {
        ShapeQueue {
            shape,
            shares: VecDeque::new(),
            rows: 0,
            raw_bytes: 0,
            files: 0,
        }
    }

    fn push(&mut self, share: Uncut) {
        self.rows += share.rows;
        self.raw_bytes += share.raw_bytes;
        self.files += share.files_left();
        let behind = self
            .shares
            .iter()
            .rposition(|waiting| waiting.insert <= share.insert);
        self.shares.insert(behind.map_or(0, |at| at + 1), share);
    }

    fn take(&mut self, at: usize, units: u32) -> Option<Taking> {
        let share = self.shares.get_mut(at)?;
        let from = share.start;
        let taken = share.advance(units);
        self.rows -= taken.rows;
        self.raw_bytes -= taken.raw_bytes;
        self.files -= u64::from(taken.is_file);
        let taking = Taking {
            from,
            emptied: share.is_empty(),
            share: share.clone(),
        };
        if taking.emptied {
            self.shares.remove(at);
        }
        Some(taking)
    }

    fn remove(&mut self, insert: InsertNo) -> Vec<Uncut> {
        let mut removed = Vec::new();
        while let Some(at) = self.shares.iter().position(|share| share.insert == insert) {
            let Some(share) = self.shares.remove(at) else {
                break;
            };
            self.rows -= share.rows;
            self.raw_bytes -= share.raw_bytes;
            self.files -= share.files_left();
            removed.push(share);
        }
        removed
    }

    fn fills_a_batch(&self, limits: &BatchLimits) -> bool {
        self.files > 0
            || self.rows >= limits.max_rows
            || self.raw_bytes >= limits.max_bytes
            || self.shares.len() >= SEGMENTS_MAX
    }

    /// It would wait for company that it will not have.
    fn is_led_by_a_piece(&self) -> bool {
        self.shares
            .front()
            .is_some_and(|share| share.content.is_in_pieces())
    }

    fn first(&self) -> InsertNo {
        self.shares.front().map_or(InsertNo::MAX, |share| share.insert)
    }

    fn queued_at(&self) -> u64 {
        self.shares.front().map_or(NEVER, |share| share.queued_at)
    }
}

impl Piece {
    fn of(share: &Uncut, take: Take) -> Piece {
        Piece {
            insert: share.insert,
            id: share.id,
            token: share.token.clone(),
            shard: share.shard,
            content: Arc::clone(&share.content),
            start: share.start,
            take,
        }
    }

    /// What the journal says of it.
    pub fn taken(&self) -> Taken {
        Taken {
            insert: self.insert,
            shard: self.shard,
            units: self.take.units,
        }
    }
}

fn millis(delay: std::time::Duration) -> u64 {
    u64::try_from(delay.as_millis()).unwrap_or(NEVER)
}
