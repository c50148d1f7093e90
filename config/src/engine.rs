//! `engine_full` of a Distributed table: `Distributed(cluster, database, table[, key[, policy]]) …`, as
//! `system.tables` shows it.
//!
//! 18.16 shows the arguments as they were written, 26.x as it evaluated them; users write names bare, quoted
//! or as strings. The key stays text: `sharding` parses it when the target's columns are known.

use std::collections::BTreeMap;

use crate::names::TableName;

/// Longer texts are no engine that a server shows.
const ENGINE_BYTES_MAX: usize = 1 << 20;

/// The arguments of a Distributed engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DistributedEngine {
    /// The cluster's name as written: `{macro}`s stand in it.
    cluster: String,
    database: RemoteDatabase,
    table: String,
    /// The sharding key's text, `None` without one.
    pub sharding_key: Option<String>,
}

/// The database of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
enum RemoteDatabase {
    Named(String),
    /// `currentDatabase()`: the distributed table's own.
    Own,
    /// `''`: what the shard takes for a name without one.
    Default,
}

/// The database that a server takes for names without one, unless `remote_servers` says another.
const DEFAULT_DATABASE: &str = "default";

impl DistributedEngine {
    /// Reads an `engine_full`; the error says what is not understood.
    pub fn parse(text: &str) -> Result<DistributedEngine, String> {
        let arguments = arguments(text)?;
        let [cluster, database, table, rest @ ..] = arguments.as_slice() else {
            return Err(format!(
                "expected Distributed(cluster, database, table …), found {} arguments",
                arguments.len()
            ));
        };
        let key = rest.first().filter(|key| !key.is_empty());
        Ok(DistributedEngine {
            cluster: cluster_of(cluster)?,
            database: database_of(database)?,
            table: name_of(table, "table")?,
            sharding_key: key.map(|key| (*key).to_owned()),
        })
    }

    /// The cluster's name with its macros replaced.
    pub fn cluster(&self, macros: &BTreeMap<String, String>) -> Result<String, String> {
        let mut name = String::new();
        let mut rest = self.cluster.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let (word, behind) = after
                .split_once('}')
                .ok_or_else(|| format!("cluster '{}' has a '{{' without its '}}'", self.cluster))?;
            let value = macros.get(word).ok_or_else(|| {
                format!(
                    "cluster '{}' needs the macro {{{word}}}, which system.macros of the server does not have",
                    self.cluster
                )
            })?;
            name.push_str(before);
            name.push_str(value);
            rest = behind;
        }
        name.push_str(rest);
        Ok(name)
    }

    /// The target of the distributed table `own`. `default_database` is what the cluster's replicas take for
    /// a name without database.
    pub fn target(&self, own: &TableName, default_database: Option<&str>) -> TableName {
        let database = match &self.database {
            RemoteDatabase::Named(name) => name,
            RemoteDatabase::Own => &own.database,
            RemoteDatabase::Default => default_database.unwrap_or(DEFAULT_DATABASE),
        };
        TableName::new(database, &self.table)
    }
}

// === arguments ===

/// The texts between the engine's brackets, split at its own commas.
fn arguments(text: &str) -> Result<Vec<&str>, String> {
    if text.len() > ENGINE_BYTES_MAX {
        return Err(format!("an engine of {} bytes", text.len()));
    }
    let inside = text
        .trim_start()
        .strip_prefix("Distributed")
        .and_then(|rest| rest.trim_start().strip_prefix('('))
        .ok_or("it does not begin with Distributed(")?;
    let mut found = Vec::new();
    let (mut depth, mut from) = (0_usize, 0);
    let mut chars = inside.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' | '`' | '"' => skip_quoted(c, &mut chars)?,
            '(' | '[' | '{' => depth += 1,
            ')' if depth == 0 => {
                found.push(inside[from..at].trim());
                return Ok(found);
            }
            ')' | ']' | '}' => depth = depth.checked_sub(1).ok_or("its brackets do not match")?,
            ',' if depth == 0 => {
                found.push(inside[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    Err("it has no closing bracket".to_owned())
}

/// A doubled quote needs no care: it ends one quoted text and begins the next.
fn skip_quoted(quote: char, chars: &mut std::str::CharIndices<'_>) -> Result<(), String> {
    while let Some((_, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            c if c == quote => return Ok(()),
            _ => {}
        }
    }
    Err(format!("it has a {quote} without its end"))
}

fn cluster_of(argument: &str) -> Result<String, String> {
    match call(argument) {
        Some(("getMacro", inner)) => Ok(format!("{{{}}}", name_of(inner, "macro")?)),
        _ => name_of(argument, "cluster"),
    }
}

fn database_of(argument: &str) -> Result<RemoteDatabase, String> {
    if let Some((function, "")) = call(argument) {
        let own = ["currentDatabase", "database", "schema"];
        if own.iter().any(|name| name.eq_ignore_ascii_case(function)) {
            return Ok(RemoteDatabase::Own);
        }
    }
    if argument == "''" {
        return Ok(RemoteDatabase::Default);
    }
    name_of(argument, "database").map(RemoteDatabase::Named)
}

/// `function(inner)`.
fn call(argument: &str) -> Option<(&str, &str)> {
    let (function, rest) = argument.split_once('(')?;
    let plain = function.bytes().all(|b| b.is_ascii_alphanumeric());
    let inner = rest.strip_suffix(')')?;
    plain.then(|| (function.trim(), inner.trim()))
}

/// A name that is bare, quoted or a string.
fn name_of(argument: &str, what: &str) -> Result<String, String> {
    let wrong = || format!("its {what} is no name: {argument}");
    let first = argument.chars().next().ok_or_else(wrong)?;
    if !matches!(first, '\'' | '`' | '"') {
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '-');
        return argument
            .chars()
            .all(plain)
            .then(|| argument.to_owned())
            .ok_or_else(wrong);
    }
    unquoted(first, &argument[1..])
        .filter(|name| !name.is_empty())
        .ok_or_else(wrong)
}

