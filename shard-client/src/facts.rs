//! What a replica is: version, time zone, names, and which settings it knows.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use crate::describe::{fields, unescape};
use crate::error::{Failure, ShardError, Views};
use crate::mark::{SERVER_UUID_QUERY, SHARD_MACRO_QUERY};
use crate::replica::Replica;
use crate::request::quoted_text;
use crate::settings::PINNED_SETTINGS;

/// What a replica said about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// `version()`.
    pub version: Version,
    /// `timezone()`.
    pub timezone: String,
    /// `hostName()`.
    pub host_name: String,
    /// `serverUUID()`; 18.16 and servers without a directory of their own have none.
    pub server_uuid: Option<String>,
    /// The macro `{shard}`, where the server has one and lets the user see it.
    pub shard_macro: Option<String>,
    /// Those of the settings asked for that this version has.
    pub known_settings: HashSet<String>,
    /// Every setting of this version that begins with one of [`FORMAT_SETTINGS`], where the server says so.
    pub format_settings: Option<HashSet<String>>,
    /// Every format that this version reads, where the server says so.
    pub input_formats: Option<HashSet<String>>,
}

/// How the settings begin that decide how an INSERT's rows are read.
pub const FORMAT_SETTINGS: [&str; 2] = ["input_format_", "format_"];

/// Formats that every server reads, also one that cannot list them.
const OLD_FORMATS: [&str; 7] = [
    "CSV",
    "JSONEachRow",
    "Native",
    "RowBinary",
    "TSKV",
    "TabSeparated",
    "Values",
];

impl Facts {
    /// Whether an INSERT may be in that format, by ClickHouse's own name of it.
    pub fn reads_format(&self, name: &str) -> bool {
        match &self.input_formats {
            Some(formats) => formats.contains(name),
            None => OLD_FORMATS.contains(&name),
        }
    }

    /// Whether columns of Native are cast to the types of the table's. A server that does not takes their bytes for values of
    /// its own type: 18.16 answers with code 368 at best and dies at worst (Nullable for a type that is not). The setting
    /// came with the cast, in 23.3.
    pub fn casts_native(&self) -> bool {
        match &self.format_settings {
            Some(settings) => settings.contains("input_format_native_allow_types_conversion"),
            None => self.version >= Version([23, 3, 0, 0]),
        }
    }
}

/// A server's version, by its numbers: `18.16.1` is `[18, 16, 1, 0]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub [u32; 4]);

impl FromStr for Version {
    type Err = String;

    /// Reads up to four numbers; a build's suffix (`26.9.1.1-testing`) is left aside.
    fn from_str(text: &str) -> Result<Version, String> {
        let numbers = text
            .split(|c: char| !c.is_ascii_digit() && c != '.')
            .next()
            .unwrap_or("");
        let mut version = [0; 4];
        for (slot, number) in version.iter_mut().zip(numbers.split('.')) {
            *slot = number.parse().map_err(|_| format!("{text:?} is no version"))?;
        }
        Ok(Version(version))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [year, month, patch, build] = self.0;
        write!(f, "{year}.{month}.{patch}")?;
        if build == 0 { Ok(()) } else { write!(f, ".{build}") }
    }
}

/// Always asked for, beside [`PINNED_SETTINGS`]: whether a repeated batch can be recognised at all.
const DEDUPLICATION_TOKEN: &str = "insert_deduplication_token";

/// What a server says that was never given one.
const NO_UUID: &str = "00000000-0000-0000-0000-000000000000";

/// A server that has no such function, table or right answers with one of these (UNKNOWN_FUNCTION,
/// UNKNOWN_IDENTIFIER,
/// NOT_IMPLEMENTED, UNKNOWN_TABLE, SYNTAX_ERROR, ACCESS_DENIED).
const NOT_TOLD: [u32; 6] = [46, 47, 48, 60, 62, 497];

const INPUT_FORMATS_QUERY: &str = "SELECT name FROM system.formats WHERE is_input FORMAT TabSeparated";

fn format_settings_query() -> String {
    let likes = FORMAT_SETTINGS.map(|prefix| format!("name LIKE '{prefix}%'"));
    format!(
        "SELECT name FROM system.settings WHERE {} FORMAT TabSeparated",
        likes.join(" OR ")
    )
}

