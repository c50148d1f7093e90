//! The statements whose answers are kept: a small grammar, so that nothing of a client's that computes, joins
//! or reads another table is ever run under the cluster's own user.
//!
//! ```text
//! DESCRIBE | DESC [TABLE] t [FORMAT f]
//! SELECT item, … [LIMIT n] [FORMAT f]                               item: number, text, one of FUNCTIONS
//! SELECT column, … FROM system.settings [WHERE …] [ORDER BY …] [LIMIT n] [FORMAT f]
//! SELECT column, … FROM system.columns WHERE database = d AND table = t [AND …] …
//! SELECT column, … FROM system.tables WHERE database = d AND name = t [AND …] …
//! ```
//!
//! What depends on who asks is put in as text: `currentUser()` becomes `'app' AS currentUser()`, which reads and
//! is typed the same.

use std::ops::Range;

use config::TableName;
use formats::statement::StatementToken as Token;
use shard_client::request::{quoted_name, quoted_text};

use super::shape::Asks;

/// What a statement's answer takes from its request.
pub struct Values<'a> {
    /// The database of names without one.
    pub database: &'a str,
    /// Who asks.
    pub user: &'a str,
    /// Where `param_x` is found for `{x:String}`.
    pub parameters: &'a [(String, String)],
}

/// A statement about a table's columns, to be asked about its target.
pub struct AboutTarget {
    /// The table that the statement names.
    pub table: TableName,
    /// The format that the statement names.
    pub format: Option<String>,
    text: String,
    /// Where the database and the table stand in the text.
    places: [Range<usize>; 2],
}

impl AboutTarget {
    /// The statement about this table instead.
    pub fn text(&self, database: &str, table: &str) -> String {
        let [first, second] = &self.places;
        let names = match first.start < second.start {
            true => [(first, database), (second, table)],
            false => [(second, table), (first, database)],
        };
        let (mut text, mut from) = (String::new(), 0);
        for (place, name) in names {
            text.push_str(&self.text[from..place.start]);
            text.push_str(&quoted_text(name));
            from = place.end;
        }
        text + &self.text[from..]
    }
}

/// Reads a question to `system.columns` that a table's target answers as well as the table; none for one that also asks
/// for the table's own names.
pub fn about_columns(tokens: &[Token], values: &Values<'_>) -> Option<AboutTarget> {
    const OWN: &[&str] = &["database", "table"];
    let mut reader = Reader::new(tokens, values);
    reader.keyword("SELECT").then_some(())?;
    let Asks::About(table, text) = reader.select()? else {
        return None;
    };
    let format = reader.end()?;
    let places = [reader.database_at?, reader.table_at?];
    let asks_own_names = |item: &String| item == "*" || OWN.contains(&item.as_str());
    (reader.reads_columns && !reader.columns.iter().any(asks_own_names)).then_some(())?;
    Some(AboutTarget {
        table,
        format,
        text,
        places,
    })
}

/// Functions without arguments that say the same as long as the server is the same.
const FUNCTIONS: &[&str] = &[
    "version",
    "timezone",
    "timeZone",
    "serverTimezone",
    "serverTimeZone",
    "displayName",
    "revision",
    "serverUUID",
    "hostName",
    "hostname",
    "fqdn",
    "FQDN",
];
const USER_FUNCTIONS: &[&str] = &["currentUser", "user", "current_user", "USER", "CURRENT_USER"];
const DATABASE_FUNCTIONS: &[&str] = &["currentDatabase", "database", "DATABASE", "current_database"];

/// Words that end a list of items: none of them can be a column without quotes.
const KEYWORDS: &[&str] = &[
    "SELECT", "FROM", "WHERE", "PREWHERE", "AND", "OR", "NOT", "IN", "LIKE", "ILIKE", "ORDER", "BY", "LIMIT",
    "OFFSET", "FORMAT", "AS", "UNION", "JOIN", "SETTINGS", "WITH", "GROUP", "HAVING", "INTO", "DISTINCT",
    "CASE", "ARRAY", "GLOBAL", "FINAL", "SAMPLE",
];

