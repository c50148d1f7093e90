//! `weir import` and `discover`: the Distributed tables of real nodes, found and routed as the nodes would.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use support::{ClickHouse18, Endpoint, Modern, Options, Scratch, Weir, WeirConfig, wait_for, weir_command};

use crate::setup::{DELIVERY_LIMIT, patient};
use crate::tables::count;

const COLUMNS: &str = "k UInt64, s String, i Int32, d DateTime";

/// Rows as TabSeparated, with the extremes of each key's type.
const ROWS: &str = "0\ta\t0\t2020-01-01 00:00:00\n1\t\t-1\t2020-01-01 00:00:01\n\
    18446744073709551615\tZürich\t-2147483648\t2030-06-30 12:00:00\n77\tb\\tc\t2147483647\t1970-01-01 00:00:01\n\
    9223372036854775808\tlonger than a word\t19\t2038-01-01 00:00:00\n";
const ROW_COUNT: u64 = 5;

/// Keys, and each as ClickHouse counts its value: signed ones of 4 bytes as UInt32.
const KEYS: &[(&str, &str)] = &[
    ("k", "k"),
    ("i", "toUInt32(i)"),
    ("cityHash64(k)", "cityHash64(k)"),
    ("cityHash64(k, s)", "cityHash64(k, s)"),
    ("sipHash64(s)", "sipHash64(s)"),
    ("intHash64(k)", "intHash64(k)"),
    ("intHash32(k)", "intHash32(k)"),
    ("toUInt32(d)", "toUInt32(d)"),
];

/// How a table's engine may name its cluster and target; `{}` is the cluster.
const SPELLINGS: &[&str] = &[
    "{}, default, loc",
    "'{}', 'default', 'loc'",
    "'{}', currentDatabase(), `loc`",
];

/// A Distributed table of the node.
struct Shown {
    name: String,
    cluster: &'static str,
    key: &'static str,
    value: &'static str,
}

fn fifty() -> Vec<Shown> {
    (0..50)
        .map(|number| {
            let (key, value) = KEYS[number % KEYS.len()];
            Shown {
                name: format!("default.d{number:02}"),
                cluster: if number % 2 == 0 { "alpha" } else { "beta" },
                key,
                value,
            }
        })
        .collect()
}

fn create(node: &Endpoint, tables: &[Shown]) {
    for (table, number) in tables.iter().zip(0..) {
        let Shown {
            name, cluster, key, ..
        } = table;
        // 18.16 resolves the macro, so one in eight tables says its cluster by it.
        let cluster = if number % 8 == 0 { "{cluster}" } else { cluster };
        let spelling = match cluster {
            "{cluster}" => SPELLINGS[1],
            _ => SPELLINGS[number % SPELLINGS.len()],
        };
        let engine = spelling.replace("{}", cluster);
        node.query(&format!(
            "CREATE TABLE {name} ({COLUMNS}) ENGINE = Distributed({engine}, {key})"
        ));
    }
}

const WEIGHTS: [(&str, [u64; 2]); 2] = [("alpha", [9, 10]), ("beta", [2, 1])];

fn weights(cluster: &str) -> [u64; 2] {
    WEIGHTS
        .iter()
        .find(|(name, _)| *name == cluster)
        .expect("one of the two")
        .1
}

/// Two servers that know each other as the clusters alpha and beta, with the target on both.
fn two_servers() -> Vec<ClickHouse18> {
    let servers = ClickHouse18::start_knowing(2, |ports| {
        let mut clusters = String::new();
        for (name, weights) in WEIGHTS {
            let _ = write!(clusters, "<{name}>");
            for (port, weight) in ports.iter().zip(weights) {
                let replica = format!("<replica><host>127.0.0.1</host><port>{port}</port></replica>");
                let _ = write!(clusters, "<shard><weight>{weight}</weight>{replica}</shard>");
            }
            let _ = write!(clusters, "</{name}>");
        }
        Options {
            clusters,
            macros: vec![("cluster".into(), "alpha".into())],
            ..Options::default()
        }
    });
    for server in &servers {
        let engine = "MergeTree ORDER BY k SETTINGS index_granularity = 8192";
        server
            .http
            .query(&format!("CREATE TABLE default.loc ({COLUMNS}) ENGINE = {engine}"));
    }
    servers
}

/// The clusters of weir.toml, which discover on the first server.
fn discovering(servers: &[ClickHouse18]) -> String {
    let mut text = String::new();
    for (name, weights) in WEIGHTS {
        let seed = servers[0].http.url();
        let _ = writeln!(
            text,
            "[cluster.{name}]\ndiscover = [\"{seed}\"]\nrefresh = \"1s\"\ninternal_replication = true"
        );
        for (server, weight) in servers.iter().zip(weights) {
            let place = server.http.address;
            let _ = writeln!(
                text,
                "[[cluster.{name}.shard]]\nname = \"s{}\"\nweight = {weight}",
                place.port()
            );
            let _ = writeln!(text, "replica = [{{ host = \"{place}\", local = false }}]");
        }
    }
    text
}

