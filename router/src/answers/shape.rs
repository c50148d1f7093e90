//! Which questions may be answered from what was kept, and what their answers depend on. Pure.
//!
//! An answer is the same bytes for two requests if they have the same [`Shape`]: the statement (layout, `FORMAT`,
//! parameters and the asker's name put in their place), the output format, and the settings that decide how a
//! result is written. How the answer is compressed is no part of it: answers are kept plain and encoded when
//! they are served.

use config::TableName;

use super::grammar::{self, AboutTarget, Values};

/// The longest statement that is looked at; the longest of the known ones has 150 bytes.
pub const STATEMENT_BYTES_MAX: usize = 8 << 10;

/// What a plain `SELECT` over HTTP is written in.
const DEFAULT_FORMAT: &str = "TabSeparated";

/// What an answer depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shape {
    /// What is asked.
    pub asks: Asks,
    /// The output format, as the client names it.
    pub format: String,
    /// Settings that decide how the result is written, by name.
    pub settings: Vec<(String, String)>,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Asks {
    /// Constants and settings of the server: a SELECT that names no table of anybody.
    Server(String),
    /// `DESCRIBE` of this distributed table, whose target is asked for it.
    Describe(TableName),
    /// A SELECT from `system.columns` or `system.tables` about this table.
    About(TableName, String),
}

/// A request, as far as its shape goes.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The whole statement.
    pub statement: &'a [u8],
    /// `X-ClickHouse-Format` or `default_format`.
    pub default_format: Option<&'a str>,
    /// The database of names without one.
    pub database: &'a str,
    /// Who asks, by the name that the replicas know.
    pub user: &'a str,
    /// The other URL parameters.
    pub settings: &'a [(String, String)],
}

impl Asks {
    /// The table that one must be allowed to insert into to be told; none for what is no secret.
    pub fn table(&self) -> Option<&TableName> {
        match self {
            Asks::Server(_) => None,
            Asks::Describe(table) | Asks::About(table, _) => Some(table),
        }
    }
}

impl Shape {
    /// The shape of a request; none if its answer is not one that is kept.
    pub fn of(request: &Request<'_>) -> Option<Shape> {
        if request.statement.len() > STATEMENT_BYTES_MAX {
            return None;
        }
        let tokens = formats::statement::tokens(request.statement).ok()?;
        let values = Values {
            database: request.database,
            user: request.user,
            parameters: request.settings,
        };
        let (asks, format) = grammar::read(&tokens, &values)?;
        let said = format.as_deref().or(request.default_format);
        let format = said.filter(|format| !format.is_empty()).unwrap_or(DEFAULT_FORMAT);
        is_format_name(format).then_some(())?;
        Some(Shape {
            asks,
            format: format.to_owned(),
            settings: relevant(request.settings)?,
        })
    }
}

/// A question about a table's columns, to be asked about its target; none for any other.
pub fn about_columns(request: &Request<'_>) -> Option<AboutTarget> {
    if request.statement.len() > STATEMENT_BYTES_MAX {
        return None;
    }
    let tokens = formats::statement::tokens(request.statement).ok()?;
    let values = Values {
        database: request.database,
        user: request.user,
        parameters: request.settings,
    };
    grammar::about_columns(&tokens, &values)
}