/// Reads a statement; none if it is not one of those whose answers are kept. Its format is given apart.
pub fn read(tokens: &[Token], values: &Values<'_>) -> Option<(Asks, Option<String>)> {
    let mut reader = Reader::new(tokens, values);
    let asks = if reader.keyword("SELECT") {
        reader.select()?
    } else if reader.keyword("DESCRIBE") || reader.keyword("DESC") {
        reader.keyword("TABLE");
        Asks::Describe(reader.table()?)
    } else {
        return None;
    };
    Some((asks, reader.end()?))
}

/// A FROM that is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Nothing,
    Settings,
    /// `system.columns` or `system.tables`, with the column that holds the table's name.
    Tables(&'static str),
}

struct Reader<'a> {
    tokens: &'a [Token],
    values: &'a Values<'a>,
    /// The statement as it is written again.
    text: String,
    /// The columns that are asked for.
    columns: Vec<String>,
    /// Whether it is system.columns that is read.
    reads_columns: bool,
    /// Where the text has the values of `database` and of the table's name.
    database_at: Option<Range<usize>>,
    table_at: Option<Range<usize>>,
}

impl<'a> Reader<'a> {
    fn new(tokens: &'a [Token], values: &'a Values<'a>) -> Self {
        Self {
            tokens,
            values,
            text: String::new(),
            columns: Vec::new(),
            reads_columns: false,
            database_at: None,
            table_at: None,
        }
    }

    /// The format, if one is named, and nothing behind it.
    fn end(&mut self) -> Option<Option<String>> {
        let format = match self.keyword("FORMAT") {
            true => Some(self.word()?),
            false => None,
        };
        while self.punctuation(';') {}
        self.tokens.is_empty().then_some(format)
    }

    fn select(&mut self) -> Option<Asks> {
        self.text.push_str("SELECT ");
        let reads_columns = self.items()?;
        let from = self.from()?;
        // Columns need a table, and a table is asked for nothing but its columns.
        (reads_columns == (from != From::Nothing)).then_some(())?;
        let table = match from {
            From::Nothing => None,
            From::Settings => {
                if self.keyword("WHERE") {
                    self.conditions("")?;
                }
                None
            }
            From::Tables(name_column) => {
                self.keyword("WHERE").then_some(())?;
                Some(self.conditions(name_column)??)
            }
        };
        self.order()?;
        self.limit()?;
        let text = std::mem::take(&mut self.text);
        Some(match table {
            Some(table) => Asks::About(table, text),
            None => Asks::Server(text),
        })
    }

    /// Whether the items are columns; none if they are of both kinds or of none.
    fn items(&mut self) -> Option<bool> {
        let mut columns = None;
        loop {
            let is_column = self.item()?;
            (*columns.get_or_insert(is_column) == is_column).then_some(())?;
            if !self.punctuation(',') {
                return columns;
            }
            self.text.push_str(", ");
        }
    }

    /// Whether the item is a column.
    fn item(&mut self) -> Option<bool> {
        let (item, own_name, is_column) = match self.next()? {
            Token::Number(number) => (number.clone(), None, false),
            Token::Text(text) => (quoted_text(text), None, false),
            Token::Punctuation('*') => {
                self.columns.push("*".to_owned());
                ("*".to_owned(), None, true)
            }
            Token::Name(name) => {
                self.columns.push(name.clone());
                (quoted_name(name), None, true)
            }
            Token::Word(word) if self.punctuation('(') => {
                self.punctuation(')').then_some(())?;
                let (item, own_name) = self.function(word)?;
                (item, own_name, false)
            }
            Token::Word(word) if !is_keyword(word) => {
                self.columns.push(word.clone());
                (word.clone(), None, true)
            }
            Token::Word(_) | Token::Punctuation(_) => return None,
        };
        self.text.push_str(&item);
        match (self.alias()?, own_name) {
            (Some(name), _) | (None, Some(name)) => {
                self.text.push_str(" AS ");
                self.text.push_str(&quoted_name(&name));
            }
            (None, None) => {}
        }
        Some(is_column)
    }

    /// A function's text, and the name that its column has if the text alone would give it another.
    fn function(&self, name: &str) -> Option<(String, Option<String>)> {
        let put_in = |value: &str| Some((quoted_text(value), Some(format!("{name}()"))));
        if USER_FUNCTIONS.contains(&name) {
            put_in(self.values.user)
        } else if DATABASE_FUNCTIONS.contains(&name) {
            put_in(self.values.database)
        } else {
            FUNCTIONS.contains(&name).then(|| (format!("{name}()"), None))
        }
    }