fn weir_over(servers: &[ClickHouse18]) -> Weir {
    Weir::start(&WeirConfig {
        sections: discovering(servers),
        ..patient()
    })
}

/// Slot and shard of each row as the server computes them.
fn computed(node: &Endpoint, table: &Shown) -> Vec<(u64, u64)> {
    let [first, second] = weights(table.cluster);
    let sql = format!(
        "SELECT ({}) % {} FROM default.sample ORDER BY n FORMAT TabSeparated",
        table.value,
        first + second
    );
    let slots = node.query(&sql);
    let slots = slots.lines().map(|line| line.parse().expect("a slot"));
    slots
        .map(|slot: u64| (slot, if slot < first { 1 } else { 2 }))
        .collect()
}

/// The same by `weir route`.
fn routed(config: &Path, table: &str, rows: &Path) -> Vec<(u64, u64)> {
    let (config, rows) = (config.display().to_string(), rows.display().to_string());
    let arguments = [
        "route",
        "--config",
        &config,
        "--table",
        table,
        "--format",
        "TabSeparated",
        "--output",
        "json",
        &rows,
    ];
    let output = weir_command(&arguments);
    let trouble = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{table}: {trouble}");
    places(&String::from_utf8(output.stdout).expect("JSON is UTF-8"))
}

fn places(lines: &str) -> Vec<(u64, u64)> {
    let place = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).expect("a JSON object a row");
        (
            line["slot"].as_u64().expect("a slot"),
            line["shard"].as_u64().expect("a shard"),
        )
    };
    lines.lines().map(place).collect()
}

/// A table from which ClickHouse computes the slots of [`ROWS`] in their order.
fn create_sample(node: &Endpoint) {
    node.query(&format!(
        "CREATE TABLE default.sample (n UInt8, {COLUMNS}) ENGINE = Memory"
    ));
    let rows: String = ROWS
        .lines()
        .zip(0..)
        .map(|(row, n)| format!("{n}\t{row}\n"))
        .collect();
    node.insert("INSERT INTO default.sample FORMAT TabSeparated", rows)
        .expect_success();
}

/// What is imported, with its ports filled in as its own comments ask for.
fn filled_in(toml: &str, servers: &[ClickHouse18], spool: &Path) -> String {
    let port = |line: &str| {
        let of = servers
            .iter()
            .find(|server| line.contains(&format!("; {} is that of", server.tcp_port)));
        of.map_or_else(
            || line.to_owned(),
            |server| line.replace("HTTP_PORT", &server.http.address.port().to_string()),
        )
    };
    let lines: Vec<_> = toml.lines().map(port).collect();
    lines
        .join("\n")
        .replace("/var/lib/weir", &spool.display().to_string())
}

#[test]
fn fifty_tables_over_two_clusters_are_imported_and_routed_as_the_node_does() {
    let servers = two_servers();
    let node = &servers[0].http;
    let tables = fifty();
    create(node, &tables);
    create_sample(node);
    let home = Scratch::new("import");
    let rows = home.write("rows", ROWS);
    let config = home.join("weir.toml");
    let output = weir_command(&["import", &node.url(), "--out", &config.display().to_string()]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    let check = || weir_command(&["check", "--config", &config.display().to_string()]);
    let refused = check();
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("HTTP_PORT"), "{told}");

    let toml = std::fs::read_to_string(&config).expect("it was written");
    std::fs::write(&config, filled_in(&toml, &servers, &home.join("spool")))
        .expect("the file can be written");
    let sound = check();
    let told = String::from_utf8_lossy(&sound.stdout).into_owned() + &String::from_utf8_lossy(&sound.stderr);
    assert!(sound.status.success(), "{told}");
    for table in &tables {
        assert_eq!(
            routed(&config, &table.name, &rows),
            computed(node, table),
            "{} by {}",
            table.name,
            table.key
        );
    }
}

