//! `Settings`: those of the client's settings that change where rows end or what a key's text means.

use crate::error::{FormatError, code};
use crate::format::Payload;

/// The payload settings this crate obeys, with the defaults of ClickHouse 26.x unless said otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `format_csv_delimiter`, one byte.
    pub csv_delimiter: u8,
    /// `format_csv_allow_single_quotes`: whether `'` quotes a string in CSV (18.16: yes by default).
    pub csv_single_quotes: bool,
    /// `input_format_csv_detect_header`: a first row of column names is a header (18.16 has no such thing).
    pub csv_detect_header: bool,
    /// `input_format_csv_deserialize_separate_columns_into_tuple`: a Tuple takes a field for each element.
    pub csv_tuples_as_fields: bool,
    /// `input_format_tsv_detect_header`.
    pub tsv_detect_header: bool,
    /// `input_format_tsv_crlf_end_of_line`: a line may end in CR LF.
    pub tsv_crlf: bool,
    /// `input_format_with_names_use_header`: whether a header's names say which column is where.
    pub names_use_header: bool,
    /// `input_format_with_types_use_header`: whether a header's types must be the columns'.
    pub types_use_header: bool,
    /// `input_format_binary_read_json_as_string`: whether a JSON value is a string in RowBinary.
    pub binary_json_as_text: bool,
    /// `input_format_skip_unknown_fields`. Off unless the client asks for it: 18.16's default, not that of
    /// 26.x,
    /// because whether the shard will skip the field too depends on its version.
    pub skip_unknown_fields: bool,
    /// `client_protocol_version`: the revision of the native protocol in which Native blocks are written; 0 when
    /// it is not said.
    pub client_protocol_version: u64,
    /// `date_time_input_format`.
    pub date_time: DateTimeText,
    /// `input_format_null_as_default`: whether NULL stands for the DEFAULT where the type takes none.
    pub null_as_default: bool,
    /// `format_csv_allow_double_quotes`.
    pub csv_double_quotes: bool,
    /// `format_csv_null_representation`. One that is not `\N` needs shards that know the setting.
    pub csv_null: String,
    /// `input_format_csv_allow_cr_end_of_line`: a CR alone ends a line.
    pub csv_cr_ends_lines: bool,
    /// `input_format_csv_skip_first_lines`.
    pub csv_skip_first_lines: u64,
    /// `input_format_csv_skip_trailing_empty_lines`.
    pub csv_skip_trailing_empty_lines: bool,
    /// `input_format_csv_allow_variable_number_of_columns`.
    pub csv_variable: bool,
    /// `format_tsv_null_representation`.
    pub tsv_null: String,
    /// `input_format_tsv_empty_as_default`: nothing between two tabs stands for the DEFAULT.
    pub tsv_empty_as_default: bool,
    /// `input_format_tsv_skip_first_lines`.
    pub tsv_skip_first_lines: u64,
    /// `input_format_tsv_skip_trailing_empty_lines`.
    pub tsv_skip_trailing_empty_lines: bool,
    /// `input_format_tsv_allow_variable_number_of_columns`.
    pub tsv_variable: bool,
    /// `input_format_import_nested_json`: a field by the name of a Nested group holds that group's columns.
    pub json_nested: bool,
    /// `input_format_json_validate_types_from_metadata`: whether a `meta`'s types must be the columns'.
    pub json_validate_types: bool,
    /// `input_format_json_compact_allow_variable_number_of_columns`.
    pub json_compact_variable: bool,
    /// `format_json_object_each_row_column_for_object_name`; empty when no column takes the name.
    pub json_object_name_column: String,
    /// The request's parameters by their own names: what `{name:Type}` stands for in VALUES.
    pub parameters: Vec<(String, String)>,
    /// What CustomSeparated is read by.
    pub custom: Custom,
    /// Settings that change the reading in a way this crate does not know: (format family, name, value).
    unread: Vec<(Family, String, String)>,
}

/// The settings of CustomSeparated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Custom {
    /// `format_custom_escaping_rule`.
    pub rule: EscapingRule,
    /// `format_custom_field_delimiter`.
    pub field: String,
    /// `format_custom_row_before_delimiter`.
    pub row_before: String,
    /// `format_custom_row_after_delimiter`.
    pub row_after: String,
    /// `format_custom_row_between_delimiter`.
    pub row_between: String,
    /// `format_custom_result_before_delimiter`.
    pub result_before: String,
    /// `format_custom_result_after_delimiter`.
    pub result_after: String,
    /// `input_format_custom_detect_header`.
    pub detect_header: bool,
}

