//! The head of an INSERT: table, columns, settings, format, and where the data start.

use std::ops::Range;

use super::lexer::{Lexer, Token, unescape};
use super::{StatementError, TableRef};

/// An INSERT up to its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Insert {
    /// The table; empty for a table function.
    pub table: TableRef,
    /// Which columns the data hold.
    pub columns: InsertColumns,
    /// The SETTINGS clauses, in order.
    pub settings: Vec<(String, String)>,
    /// Where the rows come from.
    pub source: Source,
}

/// The column list of an INSERT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InsertColumns {
    /// No list, or `(*)`: every column that can be inserted.
    All,
    /// `(a, b)`
    Listed(Vec<String>),
    /// `(* EXCEPT (a, b))`
    Except(Vec<String>),
}

/// Where an INSERT's rows come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Data behind the statement.
    Data {
        /// The format's name as written; none when the statement names none (the X-ClickHouse-Format header
        /// or Values then).
        format: Option<String>,
        /// Byte offset of the first byte of data in the text; the text's length when the data are yet to
        /// come.
        data_at: usize,
    },
    /// `INSERT … SELECT`: [`select`](super::select) takes it out of the text.
    Select {
        /// Where a WITH clause stands that came before the INSERT; empty without one.
        with: Range<usize>,
        /// Where the SELECT begins.
        at: usize,
    },
    /// `INSERT INTO FUNCTION f(…)`: the function's name.
    Function(String),
    /// `FROM INFILE`, which only a client program can obey.
    Infile,
}

pub(super) fn insert(lexer: &mut Lexer<'_>) -> Result<Insert, StatementError> {
    lexer.expect_word("INSERT", "INSERT")?;
    lexer.expect_word("INTO", "INTO")?;
    // TABLE may be the keyword or a table's own name: it is the keyword when a name follows.
    let before = lexer.position();
    if lexer.take_word("TABLE")? && !starts_a_name(lexer)? {
        lexer.rewind(before);
    }
    if let Some(function) = table_function(lexer)? {
        let table = TableRef {
            database: None,
            table: String::new(),
        };
        let source = Source::Function(function);
        return Ok(Insert {
            table,
            columns: InsertColumns::All,
            settings: Vec::new(),
            source,
        });
    }
    let table = lexer.table()?;
    let columns = columns(lexer)?;
    let mut settings = Vec::new();
    let source = source(lexer, &mut settings)?;
    Ok(Insert {
        table,
        columns,
        settings,
        source,
    })
}

/// Whether a name follows that is not the word a statement goes on with.
fn starts_a_name(lexer: &Lexer<'_>) -> Result<bool, StatementError> {
    const GO_ON: &[&str] = &["FORMAT", "VALUES", "SELECT", "SETTINGS", "FROM", "WITH"];
    Ok(match lexer.peek()? {
        Token::Word(word) => !GO_ON.iter().any(|next| word.eq_ignore_ascii_case(next)),
        Token::QuotedName(..) | Token::Punctuation(b'{') => true,
        _ => false,
    })
}

fn table_function(lexer: &mut Lexer<'_>) -> Result<Option<String>, StatementError> {
    let before = lexer.position();
    if lexer.take_word("FUNCTION")? && starts_a_name(lexer)? {
        return lexer.name("the name of a table function").map(Some);
    }
    lexer.rewind(before);
    Ok(None)
}

fn columns(lexer: &mut Lexer<'_>) -> Result<InsertColumns, StatementError> {
    let before = lexer.position();
    if !lexer.take(b'(')? {
        return Ok(InsertColumns::All);
    }
    if is_word(lexer, "SELECT")? || is_word(lexer, "WITH")? {
        lexer.rewind(before);
        return Ok(InsertColumns::All);
    }
    if lexer.take(b'*')? {
        return star(lexer);
    }
    let names = names(lexer)?;
    lexer.expect(b')', "a comma or the closing bracket of the column list")?;
    Ok(InsertColumns::Listed(names))
}

fn is_word(lexer: &Lexer<'_>, word: &str) -> Result<bool, StatementError> {
    Ok(matches!(lexer.peek()?, Token::Word(next) if next.eq_ignore_ascii_case(word)))
}

/// Behind `(*`: nothing, or `EXCEPT name` or `EXCEPT (names)`.
fn star(lexer: &mut Lexer<'_>) -> Result<InsertColumns, StatementError> {
    let columns = if lexer.take_word("EXCEPT")? {
        if lexer.take(b'(')? {
            let names = names(lexer)?;
            lexer.expect(b')', "the closing bracket of EXCEPT")?;
            InsertColumns::Except(names)
        } else {
            InsertColumns::Except(names(lexer)?)
        }
    } else {
        InsertColumns::All
    };
    lexer.expect(b')', "the closing bracket of the column list")?;
    Ok(columns)
}

fn names(lexer: &mut Lexer<'_>) -> Result<Vec<String>, StatementError> {
    let mut names = Vec::new();
    loop {
        names.push(column_name(lexer)?);
        // A comma may stand behind the last name, too.
        if !lexer.take(b',')? || lexer.peek()? == Token::Punctuation(b')') {
            return Ok(names);
        }
    }
}

