//! Every row lands on its right shard, exactly: on ClickHouse 18.16, in every format.

use support::{ClickHouse18, Fingerprint, Format, Weir, WeirConfig, rows};

use crate::setup::{
    DELIVERY_LIMIT, Shard, TARGET, cluster, first_is_local, insert, on_all, patient, plain_servers,
    row_count, send, table, weir,
};
use crate::tables::{count, create_merge_tree};

#[test]
fn every_format_arrives_exactly_on_three_equal_shards() {
    let servers = plain_servers(3);
    let weir = router_with_a_table_a_format(&servers, &[1, 1, 1]);
    for format in Format::ALL {
        check_arrival(&weir, &servers, format, |shard| {
            format!("cityHash64(user_id) % 3 = {shard}")
        });
    }
}

#[test]
fn every_format_arrives_exactly_by_weights_9_and_10() {
    let servers = plain_servers(2);
    let weir = router_with_a_table_a_format(&servers, &[9, 10]);
    for format in Format::ALL {
        check_arrival(&weir, &servers, format, |shard| {
            format!("(cityHash64(user_id) % 19 >= 9) = {shard}")
        });
    }
}

#[test]
fn without_internal_replication_the_replicas_of_a_shard_are_equal() {
    let servers = plain_servers(4);
    let at = |server: usize, local| (servers[server].http.address, local);
    let shards = [
        Shard {
            weight: 1,
            replicas: vec![at(0, true), at(1, false)],
        },
        Shard {
            weight: 1,
            replicas: vec![at(2, false), at(3, false)],
        },
    ];
    let weir = weir(false, &shards);
    for (format, batch) in Format::ALL.into_iter().zip(0..) {
        send(&weir.http, format, rows(batch, 0..3_000)).expect_success();
    }
    weir.wait_until_delivered(DELIVERY_LIMIT);
    let held: Vec<_> = servers
        .iter()
        .map(|server| Fingerprint::in_table(&server.http, TARGET))
        .collect();
    assert_eq!(held[0], held[1], "replicas of shard 1");
    assert_eq!(held[2], held[3], "replicas of shard 2");
    let sent = (0..Format::ALL.len() as u64).flat_map(|batch| rows(batch, 0..3_000));
    assert_eq!(held[0] + held[2], Fingerprint::of(sent));
}

#[test]
fn many_small_inserts_become_few_parts_on_a_remote_shard() {
    let servers = plain_servers(2);
    let weir = weir(true, &first_is_local(&servers, &[1, 1]));
    for number in 0..300 {
        send(
            &weir.http,
            Format::JSONEachRow,
            rows(5, number * 10..(number + 1) * 10),
        )
        .expect_success();
    }
    weir.wait_until_delivered(DELIVERY_LIMIT);
    assert_eq!(on_all(&servers, TARGET), Fingerprint::of(rows(5, 0..3_000)));
    // A part's name ends in the numbers of its first and last block: the last one tells how many INSERTs
    // there were.
    let sql = "SELECT max(max_block_number) FROM system.parts WHERE table = 'hits_local'";
    let blocks: u64 = servers[1].http.query(sql).trim().parse().expect("a number");
    assert!(
        blocks < 150,
        "300 INSERTs became {blocks} blocks on the remote shard"
    );
}

/// A router with one table a format: `hits_CSV` writes to `hits_CSV_local`.
fn router_with_a_table_a_format(servers: &[ClickHouse18], weights: &[u32]) -> Weir {
    let mut sections = cluster(true, &first_is_local(servers, weights));
    for format in Format::ALL {
        let name = table_of(format);
        servers
            .iter()
            .for_each(|server| create_merge_tree(&server.http, &format!("{name}_local")));
        sections += &table(&format!("default.{name}"), &format!("default.{name}_local"));
    }
    Weir::start(&WeirConfig {
        sections,
        ..patient()
    })
}

fn table_of(format: Format) -> String {
    format!("hits_{}", format.name())
}

/// Sends the rows as one streamed INSERT; `belongs` is the SQL condition for a row on the shard of that
/// number.
#[track_caller]
fn check_arrival(weir: &Weir, servers: &[ClickHouse18], format: Format, belongs: impl Fn(usize) -> String) {
    let (name, target) = (table_of(format), format!("{}_local", table_of(format)));
    let sent = rows(7, 0..row_count());
    let request = weir.http.post(&insert(&name, format));
    let answer = request
        .chunked(|out| format.write(sent.clone(), out))
        .answer()
        .expect_success();
    let local_at_once = count(&servers[0].http, &target);

    weir.wait_until_delivered(DELIVERY_LIMIT);
    assert_eq!(
        on_all(servers, &target),
        Fingerprint::of(sent),
        "{format:?}: what was sent and what arrived"
    );
    for (shard, server) in servers.iter().enumerate() {
        let sql = format!("SELECT count() FROM {target} WHERE NOT ({})", belongs(shard));
        assert_eq!(
            server.http.query(&sql).trim(),
            "0",
            "{format:?}: rows on shard {} by mistake",
            shard + 1
        );
    }
    let local_at_last = count(&servers[0].http, &target);
    assert_eq!(
        local_at_once, local_at_last,
        "{format:?}: the local share when the INSERT returned"
    );
    let summary = answer
        .header("x-clickhouse-summary")
        .expect("an INSERT's answer has a summary");
    let summary: serde_json::Value = serde_json::from_str(summary).expect("the summary is JSON");
    assert_eq!(summary["written_rows"], row_count().to_string(), "{format:?}");
}
