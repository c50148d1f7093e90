//! After an answer was lost: what the server says became of the INSERT, and how many blocks its table has taken since.
//!
//! Both are asked of the server's own tables, so a server that keeps no such log, or does not show it to this user, says
//! nothing, which is neither yes nor no.

use std::time::Duration;

use crate::error::ShardError;
use crate::replica::Replica;
use crate::request::quoted_text;
use crate::server_error::ServerError;

/// Clocks tell whole seconds, and neither side's to the second alike.
const CLOCK_SLACK: Duration = Duration::from_secs(5);

/// Attempts of one batch that are read from the log, the last first: more are told apart by nothing.
const ATTEMPTS_MAX: usize = 1000;

/// What a server knows of the attempts at one batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attempts {
    /// Some run still.
    pub running: bool,
    /// Rows that one of them wrote which came to its end; 0 where its block was there already.
    pub finished: Option<u64>,
    /// Query ids of those that failed, with the server's words.
    pub failed: Vec<(String, ServerError)>,
}

impl Replica {
    /// What became of the INSERTs whose query id is `<batch>-<number>`, begun no longer ago than that. What is nowhere in the
    /// answer may have been executed all the same: logs are written late, and lost by a crash.
    ///
    /// `None` where the server keeps no query log, or does not show it.
    pub async fn attempts(&self, batch: &str, within: Duration) -> Result<Option<Attempts>, ShardError> {
        // A token is hexadecimal, so nothing in it is a pattern.
        let ours = format!("query_id LIKE {}", quoted_text(&format!("{batch}-%")));
        let running =
            format!("SELECT query_id FROM system.processes WHERE {ours} LIMIT 1 FORMAT TabSeparated");
        if self
            .rows_if_told(&running)
            .await?
            .is_some_and(|rows| !rows.is_empty())
        {
            return Ok(Some(Attempts {
                running: true,
                ..Attempts::default()
            }));
        }
        // Not every user may; the log is then some seconds behind.
        let _ = self.query("SYSTEM FLUSH LOGS", &[]).await;
        let seconds = (within + CLOCK_SLACK).as_secs();
        let ended = format!(
            "SELECT query_id, toString(toInt8(type)), toString(written_rows), exception FROM system.query_log \
             WHERE event_date >= toDate(now() - {seconds}) AND event_time >= now() - {seconds} \
             AND {ours} AND toInt8(type) != {BEGAN} \
             ORDER BY event_time DESC LIMIT {ATTEMPTS_MAX} FORMAT TabSeparated"
        );
        Ok(self.rows_if_told(&ended).await?.map(read_log))
    }

    /// Blocks that a MergeTree table has taken in the last `age`, whoever wrote them. `None` where the server does not show its
    /// parts. Those of the second in which that began are left out, since parts tell whole seconds: what came before would
    /// count too, which may be hundreds. Else rather too many than too few.
    ///
    /// Block numbers are given in order (to each partition of a replicated table its own), and a part says from which to
    /// which its rows go. So what is above the highest number of a part that is older is newer. A merge hides old parts
    /// after some minutes (`old_parts_lifetime`, 8 by default), and then counts as new as a whole. What a replica has yet to
    /// fetch counts one block each.
    pub async fn blocks_since(
        &self,
        database: &str,
        table: &str,
        is_replicated: bool,
        age: Duration,
    ) -> Result<Option<u64>, ShardError> {
        let seconds = age.as_secs();
        let (database, table) = (quoted_text(database), quoted_text(table));
        let partitions = if is_replicated { "GROUP BY partition" } else { "" };
        let older = format!("modification_time <= now() - {seconds}");
        let sql = format!(
            "SELECT toString(sum(taken)) FROM (SELECT toInt64(max(max_block_number)) - if(countIf({older}) = 0, \
             toInt64(min(min_block_number)) - 1, toInt64(maxIf(max_block_number, {older}))) AS taken FROM system.parts \
             WHERE database = {database} AND table = {table} {partitions} HAVING count() > 0) FORMAT TabSeparated"
        );
        let Some(taken) = self.number_if_told(&sql).await? else {
            return Ok(None);
        };
        if !is_replicated {
            return Ok(Some(taken));
        }
        let sql = format!(
            "SELECT toString(inserts_in_queue + greatest(toInt64(log_max_index) + 1 - toInt64(log_pointer), 0)) \
             FROM system.replicas WHERE database = {database} AND table = {table} FORMAT TabSeparated"
        );
        let behind = self.number_if_told(&sql).await?;
        Ok(behind.map(|behind| taken.saturating_add(behind)))
    }

    /// The only number of an answer; 0 for one without rows.
    async fn number_if_told(&self, sql: &str) -> Result<Option<u64>, ShardError> {
        let Some(rows) = self.rows_if_told(sql).await? else {
            return Ok(None);
        };
        let Some(value) = rows.into_iter().flatten().next() else {
            return Ok(Some(0));
        };
        // Numbers below zero are of no table: it was made anew meanwhile.
        Ok(value.parse().ok())
    }
}

/// Types of the log's rows: numbers in 18.16, and behind the names that they have since (`QueryStart`, `QueryFinish`).
const BEGAN: u8 = 1;
const FINISHED: &str = "2";

/// Rows of the query log: query id, type, written rows, exception.
fn read_log(rows: Vec<Vec<String>>) -> Attempts {
    let mut attempts = Attempts::default();
    for row in rows {
        let Ok([query_id, kind, written_rows, exception]) = <[String; 4]>::try_from(row) else {
            continue;
        };
        if kind == FINISHED {
            let written: u64 = written_rows.parse().unwrap_or(0);
            attempts.finished = Some(attempts.finished.unwrap_or(0).max(written));
        } else if let Some(error) = ServerError::read(STATUS_OF_FAILED, None, &exception) {
            attempts.failed.push((query_id, error));
        }
    }
    attempts
}

/// The status under which a failed INSERT was answered.
const STATUS_OF_FAILED: u16 = 500;

#[cfg(test)]
mod tests {
    use super::*;

    fn row(query_id: &str, kind: &str, rows: &str, exception: &str) -> Vec<String> {
        [query_id, kind, rows, exception].map(str::to_owned).to_vec()
    }

    #[test]
    fn the_log_says_which_attempts_ended_and_how() {
        let read = read_log(vec![
            row("ab-3", FINISHED, "0", ""),
            row("ab-2", FINISHED, "7", ""),
            row(
                "ab-1",
                "4",
                "0",
                "Code: 241. DB::Exception: Memory limit (total) exceeded. (MEMORY_LIMIT_EXCEEDED)",
            ),
        ]);
        assert_eq!((read.running, read.finished), (false, Some(7)));
        let failed: Vec<_> = read
            .failed
            .iter()
            .map(|(id, error)| (id.as_str(), error.code))
            .collect();
        assert_eq!(failed, [("ab-1", 241)]);
    }

    #[test]
    fn a_log_without_our_attempts_says_nothing() {
        assert_eq!(read_log(Vec::new()), Attempts::default());
    }
}
