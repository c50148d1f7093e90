//! An INSERT on its way in: its rows, shard by shard, in bounded memory.
//!
//! A small INSERT stays raw in memory and goes into its commit record. One that grows beyond
//! `inline_bytes_max` is
//! compressed into frames; when these fill `stage_memory_bytes` the largest share is written to a batch file
//! of its own if it has a quarter of that, else all of them to one staged file. So an INSERT of any size over
//! any number of shards syncs at most 2 + (compressed bytes / 4 MiB) files, by the default of 16 MiB.
//!
//! An INSERT whose token goes on to the shards is staged in pieces ([`Stage::in_pieces`]): the caller says where one ends, and each
//! is a batch of its own later, whenever it is cut.
//!
//! Nothing here is visible to anyone before the commit; a dropped stage removes its files, and recovery those
//! of a process that died.

mod share;
mod spill;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use self::share::ShareRows;
use self::spill::{Origin, OwnFile, StagedExtents, Underway};
use crate::error::{FileError, StageError};
use crate::event::Frame;
use crate::files::{Files, Temporary};
use crate::frames::RAW_BYTES_MAX;
use crate::model::{BATCH_BYTES_MAX, BatchLimits, Destination, InsertId, Shape, ShareLanes};
use crate::state::share::{Content, LivePart};
use crate::token::ClientPiece;

/// A share is worth a file of its own, and its sync, from this part of `stage_memory_bytes`: 4 MiB of the
/// default.
const OWN_FILE_PART: usize = 4;

/// What a commit record says of each chunk or frame: three numbers of up to 4 bytes.
const NOTED_BYTES_A_UNIT: usize = 12;
/// And of the INSERT itself, roughly.
const NOTED_BYTES_BASE: usize = 256;

/// Raw bytes that a piece may have: a batch's sizes are kept in 32 bits. Rows as the client gave them stay below half of it.
const PIECE_BYTES_MAX: u64 = 2 * BATCH_BYTES_MAX;

/// The rows of one INSERT on their way in. Its calls may write to disk: for large bodies from a thread that
/// may block.
#[derive(Debug)]
pub struct Stage {
    files: Files,
    origin: Origin,
    memory: StageMemory,
    shares: Vec<StageShare>,
    is_framed: bool,
    is_in_pieces: bool,
    raw_bytes: u64,
    rows: u64,
    memory_bytes: usize,
    /// Memory of the frame that is being made.
    scratch: Vec<u8>,
    extents: Option<StagedExtents>,
    temporaries: Vec<Temporary>,
    /// What it has on disk.
    underway: Underway,
}

/// How much of an INSERT may be in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StageMemory {
    /// Raw bytes up to which it stays raw.
    pub inline_bytes_max: usize,
    /// Compressed bytes above which it goes to disk.
    pub stage_memory_bytes: usize,
    /// Bytes of the disk that it leaves free.
    pub reserve_bytes: u64,
}

/// Where one share goes.
#[derive(Debug, Clone)]
pub(crate) struct ShareTarget {
    /// The lanes that get it.
    pub lanes: ShareLanes,
    /// What a batch of any of them may hold.
    pub limits: BatchLimits,
    /// The shard's name; none when no lane is named, and no rows may come.
    pub place: Option<(String, Destination)>,
}

#[derive(Debug)]
struct StageShare {
    target: ShareTarget,
    rows: ShareRows,
    own: Option<OwnFile>,
    parts: Vec<LivePart>,
    /// The piece that is being filled; none where limits alone divide the share.
    piece: Option<OpenPiece>,
}

/// A piece that is being filled.
#[derive(Debug)]
struct OpenPiece {
    piece: ClientPiece,
    raw_bytes: u64,
    /// Some of it is in the staged file, so that it has no file of its own.
    is_staged: bool,
}

/// A whole INSERT, its files synced, ready to be committed. Dropping it removes them.
#[derive(Debug)]
pub struct Staged {
    pub(crate) insert: InsertId,
    pub(crate) token: Option<String>,
    pub(crate) shape: Arc<Shape>,
    pub(crate) shares: Vec<StagedShare>,
    pub(crate) temporaries: Vec<Temporary>,
    rows: u64,
    raw_bytes: u64,
    disk_bytes: u64,
    underway: Underway,
}