#[test]
fn a_config_xml_gives_the_same_clusters_as_the_node() {
    let servers = two_servers();
    let home = Scratch::new("import_xml");
    let config = servers[0].config_path().display().to_string();
    let output = weir_command(&["import", &config]);
    let toml = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let path = home.join("weir.toml");
    std::fs::write(&path, filled_in(&toml, &servers, &home.join("spool"))).expect("the file can be written");
    let listed = weir_command(&[
        "clusters",
        "--config",
        &path.display().to_string(),
        "--output",
        "json",
    ]);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    let shards: Vec<_> = listed
        .as_array()
        .expect("a list")
        .iter()
        .map(|line| {
            (
                line["cluster"].as_str().unwrap_or_default(),
                line["weight"].as_u64().unwrap_or_default(),
                line["up"] == true,
            )
        })
        .collect();
    assert_eq!(
        shards,
        [
            ("alpha", 9, true),
            ("alpha", 10, true),
            ("beta", 2, true),
            ("beta", 1, true)
        ]
    );
}

#[test]
fn discovered_tables_take_inserts_a_new_one_at_once_and_all_of_them_while_everything_is_down() {
    let mut servers = two_servers();
    let node = servers[0].http.clone();
    let tables = fifty();
    create(&node, &tables);
    create_sample(&node);
    let mut weir = weir_over(&servers);
    let mut expected = [0, 0];
    for table in &tables {
        insert(&weir, &table.name).expect_success();
        for (_, shard) in computed(&node, table) {
            expected[shard as usize - 1] += 1;
        }
    }
    weir.wait_until_delivered(DELIVERY_LIMIT);
    let arrived = [0, 1].map(|at: usize| count(&servers[at].http, "default.loc"));
    assert_eq!(arrived, expected);
    assert_eq!(weir.metric("weir_discovered_tables"), 50.0);
    assert_eq!(weir.metric("weir_seed_up"), 2.0);

    // One created meanwhile, at its first INSERT.
    node.query(&format!(
        "CREATE TABLE default.late ({COLUMNS}) ENGINE = Distributed(beta, default, loc, k)"
    ));
    insert(&weir, "default.late").expect_success();
    let unknown = insert(&weir, "default.nowhere");
    assert_eq!((unknown.status, unknown.code()), (503, Some(60)), "{unknown}");
    assert!(
        weir.http
            .query("DESCRIBE TABLE default.late FORMAT TabSeparated")
            .contains("k\tUInt64")
    );
    let listed = weir.command(&["clusters", "--tables"]);
    assert!(
        listed.contains("default.late") && listed.contains("discovered"),
        "{listed}"
    );

    // The command and the admin page route what was kept, as the node does.
    let home = Scratch::new("discovered");
    let rows = home.write("rows", ROWS);
    for table in tables.iter().take(KEYS.len()) {
        let of_node = computed(&node, table);
        assert_eq!(
            routed(&weir.config_path(), &table.name, &rows),
            of_node,
            "{}",
            table.name
        );
        let page = format!("/route?table={}&format=TabSeparated", table.name);
        assert_eq!(places(&admin(&weir, &page, ROWS)), of_node, "{}", table.name);
    }

    weir.wait_until_delivered(DELIVERY_LIMIT);
    let before: u64 = servers
        .iter()
        .map(|server| count(&server.http, "default.loc"))
        .sum();
    servers.iter_mut().for_each(ClickHouse18::kill9);
    weir.restart();
    insert(&weir, "default.late").expect_success();
    insert(&weir, "default.d00").expect_success();
    servers.iter_mut().for_each(ClickHouse18::restart);
    weir.wait_until_delivered(DELIVERY_LIMIT);
    let after: u64 = servers
        .iter()
        .map(|server| count(&server.http, "default.loc"))
        .sum();
    assert_eq!(after, before + 2 * ROW_COUNT);
}

#[test]
fn a_discovered_key_that_changes_stops_the_table_until_it_is_accepted_and_a_dropped_table_is_forgotten() {
    let servers = two_servers();
    let node = &servers[0].http;
    let create = |key: &str| {
        node.query("DROP TABLE IF EXISTS default.d");
        node.query(&format!(
            "CREATE TABLE default.d ({COLUMNS}) ENGINE = Distributed(alpha, default, loc, {key})"
        ));
    };
    create("k");
    let weir = weir_over(&servers);
    insert(&weir, "default.d").expect_success();

    create("sipHash64(s)");
    let refusal = wait_for("the change to be seen", Duration::from_secs(60), || {
        let answer = insert(&weir, "default.d");
        (answer.status != 200).then_some(answer)
    });
    assert_eq!((refusal.status, refusal.code()), (503, Some(242)), "{refusal}");
    assert!(refusal.text().contains("from k to sipHash64(s)"), "{refusal}");
    assert_eq!(weir.metric("weir_stopped_tables"), 1.0);
    weir.command(&["clusters", "accept", "default.d"]);
    insert(&weir, "default.d").expect_success();

    node.query("DROP TABLE default.d");
    wait_for("the table to be gone", Duration::from_secs(60), || {
        (weir.metric("weir_discovered_tables") == 0.0).then_some(())
    });
    assert_eq!(insert(&weir, "default.d").code(), Some(60));
}

