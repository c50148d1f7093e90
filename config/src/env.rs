//! What a configuration takes from its surroundings: environment variables, the directory that relative
//! paths start from, and which addresses are this machine's own. All of it is passed in, so that reading
//! a configuration is the same anywhere in a test.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::own_address::{self, OwnHosts};

type FindOwn = dyn Fn(&[String]) -> OwnHosts + Send + Sync;

/// The surroundings that a configuration is read in.
pub struct Env {
    variables: BTreeMap<String, String>,
    directory: PathBuf,
    own_hosts: Box<FindOwn>,
}

impl Env {
    /// The environment of this process; relative paths start from the directory it runs in, and own
    /// addresses are found by asking the resolver and the operating system.
    pub fn of_process() -> Env {
        // A variable that is not UTF-8 cannot be written into a TOML string; it counts as not set.
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Env {
            variables,
            directory: PathBuf::new(),
            own_hosts: Box::new(own_address::own_hosts),
        }
    }

    /// No variables, no own addresses: the start for tests and for dry runs.
    pub fn bare() -> Env {
        Env {
            variables: BTreeMap::new(),
            directory: PathBuf::new(),
            own_hosts: Box::new(|_| OwnHosts::default()),
        }
    }

    /// The same with one variable more.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: &str) -> Env {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The same with another directory for relative paths to start from.
    #[must_use]
    pub fn with_directory(mut self, directory: &Path) -> Env {
        self.directory = directory.to_owned();
        self
    }

    /// The same with another way to tell which of some hosts are this machine.
    #[must_use]
    pub fn with_own_hosts(mut self, own: impl Fn(&[String]) -> Vec<String> + Send + Sync + 'static) -> Env {
        self.own_hosts = Box::new(move |hosts| OwnHosts {
            own: own(hosts),
            unanswered: 0,
        });
        self
    }

    /// The value of an environment variable.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// A path of the file, made relative to the file's directory when it is relative.
    pub(crate) fn path(&self, written: &str) -> PathBuf {
        self.directory.join(written)
    }

    /// Which of `hosts` are this machine.
    pub(crate) fn own_hosts(&self, hosts: &[String]) -> OwnHosts {
        (self.own_hosts)(hosts)
    }
}

/// The variables' names only: their values may be passwords.
impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.variables.keys().collect();
        f.debug_struct("Env")
            .field("variables", &names)
            .field("directory", &self.directory)
            .finish()
    }
}

/// Why a string with `${…}` cannot be completed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExpandError {
    #[error("environment variable '{0}' is not set")]
    NotSet(String),
    #[error("'${{' without its '}}'; write '$${{' for a literal '${{'")]
    Unclosed,
    #[error("'${{{0}}}' does not name an environment variable (letters, digits and '_')")]
    NotAName(String),
}

/// Replaces every `${NAME}` by the variable's value, once: what a value contains is not looked at again.
/// `$${` stands for a literal `${`; any other `$` is itself.
pub(crate) fn expand(text: &str, env: &Env) -> Result<String, ExpandError> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from_brace) = (&rest[..at], &rest[at + 2..]);
        if let Some(escaped) = before.strip_suffix('$') {
            expanded.push_str(escaped);
            expanded.push_str("${");
            rest = from_brace;
            continue;
        }
        let (name, after) = from_brace.split_once('}').ok_or(ExpandError::Unclosed)?;
        expanded.push_str(before);
        expanded.push_str(value_of(name, env)?);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn value_of<'e>(name: &str, env: &'e Env) -> Result<&'e str, ExpandError> {
    if !is_variable_name(name) {
        return Err(ExpandError::NotAName(name.to_owned()));
    }
    env.variable(name)
        .ok_or_else(|| ExpandError::NotSet(name.to_owned()))
}

fn is_variable_name(name: &str) -> bool {
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts_well && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let env = Env::bare().with_variable("A", "one").with_variable("B_2", "${A}");
        let found = expand(text, &env).map_err(|error| error.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn variables_are_replaced_wherever_they_stand() {
        check("plain", Ok("plain"));
        check("${A}", Ok("one"));
        check("x${A}y${A}", Ok("xoneyone"));
    }

    #[test]
    fn a_value_is_not_expanded_again() {
        check("${B_2}", Ok("${A}"));
    }

    #[test]
    fn a_doubled_dollar_and_a_lone_one_are_literal() {
        check("$${A}", Ok("${A}"));
        check("a$$b$", Ok("a$$b$"));
        check("$${A}${A}", Ok("${A}one"));
    }

    #[test]
    fn what_cannot_be_completed_is_an_error_that_shows_no_value() {
        check("${NOPE}", Err("environment variable 'NOPE' is not set"));
        check("${A", Err("'${' without its '}'; write '$${' for a literal '${'"));
        check(
            "${}",
            Err("'${}' does not name an environment variable (letters, digits and '_')"),
        );
        check(
            "${a-b}",
            Err("'${a-b}' does not name an environment variable (letters, digits and '_')"),
        );
    }

    #[test]
    fn debug_shows_names_of_variables_but_no_values() {
        let shown = format!("{:?}", Env::bare().with_variable("PW", "hunter2"));
        assert!(shown.contains("PW") && !shown.contains("hunter2"), "{shown}");
    }
}
