//! What goes wrong at a shard or under the spool while rows wait, each as a statement: who is held up, and that every row is there
//! once when it is mended.

use std::path::PathBuf;

use support::{
    ClickHouse18, Fault, Fingerprint, Format, Modern, Options, Proxy, Weir, WeirConfig, ZooKeeper, rows,
    wait_for,
};

use crate::setup::{
    DELIVERY_LIMIT, Shard, TABLE, TARGET, all_remote, cluster, on_all, patient, plain_servers,
    replicated_pairs, send, table, weir,
};
use crate::tables::{WINDOW, check_holds, count, create_as, create_merge_tree};

/// A shard of today with this target, and a router that has proved the shape of CSV there with ten rows of seed 1.
pub fn bed(engine: &str) -> (Modern, Weir) {
    bed_with(engine, &patient())
}

/// As [`bed`], with more of a configuration.
pub fn bed_with(engine: &str, config: &WeirConfig) -> (Modern, Weir) {
    let shard = Modern::start();
    create_as(&shard.http, TARGET, engine);
    let sections = cluster(true, &all_remote(&[shard.http.address])) + &table(TABLE, TARGET);
    let weir = Weir::start(&WeirConfig {
        sections,
        ..config.clone()
    });
    send(&weir.http, Format::CSV, rows(1, 0..10)).expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    (shard, weir)
}

/// As if it were down, but that it can be told to be up again at once.
pub fn goes_down(shard: &Modern) {
    shard.fault(Fault::Fail {
        code: 242,
        times: 1_000_000,
    });
}

/// INSERTs one after another of 100 rows each, so that each is a batch of its own.
pub fn wait_apart(weir: &Weir, seed: u64, inserts: u64) {
    for number in 0..inserts {
        send(
            &weir.http,
            Format::CSV,
            rows(seed, number * 100..(number + 1) * 100),
        )
        .expect_success();
        wait_for("its batch", DELIVERY_LIMIT, || {
            (weir.metric("weir_spool_files") > number as f64).then_some(())
        });
    }
}

/// An operator puts held batches of `s1` back.
#[track_caller]
pub fn retry(weir: &Weir, seqs: impl IntoIterator<Item = u64>) {
    for seq in seqs {
        let batch = ["--table", TABLE, "--shard", "s1", "--seq", &seq.to_string()];
        weir.command(&[&["spool", "retry"][..], &batch].concat());
    }
}

#[track_caller]
fn wait_until_held(weir: &Weir) -> String {
    wait_for("a held batch", DELIVERY_LIMIT, || {
        (weir.metric("weir_held_batches") > 0.0).then_some(())
    });
    weir.command(&["spool", "ls", "--files"])
}

// === the table is another one ===

#[test]
fn inserts_that_together_have_over_150_partitions_are_taken_apart_and_arrive() {
    let config = WeirConfig {
        send: "max_batch_delay = \"3s\"\nmax_sleep_time = \"500ms\"".into(),
        ..patient()
    };
    let engine = "MergeTree PARTITION BY duration ORDER BY user_id SETTINGS non_replicated_deduplication_window = 1000";
    let (shard, weir) = bed_with(engine, &config);
    let few = |number: u64| {
        rows(2, number * 40..(number + 1) * 40)
            .zip(0..)
            .map(move |(mut row, place)| {
                row.duration = u32::try_from(number * 40).expect("small") + place;
                row
            })
    };
    for number in 0..4 {
        send(&weir.http, Format::CSV, few(number)).expect_success();
    }
    weir.wait_until_delivered(DELIVERY_LIMIT);
    check_holds(&shard.http, TARGET, rows(1, 0..10).chain((0..4).flat_map(few)));
    assert_eq!(weir.metric("weir_broken_files"), 0.0);
}