/// What stands before the closing quote, if nothing stands behind it.
fn unquoted(quote: char, text: &str) -> Option<String> {
    let mut name = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => name.push(escaped(chars.next()?)),
            c if c == quote && chars.peek() == Some(&quote) => name.extend(chars.next()),
            c if c == quote => return chars.next().is_none().then_some(name),
            c => name.push(c),
        }
    }
    None
}

/// The escapes that ClickHouse writes.
fn escaped(c: char) -> char {
    match c {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        '0' => '\0',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Cluster, target and key of `own.d` on a server whose macro {cluster} is "alpha".
    #[track_caller]
    fn check(text: &str, cluster: &str, target: (&str, &str), key: Option<&str>) {
        let engine = DistributedEngine::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let macros = BTreeMap::from([("cluster".to_owned(), "alpha".to_owned())]);
        assert_eq!(engine.cluster(&macros).as_deref(), Ok(cluster), "{text}");
        let own = TableName::new("own", "d");
        assert_eq!(
            engine.target(&own, None),
            TableName::new(target.0, target.1),
            "{text}"
        );
        assert_eq!(engine.sharding_key.as_deref(), key, "{text}");
    }

    #[track_caller]
    fn check_refused(text: &str, expected: &str) {
        let error = DistributedEngine::parse(text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }

    // Each text as 18.16.1 showed it.
    #[test]
    fn what_18_16_shows_is_read() {
        let loc = ("default", "loc");
        check(
            "Distributed(alpha, default, loc, cityHash64(k, s))",
            "alpha",
            loc,
            Some("cityHash64(k, s)"),
        );
        check("Distributed('alpha', 'default', 'loc')", "alpha", loc, None);
        check(
            "Distributed('{cluster}', default, loc, rand())",
            "alpha",
            loc,
            Some("rand()"),
        );
        check(
            "Distributed('beta', currentDatabase(), loc, k)",
            "beta",
            ("own", "loc"),
            Some("k"),
        );
        check(
            "Distributed(beta, default, `lo.c`, k + 1)",
            "beta",
            ("default", "lo.c"),
            Some("k + 1"),
        );
        check(
            "Distributed(beta, default, loc, (k, 1, 'a').1)",
            "beta",
            loc,
            Some("(k, 1, 'a').1"),
        );
        let key = r"sipHash64(concat(s, '),\'', toString(k)))";
        check(
            &format!("Distributed('beta', '', loc, {key})"),
            "beta",
            loc,
            Some(key),
        );
    }

    // Each text as 26.9 showed it.
    #[test]
    fn what_26_9_shows_is_read() {
        check(
            "Distributed('alpha', 'default', 'lo c', rand())",
            "alpha",
            ("default", "lo c"),
            Some("rand()"),
        );
        let key = "(((k, 1, 'a').1) - ([1, 2][1])) + CAST(k, 'UInt8')";
        check(
            &format!("Distributed('alpha', 'default', 'loc', {key})"),
            "alpha",
            ("default", "loc"),
            Some(key),
        );
        let settings =
            "Distributed('alpha', 'default', 'loc', k, 'a policy') SETTINGS fsync_after_insert = 1";
        check(settings, "alpha", ("default", "loc"), Some("k"));
    }

    #[test]
    fn names_are_read_in_every_notation() {
        check(
            r"Distributed('a''b\'c', `d``e`, \x22f\x22)"
                .replace("\\x22", "\"")
                .as_str(),
            "a'b'c",
            ("d`e", "f"),
            None,
        );
        check("Distributed( a-b ,  d_1 , t$ )", "a-b", ("d_1", "t$"), None);
        check(
            "Distributed(getMacro('cluster'), DATABASE(), t)",
            "alpha",
            ("own", "t"),
            None,
        );
        check(
            "Distributed('x_{cluster}_{cluster}', d, t, {k:1})",
            "x_alpha_alpha",
            ("d", "t"),
            Some("{k:1}"),
        );
    }

    #[test]
    fn an_empty_database_is_what_the_replicas_take_for_none() {
        let engine = DistributedEngine::parse("Distributed(c, '', t)").unwrap();
        let own = TableName::new("own", "d");
        assert_eq!(
            engine.target(&own, Some("shard_0")),
            TableName::new("shard_0", "t")
        );
    }

    #[test]
    fn a_macro_that_the_server_lacks_is_named() {
        let engine = DistributedEngine::parse("Distributed('{x}', d, t)").unwrap();
        assert!(engine.cluster(&BTreeMap::new()).unwrap_err().contains("{x}"));
    }

    #[test]
    fn anything_else_is_refused_with_a_reason() {
        check_refused("MergeTree ORDER BY k", "does not begin");
        check_refused("Distributed(a, b)", "2 arguments");
        check_refused("Distributed(a, b, c", "no closing bracket");
        check_refused("Distributed(a, b, 'c)", "without its end");
        check_refused("Distributed(a, b])", "brackets");
        check_refused(
            "Distributed(a, b, numbers(10), k)",
            "table is no name: numbers(10)",
        );
        check_refused("Distributed(concat('a', 'b'), b, c)", "cluster is no name");
        check_refused("Distributed(a, b, '')", "table is no name");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text: String, inside in "[a-c,()'`{}\\\\ ]{0,40}") {
            let _ = DistributedEngine::parse(&text);
            if let Ok(engine) = DistributedEngine::parse(&format!("Distributed({inside})")) {
                let _ = engine.cluster(&BTreeMap::new());
            }
        }
    }
}