/// How the fields of CustomSeparated are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the variants are ClickHouse's own names
pub enum EscapingRule {
    Escaped,
    Raw,
    Csv,
    Quoted,
    Json,
}

impl Default for Custom {
    fn default() -> Self {
        Self {
            rule: EscapingRule::Escaped,
            field: "\t".to_owned(),
            row_before: String::new(),
            row_after: "\n".to_owned(),
            row_between: String::new(),
            result_before: String::new(),
            result_after: String::new(),
            detect_header: true,
        }
    }
}

/// `date_time_input_format`, as far as it was said.
///
/// 18.16 reads `basic` by default, 26.x `best_effort`. Unsaid, a text is read only if both agree on its
/// meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the variants are ClickHouse's own names
pub enum DateTimeText {
    Unsaid,
    Basic,
    BestEffort,
}

/// Formats that share a group of settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Any,
    Csv,
    Tsv,
    Json,
    Binary,
    Custom,
    Native,
    Arrow,
    Parquet,
}

/// Settings that would move row borders or change a key's text, with the only value this crate reads.
const ONLY: &[(Family, &str, &str)] = &[
    (Family::Any, "input_format_allow_errors_num", "0"),
    (Family::Any, "input_format_allow_errors_ratio", "0"),
    (Family::Any, "input_format_read_datetime_number_as_raw_value", "0"),
    (
        Family::Binary,
        "input_format_binary_decode_types_in_binary_format",
        "0",
    ),
    (Family::Arrow, "input_format_arrow_allow_missing_columns", "1"),
    (
        Family::Arrow,
        "input_format_arrow_case_insensitive_column_matching",
        "0",
    ),
    (Family::Arrow, "input_format_arrow_import_nested", "0"),
    (Family::Parquet, "input_format_parquet_allow_missing_columns", "1"),
    (
        Family::Parquet,
        "input_format_parquet_case_insensitive_column_matching",
        "0",
    ),
    (Family::Parquet, "input_format_parquet_import_nested", "0"),
    (Family::Native, "input_format_native_allow_types_conversion", "1"),
    (
        Family::Native,
        "input_format_native_decode_types_in_binary_format",
        "0",
    ),
    (
        Family::Csv,
        "input_format_csv_allow_whitespace_or_tab_as_delimiter",
        "0",
    ),
    (Family::Csv, "input_format_csv_empty_as_default", "1"),
    (Family::Csv, "input_format_csv_enum_as_number", "0"),
    (
        Family::Csv,
        "input_format_csv_missing_nullable_as_empty_string",
        "0",
    ),
    (Family::Csv, "input_format_csv_trim_whitespaces", "1"),
    (Family::Csv, "input_format_csv_use_default_on_bad_values", "0"),
    (
        Family::Custom,
        "input_format_custom_allow_variable_number_of_columns",
        "0",
    ),
    (
        Family::Custom,
        "input_format_custom_skip_trailing_empty_lines",
        "0",
    ),
    (Family::Json, "input_format_json_empty_as_default", "0"),
    (
        Family::Json,
        "input_format_json_throw_on_bad_escape_sequence",
        "1",
    ),
    (Family::Tsv, "input_format_tsv_enum_as_number", "0"),
];

/// NULL's sign in CSV and TabSeparated by default.
const NULL: &str = "\\N";

/// Settings that a body is read by here, and that say nothing of the rows handed over: by exact name or, with a
/// trailing `*`, by prefix.
const OBEYED: &[&str] = &[
    "format_custom_*",
    "input_format_custom_*",
    "format_json_object_each_row_column_for_object_name",
    "input_format_json_validate_types_from_metadata",
    "input_format_with_names_use_header",
    "input_format_with_types_use_header",
];

impl Default for Settings {
    fn default() -> Self {
        Self {
            csv_delimiter: b',',
            csv_single_quotes: false,
            csv_detect_header: true,
            csv_tuples_as_fields: true,
            tsv_detect_header: true,
            tsv_crlf: false,
            names_use_header: true,
            types_use_header: true,
            binary_json_as_text: false,
            skip_unknown_fields: false,
            client_protocol_version: 0,
            date_time: DateTimeText::Unsaid,
            null_as_default: true,
            csv_double_quotes: true,
            csv_null: NULL.to_owned(),
            csv_cr_ends_lines: false,
            csv_skip_first_lines: 0,
            csv_skip_trailing_empty_lines: false,
            csv_variable: false,
            tsv_null: NULL.to_owned(),
            tsv_empty_as_default: false,
            tsv_skip_first_lines: 0,
            tsv_skip_trailing_empty_lines: false,
            tsv_variable: false,
            json_nested: false,
            json_validate_types: true,
            json_compact_variable: false,
            json_object_name_column: String::new(),
            parameters: Vec::new(),
            custom: Custom::default(),
            unread: Vec::new(),
        }
    }
}

