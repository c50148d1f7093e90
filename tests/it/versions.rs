//! What the shards' version cannot read is refused before the answer, not found out behind it.

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
