//! Columns as CREATE TABLE would name them, given on a command line: `k UInt64, d Decimal(10, 2), e
//! Enum8('a,b' = 1), s String DEFAULT toString(k)`. Pure.
//!
//! What says how a column is stored (CODEC, COMMENT, TTL, STATISTICS) is read and left out: it changes no row's shard.

use std::ops::Range;

use shard_client::{DefaultKind, DescribedColumn};

/// Reads a list of columns: names, in back quotes where they need them, each followed by its type.
pub fn parse(text: &str) -> Result<Vec<DescribedColumn>, String> {
    items(text).into_iter().map(column).collect()
}

/// The items between the commas that stand outside of parentheses and quotes.
fn items(text: &str) -> Vec<&str> {
    let mut items = Vec::new();
    let (mut start, mut depth, mut quote) = (0, 0_usize, None);
    let mut escaped = false;
    for (at, char) in text.char_indices() {
        match (quote, char) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if open == char => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '`') => quote = Some(char),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                items.push(&text[start..at]);
                start = at + 1;
            }
            (None, _) => {}
        }
    }
    items.push(&text[start..]);
    items
}

fn column(item: &str) -> Result<DescribedColumn, String> {
    let item = item.trim();
    let named = match item.strip_prefix('`') {
        Some(rest) => rest.split_once('`'),
        None => item.split_once(char::is_whitespace),
    };
    let (name, rest) = named.unwrap_or((item, ""));
    let mut clauses = clauses(rest).into_iter();
    let type_name = clauses.next().map_or("", |(_, text)| text);
    if name.is_empty() || type_name.is_empty() {
        return Err(format!(
            "'{item}' is not a column: write it as 'name Type', and commas between columns"
        ));
    }
    let mut column = DescribedColumn {
        name: name.to_owned(),
        type_name: type_name.to_owned(),
        default_kind: DefaultKind::None,
        default_expression: String::new(),
    };
    for (clause, text) in clauses {
        clause.apply(text, &mut column)?;
    }
    Ok(column)
}

/// What may stand behind a column's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clause {
    Type,
    Default(DefaultKind),
    Null,
    NotNull,
    /// How the column is stored.
    Stored,
    /// Not read here: its word.
    Refused(&'static str),
}

/// The words that begin a clause; NULL begins none inside of an expression.
const CLAUSES: &[(&str, Clause)] = &[
    ("DEFAULT", Clause::Default(DefaultKind::Default)),
    ("MATERIALIZED", Clause::Default(DefaultKind::Materialized)),
    ("ALIAS", Clause::Default(DefaultKind::Alias)),
    ("EPHEMERAL", Clause::Default(DefaultKind::Ephemeral)),
    ("NULL", Clause::Null),
    ("NOT", Clause::NotNull),
    ("CODEC", Clause::Stored),
    ("COMMENT", Clause::Stored),
    ("TTL", Clause::Stored),
    ("STATISTICS", Clause::Stored),
    ("AUTO_INCREMENT", Clause::Refused("AUTO_INCREMENT")),
    ("COLLATE", Clause::Refused("COLLATE")),
    ("PRIMARY", Clause::Refused("PRIMARY KEY")),
    ("SETTINGS", Clause::Refused("SETTINGS")),
];

impl Clause {
    /// The clause that a word begins behind this one's text, which is empty so far or not.
    fn followed_by(self, word: &str, is_empty: bool) -> Option<Clause> {
        let known = CLAUSES.iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
        let next = known.map(|(_, clause)| *clause)?;
        match self {
            // The word alone, or an expression, which may hold NULL and NOT.
            Self::Default(kind) => {
                let is_left_out = is_empty && kind == DefaultKind::Ephemeral;
                let ends = !is_empty && matches!(next, Self::Stored | Self::Refused(_));
                (ends || is_left_out).then_some(next)
            }
            // NULL is the second word.
            Self::NotNull if is_empty => None,
            Self::Stored if is_empty => None,
            _ => Some(next),
        }
    }

    fn apply(self, text: &str, column: &mut DescribedColumn) -> Result<(), String> {
        let name = &column.name;
        match self {
            Self::Default(kind) => {
                let is_there = !text.is_empty() || kind == DefaultKind::Ephemeral;
                if !is_there || column.default_kind != DefaultKind::None {
                    return Err(format!("column {name}: {} needs one expression", kind.word()));
                }
                column.default_kind = kind;
                column.default_expression = match text {
                    // As DESCRIBE TABLE writes it.
                    "" => format!(
                        "defaultValueOfTypeName('{}')",
                        column.type_name.replace('\'', "\\'")
                    ),
                    text => text.to_owned(),
                };
            }
            Self::Null if text.is_empty() => column.type_name = format!("Nullable({})", column.type_name),
            Self::NotNull if text.eq_ignore_ascii_case("NULL") => {}
            Self::Stored if !text.is_empty() => {}
            Self::Refused(word) => {
                return Err(format!("column {name}: {word} is not read here: leave it out"));
            }
            Self::Null | Self::NotNull | Self::Stored | Self::Type => {
                return Err(format!(
                    "column {name}: '{text}' stands where no clause of CREATE TABLE has it"
                ));
            }
        }
        Ok(())
    }
}

