//! Functions that answer by more than the row, by their names alone: what an expression calls is told even where it
//! cannot be compiled here.

/// Names in lower case: those that ClickHouse 26.9 calls not deterministic (`system.functions`), without what only tells
/// a server's dictionaries and models apart, and aliases that DESCRIBE TABLE keeps.
const NAMES: &[&str] = &[
    "arrayrandomsample",
    "arrayshuffle",
    "arraypartialshuffle",
    "authenticateduser",
    "authuser",
    "blocknumber",
    "buildid",
    "connectionid",
    "connection_id",
    "curdate",
    "current_database",
    "current_date",
    "current_query_id",
    "current_schemas",
    "current_timestamp",
    "current_user",
    "currentdatabase",
    "currenthandler",
    "currentprofiles",
    "currentqueryid",
    "currentrequesturl",
    "currentroles",
    "currentschemas",
    "currentuser",
    "database",
    "defaultprofiles",
    "defaultroles",
    "displayname",
    "enabledprofiles",
    "enabledroles",
    "filesystemavailable",
    "filesystemcapacity",
    "filesystemunreserved",
    "fqdn",
    "fullhostname",
    "fuzzbits",
    "generaterandomstructure",
    "generateserialid",
    "generatesnowflakeid",
    "generateulid",
    "generateuuidv4",
    "generateuuidv7",
    "getmacro",
    "getserverport",
    "getserversetting",
    "getsetting",
    "getsettingordefault",
    "hostname",
    "initial_query_id",
    "initial_query_start_time",
    "initialqueryid",
    "initialquerystarttime",
    "localtime",
    "localtimestamp",
    "now",
    "now64",
    "nowinblock",
    "nowinblock64",
    "query_id",
    "queryid",
    "rand",
    "rand32",
    "rand64",
    "randbernoulli",
    "randbinomial",
    "randcanonical",
    "randchisquared",
    "randconstant",
    "randexponential",
    "randfisherf",
    "randlognormal",
    "randnegativebinomial",
    "randnormal",
    "randomfixedstring",
    "randomprintableascii",
    "randomstring",
    "randomstringutf8",
    "randpoisson",
    "randstudentt",
    "randuniform",
    "revision",
    "rownumberinallblocks",
    "rownumberinblock",
    "schema",
    "serveruuid",
    "session_user",
    "shardcount",
    "shardnum",
    "tcpport",
    "today",
    "transactionid",
    "uptime",
    "user",
    "utc_timestamp",
    "utctimestamp",
    "version",
    "yesterday",
    "zookeepersessionuptime",
];

/// Of those, the names that are calls without brackets, too.
const BARE: &[&str] = &[
    "curdate",
    "current_database",
    "current_date",
    "current_timestamp",
    "current_user",
    "currentdatabase",
    "currenthandler",
    "currentrequesturl",
    "currentuser",
    "database",
    "localtime",
    "localtimestamp",
    "now",
    "schema",
    "session_user",
    "today",
    "user",
];

/// The functions in an expression's text that are no functions of the row, each once, as they are written. Names without
/// brackets that a column has are columns.
pub fn volatile_calls(text: &str, is_column: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if matches!(first, '\'' | '`' | '"') {
            rest = behind_quoted(&rest[1..], first);
            continue;
        }
        if !(first.is_alphanumeric() || first == '_') {
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let len = rest
            .find(|letter: char| !(letter.is_alphanumeric() || letter == '_'))
            .unwrap_or(rest.len());
        let word;
        (word, rest) = rest.split_at(len);
        let is_call = rest.trim_start().starts_with('(');
        let name = word.to_ascii_lowercase();
        let names = if is_call { NAMES } else { BARE };
        let is_known = names.contains(&name.as_str()) && (is_call || !is_column(word));
        if is_known && !found.iter().any(|other| other == word) {
            found.push(word.to_owned());
        }
    }
    found
}

/// What lies behind a text that a quote ends; a backslash takes the next letter's meaning.
fn behind_quoted(text: &str, quote: char) -> &str {
    let mut letters = text.char_indices();
    while let Some((place, letter)) = letters.next() {
        if letter == quote {
            return &text[place + 1..];
        }
        if letter == '\\' {
            letters.next();
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(volatile_calls(text, |name| name == "user"), expected, "{text}");
    }

    #[test]
    fn calls_are_found_in_what_cannot_be_read() {
        check("arrayMap(x -> rand64(x), [1]) ~ now ( )", &["rand64", "now"]);
        check(
            "generateSnowflakeID() + generateSnowflakeID()",
            &["generateSnowflakeID"],
        );
        check("CURRENT_TIMESTAMP", &["CURRENT_TIMESTAMP"]);
    }

    #[test]
    fn texts_columns_and_other_functions_are_no_calls() {
        check(
            "concat('now() \\' rand()', `now()`, user, uptime, length(s))",
            &[],
        );
        check("USER", &["USER"]);
        check("it's never closed: now()", &[]);
    }

    #[test]
    fn every_function_here_that_answers_by_more_than_the_row_has_its_name_in_the_table() {
        for name in crate::functions::volatile_names() {
            assert!(NAMES.contains(&name.to_ascii_lowercase().as_str()), "{name}");
        }
        assert!(BARE.iter().all(|name| NAMES.contains(name)));
    }
}
