//! What the official clients ask before they insert: asked ahead, so that a client that comes for the first time
//! while every replica is down is answered too.
//!
//! Read in the clients' sources of November 2026: clickhouse-connect 1.12 (`_backend/orchestration.py`),
//! clickhouse-go 2.50 (`conn_http.go`, `conn_http_batch.go`), client-v2 and jdbc-v2 0.9.8 (`Client.java`,
//! `ConnectionImpl.java`), `@clickhouse/client` 1.23 (`node_base_connection.ts`), the `clickhouse` crate 0.15.3
//! (`lib.rs`), and Vector's `sinks/clickhouse`.

use config::TableName;
use shard_client::request::quoted_name;

use super::shape::{Request, Shape};

/// The protocol version that clickhouse-go announces (`DBMS_TCP_PROTOCOL_VERSION`).
const GO: &[(&str, &str)] = &[("client_protocol_version", "54460")];
/// The one that clickhouse-connect announces once its probe was answered.
const PYTHON: &[(&str, &str)] = &[("client_protocol_version", "54405")];
/// What the Rust crate adds to its DESCRIBE.
const RUST: &[(&str, &str)] = &[("describe_include_subcolumns", "0")];

/// A question of some client: its statement, the format, and the parameters that count.
struct Known {
    statement: &'static str,
    format: &'static str,
    settings: &'static [(&'static str, &'static str)],
}

const fn known(
    statement: &'static str,
    format: &'static str,
    settings: &'static [(&'static str, &'static str)],
) -> Known {
    Known {
        statement,
        format,
        settings,
    }
}

const SETTINGS: &str = "SELECT name, value, readonly FROM system.settings LIMIT 10000";

/// Asked of a cluster for each user.
const HELLOS: &[Known] = &[
    // clickhouse-connect, dbt
    known("SELECT version(), timezone()", "TabSeparated", &[]),
    known(SETTINGS, "Native", &[]),
    known("SELECT 1 AS check", "Native", PYTHON),
    // clickhouse-go, the OTel exporter, Grafana
    known(
        "SELECT displayName(), version(), revision(), timezone()",
        "Native",
        GO,
    ),
    known("SELECT 1", "Native", GO),
    known("SELECT version()", "Native", GO),
    // client-v2, JDBC
    known(
        "SELECT currentUser() AS user, timezone() AS timezone, version() AS version LIMIT 1",
        "RowBinaryWithNamesAndTypes",
        &[],
    ),
    known(
        "SELECT version() as server_version",
        "RowBinaryWithNamesAndTypes",
        &[],
    ),
    known("SELECT 1", "RowBinaryWithNamesAndTypes", &[]),
    // @clickhouse/client
    known("SELECT 'ping'", "TabSeparated", &[]),
    known("SELECT version()", "JSON", &[]),
    known("SELECT version()", "JSONEachRow", &[]),
    known("SELECT 1", "JSON", &[]),
    known("SELECT 1", "JSONEachRow", &[]),
    // Vector, load balancers, people
    known("SELECT 1", "TabSeparated", &[]),
    known("SELECT 1", "Native", &[]),
    known("SELECT 1", "RowBinary", &[]),
    known("SELECT version()", "TabSeparated", &[]),
    known("SELECT version()", "Native", &[]),
    known("SELECT timezone()", "TabSeparated", &[]),
    known("SELECT currentUser()", "TabSeparated", &[]),
];

/// Asked for each table: the statement is the DESCRIBE.
const DESCRIBES: &[(&str, &[(&str, &str)])] = &[
    ("Native", &[]),
    ("Native", PYTHON),
    ("Native", GO),
    ("TSKV", &[]),
    ("RowBinaryWithNamesAndTypes", RUST),
    ("RowBinary", RUST),
    ("TabSeparated", &[]),
    ("JSON", &[]),
    ("JSONEachRow", &[]),
];

/// Vector's question before it writes ArrowStream, its parameters put in.
const VECTOR: &str = "SELECT name, type, default_kind FROM system.columns WHERE database = {db:String} AND table = {table:String} ORDER BY position";

fn shape(statement: &str, format: &str, settings: &[(String, String)], user: &str) -> Option<Shape> {
    Shape::of(&Request {
        statement: statement.as_bytes(),
        default_format: Some(format),
        database: "default",
        user,
        settings,
    })
}

fn owned(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    settings.iter().map(pair).collect()
}

/// What clients ask of a cluster before they know a table, as this user.
pub fn hellos(user: &str) -> impl Iterator<Item = Shape> {
    HELLOS
        .iter()
        .filter_map(move |known| shape(known.statement, known.format, &owned(known.settings), user))
}

