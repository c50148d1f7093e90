//! Commands and reads, as a newcomer tries them.

use support::{ClickHouse18, Endpoint, Format, Options, Scratch, body_of, rows, weir_command};

use crate::setup::{DELIVERY_LIMIT, TABLE, TARGET, first_is_local, plain_servers, send, weir};
use crate::tables::{count, create_merge_tree};

#[test]
fn the_demo_ends_well_and_says_where_rows_went() {
    let output = weir_command(&["demo"]);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(told.contains("shard"), "{told}");
}

#[test]
fn the_dry_run_routes_every_row_as_clickhouse_computes_it() {
    let server = ClickHouse18::start(&Options::default());
    create_merge_tree(&server.http, "hits");
    let home = Scratch::new("route");
    for (format, batch) in Format::ALL.into_iter().zip(0..) {
        let body = body_of(format, rows(batch, 0..500));
        let file = home.write("rows", &body).display().to_string();
        let arguments = [
            "route",
            "--columns",
            support::COLUMNS,
            "--sharding-key",
            "cityHash64(user_id)",
            "--weights",
            "9,10",
        ];
        let rest = ["--format", &format.name(), "--output", "json", &file];
        let output = weir_command(&[&arguments[..], &rest].concat());
        assert!(
            output.status.success(),
            "{format:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );

        server.http.query("TRUNCATE TABLE hits");
        server.http.insert(
            "INSERT INTO hits FORMAT TabSeparated",
            body_of(Format::TabSeparated, rows(batch, 0..500)),
        );
        check_placement(&server.http, &String::from_utf8(output.stdout).unwrap(), batch);
    }
}

/// Compares `{"row":0,"value":"…","slot":1,"shard":2}` line by line with the server's own arithmetic.
#[track_caller]
fn check_placement(server: &Endpoint, told: &str, batch: u64) {
    let sql = "SELECT toString(user_id), toString(cityHash64(user_id)), cityHash64(user_id) % 19 FROM hits";
    let answer = server.query(&format!("{sql} FORMAT TabSeparated"));
    let computed: std::collections::HashMap<&str, (&str, u64)> = answer
        .lines()
        .map(|line| {
            let fields: Vec<_> = line.split('\t').collect();
            (fields[0], (fields[1], fields[2].parse().expect("a slot")))
        })
        .collect();
    assert_eq!(told.lines().count(), 500);
    for (line, (number, row)) in told.lines().zip((0u64..).zip(rows(batch, 0..500))) {
        let line: serde_json::Value = serde_json::from_str(line).expect("a JSON object a row");
        let (value, slot) = computed[row.user_id.to_string().as_str()];
        let shard = if slot < 9 { 1 } else { 2 };
        assert_eq!(
            line,
            serde_json::json!({"row": number, "value": value, "slot": slot, "shard": shard})
        );
    }
}

#[test]
fn reads_pass_through_and_listings_are_told() {
    let servers = plain_servers(2);
    let weir = weir(true, &first_is_local(&servers, &[1, 1]));
    assert_eq!(
        weir.http.query("SELECT version()"),
        servers[0].http.query("SELECT version()")
    );
    assert_eq!(weir.http.request("GET", "/ping").answer().text(), "Ok.\n");
    assert_eq!(weir.http.request("GET", "/").answer().text(), "Ok.\n");
    // The distributed table exists only in Weir; its target's columns are its own.
    let columns = |server: &Endpoint, table: &str| {
        let answer = server.query(&format!("DESCRIBE TABLE {table} FORMAT TabSeparated"));
        answer
            .lines()
            .map(|line| line.split('\t').take(2).collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>()
    };
    assert_eq!(columns(&weir.http, TABLE), columns(&servers[0].http, TARGET));

    send(&weir.http, Format::JSONEachRow, rows(61, 0..1_000)).expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    assert_eq!(
        count(&servers[0].http, TARGET) + count(&servers[1].http, TARGET),
        1_000
    );
    weir.command(&["check"]);
    weir.command(&["clusters"]);
    weir.command(&["spool", "verify"]);
    assert_eq!(weir.metric("weir_inserted_rows_total"), 1_000.0);
    assert_eq!(weir.metric("weir_delivered_rows_total"), 1_000.0);
}
