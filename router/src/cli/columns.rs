//! Columns as CREATE TABLE would name them, given on a command line: `k UInt64, d Decimal(10, 2), e
//! Enum8('a,b' = 1)`. Pure.

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
    let (name, type_name) = named.unwrap_or((item, ""));
    let type_name = type_name.trim();
    if name.is_empty() || type_name.is_empty() {
        return Err(format!(
            "'{item}' is not a column: write it as 'name Type', and commas between columns"
        ));
    }
    Ok(DescribedColumn {
        name: name.to_owned(),
        type_name: type_name.to_owned(),
        default_kind: DefaultKind::None,
        default_expression: String::new(),
    })
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

    #[test]
    fn a_column_without_a_type_is_refused_by_name() {
        for text in ["k", "k UInt8,", "", "`k UInt8"] {
            assert!(parse(text).unwrap_err().contains("name Type"), "{text}");
        }
    }
}
