//! What is acknowledged arrives, once, whoever is killed: shard or router, on Replicated tables of 18.16.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use support::{
    ClickHouse18, Fingerprint, Format, Proxy, Weir, ZooKeeper, body_of, rows, wait_for, weir_command,
};

use crate::setup::{
    DELIVERY_LIMIT, TABLE, TARGET, all_remote, first_is_local, insert as insert_into, on_all,
    replicated_servers, row_count, send, weir,
};
use crate::tables::{check_holds, count};

/// Rows an INSERT of a stream has.
const INSERT_ROWS: u64 = 500;

fn numbers(insert: u64) -> Range<u64> {
    insert * INSERT_ROWS..(insert + 1) * INSERT_ROWS
}

#[test]
fn a_shard_killed_in_a_stream_of_inserts_gets_every_row_once_when_it_is_back() {
    let zookeeper = ZooKeeper::start();
    let mut servers = replicated_servers(&zookeeper, 3);
    let weir = weir(true, &first_is_local(&servers, &[1, 1, 1]));
    for insert in 0..60 {
        if insert == 20 {
            servers[1].kill9();
        }
        send(&weir.http, Format::TabSeparated, rows(11, numbers(insert))).expect_success();
    }
    // The others are not held up: two thirds of the rows are there while shard 2 is away.
    let reachable = || count(&servers[0].http, TARGET) + count(&servers[2].http, TARGET);
    wait_for("the rows of shards 1 and 3", DELIVERY_LIMIT, || {
        (reachable() > 60 * INSERT_ROWS * 6 / 10).then_some(())
    });
    check_spool_shows_what_waits(&weir);

    servers[1].restart();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    assert_eq!(
        on_all(&servers, TARGET),
        Fingerprint::of(rows(11, 0..60 * INSERT_ROWS))
    );
}

/// Shard `s2` is away: listing, file and row commands and the metrics say so.
#[track_caller]
fn check_spool_shows_what_waits(weir: &Weir) {
    let waiting = weir.metric("weir_spool_rows");
    assert!(
        waiting > 0.0 && weir.metric("weir_spool_bytes") > 0.0,
        "metrics show {waiting} rows"
    );
    let listing = weir.command(&["spool", "ls", "--output", "json"]);
    assert!(
        listing.contains("\"s2\"") && listing.contains(TABLE),
        "spool ls: {listing}"
    );

    let directory = weir.spool_path().join(TABLE).join("s2");
    let file = wait_for("a batch to be cut", DELIVERY_LIMIT, || {
        let files = std::fs::read_dir(&directory)
            .ok()?
            .flatten()
            .map(|entry| entry.path());
        files
            .filter(|path| path.extension().is_some_and(|end| end == "bin"))
            .find(|path| {
                path.file_stem()
                    .is_some_and(|name| name.to_string_lossy().chars().all(|c| c.is_ascii_digit()))
            })
    });
    let file = file.display().to_string();
    assert!(told(&["spool", "show", &file]).contains("TabSeparated"));
    assert!(told(&["spool", "cat", &file]).contains("https://example.org/"));
}

/// What a command without a configuration prints.
#[track_caller]
fn told(arguments: &[&str]) -> String {
    let output = weir_command(arguments);
    assert!(
        output.status.success(),
        "weir {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("commands print UTF-8")
}

#[test]
fn the_router_killed_in_the_middle_of_sending_a_large_batch_delivers_it_once() {
    let zookeeper = ZooKeeper::start();
    let servers = replicated_servers(&zookeeper, 1);
    let proxy = Proxy::start(servers[0].http.address);
    let mut weir = weir(true, &all_remote(&[proxy.address()]));
    // The first INSERT of a shape proves it at the shard; the large one must not wait for that.
    send(&weir.http, Format::RowBinary, rows(12, 0..10)).expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);

    proxy.hold_after(500_000);
    send(&weir.http, Format::RowBinary, rows(12, 10..row_count())).expect_success();
    proxy.wait_until_it_holds(DELIVERY_LIMIT);
    weir.kill9();
    proxy.release();
    weir.restart();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    check_holds(&servers[0].http, TARGET, rows(12, 0..row_count()));
}

