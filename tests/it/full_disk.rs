//! The spool's disk is full: INSERTs are refused in words that clients try again for, deliveries go on, and nothing is lost.

use std::sync::{Mutex, PoisonError};

use support::{Fault, Format, Modern, SmallDisk, Weir, WeirConfig, body_of, rows, wait_for};

use crate::setup::{DELIVERY_LIMIT, TABLE, TARGET, insert, patient, send};
use crate::tables::{WINDOW, check_holds};
use crate::troubles::{bed_with, goes_down, wait_apart};

/// A router on a small disk that keeps nothing of what is sent.
fn on_small_disk(disk: &SmallDisk) -> (Modern, Weir) {
    let config = WeirConfig {
        spool_path: Some(disk.path().join("spool")),
        spool: "sent_retention_time = \"0s\"\nreserve_bytes = \"5%\"".into(),
        ..patient()
    };
    bed_with(WINDOW, &config)
}

#[test]
fn a_full_disk_refuses_inserts_keeps_delivering_and_accepts_again_when_there_is_room() {
    let disk = SmallDisk::mount(200);
    let (shard, weir) = on_small_disk(&disk);
    goes_down(&shard);
    let mut accepted = 0;
    let more = |accepted: u64| rows(7, accepted..accepted + 50_000);
    // Each takes more than a megabyte of the disk's 200.
    let refusal = (0..200).find_map(|_| {
        let body = body_of(Format::RowBinary, more(accepted));
        let answer = weir.http.insert(&insert(TABLE, Format::RowBinary), body);
        let is_accepted = answer.status == 200;
        accepted += if is_accepted { 50_000 } else { 0 };
        (!is_accepted).then_some(answer)
    });
    let refusal = refusal.expect("the disk is full");
    assert_eq!((refusal.status, refusal.code()), (503, Some(202)), "{refusal}");
    assert!(
        refusal.header("retry-after").is_some() && refusal.header("X-Weir-Receipt").is_none(),
        "{refusal}"
    );

    shard.fault(Fault::None);
    weir.wait_until_delivered(DELIVERY_LIMIT);
    wait_for("INSERTs to be accepted again", DELIVERY_LIMIT, || {
        let answer = weir.http.insert(
            &insert(TABLE, Format::RowBinary),
            body_of(Format::RowBinary, more(accepted)),
        );
        (answer.status == 200).then_some(())
    });
    weir.wait_until_delivered(DELIVERY_LIMIT);
    check_holds(
        &shard.http,
        TARGET,
        rows(1, 0..10).chain(rows(7, 0..accepted + 50_000)),
    );
}

#[test]
fn a_disk_that_somebody_else_fills_to_the_last_byte_loses_nothing_and_stops_no_delivery() {
    let disk = SmallDisk::mount(200);
    let (shard, mut weir) = on_small_disk(&disk);
    goes_down(&shard);
    wait_apart(&weir, 8, 3);
    disk.fill();
    for _ in 0..20 {
        let refusal = send(&weir.http, Format::CSV, rows(8, 300..400));
        assert_eq!((refusal.status, refusal.code()), (503, Some(202)), "{refusal}");
        assert!(refusal.header("X-Weir-Receipt").is_none(), "{refusal}");
    }
    shard.fault(Fault::None);
    weir.wait_until_delivered(DELIVERY_LIMIT);
    check_holds(&shard.http, TARGET, rows(1, 0..10).chain(rows(8, 0..300)));
    assert!(weir.is_running());

    disk.make_room();
    send(&weir.http, Format::CSV, rows(8, 300..400)).expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    check_holds(&shard.http, TARGET, rows(1, 0..10).chain(rows(8, 0..400)));
}

#[test]
fn an_insert_that_fills_the_disk_while_it_streams_gets_202_which_clients_send_again_and_leaves_nothing_behind()
 {
    let disk = SmallDisk::mount(200);
    let (shard, weir) = on_small_disk(&disk);
    let request = weir.http.post(&insert(TABLE, Format::RowBinary));
    // Some 500 MB, at most a half of it when it is compressed.
    let answer = request
        .chunked(|out| Format::RowBinary.write(rows(9, 0..6_000_000), out))
        .answer();
    assert_eq!((answer.status, answer.code()), (503, Some(202)), "{answer}");
    assert!(
        answer.header("X-Weir-Receipt").is_none() && answer.header("retry-after").is_some(),
        "{answer}"
    );
    send(&weir.http, Format::CSV, rows(9, 0..100)).expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    check_holds(&shard.http, TARGET, rows(1, 0..10).chain(rows(9, 0..100)));
}

#[test]
fn one_large_insert_leaves_the_disks_reserve_alone_and_what_waits_is_delivered() {
    let disk = SmallDisk::mount(200);
    let config = WeirConfig {
        spool_path: Some(disk.path().join("spool")),
        spool: "reserve_bytes = \"20%\"".into(),
        ..patient()
    };
    let (shard, weir) = bed_with(WINDOW, &config);
    goes_down(&shard);
    wait_apart(&weir, 8, 3);
    let least = Mutex::new(f64::MAX);
    let request = weir.http.post(&insert(TABLE, Format::RowBinary));
    // Some 500 MB, at most a half of it when it is compressed.
    let answer = request
        .chunked(|out| {
            for number in 0..60 {
                Format::RowBinary.write(rows(9, number * 100_000..(number + 1) * 100_000), out)?;
                let mut least = least.lock().unwrap_or_else(PoisonError::into_inner);
                *least = least.min(weir.metric("weir_disk_free_bytes"));
            }
            Ok(())
        })
        .answer();
    assert_eq!((answer.status, answer.code()), (503, Some(202)), "{answer}");
    let least = least.into_inner().unwrap_or_else(PoisonError::into_inner);
    // What is on its way between two looks is small.
    assert!(least > 35e6, "an INSERT left {least} bytes of 42 MB in reserve");

    shard.fault(Fault::None);
    weir.wait_until_delivered(DELIVERY_LIMIT);
    check_holds(&shard.http, TARGET, rows(1, 0..10).chain(rows(8, 0..300)));
}
