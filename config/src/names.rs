//! Names of tables, and patterns of them.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// A table's name, always with its database.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    /// The database, unquoted.
    pub database: String,
    /// The table in it, unquoted.
    pub table: String,
}

/// Tables by name, `*` standing for any characters: `default.*`, `*.events_*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TablePattern {
    database: String,
    table: String,
}

impl TableName {
    /// A name of its two parts, as they are without quotes.
    pub fn new(database: &str, table: &str) -> TableName {
        TableName {
            database: database.to_owned(),
            table: table.to_owned(),
        }
    }

    /// Reads `database.table`; a part with a dot or another special character stands in back-quotes.
    pub fn parse(text: &str) -> Result<TableName, String> {
        let wrong = || format!("'{text}' is not a table's name: write it as 'database.table'");
        let (database, rest) = identifier(text).ok_or_else(wrong)?;
        let (table, rest) = rest.strip_prefix('.').and_then(identifier).ok_or_else(wrong)?;
        match rest.is_empty() {
            true => Ok(TableName { database, table }),
            false => Err(wrong()),
        }
    }
}

impl TablePattern {
    /// Reads `database.table`, either with any number of `*`.
    pub fn parse(text: &str) -> Result<TablePattern, String> {
        let wrong =
            || format!("'{text}' is not a pattern of tables: write it as 'database.table' or 'database.*'");
        let (database, table) = text.split_once('.').ok_or_else(wrong)?;
        let complete = !database.is_empty() && !table.is_empty() && !table.contains('.');
        let pattern = TablePattern {
            database: database.to_owned(),
            table: table.to_owned(),
        };
        complete.then_some(pattern).ok_or_else(wrong)
    }

    /// The pattern `*.*`.
    pub fn every_table() -> TablePattern {
        TablePattern {
            database: "*".to_owned(),
            table: "*".to_owned(),
        }
    }

    /// Whether the name is one of those meant. Upper and lower case differ, as in ClickHouse.
    pub fn matches(&self, name: &TableName) -> bool {
        matches_glob(&self.database, &name.database) && matches_glob(&self.table, &name.table)
    }
}

/// As it is written in SQL, quoted where it has to be.
impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", quoted(&self.database), quoted(&self.table))
    }
}

impl fmt::Display for TablePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.database, self.table)
    }
}

/// The identifier that a text starts with, unquoted, and what follows it.
fn identifier(text: &str) -> Option<(String, &str)> {
    if let Some(after_quote) = text.strip_prefix('`') {
        return quoted_identifier(after_quote);
    }
    let ends = text.find(|c| !is_plain(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(ends);
    (!name.is_empty()).then(|| (name.to_owned(), rest))
}

/// What stands before the closing back-quote; `\` takes the next character as it is, a doubled back-quote is
/// one.
fn quoted_identifier(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => name.push(chars.next()?.1),
            '`' if text[at + 1..].starts_with('`') => name.extend(chars.next().map(|(_, quote)| quote)),
            '`' => return (!name.is_empty()).then(|| (name, &text[at + 1..])),
            c if c.is_control() => return None,
            c => name.push(c),
        }
    }
    None
}

fn quoted(name: &str) -> String {
    if !name.is_empty() && name.chars().all(is_plain) {
        return name.to_owned();
    }
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// Characters that need no quotes. Names that start with a digit or contain a hyphen would in SQL, and are
/// as clear without them here.
fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '-'
}

/// Whether a name can be that of a directory of the spool, percent-encoded at its worst: everything but
/// letters, digits, `-`, `_` and `.`. 255 bytes are the limit of Linux's file systems.
pub(crate) fn fits_a_directory(name: &str) -> bool {
    const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');
    utf8_percent_encode(name, ENCODED).map(str::len).sum::<usize>() <= 255
}

/// Whether `pattern`, in which `*` stands for any characters, matches all of `text`. Takes at most
/// (pattern bytes × text bytes) steps: only the last `*` is ever tried again.
fn matches_glob(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut rest) = text.strip_prefix(head) else {
        return false;
    };
    let mut pieces: Vec<&str> = tail.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check_name(text: &str, expected: Option<(&str, &str)>) {
        let expected = expected.map(|(database, table)| TableName::new(database, table));
        assert_eq!(TableName::parse(text).ok(), expected, "{text}");
    }

    #[track_caller]
    fn check_match(pattern: &str, name: (&str, &str), expected: bool) {
        let name = TableName::new(name.0, name.1);
        assert_eq!(
            TablePattern::parse(pattern).unwrap().matches(&name),
            expected,
            "{pattern} {name}"
        );
    }

    #[test]
    fn a_table_has_a_database_and_a_name() {
        check_name("default.hits", Some(("default", "hits")));
        check_name("my-db.t1", Some(("my-db", "t1")));
        check_name("`my.db`.`a``b\\`c`", Some(("my.db", "a`b`c")));
    }

    #[test]
    fn anything_else_is_no_table() {
        for text in [
            "hits", "", ".", "a.", ".b", "a.b.c", "a b.c", "`a.b", "``.b", "a.b ", "a.`b`c",
        ] {
            check_name(text, None);
        }
    }

    #[test]
    fn patterns_match_whole_names_part_by_part() {
        check_match("default.*", ("default", "hits"), true);
        check_match("default.*", ("defaults", "hits"), false);
        check_match("*.*", ("a.b", "c"), true);
        check_match("d.hits", ("d", "hits"), true);
        check_match("d.hits", ("d", "Hits"), false);
        check_match("d.a*b*c", ("d", "abc"), true);
        check_match("d.a*b*c", ("d", "axbxc"), true);
        check_match("d.a*b*c", ("d", "ac"), false);
        check_match("d.a*a", ("d", "a"), false);
        check_match("d.**", ("d", "x"), true);
    }

    #[test]
    fn a_pattern_without_two_parts_is_refused() {
        for text in ["*", "", "a.", ".b", "a.b.c"] {
            assert!(TablePattern::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_shown_name_reads_back_as_itself(database in "[^\\p{C}]{1,9}", table in "[^\\p{C}]{1,9}") {
            let name = TableName { database, table };
            prop_assert_eq!(TableName::parse(&name.to_string()), Ok(name));
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text: String) {
            let _ = (TableName::parse(&text), TablePattern::parse(&text));
        }

        #[test]
        fn a_name_matches_itself_and_itself_with_a_star(head in "[a-c]{0,4}", tail in "[a-c]{0,4}") {
            let whole = format!("{head}{tail}");
            prop_assert!(matches_glob(&whole, &whole));
            let starred = format!("{head}*{tail}");
            prop_assert!(matches_glob(&starred, &whole));
        }
    }
}
