//! What a ClickHouse server says when it refuses: both forms of its error text, old and new.

use std::fmt;
use std::time::Duration;

use crate::codes::{self, Class, Proof};

/// An exception that a server reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    /// ClickHouse's error code.
    pub code: u32,
    /// ClickHouse's name of the code, `UNKNOWN` where neither the answer nor the table of codes has one.
    pub name: String,
    /// The server's words, without code, name and version. **May hold values of rows**: for `.error` files
    /// and for the client whose rows they are, not for logs (see [`ServerError::summary`]).
    pub text: String,
    /// The HTTP status of the answer; 200 where the exception came inside a body that had begun as a success.
    pub status: u16,
    /// How long the server asked to wait (`Retry-After`).
    pub retry_after: Option<Duration>,
}

impl ServerError {
    /// Reads an exception from its text, in the form of 18.16
    /// (`Code: 60, e.displayText() = DB::Exception: Table …, e.what() = DB::Exception`) or of today
    /// (`Code: 60. DB::Exception: Table …. (UNKNOWN_TABLE) (version 26.9.1.1)`).
    ///
    /// `header_code` is `X-ClickHouse-Exception-Code`; it stands above the text's own. Without either code
    /// the answer is no ClickHouse server's, and `None` is returned.
    pub fn read(status: u16, header_code: Option<u32>, body: &str) -> Option<ServerError> {
        let code = header_code.or_else(|| code_in(body))?;
        let (text, name) = words(body);
        let name = name
            .or_else(|| codes::lookup(code).map(|code| code.name))
            .unwrap_or("UNKNOWN");
        Some(ServerError {
            code,
            name: name.to_owned(),
            text: text.to_owned(),
            status,
            retry_after: None,
        })
    }

    /// Code, name and status: what may be logged, since it holds nothing of the rows.
    pub fn summary(&self) -> String {
        format!("code {} ({}), status {}", self.code, self.name, self.status)
    }

    /// What kind of trouble this is.
    pub fn class(&self) -> Class {
        match codes::lookup(self.code) {
            Some(_) if self.is_too_many_partitions() => Class::Recut,
            known => self.class_by_reader(known.map_or(Class::Unclear, |code| code.class)),
        }
    }

    /// What the table of codes takes for trouble of the statement or the table is a row's where it came from reading rows:
    /// an unknown function or table in the expressions of VALUES.
    fn class_by_reader(&self, class: Class) -> Class {
        match class {
            Class::Schema | Class::Statement | Class::Destination | Class::Unclear if self.names_reader() => {
                Class::Rows
            }
            // The body's end came within a row; a body that was cut on its way is told by other codes.
            Class::Passing if self.code == ATTEMPT_TO_READ_AFTER_EOF && self.names_reader() => Class::Rows,
            class => class,
        }
    }

    /// What this answer proves about the INSERT, the text not yet considered.
    pub fn proof(&self) -> Proof {
        match codes::lookup(self.code) {
            // Counted before the block's first part is written; from a view it names the view.
            Some(_) if self.is_too_many_partitions() => Proof::Always,
            // The batch is one block, and its reader had not come to the block's end.
            _ if self.names_reader() && self.class() == Class::Rows => Proof::OneBlock,
            Some(code) => code.proof,
            None => Proof::None,
        }
    }

    /// Whether the text says that a materialized view failed, thus after the rows were written into the
    /// target.
    pub fn names_view(&self) -> bool {
        self.text.contains("while pushing to view") || self.text.contains("while executing MaterializedView")
    }

    /// Whether the text names a row of the input (`(at row 3)`) or what reads it, thus came from reading the body.
    pub fn names_input(&self) -> bool {
        self.text.contains("(at row ") || self.names_reader()
    }

    /// Whether the text names what reads the body: today's servers add `While executing ValuesBlockInputFormat` to whatever
    /// is thrown there, and an exception of a library that only reads formats bears the library's name.
    pub fn names_reader(&self) -> bool {
        const READING_LIBRARIES: [&str; 2] = ["type: avro::", "type: orc::"];
        let mut executed = self.text.split("While executing ").skip(1);
        let is_reader = |what: &str| {
            let end = what.find(|c: char| !c.is_ascii_alphanumeric());
            what[..end.unwrap_or(what.len())].ends_with("InputFormat")
        };
        READING_LIBRARIES.iter().any(|name| self.text.contains(name)) || executed.any(is_reader)
    }

    /// 252 stands for "too many parts", which passes when merges catch up, and for "too many partitions for
    /// single
    /// INSERT block", which never passes for this batch.
    fn is_too_many_partitions(&self) -> bool {
        self.code == TOO_MANY_PARTS && self.text.contains("single INSERT block")
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "code {}: {} ({})", self.code, self.text, self.name)
    }
}

const TOO_MANY_PARTS: u32 = 252;
const ATTEMPT_TO_READ_AFTER_EOF: u32 = 32;