/// A column's name; Nested columns are named `n.a`.
fn column_name(lexer: &mut Lexer<'_>) -> Result<String, StatementError> {
    let mut name = lexer.name("the name of a column")?;
    while lexer.take(b'.')? {
        name.push('.');
        name.push_str(&lexer.name("the rest of a column's name")?);
    }
    Ok(name)
}

fn source(lexer: &mut Lexer<'_>, settings: &mut Vec<(String, String)>) -> Result<Source, StatementError> {
    loop {
        match lexer.peek()? {
            Token::Word(word) if word.eq_ignore_ascii_case("SETTINGS") => settings_clause(lexer, settings)?,
            Token::Word(word) if word.eq_ignore_ascii_case("FORMAT") => return format_and_data(lexer),
            Token::Word(word) if word.eq_ignore_ascii_case("VALUES") => {
                lexer.next()?;
                return Ok(Source::Data {
                    format: Some("Values".into()),
                    data_at: lexer.position(),
                });
            }
            Token::Word(word) if word.eq_ignore_ascii_case("FROM") => return Ok(Source::Infile),
            Token::Word(word)
                if ["SELECT", "WITH", "WATCH"]
                    .iter()
                    .any(|w| word.eq_ignore_ascii_case(w)) =>
            {
                return Ok(select_at(lexer));
            }
            Token::Punctuation(b'(') => return Ok(select_at(lexer)),
            Token::Punctuation(b';') => {
                lexer.next()?;
            }
            Token::End => {
                return Ok(Source::Data {
                    format: None,
                    data_at: lexer.len(),
                });
            }
            _ => return Err(lexer.error("FORMAT, VALUES, SELECT or SETTINGS")),
        }
    }
}

fn select_at(lexer: &Lexer<'_>) -> Source {
    Source::Select {
        with: 0..0,
        at: lexer.next_start(),
    }
}

fn settings_clause(
    lexer: &mut Lexer<'_>,
    settings: &mut Vec<(String, String)>,
) -> Result<(), StatementError> {
    lexer.next()?;
    loop {
        let name = lexer.name("the name of a setting")?;
        lexer.expect(b'=', "'=' and the setting's value")?;
        settings.push((name, setting_value(lexer)?));
        if !lexer.take(b',')? {
            return Ok(());
        }
    }
}

fn setting_value(lexer: &mut Lexer<'_>) -> Result<String, StatementError> {
    let sign = if lexer.take(b'-')? { "-" } else { "" };
    match lexer.peek()? {
        Token::Number(number) => {
            lexer.next()?;
            Ok(format!("{sign}{number}"))
        }
        Token::Word(word) if sign.is_empty() => {
            lexer.next()?;
            Ok(word.to_owned())
        }
        Token::Text(raw) if sign.is_empty() => {
            let value =
                String::from_utf8(unescape(raw, b'\'')).map_err(|_| lexer.error("a value in UTF-8"))?;
            lexer.next()?;
            Ok(value)
        }
        _ => Err(lexer.error("the setting's value")),
    }
}