/// One share of it.
#[derive(Debug)]
pub(crate) struct StagedShare {
    /// Its shard's index.
    pub shard: u32,
    /// The lanes that get it.
    pub lanes: ShareLanes,
    /// Its rows.
    pub content: Arc<Content>,
}

impl Stage {
    /// Raw bytes that one run may have: one compressed frame's.
    pub const RUN_BYTES_MAX: u64 = RAW_BYTES_MAX as u64;

    pub(crate) fn new(
        files: Files,
        memory: StageMemory,
        insert: InsertId,
        token: Option<String>,
        shape: Arc<Shape>,
        targets: Vec<ShareTarget>,
    ) -> Stage {
        let underway = Underway::of(&files);
        Stage {
            files,
            origin: Origin { insert, token, shape },
            memory,
            shares: targets.into_iter().map(StageShare::new).collect(),
            is_framed: false,
            is_in_pieces: false,
            raw_bytes: 0,
            rows: 0,
            memory_bytes: 0,
            scratch: Vec::new(),
            extents: None,
            temporaries: Vec::new(),
            underway,
        }
    }

    /// The client's token goes on to the shards: each share is divided where [`Stage::end_piece`] says, and nowhere else, and no
    /// batch has rows of a piece and others. To be said before the first rows.
    #[must_use]
    pub fn in_pieces(mut self) -> Stage {
        self.is_in_pieces = true;
        for share in &mut self.shares {
            share.piece = Some(OpenPiece::behind(None));
        }
        self
    }

    /// The INSERT's receipt, as given.
    pub fn insert(&self) -> InsertId {
        self.origin.insert
    }