/// The clauses behind a column's name, first the type, each with its text.
fn clauses(text: &str) -> Vec<(Clause, &str)> {
    let mut clauses = Vec::new();
    let (mut clause, mut start) = (Clause::Type, 0);
    for word in words(text) {
        let is_empty = text[start..word.start].trim().is_empty();
        if let Some(next) = clause.followed_by(&text[word.clone()], is_empty) {
            clauses.push((clause, text[start..word.start].trim()));
            (clause, start) = (next, word.end);
        }
    }
    clauses.push((clause, text[start..].trim()));
    clauses
}

/// The bare words outside of parentheses and quotes.
fn words(text: &str) -> Vec<Range<usize>> {
    let mut words: Vec<Range<usize>> = Vec::new();
    let (mut depth, mut quote, mut escaped) = (0_usize, None, false);
    for (at, char) in text.char_indices() {
        match (quote, char) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if open == char => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '`' | '"') => quote = Some(char),
            (None, '(' | '[') => depth += 1,
            (None, ')' | ']') => depth = depth.saturating_sub(1),
            (None, _) if depth == 0 && (char.is_alphanumeric() || char == '_') => {
                let end = at + char.len_utf8();
                match words.last_mut() {
                    Some(last) if last.end == at => last.end = end,
                    _ => words.push(at..end),
                }
            }
            (None, _) => {}
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let columns = parse(text).unwrap();
        let found: Vec<_> = columns
            .iter()
            .map(|c| (c.name.as_str(), c.type_name.as_str()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn columns_stand_between_commas() {
        check("k UInt64", &[("k", "UInt64")]);
        check(" k UInt64 ,s  String ", &[("k", "UInt64"), ("s", "String")]);
    }

    #[test]
    fn commas_in_parentheses_and_quotes_belong_to_the_type_or_the_name() {
        check(
            "d Decimal(10, 2), k UInt8",
            &[("d", "Decimal(10, 2)"), ("k", "UInt8")],
        );
        check(
            r"e Enum8('a,b' = 1, 'it\'s' = 2), k UInt8",
            &[("e", r"Enum8('a,b' = 1, 'it\'s' = 2)"), ("k", "UInt8")],
        );
        check("`a, b` String", &[("a, b", "String")]);
    }

    /// `expected`: type|kind|expression
    #[track_caller]
    fn check_clauses(text: &str, expected: &str) {
        let columns = parse(text).unwrap();
        let column = columns.last().unwrap();
        let kind = column.default_kind.word();
        let said = format!("{}|{kind}|{}", column.type_name, column.default_expression);
        assert_eq!(said, expected, "{text}");
    }

    /// As 26.9's DESCRIBE TABLE says of the same columns.
    #[test]
    fn a_column_may_have_the_clauses_of_create_table() {
        check_clauses(
            "k UInt64, s String DEFAULT toString(k)",
            "String|DEFAULT|toString(k)",
        );
        check_clauses("m UInt8 materialized a + 1", "UInt8|MATERIALIZED|a + 1");
        check_clauses("a UInt8 ALIAS b", "UInt8|ALIAS|b");
        check_clauses("e UInt8 EPHEMERAL 3", "UInt8|EPHEMERAL|3");
        check_clauses(
            "e UInt8 EPHEMERAL",
            "UInt8|EPHEMERAL|defaultValueOfTypeName('UInt8')",
        );
        check_clauses(
            "e UInt8 EPHEMERAL COMMENT 'x'",
            "UInt8|EPHEMERAL|defaultValueOfTypeName('UInt8')",
        );
        check_clauses("n Int8 NULL", "Nullable(Int8)||");
        check_clauses("n Int8 NOT NULL DEFAULT 3", "Int8|DEFAULT|3");
        check_clauses(
            "z Int8 NULL DEFAULT NULL COMMENT 'TTL, it''s' CODEC(Delta, ZSTD(1))",
            "Nullable(Int8)|DEFAULT|NULL",
        );
        check_clauses(
            "t UInt8 DEFAULT if(a IS NULL, 1, 2) TTL d + INTERVAL 1 DAY",
            "UInt8|DEFAULT|if(a IS NULL, 1, 2)",
        );
        check_clauses("d Decimal(10, 2) CODEC(NONE)", "Decimal(10, 2)||");
        check_clauses("s String DEFAULT 'CODEC'", "String|DEFAULT|'CODEC'");
        check_clauses("s String DEFAULT comment", "String|DEFAULT|comment");
    }

    #[test]
    fn a_clause_that_is_not_read_is_refused_by_name() {
        for (text, words) in [
            ("k UInt8 PRIMARY KEY", "PRIMARY KEY"),
            ("k UInt8 COLLATE binary", "COLLATE"),
            ("k UInt8 DEFAULT", "DEFAULT needs one expression"),
            ("k UInt8 CODEC", "no clause"),
            ("k UInt8 NOT", "no clause"),
            ("k DEFAULT 1", "name Type"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn a_column_without_a_type_is_refused_by_name() {
        for text in ["k", "k UInt8,", "", "`k UInt8"] {
            assert!(parse(text).unwrap_err().contains("name Type"), "{text}");
        }
    }
}
