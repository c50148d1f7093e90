//! `weir check --live` and its canary: what stands in the way of the guarantees on real servers, and their proof.

use std::io::{BufRead, BufReader};
use std::process::{Child, Output};

use rustix::process::{Pid, Signal, kill_process};
use support::{
    COLUMNS, ClickHouse18, Endpoint, Modern, Options, Scratch, ZooKeeper, wait_for, weir_child, weir_command,
};

use crate::setup::{
    DELIVERY_LIMIT, Shard, TABLE, TARGET, all_remote, cluster, plain_servers, replicated_pairs, table,
};
use crate::tables::{WINDOW, create_as, create_merge_tree, create_replicated};

/// A configuration that no router runs on, and what `weir check` says of it.
struct Checked {
    home: Scratch,
}

impl Checked {
    fn new(sections: &str) -> Checked {
        let home = Scratch::new("check");
        let spool = home.join("spool").display().to_string();
        home.write("weir.toml", format!("[spool]\npath = \"{spool}\"\n{sections}"));
        Checked { home }
    }

    fn of(internal_replication: bool, shards: &[Shard]) -> Checked {
        Checked::new(&(cluster(internal_replication, shards) + &table(TABLE, TARGET)))
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let config = self.home.join("weir.toml").display().to_string();
        weir_command(&[&["check", "--config", &config, "--live"], arguments].concat())
    }

    #[track_caller]
    fn start_canary(&self) -> Child {
        let config = self.home.join("weir.toml").display().to_string();
        weir_child(&["check", "--config", &config, "--live", "--canary"])
    }

    /// Panics at the caller's line unless the exit code is this and the text holds all of these words.
    #[track_caller]
    fn says(&self, arguments: &[&str], code: i32, words: &[&str]) -> String {
        let output = self.run(arguments);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let trouble = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{told}{trouble}");
        for word in words {
            assert!(told.contains(word), "{word:?} is not in\n{told}{trouble}");
        }
        told
    }
}

/// Shards of these replicas each.
fn shards(replicas: &[&[&Endpoint]]) -> Vec<Shard> {
    let shard = |replicas: &&[&Endpoint]| Shard {
        weight: 1,
        replicas: replicas
            .iter()
            .map(|endpoint| (endpoint.address, false))
            .collect(),
    };
    replicas.iter().map(shard).collect()
}

/// What begins with the canary's name.
#[track_caller]
fn scratch_tables(server: &Endpoint) -> String {
    server.query("SELECT name FROM system.tables WHERE name LIKE '%weir_canary%' FORMAT TabSeparated")
}

/// The results of the canary's steps, in their order: `step: result`.
#[track_caller]
fn steps(told: &str) -> Vec<String> {
    let of_step = |line: &str| {
        let mut cells = line
            .trim()
            .split("  ")
            .map(str::trim)
            .filter(|cell| !cell.is_empty());
        let (step, _shard, result) = (cells.next()?, cells.next()?, cells.next()?);
        ["proved", "FAILED", "not tried"]
            .contains(&result)
            .then(|| format!("{step}: {result}"))
    };
    told.lines().filter_map(of_step).collect()
}

const STEPS: [&str; 9] = [
    "scratch table",
    "a batch arrives",
    "a repeat is known by its token",
    "a repeat is known by its content",
    "a repeat at another replica",
    "a cut send leaves nothing",
    "a wrong password leaves nothing",
    "a materialized view",
    "removed again",
];

#[track_caller]
fn check_steps(told: &str, not_tried: &[&str]) {
    let expected = STEPS.map(|step| match not_tried.contains(&step) {
        true => format!("{step}: not tried"),
        false => format!("{step}: proved"),
    });
    assert_eq!(steps(told), expected, "{told}");
}

#[test]
fn a_replicated_pair_of_18_16_is_exactly_once_and_the_canary_proves_it_and_leaves_nothing() {
    let zookeeper = ZooKeeper::start();
    let pair = replicated_pairs(&zookeeper, 1).remove(0);
    let checked = Checked::of(true, &shards(&[&[&pair[0].http, &pair[1].http]]));
    let words = [
        "default.hits → default.hits_local on cluster main: exactly once",
        "recognised by their content",
        "/weir/s1/hits_local",
    ];
    let told = checked.says(&["--canary"], 0, &words);
    check_steps(&told, &["a repeat is known by its token"]);
    for server in &pair {
        assert_eq!(scratch_tables(&server.http), "");
    }
}