    /// `AS name`; the outer none is an AS without a name.
    fn alias(&mut self) -> Option<Option<String>> {
        match self.keyword("AS") {
            true => self.name().map(Some),
            false => Some(None),
        }
    }

    fn from(&mut self) -> Option<From> {
        if !self.keyword("FROM") {
            return Some(From::Nothing);
        }
        (self.name()? == "system" && self.punctuation('.')).then_some(())?;
        let table = self.name()?;
        self.text.push_str(" FROM system.");
        self.text.push_str(&quoted_name(&table));
        match table.as_str() {
            "settings" => Some(From::Settings),
            "columns" => {
                self.reads_columns = true;
                Some(From::Tables("table"))
            }
            "tables" => Some(From::Tables("name")),
            _ => None,
        }
    }

    /// `column = value AND …`. Given back is the table that `database` and `name_column` name; none inside if
    /// they do not name one.
    fn conditions(&mut self, name_column: &str) -> Option<Option<TableName>> {
        let (mut database, mut table) = (None, None);
        let mut before = " WHERE ";
        loop {
            let column = self.name().filter(|name| !is_keyword(name))?;
            self.text.push_str(before);
            self.text.push_str(&quoted_name(&column));
            // ` = 'value'`
            let from = self.text.len() + 3;
            let equal = self.comparison()?;
            let place = from..self.text.len();
            match (column.as_str(), equal) {
                ("database", Some(value)) if database.is_none() => {
                    database = Some(value);
                    self.database_at = Some(place);
                }
                (column, Some(value)) if column == name_column && table.is_none() => {
                    table = Some(value);
                    self.table_at = Some(place);
                }
                // Said otherwise or twice, it may mean more tables than one.
                ("database", _) => return None,
                (column, _) if column == name_column => return None,
                _ => {}
            }
            if !self.keyword("AND") {
                break;
            }
            before = " AND ";
        }
        let name = database.zip(table);
        Some(name.map(|(database, table)| TableName::new(&database, &table)))
    }

    /// `= value`, whose value is given back, or `IN (value, …)`, `LIKE value`, `!= value`.
    fn comparison(&mut self) -> Option<Option<String>> {
        if self.punctuation('=') {
            let value = self.value()?;
            self.text.push_str(" = ");
            self.text.push_str(&quoted_text(&value));
            return Some(Some(value));
        }
        if self.keyword("IN") {
            return self.list().map(|()| None);
        }
        let operator = if self.keyword("LIKE") {
            " LIKE "
        } else if self.punctuation('!') && self.punctuation('=') {
            " != "
        } else {
            return None;
        };
        let value = self.value()?;
        self.text.push_str(operator);
        self.text.push_str(&quoted_text(&value));
        Some(None)
    }

    fn list(&mut self) -> Option<()> {
        self.punctuation('(').then_some(())?;
        let mut values = vec![quoted_text(&self.value()?)];
        while self.punctuation(',') {
            values.push(quoted_text(&self.value()?));
        }
        self.text.push_str(&format!(" IN ({})", values.join(", ")));
        self.punctuation(')').then_some(())
    }

    /// A text, `{name:String}`, or the current database.
    fn value(&mut self) -> Option<String> {
        match self.next()? {
            Token::Text(text) => Some(text.clone()),
            Token::Punctuation('{') => self.parameter(),
            Token::Word(word) if DATABASE_FUNCTIONS.contains(&word.as_str()) => {
                (self.punctuation('(') && self.punctuation(')')).then(|| self.values.database.to_owned())
            }
            _ => None,
        }
    }

    fn parameter(&mut self) -> Option<String> {
        let name = format!("param_{}", self.word()?);
        (self.punctuation(':') && self.word()? == "String" && self.punctuation('}')).then_some(())?;
        let mut given = self.values.parameters.iter().rev();
        let value = given.find(|(known, _)| *known == name)?.1.clone();
        // ClickHouse reads it as an escaped TabSeparated field; names of tables have no need of that.
        (!value.contains('\\')).then_some(value)
    }

