//! A client's settings on an INSERT, in three classes: Weir's own, the payload's, and the rest.
//!
//! *Own* settings are obeyed or change nothing here, and are never forwarded. *Payload* settings change how
//! the rows' bytes are read: they belong to the batch's shape and travel with it. Any *other* is refused with
//! code 115 at accept, unless the table's `forward_settings` names it: a limit frozen into a waiting file has
//! kept ClickHouse's own spool from ever delivering it.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::setting_values;
use crate::exception::{Exception, code};

/// What Weir does with a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Obeyed or ignored by Weir, never forwarded.
    Own,
    /// Part of the batch's shape.
    Payload,
    /// Refused unless the table forwards it.
    Other,
}

/// Settings by exact name or, with a trailing `*`, by prefix. The first match holds, so exceptions stand in front. What is in
/// no line is [`Class::Other`]. Held against ClickHouse 26.9's system.settings.
const CLASSES: &[(&str, Class)] = &[
    // How the rows' bytes are read, by every format or by one.
    ("max_dynamic_subcolumns_in_json_type_parsing", Class::Payload),
    ("aggregate_function_input_format", Class::Payload),
    ("allow_special_bool_values_inside_variant", Class::Payload),
    ("bool_false_representation", Class::Payload),
    ("bool_true_representation", Class::Payload),
    ("cast_ipv4_ipv6_default_on_conversion_error", Class::Payload),
    ("cast_string_to_date_time_mode", Class::Payload),
    ("cast_string_to_dynamic_use_inference", Class::Payload),
    ("cast_string_to_variant_use_inference", Class::Payload),
    ("check_conversion_from_numbers_to_enum", Class::Payload),
    ("date_time_input_format", Class::Payload),
    ("date_time_overflow_behavior", Class::Payload),
    ("insert_null_as_default", Class::Payload),
    ("json_type_escape_dots_in_keys", Class::Payload),
    ("precise_float_parsing", Class::Payload),
    ("session_timezone", Class::Payload),
    (
        "type_json_allow_duplicated_key_with_literal_and_nested_object",
        Class::Payload,
    ),
    ("type_json_skip_duplicated_paths", Class::Payload),
    ("type_json_skip_invalid_typed_paths", Class::Payload),
    ("type_json_skip_null_typed_paths", Class::Payload),
    (
        "type_json_use_partial_match_to_skip_paths_by_regexp",
        Class::Payload,
    ),
    // How a server cuts what it reads into blocks: a batch is one block, by Weir's own settings.
    ("input_format_parallel_parsing", Class::Own),
    ("input_format_max_block_size_bytes", Class::Own),
    ("input_format_max_block_wait_ms", Class::Own),
    ("input_format_connection_handling", Class::Own),
    // How a server prints errors, and writes: nothing of an INSERT.
    ("format_display_secrets_in_show_and_select", Class::Own),
    ("input_format_*", Class::Payload),
    ("format_*", Class::Payload),
    // Tokens, quorums, shards, asynchronous INSERTs: Weir's own business.
    ("insert_deduplication_token", Class::Own),
    ("insert_deduplicate", Class::Own),
    ("deduplicate_insert*", Class::Own),
    ("deduplicate_blocks_in_dependent_materialized_views", Class::Own),
    ("insert_quorum*", Class::Own),
    ("insert_keeper_*", Class::Own),
    ("insert_shard_id", Class::Own),
    ("insert_distributed_*", Class::Own),
    ("distributed_*", Class::Own),
    ("parallel_distributed_insert_select", Class::Own),
    ("fallback_to_stale_replicas_for_distributed_queries", Class::Own),
    ("optimize_distributed_group_by_sharding_key", Class::Own),
    ("optimize_trivial_view_pushdown_to_distributed", Class::Own),
    ("use_compact_format_in_distributed_parts_names", Class::Own),
    ("allow_distributed_ddl", Class::Own),
    ("prefer_localhost_replica", Class::Own),
    ("load_balancing", Class::Own),
    ("fsync_metadata", Class::Own),
    ("async_insert*", Class::Own),
    ("wait_for_async_insert*", Class::Own),
    ("select_sequential_consistency", Class::Own),
    // The connection between a client and its server.
    ("wait_end_of_query", Class::Own),
    ("buffer_size", Class::Own),
    ("send_progress_in_http_headers", Class::Own),
    ("cancel_http_readonly_queries_on_client_close", Class::Own),
    ("http_*", Class::Own),
    ("add_http_cors_header", Class::Own),
    ("enable_http_compression", Class::Own),
    ("network_compression_method", Class::Own),
    ("network_zstd_compression_level", Class::Own),
    ("compress", Class::Own),
    ("decompress", Class::Own),
    ("client_protocol_version", Class::Own),
    ("session_id", Class::Own),
    ("session_timeout", Class::Own),
    ("session_check", Class::Own),
    ("close_session", Class::Own),
    ("stacktrace", Class::Own),
    ("connect_timeout*", Class::Own),
    ("receive_timeout", Class::Own),
    ("send_timeout", Class::Own),
    ("tcp_keep_alive_timeout", Class::Own),
    ("idle_connection_timeout", Class::Own),
    ("poll_interval", Class::Own),
    ("interactive_delay", Class::Own),
    ("replace_running_query*", Class::Own),
    // Notes, priorities and limits: of this request, not of the rows; frozen into a file they could stop it for ever.
    ("log_*", Class::Own),
    ("send_logs_level", Class::Own),
    ("opentelemetry_*", Class::Own),
    ("priority", Class::Own),
    ("os_thread_priority", Class::Own),
    ("workload", Class::Own),
    ("max_*", Class::Own),
    ("min_*", Class::Own),
    ("timeout_overflow_mode", Class::Own),
    ("timeout_before_checking_execution_speed", Class::Own),
    ("read_overflow_mode", Class::Own),
    ("result_overflow_mode", Class::Own),
    ("memory_overcommit_ratio_denominator*", Class::Own),
    ("memory_usage_overcommit_max_wait_microseconds", Class::Own),
    ("readonly", Class::Own),
    ("quota_key", Class::Own),
    ("role", Class::Own),
    ("param_*", Class::Own),
    // What clients set for a whole session, and what says nothing of an INSERT: reads, DDL, other types' permission.
    ("output_format_*", Class::Own),
    ("date_time_output_format", Class::Own),
    ("extremes", Class::Own),
    ("final", Class::Own),
    ("join_use_nulls", Class::Own),
    ("use_uncompressed_cache", Class::Own),
    ("use_query_cache", Class::Own),
    ("schema_inference_*", Class::Own),
    ("column_names_for_schema_inference", Class::Own),
    ("mutations_sync", Class::Own),
    ("lightweight_deletes_sync", Class::Own),
    ("alter_sync", Class::Own),
    ("replication_alter_partitions_sync", Class::Own),
    ("database_replicated_enforce_synchronous_settings", Class::Own),
    ("allow_experimental_*", Class::Own),
    ("allow_suspicious_*", Class::Own),
    ("enable_dynamic_type", Class::Own),
    ("enable_json_type", Class::Own),
    ("enable_qbit_type", Class::Own),
    ("enable_time_time64_type", Class::Own),
    ("enable_variant_type", Class::Own),
];