    /// Rows that one run may have: the least `max_rows` of the lanes.
    pub fn run_rows_max(&self) -> u64 {
        let of_share = |share: &StageShare| share.target.limits.max_rows;
        self.shares
            .iter()
            .map(of_share)
            .min()
            .unwrap_or(BatchLimits::ROWS_MAX)
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Raw bytes so far.
    pub fn raw_bytes(&self) -> u64 {
        self.raw_bytes
    }

    /// Bytes of memory in use, between 0 and `stage_memory_bytes` or a run more.
    pub fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Takes a run of `count` whole rows, terminators included, for the shard of that index. No cut divides a
    /// run, so one of some hundred rows or KiB is best; an empty one is nothing.
    pub fn append(&mut self, shard: usize, rows: &[u8], count: u64) -> Result<(), StageError> {
        if rows.is_empty() && count == 0 {
            return Ok(());
        }
        let count = self.checked(shard, rows, count)?;
        self.raw_bytes += rows.len() as u64;
        self.rows += u64::from(count);
        if !self.is_framed && self.raw_bytes > self.memory.inline_bytes_max as u64 {
            self.become_framed()?;
        }
        let share = &mut self.shares[shard];
        share.count_in_piece(rows.len() as u64, count)?;
        let before = share.rows.memory_bytes();
        if self.is_framed {
            share.rows.push_framed(rows, count, &mut self.scratch)?;
        } else {
            share.rows.push_raw(rows, count);
        }
        self.memory_bytes = self.memory_bytes - before + share.rows.memory_bytes();
        if self.memory_bytes > self.memory.stage_memory_bytes {
            self.spill()
        } else {
            Ok(())
        }
    }

    /// The shard's next rows begin a piece; nothing where it has no rows since the last end, or is not in pieces.
    pub fn end_piece(&mut self, shard: usize) -> Result<(), StageError> {
        let has_rows = |open: &OpenPiece| open.piece.rows > 0;
        let share = self.shares.get_mut(shard);
        let Some(share) = share.filter(|share| share.piece.as_ref().is_some_and(has_rows)) else {
            return Ok(());
        };
        self.memory_bytes -= share.rows.memory_bytes();
        if self.is_framed {
            share.rows.close_frame(&mut self.scratch)?;
            match share.deserves_own_file(self.memory) {
                true => self.spill_to_own_file(shard)?,
                false => self.spill_to_extents(shard..shard + 1)?,
            }
            self.count_disk_bytes();
        }
        let share = &mut self.shares[shard];
        share.close_own_file(&self.files, &self.origin, &mut self.temporaries)?;
        share.end_piece();
        self.memory_bytes += share.rows.memory_bytes();
        Ok(())
    }

    /// Ends the INSERT: what is on disk is synced.
    pub fn finish(mut self) -> Result<Staged, StageError> {
        for shard in 0..self.shares.len() {
            self.end_piece(shard)?;
        }
        if self.is_framed {
            self.finish_files()?;
        }
        let shares = self
            .shares
            .into_iter()
            .zip(0..)
            .filter_map(|(share, shard)| share.finish(shard))
            .collect();
        let mut staged = Staged {
            insert: self.origin.insert,
            token: self.origin.token,
            shape: self.origin.shape,
            shares,
            temporaries: self.temporaries,
            rows: self.rows,
            raw_bytes: self.raw_bytes,
            disk_bytes: 0,
            underway: self.underway,
        };
        staged.disk_bytes = staged.shares.iter().map(|share| share.content.disk_bytes()).sum();
        staged.underway.set(staged.disk_bytes);
        debug_assert_eq!(
            staged.rows,
            staged
                .shares
                .iter()
                .map(|share| share.content.totals().0)
                .sum::<u64>()
        );
        Ok(staged)
    }

    fn checked(&self, shard: usize, rows: &[u8], count: u64) -> Result<u32, StageError> {
        let Some(share) = self
            .shares
            .get(shard)
            .filter(|share| share.target.place.is_some())
        else {
            return Err(StageError::NoShard {
                shard,
                shards: self.shares.len(),
            });
        };
        let (rows_max, bytes_max) = (share.target.limits.max_rows, Self::RUN_BYTES_MAX);
        let bytes = rows.len() as u64;
        let fits = (1..=rows_max).contains(&count) && (1..=bytes_max).contains(&bytes);
        match u32::try_from(count) {
            Ok(count) if fits => Ok(count),
            _ => Err(StageError::RunTooLarge {
                rows: count,
                bytes,
                rows_max,
                bytes_max,
            }),
        }
    }

    fn become_framed(&mut self) -> Result<(), StageError> {
        self.is_framed = true;
        for share in &mut self.shares {
            share.rows.become_framed(&mut self.scratch)?;
        }
        self.memory_bytes = self.shares.iter().map(|share| share.rows.memory_bytes()).sum();
        Ok(())
    }

    /// Brings memory down: the largest share to its own file, or all of them to the staged one.
    fn spill(&mut self) -> Result<(), StageError> {
        self.check_room()?;
        let largest = (0..self.shares.len()).max_by_key(|at| self.shares[*at].rows.frames_bytes());
        let Some(at) = largest else { return Ok(()) };
        if self.shares[at].deserves_own_file(self.memory) {
            self.spill_to_own_file(at)?;
        } else {
            self.spill_to_extents(0..self.shares.len())?;
        }
        self.memory_bytes = self.shares.iter().map(|share| share.rows.memory_bytes()).sum();
        self.count_disk_bytes();
        Ok(())
    }

    fn spill_to_own_file(&mut self, at: usize) -> Result<(), StageError> {
        let share = &mut self.shares[at];
        for (frame, bytes) in share.rows.take_frames() {
            share.write_to_own_file(&self.files, &self.origin, frame, &bytes, &mut self.temporaries)?;
        }
        Ok(())
    }

    fn spill_to_extents(&mut self, shares: Range<usize>) -> Result<(), StageError> {
        let mut extents = match self.extents.take() {
            Some(extents) => extents,
            None => StagedExtents::create(&self.files, self.origin.insert)?,
        };
        for share in self.shares[shares].iter_mut().filter(|share| share.own.is_none()) {
            let frames = share.rows.take_frames();
            if !frames.is_empty() {
                let offset = extents.append(&frames)?;
                share.add_extent(offset, frames.iter().map(|(frame, _)| *frame));
            }
        }
        self.extents = Some(extents);
        Ok(())
    }

    /// One large INSERT does not take what is kept for what was accepted.
    fn check_room(&self) -> Result<(), StageError> {
        let reserve_bytes = self.memory.reserve_bytes;
        let root = self.files.layout.root();
        let Some(free_bytes) = self.files.disk.free_bytes(root).filter(|_| reserve_bytes > 0) else {
            return Ok(());
        };
        match free_bytes < reserve_bytes.saturating_add(self.memory_bytes as u64) {
            true => Err(StageError::NoRoom {
                free_bytes,
                reserve_bytes,
            }),
            false => Ok(()),
        }
    }

    /// Counts what went to disk since the last look.
    fn count_disk_bytes(&mut self) {
        let own = self.shares.iter().map(StageShare::disk_bytes).sum::<u64>();
        let extents = self.extents.as_ref().map_or(0, StagedExtents::bytes);
        self.underway.set(own + extents);
    }

    fn finish_files(&mut self) -> Result<(), StageError> {
        self.check_room()?;
        for at in 0..self.shares.len() {
            self.shares[at].rows.close_frame(&mut self.scratch)?;
            if self.shares[at].deserves_own_file(self.memory) {
                self.spill_to_own_file(at)?;
            }
        }
        if self.shares.iter().any(|share| share.rows.frames_bytes() > 0) {
            self.spill_to_extents(0..self.shares.len())?;
        }
        for share in &mut self.shares {
            share.close_own_file(&self.files, &self.origin, &mut self.temporaries)?;
        }
        if let Some(extents) = self.extents.take() {
            self.temporaries.push(extents.finish(&self.files)?);
        }
        self.sync_directories().map_err(StageError::from)
    }

    /// The names of what was written; without them a power loss would take the files.
    fn sync_directories(&self) -> Result<(), FileError> {
        let parents = self
            .temporaries
            .iter()
            .filter_map(|temporary| temporary.path().parent());
        let directories: BTreeSet<_> = parents.collect();
        directories
            .into_iter()
            .try_for_each(|directory| self.files.sync_dir(directory))
    }
}

impl StageShare {
    fn new(target: ShareTarget) -> StageShare {
        let rows = ShareRows::new(target.limits);
        StageShare {
            target,
            rows,
            own: None,
            parts: Vec::new(),
            piece: None,
        }
    }

