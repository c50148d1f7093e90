//! `INSERT … SELECT` into a distributed table: the SELECT runs on a replica, its result is split, nothing is committed
//! without its clean end.

use support::{Answer, ClickHouse18, Endpoint, Modern, Weir};

use crate::setup::{DELIVERY_LIMIT, TABLE, TARGET, all_remote, plain_servers, weir};
use crate::tables::count;

struct Bed {
    servers: Vec<ClickHouse18>,
    weir: Weir,
}

impl Bed {
    fn new(shards: usize) -> Self {
        let servers = plain_servers(shards);
        let addresses: Vec<_> = servers.iter().map(|server| server.http.address).collect();
        let weir = weir(true, &all_remote(&addresses));
        Self { servers, weir }
    }

    fn counts(&self) -> u64 {
        self.servers
            .iter()
            .map(|server| count(&server.http, TARGET))
            .sum()
    }
}

fn run(weir: &Weir, sql: &str) -> Answer {
    weir.http.post(sql).answer()
}

#[track_caller]
fn check_fails(weir: &Weir, sql: &str, status: u16, code: u32) {
    let answer = run(weir, sql);
    assert_eq!(
        (answer.status, answer.code()),
        (status, Some(code)),
        "{sql}: {answer}"
    );
    assert!(answer.header("X-Weir-Receipt").is_none(), "{answer}");
}

const MILLION: &str = "SELECT cityHash64(number) AS id, toDateTime(1577836800 + number % 1000) AS t, \
                       concat('https://example.org/', toString(number)), if(number % 3 = 0, 'DE', 'FR'), \
                       toUInt32(number), 'p' FROM (SELECT number FROM system.numbers LIMIT 1000000)";

#[test]
fn a_select_of_a_million_rows_arrives_exactly_each_row_on_its_shard() {
    let bed = Bed::new(3);
    let answer = run(&bed.weir, &format!("INSERT INTO {TABLE} {MILLION}")).expect_success();
    assert!(
        answer
            .header("X-ClickHouse-Summary")
            .unwrap()
            .contains("\"written_rows\":\"1000000\""),
        "{answer}"
    );
    bed.weir.wait_until_delivered(DELIVERY_LIMIT);
    let sums = |server: &Endpoint, from: &str| {
        let what = "count(), sum(cityHash64(user_id, ts, url, country, duration, payload))";
        server.query(&format!("SELECT {what} FROM {from} FORMAT TabSeparated"))
    };
    let total = |column: usize, texts: &[String]| -> u64 {
        let number = |text: &String| {
            text.trim()
                .split('\t')
                .nth(column)
                .unwrap()
                .parse::<u64>()
                .unwrap()
        };
        texts.iter().map(number).fold(0, u64::wrapping_add)
    };
    let mut held = Vec::new();
    for (shard, server) in bed.servers.iter().enumerate() {
        held.push(sums(&server.http, TARGET));
        let astray = server.http.query(&format!(
            "SELECT count() FROM {TARGET} WHERE cityHash64(user_id) % 3 != {shard} FORMAT TabSeparated"
        ));
        assert_eq!(astray.trim(), "0", "shard {shard}");
    }
    let named = MILLION
        .replace("AS id", "AS user_id")
        .replace("AS t,", "AS ts,")
        .replace("toString(number)),", "toString(number)) AS url,")
        .replace("'FR'),", "'FR') AS country,")
        .replace("toUInt32(number),", "toUInt32(number) AS duration,")
        .replace("'p' FROM", "'p' AS payload FROM");
    let expected = [sums(&bed.servers[0].http, &format!("({named})"))];
    for column in [0, 1] {
        assert_eq!(total(column, &held), total(column, &expected), "column {column}");
    }
}