/// An answer, or `None` where this server cannot tell it.
pub(crate) fn if_told<T>(answered: Result<T, ShardError>) -> Result<Option<T>, ShardError> {
    match answered {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if is_not_told(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_not_told(error: &ShardError) -> bool {
    error
        .server()
        .is_some_and(|server| NOT_TOLD.contains(&server.code))
}

impl Replica {
    /// Asks the replica what it is. Besides [`PINNED_SETTINGS`] and `insert_deduplication_token` it is asked
    /// which of
    /// `settings` it knows.
    pub async fn facts(&self, settings: &[&str]) -> Result<Facts, ShardError> {
        let row = self
            .first_row("SELECT version(), timezone(), hostName() FORMAT TabSeparated")
            .await?;
        let [version, timezone, host_name] = self.three(row)?;
        Ok(Facts {
            version: version.parse().map_err(|what| self.unexpected(what))?,
            timezone,
            host_name,
            server_uuid: self.told(SERVER_UUID_QUERY).await?.filter(|uuid| uuid != NO_UUID),
            shard_macro: self.told(SHARD_MACRO_QUERY).await?,
            known_settings: self.known_settings(settings).await?,
            format_settings: self.listed(&format_settings_query()).await?,
            input_formats: self.listed(INPUT_FORMATS_QUERY).await?,
        })
    }

    /// Whether materialized views hang on a table, as far as the server says: system.tables lists them.
    pub async fn views(&self, database: &str, table: &str) -> Result<Views, ShardError> {
        let sql = format!(
            "SELECT length(dependencies_table) FROM system.tables WHERE database = {} AND name = {} FORMAT TabSeparated",
            quoted_text(database),
            quoted_text(table)
        );
        let answer = self.query(&sql, &[]).await?;
        Ok(match answer.as_ref() {
            b"0\n" => Views::None,
            _ => Views::Possible,
        })
    }

    async fn known_settings(&self, settings: &[&str]) -> Result<HashSet<String>, ShardError> {
        let pinned = PINNED_SETTINGS.iter().map(|(name, _)| *name);
        let asked = pinned
            .chain([DEDUPLICATION_TOKEN])
            .chain(settings.iter().copied());
        let list = asked.map(quoted_text).collect::<Vec<_>>().join(", ");
        let sql = format!("SELECT name FROM system.settings WHERE name IN ({list}) FORMAT TabSeparated");
        let answer = self.query(&sql, &[]).await?;
        Ok(String::from_utf8_lossy(&answer).lines().map(unescape).collect())
    }

    /// The names that a query lists, or `None` where this server cannot tell them.
    async fn listed(&self, sql: &str) -> Result<Option<HashSet<String>>, ShardError> {
        let rows = self.rows_if_told(sql).await?;
        Ok(rows.map(|rows| rows.into_iter().flatten().collect()))
    }

    /// The only value of a query, or `None` where this server cannot tell it.
    async fn told(&self, sql: &str) -> Result<Option<String>, ShardError> {
        let row = if_told(self.first_row(sql).await)?.unwrap_or_default();
        Ok(row.into_iter().next().filter(|value| !value.is_empty()))
    }

    /// An answer's rows, or `None` where this server cannot tell them.
    pub(crate) async fn rows_if_told(&self, sql: &str) -> Result<Option<Vec<Vec<String>>>, ShardError> {
        let answer = if_told(self.query(sql, &[]).await)?;
        Ok(answer.map(|answer| String::from_utf8_lossy(&answer).lines().map(fields).collect()))
    }

    /// The values of an answer's first row; none where it has no row.
    pub(crate) async fn first_row(&self, sql: &str) -> Result<Vec<String>, ShardError> {
        let answer = self.query(sql, &[]).await?;
        Ok(first_row_of(&answer))
    }

    fn three(&self, row: Vec<String>) -> Result<[String; 3], ShardError> {
        <[String; 3]>::try_from(row)
            .map_err(|row| self.unexpected(format!("{} values where 3 were asked", row.len())))
    }

    /// An answer that came through whole and is not what was asked for.
    pub(crate) fn unexpected(&self, what: String) -> ShardError {
        let mut error = self.unsent(Failure::Protocol(what));
        error.sent = crate::progress::Sent::Whole;
        error
    }
}

/// The values of an answer's first row; none where it has no row.
pub(crate) fn first_row_of(answer: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(answer);
    text.lines().next().map(fields).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_version(text: &str, expected: [u32; 4], shown: &str) {
        let version: Version = text.parse().unwrap();
        assert_eq!((version.0, version.to_string().as_str()), (expected, shown));
    }

    #[test]
    fn versions_of_old_and_new_servers_are_read() {
        check_version("18.16.1", [18, 16, 1, 0], "18.16.1");
        check_version("26.9.1.1", [26, 9, 1, 1], "26.9.1.1");
        check_version("24.8.4.13-testing", [24, 8, 4, 13], "24.8.4.13");
    }

    #[test]
    fn versions_are_compared_by_number() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        assert!(version("9.1") < version("18.16.1"));
        assert!(version("22.2") > version("18.16.1"));
    }

    #[test]
    fn words_are_no_version() {
        assert_eq!(
            "soon".parse::<Version>(),
            Err("\"soon\" is no version".to_owned())
        );
    }
}