/// What clients ask about a table before they insert into it.
pub fn about(table: &TableName) -> impl Iterator<Item = Shape> {
    let describe = format!(
        "DESCRIBE TABLE {}.{}",
        quoted_name(&table.database),
        quoted_name(&table.table)
    );
    let describes = DESCRIBES
        .iter()
        .filter_map(move |(format, settings)| shape(&describe, format, &owned(settings), ""));
    let names = owned(&[("param_db", &table.database), ("param_table", &table.table)]);
    describes.chain(shape(VECTOR, "JSONEachRow", &names, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request as a client sends it: URL parameters, and the statement in the URL or the body.
    fn asked(statement: &str, parameters: &[(&str, &str)]) -> Shape {
        let parameters = owned(parameters);
        let given = |name: &str| parameters.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
        let settings: Vec<_> = parameters
            .iter()
            .filter(|(name, _)| !["default_format", "database", "query_id"].contains(&name.as_str()))
            .cloned()
            .collect();
        let shape = Shape::of(&Request {
            statement: statement.as_bytes(),
            default_format: given("default_format").as_deref(),
            database: given("database").as_deref().unwrap_or("default"),
            user: "app",
            settings: &settings,
        });
        shape.unwrap_or_else(|| panic!("{statement} has no shape"))
    }

    #[track_caller]
    fn check_hello(statement: &str, parameters: &[(&str, &str)]) {
        let asked = asked(statement, parameters);
        assert!(
            hellos("app").any(|known| known == asked),
            "{asked:?} is not asked ahead"
        );
    }

    #[track_caller]
    fn check_table(statement: &str, parameters: &[(&str, &str)]) {
        let asked = asked(statement, parameters);
        let table = TableName::new("default", "hits");
        assert!(
            about(&table).any(|known| known == asked),
            "{asked:?} is not asked ahead"
        );
    }

    #[test]
    fn every_entry_of_the_tables_has_a_shape_of_its_own() {
        let mut shapes: Vec<_> = hellos("app").collect();
        assert_eq!(shapes.len(), HELLOS.len());
        let table = TableName::new("d.b", "it's");
        shapes.extend(about(&table));
        assert_eq!(shapes.len(), HELLOS.len() + DESCRIBES.len() + 1);
        let distinct: std::collections::HashSet<_> = shapes.iter().collect();
        assert_eq!(distinct.len(), shapes.len());
    }

    #[test]
    fn clickhouse_connect_finds_its_answers() {
        let session = ("session_id", "f3c2");
        check_hello(
            "SELECT version(), timezone()",
            &[session, ("wait_end_of_query", "1")],
        );
        check_hello(
            "SELECT name, value, readonly FROM system.settings LIMIT 10000\n FORMAT Native",
            &[
                session,
                ("send_progress_in_http_headers", "1"),
                ("http_headers_progress_interval_ms", "120000"),
            ],
        );
        check_hello(
            "SELECT 1 AS check\n FORMAT Native",
            &[session, ("client_protocol_version", "54405")],
        );
        let later = [
            session,
            ("database", "default"),
            ("client_protocol_version", "54405"),
            ("date_time_input_format", "best_effort"),
            ("cast_string_to_dynamic_use_inference", "1"),
            ("cancel_http_readonly_queries_on_client_close", "1"),
        ];
        check_table("DESCRIBE TABLE `default`.`hits`\n FORMAT Native", &later);
        check_table(
            "DESCRIBE TABLE `hits`\n FORMAT Native",
            &[("database", "default")],
        );
    }

    #[test]
    fn clickhouse_go_finds_its_answers() {
        let always = [
            ("default_format", "Native"),
            ("client_protocol_version", "54460"),
            ("database", "default"),
            ("max_execution_time", "60"),
        ];
        check_hello("SELECT displayName(), version(), revision(), timezone()", &always);
        check_hello("SELECT 1", &always);
        check_table("DESCRIBE TABLE hits", &always);
        check_table(
            "DESCRIBE TABLE default.hits",
            &[&always[..], &[("compress", "1")]].concat(),
        );
    }

    #[test]
    fn the_java_clients_find_their_answers() {
        let always = [
            ("default_format", "RowBinaryWithNamesAndTypes"),
            ("compress", "1"),
        ];
        check_hello(
            "SELECT currentUser() AS user, timezone() AS timezone, version() AS version LIMIT 1",
            &always,
        );
        check_hello("SELECT version() as server_version", &always);
        check_hello("SELECT 1 FORMAT TabSeparated", &[("compress", "1")]);
        check_table("DESCRIBE TABLE hits FORMAT TSKV", &[("compress", "1")]);
        check_table(
            "DESCRIBE TABLE `default`.`hits` FORMAT TSKV",
            &[("enable_http_compression", "1")],
        );
    }

    #[test]
    fn the_node_client_finds_its_answers() {
        check_hello("SELECT 'ping'", &[]);
        check_hello("SELECT version() \nFORMAT JSON", &[]);
    }

    #[test]
    fn the_rust_client_finds_its_answers() {
        for format in ["RowBinaryWithNamesAndTypes", "RowBinary"] {
            let parameters = [
                ("default_format", format),
                ("database", "default"),
                ("describe_include_subcolumns", "0"),
            ];
            check_table("DESCRIBE TABLE hits", &parameters);
        }
    }

    #[test]
    fn vector_and_curl_find_their_answers() {
        check_hello("SELECT 1", &[]);
        check_hello("SELECT 1\n", &[("user", "x")][..0]);
        check_table(
            "SELECT name, type, default_kind FROM system.columns WHERE database = {database:String} AND table = {tbl:String} ORDER BY position FORMAT JSONEachRow",
            &[("param_database", "default"), ("param_tbl", "hits")],
        );
        check_table("DESCRIBE hits", &[]);
    }
}