/// What a server that sees to a quorum itself is told of it, where its version knows it.
pub const QUORUM_SETTINGS: &[&str] = &["insert_quorum", "insert_quorum_timeout", "insert_quorum_parallel"];

/// The class of a setting.
pub fn class(name: &str) -> Class {
    place(name).map_or(Class::Other, |at| CLASSES[at].1)
}

/// The line of [`CLASSES`] that decides about a setting.
fn place(name: &str) -> Option<usize> {
    let matches = |pattern: &str| match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == pattern,
    };
    CLASSES.iter().position(|(pattern, _)| matches(pattern))
}

/// The payload settings that stand in the table by their whole name.
pub fn payload_names() -> impl Iterator<Item = &'static str> {
    let whole = |(name, class): &&(&'static str, Class)| *class == Class::Payload && !name.ends_with('*');
    CLASSES.iter().filter(whole).map(|(name, _)| *name)
}

/// Whether a setting of an `INSERT … SELECT` travels with the SELECT: everything that a client may say of a read, and nothing
/// that is said of the INSERT, of this connection, or of the format, which is Weir's choice.
pub fn goes_with_a_select(name: &str) -> bool {
    const STAYS: &[&str] = &[
        "insert_",
        "async_insert",
        "wait_for_async_insert",
        "deduplicate_",
        "distributed_foreground_insert",
        "distributed_background_insert_timeout",
        "http_",
        "output_format_",
        "date_time_output_format",
        "enable_http_compression",
        "compress",
        "decompress",
        "wait_end_of_query",
        "buffer_size",
        "send_progress_in_http_headers",
        "client_protocol_version",
        "session_",
        "extremes",
        "readonly",
        "stacktrace",
    ];
    const GOES: &[&str] = &["session_timezone"];
    GOES.contains(&name) || !STAYS.iter().any(|prefix| name.starts_with(prefix))
}