    fn order(&mut self) -> Option<()> {
        if !self.keyword("ORDER") {
            return Some(());
        }
        self.keyword("BY").then_some(())?;
        let mut before = " ORDER BY ";
        loop {
            let column = self.name().filter(|name| !is_keyword(name))?;
            self.text.push_str(before);
            self.text.push_str(&quoted_name(&column));
            if self.keyword("DESC") {
                self.text.push_str(" DESC");
            } else {
                self.keyword("ASC");
            }
            if !self.punctuation(',') {
                return Some(());
            }
            before = ", ";
        }
    }

    fn limit(&mut self) -> Option<()> {
        if !self.keyword("LIMIT") {
            return Some(());
        }
        let Token::Number(number) = self.next()? else {
            return None;
        };
        self.text.push_str(" LIMIT ");
        self.text.push_str(number);
        Some(())
    }

    fn table(&mut self) -> Option<TableName> {
        let first = self.name()?;
        match self.punctuation('.') {
            true => Some(TableName::new(&first, &self.name()?)),
            false => Some(TableName::new(self.values.database, &first)),
        }
    }

    /// An identifier, quoted or not.
    fn name(&mut self) -> Option<String> {
        match self.next()? {
            Token::Word(name) | Token::Name(name) => Some(name.clone()),
            _ => None,
        }
    }

    fn word(&mut self) -> Option<String> {
        match self.next()? {
            Token::Word(word) => Some(word.clone()),
            _ => None,
        }
    }

    fn keyword(&mut self, keyword: &str) -> bool {
        let found =
            matches!(self.tokens.first(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(keyword));
        self.skip_if(found)
    }

    fn punctuation(&mut self, wanted: char) -> bool {
        self.skip_if(self.tokens.first() == Some(&Token::Punctuation(wanted)))
    }

    fn skip_if(&mut self, found: bool) -> bool {
        if found {
            self.tokens = &self.tokens[1..];
        }
        found
    }

    fn next(&mut self) -> Option<&'a Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }
}

fn is_keyword(word: &str) -> bool {
    KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str, parameters: &[(String, String)]) -> Option<(Asks, Option<String>)> {
        let tokens = formats::statement::tokens(text.as_bytes()).ok()?;
        let values = Values {
            database: "d",
            user: "it's me",
            parameters,
        };
        read(&tokens, &values)
    }

    #[track_caller]
    fn check_server(text: &str, expected: &str) {
        let (asks, _) = read_text(text, &[]).unwrap_or_else(|| panic!("{text} is not kept"));
        assert_eq!(asks, Asks::Server(expected.to_owned()));
    }

    #[test]
    fn constants_are_written_again_without_their_layout() {
        check_server("select 1", "SELECT 1");
        check_server("SELECT 'ping' ;", "SELECT 'ping'");
        check_server(
            "SELECT version(),timezone() -- hello",
            "SELECT version(), timezone()",
        );
        check_server("SELECT version() as v LIMIT 1", "SELECT version() AS `v` LIMIT 1");
    }

    #[test]
    fn the_askers_name_and_database_are_put_in() {
        check_server(
            "SELECT currentUser() AS user, timezone() AS timezone LIMIT 1",
            "SELECT 'it\\'s me' AS `user`, timezone() AS `timezone` LIMIT 1",
        );
        check_server("SELECT currentDatabase()", "SELECT 'd' AS `currentDatabase()`");
    }

    #[test]
    fn settings_of_the_server_are_asked_by_their_columns() {
        check_server(
            "SELECT name, value, readonly FROM system.settings LIMIT 10000",
            "SELECT name, value, readonly FROM system.`settings` LIMIT 10000",
        );
        check_server(
            "SELECT value FROM system.settings WHERE name IN ('a', 'b') ORDER BY name DESC",
            "SELECT value FROM system.`settings` WHERE `name` IN ('a', 'b') ORDER BY `name` DESC",
        );
    }

    #[test]
    fn a_described_table_is_known_by_its_name_however_it_is_written() {
        let expected = Asks::Describe(TableName::new("d", "t"));
        for text in [
            "DESCRIBE TABLE t",
            "desc `d`.`t`;",
            "DESCRIBE TABLE \"d\".t FORMAT TSKV",
        ] {
            assert_eq!(
                read_text(text, &[]).map(|read| read.0),
                Some(expected.clone()),
                "{text}"
            );
        }
        let (_, format) = read_text("DESCRIBE TABLE t FORMAT TSKV", &[]).unwrap();
        assert_eq!(format.as_deref(), Some("TSKV"));
    }

