//! How many rows a shard gets at once: waiting batches are joined, what is too much for one INSERT is cut apart, an overloaded
//! shard gets less, and neither of these doubles or loses a row.

use std::fs;

use support::{Fault, Format, Modern, Proxy, Row, Weir, WeirConfig, body_of, rows, wait_for};

use crate::setup::{DELIVERY_LIMIT, TABLE, TARGET, all_remote, cluster, insert, patient, send, table};
use crate::tables::{WINDOW, check_holds, count, create_as};
use crate::troubles::{batch_files, bed, bed_with, goes_down, retry, wait_apart};

/// A partition for each `duration`, and a window that remembers all of them.
const PARTITIONED: &str =
    "MergeTree PARTITION BY duration ORDER BY user_id SETTINGS non_replicated_deduplication_window = 10000";

/// Rows of seed 1 that every router of these tests has delivered.
fn first() -> impl Iterator<Item = Row> {
    rows(1, 0..10)
}

/// Blocks that were written to the target: a part's name ends in the numbers of its first and last one.
#[track_caller]
fn blocks(shard: &Modern) -> u64 {
    let sql = "SELECT max(max_block_number) FROM system.parts WHERE table = 'hits_local'";
    shard.http.query(sql).trim().parse().expect("a number")
}

// === too much for one INSERT: today's servers take 100 partitions ===

/// Rows of so many partitions, which follow each other.
fn partitioned(total: u64, partitions: u64) -> impl Iterator<Item = Row> {
    rows(2, 0..total).zip(0..).map(move |(mut row, place)| {
        row.duration = u32::try_from(place * partitions / total).expect("small");
        row
    })
}

#[test]
fn one_insert_of_more_partitions_than_a_block_may_have_arrives_whole_and_once() {
    let (shard, weir) = bed(PARTITIONED);
    send(&weir.http, Format::CSV, partitioned(1_000, 500)).expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    assert_eq!(weir.metric("weir_broken_files"), 0.0);
    check_holds(&shard.http, TARGET, first().chain(partitioned(1_000, 500)));
}

/// A stopped router with one batch of 160 partitions, which no attempt put in doubt, and its shard behind a relay.
struct TooMuch {
    shard: Modern,
    proxy: Proxy,
    weir: Weir,
    /// Size of the batch.
    bytes: u64,
}

/// What [`TooMuch`] waits with.
fn too_much() -> impl Iterator<Item = Row> {
    partitioned(20_000, 160)
}

impl TooMuch {
    fn new() -> Self {
        let shard = Modern::start();
        create_as(&shard.http, TARGET, PARTITIONED);
        let proxy = Proxy::start(shard.http.address);
        let mut weir = Weir::start(&WeirConfig {
            sections: cluster(true, &all_remote(&[proxy.address()])) + &table(TABLE, TARGET),
            ..patient()
        });
        send(&weir.http, Format::CSV, first()).expect_success();
        weir.wait_until_delivered(DELIVERY_LIMIT);
        // "Too many simultaneous queries" proves that nothing was written.
        shard.fault(Fault::Fail {
            code: 202,
            times: 1_000_000,
        });
        send(&weir.http, Format::CSV, too_much()).expect_success();
        wait_for("its batch", DELIVERY_LIMIT, || {
            (weir.metric("weir_spool_files") > 0.0).then_some(())
        });
        assert!(weir.terminate().success());
        shard.fault(Fault::None);
        let bytes = fs::metadata(&batch_files(&weir)[0]).expect("it is there").len();
        Self {
            shard,
            proxy,
            weir,
            bytes,
        }
    }

    /// The router starts, and dies when it has sent so many bytes.
    #[track_caller]
    fn die_after(&mut self, bytes: u64) {
        self.proxy.hold_after(bytes);
        self.weir.restart();
        self.proxy.wait_until_it_holds(DELIVERY_LIMIT);
        self.weir.kill9();
        self.proxy.release();
    }
}

#[test]
fn a_router_killed_while_it_sends_the_parts_of_one_insert_delivers_each_row_once() {
    let mut bed = TooMuch::new();
    // The whole is refused; it dies in the middle of the first half, then of the second.
    bed.die_after(bed.bytes + bed.bytes / 4);
    bed.die_after(bed.bytes / 2 + bed.bytes / 4);
    assert_eq!(count(&bed.shard.http, TARGET), 10 + 10_000);
    bed.weir.restart();
    bed.weir.wait_until_delivered(DELIVERY_LIMIT);
    check_holds(&bed.shard.http, TARGET, first().chain(too_much()));
}

#[test]
fn an_insert_in_doubt_that_is_too_much_is_held_whole_until_an_operator_answers_for_it() {
    let mut bed = TooMuch::new();
    bed.die_after(bed.bytes / 2);
    bed.weir.restart();
    wait_for("it to be held", DELIVERY_LIMIT, || {
        (bed.weir.metric("weir_held_batches") == 1.0).then_some(())
    });
    assert_eq!(count(&bed.shard.http, TARGET), 10);
    let listing = bed.weir.command(&["spool", "ls", "--files"]);
    assert!(
        listing.contains("refused (code 252) after an attempt at"),
        "{listing}"
    );
    retry(&bed.weir, [2]);
    bed.weir.wait_until_delivered(DELIVERY_LIMIT);
    check_holds(&bed.shard.http, TARGET, first().chain(too_much()));
}

// === many small ones ===

