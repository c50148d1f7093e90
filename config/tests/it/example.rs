//! `example.toml` is right, says the true defaults, and nothing in it is out of date.

use config::{Config, Env, SendSettings, parse};

use crate::support::{LEAST, good, good_in};

const EXAMPLE: &str = include_str!("../../example.toml");

fn env() -> Env {
    Env::bare().with_variable("CLICKHOUSE_PASSWORD", "secret")
}

/// The example with each `#key = …` in force, but for those that name files which are not there, and for
/// the two other ways to say the password.
fn every_key_in_force() -> String {
    let in_force = |line: &str| {
        let names_a_file = line.contains("/run/secrets/") || line.contains("/etc/weir/");
        let left_out = names_a_file || line.contains("# not supported yet");
        match line.strip_prefix('#') {
            Some(setting) if setting.starts_with(char::is_alphabetic) && !left_out => setting.to_owned(),
            _ => line.to_owned(),
        }
    };
    let text: Vec<_> = EXAMPLE
        .lines()
        .map(in_force)
        .filter(|line| !line.starts_with("password = "))
        .collect();
    text.join("\n")
}

#[test]
fn the_example_is_a_configuration_without_mistakes_and_warnings() {
    let config = good_in(EXAMPLE, &env());
    assert_eq!(config.warnings, []);
    assert_eq!(config.clusters[0].shards.len(), 2);
}

#[test]
fn the_defaults_that_the_example_shows_are_the_defaults() {
    let shown = good_in(&every_key_in_force(), &env());
    let silent = good(LEAST);
    assert_eq!(
        shown.send,
        SendSettings {
            on_doubt: shown.send.on_doubt,
            foreground_fallback_timeout: shown.send.foreground_fallback_timeout,
            ..silent.send
        }
    );
    let of = |config: Config| (config.listen, config.limits, config.logs, config.spool);
    assert_eq!(of(shown), of(silent));
}

#[test]
fn every_key_that_the_example_shows_is_known() {
    let text = every_key_in_force();
    let config = good_in(&text, &env());
    assert!(
        text.lines().filter(|line| line.contains(" = ")).count() > 70,
        "most keys are in force"
    );
    assert_eq!(
        config.users[0]
            .reads_as
            .as_ref()
            .map(|reads_as| reads_as.user.as_str()),
        Some("reader")
    );
}

/// Puts `key = word` in the place of the example's `line`; Weir has to refuse it as `setting`.
#[track_caller]
fn check_refused(line: &str, setting_line: &str, setting: &str) {
    let mistakes = parse(&EXAMPLE.replace(line, setting_line), &env())
        .unwrap_err()
        .to_string();
    assert!(
        mistakes.ends_with(&format!("{setting} is not supported yet by this version")),
        "{mistakes}"
    );
}

#[test]
fn words_that_the_example_calls_not_supported_yet_are_refused_as_such() {
    let mut tried = Vec::new();
    for line in EXAMPLE
        .lines()
        .filter(|line| line.contains(": not supported yet"))
    {
        let (key, comment) = line.trim_start_matches('#').split_once(" = ").unwrap();
        let words = comment.split_once("# ").unwrap().1.split_once(": ").unwrap().0;
        for word in words.split(", ") {
            check_refused(
                line,
                &format!("{key} = {word}"),
                &format!("{key} = '{}'", word.trim_matches('"')),
            );
            tried.push(word);
        }
    }
    assert_eq!(tried.len(), 3, "{tried:?}");
}

#[test]
fn the_design_s_own_sample_is_read_as_it_stands() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "hunter2\n").unwrap();
    let sample =
        include_str!("../data/design.toml").replace("/run/secrets/ch", &secret.path().display().to_string());
    let config = good(&sample);
    let [first, second] = &config.clusters[0].shards[..] else {
        panic!("two shards")
    };
    let urls: Vec<_> = first.replicas.iter().map(|replica| replica.url()).collect();
    assert_eq!(
        urls,
        [
            "https://ch-01-a:8443",
            "https://ch-01-b:8444",
            "http://10.0.0.3:8123"
        ]
    );
    assert_eq!(
        (first.weight, second.weight, first.number, second.number),
        (9, 10, 1, 2)
    );
    assert_eq!(first.replicas[1].database.as_deref(), Some("r2"));
    assert_eq!(first.local_replica(), Some(&first.replicas[2]));
    assert_eq!(
        config.tables[0].sharding_key.as_deref(),
        Some("cityHash64(user_id)")
    );
}
