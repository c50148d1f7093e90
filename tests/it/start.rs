//! A start: INSERTs are accepted before the spool's directories are read.

use std::time::{Duration, Instant};

use support::{Fault, Format, WeirConfig, rows, wait_for};

use crate::setup::{DELIVERY_LIMIT, TABLE, TARGET, patient, send};
use crate::tables::check_holds;
use crate::troubles::{bed_with, goes_down};

/// Files that wait.
const FILES: u64 = 1_000;
const FILE_ROWS: u64 = 10;
/// Of it the process itself, its configuration and 1,000 records of the journal take the most; two busy cores are allowed for.
const ACCEPTS_WITHIN: Duration = Duration::from_secs(5);

#[test]
fn with_1_000_files_waiting_a_start_accepts_an_insert_at_once_and_every_row_arrives_once() {
    let config = WeirConfig {
        send: format!(
            "max_batch_rows = {FILE_ROWS}\nmax_batch_delay = \"100ms\"\nmax_sleep_time = \"500ms\""
        ),
        ..patient()
    };
    let engine = "MergeTree ORDER BY user_id SETTINGS non_replicated_deduplication_window = 10000";
    let (shard, mut weir) = bed_with(engine, &config);
    goes_down(&shard);
    send(&weir.http, Format::CSV, rows(61, 0..FILES * FILE_ROWS)).expect_success();
    wait_for("1,000 files", DELIVERY_LIMIT, || {
        (weir.metric("weir_spool_files") >= FILES as f64).then_some(())
    });
    weir.kill9();

    let began = Instant::now();
    weir.launch();
    wait_for("an INSERT to be accepted", DELIVERY_LIMIT, || {
        weir.http.answers_ping().then_some(())
    });
    send(&weir.http, Format::CSV, rows(62, 0..100)).expect_success();
    let took = began.elapsed();
    assert!(took < ACCEPTS_WITHIN, "it took {took:?}");

    wait_for("the directories to be read", DELIVERY_LIMIT, || {
        weir.log().contains("the spool is read").then_some(())
    });
    shard.fault(Fault::None);
    weir.wait_until_delivered(DELIVERY_LIMIT);
    let sent = rows(61, 0..FILES * FILE_ROWS).chain(rows(62, 0..100));
    check_holds(&shard.http, TARGET, rows(1, 0..10).chain(sent));
    let listing = weir.command(&["spool", "ls", "--table", TABLE]);
    assert!(!listing.contains("held"), "{listing}");
}