/// The settings of one INSERT, sorted into what each is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InsertSettings {
    /// What Weir itself obeys.
    pub own: OwnSettings,
    /// What changes the reading of the rows, sorted by name, so that equal shapes are equal; the table's
    /// forwarded settings too.
    pub payload: Vec<(String, String)>,
}

/// The settings that Weir obeys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnSettings {
    /// insert_deduplication_token, when not empty.
    pub deduplication_token: Option<String>,
    /// insert_shard_id, counted from 1; 0 is none.
    pub shard_id: Option<u64>,
    /// insert_distributed_one_random_shard
    pub one_random_shard: bool,
    /// distributed_foreground_insert, or insert_distributed_sync as it was called: the answer waits for every shard.
    pub foreground: bool,
    /// insert_quorum, where it asks for more than one replica.
    pub quorum: Option<Quorum>,
    /// insert_quorum and its like as the client gave them, for servers that see to a quorum themselves; sorted by name.
    pub quorum_settings: Vec<(String, String)>,
    /// distributed_background_insert_timeout, or insert_distributed_timeout as it was called: how long a foreground INSERT waits.
    pub insert_timeout: Option<Duration>,
    /// max_execution_time: no answer takes longer, a foreground INSERT's included.
    pub max_execution_time: Option<Duration>,
    /// client_protocol_version: the revision in which Native blocks are written.
    pub client_protocol_version: Option<String>,
    /// The query parameters, each with its `param_`: values that the rows of a VALUES may name.
    pub parameters: Vec<(String, String)>,
}

impl InsertSettings {
    /// Sorts settings in the order given: URL first, then the SETTINGS clause, which wins.
    pub fn read<'a>(
        settings: impl IntoIterator<Item = &'a (String, String)>,
        forwarded: &[String],
    ) -> Result<Self, Exception> {
        let mut read = Self::default();
        for (name, value) in settings {
            match class(name) {
                Class::Own => read.own.set(name, value)?,
                Class::Payload => {
                    setting_values::check(name, value)?;
                    read.set_payload(name, value);
                }
                Class::Other if forwarded.contains(name) => read.set_payload(name, value),
                Class::Other => return Err(refused(name)),
            }
        }
        Ok(read)
    }

    /// Of an `INSERT … SELECT`: those that Weir obeys. The others are the SELECT's, and the replica judges them.
    pub fn of_select<'a>(
        settings: impl IntoIterator<Item = &'a (String, String)>,
    ) -> Result<Self, Exception> {
        let own = settings.into_iter().filter(|(name, _)| class(name) == Class::Own);
        Self::read(own, &[])
    }

    fn set_payload(&mut self, name: &str, value: &str) {
        match self
            .payload
            .binary_search_by(|(known, _)| known.as_str().cmp(name))
        {
            Ok(at) => value.clone_into(&mut self.payload[at].1),
            Err(at) => self.payload.insert(at, (name.to_owned(), value.to_owned())),
        }
    }
}

impl OwnSettings {
    fn set(&mut self, name: &str, value: &str) -> Result<(), Exception> {
        match name {
            "insert_deduplication_token" => {
                self.deduplication_token = (!value.is_empty()).then(|| value.to_owned());
            }
            "insert_shard_id" => self.shard_id = Some(number(name, value)?).filter(|id| *id > 0),
            "client_protocol_version" => self.client_protocol_version = Some(value.to_owned()),
            "insert_distributed_one_random_shard" => self.one_random_shard = flag(name, value)?,
            "distributed_foreground_insert" | "insert_distributed_sync" => {
                self.foreground = flag(name, value)?;
            }
            "distributed_background_insert_timeout" | "insert_distributed_timeout" => {
                self.insert_timeout = seconds(name, value)?;
            }
            "max_execution_time" => self.max_execution_time = seconds(name, value)?,
            "insert_quorum" => {
                self.quorum = Quorum::read(value)?;
                self.set_quorum(name, value);
            }
            name if QUORUM_SETTINGS.contains(&name) => self.set_quorum(name, value),
            name if name.starts_with("param_") => self.parameters.push((name.to_owned(), value.to_owned())),
            _ => {}
        }
        Ok(())
    }
}