#[test]
fn columns_are_taken_by_position_and_other_types_are_cast() {
    let bed = Bed::new(2);
    let rows = [
        format!("INSERT INTO {TABLE} (url, user_id) SELECT 'a' AS user_id, 1 AS url"),
        format!("insert into {TABLE} (user_id, url) (select 2, 'b')"),
        format!("INSERT INTO {TABLE} (user_id, url) WITH 3 AS x SELECT x, 'c' FORMAT CSV"),
        format!("INSERT INTO {TABLE} (user_id, url) SELECT 4, 'd' UNION ALL SELECT 5, 'e' -- that is all"),
        format!(
            "INSERT INTO {TABLE} (user_id, url, duration) SELECT '6', 'f', toInt8(7) SETTINGS max_threads = 1;"
        ),
        format!("INSERT INTO {TABLE} (user_id, url) SELECT user_id, url FROM {TARGET} WHERE 0"),
    ];
    for sql in &rows {
        run(&bed.weir, sql).expect_success();
    }
    bed.weir.wait_until_delivered(DELIVERY_LIMIT);
    let mut found: Vec<String> = Vec::new();
    for server in &bed.servers {
        let text = server
            .http
            .query(&format!("SELECT user_id, url, duration FROM {TARGET} FORMAT CSV"));
        found.extend(text.lines().map(str::to_owned));
    }
    found.sort();
    assert_eq!(
        found,
        [
            "1,\"a\",0",
            "2,\"b\",0",
            "3,\"c\",0",
            "4,\"d\",0",
            "5,\"e\",0",
            "6,\"f\",7"
        ]
    );
}

#[test]
fn a_select_that_fails_leaves_nothing_and_its_error_is_the_clients() {
    let bed = Bed::new(2);
    let middle = "SELECT number, toString(intDiv(1, number - 700000)) FROM (SELECT number FROM system.numbers LIMIT 1000000)";
    check_fails(
        &bed.weir,
        &format!("INSERT INTO {TABLE} (user_id, url) {middle}"),
        500,
        153,
    );
    check_fails(
        &bed.weir,
        &format!("INSERT INTO {TABLE} (user_id, url) SELECT 1"),
        400,
        20,
    );
    check_fails(
        &bed.weir,
        &format!("INSERT INTO {TABLE} (user_id, url) SELECT 1, nope"),
        404,
        47,
    );
    check_fails(
        &bed.weir,
        &format!("INSERT INTO {TABLE} SELECT * FROM nowhere"),
        404,
        60,
    );
    check_fails(
        &bed.weir,
        &format!("INSERT INTO {TABLE} (user_id, nope) SELECT 1, 2"),
        400,
        16,
    );
    check_fails(
        &bed.weir,
        &format!("INSERT INTO {TABLE} SELECT 1; SELECT 2"),
        400,
        62,
    );
    let input = format!("INSERT INTO {TABLE} SELECT * FROM input('user_id UInt64') FORMAT CSV\n1\n");
    check_fails(&bed.weir, &input, 501, 48);
    let get = bed
        .weir
        .http
        .request("GET", "/")
        .parameter("query", &format!("INSERT INTO {TABLE} (user_id) SELECT 1"));
    assert_eq!(get.answer().code(), Some(164));
    run(&bed.weir, &format!("INSERT INTO {TABLE} (user_id) SELECT 1")).expect_success();
    bed.weir.wait_until_delivered(DELIVERY_LIMIT);
    assert_eq!(bed.counts(), 1);
}

#[test]
fn on_an_engine_of_today_nulls_become_defaults_and_a_failure_in_the_middle_leaves_nothing() {
    let mut shard = Modern::start();
    shard.http.query(&format!(
        "CREATE TABLE {TARGET} (user_id UInt64, s String DEFAULT 'none', n Nullable(UInt8), l LowCardinality(String), \
         a Array(UInt16)) ENGINE = MergeTree ORDER BY user_id"
    ));
    let weir = weir(true, &all_remote(&[shard.http.address]));
    let sql = "SELECT number, if(number = 1, NULL, 'x'), NULL, toString(number), [number, 1] FROM numbers(3)";
    run(&weir, &format!("INSERT INTO {TABLE} {sql}")).expect_success();
    let strict = format!("INSERT INTO {TABLE} (user_id) SELECT toNullable(7)");
    run(&weir, &strict).expect_success();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    let found = shard
        .http
        .query(&format!("SELECT * FROM {TARGET} ORDER BY user_id FORMAT CSV"));
    let expected = "0,\"x\",\\N,\"0\",\"[0,1]\"\n1,\"none\",\\N,\"1\",\"[1,1]\"\n2,\"x\",\\N,\"2\",\"[2,1]\"\n7,\"none\",\\N,\"\",\"[]\"\n";
    assert_eq!(found, expected);
    check_fails(
        &weir,
        &format!(
            "INSERT INTO {TABLE} (user_id) SELECT number FROM numbers(1000000) WHERE NOT throwIf(number = 999999)"
        ),
        500,
        395,
    );
    // chdb gives out what it had of a failed query with the next one: a fresh process says what is there.
    shard.kill9();
    shard.restart();
    weir.wait_until_delivered(DELIVERY_LIMIT);
    assert_eq!(count(&shard.http, TARGET), 4);
}
