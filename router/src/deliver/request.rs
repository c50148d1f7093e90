//! The INSERT that carries a batch. Pure, and the same for delivery and replay: what is sent follows from the
//! file alone.

use shard_client::{Facts, InsertRequest};
use spool::Shape;

use crate::insert::settings::QUORUM_SETTINGS;
use crate::replica::reading_settings;

/// The setting by which a shard recognises a repeat (22.2 and later).
const TOKEN: &str = "insert_deduplication_token";

/// What an INSERT takes from a batch's file.
#[derive(Debug, Clone, Copy)]
pub struct BatchInsert<'a> {
    /// Columns, format and settings.
    pub shape: &'a Shape,
    /// The token of every attempt.
    pub token: &'a str,
    /// Bytes of the compressed frames, which are the body.
    pub frames_bytes: u64,
    /// Their CRC32.
    pub frames_crc32: u32,
}

/// Where it goes.
#[derive(Debug, Clone, Copy)]
pub struct InsertInto<'a> {
    /// The target's database on this replica, unquoted.
    pub database: &'a str,
    /// The target, unquoted.
    pub table: &'a str,
    /// The cluster's word that its servers refuse short bodies by themselves.
    pub bare_frames: bool,
}

impl BatchInsert<'_> {
    /// The request for a replica that said `facts` of itself: bytes, token and settings are the file's; only
    /// what this replica does not know is left out.
    pub fn request(&self, into: &InsertInto<'_>, facts: &Facts, query_id: String) -> InsertRequest {
        InsertRequest {
            statement: self.statement(into),
            settings: self.settings(facts),
            query_id,
            envelope: !into.bare_frames,
            payload_bytes: self.frames_bytes,
            payload_crc32: self.frames_crc32,
        }
    }

    fn settings(&self, facts: &Facts) -> Vec<(String, String)> {
        let known = |name: &str| facts.known_settings.contains(name);
        let pinned = pinned();
        let kept = self.shape.settings.iter();
        let kept = kept.filter(|(name, _)| !pinned.contains(&name.as_str()) || known(name));
        let token = known(TOKEN).then(|| (TOKEN.to_owned(), self.token.to_owned()));
        kept.cloned().chain(token).collect()
    }

    fn statement(&self, into: &InsertInto<'_>) -> String {
        let columns: Vec<_> = self.shape.columns.iter().map(|(name, _)| quoted(name)).collect();
        format!(
            "INSERT INTO {}.{} ({}) FORMAT {}",
            quoted(into.database),
            quoted(into.table),
            columns.join(", "),
            self.shape.format
        )
    }
}

/// The same statement under the same settings, with no rows behind it: whether a replica takes that tells a row at fault from
/// a table that has changed. It bears no token, which is for the batch's rows.
pub fn without_rows(request: InsertRequest) -> InsertRequest {
    let mut settings = request.settings;
    settings.retain(|(name, _)| name != TOKEN);
    InsertRequest {
        settings,
        query_id: format!("{}-bare", request.query_id),
        payload_bytes: 0,
        payload_crc32: 0,
        ..request
    }
}

/// Whether a body of no bytes is one of no rows in that format; one that is sent as it is may need a head.
pub fn may_be_empty(format: &str) -> bool {
    formats::Payload::ALL
        .iter()
        .any(|payload| payload.name() == format)
}

/// Settings that Weir itself puts into shapes, and what is said of a quorum: a server that does not know one has nothing to be
/// told.
fn pinned() -> Vec<&'static str> {
    let blocks = shard_client::PINNED_SETTINGS.iter().map(|(name, _)| *name);
    let quorum = QUORUM_SETTINGS.iter().copied();
    blocks.chain(reading_settings()).chain(quorum).collect()
}

/// Why a replica that said `facts` of itself cannot read a batch, whatever is in it. Rows in a format that no replica of a
/// shard reads are refused at accept; this is for one that was not known then, or has come back older.
pub fn cannot_read(shape: &Shape, facts: &Facts) -> Option<String> {
    let format = &shape.format;
    let reads = facts.reads_format(format);
    (!reads).then(|| format!("version {} does not read format {format}", facts.version))
}

/// Whether the replica recognises a repeat by its token; older ones do by the block's content, if the target
/// is replicated.
pub fn knows_tokens(facts: &Facts) -> bool {
    facts.known_settings.contains(TOKEN)
}

/// A name in back quotes.
pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> Shape {
        let pinned = ("async_insert".to_owned(), "0".to_owned());
        let client = ("date_time_input_format".to_owned(), "best_effort".to_owned());
        Shape {
            cluster: "main".into(),
            epoch: 1,
            table: "default.hits".into(),
            columns: vec![("k".into(), "UInt64".into()), ("a`b".into(), "String".into())],
            format: "RowBinary".into(),
            settings: vec![client, pinned],
        }
    }

    fn request(known: &[&str]) -> InsertRequest {
        let shape = shape();
        let insert = BatchInsert {
            shape: &shape,
            token: "t",
            frames_bytes: 3,
            frames_crc32: 4,
        };
        let into = InsertInto {
            database: "d",
            table: "hits_local",
            bare_frames: false,
        };
        insert.request(&into, &facts(known), "q".into())
    }

    fn facts(known: &[&str]) -> Facts {
        Facts {
            version: "18.16.1".parse().unwrap(),
            timezone: "UTC".into(),
            host_name: "h".into(),
            server_uuid: None,
            shard_macro: None,
            known_settings: known.iter().map(|name| (*name).to_owned()).collect(),
            ..Facts::default()
        }
    }

    #[test]
    fn a_batch_in_a_format_that_a_version_lacks_is_not_sent_to_it() {
        let old = facts(&[]);
        assert_eq!(cannot_read(&shape(), &old), None);
        let new = Shape {
            format: "MsgPack".into(),
            ..shape()
        };
        let why = "version 18.16.1 does not read format MsgPack";
        assert_eq!(cannot_read(&new, &old).as_deref(), Some(why));
    }

    #[test]
    fn columns_are_named_and_quoted() {
        let expected = r"INSERT INTO `d`.`hits_local` (`k`, `a\`b`) FORMAT RowBinary";
        assert_eq!(request(&[]).statement, expected);
    }

    #[test]
    fn a_statement_without_rows_keeps_its_settings_and_takes_no_token() {
        let bare = without_rows(request(&["async_insert", TOKEN]));
        let names: Vec<_> = bare.settings.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["date_time_input_format", "async_insert"]);
        assert_eq!((bare.query_id.as_str(), bare.payload_bytes), ("q-bare", 0));
        assert!(may_be_empty("Values") && !may_be_empty("Avro"));
    }

    #[test]
    fn an_old_replica_is_spared_what_it_does_not_know_but_never_what_the_client_asked_for() {
        let names = |request: &InsertRequest| {
            request
                .settings
                .iter()
                .map(|(name, _)| name.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&request(&[])), ["date_time_input_format"]);
        let all = ["date_time_input_format", "async_insert", TOKEN];
        assert_eq!(names(&request(&all[1..])), all);
    }
}
