//! `weir spool replay`: what a shard lost after it acknowledged it is sent again from sent/.

use support::{Fingerprint, Format, rows};

use crate::setup::{DELIVERY_LIMIT, TABLE, TARGET, first_is_local, on_all, plain_servers, send, weir};
use crate::tables::count;

#[test]
fn sent_batches_restore_the_rows_of_truncated_shards() {
    let servers = plain_servers(2);
    let weir = weir(true, &first_is_local(&servers, &[1, 1]));
    for (format, batch) in Format::ALL.into_iter().zip(0..) {
        send(&weir.http, format, rows(21, batch * 1_000..(batch + 1) * 1_000)).expect_success();
    }
    weir.wait_until_delivered(DELIVERY_LIMIT);
    let before = on_all(&servers, TARGET);

    for (server, shard) in servers.iter().zip(["s1", "s2"]) {
        server.http.query(&format!("TRUNCATE TABLE {TARGET}"));
        let selection = ["spool", "replay", "--table", TABLE, "--shard", shard];
        weir.command(&[&selection[..], &["--dry-run"]].concat());
        assert_eq!(count(&server.http, TARGET), 0, "a dry run sends nothing");
        weir.command(&selection);
    }
    weir.wait_until_delivered(DELIVERY_LIMIT);
    assert_eq!(on_all(&servers, TARGET), before);
    assert_eq!(
        before,
        Fingerprint::of(rows(21, 0..Format::ALL.len() as u64 * 1_000))
    );
}