/// Twenty small batches wait for a shard that is down; after `between` it is up again.
#[track_caller]
fn check_joined(between: impl FnOnce(&mut Weir)) {
    let (shard, mut weir) = bed(WINDOW);
    goes_down(&shard);
    wait_apart(&weir, 3, 20);
    between(&mut weir);
    shard.fault(Fault::None);
    weir.wait_until_delivered(DELIVERY_LIMIT);
    check_holds(&shard.http, TARGET, first().chain(rows(3, 0..2_000)));
    // The shape's, the one that was tried while the shard was down, and the others as one. What came to it while the router
    // started may be a fourth.
    let blocks = blocks(&shard);
    assert!(blocks <= 4, "21 INSERTs became {blocks} blocks");
}

#[test]
fn small_batches_of_an_outage_arrive_as_few_blocks_and_each_row_once() {
    check_joined(|_| {});
}

#[test]
fn small_batches_of_a_router_killed_in_an_outage_arrive_as_few_blocks_and_each_row_once() {
    check_joined(|weir| {
        weir.kill9();
        weir.restart();
    });
}

// === without an order ===

#[test]
fn without_an_order_neither_an_insert_that_hangs_nor_a_poisoned_one_holds_its_neighbours() {
    let mut config = patient();
    config.send += "\nordered = false\nmax_inflight_per_replica = 4";
    let (shard, weir) = bed_with(WINDOW, &config);
    shard.fault(Fault::Hang);
    wait_apart(&weir, 4, 1);
    for number in 1..9 {
        send(&weir.http, Format::CSV, rows(4, number * 100..(number + 1) * 100)).expect_success();
        if number == 4 {
            // A DateTime, an UInt32: neither is the key, so the router looks at neither.
            let poisoned = "1,noon,u,DE,x,p\n";
            weir.http
                .insert(&insert(TABLE, Format::CSV), poisoned)
                .expect_success();
        }
    }
    wait_for("its neighbours", DELIVERY_LIMIT, || {
        (count(&shard.http, TARGET) == 810).then_some(())
    });
    wait_for("the poisoned one to be set apart", DELIVERY_LIMIT, || {
        (weir.metric("weir_broken_files") == 1.0).then_some(())
    });
    check_holds(&shard.http, TARGET, first().chain(rows(4, 100..900)));
    shard.fault(Fault::None);
    weir.wait_until_delivered(DELIVERY_LIMIT);
    check_holds(&shard.http, TARGET, first().chain(rows(4, 0..900)));
}

// === too much to do ===

#[test]
fn a_shard_with_too_many_parts_gets_rarer_batches() {
    let (shard, weir) = bed(WINDOW);
    shard.fault(Fault::Fail { code: 252, times: 6 });
    send(&weir.http, Format::CSV, rows(5, 0..100)).expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    assert_eq!(weir.metric("weir_batch_delay_factor"), 64.0);
    assert_eq!(weir.metric("weir_batch_size_divisor"), 1.0);
    let before = blocks(&shard);
    // For 100 milliseconds each would be its own; now they wait for 6.4 seconds.
    for number in 1..11 {
        send(&weir.http, Format::CSV, rows(5, number * 100..(number + 1) * 100)).expect_success();
    }
    weir.wait_until_delivered(DELIVERY_LIMIT);
    let after = blocks(&shard);
    assert!(after - before <= 2, "10 INSERTs became {} blocks", after - before);
    check_holds(&shard.http, TARGET, first().chain(rows(5, 0..1_100)));
}

#[test]
fn a_shard_without_memory_gets_smaller_batches() {
    let mut config = patient();
    config.send += "\nmax_batch_rows = 1000";
    let (shard, weir) = bed_with(WINDOW, &config);
    shard.fault(Fault::Fail {
        code: 241,
        times: 1_000_000,
    });
    wait_apart(&weir, 6, 10);
    wait_for("three refusals", DELIVERY_LIMIT, || {
        (weir.metric("weir_batch_size_divisor") >= 8.0).then_some(())
    });
    assert_eq!(weir.metric("weir_batch_delay_factor"), 1.0);
    let before = blocks(&shard);
    shard.fault(Fault::None);
    weir.wait_until_delivered(DELIVERY_LIMIT);
    // An eighth of 1,000 rows has room for one INSERT of 100; the usual limits would let nine of them be one.
    assert!(blocks(&shard) - before >= 8, "{} blocks", blocks(&shard) - before);
    check_holds(&shard.http, TARGET, first().chain(rows(6, 0..1_000)));
}

// === broken/ is full ===

#[test]
fn a_refused_batch_for_which_broken_has_no_room_is_held_in_its_place_and_its_neighbours_arrive() {
    let config = WeirConfig {
        spool: "broken_bytes_max = \"1KiB\"".into(),
        ..patient()
    };
    let (shard, weir) = bed_with(WINDOW, &config);
    let poisoned = |range| {
        let mut body = body_of(Format::CSV, rows(7, range));
        body.extend_from_slice(b"1,noon,u,DE,x,p\n");
        let answer = weir.http.insert(&insert(TABLE, Format::CSV), body);
        answer.expect_success();
    };
    poisoned(0..1);
    wait_for("the first in broken/", DELIVERY_LIMIT, || {
        (weir.metric("weir_broken_files") == 1.0).then_some(())
    });
    poisoned(100..200);
    send(&weir.http, Format::CSV, rows(7, 200..300)).expect_success();
    wait_for("the second to be held", DELIVERY_LIMIT, || {
        (weir.metric("weir_held_batches") == 1.0).then_some(())
    });
    wait_for("its neighbour", DELIVERY_LIMIT, || {
        (count(&shard.http, TARGET) == 110).then_some(())
    });
    check_holds(&shard.http, TARGET, first().chain(rows(7, 200..300)));
    let listing = weir.command(&["spool", "ls", "--files"]);
    assert!(listing.contains("broken/ is full"), "{listing}");
    assert_eq!(weir.metric("weir_broken_files"), 1.0);
}