impl Settings {
    /// Picks what matters out of a client's settings; the others are left to whoever knows them.
    pub fn read<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, FormatError> {
        let mut settings = Self::default();
        for (name, value) in pairs {
            settings.take(name, value)?;
        }
        Ok(settings)
    }

    /// Whether a setting has done its work once the rows are handed over, and so must not reach the shard, which may not
    /// even know it.
    pub fn is_obeyed(name: &str) -> bool {
        OBEYED.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == *pattern,
        })
    }

    /// The settings that a batch must carry, where its server knows them, so that the shard reads the rows as
    /// this crate did.
    ///
    /// The versions' defaults differ: 18.16 lets `'` quote strings in CSV, and 26.x drops a first row that
    /// looks like a header.
    pub fn pinned(&self, payload: Payload) -> Vec<(&'static str, String)> {
        let flag = |on: bool| u8::from(on).to_string();
        match payload {
            Payload::Csv => vec![
                ("format_csv_delimiter", char::from(self.csv_delimiter).to_string()),
                ("format_csv_allow_single_quotes", flag(self.csv_single_quotes)),
                ("input_format_csv_detect_header", flag(false)),
                (
                    "input_format_csv_deserialize_separate_columns_into_tuple",
                    flag(self.csv_tuples_as_fields),
                ),
                ("input_format_csv_skip_first_lines", flag(false)),
                ("input_format_csv_skip_trailing_empty_lines", flag(false)),
                ("input_format_csv_allow_cr_end_of_line", flag(false)),
            ],
            Payload::TabSeparated => vec![
                ("input_format_tsv_detect_header", flag(false)),
                ("input_format_tsv_crlf_end_of_line", flag(false)),
                ("input_format_tsv_skip_first_lines", flag(false)),
                ("input_format_tsv_skip_trailing_empty_lines", flag(false)),
            ],
            Payload::JsonEachRow | Payload::JsonStringsEachRow | Payload::Tskv | Payload::BsonEachRow => {
                vec![("input_format_skip_unknown_fields", flag(self.skip_unknown_fields))]
            }
            Payload::JsonCompactEachRow
            | Payload::JsonCompactStringsEachRow
            | Payload::Values
            | Payload::RowBinary
            | Payload::RowBinaryWithDefaults
            | Payload::MsgPack
            | Payload::Native
            | Payload::Whole(_) => Vec::new(),
        }
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), FormatError> {
        match name {
            "format_csv_delimiter" => self.csv_delimiter = delimiter(value)?,
            "format_csv_allow_single_quotes" => self.csv_single_quotes = flag(name, value)?,
            "input_format_csv_detect_header" => self.csv_detect_header = flag(name, value)?,
            "input_format_csv_deserialize_separate_columns_into_tuple" => {
                self.csv_tuples_as_fields = flag(name, value)?;
            }
            "input_format_tsv_detect_header" => self.tsv_detect_header = flag(name, value)?,
            "input_format_tsv_crlf_end_of_line" => self.tsv_crlf = flag(name, value)?,
            "input_format_with_names_use_header" => self.names_use_header = flag(name, value)?,
            "input_format_with_types_use_header" => self.types_use_header = flag(name, value)?,
            "input_format_binary_read_json_as_string" => self.binary_json_as_text = flag(name, value)?,
            "input_format_skip_unknown_fields" => self.skip_unknown_fields = flag(name, value)?,
            "client_protocol_version" => self.client_protocol_version = number(name, value)?,
            "date_time_input_format" => self.date_time = date_time_text(value)?,
            "input_format_null_as_default" => self.null_as_default = flag(name, value)?,
            "format_csv_allow_double_quotes" => self.csv_double_quotes = flag(name, value)?,
            "format_csv_null_representation" => self.csv_null = null_sign(name, value)?,
            "input_format_csv_allow_cr_end_of_line" => self.csv_cr_ends_lines = flag(name, value)?,
            "input_format_csv_skip_first_lines" => self.csv_skip_first_lines = number(name, value)?,
            "input_format_csv_skip_trailing_empty_lines" => {
                self.csv_skip_trailing_empty_lines = flag(name, value)?;
            }
            "input_format_csv_allow_variable_number_of_columns" => self.csv_variable = flag(name, value)?,
            "format_tsv_null_representation" => self.tsv_null = null_sign(name, value)?,
            "input_format_tsv_empty_as_default" => self.tsv_empty_as_default = flag(name, value)?,
            "input_format_tsv_skip_first_lines" => self.tsv_skip_first_lines = number(name, value)?,
            "input_format_tsv_skip_trailing_empty_lines" => {
                self.tsv_skip_trailing_empty_lines = flag(name, value)?;
            }
            "input_format_tsv_allow_variable_number_of_columns" => self.tsv_variable = flag(name, value)?,
            "input_format_import_nested_json" => self.json_nested = flag(name, value)?,
            "input_format_json_validate_types_from_metadata" => self.json_validate_types = flag(name, value)?,
            "input_format_json_compact_allow_variable_number_of_columns" => {
                self.json_compact_variable = flag(name, value)?;
            }
            "format_json_object_each_row_column_for_object_name" => {
                value.clone_into(&mut self.json_object_name_column);
            }
            "format_custom_escaping_rule" => self.custom.rule = escaping_rule(value)?,
            "format_custom_field_delimiter" => value.clone_into(&mut self.custom.field),
            "format_custom_row_before_delimiter" => value.clone_into(&mut self.custom.row_before),
            "format_custom_row_after_delimiter" => value.clone_into(&mut self.custom.row_after),
            "format_custom_row_between_delimiter" => value.clone_into(&mut self.custom.row_between),
            "format_custom_result_before_delimiter" => value.clone_into(&mut self.custom.result_before),
            "format_custom_result_after_delimiter" => value.clone_into(&mut self.custom.result_after),
            "input_format_custom_detect_header" => self.custom.detect_header = flag(name, value)?,
            _ => match name.strip_prefix("param_") {
                Some(parameter) => self.parameters.push((parameter.to_owned(), value.to_owned())),
                None => self.note_unread(name, value),
            },
        }
        Ok(())
    }

    fn note_unread(&mut self, name: &str, value: &str) {
        let only = ONLY.iter().find(|(_, only_name, _)| *only_name == name);
        if let Some((family, _, only_value)) = only
            && !same_value(value, only_value)
        {
            self.unread.push((*family, name.to_owned(), value.to_owned()));
        }
    }

    /// Refuses settings by which texts of another format, carried as TabSeparated, would become NULL or a DEFAULT.
    pub(crate) fn texts_as_tab_separated(&self) -> Result<(), FormatError> {
        if self.tsv_null == NULL && !self.tsv_empty_as_default {
            return Ok(());
        }
        Err(FormatError::plain(
            code::NOT_IMPLEMENTED,
            "rows of this format are carried as TabSeparated, which format_tsv_null_representation and \
             input_format_tsv_empty_as_default would have read otherwise: leave these settings out",
        ))
    }

    /// Refuses what this family of formats would read otherwise than asked.
    pub(crate) fn allow(&self, family: Family) -> Result<(), FormatError> {
        let concerns = |(of, _, _): &&(Family, String, String)| *of == Family::Any || *of == family;
        match self.unread.iter().find(concerns) {
            None => Ok(()),
            Some((_, name, value)) => Err(FormatError::plain(
                code::NOT_IMPLEMENTED,
                format!(
                    "setting {name} = '{value}' changes how rows are read in a way this router does not know"
                ),
            )),
        }
    }
}

