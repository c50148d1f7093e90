//! The slot layout of a cluster, and the epoch that guards it.
//!
//! Which shard a row belongs to follows from the shards' names and weights, from internal_replication (which
//! decides whose queue it waits in) and from its table's key. If any of them changed unnoticed, rows of one
//! key would be spread over two shards for ever. So the layout in force is kept in the spool's meta/, and a
//! start or reload whose layout differs under the same epoch is refused with the word to raise it.
//!
//! Its text, one line an item, fields separated by one blank and percent-encoded:
//!
//! ```text
//! weir-layout 1
//! epoch 3
//! shard s01 9 replicated
//! shard s02 10 each
//! table default hits slots cityHash64(user_id)
//! end
//! ```

use std::collections::BTreeMap;
use std::fmt::Write;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use crate::check::Config;
use crate::cluster::{Cluster, Shard};
use crate::names::TableName;
use crate::table::{Assignment, Table};

/// What decides the shard of every row of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The number of this layout.
    pub epoch: u64,
    /// In the order of the slots.
    pub shards: Vec<LayoutShard>,
    /// The distributed tables known so far; new ones may join under the same epoch.
    pub tables: BTreeMap<TableName, LayoutTable>,
}

/// What a shard contributes to a layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayoutShard {
    /// Its name.
    pub name: String,
    /// How many slots it owns.
    pub weight: u32,
    /// Whether its rows wait once, or once a replica.
    pub internal_replication: bool,
}

/// What a distributed table contributes to a layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayoutTable {
    /// Its key as written, `None` without one.
    pub sharding_key: Option<String>,
    /// How values become shards.
    pub assignment: Assignment,
}

/// Why a layout cannot take the place of the one in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// It differs and has the same epoch.
    #[error(
        "the slot layout differs from the one in force, {difference}: rows of one key would lie on two shards; \
         if this is meant, set epoch = {} in [cluster.{cluster}]", .epoch.saturating_add(1)
    )]
    SameEpoch {
        /// The cluster's name.
        cluster: String,
        /// The first difference found.
        difference: String,
        /// The epoch that both have.
        epoch: u64,
    },
    /// Its epoch lies behind the one in force, which has been written down with rows.
    #[error(
        "epoch {epoch} of [cluster.{cluster}] lies behind {in_force}, which is in force: epochs only rise"
    )]
    OldEpoch {
        /// The cluster's name.
        cluster: String,
        /// The epoch of the file.
        epoch: u64,
        /// The epoch in force.
        in_force: u64,
    },
}

/// Why a layout's text cannot be read: it was not written by [`Layout::to_text`], or was damaged since.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the slot layout: {reason}")]
pub struct LayoutTextError {
    /// Counted from 1.
    pub line: usize,
    /// What was expected there.
    pub reason: &'static str,
}

impl Layout {
    /// The layout of a cluster with its tables in `config`.
    pub fn of(config: &Config, cluster: &Cluster) -> Layout {
        let tables = config.tables.iter().filter(|table| table.cluster == cluster.name);
        Layout {
            epoch: cluster.epoch,
            shards: cluster.shards.iter().map(LayoutShard::of).collect(),
            tables: tables
                .map(|table| (table.name.clone(), LayoutTable::of(table)))
                .collect(),
        }
    }

    /// The layout to keep from now on, if this one may follow the one `in_force`. Under the same epoch the
    /// tables known before stay known, so that one that is taken out of the file and comes back with another
    /// key is noticed.
    pub fn succeed(mut self, in_force: &Layout, cluster: &str) -> Result<Layout, LayoutError> {
        let cluster = cluster.to_owned();
        if self.epoch < in_force.epoch {
            return Err(LayoutError::OldEpoch {
                cluster,
                epoch: self.epoch,
                in_force: in_force.epoch,
            });
        }
        if self.epoch == in_force.epoch {
            if let Some(difference) = self.differs(in_force) {
                return Err(LayoutError::SameEpoch {
                    cluster,
                    difference,
                    epoch: self.epoch,
                });
            }
            let known = in_force
                .tables
                .iter()
                .map(|(name, table)| (name.clone(), table.clone()));
            self.tables.extend(known);
        }
        Ok(self)
    }

    /// What is different from `old` for a row that both know, in words; epochs are not looked at. Tables that
    /// only one of them knows are no difference.
    pub fn differs(&self, old: &Layout) -> Option<String> {
        self.shard_difference(old).or_else(|| self.table_difference(old))
    }

    fn shard_difference(&self, old: &Layout) -> Option<String> {
        if self.shards.len() != old.shards.len() {
            return Some(format!(
                "{} shards instead of {}",
                self.shards.len(),
                old.shards.len()
            ));
        }
        let numbered = self.shards.iter().zip(&old.shards).zip(1..);
        numbered
            .filter(|((new, old), _)| new != old)
            .map(|((new, old), number)| new.difference(old, number))
            .next()
    }

    fn table_difference(&self, old: &Layout) -> Option<String> {
        let both = self
            .tables
            .iter()
            .filter_map(|(name, new)| Some((name, new, old.tables.get(name)?)));
        both.filter(|(_, new, old)| new != old)
            .map(|(name, new, old)| new.difference(old, name))
            .next()
    }
}

impl LayoutShard {
    fn of(shard: &Shard) -> LayoutShard {
        LayoutShard {
            name: shard.name.clone(),
            weight: shard.weight,
            internal_replication: shard.internal_replication,
        }
    }