    /// Writing what Weir computed into rows can make a piece larger than its client's bytes, by which it is measured.
    fn count_in_piece(&mut self, raw_bytes: u64, rows: u32) -> Result<(), StageError> {
        let Some(open) = &mut self.piece else {
            return Ok(());
        };
        open.raw_bytes += raw_bytes;
        open.piece.rows += u64::from(rows);
        let (rows, bytes) = (open.piece.rows, open.raw_bytes);
        match rows > BatchLimits::ROWS_MAX || bytes > PIECE_BYTES_MAX {
            true => Err(StageError::PieceTooLarge { rows, bytes }),
            false => Ok(()),
        }
    }

    /// Behind what was brought to disk.
    fn end_piece(&mut self) {
        self.keep_raw();
        self.parts.push(LivePart::PieceEnd);
        self.piece = Some(OpenPiece::behind(self.piece.as_ref()));
    }

    /// Raw rows of a small INSERT become a part; they stay raw, also where the INSERT becomes large.
    fn keep_raw(&mut self) {
        let rows = std::mem::replace(&mut self.rows, ShareRows::new(self.target.limits));
        let (rows, chunks) = rows.into_raw();
        if !chunks.is_empty() {
            self.parts.push(LivePart::Inline { rows, chunks });
        }
    }

    /// Bytes of its own files.
    fn disk_bytes(&self) -> u64 {
        let closed = self.parts.iter().map(|part| match part {
            LivePart::File(file) => file.batch.file_bytes,
            LivePart::Inline { .. } | LivePart::Staged { .. } | LivePart::PieceEnd => 0,
        });
        closed.sum::<u64>() + self.own.as_ref().map_or(0, OwnFile::bytes)
    }

    fn deserves_own_file(&self, memory: StageMemory) -> bool {
        let is_staged = self.piece.as_ref().is_some_and(|open| open.is_staged);
        let is_large = self.rows.frames_bytes() >= memory.stage_memory_bytes / OWN_FILE_PART;
        self.own.is_some() || (is_large && !is_staged)
    }