/// Behind the format's name an optional `;` and blanks are skipped, then one line end: there the data start
/// (as ClickHouse does).
fn format_and_data(lexer: &mut Lexer<'_>) -> Result<Source, StatementError> {
    lexer.next()?;
    let format = lexer.name("the name of a format")?;
    let mut at = lexer.position();
    let is_blank = |byte| matches!(byte, Some(b' ' | b'\t' | b'\x0c'));
    while is_blank(lexer.byte_at(at)) {
        at += 1;
    }
    if lexer.byte_at(at) == Some(b';') {
        at += 1;
    }
    while is_blank(lexer.byte_at(at)) {
        at += 1;
    }
    if lexer.byte_at(at) == Some(b'\r') {
        at += 1;
    }
    if lexer.byte_at(at) == Some(b'\n') {
        at += 1;
    }
    Ok(Source::Data {
        format: Some(format),
        data_at: at,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Recognised, Statement, recognise};
    use super::*;

    #[track_caller]
    fn insert_of(text: &str) -> Insert {
        match recognise(text.as_bytes(), true) {
            Ok(Recognised::Statement(Statement::Insert(insert))) => insert,
            other => panic!("{text}: {other:?}"),
        }
    }

    /// `expected`: database.table|columns|settings|format|data
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let insert = insert_of(text);
        let columns = match &insert.columns {
            InsertColumns::All => "*".to_owned(),
            InsertColumns::Listed(names) => names.join(","),
            InsertColumns::Except(names) => format!("-{}", names.join(",")),
        };
        let settings: Vec<String> = insert.settings.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let source = match &insert.source {
            Source::Data { format, data_at } => {
                format!("{}|{}", format.as_deref().unwrap_or("?"), &text[*data_at..])
            }
            Source::Select { .. } => "Select".to_owned(),
            other => format!("{other:?}"),
        };
        let database = insert.table.database.map(|d| d + ".").unwrap_or_default();
        let said = format!(
            "{database}{}|{columns}|{}|{source}",
            insert.table.table,
            settings.join(",")
        );
        assert_eq!(said, expected);
    }

    #[test]
    fn the_forms_real_clients_send_are_understood() {
        check(
            "INSERT INTO t FORMAT JSONEachRow\n{\"a\":1}",
            "t|*||JSONEachRow|{\"a\":1}",
        );
        check(
            "INSERT INTO t (`a`,`b`) FORMAT Native\n\x01",
            "t|a,b||Native|\x01",
        );
        check("INSERT INTO t(`a`,`b`) FORMAT RowBinary", "t|a,b||RowBinary|");
        check(
            "INSERT INTO db.t (a, b) FORMAT JSONCompactEachRow",
            "db.t|a,b||JSONCompactEachRow|",
        );
        check("INSERT INTO t (* EXCEPT (x, y)) FORMAT CSV", "t|-x,y||CSV|");
        check("INSERT INTO t (* EXCEPT x) FORMAT CSV", "t|-x||CSV|");
        check(
            "insert into `d b`.\"t\" values (1, 'a'), (2, 'b');",
            "d b.t|*||Values| (1, 'a'), (2, 'b');",
        );
        check("INSERT INTO TABLE t VALUES(1)", "t|*||Values|(1)");
        check(
            "INSERT INTO t (cols) SETTINGS async_insert=1, x = 'y' FORMAT CSV\n1",
            "t|cols|async_insert=1,x=y|CSV|1",
        );
        check("INSERT INTO t\n FORMAT RowBinary \nxx", "t|*||RowBinary|xx");
        check("INSERT INTO t FORMAT CSV;\n1,2", "t|*||CSV|1,2");
        check("INSERT INTO t", "t|*||?|");
        check("INSERT INTO t (a, b,) FORMAT CSV", "t|a,b||CSV|");
        check("INSERT INTO `db` . `t` FORMAT TSV", "db.t|*||TSV|");
        check(
            "INSERT INTO TABLE `db`.\"t\" (a) VALUES (1);",
            "db.t|a||Values| (1);",
        );
        check("INSERT INTO t (a.b, `c.d`) FORMAT TSV", "t|a.b,c.d||TSV|");
        check("/* x */ INSERT -- y\n INTO # z\n t FORMAT TSV\r\n1", "t|*||TSV|1");
    }

    #[test]
    fn data_that_start_with_white_space_lose_only_the_first_line_end() {
        check("INSERT INTO t FORMAT TabSeparated\n\t1", "t|*||TabSeparated|\t1");
        check("INSERT INTO t FORMAT TabSeparated\n\n1", "t|*||TabSeparated|\n1");
        check("INSERT INTO t FORMAT CSV 1,2", "t|*||CSV|1,2");
    }

    #[test]
    fn words_that_are_also_names_are_told_apart() {
        check("INSERT INTO table FORMAT CSV", "table|*||CSV|");
        check("INSERT INTO function FORMAT CSV", "function|*||CSV|");
        check("INSERT INTO TABLE table FORMAT CSV", "table|*||CSV|");
    }

    #[test]
    fn quoted_names_lose_their_escapes() {
        check("INSERT INTO `a``b`.`c\\`d` FORMAT CSV", "a`b.c`d|*||CSV|");
        check("INSERT INTO \"тест\" FORMAT CSV", "тест|*||CSV|");
    }

    #[test]
    fn rows_that_do_not_come_as_data_are_named() {
        check("INSERT INTO t SELECT * FROM s", "t|*||Select");
        check("INSERT INTO t (a) SELECT 1", "t|a||Select");
        check("INSERT INTO t (SELECT 1)", "t|*||Select");
        check("INSERT INTO t (a) WITH 1 AS x SELECT x", "t|a||Select");
        check("INSERT INTO t FROM INFILE 'x' FORMAT CSV", "t|*||Infile");
        check(
            "INSERT INTO FUNCTION remote('h', t) VALUES (1)",
            "|*||Function(\"remote\")",
        );
        check(
            "INSERT INTO TABLE FUNCTION file('x') VALUES (1)",
            "|*||Function(\"file\")",
        );
    }

    #[track_caller]
    fn refuses(text: &str, offset: usize, expected: &str) {
        let error = recognise(text.as_bytes(), true).unwrap_err();
        assert_eq!((error.offset, error.expected), (offset, expected), "{text}");
    }

    #[test]
    fn broken_heads_say_where_and_what_was_expected() {
        refuses("INSERT t VALUES (1)", 7, "INTO");
        refuses(
            "INSERT INTO t (a b) FORMAT CSV",
            17,
            "a comma or the closing bracket of the column list",
        );
        refuses("INSERT INTO t FORMAT", 20, "the name of a format");
        refuses("INSERT INTO t JSON", 14, "FORMAT, VALUES, SELECT or SETTINGS");
        refuses(
            "INSERT INTO t SETTINGS x FORMAT CSV",
            25,
            "'=' and the setting's value",
        );
        refuses("INSERT INTO `t FORMAT CSV", 12, "the closing quote");
    }
}