/// Whether two spellings mean the same: flags come as 1, true, 0 and false.
fn same_value(value: &str, only: &str) -> bool {
    match only {
        "1" => value == "1" || value.eq_ignore_ascii_case("true"),
        "0" => value.eq_ignore_ascii_case("false") || value.parse() == Ok(0.0_f64),
        text => value == text,
    }
}

fn flag(name: &str, value: &str) -> Result<bool, FormatError> {
    if same_value(value, "1") {
        Ok(true)
    } else if same_value(value, "0") {
        Ok(false)
    } else {
        Err(FormatError::plain(
            code::BAD_ARGUMENTS,
            format!("setting {name} is 0 or 1, not '{value}'"),
        ))
    }
}

fn number(name: &str, value: &str) -> Result<u64, FormatError> {
    value.parse().map_err(|_| {
        FormatError::plain(
            code::BAD_ARGUMENTS,
            format!("setting {name} is a number from 0 on, not '{value}'"),
        )
    })
}

/// A sign for NULL that no delimiter, quote or escape cuts.
fn null_sign(name: &str, value: &str) -> Result<String, FormatError> {
    let is_special = |byte: u8| matches!(byte, b'\t' | b'\n' | b'\r' | b'"' | b'\'' | b'\\' | b' ' | b',');
    if value == NULL || (!value.is_empty() && !value.bytes().any(is_special)) {
        return Ok(value.to_owned());
    }
    Err(FormatError::plain(
        code::NOT_IMPLEMENTED,
        format!(
            "setting {name} = '{value}': a sign for NULL other than \\N is read only without white space, quotes, commas and backslashes"
        ),
    ))
}

