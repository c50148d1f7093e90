//! Values of payload settings that no server takes: told before anything is stored, since a batch with one would wait for ever.
//!
//! Only what is sure is refused. A word that a later server may know, and a number, are a shard's to judge, by the probe of the
//! shape that they make.

use crate::exception::{Exception, code};

/// Settings with a few words to choose from, as ClickHouse 26.9 lists them; older servers know fewer.
const WORDS: &[(&str, &[&str])] = &[
    ("aggregate_function_input_format", &["state", "value", "array"]),
    (
        "cast_string_to_date_time_mode",
        &["basic", "best_effort", "best_effort_us"],
    ),
    (
        "date_time_input_format",
        &["basic", "best_effort", "best_effort_us"],
    ),
    ("date_time_overflow_behavior", &["ignore", "throw", "saturate"]),
    (
        "format_capn_proto_enum_comparising_mode",
        &["by_names", "by_values", "by_names_case_insensitive"],
    ),
    ("format_custom_escaping_rule", ESCAPING_RULES),
    ("format_regexp_escaping_rule", ESCAPING_RULES),
];

const ESCAPING_RULES: &[&str] = &["None", "Escaped", "Quoted", "CSV", "JSON", "XML", "Raw"];

/// What ClickHouse's library of time zones knows beside the IANA names.
const OTHER_ZONES: [&str; 3] = ["localtime", "posixrules", "Factory"];

/// Refuses a value that no server takes for that setting.
pub fn check(name: &str, value: &str) -> Result<(), Exception> {
    if name == "session_timezone" {
        return check_zone(value);
    }
    match WORDS.iter().find(|(known, _)| *known == name) {
        Some((_, words)) if !words.contains(&value) => Err(Exception::bad_input(
            code::BAD_ARGUMENTS,
            format!(
                "Unexpected value of setting {name}: '{value}'. Must be one of ['{}'].",
                words.join("', '")
            ),
        )),
        Some(_) | None => Ok(()),
    }
}

/// Empty is the server's own zone.
fn check_zone(value: &str) -> Result<(), Exception> {
    let name = value.strip_prefix("posix/").unwrap_or(value);
    let is_known = name.is_empty()
        || name.starts_with("Fixed/UTC")
        || OTHER_ZONES.contains(&name)
        || jiff::tz::TimeZone::get(name).is_ok();
    match is_known {
        true => Ok(()),
        false => Err(Exception::bad_input(
            code::BAD_ARGUMENTS,
            format!("Invalid time zone in setting session_timezone: '{value}'."),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_all(name: &str, taken: &[&str], refused: &[&str]) {
        for value in taken {
            assert_eq!(check(name, value), Ok(()), "{name} = {value:?}");
        }
        for value in refused {
            let error = check(name, value).unwrap_err();
            assert_eq!(
                (error.code, error.status.as_u16()),
                (36, 400),
                "{name} = {value:?}"
            );
            assert!(error.message.contains(name), "{error}");
        }
    }

    #[test]
    fn words_that_no_server_knows_are_refused_and_those_that_some_knows_are_not() {
        check_all(
            "date_time_overflow_behavior",
            &["ignore", "throw", "saturate"],
            &["foo", "", "Throw"],
        );
        check_all("date_time_input_format", &["basic", "best_effort_us"], &["fast"]);
        check_all("format_regexp_escaping_rule", &["Raw", "CSV"], &["raw"]);
        check_all(
            "input_format_skip_unknown_fields",
            &["1", "whatever a shard says"],
            &[],
        );
    }

    #[test]
    fn time_zones_are_those_that_clickhouse_knows() {
        let taken = [
            "",
            "UTC",
            "Europe/Berlin",
            "Etc/GMT+3",
            "Fixed/UTC+05:00:00",
            "posix/UTC",
            "localtime",
        ];
        check_all("session_timezone", &taken, &["Nowhere", " UTC", "UTC+3"]);
    }
}