impl OwnSettings {
    fn set_quorum(&mut self, name: &str, value: &str) {
        self.quorum_settings.retain(|(known, _)| known != name);
        self.quorum_settings.push((name.to_owned(), value.to_owned()));
        self.quorum_settings.sort_unstable();
    }

    /// How long the client waits for an answer at most, if it says so.
    pub fn patience(&self) -> Option<Duration> {
        self.insert_timeout
            .into_iter()
            .chain(self.max_execution_time)
            .min()
    }
}

/// How many replicas of a shard have to have an INSERT's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quorum {
    /// So many, two at least.
    Count(NonZeroUsize),
    /// More than half of them.
    Majority,
}

impl Quorum {
    /// As ClickHouse reads insert_quorum: a number, below two none; or `auto`.
    fn read(value: &str) -> Result<Option<Self>, Exception> {
        if value == "auto" {
            return Ok(Some(Self::Majority));
        }
        let count = if value.is_empty() {
            0
        } else {
            number("insert_quorum", value)?
        };
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        Ok(NonZeroUsize::new(count)
            .filter(|count| count.get() > 1)
            .map(Self::Count))
    }

    /// Of so many replicas.
    pub fn of(self, replicas: usize) -> usize {
        match self {
            Self::Count(count) => count.get(),
            Self::Majority => replicas / 2 + 1,
        }
    }
}

/// A time in seconds, which newer clients give in fractions; 0 is no limit.
fn seconds(name: &str, value: &str) -> Result<Option<Duration>, Exception> {
    if value.is_empty() {
        return Ok(None);
    }
    let seconds = value
        .trim()
        .parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let seconds = seconds.ok_or_else(|| {
        Exception::bad_input(
            code::BAD_ARGUMENTS,
            format!("Setting {name} needs a number of seconds, not '{value}'."),
        )
    })?;
    Ok(Some(seconds).filter(|seconds| !seconds.is_zero()))
}

fn number(name: &str, value: &str) -> Result<u64, Exception> {
    value.trim().parse().map_err(|_| {
        Exception::bad_input(
            code::BAD_ARGUMENTS,
            format!("Setting {name} needs a whole number, not '{value}'."),
        )
    })
}

fn flag(name: &str, value: &str) -> Result<bool, Exception> {
    match value.to_ascii_lowercase().as_str() {
        "0" | "false" | "" => Ok(false),
        "1" | "true" => Ok(true),
        _ => Err(Exception::bad_input(
            code::BAD_ARGUMENTS,
            format!("Setting {name} needs 0 or 1, not '{value}'."),
        )),
    }
}

