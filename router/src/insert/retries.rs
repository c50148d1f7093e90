//! By what an INSERT is recognised as one that its client sends again, because it did not see the answer.
//!
//! Two INSERTs of a user into a table are the same one if they have the same insert_deduplication_token; without a token, if
//! the client gave both the same query id and they say the same; or if they say the same, where the target drops a repeated
//! block, as ClickHouse does. The spool remembers and compares (`spool/src/retry.rs`); here is what *saying the same* means.
//!
//! It is more than the same bytes: equal bytes are other rows under another format, column list, setting or parameter, and an
//! `insert_shard_id` sends them elsewhere on purpose. All of that goes into the hash. What may change between an INSERT and its
//! retry does not: the table's columns, the epoch, the encoding of the body.
//!
//! Of an `INSERT … SELECT` the statement is hashed, not the result, which may come in another order. It is recognised by token
//! or query id alone: the same statement twice is mostly meant twice.

use std::time::Duration;

use config::{IdenticalInserts, SendSettings};
use formats::Format;
use formats::statement::{Insert, InsertColumns};
use spool::{Accepted, RetryWindows, Signature};
use xxhash_rust::xxh3::Xxh3;

use super::Asker;
use super::settings::InsertSettings;
use crate::app::App;
use crate::routing::RoutedTable;

/// Entries that are remembered at most, whatever the memory (docs/guarantees.md).
const ENTRIES_MAX: usize = 1_000_000;

/// One part in so many of `memory_limit` is for what is remembered.
const MEMORY_SHARE: u64 = 8;

/// What an INSERT says, hashed as it comes.
#[derive(Clone)]
pub struct BodyHash(Xxh3);

impl BodyHash {
    /// Of rows that follow in that format under those settings. One whose client waits for all shards is another INSERT than one
    /// whose client does not: it alone is recognised by its body on any target.
    pub fn of_rows(insert: &Insert, format: Format, settings: &InsertSettings, is_foreground: bool) -> Self {
        let mut hash = Self(Xxh3::new());
        hash.part(b"rows");
        if is_foreground {
            hash.part(b"foreground");
        }
        hash.part(format.name().as_bytes());
        hash.columns(&insert.columns);
        hash.settings(&settings.payload);
        hash.settings(&settings.own.parameters);
        let own = &settings.own;
        hash.part(&own.shard_id.unwrap_or(0).to_le_bytes());
        hash.part(&[u8::from(own.one_random_shard)]);
        hash.part(
            own.client_protocol_version
                .as_deref()
                .unwrap_or_default()
                .as_bytes(),
        );
        hash
    }

    /// Of an `INSERT … SELECT`: its text, and the settings that its SELECT runs under.
    pub fn of_select<'a>(text: &[u8], settings: impl Iterator<Item = &'a (String, String)>) -> u128 {
        let mut hash = Self(Xxh3::new());
        hash.part(b"select");
        let own = |name: &str| name == "insert_deduplication_token";
        let settings: Vec<_> = settings.filter(|(name, _)| !own(name)).cloned().collect();
        hash.settings(&settings);
        hash.part(text);
        hash.digest()
    }

    /// The next bytes of the body.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all of it.
    pub fn digest(&self) -> u128 {
        self.0.digest128()
    }

    /// A part behind its length, so that no two lists of parts are the same bytes.
    fn part(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    fn columns(&mut self, columns: &InsertColumns) {
        let (how, names): (&[u8], &[String]) = match columns {
            InsertColumns::All => (b"all", &[]),
            InsertColumns::Listed(names) => (b"listed", names),
            InsertColumns::Except(names) => (b"except", names),
        };
        self.part(how);
        self.part(&(names.len() as u64).to_le_bytes());
        names.iter().for_each(|name| self.part(name.as_bytes()));
    }

    fn settings(&mut self, settings: &[(String, String)]) {
        self.part(&(settings.len() as u64).to_le_bytes());
        for (name, value) in settings {
            self.part(name.as_bytes());
            self.part(value.as_bytes());
        }
    }
}

/// Whether an INSERT is recognised by what it says alone: its client waits for all shards, the table's own configuration says so,
/// or the target drops a repeated block by itself, so that a second INSERT of the same rows cannot be meant. None while no replica
/// has told. What a SELECT gives is another thing each time.
fn recognises_identical(app: &App, table: &RoutedTable, asker: &Asker) -> Option<bool> {
    if asker.selected.is_some() {
        return Some(false);
    }
    let is_said = table.config.send.identical_inserts == IdenticalInserts::Always;
    match is_said || asker.foreground.is_some() {
        true => Some(true),
        false => table.deduplicates(&app.identities),
    }
}

fn windows_of(send: &SendSettings) -> RetryWindows {
    RetryWindows {
        token: send.insert_token_window,
        query_id: send.query_id_window,
        identical: send.identical_insert_window,
    }
}

/// How long ago this INSERT may have been accepted that it is taken for a retry.
pub fn windows(app: &App, table: &RoutedTable, asker: &Asker) -> RetryWindows {
    let mut windows = windows_of(&table.config.send);
    if recognises_identical(app, table, asker) != Some(true) {
        windows.identical = Duration::ZERO;
    }
    windows
}

