//! Memory stays within its budget whatever an INSERT's size.

use std::io::Write;

use support::{Fingerprint, Format, rows};

use crate::setup::{
    DELIVERY_LIMIT, TABLE, TARGET, first_is_local, insert, on_all, plain_servers, send, weir,
};

const MIB: u64 = 1024 * 1024;
/// What the issue allows for one INSERT of 5 GB.
const PEAK_LIMIT_BYTES: u64 = 256 * MIB;

/// Bytes of the body: 300 MB, or 5 GB with `WEIR_TEST_BIG=1`. `make test` says which.
fn body_bytes() -> u64 {
    if std::env::var("WEIR_TEST_BIG").is_ok_and(|value| value == "1") {
        5_000_000_000
    } else {
        300_000_000
    }
}

#[test]
fn one_large_streamed_insert_arrives_exactly_in_little_memory() {
    let servers = plain_servers(2);
    let weir = weir(true, &first_is_local(&servers, &[1, 1]));
    let mut sent = Fingerprint::default();
    let mut written = 0;
    let stream = |out: &mut dyn Write| {
        let mut line = Vec::new();
        for row in rows(31, 0..u64::MAX) {
            line.clear();
            Format::TabSeparated.append(&row, &mut line);
            out.write_all(&line)?;
            sent = sent + Fingerprint::of_row(&row);
            written += line.len() as u64;
            if written >= body_bytes() {
                return Ok(());
            }
        }
        Ok(())
    };
    weir.http
        .post(&insert(TABLE, Format::TabSeparated))
        .chunked(stream)
        .answer()
        .expect_success();
    weir.wait_until_delivered(10 * DELIVERY_LIMIT);
    assert_eq!(on_all(&servers, TARGET), sent);
    let peak = weir.peak_memory_bytes();
    println!(
        "one INSERT of {written} bytes, {} rows: peak {} MiB",
        sent.rows,
        peak / MIB
    );
    assert!(peak < PEAK_LIMIT_BYTES, "the peak is {} MiB", peak / MIB);
}

#[test]
fn a_row_of_one_gibibyte_is_refused_and_memory_stays_flat() {
    let servers = plain_servers(2);
    let mut weir = weir(true, &first_is_local(&servers, &[1, 1]));
    for format in [
        Format::TabSeparated,
        Format::JSONEachRow,
        Format::CSV,
        Format::Values,
        Format::RowBinary,
    ] {
        let opening: &[u8] = match format {
            Format::JSONEachRow => b"{\"url\": \"",
            Format::CSV => b"1,\"2020-01-01 00:00:00\",\"",
            Format::Values => b"(1, '2020-01-01 00:00:00', '",
            // user_id, ts, then a string that says it is 2^30 bytes long.
            Format::RowBinary => b"\x01\0\0\0\0\0\0\0\x01\0\0\0\x80\x80\x80\x80\x04",
            _ => b"1\t2020-01-01 00:00:00\t",
        };
        let stream = |out: &mut dyn Write| {
            out.write_all(opening)?;
            let piece = vec![b'x'; MIB as usize];
            (0..1024).try_for_each(|_| out.write_all(&piece))
        };
        let answer = weir.http.post(&insert(TABLE, format)).chunked(stream).answer();
        assert_eq!(answer.status, 400, "{format:?}: {answer}");
    }
    send(&weir.http, Format::CSV, rows(32, 0..100)).expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    assert_eq!(on_all(&servers, TARGET), Fingerprint::of(rows(32, 0..100)));
    let peak = weir.peak_memory_bytes();
    assert!(
        weir.is_running() && peak < PEAK_LIMIT_BYTES,
        "the peak is {} MiB",
        peak / MIB
    );
}
