//! What the servers' versions cannot read is refused at accept: after the 200 nobody could be told.

use std::sync::Arc;

use formats::Payload;
use shard_client::{FORMAT_SETTINGS, Facts};
use types::{ColumnDef, DataType};

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

/// What a body's columns must be, since a shard takes them as they are.
#[derive(Debug)]
pub struct OwnTypes {
    columns: Vec<ColumnDef>,
    /// Whose wish it is: table, shard and version.
    told: String,
}

/// The table's own types, where rows in Native go to a shard of which no known replica casts.
pub fn own_types(table: &RoutedTable, payload: Payload, columns: &[ColumnDef]) -> Option<OwnTypes> {
    if payload != Payload::Native {
        return None;
    }
    let strict = table.cluster.shards.iter().find_map(|shard| {
        let known = known(shard);
        let casts = known.is_empty() || known.iter().any(|facts| facts.casts_native());
        let first = known.first().filter(|_| !casts)?;
        Some(format!(
            "shard {} of {} (version {})",
            shard.name, table.name, first.version
        ))
    });
    strict.map(|told| OwnTypes {
        columns: columns.to_vec(),
        told,
    })
}

impl OwnTypes {
    /// Refuses columns, by name and type as they are written, that the table has in another type: code 53.
    pub fn check(&self, written: &[(String, String)]) -> Result<(), Exception> {
        for (name, written) in written {
            let Some(own) = self.columns.iter().find(|own| own.name == *name) else {
                continue;
            };
            if !DataType::parse(written).is_ok_and(|written| written.equals(&own.data_type)) {
                return Err(self.refusal(own, written));
            }
        }
        Ok(())
    }

    fn refusal(&self, own: &ColumnDef, written: &str) -> Exception {
        Exception::bad_input(
            code::TYPE_MISMATCH,
            format!(
                "Column {} is {} in the table and {written} in the INSERT, which {} does not convert: send it as {}, or the rows \
                 in another format, say RowBinary, JSONEachRow or TabSeparated.",
                own.name, own.data_type, self.told, own.data_type
            ),
        )
    }
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
    fn a_shard_that_casts_nothing_gets_columns_of_the_table_s_own_types() {
        let column = |name: &str, data_type: &str| ColumnDef {
            name: name.to_owned(),
            data_type: DataType::parse(data_type).unwrap(),
        };
        let own = OwnTypes {
            columns: vec![
                column("l", "LowCardinality(String)"),
                column("t", "DateTime('UTC')"),
            ],
            told: "shard a of d.t (version 18.16.1)".to_owned(),
        };
        let check = |written: &[(&str, &str)]| {
            let owned = |(name, data_type): &(&str, &str)| ((*name).to_owned(), (*data_type).to_owned());
            own.check(&written.iter().map(owned).collect::<Vec<_>>())
        };
        assert_eq!(
            check(&[("l", "LowCardinality(String)"), ("t", "DateTime"), ("x", "UInt8")]),
            Ok(())
        );
        let error = check(&[("t", "UInt32")]).unwrap_err();
        assert_eq!(error.code, code::TYPE_MISMATCH);
        assert!(
            error
                .message
                .contains("Column t is DateTime('UTC') in the table and UInt32"),
            "{error}"
        );
        assert!(check(&[("l", "String")]).is_err());
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
