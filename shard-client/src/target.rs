//! What a target is to a replica: who shares its memory of blocks, and whether it takes INSERTs now.
//!
//! A repeated batch is recognised by the target alone: replicas of one `zookeeper_path` have one memory, others have each its
//! own.

use crate::error::ShardError;
use crate::facts::if_told;
use crate::replica::Replica;
use crate::request::quoted_text;

/// A table as a replica has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// Where its replicas meet, if it is replicated and the server tells.
    pub zookeeper_path: Option<String>,
    /// It is replicated and takes no INSERT now.
    pub is_readonly: bool,
}

fn is_replicated(engine: &str) -> bool {
    engine.ends_with("MergeTree") && (engine.starts_with("Replicated") || engine.starts_with("Shared"))
}

impl Replica {
    /// Asks the replica what the table is; none where it has no such table, or does not tell this user.
    pub async fn target(&self, database: &str, table: &str) -> Result<Option<Target>, ShardError> {
        let (database, table) = (quoted_text(database), quoted_text(table));
        let of_table = |what: &str, name: &str| {
            format!("SELECT {what} WHERE database = {database} AND {name} = {table} FORMAT TabSeparated")
        };
        let Some([engine]) = self
            .row_if_told(&of_table("engine FROM system.tables", "name"))
            .await?
        else {
            return Ok(None);
        };
        let mut target = Target::default();
        if is_replicated(&engine) {
            let asked = of_table("zookeeper_path, is_readonly FROM system.replicas", "table");
            if let Some([path, readonly]) = self.row_if_told(&asked).await? {
                target.zookeeper_path = Some(path).filter(|path| !path.is_empty());
                target.is_readonly = readonly == "1";
            }
        }
        Ok(Some(target))
    }

    /// The first row, if it has so many values, and the server answers such a query at all.
    async fn row_if_told<const N: usize>(&self, sql: &str) -> Result<Option<[String; N]>, ShardError> {
        let row = if_told(self.first_row(sql).await)?;
        Ok(row.and_then(|row| row.try_into().ok()))
    }
}