#[test]
fn other_weights_than_the_node_s_stop_every_discovered_table() {
    let servers = two_servers();
    let node = &servers[0].http;
    node.query(&format!(
        "CREATE TABLE default.d ({COLUMNS}) ENGINE = Distributed(alpha, default, loc, k)"
    ));
    let weir = Weir::start(&WeirConfig {
        sections: discovering(&servers).replacen("weight = 10", "weight = 11", 1),
        ..patient()
    });
    let refusal = insert(&weir, "default.d");
    assert_eq!((refusal.status, refusal.code()), (503, Some(242)), "{refusal}");
    assert!(
        refusal
            .text()
            .contains("9, 11 in weir.toml and 9, 10 in system.clusters"),
        "{refusal}"
    );
    let check = weir_command(&["check", "--config", &weir.config_path().display().to_string()]);
    assert!(String::from_utf8_lossy(&check.stderr).contains("9, 11 in weir.toml"));
}

#[test]
fn a_26_x_node_s_tables_are_discovered_and_imported_as_well() {
    let replica = |port: u16| format!("<replica><host>127.0.0.1</host><port>{port}</port></replica>");
    let shard = |weight: u32, port| {
        format!(
            "<shard><weight>{weight}</weight><internal_replication>true</internal_replication>{}</shard>",
            replica(port)
        )
    };
    let clusters = format!(
        "<remote_servers><main>{}{}</main></remote_servers>",
        shard(9, 1),
        shard(10, 2)
    );
    let server = Modern::start_with(&format!("<macros><cluster>main</cluster></macros>{clusters}"));
    for database in ["r1", "r2"] {
        server.http.query(&format!("CREATE DATABASE {database}"));
        server.http.query(&format!(
            "CREATE TABLE {database}.loc ({COLUMNS}) ENGINE = MergeTree ORDER BY k"
        ));
    }
    for (name, engine) in [
        ("plain", "main, r1, loc, cityHash64(k) % 1000 + 1"),
        ("by_macro", "'{cluster}', 'r1', 'loc', k"),
    ] {
        server.http.query(&format!(
            "CREATE TABLE default.{name} ({COLUMNS}) ENGINE = Distributed({engine})"
        ));
    }
    let place = server.http.address;
    let mut sections = format!("[cluster.main]\ndiscover = [\"{place}\"]\ninternal_replication = true\n");
    for (database, weight) in [("r1", 9), ("r2", 10)] {
        let _ = writeln!(
            sections,
            "[[cluster.main.shard]]\nname = \"{database}\"\nweight = {weight}"
        );
        let _ = writeln!(
            sections,
            "replica = [{{ host = \"{place}\", database = \"{database}\", local = false }}]"
        );
    }
    let weir = Weir::start(&WeirConfig {
        sections,
        ..patient()
    });
    for table in ["default.plain", "default.by_macro"] {
        insert(&weir, table).expect_success();
    }
    weir.wait_until_delivered(DELIVERY_LIMIT);
    let first = "9 > (cityHash64(k) % 1000 + 1) % 19";
    for (database, is_there) in [
        ("r1", format!("{first} OR k % 19 < 9")),
        ("r2", format!("NOT ({first}) OR k % 19 >= 9")),
    ] {
        let wrong = format!("SELECT count() FROM {database}.loc WHERE NOT ({is_there}) FORMAT TabSeparated");
        assert_eq!(server.http.query(&wrong).trim(), "0", "{database}");
    }
    assert_eq!(
        count(&server.http, "r1.loc") + count(&server.http, "r2.loc"),
        2 * ROW_COUNT
    );

    let output = weir_command(&["import", &server.http.url()]);
    let toml = String::from_utf8(output.stdout).expect("UTF-8");
    for told in [
        "[cluster.main]",
        "weight = 9",
        "internal_replication = true",
        "name = \"default.by_macro\"",
        "HTTP_PORT",
    ] {
        assert!(toml.contains(told), "{told}\n{toml}");
    }
}

fn insert(weir: &Weir, table: &str) -> support::Answer {
    weir.http
        .insert(&format!("INSERT INTO {table} FORMAT TabSeparated"), ROWS)
}

/// A page of the admin socket, which needs no token.
fn admin(weir: &Weir, page: &str, body: &str) -> String {
    let mut socket = UnixStream::connect(weir.spool_path().join("admin.sock")).expect("the socket is there");
    let length = body.len();
    let head = format!(
        "POST {page} HTTP/1.1\r\nHost: weir\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    socket
        .write_all((head + body).as_bytes())
        .expect("the request can be written");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    body.to_owned()
}
