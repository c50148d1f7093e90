//! What the shards' version cannot read is refused before the answer, not found out behind it.

use support::wait_for;

use crate::setup::{DELIVERY_LIMIT, TABLE, all_remote, plain_servers, weir};

#[test]
fn a_format_or_a_setting_that_no_replica_of_a_shard_knows_is_refused_at_accept() {
    let servers = plain_servers(2);
    let weir = weir(
        true,
        &all_remote(&[servers[0].http.address, servers[1].http.address]),
    );
    let columns = "(user_id, duration)";
    for format in ["MsgPack", "BSONEachRow", "RowBinaryWithDefaults"] {
        let answer = weir
            .http
            .insert(&format!("INSERT INTO {TABLE} {columns} FORMAT {format}"), "");
        assert_eq!((answer.status, answer.code()), (400, Some(73)), "{answer}");
        assert!(
            answer.text().contains(format) && answer.text().contains("18.16.1"),
            "{answer}"
        );
    }
    let with = |name: &str, value: &str| {
        let request = weir
            .http
            .post(&format!("INSERT INTO {TABLE} {columns} FORMAT CSV"));
        request.parameter(name, value).body("1,2\n").answer()
    };
    for (name, value) in [("input_format_null_as_default", "1"), ("session_timezone", "UTC")] {
        let answer = with(name, value);
        assert_eq!((answer.status, answer.code()), (400, Some(115)), "{answer}");
        assert!(answer.text().contains(name), "{answer}");
    }
    with("date_time_input_format", "best_effort").expect_success();
    with("format_csv_delimiter", ",").expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);
}

/// A server before 23.3 converts nothing: 18.16 dies of a Nullable column for one that is not.
#[test]
fn blocks_of_other_types_than_the_table_s_never_reach_a_server_that_does_not_convert_them() {
    let servers = plain_servers(2);
    let mut weir = weir(
        true,
        &all_remote(&[servers[0].http.address, servers[1].http.address]),
    );
    let statement = format!("INSERT INTO {TABLE} (user_id, duration) FORMAT Native");
    let block = |data_type: &str, value: &[u8]| {
        let mut block = b"\x02\x01\x07user_id\x06UInt64\x05\0\0\0\0\0\0\0\x08duration".to_vec();
        block.push(u8::try_from(data_type.len()).unwrap());
        block.extend_from_slice(data_type.as_bytes());
        block.extend_from_slice(value);
        block
    };
    let of_table = block("UInt32", &7_u32.to_le_bytes());
    let nullable = block("Nullable(UInt32)", b"\0\x07\0\0\0");
    let insert = |weir: &support::Weir, body: &[u8]| weir.http.insert(&statement, body.to_vec());
    insert(&weir, &of_table).expect_success();
    let refused = |weir: &support::Weir| {
        let answer = insert(weir, &nullable);
        assert_eq!((answer.status, answer.code()), (400, Some(53)), "{answer}");
        assert!(
            answer.text().contains("duration") && answer.text().contains("18.16.1"),
            "{answer}"
        );
    };
    refused(&weir);
    weir.wait_until_delivered(DELIVERY_LIMIT);
    // What the servers are is known while they are down, and after a restart.
    let kept = weir.spool_path().join("meta").join("replicas");
    wait_for("what the replicas said to be kept", DELIVERY_LIMIT, || {
        kept.exists().then_some(())
    });
    drop(servers);
    refused(&weir);
    weir.restart();
    refused(&weir);
}