#[test]
fn a_modern_table_with_a_window_is_exactly_once_and_the_canary_proves_it_and_leaves_nothing() {
    let server = Modern::start();
    create_as(&server.http, TARGET, WINDOW);
    let checked = Checked::of(true, &all_remote(&[server.http.address]));
    let told = checked.says(&["--canary"], 0, &["on cluster main: exactly once"]);
    check_steps(&told, &["a repeat at another replica"]);
    assert_eq!(scratch_tables(&server.http), "");

    let json = checked.says(
        &["--output", "json"],
        0,
        &["\"verdict\": \"exactly once\"", "\"window_blocks\": 100"],
    );
    assert!(json.starts_with('['), "{json}");
}

#[test]
fn a_plain_table_is_at_least_once_and_the_canary_says_what_it_cannot_try() {
    let server = &plain_servers(1)[0];
    let checked = Checked::of(true, &all_remote(&[server.http.address]));
    let words =
        ["on cluster main: at least once: MergeTree on 18.16.1, which has no insert_deduplication_token"];
    let told = checked.says(&["--canary"], 0, &words);
    let repeats = [
        "a repeat is known by its token",
        "a repeat is known by its content",
        "a repeat at another replica",
    ];
    check_steps(&told, &repeats);
    assert!(told.contains("the target recognises no repeat"), "{told}");
    assert_eq!(scratch_tables(&server.http), "");
}

#[test]
fn a_replica_that_is_gone_or_refuses_the_password_is_named() {
    let server = ClickHouse18::start(&Options {
        user: Some(("default".into(), "secret".into())),
        ..Options::default()
    });
    let checked = Checked::of(true, &all_remote(&[server.http.address]));
    let told = checked.says(
        &[],
        1,
        &[
            "does not let user default in",
            "correct the user and its password",
        ],
    );
    assert!(told.contains("not deliverable as it stands"), "{told}");
    let address = server.http.address;
    drop(server);
    let checked = Checked::of(true, &all_remote(&[address]));
    checked.says(
        &["--canary"],
        1,
        &["not known: the replica cannot be reached", "scratch table"],
    );
}

#[test]
fn a_missing_and_a_distributed_target_are_refused() {
    let servers = ClickHouse18::start_peers(&[1, 1]);
    create_merge_tree(&servers[0].http, "real");
    servers[0].http.query(&format!(
        "CREATE TABLE {TARGET} AS real ENGINE = Distributed(peers, default, real, rand())"
    ));
    let checked = Checked::of(
        true,
        &all_remote(&[servers[0].http.address, servers[1].http.address]),
    );
    let words = [
        "the target is itself a Distributed table",
        "there is no table default.hits_local",
    ];
    checked.says(&[], 1, &words);
}

#[test]
fn views_behind_the_target_are_followed_and_named() {
    let server = Modern::start();
    let window = "SETTINGS non_replicated_deduplication_window = 100";
    let sql = [
        format!("CREATE TABLE {TARGET} ({COLUMNS}) ENGINE = MergeTree ORDER BY user_id {window}"),
        format!("CREATE TABLE default.sums (user_id UInt64) ENGINE = MergeTree ORDER BY user_id {window}"),
        format!("CREATE MATERIALIZED VIEW default.good TO default.sums AS SELECT user_id FROM {TARGET}"),
        "CREATE MATERIALIZED VIEW default.behind ENGINE = MergeTree ORDER BY user_id AS SELECT user_id FROM default.sums".to_owned(),
    ];
    sql.iter().for_each(|sql| drop(server.http.query(sql)));
    let checked = Checked::of(true, &all_remote(&[server.http.address]));
    let words = [
        "on cluster main: at least once: the materialized view default.behind",
        "the materialized view default.good writes into default.sums (MergeTree), which recognises repeats as well",
        "writes into a table of its own (MergeTree), which has no deduplication window",
    ];
    checked.says(&[], 0, &words);
}

