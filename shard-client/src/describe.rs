//! A table's columns, as `DESCRIBE TABLE` tells them in TabSeparated.

use crate::error::ShardError;
use crate::replica::Replica;
use crate::request::quoted_name;

/// One column of a table on a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedColumn {
    /// The column's name, unquoted.
    pub name: String,
    /// The column's type, in ClickHouse's words.
    pub type_name: String,
    /// What kind of default it has.
    pub default_kind: DefaultKind,
    /// The default's expression; empty without one.
    pub default_expression: String,
}

/// What becomes of a column that an INSERT leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DefaultKind {
    /// The type's own default.
    None,
    /// `DEFAULT`: the expression.
    Default,
    /// `MATERIALIZED`: always the expression, never inserted.
    Materialized,
    /// `ALIAS`: not stored.
    Alias,
    /// `EPHEMERAL`: inserted for other columns' expressions, not stored.
    Ephemeral,
}

impl DefaultKind {
    /// As DESCRIBE TABLE writes it; nothing for no default.
    pub fn word(self) -> &'static str {
        match self {
            DefaultKind::None => "",
            DefaultKind::Default => "DEFAULT",
            DefaultKind::Materialized => "MATERIALIZED",
            DefaultKind::Alias => "ALIAS",
            DefaultKind::Ephemeral => "EPHEMERAL",
        }
    }

    /// Whether an INSERT may name such a column.
    pub fn is_insertable(self) -> bool {
        match self {
            DefaultKind::None | DefaultKind::Default | DefaultKind::Ephemeral => true,
            DefaultKind::Materialized | DefaultKind::Alias => false,
        }
    }

    /// Reads what [`DefaultKind::word`] writes.
    pub fn read(word: &str) -> Result<DefaultKind, String> {
        Ok(match word {
            "" => DefaultKind::None,
            "DEFAULT" => DefaultKind::Default,
            "MATERIALIZED" => DefaultKind::Materialized,
            "ALIAS" => DefaultKind::Alias,
            "EPHEMERAL" => DefaultKind::Ephemeral,
            other => return Err(format!("unknown kind of default {other:?}")),
        })
    }
}

impl Replica {
    /// The columns of `database`.`table`, in the table's order. A table that does not exist is the server's
    /// code 60.
    pub async fn describe(&self, database: &str, table: &str) -> Result<Vec<DescribedColumn>, ShardError> {
        let (database, table) = (quoted_name(database), quoted_name(table));
        let answer = self
            .query(
                &format!("DESCRIBE TABLE {database}.{table} FORMAT TabSeparated"),
                &[],
            )
            .await?;
        columns(&String::from_utf8_lossy(&answer)).map_err(|what| self.unexpected(what))
    }
}

/// Reads the answer's lines. 18.16 gives five fields and later versions seven or more; the first four are the
/// same.
fn columns(answer: &str) -> Result<Vec<DescribedColumn>, String> {
    answer.lines().map(column).collect()
}

fn column(line: &str) -> Result<DescribedColumn, String> {
    let mut fields = fields(line).into_iter();
    let (Some(name), Some(type_name), Some(kind), Some(default_expression)) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(format!("a column described as {line:?}"));
    };
    Ok(DescribedColumn {
        name,
        type_name,
        default_kind: DefaultKind::read(&kind)?,
        default_expression,
    })
}

/// The fields of a TabSeparated line, unescaped.
pub(crate) fn fields(line: &str) -> Vec<String> {
    line.split('\t').map(unescape).collect()
}

/// Undoes TabSeparated's escapes: `\t`, `\n`, `\'`, `\\` and so on; any other escaped character stands for
/// itself.
pub fn unescape(field: &str) -> String {
    let mut out = String::with_capacity(field.len());
    let mut chars = field.chars();
    while let Some(c) = chars.next() {
        out.push(if c == '\\' { escaped(chars.next()) } else { c });
    }
    out
}

fn escaped(c: Option<char>) -> char {
    match c {
        Some('b') => '\u{8}',
        Some('f') => '\u{c}',
        Some('n') => '\n',
        Some('r') => '\r',
        Some('t') => '\t',
        Some('0') => '\0',
        Some(other) => other,
        None => '\\',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, name: &str, type_name: &str, default_kind: DefaultKind, expression: &str) {
        let expected = DescribedColumn {
            name: name.into(),
            type_name: type_name.into(),
            default_kind,
            default_expression: expression.into(),
        };
        assert_eq!(columns(line).unwrap(), [expected]);
    }

    #[test]
    fn columns_of_18_16_and_of_today_are_read() {
        check("id\tUInt64\t\t\t\n", "id", "UInt64", DefaultKind::None, "");
        check(
            "d\tDate\tDEFAULT\ttoday()\t\t\t\n",
            "d",
            "Date",
            DefaultKind::Default,
            "today()",
        );
        check(
            "m\tString\tMATERIALIZED\tupper(s)\tcomment\tZSTD(1)\tttl\n",
            "m",
            "String",
            DefaultKind::Materialized,
            "upper(s)",
        );
    }

    #[test]
    fn escapes_in_types_and_expressions_are_undone() {
        check(
            "e\tEnum8(\\'a\\' = 1)\tDEFAULT\t\\'x\\\\ty\\'\t",
            "e",
            "Enum8('a' = 1)",
            DefaultKind::Default,
            "'x\\ty'",
        );
    }

    #[test]
    fn an_answer_of_another_shape_is_refused() {
        assert_eq!(columns("Ok.\n"), Err("a column described as \"Ok.\"".to_owned()));
        assert_eq!(
            columns("a\tUInt8\tAUTO\t\n"),
            Err("unknown kind of default \"AUTO\"".to_owned())
        );
    }
}