#[test]
fn rows_that_wait_while_their_table_gets_a_column_arrive_with_its_default() {
    let (shard, weir) = bed(WINDOW);
    goes_down(&shard);
    wait_apart(&weir, 3, 2);
    shard.http.query(&format!(
        "ALTER TABLE {TARGET} ADD COLUMN more String DEFAULT 'more'"
    ));
    shard.fault(Fault::None);
    weir.wait_until_delivered(DELIVERY_LIMIT);
    check_holds(&shard.http, TARGET, rows(1, 0..10).chain(rows(3, 0..200)));
    let sql = format!("SELECT countIf(more = 'more') FROM {TARGET}");
    assert_eq!(shard.http.query(&sql).trim(), "210");
}

#[test]
fn rows_that_wait_while_their_table_loses_a_column_are_held_and_arrive_when_it_is_back() {
    let (shard, weir) = bed(WINDOW);
    goes_down(&shard);
    wait_apart(&weir, 4, 3);
    shard
        .http
        .query(&format!("ALTER TABLE {TARGET} DROP COLUMN payload"));
    shard.fault(Fault::None);
    // The one that was tried stays as it is; the others became one.
    wait_for("all of them to be held", DELIVERY_LIMIT, || {
        (weir.metric("weir_held_batches") == 2.0 && weir.metric("weir_spool_files") == 2.0).then_some(())
    });
    let listing = weir.command(&["spool", "ls", "--files"]);
    assert!(listing.contains("code 16"), "{listing}");
    assert_eq!(weir.metric("weir_broken_files"), 0.0);

    shard
        .http
        .query(&format!("ALTER TABLE {TARGET} ADD COLUMN payload String"));
    retry(&weir, [2, 5]);
    weir.wait_until_delivered(DELIVERY_LIMIT);
    let sql = format!("SELECT count(), countIf(payload != '') > 0 FROM {TARGET}");
    assert_eq!(shard.http.query(&sql).trim(), "310\t1");
}

// === the password is another one ===

#[test]
fn a_wrong_password_holds_its_destination_and_every_row_arrives_once_when_it_is_right() {
    let user = Some(("writer".to_owned(), "secret".to_owned()));
    let server = ClickHouse18::start(&Options {
        user,
        ..Options::default()
    });
    create_merge_tree(&server.http, TARGET);
    let credentials = "user = \"writer\"\npassword = \"secret\"";
    let sections = cluster(true, &all_remote(&[server.http.address]))
        .replace("user = \"default\"", credentials)
        + &table(TABLE, TARGET);
    let weir = Weir::start(&WeirConfig {
        sections,
        ..patient()
    });
    send(&weir.http, Format::CSV, rows(5, 0..100)).expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);

    weir.edit_config("\"secret\"", "\"guess\"");
    weir.hang_up();
    wait_for("the reload", DELIVERY_LIMIT, || {
        weir.log()
            .contains("the configuration was reloaded")
            .then_some(())
    });
    for number in 1..4 {
        send(&weir.http, Format::CSV, rows(5, number * 100..(number + 1) * 100)).expect_success();
    }
    let listing = wait_until_held(&weir);
    assert!(!listing.contains("guess"), "a password in a listing: {listing}");
    assert_eq!(count(&server.http, TARGET), 100);

    weir.edit_config("\"guess\"", "\"secret\"");
    weir.hang_up();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    check_holds(&server.http, TARGET, rows(5, 0..400));
    assert!(!weir.log().contains("guess"), "a password in the log");
}

// === files are not as they were written ===

#[test]
fn batch_files_flipped_while_the_router_is_down_are_held_and_their_neighbours_arrive() {
    let (shard, mut weir) = bed(WINDOW);
    goes_down(&shard);
    wait_apart(&weir, 6, 5);
    assert!(weir.terminate().success());
    let files = batch_files(&weir);
    assert_eq!(files.len(), 5, "{files:?}");
    let flip_some = || {
        flip(&files[1], |_| 10);
        // Inside of the frames: it is found only when they are sent.
        flip(&files[2], |length| length / 3);
        // In the trailer.
        flip(&files[3], |length| length - 40);
    };
    flip_some();
    shard.fault(Fault::None);
    weir.restart();
    wait_for("the damaged ones to be held", DELIVERY_LIMIT, || {
        (weir.metric("weir_held_batches") == 3.0).then_some(())
    });
    wait_for("the others", DELIVERY_LIMIT, || {
        (count(&shard.http, TARGET) == 210).then_some(())
    });
    let intact = rows(1, 0..10).chain(rows(6, 0..100)).chain(rows(6, 400..500));
    check_holds(&shard.http, TARGET, intact);
    // Flipped back they are as good as ever.
    flip_some();
    retry(&weir, 3..6);
    weir.wait_until_delivered(DELIVERY_LIMIT);
    check_holds(&shard.http, TARGET, rows(1, 0..10).chain(rows(6, 0..500)));
}

