//! What senders and checks say to a replica: the seam at which the seeded world (`world/`) puts replicas of its own.

use std::fmt::Debug;
use std::time::Duration;

use futures_util::future::BoxFuture;
use shard_client::{Attempts, Facts, InsertRequest, Inserted, Replica, ShardError, Target, Views};
use spool::Batch;

use crate::deliver::file_body;

/// One replica, as delivery needs it. Each call is what [`Replica`] has under that name.
pub trait Wire: Debug + Send + Sync {
    /// Whether it answers.
    fn ping(&self) -> BoxFuture<'_, Result<(), ShardError>>;

    /// What it says of itself, and which of these settings it knows.
    fn facts<'a>(&'a self, settings: &'a [&'a str]) -> BoxFuture<'a, Result<Facts, ShardError>>;

    /// What a target is to it.
    fn target<'a>(
        &'a self,
        database: &'a str,
        table: &'a str,
    ) -> BoxFuture<'a, Result<Option<Target>, ShardError>>;

    /// Whether materialized views hang on a target.
    fn views<'a>(&'a self, database: &'a str, table: &'a str) -> BoxFuture<'a, Result<Views, ShardError>>;

    /// What became of earlier attempts at a batch.
    fn attempts<'a>(
        &'a self,
        batch: &'a str,
        within: Duration,
    ) -> BoxFuture<'a, Result<Option<Attempts>, ShardError>>;

    /// Blocks that a target has taken of late.
    fn blocks_since<'a>(
        &'a self,
        database: &'a str,
        table: &'a str,
        is_replicated: bool,
        age: Duration,
    ) -> BoxFuture<'a, Result<Option<u64>, ShardError>>;

    /// An INSERT with a batch's rows, or with none. Dropping the future closes the connection.
    fn insert<'a>(
        &'a self,
        request: InsertRequest,
        rows: Option<&'a Batch>,
    ) -> BoxFuture<'a, Result<Inserted, ShardError>>;
}

impl Wire for Replica {
    fn ping(&self) -> BoxFuture<'_, Result<(), ShardError>> {
        Box::pin(self.ping())
    }

    fn facts<'a>(&'a self, settings: &'a [&'a str]) -> BoxFuture<'a, Result<Facts, ShardError>> {
        Box::pin(self.facts(settings))
    }

    fn target<'a>(
        &'a self,
        database: &'a str,
        table: &'a str,
    ) -> BoxFuture<'a, Result<Option<Target>, ShardError>> {
        Box::pin(self.target(database, table))
    }

    fn views<'a>(&'a self, database: &'a str, table: &'a str) -> BoxFuture<'a, Result<Views, ShardError>> {
        Box::pin(self.views(database, table))
    }

    fn attempts<'a>(
        &'a self,
        batch: &'a str,
        within: Duration,
    ) -> BoxFuture<'a, Result<Option<Attempts>, ShardError>> {
        Box::pin(self.attempts(batch, within))
    }

    fn blocks_since<'a>(
        &'a self,
        database: &'a str,
        table: &'a str,
        is_replicated: bool,
        age: Duration,
    ) -> BoxFuture<'a, Result<Option<u64>, ShardError>> {
        Box::pin(self.blocks_since(database, table, is_replicated, age))
    }

    fn insert<'a>(
        &'a self,
        request: InsertRequest,
        rows: Option<&'a Batch>,
    ) -> BoxFuture<'a, Result<Inserted, ShardError>> {
        let body = match rows {
            Some(batch) => file_body::payload(batch.path().to_owned(), batch.frames()),
            None => file_body::nothing(),
        };
        Box::pin(self.insert(request, body))
    }
}
