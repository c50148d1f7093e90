//! `weir spool replay`: what a shard lost after it acknowledged it is sent again from sent/, or from a copy.

use std::path::Path;
use std::process::{Child, Command};

use support::{Fingerprint, Format, Modern, Proxy, Scratch, Weir, rows, wait_for, weir_child};

use crate::setup::{
    DELIVERY_LIMIT, TABLE, TARGET, all_remote, first_is_local, on_all, plain_servers, send, weir,
};
use crate::tables::{WINDOW, check_holds, count, create_as};

#[test]
fn sent_batches_restore_the_rows_of_truncated_shards() {
    let servers = plain_servers(2);
    let weir = weir(true, &first_is_local(&servers, &[1, 1]));
    for (format, batch) in Format::ALL.into_iter().zip(0..) {
        send(&weir.http, format, rows(21, batch * 1_000..(batch + 1) * 1_000)).expect_success();
    }
    weir.wait_until_delivered(DELIVERY_LIMIT);
    let before = on_all(&servers, TARGET);

    for (server, shard) in servers.iter().zip(["s1", "s2"]) {
        server.http.query(&format!("TRUNCATE TABLE {TARGET}"));
        let selection = ["spool", "replay", "--table", TABLE, "--shard", shard];
        weir.command(&[&selection[..], &["--dry-run"]].concat());
        assert_eq!(count(&server.http, TARGET), 0, "a dry run sends nothing");
        weir.command(&selection);
    }
    weir.wait_until_delivered(DELIVERY_LIMIT);
    assert_eq!(on_all(&servers, TARGET), before);
    assert_eq!(
        before,
        Fingerprint::of(rows(21, 0..Format::ALL.len() as u64 * 1_000))
    );
}

/// Rows of each of the batches that [`bed`] has delivered.
const BATCH_ROWS: u64 = 1_000;
const BATCHES: u64 = 6;

/// A shard behind a proxy that has taken six batches and lost them since, and the router that keeps them in sent/.
fn bed(engine: &str) -> (Modern, Proxy, Weir) {
    let shard = Modern::start();
    create_as(&shard.http, TARGET, engine);
    let proxy = Proxy::start(shard.http.address);
    let weir = weir(true, &all_remote(&[proxy.address()]));
    for batch in 0..BATCHES {
        let sent = rows(22, batch * BATCH_ROWS..(batch + 1) * BATCH_ROWS);
        send(&weir.http, Format::RowBinary, sent).expect_success();
        weir.wait_until_delivered(DELIVERY_LIMIT);
    }
    wait_for("six files in sent/", DELIVERY_LIMIT, || {
        (sent_files(&weir).len() as u64 == BATCHES).then_some(())
    });
    // Unlike TRUNCATE it leaves the tokens in the shard's memory.
    let sql = format!("ALTER TABLE {TARGET} DELETE WHERE 1 SETTINGS mutations_sync = 1");
    shard.http.query(&sql);
    (shard, proxy, weir)
}

/// Sizes of the files in sent/.
fn sent_files(weir: &Weir) -> Vec<u64> {
    let directory = weir.spool_path().join(TABLE).join("s1").join("sent");
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.path().extension().is_some_and(|end| end == "bin"))
        .map(|entry| entry.metadata().expect("a file in sent/").len())
        .collect()
}

/// `weir spool replay WORDS` with this configuration.
fn replay(config: &Path, words: &[&str]) -> Child {
    let config = config.display().to_string();
    weir_child(&[&["spool", "replay", "--config", &config][..], words].concat())
}

/// Runs it to its end, which is good; what it said.
#[track_caller]
fn replay_to_the_end(config: &Path, words: &[&str]) -> String {
    let output = replay(config, words).wait_with_output().expect("weir runs");
    let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {told}", output.status);
    told.into_owned()
}