    fn write_to_own_file(
        &mut self,
        files: &Files,
        origin: &Origin,
        frame: Frame,
        bytes: &[u8],
        temporaries: &mut Vec<Temporary>,
    ) -> Result<(), FileError> {
        if self
            .own
            .as_ref()
            .is_some_and(|own| self.piece.is_none() && !own.takes(frame, &self.target.limits))
        {
            self.close_own_file(files, origin, temporaries)?;
        }
        let Some((_, directory)) = &self.target.place else {
            return Ok(());
        };
        let mut own = match self.own.take() {
            Some(own) => own,
            None => OwnFile::create(files, directory)?,
        };
        own.append(origin, frame, bytes)?;
        self.own = Some(own);
        Ok(())
    }

    fn close_own_file(
        &mut self,
        files: &Files,
        origin: &Origin,
        temporaries: &mut Vec<Temporary>,
    ) -> Result<(), FileError> {
        let (Some(own), Some((shard, _))) = (self.own.take(), &self.target.place) else {
            return Ok(());
        };
        let piece = self.piece.as_ref().map(|open| open.piece);
        let (file, temporary) = own.finish(files, origin, shard, piece)?;
        self.parts.push(LivePart::File(Box::new(file)));
        temporaries.push(temporary);
        Ok(())
    }

    fn add_extent(&mut self, offset: u64, frames: impl Iterator<Item = Frame>) {
        if let Some(open) = &mut self.piece {
            open.is_staged = true;
        }
        self.parts.push(LivePart::Staged {
            offset,
            frames: frames.collect(),
        });
    }

    fn finish(mut self, shard: u32) -> Option<StagedShare> {
        self.keep_raw();
        let content = Arc::new(Content { parts: self.parts });
        (!content.parts.is_empty()).then_some(StagedShare {
            shard,
            lanes: self.target.lanes,
            content,
        })
    }
}

impl OpenPiece {
    /// An empty one, the share's first, or behind another.
    fn behind(before: Option<&OpenPiece>) -> OpenPiece {
        let (number, first_row) = before.map_or((0, 0), |open| {
            (open.piece.number + 1, open.piece.first_row + open.piece.rows)
        });
        OpenPiece {
            piece: ClientPiece {
                number,
                first_row,
                rows: 0,
            },
            raw_bytes: 0,
            is_staged: false,
        }
    }
}

impl Staged {
    /// The INSERT's receipt.
    pub fn insert(&self) -> InsertId {
        self.insert
    }

    /// Rows of all shares.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Raw bytes of all shares.
    pub fn raw_bytes(&self) -> u64 {
        self.raw_bytes
    }

    /// Bytes that its files take on disk; none while it is small.
    pub fn disk_bytes(&self) -> u64 {
        self.disk_bytes
    }

    /// Whether none of its rows are in memory.
    pub fn is_on_disk(&self) -> bool {
        let mut parts = self.shares.iter().flat_map(|share| &share.content.parts);
        !parts.any(|part| matches!(part, LivePart::Inline { .. }))
    }

    /// Bytes that its commit record takes beside inline rows, roughly: 12 a frame, fewer a chunk.
    pub(crate) fn noted_bytes(&self) -> usize {
        let parts = self.shares.iter().flat_map(|share| &share.content.parts);
        NOTED_BYTES_BASE
            + parts
                .map(|part| NOTED_BYTES_A_UNIT * part.len().max(1))
                .sum::<usize>()
    }

    /// Its files belong to the journal from now on.
    pub(crate) fn keep_files(&mut self) {
        self.temporaries.iter_mut().for_each(Temporary::keep);
    }
}

impl Content {
    fn disk_bytes(&self) -> u64 {
        let of_part = |part: &LivePart| match part {
            LivePart::Inline { .. } | LivePart::PieceEnd => 0,
            LivePart::Staged { frames, .. } => frames.iter().map(|frame| u64::from(frame.bytes)).sum(),
            LivePart::File(file) => file.batch.file_bytes,
        };
        self.parts.iter().map(of_part).sum()
    }
}

#[cfg(test)]
mod tests;