fn escaping_rule(value: &str) -> Result<EscapingRule, FormatError> {
    match value {
        "Escaped" => Ok(EscapingRule::Escaped),
        "Raw" => Ok(EscapingRule::Raw),
        "CSV" => Ok(EscapingRule::Csv),
        "Quoted" => Ok(EscapingRule::Quoted),
        "JSON" => Ok(EscapingRule::Json),
        _ => Err(FormatError::plain(
            code::BAD_ARGUMENTS,
            format!(
                "setting format_custom_escaping_rule is Escaped, Raw, CSV, Quoted or JSON for data to be read, not '{value}'"
            ),
        )),
    }
}

/// One ASCII byte that nothing else in CSV means; `\t` may be written as two characters.
fn delimiter(value: &str) -> Result<u8, FormatError> {
    match value.as_bytes() {
        b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\'' | b'\n' | b'\r' | b' ' | b'\\') => {
            Ok(*byte)
        }
        _ => Err(FormatError::plain(
            code::BAD_ARGUMENTS,
            format!(
                "setting format_csv_delimiter must be one character other than quotes, space, backslash and line ends, not '{value}'"
            ),
        )),
    }
}

fn date_time_text(value: &str) -> Result<DateTimeText, FormatError> {
    match value {
        "basic" => Ok(DateTimeText::Basic),
        "best_effort" | "best_effort_us" => Ok(DateTimeText::BestEffort),
        _ => Err(FormatError::plain(
            code::BAD_ARGUMENTS,
            format!("setting date_time_input_format is basic, best_effort or best_effort_us, not '{value}'"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_matter_are_read_and_others_left_alone() {
        let settings = Settings::read([
            ("format_csv_delimiter", ";"),
            ("input_format_skip_unknown_fields", "true"),
            ("max_threads", "8"),
        ])
        .unwrap();
        assert_eq!(settings.csv_delimiter, b';');
        assert!(settings.skip_unknown_fields);
        assert_eq!(settings.allow(Family::Csv), Ok(()));
    }

    #[test]
    fn a_batch_carries_what_its_rows_were_read_by() {
        let settings = Settings::read([("format_csv_delimiter", ";")]).unwrap();
        let pinned = settings.pinned(Payload::Csv);
        assert!(pinned.contains(&("format_csv_delimiter", ";".to_owned())));
        assert!(pinned.contains(&("input_format_csv_detect_header", "0".to_owned())));
        let again = Settings::read(pinned.iter().map(|(name, value)| (*name, value.as_str()))).unwrap();
        assert_eq!(
            again,
            Settings {
                csv_detect_header: false,
                ..settings
            }
        );
    }

    #[track_caller]
    fn refuses(name: &str, value: &str) {
        assert_eq!(
            Settings::read([(name, value)]).unwrap_err().code,
            code::BAD_ARGUMENTS
        );
    }

    #[test]
    fn a_value_that_makes_no_sense_is_refused() {
        refuses("format_csv_delimiter", "");
        refuses("format_csv_delimiter", "ab");
        refuses("format_csv_delimiter", "\"");
        refuses("input_format_tsv_crlf_end_of_line", "maybe");
        refuses("date_time_input_format", "guess");
    }

    #[test]
    fn a_setting_that_would_be_misread_is_refused_by_the_formats_it_concerns() {
        let settings = Settings::read([("input_format_csv_use_default_on_bad_values", "1")]).unwrap();
        assert_eq!(
            settings.allow(Family::Csv).unwrap_err().code,
            code::NOT_IMPLEMENTED
        );
        assert_eq!(settings.allow(Family::Json), Ok(()));
        let settings = Settings::read([("input_format_allow_errors_num", "10")]).unwrap();
        assert!(settings.allow(Family::Json).is_err());
        let settings = Settings::read([("input_format_allow_errors_ratio", "0.0")]).unwrap();
        assert_eq!(settings.allow(Family::Json), Ok(()));
    }

    #[test]
    fn the_documentation_names_every_setting_that_may_be_refused() {
        let documentation = include_str!("../../docs/formats.md");
        for (_, name, only) in ONLY {
            // What stands there is the value that is refused, where that is not 1.
            let refused = if *only == "1" { " = 0" } else { "" };
            let said = format!("`{name}`{refused}");
            assert!(
                documentation.contains(&said),
                "docs/formats.md does not say {said}"
            );
        }
    }
}
