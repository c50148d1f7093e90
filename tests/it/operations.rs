//! What an operator does while it runs: reload, hold and resume, retry and drop, and what two routers on one
//! spool come to.

use std::time::Duration;

use support::{ClickHouse18, Fingerprint, Format, Weir, WeirConfig, rows, stays, wait_for, weir_command};

use crate::setup::{
    DELIVERY_LIMIT, TABLE, TARGET, all_remote, cluster, first_is_local, on_all, patient, plain_servers, send,
    table, weir,
};
use crate::tables::create_merge_tree;

/// Waits until the router says that its last reload went well, or did not.
#[track_caller]
fn wait_for_reload(weir: &Weir, told: &str) {
    wait_for(told, DELIVERY_LIMIT, || weir.log().contains(told).then_some(()));
}

#[test]
fn a_reload_routes_a_new_table_and_refuses_another_layout_under_the_same_epoch() {
    let servers = plain_servers(2);
    servers
        .iter()
        .for_each(|server| create_merge_tree(&server.http, "default.clicks_local"));
    let weir = weir(true, &first_is_local(&servers, &[1, 1]));
    let insert = || {
        weir.http.insert(
            "INSERT INTO clicks FORMAT CSV",
            support::body_of(Format::CSV, rows(71, 0..200)),
        )
    };
    assert_eq!(insert().code(), Some(60), "not routed yet");

    let both = table(TABLE, TARGET) + &table("default.clicks", "default.clicks_local");
    weir.edit_config(&table(TABLE, TARGET), &both);
    weir.hang_up();
    wait_for_reload(&weir, "the configuration was reloaded");
    insert().expect_success();

    // The second shard's weight is another layout: nothing of the new file counts, and the reason is told.
    weir.edit_config("name = \"s2\"\nweight = 1", "name = \"s2\"\nweight = 5");
    weir.hang_up();
    wait_for_reload(&weir, "set epoch = 2 in [cluster.main]");
    assert_eq!(weir.metric("weir_config_last_reload_successful"), 0.0);
    insert().expect_success();

    weir.edit_config("[cluster.main]\n", "[cluster.main]\nepoch = 2\n");
    weir.hang_up();
    wait_for("the new epoch", DELIVERY_LIMIT, || {
        (weir.metric("weir_slot_layout") == 2.0).then_some(())
    });
    insert().expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    let rows_of_one = Fingerprint::of(rows(71, 0..200));
    assert_eq!(
        on_all(&servers, "default.clicks_local"),
        rows_of_one + rows_of_one + rows_of_one
    );
}

#[test]
fn a_start_under_another_layout_is_refused_with_the_word_to_raise_the_epoch() {
    let servers = plain_servers(2);
    let mut weir = weir(true, &first_is_local(&servers, &[1, 1]));
    assert!(weir.terminate().success());
    weir.edit_config("weight = 1", "weight = 2");
    let config = weir.config_path().display().to_string();
    for command in ["serve", "check"] {
        let output = weir_command(&[command, "--config", &config]);
        let told = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success(), "weir {command} took it: {told}");
        assert!(told.contains("epoch = 2"), "weir {command}: {told}");
    }
}

#[test]
fn a_missing_table_holds_its_destination_alone_until_it_is_there_again() {
    let servers = plain_servers(2);
    let addresses: Vec<_> = servers.iter().map(|server| server.http.address).collect();
    let weir = weir(true, &all_remote(&addresses));
    send(&weir.http, Format::CSV, rows(72, 0..100)).expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    servers[1].http.query(&format!("DROP TABLE {TARGET}"));
    send(&weir.http, Format::CSV, rows(72, 100..300)).expect_success();
    wait_for("the destination to be held", DELIVERY_LIMIT, || {
        (weir.metric("weir_held_batches") > 0.0).then_some(())
    });
    let listing = weir.command(&["spool", "ls"]);
    assert!(listing.contains("s2") && listing.contains("held"), "{listing}");

    create_merge_tree(&servers[1].http, TARGET);
    // A probe would find it as well, a little later.
    weir.command(&["spool", "retry", "--table", TABLE, "--shard", "s2"]);
    weir.wait_until_delivered(DELIVERY_LIMIT);
    assert_eq!(weir.metric("weir_held_batches"), 0.0);
    let on_first = Fingerprint::in_table(&servers[0].http, TARGET);
    let on_second = Fingerprint::in_table(&servers[1].http, TARGET);
    assert!(
        on_second.rows > 0 && on_first.rows + on_second.rows < 300,
        "the dropped table's first rows are gone"
    );
}