#[test]
fn the_router_killed_again_and_again_loses_nothing_acknowledged_and_halves_no_insert() {
    let zookeeper = ZooKeeper::start();
    let servers = replicated_servers(&zookeeper, 2);
    let mut weir = weir(true, &first_is_local(&servers, &[1, 1]));
    let mut acknowledged = Vec::new();
    for _ in 0..3 {
        let first = acknowledged.len() as u64;
        acknowledged.extend(stream_until(&mut weir, first, Weir::kill9));
        weir.restart();
    }
    weir.wait_until_delivered(DELIVERY_LIMIT);
    check_whole_inserts(&servers, &acknowledged);
}

#[test]
fn sigterm_in_a_stream_of_inserts_ends_well_and_loses_nothing() {
    let zookeeper = ZooKeeper::start();
    let servers = replicated_servers(&zookeeper, 2);
    let mut weir = weir(true, &first_is_local(&servers, &[1, 1]));
    let acknowledged = stream_until(&mut weir, 0, |weir| {
        let status = weir.terminate();
        assert!(status.success(), "weir ended with {status}");
    });
    weir.restart();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    check_whole_inserts(&servers, &acknowledged);
}

/// Sends INSERT after INSERT and does `end` to the router in the midst of them; says for each INSERT, from
/// `first` on,
/// whether it was acknowledged.
fn stream_until(weir: &mut Weir, first: u64, end: impl FnOnce(&mut Weir)) -> Vec<bool> {
    let http = weir.http.clone();
    let ended = AtomicBool::new(false);
    let acknowledged = |insert| {
        let body = body_of(Format::CSV, rows(13, numbers(insert)));
        let request = http.post(&insert_into(TABLE, Format::CSV)).body(body);
        request.send().is_ok_and(|answer| answer.status == 200)
    };
    let going_on = |_: &u64| !ended.load(Ordering::SeqCst);
    std::thread::scope(|scope| {
        let client = scope.spawn(|| (first..).take_while(&going_on).map(&acknowledged).collect());
        // Even if this fails the client has to stop, or the scope would wait for it for ever.
        let done = catch_unwind(AssertUnwindSafe(|| {
            wait_for("the stream to run", DELIVERY_LIMIT, || {
                (weir.metric("weir_inserts_total") > 25.0).then_some(())
            });
            end(weir);
        }));
        ended.store(true, Ordering::SeqCst);
        let acknowledged = client.join().expect("the client does not panic");
        done.unwrap_or_else(|trouble| resume_unwind(trouble));
        acknowledged
    })
}

/// Each acknowledged INSERT is there with all its rows, each other one with all or none.
#[track_caller]
fn check_whole_inserts(servers: &[ClickHouse18], acknowledged: &[bool]) {
    let mut found = vec![0; acknowledged.len()];
    let insert = format!("intDiv(toUInt64(extract(url, 'id=([0-9]+)')), {INSERT_ROWS})");
    for server in servers {
        let sql = format!("SELECT {insert} AS i, count() FROM {TARGET} GROUP BY i FORMAT TabSeparated");
        for line in server.http.query(&sql).lines() {
            let (number, rows) = line.split_once('\t').expect("two columns");
            found[number.parse::<usize>().expect("a number")] += rows.parse::<u64>().expect("a number");
        }
    }
    for (number, (&rows, &acknowledged)) in found.iter().zip(acknowledged).enumerate() {
        let whole = rows == INSERT_ROWS || (rows == 0 && !acknowledged);
        assert!(
            whole,
            "INSERT {number} (acknowledged: {acknowledged}) has {rows} rows of {INSERT_ROWS}"
        );
    }
}

#[test]
fn a_shard_that_hangs_holds_up_no_other() {
    let zookeeper = ZooKeeper::start();
    let servers = replicated_servers(&zookeeper, 2);
    let weir = weir(true, &first_is_local(&servers, &[1, 1]));
    send(&weir.http, Format::Values, rows(14, 0..100)).expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);

    servers[1].freeze();
    for insert in 1..10 {
        send(
            &weir.http,
            Format::Values,
            rows(14, insert * 100..(insert + 1) * 100),
        )
        .expect_success();
    }
    let local = count(&servers[0].http, TARGET);
    assert!(
        (300..700).contains(&local),
        "the local shard has {local} of about 500 rows"
    );
    servers[1].thaw();
    weir.wait_until_delivered(DELIVERY_LIMIT.max(Duration::from_secs(330)));
    assert_eq!(on_all(&servers, TARGET), Fingerprint::of(rows(14, 0..1_000)));
}
