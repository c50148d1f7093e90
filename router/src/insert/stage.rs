//! One INSERT between its body and its commit: the splitter and the spool's stage, filled together.

use std::sync::Arc;

use formats::Payload;
use spool::{Destination, InsertId, ProbeTarget, Shape, Spool, Stage, Staged};
use types::ColumnDef;

use super::plan::Plan;
use super::retries::BodyHash;
use super::shapes::ShapeKey;
use super::split::{Shares, Splitter};
use super::versions::OwnTypes;
use crate::budget::Part;
use crate::exception::Exception;
use crate::routing::RoutedTable;

/// An INSERT being split.
pub struct Staging {
    splitter: Splitter,
    shares: LazyStage,
    body_bytes: u64,
    /// Of the body so far, where a retry may be recognised by it.
    body_hash: Option<BodyHash>,
    /// The body goes on as it is.
    is_unchecked: bool,
    /// Its part of the memory for INSERTs.
    part: Part,
}

/// The spool's stage is opened with the first rows: only then are their columns certain, a header may name
/// them.
struct LazyStage {
    spool: Spool,
    insert: InsertId,
    token: Option<String>,
    /// The token goes on to the shards.
    is_in_pieces: bool,
    table: Arc<RoutedTable>,
    format: &'static str,
    settings: Vec<(String, String)>,
    schema: u128,
    own_types: Option<OwnTypes>,
    key: Option<ShapeKey>,
    stage: Option<Stage>,
    staged: Option<Staged>,
    rows: u64,
    /// Shards with rows.
    used: Vec<bool>,
}

impl Staging {
    /// Starts an INSERT.
    pub fn new(spool: &Spool, plan: Plan) -> Self {
        let shards = plan.table.lanes.len();
        let payload = plan.stream.payload();
        let shares = LazyStage {
            spool: spool.clone(),
            insert: InsertId::random(),
            token: plan.token.clone(),
            is_in_pieces: plan.pieces.is_some(),
            format: payload.name(),
            settings: plan.shape_settings(),
            schema: plan.schema,
            own_types: plan.own_types,
            key: None,
            stage: None,
            staged: None,
            rows: 0,
            used: vec![false; shards],
            table: plan.table,
        };
        let splitter = Splitter::new(
            plan.stream,
            plan.placement,
            plan.filling,
            shards,
            payload.terminator(),
        )
        .in_pieces(plan.pieces);
        Self {
            splitter,
            shares,
            body_bytes: 0,
            body_hash: plan.body_hash,
            is_unchecked: matches!(payload, Payload::Whole(_)),
            part: Part::default(),
        }
    }

    /// Splits the next bytes of the body. May write to the disk once the INSERT is large.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), Exception> {
        self.body_bytes += chunk.len() as u64;
        if let Some(hash) = &mut self.body_hash {
            hash.update(chunk);
        }
        let Self { splitter, shares, .. } = self;
        splitter.push(chunk, shares)?;
        Ok(())
    }

    /// The body has ended cleanly: the last row is split and what went to disk is synced.
    pub fn finish(&mut self) -> Result<(), Exception> {
        self.splitter.finish(&mut self.shares)?;
        if let Some(stage) = self.shares.stage.take() {
            self.shares.staged = Some(stage.finish()?);
        }
        Ok(())
    }

    /// Its part of the memory for INSERTs, to be made larger as the body grows.
    pub fn part(&mut self) -> &mut Part {
        &mut self.part
    }

    /// Gives its part of the memory back, where its rows are in files by now.
    pub fn give_back_part(&mut self) {
        if self.shares.staged.as_ref().is_some_and(Staged::is_on_disk) {
            self.part = Part::default();
        }
    }

    /// What the spool commits, and the part of the memory that it takes until then.
    pub fn into_staged(self) -> Result<(Staged, Part), Exception> {
        let staged = self.shares.staged;
        let staged =
            staged.ok_or_else(|| Exception::internal("an INSERT was committed before it was staged"))?;
        Ok((staged, self.part))
    }

    /// The client's insert_deduplication_token.
    pub fn token(&self) -> Option<&str> {
        self.shares.token.as_deref()
    }

    /// The hash of the body so far, where a retry may be recognised by it.
    pub fn body_hash(&self) -> Option<u128> {
        self.body_hash.as_ref().map(BodyHash::digest)
    }

    /// Bytes of the body so far.
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// The destinations that have rows of it.
    pub fn destinations(&self) -> Vec<Destination> {
        let LazyStage { table, used, .. } = &self.shares;
        let has_rows = |d: &&Destination| {
            table
                .cluster
                .shards
                .iter()
                .zip(used)
                .any(|(s, used)| *used && s.name == d.shard)
        };
        table.destinations.iter().filter(has_rows).cloned().collect()
    }

    /// Whether nothing of the body was looked into, not even where its rows end: only a shard can tell whether it is sound.
    pub fn is_unchecked(&self) -> bool {
        self.is_unchecked
    }

    /// What its rows have in common; none before the first.
    pub fn shape_key(&self) -> Option<ShapeKey> {
        self.shares.key
    }

    /// Where a batch of its rows may go ahead of the others.
    pub fn probe_targets(&self) -> Vec<ProbeTarget> {
        let LazyStage { table, used, .. } = &self.shares;
        table.probe_targets(|shard| used[shard])
    }

    /// Rows of all shares.
    pub fn rows(&self) -> u64 {
        self.shares.rows
    }
}

impl Shares for LazyStage {
    fn columns_are(&mut self, columns: &[ColumnDef], written: &[(String, String)]) -> Result<(), Exception> {
        if let Some(own_types) = &self.own_types {
            own_types.check(written)?;
        }
        if self.stage.is_none() {
            // Whether a shard can cast the types of blocks is a part of their shape.
            let type_of = |column: &ColumnDef| match written.iter().find(|(name, _)| *name == column.name) {
                Some((_, written)) => written.clone(),
                None => column.data_type.to_string(),
            };
            let columns = columns
                .iter()
                .map(|column| (column.name.clone(), type_of(column)))
                .collect();
            let shape = Arc::new(self.shape(columns));
            self.key = Some(ShapeKey::of(&shape, self.schema));
            let stage = self
                .spool
                .stage(self.insert, self.token.clone(), shape, &self.table.lanes);
            self.stage = Some(if self.is_in_pieces {
                stage.in_pieces()
            } else {
                stage
            });
        }
        Ok(())
    }

    fn run_rows_max(&self) -> u64 {
        self.stage.as_ref().map_or(u64::MAX, Stage::run_rows_max)
    }

    fn end_piece(&mut self, shard: usize) -> Result<(), Exception> {
        match &mut self.stage {
            Some(stage) => Ok(stage.end_piece(shard)?),
            None => Ok(()),
        }
    }

    fn append(&mut self, shard: usize, rows: &[u8], count: u64) -> Result<(), Exception> {
        let Some(stage) = &mut self.stage else {
            return Err(Exception::internal("rows came before their columns"));
        };
        stage.append(shard, rows, count)?;
        self.used[shard] = true;
        self.rows += count;
        Ok(())
    }
}

impl LazyStage {
    fn shape(&self, columns: Vec<(String, String)>) -> Shape {
        Shape {
            cluster: self.table.cluster.name.clone(),
            epoch: self.table.cluster.epoch,
            table: self.table.name.clone(),
            columns,
            format: self.format.to_owned(),
            settings: self.settings.clone(),
        }
    }
}
