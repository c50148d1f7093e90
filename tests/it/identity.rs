//! Replicas are who they say: before rows go there, and when a batch in doubt may go to another.

use std::time::Duration;

use support::{
    ClickHouse18, Fingerprint, Format, Options, Proxy, Weir, WeirConfig, ZooKeeper, rows, stays, wait_for,
};

use crate::setup::{
    DELIVERY_LIMIT, Shard, TABLE, TARGET, all_remote, cluster, on_all, patient, plain_servers,
    replicated_pairs, replicated_servers, send, table, weir,
};
use crate::tables::{check_holds, count, create_replicated};

/// Long enough for a sender that would send to have sent.
const A_WHILE: Duration = Duration::from_secs(2);

#[track_caller]
fn wait_for_words(weir: &Weir, words: &str) {
    wait_for(words, DELIVERY_LIMIT, || {
        weir.command(&["spool", "ls", "--output", "json"])
            .contains(words)
            .then_some(())
    });
}

#[test]
fn swapped_replica_urls_write_nothing_to_the_wrong_shard() {
    let zookeeper = ZooKeeper::start();
    let servers = replicated_servers(&zookeeper, 2);
    let addresses = [0, 1].map(|at: usize| servers[at].http.address.to_string());
    let mut weir = weir(
        true,
        &all_remote(&[servers[0].http.address, servers[1].http.address]),
    );
    send(&weir.http, Format::CSV, rows(61, 0..1000)).expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    let before = [0, 1].map(|at: usize| Fingerprint::in_table(&servers[at].http, TARGET));

    let swap = |weir: &Weir, [one, other]: &[String; 2]| {
        weir.edit_config(one, "SWAPPED");
        weir.edit_config(other, one);
        weir.edit_config("SWAPPED", other);
    };
    swap(&weir, &addresses);
    weir.terminate();
    weir.restart();
    send(&weir.http, Format::CSV, rows(61, 1000..2000)).expect_success();
    wait_for_words(&weir, "is known as shard s1's");
    wait_for_words(&weir, "is known as shard s2's");
    stays("no row goes to a server that is another shard", A_WHILE, || {
        before == [0, 1].map(|at: usize| Fingerprint::in_table(&servers[at].http, TARGET))
    });

    swap(&weir, &addresses);
    weir.hang_up();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    assert_eq!(on_all(&servers, TARGET), Fingerprint::of(rows(61, 0..2000)));
}

#[test]
fn a_server_in_another_s_place_is_held_until_it_is_accepted() {
    let zookeeper = ZooKeeper::start();
    let server = |shard: &str| {
        let server = ClickHouse18::start(&Options::replicated(&zookeeper, shard, "r1"));
        create_replicated(&server.http, "hits_local");
        server
    };
    let (old, new) = (server("old"), server("new"));
    let weir = weir(true, &all_remote(&[old.http.address]));
    send(&weir.http, Format::CSV, rows(62, 0..100)).expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);

    // The same address, as it is for a replaced machine.
    let (before, now) = (old.http.address.to_string(), new.http.address.to_string());
    let identities = weir.spool_path().join("meta/identities");
    let known = std::fs::read_to_string(&identities).expect("who was met is on the disk");
    assert!(known.contains(&before), "{known}");
    let mut weir = weir;
    weir.terminate();
    std::fs::write(&identities, known.replace(&before, &now)).expect("it can be written");
    weir.edit_config(&before, &now);
    weir.restart();
    send(&weir.http, Format::CSV, rows(62, 100..200)).expect_success();
    wait_for_words(&weir, "is not who it was");
    assert_eq!(count(&new.http, TARGET), 0);
    assert!(
        weir.command(&["clusters", "accept", &format!("s1@{now}")])
            .contains("is its replica"),
        "it says what was accepted"
    );
    weir.wait_until_delivered(DELIVERY_LIMIT);
    check_holds(&new.http, TARGET, rows(62, 100..200));
}

/// A router over one shard of two replicas, the first of them tried first.
fn in_order(replicas: [std::net::SocketAddr; 2]) -> Weir {
    let shard = Shard {
        weight: 1,
        replicas: replicas.map(|address| (address, false)).to_vec(),
    };
    let sections = cluster(true, &[shard]).replace(
        "internal_replication = true\n",
        "internal_replication = true\nload_balancing = \"in_order\"\n",
    );
    Weir::start(&WeirConfig {
        sections: sections + &table(TABLE, TARGET),
        ..patient()
    })
}

/// Lets the next INSERT be executed behind the proxy, and nobody be told; then the replica dies.
fn die_after_executing(weir: &Weir, proxy: &Proxy, replica: &mut ClickHouse18, seed: u64) {
    proxy.drop_answer();
    let before = count(&replica.http, TARGET);
    send(&weir.http, Format::CSV, rows(seed, 100..200)).expect_success();
    wait_for("the INSERT to be executed", DELIVERY_LIMIT, || {
        (count(&replica.http, TARGET) > before).then_some(())
    });
    replica.kill9();
}

#[test]
fn a_batch_in_doubt_fails_over_to_a_replica_of_the_same_zookeeper_path_and_arrives_once() {
    let zookeeper = ZooKeeper::start();
    let [mut first, second] = replicated_pairs(&zookeeper, 1).remove(0);
    let proxy = Proxy::start(first.http.address);
    let weir = in_order([proxy.address(), second.http.address]);
    send(&weir.http, Format::CSV, rows(63, 0..100)).expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    die_after_executing(&weir, &proxy, &mut first, 63);
    weir.wait_until_delivered(DELIVERY_LIMIT);
    first.restart();
    wait_for("both replicas to have all rows", DELIVERY_LIMIT, || {
        let all = Fingerprint::of(rows(63, 0..200));
        let both = [&first, &second].map(|server| Fingerprint::in_table(&server.http, TARGET));
        (both == [all, all]).then_some(())
    });
}

#[test]
fn a_batch_in_doubt_waits_for_its_replica_where_no_other_would_recognise_it() {
    let mut servers = plain_servers(2);
    let proxy = Proxy::start(servers[0].http.address);
    let weir = in_order([proxy.address(), servers[1].http.address]);
    send(&weir.http, Format::CSV, rows(64, 0..100)).expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    die_after_executing(&weir, &proxy, &mut servers[0], 64);
    stays(
        "the other replica, which has blocks of its own, gets nothing",
        A_WHILE,
        || count(&servers[1].http, TARGET) == 0,
    );
    assert!(weir.metric("weir_spool_rows") > 0.0);
    servers[0].restart();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    assert_eq!(count(&servers[1].http, TARGET), 0);
}