/// The number behind the first `Code: `.
fn code_in(body: &str) -> Option<u32> {
    let digits = body.split_once("Code: ")?.1;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// The words themselves and the name in parentheses behind them, whichever form the text has.
fn words(body: &str) -> (&str, Option<&str>) {
    // Behind 18.16's own exceptions it is only their class again; of others' it is all they say.
    let has_class_behind = body.contains("e.displayText() = ");
    let body = without_class(without_code(body.trim()));
    let body = match has_class_behind {
        true => before_last(body, ", e.what() = "),
        false => body,
    };
    let body = before_last(body, " (version ").trim_end();
    split_name(body)
}

/// Takes off `Code: 60. ` or `Code: 60, e.displayText() = `.
fn without_code(body: &str) -> &str {
    let Some(rest) = body.strip_prefix("Code: ") else {
        return body;
    };
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    match rest.split_once("e.displayText() = ") {
        Some((between, rest)) if between.len() < 64 => rest,
        _ => rest.trim_start_matches(['.', ',', ' ']),
    }
}

/// Takes off the exception's C++ class: `DB::Exception: `, `DB::NetException: `, `Poco::Exception: `.
fn without_class(body: &str) -> &str {
    match body.split_once(": ") {
        Some((class, rest)) if class.contains("::") && !class.contains(' ') => rest,
        _ => body,
    }
}

fn before_last<'a>(body: &'a str, mark: &str) -> &'a str {
    body.rfind(mark).map_or(body, |at| &body[..at])
}

/// Splits the trailing `(UNKNOWN_TABLE)` off.
fn split_name(body: &str) -> (&str, Option<&str>) {
    let name = body.strip_suffix(')').and_then(|rest| rest.rsplit_once('('));
    match name {
        Some((text, name)) if is_name(name) => (text.trim_end(), Some(name)),
        _ => (body, None),
    }
}

fn is_name(name: &str) -> bool {
    name.len() > 2
        && name
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, code: u32, name: &str, text: &str) {
        let error = ServerError::read(500, None, body).unwrap();
        assert_eq!(
            (error.code, error.name.as_str(), error.text.as_str()),
            (code, name, text)
        );
    }

    #[test]
    fn the_form_of_18_16_is_read() {
        check(
            "Code: 60, e.displayText() = DB::Exception: Table default.nope doesn't exist., e.what() = DB::Exception\n",
            60,
            "UNKNOWN_TABLE",
            "Table default.nope doesn't exist.",
        );
        check(
            "Code: 117, e.displayText() = DB::Exception: Unknown field found while parsing JSONEachRow format: zz: (at row 1)\n, e.what() = DB::Exception",
            117,
            "INCORRECT_DATA",
            "Unknown field found while parsing JSONEachRow format: zz: (at row 1)",
        );
    }

    #[test]
    fn the_form_of_today_is_read() {
        check(
            "Code: 60. DB::Exception: Table default.x does not exist. Maybe you meant default.y?. (UNKNOWN_TABLE) (version 26.9.1.1 (official build))\n",
            60,
            "UNKNOWN_TABLE",
            "Table default.x does not exist. Maybe you meant default.y?.",
        );
        check(
            "Code: 999. Coordination::Exception: Session expired. (KEEPER_EXCEPTION)",
            999,
            "KEEPER_EXCEPTION",
            "Session expired.",
        );
    }

    #[test]
    fn an_exception_of_a_library_keeps_its_words() {
        check(
            "Code: 1001. DB::Exception: std::exception. Code: 1001, type: avro::Exception, e.what() = Invalid data file (version 26.9.2.1). (STD_EXCEPTION)",
            1001,
            "STD_EXCEPTION",
            "std::exception. Code: 1001, type: avro::Exception, e.what() = Invalid data file",
        );
    }

    #[test]
    fn a_name_that_the_server_gives_stands_above_the_table() {
        check(
            "Code: 9999. DB::Exception: Later. (BRAND_NEW)",
            9999,
            "BRAND_NEW",
            "Later.",
        );
        check("Code: 9999. DB::Exception: Later.", 9999, "UNKNOWN", "Later.");
    }

    #[test]
    fn a_nested_exception_keeps_its_words() {
        check(
            "Code: 209. DB::NetException: Timeout: (a:9000), 10.0.0.1: 8123. DB::Exception: inner. (SOCKET_TIMEOUT) (version 24.3)",
            209,
            "SOCKET_TIMEOUT",
            "Timeout: (a:9000), 10.0.0.1: 8123. DB::Exception: inner.",
        );
    }

    #[test]
    fn the_header_stands_above_the_text() {
        let error = ServerError::read(404, Some(81), "Code: 60. DB::Exception: x").unwrap();
        assert_eq!((error.code, error.status), (81, 404));
    }

    #[test]
    fn words_without_any_code_are_no_clickhouse_answer() {
        assert_eq!(ServerError::read(502, None, "<html>bad gateway</html>"), None);
        assert_eq!(ServerError::read(502, None, "Code: none"), None);
    }

    #[test]
    fn too_many_partitions_is_told_from_too_many_parts() {
        let read = |text: &str| ServerError::read(500, Some(252), text).unwrap();
        let partitions =
            read("Code: 252. DB::Exception: Too many partitions for single INSERT block (more than 100).");
        assert_eq!(
            (partitions.class(), partitions.proof()),
            (Class::Recut, Proof::Always)
        );
        let parts = read(
            "Code: 252. DB::Exception: Too many parts (300). Merges are processing slower than inserts.",
        );
        assert_eq!(
            (parts.class(), parts.proof()),
            (Class::Overloaded(codes::Overload::Parts), Proof::None)
        );
    }

    #[test]
    fn the_summary_holds_nothing_of_the_rows() {
        let error = ServerError::read(500, None, "Code: 27. DB::Exception: Cannot parse: secret").unwrap();
        assert_eq!(
            error.summary(),
            "code 27 (CANNOT_PARSE_INPUT_ASSERTION_FAILED), status 500"
        );
    }
}
