//! Where a destination's batches go now, and in which order their replicas are tried.

use std::sync::Arc;

use config::OnDoubt;
use shard_client::{Facts, InsertRequest};
use spool::{Batch, MayHave};

use super::request::{BatchInsert, InsertInto};
use crate::identity::{Identities, Place};
use crate::replica::ReplicaRuntime;
use crate::routing::RoutedTable;

/// Where a destination's batches go now.
pub struct Route {
    table: Arc<RoutedTable>,
    shard: String,
    replicas: Vec<Arc<ReplicaRuntime>>,
}

impl Route {
    /// A table's rows of one shard, to these replicas of it: one of them, whichever it is.
    pub fn new(table: Arc<RoutedTable>, shard: String, replicas: Vec<Arc<ReplicaRuntime>>) -> Self {
        Self {
            table,
            shard,
            replicas,
        }
    }

    /// The INSERT that carries a batch, as one attempt at a replica that said `facts` of itself.
    pub fn insert_request(
        &self,
        batch: &Batch,
        attempt: u32,
        replica: &ReplicaRuntime,
        facts: &Facts,
    ) -> InsertRequest {
        let insert = BatchInsert {
            shape: batch.shape(),
            token: batch.token(),
            frames_bytes: batch.frames().end - batch.frames().start,
            frames_crc32: batch.frames_crc32(),
        };
        let (database, table) = self.target_on(replica);
        let into = InsertInto {
            database,
            table,
            bare_frames: self.table.cluster.config.bare_frames,
        };
        insert.request(&into, facts, format!("{}-{attempt}", batch.name()))
    }

    /// The replicas in the order in which a batch tries them: the local one first, then by load_balancing and health. A batch
    /// that somebody may have goes only where its repetition is recognised; `on_doubt = "send"` repeats it anywhere. An error
    /// says that no such replica is left.
    pub fn order(
        &self,
        may_have: Option<MayHave<'_>>,
        identities: &Identities,
    ) -> Result<Vec<Arc<ReplicaRuntime>>, String> {
        let safe = match may_have.filter(|_| self.send().on_doubt != Some(OnDoubt::Send)) {
            None => self.replicas.clone(),
            Some(holder) => self.recognising(holder, identities)?,
        };
        Ok(self.table.in_order(&safe))
    }

    /// The replicas that would recognise a repeat of what that one may have been given.
    fn recognising(
        &self,
        holder: MayHave<'_>,
        identities: &Identities,
    ) -> Result<Vec<Arc<ReplicaRuntime>>, String> {
        let address = match holder {
            MayHave::Replica(address) => address,
            MayHave::Any if self.all_share_blocks(identities) => return Ok(self.replicas.clone()),
            MayHave::Any => {
                return Err("records of the journal are lost: some replica may have this batch, and not each would recognise a \
                            repeat; look there for its rows, then `weir spool drop` or `retry` it"
                    .to_owned());
            }
        };
        let there = self.place(address);
        let is_safe = |replica: &&Arc<ReplicaRuntime>| {
            replica.address() == address || identities.share_blocks(&there, &self.place(replica.address()))
        };
        let safe: Vec<_> = self.replicas.iter().filter(is_safe).cloned().collect();
        if safe.is_empty() {
            return Err(format!(
                "replica {address} may have this batch, and neither it nor another of its zookeeper_path is configured any more: \
                 look there for its rows, then `weir spool drop` it, or configure the replica again and `weir spool retry`"
            ));
        }
        Ok(safe)
    }

    /// Whether each replica recognises what any other was given.
    fn all_share_blocks(&self, identities: &Identities) -> bool {
        let mut pairs = self.replicas.windows(2);
        pairs.all(|pair| {
            identities.share_blocks(&self.place(pair[0].address()), &self.place(pair[1].address()))
        })
    }

    /// The target on the replica of that address.
    pub fn place(&self, address: &str) -> Place {
        let replica = self.replicas.iter().find(|replica| replica.address() == address);
        self.table.place(&self.shard, address, replica.map(Arc::as_ref))
    }

    /// Database and name that the target has on a replica.
    pub fn target_on<'a>(&'a self, replica: &'a ReplicaRuntime) -> (&'a str, &'a str) {
        let target = &self.table.config.target;
        (replica.database(&target.database), &target.table)
    }

    /// The replicas that its batches may go to.
    pub fn replicas(&self) -> &[Arc<ReplicaRuntime>] {
        &self.replicas
    }

    /// How batches are sent.
    pub fn send(&self) -> &config::SendSettings {
        &self.table.config.send
    }

    /// The table whose batches these are.
    pub fn table(&self) -> &Arc<RoutedTable> {
        &self.table
    }
}