#[test]
fn two_paths_in_a_shard_and_one_path_in_two_shards_are_refused() {
    let zookeeper = ZooKeeper::start();
    let server = |shard: &str, replica: &str| {
        let server = ClickHouse18::start(&Options::replicated(&zookeeper, shard, replica));
        create_replicated(&server.http, "hits_local");
        server
    };
    let (one, same, other) = (server("s1", "r1"), server("s1", "r2"), server("s2", "r1"));
    let checked = Checked::of(true, &shards(&[&[&one.http, &other.http], &[&same.http]]));
    let words = [
        "s1: its replicas have no common zookeeper_path (/weir/s1/hits_local and /weir/s2/hits_local)",
        "the shards s1, s2 have one zookeeper_path, /weir/s1/hits_local",
        "nothing is written to it: its zookeeper_path /weir/s1/hits_local is known as shard s1's",
    ];
    checked.says(&[], 1, &words);
}

#[test]
fn columns_and_placement_that_differ_are_named() {
    let servers = ClickHouse18::start_peers(&[3, 1]);
    create_merge_tree(&servers[0].http, TARGET);
    servers[1].http.query(&format!(
        "CREATE TABLE {TARGET} ({COLUMNS}, more UInt8) ENGINE = MergeTree ORDER BY user_id"
    ));
    servers[0].http.query(&format!(
        "CREATE TABLE {TABLE} AS {TARGET} ENGINE = Distributed(peers, default, hits_local, rand())"
    ));
    let checked = Checked::of(
        true,
        &all_remote(&[servers[0].http.address, servers[1].http.address]),
    );
    let words = [
        "column more is here, and is not on",
        "has the sharding key rand(), and Weir has cityHash64(user_id)",
        "has shards of the weights 3, 1, and Weir has 1, 1",
    ];
    checked.says(&[], 1, &words);
}

#[test]
fn a_readonly_profile_is_named() {
    let server = ClickHouse18::start(&Options {
        profile: "<readonly>1</readonly>".into(),
        ..Options::default()
    });
    let checked = Checked::of(true, &all_remote(&[server.http.address]));
    checked.says(
        &[],
        1,
        &[
            "the setting max_insert_block_size cannot be set to 1000001",
            "let user default change it",
        ],
    );
}

/// Waits until a canary's scratch table has rows on this replica: every replica has the table then.
#[track_caller]
fn wait_for_rows(server: &Endpoint) {
    let rows = || {
        let name = scratch_tables(server).lines().next()?.to_owned();
        let count = format!("SELECT count() FROM {name} FORMAT TabSeparated");
        let answer = server.post(&count).send().ok()?;
        (answer.text().trim().parse::<u64>().ok()? > 0).then_some(())
    };
    wait_for("rows in a scratch table", DELIVERY_LIMIT, rows);
}

#[test]
fn an_interrupted_canary_removes_what_it_made() {
    let zookeeper = ZooKeeper::start();
    let pair = replicated_pairs(&zookeeper, 1).remove(0);
    let checked = Checked::of(true, &shards(&[&[&pair[0].http, &pair[1].http]]));
    let mut canary = checked.start_canary();
    wait_for_rows(&pair[0].http);
    // The step that asks this replica stands still until the signal is heard.
    pair[1].freeze();
    kill_process(Pid::from_child(&canary), Signal::INT).expect("it still runs");
    let mut lines = BufReader::new(canary.stderr.take().expect("it is piped")).lines();
    let heard = lines.find(|line| {
        line.as_ref()
            .is_ok_and(|line| line.contains("removing what the canary made"))
    });
    assert!(heard.is_some());
    pair[1].thaw();
    let output = canary.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("not tried  interrupted"), "{told}");
    for server in &pair {
        assert_eq!(scratch_tables(&server.http), "");
    }
}

#[test]
fn what_a_canary_cannot_remove_is_named_then_and_by_the_next_one() {
    let zookeeper = ZooKeeper::start();
    let mut pair = replicated_pairs(&zookeeper, 1).remove(0);
    let checked = Checked::of(true, &shards(&[&[&pair[0].http, &pair[1].http]]));
    let canary = checked.start_canary();
    wait_for_rows(&pair[0].http);
    pair[1].kill9();
    let output = canary.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let words = "left there, drop it by hand: DROP TABLE IF EXISTS `default`.`_weir_canary_";
    assert!(told.contains(words), "{told}");
    assert_eq!(scratch_tables(&pair[0].http), "");

    pair[1].restart();
    checked.says(
        &["--canary"],
        0,
        &["left there by other runs, to be dropped by hand: _weir_canary_"],
    );
    assert!(
        scratch_tables(&pair[1].http).contains("_weir_canary_"),
        "it is not this run's to remove"
    );
}
