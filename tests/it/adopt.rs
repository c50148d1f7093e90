//! `weir spool adopt`: what a dead router had accepted is delivered with another router's configuration.

use std::path::Path;
use std::process::Output;

use support::{Fault, Format, Modern, Proxy, Weir, WeirConfig, rows, wait_for, weir_child, weir_command};

use crate::setup::{DELIVERY_LIMIT, TABLE, TARGET, all_remote, cluster, patient, send, table, weir};
use crate::tables::{WINDOW, check_holds, count, create_as};
use crate::troubles::{goes_down, wait_apart};

/// A shard, a router that has delivered ten rows of seed 1 there through the proxy, and another router with the same shard and table.
struct Bed {
    shard: Modern,
    proxy: Proxy,
    dead: Weir,
    heir: Weir,
}

fn bed() -> Bed {
    let shard = Modern::start();
    create_as(&shard.http, TARGET, WINDOW);
    let proxy = Proxy::start(shard.http.address);
    let dead = weir(true, &all_remote(&[proxy.address()]));
    send(&dead.http, Format::CSV, rows(1, 0..10)).expect_success();
    dead.wait_until_delivered(DELIVERY_LIMIT);
    let heir = weir(true, &all_remote(&[proxy.address()]));
    Bed {
        shard,
        proxy,
        dead,
        heir,
    }
}

impl Bed {
    /// The words after `weir` that adopt the dead router's spool.
    fn words(&self) -> [String; 5] {
        let config = self.heir.config_path().display().to_string();
        let directory = self.dead.spool_path().display().to_string();
        [
            "spool".into(),
            "adopt".into(),
            "--config".into(),
            config,
            directory,
        ]
    }

    fn adopt(&self) -> Output {
        let words = self.words();
        weir_command(&words.each_ref().map(String::as_str))
    }

    /// Adopts to a good end; what was said.
    #[track_caller]
    fn adopt_all(&self) -> String {
        let output = self.adopt();
        let told = told(&output);
        assert!(output.status.success(), "{}: {told}", output.status);
        assert!(
            told.contains("everything that was accepted is delivered"),
            "{told}"
        );
        told
    }
}

/// Both streams of a command.
fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Batches that wait in the destination's directory.
fn waiting_files(spool: &Path) -> usize {
    let directory = spool.join(TABLE).join("s1");
    let entries = std::fs::read_dir(directory).expect("the destination has a directory");
    let is_batch = |path: &Path| path.extension().is_some_and(|end| end == "bin");
    entries.flatten().filter(|entry| is_batch(&entry.path())).count()
}

#[test]
fn a_dead_routers_spool_is_delivered_once_by_another_and_then_nothing_waits_in_it() {
    let mut bed = bed();
    goes_down(&bed.shard);
    wait_apart(&bed.dead, 31, 4);
    let refused = bed.adopt();
    assert!(
        !refused.status.success() && told(&refused).contains("is in use by"),
        "{}",
        told(&refused)
    );

    // One batch arrives, and the router dies before the answer: in doubt, it is repeated as it was.
    bed.shard.fault(Fault::Late(60_000));
    wait_for("the batch in doubt", DELIVERY_LIMIT, || {
        (count(&bed.shard.http, TARGET) > 10).then_some(())
    });
    bed.dead.kill9();
    bed.shard.fault(Fault::None);
    assert!(waiting_files(bed.dead.spool_path()) > 0);

    bed.adopt_all();
    let all = || rows(1, 0..10).chain(rows(31, 0..400));
    check_holds(&bed.shard.http, TARGET, all());
    assert_eq!(waiting_files(bed.dead.spool_path()), 0);
    bed.adopt_all();
    // The other router has its own rows, and what was adopted is not among them.
    send(&bed.heir.http, Format::CSV, rows(32, 0..100)).expect_success();
    bed.heir.wait_until_delivered(DELIVERY_LIMIT);
    check_holds(&bed.shard.http, TARGET, all().chain(rows(32, 0..100)));
    // Its own router comes back after all: its journal says what is done.
    bed.dead.restart();
    bed.dead.wait_until_delivered(DELIVERY_LIMIT);
    check_holds(&bed.shard.http, TARGET, all().chain(rows(32, 0..100)));
}

