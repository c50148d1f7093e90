//! `discover`, `tables` and `refresh` of a cluster: which Distributed tables are routed without being listed.

use std::time::Duration;

use crate::file::Section;
use crate::names::{TableName, TablePattern};
use crate::replica::{Reach, Replica, read_replica};

/// How a cluster's Distributed tables are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    /// The nodes that are asked; each has `remote_servers` and the Distributed tables.
    pub seeds: Vec<Replica>,
    /// Which of the tables are routed.
    pub tables: TableFilter,
    /// How often the seeds are asked.
    pub refresh: Duration,
}

/// Tables that at least one pattern names and no pattern with a `!` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFilter {
    wanted: Vec<TablePattern>,
    unwanted: Vec<TablePattern>,
}

/// How soon a new table is routed without an INSERT into it.
const REFRESH_DEFAULT: Duration = Duration::from_secs(30);

impl Discovery {
    /// `None` where the cluster does not discover. `reach` is how the cluster's replicas are reached.
    pub(crate) fn read(section: &Section<'_>, reach: &Reach) -> Option<Discovery> {
        let items = section.items("discover");
        let tables = section.all_parsed("tables", parse_pattern);
        let range = Duration::from_secs(1)..=Duration::from_secs(86_400);
        let refresh = section.duration("refresh", range);
        if !section.has("discover") {
            needs_discover(section);
            return None;
        }
        if section.is_empty_list("discover") {
            let text = "discover is empty: leave it out or name a node that has the Distributed tables";
            section.source.mistake(section.offset_of("discover"), text);
        }
        if section.is_empty_list("tables") {
            let text = "tables is empty: no table would be routed; leave it out for all";
            section.source.mistake(section.offset_of("tables"), text);
        }
        let seeds = items
            .into_iter()
            .filter_map(|item| read_replica(item, reach, section))
            // A seed is asked for what it knows; `database` is about targets.
            .map(|seed| Replica {
                database: None,
                ..seed.replica
            });
        let tables = tables.map_or_else(Vec::new, |tables| {
            tables.value.into_iter().map(|pattern| pattern.value).collect()
        });
        Some(Discovery {
            seeds: seeds.collect(),
            tables: TableFilter::new(tables),
            refresh: refresh.map_or(REFRESH_DEFAULT, |refresh| refresh.value),
        })
    }
}

fn needs_discover(section: &Section<'_>) {
    for key in ["tables", "refresh"].into_iter().filter(|key| section.has(key)) {
        let text = format!("{key} needs discover = [ \"http://a-node:8123\" ]");
        section.source.mistake(section.offset_of(key), text);
    }
}

/// A pattern, and whether it names tables that are wanted.
fn parse_pattern(text: &str) -> Result<(TablePattern, bool), String> {
    match text.strip_prefix('!') {
        Some(unwanted) => Ok((TablePattern::parse(unwanted)?, false)),
        None => Ok((TablePattern::parse(text)?, true)),
    }
}

impl TableFilter {
    /// Without a pattern of wanted tables all are wanted.
    fn new(patterns: Vec<(TablePattern, bool)>) -> TableFilter {
        let (wanted, unwanted): (Vec<_>, Vec<_>) = patterns.into_iter().partition(|(_, wanted)| *wanted);
        let patterns = |list: Vec<(TablePattern, bool)>| list.into_iter().map(|(pattern, _)| pattern);
        let mut wanted: Vec<_> = patterns(wanted).collect();
        if wanted.is_empty() {
            wanted.push(TablePattern::every_table());
        }
        TableFilter {
            wanted,
            unwanted: patterns(unwanted).collect(),
        }
    }

    /// Whether a Distributed table of this name is routed.
    pub fn matches(&self, name: &TableName) -> bool {
        let any = |patterns: &[TablePattern]| patterns.iter().any(|pattern| pattern.matches(name));
        any(&self.wanted) && !any(&self.unwanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(patterns: &[&str], name: &str, expected: bool) {
        let patterns = patterns.iter().map(|text| parse_pattern(text).unwrap());
        let filter = TableFilter::new(patterns.collect());
        assert_eq!(
            filter.matches(&TableName::parse(name).unwrap()),
            expected,
            "{name}"
        );
    }

    #[test]
    fn a_table_is_routed_that_one_pattern_names_and_none_excludes() {
        check(&[], "any.table", true);
        check(&["logs.*"], "logs.a", true);
        check(&["logs.*"], "other.a", false);
        check(&["logs.*", "!*.*_tmp"], "logs.a_tmp", false);
        check(&["!x.*"], "x.a", false);
        check(&["!x.*"], "y.a", true);
        check(&["!x.*", "x.a"], "x.a", false);
    }
}