/// How long the spool has to remember: of each the longest that any table wants.
pub fn windows_kept(config: &config::Config) -> RetryWindows {
    let tables = config.tables.iter().map(|table| &table.send);
    let overrides = config.overrides.iter().map(|over| &over.send);
    let all = std::iter::once(&config.send).chain(tables).chain(overrides);
    all.map(windows_of)
        .fold(RetryWindows::default(), RetryWindows::longest)
}

/// How many entries a memory limit allows.
pub fn entries_max(memory_limit: u64) -> usize {
    let bytes = usize::try_from(memory_limit / MEMORY_SHARE).unwrap_or(usize::MAX);
    (bytes / spool::RETRY_ENTRY_BYTES).min(ENTRIES_MAX)
}

/// Whether the body has to be hashed: this INSERT, or a later one, may be recognised by it.
pub fn needs_body(app: &App, table: &RoutedTable, asker: &Asker, token: Option<&str>) -> bool {
    let windows = windows_of(&table.config.send);
    let by_query_id = !asker.query_id.is_empty() && !windows.query_id.is_zero();
    let by_body = !windows.identical.is_zero() && recognises_identical(app, table, asker) != Some(false);
    token.is_none() && asker.selected.is_none() && (by_query_id || by_body)
}

/// What the INSERT is recognised by.
pub fn signature<'a>(
    table: &'a RoutedTable,
    asker: &'a Asker,
    token: Option<&'a str>,
    body_hash: Option<u128>,
) -> Signature<'a> {
    Signature {
        user: &asker.user,
        table: &table.name,
        token,
        query_id: &asker.query_id,
        body_hash: asker.selected.or(body_hash),
    }
}

/// The accepted INSERT that has this one's token, or of a SELECT its statement: known before a body is read. One whose client
/// still waits is not looked for here: its retry waits with it once it is committed itself.
pub fn known_before(app: &App, table: &RoutedTable, asker: &Asker, token: Option<&str>) -> Option<Accepted> {
    let signature = signature(table, asker, token, None);
    settled(app, &signature, &windows(app, table, asker))
}

/// The accepted INSERT that this one is a retry of, unless somebody still waits for its end.
pub fn settled(app: &App, signature: &Signature<'_>, windows: &RetryWindows) -> Option<Accepted> {
    let first = app.spool.recognise(signature, windows)?;
    first.pending.is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(format: Format, columns: InsertColumns, settings: &[(&str, &str)], body: &[u8]) -> u128 {
        let insert = Insert {
            table: formats::statement::TableRef {
                database: None,
                table: "t".into(),
            },
            columns,
            settings: Vec::new(),
            source: formats::statement::Source::Infile,
        };
        let settings: Vec<_> = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let settings = InsertSettings::read(&settings, &[]).unwrap();
        let mut hash = BodyHash::of_rows(&insert, format, &settings, false);
        body.iter().for_each(|byte| hash.update(&[*byte]));
        hash.digest()
    }

    #[test]
    fn equal_bytes_that_are_other_rows_are_another_body() {
        let listed =
            |names: &[&str]| InsertColumns::Listed(names.iter().map(|name| (*name).to_owned()).collect());
        let bodies = [
            hash(Format::Csv, InsertColumns::All, &[], b"1,2"),
            hash(Format::Csv, InsertColumns::All, &[], b"1,3"),
            hash(Format::CsvWithNames, InsertColumns::All, &[], b"1,2"),
            hash(Format::Csv, listed(&["a", "b"]), &[], b"1,2"),
            hash(Format::Csv, listed(&["b", "a"]), &[], b"1,2"),
            hash(Format::Csv, listed(&["ab"]), &[], b"1,2"),
            hash(Format::Csv, InsertColumns::Except(vec!["ab".into()]), &[], b"1,2"),
            hash(
                Format::Csv,
                InsertColumns::All,
                &[("input_format_csv_skip_first_lines", "1")],
                b"1,2",
            ),
            hash(
                Format::Csv,
                InsertColumns::All,
                &[("insert_shard_id", "1")],
                b"1,2",
            ),
            hash(
                Format::Csv,
                InsertColumns::All,
                &[("insert_shard_id", "2")],
                b"1,2",
            ),
            hash(Format::Csv, InsertColumns::All, &[("param_x", "1")], b"1,2"),
            hash(
                Format::Csv,
                InsertColumns::All,
                &[("insert_distributed_one_random_shard", "1")],
                b"1,2",
            ),
        ];
        let distinct: std::collections::HashSet<_> = bodies.iter().collect();
        assert_eq!(distinct.len(), bodies.len());
    }

    #[test]
    fn what_is_no_part_of_the_rows_does_not_make_another_body_of_them() {
        let plain = hash(Format::Csv, InsertColumns::All, &[], b"1,2");
        let settings = [
            ("max_threads", "4"),
            ("log_comment", "second try"),
            ("insert_quorum", "1"),
        ];
        assert_eq!(hash(Format::Csv, InsertColumns::All, &settings, b"1,2"), plain);
    }

    #[test]
    fn an_eighth_of_the_memory_is_for_what_is_remembered_and_never_more_than_a_million_entries() {
        assert_eq!(entries_max(160 << 20), 262_144);
        assert_eq!(entries_max(4 << 30), 1_000_000);
    }
}
