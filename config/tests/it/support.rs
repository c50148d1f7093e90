//! What the tests share: small files, and checks that fail at the caller's line.

use config::{Config, Env, parse};

/// The least file there is, on lines 1 to 4.
pub const LEAST: &str =
    "[cluster.main]\nshard = [{ replica = 'a' }]\n[[table]]\nname = 'd.t'\ntarget = 'd.t_local'\n";

/// A file with nothing wrong in it.
#[track_caller]
pub fn good(text: &str) -> Config {
    good_in(text, &Env::bare())
}

#[track_caller]
pub fn good_in(text: &str, env: &Env) -> Config {
    parse(text, env).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// Checks that exactly these mistakes are told, each as "line: text", in this order.
#[track_caller]
pub fn check_mistakes(text: &str, expected: &[&str]) {
    check_mistakes_in(text, &Env::bare(), expected);
}

#[track_caller]
pub fn check_mistakes_in(text: &str, env: &Env, expected: &[&str]) {
    let Err(mistakes) = parse(text, env) else {
        panic!("no mistake was found, but {expected:?} was expected")
    };
    let told = mistakes.to_string().replace("weir.toml:", "");
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
}

/// Checks that the file is good and exactly these warnings are told.
#[track_caller]
pub fn check_warnings(text: &str, expected: &[&str]) {
    let warnings = good(text).warnings;
    let told: Vec<_> = warnings
        .iter()
        .map(|remark| remark.to_string().replace("weir.toml:", ""))
        .collect();
    assert_eq!(told, expected);
}

/// [`LEAST`] with `lines` in front, whose first is line 1.
pub fn with(lines: &str) -> String {
    format!("{lines}\n{LEAST}")
}

/// A cluster `main` of the given shards, `body` behind its heading.
pub fn cluster(body: &str) -> String {
    format!("[cluster.main]\n{body}\n[[table]]\nname = 'd.t'\ntarget = 'd.t_local'\nsharding_key = 'k'\n")
}
