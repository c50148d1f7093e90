//! What the servers' versions cannot read is refused at accept: after the 200 nobody could be told.

use std::sync::Arc;

use formats::Payload;
use shard_client::{FORMAT_SETTINGS, Facts};

use super::settings::payload_names;
use crate::exception::{Exception, code};
use crate::routing::{RoutedTable, Shard};

/// The first of some payload formats that every shard reads; refused with code 73 where there is none.
///
/// A replica that has not said yet what it is decides nothing: the known ones do, and without any the first is taken.
pub fn payload(table: &RoutedTable, possible: &[Payload]) -> Result<Payload, Exception> {
    let reads = |known: &[Arc<Facts>], payload: Payload| {
        known.is_empty() || known.iter().any(|facts| facts.reads_format(payload.name()))
    };
    let known: Vec<_> = table
        .cluster
        .shards
        .iter()
        .map(|shard| (shard, known(shard)))
        .collect();
    let by_all = |payload: &&Payload| known.iter().all(|(_, facts)| reads(facts, **payload));
    if let Some(payload) = possible.iter().find(by_all) {
        return Ok(*payload);
    }
    let first = possible.first().copied().unwrap_or(Payload::RowBinary);
    let lacking = known.iter().find(|(_, facts)| !reads(facts, first));
    match lacking.and_then(|(shard, facts)| Some((shard, facts.first()?))) {
        Some((shard, facts)) => Err(unread_format(table, shard, first.name(), facts)),
        None => Ok(first),
    }
}

/// Refuses a client's payload setting with code 115 that no known replica of some shard knows.
pub fn check_settings<'a>(
    table: &RoutedTable,
    settings: &(impl Iterator<Item = &'a str> + Clone),
) -> Result<(), Exception> {
    for shard in &table.cluster.shards {
        let facts = known(shard);
        let known: Vec<&Facts> = facts.iter().map(|facts| &**facts).collect();
        let Some(first) = known.first() else {
            continue;
        };
        if let Some(name) = settings.clone().find(|name| is_unknown(&known, name)) {
            return Err(unknown_setting(table, shard, name, first));
        }
    }
    Ok(())
}

/// What the shard's replicas have said of themselves.
fn known(shard: &Shard) -> Vec<Arc<Facts>> {
    let replicas = shard.replicas.iter();
    replicas.filter_map(|replica| replica.known_facts()).collect()
}

fn is_unknown(known: &[&Facts], name: &str) -> bool {
    known.iter().all(|facts| knows(facts, name) == Some(false))
}

/// Whether the version has the setting; none where it was not asked.
fn knows(facts: &Facts, name: &str) -> Option<bool> {
    if FORMAT_SETTINGS.iter().any(|prefix| name.starts_with(prefix)) {
        return facts
            .format_settings
            .as_ref()
            .map(|settings| settings.contains(name));
    }
    let was_asked = payload_names().any(|asked| asked == name);
    was_asked.then(|| facts.known_settings.contains(name))
}

fn unread_format(table: &RoutedTable, shard: &Shard, format: &str, facts: &Facts) -> Exception {
    Exception::bad_input(
        code::UNKNOWN_FORMAT,
        format!(
            "Rows of this INSERT would be stored as {format}, which shard {} of {} does not read (version {}): send them in \
             another format, say JSONEachRow, TabSeparated or RowBinary.",
            shard.name, table.name, facts.version
        ),
    )
}

fn unknown_setting(table: &RoutedTable, shard: &Shard, name: &str, facts: &Facts) -> Exception {
    Exception::bad_input(
        code::UNKNOWN_SETTING,
        format!(
            "Unknown setting {name}: it changes how the rows are read, and shard {} of {} does not know it (version {}).",
            shard.name, table.name, facts.version
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(format_settings: Option<&[&str]>, settings: &[&str]) -> Facts {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Facts {
            format_settings: format_settings.map(owned),
            known_settings: owned(settings),
            ..Facts::default()
        }
    }

    #[test]
    fn a_setting_is_unknown_only_where_every_known_replica_says_so() {
        let old = facts(Some(&["format_csv_delimiter"]), &["date_time_input_format"]);
        let new = facts(
            Some(&["format_csv_delimiter", "input_format_null_as_default"]),
            &["session_timezone"],
        );
        let mute = facts(None, &[]);
        assert!(is_unknown(&[&old], "input_format_null_as_default"));
        assert!(!is_unknown(&[&old, &new], "input_format_null_as_default"));
        assert!(!is_unknown(&[&mute], "input_format_null_as_default"));
        assert!(is_unknown(&[&old], "session_timezone") && !is_unknown(&[&old, &new], "session_timezone"));
        assert!(!is_unknown(&[&old], "a_setting_that_the_table_forwards"));
    }
}