/// Starts the replay, and ends it and the shard with SIGKILL when the proxy holds it in the middle of the fourth batch. The shard is
/// started again.
#[track_caller]
fn replay_until_killed_in_the_fourth_batch(
    (shard, proxy): (&mut Modern, &Proxy),
    batches_bytes: u64,
    config: &Path,
    words: &[&str],
) {
    proxy.hold_after(batches_bytes * 7 / 12);
    let mut child = replay(config, words);
    proxy.wait_until_it_holds(DELIVERY_LIMIT);
    child.kill().expect("the replay still runs");
    child.wait().expect("a killed process ends");
    // What the killed one had written may lie in sockets whole: it must not arrive after all.
    shard.kill9();
    proxy.release();
    shard.restart();
    assert_eq!(
        count(&shard.http, TARGET),
        3 * BATCH_ROWS,
        "the fourth batch was cut"
    );
}

#[test]
fn a_replay_killed_in_the_middle_is_taken_up_by_the_same_command_and_each_row_is_there_once() {
    // Nothing is recognised here: what is sent twice is there twice.
    let (mut shard, proxy, weir) = bed("MergeTree ORDER BY user_id");
    let words = ["--table", TABLE, "--since", "1h"];
    let bytes = sent_files(&weir).iter().sum();
    let config = weir.config_path();
    replay_until_killed_in_the_fourth_batch((&mut shard, &proxy), bytes, &config, &words);
    let listing = weir.command(&[&["spool", "replay", "--dry-run", "--output", "json"][..], &words].concat());
    assert_eq!(listing.matches("\"token\"").count() as u64, BATCHES, "{listing}");

    let told = replay_to_the_end(&config, &words);
    assert!(
        told.contains("3 batches sent before, 3 batches, 3,000 rows sent"),
        "{told}"
    );
    check_holds(&shard.http, TARGET, rows(22, 0..BATCHES * BATCH_ROWS));

    // It is finished: the same words are another replay now.
    let told = replay_to_the_end(&config, &words);
    assert!(told.contains("6 batches, 6,000 rows sent"), "{told}");
}

#[test]
fn a_replay_of_a_copied_spool_is_taken_up_too_on_a_machine_that_has_no_spool() {
    let (mut shard, proxy, mut weir) = bed("MergeTree ORDER BY user_id");
    let bytes = sent_files(&weir).iter().sum();
    assert!(weir.terminate().success());
    let home = Scratch::new("copy");
    let copy = home.join("spool").display().to_string();
    let spool = weir.spool_path().display().to_string();
    let copied = Command::new("cp").args(["-a", &spool, &copy]).status();
    assert!(
        copied.is_ok_and(|status| status.success()),
        "cp -a {spool} {copy}"
    );
    weir.edit_config(&spool, &home.join("none").display().to_string());

    let words = ["--from", &copy];
    let config = weir.config_path();
    replay_until_killed_in_the_fourth_batch((&mut shard, &proxy), bytes, &config, &words);
    let told = replay_to_the_end(&config, &words);
    assert!(told.contains("3 batches sent before, 3 batches"), "{told}");
    check_holds(&shard.http, TARGET, rows(22, 0..BATCHES * BATCH_ROWS));
    assert!(!home.join("none").exists(), "a replay makes no spool");
}

#[test]
fn a_batch_whose_answer_was_lost_is_recognised_when_its_replay_is_taken_up_by_its_new_token() {
    let (shard, proxy, weir) = bed(WINDOW);
    // The shard remembers the batches' own tokens: they bring nothing back.
    let told = replay_to_the_end(&weir.config_path(), &["--table", TABLE]);
    assert!(told.contains("--new-tokens"), "{told}");
    assert_eq!(count(&shard.http, TARGET), 0);

    let words = ["--table", TABLE, "--new-tokens"];
    proxy.drop_answer();
    let first = replay(&weir.config_path(), &words).wait_with_output();
    let first = first.expect("weir runs");
    let told = String::from_utf8_lossy(&first.stderr);
    assert!(
        !first.status.success() && told.contains("the same command goes on from there"),
        "{told}"
    );
    wait_for("the first batch", DELIVERY_LIMIT, || {
        (count(&shard.http, TARGET) == BATCH_ROWS).then_some(())
    });
    replay_to_the_end(&weir.config_path(), &words);
    check_holds(&shard.http, TARGET, rows(22, 0..BATCHES * BATCH_ROWS));
}