#[test]
fn a_destination_that_was_held_at_a_restart_is_probed_and_delivered() {
    let servers = plain_servers(2);
    let addresses: Vec<_> = servers.iter().map(|server| server.http.address).collect();
    let mut weir = weir(true, &all_remote(&addresses));
    send(&weir.http, Format::CSV, rows(74, 0..10)).expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    servers[1].http.query(&format!("DROP TABLE {TARGET}"));
    send(&weir.http, Format::CSV, rows(74, 10..200)).expect_success();
    wait_for("the destination to be held", DELIVERY_LIMIT, || {
        (weir.metric("weir_held_batches") > 0.0).then_some(())
    });
    assert!(weir.terminate().success());
    create_merge_tree(&servers[1].http, TARGET);
    weir.restart();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    assert!(Fingerprint::in_table(&servers[1].http, TARGET).rows > 0);
}

#[test]
fn a_second_router_on_the_same_spool_is_refused() {
    let servers = plain_servers(1);
    let weir = weir(true, &first_is_local(&servers, &[1]));
    let output = weir_command(&["serve", "--config", &weir.config_path().display().to_string()]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && told.contains("is in use by"),
        "{told}"
    );
}

#[test]
fn a_full_queue_refuses_inserts_with_503_and_takes_them_again_when_its_shard_is_back() {
    let mut servers = plain_servers(2);
    let sections = cluster(
        true,
        &all_remote(&[servers[0].http.address, servers[1].http.address]),
    ) + &table(TABLE, TARGET);
    let spool = "bytes_to_delay_insert = \"50KiB\"\nbytes_to_throw_insert = \"100KiB\"\nmax_delay_to_insert = \"200ms\"";
    let weir = Weir::start(&WeirConfig {
        sections,
        spool: spool.into(),
        ..patient()
    });
    send(&weir.http, Format::CSV, rows(73, 0..10)).expect_success();
    servers[1].kill9();
    let mut accepted = 10;
    let refusal = wait_for("the queue of s2 to be full", DELIVERY_LIMIT, || {
        let answer = send(&weir.http, Format::CSV, rows(73, accepted..accepted + 1_000));
        match answer.status {
            200 => accepted += 1_000,
            _ => return Some(answer),
        }
        None
    });
    assert_eq!((refusal.status, refusal.code()), (503, Some(202)), "{refusal}");
    assert!(refusal.header("retry-after").is_some());
    assert!(refusal.text().contains("default.hits/s2"), "{refusal}");

    servers[1].restart();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    send(&weir.http, Format::CSV, rows(73, accepted..accepted + 1_000)).expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    assert_eq!(
        on_all(&servers, TARGET),
        Fingerprint::of(rows(73, 0..accepted + 1_000))
    );
}

#[test]
fn system_flush_stop_and_start_distributed_do_what_they_say_to_the_queues() {
    let mut servers = plain_servers(2);
    let addresses: Vec<_> = servers.iter().map(|server| server.http.address).collect();
    let weir = weir(true, &all_remote(&addresses));
    let say = |statement: &str| weir.http.request("POST", "/").body(statement).answer();
    send(&weir.http, Format::CSV, rows(71, 0..100)).expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    let arrived = |servers: &[ClickHouse18]| on_all(servers, TARGET);

    say("SYSTEM STOP DISTRIBUTED SENDS default.hits").expect_success();
    send(&weir.http, Format::CSV, rows(71, 100..200)).expect_success();
    let stopped_at = |end: u64| {
        stays("nothing is sent", Duration::from_secs(1), || {
            arrived(&servers) == Fingerprint::of(rows(71, 0..end))
        });
    };
    stopped_at(100);
    assert_eq!(weir.metric("weir_sends_stopped"), 1.0);
    say("SYSTEM FLUSH DISTRIBUTED hits").expect_success();
    assert_eq!(
        arrived(&servers),
        Fingerprint::of(rows(71, 0..200)),
        "a flush goes on in spite of it"
    );

    send(&weir.http, Format::CSV, rows(71, 200..300)).expect_success();
    stopped_at(200);
    say("SYSTEM START DISTRIBUTED SENDS").expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    assert_eq!(arrived(&servers), Fingerprint::of(rows(71, 0..300)));

    servers[1].kill9();
    send(&weir.http, Format::CSV, rows(71, 300..400)).expect_success();
    let stuck = say("SYSTEM FLUSH DISTRIBUTED default.hits").expect_code(159);
    assert!(stuck.text().contains("default.hits/s2"), "{}", stuck.text());
    say("SYSTEM FLUSH DISTRIBUTED default.nosuch").expect_code(60);
    servers[1].restart();
    say("SYSTEM FLUSH DISTRIBUTED default.hits").expect_success();
    assert_eq!(arrived(&servers), Fingerprint::of(rows(71, 0..400)));
}