    fn difference(&self, old: &LayoutShard, number: u32) -> String {
        if self.name != old.name {
            return format!("shard {number} is '{}' instead of '{}'", self.name, old.name);
        }
        if self.weight != old.weight {
            return format!(
                "shard '{}' has weight {} instead of {}",
                self.name, self.weight, old.weight
            );
        }
        let (new, old) = (self.internal_replication, old.internal_replication);
        format!(
            "shard '{}' has internal_replication = {new} instead of {old}",
            self.name
        )
    }
}

impl LayoutTable {
    fn of(table: &Table) -> LayoutTable {
        LayoutTable {
            sharding_key: table.sharding_key.clone(),
            assignment: table.assignment,
        }
    }

    fn difference(&self, old: &LayoutTable, name: &TableName) -> String {
        let key = |table: &LayoutTable| table.sharding_key.clone().unwrap_or_else(|| "none".to_owned());
        if self.sharding_key != old.sharding_key {
            return format!(
                "table {name} has the sharding key {} instead of {}",
                key(self),
                key(old)
            );
        }
        let (new, old) = (self.assignment.word(), old.assignment.word());
        format!("table {name} has assignment = '{new}' instead of '{old}'")
    }
}

// === the text ===

const HEAD: &str = "weir-layout 1";
/// Without it a text that was cut at a line's end would pass for whole.
const END: &str = "end";
const REPLICATED: &str = "replicated";
const EACH: &str = "each";
/// What would break a field: control characters, the separator, and the escape itself.
const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'%');

impl Layout {
    /// The layout as text, for the spool's meta/.
    pub fn to_text(&self) -> String {
        let mut text = format!("{HEAD}\nepoch {}\n", self.epoch);
        let escape = |field| utf8_percent_encode(field, ESCAPED);
        for shard in &self.shards {
            let replication = if shard.internal_replication {
                REPLICATED
            } else {
                EACH
            };
            // Writing into a String cannot fail.
            let _ = writeln!(
                text,
                "shard {} {} {replication}",
                escape(&shard.name),
                shard.weight
            );
        }
        for (name, table) in &self.tables {
            let (database, word) = (escape(&name.database), table.assignment.word());
            let _ = write!(text, "table {database} {} {word}", escape(&name.table));
            let key = table.sharding_key.as_deref().map(escape);
            let _ = key.map_or(Ok(()), |key| write!(text, " {key}"));
            text.push('\n');
        }
        text.push_str(END);
        text.push('\n');
        text
    }

    /// Reads what [`Layout::to_text`] wrote.
    pub fn from_text(text: &str) -> Result<Layout, LayoutTextError> {
        let mut lines = text.lines().zip(1..);
        expect_head(lines.next())?;
        let mut layout = Layout {
            epoch: 0,
            shards: Vec::new(),
            tables: BTreeMap::new(),
        };
        for (line, number) in &mut lines {
            if line == END {
                return layout.complete(lines.next(), number);
            }
            let read = layout.read_line(line);
            read.map_err(|reason| LayoutTextError { line: number, reason })?;
        }
        Err(LayoutTextError {
            line: text.lines().count() + 1,
            reason: "'end' is missing: the text was cut",
        })
    }

    fn complete(self, behind: Option<(&str, usize)>, line: usize) -> Result<Layout, LayoutTextError> {
        let wrong = |reason| Err(LayoutTextError { line, reason });
        match (behind, self.epoch) {
            (Some(_), _) => wrong("something stands behind 'end'"),
            (None, 0) => wrong("there is no epoch"),
            (None, _) if self.shards.is_empty() => wrong("there is no shard"),
            (None, _) => Ok(self),
        }
    }

    fn read_line(&mut self, line: &str) -> Result<(), &'static str> {
        let fields: Vec<&str> = line.split(' ').collect();
        match fields[..] {
            ["epoch", epoch] => self.epoch = epoch.parse().map_err(|_| "the epoch is not a number")?,
            ["shard", name, weight, replication] => self.shards.push(LayoutShard {
                name: unescape(name)?,
                weight: weight.parse().map_err(|_| "the weight is not a number")?,
                internal_replication: read_replication(replication)?,
            }),
            ["table", database, table, word] => self.read_table(database, table, word, None)?,
            ["table", database, table, word, key] => self.read_table(database, table, word, Some(key))?,
            _ => return Err("expected epoch, shard, table or end"),
        }
        Ok(())
    }

    fn read_table(
        &mut self,
        database: &str,
        table: &str,
        word: &str,
        key: Option<&str>,
    ) -> Result<(), &'static str> {
        let name = TableName {
            database: unescape(database)?,
            table: unescape(table)?,
        };
        let assignments = [Assignment::Slots, Assignment::Consistent];
        let assignment = assignments
            .into_iter()
            .find(|assignment| assignment.word() == word);
        let assignment = assignment.ok_or("expected slots or consistent")?;
        let sharding_key = key.map(unescape).transpose()?;
        self.tables.insert(
            name,
            LayoutTable {
                sharding_key,
                assignment,
            },
        );
        Ok(())
    }
}

fn expect_head(line: Option<(&str, usize)>) -> Result<(), LayoutTextError> {
    match line {
        Some((HEAD, _)) => Ok(()),
        _ => Err(LayoutTextError {
            line: 1,
            reason: "expected 'weir-layout 1'; a newer version writes another",
        }),
    }
}

fn read_replication(word: &str) -> Result<bool, &'static str> {
    match word {
        REPLICATED => Ok(true),
        EACH => Ok(false),
        _ => Err("expected replicated or each"),
    }
}

fn unescape(field: &str) -> Result<String, &'static str> {
    let decoded = percent_decode_str(field).decode_utf8();
    decoded
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| "a field is not UTF-8")
}