#[test]
fn an_adoption_killed_in_the_middle_goes_on_when_it_is_started_again() {
    let mut bed = bed();
    goes_down(&bed.shard);
    wait_apart(&bed.dead, 31, 6);
    bed.dead.kill9();
    bed.shard.fault(Fault::None);
    for _ in 0..3 {
        let before = count(&bed.shard.http, TARGET);
        bed.proxy.drop_answer();
        let words = bed.words();
        let mut adoption = weir_child(&words.each_ref().map(String::as_str));
        wait_for("a batch", DELIVERY_LIMIT, || {
            let is_over = adoption.try_wait().expect("a child").is_some();
            (is_over || count(&bed.shard.http, TARGET) > before).then_some(())
        });
        adoption.kill().expect("a child can be killed");
        adoption.wait().expect("a killed process ends");
    }
    bed.proxy.release();
    bed.adopt_all();
    check_holds(&bed.shard.http, TARGET, rows(1, 0..10).chain(rows(31, 0..600)));
}

#[test]
fn rows_that_have_nowhere_to_go_are_left_and_told_and_the_others_are_delivered() {
    let shard = Modern::start();
    for target in [TARGET, "default.clicks_local"] {
        create_as(&shard.http, target, WINDOW);
    }
    let cluster = cluster(true, &all_remote(&[shard.http.address]));
    let both = cluster + &table(TABLE, TARGET) + &table("default.clicks", "default.clicks_local");
    let mut dead = Weir::start(&WeirConfig {
        sections: both,
        ..patient()
    });
    let clicks = |range: std::ops::Range<u64>| {
        let body = support::body_of(Format::CSV, rows(42, range));
        dead.http
            .insert("INSERT INTO clicks FORMAT CSV", body)
            .expect_success();
    };
    send(&dead.http, Format::CSV, rows(1, 0..10)).expect_success();
    clicks(0..10);
    dead.wait_until_delivered(DELIVERY_LIMIT);
    goes_down(&shard);
    send(&dead.http, Format::CSV, rows(41, 0..100)).expect_success();
    clicks(10..100);
    dead.kill9();
    shard.fault(Fault::None);

    let heir = weir(true, &all_remote(&[shard.http.address]));
    let bed = Bed {
        proxy: Proxy::start(shard.http.address),
        shard,
        dead,
        heir,
    };
    let output = bed.adopt();
    let said = told(&output);
    assert!(!output.status.success(), "{said}");
    assert!(
        said.contains("default.clicks/s1: 90 rows left: the configuration has no such table and shard"),
        "{said}"
    );
    check_holds(&bed.shard.http, TARGET, rows(1, 0..10).chain(rows(41, 0..100)));
    assert_eq!(count(&bed.shard.http, "default.clicks_local"), 10);

    bed.heir.edit_config(
        &table(TABLE, TARGET),
        &(table(TABLE, TARGET) + &table("default.clicks", "default.clicks_local")),
    );
    // A missing table holds its rows: they are left too, in the router's words.
    bed.shard
        .http
        .query("RENAME TABLE default.clicks_local TO default.elsewhere");
    let output = bed.adopt();
    let said = told(&output);
    assert!(
        !output.status.success() && said.contains("90 rows left: held"),
        "{said}"
    );
    bed.shard
        .http
        .query("RENAME TABLE default.elsewhere TO default.clicks_local");
    bed.adopt_all();
    check_holds(&bed.shard.http, "default.clicks_local", rows(42, 0..100));
    check_holds(&bed.shard.http, TARGET, rows(1, 0..10).chain(rows(41, 0..100)));
}