fn refused(name: &str) -> Exception {
    Exception::bad_input(
        code::UNKNOWN_SETTING,
        format!(
            "Setting {name} is neither Weir's own nor one that changes how the rows are read, so it is not stored with them: \
             leave it out, or name it in the table's forward_settings in weir.toml."
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What every setting is for, written down apart from the table: names of 26.9's system.settings and of clients.
    const OWN: &[&str] = &[
        "input_format_parallel_parsing",
        "input_format_max_block_size_bytes",
        "input_format_max_block_wait_ms",
        "input_format_connection_handling",
        "format_display_secrets_in_show_and_select",
        "insert_deduplication_token",
        "insert_deduplicate",
        "deduplicate_insert_select",
        "deduplicate_blocks_in_dependent_materialized_views",
        "insert_quorum",
        "insert_quorum_parallel",
        "insert_keeper_max_retries",
        "insert_shard_id",
        "insert_distributed_sync",
        "insert_distributed_one_random_shard",
        "distributed_foreground_insert",
        "distributed_ddl_task_timeout",
        "parallel_distributed_insert_select",
        "fallback_to_stale_replicas_for_distributed_queries",
        "optimize_distributed_group_by_sharding_key",
        "optimize_trivial_view_pushdown_to_distributed",
        "use_compact_format_in_distributed_parts_names",
        "allow_distributed_ddl",
        "prefer_localhost_replica",
        "load_balancing",
        "fsync_metadata",
        "async_insert",
        "async_insert_busy_timeout_max_ms",
        "wait_for_async_insert",
        "wait_for_async_insert_timeout",
        "select_sequential_consistency",
        "wait_end_of_query",
        "buffer_size",
        "send_progress_in_http_headers",
        "cancel_http_readonly_queries_on_client_close",
        "http_headers_progress_interval_ms",
        "http_zlib_compression_level",
        "add_http_cors_header",
        "enable_http_compression",
        "network_compression_method",
        "network_zstd_compression_level",
        "compress",
        "decompress",
        "client_protocol_version",
        "session_id",
        "session_timeout",
        "session_check",
        "close_session",
        "stacktrace",
        "connect_timeout_with_failover_ms",
        "receive_timeout",
        "send_timeout",
        "tcp_keep_alive_timeout",
        "idle_connection_timeout",
        "poll_interval",
        "interactive_delay",
        "replace_running_query_max_wait_ms",
        "log_comment",
        "send_logs_level",
        "opentelemetry_start_trace_probability",
        "priority",
        "os_thread_priority",
        "workload",
        "max_execution_time",
        "max_distributed_connections",
        "max_partitions_per_insert_block",
        "min_insert_block_size_rows",
        "timeout_overflow_mode",
        "timeout_before_checking_execution_speed",
        "read_overflow_mode",
        "result_overflow_mode",
        "memory_overcommit_ratio_denominator_for_user",
        "memory_usage_overcommit_max_wait_microseconds",
        "readonly",
        "quota_key",
        "role",
        "param_database",
        "output_format_json_quote_64bit_integers",
        "date_time_output_format",
        "extremes",
        "final",
        "join_use_nulls",
        "use_uncompressed_cache",
        "use_query_cache",
        "schema_inference_hints",
        "column_names_for_schema_inference",
        "mutations_sync",
        "lightweight_deletes_sync",
        "alter_sync",
        "replication_alter_partitions_sync",
        "database_replicated_enforce_synchronous_settings",
        "allow_experimental_json_type",
        "allow_suspicious_low_cardinality_types",
        "enable_dynamic_type",
        "enable_json_type",
        "enable_qbit_type",
        "enable_time_time64_type",
        "enable_variant_type",
    ];
    const PAYLOAD: &[&str] = &[
        "max_dynamic_subcolumns_in_json_type_parsing",
        "aggregate_function_input_format",
        "allow_special_bool_values_inside_variant",
        "bool_false_representation",
        "bool_true_representation",
        "cast_ipv4_ipv6_default_on_conversion_error",
        "cast_string_to_date_time_mode",
        "cast_string_to_dynamic_use_inference",
        "cast_string_to_variant_use_inference",
        "check_conversion_from_numbers_to_enum",
        "date_time_input_format",
        "date_time_overflow_behavior",
        "insert_null_as_default",
        "json_type_escape_dots_in_keys",
        "precise_float_parsing",
        "session_timezone",
        "type_json_allow_duplicated_key_with_literal_and_nested_object",
        "type_json_skip_duplicated_paths",
        "type_json_skip_invalid_typed_paths",
        "type_json_skip_null_typed_paths",
        "type_json_use_partial_match_to_skip_paths_by_regexp",
        "input_format_import_nested_json",
        "input_format_skip_unknown_fields",
        "input_format_values_interpret_expressions",
        "format_csv_delimiter",
        "format_schema",
    ];

    #[test]
    fn every_setting_is_of_the_class_that_it_is_for() {
        check(Class::Own, OWN);
        check(Class::Payload, PAYLOAD);
        let places: Vec<_> = OWN.iter().chain(PAYLOAD).map(|name| place(name)).collect();
        for (at, (pattern, _)) in CLASSES.iter().enumerate() {
            assert!(
                places.contains(&Some(at)),
                "no example is decided by the line {pattern}"
            );
        }
    }

    #[track_caller]
    fn check(expected: Class, names: &[&str]) {
        for name in names {
            assert_eq!(class(name), expected, "{name}");
        }
    }

    #[test]
    fn what_real_clients_send_with_an_insert_is_taken() {
        // reference/peers-and-clients.md, section 6, rule 15, and dbt's.
        check(
            Class::Payload,
            &[
                "date_time_input_format",
                "cast_string_to_dynamic_use_inference",
                "input_format_import_nested_json",
                "input_format_skip_unknown_fields",
                "input_format_null_as_default",
                "input_format_values_interpret_expressions",
                "input_format_allow_errors_ratio",
                "input_format_native_allow_types_conversion",
                "format_csv_delimiter",
                "format_custom_escaping_rule",
                "format_template_row",
                "format_schema",
                "session_timezone",
                "bool_true_representation",
            ],
        );
        check(
            Class::Own,
            &[
                "cancel_http_readonly_queries_on_client_close",
                "send_progress_in_http_headers",
                "http_headers_progress_interval_ms",
                "wait_end_of_query",
                "async_insert",
                "async_insert_busy_timeout_ms",
                "wait_for_async_insert",
                "insert_distributed_one_random_shard",
                "insert_distributed_sync",
                "distributed_foreground_insert",
                "insert_quorum",
                "insert_quorum_timeout",
                "mutations_sync",
                "alter_sync",
                "database_replicated_enforce_synchronous_settings",
                "log_comment",
                "max_insert_block_size",
                "max_execution_time",
                "allow_experimental_json_type",
                "output_format_json_quote_64bit_integers",
            ],
        );
    }

    #[test]
    fn what_would_change_the_write_itself_is_not_taken_unasked() {
        check(
            Class::Other,
            &[
                "flatten_nested",
                "insert_allow_materialized_columns",
                "materialized_views_ignore_errors",
                "optimize_on_insert",
                "throw_on_max_partitions_per_insert_block",
                "parallel_view_processing",
                "input_format",
                "format",
                "no_such_setting",
            ],
        );
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn payload_settings_are_sorted_and_the_last_value_wins() {
        let given = pairs(&[
            ("input_format_x", "1"),
            ("format_csv_delimiter", ";"),
            ("input_format_x", "0"),
        ]);
        let read = InsertSettings::read(&given, &[]).unwrap();
        assert_eq!(
            read.payload,
            pairs(&[("format_csv_delimiter", ";"), ("input_format_x", "0")])
        );
    }

    #[test]
    fn an_unknown_setting_is_refused_unless_the_table_forwards_it() {
        let given = pairs(&[("flatten_nested", "0")]);
        assert_eq!(
            InsertSettings::read(&given, &[]).unwrap_err().code,
            code::UNKNOWN_SETTING
        );
        let read = InsertSettings::read(&given, &["flatten_nested".to_owned()]).unwrap();
        assert_eq!(read.payload, given);
    }

    fn own(given: &[(&str, &str)]) -> Result<OwnSettings, Exception> {
        InsertSettings::read(&pairs(given), &[]).map(|read| read.own)
    }

    #[test]
    fn the_last_word_on_the_foreground_holds_under_the_setting_s_old_name_too() {
        assert!(own(&[("insert_distributed_sync", "1")]).unwrap().foreground);
        let taken_back = [
            ("insert_distributed_sync", "1"),
            ("distributed_foreground_insert", "0"),
        ];
        assert!(!own(&taken_back).unwrap().foreground);
    }

    #[test]
    fn a_quorum_is_of_two_at_least_or_the_majority() {
        let quorum = |value| {
            own(&[("insert_quorum", value)])
                .unwrap()
                .quorum
                .map(|quorum| quorum.of(3))
        };
        assert_eq!(
            ["", "0", "1", "2", "3", "auto"].map(quorum),
            [None, None, None, Some(2), Some(3), Some(2)]
        );
        assert_eq!(Quorum::Majority.of(4), 3);
        let given = [
            ("insert_quorum_timeout", "9"),
            ("insert_quorum", "2"),
            ("insert_quorum", "3"),
        ];
        assert_eq!(
            own(&given).unwrap().quorum_settings,
            pairs(&[("insert_quorum", "3"), ("insert_quorum_timeout", "9")])
        );
    }

    #[test]
    fn the_shorter_of_two_limits_ends_a_wait_and_zero_is_none() {
        let patience = |given: &[(&str, &str)]| own(given).unwrap().patience();
        let both = [("insert_distributed_timeout", "7"), ("max_execution_time", "0.5")];
        assert_eq!(patience(&both), Some(Duration::from_millis(500)));
        assert_eq!(patience(&[("max_execution_time", "0")]), None);
    }

    #[test]
    fn a_wrong_value_is_named() {
        for (name, value) in [
            ("insert_shard_id", "one"),
            ("insert_quorum", "most"),
            ("distributed_foreground_insert", "perhaps"),
            ("max_execution_time", "-1"),
            ("insert_distributed_timeout", "soon"),
        ] {
            let refused = own(&[(name, value)]).unwrap_err();
            assert_eq!(refused.code, code::BAD_ARGUMENTS, "{name}");
            assert!(refused.message.contains(name), "{refused}");
        }
        let harmless = [
            ("insert_distributed_sync", "0"),
            ("async_insert", "1"),
            ("insert_shard_id", "0"),
        ];
        assert_eq!(own(&harmless).unwrap(), OwnSettings::default());
    }
}
