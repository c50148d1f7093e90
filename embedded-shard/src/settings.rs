//! The settings of one statement, from the URL and its SETTINGS clause.
//!
//! A setting is either obeyed, or known and without effect here (one INSERT is one transaction of one block
//! however
//! ClickHouse would cut it), or refused: code 115, as ClickHouse refuses what it does not know.

use crate::error::{Outcome, code};

/// How an INSERT's data are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// `date_time_input_format = best_effort`: offsets behind times are read.
    pub best_effort_times: bool,
    /// `input_format_null_as_default`: NULL where a column has none asks for its default.
    pub null_as_default: bool,
    /// `input_format_skip_unknown_fields`.
    pub skip_unknown_fields: bool,
}

impl Default for Reading {
    /// ClickHouse 26.9's defaults.
    fn default() -> Self {
        Self {
            best_effort_times: false,
            null_as_default: true,
            skip_unknown_fields: true,
        }
    }
}

/// What a statement's settings ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub reading: Reading,
    /// `insert_deduplication_token`; empty means none, as in ClickHouse.
    pub deduplication_token: Option<String>,
    /// `insert_deduplicate` and `deduplicate_insert`.
    pub deduplicate: bool,
    /// `output_format_json_quote_64bit_integers`: wide integers as strings.
    pub quote_wide_integers: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            reading: Reading::default(),
            deduplication_token: None,
            deduplicate: true,
            quote_wide_integers: false,
        }
    }
}

/// Settings that are obeyed, with their defaults.
const OBEYED: &[(&str, &str)] = &[
    ("insert_deduplication_token", ""),
    ("insert_deduplicate", "1"),
    ("deduplicate_insert", "enable"),
    ("input_format_null_as_default", "1"),
    ("input_format_skip_unknown_fields", "1"),
    ("date_time_input_format", "basic"),
    ("output_format_json_quote_64bit_integers", "0"),
];

/// Settings that are known and change nothing that can be seen here, with their defaults.
const WITHOUT_EFFECT: &[(&str, &str)] = &[
    // How ClickHouse would cut a body into blocks and read it: here every INSERT is one block.
    ("max_insert_block_size", "1048449"),
    ("max_insert_block_size_bytes", "0"),
    ("min_insert_block_size_rows", "1048449"),
    ("min_insert_block_size_bytes", "268402944"),
    ("max_insert_threads", "0"),
    ("input_format_parallel_parsing", "1"),
    ("async_insert", "0"),
    ("wait_for_async_insert", "1"),
    ("insert_quorum", "0"),
    // There are no views here.
    ("deduplicate_blocks_in_dependent_materialized_views", "0"),
    // How answers travel: they are small, whole and not compressed.
    ("wait_end_of_query", "0"),
    ("buffer_size", "0"),
    ("send_progress_in_http_headers", "0"),
    ("http_headers_progress_interval_ms", "100"),
    ("cancel_http_readonly_queries_on_client_close", "0"),
    ("enable_http_compression", "0"),
    // Columns have no subcolumns here.
    ("describe_include_subcolumns", "0"),
    ("log_queries", "1"),
    ("log_comment", ""),
    ("max_execution_time", "0"),
];

impl Settings {
    /// Takes one setting; the later of two wins.
    pub fn set(&mut self, name: &str, value: &str) -> Outcome<()> {
        match name {
            "insert_deduplication_token" => {
                self.deduplication_token = Some(value.to_owned()).filter(|token| !token.is_empty());
            }
            "insert_deduplicate" => self.deduplicate = flag(name, value)?,
            "deduplicate_insert" => self.deduplicate = deduplicate_insert(value, self.deduplicate)?,
            "input_format_null_as_default" => self.reading.null_as_default = flag(name, value)?,
            "input_format_skip_unknown_fields" => self.reading.skip_unknown_fields = flag(name, value)?,
            "date_time_input_format" => self.reading.best_effort_times = best_effort(value)?,
            "output_format_json_quote_64bit_integers" => self.quote_wide_integers = flag(name, value)?,
            other if WITHOUT_EFFECT.iter().any(|(known, _)| *known == other) => {}
            other => return code::UNKNOWN_SETTING.refuse(format_args!("unknown setting '{other}'")),
        }
        Ok(())
    }
}

/// Every known setting with its default, for `system.settings`.
pub(crate) fn known() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    OBEYED.iter().chain(WITHOUT_EFFECT)
}

fn flag(name: &str, value: &str) -> Outcome<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => code::CANNOT_PARSE_BOOL.refuse(format_args!("the setting {name} is 0 or 1, not '{value}'")),
    }
}

fn deduplicate_insert(value: &str, default: bool) -> Outcome<bool> {
    match value {
        "enable" => Ok(true),
        "disable" => Ok(false),
        "backward_compatible_choice" => Ok(default),
        _ => code::BAD_ARGUMENTS.refuse(format_args!("the setting deduplicate_insert cannot be '{value}'")),
    }
}

fn best_effort(value: &str) -> Outcome<bool> {
    match value {
        "basic" => Ok(false),
        "best_effort" => Ok(true),
        _ => code::BAD_ARGUMENTS.refuse(format_args!(
            "the setting date_time_input_format cannot be '{value}' here"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn obeyed_settings_change_the_statement_and_others_only_have_to_be_known() {
        let mut settings = Settings::default();
        settings.set("insert_deduplication_token", "t-1").unwrap();
        settings.set("input_format_skip_unknown_fields", "0").unwrap();
        settings.set("max_insert_block_size", "1000000").unwrap();
        assert_eq!(settings.deduplication_token.as_deref(), Some("t-1"));
        assert!(!settings.reading.skip_unknown_fields);
        settings.set("insert_deduplication_token", "").unwrap();
        assert_eq!(settings.deduplication_token, None);
    }

    #[test]
    fn an_unknown_setting_or_value_is_refused_by_its_name() {
        let mut settings = Settings::default();
        let error = settings.set("zzz", "1").unwrap_err();
        assert_eq!(
            (error.code, error.text.as_str()),
            (code::UNKNOWN_SETTING, "unknown setting 'zzz'")
        );
        assert!(
            settings
                .set("insert_deduplicate", "maybe")
                .unwrap_err()
                .text
                .contains("insert_deduplicate")
        );
    }

    #[test]
    fn every_known_setting_takes_its_own_default() {
        for (name, default) in known() {
            Settings::default()
                .set(name, default)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}