/// The waiting batches of shard `s1`, oldest first.
pub fn batch_files(weir: &Weir) -> Vec<PathBuf> {
    let directory = weir.spool_path().join(TABLE).join("s1");
    let files = std::fs::read_dir(directory).expect("the destination has a directory");
    let paths = files.flatten().map(|entry| entry.path());
    let mut batches: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "bin"))
        .collect();
    batches.sort();
    batches
}

/// Turns one bit over.
fn flip(file: &PathBuf, at: impl Fn(usize) -> usize) {
    let mut bytes = std::fs::read(file).expect("a batch can be read");
    let at = at(bytes.len());
    bytes[at] ^= 1;
    std::fs::write(file, bytes).expect("a batch can be written");
}

// === an answer is lost ===

#[test]
fn a_batch_that_a_replica_of_18_16_executed_without_a_word_is_there_once_on_both() {
    let zookeeper = ZooKeeper::start();
    let pairs = replicated_pairs(&zookeeper, 1);
    let proxies = pairs[0]
        .each_ref()
        .map(|server| Proxy::start(server.http.address));
    let shard = Shard {
        weight: 1,
        replicas: proxies.iter().map(|proxy| (proxy.address(), false)).collect(),
    };
    let weir = weir(true, &[shard]);
    send(&weir.http, Format::CSV, rows(10, 0..10)).expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    for number in 0..20 {
        proxies.iter().for_each(Proxy::drop_answer);
        let sent = rows(11, number * 100..(number + 1) * 100);
        send(&weir.http, Format::CSV, sent).expect_success();
        weir.wait_until_delivered(DELIVERY_LIMIT);
    }
    let lost = weir.log().matches("is tried again").count();
    assert!(lost > 0, "no answer was lost:\n{}", weir.log());
    let expected = Fingerprint::of(rows(10, 0..10).chain(rows(11, 0..2_000)));
    for server in &pairs[0] {
        wait_for("the sibling's parts", DELIVERY_LIMIT, || {
            (count(&server.http, TARGET) >= 2_010).then_some(())
        });
        assert_eq!(Fingerprint::in_table(&server.http, TARGET), expected);
    }
}

#[test]
fn rows_without_a_shard_of_their_own_go_around_one_that_is_down() {
    let mut servers = plain_servers(3);
    let addresses: Vec<_> = servers.iter().map(|server| server.http.address).collect();
    let anywhere = table(TABLE, TARGET).replace("cityHash64(user_id)", "rand()");
    let weir = Weir::start(&WeirConfig {
        sections: cluster(true, &all_remote(&addresses)) + &anywhere + "when_shard_down = \"reroute\"\n",
        ..patient()
    });
    let is_up = |up: f64| {
        let metric = "weir_replica_up{cluster=\"main\",shard=\"s2\"";
        wait_for("the check of s2", DELIVERY_LIMIT, || {
            (weir.metric(metric) == up).then_some(())
        });
    };
    is_up(1.0);
    servers[1].kill9();
    is_up(0.0);
    send(&weir.http, Format::CSV, rows(95, 0..300)).expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    let holds = [0, 2].map(|at| count(&servers[at].http, TARGET));
    assert!(holds[0] > 0 && holds[1] > 0, "{holds:?}");
    servers[1].restart();
    is_up(1.0);
    send(&weir.http, Format::CSV, rows(95, 300..600)).expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    assert!(count(&servers[1].http, TARGET) > 0);
    assert_eq!(on_all(&servers, TARGET), Fingerprint::of(rows(95, 0..600)));
}