/// A format's name goes into the statement that Weir sends itself.
fn is_format_name(name: &str) -> bool {
    name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// What a URL parameter does to an answer.
#[derive(Debug, PartialEq, Eq)]
enum Effect {
    /// It decides how the result is written.
    Writes,
    /// None on these questions.
    None,
    /// Unknown, or it changes what is answered.
    Other,
}

/// Settings that decide how a result is written. They are sent again under the cluster's own user, so none that
/// holds an expression or a path may be among them.
const WRITES: &[&str] = &[
    "bool_false_representation",
    "bool_true_representation",
    "client_protocol_version",
    "date_time_output_format",
    "extremes",
    "interval_output_format",
    "low_cardinality_allow_in_native_format",
    "print_pretty_type_names",
    "session_timezone",
];
const WRITES_BEGIN: &[&str] = &["output_format_", "format_csv_", "format_tsv_", "describe_"];

/// Parameters and settings that clients send with everything and that leave these answers as they are.
const NO_EFFECT: &[&str] = &[
    "alter_sync",
    "buffer_size",
    "compress",
    "decompress",
    "date_time_input_format",
    "cast_string_to_dynamic_use_inference",
    "cancel_http_readonly_queries_on_client_close",
    "database_replicated_enforce_synchronous_settings",
    "enable_http_compression",
    "fsync_metadata",
    "load_balancing",
    "mutations_sync",
    "network_compression_method",
    "network_zstd_compression_level",
    "prefer_localhost_replica",
    "priority",
    "readonly",
    "result_overflow_mode",
    "role",
    "session_check",
    "session_id",
    "session_timeout",
    "timeout_before_checking_execution_speed",
    "timeout_overflow_mode",
];
const NO_EFFECT_BEGIN: &[&str] = &[
    "add_http_",
    "allow_",
    "async_insert",
    "connect_",
    "distributed_",
    "enable_",
    "group_by_",
    "http_",
    "input_format_",
    "insert_",
    "join_",
    "log_",
    "max_",
    "min_",
    "opentelemetry_",
    "optimize_",
    "param_",
    "quota_",
    "receive_",
    "replication_",
    "select_sequential_",
    "send_",
    "tcp_",
    "use_",
    "wait_",
];

fn effect(name: &str) -> Effect {
    let begins = |list: &[&str]| list.iter().any(|begin| name.starts_with(begin));
    // output_format_schema and its like name files on the server.
    let names_file = name.contains("schema");
    if !names_file && (WRITES.contains(&name) || begins(WRITES_BEGIN)) {
        Effect::Writes
    } else if NO_EFFECT.contains(&name) || begins(NO_EFFECT_BEGIN) {
        Effect::None
    } else {
        Effect::Other
    }
}

/// The settings that count, the last of each name, in order; none if one could change what is answered.
fn relevant(settings: &[(String, String)]) -> Option<Vec<(String, String)>> {
    let mut relevant: Vec<(String, String)> = Vec::new();
    for (name, value) in settings {
        match effect(name) {
            Effect::None => {}
            Effect::Other => return None,
            Effect::Writes => {
                relevant.retain(|(known, _)| known != name);
                relevant.push((name.clone(), value.clone()));
            }
        }
    }
    relevant.sort();
    Some(relevant)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape_of(statement: &str, default_format: Option<&str>, settings: &[(&str, &str)]) -> Option<Shape> {
        let settings: Vec<_> = settings
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        Shape::of(&Request {
            statement: statement.as_bytes(),
            default_format,
            database: "d",
            user: "app",
            settings: &settings,
        })
    }

    #[test]
    fn the_format_is_the_statements_else_the_requests_else_tab_separated() {
        let format = |statement, default| shape_of(statement, default, &[]).unwrap().format;
        assert_eq!(format("SELECT 1 FORMAT JSON", Some("Native")), "JSON");
        assert_eq!(format("SELECT 1", Some("Native")), "Native");
        assert_eq!(format("SELECT 1", None), "TabSeparated");
        assert_eq!(shape_of("SELECT 1", Some("x y"), &[]), None);
    }

    #[test]
    fn only_settings_that_decide_how_a_result_is_written_tell_shapes_apart() {
        let plain = shape_of("SELECT 1", None, &[]);
        let sent_by_python = [
            ("session_id", "8f"),
            ("wait_end_of_query", "1"),
            ("max_threads", "4"),
        ];
        assert_eq!(shape_of("select  1;", None, &sent_by_python), plain);
        let version = |v| shape_of("SELECT 1", None, &[("client_protocol_version", v)]);
        assert_ne!(version("54405"), plain);
        assert_ne!(version("54405"), version("54460"));
        let twice = [("extremes", "1"), ("extremes", "0")];
        assert_eq!(
            shape_of("SELECT 1", None, &twice).unwrap().settings,
            [("extremes".to_owned(), "0".to_owned())]
        );
    }

    #[test]
    fn a_setting_that_could_change_the_rows_has_no_shape() {
        for name in [
            "additional_result_filter",
            "limit",
            "offset",
            "made_up",
            "format_schema",
            "output_format_schema",
        ] {
            assert_eq!(shape_of("SELECT 1", None, &[(name, "1")]), None, "{name}");
        }
    }

    #[test]
    fn a_long_statement_has_no_shape() {
        let long = format!("SELECT '{}'", "x".repeat(STATEMENT_BYTES_MAX));
        assert_eq!(shape_of(&long, None, &[]), None);
    }
}