    #[test]
    fn columns_of_one_table_are_asked_by_text_or_parameter() {
        let parameters = [
            ("param_db".to_owned(), "a".to_owned()),
            ("param_tbl".to_owned(), "b".to_owned()),
        ];
        let text = "SELECT name, type FROM system.columns WHERE database = {db:String} AND table = {tbl:String} ORDER BY position";
        let written = "SELECT name, type FROM system.`columns` WHERE `database` = 'a' AND `table` = 'b' ORDER BY `position`";
        let expected = Asks::About(TableName::new("a", "b"), written.to_owned());
        assert_eq!(read_text(text, &parameters).map(|read| read.0), Some(expected));
        assert_eq!(read_text(text, &[]), None, "without the parameter's value");
    }

    #[test]
    fn columns_of_a_table_may_be_asked_of_its_target() {
        let target = |text: &str| {
            let parameters = [("db", "a"), ("t", "b")].map(|(n, v)| (format!("param_{n}"), v.to_owned()));
            let tokens = formats::statement::tokens(text.as_bytes()).ok()?;
            let values = Values {
                database: "d",
                user: "u",
                parameters: &parameters,
            };
            let about = about_columns(&tokens, &values)?;
            assert_eq!(about.table, TableName::new("a", "b"));
            Some(about.text("x'y", "local"))
        };
        let asked = "SELECT name, type FROM system.columns WHERE database = {db:String} AND table = {t:String} ORDER BY position FORMAT JSONEachRow";
        let written = "SELECT name, type FROM system.`columns` WHERE `database` = 'x\\'y' AND `table` = 'local' ORDER BY `position`";
        assert_eq!(target(asked).as_deref(), Some(written));
        let turned = "SELECT name FROM system.columns WHERE table = 'b' AND default_kind != 'ALIAS' AND database = 'a'";
        let written = "SELECT name FROM system.`columns` WHERE `table` = 'local' AND `default_kind` != 'ALIAS' AND `database` = 'x\\'y'";
        assert_eq!(target(turned).as_deref(), Some(written));
        for other in [
            "SELECT * FROM system.columns WHERE database = 'a' AND table = 'b'",
            "SELECT table, name FROM system.columns WHERE database = 'a' AND table = 'b'",
            "SELECT engine FROM system.tables WHERE database = 'a' AND name = 'b'",
            "SELECT name FROM system.columns WHERE database = 'a' AND table = 'b' LIMIT 1 OFFSET 1",
            "SELECT version()",
            "DESCRIBE a.b",
        ] {
            assert_eq!(target(other), None, "{other}");
        }
    }

    #[test]
    fn whatever_computes_joins_or_reads_other_tables_is_not_kept() {
        for text in [
            "SELECT now()",
            "SELECT version(1)",
            "SELECT 1 + 1",
            "SELECT (SELECT 1)",
            "SELECT * FROM hits",
            "SELECT 1, name FROM system.settings",
            "SELECT name FROM system.users",
            "SELECT name FROM system.settings, hits",
            "SELECT name FROM system.settings WHERE name = (SELECT secret FROM t)",
            "SELECT name FROM system.settings UNION ALL SELECT x FROM t",
            "SELECT name FROM system.columns",
            "SELECT name FROM system.columns WHERE table = 't'",
            "SELECT name FROM system.columns WHERE database = 'd' AND table = 't' AND table = 'u'",
            "SELECT name FROM system.columns WHERE database = 'd' AND table = 't' OR 1",
            "SELECT name FROM system.columns WHERE database = 'd' AND table IN ('t', 'u')",
            "SELECT 1 SETTINGS max_threads = 1",
            "SELECT 1; SELECT 2",
            "DESCRIBE TABLE (SELECT 1)",
            "DESCRIBE remote('h', d.t)",
            "SHOW TABLES",
            "SELECT",
            "",
        ] {
            assert_eq!(read_text(text, &[]), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_statement_makes_the_reader_panic(text in "(SELECT|DESC|FROM|WHERE|system|\\.|columns|[ ,=(){}:;'`*!]|table|database|AND|IN|1){0,24}") {
            let _ = read_text(&text, &[]);
        }
    }
}
